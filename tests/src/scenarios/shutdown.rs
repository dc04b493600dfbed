//! Shutdown is a report: every job that the queue held is in it, once.

use std::future::{Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use queue_core::{
    BoxError, CancelAnswer, Event, Job, JobId, NewJob, Outcome, Priority, PushError, QueueConfig,
    RetryPolicy, ShutdownReport,
};

use super::support::{Capture, Captured, hold, note};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// More than any scenario needs; a scenario that needs it fails by the watchdog.
const LONG: Duration = Duration::from_hours(1);

/// What is ready and what runs is finished, however many workers there are; what comes meanwhile is refused.
pub async fn what_is_ready_and_running_is_finished(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(2), |queue| queue.register("hold", hold(&running, &gate)));
    for _ in 0..20 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(2).await;
    let open = async {
        // The shutdown was polled first.
        let refused = queue.push("hold", &()).await;
        gate.open();
        refused
    };
    let (report, refused) = zip(queue.shutdown(LONG), open).await;
    assert!(refused.is_err_and(|error| error.is_shut_down()));
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.finished, running.len()), (20, 20));
    assert_eq!((queue.pending_count(), queue.inflight_count()), (0, 0));
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    Ok(())
}

/// Every job that was held when the shutdown began is in the report, once, whatever became of it; none from before is.
pub async fn the_report_adds_up(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(4).queue("paused", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        queue.register("hold", hold(&running, &gate));
        let gate = gate.clone();
        queue.register(
            "answer",
            handler(move |job: Job| {
                let gate = gate.clone();
                async move {
                    gate.pass().await;
                    match &*job.deserialize::<String>()? {
                        "cancel" => Ok(Outcome::cancel("no longer wanted")),
                        "discard" => Ok(Outcome::discard("never again")),
                        "retry" => Ok(Outcome::retry("later")),
                        "snooze" => Ok(Outcome::snooze(Duration::ZERO)),
                        "panic" => panic!("as asked"),
                        _ => Ok(Outcome::Done),
                    }
                }
            }),
        );
        queue.register("fail_at_once", handler(|_| async { Err::<(), _>("it fails".into()) }));
        queue.register("end_at_once", handler(|_| async { Ok(()) }));
    });
    // One of each before, for the numbers that must not count.
    queue.push("fail_at_once", &()).await?;
    queue.push("end_at_once", &()).await?;
    let unwanted = queue.push_delayed("hold", &(), LONG).await?;
    assert_eq!(queue.cancel(unwanted), CancelAnswer::Removed);
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;

    queue.pause("paused")?;
    let retried = RetryPolicy::fixed(1, LONG);
    for _ in 0..5 {
        queue.push("hold", &()).await?;
        queue.push("hold", &()).queue("paused").await?;
    }
    running.wait_for(4).await;
    for answer in ["done", "cancel", "discard", "retry", "snooze", "panic"] {
        queue.push("answer", &answer).await?;
    }
    queue.push("answer", &"retry").retry(retried.clone()).await?;
    queue.push("answer", &"panic").retry(retried.clone()).await?;
    queue.push_delayed("hold", &(), LONG).await?;
    queue.push_delayed("hold", &(), Duration::MAX).await?;

    let (report, ()) = zip(queue.shutdown(LONG), async { gate.open() }).await;
    let handed_back = report.handed_back.len();
    // 5 hold, 1 done · 1 discard, 1 retry and 1 panic without a policy · 1 cancel · 5 paused, 1 snooze, 2 retries, 2 delayed
    assert_eq!((report.finished, report.dead_lettered, report.cancelled, handed_back), (6, 3, 1, 10));
    assert_eq!(report.abandoned, []);
    assert_eq!(queue.dead_letter_count(), 4);
    let ids: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    Ok(())
}

/// Delayed and retry-waiting jobs come back whole, without their delay, and live on in another queue.
pub async fn waiting_jobs_are_handed_back_whole(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("fail", handler(|_| async { Err::<(), _>("it fails".into()) }));
    });
    let delayed = queue.push_delayed("fail", &"delayed", LONG).priority(Priority::HIGHEST).await?;
    // Fails twice at once, and waits for its third attempt.
    let policy = RetryPolicy::custom(|failed, _| Some(if failed == 0 { Duration::ZERO } else { LONG }));
    let retried = queue.push_job(NewJob::raw("fail", "retried").retry(policy)).await?;
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.delayed == 2)).await;

    let report = queue.shutdown(LONG).await;
    let seen: Vec<_> = report.handed_back.iter().map(|back| (back.id, back.attempts)).collect();
    assert_eq!(seen, [(delayed, 0), (retried, 2)]);
    assert_eq!((report.finished, report.dead_lettered, report.cancelled), (0, 0, 0));
    assert!(!report.is_clean(), "two jobs were handed back");

    let seen = Log::new();
    let next = rt.started(rt.builder().workers(1), |next| {
        let seen = seen.clone();
        next.register(
            "fail",
            handler(move |job: Job| {
                seen.add((job.raw_payload().to_vec(), job.priority(), job.attempt));
                async { Err::<(), _>("it fails".into()) }
            }),
        );
    });
    for back in report.handed_back {
        next.push_job(back.job).await?;
    }
    // The retry policy came along, too: the second job runs again at once.
    let expected = [
        (b"\"delayed\"".to_vec(), Priority::HIGHEST, 0),
        (b"retried".to_vec(), Priority::NORMAL, 0),
        (b"retried".to_vec(), Priority::NORMAL, 1),
    ];
    assert_eq!(seen.wait_for(3).await, expected);
    Ok(())
}

/// With no time at all, what runs is interrupted at once and handed back; the interrupted attempt does not count.
pub async fn a_timeout_of_zero_interrupts_at_once(rt: impl TestRuntime) -> TestResult {
    let running = Log::new();
    let (captured, held) = Capture::new();
    let builder = rt.builder().workers(1).retry(RetryPolicy::fixed(5, Duration::ZERO));
    let queue = rt.started(builder, |queue| {
        let (running, captured) = (running.clone(), captured.clone());
        queue.register(
            "second_hangs",
            handler(move |job: Job| {
                let (running, captured) = (running.clone(), captured.clone());
                async move {
                    running.add(job.attempt);
                    if job.attempt == 0 {
                        return Err("the first attempt fails".into());
                    }
                    pending::<()>().await;
                    drop(captured);
                    Ok(())
                }
            }),
        );
    });
    drop(captured);
    let interrupted = queue.push("second_hangs", &"interrupted").priority(Priority::HIGH).await?;
    running.wait_for(2).await;
    let waiting = queue.push("second_hangs", &"never started").await?;

    let report = queue.shutdown(Duration::ZERO).await;
    let back: Vec<_> = report.handed_back.iter().map(|back| (back.id, back.attempts)).collect();
    assert_eq!(back, [(interrupted, 1), (waiting, 0)]);
    assert_eq!(&report.handed_back[0].job.payload()[..], b"\"interrupted\"");
    assert_eq!((report.finished, report.dead_lettered, report.cancelled), (0, 0, 0));
    assert_eq!(report.abandoned, []);
    assert_eq!((running.entries(), queue.dead_letter_count()), (vec![0, 1], 0));
    rt.until(|| held.is_free()).await;
    Ok(())
}

/// A handler that ignores everything is left alone until the timeout, and interrupted at its await then.
pub async fn a_handler_that_hangs_is_interrupted_after_the_timeout(rt: impl TestRuntime) -> TestResult {
    const TIMEOUT: Duration = Duration::from_millis(15);
    let (running, never) = (Log::new(), Gate::new());
    let builder = rt.builder().workers(2);
    let queue = rt.started(builder, |queue| queue.register("hang", hold(&running, &never)));
    for _ in 0..3 {
        queue.push("hang", &()).await?;
    }
    running.wait_for(2).await;
    let begun = rt.now();
    let report = queue.shutdown(TIMEOUT).await;
    assert!(rt.now() >= begun + TIMEOUT);
    assert_eq!(report.handed_back.len(), 3);
    assert!(report.handed_back.iter().all(|back| back.attempts == 0));
    assert_eq!((report.finished, running.len(), queue.inflight_count()), (0, 2, 0));
    Ok(())
}

/// The job is handed back even if the interrupted future panics while it is dropped.
pub async fn a_future_that_panics_in_its_drop_is_handed_back(rt: impl TestRuntime) -> TestResult {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a panic in a drop");
        }
    }
    let running = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let running = running.clone();
        queue.register(
            "hang",
            handler(move |_| {
                let running = running.clone();
                async move {
                    let _bomb = Bomb;
                    running.add(());
                    pending::<()>().await;
                    Ok(())
                }
            }),
        );
    });
    let id = queue.push("hang", &()).await?;
    running.wait_for(1).await;
    let report = queue.shutdown(Duration::ZERO).await;
    assert_eq!((report.handed_back.len(), report.handed_back[0].id), (1, id));
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;
    Ok(())
}

/// A queue that was never started has everything handed back, at once.
pub async fn shutdown_before_the_start_hands_everything_back(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder());
    let ready = queue.push("unknown", &1).await?;
    let delayed = queue.push_delayed("unknown", &2, LONG).await?;
    let report = queue.shutdown(LONG).await;
    let back: Vec<_> = report.handed_back.iter().map(|back| (back.id, back.job.kind().as_str())).collect();
    assert_eq!(back, [(ready, "unknown"), (delayed, "unknown")]);
    assert!(rt.build(rt.builder()).shutdown(LONG).await.is_clean());
    Ok(())
}

/// Everyone who waits for the shutdown, or asks again later, gets the same report.
pub async fn all_waiters_get_the_same_report(rt: impl TestRuntime) -> TestResult {
    fn numbers(report: &ShutdownReport) -> (u64, u64, u64, Vec<JobId>, Vec<JobId>) {
        let back = report.handed_back.iter().map(|back| back.id).collect();
        (report.finished, report.dead_lettered, report.cancelled, back, report.abandoned.clone())
    }
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("hold", hold(&running, &gate));
    });
    for _ in 0..3 {
        queue.push("hold", &()).await?;
    }
    queue.push("unknown", &()).await?;
    queue.push_delayed("hold", &(), LONG).await?;
    running.wait_for(1).await;
    let clone = queue.clone();
    let late = async {
        let mut late = Box::pin(queue.shutdown(Duration::MAX));
        assert!(poll_once(&mut late).await.is_none());
        gate.open();
        late.await
    };
    let (first, (second, late)) = zip(queue.shutdown(LONG), zip(clone.shutdown(LONG), late)).await;
    let again = clone.shutdown(Duration::ZERO).await;
    assert_eq!((first.finished, first.dead_lettered, first.handed_back.len()), (3, 1, 1));
    for report in [second, late, again] {
        assert_eq!(numbers(&report), numbers(&first));
    }
    Ok(())
}

/// The least patient of those who wait decides when what runs is interrupted.
pub async fn the_shortest_timeout_counts(rt: impl TestRuntime) -> TestResult {
    let (running, never) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register("hang", hold(&running, &never));
    });
    queue.push("hang", &()).await?;
    running.wait_for(1).await;
    let (patient, hasty) = zip(queue.shutdown(LONG), queue.shutdown(Duration::from_millis(2))).await;
    assert_eq!((patient.handed_back.len(), hasty.handed_back.len()), (1, 1));
    Ok(())
}

/// After a shutdown there is nothing to start.
pub async fn a_start_after_the_shutdown_does_nothing(rt: impl TestRuntime) -> TestResult {
    let queue = rt.build(rt.builder());
    let mut events = queue.subscribe(10);
    assert!(queue.shutdown(LONG).await.is_clean());
    rt.start(&queue);
    assert_eq!(queue.counts("default")?.workers, 0);
    assert_eq!(events.recv().await, None, "no worker started for a moment");
    queue.run().await;
    assert!(queue.shutdown(LONG).await.is_clean());
    Ok(())
}

/// A start in the middle of a shutdown does nothing, either: the workers that are there finish.
pub async fn a_start_during_the_shutdown_does_nothing(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(2), |queue| queue.register("hold", hold(&running, &gate)));
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    let mut shutdown = Box::pin(queue.shutdown(LONG));
    assert!(poll_once(&mut shutdown).await.is_none());
    // The idle one has left.
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 1)).await;
    rt.start(&queue);
    assert_eq!(queue.counts("default")?.workers, 1);
    gate.open();
    assert!(shutdown.await.is_clean());
    Ok(())
}

/// Every way to push says that the queue is shut down, and gives the job back as it was.
pub async fn every_push_after_the_shutdown_gives_the_job_back(rt: impl TestRuntime) -> TestResult {
    let queue = rt.started(rt.builder(), |_| ());
    queue.shutdown(LONG).await;
    let errors = [
        queue.push("kind", &1).await,
        queue.push_delayed("kind", &1, LONG).await,
        queue.push("kind", &1).queue("default").priority(Priority::LOW).timeout(LONG).await,
        queue.try_push("kind", &1),
        queue.push("kind", &1).try_push(),
        queue.push_job(NewJob::raw("kind", "1")).await,
    ];
    for error in errors {
        let Err(error) = error else { return Err("a job was accepted after the shutdown".into()) };
        assert!(error.is_shut_down() && !error.is_full(), "{error:?}");
        assert_eq!(error.to_string(), "job \"kind\" was not accepted: the queue is shut down");
        let job = error.into_job().ok_or("the job is lost")?;
        assert_eq!((job.kind().as_str(), &job.payload()[..]), ("kind", &b"1"[..]));
    }
    let jobs = || (0..3).map(|number| NewJob::raw("kind", vec![number]));
    for refused in [queue.push_many(jobs()).await, queue.try_push_many(jobs())] {
        let Err(error) = refused else { return Err("jobs were accepted after the shutdown".into()) };
        assert!(error.is_shut_down() && error.accepted().is_empty());
        let payloads: Vec<_> = error.into_refused().iter().map(|job| job.payload()[0]).collect();
        assert_eq!(payloads, [0, 1, 2]);
    }
    assert_eq!(queue.pending_count(), 0);
    Ok(())
}

/// A push that waits for room is sent away when the shutdown begins, with its job.
pub async fn a_push_that_waits_for_room_is_sent_away(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1).capacity(1), |queue| {
        queue.register("hold", hold(&running, &gate));
    });
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    queue.push("hold", &()).await?;
    let mut waiting = Box::pin(queue.push("hold", &"waits").into_future());
    let jobs = vec![NewJob::raw("hold", "first"), NewJob::raw("hold", "second")];
    let mut many = Box::pin(queue.push_many(jobs));
    let ((one, one_woken), (other, other_woken)) = (Woken::new(), Woken::new());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&one)).is_pending());
    assert!(many.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
    let sent_away = async {
        for woken in [one_woken, other_woken] {
            assert!(woken.0.load(Ordering::SeqCst), "it is not told");
        }
        let answers = zip(waiting, many).await;
        gate.open();
        answers
    };
    let (report, (one, many)) = zip(queue.shutdown(LONG), sent_away).await;
    let Err(PushError::ShutDown(job)) = one else { return Err(format!("{one:?}").into()) };
    assert_eq!(&job.payload()[..], b"\"waits\"");
    let refused = many.err().ok_or("all were accepted")?.into_refused();
    assert_eq!((&refused[0].payload()[..], &refused[1].payload()[..]), (&b"first"[..], &b"second"[..]));
    assert_eq!((report.finished, report.is_clean()), (2, true));
    Ok(())
}

/// Dropping the shutdown's future does not undo it: the queue goes on draining, and the next call has the report.
pub async fn a_dropped_shutdown_goes_on_draining(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("hold", hold(&running, &gate)));
    for _ in 0..3 {
        queue.push("hold", &()).await?;
    }
    let delayed = queue.push_delayed("hold", &(), LONG).await?;
    running.wait_for(1).await;
    assert!(poll_once(queue.shutdown(LONG)).await.is_none());
    assert!(queue.push("hold", &()).await.is_err_and(|error| error.is_shut_down()));
    gate.open();
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert_eq!(running.len(), 3);
    let report = queue.shutdown(Duration::ZERO).await;
    assert_eq!((report.finished, report.handed_back.len()), (3, 1));
    assert_eq!(report.handed_back[0].id, delayed);
    Ok(())
}

/// A paused queue stays paused: its jobs are handed back and not run.
pub async fn the_jobs_of_a_paused_queue_are_handed_back(rt: impl TestRuntime) -> TestResult {
    let noted = Log::new();
    let builder = rt.builder().queue("paused", QueueConfig::new());
    let queue = rt.started(builder, |queue| queue.register("note", note(&noted)));
    queue.pause("paused")?;
    let mut paused = Vec::new();
    for number in 0..3 {
        queue.push("note", &number).await?;
        paused.push(queue.push("note", &(100 + number)).queue("paused").await?);
    }
    let report = queue.shutdown(LONG).await;
    let back: Vec<_> = report.handed_back.iter().map(|back| back.id).collect();
    assert_eq!((back, noted.len()), (paused, 3));
    assert!(noted.entries().iter().all(|number| *number < 3));
    Ok(())
}

/// Pausing a queue while it drains ends the drain: what has not started is handed back.
pub async fn a_pause_ends_the_drain(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("hold", hold(&running, &gate)));
    for _ in 0..5 {
        queue.push("hold", &()).await?;
    }
    running.wait_for(1).await;
    let pause = async {
        let paused = queue.pause("default");
        gate.open();
        paused
    };
    let (report, paused) = zip(queue.shutdown(LONG), pause).await;
    paused?;
    assert_eq!((report.finished, report.handed_back.len(), running.len()), (1, 4, 1));
    Ok(())
}

/// A job that is cancelled while the queue drains is one that was cancelled.
pub async fn a_cancel_while_draining_is_reported(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("hold", hold(&running, &gate)));
    queue.push("hold", &()).await?;
    let unwanted = queue.push("hold", &()).await?;
    running.wait_for(1).await;
    let cancel = async {
        let answer = queue.cancel(unwanted);
        gate.open();
        answer
    };
    let (report, answer) = zip(queue.shutdown(LONG), cancel).await;
    assert_eq!(answer, CancelAnswer::Removed);
    assert_eq!((report.finished, report.cancelled, report.is_clean()), (1, 1, true));
    Ok(())
}

/// The longest timeout there is: past the end of time, so it waits for as long as it takes.
pub async fn the_longest_timeout_waits_for_everything(rt: impl TestRuntime) -> TestResult {
    let (running, gate) = (Log::new(), Gate::new());
    let queue = rt.started(rt.builder().workers(1).timeout(Duration::MAX), |queue| {
        queue.register("hold", hold(&running, &gate));
    });
    queue.push("hold", &()).await?;
    queue.push("hold", &()).await?;
    running.wait_for(1).await;
    let later = async {
        rt.sleep(Duration::from_millis(2)).await;
        gate.open();
    };
    let (report, ()) = zip(queue.shutdown(Duration::MAX), later).await;
    assert_eq!((report.finished, report.is_clean()), (2, true));
    Ok(())
}

/// Nobody will call a handler that is registered after the shutdown, so nobody keeps it, nor those from before.
pub async fn handlers_are_let_go_of(rt: impl TestRuntime) -> TestResult {
    let (captured, before) = Capture::new();
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("before", handler(keep(&captured)));
    });
    drop(captured);
    queue.push("before", &()).await?;
    rt.until(|| queue.pending_count() + queue.inflight_count() == 0).await;
    assert!(queue.shutdown(LONG).await.is_clean());
    // Idle workers leave as well.
    rt.until(|| before.is_free()).await;
    rt.until(|| queue.counts("default").is_ok_and(|counts| counts.workers == 0)).await;

    let (captured, after) = Capture::new();
    queue.register("after", handler(keep(&captured)));
    queue.kind("before").queue("default").register(handler(keep(&captured)))?;
    drop(captured);
    assert!(after.is_free());
    Ok(())
}

/// Events come to the end with the queue: first what was handed back, then nothing any more.
pub async fn events_end_with_the_report(rt: impl TestRuntime) -> TestResult {
    let (noted, builder) = (Log::new(), rt.builder().workers(1).queue("paused", QueueConfig::new()));
    let queue = rt.started(builder, |queue| queue.register("note", note(&noted)));
    queue.pause("paused")?;
    let mut events = queue.subscribe(100);
    let done = queue.push("note", &1).await?;
    let delayed = queue.push_delayed("note", &2, LONG).await?;
    let paused = queue.push("note", &3).queue("paused").await?;
    queue.shutdown(LONG).await;
    let (mut succeeded, mut handed_back) = (Vec::new(), Vec::new());
    while let Some(event) = events.recv().await {
        match event {
            Event::Succeeded(job) => succeeded.push(job.id),
            Event::HandedBack(job) => handed_back.push(job.id),
            _ => {}
        }
    }
    assert_eq!((succeeded, handed_back, events.missed()), (vec![done], vec![delayed, paused], 0));
    Ok(())
}

/// Remembers that it was woken.
struct Woken(AtomicBool);

impl Woken {
    fn new() -> (Waker, Arc<Self>) {
        let woken = Arc::new(Self(AtomicBool::new(false)));
        (woken.clone().into(), woken)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A handler that does nothing but hold on to what it captured.
fn keep(captured: &Captured) -> impl Fn(Job) -> Ready<Result<(), BoxError>> + Send + Sync + 'static {
    let captured = captured.clone();
    move |_| {
        captured.stay();
        ready(Ok(()))
    }
}
