//! Attempts that a shutdown does not wait for: of handlers that block their thread, and of those that wait for it.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_lite::future::{poll_once, yield_now, zip};
use parking_lot::Mutex;
use queue_core::{BoxError, DeadReason, Handle, Job, JobId, Queue, RetryPolicy, ShutdownReport};

use super::support::{elsewhere, hold};
use crate::{Gate, Log, TestResult, TestRuntime, handler, watch};

const LONG: Duration = Duration::from_hours(1);

/// A handler that blocks its thread cannot be interrupted: shutdown does not wait for it and says so. If it fails later,
/// its job is a dead letter, because nobody is left to take it back.
pub async fn a_blocked_handler_is_abandoned_and_its_failure_kept(rt: impl TestRuntime) -> TestResult {
    let (queue, id) = abandon_a_blocked_handler(rt, || Err("it fails, too late".into())).await?;
    let dead = queue.dead_letters();
    assert_eq!((dead.len(), queue.inflight_count()), (1, 0));
    assert_eq!((dead[0].id, dead[0].reason, dead[0].attempts), (id, DeadReason::ShutDown, 1));
    assert_eq!(dead[0].error, "it fails, too late");
    assert_eq!(&dead[0].payload[..], b"\"blocked\"");
    Ok(())
}

/// If an abandoned handler ends well after all, its job is simply done.
pub async fn an_abandoned_handler_may_still_end_well(rt: impl TestRuntime) -> TestResult {
    let (queue, _) = abandon_a_blocked_handler(rt, || Ok(())).await?;
    assert_eq!((queue.dead_letter_count(), queue.inflight_count()), (0, 0));
    Ok(())
}

/// Shuts a queue down whose only handler blocks its thread until the report is there, and then answers what `then` says.
async fn abandon_a_blocked_handler<T: TestRuntime>(
    rt: T,
    then: fn() -> Result<(), BoxError>,
) -> Result<(Handle, JobId), BoxError> {
    let (built, running) = (Log::new(), Log::new());
    let (report_is_there, until_the_report) = mpsc::channel::<()>();
    let until_the_report = Arc::new(Mutex::new(until_the_report));
    let workers = elsewhere(&rt, {
        let (built, running) = (built.clone(), running.clone());
        async move |rt: T| {
            let queue = rt.started(rt.builder().workers(1).retry(RetryPolicy::fixed(9, LONG)), |queue| {
                queue.register(
                    "block",
                    handler(move |job: Job| {
                        let (running, until_the_report) = (running.clone(), until_the_report.clone());
                        async move {
                            running.add(job.id);
                            let _ = until_the_report.lock().recv();
                            then()
                        }
                    }),
                );
            });
            built.add(queue.clone());
            rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
        }
    });
    let application = async {
        let queue = built.wait_for(1).await.remove(0);
        watch(queue.handle());
        let id = queue.push("block", &"blocked").await?;
        running.wait_for(1).await;
        let behind = queue.push("block", &"behind it").await?;
        let report = queue.shutdown(Duration::ZERO).await;
        assert_eq!(report.abandoned, [id]);
        let back: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
        assert_eq!(back, [behind]);
        assert_eq!((report.finished, report.dead_lettered, report.cancelled), (0, 0, 0));
        assert_eq!((queue.inflight_count(), queue.dead_letter_count()), (1, 0));
        drop(report_is_there);
        Ok((queue.handle(), id))
    };
    let ((), answer) = zip(workers, application).await;
    answer
}

/// A handler that waits for the shutdown of its own queue.
///
/// A trait, because the future of a shutdown is `Send` on some runtimes and not on others, which code that is generic
/// over them cannot say.
pub trait ShutDownInside {
    /// Registers a handler of that kind: it passes the gate, shuts the queue down, notes the report, and succeeds if its
    /// payload says `true`.
    fn register_shut_down(&self, kind: &'static str, gate: &Gate, reports: &Log<ShutdownReport>);

    /// Registers a handler of that kind: it begins to shut the queue down, gives that up, notes it, and passes the gate.
    fn register_give_up(&self, kind: &'static str, gate: &Gate, given_up: &Log<()>);
}

macro_rules! shut_down_inside {
    ($($feature:literal: $runtime:ty),* $(,)?) => {$(
        #[cfg(feature = $feature)]
        impl ShutDownInside for Queue<$runtime> {
            fn register_shut_down(&self, kind: &'static str, gate: &Gate, reports: &Log<ShutdownReport>) {
                let (queue, gate, reports) = (self.clone(), gate.clone(), reports.clone());
                self.register(kind, move |job: Job| {
                    let (queue, gate, reports) = (queue.clone(), gate.clone(), reports.clone());
                    async move {
                        gate.pass().await;
                        let report = queue.shutdown(LONG).await;
                        // It is not interrupted when the others would be.
                        yield_now().await;
                        reports.add(report);
                        if job.deserialize()? { Ok(()) } else { Err("it fails, too late".into()) }
                    }
                });
            }

            fn register_give_up(&self, kind: &'static str, gate: &Gate, given_up: &Log<()>) {
                let (queue, gate, given_up) = (self.clone(), gate.clone(), given_up.clone());
                self.register(kind, move |_: Job| {
                    let (queue, gate, given_up) = (queue.clone(), gate.clone(), given_up.clone());
                    async move {
                        let report = poll_once(queue.shutdown(LONG)).await;
                        assert!(report.is_none(), "it waits for the other job");
                        given_up.add(());
                        gate.pass().await;
                        Ok(())
                    }
                });
            }
        }
    )*};
}

shut_down_inside! {
    "tokio": queue_tokio::Tokio,
    "tokio": queue_tokio::local::TokioLocal,
    "smol": queue_smol::Smol,
    "smol": queue_smol::local::SmolLocal,
    "compio": queue_compio::Compio,
    "sim": queue_sim::World,
}

/// A handler may shut its own queue down: nobody waits for that handler, which is reported as abandoned, and the other
/// jobs are drained. Shutdown lets go of what the handler captured, the queue itself.
pub async fn a_handler_may_shut_its_queue_down<T: TestRuntime>(rt: T) -> TestResult
where
    Queue<T::Runtime>: ShutDownInside,
{
    let (running, gate, open, reports) = (Log::new(), Gate::new(), Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(2), |queue| {
        queue.register("hold", hold(&running, &gate));
        queue.register_shut_down("shut_down", &open, &reports);
    });
    let before = queue.push("hold", &()).await?;
    running.wait_for(1).await;
    let insider = queue.push("shut_down", &true).await?;
    let behind = queue.push("hold", &()).await?;
    // When a shutdown begins, it takes delayed jobs out.
    queue.push_delayed("hold", &(), LONG).await?;
    open.open();
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.delayed == 0)).await;
    gate.open();
    let report = reports.wait_for(1).await.remove(0);
    assert_eq!((report.finished, report.abandoned), (2, vec![insider]));
    assert_eq!(report.handed_back.len(), 1);
    assert_eq!(running.entries(), [(before, 0), (behind, 0)]);
    rt.until(|| queue.inflight_count() == 0).await;
    assert_eq!(queue.dead_letter_count(), 0);
    Ok(())
}

/// Where handlers that wait for the shutdown have all the workers, what is ready is handed back: nobody could run it.
pub async fn all_handlers_may_shut_the_queue_down_at_once<T: TestRuntime>(rt: T) -> TestResult
where
    Queue<T::Runtime>: ShutDownInside,
{
    let (gate, reports) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(2).retry(RetryPolicy::fixed(9, LONG)), |queue| {
        queue.register_shut_down("shut_down", &gate, &reports);
    });
    let ends_well = queue.push("shut_down", &true).await?;
    let fails = queue.push("shut_down", &false).await?;
    let behind = queue.push("shut_down", &true).await?;
    rt.until(|| queue.inflight_count() == 2).await;
    gate.open();
    for report in reports.wait_for(2).await {
        assert_eq!(report.abandoned, [ends_well, fails]);
        assert_eq!((report.handed_back.len(), report.handed_back[0].id), (1, behind));
    }
    rt.until(|| queue.inflight_count() == 0).await;
    let dead = queue.dead_letters();
    assert_eq!((dead.len(), dead[0].id, dead[0].reason), (1, fails, DeadReason::ShutDown));
    Ok(())
}

/// Who waits outside gets the report as well when a handler waits inside.
pub async fn waiters_inside_and_outside_get_the_same_report<T: TestRuntime>(rt: T) -> TestResult
where
    Queue<T::Runtime>: ShutDownInside,
{
    let (gate, reports) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register_shut_down("shut_down", &gate, &reports);
    });
    let id = queue.push("shut_down", &true).await?;
    rt.until(|| queue.inflight_count() == 1).await;
    let (outside, ()) = zip(queue.shutdown(LONG), async { gate.open() }).await;
    let inside = reports.wait_for(1).await.remove(0);
    assert!(outside.handed_back.is_empty() && !outside.is_clean(), "a job was abandoned");
    assert_eq!((outside.abandoned, inside.abandoned), (vec![id], vec![id]));
    Ok(())
}

/// A handler that begins to wait for the shutdown and gives that up is waited for like any other.
pub async fn a_handler_that_gives_its_shutdown_up_is_waited_for<T: TestRuntime>(rt: T) -> TestResult
where
    Queue<T::Runtime>: ShutDownInside,
{
    let (running, held, gate, given_up) = (Log::new(), Gate::new(), Gate::new(), Log::new());
    let queue = rt.started(rt.builder().workers(2), |queue| {
        queue.register("hold", hold(&running, &held));
        queue.register_give_up("give_up", &gate, &given_up);
    });
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    queue.push("give_up", &()).await?;
    given_up.wait_for(1).await;
    held.open();
    rt.until(|| queue.inflight_count() == 1).await;
    let (report, ()) = zip(queue.shutdown(LONG), async { gate.open() }).await;
    assert_eq!((report.finished, report.is_clean()), (2, true));
    Ok(())
}
