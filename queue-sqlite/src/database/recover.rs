//! Reading what outlived the last process.

use std::num::NonZeroU32;
use std::time::SystemTime;

use queue_core::{
    AttemptError, DeadReason, JobId, Name, Payload, Priority, Recovered, RecoveredDead, RecoveredMore,
    Recovery, StoredOptions,
};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row, Rows, params};
use rustc_hash::FxHashMap;

use super::names::Known;
use super::{HISTORY, reason, reason_number, time};

/// What is decided while reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often in a row a job may have been running when the process ended.
    pub(crate) crashes: NonZeroU32,
    /// How many bytes of payload of each named queue to read.
    pub(crate) payload_memory: usize,
}

pub(super) struct Found {
    pub(super) recovery: Recovery,
    /// Of the next dead letter.
    pub(super) place: i64,
}

/// Jobs are handed over in pieces of so many.
const PIECE: usize = 4096;

/// Payloads of up to this many bytes take no memory of their own.
const FREE: usize = 54;

/// In one transaction with the marks it makes: a crash while opening counts once or not at all.
pub(super) fn read(conn: &Connection, limits: Limits, names: &Known) -> rusqlite::Result<Found> {
    let transaction = rusqlite::Transaction::new_unchecked(conn, rusqlite::TransactionBehavior::Immediate)?;
    let (next_id, seen): (i64, Option<i64>) =
        conn.query_row("SELECT next_id, time FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut reader =
        Reader { limits, names, room: FxHashMap::default(), pieces: Vec::new(), dead: Vec::new() };
    let mut ran = Vec::new();
    let last_id = reader.read_jobs(conn, &mut ran)?;

    reader.dead.sort_by_key(|(place, _)| *place);
    let mut place = reader.dead.last().map_or(0, |(place, _)| place + 1);
    let mut dead: Vec<_> = reader.dead.into_iter().map(|(_, dead)| dead).collect();
    let mut count = conn.prepare("UPDATE jobs SET state = 0, due = NULL, crashes = ?2 WHERE id = ?1")?;
    for Crashed { id, crashes, dead: quarantined } in ran {
        count.execute(params![id, crashes])?;
        if let Some(mut letter) = quarantined {
            letter.payload = payload(conn, id)?;
            let failure = quarantine(conn, id, crashes, place, letter.attempts, seen.and_then(time::time))?;
            let history = &mut letter.more.history;
            history.push(failure);
            let surplus = history.len().saturating_sub(usize::try_from(HISTORY).unwrap_or(usize::MAX));
            history.drain(..surplus);
            dead.push(*letter);
            place += 1;
        }
    }
    transaction.commit()?;
    // A person may have added jobs.
    let next_id = next_id.max(last_id.map_or(0, |id| id.saturating_add(1))).cast_unsigned();
    let recovery = Recovery { next_id, time: seen.and_then(time::time), jobs: reader.pieces, dead };
    Ok(Found { recovery, place })
}

/// Makes a dead letter of a job that ran at too many crashes.
fn quarantine(
    conn: &Connection,
    id: i64,
    crashes: u32,
    place: i64,
    attempts: u32,
    at: Option<SystemTime>,
) -> rusqlite::Result<AttemptError> {
    let error = format!("the process ended {crashes} times in a row while this job ran");
    // It crashed soon after the last thing that was written. Without one there is nothing it could have crashed after.
    let at = at.unwrap_or(SystemTime::UNIX_EPOCH);
    let sequence: i64 = conn.query_row(
        "UPDATE jobs SET state = 2, attempt = ?2, reason = ?3, place = ?4, failures = failures + 1 WHERE id = ?1
         RETURNING failures - 1",
        params![id, attempts, reason_number(DeadReason::Crashed)?, place],
        |row| row.get(0),
    )?;
    let attempt = attempts.saturating_sub(1);
    conn.execute(
        "INSERT INTO failures (job, sequence, attempt, error, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id, sequence, attempt, error, time::of(at)],
    )?;
    conn.execute("DELETE FROM failures WHERE job = ?1 AND sequence <= ?2", params![id, sequence - HISTORY])?;
    Ok(AttemptError::new(attempt, error, at))
}

struct Crashed {
    id: i64,
    crashes: u32,
    /// What becomes of it if that was once too often.
    dead: Option<Box<RecoveredDead>>,
}

struct Reader<'a> {
    limits: Limits,
    names: &'a Known,
    /// How many bytes of payload are still to be read, by the number of the named queue.
    room: FxHashMap<i64, usize>,
    pieces: Vec<Vec<Recovered>>,
    dead: Vec<(i64, RecoveredDead)>,
}

impl Reader<'_> {
    /// Reads all jobs, and says what the highest number is. Those that ran come back as ready.
    fn read_jobs(&mut self, conn: &Connection, ran: &mut Vec<Crashed>) -> rusqlite::Result<Option<i64>> {
        let mut failures =
            conn.prepare("SELECT job, attempt, error, at FROM failures ORDER BY job, sequence")?;
        let mut histories = Histories::new(failures.query([])?)?;
        let mut statement = conn.prepare(
            "SELECT id, queue, kind, priority, state, attempt, due, crashes, failures, reason, place, length, options,
             payload FROM jobs ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            last = Some(id);
            let history = if row.get::<_, i64>(8)? > 0 { histories.of(id)? } else { Vec::new() };
            match row.get::<_, u8>(4)? {
                0 => {
                    let due: Option<i64> = row.get(6)?;
                    self.add_waiting(row, id, due, history)?;
                }
                1 => {
                    let crashes = row.get::<_, u32>(7)?.saturating_add(1);
                    let dead = if crashes < self.limits.crashes.get() {
                        self.add_waiting(row, id, None, history)?;
                        None
                    } else {
                        let attempts = row.get::<_, u32>(5)?.saturating_add(1);
                        Some(Box::new(self.dead(row, id, attempts, DeadReason::Crashed, history)?))
                    };
                    ran.push(Crashed { id, crashes, dead });
                }
                2 => {
                    let reason = reason(row.get(9)?).ok_or_else(|| damaged(9, "an unknown reason"))?;
                    let mut dead = self.dead(row, id, row.get(5)?, reason, history)?;
                    dead.payload = payload(conn, id)?;
                    self.dead.push((row.get(10)?, dead));
                }
                _ => return Err(damaged(4, "an unknown state")),
            }
        }
        Ok(last)
    }

    fn add_waiting(
        &mut self,
        row: &Row<'_>,
        id: i64,
        due: Option<i64>,
        history: Vec<AttemptError>,
    ) -> rusqlite::Result<()> {
        let options = options(row)?;
        let has_more = options.is_some() || !history.is_empty();
        let job = Recovered {
            id: JobId::new(id.cast_unsigned()),
            queue: self.name(row, 1)?,
            kind: self.name(row, 2)?,
            priority: priority(row)?,
            attempt: row.get(5)?,
            due: due.map(time::due),
            payload: self.payload(row)?,
            more: has_more.then(|| Box::new(RecoveredMore { options, history })),
        };
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(job),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(job);
                self.pieces.push(piece);
            }
        }
        Ok(())
    }

    fn dead(
        &self,
        row: &Row<'_>,
        id: i64,
        attempts: u32,
        reason: DeadReason,
        history: Vec<AttemptError>,
    ) -> rusqlite::Result<RecoveredDead> {
        Ok(RecoveredDead {
            id: JobId::new(id.cast_unsigned()),
            queue: self.name(row, 1)?,
            kind: self.name(row, 2)?,
            priority: priority(row)?,
            payload: Payload::from(&[][..]),
            attempts,
            reason,
            more: RecoveredMore { options: options(row)?, history },
        })
    }

    fn name(&self, row: &Row<'_>, column: usize) -> rusqlite::Result<Name> {
        self.names
            .get(&row.get(column)?)
            .cloned()
            .ok_or_else(|| damaged(column, "a name that is not in names"))
    }

    /// The payload, if it is here and its queue may have so much in memory.
    fn payload(&mut self, row: &Row<'_>) -> rusqlite::Result<Result<Payload, usize>> {
        if let Some(length) = row.get::<_, Option<i64>>(11)? {
            return Ok(Err(usize::try_from(length).map_err(|_| damaged(11, "an impossible length"))?));
        }
        let bytes = row.get_ref(13)?.as_blob()?;
        if bytes.len() > FREE {
            let room = self.room.entry(row.get(1)?).or_insert(self.limits.payload_memory);
            match room.checked_sub(bytes.len()) {
                Some(left) => *room = left,
                None => return Ok(Err(bytes.len())),
            }
        }
        Ok(Ok(Payload::from(bytes)))
    }
}

fn priority(row: &Row<'_>) -> rusqlite::Result<Priority> {
    Priority::new(row.get(3)?).ok_or_else(|| damaged(3, "an unknown priority"))
}

fn options(row: &Row<'_>) -> rusqlite::Result<Option<StoredOptions>> {
    match row.get_ref(12)? {
        ValueRef::Null => Ok(None),
        text => match StoredOptions::decode(text.as_str()?) {
            Ok(options) => Ok(Some(options)),
            Err(error) => Err(rusqlite::Error::FromSqlConversionFailure(12, Type::Text, error.into())),
        },
    }
}

fn payload(conn: &Connection, id: i64) -> rusqlite::Result<Payload> {
    conn.query_row(
        "SELECT coalesce(payload, (SELECT bytes FROM payloads WHERE payloads.id = jobs.id)) FROM jobs WHERE id = ?1",
        [id],
        |row| Ok(Payload::from(row.get_ref(0)?.as_blob()?)),
    )
}

fn damaged(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, format!("a job has {what}").into())
}

/// The failed attempts of all jobs, read along with the jobs.
struct Histories<'s> {
    rows: Rows<'s>,
    next: Option<(i64, AttemptError)>,
}

impl<'s> Histories<'s> {
    fn new(rows: Rows<'s>) -> rusqlite::Result<Self> {
        let mut histories = Self { rows, next: None };
        histories.advance()?;
        Ok(histories)
    }

    /// Those of this job. Jobs must be asked for in order of their numbers.
    fn of(&mut self, job: i64) -> rusqlite::Result<Vec<AttemptError>> {
        let mut history = Vec::new();
        while self.next.as_ref().is_some_and(|(next, _)| *next <= job) {
            if let Some((next, failure)) = self.advance()?
                && next == job
            {
                history.push(failure);
            }
        }
        Ok(history)
    }

    fn advance(&mut self) -> rusqlite::Result<Option<(i64, AttemptError)>> {
        let next = match self.rows.next()? {
            None => None,
            Some(row) => {
                let at = time::time(row.get(3)?).unwrap_or(SystemTime::UNIX_EPOCH);
                Some((row.get(0)?, AttemptError::new(row.get(1)?, row.get::<_, String>(2)?, at)))
            }
        };
        Ok(std::mem::replace(&mut self.next, next))
    }
}
