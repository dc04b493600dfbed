//! Many jobs in one push.

use std::collections::HashMap;
use std::time::Duration;

use queue_core::{CancelAnswer, Job, JobId, NewJob, Priority, PushManyError, QueueConfig};

use super::by_hand::{ByHand, jobs, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

const HOUR: Duration = Duration::from_hours(1);

fn payloads(jobs: &[NewJob]) -> Vec<&str> {
    jobs.iter().map(|job| std::str::from_utf8(job.payload()).expect("it is JSON")).collect()
}

/// The numbers come back in the order of the jobs, however these are mixed over the named queues, and each names the job
/// that it was given for.
pub async fn numbers_come_back_in_the_order_of_the_jobs(rt: impl TestRuntime) -> TestResult {
    let log = Log::<(JobId, u32, String)>::new();
    let names = ["default", "a", "b"];
    let builder = rt.builder().queue("a", QueueConfig::new()).queue("b", QueueConfig::new().kinds(["b"]));
    let queue = rt.started(builder, |queue| {
        for kind in ["note", "b"] {
            let note = log.clone();
            queue.register(
                kind,
                handler(move |job: Job| {
                    let note = note.clone();
                    async move {
                        note.add((job.id, job.deserialize()?, job.queue_name().to_string()));
                        Ok(())
                    }
                }),
            );
        }
    });
    let home = |n: u32| names[n as usize * 7 % 3];
    let new = (0..600).map(|n| match home(n) {
        "default" => jobs("note", [n]).remove(0),
        "a" => jobs("note", [n]).remove(0).queue("a"),
        _ => jobs("b", [n]).remove(0),
    });
    let ids = queue.push_many(new).await?;
    assert_eq!(ids.len(), 600);
    for name in names {
        let there = (0..).zip(&ids).filter(|(n, _)| home(*n) == name);
        assert!(
            there.map(|(_, id)| id).is_sorted_by(|a, b| a < b),
            "{name}: numbers grow within a named queue"
        );
    }
    let seen = log.wait_for(600).await;
    let seen: HashMap<_, _> = seen.into_iter().map(|(id, n, name)| (id, (n, name))).collect();
    for (n, id) in (0..).zip(ids) {
        assert_eq!(seen.get(&id), Some(&(n, home(n).to_owned())));
    }
    Ok(())
}

/// Every job of a batch keeps options of its own.
pub async fn the_jobs_of_a_batch_keep_their_options(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("note", note(&log));
    queue.register("hangs", handler(|_| std::future::pending::<Result<(), _>>()));
    queue
        .push_many([
            NewJob::json("note", &3)?.priority(Priority::LOWEST),
            NewJob::json("note", &4)?.delay(HOUR),
            NewJob::json("hangs", &0)?.timeout(Duration::from_millis(1)).priority(Priority::HIGHEST),
            NewJob::json("note", &2)?,
            NewJob::json("note", &1)?.priority(Priority::HIGH),
        ])
        .await?;
    rt.start(&queue);
    assert_eq!(log.wait_for(3).await, [1, 2, 3]);
    assert_eq!((queue.pending_count(), queue.dead_letter_count()), (1, 1));
    Ok(())
}

/// One push of many jobs sets as many workers to work as there are.
pub async fn a_batch_wakes_as_many_workers_as_it_needs(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(8), |queue| {
        let (started, gate) = (started.clone(), gate.clone());
        queue.register(
            "wait",
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
    // Let them all fall asleep.
    rt.sleep(Duration::from_millis(2)).await;
    queue.push_many(jobs("wait", 0..8)).await?;
    started.wait_for(8).await;
    assert_eq!(queue.inflight_count(), 8);
    gate.open();
    Ok(())
}

/// A batch larger than the queue waits for room as often as it must, and is accepted whole and in order.
pub async fn a_batch_larger_than_the_capacity_gets_in(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let builder = rt.builder().workers(1).capacity(7).queue("other", QueueConfig::new().capacity(1));
    let queue = rt.started(builder, |queue| queue.register("note", note(&log)));
    let ids = queue.push_many(jobs("note", 0..1000)).await?;
    assert_eq!(ids.len(), 1000);
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(log.wait_for(1000).await, (0..1000).collect::<Vec<_>>());

    let mixed = jobs("note", 0..100).into_iter().zip(jobs("note", 100..200));
    let ids = queue.push_many(mixed.flat_map(|(job, other)| [job, other.queue("other")])).await?;
    assert_eq!(ids.len(), 200);
    let mut seen = log.wait_for(1200).await.split_off(1000);
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    Ok(())
}

/// `try_push_many` accepts the first ones that there is room for and gives back the rest, in order, to be pushed again.
pub async fn a_partly_refused_batch_says_what_was_accepted(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1).capacity(3));
    queue.register("note", note(&log));
    let error = queue.try_push_many(jobs("note", 1..=5)).unwrap_err();
    assert!(error.is_full() && !error.is_shut_down(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "2 of 5 jobs were not accepted: the queue is full; await `push_many` or try again later"
    );
    assert_eq!(queue.pending_count(), 3);
    let accepted = error.accepted().to_vec();
    assert!(accepted.len() == 3 && accepted.is_sorted_by(|a, b| a < b));
    assert_eq!(payloads(error.refused()), ["4", "5"]);
    let again = queue.try_push_many(error.into_refused()).unwrap_err();
    assert!(again.accepted().is_empty());
    assert_eq!(payloads(again.refused()), ["4", "5"]);

    assert_eq!(queue.cancel(accepted[1]), CancelAnswer::Removed);
    let again = queue.try_push_many(again.into_refused()).unwrap_err();
    assert_eq!((again.accepted().len(), payloads(again.refused())), (1, vec!["5"]));
    rt.start(&queue);
    queue.push_many(again.into_refused()).await?;
    assert_eq!(log.wait_for(4).await, [1, 3, 4, 5]);
    Ok(())
}

/// Bytes bound a batch as jobs do.
pub async fn a_batch_is_bounded_by_bytes(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().defaults(QueueConfig::new().capacity_bytes(10)));
    let raw = |bytes: usize| NewJob::raw("note", vec![b'x'; bytes]);
    let error = queue.try_push_many([raw(4), raw(0), raw(5), raw(2), raw(1)]).unwrap_err();
    assert!(error.is_full());
    let left: Vec<_> = error.refused().iter().map(|job| job.payload().len()).collect();
    assert_eq!((error.accepted().len(), left), (3, vec![2, 1]), "in order, though the last would fit");
    queue.push_many([raw(1)]).await?;
    assert_eq!(queue.counts("default")?.waiting_bytes, 10);
    Ok(())
}

/// A full named queue keeps only its own jobs of a batch waiting; dropped, the batch leaves every line it stands in.
pub async fn a_full_queue_does_not_hold_up_the_rest_of_a_batch(rt: impl TestRuntime) -> TestResult {
    let one = QueueConfig::new().capacity(1);
    let queue = rt.build(rt.builder().queue("a", one.clone()).queue("b", one).queue("c", QueueConfig::new()));
    let names = ["a", "c", "b", "c", "a", "b", "default"];
    let batch = || jobs("note", 0..7).into_iter().zip(names).map(|(job, name)| job.queue(name));
    let error = queue.try_push_many(batch()).unwrap_err();
    assert!(error.is_full());
    assert_eq!((error.accepted().len(), payloads(error.refused())), (5, vec!["4", "5"]));
    let ready = |name: &str| queue.counts(name).map(|counts| counts.ready);
    assert_eq!([ready("a")?, ready("b")?, ready("c")?, ready("default")?], [1, 1, 2, 1]);

    // Room in either queue is used, whichever comes first.
    let mut batch = ByHand::new(queue.push_many(batch()));
    assert!(batch.poll().is_pending());
    assert_eq!([ready("a")?, ready("b")?, ready("c")?, ready("default")?], [1, 1, 4, 2]);
    let mut behind = ByHand::new(queue.push("note", &9).queue("a"));
    assert!(behind.poll().is_pending());
    assert_eq!(queue.cancel(error.accepted()[2]), CancelAnswer::Removed);
    assert!(batch.wakes() > 0);
    assert!(batch.poll().is_pending());
    assert_eq!(ready("b")?, 1);
    drop(batch);
    assert_eq!(queue.cancel(error.accepted()[0]), CancelAnswer::Removed);
    behind.await?;
    Ok(())
}

fn assert_refused_whole(error: PushManyError, all: &[&str], message: &str) {
    assert!(error.accepted().is_empty(), "{error:?}");
    assert!(!error.is_full() && !error.is_shut_down(), "{error:?}");
    assert_eq!(payloads(error.refused()), all);
    assert_eq!(error.to_string(), message);
    assert_eq!(payloads(&error.into_refused()), all);
}

/// A job that can never be accepted is found before anything is, and named.
pub async fn a_batch_with_an_impossible_job_is_refused_whole(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().queue("small", QueueConfig::new().capacity_bytes(3));
    let queue = rt.build(builder);
    let json = |text: &str, to: &'static str| NewJob::raw("note", text).queue(to);
    let unknown =
        || vec![json("1", "default"), json("2", "small"), json("3", "nowhere"), json("4444", "elsewhere")];
    let all = ["1", "2", "3", "4444"];
    let message =
        "4 of 4 jobs were not accepted: there is no queue named \"nowhere\"; add it with `builder.queue(..)`";
    assert_refused_whole(queue.try_push_many(unknown()).unwrap_err(), &all, message);
    assert_refused_whole(queue.push_many(unknown()).await.unwrap_err(), &all, message);

    let too_large =
        || vec![json("1", "small"), json("22222", "default"), json("3333", "small"), json("4", "small")];
    let all = ["1", "22222", "3333", "4"];
    let message = "4 of 4 jobs were not accepted: a payload of 4 bytes is larger than `capacity_bytes`";
    assert_refused_whole(queue.try_push_many(too_large()).unwrap_err(), &all, message);
    assert_refused_whole(queue.push_many(too_large()).await.unwrap_err(), &all, message);
    assert_eq!(queue.pending_count(), 0);
    Ok(())
}

/// A batch of nothing is accepted, whatever the queue is doing.
pub async fn an_empty_batch_is_accepted(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    assert_eq!(queue.push_many([]).await?, []);
    queue.push("note", &1).await?;
    assert_eq!(queue.push_many([]).await?, []);
    assert_eq!(queue.try_push_many([])?, []);
    queue.shutdown(HOUR).await;
    assert_eq!(queue.push_many([]).await?, []);
    Ok(())
}

/// A batch that is dropped half-way keeps what was accepted and gives up its place in line, or the room it was given.
pub async fn a_batch_dropped_half_way_keeps_what_was_accepted(rt: impl TestRuntime) -> TestResult {
    for room_was_granted in [false, true] {
        let queue = rt.build(rt.builder().capacity(3));
        let mut batch = ByHand::new(queue.push_many(jobs("note", 0..5)));
        assert!(batch.poll().is_pending());
        assert_eq!(queue.pending_count(), 3);
        let mut next = ByHand::new(queue.push("note", &9));
        assert!(next.poll().is_pending());
        if room_was_granted {
            assert_eq!(queue.cancel(JobId::new(1)), CancelAnswer::Removed);
            assert!(batch.wakes() > 0);
            assert_eq!(next.wakes(), 0);
            drop(batch);
        } else {
            drop(batch);
            assert_eq!(queue.cancel(JobId::new(1)), CancelAnswer::Removed);
        }
        assert!(next.wakes() > 0);
        next.ready()?;
        assert_eq!(queue.pending_count(), 3);
        let back = queue.shutdown(HOUR).await.handed_back;
        let back: Vec<_> = back.into_iter().map(|back| back.job).collect();
        assert_eq!(payloads(&back), ["1", "2", "9"]);
    }
    Ok(())
}

/// A batch waits in line like single pushes: who came first goes first, and who came later gets a turn between its jobs.
pub async fn a_batch_waits_in_turn_with_others(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(1));
    let make_room = |id: u64| assert_eq!(queue.cancel(JobId::new(id)), CancelAnswer::Removed);
    queue.push("note", &0).await?;
    let mut batch = ByHand::new(queue.push_many(jobs("note", 1..=2)));
    let mut single = ByHand::new(queue.push("note", &9));
    assert!(batch.poll().is_pending() && single.poll().is_pending());
    make_room(1);
    assert!(batch.wakes() > 0 && single.wakes() == 0);
    assert!(batch.poll().is_pending(), "its second job goes to the back of the line");
    make_room(2);
    assert!(batch.wakes() == 0 && single.wakes() > 0);
    assert_eq!(single.ready()?, JobId::new(3));
    make_room(3);
    assert_eq!(batch.ready()?, [2, 4].map(JobId::new));
    Ok(())
}

/// Shutdown sends a waiting batch away with what was not accepted; the rest it hands back, or runs.
pub async fn shutdown_half_way_through_a_batch_loses_nothing(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder().capacity(3));
    let mut batch = ByHand::new(queue.push_many(jobs("note", 0..5)));
    assert!(batch.poll().is_pending());
    let report = queue.shutdown(HOUR).await;
    assert!(batch.wakes() > 0);
    let error = batch.ready().unwrap_err();
    assert!(error.is_shut_down() && !error.is_full(), "{error:?}");
    assert_eq!(error.to_string(), "2 of 5 jobs were not accepted: the queue is shut down");
    assert_eq!(payloads(error.refused()), ["3", "4"]);
    let back: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
    assert_eq!(error.accepted(), back);
    let error = queue.push_many(error.into_refused()).await.unwrap_err();
    assert!(error.is_shut_down());
    assert_eq!((error.accepted().len(), payloads(error.refused())), (0, vec!["3", "4"]));
    Ok(())
}

/// From inside a handler a batch does not wait: what there is room for is accepted, and the rest given back at once.
pub async fn a_batch_from_inside_a_handler_never_waits(rt: impl TestRuntime) -> TestResult {
    let (answers, children) = (Log::new(), Log::<u32>::new());
    let queue = rt.started(rt.builder().workers(1).capacity(3), |queue| {
        queue.register("child", note(&children));
        let answers = answers.clone();
        queue.register(
            "parent",
            handler(move |job: Job| {
                let answers = answers.clone();
                async move {
                    let error = job.handle().push_many(jobs("child", 1..=5)).await.unwrap_err();
                    let left: Vec<_> = payloads(error.refused()).into_iter().map(str::to_owned).collect();
                    answers.add((error.is_full(), error.accepted().len(), left));
                    Ok(())
                }
            }),
        );
    });
    queue.push("parent", &()).await?;
    assert_eq!(answers.wait_for(1).await, [(true, 3, vec!["4".to_owned(), "5".to_owned()])]);
    assert_eq!(children.wait_for(3).await, [1, 2, 3]);
    Ok(())
}
