//! What a queue costs that has nothing to do yet.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use queue_core::{NewJob, Spawner};
use tokio::runtime::Handle;

use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::contenders::ours::OnTokio;
use crate::contenders::tokio_on;
use crate::measure::{cpu_time, float, now, sleep_until, sleeps};
use crate::work::Void;

pub(super) fn scenario(settings: Settings) -> Scenario {
    let idle = Duration::from_millis(settings.jobs(5_000));
    Scenario {
        name: "idle",
        about: format!(
            "{idle:?} with 10,000 jobs pending that are due in hours; the second row is the process itself"
        ),
        metrics: &[
            Metric { name: "polls of workers", unit: "" },
            Metric { name: "wake-ups of threads", unit: "" },
            Metric { name: "CPU", unit: "ms" },
        ],
        contenders: vec![
            Contender::new("queue, tokio", move || ours(idle)),
            Contender::new("tokio, nothing else", move || {
                let runtime = tokio_on(2);
                let figures = measure(idle, &AtomicU64::new(0));
                drop(runtime);
                Ok(figures)
            }),
        ],
        repetitions: settings.repetitions(2),
    }
}

fn ours(idle: Duration) -> Result<Vec<f64>, Void> {
    let ours = OnTokio::new(|builder| builder);
    ours.queue.register("mail", |_| async { Ok(()) });
    let polls = Arc::<AtomicU64>::default();
    ours.queue.start_on(&Counting { runtime: ours.runtime.handle().clone(), polls: polls.clone() });
    for n in 0..10_000 {
        let delay = Duration::from_hours(2) + Duration::from_secs(n);
        ours.queue.push_job(NewJob::raw("mail", "1").delay(delay)).try_push().expect("there is room");
    }
    let figures = measure(idle, &polls);
    let pending = ours.queue.pending_count();
    ours.stop();
    if pending == 10_000 { Ok(figures) } else { Err(Void(format!("{pending} of 10000 jobs wait"))) }
}

fn measure(idle: Duration, polls: &AtomicU64) -> Vec<f64> {
    // What the start left to do.
    sleep_until(now() + Duration::from_millis(300));
    let before = (polls.load(Ordering::Relaxed), sleeps(), cpu_time());
    sleep_until(now() + idle);
    let after = (polls.load(Ordering::Relaxed), sleeps(), cpu_time());
    // This thread went to sleep once, too.
    let wakeups = (after.1 - before.1).saturating_sub(1);
    vec![float(after.0 - before.0), float(wakeups), after.2.saturating_sub(before.2).as_secs_f64() * 1e3]
}

/// Counts how often what it spawned is polled.
#[derive(Debug)]
struct Counting {
    runtime: Handle,
    polls: Arc<AtomicU64>,
}

impl<F: Future<Output = ()> + Send + Unpin + 'static> Spawner<F> for Counting {
    fn spawn(&self, future: F) {
        drop(self.runtime.spawn(Counted { future, polls: self.polls.clone() }));
    }
}

struct Counted<F> {
    future: F,
    polls: Arc<AtomicU64>,
}

impl<F: Future<Output = ()> + Unpin> Future for Counted<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.future).poll(cx)
    }
}
