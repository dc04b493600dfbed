//! Bugs that other queues shipped, or that their users complain of: none of them here.
//!
//! Named in each comment is the system whose issue tracker tells the story.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_lite::future::{poll_once, yield_now};
use parking_lot::Mutex;
use queue_core::{
    CancelAnswer, DeadReason, Event, Job, JobError, JobId, QueueConfig, RetryPolicy, SendFuture, Timer,
};

use super::support::{elsewhere, hold, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

const LONG: Duration = Duration::from_hours(1);

/// fang: a worker whose task returned an error was not started again.
pub async fn a_handler_that_returned_err_leaves_its_worker_alive(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("it fails".into()) }));
        queue.register("note", note(&noted));
    });
    for number in 1..=20 {
        queue.push("fail", &()).await?;
        queue.push("note", &number).await?;
        noted.wait_for(number).await;
    }
    assert_eq!((queue.dead_letter_count(), queue.counts("default")?.workers), (20, 1));
    Ok(())
}

/// tako: a panic took its worker with it.
pub async fn a_panic_leaves_its_worker_alive(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register(
            "panic",
            handler(|job: Job| async move {
                assert!(job.attempt > 0, "as asked");
                Ok(())
            }),
        );
        queue.register("note", note(&noted));
    });
    for number in 1..=5 {
        queue.push("panic", &()).await?;
        queue.push("note", &number).await?;
        noted.wait_for(number).await;
    }
    assert_eq!((queue.dead_letter_count(), queue.counts("default")?.workers), (5, 1));
    Ok(())
}

/// tako: of two handlers under one name the first was kept.
pub async fn the_second_of_two_handlers_under_one_name_counts(rt: impl TestRuntime) -> TestResult {
    let (first, second) = (Log::new(), Log::new());
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("note", note(&first));
        queue.register("note", note(&second));
    });
    queue.push("note", &1).await?;
    assert_eq!((second.wait_for(1).await, first.len()), (vec![1], 0));
    queue.register("note", note(&first));
    queue.push("note", &2).await?;
    assert_eq!((first.wait_for(1).await, second.len()), (vec![2], 1));
    Ok(())
}

/// tako: the backoff overflowed. Here it saturates: the job is held past the end of time, and harms nobody.
pub async fn a_backoff_does_not_overflow(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let policy = RetryPolicy::exponential(u32::MAX, Duration::MAX);
    let queue = rt.started(rt.builder().workers(1).retry(policy), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("it fails".into()) }));
        queue.register("note", note(&noted));
    });
    let held = queue.push("fail", &()).await?;
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.delayed == 1)).await;
    queue.push_delayed("note", &1, Duration::from_millis(1)).await?;
    assert_eq!(noted.wait_for(1).await, [1]);
    assert_eq!(queue.cancel(held), CancelAnswer::Removed);
    Ok(())
}

/// apalis-sqlite: a job that asked to be retried later kept its lock, and never ran again. Meanwhile it holds no worker.
pub async fn a_retry_after_does_not_strand_the_job(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(3, LONG)));
    queue.register("note", note(&noted));
    let attempts = noted.clone();
    queue.register(
        "rate_limited",
        handler(move |job: Job| {
            let noted = attempts.clone();
            async move {
                noted.add(100 + job.attempt);
                if job.attempt < 2 {
                    Err(JobError::retry_after(Duration::from_millis(2), "rate limited"))?;
                }
                Ok(())
            }
        }),
    );
    queue.push("rate_limited", &()).await?;
    queue.push("note", &1).await?;
    rt.start(&queue);
    assert_eq!(noted.wait_for(4).await, [100, 1, 101, 102]);
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert_eq!(queue.dead_letter_count(), 0);
    Ok(())
}

/// oxana: a delayed job was lost on its way from the waiting ones to the ready ones.
pub async fn promoting_a_due_job_does_not_lose_it(rt: impl TestRuntime) -> TestResult {
    const JOBS: u32 = 1000;
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(2), |queue| queue.register("note", note(&noted)));
    for number in 0..JOBS {
        // Some due together, some apart, some after a moment in which the queue is paused.
        let delay = Duration::from_micros(u64::from(number % 7) * 300);
        queue.push_delayed("note", &number, delay).await?;
        match number % 100 {
            40 => queue.pause("default")?,
            60 => queue.resume("default")?,
            99 => rt.sleep(Duration::from_micros(500)).await,
            _ => {}
        }
    }
    noted.wait_for(JOBS as usize).await;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    let mut all = noted.entries();
    all.sort_unstable();
    assert_eq!(all, (0..JOBS).collect::<Vec<_>>());
    Ok(())
}

/// Solid Queue: a job was finished and failed. Here an attempt that ends when its time is up has one ending.
pub async fn a_job_is_not_both_finished_and_failed(rt: impl TestRuntime) -> TestResult {
    const JOBS: usize = 60;
    const TIMEOUT: Duration = Duration::from_millis(4);
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(JOBS).timeout(TIMEOUT), |queue| {
        queue.register("hold", hold(&running, &gate));
    });
    let mut events = queue.subscribe(10 * JOBS);
    for _ in 0..JOBS {
        queue.push("hold", &()).await?;
    }
    rt.sleep(TIMEOUT).await;
    gate.open();
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    let mut endings: BTreeMap<JobId, Vec<Event>> = BTreeMap::new();
    while let Some(event) = events.try_recv() {
        if let Event::Succeeded(job) | Event::Cancelled(job) | Event::Died { job, .. } = &event {
            endings.entry(job.id).or_default().push(event);
        }
    }
    assert_eq!(endings.len(), JOBS);
    assert!(endings.values().all(|endings| endings.len() == 1), "{endings:?}");
    let died = endings.values().filter(|endings| matches!(endings[0], Event::Died { .. })).count();
    assert_eq!(queue.dead_letter_count(), died);
    Ok(())
}

/// apalis: a handler that blocked its thread stopped the heartbeats of all. Here it stops no timeout but its own. Only
/// for runtimes with more than one thread.
pub async fn one_blocked_handler_does_not_stop_the_timeouts_of_others(rt: impl TestRuntime) -> TestResult {
    let running = Log::new();
    let (timed_out, until_it_timed_out) = mpsc::channel::<()>();
    let queue = rt.started(rt.builder().workers(2), |queue| {
        let (hung, timed_out) = (running.clone(), Mutex::new(Some(timed_out)));
        queue.register(
            "hang",
            handler(move |_| {
                // Dropped with the handler's future.
                let (hung, timed_out) = (hung.clone(), timed_out.lock().take());
                async move {
                    hung.add("hang");
                    pending::<()>().await;
                    drop(timed_out);
                    Ok(())
                }
            }),
        );
        let (blocks, until_it_timed_out) = (running.clone(), Arc::new(Mutex::new(until_it_timed_out)));
        queue.register(
            "block",
            handler(move |_| {
                let (blocks, until_it_timed_out) = (blocks.clone(), until_it_timed_out.clone());
                async move {
                    blocks.add("block");
                    let _ = until_it_timed_out.lock().recv();
                    Ok(())
                }
            }),
        );
    });
    let hangs = queue.push("hang", &()).timeout(Duration::from_millis(30)).await?;
    running.wait_for(1).await;
    // Its own deadline is the earlier one, so the timekeeper has to look at it.
    queue.push("block", &()).timeout(Duration::from_millis(5)).await?;
    running.wait_for(2).await;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    let dead = queue.dead_letters();
    assert_eq!((dead.len(), dead[0].id), (1, hangs));
    Ok(())
}

/// River: a cancel was dropped. Here its answer is true, wherever the job is.
pub async fn a_cancel_is_not_dropped(rt: impl TestRuntime) -> TestResult {
    let ran = Log::new();
    let queue = rt.started(rt.builder().workers(2).retry(RetryPolicy::fixed(9, Duration::ZERO)), |queue| {
        let ran = ran.clone();
        queue.register(
            "until_cancelled",
            handler(move |job: Job| {
                let ran = ran.clone();
                async move {
                    ran.add(job.id);
                    job.cancelled().await;
                    Err::<(), _>("cancelled".into())
                }
            }),
        );
    });
    let mut removed = Vec::new();
    let mut asked = Vec::new();
    for number in 0..200_u64 {
        let delay = Duration::from_micros(number % 4 * 50);
        let id = queue.push_delayed("until_cancelled", &(), delay).await?;
        if number % 3 > 0 {
            rt.sleep(Duration::from_micros(number % 5 * 40)).await;
        }
        match queue.cancel(id) {
            CancelAnswer::Removed => removed.push(id),
            CancelAnswer::Asked => asked.push(id),
            answer => return Err(format!("{answer:?}, although it ends only by a cancel").into()),
        }
    }
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    // Those that were asked ran, once, and those that were removed never did.
    let mut all = ran.entries();
    all.sort_unstable();
    assert_eq!(all, asked);
    assert_eq!((removed.len() + asked.len(), queue.dead_letter_count()), (200, 0));
    Ok(())
}

/// celery, River: a job that took longer than some visibility timeout was given to a second worker.
pub async fn a_long_job_is_not_run_twice(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(3).retry(RetryPolicy::fixed(9, Duration::ZERO));
    let queue = rt.started(builder, |queue| {
        queue.register("hold", hold(&running, &gate));
        queue.register("hang", hold(&Log::new(), &Gate::new()));
    });
    let long = queue.push("hold", &()).await?;
    running.wait_for(1).await;
    // Others time out beside it again and again, and idle workers look for work.
    for _ in 0..3 {
        queue.push("hang", &()).timeout(Duration::from_millis(1)).await?;
    }
    rt.until(|| queue.dead_letter_count() == 3).await;
    rt.start(&queue);
    gate.open();
    rt.until(|| queue.inflight_count() == 0).await;
    assert_eq!(running.entries(), [(long, 0)]);
    Ok(())
}

/// River: the rescuer of an old attempt hit what had followed it. Here a deadline is that of one attempt.
pub async fn a_timeout_does_not_hit_the_next_job_of_the_worker(rt: impl TestRuntime) -> TestResult {
    const TIMEOUT: Duration = Duration::from_millis(3);
    let (running, gate, quick) = (Log::new(), Gate::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("quick", hold(&running, &quick));
        queue.register("hold", hold(&running, &gate));
    });
    queue.push("quick", &()).timeout(LONG).await?;
    running.wait_for(1).await;
    quick.open();
    let begun = rt.now();
    queue.push("quick", &()).timeout(TIMEOUT).await?;
    let next = queue.push("hold", &()).await?;
    running.wait_for(3).await;
    while rt.now() < begun + 2 * TIMEOUT {
        rt.sleep(TIMEOUT).await;
    }
    gate.open();
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert_eq!(running.entries()[2..], [(next, 0)]);
    assert!(queue.dead_letters().iter().all(|dead| dead.id != next));
    Ok(())
}

/// apalis: jobs could not be run one at a time.
pub async fn can_run_one_at_a_time(rt: impl TestRuntime) -> TestResult {
    for builder in [rt.builder().workers(1), rt.builder().workers(8).limit(1)] {
        let most = most_at_once(&rt, builder, 50).await?;
        assert_eq!(most, 1);
    }
    Ok(())
}

/// apalis: without a setting there was no limit at all.
pub async fn concurrency_is_bounded_by_default(rt: impl TestRuntime) -> TestResult {
    let most = most_at_once(&rt, rt.builder(), 50).await?;
    assert!(most <= 4, "{most} at once");
    Ok(())
}

/// How many of `jobs` jobs ran at the same time, at most.
async fn most_at_once<T: TestRuntime>(
    rt: &T,
    builder: queue_core::Builder<T::Runtime>,
    jobs: usize,
) -> Result<usize, queue_core::BoxError> {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let queue = rt.started(builder, |queue| {
        let (now, most) = (now.clone(), most.clone());
        queue.register(
            "count",
            handler(move |_| {
                let (now, most) = (now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            }),
        );
    });
    for _ in 0..jobs {
        queue.push("count", &()).await?;
    }
    assert!(queue.shutdown(LONG).await.is_clean());
    Ok(most.load(Ordering::SeqCst))
}

/// apalis: workers blocked each other. Here a job that takes long holds one worker, and the queue next door none.
pub async fn a_long_job_does_not_hold_the_others_up(rt: impl TestRuntime) -> TestResult {
    let (running, gate, noted) = (Log::new(), Gate::new(), Log::new());
    let builder = rt.builder().workers(2).queue("other", QueueConfig::new().workers(1));
    let queue = rt.started(builder, |queue| {
        queue.register("hold", hold(&running, &gate));
        queue.register("note", note(&noted));
    });
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    for number in 0..20 {
        queue.push("note", &number).await?;
    }
    assert_eq!(noted.wait_for(20).await, (0..20).collect::<Vec<_>>());
    queue.push("hold", &()).await?;
    running.wait_for(2).await;
    // All workers of the one are busy now.
    queue.push("note", &20).await?;
    queue.push("note", &21).queue("other").await?;
    assert_eq!(noted.wait_for(21).await[20], 21);
    gate.open();
    assert_eq!(noted.wait_for(22).await[21], 20);
    Ok(())
}

/// Many: retries ran without any backoff, twenty-five attempts within milliseconds.
pub async fn retries_do_not_run_without_backoff<T: TestRuntime>(rt: T) -> TestResult {
    const DELAY: Duration = Duration::from_millis(3);
    let attempts = Log::new();
    let queue = rt.started(rt.builder().workers(2).retry(RetryPolicy::linear(3, DELAY)), |queue| {
        let attempts = attempts.clone();
        queue.register(
            "fail",
            handler(move |_| {
                let clock = T::Runtime::default();
                let begun = clock.now();
                let attempts = attempts.clone();
                async move {
                    yield_now().await;
                    attempts.add((begun, clock.now()));
                    Err::<(), _>("it fails".into())
                }
            }),
        );
    });
    queue.push("fail", &()).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    let attempts = attempts.entries();
    assert_eq!(attempts.len(), 4);
    for (pair, times) in attempts.windows(2).zip(1..) {
        let ((_, failed), (retried, _)) = (pair[0], pair[1]);
        assert!(retried >= failed + times * DELAY, "retry {times}: {:?} after the failure", retried - failed);
    }
    Ok(())
}

/// apalis: a job that had used up its retries ran again after a restart.
pub async fn a_job_does_not_run_after_its_last_retry(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(2, Duration::ZERO)));
    queue.register("fail", fail(&attempts));
    queue.push("fail", &()).await?;
    for _ in 0..3 {
        let mut run = Box::pin(queue.run());
        while queue.dead_letter_count() == 0 {
            assert!(poll_once(&mut run).await.is_none());
        }
        for _ in 0..5 {
            assert!(poll_once(&mut run).await.is_none());
        }
    }
    assert_eq!(attempts.entries(), [0, 1, 2]);
    assert_eq!((queue.pending_count(), queue.dead_letters()[0].attempts), (0, 3));
    Ok(())
}

/// apalis: two retry systems disagreed. Here one policy decides: the job's own, else the kind's, else the named queue's,
/// else the builder's.
pub async fn one_policy_decides_how_often_a_job_runs(rt: impl TestRuntime) -> TestResult {
    let retries = |times| RetryPolicy::fixed(times, Duration::ZERO);
    let builder = rt.builder().retry(retries(1)).queue("own", QueueConfig::new().retry(retries(2)));
    let logs = [(); 4].map(|()| Log::new());
    let queue = rt.build(builder);
    queue.register("by_builder", fail(&logs[0]));
    queue.kind("by_queue").queue("own").register(fail(&logs[1]))?;
    queue.kind("by_kind").queue("own").retry(retries(3)).register(fail(&logs[2]))?;
    queue.kind("by_job").queue("own").retry(retries(3)).register(fail(&logs[3]))?;
    rt.start(&queue);
    for kind in ["by_builder", "by_queue", "by_kind"] {
        queue.push(kind, &()).await?;
    }
    queue.push("by_job", &()).retry(retries(4)).await?;
    rt.until(|| queue.dead_letter_count() == 4).await;
    for (log, retries) in logs.iter().zip(1..) {
        assert_eq!(log.entries(), (0..=retries).collect::<Vec<_>>());
    }
    Ok(())
}

/// apalis-redis: a worker that came back soon after a restart was refused, because its old self was still known.
pub async fn reregistration_after_restart_is_accepted<T: TestRuntime>(rt: T) -> TestResult {
    let noted = Log::new();
    let queue = elsewhere(&rt, {
        let noted = noted.clone();
        async move |rt: T| {
            let queue = rt.started(rt.builder().workers(2), |queue| queue.register("note", note(&noted)));
            queue.push("note", &1).await.expect("it is open");
            noted.wait_for(1).await;
            queue
        }
    })
    .await;
    // The same names at once: in the same queue on another runtime, and in another queue beside it.
    let again = Log::new();
    queue.register("note", note(&again));
    rt.start(&queue);
    assert_eq!(queue.counts("default")?.workers, 2);
    queue.push("note", &2).await?;
    assert_eq!(again.wait_for(1).await, [2]);
    let other = rt.started(rt.builder(), |other| other.register("note", note(&again)));
    other.push("note", &3).await?;
    assert_eq!(again.wait_for(2).await, [2, 3]);
    assert_eq!(noted.entries(), [1]);
    Ok(())
}

/// rusty-sidekiq: what had been claimed when the process crashed was lost. Here whatever becomes of the workers, at any
/// moment, their jobs do not go with them.
pub async fn a_claim_is_not_lost_with_its_worker(rt: impl TestRuntime) -> TestResult {
    const JOBS: usize = 40;
    let done = Log::new();
    let queue = rt.build(rt.builder().workers(3));
    let finished = done.clone();
    queue.register(
        "step_by_step",
        handler(move |job: Job| {
            let finished = finished.clone();
            async move {
                for _ in 0..job.id.as_u64() % 4 {
                    yield_now().await;
                }
                finished.add((job.id, job.attempt));
                Ok(())
            }
        }),
    );
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        ids.push((queue.push("step_by_step", &()).await?, 0));
    }
    for polls in (1..).take_while(|_| done.len() < JOBS) {
        let mut run = Box::pin(queue.run());
        for _ in 0..=polls % 6 {
            assert!(poll_once(&mut run).await.is_none());
            let held = queue.pending_count() + queue.inflight_count();
            assert_eq!(held + done.len(), JOBS);
        }
    }
    let mut all = done.entries();
    all.sort_unstable();
    assert_eq!(all, ids);
    Ok(())
}

/// River: after a deploy, arguments no longer fitted their worker. Here such a job is kept whole, and runs with the next
/// version.
pub async fn a_job_whose_arguments_changed_is_kept(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("note", note(&noted)));
    let id = queue.push("note", &("user", 7)).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    let dead = queue.dead_letters().remove(0);
    assert_eq!(
        (dead.id, dead.reason, &dead.payload[..]),
        (id, DeadReason::RetriesExhausted, &br#"["user",7]"#[..])
    );
    assert!(dead.error.contains("cannot be read as u32"), "{}", dead.error);
    let next = noted.clone();
    queue.register(
        "note",
        handler(move |job: Job| {
            let next = next.clone();
            async move {
                let (_, number) = job.deserialize::<(String, u32)>()?;
                next.add(number);
                Ok(())
            }
        }),
    );
    queue.requeue(id)?;
    assert_eq!(noted.wait_for(1).await, [7]);
    Ok(())
}

/// A handler that notes its attempt down and fails.
fn fail(attempts: &Log<u32>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let attempts = attempts.clone();
    handler(move |job: Job| {
        attempts.add(job.attempt);
        async { Err::<(), _>("it fails".into()) }
    })
}
