//! Jobs that will not run again by themselves: what is known of them, and how they get another life.

use std::time::Duration;

use queue_core::{
    BoxError, DeadReason, Event, Handle, Job, JobId, NewJob, Priority, QueueConfig, RequeueError,
    RetryPolicy, Timer,
};

use super::script::{End, clock, end_of, errors, hanging, scripted};
use crate::{Log, TestResult, TestRuntime, handler};

/// Pushes a job and waits until it is a dead letter.
async fn dead(queue: &Handle, kind: &str) -> Result<JobId, BoxError> {
    let mut events = queue.subscribe(512);
    let id = queue.push(kind, &()).await?;
    assert!(matches!(end_of(&mut events, id).await, End::Dead(..)));
    Ok(id)
}

fn ids(queue: &Handle) -> Vec<JobId> {
    queue.dead_letters().iter().map(|dead| dead.id).collect()
}

/// A handler that always fails, with the number of the attempt as its error.
fn failing() -> impl Fn(Job) -> queue_core::SendFuture + Send + Sync + 'static {
    handler(|job: Job| async move { Err::<(), _>(format!("error {}", job.attempt).into()) })
}

/// A dead letter says everything that was known of the job, and what went wrong each time.
pub async fn a_dead_letter_tells_the_whole_story(rt: impl TestRuntime) -> TestResult {
    let clock = clock(&rt);
    let builder = rt
        .builder()
        .retry(RetryPolicy::fixed(2, Duration::from_millis(1)))
        .queue("other", QueueConfig::new());
    let queue = rt.started(builder, |queue| queue.register("fail", failing()));
    let mut events = queue.subscribe(32);
    let before = clock.wall();
    let id = queue.push("fail", &"payload").queue("other").priority(Priority::HIGH).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("error 2"));
    let after = clock.wall();

    let letters = queue.dead_letters();
    assert_eq!((letters.len(), queue.dead_letter_count(), queue.counts("other")?.dead), (1, 1, 1));
    let dead = &letters[0];
    assert_eq!((dead.id, &dead.name[..], &dead.queue[..]), (id, "fail", "other"));
    assert_eq!((&dead.payload[..], dead.priority), (&b"\"payload\""[..], Priority::HIGH));
    assert_eq!((dead.attempts, &dead.error[..]), (3, "error 2"));
    assert_eq!(dead.reason, DeadReason::RetriesExhausted);
    assert!(before <= dead.failed_at && dead.failed_at <= after, "{:?}", dead.failed_at);

    let attempts: Vec<_> = dead.history.iter().map(|failed| failed.attempt).collect();
    assert_eq!((attempts, errors(dead)), (vec![0, 1, 2], vec!["error 0", "error 1", "error 2"]));
    assert!(dead.history.is_sorted_by_key(|failed| failed.at), "{:?}", dead.history);
    assert!(before <= dead.history[0].at && dead.history[2].at == dead.failed_at);
    Ok(())
}

/// Without a handler for its kind a job is a dead letter at once, and says so.
pub async fn a_job_without_a_handler_is_a_dead_letter_at_once(rt: impl TestRuntime) -> TestResult {
    let builder = rt
        .builder()
        .retry(RetryPolicy::fixed(5, Duration::ZERO))
        .queue("other", QueueConfig::new().kinds(["configured"]));
    let queue = rt.started(builder, |_| {});
    let mut events = queue.subscribe(32);
    for kind in ["nobody", "configured"] {
        let id = queue.push(kind, &()).await?;
        let error = format!("no handler is registered for {kind:?}");
        assert_eq!(end_of(&mut events, id).await, End::Dead(DeadReason::NoHandler, error.clone()));
        let dead = queue.dead_letters().pop().expect("it is a dead letter");
        assert_eq!((dead.id, &dead.name[..]), (id, kind));
        assert_eq!((dead.attempts, dead.reason, errors(&dead)), (0, DeadReason::NoHandler, vec![&error[..]]));
    }
    Ok(())
}

/// When its handler is there, a job that had none is requeued and done.
pub async fn a_job_without_a_handler_may_get_one(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |_| {});
    let id = dead(&queue, "late").await?;
    let attempts = Log::new();
    queue.register("late", scripted(&attempts, |_, _| Ok(())));
    let mut events = queue.subscribe(16);
    queue.requeue(id)?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!((attempts.entries(), queue.dead_letter_count()), (vec![0], 0));
    Ok(())
}

/// A requeued job keeps its number, starts again at attempt 0 with all its retries, and keeps its history.
pub async fn requeueing_starts_again_and_keeps_the_history(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::ZERO)), |queue| {
        let handler = scripted(&attempts, |_, before| Err::<(), BoxError>(format!("try {before}").into()));
        queue.register("fail", handler);
    });
    let id = dead(&queue, "fail").await?;
    let mut events = queue.subscribe(16);
    queue.requeue(id)?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("try 3"));
    assert_eq!(attempts.entries(), [0, 1, 0, 1]);

    let dead = queue.dead_letters().remove(0);
    assert_eq!((dead.id, dead.attempts, &dead.error[..]), (id, 2, "try 3"));
    assert_eq!(errors(&dead), ["try 0", "try 1", "try 2", "try 3"]);
    let numbers: Vec<_> = dead.history.iter().map(|failed| failed.attempt).collect();
    assert_eq!(numbers, [0, 1, 0, 1]);
    Ok(())
}

/// What was particular to a job still is after it was requeued: policy, timeout, priority, payload, named queue.
pub async fn a_requeued_job_keeps_its_options(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let builder = rt.builder().queue("other", QueueConfig::new());
    let queue = rt.started(builder, |queue| queue.register("hang", hanging(&started)));
    let mut events = queue.subscribe(32);
    let job = NewJob::raw("hang", "payload")
        .queue("other")
        .priority(Priority::LOWEST)
        .timeout(Duration::from_millis(1))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let id = queue.push_job(job).await?;
    for attempts in [2, 4] {
        assert_eq!(end_of(&mut events, id).await, End::exhausted("attempt timed out after 1ms"));
        assert_eq!(started.len(), attempts);
        if attempts == 2 {
            queue.requeue(id)?;
        }
    }
    for job in started.entries() {
        assert_eq!((job.id, job.raw_payload(), job.priority()), (id, &b"payload"[..], Priority::LOWEST));
        assert_eq!(*job.queue_name(), "other");
    }
    Ok(())
}

/// A filter picks whom to requeue, and says who was.
pub async fn dead_letters_are_requeued_by_filter(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let builder = rt.builder().workers(1).queue("other", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        queue.register(
            "mail",
            scripted(&attempts, |_, before| if before < 2 { Err("down".into()) } else { Ok(()) }),
        );
        queue.kind("hook").queue("other").register(failing()).expect("the queue exists");
    });
    let mails = [dead(&queue, "mail").await?, dead(&queue, "mail").await?];
    let hook = dead(&queue, "hook").await?;
    assert_eq!(queue.requeue_where(|_| false), []);

    let mut events = queue.subscribe(32);
    assert_eq!(queue.requeue_where(|dead| dead.name == "mail" && dead.error == "down"), mails);
    assert_eq!(end_of(&mut events, mails[0]).await, End::Done);
    assert_eq!(end_of(&mut events, mails[1]).await, End::Done);
    assert_eq!(ids(&queue), [hook]);
    Ok(())
}

/// Only a dead letter can be requeued, and only once.
pub async fn what_is_no_dead_letter_is_not_requeued(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("done", handler(|_| async { Ok(()) }));
        queue.register("fail", failing());
        queue.register("hang", hanging(&started));
    });
    let mut events = queue.subscribe(32);
    let done = queue.push("done", &()).await?;
    assert_eq!(end_of(&mut events, done).await, End::Done);
    let failed = dead(&queue, "fail").await?;
    let running = queue.push("hang", &()).await?;
    started.wait_for(1).await;
    let waiting = queue.push("done", &()).await?;
    let delayed = queue.push("done", &()).delay(Duration::MAX).await?;
    for id in [done, running, waiting, delayed, JobId::new(0), JobId::new(u64::MAX)] {
        assert_eq!(queue.requeue(id), Err(RequeueError::NotFound(id)));
    }
    assert_eq!(queue.requeue(failed), Ok(()));
    assert_eq!(queue.requeue(failed), Err(RequeueError::NotFound(failed)));
    assert_eq!((queue.pending_count(), queue.inflight_count()), (3, 1));
    Ok(())
}

/// After shutdown dead letters can be read and not requeued.
pub async fn nothing_is_requeued_after_shutdown(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| queue.register("fail", failing()));
    let id = dead(&queue, "fail").await?;
    queue.shutdown(Duration::from_secs(5)).await;
    assert_eq!(queue.requeue(id), Err(RequeueError::ShutDown(id)));
    assert_eq!(queue.requeue_where(|_| true), []);
    assert_eq!(ids(&queue), [id]);
    assert_eq!(queue.clear_dead_letters(), 1);
    Ok(())
}

/// A dead letter that finds no room stays one.
pub async fn a_full_queue_takes_no_dead_letter_back(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().workers(1).capacity(2), |queue| queue.register("fail", failing()));
    let mut letters = Vec::new();
    for _ in 0..3 {
        letters.push(dead(&queue, "fail").await?);
    }
    queue.pause("default")?;
    assert_eq!(queue.requeue_where(|_| true), letters[..2]);
    assert_eq!(queue.requeue(letters[2]), Err(RequeueError::Full(letters[2])));
    assert_eq!((ids(&queue), queue.pending_count()), (letters[2..].to_vec(), 2));

    let mut events = queue.subscribe(32);
    queue.resume("default")?;
    end_of(&mut events, letters[1]).await;
    assert_eq!(queue.requeue(letters[2]), Ok(()));
    Ok(())
}

/// When there are too many, the oldest make room, and events say so.
pub async fn the_oldest_make_room_by_count(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().defaults(QueueConfig::new().workers(1).dead_letters(2));
    let queue = rt.started(builder, |queue| queue.register("fail", failing()));
    let mut events = queue.subscribe(64);
    let mut letters = Vec::new();
    for _ in 0..4 {
        letters.push(dead(&queue, "fail").await?);
    }
    assert_eq!((ids(&queue), queue.dead_letter_count()), (letters[2..].to_vec(), 2));
    assert_eq!(evicted(&mut events), letters[..2]);
    assert_eq!(queue.requeue(letters[0]), Err(RequeueError::NotFound(letters[0])));
    Ok(())
}

fn evicted(events: &mut queue_core::Subscription) -> Vec<JobId> {
    let all = std::iter::from_fn(|| events.try_recv());
    all.filter_map(|event| match event {
        Event::DeadLetterEvicted(job) => Some(job.id),
        _ => None,
    })
    .collect()
}

/// Payloads and errors count against the bytes of dead letters, and what is requeued or cleared no longer does.
pub async fn the_oldest_make_room_by_bytes(rt: impl TestRuntime) -> TestResult {
    // Each takes 10 bytes: "null" and "failed".
    let builder = rt.builder().defaults(QueueConfig::new().workers(1).dead_letter_bytes(30));
    let queue = rt.started(builder, |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("failed".into()) }));
    });
    let mut events = queue.subscribe(128);
    let mut letters = Vec::new();
    for _ in 0..4 {
        letters.push(dead(&queue, "fail").await?);
    }
    assert_eq!((ids(&queue), evicted(&mut events)), (letters[1..].to_vec(), letters[..1].to_vec()));

    queue.clear_dead_letters();
    let large = queue.push_job(NewJob::raw("fail", vec![b' '; 14])).await?;
    assert_eq!(end_of(&mut events, large).await, End::exhausted("failed"));
    let small = dead(&queue, "fail").await?;
    assert_eq!(ids(&queue), [large, small]);
    let next = dead(&queue, "fail").await?;
    assert_eq!((ids(&queue), evicted(&mut events)), (vec![small, next], vec![large]));

    // Its history grows with every life.
    queue.requeue(small)?;
    end_of(&mut events, small).await;
    assert_eq!(ids(&queue), [next, small]);
    queue.requeue(small)?;
    end_of(&mut events, small).await;
    assert_eq!((ids(&queue), evicted(&mut events)), (vec![small], vec![next]));
    Ok(())
}

/// A dead letter that is larger than all of them may be together is kept until the next one comes: it is the newest,
/// and the oldest make room.
pub async fn a_dead_letter_beyond_the_bound_is_kept_alone(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().defaults(QueueConfig::new().workers(1).dead_letter_bytes(16));
    let queue = rt.started(builder, |queue| queue.register("fail", failing()));
    let mut events = queue.subscribe(64);
    let small = dead(&queue, "fail").await?;
    let large = queue.push_job(NewJob::raw("fail", vec![b' '; 1000])).await?;
    end_of(&mut events, large).await;
    let mut all = queue.dead_letters();
    assert_eq!((all.len(), all[0].id, all[0].payload.len()), (1, large, 1000));
    all.clear();

    let next = dead(&queue, "fail").await?;
    assert_eq!((ids(&queue), queue.requeue(small).is_err()), (vec![next], true));
    Ok(())
}

/// A queue may keep no dead letters at all; subscribers still hear of them.
pub async fn a_queue_may_keep_no_dead_letters(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().defaults(QueueConfig::new().dead_letters(0));
    let queue = rt.started(builder, |queue| queue.register("fail", failing()));
    let mut events = queue.subscribe(16);
    let id = queue.push("fail", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("error 0"));
    assert_eq!(
        events.recv().await.map(|event| matches!(event, Event::DeadLetterEvicted(job) if job.id == id)),
        Some(true)
    );
    assert_eq!((queue.dead_letter_count(), ids(&queue)), (0, vec![]));
    Ok(())
}

/// Clearing says how many there were, in all named queues.
pub async fn clearing_drops_all_of_them(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().queue("other", QueueConfig::new().kinds(["hook"]));
    let queue = rt.started(builder, |queue| {
        queue.register("mail", failing());
        queue.register("hook", failing());
    });
    let hook = dead(&queue, "hook").await?;
    let mails = [dead(&queue, "mail").await?, dead(&queue, "mail").await?];
    assert_eq!(ids(&queue), [mails[0], mails[1], hook]);
    assert_eq!(queue.clear_dead_letters(), 3);
    assert_eq!((queue.clear_dead_letters(), queue.dead_letter_count(), ids(&queue)), (0, 0, vec![]));
    assert_eq!(queue.requeue(hook), Err(RequeueError::NotFound(hook)));
    let again = dead(&queue, "mail").await?;
    assert_eq!(ids(&queue), [again]);
    Ok(())
}

/// A job that is retried for ever does not grow for ever: the latest hundred errors are kept.
pub async fn a_long_history_keeps_the_latest_hundred(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(149, Duration::ZERO)), |queue| {
        queue.register("fail", failing());
    });
    dead(&queue, "fail").await?;
    let dead = queue.dead_letters().remove(0);
    let attempts: Vec<_> = dead.history.iter().map(|failed| failed.attempt).collect();
    assert_eq!((dead.attempts, attempts), (150, (50..150).collect()));
    assert_eq!((errors(&dead)[0], &dead.error[..]), ("error 50", "error 149"));
    Ok(())
}

/// An error as long as a book is cut, at the end of a character.
pub async fn a_long_error_is_cut(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("ß".repeat(3000).into()) }));
        queue.register("discard", handler(|_| async { Ok(queue_core::Outcome::discard("ß".repeat(3000))) }));
        queue.register(
            "panic",
            handler(|_| async { if true { panic!("{}", "ß".repeat(3000)) } else { Ok(()) } }),
        );
    });
    for kind in ["fail", "discard", "panic"] {
        dead(&queue, kind).await?;
        let dead = queue.dead_letters().pop().expect("it is a dead letter");
        assert!(dead.error.len() < 5000 && dead.error.ends_with("ß…"), "{kind}: {} bytes", dead.error.len());
    }
    Ok(())
}
