//! What an attempt answers.
//!
//! A handler returns `Result<T, BoxError>` with `T: IntoOutcome`. `Ok(())` is done, and an error is retried by
//! policy; a handler that knows better says so, on the `Ok` side with an [`Outcome`] or inside the error with a
//! [`JobError`], which survives `?` through anyhow, eyre and contexts.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The one error type of handlers: takes std errors, anyhow, eyre, `&str` and `String` through `?` and `.into()`.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How an attempt ended, said on the `Ok` side of a handler.
///
/// ```
/// use std::time::Duration;
/// use queue_core::{BoxError, Job, Outcome};
///
/// async fn sync_account(job: Job) -> Result<Outcome, BoxError> {
///     let account: u64 = job.deserialize()?;
///     if account == 0 {
///         return Ok(Outcome::discard("account 0 is a placeholder"));
///     }
///     if account % 2 == 0 {
///         // Not ready: come back later, and do not count this as an attempt.
///         return Ok(Outcome::snooze(Duration::from_secs(60)));
///     }
///     Ok(Outcome::Done)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Finished. The job is gone.
    Done,
    /// Failed, to be tried again by the retry policy; `after` replaces the policy's delay and not its number of
    /// retries.
    Retry {
        /// How long to wait, or `None` for the policy's own delay.
        after: Option<Duration>,
        /// What is remembered as this attempt's error.
        error: String,
    },
    /// Run again after this long, with the same attempt number: waiting for something is not a failure. A zero
    /// snooze goes to the back of the line.
    Snooze(Duration),
    /// Can never succeed: to the dead letters, whatever the retry policy says.
    Discard(String),
    /// No longer wanted: the job ends here and is no dead letter.
    Cancel(String),
}

impl Outcome {
    /// Failed; try again by the retry policy.
    pub fn retry(error: impl Into<String>) -> Self {
        Self::Retry { after: None, error: error.into() }
    }

    /// Failed; try again after `delay`, if the retry policy allows another attempt at all.
    pub fn retry_after(delay: Duration, error: impl Into<String>) -> Self {
        Self::Retry { after: Some(delay), error: error.into() }
    }

    /// Run again after `delay`, without counting an attempt.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self::Snooze(delay)
    }

    /// To the dead letters, with this reason.
    pub fn discard(reason: impl Into<String>) -> Self {
        Self::Discard(reason.into())
    }

    /// End the job here, with this reason.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self::Cancel(reason.into())
    }
}

/// What a handler may return inside `Ok`: `()` for done, or an [`Outcome`].
pub trait IntoOutcome {
    /// The outcome this value stands for.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// An error that carries a decision, for handlers that leave through `?`.
///
/// The decision is found wherever it sits in the error's chain of sources, so it can be wrapped: in an error
/// type of yours that returns it from `source()`, in `anyhow` or `eyre`, with or without context.
///
/// ```
/// use std::time::Duration;
/// use queue_core::{BoxError, JobError};
///
/// fn check(status: u16) -> Result<(), BoxError> {
///     match status {
///         200 => Ok(()),
///         410 => Err(JobError::discard("the receiver is gone"))?,
///         429 => Err(JobError::retry_after(Duration::from_secs(30), "rate limited"))?,
///         other => Err(format!("status {other}"))?, // retried by policy
///     }
/// }
/// assert!(check(200).is_ok());
/// assert_eq!(check(410).unwrap_err().to_string(), "the receiver is gone");
/// ```
pub struct JobError {
    message: String,
    decision: Decision,
}

/// The decision travels as the error's `source`: wrappers such as anyhow show the chain below an error they
/// took in but not the error itself, so this is the part that is always reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    RetryAfter(Duration),
    Snooze(Duration),
    Discard,
    Cancel,
}

impl JobError {
    /// Failed; try again after `delay` instead of the policy's own. The policy's number of retries still holds.
    pub fn retry_after(delay: Duration, message: impl Into<String>) -> Self {
        Self { message: message.into(), decision: Decision::RetryAfter(delay) }
    }

    /// Run again after `delay`, without counting an attempt.
    pub fn snooze(delay: Duration, message: impl Into<String>) -> Self {
        Self { message: message.into(), decision: Decision::Snooze(delay) }
    }

    /// Can never succeed: to the dead letters, whatever the retry policy says.
    pub fn discard(message: impl Into<String>) -> Self {
        Self { message: message.into(), decision: Decision::Discard }
    }

    /// No longer wanted: the job ends here and is no dead letter.
    pub fn cancel(message: impl Into<String>) -> Self {
        Self { message: message.into(), decision: Decision::Cancel }
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobError").field("message", &self.message).field("decision", &self.decision).finish()
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.decision)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryAfter(delay) => write!(f, "retry after {delay:?}"),
            Self::Snooze(delay) => write!(f, "snooze for {delay:?}"),
            Self::Discard => f.write_str("discard"),
            Self::Cancel => f.write_str("cancel"),
        }
    }
}

impl Error for Decision {}

/// A chain of sources longer than this is taken for a cycle.
const CHAIN_LIMIT: usize = 64;

/// The decision inside an error, if it carries one.
pub(crate) fn decision_in(error: &(dyn Error + 'static)) -> Option<Decision> {
    std::iter::successors(Some(error), |&error| error.source())
        .take(CHAIN_LIMIT)
        .find_map(|error| error.downcast_ref::<Decision>().copied())
}

/// The error and its causes on one line, as it goes into the history of a job; decisions are not causes.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |&error| error.source()).take(CHAIN_LIMIT);
    for cause in causes.filter(|cause| !cause.is::<Decision>()) {
        let cause = cause.to_string();
        // Many error types already print their source in their own message.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    truncate(text)
}

/// An error message longer than this is cut: the history of a job is kept in memory.
const MESSAGE_LIMIT: usize = 4096;

pub(crate) fn truncate(mut text: String) -> String {
    if text.len() > MESSAGE_LIMIT {
        let end = text.floor_char_boundary(MESSAGE_LIMIT);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The handler panicked; what a custom retry policy is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerPanicked {
    message: String,
}

impl HandlerPanicked {
    /// Reads the message out of what `catch_unwind` caught.
    pub(crate) fn from_payload(payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a value that is not text".to_owned());
        Self { message }
    }

    /// What the panic said.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for HandlerPanicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handler panicked: {}", self.message)
    }
}

impl Error for HandlerPanicked {}

/// The attempt ran longer than its timeout; what a custom retry policy is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTimedOut {
    pub(crate) after: Duration,
}

impl AttemptTimedOut {
    /// The timeout that was exceeded.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for AttemptTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt timed out after {:?}", self.after)
    }
}

impl Error for AttemptTimedOut {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_found_through_wrappers() {
        #[derive(Debug)]
        struct Wrapped(JobError);
        impl fmt::Display for Wrapped {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("while syncing")
            }
        }
        impl Error for Wrapped {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }

        let error: BoxError = Box::new(Wrapped(JobError::discard("gone")));
        assert_eq!(decision_in(&*error), Some(Decision::Discard));
        assert_eq!(describe(&*error), "while syncing: gone");

        let plain: BoxError = "no decision".into();
        assert_eq!(decision_in(&*plain), None);
    }

    #[test]
    fn a_cyclic_chain_ends() {
        #[derive(Debug)]
        struct Cycle;
        impl fmt::Display for Cycle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cycle")
            }
        }
        impl Error for Cycle {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        assert_eq!(decision_in(&Cycle), None);
        assert_eq!(describe(&Cycle), "cycle");
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let text = describe(&*BoxError::from("ä".repeat(MESSAGE_LIMIT)));
        assert!(text.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        assert!(text.ends_with("ä…"));
    }
}
