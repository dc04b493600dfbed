//! The runtimes of the matrix with jobs that outlive the process: every scenario holds there, too.

#[cfg(feature = "sqlite")]
use std::fmt;

use queue_core::{Builder, Queue};
#[cfg(feature = "sqlite")]
use queue_core::{Change, Journal, Loading, Recovery, Sink};

use crate::TestRuntime;

/// A runtime whose queues keep their jobs in an SQLite file each.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug)]
pub struct OnSqlite<T>(T);

#[cfg(feature = "sqlite")]
impl<T: TestRuntime> TestRuntime for OnSqlite<T> {
    type Runtime = T::Runtime;

    fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
        T::block_on(|rt| scenario(Self(rt)))
    }

    fn start(&self, queue: &Queue<Self::Runtime>) {
        self.0.start(queue);
    }

    fn builder(&self) -> Builder<Self::Runtime> {
        self.0.builder().store(Temporary::new())
    }
}

/// A store in a folder that is removed with it.
#[cfg(feature = "sqlite")]
struct Temporary {
    store: queue_sqlite::Store,
    _folder: tempfile::TempDir,
}

#[cfg(feature = "sqlite")]
impl Temporary {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let store = queue_sqlite::Store::open(folder.path().join("jobs.db")).expect("a new store opens");
        Self { store, _folder: folder }
    }
}

#[cfg(feature = "sqlite")]
impl Journal for Temporary {
    fn begin(&self, sink: Sink) -> Recovery {
        self.store.begin(sink)
    }

    fn append(&self, changes: &mut Vec<Change>) {
        self.store.append(changes);
    }

    fn load(&self, loading: Loading) {
        self.store.load(loading);
    }

    fn flush(&self) {
        self.store.flush();
    }

    fn payload_memory(&self) -> usize {
        self.store.payload_memory()
    }

    fn close(&self) {
        self.store.close();
    }
}

#[cfg(feature = "sqlite")]
impl fmt::Debug for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// The simulator with queues that keep their jobs on a simulated disk each.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug)]
pub struct OnDisk(crate::runtimes::Simulated);

#[cfg(feature = "sim")]
impl TestRuntime for OnDisk {
    const RUNS: u64 = <crate::runtimes::Simulated as TestRuntime>::RUNS;

    type Runtime = queue_sim::World;

    fn block_on<F: Future>(scenario: impl FnOnce(Self) -> F) -> F::Output {
        crate::runtimes::Simulated::block_on(|rt| scenario(Self(rt)))
    }

    fn start(&self, queue: &Queue<Self::Runtime>) {
        self.0.start(queue);
    }

    fn builder(&self) -> Builder<Self::Runtime> {
        // Little enough that large payloads are left on it.
        let disk = queue_sim::Disk::new().payload_memory(1_000);
        self.0.builder().store(disk.open().expect("it is new"))
    }
}
