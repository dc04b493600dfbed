//! What a queue does with a job, one after another, through its public API.

use std::time::{Duration, Instant};

use queue_core::{CancelAnswer, JobId, Name, NewJob, Queue, RetryPolicy};

use crate::manual::Manual;

/// Something that is done once per job.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What it is called in the baseline.
    pub name: &'static str,
    /// Brings that many jobs to where the operation starts; measured as part of it and subtracted.
    prepare: fn(&Bed, u64) -> Vec<JobId>,
    finish: fn(&Bed, Vec<JobId>),
}

/// Every operation that is counted.
pub const OPERATIONS: &[Operation] = &[
    Operation { name: "push", prepare: nothing, finish: |bed, _| drop(push(bed, bed.jobs)) },
    Operation { name: "push in batches", prepare: nothing, finish: |bed, _| push_many(bed, bed.jobs) },
    Operation { name: "claim and settle", prepare: push, finish: |bed, _| bed.drain() },
    Operation { name: "push, wake and run", prepare: nothing, finish: |bed, _| trickle(bed, bed.jobs) },
    Operation { name: "delayed insert", prepare: nothing, finish: |bed, _| drop(delay(bed, bed.jobs)) },
    Operation { name: "fire, claim and settle", prepare: delay, finish: |bed, _| bed.fire() },
    Operation { name: "cancel ready", prepare: push, finish: cancel },
    Operation { name: "cancel delayed", prepare: delay, finish: cancel },
    Operation { name: "fail, wait and bury", prepare: push_failing, finish: |bed, _| bed.fire() },
];

impl Operation {
    /// Does it with so many jobs; without `all` only what comes before it.
    pub fn run(&self, jobs: u64, all: bool) {
        let bed = Bed::new(jobs);
        let ids = (self.prepare)(&bed, jobs);
        if all {
            (self.finish)(&bed, ids);
        }
        // What it takes to drop a queue belongs to no operation.
        std::mem::forget(bed);
    }

    /// How long it takes with so many jobs, without what comes before it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    pub fn time(&self, jobs: u64) -> Duration {
        let bed = Bed::new(jobs);
        let ids = (self.prepare)(&bed, jobs);
        let started = Instant::now();
        (self.finish)(&bed, ids);
        started.elapsed()
    }
}

struct Bed {
    runtime: Manual,
    queue: Queue<Manual>,
    jobs: u64,
}

const SPREAD: Duration = Duration::from_hours(1);

impl Bed {
    fn new(jobs: u64) -> Self {
        let runtime = Manual::new();
        let queue = Queue::builder_on(runtime.clone())
            .workers(1)
            .seed(1)
            .retry(RetryPolicy::fixed(1, Duration::from_secs(1)))
            .build();
        queue.register("mail", |_| async { Ok(()) });
        queue.register("fails", |_| async { Err::<(), _>("no".into()) });
        queue.start();
        runtime.run();
        Self { runtime, queue, jobs }
    }

    fn drain(&self) {
        self.runtime.run();
        assert_eq!(self.queue.pending_count(), 0, "everything ran");
    }

    /// Goes through the time in which jobs are due, a hundred at a time.
    fn fire(&self) {
        self.runtime.run();
        for _ in 0..=100 {
            self.runtime.advance(SPREAD / 100);
            self.runtime.run();
        }
        assert_eq!(self.queue.pending_count(), 0, "everything was due");
    }
}

fn nothing(_: &Bed, _: u64) -> Vec<JobId> {
    Vec::new()
}

/// Something that fits into a job, as most payloads do.
const PAYLOAD: &(&str, u64) = &("user@example.com", 1_234);

fn push(bed: &Bed, jobs: u64) -> Vec<JobId> {
    (0..jobs).map(|_| bed.queue.try_push("mail", PAYLOAD).expect("there is room")).collect()
}

/// A thousand at a time, about, and what it takes to make them.
fn push_many(bed: &Bed, jobs: u64) {
    const BATCH: u64 = 1_024;
    let kind = Name::from("mail");
    for _ in 0..jobs / BATCH {
        let batch = (0..BATCH).map(|_| NewJob::json(kind.clone(), PAYLOAD).expect("it is plain data"));
        let ids = bed.queue.try_push_many(batch).expect("there is room");
        assert_eq!(ids.len() as u64, BATCH);
    }
}

/// Every job finds the worker idle.
fn trickle(bed: &Bed, jobs: u64) {
    for _ in 0..jobs {
        bed.queue.try_push("mail", PAYLOAD).expect("there is room");
        bed.runtime.run();
    }
}

fn push_failing(bed: &Bed, jobs: u64) -> Vec<JobId> {
    (0..jobs).map(|_| bed.queue.try_push("fails", PAYLOAD).expect("there is room")).collect()
}

fn delay(bed: &Bed, jobs: u64) -> Vec<JobId> {
    let push = |n: u64| {
        // No order, and no two at once.
        let nth = u32::try_from(n * 7_919 % jobs).expect("a bench has few jobs");
        let delay = SPREAD * nth / u32::try_from(jobs).expect("a bench has few jobs");
        bed.queue.push_delayed("mail", PAYLOAD, delay).try_push().expect("there is room")
    };
    (0..jobs).map(push).collect()
}

fn cancel(bed: &Bed, ids: Vec<JobId>) {
    for id in ids {
        assert_eq!(bed.queue.cancel(id), CancelAnswer::Removed);
    }
}
