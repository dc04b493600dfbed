//! The dead letters of a named queue: the oldest make room when there are too many.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::{Entry, Extras};
use crate::dead::DeadJob;
use crate::job::JobId;
use crate::registry::Kind;

#[derive(Debug)]
pub(crate) struct DeadLetters {
    jobs: VecDeque<Dead>,
    bytes: usize,
    limits: DeadLimits,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadLimits {
    pub(crate) jobs: usize,
    pub(crate) bytes: usize,
}

/// A dead letter and what it needs to live again.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) job: Arc<DeadJob>,
    kind: Kind,
    extras: Option<Box<Extras>>,
}

impl Dead {
    pub(crate) fn new(job: DeadJob, kind: Kind, extras: Option<Box<Extras>>) -> Self {
        Self { job: Arc::new(job), kind, extras }
    }

    pub(crate) fn into_entry(self) -> Entry {
        let job = self.job;
        let mut entry = Entry::new(job.id, self.kind, job.priority, job.payload.clone());
        let mut extras = self.extras.unwrap_or_default();
        extras.history.clone_from(&job.history);
        entry.extras = Some(extras);
        entry
    }

    fn bytes(&self) -> usize {
        let errors: usize = self.job.history.iter().map(|failed| failed.error.len()).sum();
        self.job.payload.len() + errors
    }
}

impl DeadLetters {
    pub(crate) fn new(limits: DeadLimits) -> Self {
        Self { jobs: VecDeque::new(), bytes: 0, limits }
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<DeadJob>> {
        self.jobs.iter().map(|dead| &dead.job)
    }

    pub(crate) fn find(&self, id: JobId) -> Option<&Arc<DeadJob>> {
        self.iter().find(|job| job.id == id)
    }

    /// Adds one, and gives back what had to make room. The newest is kept even if it is too large all by itself.
    pub(super) fn push(&mut self, dead: Dead) -> Vec<Dead> {
        self.bytes += dead.bytes();
        self.jobs.push_back(dead);
        let mut evicted = Vec::new();
        while self.jobs.len() > self.limits.jobs || (self.bytes > self.limits.bytes && self.jobs.len() > 1) {
            let Some(oldest) = self.jobs.pop_front() else { break };
            self.bytes -= oldest.bytes();
            evicted.push(oldest);
        }
        evicted
    }

    pub(super) fn take(&mut self, id: JobId) -> Option<Dead> {
        let position = self.jobs.iter().position(|dead| dead.job.id == id)?;
        let dead = self.jobs.remove(position)?;
        self.bytes -= dead.bytes();
        Some(dead)
    }

    pub(super) fn take_all(&mut self) -> Vec<Dead> {
        self.bytes = 0;
        self.jobs.drain(..).collect()
    }
}
