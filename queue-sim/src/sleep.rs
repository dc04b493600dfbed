//! Waiting in a simulation: for a time, for a lull, for time to move on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::state::{Shared, State, TimerKey};

/// Ends once the virtual clock has come to its deadline; made by [`World`](crate::World).
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    shared: Arc<Shared>,
    until: Duration,
    key: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(shared: Arc<Shared>, until: Duration) -> Self {
        Self { shared, until, key: None }
    }

    fn forget(&mut self) -> Option<Waker> {
        let key = self.key.take()?;
        self.shared.with(|state| state.timers.remove(&key))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whatever waker it left is dropped outside of the lock.
        drop(self.forget());
        let (until, waker) = (self.until, cx.waker().clone());
        let key = self.shared.with(|state| (state.now < until).then(|| state.add_timer(until, waker)));
        self.key = key;
        if self.key.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        drop(self.forget());
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Ends when nothing else can run without time moving on.
pub(crate) async fn lull(shared: &Shared) {
    next(shared, |state| state.lulls, |state| &mut state.until_idle).await;
}

/// Ends when time has moved on.
pub(crate) async fn jump(shared: &Shared) {
    next(shared, |state| state.jumps, |state| &mut state.until_jump).await;
}

/// Ends when what is counted has happened once more.
async fn next(shared: &Shared, count: fn(&State) -> u64, waiting: fn(&mut State) -> &mut Vec<Waker>) {
    let before = shared.with(|state| count(state));
    std::future::poll_fn(|cx| {
        shared.with(|state| {
            if count(state) > before {
                return Poll::Ready(());
            }
            waiting(state).push(cx.waker().clone());
            Poll::Pending
        })
    })
    .await;
}
