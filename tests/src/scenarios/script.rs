//! What the scenarios share: handlers that do as they are told, and how their jobs ended.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use queue_core::{BoxError, DeadReason, Event, IntoOutcome, Job, JobId, SendFuture, Subscription};

use crate::{Gate, Log, TestRuntime, handler};

/// A handler that notes the number of every attempt in `attempts` and then answers what `answer` says.
///
/// `answer` is given the job and how many attempts were noted before this one, and runs inside the poll.
pub(super) fn scripted<T, A>(
    attempts: &Log<u32>,
    answer: A,
) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static
where
    A: Fn(&Job, usize) -> Result<T, BoxError> + Clone + Send + Sync + 'static,
    T: IntoOutcome + 'static,
{
    let attempts = attempts.clone();
    handler(move |job: Job| {
        let (attempts, answer) = (attempts.clone(), answer.clone());
        async move {
            let before = attempts.len();
            attempts.add(job.attempt);
            answer(&job, before)
        }
    })
}

/// A handler that never returns; it notes in `started` that it has begun.
pub(super) fn hanging(started: &Log<Job>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let started = started.clone();
    handler(move |job: Job| {
        started.add(job);
        std::future::pending::<Result<(), BoxError>>()
    })
}

/// A handler that notes in `started` that it has begun, and waits at the gate.
pub(super) fn patient(gate: &Gate, started: &Log<Job>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let (gate, started) = (gate.clone(), started.clone());
    handler(move |job: Job| {
        started.add(job);
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok(())
        }
    })
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    Dead(DeadReason, String),
}

impl End {
    pub(super) fn exhausted(error: &str) -> Self {
        Self::Dead(DeadReason::RetriesExhausted, error.to_owned())
    }
}

/// Reads events until they say how the job ended.
pub(super) async fn end_of(events: &mut Subscription, id: JobId) -> End {
    while let Some(event) = events.recv().await {
        match event {
            Event::Succeeded(job) if job.id == id => return End::Done,
            Event::Cancelled(job) if job.id == id => return End::Cancelled,
            Event::Died { job, reason, error } if job.id == id => return End::Dead(reason, error),
            _ => {}
        }
    }
    panic!("the queue was shut down before job {id} ended");
}

/// The texts of a job's history.
pub(super) fn errors(dead: &queue_core::DeadJob) -> Vec<&str> {
    dead.history.iter().map(|failed| failed.error.as_str()).collect()
}

/// The runtime's clocks, for handlers: unlike the `TestRuntime` they can go anywhere.
pub(super) fn clock<T: TestRuntime>(_: &T) -> T::Runtime {
    T::Runtime::default()
}

/// Polls a future once, on behalf of the calling task.
pub(super) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
