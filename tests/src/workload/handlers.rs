//! What a workload's handlers do: what their payload says, turn by turn.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use queue_core::{BoxError, Job, JobError, JobId, Outcome};
use queue_sim::{Queue, World};
use serde::{Deserialize, Serialize};

use super::pusher::Pusher;
use crate::invariants::{Monitor, What};

/// What a job's runs do, one after the other; when there are no more, it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Script {
    turns: Vec<(u64, Act)>,
    padding: String,
}

/// How a run ends, after a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Act {
    Succeed,
    Fail,
    Panic,
    RetryAfter(u64),
    Snooze(u64),
    Discard,
    Cancel,
    /// Waits until it is told to stop, for a good while.
    Linger,
    /// Pushes another job, and fails if there is no room.
    PushMore,
    /// Never waits at all.
    Rush,
}

pub(super) const KINDS: [&str; 3] = ["work", crate::invariants::BATCH, "nobody knows it"];

impl Script {
    pub(super) fn new(random: &mut Rng) -> Self {
        let turns = random.usize(0..5);
        let act = |random: &mut Rng| match random.u8(0..16) {
            0..=3 => Act::Succeed,
            4..=6 => Act::Fail,
            7 => Act::Panic,
            8 => Act::RetryAfter(random.u64(0..60)),
            9..=10 => Act::Snooze(random.u64(0..60)),
            11 => Act::Discard,
            12 => Act::Cancel,
            13 => Act::Linger,
            14 => Act::PushMore,
            _ => Act::Rush,
        };
        let turns = (0..turns).map(|_| (random.u64(0..30), act(random))).collect();
        Self { turns, padding: "x".repeat(random.usize(0..200)) }
    }
}

/// Registers the handlers of a workload.
pub(super) fn register(sim: &World, queue: &Queue, monitor: &Monitor) {
    let runs: Arc<Mutex<BTreeMap<JobId, usize>>> = Arc::default();
    for kind in &KINDS[..2] {
        let (monitor, runs, world) = (monitor.clone(), runs.clone(), sim.clone());
        let handler = move |job: Job| {
            let inside = Inside::enter(&monitor, &job);
            let run = runs.lock().entry(job.id).and_modify(|run| *run += 1).or_default().to_owned();
            let sim = world.clone();
            async move {
                let script: Script = job.deserialize()?;
                let (pause, act) = script.turns.get(run).copied().unwrap_or((1, Act::Succeed));
                play(&sim, &inside.monitor, job, pause, act).await
            }
        };
        queue.register(*kind, sim.chaotic(handler));
    }
}

async fn play(sim: &World, monitor: &Monitor, job: Job, pause: u64, act: Act) -> Result<Outcome, BoxError> {
    if matches!(act, Act::Rush) {
        return Ok(Outcome::Done);
    }
    sim.sleep(Duration::from_millis(pause)).await;
    match act {
        Act::Succeed | Act::Rush => Ok(Outcome::Done),
        Act::Fail => Err("it fails".into()),
        // Not `panic!`, which prints.
        Act::Panic => resume_unwind(Box::new("it panics")),
        Act::RetryAfter(delay) => Err(JobError::retry_after(Duration::from_millis(delay), "later").into()),
        Act::Snooze(delay) => Ok(Outcome::snooze(Duration::from_millis(delay))),
        Act::Discard => Ok(Outcome::discard("it is of no use")),
        Act::Cancel => Ok(Outcome::cancel("it changed its mind")),
        Act::Linger => {
            let cancelled = job.cancelled();
            futures_lite::future::or(cancelled, sim.sleep(Duration::from_millis(500))).await;
            Err("it lingered".into())
        }
        Act::PushMore => {
            Pusher::new(sim, job.handle(), monitor, 1).push_from_inside().await?;
            Ok(Outcome::Done)
        }
    }
}

/// Tells the monitor of a handler's life.
struct Inside {
    monitor: Monitor,
    id: JobId,
}

impl Inside {
    fn enter(monitor: &Monitor, job: &Job) -> Self {
        monitor.note(&What::Entered(job.id, job.attempt));
        Self { monitor: monitor.clone(), id: job.id }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.monitor.note(&What::Left(self.id));
    }
}
