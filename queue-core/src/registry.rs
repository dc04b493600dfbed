//! Which kinds exist, and which named queue each belongs to.
//!
//! A kind's name is looked up once, at push; from there on the job carries a small number. Policies and handlers
//! are next to the workers, in `handler.rs`, under the same numbers.

use rustc_hash::FxHashMap;

use crate::job::Name;

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

    pub(crate) fn find(&self, name: &str) -> Option<(Kind, usize)> {
        let kind = *self.numbers.get(name)?;
        Some((kind, self.kinds[kind.0 as usize].1))
    }

    pub(crate) fn name(&self, kind: Kind) -> Option<Name> {
        self.kinds.get(kind.0 as usize).map(|(name, _)| name.clone())
    }
}
