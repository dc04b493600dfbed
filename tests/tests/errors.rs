//! What handlers may return, as people write it, and what the library's own errors say; with no runtime at all.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::{Pending, pending};
use std::marker::PhantomData;
use std::num::ParseIntError;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};

use queue_core::{
    Event, Handle, Job, JobError, JobId, LocalMode, Mode, NewJob, Outcome, Queue, QueueConfig, RetryPolicy,
    Runtime, SendMode, Timer,
};

/// A runtime on which time stands still.
struct Still<M>(Instant, PhantomData<fn() -> M>);

impl<M> Still<M> {
    #[expect(clippy::disallowed_methods, reason = "it is a runtime's timer")]
    fn new() -> Self {
        Self(Instant::now(), PhantomData)
    }
}

impl<M> Clone for Still<M> {
    fn clone(&self) -> Self {
        Self(self.0, PhantomData)
    }
}

impl<M> Timer for Still<M> {
    type Sleep = Pending<()>;

    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: Instant) -> Self::Sleep {
        pending()
    }
}

impl<M: Mode> Runtime for Still<M> {
    type Mode = M;
}

/// Runs everything that is ready, and says how it ended.
fn run<R: Runtime>(queue: &Queue<R>) -> BTreeMap<String, String> {
    let mut events = queue.subscribe(1024);
    let mut workers = pin!(queue.run());
    while queue.pending_count() + queue.inflight_count() > 0 {
        let polled = workers.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "it runs until the shutdown");
    }
    let mut ends = BTreeMap::new();
    while let Some(event) = events.try_recv() {
        let (job, end) = match event {
            Event::Succeeded(job) => (job, "done".to_owned()),
            Event::Cancelled(job) => (job, "cancelled".to_owned()),
            Event::Died { job, error, .. } => (job, error),
            _ => continue,
        };
        ends.insert(job.kind.to_string(), end);
    }
    ends
}

fn push(queue: &Handle, kinds: impl IntoIterator<Item = impl Into<queue_core::Name>>) {
    let jobs = kinds.into_iter().map(|kind| NewJob::raw(kind, "\"x\""));
    queue.try_push_many(jobs).expect("there is room");
}

fn parse(text: &str) -> Result<u8, ParseIntError> {
    text.parse()
}

/// None of these handlers says what it returns: the one error type decides it.
#[test]
fn handlers_need_no_annotations() {
    let queue = Queue::builder_on(Still::<SendMode>::new()).build();
    queue.register("unit", |_| async { Ok(()) });
    queue.register("outcome", |_| async { Ok(Outcome::Done) });
    queue.register("cancel", |_| async { Ok(Outcome::cancel("unwanted")) });
    queue.register("std", |job: Job| async move {
        let text: String = job.deserialize()?;
        assert_eq!(text, "x");
        parse(&text)?;
        Ok(())
    });
    queue.register("str", |_| async {
        Err("a str")?;
        Ok(())
    });
    queue.register("string", |_| async {
        Err(format!("a {}", "string"))?;
        Ok(Outcome::Done)
    });
    queue.register("into", |job: Job| async move {
        if job.attempt == 0 {
            return Err("a str into".into());
        }
        Ok(())
    });
    queue.register("anyhow", |_| async {
        use anyhow::Context as _;
        parse("x").context("an anyhow")?;
        Ok(())
    });
    queue.register("eyre", |_| async {
        use eyre::WrapErr as _;
        parse("x").wrap_err("an eyre")?;
        Ok(())
    });
    queue.register("bail", |_| async {
        let inner = || -> anyhow::Result<()> { anyhow::bail!("an anyhow from within") };
        inner()?;
        Ok(())
    });
    queue.register("decision", |_| async {
        Err(JobError::cancel("unwanted"))?;
        Ok(())
    });
    queue.register("mixed", |job: Job| async move {
        if job.attempt > 0 {
            return Ok(Outcome::snooze(Duration::from_secs(1)));
        }
        if job.raw_payload().is_empty() {
            Err(JobError::discard("empty"))?;
        }
        parse("7")?;
        Ok(Outcome::Done)
    });
    let expected = [
        ("anyhow", "an anyhow: invalid digit found in string"),
        ("bail", "an anyhow from within"),
        ("cancel", "cancelled"),
        ("decision", "cancelled"),
        ("eyre", "an eyre: invalid digit found in string"),
        ("into", "a str into"),
        ("mixed", "done"),
        ("outcome", "done"),
        ("std", "invalid digit found in string"),
        ("str", "a str"),
        ("string", "a string"),
        ("unit", "done"),
    ];
    push(&queue, expected.map(|(kind, _)| kind));
    assert!(run(&queue).iter().map(|(kind, end)| (&kind[..], &end[..])).eq(expected));
}

/// A function is a handler as well as a closure, and so is what a function returns.
#[test]
fn functions_are_handlers() {
    async fn free(_: Job) -> Result<(), queue_core::BoxError> {
        parse("x").map(drop).map_err(Into::into)
    }
    fn made(answer: &'static str) -> impl Fn(Job) -> std::future::Ready<queue_core::HandlerResult> {
        move |_| std::future::ready(Err(answer.into()))
    }
    let queue = Queue::builder_on(Still::<SendMode>::new()).build();
    queue.register("free", free);
    queue.register("made", made("as it was made"));
    push(&queue, ["free", "made"]);
    let ends = run(&queue);
    assert_eq!((&ends["free"][..], &ends["made"][..]), ("invalid digit found in string", "as it was made"));
}

/// Where tasks stay on their thread, all of that is true of handlers that hold an `Rc` across an await.
#[test]
fn handlers_that_stay_on_their_thread_need_no_annotations_either() {
    let queue = Queue::builder_on(Still::<LocalMode>::new()).build();
    queue.register("unit", |_| async {
        let held = Rc::new(());
        std::future::ready(()).await;
        drop(held);
        Ok(())
    });
    queue.register("mixed", |job: Job| async move {
        let held = Rc::new(job.deserialize::<String>()?);
        std::future::ready(()).await;
        parse(&held)?;
        Ok(Outcome::Done)
    });
    push(&queue, ["unit", "mixed"]);
    let ends = run(&queue);
    assert_eq!((&ends["unit"][..], &ends["mixed"][..]), ("done", "invalid digit found in string"));
}

/// Cannot be written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("on purpose"))
    }
}

/// One of each error that the library itself makes.
fn one_of_each() -> Vec<Box<dyn Error + Send + Sync>> {
    let mut errors: Vec<Box<dyn Error + Send + Sync>> = Vec::new();
    let config = QueueConfig::new().capacity(2).capacity_bytes(8).workers(1);
    let queue = Queue::builder_on(Still::<SendMode>::new()).defaults(config).build();
    let raw = |payload: &str| NewJob::raw("kind", payload);

    // Of handlers, as a retry policy is shown them.
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let log = seen.clone();
    let policy = RetryPolicy::custom(move |_, error| {
        log.lock().expect("nobody panics here").push(error.to_string());
        None
    });
    let kind = queue.kind("kind").retry(policy);
    kind.register(|job: Job| async move {
        match job.raw_payload() {
            b"panic" => panic!("on purpose"),
            _ => drop(job.deserialize::<u8>()?),
        }
        Ok(())
    })
    .expect("it names no queue");
    let dead = queue.push_job(raw("panic")).try_push().expect("there is room");
    queue.push_job(raw("x")).try_push().expect("there is room");

    // Of pushes.
    errors.push(queue.push_job(raw("")).try_push().expect_err("it is full").into());
    errors.push(queue.try_push_many([raw("")]).expect_err("it is full").into());
    run(&queue);
    errors.push(queue.push_job(raw("nine bytes")).try_push().expect_err("it is too large").into());
    errors.push(queue.try_push_many([raw("nine bytes")]).expect_err("it is too large").into());
    let nowhere = || raw("").queue("nowhere");
    errors.push(queue.push_job(nowhere()).try_push().expect_err("it is unknown").into());
    errors.push(queue.try_push_many([nowhere()]).expect_err("it is unknown").into());
    errors.push(queue.try_push("kind", &Unwritable).expect_err("it cannot be written").into());
    errors.push(NewJob::json("kind", &Unwritable).expect_err("it cannot be written").into());

    // Of the rest.
    errors.push(queue.pause("nowhere").expect_err("it is unknown").into());
    errors.push(queue.requeue(JobId::new(0)).expect_err("there is none").into());
    queue.pause("default").expect("it exists");
    queue.push_job(raw("")).try_push().expect("there is room");
    queue.push_job(raw("")).try_push().expect("there is room");
    errors.push(queue.requeue(dead).expect_err("it is full").into());
    let mut shutdown = pin!(queue.shutdown(Duration::ZERO));
    while shutdown.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    errors.push(queue.requeue(dead).expect_err("it is shut down").into());
    errors.push(queue.push_job(raw("")).try_push().expect_err("it is shut down").into());
    errors.push(queue.try_push_many([raw("")]).expect_err("it is shut down").into());

    let seen = std::mem::take(&mut *seen.lock().expect("nobody panics here"));
    assert_eq!(seen, ["handler panicked: on purpose", "the payload of \"kind\" cannot be read as u8"]);
    errors.extend(seen.into_iter().map(Into::into));
    errors
}

#[test]
fn messages_start_in_lower_case_and_end_without_a_full_stop() {
    let errors = one_of_each();
    assert_eq!(errors.len(), 16);
    for error in errors {
        let text = error.to_string();
        assert!(text.starts_with(char::is_lowercase) || text.starts_with(char::is_numeric), "{text}");
        assert!(!text.ends_with(['.', '!', ':', ' ', '\n']), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

/// Whoever prints an error with its sources, as most reporters do, reads everything once.
#[test]
fn a_message_does_not_repeat_its_source() {
    fn chain(error: &dyn Error) -> String {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", chain(source)))
    }
    let unwritable = "the payload for \"kind\" cannot be written as JSON: on purpose";
    let chains: Vec<_> = one_of_each().iter().map(|error| chain(&**error)).collect();
    assert_eq!(chains.iter().filter(|chain| *chain == unwritable).count(), 2, "{chains:#?}");
    let with_source = one_of_each().into_iter().filter(|error| error.source().is_some()).count();
    assert_eq!(with_source, 2);
}

/// The names and numbers that tell one failure from another are in the message.
#[test]
fn messages_say_which_job_and_which_queue() {
    let texts: Vec<_> = one_of_each().iter().map(ToString::to_string).collect();
    for part in [
        "job \"kind\" was not accepted: the queue is full",
        "1 of 1 jobs were not accepted: the queue is full",
        "its payload of 10 bytes is larger than `capacity_bytes`",
        "there is no queue named \"nowhere\"",
        "the queue is shut down",
        "there is no dead letter 0",
        "no room to requeue dead letter 1",
        "dead letter 1 cannot be requeued: the queue is shut down",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part} in {texts:#?}");
    }
}

/// An error of one's own that carries a decision shows its own text.
#[test]
fn a_decision_prints_as_its_message() {
    #[derive(Debug)]
    struct Own(JobError);
    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "own: {}", self.0)
        }
    }
    impl Error for Own {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    assert_eq!(JobError::discard("gone").to_string(), "gone");
    let decisions: [(JobError, &str); 4] = [
        (JobError::retry_after(Duration::from_secs(1), "busy"), "retry after 1s"),
        (JobError::snooze(Duration::from_secs(1), "not yet"), "snooze for 1s"),
        (JobError::discard("gone"), "discard"),
        (JobError::cancel("unwanted"), "cancel"),
    ];
    for (decision, name) in decisions {
        // Reporters that print the chain say what was decided.
        let own = Own(decision);
        let innermost = own.source().and_then(Error::source).map(ToString::to_string);
        assert_eq!(innermost.as_deref(), Some(name));
    }
}
