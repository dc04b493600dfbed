//! Lifecycle events: what happened to which job, for whoever subscribes.
//!
//! A subscriber has a ring of its own. The queue never waits for it: when the ring is full the oldest event makes
//! room and is counted as missed. Without subscribers an event costs one load.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::dead::DeadReason;
use crate::job::{JobId, Name};
use crate::sync::{ArrayQueue, AtomicBool, AtomicU64, Mutex, Notify, Ordering};

/// Something that happened in a queue.
///
/// The events of one job are in order: they are recorded where its state changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A job was accepted.
    Pushed(JobInfo),
    /// An attempt started.
    Started(JobInfo),
    /// The job is done.
    Succeeded(JobInfo),
    /// An attempt failed, and another one follows.
    Retried {
        /// The attempt that failed.
        job: JobInfo,
        /// What went wrong.
        error: String,
        /// How long until the next attempt.
        delay: Duration,
    },
    /// An attempt asked to run later.
    Snoozed {
        /// The attempt.
        job: JobInfo,
        /// How much later.
        delay: Duration,
    },
    /// The job became a dead letter.
    Died {
        /// The last attempt.
        job: JobInfo,
        /// Why.
        reason: DeadReason,
        /// What went wrong.
        error: String,
    },
    /// The job was cancelled: while it waited, or by its handler's answer.
    Cancelled(JobInfo),
    /// The attempt was interrupted because its worker's runtime ended; the job is ready again.
    Interrupted(JobInfo),
    /// The attempt has ended, but its lease was lost before a remote store was told: it does not count, and the job runs
    /// again, or did so elsewhere.
    LeaseLost(JobInfo),
    /// Shutdown gave the job back to the caller.
    HandedBack(JobInfo),
    /// A dead letter was given another life.
    Requeued(JobInfo),
    /// A dead letter was dropped because there were too many.
    DeadLetterEvicted(JobInfo),
    /// The durable store cannot be written to; see [`Health`](crate::Health).
    StoreFailed {
        /// What is wrong with it.
        error: String,
    },
    /// The durable store can be written to again.
    StoreRecovered,
    /// A worker joined this named queue.
    WorkerStarted {
        /// The named queue.
        queue: Name,
    },
    /// A worker left this named queue: its runtime ended, or the queue shuts down and has nothing left for it. Those that
    /// leave after the end of the shutdown are not told of.
    WorkerStopped {
        /// The named queue.
        queue: Name,
    },
}

impl Event {
    /// The attempt that has ended with this.
    pub(crate) fn ended(&self) -> Option<&JobInfo> {
        match self {
            Self::Succeeded(job)
            | Self::Retried { job, .. }
            | Self::Snoozed { job, .. }
            | Self::Died { job, .. }
            | Self::Cancelled(job)
            | Self::Interrupted(job) => Some(job),
            _ => None,
        }
    }
}

/// Which job, and which attempt of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// The job's number.
    pub id: JobId,
    /// Its kind.
    pub kind: Name,
    /// The named queue it is in.
    pub queue: Name,
    /// The attempt, from 0: the next one for a job that waits.
    pub attempt: u32,
}

/// A subscriber's end of the events; made by [`Handle::subscribe`](crate::Handle::subscribe).
///
/// ```no_run
/// # async fn watch(queue: queue_core::Handle) {
/// let mut events = queue.subscribe(1024);
/// while let Some(event) = events.recv().await {
///     println!("{event:?}");
/// }
/// # }
/// ```
pub struct Subscription {
    ring: Arc<Ring>,
}

impl Subscription {
    /// The next event, or `None`, for good, once the queue is shut down and everything was read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ring.events.pop() {
                return Some(event);
            }
            let listener = self.ring.changed.listen();
            let closed = self.ring.closed.load(Ordering::SeqCst);
            if let Some(event) = self.ring.events.pop() {
                return Some(event);
            }
            if closed {
                return None;
            }
            listener.await;
        }
    }

    /// The next event, if there is one now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.ring.events.pop()
    }

    /// How many events were dropped because this subscriber was too slow, since it subscribed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.ring.missed.load(Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.ring.abandoned.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("unread", &self.ring.events.len())
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

struct Ring {
    events: ArrayQueue<Event>,
    missed: AtomicU64,
    closed: AtomicBool,
    abandoned: AtomicBool,
    changed: Notify,
}

/// All subscribers of a queue.
#[derive(Default)]
pub(crate) struct Subscribers {
    any: AtomicBool,
    rings: Mutex<Rings>,
}

#[derive(Default)]
struct Rings {
    open: Vec<Arc<Ring>>,
    closed: bool,
}

impl Subscribers {
    pub(crate) fn subscribe(&self, capacity: usize) -> Subscription {
        let mut rings = self.rings.lock();
        let ring = Arc::new(Ring {
            events: ArrayQueue::new(capacity.max(1)),
            missed: AtomicU64::new(0),
            closed: AtomicBool::new(rings.closed),
            abandoned: AtomicBool::new(false),
            changed: Notify::new(),
        });
        if !rings.closed {
            rings.forget_abandoned();
            rings.open.push(ring.clone());
            self.any.store(true, Ordering::Relaxed);
        }
        Subscription { ring }
    }

    /// Whether anybody would see an event; ask before making one.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Records an event and wakes nobody: call it where the state changes, and [`notify`](Self::notify) after the lock.
    pub(crate) fn record(&self, event: &Event) {
        let mut rings = self.rings.lock();
        rings.forget_abandoned();
        self.any.store(!rings.open.is_empty(), Ordering::Relaxed);
        for ring in &rings.open {
            if ring.events.force_push(event.clone()).is_some() {
                ring.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Wakes the subscribers that wait.
    pub(crate) fn notify(&self) {
        let rings = self.rings.lock().open.clone();
        for ring in rings {
            ring.changed.notify(usize::MAX);
        }
    }

    /// No more events will come: whoever was told so must not be told of one later.
    pub(crate) fn close(&self) {
        let rings = {
            let mut rings = self.rings.lock();
            rings.closed = true;
            self.any.store(false, Ordering::Relaxed);
            std::mem::take(&mut rings.open)
        };
        for ring in rings {
            ring.closed.store(true, Ordering::SeqCst);
            ring.changed.notify(usize::MAX);
        }
    }
}

impl Rings {
    fn forget_abandoned(&mut self) {
        self.open.retain(|ring| !ring.abandoned.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::WorkerStarted { queue: "default".into() }
    }

    #[test]
    fn a_dropped_subscriber_is_forgotten_at_the_next_event_or_subscription() {
        let subscribers = Subscribers::default();
        for _ in 0..100 {
            drop(subscribers.subscribe(1));
        }
        assert_eq!(subscribers.rings.lock().open.len(), 1);
        subscribers.record(&event());
        assert!(subscribers.rings.lock().open.is_empty());
        assert!(!subscribers.any());
    }

    #[test]
    fn nothing_is_kept_and_nothing_told_after_the_end() {
        let subscribers = Subscribers::default();
        let mut early = subscribers.subscribe(1);
        subscribers.close();
        let mut late = subscribers.subscribe(1);
        subscribers.record(&event());
        assert_eq!((early.try_recv(), late.try_recv()), (None, None));
        assert!(subscribers.rings.lock().open.is_empty());
        assert!(!subscribers.any());
    }
}
