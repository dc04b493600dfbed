//! Waiting for a spawned task.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a spawned task will return; made by [`World::spawn`](crate::World::spawn). Dropping it leaves the task running.
#[must_use = "await it, or drop it to let the task run on"]
pub struct Task<T>(Rc<RefCell<State<T>>>);

struct State<T> {
    output: Option<T>,
    waiting: Option<Waker>,
}

impl<T> Task<T> {
    /// The end that waits, and the task that runs `future`.
    pub(crate) fn new<F>(future: F) -> (Self, impl Future<Output = ()> + use<T, F>)
    where
        F: Future<Output = T>,
    {
        let state = Rc::new(RefCell::new(State { output: None, waiting: None }));
        let task = Self(state.clone());
        let run = async move {
            let output = future.await;
            let mut state = state.borrow_mut();
            state.output = Some(output);
            let waiting = state.waiting.take();
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        };
        (task, run)
    }
}

impl<T> Task<T> {
    /// Whether it has returned; awaiting it then takes no time.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.borrow().output.is_some()
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.borrow_mut();
        if let Some(output) = state.output.take() {
            return Poll::Ready(output);
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_over", &self.is_over()).finish()
    }
}
