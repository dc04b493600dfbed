//! Why a store cannot be opened, and what kind of failure one is while it runs.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use queue_core::StoreFault;
use rusqlite::ErrorCode;

/// A store could not be opened. What was there is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Somebody else uses it: another process, another store in this one, or a shell that is writing.
    #[error("{} is in use; stop the other process, or close the other store, and open it again", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// It was written by a newer version of this crate.
    #[error("{} has version {found}, and this program knows up to {known}; run a newer program", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that would do.
        known: u32,
    },
    /// It is a file of something else.
    #[error("{} is not a store of jobs; give another path, and it stays what it is", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error(
        "{} is damaged; restore it from a copy, or save what can be read with the sqlite3 shell's .recover",
        path.display()
    )]
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no room to create or open it.
    #[error("there is no room for {}; make some, and open it again", path.display())]
    Full {
        /// The store.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file or its folder must not be written to. A store needs to: its log and its lock are beside it.
    #[error("{} or its folder cannot be written to; see to their permissions", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Reading or writing failed.
    #[error("{} could not be opened; see the cause", path.display())]
    Io {
        /// The store.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn of_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, source: error.into() }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source: error.into() }
            }
            _ => Self::Io { path, source: error.into() },
        }
    }

    pub(crate) fn of_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match fault(&error) {
            StoreFault::Full => Self::Full { path, source: error.into() },
            StoreFault::ReadOnly => Self::ReadOnly { path, source: error.into() },
            StoreFault::Locked => Self::Locked { path },
            StoreFault::Corrupt => Self::Corrupt { path, source: error.into() },
            _ => Self::Io { path, source: error.into() },
        }
    }
}

/// What kind of failure this is. What cannot be understood counts as damage: the schema is strict about types, so it was
/// not written by this crate.
pub(crate) fn fault(error: &rusqlite::Error) -> StoreFault {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    match error {
        FromSqlConversionFailure(..)
        | IntegralValueOutOfRange(..)
        | InvalidColumnType(..)
        | Utf8Error(..) => StoreFault::Corrupt,
        error => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreFault::Full,
            Some(ErrorCode::TooBig) => StoreFault::TooLarge,
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreFault::ReadOnly
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreFault::Corrupt,
            _ => StoreFault::Io,
        },
    }
}

/// Whether a record can never be written, however often it is tried, while others can.
pub(crate) fn is_own_fault(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
        || matches!(error.sqlite_error_code(), Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn failures_are_told_apart() {
        let of = |code| fault(&rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert_eq!(of(ffi::SQLITE_FULL), StoreFault::Full);
        assert_eq!(of(ffi::SQLITE_TOOBIG), StoreFault::TooLarge);
        assert_eq!(of(ffi::SQLITE_READONLY), StoreFault::ReadOnly);
        assert_eq!(of(ffi::SQLITE_CANTOPEN), StoreFault::ReadOnly);
        assert_eq!(of(ffi::SQLITE_PERM), StoreFault::ReadOnly);
        assert_eq!(of(ffi::SQLITE_BUSY), StoreFault::Locked);
        assert_eq!(of(ffi::SQLITE_LOCKED), StoreFault::Locked);
        assert_eq!(of(ffi::SQLITE_CORRUPT), StoreFault::Corrupt);
        assert_eq!(of(ffi::SQLITE_NOTADB), StoreFault::Corrupt);
        assert_eq!(of(ffi::SQLITE_IOERR_FSYNC), StoreFault::Io);
    }
}
