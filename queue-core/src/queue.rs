//! The handle that an application holds, and how it is built.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::config::QueueConfig;
use crate::engine::{Backing, Core, DEFAULT_QUEUE, Owner};
use crate::handle::Handle;
use crate::handler::{Accepts, Handler, Handlers, drop_snapshot, sealed::Mode as _};
use crate::job::{Job, Name};
use crate::journal::Journal;
use crate::outcome::{BoxError, IntoOutcome};
use crate::registry::Registry;
use crate::remote::{Feeder, Remote};
use crate::retry::RetryPolicy;
use crate::runtime::{Clock, Runtime, SpawnsQueue};
use crate::shutdown::{ShutdownReport, shut_down};
use crate::timekeeper::Timekeeper;
use crate::unwind::drop_quietly;
use crate::worker::Worker;

/// A background job queue on runtime `R`: register handlers, start workers, push jobs, shut down.
///
/// Cheap to clone, and `Send + Sync` on every runtime; all clones are the same queue. Everything that does not need the
/// runtime (pushing, cancelling, looking at dead letters) is on [`Handle`], to which a queue dereferences.
///
/// Applications name it through the adapter of their runtime, `queue_tokio::Queue`, `queue_smol::Queue` or
/// `queue_compio::Queue`.
///
/// # Lifetime
///
/// When the last clone is dropped the workers stop: running handlers are dropped at their next await, waiting jobs go
/// with the queue. Use [`shutdown`](Self::shutdown) to end in an orderly way.
///
/// A handler that captures a clone keeps its own queue alive until [`shutdown`](Self::shutdown), which lets go of the
/// handlers. Handlers that push should use [`Job::handle`], which does not.
pub struct Queue<R: Runtime> {
    handle: Handle,
    runtime: R,
    handlers: Arc<Handlers<R::Mode>>,
    owner: Arc<Owner>,
}

impl<R: Runtime + Default> Queue<R> {
    /// A queue with the default settings: four workers, no retries.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a queue.
    pub fn builder() -> Builder<R> {
        Self::builder_on(R::default())
    }
}

impl<R: Runtime> Queue<R> {
    /// Settings for a queue on this very runtime.
    pub fn builder_on(runtime: R) -> Builder<R> {
        Builder { runtime, defaults: QueueConfig::new(), queues: Vec::new(), seed: None, kept: None }
    }

    /// Sets the handler of a kind, in place of the one it had. A job that is running keeps the old one.
    ///
    /// The handler is called once per attempt and returns a future of `Result<(), BoxError>` or
    /// `Result<Outcome, BoxError>`. On a runtime that moves tasks between threads, that future must be `Send`; elsewhere
    /// it may hold what it likes.
    ///
    /// To say more about a kind (its named queue, retries, timeout) use [`kind`](Self::kind).
    pub fn register<H, F, T>(&self, kind: impl Into<Name>, handler: H)
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, BoxError>>,
        T: IntoOutcome,
        R::Mode: Accepts<F, T>,
    {
        self.set_handler(kind.into(), None, None, None, handler);
    }

    /// What is particular to a kind, to be followed by [`register`](KindBuilder::register).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use queue_core::{Queue, RetryPolicy, Runtime};
    /// # fn example<R: Runtime<Mode = queue_core::SendMode>>(queue: Queue<R>) -> Result<(), queue_core::UnknownQueue> {
    /// queue
    ///     .kind("send_email")
    ///     .queue("email")
    ///     .retry(RetryPolicy::fixed(5, Duration::from_secs(60)))
    ///     .timeout(Duration::from_secs(30))
    ///     .register(|job| async move {
    ///         let to: String = job.deserialize()?;
    ///         println!("to {to}");
    ///         Ok(())
    ///     })?;
    /// # Ok(()) }
    /// ```
    pub fn kind(&self, name: impl Into<Name>) -> KindBuilder<'_, R> {
        KindBuilder { owner: self, name: name.into(), queue: None, retry: None, timeout: None }
    }

    /// Starts the workers of every named queue on this queue's runtime.
    ///
    /// A second call starts what is missing, which usually is nothing: as many workers run as configured, per runtime
    /// where tasks move between threads, per thread where they do not. So on a thread-per-core runtime call it on every
    /// thread that should take part, and after a runtime ended call it again on another one. After shutdown it does
    /// nothing.
    ///
    /// # Panics
    ///
    /// Where the runtime's own spawn and sleep do: outside of it, or when it was built without a timer.
    pub fn start(&self)
    where
        R: SpawnsQueue<R>,
    {
        self.start_on(&self.runtime);
    }

    /// Starts the workers with this spawner, as [`start`](Self::start) does with the queue's own.
    pub fn start_on<S>(&self, spawner: &S)
    where
        S: SpawnsQueue<R>,
    {
        let (workers, timekeeper) = self.seat_all();
        if let Some(timekeeper) = timekeeper {
            spawner.spawn(timekeeper);
        }
        for worker in workers {
            spawner.spawn(worker);
        }
    }

    /// Runs the workers inside the calling task until the queue is shut down, with no spawner at all.
    ///
    /// Handlers share the task: while one computes, the others wait. As [`start`](Self::start) does, it runs the workers
    /// that are missing; if there are none, it still lasts until the shutdown.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the workers: running jobs go back to the front of their queues, to be run by the next
    /// `start` or `run`.
    pub async fn run(&self) {
        let (workers, timekeeper) = self.seat_all();
        let parts = workers.into_iter().map(Part::Worker);
        let mut parts: FuturesUnordered<_> = parts.chain(timekeeper.map(Part::Timekeeper)).collect();
        while parts.next().await.is_some() {}
        self.core().wait_until_closed().await;
    }

    /// Shuts down: takes nothing new, lets what is ready and running finish for up to `timeout`, interrupts the rest,
    /// and reports what became of every job.
    ///
    /// - Pushes fail from now on, with the job given back; pushes that wait for room are sent away too.
    /// - Delayed jobs and retries are not waited for: they are handed back in the report. So are, when `timeout` is
    ///   over, jobs that have not started, and those whose handlers had to be interrupted. An interruption is no attempt.
    /// - A handler is interrupted by dropping its future at its next await. One that does not await within another second
    ///   is reported as abandoned.
    /// - Without workers (before `start`, after the runtime ended), everything is handed back at once.
    ///
    /// All callers get the same report; each one's own timeout is kept. Afterwards the handlers are gone; dead letters
    /// can still be read. Called from inside a handler it does not wait for that handler, and reports it as abandoned.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the queue goes on draining, without a deadline. Call it again for the report.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let report = shut_down(self.core(), &self.runtime, timeout).await;
        self.core().close_journal(report.abandoned.is_empty());
        drop_snapshot(self.handlers.clear());
        (*report).clone()
    }

    fn set_handler<H, F, T>(
        &self,
        name: Name,
        queue: Option<usize>,
        retry: Option<RetryPolicy>,
        timeout: Option<Duration>,
        handler: H,
    ) where
        H: Fn(Job) -> F + Send + Sync + 'static,
        R::Mode: Accepts<F, T>,
    {
        let kind = self.core().add_kind(&name, queue);
        let make_place = <R::Mode as Accepts<F, T>>::place::<H>;
        let handler = Handler { name, retry, timeout, make_place, function: handler };
        drop_quietly(self.handlers.set(kind, Arc::new(handler)));
        if self.core().closing.is_closed() {
            // Nobody will run it, so nobody should keep what it captured.
            drop_snapshot(self.handlers.clear());
        }
    }

    /// Makes the workers and the timekeeper that are missing here.
    fn seat_all(&self) -> (Vec<Worker<R>>, Option<Timekeeper<R>>) {
        if self.core().closing.is_closed() {
            return (Vec::new(), None);
        }
        // A runtime without a timer says so here, and not when the first delay is due.
        drop(self.runtime.sleep_until(self.runtime.now()));
        let scope = R::Mode::scope();
        let timekeeper = self.core().board.enlist(scope);
        let timekeeper =
            timekeeper.map(|number| Timekeeper::new(self.core().clone(), self.runtime.clone(), number));
        let mut workers = Vec::new();
        for (index, channel) in self.core().channels().iter().enumerate() {
            while let Some(seat) = channel.seat(self.core(), scope) {
                workers.push(Worker::new(self.core().clone(), self.handlers.clone(), index, seat));
            }
        }
        (workers, timekeeper)
    }

    fn core(&self) -> &Arc<Core> {
        self.handle.core()
    }
}

impl<R: Runtime> Deref for Queue<R> {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl<R: Runtime> Clone for Queue<R> {
    fn clone(&self) -> Self {
        Self {
            handle: self.handle.clone(),
            runtime: self.runtime.clone(),
            handlers: self.handlers.clone(),
            owner: self.owner.clone(),
        }
    }
}

impl<R: Runtime + Default> Default for Queue<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Runtime> fmt::Debug for Queue<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("handle", &self.handle)
            .field("handlers", &self.handlers)
            .field("clones", &Arc::strong_count(&self.owner))
            .finish_non_exhaustive()
    }
}

/// What one task of [`Queue::run`] is made of.
#[allow(clippy::large_enum_variant, reason = "all but one are workers")]
enum Part<R: Runtime> {
    Worker(Worker<R>),
    Timekeeper(Timekeeper<R>),
}

impl<R: Runtime> Future for Part<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Worker(worker) => Pin::new(worker).poll(cx),
            Self::Timekeeper(timekeeper) => Pin::new(timekeeper).poll(cx),
        }
    }
}

/// Settings for a [`Queue`]. Whatever is set, [`build`](Self::build) gives a queue that works.
///
/// The settings here hold for every named queue that does not say otherwise in its own [`QueueConfig`], where each is
/// explained.
#[derive(Clone, Debug)]
#[must_use = "call `build`"]
pub struct Builder<R: Runtime> {
    runtime: R,
    defaults: QueueConfig,
    queues: Vec<(Name, QueueConfig)>,
    seed: Option<u64>,
    kept: Option<Kept>,
}

/// Where the jobs are, if they outlive the process.
#[derive(Clone, Debug)]
enum Kept {
    Journal(Arc<dyn Journal>),
    Remote(Remote),
}

impl<R: Runtime> Builder<R> {
    /// How many workers each named queue has; see [`QueueConfig::workers`]. Default: 4.
    pub fn workers(mut self, workers: usize) -> Self {
        self.defaults = self.defaults.workers(workers);
        self
    }

    /// How many jobs of each named queue may run at the same time; see [`QueueConfig::limit`]. Default: as many as it
    /// has workers.
    pub fn limit(mut self, limit: usize) -> Self {
        self.defaults = self.defaults.limit(limit);
        self
    }

    /// What happens when an attempt fails; see [`QueueConfig::retry`]. Default: nothing is retried.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.defaults = self.defaults.retry(policy);
        self
    }

    /// How long one attempt may take; see [`QueueConfig::timeout`]. Default: no timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.defaults = self.defaults.timeout(timeout);
        self
    }

    /// How many jobs may wait in each named queue; see [`QueueConfig::capacity`]. Default: 1,048,576.
    pub fn capacity(mut self, jobs: usize) -> Self {
        self.defaults = self.defaults.capacity(jobs);
        self
    }

    /// All settings that named queues inherit, in place of those set so far.
    pub fn defaults(mut self, defaults: QueueConfig) -> Self {
        self.defaults = defaults;
        self
    }

    /// Adds a named queue, or replaces the settings of one that was added before. The queue `default` always exists.
    pub fn queue(mut self, name: impl Into<Name>, config: QueueConfig) -> Self {
        let name = name.into();
        self.queues.retain(|(known, _)| *known != name);
        self.queues.push((name, config));
        self
    }

    /// Where jitter starts from. With the same seed, the same sequence of failures gets the same delays.
    ///
    /// Default: the runtime's [`seed`](Runtime::seed), which for all but simulators is a random one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where the jobs are kept, so that they outlive the process; for example a `queue_sqlite::Store`.
    ///
    /// A push then returns once the job is written, and the queue begins with what the store holds: jobs that wait, with
    /// their attempts, delays and errors, and dead letters. Everything else is as in memory, except that a
    /// [shutdown](Queue::shutdown) leaves what is not finished in the store instead of handing it back, that the
    /// calls which do not await block the thread until the store has written, and that a single push cannot bring a
    /// [custom](RetryPolicy::custom) retry policy.
    ///
    /// Default: in memory.
    pub fn store(mut self, store: impl Journal) -> Self {
        self.kept = Some(Kept::Journal(Arc::new(store)));
        self
    }

    /// Where the jobs are, if that is a store which several machines share. Each claims as many as it has free workers, has
    /// a lease on them while it runs them, and settles them there.
    ///
    /// A push returns once the store has taken the job, which is then run by whoever claims it. Retries, delays and dead
    /// letters are the store's. What this queue counts, lists, cancels and requeues is what it has in hand; ask the store
    /// for the rest. Priorities are strict, since only the store sees all that waits.
    ///
    /// A handler whose lease was lost (a network that was silent for too long) is interrupted at its next await, because
    /// its job is run elsewhere; that it had ended is then not told as a success but as
    /// [`Event::LeaseLost`](crate::Event::LeaseLost).
    ///
    /// Default: in memory. Of this and [`store`](Self::store), what was said last counts.
    pub fn remote(mut self, remote: Remote) -> Self {
        self.kept = Some(Kept::Remote(remote));
        self
    }

    /// The queue. It takes jobs at once, and runs them from [`start`](Queue::start) on.
    #[must_use]
    pub fn build(self) -> Queue<R> {
        let Self { runtime, mut defaults, mut queues, seed, kept } = self;
        let default_at = queues.iter().position(|(name, _)| *name == *DEFAULT_QUEUE);
        let default =
            default_at.map_or_else(|| (DEFAULT_QUEUE.into(), QueueConfig::new()), |at| queues.remove(at));
        queues.insert(0, default);
        queues[0].1 = std::mem::take(&mut queues[0].1).kinds(defaults.take_kinds());

        let mut registry = Registry::default();
        for (index, (_, config)) in queues.iter_mut().enumerate() {
            for kind in config.take_kinds() {
                registry.add(&kind, Some(index), index);
            }
        }
        let resolved = queues.into_iter().map(|(name, config)| config.resolve(name, &defaults));
        let mut configs: Vec<_> = resolved.collect();
        if let Some(Kept::Remote(_)) = &kept {
            // They are in the store.
            for config in &mut configs {
                config.dead.jobs = 0;
            }
        }
        let seed = seed.or_else(|| runtime.seed()).unwrap_or_else(|| fastrand::u64(..));
        let clock: Arc<dyn Clock> = Arc::new(runtime.clone());
        let backing = kept.as_ref().map(|kept| match kept {
            Kept::Journal(journal) => Backing::Journal(journal.clone()),
            Kept::Remote(remote) => Backing::Remote(Arc::new(remote.pump(configs.len()))),
        });
        let core = Arc::new(Core::new(configs, registry, clock.clone(), seed, backing));
        core.begin();
        if let (Some(Kept::Remote(remote)), Some(pump)) = (kept, core.pump()) {
            remote.start(Feeder::new(&core, pump.clone(), &remote, clock));
        }
        Queue {
            handle: Handle::new(core.clone()),
            runtime,
            handlers: Arc::new(Handlers::new()),
            owner: Arc::new(Owner(core)),
        }
    }
}

/// What is particular to a kind; made by [`Queue::kind`].
#[derive(Debug)]
#[must_use = "call `register`"]
pub struct KindBuilder<'a, R: Runtime> {
    owner: &'a Queue<R>,
    name: Name,
    queue: Option<Name>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
}

impl<R: Runtime> KindBuilder<'_, R> {
    /// The named queue this kind runs in, unless a push says otherwise. Jobs that wait already stay where they are.
    ///
    /// Default: the one that configured it with [`QueueConfig::kinds`], else `default`.
    pub fn queue(mut self, name: impl Into<Name>) -> Self {
        self.queue = Some(name.into());
        self
    }

    /// What happens when an attempt of this kind fails. Default: as its named queue says.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How long one attempt of this kind may take. Default: as its named queue says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the handler; see [`Queue::register`].
    ///
    /// # Errors
    ///
    /// [`UnknownQueue`] if no named queue of that name was configured; then nothing is registered.
    pub fn register<H, F, T>(self, handler: H) -> Result<(), UnknownQueue>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, BoxError>>,
        T: IntoOutcome,
        R::Mode: Accepts<F, T>,
    {
        let channel = match self.queue {
            None => None,
            Some(queue) => Some(self.owner.core().index_of(&queue).ok_or(UnknownQueue { name: queue })?),
        };
        self.owner.set_handler(self.name, channel, self.retry, self.timeout, handler);
        Ok(())
    }
}

/// No named queue has this name. Named queues are configured before the queue is built, with [`Builder::queue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownQueue {
    pub(crate) name: Name,
}

impl UnknownQueue {
    /// The name that was asked for.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl fmt::Display for UnknownQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no queue named {:?}; add it with `builder.queue(..)`", self.name)
    }
}

impl std::error::Error for UnknownQueue {}
