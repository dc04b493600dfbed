//! What of a store is to be recorded, in order, and how much of its payloads is in memory.
//!
//! Only a store whose jobs outlive the process has one. Its owner empties it into the journal before it lets go of the lock.

use std::sync::Arc;

use super::{Lease, Settle, When, attempts_made};
use crate::dead::AttemptError;
use crate::journal::{Change, Due, Record, StoreTime};
use crate::payload::Payload;

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) changes: Vec<Change>,
    time: Arc<StoreTime>,
    /// Bytes of payload in memory.
    held: usize,
    most: usize,
}

impl Log {
    pub(crate) fn new(time: Arc<StoreTime>, payload_memory: usize) -> Self {
        Self { changes: Vec::new(), time, held: 0, most: payload_memory }
    }

    pub(super) fn record(&mut self, record: Record) {
        self.changes.push(Change::new(record));
    }

    pub(super) fn record_settle(&mut self, lease: Lease, settle: &Settle) {
        let Lease { id, attempt, .. } = lease;
        self.record(match settle {
            Settle::Done => Record::Done { id },
            Settle::Cancel => Record::Cancelled { id },
            Settle::HandBack => Record::Interrupted { id },
            Settle::Snooze { when } => Record::Snoozed { id, due: self.due(*when) },
            Settle::Retry { when, failure } => Record::Retried {
                id,
                attempt: attempt.saturating_add(1),
                due: self.due(*when),
                failure: AttemptError { attempt, error: failure.error.clone(), at: failure.at },
            },
            Settle::Bury { reason, failure, .. } => Record::Died {
                id,
                reason: *reason,
                attempts: attempts_made(attempt, *reason),
                failure: AttemptError { attempt, error: failure.error.clone(), at: failure.at },
            },
        });
    }

    /// When that is, by the time of the store.
    pub(crate) fn due(&self, when: When) -> Option<Due> {
        match when {
            When::Now => None,
            When::At(due) => {
                let (now, time) = self.time.moment();
                let at = time.checked_add(due.saturating_duration_since(now));
                Some(at.map_or(Due::Never, Due::At))
            }
            When::Never => Some(Due::Never),
        }
    }

    /// A payload is in memory from now on, however many there are.
    pub(super) fn hold(&mut self, payload: &Payload) {
        self.held += payload.memory();
    }

    pub(super) fn let_go(&mut self, payload: &Payload) {
        self.held -= payload.memory();
    }

    /// A payload is to wait in memory, or only in the journal if that is too much.
    pub(super) fn make_room(&mut self, payload: &mut Payload) {
        if payload.memory() > 0 && self.held + payload.memory() > self.most {
            *payload = Payload::absent(payload.size());
        }
        self.hold(payload);
    }
}
