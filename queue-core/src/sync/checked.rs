//! The same names as in a common build, of a checker. Its locks are those of `std`; nobody panics under one.

#[cfg(queue_loom)]
pub(crate) use {
    crossbeam_queue::ArrayQueue,
    event_listener::Event as Notify,
    loom::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    std::thread::{self, ThreadId},
    std::thread_local,
};

#[cfg(queue_shuttle)]
pub(crate) use {
    self::steps::{ArrayQueue, AtomicWaker, Notify},
    shuttle::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    shuttle::thread::{self, ThreadId},
    shuttle::thread_local,
};

#[cfg(queue_loom)]
use loom::sync as checker;
#[cfg(queue_shuttle)]
use shuttle::sync as checker;

pub(crate) use checker::MutexGuard;
use checker::{RwLockReadGuard, RwLockWriteGuard};

#[cfg(queue_loom)]
pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

#[cfg(queue_loom)]
impl AtomicWaker {
    pub(crate) fn new() -> Self {
        Self(loom::future::AtomicWaker::new())
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.0.register_by_ref(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checker::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("nobody panics under a lock")
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(checker::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().expect("nobody panics under a lock")
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().expect("nobody panics under a lock")
    }
}

/// Other crates' types, with a point before each call where another thread may go first: the checker cannot look inside.
#[cfg(queue_shuttle)]
mod steps {
    use std::task::Waker;

    use event_listener::EventListener;
    use shuttle::sync::atomic::{AtomicBool, Ordering};

    fn step() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }

    pub(crate) struct AtomicWaker(atomic_waker::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(atomic_waker::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &Waker) {
            step();
            self.0.register(waker);
        }

        pub(crate) fn wake(&self) {
            step();
            self.0.wake();
        }
    }

    #[derive(Default)]
    pub(crate) struct Notify(event_listener::Event);

    impl Notify {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn listen(&self) -> EventListener {
            step();
            self.0.listen()
        }

        pub(crate) fn notify(&self, listeners: usize) {
            step();
            self.0.notify(listeners);
        }
    }

    pub(crate) struct ArrayQueue<T>(crossbeam_queue::ArrayQueue<T>);

    impl<T> ArrayQueue<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            Self(crossbeam_queue::ArrayQueue::new(capacity))
        }

        pub(crate) fn force_push(&self, value: T) -> Option<T> {
            step();
            self.0.force_push(value)
        }

        pub(crate) fn pop(&self) -> Option<T> {
            step();
            self.0.pop()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }
}
