//! What code inside of a simulation sees of it.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use queue_core::{Builder, Handle, Queue};

use crate::chaos::Chaos;
use crate::executor::{Executor, Moment};
use crate::piece::Origin;
use crate::sleep::{Sleep, jump, lull};
use crate::state::Shared;
use crate::task::Task;
use crate::trace::Step;

/// A running simulation, and the runtime of the queues in it. Cheap to clone; a clone is the same simulation.
///
/// Its default is the one that runs on this thread, so `queue_sim::Queue::builder()` needs no argument.
#[derive(Clone)]
pub struct World {
    pub(crate) shared: Arc<Shared>,
}

/// The queue rounds deadlines up to ticks of about a millisecond.
const TICK: Duration = Duration::from_millis(2);

impl World {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone() }
    }

    /// The seed of this simulation.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Settings for a queue in this simulation: `queue_sim::Queue::builder()`, without asking the thread which one runs.
    pub fn queue_builder(&self) -> Builder<Self> {
        Queue::builder_on(self.clone())
    }

    /// How much virtual time has passed since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.with(|state| state.now)
    }

    /// Ends `time` from now.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep::new(self.shared.clone(), self.elapsed().saturating_add(time))
    }

    /// Lets `time` pass, with everything that happens meanwhile, and everything that is due at its end.
    ///
    /// Queues round deadlines up to ticks of about a millisecond, so this goes on by up to two milliseconds if something
    /// is due then.
    pub async fn advance(&self, time: Duration) {
        let end = self.elapsed().saturating_add(time);
        Sleep::new(self.shared.clone(), end).await;
        loop {
            self.settle().await;
            let next = self.shared.with(|state| state.timers.first_key_value().map(|((at, _), _)| *at));
            let Some(next) = next.filter(|next| *next <= end.saturating_add(TICK)) else { return };
            Sleep::new(self.shared.clone(), next).await;
        }
    }

    /// Lets everything run that can run without time passing.
    pub async fn settle(&self) {
        lull(&self.shared).await;
    }

    /// Lets time pass until the queue holds nothing: no job is ready, running, delayed or waiting for a retry. Dead
    /// letters may remain.
    ///
    /// A queue whose jobs push or snooze themselves for ever never drains; use [`advance`](Self::advance) there. One that
    /// cannot drain (it is paused, or was not started) is reported as a deadlock.
    pub async fn drain(&self, queue: &Handle) {
        loop {
            self.settle().await;
            if queue.pending_count() == 0 && queue.inflight_count() == 0 {
                return;
            }
            jump(&self.shared).await;
        }
    }

    /// Starts a task that is not part of a queue. Its name is for the trace.
    ///
    /// # Panics
    ///
    /// Outside of this simulation.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let (task, run) = Task::new(future);
        self.executor().spawn(name, run, Origin::User);
        task
    }

    /// A generator of random numbers that follows from the seed, and from how many were made before.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        self.shared.with(|state| state.random.fork())
    }

    /// Writes a line into the trace.
    pub fn note(&self, note: impl fmt::Display) {
        let note = note.to_string();
        self.shared.with(|state| state.log(Step::Note(note)));
    }

    /// Sets the wall clock, as somebody who corrects it does. It goes on from there; the monotonic clock does not care.
    pub fn set_wall(&self, time: SystemTime) {
        self.shared.with(|state| state.wall = time);
    }

    /// Injects faults from now on, in place of those so far.
    pub fn chaos(&self, chaos: Chaos) {
        self.shared.with(|state| state.chaos = chaos);
    }

    /// Injects no more faults. What is already late still comes late.
    pub fn calm(&self) {
        self.chaos(Chaos::none());
    }

    /// Starts a queue, and starts it again whenever faults have crashed a task of it.
    ///
    /// Keeps the queue alive until the end of the simulation.
    ///
    /// # Panics
    ///
    /// Outside of this simulation.
    pub fn supervise(&self, queue: &Queue<Self>) {
        queue.start();
        let queue = queue.clone();
        self.executor().supervise(Rc::new(move || queue.start()));
    }

    /// Calls this after every step, to look at what must hold at every moment; where it panics, the simulation fails.
    ///
    /// ```
    /// use queue_sim::{Queue, Sim};
    ///
    /// Sim::new(1).run(|sim| async move {
    ///     let queue = Queue::builder().workers(2).build();
    ///     queue.register("hello", |_| async { Ok(()) });
    ///     let handle = queue.handle();
    ///     sim.watch(move |_| assert!(handle.inflight_count() <= 2));
    ///     queue.start();
    ///     for _ in 0..10 {
    ///         queue.push("hello", &()).await.unwrap();
    ///     }
    ///     sim.drain(&queue).await;
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of this simulation.
    pub fn watch(&self, watcher: impl FnMut(Moment) + 'static) {
        self.executor().watch(Box::new(watcher));
    }

    /// How many steps (polls of a task) may be taken before that is called a livelock. Default: 5,000,000.
    pub fn limit_steps(&self, steps: u64) {
        self.shared.with(|state| state.step_budget = steps);
    }

    /// How many steps there were so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.shared.with(|state| state.steps)
    }

    /// Tasks may outlive the run, and are dropped at its end.
    pub fn allow_leftovers(&self) {
        self.shared.with(|state| state.leftovers_allowed = true);
    }

    /// The process is killed when the closure given to [`Sim::run`](crate::Sim::run) returns: nothing else runs any more, and
    /// what there is, is dropped.
    pub fn kill(&self) {
        self.shared.with(|state| state.is_killed = true);
    }

    /// Whether a fault of this probability strikes now.
    pub(crate) fn strikes(&self, fault: &'static str, probability: impl FnOnce(&Chaos) -> f64) -> bool {
        self.shared.with(|state| {
            let strikes = state.happens(probability(&state.chaos));
            if strikes {
                state.log(Step::Fault(fault));
            }
            strikes
        })
    }

    pub(crate) fn executor(&self) -> Rc<Executor> {
        let executor = Executor::current().filter(|executor| Arc::ptr_eq(&executor.shared, &self.shared));
        executor.expect("this is called inside of its simulation, and before that is over")
    }
}

/// The simulation that runs on this thread.
///
/// # Panics
///
/// When there is none.
impl Default for World {
    fn default() -> Self {
        let executor = Executor::current();
        Self::of(&executor.expect("a queue of `queue_sim` is made inside of `Sim::run`").shared)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed()).field("elapsed", &self.elapsed()).finish()
    }
}
