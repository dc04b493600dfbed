//! From a job's id to its key in the slab.
//!
//! Ids are handed out in order, so neighbours in time are neighbours in number: the index holds one page per 64
//! consecutive ids. A page is looked up by hash once per call at most, the newest one not even that, and a job
//! costs a little over four bytes; a plain hash map would cost twenty and stall when it grows.

use rustc_hash::FxHashMap;

use super::slab::NONE;
use crate::job::JobId;

const PAGE_BITS: u32 = 6;
const PAGE: usize = 1 << PAGE_BITS;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The page that the last insert wrote, outside of the map: pushes come in order of id.
    newest: Option<(u64, Box<Page>)>,
    older: FxHashMap<u64, Box<Page>>,
    /// Empty pages for the next ids: a queue that is filled and emptied over and over need not allocate for it.
    #[expect(clippy::vec_box, reason = "the boxes move between here and the map")]
    spare: Vec<Box<Page>>,
}

/// How many empty pages are kept: 4 KiB of them.
const SPARE: usize = 16;

#[derive(Debug)]
struct Page {
    used: u32,
    keys: [u32; PAGE],
}

impl Index {
    pub(crate) fn insert(&mut self, id: JobId, key: u32) {
        let number = id.as_u64() >> PAGE_BITS;
        if self.newest.as_ref().is_none_or(|(newest, _)| *newest != number) {
            let page = self.older.remove(&number).or_else(|| self.spare.pop()).unwrap_or_else(Page::new);
            match self.newest.replace((number, page)) {
                Some((older, page)) if page.used > 0 => drop(self.older.insert(older, page)),
                Some((_, page)) => self.keep(page),
                None => {}
            }
        }
        let (_, page) = self.newest.as_mut().expect("the page was just put there");
        page.keys[position(id)] = key;
        page.used += 1;
    }

    pub(crate) fn find(&self, id: JobId) -> Option<u32> {
        let number = id.as_u64() >> PAGE_BITS;
        let page = match &self.newest {
            Some((newest, page)) if *newest == number => page,
            _ => self.older.get(&number)?,
        };
        Some(page.keys[position(id)]).filter(|key| *key != NONE)
    }

    /// All of it, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, u32)> {
        let newest = self.newest.as_ref().map(|(number, page)| (number, page));
        newest.into_iter().chain(&self.older).flat_map(|(number, page)| {
            let first = number << PAGE_BITS;
            (first..).zip(page.keys).filter(|(_, key)| *key != NONE).map(|(id, key)| (JobId::new(id), key))
        })
    }

    pub(crate) fn remove(&mut self, id: JobId) {
        let number = id.as_u64() >> PAGE_BITS;
        match &mut self.newest {
            Some((newest, page)) if *newest == number => page.clear(id),
            _ => {
                let Some(page) = self.older.get_mut(&number) else { return };
                page.clear(id);
                if page.used == 0 {
                    self.older.remove(&number).into_iter().for_each(|page| self.keep(page));
                }
            }
        }
    }

    fn keep(&mut self, empty: Box<Page>) {
        if self.spare.len() < SPARE {
            self.spare.push(empty);
        }
    }
}

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self { used: 0, keys: [NONE; PAGE] })
    }

    fn clear(&mut self, id: JobId) {
        let key = &mut self.keys[position(id)];
        if *key != NONE {
            *key = NONE;
            self.used -= 1;
        }
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
        index.insert(JobId::new(3), 9);
        index.insert(JobId::new(2000), 10);
        assert_eq!(index.older.len(), 1);
        assert_eq!((index.find(JobId::new(3)), index.find(JobId::new(2000))), (Some(9), Some(10)));
    }

    #[test]
    fn some_empty_pages_are_kept_for_the_next_ids_and_no_more() {
        let mut index = Index::default();
        let pages = 2 * SPARE as u64;
        for id in 0..=pages * PAGE as u64 {
            index.insert(JobId::new(id), 7);
        }
        for (number, spare) in (0..pages).zip((1..=SPARE).chain(std::iter::repeat(SPARE))) {
            for id in (number << PAGE_BITS..).take(PAGE) {
                index.remove(JobId::new(id));
            }
            assert_eq!(index.spare.len(), spare);
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
