//! What workers do: take a seat, settle and claim in one step, leave.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::channel::{Channel, ChannelState, Idle, Scope, name_of};
use super::closing::Phase;
use super::{Core, Effects};
use crate::dead::DeadReason;
use crate::event::Event;
use crate::job::Name;
use crate::slot::{Signal, Slot};
use crate::store::{Claim, Failure, Lease, Leftovers, Settle, Settled};
use crate::unwind::drop_quietly;

/// A worker's place in a channel.
pub(crate) struct Seat {
    pub(crate) worker: u32,
    pub(crate) slot: Arc<Slot>,
}

/// An attempt that is over.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) lease: Lease,
    /// The kind.
    pub(crate) name: Name,
    pub(crate) settle: Settle,
    /// How long a retry or snooze waits.
    pub(crate) delay: Duration,
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Run the job that was claimed.
    Run,
    /// Wait: the worker's waker is kept.
    Idle,
    /// Leave: the queue is shut down.
    Stop,
}

/// The workers of a channel.
#[derive(Default)]
pub(super) struct Seats {
    workers: Vec<Option<Worker>>,
    /// Idle workers, the latest last: it is woken first, while its memory is still warm.
    idle: Vec<Idle>,
}

struct Worker {
    slot: Arc<Slot>,
    scope: Scope,
    is_idle: bool,
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

    /// Settles the attempt that is over, if any, and claims the next job for the same worker, into `claim`.
    pub(crate) fn turn(
        &self,
        core: &Core,
        seat: &Seat,
        ending: Option<Ending>,
        claim: &mut Option<Claim>,
        waker: &Waker,
    ) -> Turn {
        let settled = ending.is_some();
        let (turn, leftovers) = self.with(core, |state, effects| {
            state.seats.unpark(seat.worker);
            let leftovers = ending.and_then(|ending| self.settle(core, state, seat, ending, effects));
            (self.claim(core, state, seat, claim, waker, effects), leftovers)
        });
        drop_leftovers(leftovers);
        if settled {
            seat.slot.tell_watchers();
        }
        turn
    }

    /// Settles the attempt that is over and claims nothing: the worker has used up its time slice.
    pub(crate) fn finish(&self, core: &Core, seat: &Seat, ending: Ending) {
        let leftovers = self.with(core, |state, effects| self.settle(core, state, seat, ending, effects));
        drop_leftovers(leftovers);
        seat.slot.tell_watchers();
    }

    /// Lets the attempt run until `deadline`.
    pub(crate) fn arm(&self, core: &Core, lease: Lease, deadline: Instant) {
        self.with(core, |state, effects| {
            state.store.arm(lease, deadline);
            self.publish(core, state, effects);
        });
    }

    /// The worker is gone. An attempt it held is handed back, and a wake-up it may have been sent is passed on.
    pub(crate) fn leave(&self, core: &Core, seat: &Seat, ending: Option<Ending>) {
        let settled = ending.is_some();
        let leftovers = self.with(core, |state, effects| {
            let leftovers = ending.and_then(|ending| self.settle(core, state, seat, ending, effects));
            state.seats.leave(seat.worker);
            self.wake_workers(state, 1, effects);
            core.record(effects, || Event::WorkerStopped { queue: self.config.name.clone() });
            effects.closing = state.phase != Phase::Open;
            leftovers
        });
        drop_leftovers(leftovers);
        if settled {
            seat.slot.tell_watchers();
        }
    }

    fn claim(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        claimed: &mut Option<Claim>,
        waker: &Waker,
        effects: &mut Effects,
    ) -> Turn {
        match state.phase {
            Phase::Open => {}
            Phase::Draining if state.store.has_ready() && !state.paused => {}
            Phase::Draining | Phase::Cancelling | Phase::Closed => return Turn::Stop,
        }
        if !state.paused && state.busy < self.config.limit {
            *claimed = state.store.claim(seat.worker);
        }
        let Some(claim) = claimed else {
            state.seats.park(Idle { worker: seat.worker, waker: waker.clone() });
            return Turn::Idle;
        };
        state.busy += 1;
        // Work is left behind: the next idle worker is woken, and wakes the one after.
        self.wake_workers(state, 1, effects);
        self.grant_room(state, effects);
        core.record(effects, || {
            let kind = claim.name.clone().or_else(|| core.kind_name(claim.kind));
            Event::Started(self.info(claim.lease.id, kind.unwrap_or_else(|| "".into()), claim.lease.attempt))
        });
        Turn::Run
    }

    fn settle(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        mut ending: Ending,
        effects: &mut Effects,
    ) -> Option<Leftovers> {
        state.busy -= 1;
        // Cancelled, perhaps after the handler had its say: it may have succeeded, but it does not run again.
        let runs_again =
            matches!(ending.settle, Settle::Retry { .. } | Settle::Snooze { .. } | Settle::HandBack);
        if runs_again && seat.slot.has(Signal::Cancel) {
            ending.settle = Settle::Cancel;
        }
        seat.slot.end_attempt();
        if state.phase == Phase::Closed {
            ending.settle = outlived(ending.settle, &ending.name, core);
        }
        let event = core.events.any().then(|| self.event_of(&ending));
        match &ending.settle {
            Settle::Done => state.totals.finished += 1,
            Settle::Cancel => state.totals.cancelled += 1,
            Settle::Bury { .. } => state.totals.dead += 1,
            Settle::Retry { .. } | Settle::Snooze { .. } | Settle::HandBack => {}
        }
        let lease = ending.lease;
        // A worker settles its own claim, once, so in memory no lease is ever stale; a stale one changes nothing.
        let Ok(settled) = state.store.settle(lease, ending.settle) else {
            debug_assert!(false, "{lease:?} is settled once");
            return None;
        };
        if let Some(event) = event {
            core.record(effects, || event);
        }
        effects.closing = state.phase != Phase::Open;
        match settled {
            Settled::Gone(leftovers) => return Some(leftovers),
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
        None
    }

    fn event_of(&self, ending: &Ending) -> Event {
        let job = self.info(ending.lease.id, ending.name.clone(), ending.lease.attempt);
        let delay = ending.delay;
        match &ending.settle {
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

/// Most jobs leave nothing, and few something of the user's.
fn drop_leftovers(leftovers: Option<Leftovers>) {
    if let Some((_, Some(extras))) = leftovers {
        drop_quietly(extras);
    }
}

/// What an attempt that ends after the report of shutdown comes to: nobody is left to run it again, or to take it.
fn outlived(settle: Settle, name: &Name, core: &Core) -> Settle {
    let bury = |failure| Settle::Bury { name: name.clone(), reason: DeadReason::ShutDown, failure };
    match settle {
        Settle::Retry { failure, .. } => bury(failure),
        Settle::Snooze { .. } | Settle::HandBack => bury(Box::new(Failure {
            error: "interrupted after the queue was shut down".to_owned(),
            at: core.wall(),
        })),
        settle @ (Settle::Done | Settle::Cancel | Settle::Bury { .. }) => settle,
    }
}

impl Seats {
    pub(super) fn taken(&self) -> usize {
        self.workers.iter().flatten().count()
    }

    pub(super) fn slot(&self, worker: u32) -> Option<&Arc<Slot>> {
        self.workers.get(worker as usize)?.as_ref().map(|worker| &worker.slot)
    }

    /// Takes the latest idle worker off the list, to be woken.
    pub(super) fn rouse(&mut self) -> Option<Waker> {
        let Idle { worker, waker } = self.idle.pop()?;
        if let Some(worker) = &mut self.workers[worker as usize] {
            worker.is_idle = false;
        }
        Some(waker)
    }

    fn in_scope(&self, scope: Scope) -> usize {
        self.workers.iter().flatten().filter(|worker| worker.scope == scope).count()
    }

    fn take(&mut self, slot: Arc<Slot>, scope: Scope) -> u32 {
        let worker = Some(Worker { slot, scope, is_idle: false });
        let free = self.workers.iter().position(Option::is_none);
        let index = free.unwrap_or(self.workers.len());
        if index == self.workers.len() {
            self.workers.push(worker);
        } else {
            self.workers[index] = worker;
        }
        u32::try_from(index).expect("workers are bounded by the configuration")
    }

    fn leave(&mut self, worker: u32) {
        self.unpark(worker);
        self.workers[worker as usize] = None;
    }

    fn park(&mut self, idle: Idle) {
        if let Some(worker) = &mut self.workers[idle.worker as usize] {
            worker.is_idle = true;
            self.idle.push(idle);
        }
    }

    /// A worker is back: roused, or polled for no reason.
    fn unpark(&mut self, number: u32) {
        let Some(worker) = &mut self.workers[number as usize] else { return };
        if std::mem::take(&mut worker.is_idle) {
            self.idle.retain(|idle| idle.worker != number);
        }
    }
}
