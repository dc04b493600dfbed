//! What may happen to a queue, and what it answers.

use std::time::Duration;

use queue_core::Priority;
use serde::{Deserialize, Serialize};

/// How a queue is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers it has, and how many jobs may run.
    pub workers: usize,
    /// How many jobs may wait.
    pub capacity: usize,
    /// Whether pushes name priorities and timeouts; then none waits for room. Whether there is any for a moment, when
    /// several attempts time out at once, or before whom one comes in, is not for anybody to know.
    pub has_priorities: bool,
    /// How often a failed job is tried again, after how long.
    pub retry: (u32, Duration),
}

/// A job that is pushed.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What its attempts answer at once, the last one again and again; nobody to answer means that they wait for
    /// [`Op::Answer`].
    pub script: Vec<Answer>,
    /// How urgent it is.
    pub priority: Priority,
    /// It is ready no earlier than this after its push.
    pub delay: Duration,
    /// Its own retries, and the delay between them.
    pub retry: Option<(u32, Duration)>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// With success.
    Done,
    /// With an error.
    Fail,
    /// It wants to run again later, and this was no attempt.
    Snooze(Duration),
    /// It can never succeed.
    Discard,
    /// It need not be done any more.
    Cancel,
    /// Nobody answered in time.
    TimedOut,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Op {
    /// A push that does not wait for room.
    Push(Spec),
    /// Pushes that come in as far as there is room.
    PushMany(Vec<Spec>),
    /// A push that waits for room, unless another one does.
    PushAndWait(Spec),
    /// A job is cancelled, see [`Model::some_id`](super::Model::some_id).
    Cancel(usize),
    /// Nothing is started any more.
    Pause,
    /// It is again.
    Resume,
    /// A dead letter gets another life, see [`Model::some_id`](super::Model::some_id).
    Requeue(usize),
    /// Dead letters are dropped.
    Purge,
    /// So many milliseconds pass.
    Advance(u64),
    /// The clock jumps ahead, or the wall clock does.
    Jump,
    /// A handler that waits answers, see [`Model::held`](super::Model::held).
    Answer(usize, Answer),
    /// Shutdown with no time to drain.
    ShutDown,
}

/// What the queue answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to compare.
    Nothing,
    /// These numbers were given.
    Accepted(Vec<u64>),
    /// There is no room, or somebody waits for it.
    Full,
    /// It is shut down.
    ShutDown,
    /// A waiting job was cancelled.
    Removed,
    /// A running one was asked to stop.
    Asked,
    /// There is no such job.
    NotFound,
    /// A dead letter has another life.
    Requeued,
    /// So many were dropped.
    Purged(usize),
    /// The report of the shutdown.
    Report(Report),
}

/// As much of a shutdown's report as can be told beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Which jobs were given back, and how many attempts of each had failed.
    pub handed_back: Vec<(u64, u32)>,
    /// How many jobs that had been asked to stop did not run to their end.
    pub cancelled: u64,
}

impl Spec {
    pub(super) fn level(&self) -> usize {
        usize::from(self.priority.level())
    }

    /// What an attempt answers at once.
    #[must_use]
    pub fn answer(&self, attempt: u32) -> Option<Answer> {
        self.script.get(attempt as usize).or(self.script.last()).copied()
    }
}
