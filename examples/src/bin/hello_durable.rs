//! Jobs that outlive the process: `cargo run -p queue-examples --bin hello_durable`, and again

use std::env;
use std::time::Duration;

use queue_sqlite::Store;
use queue_tokio::{BoxError, Event, Job, Queue};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let path = env::args_os().nth(1).unwrap_or_else(|| "jobs.db".into());
    let queue = Queue::builder().store(Store::open(path)?).workers(4).build();
    queue.register("send_email", |job: Job| async move {
        let to: String = job.deserialize()?;
        println!("Sending email to {to}");
        Ok(())
    });
    println!("Jobs from before: {}", queue.pending_count());
    queue.start();

    let mut events = queue.subscribe(64);
    queue.push_delayed("send_email", &"tomorrow@example.com", Duration::from_hours(24)).await?;
    queue.push("send_email", &"user@example.com").await?; // it is on disk when this returns
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Succeeded(_)) {
            break; // that it is done is on disk, too
        }
    }
    let report = queue.shutdown(Duration::from_secs(5)).await;
    println!("Shut down; jobs kept: {}", report.kept);
    Ok(())
}
