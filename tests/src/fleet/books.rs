//! What pushers were promised and handlers have seen, on all machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use queue_sim::{Job, JobId, Server};

/// The number a pusher gives a job.
pub(super) type Number = u64;

#[derive(Debug)]
pub(super) struct Books {
    server: Server,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    next: Number,
    /// Each push that was begun: what it was for, and not before when its job may run.
    pushed: BTreeMap<Number, Duration>,
    accepted: BTreeMap<JobId, Number>,
    /// Pushes of which nobody knows whether they were taken.
    in_doubt: BTreeSet<Number>,
    /// Attempts that are running: on which machine.
    running: BTreeMap<JobId, usize>,
    /// The latest attempt of each job that was started.
    attempts: BTreeMap<JobId, (Number, u32)>,
    pushers: usize,
    machines: usize,
    is_over: bool,
    /// What a handler found wrong: the queue takes its panic for a failed attempt.
    wrong: Option<String>,
}

impl Books {
    pub(super) fn new(server: Server) -> Self {
        Self { server, pages: Mutex::default() }
    }

    pub(super) fn new_machine(&self) -> usize {
        let mut pages = self.pages.lock();
        pages.machines += 1;
        pages.machines
    }

    /// A push begins, of a job that may not run before `earliest`. `None`: there are to be no more.
    pub(super) fn push(&self, earliest: Duration) -> Option<Number> {
        let mut pages = self.pages.lock();
        if pages.is_over {
            return None;
        }
        pages.next += 1;
        let number = pages.next;
        pages.pushed.insert(number, earliest);
        pages.pushers += 1;
        Some(number)
    }

    /// A push has come to its end: taken under a number, not taken, or in doubt.
    pub(super) fn answered(&self, number: Number, answer: Result<JobId, bool>) {
        let mut pages = self.pages.lock();
        pages.pushers -= 1;
        match answer {
            Ok(id) => {
                let before = pages.accepted.insert(id, number);
                assert!(
                    before.is_none_or(|known| known == number),
                    "{id} is two jobs: {before:?} and {number}"
                );
            }
            Err(true) => {
                pages.in_doubt.insert(number);
            }
            Err(false) => {
                pages.pushed.remove(&number);
            }
        }
    }

    /// An attempt begins.
    pub(super) fn begun(&self, job: &Job, number: Number, machine: usize, now: Duration, is_strict: bool) {
        let is_done = self.server.done().contains(&job.id);
        let mut pages = self.pages.lock();
        let earliest = pages.pushed.get(&number).copied();
        let before = pages.attempts.insert(job.id, (number, job.attempt));
        let other = pages.running.insert(job.id, machine);
        let wrong = if earliest.is_none_or(|earliest| now < earliest) {
            format!("it may not before {earliest:?}")
        } else if is_done {
            "it is done".to_owned()
        } else if before.is_some_and(|(known, attempt)| known != number || job.attempt < attempt) {
            format!("before, it was {before:?}")
        } else if other.is_some() && is_strict {
            format!("it does so on machine {other:?}, too")
        } else {
            return;
        };
        let wrong = format!(
            "{}, number {number}, attempt {}, runs on {machine} at {now:?}: {wrong}",
            job.id, job.attempt
        );
        pages.wrong.get_or_insert(wrong);
    }

    /// Fails if a handler found something wrong.
    pub(super) fn look(&self) {
        if let Some(wrong) = &self.pages.lock().wrong {
            panic!("{wrong}");
        }
    }

    /// More jobs run on a machine than may.
    pub(super) fn crowded(&self, machine: usize) {
        self.pages.lock().wrong.get_or_insert(format!("too many run on machine {machine}"));
    }

    /// An attempt is over, however.
    pub(super) fn over(&self, id: JobId, machine: usize) {
        let mut pages = self.pages.lock();
        if pages.running.get(&id) == Some(&machine) {
            pages.running.remove(&id);
        }
    }

    pub(super) fn accepted(&self) -> Vec<JobId> {
        self.pages.lock().accepted.keys().copied().collect()
    }

    pub(super) fn no_more_pushes(&self) {
        self.pages.lock().is_over = true;
    }

    pub(super) fn pushers(&self) -> usize {
        self.pages.lock().pushers
    }

    pub(super) fn left(&self) -> String {
        let ended: BTreeSet<_> = self.server.done().into_iter().chain(self.server.cancelled()).collect();
        let pages = self.pages.lock();
        let left: Vec<_> = pages.accepted.keys().filter(|id| !ended.contains(id)).collect();
        format!("{} pushes, of the jobs {left:?}; running: {:?}", pages.pushers, pages.running)
    }

    /// Everything that was taken has come to one end, and nothing else has.
    pub(super) fn close(&self, dead: &[JobId]) {
        let pages = self.pages.lock();
        assert!(pages.running.is_empty(), "{:?} still run", pages.running);
        let mut ends = BTreeMap::new();
        let (done, cancelled) = (self.server.done(), self.server.cancelled());
        for (word, ids) in [("done", &done[..]), ("cancelled", &cancelled[..]), ("dead", dead)] {
            for id in ids {
                let before = ends.insert(*id, word);
                assert!(before.is_none(), "{id} is {word}, and was {before:?} before");
            }
        }
        for id in pages.accepted.keys() {
            assert!(ends.contains_key(id), "{id} was taken, and is lost");
        }
        for id in &done {
            assert!(pages.attempts.contains_key(id), "{id} is done, and never ran");
        }
        // A push that is in doubt was taken once at most.
        let numbers: Vec<_> = pages.attempts.values().map(|(number, _)| *number).collect();
        let distinct: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(numbers.len(), distinct.len(), "a push was taken twice");
        let taken = ends.len();
        let most = pages.accepted.len() + pages.in_doubt.len();
        assert!(taken <= most, "{taken} jobs came to an end of {most} that can have been taken");
    }
}
