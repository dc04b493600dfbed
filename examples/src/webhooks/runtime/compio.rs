//! compio: a runtime for each of two threads, which share the queue and nothing else.

use std::panic::resume_unwind;
use std::{io, thread};

use anyhow::Context as _;
use compio::runtime::Runtime;
use futures::channel::oneshot;
use queue_compio::{Compio, Queue};

use crate::webhooks::deliver::{KIND, deliver};
use crate::webhooks::post::compio::Client;
use crate::webhooks::{Campaign, Interrupt, Watcher};

pub(super) fn drive(
    campaign: &mut Campaign<'_>,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let queue = campaign.build(Queue::builder())?;
    let (client, office) = (Client::new(), campaign.office());
    queue.register(KIND, move |job| deliver(client.clone(), office.clone(), job));

    // Both threads are new ones, because the client keeps its connections in the thread, and they end with the runtime.
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let first = scope.spawn(|| on_this_core(&queue, campaign.drive(&queue, &Compio, watcher, interrupt)));
        let second = scope.spawn(|| on_this_core(&queue, stopped));
        let driven = first.join().unwrap_or_else(|panic| resume_unwind(panic));
        drop(stop);
        let helped = second.join().unwrap_or_else(|panic| resume_unwind(panic));
        helped.map(drop).and(driven).context("compio does not start")?
    })
}

/// Makes this thread one of those that work for the queue, until `main` is over.
fn on_this_core<F: Future>(queue: &Queue, main: F) -> io::Result<F::Output> {
    Runtime::new()?.block_on(async {
        queue.start();
        Ok(main.await)
    })
}
