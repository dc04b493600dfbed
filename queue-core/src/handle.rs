//! Everything an application does with a queue that does not need its runtime.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::dead::DeadJob;
use crate::engine::{Cancelling, Channel, Core, Requeueing};
use crate::event::Subscription;
use crate::job::{JobId, NewJob};
use crate::journal::Health;
use crate::payload::Payload;
use crate::push::{Push, PushError};
use crate::push_many::{PushMany, PushManyError};
use crate::queue::UnknownQueue;
use crate::unwind::drop_quietly;

/// A handle to a queue for whoever pushes, cancels or looks: it names no runtime and does not keep the workers running.
///
/// Made by [`Queue::handle`](Self::handle) (a queue dereferences to its handle) and [`Job::handle`](crate::Job::handle).
/// When the last [`Queue`](crate::Queue) is gone, pushes fail as after a shutdown.
#[derive(Clone)]
pub struct Handle {
    core: Arc<Core>,
}

impl Handle {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A handle that can be kept: for request handlers, for code that is not generic over the runtime.
    #[must_use]
    pub fn handle(&self) -> Self {
        self.clone()
    }

    /// Pushes a job whose payload is `payload` as JSON. The returned builder takes options and is then awaited; the job
    /// is accepted, with its number, when that returns `Ok`.
    ///
    /// When the named queue is full, waits for room, in turn. From inside one of the queue's own handlers it never waits:
    /// if all workers waited for room, nobody would make any. There a full queue is an error at once, which a handler
    /// passes on with `?` to be retried later.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use queue_core::{Handle, Priority, PushError};
    /// # async fn example(queue: Handle) -> Result<(), PushError> {
    /// queue.push("send_email", &"user@example.com").await?;
    /// let id = queue
    ///     .push("send_email", &"vip@example.com")
    ///     .priority(Priority::HIGH)
    ///     .delay(Duration::from_secs(5))
    ///     .await?;
    /// # let _ = id; Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PushError`], with the job given back: the queue is shut down, a named queue does not exist, the payload is not
    /// JSON or too large, or (inside a handler) there is no room.
    ///
    /// # Cancel safety
    ///
    /// A push whose future is dropped before it returned has not happened, and its place in line goes to the next.
    #[inline]
    pub fn push<'a, T>(&'a self, kind: &'a str, payload: &T) -> Push<'a>
    where
        T: Serialize + ?Sized,
    {
        Push::new(&self.core, kind, Payload::json(payload))
    }

    /// Pushes a job that runs no earlier than `delay` from now: `push(kind, payload).delay(delay)`.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_delayed<'a, T>(&'a self, kind: &'a str, payload: &T, delay: Duration) -> Push<'a>
    where
        T: Serialize + ?Sized,
    {
        self.push(kind, payload).delay(delay)
    }

    /// Pushes a job now or not at all: `push(kind, payload).try_push()`.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push), and [`PushError::Full`] when there is no room or others wait for it.
    pub fn try_push<T>(&self, kind: &str, payload: &T) -> Result<JobId, PushError>
    where
        T: Serialize + ?Sized,
    {
        self.push(kind, payload).try_push()
    }

    /// Pushes a job that was made before, or given back by a failed push or a shutdown.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_job(&self, job: NewJob) -> Push<'_> {
        Push::of(&self.core, job)
    }

    /// Pushes many jobs: one lock and one decision whom to wake for all that go to the same named queue. Returns their
    /// numbers, in the order in which the jobs came.
    ///
    /// When a named queue has no room for all that go to it, the first of them are accepted and the rest waits for room,
    /// as in [`push`](Self::push); those that go elsewhere do not wait for them.
    ///
    /// ```
    /// # use queue_core::{Handle, NewJob};
    /// # async fn example(queue: Handle) -> Result<(), Box<dyn std::error::Error>> {
    /// let jobs: Result<Vec<_>, _> = (0..1000).map(|page| NewJob::json("index_page", &page)).collect();
    /// let ids = queue.push_many(jobs?).await?;
    /// # let _ = ids; Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PushManyError`], which says which jobs were accepted and gives the others back. A named queue that does not
    /// exist, or a payload that can never fit, is found before anything is accepted.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the jobs that were accepted so far stay accepted and the others are gone with it.
    pub fn push_many<I>(&self, jobs: I) -> PushMany<'_>
    where
        I: IntoIterator<Item = NewJob>,
    {
        PushMany::new(&self.core, jobs.into_iter())
    }

    /// Pushes as many of these jobs as there is room for now: the first ones of those that go to each named queue.
    ///
    /// # Errors
    ///
    /// As [`push_many`](Self::push_many), when it was not all of them.
    pub fn try_push_many<I>(&self, jobs: I) -> Result<Vec<JobId>, PushManyError>
    where
        I: IntoIterator<Item = NewJob>,
    {
        self.push_many(jobs).try_push()
    }

    /// Cancels a job. One that waits is removed; one that runs is asked to stop, which its handler sees through
    /// [`Job::cancelled`](crate::Job::cancelled), and is not retried if it then fails. A dead letter is left alone.
    #[must_use = "the job may not be there any more"]
    pub fn cancel(&self, id: JobId) -> CancelAnswer {
        let answers = self.core.channels().iter().map(|channel| channel.cancel(&self.core, id));
        match answers.into_iter().find(|answer| *answer != Cancelling::NotFound) {
            Some(Cancelling::Removed) => {
                self.core.wait_until_written();
                CancelAnswer::Removed
            }
            Some(Cancelling::Asked) => CancelAnswer::Asked,
            Some(Cancelling::NotFound) | None => CancelAnswer::NotFound,
        }
    }

    /// Stops starting jobs of a named queue. Running ones go on, pushes are taken. During shutdown the jobs of a paused
    /// queue are handed back.
    ///
    /// # Errors
    ///
    /// [`UnknownQueue`] if there is none of that name.
    pub fn pause(&self, queue: &str) -> Result<(), UnknownQueue> {
        self.channel(queue)?.set_paused(&self.core, true);
        Ok(())
    }

    /// Starts jobs of a paused queue again.
    ///
    /// # Errors
    ///
    /// [`UnknownQueue`] if there is none of that name.
    pub fn resume(&self, queue: &str) -> Result<(), UnknownQueue> {
        self.channel(queue)?.set_paused(&self.core, false);
        Ok(())
    }

    /// How many jobs wait: ready, delayed, or for a retry.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.core.channels().iter().map(|channel| channel.load().counts.waiting()).sum()
    }

    /// How many jobs run.
    #[must_use]
    pub fn inflight_count(&self) -> usize {
        self.core.channels().iter().map(|channel| channel.load().counts.running).sum()
    }

    /// How many dead letters are kept.
    #[must_use]
    pub fn dead_letter_count(&self) -> usize {
        self.core.channels().iter().map(|channel| channel.load().dead).sum()
    }

    /// How many jobs of a named queue are where.
    ///
    /// # Errors
    ///
    /// [`UnknownQueue`] if there is none of that name.
    pub fn counts(&self, queue: &str) -> Result<QueueCounts, UnknownQueue> {
        let load = self.channel(queue)?.load();
        Ok(QueueCounts {
            ready: load.counts.ready,
            delayed: load.counts.delayed,
            running: load.counts.running,
            dead: load.dead,
            waiting_bytes: load.counts.waiting_bytes,
            workers: load.workers,
            is_paused: load.paused,
        })
    }

    /// The dead letters of all named queues, each queue's oldest first.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Arc<DeadJob>> {
        self.core.channels().iter().flat_map(Channel::dead_letters).collect()
    }

    /// Drops all dead letters, and says how many there were.
    pub fn clear_dead_letters(&self) -> usize {
        let channels = self.core.channels().iter();
        let cleared: Vec<_> = channels.flat_map(|channel| channel.clear_dead_letters(&self.core)).collect();
        self.core.wait_until_written();
        let count = cleared.len();
        cleared.into_iter().for_each(drop_quietly);
        count
    }

    /// Gives a dead letter another life: ready at once, with its attempts counted from 0 and its history kept.
    ///
    /// # Errors
    ///
    /// [`RequeueError`]; the dead letter then stays where it is.
    pub fn requeue(&self, id: JobId) -> Result<(), RequeueError> {
        let answers = self.core.channels().iter().map(|channel| channel.requeue(&self.core, id));
        match answers.into_iter().find(|answer| *answer != Requeueing::NotFound) {
            Some(Requeueing::Requeued) => {
                self.core.wait_until_written();
                Ok(())
            }
            Some(Requeueing::Full) => Err(RequeueError::Full(id)),
            Some(Requeueing::Closed) => Err(RequeueError::ShutDown(id)),
            Some(Requeueing::NotFound) | None => Err(RequeueError::NotFound(id)),
        }
    }

    /// Gives every dead letter that `filter` picks another life, and returns their numbers. Those that find no room stay
    /// dead letters.
    pub fn requeue_where<F>(&self, mut filter: F) -> Vec<JobId>
    where
        F: FnMut(&DeadJob) -> bool,
    {
        let picked = self.dead_letters().into_iter().filter(|dead| filter(dead)).map(|dead| dead.id);
        picked.filter(|id| self.requeue(*id).is_ok()).collect()
    }

    /// How the durable store does. In memory all is well.
    #[must_use]
    pub fn health(&self) -> Health {
        self.core.health()
    }

    /// How many jobs and dead letters the durable store holds for named queues that were not configured. They are left
    /// alone, and are there for a program that has those queues.
    #[must_use]
    pub fn stray_count(&self) -> usize {
        self.core.strays()
    }

    /// Subscribes to what happens from now on. The subscriber may lag `capacity` events behind (at least 1) before it
    /// misses the oldest; the queue never waits for it.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        self.core.events.subscribe(capacity)
    }

    fn channel(&self, name: &str) -> Result<&Channel, UnknownQueue> {
        self.core.channel_named(name).ok_or_else(|| UnknownQueue { name: name.into() })
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.core.channels().iter().map(Channel::name).collect();
        f.debug_struct("Handle")
            .field("queues", &names)
            .field("pending", &self.pending_count())
            .field("inflight", &self.inflight_count())
            .finish_non_exhaustive()
    }
}

/// What [`Handle::cancel`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelAnswer {
    /// It waited, and is gone.
    Removed,
    /// It runs, and was asked to stop.
    Asked,
    /// It is done, a dead letter, or was never here.
    NotFound,
}

/// How many jobs of a named queue are where; made by [`Handle::counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Waiting for a worker.
    pub ready: usize,
    /// Waiting for their time: delayed, snoozed, or for a retry.
    pub delayed: usize,
    /// Running.
    pub running: usize,
    /// Dead letters.
    pub dead: usize,
    /// Payload bytes of the ready and delayed ones.
    pub waiting_bytes: usize,
    /// Workers that are alive, idle ones included.
    pub workers: usize,
    /// Whether it is paused.
    pub is_paused: bool,
}

/// Why a dead letter was not requeued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequeueError {
    /// There is no such dead letter.
    NotFound(JobId),
    /// Its named queue is full, or pushes wait for room in it; try again later.
    Full(JobId),
    /// The queue is shut down.
    ShutDown(JobId),
}

impl fmt::Display for RequeueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(id) => write!(f, "there is no dead letter {id}"),
            Self::Full(id) => write!(f, "no room to requeue dead letter {id}; try again later"),
            Self::ShutDown(id) => write!(f, "dead letter {id} cannot be requeued: the queue is shut down"),
        }
    }
}

impl std::error::Error for RequeueError {}
