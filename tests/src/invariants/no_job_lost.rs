//! Accepted is kept: a job whose push returned is done, dead, cancelled, handed back, or still there; and nothing runs
//! that nobody pushed. A dead letter is dropped only when there are more than are kept.

use std::collections::BTreeSet;

use queue_core::{Event, JobId};

use super::{End, Facts, Holds, Invariant, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct NoJobLost {
    accepted: BTreeSet<JobId>,
}

impl Invariant for NoJobLost {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        match seen.what {
            What::Accepted(id, _) => {
                self.accepted.insert(*id);
                ensure(facts.ledger.place(*id).is_some(), || format!("{id} was accepted, but never pushed"))
            }
            What::Event(Event::Pushed(job)) => ensure(facts.ledger.place(job.id).is_none(), || {
                format!("{} is the number of two jobs", job.id)
            }),
            What::Event(Event::DeadLetterEvicted(job)) => {
                let queue = facts.queue(job);
                let dead = facts.ledger.count(queue, Place::Dead);
                let Some(bounds) = facts.queues.get(queue).filter(|bounds| bounds.knows_dead_letters())
                else {
                    return Ok(());
                };
                let kept = bounds.dead_letters;
                ensure(dead > kept, || format!("{} makes room among {dead} of {kept} dead letters", job.id))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, end: &End, facts: &Facts) -> Holds {
        for id in facts.ledger.ids() {
            ensure(self.accepted.contains(&id), || {
                format!("{id} was pushed, but its push did not return it")
            })?;
        }
        if let Some((id, since)) = facts.ledger.at(Place::Waiting).next() {
            return Err(format!("{id} waits since {since:?}, and the queue is shut down"));
        }
        let running: Vec<_> = facts.ledger.at(Place::Running).map(|(id, _)| id).collect();
        ensure(running == end.report.abandoned, || {
            format!("{running:?} still ran, {:?} were abandoned", end.report.abandoned)
        })?;
        // What is abandoned ends when nobody is told any more: well, or here.
        let told: Vec<_> = facts.ledger.at(Place::Dead).map(|(id, _)| id).collect();
        let mut kept: Vec<_> = end.dead_letters.iter().map(|dead| dead.id).collect();
        kept.retain(|id| !running.contains(id));
        kept.sort();
        let made_room = running.len().min(told.len() - kept.len().min(told.len()));
        ensure(told.len() == kept.len() + made_room && kept.iter().all(|id| told.contains(id)), || {
            format!("these died: {told:?}, these are dead letters: {kept:?}")
        })
    }
}
