//! Clocks, counters of the process, and the statistics of repeated runs.

use std::time::{Duration, Instant};

use serde::Serialize;

/// What repeated runs of one thing gave.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without a figure.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self { median: *sorted.get(sorted.len() / 2)?, min: *sorted.first()?, max: *sorted.last()? })
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn timed(run: impl FnOnce()) -> Duration {
    let started = now();
    run();
    started.elapsed()
}

pub(crate) fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

pub(crate) fn per_job(time: Duration, jobs: u64) -> f64 {
    nanos(time) / float(jobs)
}

#[expect(clippy::cast_precision_loss, reason = "no figure here needs 53 bits")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
