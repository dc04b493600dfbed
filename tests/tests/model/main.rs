//! A queue in the simulator and a model of one have the same life, whatever happens to them.
#![cfg(feature = "sim")]

mod life;
mod system;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use queue_sim::{Sim, World};
use queue_tests::model::{Model, Op};

use life::Life;
use system::System;

proptest! {
    // Operations that make no sense are rejected as they are made: so many more than there are lives.
    #![proptest_config(ProptestConfig { max_local_rejects: u32::MAX, ..ProptestConfig::default() })]

    /// The seed decides which of the workers goes first.
    #[test]
    fn a_queue_behaves_as_the_model((model, ops, seen) in Life::sequential_strategy(1..80), seed in any::<u64>()) {
        let outcome = Sim::new(seed).traced(|sim| live(sim, model, ops, seen));
        match outcome {
            Ok((lived, _)) => lived?,
            Err(failure) => return Err(TestCaseError::fail(failure.to_string())),
        }
    }
}

/// `seen` counts how far it came, so that what comes after it is the first to be left out of a failure.
async fn live(
    sim: World,
    mut model: Model,
    ops: Vec<Op>,
    seen: Option<Arc<AtomicUsize>>,
) -> Result<(), TestCaseError> {
    let mut system = System::new(&sim, &model.settings);
    for op in ops.iter().chain([&Op::ShutDown]) {
        if let Some(seen) = &seen {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        let replied = system.apply(op, &model).await;
        let expected = model.apply(op);
        if let Op::Jump = op {
            model.jump_to(sim.elapsed());
        }
        prop_assert_eq!(replied, expected, "{:?}", op);
        system.compare(&model, op)?;
    }
    Ok(())
}
