//! What every contender with a durable store is given, and how its jobs are counted. The rivals in `benches/rivals` are
//! programs of their own and include this file, so it needs nothing but the standard library.

use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many jobs of 64 bytes, pushed by so many tasks at a time, each of which waits until its push is acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) producers: u64,
    /// How many jobs one push has.
    pub(crate) bulk: u64,
    pub(crate) jobs: u64,
}

impl Load {
    /// Reads what [`arguments`](Self::arguments) wrote.
    #[allow(dead_code, reason = "only the rivals do")]
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut number = || u64::from_str(&arguments.next()?).ok();
        Some(Self { producers: number()?, bulk: number()?, jobs: number()? })
    }

    #[allow(dead_code, reason = "only whoever runs the rivals does")]
    pub(crate) fn arguments(self) -> [String; 3] {
        [self.producers, self.bulk, self.jobs].map(|number| number.to_string())
    }

    /// The numbers of the jobs of each producer's pushes.
    pub(crate) fn pushes(self) -> impl Iterator<Item = impl Iterator<Item = Range<u64>> + Send> {
        let Self { producers, bulk, jobs } = self;
        (0..producers).map(move |producer| {
            let (mut next, end) = (producer * jobs / producers, (producer + 1) * jobs / producers);
            std::iter::from_fn(move || {
                let range = next..(next + bulk).min(end);
                next = range.end;
                (!range.is_empty()).then_some(range)
            })
        })
    }
}

/// A number as JSON text of 64 bytes.
pub(crate) fn payload(number: u64) -> String {
    format!("\"{number:062}\"")
}

/// Every job by its number, and how often it ran.
#[derive(Debug)]
pub(crate) struct Tally {
    runs: Vec<AtomicU8>,
    left: AtomicU64,
    is_over: Mutex<bool>,
    over: Condvar,
}

impl Tally {
    pub(crate) fn new(load: Load) -> Arc<Self> {
        Arc::new(Self {
            runs: (0..load.jobs).map(|_| AtomicU8::new(0)).collect(),
            left: AtomicU64::new(load.jobs),
            is_over: Mutex::new(false),
            over: Condvar::new(),
        })
    }

    /// The work of a job with this payload, with or without its quotes.
    pub(crate) fn run(&self, payload: &str) {
        let number: usize = payload.trim_matches('"').parse().expect("it was written here");
        self.runs[number].fetch_add(1, Ordering::Relaxed);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
            self.over.notify_all();
        }
    }

    /// Waits until as many have run as there are, or for much longer than that takes.
    pub(crate) fn wait(&self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.over.wait_timeout_while(is_over, Duration::from_mins(2), |is_over| !*is_over));
    }

    /// To be asked when the contender has stopped, so that a second run of a job cannot come later.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bad = self.runs.iter().filter(|runs| runs.load(Ordering::Relaxed) != 1).count();
        if bad == 0 { Ok(()) } else { Err(format!("{bad} of {} jobs did not run once", self.runs.len())) }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
