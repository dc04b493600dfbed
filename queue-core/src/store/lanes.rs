//! The ready jobs of a named queue: one first-in-first-out lane per priority, linked through the entries.
//!
//! A job that is put back stands as if it had never been taken: before all that never was, and among those that were put
//! back in the order in which they stood. That is the order in which they were first taken, so each is given a rank then,
//! and keeps it until it leaves for good or enters a lane anew.
//!
//! The most urgent lane goes first, and ageing keeps it from starving the others: whenever a job is taken, every
//! less urgent lane with something in it has been passed over once more, and a lane that was passed over
//! [`PATIENCE`] times goes next. Ageing by turns instead of by time needs no clock, and holds up when it matters:
//! with ageing by time, a backlog older than a few steps is all equally urgent, and priorities mean nothing just
//! when the queue is overloaded.

use std::collections::VecDeque;

use super::entry::Entry;
use super::slab::{NONE, Slab};
use crate::job::Priority;

/// How often a lane is passed over before it gets a turn: a starved priority still has one start in 33.
pub(crate) const PATIENCE: u16 = 32;

const LANES: usize = Priority::LEVELS;

#[derive(Debug)]
pub(crate) struct Lanes {
    /// Bit n: lane n has something in it.
    occupied: u16,
    by_level: [Lane; LANES],
    /// The rank of the next job that is taken for the first time.
    next_rank: u32,
}

#[derive(Debug)]
struct Lane {
    /// What was put back, by rank. It stands before the others, and is not linked.
    returned: VecDeque<u32>,
    head: u32,
    tail: u32,
    passed_over: u16,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        let lane = || Lane { returned: VecDeque::new(), head: NONE, tail: NONE, passed_over: 0 };
        Self { occupied: 0, by_level: std::array::from_fn(|_| lane()), next_rank: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    pub(crate) fn occupied(&self) -> u16 {
        self.occupied
    }

    /// Appends a job to its lane.
    #[inline]
    pub(crate) fn push_back(&mut self, key: u32, entries: &mut Slab<Entry>) {
        let entry = &mut entries[key];
        let priority = entry.priority();
        entry.set_neighbours(NONE, self.tail(priority));
        self.extend(priority, key, entries);
    }

    /// The last job of a lane.
    #[inline]
    pub(crate) fn tail(&self, priority: Priority) -> u32 {
        self.by_level[usize::from(priority.level())].tail
    }

    /// Appends a job that knows its neighbours: nothing, and the last job so far.
    #[inline]
    pub(crate) fn extend(&mut self, priority: Priority, key: u32, entries: &mut Slab<Entry>) {
        let number = usize::from(priority.level());
        self.occupied |= 1 << number;
        let lane = &mut self.by_level[number];
        match std::mem::replace(&mut lane.tail, key) {
            NONE => lane.head = key,
            previous => entries[previous].set_next(key),
        }
    }

    /// Puts a job that was taken back where it stood.
    pub(crate) fn put_back(&mut self, key: u32, entries: &mut Slab<Entry>) {
        let rank = entries[key].rank();
        let lane = self.enter(key, entries);
        let place = lane.returned.partition_point(|other| is_before(entries[*other].rank(), rank));
        lane.returned.insert(place, key);
        entries[key].set_returned(true);
    }

    /// Takes the job whose turn it is.
    #[inline]
    pub(crate) fn pop(&mut self, entries: &mut Slab<Entry>) -> Option<u32> {
        if self.occupied == 0 {
            return None;
        }
        let chosen = if self.occupied.is_power_of_two() {
            self.occupied.trailing_zeros() as usize
        } else {
            self.choose()
        };
        let lane = &mut self.by_level[chosen];
        lane.passed_over = 0;
        if let Some(key) = lane.returned.pop_front() {
            entries[key].set_returned(false);
            self.leave(chosen);
            return Some(key);
        }
        let key = lane.head;
        let entry = &mut entries[key];
        lane.head = entry.next();
        entry.set_rank(self.next_rank);
        self.next_rank = self.next_rank.wrapping_add(1);
        match lane.head {
            NONE => {
                lane.tail = NONE;
                self.leave(chosen);
            }
            next => entries[next].set_previous(NONE),
        }
        Some(key)
    }

    /// Takes a job out from wherever it stands.
    pub(crate) fn remove(&mut self, key: u32, entries: &mut Slab<Entry>) {
        let lane = lane_of(key, entries);
        if entries[key].is_returned() {
            entries[key].set_returned(false);
            self.by_level[lane].returned.retain(|other| *other != key);
            self.leave(lane);
        } else {
            self.unlink(key, lane, entries);
        }
    }

    /// Several lanes have something: the one that has waited too long, else the most urgent.
    fn choose(&mut self) -> usize {
        let occupied = self.occupied;
        let waiting = (0..LANES).filter(move |lane| occupied & 1 << lane != 0);
        let aged = waiting
            .clone()
            .filter(|lane| self.by_level[*lane].passed_over >= PATIENCE)
            .max_by_key(|lane| self.by_level[*lane].passed_over);
        let chosen = aged.unwrap_or(occupied.trailing_zeros() as usize);
        for lane in waiting.filter(|lane| *lane > chosen) {
            let lane = &mut self.by_level[lane];
            lane.passed_over = lane.passed_over.saturating_add(1);
        }
        chosen
    }

    fn enter(&mut self, key: u32, entries: &Slab<Entry>) -> &mut Lane {
        let lane = lane_of(key, entries);
        self.occupied |= 1 << lane;
        &mut self.by_level[lane]
    }

    #[inline]
    fn unlink(&mut self, key: u32, lane: usize, entries: &mut Slab<Entry>) {
        let (next, previous) = (entries[key].next(), entries[key].previous());
        let ends = &mut self.by_level[lane];
        match previous {
            NONE => ends.head = next,
            previous => entries[previous].set_next(next),
        }
        match next {
            NONE => ends.tail = previous,
            next => entries[next].set_previous(previous),
        }
        self.leave(lane);
    }

    /// A job has left this lane, perhaps the last.
    fn leave(&mut self, number: usize) {
        let lane = &mut self.by_level[number];
        if lane.head == NONE && lane.returned.is_empty() {
            self.occupied &= !(1 << number);
            lane.passed_over = 0;
        }
    }
}

/// Ranks go round: they are compared as long as less than half of them lie between two jobs that were taken.
fn is_before(rank: u32, other: u32) -> bool {
    rank.wrapping_sub(other) > u32::MAX / 2
}

fn lane_of(key: u32, entries: &Slab<Entry>) -> usize {
    usize::from(entries[key].priority().level())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;
    use crate::payload::Payload;
    use crate::registry::Kind;

    fn entry(id: u64, priority: u8) -> Entry {
        Entry::new(JobId::new(id), Kind::UNKNOWN, Priority::new(priority).unwrap(), Payload::empty())
    }

    fn push(lanes: &mut Lanes, entries: &mut Slab<Entry>, id: u64, priority: u8) -> u32 {
        let key = entries.insert(entry(id, priority));
        lanes.push_back(key, entries);
        key
    }

    fn pop(lanes: &mut Lanes, entries: &mut Slab<Entry>) -> Option<u64> {
        lanes.pop(entries).map(|key| entries.remove(key).id.as_u64())
    }

    #[test]
    fn urgent_lanes_go_first_and_each_lane_keeps_its_order() {
        let (mut lanes, mut entries) = (Lanes::new(), Slab::new());
        for (id, priority) in [(1, 5), (2, 0), (3, 5), (4, 9), (5, 0)] {
            push(&mut lanes, &mut entries, id, priority);
        }
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut lanes, &mut entries)).collect();
        assert_eq!(order, [2, 5, 1, 3, 4]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn removal_works_at_the_head_in_the_middle_and_at_the_tail() {
        for removed in 0..5usize {
            let (mut lanes, mut entries) = (Lanes::new(), Slab::new());
            let keys: Vec<_> = (0..5).map(|id| push(&mut lanes, &mut entries, id, 3)).collect();
            lanes.remove(keys[removed], &mut entries);
            lanes.put_back(keys[removed], &mut entries);
            let order: Vec<_> = std::iter::from_fn(|| pop(&mut lanes, &mut entries)).collect();
            let mut expected: Vec<u64> = (0..5).filter(|id| *id != removed as u64).collect();
            expected.insert(0, removed as u64);
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn no_priority_starves() {
        let (mut lanes, mut entries) = (Lanes::new(), Slab::new());
        for priority in 1..10 {
            push(&mut lanes, &mut entries, u64::from(priority), priority);
        }
        let mut starts = Vec::new();
        for turn in 0..100 {
            push(&mut lanes, &mut entries, 1000 + turn, 0);
            starts.push(pop(&mut lanes, &mut entries).unwrap());
        }
        for priority in 1..10 {
            let turn = starts.iter().position(|id| *id == priority).expect("every priority gets a turn");
            assert!(turn <= usize::from(PATIENCE) + LANES, "priority {priority} started in turn {turn}");
        }
        assert!(starts[..PATIENCE as usize].iter().all(|id| *id >= 1000), "urgent jobs go first until then");
    }
}
