//! What goes to a remote store, and what comes back.

use std::time::Duration;

use crate::dead::{AttemptError, DeadReason};
use crate::job::{JobId, Name, Priority};
use crate::journal::StoredOptions;
use crate::payload::Payload;

/// Names one push: asked again with the same token, it is the same push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushToken(pub u128);

/// A lease on the jobs of one claim, named by who claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// A job to be pushed.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Names this push.
    pub token: PushToken,
    /// The named queue it goes to.
    pub queue: Name,
    /// Its kind.
    pub kind: Name,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it waits at least. [`Duration::MAX`] is for ever.
    pub delay: Duration,
    /// Its payload.
    pub payload: Payload,
    /// What it does otherwise than its kind.
    pub options: Option<StoredOptions>,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushAnswer {
    /// It is accepted, under this number: above that of every job before it.
    New(JobId),
    /// It was accepted before, under this number.
    Held(JobId),
    /// It is not accepted.
    Refused(Refused),
}

/// Why a push was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// As many jobs, or bytes, wait in its named queue as may.
    Full,
}

/// A wish for jobs.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// What the lease is to be called. If there is one of that name, the answer is what it has.
    pub lease: LeaseId,
    /// From which named queue.
    pub queue: Name,
    /// At most so many.
    pub max: usize,
    /// At most so many bytes of payload, but one job however large it is.
    pub max_bytes: usize,
    /// How long the lease lasts, from when it is given.
    pub lasts: Duration,
}

/// Jobs that were handed out.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// In the order in which they are to be started.
    pub jobs: Vec<ClaimedJob>,
    /// How long the lease lasts from now: less than was asked for, if it was asked for before.
    pub lasts: Duration,
    /// Whether more are due.
    pub more: bool,
    /// When the next one is, if none is due now and that is known.
    pub next_due: Option<Duration>,
    /// Whether the named queue is paused, for all machines.
    pub is_paused: bool,
}

/// A job in hand.
#[derive(Clone, Debug)]
pub struct ClaimedJob {
    /// What it is settled with.
    pub token: ClaimToken,
    /// Its kind.
    pub kind: Name,
    /// How urgent it is.
    pub priority: Priority,
    /// The number of this attempt, from 0.
    pub attempt: u32,
    /// Its payload.
    pub payload: Payload,
    /// What it does otherwise than its kind.
    pub options: Option<StoredOptions>,
}

/// The right to settle one job, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimToken {
    /// The lease.
    pub lease: LeaseId,
    /// The job.
    pub id: JobId,
    /// How often it has been claimed: the fence.
    pub run: u64,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which.
    pub token: ClaimToken,
    /// What comes of its job.
    pub transition: Transition,
}

/// What comes of a job in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transition {
    /// It is done.
    Done,
    /// It is not wanted any more.
    Cancel,
    /// The attempt failed, and another one follows.
    Retry {
        /// After this time. [`Duration::MAX`] is for ever.
        delay: Duration,
        /// For the job's history.
        failure: AttemptError,
    },
    /// The attempt does not count, and is made again.
    Snooze {
        /// After this time. [`Duration::MAX`] is for ever.
        delay: Duration,
    },
    /// The attempt does not count; the job waits where it did before.
    HandBack,
    /// The job is a dead letter.
    Bury {
        /// Why.
        reason: DeadReason,
        /// How many attempts were made.
        attempts: u32,
        /// For the job's history.
        failure: AttemptError,
    },
}

/// Whether a settle applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleAnswer {
    /// It did.
    Applied,
    /// The lease has expired, or the claim was settled before: nothing changed.
    LeaseLost,
}

/// Whether a lease lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendAnswer {
    /// It does.
    Alive {
        /// Jobs of it that are to be cancelled.
        cancelled: Vec<JobId>,
    },
    /// It has expired, or has no job left.
    Lost,
}

/// What [`RemoteStore::tend`](super::RemoteStore::tend) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Jobs of expired leases that wait again.
    pub rescued: usize,
    /// Jobs of expired leases that crashed too often and are dead letters.
    pub quarantined: usize,
    /// Whether there is more to do.
    pub more: bool,
}

/// What a cancellation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteCancel {
    /// It waited, and is gone.
    Removed,
    /// It is in hand: who has it is told.
    Asked,
    /// It is done, a dead letter, or was never here.
    NotFound,
}

/// How many jobs of a named queue are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteCounts {
    /// Waiting, and due.
    pub ready: usize,
    /// Waiting for their time.
    pub delayed: usize,
    /// In hand.
    pub in_hand: usize,
    /// Dead letters.
    pub dead: usize,
    /// Payload bytes of those that wait.
    pub waiting_bytes: usize,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// A setting of a named queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// Hand nothing out. What is in hand goes on, and pushes are taken.
    Pause,
    /// Hand out again.
    Resume,
    /// How much may wait before pushes are refused. Default: no bound.
    Capacity {
        /// Jobs.
        jobs: usize,
        /// Bytes of their payloads.
        bytes: usize,
    },
}

/// Why a wait for jobs is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be something to claim.
    Maybe,
    /// Hints may have got lost.
    Lost,
}
