//! Clocks, counters of the process, and the statistics of repeated runs.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
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

#[expect(clippy::disallowed_methods, reason = "for threads outside of every runtime")]
pub(crate) fn sleep_until(deadline: Instant) {
    std::thread::sleep(deadline.saturating_duration_since(now()));
}

/// Computes for this long.
pub(crate) fn spin(time: Duration) {
    let end = now() + time;
    while now() < end {
        std::hint::spin_loop();
    }
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

/// The CPU time that all threads of this process have used.
pub(crate) fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("it never is negative")
}

/// The CPU time that this thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it never is negative")
}

/// How often the threads of this process went to sleep.
pub(crate) fn sleeps() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            field(&fs::read_to_string(task.path().join("status")).ok()?, "voluntary_ctxt_switches:")
        })
        .sum()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The value below which this share of the samples lies.
pub(crate) fn percentile(samples: &mut [u64], share: f64) -> f64 {
    samples.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the samples")]
    let at = ((float(samples.len() as u64) * share) as usize).min(samples.len().saturating_sub(1));
    samples.get(at).map_or(f64::NAN, |sample| float(*sample))
}
