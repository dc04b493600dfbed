//! Who cancels, pauses, requeues and clears away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_listener::Listener;
use fastrand::Rng;
use queue_core::Handle;

use super::books::{Books, RECENT};
use super::bounds::BOUNDS;
use super::task::Task;

/// The longest time between two deeds.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) struct Meddler {
    pub(super) handle: Handle,
    pub(super) books: Arc<Books>,
    pub(super) random: Rng,
    pub(super) stop: Arc<AtomicBool>,
}

impl Meddler {
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.random.u8(0..20) {
                0..=11 => (0..8).for_each(|_| self.cancel()),
                12..=14 => self.requeue_one(),
                15..=16 => self.requeue_some(),
                17 => self.purge(),
                _ => self.pause(),
            }
            self.wait();
        }
    }

    fn wait(&self) {
        self.books.changed.listen().wait_timeout(PAUSE);
    }

    fn cancel(&mut self) {
        let nth = self.random.usize(0..RECENT);
        if let Some((number, id)) = self.books.asks(nth) {
            self.books.has_asked(number, self.handle.cancel(id));
        }
    }

    fn requeue_one(&mut self) {
        let dead = self.handle.dead_letters();
        let Some(dead) = self.random.choice(dead) else { return };
        let Some(number) = Task::read(&dead.payload).map(|task| task.number) else { return };
        self.books.requeues(number);
        match self.handle.requeue(dead.id) {
            Ok(()) => self.books.state.lock().tally.requeued += 1,
            Err(_) => self.books.has_not_requeued(number),
        }
    }

    fn requeue_some(&mut self) {
        let mut picked = Vec::new();
        let requeued = self.handle.requeue_where(|dead| {
            let number = Task::read(&dead.payload).map(|task| task.number);
            let is_picked = self.random.u8(0..8) == 0;
            if let Some(number) = number.filter(|_| is_picked) {
                self.books.requeues(number);
                picked.push((number, dead.id));
            }
            is_picked
        });
        picked.retain(|(_, id)| !requeued.contains(id));
        for (number, _) in picked {
            self.books.has_not_requeued(number);
        }
        self.books.state.lock().tally.requeued += requeued.len() as u64;
    }

    fn purge(&self) {
        let purged = self.handle.clear_dead_letters();
        let state = &mut *self.books.state.lock();
        state.purged += purged;
        state.tally.purged += purged as u64;
    }

    fn pause(&mut self) {
        let queue = BOUNDS[self.random.usize(0..BOUNDS.len())].name;
        self.handle.pause(queue).expect("it exists");
        (0..8).for_each(|_| self.cancel());
        self.wait();
        self.handle.resume(queue).expect("it exists");
    }
}
