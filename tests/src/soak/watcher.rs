//! Who subscribes, reads too slowly, and goes away again: with nobody there, workers run jobs in batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_listener::Listener;
use fastrand::Rng;
use queue_core::{Event, Handle};

use super::books::Books;

/// How long it looks, and looks away.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Watcher {
    pub(super) handle: Handle,
    pub(super) books: Arc<Books>,
    pub(super) random: Rng,
    pub(super) stop: Arc<AtomicBool>,
}

impl Watcher {
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.look();
            for _ in 0..self.random.u8(1..20) {
                self.books.changed.listen().wait_timeout(PAUSE);
            }
        }
    }

    fn look(&mut self) {
        let mut events = self.handle.subscribe(1 << self.random.u8(0..10));
        let (mut over, mut seen) = (HashSet::new(), 0);
        for _ in 0..self.random.u8(1..20) {
            for event in std::iter::from_fn(|| events.try_recv()).take(1000) {
                seen += 1;
                match event {
                    Event::Succeeded(job) => drop(over.insert(job.id)),
                    Event::Started(job) if over.contains(&job.id) => {
                        self.books.accuse(format!("{job:?} has started after it succeeded"));
                    }
                    _ => {}
                }
            }
            self.books.changed.listen().wait_timeout(PAUSE);
        }
        let tally = &mut self.books.state.lock().tally;
        tally.events += seen;
        tally.missed += events.missed();
    }
}
