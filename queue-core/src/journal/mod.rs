//! The seam of stores that outlive the process: everything the in-process store decides is recorded in a journal.
//!
//! ```text
//!   push ──▶ Change ──┐                                      ┌─▶ into the store, and the push returns
//!   settle ─▶ Change ─┼─ append ─▶ Journal ─ group commit ─▶ Sink
//!   events ─▶ Change ─┘      (a thread of its own)           └─▶ or the job goes back to who pushed it
//! ```
//!
//! There is one set of rules for what happens to a job, in `store`; a journal only keeps its outcome. It is told of every
//! transition in order, writes them when and in as large groups as it likes, and answers. What must hold:
//!
//! - a push returns, and its job may run, once its record is written;
//! - every other transition takes effect at once and is recorded as soon as may be: if the process dies in between, the
//!   job is at worst run again;
//! - events are published after what they tell of is written, so nobody sees a job end that comes back.

mod error;
mod options;
mod receipt;
mod sink;
mod time;

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

pub use error::{Health, StoreError, StoreFault};
pub(crate) use options::is_storable;
pub use options::{BadOptions, StoredOptions};
pub(crate) use receipt::{Promise, Receipt, block_on, unparker};
pub(crate) use sink::{Ack, Arrival, unanswered};
pub use sink::{Loading, Sink};
pub(crate) use time::StoreTime;

use crate::dead::{AttemptError, DeadReason};
use crate::event::Event;
use crate::job::{JobId, Name, Priority};
use crate::payload::Payload;

/// Where the jobs of a queue are recorded, so that they outlive the process.
///
/// Implemented by durable stores such as `queue_sqlite::Store`, and handed to
/// [`Builder::store`](crate::Builder::store). [`append`](Self::append) is called under a lock that the [`Sink`] needs, so it
/// returns at once and answers later; the others may take their time.
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Hands over what was recorded and is not over, and remembers whom to answer. Called once.
    fn begin(&self, sink: Sink) -> Recovery;

    /// Takes changes, in the order in which they are to be written, and leaves the vector empty.
    ///
    /// Each change is answered once: with [`Sink::written`], or, until it is written, any number of times with
    /// [`Sink::failed`]. Dropped without an answer, it is as if it had failed and the store were closed.
    fn append(&self, changes: &mut Vec<Change>);

    /// Reads the payload of a job that was too much to keep in memory, and answers through `loading`.
    fn load(&self, loading: Loading);

    /// A thread is about to wait for what was appended. A journal that writes on a thread of its own has nothing to do;
    /// one that does not writes now.
    fn flush(&self) {}

    /// How many bytes of payload each named queue may keep in memory. What is beyond it is loaded when the job's turn
    /// comes; payloads of up to 54 bytes cost nothing and always stay.
    fn payload_memory(&self) -> usize;

    /// The queue is shut down and nothing is left to write: lets go of files and locks before it returns.
    fn close(&self);
}

/// Something to be written, and who is told when it is.
#[derive(Debug)]
pub struct Change {
    pub(crate) record: Option<Record>,
    pub(crate) ack: Ack,
}

impl Change {
    /// A change that nobody waits for; what a test of a journal appends.
    #[must_use]
    pub fn new(record: Record) -> Self {
        Self { record: Some(record), ack: Ack::Nobody }
    }

    /// What is to be written; `None` for a change that only waits for those before it.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The pushed job has this number.
    pub(crate) fn assign(&mut self, id: JobId) {
        if let Some(Record::Pushed(job)) = &mut self.record {
            job.id = id;
        }
    }

    /// The leases on these jobs were lost: what is told of their attempts is that.
    pub(crate) fn lose(&mut self, lost: &BTreeSet<JobId>) {
        if let Ack::Publish(event) = &mut self.ack
            && let Some(job) = event.ended().filter(|job| lost.contains(&job.id)).cloned()
        {
            **event = Event::LeaseLost(job);
        }
    }

    /// How long it may wait for others to be written with.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match (&self.record, &self.ack) {
            (_, Ack::Push(_) | Ack::Attempted(_)) | (Some(Record::Pushed(_)), _) => Urgency::Now,
            (Some(Record::Started { .. }), Ack::Nobody) => Urgency::Later,
            _ => Urgency::Soon,
        }
    }
}

/// How long a [`Change`] may wait for others to be written with. The disk is what takes time, so to write few times is to
/// write fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Some ten milliseconds: lost in a crash, it costs a count of crashes.
    Later,
    /// About as long as a write takes: nobody waits for it, but lost in a crash, it lets a job that is over run again.
    Soon,
    /// Somebody waits for it.
    Now,
}

/// A transition of a job, as it is written down.
///
/// | record | before | after |
/// |---|---|---|
/// | `Pushed` | | waits |
/// | `Started` | waits | runs |
/// | `Interrupted`, `Retried`, `Snoozed` | runs | waits |
/// | `Done` | runs | is gone |
/// | `Cancelled` | waits or runs | is gone |
/// | `Died` | runs | is a dead letter |
/// | `Requeued` | is a dead letter | waits |
/// | `Dropped` | is a dead letter | is gone |
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A job was pushed.
    Pushed(Box<JobRecord>),
    /// An attempt begins.
    Started {
        /// The job.
        id: JobId,
    },
    /// The attempt was interrupted and does not count; the job is ready.
    Interrupted {
        /// The job.
        id: JobId,
    },
    /// The attempt failed, and another one follows.
    Retried {
        /// The job.
        id: JobId,
        /// The number of the attempt that follows.
        attempt: u32,
        /// When it is due; `None` at once.
        due: Option<Due>,
        /// The attempt that failed, to be added to the job's history.
        failure: AttemptError,
    },
    /// The attempt asked to run later, under the same number.
    Snoozed {
        /// The job.
        id: JobId,
        /// When it is due; `None` at once.
        due: Option<Due>,
    },
    /// The job is done.
    Done {
        /// The job.
        id: JobId,
    },
    /// The job is not wanted any more.
    Cancelled {
        /// The job.
        id: JobId,
    },
    /// The job is a dead letter.
    Died {
        /// The job.
        id: JobId,
        /// Why.
        reason: DeadReason,
        /// How many attempts were made.
        attempts: u32,
        /// The attempt that failed last, to be added to the job's history. Its error and time are those of the dead letter.
        failure: AttemptError,
    },
    /// A dead letter lives again: ready, its attempts counted from 0, its history kept.
    Requeued {
        /// The job.
        id: JobId,
    },
    /// A dead letter is dropped.
    Dropped {
        /// The job.
        id: JobId,
    },
}

/// When a waiting job is due, by the time of the store: the wall clock, but never going back; see [`Sink::time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// At this time.
    At(SystemTime),
    /// Past the end of time.
    Never,
}

/// A job as it is pushed.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// The named queue it is in.
    pub queue: Name,
    /// Its kind.
    pub kind: Name,
    /// How urgent it is.
    pub priority: Priority,
    /// When it is due; `None` at once.
    pub due: Option<Due>,
    /// Its payload.
    pub payload: Payload,
    /// What it does otherwise than its kind.
    pub options: Option<StoredOptions>,
}

/// What a journal holds when it is opened.
#[derive(Debug)]
pub struct Recovery {
    /// The number of the next job: above that of every job there ever was.
    pub next_id: u64,
    /// The latest time the journal has seen; see [`Sink::time`].
    pub time: Option<SystemTime>,
    /// The jobs that wait, in order of their numbers. In pieces, so that each can be freed when it has been taken in.
    pub jobs: Vec<Vec<Recovered>>,
    /// The dead letters, the oldest first.
    pub dead: Vec<RecoveredDead>,
}

/// A job that waits for its next attempt.
#[derive(Debug)]
pub struct Recovered {
    /// Its number.
    pub id: JobId,
    /// The named queue it is in.
    pub queue: Name,
    /// Its kind.
    pub kind: Name,
    /// How urgent it is.
    pub priority: Priority,
    /// The number of its next attempt.
    pub attempt: u32,
    /// When it is due; `None` if it was ready.
    pub due: Option<Due>,
    /// Its payload, or how many bytes of it there are to [load](Journal::load).
    pub payload: Result<Payload, usize>,
    /// The rare parts; boxed, because few jobs have any and there may be millions.
    pub more: Option<Box<RecoveredMore>>,
}

/// What few jobs have.
#[derive(Debug, Default)]
pub struct RecoveredMore {
    /// What it does otherwise than its kind.
    pub options: Option<StoredOptions>,
    /// The attempts that failed, the oldest first.
    pub history: Vec<AttemptError>,
}

/// A dead letter. Its error and time are those of the last entry of its history.
#[derive(Debug)]
pub struct RecoveredDead {
    /// Its number.
    pub id: JobId,
    /// The named queue it is in.
    pub queue: Name,
    /// Its kind.
    pub kind: Name,
    /// How urgent it was.
    pub priority: Priority,
    /// Its payload.
    pub payload: Payload,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is a dead letter.
    pub reason: DeadReason,
    /// The rare parts: options and history.
    pub more: RecoveredMore,
}
