//! What the lock-free parts use of `std` and `parking_lot`, and under `--cfg queue_loom` the same of loom, which tries
//! every interleaving: `RUSTFLAGS="--cfg queue_loom" cargo test -p queue-core --lib --release -- progress inbox`.

#[cfg(not(queue_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};

#[cfg(not(queue_loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(queue_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};

#[cfg(queue_loom)]
pub(crate) use loom::sync::MutexGuard;

#[cfg(queue_loom)]
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(queue_loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("no model panics under a lock")
    }
}
