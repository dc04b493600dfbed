//! The future that a handler awaits to learn that it should stop.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use event_listener::EventListener;

use crate::slot::Attempt;

/// Completes when the attempt should stop; made by [`Job::cancelled`](crate::Job::cancelled).
///
/// ```
/// # use queue_core::{BoxError, Job};
/// # async fn download_next_part() -> bool { false }
/// async fn download(job: Job) -> Result<(), BoxError> {
///     while download_next_part().await {
///         if job.is_cancelled() {
///             return Err("cancelled".into()); // ends as cancelled, and is not retried
///         }
///     }
///     Ok(())
/// }
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Cancelled {
    attempt: Attempt,
    listener: Option<EventListener>,
}

impl Cancelled {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Self { attempt, listener: None }
    }
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            if this.attempt.is_cancelled() {
                return Poll::Ready(());
            }
            match &mut this.listener {
                None => this.listener = Some(this.attempt.listen()),
                Some(listener) => {
                    ready!(Pin::new(listener).poll(cx));
                    this.listener = None;
                }
            }
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("is_cancelled", &self.attempt.is_cancelled())
            .finish_non_exhaustive()
    }
}
