//! What goes wrong with a store, and how the queue does.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// A durable store did not do what it was asked to.
///
/// Cheap to clone: one failed write may fail many pushes. Its text says what happened and what to do;
/// [`fault`](Self::fault) says of what kind it is.
///
/// ```
/// use queue_core::{StoreError, StoreFault};
///
/// let error = StoreError::new(StoreFault::Full, std::io::Error::other("no space left on device"));
/// assert_eq!(error.fault(), StoreFault::Full);
/// assert_eq!(error.to_string(), "the store is full; make room, and the queue goes on by itself");
/// ```
#[derive(Clone, Debug)]
pub struct StoreError {
    fault: StoreFault,
    source: Arc<dyn Error + Send + Sync>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFault {
    /// There is no room.
    Full,
    /// It is more than the store takes in one piece, however much room there is.
    TooLarge,
    /// It must not be written to.
    ReadOnly,
    /// Somebody else holds it.
    Locked,
    /// What is in it makes no sense.
    Corrupt,
    /// Reading or writing failed.
    Io,
    /// It was closed.
    Closed,
    /// It cannot be reached.
    Unreachable,
    /// It did not answer: what was asked may have been done.
    InDoubt,
}

impl StoreError {
    /// An error of this kind, with what caused it.
    pub fn new(fault: StoreFault, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { fault, source: Arc::from(source.into()) }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn fault(&self) -> StoreFault {
        self.fault
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.fault {
            StoreFault::Full => "the store is full; make room, and the queue goes on by itself",
            StoreFault::TooLarge => {
                "it is larger than the store takes; keep it elsewhere, and push where it is to be found"
            }
            StoreFault::ReadOnly => "the store cannot be written to; see to its permissions",
            StoreFault::Locked => "the store is held by somebody else; stop the other process",
            StoreFault::Corrupt => "the store is damaged; restore it from a copy",
            StoreFault::Io => "the store could not be read or written; see the cause",
            StoreFault::Closed => "the store is closed",
            StoreFault::Unreachable => "the store cannot be reached; it is tried again all the time",
            StoreFault::InDoubt => {
                "the store did not answer, so it may have been done; do it again if twice is better than not at all"
            }
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// How a queue's store does; see [`Handle::health`](crate::Handle::health).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Health {
    /// All is well; in memory it always is.
    Well,
    /// The store cannot be written to. Pushes fail with the job given back, nothing new is started, what ran is recorded as
    /// soon as the store can be written to again, which is tried over and over.
    Outage {
        /// What is wrong with it.
        error: StoreError,
        /// Since when, by the wall clock.
        since: SystemTime,
    },
}

impl Health {
    /// Whether all is well.
    #[must_use]
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }
}
