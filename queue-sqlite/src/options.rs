//! What an application may decide about its store.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use crate::database::Limits;
use crate::error::OpenError;
use crate::store::Store;

/// How a store is opened; see [`Store::options`].
///
/// ```
/// use std::time::Duration;
/// use queue_sqlite::{Durability, Store};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("jobs.db");
/// let store = Store::options()
///     .durability(Durability::Normal)
///     .keep_settled(Duration::from_secs(24 * 60 * 60))
///     .open(path)?;
/// # drop(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens until it is opened"]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) check: Check,
    pub(crate) crashes_before_quarantine: NonZeroU32,
    pub(crate) keep_settled: Option<Duration>,
    pub(crate) payload_memory: usize,
    pub(crate) max_size: Option<u64>,
}

/// What survives a loss of power. Killing the process, in whatever way, loses nothing at either level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// `synchronous=FULL`: the write-ahead log is synced after each transaction. Nothing that was accepted or settled is
    /// lost.
    #[default]
    Full,
    /// `synchronous=NORMAL`: SQLite syncs the log only when it moves it into the database. In its own words, "WAL mode is
    /// always consistent with synchronous=NORMAL, but WAL mode does lose durability. A transaction committed in WAL mode
    /// with synchronous=NORMAL might roll back following a power loss or system crash."
    ///
    /// So what was accepted last may be gone, and what was settled last may run again. Several times as fast as
    /// [`Full`](Self::Full) when few push at a time.
    Normal,
}

/// How much of the file is looked at for damage before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Whatever opening reads: every job, every error in its history, and the names. Large payloads are looked at when
    /// they are loaded.
    #[default]
    Read,
    /// The whole file, as SQLite's `quick_check` does it: every page, and that none is used twice or not at all.
    Quick,
    /// The whole file, as SQLite's `integrity_check` does it: also that the indices are what they should be.
    Full,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            check: Check::default(),
            crashes_before_quarantine: NonZeroU32::new(3).expect("three is not zero"),
            keep_settled: None,
            payload_memory: 64 << 20,
            max_size: None,
        }
    }
}

impl Options {
    /// What survives a loss of power.
    ///
    /// Default: [`Durability::Full`], because accepted jobs are to be kept.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How much of the file is looked at for damage before it is used. More takes longer.
    ///
    /// Default: [`Check::Read`], because a million jobs are then there within a second, and damage in what is read later
    /// is noticed when it is.
    pub fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// How many times in a row a job may be running when the process crashes before it becomes a dead letter. It may be
    /// what crashes it; but then all that ran beside it are counted as well, so a low number quarantines the innocent.
    /// Crashes are counted apart from attempts, and an attempt that ends in any other way clears the count.
    ///
    /// Default: 3, because a job that brings the process down is to do so only a few times, and a machine that is switched
    /// off twice says nothing about a job.
    pub fn crashes_before_quarantine(mut self, crashes: NonZeroU32) -> Self {
        self.crashes_before_quarantine = crashes;
        self
    }

    /// How long to keep the facts of a job that is done or cancelled, in the table `settled`, for the `sqlite3` shell.
    /// They are removed by later writes, not by the clock alone. It makes the file larger, and the queue about a fifth
    /// slower.
    ///
    /// Default: not kept, because most queues never ask.
    pub fn keep_settled(mut self, time: Duration) -> Self {
        self.keep_settled = Some(time);
        self
    }

    /// How many bytes of payload each named queue keeps in memory. What is beyond it is read from the file when a job's
    /// turn comes, which takes a while longer; payloads of up to 54 bytes cost nothing and always stay.
    ///
    /// Default: 64 MiB, because that is a quarter of a million jobs of 256 bytes, and little for a server.
    pub fn payload_memory(mut self, bytes: usize) -> Self {
        self.payload_memory = bytes;
        self
    }

    /// How large the file may become, in bytes, the write-ahead log apart, which takes a few megabytes more. When it is
    /// reached, pushes fail as they do on a full disk, and work goes on.
    ///
    /// Default: as large as the disk allows, because a push that fails needs somebody to care.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { crashes: self.crashes_before_quarantine, payload_memory: self.payload_memory }
    }

    /// Opens the store, and creates or migrates it first if need be.
    ///
    /// Blocks the thread: a million jobs take most of a second to read.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. What was there is as it was before.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store, OpenError> {
        Store::open_with(path.as_ref(), self)
    }
}
