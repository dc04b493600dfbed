//! What every store must do, whoever decides in it: one suite for memory, SQLite, the simulated disk and remote stores.
//!
//! ```text
//!   exercise ─▶ Subject ─┬─ OnQueue: a queue in memory, on SQLite, on a disk, on a remote store
//!                        └─ OnVerbs: a remote store, asked directly
//!   exercise_remote ─▶ RemoteStore: leases, fences, tokens, hints
//! ```
//!
//! To have another store pass it, implement [`Subject`], or [`RemoteStore`](queue_core::remote::RemoteStore) and let
//! [`OnVerbs`] ask it.

mod cases;
mod on_queue;
mod on_verbs;
mod remote;
mod time;

use std::time::Duration;

use queue_core::{DeadReason, JobId, Priority};

pub use cases::exercise;
pub use on_queue::{Kept, OnQueue};
pub use on_verbs::OnVerbs;
pub use remote::exercise_remote;
#[cfg(feature = "smol")]
pub use time::Manual;
pub use time::Time;

/// A store, and workers that do as they are told. A failed attempt is tried again [`RETRY`] later, [`RETRIES`] times.
pub trait Subject: Sized {
    /// Pushes a job. `Err`: there is no room.
    fn push(&mut self, job: Push) -> impl Future<Output = Result<JobId, Full>>;

    /// Waits until `count` jobs more are in hand, in [`SLOTS`] at most, and says which, in the order in which they began.
    fn started(&mut self, count: usize) -> impl Future<Output = Vec<Started>>;

    /// Ends an attempt. False: it was over.
    fn settle(&mut self, attempt: &Started, how: How) -> impl Future<Output = bool>;

    /// Lets time pass.
    fn advance(&mut self, time: Duration) -> impl Future<Output = ()>;

    /// Cancels a job. `Some(true)`: it is gone; `Some(false)`: it is in hand, and was asked.
    fn cancel(&mut self, id: JobId) -> impl Future<Output = Option<bool>>;

    /// Gives a dead letter another life. False: there is none.
    fn requeue(&mut self, id: JobId) -> impl Future<Output = bool>;

    /// The dead letters.
    fn dead(&mut self) -> impl Future<Output = Vec<DeadLetter>>;

    /// How many jobs are where, when all is settled that was.
    fn counts(&mut self) -> impl Future<Output = Counts>;

    /// Stops and resumes starting jobs.
    fn pause(&mut self, is_paused: bool) -> impl Future<Output = ()>;

    /// The process dies, with what it has in hand, and another one takes over. `None`: nothing outlives it.
    fn crash(self) -> impl Future<Output = Option<Self>>;
}

/// So many jobs are in hand at once.
pub const SLOTS: usize = 2;
/// So many may wait.
pub const CAPACITY: usize = 10;
/// A failed attempt is tried again so often,
pub const RETRIES: u32 = 2;
/// and so much later.
pub const RETRY: Duration = Duration::from_secs(10);
/// What is in hand at so many crashes is a dead letter.
pub const CRASHES: u32 = 3;

/// A job to push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Its payload, as it is.
    pub payload: Vec<u8>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it waits at least.
    pub delay: Duration,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// An attempt that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The job.
    pub id: JobId,
    /// The attempt, from 0.
    pub attempt: u32,
    /// The payload.
    pub payload: Vec<u8>,
    /// Which attempt of all there ever were.
    pub serial: u64,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Well.
    Done,
    /// It failed.
    Fail,
    /// It failed for good.
    Discard,
    /// It wants to be made again after this time.
    Snooze(Duration),
    /// Its job is not wanted any more.
    Cancel,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The job.
    pub id: JobId,
    /// Why.
    pub reason: DeadReason,
    /// How many attempts there were.
    pub attempts: u32,
    /// The attempts that failed.
    pub history: Vec<u32>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// How many jobs are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting, and due.
    pub ready: usize,
    /// Waiting for their time.
    pub delayed: usize,
    /// In hand.
    pub running: usize,
    /// Dead letters.
    pub dead: usize,
}

impl Push {
    /// A job that is ready at once.
    #[must_use]
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), priority: Priority::NORMAL, delay: Duration::ZERO }
    }

    /// With this priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// No earlier than that.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}
