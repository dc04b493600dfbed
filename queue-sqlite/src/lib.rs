//! Jobs that outlive the process: a [`Store`] keeps the jobs of a queue in an SQLite file.
//!
//! ```
//! use std::time::Duration;
//! use queue_sqlite::Store;
//! use queue_tokio::{Job, Queue};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("jobs.db");
//! // The first process takes a job, and ends before anybody works.
//! let queue = Queue::builder().store(Store::open(&path)?).build();
//! queue.push("send_email", &"user@example.com").await?;
//! let report = queue.shutdown(Duration::ZERO).await;
//! assert_eq!(report.kept, 1);
//!
//! // The next one finds it.
//! let queue = Queue::builder().store(Store::open(&path)?).build();
//! queue.register("send_email", |job: Job| async move {
//!     let to: String = job.deserialize()?;
//!     println!("Sending email to {to}");
//!     Ok(())
//! });
//! queue.start();
//! let report = queue.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(report.finished, 1);
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! When a push returns, its job is in the file, and when an event tells that a job is done, cancelled or dead, that is in the
//! file, too. Kill the process at any instant and start it again: every accepted job that was not settled runs, or runs
//! again, with its attempt, delay, priority, errors and dead letters as they were; a settled job never does.
//!
//! | lost by | [`Durability::Full`] | [`Durability::Normal`] |
//! |---|---|---|
//! | a killed process | nothing that was accepted or settled | nothing that was accepted or settled |
//! | a loss of power | nothing that was accepted or settled | what was accepted last; what was settled last runs again |
//!
//! This trusts the disk to have written what it says it has. What a handler did just before the process ended may not be
//! recorded, neither its success nor its failure: that attempt is made again, under the same number. How an attempt ended is
//! written no more than a millisecond later, or as soon as the write before it is done.
//!
//! A job that runs while the process crashes three times in a row becomes a dead letter, because it may be what crashes it;
//! see [`Options::crashes_before_quarantine`]. That an attempt has begun is written together with the next thing that must
//! be, or after 10 ms, so a very fast crash may not be counted.
//!
//! # Restarts and clocks
//!
//! A delay is kept as a time of day, in whole milliseconds and never early. That follows the wall clock of whoever reads it, but
//! the store also remembers the latest time it has seen, and does not go back behind it: after a clock was set back, what
//! was due is due. A clock that is set forward makes what is due by it start at the next restart, not before.
//!
//! # When it cannot be written to
//!
//! The disk is full, a shell holds a lock, somebody took the permissions away: pushes fail at once with the job given back,
//! nothing new is started, and what happened to running jobs is kept in memory and written as soon as possible, which is
//! tried again after 50 ms, and then less and less often, down to once a second. The queue tells of it in its health and its
//! events, and goes on by itself. A process that ends meanwhile loses what was not written: those jobs run again.
//!
//! A payload of more than a billion bytes is more than SQLite takes: only its own push fails, with
//! [`StoreFault::TooLarge`](queue_core::StoreFault::TooLarge) and the job given back.
//!
//! # Files
//!
//! | file | what it is |
//! |---|---|
//! | `jobs.db` | the database |
//! | `jobs.db-wal`, `jobs.db-shm` | SQLite's write-ahead log and its index; gone when the store was closed, and not to be removed otherwise: what was accepted last is in there |
//! | `jobs.db-lock` | empty; locked as long as the store is open. It stays, and is free by itself after a kill |
//!
//! One process at a time can open a store; others are refused with [`OpenError::Locked`]. It belongs on a local disk: locks on
//! network file systems are not to be relied on. To copy one that is in use, ask SQLite: `sqlite3 jobs.db ".backup copy.db"`.
//! Of one that is closed, `jobs.db` is all there is to copy.
//!
//! The file shrinks again while the queue is idle, if more than a quarter of it is unused.
//!
//! # Looking inside
//!
//! `sqlite3 jobs.db` may look at any time. `SELECT * FROM job_list` shows the jobs with their names and states in words, and
//! `.schema` says what each column means:
//!
//! | table | what is in it |
//! |---|---|
//! | `jobs` | all jobs that wait or run, and the dead letters |
//! | `payloads` | payloads of more than 256 bytes |
//! | `failures` | the latest 100 errors of each job |
//! | `settled` | what is over, if [`Options::keep_settled`] asks for it |
//! | `names` | the names of named queues and kinds |
//! | `meta` | the next job's number, and the latest time that was seen |
//!
//! To correct something by hand, stop the queue first: while it runs, it knows its jobs by heart and does not look.
//!
//! ```sql
//! DELETE FROM jobs WHERE id = 7;                                         -- it is not wanted any more
//! UPDATE jobs SET due = NULL WHERE id = 7 AND state = 0;                 -- it is due at once
//! UPDATE jobs SET state = 0, attempt = 0, crashes = 0, reason = NULL, place = NULL
//!     WHERE id = 7 AND state = 2;                                        -- a dead letter lives again
//! UPDATE jobs SET queue = (SELECT id FROM names WHERE name = 'email')
//!     WHERE id = 7;                                                      -- it moves to another named queue
//! ```
//!
//! `PRAGMA user_version` is the version of the schema. An older one is brought up to date at opening; a newer one is refused
//! with [`OpenError::Newer`].

mod database;
mod error;
mod files;
mod inbox;
mod open;
mod options;
mod schema;
mod store;
mod writer;

pub use error::OpenError;
pub use options::{Check, Durability, Options};
pub use store::Store;
