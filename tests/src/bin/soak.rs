//! Soaks the queue on real runtimes, and says whether every job was accounted for and the memory stayed flat.
//!
//! ```text
//! cargo run --release -p queue-tests --bin soak -- --seconds 120
//! cargo run --release -p queue-tests --bin soak -- --seconds 3600 --runtime compio --seed 7
//! ```

use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, io};

use queue_tests::soak::{Length, Memory, Progress, Soak, resident};

struct Options {
    /// For each runtime.
    seconds: u64,
    runtime: Option<String>,
    seed: u64,
}

/// Below that the memory of a process that has just begun still grows.
const LONG_ENOUGH: u64 = 60;

/// The setting of glibc that says how many heaps it keeps.
const HEAPS: &str = "MALLOC_ARENA_MAX";

fn main() -> ExitCode {
    match options() {
        // What one thread has freed others cannot have when each has a heap: that grows for long, and looks like a leak.
        Ok(_) if env::var_os(HEAPS).is_none() => in_one_heap().unwrap_or_else(|error| {
            eprintln!("it cannot be started again: {error}");
            ExitCode::from(2)
        }),
        Ok(options) => soak_all(&options),
        Err(wrong) => {
            eprintln!(
                "{wrong}\nusage: soak [--seconds N] [--runtime NAME] [--seed S]\nruntimes: all, {}",
                names()
            );
            ExitCode::from(2)
        }
    }
}

/// Runs this program again, and passes its end on.
fn in_one_heap() -> io::Result<ExitCode> {
    let status = Command::new(env::current_exe()?).args(env::args_os().skip(1)).env(HEAPS, "1").status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The name of a runtime, how many threads more it needs for its workers to run on several, and its soak.
type Flavour = (&'static str, usize, fn(Soak, &mut dyn FnMut(&Progress)) -> Result<Progress, String>);

const FLAVOURS: &[Flavour] = &[
    #[cfg(feature = "tokio")]
    ("tokio", 0, soak::<queue_tests::runtimes::TokioMulti>),
    #[cfg(feature = "tokio")]
    ("tokio-local", 1, soak::<queue_tests::runtimes::TokioLocal>),
    #[cfg(feature = "smol")]
    ("smol", 0, soak::<queue_tests::runtimes::SmolOwn>),
    #[cfg(feature = "compio")]
    ("compio", 1, soak::<queue_tests::runtimes::Compio>),
];

#[cfg(any(feature = "tokio", feature = "smol", feature = "compio"))]
fn soak<T: queue_tests::TestRuntime>(
    soak: Soak,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Progress, String> {
    soak.run::<T>(tell)
}

fn names() -> String {
    FLAVOURS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

fn soak_all(options: &Options) -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for (name, threads, run) in FLAVOURS {
        if options.runtime.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let length = Length::Time(Duration::from_secs(options.seconds));
        let soak = Soak { seed: options.seed, length, operations: 4000, threads: *threads };
        let mut next_line = Duration::from_secs(10);
        let ended = run(soak, &mut |progress| {
            if progress.elapsed >= next_line {
                next_line = progress.elapsed + Duration::from_secs(10);
                println!("{name}: {}", line(progress));
            }
        });
        match ended {
            Ok(progress) => {
                println!("{name}: {}\n{name}: {}", line(&progress), progress.tally);
                if !is_flat(name, options.seconds, progress.memory) {
                    exit = ExitCode::FAILURE;
                }
            }
            Err(wrong) => {
                println!("{name}: seed {}: {wrong}", options.seed);
                return ExitCode::FAILURE;
            }
        }
    }
    exit
}

fn line(progress: &Progress) -> String {
    let millis = u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let (accepted, runs) = (progress.tally.accepted, progress.tally.runs);
    format!(
        "{} s, {} epochs, {accepted} jobs, {runs} runs, {} jobs per second, {} in memory",
        millis / 1000,
        progress.epochs,
        accepted * 1000 / millis,
        megabytes(resident().unwrap_or(0)),
    )
}

fn is_flat(name: &str, seconds: u64, memory: Memory) -> bool {
    let (first, second) = (megabytes(memory.first), megabytes(memory.second));
    println!("{name}: at most {first} in the first half, {second} in the second");
    let is_flat = seconds < LONG_ENOUGH || !memory.has_grown();
    if !is_flat {
        println!("{name}: the second half took more than 5 % more memory");
    }
    is_flat
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 60, runtime: None, seed: 0 };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        let number = || value.replace('_', "").parse().map_err(|_| format!("{value:?} is no number"));
        match argument.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--runtime" if value == "all" => options.runtime = None,
            "--runtime" if FLAVOURS.iter().any(|(name, ..)| *name == value) => options.runtime = Some(value),
            "--runtime" => return Err(format!("{value:?} is no runtime")),
            unknown => return Err(format!("{unknown:?} is no option")),
        }
    }
    Ok(options)
}
