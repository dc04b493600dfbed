//! When a failed job runs again, and when it is given up.

use std::time::Duration;

use queue_core::{
    AttemptTimedOut, BoxError, Event, HandlerPanicked, Jitter, Job, JobError, Outcome, Priority, QueueConfig,
    RetryPolicy, Timer,
};

use super::script::{End, clock, end_of, errors, scripted};
use crate::{Log, TestResult, TestRuntime, handler};

const TICK: Duration = Duration::from_millis(1);

/// Every policy allows as many retries as it says, and the handler sees the attempts counted from 0.
pub async fn attempts_are_counted_from_zero(rt: impl TestRuntime) -> TestResult {
    let policies = [
        RetryPolicy::fixed(3, Duration::ZERO),
        RetryPolicy::fixed(3, TICK),
        RetryPolicy::linear(3, TICK),
        RetryPolicy::exponential(3, TICK),
        RetryPolicy::exponential(3, Duration::MAX).cap(TICK),
        RetryPolicy::linear(3, TICK).jitter(Jitter::Full),
        RetryPolicy::custom(|attempt, _| (attempt < 3).then_some(TICK)),
    ];
    for policy in policies {
        let attempts = Log::new();
        let queue = rt.started(rt.builder().retry(policy.clone()), |queue| {
            queue.register("fail", scripted(&attempts, |_, _| Err::<(), BoxError>("no".into())));
        });
        let mut events = queue.subscribe(32);
        let id = queue.push("fail", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted("no"), "{policy:?}");
        assert_eq!(attempts.entries(), [0, 1, 2, 3], "{policy:?}");
        assert_eq!(queue.dead_letters()[0].attempts, 4, "{policy:?}");
    }
    Ok(())
}

/// Nothing is retried unless it was asked for.
pub async fn by_default_nothing_is_retried(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("fail", scripted(&attempts, |_, _| Err::<(), BoxError>("no".into())));
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("fail", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("no"));
    assert_eq!(attempts.entries(), [0]);
    Ok(())
}

/// A job that succeeds in the end is done, and no dead letter.
pub async fn a_retry_may_succeed(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(5, TICK)), |queue| {
        let handler =
            scripted(&attempts, |_, before| if before < 2 { Err("not yet".into()) } else { Ok(()) });
        queue.register("flaky", handler);
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("flaky", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!(attempts.entries(), [0, 1, 2]);
    assert_eq!((queue.pending_count(), queue.dead_letter_count()), (0, 0));
    Ok(())
}

/// No attempt starts before its backoff is over, and the events name that backoff.
pub async fn a_retry_never_starts_before_its_backoff(rt: impl TestRuntime) -> TestResult {
    let ms = Duration::from_millis;
    let curves = [
        (RetryPolicy::fixed(3, ms(4)), [ms(4), ms(4), ms(4)]),
        (RetryPolicy::linear(3, ms(3)), [ms(3), ms(6), ms(9)]),
        (RetryPolicy::exponential(3, ms(2)), [ms(2), ms(4), ms(8)]),
        (RetryPolicy::exponential(3, ms(3)).cap(ms(5)), [ms(3), ms(5), ms(5)]),
        (
            RetryPolicy::custom(|attempt, _| (attempt < 3).then(|| 5 * TICK / (attempt + 1))),
            [ms(5), ms(5) / 2, ms(5) / 3],
        ),
    ];
    for (policy, curve) in curves {
        let (times, clock) = (Log::new(), clock(&rt));
        let queue = rt.started(rt.builder().retry(policy.clone()), |queue| {
            let times = times.clone();
            queue.register(
                "fail",
                handler(move |_| {
                    times.add(clock.now());
                    async { Err::<(), _>("no".into()) }
                }),
            );
        });
        let mut events = queue.subscribe(32);
        queue.push("fail", &()).await?;
        let times = times.wait_for(4).await;
        for (attempt, delay) in curve.into_iter().enumerate() {
            let waited = times[attempt + 1] - times[attempt];
            assert!(waited >= delay, "{policy:?} waited {waited:?} after attempt {attempt}");
        }
        let announced: Vec<_> =
            std::iter::from_fn(|| events.try_recv()).filter_map(|event| delay_of(&event)).collect();
        assert_eq!(announced, curve, "{policy:?}");
    }
    Ok(())
}

fn delay_of(event: &Event) -> Option<Duration> {
    match event {
        Event::Retried { delay, .. } => Some(*delay),
        _ => None,
    }
}

/// With the same seed the same failures get the same delays, within the bounds of the jitter.
pub async fn the_same_seed_gives_the_same_delays(rt: impl TestRuntime) -> TestResult {
    for (jitter, least) in [(Jitter::Full, Duration::ZERO), (Jitter::Equal, TICK)] {
        let mut all = Vec::new();
        for seed in [7, 7, 8] {
            let policy = RetryPolicy::fixed(6, 2 * TICK).jitter(jitter);
            let queue = rt.started(rt.builder().workers(1).seed(seed).retry(policy), |queue| {
                queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
            });
            let mut events = queue.subscribe(64);
            queue.push("fail", &()).await?;
            let mut delays = Vec::new();
            while delays.len() < 6 {
                delays.extend(events.recv().await.as_ref().and_then(delay_of));
            }
            assert!(delays.iter().all(|delay| (least..=2 * TICK).contains(delay)), "{delays:?}");
            all.push(delays);
        }
        assert_eq!(all[0], all[1]);
        assert_ne!(all[0], all[2]);
    }
    Ok(())
}

/// A custom policy is shown the number of the attempt and its very error.
pub async fn a_custom_policy_sees_the_attempt_and_the_error(rt: impl TestRuntime) -> TestResult {
    let seen = Log::new();
    let log = seen.clone();
    let policy = RetryPolicy::custom(move |attempt, error| {
        let what = if let Some(panicked) = error.downcast_ref::<HandlerPanicked>() {
            format!("panicked: {}", panicked.message())
        } else if let Some(timed_out) = error.downcast_ref::<AttemptTimedOut>() {
            format!("timed out: {:?}", timed_out.after())
        } else if error.is::<std::num::ParseIntError>() {
            "no number".to_owned()
        } else if error.is::<JobError>() {
            format!("decided: {error}")
        } else {
            error.to_string()
        };
        log.add((attempt, what));
        Some(Duration::ZERO)
    });
    let queue = rt.started(rt.builder().retry(policy).timeout(TICK), |queue| {
        queue.register(
            "fail",
            handler(|job: Job| async move {
                match job.attempt {
                    0 => drop("x".parse::<u8>()?),
                    1 => Err("plain text")?,
                    2 => panic!("on purpose"),
                    3 => std::future::pending().await,
                    4 => Err(JobError::retry_after(Duration::ZERO, "busy"))?,
                    5 => return Ok(Outcome::retry("an outcome")),
                    _ => {}
                }
                Ok(Outcome::Done)
            }),
        );
    });
    let mut events = queue.subscribe(64);
    let id = queue.push("fail", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    let expected = [
        (0, "no number"),
        (1, "plain text"),
        (2, "panicked: on purpose"),
        (3, "timed out: 1ms"),
        (4, "decided: busy"),
        (5, "an outcome"),
    ];
    assert_eq!(seen.entries(), expected.map(|(attempt, what)| (attempt, what.to_owned())));
    Ok(())
}

/// A job's own policy beats its kind's, that one its named queue's, and that one the default.
pub async fn the_nearest_policy_wins(rt: impl TestRuntime) -> TestResult {
    let attempts = |retries| RetryPolicy::fixed(retries, Duration::ZERO);
    let config = QueueConfig::new().retry(attempts(2));
    let builder = rt.builder().retry(attempts(1)).queue("special", config);
    let queue = rt.build(builder);
    let fail = || handler(|_| async { Err::<(), _>("no".into()) });
    queue.register("plain", fail());
    queue.kind("particular").retry(attempts(3)).register(fail())?;
    rt.start(&queue);

    let expected = [
        (queue.push("plain", &()).await?, 2),
        (queue.push("plain", &()).queue("special").await?, 3),
        (queue.push("particular", &()).await?, 4),
        (queue.push("particular", &()).queue("special").await?, 4),
        (queue.push("particular", &()).queue("special").retry(attempts(4)).await?, 5),
        (queue.push("particular", &()).retry(RetryPolicy::None).await?, 1),
        (queue.push_job(queue_core::NewJob::raw("plain", "").retry(attempts(5))).await?, 6),
    ];
    for (id, attempts) in expected {
        rt.until(|| queue.dead_letters().iter().any(|dead| dead.id == id)).await;
        let dead = queue.dead_letters().into_iter().find(|dead| dead.id == id).expect("just seen");
        assert_eq!(dead.attempts, attempts, "job {id}");
    }
    Ok(())
}

/// A policy that panics gives the job up, with the attempt's own error kept; the worker lives.
pub async fn a_policy_that_panics_gives_the_job_up(rt: impl TestRuntime) -> TestResult {
    let policy = RetryPolicy::custom(|_, _| panic!("bad policy"));
    let queue = rt.started(rt.builder().workers(1).retry(policy), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("the real error".into()) }));
        queue.register("work", handler(|_| async { Ok(()) }));
    });
    let mut events = queue.subscribe(16);
    let failing = queue.push("fail", &()).await?;
    let End::Dead(_, error) = end_of(&mut events, failing).await else { panic!("it was given up") };
    assert!(error.contains("the real error") && error.contains("bad policy"), "{error}");
    assert_eq!(errors(&queue.dead_letters()[0]), [error]);

    let working = queue.push("work", &()).await?;
    assert_eq!(end_of(&mut events, working).await, End::Done);
    Ok(())
}

/// A retry that is never due waits, harms nobody, and is handed back by shutdown.
pub async fn a_delay_past_the_end_of_time_holds_the_job(rt: impl TestRuntime) -> TestResult {
    // The last one fits an `Instant` but not 64 bits of nanoseconds.
    let endless = [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(20_000_000_000)];
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("work", handler(|_| async { Ok(()) }));
    });
    let mut events = queue.subscribe(64);
    let mut held = Vec::new();
    for delay in endless {
        held.push(queue.push("fail", &()).retry(RetryPolicy::fixed(1, delay)).await?);
    }
    for delay in [Duration::ZERO, 3 * TICK] {
        let working = queue.push("work", &()).delay(delay).await?;
        assert_eq!(end_of(&mut events, working).await, End::Done);
    }
    let counts = queue.counts("default")?;
    assert_eq!((counts.delayed, counts.ready, counts.running, counts.dead), (3, 0, 0, 0));

    let report = queue.shutdown(Duration::from_secs(5)).await;
    let handed_back: Vec<_> = report.handed_back.iter().map(|back| (back.id, back.attempts)).collect();
    assert_eq!(handed_back, held.into_iter().map(|id| (id, 1)).collect::<Vec<_>>());
    Ok(())
}

/// With one worker, others run while a retry waits.
pub async fn a_waiting_retry_holds_no_slot(rt: impl TestRuntime) -> TestResult {
    let order = Log::new();
    let wait = 10 * TICK;
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(1, wait)));
    let log = order.clone();
    queue.register(
        "fail",
        handler(move |job: Job| {
            log.add(format!("fail {}", job.attempt));
            async move { if job.attempt == 0 { Err("no".into()) } else { Ok(()) } }
        }),
    );
    let log = order.clone();
    queue.register(
        "work",
        handler(move |_| {
            log.add("work".to_owned());
            async { Ok(()) }
        }),
    );
    // Both are there before the first runs, however long a push takes.
    queue.push("fail", &()).await?;
    queue.push("work", &()).await?;
    rt.start(&queue);
    assert_eq!(order.wait_for(3).await, ["fail 0", "work", "fail 1"]);
    Ok(())
}

/// A retry without a delay waits in line behind the others.
pub async fn a_retry_without_delay_goes_to_the_back_of_the_line(rt: impl TestRuntime) -> TestResult {
    let order = Log::new();
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(1, Duration::ZERO)));
    let log = order.clone();
    queue.register(
        "fail",
        handler(move |job: Job| {
            log.add((job.id, job.attempt));
            async { Err::<(), _>("no".into()) }
        }),
    );
    let first = queue.push("fail", &()).await?;
    let second = queue.push("fail", &()).await?;
    rt.start(&queue);
    assert_eq!(order.wait_for(4).await, [(first, 0), (second, 0), (first, 1), (second, 1)]);
    Ok(())
}

/// Every attempt sees the same job: id, kind, payload, priority and named queue.
pub async fn every_attempt_sees_the_same_job(rt: impl TestRuntime) -> TestResult {
    let seen = Log::new();
    let builder = rt.builder().retry(RetryPolicy::fixed(2, TICK)).queue("other", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        let seen = seen.clone();
        queue.register(
            "fail",
            handler(move |job: Job| {
                let (payload, queue) = (job.raw_payload().to_vec(), job.queue_name().clone());
                seen.add((job.id, job.name.clone(), payload, job.priority(), queue));
                async { Err::<(), _>("no".into()) }
            }),
        );
    });
    let id = queue.push("fail", &[1, 2, 3]).queue("other").priority(Priority::LOW).await?;
    let expected = (id, "fail".into(), b"[1,2,3]".to_vec(), Priority::LOW, "other".into());
    assert_eq!(seen.wait_for(3).await, vec![expected; 3]);
    Ok(())
}
