//! What must not happen under a lock, collected there and run after it.

use std::sync::Arc;
use std::task::Waker;

use super::Core;
use crate::event::Event;
use crate::slot::Slot;
use crate::store::{Dead, Leftovers, Remains};
use crate::unwind::drop_quietly;

/// Wakers to wake and values to drop. The common call wakes one worker and allocates nothing.
#[derive(Default)]
pub(super) struct Effects {
    first: Option<Waker>,
    /// Subscribers have something to read.
    pub(super) events: bool,
    /// Someone who waits for shutdown may have something to see.
    pub(super) closing: bool,
    more: Option<Box<More>>,
}

/// What few calls have.
#[derive(Default)]
struct More {
    wakers: Vec<Waker>,
    /// Running attempts that were sent a signal.
    slots: Vec<Arc<Slot>>,
    remains: Vec<Remains>,
    leftovers: Vec<Leftovers>,
    dead: Vec<Dead>,
    /// Events that are published once what they tell of is written.
    notes: Vec<Event>,
}

impl Effects {
    pub(super) fn wake(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more().wakers.push(waker);
        }
    }

    /// Tells the worker in this slot that it was sent a signal.
    pub(super) fn tell(&mut self, slot: Option<Arc<Slot>>) {
        if let Some(slot) = slot {
            self.more().slots.push(slot);
        }
    }

    pub(super) fn drop_leftovers(&mut self, leftovers: Vec<Leftovers>) {
        if !leftovers.is_empty() {
            self.more().leftovers.extend(leftovers);
        }
    }

    pub(super) fn drop_remains(&mut self, remains: Remains) {
        // Most have nothing of the user's and nothing to free, and to keep them for later took 260 instructions.
        if remains.extras.is_some() || remains.payload.memory() > 0 {
            self.more().remains.push(remains);
        }
    }

    pub(super) fn drop_dead(&mut self, dead: Vec<Dead>) {
        if !dead.is_empty() {
            self.more().dead.extend(dead);
        }
    }

    pub(super) fn note(&mut self, event: Event) {
        self.more().notes.push(event);
    }

    pub(super) fn take_notes(&mut self) -> Vec<Event> {
        self.more.as_mut().map(|more| std::mem::take(&mut more.notes)).unwrap_or_default()
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Wakes and drops. The caller holds no lock.
    // Most calls have nothing to do, and should not be calls: 15 instructions each.
    #[inline]
    pub(super) fn run(self, core: &Core) {
        if self.first.is_some() || self.events || self.closing || self.more.is_some() {
            self.run_all(core);
        }
    }

    fn run_all(self, core: &Core) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        if self.events {
            core.events.notify();
        }
        if self.closing {
            core.closing.notify();
        }
        let Some(more) = self.more else { return };
        more.wakers.into_iter().for_each(Waker::wake);
        more.slots.iter().for_each(|slot| slot.tell());
        // One by one: a second panic while the first unwinds would end the process.
        more.remains.into_iter().for_each(drop_quietly);
        more.leftovers.into_iter().for_each(drop_quietly);
        more.dead.into_iter().for_each(drop_quietly);
    }
}
