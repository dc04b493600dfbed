//! Whole queues, through their public face, on threads whose every step a seeded scheduler decides: shuttle's.
//!
//! | where threads meet | what tries it |
//! |---|---|
//! | a push against a worker that goes to sleep; against the inbox being emptied | `pushes`, loom in `inbox` |
//! | one wake-up that has to start many; a worker that leaves with one in hand | `wake_chain` |
//! | a worker's batch against those who take from it, or cancel it | `batches`, loom in `progress` |
//! | a signal against a worker, or a handler, about to wait | `signals`, loom in `slot` |
//! | pushes that wait for room, that have it granted, that are dropped | `capacity` |
//! | shutdown against pushes, against another shutdown, against who waits for the end | `shutdown` |
//! | the last queue dropped against pushes and workers | `drops` |
//! | the leader of the timekeepers against its heirs; a deadline against one about to sleep | `timekeepers` |
//! | a subscriber about to wait against an event, or the end | `events` |
//!
//! The rest lies behind one plain lock and is looked at under it: the store, the seats, the waiters and the phase are the
//! channel's; dead letters, counts, pauses and requeues are one visit each; kinds and handlers are replaced as a whole under
//! a lock of their own, and a worker that has the old ones runs the old ones; what a thread knows of the kinds is its own. The
//! number where the next block of ids begins is only ever added to, and blocks are used up under the inbox's lock, so ids grow
//! along a lane.
//!
//! A wake-up that is lost is a deadlock here, which shuttle reports with the schedule that led to it.

mod batches;
mod capacity;
mod drops;
mod events;
mod pushes;
mod shutdown;
mod signals;
mod timekeepers;
mod wake_chain;

use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::select;
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::JoinHandle;
use shuttle::{Config, Runner};

use crate::sync::{AtomicU64, Mutex, Notify, Ordering, thread};
use crate::{
    LocalMode, Mode, NewJob, Outcome, Queue, Runtime, SendFuture, SendMode, ShutdownReport, Spawner, Timer,
};

/// Tries a model under many schedules: as many random ones, and as many that look for bugs of few steps in the wrong order.
/// `QUEUE_SCHEDULES` says how many, `QUEUE_SEED` which.
fn check(model: fn()) {
    let schedules = number("QUEUE_SCHEDULES").unwrap_or(300);
    let seed = number("QUEUE_SEED").unwrap_or(0) as u64;
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    Runner::new(RandomScheduler::new_from_seed(seed, schedules), config.clone()).run(model);
    Runner::new(PctScheduler::new_from_seed(seed, 4, schedules), config).run(model);
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A runtime of threads, and a clock that stands until it is told.
struct World<M = SendMode> {
    state: Arc<State>,
    mode: PhantomData<fn() -> M>,
}

struct State {
    epoch: Instant,
    millis: AtomicU64,
    passed: Notify,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl World {
    fn new() -> Self {
        Self::of_mode()
    }
}

impl<M> World<M> {
    #[expect(clippy::disallowed_methods, reason = "no decision depends on where the clock starts")]
    fn of_mode() -> Self {
        let (millis, passed, threads) = (AtomicU64::new(0), Notify::new(), Mutex::default());
        let state = Arc::new(State { epoch: Instant::now(), millis, passed, threads });
        Self { state, mode: PhantomData }
    }

    fn advance(&self, millis: u64) {
        self.state.millis.fetch_add(millis, Ordering::SeqCst);
        self.state.passed.notify(usize::MAX);
    }

    fn go(&self, thread: impl FnOnce() + Send + 'static) {
        self.state.threads.lock().push(thread::spawn(thread));
    }

    /// Waits for the end of every thread.
    fn join(&self) {
        loop {
            let next = self.state.threads.lock().pop();
            let Some(thread) = next else { return };
            thread.join().expect("its thread passes");
        }
    }
}

impl<M> Clone for World<M> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), mode: PhantomData }
    }
}

impl<M> Timer for World<M> {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn now(&self) -> Instant {
        self.state.now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
        Box::pin(self.state.clone().sleep_until(deadline))
    }
}

impl State {
    fn now(&self) -> Instant {
        self.epoch + Duration::from_millis(self.millis.load(Ordering::SeqCst))
    }

    async fn sleep_until(self: Arc<Self>, deadline: Instant) {
        loop {
            let passed = self.passed.listen();
            if self.now() >= deadline {
                return;
            }
            passed.await;
        }
    }
}

impl<M: Mode> Runtime for World<M> {
    type Mode = M;

    fn seed(&self) -> Option<u64> {
        Some(0)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Spawner<F> for World {
    fn spawn(&self, future: F) {
        self.go(move || block_on(future));
    }
}

/// What has happened, as numbers: which jobs ran.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<usize>>, Notify)>);

impl Log {
    fn add(&self, job: usize) {
        self.0.0.lock().push(job);
        self.0.1.notify(usize::MAX);
    }

    fn all(&self) -> Vec<usize> {
        self.0.0.lock().clone()
    }

    fn sorted(&self) -> Vec<usize> {
        let mut all = self.all();
        all.sort_unstable();
        all
    }

    /// Ends once so many have run.
    async fn reach(&self, jobs: usize) {
        loop {
            let changed = self.0.1.listen();
            if self.0.0.lock().len() >= jobs {
                return;
            }
            changed.await;
        }
    }
}

/// Registers the kind `job`, which logs its payload, a number.
fn log_jobs<M: Mode>(queue: &Queue<World<M>>) -> Log {
    let log = Log::default();
    let own = log.clone();
    queue.register("job", move |job| -> SendFuture {
        let own = own.clone();
        Box::pin(async move {
            own.add(job.deserialize()?);
            Ok(Outcome::Done)
        })
    });
    log
}

/// A queue of two workers, each on a thread of its own with a timekeeper. The first thread ends once it is told to.
fn on_two_threads(world: &World<LocalMode>) -> (Queue<World<LocalMode>>, Log) {
    let queue = Queue::builder_on(world.clone()).workers(1).limit(2).build();
    let leave = Log::default();
    for leave in [Some(leave.clone()), None] {
        let queue = queue.clone();
        world.go(move || {
            block_on(async {
                match leave {
                    Some(leave) => {
                        select(pin!(queue.run()), pin!(leave.reach(1))).await;
                    }
                    None => queue.run().await,
                }
            });
        });
    }
    (queue, leave)
}

fn jobs(numbers: impl IntoIterator<Item = usize>) -> Vec<NewJob> {
    numbers.into_iter().map(|number| NewJob::json("job", &number).expect("a number is JSON")).collect()
}

/// Lets all the ready jobs run, and waits for the end of all threads.
fn end<M: Mode>(queue: &Queue<World<M>>, world: &World<M>) -> ShutdownReport {
    let report = block_on(queue.shutdown(Duration::MAX));
    world.join();
    report
}
