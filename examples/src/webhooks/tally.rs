//! What the queue's events say of each job: the queue's own account, to hold against the receivers'.

use std::collections::BTreeMap;

use queue_core::{Event, JobId, JobInfo};
use serde::{Deserialize, Serialize};

/// The events of all jobs, counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By job.
    pub tracks: BTreeMap<JobId, Track>,
}

/// The events of one job, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Track {
    /// Attempts that started.
    pub started: u32,
    /// Attempts that succeeded.
    pub succeeded: u32,
    /// Attempts that failed, to be tried again.
    pub failed: u32,
    /// Attempts that shutdown interrupted.
    pub interrupted: u32,
    /// Attempts that made the job a dead letter.
    pub died: u32,
    /// How often shutdown gave the job back.
    pub handed_back: u32,
    /// How often the process was killed before anything told of the job's end: the last events of each such life may be
    /// missing.
    pub cut: u32,
}

/// What an event tells of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An attempt started.
    Started,
    /// It succeeded.
    Succeeded,
    /// It failed, to be tried again.
    Failed,
    /// Shutdown interrupted it.
    Interrupted,
    /// It made the job a dead letter.
    Died,
    /// Shutdown gave the job back.
    HandedBack,
}

impl What {
    /// What this event tells, and of which job; `None` if it tells of nothing that is counted.
    #[must_use]
    pub fn of(event: &Event) -> Option<(&JobInfo, Self)> {
        Some(match event {
            Event::Started(job) => (job, Self::Started),
            Event::Succeeded(job) => (job, Self::Succeeded),
            Event::Retried { job, .. } => (job, Self::Failed),
            Event::Interrupted(job) => (job, Self::Interrupted),
            Event::Died { job, .. } => (job, Self::Died),
            Event::HandedBack(job) => (job, Self::HandedBack),
            _ => return None,
        })
    }
}

impl Track {
    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.succeeded + self.died + self.handed_back > 0
    }
}

impl Tally {
    /// Counts what an event told of a job.
    pub fn count(&mut self, job: JobId, what: What) {
        let track = self.tracks.entry(job).or_default();
        match what {
            What::Started => track.started += 1,
            What::Succeeded => track.succeeded += 1,
            What::Failed => track.failed += 1,
            What::Interrupted => track.interrupted += 1,
            What::Died => track.died += 1,
            What::HandedBack => track.handed_back += 1,
        }
    }

    /// How many jobs are done, dead or handed back.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.tracks.values().filter(|track| track.is_settled()).count()
    }

    /// How many jobs are done or dead.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.tracks.values().filter(|track| track.succeeded + track.died > 0).count()
    }
}
