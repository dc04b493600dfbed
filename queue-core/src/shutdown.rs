//! What shutdown returns, and the wait for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use event_listener::EventListener;

use crate::current;
use crate::engine::Core;
use crate::job::{JobId, NewJob};
use crate::runtime::Runtime;
use crate::timekeeper::LONGEST_SLEEP;

/// What became of the jobs that the queue held when it was shut down. Every one of them is in exactly one of these.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many jobs were done while the queue drained.
    pub finished: u64,
    /// How many jobs became dead letters while the queue drained; see [`dead_letters`](crate::Handle::dead_letters).
    pub dead_lettered: u64,
    /// How many jobs were cancelled while the queue drained.
    pub cancelled: u64,
    /// Jobs that did not finish: still delayed, waiting for a retry, never started, or interrupted. They are no
    /// longer in the queue; keep them, or push them to another one. In order of id. Empty with a durable store, in which
    /// they stay.
    pub handed_back: Vec<HandedBack>,
    /// How many jobs stay in the durable store, to be run when the queue is built on it again: those that would have been
    /// handed back. 0 without a durable store.
    pub kept: usize,
    /// Jobs that were still running when this report was made: handlers that do not yield, and handlers that wait for
    /// this shutdown themselves. If such an attempt ends well later, nothing is lost; if not, its job becomes a dead
    /// letter, or, with a durable store, waits there for the next run.
    pub abandoned: Vec<JobId>,
}

impl ShutdownReport {
    /// Whether every job was finished, dead-lettered or cancelled: nothing was handed back, kept or abandoned.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.handed_back.is_empty() && self.kept == 0 && self.abandoned.is_empty()
    }
}

/// A job that shutdown gives back.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandedBack {
    /// The number it had.
    pub id: JobId,
    /// How many attempts had failed. An attempt that was interrupted is not counted.
    pub attempts: u32,
    /// The job, ready to be pushed again; without its delay.
    pub job: NewJob,
}

/// How long shutdown waits, after its timeout, for interrupted handlers to be dropped. A handler that has not given its
/// thread back by then is abandoned.
const GRACE: Duration = Duration::from_secs(1);

/// Shuts the queue down, or joins a shutdown that is under way; see [`Queue::shutdown`](crate::Queue::shutdown).
pub(crate) async fn shut_down<R: Runtime>(
    core: &Arc<Core>,
    runtime: &R,
    timeout: Duration,
) -> Arc<ShutdownReport> {
    let _insider = Insider::of(core);
    core.begin_shutdown();
    let deadline = runtime.now().checked_add(timeout);
    if let Some(report) = wait_for_report(core, runtime, deadline).await {
        return report;
    }
    core.interrupt();
    let deadline = runtime.now().checked_add(GRACE);
    if let Some(report) = wait_for_report(core, runtime, deadline).await {
        return report;
    }
    core.try_report(true).expect("a shutdown that has begun can be forced to its end")
}

/// The report, or `None` if there is none at the deadline.
async fn wait_for_report<R: Runtime>(
    core: &Core,
    runtime: &R,
    deadline: Option<Instant>,
) -> Option<Arc<ShutdownReport>> {
    loop {
        let listener = core.closing.listen();
        if let Some(report) = core.try_report(false) {
            return Some(report);
        }
        let now = runtime.now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        let latest = now.checked_add(LONGEST_SLEEP);
        let until = deadline.into_iter().chain(latest).min().unwrap_or(now);
        either(listener, runtime.sleep_until(until)).await;
    }
}

async fn either(listener: EventListener, sleep: impl Future<Output = ()>) {
    let (mut listener, mut sleep) = (pin!(listener), pin!(sleep));
    poll_fn(|cx| {
        if listener.as_mut().poll(cx).is_ready() || sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// A handler that waits for its own queue's shutdown: nobody waits for it in turn.
struct Insider<'a> {
    core: &'a Core,
    id: JobId,
}

impl<'a> Insider<'a> {
    fn of(core: &'a Arc<Core>) -> Option<Self> {
        let id = current::job_of(core)?;
        core.closing.enter_insider(id);
        Some(Self { core, id })
    }
}

impl Drop for Insider<'_> {
    fn drop(&mut self) {
        self.core.closing.leave_insider(self.id);
    }
}
