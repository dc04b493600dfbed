//! Who starts first.

use std::time::Duration;

use queue_core::{Event, Job, NewJob, Outcome, Priority, Queue, RetryPolicy};

use super::by_hand::{ByHand, HandClock, jobs, note, yield_now};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// Jobs that are ready start in push order: pushed before the start and after it, one by one, in batches, and mixed.
pub async fn ready_jobs_start_in_push_order(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("note", note(&log));
    for n in 0..1000 {
        queue.push("note", &n).await?;
    }
    rt.start(&queue);
    for n in 1000..2000 {
        queue.push("note", &n).await?;
    }
    queue.push_many(jobs("note", 2000..3000)).await?;
    for n in (3000..5000).step_by(10) {
        queue.push("note", &n).await?;
        queue.push_many(jobs("note", n + 1..n + 10)).await?;
    }
    assert_eq!(log.wait_for(5000).await, (0..5000).collect::<Vec<u32>>());
    Ok(())
}

/// Several workers start jobs in push order, too, whatever the order in which these end.
pub async fn several_workers_start_jobs_in_push_order(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder().workers(8), |queue| {
        let log = log.clone();
        queue.register(
            "note",
            handler(move |job: Job| {
                let log = log.clone();
                async move {
                    for _ in 0..job.id.as_u64() % 5 {
                        yield_now().await;
                    }
                    log.add(job.id);
                    Ok(())
                }
            }),
        );
    });
    let mut events = queue.subscribe(10_000);
    let mut ids = Vec::new();
    for n in (0..2000).step_by(20) {
        ids.extend(queue.push_many(jobs("note", n..n + 20)).await?);
    }
    log.wait_for(2000).await;
    assert!(queue.shutdown(Duration::from_secs(30)).await.is_clean());
    let mut started = Vec::new();
    while let Some(event) = events.recv().await {
        if let Event::Started(job) = event {
            started.push(job.id);
        }
    }
    assert_eq!((started, events.missed()), (ids, 0));
    Ok(())
}

/// The most urgent job starts first, and those of one priority in push order.
pub async fn urgent_jobs_start_first_and_in_push_order(rt: impl TestRuntime) -> TestResult {
    let log = Log::<(u8, u8)>::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("note", note(&log));
    let mut expected = Vec::new();
    for n in 0..30u8 {
        let level = n * 7 % 10;
        let priority = Priority::new(level).expect("0 to 9");
        queue.push("note", &(level, n)).priority(priority).await?;
        expected.push((level, n));
    }
    expected.sort_unstable();
    rt.start(&queue);
    assert_eq!(log.wait_for(30).await, expected);
    Ok(())
}

/// A flood of urgent jobs passes every other priority over 32 times in a row and not once more.
pub async fn no_priority_starves(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u8>::new();
    let queue = rt.build(rt.builder().workers(1));
    // As soon as an urgent job starts there is the next, for as long as anything else waits.
    let note = log.clone();
    queue.register(
        "urgent",
        handler(move |job: Job| {
            note.add(0);
            async move {
                if job.handle().pending_count() > 0 {
                    job.handle().push("urgent", &()).priority(Priority::HIGHEST).await?;
                }
                Ok(())
            }
        }),
    );
    let note = log.clone();
    queue.register(
        "other",
        handler(move |job: Job| {
            note.add(job.priority().level());
            async { Ok(()) }
        }),
    );
    for level in [9, 5, 1, 9] {
        queue.push("other", &()).priority(Priority::new(level).expect("0 to 9")).await?;
    }
    queue.push("urgent", &()).priority(Priority::HIGHEST).await?;
    rt.start(&queue);
    // The three turns come one after the other; for the second job of priority 9, two of them count as passes.
    let expected = [&[0; 32][..], &[9, 5, 1], &[0; 30], &[9], &[0]].concat();
    assert_eq!(log.wait_for(expected.len()).await, expected);
    Ok(())
}

/// What a worker that goes away was running starts again before everything else, with the same attempt number and in
/// push order, whatever the order in which the workers go.
pub async fn interrupted_jobs_keep_their_place(rt: impl TestRuntime) -> TestResult {
    let (log, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(4));
    let (note, pass) = (log.clone(), gate.clone());
    queue.register(
        "note",
        handler(move |job: Job| {
            let (note, pass) = (note.clone(), pass.clone());
            async move {
                let n: u32 = job.deserialize()?;
                note.add((n, job.attempt));
                pass.pass().await;
                Ok(())
            }
        }),
    );
    queue.push_many(jobs("note", 0..8)).await?;
    let running: Vec<_> = (0..4).map(|n| (n, 0)).collect();
    for life in 1..=3 {
        let mut workers = ByHand::new(queue.run());
        workers.settle();
        assert_eq!(queue.inflight_count(), 4);
        drop(workers);
        assert_eq!((queue.inflight_count(), queue.pending_count()), (0, 8));
        assert_eq!(log.entries(), running.repeat(life));
    }
    gate.open();
    let mut workers = ByHand::new(queue.run());
    workers.settle();
    let all: Vec<_> = (0..8).map(|n| (n, 0)).collect();
    assert_eq!(log.entries()[12..], all);
    assert_eq!(queue.pending_count() + queue.inflight_count(), 0);
    Ok(())
}

/// After a worker was dropped, workers that are started in its place find its job at the front.
pub async fn a_restart_begins_with_the_interrupted_job(rt: impl TestRuntime) -> TestResult {
    let (log, gate) = (Log::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(1));
    let (note, pass) = (log.clone(), gate.clone());
    queue.register(
        "note",
        handler(move |job: Job| {
            let (note, pass) = (note.clone(), pass.clone());
            async move {
                note.add(job.deserialize::<u32>()?);
                pass.pass().await;
                Ok(())
            }
        }),
    );
    queue.push_many(jobs("note", 0..3)).await?;
    let mut worker = ByHand::new(queue.run());
    worker.settle();
    assert_eq!(log.entries(), [0]);
    drop(worker);
    gate.open();
    rt.start(&queue);
    assert_eq!(log.wait_for(4).await, [0, 0, 1, 2]);
    Ok(())
}

/// Jobs with the same deadline start in push order, and those with an earlier one before them.
pub async fn equal_deadlines_start_in_push_order(rt: impl TestRuntime) -> TestResult {
    let (log, clock) = (Log::<u32>::new(), HandClock::at(rt.now()));
    let queue = Queue::builder_on(clock.clone()).workers(1).build();
    queue.register("note", note(&log));
    let (late, early) = (Duration::from_millis(700), Duration::from_millis(20));
    for n in 0..1000 {
        queue.push_delayed("note", &n, late).await?;
    }
    queue.push_many(jobs("note", 1000..2000).into_iter().map(|job| job.delay(late))).await?;
    queue.push_many(jobs("note", 2000..2500).into_iter().map(|job| job.delay(early))).await?;
    let mut workers = ByHand::new(queue.run());
    workers.settle();
    assert!(log.is_empty());
    clock.advance(Duration::from_secs(1));
    workers.settle();
    assert_eq!(log.entries(), (2000..2500).chain(0..2000).collect::<Vec<u32>>());
    Ok(())
}

/// A delayed job takes its place at the back when its time comes, not when it is pushed.
pub async fn a_delayed_job_joins_the_back_when_it_is_released(rt: impl TestRuntime) -> TestResult {
    let (log, clock) = (Log::<String>::new(), HandClock::at(rt.now()));
    let queue = Queue::builder_on(clock.clone()).workers(1).build();
    queue.register("note", note(&log));
    let gate = Gate::new();
    let pass = gate.clone();
    queue.register(
        "block",
        handler(move |_| {
            let pass = pass.clone();
            async move {
                pass.pass().await;
                Ok(())
            }
        }),
    );
    let mut workers = ByHand::new(queue.run());
    queue.push("block", &()).await?;
    queue.push_delayed("note", "delayed", Duration::from_millis(2)).await?;
    queue.push("note", "before the release").await?;
    workers.settle();
    clock.advance(Duration::from_millis(4));
    workers.settle();
    assert_eq!(queue.counts("default")?.ready, 2);
    queue.push("note", "after the release").await?;
    gate.open();
    workers.settle();
    assert_eq!(log.entries(), ["before the release", "delayed", "after the release"]);
    Ok(())
}

/// A retry without a delay goes to the back of the line, and so does a snooze.
pub async fn an_immediate_retry_or_snooze_goes_to_the_back(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(1, Duration::ZERO)));
    let note = log.clone();
    queue.register(
        "note",
        handler(move |job: Job| {
            let note = note.clone();
            async move {
                let what: String = job.deserialize()?;
                let seen_before = note.entries().contains(&(what.clone(), job.attempt));
                note.add((what.clone(), job.attempt));
                match &*what {
                    "fails" if job.attempt == 0 => Err("not yet".into()),
                    "snoozes" if !seen_before => Ok(Outcome::snooze(Duration::ZERO)),
                    _ => Ok(Outcome::Done),
                }
            }
        }),
    );
    queue.push_many(jobs("note", ["fails", "snoozes", "works", "works too"])).await?;
    rt.start(&queue);
    let expected =
        [("fails", 0), ("snoozes", 0), ("works", 0), ("works too", 0), ("fails", 1), ("snoozes", 0)];
    let expected: Vec<_> = expected.iter().map(|(what, attempt)| ((*what).to_owned(), *attempt)).collect();
    assert_eq!(log.wait_for(6).await, expected);
    Ok(())
}

/// Cancelling jobs anywhere in the line leaves the order of the others alone.
pub async fn the_others_keep_their_order_when_jobs_are_cancelled(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("note", note(&log));
    let ids = queue.push_many((0..100u32).map(|n| NewJob::raw("note", n.to_string()))).await?;
    let is_cancelled = |n: u32| n == 0 || n == 99 || n % 3 == 1;
    for (n, id) in (0..).zip(&ids).filter(|(n, _)| is_cancelled(*n)) {
        assert_eq!(queue.cancel(*id), queue_core::CancelAnswer::Removed, "job {n}");
    }
    rt.start(&queue);
    let expected: Vec<_> = (0..100).filter(|n| !is_cancelled(*n)).collect();
    assert_eq!(log.wait_for(expected.len()).await, expected);
    Ok(())
}
