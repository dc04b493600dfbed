//! How many jobs may wait, and who waits for room.

use std::time::Duration;

use queue_core::{
    CancelAnswer, Handle, Job, JobId, NewJob, Outcome, Priority, PushError, QueueConfig, RequeueError,
    RetryPolicy,
};

use super::by_hand::{ByHand, jobs, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

const HOUR: Duration = Duration::from_hours(1);

type Pushing<'a> = ByHand<'a, Result<JobId, PushError>>;

/// A push that has found no room and waits in line.
fn waiting<'a>(queue: &'a Handle, kind: &'a str, payload: &str) -> Pushing<'a> {
    waiting_with(queue.push_job(NewJob::raw(kind, payload)))
}

fn waiting_with(push: queue_core::Push<'_>) -> Pushing<'_> {
    let mut push = ByHand::new(push);
    assert!(push.poll().is_pending());
    push
}

/// The push was woken for its turn and is accepted.
#[track_caller]
fn accepted(push: &mut Pushing) -> JobId {
    assert!(push.wakes() > 0, "it was not woken");
    push.ready().expect("it is accepted")
}

#[track_caller]
fn still_waits(push: &mut Pushing) {
    assert_eq!(push.wakes(), 0, "it was woken too soon");
    assert!(push.poll().is_pending());
}

/// Beyond its capacity a queue gives the job back, as it was, and takes it when there is room again.
pub async fn a_full_queue_gives_the_job_back(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().capacity(2).workers(1));
    queue.register("note", note(&log));
    queue.push("note", &1).await?;
    // Delayed jobs wait, too.
    let delayed = queue.push_delayed("note", &2, HOUR).await?;
    let refused = queue.push("note", &0).priority(Priority::HIGHEST).try_push().unwrap_err();
    assert!(refused.is_full() && !refused.is_shut_down(), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "job \"note\" was not accepted: the queue is full; await `push` or try again later"
    );
    let job = refused.into_job().expect("it is given back");
    assert_eq!((&**job.kind(), &job.payload()[..]), ("note", &b"0"[..]));
    let job = queue.push_job(job).try_push().unwrap_err().into_job().expect("it is given back");
    assert!(queue.try_push("note", &3).is_err_and(|error| error.is_full()));
    assert_eq!(queue.pending_count(), 2);

    assert_eq!(queue.cancel(delayed), CancelAnswer::Removed);
    queue.push_job(job).try_push()?;
    rt.start(&queue);
    assert_eq!(log.wait_for(2).await, [0, 1], "it kept its priority");
    Ok(())
}

/// Payload bytes are bounded, too; what could never fit is refused at once, and what is empty always fits.
pub async fn bytes_are_bounded_and_too_large_is_refused_outright(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().defaults(QueueConfig::new().capacity_bytes(10)));
    let raw = |bytes: usize| queue.push_job(NewJob::raw("note", vec![b'x'; bytes]));
    let first = raw(6).await?;
    raw(4).await?;
    assert!(raw(1).try_push().is_err_and(|error| error.is_full()));
    raw(0).await?;
    assert_eq!(queue.counts("default")?.waiting_bytes, 10);

    for refused in [raw(11).try_push(), raw(11).await] {
        let refused = refused.unwrap_err();
        assert!(!refused.is_full() && !refused.is_shut_down());
        assert_eq!(
            refused.to_string(),
            "job \"note\" was not accepted: its payload of 11 bytes is larger than `capacity_bytes`"
        );
        assert!(matches!(&refused, PushError::TooLarge(job) if job.payload().len() == 11));
    }

    let mut five = waiting_with(raw(5));
    assert_eq!(queue.cancel(first), CancelAnswer::Removed);
    accepted(&mut five);
    assert_eq!(queue.counts("default")?.waiting_bytes, 9);
    raw(1).try_push()?;
    assert!(raw(1).try_push().is_err_and(|error| error.is_full()));
    Ok(())
}

/// `push().await` waits for room and is woken by the workers that make it, over and over.
pub async fn a_push_waits_for_the_workers_to_make_room(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.started(rt.builder().workers(1).capacity(2), |queue| queue.register("note", note(&log)));
    for n in 0..2000 {
        queue.push("note", &n).await?;
        assert!(queue.pending_count() <= 2);
    }
    assert_eq!(log.wait_for(2000).await, (0..2000).collect::<Vec<_>>());
    Ok(())
}

/// Pushes that wait are served first come, first served, each woken once there is room for it, and nobody overtakes:
/// neither a push that comes while room is on its way to one that waits, nor one that waits further back.
pub async fn pushes_that_wait_are_served_in_turn(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1).capacity(2));
    queue.register("note", note(&log));
    let before = [queue.push("note", &0).await?, queue.push("note", &0).await?];
    let mut line = ["1", "2", "3", "4"].map(|payload| waiting(&queue, "note", payload));

    assert_eq!(queue.cancel(before[0]), CancelAnswer::Removed);
    assert!(queue.try_push("note", &9).is_err_and(|error| error.is_full()), "the room is taken");
    assert!(queue.try_push_many(jobs("note", [9])).is_err_and(|error| error.is_full()));
    let mut last = waiting(&queue, "note", "5");
    for push in &mut line[1..] {
        still_waits(push);
    }
    let first = accepted(&mut line[0]);
    assert_eq!(queue.pending_count(), 2);

    // Room for two at once: they are woken together, and may come in either order.
    assert_eq!(queue.cancel(before[1]), CancelAnswer::Removed);
    assert_eq!(queue.cancel(first), CancelAnswer::Removed);
    assert_eq!(queue.pending_count(), 0);
    assert!(queue.try_push("note", &9).is_err_and(|error| error.is_full()));
    accepted(&mut line[2]);
    assert!(queue.try_push("note", &9).is_err_and(|error| error.is_full()));
    accepted(&mut line[1]);
    still_waits(&mut line[3]);
    still_waits(&mut last);

    rt.start(&queue);
    (&mut line[3]).await?;
    last.await?;
    assert_eq!(log.wait_for(4).await, [3, 2, 4, 5]);
    Ok(())
}

/// A push that waits and is dropped has not happened: its place goes to the next, and so does the room that was already
/// its own.
pub async fn a_dropped_push_leaves_its_place_to_the_next(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    let only = queue.push("note", &0).await?;
    let [first, second, mut third, mut fourth] = ["1", "2", "3", "4"].map(|n| waiting(&queue, "note", n));
    drop(first);
    assert_eq!(queue.cancel(only), CancelAnswer::Removed);
    assert!(second.wakes() > 0, "it is the next");
    still_waits(&mut third);
    drop(second);
    let only = accepted(&mut third);
    still_waits(&mut fourth);
    assert_eq!(queue.pending_count(), 1);
    drop(fourth);
    assert_eq!(queue.cancel(only), CancelAnswer::Removed);
    queue.try_push("note", &5)?;
    Ok(())
}

/// A large job at the head of the line is not passed by small ones that would fit; when it gives up, they all go.
pub async fn a_small_job_does_not_overtake_a_large_one(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().defaults(QueueConfig::new().capacity_bytes(10)));
    let raw = |bytes: usize| queue.push_job(NewJob::raw("note", vec![b'x'; bytes]));
    let ids = [raw(4).await?, raw(4).await?];
    let mut large = waiting_with(raw(8));
    let mut small = [1, 0, 1].map(|bytes| waiting_with(raw(bytes)));
    assert!(raw(0).try_push().is_err_and(|error| error.is_full()), "others wait");
    assert_eq!(queue.cancel(ids[0]), CancelAnswer::Removed);
    still_waits(&mut large);
    for push in &mut small {
        still_waits(push);
    }
    drop(large);
    for push in &mut small {
        accepted(push);
    }
    assert_eq!(queue.counts("default")?.waiting_bytes, 6);
    Ok(())
}

/// A retry or a snooze is never refused: the job was accepted. Until there is room again nothing else is.
pub async fn a_retry_is_never_refused(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(2).capacity(1).retry(RetryPolicy::fixed(1, HOUR));
    let queue = rt.started(builder, |queue| {
        for (kind, snooze) in [("fails", false), ("snoozes", true)] {
            let (started, gate) = (started.clone(), gate.clone());
            queue.register(
                kind,
                handler(move |_| {
                    let (started, gate) = (started.clone(), gate.clone());
                    async move {
                        started.add(());
                        gate.pass().await;
                        if snooze { Ok(Outcome::snooze(HOUR)) } else { Err("no".into()) }
                    }
                }),
            );
        }
    });
    queue.push("fails", &()).await?;
    queue.push("snoozes", &()).await?;
    started.wait_for(2).await;
    queue.pause("default")?;
    let filler = queue.push("note", &()).await?;
    gate.open();
    rt.until(|| queue.inflight_count() == 0).await;
    assert_eq!((queue.pending_count(), queue.dead_letter_count()), (3, 0));
    let mut push = waiting(&queue, "note", "1");
    assert_eq!(queue.cancel(filler), CancelAnswer::Removed);
    still_waits(&mut push);
    let back = queue.shutdown(HOUR).await.handed_back;
    assert_eq!(back.iter().map(|back| back.attempts).collect::<Vec<_>>(), [1, 0]);
    Ok(())
}

/// A push from inside a handler does not wait for room in its own queue, where all workers may be waiting: it fails at
/// once, and with `?` the job is tried again when there is room.
pub async fn a_push_from_inside_a_handler_never_waits(rt: impl TestRuntime) -> TestResult {
    let (log, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(1).capacity(1).retry(RetryPolicy::fixed(1, Duration::ZERO));
    let queue = rt.started(builder, |queue| {
        let (note, pass) = (log.clone(), gate.clone());
        queue.register(
            "parent",
            handler(move |job: Job| {
                let (note, pass) = (note.clone(), pass.clone());
                async move {
                    note.add(format!("parent {}", job.attempt));
                    pass.pass().await;
                    let pushed = job.handle().push("child", &7).await;
                    note.add(match &pushed {
                        Ok(_) => "accepted".to_owned(),
                        Err(PushError::Full(job)) => format!("full, {} given back", job.kind()),
                        Err(error) => error.to_string(),
                    });
                    pushed?;
                    Ok(())
                }
            }),
        );
        for kind in ["filler", "child"] {
            let note = log.clone();
            queue.register(
                kind,
                handler(move |job: Job| {
                    note.add(job.name.to_string());
                    async { Ok(()) }
                }),
            );
        }
    });
    queue.push("parent", &()).await?;
    log.wait_for(1).await;
    queue.push("filler", &()).await?;
    gate.open();
    let expected = ["parent 0", "full, child given back", "filler", "parent 1", "accepted", "child"];
    assert_eq!(log.wait_for(6).await, expected);
    assert_eq!(queue.dead_letter_count(), 0);
    Ok(())
}

/// It waits neither for another full named queue of the same queue, nor in turn with others that wait from outside. In
/// the queue of somebody else it waits like anyone.
pub async fn a_handler_waits_for_room_only_in_another_queue(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let other = rt.build(rt.builder().workers(1).capacity(1));
    other.register("note", note(&log));
    let builder = rt.builder().workers(1).queue("full", QueueConfig::new().capacity(1));
    let answers = Log::new();
    let queue = rt.started(builder, |queue| {
        queue.pause("full").expect("it exists");
        let (answers, other) = (answers.clone(), other.handle());
        queue.register(
            "parent",
            handler(move |job: Job| {
                let (answers, other) = (answers.clone(), other.clone());
                async move {
                    let inside = job.handle().push("child", &()).queue("full").await;
                    answers.add(inside.is_err_and(|error| error.is_full()));
                    other.push("note", &2).await?;
                    answers.add(true);
                    Ok(())
                }
            }),
        );
    });
    other.push("note", &1).await?;
    queue.push("child", &()).queue("full").await?;
    let line = waiting_with(queue.push("child", &()).queue("full"));
    queue.push("parent", &()).await?;
    assert_eq!(answers.wait_for(1).await, [true]);
    rt.start(&other);
    assert_eq!(answers.wait_for(2).await, [true, true]);
    assert_eq!(log.wait_for(2).await, [1, 2]);
    drop(line);
    Ok(())
}

/// Shutdown sends the pushes that wait away, with their jobs; one that had room already, too.
pub async fn shutdown_gives_back_the_jobs_that_wait_for_room(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    let only = queue.push("note", &0).await?;
    let mut line = ["1", "2", "3"].map(|payload| waiting(&queue, "note", payload));
    assert_eq!(queue.cancel(only), CancelAnswer::Removed);
    assert!(line[0].wakes() > 0);
    let report = queue.shutdown(HOUR).await;
    assert!(report.is_clean(), "{report:?}");
    for (push, payload) in line.iter_mut().zip([b"1", b"2", b"3"]) {
        assert!(push.wakes() > 0, "it was not woken");
        let refused = push.ready().unwrap_err();
        assert!(refused.is_shut_down(), "{refused:?}");
        assert_eq!(refused.into_job().map(|job| job.payload().to_vec()), Some(payload.to_vec()));
    }
    assert!(queue.push("note", &4).await.is_err_and(|error| error.is_shut_down()));
    assert!(queue.try_push("note", &4).is_err_and(|error| error.is_shut_down()));
    Ok(())
}

/// So does the end of the last `Queue`, for who pushes through a handle.
pub async fn the_last_owner_gives_back_the_jobs_that_wait_for_room(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    let handle = queue.handle();
    handle.push("note", &0).await?;
    let mut push = waiting(&handle, "note", "1");
    drop(queue);
    assert!(push.wakes() > 0, "it was not woken");
    assert!(push.ready().is_err_and(|error| error.is_shut_down() && error.into_job().is_some()));
    Ok(())
}

/// Room is made when a job starts, is cancelled, or goes to the dead letters unseen, and not before. A dead letter takes
/// none, and needs some to come back.
pub async fn room_is_made_by_whatever_ends_the_wait(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(1).capacity(1));
    let (note, pass) = (started.clone(), gate.clone());
    queue.register(
        "block",
        handler(move |_| {
            let (note, pass) = (note.clone(), pass.clone());
            async move {
                note.add(());
                pass.pass().await;
                Ok(())
            }
        }),
    );
    rt.start(&queue);
    queue.push("block", &()).await?;
    started.wait_for(1).await;
    // It runs and waits no more: there is room for one, and only one.
    let unseen = queue.push("unknown", &()).await?;
    let mut push = waiting(&queue, "unknown", "2");
    assert_eq!(queue.cancel(unseen), CancelAnswer::Removed);
    let unseen = accepted(&mut push);
    let push = waiting(&queue, "block", "3");
    gate.open();
    push.await?;
    started.wait_for(2).await;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert_eq!(queue.dead_letter_count(), 1);

    queue.pause("default")?;
    let filler = queue.push("block", &()).await?;
    assert_eq!(queue.requeue(unseen), Err(RequeueError::Full(unseen)));
    assert_eq!(queue.dead_letter_count(), 1);
    assert_eq!(queue.cancel(filler), CancelAnswer::Removed);
    queue.requeue(unseen)?;
    assert!(queue.try_push("block", &()).is_err_and(|error| error.is_full()));
    Ok(())
}

/// A dead letter that comes back does not overtake the pushes that wait for room.
pub async fn a_requeued_dead_letter_does_not_overtake(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().defaults(QueueConfig::new().capacity_bytes(4)), |_| {});
    let dead = queue.push("unknown", &1).await?;
    rt.until(|| queue.dead_letter_count() == 1).await;
    queue.pause("default")?;
    let filler = queue.push("note", &22).await?;
    let mut push = waiting(&queue, "note", "333");
    assert_eq!(queue.requeue(dead), Err(RequeueError::Full(dead)), "one byte would fit, but others wait");
    assert_eq!(queue.cancel(filler), CancelAnswer::Removed);
    accepted(&mut push);
    queue.requeue(dead)?;
    Ok(())
}

/// What the queue says is pending is what waits, over all named queues, whatever happens.
pub async fn pending_count_adds_up(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(2).queue("a", QueueConfig::new()).queue("b", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        let (started, gate) = (started.clone(), gate.clone());
        queue.register(
            "work",
            handler(move |_| {
                let (started, gate) = (started.clone(), gate.clone());
                async move {
                    started.add(());
                    gate.pass().await;
                    Ok(())
                }
            }),
        );
    });
    for name in ["default", "a", "b"] {
        queue.push_many(jobs("work", 0..10).into_iter().map(|job| job.queue(name))).await?;
        queue.push_delayed("work", &(), HOUR).queue(name).await?;
    }
    started.wait_for(6).await;
    assert_eq!((queue.pending_count(), queue.inflight_count()), (3 * 9, 6));
    for name in ["default", "a", "b"] {
        let counts = queue.counts(name)?;
        assert_eq!((counts.ready, counts.delayed, counts.running), (8, 1, 2), "{name}");
    }
    gate.open();
    started.wait_for(30).await;
    rt.until(|| queue.inflight_count() == 0).await;
    assert_eq!(queue.pending_count(), 3);
    let report = queue.shutdown(HOUR).await;
    assert_eq!(report.handed_back.len(), 3);
    assert_eq!((queue.pending_count(), queue.inflight_count()), (0, 0));
    Ok(())
}
