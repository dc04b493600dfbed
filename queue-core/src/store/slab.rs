//! Storage for records under small keys, in chunks: growing never moves what is there, so that one push among a
//! million costs no more than any other.

use std::iter;
use std::ops::{Index, IndexMut};

/// What can lie in a [`Slab`]: a vacant record must have room for the number of the next vacant one.
pub(crate) trait Record {
    /// A record with nothing in it.
    fn vacant() -> Self;
    /// Marks this record as vacant, with the number of the next vacant one.
    fn vacate(&mut self, next: u32);
    fn next_vacant(&self) -> u32;
}

/// No key: ends every chain of keys.
pub(crate) const NONE: u32 = u32::MAX;

/// Chunks have room for 2^`BITS` records.
#[derive(Debug)]
pub(crate) struct Slab<T, const BITS: u32 = 8> {
    chunks: Vec<Vec<T>>,
    vacant: u32,
    len: usize,
}

impl<T, const BITS: u32> Slab<T, BITS> {
    const CHUNK: usize = 1 << BITS;

    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), vacant: NONE, len: 0 }
    }
}

impl<T: Record, const BITS: u32> Slab<T, BITS> {
    /// How many records lie here.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is memory here that one record alone would not take.
    pub(crate) fn has_grown(&self) -> bool {
        self.chunks.len() > 1
    }

    pub(crate) fn insert(&mut self, record: T) -> u32 {
        if let Some(key) = self.occupy() {
            self[key] = record;
            return key;
        }
        self.append(|| record)
    }

    /// Adds a record where none is vacant, and makes it where it stays.
    #[inline]
    pub(crate) fn append(&mut self, make: impl FnOnce() -> T) -> u32 {
        self.len += 1;
        if self.chunks.last().is_none_or(|chunk| chunk.len() == Self::CHUNK) {
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        let base = (self.chunks.len() - 1) << BITS;
        let chunk = self.chunks.last_mut().expect("a chunk with room was just ensured");
        let key = u32::try_from(base + chunk.len()).ok().filter(|key| *key != NONE);
        // `push` makes it before it looks for room, and moves it then: 3 ns more.
        chunk.extend(iter::once_with(make));
        key.expect("capacity is bounded below 2^32 jobs")
    }

    /// Makes a record of a vacant one, if there is one, to be filled where it is.
    #[inline]
    pub(crate) fn occupy(&mut self) -> Option<u32> {
        if self.vacant == NONE {
            return None;
        }
        let key = self.vacant;
        self.vacant = self[key].next_vacant();
        self.len += 1;
        Some(key)
    }

    /// The record under a key that may be out of date.
    #[inline]
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.chunks.get((key >> BITS) as usize)?.get(key as usize % Self::CHUNK)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.chunks.get_mut((key >> BITS) as usize)?.get_mut(key as usize % Self::CHUNK)
    }

    pub(crate) fn remove(&mut self, key: u32) -> T {
        let record = std::mem::replace(&mut self[key], T::vacant());
        self.release(key);
        record
    }

    /// Frees a record from which everything worth keeping was taken.
    #[inline]
    pub(crate) fn release(&mut self, key: u32) {
        let next = self.vacant;
        self[key].vacate(next);
        self.vacant = key;
        self.len -= 1;
        if self.len == 0 {
            // A burst is over: give its memory back, all but the first chunk.
            self.chunks.truncate(1);
            if let Some(chunk) = self.chunks.first_mut() {
                chunk.clear();
            }
            self.vacant = NONE;
        }
    }
}

impl<T, const BITS: u32> Index<u32> for Slab<T, BITS> {
    type Output = T;

    #[inline]
    fn index(&self, key: u32) -> &T {
        &self.chunks[(key >> BITS) as usize][key as usize % Self::CHUNK]
    }
}

impl<T, const BITS: u32> IndexMut<u32> for Slab<T, BITS> {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut T {
        &mut self.chunks[(key >> BITS) as usize][key as usize % Self::CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    enum Slot {
        Value(usize),
        Vacant(u32),
    }

    impl Record for Slot {
        fn vacant() -> Self {
            Self::Vacant(NONE)
        }

        fn vacate(&mut self, next: u32) {
            *self = Self::Vacant(next);
        }

        fn next_vacant(&self) -> u32 {
            match self {
                Self::Vacant(next) => *next,
                Self::Value(_) => unreachable!("asked of vacant records only"),
            }
        }
    }

    #[test]
    fn keys_stay_valid_while_it_grows_and_are_used_again() {
        let mut slab = Slab::<_, 8>::new();
        let keys: Vec<_> = (0..1000).map(|n| slab.insert(Slot::Value(n))).collect();
        assert!(keys.iter().enumerate().all(|(n, key)| slab[*key] == Slot::Value(n)));
        assert_eq!(slab.remove(keys[10]), Slot::Value(10));
        assert_eq!(slab.remove(keys[500]), Slot::Value(500));
        assert_eq!(slab.insert(Slot::Value(1)), keys[500]);
        assert_eq!(slab.insert(Slot::Value(2)), keys[10]);
        assert_eq!(slab.insert(Slot::Value(3)), 1000);
    }

    #[test]
    fn an_empty_slab_holds_one_chunk_at_most() {
        let mut slab = Slab::<_, 8>::new();
        let keys: Vec<_> = (0..5000).map(|n| slab.insert(Slot::Value(n))).collect();
        for key in keys {
            slab.remove(key);
        }
        assert_eq!(slab.chunks.len(), 1);
        assert_eq!(slab.insert(Slot::Value(7)), 0);
    }
}
