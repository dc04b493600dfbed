//! A folder with a store in it, and words for what happens to jobs.
#![allow(dead_code, reason = "each test uses some of it")]

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use queue_core::{
    AttemptError, Change, DeadReason, Due, JobId, JobRecord, Journal, Payload, Priority, Record, Recovered,
    RecoveredDead, Recovery, Sink,
};
use queue_sqlite::{Options, Store};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Where syncing costs nothing, if there is such a place.
    pub(crate) fn in_memory() -> Self {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Self::new(), Self)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("jobs.db")
    }

    /// Opens the store, has this written, and closes it as a crash would: nobody says goodbye.
    pub(crate) fn write(&self, records: impl IntoIterator<Item = Record>) -> Recovery {
        self.write_with(Store::options(), records)
    }

    pub(crate) fn write_with(&self, options: Options, records: impl IntoIterator<Item = Record>) -> Recovery {
        let store = options.open(self.path()).expect("it opens");
        let recovery = store.begin(Sink::default());
        append(&store, records);
        recovery
    }

    /// What a queue would find now.
    pub(crate) fn look(&self) -> Recovery {
        self.write([])
    }

    /// What the `sqlite3` shell would see.
    pub(crate) fn shell(&self) -> Connection {
        Connection::open(self.path()).expect("a shell opens it")
    }

    pub(crate) fn count(&self, table: &str) -> i64 {
        self.shell()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .expect("a count")
    }

    /// The bytes of the database itself.
    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(self.path()).expect("it is there").len()
    }
}

pub(crate) fn append(store: &Store, records: impl IntoIterator<Item = Record>) {
    store.append(&mut records.into_iter().map(Change::new).collect());
}

pub(crate) fn id(number: u64) -> JobId {
    JobId::new(number)
}

pub(crate) fn job(number: u64) -> JobRecord {
    JobRecord {
        id: id(number),
        queue: "default".into(),
        kind: "send_email".into(),
        priority: Priority::NORMAL,
        due: None,
        payload: Payload::from(format!("\"{number}\"")),
        options: None,
    }
}

pub(crate) fn push(number: u64) -> Record {
    Record::Pushed(Box::new(job(number)))
}

pub(crate) fn push_bytes(number: u64, bytes: usize) -> Record {
    Record::Pushed(Box::new(JobRecord { payload: payload(bytes), ..job(number) }))
}

/// Bytes that tell one length from another, and are no text.
pub(crate) fn payload(bytes: usize) -> Payload {
    Payload::from(
        (0..bytes).map(|at| u8::try_from((at * 7 + bytes) % 256).expect("below 256")).collect::<Vec<_>>(),
    )
}

pub(crate) fn start(number: u64) -> Record {
    Record::Started { id: id(number) }
}

pub(crate) fn done(number: u64) -> Record {
    Record::Done { id: id(number) }
}

pub(crate) fn retry(number: u64, attempt: u32) -> Record {
    let failure = failure(attempt - 1);
    Record::Retried { id: id(number), attempt, due: Some(Due::At(at(60_000))), failure }
}

pub(crate) fn die(number: u64, attempts: u32) -> Record {
    let failure = failure(attempts - 1);
    Record::Died { id: id(number), reason: DeadReason::RetriesExhausted, attempts, failure }
}

pub(crate) fn failure(attempt: u32) -> AttemptError {
    AttemptError::new(attempt, format!("attempt {attempt} failed"), at(u64::from(attempt)))
}

/// A time in the life of the tests.
pub(crate) fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_000 + millis)
}

pub(crate) fn waiting(recovery: &Recovery) -> Vec<&Recovered> {
    recovery.jobs.iter().flatten().collect()
}

pub(crate) fn waiting_ids(recovery: &Recovery) -> Vec<u64> {
    recovery.jobs.iter().flatten().map(|job| job.id.as_u64()).collect()
}

pub(crate) fn dead_ids(recovery: &Recovery) -> Vec<u64> {
    recovery.dead.iter().map(|dead| dead.id.as_u64()).collect()
}

pub(crate) fn only(recovery: &Recovery) -> &Recovered {
    let jobs = waiting(recovery);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs[0]
}

pub(crate) fn only_dead(recovery: &Recovery) -> &RecoveredDead {
    assert_eq!(recovery.dead.len(), 1, "{:?}", recovery.dead);
    &recovery.dead[0]
}
