//! Where a worker and the rest of the queue meet: its progress, whom to wake when it is told something, and what its
//! handler can see of both.
//!
//! A slot belongs to one worker for the worker's life.

mod spare;

use std::sync::Arc;
use std::task::Waker;

use event_listener::EventListener;

use crate::engine::Core;
use crate::handle::Handle;
use crate::job::Name;
use crate::progress::Progress;
use crate::sync::{AtomicWaker, Notify};
pub(crate) use spare::Sparing;

pub(crate) struct Slot {
    core: Arc<Core>,
    channel: usize,
    /// Wakes the worker while its handler is pending.
    waker: AtomicWaker,
    pub(crate) progress: Progress,
    changed: Notify,
}

impl Slot {
    pub(crate) fn new(core: Arc<Core>, channel: usize) -> Self {
        Self { core, channel, waker: AtomicWaker::new(), progress: Progress::new(), changed: Notify::new() }
    }

    /// The attempt that starts now. For the worker only.
    #[inline]
    pub(crate) fn attempt(self: &Arc<Self>) -> Attempt {
        let slot = spare::take(self).unwrap_or_else(|| self.clone());
        Attempt { slot: Some(slot), run: self.progress.run() }
    }

    /// Goes on to the next run of the batch, unless that was withdrawn. For the worker only, not under a lock.
    #[inline]
    pub(crate) fn advance(&self) -> bool {
        let advanced = self.progress.advance();
        if advanced.was_watched {
            self.tell_watchers();
        }
        advanced.begins
    }

    /// Wakes whoever must see a signal: the worker, and the handler if it watches. Not under a lock.
    pub(crate) fn tell(&self) {
        self.waker.wake();
        self.tell_watchers();
    }

    /// Wakes the handler's watchers. Not under a lock.
    pub(crate) fn tell_watchers(&self) {
        self.changed.notify(usize::MAX);
    }

    /// The worker is about to wait for its handler: `waker` is woken when a signal is raised from now on.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

/// One attempt, as its [`Job`](crate::Job) and the job's clones see it.
#[derive(Clone)]
pub(crate) struct Attempt {
    /// `None` while it is dropped.
    slot: Option<Arc<Slot>>,
    run: u64,
}

impl Attempt {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.slot().progress.is_called_off(self.run)
    }

    /// A listener that is notified of every change from now on; check [`is_cancelled`](Self::is_cancelled) after
    /// making it.
    pub(crate) fn listen(&self) -> EventListener {
        let slot = self.slot();
        let listener = slot.changed.listen();
        slot.progress.watch();
        listener
    }

    pub(crate) fn queue_name(&self) -> &Name {
        let slot = self.slot();
        slot.core.channel(slot.channel).name()
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.slot().core.clone())
    }

    fn slot(&self) -> &Slot {
        self.slot.as_ref().expect("only its drop takes it")
    }
}

impl Drop for Attempt {
    #[inline]
    fn drop(&mut self) {
        spare::keep(&mut self.slot);
    }
}

#[cfg(all(test, queue_loom))]
mod models;
