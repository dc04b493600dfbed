//! How much memory the process has.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How often a look is taken.
const EVERY: Duration = Duration::from_millis(20);

/// The peak of each half of a soak.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes.
    pub first: u64,
    /// Bytes.
    pub second: u64,
}

impl Memory {
    /// Notes a peak of the time up to `elapsed` of `all`.
    pub(super) fn note(&mut self, peak: u64, elapsed: Duration, all: Duration) {
        let half = if elapsed < all / 2 { &mut self.first } else { &mut self.second };
        *half = peak.max(*half);
    }

    /// Whether the second half took much more than the first: 5 % is for noise.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        self.second > self.first + self.first / 20
    }
}

/// Looks at the memory now and then, until it is dropped.
#[derive(Debug)]
pub(super) struct Sampler {
    peak: Arc<AtomicU64>,
    /// Dropped with it, which ends the thread.
    _until: mpsc::Sender<()>,
}

impl Sampler {
    pub(super) fn start() -> Self {
        let (until, is_over) = mpsc::channel::<()>();
        let peak = Arc::new(AtomicU64::new(0));
        let shared = peak.clone();
        thread::spawn(move || {
            while is_over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                shared.fetch_max(resident().unwrap_or(0), Ordering::Relaxed);
            }
        });
        Self { peak, _until: until }
    }

    /// The most since this was asked the last time.
    pub(super) fn take_peak(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed)
    }
}

/// Bytes of this process in memory, where the system tells.
#[must_use]
pub fn resident() -> Option<u64> {
    const PAGE: u64 = 4096;
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE)
}
