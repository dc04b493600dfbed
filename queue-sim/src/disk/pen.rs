//! What writes to the disk: it takes its time, and may fail.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use queue_core::{Change, Loading, Recovery, Sink, StoreError, StoreFault};

use super::Disk;
use crate::executor::Executor;
use crate::piece::Origin;
use crate::world::World;

/// One opening of a disk.
pub(super) struct Pen {
    pub(super) disk: Disk,
    opening: u64,
    sink: OnceLock<Sink>,
    state: Mutex<State>,
}

struct State {
    /// Changes that wait to be written for the first time.
    fresh: Vec<Change>,
    /// Batches that could not be written, or perhaps were.
    failed: VecDeque<Batch>,
    last_batch: u64,
    /// A task is going to write.
    is_writing: bool,
    is_closed: bool,
}

struct Batch {
    number: u64,
    changes: Vec<Change>,
}

/// How a write goes wrong.
enum Fault {
    /// Nothing is written.
    Fails,
    /// It is written, and seems not to be.
    Lies,
}

/// A write takes up to this long.
const LATENCY: Duration = Duration::from_millis(1);
/// And one that stalls.
const STALL: Duration = Duration::from_secs(10);
/// After a failure the next try comes this much later.
const BACKOFF: Duration = Duration::from_millis(100);

impl Pen {
    pub(super) fn new(disk: Disk, opening: u64, last_batch: u64) -> Self {
        let state = State {
            fresh: Vec::new(),
            failed: VecDeque::new(),
            last_batch,
            is_writing: false,
            is_closed: false,
        };
        Self { disk, opening, sink: OnceLock::new(), state: Mutex::new(state) }
    }

    pub(super) fn begin(&self, sink: Sink) -> Recovery {
        assert!(self.sink.set(sink).is_ok(), "a store is for one queue");
        self.disk.with(self.opening, |table| table.recover()).expect("the disk is open")
    }

    pub(super) fn append(this: &Arc<Self>, changes: &mut Vec<Change>) {
        let is_first = {
            let mut state = this.state.lock();
            state.fresh.append(changes);
            !std::mem::replace(&mut state.is_writing, true)
        };
        if is_first {
            this.in_time(|pen, world| async move {
                let mut wait = Self::latency(&world);
                loop {
                    world.sleep(wait).await;
                    if pen.write(true) {
                        return;
                    }
                    wait = BACKOFF + Self::latency(&world);
                }
            });
        }
    }

    pub(super) fn load(this: &Arc<Self>, loading: Loading) {
        this.in_time(|pen, world| async move {
            world.sleep(Self::latency(&world)).await;
            let payload = pen.disk.with(pen.opening, |table| table.payload(loading.id())).flatten();
            let missing = || StoreError::new(StoreFault::Corrupt, "there is no such payload");
            let fails = world.strikes("DISK READ FAILS", |chaos| chaos.disk_failures);
            let failed = || StoreError::new(StoreFault::Io, "injected failure");
            loading.answer(if fails { Err(failed()) } else { payload.ok_or_else(missing) });
        });
    }

    /// Writes what waits, and tells what became of it. Returns whether nothing is left; `from_task`: if so, the task that
    /// writes is over.
    pub(super) fn write(&self, from_task: bool) -> bool {
        let Some(sink) = self.sink.get() else { return true };
        let (mut batches, is_closed) = {
            let mut state = self.state.lock();
            let mut batches = std::mem::take(&mut state.failed);
            let fresh = std::mem::take(&mut state.fresh);
            if !fresh.is_empty() {
                state.last_batch += 1;
                batches.push_back(Batch { number: state.last_batch, changes: fresh });
            }
            (batches, state.is_closed)
        };
        let written = if is_closed {
            Some(Err(StoreError::new(StoreFault::Closed, "the disk was closed")))
        } else {
            self.write_batches(&batches, sink)
        };
        match written {
            // It crashed: who waits, waits for ever.
            None => return true,
            Some(Err(error)) => {
                for batch in &mut batches {
                    sink.failed(&mut batch.changes, &error);
                }
                batches.retain(|batch| !batch.changes.is_empty() && !is_closed);
                let mut state = self.state.lock();
                batches.append(&mut state.failed);
                state.failed = batches;
            }
            Some(Ok(())) => {
                for batch in batches {
                    sink.written(batch.changes);
                }
            }
        }
        let mut state = self.state.lock();
        let is_over = state.fresh.is_empty() && state.failed.is_empty();
        if from_task && is_over {
            state.is_writing = false;
        }
        is_over
    }

    /// `None` after a crash.
    fn write_batches(&self, batches: &VecDeque<Batch>, sink: &Sink) -> Option<Result<(), StoreError>> {
        let has_records = batches.iter().flat_map(|batch| &batch.changes).any(|it| it.record().is_some());
        let fault = if has_records { Self::fault() } else { None };
        if !matches!(fault, Some(Fault::Fails)) {
            let time = sink.time();
            self.disk.with(self.opening, |table| {
                for batch in batches {
                    // It may have been written although that seemed to fail.
                    if batch.number > table.last_batch() {
                        table.write(batch.number, batch.changes.iter().filter_map(Change::record), time);
                    }
                }
            })?;
        }
        let failed = |_| Err(StoreError::new(StoreFault::Full, "injected failure"));
        Some(fault.map_or(Ok(()), failed))
    }

    pub(super) fn close(&self) {
        let is_closed = std::mem::replace(&mut self.state.lock().is_closed, true);
        if !is_closed {
            self.disk.close(self.opening);
        }
    }

    /// Does something that takes time; outside of a simulation, nothing.
    fn in_time<F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>, World) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        if let Some(executor) = Executor::current() {
            let world = World::of(&executor.shared);
            executor.spawn("disk", work(self.clone(), world), Origin::Simulator);
        }
    }

    fn fault() -> Option<Fault> {
        let executor = Executor::current()?;
        let world = World::of(&executor.shared);
        if world.strikes("DISK FAILS", |chaos| chaos.disk_failures) {
            return Some(Fault::Fails);
        }
        world.strikes("DISK LIES", |chaos| chaos.disk_lies).then_some(Fault::Lies)
    }

    fn latency(world: &World) -> Duration {
        let most = if world.strikes("DISK STALLS", |chaos| chaos.disk_stalls) { STALL } else { LATENCY };
        world.shared.with(|state| state.some_time(most))
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pen")
            .field("disk", &self.disk)
            .field("opening", &self.opening)
            .finish_non_exhaustive()
    }
}
