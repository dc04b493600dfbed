//! The queue on each runtime: all that differs between them, apart from the client.

use std::fmt;

use super::{Campaign, Interrupt, Plan, Report, Watcher};

mod compio;
mod smol;
mod tokio;

/// A runtime that the program can deliver on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeName {
    /// tokio's work-stealing runtime, with two worker threads.
    Tokio,
    /// A smol executor, on two threads.
    Smol,
    /// compio, thread-per-core, on two threads.
    Compio,
}

impl RuntimeName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tokio, Self::Smol, Self::Compio];
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::Compio => "compio",
        })
    }
}

/// Delivers everything in the plan on one runtime.
///
/// # Errors
///
/// When it cannot be done at all: no port, no thread, no runtime. What goes wrong with deliveries is in the report.
pub fn run(
    name: RuntimeName,
    plan: &Plan,
    watcher: &mut dyn Watcher,
    interrupt: &Interrupt,
) -> anyhow::Result<Report> {
    let mut campaign = Campaign::start(plan)?;
    match name {
        RuntimeName::Tokio => tokio::drive(&mut campaign, watcher, interrupt)?,
        RuntimeName::Smol => smol::drive(&mut campaign, watcher, interrupt)?,
        RuntimeName::Compio => compio::drive(&mut campaign, watcher, interrupt)?,
    }
    campaign.finish(&name.to_string())
}
