//! The queue of tako-rs, on tokio with 2 threads and 4 workers.

use std::time::Duration;

use tako::queue::{Job, Queue};

use super::tokio_on;
use crate::measure::timed;
use crate::work::{Burst, Mail, Tally, Void};

pub(crate) fn burst(burst: Burst) -> Result<Duration, Void> {
    let runtime = tokio_on(2);
    let queue = Queue::builder().workers(4).build();
    let tally = Tally::new(burst);
    let counter = tally.clone();
    queue.register("mail", move |job: Job| {
        let counter = counter.clone();
        async move {
            if burst.json {
                counter.mail(&job.deserialize()?);
            } else {
                counter.count(0);
            }
            Ok(())
        }
    });
    runtime.block_on(async { queue.start() });
    let (pusher, waits) = (queue.clone(), tally.clone());
    let time = timed(|| {
        runtime.spawn(async move {
            for n in 0..burst.jobs {
                waits.room(n).await;
                let answer = if burst.json {
                    pusher.push("mail", &Mail::new(n)).await
                } else {
                    pusher.push("mail", &()).await
                };
                answer.expect("there is room");
            }
        });
        tally.wait();
    });
    drop(queue);
    drop(runtime);
    tally.check()?;
    Ok(time)
}
