//! Everything that a queue can do, at once, on a real runtime, for as long as one likes; and every job is accounted for.
//!
//! A soak is a row of epochs. In each, a queue lives: threads push in all ways, cancel, pause, requeue, purge and subscribe;
//! handlers do anything. Every other one is shut down in the middle of it, and the next takes on the jobs that it gives
//! back. At its end `reconcile` compares where each job is with what its handler and its pusher saw, and the books are
//! closed and forgotten, so that the memory of a soak does not grow unless the queue's does.
//!
//! ```text
//!   producers ──▶ books ◀── handlers        before and after: a push, a run
//!       │           ▲                         a job is an own number, in every queue it is in
//!       ▼           │
//!     queue ──▶ meddler, watcher            cancel, pause, requeue, purge, subscribe
//! ```

mod books;
mod bounds;
mod epoch;
mod handler;
mod meddler;
mod memory;
mod producer;
mod reconcile;
mod record;
mod tally;
mod task;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::TestRuntime;
use epoch::Epoch;
use memory::Sampler;
pub use memory::{Memory, resident};
pub use tally::Tally;

/// What a soak is like.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// Where chance starts from; threads see to it that a soak still never happens twice.
    pub seed: u64,
    /// How long it takes.
    pub length: Length,
    /// What each of eight producers does in an epoch.
    pub operations: usize,
    /// Threads beside the main one that run workers.
    pub threads: usize,
}

/// How long a soak takes.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// So many lives of a queue.
    Epochs(u64),
    /// Until this time is over.
    Time(Duration),
}

/// How far a soak has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Lives of a queue.
    pub epochs: u64,
    /// Since it began.
    pub elapsed: Duration,
    /// What happened.
    pub tally: Tally,
    /// What it took.
    pub memory: Memory,
}

impl Length {
    fn is_over(self, progress: &Progress) -> bool {
        match self {
            Self::Epochs(epochs) => progress.epochs >= epochs,
            Self::Time(time) => progress.elapsed >= time,
        }
    }
}

impl Soak {
    /// Soaks, and tells how it goes after every epoch.
    ///
    /// # Errors
    ///
    /// What is wrong with which job.
    pub fn run<T: TestRuntime>(self, mut tell: impl FnMut(&Progress)) -> Result<Progress, String> {
        T::block_on(|rt| async move {
            let (mut random, numbers) = (Rng::with_seed(self.seed), Arc::new(AtomicU64::new(1)));
            let (mut progress, mut carried, begun) = (Progress::default(), Vec::new(), now());
            let sampler = Sampler::start();
            // Not while jobs are on their way from one queue to the next.
            while !self.length.is_over(&progress) || !carried.is_empty() {
                let epoch = Epoch {
                    random: random.fork(),
                    operations: self.operations,
                    is_cut_short: progress.epochs.is_multiple_of(2),
                    threads: self.threads,
                    numbers: numbers.clone(),
                };
                let (given_back, tally) = epoch.live(rt.clone(), carried).await?;
                carried = given_back;
                progress.tally += tally;
                progress.epochs += 1;
                progress.elapsed = now().saturating_duration_since(begun);
                if let Length::Time(all) = self.length {
                    progress.memory.note(sampler.take_peak(), progress.elapsed, all);
                }
                tell(&progress);
            }
            Ok(progress)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "all runtimes but the simulator go by this clock")]
fn now() -> Instant {
    Instant::now()
}
