//! What is watched: a queue that does one thing after the other, and says each change before it begins and when it was
//! acknowledged.

use std::path::Path;
use std::time::Duration;

use queue_core::{BoxError, CancelAnswer, Event, Job, JobId, NewJob, QueueConfig, RetryPolicy, Subscription};
use queue_sqlite::{Durability, Store};
use queue_tokio::Queue;

use super::history::payload;
use super::trace::MARK;

const HOUR: Duration = Duration::from_hours(1);

/// How many things are done: enough for several checkpoints.
const ACTIONS: usize = 250;

/// Jobs that stay until they are cancelled.
const SHELF: &str = "shelf";

pub(crate) fn run(path: &Path, durability: Durability) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("it starts").block_on(live(path, durability));
}

async fn live(path: &Path, durability: Durability) {
    let store = Store::options().durability(durability).open(path).expect("it opens");
    let bounds = QueueConfig::new().workers(1).dead_letters(usize::MAX);
    let queue = Queue::builder().defaults(bounds).queue(SHELF, QueueConfig::new()).store(store).build();
    queue.pause(SHELF).expect("there is one");
    for (kind, retry) in
        [("done", RetryPolicy::None), ("die", RetryPolicy::None), ("retry", RetryPolicy::fixed(1, HOUR))]
    {
        queue.kind(kind).retry(retry).register(work).expect("there is such a queue");
    }
    let mut events = queue.subscribe(1 << 12);
    queue.start();
    let mut random = fastrand::Rng::with_seed(42);
    let mut shelf: Vec<(u64, JobId)> = Vec::new();
    let mut tags = 1..;
    for _ in 0..ACTIONS {
        let tag = tags.next().expect("there are enough");
        let size = if random.u8(..4) == 0 { random.usize(300..30_000) } else { random.usize(8..250) };
        match random.u8(..12) {
            0..=3 => {
                begins("push", tag, size);
                let job = NewJob::raw("stay", payload(tag, size)).queue(SHELF);
                shelf.push((tag, queue.push_job(job).await.expect("the store is well")));
                acknowledged(1);
            }
            4 => {
                let batch: Vec<u64> = tags.by_ref().take(20).collect();
                let jobs = batch.iter().map(|tag| {
                    begins("push", *tag, 40);
                    NewJob::raw("stay", payload(*tag, 40)).queue(SHELF)
                });
                let jobs: Vec<_> = jobs.collect();
                let ids = queue.push_many(jobs).await.expect("the store is well");
                acknowledged(batch.len());
                shelf.extend(batch.into_iter().zip(ids));
            }
            5..=7 if !shelf.is_empty() => {
                let (tag, id) = shelf.swap_remove(random.usize(..shelf.len()));
                begins("cancel", tag, 0);
                assert_eq!(queue.cancel(id), CancelAnswer::Removed);
                acknowledged(1);
            }
            choice => {
                let kind = ["done", "die", "retry"][usize::from(choice) % 3];
                begins("push", tag, size);
                begins(kind, tag, 0);
                let id =
                    queue.push_job(NewJob::raw(kind, payload(tag, size))).await.expect("the store is well");
                acknowledged(1);
                wait_for_end(&mut events, id).await;
                acknowledged(1);
            }
        }
    }
    queue.shutdown(Duration::ZERO).await;
}

async fn work(job: Job) -> Result<(), BoxError> {
    if &*job.name == "done" { Ok(()) } else { Err("as it should".into()) }
}

async fn wait_for_end(events: &mut Subscription, id: JobId) {
    loop {
        match events.recv().await.expect("the queue lives") {
            Event::Succeeded(job) | Event::Died { job, .. } | Event::Retried { job, .. } if job.id == id => {
                return;
            }
            _ => {}
        }
    }
}

fn begins(what: &str, tag: u64, size: usize) {
    println!("{MARK}i {what} {tag} {size}");
}

fn acknowledged(changes: usize) {
    println!("{MARK}a {changes}");
}
