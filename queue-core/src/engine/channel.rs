//! A named queue: its configuration, and its state behind one lock.
//!
//! Pushing is in `push.rs`, what workers do is in `turn.rs`, shutdown in `closing.rs`; this file is what they share,
//! and what an application asks for by name or id.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use super::closing::Phase;
use super::durable::Writing;
use super::ids::Ids;
use super::inbox::{Inbox, Notes};
use super::pile::Pile;
use super::remote::give_ready_back;
use super::seats::Seats;
use super::settle::{put_back, take_back};
use super::waiters::Waiters;
use super::{Core, Effects};
use crate::dead::DeadJob;
use crate::event::{Event, JobInfo};
use crate::job::{JobId, Name};
use crate::progress::Signal;
use crate::registry::Kind;
use crate::retry::RetryPolicy;
use crate::store::{Counts, Dead, DeadLimits, Due, Remains, Store};
use crate::sync::{Mutex, MutexGuard};

pub(crate) struct Channel {
    pub(super) index: usize,
    pub(super) config: ChannelConfig,
    // Apart from each other: workers write the one while pushes go on in the other.
    pub(super) state: CachePadded<Mutex<ChannelState>>,
    /// Jobs that were accepted and are on their way into the store.
    pub(super) inbox: CachePadded<Inbox>,
}

/// The settings of a named queue, with nothing left to default.
#[derive(Debug)]
pub(crate) struct ChannelConfig {
    pub(crate) name: Name,
    pub(crate) workers: usize,
    pub(crate) limit: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout: Option<Duration>,
    pub(crate) capacity: usize,
    pub(crate) capacity_bytes: usize,
    pub(crate) dead: DeadLimits,
}

pub(super) struct ChannelState {
    pub(super) store: Store,
    /// What the inbox is emptied into.
    spare: Pile,
    pub(super) phase: Phase,
    pub(super) paused: bool,
    pub(super) waiters: Waiters,
    pub(super) seats: Seats,
    /// Workers that hold an attempt: never more than the limit.
    pub(super) busy: usize,
    /// What the board knows of this channel.
    pub(super) published: Option<Instant>,
    pub(super) totals: Totals,
    /// Jobs that shutdown gives back to the caller, or leaves in the journal.
    pub(super) taken: Vec<Remains>,
    /// Jobs that were written too late to be run, and stay in the journal.
    pub(super) kept: usize,
    /// Jobs that are on their way to the journal.
    pub(super) writing: Writing,
}

/// What became of the jobs so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) finished: u64,
    pub(crate) dead: u64,
    pub(crate) cancelled: u64,
}

/// What an application sees of a named queue's load.
pub(crate) struct Load {
    pub(crate) counts: Counts,
    pub(crate) dead: usize,
    pub(crate) workers: usize,
    pub(crate) paused: bool,
}

/// What [`Channel::cancel`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelling {
    Removed,
    Asked,
    NotFound,
}

/// What [`Channel::requeue`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requeueing {
    Requeued,
    NotFound,
    Full,
    Closed,
}

/// At most this many wheel items are handled per hold of the lock: about 50 µs.
const TEND_BUDGET: usize = 512;

impl Channel {
    pub(super) fn new(index: usize, config: ChannelConfig, epoch: Instant) -> Self {
        let store = Store::new(config.name.clone(), epoch, config.dead);
        let state = ChannelState {
            store,
            spare: Pile::default(),
            phase: Phase::Open,
            paused: false,
            waiters: Waiters::default(),
            seats: Seats::default(),
            busy: 0,
            published: None,
            totals: Totals::default(),
            taken: Vec::new(),
            kept: 0,
            writing: Writing::default(),
        };
        let inbox = CachePadded::new(Inbox::new(&notes(&config, &state)));
        Self { index, config, state: CachePadded::new(Mutex::new(state)), inbox }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.config.name
    }

    pub(crate) fn config(&self) -> &ChannelConfig {
        &self.config
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.locked();
        // What a worker has claimed ahead waits, and what it has done is done.
        let counts = state.store.counts();
        let counts = Counts { ready: counts.ready + state.seats.ahead(), running: state.busy, ..counts };
        Load { counts, dead: state.store.dead().len(), workers: state.seats.taken(), paused: state.paused }
    }

    /// Stops or resumes the starting of jobs; running ones are left alone.
    pub(crate) fn set_paused(&self, core: &Core, paused: bool) {
        self.with(core, |state, effects| {
            state.paused = paused;
            if paused {
                self.recall(core, state, effects);
                if core.is_remote() {
                    give_ready_back(state, effects);
                }
            }
            self.wake_workers(state, usize::MAX, effects);
            effects.closing = state.phase != Phase::Open;
        });
    }

    /// Sees to what is due at `now`; what it does not get done, it has the board call for again at once.
    pub(crate) fn tend(&self, core: &Core, now: Instant) {
        self.with(core, |state, effects| {
            let mut released = 0;
            let (store, seats) = (&mut state.store, &state.seats);
            store.advance(now, TEND_BUDGET, |due| match due {
                Due::Released => released += 1,
                Due::TimedOut { worker } => effects.tell(seats.raise(worker, Signal::TimedOut)),
            });
            self.wake_workers(state, released, effects);
            state.published = None;
            self.publish(core, state, effects);
        });
    }

    /// Removes a waiting job, or asks a running one to stop.
    pub(crate) fn cancel(&self, core: &Core, id: JobId) -> Cancelling {
        self.with(core, |state, effects| {
            if let Some((worker, lease)) = state.store.worker_of(id) {
                if state.seats.withdraw(worker, lease) {
                    // Its worker had not come to it: it still waited.
                    put_back(state, lease);
                } else {
                    let slot = state.seats.ask(worker, lease);
                    let answer = if slot.is_some() { Cancelling::Asked } else { Cancelling::NotFound };
                    effects.tell(slot);
                    return answer;
                }
            }
            let Some(remains) = state.store.cancel(id) else { return Cancelling::NotFound };
            state.totals.cancelled += 1;
            core.record(effects, || Event::Cancelled(self.info_of(core, &remains)));
            effects.drop_remains(remains);
            self.grant_room(state, effects);
            effects.closing = state.phase != Phase::Open;
            Cancelling::Removed
        })
    }

    pub(crate) fn dead_letters(&self) -> Vec<Arc<DeadJob>> {
        self.state.lock().store.dead().iter().cloned().collect()
    }

    pub(crate) fn clear_dead_letters(&self, core: &Core) -> Vec<Dead> {
        self.with(core, |state, _| {
            // What cannot be recorded any more would be there again in the next run.
            let is_over = core.is_durable() && state.phase == Phase::Closed;
            if is_over { Vec::new() } else { state.store.purge_dead() }
        })
    }

    /// Gives a dead letter another life.
    pub(crate) fn requeue(&self, core: &Core, id: JobId) -> Requeueing {
        self.with_inbox(core, |state, _, effects| {
            let Some(dead) = state.store.dead().find(id).cloned() else { return Requeueing::NotFound };
            if state.phase != Phase::Open {
                return Requeueing::Closed;
            }
            if !self.has_room(state, dead.payload.size()) {
                return Requeueing::Full;
            }
            state.store.requeue(id);
            core.record(effects, || Event::Requeued(self.info(dead.id, dead.name.clone(), 0)));
            self.wake_workers(state, 1, effects);
            Requeueing::Requeued
        })
    }

    /// The state, complete: with what lay in the inbox.
    pub(super) fn locked(&self) -> MutexGuard<'_, ChannelState> {
        let mut state = self.state.lock();
        self.sweep(&mut state);
        state
    }

    /// Runs `change` under the lock, and its effects after it.
    pub(super) fn with<T>(
        &self,
        core: &Core,
        change: impl FnOnce(&mut ChannelState, &mut Effects) -> T,
    ) -> T {
        let mut effects = Effects::default();
        let result = {
            let state = &mut *self.locked();
            let result = change(state, &mut effects);
            while self.wants_work(state) && !self.inbox.want() {
                self.sweep(state);
                self.wake_workers(state, usize::MAX, &mut effects);
            }
            if !self.wants_work(state) {
                self.inbox.unwant();
            }
            self.inbox.note(&notes(&self.config, state));
            self.hand_over(core, state, &mut effects);
            result
        };
        effects.run(core);
        result
    }

    /// As [`with`](Self::with), while nothing comes in: for whatever lets something in, or decides that nothing may.
    pub(super) fn with_inbox<T>(
        &self,
        core: &Core,
        change: impl FnOnce(&mut ChannelState, &mut Ids, &mut Effects) -> T,
    ) -> T {
        let mut effects = Effects::default();
        let result = self.change_with_inbox(core, &mut effects, change);
        effects.run(core);
        result
    }

    /// As [`with_inbox`](Self::with_inbox), but the caller runs the effects.
    pub(super) fn change_with_inbox<T>(
        &self,
        core: &Core,
        effects: &mut Effects,
        change: impl FnOnce(&mut ChannelState, &mut Ids, &mut Effects) -> T,
    ) -> T {
        let state = &mut *self.state.lock();
        let letters = &mut *self.inbox.lock();
        self.inbox.collect(letters, &mut state.store);
        let result = change(state, &mut letters.ids, effects);
        self.inbox.set_wanted(self.wants_work(state));
        self.inbox.note(&notes(&self.config, state));
        self.hand_over(core, state, effects);
        result
    }

    fn sweep(&self, state: &mut ChannelState) {
        let ChannelState { store, spare, .. } = state;
        self.inbox.sweep(spare, store);
    }

    /// Whether a push has to wake somebody.
    fn wants_work(&self, state: &ChannelState) -> bool {
        state.seats.has_idle()
            && state.phase == Phase::Open
            && !state.paused
            && state.busy < self.config.limit
    }

    /// Something became ready: what was claimed ahead of it goes back if it may have to wait for it, and up to `jobs` idle
    /// workers are woken, as far as the limit lets them start something.
    pub(super) fn wake_workers(&self, state: &mut ChannelState, jobs: usize, effects: &mut Effects) {
        if state.seats.is_ahead_of(state.store.ready_lanes()) {
            take_back(state);
        }
        if state.paused && state.phase == Phase::Open {
            return;
        }
        let room = self.config.limit.saturating_sub(state.busy);
        for _ in 0..jobs.min(room).min(state.store.counts().ready) {
            let Some(waker) = state.seats.rouse() else { return };
            effects.wake(waker);
        }
    }

    /// Tells the board when this channel is due, if that is earlier than it knows.
    pub(super) fn publish(&self, core: &Core, state: &mut ChannelState, effects: &mut Effects) {
        let Some(due) = state.store.next_due() else { return };
        if state.published.is_some_and(|published| published <= due) {
            return;
        }
        state.published = Some(due);
        core.board.publish(self.index, due, |waker| effects.wake(waker));
    }

    /// Whether one more job of this many bytes may come in: there is room beside what is granted, and nobody waits for
    /// it.
    pub(super) fn has_room(&self, state: &ChannelState, bytes: usize) -> bool {
        self.has_room_for(state, 1, bytes)
    }

    /// The same for several.
    pub(super) fn has_room_for(&self, state: &ChannelState, jobs: usize, bytes: usize) -> bool {
        state.waiters.is_empty() && self.fits(waiting(state), state.waiters.reserved(), jobs, bytes)
    }

    fn fits(&self, waiting: (usize, usize), reserved: (usize, usize), jobs: usize, bytes: usize) -> bool {
        let (all, all_bytes) = (waiting.0 + reserved.0, waiting.1 + reserved.1);
        all.saturating_add(jobs) <= self.config.capacity
            && all_bytes.saturating_add(bytes) <= self.config.capacity_bytes
    }

    /// Jobs have left: lets those in who wait for their room.
    pub(super) fn grant_room(&self, state: &mut ChannelState, effects: &mut Effects) {
        while !state.waiters.is_empty() {
            let waiting = waiting(state);
            let granted = state.waiters.grant(|reserved, bytes| self.fits(waiting, reserved, 1, bytes));
            let Some(waker) = granted else { return };
            effects.wake(waker);
        }
    }

    pub(super) fn info(&self, id: JobId, kind: Name, attempt: u32) -> JobInfo {
        JobInfo { id, kind, queue: self.config.name.clone(), attempt }
    }

    pub(super) fn info_of(&self, core: &Core, remains: &Remains) -> JobInfo {
        self.info(remains.id, name_of(core, remains), remains.attempt)
    }
}

/// What the inbox has to know.
fn notes(config: &ChannelConfig, state: &ChannelState) -> Notes {
    let is_open = state.phase == Phase::Open && state.waiters.is_empty();
    let room = is_open.then(|| {
        let (waiting, reserved) = (waiting(state), state.waiters.reserved());
        let room = config.capacity.saturating_sub(waiting.0 + reserved.0);
        (room, config.capacity_bytes.saturating_sub(waiting.1 + reserved.1))
    });
    Notes { room, ahead: state.seats.lanes_ahead() }
}

/// Jobs and bytes that wait, and those that might have to wait again.
fn waiting(state: &ChannelState) -> (usize, usize) {
    let (counts, ahead, writing) = (state.store.counts(), state.seats.claimed_ahead(), state.writing);
    (counts.waiting() + ahead.0 + writing.jobs, counts.waiting_bytes + ahead.1 + writing.bytes)
}

/// The name of the kind of a job that is gone.
pub(super) fn name_of(core: &Core, remains: &Remains) -> Name {
    kind_name(core, remains.kind, remains.extras.as_ref().and_then(|extras| extras.name.clone()))
}

/// The name of a kind, if the job does not bring its own.
pub(super) fn kind_name(core: &Core, kind: Kind, own: Option<Name>) -> Name {
    own.or_else(|| core.kind_name(kind)).unwrap_or_else(|| Name::from(format!("kind {}", kind.index())))
}
