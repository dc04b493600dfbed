//! The wish to stop, from a signal handler to whichever runtime is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event;

/// Raised once, for good. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    raised: AtomicBool,
    changed: Event,
}

impl Interrupt {
    /// Not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises it, from any thread. Says whether it was raised before.
    #[expect(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn raise(&self) -> bool {
        let before = self.inner.raised.swap(true, Ordering::SeqCst);
        self.inner.changed.notify(usize::MAX);
        before
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.inner.raised.load(Ordering::SeqCst)
    }

    /// Completes once it is raised, on any runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn raised(&self) {
        while !self.is_raised() {
            let listener = self.inner.changed.listen();
            if !self.is_raised() {
                listener.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn everyone_who_waits_is_told_and_so_is_everyone_later() {
        let interrupt = Interrupt::new();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| futures::executor::block_on(interrupt.raised()));
            }
            assert!(!interrupt.raise());
        });
        assert!(interrupt.raise(), "the second time it was raised already");
        futures::executor::block_on(interrupt.raised());
    }
}
