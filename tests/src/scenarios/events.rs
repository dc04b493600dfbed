//! What subscribers are told, in which order, and that nobody waits for them.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use queue_core::{DeadReason, Event, Job, JobId, JobInfo, Outcome, QueueConfig, RetryPolicy, Subscription};

use super::script::{end_of, hanging, patient, poll_once, scripted};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// The event in a few words, if it is about a job.
fn tell(event: &Event) -> Option<(JobId, String)> {
    let about = |job: &JobInfo, what: &str| Some((job.id, format!("{what} {}", job.attempt)));
    match event {
        Event::Pushed(job) => about(job, "pushed"),
        Event::Started(job) => about(job, "started"),
        Event::Succeeded(job) => about(job, "succeeded"),
        Event::Retried { job, error, delay } => about(job, &format!("retried {error} {delay:?}")),
        Event::Snoozed { job, delay } => about(job, &format!("snoozed {delay:?}")),
        Event::Died { job, reason, error } => about(job, &format!("died {reason:?} {error}")),
        Event::Cancelled(job) => about(job, "cancelled"),
        Event::Interrupted(job) => about(job, "interrupted"),
        Event::HandedBack(job) => about(job, "handed back"),
        Event::Requeued(job) => about(job, "requeued"),
        Event::DeadLetterEvicted(job) => about(job, "evicted"),
        _ => None,
    }
}

/// Everything that is told of a job until `last`.
async fn story(events: &mut Subscription, id: JobId, last: &str) -> Vec<String> {
    let mut story = Vec::new();
    while let Some(event) = events.recv().await {
        story.extend(tell(&event).filter(|(about, _)| *about == id).map(|(_, what)| what));
        if story.last().is_some_and(|what| what == last) {
            break;
        }
    }
    story
}

/// What is told from now to the end, of any job.
async fn rest(events: &mut Subscription) -> Vec<(JobId, String)> {
    let mut rest = Vec::new();
    while let Some(event) = events.recv().await {
        rest.extend(tell(&event));
    }
    rest
}

/// The stories of jobs that end in each of the ways there are.
pub async fn every_way_has_its_story(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(2, Duration::from_millis(1))), |queue| {
        queue.register("done", handler(|_| async { Ok(()) }));
        let flaky = scripted(&Log::new(), |_, before| if before == 0 { Err("no".into()) } else { Ok(()) });
        queue.register("flaky", flaky);
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("discard", handler(|_| async { Ok(Outcome::discard("gone")) }));
        queue.register("cancel", handler(|_| async { Ok(Outcome::cancel("unwanted")) }));
        let sleepy = scripted(&Log::new(), |_, before| match before {
            0 => Ok(Outcome::snooze(Duration::ZERO)),
            1 => Ok(Outcome::retry_after(Duration::ZERO, "later")),
            2 => Ok(Outcome::snooze(Duration::from_millis(2))),
            _ => Ok(Outcome::Done),
        });
        queue.register("sleepy", sleepy);
    });
    let mut events = queue.subscribe(256);
    let stories: [(&str, &[&str]); 7] = [
        ("done", &["pushed 0", "started 0", "succeeded 0"]),
        ("flaky", &["pushed 0", "started 0", "retried no 1ms 0", "started 1", "succeeded 1"]),
        (
            "fail",
            &[
                "pushed 0",
                "started 0",
                "retried no 1ms 0",
                "started 1",
                "retried no 1ms 1",
                "started 2",
                "died RetriesExhausted no 2",
            ],
        ),
        ("discard", &["pushed 0", "started 0", "died Discarded gone 0"]),
        ("cancel", &["pushed 0", "started 0", "cancelled 0"]),
        (
            "sleepy",
            &[
                "pushed 0",
                "started 0",
                "snoozed 0ns 0",
                "started 0",
                "retried later 0ns 0",
                "started 1",
                "snoozed 2ms 1",
                "started 1",
                "succeeded 1",
            ],
        ),
        ("nobody", &["pushed 0", "started 0", "died NoHandler no handler is registered for \"nobody\" 0"]),
    ];
    for (kind, expected) in stories {
        let id = queue.push(kind, &()).await?;
        let last = expected.last().expect("every story has an end");
        assert_eq!(story(&mut events, id, last).await, expected, "{kind}");
    }
    Ok(())
}

/// A delayed job, one that is cancelled while it waits, one while it runs.
pub async fn cancellations_are_told(rt: impl TestRuntime) -> TestResult {
    let (gate, started) = (Gate::new(), Log::new());
    let queue =
        rt.started(rt.builder().workers(1), |queue| queue.register("patient", patient(&gate, &started)));
    let mut events = queue.subscribe(64);
    let running = queue.push("patient", &()).await?;
    started.wait_for(1).await;
    let waiting = queue.push("patient", &()).await?;
    let delayed = queue.push("patient", &()).delay(Duration::MAX).await?;
    for id in [waiting, delayed, running] {
        assert_ne!(queue.cancel(id), queue_core::CancelAnswer::NotFound);
    }
    // To be asked is not told; how it ends is.
    gate.open();
    queue.shutdown(Duration::from_secs(5)).await;
    let expected = [
        (running, "pushed 0"),
        (running, "started 0"),
        (waiting, "pushed 0"),
        (delayed, "pushed 0"),
        (waiting, "cancelled 0"),
        (delayed, "cancelled 0"),
        (running, "succeeded 0"),
    ];
    assert_eq!(rest(&mut events).await, expected.map(|(id, what)| (id, what.to_owned())));
    Ok(())
}

/// A dead letter that gets another life, and dies again.
pub async fn requeueing_is_told(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
    });
    let mut events = queue.subscribe(64);
    let id = queue.push("fail", &()).await?;
    story(&mut events, id, "died RetriesExhausted no 0").await;
    queue.requeue(id)?;
    let again = story(&mut events, id, "died RetriesExhausted no 0").await;
    assert_eq!(again, ["requeued 0", "started 0", "died RetriesExhausted no 0"]);
    Ok(())
}

/// Every job that shutdown gives back is told of, whether it was ready, delayed, waiting for a retry or running.
pub async fn what_is_handed_back_is_told(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.started(rt.builder().workers(1).retry(RetryPolicy::fixed(1, Duration::MAX)), |queue| {
        queue.register("hang", hanging(&started));
        queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
    });
    let retrying = queue.push("fail", &()).await?;
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.delayed == 1)).await;
    let delayed = queue.push("hang", &()).delay(Duration::MAX).await?;
    let running = queue.push("hang", &()).await?;
    started.wait_for(1).await;
    let ready = queue.push("hang", &()).await?;

    let mut events = queue.subscribe(64);
    let report = queue.shutdown(Duration::ZERO).await;
    let mut told = rest(&mut events).await;
    told.sort();
    let expected = [
        (retrying, "handed back 1"),
        (delayed, "handed back 0"),
        (running, "handed back 0"),
        (running, "interrupted 0"),
        (ready, "handed back 0"),
    ];
    assert_eq!(told, expected.map(|(id, what)| (id, what.to_owned())));
    let reported: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
    assert_eq!(reported, [retrying, delayed, running, ready]);
    Ok(())
}

/// A worker that goes away puts its job back, and the next one runs the same attempt.
pub async fn an_interruption_is_told(rt: impl TestRuntime) -> TestResult {
    let started = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("hang", hanging(&started));
    let mut events = queue.subscribe(64);
    let id = queue.push("hang", &()).await?;
    for attempt in 1..=2 {
        let mut workers = pin!(queue.run());
        while started.len() < attempt {
            assert!(poll_once(workers.as_mut()).await.is_pending());
        }
    }
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .map(|event| match event {
            Event::WorkerStarted { queue } => format!("worker started in {queue}"),
            Event::WorkerStopped { queue } => format!("worker stopped in {queue}"),
            event => tell(&event).filter(|(about, _)| *about == id).expect("there is one job").1,
        })
        .collect();
    let run = ["worker started in default", "started 0", "interrupted 0", "worker stopped in default"];
    let expected: Vec<_> = std::iter::once("pushed 0").chain(run).chain(run).collect();
    assert_eq!(told, expected);
    Ok(())
}

/// A subscriber that does not read loses the oldest events, and is told how many; the queue does not wait for it.
pub async fn a_slow_subscriber_misses_the_oldest(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("done", handler(|_| async { Ok(()) }));
    });
    let mut slow = queue.subscribe(4);
    let mut slowest = queue.subscribe(0);
    let mut quick = queue.subscribe(1024);
    assert_eq!(slow.missed(), 0);
    let mut last = JobId::new(0);
    for _ in 0..50 {
        last = queue.push("done", &()).await?;
    }
    end_of(&mut quick, last).await;
    assert_eq!((quick.missed(), slow.missed(), slowest.missed()), (0, 146, 149));

    let left: Vec<_> = std::iter::from_fn(|| slow.try_recv()).collect();
    assert_eq!(left.len(), 4);
    assert_eq!(tell(&left[3]), Some((last, "succeeded 0".to_owned())));
    assert_eq!(slowest.try_recv().as_ref(), left.last());
    assert_eq!((slowest.try_recv(), slow.missed()), (None, 146));

    // With room again, nothing is missed.
    let next = queue.push("done", &()).await?;
    assert_eq!(story(&mut slow, next, "succeeded 0").await, ["pushed 0", "started 0", "succeeded 0"]);
    assert_eq!(slow.missed(), 146);
    Ok(())
}

/// A subscriber is told what happens from when it subscribed on, and each of them everything.
pub async fn a_subscription_begins_when_it_is_made(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder());
    queue.register("done", handler(|_| async { Ok(()) }));
    queue.push("done", &()).await?;
    let mut first = queue.subscribe(64);
    let pushed = queue.push("done", &()).await?;
    let mut second = queue.subscribe(64);
    assert_eq!(first.try_recv().as_ref().and_then(tell), Some((pushed, "pushed 0".to_owned())));
    assert_eq!((first.try_recv(), second.try_recv()), (None, None));
    rt.start(&queue);
    queue.shutdown(Duration::from_secs(5)).await;
    let (first, second) = (rest(&mut first).await, rest(&mut second).await);
    assert_eq!(first.len(), 4);
    assert_eq!(first, second);
    Ok(())
}

/// After shutdown what is left can be read, then there is nothing, for good.
pub async fn a_subscription_ends_with_the_queue(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| queue.register("done", handler(|_| async { Ok(()) })));
    let mut events = queue.subscribe(64);
    let id = queue.push("done", &()).await?;
    queue.shutdown(Duration::from_secs(5)).await;
    let late_subscriber = &mut queue.subscribe(16);
    assert_eq!(
        rest(&mut events).await,
        ["pushed 0", "started 0", "succeeded 0"].map(|what| (id, what.to_owned()))
    );
    assert_eq!(late_subscriber.recv().await, None);
    // The workers have left by now, and no one is told any more.
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    assert_eq!((events.recv().await, events.try_recv(), late_subscriber.try_recv()), (None, None, None));
    Ok(())
}

/// When the last owner goes, subscribers learn that nothing more will come.
pub async fn a_subscription_ends_with_the_last_owner(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |queue| queue.register("done", handler(|_| async { Ok(()) })));
    let mut events = queue.subscribe(64);
    let mut waiting = Box::pin(events.recv());
    assert_eq!(poll_once(waiting.as_mut()).await, Poll::Pending);
    drop(queue);
    // Workers that leave at once may still be told of.
    let mut told = waiting.as_mut().await;
    drop(waiting);
    while let Some(event) = told {
        assert!(matches!(event, Event::WorkerStopped { .. }), "{event:?}");
        told = events.recv().await;
    }
    Ok(())
}

/// Waiting for an event can be given up without losing one.
pub async fn a_wait_that_is_given_up_loses_nothing(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder());
    let mut events = queue.subscribe(64);
    for _ in 0..3 {
        assert_eq!(poll_once(pin!(events.recv())).await, Poll::Pending);
    }
    let mut waiting = Box::pin(events.recv());
    assert_eq!(poll_once(waiting.as_mut()).await, Poll::Pending);
    let id = queue.push("job", &()).await?;
    drop(waiting);
    assert_eq!(events.recv().await.as_ref().and_then(tell), Some((id, "pushed 0".to_owned())));
    Ok(())
}

/// One who no longer listens disturbs nobody.
pub async fn a_dropped_subscriber_is_forgotten(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder());
    let mut kept = queue.subscribe(8);
    for _ in 0..1000 {
        let mut dropped = queue.subscribe(8);
        assert_eq!(poll_once(pin!(dropped.recv())).await, Poll::Pending);
    }
    let id = queue.push("job", &()).await?;
    assert_eq!(kept.recv().await.as_ref().and_then(tell), Some((id, "pushed 0".to_owned())));
    drop(kept);
    queue.push("job", &()).await?;
    Ok(())
}

/// Events say which named queue and kind they are about, and all named queues tell the same subscriber.
pub async fn every_named_queue_is_told_of(rt: impl TestRuntime) -> TestResult {
    let builder = rt
        .builder()
        .queue("mail", QueueConfig::new().workers(1).kinds(["letter"]))
        .queue("hook", QueueConfig::new().workers(2).kinds(["ping"]));
    let queue = rt.build(builder.workers(3));
    for kind in ["letter", "ping", "other"] {
        queue.register(kind, handler(|_: Job| async { Err::<(), _>("no".into()) }));
    }
    let mut events = queue.subscribe(64);
    rt.start(&queue);
    let mut workers: Vec<_> = std::iter::from_fn(|| events.try_recv())
        .map(|event| match event {
            Event::WorkerStarted { queue } => queue.to_string(),
            event => panic!("{event:?}"),
        })
        .collect();
    workers.sort();
    assert_eq!(workers, ["default", "default", "default", "hook", "hook", "mail"]);

    for (kind, home) in [("letter", "mail"), ("ping", "hook"), ("other", "default")] {
        let id = queue.push(kind, &()).await?;
        for step in 0..3 {
            let event = events.recv().await.expect("the queue is open");
            let job = match (step, event) {
                (0, Event::Pushed(job))
                | (1, Event::Started(job))
                | (2, Event::Died { job, reason: DeadReason::RetriesExhausted, .. }) => job,
                (step, event) => panic!("{event:?} in step {step}"),
            };
            assert_eq!((job.id, &job.kind[..], &job.queue[..], job.attempt), (id, kind, home, 0));
        }
    }
    Ok(())
}
