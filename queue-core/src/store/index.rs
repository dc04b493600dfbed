//! From a job's id to its key in the slab.
//!
//! Ids are handed out in order, so neighbours in time are neighbours in number: the index holds one page per 64
//! consecutive ids. A page is looked up by hash once per call at most, the newest one not even that, and a job
//! costs a little over four bytes; a plain hash map would cost twenty and stall when it grows.

use rustc_hash::FxHashMap;

use super::slab::{NONE, Record, Slab};
use crate::job::JobId;

const PAGE_BITS: u32 = 6;
const PAGE: usize = 1 << PAGE_BITS;
/// So many numbers share a page.
pub(crate) const INDEX_PAGE: u64 = PAGE as u64;

#[derive(Debug)]
pub(crate) struct Index {
    /// Eight to a chunk: one by one they were most of what a push allocates.
    pages: Slab<Page, 3>,
    /// The page that the last insert wrote: pushes come in order of id.
    newest: Option<Located>,
    /// The page that the last removal found: jobs go in about the same order. To look it up anew was 35 instructions.
    recent: Option<Located>,
    /// All but the newest.
    older: FxHashMap<u64, u32>,
}

/// A page's number, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Located {
    number: u64,
    slot: u32,
}

#[derive(Debug)]
struct Page {
    used: u32,
    keys: [u32; PAGE],
}

impl Default for Index {
    fn default() -> Self {
        Self { pages: Slab::new(), newest: None, recent: None, older: FxHashMap::default() }
    }
}

impl Index {
    #[inline]
    pub(crate) fn insert(&mut self, id: JobId, key: u32) {
        let number = id.as_u64() >> PAGE_BITS;
        let slot = match self.newest {
            Some(newest) if newest.number == number => newest.slot,
            _ => self.turn_to(number),
        };
        let page = &mut self.pages[slot];
        page.keys[position(id)] = key;
        page.used += 1;
    }

    /// Makes this page the newest.
    fn turn_to(&mut self, number: u64) -> u32 {
        if let Some(newest) = self.newest {
            if self.pages[newest.slot].used > 0 {
                self.older.insert(newest.number, newest.slot);
            } else {
                self.release(newest);
            }
        }
        let slot = self.older.remove(&number).unwrap_or_else(|| self.pages.insert(Page::vacant()));
        self.newest = Some(Located { number, slot });
        slot
    }

    pub(crate) fn find(&self, id: JobId) -> Option<u32> {
        let number = id.as_u64() >> PAGE_BITS;
        let known = [self.newest, self.recent].into_iter().flatten().find(|page| page.number == number);
        let slot = known.map(|page| page.slot).or_else(|| self.older.get(&number).copied())?;
        Some(self.pages[slot].keys[position(id)]).filter(|key| *key != NONE)
    }

    /// All of it, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, u32)> {
        let newest = self.newest.map(|page| (page.number, page.slot));
        let older = self.older.iter().map(|(number, slot)| (*number, *slot));
        newest.into_iter().chain(older).flat_map(|(number, slot)| {
            let keys = (number << PAGE_BITS..).zip(self.pages[slot].keys);
            keys.filter(|(_, key)| *key != NONE).map(|(id, key)| (JobId::new(id), key))
        })
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: JobId) {
        let number = id.as_u64() >> PAGE_BITS;
        let page = match (self.recent, self.newest) {
            (Some(recent), _) if recent.number == number => recent,
            (_, Some(newest)) if newest.number == number => newest,
            _ => {
                let Some(slot) = self.older.get(&number) else { return };
                Located { number, slot: *slot }
            }
        };
        self.recent = Some(page);
        let entries = &mut self.pages[page.slot];
        entries.clear(id);
        if entries.used == 0 {
            self.emptied(page);
        }
    }

    /// Nothing is left on this page. The newest one stays, as long as it keeps nothing else from being freed.
    fn emptied(&mut self, page: Located) {
        let is_newest = self.newest == Some(page);
        if is_newest && (self.pages.len() > 1 || !self.pages.has_grown()) {
            return;
        }
        if is_newest {
            self.newest = None;
        } else {
            self.older.remove(&page.number);
        }
        self.release(page);
    }

    fn release(&mut self, page: Located) {
        self.recent = self.recent.filter(|recent| *recent != page);
        self.pages.release(page.slot);
    }
}

impl Page {
    fn clear(&mut self, id: JobId) {
        let key = &mut self.keys[position(id)];
        if *key != NONE {
            *key = NONE;
            self.used -= 1;
        }
    }
}

impl Record for Page {
    fn vacant() -> Self {
        Self { used: 0, keys: [NONE; PAGE] }
    }

    fn vacate(&mut self, next: u32) {
        self.keys[0] = next;
    }

    fn next_vacant(&self) -> u32 {
        self.keys[0]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 64")]
fn position(id: JobId) -> usize {
    (id.as_u64() % PAGE as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_forgets_empty_pages() {
        let mut index = Index::default();
        let ids: Vec<_> = (1..1000).map(JobId::new).collect();
        for (key, id) in (0..).zip(&ids) {
            index.insert(*id, key);
        }
        assert!((0..).zip(&ids).all(|(key, id)| index.find(*id) == Some(key)));
        assert_eq!(index.find(JobId::new(0)), None);
        assert_eq!(index.find(JobId::new(5000)), None);
        // An old id comes back (a dead letter that is requeued) after its page is gone.
        for id in &ids {
            index.remove(*id);
            index.remove(*id);
        }
        assert!(index.older.is_empty());
        // Whoever is removed twice is not there.
        assert!(ids.iter().all(|id| index.find(*id).is_none()));
        index.insert(JobId::new(3), 9);
        index.insert(JobId::new(2000), 10);
        assert_eq!(index.older.len(), 1);
        assert_eq!((index.find(JobId::new(3)), index.find(JobId::new(2000))), (Some(9), Some(10)));
    }

    #[test]
    fn empty_pages_are_used_again_and_freed_with_the_last() {
        let mut index = Index::default();
        let pages = 100;
        for round in [0, 1] {
            let first = round * pages * PAGE as u64;
            for id in (first..).take(100 * PAGE) {
                index.insert(JobId::new(id), 7);
            }
            assert_eq!(index.pages.len(), 100);
            for id in (first..).take(100 * PAGE) {
                index.remove(JobId::new(id));
            }
            assert!(!index.pages.has_grown());
            assert_eq!((index.older.len(), index.iter().count()), (0, 0));
        }
        for id in 0..1000 {
            index.insert(JobId::new(id), 7);
            index.remove(JobId::new(id));
            assert_eq!(index.pages.len(), 1);
        }
    }

    #[test]
    fn all_of_it_can_be_listed() {
        let mut index = Index::default();
        let all: Vec<_> = [3, 63, 64, 200, 1000, 100_000].map(JobId::new).into_iter().zip(5..).collect();
        for (id, key) in &all {
            index.insert(*id, *key);
        }
        let mut listed: Vec<_> = index.iter().collect();
        listed.sort_unstable();
        assert_eq!(listed, all);
    }
}
