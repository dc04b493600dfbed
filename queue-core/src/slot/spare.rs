//! The reference to its slot that a worker's last attempt has dropped, kept for the next one.
//!
//! Every job that a handler is given holds its slot, and most are dropped before the worker goes on. To count such a
//! reference down and up again is two locked operations, which were a tenth of what an empty job took.
//!
//! What is kept is of the slot of the worker that is being polled on this thread, and goes with the end of the poll: it
//! keeps nothing alive that the worker does not.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use super::Slot;
use crate::sync::thread_local;

thread_local! {
    // A thread that ends may drop workers and jobs when this is gone already. It polls nobody then.
    static SPARE: Spare = const { Spare { of: Cell::new(ptr::null()), kept: Cell::new(None) } };
}

struct Spare {
    /// The slot of the worker that is polled: compared and never followed.
    of: Cell<*const Slot>,
    kept: Cell<Option<Arc<Slot>>>,
}

/// A worker is being polled on this thread. Workers may nest, when a handler blocks on another executor.
pub(crate) struct Sparing {
    outer: *const Slot,
}

impl Sparing {
    pub(crate) fn begin(slot: &Arc<Slot>) -> Self {
        Self { outer: change(Arc::as_ptr(slot)) }
    }
}

impl Drop for Sparing {
    fn drop(&mut self) {
        change(self.outer);
    }
}

/// Another worker is polled from now on, or none. Gives back which one was.
fn change(of: *const Slot) -> *const Slot {
    let changed = SPARE.try_with(|spare| {
        spare.kept.set(None);
        spare.of.replace(of)
    });
    changed.unwrap_or(ptr::null())
}

/// What was kept, if it is a reference to `slot`.
#[inline]
pub(super) fn take(slot: &Arc<Slot>) -> Option<Arc<Slot>> {
    SPARE.with(|spare| if spare.of.get() == Arc::as_ptr(slot) { spare.kept.take() } else { None })
}

/// Keeps a reference that is to be dropped, if there is a use for it.
#[inline]
pub(super) fn keep(slot: &mut Option<Arc<Slot>>) {
    let _ = SPARE.try_with(|spare| {
        if slot.as_ref().is_some_and(|slot| spare.of.get() == Arc::as_ptr(slot)) {
            spare.kept.set(slot.take());
        }
    });
}

#[cfg(all(test, not(any(queue_loom, queue_shuttle))))]
mod tests {
    use super::*;
    use crate::fuzz::still::slot;
    use crate::slot::Attempt;

    #[test]
    fn what_is_kept_is_used_again_and_goes_with_the_poll() {
        let slot = slot();
        let polling = Sparing::begin(&slot);
        drop(slot.attempt());
        assert_eq!(Arc::strong_count(&slot), 2, "it is kept");
        let (one, other) = (slot.attempt(), slot.attempt());
        assert_eq!(Arc::strong_count(&slot), 3, "it is used for one of them");
        drop((one, other));
        assert_eq!(Arc::strong_count(&slot), 2, "one is enough");
        drop(polling);
        assert_eq!(Arc::strong_count(&slot), 1);
    }

    #[test]
    fn nothing_is_kept_of_a_worker_that_is_not_polled() {
        let (outer, inner) = (slot(), slot());
        drop(outer.attempt());
        assert_eq!(Arc::strong_count(&outer), 1);
        let polling = Sparing::begin(&outer);
        drop((inner.attempt(), outer.attempt()));
        assert_eq!(Arc::strong_count(&inner), 1);
        let nested = Sparing::begin(&inner);
        assert_eq!(Arc::strong_count(&outer), 1, "it may be long until it is polled on");
        drop((inner.attempt(), outer.attempt()));
        assert_eq!((Arc::strong_count(&inner), Arc::strong_count(&outer)), (2, 1));
        drop(nested);
        drop((inner.attempt(), outer.attempt()));
        assert_eq!((Arc::strong_count(&inner), Arc::strong_count(&outer)), (1, 2));
        drop(polling);
        assert_eq!(Arc::strong_count(&outer), 1);
    }

    /// An executor that lives in a thread local drops its workers when the thread ends, and what is kept here may be gone.
    #[test]
    fn a_worker_may_be_dropped_by_a_thread_that_ends() {
        struct Executor {
            slot: Arc<Slot>,
            running: Cell<Option<Attempt>>,
        }
        impl Executor {
            fn poll(&self) {
                let _polling = Sparing::begin(&self.slot);
                drop(self.slot.attempt());
                self.running.set(Some(self.slot.attempt()));
            }
        }
        impl Drop for Executor {
            fn drop(&mut self) {
                let _polling = Sparing::begin(&self.slot);
                self.running.take();
            }
        }
        thread_local! {
            static EXECUTOR: Executor = Executor { slot: slot(), running: Cell::default() };
        }
        // The other way round it would be destroyed first.
        let polled = std::thread::spawn(|| EXECUTOR.with(Executor::poll));
        polled.join().expect("the thread ends well");
    }
}
