//! Waking a task of the simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crate::chaos::LATEST;
use crate::state::{Shared, TaskId};
use crate::trace::Step;

pub(crate) struct TaskWaker {
    shared: Arc<Shared>,
    task: TaskId,
    /// It is among the ready ones.
    queued: AtomicBool,
}

impl TaskWaker {
    pub(crate) fn new(shared: Arc<Shared>, task: TaskId) -> Arc<Self> {
        Arc::new(Self { shared, task, queued: AtomicBool::new(false) })
    }

    /// The task is about to be polled: wake-ups count again.
    pub(crate) fn begin(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    /// Wakes it without a chance of being late.
    pub(crate) fn wake_now(&self) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.shared.with(|state| state.ready.push(self.task));
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_late = self.shared.with(|state| {
            if !state.happens(state.chaos.late_wakes) {
                return false;
            }
            let late = state.some_time(LATEST);
            state.late += 1;
            state.log(Step::Late(self.task, late));
            state.add_timer(state.now + late, Waker::from(Arc::new(Late(self.clone()))));
            true
        });
        if !is_late {
            self.wake_now();
        }
    }
}

/// A wake-up that is late already.
struct Late(Arc<TaskWaker>);

impl Wake for Late {
    fn wake(self: Arc<Self>) {
        self.0.shared.with(|state| state.late -= 1);
        self.0.wake_now();
    }
}
