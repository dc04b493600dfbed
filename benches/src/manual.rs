//! A runtime on one thread whose clock stands still, so that the same work takes the same path every time.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use queue_core::{Runtime, SendMode, Spawner, Timer};

/// Runs what is spawned when it is told to, on the calling thread; time passes when it is told to.
#[derive(Clone)]
pub struct Manual(Arc<Mutex<State>>);

struct State {
    now: Instant,
    wall: SystemTime,
    sleepers: Vec<Waker>,
    spawned: Vec<Task>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Woken>,
    waker: Waker,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Manual {
    /// A clock that stands still, and nothing to run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "time starts somewhere")]
    pub fn new() -> Self {
        let (now, wall) = (Instant::now(), SystemTime::now());
        Self(Arc::new(Mutex::new(State { now, wall, sleepers: Vec::new(), spawned: Vec::new() })))
    }

    /// Runs tasks until all of them wait.
    pub fn run(&self) {
        let mut tasks = std::mem::take(&mut self.state().spawned);
        while let Some(at) = tasks.iter().position(|task| task.woken.0.swap(false, Ordering::Relaxed)) {
            let Task { future, waker, .. } = &mut tasks[at];
            if future.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                drop(tasks.swap_remove(at));
            }
        }
        self.state().spawned.append(&mut tasks);
    }

    /// Lets time pass and wakes who sleeps; [`run`](Self::run) does the rest.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state();
        state.now += time;
        state.wall += time;
        let sleepers = std::mem::take(&mut state.sleepers);
        drop(state);
        sleepers.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Manual {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manual").field("now", &self.state().now).finish_non_exhaustive()
    }
}

impl Timer for Manual {
    type Sleep = Sleep;

    fn now(&self) -> Instant {
        self.state().now
    }

    fn wall(&self) -> SystemTime {
        self.state().wall
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { clock: self.clone(), deadline }
    }
}

/// Waits until the clock was moved far enough.
#[derive(Debug)]
pub struct Sleep {
    clock: Manual,
    deadline: Instant,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        state.sleepers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl<F: Future<Output = ()> + Send + 'static> Spawner<F> for Manual {
    fn spawn(&self, future: F) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        self.state().spawned.push(Task { future: Box::pin(future), woken, waker });
    }
}

impl Runtime for Manual {
    type Mode = SendMode;
}
