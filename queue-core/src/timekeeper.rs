//! The task that sees to what is due: delayed jobs, retries, timeouts.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::engine::{Attendance, Core};
use crate::runtime::Runtime;

/// Sleeps until the earliest deadline of the queue, tends to what is due, and sleeps again. It wakes for nothing else.
///
/// [`Queue::start`](crate::Queue::start) spawns one beside the workers; each adapter's `Spawner` must take it.
#[must_use = "futures do nothing unless polled"]
pub struct Timekeeper<R: Runtime> {
    core: Arc<Core>,
    runtime: R,
    number: u64,
    sleep: Option<Sleep<R>>,
}

struct Sleep<R: Runtime> {
    until: Instant,
    future: Pin<Box<R::Sleep>>,
}

/// Runtimes differ in how far ahead their timers reach; looking up once a month costs nothing.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_hours(30 * 24);

impl<R: Runtime> Timekeeper<R> {
    pub(crate) fn new(core: Arc<Core>, runtime: R, number: u64) -> Self {
        Self { core, runtime, number, sleep: None }
    }

    /// Whether the sleep until `until` is over; makes a new one when the deadline has changed.
    fn poll_sleep(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.as_ref().is_none_or(|sleep| sleep.until != until) {
            self.sleep = Some(Sleep { until, future: Box::pin(self.runtime.sleep_until(until)) });
        }
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        sleep.future.as_mut().poll(cx)
    }
}

impl<R: Runtime> Future for Timekeeper<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let now = this.runtime.now();
        let attendance = this.core.board.attend(this.number, now, cx.waker());
        // Asked after the waker was left with the board: whoever closes the queue from now on wakes it.
        if this.core.closing.is_closed() {
            return Poll::Ready(());
        }
        match attendance {
            Attendance::Sleep(None) => {
                this.sleep = None;
                return Poll::Pending;
            }
            Attendance::Tend(channels) => {
                for channel in channels {
                    this.core.channel(channel).tend(&this.core, now);
                }
            }
            Attendance::Sleep(Some(due)) => {
                let until = due.min(now.checked_add(LONGEST_SLEEP).unwrap_or(due));
                if this.poll_sleep(until, cx).is_pending() {
                    return Poll::Pending;
                }
                // A sleep that is over proves nothing; the clock decides.
                this.sleep = None;
            }
        }
        // Let others run before looking again: a million jobs may be due at once.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Boxed, the sleep may be pinned wherever the timekeeper moves.
impl<R: Runtime> Unpin for Timekeeper<R> {}

impl<R: Runtime> Drop for Timekeeper<R> {
    fn drop(&mut self) {
        self.core.board.resign(self.number);
    }
}

impl<R: Runtime> fmt::Debug for Timekeeper<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = self.sleep.as_ref().map(|sleep| sleep.until);
        f.debug_struct("Timekeeper").field("sleeps_until", &until).finish_non_exhaustive()
    }
}
