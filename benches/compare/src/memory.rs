//! What pending jobs take, and who allocates how often: asked of an allocator that counts.

use std::alloc::System;
use std::any::Any;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{MemoryStorage, Task, WorkerBuilder};
use futures_util::{FutureExt, SinkExt, StreamExt};
use queue_core::Queue;
use queue_tokio::Tokio;
use serde::Serialize;
use stats_alloc::StatsAlloc;
use tako::queue::{Job as TakoJob, Queue as TakoQueue};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::contenders::apalis::sink;
use crate::measure::float;
use crate::work::{Burst, Tally};

pub(crate) const CONTENDERS: [&str; 8] = [
    "queue, tokio",
    "tako-rs queue",
    "apalis memory",
    "tokio::spawn a job",
    "tokio mpsc, 1 worker",
    "async-channel",
    "flume",
    "kanal",
];

/// 34 bytes as JSON.
#[derive(Serialize)]
struct Mail {
    to: &'static str,
    n: u64,
}

impl Mail {
    fn new(n: u64) -> Self {
        Self { to: "user@example.com", n: 10_000 + n % 90_000 }
    }

    fn encode(n: u64) -> Vec<u8> {
        serde_json::to_vec(&Self::new(n)).expect("it is plain data")
    }
}

/// A contender whose workers run when their runtime does.
struct Rig {
    push: Box<dyn FnMut(u64)>,
    delay: Option<Box<dyn FnMut(u64)>>,
    _keep: Box<dyn Any>,
}

/// Prints the figures of the contender and for the number of jobs that the arguments say: bytes per ready and per
/// delayed job, allocations per push, and per push and run.
pub(crate) fn memory_alone(allocator: &StatsAlloc<System>) {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().expect("the contender is given");
    let jobs = arguments.next().and_then(|jobs| jobs.parse().ok()).expect("the number of jobs is given");
    let live = || {
        let stats = allocator.stats();
        stats.bytes_allocated - stats.bytes_deallocated
    };
    let bytes = |push: &mut dyn FnMut(u64)| {
        let before = live();
        (0..jobs).for_each(push);
        float((live() - before) as u64) / float(jobs)
    };
    let calls = || {
        let stats = allocator.stats();
        (stats.allocations + stats.reallocations) as u64
    };

    // On one thread nothing runs before somebody awaits.
    let ready = runtime().block_on(async { bytes(&mut rig(&name, &Tally::new(Burst::unit(jobs))).push) });
    let delayed = runtime().block_on(async {
        let mut rig = rig(&name, &Tally::new(Burst::unit(jobs)));
        rig.delay.as_mut().map_or(f64::NAN, |delay| bytes(delay))
    });
    let (pushed, run) = runtime().block_on(async {
        let warm = Tally::new(Burst::unit(jobs * 2));
        let mut rig = rig(&name, &warm);
        let mut figures = (0.0, 0.0);
        for round in 1..=2 {
            let before = calls();
            (0..jobs).for_each(&mut rig.push);
            let pushed = calls();
            while warm.done() < jobs * round {
                tokio::task::yield_now().await;
            }
            let per_job = |calls: u64| float(calls - before) / float(jobs);
            figures = (per_job(pushed), per_job(calls()));
        }
        warm.check().unwrap_or_else(|void| panic!("{void}"));
        figures
    });
    println!("{ready} {delayed} {pushed} {run}");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("tokio starts")
}

/// Handlers do nothing but count, so that no allocation is theirs.
fn rig(name: &str, tally: &Arc<Tally>) -> Rig {
    match name {
        "queue, tokio" => ours(tally.clone()),
        "tako-rs queue" => tako(tally.clone()),
        "apalis memory" => apalis(tally.clone()),
        "tokio::spawn a job" => {
            let tally = tally.clone();
            channel((), move |n| {
                let (tally, payload) = (tally.clone(), Mail::encode(n));
                tokio::spawn(async move { tally.take(&payload) });
            })
        }
        "tokio mpsc, 1 worker" => {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
            let tally = tally.clone();
            tokio::spawn(async move {
                while let Some(payload) = receiver.recv().await {
                    tally.take(&payload);
                }
            });
            channel(sender.clone(), move |n| sender.send(Mail::encode(n)).expect("the worker is there"))
        }
        "async-channel" => {
            let (sender, receiver) = async_channel::unbounded::<Vec<u8>>();
            for _ in 0..4 {
                let (receiver, tally) = (receiver.clone(), tally.clone());
                tokio::spawn(async move {
                    while let Ok(payload) = receiver.recv().await {
                        tally.take(&payload);
                    }
                });
            }
            channel((), move |n| sender.try_send(Mail::encode(n)).expect("the workers are there"))
        }
        "flume" => {
            let (sender, receiver) = flume::unbounded::<Vec<u8>>();
            for _ in 0..4 {
                let (receiver, tally) = (receiver.clone(), tally.clone());
                tokio::spawn(async move {
                    while let Ok(payload) = receiver.recv_async().await {
                        tally.take(&payload);
                    }
                });
            }
            channel((), move |n| sender.send(Mail::encode(n)).expect("the workers are there"))
        }
        "kanal" => {
            let (sender, receiver) = kanal::unbounded_async::<Vec<u8>>();
            for _ in 0..4 {
                let (receiver, tally) = (receiver.clone(), tally.clone());
                tokio::spawn(async move {
                    while let Ok(payload) = receiver.recv().await {
                        tally.take(&payload);
                    }
                });
            }
            channel((), move |n| {
                sender.try_send(Mail::encode(n)).expect("the workers are there");
            })
        }
        _ => panic!("no contender {name:?}"),
    }
}

fn channel(keep: impl Any, push: impl FnMut(u64) + 'static) -> Rig {
    Rig { push: Box::new(push), delay: None, _keep: Box::new(keep) }
}

fn ours(tally: Arc<Tally>) -> Rig {
    let builder = Queue::builder_on(Tokio::on(Handle::current()));
    let queue = builder.workers(4).capacity(4_000_000).build();
    queue.register("mail", move |job| {
        let tally = tally.clone();
        async move {
            tally.take(job.raw_payload());
            Ok(())
        }
    });
    queue.start();
    let (pushes, delays) = (queue.handle(), queue.handle());
    Rig {
        push: Box::new(move |n| {
            pushes.try_push("mail", &Mail::new(n)).expect("there is room");
        }),
        delay: Some(Box::new(move |n| {
            let push = delays.push_delayed("mail", &Mail::new(n), far(n));
            push.try_push().expect("there is room");
        })),
        _keep: Box::new(queue),
    }
}

fn tako(tally: Arc<Tally>) -> Rig {
    let queue = TakoQueue::builder().workers(4).build();
    queue.register("mail", move |job: TakoJob| {
        let tally = tally.clone();
        async move {
            tally.take(job.raw_payload());
            Ok(())
        }
    });
    queue.start();
    let (pushes, delays) = (queue.clone(), queue.clone());
    Rig {
        push: Box::new(move |n| {
            let answer = pushes.push("mail", &Mail::new(n)).now_or_never();
            answer.expect("a push is ready at once").expect("there is room");
        }),
        delay: Some(Box::new(move |n| {
            let answer = delays.push_delayed("mail", &Mail::new(n), far(n)).now_or_never();
            answer.expect("a push is ready at once").expect("there is room");
        })),
        _keep: Box::new(queue),
    }
}

fn apalis(tally: Arc<Tally>) -> Rig {
    let (sender, receiver) = futures_channel::mpsc::unbounded();
    let mut pusher = sink(sender.clone());
    let storage = MemoryStorage::new_with(sink(sender), receiver.boxed());
    let handler = move |payload: Vec<u8>| {
        let tally = tally.clone();
        async move { tally.take(&payload) }
    };
    tokio::spawn(WorkerBuilder::new("mail").backend(storage).build(handler).run());
    channel((), move |n| {
        let answer = pusher.feed(Task::new(Mail::encode(n))).now_or_never();
        answer.expect("the channel has no bound").expect("the worker is there");
    })
}

fn far(n: u64) -> Duration {
    Duration::from_hours(1) + Duration::from_millis(n)
}
