//! What was pushed, for tests of code that pushes.

use std::sync::Arc;

use parking_lot::Mutex;
use queue_core::{BoxError, Job, JobId, Name, Outcome, Payload};
use serde::de::DeserializeOwned;

/// Stands in for handlers and keeps what they would have been given, for [`assert_pushed!`](crate::assert_pushed).
///
/// It sees a job when a worker takes it up: a delayed one when its time has come. A job that is retried counts once.
///
/// ```
/// use queue_sim::{Drain, Queue, Recorder, Sim, assert_pushed};
///
/// Sim::new(1).run(|_| async {
///     let (queue, jobs) = (Queue::new(), Recorder::new());
///     queue.register("send_email", jobs.handler());
///     queue.start();
///
///     // What is tested would do this.
///     queue.push("send_email", &"ada@example.com").await.unwrap();
///
///     queue.drain().await;
///     assert_pushed!(jobs, "send_email");
///     assert_pushed!(jobs, "send_email", 1);
///     assert_pushed!(jobs, "send_email", |to: String| to == "ada@example.com");
///     assert_pushed!(jobs, "send_email", |to: String| to.ends_with(".org"), 0);
/// });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    jobs: Arc<Mutex<Vec<Recorded>>>,
}

#[derive(Debug)]
struct Recorded {
    id: JobId,
    kind: Name,
    payload: Payload,
}

impl Recorder {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handler that keeps the job, and is done.
    pub fn handler(
        &self,
    ) -> impl Fn(Job) -> std::future::Ready<Result<Outcome, BoxError>> + Send + Sync + 'static + use<> {
        self.before(|_| std::future::ready(Ok(Outcome::Done)))
    }

    /// A handler that keeps the job, and goes on as `handler`.
    pub fn before<H, F>(&self, handler: H) -> impl Fn(Job) -> F + Send + Sync + 'static + use<H, F>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
    {
        let jobs = self.jobs.clone();
        move |job| {
            {
                let mut jobs = jobs.lock();
                if jobs.iter().all(|known| known.id != job.id) {
                    let (id, kind, payload) = (job.id, job.name.clone(), job.payload().clone());
                    jobs.push(Recorded { id, kind, payload });
                }
            }
            handler(job)
        }
    }

    /// How many jobs of a kind have a payload that reads as a `T` for which `holds` is true.
    pub fn count<T>(&self, kind: &str, holds: impl FnMut(T) -> bool) -> usize
    where
        T: DeserializeOwned,
    {
        let jobs = self.jobs.lock();
        let values = jobs.iter().filter(|job| *job.kind == *kind).filter_map(Recorded::value);
        values.map(holds).filter(|holds| *holds).count()
    }

    /// The payloads of a kind as text, for the message of an assertion.
    #[must_use]
    pub fn payloads(&self, kind: &str) -> Vec<String> {
        let jobs = self.jobs.lock();
        let jobs = jobs.iter().filter(|job| *job.kind == *kind);
        jobs.map(|job| String::from_utf8_lossy(&job.payload).into_owned()).collect()
    }
}

impl Recorded {
    fn value<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.payload).ok()
    }
}

/// Asserts that jobs of a kind reached a [`Recorder`]: at least one, or exactly as many as said; of any payload, or of
/// those for which a closure on the decoded payload is true.
///
/// `assert_pushed!(recorder, kind)`, `assert_pushed!(recorder, kind, count)`,
/// `assert_pushed!(recorder, kind, |value: Type| condition)`,
/// `assert_pushed!(recorder, kind, |value: Type| condition, count)`; see [`Recorder`] for an example.
///
/// # Panics
///
/// When it is not so, with the payloads of this kind.
#[macro_export]
macro_rules! assert_pushed {
    ($jobs:expr, $kind:expr, |$value:ident: $type:ty| $holds:expr, $count:expr $(,)?) => {{
        let (jobs, kind, count): (_, &str, usize) = (&$jobs, $kind, $count);
        let pushed = jobs.count(kind, |$value: $type| $holds);
        assert_eq!(pushed, count, "jobs {kind:?} that match; there are {:?}", jobs.payloads(kind));
    }};
    ($jobs:expr, $kind:expr, |$value:ident: $type:ty| $holds:expr $(,)?) => {{
        let (jobs, kind): (_, &str) = (&$jobs, $kind);
        let pushed = jobs.count(kind, |$value: $type| $holds);
        assert!(pushed > 0, "no job {kind:?} matches; there are {:?}", jobs.payloads(kind));
    }};
    ($jobs:expr, $kind:expr, $count:expr $(,)?) => {{
        let (jobs, kind, count): (_, &str, usize) = (&$jobs, $kind, $count);
        let pushed = jobs.payloads(kind);
        assert_eq!(pushed.len(), count, "jobs {kind:?}; there are {pushed:?}");
    }};
    ($jobs:expr, $kind:expr $(,)?) => {{
        let (jobs, kind): (_, &str) = (&$jobs, $kind);
        assert!(!jobs.payloads(kind).is_empty(), "no job {kind:?}");
    }};
}
