//! Where pushes leave their jobs while the workers of a channel are busy.
//!
//! Workers settle and claim in batches and hold the channel's lock for a microsecond or two at a time; pushes that wait
//! for that lock would wait longer than they take. So the common push, a ready job of a known kind while nobody needs to
//! be woken, leaves the job here, under a lock of its own that is held for a few dozen instructions. Whoever takes the
//! channel's lock collects what is here first, so that under it the store is complete and in order; what a push needs to
//! know of the channel is noted here whenever that lock is let go.
//!
//! The lock order is channel → inbox.

use super::ids::{Ids, Numbers};
use super::pile::Pile;
use super::push::Submission;
use crate::job::JobId;
use crate::store::Store;
use crate::sync::{AtomicBool, AtomicU16, AtomicUsize, Mutex, MutexGuard, Ordering};

pub(super) struct Inbox {
    letters: Mutex<Letters>,
    /// An idle worker wants to be woken. Set only under the inbox's lock and while it is empty, so that no push misses it.
    is_wanted: AtomicBool,
    /// Jobs and bytes that wait in the channel, so that the bounds hold; the largest number when no push may come in here.
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Jobs of these priorities were claimed ahead, a bit for each: one of another priority may have to go before them.
    ahead: AtomicU16,
}

#[derive(Default)]
pub(super) struct Letters {
    pile: Pile,
    bytes: usize,
    /// For what comes in here, and past here under both locks.
    pub(super) ids: Ids,
}

/// So many jobs may lie here: then a push collects them itself, which bounds what a worker has to do at once, and keeps
/// the memory from growing twice. With 256, pushes and a worker could keep each other from the channel's lock: a push held it
/// for so long that the worker went to sleep, and came back when the next one held it.
const ROOM: usize = 1024;

/// What a channel's inbox has to know of the channel.
pub(super) struct Notes {
    /// `None` when every push has to look at the channel itself.
    pub(super) waiting: Option<(usize, usize)>,
    pub(super) ahead: u16,
}

impl Inbox {
    pub(super) fn new(notes: &Notes) -> Self {
        let this = Self {
            letters: Mutex::new(Letters::default()),
            is_wanted: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            ahead: AtomicU16::new(0),
        };
        this.note(notes);
        this
    }

    /// Leaves a job here, if it is a common one and nobody has to be asked or woken for it.
    pub(super) fn post(
        &self,
        job: &mut Submission,
        (capacity, capacity_bytes): (usize, usize),
        numbers: &Numbers,
    ) -> Option<JobId> {
        if self.is_wanted.load(Ordering::Relaxed) {
            // Probably: the channel's lock is next, under which it is certain.
            return None;
        }
        let mut letters = self.letters.lock();
        let waiting = self.waiting.load(Ordering::Relaxed).saturating_add(letters.pile.len());
        let bytes = self.waiting_bytes.load(Ordering::Relaxed).saturating_add(letters.bytes);
        let ahead = self.ahead.load(Ordering::Relaxed);
        let fits = waiting < capacity && bytes.saturating_add(job.payload.len()) <= capacity_bytes;
        let is_next = ahead == 0 || ahead == 1 << job.options.priority.level();
        if !fits || !is_next || letters.pile.len() == ROOM || self.is_wanted.load(Ordering::Relaxed) {
            return None;
        }
        let id = letters.ids.next(numbers);
        letters.bytes += job.payload.len();
        letters.pile.add(id, job.kind, job.options.priority, &mut job.payload);
        Some(id)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock()
    }

    /// Moves what is here to the store, for a caller that holds both locks.
    pub(super) fn collect(&self, letters: &mut Letters, store: &mut Store) {
        if letters.pile.is_empty() {
            return;
        }
        self.add(letters.pile.len(), std::mem::take(&mut letters.bytes));
        letters.pile.empty_into(store);
    }

    /// Moves what is here to the store, by way of `spare`, and keeps pushes out for no longer than it takes to look. The
    /// caller holds the channel's lock.
    pub(super) fn sweep(&self, spare: &mut Pile, store: &mut Store) {
        {
            let mut letters = self.letters.lock();
            if letters.pile.is_empty() {
                return;
            }
            std::mem::swap(&mut letters.pile, spare);
            let bytes = std::mem::take(&mut letters.bytes);
            self.add(spare.len(), bytes);
        }
        spare.empty_into(store);
    }

    /// An idle worker wants to be woken from now on, unless there is something for it. The caller holds the channel's
    /// lock.
    pub(super) fn want(&self) -> bool {
        if self.is_wanted.load(Ordering::Relaxed) {
            return true;
        }
        let letters = self.letters.lock();
        let is_empty = letters.pile.is_empty();
        if is_empty {
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        is_empty
    }

    /// As [`want`](Self::want) and [`unwant`](Self::unwant), for a caller that holds both locks and has collected.
    pub(super) fn set_wanted(&self, wanted: bool) {
        self.is_wanted.store(wanted, Ordering::Relaxed);
    }

    /// Nobody idle is left to be woken. The caller holds the channel's lock.
    pub(super) fn unwant(&self) {
        if self.is_wanted.load(Ordering::Relaxed) {
            self.is_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Notes how things stand. The caller holds the channel's lock.
    pub(super) fn note(&self, notes: &Notes) {
        let (waiting, bytes) = notes.waiting.unwrap_or((usize::MAX, usize::MAX));
        self.waiting.store(waiting, Ordering::Relaxed);
        self.waiting_bytes.store(bytes, Ordering::Relaxed);
        self.ahead.store(notes.ahead, Ordering::Relaxed);
    }

    /// What was collected still waits. The caller holds both locks.
    fn add(&self, jobs: usize, bytes: usize) {
        let add = |to: &AtomicUsize, more| {
            to.store(to.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
        };
        add(&self.waiting, jobs);
        add(&self.waiting_bytes, bytes);
    }
}

#[cfg(all(test, queue_loom))]
mod tests {
    use std::time::Instant;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::job::JobOptions;
    use crate::payload::Payload;
    use crate::registry::Kind;
    use crate::store::DeadLimits;

    /// As much of a channel as matters here.
    struct Channel {
        state: Mutex<State>,
        inbox: Inbox,
    }

    struct State {
        store: Store,
        is_idle: bool,
        wakes: usize,
    }

    impl Channel {
        #[expect(clippy::disallowed_methods, reason = "nothing here depends on the time")]
        fn new() -> Arc<Self> {
            let store = Store::new("queue".into(), Instant::now(), DeadLimits { jobs: 1, bytes: 1 });
            let inbox = Inbox::new(&Notes { waiting: Some((0, 0)), ahead: 0 });
            Arc::new(Self { state: Mutex::new(State { store, is_idle: false, wakes: 0 }), inbox })
        }

        fn push(&self, id: u64) {
            let options = JobOptions::default();
            let mut job = Submission { kind: Kind::from_index(0), payload: Payload::empty(), options };
            if self.inbox.post(&mut job, (10, 10), &Numbers::new()).is_some() {
                return;
            }
            let state = &mut *self.state.lock();
            let letters = &mut *self.inbox.lock();
            self.inbox.collect(letters, &mut state.store);
            state.store.push_plain(JobId::new(id), job.kind, job.options.priority, &mut job.payload);
            state.wakes += usize::from(std::mem::take(&mut state.is_idle));
            self.inbox.set_wanted(state.is_idle);
        }

        /// One turn of a worker: it takes what there is, or goes to sleep.
        fn turn(&self) -> usize {
            let state = &mut *self.state.lock();
            let mut spare = Pile::default();
            self.inbox.sweep(&mut spare, &mut state.store);
            let claimed = usize::from(state.store.claim(0).is_some());
            state.is_idle = claimed == 0;
            while state.is_idle && !self.inbox.want() {
                self.inbox.sweep(&mut spare, &mut state.store);
                state.is_idle = false;
                state.wakes += 1;
            }
            if !state.is_idle {
                self.inbox.unwant();
            }
            claimed
        }
    }

    /// However a push and a worker that goes to sleep meet, the worker has the job or was woken for it.
    #[test]
    fn no_wake_up_is_lost() {
        loom::model(|| {
            let channel = Channel::new();
            let pushing = {
                let channel = channel.clone();
                thread::spawn(move || channel.push(1))
            };
            let claimed = channel.turn();
            pushing.join().unwrap();
            let wakes = channel.state.lock().wakes;
            let claimed = claimed + if wakes > 0 { channel.turn() } else { 0 };
            assert_eq!(claimed, 1, "the worker sleeps and the job waits");
        });
    }
}
