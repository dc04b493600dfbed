//! Where a worker and the rest of the queue meet: how far it has come with its batch, signals to the running attempt,
//! and what its handler can see of them.
//!
//! A slot belongs to one worker for the worker's life, and numbers its attempts: its *runs*. A worker claims a batch of
//! runs under the lock of its channel and goes from one to the next without it, so whoever holds the lock must find out,
//! and say something, without stopping the worker. All of it is in one word, which both sides change in one step:
//!
//! ```text
//!   63                      20 19                  4   3        2     1      0
//!   ┌─────────────────────────┬─────────────────────┬─────────┬──────┬──────┬────────┐
//!   │ number of the run       │ withdrawn, by run%16│ watched │ stop │ late │ cancel │
//!   └─────────────────────────┴─────────────────────┴─────────┴──────┴──────┴────────┘
//! ```
//!
//! Only the worker increases the number. Only who holds the channel's lock withdraws a run (before it has begun) or
//! raises a signal (while it is the current one).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    word: AtomicU64,
    changed: Event,
}

/// How many runs a batch may have.
pub(crate) const BATCH: usize = 16;

/// Someone listens to `changed`: most attempts are never watched and should not pay for it.
const WATCHED: u64 = 1 << 3;
const WITHDRAWN_SHIFT: u32 = 4;
const WITHDRAWN: u64 = 0xffff << WITHDRAWN_SHIFT;
const RUN_SHIFT: u32 = WITHDRAWN_SHIFT + 16;

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

const SIGNALS: u64 = Signal::Cancel as u64 | Signal::TimedOut as u64 | Signal::Stop as u64;

impl Slot {
    pub(crate) fn new(core: Arc<Core>, channel: usize) -> Self {
        Self { core, channel, waker: AtomicWaker::new(), word: AtomicU64::new(0), changed: Event::new() }
    }

    /// The current run.
    pub(crate) fn run(&self) -> u64 {
        run_of(self.word.load(Ordering::Acquire))
    }

    /// The attempt that starts now. For the worker only.
    pub(crate) fn attempt(self: &Arc<Self>) -> Attempt {
        Attempt { slot: self.clone(), run: run_of(self.word.load(Ordering::Relaxed)) }
    }

    /// Ends the current run and begins the next one of the batch, unless that was withdrawn. For the worker only, not
    /// under a lock.
    pub(crate) fn advance(&self) -> bool {
        let old = self.change(|word| (run_of(word) + 1) << RUN_SHIFT | word & WITHDRAWN);
        if old & WATCHED != 0 {
            self.changed.notify(usize::MAX);
        }
        old & mark_of(run_of(old) + 1) == 0
    }

    /// The batch is over, and its last run with it. Call it under the channel's lock, and
    /// [`tell_watchers`](Self::tell_watchers) after it if this says so.
    #[must_use]
    pub(crate) fn end_batch(&self) -> bool {
        let old = self.change(|word| (run_of(word) + 1) << RUN_SHIFT);
        old & WATCHED != 0
    }

    /// The batch is over, but for its current run. Call it under the channel's lock.
    pub(crate) fn cut_batch(&self) {
        self.word.fetch_and(!WITHDRAWN, Ordering::AcqRel);
    }

    /// Takes back a run that has not begun: the worker will pass over it. Call it under the channel's lock.
    pub(crate) fn withdraw(&self, run: u64) -> bool {
        let withdraw = |word| (run_of(word) < run).then_some(word | mark_of(run));
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, withdraw).is_ok()
    }

    /// Whether a run of this batch was withdrawn. Ask under the channel's lock.
    pub(crate) fn is_withdrawn(&self, run: u64) -> bool {
        self.word.load(Ordering::Acquire) & mark_of(run) != 0
    }

    /// Sets a signal if `run` is the current one. Call it under the channel's lock, and [`tell`](Self::tell) after it.
    pub(crate) fn raise(&self, run: u64, signal: Signal) -> bool {
        let raise = |word| (run_of(word) == run).then_some(word | signal as u64);
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).is_ok()
    }

    /// Wakes whoever must see a change: the worker, and the handler if it watches. Not under a lock.
    pub(crate) fn tell(&self) {
        self.waker.wake();
        self.tell_watchers();
    }

    /// Wakes the handler's watchers, if there are any. Not under a lock.
    pub(crate) fn tell_watchers(&self) {
        self.changed.notify(usize::MAX);
    }

    /// Whether the current run was sent this signal.
    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.word.load(Ordering::SeqCst) & signal as u64 != 0
    }

    /// The worker is about to wait for its handler: `waker` is woken when a signal is raised from now on.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    fn change(&self, change: impl Fn(u64) -> u64) -> u64 {
        let changed = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(change(word)));
        changed.unwrap_or_else(|word| word)
    }
}

fn run_of(word: u64) -> u64 {
    word >> RUN_SHIFT
}

/// The bit that says that a run was withdrawn: no two runs of a batch share one.
fn mark_of(run: u64) -> u64 {
    1 << (u64::from(WITHDRAWN_SHIFT) + run % BATCH as u64)
}

/// One attempt, as its [`Job`](crate::Job) and the job's clones see it.
#[derive(Clone)]
pub(crate) struct Attempt {
    slot: Arc<Slot>,
    run: u64,
}

impl Attempt {
    pub(crate) fn is_cancelled(&self) -> bool {
        let word = self.slot.word.load(Ordering::Acquire);
        word & SIGNALS != 0 || run_of(word) != self.run
    }

    /// A listener that is notified of every change from now on; check [`is_cancelled`](Self::is_cancelled) after
    /// making it.
    pub(crate) fn listen(&self) -> EventListener {
        let listener = self.slot.changed.listen();
        // Whoever ends or signals the attempt after this sees the mark; before this, the caller's check sees the change.
        self.slot.word.fetch_or(WATCHED, Ordering::AcqRel);
        listener
    }

    pub(crate) fn queue_name(&self) -> &Name {
        self.slot.core.channel(self.slot.channel).name()
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle::new(self.slot.core.clone())
    }
}
