//! The one thread that writes.
//!
//! ```text
//!   Inbox ──▶ all that waits ──▶ one transaction ──▶ Sink::written
//!                    ▲                  │
//!                    └──── backlog ◀────┴─ failed ──▶ Sink::failed: pushes go back, the rest is tried again
//! ```
//!
//! It must outlive whatever goes wrong: without it every push would wait for ever.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use queue_core::{Change, Loading, Recovery, Sink, StoreError, StoreFault};

use crate::database::Database;
use crate::error::{OpenError, fault};
use crate::inbox::{Inbox, LARGEST, Rest, Stop, Taken, calls, now};
use crate::open;
use crate::options::Options;

/// How long to wait before a failed write is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Opens the store, says what came of it, and writes until nobody is left who could have anything written.
pub(crate) fn run(
    inbox: &Inbox,
    path: &Path,
    options: &Options,
    opened: &SyncSender<Result<Recovery, OpenError>>,
) {
    let lived = panic::catch_unwind(AssertUnwindSafe(|| live(inbox, path, options, opened)));
    inbox.release();
    let error = match lived {
        Ok(Ok(())) => StoreError::new(StoreFault::Closed, "it was closed before this was written"),
        Ok(Err(error)) => {
            // Whoever opens it waits for this, so it cannot have gone.
            let _ = opened.send(Err(error));
            return;
        }
        Err(_) => StoreError::new(StoreFault::Io, "the thread that writes has panicked"),
    };
    refuse(inbox, &error);
}

fn live(
    inbox: &Inbox,
    path: &Path,
    options: &Options,
    opened: &SyncSender<Result<Recovery, OpenError>>,
) -> Result<(), OpenError> {
    let files = open::open(path, options)?;
    let (database, recovery) = Database::recover(&files.conn, options.limits(), options.keep_settled)
        .map_err(|error| OpenError::of_sqlite(path, error))?;
    files.are_good().map_err(|error| OpenError::of_sqlite(path, error))?;
    let _ = opened.send(Ok(recovery));
    Writer { inbox, database, backlog: Vec::new(), outage: None, company: Company::default() }.run();
    Ok(())
}

/// Answers all that comes after the end.
fn refuse(inbox: &Inbox, error: &StoreError) {
    let mut stop = Stop::Close;
    while stop != Stop::End {
        let Taken { mut changes, loads, sink, stop: now } = inbox.wait(Rest::Long, stop);
        stop = now;
        guarded(|| sink.failed(&mut changes, error));
        for loading in loads {
            guarded(|| loading.answer(Err(error.clone())));
        }
    }
}

struct Writer<'c> {
    inbox: &'c Inbox,
    database: Database<'c>,
    /// What has happened and could not be written, to be written before anything else.
    backlog: Vec<Change>,
    outage: Option<Outage>,
    company: Company,
}

/// Of the last write. Who waited for it is back in a moment, most likely, and goes along with the next one if that waits for
/// them: half as long as it took, at most. One by one, each would wait for a write before its own.
#[derive(Default)]
struct Company {
    callers: usize,
    took: Duration,
}

struct Outage {
    error: StoreError,
    pause: Duration,
    retry: Instant,
}

impl Writer<'_> {
    fn run(&mut self) {
        let mut rest = Rest::Long;
        loop {
            let taken = self.inbox.wait(rest, Stop::Not);
            for loading in taken.loads {
                self.load(loading);
            }
            let ends = taken.stop != Stop::Not;
            let was_busy = !taken.changes.is_empty();
            self.take(taken.changes, &taken.sink, ends);
            if ends {
                return;
            }
            rest = if let Some(outage) = &self.outage {
                Rest::Until(outage.retry)
            } else if was_busy {
                Rest::Short
            } else if self.tidy() {
                Rest::Until(now())
            } else {
                Rest::Long
            };
        }
    }

    /// Writes the changes, or turns them away, or both, as they can be written.
    fn take(&mut self, mut changes: Vec<Change>, sink: &Sink, ends: bool) {
        if let Some(outage) = &self.outage {
            if now() < outage.retry && !ends {
                guarded(|| sink.failed(&mut changes, &outage.error));
                self.backlog.append(&mut changes);
                return;
            }
        } else if changes.is_empty() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.backlog);
        waiting.append(&mut changes);
        loop {
            let rest = waiting.split_off(waiting.len().min(LARGEST));
            self.write(waiting, sink, rest.is_empty());
            if self.outage.is_some() {
                waiting = rest;
                break;
            }
            if rest.is_empty() {
                return;
            }
            waiting = rest;
            // Whoever waits for a payload waits for one transaction, not for all of them.
            for loading in self.inbox.take_loads() {
                self.load(loading);
            }
        }
        if let Some(outage) = &self.outage {
            guarded(|| sink.failed(&mut waiting, &outage.error));
            self.backlog.append(&mut waiting);
        }
    }

    /// One transaction, and the answer to it. Without changes it finds out whether the outage is over. If these are the last
    /// that were handed over, it takes in what comes meanwhile.
    fn write(&mut self, mut changes: Vec<Change>, sink: &Sink, is_last: bool) {
        let notes_only = !changes.is_empty() && changes.iter().all(|change| change.record().is_none());
        if notes_only && self.outage.is_none() {
            guarded(|| sink.written(changes));
            return;
        }
        let (begun, last) = (now(), std::mem::take(&mut self.company));
        let until = begun + last.took / 2;
        let mut callers = calls(&changes);
        let more = |changes: &mut Vec<Change>| {
            if is_last && now() < until {
                callers += self.inbox.take_more(changes, last.callers.saturating_sub(callers), until);
            }
        };
        match self.database.write(&mut changes, sink.time(), more) {
            Ok(refused) => {
                self.outage = None;
                self.company = Company { callers, took: begun.elapsed() };
                for refused in refused.into_iter().rev() {
                    let error = StoreError::new(fault(&refused.error), refused.error);
                    let mut change = vec![changes.remove(refused.index)];
                    guarded(|| sink.failed(&mut change, &error));
                    // What is left of it can never be written, and is as good as written.
                    changes.splice(refused.index..refused.index, change);
                }
                guarded(|| sink.written(changes));
            }
            Err(error) => {
                let error = StoreError::new(fault(&error), error);
                guarded(|| sink.failed(&mut changes, &error));
                self.backlog = changes;
                let pause = self.outage.as_ref().map_or(RETRY.0, |outage| (outage.pause * 2).min(RETRY.1));
                self.outage = Some(Outage { error, pause, retry: now() + pause });
            }
        }
    }

    fn load(&mut self, loading: Loading) {
        let payload =
            self.database.load(loading.id()).map_err(|error| StoreError::new(load_fault(&error), error));
        guarded(|| loading.answer(payload));
    }

    /// Gives unused pages back while nobody wants anything. Says whether there is more to give.
    fn tidy(&mut self) -> bool {
        // Failing here costs nothing but room; what is wrong will be said by the next write.
        self.inbox.is_quiet() && self.database.tidy().unwrap_or(false)
    }
}

/// A payload that is not there is damage, or a person's doing.
fn load_fault(error: &rusqlite::Error) -> StoreFault {
    match error {
        rusqlite::Error::QueryReturnedNoRows => StoreFault::Corrupt,
        error => fault(error),
    }
}

/// Runs what wakes others: wakers are code of users, and a panic in one must not take the thread with it.
fn guarded(answer: impl FnOnce()) {
    let _ = panic::catch_unwind(AssertUnwindSafe(answer));
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use queue_core::{JobId, JobRecord, Priority, Record};
    use rusqlite::Connection;

    use super::*;
    use crate::database::Limits;
    use crate::schema;

    #[test]
    fn what_cannot_be_written_is_kept_in_order_until_it_can() {
        let mut conn = Connection::open_in_memory().expect("there is memory");
        schema::create(&mut conn).expect("the schema is good");
        let limits = Limits { crashes: NonZeroU32::MIN, payload_memory: 0 };
        let (database, _) = Database::recover(&conn, limits, None).expect("it opens");
        let inbox = Inbox::default();
        let mut writer = Writer {
            inbox: &inbox,
            database,
            backlog: Vec::new(),
            outage: None,
            company: Company::default(),
        };
        let jobs =
            || conn.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, u32>(0)).expect("a count");
        let mut take = |record: Option<Record>| {
            writer.take(record.map(Change::new).into_iter().collect(), &Sink::default(), true);
            let fault = writer.outage.as_ref().map(|outage| outage.error.fault());
            (writer.backlog.len(), fault)
        };
        let id = JobId::new(1);
        let (queue, kind, priority) = ("default".into(), "work".into(), Priority::NORMAL);
        let job = JobRecord { id, queue, kind, priority, due: None, payload: "{}".into(), options: None };
        assert_eq!(take(Some(Record::Pushed(Box::new(job)))), (0, None));
        assert_eq!(jobs(), 1);

        conn.pragma_update(None, "query_only", true).expect("it can be");
        assert_eq!(take(Some(Record::Done { id })), (1, Some(StoreFault::ReadOnly)));
        assert_eq!(take(Some(Record::Started { id: JobId::new(2) })), (2, Some(StoreFault::ReadOnly)));
        assert_eq!(take(None), (2, Some(StoreFault::ReadOnly)));
        conn.pragma_update(None, "query_only", false).expect("it can be");
        assert_eq!(jobs(), 1);
        assert_eq!(take(None), (0, None));
        assert_eq!(jobs(), 0);
    }
}
