//! Runs the contenders of a scenario in turns.

use std::io::{IsTerminal, stderr};

use serde::Serialize;

use crate::measure::Spread;
use crate::scenarios::{Metric, Scenario};

/// What a scenario gave.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) repetitions: usize,
    pub(crate) metrics: Vec<Figures>,
    /// Runs that do not count, and why.
    pub(crate) void: Vec<String>,
    /// What contenders were set to.
    pub(crate) settings: Vec<String>,
}

/// One metric of all contenders.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) contender: &'static str,
    /// `None` when every run was void.
    pub(crate) spread: Option<Spread>,
}

impl Outcome {
    pub(crate) fn median(&self, metric: &str, contender: &str) -> Option<f64> {
        let figures = self.metrics.iter().find(|figures| figures.metric == metric)?;
        let row = figures.rows.iter().find(|row| row.contender == contender)?;
        Some(row.spread?.median)
    }
}

/// Repetitions are interleaved and their order is reversed every other time, so that nobody always runs after the same
/// one; the first is dropped.
pub(crate) fn run(scenario: Scenario) -> Outcome {
    let Scenario { name, about, metrics, mut contenders, repetitions } = scenario;
    let watched = stderr().is_terminal();
    let mut void = Vec::new();
    let mut runs: Vec<Vec<Vec<f64>>> = vec![Vec::new(); contenders.len()];
    for repetition in 0..=repetitions {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if repetition % 2 == 1 {
            order.reverse();
        }
        for at in order {
            if watched {
                eprint!("\r\x1b[K{name} {repetition}/{repetitions} {}", contenders[at].name);
            }
            match (contenders[at].run)() {
                Ok(figures) if repetition > 0 => runs[at].push(figures),
                Ok(_) => {}
                Err(reason) => void.push(format!("{}: {reason}", contenders[at].name)),
            }
        }
    }
    if watched {
        eprint!("\r\x1b[K");
    }
    let metrics = metrics.iter().enumerate().map(|(at, Metric { name, unit })| {
        let rows = contenders.iter().zip(&runs).map(|(contender, runs)| {
            let figures: Vec<f64> = runs.iter().map(|figures| figures[at]).collect();
            Row { contender: contender.name, spread: Spread::of(&figures) }
        });
        Figures { metric: name, unit, rows: rows.collect() }
    });
    let metrics = metrics.collect();
    let settings = contenders.iter().filter(|contender| !contender.set_to.borrow().is_empty());
    let settings =
        settings.map(|contender| format!("{}: {}", contender.name, contender.set_to.borrow())).collect();
    Outcome { name, about, repetitions, metrics, void, settings }
}
