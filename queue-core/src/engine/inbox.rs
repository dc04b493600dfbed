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
use crate::job::{Content, JobId};
use crate::registry::Kind;
use crate::store::Store;
use crate::sync::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Mutex, MutexGuard, Ordering};

/// All of it is one cache line, which goes to and fro between who pushes and who works.
pub(super) struct Inbox {
    letters: Mutex<Letters>,
    /// An idle worker wants to be woken. Set only under the inbox's lock and while it is empty, so that no push misses it.
    is_wanted: AtomicBool,
    /// Jobs of these priorities were claimed ahead, a bit for each: one of another priority may have to go before them.
    ahead: AtomicU16,
    /// How many more jobs and bytes may wait than do in the channel, so that the bounds hold; none when no push may come in
    /// here.
    room: AtomicU32,
    room_bytes: AtomicUsize,
}

#[derive(Default)]
pub(super) struct Letters {
    pile: Pile,
    /// For what comes in here, and past here under both locks.
    pub(super) ids: Ids,
}

/// So many jobs may lie here: then a push collects them itself, which bounds what a worker has to do at once, and keeps
/// the memory from growing twice. With 256, pushes and a worker could keep each other from the channel's lock: a push held it
/// for so long that the worker went to sleep, and came back when the next one held it.
const ROOM: u32 = 1024;

/// What a channel's inbox has to know of the channel.
pub(super) struct Notes {
    /// How many more jobs and bytes may wait; `None` when every push has to look at the channel itself.
    pub(super) room: Option<(usize, usize)>,
    pub(super) ahead: u16,
}

impl Inbox {
    pub(super) fn new(notes: &Notes) -> Self {
        let this = Self {
            letters: Mutex::new(Letters::default()),
            is_wanted: AtomicBool::new(false),
            ahead: AtomicU16::new(0),
            room: AtomicU32::new(0),
            room_bytes: AtomicUsize::new(0),
        };
        this.note(notes);
        this
    }

    /// Leaves a job here, if it is a common one and nobody has to be asked or woken for it.
    pub(super) fn post(&self, kind: Kind, content: &mut Content, numbers: &Numbers) -> Option<JobId> {
        if self.is_wanted.load(Ordering::Relaxed) {
            // Probably: the channel's lock is next, under which it is certain.
            return None;
        }
        let Content { payload, options } = content;
        let mut letters = self.letters.lock();
        let bytes = letters.pile.bytes().checked_add(u32::try_from(payload.len()).ok()?)?;
        let ahead = self.ahead.load(Ordering::Relaxed);
        let fits = letters.pile.len() < self.room.load(Ordering::Relaxed).min(ROOM)
            && bytes as usize <= self.room_bytes.load(Ordering::Relaxed);
        let is_next = ahead == 0 || ahead == 1 << options.priority.level();
        if !fits || !is_next || self.is_wanted.load(Ordering::Relaxed) {
            return None;
        }
        let id = letters.ids.next(numbers);
        letters.pile.add(id, kind, options.priority, payload, bytes);
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
        self.fill(&letters.pile);
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
            self.fill(spare);
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
        let (room, bytes) = notes.room.unwrap_or((0, 0));
        self.room.store(u32::try_from(room).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.room_bytes.store(bytes, Ordering::Relaxed);
        self.ahead.store(notes.ahead, Ordering::Relaxed);
    }

    /// What was collected takes up room in the channel. The caller holds both locks.
    fn fill(&self, pile: &Pile) {
        let (room, bytes) = (self.room.load(Ordering::Relaxed), self.room_bytes.load(Ordering::Relaxed));
        self.room.store(room.saturating_sub(pile.len()), Ordering::Relaxed);
        self.room_bytes.store(bytes.saturating_sub(pile.bytes() as usize), Ordering::Relaxed);
    }
}

#[cfg(all(test, queue_loom))]
mod tests {
    use std::time::Instant;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::payload::Payload;
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
            let inbox = Inbox::new(&Notes { room: Some((10, 10)), ahead: 0 });
            Arc::new(Self { state: Mutex::new(State { store, is_idle: false, wakes: 0 }), inbox })
        }

        fn push(&self, id: u64) {
            let kind = Kind::from_index(0);
            let mut content = Content::new(Payload::empty());
            if self.inbox.post(kind, &mut content, &Numbers::new()).is_some() {
                return;
            }
            let state = &mut *self.state.lock();
            let letters = &mut *self.inbox.lock();
            self.inbox.collect(letters, &mut state.store);
            let Content { payload, options } = &mut content;
            state.store.push_plain(JobId::new(id), kind, options.priority, payload);
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

#[cfg(all(test, not(any(queue_loom, queue_shuttle))))]
mod bounds {
    use super::*;
    use crate::payload::Payload;
    use crate::store::DeadLimits;
    use crate::store::sample::epoch;

    #[test]
    fn an_inbox_is_one_cache_line() {
        assert_eq!(size_of::<Inbox>(), 64);
    }

    /// From the sweep until the next note, too: pushes go on meanwhile.
    #[test]
    fn what_was_collected_takes_up_room() {
        let (numbers, mut spare) = (Numbers::new(), Pile::default());
        let mut store = Store::new("queue".into(), epoch(), DeadLimits { jobs: 1, bytes: 1 });
        for (room, sizes, fit) in [
            ((5, usize::MAX), [0, 1, 2, 3, 4, 5], 5),
            ((usize::MAX, 9), [0, 1, 2, 3, 4, 5], 4),
            ((6, 15), [0, 1, 2, 3, 4, 5], 6),
            ((0, 0), [0; 6], 0),
        ] {
            let inbox = Inbox::new(&Notes { room: Some(room), ahead: 0 });
            let posted = sizes.into_iter().take_while(|size| {
                let mut content = Content::new(Payload::from(vec![b'x'; *size]));
                let id = inbox.post(Kind::from_index(0), &mut content, &numbers);
                inbox.sweep(&mut spare, &mut store);
                id.is_some()
            });
            assert_eq!(posted.count(), fit, "{room:?}");
        }
        let closed = Inbox::new(&Notes { room: None, ahead: 0 });
        let mut content = Content::new(Payload::empty());
        assert_eq!(closed.post(Kind::from_index(0), &mut content, &numbers), None);
    }
}
