//! The queue on an executor that has no adapter: the thread pool of the `futures` crate, with a timer from elsewhere.
//!
//! `cargo run -p queue-examples --bin foreign_executor`

use std::time::{Duration, Instant, SystemTime};

use futures::executor::{ThreadPool, block_on};
use futures_timer::Delay;
use queue_core::{BoxError, Event, Job, Queue, RetryPolicy, Runtime, SendMode, Spawner, Timer};

#[derive(Clone)]
struct Pool(ThreadPool);

impl Timer for Pool {
    type Sleep = Delay;

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Delay {
        Delay::new(deadline.saturating_duration_since(self.now()))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Spawner<F> for Pool {
    fn spawn(&self, future: F) {
        self.0.spawn_ok(future);
    }
}

/// The pool moves tasks between its threads, so handlers must be `Send`.
impl Runtime for Pool {
    type Mode = SendMode;
}

fn main() -> Result<(), BoxError> {
    let retry = RetryPolicy::exponential(3, Duration::from_millis(100));
    let queue = Queue::builder_on(Pool(ThreadPool::new()?)).retry(retry).build();
    queue.register("greet", |job: Job| async move {
        let name: String = job.deserialize()?;
        if job.attempt == 0 {
            Err("not yet")?;
        }
        println!("Hello, {name} (attempt {})", job.attempt);
        Ok(())
    });
    queue.start();
    block_on(async {
        let mut events = queue.subscribe(64);
        queue.push_delayed("greet", &"world", Duration::from_millis(100)).await?;
        while let Some(event) = events.recv().await {
            if let Event::Succeeded(_) = event {
                break;
            }
        }
        let report = queue.shutdown(Duration::from_secs(5)).await;
        println!("Shut down; jobs handed back: {}", report.handed_back.len());
        Ok(())
    })
}
