//! What is measured in other builds of this package.

use super::{Contender, Metric, NANOS_PER_JOB, Scenario};
use crate::Settings;
use crate::builds::Build;
use crate::memory;
use crate::work::Void;

pub(super) fn tracing(settings: Settings) -> Scenario {
    let jobs = settings.jobs(200_000);
    Scenario {
        name: "tracing",
        about: format!(
            "{jobs} jobs with nothing to decode, on one thread, in processes of their own, without a subscriber"
        ),
        metrics: &[NANOS_PER_JOB],
        contenders: vec![
            contender(
                "with the tracing feature",
                "queue-compare-tracing",
                &["tracing"],
                vec![jobs.to_string()],
            ),
            contender("without", "queue-compare-alone", &[], vec![jobs.to_string()]),
        ],
        repetitions: settings.repetitions(11),
    }
}

pub(super) fn memory(settings: Settings) -> Scenario {
    let jobs = settings.jobs(1_000_000);
    let contenders = memory::CONTENDERS
        .into_iter()
        .map(|name| contender(name, "queue-compare-memory", &[], vec![name.to_owned(), jobs.to_string()]));
    Scenario {
        name: "memory",
        about: format!(
            "{jobs} jobs with 34 bytes of JSON, as requested from the allocator; the second time they are pushed for the allocations"
        ),
        metrics: &[
            Metric { name: "memory per ready job", unit: "B" },
            Metric { name: "memory per delayed job", unit: "B" },
            Metric { name: "allocations per push", unit: "" },
            Metric { name: "allocations per push and run", unit: "" },
        ],
        contenders: contenders.collect(),
        // Nothing here depends on time.
        repetitions: 1,
    }
}

fn contender(
    name: &'static str,
    program: &'static str,
    features: &'static [&'static str],
    arguments: Vec<String>,
) -> Contender {
    let mut build = None;
    Contender::new(name, move || {
        let build = build.get_or_insert_with(|| Build::new(program, features));
        let build = build.as_ref().map_err(|void| Void(void.0.clone()))?;
        build.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    })
}
