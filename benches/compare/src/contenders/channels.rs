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
    tokio_mpscs(burst, 1)
}

/// As many channels as that, each with a worker of its own, in turn.
pub(crate) fn tokio_mpscs(burst: Burst, channels: usize) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let (mut senders, waits) = (Vec::new(), tally.clone());
    for _ in 0..channels {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        let counter = tally.clone();
        runtime.spawn(async move {
            while let Some(payload) = receiver.recv().await {
                counter.run(&payload);
            }
        });
        senders.push(sender);
    }
    timed_push(&tally, runtime, async move {
        for (n, sender) in (0..burst.jobs).zip(senders.iter().cycle()) {
            waits.room(n).await;
            sender.send(burst.payload(n)).expect("the worker is there");
        }
    })
}

/// A channel with several workers. A macro, because the channels have no trait in common, and what a closure would clone for
/// every job would be measured with it.
macro_rules! shared_channel {
    ($name:ident: $channel:expr, $receive:ident, |$sender:ident, $payload:ident| $send:expr) => {
        pub(crate) fn $name(burst: Burst) -> Result<Duration, Void> {
            let runtime = tokio_on(2);
            let tally = Tally::new(burst);
            let ($sender, receiver) = $channel;
            for _ in 0..WORKERS {
                let (receiver, counter) = (receiver.clone(), tally.clone());
                runtime.spawn(async move {
                    while let Ok(payload) = receiver.$receive().await {
                        counter.run(&payload);
                    }
                });
            }
            let waits = tally.clone();
            timed_push(&tally, runtime, async move {
                for n in 0..burst.jobs {
                    waits.room(n).await;
                    let $payload = burst.payload(n);
                    $send.expect("the workers are there");
                }
            })
        }
    };
}

shared_channel!(async_channel: async_channel::unbounded::<Vec<u8>>(), recv, |sender, payload| sender.send(payload).await);
shared_channel!(flume: flume::unbounded::<Vec<u8>>(), recv_async, |sender, payload| sender.send(payload));
shared_channel!(kanal: kanal::unbounded_async::<Vec<u8>>(), recv, |sender, payload| sender.send(payload).await);
