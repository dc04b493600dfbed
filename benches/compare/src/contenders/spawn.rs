//! A task per job, which is what people do without a queue, and no task at all.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::tokio_on;
use crate::measure::timed;
use crate::work::{Burst, Tally, Void};

pub(crate) fn tokio_threads(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let tally = Tally::new(burst);
    let counter = tally.clone();
    let time = timed(|| {
        runtime.spawn(push_tokio(burst, counter));
        tally.wait();
    });
    drop(runtime);
    tally.check()?;
    Ok(time)
}

async fn push_tokio(burst: Burst, tally: Arc<Tally>) {
    for n in 0..burst.jobs {
        tally.room(n).await;
        let tally = tally.clone();
        let payload = burst.payload(n);
        tokio::spawn(async move { tally.run(&payload) });
    }
}

pub(crate) fn smol_threads(burst: Burst) -> Result<Duration, Void> {
    let executor = Arc::new(smol::Executor::new());
    let tally = Tally::new(burst);
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let time = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let (spawner, counter) = (executor.clone(), tally.clone());
        let time = timed(|| {
            let push = async move {
                for n in 0..burst.jobs {
                    counter.room(n).await;
                    let counter = counter.clone();
                    let payload = burst.payload(n);
                    spawner.spawn(async move { counter.run(&payload) }).detach();
                }
            };
            executor.spawn(push).detach();
            tally.wait();
        });
        drop(stop);
        time
    });
    tally.check()?;
    Ok(time)
}

pub(crate) fn compio_one(burst: Burst) -> Result<Duration, Void> {
    let tally = Tally::new(burst);
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let (go, gone) = smol::channel::bounded::<()>(1);
    let time = thread::scope(|scope| {
        let counter = tally.clone();
        scope.spawn(move || {
            compio::runtime::Runtime::new().expect("compio starts").block_on(async move {
                gone.recv().await.expect("the bench goes on");
                for n in 0..burst.jobs {
                    counter.room(n).await;
                    let counter = counter.clone();
                    let payload = burst.payload(n);
                    compio::runtime::spawn(async move { counter.run(&payload) }).detach();
                }
                // Closed when the bench is over.
                stopped.recv().await.expect_err("nothing is sent");
            });
        });
        let time = timed(|| {
            go.send_blocking(()).expect("the thread waits");
            tally.wait();
        });
        drop(stop);
        time
    });
    tally.check()?;
    Ok(time)
}

/// The floor: encode, decode, count.
pub(crate) fn inline(burst: Burst) -> Result<Duration, Void> {
    let tally = Tally::new(burst);
    let time = timed(|| {
        for n in 0..burst.jobs {
            tally.run(&std::hint::black_box(burst.payload(n)));
        }
    });
    tally.check()?;
    Ok(time)
}
