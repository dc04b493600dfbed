//! Time that passes when the suite says so.

use std::time::Duration;

use queue_core::{Builder, Queue, Runtime};

/// A runtime whose time can be moved on.
pub trait Time: Clone + 'static {
    /// What its queues are made of.
    type Runtime: Runtime;

    /// Settings for a queue.
    fn builder(&self) -> Builder<Self::Runtime>;

    /// Starts the workers of a queue.
    fn start(&self, queue: &Queue<Self::Runtime>);

    /// Lets time pass.
    fn advance(&self, time: Duration) -> impl Future<Output = ()>;

    /// Waits until a condition holds that gives no signal.
    fn until(&self, holds: impl FnMut() -> bool) -> impl Future<Output = ()>;
}

#[cfg(feature = "sim")]
impl Time for queue_sim::World {
    type Runtime = Self;

    fn builder(&self) -> Builder<Self> {
        self.queue_builder()
    }

    fn start(&self, queue: &Queue<Self>) {
        queue.start();
    }

    async fn advance(&self, time: Duration) {
        self.sleep(time).await;
    }

    async fn until(&self, mut holds: impl FnMut() -> bool) {
        while !holds() {
            self.sleep(Duration::from_millis(1)).await;
        }
    }
}

#[cfg(feature = "smol")]
pub use manual::Manual;

#[cfg(feature = "smol")]
mod manual {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant, SystemTime};

    use event_listener::Event;
    use futures_lite::future;
    use parking_lot::Mutex;
    use queue_core::{Builder, Queue, Runtime, SendMode, Spawner, Timer};

    use super::Time;

    /// smol's global executor, on a clock that can be put forward: for stores that have threads of their own, which a
    /// simulation has not.
    #[derive(Clone, Debug, Default)]
    pub struct Manual(Arc<Clock>);

    #[derive(Debug, Default)]
    struct Clock {
        ahead: Mutex<Duration>,
        moved: Event,
    }

    impl Timer for Manual {
        type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

        #[expect(clippy::disallowed_methods, reason = "this is the seam")]
        fn now(&self) -> Instant {
            Instant::now() + *self.0.ahead.lock()
        }

        #[expect(clippy::disallowed_methods, reason = "this is the seam")]
        fn wall(&self) -> SystemTime {
            SystemTime::now() + *self.0.ahead.lock()
        }

        fn sleep_until(&self, deadline: Instant) -> Self::Sleep {
            let this = self.clone();
            Box::pin(async move {
                loop {
                    let moved = this.0.moved.listen();
                    let left = deadline.saturating_duration_since(this.now());
                    if left.is_zero() {
                        return;
                    }
                    future::or(moved, async {
                        smol::Timer::after(left).await;
                    })
                    .await;
                }
            })
        }
    }

    impl<F> Spawner<F> for Manual
    where
        F: Future<Output = ()> + Send + 'static,
    {
        fn spawn(&self, future: F) {
            smol::spawn(future).detach();
        }
    }

    impl Runtime for Manual {
        type Mode = SendMode;
    }

    impl Time for Manual {
        type Runtime = Self;

        fn builder(&self) -> Builder<Self> {
            Queue::builder_on(self.clone())
        }

        fn start(&self, queue: &Queue<Self>) {
            queue.start();
        }

        async fn advance(&self, time: Duration) {
            *self.0.ahead.lock() += time;
            self.0.moved.notify(usize::MAX);
            future::yield_now().await;
        }

        async fn until(&self, mut holds: impl FnMut() -> bool) {
            while !holds() {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        }
    }
}
