//! Starting tasks.

use std::fmt;
use std::pin::Pin;

use crate::executor::Executor;
use crate::piece::{Described, Named, Origin, Part, Piece};
use crate::trace::Step;
use crate::waker::TaskWaker;

impl Executor {
    /// Spawns a task that is not part of a queue.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + 'static,
        origin: Origin,
    ) {
        self.add(name, Box::pin(Named(Box::pin(future))), origin);
    }

    /// Spawns a task of a queue.
    pub(crate) fn spawn_part(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + fmt::Debug + 'static,
    ) {
        self.add(name, Box::pin(Part(Box::pin(future))), Origin::Queue);
    }

    fn add(&self, name: &'static str, future: Pin<Box<dyn Described>>, origin: Origin) {
        let id = self.shared.with(|state| {
            let id = state.trace.name(name);
            state.log(Step::Spawned(id));
            id
        });
        let waker = TaskWaker::new(self.shared.clone(), id);
        self.tasks.borrow_mut().insert(id, Piece { future, waker: waker.clone(), origin });
        waker.wake_now();
    }
}
