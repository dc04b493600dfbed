//! The way back: what a journal has written, and what it could not.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::error::{StoreError, StoreFault};
use super::receipt::{Promise, Receipt};
use super::{Change, JobRecord, Record};
use crate::engine::Core;
use crate::event::Event;
use crate::job::JobId;
use crate::payload::Payload;
use crate::registry::Kind;
use crate::store::When;

/// Where a [`Journal`](super::Journal) answers. It keeps no queue alive: one that is gone is told nothing.
#[derive(Clone, Debug, Default)]
pub struct Sink(Weak<Core>);

/// Who is told when a change is written.
#[derive(Debug)]
pub(crate) enum Ack {
    Nobody,
    /// A push: its job is taken in.
    Push(Arrival),
    /// An event that tells of what was written before it.
    Publish(Box<Event>),
    /// Whoever waits until everything before it was written, or could not be.
    Attempted(Promise<()>),
}

/// A job on its way in, beside its record.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) channel: usize,
    pub(crate) kind: Kind,
    pub(crate) when: When,
    pub(crate) promise: Promise<Result<JobId, StoreError>>,
}

impl Sink {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self(Arc::downgrade(core))
    }

    /// These changes are written, each after all those that were appended before it; an outage, if there was one, is over.
    /// Wakes who waits for them, so it must not be called under a lock that [`append`](super::Journal::append) takes.
    pub fn written(&self, changes: Vec<Change>) {
        let core = self.0.upgrade();
        if let Some(core) = &core {
            core.changes_written(changes);
            return;
        }
        for change in changes {
            match change.ack {
                Ack::Push(arrival) => {
                    if let Some(id) = change.record.as_ref().and_then(pushed).map(|job| job.id) {
                        arrival.promise.keep(Ok(id));
                    }
                }
                Ack::Attempted(promise) => promise.keep(()),
                Ack::Nobody | Ack::Publish(_) => {}
            }
        }
    }

    /// These changes could not be written. Takes out the pushes, whose jobs go back to who pushed them, and whatever else
    /// is over with; what it leaves has happened and must be written as soon as it can be, in this order and before
    /// anything that was appended later.
    ///
    /// The queue starts no job from now on until changes are [written](Self::written) again. To be called under no lock,
    /// as that.
    pub fn failed(&self, changes: &mut Vec<Change>, error: &StoreError) {
        let (mut arrivals, mut waiting) = (Vec::new(), Vec::new());
        let mut kept = Vec::with_capacity(changes.len());
        for change in changes.drain(..) {
            match change.ack {
                Ack::Push(arrival) => arrivals.push((change.record, arrival)),
                Ack::Attempted(promise) => waiting.push(promise),
                Ack::Nobody | Ack::Publish(_) => kept.push(change),
            }
        }
        *changes = kept;
        let given_up = arrivals.len() + waiting.len();
        self.turn_away(arrivals, given_up, error, true);
        for promise in waiting {
            promise.keep(());
        }
    }

    /// These pushes are not taken, although nothing is wrong: their jobs go back to who pushed them.
    pub(crate) fn refused(&self, changes: Vec<Change>, error: &StoreError) {
        let arrivals = changes.into_iter().filter_map(|change| match change.ack {
            Ack::Push(arrival) => Some((change.record, arrival)),
            _ => None,
        });
        let arrivals: Vec<_> = arrivals.collect();
        let given_up = arrivals.len();
        self.turn_away(arrivals, given_up, error, false);
    }

    /// Gives these jobs back, the pushes among the changes that are given up. `is_failure`: something is wrong with the store.
    fn turn_away(
        &self,
        arrivals: Vec<(Option<Record>, Arrival)>,
        given_up: usize,
        error: &StoreError,
        is_failure: bool,
    ) {
        if let Some(core) = self.0.upgrade() {
            let turned_away = arrivals.iter().map(|(record, arrival)| {
                let bytes = record.as_ref().and_then(pushed).map_or(0, |job| job.payload.len());
                (arrival.channel, bytes)
            });
            core.changes_failed(turned_away, given_up, is_failure.then_some(error));
        }
        for (_, arrival) in arrivals {
            arrival.promise.keep(Err(error.clone()));
        }
    }

    /// The time of the store: the wall clock, but never going back, neither while the queue runs nor, if the journal keeps
    /// it and hands it over as [`Recovery::time`](super::Recovery::time), from one run to the next. `None` when the queue is
    /// gone.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.0.upgrade().map(|core| core.store_time())
    }
}

pub(super) fn pushed(record: &Record) -> Option<&JobRecord> {
    match record {
        Record::Pushed(job) => Some(job),
        _ => None,
    }
}

/// A payload that is to be read; see [`Journal::load`](super::Journal::load). Dropped without an answer, it is as if
/// reading had failed.
#[derive(Debug)]
pub struct Loading {
    id: JobId,
    promise: Promise<Result<Payload, StoreError>>,
}

impl Loading {
    pub(crate) fn new(id: JobId) -> (Self, Arc<Receipt<Result<Payload, StoreError>>>) {
        let (promise, receipt) = Receipt::new(|| Err(unanswered()));
        (Self { id, promise }, receipt)
    }

    /// The job whose payload is wanted.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Answers with the payload, or with why there is none. To be called under no lock that the journal's methods take.
    pub fn answer(self, payload: Result<Payload, StoreError>) {
        self.promise.keep(payload);
    }
}

/// What a journal that drops a request says.
pub(crate) fn unanswered() -> StoreError {
    StoreError::new(StoreFault::Closed, "the store dropped the request")
}
