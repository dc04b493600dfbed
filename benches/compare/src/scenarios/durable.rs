//! Jobs on disk: from a push to its acknowledgement, to the end of its job on disk, and over a restart.

use queue_sqlite::Durability;
use tempfile::TempDir;

use super::{Contender, Metric, Scenario};
use crate::Settings;
use crate::builds::Build;
use crate::durable::load::Load;
use crate::durable::{folder, ours, raw_log, where_files_are};
use crate::measure::{nanos, per_job, percentile};
use crate::work::Void;

const FULL: &str = "queue, SQLite, Full";
const NORMAL: &str = "queue, SQLite, Normal";

/// How many jobs each contender is given, so that none takes much longer than the others, and all of them no more than two
/// minutes on a disk that syncs in a fraction of a millisecond.
struct Jobs {
    full: u64,
    normal: u64,
    raw_log: u64,
    effectum: u64,
    apalis: u64,
}

pub(super) fn all(settings: Settings) -> Vec<Scenario> {
    vec![
        end_to_end(
            settings,
            "durable-1",
            (1, 1),
            &Jobs { full: 1_000, normal: 5_000, raw_log: 1_000, effectum: 200, apalis: 50 },
        ),
        end_to_end(
            settings,
            "durable-16",
            (16, 1),
            &Jobs { full: 10_000, normal: 30_000, raw_log: 15_000, effectum: 1_600, apalis: 160 },
        ),
        end_to_end(
            settings,
            "durable-256",
            (256, 1),
            &Jobs { full: 100_000, normal: 100_000, raw_log: 200_000, effectum: 5_120, apalis: 512 },
        ),
        end_to_end(
            settings,
            "durable-bulk",
            (1, 1_000),
            &Jobs { full: 100_000, normal: 100_000, raw_log: 200_000, effectum: 10_000, apalis: 1_000 },
        ),
        push(settings),
        restart(settings),
    ]
}

fn end_to_end(
    settings: Settings,
    name: &'static str,
    (producers, bulk): (u64, u64),
    jobs: &Jobs,
) -> Scenario {
    let load = |jobs| Load { producers, bulk, jobs: settings.jobs(jobs).max(producers * bulk) };
    let ours = |name, jobs, durability| {
        let load = load(jobs);
        let run = move || Ok(vec![per_job(ours::end_to_end(load, durability)?, load.jobs) / 1e3]);
        Contender::new(name, run).set_to(ours::settings(durability))
    };
    let log = load(jobs.raw_log);
    let pushers = match (producers, bulk) {
        (1, 1) => "one task".to_owned(),
        (1, bulk) => format!("one task, {bulk} at a time"),
        _ => format!("{producers} tasks"),
    };
    Scenario {
        name,
        about: format!(
            "64 bytes from a push to the end of its job on disk, pushed by {pushers} that wait for each push; files on {}",
            where_files_are()
        ),
        metrics: &[Metric { name: "time per job", unit: "us" }],
        contenders: vec![
            ours(FULL, jobs.full, Durability::Full),
            ours(NORMAL, jobs.normal, Durability::Normal),
            rival("effectum", "queue-rival-effectum", load(jobs.effectum)),
            rival("apalis-sqlite", "queue-rival-apalis-sqlite", load(jobs.apalis)),
            Contender::new("raw log", move || Ok(vec![per_job(raw_log::end_to_end(log)?, log.jobs) / 1e3]))
                .set_to("a preallocated file, fdatasync of whatever waits"),
        ],
        repetitions: settings.repetitions(3),
    }
}

/// Another queue with a database, in a process of its own, which says what a job took in nanoseconds and what it was set to.
fn rival(name: &'static str, program: &'static str, load: Load) -> Contender {
    let mut build = None;
    let mut contender = Contender::new(name, || Ok(Vec::new()));
    let set_to = contender.set_to.clone();
    contender.run = Box::new(move || {
        let build = build.get_or_insert_with(|| Build::rival(name, program));
        let build = build.as_ref().map_err(|void| Void(void.0.clone()))?;
        let folder = folder()?;
        let path = folder.path().join("jobs.db").display().to_string();
        let mut arguments = vec![path.as_str()];
        let load = load.arguments();
        arguments.extend(load.iter().map(String::as_str));
        let said = build.say(&arguments)?;
        let (figure, settings) = said.trim_end().split_once('\n').unwrap_or((&said, ""));
        set_to.replace(settings.to_owned());
        let nanos: f64 = figure.trim().parse().map_err(|_| Void(said.clone()))?;
        Ok(vec![nanos / 1e3])
    });
    contender
}

fn push(settings: Settings) -> Scenario {
    let times = settings.jobs(1_000);
    let figures =
        |mut latencies: Vec<u64>| [0.5, 0.99].map(|share| percentile(&mut latencies, share) / 1e3).to_vec();
    let ours = |name, durability| {
        Contender::new(name, move || Ok(figures(ours::push_latencies(times, durability)?)))
            .set_to(ours::settings(durability))
    };
    Scenario {
        name: "durable-push",
        about: format!(
            "{times} pushes of 64 bytes, one after the other, until each is acknowledged, after as many that are not \
             measured, so that no file grows; files on {}",
            where_files_are()
        ),
        metrics: &[Metric { name: "p50", unit: "us" }, Metric { name: "p99", unit: "us" }],
        contenders: vec![
            ours(FULL, Durability::Full),
            ours(NORMAL, Durability::Normal),
            Contender::new("fdatasync of 4 KiB", move || Ok(figures(raw_log::sync_latencies(times)?)))
                .set_to("a preallocated file, one write and one fdatasync each"),
        ],
        repetitions: settings.repetitions(5),
    }
}

fn restart(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000_000);
    let mut prepared: Option<TempDir> = None;
    let run = move || {
        if prepared.is_none() {
            let folder = folder()?;
            ours::prepare(&folder.path().join("jobs.db"), jobs)?;
            prepared = Some(folder);
        }
        let path = prepared.iter().map(|folder| folder.path().join("jobs.db")).next();
        let path = path.ok_or_else(|| Void("nothing was prepared".into()))?;
        Ok(vec![nanos(ours::restart(&path, jobs)?) / 1e6])
    };
    Scenario {
        name: "durable-restart",
        about: format!(
            "from opening a store with {jobs} jobs of 64 bytes that wait, whose file is in the system's cache, to the first \
             job at its handler; files on {}",
            where_files_are()
        ),
        metrics: &[Metric { name: "time to the first job", unit: "ms" }],
        contenders: vec![Contender::new(FULL, run).set_to(ours::settings(Durability::Full))],
        repetitions: settings.repetitions(5),
    }
}
