//! smol: one executor, run by two threads.

use std::sync::Arc;
use std::thread;

use futures::channel::oneshot;
use queue_smol::{Queue, Smol};
use smol::Executor;

use crate::webhooks::deliver::{KIND, deliver};
use crate::webhooks::post::smol::Client;
use crate::webhooks::{Campaign, Interrupt, Watcher};

pub(super) fn drive(
    campaign: &mut Campaign<'_>,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let executor = Arc::new(Executor::new());
    let runtime = Smol::on(&executor);
    let queue = campaign.build(Queue::builder_on(runtime.clone()))?;
    let (client, office) = (Client::new(), campaign.office());
    queue.register(KIND, move |job| deliver(client.clone(), office.clone(), job));
    queue.start();

    // The second thread works until `stop` is dropped, on whichever way out.
    let (stop, stopped) = oneshot::channel::<()>();
    thread::scope(|scope| {
        let _stop = stop;
        scope.spawn(|| smol::block_on(executor.run(stopped)));
        smol::block_on(executor.run(campaign.drive(&queue, &runtime, watcher, interrupt)))
    })
}
