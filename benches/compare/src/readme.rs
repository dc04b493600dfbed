//! Writes `benches/README.md` and the plots in it: of its two parts, those that were measured.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::plot;
use crate::report::{Report, short, verdict_line};
use crate::runner::{Figures, Outcome};

const HEAD: &str = "\
# Benches

Written by `cargo run --release -p queue-compare -- --write`; do not edit by hand.

| to | run |
|---|---|
| compare with rivals, in turns and in one process | `cargo run --release -p queue-compare` |
| see whether it works, or one scenario | `… -- --quick`, `… -- --only burst-json` |
| write only the part about durable stores anew | `… -- --write --only durable` |
| time our own parts and axes | `cargo bench -p queue-benches` |
| count instructions beside the baseline | `benches/instructions` |

Every contender does the same work, and its jobs are counted: a run that loses or doubles one is void. Repetitions are
interleaved with their order reversed every other time, the first is dropped, and figures are medians with min..max. The
ratio is the first row's figure to each. Absolute figures depend on the machine and on what else it does: only ratios
within one run mean anything, and those of a busy machine little.
";

const ABOUT_DURABLE: &str = "\
A job counts from its push, which is acknowledged when it is on disk, until its end is on disk, too; what was set for that
is named below each table. effectum and apalis-sqlite run in processes of their own, because each links another SQLite
(`benches/rivals`). Contenders get as many jobs as they can do in about the same time.

";

const DURABLE: &str = "\n# Durable stores\n";

pub(crate) fn write(report: &Report) -> Result<(), Box<dyn Error>> {
    let benches = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    fs::create_dir_all(benches.join("plots"))?;
    let path = benches.join("README.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let (memory, durable) = old.split_once(DURABLE).unwrap_or((&old, ""));
    let (durable_now, memory_now): (Vec<_>, Vec<_>) =
        report.scenarios.iter().partition(|outcome| is_durable(outcome.name));
    let mut text = memory.to_owned();
    if !memory_now.is_empty() {
        HEAD.clone_into(&mut text);
        text.push_str("\n# In memory\n\n");
        verdicts(&mut text, report, false)?;
        instructions(&mut text, &benches.join("instructions.txt"))?;
        scenarios(&mut text, &memory_now, benches)?;
    }
    text.push_str(DURABLE);
    if durable_now.is_empty() {
        text.push_str(durable);
    } else {
        text.push('\n');
        text.push_str(ABOUT_DURABLE);
        verdicts(&mut text, report, true)?;
        scenarios(&mut text, &durable_now, benches)?;
    }
    fs::write(path, text)?;
    Ok(())
}

/// Which of the two parts a scenario or a target belongs to.
pub(crate) fn is_durable(name: &str) -> bool {
    name.starts_with("durable")
}

fn verdicts(text: &mut String, report: &Report, durable: bool) -> Result<(), Box<dyn Error>> {
    let machine = &report.machine;
    writeln!(
        text,
        "This run: commit {}; {}, {} cores, load {} at the start; {}; {}.",
        machine.commit,
        machine.cpu,
        machine.cores,
        machine.load,
        machine.rustc,
        machine.crates.join(", ")
    )?;
    text.push_str("\n## Targets\n\n```\n");
    let verdicts = || report.targets.iter().filter(|verdict| is_durable(verdict.name) == durable);
    for verdict in verdicts() {
        writeln!(text, "{}", verdict_line(verdict))?;
    }
    text.push_str("```\n");
    let distances = verdicts().filter_map(|verdict| Some((verdict.name, verdict.distance()?)));
    for (place, (name, distance)) in distances.enumerate() {
        text.push_str(if place == 0 { "\nWhere the distance goes:\n\n" } else { "" });
        writeln!(text, "- {name}: {distance}")?;
    }
    Ok(())
}

fn scenarios(text: &mut String, outcomes: &[&Outcome], benches: &Path) -> Result<(), Box<dyn Error>> {
    for outcome in outcomes {
        scenario(text, outcome)?;
        plot::write(outcome, &benches.join(format!("plots/{}.svg", outcome.name)))?;
    }
    Ok(())
}

/// Where a job's instructions go, from the baseline that `benches/instructions` keeps.
fn instructions(text: &mut String, baseline: &Path) -> Result<(), Box<dyn Error>> {
    text.push_str("\n## Instructions per job\n\nOn one thread, one worker, JSON of 25 bytes, by what they are spent in:\n\n");
    let baseline = fs::read_to_string(baseline)?;
    let rows = baseline.lines().filter_map(|line| line.split_once(": "));
    for (place, (name, counts)) in rows.enumerate() {
        let (all, parts) = counts.split_once(" = ").unwrap_or((counts, ""));
        let (names, counts): (Vec<_>, Vec<_>) =
            parts.split(", ").filter_map(|part| part.rsplit_once(' ')).unzip();
        if place == 0 {
            let lines = "|---:".repeat(names.len());
            writeln!(text, "| operation | all | {} |\n|---|---:{lines}|", names.join(" | "))?;
        }
        writeln!(text, "| {name} | {all} | {} |", counts.join(" | "))?;
    }
    Ok(())
}

fn scenario(text: &mut String, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    let Outcome { name, about, repetitions, metrics, void, settings } = outcome;
    writeln!(text, "\n## {name}\n\n{about}. Medians of {repetitions}.\n\n![{name}](plots/{name}.svg)\n")?;
    for figures in metrics {
        table(text, figures)?;
    }
    if !settings.is_empty() {
        for setting in settings {
            writeln!(text, "- {setting}")?;
        }
        text.push('\n');
    }
    for void in void {
        writeln!(text, "Void: {void}\n")?;
    }
    Ok(())
}

fn table(text: &mut String, figures: &Figures) -> Result<(), Box<dyn Error>> {
    let Figures { metric, unit, rows } = figures;
    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
    writeln!(text, "| {metric}{unit} | median | min..max | ratio |\n|---|---:|---:|---:|")?;
    let first = rows.first().and_then(|row| row.spread);
    for row in rows {
        let Some((spread, first)) = row.spread.zip(first) else { continue };
        let ratio = first.median / spread.median;
        let ratio = if ratio.is_finite() { format!("{ratio:.2}") } else { "-".into() };
        let (median, min, max) = (short(spread.median), short(spread.min), short(spread.max));
        writeln!(text, "| {} | {median} | {min}..{max} | {ratio} |", row.contender)?;
    }
    text.push('\n');
    Ok(())
}
