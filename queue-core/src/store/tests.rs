//! The store by itself, with the time as an argument: what each verb does and refuses, and the whole of it against its
//! model.

use std::time::{Duration, Instant, SystemTime};

use super::sample::{bury, epoch, failure, job, retry};
use super::*;
use crate::job::Overrides;
use crate::retry::RetryPolicy;

mod claims;
mod dead_letters;
mod model;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
/// A tick of the wheel, and a little: what is due is released by then.
const TICK: Duration = Duration::from_millis(2);

/// A store and its clock.
struct Bench {
    store: Store,
    epoch: Instant,
    next_id: u64,
}

impl Bench {
    fn new() -> Self {
        Self::bounded(DeadLimits { jobs: 100, bytes: 10_000 })
    }

    fn bounded(dead: DeadLimits) -> Self {
        let epoch = epoch();
        Self { store: Store::new("queue".into(), epoch, dead), epoch, next_id: 1 }
    }

    fn at(&self, since: Duration) -> When {
        When::At(self.epoch + since)
    }

    /// Pushes a job of ten bytes in the middle priority.
    fn push(&mut self, when: When) -> JobId {
        let id = self.next_id;
        self.next_id += 1;
        self.store.push(job(id, 5, 10), when);
        JobId::new(id)
    }

    fn claim(&mut self, worker: u32) -> Lease {
        self.store.claim(worker).expect("something is ready")
    }

    fn settle(&mut self, lease: Lease, settle: Settle) -> Settled {
        self.store.settle(lease, settle).expect("the lease is current")
    }

    /// What becomes due by `since`.
    fn advance(&mut self, since: Duration) -> Vec<Due> {
        let mut due = Vec::new();
        while self.store.advance(self.epoch + since, 7, |what| due.push(what)) {}
        due
    }

    /// Claims everything that is ready.
    fn drain(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.store.claim(0)).map(|lease| lease.id.as_u64()).collect()
    }

    #[track_caller]
    fn assert_counts(&self, ready: usize, delayed: usize, running: usize) {
        let counts = self.store.counts();
        assert_eq!((counts.ready, counts.delayed, counts.running), (ready, delayed, running));
        assert_eq!(counts.waiting(), ready + delayed);
        assert_eq!(counts.waiting_bytes, 10 * (ready + delayed));
        assert_eq!(self.store.has_ready(), ready > 0);
        assert_eq!(self.store.running().count(), running);
    }
}

#[test]
fn a_job_goes_through_its_life_and_the_counts_with_it() {
    let mut bench = Bench::new();
    bench.assert_counts(0, 0, 0);
    bench.push(When::Now);
    bench.assert_counts(1, 0, 0);
    let lease = bench.claim(4);
    bench.assert_counts(0, 0, 1);
    assert!(bench.store.claim(5).is_none());
    assert_eq!(bench.store.running().collect::<Vec<_>>(), [(lease.id, 4)]);
    assert!(matches!(bench.settle(lease, retry(bench.at(HOUR))), Settled::Kept));
    bench.assert_counts(0, 1, 0);
    assert_eq!(bench.advance(HOUR + TICK), [Due::Released]);
    bench.assert_counts(1, 0, 0);
    let lease = bench.claim(4);
    assert_eq!(lease.attempt, 1);
    let Settled::Gone((payload, extras)) = bench.settle(lease, Settle::Done) else {
        panic!("a done job is gone")
    };
    assert!(payload.is_none(), "ten bytes lie inside the record");
    assert_eq!(extras.map(|extras| extras.history.len()), Some(1));
    bench.assert_counts(0, 0, 0);
    assert_eq!(bench.store.dead().len(), 0);
}

#[test]
fn a_claim_carries_what_was_pushed() {
    let mut bench = Bench::new();
    let mut entry = job(7, 2, 60);
    entry.extras = Some(Box::new(Extras {
        name: Some("late".into()),
        overrides: Some(Box::new(Overrides {
            queue: None,
            retry: Some(RetryPolicy::fixed(3, MS)),
            timeout: Some(HOUR),
        })),
        history: Vec::new(),
    }));
    bench.store.push(entry, When::Now);
    let lease = bench.claim(1);
    let mut claim = Claim::vacant();
    bench.store.hand_out(lease, &mut claim);
    assert_eq!((claim.lease.id, claim.lease.attempt), (JobId::new(7), 0));
    assert_eq!((claim.kind, claim.priority.level()), (Kind::from_index(3), 2));
    assert_eq!(claim.payload, Payload::from(vec![b'x'; 60]));
    let extras = claim.extras.unwrap();
    assert_eq!(extras.name, Some(Name::from("late")));
    let overrides = extras.overrides.unwrap();
    assert_eq!(overrides.timeout, Some(HOUR));
    assert!(matches!(overrides.retry, Some(RetryPolicy::Fixed { max_retries: 3, delay: MS })));
    let Settled::Gone((payload, _)) = bench.settle(claim.lease, Settle::Done) else {
        panic!("a done job is gone")
    };
    assert_eq!(payload.as_deref(), Some(&[b'x'; 60][..]));
}

#[test]
fn a_lease_is_good_once() {
    let settles: [fn() -> Settle; 6] = [
        || Settle::Done,
        || Settle::Cancel,
        || Settle::HandBack,
        || retry(When::Never),
        || Settle::Snooze { when: When::Never },
        || bury("dead"),
    ];
    for first in settles {
        for second in settles {
            let mut bench = Bench::new();
            bench.push(When::Now);
            let lease = bench.claim(0);
            let _ = bench.settle(lease, first());
            let before = (bench.store.counts(), bench.store.dead().len());
            let answer = bench.store.settle(lease, second());
            assert!(answer.is_err(), "{:?} after {:?}", second(), first());
            assert_eq!((bench.store.counts(), bench.store.dead().len()), before);
        }
    }
}

#[test]
fn a_lease_is_good_for_its_own_attempt_and_job_only() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let first = bench.claim(0);
    let _ = bench.settle(first, retry(When::Now));
    let second = bench.claim(0);
    assert_eq!((second.id, second.attempt), (first.id, 1));
    for wrong in [
        first,
        Lease { attempt: 2, ..second },
        Lease { key: second.key + 1, ..second },
        Lease { id: JobId::new(99), ..second },
    ] {
        assert_eq!(bench.store.settle(wrong, Settle::Done).unwrap_err(), Stale, "{wrong:?}");
        bench.assert_counts(0, 0, 1);
    }
    assert!(matches!(bench.settle(second, Settle::Done), Settled::Gone(_)));
    // The next job takes over the record, and the old lease still means the old one.
    let other = bench.push(When::Now);
    let third = bench.claim(0);
    assert_eq!((third.key, third.id), (second.key, other));
    assert_eq!(bench.store.settle(second, Settle::Done).unwrap_err(), Stale);
    bench.assert_counts(0, 0, 1);
}

#[test]
fn a_stale_lease_arms_nothing() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let lease = bench.claim(0);
    let _ = bench.settle(lease, Settle::HandBack);
    bench.store.arm(lease, bench.epoch + MS);
    assert_eq!(bench.store.next_due(), None);
    assert_eq!(bench.advance(HOUR), []);
    bench.assert_counts(1, 0, 0);
}

#[test]
fn jobs_that_are_handed_back_stand_where_they_stood() {
    let mut bench = Bench::new();
    for _ in 0..8 {
        bench.push(When::Now);
    }
    let leases: Vec<_> = (0..4).map(|worker| bench.claim(worker)).collect();
    for lease in [2, 0, 3, 1].map(|nth| leases[nth]) {
        let _ = bench.settle(lease, Settle::HandBack);
    }
    // Job 1 runs again and is handed back again.
    let again = bench.claim(0);
    assert_eq!((again.id, again.attempt), (JobId::new(1), 0));
    let _ = bench.settle(again, Settle::HandBack);
    assert_eq!(bench.drain(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_job_with_a_high_number_keeps_its_place_when_it_is_handed_back() {
    let mut bench = Bench::new();
    // Job 1 is released after job 2 has become ready, so that 2 comes before it.
    bench.push(bench.at(MS));
    bench.push(When::Now);
    bench.advance(MS + TICK);
    let lease = bench.claim(0);
    assert_eq!(lease.id, JobId::new(2));
    let _ = bench.settle(lease, Settle::HandBack);
    assert_eq!(bench.drain(), [2, 1]);
}

#[test]
fn a_retry_that_is_handed_back_does_not_overtake_what_stood_before_it() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.push(When::Now);
    }
    // Job 1 fails and goes behind the others; all of them are claimed, the last with a deadline, and come back.
    let lease = bench.claim(0);
    let _ = bench.settle(lease, retry(When::Now));
    let leases: Vec<_> = (0..3).map(|worker| bench.claim(worker)).collect();
    bench.push(When::Now);
    bench.store.arm(leases[2], bench.epoch + HOUR);
    for lease in [1, 2, 0].map(|nth| leases[nth]) {
        let _ = bench.settle(lease, Settle::HandBack);
    }
    assert_eq!(bench.drain(), [2, 3, 1, 4]);
}

#[test]
fn what_timed_out_and_is_handed_back_keeps_its_place() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.push(When::Now);
    }
    let (first, second) = (bench.claim(0), bench.claim(1));
    bench.store.arm(second, bench.epoch + MS);
    assert_eq!(bench.advance(MS + TICK), [Due::TimedOut { worker: 1 }]);
    let _ = bench.settle(second, Settle::HandBack);
    let _ = bench.settle(first, Settle::HandBack);
    assert_eq!(bench.drain(), [1, 2, 3]);
}

#[test]
fn an_armed_attempt_keeps_its_deadline_and_its_worker() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let lease = bench.claim(3);
    bench.store.arm(lease, bench.epoch + MS);
    bench.store.arm(lease, bench.epoch + HOUR);
    assert!(bench.store.take_over(lease, 4).is_none());
    assert_eq!(bench.store.worker_of(lease.id), Some((3, lease)));
    assert_eq!(bench.advance(MS + TICK), [Due::TimedOut { worker: 3 }]);
    assert_eq!(bench.store.next_due(), None);
}

#[test]
fn a_retry_or_snooze_without_a_delay_goes_to_the_back() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.push(When::Now);
    }
    let lease = bench.claim(0);
    let _ = bench.settle(lease, retry(When::Now));
    let lease = bench.claim(0);
    let _ = bench.settle(lease, Settle::Snooze { when: When::Now });
    bench.assert_counts(4, 0, 0);
    let order: Vec<_> = std::iter::from_fn(|| bench.store.claim(0)).collect();
    let order: Vec<_> = order.iter().map(|lease| (lease.id.as_u64(), lease.attempt)).collect();
    assert_eq!(order, [(3, 0), (4, 0), (1, 1), (2, 0)]);
}

#[test]
fn nothing_is_released_early_and_next_due_is_when_to_look() {
    let mut bench = Bench::new();
    for nanos in [1, 999_999, 1_048_576, 1_048_577, 5_000_000, 300_000_000, 3_600_000_000_000] {
        let due = Duration::from_nanos(nanos);
        bench.push(bench.at(due));
        assert_eq!(bench.advance(due.saturating_sub(Duration::from_nanos(1))), []);
        bench.assert_counts(0, 1, 0);
        let look = bench.store.next_due().expect("something is delayed");
        assert!(look >= bench.epoch + due, "{nanos} ns: told to look early");
        assert!(look <= bench.epoch + due + TICK, "{nanos} ns: told to look late");
        assert_eq!(bench.advance(look - bench.epoch), [Due::Released]);
        assert_eq!(bench.store.next_due(), None);
        assert_eq!(bench.drain().len(), 1);
        bench = Bench::new();
    }
}

#[test]
fn delayed_jobs_are_released_by_deadline_and_then_by_number_to_the_back() {
    let mut bench = Bench::new();
    for ms in [30, 10, 20, 10, 30, 10] {
        bench.push(bench.at(ms * MS));
    }
    bench.push(When::Now);
    assert_eq!(bench.advance(HOUR).len(), 6);
    bench.push(When::Now);
    assert_eq!(bench.drain(), [7, 2, 4, 6, 3, 1, 5, 8]);
}

#[test]
fn equal_deadlines_are_released_by_number_wherever_they_sat() {
    // Near ones, and far ones that come down the levels of the wheel; a removal moves another into its place.
    for due in [10 * MS, 300 * MS, 100 * HOUR] {
        let mut bench = Bench::new();
        for _ in 0..6 {
            bench.push(bench.at(due));
        }
        assert!(bench.store.take(JobId::new(2)).is_some());
        bench.advance(due + TICK);
        assert_eq!(bench.drain(), [1, 3, 4, 5, 6], "due in {due:?}");
    }
}

#[test]
fn a_bounded_advance_goes_on_where_it_stopped() {
    let mut bench = Bench::new();
    for _ in 0..1000 {
        bench.push(bench.at(HOUR));
    }
    let mut released = 0;
    let mut holds = 0;
    while bench.store.advance(bench.epoch + HOUR + TICK, 64, |_| released += 1) {
        holds += 1;
        assert!(released <= 64 * holds);
        assert_eq!(bench.store.counts().ready, released);
        assert_eq!(bench.store.next_due(), Some(bench.epoch), "there is more to do at once");
    }
    assert_eq!(released, 1000);
    assert_eq!(bench.drain(), (1..=1000).collect::<Vec<_>>());
}

#[test]
fn the_end_of_time_is_never_due_and_can_be_taken_back() {
    let mut bench = Bench::new();
    bench.push(When::after(Duration::MAX, || bench.epoch));
    // Further than 64 bits of nanoseconds, though the clock can tell it.
    bench.push(bench.at(Duration::from_secs(u64::MAX / 1_000_000_000 + 1)));
    assert_eq!(bench.store.next_due(), None);
    bench.push(bench.at(HOUR));
    assert!(bench.store.next_due().is_some());
    assert_eq!(bench.advance(876_000 * HOUR), [Due::Released]);
    bench.assert_counts(1, 2, 0);
    assert_eq!(bench.store.next_due(), None);
    let taken: Vec<_> = bench.store.take_delayed().iter().map(|remains| remains.id.as_u64()).collect();
    assert_eq!(taken, [1, 2]);
    bench.assert_counts(1, 0, 0);
}

#[test]
fn a_zero_delay_is_now_and_does_not_read_the_clock() {
    assert_eq!(When::after(Duration::ZERO, || panic!("not asked")), When::Now);
}

#[test]
fn a_clock_that_jumps_back_loses_nothing_and_releases_nothing_early() {
    let mut bench = Bench::new();
    bench.advance(HOUR);
    // Half an hour back: what is due before the latest time that was seen waits until the clock is there again.
    bench.push(bench.at(HOUR / 2 + MS));
    bench.push(bench.at(HOUR + MS));
    bench.push(When::Now);
    assert_eq!(bench.drain(), [3]);
    assert_eq!(bench.advance(HOUR / 2), []);
    assert_eq!(bench.advance(Duration::ZERO), []);
    bench.assert_counts(0, 2, 1);
    assert_eq!(bench.advance(HOUR + TICK + TICK), [Due::Released; 2]);
    assert_eq!(bench.drain(), [1, 2]);
}

#[test]
fn cancel_removes_what_waits_names_who_runs_and_leaves_dead_letters_alone() {
    let mut bench = Bench::new();
    let ready = bench.push(When::Now);
    assert!(bench.store.cancel(ready).is_some_and(|remains| remains.id == ready));
    assert!(bench.store.cancel(ready).is_none());

    for when in [bench.at(HOUR), When::Never] {
        let delayed = bench.push(when);
        assert!(bench.store.cancel(delayed).is_some_and(|remains| remains.id == delayed));
        assert!(bench.store.cancel(delayed).is_none());
    }
    bench.assert_counts(0, 0, 0);
    assert_eq!(bench.advance(2 * HOUR), []);

    let running = bench.push(When::Now);
    let lease = bench.claim(6);
    assert_eq!(bench.store.worker_of(running), Some((6, lease)));
    assert!(bench.store.cancel(running).is_none());
    bench.store.arm(lease, bench.epoch + 3 * HOUR);
    assert_eq!(bench.store.worker_of(running), Some((6, lease)));
    assert!(bench.store.cancel(running).is_none());
    bench.assert_counts(0, 0, 1);

    let _ = bench.settle(lease, bury("dead"));
    assert!(bench.store.cancel(running).is_none());
    assert_eq!(bench.store.dead().len(), 1);
    assert!(bench.store.cancel(JobId::new(12_345)).is_none());
}

#[test]
fn a_job_that_is_due_but_not_yet_released_can_be_cancelled() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.push(bench.at(MS));
    }
    // One step opens the slot, the next releases the first job; the others are on their way out.
    while bench.store.counts().ready == 0 {
        bench.store.advance(bench.epoch + HOUR, 1, |_| {});
    }
    for id in [2, 6, 4] {
        assert!(bench.store.cancel(JobId::new(id)).is_some(), "job {id}");
    }
    bench.assert_counts(1, 2, 0);
    bench.advance(HOUR);
    assert_eq!(bench.drain(), [1, 3, 5]);
}

#[test]
fn take_gives_back_what_waits_and_nothing_else() {
    let mut bench = Bench::new();
    let running = bench.push(When::Now);
    let lease = bench.claim(0);
    assert!(bench.store.take(running).is_none());
    let (ready, delayed) = (bench.push(When::Now), bench.push(When::Never));
    for id in [ready, delayed] {
        assert_eq!(bench.store.take(id).map(|remains| remains.id), Some(id));
        assert!(bench.store.take(id).is_none());
    }
    let _ = bench.settle(lease, bury("dead"));
    assert!(bench.store.take(running).is_none());
    bench.assert_counts(0, 0, 0);
}

#[test]
fn take_ready_and_take_delayed_empty_their_places_in_order() {
    let mut bench = Bench::new();
    for (id, level) in [(1, 5), (2, 0), (3, 9), (4, 0), (5, 5)] {
        bench.store.push(job(id, level, 10), When::Now);
    }
    for (id, when) in [(6, When::Never), (7, bench.at(HOUR)), (8, bench.at(MS))] {
        bench.store.push(job(id, 5, 10), when);
    }
    let running = bench.claim(3);
    bench.store.arm(running, bench.epoch + HOUR);
    bench.assert_counts(4, 3, 1);
    let ids = |taken: Vec<Remains>| taken.iter().map(|remains| remains.id.as_u64()).collect::<Vec<_>>();
    assert_eq!(ids(bench.store.take_ready()), [4, 1, 5, 3]);
    bench.assert_counts(0, 3, 1);
    assert_eq!(ids(bench.store.take_delayed()), [6, 7, 8]);
    bench.assert_counts(0, 0, 1);
    assert!(bench.store.take_ready().is_empty() && bench.store.take_delayed().is_empty());
    // The timeout of what runs is not a delayed job.
    assert_eq!(bench.advance(2 * HOUR), [Due::TimedOut { worker: 3 }]);
}

#[test]
fn a_timeout_names_the_worker_whose_time_is_up_once() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.push(When::Now);
    }
    let leases: Vec<_> = [7, 3, 9, 5].map(|worker| bench.claim(worker)).into();
    for (lease, ms) in leases.iter().zip([40, 20, 30, 10]) {
        bench.store.arm(*lease, bench.epoch + ms * MS);
    }
    assert_eq!(bench.advance(Duration::from_nanos(9_999_999)), []);
    assert_eq!(bench.advance(10 * MS + TICK), [Due::TimedOut { worker: 5 }]);
    assert_eq!(bench.advance(10 * MS + TICK), []);
    // Its worker is still known, and it can still be settled.
    assert!(bench.store.running().any(|running| running == (leases[3].id, 5)));
    assert_eq!(bench.store.worker_of(leases[3].id), Some((5, leases[3])));
    assert!(matches!(bench.settle(leases[3], retry(When::Now)), Settled::Kept));
    // One that ends in time is not reported.
    assert!(matches!(bench.settle(leases[1], Settle::Done), Settled::Gone(_)));
    assert_eq!(bench.advance(HOUR), [Due::TimedOut { worker: 9 }, Due::TimedOut { worker: 7 }]);
    assert_eq!(bench.store.next_due(), None);
    bench.assert_counts(1, 0, 2);
}

#[test]
fn a_settled_attempt_leaves_no_timeout_behind() {
    let settles: [fn() -> Settle; 6] = [
        || Settle::Done,
        || Settle::Cancel,
        || Settle::HandBack,
        || retry(When::Now),
        || Settle::Snooze { when: When::Now },
        || bury("dead"),
    ];
    for settle in settles {
        let mut bench = Bench::new();
        bench.push(When::Now);
        let lease = bench.claim(0);
        bench.store.arm(lease, bench.epoch + MS);
        let _ = bench.settle(lease, settle());
        assert_eq!(bench.store.next_due(), None, "{:?}", settle());
        assert_eq!(bench.advance(HOUR), []);
    }
}

#[test]
fn an_attempt_that_ends_while_its_timeout_is_firing_is_not_reported() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    bench.push(When::Now);
    let (first, second) = (bench.claim(1), bench.claim(2));
    for lease in [first, second] {
        bench.store.arm(lease, bench.epoch + MS);
    }
    let mut due = Vec::new();
    while due.is_empty() {
        bench.store.advance(bench.epoch + HOUR, 1, |what| due.push(what));
    }
    assert_eq!(due, [Due::TimedOut { worker: 1 }]);
    let _ = bench.settle(second, Settle::Done);
    assert_eq!(bench.advance(HOUR), []);
    let _ = bench.settle(first, Settle::Done);
    bench.assert_counts(0, 0, 0);
}

#[test]
fn a_dead_letter_keeps_the_whole_story() {
    let mut bench = Bench::new();
    bench.store.push(job(9, 2, 10), When::Now);
    for attempt in 0..3 {
        let lease = bench.claim(0);
        let error = format!("error {attempt}");
        let at = SystemTime::UNIX_EPOCH + attempt * MS;
        let failure = Box::new(Failure { error, at });
        let settle = match attempt {
            0 | 1 => Settle::Retry { when: When::Now, failure },
            _ => Settle::Bury { name: "kind".into(), reason: DeadReason::Discarded, failure },
        };
        let _ = bench.settle(lease, settle);
    }
    let dead = bench.store.dead().find(JobId::new(9)).expect("it is dead").clone();
    assert_eq!((&*dead.name, &*dead.queue, dead.payload.len()), ("kind", "queue", 10));
    assert_eq!((dead.attempts, dead.priority.level(), dead.reason), (3, 2, DeadReason::Discarded));
    assert_eq!((&*dead.error, dead.failed_at), ("error 2", SystemTime::UNIX_EPOCH + 2 * MS));
    let history: Vec<_> = dead.history.iter().map(|failed| (failed.attempt, &*failed.error)).collect();
    assert_eq!(history, [(0, "error 0"), (1, "error 1"), (2, "error 2")]);
    bench.assert_counts(0, 0, 0);
}

#[test]
fn a_job_that_was_never_attempted_has_no_attempts_when_it_dies() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let lease = bench.claim(0);
    let settle = Settle::Bury {
        name: "kind".into(),
        reason: DeadReason::NoHandler,
        failure: Box::new(failure("no handler")),
    };
    let _ = bench.settle(lease, settle);
    assert_eq!(bench.store.dead().find(lease.id).unwrap().attempts, 0);
}

#[test]
fn a_requeued_job_starts_over_with_its_history() {
    let mut bench = Bench::new();
    let id = bench.push(When::Now);
    let lease = bench.claim(0);
    let _ = bench.settle(lease, retry(When::Now));
    let lease = bench.claim(0);
    let _ = bench.settle(lease, bury("dead"));
    bench.push(When::Now);
    assert!(bench.store.requeue(id));
    assert!(!bench.store.requeue(id), "it is a dead letter no more");
    assert!(!bench.store.requeue(JobId::new(77)));
    assert_eq!(bench.store.dead().len(), 0);
    bench.assert_counts(2, 0, 0);
    let other = bench.claim(0);
    assert_eq!(other.id, JobId::new(2), "it goes to the back");
    let lease = bench.claim(0);
    assert_eq!((lease.id, lease.attempt), (id, 0));
    let _ = bench.settle(lease, bury("dead again"));
    let dead = bench.store.dead().find(id).unwrap().clone();
    let errors: Vec<_> = dead.history.iter().map(|failed| &*failed.error).collect();
    assert_eq!((dead.attempts, errors), (1, vec!["failed", "dead", "dead again"]));
}

const NONE_EVICTED: [u64; 0] = [];

/// Buries a job with this many bytes of payload and an error of four bytes, and says what had to make room.
fn bury_one(bench: &mut Bench, bytes: usize) -> Vec<u64> {
    let id = bench.next_id;
    bench.next_id += 1;
    bench.store.push(job(id, 5, bytes), When::Now);
    let lease = bench.claim(0);
    let Settled::Buried { evicted } = bench.settle(lease, bury("dead")) else { panic!("it is buried") };
    evicted.iter().map(|dead| dead.job.id.as_u64()).collect()
}

fn dead_ids(bench: &Bench) -> Vec<u64> {
    bench.store.dead().iter().map(|dead| dead.id.as_u64()).collect()
}

#[test]
fn the_oldest_dead_letters_make_room_by_number() {
    let mut bench = Bench::bounded(DeadLimits { jobs: 3, bytes: usize::MAX });
    for _ in 0..3 {
        assert_eq!(bury_one(&mut bench, 10), NONE_EVICTED);
    }
    assert_eq!(bury_one(&mut bench, 10), [1]);
    assert_eq!(dead_ids(&bench), [2, 3, 4]);
    assert!(bench.store.requeue(JobId::new(3)));
    assert_eq!(bench.drain(), [3]);
    assert_eq!(bury_one(&mut bench, 10), NONE_EVICTED);
    assert_eq!(dead_ids(&bench), [2, 4, 5]);
}

#[test]
fn the_oldest_dead_letters_make_room_by_bytes() {
    let mut bench = Bench::bounded(DeadLimits { jobs: 100, bytes: 100 });
    // Each weighs its payload and its errors.
    for _ in 0..3 {
        assert_eq!(bury_one(&mut bench, 26), NONE_EVICTED);
    }
    assert_eq!(bury_one(&mut bench, 6), NONE_EVICTED);
    assert_eq!(bury_one(&mut bench, 0), [1]);
    assert_eq!(bury_one(&mut bench, 80), [2, 3]);
    assert_eq!(dead_ids(&bench), [4, 5, 6]);
    // What is larger than the bound by itself is kept until the next one comes; what was there goes before it.
    assert_eq!(bury_one(&mut bench, 97), [4, 5, 6]);
    assert_eq!(dead_ids(&bench), [7]);
    assert_eq!(bury_one(&mut bench, 96), [7]);
    assert_eq!(bury_one(&mut bench, 0), [8], "the weight of what is gone is gone");
}

#[test]
fn no_dead_letters_are_kept_when_none_are_wanted() {
    let mut bench = Bench::bounded(DeadLimits { jobs: 0, bytes: 1000 });
    assert_eq!(bury_one(&mut bench, 10), [1]);
    assert_eq!(bench.store.dead().len(), 0);
}

#[test]
fn purged_dead_letters_are_handed_out_and_weigh_nothing() {
    let mut bench = Bench::bounded(DeadLimits { jobs: 100, bytes: 28 });
    bury_one(&mut bench, 10);
    bury_one(&mut bench, 10);
    let purged: Vec<_> = bench.store.purge_dead().iter().map(|dead| dead.job.id.as_u64()).collect();
    assert_eq!(purged, [1, 2]);
    assert_eq!(bench.store.dead().len(), 0);
    assert!(!bench.store.requeue(JobId::new(1)));
    bury_one(&mut bench, 10);
    assert_eq!(bury_one(&mut bench, 10), NONE_EVICTED);
    assert_eq!(dead_ids(&bench), [3, 4]);
}

#[test]
fn attempts_saturate() {
    let mut bench = Bench::new();
    let mut entry = job(1, 5, 10);
    entry.attempt = u32::MAX;
    bench.store.push(entry, When::Now);
    let lease = bench.claim(0);
    let _ = bench.settle(lease, retry(When::Now));
    let lease = bench.claim(0);
    assert_eq!(lease.attempt, u32::MAX);
    let _ = bench.settle(lease, bury("dead"));
    assert_eq!(bench.store.dead().find(JobId::new(1)).unwrap().attempts, u32::MAX);
}

#[test]
fn a_lane_that_got_a_turn_is_patient_again() {
    let mut bench = Bench::new();
    let mut next = 0;
    let mut push = |bench: &mut Bench, level| {
        next += 1;
        bench.store.push(job(next, level, 0), When::Now);
        next
    };
    let first = push(&mut bench, 9);
    let second = push(&mut bench, 9);
    // The lane is passed over a few times, and gets its turn because nothing else is there.
    for _ in 0..10 {
        let urgent = push(&mut bench, 0);
        assert_eq!(bench.claim(0).id.as_u64(), urgent);
    }
    assert_eq!(bench.claim(0).id.as_u64(), first);
    // From then on it is passed over the full number of times again.
    for _ in 0..lanes::PATIENCE {
        let urgent = push(&mut bench, 0);
        assert_eq!(bench.claim(0).id.as_u64(), urgent);
    }
    push(&mut bench, 0);
    assert_eq!(bench.claim(0).id.as_u64(), second);
}

#[test]
fn a_pending_job_costs_a_record_and_a_delayed_one_sixteen_bytes_more() {
    assert_eq!(size_of::<Entry>(), 88);
    assert_eq!(size_of::<Item>(), 16);
}
