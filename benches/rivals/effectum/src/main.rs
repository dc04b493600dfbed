//! Jobs on effectum: its path, then how many tasks push, how many jobs at a time, and how many there are in all. Prints the
//! nanoseconds that a job took, and what was set.

#![forbid(unsafe_code)]

#[path = "../../../compare/src/durable/load.rs"]
mod load;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use load::{Load, Tally, now, payload};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().expect("a path is given"));
    let load = Load::read(arguments).expect("three numbers are given");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("tokio starts").block_on(run(&path, load));
}

async fn run(path: &Path, load: Load) {
    let tally = Tally::new(load);
    let queue = Arc::new(Queue::new(path).await.expect("it opens"));
    let runner = JobRunner::builder("work", work).build();
    let worker = Worker::builder(&queue, tally.clone()).jobs([runner]);
    // Its own suggestion for more than one job at a time, and room enough that fetching is not what it waits for.
    let worker = worker.min_concurrency(64).max_concurrency(128).build().await.expect("it starts");

    let began = now();
    let producers: Vec<_> = load
        .pushes()
        .map(|pushes| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for range in pushes {
                    let mut jobs: Vec<_> = range.map(job).collect();
                    if jobs.len() == 1 {
                        queue.add_job(jobs.remove(0)).await.expect("it is there");
                    } else {
                        queue.add_jobs(jobs).await.expect("it is there");
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("it pushes");
    }
    let waits = tally.clone();
    tokio::task::spawn_blocking(move || waits.wait()).await.expect("it waits");
    while worker.counts().finished < load.jobs {
        tokio::task::yield_now().await;
    }
    let time = began.elapsed();

    worker.unregister(None).await.expect("it stops");
    let left = queue.num_active_jobs().await.expect("it counts").pending;
    queue.close(Duration::from_secs(10)).await.expect("it closes");
    tally.check().expect("every job runs once");
    assert_eq!(left, 0, "jobs are left");
    let mode: String = rusqlite::Connection::open(path)
        .and_then(|conn| conn.pragma_query_value(None, "journal_mode", |row| row.get(0)))
        .expect("it can be read");
    println!("{}", time.as_nanos() / u128::from(load.jobs));
    println!(
        "as it is: journal_mode {mode}, synchronous NORMAL, as its source sets it; up to 128 jobs at a time"
    );
}

fn job(number: u64) -> Job {
    Job::builder("work").payload(payload(number).into_bytes()).build()
}

async fn work(job: RunningJob, tally: Arc<Tally>) -> Result<(), Error> {
    tally.run(&job.json_payload::<String>()?);
    Ok(())
}
