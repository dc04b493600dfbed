//! Dead letters: jobs that will not run again by themselves.

use std::time::SystemTime;

use crate::job::{JobId, Name, Priority};
use crate::payload::Payload;

/// A job that will not run again by itself, with everything needed to find out why and to run it once more.
///
/// ```no_run
/// # fn look(queue: &queue_core::Handle) {
/// for dead in queue.dead_letters() {
///     eprintln!("{} {} after {} attempts: {}", dead.name, dead.id, dead.attempts, dead.error);
/// }
/// // The mail server is back: give them another life.
/// let requeued = queue.requeue_where(|dead| dead.name == "send_email");
/// # let _ = requeued; }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadJob {
    /// The job's number; it keeps it when it is requeued.
    pub id: JobId,
    /// The kind.
    pub name: Name,
    /// The named queue it belongs to.
    pub queue: Name,
    /// Its payload.
    pub payload: Payload,
    /// How urgent it was.
    pub priority: Priority,
    /// How many attempts were made in this life.
    pub attempts: u32,
    /// The last error.
    pub error: String,
    /// Why it is here.
    pub reason: DeadReason,
    /// When it got here, by the wall clock.
    pub failed_at: SystemTime,
    /// The error of every attempt, the oldest first; of the latest hundred, if there were more.
    pub history: Vec<AttemptError>,
}

/// Why a job is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// The retry policy allowed no further attempt.
    RetriesExhausted,
    /// The handler said that it can never succeed.
    Discarded,
    /// No handler was registered for its kind when a worker took it.
    NoHandler,
    /// An attempt outlived the queue's shutdown and then failed; nobody was left to take the job back. Not with a durable
    /// store, which keeps it.
    ShutDown,
    /// It was running at too many crashes of the process, and may be what crashes it.
    Crashed,
}

/// What went wrong in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptError {
    /// The attempt, from 0.
    pub attempt: u32,
    /// The error and its causes.
    pub error: String,
    /// When the attempt ended, by the wall clock.
    pub at: SystemTime,
}

impl AttemptError {
    /// What a durable store makes of what it kept.
    #[must_use]
    pub fn new(attempt: u32, error: impl Into<String>, at: SystemTime) -> Self {
        Self { attempt, error: error.into(), at }
    }
}
