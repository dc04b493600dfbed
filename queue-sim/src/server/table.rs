//! What a remote store holds, and what each verb makes of it: vectors and loops, one atomic step a verb.
//!
//! This is the whole meaning of [`RemoteStore`](queue_core::remote::RemoteStore): any other, asked the same at the same
//! times, answers the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use queue_core::remote::{
    ClaimRequest, ClaimToken, Claimed, ClaimedJob, Control, ExtendAnswer, LeaseId, PushAnswer, PushRequest,
    PushToken, Refused, RemoteCancel, RemoteCounts, SettleAnswer, Settlement, Tended, Transition,
};
use queue_core::{AttemptError, DeadReason, JobId, Name, RecoveredDead, RecoveredMore};

/// The store. Times are since its start.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<JobId, Row>,
    next_id: u64,
    /// What each push came to.
    pushes: BTreeMap<PushToken, JobId>,
    /// Until when each lease lasts. Those that have expired are kept: a name is good for one claim.
    leases: BTreeMap<LeaseId, Duration>,
    paused: BTreeSet<Name>,
    capacities: BTreeMap<Name, (usize, usize)>,
    pub(super) most_crashes: u32,
    /// The jobs that are done, and those that were cancelled, in order.
    pub(super) done: Vec<JobId>,
    pub(super) cancelled: Vec<JobId>,
    /// How often a job's lease expired.
    pub(super) expiries: u64,
    /// Named queues in which something began to wait, since that was last asked.
    touched: BTreeSet<Name>,
}

struct Row {
    id: JobId,
    job: PushRequest,
    state: State,
    attempt: u32,
    /// How often it was claimed.
    run: u64,
    crashes: u32,
    is_cancelled: bool,
    history: Vec<AttemptError>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// `None`: for ever.
    Waits {
        due: Option<Duration>,
    },
    /// It keeps its place in line, in case it is handed back.
    InHand {
        lease: LeaseId,
        due: Option<Duration>,
    },
    Dead {
        reason: DeadReason,
        attempts: u32,
        since: Duration,
    },
}

/// The errors of this many attempts are kept, the latest.
const HISTORY: usize = 100;

impl Table {
    pub(super) fn new(most_crashes: u32) -> Self {
        Self { most_crashes, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.values().all(Row::is_dead)
    }

    pub(super) fn take_touched(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn push(&mut self, jobs: Vec<PushRequest>, now: Duration) -> Vec<PushAnswer> {
        jobs.into_iter().map(|job| self.push_one(job, now)).collect()
    }

    fn push_one(&mut self, job: PushRequest, now: Duration) -> PushAnswer {
        if let Some(id) = self.pushes.get(&job.token) {
            return PushAnswer::Held(*id);
        }
        if let Some((jobs, bytes)) = self.capacities.get(&job.queue) {
            let waiting = self.counts(&job.queue, now);
            let is_full = waiting.ready + waiting.delayed >= *jobs
                || waiting.waiting_bytes + job.payload.len() > *bytes;
            if is_full {
                return PushAnswer::Refused(Refused::Full);
            }
        }
        self.next_id += 1;
        let id = JobId::new(self.next_id);
        self.pushes.insert(job.token, id);
        self.touched.insert(job.queue.clone());
        let state = State::Waits { due: now.checked_add(job.delay) };
        let row =
            Row { id, job, state, attempt: 0, run: 0, crashes: 0, is_cancelled: false, history: Vec::new() };
        self.rows.insert(id, row);
        PushAnswer::New(id)
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest, now: Duration) -> Claimed {
        let is_paused = self.paused.contains(&request.queue);
        if !self.leases.contains_key(&request.lease) && !is_paused {
            let mut bytes = 0;
            let mut count = 0;
            for (_, _, id) in self.due(&request.queue, now) {
                let Some(row) = self.rows.get_mut(&id) else { continue };
                bytes += row.job.payload.len();
                if count == request.max || (count > 0 && bytes > request.max_bytes) {
                    break;
                }
                count += 1;
                row.take(request.lease);
            }
            if count > 0 {
                self.leases.insert(request.lease, now.saturating_add(request.lasts));
            }
        }
        let until = self.leases.get(&request.lease).copied().unwrap_or_default();
        let lasts = until.saturating_sub(now);
        let is_held = |row: &&Row| row.lease() == Some(request.lease) && !lasts.is_zero();
        let mut jobs: Vec<_> = self.rows.values().filter(is_held).collect();
        jobs.sort_by_key(|row| row.place());
        let delays = self.rows.values().filter(|row| row.job.queue == request.queue).filter_map(Row::due);
        Claimed {
            jobs: jobs.into_iter().filter_map(Row::claimed).collect(),
            lasts,
            more: !is_paused && !self.due(&request.queue, now).is_empty(),
            next_due: delays.filter_map(|due| due.checked_sub(now)).filter(|left| !left.is_zero()).min(),
            is_paused,
        }
    }

    /// What may be claimed, in order.
    fn due(&self, queue: &Name, now: Duration) -> BTreeSet<Place> {
        let rows = self.rows.values().filter(|row| row.job.queue == *queue);
        rows.filter(|row| row.due().is_some_and(|due| due <= now)).map(Row::place).collect()
    }

    pub(super) fn settle(&mut self, settlements: Vec<Settlement>, now: Duration) -> Vec<SettleAnswer> {
        let settle = |Settlement { token, transition }: Settlement| {
            if self.current(token, now) {
                self.apply(token.id, transition, now);
                SettleAnswer::Applied
            } else {
                SettleAnswer::LeaseLost
            }
        };
        settlements.into_iter().map(settle).collect()
    }

    /// Whether this claim may settle its job.
    fn current(&self, token: ClaimToken, now: Duration) -> bool {
        self.lasts(token.lease, now)
            && self
                .rows
                .get(&token.id)
                .is_some_and(|row| row.lease() == Some(token.lease) && row.run == token.run)
    }

    fn lasts(&self, lease: LeaseId, now: Duration) -> bool {
        self.leases.get(&lease).is_some_and(|until| *until > now)
    }

    fn apply(&mut self, id: JobId, transition: Transition, now: Duration) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        let State::InHand { due: place, .. } = row.state else { return };
        let is_done = transition == Transition::Done;
        let again = match transition {
            Transition::Done | Transition::Cancel => None,
            Transition::HandBack => Some(place),
            Transition::Snooze { delay } => Some(now.checked_add(delay)),
            Transition::Retry { delay, failure } => {
                row.remember(failure);
                row.attempt += 1;
                Some(now.checked_add(delay))
            }
            Transition::Bury { reason, attempts, failure } => {
                row.remember(failure);
                row.state = State::Dead { reason, attempts, since: now };
                return;
            }
            other => panic!("{other:?} is not known here"),
        };
        match again {
            Some(due) if !row.is_cancelled => {
                row.state = State::Waits { due };
                self.touched.insert(row.job.queue.clone());
            }
            _ => self.remove(id, is_done),
        }
    }

    fn remove(&mut self, id: JobId, is_done: bool) {
        self.rows.remove(&id);
        if is_done { self.done.push(id) } else { self.cancelled.push(id) }
    }

    pub(super) fn extend(&mut self, leases: &[LeaseId], by: Duration, now: Duration) -> Vec<ExtendAnswer> {
        let extend = |lease: &LeaseId| {
            let held: Vec<_> = self.rows.values().filter(|row| row.lease() == Some(*lease)).collect();
            if held.is_empty() || !self.lasts(*lease, now) {
                return ExtendAnswer::Lost;
            }
            let cancelled = held.iter().filter(|row| row.is_cancelled).map(|row| row.id).collect();
            self.leases.insert(*lease, now.saturating_add(by));
            ExtendAnswer::Alive { cancelled }
        };
        leases.iter().map(extend).collect()
    }

    pub(super) fn tend(&mut self, budget: usize, now: Duration, wall: SystemTime) -> Tended {
        let mut tended = Tended::default();
        let is_lost = |row: &&Row| row.lease().is_some_and(|lease| !self.lasts(lease, now));
        let lost: Vec<_> = self.rows.values().filter(is_lost).map(|row| row.id).collect();
        tended.more = lost.len() > budget;
        for id in lost.into_iter().take(budget) {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            row.crashes += 1;
            self.expiries += 1;
            if row.is_cancelled {
                self.remove(id, false);
            } else if row.crashes >= self.most_crashes {
                let error = format!("its lease expired {} times: the process crashed, or hung", row.crashes);
                row.remember(AttemptError::new(row.attempt, error, wall));
                let attempts = row.attempt + 1;
                row.state = State::Dead { reason: DeadReason::Crashed, attempts, since: now };
                tended.quarantined += 1;
            } else {
                row.hand_back();
                self.touched.insert(row.job.queue.clone());
                tended.rescued += 1;
            }
        }
        tended
    }

    pub(super) fn cancel(&mut self, ids: &[JobId]) -> Vec<RemoteCancel> {
        let cancel = |id: &JobId| match self.rows.get_mut(id).map(|row| (row.state, row)) {
            Some((State::Waits { .. }, _)) => {
                self.remove(*id, false);
                RemoteCancel::Removed
            }
            Some((State::InHand { .. }, row)) => {
                row.is_cancelled = true;
                RemoteCancel::Asked
            }
            Some((State::Dead { .. }, _)) | None => RemoteCancel::NotFound,
        };
        ids.iter().map(cancel).collect()
    }

    pub(super) fn requeue(&mut self, ids: &[JobId], now: Duration) -> Vec<bool> {
        let requeue = |id: &JobId| {
            let Some(row) = self.rows.get_mut(id).filter(|row| row.is_dead()) else { return false };
            row.state = State::Waits { due: Some(now) };
            row.attempt = 0;
            row.crashes = 0;
            row.is_cancelled = false;
            self.touched.insert(row.job.queue.clone());
            true
        };
        ids.iter().map(requeue).collect()
    }

    pub(super) fn dead_letters(&self, queue: &Name, after: Option<JobId>, max: usize) -> Vec<RecoveredDead> {
        let rows = self.rows.values().filter(|row| row.job.queue == *queue);
        rows.filter(|row| after.is_none_or(|after| row.id > after)).filter_map(Row::dead).take(max).collect()
    }

    pub(super) fn counts(&self, queue: &Name, now: Duration) -> RemoteCounts {
        let mut counts = RemoteCounts { is_paused: self.paused.contains(queue), ..RemoteCounts::default() };
        for row in self.rows.values().filter(|row| row.job.queue == *queue) {
            match row.state {
                State::Waits { due } => {
                    counts.waiting_bytes += row.job.payload.len();
                    if due.is_some_and(|due| due <= now) {
                        counts.ready += 1;
                    } else {
                        counts.delayed += 1;
                    }
                }
                State::InHand { .. } => counts.in_hand += 1,
                State::Dead { .. } => counts.dead += 1,
            }
        }
        counts
    }

    pub(super) fn control(&mut self, queue: Name, control: Control) {
        match control {
            Control::Pause => {
                self.paused.insert(queue);
            }
            Control::Resume => {
                self.paused.remove(&queue);
                self.touched.insert(queue);
            }
            Control::Capacity { jobs, bytes } => {
                self.capacities.insert(queue, (jobs, bytes));
            }
            other => panic!("{other:?} is not known here"),
        }
    }

    pub(super) fn prune(&mut self, queue: &Name, older: Duration, budget: usize, now: Duration) -> usize {
        let rows = self.rows.values().filter(|row| row.job.queue == *queue);
        let old = rows.filter_map(|row| match row.state {
            State::Dead { since, .. } if now.saturating_sub(since) >= older => Some((since, row.id)),
            _ => None,
        });
        let old: BTreeSet<_> = old.collect();
        for (_, id) in old.iter().take(budget) {
            self.rows.remove(id);
        }
        old.len().min(budget)
    }
}

/// Where a job stands in line: by priority, by when it was due, by arrival.
type Place = (queue_core::Priority, Option<Duration>, JobId);

impl Row {
    fn lease(&self) -> Option<LeaseId> {
        if let State::InHand { lease, .. } = self.state { Some(lease) } else { None }
    }

    fn due(&self) -> Option<Duration> {
        if let State::Waits { due } = self.state { due } else { None }
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead { .. })
    }

    fn place(&self) -> Place {
        let due = match self.state {
            State::Waits { due } | State::InHand { due, .. } => due,
            State::Dead { .. } => None,
        };
        (self.job.priority, due, self.id)
    }

    fn take(&mut self, lease: LeaseId) {
        self.state = State::InHand { lease, due: self.due() };
        self.run += 1;
    }

    fn hand_back(&mut self) {
        if let State::InHand { due, .. } = self.state {
            self.state = State::Waits { due };
        }
    }

    fn remember(&mut self, failure: AttemptError) {
        if self.history.len() == HISTORY {
            self.history.remove(0);
        }
        self.history.push(failure);
    }

    fn claimed(&self) -> Option<ClaimedJob> {
        Some(ClaimedJob {
            token: ClaimToken { lease: self.lease()?, id: self.id, run: self.run },
            kind: self.job.kind.clone(),
            priority: self.job.priority,
            attempt: self.attempt,
            payload: self.job.payload.clone(),
            options: self.job.options.clone(),
        })
    }

    fn dead(&self) -> Option<RecoveredDead> {
        let State::Dead { reason, attempts, .. } = self.state else { return None };
        let PushRequest { queue, kind, priority, payload, options, .. } = self.job.clone();
        let more = RecoveredMore { options, history: self.history.clone() };
        Some(RecoveredDead { id: self.id, queue, kind, priority, payload, attempts, reason, more })
    }
}
