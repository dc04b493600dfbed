//! What becomes of a worker's batch when it is over: success on a short path, everything else in full.

use std::time::Duration;

use super::channel::{Channel, ChannelState, kind_name};
use super::closing::Phase;
use super::seats::{Standing, standing};
use super::turn::{Batch, Ending, Seat};
use super::{Core, Effects};
use crate::dead::DeadReason;
use crate::event::Event;
use crate::job::Name;
use crate::progress::Signal;
use crate::store::{Failure, Lease, Leftovers, Settle, Settled};

impl Channel {
    /// Settles a worker's batch, its current attempt included. Returns whether there are watchers to tell.
    pub(super) fn end(
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
    pub(super) fn settle_batch(
        &self,
        core: &Core,
        state: &mut ChannelState,
        seat: &Seat,
        batch: &mut Batch,
        effects: &mut Effects,
    ) -> Option<Lease> {
        let (first, mut leases) = state.seats.begin_settle(seat.worker);
        // The worker is here, so it goes on nowhere else.
        let progress = seat.slot.progress.view();
        let mut current = None;
        let mut ahead = leases.len();
        for (index, lease) in leases.iter().enumerate() {
            match standing(progress, first + index as u64) {
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
            if standing(progress, first + index as u64) == Standing::Ahead {
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
    #[inline]
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
        if state.store.complete(lease, leftovers).is_err() {
            return;
        }
        state.totals.finished += 1;
        if let Some(event) = event {
            core.record(effects, || event);
        }
    }

    /// Settles one attempt. It may have been settled by shutdown, which knew that it was done: then nothing changes.
    fn settle(
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
                // The dead letters of a remote store are there.
                for dead in evicted.iter().filter(|_| !core.is_remote()) {
                    let job = &dead.job;
                    core.record(effects, || {
                        Event::DeadLetterEvicted(self.info(job.id, job.name.clone(), job.attempts))
                    });
                }
                effects.drop_dead(evicted);
            }
            Settled::Kept if core.is_remote() => {
                // It waits there, and whoever is free next has it.
                if let Some(remains) = state.store.take(lease.id) {
                    effects.drop_remains(remains);
                }
                state.kept += usize::from(state.phase != Phase::Open);
            }
            Settled::Kept if state.phase != Phase::Open => {
                match state.store.take(lease.id) {
                    // The report is made; the journal has the job.
                    Some(remains) if state.phase == Phase::Closed => effects.drop_remains(remains),
                    taken => self.hand_back(core, state, taken.into_iter().collect(), effects),
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
            self.settle_done(core, state, lease, &mut leftovers, effects);
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
    // In a journal the job stays what it is, for the next process.
    if state.phase == Phase::Closed && !core.is_durable() {
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
