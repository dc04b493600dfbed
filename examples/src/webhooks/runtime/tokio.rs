//! tokio: two worker threads that steal work from each other.

use queue_tokio::{Queue, Tokio};
use tokio::runtime::Builder;

use crate::webhooks::deliver::{KIND, deliver};
use crate::webhooks::post::tokio::Client;
use crate::webhooks::{Campaign, Interrupt, Watcher};

pub(super) fn drive(
    campaign: &mut Campaign<'_>,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let queue = campaign.build(Queue::builder())?;
        let (client, office) = (Client::new(), campaign.office());
        queue.register(KIND, move |job| deliver(client.clone(), office.clone(), job));
        queue.start();
        campaign.drive(&queue, &Tokio::default(), watcher, interrupt).await
    })
}
