//! `queue.drain()`, for those who have the queue at hand and not the world.

use queue_core::Handle;

use crate::world::World;

/// Adds [`drain`](Drain::drain) to every queue and handle.
///
/// ```
/// use std::time::Duration;
/// use queue_sim::{Drain, Queue, Sim};
///
/// Sim::new(1).run(|sim| async move {
///     let queue = Queue::new();
///     queue.register("hello", |_| async { Ok(()) });
///     queue.start();
///     queue.push("hello", &()).delay(Duration::from_hours(24)).await.unwrap();
///     queue.drain().await;
///     assert!(sim.elapsed() >= Duration::from_hours(24));
/// });
/// ```
pub trait Drain {
    /// Lets virtual time pass until the queue holds no job that waits or runs, delayed ones and retries included; see
    /// [`World::drain`].
    ///
    /// # Panics
    ///
    /// Outside of a simulation.
    fn drain(&self) -> impl Future<Output = ()>;
}

impl Drain for Handle {
    async fn drain(&self) {
        World::default().drain(self).await;
    }
}
