//! The statements of the hot path, prepared once.

use rusqlite::{Connection, Statement};

macro_rules! statements {
    ($($name:ident: $sql:expr,)*) => {
        #[derive(Debug)]
        pub(super) struct Statements<'c> {
            $(pub(super) $name: Statement<'c>,)*
        }

        impl<'c> Statements<'c> {
            pub(super) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
                Ok(Self { $($name: conn.prepare($sql)?,)* })
            }
        }
    };
}

statements! {
    // At once the one who writes: what follows cannot fail half-way because a shell came first.
    begin: "BEGIN IMMEDIATE",
    commit: "COMMIT",
    rollback: "ROLLBACK",
    set_meta: "UPDATE meta SET next_id = ?1, time = ?2",
    add_name: "INSERT INTO names (name) VALUES (?1)",
    push: "INSERT INTO jobs (id, queue, kind, priority, state, attempt, due, crashes, failures, length, options, payload)
           VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, 0, 0, ?6, ?7, ?8)",
    add_payload: "INSERT INTO payloads (id, bytes) VALUES (?1, ?2)",
    start: "UPDATE jobs SET state = 1 WHERE id = ?1",
    wait: "UPDATE jobs SET state = 0, due = ?2, crashes = 0 WHERE id = ?1",
    retry: "UPDATE jobs SET state = 0, attempt = ?2, due = ?3, crashes = 0, failures = failures + 1 WHERE id = ?1
            RETURNING failures",
    die: "UPDATE jobs SET state = 2, attempt = ?2, reason = ?3, place = ?4, due = NULL, failures = failures + 1
          WHERE id = ?1 RETURNING failures",
    requeue: "UPDATE jobs SET state = 0, attempt = 0, due = NULL, crashes = 0, reason = NULL, place = NULL WHERE id = ?1",
    remove: "DELETE FROM jobs WHERE id BETWEEN ?1 AND ?2",
    remove_payloads: "DELETE FROM payloads WHERE id BETWEEN ?1 AND ?2",
    remove_failures: "DELETE FROM failures WHERE job BETWEEN ?1 AND ?2",
    add_failure: "INSERT INTO failures (job, sequence, attempt, error, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    trim_failures: "DELETE FROM failures WHERE job = ?1 AND sequence <= ?2",
    keep_settled: "INSERT INTO settled (job, queue, kind, attempt, outcome, at)
                   SELECT id, queue, kind, attempt, ?2, ?3 FROM jobs WHERE id = ?1",
    forget_settled: "DELETE FROM settled WHERE at < ?1
                     AND number IN (SELECT number FROM settled ORDER BY number LIMIT ?2)",
    load: "SELECT coalesce(payload, (SELECT bytes FROM payloads WHERE payloads.id = jobs.id)) FROM jobs WHERE id = ?1",
    page_count: "PRAGMA page_count",
    free_pages: "PRAGMA freelist_count",
}
