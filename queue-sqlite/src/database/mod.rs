//! The file's contents: what is done with one connection by one thread. Time comes in as an argument, and nothing here
//! waits for anybody but SQLite.

mod batch;
mod names;
mod recover;
mod statements;
#[cfg(test)]
mod tests;
mod time;

use std::time::{Duration, SystemTime};

use queue_core::{Change, DeadReason, JobId, JobRecord, Payload, Record, Recovery};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};

pub(crate) use self::recover::Limits;

use self::batch::Superfluous;
use self::names::Names;
use self::statements::Statements;
use crate::schema::SMALL_PAYLOAD;

/// How many failed attempts are kept of each job.
const HISTORY: i64 = 100;

/// How many pages one step of tidying gives back: a few milliseconds of work at most.
const TIDY_PAGES: u32 = 256;

#[derive(Debug)]
pub(crate) struct Database<'c> {
    conn: &'c Connection,
    statements: Statements<'c>,
    names: Names,
    superfluous: Superfluous,
    /// Jobs whose rows are still to be removed in this transaction.
    gone: Vec<i64>,
    /// Whether these tables may have rows: from an empty one there is nothing to remove.
    has_payloads: bool,
    has_failures: bool,
    meta: Meta,
    /// Of the next dead letter.
    place: i64,
    keep_settled: Option<Duration>,
}

/// What is true of all jobs; a copy of the table's only row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meta {
    next_id: i64,
    time: Option<i64>,
}

/// A change that can never be written.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its place among the changes.
    pub(crate) index: usize,
    pub(crate) error: rusqlite::Error,
}

impl<'c> Database<'c> {
    /// Reads what there is, and counts the crash, if there was one.
    pub(crate) fn recover(
        conn: &'c Connection,
        limits: Limits,
        keep_settled: Option<Duration>,
    ) -> rusqlite::Result<(Self, Recovery)> {
        // `jobs_gone` is for shells: with a trigger, a row takes 0.35 us to remove, and 0.15 without.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        let statements = Statements::prepare(conn)?;
        let (names, known) = Names::read(conn)?;
        let found = recover::read(conn, limits, &known)?;
        let meta = Meta {
            next_id: found.recovery.next_id.cast_signed(),
            time: found.recovery.time.map(time::not_before),
        };
        let has_rows =
            |table| conn.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0));
        let database = Self {
            conn,
            statements,
            names,
            superfluous: Superfluous::new(keep_settled.is_some()),
            gone: Vec::new(),
            has_payloads: has_rows("payloads")?,
            has_failures: has_rows("failures")?,
            meta,
            place: found.place,
            keep_settled,
        };
        Ok((database, found.recovery))
    }

    /// Writes all of them or none, but for those that can never be written, which it says. Whatever `more` adds meanwhile
    /// goes along, until it adds nothing.
    pub(crate) fn write(
        &mut self,
        changes: &mut Vec<Change>,
        now: Option<SystemTime>,
        more: impl FnMut(&mut Vec<Change>),
    ) -> rusqlite::Result<Vec<Refused>> {
        let before = self.meta;
        let written = self.transact(changes, now, more);
        if written.is_err() {
            self.meta = before;
            self.gone.clear();
            self.names.forget_new();
            // After some failures SQLite has rolled back by itself.
            if !self.conn.is_autocommit() {
                self.statements.rollback.execute([])?;
            }
        }
        written
    }

    fn transact(
        &mut self,
        changes: &mut Vec<Change>,
        now: Option<SystemTime>,
        mut more: impl FnMut(&mut Vec<Change>),
    ) -> rusqlite::Result<Vec<Refused>> {
        let before = self.meta;
        let mut refused = Vec::new();
        self.statements.begin.execute([])?;
        // Never back: a machine whose clock was set back must not hold up what is due.
        self.meta.time = self.meta.time.max(now.map(time::not_before));
        let mut written = 0;
        loop {
            self.add(changes, written, &mut refused)?;
            written = changes.len();
            more(changes);
            if changes.len() == written {
                break;
            }
        }
        if self.keep_settled.is_some() {
            self.forget_settled(written)?;
        }
        if self.meta != before {
            self.statements.set_meta.execute(params![self.meta.next_id, self.meta.time])?;
        }
        self.statements.commit.execute([])?;
        self.names.keep_new();
        Ok(refused)
    }

    /// Adds the changes from this one on to the transaction.
    fn add(&mut self, changes: &[Change], first: usize, refused: &mut Vec<Refused>) -> rusqlite::Result<()> {
        self.superfluous.look_at(&changes[first..]);
        for (place, change) in changes[first..].iter().enumerate() {
            let Some(record) = change.record() else { continue };
            if self.superfluous.has(place) {
                self.count(record);
                continue;
            }
            match self.write_record(record) {
                Err(error) if crate::error::is_own_fault(&error) && !self.conn.is_autocommit() => {
                    refused.push(Refused { index: first + place, error });
                }
                written => written?,
            }
        }
        self.remove_gone()
    }

    fn write_record(&mut self, record: &Record) -> rusqlite::Result<()> {
        self.count(record);
        let statements = &mut self.statements;
        match record {
            Record::Pushed(job) => self.push(job)?,
            Record::Started { id } => {
                statements.start.execute([number(*id)])?;
            }
            Record::Interrupted { id } => {
                statements.wait.execute(params![number(*id), None::<i64>])?;
            }
            Record::Snoozed { id, due } => {
                statements.wait.execute(params![number(*id), due.map(time::of_due)])?;
            }
            Record::Retried { id, attempt, due, failure } => {
                let values = params![number(*id), attempt, due.map(time::of_due)];
                let sequence = statements.retry.query_row(values, |row| row.get(0)).optional()?;
                self.add_failure(*id, sequence, failure)?;
            }
            Record::Died { id, reason, attempts, failure } => {
                let values = params![number(*id), attempts, reason_number(*reason)?, self.place];
                let sequence = statements.die.query_row(values, |row| row.get(0)).optional()?;
                self.place += 1;
                self.add_failure(*id, sequence, failure)?;
            }
            Record::Requeued { id } => {
                statements.requeue.execute([number(*id)])?;
            }
            Record::Done { id } => self.remove(*id, 0)?,
            Record::Cancelled { id } => self.remove(*id, 1)?,
            Record::Dropped { id } => self.remove(*id, 2)?,
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    /// Numbers count as given when they are, whatever becomes of the job.
    fn count(&mut self, record: &Record) {
        if let Record::Pushed(job) = record {
            self.meta.next_id = self.meta.next_id.max(number(job.id).saturating_add(1));
        }
    }

    fn push(&mut self, job: &JobRecord) -> rusqlite::Result<()> {
        let id = number(job.id);
        let queue = self.names.number(&job.queue, &mut self.statements.add_name)?;
        let kind = self.names.number(&job.kind, &mut self.statements.add_name)?;
        let due = job.due.map(time::of_due);
        let options = job.options.as_ref().map(queue_core::StoredOptions::encode);
        let bytes = &job.payload[..];
        let small = (bytes.len() <= SMALL_PAYLOAD).then_some(bytes);
        let length = if small.is_none() { i64::try_from(bytes.len()).ok() } else { None };
        let priority = job.priority.level();
        self.statements.push.execute(params![id, queue, kind, priority, due, length, options, small])?;
        if small.is_none() {
            self.has_payloads = true;
            if let Err(error) = self.statements.add_payload.execute(params![id, bytes]) {
                self.statements.remove.execute([id, id])?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: JobId, outcome: u8) -> rusqlite::Result<()> {
        if self.keep_settled.is_some() {
            self.statements.keep_settled.execute(params![number(id), outcome, self.meta.time])?;
        }
        // Nothing that comes later is about this job.
        self.gone.push(number(id));
        Ok(())
    }

    /// Jobs that were pushed together are often done together: a row of a range costs a third of what it does alone.
    fn remove_gone(&mut self) -> rusqlite::Result<()> {
        self.gone.sort_unstable();
        for range in self.gone.chunk_by(|id, next| id.checked_add(1) == Some(*next)) {
            if let (Some(first), Some(last)) = (range.first(), range.last()) {
                self.statements.remove.execute([first, last])?;
                if self.has_payloads {
                    self.statements.remove_payloads.execute([first, last])?;
                }
                if self.has_failures {
                    self.statements.remove_failures.execute([first, last])?;
                }
            }
        }
        self.gone.clear();
        Ok(())
    }

    /// `sequence` counts the failures with this one; without it there is no such job, because somebody removed it by hand.
    fn add_failure(
        &mut self,
        id: JobId,
        sequence: Option<i64>,
        failure: &queue_core::AttemptError,
    ) -> rusqlite::Result<()> {
        let Some(sequence) = sequence.map(|count| count - 1) else { return Ok(()) };
        let values = params![number(id), sequence, failure.attempt, failure.error, time::of(failure.at)];
        self.has_failures = true;
        self.statements.add_failure.execute(values)?;
        if sequence >= HISTORY {
            self.statements.trim_failures.execute(params![number(id), sequence - HISTORY])?;
        }
        Ok(())
    }

    /// Each write removes at most twice as many as it may have added, so that it takes no longer than it may.
    fn forget_settled(&mut self, added: usize) -> rusqlite::Result<()> {
        let kept = self.keep_settled.map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let Some(since) = self.meta.time.map(|now| now.saturating_sub(kept)) else { return Ok(()) };
        let most = i64::try_from(added).unwrap_or(i64::MAX).saturating_mul(2);
        self.statements.forget_settled.execute(params![since, most])?;
        Ok(())
    }

    pub(crate) fn load(&mut self, id: JobId) -> rusqlite::Result<Payload> {
        self.statements.load.query_row([number(id)], |row| Ok(Payload::from(row.get_ref(0)?.as_blob()?)))
    }

    /// Gives a few unused pages back to the file system, if there are many. Says whether there are still.
    pub(crate) fn tidy(&mut self) -> rusqlite::Result<bool> {
        let pages: u32 = self.statements.page_count.query_row([], |row| row.get(0))?;
        let free: u32 = self.statements.free_pages.query_row([], |row| row.get(0))?;
        // A quarter may stay: a queue that was long once is so again.
        let surplus = free.saturating_sub((pages / 4).max(TIDY_PAGES));
        if surplus == 0 {
            return Ok(false);
        }
        // Each row it answers with is a page.
        let mut step =
            self.conn.prepare(&format!("PRAGMA incremental_vacuum({})", surplus.min(TIDY_PAGES)))?;
        let mut rows = step.query([])?;
        while rows.next()?.is_some() {}
        Ok(surplus > TIDY_PAGES)
    }
}

/// Numbers beyond half of what there is become negative: they stay different, and nobody gets there.
fn number(id: JobId) -> i64 {
    id.as_u64().cast_signed()
}

fn reason_number(reason: DeadReason) -> rusqlite::Result<u8> {
    Ok(match reason {
        DeadReason::RetriesExhausted => 0,
        DeadReason::Discarded => 1,
        DeadReason::NoHandler => 2,
        DeadReason::ShutDown => 3,
        DeadReason::Crashed => 4,
        other => return Err(unknown(other)),
    })
}

fn reason(number: u8) -> Option<DeadReason> {
    Some(match number {
        0 => DeadReason::RetriesExhausted,
        1 => DeadReason::Discarded,
        2 => DeadReason::NoHandler,
        3 => DeadReason::ShutDown,
        4 => DeadReason::Crashed,
        _ => return None,
    })
}

/// What a newer core says and this version cannot write down.
fn unknown(what: impl std::fmt::Debug) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(format!("this version cannot write down {what:?}").into())
}
