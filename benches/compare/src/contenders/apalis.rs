//! apalis with its memory storage, on tokio with 2 threads.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{MemorySink, MemoryStorage, MemoryStorageError, ParallelizeExt, Task, WorkerBuilder};
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::lock::Mutex;
use futures_util::{SinkExt, StreamExt};

use super::tokio_on;
use crate::measure::timed;
use crate::work::{Burst, Tally, Void};

/// One worker, which runs jobs in its own task.
pub(crate) fn plain(burst: Burst) -> Result<Duration, Void> {
    run(burst, false)
}

/// One worker that spawns a task per job.
pub(crate) fn parallel(burst: Burst) -> Result<Duration, Void> {
    run(burst, true)
}

fn run(burst: Burst, parallel: bool) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (sender, receiver) = unbounded();
    // The worker asks its own sink whether it is ready, and a sink panics when two tasks use it at once: so there are
    // two over one channel.
    let mut pusher = sink(sender.clone());
    let storage = MemoryStorage::new_with(sink(sender), receiver.boxed());
    let counter = tally.clone();
    let handler = move |payload: Vec<u8>| {
        let counter = counter.clone();
        async move { counter.run(&payload) }
    };
    if parallel {
        let worker = WorkerBuilder::new("mail").backend(storage).parallelize(tokio::spawn).build(handler);
        runtime.spawn(worker.run());
    } else {
        let worker = WorkerBuilder::new("mail").backend(storage).build(handler);
        runtime.spawn(worker.run());
    }
    let waits = tally.clone();
    let time = timed(|| {
        runtime.spawn(async move {
            for n in 0..burst.jobs {
                waits.room(n).await;
                // `send` would flush after every job, which this sink does not need.
                pusher.feed(Task::new(burst.payload(n))).await.expect("the worker is there");
            }
        });
        tally.wait();
    });
    drop(runtime);
    tally.check()?;
    Ok(time)
}

pub(crate) fn sink(sender: UnboundedSender<Task<Vec<u8>>>) -> MemorySink<Vec<u8>> {
    MemorySink::new(Arc::new(Mutex::new(Box::new(sender.sink_map_err(MemoryStorageError::from)))))
}
