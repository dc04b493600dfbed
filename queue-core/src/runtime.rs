//! The seam between the queue and an async runtime.
//!
//! An adapter implements [`Timer`] and [`Spawner`] for one small type, and says with [`Runtime::Mode`]
//! whether tasks may move between threads. Nothing else of a runtime is used anywhere in this crate. No
//! trait here asks for `Send`: adapters state what their `spawn` needs, and whether the worker loop is
//! `Send` follows from the handler futures it holds.

use std::time::{Instant, SystemTime};

use crate::handler::Mode;
use crate::timekeeper::Timekeeper;
use crate::worker::Worker;

/// Clocks and sleeping.
///
/// The queue reads the clock to decide and sleeps only to be woken: a sleep that ends early, or late, changes
/// when work is noticed and never whether it is due.
pub trait Timer {
    /// Ends at or after the deadline it was made for. It need not be `Send`.
    type Sleep: Future<Output = ()>;

    /// The monotonic clock. All delays, backoffs and timeouts are measured by it.
    fn now(&self) -> Instant;

    /// The wall clock, for what people read (when did this job die?) and never for a decision.
    fn wall(&self) -> SystemTime;

    /// A future that completes once `deadline` has passed.
    ///
    /// # Panics
    ///
    /// An adapter may panic when its runtime is not there, or has no timer. The queue calls this once inside
    /// [`start`](crate::Queue::start), so that a missing timer shows there and not in the middle of the night.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;
}

/// Starts a future as a detached task.
///
/// The bound on `F` is the adapter's: a work-stealing runtime implements this for `F: Send`, a thread-per-core
/// runtime for every `F: 'static`.
///
/// Detached is part of the contract: the task runs on until it is done or its runtime ends. Where dropping a
/// task handle cancels the task, the adapter detaches it.
pub trait Spawner<F> {
    /// Starts `future`; must not run it before returning.
    fn spawn(&self, future: F);
}

/// What a queue needs to know of the runtime it runs on.
///
/// # Examples
///
/// The whole of a work-stealing adapter, here for the thread pool of the `futures` crate:
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use futures::executor::ThreadPool;
/// use queue_core::{Runtime, SendMode, Spawner, Timer};
///
/// #[derive(Clone)]
/// struct Pool(ThreadPool);
///
/// impl Timer for Pool {
///     // A real adapter returns its runtime's sleep.
///     type Sleep = std::future::Pending<()>;
///     # #[allow(clippy::disallowed_methods)]
///     fn now(&self) -> Instant { Instant::now() }
///     # #[allow(clippy::disallowed_methods)]
///     fn wall(&self) -> SystemTime { SystemTime::now() }
///     fn sleep_until(&self, _: Instant) -> Self::Sleep { std::future::pending() }
/// }
///
/// impl<F: Future<Output = ()> + Send + 'static> Spawner<F> for Pool {
///     fn spawn(&self, future: F) { self.0.spawn_ok(future) }
/// }
///
/// impl Runtime for Pool { type Mode = SendMode; }
///
/// let queue = queue_core::Queue::builder_on(Pool(ThreadPool::new().unwrap())).build();
/// queue.register("hello", |_| async { Ok(()) });
/// queue.start();
/// ```
pub trait Runtime: Timer + Clone + Send + Sync + 'static {
    /// [`SendMode`](crate::SendMode) if tasks may move between threads, [`LocalMode`](crate::LocalMode) if
    /// they stay on the thread that started them.
    type Mode: Mode;

    /// Where the jitter of a queue starts from that was built without [`Builder::seed`](crate::Builder::seed). A
    /// runtime that repeats itself, such as a simulator, has to say so here: nothing else in the queue is random.
    ///
    /// Default: `None`, a random one.
    fn seed(&self) -> Option<u64> {
        None
    }
}

/// A spawner that can run a queue on runtime `R`: it takes both kinds of task that a queue starts.
///
/// Implemented by itself; it exists so that bounds can be short.
pub trait SpawnsQueue<R: Runtime>: Spawner<Worker<R>> + Spawner<Timekeeper<R>> {}

impl<R, S> SpawnsQueue<R> for S
where
    R: Runtime,
    S: Spawner<Worker<R>> + Spawner<Timekeeper<R>>,
{
}

/// The two clocks without the sleeping half, so that what only reads them need not name the runtime.
pub(crate) trait Clock: Send + Sync {
    fn now(&self) -> Instant;
    fn wall(&self) -> SystemTime;
}

impl<R: Runtime> Clock for R {
    fn now(&self) -> Instant {
        Timer::now(self)
    }

    fn wall(&self) -> SystemTime {
        Timer::wall(self)
    }
}
