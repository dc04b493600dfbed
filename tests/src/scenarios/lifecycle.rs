//! From the first start to a long life: starting, being idle, being busy, running without a spawner.

use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once, zip};
use queue_core::{BoxError, Job, NewJob, PushError, Queue, RequeueError, RetryPolicy, Timer};

use super::support::{hold, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler, watch};

/// A queue that nobody configured runs jobs, on four workers, and does not retry.
pub async fn a_queue_with_default_settings_works<T: TestRuntime>(rt: T) -> TestResult {
    for queue in [Queue::<T::Runtime>::new(), Queue::default()] {
        watch(queue.handle());
        let attempts = Log::new();
        let noted = attempts.clone();
        queue.register(
            "fail",
            handler(move |job: Job| {
                noted.add(job.attempt);
                async { Err::<(), _>("it fails".into()) }
            }),
        );
        rt.start(&queue);
        assert_eq!(queue.counts("default")?.workers, 4);
        queue.push("fail", &()).await?;
        rt.until(|| queue.dead_letter_count() == 1).await;
        assert_eq!(attempts.entries(), [0]);
    }
    Ok(())
}

/// Starting again starts what is missing: nothing.
pub async fn starting_twice_doubles_no_workers(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(3).limit(100);
    let queue = rt.started(builder, |queue| queue.register("hold", hold(&running, &gate)));
    for _ in 0..3 {
        rt.start(&queue);
        assert_eq!(queue.counts("default")?.workers, 3);
    }
    for _ in 0..5 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(3).await;
    // Started in the middle of work, too.
    rt.start(&queue);
    assert_eq!((queue.counts("default")?.workers, queue.inflight_count()), (3, 3));
    gate.open();
    assert_eq!(running.wait_for(5).await.len(), 5);
    Ok(())
}

/// What was pushed before there were workers runs when there are, in its order.
pub async fn jobs_pushed_before_the_start_run_after_it(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    for number in 0..10 {
        queue.push("note", &number).await?;
    }
    queue.push_delayed("note", &10, Duration::from_millis(2)).await?;
    assert_eq!((queue.pending_count(), queue.inflight_count()), (11, 0));
    queue.register("note", note(&noted));
    rt.start(&queue);
    assert_eq!(noted.wait_for(11).await, (0..11).collect::<Vec<_>>());
    Ok(())
}

/// A kind may be registered at any time.
pub async fn a_kind_registered_after_the_start_runs(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder(), |_| ());
    // The workers have looked at the empty table once.
    queue.push("unknown", &()).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    queue.register("note", note(&noted));
    queue.push("note", &7).await?;
    assert_eq!(noted.wait_for(1).await, [7]);
    Ok(())
}

/// Handlers that compute without a pause hold others up and lose nothing.
pub async fn a_handler_that_never_yields_loses_nothing<T: TestRuntime>(rt: T) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(4), |queue| {
        queue.register("note", note(&noted));
        queue.register(
            "compute",
            handler(|_| async {
                let clock = T::Runtime::default();
                let end = clock.now() + Duration::from_millis(2);
                while clock.now() < end {}
                Ok(())
            }),
        );
    });
    for number in 0..20 {
        queue.push("compute", &()).await?;
        queue.push("note", &number).await?;
        queue.push_delayed("note", &(100 + number), Duration::from_millis(1)).await?;
    }
    let mut all = noted.wait_for(40).await;
    all.sort_unstable();
    assert_eq!(all, (0..20).chain(100..120).collect::<Vec<_>>());
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    Ok(())
}

/// What a handler starts on the side may outlive it and use the queue; it sees that the attempt is over.
pub async fn what_a_handler_started_may_outlive_it(rt: impl TestRuntime) -> TestResult {
    let (noted, ended) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("note", note(&noted));
        let ended = ended.clone();
        queue.register(
            "start_more",
            handler(move |job: Job| {
                let ended = ended.clone();
                // The scenario knows no way to spawn that all runtimes have.
                thread::spawn(move || {
                    block_on(async {
                        job.cancelled().await;
                        ended.pass().await;
                        assert!(job.is_cancelled());
                        job.handle().push("note", &1).await
                    })
                });
                async { Ok(()) }
            }),
        );
    });
    queue.push("start_more", &()).await?;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    ended.open();
    assert_eq!(noted.wait_for(1).await, [1]);
    Ok(())
}

/// A handler pushes follow-up jobs to its own queue, even the only worker's.
pub async fn a_handler_may_push_to_its_own_queue(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let noted = noted.clone();
        queue.register(
            "count_down",
            handler(move |job: Job| {
                let noted = noted.clone();
                async move {
                    let number: u32 = job.deserialize()?;
                    noted.add(number);
                    if number > 0 {
                        job.handle().push("count_down", &(number - 1)).await?;
                    }
                    Ok(())
                }
            }),
        );
    });
    queue.push("count_down", &100).await?;
    assert_eq!(noted.wait_for(101).await, (0..=100).rev().collect::<Vec<_>>());
    Ok(())
}

/// A thousand workers are a thousand jobs at the same time.
pub async fn a_thousand_workers_run_a_thousand_jobs_at_once(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1000), |queue| queue.register("hold", hold(&running, &gate)));
    assert_eq!(queue.counts("default")?.workers, 1000);
    let jobs: Result<Vec<_>, _> = (0..1500).map(|number| NewJob::json("hold", &number)).collect();
    queue.push_many(jobs?).await?;
    running.wait_for(1000).await;
    assert_eq!((queue.pending_count(), queue.inflight_count()), (500, 1000));
    gate.open();
    running.wait_for(1500).await;
    let report = queue.shutdown(Duration::from_secs(30)).await;
    assert!(report.is_clean(), "{report:?}");
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    Ok(())
}

/// A backlog is worked off without waiting for anything: at one pause of some milliseconds per job this would not end in
/// time.
pub async fn a_backlog_drains_without_pauses(rt: impl TestRuntime) -> TestResult {
    const JOBS: u32 = 20_000;
    let noted = Log::new();
    let queue = rt.build(rt.builder().workers(2));
    queue.register("note", note(&noted));
    let jobs: Result<Vec<_>, _> = (0..JOBS).map(|number| NewJob::json("note", &number)).collect();
    queue.push_many(jobs?).await?;
    rt.start(&queue);
    assert!(queue.shutdown(Duration::MAX).await.is_clean());
    assert_eq!(noted.len(), JOBS as usize);
    Ok(())
}

/// A queue that had nothing to do for a while picks up the next job, again and again.
pub async fn an_idle_queue_wakes_up_for_every_job(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(2), |queue| queue.register("note", note(&noted)));
    for number in 1..=100 {
        if number % 2 == 0 {
            queue.push("note", &number).await?;
        } else {
            queue.push_delayed("note", &number, Duration::from_micros(100)).await?;
        }
        noted.wait_for(number).await;
        rt.until(|| queue.inflight_count() == 0).await;
    }
    Ok(())
}

/// With no spawner at all, one task runs jobs, delays, retries and timeouts, until the shutdown.
pub async fn run_needs_no_spawner(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.build(rt.builder().workers(3).retry(RetryPolicy::fixed(1, Duration::from_millis(1))));
    queue.register("note", note(&noted));
    let retried = noted.clone();
    queue.kind("fail").register(handler(move |job: Job| {
        retried.add(100 + job.attempt);
        async { Err::<(), _>("it fails".into()) }
    }))?;
    queue.kind("hang").retry(RetryPolicy::None).timeout(Duration::from_millis(1)).register(handler(
        |_| async {
            std::future::pending::<()>().await;
            Ok(())
        },
    ))?;
    let application = async {
        queue.push("note", &1).await?;
        queue.push_delayed("note", &2, Duration::from_millis(2)).await?;
        queue.push("fail", &()).await?;
        queue.push("hang", &()).await?;
        rt.until(|| queue.dead_letter_count() == 2).await;
        noted.wait_for(4).await;
        Ok::<_, BoxError>(queue.shutdown(Duration::from_secs(30)).await)
    };
    let ((), report) = zip(queue.run(), application).await;
    assert!(report?.is_clean());
    let mut all = noted.entries();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 100, 101]);
    assert_eq!(queue.counts("default")?.workers, 0);
    Ok(())
}

/// `run` lasts until the shutdown, also when all workers are running already and none is left for it.
pub async fn run_beside_started_workers_lasts_until_the_shutdown(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("note", note(&noted)));
    {
        let mut run = Box::pin(queue.run());
        assert!(poll_once(&mut run).await.is_none());
        queue.push("note", &1).await?;
        noted.wait_for(1).await;
        assert!(poll_once(&mut run).await.is_none());
        let ((), report) = zip(run, queue.shutdown(Duration::from_secs(30))).await;
        assert!(report.is_clean());
    }
    // And after it, it has nothing to do.
    queue.run().await;
    Ok(())
}

/// Dropping `run` puts what it ran back, with the same attempt, for the next one.
pub async fn a_run_that_was_dropped_can_be_resumed(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(2));
    queue.register("hold", hold(&running, &gate));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(queue.push("hold", &()).await?);
    }
    for _ in 0..3 {
        let seen = running.len();
        let mut run = Box::pin(queue.run());
        while running.len() < seen + 2 {
            assert!(poll_once(&mut run).await.is_none());
        }
        assert_eq!((queue.inflight_count(), queue.counts("default")?.workers), (2, 2));
        drop(run);
        assert_eq!((queue.pending_count(), queue.inflight_count()), (3, 0));
        assert_eq!(queue.counts("default")?.workers, 0);
        // They are back at the front.
        let mut again = running.entries()[seen..].to_vec();
        again.sort_unstable();
        assert_eq!(again, [(ids[0], 0), (ids[1], 0)]);
    }
    gate.open();
    rt.start(&queue);
    let seen = running.len();
    assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
    assert_eq!(running.len(), seen.max(9));
    Ok(())
}

/// All clones are the same queue, wherever they are.
pub async fn clones_are_the_same_queue<T: TestRuntime>(rt: T) -> TestResult {
    fn is_shareable<Q: Clone + Send + Sync + 'static>(_: &Q) {}
    let noted = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    is_shareable(&queue);
    queue.clone().register("note", note(&noted));
    rt.start(&queue.clone());
    let clone = queue.clone();
    let pushing = thread::spawn(move || clone.try_push("note", &1).map(drop));
    assert_eq!(noted.wait_for(1).await, [1]);
    rt.until(|| pushing.is_finished()).await;
    pushing.join().expect("the other thread does not panic")?;
    let report = queue.clone().shutdown(Duration::from_secs(30)).await;
    assert!(report.is_clean());
    assert!(queue.try_push("note", &2).is_err_and(|error| error.is_shut_down()));
    Ok(())
}

/// A handle lives on when its queue is gone: it refuses jobs, gives them back, and still shows the dead letters.
pub async fn a_handle_outlives_its_queue(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |_| ());
    let handle = queue.handle();
    let dead = handle.push("nobody_knows", &1).await?;
    rt.until(|| handle.dead_letter_count() == 1).await;
    drop(queue);
    let Err(PushError::ShutDown(job)) = handle.push("note", &17).await else {
        return Err("the queue is gone and took a job".into());
    };
    assert_eq!((job.kind().as_str(), &job.payload()[..]), ("note", &b"17"[..]));
    assert_eq!(handle.dead_letters()[0].id, dead);
    assert_eq!(handle.requeue(dead), Err(RequeueError::ShutDown(dead)));
    assert_eq!(handle.dead_letter_count(), 1);
    rt.until(|| handle.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    Ok(())
}
