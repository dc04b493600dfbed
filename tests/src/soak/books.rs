//! The books of one queue: what everyone who has to do with it knows of each job, checked as it is written down.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use event_listener::Event;
use parking_lot::Mutex;
use queue_core::{CancelAnswer, DeadReason, Job, JobId, NewJob};

use super::bounds::{BOUNDS, SINGLE, number_of};
use super::record::{Answer, End, Record};
use super::tally::Tally;
use super::task::Task;

#[derive(Debug)]
pub(super) struct Books {
    /// Numbers are never used twice, by no queue.
    numbers: Arc<AtomicU64>,
    pub(super) state: Mutex<State>,
    wrong: Mutex<Option<String>>,
    /// Something was written down.
    pub(super) changed: Event,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) records: HashMap<u64, Record>,
    /// Jobs that were given back because the queue closed.
    pub(super) carry: Vec<NewJob>,
    pub(super) tally: Tally,
    live: [usize; BOUNDS.len()],
    /// Some jobs that were accepted lately.
    recent: VecDeque<(u64, JobId)>,
    /// By who pushed and how urgent: the latest that was started for the first time.
    started: BTreeMap<(usize, u8), u64>,
    /// Dead letters that were cleared away.
    pub(super) purged: usize,
}

/// So many accepted jobs are remembered, to cancel some.
pub(super) const RECENT: usize = 64;

impl Books {
    pub(super) fn new(numbers: Arc<AtomicU64>) -> Self {
        Self { numbers, state: Mutex::default(), wrong: Mutex::default(), changed: Event::new() }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes what is wrong; the first counts.
    pub(super) fn accuse(&self, wrong: String) {
        self.wrong.lock().get_or_insert(wrong);
        self.changed.notify(usize::MAX);
    }

    pub(super) fn wrong(&self) -> Option<String> {
        self.wrong.lock().clone()
    }

    /// Before a push.
    pub(super) fn offered(&self, number: u64, mut record: Record) {
        record.life.not_before += record.delay;
        if record.is_unknown {
            record.life.end = Some(End::Dead(DeadReason::NoHandler));
        }
        if self.state.lock().records.insert(number, record).is_some() {
            self.accuse(format!("job {number} is pushed twice"));
        }
    }

    pub(super) fn accepted(&self, number: u64, id: JobId) {
        let state = &mut *self.state.lock();
        state.tally.accepted += 1;
        let Some(record) = state.records.get_mut(&number) else { return };
        record.life.id = Some(id);
        state.recent.push_back((number, id));
        if state.recent.len() > RECENT {
            state.recent.pop_front();
        }
    }

    /// A push gave this job back.
    pub(super) fn refused(&self, number: u64, job: NewJob, is_shut_down: bool) {
        if Task::number_of(&job) != Some(number) {
            self.accuse(format!("job {number} was refused, and {job:?} came back"));
        }
        let state = &mut *self.state.lock();
        self.never_was(state, number, End::Refused);
        if is_shut_down {
            state.carry.push(job);
        }
    }

    /// A push was given up while it waited.
    pub(super) fn withdrawn(&self, number: u64) {
        self.never_was(&mut self.state.lock(), number, End::Withdrawn);
    }

    fn never_was(&self, state: &mut State, number: u64, end: End) {
        let Some(record) = state.records.get_mut(&number) else { return };
        if record.life.has_started() {
            self.accuse(format!("job {number} was not accepted, and ran: {record:?}"));
        }
        record.life.end = Some(end);
        state.tally.count_refusal(end);
    }

    /// A handler is called. Returns which run of the job it is.
    pub(super) fn entered(&self, number: u64, job: &Job, now: Instant) -> u32 {
        let state = &mut *self.state.lock();
        let Some(record) = state.records.get_mut(&number) else {
            self.accuse(format!("job {number} runs, and nobody pushed it"));
            return u32::MAX;
        };
        let known = record.clone();
        let life = &mut record.life;
        if life.is_requeued && matches!(life.end, Some(End::Dead(_))) {
            (life.end, life.attempt, life.not_before, life.is_requeued) = (None, 0, now, false);
        }
        let queue = number_of(job.queue_name()).unwrap_or(usize::MAX);
        let wrong = if life.is_live {
            Some("it runs already")
        } else if life.end.is_some() {
            Some("it has come to its end")
        } else if life.attempt != job.attempt {
            Some("this is not its next attempt")
        } else if life.not_before > now {
            Some("its time has not come")
        } else if life.id.is_some_and(|id| id != job.id) {
            Some("it has another id")
        } else if queue != record.queue {
            Some("it is in the wrong queue")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.accuse(format!("job {number} starts as {job:?} in queue {queue}, but {wrong}: {known:?}"));
        }
        let is_first = !life.has_started();
        life.is_live = true;
        record.runs += 1;
        let (run, queue) = (record.runs - 1, record.queue);
        let place = record.line.filter(|_| is_first && queue == SINGLE);
        state.tally.runs += 1;
        state.live[queue] += 1;
        if state.live[queue] > BOUNDS[queue].limit {
            self.accuse(format!("{} jobs run in {:?}", state.live[queue], BOUNDS[queue]));
        }
        if let Some(place) = place {
            let before = state.started.insert(place, number);
            if before.is_some_and(|before| before > number) {
                self.accuse(format!("job {number} starts after {before:?}, which was pushed later"));
            }
        }
        run
    }

    /// A handler is gone.
    pub(super) fn left(&self, number: u64, answer: Answer, now: Instant) {
        let state = &mut *self.state.lock();
        let Some(record) = state.records.get_mut(&number) else { return };
        record.answered(answer, now);
        state.live[record.queue] -= 1;
        state.tally.count(answer);
        // compio ends the process when a thread that panics wakes a task of another one.
        if state.tally.runs.is_multiple_of(64) && !thread::panicking() {
            self.changed.notify(usize::MAX);
        }
    }

    /// Some job to cancel, which may have been asked to stop from now on.
    pub(super) fn asks(&self, nth: usize) -> Option<(u64, JobId)> {
        let state = &mut *self.state.lock();
        let (number, id) = *state.recent.get(nth)?;
        state.records.get_mut(&number)?.life.is_asked = true;
        Some((number, id))
    }

    pub(super) fn has_asked(&self, number: u64, answer: CancelAnswer) {
        let state = &mut *self.state.lock();
        let Some(record) = state.records.get_mut(&number) else { return };
        match answer {
            CancelAnswer::Removed => {
                let life = &mut record.life;
                let waited = life.end.is_none() || record.is_unknown || life.is_requeued;
                if life.is_live || !waited {
                    self.accuse(format!("job {number} was removed, and did not wait: {record:?}"));
                }
                record.life.end = Some(End::Removed);
                state.tally.removed += 1;
            }
            CancelAnswer::Asked => state.tally.asked += 1,
            _ => {}
        }
    }

    /// A dead letter is about to be requeued.
    pub(super) fn requeues(&self, number: u64) {
        if let Some(record) = self.state.lock().records.get_mut(&number) {
            record.life.is_requeued = true;
        }
    }

    /// It was not.
    pub(super) fn has_not_requeued(&self, number: u64) {
        if let Some(record) = self.state.lock().records.get_mut(&number) {
            record.life.is_requeued = false;
        }
    }
}
