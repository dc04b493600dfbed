//! Where pushes leave their jobs while the workers of a channel are busy.
//!
//! Workers settle and claim in batches and hold the channel's lock for a microsecond or two at a time; pushes that wait
//! for that lock would wait longer than they take. So the common push, a ready job of a known kind while nobody needs to
//! be woken, leaves the job here, under a lock of its own that is held for a few dozen instructions. Whoever takes the
//! channel's lock collects what is here first, so that under it the store is complete and in order; what a push needs to
//! know of the channel is noted here whenever that lock is let go.
//!
//! The lock order is channel → inbox.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::Core;
use super::push::Submission;
use crate::job::JobId;
use crate::payload::Payload;
use crate::store::{Entry, Store, When};

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
    entries: Vec<Entry>,
    bytes: usize,
}

/// So many jobs may lie here: then a push collects them itself, which bounds what a worker has to do at once, and keeps
/// the memory from growing twice.
const ROOM: usize = 256;

/// What a channel's inbox has to know of the channel.
pub(super) struct Notes {
    /// `None` when every push has to look at the channel itself.
    pub(super) waiting: Option<(usize, usize)>,
    pub(super) ahead: u16,
}

impl Inbox {
    /// Closed until the first notes.
    pub(super) fn new() -> Self {
        Self {
            letters: Mutex::default(),
            is_wanted: AtomicBool::new(false),
            waiting: AtomicUsize::new(usize::MAX),
            waiting_bytes: AtomicUsize::new(usize::MAX),
            ahead: AtomicU16::new(0),
        }
    }

    /// Leaves a job here, if it is a common one and nobody has to be asked or woken for it.
    pub(super) fn post(
        &self,
        core: &Core,
        job: &mut Submission,
        (capacity, capacity_bytes): (usize, usize),
    ) -> Option<JobId> {
        if !job.is_plain() || core.events.any() {
            return None;
        }
        let mut letters = self.letters.lock();
        let waiting = self.waiting.load(Ordering::Relaxed).saturating_add(letters.entries.len());
        let bytes = self.waiting_bytes.load(Ordering::Relaxed).saturating_add(letters.bytes);
        let ahead = self.ahead.load(Ordering::Relaxed);
        let fits = waiting < capacity && bytes.saturating_add(job.payload.len()) <= capacity_bytes;
        let is_next = ahead == 0 || ahead == 1 << job.options.priority.level();
        if !fits || !is_next || letters.entries.len() == ROOM || self.is_wanted.load(Ordering::Relaxed) {
            return None;
        }
        let id = core.next_id();
        letters.bytes += job.payload.len();
        let payload = std::mem::replace(&mut job.payload, Payload::empty());
        letters.entries.push(Entry::new(id, job.kind, job.options.priority, payload));
        Some(id)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock()
    }

    /// Moves what is here to the store, for a caller that holds both locks.
    pub(super) fn collect(&self, letters: &mut Letters, store: &mut Store) {
        let (jobs, bytes) = (letters.entries.len(), std::mem::take(&mut letters.bytes));
        for entry in letters.entries.drain(..) {
            store.push(entry, When::Now);
        }
        self.add(jobs, bytes);
    }

    /// Moves what is here to the store, by way of `spare`, and keeps pushes out for no longer than it takes to look. The
    /// caller holds the channel's lock.
    pub(super) fn sweep(&self, spare: &mut Vec<Entry>, store: &mut Store) {
        {
            let mut letters = self.letters.lock();
            if letters.entries.is_empty() {
                return;
            }
            std::mem::swap(&mut letters.entries, spare);
            let bytes = std::mem::take(&mut letters.bytes);
            self.add(spare.len(), bytes);
        }
        for entry in spare.drain(..) {
            store.push(entry, When::Now);
        }
    }

    /// An idle worker wants to be woken from now on, unless there is something for it. The caller holds the channel's
    /// lock.
    pub(super) fn want(&self) -> bool {
        if self.is_wanted.load(Ordering::Relaxed) {
            return true;
        }
        let letters = self.letters.lock();
        let is_empty = letters.entries.is_empty();
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
