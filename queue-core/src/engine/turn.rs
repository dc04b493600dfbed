//! What workers do: take a seat, settle and claim in one step, leave.
//!
//! While jobs are short and many wait, a worker claims a batch of them and takes the lock once for all. A batch goes on
//! only as long as its attempts succeed at the first poll; whatever else happens, and whenever the worker gives its
//! thread back, what has not begun goes back to the front of the queue. Until it has begun, a job of a batch can be
//! cancelled, and a worker that finds nothing else to do takes it over, so none waits behind a slow one while somebody
//! is idle.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelState, kind_name};
use super::closing::Phase;
use super::seats::{Idle, Scope};
use super::{Core, Effects};
use crate::event::Event;
use crate::slot::Slot;
use crate::store::{Claim, Leftovers, Settle};
use crate::unwind::drop_quietly;

/// A worker's place in a channel.
pub(crate) struct Seat {
    pub(crate) worker: u32,
    pub(crate) slot: Arc<Slot>,
}

impl Seat {
    /// Tells the watchers of an attempt that is over, if there are any. Not under a lock.
    fn tell(&self, watched: bool) {
        if watched {
            self.slot.tell_watchers();
        }
    }
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

    pub(super) fn into_parts(self) -> (Settle, Duration) {
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
    /// What was claimed, in places that are used again: those before `next` have begun, those from `end` on are vacant.
    claims: Vec<Claim>,
    next: usize,
    end: usize,
    /// How many to claim at once, while many wait.
    pub(crate) appetite: usize,
    /// The last attempts were done at their first poll, and in little time.
    pub(crate) is_quick: bool,
    /// More than one was claimed, and what of it the worker need not have to itself has not gone back.
    pub(super) is_long: bool,
    /// An attempt of it had to wait.
    pub(crate) has_waited: bool,
    /// What settled jobs leave behind, to be dropped outside of the lock.
    pub(super) leftovers: Vec<Leftovers>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            claims: Vec::new(),
            next: 0,
            end: 0,
            appetite: 1,
            is_quick: false,
            is_long: false,
            has_waited: false,
            leftovers: Vec::new(),
        }
    }

    /// Whether its worker has something in hand besides the current attempt.
    pub(crate) fn is_long(&self) -> bool {
        self.is_long
    }

    /// Whether all has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// Goes on to the next claim, which is the current one from now on.
    pub(crate) fn advance(&mut self) -> Option<&mut Claim> {
        if self.is_empty() {
            return None;
        }
        self.next += 1;
        Some(self.current())
    }

    /// The claim whose attempt has begun.
    pub(crate) fn current(&mut self) -> &mut Claim {
        &mut self.claims[self.next - 1]
    }

    /// Lets go of the next claim, which is not run. Not under a lock.
    pub(crate) fn skip(&mut self) {
        if self.advance().is_some() {
            self.let_go();
        }
    }

    /// Lets go of the current claim, which is not run. Not under a lock.
    pub(crate) fn let_go(&mut self) {
        let claim = self.current();
        claim.payload.take();
        if let Some(extras) = claim.extras.take() {
            drop_quietly(extras);
        }
    }

    /// Lets go of all that has not begun, and says how much that was. Not under a lock.
    fn give_back(&mut self) -> usize {
        let given_back = self.end - self.next;
        while !self.is_empty() {
            self.skip();
        }
        given_back
    }

    /// Drops what was settled. Not under a lock.
    fn clean(&mut self) {
        // Most often there is nothing, and to begin and end a drain takes 90 instructions.
        if self.leftovers.is_empty() {
            return;
        }
        for (payload, extras) in self.leftovers.drain(..) {
            drop(payload);
            if extras.is_some() {
                drop_quietly(extras);
            }
        }
    }

    /// A place for one more.
    fn place(&mut self) -> &mut Claim {
        if self.end == self.claims.len() {
            self.claims.push(Claim::vacant());
        }
        self.end += 1;
        &mut self.claims[self.end - 1]
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
        batch.give_back();
        let (turn, watched) = self.with(core, |state, effects| {
            state.seats.unpark(seat.worker);
            let watched = ending.is_some_and(|ending| self.end(core, state, seat, ending, batch, effects));
            (self.claim(core, state, seat, batch, waker, effects), watched)
        });
        batch.clean();
        seat.tell(watched);
        turn
    }

    /// Settles the attempt that is over and claims nothing: the worker has used up its time slice.
    pub(crate) fn finish(&self, core: &Core, seat: &Seat, ending: Ending, batch: &mut Batch) {
        let given_back = batch.give_back();
        let watched = self.with(core, |state, effects| {
            let watched = self.end(core, state, seat, ending, batch, effects);
            // Besides what is given back: its place is free, and its thread may be busy with something else next.
            self.wake_workers(state, given_back.max(1), effects);
            watched
        });
        batch.clean();
        seat.tell(watched);
    }

    /// The current attempt has to wait: the rest of its batch must not. Lets it run until `deadline`.
    pub(crate) fn wait(&self, core: &Core, seat: &Seat, deadline: Option<Instant>, batch: &mut Batch) {
        let given_back = batch.give_back();
        self.with(core, |state, effects| {
            let current = self.settle_batch(core, state, seat, batch, effects);
            seat.slot.progress.cut_batch();
            if let (Some(lease), Some(deadline)) = (current, deadline) {
                state.store.arm(lease, deadline);
                self.publish(core, state, effects);
            }
            self.wake_workers(state, given_back, effects);
        });
        batch.clean();
    }

    /// The worker is gone. An attempt it held is handed back, and a wake-up it may have been sent is passed on.
    pub(crate) fn leave(&self, core: &Core, seat: &Seat, batch: &mut Batch) {
        let given_back = batch.give_back();
        let watched = self.with(core, |state, effects| {
            let watched = self.end(core, state, seat, Ending::HandBack, batch, effects);
            state.seats.leave(seat.worker);
            self.wake_workers(state, given_back.max(1), effects);
            core.record(effects, || Event::WorkerStopped { queue: self.config.name.clone() });
            effects.closing = state.phase != Phase::Open;
            watched
        });
        batch.clean();
        seat.tell(watched);
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
        let may_start = !state.paused && !core.is_out() && state.busy < self.config.limit;
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
        // Which of several priorities is next is decided one by one, who watches is told of every start in time, and only
        // what runs may be recorded as running.
        let share = if batch.appetite == 1
            || is_observed
            || core.is_durable()
            || !state.store.ready_lanes().is_power_of_two()
        {
            1
        } else {
            batch.appetite.min(state.store.counts().ready / state.seats.taken()).max(1)
        };
        (batch.next, batch.end) = (0, 0);
        for _ in 0..share {
            let lease = state.store.claim(seat.worker).or_else(|| {
                // Nothing waits; does a worker hold more than it runs?
                let lease = state.seats.steal()?;
                state.store.take_over(lease, seat.worker)
            });
            let Some(lease) = lease else { break };
            let claim = batch.place();
            state.store.hand_out(lease, claim);
            if is_observed {
                let own_name = claim.extras.as_ref().and_then(|extras| extras.name.clone());
                let kind = kind_name(core, claim.kind, own_name);
                core.record(effects, || Event::Started(self.info(lease.id, kind, lease.attempt)));
            }
        }
        batch.is_long = batch.end > 1;
        if batch.end == 0 {
            return false;
        }
        state.seats.lease(seat.worker, &batch.claims[..batch.end]);
        true
    }
}
