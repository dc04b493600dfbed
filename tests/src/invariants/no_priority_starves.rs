//! No priority starves: a job that is ready is passed over by jobs of other priorities only so many times.

use std::collections::{BTreeMap, BTreeSet};

use queue_core::{Event, JobId};

use super::{Facts, Holds, Invariant, Lane, Place, Seen, What, ensure};

/// A lane goes next after 32 turns of more urgent ones. Each of the nine others may have waited as long and go first, and
/// less urgent ones that have are not among the 32.
const PATIENCE: u32 = 32 + 2 * 9;

#[derive(Default)]
pub(super) struct NoPriorityStarves {
    /// Jobs that are known to be ready.
    ready: BTreeMap<Lane, BTreeSet<JobId>>,
    passed_over: BTreeMap<Lane, u32>,
}

impl Invariant for NoPriorityStarves {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        match seen.what {
            What::Accepted(id, known) if known.is_ready => {
                let waits = facts.ledger.place(*id) == Some(Place::Waiting);
                if let Some(queue) = facts.ledger.queue(*id).filter(|_| waits) {
                    self.ready.entry((queue, known.priority)).or_default().insert(*id);
                }
            }
            What::Event(Event::Started(job)) => {
                let queue = facts.queue(job);
                let own = facts.jobs.get(&job.id).map(|known| (queue, known.priority));
                if let Some(ready) = own.and_then(|own| self.ready.get_mut(&own)) {
                    ready.remove(&job.id);
                }
                own.and_then(|own| self.passed_over.insert(own, 0));
                let others = self.ready.iter().filter(|(lane, jobs)| lane.0 == queue && !jobs.is_empty());
                for (lane, jobs) in others.filter(|(lane, _)| Some(**lane) != own) {
                    let times = self.passed_over.entry(*lane).or_default();
                    *times += 1;
                    let times = *times;
                    ensure(times <= PATIENCE, || {
                        format!("{jobs:?} of {lane:?} were passed over {times} times")
                    })?;
                }
            }
            What::Event(Event::Cancelled(job) | Event::HandedBack(job)) => {
                for (lane, jobs) in &mut self.ready {
                    if jobs.remove(&job.id) && jobs.is_empty() {
                        self.passed_over.insert(*lane, 0);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
