//! The background job queue of [`queue_core`] on tokio.
//!
//! ```
//! use std::time::Duration;
//! use queue_tokio::{Job, Queue, RetryPolicy};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let queue = Queue::builder().workers(4).retry(RetryPolicy::exponential(3, Duration::from_secs(1))).build();
//! queue.register("send_email", |job: Job| async move {
//!     let to: String = job.deserialize()?;
//!     println!("Sending email to {to}");
//!     Ok(())
//! });
//! queue.start();
//! queue.push("send_email", &"user@example.com").await?;
//! queue.shutdown(Duration::from_secs(5)).await;
//! # Ok(()) }
//! ```
//!
//! [`Queue`] runs on the work-stealing or the current-thread runtime, and its handlers' futures must be `Send`.
//! [`local::Queue`] runs on a `LocalSet`, and they need not be.
//!
//! tokio's timer counts in milliseconds and rounds up: a delayed job never starts early, and typically 1–3 ms late.
//! Time is tokio's own, so `tokio::time::pause` and `advance` hold for delays, retries and timeouts.

use std::time::{Instant, SystemTime};

use tokio::runtime::Handle as RuntimeHandle;
use tokio::time::{Sleep, sleep_until};

pub use queue_core::*;

pub mod local;

/// A queue on tokio. Everything it can do is on [`queue_core::Queue`] and [`Handle`].
pub type Queue = queue_core::Queue<Tokio>;

/// The tokio runtime: the one that is current where it is used, else the one that was current where it was made.
#[derive(Clone, Debug)]
pub struct Tokio {
    fallback: Option<RuntimeHandle>,
}

impl Tokio {
    /// This runtime, for a queue that is built and started outside of it.
    ///
    /// ```
    /// use queue_tokio::{Queue, Tokio};
    ///
    /// let runtime = tokio::runtime::Runtime::new()?;
    /// let queue = Queue::builder_on(Tokio::on(runtime.handle().clone())).build();
    /// queue.register("hello", |_| async { Ok(()) });
    /// queue.start();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn on(runtime: RuntimeHandle) -> Self {
        Self { fallback: Some(runtime) }
    }

    fn runtime(&self) -> RuntimeHandle {
        let current = RuntimeHandle::try_current().ok();
        current.or_else(|| self.fallback.clone()).expect(
            "no tokio runtime: start the queue inside of one, or build it with `Queue::builder_on(Tokio::on(handle))`",
        )
    }
}

impl Default for Tokio {
    fn default() -> Self {
        Self { fallback: RuntimeHandle::try_current().ok() }
    }
}

impl Timer for Tokio {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// # Panics
    ///
    /// Without a tokio runtime, or when it was built without `enable_time`.
    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let runtime = self.runtime();
        let _context = runtime.enter();
        sleep_until(deadline.into())
    }
}

impl<F> Spawner<F> for Tokio
where
    F: Future<Output = ()> + Send + 'static,
{
    /// # Panics
    ///
    /// Without a tokio runtime.
    fn spawn(&self, future: F) {
        drop(self.runtime().spawn(future));
    }
}

impl Runtime for Tokio {
    type Mode = SendMode;
}
