//! Many delayed jobs that become due one after another.

use std::time::{Duration, Instant};

use tako::queue::{Job as TakoJob, Queue as TakoQueue};

use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::contenders::ours::{OnTokio, mail};
use crate::contenders::tokio_on;
use crate::measure::{cpu_time, now, per_job};
use crate::work::{Burst, Tally, Void};

/// Pushing must be over when the first one is due, for everybody.
const LEAD: Duration = Duration::from_secs(3);
const SPAN: Duration = Duration::from_secs(2);

pub(super) fn scenario(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000_000);
    Scenario {
        name: "delayed",
        about: format!(
            "{jobs} jobs pushed in no order that become due within 2 s; CPU of all threads, pushes included"
        ),
        metrics: &[
            Metric { name: "CPU per job", unit: "ns" },
            Metric { name: "CPU per job after the pushes", unit: "ns" },
            Metric { name: "last done after the last deadline", unit: "ms" },
        ],
        contenders: vec![
            Contender::new("queue, tokio", move || ours(jobs)),
            Contender::new("tako-rs queue", move || tako(jobs)),
        ],
        repetitions: settings.repetitions(3),
    }
}

fn ours(jobs: u64) -> Result<Vec<f64>, Void> {
    let burst = Burst::unit(jobs);
    let ours = OnTokio::new(|builder| builder.capacity(2_000_000));
    let tally = Tally::new(burst);
    let counter = tally.clone();
    ours.queue.register("mail", move |job| mail(job, counter.clone(), burst));
    ours.queue.start();
    let queue = ours.queue.handle();
    let figures = measure(&tally, jobs, |delay| {
        queue.push_delayed("mail", &1, delay).try_push().expect("there is room");
    });
    ours.stop();
    tally.check()?;
    figures
}

fn tako(jobs: u64) -> Result<Vec<f64>, Void> {
    let burst = Burst::unit(jobs);
    let runtime = tokio_on(2);
    let queue = TakoQueue::builder().workers(4).build();
    let tally = Tally::new(burst);
    let counter = tally.clone();
    queue.register("mail", move |_: TakoJob| {
        let counter = counter.clone();
        async move {
            counter.count(0);
            Ok(())
        }
    });
    runtime.block_on(async { queue.start() });
    let figures = measure(&tally, jobs, |delay| {
        let pushed = futures_util::FutureExt::now_or_never(queue.push_delayed("mail", &1, delay));
        pushed.expect("a push is ready at once").expect("there is room");
    });
    drop(queue);
    drop(runtime);
    tally.check()?;
    figures
}

fn measure(tally: &Tally, jobs: u64, mut push: impl FnMut(Duration)) -> Result<Vec<f64>, Void> {
    let (started, cpu) = (now(), cpu_time());
    let first = started + LEAD;
    // A number without a common factor walks through all of them.
    let due = |n: u64| {
        first + SPAN.mul_f64(crate::measure::float(n * 611_953 % jobs) / crate::measure::float(jobs))
    };
    for n in 0..jobs {
        push(due(n).saturating_duration_since(now()));
    }
    if now() > first {
        return Err(Void("the pushes took longer than the lead".into()));
    }
    let pushed = cpu_time();
    tally.wait();
    let (done, used) = (now(), cpu_time());
    let last: Instant = first + SPAN;
    let late = done.saturating_duration_since(last).as_secs_f64() * 1e3;
    Ok(vec![per_job(used.saturating_sub(cpu), jobs), per_job(used.saturating_sub(pushed), jobs), late])
}
