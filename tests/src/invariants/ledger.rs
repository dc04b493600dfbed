//! Where every job is, as its events say: the simplest thing that can be right.

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::{Event, JobId};

use super::facts::job_of;

/// Where every job is.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<JobId, Entry>,
    counts: BTreeMap<(usize, Place), usize>,
}

#[derive(Debug)]
struct Entry {
    queue: usize,
    place: Place,
    since: Duration,
}

/// Where a job can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Ready, or for its time.
    Waiting,
    /// With a worker.
    Running,
    /// Among the dead letters.
    Dead,
    /// Done.
    Done,
    /// Cancelled.
    Cancelled,
    /// Given back by a shutdown.
    HandedBack,
    /// A dead letter that made room.
    Evicted,
}

impl Ledger {
    pub(super) fn apply(&mut self, event: &Event, queue: usize, at: Duration) {
        let place = match event {
            Event::Pushed(_)
            | Event::Retried { .. }
            | Event::Snoozed { .. }
            | Event::Interrupted(_)
            | Event::Requeued(_) => Place::Waiting,
            Event::Started(_) => Place::Running,
            Event::Succeeded(_) => Place::Done,
            Event::Died { .. } => Place::Dead,
            Event::Cancelled(_) => Place::Cancelled,
            Event::HandedBack(_) => Place::HandedBack,
            Event::DeadLetterEvicted(_) => Place::Evicted,
            _ => return,
        };
        let Some(job) = job_of(event) else { return };
        if let Some(before) = self.entries.insert(job.id, Entry { queue, place, since: at }) {
            *self.counts.entry((before.queue, before.place)).or_default() -= 1;
        }
        *self.counts.entry((queue, place)).or_default() += 1;
    }

    /// Where this job is.
    #[must_use]
    pub fn place(&self, id: JobId) -> Option<Place> {
        self.entries.get(&id).map(|entry| entry.place)
    }

    /// Which named queue this job is in.
    #[must_use]
    pub fn queue(&self, id: JobId) -> Option<usize> {
        self.entries.get(&id).map(|entry| entry.queue)
    }

    /// How many jobs of a named queue are there.
    #[must_use]
    pub fn count(&self, queue: usize, place: Place) -> usize {
        self.counts.get(&(queue, place)).copied().unwrap_or_default()
    }

    /// Which jobs are there, since when.
    pub fn at(&self, place: Place) -> impl Iterator<Item = (JobId, Duration)> {
        let there = self.entries.iter().filter(move |(_, entry)| entry.place == place);
        there.map(|(id, entry)| (*id, entry.since))
    }

    /// All jobs.
    pub fn ids(&self) -> impl Iterator<Item = JobId> {
        self.entries.keys().copied()
    }
}
