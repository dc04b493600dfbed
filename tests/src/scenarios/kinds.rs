//! Kinds: which handler runs a job, and in which named queue.

use std::time::Duration;

use queue_core::{
    DeadReason, Job, NewJob, PushError, Queue, QueueConfig, RetryPolicy, SendFuture, UnknownQueue,
};

use super::script::{End, end_of, patient};
use crate::{Gate, Log, TestResult, TestRuntime, handler};

/// A handler that notes a word.
fn says(log: &Log<String>, word: &str) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let (log, word) = (log.clone(), word.to_owned());
    handler(move |_| {
        log.add(word.clone());
        async { Ok(()) }
    })
}

/// A handler that notes the named queue it runs in.
fn says_where(log: &Log<String>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static {
    let log = log.clone();
    handler(move |job: Job| {
        log.add(job.queue_name().to_string());
        async { Ok(()) }
    })
}

/// Whoever registers last is asked from then on.
pub async fn the_last_handler_counts(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder(), |queue| {
        queue.register("job", says(&log, "first"));
        queue.register("job", says(&log, "second"));
    });
    queue.push("job", &()).await?;
    assert_eq!(log.wait_for(1).await, ["second"]);
    queue.register("job", says(&log, "third"));
    queue.push("job", &()).await?;
    assert_eq!(log.wait_for(2).await, ["second", "third"]);
    Ok(())
}

/// A job that runs keeps the handler, and the policy, it was started with.
pub async fn a_running_job_keeps_its_handler(rt: impl TestRuntime) -> TestResult {
    let (gate, started, log) = (Gate::new(), Log::new(), Log::new());
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let (gate, started) = (gate.clone(), started.clone());
        let old = handler(move |job: Job| {
            started.add(job);
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Err::<(), _>("try the other one".into())
            }
        });
        let policy = RetryPolicy::fixed(1, Duration::ZERO);
        queue.kind("job").retry(policy).register(old).expect("it names no queue");
    });
    let mut events = queue.subscribe(16);
    let id = queue.push("job", &()).await?;
    started.wait_for(1).await;
    queue.register("job", says(&log, "new"));
    assert!(log.is_empty());
    gate.open();
    assert_eq!(end_of(&mut events, id).await, End::Done);
    assert_eq!((log.entries(), started.len()), (vec!["new".to_owned()], 1));
    Ok(())
}

/// The policy and the timeout of a handler go with it when it is replaced.
pub async fn what_was_particular_to_a_handler_goes_with_it(rt: impl TestRuntime) -> TestResult {
    let (gate, started, log) = (Gate::new(), Log::new(), Log::new());
    let queue = rt.build(rt.builder());
    let particular = queue.kind("job").timeout(Duration::ZERO).retry(RetryPolicy::fixed(9, Duration::ZERO));
    particular.register(says(&log, "old"))?;
    let (passed, begun) = (gate.clone(), started.clone());
    queue.register(
        "job",
        handler(move |job: Job| {
            begun.add(job);
            let gate = passed.clone();
            async move {
                gate.pass().await;
                Err::<(), _>("no".into())
            }
        }),
    );
    rt.start(&queue);
    let mut events = queue.subscribe(16);
    let id = queue.push("job", &()).await?;
    started.wait_for(1).await;
    rt.sleep(Duration::from_millis(5)).await;
    gate.open();
    assert_eq!(end_of(&mut events, id).await, End::exhausted("no"));
    assert_eq!((started.len(), log.len()), (1, 0));
    Ok(())
}

/// Kinds whose handlers are of one type have their own timeouts.
pub async fn handlers_of_one_type_keep_their_timeouts(rt: impl TestRuntime) -> TestResult {
    let (never, gate, started) = (Gate::new(), Gate::new(), Log::new());
    let waits = |gate: &Gate| {
        let (gate, started) = (gate.clone(), started.clone());
        handler(move |job: Job| {
            started.add(job.id);
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(())
            }
        })
    };
    let queue = rt.build(rt.builder().workers(1).retry(RetryPolicy::fixed(0, Duration::ZERO)));
    queue.kind("short").timeout(Duration::from_millis(1)).register(waits(&never))?;
    queue.kind("long").register(waits(&gate))?;
    rt.start(&queue);
    let mut events = queue.subscribe(16);
    let mut ids = Vec::new();
    for kind in ["short", "long", "short"] {
        ids.push(queue.push(kind, &()).await?);
    }
    assert_ne!(end_of(&mut events, ids[0]).await, End::Done);
    started.wait_for(2).await;
    rt.sleep(Duration::from_millis(5)).await;
    gate.open();
    assert_eq!(end_of(&mut events, ids[1]).await, End::Done);
    assert_ne!(end_of(&mut events, ids[2]).await, End::Done);
    assert_eq!(started.entries(), ids);
    Ok(())
}

/// A job may be pushed before its kind has a handler; what counts is who is there when it runs.
pub async fn a_handler_may_come_after_the_push(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.build(rt.builder().workers(1));
    queue.push("late", &()).await?;
    queue.push_delayed("late", &(), Duration::from_millis(20)).await?;
    queue.register("late", says(&log, "before the start"));
    rt.start(&queue);
    assert_eq!(log.wait_for(1).await, ["before the start"]);
    queue.register("late", says(&log, "while it waited"));
    let said = log.wait_for(2).await;
    // On a machine that was asleep for long enough, the delay was over before the second registration.
    assert!(said[1] == "while it waited" || said[1] == "before the start");

    // Attempts that fail look again, too.
    queue.pause("default")?;
    queue.push("later", &()).await?;
    queue.register("other", says(&log, "other"));
    queue.register("later", says(&log, "later"));
    queue.resume("default")?;
    assert_eq!(log.wait_for(3).await[2], "later");
    Ok(())
}

/// A push beats the kind's own setting, which beats the named queue's configuration, which beats `default`.
pub async fn a_kind_belongs_to_the_nearest_named_queue(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let builder = rt
        .builder()
        .queue("configured", QueueConfig::new().kinds(["a", "b", "c"]))
        .queue("registered", QueueConfig::new())
        .queue("pushed", QueueConfig::new());
    let queue = rt.started(builder, |queue| {
        queue.register("a", says_where(&log));
        queue.kind("b").queue("registered").register(says_where(&log)).expect("it exists");
        queue.kind("c").queue("registered").register(says_where(&log)).expect("it exists");
        queue.kind("c").register(says_where(&log)).expect("it names no queue");
        queue.register("d", says_where(&log));
    });
    let expected = [("a", "configured"), ("b", "registered"), ("c", "registered"), ("d", "default")];
    for (count, (kind, home)) in expected.into_iter().enumerate() {
        queue.push(kind, &()).await?;
        assert_eq!(log.wait_for(count + 1).await[count], home, "{kind}");
    }
    for kind in ["a", "b", "c", "d"] {
        let count = log.len();
        queue.push(kind, &()).queue("pushed").await?;
        queue.push_job(NewJob::raw(kind, "").queue("default")).await?;
        let mut said = log.wait_for(count + 2).await.split_off(count);
        said.sort();
        assert_eq!(said, ["default", "pushed"], "{kind}");
    }
    Ok(())
}

/// The settings of the queue `default` may be given like those of any other.
pub async fn the_default_queue_can_be_configured_by_name(rt: impl TestRuntime) -> TestResult {
    let config = QueueConfig::new().workers(2).retry(RetryPolicy::fixed(2, Duration::ZERO));
    let defaults = QueueConfig::new().workers(7).kinds(["anything"]);
    let queue = rt.started(rt.builder().defaults(defaults).queue("default", config), |queue| {
        queue.register("anything", handler(|_| async { Err::<(), _>("no".into()) }));
    });
    assert_eq!(queue.counts("default")?.workers, 2);
    let mut events = queue.subscribe(16);
    let id = queue.push("anything", &()).await?;
    assert_eq!(end_of(&mut events, id).await, End::exhausted("no"));
    assert_eq!(queue.dead_letters()[0].attempts, 3);
    Ok(())
}

/// A kind that is moved takes its jobs along from the next push on; those that wait stay.
pub async fn a_kind_may_move(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.build(rt.builder().workers(1).queue("other", QueueConfig::new()));
    queue.register("job", says_where(&log));
    queue.push("job", &()).await?;
    queue.kind("job").queue("other").register(says_where(&log))?;
    assert_eq!((queue.counts("default")?.ready, queue.counts("other")?.ready), (1, 0));
    queue.push("job", &()).await?;
    assert_eq!((queue.counts("default")?.ready, queue.counts("other")?.ready), (1, 1));
    rt.start(&queue);
    let mut said = log.wait_for(2).await;
    said.sort();
    assert_eq!(said, ["default", "other"]);
    Ok(())
}

/// A named queue that was not configured is a typed error that says so, and nothing is lost or registered.
pub async fn an_unknown_named_queue_is_an_error(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.build(rt.builder());
    let unknown = |result: Result<(), UnknownQueue>| result.map_err(|error| error.name().to_string());
    let nowhere = Err("nowhere".to_owned());
    let registered = queue.kind("job").queue("nowhere").register(says(&log, "never"));
    assert_eq!(unknown(registered), nowhere);
    assert_eq!(unknown(queue.pause("nowhere")), nowhere);
    assert_eq!(unknown(queue.resume("nowhere")), nowhere);
    assert_eq!(unknown(queue.counts("nowhere").map(drop)), nowhere);

    let job = NewJob::raw("job", "payload").queue("nowhere").delay(Duration::ZERO);
    let errors = [
        queue.push_job(job.clone()).await.map(drop),
        queue.push_job(job).try_push().map(drop),
        queue.push("job", &"x").queue("nowhere").await.map(drop),
        queue.push("job", &"x").queue("nowhere").try_push().map(drop),
    ];
    rt.start(&queue);
    for (error, payload) in errors.into_iter().zip(["payload", "payload", "\"x\"", "\"x\""]) {
        let error = error.expect_err("there is no such queue");
        assert!(matches!(error, PushError::UnknownQueue(_)), "{error:?}");
        assert!(error.to_string().contains("\"nowhere\""), "{error}");
        let job = error.into_job().expect("it is given back");
        assert_eq!((&job.kind()[..], &job.payload()[..]), ("job", payload.as_bytes()));
        // Nothing was registered under the name, so with a queue that exists it is a job without a handler.
        let mut events = queue.subscribe(16);
        let id = queue.push_job(job.queue("default")).await?;
        assert!(matches!(end_of(&mut events, id).await, End::Dead(DeadReason::NoHandler, _)));
    }
    assert_eq!(queue.pending_count(), 0);
    Ok(())
}

/// Any text is a kind: none at all, a long one, one of another script.
pub async fn any_text_is_a_kind(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let lengthy = "long".repeat(10_000);
    let kinds = ["", " ", "\0", "Письмо", "a.b/c", &lengthy];
    let queue = rt.build(rt.builder().workers(1));
    for kind in kinds {
        let log = log.clone();
        queue.register(
            kind,
            handler(move |job: Job| {
                log.add(job.name.to_string());
                async { Ok(()) }
            }),
        );
        queue.push(kind, &()).await?;
    }
    rt.start(&queue);
    assert_eq!(log.wait_for(kinds.len()).await, kinds);
    assert_eq!(queue.dead_letter_count(), 0);
    Ok(())
}

/// Ten thousand kinds, each with its own handler.
pub async fn ten_thousand_kinds(rt: impl TestRuntime) -> TestResult {
    const KINDS: usize = 10_000;
    let log = Log::new();
    let queue = rt.build(rt.builder());
    let names: Vec<_> = (0..KINDS).map(|number| format!("kind {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let log = log.clone();
        queue.register(
            name.as_str(),
            handler(move |job: Job| {
                log.add((number, job.name.to_string()));
                async { Ok(()) }
            }),
        );
    }
    queue.push_many(names.iter().map(|name| NewJob::raw(name.as_str(), ""))).await?;
    rt.start(&queue);
    rt.until(|| log.len() == KINDS).await;
    let mut ran = log.entries();
    ran.sort();
    assert!(ran.into_iter().eq(names.into_iter().enumerate()));
    Ok(())
}

/// A handler may register handlers, for its own kind as well.
pub async fn a_handler_may_register_handlers(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let (captured, log) = (queue.clone(), log.clone());
        queue.register(
            "install",
            handler(move |_| {
                captured.register("new", says(&log, "new"));
                captured.register("install", says(&log, "installed before"));
                async { Ok(()) }
            }),
        );
    });
    for kind in ["install", "new", "install"] {
        queue.push(kind, &()).await?;
    }
    assert_eq!(log.wait_for(2).await, ["new", "installed before"]);
    let report = queue.shutdown(Duration::from_secs(5)).await;
    assert!(report.is_clean(), "{report:?}");
    Ok(())
}

/// A handler pushes what is to be done next, and keeps no worker from doing it.
pub async fn a_handler_pushes_follow_ups(rt: impl TestRuntime) -> TestResult {
    let log = Log::new();
    let queue = rt.started(rt.builder().workers(1), |queue| {
        let log = log.clone();
        queue.register(
            "count down",
            handler(move |job: Job| {
                let log = log.clone();
                async move {
                    let number: u32 = job.deserialize()?;
                    log.add(number);
                    if number > 0 {
                        job.handle().push(&job.name, &(number - 1)).await?;
                    }
                    Ok(())
                }
            }),
        );
    });
    queue.push("count down", &100).await?;
    assert_eq!(log.wait_for(101).await, (0..=100).rev().collect::<Vec<u32>>());
    Ok(())
}

/// The handle that a handler kept does not keep the queue: when its owners are gone, pushes say so.
pub async fn a_kept_handle_does_not_keep_the_queue(rt: impl TestRuntime) -> TestResult {
    let (gate, started) = (Gate::new(), Log::new());
    let queue = rt.started(rt.builder(), |queue| queue.register("job", patient(&gate, &started)));
    queue.push("job", &()).await?;
    let job = started.wait_for(1).await.remove(0);
    assert_eq!((&job.name[..], &job.queue_name()[..]), ("job", "default"));
    let handle = job.handle();
    handle.push("job", &()).await?;
    drop(queue);
    let refused = handle.push("job", &()).await.expect_err("nobody owns the queue any more");
    assert!(refused.is_shut_down(), "{refused:?}");
    job.cancelled().await;
    Ok(())
}

/// Kinds and queues can be set up from several threads at once.
pub async fn handlers_can_be_registered_from_many_threads(rt: impl TestRuntime) -> TestResult {
    fn register_all<R: queue_core::Runtime>(queue: &Queue<R>, thread: usize, log: &Log<String>)
    where
        R::Mode: queue_core::Accepts<SendFuture, queue_core::Outcome>,
    {
        for number in 0..100 {
            queue.register(format!("{thread} {number}"), says(log, "ran"));
            queue.register("shared", says(log, "shared"));
        }
    }
    let log = Log::new();
    let queue = rt.started(rt.builder(), |_| {});
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (queue, log) = (&queue, &log);
            scope.spawn(move || register_all(queue, thread, log));
        }
    });
    let jobs: Vec<_> =
        (0..4).flat_map(|t| (0..100).map(move |n| NewJob::raw(format!("{t} {n}"), ""))).collect();
    queue.push_many(jobs).await?;
    queue.push("shared", &()).await?;
    log.wait_for(401).await;
    assert_eq!(queue.dead_letter_count(), 0);
    Ok(())
}
