//! Random sequences of operations on the store and on the model of it.

use proptest::prelude::*;

use crate::store::DeadLimits;
use crate::store::model::op::{How, ModelWhen, Op};
use crate::store::model::{Pair, TICK_NANOS};

fn any_delay() -> impl Strategy<Value = u64> {
    prop_oneof![1..3 * TICK_NANOS, 1..600 * TICK_NANOS, 1..100_000 * TICK_NANOS]
}

fn any_when() -> impl Strategy<Value = ModelWhen> {
    prop_oneof![
        4 => Just(ModelWhen::Now),
        4 => any_delay().prop_map(ModelWhen::In),
        1 => Just(ModelWhen::Never),
    ]
}

fn any_how() -> impl Strategy<Value = How> {
    prop_oneof![
        2 => Just(How::Done),
        1 => Just(How::Complete),
        1 => Just(How::Cancel),
        2 => Just(How::HandBack),
        2 => any_when().prop_map(How::Retry),
        2 => any_when().prop_map(How::Snooze),
        2 => Just(How::Bury),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (prop_oneof![Just(5u8), 0..10u8], 0..80usize, any_when())
            .prop_map(|(level, bytes, when)| Op::Push { level, bytes, when }),
        10 => (0..20u32).prop_map(|worker| Op::Claim { worker }),
        1 => (any::<usize>(), 0..20u32).prop_map(|(nth, worker)| Op::TakeOver { nth, worker }),
        2 => (any::<usize>(), any_delay()).prop_map(|(nth, timeout)| Op::Arm { nth, timeout }),
        6 => (any::<usize>(), any_how()).prop_map(|(nth, how)| Op::Settle { nth, how }),
        2 => any_how().prop_map(|how| Op::SettleStale { how }),
        5 => (prop_oneof![Just(0), any_delay()], prop::option::weighted(0.3, 1..6usize))
            .prop_map(|(by, most)| Op::Advance { by, most }),
        1 => (1..10 * TICK_NANOS).prop_map(|by| Op::JumpBack { by }),
        2 => (1..100u64).prop_map(|id| Op::Cancel { id }),
        1 => (1..100u64).prop_map(|id| Op::Take { id }),
        1 => any::<usize>().prop_map(|nth| Op::Requeue { nth }),
        1 => prop_oneof![Just(Op::Purge), Just(Op::TakeReady), Just(Op::TakeDelayed)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_store_behaves_as_the_model(
        ops in prop::collection::vec(any_op(), 1..200),
        (jobs, bytes) in (0..6usize, 0..400usize),
    ) {
        let mut pair = Pair::new(DeadLimits { jobs, bytes });
        for op in ops {
            pair.apply(op);
        }
        pair.end();
    }
}
