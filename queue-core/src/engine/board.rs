//! When each channel is due next, and which timekeeper sees to it.
//!
//! Every thread (or runtime) that runs workers also runs a timekeeper. One of them leads: it sleeps until the earliest
//! deadline and tends the channels that are due. The others stand by at no cost, and the next takes over when the
//! leader's runtime ends. Channels publish a deadline here only when it is earlier than the one they published before.

use std::collections::BTreeSet;
use std::task::Waker;
use std::thread::ThreadId;
use std::time::Instant;

use parking_lot::Mutex;

pub(crate) struct Board {
    state: Mutex<State>,
}

struct State {
    due: BTreeSet<(Instant, usize)>,
    published: Vec<Option<Instant>>,
    keepers: Vec<Keeper>,
    next_keeper: u64,
    /// The leading timekeeper.
    leader: Option<u64>,
}

struct Keeper {
    number: u64,
    scope: Option<ThreadId>,
    waker: Option<Waker>,
}

/// What a timekeeper is to do.
#[derive(Debug)]
pub(crate) enum Attendance {
    /// Another one leads.
    StandBy,
    /// Tend these channels, then ask again.
    Tend(Vec<usize>),
    /// Nothing is due before this.
    Sleep(Option<Instant>),
}

impl Board {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            state: Mutex::new(State {
                due: BTreeSet::new(),
                published: vec![None; channels],
                keepers: Vec::new(),
                next_keeper: 0,
                leader: None,
            }),
        }
    }

    /// Sets when a channel is due. Gives back the leader's waker if it must wake earlier than it thought.
    pub(super) fn publish(&self, channel: usize, due: Option<Instant>) -> Option<Waker> {
        let mut state = self.state.lock();
        let earliest = state.due.first().map(|(due, _)| *due);
        if let Some(old) = std::mem::replace(&mut state.published[channel], due) {
            state.due.remove(&(old, channel));
        }
        let due = due?;
        state.due.insert((due, channel));
        if earliest.is_some_and(|earliest| earliest <= due) {
            return None;
        }
        let leader = state.leader?;
        state.keepers.iter_mut().find(|keeper| keeper.number == leader)?.waker.take()
    }

    /// A timekeeper joins; there is one per scope.
    pub(crate) fn enlist(&self, scope: Option<ThreadId>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.keepers.iter().any(|keeper| keeper.scope == scope) {
            return None;
        }
        let number = state.next_keeper;
        state.next_keeper += 1;
        state.keepers.push(Keeper { number, scope, waker: None });
        Some(number)
    }

    /// A timekeeper leaves: its runtime ended. If it led, another one is woken to take over.
    pub(crate) fn resign(&self, number: u64) {
        let successor = {
            let mut state = self.state.lock();
            state.keepers.retain(|keeper| keeper.number != number);
            if state.leader != Some(number) {
                return;
            }
            state.leader = None;
            state.keepers.iter_mut().find_map(|keeper| keeper.waker.take())
        };
        if let Some(successor) = successor {
            successor.wake();
        }
    }

    /// What timekeeper `number` is to do at `now`; `waker` is woken when that changes.
    pub(crate) fn attend(&self, number: u64, now: Instant, waker: &Waker) -> Attendance {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some(keeper) = state.keepers.iter_mut().find(|keeper| keeper.number == number) {
            match &mut keeper.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
        if *state.leader.get_or_insert(number) != number {
            return Attendance::StandBy;
        }
        let mut tend = Vec::new();
        while let Some((due, channel)) = state.due.first().copied().filter(|(due, _)| *due <= now) {
            state.due.remove(&(due, channel));
            state.published[channel] = None;
            tend.push(channel);
        }
        if tend.is_empty() {
            return Attendance::Sleep(state.due.first().map(|(due, _)| *due));
        }
        Attendance::Tend(tend)
    }

    /// Wakes every timekeeper, to find that the queue is closed.
    pub(super) fn dismiss(&self) {
        let wakers: Vec<_> =
            self.state.lock().keepers.iter_mut().filter_map(|keeper| keeper.waker.take()).collect();
        for waker in wakers {
            waker.wake();
        }
    }
}
