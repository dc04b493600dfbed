//! The job model: what is pushed, what a handler receives, and the small words both use.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::cancel::Cancelled;
use crate::handle::Handle;
use crate::journal::is_storable;
use crate::payload::Payload;
use crate::retry::RetryPolicy;
use crate::slot::Attempt;

/// The number of a job: unique within its queue, and growing within a named queue in the order in which jobs were accepted.
///
/// Prints, parses from JSON and serialises as the plain number.
///
/// ```
/// # use queue_core::JobId;
/// let id = JobId::new(17);
/// assert_eq!(id.to_string(), "17");
/// assert_eq!(id.as_u64(), 17);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(u64);

impl JobId {
    /// The id with this number; what an application does that kept the number somewhere.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<JobId> for u64 {
    fn from(id: JobId) -> Self {
        id.0
    }
}

/// How urgent a job is: 0 is the most urgent, 9 the least, as in Oban and on a Unix `nice` scale.
///
/// Within a named queue the most urgent ready job starts first, in push order among equals. A less urgent one is
/// never starved: when its priority has been passed over 32 times in a row, it gets a turn.
///
/// Default: 5, so that there is room on both sides.
///
/// ```
/// # use queue_core::Priority;
/// assert!(Priority::HIGHEST < Priority::default());
/// assert_eq!(Priority::new(7).map(Priority::level), Some(7));
/// assert_eq!(Priority::new(10), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Before everything else: 0.
    pub const HIGHEST: Self = Self(0);
    /// Before the usual: 2.
    pub const HIGH: Self = Self(2);
    /// The default: 5.
    pub const NORMAL: Self = Self(5);
    /// After the usual: 7.
    pub const LOW: Self = Self(7);
    /// After everything else: 9.
    pub const LOWEST: Self = Self(9);

    pub(crate) const LEVELS: usize = 10;

    /// The priority with this level, or `None` above 9.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if level <= Self::LOWEST.0 { Some(Self(level)) } else { None }
    }

    pub(crate) fn saturating(level: u8) -> Self {
        Self(level.min(Self::LOWEST.0))
    }

    /// 0 to 9.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// The name of a kind or of a named queue: text that is cheap to clone and compares with `&str`.
///
/// Up to 23 bytes are copied; longer ones are shared, so that threads which run jobs of such a kind share a reference count.
///
/// ```
/// # use queue_core::Name;
/// let name = Name::from("send_email");
/// assert_eq!(name, "send_email");
/// assert_eq!(name.len(), 10);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(SmolStr);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// A job that is not in a queue: yet, any more, or because it was refused.
///
/// What [`push_many`](crate::Handle::push_many) and [`push_job`](crate::Handle::push_job) take, and what every
/// failed push gives back, ready to be pushed again.
///
/// ```
/// use std::time::Duration;
/// use queue_core::{NewJob, Priority};
///
/// let job = NewJob::json("resize", &("cat.png", 320))?
///     .priority(Priority::LOW)
///     .delay(Duration::from_secs(60));
/// assert_eq!(job.kind(), "resize");
/// assert_eq!(&job.payload()[..], br#"["cat.png",320]"#);
/// # Ok::<(), queue_core::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(crate) kind: Name,
    pub(crate) content: Content,
}

/// What a job that is not in a queue is, but for its kind.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) payload: Payload,
    pub(crate) options: JobOptions,
}

/// How one job differs from others of its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobOptions {
    pub(crate) delay: Option<Duration>,
    pub(crate) priority: Priority,
    /// Boxed, because few jobs have any and every job is moved.
    pub(crate) overrides: Option<Box<Overrides>>,
}

/// What one job does otherwise than its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) queue: Option<Name>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
}

impl Overrides {
    /// Whether a worker needs them: where the job runs is settled when it is pushed.
    pub(crate) fn outlive_push(&self) -> bool {
        self.retry.is_some() || self.timeout.is_some()
    }
}

impl Content {
    pub(crate) fn new(payload: Payload) -> Self {
        Self { payload, options: JobOptions::default() }
    }

    pub(crate) fn take(&mut self) -> Self {
        let payload = std::mem::replace(&mut self.payload, Payload::empty());
        Self { payload, options: std::mem::take(&mut self.options) }
    }
}

impl JobOptions {
    /// Whether the job is ready at once and brings nothing of its own.
    pub(crate) fn are_plain(&self) -> bool {
        self.delay.is_none() && self.overrides.is_none()
    }

    pub(crate) fn overrides(&mut self) -> &mut Overrides {
        self.overrides.get_or_insert_default()
    }

    /// Whether a durable store can keep them: a function it cannot.
    pub(crate) fn is_storable(&self) -> bool {
        let retry = self.overrides.as_ref().and_then(|overrides| overrides.retry.as_ref());
        retry.is_none_or(is_storable)
    }

    pub(crate) fn queue(&self) -> Option<&Name> {
        self.overrides.as_ref()?.queue.as_ref()
    }
}

impl NewJob {
    /// A job whose payload is `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when the value cannot be written as JSON, for example a map whose keys are not strings.
    pub fn json<T>(kind: impl Into<Name>, value: &T) -> Result<Self, EncodeError>
    where
        T: Serialize + ?Sized,
    {
        let kind = kind.into();
        match Payload::json(value) {
            Ok(payload) => Ok(Self { kind, content: Content::new(payload) }),
            Err(source) => Err(EncodeError { kind, source }),
        }
    }

    /// A job whose payload is these bytes, as they are. [`Job::deserialize`] reads them as JSON;
    /// [`Job::raw_payload`] gives them back untouched.
    pub fn raw(kind: impl Into<Name>, payload: impl Into<Payload>) -> Self {
        Self { kind: kind.into(), content: Content::new(payload.into()) }
    }

    /// The named queue to run in, instead of the one its kind belongs to.
    #[must_use]
    pub fn queue(mut self, name: impl Into<Name>) -> Self {
        self.content.options.overrides().queue = Some(name.into());
        self
    }

    /// Run no earlier than this long after the push was accepted.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.content.options.delay = Some(delay);
        self
    }

    /// How urgent this job is.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.content.options.priority = priority;
        self
    }

    /// The retry policy of this job alone.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.content.options.overrides().retry = Some(policy);
        self
    }

    /// How long one attempt of this job may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.content.options.overrides().timeout = Some(timeout);
        self
    }

    /// The kind: which handler runs it.
    #[must_use]
    pub fn kind(&self) -> &Name {
        &self.kind
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.content.payload
    }
}

/// A job as its handler receives it.
///
/// Cloning is cheap: the payload is shared.
///
/// ```
/// use queue_core::{BoxError, Job};
///
/// async fn send_email(job: Job) -> Result<(), BoxError> {
///     let to: String = job.deserialize()?;
///     println!("{} {} (attempt {}): to {to}", job.name, job.id, job.attempt);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Job {
    /// The kind: the name the handler was registered under.
    pub name: Name,
    /// 0 for the first attempt, 1 for the first retry. A snooze and an interruption by shutdown do not count.
    pub attempt: u32,
    /// The job's number, the same in every attempt.
    pub id: JobId,
    pub(crate) priority: Priority,
    pub(crate) payload: Payload,
    pub(crate) context: Attempt,
}

impl Job {
    /// Reads the payload as JSON.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the payload is not JSON, or not of this type. Returned by `?`, it is a failure like
    /// any other: retried by policy, since the next attempt may run in a newer version of the program.
    pub fn deserialize<T>(&self) -> Result<T, DecodeError>
    where
        T: DeserializeOwned,
    {
        serde_json::from_slice(&self.payload).map_err(|source| DecodeError {
            kind: self.name.clone(),
            wanted: std::any::type_name::<T>(),
            source,
        })
    }

    /// The payload's bytes, as they were pushed.
    #[must_use]
    pub fn raw_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The payload, to keep or to pass on without copying.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How urgent the job is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The named queue the job runs in.
    #[must_use]
    pub fn queue_name(&self) -> &Name {
        self.context.queue_name()
    }

    /// A handle to the queue, to push follow-up jobs with. It does not keep the workers running, which is why a
    /// handler should use it instead of capturing the queue.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.context.handle()
    }

    /// Whether this attempt should stop: it was cancelled with [`cancel`](Handle::cancel), or it is over.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    /// Completes when this attempt should stop: it was cancelled with [`cancel`](Handle::cancel), or it is over
    /// (timed out, interrupted by shutdown, settled), which only what the handler spawned can live to see.
    ///
    /// A cancelled attempt is asked, not forced: it runs on until it returns. `Ok` then still means done; an error
    /// ends the job as cancelled instead of retrying it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing; ask again at any time.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::new(self.context.clone())
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("priority", &self.priority)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}

/// A value could not be written as JSON. It never became a job; the caller still has it.
#[derive(Debug)]
pub struct EncodeError {
    pub(crate) kind: Name,
    pub(crate) source: serde_json::Error,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload for {:?} cannot be written as JSON", self.kind)
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// A payload is not what the handler expected.
#[derive(Debug)]
pub struct DecodeError {
    kind: Name,
    wanted: &'static str,
    source: serde_json::Error,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload of {:?} cannot be read as {}", self.kind, self.wanted)
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
