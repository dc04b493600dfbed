//! What the program itself must not forget when jobs outlive it: a file of lines beside the store, only ever appended to.
//!
//! The store is under test, so what is held against it is written elsewhere: before a push and after it, before an attempt
//! is posted, when an event was heard, and whatever the receivers, who end with this process, have seen. Each line is one
//! write, which a killed process leaves done or not begun; a loss of power is not what this is for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::receivers::Record;
use super::tally::What;

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The program starts, for the first time or again.
    Born,
    /// A delivery is about to be pushed.
    Pushing {
        /// The delivery.
        delivery: String,
    },
    /// The push returned.
    Accepted {
        /// The delivery.
        delivery: String,
        /// Its job.
        job: u64,
    },
    /// An attempt is about to be posted.
    Begun {
        /// The delivery.
        delivery: String,
        /// Its job.
        job: u64,
        /// The attempt.
        attempt: u32,
    },
    /// An event told of a job.
    Told {
        /// The job.
        job: u64,
        /// What became of it.
        what: What,
    },
    /// A receiver has this in its book.
    Seen {
        /// The receiver.
        receiver: String,
        /// The delivery.
        delivery: String,
        /// All that it knows of it.
        record: Record,
    },
    /// The queue was shut down, and nothing more is to come from this life.
    Over,
}

/// The open file, and what is in it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Logbook {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    history: History,
    /// The first thing that went wrong: those who write have nobody to tell.
    failure: Option<io::Error>,
}

impl Logbook {
    /// Opens the file, reads what earlier lives have written, and begins another one.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, or is the file of something else.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let in_file = || path.display().to_string();
        let file = OpenOptions::new().append(true).create(true).open(path).with_context(in_file)?;
        let text = fs::read_to_string(path).with_context(in_file)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut history = History::default();
        for line in text[..whole].lines() {
            history.add(serde_json::from_str(line).with_context(in_file)?);
        }
        // A line without an end was cut by a kill, and what it says is as if it had not happened.
        file.set_len(whole as u64).with_context(in_file)?;
        let logbook = Self { inner: Arc::new(Mutex::new(Inner { file, history, failure: None })) };
        logbook.note(Entry::Born);
        Ok(logbook)
    }

    /// Writes it down. When this returns, a killed process has said it all the same.
    pub fn note(&self, entry: Entry) {
        let mut line = serde_json::to_vec(&entry).expect("it is plain data");
        line.push(b'\n');
        let mut inner = self.lock();
        let written = inner.file.write_all(&line);
        if let Err(error) = written {
            inner.failure.get_or_insert(error);
        }
        inner.history.add(entry);
    }

    /// All that is known by now.
    ///
    /// # Errors
    ///
    /// When something could not be written.
    pub fn history(&self) -> io::Result<History> {
        let mut inner = self.lock();
        match inner.failure.take() {
            Some(error) => Err(error),
            None => Ok(inner.history.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_kill_has_cut_is_forgotten() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("it");
        let logbook = Logbook::open(&path).expect("a new file");
        logbook.note(Entry::Accepted { delivery: "it".to_owned(), job: 1 });
        let mut text = fs::read_to_string(&path).expect("it is text");
        text.push_str("{\"accepted\":{\"delivery\":\"ot");
        fs::write(&path, text).expect("there is room");
        for lives in [2, 3] {
            let history = Logbook::open(&path).expect("the rest is whole").history().expect("it writes");
            assert_eq!((history.lives, history.accepted.len()), (lives, 1));
        }
    }

    #[test]
    fn the_file_of_something_else_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("there is room");
        fs::write(file.path(), "no line of ours\n").expect("there is room");
        Logbook::open(file.path()).expect_err("it would be spoilt");
        assert_eq!(fs::read_to_string(file.path()).expect("it is text"), "no line of ours\n");
    }
}
