//! The faults that strike from outside of the tasks, and the restart after a crash.

use crate::chaos::{FARTHEST, FARTHEST_WALL, LONGEST_OUTAGE};
use crate::executor::Executor;
use crate::piece::Origin;
use crate::trace::Step;
use crate::world::World;

impl Executor {
    /// The faults that need no occasion.
    pub(crate) fn upset(&self) {
        let tasks = self.tasks.borrow();
        let woken = self.shared.with(|state| {
            if state.happens(state.chaos.clock_jumps) {
                if state.random.bool() {
                    let by = state.some_time(FARTHEST);
                    state.pass(by);
                    state.log(Step::Ahead(by));
                } else {
                    let by = state.some_time(FARTHEST_WALL);
                    let ahead = state.random.bool();
                    state.wall = if ahead { state.wall + by } else { state.wall - by };
                    state.log(Step::Wall(if ahead { "AHEAD" } else { "BACK" }, by));
                }
            }
            if tasks.is_empty() || !state.happens(state.chaos.spurious_wakes) {
                return None;
            }
            let at = state.random.usize(0..tasks.len());
            let (id, task) = tasks.iter().nth(at)?;
            state.log(Step::Spurious(*id));
            Some(task.waker.clone())
        });
        if let Some(waker) = woken {
            waker.wake_now();
        }
    }

    /// Starts again what is supervised, after a while.
    pub(crate) fn restart_later(&self) {
        if self.supervised.borrow().is_empty() || self.restarting.replace(true) {
            return;
        }
        let outage = self.shared.with(|state| state.some_time(LONGEST_OUTAGE));
        let sleep = World::of(&self.shared).sleep(outage);
        let restart = async move {
            sleep.await;
            let Some(this) = Self::current() else { return };
            this.restarting.set(false);
            this.shared.with(|state| state.log(Step::Restarted));
            let restarts = this.supervised.borrow().clone();
            for restart in restarts {
                restart();
            }
        };
        self.spawn("supervisor", restart, Origin::Simulator);
    }
}
