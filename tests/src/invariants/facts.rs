//! What the invariants know: how the queues are configured, what was asked of each job, where each is.

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::{Event, JobId, JobInfo, Name, Priority};

use super::{Ledger, What};

/// What is known when something is seen: everything that was seen before it.
#[derive(Debug, Default)]
pub struct Facts {
    /// The named queues.
    pub queues: Vec<Bounds>,
    /// Whether whoever pushes says what: the events of a queue alone do not tell how urgent or how late a job is.
    pub pushes_are_known: bool,
    /// How late a job may become ready: a tick, or as long as nobody is there to see to it.
    pub tolerance: Duration,
    /// What was asked of each job, once its push has returned.
    pub jobs: BTreeMap<JobId, JobFacts>,
    /// Where each job is.
    pub ledger: Ledger,
}

/// How a named queue is configured.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Its name.
    pub name: Name,
    /// How many workers it has.
    pub workers: usize,
    /// How many jobs may run.
    pub limit: usize,
    /// How many jobs may wait.
    pub capacity: usize,
    /// How many bytes may wait.
    pub capacity_bytes: usize,
    /// How many dead letters are kept.
    pub dead_letters: usize,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
}

/// More than any queue has, and little enough to be added to.
const UNKNOWN: usize = usize::MAX / 2;

impl Bounds {
    /// Those of a named queue of which no more is known than that it is there.
    #[must_use]
    pub fn unknown(name: Name) -> Self {
        let most = UNKNOWN;
        Self {
            name,
            workers: most,
            limit: most,
            capacity: most,
            capacity_bytes: most,
            dead_letters: most,
            timeout: None,
        }
    }

    /// Whether it is known how many dead letters are kept.
    pub(super) fn knows_dead_letters(&self) -> bool {
        self.dead_letters != UNKNOWN
    }
}

/// What was asked of a job.
#[derive(Clone, Copy, Debug)]
pub struct JobFacts {
    /// Its priority.
    pub priority: Priority,
    /// It may not start before this.
    pub not_before: Duration,
    /// How long after its push was accepted it is ready.
    pub delay: Duration,
    /// Whether it was pushed without a delay.
    pub is_ready: bool,
    /// How long an attempt of it may take, if it says so itself.
    pub timeout: Option<Duration>,
}

impl JobFacts {
    /// Those of a job in a batch.
    pub const ALIKE: Self = Self {
        priority: Priority::NORMAL,
        not_before: Duration::ZERO,
        delay: Duration::ZERO,
        is_ready: true,
        timeout: None,
    };
}

/// The kind of all jobs that are pushed in batches, which are all alike.
pub const BATCH: &str = "batch";

impl Facts {
    /// The number of the named queue a job is in.
    #[must_use]
    pub fn queue(&self, job: &JobInfo) -> usize {
        self.queues.iter().position(|bounds| bounds.name == job.queue).unwrap_or(usize::MAX)
    }

    /// Takes note of what all invariants have seen.
    pub(super) fn note(&mut self, at: Duration, what: &What) {
        match what {
            What::Event(event) => {
                // The numbers of a batch come back when all of it was accepted, and its jobs run before that.
                if let Event::Pushed(job) = event
                    && *job.kind == *BATCH
                {
                    self.jobs.insert(job.id, JobFacts::ALIKE);
                }
                let queue = job_of(event).map(|job| self.queue(job));
                self.ledger.apply(event, queue.unwrap_or_default(), at);
            }
            What::Accepted(id, facts) => {
                self.jobs.insert(*id, *facts);
            }
            _ => {}
        }
    }
}

/// The job an event is about.
#[must_use]
pub(super) fn job_of(event: &Event) -> Option<&JobInfo> {
    match event {
        Event::Pushed(job)
        | Event::Started(job)
        | Event::Succeeded(job)
        | Event::Retried { job, .. }
        | Event::Snoozed { job, .. }
        | Event::Died { job, .. }
        | Event::Cancelled(job)
        | Event::Interrupted(job)
        | Event::HandedBack(job)
        | Event::Requeued(job)
        | Event::DeadLetterEvicted(job) => Some(job),
        _ => None,
    }
}
