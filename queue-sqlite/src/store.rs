//! The handle of an open store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use queue_core::{Change, Journal, Loading, Recovery, Sink};

use crate::error::OpenError;
use crate::files;
use crate::inbox::{Inbox, Stop};
use crate::options::Options;
use crate::writer;

/// Jobs in an SQLite file: give it to `Builder::store`, and they outlive the process.
///
/// Cheap to clone; all clones are the same store. Only one queue can have it, but an application may keep a clone. The file
/// is closed and can be opened again when the queue has shut down, or when the last clone is dropped and everything is
/// written; both block until it is. Only when a queue is dropped without a shutdown just as the store answers it, the store's
/// own thread is the last to let go, and the file is free a moment later.
///
/// ```
/// use queue_sqlite::{OpenError, Store};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("jobs.db");
/// let store = Store::open(&path)?;
/// assert!(matches!(Store::open(&path), Err(OpenError::Locked { .. })));
/// drop(store);
/// Store::open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    inbox: Arc<Inbox>,
    path: PathBuf,
    payload_memory: usize,
    /// What was read at opening, until a queue takes it.
    recovery: Mutex<Option<Recovery>>,
    /// Taken only by the drop.
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store at this path with the defaults, and creates or migrates it first if need be.
    ///
    /// Blocks the thread: a million jobs take most of a second to read.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. What was there is as it was before.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::options().open(path)
    }

    /// Opens a store otherwise than with the defaults.
    pub fn options() -> Options {
        Options::default()
    }

    /// Where it is, as an absolute path without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn open_with(path: &Path, options: Options) -> Result<Self, OpenError> {
        let path = files::resolve(path)?;
        let payload_memory = options.payload_memory;
        let inbox = Arc::new(Inbox::default());
        let (answer, opened) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("queue-sqlite".to_owned())
            .spawn({
                let (inbox, path) = (inbox.clone(), path.clone());
                move || writer::run(&inbox, &path, &options, &answer)
            })
            .map_err(|error| OpenError::of_io(&path, error))?;
        match opened.recv() {
            Ok(Ok(recovery)) => {
                let (recovery, thread) = (Mutex::new(Some(recovery)), Some(thread));
                Ok(Self(Arc::new(Inner { inbox, path, payload_memory, recovery, thread })))
            }
            Ok(Err(error)) => {
                // When it has ended, it holds nothing, and whoever is told may try again.
                let _ = thread.join();
                Err(error)
            }
            Err(_) => Err(OpenError::Io { path, source: "the thread that opens it has panicked".into() }),
        }
    }
}

impl Journal for Store {
    /// # Panics
    ///
    /// When it has been given to a queue before: two would hand out the same numbers.
    fn begin(&self, sink: Sink) -> Recovery {
        let recovery = self.0.recovery.lock().take();
        self.0.inbox.begin(sink);
        recovery.expect("a store is given to one queue; open another one for another queue")
    }

    fn append(&self, changes: &mut Vec<Change>) {
        self.0.inbox.append(changes);
    }

    fn load(&self, loading: Loading) {
        self.0.inbox.load(loading);
    }

    fn payload_memory(&self) -> usize {
        self.0.payload_memory
    }

    fn close(&self) {
        self.0.inbox.stop(Stop::Close);
        if !self.0.is_on_its_own_thread() {
            self.0.inbox.wait_for_release();
        }
    }
}

impl Inner {
    /// The writer's thread answers, and whoever is woken by that may let go of the last clone there.
    fn is_on_its_own_thread(&self) -> bool {
        self.thread.as_ref().is_some_and(|writer| writer.thread().id() == thread::current().id())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.inbox.stop(Stop::End);
        if !self.is_on_its_own_thread()
            && let Some(thread) = self.thread.take()
        {
            // A panic of its own it has survived, or said so.
            let _ = thread.join();
        }
    }
}
