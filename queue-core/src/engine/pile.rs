//! Common jobs on their way into the store.

use crate::job::{JobId, Priority};
use crate::payload::Payload;
use crate::registry::Kind;
use crate::store::Store;

/// Jobs in places that are used again: what was just put together is not moved.
#[derive(Default)]
pub(super) struct Pile {
    letters: Vec<Letter>,
    /// There are few, and small ones.
    len: u32,
    bytes: u32,
}

struct Letter {
    id: JobId,
    kind: Kind,
    priority: Priority,
    payload: Payload,
}

impl Pile {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Of their payloads.
    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a job, after which there are so many bytes.
    pub(super) fn add(
        &mut self,
        id: JobId,
        kind: Kind,
        priority: Priority,
        payload: &mut Payload,
        bytes: u32,
    ) {
        let place = self.len as usize;
        if place == self.letters.len() {
            self.letters.push(Letter { id, kind, priority, payload: Payload::empty() });
        }
        let letter = &mut self.letters[place];
        (letter.id, letter.kind, letter.priority) = (id, kind, priority);
        letter.payload.take_from(payload);
        self.len += 1;
        self.bytes = bytes;
    }

    pub(super) fn empty_into(&mut self, store: &mut Store) {
        let len = self.len as usize;
        for letter in &mut self.letters[..len] {
            store.push_plain(letter.id, letter.kind, letter.priority, &mut letter.payload);
        }
        // A burst is over: give its memory back.
        let enough = KEPT.max(len.saturating_mul(4));
        if self.letters.len() > enough {
            self.letters.truncate(enough);
            self.letters.shrink_to_fit();
        }
        (self.len, self.bytes) = (0, 0);
    }
}

/// So many places are kept whatever happens.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DeadLimits;
    use crate::store::sample::epoch;

    fn fill(pile: &mut Pile, ids: std::ops::Range<u64>) {
        for id in ids {
            let mut payload = Payload::from(vec![b'x'; 50 + usize::try_from(id % 10).unwrap()]);
            let bytes = pile.bytes() + u32::try_from(payload.len()).unwrap();
            pile.add(JobId::new(id), Kind::from_index(3), Priority::LOW, &mut payload, bytes);
        }
    }

    #[test]
    fn everything_arrives_in_order_and_a_burst_gives_its_memory_back() {
        let mut store = Store::new("queue".into(), epoch(), DeadLimits { jobs: 1, bytes: 1 });
        let mut pile = Pile::default();
        for (first, end, is_over) in
            [(1, 1001, false), (1001, 1501, false), (1501, 1511, true), (1511, 1521, true)]
        {
            fill(&mut pile, first..end);
            assert_eq!(u64::from(pile.len()), end - first);
            pile.empty_into(&mut store);
            assert!(pile.is_empty());
            let places = pile.letters.capacity();
            assert!(if is_over { places == KEPT } else { places >= 1000 }, "{places} after {end}");
            assert_eq!(store.counts().ready as u64, end - first);
            for id in first..end {
                let lease = store.claim(0).expect("it waits");
                assert_eq!(lease.id, JobId::new(id));
                let mut claim = crate::store::Claim::vacant();
                store.hand_out(lease, &mut claim);
                assert_eq!((claim.kind, claim.priority), (Kind::from_index(3), Priority::LOW));
                assert_eq!(claim.payload.len() as u64, 50 + id % 10);
                store.complete(lease, &mut Vec::new()).expect("it is its lease");
            }
        }
    }
}
