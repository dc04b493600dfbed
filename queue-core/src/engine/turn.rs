//! What workers do: take a seat, settle and claim in one step, leave.
//!
//! While jobs are short and many wait, a worker claims a batch of them and takes the lock once for all. A batch goes on
//! only as long as its attempts succeed at the first poll; whatever else happens, and whenever the worker gives its
//! thread back, what has not begun goes back to the front of the queue. Until it has begun, a job of a batch can be
//! cancelled, and a worker that finds nothing else to do takes it over, so none waits behind a slow one while somebody
//! is idle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelState, kind_name, name_of};
use super::closing::Phase;
use super::seats::{Idle, Scope, Standing, standing};
use super::{Core, Effects};
use crate::dead::DeadReason;
use crate::event::Event;
use crate::job::Name;
use crate::progress::Signal;
use crate::slot::Slot;
use crate::store::{Claim, Failure, Lease, Leftovers, Settle, Settled};
use crate::unwind::drop_quietly;

/// A worker's place in a channel.
pub(crate) struct Seat {
    pub(crate) worker: u32,
    pub(crate) slot: Arc<Slot>,
}

/// How the current attempt of a worker ended. Those before it in the batch are done.
#[derive(Debug)]
pub(crate) enum Ending {
    Done,
    /// Interrupted: it does not count.
    HandBack,
    /// Boxed, because most attempts succeed and every ending is moved.
    Otherwise(Box<(Settle, Duration)>),
}

impl Ending {
    /// A retry or snooze waits for `delay`.
    pub(crate) fn new(settle: Settle, delay: Duration) -> Self {
        match settle {
            Settle::Done => Self::Done,
            Settle::HandBack => Self::HandBack,
            settle => Self::Otherwise(Box::new((settle, delay))),
        }
    }

    fn into_parts(self) -> (Settle, Duration) {
        match self {
            Self::Done => (Settle::Done, Duration::ZERO),
            Self::HandBack => (Settle::HandBack, Duration::ZERO),
            Self::Otherwise(parts) => *parts,
        }
    }
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Run what was claimed.
    Run,
    /// Wait: the worker's waker is kept.
    Idle,
    /// Leave: the queue is shut down.
    Stop,
}

/// What a worker has in hand.
pub(crate) struct Batch {
    /// Claimed and not begun.
    pub(crate) claims: VecDeque<Claim>,
    /// How many to claim at once, while many wait.
    pub(crate) appetite: usize,
    /// More than one was claimed, and what of it the worker need not have to itself has not gone back.
    is_long: bool,
    /// An attempt of it had to wait.
    pub(crate) has_waited: bool,
    /// What settled jobs leave behind, to be dropped outside of the lock.
    leftovers: Vec<Leftovers>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            claims: VecDeque::new(),
            appetite: 1,
            is_long: false,
            has_waited: false,
            leftovers: Vec::new(),
        }
    }

    /// Whether its worker has something in hand besides the current attempt.
    pub(crate) fn is_long(&self) -> bool {
        self.is_long
    }

    /// Drops what was settled, or given back. Not under a lock.
    fn clean(&mut self, given_back: usize) {
        for claim in self.claims.drain(..given_back) {
            drop_claim(claim);
        }
        for (payload, extras) in self.leftovers.drain(..) {
            drop(payload);
            if extras.is_some() {
                drop_quietly(extras);
            }
        }
    }
}

/// Lets go of a claim that is not run.
pub(crate) fn drop_claim(claim: Claim) {
    if claim.overrides.is_some() {
        drop_quietly(claim.overrides);
    }
}

impl Channel {
    /// Seats a worker, unless its scope has as many as configured or the queue is closing.
    pub(crate) fn seat(&self, core: &Arc<Core>, scope: Scope) -> Option<Seat> {
        self.with(core, |state, effects| {
            let workers = self.config.workers.min(self.config.limit);
            if state.phase != Phase::Open || state.seats.in_scope(scope) >= workers {
                return None;
            }
            let slot = Arc::new(Slot::new(core.clone(), self.index));
            let worker = state.seats.take(slot.clone(), scope);
            core.record(effects, || Event::WorkerStarted { queue: self.config.name.clone() });
            Some(Seat { worker, slot })
        })
    }

    /// Settles the attempt that is over, if any, and what else there is of its batch; then claims the next batch.
    pub(crate) fn turn(
        &self,
        core: &Core,
        seat: &Seat,
        ending: Option<Ending>,
        batch: &mut Batch,
        waker: &Waker,
    ) -> Turn {
        let given_back = batch.claims.len();
        let (turn, watched) = self.with(core, |state, effects| {
            state.seats.unpark(seat.worker);
            let watched = ending.is_some_and(|ending| self.end(core, state, seat, ending, batch, effects));
            (self.claim(core, state, seat, batch, waker, effects), watched)
        });
        batch.clean(given_back);
        if watched {
            seat.slot.tell_watchers();
        }
        turn
    }

    /// Settles the attempt that is over and claims nothing: the worker has used up its time slice.
    pub(crate) fn finish(&self, core: &Core, seat: &Seat, ending: Ending, batch: &mut Batch) {
        let watched = self.with(core, |state, effects| {
            let watched = self.end(core, state, seat, ending, batch, effects);
            self.wake_workers(state, batch.claims.len(), effects);
            watched
        });
        batch.clean(batch.claims.len());
        if watched {
            seat.slot.tell_watchers();
        }
    }

    /// The current attempt has to wait: the rest of its batch must not. Lets it run until `deadline`.
    pub(crate) fn wait(&self, core: &Core, seat: &Seat, deadline: Option<Instant>, batch: &mut Batch) {
        self.with(core, |state, effects| {
            let current = self.settle_batch(core, state, seat, batch, effects);
            seat.slot.progress.cut_batch();
            if let (Some(lease), Some(deadline)) = (current, deadline) {
                state.store.arm(lease, deadline);
                self.publish(core, state, effects);
            }
            self.wake_workers(state, batch.claims.len(), effects);
        });
        batch.clean(batch.claims.len());
    }

    /// The worker is gone. An attempt it held is handed back, and a wake-up it may have been sent is passed on.
    pub(crate) fn leave(&self, core: &Core, seat: &Seat, batch: &mut Batch) {
        let watched = self.with(core, |state, effects| {
            let watched = self.end(core, state, seat, Ending::HandBack, batch, effects);
            state.seats.leave(seat.worker);
            self.wake_workers(state, batch.claims.len().max(1), effects);
            core.record(effects, || Event::WorkerStopped { queue: self.config.name.clone() });
            effects.closing = state.phase != Phase::Open;
            watched
        });
        batch.clean(batch.claims.len());
        if watched {
            seat.slot.tell_watchers();
        }
    }

    fn claim(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        batch: &mut Batch,
        waker: &Waker,
        effects: &mut Effects,
    ) -> Turn {
        match state.phase {
            Phase::Open => {}
            Phase::Draining if state.store.has_ready() && !state.paused => {}
            Phase::Draining | Phase::Cancelling | Phase::Closed => return Turn::Stop,
        }
        let may_start = !state.paused && state.busy < self.config.limit;
        if !may_start || !self.claim_batch(core, state, seat, batch, effects) {
            state.seats.park(Idle { worker: seat.worker, waker: waker.clone() });
            return Turn::Idle;
        }
        state.busy += 1;
        // Work is left behind: the next idle worker is woken, and wakes the one after.
        self.wake_workers(state, 1, effects);
        self.grant_room(state, effects);
        Turn::Run
    }

    /// Claims what the worker has appetite for, but leaves every other worker as much.
    fn claim_batch(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        batch: &mut Batch,
        effects: &mut Effects,
    ) -> bool {
        let is_observed = core.events.any();
        // Which of several priorities is next is decided one by one, and who watches is told of every start in time.
        let share = if batch.appetite == 1 || is_observed || !state.store.ready_lanes().is_power_of_two() {
            1
        } else {
            batch.appetite.min(state.store.counts().ready / state.seats.taken()).max(1)
        };
        let mut claimed = 0;
        for _ in 0..share {
            let claim = state.store.claim(seat.worker).or_else(|| {
                // Nothing waits; does a worker hold more than it runs?
                let lease = state.seats.steal()?;
                state.store.take_over(lease, seat.worker)
            });
            let Some(claim) = claim else { break };
            if is_observed {
                let kind = kind_name(core, claim.kind, claim.name.clone());
                core.record(effects, || Event::Started(self.info(claim.lease.id, kind, claim.lease.attempt)));
            }
            state.seats.lease(seat.worker, &claim);
            batch.claims.push_back(claim);
            claimed += 1;
        }
        batch.is_long = claimed > 1;
        claimed > 0
    }

    /// Settles a worker's batch, its current attempt included. Returns whether there are watchers to tell.
    fn end(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        ending: Ending,
        batch: &mut Batch,
        effects: &mut Effects,
    ) -> bool {
        if !state.seats.is_busy(seat.worker) {
            return false;
        }
        state.busy -= 1;
        if let Some(lease) = self.settle_batch(core, state, seat, batch, effects) {
            let ending = last_word(core, state, seat, lease, ending);
            self.settle(core, state, lease, ending, &mut batch.leftovers, effects);
        }
        state.seats.settled(seat.worker);
        effects.closing = state.phase != Phase::Open;
        seat.slot.progress.end_batch()
    }

    /// Settles what is done of a worker's batch, and puts back what has not begun. Gives back the current lease, the only
    /// one that is left, unless someone else has taken it over.
    fn settle_batch(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        batch: &mut Batch,
        effects: &mut Effects,
    ) -> Option<Lease> {
        let (first, mut leases) = state.seats.begin_settle(seat.worker);
        let mut current = None;
        let mut ahead = leases.len();
        for (index, lease) in leases.iter().enumerate() {
            match standing(&seat.slot.progress, first + index as u64) {
                Standing::Done => {
                    self.settle_done(core, state, *lease, &mut batch.leftovers, effects);
                }
                Standing::Current => current = Some(*lease),
                Standing::Ahead => {
                    ahead = index;
                    break;
                }
                Standing::Withdrawn => {}
            }
        }
        // From the last to the first, so that each goes to the very front.
        for (index, lease) in leases.iter().enumerate().skip(ahead).rev() {
            if standing(&seat.slot.progress, first + index as u64) == Standing::Ahead {
                put_back(state, *lease);
            }
        }
        batch.is_long = false;
        leases.clear();
        leases.extend(current);
        state.seats.restore(seat.worker, leases);
        current
    }

    /// Settles one attempt that succeeded, as [`settle`](Self::settle) would.
    fn settle_done(
        &self,
        core: &Core,
        state: &mut ChannelState,
        lease: Lease,
        leftovers: &mut Vec<Leftovers>,
        effects: &mut Effects,
    ) {
        let event =
            core.events.any().then(|| self.event_of(core, state, lease, &Settle::Done, Duration::ZERO));
        let Ok(left) = state.store.complete(lease) else { return };
        state.totals.finished += 1;
        if let Some(event) = event {
            core.record(effects, || event);
        }
        if left.0.is_some() || left.1.is_some() {
            leftovers.push(left);
        }
    }

    /// Settles one attempt. It may have been settled by shutdown, which knew that it was done: then nothing changes.
    pub(super) fn settle(
        &self,
        core: &Core,
        state: &mut ChannelState,
        lease: Lease,
        ending: Ending,
        leftovers: &mut Vec<Leftovers>,
        effects: &mut Effects,
    ) {
        if matches!(ending, Ending::Done) {
            return self.settle_done(core, state, lease, leftovers, effects);
        }
        let (settle, delay) = ending.into_parts();
        let event = core.events.any().then(|| self.event_of(core, state, lease, &settle, delay));
        let total = match settle {
            Settle::Done => Some(&mut state.totals.finished),
            Settle::Cancel => Some(&mut state.totals.cancelled),
            Settle::Bury { .. } => Some(&mut state.totals.dead),
            Settle::Retry { .. } | Settle::Snooze { .. } | Settle::HandBack => None,
        };
        let Ok(settled) = state.store.settle(lease, settle) else { return };
        if let Some(total) = total {
            *total += 1;
        }
        if let Some(event) = event {
            core.record(effects, || event);
        }
        match settled {
            Settled::Gone((None, None)) => {}
            Settled::Gone(left) => leftovers.push(left),
            Settled::Buried { evicted } => {
                for dead in &evicted {
                    let job = &dead.job;
                    core.record(effects, || {
                        Event::DeadLetterEvicted(self.info(job.id, job.name.clone(), job.attempts))
                    });
                }
                effects.drop_dead(evicted);
            }
            Settled::Kept if state.phase != Phase::Open => {
                if let Some(remains) = state.store.take(lease.id) {
                    core.record(effects, || {
                        Event::HandedBack(self.info(lease.id, name_of(core, &remains), remains.attempt))
                    });
                    state.taken.push(remains);
                }
            }
            Settled::Kept => self.publish(core, state, effects),
        }
    }

    /// Takes back what the batches of all workers hold and has not begun, and settles what is done: from then on, what
    /// the store has as running does run.
    pub(super) fn recall(&self, core: &Core, state: &mut ChannelState, effects: &mut Effects) {
        let mut leftovers = Vec::new();
        take_back(state);
        let done: Vec<_> = state.seats.done().collect();
        for lease in done {
            self.settle(core, state, lease, Ending::Done, &mut leftovers, effects);
        }
        effects.drop_leftovers(leftovers);
    }

    fn event_of(
        &self,
        core: &Core,
        state: &ChannelState,
        lease: Lease,
        settle: &Settle,
        delay: Duration,
    ) -> Event {
        let job = self.info(lease.id, name_of_lease(core, state, lease), lease.attempt);
        match settle {
            Settle::Done => Event::Succeeded(job),
            Settle::Cancel => Event::Cancelled(job),
            Settle::Retry { failure, .. } => Event::Retried { job, error: failure.error.clone(), delay },
            Settle::Snooze { .. } => Event::Snoozed { job, delay },
            Settle::HandBack => Event::Interrupted(job),
            Settle::Bury { reason, failure, .. } => {
                Event::Died { job, reason: *reason, error: failure.error.clone() }
            }
        }
    }
}

/// What the ending of an attempt comes to, all told.
fn last_word(core: &Core, state: &ChannelState, seat: &Seat, lease: Lease, ending: Ending) -> Ending {
    if matches!(ending, Ending::Done) {
        return ending;
    }
    let (mut settle, delay) = ending.into_parts();
    // Cancelled, perhaps after the handler had its say: it may have succeeded, but it does not run again.
    let runs_again = matches!(settle, Settle::Retry { .. } | Settle::Snooze { .. } | Settle::HandBack);
    if runs_again && seat.slot.progress.has(Signal::Cancel) {
        settle = Settle::Cancel;
    }
    if state.phase == Phase::Closed {
        settle = outlived(settle, name_of_lease(core, state, lease), core);
    }
    Ending::new(settle, delay)
}

fn name_of_lease(core: &Core, state: &ChannelState, lease: Lease) -> Name {
    let (kind, name) = state.store.kind_of(lease);
    kind_name(core, kind, name)
}

/// Takes back what was claimed ahead and has not begun.
pub(super) fn take_back(state: &mut ChannelState) {
    while let Some(lease) = state.seats.steal() {
        put_back(state, lease);
    }
}

/// An attempt that never began waits again; nobody was told that it did not.
pub(super) fn put_back(state: &mut ChannelState, lease: Lease) {
    let settled = state.store.settle(lease, Settle::HandBack);
    debug_assert!(matches!(settled, Ok(Settled::Kept)), "{lease:?} was withdrawn");
}

/// What an attempt that ends after the report of shutdown comes to: nobody is left to run it again, or to take it.
fn outlived(settle: Settle, name: Name, core: &Core) -> Settle {
    let bury = |failure| Settle::Bury { name, reason: DeadReason::ShutDown, failure };
    match settle {
        Settle::Retry { failure, .. } => bury(failure),
        Settle::Snooze { .. } | Settle::HandBack => bury(Box::new(Failure {
            error: "interrupted after the queue was shut down".to_owned(),
            at: core.wall(),
        })),
        settle @ (Settle::Done | Settle::Cancel | Settle::Bury { .. }) => settle,
    }
}
