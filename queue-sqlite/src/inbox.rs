//! What the queue hands to the writer's thread, and how that sleeps.
//!
//! The queue calls from any thread and under its locks, so everything here is short. The thread is woken only if it sleeps
//! and what came may not wait.

use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use queue_core::{Change, Loading, Sink, Urgency};

/// How long changes are kept for company that are not urgent at all, and those that are a little.
///
/// Whoever waited for a push often pushes again when the job that it pushed is hardly done; to write that alone would keep
/// the next push waiting for a whole write. A thread takes some 50 µs to be back.
const COMPANY: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(1);

/// How many changes go into one transaction at most: whoever waits for a payload waits for no more than these.
pub(crate) const LARGEST: usize = 8192;

/// How many that somebody waits for are worth being woken for: to write so many takes some 40 us, a wake-up 5 to 10. So much
/// of the writing is done while others still come.
const SLICE: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    called: Condvar,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<Change>,
    /// How many of them somebody waits for.
    calls: usize,
    /// Whether any of the others is to be written soon.
    soon: bool,
    loads: Vec<Loading>,
    sink: Sink,
    /// While the thread sleeps: what wakes it.
    wakes_for: Option<Wakes>,
    stop: Stop,
    released: bool,
}

#[derive(Clone, Copy, Debug)]
enum Wakes {
    Any,
    Soon,
    /// So many that somebody waits for.
    Calls(usize),
}

/// How long the thread may sleep if nothing comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rest {
    /// It has just written something, and more will come.
    Short,
    Until(Instant),
    Long,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    #[default]
    Not,
    /// Files and locks are to be let go; whatever still comes is to be refused.
    Close,
    /// Nobody is left who could hand over anything.
    End,
}

/// All that waited.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) changes: Vec<Change>,
    pub(crate) loads: Vec<Loading>,
    pub(crate) sink: Sink,
    pub(crate) stop: Stop,
}

impl Inbox {
    pub(crate) fn begin(&self, sink: Sink) {
        self.state.lock().sink = sink;
    }

    /// Takes the changes, and leaves the vector empty.
    pub(crate) fn append(&self, changes: &mut Vec<Change>) {
        let calls = calls(changes);
        let soon = changes.iter().any(|change| change.urgency() == Urgency::Soon);
        let mut state = self.state.lock();
        if state.changes.is_empty() {
            mem::swap(&mut state.changes, changes);
        } else {
            state.changes.append(changes);
        }
        state.calls += calls;
        state.soon |= soon;
        if state.wakes_for.is_some_and(|wakes| state.has(wakes)) {
            state.wakes_for = None;
            drop(state);
            self.called.notify_one();
        }
    }

    pub(crate) fn load(&self, loading: Loading) {
        self.change(|state| state.loads.push(loading));
    }

    /// Goes further towards the end; never back.
    pub(crate) fn stop(&self, stop: Stop) {
        self.change(|state| state.stop = state.stop.max(stop));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.wakes_for = None;
        drop(state);
        self.called.notify_one();
    }

    /// The thread holds no files and no locks any more.
    pub(crate) fn release(&self) {
        self.state.lock().released = true;
        self.released.notify_all();
    }

    /// Waits until the thread holds no files and no locks.
    pub(crate) fn wait_for_release(&self) {
        let mut state = self.state.lock();
        while !state.released {
            self.released.wait(&mut state);
        }
    }

    /// Waits for something to do. `seen` is how far the end had come when the thread last looked.
    pub(crate) fn wait(&self, rest: Rest, seen: Stop) -> Taken {
        let (mut pause, mut until) = match rest {
            Rest::Short => (Some(now() + PAUSE), Some(now() + COMPANY)),
            Rest::Until(time) => (None, Some(time)),
            Rest::Long => (None, None),
        };
        let mut state = self.state.lock();
        loop {
            let wakes = if pause.is_some() { Wakes::Calls(1) } else { Wakes::Soon };
            if state.has(wakes) || !state.loads.is_empty() || state.stop > seen {
                return state.take();
            }
            if until.is_none() && !state.changes.is_empty() {
                until = Some(now() + COMPANY);
            }
            let Some(time) = pause.or(until) else {
                state.wakes_for = Some(Wakes::Any);
                self.called.wait(&mut state);
                continue;
            };
            state.wakes_for = Some(wakes);
            if self.called.wait_until(&mut state, time).timed_out() && pause.take().is_none() {
                return state.take();
            }
        }
    }

    /// Adds what has come since, if somebody waits for some of it and it is not more than one transaction may have. If so many
    /// of those are wanted, it waits for a part of them until then, unless there is something else to do. Says how many came.
    pub(crate) fn take_more(&self, changes: &mut Vec<Change>, wanted: usize, until: Instant) -> usize {
        let wanted = wanted.min(SLICE);
        let mut state = self.state.lock();
        let is_free = |state: &State| state.loads.is_empty() && state.stop == Stop::Not;
        while state.calls < wanted && is_free(&state) {
            state.wakes_for = Some(Wakes::Calls(wanted));
            if self.called.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.wakes_for = None;
        let fits = changes.len() + state.changes.len() <= LARGEST;
        if state.calls == 0 || !fits || !is_free(&state) {
            return 0;
        }
        let calls = state.calls;
        changes.append(&mut state.take().changes);
        calls
    }

    pub(crate) fn take_loads(&self) -> Vec<Loading> {
        mem::take(&mut self.state.lock().loads)
    }

    /// Whether there is nothing to be done soon.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        !state.has(Wakes::Soon) && state.loads.is_empty() && state.stop == Stop::Not
    }
}

impl State {
    fn has(&self, wakes: Wakes) -> bool {
        match wakes {
            Wakes::Any => !self.changes.is_empty(),
            Wakes::Soon => self.soon || self.calls > 0,
            Wakes::Calls(wanted) => self.calls >= wanted,
        }
    }

    fn take(&mut self) -> Taken {
        self.wakes_for = None;
        self.calls = 0;
        self.soon = false;
        Taken {
            changes: mem::take(&mut self.changes),
            loads: mem::take(&mut self.loads),
            sink: self.sink.clone(),
            stop: self.stop,
        }
    }
}

/// How many of these somebody waits for.
pub(crate) fn calls(changes: &[Change]) -> usize {
    changes.iter().filter(|change| change.urgency() == Urgency::Now).count()
}

/// The thread's own clock: it waits for a disk, which no runtime's clock drives.
#[expect(clippy::disallowed_methods, reason = "no runtime's clock drives a disk")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use queue_core::{JobId, JobRecord, Priority, Record};

    use super::*;

    const LONG: Duration = Duration::from_mins(5);

    fn push(inbox: &Inbox) {
        let (queue, kind, priority) = ("default".into(), "work".into(), Priority::NORMAL);
        let payload = "{}".into();
        let job = JobRecord { id: JobId::new(1), queue, kind, priority, due: None, payload, options: None };
        inbox.append(&mut vec![Change::new(Record::Pushed(Box::new(job)))]);
    }

    fn start(inbox: &Inbox) {
        inbox.append(&mut vec![Change::new(Record::Started { id: JobId::new(1) })]);
    }

    fn end(inbox: &Inbox) {
        inbox.append(&mut vec![Change::new(Record::Done { id: JobId::new(1) })]);
    }

    #[test]
    fn what_nobody_waits_for_is_taken_all_the_same() {
        let inbox = Inbox::default();
        let taken = |rest| inbox.wait(rest, Stop::Not).changes.len();
        for rest in [Rest::Short, Rest::Until(now() + LONG), Rest::Long] {
            start(&inbox);
            end(&inbox);
            assert_eq!(taken(rest), 2, "{rest:?}");
        }
        start(&inbox);
        assert_eq!(taken(Rest::Short), 1);
        start(&inbox);
        assert_eq!(taken(Rest::Long), 1);
        assert_eq!(taken(Rest::Short), 0);
    }

    #[test]
    fn an_end_waits_for_a_push_and_goes_along() {
        let inbox = Inbox::default();
        let mut changes = Vec::new();
        end(&inbox);
        inbox.take_more(&mut changes, 0, now() + LONG);
        assert!(changes.is_empty(), "nobody waits for it");
        push(&inbox);
        assert_eq!(inbox.take_more(&mut changes, 0, now() + LONG), 1);
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn no_transaction_is_larger_than_it_may_be() {
        let inbox = Inbox::default();
        push(&inbox);
        push(&inbox);
        let full = LARGEST - 1;
        let mut changes: Vec<_> =
            (0..full).map(|_| Change::new(Record::Done { id: JobId::new(1) })).collect();
        inbox.take_more(&mut changes, 0, now() + LONG);
        assert_eq!(changes.len(), full, "one more would fit, but there are two");
        changes.pop();
        inbox.take_more(&mut changes, 0, now() + LONG);
        assert_eq!(changes.len(), LARGEST);
    }

    #[test]
    fn who_has_company_waits_for_it() {
        let inbox = Inbox::default();
        let mut changes = Vec::new();
        inbox.take_more(&mut changes, 1, now());
        assert!(changes.is_empty(), "it does not come");
        thread::scope(|scope| {
            scope.spawn(|| {
                push(&inbox);
                start(&inbox);
                push(&inbox);
            });
            inbox.take_more(&mut changes, 2, now() + LONG);
        });
        assert_eq!(changes.len(), 3);
    }

    #[test]
    fn much_company_is_taken_in_slices() {
        let inbox = Inbox::default();
        let mut changes = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| (0..SLICE).for_each(|_| push(&inbox)));
            assert_eq!(inbox.take_more(&mut changes, 2 * SLICE, now() + LONG), SLICE);
        });
        assert_eq!(changes.len(), SLICE);
    }

    #[test]
    fn the_end_is_not_kept_waiting_by_who_does_not_come() {
        let inbox = Inbox::default();
        let mut changes = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                push(&inbox);
                inbox.stop(Stop::Close);
            });
            inbox.take_more(&mut changes, 2, now() + LONG);
        });
        assert!(changes.is_empty(), "how it ends is for who sees the end");
        let taken = inbox.wait(Rest::Long, Stop::Not);
        assert_eq!((taken.changes.len(), taken.stop), (1, Stop::Close));
    }
}
