//! A failure makes the next attempt one more; a snooze and an interruption leave it; a requeue starts again at 0.

use std::collections::BTreeMap;

use queue_core::{Event, JobId};

use super::{Facts, Holds, Invariant, Seen, What, ensure};

#[derive(Default)]
pub(super) struct AttemptsOnlyGrow {
    next: BTreeMap<JobId, u32>,
}

impl Invariant for AttemptsOnlyGrow {
    fn see(&mut self, seen: &Seen<'_>, _: &Facts) -> Holds {
        match seen.what {
            What::Event(Event::Pushed(job) | Event::Requeued(job)) => {
                self.next.insert(job.id, 0);
                ensure(job.attempt == 0, || format!("{} begins with attempt {}", job.id, job.attempt))
            }
            What::Event(Event::Retried { job, .. }) => {
                self.next.insert(job.id, job.attempt + 1);
                Ok(())
            }
            What::Event(Event::Started(job) | Event::Snoozed { job, .. } | Event::Interrupted(job)) => {
                self.check(job.id, job.attempt)
            }
            What::Entered(id, attempt) => self.check(*id, *attempt),
            _ => Ok(()),
        }
    }
}

impl AttemptsOnlyGrow {
    fn check(&self, id: JobId, attempt: u32) -> Holds {
        let next = self.next.get(&id).copied();
        ensure(next == Some(attempt), || format!("this is attempt {attempt} of {id}, and not {next:?}"))
    }
}
