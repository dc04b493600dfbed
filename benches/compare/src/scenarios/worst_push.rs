//! The longest that a single push takes while jobs pile up.

use std::time::Duration;

use tako::queue::Queue as TakoQueue;

use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::contenders::ours::OnTokio;
use crate::measure::{nanos, thread_cpu_time, timed};
use crate::work::{Mail, Void};

pub(super) fn scenario(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000_000);
    Scenario {
        name: "worst-push",
        about: format!("the slowest of {jobs} pushes from one thread, while nobody takes them out"),
        metrics: &[
            Metric { name: "CPU of the worst push", unit: "us" },
            Metric { name: "time of the worst push", unit: "us" },
        ],
        contenders: vec![
            Contender::new("queue, tokio", move || {
                let ours = OnTokio::new(|builder| builder);
                let worst = worst(jobs, |mail| {
                    ours.queue.try_push("mail", mail).expect("there is room");
                });
                held(ours.queue.pending_count(), jobs)?;
                Ok(worst)
            }),
            Contender::new("tako-rs queue", move || {
                let queue = TakoQueue::builder().workers(4).build();
                let worst = worst(jobs, |mail| {
                    let pushed = futures_util::FutureExt::now_or_never(queue.push("mail", mail));
                    pushed.expect("a push is ready at once").expect("there is room");
                });
                held(queue.pending_count(), jobs)?;
                Ok(worst)
            }),
        ],
        repetitions: settings.repetitions(7),
    }
}

/// The longest by the clock of the thread, then by the clock on the wall, which also shows when the thread had to wait for
/// a core.
fn worst(jobs: u64, mut push: impl FnMut(&Mail)) -> Vec<f64> {
    let (mut worst, mut longest) = (Duration::ZERO, Duration::ZERO);
    for n in 0..jobs {
        let mail = Mail::new(n);
        let before = thread_cpu_time();
        let time = timed(|| push(&mail));
        worst = worst.max(thread_cpu_time().saturating_sub(before));
        longest = longest.max(time);
    }
    vec![nanos(worst) / 1e3, nanos(longest) / 1e3]
}

fn held(pending: usize, jobs: u64) -> Result<(), Void> {
    if pending as u64 == jobs { Ok(()) } else { Err(Void(format!("{pending} of {jobs} jobs wait"))) }
}
