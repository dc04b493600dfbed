//! The background job queue of [`queue_core`] on smol.
//!
//! ```
//! use std::time::Duration;
//! use queue_smol::{Job, Queue, RetryPolicy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # smol::block_on(async {
//! let queue = Queue::builder().workers(4).retry(RetryPolicy::exponential(3, Duration::from_secs(1))).build();
//! queue.register("send_email", |job: Job| async move {
//!     let to: String = job.deserialize()?;
//!     println!("Sending email to {to}");
//!     Ok(())
//! });
//! queue.start();
//! queue.push("send_email", &"user@example.com").await?;
//! queue.shutdown(Duration::from_secs(5)).await;
//! # Ok(()) }) }
//! ```
//!
//! [`Queue`] runs on smol's global executor, or on an [`Executor`] of yours, and its handlers' futures must be `Send`.
//! [`local::Queue`] runs on a `LocalExecutor`, and they need not be.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use smol::Executor;

pub use queue_core::*;

pub mod local;

/// A queue on smol. Everything it can do is on [`queue_core::Queue`] and [`Handle`].
pub type Queue = queue_core::Queue<Smol>;

/// smol: the global executor, or one of yours.
#[derive(Clone, Debug, Default)]
pub struct Smol {
    /// Weak, because the executor holds the workers, and the workers hold this.
    executor: Option<Weak<Executor<'static>>>,
}

impl Smol {
    /// This executor instead of the global one. Keep it and run it: an executor that nobody runs starts nothing, and
    /// the queue does not keep it alive. When it is dropped, running jobs go back to their queue, as when any runtime
    /// ends.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use queue_smol::{Queue, Smol};
    ///
    /// let executor = Arc::new(smol::Executor::new());
    /// let queue = Queue::builder_on(Smol::on(&executor)).build();
    /// queue.register("hello", |_| async { Ok(()) });
    /// queue.start();
    /// smol::block_on(executor.run(async {
    ///     queue.push("hello", &()).await.unwrap();
    ///     assert_eq!(queue.shutdown(Duration::from_secs(5)).await.finished, 1);
    /// }));
    /// ```
    #[must_use]
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self { executor: Some(Arc::downgrade(executor)) }
    }
}

impl Timer for Smol {
    type Sleep = Sleep;

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep(smol::Timer::at(deadline))
    }
}

/// smol's timer, without the instant it returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Sleep(smol::Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl<F> Spawner<F> for Smol
where
    F: Future<Output = ()> + Send + 'static,
{
    /// # Panics
    ///
    /// When it is on an executor of yours, and that is gone.
    fn spawn(&self, future: F) {
        match &self.executor {
            Some(executor) => executor.upgrade().expect("the executor is gone").spawn(future).detach(),
            None => smol::spawn(future).detach(),
        }
    }
}

impl Runtime for Smol {
    type Mode = SendMode;
}
