//! What a named queue counts is what its events say.

use super::{Facts, Holds, Invariant, Look, Place, ensure};

#[derive(Default)]
pub(super) struct CountsAddUp;

impl Invariant for CountsAddUp {
    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        for (queue, counts) in look.counts.iter().enumerate() {
            let counted = (counts.ready + counts.delayed, counts.running, counts.dead);
            let count = |place| facts.ledger.count(queue, place);
            let told = (count(Place::Waiting), count(Place::Running), count(Place::Dead));
            ensure(counted == told, || {
                format!(
                    "queue {queue}: (waiting, running, dead) is counted as {counted:?} and told as {told:?}"
                )
            })?;
        }
        Ok(())
    }
}
