//! Which job's handler is being polled on this thread.
//!
//! A handler that waits for its own queue (for room, for shutdown) could wait for itself. Knowing that a call comes from
//! inside a handler is what lets those calls answer instead.

use std::cell::Cell;
use std::sync::Arc;

use crate::engine::Core;
use crate::job::JobId;

#[derive(Clone, Copy)]
struct Current {
    /// The queue's address: it is compared and never followed.
    queue: usize,
    id: JobId,
}

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// While this lives, the thread is inside the handler of a job. Handlers may nest, when one blocks on another executor.
pub(crate) struct Inside {
    outer: Option<Current>,
}

pub(crate) fn enter(core: &Arc<Core>, id: JobId) -> Inside {
    Inside { outer: CURRENT.replace(Some(Current { queue: address(core), id })) }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

/// The job of this queue whose handler is making this call.
pub(crate) fn job_of(core: &Arc<Core>) -> Option<JobId> {
    CURRENT.get().filter(|current| current.queue == address(core)).map(|current| current.id)
}

fn address(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core).addr()
}
