//! What needs a hand on time, on the file's size or on SQLite's limits. Everything else is tested through the crate's door.

use std::time::SystemTime;

use queue_core::{AttemptError, JobId, Name, Priority};
use rusqlite::ErrorCode;
use rusqlite::limits::Limit;

use super::*;
use crate::schema;

/// An empty store in memory.
fn connection() -> Connection {
    let mut conn = Connection::open_in_memory().expect("there is memory");
    schema::create(&mut conn).expect("the schema is good");
    conn
}

fn open(conn: &Connection, keep_settled: Option<Duration>) -> (Database<'_>, Recovery) {
    let limits = Limits { crashes: std::num::NonZeroU32::MAX, payload_memory: usize::MAX };
    Database::recover(conn, limits, keep_settled).expect("it opens")
}

impl Database<'_> {
    /// These and no more.
    fn write_all(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        now: Option<SystemTime>,
    ) -> rusqlite::Result<Vec<Refused>> {
        self.write(&mut changes.into_iter().collect(), now, |_| {})
    }
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + millis)
}

fn push(number: u64, bytes: usize) -> Change {
    let payload = Payload::from(vec![b'x'; bytes]);
    let (queue, kind) = (Name::from("default"), Name::from("measure"));
    let id = JobId::new(number);
    let job = JobRecord { id, queue, kind, priority: Priority::NORMAL, due: None, payload, options: None };
    Change::new(Record::Pushed(Box::new(job)))
}

fn start(number: u64) -> Change {
    Change::new(Record::Started { id: JobId::new(number) })
}

fn done(number: u64) -> Change {
    Change::new(Record::Done { id: JobId::new(number) })
}

fn retry(number: u64, attempt: u32) -> Change {
    let failure = AttemptError::new(attempt - 1, "failed", SystemTime::UNIX_EPOCH);
    Change::new(Record::Retried { id: JobId::new(number), attempt, due: None, failure })
}

fn count(conn: &Connection, table: &str) -> i64 {
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count")
}

#[test]
fn time_never_goes_back() {
    let conn = connection();
    let (mut database, found) = open(&conn, None);
    assert_eq!(found.time, None);
    let mut write = |now| drop(database.write_all([start(1)], now).expect("it is written"));
    let seen = || open(&conn, None).1.time;
    write(Some(at(50)));
    assert_eq!(seen(), Some(at(50)));
    write(Some(at(20)));
    assert_eq!(seen(), Some(at(50)));
    write(None);
    assert_eq!(seen(), Some(at(50)));
    write(Some(at(51) + Duration::from_nanos(1)));
    assert_eq!(seen(), Some(at(52)), "what was seen does not lie ahead");
}

#[test]
fn what_is_made_void_in_the_same_batch_is_not_written() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    database.write_all([push(1, 1), push(2, 1), push(3, 1)], None).expect("it is written");
    let rows = || conn.total_changes();
    let mut cost = |changes: Vec<Change>| {
        let before = rows();
        database.write_all(changes, None).expect("it is written");
        rows() - before
    };
    assert_eq!(cost(vec![start(1)]), 1);
    assert_eq!(cost(vec![start(1), done(1)]), 1, "only the end counts");
    assert_eq!(cost(vec![start(2), start(3), retry(2, 1), start(2)]), 4, "two starts, a retry and its error");
    assert_eq!(cost(vec![retry(2, 2), retry(2, 3), done(2)]), 2, "the job and the error it had");
    assert_eq!(cost(vec![push(4, 1), start(4), done(4)]), 1, "the number that was given");
    assert_eq!(count(&conn, "jobs"), 1);
    assert_eq!(open(&conn, None).1.next_id, 5);
}

#[test]
fn what_comes_while_a_transaction_is_made_goes_along() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    let jobs = || count(&conn, "jobs");
    let mut coming = vec![vec![push(3, 1), start(3), done(3)], vec![push(1, 1), push(4, 1)]];
    let mut changes = vec![push(1, 1), push(2, 1)];
    let more = |changes: &mut Vec<Change>| changes.append(&mut coming.pop().unwrap_or_default());
    let refused = database.write(&mut changes, None, more).expect("the others are written");
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [2], "its number is taken");
    assert_eq!((changes.len(), jobs()), (7, 3));

    conn.pragma_update(None, "query_only", true).expect("it can be");
    let mut coming = Some(done(2));
    database
        .write(&mut vec![start(1)], None, |changes| changes.extend(coming.take()))
        .expect_err("nothing can be written");
    assert!(coming.is_some(), "no more is taken up after a failure");
    conn.pragma_update(None, "query_only", false).expect("it can be");
    assert_eq!(jobs(), 3);
}

#[test]
fn what_is_over_takes_nothing_else_along() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    database.write_all((1..=12).map(|number| push(number, 300)), None).expect("they are written");
    let cancelled = Change::new(Record::Cancelled { id: JobId::new(7) });
    let changes =
        [done(4), done(2), done(11), done(3), cancelled, done(8), start(9), done(12), done(4), done(77)];
    database.write_all(changes, None).expect("it is written");
    let mut query =
        conn.prepare("SELECT jobs.id FROM jobs JOIN payloads USING (id) ORDER BY id").expect("a query");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    assert_eq!(rows.collect::<rusqlite::Result<Vec<i64>>>().expect("rows"), [1, 5, 6, 9, 10]);
    assert_eq!((count(&conn, "jobs"), count(&conn, "payloads")), (5, 5));
}

#[test]
fn settled_jobs_are_kept_for_their_time() {
    let conn = connection();
    let (mut database, _) = open(&conn, Some(Duration::from_millis(100)));
    database
        .write_all([push(1, 1), push(2, 1), push(3, 1), start(1), retry(1, 1)], Some(at(0)))
        .expect("it is written");
    database.write_all([start(1), done(1)], Some(at(0))).expect("it is written");
    let cancelled = Change::new(Record::Cancelled { id: JobId::new(2) });
    database.write_all([cancelled], Some(at(90))).expect("it is written");
    let kept = || {
        let mut query =
            conn.prepare("SELECT job, attempt, outcome FROM settled ORDER BY number").expect("a query");
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
        rows.collect::<rusqlite::Result<Vec<(i64, i64, i64)>>>().expect("rows")
    };
    assert_eq!(kept(), [(1, 1, 0), (2, 0, 1)]);
    database.write_all([start(3)], Some(at(100))).expect("it is written");
    assert_eq!(kept(), [(1, 1, 0), (2, 0, 1)], "not before its time");
    database.write_all([start(3)], Some(at(101))).expect("it is written");
    assert_eq!(kept(), [(2, 0, 1)]);
    database
        .write_all([push(4, 1), start(4), retry(4, 1), start(4), done(4)], Some(at(101)))
        .expect("it is written");
    assert_eq!(kept(), [(2, 0, 1), (4, 1, 0)], "as it was, and not void because it is over");
}

/// Lets the file have no page more than it has.
fn fill(conn: &Connection) {
    let pages: u32 = conn.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a number");
    conn.pragma_update(None, "max_page_count", pages).expect("it can be");
}

#[test]
fn a_full_disk_changes_nothing_and_heals() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    database.write_all([push(1, 100_000), push(2, 1)], Some(at(1))).expect("there is room");
    fill(&conn);
    let job = |number| match push(number, 100_000).record().cloned() {
        Some(Record::Pushed(job)) => {
            Change::new(Record::Pushed(Box::new(JobRecord { kind: "new".into(), ..*job })))
        }
        _ => unreachable!("it is a push"),
    };
    let error = database.write_all([start(2), job(3)], Some(at(2))).expect_err("there is none left");
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    let found = open(&conn, None).1;
    assert_eq!((found.next_id, found.time), (3, Some(at(1))), "nothing of it was written");

    database.write_all([done(1), start(2)], Some(at(3))).expect("this takes no room, and makes some");
    assert!(database.write_all([job(3)], Some(at(4))).expect("the room of the other").is_empty());
    let found = open(&conn, None).1;
    let kinds: Vec<_> =
        found.jobs.iter().flatten().map(|job| (job.id.as_u64(), job.kind.to_string())).collect();
    assert_eq!(kinds, [(2, "measure".to_owned()), (3, "new".to_owned())]);
}

#[test]
fn what_is_too_large_for_sqlite_fails_alone() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, 1000).expect("it can be");
    let changes = [push(1, 10), push(2, 2000), push(3, 10), start(1)];
    let refused = database.write_all(changes, None).expect("the others are written");
    let refused: Vec<_> =
        refused.iter().map(|refused| (refused.index, refused.error.sqlite_error_code())).collect();
    assert_eq!(refused, [(1, Some(ErrorCode::TooBig))]);
    assert_eq!((count(&conn, "jobs"), count(&conn, "payloads")), (2, 0));
}

#[test]
fn a_number_that_is_taken_fails_alone() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    database.write_all([push(1, 1000)], None).expect("it is written");
    let refused = database.write_all([push(1, 2000), push(2, 10)], None).expect("the other is written");
    assert_eq!(refused.iter().map(|refused| refused.index).collect::<Vec<_>>(), [0]);
    assert_eq!(database.load(JobId::new(1)).expect("it is as it was").len(), 1000);
    assert_eq!(count(&conn, "jobs"), 2);
}

#[test]
fn payloads_can_be_loaded_wherever_they_are() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    let sizes = [0, 1, 256, 257, 1 << 20];
    database.write_all(sizes.map(|bytes| push(1 + bytes as u64, bytes)), None).expect("they are written");
    for bytes in sizes {
        let payload = database.load(JobId::new(1 + bytes as u64)).expect("it is there");
        assert_eq!(payload, Payload::from(vec![b'x'; bytes]));
    }
    let error = database.load(JobId::new(7777)).expect_err("there is none");
    assert!(matches!(error, rusqlite::Error::QueryReturnedNoRows));
}

#[test]
fn unused_pages_are_given_back() {
    let conn = connection();
    let (mut database, _) = open(&conn, None);
    let pages = || conn.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0)).expect("a number");
    let small = pages();
    for _ in 0..3 {
        database.write_all((1..=100).map(|number| push(number, 100_000)), None).expect("they are written");
        assert!(!database.tidy().expect("it works"), "there is nothing to give back");
        let large = pages();
        assert!(large > 2400, "{large} pages");
        database.write_all((1..=100).map(done), None).expect("it is written");
        assert_eq!(pages(), large);
        let steps = std::iter::from_fn(|| database.tidy().expect("it works").then_some(())).count();
        assert!(steps > 3, "{steps} steps, so each is short");
        assert!(pages() < small + 2 * TIDY_PAGES, "{} pages", pages());
    }
}
