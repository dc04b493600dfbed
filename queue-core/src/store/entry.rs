//! One job as the store holds it: 88 bytes, payload included when it is small.

use super::slab::{NONE, Record};
use super::transition::State;
use super::wheel::Place;
use super::{Failure, Lease};
use crate::dead::AttemptError;
use crate::job::{JobId, Name, Overrides, Priority};
use crate::payload::Payload;
use crate::registry::Kind;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: JobId,
    pub(crate) payload: Payload,
    /// What few jobs have, so that the others do not pay for it.
    pub(crate) extras: Option<Box<Extras>>,
    /// The number of the next or current attempt, from 0.
    pub(crate) attempt: u32,
    /// Ready: next and previous in the lane, or nothing and the rank if it came back. Delayed, or running with a timeout:
    /// place in the wheel. Running without a timeout: the worker and the rank. Vacant: the next vacant record.
    link: [u32; 2],
    tag: Tag,
}

/// The rare parts of a job.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// The name of a kind that was not registered when the job was pushed.
    pub(crate) name: Option<Name>,
    pub(crate) overrides: Option<Box<Overrides>>,
    pub(crate) history: Vec<AttemptError>,
}

impl Extras {
    /// What a worker needs of them, if there is any of it.
    pub(crate) fn for_worker(&self) -> Option<Box<Self>> {
        let Self { name, overrides, .. } = self;
        let is_needed = name.is_some() || overrides.is_some();
        is_needed
            .then(|| Box::new(Self { name: name.clone(), overrides: overrides.clone(), history: Vec::new() }))
    }
}

/// The errors of this many attempts are kept, the latest: a job that is retried for ever must not grow for ever.
pub(crate) const HISTORY_LIMIT: usize = 100;

impl Entry {
    pub(crate) fn new(id: JobId, kind: Kind, priority: Priority, payload: Payload) -> Self {
        Self { id, payload, extras: None, attempt: 0, link: [NONE; 2], tag: Tag::new(kind, priority) }
    }

    /// The last one of its lane.
    pub(crate) fn ready(id: JobId, kind: Kind, priority: Priority, payload: Payload, previous: u32) -> Self {
        let mut entry = Self::new(id, kind, priority, payload);
        entry.set_state(State::Ready);
        entry.set_neighbours(NONE, previous);
        entry
    }

    /// Fills a vacant record with a ready job, piece by piece where it stays: what is moved just after it was put together has
    /// to reach the cache first.
    #[inline]
    pub(crate) fn fill(&mut self, id: JobId, kind: Kind, priority: Priority, payload: &mut Payload) {
        debug_assert!(self.extras.is_none(), "the record is not vacant");
        self.id = id;
        self.payload.take_from(payload);
        self.attempt = 0;
        self.tag = Tag::new(kind, priority);
        self.tag.set_state(State::Ready);
    }

    pub(crate) fn kind(&self) -> Kind {
        self.tag.kind()
    }

    pub(crate) fn priority(&self) -> Priority {
        self.tag.priority()
    }

    pub(crate) fn state(&self) -> State {
        self.tag.state()
    }

    pub(crate) fn set_state(&mut self, state: State) {
        self.tag.set_state(state);
    }

    /// Whether a running job has a deadline in the wheel.
    pub(crate) fn is_armed(&self) -> bool {
        self.tag.is_marked()
    }

    pub(crate) fn set_armed(&mut self, armed: bool) {
        self.tag.set_marked(armed);
    }

    /// Whether a ready job was taken and put back.
    pub(crate) fn is_returned(&self) -> bool {
        self.tag.is_marked()
    }

    pub(crate) fn set_returned(&mut self, returned: bool) {
        self.tag.set_marked(returned);
    }

    pub(crate) fn next(&self) -> u32 {
        self.link[0]
    }

    pub(crate) fn set_next(&mut self, key: u32) {
        self.link[0] = key;
    }

    pub(crate) fn set_neighbours(&mut self, next: u32, previous: u32) {
        self.link = [next, previous];
    }

    pub(crate) fn previous(&self) -> u32 {
        self.link[1]
    }

    pub(crate) fn set_previous(&mut self, key: u32) {
        self.link[1] = key;
    }

    /// The right to settle its current attempt.
    #[inline]
    pub(super) fn lease(&self, key: u32) -> Lease {
        Lease { key, id: self.id, attempt: self.attempt }
    }

    /// Whether this lease is the right to settle it.
    pub(super) fn is_held_by(&self, lease: Lease) -> bool {
        self.id == lease.id && self.attempt == lease.attempt && self.state() == State::Running
    }

    pub(crate) fn place(&self) -> Place {
        Place { slot: self.link[0], position: self.link[1] }
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.link = [place.slot, place.position];
    }

    /// The worker of a running job without a timeout.
    pub(crate) fn worker(&self) -> u32 {
        self.link[0]
    }

    pub(crate) fn set_worker(&mut self, worker: u32) {
        self.link[0] = worker;
    }

    /// Where a job stood in its lane that was taken out of it: see [`Lanes`](super::lanes::Lanes).
    pub(crate) fn rank(&self) -> u32 {
        self.link[1]
    }

    pub(crate) fn set_rank(&mut self, rank: u32) {
        self.link[1] = rank;
    }

    pub(crate) fn remember(&mut self, failure: Failure) {
        let Failure { error, at } = failure;
        let attempt = self.attempt;
        let history = &mut self.extras.get_or_insert_default().history;
        if history.len() == HISTORY_LIMIT {
            history.remove(0);
        }
        history.push(AttemptError { attempt, error, at });
    }
}

impl Record for Entry {
    fn vacant() -> Self {
        Self::new(JobId::new(0), Kind::UNKNOWN, Priority::default(), Payload::empty())
    }

    fn vacate(&mut self, next: u32) {
        self.link[0] = next;
        self.set_state(State::Gone);
    }

    fn next_vacant(&self) -> u32 {
        self.link[0]
    }
}

/// Kind, priority, state and a mark in one word. The mark is free to mean something else in every state.
#[derive(Clone, Copy, Debug)]
struct Tag(u32);

const PRIORITY_SHIFT: u32 = Kind::BITS;
const STATE_SHIFT: u32 = PRIORITY_SHIFT + 4;
const MARK: u32 = 1 << 31;

impl Tag {
    fn new(kind: Kind, priority: Priority) -> Self {
        Self(kind.index() | u32::from(priority.level()) << PRIORITY_SHIFT)
    }

    fn kind(self) -> Kind {
        Kind::from_index(self.0 & Kind::UNKNOWN.index())
    }

    fn priority(self) -> Priority {
        Priority::saturating((self.0 >> PRIORITY_SHIFT & 0xf) as u8)
    }

    fn state(self) -> State {
        match self.0 >> STATE_SHIFT & 0x7 {
            0 => State::Delayed,
            1 => State::Ready,
            2 => State::Running,
            3 => State::Dead,
            _ => State::Gone,
        }
    }

    fn set_state(&mut self, state: State) {
        self.0 = self.0 & !(0x7 << STATE_SHIFT) | (state as u32) << STATE_SHIFT;
    }

    fn is_marked(self) -> bool {
        self.0 & MARK != 0
    }

    fn set_marked(&mut self, marked: bool) {
        self.0 = if marked { self.0 | MARK } else { self.0 & !MARK };
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const STATES: [State; 5] = [State::Delayed, State::Ready, State::Running, State::Dead, State::Gone];

    #[test]
    fn an_entry_is_88_bytes() {
        assert_eq!(size_of::<Entry>(), 88);
    }

    #[test]
    fn the_parts_of_a_tag_do_not_touch_each_other() {
        for kind in [Kind::from_index(0), Kind::from_index(1234), Kind::UNKNOWN] {
            for priority in [Priority::HIGHEST, Priority::NORMAL, Priority::LOWEST] {
                let mut entry = Entry::new(JobId::new(7), kind, priority, Payload::empty());
                for state in STATES {
                    for armed in [true, true, false, false] {
                        entry.set_state(state);
                        entry.set_armed(armed);
                        assert_eq!(
                            (entry.kind(), entry.priority(), entry.state(), entry.is_armed()),
                            (kind, priority, state, armed)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_history_of_a_job_is_bounded() {
        let mut entry = Entry::new(JobId::new(7), Kind::UNKNOWN, Priority::NORMAL, Payload::empty());
        for attempt in 0..150 {
            entry.attempt = attempt;
            entry.remember(Failure { error: format!("error {attempt}"), at: SystemTime::UNIX_EPOCH });
        }
        let history = &entry.extras.as_ref().unwrap().history;
        assert_eq!(history.len(), HISTORY_LIMIT);
        assert_eq!((history[0].attempt, history[99].attempt), (50, 149));
    }
}
