//! How far a worker has come with its batch, and what it was told: one word, which the worker and the rest of the queue
//! change in one step.
//!
//! A worker numbers its attempts: its *runs*. It claims a batch of runs under the lock of its channel and goes from one to
//! the next without it, so whoever holds the lock must find out, and say something, without stopping the worker:
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

use crate::sync::{AtomicU64, Ordering};

/// How many runs a batch may have.
pub(crate) const BATCH: usize = 16;

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
/// Someone waits for a change: most attempts are never watched and should not pay for it.
const WATCHED: u64 = 1 << 3;
const WITHDRAWN_SHIFT: u32 = 4;
const WITHDRAWN: u64 = 0xffff << WITHDRAWN_SHIFT;
const RUN_SHIFT: u32 = WITHDRAWN_SHIFT + 16;

#[derive(Debug)]
pub(crate) struct Progress(AtomicU64);

/// The progress of a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View(u64);

impl View {
    pub(crate) fn run(self) -> u64 {
        run_of(self.0)
    }

    /// Whether a run of this batch was withdrawn.
    pub(crate) fn is_withdrawn(self, run: u64) -> bool {
        self.0 & mark_of(run) != 0
    }
}

/// What [`Progress::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advanced {
    /// The run that is current now may be run.
    pub(crate) begins: bool,
    /// Someone waits for the end of the one before.
    pub(crate) was_watched: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The current run.
    pub(crate) fn run(&self) -> u64 {
        run_of(self.0.load(Ordering::Acquire))
    }

    /// How things stand at this moment. Whoever holds the channel's lock knows that nothing is withdrawn meanwhile; only
    /// the worker knows that nothing else changes either.
    pub(crate) fn view(&self) -> View {
        View(self.0.load(Ordering::Acquire))
    }

    /// Ends the current run and goes to the next one of the batch. For the worker only.
    pub(crate) fn advance(&self) -> Advanced {
        let old = self.change(|word| (run_of(word) + 1) << RUN_SHIFT | word & WITHDRAWN);
        Advanced { begins: old & mark_of(run_of(old) + 1) == 0, was_watched: old & WATCHED != 0 }
    }

    /// The batch is over, and its last run with it. Returns whether someone waits for that. Call it under the channel's
    /// lock.
    pub(crate) fn end_batch(&self) -> bool {
        self.change(|word| (run_of(word) + 1) << RUN_SHIFT) & WATCHED != 0
    }

    /// The batch is over, but for its current run. Call it under the channel's lock.
    pub(crate) fn cut_batch(&self) {
        self.change(|word| word & !WITHDRAWN);
    }

    /// Takes back a run that has not begun: the worker will pass over it. Call it under the channel's lock.
    pub(crate) fn withdraw(&self, run: u64) -> bool {
        let withdraw = |word| (run_of(word) < run).then_some(word | mark_of(run));
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, withdraw).is_ok()
    }

    /// Sets a signal if `run` is the current one. Call it under the channel's lock.
    pub(crate) fn raise(&self, run: u64, signal: Signal) -> bool {
        let raise = |word| (run_of(word) == run).then_some(word | signal as u64);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).is_ok()
    }

    /// Whether the current run was sent this signal.
    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.0.load(Ordering::SeqCst) & signal as u64 != 0
    }

    /// Whether `run` should not go on: it was sent a signal, or is over.
    pub(crate) fn is_called_off(&self, run: u64) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word & SIGNALS != 0 || run_of(word) != run
    }

    /// Whoever ends or signals the current run after this knows that someone waits for it; check
    /// [`is_called_off`](Self::is_called_off) after it, to see what came before.
    pub(crate) fn watch(&self) {
        self.change(|word| word | WATCHED);
    }

    fn change(&self, change: impl Fn(u64) -> u64) -> u64 {
        let changed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(change(word)));
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

#[cfg(all(test, queue_loom))]
mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    /// Every run of a batch is begun by its worker or taken back, and never both.
    #[test]
    fn a_run_is_begun_or_withdrawn() {
        loom::model(|| {
            let progress = Arc::new(Progress::new());
            let taken = {
                let progress = progress.clone();
                thread::spawn(move || [1, 2].map(|run| progress.withdraw(run)))
            };
            let begun = [(); 2].map(|()| progress.advance().begins);
            let taken = taken.join().unwrap();
            for (run, (begun, taken)) in begun.into_iter().zip(taken).enumerate() {
                assert!(begun != taken, "run {}: begun {begun}, taken {taken}", run + 1);
            }
        });
    }

    /// A signal reaches the run it is for, or nobody.
    #[test]
    fn a_signal_is_for_one_run() {
        loom::model(|| {
            let progress = Arc::new(Progress::new());
            let raised = {
                let progress = progress.clone();
                thread::spawn(move || progress.raise(0, Signal::Cancel))
            };
            let before = progress.has(Signal::Cancel);
            progress.advance();
            assert!(!progress.has(Signal::Cancel), "the next run was told to stop");
            let raised = raised.join().unwrap();
            assert!(raised || !before);
            assert!(!progress.has(Signal::Cancel));
        });
    }

    /// Who waits for the end of a run is told of it, or sees that it is over.
    #[test]
    fn a_watcher_is_told_or_sees() {
        loom::model(|| {
            let progress = Arc::new(Progress::new());
            let told = Arc::new(AtomicUsize::new(0));
            let worker = {
                let (progress, told) = (progress.clone(), told.clone());
                thread::spawn(move || {
                    if progress.advance().was_watched {
                        told.store(1, Ordering::Release);
                    }
                })
            };
            progress.watch();
            let sees = progress.is_called_off(0);
            worker.join().unwrap();
            assert!(sees || told.load(Ordering::Acquire) == 1, "the watcher sleeps for ever");
        });
    }
}
