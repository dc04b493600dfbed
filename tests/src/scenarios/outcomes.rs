//! What a handler may answer, on the `Ok` side and inside an error.

use std::time::Duration;

use queue_core::{DeadReason, HandlerResult, Job, JobError, Outcome, RetryPolicy, Timer};

use super::script::{End, clock, end_of, errors, scripted};
use crate::{Log, TestResult, TestRuntime, handler};

/// The two ways to say one thing.
type BothWays = [fn() -> HandlerResult; 2];

const RETRY_AFTER: BothWays = [
    || Ok(Outcome::retry_after(Duration::from_millis(2), "busy")),
    || Err(JobError::retry_after(Duration::from_millis(2), "busy").into()),
];

const SNOOZE: BothWays = [
    || Ok(Outcome::snooze(Duration::from_millis(1))),
    || Err(JobError::snooze(Duration::from_millis(1), "not yet").into()),
];

const DISCARD: BothWays = [|| Ok(Outcome::discard("gone")), || Err(JobError::discard("gone").into())];

const CANCEL: BothWays = [|| Ok(Outcome::cancel("unwanted")), || Err(JobError::cancel("unwanted").into())];

/// `Ok(())` and `Ok(Outcome::Done)` are both done, and nothing of the job is left.
pub async fn ok_is_done(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("unit", handler(|_| async { Ok(()) }));
        queue.register("outcome", handler(|_| async { Ok(Outcome::Done) }));
    });
    let mut events = queue.subscribe(16);
    for kind in ["unit", "outcome"] {
        let id = queue.push(kind, &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::Done);
    }
    assert_eq!((queue.pending_count(), queue.inflight_count(), queue.dead_letter_count()), (0, 0, 0));
    Ok(())
}

/// `Outcome::retry` is a failure like any error: retried by policy, its text is kept.
pub async fn a_retry_outcome_is_a_failure(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::ZERO)), |queue| {
        queue.register("busy", scripted(&attempts, |_, _| Ok(Outcome::retry("busy"))));
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("busy", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("busy"));
    assert_eq!(attempts.entries(), [0, 1]);
    assert_eq!(errors(&queue.dead_letters()[0]), ["busy", "busy"]);
    Ok(())
}

/// A delay that the handler asks for replaces the policy's, but not its number of retries.
pub async fn retry_after_replaces_the_delay_and_not_the_budget(rt: impl TestRuntime) -> TestResult {
    for answer in RETRY_AFTER {
        let attempts = Log::new();
        // By itself this policy would wait for ever.
        let policy = RetryPolicy::fixed(2, Duration::MAX);
        let queue = rt.started(rt.builder().retry(policy), |queue| {
            queue.register("busy", scripted(&attempts, move |_, _| answer()));
        });
        let mut events = queue.subscribe(16);
        let id = queue.push("busy", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted("busy"));
        assert_eq!(attempts.entries(), [0, 1, 2]);
        assert_eq!(queue.dead_letters()[0].attempts, 3);
    }
    Ok(())
}

/// Where nothing is retried, asking for a retry later does not help.
pub async fn retry_after_needs_a_policy_that_allows_it(rt: impl TestRuntime) -> TestResult {
    for answer in RETRY_AFTER {
        let attempts = Log::new();
        let queue = rt.started(rt.builder(), |queue| {
            queue.register("busy", scripted(&attempts, move |_, _| answer()));
        });
        let mut events = queue.subscribe(16);
        let id = queue.push("busy", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted("busy"));
        assert_eq!(attempts.entries(), [0]);
    }
    Ok(())
}

/// Neither a retry after a delay nor a snooze comes back early.
pub async fn a_job_comes_back_no_earlier_than_it_asked_for(rt: impl TestRuntime) -> TestResult {
    let wait = Duration::from_millis(7);
    let answers: [fn(Duration) -> Outcome; 2] = [|wait| Outcome::retry_after(wait, "busy"), Outcome::snooze];
    for answer in answers {
        let (times, clock) = (Log::new(), clock(&rt));
        let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(9, Duration::ZERO)), |queue| {
            let times = times.clone();
            queue.register(
                "again",
                handler(move |_| {
                    times.add(clock.now());
                    let is_first = times.len() == 1;
                    async move { Ok(if is_first { answer(wait) } else { Outcome::Done }) }
                }),
            );
        });
        queue.push("again", &()).await?;
        let times = times.wait_for(2).await;
        assert!(times[1] - times[0] >= wait, "came back after {:?}", times[1] - times[0]);
    }
    Ok(())
}

/// A job may snooze more often than it may be retried, and keeps its attempt number.
pub async fn a_snooze_burns_no_attempt(rt: impl TestRuntime) -> TestResult {
    for answer in SNOOZE {
        let attempts = Log::new();
        let policy = RetryPolicy::fixed(1, Duration::ZERO);
        let queue = rt.started(rt.builder().retry(policy), |queue| {
            let handler = scripted(&attempts, move |_, before| match before {
                4 => Err("now it failed".into()),
                8 => Ok(Outcome::Done),
                _ => answer(),
            });
            queue.register("sleepy", handler);
        });
        let mut events = queue.subscribe(64);
        let id = queue.push("sleepy", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::Done);
        assert_eq!(attempts.entries(), [0, 0, 0, 0, 0, 1, 1, 1, 1]);
    }
    Ok(())
}

/// A snooze is no failure: it is not in the history of a job that fails later.
pub async fn a_snooze_leaves_no_error(rt: impl TestRuntime) -> TestResult {
    for answer in SNOOZE {
        let queue = rt.started(rt.builder(), |queue| {
            let handler = scripted(&Log::new(), move |_, before| match before {
                0 | 1 => answer(),
                _ => Err("failed at last".into()),
            });
            queue.register("sleepy", handler);
        });
        let mut events = queue.subscribe(64);
        let id = queue.push("sleepy", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted("failed at last"));
        let dead = &queue.dead_letters()[0];
        assert_eq!((dead.attempts, errors(dead)), (1, vec!["failed at last"]));
    }
    Ok(())
}

/// A zero snooze lets the others go first.
pub async fn a_zero_snooze_goes_to_the_back_of_the_line(rt: impl TestRuntime) -> TestResult {
    let order = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    let log = order.clone();
    queue.register(
        "polite",
        handler(move |job: Job| {
            let is_first = log.is_empty();
            log.add(job.id);
            async move { Ok(if is_first { Outcome::snooze(Duration::ZERO) } else { Outcome::Done }) }
        }),
    );
    let first = queue.push("polite", &()).await?;
    let second = queue.push("polite", &()).await?;
    let third = queue.push("polite", &()).await?;
    rt.start(&queue);
    assert_eq!(order.wait_for(4).await, [first, second, third, first]);
    Ok(())
}

/// While a job snoozes it waits, and holds no slot.
pub async fn a_snoozing_job_holds_no_slot(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("sleepy", handler(|_| async { Ok(Outcome::snooze(Duration::MAX)) }));
        queue.register("other", handler(|_| async { Ok(()) }));
    });
    let mut events = queue.subscribe(16);
    queue.push("sleepy", &()).await?;
    let other = queue.push("other", &()).await?;
    assert_eq!(end_of(&mut events, other).await, End::Done);
    let counts = queue.counts("default")?;
    assert_eq!((counts.delayed, counts.running), (1, 0));
    Ok(())
}

/// A discarded job is a dead letter at once, whatever the policy would allow.
pub async fn discard_ends_among_the_dead_letters(rt: impl TestRuntime) -> TestResult {
    for answer in DISCARD {
        let attempts = Log::new();
        let policy = RetryPolicy::fixed(5, Duration::ZERO);
        let queue = rt.started(rt.builder().retry(policy), |queue| {
            let handler = scripted(&attempts, move |_, before| match before {
                0 => Err("first error".into()),
                _ => answer(),
            });
            queue.register("hopeless", handler);
        });
        let mut events = queue.subscribe(16);
        let id = queue.push("hopeless", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::Dead(DeadReason::Discarded, "gone".into()));
        assert_eq!(attempts.entries(), [0, 1]);
        let dead = &queue.dead_letters()[0];
        assert_eq!((dead.id, dead.attempts, dead.reason), (id, 2, DeadReason::Discarded));
        assert_eq!(dead.error, "gone");
        assert_eq!(errors(dead), ["first error", "gone"]);
        assert_eq!(queue.pending_count(), 0);
    }
    Ok(())
}

/// A job that its handler cancels is gone: not retried, no dead letter.
pub async fn cancel_leaves_nothing_behind(rt: impl TestRuntime) -> TestResult {
    for answer in CANCEL {
        let attempts = Log::new();
        let policy = RetryPolicy::fixed(5, Duration::ZERO);
        let queue = rt.started(rt.builder().retry(policy), |queue| {
            queue.register("unwanted", scripted(&attempts, move |_, _| answer()));
        });
        let mut events = queue.subscribe(16);
        let id = queue.push("unwanted", &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::Cancelled);
        assert_eq!(attempts.entries(), [0]);
        assert_eq!((queue.pending_count(), queue.inflight_count(), queue.dead_letter_count()), (0, 0, 0));
        let report = queue.shutdown(Duration::from_secs(5)).await;
        assert!(report.is_clean(), "{report:?}");
    }
    Ok(())
}
