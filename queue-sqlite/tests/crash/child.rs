//! What is killed: a queue with work of every sort, that says what it has been promised.
//!
//! | line | meaning |
//! |---|---|
//! | `a ID KIND TAG` | the push returned |
//! | `r ID ATTEMPT KIND TAG` | an attempt begins |
//! | `c ID`, `q ID` | it is about to be cancelled, or requeued |
//! | `e ID EVENT ATTEMPT` | an event was published, so what it tells of is written |
//! | `x TEXT` | something is wrong |

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use queue_core::{
    BoxError, Event, Handle, Job, JobId, NewJob, Outcome, Priority, QueueConfig, RetryPolicy, Subscription,
};
use queue_sqlite::Store;
use queue_tokio::Queue;

use super::{DEAD_LETTERS, RETRIES};

/// How many push at a time.
const PUSHERS: usize = 8;

/// How many jobs may wait: few enough that all of them are through within a life or two.
const CAPACITY: usize = 500;

const MILLISECOND: Duration = Duration::from_millis(1);

pub(crate) fn run(path: &Path, keeps_settled: bool, drains: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("it starts").block_on(live(path, keeps_settled, drains));
}

async fn live(path: &Path, keeps_settled: bool, drains: bool) {
    // Whatever runs beside a crash is innocent here.
    let mut options = Store::options().crashes_before_quarantine(NonZeroU32::MAX).payload_memory(10_000);
    let mut bounds = QueueConfig::new().workers(8).capacity(CAPACITY).dead_letters(usize::MAX);
    if keeps_settled {
        options = options.keep_settled(Duration::MAX);
        bounds = bounds.dead_letters(DEAD_LETTERS);
    }
    let store = options.open(path).expect("it opens");
    let queue = Queue::builder().defaults(bounds).queue("later", QueueConfig::new()).store(store).build();
    for kind in ["quick", "slow", "large", "sleepy", "flaky", "doomed", "unwanted"] {
        let retry = RetryPolicy::fixed(RETRIES, MILLISECOND);
        queue.kind(kind).retry(retry).register(work).expect("there is such a queue");
    }
    let (mut told, settled) = (queue.subscribe(1 << 16), queue.subscribe(1 << 16));
    let telling = tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            tell(&event);
        }
        assert_eq!(told.missed(), 0, "the ring is large enough");
    });
    queue.start();
    if drains {
        drain(&queue, settled).await;
        telling.await.expect("it tells everything");
        return;
    }
    let pushers: Vec<_> = (0..PUSHERS).map(|_| tokio::spawn(push(queue.handle()))).collect();
    for pusher in pushers {
        pusher.await.expect("it pushes until it is killed");
    }
}

/// Works until nothing is left but what is not wanted for an hour.
async fn drain(queue: &Queue, mut settled: Subscription) {
    let is_done = || {
        let counts = queue.counts("default").expect("there is always one");
        counts.ready + counts.delayed + counts.running == 0
    };
    while !is_done() {
        settled.recv().await.expect("it is open");
    }
    drop(settled);
    let report = queue.shutdown(Duration::from_mins(1)).await;
    assert!(report.abandoned.is_empty(), "{report:?}");
}

async fn push(handle: Handle) {
    loop {
        let (kind, size) = match fastrand::u32(..20) {
            0..=5 => ("quick", fastrand::usize(8..100)),
            6..=8 => ("slow", 8),
            9..=10 => ("large", fastrand::usize(8..20_000)),
            11..=12 => ("sleepy", 300),
            13..=15 => ("flaky", fastrand::usize(8..400)),
            16 => ("doomed", fastrand::usize(8..400)),
            _ => ("unwanted", 8),
        };
        let tag = fastrand::u64(..);
        let mut job = NewJob::raw(kind, payload(tag, size))
            .priority(Priority::new(fastrand::u8(..10)).unwrap_or_default());
        if kind == "unwanted" {
            job = job.queue("later").delay(Duration::from_hours(1));
        } else if fastrand::u32(..4) == 0 {
            job = job.delay(MILLISECOND * fastrand::u32(..30));
        }
        let id = match handle.push_job(job).await {
            Ok(id) => id,
            Err(error) => return println!("> x a push failed: {error}"),
        };
        println!("> a {id} {kind} {tag}");
        if kind == "unwanted" || (kind == "slow" && fastrand::bool()) {
            cancel(&handle, id);
        }
        if fastrand::u32(..50) == 0
            && let Some(dead) = handle.dead_letters().first()
        {
            println!("> q {}", dead.id);
            // Another task may have been first.
            let _ = handle.requeue(dead.id);
        }
    }
}

fn cancel(handle: &Handle, id: JobId) {
    println!("> c {id}");
    // It may have begun, or be over.
    let _ = handle.cancel(id);
}

async fn work(job: Job) -> Result<Outcome, BoxError> {
    let (id, attempt, kind) = (job.id, job.attempt, job.name.clone());
    let Some(tag) = job.raw_payload().first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
        println!("> x {id} has no tag");
        return Ok(Outcome::Done);
    };
    println!("> r {id} {attempt} {kind} {tag}");
    if job.raw_payload() != payload(tag, job.raw_payload().len()) {
        println!("> x {id} has another payload");
    }
    match &*kind {
        "slow" => tokio::time::sleep(MILLISECOND * fastrand::u32(..30)).await,
        "sleepy" if fastrand::bool() => return Ok(Outcome::Snooze(MILLISECOND * fastrand::u32(..5))),
        "flaky" if attempt < 2 => return Err(format!("attempt {attempt}").into()),
        "doomed" => return Err(format!("attempt {attempt}").into()),
        _ => {}
    }
    Ok(Outcome::Done)
}

fn tell(event: &Event) {
    let (job, what) = match event {
        Event::Succeeded(job) => (job, "done"),
        Event::Cancelled(job) => (job, "cancelled"),
        Event::Retried { job, .. } => (job, "retried"),
        Event::Died { job, .. } => (job, "died"),
        Event::DeadLetterEvicted(job) => (job, "dropped"),
        Event::StoreFailed { error } => return println!("> x {error}"),
        _ => return,
    };
    println!("> e {} {what} {}", job.id, job.attempt);
}

/// Bytes that follow from a tag, which comes first.
fn payload(tag: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(tag);
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.resize_with(size, || random.u8(..));
    bytes
}
