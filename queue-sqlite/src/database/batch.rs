//! What of a batch need not be written, because something later in it makes it void.

use queue_core::{Change, JobId, Record};
use rustc_hash::FxHashMap;

/// Marks the changes of one batch that need not be written.
#[derive(Debug)]
pub(super) struct Superfluous {
    /// Whether what happened to a job that is over is still of interest.
    keeps_settled: bool,
    marks: Vec<bool>,
    later: FxHashMap<JobId, Later>,
}

/// What is known of a job from further down in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    /// It goes on somehow.
    Lives,
    /// It is gone, so all that happened before is of no interest.
    Gone,
}

impl Superfluous {
    pub(super) fn new(keeps_settled: bool) -> Self {
        Self { keeps_settled, marks: Vec::new(), later: FxHashMap::default() }
    }

    pub(super) fn look_at(&mut self, changes: &[Change]) {
        self.marks.clear();
        if changes.len() < 2 {
            return;
        }
        self.marks.resize(changes.len(), false);
        self.later.clear();
        for (mark, change) in self.marks.iter_mut().zip(changes).rev() {
            let Some((id, is_over)) = change.record().and_then(of) else { continue };
            let later = self.later.get(&id).copied();
            *mark = match later {
                // Every other transition says all about where it leads to.
                Some(_) if matches!(change.record(), Some(Record::Started { .. })) => true,
                Some(Later::Gone) => !self.keeps_settled,
                None | Some(Later::Lives) => false,
            };
            if later.is_none() {
                self.later.insert(id, if is_over { Later::Gone } else { Later::Lives });
            }
        }
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.marks.get(index).is_some_and(|mark| *mark)
    }
}

/// The job that a record is about, and whether it is gone with it.
fn of(record: &Record) -> Option<(JobId, bool)> {
    Some(match record {
        Record::Pushed(job) => (job.id, false),
        Record::Started { id }
        | Record::Interrupted { id }
        | Record::Snoozed { id, .. }
        | Record::Retried { id, .. }
        | Record::Died { id, .. }
        | Record::Requeued { id } => (*id, false),
        Record::Done { id } | Record::Cancelled { id } | Record::Dropped { id } => (*id, true),
        _ => return None,
    })
}
