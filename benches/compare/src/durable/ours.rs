//! Ours on tokio, with its jobs in an SQLite file.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use queue_core::{Handle, Job, Journal, NewJob, Sink};
use queue_sqlite::{Durability, Store};

use super::folder;
use super::load::{Load, Tally, now, payload};
use crate::contenders::ours::OnTokio;
use crate::measure::timed;
use crate::work::Void;

const HOUR: Duration = Duration::from_hours(1);

/// From the first push until all jobs have run and that is on disk.
pub(crate) fn end_to_end(load: Load, durability: Durability) -> Result<Duration, Void> {
    let folder = folder()?;
    let path = folder.path().join("jobs.db");
    let ours = on_store(&path, durability)?;
    let tally = Tally::new(load);
    let counter = tally.clone();
    ours.queue.register("work", move |job: Job| {
        let counter = counter.clone();
        async move {
            counter.run(std::str::from_utf8(job.raw_payload())?);
            Ok(())
        }
    });
    ours.queue.start();
    let time = timed(|| {
        for pushes in load.pushes() {
            ours.runtime.spawn(push(ours.queue.handle(), pushes));
        }
        tally.wait();
        while ours.queue.inflight_count() > 0 {
            thread::yield_now();
        }
        // It is written when all that was settled before it is.
        ours.queue.push_job(NewJob::raw("last", "0").delay(HOUR)).try_push().expect("there is room");
    });
    close(ours);
    tally.check()?;
    let left = pending(&path)?;
    if left == 1 { Ok(time) } else { Err(Void(format!("{left} jobs are there instead of the last one"))) }
}

async fn push(queue: Handle, pushes: impl Iterator<Item = Range<u64>>) {
    for range in pushes {
        if range.end - range.start == 1 {
            let job = NewJob::raw("work", payload(range.start));
            queue.push_job(job).await.expect("the store is well");
        } else {
            let jobs: Vec<_> = range.map(|number| NewJob::raw("work", payload(number))).collect();
            queue.push_many(jobs).await.expect("the store is well");
        }
    }
}

/// How long each of so many pushes takes, one after the other, while nobody works. As many before them are not measured: SQLite's
/// log grows by them to the size that it keeps, and to grow a file takes the disk half as long again. The file that this is
/// compared with does not grow.
pub(crate) fn push_latencies(pushes: u64, durability: Durability) -> Result<Vec<u64>, Void> {
    let folder = folder()?;
    let path = folder.path().join("jobs.db");
    let ours = on_store(&path, durability)?;
    let (handle, all) = (ours.queue.handle(), 2 * pushes);
    let latencies = ours.runtime.block_on(async move {
        let mut latencies = Vec::new();
        for number in 0..all {
            let job = NewJob::raw("work", payload(number));
            let began = now();
            handle.push_job(job).await.expect("the store is well");
            if number >= pushes {
                latencies.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        latencies
    });
    close(ours);
    let found = pending(&path)?;
    if found == all { Ok(latencies) } else { Err(Void(format!("{found} of {all} jobs are there"))) }
}

/// A store with so many jobs that wait.
pub(crate) fn prepare(path: &Path, jobs: u64) -> Result<(), Void> {
    let ours = on_store(path, Durability::Normal)?;
    let load = Load { producers: 1, bulk: 1_000, jobs };
    let handle = ours.queue.handle();
    ours.runtime.block_on(async move {
        for pushes in load.pushes() {
            push(handle.clone(), pushes).await;
        }
    });
    close(ours);
    Ok(())
}

/// From opening such a store until the first job is with its handler. They stay as they are.
pub(crate) fn restart(path: &Path, jobs: u64) -> Result<Duration, Void> {
    let runtime = crate::contenders::tokio_on(2);
    let (started, has_started) = mpsc::channel();
    let mut queue = None;
    let time = timed(|| {
        let store = Store::open(path).expect("it opens");
        let tokio = queue_tokio::Tokio::on(runtime.handle().clone());
        let restarted = queue_core::Queue::builder_on(tokio).workers(4).store(store).build();
        restarted.register("work", move |_| {
            let started = started.clone();
            async move {
                // Only the first one is waited for.
                let _ = started.send(());
                std::future::pending::<()>().await;
                Ok(())
            }
        });
        restarted.start();
        queue = Some(restarted);
        has_started.recv().expect("there is a job");
    });
    let report = queue.map(|queue| runtime.block_on(queue.shutdown(Duration::ZERO)));
    drop(runtime);
    match report {
        Some(report) if report.kept as u64 == jobs => Ok(time),
        report => Err(Void(format!("{report:?} instead of {jobs} jobs that are kept"))),
    }
}

fn on_store(path: &Path, durability: Durability) -> Result<OnTokio, Void> {
    let store = Store::options().durability(durability).open(path);
    let store = store.map_err(|error| Void(error.to_string()))?;
    Ok(OnTokio::new(|builder| builder.store(store).capacity(10_000_000)))
}

/// Shuts down, so that the file is free: the store's own thread may be the one that lets go of the last handle.
fn close(ours: OnTokio) {
    ours.runtime.block_on(ours.queue.shutdown(Duration::ZERO));
    ours.stop();
}

fn pending(path: &Path) -> Result<u64, Void> {
    let store = Store::open(path).map_err(|error| Void(error.to_string()))?;
    let recovery = store.begin(Sink::default());
    Ok(recovery.jobs.iter().map(|piece| piece.len() as u64).sum())
}

/// What was asked for, as a contender.
pub(crate) fn settings(durability: Durability) -> String {
    let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
    format!("journal_mode WAL, synchronous {synchronous}, one connection")
}
