//! A model of the store: one list of jobs in the order in which they became what they are, and loops over it. Slow, and
//! obviously what the documentation says.
//!
//! [`Pair`] holds a store beside it and compares the two after every step. Whoever has operations drives it: the property
//! tests and the fuzzer.

pub(crate) mod op;
mod pair;

pub(crate) use pair::Pair;

use super::{Counts, DeadLimits};
use op::ModelWhen;

/// A tick of the wheel: deadlines are rounded up to one.
pub(crate) const TICK_NANOS: u64 = 1 << 20;

/// When a job becomes due: at the start of a tick, and within it in the order of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline {
    tick: u64,
    nanos: u64,
}

impl Deadline {
    /// Past the end of time.
    const NEVER: Self = Self { tick: u64::MAX, nanos: u64::MAX };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    /// Until then.
    Delayed(Deadline),
    /// On this worker, perhaps until then.
    Running(u32, Option<Deadline>),
}

#[derive(Clone, Debug)]
struct ModelJob {
    id: u64,
    level: u8,
    bytes: usize,
    attempt: u32,
    errors: usize,
    stage: Stage,
}

#[derive(Debug, Default)]
struct Model {
    /// Jobs that wait or run, in the order in which they became ready: those of a level start in it.
    jobs: Vec<ModelJob>,
    dead: Vec<ModelJob>,
    /// By level: how often in a row it was passed over while it had something ready.
    passed_over: [u32; 10],
    /// The latest tick up to which everything was released: for a clock that jumps back, time stands still until then.
    seen: u64,
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
        let claimed = self.jobs[position].clone();
        self.forget_empty_levels();
        Some(claimed)
    }

    /// Who runs keeps the place.
    fn hand_back(&mut self, position: usize) {
        self.jobs[position].stage = Stage::Ready;
    }

    fn deadline(&self, nanos: u64) -> Deadline {
        match nanos.checked_next_multiple_of(TICK_NANOS) {
            Some(end) => Deadline { tick: (end / TICK_NANOS).max(self.seen), nanos },
            None => Deadline::NEVER,
        }
    }

    fn wait(&mut self, position: usize, when: ModelWhen, now: u64) {
        match when {
            ModelWhen::Now => self.move_to_back(position),
            ModelWhen::In(delay) => {
                self.jobs[position].stage = Stage::Delayed(self.deadline(now.saturating_add(delay)));
            }
            ModelWhen::Never => self.jobs[position].stage = Stage::Delayed(Deadline::NEVER),
        }
    }

    /// What becomes due next, and when.
    fn next_due(&self) -> Option<(Deadline, usize)> {
        let deadlines = self.jobs.iter().enumerate().filter_map(|(position, job)| match job.stage {
            Stage::Delayed(due) | Stage::Running(_, Some(due)) => Some((due, job.id, position)),
            Stage::Ready | Stage::Running(_, None) => None,
        });
        let (due, _, position) = deadlines.filter(|(due, ..)| *due < Deadline::NEVER).min()?;
        Some((due, position))
    }

    /// Makes due what is: everything, or this many.
    fn advance(&mut self, now: u64, most: Option<usize>) -> Vec<ModelDue> {
        let tick = now / TICK_NANOS;
        let mut all = Vec::new();
        while most.is_none_or(|most| all.len() < most)
            && let Some((due, position)) = self.next_due()
            && due.tick <= tick
        {
            if let Stage::Running(worker, _) = self.jobs[position].stage {
                self.jobs[position].stage = Stage::Running(worker, None);
                all.push(ModelDue::TimedOut(worker));
            } else {
                self.move_to_back(position);
                all.push(ModelDue::Released);
            }
        }
        if most.is_none() {
            self.seen = self.seen.max(tick);
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

    fn ready_levels(&self) -> u16 {
        let levels = (0..10).filter(|level| self.ready(*level).is_some());
        levels.fold(0, |levels, level| levels | 1 << level)
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
