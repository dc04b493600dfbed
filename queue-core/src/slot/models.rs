use std::future::{Pending, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Instant, SystemTime};

use loom::thread;

use super::*;
use crate::progress::Signal;
use crate::{Queue, Runtime, SendMode, Timer};

#[derive(Clone)]
struct Still;

impl Timer for Still {
    type Sleep = Pending<()>;

    #[expect(clippy::disallowed_methods, reason = "nothing here depends on the time")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: Instant) -> Pending<()> {
        pending()
    }
}

impl Runtime for Still {
    type Mode = SendMode;
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The slot of a queue's worker, in its first run.
fn slot() -> (Queue<Still>, Arc<Slot>) {
    let queue = Queue::builder_on(Still).build();
    let slot = Arc::new(Slot::new((*queue).core().clone(), 0));
    (queue, slot)
}

/// However a signal and a worker that is about to wait for its handler meet, it sees the signal or is woken.
#[test]
fn a_worker_sees_a_signal_or_is_woken() {
    loom::model(|| {
        let (_queue, slot) = slot();
        let sender = slot.clone();
        let sender = thread::spawn(move || {
            assert!(sender.progress.raise(0, Signal::Stop));
            sender.tell();
        });
        let wakes = Arc::new(Wakes::default());
        slot.watch(&Waker::from(wakes.clone()));
        let sees = slot.progress.has(Signal::Stop);
        sender.join().unwrap();
        assert!(sees || wakes.0.load(Ordering::SeqCst) > 0, "the worker sleeps for ever");
    });
}

/// However the end of a run and a handler's clone that is about to wait for it meet, it sees the end or is notified.
#[test]
fn a_watcher_sees_the_end_or_is_notified() {
    loom::model(|| {
        let (_queue, slot) = slot();
        let attempt = slot.attempt();
        let worker = slot.clone();
        let worker = thread::spawn(move || worker.advance());
        let mut listener = attempt.listen();
        let sees = attempt.is_cancelled();
        worker.join().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let is_told = Pin::new(&mut listener).poll(&mut cx).is_ready();
        assert!(sees || is_told, "the watcher sleeps for ever");
    });
}
