//! The numbers of jobs.
//!
//! Channels take them in blocks, so that a push writes nothing that channels share, and so that jobs which are neighbours in
//! a channel are neighbours in number: they share a page of its index, however many channels there are.

use crate::job::JobId;
use crate::store::INDEX_PAGE;
use crate::sync::{AtomicU64, Ordering};

/// Where blocks come from.
pub(super) struct Numbers {
    next: AtomicU64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(0) }
    }

    /// Begins with this number, or with 1: there is no job 0.
    pub(super) fn begin(&self, next: u64) {
        self.next.store(next.max(1), Ordering::Relaxed);
    }

    /// One by itself, for who has no block. Taken under the channel's lock, so that ids grow along every lane.
    pub(super) fn one(&self) -> JobId {
        JobId::new(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The numbers that a channel has taken and not used: from the next one to the end of its page. At the beginning of a page
/// there are none.
#[derive(Default)]
pub(super) struct Ids {
    next: u64,
}

impl Ids {
    #[inline]
    pub(super) fn next(&mut self, numbers: &Numbers) -> JobId {
        if self.next.is_multiple_of(INDEX_PAGE) {
            self.take_block(numbers);
        }
        let id = JobId::new(self.next);
        self.next += 1;
        id
    }

    #[cold]
    fn take_block(&mut self, numbers: &Numbers) {
        self.next = numbers.next.fetch_add(INDEX_PAGE, Ordering::Relaxed).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_begin_where_pages_do_and_no_number_comes_twice() {
        let numbers = Numbers::new();
        let mut channels = [Ids::default(), Ids::default()];
        let mut seen = Vec::new();
        for n in 0..10 * INDEX_PAGE {
            let channel = usize::from(n % 3 == 0);
            seen.push((channel, channels[channel].next(&numbers).as_u64()));
        }
        for channel in [0, 1] {
            let own: Vec<_> = seen.iter().filter(|(of, _)| *of == channel).map(|(_, id)| *id).collect();
            assert!(own.is_sorted_by(|one, next| one < next), "they grow");
        }
        let page_of = |id: u64| id / INDEX_PAGE;
        assert!(seen.iter().all(|(of, id)| {
            seen.iter().all(|(other, near)| page_of(*id) != page_of(*near) || of == other)
        }));
        seen.sort_by_key(|(_, id)| *id);
        assert_eq!(seen[0].1, 1);
        assert!(seen.is_sorted_by(|(_, one), (_, next)| one < next), "each comes once");
    }

    #[test]
    fn numbers_go_on_where_they_began() {
        let numbers = Numbers::new();
        numbers.begin(0);
        assert_eq!(numbers.one(), JobId::new(1));
        numbers.begin(17);
        assert_eq!((numbers.one(), numbers.one()), (JobId::new(17), JobId::new(18)));
    }
}
