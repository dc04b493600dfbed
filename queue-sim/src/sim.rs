//! Running a simulation, or many.

use crate::executor::Executor;
use crate::failure::Failure;
use crate::state::Shared;
use crate::trace::Trace;
use crate::world::World;

/// A simulation of one seed.
///
/// ```
/// use std::time::Duration;
/// use queue_sim::{Queue, Sim};
///
/// Sim::new(42).run(|sim| async move {
///     let queue = Queue::new();
///     queue.register("hello", |_| async { Ok(()) });
///     queue.start();
///     queue.push("hello", &()).delay(Duration::from_hours(24)).await.unwrap();
///     sim.advance(Duration::from_hours(24)).await;
///     assert_eq!(queue.shutdown(Duration::ZERO).await.handed_back.len(), 0);
/// });
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "call `run`"]
pub struct Sim {
    seed: u64,
}

impl Sim {
    /// The simulation that follows from `seed`: which ready task runs next, jitter, faults.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Runs `main`, and every task it leads to, on this thread and in virtual time, until `main` is over.
    ///
    /// # Panics
    ///
    /// When `main` or a task panics; at a deadlock (nobody can run and nobody waits for a time); when the budget of
    /// steps is used up; when a task outlives `main` that waits for nothing but more time or a wake-up, which usually
    /// means that a queue is captured by its own handler and was not shut down. The seed and the end of the trace are
    /// printed.
    pub fn run<F>(self, main: impl FnOnce(World) -> F) -> F::Output
    where
        F: Future,
    {
        self.traced(main).unwrap_or_else(|failure| failure.raise()).0
    }

    /// As [`run`](Self::run), with everything that happened.
    ///
    /// # Errors
    ///
    /// [`Failure`], where `run` panics.
    pub fn traced<F>(self, main: impl FnOnce(World) -> F) -> Result<(F::Output, Trace), Failure>
    where
        F: Future,
    {
        let shared = Shared::new(self.seed);
        let executor = Executor::new(shared.clone());
        let world = World::of(&shared);
        // Inside of an async block, so that what it does before its first await is in the simulation, too.
        let result = executor.run(async move { main(world).await });
        let trace = shared.with(|state| std::mem::take(&mut state.trace));
        match result {
            Ok(output) => Ok((output, trace)),
            Err(reason) => Err(Failure { seed: self.seed, reason, trace }),
        }
    }

    /// Runs one simulation per seed, and stops at the first that fails.
    ///
    /// ```
    /// use queue_sim::Sim;
    ///
    /// Sim::explore(0..100, |sim| async move {
    ///     let task = sim.spawn("answer", async { 42 });
    ///     assert_eq!(task.await, 42);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// At the first seed that fails, with its reason, the end of its trace and the line that runs it again.
    pub fn explore<F>(seeds: impl IntoIterator<Item = u64>, main: impl Fn(World) -> F)
    where
        F: Future,
    {
        for seed in seeds {
            if let Err(failure) = Self::new(seed).traced(&main) {
                panic!("seed {seed} fails: {failure}");
            }
        }
    }
}
