//! The work that every contender does: decode a JSON payload, and be counted.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_listener::{Event, Listener as _};
use serde::{Deserialize, Serialize};

use crate::measure::now;

/// What every contender of a burst is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) jobs: u64,
    /// Whether each job carries a JSON payload that its handler decodes.
    pub(crate) json: bool,
    /// How many jobs may be under way before the pusher waits. `None`: it does not.
    pub(crate) window: Option<u64>,
}

impl Burst {
    pub(crate) fn json(jobs: u64) -> Self {
        Self { jobs, json: true, window: None }
    }

    pub(crate) fn unit(jobs: u64) -> Self {
        Self { jobs, json: false, window: None }
    }

    /// For contenders that take bytes.
    pub(crate) fn payload(self, n: u64) -> Vec<u8> {
        if self.json { Mail::encode(n) } else { Vec::new() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) n: u64,
}

impl Mail {
    pub(crate) fn new(n: u64) -> Self {
        Self { to: "user@example.com".into(), n }
    }

    pub(crate) fn encode(n: u64) -> Vec<u8> {
        serde_json::to_vec(&Self::new(n)).expect("it is plain data")
    }
}

/// Why a run does not count.
#[derive(Debug)]
pub(crate) struct Void(pub(crate) String);

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts jobs; the last one ends the run.
#[derive(Debug)]
pub(crate) struct Tally {
    burst: Burst,
    /// The number of jobs above bit 40, the sum of their numbers below: one atomic, so that the check costs nobody
    /// more than the count.
    seen: AtomicU64,
    all: Event,
    room: Event,
}

const ONE: u64 = 1 << 40;
/// A run that takes longer than this has lost a job.
const PATIENCE: Duration = Duration::from_mins(2);

impl Tally {
    pub(crate) fn new(burst: Burst) -> Arc<Self> {
        Arc::new(Self { burst, seen: AtomicU64::new(0), all: Event::new(), room: Event::new() })
    }

    /// The work of a job whose payload is these bytes.
    pub(crate) fn run(&self, payload: &[u8]) {
        if self.burst.json {
            self.mail(&serde_json::from_slice(payload).expect("it was encoded here"));
        } else {
            self.count(0);
        }
    }

    pub(crate) fn mail(&self, mail: &Mail) {
        black_box(&mail.to);
        self.count(mail.n);
    }

    pub(crate) fn count(&self, n: u64) {
        let done = (self.seen.fetch_add(ONE + n, Ordering::AcqRel) + ONE + n) / ONE;
        if done == self.burst.jobs {
            self.all.notify(usize::MAX);
        } else if self.burst.window.is_some() && done.is_multiple_of(128) {
            self.room.notify(1);
        }
    }

    /// A look at the payload, and the count: what is left of the work where only the queue's own cost matters.
    pub(crate) fn take(&self, payload: &[u8]) {
        black_box(payload);
        self.count(0);
    }

    pub(crate) fn done(&self) -> u64 {
        self.seen.load(Ordering::Acquire) / ONE
    }

    /// Waits until the `n`th job fits into the window.
    pub(crate) async fn room(&self, n: u64) {
        let Some(window) = self.burst.window else { return };
        while n - self.done() >= window {
            let listener = self.room.listen();
            if n - self.done() >= window {
                listener.await;
            }
        }
    }

    /// Waits for the last job, on a thread of its own so that no runtime is favoured.
    pub(crate) fn wait(&self) {
        let end = now() + PATIENCE;
        while self.done() < self.burst.jobs && now() < end {
            let listener = self.all.listen();
            if self.done() < self.burst.jobs {
                listener.wait_timeout(Duration::from_millis(100));
            }
        }
    }

    /// To be asked when the contender has stopped, so that a second run of a job cannot come later.
    pub(crate) fn check(&self) -> Result<(), Void> {
        let Burst { jobs, json, .. } = self.burst;
        let sum = if json { jobs * (jobs - 1) / 2 } else { 0 };
        let seen = self.seen.load(Ordering::Acquire);
        if seen == jobs * ONE + sum {
            Ok(())
        } else {
            Err(Void(format!("{} of {jobs} jobs ran, numbers {}", seen / ONE, seen % ONE)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(numbers: &[u64]) -> Result<(), Void> {
        let tally = Tally::new(Burst::json(4));
        for n in numbers {
            tally.count(*n);
        }
        tally.check()
    }

    #[test]
    fn a_run_that_loses_or_doubles_a_job_is_void() {
        assert!(tally_of(&[2, 0, 3, 1]).is_ok());
        assert!(tally_of(&[0, 1, 2]).is_err());
        assert!(tally_of(&[0, 1, 2, 3, 3]).is_err());
        // One lost, another one doubled.
        assert!(tally_of(&[0, 1, 3, 3]).is_err());
    }
}
