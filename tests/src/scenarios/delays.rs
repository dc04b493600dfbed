//! What waits for its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use queue_core::{Job, JobError, NewJob, Outcome, Queue, RetryPolicy, Timer as _};

use super::by_hand::{ByHand, HandClock, jobs, note};
use crate::{Log, TestResult, TestRuntime, handler};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
/// Deadlines are rounded up to a tick of about a millisecond.
const TICK: Duration = Duration::from_millis(2);

/// The runtime's clock, for a handler.
fn clock_of<T: TestRuntime>(_: &T) -> impl Fn() -> Instant + Clone + Send + Sync + 'static {
    let runtime = T::Runtime::default();
    move || runtime.now()
}

/// By the runtime's own clock, no delayed job starts before its time, and all of them start.
pub async fn a_delayed_job_never_starts_early(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        let (note, now) = (log.clone(), clock_of(&rt));
        queue.register(
            "note",
            handler(move |job: Job| {
                note.add((job.id, now()));
                async { Ok(()) }
            }),
        );
    });
    let mut not_before = Vec::new();
    for n in 0..100 {
        let delay = Duration::from_micros(n * 7919 % 25_000);
        let before = rt.now();
        let id = queue.push_delayed("note", &n, delay).await?;
        not_before.push((id, before + delay));
    }
    let started = log.wait_for(100).await;
    for (id, not_before) in not_before {
        let (_, at) = started.iter().find(|(started, _)| *started == id).expect("every job starts");
        assert!(*at >= not_before, "job {id} started {:?} early", not_before - *at);
    }
    assert_eq!(started.len(), 100);
    Ok(())
}

/// A retry and a snooze wait for their full time, counted from the end of the attempt.
pub async fn a_retry_or_snooze_never_starts_early(rt: impl TestRuntime) -> TestResult {
    let delay = 5 * MS;
    let log = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, delay)), |queue| {
        let (note, now) = (log.clone(), clock_of(&rt));
        queue.register(
            "twice",
            handler(move |job: Job| {
                let (note, now) = (note.clone(), now.clone());
                async move {
                    let how: u32 = job.deserialize()?;
                    let is_first = !note.entries().iter().any(|(seen, _)| *seen == how);
                    note.add((how, now()));
                    match how {
                        _ if !is_first => Ok(Outcome::Done),
                        0 => Err("by policy".into()),
                        1 => Ok(Outcome::retry_after(delay, "after")),
                        2 => Ok(Outcome::snooze(delay)),
                        3 => Err(JobError::snooze(delay, "not yet").into()),
                        _ => Err(JobError::retry_after(delay, "after").into()),
                    }
                }
            }),
        );
    });
    queue.push_many(jobs("twice", 0..5)).await?;
    let entries = log.wait_for(10).await;
    for how in 0..5 {
        let times: Vec<_> = entries.iter().filter(|(seen, _)| *seen == how).map(|(_, at)| *at).collect();
        assert!(times[1] >= times[0] + delay, "{how}: again after {:?}", times[1] - times[0]);
    }
    Ok(())
}

/// Workers that wait for a later deadline are woken for an earlier one that is pushed after it.
pub async fn an_earlier_deadline_does_not_wait_for_a_later_one(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.started(rt.builder(), |queue| queue.register("note", note(&log)));
    queue.push_delayed("note", &3, HOUR).await?;
    // Let them fall asleep.
    rt.sleep(3 * MS).await;
    queue.push_delayed("note", &2, 5 * MS).await?;
    assert_eq!(log.wait_for(1).await, [2]);
    queue.push_many([NewJob::json("note", &1)?.delay(MS)]).await?;
    assert_eq!(log.wait_for(2).await, [2, 1]);
    assert_eq!(queue.pending_count(), 1);
    Ok(())
}

/// A delay of zero is no delay: the job is ready at once, in push order.
pub async fn a_zero_delay_is_no_delay(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.register("note", note(&log));
    queue.push("note", &1).await?;
    queue.push_delayed("note", &2, Duration::ZERO).await?;
    queue.push("note", &3).await?;
    let counts = queue.counts("default")?;
    assert_eq!((counts.ready, counts.delayed), (3, 0));
    rt.start(&queue);
    assert_eq!(log.wait_for(3).await, [1, 2, 3]);
    Ok(())
}

/// A job whose time is past the end of time is held, by push, retry, or snooze. It is counted, harms nobody, and is
/// handed back in the end.
pub async fn a_deadline_past_the_end_of_time_is_held(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let policy = RetryPolicy::exponential(u32::MAX, Duration::MAX);
    let queue = rt.started(rt.builder().workers(1).retry(policy), |queue| {
        queue.register("note", note(&log));
        queue.register("fails", handler(|_| async { Err::<(), _>("no".into()) }));
        queue.register("snoozes", handler(|_| async { Ok(Outcome::snooze(Duration::MAX)) }));
    });
    let never = queue.push_delayed("note", &0, Duration::MAX).await?;
    let centuries = queue.push_delayed("note", &0, 100_000_000 * HOUR).await?;
    let (fails, snoozes) = (queue.push("fails", &()).await?, queue.push("snoozes", &()).await?);
    queue.push_delayed("note", &2, 3 * MS).await?;
    queue.push("note", &1).await?;
    assert_eq!(log.wait_for(2).await, [1, 2]);
    rt.until(|| queue.inflight_count() == 0).await;
    let counts = queue.counts("default")?;
    assert_eq!((counts.ready, counts.delayed, counts.dead), (0, 4, 0));
    assert_eq!(queue.pending_count(), 4);
    let report = queue.shutdown(HOUR).await;
    let handed_back: Vec<_> = report.handed_back.iter().map(|back| (back.id, back.attempts)).collect();
    assert_eq!(handed_back, [(never, 0), (centuries, 0), (fails, 1), (snoozes, 0)]);
    assert_eq!((report.finished, report.dead_lettered, report.cancelled), (0, 0, 0));
    // What is handed back is ready to be pushed elsewhere, and has waited long enough.
    let other = rt.started(rt.builder().workers(1), |queue| queue.register("note", note(&log)));
    other.push_job(report.handed_back[0].job.clone()).await?;
    assert_eq!(log.wait_for(3).await, [1, 2, 0]);
    Ok(())
}

/// A hundred thousand delayed jobs are pending, and ready ones run as if there were none.
pub async fn many_delayed_jobs_do_not_hinder_ready_ones(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.started(rt.builder().workers(2), |queue| queue.register("note", note(&log)));
    let delayed = (0..100_000u32).map(|n| NewJob::raw("note", "0").delay(HOUR + n % 977 * MS));
    let ids = queue.push_many(delayed).await?;
    for n in 1..=500 {
        queue.push("note", &n).await?;
        if n % 100 == 0 {
            queue.push_delayed("note", &(1000 + n), MS).await?;
        }
    }
    let mut seen = log.wait_for(505).await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).chain((1..=5).map(|n| 1000 + 100 * n)).collect::<Vec<_>>());
    let counts = queue.counts("default")?;
    assert_eq!((counts.delayed, counts.waiting_bytes), (100_000, 100_000));
    let report = queue.shutdown(HOUR).await;
    assert!(report.handed_back.iter().map(|back| back.id).eq(ids));
    Ok(())
}

/// Many jobs that are due at the same time all run, each once.
pub async fn many_jobs_due_together_all_run_once(rt: impl TestRuntime) -> TestResult {
    let log = Log::<u32>::new();
    let queue = rt.started(rt.builder(), |queue| queue.register("note", note(&log)));
    queue.push_many(jobs("note", 0..10_000).into_iter().map(|job| job.delay(20 * MS))).await?;
    let mut seen = log.wait_for(10_000).await;
    seen.sort_unstable();
    assert_eq!(seen, (0..10_000).collect::<Vec<_>>());
    let report = queue.shutdown(HOUR).await;
    assert!(report.is_clean());
    assert_eq!(log.len(), 10_000);
    Ok(())
}

/// Nothing is woken, no clock read and no timer made while nothing is due: with nothing pending, and with delayed jobs
/// pending that are far away. A push wakes somebody only if it must be seen to before the others.
pub async fn an_idle_queue_does_nothing(rt: impl TestRuntime) -> TestResult {
    let (log, clock, start) = (Log::<u32>::new(), HandClock::at(rt.now()), rt.now());
    let queue = Queue::builder_on(clock.clone()).build();
    queue.register("note", note(&log));
    let mut workers = ByHand::new(queue.run());
    workers.settle();
    // `start` tries the timer once.
    assert_eq!((workers.wakes(), clock.sleeps()), (0, 1));

    for delay in [HOUR, 2 * HOUR, 1000 * HOUR, Duration::MAX] {
        queue.push_delayed("note", &1, delay).await?;
    }
    assert_eq!(workers.wakes(), 1, "the first deadline is earlier than none");
    workers.settle();
    assert_eq!(clock.sleeps(), 2);

    let reads = clock.reads();
    clock.set(start + HOUR / 2);
    assert_eq!((workers.wakes(), clock.reads(), clock.sleeps()), (0, reads, 2));

    // A later deadline is nobody's business now, and neither is one that is gone.
    let later = queue.push_delayed("note", &2, HOUR).await?;
    assert_eq!(queue.cancel(later), queue_core::CancelAnswer::Removed);
    assert_eq!((workers.wakes(), clock.sleeps()), (0, 2));

    queue.push_delayed("note", &0, HOUR / 4).await?;
    assert_eq!(workers.wakes(), 1, "an earlier deadline is");
    workers.settle();
    assert_eq!((clock.sleeps(), log.len()), (3, 0));

    clock.set(start + HOUR + TICK);
    workers.settle();
    assert_eq!(log.entries(), [0, 1]);
    let (reads, sleeps) = (clock.reads(), clock.sleeps());
    clock.set(start + HOUR + 59 * HOUR / 60);
    assert_eq!((workers.wakes(), clock.reads(), clock.sleeps()), (0, reads, sleeps));
    assert_eq!(queue.pending_count(), 3);
    Ok(())
}

/// While the clock stands still nothing delayed starts and nothing times out, however often sleeps end, each of which
/// costs one look; jobs that are ready run.
pub async fn a_clock_that_does_not_move_starts_nothing_early(rt: impl TestRuntime) -> TestResult {
    let (log, clock) = (Log::<u32>::new(), HandClock::at(rt.now()));
    let queue = Queue::builder_on(clock.clone()).workers(2).build();
    queue.register("note", note(&log));
    queue.register("hangs", handler(|_| std::future::pending::<Result<(), _>>()));
    let mut workers = ByHand::new(queue.run());
    queue.push_delayed("note", &2, Duration::from_nanos(1)).await?;
    queue.push("hangs", &()).timeout(Duration::from_nanos(1)).await?;
    workers.settle();
    for _ in 0..100 {
        let sleeps = clock.sleeps();
        clock.rouse();
        assert!(workers.wakes() > 0);
        let polls = workers.settle();
        assert!(polls <= 3, "{polls} polls for a sleep that ended early");
        assert_eq!(clock.sleeps(), sleeps + 1);
    }
    queue.push("note", &1).await?;
    workers.settle();
    assert_eq!(log.entries(), [1]);
    assert_eq!((queue.pending_count(), queue.inflight_count()), (1, 1));
    clock.advance(TICK);
    workers.settle();
    assert_eq!(log.entries(), [1, 2]);
    assert_eq!((queue.inflight_count(), queue.dead_letter_count()), (0, 1));
    Ok(())
}

/// A worker gives its thread back even if its clock never says that it is time to: here with a job that pushes the next
/// one, without end.
pub async fn a_clock_that_does_not_move_lets_others_run(rt: impl TestRuntime) -> TestResult {
    let runs = Arc::new(AtomicUsize::new(0));
    let queue = Queue::builder_on(HandClock::at(rt.now())).workers(1).build();
    let count = runs.clone();
    queue.register(
        "endless",
        handler(move |job: Job| {
            let runs = count.fetch_add(1, Ordering::Relaxed);
            async move {
                // So that a failure is not a hang.
                if runs < 100_000 {
                    job.handle().push("endless", &()).await?;
                }
                Ok(())
            }
        }),
    );
    queue.push("endless", &()).await?;
    let mut workers = ByHand::new(queue.run());
    assert!(workers.poll().is_pending());
    let in_one_poll = runs.load(Ordering::Relaxed);
    assert!((1..10_000).contains(&in_one_poll), "{in_one_poll} jobs in one poll");
    assert!(workers.wakes() > 0, "and it goes on");
    Ok(())
}

/// When the clock jumps far ahead everything that is due by then runs once, by deadline, and nothing else does.
pub async fn a_clock_that_jumps_ahead_runs_what_is_due_once_and_in_order(rt: impl TestRuntime) -> TestResult {
    let (log, clock) = (Log::<u64>::new(), HandClock::at(rt.now()));
    let queue = Queue::builder_on(clock.clone()).workers(1).build();
    queue.register("note", note(&log));
    let year = 365 * 24 * HOUR;
    let mut expected = Vec::new();
    for n in 0..3000u64 {
        // Anything from a nanosecond to a year, with as many short delays as long ones.
        let scale = Duration::from_nanos(1) * 10u32.pow(u32::try_from(n % 9)?);
        let delay = (scale * (1 + u32::try_from(n * 7919 % 35_000_000)?)).min(year);
        queue.push_delayed("note", &n, delay).await?;
        expected.push((delay, n));
    }
    queue.push_delayed("note", &u64::MAX, Duration::MAX).await?;
    queue.push_delayed("note", &u64::MAX, 2 * year).await?;
    let mut workers = ByHand::new(queue.run());
    workers.settle();
    assert!(log.is_empty());
    clock.advance(year + TICK);
    workers.settle();
    expected.sort_unstable();
    assert_eq!(log.entries(), expected.into_iter().map(|(_, n)| n).collect::<Vec<_>>());
    assert_eq!(queue.pending_count(), 2);
    Ok(())
}

/// When the clock jumps back, even to before the queue was built, ready jobs run, nothing is lost, run twice, or early:
/// what was delayed runs when the clock has caught up.
pub async fn a_clock_that_jumps_back_harms_nobody(rt: impl TestRuntime) -> TestResult {
    let before = rt.now();
    let start = before + 10 * HOUR;
    let (log, clock) = (Log::<u32>::new(), HandClock::at(start));
    let queue = Queue::builder_on(clock.clone()).workers(1).build();
    queue.register("note", note(&log));
    let mut workers = ByHand::new(queue.run());
    queue.push_delayed("note", &1, HOUR).await?;
    queue.push_delayed("note", &5, 3 * HOUR).await?;
    workers.settle();
    clock.set(start + HOUR + TICK);
    workers.settle();
    assert_eq!(log.entries(), [1]);

    clock.set(before);
    queue.push_delayed("note", &3, MS).await?;
    queue.push("note", &2).await?;
    workers.settle();
    assert_eq!(log.entries(), [1, 2]);
    clock.rouse();
    workers.settle();
    assert_eq!(log.entries(), [1, 2], "nothing is early");

    clock.set(start + 2 * HOUR);
    queue.push_delayed("note", &4, MS).await?;
    workers.settle();
    clock.advance(MS + TICK);
    workers.settle();
    assert_eq!(log.entries(), [1, 2, 3, 4]);
    clock.set(start + 3 * HOUR + TICK);
    workers.settle();
    assert_eq!(log.entries(), [1, 2, 3, 4, 5]);
    assert_eq!(queue.pending_count() + queue.inflight_count(), 0);
    Ok(())
}
