//! What must hold, and whether it does.

use serde::Serialize;

use crate::runner::Outcome;

/// A limit on a figure of ours, by itself or beside a contender's of the same run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    name: &'static str,
    scenario: &'static str,
    metric: &'static str,
    ours: &'static str,
    rival: Option<&'static str>,
    limit: f64,
}

/// What became of a target.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) figure: f64,
    /// `None`: the figure is a ratio.
    pub(crate) unit: Option<&'static str>,
    pub(crate) limit: f64,
    pub(crate) ok: bool,
}

const TOKIO: &str = "queue, tokio";
const TIME: &str = "time per job";

const fn beside(
    name: &'static str,
    scenario: &'static str,
    metric: &'static str,
    ours: &'static str,
    rival: &'static str,
    limit: f64,
) -> Target {
    Target { name, scenario, metric, ours, rival: Some(rival), limit }
}

const fn alone(name: &'static str, scenario: &'static str, metric: &'static str, limit: f64) -> Target {
    Target { name, scenario, metric, ours: TOKIO, rival: None, limit }
}

const FULL: &str = "queue, SQLite, Full";
const MPSC: &str = "tokio mpsc, 1 worker";

pub(crate) const TARGETS: &[Target] = &[
    beside("burst-json/tako", "burst-json", TIME, TOKIO, "tako-rs queue", 0.35),
    beside("burst-json/apalis", "burst-json", TIME, TOKIO, "apalis memory", 0.18),
    beside("burst-json/tokio-spawn", "burst-json", TIME, TOKIO, "tokio::spawn a job", 0.30),
    beside("burst-json/mpsc", "burst-json", TIME, TOKIO, MPSC, 0.90),
    beside("burst-unit/tako", "burst-unit", TIME, TOKIO, "tako-rs queue", 0.25),
    beside("burst-unit/tokio-spawn", "burst-unit", TIME, TOKIO, "tokio::spawn a job", 0.25),
    beside("burst-unit/mpsc", "burst-unit", TIME, TOKIO, MPSC, 1.6),
    beside("window-512/tako", "window-512", TIME, TOKIO, "tako-rs queue", 0.35),
    beside("window-512/tokio-spawn", "window-512", TIME, TOKIO, "tokio::spawn a job", 0.30),
    beside("burst-json/smol-ours", "burst-json", TIME, "queue, smol", TOKIO, 1.4),
    // Like beside like: two threads can do twice what one does.
    beside(
        "burst-json/compio-1-ours",
        "burst-json",
        TIME,
        "queue, compio 1 thread",
        "queue, tokio 1 thread",
        1.4,
    ),
    beside("burst-json/compio-2-ours", "burst-json", TIME, "queue, compio 2 threads", TOKIO, 1.4),
    beside("start-from-thread/p50", "start-from-thread", "p50", TOKIO, MPSC, 1.1),
    beside("start-from-thread/p99", "start-from-thread", "p99", TOKIO, MPSC, 1.3),
    beside("start-from-task/p50", "start-from-task", "p50", TOKIO, MPSC, 1.4),
    // When two pushes come in one poll, the second wakes another worker, and with it another thread: so neither job waits
    // for the task that pushed them, which may compute for long. That is what the slowest of a hundred take. Who has one
    // worker does without, and the next target says at what price.
    beside("start-from-task/p99", "start-from-task", "p99", TOKIO, "tako-rs queue", 1.3),
    beside("start-from-busy-task/p50", "start-from-busy-task", "p50", TOKIO, MPSC, 0.5),
    beside("burst-beside-delayed", "burst-beside-delayed", TIME, "many delayed", "none delayed", 1.1),
    beside("delayed/cpu-tako", "delayed", "CPU per job", TOKIO, "tako-rs queue", 0.25),
    alone("delayed/lateness", "delayed", "last done after the last deadline", 10.0),
    alone("memory/ready", "memory", "memory per ready job", 96.0),
    alone("memory/delayed", "memory", "memory per delayed job", 150.0),
    // What a queue keeps of its own is spread over the jobs.
    alone("memory/allocations-push", "memory", "allocations per push", 0.01),
    alone("memory/allocations-run", "memory", "allocations per push and run", 1.01),
    alone("idle/polls", "idle", "polls of workers", 0.0),
    alone("idle/wake-ups", "idle", "wake-ups of threads", 0.0),
    // The thread that measures wakes up, too: the scenario's second row says what that costs.
    alone("idle/cpu", "idle", "CPU", 0.5),
    alone("flooded-neighbour", "flooded-neighbour", "p50", 1_500.0),
    alone("urgent-behind-backlog", "urgent-behind-backlog", "p50", 30.0),
    alone("tick-under-flood", "tick-under-flood", "p99", 5_000.0),
    beside("push-many", "push-many", "time per push", "push_many, 1 byte", "push, 1 byte", 0.4),
    beside("tracing-unused", "tracing", TIME, "with the tracing feature", "without", 1.03),
    beside("names/queues", "names", TIME, "1,000 named queues", "one queue, one kind", 1.15),
    beside("names/queues-mpscs", "names", TIME, "1,000 named queues", "1,000 tokio mpscs", 1.0),
    beside("names/kinds", "names", TIME, "10,000 kinds", "one queue, one kind", 1.15),
    alone("worst-push", "worst-push", "time of the worst push", 1_000.0),
    // On a machine that others use, a push may wait for a core: this is what remains of it without that.
    alone("worst-push/cpu", "worst-push", "CPU of the worst push", 1_000.0),
    beside("durable-16/apalis-sqlite", "durable-16", TIME, FULL, "apalis-sqlite", 0.05),
    beside("durable-16/effectum", "durable-16", TIME, FULL, "effectum", 0.25),
    beside("durable-256/apalis-sqlite", "durable-256", TIME, FULL, "apalis-sqlite", 0.05),
    beside("durable-256/effectum", "durable-256", TIME, FULL, "effectum", 0.25),
    beside("durable-256/raw-log", "durable-256", TIME, FULL, "raw log", 2.5),
    beside("durable-push/fdatasync", "durable-push", "p50", FULL, "fdatasync of 4 KiB", 1.6),
    Target { ours: FULL, ..alone("durable-restart", "durable-restart", "time to the first job", 1_000.0) },
];

/// Where the distance goes of those that are missed most often.
const DISTANCES: &[(&str, &str)] = &[
    (
        "start-from-task/p50",
        "A push that finds a worker idle, and the claim of a worker that wakes, are several times the code of a channel's \
         send and receive, and after a millisecond of idleness hardly any of it is in the caches.",
    ),
    (
        "push-many",
        "A batch saves the locks, the decision whom to wake and the way through the inbox. What is left is what each job \
         needs, however it comes in: its record, its number, its place in the index and in its lane. The last row is what \
         it takes to allocate and write as much and do nothing else.",
    ),
    (
        "names/queues",
        "What a push and a worker hand to each other is in other cache lines for each named queue, and those are in the \
         other core's cache. Channels lose as much: see the last two rows.",
    ),
];

impl Verdict {
    /// Where the distance to the limit goes, if it is missed and that is known.
    pub(crate) fn distance(&self) -> Option<&'static str> {
        let known = DISTANCES.iter().find(|(name, _)| !self.ok && *name == self.name)?;
        Some(known.1)
    }
}

impl Target {
    /// Whether `--only` asks for it.
    pub(crate) fn matches(&self, only: &str) -> bool {
        self.name.contains(only) || self.scenario.contains(only)
    }

    pub(crate) fn scenario(&self) -> &'static str {
        self.scenario
    }

    /// `None` if its scenario was not run. A figure that is missing is a miss.
    pub(crate) fn judge(&self, outcomes: &[Outcome]) -> Option<Verdict> {
        let outcome = outcomes.iter().find(|outcome| outcome.name == self.scenario)?;
        let ours = outcome.median(self.metric, self.ours);
        let figure = match self.rival {
            Some(rival) => ours.zip(outcome.median(self.metric, rival)).map(|(ours, rival)| ours / rival),
            None => ours,
        };
        let figure = figure.unwrap_or(f64::NAN);
        let unit =
            outcome.metrics.iter().find(|figures| figures.metric == self.metric).map(|figures| figures.unit);
        Some(Verdict {
            name: self.name,
            figure,
            unit: unit.filter(|_| self.rival.is_none()),
            limit: self.limit,
            ok: figure <= self.limit,
        })
    }
}
