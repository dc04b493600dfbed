//! What a handler may leave with, and what is made of it.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;
use std::time::Duration;

use queue_core::{BoxError, DeadReason, HandlerResult, Job, JobError, NewJob, Outcome, RetryPolicy};

use super::script::{End, end_of, errors, scripted};
use crate::{Log, TestResult, TestRuntime, handler};

/// What a handler does, and what must be said of it.
type Case<T> = (fn() -> T, &'static str);

/// An error as applications write them: it has a text and a source.
#[derive(Debug)]
struct SyncError<E>(E);

impl<E> fmt::Display for SyncError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("while syncing")
    }
}

impl<E: Error + 'static> Error for SyncError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn no_number() -> ParseIntError {
    "x".parse::<u8>().expect_err("it is no number")
}

/// `?` and `into` take whatever errors people have; all of its text is kept.
pub async fn every_kind_of_error_is_taken(rt: impl TestRuntime) -> TestResult {
    let failures: [Case<HandlerResult>; 12] = [
        (|| Err("a str")?, "a str"),
        (|| Err("a str into".into()), "a str into"),
        (|| Err(String::from("a string"))?, "a string"),
        (|| Err(format!("a string {}", "into").into()), "a string into"),
        (|| Err(no_number())?, "invalid digit found in string"),
        (|| Err(std::io::Error::other("disk full"))?, "disk full"),
        (|| Err(anyhow::anyhow!("an anyhow"))?, "an anyhow"),
        (
            || Err(anyhow::Error::from(no_number()).context("reading the age"))?,
            "reading the age: invalid digit found in string",
        ),
        (|| Err(eyre::eyre!("an eyre"))?, "an eyre"),
        (
            || Err(eyre::Report::from(no_number()).wrap_err("reading the age"))?,
            "reading the age: invalid digit found in string",
        ),
        (|| Err(SyncError(no_number()))?, "while syncing: invalid digit found in string"),
        (|| Err(BoxError::from("a box"))?, "a box"),
    ];
    let queue = rt.started(rt.builder(), |queue| {
        queue
            .register("fail", scripted(&Log::new(), move |job, _| failures[job.deserialize::<usize>()?].0()));
    });
    let mut events = queue.subscribe(128);
    for (number, (_, text)) in failures.into_iter().enumerate() {
        let id = queue.push("fail", &number).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted(text));
    }
    Ok(())
}

/// A decision is found however deep it is wrapped, and by whom.
pub async fn a_decision_is_found_inside_any_wrapper(rt: impl TestRuntime) -> TestResult {
    fn decision() -> JobError {
        JobError::discard("gone")
    }
    let wrapped: [Case<HandlerResult>; 14] = [
        (|| Err(decision())?, "gone"),
        (|| Err(decision().into()), "gone"),
        (|| Err(BoxError::from(decision()))?, "gone"),
        (|| Err(anyhow::Error::from(decision()))?, "gone"),
        (|| Err(anyhow::Error::from(decision()).context("outer"))?, "outer: gone"),
        (|| Err(anyhow::Error::from(decision()).context("inner").context("outer"))?, "outer: inner: gone"),
        (|| Err(anyhow::Error::from_boxed(decision().into()).context("outer"))?, "outer: gone"),
        (|| Err(eyre::Report::from(decision()))?, "gone"),
        (|| Err(eyre::Report::from(decision()).wrap_err("outer"))?, "outer: gone"),
        (|| Err(eyre::Report::from(decision()).wrap_err("inner").wrap_err("outer"))?, "outer: inner: gone"),
        (|| Err(SyncError(decision()))?, "while syncing: gone"),
        (|| Err(std::io::Error::other(decision()))?, "gone"),
        (|| Err(anyhow::Error::from(SyncError(decision())).context("outer"))?, "outer: while syncing: gone"),
        (|| Err(SyncError(std::io::Error::other(decision())))?, "while syncing: gone"),
    ];
    let attempts = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(5, Duration::ZERO)), |queue| {
        queue.register("fail", scripted(&attempts, move |job, _| wrapped[job.deserialize::<usize>()?].0()));
    });
    let mut events = queue.subscribe(128);
    for (number, (_, text)) in wrapped.into_iter().enumerate() {
        let id = queue.push("fail", &number).await?;
        assert_eq!(end_of(&mut events, id).await, End::Dead(DeadReason::Discarded, text.into()), "{number}");
    }
    assert_eq!(attempts.entries(), [0; 14]);
    Ok(())
}

/// Every decision works from inside anyhow and eyre.
pub async fn every_decision_works_when_wrapped(rt: impl TestRuntime) -> TestResult {
    let attempts = Log::new();
    let queue = rt.started(rt.builder().retry(RetryPolicy::fixed(1, Duration::MAX)), |queue| {
        let handler = scripted(&attempts, |_, before| match before {
            0 => Err(anyhow::Error::from(JobError::snooze(Duration::ZERO, "not yet")).context("first"))?,
            1 => Err(eyre::Report::from(JobError::snooze(Duration::ZERO, "not yet")).wrap_err("second"))?,
            // The policy's own delay would never be over.
            2 => Err(anyhow::Error::from(JobError::retry_after(Duration::ZERO, "busy")).context("third"))?,
            _ => Err(eyre::Report::from(JobError::cancel("unwanted")).wrap_err("last"))?,
        } as HandlerResult);
        queue.register("job", handler);
    });
    let mut events = queue.subscribe(32);
    let id = queue.push("job", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::Cancelled);
    assert_eq!(attempts.entries(), [0, 0, 0, 1]);
    Ok(())
}

/// A push that fails inside a handler leaves through `?`, and its job is tried again.
pub async fn an_error_of_the_queue_leaves_a_handler_through_the_question_mark(
    rt: impl TestRuntime,
) -> TestResult {
    let queue = rt.started(rt.builder().workers(1), |queue| {
        queue.register(
            "push",
            handler(|job: Job| async move {
                job.handle().push_job(NewJob::raw("next", "x").queue("nowhere")).await?;
                Ok(())
            }),
        );
        queue.register(
            "requeue",
            handler(|job: Job| async move {
                job.handle().requeue(job.id)?;
                Ok(())
            }),
        );
        queue.register(
            "pause",
            handler(|job: Job| async move {
                job.handle().pause("nowhere")?;
                Ok(Outcome::Done)
            }),
        );
    });
    let mut events = queue.subscribe(32);
    let nowhere = "there is no queue named \"nowhere\"; add it with `builder.queue(..)`";
    for (kind, text) in [
        ("push", format!("job \"next\" was not accepted: {nowhere}")),
        ("requeue", "there is no dead letter 2".to_owned()),
        ("pause", nowhere.to_owned()),
    ] {
        let id = queue.push(kind, &()).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted(&text));
    }
    Ok(())
}

/// All causes are in the history, outermost first, each once.
pub async fn the_whole_chain_of_causes_is_kept(rt: impl TestRuntime) -> TestResult {
    let chains: [Case<BoxError>; 3] = [
        (
            || SyncError(std::io::Error::other(SyncError(no_number()))).into(),
            "while syncing: invalid digit found in string",
        ),
        (
            || anyhow::Error::from(no_number()).context("b").context("a").context("outermost").into(),
            "outermost: a: b: invalid digit found in string",
        ),
        (|| anyhow::anyhow!("cause").context("says its cause itself").into(), "says its cause itself"),
    ];
    let queue = rt.started(rt.builder(), |queue| {
        let handler =
            scripted(&Log::new(), move |job, _| Err::<(), _>(chains[job.deserialize::<usize>()?].0()));
        queue.register("fail", handler);
    });
    let mut events = queue.subscribe(32);
    for (number, (_, text)) in chains.into_iter().enumerate() {
        let id = queue.push("fail", &number).await?;
        assert_eq!(end_of(&mut events, id).await, End::exhausted(text));
        assert_eq!(errors(&queue.dead_letters()[number]), [text]);
    }
    Ok(())
}
