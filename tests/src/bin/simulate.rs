//! Explores seeds for as long as one likes.
//!
//! ```text
//! cargo run --release -p queue-tests --bin simulate -- --seeds 1000000
//! cargo run --release -p queue-tests --bin simulate -- --from 4711 --seeds 1 --trace
//! cargo run --release -p queue-tests --bin simulate -- --unwatched --seeds 1000000
//! cargo run --release -p queue-tests --bin simulate -- --restarts --seeds 1000000
//! cargo run --release -p queue-tests --bin simulate -- --fleet --seeds 1000000
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use queue_tests::{fleet, restarts, unwatched, workload};

/// Whose lives.
#[derive(Clone, Copy)]
enum Life {
    /// A queue under all invariants.
    Watched,
    /// A queue without subscribers, which claims in batches.
    Unwatched,
    /// A durable queue that is killed and started again.
    Restarts,
    /// Machines that share a store.
    Fleet,
}

struct Options {
    from: u64,
    seeds: u64,
    life: Life,
    /// Print what happened.
    trace: bool,
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => explore(&options),
        Err(wrong) => {
            eprintln!(
                "{wrong}\nusage: simulate [--unwatched | --restarts | --fleet] [--seeds N] [--from SEED] [--trace]"
            );
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how fast it is, is about real time")]
fn explore(options: &Options) -> ExitCode {
    let begun = Instant::now();
    let (mut next_line, mut steps) = (Duration::from_secs(10), 0_u64);
    let mut digest = 0_u64;
    for done in 0..options.seeds {
        let seed = options.from.wrapping_add(done);
        let life = match options.life {
            Life::Watched => workload::simulate(seed),
            Life::Unwatched => unwatched::simulate(seed),
            Life::Restarts => restarts::simulate(seed),
            Life::Fleet => fleet::simulate(seed),
        };
        match life {
            Ok(trace) => {
                steps += trace.len();
                digest = digest.rotate_left(1) ^ trace.digest();
                if options.trace {
                    print!("{trace}");
                }
            }
            Err(failure) => {
                if options.trace {
                    print!("{}", failure.trace());
                }
                println!("seed {seed} fails: {failure}");
                let kind = match options.life {
                    Life::Watched => "",
                    Life::Unwatched => "--unwatched ",
                    Life::Restarts => "--restarts ",
                    Life::Fleet => "--fleet ",
                };
                println!("cargo run -p queue-tests --bin simulate -- {kind}--from {seed} --seeds 1 --trace");
                return ExitCode::FAILURE;
            }
        }
        if begun.elapsed() >= next_line || done + 1 == options.seeds {
            next_line += Duration::from_secs(10);
            let rate =
                (done + 1) * 1000 / u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            println!("{} seeds, {rate} per second, {steps} steps, digest {digest:016x}", done + 1);
        }
    }
    ExitCode::SUCCESS
}

fn options() -> Result<Options, String> {
    let mut options = Options { from: 0, seeds: 10_000, life: Life::Watched, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.replace('_', "").parse().map_err(|_| format!("{value:?} is no number"))
        };
        match argument.as_str() {
            "--from" => options.from = number()?,
            "--seeds" => options.seeds = number()?,
            "--unwatched" => options.life = Life::Unwatched,
            "--fleet" => options.life = Life::Fleet,
            "--restarts" => options.life = Life::Restarts,
            "--trace" => options.trace = true,
            unknown => return Err(format!("{unknown:?} is no option")),
        }
    }
    Ok(options)
}
