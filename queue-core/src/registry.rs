//! Which kinds exist, and which named queue each belongs to.
//!
//! A kind's name is looked up once, at push; from there on the job carries a small number. Policies and handlers
//! are next to the workers, in `handler.rs`, under the same numbers.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64 as Counter;

use rustc_hash::FxHashMap;

use crate::job::Name;
use crate::sync::{AtomicU64, Ordering, RwLock, thread_local};

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
    registry: RwLock<Arc<Registry>>,
    /// Another number after every change, and in every queue.
    version: AtomicU64,
}

/// Numbers for versions. No two threads learn anything from each other by it, so checkers need not see it.
static VERSIONS: Counter = Counter::new(1);

fn next_version() -> u64 {
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

/// What a thread knows: the kinds of the queue that it asked last, and which of them that was. To find a kind here writes
/// nothing that threads share. The thread holds on to their names until it asks another queue.
struct Known {
    version: u64,
    /// Many push the same kind over and over, so that one is even closer: 45 instructions instead of 110.
    last: Last,
    registry: Option<Arc<Registry>>,
    /// How often it had to ask the queue, since it knew better.
    asked: usize,
}

struct Last {
    len: usize,
    name: [u8; LONGEST],
    kind: Kind,
    channel: usize,
}

/// Longer names are looked up every time.
const LONGEST: usize = 40;

/// A thread gets to know all kinds once it has asked for one in so many of them. A change copies what somebody knows: so
/// that takes no more time than what was asked for, even if every other call adds a kind.
const WORTH_KNOWING: usize = 64;

thread_local! {
    static KNOWN: RefCell<Known> = const { RefCell::new(Known::NOTHING) };
}

impl Known {
    const NOTHING: Self = {
        let last = Last { len: 0, name: [0; LONGEST], kind: Kind::UNKNOWN, channel: 0 };
        Self { version: 0, last, registry: None, asked: 0 }
    };

    /// The kind that was found last, if it is this one.
    #[inline]
    fn recall(&self, name: &str, version: u64) -> Option<(Kind, usize)> {
        let last = &self.last;
        let is_it = self.version == version && last.name.get(..last.len) == Some(name.as_bytes());
        is_it.then_some((last.kind, last.channel))
    }

    fn look_up(&mut self, name: &str, version: u64, kinds: &Kinds) -> Option<(Kind, usize)> {
        let Some(registry) = self.registry.as_ref().filter(|_| self.version == version) else {
            return self.ask(name, version, kinds);
        };
        let (kind, channel) = registry.find(name)?;
        if let Some(room) = self.last.name.get_mut(..name.len()) {
            room.copy_from_slice(name.as_bytes());
            (self.last.len, self.last.kind, self.last.channel) = (name.len(), kind, channel);
        }
        Some((kind, channel))
    }

    #[cold]
    fn ask(&mut self, name: &str, version: u64, kinds: &Kinds) -> Option<(Kind, usize)> {
        let registry = kinds.registry.read();
        self.asked += 1;
        if self.asked.saturating_mul(WORTH_KNOWING) >= registry.names.len() {
            // What was read may be newer than the version, and is then read again.
            (self.version, self.registry, self.asked) = (version, Some(Arc::clone(&registry)), 0);
            // No kind has this name.
            self.last.len = LONGEST + 1;
        }
        registry.find(name)
    }
}

impl Kinds {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry: RwLock::new(Arc::new(registry)), version: AtomicU64::new(next_version()) }
    }

    /// Adds a kind as [`Registry::add`] does. A known one that stays where it is changes nothing: jobs that were claimed or
    /// recovered name theirs one by one.
    pub(crate) fn add(&self, name: &Name, queue: Option<usize>, default: usize) -> Kind {
        if queue.is_none()
            && let Some((kind, _)) = self.find(name)
        {
            return kind;
        }
        let mut registry = self.registry.write();
        let kind = Arc::make_mut(&mut registry).add(name, queue, default);
        self.version.store(next_version(), Ordering::Release);
        kind
    }

    pub(crate) fn find(&self, name: &str) -> Option<(Kind, usize)> {
        let version = self.version.load(Ordering::Acquire);
        let recalled = KNOWN.try_with(|known| known.borrow().recall(name, version));
        if let Ok(Some(found)) = recalled {
            return Some(found);
        }
        let found = KNOWN.try_with(|known| known.borrow_mut().look_up(name, version, self));
        // A thread that ends may have forgotten what it knew.
        found.unwrap_or_else(|_| self.registry.read().find(name))
    }

    pub(crate) fn name(&self, kind: Kind) -> Option<Name> {
        self.registry.read().name(kind)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    /// The number and the named queue of each kind: beside each other, so that to find both is one look at memory. Only what
    /// was registered is a key here, so nobody can choose keys that collide.
    numbers: FxHashMap<Name, (Kind, u32)>,
    /// The name of each kind, by number.
    names: Vec<Name>,
}

impl Registry {
    /// Adds a kind, or moves a known one to `queue` if that is given.
    ///
    /// # Panics
    ///
    /// With more than 16,777,214 kinds.
    pub(crate) fn add(&mut self, name: &Name, queue: Option<usize>, default: usize) -> Kind {
        let channel = |index: usize| u32::try_from(index).expect("named queues are fewer than that");
        if let Some((kind, home)) = self.numbers.get_mut(name) {
            if let Some(queue) = queue {
                *home = channel(queue);
            }
            return *kind;
        }
        let kind = u32::try_from(self.names.len()).map_or(Kind::UNKNOWN, Kind::from_index);
        assert_ne!(kind, Kind::UNKNOWN, "a queue holds at most 16,777,214 kinds");
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), (kind, channel(queue.unwrap_or(default))));
        kind
    }

    fn find(&self, name: &str) -> Option<(Kind, usize)> {
        let (kind, channel) = *self.numbers.get(name)?;
        Some((kind, channel as usize))
    }

    fn name(&self, kind: Kind) -> Option<Name> {
        self.names.get(kind.0 as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_found_last_is_that_of_this_queue_and_of_this_moment() {
        let kinds = || Kinds::new(Registry::default());
        let (one, other) = (kinds(), kinds());
        let long = "a name that is too long to be kept in place";
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

    #[test]
    fn a_thread_gets_to_know_many_kinds_once_it_has_asked_enough() {
        let kinds = Kinds::new(Registry::default());
        let names: Vec<Name> = (0..640).map(|n| format!("kind {n}").into()).collect();
        let numbers: Vec<Kind> = names.iter().map(|name| kinds.add(name, Some(3), 0)).collect();
        let known = || Arc::strong_count(&kinds.registry.read()) > 1;
        for (asked, (name, number)) in names.iter().zip(&numbers).enumerate() {
            assert_eq!(known(), asked >= 10, "after {asked} questions");
            assert_eq!(kinds.find(name), Some((*number, 3)));
        }
        // It is told of a change, and what it knew is not changed under its hands.
        let late = kinds.add(&"late".into(), Some(4), 0);
        assert!(!known());
        assert_eq!((kinds.find("late"), kinds.find("later")), (Some((late, 4)), None));
        assert_eq!(kinds.find(&names[7]), Some((numbers[7], 3)));
    }

    /// What lives in a thread local may push when its thread ends, and what the thread knew may be gone.
    #[test]
    fn a_thread_that_ends_finds_kinds() {
        struct Pusher(Arc<Kinds>);
        impl Pusher {
            fn push(&self) {
                assert!(self.0.find("mail").is_some());
            }
        }
        impl Drop for Pusher {
            fn drop(&mut self) {
                self.push();
            }
        }
        let kinds = Kinds::new(Registry::default());
        kinds.add(&"mail".into(), None, 0);
        let kinds = Arc::new(kinds);
        let pushed = std::thread::spawn(move || {
            std::thread_local! {
                static PUSHER: RefCell<Option<Pusher>> = const { RefCell::new(None) };
            }
            // The other way round it would be destroyed first.
            PUSHER.set(Some(Pusher(kinds)));
            PUSHER.with_borrow(|pusher| pusher.as_ref().expect("it was just set").push());
        });
        pushed.join().expect("the thread ends well");
    }
}
