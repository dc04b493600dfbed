//! A delayed job, a retry and a snooze never start before their time.

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::{Event, JobId};

use super::{Facts, Holds, Invariant, Seen, What, ensure};

#[derive(Default)]
pub(super) struct NeverEarly {
    /// Of those that failed or snoozed.
    not_before: BTreeMap<JobId, Duration>,
}

impl Invariant for NeverEarly {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        let What::Event(event) = seen.what else { return Ok(()) };
        match event {
            Event::Retried { job, delay, .. } | Event::Snoozed { job, delay } => {
                self.not_before.insert(job.id, seen.since.saturating_add(*delay));
            }
            Event::Requeued(job) => {
                self.not_before.insert(job.id, Duration::ZERO);
            }
            Event::Started(job) => {
                let pushed = facts.jobs.get(&job.id).map(|facts| facts.not_before);
                let earliest = self.not_before.get(&job.id).copied().or(pushed).unwrap_or_default();
                return ensure(seen.at >= earliest, || {
                    format!("{} starts at {:?} and not at {earliest:?}", job.id, seen.at)
                });
            }
            _ => {}
        }
        Ok(())
    }
}
