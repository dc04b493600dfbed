//! The queue on a smol `LocalExecutor`: handlers may hold an `Rc` across an await, because they stay on their thread.
//!
//! A `LocalExecutor` is bound to its thread, so the queue, which is not, is given it at the start:
//!
//! ```
//! use std::rc::Rc;
//! use std::time::Duration;
//! use queue_smol::local::{On, Queue};
//!
//! let executor = smol::LocalExecutor::new();
//! let queue = Queue::new();
//! queue.register("count", |_| async {
//!     let local = Rc::new(1);
//!     smol::future::yield_now().await;
//!     assert_eq!(*local, 1);
//!     Ok(())
//! });
//! queue.start_on(&On(&executor));
//! smol::block_on(executor.run(async {
//!     queue.push("count", &()).await.unwrap();
//!     assert_eq!(queue.shutdown(Duration::from_secs(5)).await.finished, 1);
//! }));
//! ```

use std::time::{Instant, SystemTime};

use queue_core::{LocalMode, Runtime, Spawner, Timer};
use smol::LocalExecutor;

use crate::{Sleep, Smol};

/// A queue whose handlers stay on the thread that started it. Everything it can do is on [`queue_core::Queue`] and
/// [`Handle`](crate::Handle); it is started with [`start_on`](queue_core::Queue::start_on).
pub type Queue = queue_core::Queue<SmolLocal>;

/// smol's timer, with tasks that stay on their thread.
#[derive(Clone, Debug, Default)]
pub struct SmolLocal(Smol);

impl Timer for SmolLocal {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        self.0.sleep_until(deadline)
    }
}

impl Runtime for SmolLocal {
    type Mode = LocalMode;
}

/// Spawns on this `LocalExecutor`.
#[derive(Clone, Copy, Debug)]
pub struct On<'a>(pub &'a LocalExecutor<'static>);

impl<F> Spawner<F> for On<'_>
where
    F: Future<Output = ()> + 'static,
{
    fn spawn(&self, future: F) {
        self.0.spawn(future).detach();
    }
}
