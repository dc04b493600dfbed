//! Which kinds exist, and which named queue each belongs to.
//!
//! A kind's name is looked up once, at push; from there on the job carries a small number. Policies and handlers
//! are next to the workers, in `handler.rs`, under the same numbers.

use std::cell::RefCell;
use std::sync::atomic::AtomicU64 as Counter;

use rustc_hash::FxHashMap;

use crate::job::Name;
use crate::sync::{AtomicU64, Ordering, RwLock};

/// The number of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u32);

impl Kind {
    pub(crate) const BITS: u32 = 24;
    /// Not registered, so far.
    pub(crate) const UNKNOWN: Self = Self((1 << Self::BITS) - 1);

    pub(crate) fn from_index(index: u32) -> Self {
        Self(index.min(Self::UNKNOWN.0))
    }

    pub(crate) fn index(self) -> u32 {
        self.0
    }
}

/// The kinds of a queue, shared.
pub(crate) struct Kinds {
    registry: RwLock<Registry>,
    /// Another number after every change, and in every queue.
    version: AtomicU64,
}

/// Numbers for versions. No two threads learn anything from each other by it, so checkers need not see it.
static VERSIONS: Counter = Counter::new(1);

fn next_version() -> u64 {
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

/// What a thread found last. Many push the same kind over and over, and to find it here takes 45 instructions instead of
/// 165, and nothing that threads share is written.
struct Found {
    version: u64,
    len: usize,
    name: [u8; LONGEST],
    kind: Kind,
    channel: usize,
}

/// Longer names are looked up every time.
const LONGEST: usize = 40;

thread_local! {
    static LAST: RefCell<Found> = const {
        RefCell::new(Found { version: 0, len: 0, name: [0; LONGEST], kind: Kind::UNKNOWN, channel: 0 })
    };
}

impl Kinds {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry: RwLock::new(registry), version: AtomicU64::new(next_version()) }
    }

    /// Adds a kind as [`Registry::add`] does. A known one that stays where it is changes nothing, and nobody forgets what
    /// was found last: jobs that were claimed or recovered name theirs one by one.
    pub(crate) fn add(&self, name: &Name, queue: Option<usize>, default: usize) -> Kind {
        if queue.is_none()
            && let Some((kind, _)) = self.find(name)
        {
            return kind;
        }
        let mut registry = self.registry.write();
        let kind = registry.add(name, queue, default);
        self.version.store(next_version(), Ordering::Release);
        kind
    }

    pub(crate) fn find(&self, name: &str) -> Option<(Kind, usize)> {
        // Before the registry: what is found there may be newer than this, and is then looked up again.
        let version = self.version.load(Ordering::Acquire);
        let known = LAST.with_borrow(|last| {
            let is_it = last.version == version && last.name.get(..last.len) == Some(name.as_bytes());
            is_it.then_some((last.kind, last.channel))
        });
        known.or_else(|| self.look_up(name, version))
    }

    fn look_up(&self, name: &str, version: u64) -> Option<(Kind, usize)> {
        let (kind, channel) = self.registry.read().find(name)?;
        LAST.with_borrow_mut(|last| {
            if let Some(room) = last.name.get_mut(..name.len()) {
                room.copy_from_slice(name.as_bytes());
                (last.version, last.len, last.kind, last.channel) = (version, name.len(), kind, channel);
            }
        });
        Some((kind, channel))
    }

    pub(crate) fn name(&self, kind: Kind) -> Option<Name> {
        self.registry.read().name(kind)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Only what was registered is a key here, so nobody can choose keys that collide.
    numbers: FxHashMap<Name, Kind>,
    /// Name and named queue of each kind, by number.
    kinds: Vec<(Name, usize)>,
}

impl Registry {
    /// Adds a kind, or moves a known one to `queue` if that is given.
    ///
    /// # Panics
    ///
    /// With more than 16,777,214 kinds.
    pub(crate) fn add(&mut self, name: &Name, queue: Option<usize>, default: usize) -> Kind {
        if let Some(kind) = self.numbers.get(name) {
            if let Some(queue) = queue {
                self.kinds[kind.0 as usize].1 = queue;
            }
            return *kind;
        }
        let kind = u32::try_from(self.kinds.len()).map_or(Kind::UNKNOWN, Kind::from_index);
        assert_ne!(kind, Kind::UNKNOWN, "a queue holds at most 16,777,214 kinds");
        self.kinds.push((name.clone(), queue.unwrap_or(default)));
        self.numbers.insert(name.clone(), kind);
        kind
    }

    fn find(&self, name: &str) -> Option<(Kind, usize)> {
        let kind = *self.numbers.get(name)?;
        Some((kind, self.kinds[kind.0 as usize].1))
    }

    fn name(&self, kind: Kind) -> Option<Name> {
        self.kinds.get(kind.0 as usize).map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_found_last_is_that_of_this_queue_and_of_this_moment() {
        let kinds = || Kinds::new(Registry::default());
        let (one, other) = (kinds(), kinds());
        let long = "a name of more than forty bytes, which no thread remembers";
        let mail = one.add(&"mail".into(), Some(1), 0);
        for _ in 0..2 {
            assert_eq!(one.find("mail"), Some((mail, 1)));
            assert_eq!(other.find("mail"), None);
            assert_eq!(one.find("mai"), None);
            assert_eq!(one.find(long), None);
        }
        one.add(&"mail".into(), Some(2), 0);
        assert_eq!(one.find("mail"), Some((mail, 2)));
        let version = one.version.load(Ordering::Relaxed);
        assert_eq!(one.add(&"mail".into(), None, 0), mail);
        assert_eq!(one.version.load(Ordering::Relaxed), version, "nothing changed");
        let late = one.add(&long.into(), None, 7);
        for _ in 0..2 {
            assert_eq!(one.find(long), Some((late, 7)));
            assert_eq!(one.find("mail"), Some((mail, 2)));
            assert_eq!(other.find("mail"), None);
        }
    }
}
