//! Delivers 329 real GitHub webhooks to receivers that misbehave, on each runtime, and checks that none was lost, doubled
//! or altered.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use queue_examples::webhooks::{Interrupt, Plan, Report, RuntimeName, run};
use serde::Serialize;

use self::progress::Progress;

mod progress;

/// Deliver 329 GitHub webhooks over HTTP to receivers on this machine that misbehave, and check the result.
///
/// Exits with 0 if every webhook was acknowledged once, is a dead letter for a good reason, or (after Ctrl-C) was handed
/// back or stays in the store, and with 1 otherwise. Ctrl-C shuts down gracefully; a second one ends the program at once, with 130.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The runtime to deliver on
    #[arg(long, value_enum, default_value_t = Choice::All)]
    runtime: Choice,

    /// Keep the jobs in this file, so that they outlive the process: kill it (Ctrl-\\), start it again with the same
    /// path, and it goes on. Each of several runtimes adds its name to the path
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,

    /// Print the final report as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Tokio,
    Smol,
    Compio,
    /// One after the other
    All,
}

impl Choice {
    fn runtimes(self) -> &'static [RuntimeName] {
        match self {
            Self::Tokio => &[RuntimeName::Tokio],
            Self::Smol => &[RuntimeName::Smol],
            Self::Compio => &[RuntimeName::Compio],
            Self::All => &RuntimeName::ALL,
        }
    }

    fn store(self, path: &Path, runtime: RuntimeName) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        if self.runtimes().len() > 1 {
            name.push(format!(".{runtime}"));
        }
        name.into()
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Summary {
    ok: bool,
    interrupted: bool,
    runs: Vec<Report>,
    not_run: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut plan = Plan::standard().context("the data file is damaged")?;
    let interrupt = Interrupt::new();
    ctrlc::set_handler({
        let interrupt = interrupt.clone();
        move || {
            if interrupt.raise() {
                exit(130);
            }
        }
    })
    .context("cannot listen for Ctrl-C")?;

    let mut out = std::io::stdout();
    let mut runs = Vec::new();
    let mut not_run = Vec::new();
    for &runtime in arguments.runtime.runtimes() {
        if interrupt.is_raised() {
            not_run.push(runtime.to_string());
            continue;
        }
        plan.store = arguments.store.as_deref().map(|path| arguments.runtime.store(path, runtime));
        let mut progress = Progress::new(runtime, &plan)?;
        let report =
            run(runtime, &plan, &mut progress, &interrupt).with_context(|| format!("on {runtime}"))?;
        drop(progress);
        if !arguments.json {
            writeln!(out, "{report}")?;
        }
        runs.push(report);
    }
    let ok = runs.iter().all(Report::is_ok);
    if arguments.json {
        let summary = Summary { ok, interrupted: interrupt.is_raised(), runs, not_run };
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
    } else if !not_run.is_empty() {
        writeln!(out, "interrupted; not run: {}", not_run.join(", "))?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
