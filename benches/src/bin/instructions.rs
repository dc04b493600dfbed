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
/// So many, because what a delay costs depends a little on when the program was started: a second may end in it.
const JOBS: [u64; 2] = [4_096, 20_480];

/// What instructions are counted as, by what is in the name of their function; the first that fits. What is inlined counts
/// as where it went.
const PARTS: [(&str, &[&str]); 6] = [
    ("JSON", &["serde_json::", "queue_core::payload::"]),
    ("store", &["queue_core::store::"]),
    (
        "worker",
        &["queue_core::worker::", "queue_core::handler::", "queue_core::unwind::", "queue_core::job::"],
    ),
    ("engine", &["queue_core::"]),
    ("allocator", &["malloc", "free", "realloc", "calloc", "_int_", "tcache"]),
    ("copies", &["memcpy", "memmove", "memset", "memcmp"]),
];
/// What is in none of them: the handler, the bench and its runtime, the standard library.
const REST: &str = "rest";

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
    let (written_with, compiler) = (text.lines().next().unwrap_or_default(), compiler()?);
    if written_with != compiler {
        println!(
            "not compared: the baseline is of {written_with:?}, and this is {compiler:?}, which counts otherwise"
        );
        return Ok(());
    }
    let known: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, counts)| Some((name, counts.split(' ').next()?.parse().ok()?)))
        .collect();
    let mut moved = Vec::new();
    println!("{:<26} {:>10} {:>10} {:>8}", "instructions per job", "baseline", "now", "change");
    for (name, counts) in measure()? {
        let count = counts.iter().sum::<f64>();
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
    let line = |(name, counts): &(&str, Counts)| {
        let parts = PARTS.iter().map(|(part, _)| *part).chain([REST]).zip(counts);
        let parts: Vec<String> = parts.map(|(part, count)| format!("{part} {count:.0}")).collect();
        format!("{name}: {:.1} = {}\n", counts.iter().sum::<f64>(), parts.join(", "))
    };
    let lines: Vec<String> = measure()?.iter().map(line).collect();
    let text = format!("{}\n{}", compiler()?, lines.concat());
    print!("{text}");
    fs::write(baseline(), text).map_err(|error| error.to_string())
}

/// What made the instructions: the first line of the baseline.
fn compiler() -> Result<String, String> {
    let output =
        Command::new("rustc").arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(format!("# {}", String::from_utf8_lossy(&output.stdout).trim()))
}

/// The functions that an operation spends most in, with what prepares it.
fn functions(name: &str) -> Result<(), String> {
    let file = env::temp_dir().join(format!("queue-functions-{}", std::process::id()));
    run(name, JOBS[1], true, &file)?;
    let annotate = Command::new("cg_annotate").arg("--auto=no").arg(&file).output();
    // What cannot be removed is in a directory for that.
    let _ = fs::remove_file(&file);
    let output = annotate.map_err(|error| format!("cg_annotate: {error}"))?;
    String::from_utf8_lossy(&output.stdout).lines().take(60).for_each(|line| println!("{line}"));
    Ok(())
}

/// Instructions by part.
type Counts = [f64; PARTS.len() + 1];

fn measure() -> Result<Vec<(&'static str, Counts)>, String> {
    let jobs = f64::from(u32::try_from(JOBS[1] - JOBS[0]).expect("it is small"));
    let per_job = |name: &str, all: bool| {
        let [few, many] = [count(name, JOBS[0], all)?, count(name, JOBS[1], all)?];
        Ok::<_, String>(std::array::from_fn(|part| (many[part] - few[part]) / jobs))
    };
    let operations = OPERATIONS.iter().map(|operation| {
        let (all, before): (Counts, Counts) =
            (per_job(operation.name, true)?, per_job(operation.name, false)?);
        Ok((operation.name, std::array::from_fn(|part| all[part] - before[part])))
    });
    operations.collect()
}

/// The instructions of one run, by part.
fn count(name: &str, jobs: u64, all: bool) -> Result<Counts, String> {
    let file = env::temp_dir().join(format!("queue-instructions-{}", std::process::id()));
    let text = run(name, jobs, all, &file)
        .and_then(|()| fs::read_to_string(&file).map_err(|error| format!("{name}: {error}")));
    // What cannot be removed is in a directory for that.
    let _ = fs::remove_file(&file);
    let mut counts = [0.0; PARTS.len() + 1];
    let mut part = PARTS.len();
    for line in text?.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            let fits = |(_, names): &(&str, &[&str])| names.iter().any(|name| function.contains(name));
            part = PARTS.iter().position(fits).unwrap_or(PARTS.len());
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            // A line of the source, and its instructions.
            let count = line.split(' ').nth(1).and_then(|count| count.parse().ok());
            counts[part] += count.unwrap_or(0.0);
        }
    }
    Ok(counts)
}

/// Runs an operation under valgrind, which writes what it saw to `file`.
fn run(name: &str, jobs: u64, all: bool, file: &Path) -> Result<(), String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no"])
        .arg(format!("--cachegrind-out-file={}", file.display()))
        .arg(program)
        .args(["do", name, &jobs.to_string(), if all { "all" } else { "prepare" }])
        .output();
    let output = output.map_err(|error| format!("valgrind: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn baseline() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))
}
