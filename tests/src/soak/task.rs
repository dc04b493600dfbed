//! What a job of the soak carries, and what its runs do.

use fastrand::Rng;
use queue_core::{NewJob, Payload};
use serde::{Deserialize, Serialize};

/// The kind that has a handler.
pub(super) const WORK: &str = "work";
/// The kind that has none.
pub(super) const UNKNOWN: &str = "nobody knows it";

/// From this run on, a job is done whatever it is about to do.
const LAST_RUN: u32 = 6;

/// The payload of a job: a number of its own, which stays when it goes from one queue to the next, and what it does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    #[serde(rename = "n")]
    pub(super) number: u64,
    #[serde(rename = "s")]
    seed: u64,
    /// Pushed from inside of a handler.
    #[serde(rename = "f")]
    is_follow_up: bool,
    #[serde(rename = "p")]
    padding: String,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Succeed,
    Yield,
    /// Waits until others have run.
    Wait,
    Burn,
    PushMore,
    Fail,
    PanicInCall,
    PanicInPoll,
    RetryAfter(u64),
    Snooze(u64),
    Discard,
    Cancel,
    /// Waits for ever, which ends with its time.
    Hang,
    /// Waits until it is told to stop, or for ever.
    Linger,
}

impl Task {
    pub(super) fn new(number: u64, is_follow_up: bool, random: &mut Rng) -> Self {
        // Some fit into the record of a job, some do not.
        let padding = if random.u8(0..4) == 0 { random.usize(0..200) } else { 0 };
        Self { number, seed: random.u64(0..1_000_000), is_follow_up, padding: "x".repeat(padding) }
    }

    /// The task of a payload, if it is one.
    pub(super) fn read(payload: &Payload) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    pub(super) fn number_of(job: &NewJob) -> Option<u64> {
        Self::read(job.payload()).map(|task| task.number)
    }

    /// What run number `run` does, counted over all queues that the job was in.
    pub(super) fn act(&self, run: u32) -> Act {
        if run >= LAST_RUN {
            return Act::Succeed;
        }
        let mut random = Rng::with_seed(self.seed << 8 | u64::from(run));
        match random.u16(0..1000) {
            0..=24 => Act::Fail,
            25..=29 => Act::PanicInCall,
            30..=34 => Act::PanicInPoll,
            35..=39 => Act::RetryAfter(random.u64(0..4)),
            40..=49 => Act::Snooze(random.u64(0..4)),
            50..=54 => Act::Discard,
            55..=59 => Act::Cancel,
            60..=62 => Act::Hang,
            63..=65 => Act::Linger,
            66..=85 => Act::Yield,
            86..=90 => Act::Burn,
            100..=109 => Act::Wait,
            91..=99 if !self.is_follow_up => Act::PushMore,
            _ => Act::Succeed,
        }
    }
}
