//! What is delivered to whom, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use queue_core::{Builder, DeadReason, Jitter, QueueConfig, RetryPolicy, Runtime};

use super::payloads::{self, Payload};
use super::receivers::Behaviour;

/// Everything a [`Campaign`](super::Campaign) needs to know.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The receivers. Payloads are dealt out to them in turn.
    pub routes: Vec<Route>,
    /// What to deliver.
    pub payloads: Vec<Payload>,
    /// How long everything may take.
    pub pace: Pace,
    /// The file in which the jobs outlive the process; beside it, one of the same name and `.logbook` for what must be
    /// known to check them. `None`: in memory.
    pub store: Option<PathBuf>,
}

/// A receiver, and the named queue for it.
#[derive(Debug, Clone)]
pub struct Route {
    /// The receiver's name, and the named queue's.
    pub name: &'static str,
    /// How the receiver misbehaves.
    pub behaviour: Behaviour,
    /// How many deliveries may be under way to it at the same time.
    pub limit: usize,
    /// How often a delivery is tried again.
    pub retries: u32,
}

/// Durations of a campaign.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long an attempt may take.
    pub timeout: Duration,
    /// The first backoff; it doubles with every failure.
    pub base_delay: Duration,
    /// The longest backoff.
    pub longest_delay: Duration,
    /// How long shutdown lets running deliveries finish.
    pub drain: Duration,
    /// When to give up on a campaign that does not come to its end. Never reached unless something is broken.
    pub patience: Duration,
}

impl Plan {
    /// All payloads to one receiver of each behaviour.
    ///
    /// # Errors
    ///
    /// When the data file is damaged.
    pub fn standard() -> serde_json::Result<Self> {
        Ok(Self {
            routes: vec![
                Route::new("healthy", Behaviour::Healthy, 8, 8),
                Route::new("flaky", Behaviour::Flaky { failures: 2 }, 4, 8),
                // A Retry-After takes a retry each time, and the last in line is sent away once per window.
                Route::new(
                    "limited",
                    Behaviour::RateLimited { limit: 10, window: Duration::from_secs(1) },
                    2,
                    20,
                ),
                Route::new("gone", Behaviour::Gone, 2, 8),
                Route::new("slow", Behaviour::Slow { delay: Duration::from_secs(1) }, 8, 8),
                Route::new("refused", Behaviour::Refused, 4, 8),
                Route::new("hangup", Behaviour::Hangup, 4, 8),
                Route::new("broken", Behaviour::Broken, 4, 8),
            ],
            payloads: payloads::load()?,
            pace: Pace {
                timeout: Duration::from_millis(300),
                base_delay: Duration::from_millis(50),
                longest_delay: Duration::from_secs(2),
                drain: Duration::from_secs(2),
                patience: Duration::from_mins(1),
            },
            store: None,
        })
    }

    /// How many payloads go to the receiver at this place in [`routes`](Self::routes).
    #[must_use]
    pub fn share(&self, route: usize) -> usize {
        self.payloads.len().saturating_sub(route).div_ceil(self.routes.len().max(1))
    }

    /// Adds a named queue for each receiver.
    pub fn configure<R: Runtime>(&self, builder: Builder<R>) -> Builder<R> {
        self.routes.iter().fold(builder, |builder, route| builder.queue(route.name, self.config(route)))
    }

    fn config(&self, route: &Route) -> QueueConfig {
        let Pace { timeout, base_delay, longest_delay, .. } = self.pace;
        let retry =
            RetryPolicy::exponential(route.retries, base_delay).cap(longest_delay).jitter(Jitter::Equal);
        QueueConfig::new().workers(route.limit).limit(route.limit).timeout(timeout).retry(retry)
    }
}

impl Route {
    /// A receiver with this behaviour.
    #[must_use]
    pub fn new(name: &'static str, behaviour: Behaviour, limit: usize, retries: u32) -> Self {
        Self { name, behaviour, limit, retries }
    }

    /// Why deliveries to it end as dead letters; `None` if all of them must get through.
    #[must_use]
    pub fn expected_death(&self) -> Option<DeadReason> {
        match self.behaviour {
            Behaviour::Gone => Some(DeadReason::Discarded),
            Behaviour::Broken => Some(DeadReason::RetriesExhausted),
            Behaviour::Healthy
            | Behaviour::Flaky { .. }
            | Behaviour::RateLimited { .. }
            | Behaviour::Slow { .. }
            | Behaviour::Refused
            | Behaviour::Hangup => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_all_there_is() {
        let mut plan = Plan::standard().expect("the data file is well formed");
        for count in [329, 8, 7, 1, 0] {
            plan.payloads.truncate(count);
            let shares: Vec<_> = (0..plan.routes.len()).map(|route| plan.share(route)).collect();
            assert_eq!(shares.iter().sum::<usize>(), count, "{shares:?}");
            assert!(shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
        }
    }
}
