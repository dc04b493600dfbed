//! Running one handler once.

use std::sync::Arc;

use parking_lot::Mutex;
use queue_core::{BoxError, Event, Job, Queue};
use serde::Serialize;

use crate::world::World;

/// Runs a handler once, as a worker would, and returns what it answers. The payload makes the round trip through JSON.
///
/// It runs in a queue of its own in this thread's simulation, so [`Job::handle`] works, and what the handler pushes
/// there goes away with it.
///
/// ```
/// use queue_sim::{Job, Outcome, Sim, perform};
///
/// async fn greet(job: Job) -> Result<Outcome, queue_sim::BoxError> {
///     let name: String = job.deserialize()?;
///     if name.is_empty() { Ok(Outcome::discard("nobody to greet")) } else { Ok(Outcome::Done) }
/// }
///
/// Sim::new(1).run(|_| async {
///     assert_eq!(perform(greet, &"Ada").await.unwrap(), Outcome::Done);
///     assert_eq!(perform(greet, &"").await.unwrap(), Outcome::discard("nobody to greet"));
///     assert!(perform(greet, &42).await.is_err());
/// });
/// ```
///
/// # Errors
///
/// What the handler answers. A handler that panics is an error with the panic's message, and so is a payload that JSON
/// cannot hold.
///
/// # Panics
///
/// Outside of a simulation.
pub async fn perform<P, H, F, T>(handler: H, payload: &P) -> Result<T, BoxError>
where
    P: Serialize + ?Sized,
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, BoxError>> + 'static,
    T: Send + 'static,
{
    let queue: Queue<World> = World::default().queue_builder().workers(1).build();
    let answer: Arc<Mutex<Option<Result<T, BoxError>>>> = Arc::default();
    let answered = answer.clone();
    queue.register("perform", move |job| {
        let (future, answer) = (handler(job), answer.clone());
        async move {
            let given = future.await;
            *answer.lock() = Some(given);
            Ok(())
        }
    });
    let mut events = queue.subscribe(16);
    queue.start();
    let id = queue.push("perform", payload).await?;
    while let Some(event) = events.recv().await {
        match event {
            Event::Succeeded(job) if job.id == id => break,
            Event::Died { job, error, .. } if job.id == id => return Err(error.into()),
            _ => {}
        }
    }
    let answer = answered.lock().take();
    answer.unwrap_or_else(|| Err("the handler's answer was lost".into()))
}
