//! What must hold whatever happens, one promise per file.
//!
//! An invariant sees everything that happens, in order: the events of the queue, and what the workload's handlers and
//! pushers notice themselves. It looks at the counts between the steps of a simulation, and at the books once all is over.
//! [`Monitor`] feeds them all; the first that does not hold fails the simulation.

mod attempts_only_grow;
mod bounds_hold;
mod counts_add_up;
mod facts;
mod idle_is_silent;
mod ledger;
mod limits_hold;
mod monitor;
mod never_early;
mod no_job_lost;
mod no_priority_starves;
mod nobody_outstays;
mod one_live_attempt;
mod order_within_priority;
mod report_adds_up;
mod terminal_is_final;
mod waiters_wake;

use std::sync::Arc;
use std::time::Duration;

use queue_core::{DeadJob, Event, JobId, Priority, QueueCounts, ShutdownReport};

pub use facts::{BATCH, Bounds, Facts, JobFacts};
pub use ledger::{Ledger, Place};
pub use monitor::Monitor;

/// Whether it holds; if not, what is wrong.
pub type Holds = Result<(), String>;

/// Something that must hold.
pub trait Invariant: Send {
    /// Something happened.
    fn see(&mut self, _seen: &Seen<'_>, _facts: &Facts) -> Holds {
        Ok(())
    }

    /// These are the counts of all named queues between two steps.
    fn look(&mut self, _look: &Look, _facts: &Facts) -> Holds {
        Ok(())
    }

    /// All is over.
    fn end(&mut self, _end: &End, _facts: &Facts) -> Holds {
        Ok(())
    }
}

/// Something that happened, at some moment between two.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Not before this.
    pub since: Duration,
    /// And not after this.
    pub at: Duration,
    /// What it was.
    pub what: &'a What,
}

/// What may happen.
#[derive(Debug)]
pub enum What {
    /// The queue says so.
    Event(Event),
    /// A push returned.
    Accepted(JobId, JobFacts),
    /// A handler's future was made for this attempt.
    Entered(JobId, u32),
    /// A handler's future was dropped.
    Left(JobId),
    /// A push begins to wait for room in this named queue (by number).
    Waits(usize),
    /// It does not any more.
    WaitsNoMore(usize),
    /// A running attempt was asked to stop.
    Asked(JobId),
    /// Shutdown is about to begin, and interrupts what still runs after this.
    ShutdownBegins(Duration),
    /// The queue is idle, but for a job that is due later: this many steps were taken in an hour.
    Idle(u64),
}

/// The counts of all named queues.
#[derive(Debug)]
pub struct Look {
    /// In the order of [`Facts::queues`].
    pub counts: Vec<QueueCounts>,
    /// When this is.
    pub at: Duration,
    /// Whether nothing can run now until time moves on.
    pub is_lull: bool,
}

/// The books, after the shutdown.
#[derive(Debug)]
pub struct End {
    /// What shutdown said.
    pub report: ShutdownReport,
    /// The dead letters that are kept.
    pub dead_letters: Vec<Arc<DeadJob>>,
    /// Events that the monitor was too slow for: none, or nothing else here means anything.
    pub missed: u64,
    /// Whether the clock may have jumped during the shutdown.
    pub clock_jumped: bool,
}

/// An invariant, and the name of its file.
pub type Named = (&'static str, Box<dyn Invariant>);

/// Every invariant.
#[must_use]
pub fn all() -> Vec<Named> {
    vec![
        ("no_job_lost", Box::<no_job_lost::NoJobLost>::default()),
        ("one_live_attempt", Box::<one_live_attempt::OneLiveAttempt>::default()),
        ("limits_hold", Box::<limits_hold::LimitsHold>::default()),
        ("never_early", Box::<never_early::NeverEarly>::default()),
        ("order_within_priority", Box::<order_within_priority::OrderWithinPriority>::default()),
        ("no_priority_starves", Box::<no_priority_starves::NoPriorityStarves>::default()),
        ("attempts_only_grow", Box::<attempts_only_grow::AttemptsOnlyGrow>::default()),
        ("terminal_is_final", Box::<terminal_is_final::TerminalIsFinal>::default()),
        ("bounds_hold", Box::<bounds_hold::BoundsHold>::default()),
        ("counts_add_up", Box::<counts_add_up::CountsAddUp>::default()),
        ("report_adds_up", Box::<report_adds_up::ReportAddsUp>::default()),
        ("idle_is_silent", Box::<idle_is_silent::IdleIsSilent>::default()),
        ("nobody_outstays", Box::<nobody_outstays::NobodyOutstays>::default()),
        ("waiters_wake", Box::<waiters_wake::WaitersWake>::default()),
    ]
}

/// Those that cannot watch a scenario, whose queue they know by its events and counts alone.
const NEED_MORE: &[(&str, &str)] = &[
    ("order_within_priority", "events do not say how urgent a job is"),
    ("no_priority_starves", "events do not say how urgent a job is"),
    ("bounds_hold", "a queue does not say how it was configured"),
    ("nobody_outstays", "a queue does not say how it was configured"),
    ("report_adds_up", "the report is the scenario's own, and only some shut their queues down"),
    ("idle_is_silent", "only who measures knows that nothing else goes on"),
];

/// Those that watch the scenarios of the matrix. Of some it is a part: what `no_job_lost` looks up in the report is not seen,
/// nor when `never_early` and `waiters_wake` would have expected a delayed push.
#[must_use]
pub fn of_scenarios() -> Vec<Named> {
    let needs_more = |name: &str| NEED_MORE.iter().any(|(needs, _)| *needs == name);
    all().into_iter().filter(|(name, _)| !needs_more(name)).collect()
}

/// A shorthand for what holds or does not.
fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Holds {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A lane: a named queue and a priority.
type Lane = (usize, Priority);
