//! The store beside its model.

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::store::DeadLimits;
use crate::store::model::Pair;
use crate::store::model::op::Op;

/// An input that repeats itself takes no longer than this many steps.
const MOST_STEPS: usize = 4000;

/// Reads the bytes as limits and operations, and does them to the store and to the model of it.
pub fn store(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(limits) = limits(&mut bytes) else { return };
    let mut pair = Pair::new(limits);
    let mut left = MOST_STEPS;
    while let Ok(Step { op, times }) = next(&mut bytes)
        && left > 0
    {
        for _ in 0..times.min(left) {
            pair.apply(op);
        }
        left = left.saturating_sub(times);
    }
    pair.end();
}

/// Often enough in a row to pass a lane over until it gets its turn, or to fill a slot of the wheel.
#[derive(Debug)]
struct Step {
    op: Op,
    times: usize,
}

fn limits(bytes: &mut Unstructured<'_>) -> Result<DeadLimits> {
    Ok(DeadLimits { jobs: bytes.int_in_range(0..=6)?, bytes: bytes.int_in_range(0..=400)? })
}

fn next(bytes: &mut Unstructured<'_>) -> Result<Step> {
    if bytes.is_empty() {
        return Err(arbitrary::Error::NotEnoughData);
    }
    let times = if bytes.ratio(1, 8)? { bytes.int_in_range(2..=40)? } else { 1 };
    Ok(Step { op: Op::arbitrary(bytes)?, times })
}
