//! A panic is a failure like any other, wherever it comes from, and no worker dies of it.

use std::fmt;
use std::future::{Ready, pending, ready};
use std::panic::panic_any;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use queue_core::{BoxError, Handle, Job, RetryPolicy};

use super::script::{End, end_of, errors};
use crate::{Log, TestResult, TestRuntime, handler};

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb was dropped");
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error that is a bomb")
    }
}

impl std::error::Error for Bomb {}

/// Cannot be printed.
#[derive(Debug)]
struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("cannot be printed")
    }
}

impl std::error::Error for Unprintable {}

/// A queue with one worker and one retry, and a handler `work` that shows whether that worker lives.
fn one_worker<T: TestRuntime>(rt: &T) -> queue_core::Queue<T::Runtime> {
    let policy = RetryPolicy::fixed(1, Duration::ZERO);
    rt.started(rt.builder().workers(1).retry(policy), |queue| {
        queue.register("work", handler(|_| async { Ok(()) }));
    })
}

/// Runs a job of the kind `work` to its end.
async fn still_works(queue: &Handle) -> TestResult {
    let mut events = queue.subscribe(16);
    let id = queue.push("work", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!(queue.counts("default")?.workers, 1);
    Ok(())
}

/// Runs a job of the kind `fail` until it is a dead letter, and returns its history.
async fn history_of_failure(queue: &Handle) -> Result<Vec<String>, BoxError> {
    let mut events = queue.subscribe(16);
    let id = queue.push("fail", &()).await?;
    let end = end_of(&mut events, id).await;
    let dead = queue.dead_letters().pop().expect("it is a dead letter");
    assert_eq!(end, End::exhausted(&dead.error));
    assert_eq!((dead.id, dead.attempts), (id, 2));
    Ok(errors(&dead).into_iter().map(str::to_owned).collect())
}

/// The handler panics before it returns a future.
pub async fn a_panic_in_the_call_is_retried(rt: impl TestRuntime) -> TestResult {
    let queue = one_worker(&rt);
    let panics = |_| -> Ready<Result<(), BoxError>> { panic!("in the call") };
    queue.register("fail", handler(panics));
    assert_eq!(history_of_failure(&queue).await?, ["handler panicked: in the call"; 2]);
    still_works(&queue).await
}

/// The handler panics at once, or after it has waited.
pub async fn a_panic_in_the_poll_is_retried(rt: impl TestRuntime) -> TestResult {
    let queue = one_worker(&rt);
    queue.register(
        "fail",
        handler(|job: Job| async move {
            if job.attempt == 1 {
                let mut polls = 0;
                std::future::poll_fn(|cx| {
                    polls += 1;
                    cx.waker().wake_by_ref();
                    if polls > 2 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            let attempt = job.attempt;
            assert!(attempt >= 9, "in the poll of attempt {attempt}");
            Ok(())
        }),
    );
    assert_eq!(
        history_of_failure(&queue).await?,
        ["handler panicked: in the poll of attempt 0", "handler panicked: in the poll of attempt 1"]
    );
    still_works(&queue).await
}

/// Whatever was thrown: text is kept, the rest is named.
pub async fn every_panic_payload_is_caught(rt: impl TestRuntime) -> TestResult {
    let throws: [(fn(), &str); 4] = [
        (|| panic!("a str"), "a str"),
        (|| panic_any("a string".to_owned()), "a string"),
        (|| panic_any(17), "a value that is not text"),
        (|| panic_any(Bomb), "a value that is not text"),
    ];
    let queue = one_worker(&rt);
    for (throw, text) in throws {
        for in_call in [true, false] {
            queue.register(
                "fail",
                handler(move |_| {
                    if in_call {
                        throw();
                    }
                    async move {
                        throw();
                        Ok(())
                    }
                }),
            );
            let expected = format!("handler panicked: {text}");
            assert_eq!(history_of_failure(&queue).await?, vec![expected; 2]);
            queue.clear_dead_letters();
        }
    }
    still_works(&queue).await
}

/// What the handler holds panics as it is dropped at the end: the attempt has failed.
pub async fn a_panic_at_the_end_of_the_handler_is_retried(rt: impl TestRuntime) -> TestResult {
    struct Armed(Bomb);
    impl Future for Armed {
        type Output = Result<(), BoxError>;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            let Armed(Bomb) = &*self;
            Poll::Ready(Ok(()))
        }
    }
    let queue = one_worker(&rt);
    queue.register("fail", handler(|_| Armed(Bomb)));
    assert_eq!(history_of_failure(&queue).await?, ["handler panicked: a bomb was dropped"; 2]);
    queue.register(
        "fail",
        handler(|_| async {
            let _held = Bomb;
            Ok(())
        }),
    );
    assert_eq!(history_of_failure(&queue).await?, ["handler panicked: a bomb was dropped"; 2]);
    still_works(&queue).await
}

/// A handler that is dropped because its time is up panics while it is dropped: it has timed out.
pub async fn a_panic_while_a_hanging_handler_is_dropped(rt: impl TestRuntime) -> TestResult {
    let queue = one_worker(&rt);
    let hangs = handler(|_| async {
        let held = Bomb;
        pending::<()>().await;
        drop(held);
        Ok(())
    });
    queue.kind("fail").timeout(Duration::from_millis(1)).register(hangs)?;
    assert_eq!(history_of_failure(&queue).await?, ["attempt timed out after 1ms"; 2]);
    still_works(&queue).await
}

/// An error that cannot be printed is still a failure, retried by policy.
pub async fn an_error_that_panics_when_printed_is_retried(rt: impl TestRuntime) -> TestResult {
    let queue = one_worker(&rt);
    queue.register("fail", handler(|_| ready(Err::<(), BoxError>(Unprintable.into()))));
    let history = history_of_failure(&queue).await?;
    assert_eq!(history.len(), 2);
    assert!(history.iter().all(|error| error.contains("cannot be printed")), "{history:?}");
    still_works(&queue).await
}

/// An error that panics when it is dropped has said what it had to say.
pub async fn an_error_that_panics_when_dropped_is_retried(rt: impl TestRuntime) -> TestResult {
    let queue = one_worker(&rt);
    queue.register("fail", handler(|_| ready(Err::<(), BoxError>(Bomb.into()))));
    assert_eq!(history_of_failure(&queue).await?, ["an error that is a bomb"; 2]);
    still_works(&queue).await
}

/// A job's own policy that panics when it is dropped, however its job ends.
pub async fn a_policy_that_panics_when_dropped(rt: impl TestRuntime) -> TestResult {
    struct Armed(Bomb);
    let armed_policy = || {
        let armed = Armed(Bomb);
        RetryPolicy::custom(move |_, _| {
            let Armed(Bomb) = &armed;
            None
        })
    };
    let queue = one_worker(&rt);
    queue.register("fail", handler(|_| async { Err::<(), _>("no".into()) }));
    let mut events = queue.subscribe(64);

    let done = queue.push("work", &()).retry(armed_policy()).await?;
    assert_eq!(end_of(&mut events, done).await, End::Done);
    still_works(&queue).await?;

    for _ in 0..2 {
        let dead = queue.push("fail", &()).retry(armed_policy()).await?;
        assert_eq!(end_of(&mut events, dead).await, End::exhausted("no"));
    }
    assert_eq!(queue.clear_dead_letters(), 2);
    still_works(&queue).await?;

    let delayed = queue.push("work", &()).delay(Duration::MAX).retry(armed_policy()).await?;
    assert_eq!(queue.cancel(delayed), queue_core::CancelAnswer::Removed);
    still_works(&queue).await
}

/// Handlers that panic when they are dropped: replaced by others, or let go at shutdown.
pub async fn handlers_that_panic_when_dropped(rt: impl TestRuntime) -> TestResult {
    struct Armed(Bomb);
    let armed_handler = || {
        let armed = Armed(Bomb);
        handler(move |_| {
            let Armed(Bomb) = &armed;
            async { Ok(()) }
        })
    };
    let queue = one_worker(&rt);
    for kind in ["a", "b", "a"] {
        queue.register(kind, armed_handler());
        let mut events = queue.subscribe(16);
        let id = queue.push(kind, &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::Done);
    }
    still_works(&queue).await?;
    let report = queue.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
    Ok(())
}

/// With one worker and nothing but panics, all jobs are still seen to.
pub async fn a_worker_survives_many_panics(rt: impl TestRuntime) -> TestResult {
    let calls = Log::new();
    let queue = one_worker(&rt);
    let log = calls.clone();
    queue.register(
        "fail",
        handler(move |job: Job| {
            log.add(job.id);
            async { if true { panic!("again") } else { Ok(()) } }
        }),
    );
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(queue.push("fail", &()).await?);
    }
    calls.wait_for(100).await;
    still_works(&queue).await?;
    assert_eq!(queue.dead_letters().iter().map(|dead| dead.id).collect::<Vec<_>>(), ids);
    Ok(())
}
