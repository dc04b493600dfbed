//! Nothing grows without bound: waiting jobs and bytes, dead letters, workers.

use super::{Facts, Holds, Invariant, Look, ensure};

/// No payload of the workload is larger.
pub(super) const LARGEST: usize = 512;

#[derive(Default)]
pub(super) struct BoundsHold;

impl Invariant for BoundsHold {
    fn look(&mut self, look: &Look, facts: &Facts) -> Holds {
        for (counts, bounds) in look.counts.iter().zip(&facts.queues) {
            let wrong = || format!("{counts:?} against {bounds:?}");
            // A job that comes back from its worker is never refused: it may find its room taken.
            let waiting = counts.ready + counts.delayed;
            ensure(waiting + counts.running <= bounds.capacity.saturating_add(bounds.limit), wrong)?;
            let bytes = bounds.capacity_bytes.saturating_add(bounds.limit * LARGEST);
            ensure(counts.waiting_bytes <= bytes, wrong)?;
            ensure(counts.dead <= bounds.dead_letters, wrong)?;
            ensure(counts.workers <= bounds.workers.min(bounds.limit), wrong)?;
        }
        Ok(())
    }
}
