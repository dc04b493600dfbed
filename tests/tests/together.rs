//! All runtimes in one process at the same time, and jobs that cross from one to the other.

#![cfg(all(feature = "tokio", feature = "smol", feature = "compio"))]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use queue_core::{Handle, Job, SendFuture, ShutdownReport};
use queue_tests::runtimes::{Compio, SmolGlobal, SmolLocal, TokioLocal, TokioMulti};
use queue_tests::{Gate, Log, TestRuntime, handler, run, watch};

/// Every job of every queue pushes a part to all queues, and every part reports to the first. Each queue then reports a
/// clean shutdown.
#[test]
fn jobs_fan_out_over_all_runtimes_at_once() {
    const JOBS: u32 = 40;
    run("together::jobs_fan_out_over_all_runtimes_at_once", |rt: SmolGlobal| async move {
        let handles = Arc::new(OnceLock::new());
        let collected = Log::new();
        let stages = [
            stage::<TokioMulti>(0, &handles, &collected),
            stage::<SmolGlobal>(1, &handles, &collected),
            stage::<Compio>(2, &handles, &collected),
            stage::<TokioLocal>(3, &handles, &collected),
            stage::<SmolLocal>(4, &handles, &collected),
        ];
        let mut all: Vec<Handle> = Vec::new();
        for stage in &stages {
            all.push(stage.handle.wait_for(1).await.remove(0));
        }
        all.iter().cloned().for_each(watch);
        handles.set(all.clone()).expect("it is set once");
        for job in 0..JOBS {
            for queue in &all {
                queue.push("fan_out", &job).await?;
            }
        }
        let mut expected = BTreeMap::new();
        for from in 0..all.len() {
            for to in 0..all.len() {
                expected.insert((from, to), (0..JOBS).collect::<Vec<_>>());
            }
        }
        let mut seen: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (from, to, job) in collected.wait_for(all.len() * all.len() * JOBS as usize).await {
            seen.entry((from, to)).or_default().push(job);
        }
        for jobs in seen.values_mut() {
            jobs.sort_unstable();
        }
        assert_eq!(seen, expected);
        for stage in stages {
            stage.end.open();
            rt.until(|| stage.thread.is_finished()).await;
            let report = stage.thread.join().expect("the stage does not panic");
            assert!(report.is_clean(), "{report:?}");
        }
        Ok(())
    });
}

/// A queue on a runtime in a thread of its own.
struct Stage {
    handle: Log<Handle>,
    end: Gate,
    thread: JoinHandle<ShutdownReport>,
}

fn stage<T: TestRuntime>(
    number: usize,
    handles: &Arc<OnceLock<Vec<Handle>>>,
    collected: &Log<(usize, usize, u32)>,
) -> Stage {
    let (handle, end) = (Log::new(), Gate::new());
    let (handles, collected, started, ending) =
        (handles.clone(), collected.clone(), handle.clone(), end.clone());
    let thread = thread::spawn(move || {
        T::block_on(|rt| async move {
            let queue = rt.started(rt.builder(), |queue| {
                queue.register("fan_out", fan_out(number, &handles));
                queue.register("part", part(number, &handles));
                queue.register("collect", collect(&collected));
            });
            started.add(queue.handle());
            ending.pass().await;
            queue.shutdown(Duration::from_secs(30)).await
        })
    });
    Stage { handle, end, thread }
}

fn fan_out(
    from: usize,
    handles: &Arc<OnceLock<Vec<Handle>>>,
) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let handles = handles.clone();
    handler(move |job: Job| {
        let handles = handles.clone();
        async move {
            let number: u32 = job.deserialize()?;
            for queue in handles.get().expect("set before the first push") {
                queue.push("part", &(from, number)).await?;
            }
            Ok(())
        }
    })
}

fn part(
    to: usize,
    handles: &Arc<OnceLock<Vec<Handle>>>,
) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let handles = handles.clone();
    handler(move |job: Job| {
        let handles = handles.clone();
        async move {
            let (from, number): (usize, u32) = job.deserialize()?;
            handles.get().expect("set before the first push")[0].push("collect", &(from, to, number)).await?;
            Ok(())
        }
    })
}

fn collect(collected: &Log<(usize, usize, u32)>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let collected = collected.clone();
    handler(move |job: Job| {
        let collected = collected.clone();
        async move {
            collected.add(job.deserialize()?);
            Ok(())
        }
    })
}
