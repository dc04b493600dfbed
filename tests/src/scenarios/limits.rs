//! How many jobs run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use queue_core::{Job, JobError, Outcome, Queue, QueueConfig, RetryPolicy};

use super::by_hand::{jobs, note, yield_now};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// Counts the jobs inside, and remembers the most.
#[derive(Clone, Debug, Default)]
struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    inside: AtomicUsize,
    peak: AtomicUsize,
}

impl Meter {
    /// How many are inside, this one included.
    fn enter(&self) -> usize {
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.peak.fetch_max(inside, Ordering::SeqCst);
        inside
    }

    fn leave(&self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }
}

const HOUR: Duration = Duration::from_hours(1);

/// Registers a handler that does not get past a point before `crowd` jobs are at it, so that this many must run at the
/// same time for any to end, and that counts how many do. Each notes down how many jobs the queue said were running.
fn crowded<R: queue_core::Runtime>(
    queue: &Queue<R>,
    kind: &'static str,
    crowd: usize,
) -> (Meter, Log<usize>) {
    let (meter, gate, log) = (Meter::default(), Gate::new(), Log::new());
    let (count, note) = (meter.clone(), log.clone());
    queue.register(
        kind,
        handler(move |job: Job| {
            let (count, gate, note) = (count.clone(), gate.clone(), note.clone());
            async move {
                if count.enter() == crowd {
                    gate.open();
                }
                gate.pass().await;
                let mut running = 0;
                for _ in 0..job.id.as_u64() % 4 {
                    yield_now().await;
                    running = running.max(job.handle().inflight_count());
                }
                count.leave();
                note.add(running);
                Ok(())
            }
        }),
    );
    (meter, log)
}

async fn check_limit(rt: &impl TestRuntime, workers: usize, limit: usize, expected: usize) -> TestResult {
    let queue = rt.build(rt.builder().workers(workers).limit(limit));
    let (meter, log) = crowded(&queue, "work", expected);
    queue.push_many(jobs("work", 0..200)).await?;
    rt.start(&queue);
    for n in 200..300 {
        queue.push("work", &n).await?;
    }
    let running = log.wait_for(300).await;
    assert_eq!(meter.peak(), expected, "workers({workers}).limit({limit})");
    assert!(running.iter().all(|running| *running <= expected), "workers({workers}).limit({limit})");
    Ok(())
}

/// At no instant do more jobs run than the limit says, and so many do run: with more workers than that, with fewer, and
/// with senseless numbers, where 0 counts as 1.
pub async fn never_more_jobs_run_than_the_limit_says(rt: impl TestRuntime) -> TestResult {
    for (workers, limit, expected) in
        [(8, 3, 3), (3, 8, 3), (4, 4, 4), (1, 1, 1), (0, 5, 1), (5, 0, 1), (0, 0, 1)]
    {
        check_limit(&rt, workers, limit, expected).await?;
    }
    Ok(())
}

/// Without a limit of its own, a queue runs as many jobs at the same time as it has workers; four by default.
pub async fn the_limit_is_the_number_of_workers_by_default(rt: impl TestRuntime) -> TestResult {
    for (builder, expected) in [(rt.builder(), 4), (rt.builder().workers(6), 6)] {
        let queue = rt.build(builder);
        let (meter, log) = crowded(&queue, "work", expected);
        queue.push_many(jobs("work", 0..100)).await?;
        rt.start(&queue);
        log.wait_for(100).await;
        assert_eq!(meter.peak(), expected);
    }
    Ok(())
}

/// Each named queue has a limit of its own, and they do not share workers.
pub async fn each_named_queue_has_its_own_limit(rt: impl TestRuntime) -> TestResult {
    let builder = rt
        .builder()
        .workers(2)
        .queue("narrow", QueueConfig::new().workers(1).kinds(["narrow"]))
        .queue("wide", QueueConfig::new().workers(9).limit(5).kinds(["wide"]));
    let queue = rt.build(builder);
    let logs = [("work", 2), ("narrow", 1), ("wide", 5)].map(|(kind, expected)| {
        let (meter, log) = crowded(&queue, kind, expected);
        (kind, expected, meter, log)
    });
    for n in 0..100 {
        queue.push_many(["work", "narrow", "wide"].into_iter().flat_map(|kind| jobs(kind, [n]))).await?;
    }
    rt.start(&queue);
    for (kind, expected, meter, log) in logs {
        log.wait_for(100).await;
        assert_eq!(meter.peak(), expected, "{kind}");
    }
    Ok(())
}

/// Where every thread has workers of its own, the limit holds over all of them together.
pub async fn the_limit_holds_over_all_threads<T: TestRuntime>(rt: T) -> TestResult {
    let (started, done) = (Log::<()>::new(), Gate::new());
    let queue = rt.build(rt.builder().workers(4).limit(5));
    rt.start(&queue);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (queue, started, done) = (queue.clone(), started.clone(), done.clone());
            thread::spawn(move || {
                T::block_on(|rt| async move {
                    rt.start(&queue);
                    started.add(());
                    done.pass().await;
                });
            })
        })
        .collect();
    started.wait_for(2).await;
    let workers = queue.counts("default")?.workers;
    let expected = workers.min(5);
    let (meter, log) = crowded(&queue, "work", expected);
    queue.push_many(jobs("work", 0..500)).await?;
    let running = log.wait_for(500).await;
    assert_eq!(meter.peak(), expected);
    assert!(running.iter().all(|running| *running <= expected));
    done.open();
    for thread in threads {
        thread.join().expect("the thread ends well");
    }
    Ok(())
}

/// A job that waits for a retry, is snoozed, or delayed, holds no slot: the only worker runs another one meanwhile.
pub async fn a_job_that_waits_holds_no_slot(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.started(rt.builder().workers(1).retry(RetryPolicy::fixed(3, HOUR)), |queue| {
        queue.register("note", note(&log));
        queue.register("fails", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("retries", handler(|_| async { Ok(Outcome::retry_after(2 * HOUR, "no")) }));
        queue.register("snoozes", handler(|_| async { Ok(Outcome::snooze(HOUR)) }));
        queue.register(
            "snoozes with an error",
            handler(|_| async { Err::<(), _>(JobError::snooze(HOUR, "later").into()) }),
        );
    });
    queue.push_delayed("note", &1, HOUR).await?;
    for kind in ["fails", "retries", "snoozes", "snoozes with an error"] {
        queue.push(kind, &()).await?;
    }
    queue.push("note", &2).await?;
    assert_eq!(log.wait_for(1).await, [2]);
    rt.until(|| queue.inflight_count() == 0).await;
    let counts = queue.counts("default")?;
    assert_eq!((counts.ready, counts.delayed, counts.running), (0, 5, 0));
    Ok(())
}

/// However an attempt ends, its slot is free again, once: the limit is neither used up nor exceeded afterwards.
pub async fn every_ending_frees_its_slot_once(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().workers(3).timeout(Duration::from_millis(2)), |queue| {
        queue.register("fails", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("discards", handler(|_| async { Ok(Outcome::discard("no")) }));
        queue.register("cancels", handler(|_| async { Ok(Outcome::cancel("no")) }));
        queue.register("hangs", handler(|_| std::future::pending::<Result<(), _>>()));
        queue.register(
            "panics",
            handler(|_| async {
                std::panic::resume_unwind(Box::new("quietly"));
                #[expect(unreachable_code, reason = "names the type")]
                Ok(())
            }),
        );
    });
    let kinds = ["fails", "discards", "cancels", "hangs", "panics", "not registered"];
    for kind in kinds {
        queue.push_many(jobs(kind, 0..7)).await?;
    }
    rt.until(|| queue.dead_letter_count() == 7 * (kinds.len() - 1)).await;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    let (meter, log) = crowded(&queue, "work", 3);
    for job in jobs("work", 0..100) {
        queue.push_job(job).timeout(HOUR).await?;
    }
    log.wait_for(100).await;
    assert_eq!(meter.peak(), 3);
    Ok(())
}

/// A thousand workers run a thousand jobs at the same time, and the next ones wait.
pub async fn a_thousand_workers_run_a_thousand_jobs(rt: impl TestRuntime) -> TestResult {
    let (gate, done) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1000), |queue| {
        let (gate, done) = (gate.clone(), done.clone());
        queue.register(
            "wait",
            handler(move |_| {
                let (gate, done) = (gate.clone(), done.clone());
                async move {
                    gate.pass().await;
                    done.add(());
                    Ok(())
                }
            }),
        );
    });
    queue.push_many(jobs("wait", 0..1500)).await?;
    rt.until(|| queue.inflight_count() == 1000).await;
    assert_eq!(queue.pending_count(), 500);
    gate.open();
    done.wait_for(1500).await;
    let report = queue.shutdown(HOUR).await;
    assert!(report.is_clean(), "{report:?}");
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    Ok(())
}
