//! What is over is over: nothing happens to a job that is done, cancelled, handed back or evicted, and to a dead letter
//! only that it is requeued or evicted. An attempt that was cancelled is the last one.

use std::collections::BTreeSet;

use queue_core::{Event, JobId};

use super::facts::job_of;
use super::{Facts, Holds, Invariant, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct TerminalIsFinal {
    cancelled: BTreeSet<JobId>,
}

impl Invariant for TerminalIsFinal {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        if let What::Asked(id) = seen.what {
            self.cancelled.insert(*id);
        }
        let What::Event(event) = seen.what else { return Ok(()) };
        let Some(job) = job_of(event) else { return Ok(()) };
        let place = facts.ledger.place(job.id);
        let runs_again =
            matches!(event, Event::Retried { .. } | Event::Snoozed { .. } | Event::Interrupted(_));
        ensure(!self.cancelled.remove(&job.id) || !runs_again, || {
            format!("{event:?}, and the attempt was cancelled")
        })?;
        let is_legal = match event {
            Event::Pushed(_) => place.is_none(),
            Event::Started(_) | Event::HandedBack(_) => place == Some(Place::Waiting),
            Event::Requeued(_) | Event::DeadLetterEvicted(_) => place == Some(Place::Dead),
            Event::Cancelled(_) => matches!(place, Some(Place::Waiting | Place::Running)),
            _ => place == Some(Place::Running),
        };
        ensure(is_legal, || format!("{event:?}, and the job was {place:?}"))
    }
}
