//! A job has one attempt at a time: one handler's future, between one start and one end.

use std::collections::BTreeSet;

use queue_core::{Event, JobId};

use super::{End, Facts, Holds, Invariant, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct OneLiveAttempt {
    inside: BTreeSet<JobId>,
}

impl Invariant for OneLiveAttempt {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        match seen.what {
            What::Event(Event::Started(job)) => {
                let place = facts.ledger.place(job.id);
                ensure(place == Some(Place::Waiting), || format!("{} starts and is {place:?}", job.id))
            }
            What::Entered(id, _) => {
                ensure(self.inside.insert(*id), || format!("{id} has two handlers"))?;
                let place = facts.ledger.place(*id);
                ensure(place == Some(Place::Running), || format!("{id} has a handler and is {place:?}"))
            }
            What::Left(id) => {
                self.inside.remove(id);
                let place = facts.ledger.place(*id);
                ensure(place == Some(Place::Running), || format!("{id} still had a handler and is {place:?}"))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, end: &End, _: &Facts) -> Holds {
        self.inside.retain(|id| !end.report.abandoned.contains(id));
        ensure(self.inside.is_empty(), || format!("these still have handlers: {:?}", self.inside))
    }
}
