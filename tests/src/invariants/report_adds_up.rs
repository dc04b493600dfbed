//! Shutdown's report says what became of every job since it began.

use queue_core::Event;

use super::{End, Facts, Holds, Invariant, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct ReportAddsUp {
    has_begun: bool,
    finished: u64,
    dead: u64,
    cancelled: u64,
}

impl Invariant for ReportAddsUp {
    fn see(&mut self, seen: &Seen<'_>, _: &Facts) -> Holds {
        match seen.what {
            What::ShutdownBegins(_) => self.has_begun = true,
            What::Event(Event::Pushed(job) | Event::Requeued(job)) if self.has_begun => {
                return Err(format!("{} was taken in after the shutdown began", job.id));
            }
            What::Event(event) if self.has_begun => match event {
                Event::Succeeded(_) => self.finished += 1,
                Event::Died { .. } => self.dead += 1,
                Event::Cancelled(_) => self.cancelled += 1,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, end: &End, facts: &Facts) -> Holds {
        let report = &end.report;
        let told = (self.finished, self.dead, self.cancelled);
        let reported = (report.finished, report.dead_lettered, report.cancelled);
        ensure(told == reported, || {
            format!("(finished, dead, cancelled) is told as {told:?} and reported as {reported:?}")
        })?;
        let told: Vec<_> = facts.ledger.at(Place::HandedBack).map(|(id, _)| id).collect();
        let reported: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
        ensure(told == reported, || format!("{told:?} were handed back, {reported:?} reported"))?;
        // Handlers that wait are interrupted; a clock that jumped over the time for that is the only excuse.
        ensure(report.abandoned.is_empty() || end.clock_jumped, || {
            format!("{:?} were abandoned", report.abandoned)
        })?;
        ensure(end.missed == 0, || format!("{} events were missed", end.missed))
    }
}
