//! Handlers that stay on their thread: they hold an `Rc` across an await, or a socket of compio's.
#![cfg(any(feature = "tokio", feature = "smol", feature = "compio"))]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::yield_now;
use queue_core::{Job, RetryPolicy};
use queue_tests::{Log, TestRuntime, run};

/// Registers a handler that works with an `Rc`, pushes jobs of all sorts to it, and shuts down.
macro_rules! rc_scenario {
    ($rt:expr) => {{
        let rt = $rt;
        let done = Log::new();
        let queue = rt.started(
            rt.builder().workers(3).retry(RetryPolicy::fixed(1, Duration::from_millis(1))),
            |queue| {
                let done = done.clone();
                queue.register("count", move |job: Job| {
                    let done = done.clone();
                    async move {
                        let steps = Rc::new(Cell::new(0));
                        for _ in 0..job.deserialize()? {
                            let step = steps.clone();
                            yield_now().await;
                            step.set(step.get() + 1);
                        }
                        if job.attempt == 0 && steps.get() == 3 {
                            return Err("the first attempt fails".into());
                        }
                        done.add(steps.get());
                        Ok(())
                    }
                });
            },
        );
        queue.push("count", &1).await?;
        queue.push("count", &3).await?;
        queue.push_delayed("count", &5, Duration::from_millis(1)).await?;
        let mut all = done.wait_for(3).await;
        all.sort_unstable();
        assert_eq!(all, [1, 3, 5]);
        assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
        Ok(())
    }};
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use queue_tests::runtimes::TokioLocal;
    use queue_tokio::local::{On, Queue};
    use tokio::runtime::Builder;
    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn a_handler_holds_an_rc() {
        run("tokio::a_handler_holds_an_rc", |rt: TokioLocal| async move { rc_scenario!(rt) });
    }

    /// The set is named, and the start is outside of it.
    #[test]
    fn a_local_set_can_be_named() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("tokio starts");
        let local = LocalSet::new();
        let done = Log::new();
        let queue = {
            let _inside = runtime.enter();
            let queue = Queue::new();
            let done = done.clone();
            queue.register("note", move |_| {
                let done = done.clone();
                async move {
                    let local = Rc::new(1);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    done.add(*local);
                    Ok(())
                }
            });
            queue.start_on(&On(&local));
            queue
        };
        local.block_on(&runtime, async {
            queue.push("note", &()).await.expect("it is open");
            assert_eq!(done.wait_for(1).await, [1]);
            assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
        });
    }

    /// A handler starts tasks of its own on the same set.
    #[test]
    fn a_handler_spawns_local_tasks() {
        run("tokio::a_handler_spawns_local_tasks", |rt: TokioLocal| async move {
            let done = Log::new();
            let queue = rt.started(rt.builder(), |queue| {
                let done = done.clone();
                queue.register("spawn", move |_| {
                    let done = done.clone();
                    async move {
                        let shared = Rc::new(Cell::new(1));
                        let theirs = shared.clone();
                        tokio::task::spawn_local(async move { theirs.set(2) }).await?;
                        let outlives = shared.clone();
                        tokio::task::spawn_local(async move {
                            yield_now().await;
                            done.add(outlives.get());
                        });
                        Ok(())
                    }
                });
            });
            queue.push("spawn", &()).await?;
            assert_eq!(done.wait_for(1).await, [2]);
            Ok(())
        });
    }
}

#[cfg(feature = "smol")]
mod on_smol {
    use std::future::poll_fn;
    use std::pin::pin;

    use queue_core::Spawner;
    use queue_smol::local::{On, Queue};
    use queue_tests::runtimes::SmolLocal;
    use smol::LocalExecutor;

    use super::*;

    #[test]
    fn a_handler_holds_an_rc() {
        run("smol::a_handler_holds_an_rc", |rt: SmolLocal| async move { rc_scenario!(rt) });
    }

    /// The executor may be started on before it is run.
    #[test]
    fn a_local_executor_is_named() {
        let executor = LocalExecutor::new();
        let done = Log::new();
        let queue = Queue::new();
        let noted = done.clone();
        queue.register("note", move |_| {
            let noted = noted.clone();
            async move {
                let local = Rc::new(1);
                smol::Timer::after(Duration::from_millis(1)).await;
                noted.add(*local);
                Ok(())
            }
        });
        queue.start_on(&On(&executor));
        smol::block_on(executor.run(async {
            queue.push("note", &()).await.expect("it is open");
            assert_eq!(done.wait_for(1).await, [1]);
            assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
        }));
    }

    /// An `Executor` that is gone cannot be started on, which says so and leaves nothing behind.
    #[test]
    fn an_executor_that_is_gone_panics_at_the_start() {
        let executor = std::sync::Arc::new(smol::Executor::new());
        let queue = queue_smol::Queue::builder_on(queue_smol::Smol::on(&executor)).build();
        drop(executor);
        let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.start()));
        assert!(started.is_err());
        assert_eq!(queue.counts("default").expect("it is always there").workers, 0);
    }

    /// A `LocalExecutor` on which every poll of a task is counted.
    struct Counted<'a> {
        executor: &'a LocalExecutor<'static>,
        polls: Rc<Cell<usize>>,
    }

    impl<F: Future<Output = ()> + 'static> Spawner<F> for Counted<'_> {
        fn spawn(&self, future: F) {
            let polls = self.polls.clone();
            let counted = async move {
                let mut future = pin!(future);
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    future.as_mut().poll(cx)
                })
                .await;
            };
            self.executor.spawn(counted).detach();
        }
    }

    /// A push wakes one worker out of fifty, and while nothing is due, nobody wakes at all.
    #[test]
    fn one_push_wakes_one_worker_and_idle_ones_sleep() {
        let executor = LocalExecutor::new();
        let counted = Counted { executor: &executor, polls: Rc::default() };
        let done = Log::new();
        let queue = Queue::builder().workers(50).build();
        let noted = done.clone();
        queue.register("note", move |job: Job| {
            noted.add(job.id);
            async { Ok(()) }
        });
        queue.start_on(&counted);
        smol::block_on(executor.run(async {
            let idle = async |polls: usize| {
                for _ in 0..100 {
                    yield_now().await;
                }
                assert_eq!(counted.polls.get(), polls);
                smol::Timer::after(Duration::from_millis(20)).await;
                assert_eq!(counted.polls.get(), polls, "somebody woke for nothing");
            };
            // Fifty workers and the timekeeper have looked once.
            idle(51).await;
            for pushed in 1..=20 {
                let before = counted.polls.get();
                queue.push("note", &()).await.expect("it is open");
                done.wait_for(pushed).await;
                for _ in 0..100 {
                    yield_now().await;
                }
                // One, or two if it used up its time slice with the job.
                assert!(counted.polls.get() - before <= 2, "{} polls", counted.polls.get() - before);
            }
            // A deadline that is far away wakes the timekeeper, once, and nobody else until it is there.
            let before = counted.polls.get();
            queue.push_delayed("note", &(), Duration::from_hours(1)).await.expect("it is open");
            idle(before + 1).await;
        }));
    }
}

#[cfg(feature = "compio")]
mod on_compio {
    use std::net::SocketAddr;
    use std::{env, io, process};

    use compio::driver::{DriverType, ProactorBuilder};
    use compio::fs::File;
    use compio::io::{AsyncReadAtExt, AsyncReadExt, AsyncWriteAtExt, AsyncWriteExt};
    use compio::net::{TcpListener, TcpStream};
    use compio::runtime::{Runtime, RuntimeBuilder};
    use queue_compio::{BoxError, Outcome, Queue};
    use queue_tests::TestResult;
    use queue_tests::runtimes::Compio;

    use super::*;

    #[test]
    fn a_handler_holds_an_rc() {
        run("compio::a_handler_holds_an_rc", |rt: Compio| async move { rc_scenario!(rt) });
    }

    #[test]
    fn a_handler_spawns_local_tasks() {
        run("compio::a_handler_spawns_local_tasks", |rt: Compio| async move {
            let done = Log::new();
            let queue = rt.started(rt.builder(), |queue| {
                let done = done.clone();
                queue.register("spawn", move |_| {
                    let done = done.clone();
                    async move {
                        let shared = Rc::new(Cell::new(1));
                        let outlives = shared.clone();
                        compio::runtime::spawn(async move {
                            yield_now().await;
                            done.add(outlives.get());
                        })
                        .detach();
                        shared.set(2);
                        Ok(())
                    }
                });
            });
            queue.push("spawn", &()).await?;
            assert_eq!(done.wait_for(1).await, [2]);
            Ok(())
        });
    }

    macro_rules! on_every_driver {
        ($($scenario:ident),* $(,)?) => {
            on_every_driver! { @io_uring true; $($scenario),* }
            on_every_driver! { @polling false; $($scenario),* }
        };
        (@$driver:ident $io_uring:literal; $($scenario:ident),*) => {
            mod $driver {
                $(
                    #[test]
                    fn $scenario() {
                        let name = concat!(stringify!($driver), "::", stringify!($scenario));
                        queue_tests::run::<super::Driver<$io_uring>, _>(name, super::$scenario);
                    }
                )*
            }
        };
    }

    on_every_driver! {
        a_handler_moves_bytes_through_compio_sockets,
        a_handler_can_be_interrupted_in_its_socket,
        a_handler_moves_bytes_through_a_compio_file,
    }

    /// A compio runtime on `io_uring`, where the kernel has it, or on polling.
    #[derive(Clone)]
    struct Driver<const IO_URING: bool>;

    impl<const IO_URING: bool> TestRuntime for Driver<IO_URING> {
        type Runtime = queue_compio::Compio;

        fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
            let wanted = if IO_URING { DriverType::IoUring } else { DriverType::Poll };
            let runtime = on(wanted).or_else(|_| on(DriverType::Poll)).expect("compio starts");
            runtime.block_on(async { scenario(Self).await })
        }

        fn start(&self, queue: &Queue) {
            queue.start();
        }
    }

    fn on(driver: DriverType) -> io::Result<Runtime> {
        let mut proactor = ProactorBuilder::new();
        proactor.driver_type(driver);
        RuntimeBuilder::new().with_proactor(proactor).build()
    }

    /// Handlers move a mebibyte each over TCP, through sockets that live across their awaits.
    async fn a_handler_moves_bytes_through_compio_sockets(
        rt: impl TestRuntime<Runtime = queue_compio::Compio>,
    ) -> TestResult {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        compio::runtime::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                compio::runtime::spawn(mirror(stream)).detach();
            }
        })
        .detach();

        let queue = rt.build(rt.builder().workers(4));
        let received = Log::new();
        let noted = received.clone();
        queue.register("mirror", move |job: Job| {
            let noted = noted.clone();
            async move {
                let sent = vec![job.deserialize::<u8>()?; 1 << 20];
                noted.add(there_and_back(address, sent).await?);
                Ok(())
            }
        });
        queue.start();
        for byte in 0..8 {
            queue.push("mirror", &byte).await?;
        }
        let mut all = received.wait_for(8).await;
        all.sort_unstable();
        assert_eq!(all, (0..8).map(|byte| (byte, 1 << 20)).collect::<Vec<_>>());
        assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
        Ok(())
    }

    /// A handler that is interrupted in the middle of a read lets go of its socket, and its job is handed back.
    async fn a_handler_can_be_interrupted_in_its_socket(
        rt: impl TestRuntime<Runtime = queue_compio::Compio>,
    ) -> TestResult {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let queue = rt.build(rt.builder());
        queue.register("wait", move |_| async move {
            let mut stream = TcpStream::connect(address).await?;
            let answer = stream.read_exact(vec![0; 1]).await;
            Err::<Outcome, _>(format!("the silent peer said {answer:?}").into())
        });
        queue.start();
        let id = queue.push("wait", &()).await?;
        let (mut peer, _) = listener.accept().await?;
        let report = queue.shutdown(Duration::from_millis(1)).await;
        assert_eq!((report.handed_back.len(), report.handed_back[0].id), (1, id));
        // The peer sees the end.
        let (read, _) = peer.read_to_end(Vec::new()).await.into();
        assert_eq!(read?, 0);
        Ok(())
    }

    /// A handler writes a file and reads it back.
    async fn a_handler_moves_bytes_through_a_compio_file(
        rt: impl TestRuntime<Runtime = queue_compio::Compio>,
    ) -> TestResult {
        let driver = Runtime::with_current(Runtime::driver_type);
        let path = env::temp_dir().join(format!("queue-tests-{}-{driver:?}", process::id()));
        let queue = rt.build(rt.builder());
        let read = Log::new();
        let (noted, file) = (read.clone(), path.clone());
        queue.register("save", move |job: Job| {
            let (noted, path) = (noted.clone(), file.clone());
            async move {
                let mut file = File::create(&path).await?;
                let (written, _) = file.write_all_at(job.raw_payload().to_vec(), 0).await.into();
                written?;
                file.sync_all().await?;
                file.close().await?;
                let file = File::open(&path).await?;
                let (read, bytes) = file.read_to_end_at(Vec::new(), 0).await.into();
                assert_eq!(read?, bytes.len());
                noted.add(bytes);
                Ok(())
            }
        });
        queue.start();
        let bytes = vec![7; 300_000];
        queue.push_job(queue_core::NewJob::raw("save", bytes.clone())).await?;
        rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
        assert_eq!(queue.dead_letters().len(), 0, "{:?}", queue.dead_letters());
        assert_eq!(read.entries(), [bytes]);
        compio::fs::remove_file(&path).await?;
        Ok(())
    }

    /// Gives everything back that comes.
    async fn mirror(mut stream: TcpStream) -> Result<(), BoxError> {
        let (_, bytes) = stream.read_exact(vec![0; 1 << 20]).await.into();
        let (written, _) = stream.write_all(bytes).await.into();
        Ok(written?)
    }

    /// Sends bytes that are all the same, and returns what came back, and how much of it.
    async fn there_and_back(address: SocketAddr, bytes: Vec<u8>) -> Result<(u8, usize), BoxError> {
        let mut stream = TcpStream::connect(address).await?;
        let (written, bytes) = stream.write_all(bytes).await.into();
        written?;
        let (read, back) = stream.read_exact(vec![0; bytes.len()]).await.into();
        read?;
        assert!(back == bytes, "other bytes came back");
        Ok((back[0], back.len()))
    }
}
