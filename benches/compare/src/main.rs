//! What a job costs here and elsewhere: each contender runs the same burst of jobs in the same process, in turns.
//!
//! ```text
//! cargo run --release -p queue-compare
//! ```
//!
//! Repetitions are interleaved, their order is reversed every other time, and the first is dropped; the table shows the
//! median, the range, and the ratio of our tokio figure to each. A run in which a job is lost or doubled is an error.
//! Absolute figures depend on the machine and on what else it does: only ratios within one run mean anything.

mod contenders;

use std::time::Duration;

use contenders::{CONTENDERS, Contender};

const JOBS: u64 = 200_000;
const REPETITIONS: usize = 12;

/// What every contender does.
#[derive(Clone, Copy, Debug)]
struct Burst {
    name: &'static str,
    jobs: u64,
    /// Whether each job carries a JSON payload that its handler decodes.
    json: bool,
}

fn main() {
    let bursts = [
        Burst { name: "burst-json", jobs: JOBS, json: true },
        Burst { name: "burst-unit", jobs: JOBS, json: false },
    ];
    println!("{JOBS} jobs a burst, medians of {} interleaved repetitions, ns per job", REPETITIONS - 1);
    for burst in bursts {
        compare(burst);
    }
}

fn compare(burst: Burst) {
    let mut runs: Vec<(&Contender, Vec<f64>)> =
        CONTENDERS.iter().map(|contender| (contender, Vec::new())).collect();
    for repetition in 0..REPETITIONS {
        for (contender, figures) in &mut runs {
            figures.push(per_job((contender.run)(burst), burst.jobs));
        }
        runs.reverse();
        if repetition == 0 {
            for (_, figures) in &mut runs {
                figures.clear();
            }
        }
    }
    runs.sort_by_key(|(contender, _)| CONTENDERS.iter().position(|known| known.name == contender.name));
    let ours = median(&mut runs[0].1);
    println!("\n{:<12} {:>26} {:>8} {:>17} {:>8}", burst.name, "", "median", "min..max", "ratio");
    for (contender, figures) in &mut runs {
        let median = median(figures);
        let range = format!("{:.0}..{:.0}", figures[0], figures[figures.len() - 1]);
        println!("{:<39} {median:>8.0} {range:>17} {:>8.2}", contender.name, ours / median);
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds per job need no 53 bits")]
fn per_job(time: Duration, jobs: u64) -> f64 {
    time.as_nanos() as f64 / jobs as f64
}

/// Sorts the figures and returns the middle one.
fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
