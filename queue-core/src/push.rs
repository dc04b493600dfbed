//! The push builders, their futures and their errors.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::current;
use crate::engine::{BatchItem, Core, Refusal, Submission, Ticket};
use crate::job::{EncodeError, JobId, JobOptions, Name, NewJob, Priority};
use crate::payload::Payload;
use crate::retry::RetryPolicy;

/// A job about to be pushed; made by [`Handle::push`](crate::Handle::push). Set its options, then await it.
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct Push<'a> {
    core: &'a Arc<Core>,
    kind: Cow<'a, str>,
    /// `None`: the named queue that was asked for does not exist.
    channel: Option<usize>,
    job: Submission,
    /// There is no payload.
    broken: Option<serde_json::Error>,
}

impl<'a> Push<'a> {
    pub(crate) fn new(
        core: &'a Arc<Core>,
        kind: &'a str,
        payload: Result<Payload, serde_json::Error>,
    ) -> Self {
        let (number, channel) = core.find_kind(kind);
        let (payload, broken) = match payload {
            Ok(payload) => (payload, None),
            Err(error) => (Payload::empty(), Some(error)),
        };
        let job = Submission { kind: number, payload, options: JobOptions::default() };
        Self { core, kind: Cow::Borrowed(kind), channel: Some(channel), job, broken }
    }

    pub(crate) fn of(core: &'a Arc<Core>, job: NewJob) -> Self {
        let NewJob { kind, payload, options } = job;
        let (number, home) = core.find_kind(&kind);
        let channel = options.queue().map_or(Some(home), |name| core.index_of(name));
        let kind = Cow::Owned(kind.as_str().to_owned());
        Self { core, kind, channel, job: Submission { kind: number, payload, options }, broken: None }
    }

    /// The named queue to run in, instead of the one its kind belongs to.
    pub fn queue(mut self, name: impl Into<Name>) -> Self {
        let name = name.into();
        self.channel = self.core.index_of(&name);
        self.job.options.overrides().queue = Some(name);
        self
    }

    /// Run no earlier than this long after the push was accepted.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.job.options.delay = Some(delay);
        self
    }

    /// How urgent this job is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.job.options.priority = priority;
        self
    }

    /// The retry policy of this job alone.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.job.options.overrides().retry = Some(policy);
        self
    }

    /// How long one attempt of this job may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.job.options.overrides().timeout = Some(timeout);
        self
    }

    /// Pushes now or not at all, without awaiting.
    ///
    /// # Errors
    ///
    /// [`PushError`], with the job given back.
    pub fn try_push(mut self) -> Result<JobId, PushError> {
        let channel = self.valid_channel()?;
        let pushed = self.core.channel(channel).try_push(self.core, &self.kind, &mut self.job);
        pushed.map_err(|refusal| self.refused(refusal))
    }

    /// Where the job goes, unless something is wrong with it.
    fn valid_channel(&mut self) -> Result<usize, PushError> {
        if let Some(source) = self.broken.take() {
            return Err(PushError::Encode(EncodeError { kind: (*self.kind).into(), source }));
        }
        self.channel.ok_or_else(|| PushError::UnknownQueue(Box::new(self.take_job())))
    }

    fn refused(&mut self, refusal: Refusal) -> PushError {
        let job = Box::new(self.take_job());
        match refusal {
            Refusal::Full => PushError::Full(job),
            Refusal::TooLarge => PushError::TooLarge(job),
            Refusal::ShutDown => PushError::ShutDown(job),
        }
    }

    fn take_job(&mut self) -> NewJob {
        take_job((*self.kind).into(), &mut self.job)
    }
}

impl<'a> IntoFuture for Push<'a> {
    type Output = Result<JobId, PushError>;
    type IntoFuture = PushFuture<'a>;

    fn into_future(self) -> PushFuture<'a> {
        PushFuture { push: self, ticket: None }
    }
}

fn take_job(kind: Name, job: &mut Submission) -> NewJob {
    let payload = std::mem::replace(&mut job.payload, Payload::empty());
    NewJob { kind, payload, options: std::mem::take(&mut job.options) }
}

/// A push under way; what awaiting a [`Push`] awaits.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct PushFuture<'a> {
    push: Push<'a>,
    ticket: Option<Ticket>,
}

impl Future for PushFuture<'_> {
    type Output = Result<JobId, PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { push, ticket } = &mut *self;
        let channel = push.core.channel(push.valid_channel()?);
        let polled = if ticket.is_none() && current::job_of(push.core).is_some() {
            Poll::Ready(channel.try_push(push.core, &push.kind, &mut push.job))
        } else {
            channel.poll_push(push.core, &push.kind, &mut push.job, ticket, cx.waker())
        };
        polled.map_err(|refusal| push.refused(refusal))
    }
}

impl Drop for PushFuture<'_> {
    fn drop(&mut self) {
        if let (Some(channel), Some(ticket)) = (self.push.channel, self.ticket) {
            self.push.core.channel(channel).leave_line(self.push.core, ticket);
        }
    }
}

/// Why a job was not accepted. It is given back: nothing is lost.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushError {
    /// The queue is shut down, or its last owner is gone.
    ShutDown(Box<NewJob>),
    /// There is no room, or others wait for it.
    Full(Box<NewJob>),
    /// The payload alone is larger than the named queue's `capacity_bytes`.
    TooLarge(Box<NewJob>),
    /// The push names a queue that was not configured.
    UnknownQueue(Box<NewJob>),
    /// The payload cannot be written as JSON; there never was a job.
    Encode(EncodeError),
}

impl PushError {
    /// The job, to push again or to keep; `None` if its payload could not even be encoded.
    #[must_use]
    pub fn into_job(self) -> Option<NewJob> {
        match self {
            Self::ShutDown(job) | Self::Full(job) | Self::TooLarge(job) | Self::UnknownQueue(job) => {
                Some(*job)
            }
            Self::Encode(_) => None,
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the queue takes no more jobs.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(self, Self::ShutDown(_))
    }
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShutDown(job) => write!(f, "job {:?} was not accepted: the queue is shut down", job.kind),
            Self::Full(job) => {
                write!(
                    f,
                    "job {:?} was not accepted: the queue is full; await `push` or try again later",
                    job.kind
                )
            }
            Self::TooLarge(job) => write!(
                f,
                "job {:?} was not accepted: its payload of {} bytes is larger than `capacity_bytes`",
                job.kind,
                job.payload.len()
            ),
            Self::UnknownQueue(job) => write!(
                f,
                "job {:?} was not accepted: there is no queue named {:?}; add it with `builder.queue(..)`",
                job.kind,
                job.options.queue().map_or("", Name::as_str)
            ),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for PushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            _ => None,
        }
    }
}

/// Many pushes under way; made by [`Handle::push_many`](crate::Handle::push_many).
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct PushMany<'a> {
    core: &'a Arc<Core>,
    /// In the order of the groups, and in the order they came within each.
    jobs: Vec<BatchJob>,
    groups: Vec<Group>,
    /// What was wrong before anything was pushed.
    refused: Option<(usize, Refused)>,
}

/// The jobs that go to the same named queue. A full one does not keep the others waiting.
#[derive(Debug)]
struct Group {
    channel: usize,
    /// The first of its jobs that is not accepted.
    next: usize,
    end: usize,
    ticket: Option<Ticket>,
}

#[derive(Debug)]
struct BatchJob {
    /// Its place in the order they came.
    place: usize,
    kind: Name,
    channel: usize,
    job: Submission,
    id: Option<JobId>,
}

#[derive(Clone, Copy, Debug)]
enum Refused {
    By(Refusal),
    UnknownQueue,
}

impl<'a> PushMany<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, new: Vec<NewJob>) -> Self {
        let mut refused = None;
        let mut jobs = Vec::with_capacity(new.len());
        for (place, NewJob { kind, payload, options }) in new.into_iter().enumerate() {
            let (number, home) = core.find_kind(&kind);
            let channel = options.queue().map_or(Some(home), |name| core.index_of(name));
            if channel.is_none() {
                refused.get_or_insert((place, Refused::UnknownQueue));
            }
            let channel = channel.unwrap_or(home);
            if payload.len() > core.channel(channel).config().capacity_bytes {
                refused.get_or_insert((place, Refused::By(Refusal::TooLarge)));
            }
            let job = Submission { kind: number, payload, options };
            jobs.push(BatchJob { place, kind, channel, job, id: None });
        }
        jobs.sort_by_key(|job| job.channel);
        let mut groups: Vec<Group> = Vec::new();
        for (place, job) in jobs.iter().enumerate() {
            match groups.last_mut() {
                Some(group) if group.channel == job.channel => group.end += 1,
                _ => groups.push(Group { channel: job.channel, next: place, end: place + 1, ticket: None }),
            }
        }
        Self { core, jobs, groups, refused }
    }

    /// Pushes what there is room for now, without awaiting.
    ///
    /// # Errors
    ///
    /// [`PushManyError`] when it was not all.
    pub fn try_push(mut self) -> Result<Vec<JobId>, PushManyError> {
        self.push_now()
    }

    fn push_now(&mut self) -> Result<Vec<JobId>, PushManyError> {
        let mut refused = self.refused.map(|(_, refused)| refused);
        if refused.is_none() {
            for group in &mut self.groups {
                let pushed = group.push(self.core, &mut self.jobs);
                refused = refused.or(pushed.err().map(Refused::By));
            }
        }
        match refused {
            None => Ok(self.ids()),
            Some(refused) => Err(self.fail(refused)),
        }
    }

    fn ids(&mut self) -> Vec<JobId> {
        self.jobs.sort_by_key(|job| job.place);
        self.jobs.iter().filter_map(|job| job.id).collect()
    }

    fn fail(&mut self, refused: Refused) -> PushManyError {
        // The job that `refused` is about.
        let unfinished = self.groups.iter().find(|group| group.next < group.end);
        let culprit = match self.refused {
            Some((place, _)) => Some(place),
            None => unfinished.map(|group| self.jobs[group.next].place),
        };
        let accepted = self.ids();
        let mut refused_jobs = Vec::new();
        let mut first = None;
        for item in self.jobs.iter_mut().filter(|item| item.id.is_none()) {
            if Some(item.place) == culprit {
                first = Some(refused_jobs.len());
            }
            refused_jobs.push(take_job(item.kind.clone(), &mut item.job));
        }
        self.jobs.clear();
        PushManyError { accepted, refused: refused_jobs, first: first.unwrap_or(0), reason: refused }
    }
}

impl Future for PushMany<'_> {
    type Output = Result<Vec<JobId>, PushManyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.refused.is_some() || current::job_of(this.core).is_some() {
            return Poll::Ready(this.push_now());
        }
        let mut is_pending = false;
        for group in &mut this.groups {
            match group.poll_push(this.core, &mut this.jobs, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(refusal)) => return Poll::Ready(Err(this.fail(Refused::By(refusal)))),
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(Ok(this.ids())) }
    }
}

impl Drop for PushMany<'_> {
    fn drop(&mut self) {
        for group in &self.groups {
            if let Some(ticket) = group.ticket {
                self.core.channel(group.channel).leave_line(self.core, ticket);
            }
        }
    }
}

impl Group {
    /// Pushes as far as there is room.
    fn push(&mut self, core: &Arc<Core>, jobs: &mut [BatchJob]) -> Result<(), Refusal> {
        let rest = &mut jobs[self.next..self.end];
        let items =
            rest.iter_mut().map(|item| BatchItem { name: &item.kind, job: &mut item.job, id: &mut item.id });
        let pushed = core.channel(self.channel).push_batch(core, items);
        self.next += rest.iter().take_while(|job| job.id.is_some()).count();
        pushed
    }

    /// Pushes all of them, waiting for room in turn: with a ticket, the next job waits in line, and the others go on after
    /// it.
    fn poll_push(
        &mut self,
        core: &Arc<Core>,
        jobs: &mut [BatchJob],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        while self.next < self.end {
            if self.ticket.is_none() {
                match self.push(core, jobs) {
                    Ok(()) => break,
                    Err(Refusal::Full) => {}
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                }
            }
            let next = &mut jobs[self.next];
            let channel = core.channel(self.channel);
            let polled = channel.poll_push(core, &next.kind, &mut next.job, &mut self.ticket, cx.waker());
            next.id = Some(ready!(polled)?);
            self.next += 1;
        }
        Poll::Ready(Ok(()))
    }
}

/// Not all jobs of a batch were accepted. The others are given back: nothing is lost.
#[derive(Debug)]
pub struct PushManyError {
    accepted: Vec<JobId>,
    refused: Vec<NewJob>,
    /// Which of the refused ones the reason is about.
    first: usize,
    reason: Refused,
}

impl PushManyError {
    /// The numbers of the jobs that were accepted, in the order in which they came.
    #[must_use]
    pub fn accepted(&self) -> &[JobId] {
        &self.accepted
    }

    /// The jobs that were not, in the order in which they came.
    #[must_use]
    pub fn refused(&self) -> &[NewJob] {
        &self.refused
    }

    /// The jobs that were not accepted, to push again or to keep.
    #[must_use]
    pub fn into_refused(self) -> Vec<NewJob> {
        self.refused
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.reason, Refused::By(Refusal::Full))
    }

    /// Whether the queue takes no more jobs.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(self.reason, Refused::By(Refusal::ShutDown))
    }
}

impl fmt::Display for PushManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, all) = (self.refused.len(), self.refused.len() + self.accepted.len());
        write!(f, "{refused} of {all} jobs were not accepted: ")?;
        let job = self.refused.get(self.first);
        match self.reason {
            Refused::By(Refusal::Full) => {
                f.write_str("the queue is full; await `push_many` or try again later")
            }
            Refused::By(Refusal::ShutDown) => f.write_str("the queue is shut down"),
            Refused::By(Refusal::TooLarge) => {
                let bytes = job.map_or(0, |job| job.payload.len());
                write!(f, "a payload of {bytes} bytes is larger than `capacity_bytes`")
            }
            Refused::UnknownQueue => {
                let name = job.and_then(|job| job.options.queue()).map_or("", Name::as_str);
                write!(f, "there is no queue named {name:?}; add it with `builder.queue(..)`")
            }
        }
    }
}

impl Error for PushManyError {}
