//! Named queues do not get in each other's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use queue_core::{DeadReason, Job, QueueConfig, QueueCounts, RetryPolicy};

use super::by_hand::{jobs, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

const HOUR: Duration = Duration::from_hours(1);

/// A job starts while all workers of another named queue are blocked, with thousands of jobs behind them.
pub async fn a_backlog_in_one_queue_does_not_delay_another(rt: impl TestRuntime) -> TestResult {
    let (blocked, gate, log) = (Log::new(), Gate::new(), Log::<u32>::new());
    // One worker each note goes through: several would start them in order, and end them in any.
    let builder = rt.builder().workers(1).queue("flooded", QueueConfig::new().workers(3).kinds(["block"]));
    let queue = rt.started(builder, |queue| {
        let (blocked, gate) = (blocked.clone(), gate.clone());
        queue.register(
            "block",
            handler(move |_| {
                let (blocked, gate) = (blocked.clone(), gate.clone());
                async move {
                    blocked.add(());
                    gate.pass().await;
                    Ok(())
                }
            }),
        );
        queue.register("note", note(&log));
    });
    queue.push_many(jobs("block", 0..5000)).await?;
    blocked.wait_for(3).await;
    for n in 1..=10usize {
        queue.push("note", &n).await?;
    }
    assert_eq!(log.wait_for(10).await, (1..=10).collect::<Vec<_>>());
    let counts = queue.counts("flooded")?;
    assert_eq!((counts.ready, counts.running, blocked.len()), (4997, 3, 3));
    gate.open();
    blocked.wait_for(5000).await;
    Ok(())
}

/// A job starts while another named queue is busy without a pause: its handlers never wait, and there is always a next
/// job, on the same thread where there is only one.
pub async fn a_queue_that_is_never_idle_does_not_starve_another(rt: impl TestRuntime) -> TestResult {
    let (is_over, started, log) = (Arc::new(AtomicBool::new(false)), Log::new(), Log::<u32>::new());
    let builder = rt.builder().queue("busy", QueueConfig::new().kinds(["endless"]));
    let queue = rt.started(builder, |queue| {
        let (is_over, started) = (is_over.clone(), started.clone());
        queue.register(
            "endless",
            handler(move |job: Job| {
                let (is_over, started) = (is_over.clone(), started.clone());
                async move {
                    if job.deserialize::<u32>()? == 1000 {
                        started.add(());
                    }
                    if !is_over.load(Ordering::Relaxed) {
                        job.handle().push("endless", &(job.deserialize::<u32>()? + 1)).await?;
                    }
                    Ok(())
                }
            }),
        );
        queue.register("note", note(&log));
    });
    queue.push_many(jobs("endless", [0; 8])).await?;
    started.wait_for(8).await;
    for n in 1..=10usize {
        queue.push("note", &n).await?;
        log.wait_for(n).await;
    }
    assert_ne!(queue.counts("busy")?.ready + queue.counts("busy")?.running, 0);
    is_over.store(true, Ordering::Relaxed);
    Ok(())
}

/// Each named queue retries by a policy of its own; the builder's is for those that have none.
pub async fn each_queue_has_its_own_retry_policy(rt: impl TestRuntime) -> TestResult {
    let at_once = |retries| QueueConfig::new().retry(RetryPolicy::fixed(retries, Duration::ZERO));
    let builder = rt
        .builder()
        .retry(RetryPolicy::fixed(1, Duration::ZERO))
        .queue("patient", at_once(4))
        .queue("never", QueueConfig::new().retry(RetryPolicy::None))
        .queue("as all", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        queue.register("fails", handler(|_| async { Err::<(), _>("no".into()) }));
    });
    let expected = [("default", 2), ("patient", 5), ("never", 1), ("as all", 2)];
    for (name, _) in expected {
        queue.push("fails", &()).queue(name).await?;
    }
    rt.until(|| queue.dead_letter_count() == 4).await;
    let dead = queue.dead_letters();
    let mut attempts: Vec<_> = dead.iter().map(|dead| (dead.queue.as_str(), dead.attempts)).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [("as all", 2), ("default", 2), ("never", 1), ("patient", 5)]);
    Ok(())
}

/// Each named queue has a timeout of its own: the same kind times out in one and goes on in another.
pub async fn each_queue_has_its_own_timeout(rt: impl TestRuntime) -> TestResult {
    let (gate, log) = (Gate::new(), Log::new());
    let builder = rt
        .builder()
        .timeout(HOUR)
        .queue("hasty", QueueConfig::new().timeout(Duration::from_millis(2)))
        .queue("as all", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        let (gate, log) = (gate.clone(), log.clone());
        queue.register(
            "wait",
            handler(move |job: Job| {
                let (gate, log) = (gate.clone(), log.clone());
                async move {
                    gate.pass().await;
                    log.add(job.queue_name().to_string());
                    Ok(())
                }
            }),
        );
    });
    for name in ["default", "hasty", "as all"] {
        queue.push("wait", &()).queue(name).await?;
    }
    rt.until(|| queue.dead_letter_count() == 1).await;
    let dead = queue.dead_letters().remove(0);
    assert_eq!((&*dead.queue, dead.reason), ("hasty", DeadReason::RetriesExhausted));
    assert_eq!(dead.error, "attempt timed out after 2ms");
    rt.until(|| queue.inflight_count() == 2).await;
    gate.open();
    let mut done = log.wait_for(2).await;
    done.sort_unstable();
    assert_eq!(done, ["as all", "default"]);
    Ok(())
}

/// Each named queue is full by itself.
pub async fn each_queue_has_its_own_capacity(rt: impl TestRuntime) -> TestResult {
    let builder = rt
        .builder()
        .capacity(2)
        .queue("small", QueueConfig::new().capacity(1))
        .queue("light", QueueConfig::new().capacity(100).capacity_bytes(3))
        .queue("as all", QueueConfig::new());
    let queue = rt.build(builder);
    for (name, room) in [("small", 1), ("default", 2), ("light", 3), ("as all", 2)] {
        for n in 0..room {
            queue.push("note", &n).queue(name).await?;
        }
        let refused = queue.push("note", &9).queue(name).try_push().unwrap_err();
        assert!(refused.is_full(), "{name}: {refused:?}");
    }
    assert_eq!(queue.pending_count(), 8);
    Ok(())
}

/// Each named queue keeps a number of dead letters of its own.
pub async fn each_queue_keeps_its_own_dead_letters(rt: impl TestRuntime) -> TestResult {
    let builder = rt.builder().queue("few", QueueConfig::new().workers(1).dead_letters(2));
    let queue = rt.started(builder, |_| {});
    queue.push_many(jobs("unknown", 0..5)).await?;
    queue.push_many(jobs("unknown", 0..5).into_iter().map(|job| job.queue("few"))).await?;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert_eq!((queue.counts("default")?.dead, queue.counts("few")?.dead), (5, 2));
    let few: Vec<_> = queue.dead_letters().into_iter().filter(|dead| dead.queue == "few").collect();
    assert_eq!(few.iter().map(|dead| &dead.payload[..]).collect::<Vec<_>>(), [b"3", b"4"]);
    Ok(())
}

/// Pausing a named queue holds its jobs, though it takes new ones, and nobody else's; what runs goes on. Resumed, it runs
/// them in their order, with all its workers.
pub async fn a_paused_queue_holds_its_jobs_and_nobody_elses(rt: impl TestRuntime) -> TestResult {
    let (log, gate) = (Log::<u32>::new(), Gate::new());
    let builder = rt.builder().queue("paused", QueueConfig::new().workers(1).kinds(["note", "block"]));
    let queue = rt.started(builder, |queue| {
        queue.register("note", note(&log));
        let (note, pass) = (log.clone(), gate.clone());
        queue.register(
            "block",
            handler(move |_| {
                let (note, pass) = (note.clone(), pass.clone());
                async move {
                    note.add(1000);
                    pass.pass().await;
                    note.add(1001);
                    Ok(())
                }
            }),
        );
    });
    queue.push("block", &()).await?;
    queue.push("note", &0).await?;
    log.wait_for(1).await;
    queue.pause("paused")?;
    assert!(queue.counts("paused")?.is_paused && !queue.counts("default")?.is_paused);
    queue.pause("paused")?;
    gate.open();
    log.wait_for(2).await;
    rt.until(|| queue.inflight_count() == 0).await;
    for n in 1..20 {
        queue.push("note", &n).await?;
        queue.push("note", &(100 + n)).queue("default").await?;
    }
    queue.push_delayed("note", &20, Duration::from_millis(1)).await?;
    log.wait_for(2 + 19).await;
    rt.until(|| queue.counts("paused").is_ok_and(|counts| counts.ready == 21)).await;
    let held = log.entries();
    assert_eq!(held[..2], [1000, 1001]);
    assert!(held.len() == 21 && held[2..].iter().all(|n| (101..120).contains(n)), "{held:?}");
    assert_eq!(queue.counts("paused")?.running, 0);

    queue.resume("paused")?;
    assert!(!queue.counts("paused")?.is_paused);
    assert_eq!(log.wait_for(42).await[21..], (0..=20).collect::<Vec<_>>());
    queue.resume("paused")?;
    queue.push("note", &21).await?;
    assert_eq!(log.wait_for(43).await[42..], [21]);
    Ok(())
}

/// A queue that is resumed sets as many workers to work as there are jobs for.
pub async fn a_resumed_queue_uses_all_its_workers(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(6), |queue| {
        queue.pause("default").expect("it exists");
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
    queue.push_many(jobs("wait", 0..9)).await?;
    // Let them all find that there is nothing to do.
    rt.sleep(Duration::from_millis(2)).await;
    assert!(started.is_empty());
    queue.resume("default")?;
    started.wait_for(6).await;
    assert_eq!((queue.inflight_count(), queue.pending_count()), (6, 3));
    gate.open();
    started.wait_for(9).await;
    Ok(())
}

/// The counts of a named queue say where each of its jobs is, and a wrong name is an error that says it.
pub async fn the_counts_of_a_queue_add_up(rt: impl TestRuntime) -> TestResult {
    let (started, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().queue("a", QueueConfig::new().workers(2).kinds(["wait", "fails"]));
    let queue = rt.build(builder);
    let (note, pass) = (started.clone(), gate.clone());
    queue.register(
        "wait",
        handler(move |_| {
            let (note, pass) = (note.clone(), pass.clone());
            async move {
                note.add(());
                pass.pass().await;
                Ok(())
            }
        }),
    );
    queue.register("fails", handler(|_| async { Err::<(), _>("no".into()) }));
    let seen = |name: &str| {
        queue.counts(name).map(|counts| {
            let QueueCounts { ready, delayed, running, dead, waiting_bytes, workers, .. } = counts;
            [ready, delayed, running, dead, waiting_bytes, workers]
        })
    };
    assert_eq!(seen("a")?, [0; 6]);
    queue.push_many(jobs("fails", 0..3)).await?;
    queue.push_many(jobs("wait", [11, 22, 33, 44, 55])).await?;
    queue.push_delayed("wait", "four", HOUR).await?;
    assert_eq!(seen("a")?, [8, 1, 0, 0, 3 + 10 + 6, 0]);
    rt.start(&queue);
    started.wait_for(2).await;
    assert_eq!(seen("a")?, [3, 1, 2, 3, 6 + 6, 2]);
    assert_eq!(seen("default")?, [0, 0, 0, 0, 0, 4]);
    assert_eq!((queue.pending_count(), queue.inflight_count(), queue.dead_letter_count()), (4, 2, 3));
    gate.open();
    rt.until(|| seen("a").is_ok_and(|counts| counts == [0, 1, 0, 3, 6, 2])).await;

    for error in [
        queue.counts("nowhere").unwrap_err(),
        queue.pause("nowhere").unwrap_err(),
        queue.resume("nowhere").unwrap_err(),
    ] {
        assert_eq!(*error.name(), "nowhere");
        let text = "there is no queue named \"nowhere\"; add it with `builder.queue(..)`";
        assert_eq!(error.to_string(), text);
    }
    Ok(())
}

/// A flood of delayed jobs in one named queue, all due at once, does not keep another one's from being released.
pub async fn a_flood_of_deadlines_in_one_queue_does_not_delay_another(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let builder = rt.builder().queue("flooded", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        queue.pause("flooded").expect("it exists");
        queue.register("note", note(&log));
    });
    let delay = Duration::from_millis(1);
    let flood = jobs("note", 0..20_000).into_iter().map(|job| job.queue("flooded").delay(delay));
    queue.push_many(flood).await?;
    for n in 1..=10usize {
        queue.push_delayed("note", &n, delay).await?;
        log.wait_for(n).await;
    }
    rt.until(|| queue.counts("flooded").is_ok_and(|counts| counts.ready == 20_000)).await;
    assert_eq!(log.entries(), (1..=10).collect::<Vec<_>>());
    Ok(())
}
