//! The runtimes of the matrix.

use std::time::{Duration, Instant};

use queue_core::{Builder, Queue, Runtime, Timer as _};

use crate::watchdog::watch;

/// A runtime to run a scenario on. Cheap to clone; a clone is the same running runtime.
pub trait TestRuntime: Clone + 'static {
    /// How often each scenario runs: more than once only where that makes a difference which can be had again.
    const RUNS: u64 = 1;

    /// What its queues are made of.
    type Runtime: Runtime + Default;

    /// Runs a scenario to its end on a fresh runtime.
    fn block_on<F>(scenario: impl FnOnce(Self) -> F) -> F::Output
    where
        F: Future;

    /// Starts the workers of a queue.
    fn start(&self, queue: &Queue<Self::Runtime>);

    /// Settings for a queue.
    fn builder(&self) -> Builder<Self::Runtime> {
        Queue::builder()
    }

    /// Builds a queue and shows it to the watchdog.
    fn build(&self, builder: Builder<Self::Runtime>) -> Queue<Self::Runtime> {
        let queue = builder.build();
        watch(queue.handle());
        queue
    }

    /// A queue with these settings that has handlers registered by `register` and is started.
    fn started(
        &self,
        builder: Builder<Self::Runtime>,
        register: impl FnOnce(&Queue<Self::Runtime>),
    ) -> Queue<Self::Runtime> {
        let queue = self.build(builder);
        register(&queue);
        self.start(&queue);
        queue
    }

    /// The runtime's clock.
    fn now(&self) -> Instant {
        Self::Runtime::default().now()
    }

    /// For scenarios whose subject is time; all others wait for signals.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
        let runtime = Self::Runtime::default();
        async move {
            let deadline = runtime.now() + time;
            while runtime.now() < deadline {
                runtime.sleep_until(deadline).await;
            }
        }
    }

    /// Waits until a condition holds that gives no signal.
    fn until(&self, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
        let this = self.clone();
        async move {
            while !holds() {
                this.sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

#[cfg(feature = "tokio")]
pub use on_tokio::{TokioCurrent, TokioLocal, TokioMulti};

#[cfg(feature = "tokio")]
mod on_tokio {
    use queue_core::Queue;
    use queue_tokio::Tokio;
    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::TestRuntime;

    /// tokio's work-stealing runtime, with two threads.
    #[derive(Clone, Copy, Debug)]
    pub struct TokioMulti;

    /// tokio's current-thread runtime, with `Send` handlers.
    #[derive(Clone, Copy, Debug)]
    pub struct TokioCurrent;

    /// A `LocalSet` on tokio's current-thread runtime.
    #[derive(Clone, Copy, Debug)]
    pub struct TokioLocal;

    impl TestRuntime for TokioMulti {
        type Runtime = Tokio;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build();
            runtime.expect("tokio starts").block_on(async { scenario(Self).await })
        }

        fn start(&self, queue: &Queue<Tokio>) {
            queue.start();
        }
    }

    impl TestRuntime for TokioCurrent {
        type Runtime = Tokio;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let runtime = Builder::new_current_thread().enable_time().build();
            runtime.expect("tokio starts").block_on(async { scenario(Self).await })
        }

        fn start(&self, queue: &Queue<Tokio>) {
            queue.start();
        }
    }

    impl TestRuntime for TokioLocal {
        type Runtime = queue_tokio::local::TokioLocal;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let runtime = Builder::new_current_thread().enable_time().build();
            let local = LocalSet::new();
            local.block_on(&runtime.expect("tokio starts"), async { scenario(Self).await })
        }

        fn start(&self, queue: &Queue<Self::Runtime>) {
            queue.start();
        }
    }
}

#[cfg(feature = "smol")]
pub use on_smol::{SmolGlobal, SmolLocal, SmolOwn};

#[cfg(feature = "smol")]
mod on_smol {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::thread;

    use queue_core::{Builder, Queue};
    use queue_smol::Smol;
    use queue_smol::local::On;
    use smol::{Executor, LocalExecutor, channel};

    use super::TestRuntime;

    /// smol's global executor.
    #[derive(Clone, Copy, Debug)]
    pub struct SmolGlobal;

    /// An `Executor` of one's own, run by two threads.
    #[derive(Clone, Debug)]
    pub struct SmolOwn(Arc<Executor<'static>>);

    /// A `LocalExecutor`.
    #[derive(Clone, Debug)]
    pub struct SmolLocal(Rc<LocalExecutor<'static>>);

    impl TestRuntime for SmolGlobal {
        type Runtime = Smol;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            smol::block_on(scenario(Self))
        }

        fn start(&self, queue: &Queue<Smol>) {
            queue.start();
        }
    }

    impl TestRuntime for SmolOwn {
        type Runtime = Smol;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let executor = Arc::new(Executor::new());
            let (stop, stopped) = channel::bounded::<()>(1);
            thread::scope(|scope| {
                scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
                // Dropped on every way out, so that the thread ends when the scenario panics, too.
                let stop = stop;
                let output = smol::block_on(executor.run(scenario(Self(executor.clone()))));
                drop(stop);
                output
            })
        }

        fn start(&self, queue: &Queue<Smol>) {
            queue.start_on(&Smol::on(&self.0));
        }

        fn builder(&self) -> Builder<Smol> {
            Queue::builder_on(Smol::on(&self.0))
        }
    }

    impl TestRuntime for SmolLocal {
        type Runtime = queue_smol::local::SmolLocal;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let executor = Rc::new(LocalExecutor::new());
            smol::block_on(executor.run(scenario(Self(executor.clone()))))
        }

        fn start(&self, queue: &Queue<Self::Runtime>) {
            queue.start_on(&On(&self.0));
        }
    }
}

#[cfg(feature = "compio")]
pub use on_compio::Compio;

#[cfg(feature = "compio")]
mod on_compio {
    use queue_core::Queue;

    use super::TestRuntime;

    /// A compio runtime.
    #[derive(Clone, Copy, Debug)]
    pub struct Compio;

    impl TestRuntime for Compio {
        type Runtime = queue_compio::Compio;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            compio::runtime::Runtime::new().expect("compio starts").block_on(async { scenario(Self).await })
        }

        fn start(&self, queue: &Queue<Self::Runtime>) {
            queue.start();
        }
    }
}

#[cfg(feature = "sim")]
pub use on_sim::Simulated;

#[cfg(feature = "sim")]
mod on_sim {
    use std::cell::Cell;

    use queue_core::{Builder, Queue};
    use queue_sim::{Sim, World};

    use super::TestRuntime;
    use crate::invariants::Monitor;
    use crate::watchdog::watch;

    /// The simulator, without faults, with another schedule for every scenario that a thread runs. Under every other one
    /// the queues are watched by invariants, and so run nothing in batches.
    #[derive(Clone, Copy, Debug)]
    pub struct Simulated;

    thread_local! {
        static SEED: Cell<u64> = const { Cell::new(0) };
    }

    impl TestRuntime for Simulated {
        const RUNS: u64 = 10;

        type Runtime = World;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            // A test has a thread of its own, so its first seed is 0.
            Sim::new(SEED.replace(SEED.get() + 1)).run(|sim| {
                // Scenarios end with queues that still run, as their runtimes do.
                sim.allow_leftovers();
                scenario(Self)
            })
        }

        fn start(&self, queue: &Queue<World>) {
            queue.start();
        }

        fn build(&self, builder: Builder<World>) -> Queue<World> {
            let queue = builder.build();
            watch(queue.handle());
            let sim = World::default();
            if sim.seed() % 2 == 1 {
                Monitor::of_scenario(&sim, queue.handle());
            }
            queue
        }
    }
}
