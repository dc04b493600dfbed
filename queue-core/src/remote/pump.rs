//! The near end of the feeder: what the channels hand over under their locks, until its turn comes.

use std::fmt;
use std::task::Waker;

use crate::journal::{Change, Journal, Loading, Recovery, Sink};
use crate::sync::Mutex;

/// Takes what is to be written, and how many jobs each channel could start.
pub(crate) struct Pump {
    inbox: Mutex<Inbox>,
    /// Whoever drives the feeder does so while another thread is blocked.
    may_block: bool,
}

pub(super) struct Inbox {
    pub(super) changes: Vec<Change>,
    /// How many more jobs the workers of each channel could run.
    pub(super) rooms: Box<[usize]>,
    pub(super) is_closed: bool,
    /// There is no feeder any more.
    is_dead: bool,
    waker: Option<Waker>,
}

impl Pump {
    pub(crate) fn new(channels: usize, may_block: bool) -> Self {
        let inbox = Inbox {
            changes: Vec::new(),
            rooms: vec![0; channels].into(),
            is_closed: false,
            is_dead: false,
            waker: None,
        };
        Self { inbox: Mutex::new(inbox), may_block }
    }

    /// A channel has this much room now.
    pub(crate) fn set_room(&self, channel: usize, room: usize) {
        let mut inbox = self.inbox.lock();
        let before = std::mem::replace(&mut inbox.rooms[channel], room);
        if room > before {
            inbox.wake();
        }
    }

    /// Nobody looks into the inbox any more: whoever puts something in is told so. Gives back what is in it.
    pub(super) fn die(&self) -> Vec<Change> {
        let mut inbox = self.inbox.lock();
        inbox.is_dead = true;
        std::mem::take(&mut inbox.changes)
    }

    /// Looks into the inbox, and has `waker` woken when there is something new in it from then on.
    pub(super) fn look<T>(&self, waker: &Waker, look: impl FnOnce(&mut Inbox) -> T) -> T {
        let mut inbox = self.inbox.lock();
        match &mut inbox.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        look(&mut inbox)
    }
}

impl Inbox {
    fn wake(&self) {
        // It is the feeder's driver, which runs nothing in here.
        self.waker.iter().for_each(Waker::wake_by_ref);
    }
}

impl Journal for Pump {
    fn begin(&self, _: Sink) -> Recovery {
        Recovery { next_id: 1, time: None, jobs: Vec::new(), dead: Vec::new() }
    }

    fn append(&self, changes: &mut Vec<Change>) {
        let mut inbox = self.inbox.lock();
        if inbox.is_dead {
            // Dropped without an answer, which is one.
            changes.clear();
            return;
        }
        inbox.changes.append(changes);
        inbox.wake();
    }

    fn load(&self, loading: Loading) {
        // Payloads come with the claim.
        drop(loading);
    }

    fn flush(&self) {
        assert!(self.may_block, "nothing else runs while this thread is blocked: await the push instead");
    }

    fn payload_memory(&self) -> usize {
        usize::MAX
    }

    fn close(&self) {
        let mut inbox = self.inbox.lock();
        inbox.is_closed = true;
        inbox.wake();
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pump")
    }
}
