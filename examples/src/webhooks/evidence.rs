//! What is known of a campaign when it is over: three accounts of the same deliveries, by the queue's events, by what the queue
//! gave back and by the receivers' ledger.

use std::collections::BTreeMap;

use queue_core::{DeadReason, JobId, Payload};

use super::campaign::{Ending, Shipment};
use super::history::History;
use super::plan::Route;
use super::receivers::{Behaviour, Ledger, Record};
use super::tally::Track;

/// Everything that is known when a campaign is over.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The receivers, as planned.
    pub routes: Vec<Route>,
    /// The deliveries that were accepted.
    pub shipments: Vec<Shipment>,
    /// Why the campaign stopped.
    pub ending: Ending,
    /// What the events said of each job.
    pub tracks: BTreeMap<JobId, Track>,
    /// How many events were missed.
    pub missed_events: u64,
    /// The dead letters.
    pub dead: Vec<Letter>,
    /// The jobs that shutdown gave back.
    pub returned: Vec<Returned>,
    /// How many jobs stay in the store, as the report of shutdown says.
    pub kept: usize,
    /// The jobs that were still running after shutdown.
    pub abandoned: Vec<JobId>,
    /// How many jobs were done or became dead letters during shutdown, as its report says.
    pub drained: u64,
    /// How many jobs were cancelled during shutdown, as its report says.
    pub cancelled: u64,
    /// How many jobs had come to an end when shutdown began, as the events say: at least, and at most. There is no most
    /// with a store, whose events come after what they tell of.
    pub ended_before: (usize, Option<usize>),
    /// What the receivers say.
    pub ledger: Ledger,
    /// What was noted of this life and earlier ones, if jobs outlive the process.
    pub history: Option<History>,
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The job.
    pub id: JobId,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is dead.
    pub reason: DeadReason,
    /// The last error.
    pub error: String,
    /// What it carries.
    pub payload: Payload,
}

/// A job that shutdown gave back.
#[derive(Debug, Clone)]
pub struct Returned {
    /// The job.
    pub id: JobId,
    /// How many attempts had failed.
    pub attempts: u32,
    /// What it carries.
    pub payload: Payload,
}

/// What became of a delivery, as the queue says.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// Its receiver acknowledged it.
    Acknowledged,
    /// It is a dead letter.
    Dead(&'a Letter),
    /// Shutdown gave it back.
    HandedBack(&'a Returned),
    /// It stays in the store.
    Kept,
    /// It was still running after shutdown.
    Abandoned,
}

impl Evidence {
    /// What became of this delivery. Every one has exactly one fate, or something is wrong.
    #[must_use]
    pub fn fates(&self, shipment: &Shipment) -> Vec<Fate<'_>> {
        let id = shipment.id;
        let acknowledged = (self.track(id).succeeded > 0).then_some(Fate::Acknowledged);
        let dead = self.dead.iter().filter(|letter| letter.id == id).map(Fate::Dead);
        let returned = self.returned.iter().filter(|returned| returned.id == id).map(Fate::HandedBack);
        let abandoned = self.abandoned.iter().filter(|abandoned| **abandoned == id).map(|_| Fate::Abandoned);
        let mut fates: Vec<_> =
            acknowledged.into_iter().chain(dead).chain(returned).chain(abandoned).collect();
        if fates.is_empty() {
            // Its end may have been recorded and its event lost in a kill, or it is still in the store.
            if self.kept > 0 {
                fates.push(Fate::Kept);
            } else if self.may_have_ended_unheard(shipment) {
                fates.push(Fate::Acknowledged);
            }
        }
        fates
    }

    /// Whether its receiver has given an answer that a process may have heard and recorded just before it was killed.
    pub(super) fn may_have_ended_unheard(&self, shipment: &Shipment) -> bool {
        self.track(shipment.id).cut > 0 && self.was_answered(shipment)
    }

    pub(super) fn was_answered(&self, shipment: &Shipment) -> bool {
        // These accept the first attempt so that nobody hears it.
        let behaviour = self.routes[shipment.route].behaviour;
        let is_mute = matches!(behaviour, Behaviour::Hangup | Behaviour::Slow { .. });
        let record = self.record(shipment);
        record.is_some_and(|record| record.processed && (record.duplicates > 0 || !is_mute))
    }

    /// What the events said of this job.
    #[must_use]
    pub fn track(&self, id: JobId) -> Track {
        self.tracks.get(&id).copied().unwrap_or_default()
    }

    /// How many attempts were made at this job.
    #[must_use]
    pub fn attempts(&self, id: JobId) -> u32 {
        match &self.history {
            Some(history) => history.attempts.get(&id).map_or(0, |attempts| attempts.begun),
            None => self.track(id).started,
        }
    }

    /// What its receiver says of this delivery.
    #[must_use]
    pub fn record(&self, shipment: &Shipment) -> Option<&Record> {
        self.ledger.account(self.routes[shipment.route].name)?.deliveries.get(&shipment.delivery)
    }

    /// How many attempts were made at this delivery, be it by one job or, when a push was in doubt, by two.
    pub(super) fn made(&self, shipment: &Shipment) -> u32 {
        let jobs = self.shipments.iter().filter(|other| other.delivery == shipment.delivery);
        jobs.map(|job| self.attempts(job.id)).sum()
    }

    pub(super) fn kills(&self) -> u32 {
        self.history.as_ref().map_or(0, |history| history.kills)
    }

    /// What is in the store, as far as one can know.
    pub(super) fn stays(&self) -> impl Iterator<Item = &Shipment> + Clone {
        self.shipments.iter().filter(|shipment| matches!(self.fates(shipment)[..], [Fate::Kept]))
    }

    /// How many jobs had come to an end when shutdown began, if so many did during it. What was told of by now, when all
    /// events are here, has ended, and so has each dead letter; with a store so may have what a kill left in doubt.
    pub(super) fn ended_before(&self, during: usize) -> (usize, usize) {
        let has_ended = |shipment: &&Shipment| {
            let track = self.track(shipment.id);
            track.succeeded + track.died > 0 || self.dead.iter().any(|letter| letter.id == shipment.id)
        };
        let ended = self.shipments.iter().filter(has_ended).count();
        let in_doubt = self.shipments.iter().filter(|shipment| {
            !has_ended(shipment) && self.history.is_some() && self.may_have_ended_unheard(shipment)
        });
        let at_least = ended.saturating_sub(during);
        let at_most = (ended + in_doubt.count()).saturating_sub(during);
        let (told_at_least, told_at_most) = self.ended_before;
        (at_least.max(told_at_least), told_at_most.map_or(at_most, |told| told.min(at_most)))
    }
}
