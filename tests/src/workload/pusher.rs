//! Someone who pushes, cancels, pauses and requeues, as the seed says.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::{or, poll_fn};
use queue_core::{CancelAnswer, Handle, JobId, NewJob, Payload, Priority, PushError};
use queue_sim::World;

use super::handlers::{KINDS, Script};
use super::plan::{millis, some_retry};
use crate::invariants::{BATCH, JobFacts, Monitor, What};

pub(super) struct Pusher {
    sim: World,
    handle: Handle,
    monitor: Monitor,
    queues: usize,
    random: Rng,
}

impl Pusher {
    pub(super) fn new(sim: &World, handle: Handle, monitor: &Monitor, queues: usize) -> Self {
        Self { sim: sim.clone(), handle, monitor: monitor.clone(), queues, random: sim.random() }
    }

    pub(super) async fn run(mut self, operations: usize) {
        for _ in 0..operations {
            if self.random.bool() {
                let pause = millis(0..20, &mut self.random);
                self.sim.sleep(pause).await;
            }
            match self.random.u8(0..20) {
                0..=5 => drop(self.push(None).await),
                6..=10 => {
                    let patience = millis(0..20, &mut self.random);
                    drop(self.push(Some(patience)).await);
                }
                11..=12 => self.try_push(),
                13..=14 => self.push_batch().await,
                15..=16 => self.cancel(),
                17 => self.requeue(),
                _ => self.pause(),
            }
        }
    }

    /// Pushes a job, and gives up when `patience` is over.
    async fn push(&mut self, patience: Option<Duration>) -> Option<Result<JobId, PushError>> {
        let (queue, facts, job) = self.some_job();
        let looks_once_more = self.random.bool();
        let mut push = pin!(self.handle.push_job(job).into_future());
        let mut waits = Waits { monitor: &self.monitor, queue, does: false };
        let accept = poll_fn(|cx| {
            let polled = push.as_mut().poll(cx);
            if let Poll::Ready(Ok(id)) = &polled {
                self.monitor.note(&What::Accepted(*id, facts));
            }
            waits.set(polled.is_pending());
            polled.map(Some)
        });
        let gives_up = async {
            match patience {
                Some(patience) => self.sim.sleep(patience).await,
                None => std::future::pending().await,
            }
            None
        };
        // Whoever gives up without a last look may have been granted room already.
        if looks_once_more { or(accept, gives_up).await } else { or(gives_up, accept).await }
    }

    /// Pushes a job from inside of a handler, to the default queue.
    pub(super) async fn push_from_inside(&mut self) -> Result<(), PushError> {
        self.push(None).await.map_or(Ok(()), |pushed| pushed.map(drop))
    }

    /// Pushes a job that does not become ready soon.
    pub(super) fn push_for_later(&self, delay: Duration) {
        let id = self.handle.push_job(NewJob::raw(KINDS[0], b"null".to_vec()).delay(delay)).try_push();
        let not_before = self.sim.elapsed() + delay;
        let facts = JobFacts { not_before, delay, is_ready: false, ..JobFacts::ALIKE };
        self.monitor.note(&What::Accepted(id.expect("a drained queue has room"), facts));
    }

    fn try_push(&mut self) {
        let (_, facts, job) = self.some_job();
        if let Ok(id) = self.handle.push_job(job).try_push() {
            self.monitor.note(&What::Accepted(id, facts));
        }
    }

    async fn push_batch(&mut self) {
        let count = self.random.usize(0..8);
        let queue = self.random.usize(0..self.queues);
        let name = self.monitor.facts(|facts| facts.queues[queue].name.clone());
        let jobs: Vec<_> =
            (0..count).map(|_| NewJob::raw(BATCH, self.some_payload()).queue(name.clone())).collect();
        let pushed = self.handle.push_many(jobs).await;
        let ids = pushed.unwrap_or_else(|error| error.accepted().to_vec());
        for id in ids {
            self.monitor.note(&What::Accepted(id, JobFacts::ALIKE));
        }
    }

    fn cancel(&mut self) {
        let ids: Vec<_> = self.monitor.facts(|facts| facts.ledger.ids().collect());
        if let Some(id) = self.random.choice(ids)
            && self.handle.cancel(id) == CancelAnswer::Asked
        {
            self.monitor.note(&What::Asked(id));
        }
    }

    fn requeue(&mut self) {
        let ids: Vec<_> = self.handle.dead_letters().iter().map(|dead| dead.id).collect();
        if let Some(id) = self.random.choice(ids) {
            let _ = self.handle.requeue(id);
        }
    }

    fn pause(&mut self) {
        let queue = self.random.usize(0..self.queues);
        let name = self.monitor.facts(|facts| facts.queues[queue].name.clone());
        let done = if self.random.bool() { self.handle.pause(&name) } else { self.handle.resume(&name) };
        done.expect("it exists");
    }

    fn some_job(&mut self) -> (usize, JobFacts, NewJob) {
        let kind = if self.random.u8(0..30) == 0 { KINDS[2] } else { KINDS[0] };
        let queue = self.random.usize(0..self.queues);
        let priority = Priority::new(self.random.u8(0..10)).expect("it is one of ten");
        let delay = (self.random.u8(0..3) == 0).then(|| millis(0..100, &mut self.random));
        let name = self.monitor.facts(|facts| facts.queues[queue].name.clone());
        let mut job = NewJob::raw(kind, self.some_payload()).priority(priority).queue(name);
        if let Some(delay) = delay {
            job = job.delay(delay);
        }
        if self.random.u8(0..4) == 0 {
            job = job.retry(some_retry(&mut self.random));
        }
        let timeout = (self.random.u8(0..4) == 0).then(|| millis(0..100, &mut self.random));
        if let Some(timeout) = timeout {
            job = job.timeout(timeout);
        }
        let is_ready = delay.is_none_or(|delay| delay.is_zero());
        let delay = delay.unwrap_or_default();
        let not_before = self.sim.elapsed() + delay;
        (queue, JobFacts { priority, not_before, delay, is_ready, timeout }, job)
    }

    fn some_payload(&mut self) -> Payload {
        let script = Script::new(&mut self.random);
        serde_json::to_vec(&script).expect("a script is JSON").into()
    }
}

/// Tells the monitor of a push that waits, for as long as it does.
struct Waits<'a> {
    monitor: &'a Monitor,
    queue: usize,
    does: bool,
}

impl Waits<'_> {
    fn set(&mut self, waits: bool) {
        if self.does != waits {
            self.does = waits;
            let what = if waits { What::Waits(self.queue) } else { What::WaitsNoMore(self.queue) };
            self.monitor.note(&what);
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}
