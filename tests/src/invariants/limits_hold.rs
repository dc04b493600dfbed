//! Never more jobs of a named queue run than its limit says: not by events, not by its counts, not by live handlers.

use std::collections::BTreeMap;

use queue_core::{Event, JobId};

use super::{Facts, Holds, Invariant, Look, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct LimitsHold {
    queue_of: BTreeMap<JobId, usize>,
    handlers: BTreeMap<usize, usize>,
}

impl Invariant for LimitsHold {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        match seen.what {
            What::Event(Event::Started(job)) => {
                let queue = facts.queue(job);
                self.queue_of.insert(job.id, queue);
                let running = facts.ledger.count(queue, Place::Running) + 1;
                check(facts, queue, running, "attempts have started")
            }
            What::Entered(id, _) => {
                let queue = self.queue_of.get(id).copied().unwrap_or(usize::MAX);
                let handlers = self.handlers.entry(queue).or_default();
                *handlers += 1;
                check(facts, queue, *handlers, "handlers are alive")
            }
            What::Left(id) => {
                let queue = self.queue_of.get(id).copied().unwrap_or(usize::MAX);
                *self.handlers.entry(queue).or_default() -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        let mut queues = look.counts.iter().enumerate();
        queues.try_for_each(|(queue, counts)| {
            check(facts, queue, counts.running, "jobs are counted as running")?;
            // A worker has one job at a time, and leaves no later than its last one.
            ensure(counts.running <= counts.workers, || format!("more jobs run than workers: {counts:?}"))
        })
    }
}

fn check(facts: &Facts, queue: usize, running: usize, what: &str) -> Holds {
    let Some(bounds) = facts.queues.get(queue) else { return Err(format!("there is no queue {queue}")) };
    ensure(running <= bounds.limit, || format!("{running} {what} in {}, over {}", bounds.name, bounds.limit))
}
