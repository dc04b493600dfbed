//! The answer of a remote store: one concrete future for every verb, so that a store can be a trait object on every runtime.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::journal::{Promise, Receipt, StoreError, StoreFault};

/// What a [`RemoteStore`](super::RemoteStore) will answer.
///
/// # Cancel safety
///
/// Dropping a reply takes nothing back: what was asked may happen, or have happened. Every verb says how it can be asked
/// again.
///
/// ```
/// use queue_core::remote::Reply;
///
/// # futures::executor::block_on(async {
/// let (responder, reply) = Reply::later();
/// std::thread::spawn(move || responder.answer(Ok(7)));
/// assert_eq!(reply.await.unwrap(), 7);
/// # });
/// ```
#[must_use = "a reply is what came of it"]
pub struct Reply<T>(State<T>);

enum State<T> {
    Ready(Option<Result<T, StoreError>>),
    Waiting(Arc<Receipt<Result<T, StoreError>>>),
}

/// The other end of a [`Reply`]. Dropped without an answer, what was asked is [in doubt](StoreFault::InDoubt).
pub struct Responder<T>(Promise<Result<T, StoreError>>);

impl<T> Reply<T> {
    /// An answer that is there at once.
    pub fn ready(answer: T) -> Self {
        Self(State::Ready(Some(Ok(answer))))
    }

    /// A failure that is there at once.
    pub fn failed(error: StoreError) -> Self {
        Self(State::Ready(Some(Err(error))))
    }

    /// An answer that is given later, from anywhere.
    pub fn later() -> (Responder<T>, Self) {
        let (promise, receipt) = Receipt::new(|| Err(in_doubt()));
        (Responder(promise), Self(State::Waiting(receipt)))
    }
}

impl<T> Responder<T> {
    /// Answers, and wakes who waits. Not to be called under a lock that a store's verbs take.
    pub fn answer(self, answer: Result<T, StoreError>) {
        self.0.keep(answer);
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(answer) => Poll::Ready(answer.take().expect("a reply is polled until it is ready")),
            State::Waiting(receipt) => receipt.poll(cx),
        }
    }
}

/// Nothing is pinned in it.
impl<T> Unpin for Reply<T> {}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "Reply(ready)",
            State::Waiting(_) => "Reply(waiting)",
        })
    }
}

impl<T> fmt::Debug for Responder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

fn in_doubt() -> StoreError {
    StoreError::new(StoreFault::InDoubt, "the request was dropped")
}
