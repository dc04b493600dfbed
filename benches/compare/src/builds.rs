//! Other builds of this package: cargo makes them, and this program runs them.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::contenders::ours;
use crate::durable::beside_build;
use crate::measure::per_job;
use crate::work::{Burst, Void};

/// A program of this package that was built by itself.
#[derive(Debug)]
pub(crate) struct Build {
    program: PathBuf,
}

impl Build {
    pub(crate) fn new(name: &str, features: &[&str]) -> Result<Self, Void> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args(["build", "--release", "--quiet", "--bin", name]);
        command.args(features.iter().flat_map(|feature| ["--features", feature]));
        if !command.status().is_ok_and(|status| status.success()) {
            return Err(Void(format!("{name} does not build")));
        }
        let here = env::current_exe().map_err(|error| Void(error.to_string()))?;
        Ok(Self { program: here.with_file_name(name) })
    }

    /// A program of `benches/rivals`, whose dependencies cannot be linked into this one.
    pub(crate) fn rival(folder: &str, name: &str) -> Result<Self, Void> {
        let manifest = format!("{}/../rivals/{folder}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let target = beside_build("rivals")?;
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--quiet", "--locked", "--manifest-path", &manifest]);
        command.arg("--target-dir").arg(&target);
        if !command.status().is_ok_and(|status| status.success()) {
            return Err(Void(format!("{name} does not build")));
        }
        Ok(Self { program: target.join("release").join(name) })
    }

    /// Runs it, and reads the figures that it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Vec<f64>, Void> {
        let figures = self.say(arguments)?;
        let figures: Result<Vec<f64>, _> = figures.split_whitespace().map(str::parse).collect();
        figures.map_err(|error| Void(error.to_string()))
    }

    /// Runs it, and gives back what it prints.
    pub(crate) fn say(&self, arguments: &[&str]) -> Result<String, Void> {
        let output = Command::new(&self.program).args(arguments).output();
        let output = output.map_err(|error| Void(format!("{}: {error}", self.program.display())))?;
        if output.status.success() && !output.stdout.is_empty() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Void(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}

/// Runs bursts of as many jobs as the first argument says, and prints the median of what one took in nanoseconds. On one
/// thread: two make a few percent of noise, which is what this is to find.
pub(crate) fn burst_alone() {
    let jobs = env::args().nth(1).and_then(|jobs| jobs.parse().ok()).expect("the number of jobs is given");
    let burst = Burst::unit(jobs);
    // The first one warms up.
    let mut figures: Vec<f64> = (0..4)
        .map(|_| ours::tokio_one(burst).unwrap_or_else(|void| panic!("{void}")))
        .skip(1)
        .map(|time| per_job(time, jobs))
        .collect();
    figures.sort_by(f64::total_cmp);
    println!("{}", figures[1]);
}
