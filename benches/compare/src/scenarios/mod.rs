//! What is measured: each scenario has its contenders, which do the same work and are run in turns.

mod builds;
mod burst;
mod delayed;
mod durable;
mod fairness;
mod idle;
mod latency;
mod load;
mod worst_push;

use std::cell::RefCell;
use std::rc::Rc;

use crate::Settings;
use crate::work::Void;

/// Something to be done by several contenders.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) metrics: &'static [Metric],
    /// The first is what the others are compared with.
    pub(crate) contenders: Vec<Contender>,
    /// How often each is run, and then once more, which is not counted.
    pub(crate) repetitions: usize,
}

/// One of the figures that a run gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// One figure for each metric.
    pub(crate) run: Box<dyn FnMut() -> Result<Vec<f64>, Void>>,
    /// What it was set to, where that matters. Some only know when they have run.
    pub(crate) set_to: Rc<RefCell<String>>,
}

impl Contender {
    fn new(name: &'static str, run: impl FnMut() -> Result<Vec<f64>, Void> + 'static) -> Self {
        Self { name, run: Box::new(run), set_to: Rc::default() }
    }

    fn set_to(self, what: impl Into<String>) -> Self {
        *self.set_to.borrow_mut() = what.into();
        self
    }
}

impl std::fmt::Debug for Contender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const NANOS_PER_JOB: Metric = Metric { name: "time per job", unit: "ns" };

/// All scenarios, in the order in which they are run.
pub(crate) fn all(settings: Settings) -> Vec<Scenario> {
    let mut scenarios = vec![
        burst::json(settings),
        burst::unit(settings),
        burst::window(settings),
        latency::outside(settings),
        latency::inside(settings),
        latency::busy(settings),
        load::beside_delayed(settings),
        delayed::scenario(settings),
        builds::memory(settings),
        idle::scenario(settings),
        fairness::neighbour(settings),
        fairness::urgent(settings),
        fairness::ticks(settings),
        load::batches(settings),
        load::options(settings),
        builds::tracing(settings),
        load::names(settings),
        worst_push::scenario(settings),
    ];
    scenarios.extend(durable::all(settings));
    scenarios
}
