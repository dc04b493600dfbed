//! One push: its builder, its future and its error.

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::current;
use crate::engine::{Accepted, Core, Refusal, Submission, Ticket};
use crate::job::{Content, EncodeError, JobId, Name, NewJob, Priority};
use crate::journal::StoreError;
use crate::payload::Payload;
use crate::registry::Kind;
use crate::retry::RetryPolicy;

/// A job about to be pushed; made by [`Handle::push`](crate::Handle::push). Set its options, then await it.
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct Push<'a> {
    core: &'a Arc<Core>,
    name: KindName<'a>,
    kind: Kind,
    /// `None`: the named queue that was asked for does not exist.
    channel: Option<usize>,
    content: Content,
    /// There is no payload.
    broken: Option<serde_json::Error>,
}

impl<'a> Push<'a> {
    // Inlined into whoever awaits it, as what it becomes is, it is not moved: twice 150 bytes, a tenth of a push.
    #[inline]
    pub(crate) fn new(
        core: &'a Arc<Core>,
        name: &'a str,
        payload: Result<Payload, serde_json::Error>,
    ) -> Self {
        let (kind, channel) = core.find_kind(name);
        let (payload, broken) = match payload {
            Ok(payload) => (payload, None),
            Err(error) => (Payload::empty(), Some(error)),
        };
        let content = Content::new(payload);
        Self { core, name: KindName::Lent(name), kind, channel: Some(channel), content, broken }
    }

    pub(crate) fn of(core: &'a Arc<Core>, job: NewJob) -> Self {
        let NewJob { kind: name, content } = job;
        let (kind, home) = core.find_kind(&name);
        let channel = content.options.queue().map_or(Some(home), |name| core.index_of(name));
        Self { core, name: KindName::Own(name), kind, channel, content, broken: None }
    }

    /// The named queue to run in, instead of the one its kind belongs to.
    pub fn queue(mut self, name: impl Into<Name>) -> Self {
        let name = name.into();
        self.channel = self.core.index_of(&name);
        self.content.options.overrides().queue = Some(name);
        self
    }

    /// Run no earlier than this long after the push was accepted.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.content.options.delay = Some(delay);
        self
    }

    /// How urgent this job is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.content.options.priority = priority;
        self
    }

    /// The retry policy of this job alone.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.content.options.overrides().retry = Some(policy);
        self
    }

    /// How long one attempt of this job may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.content.options.overrides().timeout = Some(timeout);
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
        match self.core.channel(channel).try_push(self.core, self.submission()) {
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
            return Err(PushError::Encode(EncodeError { kind: self.name.to_name(), source }));
        }
        let Some(channel) = self.channel else {
            return Err(PushError::UnknownQueue(Box::new(self.take_job())));
        };
        if self.core.is_durable() && !self.content.options.is_storable() {
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
        NewJob { kind: self.name.to_name(), content: self.content.take() }
    }

    fn submission(&mut self) -> Submission<'_> {
        Submission { kind: self.kind, name: &self.name, content: &mut self.content }
    }
}

/// The kind's name as it came.
#[derive(Debug)]
enum KindName<'a> {
    Lent(&'a str),
    Own(Name),
}

impl KindName<'_> {
    fn to_name(&self) -> Name {
        match self {
            Self::Lent(name) => Name::from(*name),
            Self::Own(name) => name.clone(),
        }
    }
}

impl Deref for KindName<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Lent(name) => name,
            Self::Own(name) => name,
        }
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
                Poll::Ready(channel.try_push(push.core, push.submission()))
            } else {
                channel.poll_push(push.core, push.submission(), ticket, cx.waker())
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
                job.payload().len()
            ),
            Self::UnknownQueue(job) => write!(
                f,
                "job {:?} was not accepted: there is no queue named {:?}; add it with `builder.queue(..)`",
                job.kind,
                job.content.options.queue().map_or("", Name::as_str)
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
