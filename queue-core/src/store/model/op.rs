//! What is done to the store and its model, and how arbitrary bytes are read as that.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::TICK_NANOS;

#[derive(Clone, Copy, Debug)]
pub(crate) enum ModelWhen {
    Now,
    In(u64),
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Push { level: u8, bytes: usize, when: ModelWhen },
    Claim { worker: u32 },
    TakeOver { nth: usize, worker: u32 },
    Arm { nth: usize, timeout: u64 },
    Settle { nth: usize, how: How },
    SettleStale { how: How },
    Advance { by: u64, most: Option<usize> },
    JumpBack { by: u64 },
    Cancel { id: u64 },
    Take { id: u64 },
    Requeue { nth: usize },
    Purge,
    TakeReady,
    TakeDelayed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Done,
    /// The same, by the way that most attempts go.
    Complete,
    Cancel,
    HandBack,
    Retry(ModelWhen),
    Snooze(ModelWhen),
    Bury,
}

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match bytes.int_in_range(0..=31)? {
            0..=6 => Self::Push {
                level: if bytes.arbitrary()? { 5 } else { bytes.int_in_range(0..=9)? },
                bytes: bytes.int_in_range(0..=80)?,
                when: bytes.arbitrary()?,
            },
            7..=12 => Self::Claim { worker: bytes.int_in_range(0..=20)? },
            13 => Self::TakeOver { nth: some(bytes)?, worker: bytes.int_in_range(0..=20)? },
            14..=15 => Self::Arm { nth: some(bytes)?, timeout: delay(bytes)? },
            16..=19 => Self::Settle { nth: some(bytes)?, how: bytes.arbitrary()? },
            20 => Self::SettleStale { how: bytes.arbitrary()? },
            21..=22 => Self::Advance { by: delay(bytes)?, most: None },
            23 => Self::Advance { by: delay(bytes)?, most: Some(bytes.int_in_range(1..=6)?) },
            24 => Self::JumpBack { by: delay(bytes)? },
            25..=26 => Self::Cancel { id: bytes.int_in_range(1..=255)? },
            27 => Self::Take { id: bytes.int_in_range(1..=255)? },
            28 => Self::Requeue { nth: some(bytes)? },
            29 => Self::Purge,
            30 => Self::TakeReady,
            _ => Self::TakeDelayed,
        })
    }
}

impl<'a> Arbitrary<'a> for How {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match bytes.int_in_range(0..=7)? {
            0 => Self::Done,
            1 => Self::Complete,
            2 => Self::Cancel,
            3 => Self::HandBack,
            4 => Self::Retry(bytes.arbitrary()?),
            5 => Self::Snooze(bytes.arbitrary()?),
            _ => Self::Bury,
        })
    }
}

impl<'a> Arbitrary<'a> for ModelWhen {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match bytes.int_in_range(0..=7)? {
            0..=3 => Self::Now,
            4..=6 => Self::In(delay(bytes)?),
            _ => Self::Never,
        })
    }
}

/// Which of those there are.
fn some(bytes: &mut Unstructured<'_>) -> Result<usize> {
    bytes.arbitrary::<u8>().map(usize::from)
}

/// A part of a tick, some ticks, many, or any time at all.
fn delay(bytes: &mut Unstructured<'_>) -> Result<u64> {
    match bytes.int_in_range(0..=7)? {
        0..=2 => bytes.int_in_range(1..=3 * TICK_NANOS),
        3..=5 => Ok(u64::from(bytes.arbitrary::<u8>()?.max(1)) * TICK_NANOS),
        6 => Ok(bytes.int_in_range(1..=1_000_000)? * TICK_NANOS),
        _ => bytes.int_in_range(1..=u64::MAX),
    }
}
