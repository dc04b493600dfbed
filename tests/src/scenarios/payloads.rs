//! What a job carries: any bytes, of any size, unchanged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use queue_core::{DecodeError, EncodeError, Job, NewJob, Payload, PushError, RetryPolicy};
use serde::{Deserialize, Serialize};

use super::script::{End, end_of};
use crate::{Log, TestResult, TestRuntime, handler};

/// A handler that notes the payload.
fn keeps(log: &Log<Payload>) -> impl Fn(Job) -> queue_core::SendFuture + Send + Sync + 'static {
    let log = log.clone();
    handler(move |job: Job| {
        assert_eq!(job.raw_payload(), &job.payload()[..]);
        log.add(job.payload().clone());
        async { Ok(()) }
    })
}

/// Bytes of every size, around the one that fits into the job itself, arrive as they were.
pub async fn raw_bytes_of_any_size_arrive_unchanged(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| queue.register("keep", keeps(&log)));
    let sizes = [0, 1, 53, 54, 55, 56, 255, 256, 257, 65_536];
    let bytes = |size| (0..size).map(|at| u8::try_from(at % 256).unwrap_or(0)).collect::<Vec<_>>();
    for size in sizes {
        queue.push_job(NewJob::raw("keep", bytes(size))).await?;
    }
    let kept = log.wait_for(sizes.len()).await;
    for (size, kept) in sizes.into_iter().zip(kept) {
        assert_eq!(kept[..], bytes(size), "{size} bytes");
    }
    Ok(())
}

/// An empty payload is a payload, if not JSON.
pub async fn an_empty_payload_is_allowed(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        let log = log.clone();
        queue.register(
            "empty",
            handler(move |job: Job| {
                log.add((job.raw_payload().to_vec(), job.deserialize::<()>().is_err()));
                async { Ok(()) }
            }),
        );
    });
    queue.push_job(NewJob::raw("empty", "")).await?;
    assert_eq!(log.wait_for(1).await, [(Vec::new(), true)]);
    Ok(())
}

/// 64 MiB go in, through a retry into the dead letters, and out again, unchanged.
pub async fn a_payload_of_64_mib_survives_everything(rt: impl TestRuntime) -> TestResult {
    let bytes: Arc<[u8]> = b"0123456789abcde\n".repeat(4 << 20).into();
    assert_eq!(bytes.len(), 64 << 20);
    let log = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::ZERO)), |queue| {
        let (expected, log) = (bytes.clone(), log.clone());
        queue.register(
            "large",
            handler(move |job: Job| {
                log.add(*job.raw_payload() == *expected);
                let attempts = log.len();
                async move { if attempts <= 2 { Err("not yet".into()) } else { Ok(()) } }
            }),
        );
    });
    let mut events = queue.subscribe(16);
    let id = queue.push_job(NewJob::raw("large", &bytes[..])).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("not yet"));
    let dead = queue.dead_letters();
    assert_eq!(dead.len(), 1, "the newest dead letter is kept, however large");
    assert!(*dead[0].payload == *bytes);
    queue.requeue(id)?;
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!(log.entries(), [true; 3]);
    Ok(())
}

/// Values go through JSON and come back equal.
pub async fn values_make_the_round_trip(rt: impl TestRuntime) -> TestResult {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Mail {
        to: Vec<String>,
        subject: Option<String>,
        urgent: bool,
        size: u64,
        ratio: f64,
    }
    let mail = Mail {
        to: vec!["a@example.com".into(), "ß@例え.jp".into()],
        subject: None,
        urgent: true,
        size: u64::MAX,
        ratio: 0.1,
    };
    let log = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        let log = log.clone();
        queue.register(
            "mail",
            handler(move |job: Job| {
                let log = log.clone();
                async move {
                    log.add(job.deserialize::<Mail>()?);
                    Ok(())
                }
            }),
        );
        queue.register("unit", handler(|job: Job| async move { Ok(job.deserialize::<()>()?) }));
    });
    let mut events = queue.subscribe(16);
    queue.push("mail", &mail).await?;
    assert_eq!(log.wait_for(1).await, [mail]);
    let unit = queue.push("unit", &()).await?;
    assert_eq!(end_of(&mut events, unit).await, End::Done);
    // An unsized value, by reference.
    let slice: &[u8] = &[1, 2];
    queue.push("unit", slice).await?;
    Ok(())
}

/// A payload that cannot be read is a failure like any other, and says which kind wanted which type.
pub async fn an_unreadable_payload_is_a_failure(rt: impl TestRuntime) -> TestResult {
    let errors = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::ZERO)), |queue| {
        let errors = errors.clone();
        queue.register(
            "number",
            handler(move |job: Job| {
                let errors = errors.clone();
                async move {
                    let number = job.deserialize::<u8>().inspect_err(|error: &DecodeError| {
                        errors.add(error.to_string());
                    })?;
                    assert_eq!(number, 7);
                    Ok(())
                }
            }),
        );
    });
    let mut events = queue.subscribe(64);
    let unreadable = [
        (NewJob::json("number", &"seven")?, "invalid type"),
        (NewJob::json("number", &256)?, "256"),
        (NewJob::raw("number", "7 8"), "trailing characters"),
        (NewJob::raw("number", ""), "EOF"),
        (NewJob::raw("number", &[0xff, 0xfe][..]), "expected value"),
    ];
    for (job, cause) in unreadable {
        let id = queue.push_job(job).await?;
        let End::Dead(_, error) = end_of(&mut events, id).await else { panic!("it cannot be read") };
        assert!(error.starts_with("the payload of \"number\" cannot be read as u8: "), "{error}");
        assert!(error.contains(cause), "{error}");
        assert_eq!(queue.dead_letters().pop().map(|dead| dead.attempts), Some(2));
    }
    assert_eq!(errors.entries(), vec!["the payload of \"number\" cannot be read as u8"; 10]);
    Ok(())
}

/// A value that cannot be written is an error of the push, and nothing was pushed.
pub async fn an_unwritable_value_is_not_pushed(rt: impl TestRuntime) -> TestResult {
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("on purpose"))
        }
    }
    let queue = rt.build(rt.builder());
    let no_text_keys = BTreeMap::from([((1, 2), 3)]);
    let errors = [
        queue.push("job", &no_text_keys).await,
        queue.push("job", &no_text_keys).try_push(),
        queue.try_push("job", &("so far so good", Unwritable)),
        queue.push_delayed("job", &Unwritable, Duration::MAX).await,
    ];
    for error in errors {
        let error = error.expect_err("it cannot be written");
        assert!(matches!(error, PushError::Encode(_)), "{error:?}");
        assert_eq!(error.to_string(), "the payload for \"job\" cannot be written as JSON");
        assert!(std::error::Error::source(&error).is_some());
        assert!(!error.is_full() && !error.is_shut_down() && error.into_job().is_none());
    }
    let error: EncodeError = NewJob::json("job", &Unwritable).expect_err("it cannot be written");
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string), Some("on purpose".into()));
    assert_eq!(queue.pending_count(), 0);

    // The next value is written as if nothing had been.
    queue.push("job", &"fine").await?;
    let report = queue.shutdown(Duration::from_secs(5)).await;
    assert_eq!(&report.handed_back[0].job.payload()[..], b"\"fine\"");
    Ok(())
}

/// A kept payload is the same bytes, not a copy of them; so a job of many megabytes is not one per attempt.
pub async fn attempts_share_the_payload(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(2, Duration::ZERO)), |queue| {
        let log = log.clone();
        queue.register(
            "large",
            handler(move |job: Job| {
                log.add(job.payload().clone());
                async { Err::<(), _>("no".into()) }
            }),
        );
    });
    queue.push_job(NewJob::raw("large", vec![7; 1 << 20])).await?;
    let kept = log.wait_for(3).await;
    assert!(kept.iter().all(|payload| payload.as_ptr() == kept[0].as_ptr()));
    Ok(())
}
