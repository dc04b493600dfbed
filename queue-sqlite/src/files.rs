//! The files of a store: which there are, whose they are, and who may use them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::schema;

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A store of a version that this crate knows.
    Store,
}

/// The right to use a store, until dropped. The lock is on a file of its own, so that a shell can look into the database
/// meanwhile. The file stays: who removes it may remove the one that another process has just locked.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(beside(path, "-lock"))
            .map_err(|error| OpenError::of_io(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(OpenError::of_io(path, error)),
        }
    }
}

/// Where the store really is, so that two names of one file have one lock.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |error| OpenError::of_io(path, error);
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(fs::canonicalize(folder.unwrap_or(Path::new("."))).map_err(failed)?.join(name))
        }
        found => found.map_err(failed),
    }
}

/// Looks at a file without touching it: for SQLite, to open is to recover, and that is not ours to do to the files of others.
pub(crate) fn look(path: &Path) -> Result<Found, OpenError> {
    let mut header = Vec::with_capacity(HEADER);
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        file => file
            .and_then(|file| file.take(HEADER as u64).read_to_end(&mut header))
            .map_err(|error| OpenError::of_io(path, error))?,
    };
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    let number = |at: usize| Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?));
    match (header.starts_with(MAGIC), number(APPLICATION_ID), number(USER_VERSION)) {
        (true, Some(schema::APPLICATION_ID), Some(version)) => {
            schema::check_version(path, version)?;
            Ok(Found::Store)
        }
        _ => Err(OpenError::NotAStore { path: path.to_owned() }),
    }
}

/// Makes a store in one step: whoever looks finds nothing or all of it, wherever the process was killed.
pub(crate) fn create(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let failed = |error| OpenError::of_io(path, error);
    let new = beside(path, "-new");
    for left_over in [new.clone(), beside(path, "-new-journal")] {
        match fs::remove_file(left_over) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let made = fill(&new).and_then(|()| {
        if let Ok(empty) = fs::metadata(path) {
            fs::set_permissions(&new, empty.permissions()).map_err(failed)?;
        }
        fs::rename(&new, path).map_err(failed)
    });
    if made.is_err() {
        // What is left of it is of no use, and what went wrong with it has been said.
        let _ = fs::remove_file(&new);
    }
    made?;
    sync_folder(path).map_err(failed)
}

/// Whether the file can be written to, told apart before SQLite falls back to reading only.
pub(crate) fn check_writable(path: &Path) -> Result<(), OpenError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| OpenError::of_io(path, error))?;
    Ok(())
}

/// Whether a process has left something in its log that is not yet in the database.
pub(crate) fn has_log(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// A name is on disk when its folder is synced; elsewhere than on Unix a folder cannot be.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The header of a database, as <https://sqlite.org/fileformat.html> has it.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;
