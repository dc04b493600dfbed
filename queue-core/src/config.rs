//! Settings of a named queue.

use std::time::Duration;

use crate::engine::ChannelConfig;
use crate::job::Name;
use crate::retry::RetryPolicy;
use crate::store::DeadLimits;

/// The settings of one named queue. What is not set here is as the builder says for all.
///
/// ```
/// use std::time::Duration;
/// use queue_core::{QueueConfig, RetryPolicy};
///
/// let webhooks = QueueConfig::new()
///     .workers(16)
///     .timeout(Duration::from_secs(10))
///     .retry(RetryPolicy::exponential(8, Duration::from_secs(1)).cap(Duration::from_secs(300)))
///     .kinds(["webhook", "webhook_test"]);
/// # let _ = webhooks;
/// ```
#[derive(Clone, Debug, Default)]
pub struct QueueConfig {
    workers: Option<usize>,
    limit: Option<usize>,
    retry: Option<RetryPolicy>,
    timeout: Option<Duration>,
    capacity: Option<usize>,
    capacity_bytes: Option<usize>,
    dead_letters: Option<usize>,
    dead_letter_bytes: Option<usize>,
    kinds: Vec<Name>,
}

/// More workers than this are not started: each is a task of its own, and the bound keeps a slip of the pen
/// (`usize::MAX` for "unlimited") from taking all memory.
const MOST_WORKERS: usize = 65_536;

impl QueueConfig {
    /// Nothing set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many workers [`start`](crate::Queue::start) runs: on the runtime, or on each thread that calls it when the
    /// runtime is thread-per-core. A worker runs one job at a time.
    ///
    /// Default: 4, because most background work waits for the network. 0 counts as 1, so that a computed number
    /// cannot stop a queue silently (to hold one, [pause](crate::Handle::pause) it); at most 65,536 are started.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How many jobs of this named queue may run at the same time, at any instant, over all threads.
    ///
    /// Default: the number of workers, so that `workers(4)` means at most four at a time wherever it is started. Set it
    /// higher to let several threads run that many workers each. 0 counts as 1.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// What happens when an attempt fails.
    ///
    /// Default: [`RetryPolicy::None`], because running a job again is safe only for handlers that are idempotent.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self
    }

    /// How long one attempt may take. When it is over the handler's future is dropped, at its next await, and the
    /// attempt has failed with [`AttemptTimedOut`](crate::AttemptTimedOut). A handler that never awaits cannot be
    /// stopped.
    ///
    /// Default: no timeout, because no number is right for both a webhook and a video.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many jobs may wait: ready, delayed, or for a retry. A push beyond it waits for room, a `try_push` is
    /// refused; a retry is never refused.
    ///
    /// Default: 1,048,576, about 100 MB of small jobs: enough for any burst, and an end to a leak. 0 counts as 1.
    #[must_use]
    pub fn capacity(mut self, jobs: usize) -> Self {
        self.capacity = Some(jobs);
        self
    }

    /// How many bytes of payload the waiting jobs may have together. A single payload larger than this is refused
    /// outright.
    ///
    /// Default: 1 GiB, because memory is what runs out first when payloads are large.
    #[must_use]
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.capacity_bytes = Some(bytes);
        self
    }

    /// How many dead letters are kept; the oldest make room. 0 keeps none.
    ///
    /// Default: 10,000, more than anyone reads one by one.
    #[must_use]
    pub fn dead_letters(mut self, jobs: usize) -> Self {
        self.dead_letters = Some(jobs);
        self
    }

    /// How many bytes of payload and error text the dead letters may have together; the oldest make room. The newest one
    /// is kept even if it is larger than that by itself.
    ///
    /// Default: 64 MiB.
    #[must_use]
    pub fn dead_letter_bytes(mut self, bytes: usize) -> Self {
        self.dead_letter_bytes = Some(bytes);
        self
    }

    /// Kinds that run here unless a push says otherwise.
    #[must_use]
    pub fn kinds<I>(mut self, kinds: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Name>,
    {
        self.kinds.extend(kinds.into_iter().map(Into::into));
        self
    }

    pub(crate) fn take_kinds(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.kinds)
    }

    /// These settings where they are set, else `defaults`, else the library's.
    pub(crate) fn resolve(&self, name: Name, defaults: &Self) -> ChannelConfig {
        let workers = self.workers.or(defaults.workers).unwrap_or(4).clamp(1, MOST_WORKERS);
        // Workers that are set here are a limit here: a default for all queues does not undo that.
        let limit = self.limit.or(if self.workers.is_some() { None } else { defaults.limit });
        ChannelConfig {
            name,
            workers,
            limit: limit.unwrap_or(workers).max(1),
            retry: self.retry.as_ref().or(defaults.retry.as_ref()).cloned().unwrap_or_default(),
            timeout: self.timeout.or(defaults.timeout),
            capacity: self.capacity.or(defaults.capacity).unwrap_or(1 << 20).clamp(1, u32::MAX as usize / 2),
            capacity_bytes: self.capacity_bytes.or(defaults.capacity_bytes).unwrap_or(1 << 30),
            dead: DeadLimits {
                jobs: self.dead_letters.or(defaults.dead_letters).unwrap_or(10_000),
                bytes: self.dead_letter_bytes.or(defaults.dead_letter_bytes).unwrap_or(64 << 20),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(own: &QueueConfig, defaults: &QueueConfig) -> ChannelConfig {
        own.resolve("email".into(), defaults)
    }

    #[test]
    fn the_limit_is_the_number_of_workers_unless_it_is_set() {
        let config = resolve(&QueueConfig::new().workers(3), &QueueConfig::new());
        assert_eq!((config.workers, config.limit), (3, 3));
        let config = resolve(&QueueConfig::new(), &QueueConfig::new().workers(2).limit(9));
        assert_eq!((config.workers, config.limit), (2, 9));
        let config = resolve(&QueueConfig::new().workers(1), &QueueConfig::new().workers(2).limit(9));
        assert_eq!((config.workers, config.limit), (1, 1));
    }

    #[test]
    fn senseless_numbers_still_give_a_queue_that_works() {
        let config = resolve(&QueueConfig::new().workers(0).limit(0).capacity(0), &QueueConfig::new());
        assert_eq!((config.workers, config.limit, config.capacity), (1, 1, 1));
        let config =
            resolve(&QueueConfig::new().workers(usize::MAX).capacity(usize::MAX), &QueueConfig::new());
        assert_eq!(config.workers, MOST_WORKERS);
        assert!(u32::try_from(config.capacity).is_ok());
    }
}
