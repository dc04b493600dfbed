//! For scenarios that leave nothing to a runtime: futures polled by hand, their wake-ups counted, and a clock that the
//! scenario sets.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use queue_core::{Job, NewJob, Runtime, SendFuture, SendMode, Timer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Log, handler};

/// A future that is polled by hand.
pub(super) struct ByHand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<'a, T> ByHand<'a, T> {
    pub(super) fn new(future: impl IntoFuture<Output = T, IntoFuture: 'a>) -> Self {
        Self { future: Box::pin(future.into_future()), wakes: Arc::default() }
    }

    /// Polls once, and counts wake-ups anew.
    pub(super) fn poll(&mut self) -> Poll<T> {
        self.wakes.0.store(0, Ordering::SeqCst);
        let waker = Waker::from(self.wakes.clone());
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls once, and wants that to be enough.
    #[track_caller]
    pub(super) fn ready(&mut self) -> T {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the future is still pending"),
        }
    }

    /// How often it was woken since it was polled last.
    pub(super) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::SeqCst)
    }

    /// Polls as long as it is woken, and says how often that was.
    ///
    /// # Panics
    ///
    /// When it wakes itself without end.
    #[track_caller]
    pub(super) fn settle(&mut self) -> usize {
        for polls in 1..10_000 {
            if self.poll().is_ready() || self.wakes() == 0 {
                return polls;
            }
        }
        panic!("it keeps waking itself");
    }
}

/// Awaited in the end, it is the future again.
impl<T> Future for ByHand<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.future.as_mut().poll(cx)
    }
}

/// A runtime without tasks whose clock stands still until it is told. Queues on it are run with `Queue::run`, by hand.
#[derive(Clone, Debug)]
pub(super) struct HandClock(Arc<ClockState>);

#[derive(Debug)]
struct ClockState {
    time: Mutex<Time>,
    reads: AtomicUsize,
    sleeps: AtomicUsize,
}

#[derive(Debug)]
struct Time {
    now: Instant,
    /// Sleeps made before this number end at once, whatever the clock says.
    roused: usize,
    sleepers: Vec<(Instant, Waker)>,
}

impl HandClock {
    /// A clock that shows `now`.
    pub(super) fn at(now: Instant) -> Self {
        let time = Time { now, roused: 0, sleepers: Vec::new() };
        Self(Arc::new(ClockState {
            time: Mutex::new(time),
            reads: AtomicUsize::new(0),
            sleeps: AtomicUsize::new(0),
        }))
    }

    /// Sets the clock, forwards or back, and wakes who has slept long enough.
    pub(super) fn set(&self, now: Instant) {
        let mut time = self.0.time.lock();
        time.now = now;
        let (due, asleep) =
            std::mem::take(&mut time.sleepers).into_iter().partition(|(until, _)| *until <= now);
        time.sleepers = asleep;
        drop(time);
        wake_all(due);
    }

    pub(super) fn advance(&self, by: Duration) {
        let now = self.0.time.lock().now;
        self.set(now + by);
    }

    /// Ends every sleep, though the clock has not moved.
    pub(super) fn rouse(&self) {
        let mut time = self.0.time.lock();
        time.roused = self.sleeps();
        let sleepers = std::mem::take(&mut time.sleepers);
        drop(time);
        wake_all(sleepers);
    }

    /// How often the clock was read.
    pub(super) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// How many sleeps were made.
    pub(super) fn sleeps(&self) -> usize {
        self.0.sleeps.load(Ordering::SeqCst)
    }
}

fn wake_all(sleepers: Vec<(Instant, Waker)>) {
    for (_, waker) in sleepers {
        waker.wake();
    }
}

impl Timer for HandClock {
    type Sleep = HandSleep;

    fn now(&self) -> Instant {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        self.0.time.lock().now
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, deadline: Instant) -> HandSleep {
        let number = self.0.sleeps.fetch_add(1, Ordering::SeqCst);
        HandSleep { clock: self.0.clone(), deadline, number }
    }
}

impl Runtime for HandClock {
    type Mode = SendMode;
}

/// A sleep on a [`HandClock`].
pub(super) struct HandSleep {
    clock: Arc<ClockState>,
    deadline: Instant,
    number: usize,
}

impl Future for HandSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.time.lock();
        if self.deadline <= time.now || self.number < time.roused {
            return Poll::Ready(());
        }
        time.sleepers.push((self.deadline, cx.waker().clone()));
        Poll::Pending
    }
}

/// A handler that notes down the payload.
pub(super) fn note<T>(log: &Log<T>) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static
where
    T: Clone + DeserializeOwned + Send + 'static,
{
    let log = log.clone();
    handler(move |job: Job| {
        let log = log.clone();
        async move {
            log.add(job.deserialize()?);
            Ok(())
        }
    })
}

/// Jobs of one kind with these payloads.
pub(super) fn jobs<T: Serialize>(kind: &str, payloads: impl IntoIterator<Item = T>) -> Vec<NewJob> {
    payloads.into_iter().map(|payload| NewJob::json(kind, &payload).expect("the payload is JSON")).collect()
}

/// Lets everyone else run once.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
