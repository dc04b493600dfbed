//! What scenarios wait for, on any runtime.

use std::sync::Arc;

use event_listener::Event;
use parking_lot::Mutex;

/// A gate that handlers wait at until the scenario opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    open: Mutex<bool>,
    opened: Event,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        *self.0.open.lock() = true;
        self.0.opened.notify(usize::MAX);
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        loop {
            let listener = self.0.opened.listen();
            if *self.0.open.lock() {
                return;
            }
            listener.await;
        }
    }
}

/// What handlers note down, in order.
#[derive(Debug)]
pub struct Log<T>(Arc<LogState<T>>);

#[derive(Debug)]
struct LogState<T> {
    entries: Mutex<Vec<T>>,
    grown: Event,
}

impl<T: Clone> Log<T> {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes something down.
    pub fn add(&self, entry: T) {
        self.0.entries.lock().push(entry);
        self.0.grown.notify(usize::MAX);
    }

    /// Waits until there are at least `count` entries, and returns all there are.
    pub async fn wait_for(&self, count: usize) -> Vec<T> {
        loop {
            let listener = self.0.grown.listen();
            let entries = self.entries();
            if entries.len() >= count {
                return entries;
            }
            listener.await;
        }
    }

    /// All entries so far.
    #[must_use]
    pub fn entries(&self) -> Vec<T> {
        self.0.entries.lock().clone()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.lock().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Arc::new(LogState { entries: Mutex::default(), grown: Event::new() }))
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
