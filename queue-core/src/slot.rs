//! Where a worker and the rest of the queue meet: signals to a running attempt, and what its handler can see of them.
//!
//! A slot belongs to one worker for the worker's life. Signals are set, and cleared, under the lock of the worker's
//! channel, so they always mean the attempt that is running; the attempt's number tells a [`Job`](crate::Job) that
//! outlives its attempt that it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use event_listener::{Event, EventListener};

use crate::engine::Core;
use crate::handle::Handle;
use crate::job::Name;

pub(crate) struct Slot {
    core: Arc<Core>,
    channel: usize,
    /// Wakes the worker while its handler is pending.
    waker: AtomicWaker,
    signals: AtomicU8,
    /// Counts the attempts that ended here; the running one has this number. Written under the channel's lock.
    run: AtomicU64,
    /// Someone listens to `changed`: most attempts are never watched and should not pay for it. Written under the
    /// channel's lock, so that whoever ends an attempt there need not order it against the listener's own check.
    watched: AtomicBool,
    changed: Event,
}

/// What a running attempt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// Please stop: only the handler can see this.
    Cancel = 1,
    /// Time is up: the worker drops the handler's future.
    TimedOut = 2,
    /// The queue shuts down: the worker drops the handler's future and hands the job back.
    Stop = 4,
}

impl Slot {
    pub(crate) fn new(core: Arc<Core>, channel: usize) -> Self {
        Self {
            core,
            channel,
            waker: AtomicWaker::new(),
            signals: AtomicU8::new(0),
            run: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            changed: Event::new(),
        }
    }

    /// The attempt that starts now. For the worker only.
    pub(crate) fn attempt(self: &Arc<Self>) -> Attempt {
        Attempt { slot: self.clone(), run: self.run.load(Ordering::Relaxed) }
    }

    /// The running attempt is settled. Call it under the channel's lock, and [`tell_watchers`](Self::tell_watchers)
    /// after it.
    pub(crate) fn end_attempt(&self) {
        // The lock orders the writers: no other attempt ends here meanwhile.
        self.run.store(self.run.load(Ordering::Relaxed) + 1, Ordering::Release);
        self.signals.store(0, Ordering::Relaxed);
    }

    /// Sets a signal for the running attempt. Call it under the channel's lock, and [`tell`](Self::tell) after it.
    pub(crate) fn raise(&self, signal: Signal) {
        self.signals.fetch_or(signal as u8, Ordering::SeqCst);
    }

    /// Wakes whoever must see a change: the worker, and the handler if it watches. Not under a lock.
    pub(crate) fn tell(&self) {
        self.waker.wake();
        self.tell_watchers();
    }

    /// Wakes the handler's watchers, if there are any. Not under a lock.
    pub(crate) fn tell_watchers(&self) {
        if self.watched.load(Ordering::Relaxed) {
            self.changed.notify(usize::MAX);
        }
    }

    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.signals.load(Ordering::SeqCst) & signal as u8 != 0
    }

    /// The worker is about to wait for its handler: `waker` is woken when a signal is raised from now on.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

/// One attempt, as its [`Job`](crate::Job) and the job's clones see it.
#[derive(Clone)]
pub(crate) struct Attempt {
    slot: Arc<Slot>,
    run: u64,
}

impl Attempt {
    pub(crate) fn is_cancelled(&self) -> bool {
        let signalled = self.slot.signals.load(Ordering::Acquire) != 0;
        // Read second: if the attempt is still this one, then the signals were its own.
        signalled || self.slot.run.load(Ordering::Acquire) != self.run
    }

    /// A listener that is notified of every change from now on; check [`is_cancelled`](Self::is_cancelled) after
    /// making it.
    pub(crate) fn listen(&self) -> EventListener {
        let listener = self.slot.changed.listen();
        self.slot.core.channel(self.slot.channel).locked(|| self.slot.watched.store(true, Ordering::Relaxed));
        listener
    }

    pub(crate) fn queue_name(&self) -> &Name {
        self.slot.core.channel(self.slot.channel).name()
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.slot.core.clone())
    }
}
