//! More than one thread: starts from many at once, handlers that block one of them, and thread-per-core on several.
#![cfg(any(feature = "tokio", feature = "smol", feature = "compio"))]

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use futures_lite::future::{block_on, yield_now, zip};
use parking_lot::Mutex;
use queue_core::{Job, JobId, Queue, SendFuture};
use queue_tests::{Gate, Log, TestResult, TestRuntime, handler, matrix};

const LONG: Duration = Duration::from_hours(1);

// In a process of their own, because they block the one thread of smol's global executor.
matrix! {
    abandoned {
        #[ignore = "needs threads: its handler blocks one"]
        a_blocked_handler_is_abandoned_and_its_failure_kept = "a durable store keeps what is not finished",
        #[ignore = "needs threads: its handler blocks one"]
        an_abandoned_handler_may_still_end_well = "a durable store keeps what is not finished",
    }
}

/// Runtimes that move tasks between threads.
mod work_stealing {
    #[cfg(feature = "tokio")]
    queue_tests::on_runtime! {
        tokio_multi, queue_tests::runtimes::TokioMulti;
        field_bugs { one_blocked_handler_does_not_stop_the_timeouts_of_others }
    }
    #[cfg(feature = "smol")]
    queue_tests::on_runtime! {
        smol_own, queue_tests::runtimes::SmolOwn;
        field_bugs { one_blocked_handler_does_not_stop_the_timeouts_of_others }
    }
}

/// Runtimes whose tasks stay on their thread, on several threads.
macro_rules! on_thread_per_core {
    ($($scenario:ident),* $(,)?) => {
        on_thread_per_core! { @"tokio" tokio_local_threads queue_tests::runtimes::TokioLocal; $($scenario),* }
        on_thread_per_core! { @"smol" smol_local_threads queue_tests::runtimes::SmolLocal; $($scenario),* }
        on_thread_per_core! { @"compio" compio_threads queue_tests::runtimes::Compio; $($scenario),* }
    };
    (@$feature:literal $name:ident $runtime:ty; $($scenario:ident),*) => {
        #[cfg(feature = $feature)]
        mod $name {
            $(
                #[test]
                fn $scenario() {
                    let name = concat!(stringify!($name), "::", stringify!($scenario));
                    queue_tests::run::<$runtime, _>(name, super::$scenario);
                }
            )*
        }
    };
}

on_thread_per_core! {
    jobs_run_on_every_thread_and_stay_there,
    the_limit_holds_over_all_threads,
    starting_twice_on_a_thread_doubles_no_workers,
    a_job_of_a_thread_that_ends_moves_to_another,
    a_wake_up_does_not_end_with_its_thread,
    a_place_that_is_free_is_not_kept_for_a_blocked_thread,
    another_thread_keeps_the_time_when_one_ends,
    the_lead_passes_over_a_thread_that_ends_as_well,
    a_blocked_thread_does_not_stop_the_clock_of_the_others,
    a_shutdown_from_another_thread_drains_all,
    a_shutdown_from_another_thread_interrupts_all,
    dropping_the_last_queue_stops_every_thread,
}

/// With one worker per thread, as many jobs as threads run at once, each on its own thread, before and after an await.
async fn jobs_run_on_every_thread_and_stay_there<T: TestRuntime>(rt: T) -> TestResult {
    let (running, gate, ended) = (Log::new(), Gate::new(), Log::new());
    let queue = rt.build(rt.builder().workers(1).limit(3));
    let (seen, opened, left) = (running.clone(), gate.clone(), ended.clone());
    queue.register(
        "hold",
        handler(move |_| {
            let (seen, opened, left) = (seen.clone(), opened.clone(), left.clone());
            async move {
                let thread = thread::current().id();
                seen.add(thread);
                opened.pass().await;
                left.add((thread, thread::current().id()));
                Ok(())
            }
        }),
    );
    let crew = crew::<T>(3, &queue);
    rt.until(|| workers(&queue) == 3).await;
    for _ in 0..9 {
        queue.push("hold", &()).await?;
    }
    let threads: HashSet<ThreadId> = running.wait_for(3).await.into_iter().collect();
    assert_eq!((threads.len(), queue.inflight_count()), (3, 3));
    gate.open();
    assert!(ended.wait_for(9).await.iter().all(|(began, ended)| began == ended));
    for member in crew {
        member.end(&rt).await;
    }
    Ok(())
}

/// Twelve workers on three threads, and never more than five jobs at a time.
async fn the_limit_holds_over_all_threads<T: TestRuntime>(rt: T) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(4).limit(5));
    queue.register("hold", note_thread(&running, &gate));
    let crew = crew::<T>(3, &queue);
    rt.until(|| workers(&queue) == 12).await;
    for _ in 0..200 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(5).await;
    rt.sleep(Duration::from_millis(3)).await;
    assert_eq!((running.len(), queue.inflight_count(), queue.pending_count()), (5, 5, 195));
    gate.open();
    while running.len() < 200 {
        assert!(queue.inflight_count() <= 5);
        yield_now().await;
    }
    for member in crew {
        member.end(&rt).await;
    }
    Ok(())
}

/// Each thread has as many workers as configured, however often it starts.
async fn starting_twice_on_a_thread_doubles_no_workers<T: TestRuntime>(rt: T) -> TestResult {
    let queue = rt.build(rt.builder().workers(2).limit(100));
    rt.start(&queue);
    rt.start(&queue);
    assert_eq!(workers(&queue), 2);
    let crew = crew::<T>(2, &queue);
    rt.until(|| workers(&queue) == 6).await;
    rt.start(&queue);
    assert_eq!(workers(&queue), 6);
    for member in crew {
        member.end(&rt).await;
    }
    assert_eq!(workers(&queue), 2);
    Ok(())
}

/// What ran on a thread whose runtime ends runs on another one, which is told.
async fn a_job_of_a_thread_that_ends_moves_to_another<T: TestRuntime>(rt: T) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(1).limit(2));
    queue.register("hold", note_thread(&running, &gate));
    let first = Member::join::<T>(&queue);
    let id = queue.push("hold", &()).await?;
    let (one, _) = running.wait_for(1).await[0];
    let second = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 2).await;
    rt.sleep(Duration::from_millis(2)).await;
    first.end(&rt).await;
    let (other, again) = running.wait_for(2).await[1];
    assert_eq!((again, workers(&queue)), (id, 1));
    assert_ne!(one, other);
    gate.open();
    rt.until(|| queue.inflight_count() == 0).await;
    second.end(&rt).await;
    Ok(())
}

/// A worker that was woken for a job, and whose runtime ends before it could take it, passes the wake-up on.
async fn a_wake_up_does_not_end_with_its_thread<T: TestRuntime>(rt: T) -> TestResult {
    let ran = Log::new();
    let queue = rt.build(rt.builder().workers(1).limit(2));
    queue.register("note", note_thread(&ran, &open_gate()));
    let other = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 1).await;
    rt.sleep(Duration::from_millis(2)).await;
    // The latest worker to become idle is the first to be woken.
    let blocked = Blocked::join::<T>(&queue).await;
    queue.push("note", &()).await?;
    blocked.end(&rt).await;
    ran.wait_for(1).await;
    other.end(&rt).await;
    Ok(())
}

/// A worker that has used up its time slice frees its place before it claims again. If another task blocks its thread
/// meanwhile, a worker elsewhere takes the place.
async fn a_place_that_is_free_is_not_kept_for_a_blocked_thread<T: TestRuntime>(rt: T) -> TestResult {
    let (waiting, gate, ran) = (Log::new(), Gate::new(), Log::new());
    let queue = rt.build(rt.builder().workers(2).limit(2));
    let (seen, opened, others) = (waiting.clone(), gate.clone(), ran.clone());
    queue.register(
        "block",
        handler(move |_| {
            let (seen, opened, others) = (seen.clone(), opened.clone(), others.clone());
            async move {
                seen.add(());
                opened.pass().await;
                block_on(others.wait_for(1));
                Ok(())
            }
        }),
    );
    let handle = queue.handle();
    queue.register(
        "compute",
        handler(move |_| {
            // There is no place for this one yet.
            handle.try_push("note", &()).expect("there is room");
            gate.open();
            compute();
            async { Ok(()) }
        }),
    );
    queue.register("note", note_thread(&ran, &open_gate()));

    let elsewhere = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 2).await;
    rt.sleep(Duration::from_millis(2)).await;
    // The latest workers to become idle are the first to be woken: these two.
    let member = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 4).await;
    rt.sleep(Duration::from_millis(2)).await;
    queue.push("block", &()).await?;
    waiting.wait_for(1).await;
    queue.push("compute", &()).await?;
    ran.wait_for(1).await;
    rt.until(|| queue.inflight_count() == 0).await;
    member.end(&rt).await;
    elsewhere.end(&rt).await;
    Ok(())
}

/// Takes longer than a worker may go on without giving its thread back.
#[expect(clippy::disallowed_methods, reason = "time that is spent, not waited for")]
fn compute() {
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(1) {
        std::hint::spin_loop();
    }
}

/// Delays and timeouts go on when the thread that kept the time ends with some pending.
async fn another_thread_keeps_the_time_when_one_ends<T: TestRuntime>(rt: T) -> TestResult {
    let (ran, never) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(1).limit(2));
    queue.register("note", note_thread(&ran, &open_gate()));
    queue.register("hang", note_thread(&ran, &never));
    let first = Member::join::<T>(&queue);
    queue.push_delayed("note", &(), Duration::from_millis(1)).await?;
    ran.wait_for(1).await;
    let second = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 2).await;
    let delayed = queue.push_delayed("note", &(), Duration::from_millis(20)).await?;
    first.end(&rt).await;
    assert_eq!(ran.wait_for(2).await[1].1, delayed);
    let times_out = queue.push("hang", &()).timeout(Duration::from_millis(2)).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    assert_eq!(queue.dead_letters()[0].id, times_out);
    second.end(&rt).await;
    Ok(())
}

/// When the time-keeping thread ends, and the one that would be next ends before it had a chance, a third keeps the time.
async fn the_lead_passes_over_a_thread_that_ends_as_well<T: TestRuntime>(rt: T) -> TestResult {
    let ran = Log::new();
    let queue = rt.build(rt.builder().workers(1).limit(3));
    queue.register("note", note_thread(&ran, &open_gate()));
    let first = Member::join::<T>(&queue);
    queue.push_delayed("note", &(), Duration::from_millis(1)).await?;
    ran.wait_for(1).await;

    let second = Blocked::join::<T>(&queue).await;
    let third = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 3).await;
    rt.sleep(Duration::from_millis(2)).await;

    first.end(&rt).await;
    second.end(&rt).await;
    queue.push_delayed("note", &(), Duration::from_millis(1)).await?;
    ran.wait_for(2).await;
    third.end(&rt).await;
    Ok(())
}

/// A handler that blocks the time-keeping thread does not stop the delays and timeouts of the others. When the thread is
/// back, nothing is done twice.
async fn a_blocked_thread_does_not_stop_the_clock_of_the_others<T: TestRuntime>(rt: T) -> TestResult {
    let (blocked, ran, never) = (Log::new(), Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(1).limit(2));
    let (release, until_released) = mpsc::channel::<()>();
    let (until_released, now_blocked) = (Mutex::new(until_released), blocked.clone());
    let until_released = Arc::new(until_released);
    queue.register(
        "block",
        handler(move |_| {
            let (until_released, now_blocked) = (until_released.clone(), now_blocked.clone());
            async move {
                now_blocked.add(());
                let _ = until_released.lock().recv();
                Ok(())
            }
        }),
    );
    queue.register("note", note_thread(&ran, &open_gate()));
    queue.register("hang", note_thread(&ran, &never));
    let first = Member::join::<T>(&queue);
    queue.push_delayed("block", &(), Duration::from_millis(1)).await?;
    blocked.wait_for(1).await;
    let second = Member::join::<T>(&queue);
    rt.until(|| workers(&queue) == 2).await;

    let mut ids = vec![queue.push_delayed("note", &(), Duration::from_millis(1)).await?];
    ran.wait_for(1).await;
    let hangs = queue.push("hang", &()).timeout(Duration::from_millis(2)).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    assert_eq!(queue.dead_letters()[0].id, hangs);
    ids.push(hangs);

    for delay in [2, 1, 1, 3] {
        ids.push(queue.push_delayed("note", &(), Duration::from_millis(delay)).await?);
    }
    drop(release);
    ran.wait_for(ids.len()).await;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    let mut all: Vec<_> = ran.entries().into_iter().map(|(_, id)| id).collect();
    all.sort_unstable();
    assert_eq!(all, ids);
    first.end(&rt).await;
    second.end(&rt).await;
    Ok(())
}

/// A thread that runs no workers shuts the queue down for all that do.
async fn a_shutdown_from_another_thread_drains_all<T: TestRuntime>(rt: T) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(2).limit(4));
    queue.register("hold", note_thread(&running, &gate));
    let crew = crew::<T>(2, &queue);
    rt.until(|| workers(&queue) == 4).await;
    for _ in 0..50 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(4).await;
    let (report, ()) = zip(queue.shutdown(LONG), async { gate.open() }).await;
    assert_eq!((report.finished, report.is_clean()), (50, true));
    rt.until(|| workers(&queue) == 0).await;
    for member in crew {
        member.end(&rt).await;
    }
    Ok(())
}

/// And interrupts what does not end, on every thread.
async fn a_shutdown_from_another_thread_interrupts_all<T: TestRuntime>(rt: T) -> TestResult {
    let (running, never) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(2).limit(4));
    queue.register("hold", note_thread(&running, &never));
    let crew = crew::<T>(2, &queue);
    rt.until(|| workers(&queue) == 4).await;
    for _ in 0..6 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(4).await;
    let report = queue.shutdown(Duration::from_millis(1)).await;
    assert_eq!((report.handed_back.len(), report.abandoned.len()), (6, 0));
    assert!(report.handed_back.iter().all(|back| back.attempts == 0));
    rt.until(|| workers(&queue) == 0).await;
    for member in crew {
        member.end(&rt).await;
    }
    Ok(())
}

/// The last queue is dropped on one thread, and the workers of all others stop.
async fn dropping_the_last_queue_stops_every_thread<T: TestRuntime>(rt: T) -> TestResult {
    let (running, never) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(2).limit(4));
    queue.register("hold", note_thread(&running, &never));
    let crew = crew::<T>(2, &queue);
    rt.until(|| workers(&queue) == 4).await;
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    let handle = queue.handle();
    drop(queue);
    rt.until(|| handle.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    assert_eq!(handle.inflight_count(), 0);
    for member in crew {
        member.end(&rt).await;
    }
    Ok(())
}

/// On a work-stealing runtime one start is enough, and many at once are still one.
#[cfg(feature = "tokio")]
#[test]
fn many_starts_at_once_on_tokio_start_one_set_of_workers() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("tokio starts");
    let queue = queue_tokio::Queue::builder().workers(3).limit(100).build();
    let (running, gate) = (Log::new(), Gate::new());
    queue.register("hold", note_thread(&running, &gate));
    start_from_many_threads(&queue, &running, &gate, || {
        let _inside = runtime.enter();
        queue.start();
    });
}

/// The same on smol.
#[cfg(feature = "smol")]
#[test]
fn many_starts_at_once_on_smol_start_one_set_of_workers() {
    let queue = queue_smol::Queue::builder().workers(3).limit(100).build();
    let (running, gate) = (Log::new(), Gate::new());
    queue.register("hold", note_thread(&running, &gate));
    start_from_many_threads(&queue, &running, &gate, || queue.start());
}

#[cfg(any(feature = "tokio", feature = "smol"))]
fn start_from_many_threads(
    queue: &queue_core::Handle,
    running: &Log<(ThreadId, JobId)>,
    gate: &Gate,
    start: impl Fn() + Sync,
) {
    const THREADS: usize = 16;
    let ready = std::sync::Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                ready.wait();
                start();
            });
        }
    });
    for _ in 0..10 {
        queue.try_push("hold", &()).expect("there is room");
    }
    block_on(running.wait_for(3));
    let counts = queue.counts("default").expect("it is always there");
    assert_eq!((counts.workers, counts.running, counts.ready), (3, 3, 7));
    gate.open();
    block_on(running.wait_for(10));
}

/// A start that cannot work says so, leaves nothing behind, and can be done again.
#[cfg(feature = "tokio")]
#[test]
fn a_start_that_panicked_can_be_repeated() {
    let queue = queue_tokio::Queue::builder().workers(3).build();
    let ran = Log::new();
    queue.register("note", note_thread(&ran, &open_gate()));
    let started = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.start()));
    assert!(started.is_err(), "there is no runtime");
    assert_eq!(workers(&queue), 0);

    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("tokio starts");
    let gone = runtime().handle().clone();
    {
        // A runtime that is gone drops what it is given.
        let _inside = gone.enter();
        queue.start();
    }
    assert_eq!(workers(&queue), 0);

    runtime().block_on(async {
        queue.start();
        assert_eq!(workers(&queue), 3);
        queue.push("note", &()).await.expect("it is open");
        queue.push_delayed("note", &(), Duration::from_millis(1)).await.expect("it is open");
        ran.wait_for(2).await;
    });
}

/// A handler that notes where it runs, and waits at a gate.
fn note_thread(
    ran: &Log<(ThreadId, JobId)>,
    gate: &Gate,
) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let (ran, gate) = (ran.clone(), gate.clone());
    handler(move |job: Job| {
        let (ran, gate) = (ran.clone(), gate.clone());
        async move {
            ran.add((thread::current().id(), job.id));
            gate.pass().await;
            Ok(())
        }
    })
}

fn open_gate() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

fn workers(queue: &queue_core::Handle) -> usize {
    queue.counts("default").map_or(0, |counts| counts.workers)
}

fn crew<T: TestRuntime>(threads: usize, queue: &Queue<T::Runtime>) -> Vec<Member> {
    (0..threads).map(|_| Member::join::<T>(queue)).collect()
}

/// A thread with a runtime that runs workers of a queue, and does not keep the queue alive.
struct Member {
    stay: Gate,
    thread: JoinHandle<()>,
}

impl Member {
    fn join<T: TestRuntime>(queue: &Queue<T::Runtime>) -> Self {
        let stay = Gate::new();
        let (queue, gate) = (queue.clone(), stay.clone());
        let thread = thread::spawn(move || {
            T::block_on(|rt| async move {
                rt.start(&queue);
                drop(queue);
                gate.pass().await;
            });
        });
        Self { stay, thread }
    }

    async fn end(self, rt: &impl TestRuntime) {
        self.stay.open();
        rt.until(|| self.thread.is_finished()).await;
        self.thread.join().expect("the workers do not panic");
    }
}

/// A thread like a [`Member`]'s, whose workers and timekeeper are idle, and which is blocked until its runtime ends.
struct Blocked {
    release: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Blocked {
    async fn join<T: TestRuntime>(queue: &Queue<T::Runtime>) -> Self {
        let is_blocked = Gate::new();
        let (release, until_released) = mpsc::channel();
        let (queue, blocked) = (queue.clone(), is_blocked.clone());
        let thread = thread::spawn(move || {
            T::block_on(|rt| async move {
                rt.start(&queue);
                drop(queue);
                // What was started has looked around once when this is over.
                rt.sleep(Duration::from_millis(2)).await;
                blocked.open();
                let _ = until_released.recv();
            });
        });
        is_blocked.pass().await;
        Self { release, thread }
    }

    async fn end(self, rt: &impl TestRuntime) {
        drop(self.release);
        rt.until(|| self.thread.is_finished()).await;
        self.thread.join().expect("the workers do not panic");
    }
}
