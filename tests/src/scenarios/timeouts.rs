//! How long one attempt may take.

use std::future::pending;
use std::time::Duration;

use queue_core::{BoxError, Job, QueueConfig, RetryPolicy};

use super::script::{End, end_of, errors, hanging, patient, scripted};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

const SHORT: Duration = Duration::from_millis(2);

/// A handler that hangs is dropped, and its attempt has failed; the next one may do better.
pub async fn a_hanging_handler_is_dropped_and_retried(rt: impl TestRuntime) -> TestResult {
    struct Guard(Log<u32>, u32);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.add(self.1);
        }
    }
    let (dropped, seen) = (Log::new(), Log::new());
    let builder = rt.builder().workers(1).timeout(SHORT).retry(RetryPolicy::fixed(2, Duration::ZERO));
    let queue = rt.started(builder, |queue| {
        let (dropped, seen) = (dropped.clone(), seen.clone());
        queue.register(
            "hang",
            handler(move |job: Job| {
                // Everything an earlier attempt held is gone before the next one starts.
                seen.add((job.attempt, dropped.len()));
                let guard = Guard(dropped.clone(), job.attempt);
                async move {
                    if job.attempt < 2 {
                        pending::<()>().await;
                    }
                    drop(guard);
                    Ok(())
                }
            }),
        );
    });
    let mut events = queue.subscribe(32);
    let id = queue.push("hang", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!(dropped.entries(), [0, 1, 2]);
    assert_eq!(seen.entries(), [(0, 0), (1, 1), (2, 2)]);
    Ok(())
}

/// A job that always hangs is given up in the end, with the error of every attempt.
pub async fn a_job_that_always_hangs_ends_among_the_dead_letters(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let builder = rt.builder().timeout(SHORT).retry(RetryPolicy::fixed(3, Duration::ZERO));
    let queue = rt.started(builder, |queue| queue.register("hang", hanging(&started)));
    let mut events = queue.subscribe(32);
    let id = queue.push("hang", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("attempt timed out after 2ms"));
    let dead = &queue.dead_letters()[0];
    assert_eq!((dead.attempts, errors(dead)), (4, vec!["attempt timed out after 2ms"; 4]));
    assert_eq!(started.entries().iter().map(|job| job.attempt).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!((queue.pending_count(), queue.inflight_count()), (0, 0));
    Ok(())
}

/// A timeout is never early.
pub async fn a_timeout_is_never_early(rt: impl TestRuntime) -> TestResult {
    struct Guard<C: queue_core::Timer>(C, Log<Duration>, std::time::Instant);
    impl<C: queue_core::Timer> Drop for Guard<C> {
        fn drop(&mut self) {
            self.1.add(self.0.now().saturating_duration_since(self.2));
        }
    }
    let (lived, clock) = (Log::new(), super::script::clock(&rt));
    let timeout = Duration::from_millis(7);
    let queue = rt.started(rt.builder().workers(1).timeout(timeout), |queue| {
        let lived = lived.clone();
        queue.register(
            "hang",
            handler(move |_| {
                let guard = Guard(clock.clone(), lived.clone(), queue_core::Timer::now(&clock));
                async move {
                    pending::<()>().await;
                    drop(guard);
                    Ok(())
                }
            }),
        );
    });
    queue.push("hang", &()).await?;
    let lived = lived.wait_for(1).await[0];
    assert!(lived >= timeout, "dropped after {lived:?}");
    Ok(())
}

/// A job's own timeout beats its kind's, that one its named queue's, and that one the default.
pub async fn the_nearest_timeout_wins(rt: impl TestRuntime) -> TestResult {
    let ms = Duration::from_millis;
    let builder = rt.builder().timeout(ms(1)).queue("special", QueueConfig::new().timeout(ms(2)));
    let queue = rt.build(builder);
    let started = Log::new();
    queue.register("plain", hanging(&started));
    queue.kind("particular").timeout(ms(3)).register(hanging(&started))?;
    rt.start(&queue);
    let expected = [
        (queue.push("plain", &()).await?, 1),
        (queue.push("plain", &()).queue("special").await?, 2),
        (queue.push("particular", &()).await?, 3),
        (queue.push("particular", &()).queue("special").await?, 3),
        (queue.push("particular", &()).queue("special").timeout(ms(4)).await?, 4),
        (queue.push("plain", &()).timeout(ms(5)).await?, 5),
        (queue.push_job(queue_core::NewJob::raw("plain", "").timeout(ms(6))).await?, 6),
    ];
    rt.until(|| queue.dead_letter_count() == expected.len()).await;
    for dead in queue.dead_letters() {
        let timeout = expected.iter().find(|(id, _)| *id == dead.id).map(|(_, timeout)| timeout);
        assert_eq!(Some(&dead.error), timeout.map(|ms| format!("attempt timed out after {ms}ms")).as_ref());
    }
    Ok(())
}

/// A handler that is done in time never hears of its timeout, nor does the next job of the same worker.
pub async fn a_timeout_ends_with_its_attempt(rt: impl TestRuntime) -> TestResult {
    let (gate, started) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("quick", handler(|_| async { Ok(()) }));
        queue.register("patient", patient(&gate, &started));
    });
    let mut events = queue.subscribe(32);
    let timeout = Duration::from_millis(10);
    let quick = queue.push("quick", &()).timeout(timeout).await?;
    let patient = queue.push("patient", &()).await?;
    assert_eq!(end_of(&mut events, quick).await, End::Done);
    let job = started.wait_for(1).await.remove(0);
    rt.sleep(2 * timeout).await;
    assert!(!job.is_cancelled());
    gate.open();
    assert_eq!(end_of(&mut events, patient).await, End::Done);
    Ok(())
}

/// The time a job waits for a worker is not part of its attempt.
pub async fn waiting_in_line_takes_no_time_off_an_attempt(rt: impl TestRuntime) -> TestResult {
    let (gate, attempts) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("patient", patient(&gate, &Log::new()));
        queue.register("quick", scripted(&attempts, |_, _| Ok(())));
    });
    let mut events = queue.subscribe(32);
    queue.push("patient", &()).await?;
    let quick = queue.push("quick", &()).timeout(SHORT).await?;
    rt.sleep(5 * SHORT).await;
    gate.open();
    assert_eq!(end_of(&mut events, quick).await, End::Done);
    assert_eq!(attempts.entries(), [0]);
    Ok(())
}

/// A timeout past the end of time is none.
pub async fn the_longest_timeout_never_comes(rt: impl TestRuntime) -> TestResult {
    for timeout in [Duration::MAX, Duration::from_secs(20_000_000_000)] {
        let (gate, started) = (Gate::new(), Log::new());
        let queue = rt.started(rt.builder().timeout(timeout), |queue| {
            queue.register("patient", patient(&gate, &started));
        });
        let mut events = queue.subscribe(16);
        let id = queue.push("patient", &()).await?;
        started.wait_for(1).await;
        rt.sleep(SHORT).await;
        gate.open();
        assert_eq!(end_of(&mut events, id).await, End::Done);
    }
    Ok(())
}

/// Without any time a handler may still do what needs no waiting.
pub async fn a_zero_timeout_allows_what_needs_no_waiting(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let builder = rt.builder().timeout(Duration::ZERO).retry(RetryPolicy::fixed(1, Duration::ZERO));
    let queue = rt.started(builder, |queue| {
        queue.register("quick", handler(|_| async { Ok(()) }));
        queue.register("hang", hanging(&started));
    });
    let mut events = queue.subscribe(32);
    let quick = queue.push("quick", &()).await?;
    assert_eq!(end_of(&mut events, quick).await, End::Done);
    let hang = queue.push("hang", &()).await?;
    assert_eq!(end_of(&mut events, hang).await, End::exhausted("attempt timed out after 0ns"));
    assert_eq!(started.len(), 2);
    Ok(())
}

/// A handler that fails by itself, while it has a timeout, fails with its own error.
pub async fn an_error_in_time_is_the_handlers_own(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().timeout(Duration::from_mins(1)), |queue| {
        queue.register("fail", scripted(&Log::new(), |_, _| Err::<(), BoxError>("no".into())));
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("fail", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("no"));
    Ok(())
}

/// A hundred handlers that hang at once, on a few workers, are all got rid of; the workers go on.
pub async fn a_flood_of_hanging_handlers_passes(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.started(rt.builder().workers(8), |queue| {
        queue.register("hang", hanging(&started));
        queue.register("quick", handler(|_| async { Ok(()) }));
    });
    let mut events = queue.subscribe(1024);
    for _ in 0..100 {
        queue.push("hang", &()).timeout(Duration::from_millis(1)).await?;
    }
    let quick = queue.push("quick", &()).await?;
    assert_eq!(end_of(&mut events, quick).await, End::Done);
    rt.until(|| queue.dead_letter_count() == 100).await;
    assert_eq!((queue.inflight_count(), queue.counts("default")?.workers), (0, 8));
    Ok(())
}
