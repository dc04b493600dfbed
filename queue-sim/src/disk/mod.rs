//! A store that outlives the queues on it, and even the simulation: what a durable store does, without the disk.

mod pen;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use queue_core::{Change, JobId, Journal, Loading, Recovery, Sink, StoreError, StoreFault};

use pen::Pen;
use table::Table;

/// A disk to keep jobs on. Cheap to clone; a clone is the same disk.
///
/// It belongs to no simulation: keep it outside, [open](Self::open) it in one, [crash](Self::crash) it, and open it in
/// the next, as a process would that is started again. Writing takes up to a millisecond of virtual time, and fails as
/// the seed has it, if [`Chaos`](crate::Chaos) says so.
///
/// ```
/// use std::time::Duration;
/// use queue_sim::{Disk, Drain, Queue, Sim};
///
/// let disk = Disk::new();
/// let before = disk.clone();
/// Sim::new(1).run(|_| async move {
///     let queue = Queue::builder().store(before.open().unwrap()).build();
///     queue.push("mail", &"ada@example.com").await.unwrap();
///     before.crash();
/// });
/// Sim::new(2).run(|_| async move {
///     let queue = Queue::builder().store(disk.open().unwrap()).build();
///     queue.register("mail", |_| async { Ok(()) });
///     queue.start();
///     assert_eq!(queue.pending_count(), 1);
///     queue.drain().await;
///     queue.shutdown(Duration::ZERO).await;
///     assert!(disk.jobs().is_empty());
/// });
/// ```
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

struct State {
    table: Table,
    /// How often it was opened.
    openings: u64,
    is_open: bool,
    payload_memory: usize,
    crashes_before_quarantine: u32,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            table: Table::default(),
            openings: 0,
            is_open: false,
            payload_memory: 64 << 20,
            crashes_before_quarantine: 3,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// How many bytes of payload a named queue keeps in memory; see [`Journal::payload_memory`]. Default: 64 MiB.
    #[must_use]
    pub fn payload_memory(self, bytes: usize) -> Self {
        self.state.lock().payload_memory = bytes;
        self
    }

    /// A store for one queue. Jobs that were running when the disk crashed wait again, and are dead letters if that
    /// happened three times.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Locked`] while another queue has it.
    pub fn open(&self) -> Result<DiskStore, StoreError> {
        let mut state = self.state.lock();
        if state.is_open {
            return Err(StoreError::new(StoreFault::Locked, "the disk is open"));
        }
        state.is_open = true;
        state.openings += 1;
        let limit = state.crashes_before_quarantine;
        state.table.count_crashes(limit);
        let pen = Pen::new(self.clone(), state.openings, state.table.last_batch());
        Ok(DiskStore { pen: Arc::new(pen) })
    }

    /// As if the process had been killed: what is not written by now never is, and the disk can be opened again.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        state.openings += 1;
    }

    /// The jobs on it, dead letters apart, in order of their numbers.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobId> {
        self.state.lock().table.jobs()
    }

    /// The dead letters on it, in order of their numbers.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<JobId> {
        self.state.lock().table.dead_letters()
    }

    /// The latest time that was written to it; see [`Sink::time`].
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.state.lock().table.time()
    }

    /// Does something with what is on it, for the store that was opened as `opening`.
    fn with<T>(&self, opening: u64, change: impl FnOnce(&mut Table) -> T) -> Option<T> {
        let mut state = self.state.lock();
        let is_current = state.is_open && state.openings == opening;
        is_current.then(|| change(&mut state.table))
    }

    fn close(&self, opening: u64) {
        let mut state = self.state.lock();
        if state.openings == opening {
            state.is_open = false;
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("jobs", &self.jobs().len())
            .field("dead_letters", &self.dead_letters().len())
            .finish_non_exhaustive()
    }
}

/// An open [`Disk`], for [`Builder::store`](queue_core::Builder::store).
#[derive(Debug)]
pub struct DiskStore {
    pen: Arc<Pen>,
}

impl Journal for DiskStore {
    fn begin(&self, sink: Sink) -> Recovery {
        self.pen.begin(sink)
    }

    fn append(&self, changes: &mut Vec<Change>) {
        Pen::append(&self.pen, changes);
    }

    fn load(&self, loading: Loading) {
        Pen::load(&self.pen, loading);
    }

    fn flush(&self) {
        self.pen.write(false);
    }

    fn payload_memory(&self) -> usize {
        self.pen.disk.state.lock().payload_memory
    }

    fn close(&self) {
        self.pen.close();
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.pen.close();
    }
}
