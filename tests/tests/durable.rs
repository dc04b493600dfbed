//! What a durable store adds: jobs are still there after a restart, and a store may fail.
#![cfg(feature = "sim")]

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use futures_lite::future::yield_now;
use queue_sim::{
    CancelAnswer, Chaos, DeadReason, Disk, Event, Health, Job, JobId, NewJob, Priority, PushError, Queue,
    QueueConfig, RetryPolicy, Sim, StoreFault, Timer as _, World,
};
use queue_tests::{Gate, Log};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// What ran: its payload, its number and its attempt.
type Ran = Log<(String, u64, u32)>;

/// A process with a queue on the disk. Its jobs of the kind `work` are noted down, and fail if their payload begins with
/// "bad".
fn open(disk: &Disk) -> (Queue, Ran) {
    let store = disk.open().expect("the process before it is over");
    let queue = Queue::builder().workers(1).retry(RetryPolicy::fixed(1, SECOND)).store(store).build();
    let ran = Ran::default();
    let notes = ran.clone();
    queue.register("work", move |job: Job| {
        let notes = notes.clone();
        async move {
            let text: String = job.deserialize()?;
            notes.add((text.clone(), job.id.as_u64(), job.attempt));
            if text.starts_with("bad") { Err("it is bad".into()) } else { Ok(()) }
        }
    });
    (queue, ran)
}

/// Runs a process that is killed at its end.
fn killed<F>(disk: &Disk, seed: u64, process: impl FnOnce(World, Queue, Ran) -> F)
where
    F: Future<Output = ()>,
{
    Sim::new(seed).run(|sim| async move {
        let (queue, ran) = open(disk);
        process(sim.clone(), queue, ran).await;
        disk.crash();
        sim.kill();
    });
}

#[test]
fn a_crash_keeps_everything() {
    let disk = Disk::new();
    killed(&disk, 1, |sim, queue, _| async move {
        queue.start();
        queue.push("work", &"bad: dies").await.unwrap();
        sim.advance(2 * SECOND).await;
        queue.push("work", &"bad: retries").await.unwrap();
        sim.settle().await;
        sim.advance(SECOND / 10).await;
        queue.pause("default").unwrap();
        queue.push("work", &"usual").await.unwrap();
        queue.push("work", &"urgent").priority(Priority::HIGHEST).await.unwrap();
        queue.push("work", &"later").delay(HOUR).await.unwrap();
        queue.push("work", &"bad: once").retry(RetryPolicy::None).await.unwrap();
    });
    killed(&disk, 2, |sim, queue, ran| async move {
        let counts = queue.counts("default").unwrap();
        assert_eq!((counts.ready, counts.delayed, counts.dead), (3, 2, 1));
        let dead = queue.dead_letters();
        assert_eq!(
            (dead[0].attempts, dead[0].reason, &*dead[0].error),
            (2, DeadReason::RetriesExhausted, "it is bad")
        );
        assert_eq!(dead[0].history.iter().map(|failed| failed.attempt).collect::<Vec<_>>(), [0, 1]);

        queue.start();
        sim.advance(2 * SECOND).await;
        let line = |text: &str, id, attempt| (text.to_owned(), id, attempt);
        assert_eq!(
            ran.entries(),
            [line("urgent", 4, 0), line("usual", 3, 0), line("bad: once", 6, 0), line("bad: retries", 2, 1)]
        );
        assert_eq!(queue.push("work", &"new").await.unwrap(), JobId::new(7), "numbers go on");
        assert_eq!(queue.dead_letters().len(), 3);
        sim.advance(HOUR).await;
        assert_eq!(ran.entries().last(), Some(&line("later", 5, 0)));
    });
    assert!(disk.jobs().is_empty(), "what is done does not come back");
    assert_eq!(disk.dead_letters().len(), 3);
}

#[test]
fn a_shutdown_keeps_what_is_left() {
    let disk = Disk::new();
    Sim::new(1).run(|sim| {
        let disk = disk.clone();
        async move {
            let (queue, ran) = open(&disk);
            queue.start();
            queue.push("work", &"done").await.unwrap();
            queue.push("work", &"later").delay(HOUR).await.unwrap();
            queue.push("work", &"bad").await.unwrap();
            let report = queue.shutdown(Duration::from_millis(100)).await;
            assert_eq!((report.kept, report.handed_back.len()), (2, 0));
            assert!(!report.is_clean());
            assert_eq!(ran.len(), 2);
            // It is closed: the next process may open it at once, and nothing of this one is written any more.
            let error = queue.try_push("work", &"too late").unwrap_err();
            assert!(error.is_shut_down());
            sim.settle().await;
            drop(disk.open().expect("it is closed"));
        }
    });
    assert_eq!(disk.jobs(), [JobId::new(2), JobId::new(3)]);
}

/// A handler that waits for the shutdown of its own queue is not waited for. When it fails after the report, its job is
/// retried all the same: by the next process.
#[test]
fn a_failure_after_the_report_is_retried_by_the_next_process() {
    let disk = Disk::new();
    Sim::new(1).run(|sim| {
        let disk = disk.clone();
        async move {
            let (queue, _) = open(&disk);
            let (inner, reports) = (queue.clone(), Log::default());
            let notes = reports.clone();
            queue.register("work", move |_| {
                let (queue, notes) = (inner.clone(), notes.clone());
                async move {
                    let report = queue.shutdown(HOUR).await;
                    drop(queue);
                    notes.add(report);
                    yield_now().await;
                    Err::<(), _>("it fails, too late".into())
                }
            });
            queue.start();
            let id = queue.push("work", &"good").await.unwrap();
            let report = reports.wait_for(1).await.remove(0);
            assert_eq!((report.abandoned, report.kept), (vec![id], 0));
            sim.advance(SECOND).await;
            assert_eq!((queue.inflight_count(), queue.pending_count(), queue.dead_letter_count()), (0, 0, 0));
        }
    });
    killed(&disk, 2, |sim, queue, ran| async move {
        assert_eq!(queue.dead_letter_count(), 0);
        queue.start();
        sim.drain(&queue).await;
        assert_eq!(ran.entries(), [("good".to_owned(), 1, 1)]);
        sim.advance(SECOND).await;
    });
    assert!(disk.jobs().is_empty());
}

/// Who drops the last queue interrupts what runs; the next process runs it again, and what waited.
#[test]
fn what_went_with_the_last_queue_is_there_in_the_next_process() {
    let disk = Disk::new();
    Sim::new(1).run(|sim| {
        let disk = disk.clone();
        async move {
            let (queue, _) = open(&disk);
            let running = Log::default();
            let notes = running.clone();
            queue.register("work", move |_| {
                notes.add(());
                std::future::pending::<Result<(), queue_sim::BoxError>>()
            });
            queue.start();
            queue.push("work", &"ran").await.unwrap();
            queue.push("work", &"waited").await.unwrap();
            running.wait_for(1).await;
            // Whoever has a handle keeps the store open for the worker's last word.
            let handle = queue.handle();
            drop(queue);
            sim.advance(SECOND).await;
            assert_eq!((handle.inflight_count(), handle.dead_letter_count()), (0, 0));
        }
    });
    killed(&disk, 2, |sim, queue, ran| async move {
        assert_eq!(queue.dead_letter_count(), 0);
        queue.start();
        sim.drain(&queue).await;
        assert_eq!(ran.entries(), [("ran".to_owned(), 1, 0), ("waited".to_owned(), 2, 0)]);
    });
}

#[test]
fn a_job_that_crashes_its_process_is_quarantined() {
    let disk = Disk::new();
    for crash in 1..=3 {
        killed(&disk, crash, |_, queue, _| async move {
            let (running, gate) = (Log::default(), Gate::default());
            let (notes, hold) = (running.clone(), gate.clone());
            queue.register("work", move |job: Job| {
                notes.add(job.id);
                let hold = hold.clone();
                async move {
                    hold.pass().await;
                    Ok(())
                }
            });
            if crash == 1 {
                queue.push("work", &"it crashes").await.unwrap();
                queue.push("work", &"it waits").await.unwrap();
            }
            queue.start();
            running.wait_for(1).await;
            // The mark of what runs has to be written.
            assert_eq!(queue.cancel(JobId::new(99)), CancelAnswer::NotFound);
            queue.clear_dead_letters();
        });
    }
    killed(&disk, 4, |sim, queue, ran| async move {
        let dead = queue.dead_letters();
        assert_eq!((dead.len(), dead[0].id, dead[0].reason), (1, JobId::new(1), DeadReason::Crashed));
        assert!(dead[0].error.contains("crashed"), "{}", dead[0].error);
        queue.start();
        sim.drain(&queue).await;
        assert_eq!(ran.entries(), [("it waits".to_owned(), 2, 0)], "who only waited is not to blame");
        queue.requeue(JobId::new(1)).unwrap();
        sim.drain(&queue).await;
        assert_eq!(ran.entries().last(), Some(&("it crashes".to_owned(), 1, 0)));
    });
}

#[test]
fn an_interruption_is_no_crash() {
    let disk = Disk::new();
    for seed in 0..5 {
        Sim::new(seed).run(|_| {
            let disk = disk.clone();
            async move {
                let (queue, _) = open(&disk);
                let running = Log::default();
                let notes = running.clone();
                queue.register("work", move |job: Job| {
                    notes.add(job.attempt);
                    std::future::pending::<Result<(), queue_sim::BoxError>>()
                });
                if seed == 0 {
                    queue.push("work", &"long").await.unwrap();
                }
                queue.start();
                running.wait_for(1).await;
                assert_eq!(running.entries(), [0], "an interruption is no attempt either");
                let report = queue.shutdown(Duration::ZERO).await;
                assert_eq!(report.kept, 1);
            }
        });
    }
    assert_eq!((disk.jobs().len(), disk.dead_letters().len()), (1, 0));
}

/// The time of the store never goes back, so what was due is, and what has to wait waits as long as before.
#[test]
fn a_clock_that_went_back_between_two_runs_delays_nothing_that_was_due() {
    let disk = Disk::new();
    killed(&disk, 1, |sim, queue, _| async move {
        queue.push("work", &"due").delay(SECOND).await.unwrap();
        queue.push("work", &"in an hour").delay(HOUR).await.unwrap();
        sim.advance(2 * SECOND).await;
        queue.push("work", &"ready").await.unwrap();
    });
    killed(&disk, 2, |sim, queue, ran| async move {
        sim.set_wall(sim.wall() - 24 * HOUR);
        drop(queue);
        let _ = ran;
    });
    Sim::new(3).run(|sim| {
        let disk = disk.clone();
        async move {
            sim.set_wall(sim.wall() - 24 * HOUR);
            let (queue, ran) = open(&disk);
            queue.start();
            sim.settle().await;
            sim.advance(SECOND).await;
            let texts = || ran.entries().into_iter().map(|(text, ..)| text).collect::<Vec<_>>();
            assert_eq!(texts(), ["due", "ready"]);
            sim.advance(Duration::from_secs(3_596)).await;
            assert_eq!(texts().len(), 2, "it never starts early");
            sim.advance(4 * SECOND).await;
            assert_eq!(texts(), ["due", "ready", "in an hour"]);
            queue.shutdown(SECOND).await;
        }
    });
}

#[test]
fn a_clock_that_went_ahead_between_two_runs_counts_the_time_between() {
    let disk = Disk::new();
    killed(&disk, 1, |_, queue, _| async move {
        queue.push("work", &"in an hour").delay(HOUR).await.unwrap();
        queue.push("work", &"never").delay(Duration::MAX).await.unwrap();
    });
    Sim::new(2).run(|sim| {
        let disk = disk.clone();
        async move {
            sim.set_wall(sim.wall() + HOUR);
            let (queue, ran) = open(&disk);
            queue.start();
            sim.advance(SECOND).await;
            assert_eq!(ran.len(), 1);
            queue.shutdown(SECOND).await;
        }
    });
}

#[test]
fn a_clock_that_jumps_within_a_run_starts_nothing_early_and_nothing_late() {
    let disk = Disk::new();
    killed(&disk, 1, |sim, queue, ran| async move {
        queue.start();
        queue.push("work", &"in an hour").delay(HOUR).await.unwrap();
        sim.set_wall(sim.wall() + 24 * HOUR);
        queue.push("work", &"now").await.unwrap();
        sim.advance(Duration::from_secs(3_599)).await;
        assert_eq!(ran.len(), 1);
        sim.set_wall(SystemTime::UNIX_EPOCH);
        sim.advance(SECOND).await;
        assert_eq!(ran.len(), 2);
    });
}

#[test]
fn a_store_that_fails_gives_pushes_back_starts_nothing_and_heals() {
    let disk = Disk::new();
    let outer = disk.clone();
    killed(&disk, 1, |sim, queue, ran| async move {
        let mut events = queue.subscribe(100);
        let (gate, running) = (Gate::default(), Log::default());
        let (hold, notes) = (gate.clone(), running.clone());
        queue.register("long", move |_| {
            notes.add(());
            let hold = hold.clone();
            async move {
                hold.pass().await;
                Ok(())
            }
        });
        queue.start();
        queue.push("long", &()).await.unwrap();
        queue.push("work", &"waits").await.unwrap();
        running.wait_for(1).await;
        sim.advance(SECOND).await;

        sim.chaos(Chaos::none().disk_failures(1.0));
        assert!(queue.health().is_well());
        let error = queue.push("work", &"lost?").priority(Priority::LOW).await.unwrap_err();
        assert!(
            matches!(&error, PushError::Store { error, .. } if error.fault() == StoreFault::Full),
            "{error}"
        );
        assert!(error.source().is_some());
        let job = error.into_job().expect("it is given back");
        let error = queue.push_job(job).try_push().unwrap_err();
        let job = error.into_job().expect("it is given back again");
        let error = queue.push_many([job, NewJob::json("work", &"another").unwrap()]).await.unwrap_err();
        assert_eq!((error.accepted().len(), error.refused().len()), (0, 2));
        assert!(matches!(queue.health(), Health::Outage { .. }));
        // What runs comes to its end, and nothing else begins.
        gate.open();
        sim.advance(10 * SECOND).await;
        assert_eq!((queue.inflight_count(), queue.pending_count(), ran.len()), (0, 1, 0));
        assert_eq!(outer.jobs().len(), 2, "its end is not written yet");

        sim.calm();
        for job in error.into_refused() {
            sim.advance(SECOND).await;
            queue.push_job(job).await.unwrap();
        }
        sim.drain(&queue).await;
        sim.advance(SECOND).await;
        assert!(queue.health().is_well());
        let texts: Vec<_> = ran.entries().into_iter().map(|(text, ..)| text).collect();
        assert_eq!(texts, ["waits", "lost?", "another"]);
        let mut told = Vec::new();
        while let Some(event) = events.try_recv() {
            match event {
                Event::StoreFailed { error } => told.push(error.starts_with("the store is full")),
                Event::StoreRecovered => told.push(false),
                _ => {}
            }
        }
        assert_eq!(told, [true, false]);
    });
    assert!(disk.jobs().is_empty());
}

#[test]
fn what_was_decided_is_decided() {
    let disk = Disk::new();
    killed(&disk, 1, |sim, queue, _| async move {
        let ids =
            ["bad: revived", "bad: purged", "bad: kept"].map(|text| NewJob::json("work", &text).unwrap());
        let ids = queue.push_many(ids.map(|job| job.retry(RetryPolicy::None))).await.unwrap();
        queue.start();
        sim.drain(&queue).await;
        queue.pause("default").unwrap();
        queue.requeue(ids[0]).unwrap();
        let kept = queue.try_push("work", &"kept").unwrap();
        let cancelled = queue.try_push("work", &"cancelled").unwrap();
        assert_eq!(queue.cancel(cancelled), CancelAnswer::Removed);
        assert_eq!(kept, JobId::new(4));
    });
    assert_eq!(disk.jobs(), [JobId::new(1), JobId::new(4)]);
    killed(&disk, 2, |_, queue, _| async move {
        assert_eq!(queue.clear_dead_letters(), 2);
    });
    assert!(disk.dead_letters().is_empty());
}

#[test]
fn payloads_leave_memory_and_come_back() {
    let disk = Disk::new().payload_memory(0);
    let long = "bad and long ".repeat(100);
    let expected = long.clone();
    killed(&disk, 1, |sim, queue, ran| async move {
        let raw = Log::default();
        let notes = raw.clone();
        queue.register("raw", move |job: Job| {
            notes.add(job.raw_payload().to_vec());
            async { Ok(()) }
        });
        queue.start();
        queue.push("work", &long).await.unwrap();
        queue.push_job(NewJob::raw("raw", vec![7; 100_000])).await.unwrap();
        sim.drain(&queue).await;
        assert_eq!(raw.entries(), [vec![7; 100_000]]);
        let line = |attempt| (expected.clone(), 1, attempt);
        assert_eq!(ran.entries(), [line(0), line(1)], "each attempt has it");
        assert_eq!(queue.dead_letters()[0].payload.len(), expected.len() + 2, "and so has the dead letter");
    });
}

#[test]
fn a_payload_that_cannot_be_read_now_is_read_later() {
    let disk = Disk::new().payload_memory(0);
    killed(&disk, 1, |sim, queue, ran| async move {
        queue.push("work", &"long ".repeat(100)).await.unwrap();
        sim.chaos(Chaos::none().disk_failures(1.0));
        queue.start();
        sim.advance(10 * SECOND).await;
        assert!(!queue.health().is_well());
        assert_eq!((ran.len(), queue.dead_letter_count()), (0, 0));
        sim.calm();
        sim.drain(&queue).await;
        assert_eq!(ran.entries()[0].2, 0, "that was no attempt");
    });
}

#[test]
fn a_job_is_not_started_before_it_is_written() {
    let disk = Disk::new();
    let outer = disk.clone();
    killed(&disk, 1, |sim, queue, _| async move {
        sim.chaos(Chaos::none().disk_stalls(1.0));
        queue.register("look", move |job: Job| {
            assert!(outer.jobs().contains(&job.id), "it runs and is not on the disk");
            async { Ok(()) }
        });
        queue.start();
        for _ in 0..20 {
            queue.push("look", &()).await.unwrap();
        }
        sim.drain(&queue).await;
        assert_eq!(queue.dead_letter_count(), 0);
    });
}

#[test]
fn a_function_cannot_be_stored() {
    let disk = Disk::new();
    killed(&disk, 1, |_, queue, _| async move {
        let custom = || RetryPolicy::custom(|_, _| None).cap(SECOND);
        let error = queue.push("work", &"x").retry(custom()).await.unwrap_err();
        assert!(matches!(error, PushError::NotStorable(_)), "{error}");
        let job = error.into_job().expect("it is given back");
        let plain = NewJob::json("work", &"y").unwrap();
        let error = queue.push_many([plain, job]).await.unwrap_err();
        assert_eq!((error.accepted().len(), error.refused().len()), (0, 2), "{error}");
    });
    assert!(disk.jobs().is_empty());
}

#[test]
fn jobs_of_other_named_queues_are_left_alone() {
    let disk = Disk::new();
    Sim::new(1).run(|sim| {
        let disk = disk.clone();
        async move {
            let builder = Queue::builder().queue("mail", QueueConfig::new().kinds(["send"]));
            let queue = builder.store(disk.open().unwrap()).build();
            queue.push("send", &"ada").await.unwrap();
            queue.push("work", &"here").await.unwrap();
            disk.crash();
            sim.kill();
        }
    });
    killed(&disk, 2, |sim, queue, ran| async move {
        assert_eq!((queue.stray_count(), queue.pending_count()), (1, 1));
        queue.start();
        sim.drain(&queue).await;
        assert_eq!(ran.len(), 1);
        sim.advance(SECOND).await;
    });
    assert_eq!(disk.jobs(), [JobId::new(1)]);
}

#[test]
fn one_queue_has_a_disk_at_a_time() {
    let disk = Disk::new();
    let first = disk.open().expect("it is free");
    assert_eq!(disk.open().unwrap_err().fault(), StoreFault::Locked);
    drop(first);
    drop(disk.open().expect("it is free again"));
}

/// An application may register its kinds after the queue was built on what an earlier version left.
#[test]
fn kinds_are_registered_after_the_recovery() {
    let disk = Disk::new();
    killed(&disk, 1, |_, queue, _| async move {
        queue.push("unknown", &1).await.unwrap();
    });
    killed(&disk, 2, |sim, queue, _| async move {
        let ran = Log::default();
        let notes = ran.clone();
        queue
            .kind("unknown")
            .retry(RetryPolicy::fixed(2, SECOND))
            .register(move |job: Job| {
                notes.add(job.attempt);
                async { Err::<(), _>("no".into()) }
            })
            .unwrap();
        queue.start();
        sim.drain(&queue).await;
        assert_eq!(ran.entries(), [0, 1, 2]);
    });
}
