//! Cancelling a job by its id, wherever it is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use queue_core::{
    BoxError, CancelAnswer, DeadReason, Handle, HandlerResult, Job, JobError, JobId, Outcome, QueueConfig,
    RetryPolicy,
};

use super::script::{End, end_of, hanging, patient, poll_once, scripted};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// A handler that notes that it has begun, waits for its cancellation, and answers.
fn obedient(
    started: &Log<Job>,
    answer: impl Fn() -> HandlerResult + Clone + Send + Sync + 'static,
) -> impl Fn(Job) -> queue_core::SendFuture + Send + Sync + 'static {
    let started = started.clone();
    handler(move |job: Job| {
        started.add(job.clone());
        let answer = answer.clone();
        async move {
            job.cancelled().await;
            answer()
        }
    })
}

fn nothing_left(queue: &Handle) {
    assert_eq!((queue.pending_count(), queue.inflight_count(), queue.dead_letter_count()), (0, 0, 0));
}

/// A job that waits is removed: it never runs.
pub async fn a_waiting_job_is_removed(rt: impl TestRuntime) -> TestResult {
    let ran = Log::new();
    let queue = rt.build(rt.builder().workers(1).queue("other", QueueConfig::new()));
    let log = ran.clone();
    queue.register(
        "note",
        handler(move |job: Job| {
            log.add(job.id);
            async { Ok(()) }
        }),
    );
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(queue.push("note", &()).await?);
    }
    let other = queue.push("note", &()).queue("other").await?;
    for id in [ids[0], ids[2], ids[4], other] {
        assert_eq!(queue.cancel(id), CancelAnswer::Removed);
        assert_eq!(queue.cancel(id), CancelAnswer::NotFound);
    }
    assert_eq!(queue.pending_count(), 2);
    rt.start(&queue);
    let last = queue.push("note", &()).await?;
    assert_eq!(ran.wait_for(3).await, [ids[1], ids[3], last]);
    Ok(())
}

/// So is one that waits for its time, and the others keep theirs.
pub async fn a_delayed_job_is_removed(rt: impl TestRuntime) -> TestResult {
    let ran = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let log = ran.clone();
        queue.register(
            "note",
            handler(move |job: Job| {
                log.add(job.id);
                async { Ok(()) }
            }),
        );
    });
    let delays =
        [Duration::MAX, Duration::from_millis(2), Duration::from_millis(20), Duration::from_hours(1)];
    let mut ids = Vec::new();
    for delay in delays {
        ids.push(queue.push_delayed("note", &(), delay).await?);
    }
    let kept = queue.push_delayed("note", &(), Duration::from_millis(30)).await?;
    // The second may have run by now.
    let removed = queue.cancel(ids[1]) == CancelAnswer::Removed;
    for id in [ids[0], ids[2], ids[3]] {
        assert_eq!(queue.cancel(id), CancelAnswer::Removed);
    }
    let expected = if removed { vec![kept] } else { vec![ids[1], kept] };
    assert_eq!(ran.wait_for(expected.len()).await, expected);
    rt.until(|| queue.inflight_count() == 0).await;
    nothing_left(&queue);
    Ok(())
}

/// So is one that waits for a retry, or snoozes.
pub async fn a_job_that_waits_for_a_retry_is_removed(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::MAX)), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("snooze", handler(|_| async { Ok(Outcome::snooze(Duration::MAX)) }));
    });
    for kind in ["fail", "snooze"] {
        let id = queue.push(kind, &()).await?;
        rt.until(|| queue.counts("default").is_ok_and(|counts| counts.delayed == 1)).await;
        assert_eq!(queue.cancel(id), CancelAnswer::Removed);
        nothing_left(&queue);
    }
    Ok(())
}

/// A running job is asked to stop; what it then fails with is not retried and no dead letter.
pub async fn a_running_job_is_asked_to_stop(rt: impl TestRuntime) -> TestResult {
    let answers: [fn() -> HandlerResult; 8] = [
        || Err("stopped".into()),
        || panic!("stopped"),
        || Ok(Outcome::retry("stopped")),
        || Ok(Outcome::retry_after(Duration::ZERO, "stopped")),
        || Err(JobError::retry_after(Duration::ZERO, "stopped").into()),
        || Ok(Outcome::snooze(Duration::ZERO)),
        || Err(JobError::snooze(Duration::ZERO, "stopped").into()),
        || Ok(Outcome::cancel("stopped")),
    ];
    for policy in [RetryPolicy::None, RetryPolicy::fixed(9, Duration::ZERO)] {
        for answer in answers {
            let started = Log::new();
            let queue = rt.started(rt.builder().workers(1).retry(policy.clone()), |queue| {
                queue.register("obey", obedient(&started, answer));
            });
            let mut events = queue.subscribe(16);
            let id = queue.push("obey", &()).await?;
            let job = started.wait_for(1).await.remove(0);
            assert!(!job.is_cancelled());
            assert_eq!(queue.cancel(id), CancelAnswer::Asked);
            assert_eq!(end_of(&mut events, id).await, End::Cancelled);
            nothing_left(&queue);
            assert_eq!((started.len(), queue.cancel(id)), (1, CancelAnswer::NotFound));
        }
    }
    Ok(())
}

/// What a cancelled handler decides for itself stands: done is done, and a discarded job is a dead letter.
pub async fn a_cancelled_job_may_still_decide(rt: impl TestRuntime) -> TestResult {
    let discarded = End::Dead(DeadReason::Discarded, "hopeless".into());
    let answers: [(fn() -> HandlerResult, End); 3] = [
        (|| Ok(Outcome::Done), End::Done),
        (|| Ok(Outcome::discard("hopeless")), discarded.clone()),
        (|| Err(JobError::discard("hopeless").into()), discarded),
    ];
    for (answer, end) in answers {
        let started = Log::new();
        let queue = rt.started(rt.builder(), |queue| queue.register("obey", obedient(&started, answer)));
        let mut events = queue.subscribe(16);
        let id = queue.push("obey", &()).await?;
        started.wait_for(1).await;
        assert_eq!(queue.cancel(id), CancelAnswer::Asked);
        assert_eq!(end_of(&mut events, id).await, end);
        // Which a dead letter that is cancelled stays, too.
        assert_eq!(queue.cancel(id), CancelAnswer::NotFound);
        assert_eq!(queue.dead_letter_count(), usize::from(end != End::Done));
    }
    Ok(())
}

/// A handler may look instead of wait, and may take no notice; asking twice is no more than asking once.
pub async fn a_cancellation_is_a_request(rt: impl TestRuntime) -> TestResult {
    let (gate, saw) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let (gate, saw) = (gate.clone(), saw.clone());
        queue.register(
            "look",
            handler(move |job: Job| {
                let (gate, saw) = (gate.clone(), saw.clone());
                async move {
                    saw.add(job.is_cancelled());
                    gate.pass().await;
                    saw.add(job.is_cancelled());
                    Ok(())
                }
            }),
        );
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("look", &()).await?;
    // The first look is over: what it saw is not what is asked for now.
    saw.wait_for(1).await;
    assert_eq!(queue.cancel(id), CancelAnswer::Asked);
    assert_eq!(queue.cancel(id), CancelAnswer::Asked);
    assert_eq!(queue.inflight_count(), 1);
    gate.open();
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!(saw.entries(), [false, true]);

    // The next attempt on the same worker was not asked.
    let next = queue.push("look", &()).await?;
    assert_eq!(end_of(&mut events, next).await, End::Done);
    assert_eq!(saw.entries()[2..], [false, false]);
    Ok(())
}

/// A handler that hangs although it was cancelled is ended by its timeout, and is not retried.
pub async fn a_cancelled_job_that_times_out_is_cancelled(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(9, Duration::ZERO)), |queue| {
        queue.register("hang", hanging(&started));
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("hang", &()).timeout(Duration::from_millis(30)).await?;
    started.wait_for(1).await;
    // On a machine that was asleep for long enough the first attempt is over; then it is the second one.
    rt.until(|| queue.cancel(id) == CancelAnswer::Asked).await;
    assert_eq!(end_of(&mut events, id).await, End::Cancelled);
    nothing_left(&queue);
    Ok(())
}

/// What is not here cannot be cancelled.
pub async fn what_is_not_here_is_not_cancelled(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("done", handler(|_| async { Ok(()) }));
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
    });
    let mut events = queue.subscribe(16);
    let done = queue.push("done", &()).await?;
    end_of(&mut events, done).await;
    let dead = queue.push("fail", &()).await?;
    end_of(&mut events, dead).await;
    for id in [done, dead, JobId::new(0), JobId::new(1000), JobId::new(u64::MAX)] {
        assert_eq!(queue.cancel(id), CancelAnswer::NotFound, "{id}");
    }
    assert_eq!(queue.dead_letter_count(), 1);
    queue.shutdown(Duration::from_secs(5)).await;
    assert_eq!(queue.cancel(dead), CancelAnswer::NotFound);
    Ok(())
}

/// Whoever holds a clone of the job learns that its attempt is over, however it ended.
pub async fn the_end_of_an_attempt_is_seen_from_outside(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let gate = Gate::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("patient", patient(&gate, &started));
        queue.register("hang", hanging(&started));
    });
    queue.push("patient", &()).await?;
    let finished = started.wait_for(1).await.remove(0);
    let mut over = pin!(finished.cancelled());
    assert_eq!(poll_once(over.as_mut()).await, Poll::Pending);
    gate.open();
    over.await;
    assert!(finished.is_cancelled());

    queue.push("hang", &()).timeout(Duration::from_millis(2)).await?;
    let timed_out = started.wait_for(2).await.remove(1);
    timed_out.cancelled().await;

    queue.push("hang", &()).await?;
    let interrupted = started.wait_for(3).await.remove(2);
    assert!(!interrupted.is_cancelled(), "the others were of other attempts");
    assert_eq!(queue.shutdown(Duration::ZERO).await.handed_back.len(), 1);
    interrupted.cancelled().await;
    finished.cancelled().await;
    Ok(())
}

/// One attempt that ends does not end the next one of the same job.
pub async fn each_attempt_has_its_own_end(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1).retry(RetryPolicy::fixed(1, Duration::ZERO)), |queue| {
        let (started, gate) = (started.clone(), gate.clone());
        queue.register(
            "twice",
            handler(move |job: Job| {
                started.add(job.clone());
                let gate = gate.clone();
                async move {
                    if job.attempt == 0 {
                        return Err("first".into());
                    }
                    gate.pass().await;
                    Ok(())
                }
            }),
        );
    });
    queue.push("twice", &()).await?;
    let jobs = started.wait_for(2).await;
    assert!(jobs[0].is_cancelled());
    jobs[0].cancelled().await;
    assert!(!jobs[1].is_cancelled());
    gate.open();
    jobs[1].cancelled().await;
    Ok(())
}

/// A cancelled job makes room for a push that waits for it.
pub async fn a_cancelled_job_makes_room(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(2));
    queue.push("job", &1).await?;
    let second = queue.push("job", &2).delay(Duration::MAX).await?;
    let mut third = pin!(queue.push("job", &3).into_future());
    assert!(poll_once(third.as_mut()).await.is_pending());
    assert_eq!(queue.cancel(second), CancelAnswer::Removed);
    let third = third.await?;
    assert!(third > second);
    assert_eq!(queue.pending_count(), 2);
    Ok(())
}

/// A cancellation that comes when the attempt has failed already, and is about to be retried, is not lost.
pub async fn a_late_cancellation_still_counts(rt: impl TestRuntime) -> TestResult {
    let current: Arc<OnceLock<Job>> = Arc::default();
    let (attempts, answers) = (Log::new(), Log::new());
    let (seen, log) = (current.clone(), answers.clone());
    // The policy is asked between the end of the handler and the end of the attempt.
    let policy = RetryPolicy::custom(move |attempt, _| {
        let job = seen.get().expect("the handler has run");
        log.add(job.handle().cancel(job.id));
        (attempt < 3).then_some(Duration::ZERO)
    });
    let queue = rt.started(rt.builder().workers(1).retry(policy), |queue| {
        let handler = scripted(&attempts, move |job, _| {
            current.get_or_init(|| job.clone());
            Err::<(), BoxError>("no".into())
        });
        queue.register("fail", handler);
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("fail", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Cancelled);
    assert_eq!((answers.entries(), attempts.entries()), (vec![CancelAnswer::Asked], vec![0]));
    nothing_left(&queue);
    Ok(())
}

/// A cancelled attempt whose worker goes away is not run again.
pub async fn an_interrupted_attempt_that_was_cancelled_is_gone(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("hang", hanging(&started));
    let mut events = queue.subscribe(16);
    let id = queue.push("hang", &()).await?;
    {
        let mut workers = pin!(queue.run());
        while started.is_empty() {
            assert!(poll_once(workers.as_mut()).await.is_pending());
        }
        assert_eq!(queue.cancel(id), CancelAnswer::Asked);
    }
    assert_eq!(end_of(&mut events, id).await, End::Cancelled);
    nothing_left(&queue);
    assert_eq!(queue.cancel(id), CancelAnswer::NotFound);
    Ok(())
}

/// Nor is one that shutdown has to interrupt handed back.
pub async fn a_cancelled_attempt_is_not_handed_back(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.started(rt.builder(), |queue| queue.register("hang", hanging(&started)));
    let id = queue.push("hang", &()).await?;
    started.wait_for(1).await;
    assert_eq!(queue.cancel(id), CancelAnswer::Asked);
    let report = queue.shutdown(Duration::ZERO).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.cancelled, 1);
    Ok(())
}
