//! Shows everything to all invariants.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use queue_core::{Event, Handle, Subscription};
use queue_sim::{Moment, World};

use super::facts::job_of;
use super::{Bounds, End, Facts, Holds, Invariant, Look, Named, Seen, What, all, of_scenarios};

/// Watches a queue of a simulation. Cheap to clone; a clone is the same monitor.
///
/// Handlers may use it: what does not hold is kept, and fails the simulation after the step.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<State>>);

struct State {
    sim: World,
    handle: Handle,
    events: Subscription,
    invariants: Vec<Named>,
    facts: Facts,
    /// When it last looked.
    since: Duration,
    broken: Option<String>,
    /// There is nothing more to see.
    is_over: bool,
}

impl Monitor {
    /// Watches this queue from now on, with all invariants.
    #[must_use]
    pub fn new(sim: &World, handle: Handle, queues: Vec<Bounds>, tolerance: Duration) -> Self {
        let facts = Facts { queues, tolerance, pushes_are_known: true, ..Facts::default() };
        Self::with(sim, handle, all(), facts)
    }

    /// Watches the queue of a scenario, with the invariants that need nothing but its events and counts, until the queue
    /// is closed.
    pub fn of_scenario(sim: &World, handle: Handle) {
        Self::with(sim, handle, of_scenarios(), Facts::default());
    }

    fn with(sim: &World, handle: Handle, invariants: Vec<Named>, facts: Facts) -> Self {
        let events = handle.subscribe(1 << 14);
        let (sim, since) = (sim.clone(), sim.elapsed());
        let state = State { sim, handle, events, invariants, facts, since, broken: None, is_over: false };
        let sim = state.sim.clone();
        let this = Self(Arc::new(Mutex::new(state)));
        let watcher = this.clone();
        sim.watch(move |moment| watcher.look(moment));
        this
    }

    /// Something happened that the queue does not tell of.
    pub fn note(&self, what: &What) {
        let mut state = self.0.lock();
        state.read_events();
        state.show(what);
    }

    /// What is known so far.
    pub fn facts<T>(&self, read: impl FnOnce(&Facts) -> T) -> T {
        let mut state = self.0.lock();
        state.read_events();
        read(&state.facts)
    }

    /// All is over.
    ///
    /// # Panics
    ///
    /// When something does not hold.
    pub fn end(&self, end: &End) {
        let mut state = self.0.lock();
        state.read_events();
        state.ask(|invariant, facts| invariant.end(end, facts));
        state.fail();
    }

    /// How many events were missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.lock().events.missed()
    }

    fn look(&self, moment: Moment) {
        let mut state = self.0.lock();
        // What was missed can be anything.
        state.is_over |= !state.facts.pushes_are_known && state.events.missed() > 0;
        if state.is_over {
            return;
        }
        let has_changed = state.read_events();
        // After the end nobody is told what becomes of attempts that outlive it.
        state.is_over = !state.facts.pushes_are_known && state.is_closed();
        if state.is_over {
            return state.fail();
        }
        if has_changed || moment == Moment::Lull {
            let queues = &state.facts.queues;
            let counts = queues.iter().map(|bounds| state.handle.counts(&bounds.name).unwrap_or_default());
            let look =
                Look { at: state.sim.elapsed(), counts: counts.collect(), is_lull: moment == Moment::Lull };
            state.ask(|invariant, facts| invariant.look(&look, facts));
        }
        state.since = state.sim.elapsed();
        state.fail();
    }
}

impl State {
    fn read_events(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.events.try_recv() {
            any = true;
            self.meet_queue(&event);
            self.show(&What::Event(event));
        }
        any
    }

    /// Takes note of a named queue that was not known before.
    fn meet_queue(&mut self, event: &Event) {
        let name = match event {
            Event::WorkerStarted { queue } | Event::WorkerStopped { queue } => Some(queue),
            event => job_of(event).map(|job| &job.queue),
        };
        let Some(name) = name.filter(|_| !self.facts.pushes_are_known) else { return };
        if self.facts.queues.iter().all(|known| known.name != *name) {
            self.facts.queues.push(Bounds::unknown(name.clone()));
        }
    }

    fn is_closed(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(pin!(self.events.recv()).poll(&mut cx), Poll::Ready(None))
    }

    fn show(&mut self, what: &What) {
        self.sim.note(format_args!("{what:?}"));
        let (since, at) = (self.since, self.sim.elapsed());
        self.ask(|invariant, facts| invariant.see(&Seen { since, at, what }, facts));
        self.facts.note(at, what);
    }

    fn ask(&mut self, mut ask: impl FnMut(&mut dyn Invariant, &Facts) -> Holds) {
        for (name, invariant) in &mut self.invariants {
            if let Err(wrong) = ask(&mut **invariant, &self.facts) {
                self.broken.get_or_insert_with(|| format!("{name} does not hold: {wrong}"));
            }
        }
    }

    fn fail(&mut self) {
        if let Some(broken) = self.broken.take() {
            // Not `panic!`, which prints: the simulation says what failed, with its seed.
            std::panic::resume_unwind(Box::new(broken));
        }
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("facts", &self.0.lock().facts).finish_non_exhaustive()
    }
}
