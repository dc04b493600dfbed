//! A store and the model of it, side by side.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::op::{How, ModelWhen, Op};
use super::{Model, ModelDue, ModelJob, Stage, TICK_NANOS};
use crate::job::JobId;
use crate::payload::INLINE;
use crate::registry::Kind;
use crate::store::sample::{bury, epoch, job, retry};
use crate::store::{Claim, DeadLimits, Due, Lease, Remains, Settle, Settled, Stale, Store, When};

/// With more, the loops of the model take more time than they tell.
const MOST_JOBS: usize = 256;

/// The latest leases that were used up; all are tried again.
const MOST_USED: usize = 64;

/// Store and model side by side.
#[derive(Debug)]
pub(crate) struct Pair {
    store: Store,
    model: Model,
    epoch: Instant,
    now: u64,
    /// An advance was cut short.
    is_behind: bool,
    next_id: u64,
    limits: DeadLimits,
    /// Used for every claim, as a worker does.
    place: Claim,
    held: Vec<Lease>,
    used: VecDeque<Lease>,
}

impl Pair {
    pub(crate) fn new(limits: DeadLimits) -> Self {
        let epoch = epoch();
        let store = Store::new("queue".into(), epoch, limits);
        let model = Model::default();
        let (place, held, used) = (Claim::vacant(), vec![], VecDeque::new());
        Self { store, model, epoch, now: 0, is_behind: false, next_id: 1, limits, place, held, used }
    }

    fn when(&self, when: ModelWhen) -> When {
        match when {
            ModelWhen::Now => When::Now,
            ModelWhen::In(delay) => When::At(self.instant(self.now.saturating_add(delay))),
            ModelWhen::Never => When::Never,
        }
    }

    fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn settle_of(&self, how: How) -> Settle {
        match how {
            How::Done | How::Complete => Settle::Done,
            How::Cancel => Settle::Cancel,
            How::HandBack => Settle::HandBack,
            How::Retry(when) => retry(self.when(when)),
            How::Snooze(when) => Settle::Snooze { when: self.when(when) },
            How::Bury => bury("failed"),
        }
    }

    /// Does one thing to both, and compares them.
    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Push { level, bytes, when } => self.push(level, bytes, when),
            Op::Claim { worker } => self.claim(worker),
            Op::TakeOver { nth, worker } => self.take_over(nth, worker),
            Op::Arm { nth, timeout } => self.arm(nth, timeout),
            Op::Settle { nth, how } => self.settle(nth, how),
            Op::SettleStale { how } => self.settle_stale(how),
            Op::Advance { by, most } => self.advance(by, most),
            Op::JumpBack { by } => self.jump_back(by),
            Op::Cancel { id } => self.cancel(id),
            Op::Take { id } => self.take(id),
            Op::Requeue { nth } => self.requeue(nth),
            Op::Purge => self.purge(),
            Op::TakeReady => self.take_ready(),
            Op::TakeDelayed => self.take_delayed(),
        }
        self.compare();
    }

    /// Lets the time of everything come, and takes out what is left.
    pub(crate) fn end(mut self) {
        self.apply(Op::Advance { by: 1_000_000 * TICK_NANOS, most: None });
        self.apply(Op::TakeReady);
        self.apply(Op::TakeDelayed);
        assert_eq!(self.store.counts().waiting(), 0);
    }

    fn push(&mut self, level: u8, bytes: usize, when: ModelWhen) {
        if self.model.jobs.len() == MOST_JOBS {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.store.push(job(id, level, bytes), self.when(when));
        let stage = Stage::Ready;
        self.model.jobs.push(ModelJob { id, level, bytes, attempt: 0, errors: 0, stage });
        self.model.wait(self.model.jobs.len() - 1, when, self.now);
    }

    fn claim(&mut self, worker: u32) {
        let lease = self.store.claim(worker);
        let expected = self.model.claim(worker);
        assert_eq!(lease.is_some(), expected.is_some());
        if let (Some(lease), Some(expected)) = (lease, expected) {
            assert_eq!((lease.id.as_u64(), lease.attempt), (expected.id, expected.attempt));
            self.store.hand_out(lease, &mut self.place);
            assert_eq!(self.place.lease, lease);
            assert_eq!(self.place.priority.level(), expected.level);
            assert_eq!(self.place.payload.len(), expected.bytes);
            self.held.push(lease);
        }
    }

    fn take_over(&mut self, nth: usize, worker: u32) {
        let Some(lease) = pick(&self.held, nth) else { return };
        let position = self.model.position(lease.id.as_u64()).expect("a held job runs");
        let taken = self.store.take_over(lease, worker);
        // Only what has not begun is taken over, so it is not armed.
        if let Stage::Running(_, None) = self.model.jobs[position].stage {
            assert_eq!(taken, Some(lease), "a held lease is current");
            self.store.hand_out(lease, &mut self.place);
            assert_eq!(
                (self.place.lease, self.place.payload.len()),
                (lease, self.model.jobs[position].bytes)
            );
            self.model.jobs[position].stage = Stage::Running(worker, None);
        } else {
            assert_eq!(taken, None, "{lease:?} was taken over while it ran");
        }
    }

    fn arm(&mut self, nth: usize, timeout: u64) {
        let Some(lease) = pick(&self.held, nth) else { return };
        let position = self.model.position(lease.id.as_u64()).expect("a held job runs");
        let Stage::Running(worker, armed) = self.model.jobs[position].stage else {
            panic!("a held job runs")
        };
        // A worker runs one attempt, so it has no other that is armed.
        let has_armed = |job: &ModelJob| matches!(job.stage, Stage::Running(of, Some(_)) if of == worker);
        if armed.is_none() && self.model.jobs.iter().any(has_armed) {
            return;
        }
        let deadline = self.now.saturating_add(timeout);
        self.store.arm(lease, self.instant(deadline));
        let armed = armed.unwrap_or_else(|| self.model.deadline(deadline));
        self.model.jobs[position].stage = Stage::Running(worker, Some(armed));
    }

    fn complete(&mut self, lease: Lease) -> Result<Settled, Stale> {
        let mut leftovers = Vec::new();
        self.store.complete(lease, &mut leftovers)?;
        Ok(Settled::Gone(leftovers.pop().unwrap_or_default()))
    }

    fn settle(&mut self, nth: usize, how: How) {
        let Some(lease) = pick(&self.held, nth) else { return };
        self.held.retain(|held| *held != lease);
        if self.used.len() == MOST_USED {
            self.used.pop_front();
        }
        self.used.push_back(lease);
        let position = self.model.position(lease.id.as_u64()).expect("a held job runs");
        let settled = match how {
            How::Complete => self.complete(lease),
            _ => self.store.settle(lease, self.settle_of(how)),
        };
        match (how, settled.expect("a held lease is current")) {
            (How::Done | How::Complete | How::Cancel, Settled::Gone((payload, extras))) => {
                let errors = extras.map_or(0, |extras| extras.history.len());
                let gone = self.model.jobs.remove(position);
                assert_eq!((errors, payload.is_some()), (gone.errors, gone.bytes > INLINE));
            }
            (How::HandBack, Settled::Kept) => self.model.hand_back(position),
            (How::Snooze(when), Settled::Kept) => self.model.wait(position, when, self.now),
            (How::Retry(when), Settled::Kept) => {
                self.model.jobs[position].attempt += 1;
                self.model.jobs[position].errors += 1;
                self.model.wait(position, when, self.now);
            }
            (How::Bury, Settled::Buried { evicted }) => {
                let evicted: Vec<_> = evicted.iter().map(|dead| dead.job.id.as_u64()).collect();
                assert_eq!(evicted, self.model.bury(position, self.limits));
            }
            (how, settled) => panic!("{how:?} gave {settled:?}"),
        }
    }

    /// Tries every lease that is good no more.
    fn settle_stale(&mut self, how: How) {
        // An attempt that was snoozed or handed back runs again under the same number, with the same lease.
        for lease in self.used.iter().filter(|lease| !self.held.contains(lease)) {
            assert!(self.store.settle(*lease, self.settle_of(how)).is_err(), "{lease:?} is good twice");
            assert!(self.store.complete(*lease, &mut vec![]).is_err(), "{lease:?} is good twice");
            assert!(self.store.take_over(*lease, 99).is_none(), "{lease:?} is good twice");
            self.store.arm(*lease, self.instant(self.now.saturating_add(1)));
        }
    }

    fn advance(&mut self, by: u64, most: Option<usize>) {
        self.now = self.now.saturating_add(by);
        let mut due = Vec::new();
        self.is_behind = true;
        while self.is_behind && most.is_none_or(|most| due.len() < most) {
            self.is_behind = self.store.advance(self.instant(self.now), 1, |what| {
                due.push(match what {
                    Due::Released => ModelDue::Released,
                    Due::TimedOut { worker } => ModelDue::TimedOut(worker),
                });
            });
        }
        assert_eq!(due, self.model.advance(self.now, self.is_behind.then_some(due.len())));
    }

    fn jump_back(&mut self, by: u64) {
        // What is on its way out of the wheel stays in front of what is set later for an earlier time.
        if !self.is_behind {
            self.now = self.now.saturating_sub(by);
        }
    }

    fn cancel(&mut self, id: u64) {
        let holder = self.store.worker_of(JobId::new(id));
        let found = self.store.cancel(JobId::new(id));
        let expected = self.model.position(id).map(|position| self.model.jobs[position].clone());
        match (holder, found, expected) {
            (None, None, None) => {}
            (Some((worker, lease)), None, Some(job)) => {
                assert!(matches!(job.stage, Stage::Running(expected, _) if expected == worker));
                assert_eq!(lease.attempt, job.attempt);
            }
            (None, Some(remains), Some(job)) => {
                assert!(!matches!(job.stage, Stage::Running(..)));
                same(&remains, &job);
                self.remove(id);
            }
            (holder, found, expected) => {
                panic!("found {holder:?} and {found:?} instead of {expected:?}");
            }
        }
    }

    fn take(&mut self, id: u64) {
        let taken = self.store.take(JobId::new(id));
        let waits = |job: &&ModelJob| job.id == id && !matches!(job.stage, Stage::Running(..));
        let expected = self.model.jobs.iter().find(waits).cloned();
        assert_eq!(taken.is_some(), expected.is_some());
        if let (Some(taken), Some(expected)) = (taken, expected) {
            same(&taken, &expected);
            self.remove(id);
        }
    }

    fn purge(&mut self) {
        let purged: Vec<_> = self.store.purge_dead().iter().map(|dead| dead.job.id.as_u64()).collect();
        let expected: Vec<_> = self.model.dead.drain(..).map(|job| job.id).collect();
        assert_eq!(purged, expected);
    }

    fn requeue(&mut self, nth: usize) {
        let Some(mut job) = pick(&self.model.dead, nth) else {
            assert!(!self.store.requeue(JobId::new(1)));
            return;
        };
        assert!(self.store.requeue(JobId::new(job.id)));
        self.model.dead.retain(|dead| dead.id != job.id);
        // Its number and its attempts are those of leases of its first life.
        self.used.retain(|lease| lease.id.as_u64() != job.id);
        (job.attempt, job.stage) = (0, Stage::Ready);
        self.model.jobs.push(job);
    }

    fn take_ready(&mut self) {
        let taken = self.store.take_ready();
        for remains in &taken {
            let expected = self.model.claim(0).expect("the model has as many");
            same(remains, &expected);
            self.remove(expected.id);
        }
        assert!(self.model.counts().ready == 0);
    }

    fn take_delayed(&mut self) {
        let taken = self.store.take_delayed();
        let is_delayed = |job: &ModelJob| matches!(job.stage, Stage::Delayed(_));
        let mut expected: Vec<_> = self.model.jobs.iter().filter(|job| is_delayed(job)).cloned().collect();
        expected.sort_by_key(|job| job.id);
        assert_eq!(taken.len(), expected.len());
        for (remains, expected) in taken.iter().zip(&expected) {
            same(remains, expected);
        }
        self.model.jobs.retain(|job| !is_delayed(job));
    }

    fn remove(&mut self, id: u64) {
        self.model.jobs.retain(|job| job.id != id);
        self.model.forget_empty_levels();
    }

    /// What can be seen from outside is the same.
    fn compare(&self) {
        let counts = self.model.counts();
        assert_eq!(self.store.counts(), counts);
        assert_eq!(
            (self.store.has_ready(), self.store.ready_lanes()),
            (counts.ready > 0, self.model.ready_levels())
        );
        let mut running: Vec<_> = self.store.running().map(|(id, worker)| (id.as_u64(), worker)).collect();
        let mut expected: Vec<_> = self
            .model
            .jobs
            .iter()
            .filter_map(|job| match job.stage {
                Stage::Running(worker, _) => Some((job.id, worker)),
                _ => None,
            })
            .collect();
        running.sort_unstable();
        expected.sort_unstable();
        assert_eq!(running, expected);
        assert_eq!(self.store.dead().len(), self.model.dead.len());
        for (dead, expected) in self.store.dead().iter().zip(&self.model.dead) {
            assert_eq!((dead.id.as_u64(), dead.attempts), (expected.id, expected.attempt + 1));
            assert_eq!((dead.payload.len(), dead.history.len()), (expected.bytes, expected.errors));
            assert_eq!(dead.priority.level(), expected.level);
        }
        let next = self.store.next_due();
        let earliest = self.model.next_due().map(|(due, _)| due.tick * TICK_NANOS);
        assert_eq!(next.is_some(), earliest.is_some());
        if let (Some(next), Some(earliest)) = (next, earliest) {
            // A removal may leave it early; late would be a job that nobody wakes up for.
            assert!(next <= self.instant(earliest), "late by {:?}", next - self.instant(earliest));
        }
    }
}

fn pick<T: Clone>(from: &[T], nth: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[nth % from.len()].clone())
}

fn same(remains: &Remains, expected: &ModelJob) {
    assert_eq!((remains.id.as_u64(), remains.attempt), (expected.id, expected.attempt));
    assert_eq!((remains.priority.level(), remains.payload.len()), (expected.level, expected.bytes));
    let errors = remains.extras.as_ref().map_or(0, |extras| extras.history.len());
    assert_eq!((remains.kind, errors), (Kind::from_index(3), expected.errors));
}
