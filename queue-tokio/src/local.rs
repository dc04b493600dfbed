//! The queue on a tokio `LocalSet`: handlers may hold an `Rc` across an await, because they stay on their thread.
//!
//! ```
//! use std::rc::Rc;
//! use std::time::Duration;
//! use queue_tokio::local::Queue;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! tokio::task::LocalSet::new()
//!     .run_until(async {
//!         let queue = Queue::new();
//!         queue.register("count", |_| async {
//!             let local = Rc::new(1);
//!             tokio::task::yield_now().await;
//!             assert_eq!(*local, 1);
//!             Ok(())
//!         });
//!         queue.start();
//!         queue.push("count", &()).await.unwrap();
//!         assert_eq!(queue.shutdown(Duration::from_secs(5)).await.finished, 1);
//!     })
//!     .await;
//! # }
//! ```

use std::time::{Instant, SystemTime};

use queue_core::{LocalMode, Runtime, Spawner, Timer};
use tokio::task::LocalSet;
use tokio::time::Sleep;

use crate::Tokio;

/// A queue whose handlers stay on the thread that started it. Everything it can do is on [`queue_core::Queue`] and
/// [`Handle`](crate::Handle).
pub type Queue = queue_core::Queue<TokioLocal>;

/// The tokio runtime's current `LocalSet`.
#[derive(Clone, Debug, Default)]
pub struct TokioLocal(Tokio);

impl Timer for TokioLocal {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    /// # Panics
    ///
    /// Without a tokio runtime, or when it was built without `enable_time`.
    fn sleep_until(&self, deadline: Instant) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

impl<F> Spawner<F> for TokioLocal
where
    F: Future<Output = ()> + 'static,
{
    /// # Panics
    ///
    /// Outside of a `LocalSet`.
    fn spawn(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}

impl Runtime for TokioLocal {
    type Mode = LocalMode;
}

/// Spawns on this `LocalSet`, for [`start_on`](queue_core::Queue::start_on) from outside of it.
#[derive(Clone, Copy, Debug)]
pub struct On<'a>(pub &'a LocalSet);

impl<F> Spawner<F> for On<'_>
where
    F: Future<Output = ()> + 'static,
{
    fn spawn(&self, future: F) {
        drop(self.0.spawn_local(future));
    }
}
