//! Ours, on each runtime.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use queue_core::{BoxError, Builder, Handle, Job, Queue};
use queue_smol::Smol;
use queue_tokio::Tokio;
use tokio::runtime::Runtime;

use super::tokio_on;
use crate::measure::timed;
use crate::work::{Burst, Mail, Tally, Void};

/// A queue with 4 workers on a tokio of its own with 2 threads, not yet started.
#[derive(Debug)]
pub(crate) struct OnTokio {
    pub(crate) queue: Queue<Tokio>,
    pub(crate) runtime: Runtime,
}

impl OnTokio {
    pub(crate) fn new(configure: impl FnOnce(Builder<Tokio>) -> Builder<Tokio>) -> Self {
        Self::with_threads(2, configure)
    }

    fn with_threads(threads: usize, configure: impl FnOnce(Builder<Tokio>) -> Builder<Tokio>) -> Self {
        let runtime = tokio_on(threads);
        let builder = Queue::builder_on(Tokio::on(runtime.handle().clone())).workers(4);
        Self { queue: configure(builder).build(), runtime }
    }

    /// Stops the runtime first: what a worker still has in hand ends with it.
    pub(crate) fn stop(self) {
        drop(self.runtime);
        drop(self.queue);
    }
}

/// The handler that a user would write.
pub(crate) async fn mail(job: Job, tally: Arc<Tally>, burst: Burst) -> Result<(), BoxError> {
    if burst.json {
        tally.mail(&job.deserialize()?);
    } else {
        tally.count(0);
    }
    Ok(())
}

pub(crate) async fn push_all(queue: &Handle, tally: &Tally, burst: Burst) {
    for n in 0..burst.jobs {
        tally.room(n).await;
        let answer =
            if burst.json { queue.push("mail", &Mail::new(n)).await } else { queue.push("mail", &()).await };
        answer.expect("there is room");
    }
}

pub(crate) fn tokio(burst: Burst) -> Result<Duration, Void> {
    tokio_with(burst, |builder| builder, |_| ())
}

pub(crate) fn tokio_one(burst: Burst) -> Result<Duration, Void> {
    run(OnTokio::with_threads(1, |builder| builder), burst, |_| ())
}

/// On tokio with something more configured, and with something done before the start.
pub(crate) fn tokio_with<T>(
    burst: Burst,
    configure: impl FnOnce(Builder<Tokio>) -> Builder<Tokio>,
    prepare: impl FnOnce(&Queue<Tokio>) -> T,
) -> Result<Duration, Void> {
    run(OnTokio::new(configure), burst, prepare)
}

fn run<T>(ours: OnTokio, burst: Burst, prepare: impl FnOnce(&Queue<Tokio>) -> T) -> Result<Duration, Void> {
    let tally = Tally::new(burst);
    let counter = tally.clone();
    ours.queue.register("mail", move |job| mail(job, counter.clone(), burst));
    let prepared = prepare(&ours.queue);
    ours.queue.start();
    let (handle, waits) = (ours.queue.handle(), tally.clone());
    let time = timed(|| {
        ours.runtime.spawn(async move { push_all(&handle, &waits, burst).await });
        tally.wait();
    });
    ours.stop();
    drop(prepared);
    tally.check()?;
    Ok(time)
}

pub(crate) fn smol(burst: Burst) -> Result<Duration, Void> {
    let executor = Arc::new(smol::Executor::new());
    let queue = Queue::builder_on(Smol::on(&executor)).workers(4).build();
    let tally = Tally::new(burst);
    let counter = tally.clone();
    queue.register("mail", move |job| mail(job, counter.clone(), burst));
    queue.start();
    let (handle, waits) = (queue.handle(), tally.clone());
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let time = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let time = timed(|| {
            executor.spawn(async move { push_all(&handle, &waits, burst).await }).detach();
            tally.wait();
        });
        drop(stop);
        time
    });
    tally.check()?;
    Ok(time)
}

pub(crate) fn compio_one(burst: Burst) -> Result<Duration, Void> {
    compio(burst, 1)
}

pub(crate) fn compio_two(burst: Burst) -> Result<Duration, Void> {
    compio(burst, 2)
}

fn compio(burst: Burst, threads: usize) -> Result<Duration, Void> {
    let queue = queue_compio::Queue::builder().workers(4).build();
    let tally = Tally::new(burst);
    let counter = tally.clone();
    queue.register("mail", move |job| mail(job, counter.clone(), burst));
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let (started, is_started) = smol::channel::unbounded::<()>();
    let (go, gone) = smol::channel::bounded::<()>(1);
    let time = thread::scope(|scope| {
        for number in 0..threads {
            let (queue, tally, stopped, started, gone) = (&queue, &tally, &stopped, &started, &gone);
            scope.spawn(move || {
                compio::runtime::Runtime::new().expect("compio starts").block_on(async {
                    queue.start();
                    started.send(()).await.expect("the bench waits");
                    if number == 0 {
                        gone.recv().await.expect("the bench goes on");
                        push_all(queue, tally, burst).await;
                    }
                    // Closed when the bench is over.
                    stopped.recv().await.expect_err("nothing is sent");
                });
            });
        }
        for _ in 0..threads {
            is_started.recv_blocking().expect("every thread starts");
        }
        let time = timed(|| {
            go.send_blocking(()).expect("the first thread waits");
            tally.wait();
        });
        drop(stop);
        time
    });
    tally.check()?;
    Ok(time)
}
