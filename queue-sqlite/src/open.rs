//! From a path to a connection: whose file it is, who may use it, and whether it is sound.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::files::{self, Found, Lock};
use crate::options::{Check, Durability, Options};
use crate::schema;

/// How many pages of log are gathered before they are moved into the database.
const CHECKPOINT_PAGES: u32 = 1000;

/// To what the log is cut after it has grown, in bytes.
const LOG_SIZE: u32 = 16 << 20;

/// Memory for pages, in KiB: a burst of new jobs and the oldest ones fit.
const CACHE_KIB: i32 = 8 << 10;

/// An open store. The connection is closed before the lock is let go.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) conn: Connection,
    _lock: Lock,
}

pub(crate) fn open(path: &Path, options: &Options) -> Result<Files, OpenError> {
    let failed = |error| OpenError::of_sqlite(path, error);
    files::look(path)?;
    let lock = Lock::take(path)?;
    if files::look(path)? == Found::Nothing {
        files::create(path, |new| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let mut conn = Connection::open_with_flags(new, flags).map_err(failed)?;
            schema::create(&mut conn).and_then(|()| conn.close().map_err(|(_, error)| error)).map_err(failed)
        })?;
    }
    files::check_writable(path)?;
    let has_log = files::has_log(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Closing moves the log into the database, unless told otherwise: whose is not known to be sound stays as it is.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log).map_err(failed)?;
    configure(&conn, options).map_err(failed)?;
    check(path, &conn, options.check)?;
    schema::migrate(path, &mut conn)?;
    Ok(Files { conn, _lock: lock })
}

impl Files {
    /// All of it could be read, so closing it may move the log into the database.
    pub(crate) fn are_good(&self) -> rusqlite::Result<()> {
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(())
    }
}

fn configure(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.busy_timeout(schema::BUSY_TIMEOUT)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let text = "there can be no write-ahead log here; is this a network file system?";
        return Err(rusqlite::Error::ToSqlConversionFailure(text.into()));
    }
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // On macOS a plain sync leaves the data in the drive's own memory; elsewhere these do nothing.
    conn.pragma_update(None, "fullfsync", options.durability == Durability::Full)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", LOG_SIZE)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    if let Some(bytes) = options.max_size {
        let page: u32 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = u32::try_from(bytes / u64::from(page)).unwrap_or(u32::MAX - 1).max(1);
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

fn check(path: &Path, conn: &Connection, check: Check) -> Result<(), OpenError> {
    let pragma = match check {
        Check::Read => return Ok(()),
        Check::Quick => "PRAGMA quick_check(1)",
        Check::Full => "PRAGMA integrity_check(1)",
    };
    let answer: String =
        conn.query_row(pragma, [], |row| row.get(0)).map_err(|error| OpenError::of_sqlite(path, error))?;
    if answer == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt { path: path.to_owned(), source: answer.into() })
}
