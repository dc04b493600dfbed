//! The named queues of a soak: one for each way in which a push can have to wait, or not.

use std::time::Duration;

use queue_core::{Builder, QueueConfig, RetryPolicy, Runtime};

pub(super) const RETRIES: u32 = 2;
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_millis(20);

/// A named queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) name: &'static str,
    workers: usize,
    pub(super) limit: usize,
    capacity: usize,
    capacity_bytes: usize,
}

const ROOMY: Bounds =
    Bounds { name: "default", workers: 4, limit: 6, capacity: 100_000, capacity_bytes: 1 << 30 };

pub(super) const BOUNDS: [Bounds; 4] = [
    ROOMY,
    // Pushes wait for room.
    Bounds { name: "narrow", workers: 4, limit: 3, capacity: 16, ..ROOMY },
    // And for bytes.
    Bounds { name: "light", workers: 3, limit: 3, capacity_bytes: 4096, ..ROOMY },
    Bounds { name: "single", workers: 2, limit: 1, capacity: 200, ..ROOMY },
];

/// One at a time: the queue in which the order can be seen.
pub(super) const SINGLE: usize = 3;

pub(super) fn number_of(name: &str) -> Option<usize> {
    BOUNDS.iter().position(|bounds| bounds.name == name)
}

pub(super) fn configure<R: Runtime>(builder: Builder<R>) -> Builder<R> {
    BOUNDS.iter().fold(builder, |builder, bounds| {
        let config = QueueConfig::new()
            .workers(bounds.workers)
            .limit(bounds.limit)
            .capacity(bounds.capacity)
            .capacity_bytes(bounds.capacity_bytes)
            // Without room for all of them one could not tell which were dropped.
            .dead_letters(usize::MAX)
            .dead_letter_bytes(usize::MAX)
            .timeout(TIMEOUT)
            .retry(RetryPolicy::fixed(RETRIES, RETRY_DELAY));
        builder.queue(bounds.name, config)
    })
}
