//! The tables, and the way from older versions to this one.
//!
//! The comments in the statements are kept by SQLite: `.schema` in its shell shows them.

use std::path::Path;

use rusqlite::Connection;

use crate::error::OpenError;

/// `JobQ`, in the file's header.
pub(crate) const APPLICATION_ID: u32 = 0x4A6F_6251;

/// The version that this crate writes. It is that of the last step.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub(crate) const VERSION: u32 = STEPS.len() as u32;

/// Each leads from the version that is its place to the next one. They are never changed, only added to.
const STEPS: &[&str] = &[VERSION_1];

/// Payloads of up to this many bytes are kept in the row of their job.
pub(crate) const SMALL_PAYLOAD: usize = 256;

/// The bytes of a page. Twice as many take a tenth off writing payloads of 1 KiB in bulk, and double what a single push
/// has to sync.
const PAGE_SIZE: u32 = 4096;

/// How long a writer waits for a shell that writes.
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Fills a new file. The log comes later: until the header is in the file itself, nobody could tell whose it is.
pub(crate) fn create(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", PAGE_SIZE)?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    let transaction = conn.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    step_up(&transaction, 0, STEPS)?;
    transaction.commit()
}

/// Brings the file to the version of this crate.
pub(crate) fn migrate(path: &Path, conn: &mut Connection) -> Result<(), OpenError> {
    let failed = |error| OpenError::of_sqlite(path, error);
    let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    check_version(path, version)?;
    if version < VERSION { migrate_from(version, conn, STEPS).map_err(failed) } else { Ok(()) }
}

/// In one transaction, so it is done or not.
fn migrate_from(version: u32, conn: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction = conn.transaction()?;
    step_up(&transaction, version, steps)?;
    transaction.commit()?;
    // So that the header says so, too: it is looked at before anything else.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

pub(crate) fn check_version(path: &Path, found: u32) -> Result<(), OpenError> {
    if found > VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    Ok(())
}

fn step_up(conn: &Connection, from: u32, steps: &[&str]) -> rusqlite::Result<()> {
    let mut version = from;
    for step in steps.iter().skip(from as usize) {
        conn.execute_batch(step)?;
        version += 1;
    }
    conn.pragma_update(None, "user_version", version)
}

const VERSION_1: &str = include_str!("version_1.sql");

#[cfg(test)]
mod tests {
    use super::*;

    fn version(conn: &Connection) -> u32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number")
    }

    fn version_1() -> Connection {
        let mut conn = Connection::open_in_memory().expect("there is memory");
        create(&mut conn).expect("the schema is good");
        conn.execute("INSERT INTO names (name) VALUES ('default')", []).expect("there is such a table");
        conn
    }

    #[test]
    fn each_step_is_taken_once() {
        let mut conn = version_1();
        let steps = [VERSION_1, "ALTER TABLE names ADD COLUMN note TEXT", "UPDATE names SET note = 'third'"];
        migrate_from(1, &mut conn, &steps).expect("they are good");
        assert_eq!(version(&conn), 3);
        let note: String =
            conn.query_row("SELECT note FROM names", [], |row| row.get(0)).expect("it was kept");
        assert_eq!(note, "third");
    }

    #[test]
    fn a_step_that_fails_takes_all_back() {
        let mut conn = version_1();
        let steps = [VERSION_1, "DELETE FROM names", "this is no SQL"];
        migrate_from(1, &mut conn, &steps).expect_err("the last one is bad");
        assert_eq!(version(&conn), 1);
        conn.query_row("SELECT name FROM names", [], |_| Ok(())).expect("it is still there");
    }
}
