//! The time of a store whose jobs outlive the process.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::runtime::Clock;
use crate::sync::Mutex;

/// The wall clock, but never going back: it goes on as the runtime's clock does, and further when the wall clock is ahead of
/// that. Clocks are read when somebody asks, for most jobs have no time.
pub(crate) struct StoreTime {
    clock: Arc<dyn Clock>,
    /// One moment, by the runtime's clock and by the time of the store.
    last: Mutex<(Instant, SystemTime)>,
}

impl StoreTime {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Mutex::new((clock.now(), clock.wall()));
        Self { clock, last }
    }

    /// Begins again, with the latest time that the store has seen. Says what moment it is.
    pub(crate) fn begin(&self, seen: Option<SystemTime>) -> (Instant, SystemTime) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut last = self.last.lock();
        *last = (now, seen.map_or(wall, |seen| seen.max(wall)));
        *last
    }

    /// This moment, by the runtime's clock and by the time of the store.
    pub(crate) fn moment(&self) -> (Instant, SystemTime) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut last = self.last.lock();
        let time = last.1.checked_add(now.saturating_duration_since(last.0)).unwrap_or(last.1);
        *last = (now.max(last.0), time.max(wall));
        *last
    }
}

impl fmt::Debug for StoreTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreTime").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Seconds that passed, by either clock.
    #[derive(Clone)]
    struct Clocks(Arc<Mutex<(u64, u64)>>, Instant);

    impl Clock for Clocks {
        fn now(&self) -> Instant {
            self.1 + Duration::from_secs(self.0.lock().0)
        }

        fn wall(&self) -> SystemTime {
            at(self.0.lock().1)
        }
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
    fn it_follows_the_wall_clock_forward_and_never_back() {
        let clocks = Clocks(Arc::default(), Instant::now());
        let set = |now, wall| *clocks.0.lock() = (now, wall);
        set(0, 1_000);
        let time = StoreTime::new(Arc::new(clocks.clone()));
        let seconds = || time.moment().1.duration_since(at(0)).expect("it is later").as_secs();
        assert_eq!(seconds(), 1_000);
        set(10, 1_010);
        assert_eq!(seconds(), 1_010);
        set(11, 400);
        assert_eq!(seconds(), 1_011, "the wall clock was set back");
        set(12, 5_000);
        assert_eq!(seconds(), 5_000, "and then forward");
        set(20, 500);
        assert_eq!(seconds(), 5_008);
        assert_eq!(time.moment().0, clocks.now());

        assert_eq!(time.begin(Some(at(9_000))), (clocks.now(), at(9_000)), "the store has seen a later time");
        set(21, 600);
        assert_eq!(seconds(), 9_001);
        set(22, 9_500);
        assert_eq!(time.begin(Some(at(9_001))).1, at(9_500));
        assert_eq!(time.begin(None).1, at(9_500));
    }
}
