//! What one part of a busy queue does to another, and to its neighbours on the runtime.

use std::time::Duration;

use queue_core::{Priority, QueueConfig};

use super::latency::{Delays, watch_ticks};
use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::contenders::ours::OnTokio;
use crate::contenders::tokio_on;
use crate::measure::{now, sleep_until, spin};
use crate::work::Void;

const METRICS: &[Metric] = &[Metric { name: "p50", unit: "us" }, Metric { name: "p99", unit: "us" }];

pub(super) fn neighbour(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000);
    Scenario {
        name: "flooded-neighbour",
        about: format!(
            "push to start of {jobs} jobs, one per 2 ms, beside a named queue full of jobs that compute 1 ms"
        ),
        metrics: METRICS,
        contenders: vec![Contender::new("queue, tokio", move || beside_flood(jobs))],
        repetitions: settings.repetitions(3),
    }
}

fn beside_flood(jobs: u64) -> Result<Vec<f64>, Void> {
    let queues = ["a", "b"];
    let ours = OnTokio::new(|builder| {
        queues
            .into_iter()
            .fold(builder, |builder, name| builder.queue(name, QueueConfig::new().kinds([name])))
    });
    let delays = Delays::new();
    ours.queue.register("a", |_| async {
        spin(Duration::from_millis(1));
        Ok(())
    });
    delays.register(&ours.queue, "b");
    // Two threads work through two of these per millisecond at most.
    for _ in 0..jobs * 4 + 1_000 {
        ours.queue.try_push("a", &()).expect("there is room");
    }
    ours.queue.start();
    let mut at = now();
    for _ in 0..jobs {
        at += Duration::from_millis(2);
        sleep_until(at);
        ours.queue.try_push("b", &delays.stamp()).expect("there is room");
    }
    sleep_until(now() + Duration::from_millis(100));
    let flood = ours.queue.counts("a").expect("it exists").ready;
    ours.stop();
    if flood == 0 {
        return Err(Void("the flood ended".into()));
    }
    delays.figures(jobs)
}

pub(super) fn urgent(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000);
    Scenario {
        name: "urgent-behind-backlog",
        about: format!(
            "push to start of {jobs} jobs of the highest priority, one per ms, behind a backlog of 20 us jobs"
        ),
        metrics: METRICS,
        contenders: vec![Contender::new("queue, tokio", move || behind_backlog(jobs))],
        repetitions: settings.repetitions(5),
    }
}

fn behind_backlog(jobs: u64) -> Result<Vec<f64>, Void> {
    let ours = OnTokio::new(|builder| builder);
    let delays = Delays::new();
    ours.queue.register("work", |_| async {
        spin(Duration::from_micros(20));
        Ok(())
    });
    delays.register(&ours.queue, "urgent");
    // Two threads work through a hundred of these per millisecond.
    for _ in 0..jobs * 150 + 20_000 {
        ours.queue.try_push("work", &()).expect("there is room");
    }
    ours.queue.start();
    let mut at = now();
    for _ in 0..jobs {
        at += Duration::from_millis(1);
        sleep_until(at);
        let push = ours.queue.push("urgent", &delays.stamp()).priority(Priority::HIGHEST);
        push.try_push().expect("there is room");
    }
    sleep_until(now() + Duration::from_millis(20));
    let backlog = ours.queue.pending_count();
    ours.stop();
    if backlog == 0 {
        return Err(Void("the backlog ended".into()));
    }
    delays.figures(jobs)
}

pub(super) fn ticks(settings: Settings) -> Scenario {
    let ticks = settings.jobs(500);
    Scenario {
        name: "tick-under-flood",
        about: format!("how late {ticks} ticks of 1 ms of another task are, while jobs compute 2 us each"),
        metrics: METRICS,
        contenders: vec![
            Contender::new("queue, tokio", move || flood_of_ours(ticks)),
            Contender::new("tokio mpsc, 1 worker", move || flood_of_mpsc(ticks)),
            Contender::new("tokio, nothing else", move || {
                let runtime = tokio_on(2);
                watch(&runtime, ticks)
            }),
        ],
        repetitions: settings.repetitions(5),
    }
}

fn flood_of_ours(ticks: u64) -> Result<Vec<f64>, Void> {
    let ours = OnTokio::new(|builder| builder);
    ours.queue.register("work", |_| async {
        spin(Duration::from_micros(2));
        Ok(())
    });
    for _ in 0..ticks * 1_900 {
        ours.queue.try_push("work", &()).expect("there is room");
    }
    ours.queue.start();
    let figures = watch(&ours.runtime, ticks);
    let backlog = ours.queue.pending_count();
    ours.stop();
    if backlog == 0 {
        return Err(Void("the flood ended".into()));
    }
    figures
}

fn flood_of_mpsc(ticks: u64) -> Result<Vec<f64>, Void> {
    let runtime = tokio_on(2);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<()>();
    for _ in 0..ticks * 1_900 {
        sender.send(()).expect("the receiver is there");
    }
    runtime.spawn(async move {
        while receiver.recv().await.is_some() {
            spin(Duration::from_micros(2));
        }
    });
    let figures = watch(&runtime, ticks);
    drop(sender);
    figures
}

fn watch(runtime: &tokio::runtime::Runtime, ticks: u64) -> Result<Vec<f64>, Void> {
    let delays = Delays::new();
    let late = delays.clone();
    let task = runtime.spawn(async move { watch_ticks(&late, ticks).await });
    runtime.block_on(task).expect("it does not panic");
    delays.figures(ticks)
}
