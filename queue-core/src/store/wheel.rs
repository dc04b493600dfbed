//! Hierarchical timing wheel: what becomes due when.
//!
//! Eight levels of 256 slots cover every 64-bit tick, so nothing is ever out of range. An item sits at the level
//! of the highest byte in which its tick differs from the wheel's position, in the slot that this byte names:
//!
//! ```text
//! position 0x00_01_7c   item 0x00_01_90 → level 0, slot 0x90   (due within this run of 256 ticks)
//!                       item 0x00_03_00 → level 1, slot 0x03   (comes down when the position gets there)
//! ```
//!
//! Items of one level therefore share all higher bytes with the position, and the earliest item of all is in the
//! first occupied slot of the lowest occupied level. Inserting, removing and firing cost the same with one item or
//! a million; empty stretches are skipped by bitmap, so a clock that jumps a year costs as much as one that ticks.
//!
//! The wheel holds keys and no jobs. Whoever owns the keys is told where each one sits through [`Places`], and
//! gives that place back to remove it.

/// A tick is 2²⁰ ns ≈ 1.05 ms: as fine as runtimes' own timers, and a shift instead of a division.
const TICK_BITS: u32 = 20;

const LEVELS: usize = 8;
const SLOTS: usize = 256;
const SLOT_BITS: u32 = 8;

/// Where an item sits: a slot of the wheel, or the firing buffer, and the position inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) position: u32,
}

/// The slot number of items on their way out of the wheel.
const FIRING: u32 = u32::MAX;

/// The owner of the keys.
pub(crate) trait Places {
    /// `key` now sits at `place`.
    fn placed(&mut self, key: u32, place: Place);
    /// What decides between items of the same deadline: the smaller goes first.
    fn order(&self, key: u32) -> u64;
}

/// One thing that becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Nanoseconds since the epoch of the wheel's owner.
    pub(crate) due: u64,
    pub(crate) key: u32,
    /// Not interpreted: rides along.
    pub(crate) tag: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Wheel {
    /// Every item of an earlier tick has fired.
    position: u64,
    levels: [Option<Box<Level>>; LEVELS],
    /// Due items, latest first: popped from the end. A removed one leaves `None`, so that positions stay valid.
    firing: Vec<Option<Item>>,
    /// A slot whose items are moving to lower levels, one by one: nothing may fire before they all have.
    descending: Option<(usize, usize)>,
}

#[derive(Debug)]
struct Level {
    occupied: [u64; SLOTS / 64],
    slots: [Slot; SLOTS],
}

#[derive(Debug, Default)]
struct Slot {
    items: Vec<Item>,
    /// No item here is due before this. A removal may leave it too early, which costs one idle look.
    earliest: u64,
}

/// What [`Wheel::advance`] found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This item is due; it has left the wheel.
    Due(Item),
    /// Some bookkeeping was done; ask again.
    Moved,
    /// Nothing is due at this time.
    Idle,
}

impl Wheel {
    /// Adds an item and reports its place.
    pub(crate) fn insert(&mut self, item: Item, places: &mut impl Places) {
        let tick = tick_of(item.due).max(self.position);
        let level = level_of(self.position, tick);
        let index = slot_of(tick, level);
        let wheel_level = self.levels[level].get_or_insert_with(Level::new);
        wheel_level.occupied[index / 64] |= 1 << (index % 64);
        let slot = &mut wheel_level.slots[index];
        slot.earliest = if slot.items.is_empty() { item.due } else { slot.earliest.min(item.due) };
        places
            .placed(item.key, Place { slot: slot_number(level, index), position: narrow(slot.items.len()) });
        slot.items.push(item);
    }

    /// Takes out the item at `place`, which must be where the owner was last told it is.
    pub(crate) fn remove(&mut self, place: Place, places: &mut impl Places) -> Item {
        let position = place.position as usize;
        if place.slot == FIRING {
            return self.firing[position].take().expect("an item is removed from where it sits");
        }
        let (level, index) = (place.slot as usize / SLOTS, place.slot as usize % SLOTS);
        let level = self.levels[level].as_mut().expect("an occupied level exists");
        let items = &mut level.slots[index].items;
        let item = items.swap_remove(position);
        if let Some(moved) = items.get(position) {
            places.placed(moved.key, place);
        }
        if items.is_empty() {
            level.vacate(index);
        }
        item
    }

    /// The item at `place`, to look at.
    pub(crate) fn get(&self, place: Place) -> Option<Item> {
        let position = place.position as usize;
        if place.slot == FIRING {
            return self.firing.get(position).copied().flatten();
        }
        let (level, index) = (place.slot as usize / SLOTS, place.slot as usize % SLOTS);
        self.levels[level].as_ref()?.slots[index].items.get(position).copied()
    }

    /// The keys of all items, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u32> {
        let slots = self.levels.iter().flatten().flat_map(|level| &level.slots);
        slots.flat_map(|slot| &slot.items).chain(self.firing.iter().flatten()).map(|item| item.key)
    }

    /// Does one small piece of work towards `now` (nanoseconds since the epoch).
    ///
    /// Due items come out by deadline, and for the same deadline by [`Places::order`]; none before its deadline.
    pub(crate) fn advance(&mut self, now: u64, places: &mut impl Places) -> Step {
        while let Some(next) = self.firing.pop() {
            if let Some(item) = next {
                return Step::Due(item);
            }
        }
        if let Some((level, index)) = self.descending {
            match self.pop(level, index) {
                Some(item) => self.insert(item, places),
                None => self.descending = None,
            }
            return Step::Moved;
        }
        let now = now >> TICK_BITS;
        let next = self.first_occupied().map(|(level, index)| (level, index, self.slot_start(level, index)));
        let Some((level, index, start)) = next.filter(|(_, _, start)| *start <= now) else {
            self.position = self.position.max(now);
            return Step::Idle;
        };
        self.position = start;
        if level == 0 {
            self.fire(index, places);
        } else {
            self.descending = Some((level, index));
        }
        Step::Moved
    }

    /// When to look again, in nanoseconds since the epoch: the end of the tick in which the earliest item is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let descends = self.descending.is_some_and(|(level, index)| self.is_occupied(level, index));
        if descends || self.firing.iter().any(Option::is_some) {
            return Some(0);
        }
        let (level, index) = self.first_occupied()?;
        let earliest = self.levels[level].as_ref()?.slots[index].earliest;
        Some(tick_of(earliest).max(self.position).saturating_mul(1 << TICK_BITS))
    }

    fn fire(&mut self, index: usize, places: &mut impl Places) {
        let level = self.levels[0].as_mut().expect("an occupied level exists");
        level.vacate(index);
        let items = &mut level.slots[index].items;
        let mut due: Vec<_> = items.drain(..).map(|item| (item, places.order(item.key))).collect();
        due.sort_by_key(|(item, order)| (item.due, *order));
        self.firing.extend(due.into_iter().rev().map(|(item, _)| Some(item)));
        for (position, item) in self.firing.iter().flatten().enumerate() {
            places.placed(item.key, Place { slot: FIRING, position: narrow(position) });
        }
    }

    fn pop(&mut self, level: usize, index: usize) -> Option<Item> {
        let level = self.levels[level].as_mut()?;
        let items = &mut level.slots[index].items;
        let item = items.pop();
        if items.is_empty() {
            level.vacate(index);
        }
        item
    }

    fn is_occupied(&self, level: usize, index: usize) -> bool {
        self.levels[level].as_ref().is_some_and(|level| !level.slots[index].items.is_empty())
    }

    fn first_occupied(&self) -> Option<(usize, usize)> {
        self.levels.iter().enumerate().find_map(|(number, level)| {
            let occupied = &level.as_ref()?.occupied;
            let word = occupied.iter().position(|word| *word != 0)?;
            Some((number, word * 64 + occupied[word].trailing_zeros() as usize))
        })
    }

    /// The first tick of a slot: the position's bytes above `level`, then `index`, then zeros.
    fn slot_start(&self, level: usize, index: usize) -> u64 {
        let shift = SLOT_BITS as usize * level;
        let below = (u64::MAX >> (64 - SLOT_BITS as usize)) << shift | ((1 << shift) - 1);
        self.position & !below | (index as u64) << shift
    }
}

impl Level {
    fn new() -> Box<Self> {
        Box::new(Self { occupied: [0; SLOTS / 64], slots: std::array::from_fn(|_| Slot::default()) })
    }

    fn vacate(&mut self, index: usize) {
        self.occupied[index / 64] &= !(1 << (index % 64));
    }
}

/// The first tick that starts at or after `due`: a deadline is rounded up, never down.
fn tick_of(due: u64) -> u64 {
    (due >> TICK_BITS) + u64::from(due & ((1 << TICK_BITS) - 1) != 0)
}

/// The highest byte in which the two differ; 0 if they do not.
fn level_of(position: u64, tick: u64) -> usize {
    ((position ^ tick).checked_ilog2().unwrap_or(0) / SLOT_BITS) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 256")]
fn slot_of(tick: u64, level: usize) -> usize {
    ((tick >> (SLOT_BITS as usize * level)) % SLOTS as u64) as usize
}

fn slot_number(level: usize, index: usize) -> u32 {
    narrow(level * SLOTS + index)
}

/// Slots and positions count entries of the slab, whose keys are 32 bits wide.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("positions are bounded by the number of 32-bit keys")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    #[derive(Default)]
    struct Owner(BTreeMap<u32, Place>);

    impl Places for Owner {
        fn placed(&mut self, key: u32, place: Place) {
            self.0.insert(key, place);
        }

        fn order(&self, key: u32) -> u64 {
            u64::from(key)
        }
    }

    fn fire_until(wheel: &mut Wheel, owner: &mut Owner, now: u64) -> Vec<(u64, u32)> {
        let mut fired = Vec::new();
        loop {
            match wheel.advance(now, owner) {
                Step::Due(item) => {
                    owner.0.remove(&item.key);
                    fired.push((item.due, item.key));
                }
                Step::Moved => {}
                Step::Idle => return fired,
            }
        }
    }

    #[test]
    fn nothing_fires_before_its_deadline_and_all_soon_after() {
        let (mut wheel, mut owner) = (Wheel::default(), Owner::default());
        let dues = [1, TICK - 1, TICK, TICK + 1, 255 * TICK, 256 * TICK, 65_536 * TICK + 7, u64::MAX];
        for (key, due) in (0..).zip(dues) {
            wheel.insert(Item { due, key, tag: 0 }, &mut owner);
        }
        for (key, due) in (0..).zip(&dues[..7]) {
            assert_eq!(fire_until(&mut wheel, &mut owner, due.div_ceil(TICK) * TICK - 1), []);
            assert_eq!(wheel.next_due(), Some(due.div_ceil(TICK) * TICK));
            if due.div_ceil(TICK) == 1 && key == 0 {
                // The first three share a tick.
                assert_eq!(fire_until(&mut wheel, &mut owner, TICK), [(1, 0), (TICK - 1, 1), (TICK, 2)]);
            } else if key > 2 {
                assert_eq!(fire_until(&mut wheel, &mut owner, due.div_ceil(TICK) * TICK), [(*due, key)]);
            }
            if key < 2 {
                break;
            }
        }
    }

    #[test]
    fn the_end_of_time_is_a_deadline_like_any_other() {
        let (mut wheel, mut owner) = (Wheel::default(), Owner::default());
        wheel.insert(Item { due: u64::MAX, key: 1, tag: 0 }, &mut owner);
        assert_eq!(fire_until(&mut wheel, &mut owner, u64::MAX), []);
        assert_eq!(wheel.next_due(), Some(u64::MAX));
        assert_eq!(wheel.remove(owner.0[&1], &mut owner).key, 1);
        assert_eq!(wheel.next_due(), None);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert { delay: u64 },
        Remove { nth: usize },
        Advance { by: u64, steps: usize },
        JumpBack { by: u64 },
    }

    fn any_delay() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..3 * TICK,
            0..600 * TICK,
            0..200_000 * TICK,
            0..u64::MAX / 2,
            (0..4u64).prop_map(|n| n * 256 * TICK)
        ]
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => any_delay().prop_map(|delay| Op::Insert { delay }),
            2 => any::<usize>().prop_map(|nth| Op::Remove { nth }),
            3 => (any_delay(), prop_oneof![1..5usize, Just(usize::MAX)]).prop_map(|(by, steps)| Op::Advance { by, steps }),
            1 => (0..10 * TICK).prop_map(|by| Op::JumpBack { by }),
        ]
    }

    proptest! {
        /// The wheel against a sorted list, over level wraps, clock jumps and half-done advances.
        #[test]
        fn it_behaves_as_a_sorted_list(ops in prop::collection::vec(any_op(), 1..120)) {
            let (mut wheel, mut owner) = (Wheel::default(), Owner::default());
            let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
            let (mut now, mut latest, mut next_key, mut jumped_back) = (0u64, 0u64, 0u32, false);
            for op in ops {
                match op {
                    Op::Insert { delay } => {
                        let due = now.saturating_add(delay).saturating_add(1);
                        wheel.insert(Item { due, key: next_key, tag: next_key }, &mut owner);
                        model.insert((due, next_key));
                        next_key += 1;
                    }
                    Op::Remove { nth } if !model.is_empty() => {
                        let (due, key) = *model.iter().nth(nth % model.len()).unwrap();
                        model.remove(&(due, key));
                        let place = owner.0.remove(&key).unwrap();
                        prop_assert_eq!(wheel.get(place), Some(Item { due, key, tag: key }));
                        prop_assert_eq!(wheel.remove(place, &mut owner), Item { due, key, tag: key });
                    }
                    Op::Remove { .. } => {}
                    Op::JumpBack { by } => {
                        now = now.saturating_sub(by);
                        jumped_back = true;
                    }
                    Op::Advance { by, steps } => {
                        now = now.saturating_add(by);
                        latest = latest.max(now);
                        let mut last = 0;
                        for _ in 0..steps {
                            match wheel.advance(now, &mut owner) {
                                Step::Due(item) => {
                                    prop_assert!(item.due <= latest, "early: {item:?} at {now}");
                                    prop_assert!(model.remove(&(item.due, item.key)), "not pending");
                                    // After a jump back, an earlier deadline may be set than that of what fires already.
                                    prop_assert!(item.due >= last || jumped_back, "out of order");
                                    last = item.due;
                                    owner.0.remove(&item.key);
                                }
                                Step::Moved => {}
                                Step::Idle => {
                                    let floor = now >> TICK_BITS << TICK_BITS;
                                    let left = model.first().map(|(due, _)| *due);
                                    prop_assert!(left.is_none_or(|due| due > floor || now < latest), "late: {left:?} at {now}");
                                    break;
                                }
                            }
                        }
                    }
                }
                prop_assert_eq!(wheel.next_due().is_some(), !model.is_empty());
                if let (Some(next), Some((due, _))) = (wheel.next_due(), model.first()) {
                    // Removals may leave the hint early; it is never later than the end of the earliest tick.
                    prop_assert!(next <= due.div_ceil(TICK).max(latest >> TICK_BITS).saturating_mul(TICK));
                }
            }
        }
    }
}
