//! What everyone has seen, over all processes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use parking_lot::Mutex;
use queue_sim::{Disk, Event, Job, JobId, Timer as _, World};

/// A job as its pusher counts; the queue's own number is known only once it was accepted.
pub(super) type Number = u64;

#[derive(Default)]
pub(super) struct Books {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: Number,
    jobs: BTreeMap<Number, Line>,
    /// By the queue's numbers; of jobs that are on the disk without having been accepted, too.
    ids: BTreeMap<JobId, Number>,
    /// Their end was published, or they were cancelled for good: they must not be seen again.
    ended: BTreeSet<JobId>,
    published: BTreeSet<JobId>,
    /// The least number of an attempt that may be seen: that of a retry that was published.
    attempts: BTreeMap<JobId, u32>,
    /// Dead letters that were given another life, whose attempts begin again: what a subscriber reads late is of the old one.
    revived: BTreeSet<JobId>,
    live: BTreeSet<JobId>,
    /// The time of the store at the start of the process.
    start: Option<SystemTime>,
    /// What happened, in words, for a failure's text.
    log: Vec<String>,
    /// What a handler found. Its panic would be a failed attempt.
    wrong: Option<String>,
}

#[derive(Default)]
struct Line {
    /// Not before.
    due: Option<SystemTime>,
    id: Option<JobId>,
    snoozed: bool,
    /// A handler came to an end that is final, or the job was cancelled or its dead letter purged: it may be gone.
    may_be_gone: bool,
    /// It was cancelled in this process.
    cancelled: bool,
}

impl Books {
    pub(super) fn next(&self) -> Number {
        let mut state = self.state.lock();
        state.next += 1;
        state.next
    }

    pub(super) fn pushing(&self, number: Number, delay: Duration, elapsed: Duration) {
        let state = &mut *self.state.lock();
        let line = Line { due: Some(state.time(elapsed) + delay), ..Line::default() };
        state.jobs.insert(number, line);
    }

    pub(super) fn accepted(&self, number: Number, id: JobId) {
        let state = &mut *self.state.lock();
        state.log.push(format!("{number} is accepted as {id}"));
        state.line(number).id = Some(id);
        let known = state.ids.insert(id, number);
        assert!(known.is_none_or(|known| known == number), "{id} is the number of two jobs");
    }

    pub(super) fn enter(books: &Arc<Self>, job: &Job, number: Number, elapsed: Duration) -> Inside {
        let (id, attempt) = (job.id, job.attempt);
        let state = &mut *books.state.lock();
        let now = state.time(elapsed);
        state.log.push(format!("attempt {attempt} of {id}"));
        let known = *state.ids.entry(id).or_insert(number);
        let line =
            state.jobs.get_mut(&number).unwrap_or_else(|| panic!("{number} runs and was never pushed"));
        let due = line.due.expect("it was pushed");
        let least = state.attempts.get(&id).copied().unwrap_or_default();
        let wrong = if known != number {
            Some(format!("it is {known} and {number}"))
        } else if state.ended.contains(&id) {
            Some("its end was published".to_owned())
        } else if line.cancelled {
            Some("it was cancelled".to_owned())
        } else if due > now {
            Some(format!("it is due {:?} later", due.duration_since(now)))
        } else if attempt < least {
            Some(format!("this is attempt {attempt} and {least} was published"))
        } else if !state.live.insert(id) {
            Some("it runs twice at once".to_owned())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            state.wrong.get_or_insert(format!("{id}, number {number}, runs: {wrong}"));
        }
        Inside { books: books.clone(), id }
    }

    /// Whether it has not been snoozed before.
    pub(super) fn snoozes(&self, number: Number) -> bool {
        let mut state = self.state.lock();
        !std::mem::replace(&mut state.line(number).snoozed, true)
    }

    /// Its handler comes to a final end.
    pub(super) fn over(&self, number: Number) {
        let state = &mut *self.state.lock();
        state.log.push(format!("{number} may be over"));
        state.line(number).may_be_gone = true;
    }

    pub(super) fn some_job(&self, random: &mut Rng) -> Option<(Number, JobId)> {
        let state = self.state.lock();
        let known: Vec<_> =
            state.jobs.iter().filter_map(|(number, line)| Some((*number, line.id?))).collect();
        random.choice(known)
    }

    /// `is_written`: it is cancelled for good.
    pub(super) fn cancelled(&self, number: Number, is_written: bool) {
        let state = &mut *self.state.lock();
        state.log.push(format!("{number} is cancelled"));
        let line = state.line(number);
        line.may_be_gone = true;
        line.cancelled = true;
        if let Some(id) = line.id.filter(|_| is_written) {
            state.ended.insert(id);
        }
    }

    pub(super) fn purging(&self, dead: impl Iterator<Item = JobId>) {
        let state = &mut *self.state.lock();
        for id in dead {
            state.may_be_gone(id);
        }
    }

    /// A dead letter is given another life, every other one.
    pub(super) fn revive(&self, id: JobId) -> bool {
        let state = &mut *self.state.lock();
        let revives = id.as_u64().is_multiple_of(2);
        if revives {
            state.attempts.remove(&id);
            state.revived.insert(id);
        }
        revives
    }

    pub(super) fn saw(&self, event: &Event) {
        let state = &mut *self.state.lock();
        state.log.push(format!("{event:?}"));
        match event {
            Event::Succeeded(job) | Event::Cancelled(job) | Event::DeadLetterEvicted(job) => {
                state.may_be_gone(job.id);
                assert!(state.published.insert(job.id), "{} ends twice", job.id);
                state.ended.insert(job.id);
            }
            Event::Retried { job, .. } if !state.revived.contains(&job.id) => {
                state.attempts.insert(job.id, job.attempt + 1);
            }
            _ => {}
        }
    }

    /// The process is gone, and all that ran in it.
    pub(super) fn killed(&self) {
        let state = &mut *self.state.lock();
        state.log.push("the process ends".to_owned());
        state.live.clear();
        for line in state.jobs.values_mut() {
            line.cancelled = false;
        }
    }

    /// Between two steps.
    pub(super) fn look(&self) {
        if let Some(wrong) = &self.state.lock().wrong {
            panic!("{wrong}");
        }
    }

    /// A process starts.
    pub(super) fn begin(&self, disk: &Disk, sim: &World) {
        self.check(disk);
        self.state.lock().start = disk.time().max(Some(sim.wall()));
    }

    /// What is on the disk is what was accepted and has not ended.
    pub(super) fn check(&self, disk: &Disk) {
        let state = self.state.lock();
        let here: BTreeSet<_> = disk.jobs().into_iter().chain(disk.dead_letters()).collect();
        for id in &here {
            assert!(!state.ended.contains(id), "{id} is on the disk although its end was published");
        }
        for (number, line) in &state.jobs {
            let Some(id) = line.id else { continue };
            assert!(
                here.contains(&id) || line.may_be_gone,
                "{id}, number {number}, was accepted and is lost:\n{}",
                state.log.join("\n")
            );
        }
    }
}

impl State {
    fn line(&mut self, number: Number) -> &mut Line {
        self.jobs.entry(number).or_default()
    }

    fn may_be_gone(&mut self, id: JobId) {
        if let Some(number) = self.ids.get(&id) {
            let number = *number;
            self.line(number).may_be_gone = true;
        }
    }

    fn time(&self, elapsed: Duration) -> SystemTime {
        self.start.expect("a process has started") + elapsed
    }
}

/// A run of a handler.
pub(super) struct Inside {
    books: Arc<Books>,
    id: JobId,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.books.state.lock().live.remove(&self.id);
    }
}
