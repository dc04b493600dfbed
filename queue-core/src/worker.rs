//! The worker loop: claim, run, settle. The only one there is, on every runtime.
//!
//! ```text
//!          ┌───────────────── turn: settle the last, claim the next ────────────────┐
//!          ▼                                                                        │
//!   ┌── claimed? ── no ──▶ idle: woken by a push, a release, a shutdown ────────────┤
//!   │      │                                                                        │
//!   │     yes ──▶ call the handler ──▶ poll its future ── ready ──▶ verdict ────────┤
//!   │                                     │      ▲                                  │
//!   │                                  pending   │ woken by the future, or by a signal: time is up, stop
//!   └─ shut down: leave                   └──────┘
//! ```
//!
//! It is a hand-written, named future, so that adapters can name what they spawn and so that whether it is `Send` follows
//! from the handler futures it holds. Everything of the user's (call, poll, drop, error formatting, custom policy) runs
//! inside `catch_unwind`, under no lock.

mod places;

use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use places::Places;

use crate::current::{self, Polling};
use crate::dead::DeadReason;
use crate::engine::{Batch, Channel, Core, Ending, PayloadReceipt, Seat, Turn};
use crate::handler::{HandlerResult, Handlers, Place, Snapshot, drop_snapshot};
use crate::job::{Job, Name, Overrides};
use crate::journal::{StoreError, StoreFault};
use crate::outcome::{AttemptTimedOut, Outcome};
use crate::progress::{BATCH, Signal};
use crate::registry::Kind;
use crate::runtime::Runtime;
use crate::store::{Failure, Lease, Settle, When};
use crate::trace::Span;
use crate::unwind::{catch, drop_quietly};
use crate::verdict::judge;

/// One worker: runs the jobs of one named queue, one at a time, until the queue is shut down.
///
/// [`Queue::start`](crate::Queue::start) spawns as many as configured; each adapter's `Spawner` must take it. It is `Send`
/// if and only if the futures of the runtime's [`Mode`](crate::Mode) are.
///
/// # Cancel safety
///
/// Dropping a worker drops the handler future it is polling and puts that job back at the front of its queue, with the
/// same attempt number.
#[must_use = "futures do nothing unless polled"]
pub struct Worker<R: Runtime> {
    core: Arc<Core>,
    channel: usize,
    seat: Seat,
    handlers: Arc<Handlers<R::Mode>>,
    table: Snapshot<R::Mode>,
    version: Option<u64>,
    places: Places<R::Mode>,
    random: fastrand::Rng,
    batch: Batch,
    /// A claimed job whose payload is not here yet.
    loading: Option<PayloadReceipt>,
    /// The job whose handler waits in the first place.
    running: Option<Running>,
}

/// A claimed job, apart from the future of its handler.
struct Running {
    lease: Lease,
    kind: Kind,
    overrides: Option<Box<Overrides>>,
    timeout: Option<Duration>,
    /// When the time is up, until that is made known.
    deadline: Option<Instant>,
    span: Span,
}

impl<R: Runtime> Worker<R> {
    pub(crate) fn new(core: Arc<Core>, handlers: Arc<Handlers<R::Mode>>, channel: usize, seat: Seat) -> Self {
        let number = (channel as u64) << 32 | u64::from(seat.worker);
        let random = fastrand::Rng::with_seed(core.seed ^ number.rotate_left(17));
        Self {
            core,
            channel,
            seat,
            handlers,
            table: Snapshot::<R::Mode>::default(),
            version: None,
            places: Places::new(),
            random,
            batch: Batch::new(),
            loading: None,
            running: None,
        }
    }

    fn channel(&self) -> &Channel {
        self.core.channel(self.channel)
    }

    /// Starts the next claimed job.
    fn start(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(claim) = self.batch.advance() else { return Poll::Ready(None) };
        if !claim.payload.is_absent() {
            return self.call(None, cx);
        }
        self.loading = self.core.load(claim.lease.id);
        self.poll_loading(cx)
    }

    /// Waits for the payload of the claimed job.
    fn poll_loading(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(receipt) = &self.loading else { return Poll::Ready(None) };
        self.batch.has_waited = true;
        self.seat.slot.watch(cx.waker());
        if self.seat.slot.progress.has(Signal::Stop) {
            self.batch.let_go();
            return Poll::Ready(self.loading.take().map(|_| Ending::HandBack));
        }
        let loaded = ready!(receipt.poll(cx));
        if let Ok(payload) = &loaded {
            let claim = self.batch.current();
            self.core.channel(self.channel).provide(&self.core, claim.lease, payload.clone());
            claim.payload.clone_from(payload);
        }
        self.loading = None;
        self.call(loaded.err(), cx)
    }

    /// Calls the handler of a claimed job and polls its future for the first time. If its payload could not be loaded, the
    /// attempt is put off, and if there is none it has failed.
    fn call(&mut self, unreadable: Option<StoreError>, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        self.refresh_table();
        let claim = self.batch.current();
        let (lease, kind, priority) = (claim.lease, claim.kind, claim.priority);
        let extras = claim.extras.take();
        let (name, overrides) = extras.map(|extras| (extras.name, extras.overrides)).unwrap_or_default();
        // It was not registered when the job was pushed; it may be now.
        let kind = name.as_ref().map_or(kind, |name| self.core.find_kind(name).0);
        let Some(handler) = self.table.get(kind.index() as usize).and_then(Option::as_ref) else {
            self.batch.let_go();
            let name = name.or_else(|| self.core.kind_name(kind)).unwrap_or_else(|| "".into());
            return Poll::Ready(Some(self.no_handler(name)));
        };
        self.places.bring(kind, handler, || self.core.channel(self.channel).config().timeout);
        let timeout = overrides.as_ref().and_then(|overrides| overrides.timeout).or(self.places.timeout);
        let deadline = timeout.and_then(|timeout| self.core.now().checked_add(timeout));
        // Neither it nor its answer is moved on the way: see "what was just put together" in ARCHITECTURE.md. 8 ns of 78.
        let context = self.seat.slot.attempt();
        let job = &mut Some(Job {
            name: self.places.name.clone(),
            attempt: lease.attempt,
            id: lease.id,
            priority,
            payload: self.batch.current().payload.take(),
            context,
        });
        let span = Span::of(job.as_ref());
        if let Some(error) = unreadable {
            if error.fault() != StoreFault::Corrupt {
                return Poll::Ready(Some(self.put_off(&error)));
            }
            let running = Running { lease, kind, overrides, timeout, deadline, span };
            return Poll::Ready(Some(self.judge(running, Err(error.into()))));
        }
        current::enter(&self.core, lease.id);
        // What is taken out of it is dropped there: to look again for something to drop was 22 instructions.
        let answer = &mut *ManuallyDrop::new(Poll::Pending);
        span.in_scope(|| first_poll(self.places.first(), &handler.function, job, cx, answer));
        if let (Poll::Ready(Ok(Outcome::Done)), None) = (&*answer, &overrides) {
            current::leave();
            return Poll::Ready(Some(Ending::Done));
        }
        let running = Running { lease, kind, overrides, timeout, deadline, span };
        match std::mem::replace(answer, Poll::Pending) {
            Poll::Ready(result) => Poll::Ready(Some(self.judge(running, result))),
            Poll::Pending => {
                self.running = Some(running);
                self.wait(cx)
            }
        }
    }

    /// Polls the handler's future again.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(running) = &mut self.running else { return self.poll_loading(cx) };
        current::enter(&self.core, running.lease.id);
        let mut answer = Poll::Pending;
        let polled = running.span.in_scope(|| catch(|| self.places.first().poll(cx, &mut answer)));
        match (polled, answer) {
            (Ok(()), Poll::Ready(result)) => Poll::Ready(self.end(result)),
            (Err(panicked), _) => Poll::Ready(self.end(Err(panicked.into()))),
            (Ok(()), Poll::Pending) => self.wait(cx),
        }
    }

    /// The running job has to wait: lets go of what else there is in hand, and looks at the signals.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ending>> {
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        // Not before the first poll: most handlers are done in it, and a timekeeper that is woken by a thread which then
        // goes on computing may have to wait for that thread.
        let deadline = running.deadline.take();
        self.batch.has_waited = true;
        if deadline.is_some() || self.batch.is_long() {
            self.core.channel(self.channel).wait(&self.core, &self.seat, deadline, &mut self.batch);
        }
        self.seat.slot.watch(cx.waker());
        if self.seat.slot.progress.has(Signal::TimedOut) {
            let after = running.timeout.unwrap_or_default();
            Poll::Ready(self.end(Err(AttemptTimedOut { after }.into())))
        } else if self.seat.slot.progress.has(Signal::Stop) {
            self.drop_future();
            current::leave();
            Poll::Ready(self.running.take().map(|_| Ending::HandBack))
        } else {
            Poll::Pending
        }
    }

    fn drop_future(&mut self) {
        if let Some(running) = &self.running {
            current::enter(&self.core, running.lease.id);
            running.span.in_scope(|| clear(self.places.first()));
        }
    }

    /// The running job's handler has answered.
    fn end(&mut self, result: HandlerResult) -> Option<Ending> {
        self.drop_future();
        let running = self.running.take()?;
        Some(self.judge(running, result))
    }

    fn judge(&mut self, running: Running, result: HandlerResult) -> Ending {
        current::leave();
        let Running { lease, kind, overrides, span, .. } = running;
        if let (Ok(Outcome::Done), None) = (&result, &overrides) {
            return Ending::Done;
        }
        let cancelled = self.seat.slot.progress.has(Signal::Cancel);
        let own = overrides.as_ref().and_then(|overrides| overrides.retry.as_ref());
        let handler = self.table.get(kind.index() as usize).and_then(Option::as_ref);
        let policy = own
            .or_else(|| handler.and_then(|handler| handler.retry.as_ref()))
            .unwrap_or(&self.core.channel(self.channel).config().retry);
        let random = &mut self.random;
        let verdict = judge(result, lease.attempt, policy, cancelled, &mut || random.u64(..));
        if let Some(error) = verdict.error() {
            span.failed(error);
        }
        let delay = verdict.delay();
        let name = handler.map_or_else(|| "".into(), |handler| handler.name.clone());
        let settle = verdict.into_settle(name, &self.core);
        if overrides.is_some() {
            drop_quietly(overrides);
        }
        Ending::new(settle, delay)
    }

    /// A store that cannot be read now must not use up the attempts of its jobs.
    fn put_off(&self, error: &StoreError) -> Ending {
        current::leave();
        self.core.store_failed(error);
        Ending::new(Settle::Snooze { when: When::after(PUT_OFF, || self.core.now()) }, PUT_OFF)
    }

    fn no_handler(&self, name: Name) -> Ending {
        let error = format!("no handler is registered for {name:?}");
        let failure = Box::new(Failure { error, at: self.core.wall() });
        let settle = Settle::Bury { name, reason: DeadReason::NoHandler, failure };
        Ending::new(settle, Duration::ZERO)
    }

    /// Goes on to the next job of the batch, after one that was done. False: there is none.
    fn advance(&mut self) -> bool {
        while !self.batch.is_empty() {
            if self.seat.slot.advance() {
                return true;
            }
            // Somebody cancelled it, or runs it instead.
            self.batch.skip();
        }
        false
    }

    #[inline]
    fn refresh_table(&mut self) {
        let version = self.handlers.version();
        if self.version != Some(version) {
            self.replace_table(version);
        }
    }

    #[cold]
    fn replace_table(&mut self, version: u64) {
        self.places.forget_kind();
        drop_snapshot(std::mem::replace(&mut self.table, self.handlers.snapshot()));
        self.version = Some(version);
    }
}

/// Calls a handler and polls its future, which stays in its place if it has to wait. All of it is under one catch: that, and
/// what would be moved between several, is a good part of what an empty job costs.
fn first_poll<P>(
    mut place: Pin<&mut P>,
    handler: &dyn Any,
    job: &mut Option<Job>,
    cx: &mut Context<'_>,
    answer: &mut Poll<HandlerResult>,
) where
    P: Place + ?Sized,
{
    if let Err(panicked) = catch(|| place.as_mut().start(handler, job, cx, answer)) {
        // If it has answered, what panicked is the drop of its future.
        if answer.is_pending() {
            clear(place);
            *answer = Poll::Ready(Err(panicked.into()));
        }
    }
}

/// Drops the future of a handler.
fn clear(place: Pin<&mut (impl Place + ?Sized)>) {
    // What a drop panics with is of no use to anybody.
    let _ = catch(|| place.clear());
}

impl<R: Runtime> Future for Worker<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let _polling = Polling::begin(&this.seat.slot);
        let mut ending = ready!(this.poll_running(cx));
        let mut slice = Slice::begin((!this.batch.is_quick).then(|| this.core.now()));
        loop {
            if !(matches!(ending, Some(Ending::Done)) && this.advance()) {
                let channel = this.core.channel(this.channel);
                let now = || this.core.now();
                if let Some(over) = ending.take_if(|ending| slice.is_over(ending, &mut this.batch, now())) {
                    channel.finish(&this.core, &this.seat, over, &mut this.batch);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match channel.turn(&this.core, &this.seat, ending, &mut this.batch, cx.waker()) {
                    Turn::Run => {}
                    Turn::Idle => return Poll::Pending,
                    Turn::Stop => return Poll::Ready(()),
                }
            }
            ending = ready!(this.start(cx));
        }
    }
}

/// Handler futures are boxed; nothing here is pinned in place.
impl<R: Runtime> Unpin for Worker<R> {}

impl<R: Runtime> Drop for Worker<R> {
    fn drop(&mut self) {
        let _polling = Polling::begin(&self.seat.slot);
        self.drop_future();
        current::leave();
        if self.loading.is_some() {
            self.batch.let_go();
        }
        drop_snapshot(std::mem::take(&mut self.table));
        self.core.channel(self.channel).leave(&self.core, &self.seat, &mut self.batch);
    }
}

impl<R: Runtime> fmt::Debug for Worker<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queue", self.channel().name())
            .field("running", &self.running.as_ref().map(|running| running.lease.id))
            .finish_non_exhaustive()
    }
}

/// How much later a job runs whose payload could not be read.
const PUT_OFF: Duration = Duration::from_secs(1);

/// How long a worker may go on without giving its thread back: handlers that never wait would starve other tasks.
const SLICE: Duration = Duration::from_micros(20);

/// And how many batches it may run meanwhile: more than fit into the time, for a clock that stands still.
const SLICE_BATCHES: u32 = 64;

/// A batch may take this long: as long as a job that is more urgent may have to wait for it, and jobs behind a slow one
/// for a worker that takes them over.
const BATCH_TIME: Duration = Duration::from_micros(10);

/// The time since a worker was polled, and since it last looked at the clock.
struct Slice {
    since: Option<(Instant, Instant)>,
    batches: u32,
}

impl Slice {
    /// `None`: what the worker did last was quick, so what it does first now most likely is. Then the time counts from the end
    /// of that: two readings were a twentieth of what it takes to wake a worker for a job.
    fn begin(now: Option<Instant>) -> Self {
        Self { since: now.map(|now| (now, now)), batches: 0 }
    }

    /// Looks at the clock after a batch: sees whether the slice is over, and how large the next batch may be.
    fn is_over(&mut self, ending: &Ending, batch: &mut Batch, now: Instant) -> bool {
        let took = self.since.map(|(_, looked)| now.saturating_duration_since(looked));
        let has_waited = std::mem::take(&mut batch.has_waited);
        batch.is_quick =
            matches!(ending, Ending::Done) && !has_waited && took.is_none_or(|took| took <= BATCH_TIME);
        batch.appetite = match took {
            _ if !batch.is_quick => 1,
            Some(took) if took <= BATCH_TIME / 2 => BATCH.min(batch.appetite * 2),
            _ => batch.appetite,
        };
        let begun = self.since.map_or(now, |(begun, _)| begun);
        self.since = Some((begun, now));
        self.batches += 1;
        self.batches >= SLICE_BATCHES || now.saturating_duration_since(begun) >= SLICE
    }
}
