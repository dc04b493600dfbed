//! The pump between a queue and a remote store: written once, for every store and every runtime.
//!
//! It has at most one request of each kind on its way, so what is settled and pushed meanwhile goes in one batch with the
//! next. Whatever is in doubt is asked again, after a pause that grows.

mod writing;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::hand::{Arrival, Hand};
use super::pump::Pump;
use super::types::{
    ClaimRequest, ClaimToken, Claimed, ExtendAnswer, LeaseId, PushToken, SettleAnswer, Settlement, Tended,
    Transition, Wake,
};
use super::{Remote, RemoteStore, Reply};
use crate::engine::Core;
use crate::job::{JobId, Name};
use crate::journal::{Sink, StoreError};
use crate::runtime::Clock;
use writing::{OUTAGE, Writing};

/// Moves jobs between a queue and its remote store, for as long as it is driven.
///
/// Made by [`Builder::build`](crate::Builder::build) and handed to the [driver](Remote::driver), which calls
/// [`turn`](Self::turn) whenever its waker was woken or the time is up. It keeps no queue alive, and is over once the queue
/// is shut down or gone and what was left has been handed back.
///
/// # Cancel safety
///
/// Dropped, the machine is as good as crashed: what it has in hand runs elsewhere once its leases have expired.
pub struct Feeder {
    core: Weak<Core>,
    sink: Sink,
    pump: Arc<Pump>,
    store: Arc<dyn RemoteStore>,
    clock: Box<dyn Clock>,
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

/// What comes in for one channel.
struct Inlet {
    name: Name,
    room: usize,
    /// It is worth asking from then on.
    ask_at: Instant,
    asked: Option<Asked>,
}

struct Asked {
    request: ClaimRequest,
    at: Instant,
    /// `None` after a failure: it is asked again.
    reply: Option<Reply<Claimed>>,
}

enum Closing {
    Open,
    /// What was left is on its way back.
    HandingBack(Vec<ClaimToken>, Option<Reply<Vec<SettleAnswer>>>),
    Over,
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
/// A claim asks for no more payload at once.
const MAX_BYTES: usize = 16 << 20;
/// How many expired jobs are seen to at once.
const TEND_BUDGET: usize = 1_000;

impl Feeder {
    pub(crate) fn new(core: &Arc<Core>, pump: Arc<Pump>, remote: &Remote, clock: Box<dyn Clock>) -> Self {
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
            moved |= self.claim(now, cx);
            if let Some(since) = self.closed_at {
                moved |= self.close(now, now.saturating_duration_since(since), cx);
            } else {
                moved |= self.tend(now, cx);
                moved |= self.listen(now, cx);
            }
            if matches!(self.closing, Closing::Over) {
                return Next::Over;
            }
            if !moved {
                return Next::Wait(self.due());
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

    /// Hands out what was claimed, and asks for more.
    fn claim(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for index in 0..self.channels.len() {
            let may_ask = self.closed_at.is_none() && self.may_ask(now);
            let inlet = &mut self.channels[index];
            if let Some(asked) = &mut inlet.asked {
                let Some(reply) = &mut asked.reply else {
                    // Asked again even when the queue is closed: it may have got jobs, which are then handed back.
                    if self.retry_at.is_none_or(|at| at <= now) {
                        asked.at = now;
                        asked.reply = Some(self.store.claim(asked.request.clone()));
                        moved = true;
                    }
                    continue;
                };
                let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { continue };
                moved = true;
                match answer {
                    Ok(claimed) => self.claimed(index, claimed, now),
                    Err(error) => {
                        asked.reply = None;
                        self.failed(now, &error);
                    }
                }
            } else if may_ask && inlet.room > 0 && inlet.ask_at <= now {
                let request = ClaimRequest {
                    lease: LeaseId(self.random.u64(..)),
                    queue: inlet.name.clone(),
                    max: inlet.room,
                    max_bytes: MAX_BYTES,
                    lasts: self.lease,
                };
                let reply = self.store.claim(request.clone());
                self.channels[index].asked = Some(Asked { request, at: now, reply: Some(reply) });
                moved = true;
            }
        }
        moved
    }

    fn claimed(&mut self, index: usize, claimed: Claimed, now: Instant) {
        self.succeeded();
        let inlet = &mut self.channels[index];
        let Some(asked) = inlet.asked.take() else { return };
        let idle = if claimed.is_paused {
            self.poll
        } else {
            claimed.next_due.map_or(self.poll, |due| due.min(self.poll))
        };
        inlet.ask_at = if claimed.more { now } else { now.checked_add(idle).unwrap_or(now) };
        if claimed.jobs.is_empty() {
            return;
        }
        self.hand.take_lease(asked.request.lease, asked.at, claimed.lasts);
        let mut start = Vec::with_capacity(claimed.jobs.len());
        let mut stop = Vec::new();
        for job in claimed.jobs {
            let id = job.token.id;
            match self.hand.take(index, job) {
                Arrival::Start(job) => start.push((index, job)),
                Arrival::Later => stop.push(id),
                Arrival::Known => {}
            }
        }
        self.deliver(start);
        self.stop(&stop);
    }

    fn deliver(&mut self, jobs: Vec<(usize, super::ClaimedJob)>) {
        if let Some(core) = self.core.upgrade() {
            core.deliver(jobs);
        }
    }

    /// A job is over with; an attempt that waited for that begins.
    fn let_go(&mut self, id: JobId) {
        let next = self.hand.let_go(id);
        self.deliver(next.into_iter().collect());
    }

    /// Renews the leases on what is in hand, and stops what may have been lost.
    fn heartbeat(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let lapsed = self.hand.lapsed(now);
        let mut moved = !lapsed.is_empty();
        for lease in lapsed {
            self.lose(lease);
        }
        if let Some((leases, since, reply)) = &mut self.extending {
            let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return moved };
            let (leases, since) = (std::mem::take(leases), *since);
            self.extending = None;
            match answer {
                Ok(answers) => {
                    self.succeeded();
                    for (lease, answer) in leases.into_iter().zip(answers) {
                        self.extended(lease, since, answer);
                    }
                }
                Err(error) => self.failed(now, &error),
            }
            moved = true;
        }
        if self.may_ask(now) {
            let leases = self.hand.old_leases(now, self.lease / 3);
            if !leases.is_empty() {
                let reply = self.store.extend(leases.clone(), self.lease);
                self.extending = Some((leases, now, reply));
                moved = true;
            }
        }
        moved
    }

    fn extended(&mut self, lease: LeaseId, since: Instant, answer: ExtendAnswer) {
        match answer {
            ExtendAnswer::Alive { cancelled } => {
                self.hand.extend_lease(lease, since, self.lease);
                if let Some(core) = self.core.upgrade() {
                    for id in cancelled {
                        core.cancel_here(id);
                    }
                }
            }
            ExtendAnswer::Lost => self.lose(lease),
        }
    }

    fn lose(&mut self, lease: LeaseId) {
        let stop = self.hand.lose(lease);
        self.stop(&stop);
    }

    /// What waits here is gone at once; what runs is, once it has stopped.
    fn stop(&mut self, ids: &[JobId]) {
        let Some(core) = self.core.upgrade() else { return };
        for gone in core.stop(ids) {
            self.let_go(gone);
        }
    }

    /// Looks after the leases of machines that are gone; and, in an outage, whether it is over.
    fn tend(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(reply) = &mut self.tending else {
            let is_time = self.failures > 0 || (self.has_workers() && self.tend_at <= now);
            if is_time && self.may_ask(now) {
                self.tending = Some(self.store.tend(TEND_BUDGET));
            }
            return self.tending.is_some();
        };
        let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return false };
        self.tending = None;
        match answer {
            Ok(tended) => {
                self.succeeded();
                let wait = if tended.more { Duration::ZERO } else { self.lease / 2 };
                self.tend_at = now.checked_add(wait).unwrap_or(now);
            }
            Err(error) => self.failed(now, &error),
        }
        true
    }

    /// Waits for hints that there is something to claim.
    fn listen(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(reply) = &mut self.waking else {
            let wanting = self.channels.iter().filter(|inlet| inlet.room > 0);
            let names: Vec<_> = wanting.map(|inlet| inlet.name.clone()).collect();
            if names.is_empty() || self.wake_at.is_some_and(|at| now < at) {
                return false;
            }
            self.waking = Some(self.store.wake(names));
            return true;
        };
        let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return false };
        self.waking = None;
        if let Ok(Wake::Maybe) = answer {
            self.wake_at = None;
            self.channels.iter_mut().for_each(|inlet| inlet.ask_at = inlet.ask_at.min(now));
        } else {
            // It polls meanwhile.
            self.wake_at = now.checked_add(self.poll);
        }
        true
    }

    /// The queue is closed: gives back what is left. If that goes on failing, the leases expire, and nothing is left to be
    /// told.
    fn close(&mut self, now: Instant, since: Duration, cx: &mut Context<'_>) -> bool {
        let is_late = since >= self.lease;
        match &mut self.closing {
            Closing::Open => {
                let is_asking = self.channels.iter().any(|inlet| inlet.asked.is_some());
                if (!self.writing.is_over() || is_asking) && !is_late {
                    return false;
                }
                let rest = self.hand.rest();
                self.closing = if rest.is_empty() { Closing::Over } else { Closing::HandingBack(rest, None) };
            }
            Closing::HandingBack(_, _) if is_late => self.closing = Closing::Over,
            Closing::HandingBack(rest, reply @ None) => {
                if self.retry_at.is_some_and(|at| at > now) {
                    return false;
                }
                let hand_back =
                    |token: &ClaimToken| Settlement { token: *token, transition: Transition::HandBack };
                *reply = Some(self.store.settle(rest.iter().map(hand_back).collect()));
            }
            Closing::HandingBack(_, answer @ Some(_)) => {
                let Some(reply) = answer else { return false };
                let Poll::Ready(answered) = Pin::new(reply).poll(cx) else { return false };
                *answer = None;
                match answered {
                    Ok(_) => self.closing = Closing::Over,
                    Err(error) => self.failed(now, &error),
                }
            }
            Closing::Over => return false,
        }
        true
    }

    /// Whether it could start something.
    fn wants(&self) -> bool {
        self.channels.iter().any(|inlet| inlet.room > 0)
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

    /// When there is something to do although nothing happens.
    fn due(&self) -> Option<Instant> {
        let mut due: Option<Instant> = None;
        let mut at = |instant: Instant| due = Some(due.map_or(instant, |known| known.min(instant)));
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

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder")
            .field("store", &self.store)
            .field("hand", &self.hand)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
