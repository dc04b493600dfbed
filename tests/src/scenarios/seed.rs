//! The API that the project started from works as written.

use std::time::Duration;

use queue_core::{Job, RetryPolicy};

use crate::{Log, TestResult, TestRuntime, handler};

/// The example of the issue, word for word but for the boxed handler.
pub async fn the_first_example_works(rt: impl TestRuntime) -> TestResult {
    let sent = Log::new();
    let builder = rt.builder().workers(4).retry(RetryPolicy::exponential(3, Duration::from_secs(1)));
    let queue = rt.started(builder, |queue| {
        let sent = sent.clone();
        queue.register(
            "send_email",
            handler(move |job: Job| {
                let sent = sent.clone();
                async move {
                    let to: String = job.deserialize()?;
                    sent.add(to);
                    Ok(())
                }
            }),
        );
    });
    queue.push("send_email", &"user@example.com").await?;
    queue.push_delayed("send_email", &"later@example.com", Duration::from_millis(5)).await?;
    assert_eq!(sent.wait_for(2).await, ["user@example.com", "later@example.com"]);
    let report = queue.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
    Ok(())
}

/// Ids are unique and grow; the first attempt is number 0.
pub async fn ids_grow_and_attempts_start_at_zero(rt: impl TestRuntime) -> TestResult {
    let seen = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let seen = seen.clone();
        queue.register(
            "note",
            handler(move |job: Job| {
                seen.add((job.id, job.attempt, job.name.to_string(), job.raw_payload().to_vec()));
                async { Ok(()) }
            }),
        );
    });
    let first = queue.push("note", &1).await?;
    let second = queue.push("note", &2).await?;
    assert!(first < second);
    let expected =
        [(first, 0, "note".to_owned(), b"1".to_vec()), (second, 0, "note".to_owned(), b"2".to_vec())];
    assert_eq!(seen.wait_for(2).await, expected);
    Ok(())
}
