//! Shutdown: stop taking jobs in, drain, interrupt, hand back, report.
//!
//! ```text
//!   Open ──begin──▶ Draining ──deadline──▶ Cancelling ──everyone left, or grace is over──▶ Closed
//!                      └──────────── drained ──────────────────────────────────────────────▲
//!   Open ──the last Queue is dropped───────────────────────────────────────────────────────┘
//! ```
//!
//! Any number of callers may wait; each pushes the phases on as its own deadline says, all get the same report.

use std::fmt;
use std::sync::Arc;

use event_listener::EventListener;

use super::channel::{Channel, ChannelState, Totals, name_of};
use super::remote::give_back;
use super::{Core, Durable, Effects};
use crate::event::Event;
use crate::job::{Content, JobId, JobOptions, NewJob};
use crate::progress::Signal;
use crate::shutdown::{HandedBack, ShutdownReport};
use crate::store::Remains;
use crate::sync::{AtomicBool, Mutex, Notify, Ordering};
use crate::unwind::drop_quietly;

/// How far shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    /// Nothing new comes in; what is ready still runs.
    Draining,
    /// Nothing starts; what runs is interrupted.
    Cancelling,
    Closed,
}

/// Shutdown's own state.
#[derive(Default)]
pub(crate) struct Closing {
    state: Mutex<ClosingState>,
    closed: AtomicBool,
    changed: Notify,
}

#[derive(Default)]
struct ClosingState {
    /// What had become of jobs before shutdown began.
    before: Option<Totals>,
    /// Attempts that wait for shutdown themselves: nobody waits for them.
    insiders: Vec<JobId>,
    report: Option<Arc<ShutdownReport>>,
}

impl Closing {
    pub(super) fn notify(&self) {
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn enter_insider(&self, id: JobId) {
        self.state.lock().insiders.push(id);
        self.notify();
    }

    pub(crate) fn leave_insider(&self, id: JobId) {
        self.state.lock().insiders.retain(|insider| *insider != id);
    }
}

impl Core {
    /// Stops taking jobs in and hands back those that wait for their time.
    pub(crate) fn begin_shutdown(&self) {
        {
            let mut closing = self.closing.state.lock();
            if closing.before.is_some() {
                return;
            }
            closing.before = Some(self.totals());
        }
        for channel in self.channels() {
            channel.drain(self);
        }
    }

    /// The deadline has passed: interrupts what runs.
    pub(crate) fn interrupt(&self) {
        let insiders = self.closing.state.lock().insiders.clone();
        for channel in self.channels() {
            channel.interrupt(self, &insiders);
        }
    }

    /// The report, if shutdown is complete or can be completed now; `force` completes it without those that still run.
    pub(crate) fn try_report(&self, force: bool) -> Option<Arc<ShutdownReport>> {
        let mut closing = self.closing.state.lock();
        if let Some(report) = &closing.report {
            return Some(report.clone());
        }
        let before = closing.before?;
        if !force && !self.is_drained(&closing.insiders) {
            return None;
        }
        let mut effects = Effects::default();
        let report = Arc::new(self.close(before, &closing.insiders, &mut effects));
        closing.report = Some(report.clone());
        drop(closing);
        effects.run(self);
        self.closed();
        Some(report)
    }

    /// Whether there is nothing to wait for, neither of jobs nor of what is to be recorded of them.
    fn is_drained(&self, insiders: &[JobId]) -> bool {
        // Looked at twice: what arrives is drained then, and what is drained has been recorded.
        let is_settled = || self.durable.as_ref().is_none_or(Durable::is_settled);
        is_settled()
            && self.channels().iter().all(|channel| channel.is_drained(self, insiders))
            && is_settled()
    }

    /// Nobody owns the queue any more: stops the workers and drops what waits, reports to no one.
    pub(super) fn abandon(&self) {
        for channel in self.channels() {
            channel.abandon(self);
        }
        self.closed();
    }

    /// Ends once the queue is closed.
    pub(crate) async fn wait_until_closed(&self) {
        while !self.closing.is_closed() {
            let listener = self.closing.listen();
            if !self.closing.is_closed() {
                listener.await;
            }
        }
    }

    fn close(&self, before: Totals, insiders: &[JobId], effects: &mut Effects) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        let mut after = Totals::default();
        for channel in self.channels() {
            let closed = channel.close(self, insiders, effects);
            if self.is_durable() {
                report.kept += closed.kept + closed.taken.len();
                closed.taken.into_iter().for_each(|remains| effects.drop_remains(remains));
            } else {
                let handed_back = closed.taken.into_iter().map(|remains| channel.handed_back(self, remains));
                report.handed_back.extend(handed_back);
            }
            report.abandoned.extend(closed.running);
            after.add(closed.totals);
        }
        report.finished = after.finished - before.finished;
        report.dead_lettered = after.dead - before.dead;
        report.cancelled = after.cancelled - before.cancelled;
        report.handed_back.sort_by_key(|handed_back| handed_back.id);
        report.abandoned.sort();
        report
    }

    fn closed(&self) {
        self.closing.closed.store(true, Ordering::SeqCst);
        self.board.dismiss();
        self.events.close();
        self.closing.notify();
    }

    fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for channel in self.channels() {
            sum.add(channel.state.lock().totals);
        }
        sum
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.finished += other.finished;
        self.dead += other.dead;
        self.cancelled += other.cancelled;
    }
}

/// What a channel held when it was closed. Taken under one lock: a job that ends at that moment is in one place.
struct Closed {
    taken: Vec<Remains>,
    kept: usize,
    running: Vec<JobId>,
    totals: Totals,
}

impl Channel {
    /// Stops taking jobs in, and takes out those that wait for their time.
    fn drain(&self, core: &Core) {
        self.with_inbox(core, |state, _, effects| {
            if state.advance_phase(Phase::Draining, &[], effects) {
                let delayed = state.store.take_delayed();
                self.hand_back(core, state, delayed, effects);
            }
        });
    }

    /// Starts nothing any more, and interrupts what runs, except for `insiders`.
    fn interrupt(&self, core: &Core, insiders: &[JobId]) {
        self.with_inbox(core, |state, _, effects| {
            self.recall(core, state, effects);
            state.advance_phase(Phase::Cancelling, insiders, effects);
        });
    }

    /// Takes out everything that is left. The caller runs the effects, once it holds no lock itself.
    fn close(&self, core: &Core, insiders: &[JobId], effects: &mut Effects) -> Closed {
        self.change_with_inbox(core, effects, |state, _, effects| {
            self.recall(core, state, effects);
            state.advance_phase(Phase::Closed, insiders, effects);
            let mut waiting = state.store.take_ready();
            waiting.extend(state.store.take_delayed());
            self.hand_back(core, state, waiting, effects);
            Closed {
                taken: std::mem::take(&mut state.taken),
                kept: state.kept,
                running: state.store.running().map(|(id, _)| id).collect(),
                totals: state.totals,
            }
        })
    }

    /// Lets go of everything that waits: there is nobody to give it to.
    fn abandon(&self, core: &Core) {
        let gone = self.with_inbox(core, |state, _, effects| {
            self.recall(core, state, effects);
            state.advance_phase(Phase::Closed, &[], effects);
            let mut gone = std::mem::take(&mut state.taken);
            gone.extend(state.store.take_ready());
            gone.extend(state.store.take_delayed());
            gone
        });
        gone.into_iter().for_each(drop_quietly);
    }

    /// Puts jobs aside that do not run any more: for the report, or, if they stay in the journal, to be let go of.
    pub(super) fn hand_back(
        &self,
        core: &Core,
        state: &mut ChannelState,
        waiting: Vec<Remains>,
        effects: &mut Effects,
    ) {
        if !core.is_durable() {
            for remains in &waiting {
                core.record(effects, || Event::HandedBack(self.info_of(core, remains)));
            }
        }
        if core.is_remote() {
            for remains in &waiting {
                give_back(state, remains.id);
            }
        }
        state.taken.extend(waiting);
    }

    /// Whether there is nothing to wait for: all that could run has run, except for `insiders`.
    fn is_drained(&self, core: &Core, insiders: &[JobId]) -> bool {
        let state = self.locked();
        let counts = state.store.counts();
        let inside = if counts.running == 0 {
            0
        } else {
            state.store.running().filter(|(id, _)| insiders.contains(id)).count()
        };
        let nobody_claims = state.paused
            || core.is_out()
            || state.phase >= Phase::Cancelling
            || state.seats.taken() <= inside;
        counts.running <= inside && (counts.ready == 0 || nobody_claims)
    }

    fn handed_back(&self, core: &Core, remains: Remains) -> HandedBack {
        let kind = name_of(core, &remains);
        let mut overrides = remains.extras.and_then(|extras| extras.overrides).unwrap_or_default();
        overrides.queue = Some(self.name().clone());
        let options = JobOptions { delay: None, priority: remains.priority, overrides: Some(overrides) };
        HandedBack {
            id: remains.id,
            attempts: remains.attempt,
            job: NewJob { kind, content: Content { payload: remains.payload, options } },
        }
    }
}

impl ChannelState {
    /// Goes on to `phase`, if that is further, and tells everyone whom it concerns; what `insiders` run is left alone.
    /// Returns whether it was.
    fn advance_phase(&mut self, phase: Phase, insiders: &[JobId], effects: &mut Effects) -> bool {
        effects.closing = true;
        if self.phase >= phase {
            return false;
        }
        self.phase = phase;
        for waker in self.waiters.dismiss() {
            effects.wake(waker);
        }
        while let Some(waker) = self.seats.rouse() {
            effects.wake(waker);
        }
        if phase >= Phase::Cancelling {
            for (_, worker) in self.store.running().filter(|(id, _)| !insiders.contains(id)) {
                effects.tell(self.seats.raise(worker, Signal::Stop));
            }
        }
        true
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
