//! What is let go of when: by the last queue, by a shutdown, by a runtime that ends.

use std::any::type_name;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use parking_lot::Mutex;
use queue_core::{DeadReason, Event, Job, NewJob, PushError, RetryPolicy, SendFuture};

use super::support::{Capture, Captured, elsewhere, hold, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler, watch};

const LONG: Duration = Duration::from_hours(1);

/// Drops the last queue: the workers stop, idle ones and the timekeeper too, and the handlers are freed.
pub async fn the_last_queue_takes_workers_and_handlers_with_it(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let queue = rt.started(rt.builder().workers(3), |queue| {
        queue.register("hang", hang(&Log::new(), captured));
    });
    let handle = queue.handle();
    let clone = queue.clone();
    drop(queue);
    rt.sleep(Duration::from_millis(2)).await;
    assert_eq!((handle.counts("default")?.workers, capture.is_free()), (3, false), "a clone is left");
    drop(clone);
    rt.until(|| handle.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    rt.until(|| capture.is_free()).await;
    Ok(())
}

/// A queue that never started holds nothing back, either.
pub async fn a_queue_that_never_started_frees_its_handlers(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let queue = rt.build(rt.builder());
    queue.register("hang", hang(&Log::new(), captured));
    queue.push("hang", &()).await?;
    drop(queue);
    assert!(capture.is_free());
    Ok(())
}

/// Nothing of a queue is left in memory once the queue, its handles and its jobs are gone.
pub async fn nothing_of_a_queue_stays_in_memory(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    // Not shown to the watchdog, which would keep a handle.
    let queue = rt.builder().workers(2).retry(policy(captured)).build();
    let running = Log::new();
    queue.register("hang", hang(&running, Capture::new().0));
    rt.start(&queue);
    for _ in 0..4 {
        queue.push("hang", &()).await?;
        queue.push_delayed("hang", &(), LONG).timeout(LONG).await?;
    }
    running.wait_for(2).await;
    let handle = queue.handle();
    drop(queue);
    rt.until(|| handle.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    assert!(!capture.is_free(), "a handle is left");
    drop(handle);
    rt.until(|| capture.is_free()).await;
    Ok(())
}

/// A handler that runs when the last queue goes is dropped at its await; its job is a dead letter for whoever has a
/// handle.
pub async fn a_running_handler_is_dropped_with_the_last_queue(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let running = Log::new();
    let queue = rt.started(rt.builder().workers(1).retry(RetryPolicy::fixed(9, LONG)), |queue| {
        queue.register("hang", hang(&running, captured));
    });
    let handle = queue.handle();
    let id = queue.push("hang", &1).await?;
    running.wait_for(1).await;
    drop(queue);
    rt.until(|| handle.inflight_count() == 0 && capture.is_free()).await;
    let dead = handle.dead_letters();
    assert_eq!((dead.len(), dead[0].id, dead[0].reason), (1, id, DeadReason::ShutDown));
    Ok(())
}

/// What waits goes with the last queue, delayed or ready, although there still is a handle.
pub async fn waiting_jobs_go_with_the_last_queue(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let queue = rt.build(rt.builder());
    let mut events = queue.subscribe(10);
    for delay in [Duration::ZERO, LONG, Duration::MAX] {
        queue.push_delayed("kind", &(), delay).retry(policy(captured.clone())).await?;
    }
    drop(captured);
    let handle = queue.handle();
    assert_eq!((handle.pending_count(), capture.is_free()), (3, false));
    drop(queue);
    assert_eq!((handle.pending_count(), handle.counts("default")?.waiting_bytes), (0, 0));
    assert!(capture.is_free());
    while let Some(event) = events.recv().await {
        assert!(matches!(event, Event::Pushed(_)), "nobody was given anything: {event:?}");
    }
    Ok(())
}

/// Who waits for room when the last queue goes gets the job back.
pub async fn a_push_that_waits_is_told_that_the_queue_is_gone(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    queue.push("kind", &1).await?;
    let handle = queue.handle();
    let mut waiting = Box::pin(handle.push("kind", &2).into_future());
    assert!(poll_once(&mut waiting).await.is_none());
    let (answer, ()) = zip(waiting, async { drop(queue) }).await;
    let Err(PushError::ShutDown(job)) = answer else { return Err(format!("{answer:?}").into()) };
    assert_eq!(&job.payload()[..], b"2");
    Ok(())
}

/// Subscribers of a queue that is gone come to an end.
pub async fn events_end_with_the_last_queue(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |_| ());
    let mut events = queue.subscribe(100);
    let (read, ()) = zip(
        async {
            let mut read = 0;
            while events.recv().await.is_some() {
                read += 1;
            }
            read
        },
        async { drop(queue) },
    )
    .await;
    assert!(read <= 4, "at most that the workers stopped");
    Ok(())
}

/// Handles do not own the queue: not those that a handler captured, not those of its jobs, not a job that is kept.
pub async fn handles_and_jobs_keep_no_queue_alive(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let kept = Log::new();
    let queue = rt.started(rt.builder().workers(2), |queue| {
        let (handle, kept) = (queue.handle(), kept.clone());
        queue.register(
            "keep",
            handler(move |job: Job| {
                let (handle, kept, captured) = (handle.clone(), kept.clone(), captured.clone());
                async move {
                    let inside = job.handle();
                    kept.add(job);
                    if inside.pending_count() + handle.pending_count() == 0 {
                        pending::<()>().await;
                    }
                    drop(captured);
                    Ok(())
                }
            }),
        );
    });
    queue.push("keep", &()).await?;
    let job = kept.wait_for(1).await.remove(0);
    drop(queue);
    rt.until(|| capture.is_free()).await;
    rt.until(|| job.is_cancelled()).await;
    assert!(job.handle().push("keep", &()).await.is_err_and(|error| error.is_shut_down()));
    Ok(())
}

/// A handler that captured its own queue keeps it alive, and a shutdown frees both.
pub async fn a_captured_queue_is_freed_by_a_shutdown(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let noted = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("note", note(&noted));
        let owner = queue.clone();
        queue.register(
            "push_more",
            handler(move |_| {
                let (owner, captured) = (owner.clone(), captured.clone());
                async move {
                    owner.push("note", &1).await?;
                    drop(captured);
                    Ok(())
                }
            }),
        );
    });
    let handle = queue.handle();
    let copy = queue.clone();
    drop(queue);
    handle.push("push_more", &()).await?;
    assert_eq!(noted.wait_for(1).await, [1]);
    assert!(!capture.is_free());
    assert!(copy.shutdown(LONG).await.is_clean());
    rt.until(|| capture.is_free()).await;
    Ok(())
}

/// The last queue may be dropped by one of its own handlers, which is then interrupted at its next await.
pub async fn a_handler_may_drop_the_last_queue(rt: impl TestRuntime) -> TestResult {
    let (captured, capture) = Capture::new();
    let (running, dropped, owner) = (Log::new(), Log::new(), Arc::new(Mutex::new(None)));
    let queue = rt.started(rt.builder().workers(2), |queue| {
        queue.register("hang", hang(&running, captured.clone()));
        let (dropped, owner) = (dropped.clone(), owner.clone());
        queue.register(
            "drop",
            handler(move |job: Job| {
                let (dropped, owner, captured) = (dropped.clone(), owner.clone(), captured.clone());
                async move {
                    let queue = owner.lock().take();
                    drop(queue);
                    dropped.add(());
                    if job.deserialize()? {
                        pending::<()>().await;
                    }
                    drop(captured);
                    Ok(())
                }
            }),
        );
    });
    let handle = queue.handle();
    let hangs = queue.push("hang", &()).await?;
    running.wait_for(1).await;
    *owner.lock() = Some(queue);
    let drops = handle.push("drop", &true).await?;
    dropped.wait_for(1).await;
    rt.until(|| handle.inflight_count() == 0 && capture.is_free()).await;
    let dead: Vec<_> = handle.dead_letters().iter().map(|dead| dead.id).collect();
    assert!(dead == [hangs, drops] || dead == [drops, hangs], "{dead:?}");
    Ok(())
}

/// A job's own retry policy is dropped when the job is over. That may panic, and no worker minds.
pub async fn a_policy_that_panics_in_its_drop_harms_no_worker(rt: impl TestRuntime) -> TestResult {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a panic in a drop");
        }
    }
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("note", note(&noted)));
    for number in 0..5 {
        let bomb = Bomb;
        let policy = RetryPolicy::custom(move |_, _| {
            let Bomb = &bomb;
            None
        });
        queue.push("note", &number).retry(policy).await?;
    }
    assert_eq!(noted.wait_for(5).await, [0, 1, 2, 3, 4]);
    rt.until(|| queue.inflight_count() == 0).await;
    assert_eq!(queue.counts("default")?.workers, 1);
    Ok(())
}

/// A runtime that ends under its workers gives their jobs back, with the same attempt; on another one they run. Nothing
/// that was accepted is lost, what is delayed neither.
pub async fn a_runtime_that_ended_gives_its_jobs_back<T: TestRuntime>(rt: T) -> TestResult {
    let (captured, capture) = Capture::new();
    let (running, gate) = (Log::new(), Gate::new());
    let (queue, ids) = elsewhere(&rt, {
        let (running, gate) = (running.clone(), gate.clone());
        async move |rt: T| {
            let queue = rt.started(rt.builder().workers(2).retry(RetryPolicy::fixed(1, LONG)), |queue| {
                let held = hold(&running, &gate);
                queue.register("hold", move |job| {
                    captured.stay();
                    held(job)
                });
            });
            let mut ids = Vec::new();
            for number in 0..3 {
                ids.push(queue.push("hold", &number).timeout(LONG).await.expect("it is open"));
            }
            running.wait_for(2).await;
            // The timekeeper sleeps for this one when the runtime ends.
            let delay = Duration::from_millis(50);
            ids.push(queue.push_delayed("hold", &3, delay).await.expect("it is open"));
            (queue, ids)
        }
    })
    .await;
    watch(queue.handle());
    let mut expected = vec![(ids[0], 0), (ids[1], 0), (ids[2], 0), (ids[3], 0)];
    if ends::<T>() {
        let counts = queue.counts("default")?;
        assert_eq!((counts.workers, counts.running, counts.ready + counts.delayed), (0, 0, 4));
        assert!(!capture.is_free());
        // The first two run again, from the start of the same attempt.
        expected.extend([(ids[0], 0), (ids[1], 0)]);
    }
    rt.start(&queue);
    assert_eq!(queue.counts("default")?.workers, 2);
    running.wait_for(expected.len() - 2).await;
    gate.open();
    let mut all = running.wait_for(expected.len()).await;
    all.sort_unstable();
    expected.sort_unstable();
    assert_eq!(all, expected);
    let report = queue.shutdown(LONG).await;
    assert!(report.is_clean(), "{report:?}");
    drop(queue);
    rt.until(|| capture.is_free()).await;
    Ok(())
}

/// When the runtime is gone and nobody starts another, a shutdown hands everything back at once.
pub async fn what_a_runtime_left_behind_is_handed_back<T: TestRuntime>(rt: T) -> TestResult {
    let (running, never) = (Log::new(), Gate::new());
    let queue = elsewhere(&rt, {
        let (running, never) = (running.clone(), never.clone());
        async move |rt: T| {
            let queue =
                rt.started(rt.builder().workers(1), |queue| queue.register("hold", hold(&running, &never)));
            let jobs = (0..3).map(|number| NewJob::raw("hold", vec![number]));
            queue.push_many(jobs).await.expect("there is room");
            running.wait_for(1).await;
            queue
        }
    })
    .await;
    watch(queue.handle());
    let timeout = if ends::<T>() { LONG } else { Duration::ZERO };
    let report = queue.shutdown(timeout).await;
    let payloads: Vec<_> =
        report.handed_back.iter().map(|back| (back.job.payload()[0], back.attempts)).collect();
    assert_eq!(payloads, [(0, 0), (1, 0), (2, 0)]);
    assert!(report.abandoned.is_empty());
    Ok(())
}

/// A runtime that ends in the middle of a shutdown ends the shutdown: what it left behind is handed back.
pub async fn a_runtime_that_ends_ends_the_shutdown<T: TestRuntime>(rt: T) -> TestResult {
    let (built, running, end, never) = (Log::new(), Log::new(), Gate::new(), Gate::new());
    let workers = elsewhere(&rt, {
        let (built, running, end) = (built.clone(), running.clone(), end.clone());
        async move |rt: T| {
            let queue =
                rt.started(rt.builder().workers(1), |queue| queue.register("hold", hold(&running, &never)));
            queue.push("hold", &()).await.expect("it is open");
            running.wait_for(1).await;
            built.add(queue);
            end.pass().await;
        }
    });
    let application = async {
        let queue = built.wait_for(1).await.remove(0);
        watch(queue.handle());
        let timeout = if ends::<T>() { LONG } else { Duration::from_millis(1) };
        let mut shutdown = Box::pin(queue.shutdown(timeout));
        assert!(poll_once(&mut shutdown).await.is_none());
        end.open();
        shutdown.await
    };
    let ((), report) = zip(workers, application).await;
    assert_eq!((report.handed_back.len(), report.abandoned.len()), (1, 0));
    assert_eq!(report.handed_back[0].attempts, 0);
    Ok(())
}

/// The global executor of smol runs for as long as the process does; every other runtime ends with its `block_on`.
fn ends<T: TestRuntime>() -> bool {
    !type_name::<T>().ends_with("SmolGlobal")
}

/// A handler that notes that it runs, and never ends.
fn hang(running: &Log<()>, captured: Captured) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let running = running.clone();
    handler(move |_| {
        let (running, captured) = (running.clone(), captured.clone());
        async move {
            running.add(());
            pending::<()>().await;
            drop(captured);
            Ok(())
        }
    })
}

/// A retry policy that holds on to something.
fn policy(captured: Captured) -> RetryPolicy {
    RetryPolicy::custom(move |_, _| {
        captured.stay();
        None
    })
}
