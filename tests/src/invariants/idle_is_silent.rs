//! An idle queue does not wake up.

use super::{Facts, Holds, Invariant, Seen, What, ensure};

/// Whoever measures wakes once, and may be the last task that is polled before it.
const OWN: u64 = 2;

#[derive(Default)]
pub(super) struct IdleIsSilent;

impl Invariant for IdleIsSilent {
    fn see(&mut self, seen: &Seen<'_>, _: &Facts) -> Holds {
        let What::Idle(steps) = seen.what else { return Ok(()) };
        ensure(*steps <= OWN, || format!("{steps} steps in an idle hour"))
    }
}
