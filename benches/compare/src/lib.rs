//! What a job costs here and elsewhere: every contender does the same work in the same process, in turns.
//!
//! ```text
//! cargo run --release -p queue-compare [-- --only NAME] [--quick] [--json]
//! ```
//!
//! Repetitions are interleaved, their order is reversed every other time, and the first is dropped; the tables show the
//! median, the range, and the ratio of the first row, ours, to each. A run in which a job is lost or doubled is void.
//! Absolute figures depend on the machine and on what else it does: only ratios within one run mean anything.

mod builds;
mod contenders;
mod durable;
mod machine;
mod measure;
mod memory;
mod plot;
mod readme;
mod report;
mod runner;
mod scenarios;
mod targets;
mod work;

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use stats_alloc::StatsAlloc;

use crate::machine::Machine;
use crate::report::Report;
use crate::targets::TARGETS;

/// Measures the queue beside its rivals. Fails when a target is missed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios and targets whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Fewer jobs and repetitions: shows that it works, not what things cost.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Write `benches/README.md` and its plots as well: all of it, or with `--only durable` that part.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
struct Settings {
    quick: bool,
}

impl Settings {
    fn jobs(self, jobs: u64) -> u64 {
        if self.quick { jobs / 10 } else { jobs }
    }

    fn repetitions(self, repetitions: usize) -> usize {
        if self.quick { 3.min(repetitions) } else { repetitions }
    }
}

/// The program `queue-compare`.
#[must_use]
pub fn compare() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.write && !["", "durable"].contains(&arguments.only.as_str()) {
        eprintln!("--write needs all scenarios, or --only durable");
        return ExitCode::FAILURE;
    }
    let targets: Vec<_> = TARGETS.iter().filter(|target| target.matches(&arguments.only)).collect();
    let mut scenarios = scenarios::all(Settings { quick: arguments.quick });
    scenarios.retain(|scenario| {
        scenario.name.contains(&arguments.only)
            || targets.iter().any(|target| target.scenario() == scenario.name)
    });
    let mut report = Report { machine: Machine::this(), scenarios: Vec::new(), targets: Vec::new() };
    if !arguments.json {
        report::print_machine(&report.machine);
    }
    for scenario in scenarios {
        let outcome = runner::run(scenario);
        if !arguments.json {
            report::print_outcome(&outcome);
        }
        report.scenarios.push(outcome);
    }
    report.targets = targets.iter().filter_map(|target| target.judge(&report.scenarios)).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("it is plain data"));
    } else {
        println!();
        for verdict in &report.targets {
            println!("{}", report::verdict_line(verdict));
        }
    }
    if arguments.write
        && let Err(error) = readme::write(&report)
    {
        eprintln!("benches/README.md: {error}");
        return ExitCode::FAILURE;
    }
    let void = report.scenarios.iter().any(|outcome| !outcome.void.is_empty());
    if void || report.targets.iter().any(|verdict| !verdict.ok) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// The program `queue-compare-memory`.
pub fn memory_alone(allocator: &StatsAlloc<System>) {
    memory::memory_alone(allocator);
}

/// The programs `queue-compare-alone` and `queue-compare-tracing`.
pub fn burst_alone() {
    builds::burst_alone();
}
