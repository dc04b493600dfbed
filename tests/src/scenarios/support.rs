//! Handlers and helpers that several subjects share.

use std::panic::resume_unwind;
use std::sync::{Arc, Weak};
use std::thread;

use queue_core::{Job, JobId, SendFuture};

use crate::{Gate, Log, TestRuntime, handler};

/// A handler that notes its payload down.
pub(super) fn note(noted: &Log<u32>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let noted = noted.clone();
    handler(move |job: Job| {
        let noted = noted.clone();
        async move {
            noted.add(job.deserialize()?);
            Ok(())
        }
    })
}

/// A handler that notes that it runs, and then waits at a gate.
pub(super) fn hold(
    running: &Log<(JobId, u32)>,
    gate: &Gate,
) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let (running, gate) = (running.clone(), gate.clone());
    handler(move |job: Job| {
        let (running, gate) = (running.clone(), gate.clone());
        async move {
            running.add((job.id, job.attempt));
            gate.pass().await;
            Ok(())
        }
    })
}

/// Something to leave with a handler, to see whether it was let go of.
#[derive(Clone, Debug)]
pub(super) struct Captured(Arc<()>);

impl Captured {
    /// Does nothing; mentioned in a closure, it makes the closure hold this.
    pub(super) fn stay(&self) {
        let _ = Arc::strong_count(&self.0);
    }
}

/// Sees whether everything that was [`Captured`] is gone.
#[derive(Debug)]
pub(super) struct Capture(Weak<()>);

impl Capture {
    pub(super) fn new() -> (Captured, Self) {
        let held = Arc::new(());
        let capture = Self(Arc::downgrade(&held));
        (Captured(held), capture)
    }

    pub(super) fn is_free(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Runs another scenario on a fresh runtime of the same sort, on a thread of its own, until both have ended.
///
/// # Panics
///
/// When the other scenario does.
pub(super) async fn elsewhere<T, F, O>(rt: &T, scenario: impl FnOnce(T) -> F + Send + 'static) -> O
where
    T: TestRuntime,
    F: Future<Output = O>,
    O: Send + 'static,
{
    let other = thread::spawn(|| T::block_on(scenario));
    rt.until(|| other.is_finished()).await;
    other.join().unwrap_or_else(|panic| resume_unwind(panic))
}
