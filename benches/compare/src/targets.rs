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

pub(crate) const TARGETS: &[Target] = &[
    beside("burst-json/tako", "burst-json", TIME, TOKIO, "tako-rs queue", 0.35),
    beside("burst-json/apalis", "burst-json", TIME, TOKIO, "apalis memory", 0.18),
    beside("burst-json/tokio-spawn", "burst-json", TIME, TOKIO, "tokio::spawn a job", 0.30),
    beside("burst-json/mpsc", "burst-json", TIME, TOKIO, "tokio mpsc, 1 worker", 0.90),
    beside("burst-unit/tako", "burst-unit", TIME, TOKIO, "tako-rs queue", 0.25),
    beside("burst-unit/tokio-spawn", "burst-unit", TIME, TOKIO, "tokio::spawn a job", 0.25),
    beside("burst-unit/mpsc", "burst-unit", TIME, TOKIO, "tokio mpsc, 1 worker", 1.6),
    beside("window-512/tako", "window-512", TIME, TOKIO, "tako-rs queue", 0.35),
    beside("window-512/tokio-spawn", "window-512", TIME, TOKIO, "tokio::spawn a job", 0.30),
    beside("burst-json/smol-ours", "burst-json", TIME, "queue, smol", TOKIO, 1.4),
    beside("burst-json/compio-1-ours", "burst-json", TIME, "queue, compio 1 thread", TOKIO, 1.4),
    beside("burst-json/compio-2-ours", "burst-json", TIME, "queue, compio 2 threads", TOKIO, 1.4),
];

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
