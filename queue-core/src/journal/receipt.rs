//! An answer that comes from another thread, awaited or waited for.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::sync::Mutex;

/// Holds an answer until it is fetched.
#[derive(Debug)]
pub(crate) struct Receipt<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

/// The other end of a [`Receipt`]: it is kept once, or broken by being dropped, so that nobody waits for ever.
pub(crate) struct Promise<T> {
    receipt: Arc<Receipt<T>>,
    broken: Option<fn() -> T>,
}

impl<T> Receipt<T> {
    /// `broken`: the answer if there is none.
    pub(crate) fn new(broken: fn() -> T) -> (Promise<T>, Arc<Self>) {
        let receipt = Arc::new(Self(Mutex::new(State { answer: None, waker: None })));
        (Promise { receipt: receipt.clone(), broken: Some(broken) }, receipt)
    }

    fn answer(&self, answer: T) {
        let waker = {
            let mut state = self.0.lock();
            state.answer = Some(answer);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.lock();
        if let Some(answer) = state.answer.take() {
            return Poll::Ready(answer);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Promise<T> {
    /// Answers, and wakes who waits. Not under a lock.
    pub(crate) fn keep(mut self, answer: T) {
        self.broken = None;
        self.receipt.answer(answer);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(broken) = self.broken.take() {
            self.receipt.answer(broken());
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Promise")
    }
}

/// Unparks this thread.
pub(crate) fn unparker() -> Waker {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Blocks the thread until `poll` is ready: for calls that are no futures, on a store that writes on another thread.
pub(crate) fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = unparker();
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(answer) = poll(&mut cx) {
            return answer;
        }
        thread::park();
    }
}
