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
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::{Event as Notify, EventListener};
use parking_lot::Mutex;

use super::Core;
use super::channel::{Channel, Totals, name_of, raise};
use crate::event::Event;
use crate::job::{JobId, JobOptions, NewJob};
use crate::shutdown::{HandedBack, ShutdownReport};
use crate::slot::Signal;
use crate::store::Remains;

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
            channel.advance_phase(self, Phase::Draining, &[]);
        }
    }

    /// The deadline has passed: interrupts what runs.
    pub(crate) fn interrupt(&self) {
        let insiders = self.closing.state.lock().insiders.clone();
        for channel in self.channels() {
            channel.advance_phase(self, Phase::Cancelling, &insiders);
        }
    }

    /// The report, if shutdown is complete or can be completed now; `force` completes it without those that still run.
    pub(crate) fn try_report(&self, force: bool) -> Option<Arc<ShutdownReport>> {
        let mut closing = self.closing.state.lock();
        if closing.report.is_none() {
            let before = closing.before?;
            let insiders = &closing.insiders;
            if !force && !self.channels().iter().all(|channel| channel.is_drained(insiders)) {
                return None;
            }
            let report = self.close(before, insiders);
            closing.report = Some(Arc::new(report));
            drop(closing);
            self.closed();
            closing = self.closing.state.lock();
        }
        closing.report.clone()
    }

    /// Nobody owns the queue any more: stops the workers, reports to no one.
    pub(super) fn abandon(&self) {
        for channel in self.channels() {
            channel.advance_phase(self, Phase::Closed, &[]);
        }
        self.closed();
    }

    fn close(&self, before: Totals, insiders: &[JobId]) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        for channel in self.channels() {
            channel.advance_phase(self, Phase::Closed, insiders);
            let (taken, running) = channel.take_all();
            report.handed_back.extend(taken.into_iter().map(|remains| channel.handed_back(self, remains)));
            report.abandoned.extend(running);
        }
        let after = self.totals();
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
            let totals = channel.state.lock().totals;
            sum.finished += totals.finished;
            sum.dead += totals.dead;
            sum.cancelled += totals.cancelled;
        }
        sum
    }
}

impl Channel {
    /// Goes on to `phase`, if that is further, and tells everyone whom it concerns; what `insiders` run is left alone.
    fn advance_phase(&self, core: &Core, phase: Phase, insiders: &[JobId]) {
        self.with(core, |state, effects| {
            effects.closing = true;
            if state.phase >= phase {
                return;
            }
            state.phase = phase;
            for waker in state.waiters.dismiss() {
                effects.wake(waker);
            }
            while let Some(waker) = state.seats.rouse() {
                effects.wake(waker);
            }
            let delayed = state.store.take_delayed();
            for remains in &delayed {
                core.record(effects, || Event::HandedBack(self.info_of(core, remains)));
            }
            state.taken.extend(delayed);
            if phase >= Phase::Cancelling {
                for (_, worker) in state.store.running().filter(|(id, _)| !insiders.contains(id)) {
                    raise(state.seats.slot(worker), Signal::Stop, effects);
                }
            }
        });
    }

    /// Whether there is nothing to wait for: all that could run has run, except for `insiders`.
    fn is_drained(&self, insiders: &[JobId]) -> bool {
        let state = self.state.lock();
        let counts = state.store.counts();
        let inside = if counts.running == 0 {
            0
        } else {
            state.store.running().filter(|(id, _)| insiders.contains(id)).count()
        };
        let nobody_claims = state.paused || state.phase >= Phase::Cancelling || state.seats.taken() <= inside;
        counts.running <= inside && (counts.ready == 0 || nobody_claims)
    }

    /// Everything that waits, and who still runs.
    fn take_all(&self) -> (Vec<Remains>, Vec<JobId>) {
        let mut state = self.state.lock();
        let mut taken = std::mem::take(&mut state.taken);
        taken.extend(state.store.take_ready());
        taken.extend(state.store.take_delayed());
        (taken, state.store.running().map(|(id, _)| id).collect())
    }

    fn handed_back(&self, core: &Core, remains: Remains) -> HandedBack {
        let kind = name_of(core, &remains);
        let mut overrides = remains.extras.and_then(|extras| extras.overrides).unwrap_or_default();
        overrides.queue = Some(self.name().clone());
        let options = JobOptions { delay: None, priority: remains.priority, overrides: Some(overrides) };
        HandedBack {
            id: remains.id,
            attempts: remains.attempt,
            job: NewJob { kind, payload: remains.payload, options },
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
