//! Random sequences of operations on the store and on a model of it, compared after every step.
//!
//! The model is one list of jobs in the order in which they became what they are, and loops over it: slow, and
//! obviously what the documentation says.

use proptest::prelude::*;

use super::*;

/// A tick of the wheel: deadlines are rounded up to one.
const TICK_NANOS: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    /// Until then; `None` is past the end of time.
    Delayed(Option<u64>),
    /// On this worker, with this much time.
    Running(u32, Option<u64>),
}

#[derive(Clone, Debug)]
struct ModelJob {
    id: u64,
    level: u8,
    bytes: usize,
    attempt: u32,
    errors: usize,
    stage: Stage,
    was_handed_back: bool,
}

#[derive(Debug, Default)]
struct Model {
    /// Jobs that wait or run. Ready ones of a level are in the order in which they will start.
    jobs: Vec<ModelJob>,
    dead: Vec<ModelJob>,
    /// By level: how often in a row it was passed over while it had something ready.
    passed_over: [u32; 10],
}

/// What the model says is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelDue {
    Released,
    TimedOut(u32),
}

impl Model {
    fn position(&self, id: u64) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == id)
    }

    fn ready(&self, level: u8) -> Option<usize> {
        self.jobs.iter().position(|job| job.stage == Stage::Ready && job.level == level)
    }

    /// A level with nothing in it is not passed over.
    fn forget_empty_levels(&mut self) {
        for level in 0..10 {
            if self.ready(level).is_none() {
                self.passed_over[usize::from(level)] = 0;
            }
        }
    }

    fn move_to_back(&mut self, position: usize) {
        let mut job = self.jobs.remove(position);
        job.stage = Stage::Ready;
        job.was_handed_back = false;
        self.jobs.push(job);
    }

    fn claim(&mut self, worker: u32) -> Option<ModelJob> {
        let levels: Vec<u8> = (0..10).filter(|level| self.ready(*level).is_some()).collect();
        let mut chosen = *levels.first()?;
        for level in &levels {
            let passed_over = self.passed_over[usize::from(*level)];
            let most = self.passed_over[usize::from(chosen)];
            if passed_over >= 32 && (most < 32 || passed_over >= most) {
                chosen = *level;
            }
        }
        self.passed_over[usize::from(chosen)] = 0;
        for level in levels.into_iter().filter(|level| *level > chosen) {
            self.passed_over[usize::from(level)] += 1;
        }
        let position = self.ready(chosen)?;
        self.jobs[position].stage = Stage::Running(worker, None);
        self.jobs[position].was_handed_back = false;
        let claimed = self.jobs[position].clone();
        self.forget_empty_levels();
        Some(claimed)
    }

    fn hand_back(&mut self, position: usize) {
        let mut job = self.jobs.remove(position);
        job.stage = Stage::Ready;
        job.was_handed_back = true;
        // Before every ready job of its level, but for those that were handed back too and have a lower number.
        let is_after = |other: &ModelJob| {
            let precedes = other.was_handed_back && other.id < job.id;
            other.level == job.level && other.stage == Stage::Ready && !precedes
        };
        let place = self.jobs.iter().position(is_after).unwrap_or(self.jobs.len());
        self.jobs.insert(place, job);
    }

    fn wait(&mut self, position: usize, when: ModelWhen, now: u64) {
        match when {
            ModelWhen::Now => self.move_to_back(position),
            ModelWhen::In(delay) => self.jobs[position].stage = Stage::Delayed(Some(now + delay)),
            ModelWhen::Never => self.jobs[position].stage = Stage::Delayed(None),
        }
    }

    /// What becomes due at `now`, one at a time.
    fn next_due(&self) -> Option<(u64, usize)> {
        let deadlines = self.jobs.iter().enumerate().filter_map(|(position, job)| match job.stage {
            Stage::Delayed(due) | Stage::Running(_, due) => due.map(|due| (due, job.id, position)),
            Stage::Ready => None,
        });
        deadlines.min().map(|(due, _, position)| (due, position))
    }

    fn advance(&mut self, now: u64, most: usize) -> Vec<ModelDue> {
        let mut all = Vec::new();
        while let Some((due, position)) = self.next_due() {
            if all.len() == most || due.next_multiple_of(TICK_NANOS) > now / TICK_NANOS * TICK_NANOS {
                break;
            }
            if let Stage::Running(worker, _) = self.jobs[position].stage {
                self.jobs[position].stage = Stage::Running(worker, None);
                all.push(ModelDue::TimedOut(worker));
            } else {
                self.move_to_back(position);
                all.push(ModelDue::Released);
            }
        }
        all
    }

    fn bury(&mut self, position: usize, limits: DeadLimits) -> Vec<u64> {
        let mut job = self.jobs.remove(position);
        job.errors += 1;
        self.dead.push(job);
        let mut evicted = Vec::new();
        let weight = |job: &ModelJob| job.bytes + "failed".len() * job.errors;
        while self.dead.len() > limits.jobs
            || (self.dead.len() > 1 && self.dead.iter().map(weight).sum::<usize>() > limits.bytes)
        {
            evicted.push(self.dead.remove(0).id);
        }
        evicted
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for job in &self.jobs {
            match job.stage {
                Stage::Ready => counts.ready += 1,
                Stage::Delayed(_) => counts.delayed += 1,
                Stage::Running(..) => {
                    counts.running += 1;
                    continue;
                }
            }
            counts.waiting_bytes += job.bytes;
        }
        counts
    }
}

#[derive(Clone, Copy, Debug)]
enum ModelWhen {
    Now,
    In(u64),
    Never,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push { level: u8, bytes: usize, when: ModelWhen },
    Claim { worker: u32 },
    Arm { nth: usize, timeout: u64 },
    Settle { nth: usize, how: How },
    SettleStale { nth: usize, how: How },
    Advance { by: u64, most: Option<usize> },
    Cancel { id: u64 },
    Take { id: u64 },
    Requeue { nth: usize },
    Purge,
    TakeReady,
    TakeDelayed,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Done,
    Cancel,
    HandBack,
    Retry(ModelWhen),
    Snooze(ModelWhen),
    Bury,
}

fn any_delay() -> impl Strategy<Value = u64> {
    prop_oneof![1..3 * TICK_NANOS, 1..600 * TICK_NANOS, 1..100_000 * TICK_NANOS]
}

fn any_when() -> impl Strategy<Value = ModelWhen> {
    prop_oneof![
        4 => Just(ModelWhen::Now),
        4 => any_delay().prop_map(ModelWhen::In),
        1 => Just(ModelWhen::Never),
    ]
}

fn any_how() -> impl Strategy<Value = How> {
    prop_oneof![
        3 => Just(How::Done),
        1 => Just(How::Cancel),
        2 => Just(How::HandBack),
        2 => any_when().prop_map(How::Retry),
        2 => any_when().prop_map(How::Snooze),
        2 => Just(How::Bury),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (prop_oneof![Just(5u8), 0..10u8], 0..80usize, any_when())
            .prop_map(|(level, bytes, when)| Op::Push { level, bytes, when }),
        10 => (0..20u32).prop_map(|worker| Op::Claim { worker }),
        2 => (any::<usize>(), any_delay()).prop_map(|(nth, timeout)| Op::Arm { nth, timeout }),
        6 => (any::<usize>(), any_how()).prop_map(|(nth, how)| Op::Settle { nth, how }),
        2 => (any::<usize>(), any_how()).prop_map(|(nth, how)| Op::SettleStale { nth, how }),
        5 => (prop_oneof![Just(0), any_delay()], prop::option::weighted(0.3, 1..6usize))
            .prop_map(|(by, most)| Op::Advance { by, most }),
        2 => (1..100u64).prop_map(|id| Op::Cancel { id }),
        1 => (1..100u64).prop_map(|id| Op::Take { id }),
        1 => any::<usize>().prop_map(|nth| Op::Requeue { nth }),
        1 => prop_oneof![Just(Op::Purge), Just(Op::TakeReady), Just(Op::TakeDelayed)],
    ]
}

/// Store and model side by side.
struct Pair {
    store: Store,
    model: Model,
    epoch: Instant,
    now: u64,
    next_id: u64,
    limits: DeadLimits,
    held: Vec<Lease>,
    used: Vec<Lease>,
}

impl Pair {
    fn new(limits: DeadLimits) -> Self {
        let epoch = epoch();
        let store = Store::new("queue".into(), epoch, limits);
        Self { store, model: Model::default(), epoch, now: 0, next_id: 1, limits, held: vec![], used: vec![] }
    }

    fn when(&self, when: ModelWhen) -> When {
        match when {
            ModelWhen::Now => When::Now,
            ModelWhen::In(delay) => When::At(self.instant(self.now + delay)),
            ModelWhen::Never => When::Never,
        }
    }

    fn instant(&self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }

    fn settle_of(&self, how: How) -> Settle {
        match how {
            How::Done => Settle::Done,
            How::Cancel => Settle::Cancel,
            How::HandBack => Settle::HandBack,
            How::Retry(when) => retry(self.when(when)),
            How::Snooze(when) => Settle::Snooze { when: self.when(when) },
            How::Bury => bury("failed"),
        }
    }

    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Push { level, bytes, when } => self.push(level, bytes, when),
            Op::Claim { worker } => return self.claim(worker),
            Op::Arm { nth, timeout } => self.arm(nth, timeout),
            Op::Settle { nth, how } => return self.settle(nth, how),
            Op::SettleStale { nth, how } => return self.settle_stale(nth, how),
            Op::Advance { by, most } => return self.advance(by, most),
            Op::Cancel { id } => return self.cancel(id),
            Op::Take { id } => {
                let taken = self.store.take(JobId::new(id));
                let waits = |job: &&ModelJob| job.id == id && !matches!(job.stage, Stage::Running(..));
                let expected = self.model.jobs.iter().find(waits).cloned();
                prop_assert_eq!(taken.is_some(), expected.is_some());
                if let (Some(taken), Some(expected)) = (taken, expected) {
                    same(&taken, &expected)?;
                    self.remove(id);
                }
            }
            Op::Requeue { nth } => return self.requeue(nth),
            Op::Purge => {
                let purged: Vec<_> =
                    self.store.purge_dead().iter().map(|dead| dead.job.id.as_u64()).collect();
                let expected: Vec<_> = self.model.dead.drain(..).map(|job| job.id).collect();
                prop_assert_eq!(purged, expected);
            }
            Op::TakeReady => return self.take_ready(),
            Op::TakeDelayed => return self.take_delayed(),
        }
        Ok(())
    }

    fn push(&mut self, level: u8, bytes: usize, when: ModelWhen) {
        let id = self.next_id;
        self.next_id += 1;
        self.store.push(job(id, level, bytes), self.when(when));
        let stage = Stage::Ready;
        self.model.jobs.push(ModelJob {
            id,
            level,
            bytes,
            attempt: 0,
            errors: 0,
            stage,
            was_handed_back: false,
        });
        self.model.wait(self.model.jobs.len() - 1, when, self.now);
    }

    fn claim(&mut self, worker: u32) -> Result<(), TestCaseError> {
        let claim = self.store.claim(worker);
        let expected = self.model.claim(worker);
        prop_assert_eq!(claim.is_some(), expected.is_some());
        if let (Some(claim), Some(expected)) = (claim, expected) {
            prop_assert_eq!(claim.lease.id.as_u64(), expected.id);
            prop_assert_eq!(claim.lease.attempt, expected.attempt);
            prop_assert_eq!(claim.priority.level(), expected.level);
            prop_assert_eq!(claim.payload.len(), expected.bytes);
            self.held.push(claim.lease);
        }
        Ok(())
    }

    fn arm(&mut self, nth: usize, timeout: u64) {
        let Some(lease) = pick(&self.held, nth) else { return };
        let position = self.model.position(lease.id.as_u64()).expect("a held job runs");
        // Workers arm an attempt once.
        if let Stage::Running(worker, None) = self.model.jobs[position].stage {
            let deadline = self.now + timeout;
            self.store.arm(lease, self.instant(deadline));
            self.model.jobs[position].stage = Stage::Running(worker, Some(deadline));
        }
    }

    fn settle(&mut self, nth: usize, how: How) -> Result<(), TestCaseError> {
        let Some(lease) = pick(&self.held, nth) else { return Ok(()) };
        self.held.retain(|held| *held != lease);
        self.used.push(lease);
        let position = self.model.position(lease.id.as_u64()).expect("a held job runs");
        let settled = self.store.settle(lease, self.settle_of(how));
        let settled = settled.map_err(|_| TestCaseError::fail("a held lease is current"))?;
        match (how, settled) {
            (How::Done | How::Cancel, Settled::Gone((_, extras))) => {
                let errors = extras.map_or(0, |extras| extras.history.len());
                prop_assert_eq!(errors, self.model.jobs.remove(position).errors);
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
                prop_assert_eq!(evicted, self.model.bury(position, self.limits));
            }
            (how, settled) => prop_assert!(false, "{how:?} gave {settled:?}"),
        }
        Ok(())
    }

    fn settle_stale(&mut self, nth: usize, how: How) -> Result<(), TestCaseError> {
        // An attempt that was snoozed or handed back runs again under the same number, with the same lease.
        let Some(lease) = pick(&self.used, nth).filter(|lease| !self.held.contains(lease)) else {
            return Ok(());
        };
        prop_assert!(self.store.settle(lease, self.settle_of(how)).is_err());
        self.store.arm(lease, self.instant(self.now + 1));
        Ok(())
    }

    fn advance(&mut self, by: u64, most: Option<usize>) -> Result<(), TestCaseError> {
        self.now += by;
        let mut due = Vec::new();
        let mut more = true;
        while more && most.is_none_or(|most| due.len() < most) {
            more = self.store.advance(self.instant(self.now), 1, |what| {
                due.push(match what {
                    Due::Released => ModelDue::Released,
                    Due::TimedOut { worker } => ModelDue::TimedOut(worker),
                });
            });
        }
        let expected = self.model.advance(self.now, if more { due.len() } else { usize::MAX });
        prop_assert_eq!(due, expected);
        Ok(())
    }

    fn cancel(&mut self, id: u64) -> Result<(), TestCaseError> {
        let holder = self.store.worker_of(JobId::new(id));
        let found = self.store.cancel(JobId::new(id));
        let expected = self.model.position(id).map(|position| self.model.jobs[position].clone());
        match (holder, found, expected) {
            (None, None, None) => {}
            (Some((worker, lease)), None, Some(job)) => {
                prop_assert!(matches!(job.stage, Stage::Running(expected, _) if expected == worker));
                prop_assert_eq!(lease.attempt, job.attempt);
            }
            (None, Some(remains), Some(job)) => {
                prop_assert!(!matches!(job.stage, Stage::Running(..)));
                same(&remains, &job)?;
                self.remove(id);
            }
            (holder, found, expected) => {
                prop_assert!(false, "found {holder:?} and {found:?} instead of {expected:?}");
            }
        }
        Ok(())
    }

    fn requeue(&mut self, nth: usize) -> Result<(), TestCaseError> {
        let Some(mut job) = pick(&self.model.dead, nth) else {
            prop_assert!(!self.store.requeue(JobId::new(1)));
            return Ok(());
        };
        prop_assert!(self.store.requeue(JobId::new(job.id)));
        self.model.dead.retain(|dead| dead.id != job.id);
        // Its number and its attempts are those of leases of its first life.
        self.used.retain(|lease| lease.id.as_u64() != job.id);
        (job.attempt, job.stage) = (0, Stage::Ready);
        self.model.jobs.push(job);
        Ok(())
    }

    fn take_ready(&mut self) -> Result<(), TestCaseError> {
        let taken = self.store.take_ready();
        for remains in &taken {
            let expected = self.model.claim(0).expect("the model has as many");
            same(remains, &expected)?;
            self.remove(expected.id);
        }
        prop_assert!(self.model.counts().ready == 0);
        Ok(())
    }

    fn take_delayed(&mut self) -> Result<(), TestCaseError> {
        let taken = self.store.take_delayed();
        let is_delayed = |job: &ModelJob| matches!(job.stage, Stage::Delayed(_));
        let mut expected: Vec<_> = self.model.jobs.iter().filter(|job| is_delayed(job)).cloned().collect();
        expected.sort_by_key(|job| job.id);
        prop_assert_eq!(taken.len(), expected.len());
        for (remains, expected) in taken.iter().zip(&expected) {
            same(remains, expected)?;
        }
        self.model.jobs.retain(|job| !is_delayed(job));
        Ok(())
    }

    fn remove(&mut self, id: u64) {
        self.model.jobs.retain(|job| job.id != id);
        self.model.forget_empty_levels();
    }

    /// What can be seen from outside is the same.
    fn compare(&self) -> Result<(), TestCaseError> {
        let counts = self.model.counts();
        prop_assert_eq!(self.store.counts(), counts);
        prop_assert_eq!(self.store.has_ready(), counts.ready > 0);
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
        prop_assert_eq!(running, expected);
        prop_assert_eq!(self.store.dead().len(), self.model.dead.len());
        for (dead, expected) in self.store.dead().iter().zip(&self.model.dead) {
            prop_assert_eq!((dead.id.as_u64(), dead.attempts), (expected.id, expected.attempt + 1));
            prop_assert_eq!((dead.payload.len(), dead.history.len()), (expected.bytes, expected.errors));
            prop_assert_eq!(dead.priority.level(), expected.level);
        }
        let next = self.store.next_due();
        let earliest = self.model.next_due().map(|(due, _)| due.next_multiple_of(TICK_NANOS));
        prop_assert_eq!(next.is_some(), earliest.is_some());
        if let (Some(next), Some(earliest)) = (next, earliest) {
            // A removal may leave it early; late would be a job that nobody wakes up for.
            prop_assert!(next <= self.instant(earliest), "late by {:?}", next - self.instant(earliest));
        }
        Ok(())
    }
}

fn pick<T: Clone>(from: &[T], nth: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[nth % from.len()].clone())
}

fn same(remains: &Remains, expected: &ModelJob) -> Result<(), TestCaseError> {
    prop_assert_eq!((remains.id.as_u64(), remains.attempt), (expected.id, expected.attempt));
    prop_assert_eq!((remains.priority.level(), remains.payload.len()), (expected.level, expected.bytes));
    let errors = remains.extras.as_ref().map_or(0, |extras| extras.history.len());
    prop_assert_eq!((remains.kind, errors), (Kind::from_index(3), expected.errors));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_store_behaves_as_the_model(
        ops in prop::collection::vec(any_op(), 1..200),
        (jobs, bytes) in (0..6usize, 0..400usize),
    ) {
        let mut pair = Pair::new(DeadLimits { jobs, bytes });
        for op in ops {
            pair.apply(op)?;
            pair.compare()?;
        }
        // At the end of time, and then of everything.
        pair.advance(1_000_000 * TICK_NANOS, None)?;
        pair.compare()?;
        pair.take_ready()?;
        pair.take_delayed()?;
        pair.compare()?;
        prop_assert_eq!(pair.store.counts().waiting(), 0);
    }
}
