//! What the queue hands to the writer's thread, and how that sleeps.
//!
//! The queue calls from any thread and under its locks, so everything here is short. The thread is woken only if it sleeps
//! and what came may not wait.

use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use queue_core::{Change, Loading, Sink};

/// How long changes that nobody waits for are kept for company.
pub(crate) const COMPANY: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    called: Condvar,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<Change>,
    /// Whether one of the changes may not wait.
    urgent: bool,
    loads: Vec<Loading>,
    sink: Sink,
    sleep: Sleep,
    stop: Stop,
    released: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sleep {
    #[default]
    Awake,
    /// Until a known time, or something comes that may not wait.
    Light,
    /// Until anything comes.
    Deep,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    #[default]
    Not,
    /// Files and locks are to be let go; whatever still comes is to be refused.
    Close,
    /// Nobody is left who could hand over anything.
    End,
}

/// All that waited.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) changes: Vec<Change>,
    pub(crate) loads: Vec<Loading>,
    pub(crate) sink: Sink,
    pub(crate) stop: Stop,
}

impl Inbox {
    pub(crate) fn begin(&self, sink: Sink) {
        self.state.lock().sink = sink;
    }

    /// Takes the changes, and leaves the vector empty.
    pub(crate) fn append(&self, changes: &mut Vec<Change>) {
        let urgent = changes.iter().any(|change| !change.can_wait());
        let mut state = self.state.lock();
        if state.changes.is_empty() {
            mem::swap(&mut state.changes, changes);
        } else {
            state.changes.append(changes);
        }
        state.urgent |= urgent;
        let wakes = match state.sleep {
            Sleep::Awake => false,
            Sleep::Light => urgent,
            Sleep::Deep => !state.changes.is_empty(),
        };
        if wakes {
            state.sleep = Sleep::Awake;
            drop(state);
            self.called.notify_one();
        }
    }

    pub(crate) fn load(&self, loading: Loading) {
        self.change(|state| state.loads.push(loading));
    }

    /// Goes further towards the end; never back.
    pub(crate) fn stop(&self, stop: Stop) {
        self.change(|state| state.stop = state.stop.max(stop));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.sleep = Sleep::Awake;
        drop(state);
        self.called.notify_one();
    }

    /// The thread holds no files and no locks any more.
    pub(crate) fn release(&self) {
        self.state.lock().released = true;
        self.released.notify_all();
    }

    /// Waits until the thread holds no files and no locks.
    pub(crate) fn wait_for_release(&self) {
        let mut state = self.state.lock();
        while !state.released {
            self.released.wait(&mut state);
        }
    }

    /// Waits for something to do, or until then; without a time, changes that may wait are given [`COMPANY`]. `seen` is
    /// how far the end had come when the thread last looked.
    pub(crate) fn wait(&self, mut until: Option<Instant>, seen: Stop) -> Taken {
        let mut state = self.state.lock();
        loop {
            if state.urgent || !state.loads.is_empty() || state.stop > seen {
                return state.take();
            }
            if until.is_none() && !state.changes.is_empty() {
                until = Some(now() + COMPANY);
            }
            match until {
                None => {
                    state.sleep = Sleep::Deep;
                    self.called.wait(&mut state);
                }
                Some(time) => {
                    state.sleep = Sleep::Light;
                    if self.called.wait_until(&mut state, time).timed_out() {
                        return state.take();
                    }
                }
            }
        }
    }

    pub(crate) fn take_loads(&self) -> Vec<Loading> {
        mem::take(&mut self.state.lock().loads)
    }

    /// Whether there is nothing that may not wait.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        !state.urgent && state.loads.is_empty() && state.stop == Stop::Not
    }
}

impl State {
    fn take(&mut self) -> Taken {
        self.sleep = Sleep::Awake;
        self.urgent = false;
        Taken {
            changes: mem::take(&mut self.changes),
            loads: mem::take(&mut self.loads),
            sink: self.sink.clone(),
            stop: self.stop,
        }
    }
}

/// The thread's own clock: it waits for a disk, which no runtime's clock drives.
#[expect(clippy::disallowed_methods, reason = "no runtime's clock drives a disk")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
