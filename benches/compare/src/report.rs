//! What is printed.

use serde::Serialize;

use crate::machine::Machine;
use crate::runner::{Figures, Outcome};
use crate::targets::Verdict;

/// Everything that a run of this program found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) scenarios: Vec<Outcome>,
    pub(crate) targets: Vec<Verdict>,
}

pub(crate) fn print_machine(machine: &Machine) {
    let Machine { cpu, cores, load, rustc, commit, crates } = machine;
    println!("{cpu}, {cores} cores, load {load}; {rustc}; commit {commit}");
    println!("{}", crates.join(", "));
}

pub(crate) fn print_outcome(outcome: &Outcome) {
    println!("\n{}: {}; medians of {}", outcome.name, outcome.about, outcome.repetitions);
    for figures in &outcome.metrics {
        print_figures(figures);
    }
    for setting in &outcome.settings {
        println!("  {setting}");
    }
    for void in &outcome.void {
        println!("void: {void}");
    }
}

fn print_figures(figures: &Figures) {
    let Figures { metric, unit, rows } = figures;
    let title = if unit.is_empty() { (*metric).to_owned() } else { format!("{metric}, {unit}") };
    println!("{title:<40} {:>10} {:>21} {:>8}", "median", "min..max", "ratio");
    let first = rows.first().and_then(|row| row.spread).map(|spread| spread.median);
    for row in rows {
        let Some(spread) = row.spread else {
            println!("  {:<38} {:>10}", row.contender, "void");
            continue;
        };
        let range = format!("{}..{}", short(spread.min), short(spread.max));
        let ratio = first.map(|first| first / spread.median).filter(|ratio| ratio.is_finite());
        let ratio = ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        println!("  {:<38} {:>10} {range:>21} {ratio:>8}", row.contender, short(spread.median));
    }
}

pub(crate) fn verdict_line(verdict: &Verdict) -> String {
    let Verdict { name, figure, unit, limit, ok } = verdict;
    let answer = if *ok { "ok" } else { "MISS" };
    match unit {
        None => format!("target {name} ratio={figure:.3} limit={limit} {answer}"),
        Some(unit) => format!("target {name} value={}{unit} limit={limit}{unit} {answer}", short(*figure)),
    }
}

/// A number with three digits that say something.
pub(crate) fn short(number: f64) -> String {
    match number.abs() {
        nan if nan.is_nan() => "-".into(),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        1.0.. => format!("{number:.2}"),
        0.0 => "0".into(),
        _ => format!("{number:.4}"),
    }
}
