//! The background job queue of [`queue_core`] on compio: completion-based I/O, thread-per-core.
//!
//! ```
//! use std::time::Duration;
//! use queue_compio::{Job, Queue, RetryPolicy};
//!
//! # #[compio::main]
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
//! A compio runtime belongs to one thread. A handler's future is made, polled and dropped on the thread of its worker, so
//! it may hold compio's files and sockets, or an `Rc`. The queue itself is `Send + Sync`: call `start` on every thread that
//! should take part, and they share the jobs. `workers` is then the number on each thread, and `limit` what may run over
//! all of them.
//!
//! On Linux the driver is `io_uring` where the kernel has it, and polling elsewhere.

use std::pin::Pin;
use std::time::{Instant, SystemTime};

pub use queue_core::*;

/// A queue on compio. Everything it can do is on [`queue_core::Queue`] and [`Handle`].
pub type Queue = queue_core::Queue<Compio>;

/// The compio runtime of the current thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compio;

impl Timer for Compio {
    /// compio's own sleep has no name.
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
        Box::pin(compio::time::sleep_until(deadline))
    }
}

impl<F> Spawner<F> for Compio
where
    F: Future<Output = ()> + 'static,
{
    /// # Panics
    ///
    /// Outside of a compio runtime.
    fn spawn(&self, future: F) {
        compio::runtime::spawn(future).detach();
    }
}

impl Runtime for Compio {
    type Mode = LocalMode;
}
