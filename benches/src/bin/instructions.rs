//! Counts the instructions of each operation under valgrind and compares them with the baseline.
//!
//! Started by `benches/instructions`. Under valgrind it is started by itself, with an operation to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use queue_benches::OPERATIONS;

/// What an operation may cost more or less than the baseline says.
const TOLERANCE: f64 = 0.03;
/// An operation's cost is the difference of these two numbers of jobs, so that the start does not count.
const JOBS: [u64; 2] = [2_048, 6_144];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["do", name, jobs, all] => {
            let operation = OPERATIONS.iter().find(|operation| operation.name == name);
            let jobs = jobs.parse().expect("a number of jobs");
            operation.expect("a known operation").run(jobs, all == "all");
            return ExitCode::SUCCESS;
        }
        [] => compare(),
        ["--write"] => write(),
        ["--functions", name] => functions(name),
        _ => Err("usage: benches/instructions [--write | --functions OPERATION]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), String> {
    let text = fs::read_to_string(baseline()).map_err(|error| format!("no baseline: {error}"))?;
    let known: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let mut moved = Vec::new();
    println!("{:<26} {:>10} {:>10} {:>8}", "instructions per job", "baseline", "now", "change");
    for (name, count) in measure()? {
        let before = *known.get(name).ok_or_else(|| format!("{name:?} is not in the baseline"))?;
        let change = count / before - 1.0;
        println!("{name:<26} {before:>10.1} {count:>10.1} {:>+7.1}%", change * 100.0);
        if change.abs() > TOLERANCE {
            moved.push(name);
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    Err(format!(
        "moved by more than {:.0} %: {}\n`benches/instructions --functions OPERATION` says where they are spent; \
         if it is meant, `benches/instructions --write` and commit the baseline",
        TOLERANCE * 100.0,
        moved.join(", ")
    ))
}

fn write() -> Result<(), String> {
    let lines: Vec<String> = measure()?.iter().map(|(name, count)| format!("{name}: {count:.1}\n")).collect();
    print!("{}", lines.concat());
    fs::write(baseline(), lines.concat()).map_err(|error| error.to_string())
}

/// The functions that an operation spends most in, with what prepares it.
fn functions(name: &str) -> Result<(), String> {
    let file = env::temp_dir().join(format!("queue-instructions-{}", std::process::id()));
    count(name, JOBS[1], true, &file.display().to_string())?;
    let annotate = Command::new("cg_annotate").arg("--auto=no").arg(&file).output();
    // What cannot be removed is in a directory for that.
    let _ = fs::remove_file(&file);
    let output = annotate.map_err(|error| format!("cg_annotate: {error}"))?;
    String::from_utf8_lossy(&output.stdout).lines().take(60).for_each(|line| println!("{line}"));
    Ok(())
}

fn measure() -> Result<Vec<(&'static str, f64)>, String> {
    let per_job = |name: &str, all: bool| {
        let [few, many] = JOBS.map(|jobs| count(name, jobs, all, "/dev/null"));
        Ok::<_, String>((many? - few?) / f64::from(u32::try_from(JOBS[1] - JOBS[0]).expect("it is small")))
    };
    let operations = OPERATIONS.iter().map(|operation| {
        Ok((operation.name, per_job(operation.name, true)? - per_job(operation.name, false)?))
    });
    operations.collect()
}

/// All instructions of one run.
fn count(name: &str, jobs: u64, all: bool, file: &str) -> Result<f64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg(format!("--cachegrind-out-file={file}"))
        .arg(program)
        .args(["do", name, &jobs.to_string(), if all { "all" } else { "prepare" }])
        .output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let total =
        text.lines().find_map(|line| line.split_once("refs:")?.1.trim().replace(',', "").parse().ok());
    match total {
        Some(total) if output.status.success() => Ok(total),
        _ => Err(format!("{name}: {text}")),
    }
}

fn baseline() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))
}
