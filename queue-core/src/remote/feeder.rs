//! The pump between a queue and a remote store: written once, for every store and every runtime.
//!
//! It has at most one request of each kind on its way, so what is settled and pushed meanwhile goes in one batch with the
//! next. Whatever is in doubt is asked again, after a pause that grows.

mod claiming;
mod closing;
mod leases;
mod writing;

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use super::hand::Hand;
use super::pump::Pump;
use super::types::{ExtendAnswer, LeaseId, PushToken, Tended, Wake};
use super::{Remote, RemoteStore, Reply};
use crate::engine::Core;
use crate::job::JobId;
use crate::journal::{Sink, StoreError, StoreFault};
use crate::runtime::Clock;
use claiming::{Asked, Inlet};
use closing::Closing;
use writing::{OUTAGE, Writing};

/// Moves jobs between a queue and its remote store, for as long as it is driven.
///
/// Made by [`Builder::build`](crate::Builder::build) and handed to the [driver](Remote::driver), which calls
/// [`turn`](Self::turn) whenever its waker was woken or the time is up. It keeps no queue alive, and is over once the queue
/// is shut down or gone and what was left has been handed back.
///
/// # Cancel safety
///
/// Dropped, the machine is as good as crashed: what it has in hand runs elsewhere once its leases have expired. The queue
/// then takes no more pushes and starts nothing, and its [health](crate::Handle::health) says why.
pub struct Feeder {
    core: Weak<Core>,
    sink: Sink,
    pump: Arc<Pump>,
    store: Arc<dyn RemoteStore>,
    clock: Arc<dyn Clock>,
    lease: Duration,
    poll: Duration,
    random: fastrand::Rng,
    /// Names this feeder in the tokens of its pushes.
    number: u64,
    channels: Vec<Inlet>,
    hand: Hand,
    writing: Writing,
    extending: Option<(Vec<LeaseId>, Instant, Reply<Vec<ExtendAnswer>>)>,
    tending: Option<Reply<Tended>>,
    tend_at: Instant,
    waking: Option<Reply<Wake>>,
    wake_at: Option<Instant>,
    closing: Closing,
    /// How many requests failed since the last that did not.
    failures: u32,
    /// Nothing is asked again before.
    retry_at: Option<Instant>,
    closed_at: Option<Instant>,
}

/// What the driver of a [`Feeder`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Call again when the waker is woken, or at this time by [`Feeder::now`].
    Wait(Option<Instant>),
    /// Nothing any more.
    Over,
}

/// The pauses between tries grow from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

impl Feeder {
    pub(crate) fn new(core: &Arc<Core>, pump: Arc<Pump>, remote: &Remote, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let mut random = fastrand::Rng::with_seed((remote.random)());
        let number = random.u64(..);
        let channels = core.channels().iter().map(|channel| Inlet {
            name: channel.name().clone(),
            room: 0,
            ask_at: now,
            asked: None,
        });
        Self {
            core: Arc::downgrade(core),
            sink: Sink::new(core),
            pump,
            store: remote.store.clone(),
            lease: remote.lease,
            poll: remote.poll,
            random,
            number,
            channels: channels.collect(),
            hand: Hand::default(),
            writing: Writing::default(),
            extending: None,
            tending: None,
            tend_at: now,
            waking: None,
            wake_at: None,
            closing: Closing::Open,
            failures: 0,
            retry_at: None,
            closed_at: None,
            clock,
        }
    }

    /// The time by the clock of the queue.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Does what there is to do.
    pub fn turn(&mut self, cx: &mut Context<'_>) -> Next {
        loop {
            let now = self.clock.now();
            if self.look(cx) {
                self.closed_at.get_or_insert(now);
            }
            let mut moved = self.write(now, cx);
            moved |= self.heartbeat(now, cx);
            if self.closed_at.is_none() {
                moved |= self.tend(now, cx);
                // Before it claims: what comes in after the claim is then hinted at.
                moved |= self.listen(now, cx);
            }
            moved |= self.claim(now, cx);
            if let Some(since) = self.closed_at {
                moved |= self.close(now, now.saturating_duration_since(since), cx);
            }
            if matches!(self.closing, Closing::Over) {
                return Next::Over;
            }
            if !moved {
                return Next::Wait(self.due(now));
            }
        }
    }

    /// Empties the inbox. Returns whether nothing more is to be started.
    fn look(&mut self, cx: &Context<'_>) -> bool {
        let Self { pump, writing, channels, .. } = self;
        let is_closed = pump.look(cx.waker(), |inbox| {
            writing.append(&mut inbox.changes);
            for (inlet, room) in channels.iter_mut().zip(&inbox.rooms) {
                inlet.room = *room;
            }
            inbox.is_closed
        });
        is_closed || self.core.strong_count() == 0
    }

    fn has_workers(&self) -> bool {
        self.wants() || self.hand.oldest().is_some()
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    fn succeeded(&mut self) {
        self.retry_at = None;
        if std::mem::take(&mut self.failures) > 0 {
            self.sink.written(Vec::new());
        }
    }

    fn failed(&mut self, now: Instant, error: &StoreError) {
        if self.failures + 1 >= OUTAGE {
            self.sink.failed(&mut Vec::new(), error);
        }
        let (first, last) = BACKOFF;
        let pause = first.saturating_mul(1 << self.failures.min(10)).min(last);
        // Machines that failed at the same moment do not come back at the same moment.
        let pause = pause / 2 + pause.mul_f64(self.random.f64() / 2.0);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(pause);
    }

    fn token_of(&self, id: JobId) -> PushToken {
        PushToken(u128::from(self.number) << 64 | u128::from(id.as_u64()))
    }

    /// When there is something to do although nothing happens. What could have been done by `now` and was not waits for an
    /// answer.
    fn due(&self, now: Instant) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        let mut at = |instant: Instant| {
            if instant > now {
                due = Some(due.map_or(instant, |known| known.min(instant)));
            }
        };
        let not_before = |instant: Instant| self.retry_at.map_or(instant, |retry| retry.max(instant));
        if let Some((since, until)) = self.hand.oldest() {
            at(until);
            if self.extending.is_none() {
                at(not_before(since.checked_add(self.lease / 3).unwrap_or(since)));
            }
        }
        for inlet in &self.channels {
            match &inlet.asked {
                Some(Asked { reply: None, .. }) => self.retry_at.into_iter().for_each(&mut at),
                None if inlet.room > 0 && self.closed_at.is_none() => at(not_before(inlet.ask_at)),
                Some(_) | None => {}
            }
        }
        if self.writing.waits() {
            self.retry_at.into_iter().for_each(&mut at);
        }
        if let Some(closed) = self.closed_at {
            closed.checked_add(self.lease).into_iter().for_each(&mut at);
            if matches!(self.closing, Closing::HandingBack(_, None)) {
                self.retry_at.into_iter().for_each(&mut at);
            }
            return due;
        }
        if self.failures > 0 && self.tending.is_none() {
            self.retry_at.into_iter().for_each(&mut at);
        }
        if self.has_workers() && self.tending.is_none() {
            at(not_before(self.tend_at));
        }
        if self.wants() && self.waking.is_none() {
            self.wake_at.into_iter().for_each(&mut at);
        }
        due
    }
}

/// Without a feeder, pushes fail, and the queue's health says why.
impl Drop for Feeder {
    fn drop(&mut self) {
        let mut left = self.pump.die();
        if !matches!(self.closing, Closing::Over) {
            let error =
                StoreError::new(StoreFault::Closed, "what feeds the queue from its remote store is gone");
            self.sink.failed(&mut left, &error);
        }
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder")
            .field("store", &self.store)
            .field("hand", &self.hand)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
