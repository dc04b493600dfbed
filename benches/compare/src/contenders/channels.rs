//! Channels with workers that somebody writes by hand: no ids, no retries, no limits, no isolation.

use std::sync::Arc;
use std::time::Duration;

use super::tokio_on;
use crate::measure::timed;
use crate::work::{Burst, Tally, Void};

const WORKERS: usize = 4;

/// Runs `push` on tokio with 2 threads until all jobs are counted.
fn timed_push<F>(tally: &Arc<Tally>, runtime: tokio::runtime::Runtime, push: F) -> Result<Duration, Void>
where
    F: Future<Output = ()> + Send + 'static,
{
    let time = timed(|| {
        runtime.spawn(push);
        tally.wait();
    });
    drop(runtime);
    tally.check()?;
    Ok(time)
}

pub(crate) fn tokio_mpsc(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let (counter, waits) = (tally.clone(), tally.clone());
    runtime.spawn(async move {
        while let Some(payload) = receiver.recv().await {
            counter.run(&payload);
        }
    });
    timed_push(&tally, runtime, async move {
        for n in 0..burst.jobs {
            waits.room(n).await;
            sender.send(burst.payload(n)).expect("the worker is there");
        }
    })
}

pub(crate) fn async_channel(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (sender, receiver) = async_channel::unbounded::<Vec<u8>>();
    for _ in 0..WORKERS {
        let (receiver, counter) = (receiver.clone(), tally.clone());
        runtime.spawn(async move {
            while let Ok(payload) = receiver.recv().await {
                counter.run(&payload);
            }
        });
    }
    let waits = tally.clone();
    timed_push(&tally, runtime, async move {
        for n in 0..burst.jobs {
            waits.room(n).await;
            sender.send(burst.payload(n)).await.expect("the workers are there");
        }
    })
}

pub(crate) fn flume(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (sender, receiver) = flume::unbounded::<Vec<u8>>();
    for _ in 0..WORKERS {
        let (receiver, counter) = (receiver.clone(), tally.clone());
        runtime.spawn(async move {
            while let Ok(payload) = receiver.recv_async().await {
                counter.run(&payload);
            }
        });
    }
    let waits = tally.clone();
    timed_push(&tally, runtime, async move {
        for n in 0..burst.jobs {
            waits.room(n).await;
            sender.send(burst.payload(n)).expect("the workers are there");
        }
    })
}

pub(crate) fn kanal(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (sender, receiver) = kanal::unbounded_async::<Vec<u8>>();
    for _ in 0..WORKERS {
        let (receiver, counter) = (receiver.clone(), tally.clone());
        runtime.spawn(async move {
            while let Ok(payload) = receiver.recv().await {
                counter.run(&payload);
            }
        });
    }
    let waits = tally.clone();
    timed_push(&tally, runtime, async move {
        for n in 0..burst.jobs {
            waits.room(n).await;
            sender.send(burst.payload(n)).await.expect("the workers are there");
        }
    })
}
