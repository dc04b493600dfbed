//! The simulation as a runtime: the part that every adapter has.

use std::fmt;
use std::time::{Instant, SystemTime};

use queue_core::{LocalMode, Runtime, Spawner, SpawnsQueue, Timer};

use crate::sleep::Sleep;
use crate::world::World;

impl Timer for World {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        let now = self.shared.with(|state| {
            if !state.chaos.slow_code.is_zero() {
                let time = state.some_time(state.chaos.slow_code);
                state.pass(time);
            }
            state.now
        });
        self.shared.instant(now)
    }

    fn wall(&self) -> SystemTime {
        self.shared.with(|state| state.wall)
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self.shared.clone(), self.shared.since_start(deadline))
    }
}

impl<F> Spawner<F> for World
where
    F: Future<Output = ()> + fmt::Debug + 'static,
{
    /// # Panics
    ///
    /// Outside of this simulation.
    fn spawn(&self, future: F) {
        let name = std::any::type_name::<F>();
        let name = name.split('<').next().and_then(|path| path.rsplit(':').next()).unwrap_or(name);
        self.executor().spawn_part(name, future);
    }
}

impl Runtime for World {
    type Mode = LocalMode;

    fn seed(&self) -> Option<u64> {
        Some(self.shared.seed)
    }
}

/// A world runs its own queues.
const _: fn() = || {
    fn runs<R: Runtime + SpawnsQueue<R>>() {}
    runs::<World>();
};
