//! The push builders, their futures and their errors.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::current;
use crate::engine::{Accepted, BatchItem, Core, Refusal, Submission, Ticket};
use crate::job::{EncodeError, JobId, JobOptions, Name, NewJob, Priority};
use crate::journal::{StoreError, block_on};
use crate::payload::Payload;
use crate::registry::Kind;
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
    // Inlined into whoever awaits it, as what it becomes is, it is not moved: twice 150 bytes, a tenth of a push.
    #[inline]
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

    /// Pushes now or not at all, without awaiting. With a durable store it blocks the thread until the job is written, which
    /// takes as long as the disk does.
    ///
    /// # Errors
    ///
    /// [`PushError`], with the job given back.
    pub fn try_push(mut self) -> Result<JobId, PushError> {
        let channel = self.valid_channel()?;
        match self.core.channel(channel).try_push(self.core, &self.kind, &mut self.job) {
            Ok(accepted) => self.core.wait_for(accepted).map_err(|error| self.unwritten(error)),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Where the job goes, unless something is wrong with it.
    #[inline]
    fn valid_channel(&mut self) -> Result<usize, PushError> {
        match self.channel {
            Some(channel) if self.broken.is_none() && !self.core.is_durable() => Ok(channel),
            _ => self.check(),
        }
    }

    fn check(&mut self) -> Result<usize, PushError> {
        if let Some(source) = self.broken.take() {
            return Err(PushError::Encode(EncodeError { kind: (*self.kind).into(), source }));
        }
        let Some(channel) = self.channel else {
            return Err(PushError::UnknownQueue(Box::new(self.take_job())));
        };
        if self.core.is_durable() && !self.job.options.is_storable() {
            return Err(PushError::NotStorable(Box::new(self.take_job())));
        }
        Ok(channel)
    }

    fn unwritten(&mut self, error: StoreError) -> PushError {
        PushError::Store { job: Box::new(self.take_job()), error }
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

    #[inline]
    fn into_future(self) -> PushFuture<'a> {
        PushFuture { push: self, ticket: None, accepted: None }
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
    /// It is being written.
    accepted: Option<Accepted>,
}

impl Future for PushFuture<'_> {
    type Output = Result<JobId, PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { push, ticket, accepted } = &mut *self;
        if accepted.is_none() {
            let channel = push.core.channel(push.valid_channel()?);
            let polled = if ticket.is_none() && current::job_of(push.core).is_some() {
                Poll::Ready(channel.try_push(push.core, &push.kind, &mut push.job))
            } else {
                channel.poll_push(push.core, &push.kind, &mut push.job, ticket, cx.waker())
            };
            match polled {
                Poll::Ready(Ok(Accepted::Now(id))) => return Poll::Ready(Ok(id)),
                Poll::Ready(Ok(once @ Accepted::Once(_))) => *accepted = Some(once),
                Poll::Ready(Err(refusal)) => return Poll::Ready(Err(push.refused(refusal))),
                Poll::Pending => return Poll::Pending,
            }
        }
        poll_accepted(accepted.as_ref(), cx).map_err(|error| push.unwritten(error))
    }
}

/// Whether the job is written.
fn poll_accepted(accepted: Option<&Accepted>, cx: &mut Context<'_>) -> Poll<Result<JobId, StoreError>> {
    match accepted {
        Some(Accepted::Now(id)) => Poll::Ready(Ok(*id)),
        Some(Accepted::Once(receipt)) => receipt.poll(cx),
        None => Poll::Pending,
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
    /// The job brings a [custom](RetryPolicy::custom) retry policy, and a function cannot be stored.
    NotStorable(Box<NewJob>),
    /// The durable store could not write the job down.
    Store {
        /// The job.
        job: Box<NewJob>,
        /// What is wrong with the store.
        error: StoreError,
    },
    /// The payload cannot be written as JSON; there never was a job.
    Encode(EncodeError),
}

impl PushError {
    /// The job, to push again or to keep; `None` if its payload could not even be encoded.
    #[must_use]
    pub fn into_job(self) -> Option<NewJob> {
        match self {
            Self::ShutDown(job)
            | Self::Full(job)
            | Self::TooLarge(job)
            | Self::UnknownQueue(job)
            | Self::NotStorable(job)
            | Self::Store { job, .. } => Some(*job),
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
            Self::NotStorable(job) => write!(
                f,
                "job {:?} was not accepted: its custom retry policy cannot be stored; set it for the kind instead",
                job.kind
            ),
            Self::Store { job, .. } => {
                write!(f, "job {:?} was not accepted: it could not be written to the store", job.kind)
            }
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for PushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Store { error, .. } => Some(error),
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
    /// What is wrong, and with the job at which place.
    refused: Option<(usize, Refused)>,
    /// All that is to be accepted was.
    is_pushed: bool,
    /// So many of the jobs were written, or need not be.
    written: usize,
}

/// The jobs that go to the same named queue. A full one does not keep the others waiting.
#[derive(Debug)]
struct Group {
    channel: usize,
    /// The first of its jobs that is not accepted.
    next: usize,
    end: usize,
    /// Payload bytes of all of them.
    bytes: usize,
    ticket: Option<Ticket>,
}

#[derive(Debug)]
struct BatchJob {
    /// Its place in the order they came.
    place: usize,
    kind: Name,
    channel: usize,
    job: Submission,
    accepted: Option<Accepted>,
}

#[derive(Clone, Debug)]
enum Refused {
    By(Refusal),
    UnknownQueue,
    NotStorable,
    Store(StoreError),
}

impl BatchJob {
    fn id(&self) -> Option<JobId> {
        match self.accepted {
            Some(Accepted::Now(id)) => Some(id),
            Some(Accepted::Once(_)) | None => None,
        }
    }
}

impl<'a> PushMany<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, new: impl Iterator<Item = NewJob>) -> Self {
        let mut refused = None;
        let mut jobs: Vec<BatchJob> = Vec::with_capacity(new.size_hint().0);
        let mut groups: Vec<Group> = Vec::new();
        let mut last = (Kind::UNKNOWN, 0);
        for (place, NewJob { kind, payload, options }) in new.enumerate() {
            if jobs.last().is_none_or(|before| before.kind != kind) {
                last = core.find_kind(&kind);
            }
            let (number, home) = last;
            let channel = options.queue().map_or(Some(home), |name| core.index_of(name));
            if channel.is_none() {
                refused.get_or_insert((place, Refused::UnknownQueue));
            }
            let channel = channel.unwrap_or(home);
            if payload.len() > core.channel(channel).config().capacity_bytes {
                refused.get_or_insert((place, Refused::By(Refusal::TooLarge)));
            }
            if core.is_durable() && !options.is_storable() {
                refused.get_or_insert((place, Refused::NotStorable));
            }
            join(&mut groups, channel, payload.len());
            let job = Submission { kind: number, payload, options };
            jobs.push(BatchJob { place, kind, channel, job, accepted: None });
        }
        // To sort what is sorted would allocate as much again.
        if !groups.is_sorted_by(|one, next| one.channel < next.channel) {
            jobs.sort_by_key(|job| job.channel);
            groups.clear();
            for job in &jobs {
                join(&mut groups, job.channel, job.job.payload.len());
            }
        }
        Self { core, jobs, groups, refused, is_pushed: false, written: 0 }
    }

    /// Pushes what there is room for now, without awaiting. With a durable store it blocks the thread until the jobs are
    /// written.
    ///
    /// # Errors
    ///
    /// [`PushManyError`] when it was not all.
    pub fn try_push(mut self) -> Result<Vec<JobId>, PushManyError> {
        self.push_now();
        self.core.flush();
        block_on(|cx| self.poll_written(cx));
        self.finish()
    }

    fn push_now(&mut self) {
        if self.refused.is_some() {
            return;
        }
        for group in &mut self.groups {
            let pushed = group.push(self.core, &mut self.jobs);
            if let (Err(refusal), None) = (pushed, &self.refused) {
                self.refused = Some((self.jobs[group.next].place, Refused::By(refusal)));
            }
        }
    }

    /// Pushes all, as there is room, unless something is wrong.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.refused.is_some() || self.is_pushed {
            return Poll::Ready(());
        }
        if current::job_of(self.core).is_some() {
            self.push_now();
            return Poll::Ready(());
        }
        let mut is_pending = false;
        for group in &mut self.groups {
            match group.poll_push(self.core, &mut self.jobs, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(refusal)) => {
                    self.refused = Some((self.jobs[group.next].place, Refused::By(refusal)));
                    return Poll::Ready(());
                }
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Waits until those that were accepted are written, or could not be.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.core.is_durable() {
            return Poll::Ready(());
        }
        for job in &mut self.jobs[self.written..] {
            if let Some(Accepted::Once(receipt)) = &job.accepted {
                match ready!(receipt.poll(cx)) {
                    Ok(id) => job.accepted = Some(Accepted::Now(id)),
                    Err(error) => {
                        job.accepted = None;
                        self.refused.get_or_insert((job.place, Refused::Store(error)));
                    }
                }
            }
            self.written += 1;
        }
        Poll::Ready(())
    }

    fn finish(&mut self) -> Result<Vec<JobId>, PushManyError> {
        match self.refused.take() {
            None => Ok(self.ids()),
            Some((culprit, reason)) => Err(self.fail(culprit, reason)),
        }
    }

    fn ids(&mut self) -> Vec<JobId> {
        if self.groups.len() > 1 {
            self.jobs.sort_by_key(|job| job.place);
        }
        let mut ids = Vec::with_capacity(self.jobs.len());
        ids.extend(self.jobs.iter().filter_map(BatchJob::id));
        ids
    }

    /// `culprit`: the place of the job that `reason` is about.
    fn fail(&mut self, culprit: usize, reason: Refused) -> PushManyError {
        let accepted = self.ids();
        let mut refused = Vec::new();
        let mut first = 0;
        for item in self.jobs.iter_mut().filter(|item| item.accepted.is_none()) {
            if item.place == culprit {
                first = refused.len();
            }
            refused.push(take_job(item.kind.clone(), &mut item.job));
        }
        self.jobs.clear();
        PushManyError { accepted, refused, first, reason }
    }
}

impl Future for PushMany<'_> {
    type Output = Result<Vec<JobId>, PushManyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_push(cx));
        self.is_pushed = true;
        ready!(self.poll_written(cx));
        Poll::Ready(self.finish())
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

/// Counts the next job to the last group, or to one of its own.
fn join(groups: &mut Vec<Group>, channel: usize, bytes: usize) {
    match groups.last_mut() {
        Some(group) if group.channel == channel => {
            group.end += 1;
            group.bytes = group.bytes.saturating_add(bytes);
        }
        last => {
            let next = last.map_or(0, |group| group.end);
            groups.push(Group { channel, next, end: next + 1, bytes, ticket: None });
        }
    }
}

impl Group {
    /// Pushes as far as there is room.
    fn push(&mut self, core: &Arc<Core>, jobs: &mut [BatchJob]) -> Result<(), Refusal> {
        let rest = &mut jobs[self.next..self.end];
        let items = rest.iter_mut().map(|BatchJob { kind, job, accepted, .. }| BatchItem {
            name: kind,
            job,
            accepted,
        });
        let (pushed, answer) = core.channel(self.channel).push_batch(core, items, self.bytes);
        self.next += pushed;
        answer
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
            next.accepted = Some(ready!(polled)?);
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
        match &self.reason {
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
            Refused::NotStorable => {
                f.write_str("a custom retry policy cannot be stored; set it for the kind instead")
            }
            Refused::Store(_) => f.write_str("they could not be written to the store"),
        }
    }
}

impl Error for PushManyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Refused::Store(error) => Some(error),
            Refused::By(_) | Refused::UnknownQueue | Refused::NotStorable => None,
        }
    }
}
