//! Handlers that fail when the seed says so.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use queue_core::{BoxError, Job};

use crate::world::World;

impl World {
    /// This handler, with the faults [`handler_panics`](crate::Chaos::handler_panics) and
    /// [`handler_drops`](crate::Chaos::handler_drops) at its polls.
    ///
    /// ```
    /// use std::time::Duration;
    /// use queue_sim::{Chaos, Queue, RetryPolicy, Sim};
    ///
    /// Sim::explore(0..20, |sim| async move {
    ///     sim.chaos(Chaos::none().handler_panics(0.5));
    ///     let queue = Queue::builder().retry(RetryPolicy::fixed(100, Duration::from_secs(1))).build();
    ///     queue.register("hello", sim.chaotic(|_| async { Ok(()) }));
    ///     queue.start();
    ///     queue.push("hello", &()).await.unwrap();
    ///     sim.drain(&queue).await;
    ///     assert_eq!(queue.dead_letter_count(), 0);
    /// });
    /// ```
    pub fn chaotic<H, F, T>(
        &self,
        handler: H,
    ) -> impl Fn(Job) -> Chaotic<F> + Send + Sync + 'static + use<H, F, T>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, BoxError>>,
    {
        let world = self.clone();
        move |job| Chaotic { world: world.clone(), future: Some(Box::pin(handler(job))) }
    }
}

/// The future of a handler that fails when the seed says so; see [`World::chaotic`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Chaotic<F> {
    world: World,
    future: Option<Pin<Box<F>>>,
}

impl<F, T> Future for Chaotic<F>
where
    F: Future<Output = Result<T, BoxError>>,
{
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.world.strikes("the handler panics", |chaos| chaos.handler_panics) {
            // Not `panic!`: a test that is meant to panic a thousand times should not print it.
            resume_unwind(Box::new("injected panic"));
        }
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() && self.world.strikes("the handler is dropped", |chaos| chaos.handler_drops) {
            self.future = None;
            return Poll::Ready(Err("injected failure".into()));
        }
        polled
    }
}
