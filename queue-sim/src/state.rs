//! What a simulation knows: its clocks, who is ready, who waits for when, what happened.
//!
//! Reached from wakers, which are `Send`, so it is behind a lock that nobody ever waits for. Tasks are not in here:
//! they need not be `Send`. Nothing in here depends on an address, a hash or a real clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::chaos::Chaos;
use crate::trace::{Step, Trace};

/// A task's number, in the order in which they were spawned.
pub(crate) type TaskId = u32;

/// What the closure given to `run` returned.
pub(crate) const MAIN: TaskId = 0;

/// A place among those that wait for a time: earliest first, then first come first.
pub(crate) type TimerKey = (Duration, u64);

pub(crate) struct Shared {
    pub(crate) seed: u64,
    /// The one real instant. Everything else is a distance from it.
    base: Instant,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// Since the start, as is every duration in here.
    pub(crate) now: Duration,
    pub(crate) wall: SystemTime,
    pub(crate) random: fastrand::Rng,
    pub(crate) chaos: Chaos,
    pub(crate) ready: Vec<TaskId>,
    pub(crate) timers: BTreeMap<TimerKey, Waker>,
    next_timer: u64,
    /// How many wake-ups are late.
    pub(crate) late: usize,
    /// Who waits until nothing can run without time moving on.
    pub(crate) until_idle: Vec<Waker>,
    /// Who waits until time has moved on.
    pub(crate) until_jump: Vec<Waker>,
    /// How often time has moved on.
    pub(crate) jumps: u64,
    /// How often nothing could run.
    pub(crate) lulls: u64,
    pub(crate) steps: u64,
    pub(crate) step_budget: u64,
    pub(crate) leftovers_allowed: bool,
    /// Nothing runs any more once main is over.
    pub(crate) is_killed: bool,
    pub(crate) trace: Trace,
}

/// More polls than any sensible test needs, and few enough to end within seconds.
const STEP_BUDGET: u64 = 5_000_000;

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "an `Instant` cannot be made from nothing")]
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let state = State {
            now: Duration::ZERO,
            // The first second of 2030: a date that people recognise, and not one that happens to be today.
            wall: SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 21_915),
            random: fastrand::Rng::with_seed(seed),
            chaos: Chaos::none(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            late: 0,
            until_idle: Vec::new(),
            until_jump: Vec::new(),
            jumps: 0,
            lulls: 0,
            steps: 0,
            step_budget: STEP_BUDGET,
            leftovers_allowed: false,
            is_killed: false,
            trace: Trace::default(),
        };
        Arc::new(Self { seed, base: Instant::now(), state: Mutex::new(state) })
    }

    /// Runs something under the lock; it must wake and drop nothing.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }

    pub(crate) fn instant(&self, since_start: Duration) -> Instant {
        self.base + since_start
    }

    pub(crate) fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }
}

impl State {
    pub(crate) fn add_timer(&mut self, at: Duration, waker: Waker) -> TimerKey {
        self.next_timer += 1;
        let key = (at, self.next_timer);
        self.timers.insert(key, waker);
        key
    }

    /// Moves both clocks ahead.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.wall = self.wall.checked_add(time).unwrap_or(self.wall);
    }

    /// Takes out who waited for a time that has come.
    pub(crate) fn take_due(&mut self) -> Vec<Waker> {
        let later = self.timers.split_off(&(self.now, u64::MAX));
        std::mem::replace(&mut self.timers, later).into_values().collect()
    }

    pub(crate) fn log(&mut self, step: Step) {
        self.trace.push(self.now, step);
    }

    /// Throws dice: true this often on average.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.f64() < probability
    }

    /// A time up to `longest`, short ones as likely as long ones.
    pub(crate) fn some_time(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX).max(1);
        let bits = self.random.u32(0..=nanos.ilog2());
        Duration::from_nanos(self.random.u64(0..=nanos) >> bits)
    }
}
