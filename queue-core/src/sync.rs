//! What threads share: of `std`, `parking_lot` and a few crates in every build, and of a checker in the builds that try
//! interleavings.
//!
//! - `--cfg queue_loom`: every interleaving and every order of memory that the language allows, for the small models beside
//!   `progress`, the inbox and `slot`.
//! - `--cfg queue_shuttle`: thousands of schedules of whole queues, in `engine/models`. All atomics are sequentially
//!   consistent there, and what one call to another crate does is one step.
//!
//! Whatever threads share must come from here, or the checkers do not see it.

#[cfg(any(queue_loom, queue_shuttle))]
mod checked;

#[cfg(any(queue_loom, queue_shuttle))]
pub(crate) use checked::*;

#[cfg(not(any(queue_loom, queue_shuttle)))]
pub(crate) use {
    atomic_waker::AtomicWaker,
    crossbeam_queue::ArrayQueue,
    event_listener::Event as Notify,
    parking_lot::{Mutex, MutexGuard, RwLock},
    std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    std::thread::{self, ThreadId},
    std::thread_local,
};
