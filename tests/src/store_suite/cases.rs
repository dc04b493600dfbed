//! The cases: each on a fresh store.

use std::time::Duration;

use queue_core::{DeadReason, JobId, Priority};

use super::{CAPACITY, CRASHES, Counts, Full, How, Push, RETRIES, RETRY, SLOTS, Started, Subject};

const SECOND: Duration = Duration::from_secs(1);

/// Runs all cases, each on a store of its own that `fresh` makes.
///
/// # Panics
///
/// When the store does otherwise than every other.
pub async fn exercise<S, F>(mut fresh: impl FnMut() -> F)
where
    S: Subject,
    F: Future<Output = S>,
{
    jobs_start_in_order_and_no_more_than_there_are_slots(fresh().await).await;
    the_urgent_go_first(fresh().await).await;
    what_is_delayed_waits_for_its_time(fresh().await).await;
    payloads_come_as_they_were(fresh().await).await;
    a_failure_is_tried_again_and_then_dies(fresh().await).await;
    a_snooze_is_no_attempt(fresh().await).await;
    what_is_discarded_dies_and_may_live_again(fresh().await).await;
    a_job_can_be_cancelled_anywhere(fresh().await).await;
    an_attempt_is_settled_once(fresh().await).await;
    a_pause_starts_nothing(fresh().await).await;
    it_is_full_at_its_bound(fresh().await).await;
    everything_is_counted(fresh().await).await;
    everything_outlives_a_crash(fresh().await).await;
    what_crashes_too_often_is_a_dead_letter(fresh().await).await;
}

async fn push(subject: &mut impl Subject, payload: &str) -> JobId {
    subject.push(Push::new(payload)).await.expect("there is room")
}

async fn one(subject: &mut impl Subject) -> Started {
    subject.started(1).await.remove(0)
}

fn ids(started: &[Started]) -> Vec<JobId> {
    started.iter().map(|attempt| attempt.id).collect()
}

async fn jobs_start_in_order_and_no_more_than_there_are_slots(mut subject: impl Subject) {
    subject.pause(true).await;
    let mut pushed = Vec::new();
    for number in 0..5 {
        pushed.push(push(&mut subject, &number.to_string()).await);
    }
    assert!(pushed.is_sorted(), "numbers grow: {pushed:?}");
    subject.pause(false).await;
    let first = subject.started(SLOTS).await;
    assert_eq!(ids(&first), pushed[..2]);
    assert_eq!(subject.counts().await, Counts { ready: 3, running: 2, ..Counts::default() });
    assert!(subject.settle(&first[1], How::Done).await);
    let third = one(&mut subject).await;
    assert_eq!(third.id, pushed[2]);
    assert!(subject.settle(&first[0], How::Done).await);
    let fourth = one(&mut subject).await;
    assert!(subject.settle(&third, How::Done).await);
    let fifth = one(&mut subject).await;
    assert_eq!((fourth.id, fifth.id), (pushed[3], pushed[4]));
    assert!(subject.settle(&fourth, How::Done).await && subject.settle(&fifth, How::Done).await);
    assert_eq!(subject.counts().await, Counts::default());
}

async fn the_urgent_go_first(mut subject: impl Subject) {
    subject.pause(true).await;
    let mut pushed = Vec::new();
    for priority in [Priority::LOW, Priority::HIGHEST, Priority::NORMAL, Priority::HIGHEST] {
        pushed.push(subject.push(Push::new("it").priority(priority)).await.expect("there is room"));
    }
    subject.pause(false).await;
    let first = subject.started(2).await;
    assert_eq!(ids(&first), [pushed[1], pushed[3]]);
    for attempt in &first {
        assert!(subject.settle(attempt, How::Done).await);
    }
    let rest = subject.started(2).await;
    assert_eq!(ids(&rest), [pushed[2], pushed[0]]);
}

async fn what_is_delayed_waits_for_its_time(mut subject: impl Subject) {
    let later = subject.push(Push::new("later").delay(20 * SECOND)).await.expect("there is room");
    let soon = subject.push(Push::new("soon").delay(10 * SECOND)).await.expect("there is room");
    let never = subject.push(Push::new("never").delay(Duration::MAX)).await.expect("there is room");
    let now = push(&mut subject, "now").await;
    let attempt = one(&mut subject).await;
    assert_eq!(attempt.id, now);
    assert!(subject.settle(&attempt, How::Done).await);
    subject.advance(9 * SECOND).await;
    assert_eq!(subject.counts().await, Counts { delayed: 3, ..Counts::default() });
    subject.advance(2 * SECOND).await;
    assert_eq!(one(&mut subject).await.id, soon);
    subject.advance(10 * SECOND).await;
    assert_eq!(one(&mut subject).await.id, later);
    assert_eq!(subject.cancel(never).await, Some(true));
}

async fn payloads_come_as_they_were(mut subject: impl Subject) {
    for payload in [Vec::new(), vec![0, 255, 1], vec![b'x'; 54], vec![b'y'; 55], vec![7; 100_000]] {
        subject.push(Push::new(payload.clone())).await.expect("there is room");
        let attempt = one(&mut subject).await;
        assert_eq!(attempt.payload, payload);
        assert!(subject.settle(&attempt, How::Done).await);
    }
}

async fn a_failure_is_tried_again_and_then_dies(mut subject: impl Subject) {
    let id = push(&mut subject, "fails").await;
    for number in 0..=RETRIES {
        let attempt = one(&mut subject).await;
        assert_eq!((attempt.id, attempt.attempt), (id, number));
        assert!(subject.settle(&attempt, How::Fail).await);
        if number < RETRIES {
            assert_eq!(subject.counts().await, Counts { delayed: 1, ..Counts::default() });
            subject.advance(RETRY / 2).await;
            assert_eq!(subject.counts().await, Counts { delayed: 1, ..Counts::default() });
            subject.advance(RETRY / 2 + SECOND).await;
        }
    }
    let dead = subject.dead().await.remove(0);
    assert_eq!((dead.id, dead.reason, dead.attempts), (id, DeadReason::RetriesExhausted, RETRIES + 1));
    assert_eq!((dead.history, &dead.payload[..]), (vec![0, 1, 2], &b"fails"[..]));
    assert_eq!(subject.counts().await, Counts { dead: 1, ..Counts::default() });
}

async fn a_snooze_is_no_attempt(mut subject: impl Subject) {
    let id = push(&mut subject, "snoozes").await;
    for _ in 0..5 {
        let attempt = one(&mut subject).await;
        assert_eq!((attempt.id, attempt.attempt), (id, 0));
        assert!(subject.settle(&attempt, How::Snooze(5 * SECOND)).await);
        assert_eq!(subject.counts().await, Counts { delayed: 1, ..Counts::default() });
        subject.advance(6 * SECOND).await;
    }
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Done).await);
    assert_eq!(subject.counts().await, Counts::default());
}

async fn what_is_discarded_dies_and_may_live_again(mut subject: impl Subject) {
    let id = push(&mut subject, "hopeless").await;
    assert!(!subject.requeue(id).await, "it lives");
    let attempt = one(&mut subject).await;
    assert!(!subject.requeue(id).await, "it runs");
    assert!(subject.settle(&attempt, How::Discard).await);
    let dead = subject.dead().await.remove(0);
    assert_eq!((dead.id, dead.reason, dead.attempts, dead.history), (id, DeadReason::Discarded, 1, vec![0]));
    assert_eq!(subject.cancel(id).await, None, "a dead letter is left alone");
    assert!(subject.requeue(id).await);
    assert!(!subject.requeue(id).await, "it lives");
    let attempt = one(&mut subject).await;
    assert_eq!((attempt.id, attempt.attempt), (id, 0));
    assert!(subject.settle(&attempt, How::Discard).await);
    let dead = subject.dead().await.remove(0);
    assert_eq!((dead.attempts, dead.history), (1, vec![0, 0]), "the history is kept");
    assert!(!subject.requeue(JobId::new(4711)).await, "there is none");
}

async fn a_job_can_be_cancelled_anywhere(mut subject: impl Subject) {
    subject.pause(true).await;
    let ready = push(&mut subject, "ready").await;
    let delayed = subject.push(Push::new("delayed").delay(SECOND)).await.expect("there is room");
    let fails = push(&mut subject, "fails").await;
    let snoozes = push(&mut subject, "snoozes").await;
    assert_eq!(subject.cancel(ready).await, Some(true));
    assert_eq!(subject.cancel(delayed).await, Some(true));
    assert_eq!(subject.cancel(ready).await, None, "it is gone");
    subject.pause(false).await;
    let running = subject.started(2).await;
    assert_eq!(ids(&running), [fails, snoozes]);
    for (attempt, how) in running.iter().zip([How::Fail, How::Snooze(SECOND)]) {
        assert_eq!(subject.cancel(attempt.id).await, Some(false));
        assert!(subject.settle(attempt, how).await);
    }
    assert_eq!(subject.counts().await, Counts::default(), "what was cancelled does not run again");
    let id = push(&mut subject, "answers that it is cancelled").await;
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Cancel).await);
    assert_eq!(subject.cancel(id).await, None);
    assert_eq!(subject.counts().await, Counts::default());
}

async fn an_attempt_is_settled_once(mut subject: impl Subject) {
    let id = push(&mut subject, "fails").await;
    let first = one(&mut subject).await;
    assert!(subject.settle(&first, How::Fail).await);
    assert!(!subject.settle(&first, How::Done).await, "it is over");
    subject.advance(RETRY + SECOND).await;
    let second = one(&mut subject).await;
    assert_eq!((second.id, second.attempt), (id, 1));
    assert!(!subject.settle(&first, How::Done).await, "another one runs");
    assert!(subject.settle(&second, How::Snooze(SECOND)).await);
    subject.advance(2 * SECOND).await;
    let third = one(&mut subject).await;
    assert_eq!(third.attempt, 1, "the same number");
    assert!(!subject.settle(&second, How::Done).await, "another one runs, of the same number");
    assert!(subject.settle(&third, How::Done).await);
    assert!(!subject.settle(&third, How::Done).await, "it is gone");
}

async fn a_pause_starts_nothing(mut subject: impl Subject) {
    let running = push(&mut subject, "runs").await;
    let attempt = one(&mut subject).await;
    subject.pause(true).await;
    let waits = push(&mut subject, "waits").await;
    assert_eq!(attempt.id, running);
    assert!(subject.settle(&attempt, How::Done).await, "what runs goes on");
    subject.advance(SECOND).await;
    assert_eq!(subject.counts().await, Counts { ready: 1, ..Counts::default() });
    subject.pause(false).await;
    assert_eq!(one(&mut subject).await.id, waits);
}

async fn it_is_full_at_its_bound(mut subject: impl Subject) {
    for _ in 0..SLOTS {
        push(&mut subject, "runs").await;
    }
    let running = subject.started(SLOTS).await;
    for number in 0..CAPACITY {
        let delay = if number % 2 == 0 { Duration::ZERO } else { SECOND };
        let pushed = subject.push(Push::new("waits").delay(delay)).await;
        pushed.unwrap_or_else(|Full| panic!("what runs takes no room, and {number} do not fill it"));
    }
    assert_eq!(subject.push(Push::new("one too many")).await, Err(Full));
    assert!(subject.settle(&running[0], How::Done).await);
    subject.started(1).await;
    push(&mut subject, "there is room again").await;
    assert_eq!(subject.push(Push::new("one too many")).await, Err(Full));
}

async fn everything_is_counted(mut subject: impl Subject) {
    let dies = push(&mut subject, "dies").await;
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Discard).await);
    for _ in 0..SLOTS {
        push(&mut subject, "runs").await;
    }
    subject.started(SLOTS).await;
    push(&mut subject, "ready").await;
    push(&mut subject, "ready").await;
    subject.push(Push::new("delayed").delay(SECOND)).await.expect("there is room");
    assert_eq!(subject.counts().await, Counts { ready: 2, delayed: 1, running: 2, dead: 1 });
    assert_eq!(subject.dead().await.iter().map(|dead| dead.id).collect::<Vec<_>>(), [dies]);
}

async fn everything_outlives_a_crash(mut subject: impl Subject) {
    let done = push(&mut subject, "done").await;
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Done).await);
    let dies = push(&mut subject, "dies").await;
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Discard).await);
    let retries = push(&mut subject, "retries").await;
    let attempt = one(&mut subject).await;
    assert!(subject.settle(&attempt, How::Fail).await);
    let runs = push(&mut subject, "runs").await;
    one(&mut subject).await;
    subject.pause(true).await;
    let delayed = subject.push(Push::new("delayed").delay(60 * SECOND)).await.expect("there is room");
    let usual = push(&mut subject, "usual").await;
    let urgent = Push::new("urgent").priority(Priority::HIGHEST);
    let urgent = subject.push(urgent).await.expect("there is room");

    let Some(mut subject) = subject.crash().await else { return };
    let first = subject.started(2).await;
    assert_eq!(ids(&first), [urgent, runs], "what ran is where it was");
    assert_eq!((first[1].attempt, &first[1].payload[..]), (0, &b"runs"[..]), "and it counts as no attempt");
    for attempt in &first {
        assert!(subject.settle(attempt, How::Done).await);
    }
    let attempt = one(&mut subject).await;
    assert_eq!(attempt.id, usual);
    assert!(subject.settle(&attempt, How::Done).await);
    subject.advance(RETRY).await;
    let attempt = one(&mut subject).await;
    assert_eq!((attempt.id, attempt.attempt), (retries, 1));
    assert!(subject.settle(&attempt, How::Discard).await);
    let dead = subject.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.id).collect::<Vec<_>>(), [dies, retries]);
    assert_eq!(dead[1].history, [0, 1]);
    assert!(subject.requeue(dies).await);
    assert_eq!(one(&mut subject).await.payload, b"dies");
    subject.advance(60 * SECOND).await;
    assert_eq!(one(&mut subject).await.id, delayed);
    assert!(push(&mut subject, "new").await > urgent, "numbers go on");
    assert_eq!(subject.cancel(done).await, None);
}

async fn what_crashes_too_often_is_a_dead_letter(mut subject: impl Subject) {
    let id = push(&mut subject, "crashes").await;
    for _ in 0..CRASHES {
        assert_eq!(one(&mut subject).await.id, id);
        let Some(next) = subject.crash().await else { return };
        subject = next;
    }
    let dead = subject.dead().await.remove(0);
    assert_eq!((dead.id, dead.reason), (id, DeadReason::Crashed));
    assert!(subject.requeue(id).await);
    let attempt = one(&mut subject).await;
    assert_eq!((attempt.id, attempt.attempt), (id, 0));
    assert!(subject.settle(&attempt, How::Done).await);
    assert_eq!(subject.counts().await, Counts::default());
}
