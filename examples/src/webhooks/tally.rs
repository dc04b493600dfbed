//! What the queue's events say of each job: the queue's own account, to hold against the receivers'.

use std::collections::BTreeMap;

use queue_core::{Event, JobId, JobInfo};

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
}

impl Track {
    /// Whether nothing more is to come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.succeeded + self.died + self.handed_back > 0
    }
}

impl Tally {
    /// Counts an event.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Started(job) => self.track(job).started += 1,
            Event::Succeeded(job) => self.track(job).succeeded += 1,
            Event::Retried { job, .. } => self.track(job).failed += 1,
            Event::Interrupted(job) => self.track(job).interrupted += 1,
            Event::Died { job, .. } => self.track(job).died += 1,
            Event::HandedBack(job) => self.track(job).handed_back += 1,
            _ => {}
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

    fn track(&mut self, job: &JobInfo) -> &mut Track {
        self.tracks.entry(job.id).or_default()
    }
}
