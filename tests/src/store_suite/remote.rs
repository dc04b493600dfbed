//! What only a remote store can be asked.

use std::time::Duration;

use futures_lite::future::poll_once;
use queue_core::remote::{
    ClaimRequest, Claimed, ClaimedJob, Control, ExtendAnswer, LeaseId, PushAnswer, PushRequest, PushToken,
    Refused, RemoteCancel, RemoteStore, SettleAnswer, Settlement, Tended, Transition, Wakening,
};
use queue_core::{AttemptError, DeadReason, JobId, Name};

use super::{CRASHES, Time};

const LEASE: Duration = Duration::from_secs(30);

/// Runs all cases, each on an empty store that `fresh` makes.
///
/// # Panics
///
/// When the store does otherwise than the model.
pub async fn exercise_remote<S: RemoteStore>(mut fresh: impl FnMut() -> S, time: &impl Time) {
    a_push_is_one_push_however_often_it_is_asked(&Case::of(&fresh(), "work")).await;
    a_claim_is_one_claim_however_often_it_is_asked(&Case::of(&fresh(), "work"), time).await;
    a_claim_is_bounded(&Case::of(&fresh(), "work")).await;
    a_claim_says_what_is_next(&Case::of(&fresh(), "work"), time).await;
    leases_expire_and_are_extended(&Case::of(&fresh(), "work"), time).await;
    who_lost_the_lease_settles_nothing(&Case::of(&fresh(), "work"), time).await;
    a_hand_back_keeps_its_place(&Case::of(&fresh(), "work"), time).await;
    a_cancellation_is_told_with_the_heartbeat(&Case::of(&fresh(), "work"), time).await;
    crashes_are_counted_apart_from_attempts(&Case::of(&fresh(), "work"), time).await;
    dead_letters_are_listed_and_pruned(&Case::of(&fresh(), "work"), time).await;
    bounds_hold_for_all(&Case::of(&fresh(), "work")).await;
    a_pause_is_for_all(&Case::of(&fresh(), "work")).await;
    let store = fresh();
    named_queues_are_apart(&Case::of(&store, "mine"), &Case::of(&store, "yours")).await;
    who_waits_is_woken(&Case::of(&fresh(), "work"), time).await;
    senseless_requests_do_nothing(&Case::of(&fresh(), "work")).await;
}

struct Case<'a> {
    store: &'a dyn RemoteStore,
    queue: Name,
}

impl<'a> Case<'a> {
    fn of(store: &'a dyn RemoteStore, queue: &str) -> Self {
        Self { store, queue: Name::from(queue) }
    }

    fn request(&self, token: u128) -> PushRequest {
        PushRequest {
            // Not that of another named queue.
            token: PushToken(token << 64 | u128::from(self.queue.as_bytes()[0])),
            queue: self.queue.clone(),
            kind: "work".into(),
            priority: queue_core::Priority::NORMAL,
            delay: Duration::ZERO,
            payload: "it".into(),
            options: None,
        }
    }

    async fn ask(&self, job: PushRequest) -> PushAnswer {
        self.store.push(vec![job]).await.expect("it answers").remove(0)
    }

    async fn push(&self, token: u128) -> JobId {
        match self.ask(self.request(token)).await {
            PushAnswer::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn wish(&self, lease: u64, max: usize) -> ClaimRequest {
        ClaimRequest {
            lease: LeaseId(lease << 32 | u64::from(self.queue.as_bytes()[0])),
            queue: self.queue.clone(),
            max,
            max_bytes: usize::MAX,
            lasts: LEASE,
        }
    }

    async fn claim(&self, lease: u64, max: usize) -> Claimed {
        self.store.claim(self.wish(lease, max)).await.expect("it answers")
    }

    async fn one(&self, lease: u64) -> ClaimedJob {
        self.claim(lease, 1).await.jobs.remove(0)
    }

    async fn settle(&self, job: &ClaimedJob, transition: Transition) -> SettleAnswer {
        let settlement = Settlement { token: job.token, transition };
        self.store.settle(vec![settlement]).await.expect("it answers")[0]
    }

    async fn tend(&self) -> Tended {
        self.store.tend(1_000).await.expect("it answers")
    }
}

fn ids(claimed: &Claimed) -> Vec<JobId> {
    claimed.jobs.iter().map(|job| job.token.id).collect()
}

fn failure(attempt: u32) -> AttemptError {
    AttemptError::new(attempt, "it fails", std::time::SystemTime::UNIX_EPOCH)
}

async fn a_push_is_one_push_however_often_it_is_asked(case: &Case<'_>) {
    let id = case.push(1).await;
    assert_eq!(case.ask(case.request(1)).await, PushAnswer::Held(id));
    let job = case.one(1).await;
    assert_eq!(case.settle(&job, Transition::Done).await, SettleAnswer::Applied);
    assert_eq!(case.ask(case.request(1)).await, PushAnswer::Held(id), "although it is done");
    let twice = case.store.push(vec![case.request(2), case.request(2)]).await.expect("it answers");
    let [PushAnswer::New(new), PushAnswer::Held(held)] = twice[..] else { panic!("{twice:?}") };
    assert!(new == held && new > id);
    assert_eq!(case.claim(2, 9).await.jobs.len(), 1);
}

async fn a_claim_is_one_claim_however_often_it_is_asked(case: &Case<'_>, time: &impl Time) {
    let (first, second) = (case.push(1).await, case.push(2).await);
    let claimed = case.claim(1, 1).await;
    assert_eq!(ids(&claimed), [first]);
    assert!(claimed.more && claimed.lasts <= LEASE);
    time.advance(LEASE / 2).await;
    let again = case.claim(1, 1).await;
    assert_eq!(again.jobs[0].token, claimed.jobs[0].token, "the same job, under the same lease");
    assert!(again.lasts <= LEASE / 2, "which lasts no longer for it: {:?}", again.lasts);
    assert_eq!(case.settle(&again.jobs[0], Transition::Done).await, SettleAnswer::Applied);
    assert!(case.claim(1, 1).await.jobs.is_empty(), "a name is good for one claim");
    assert_eq!(ids(&case.claim(2, 1).await), [second]);
}

async fn a_claim_is_bounded(case: &Case<'_>) {
    for token in 0..5 {
        let payload = vec![b'x'; 100];
        let pushed = case.ask(PushRequest { payload: payload.into(), ..case.request(token) }).await;
        assert!(matches!(pushed, PushAnswer::New(_)));
    }
    assert_eq!(case.claim(1, 2).await.jobs.len(), 2);
    let by_bytes = ClaimRequest { max_bytes: 250, ..case.wish(2, 9) };
    assert_eq!(case.store.claim(by_bytes).await.expect("it answers").jobs.len(), 2);
    let too_few = ClaimRequest { max_bytes: 1, ..case.wish(3, 9) };
    assert_eq!(case.store.claim(too_few).await.expect("it answers").jobs.len(), 1, "one, however large");
    assert!(case.claim(4, 9).await.jobs.is_empty());
}

async fn a_claim_says_what_is_next(case: &Case<'_>, time: &impl Time) {
    let nothing = case.claim(1, 9).await;
    assert_eq!((nothing.jobs.len(), nothing.more, nothing.next_due), (0, false, None));
    case.ask(PushRequest { delay: Duration::MAX, ..case.request(1) }).await;
    assert_eq!(case.claim(2, 9).await.next_due, None, "never");
    case.ask(PushRequest { delay: LEASE, ..case.request(2) }).await;
    let later = case.claim(3, 9).await;
    let next = later.next_due.expect("it is known");
    assert!(later.jobs.is_empty() && next <= LEASE && next > LEASE / 2, "{next:?}");
    time.advance(LEASE).await;
    assert_eq!(case.claim(4, 9).await.jobs.len(), 1);
}

async fn leases_expire_and_are_extended(case: &Case<'_>, time: &impl Time) {
    let (kept, expired) = (case.push(1).await, case.push(2).await);
    let (keep, other) = (case.one(1).await, case.one(2).await);
    for _ in 0..3 {
        time.advance(LEASE / 2).await;
        let answers = case.store.extend(vec![keep.token.lease], LEASE).await.expect("it answers");
        assert_eq!(answers, [ExtendAnswer::Alive { cancelled: Vec::new() }]);
    }
    let answers = case.store.extend(vec![other.token.lease, LeaseId(u64::MAX)], LEASE).await;
    assert_eq!(answers.expect("it answers"), [ExtendAnswer::Lost, ExtendAnswer::Lost]);
    assert_eq!(case.tend().await, Tended { rescued: 1, quarantined: 0, more: false });
    assert_eq!(case.tend().await, Tended::default(), "once");
    let again = case.one(3).await;
    assert_eq!((again.token.id, keep.token.id), (expired, kept));
    assert!(again.token.run > other.token.run && again.attempt == other.attempt);
    assert_eq!(case.settle(&keep, Transition::Done).await, SettleAnswer::Applied);
    let answers = case.store.extend(vec![keep.token.lease], LEASE).await.expect("it answers");
    assert_eq!(answers, [ExtendAnswer::Lost], "it has no job left");
}

async fn who_lost_the_lease_settles_nothing(case: &Case<'_>, time: &impl Time) {
    case.push(1).await;
    let old = case.one(1).await;
    time.advance(2 * LEASE).await;
    let end = || Transition::Bury { reason: DeadReason::Discarded, attempts: 1, failure: failure(0) };
    for transition in [Transition::Done, Transition::HandBack, end()] {
        assert_eq!(case.settle(&old, transition).await, SettleAnswer::LeaseLost, "before it was seen to");
    }
    case.tend().await;
    let new = case.one(2).await;
    for transition in [Transition::Done, Transition::HandBack, end()] {
        assert_eq!(case.settle(&old, transition).await, SettleAnswer::LeaseLost, "another one runs");
    }
    assert_eq!(case.settle(&new, Transition::HandBack).await, SettleAnswer::Applied);
    assert_eq!(case.settle(&new, Transition::Done).await, SettleAnswer::LeaseLost, "it is over");
    let last = case.one(3).await;
    assert_eq!(last.attempt, 0);
    let both = vec![new.token, last.token];
    let both = both.into_iter().map(|token| Settlement { token, transition: Transition::Done }).collect();
    let answers = case.store.settle(both).await.expect("it answers");
    assert_eq!(answers, [SettleAnswer::LeaseLost, SettleAnswer::Applied], "each by itself");
    assert_eq!(case.settle(&last, Transition::Done).await, SettleAnswer::LeaseLost, "it is done");
}

async fn a_hand_back_keeps_its_place(case: &Case<'_>, time: &impl Time) {
    let mut pushed = Vec::new();
    for token in 0..3 {
        pushed.push(case.push(token).await);
        time.advance(Duration::from_millis(10)).await;
    }
    let first = case.claim(1, 2).await;
    for job in first.jobs.iter().rev() {
        assert_eq!(case.settle(job, Transition::HandBack).await, SettleAnswer::Applied);
    }
    let all = case.claim(2, 9).await;
    assert_eq!(ids(&all), pushed);
    let retry = Transition::Retry { delay: Duration::ZERO, failure: failure(0) };
    assert_eq!(case.settle(&all.jobs[0], retry).await, SettleAnswer::Applied);
    assert_eq!(case.settle(&all.jobs[1], Transition::HandBack).await, SettleAnswer::Applied);
    let next = case.claim(3, 9).await;
    assert_eq!(ids(&next), [pushed[1], pushed[0]], "what is tried again stands behind it");
    assert_eq!((next.jobs[0].attempt, next.jobs[1].attempt), (0, 1));
}

async fn a_cancellation_is_told_with_the_heartbeat(case: &Case<'_>, time: &impl Time) {
    let (stops, expires) = (case.push(1).await, case.push(2).await);
    let (job, other) = (case.one(1).await, case.one(2).await);
    let answers = case.store.cancel(vec![stops, expires, JobId::new(u64::MAX)]).await;
    let expected = [RemoteCancel::Asked, RemoteCancel::Asked, RemoteCancel::NotFound];
    assert_eq!(answers.expect("it answers"), expected);
    let answers = case.store.extend(vec![job.token.lease], LEASE).await.expect("it answers");
    assert_eq!(answers, [ExtendAnswer::Alive { cancelled: vec![stops] }]);
    assert_eq!(case.settle(&job, Transition::HandBack).await, SettleAnswer::Applied);
    time.advance(2 * LEASE).await;
    case.tend().await;
    assert!(case.claim(3, 9).await.jobs.is_empty(), "neither runs again");
    assert_eq!(case.settle(&other, Transition::Done).await, SettleAnswer::LeaseLost);
}

async fn crashes_are_counted_apart_from_attempts(case: &Case<'_>, time: &impl Time) {
    let id = case.push(1).await;
    for crash in 1..=CRASHES {
        let job = case.one(crash.into()).await;
        assert_eq!((job.token.id, job.attempt), (id, 0), "a crash is no attempt");
        time.advance(2 * LEASE).await;
        let is_last = crash == CRASHES;
        let expected = Tended { rescued: (!is_last).into(), quarantined: is_last.into(), more: false };
        assert_eq!(case.tend().await, expected);
    }
    assert!(case.claim(9, 9).await.jobs.is_empty());
    let dead = case.store.dead_letters(case.queue.clone(), None, 9).await.expect("it answers");
    assert_eq!((dead[0].id, dead[0].reason), (id, DeadReason::Crashed));
}

async fn dead_letters_are_listed_and_pruned(case: &Case<'_>, time: &impl Time) {
    let mut dead = Vec::new();
    for token in 0..4 {
        dead.push(case.push(token).await);
        let job = case.one(token.try_into().expect("it is small")).await;
        let bury = Transition::Bury { reason: DeadReason::Discarded, attempts: 1, failure: failure(0) };
        assert_eq!(case.settle(&job, bury).await, SettleAnswer::Applied);
        time.advance(Duration::from_secs(10)).await;
    }
    let list = async |after, max| {
        let letters = case.store.dead_letters(case.queue.clone(), after, max).await.expect("it answers");
        letters.iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 2).await, dead[..2]);
    assert_eq!(list(Some(dead[1]), 9).await, dead[2..]);
    assert_eq!(list(Some(dead[3]), 9).await, []);
    let prune = async |older, budget| {
        case.store.prune(case.queue.clone(), Duration::from_secs(older), budget).await.expect("it answers")
    };
    assert_eq!(prune(3_600, 9).await, 0, "none is that old");
    assert_eq!(prune(25, 1).await, 1);
    assert_eq!(list(None, 9).await, dead[1..], "the oldest goes first");
    assert_eq!(prune(15, 9).await, 2);
    assert_eq!(prune(0, 9).await, 1);
    assert_eq!(case.store.requeue(dead).await.expect("it answers"), [false; 4]);
}

async fn bounds_hold_for_all(case: &Case<'_>) {
    let bound = async |jobs, bytes| {
        let capacity = Control::Capacity { jobs, bytes };
        case.store.control(case.queue.clone(), capacity).await.expect("it answers");
    };
    bound(2, 1_000).await;
    let many = (0..3).map(|token| case.request(token)).collect();
    let answers = case.store.push(many).await.expect("it answers");
    let [PushAnswer::New(_), PushAnswer::New(_), PushAnswer::Refused(Refused::Full)] = answers[..] else {
        panic!("{answers:?}");
    };
    case.one(1).await;
    assert!(matches!(case.ask(case.request(2)).await, PushAnswer::New(_)), "what is in hand takes no room");
    bound(9, 5).await;
    assert_eq!(case.ask(case.request(4)).await, PushAnswer::Refused(Refused::Full), "of bytes");
    bound(9, 6).await;
    assert!(matches!(case.ask(case.request(4)).await, PushAnswer::New(_)));
    let counts = case.store.counts(case.queue.clone()).await.expect("it answers");
    assert_eq!((counts.ready, counts.in_hand, counts.waiting_bytes), (3, 1, 6));
}

async fn a_pause_is_for_all(case: &Case<'_>) {
    case.push(1).await;
    let control = async |control| case.store.control(case.queue.clone(), control).await.expect("it answers");
    control(Control::Pause).await;
    let claimed = case.claim(1, 9).await;
    assert_eq!((claimed.jobs.len(), claimed.more, claimed.is_paused), (0, false, true));
    assert!(case.store.counts(case.queue.clone()).await.expect("it answers").is_paused);
    control(Control::Resume).await;
    let claimed = case.claim(2, 9).await;
    assert_eq!((claimed.jobs.len(), claimed.is_paused), (1, false));
}

async fn named_queues_are_apart(mine: &Case<'_>, yours: &Case<'_>) {
    let (first, second) = (mine.push(1).await, yours.push(1).await);
    assert!(first < second, "numbers are the store's");
    assert_eq!(ids(&yours.claim(1, 9).await), [second]);
    assert_eq!(ids(&mine.claim(1, 9).await), [first]);
}

async fn who_waits_is_woken(case: &Case<'_>, time: &impl Time) {
    let mut wake = case.store.wake(vec![case.queue.clone(), "another".into()]);
    time.advance(Duration::from_millis(50)).await;
    assert!(poll_once(&mut wake).await.is_none(), "there is nothing");
    case.push(1).await;
    time.advance(Duration::from_millis(50)).await;
    let woken = poll_once(wake).await.expect("it is woken");
    assert_eq!(woken.expect("it answers"), Wakening::Maybe);
}

async fn senseless_requests_do_nothing(case: &Case<'_>) {
    let store = case.store;
    assert!(store.push(Vec::new()).await.expect("it answers").is_empty());
    assert!(store.settle(Vec::new()).await.expect("it answers").is_empty());
    assert!(store.extend(Vec::new(), LEASE).await.expect("it answers").is_empty());
    assert!(store.cancel(Vec::new()).await.expect("it answers").is_empty());
    assert!(store.requeue(Vec::new()).await.expect("it answers").is_empty());
    case.push(1).await;
    assert!(case.claim(1, 0).await.jobs.is_empty(), "none is none");
    let nowhere = store.counts("nobody knows it".into()).await.expect("it answers");
    assert_eq!(nowhere, queue_core::remote::RemoteCounts::default());
}
