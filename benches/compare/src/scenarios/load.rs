//! The burst of ours under circumstances: with much else pending, with options set, over many names.

use std::hint::black_box;
use std::time::Duration;

use queue_core::{NewJob, QueueConfig, RetryPolicy};

use super::{Contender, Metric, NANOS_PER_JOB, Scenario};
use crate::Settings;
use crate::contenders::channels::tokio_mpscs;
use crate::contenders::ours::{OnTokio, mail, tokio, tokio_with};
use crate::measure::{per_job, timed};
use crate::work::{Burst, Mail, Tally, Void};

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn beside_delayed(settings: Settings) -> Scenario {
    let burst = Burst::json(settings.jobs(200_000));
    let delayed = settings.jobs(1_000_000);
    let run = move |delayed: u64| {
        let time = tokio_with(
            burst,
            |builder| builder.capacity(4_000_000),
            |queue| {
                for n in 0..delayed {
                    let delay = HOUR + Duration::from_micros(n);
                    queue.push_delayed("mail", &1, delay).try_push().expect("there is room");
                }
            },
        )?;
        Ok(vec![per_job(time, burst.jobs)])
    };
    Scenario {
        name: "burst-beside-delayed",
        about: format!("burst-json while {delayed} jobs wait for an hour"),
        metrics: &[NANOS_PER_JOB],
        contenders: vec![
            Contender::new("many delayed", move || run(delayed)),
            Contender::new("none delayed", move || run(0)),
        ],
        repetitions: settings.repetitions(7),
    }
}

pub(super) fn options(settings: Settings) -> Scenario {
    let burst = Burst::unit(settings.jobs(200_000));
    let figure = move |time: Result<Duration, Void>| Ok(vec![per_job(time?, burst.jobs)]);
    Scenario {
        name: "options",
        about: "burst-unit on tokio with something set that it does not use; what is not set is always compiled in, so \
                its cost is part of the first row"
            .into(),
        metrics: &[NANOS_PER_JOB],
        contenders: vec![
            Contender::new("nothing set", move || figure(tokio(burst))),
            Contender::new("timeout set", move || {
                figure(tokio_with(burst, |builder| builder.timeout(HOUR), |_| ()))
            }),
            Contender::new("retry set", move || {
                let policy = RetryPolicy::exponential(3, Duration::from_secs(1));
                figure(tokio_with(burst, |builder| builder.retry(policy), |_| ()))
            }),
            Contender::new("bounds set", move || {
                let config = QueueConfig::new().workers(4).capacity(1_000_000).capacity_bytes(1 << 29);
                figure(tokio_with(burst, |builder| builder.defaults(config), |_| ()))
            }),
            Contender::new("a subscriber came and went", move || {
                figure(tokio_with(burst, |builder| builder, |queue| drop(queue.subscribe(1024))))
            }),
            Contender::new("a subscriber, not reading", move || {
                figure(tokio_with(burst, |builder| builder, |queue| queue.subscribe(1024)))
            }),
        ],
        repetitions: settings.repetitions(11),
    }
}

pub(super) fn names(settings: Settings) -> Scenario {
    let burst = Burst::json(settings.jobs(200_000));
    Scenario {
        name: "names",
        about: format!("{} jobs with JSON, over as many names in turn", burst.jobs),
        metrics: &[NANOS_PER_JOB],
        contenders: vec![
            Contender::new("one queue, one kind", move || spread(burst, 1, 1)),
            Contender::new("1,000 named queues", move || spread(burst, 1_000, 1_000)),
            Contender::new("10,000 kinds", move || spread(burst, 1, 10_000)),
            Contender::new("one tokio mpsc", move || mpscs(burst, 1)),
            Contender::new("1,000 tokio mpscs", move || mpscs(burst, 1_000)),
        ],
        repetitions: settings.repetitions(7),
    }
}

fn mpscs(burst: Burst, channels: usize) -> Result<Vec<f64>, Void> {
    Ok(vec![per_job(tokio_mpscs(burst, channels)?, burst.jobs)])
}

/// A burst over so many named queues of 4 workers each, and so many kinds.
fn spread(burst: Burst, queues: usize, kinds: usize) -> Result<Vec<f64>, Void> {
    let ours = OnTokio::new(|mut builder| {
        for n in 0..queues {
            builder = builder.queue(format!("queue-{n}"), QueueConfig::new());
        }
        builder
    });
    let tally = Tally::new(burst);
    let names: Vec<String> = (0..kinds).map(|n| format!("mail-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let counter = tally.clone();
        let kind = ours.queue.kind(name.as_str()).queue(format!("queue-{}", n % queues));
        kind.register(move |job| mail(job, counter.clone(), burst)).expect("it was added above");
    }
    ours.queue.start();
    let handle = ours.queue.handle();
    let time = timed(|| {
        ours.runtime.spawn(async move {
            for (n, name) in (0..burst.jobs).zip(names.iter().cycle()) {
                handle.push(name, &Mail::new(n)).await.expect("there is room");
            }
        });
        tally.wait();
    });
    ours.stop();
    tally.check()?;
    Ok(vec![per_job(time, burst.jobs)])
}

pub(super) fn batches(settings: Settings) -> Scenario {
    const BATCH: u64 = 1_000;
    let batches = settings.jobs(200);
    let one_by_one = move |json: bool| {
        let ours = registered();
        let mut time = Duration::ZERO;
        for _ in 0..batches {
            time += timed(|| {
                for n in 0..BATCH {
                    let pushed = if json {
                        ours.queue.try_push("mail", &Mail::new(n))
                    } else {
                        ours.queue.push_job(NewJob::raw("mail", "1")).try_push()
                    };
                    pushed.expect("there is room");
                }
            });
        }
        full(&ours, batches * BATCH)?;
        Ok(vec![per_job(time, batches * BATCH)])
    };
    let at_once = move |json: bool| {
        let ours = registered();
        let kind = queue_core::Name::from("mail");
        let mut time = Duration::ZERO;
        for _ in 0..batches {
            time += timed(|| {
                let jobs = (0..BATCH).map(|n| {
                    if json {
                        NewJob::json(kind.clone(), &Mail::new(n)).expect("it is plain data")
                    } else {
                        NewJob::raw(kind.clone(), "1")
                    }
                });
                ours.queue.try_push_many(jobs).expect("there is room");
            });
        }
        full(&ours, batches * BATCH)?;
        Ok(vec![per_job(time, batches * BATCH)])
    };
    let unit = move || {
        let ours = registered();
        let time = timed(|| {
            for _ in 0..batches * BATCH {
                ours.queue.try_push("mail", &1).expect("there is room");
            }
        });
        full(&ours, batches * BATCH)?;
        Ok(vec![per_job(time, batches * BATCH)])
    };
    Scenario {
        name: "push-many",
        about: format!(
            "{batches} batches of {BATCH} jobs beside single pushes, with what it takes to make them; nobody runs them"
        ),
        metrics: &[Metric { name: "time per push", unit: "ns" }],
        contenders: vec![
            Contender::new("push_many, 1 byte", move || at_once(false)),
            Contender::new("push, 1 byte", unit),
            Contender::new("push_job, 1 byte", move || one_by_one(false)),
            Contender::new("push_many, JSON", move || at_once(true)),
            Contender::new("push, JSON", move || one_by_one(true)),
            Contender::new("as much memory, written once", move || {
                Ok(vec![per_job(floor(batches * BATCH), batches * BATCH)])
            }),
        ],
        repetitions: settings.repetitions(11),
    }
}

/// What nobody who keeps so many jobs can do without: allocates and writes as much as the queue keeps of each.
fn floor(jobs: u64) -> Duration {
    /// Of the size of a record, and as many together.
    type Record = [u64; 11];
    const CHUNK: usize = 256;
    let mut chunks: Vec<Vec<Record>> = Vec::new();
    let time = timed(|| {
        for n in 0..jobs {
            if chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                chunks.push(Vec::with_capacity(CHUNK));
            }
            chunks.last_mut().expect("there is one").push(black_box([n; 11]));
        }
    });
    drop(black_box(chunks));
    time
}

/// A queue that knows the kind, and is not started.
fn registered() -> OnTokio {
    let ours = OnTokio::new(|builder| builder);
    ours.queue.register("mail", |_| async { Ok(()) });
    ours
}

fn full(ours: &OnTokio, jobs: u64) -> Result<(), Void> {
    let pending = ours.queue.pending_count() as u64;
    if pending == jobs { Ok(()) } else { Err(Void(format!("{pending} of {jobs} jobs wait"))) }
}
