//! What may happen in the life of a queue.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;
use queue_sim::Priority;
use queue_tests::model::{Answer, Model, Op, Settings, Spec};

/// Lives of the model, one operation after the other.
pub(crate) struct Life;

impl ReferenceStateMachine for Life {
    type State = Model;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Model> {
        let settings = (1..4usize, 1..12usize, any::<bool>(), 0..3u32, delay());
        let model = settings.prop_map(|(workers, capacity, has_priorities, retries, delay)| {
            let retry = (retries, delay);
            Model::new(Settings { workers, capacity, has_priorities, retry })
        });
        model.boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Op> {
        let has_priorities = model.settings.has_priorities;
        let push = move || spec(has_priorities);
        let waits = if has_priorities {
            push().prop_map(Op::Push).boxed()
        } else {
            push().prop_map(Op::PushAndWait).boxed()
        };
        let op = prop_oneof![
            6 => push().prop_map(Op::Push),
            3 => proptest::collection::vec(push(), 1..8).prop_map(Op::PushMany),
            2 => waits,
            6 => (any::<usize>(), answer()).prop_map(|(n, answer)| Op::Answer(n, answer)),
            5 => (1..300u64).prop_map(Op::Advance),
            2 => any::<usize>().prop_map(Op::Cancel),
            2 => any::<usize>().prop_map(Op::Requeue),
            1 => Just(Op::Pause),
            2 => Just(Op::Resume),
            1 => Just(Op::Jump),
        ];
        let rare = prop_oneof![40 => op, 1 => Just(Op::Purge), 1 => Just(Op::ShutDown)];
        rare.boxed()
    }

    fn apply(mut model: Model, op: &Op) -> Model {
        model.apply(op);
        model
    }

    fn preconditions(model: &Model, op: &Op) -> bool {
        match op {
            Op::Answer(n, _) => model.held(*n).is_some(),
            Op::PushAndWait(_) => model.line.is_none(),
            _ => true,
        }
    }
}

fn delay() -> impl Strategy<Value = Duration> {
    // Few different ones, so that some fall together.
    prop_oneof![select(vec![5u64, 10, 20, 100]), 1..200u64].prop_map(Duration::from_millis)
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Done),
        3 => Just(Answer::Fail),
        1 => delay().prop_map(Answer::Snooze),
        1 => Just(Answer::Discard),
        1 => Just(Answer::Cancel),
    ]
}

fn spec(has_priorities: bool) -> impl Strategy<Value = Spec> {
    let script = prop_oneof![2 => Just(Vec::new()), 3 => proptest::collection::vec(answer(), 1..3)];
    let priorities = if has_priorities {
        vec![Priority::HIGH, Priority::NORMAL, Priority::LOW]
    } else {
        vec![Priority::NORMAL]
    };
    let retry = proptest::option::weighted(0.3, (0..3u32, delay()));
    let delayed = prop_oneof![3 => Just(Duration::ZERO), 1 => delay()];
    let timeout = proptest::option::weighted(0.3, delay());
    (script, select(priorities), delayed, retry, timeout).prop_map(
        move |(script, priority, delay, retry, timeout)| {
            let timeout = timeout.filter(|_| has_priorities);
            Spec { script, priority, delay, retry, timeout }
        },
    )
}
