//! Which job's handler is being polled on this thread.
//!
//! A handler that waits for its own queue (for room, for shutdown) could wait for itself. Knowing that a call comes from
//! inside a handler is what lets those calls answer instead.

use std::cell::Cell;
use std::sync::Arc;

use crate::engine::Core;
use crate::job::JobId;
use crate::slot::{Slot, Sparing};
use crate::sync::thread_local;

#[derive(Clone, Copy)]
struct Current {
    /// The queue's address: it is compared and never followed.
    queue: usize,
    id: JobId,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// A worker is being polled on this thread. Workers may nest, when a handler blocks on another executor.
pub(crate) struct Polling {
    outer: Option<Current>,
    _sparing: Sparing,
}

impl Polling {
    pub(crate) fn begin(slot: &Arc<Slot>) -> Self {
        Self { outer: CURRENT.with(Cell::take), _sparing: Sparing::begin(slot) }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        CURRENT.with(|current| current.set(self.outer));
    }
}

/// From here to [`leave`], the thread is inside the handler of this job.
pub(crate) fn enter(core: &Arc<Core>, id: JobId) {
    CURRENT.with(|current| current.set(Some(Current { queue: address(core), id })));
}

pub(crate) fn leave() {
    CURRENT.with(|current| current.set(None));
}

/// The job of this queue whose handler is making this call.
pub(crate) fn job_of(core: &Arc<Core>) -> Option<JobId> {
    CURRENT.with(Cell::get).filter(|current| current.queue == address(core)).map(|current| current.id)
}

fn address(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core).addr()
}
