//! What a named queue counts is what its events say.

use super::{Facts, Holds, Invariant, Look, Place, Seen, What, ensure};

#[derive(Default)]
pub(super) struct CountsAddUp {
    shutdown_has_begun: bool,
}

impl Invariant for CountsAddUp {
    fn see(&mut self, seen: &Seen<'_>, _: &Facts) -> Holds {
        self.shutdown_has_begun |= matches!(seen.what, What::ShutdownBegins(_));
        Ok(())
    }

    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        for (queue, counts) in look.counts.iter().enumerate() {
            let counted = (counts.ready + counts.delayed, counts.running, counts.dead);
            let count = |place| facts.ledger.count(queue, place);
            let told = (count(Place::Waiting), count(Place::Running), count(Place::Dead));
            // Nothing is told of dead letters that are cleared.
            let is_cleared = !facts.pushes_are_known && counted.2 < told.2;
            let told = if is_cleared { (told.0, told.1, counted.2) } else { told };
            // Nothing is told of attempts that outlive the shutdown.
            let is_abandoned = self.shutdown_has_begun && counted.0 == told.0 && counted.1 < told.1;
            ensure(counted == told || is_abandoned, || {
                format!(
                    "queue {queue}: (waiting, running, dead) is counted as {counted:?} and told as {told:?}"
                )
            })?;
        }
        Ok(())
    }
}
