//! No handler lives on when its time is up, or when the time of a shutdown is, once everyone has had a turn.

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::JobId;

use super::{Facts, Holds, Invariant, Look, Seen, What, ensure};

#[derive(Default)]
pub(super) struct NobodyOutstays {
    /// When each handler's future was made, at the latest.
    inside: BTreeMap<JobId, Duration>,
    /// When a shutdown interrupts what still runs.
    interrupted_at: Option<Duration>,
}

impl Invariant for NobodyOutstays {
    fn see(&mut self, seen: &Seen<'_>, _: &Facts) -> Holds {
        match seen.what {
            What::Entered(id, _) => {
                self.inside.insert(*id, seen.at);
            }
            What::Left(id) => {
                self.inside.remove(id);
            }
            What::ShutdownBegins(timeout) => {
                let end = seen.at.saturating_add(*timeout);
                self.interrupted_at = Some(self.interrupted_at.map_or(end, |earlier| earlier.min(end)));
            }
            _ => {}
        }
        Ok(())
    }

    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        if !look.is_lull {
            return Ok(());
        }
        let is_past = |end: Duration| end.saturating_add(facts.tolerance) < look.at;
        for (id, entered) in &self.inside {
            // Its push may not have returned: then nobody knows yet how long it may take.
            let timeout = facts.jobs.get(id).and_then(|job| {
                let queue = facts.ledger.queue(*id).and_then(|queue| facts.queues.get(queue));
                job.timeout.or(queue?.timeout)
            });
            ensure(timeout.is_none_or(|timeout| !is_past(entered.saturating_add(timeout))), || {
                format!("{id} began at {entered:?}, may take {timeout:?}, and still runs at {:?}", look.at)
            })?;
        }
        ensure(self.inside.is_empty() || self.interrupted_at.is_none_or(|end| !is_past(end)), || {
            format!("{:?} still run at {:?}, after {:?}", self.inside.keys(), look.at, self.interrupted_at)
        })
    }
}
