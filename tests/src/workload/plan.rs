//! How a workload's queue is configured, and how its life goes.

use std::time::Duration;

use fastrand::Rng;
use queue_core::{Jitter, Name, QueueConfig, RetryPolicy};
use queue_sim::{Chaos, Queue, World};

use super::some_chaos;
use crate::invariants::Bounds;

/// What follows from the seed before anything happens.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) bounds: Vec<Bounds>,
    retry: Vec<RetryPolicy>,
    pub(super) chaos: Chaos,
    pub(super) clock_jumps: bool,
    /// How late a job may become ready.
    pub(super) tolerance: Duration,
    pub(super) faults_for: Duration,
    pub(super) pushers: usize,
    pub(super) operations: usize,
    /// After this long, with this timeout; or after all is done.
    pub(super) early_shutdown: Option<(Duration, Duration)>,
}

impl Plan {
    pub(super) fn new(mut random: Rng) -> Self {
        let random = &mut random;
        let queues = random.usize(1..=3);
        let names = ["default", "email", "webhook"].into_iter().map(Name::from);
        // Where everything is tight, pushes wait for each other more than for anything else.
        let is_tight = random.u8(0..4) == 0;
        let mut bounds: Vec<_> = names.take(queues).map(|name| some_bounds(name, is_tight, random)).collect();
        let is_early = random.u8(0..3) == 0;
        let (clock_jumps, crashes) = (random.bool(), random.bool());
        let chaos = if random.u8(0..4) == 0 { Chaos::none() } else { some_chaos(random) };
        let retry = bounds.iter().map(|_| some_retry(random)).collect();
        for bounds in &mut bounds {
            bounds.timeout = random.bool().then(|| millis(5..200, random));
        }
        Self {
            retry,
            bounds,
            chaos: chaos
                .crashes(if crashes { random.f64() * 0.03 } else { 0.0 })
                .clock_jumps(if clock_jumps { random.f64() * 0.01 } else { 0.0 }),
            clock_jumps,
            // A timekeeper that crashed comes back within a second, and the queue's ticks are one millisecond.
            tolerance: Duration::from_millis(if crashes { 1000 } else { 2 }),
            faults_for: millis(0..2000, random),
            pushers: random.usize(1..=4) + if is_tight { 4 } else { 0 },
            operations: random.usize(1..=25),
            early_shutdown: is_early.then(|| (millis(0..300, random), millis(0..300, random))),
        }
    }

    pub(super) fn queue(&self, sim: &World) -> Queue {
        let settings = self.bounds.iter().zip(&self.retry);
        let builder = settings.fold(sim.queue_builder(), |builder, (bounds, retry)| {
            let config = QueueConfig::new()
                .workers(bounds.workers)
                .limit(bounds.limit)
                .capacity(bounds.capacity)
                .capacity_bytes(bounds.capacity_bytes)
                .dead_letters(bounds.dead_letters)
                .retry(retry.clone());
            builder.queue(
                bounds.name.clone(),
                bounds.timeout.iter().fold(config, |config, limit| config.timeout(*limit)),
            )
        });
        builder.build()
    }
}

fn some_bounds(name: Name, is_tight: bool, random: &mut Rng) -> Bounds {
    let workers = random.usize(1..=4);
    Bounds {
        name,
        workers,
        limit: if random.bool() { workers } else { random.usize(1..=4) },
        capacity: if !is_tight && random.bool() { 100_000 } else { random.usize(1..=6) },
        capacity_bytes: if !is_tight && random.bool() { 10_000_000 } else { random.usize(512..2000) },
        dead_letters: if random.bool() { 100_000 } else { random.usize(0..5) },
        timeout: None,
    }
}

/// Every one comes to an end.
pub(super) fn some_retry(random: &mut Rng) -> RetryPolicy {
    let (retries, delay) = (random.u32(0..5), millis(0..50, random));
    let policy = match random.u8(0..4) {
        0 => RetryPolicy::None,
        1 => RetryPolicy::fixed(retries, delay),
        2 => RetryPolicy::linear(retries, delay),
        _ => RetryPolicy::exponential(retries, delay).cap(Duration::from_millis(300)),
    };
    match random.u8(0..3) {
        0 => policy.jitter(Jitter::Full),
        _ => policy,
    }
}

pub(super) fn millis(range: std::ops::Range<u64>, random: &mut Rng) -> Duration {
    // As often as not a whole number, so that some deadlines are the same.
    let time = Duration::from_millis(random.u64(range));
    if random.bool() { time } else { time + Duration::from_nanos(random.u64(0..1_000_000)) }
}
