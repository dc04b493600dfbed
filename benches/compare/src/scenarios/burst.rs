//! Many jobs at once from one task, on all contenders.

use std::time::Duration;

use super::{Contender, NANOS_PER_JOB, Scenario};
use crate::Settings;
use crate::contenders::{apalis, channels, ours, spawn, tako};
use crate::measure::per_job;
use crate::work::{Burst, Void};

type Run = fn(Burst) -> Result<Duration, Void>;

pub(super) fn json(settings: Settings) -> Scenario {
    let burst = Burst::json(settings.jobs(200_000));
    let about =
        format!("{} jobs pushed by one task; each decodes its JSON payload and is counted", burst.jobs);
    scenario("burst-json", about, burst, settings)
}

pub(super) fn unit(settings: Settings) -> Scenario {
    let burst = Burst::unit(settings.jobs(200_000));
    let about = format!("{} jobs pushed by one task; nothing to decode", burst.jobs);
    scenario("burst-unit", about, burst, settings)
}

pub(super) fn window(settings: Settings) -> Scenario {
    let burst = Burst { window: Some(512), ..Burst::json(settings.jobs(200_000)) };
    let about = format!("{} jobs with JSON, the pusher waits while 512 are under way", burst.jobs);
    let mut scenario = scenario("window-512", about, burst, settings);
    // It never is behind its pusher.
    scenario.contenders.retain(|contender| contender.name != "inline loop, no queue");
    scenario
}

fn scenario(name: &'static str, about: String, burst: Burst, settings: Settings) -> Scenario {
    let contenders: [(&'static str, Run); 16] = [
        ("queue, tokio", ours::tokio),
        ("queue, tokio 1 thread", ours::tokio_one),
        ("queue, smol", ours::smol),
        ("queue, compio 1 thread", ours::compio_one),
        ("queue, compio 2 threads", ours::compio_two),
        ("tako-rs queue", tako::burst),
        ("apalis memory", apalis::plain),
        ("apalis memory, parallelized", apalis::parallel),
        ("tokio::spawn a job", spawn::tokio_threads),
        ("tokio mpsc, 1 worker", channels::tokio_mpsc),
        ("async-channel", channels::async_channel),
        ("flume", channels::flume),
        ("kanal", channels::kanal),
        ("smol spawn a job", spawn::smol_threads),
        ("compio spawn a job, 1 thread", spawn::compio_one),
        ("inline loop, no queue", spawn::inline),
    ];
    let contenders = contenders
        .into_iter()
        .map(|(name, run)| Contender::new(name, move || Ok(vec![per_job(run(burst)?, burst.jobs)])));
    Scenario {
        name,
        about,
        metrics: &[NANOS_PER_JOB],
        contenders: contenders.collect(),
        repetitions: settings.repetitions(11),
    }
}
