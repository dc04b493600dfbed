//! The queue on smol: `cargo run -p queue-examples --bin hello_smol`

use std::time::Duration;

use queue_smol::{BoxError, Event, Job, Queue, RetryPolicy};

fn main() -> Result<(), BoxError> {
    smol::block_on(run())
}

async fn run() -> Result<(), BoxError> {
    let retry = RetryPolicy::exponential(3, Duration::from_millis(100));
    let queue = Queue::builder().workers(4).retry(retry).build();
    queue.register("send_email", |job: Job| async move {
        let to: String = job.deserialize()?;
        if to.starts_with("busy") && job.attempt == 0 {
            Err("the mailbox is busy")?; // retried after 100 ms
        }
        println!("Sending email to {to} (attempt {})", job.attempt);
        Ok(())
    });
    queue.start();

    let mut events = queue.subscribe(64);
    queue.push("send_email", &"busy@example.com").await?;
    queue.push_delayed("send_email", &"later@example.com", Duration::from_millis(300)).await?;
    let mut sent = 0;
    while let Some(event) = events.recv().await {
        sent += usize::from(matches!(event, Event::Succeeded(_)));
        if sent == 2 {
            break;
        }
    }

    queue.push("send_email", &"last@example.com").await?;
    queue.push_delayed("send_email", &"tomorrow@example.com", Duration::from_hours(24)).await?;
    let report = queue.shutdown(Duration::from_secs(5)).await;
    println!("Shut down; jobs handed back: {}", report.handed_back.len());
    Ok(())
}
