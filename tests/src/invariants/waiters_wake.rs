//! Nobody waits for what is there: no push for room, no job for its time or a worker, when nothing else will happen.

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::{Event, JobId};

use super::bounds_hold::LARGEST;
use super::{Facts, Holds, Invariant, Look, Seen, What, ensure};

#[derive(Default)]
pub(super) struct WaitersWake {
    /// Pushes that wait, by the number of their named queue.
    waiting: BTreeMap<usize, usize>,
    /// When each job that waits for its time is ready, at the latest.
    due: BTreeMap<JobId, (usize, Duration)>,
}

impl Invariant for WaitersWake {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        match seen.what {
            What::Accepted(id, known) if !known.is_ready => {
                let queue = facts.ledger.queue(*id).unwrap_or(usize::MAX);
                self.due.insert(*id, (queue, seen.at.saturating_add(known.delay)));
            }
            What::Event(Event::Retried { job, delay, .. } | Event::Snoozed { job, delay }) => {
                self.due.insert(job.id, (facts.queue(job), seen.at.saturating_add(*delay)));
            }
            What::Event(Event::Started(job) | Event::Cancelled(job) | Event::HandedBack(job)) => {
                self.due.remove(&job.id);
            }
            What::Waits(queue) => *self.waiting.entry(*queue).or_default() += 1,
            What::WaitsNoMore(queue) => *self.waiting.entry(*queue).or_default() -= 1,
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        if !look.is_lull {
            return Ok(());
        }
        for (queue, (counts, bounds)) in look.counts.iter().zip(&facts.queues).enumerate() {
            let pushes = self.waiting.get(&queue).copied().unwrap_or_default();
            let has_room = counts.ready + counts.delayed < bounds.capacity
                && counts.waiting_bytes + LARGEST <= bounds.capacity_bytes;
            ensure(pushes == 0 || !has_room, || {
                format!("{pushes} pushes wait for room in {} that is there: {counts:?}", bounds.name)
            })?;
            let is_early = |due: Duration| due.saturating_add(facts.tolerance) >= look.at;
            let early = self.due.values().filter(|(of, due)| *of == queue && is_early(*due)).count();
            ensure(counts.delayed <= early || !facts.pushes_are_known, || {
                format!(
                    "{} jobs of {} are delayed, and {early} not due: {counts:?}",
                    counts.delayed, bounds.name
                )
            })?;
            let idle = bounds.limit.min(counts.workers) - counts.running;
            ensure(counts.is_paused || counts.ready == 0 || idle == 0, || {
                format!(
                    "{} jobs are ready in {} and {idle} workers idle: {counts:?}",
                    counts.ready, bounds.name
                )
            })?;
        }
        Ok(())
    }
}
