//! The faults that a simulation may inject, and how often.

use std::time::Duration;

/// Which faults happen, and how likely each is, from 0.0 (never) to 1.0 (always). Set with
/// [`World::chaos`](crate::World::chaos); which of them happen when follows from the seed.
///
/// Default: none.
///
/// ```
/// use std::time::Duration;
/// use queue_sim::{Chaos, Queue, Sim};
///
/// Sim::explore(0..20, |sim| async move {
///     sim.chaos(Chaos::none().crashes(0.05).late_wakes(0.1));
///     let queue = Queue::new();
///     queue.register("hello", |_| async { Ok(()) });
///     sim.supervise(&queue);
///     queue.push("hello", &()).await.unwrap();
///     sim.calm();
///     sim.drain(&queue).await;
///     queue.shutdown(Duration::from_secs(1)).await;
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "chaos does nothing until it is set on a world"]
pub struct Chaos {
    pub(crate) handler_panics: f64,
    pub(crate) handler_drops: f64,
    pub(crate) crashes: f64,
    pub(crate) spurious_wakes: f64,
    pub(crate) late_wakes: f64,
    pub(crate) clock_jumps: f64,
    pub(crate) slow_code: Duration,
    pub(crate) disk_failures: f64,
    pub(crate) disk_lies: f64,
    pub(crate) disk_stalls: f64,
    pub(crate) message_losses: f64,
    pub(crate) message_stalls: f64,
}

impl Chaos {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// All of them, each now and then.
    pub fn some() -> Self {
        Self::none()
            .handler_panics(0.02)
            .handler_drops(0.02)
            .crashes(0.005)
            .spurious_wakes(0.05)
            .late_wakes(0.05)
            .clock_jumps(0.005)
            .slow_code(Duration::from_micros(15))
            .disk_failures(0.05)
            .disk_lies(0.02)
            .disk_stalls(0.02)
            .message_losses(0.03)
            .message_stalls(0.02)
    }

    /// A handler that was registered through [`World::chaotic`](crate::World::chaotic) panics, per poll.
    pub fn handler_panics(mut self, probability: f64) -> Self {
        self.handler_panics = probability;
        self
    }

    /// The future of such a handler is dropped at an await and the attempt fails, per poll.
    pub fn handler_drops(mut self, probability: f64) -> Self {
        self.handler_drops = probability;
        self
    }

    /// A task of a queue (a worker, its timekeeper) is dropped at an await, per poll. Whatever was
    /// [supervised](crate::World::supervise) is started again a little later.
    pub fn crashes(mut self, probability: f64) -> Self {
        self.crashes = probability;
        self
    }

    /// A task is polled though nobody woke it, per step.
    pub fn spurious_wakes(mut self, probability: f64) -> Self {
        self.spurious_wakes = probability;
        self
    }

    /// A wake-up arrives up to 50 ms late, per wake-up.
    pub fn late_wakes(mut self, probability: f64) -> Self {
        self.late_wakes = probability;
        self
    }

    /// The clock jumps, per step: the monotonic one up to 10 s ahead, as after a machine slept, or the wall clock up to
    /// a day ahead or back.
    pub fn clock_jumps(mut self, probability: f64) -> Self {
        self.clock_jumps = probability;
        self
    }

    /// A [`Disk`](crate::Disk) fails to write or to read, per write and read.
    pub fn disk_failures(mut self, probability: f64) -> Self {
        self.disk_failures = probability;
        self
    }

    /// A [`Disk`](crate::Disk) writes and reports that it failed, as when a connection is lost before the answer, per write.
    pub fn disk_lies(mut self, probability: f64) -> Self {
        self.disk_lies = probability;
        self
    }

    /// A [`Disk`](crate::Disk) takes up to 10 s instead of up to a millisecond, per write and read.
    pub fn disk_stalls(mut self, probability: f64) -> Self {
        self.disk_stalls = probability;
        self
    }

    /// A message between a queue and its [`Server`](crate::Server) gets lost, per message.
    pub fn message_losses(mut self, probability: f64) -> Self {
        self.message_losses = probability;
        self
    }

    /// Such a message takes up to 10 s instead of up to 5 ms, so that others overtake it, and arrives after who sent it has
    /// given up, per message.
    pub fn message_stalls(mut self, probability: f64) -> Self {
        self.message_stalls = probability;
        self
    }

    /// Up to this much time passes at each look at the clock, as if the code around it took a while. Otherwise code
    /// takes no time at all, and a worker with a backlog runs long without giving way.
    pub fn slow_code(mut self, longest: Duration) -> Self {
        self.slow_code = longest;
        self
    }
}

/// How late a wake-up may be.
pub(crate) const LATEST: Duration = Duration::from_millis(50);
/// How far the monotonic clock may jump.
pub(crate) const FARTHEST: Duration = Duration::from_secs(10);
/// How far the wall clock may jump.
pub(crate) const FARTHEST_WALL: Duration = Duration::from_hours(24);
/// How long what crashed may stay away.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_millis(500);
