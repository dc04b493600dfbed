//! What is over is over: nothing happens to a job that is done, cancelled, handed back or evicted, and to a dead letter
//! only that it is requeued or evicted.

use queue_core::Event;

use super::facts::job_of;
use super::{Facts, Holds, Invariant, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct TerminalIsFinal;

impl Invariant for TerminalIsFinal {
    fn see(&mut self, seen: &Seen<'_>, facts: &Facts) -> Holds {
        let What::Event(event) = seen.what else { return Ok(()) };
        let Some(job) = job_of(event) else { return Ok(()) };
        let place = facts.ledger.place(job.id);
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
