//! What must not happen under a lock, collected there and run after it.

use std::sync::Arc;
use std::task::Waker;

use super::Core;
use crate::slot::Slot;
use crate::store::{Dead, Remains};

/// Wakers to wake and values to drop. The common call wakes one worker and allocates nothing.
#[derive(Default)]
#[must_use = "run it after the lock"]
pub(crate) struct Effects {
    first: Option<Waker>,
    wakers: Vec<Waker>,
    /// Running attempts that were sent a signal.
    pub(super) slots: Vec<Arc<Slot>>,
    /// Subscribers have something to read.
    pub(super) events: bool,
    /// Someone who waits for shutdown may have something to see.
    pub(super) closing: bool,
    pub(super) remains: Option<Remains>,
    pub(super) dead: Vec<Dead>,
}

impl Effects {
    pub(super) fn wake(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.wakers.push(waker);
        }
    }

    /// Wakes and drops. The caller holds no lock.
    pub(super) fn run(self, core: &Core) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for waker in self.wakers {
            waker.wake();
        }
        for slot in self.slots {
            slot.tell();
        }
        if self.events {
            core.events.notify();
        }
        if self.closing {
            core.closing.notify();
        }
    }
}
