//! Within a named queue and a priority, jobs that were ready when they were pushed start in the order of their pushes.

use std::collections::{BTreeMap, BTreeSet};

use queue_core::{Event, JobId};

use super::{Facts, Holds, Invariant, Lane, Seen, What, ensure};

#[derive(Default)]
pub(super) struct OrderWithinPriority {
    started: BTreeSet<JobId>,
    latest: BTreeMap<Lane, JobId>,
}

impl Invariant for OrderWithinPriority {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        let What::Event(Event::Started(job)) = seen.what else { return Ok(()) };
        let Some(known) = facts.jobs.get(&job.id).filter(|known| known.is_ready) else { return Ok(()) };
        // Retries and interrupted jobs have places of their own.
        if !self.started.insert(job.id) {
            return Ok(());
        }
        let lane = (facts.queue(job), known.priority);
        let before = self.latest.insert(lane, job.id);
        ensure(before.is_none_or(|before| before < job.id), || {
            format!("{} starts after {before:?}, which was pushed later to {lane:?}", job.id)
        })
    }
}
