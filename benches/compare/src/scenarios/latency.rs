//! From the push to the start of the handler, when the queue is idle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use queue_core::Queue;
use queue_tokio::Tokio;
use tako::queue::{Job as TakoJob, Queue as TakoQueue};
use tokio::runtime::Runtime;

use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::contenders::ours::OnTokio;
use crate::contenders::tokio_on;
use crate::measure::{now, percentile, sleep_until, spin};
use crate::work::Void;

const EVERY: Duration = Duration::from_millis(1);
/// How long a busy task computes after it has pushed two jobs, of every twice that.
const BUSY: Duration = Duration::from_millis(5);
const METRICS: &[Metric] = &[Metric { name: "p50", unit: "us" }, Metric { name: "p99", unit: "us" }];

/// How long each job took to start.
#[derive(Debug)]
pub(super) struct Delays {
    base: Instant,
    nanos: Mutex<Vec<u64>>,
}

impl Delays {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { base: now(), nanos: Mutex::default() })
    }

    /// What a job carries.
    pub(super) fn stamp(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).expect("a run is short")
    }

    /// Has jobs of this kind note when they start.
    pub(super) fn register(self: &Arc<Self>, queue: &Queue<Tokio>, kind: &'static str) {
        let arrivals = self.clone();
        queue.register(kind, move |job| {
            let arrivals = arrivals.clone();
            async move {
                arrivals.arrived(job.deserialize()?);
                Ok(())
            }
        });
    }

    pub(super) fn arrived(&self, stamp: u64) {
        self.add(self.stamp().saturating_sub(stamp));
    }

    pub(super) fn add(&self, nanos: u64) {
        self.nanos.lock().unwrap_or_else(PoisonError::into_inner).push(nanos);
    }

    /// p50 and p99 in microseconds.
    pub(super) fn figures(&self, jobs: u64) -> Result<Vec<f64>, Void> {
        let mut nanos = self.nanos.lock().unwrap_or_else(PoisonError::into_inner);
        if nanos.len() as u64 != jobs {
            return Err(Void(format!("{} of {jobs} jobs ran", nanos.len())));
        }
        Ok([0.5, 0.99].map(|share| percentile(&mut nanos, share) / 1e3).to_vec())
    }
}

/// Where jobs are pushed from.
#[derive(Clone, Copy, Debug)]
enum From {
    Thread,
    Task,
    BusyTask,
}

pub(super) fn outside(settings: Settings) -> Scenario {
    scenario(
        "start-from-thread",
        "one per ms, pushed by a thread outside of the runtime",
        From::Thread,
        settings,
    )
}

pub(super) fn inside(settings: Settings) -> Scenario {
    scenario("start-from-task", "one per ms, pushed by a task on the runtime", From::Task, settings)
}

pub(super) fn busy(settings: Settings) -> Scenario {
    let what = "two at a time, pushed by a task on the runtime that then computes for 5 ms";
    scenario("start-from-busy-task", what, From::BusyTask, settings)
}

fn scenario(name: &'static str, what: &str, from: From, settings: Settings) -> Scenario {
    let jobs = settings.jobs(if matches!(from, From::BusyTask) { 400 } else { 2_000 });
    Scenario {
        name,
        about: format!("push to start, {jobs} jobs, {what}"),
        metrics: METRICS,
        contenders: vec![
            Contender::new("queue, tokio", move || ours(jobs, from)),
            Contender::new("tokio mpsc, 1 worker", move || mpsc(jobs, from)),
            Contender::new("tako-rs queue", move || tako(jobs, from)),
        ],
        repetitions: settings.repetitions(5),
    }
}

fn ours(jobs: u64, from: From) -> Result<Vec<f64>, Void> {
    let ours = OnTokio::new(|builder| builder);
    let delays = Delays::new();
    delays.register(&ours.queue, "stamp");
    ours.queue.start();
    let (handle, stamps) = (ours.queue.handle(), delays.clone());
    pace(&ours.runtime, jobs, from, move || {
        handle.try_push("stamp", &stamps.stamp()).expect("there is room");
    });
    ours.stop();
    delays.figures(jobs)
}

fn mpsc(jobs: u64, from: From) -> Result<Vec<f64>, Void> {
    let runtime = tokio_on(2);
    let delays = Delays::new();
    let (arrivals, stamps) = (delays.clone(), delays.clone());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    runtime.spawn(async move {
        while let Some(payload) = receiver.recv().await {
            arrivals.arrived(serde_json::from_slice(&payload).expect("it was encoded here"));
        }
    });
    pace(&runtime, jobs, from, move || {
        let payload = serde_json::to_vec(&stamps.stamp()).expect("it is plain data");
        sender.send(payload).expect("the worker is there");
    });
    drop(runtime);
    delays.figures(jobs)
}

fn tako(jobs: u64, from: From) -> Result<Vec<f64>, Void> {
    let runtime = tokio_on(2);
    let queue = TakoQueue::builder().workers(4).build();
    let delays = Delays::new();
    let arrivals = delays.clone();
    queue.register("stamp", move |job: TakoJob| {
        let arrivals = arrivals.clone();
        async move {
            arrivals.arrived(job.deserialize()?);
            Ok(())
        }
    });
    runtime.block_on(async { queue.start() });
    let (pusher, stamps) = (queue.clone(), delays.clone());
    pace(&runtime, jobs, from, move || {
        // It never waits; being async is its signature.
        let answer = futures_util::FutureExt::now_or_never(pusher.push("stamp", &stamps.stamp()));
        answer.expect("a push is ready at once").expect("there is room");
    });
    drop(queue);
    drop(runtime);
    delays.figures(jobs)
}

/// Pushes jobs in time, and gives the last one time to arrive.
fn pace(runtime: &Runtime, jobs: u64, from: From, push: impl Fn() + Send + 'static) {
    match from {
        From::Thread => {
            let mut at = now();
            for _ in 0..jobs {
                at += EVERY;
                sleep_until(at);
                push();
            }
        }
        From::Task => {
            let task = runtime.spawn(async move {
                let mut ticks = tokio::time::interval(EVERY);
                for _ in 0..jobs {
                    ticks.tick().await;
                    push();
                }
            });
            runtime.block_on(task).expect("it does not panic");
        }
        From::BusyTask => {
            let task = runtime.spawn(async move {
                let mut ticks = tokio::time::interval(BUSY * 2);
                for _ in 0..jobs / 2 {
                    ticks.tick().await;
                    push();
                    push();
                    spin(BUSY);
                }
            });
            runtime.block_on(task).expect("it does not panic");
        }
    }
    sleep_until(now() + Duration::from_millis(20));
}

/// How far behind its time each tick is, in nanoseconds.
pub(super) async fn watch_ticks(delays: &Delays, ticks: u64) {
    let mut at = tokio::time::Instant::now();
    for _ in 0..ticks {
        at += EVERY;
        tokio::time::sleep_until(at).await;
        let late = tokio::time::Instant::now().saturating_duration_since(at);
        delays.add(u64::try_from(late.as_nanos()).expect("a run is short"));
    }
}
