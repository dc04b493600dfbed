//! From what a handler answered to what becomes of its job.

use std::error::Error;
use std::time::Duration;

use crate::dead::DeadReason;
use crate::engine::Core;
use crate::handler::HandlerResult;
use crate::job::Name;
use crate::outcome::{BoxError, Decision, Outcome, decision_in, describe, truncate};
use crate::retry::RetryPolicy;
use crate::store::{Failure, Settle, When};
use crate::unwind::{catch, drop_quietly};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    Cancel,
    Snooze(Duration),
    Retry { delay: Duration, error: String },
    Bury(DeadReason, String),
}

/// Judges attempt number `attempt`. `cancelled`: someone asked for this attempt to stop, so that a failure is not retried.
///
/// What it calls of the user's (error formatting and its drop, custom policy) may panic: an error that cannot be printed is
/// a failure all the same, and a policy that panics gives the job up.
pub(crate) fn judge(
    result: HandlerResult,
    attempt: u32,
    policy: &RetryPolicy,
    cancelled: bool,
    random: &mut dyn FnMut() -> u64,
) -> Verdict {
    let mut fail = |after: Option<Duration>, error: BoxError| {
        if cancelled {
            return Verdict::Cancel;
        }
        let text = print(&*error);
        let verdict = match catch(|| policy.delay(attempt, &*error, random)) {
            Ok(Some(delay)) => Verdict::Retry { delay: after.unwrap_or(delay), error: text },
            Ok(None) => Verdict::Bury(DeadReason::RetriesExhausted, text),
            Err(panic) => {
                let error = format!("{text}; its retry policy panicked: {}", panic.message());
                Verdict::Bury(DeadReason::RetriesExhausted, error)
            }
        };
        drop_quietly(error);
        verdict
    };
    match result {
        Ok(Outcome::Done) => Verdict::Done,
        Ok(Outcome::Cancel(_)) => Verdict::Cancel,
        Ok(Outcome::Snooze(_)) if cancelled => Verdict::Cancel,
        Ok(Outcome::Snooze(delay)) => Verdict::Snooze(delay),
        Ok(Outcome::Discard(reason)) => Verdict::Bury(DeadReason::Discarded, truncate(reason)),
        Ok(Outcome::Retry { after, error }) => fail(after, error.into()),
        Err(error) => match catch(|| decision_in(&*error)).ok().flatten() {
            None => fail(None, error),
            Some(Decision::RetryAfter(delay)) => fail(Some(delay), error),
            Some(Decision::Cancel) => Verdict::Cancel,
            Some(Decision::Snooze(_)) if cancelled => Verdict::Cancel,
            Some(Decision::Snooze(delay)) => Verdict::Snooze(delay),
            Some(Decision::Discard) => Verdict::Bury(DeadReason::Discarded, print(&*error)),
        },
    }
}

/// The error as text; one that panics when it is printed is what that panic said.
fn print(error: &(dyn Error + 'static)) -> String {
    catch(|| describe(error))
        .unwrap_or_else(|panic| truncate(format!("an error that cannot be shown: {}", panic.message())))
}

impl Verdict {
    pub(crate) fn error(&self) -> Option<&str> {
        match self {
            Self::Retry { error, .. } | Self::Bury(_, error) => Some(error),
            Self::Done | Self::Cancel | Self::Snooze(_) => None,
        }
    }

    pub(crate) fn delay(&self) -> Duration {
        match self {
            Self::Retry { delay, .. } | Self::Snooze(delay) => *delay,
            Self::Done | Self::Cancel | Self::Bury(..) => Duration::ZERO,
        }
    }

    /// A delay counts from now, the end of the attempt.
    pub(crate) fn into_settle(self, name: Name, core: &Core) -> Settle {
        match self {
            Self::Done => Settle::Done,
            Self::Cancel => Settle::Cancel,
            Self::Snooze(delay) => Settle::Snooze { when: When::after(delay, || core.now()) },
            Self::Retry { delay, error } => {
                let failure = Box::new(Failure { error, at: core.wall() });
                Settle::Retry { when: When::after(delay, || core.now()), failure }
            }
            Self::Bury(reason, error) => {
                let failure = Box::new(Failure { error, at: core.wall() });
                Settle::Bury { name, reason, failure }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::JobError;

    const SECOND: Duration = Duration::from_secs(1);

    fn judged(result: HandlerResult, attempt: u32, cancelled: bool) -> Verdict {
        judge(result, attempt, &RetryPolicy::fixed(2, SECOND), cancelled, &mut || 0)
    }

    #[test]
    fn a_failure_is_retried_by_policy_until_it_is_used_up() {
        let failed = || Err("no".into());
        assert_eq!(judged(failed(), 0, false), Verdict::Retry { delay: SECOND, error: "no".into() });
        assert_eq!(judged(failed(), 2, false), Verdict::Bury(DeadReason::RetriesExhausted, "no".into()));
    }

    #[test]
    fn retry_after_replaces_the_delay_and_not_the_number_of_retries() {
        let later = || Err(JobError::retry_after(5 * SECOND, "busy").into());
        assert_eq!(judged(later(), 1, false), Verdict::Retry { delay: 5 * SECOND, error: "busy".into() });
        assert_eq!(judged(later(), 2, false), Verdict::Bury(DeadReason::RetriesExhausted, "busy".into()));
        let later = Ok(Outcome::retry_after(5 * SECOND, "busy"));
        assert_eq!(judged(later, 1, false), Verdict::Retry { delay: 5 * SECOND, error: "busy".into() });
    }

    #[test]
    fn both_sides_of_the_result_say_the_same() {
        for (ok, err) in [
            (Outcome::snooze(SECOND), JobError::snooze(SECOND, "later")),
            (Outcome::discard("gone"), JobError::discard("gone")),
            (Outcome::cancel("unwanted"), JobError::cancel("unwanted")),
        ] {
            assert_eq!(judged(Ok(ok), 0, false), judged(Err(err.into()), 0, false));
        }
    }

    #[test]
    fn a_cancelled_attempt_may_still_succeed_but_is_not_run_again() {
        assert_eq!(judged(Ok(Outcome::Done), 0, true), Verdict::Done);
        assert_eq!(judged(Err("stopped".into()), 0, true), Verdict::Cancel);
        assert_eq!(judged(Ok(Outcome::snooze(SECOND)), 0, true), Verdict::Cancel);
        assert_eq!(judged(Ok(Outcome::retry("stopped")), 0, true), Verdict::Cancel);
    }
}
