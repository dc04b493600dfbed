//! The table of legal transitions: every change of a job's state goes through [`next`].
//!
//! ```text
//!            push            claim             done, cancel
//!   ────────────────▶ Ready ───────▶ Running ───────────────▶ Gone
//!   push with delay    ▲  ▲            │ │ │                   ▲
//!   ──────▶ Delayed ───┘  └────────────┘ │ └─▶ Dead ───────────┤
//!            ▲  release      hand back   │      │ requeue      │ purge
//!            └───────────────────────────┘      └──▶ Ready     │
//!                 retry, snooze                                │
//!   Ready, Delayed ────────────────────────────────────────────┘
//!                       cancel, take back
//! ```

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for its time.
    Delayed,
    /// Waits for a worker.
    Ready,
    /// A worker has it.
    Running,
    /// Will not run again by itself.
    Dead,
    /// Done, cancelled, purged or given back to the caller: no longer the queue's.
    Gone,
}

/// What happens to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Its time has come.
    Release,
    /// A worker takes it.
    Claim,
    /// The attempt succeeded.
    Done,
    /// The attempt failed and another one follows.
    Retry,
    /// The attempt asked to run later.
    Snooze,
    /// The attempt was interrupted; it does not count.
    HandBack,
    /// No further attempt.
    Bury,
    /// Someone no longer wants it.
    Cancel,
    /// Shutdown gives it back to the caller.
    TakeBack,
    /// A dead letter gets another life.
    Requeue,
    /// A dead letter is dropped.
    Purge,
}

/// The state after `verb`, or `None` if the verb does not apply in `state`.
#[inline]
pub(crate) const fn next(state: State, verb: Verb) -> Option<State> {
    Some(match (state, verb) {
        (State::Delayed, Verb::Release) | (State::Running, Verb::HandBack) | (State::Dead, Verb::Requeue) => {
            State::Ready
        }
        (State::Ready, Verb::Claim) => State::Running,
        (State::Running, Verb::Retry | Verb::Snooze) => State::Delayed,
        (State::Running, Verb::Bury) => State::Dead,
        (State::Running, Verb::Done | Verb::Cancel)
        | (State::Ready | State::Delayed, Verb::Cancel | Verb::TakeBack)
        | (State::Dead, Verb::Purge) => State::Gone,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 5] = [State::Delayed, State::Ready, State::Running, State::Dead, State::Gone];
    const VERBS: [Verb; 11] = [
        Verb::Release,
        Verb::Claim,
        Verb::Done,
        Verb::Retry,
        Verb::Snooze,
        Verb::HandBack,
        Verb::Bury,
        Verb::Cancel,
        Verb::TakeBack,
        Verb::Requeue,
        Verb::Purge,
    ];

    #[test]
    fn gone_is_final_and_every_other_state_has_a_way_out() {
        for verb in VERBS {
            assert_eq!(next(State::Gone, verb), None);
        }
        for state in &STATES[..4] {
            assert!(VERBS.iter().any(|verb| next(*state, *verb).is_some()), "{state:?}");
        }
    }

    #[test]
    fn only_a_running_job_can_be_settled_and_only_a_ready_one_claimed() {
        for state in STATES {
            for verb in [Verb::Done, Verb::Retry, Verb::Snooze, Verb::HandBack, Verb::Bury] {
                assert_eq!(next(state, verb).is_some(), state == State::Running, "{verb:?} in {state:?}");
            }
            assert_eq!(next(state, Verb::Claim).is_some(), state == State::Ready);
        }
    }
}
