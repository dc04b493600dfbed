//! A remote store as the subject, asked without a queue.

use std::time::Duration;

use queue_core::remote::{
    ClaimRequest, ClaimToken, Control, ExtendAnswer, LeaseId, PushAnswer, PushRequest, PushToken,
    RemoteCounts, RemoteStore, SettleAnswer, Settlement, Transition,
};
use queue_core::{AttemptError, DeadReason, JobId, Name, RecoveredDead};

use super::on_queue::answer;
use super::{CAPACITY, Counts, DeadLetter, Full, How, Push, RETRIES, RETRY, SLOTS, Started, Subject, Time};

/// A remote store, and who claims from it.
#[derive(Debug)]
pub struct OnVerbs<V, T> {
    store: V,
    time: T,
    hand: Vec<(Started, ClaimToken)>,
    /// Settled already, to be settled again.
    over: Vec<(u64, ClaimToken)>,
    next: u64,
}

const LEASE: Duration = Duration::from_secs(3);

impl<V: RemoteStore, T: Time> OnVerbs<V, T> {
    /// An empty store, whose time is this.
    pub async fn new(store: V, time: T) -> Self {
        let capacity = Control::Capacity { jobs: CAPACITY, bytes: usize::MAX };
        store.control(queue(), capacity).await.expect("it answers");
        Self { store, time, hand: Vec::new(), over: Vec::new(), next: 0 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Keeps what is in hand.
    async fn extend(&mut self) {
        let leases: Vec<_> = self.hand.iter().map(|(_, token)| token.lease).collect();
        for answer in self.store.extend(leases, LEASE).await.expect("it answers") {
            assert!(matches!(answer, ExtendAnswer::Alive { .. }), "the lease is lost");
        }
    }
}

fn queue() -> Name {
    "default".into()
}

impl<V: RemoteStore, T: Time> Subject for OnVerbs<V, T> {
    async fn push(&mut self, job: Push) -> Result<JobId, Full> {
        let request = PushRequest {
            token: PushToken(self.number().into()),
            queue: queue(),
            kind: "work".into(),
            priority: job.priority,
            delay: job.delay,
            payload: job.payload.into(),
            options: None,
        };
        match self.store.push(vec![request]).await.expect("it answers").remove(0) {
            PushAnswer::New(id) => Ok(id),
            PushAnswer::Held(id) => panic!("{id} was pushed once"),
            PushAnswer::Refused(_) => Err(Full),
        }
    }

    async fn started(&mut self, count: usize) -> Vec<Started> {
        let request = ClaimRequest {
            lease: LeaseId(self.number()),
            queue: queue(),
            max: SLOTS - self.hand.len(),
            max_bytes: usize::MAX,
            lasts: LEASE,
        };
        let claimed = self.store.claim(request).await.expect("it answers");
        let mut started = Vec::new();
        for job in claimed.jobs {
            let serial = self.number();
            let attempt =
                Started { id: job.token.id, attempt: job.attempt, payload: job.payload.to_vec(), serial };
            self.hand.push((attempt.clone(), job.token));
            started.push(attempt);
        }
        assert_eq!(started.len(), count, "{started:?}");
        started
    }

    async fn settle(&mut self, attempt: &Started, how: How) -> bool {
        let held = self.hand.iter().position(|(held, _)| held == attempt);
        let token = if let Some(index) = held {
            let (attempt, token) = self.hand.remove(index);
            self.over.push((attempt.serial, token));
            token
        } else {
            self.over.iter().find(|(serial, _)| *serial == attempt.serial).expect("it began").1
        };
        let failure = AttemptError::new(attempt.attempt, "it fails", std::time::SystemTime::UNIX_EPOCH);
        let attempts = attempt.attempt + 1;
        let bury = |reason| Transition::Bury { reason, attempts, failure: failure.clone() };
        let transition = match how {
            How::Done => Transition::Done,
            How::Cancel => Transition::Cancel,
            How::Discard => bury(DeadReason::Discarded),
            How::Snooze(delay) => Transition::Snooze { delay },
            How::Fail if attempt.attempt < RETRIES => Transition::Retry { delay: RETRY, failure },
            How::Fail => bury(DeadReason::RetriesExhausted),
        };
        let settled = self.store.settle(vec![Settlement { token, transition }]).await.expect("it answers");
        settled == [SettleAnswer::Applied]
    }

    async fn advance(&mut self, time: Duration) {
        let step = LEASE / 3;
        let mut left = time;
        while !left.is_zero() {
            self.time.advance(left.min(step)).await;
            left = left.saturating_sub(step);
            self.extend().await;
        }
    }

    async fn cancel(&mut self, id: JobId) -> Option<bool> {
        answer(self.store.cancel(vec![id]).await.expect("it answers")[0])
    }

    async fn requeue(&mut self, id: JobId) -> bool {
        self.store.requeue(vec![id]).await.expect("it answers")[0]
    }

    async fn dead(&mut self) -> Vec<DeadLetter> {
        let dead = self.store.dead_letters(queue(), None, usize::MAX).await.expect("it answers");
        dead.into_iter().map(DeadLetter::from).collect()
    }

    async fn counts(&mut self) -> Counts {
        self.store.counts(queue()).await.expect("it answers").into()
    }

    async fn pause(&mut self, is_paused: bool) {
        let control = if is_paused { Control::Pause } else { Control::Resume };
        self.store.control(queue(), control).await.expect("it answers");
    }

    async fn crash(mut self) -> Option<Self> {
        self.hand.clear();
        self.time.advance(LEASE + LEASE / 3).await;
        self.store.tend(1_000).await.expect("it answers");
        self.pause(false).await;
        Some(self)
    }
}

impl From<RecoveredDead> for DeadLetter {
    fn from(dead: RecoveredDead) -> Self {
        let RecoveredDead { id, reason, attempts, payload, more, .. } = dead;
        let history = more.history.iter().map(|failed| failed.attempt).collect();
        Self { id, reason, attempts, history, payload: payload.to_vec() }
    }
}

impl From<RemoteCounts> for Counts {
    fn from(counts: RemoteCounts) -> Self {
        let RemoteCounts { ready, delayed, in_hand, dead, .. } = counts;
        Self { ready, delayed, running: in_hand, dead }
    }
}
