//! When each channel is due next, and which timekeeper sees to it.
//!
//! Every thread (or runtime) that runs workers also runs a timekeeper. One of them leads: it sleeps until the earliest
//! deadline and tends the channels that are due. The others stand by: they sleep a little longer, and find the deadline
//! gone when they wake. If it is still there, the leader's thread is blocked by a handler, and who finds that takes over,
//! as another does when the leader's runtime ends. Channels publish a deadline here only when it is earlier than the one
//! they published before.

use std::collections::BTreeSet;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sync::{Mutex, ThreadId};

pub(crate) struct Board {
    state: Mutex<State>,
}

struct State {
    due: BTreeSet<(Instant, usize)>,
    published: Vec<Option<Instant>>,
    keepers: Vec<Keeper>,
    next_keeper: u64,
    /// The leading timekeeper. While there is none, every timekeeper has been woken: the first to attend leads.
    leader: Option<u64>,
}

struct Keeper {
    number: u64,
    scope: Option<ThreadId>,
    waker: Option<Waker>,
    /// When it wakes by itself.
    wakes_at: Option<Instant>,
}

/// What a timekeeper is to do.
#[derive(Debug)]
pub(crate) enum Attendance {
    /// Tend these channels, then ask again.
    Tend(Vec<usize>),
    /// There is nothing to do before this.
    Sleep(Option<Instant>),
}

/// How late the leader may be before another timekeeper takes over. Handlers that compute hold it up all the time, for
/// less than this if they mean well.
const PATIENCE: Duration = Duration::from_millis(20);

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

    /// Sets when a channel is due. Hands the wakers of those out who must wake earlier than they thought.
    pub(super) fn publish(&self, channel: usize, due: Instant, mut wake: impl FnMut(Waker)) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let earliest = state.due.first().map(|(due, _)| *due);
        if let Some(old) = state.published[channel].replace(due) {
            state.due.remove(&(old, channel));
        }
        state.due.insert((due, channel));
        if earliest.is_some_and(|earliest| earliest <= due) {
            return;
        }
        for keeper in &mut state.keepers {
            let wanted = keeper.wanted_at(due, state.leader);
            if keeper.wakes_at.is_none_or(|wakes_at| wanted.is_some_and(|wanted| wanted < wakes_at)) {
                keeper.waker.take().into_iter().for_each(&mut wake);
            }
        }
    }

    /// A timekeeper joins; there is one per scope.
    pub(crate) fn enlist(&self, scope: Option<ThreadId>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.keepers.iter().any(|keeper| keeper.scope == scope) {
            return None;
        }
        let number = state.next_keeper;
        state.next_keeper += 1;
        state.keepers.push(Keeper { number, scope, waker: None, wakes_at: None });
        Some(number)
    }

    /// A timekeeper leaves: its runtime ended. If it led, the others are woken, and the first to come takes over; the one
    /// that was woken alone might end, too, before it comes.
    pub(crate) fn resign(&self, number: u64) {
        {
            let mut state = self.state.lock();
            state.keepers.retain(|keeper| keeper.number != number);
            if state.leader != Some(number) {
                return;
            }
            state.leader = None;
        }
        self.wake_all();
    }

    /// What timekeeper `number` is to do at `now`; `waker` is woken when that changes.
    pub(crate) fn attend(&self, number: u64, now: Instant, waker: &Waker) -> Attendance {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(keeper) = state.keepers.iter_mut().find(|keeper| keeper.number == number) else {
            return Attendance::Sleep(None);
        };
        match &mut keeper.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        let is_late = |(due, _): &(Instant, usize)| now.saturating_duration_since(*due) >= PATIENCE;
        if state.leader.is_none() || state.due.first().is_some_and(is_late) {
            state.leader = Some(number);
        }
        let mut tend = Vec::new();
        if state.leader == Some(number) {
            while let Some((due, channel)) = state.due.first().copied().filter(|(due, _)| *due <= now) {
                state.due.remove(&(due, channel));
                state.published[channel] = None;
                tend.push(channel);
            }
        }
        let earliest = state.due.first().map(|(due, _)| *due);
        keeper.wakes_at = earliest.and_then(|due| keeper.wanted_at(due, state.leader));
        if tend.is_empty() { Attendance::Sleep(keeper.wakes_at) } else { Attendance::Tend(tend) }
    }

    /// Wakes every timekeeper, to find that the queue is closed.
    pub(super) fn dismiss(&self) {
        self.wake_all();
    }

    fn wake_all(&self) {
        let wakers: Vec<_> =
            self.state.lock().keepers.iter_mut().filter_map(|keeper| keeper.waker.take()).collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Keeper {
    /// When it should wake for a deadline.
    fn wanted_at(&self, due: Instant, leader: Option<u64>) -> Option<Instant> {
        if leader == Some(self.number) { Some(due) } else { due.checked_add(PATIENCE) }
    }
}
