//! What is on the disk, and what each record makes of it.
//!
//! This is the whole meaning of a [`Record`]: any durable store, after the same records, holds the same.

use std::collections::BTreeMap;
use std::time::SystemTime;

use queue_core::{
    AttemptError, DeadReason, Due, JobId, JobRecord, Payload, Record, Recovered, RecoveredDead,
    RecoveredMore, Recovery,
};

#[derive(Default)]
pub(super) struct Table {
    jobs: BTreeMap<JobId, Row>,
    next_id: u64,
    time: Option<SystemTime>,
    /// Changes are written in batches with growing numbers, so that who does not know whether one was written can look.
    last_batch: u64,
}

struct Row {
    job: JobRecord,
    attempt: u32,
    due: Option<Due>,
    state: State,
    crashes: u32,
    history: Vec<AttemptError>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waits,
    Runs,
    /// In the order in which they died.
    Dead {
        reason: DeadReason,
        attempts: u32,
    },
}

/// The errors of this many attempts are kept, the latest.
const HISTORY: usize = 100;

impl Table {
    pub(super) fn last_batch(&self) -> u64 {
        self.last_batch
    }

    pub(super) fn jobs(&self) -> Vec<JobId> {
        self.jobs.values().filter(|row| !row.is_dead()).map(|row| row.job.id).collect()
    }

    pub(super) fn dead_letters(&self) -> Vec<JobId> {
        self.jobs.values().filter(|row| row.is_dead()).map(|row| row.job.id).collect()
    }

    pub(super) fn time(&self) -> Option<SystemTime> {
        self.time
    }

    pub(super) fn payload(&self, id: JobId) -> Option<Payload> {
        self.jobs.get(&id).map(|row| row.job.payload.clone())
    }

    /// Writes a batch: all of it or, by not being called, nothing.
    pub(super) fn write<'a>(
        &mut self,
        batch: u64,
        records: impl Iterator<Item = &'a Record>,
        time: Option<SystemTime>,
    ) {
        self.last_batch = batch;
        self.time = self.time.max(time);
        for record in records {
            self.apply(record);
        }
    }

    fn apply(&mut self, record: &Record) {
        if let Record::Pushed(job) = record {
            self.next_id = self.next_id.max(job.id.as_u64() + 1);
            let row = Row {
                job: JobRecord::clone(job),
                attempt: 0,
                due: job.due,
                state: State::Waits,
                crashes: 0,
                history: Vec::new(),
            };
            assert!(self.jobs.insert(job.id, row).is_none(), "{} was pushed twice", job.id);
            return;
        }
        let (id, from) = precondition(record);
        let row = self.jobs.get_mut(&id).unwrap_or_else(|| panic!("{record:?}: there is no such job"));
        assert!(from.contains(&row.word()), "{record:?} does not follow {}", row.word());
        match record {
            Record::Started { .. } => row.state = State::Runs,
            Record::Interrupted { .. } => row.wait(row.attempt, None),
            Record::Snoozed { due, .. } => row.wait(row.attempt, *due),
            Record::Retried { attempt, due, failure, .. } => {
                assert_eq!(*attempt, row.attempt + 1, "attempts only grow");
                row.remember(failure);
                row.wait(*attempt, *due);
            }
            Record::Died { reason, attempts, failure, .. } => {
                row.remember(failure);
                row.state = State::Dead { reason: *reason, attempts: *attempts };
            }
            Record::Requeued { .. } => row.wait(0, None),
            Record::Done { .. } | Record::Cancelled { .. } | Record::Dropped { .. } => {
                self.jobs.remove(&id);
            }
            other => panic!("{other:?} is not known here"),
        }
    }

    /// What ran when the process ended did not end well.
    pub(super) fn count_crashes(&mut self, limit: u32) {
        for row in self.jobs.values_mut().filter(|row| row.state == State::Runs) {
            row.crashes += 1;
            row.wait(row.attempt, None);
            if row.crashes >= limit {
                let error = format!("the process crashed {limit} times while it was running");
                let at = self.time.unwrap_or(SystemTime::UNIX_EPOCH);
                row.remember(&AttemptError::new(row.attempt, error, at));
                row.state = State::Dead { reason: DeadReason::Crashed, attempts: row.attempt + 1 };
            }
        }
    }

    pub(super) fn recover(&self) -> Recovery {
        let waiting = self.jobs.values().filter(|row| !row.is_dead());
        let mut dead: Vec<_> = self.jobs.values().filter_map(Row::dead).collect();
        dead.sort_by_key(|dead| dead.more.history.last().map(|failed| failed.at));
        Recovery {
            next_id: self.next_id,
            time: self.time,
            jobs: vec![waiting.map(Row::recovered).collect()],
            dead,
        }
    }
}

/// The job a record is about, and the states in which it may be.
fn precondition(record: &Record) -> (JobId, &'static [&'static str]) {
    match record {
        Record::Started { id } => (*id, &["waits"]),
        Record::Interrupted { id }
        | Record::Retried { id, .. }
        | Record::Snoozed { id, .. }
        | Record::Died { id, .. }
        | Record::Done { id } => (*id, &["runs"]),
        Record::Cancelled { id } => (*id, &["waits", "runs"]),
        Record::Requeued { id } | Record::Dropped { id } => (*id, &["is dead"]),
        other => panic!("{other:?} is not known here"),
    }
}

impl Row {
    fn word(&self) -> &'static str {
        match self.state {
            State::Waits => "waits",
            State::Runs => "runs",
            State::Dead { .. } => "is dead",
        }
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    fn wait(&mut self, attempt: u32, due: Option<Due>) {
        self.state = State::Waits;
        self.attempt = attempt;
        self.due = due;
    }

    fn remember(&mut self, failure: &AttemptError) {
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(failure.clone());
    }

    /// Only what fits into the job's record is read at once; the rest is loaded when it is wanted.
    fn recovered(&self) -> Recovered {
        const SMALL: usize = 54;
        let payload = &self.job.payload;
        let is_plain = self.job.options.is_none() && self.history.is_empty();
        Recovered {
            id: self.job.id,
            queue: self.job.queue.clone(),
            kind: self.job.kind.clone(),
            priority: self.job.priority,
            attempt: self.attempt,
            due: self.due,
            payload: if payload.len() <= SMALL { Ok(payload.clone()) } else { Err(payload.len()) },
            more: (!is_plain).then(|| Box::new(self.more())),
        }
    }

    fn dead(&self) -> Option<RecoveredDead> {
        let State::Dead { reason, attempts } = self.state else { return None };
        let JobRecord { id, queue, kind, priority, payload, .. } = self.job.clone();
        Some(RecoveredDead { id, queue, kind, priority, payload, attempts, reason, more: self.more() })
    }

    fn more(&self) -> RecoveredMore {
        RecoveredMore { options: self.job.options.clone(), history: self.history.clone() }
    }
}
