//! The executor: which task runs next, when time moves on, when to give up.
//!
//! ```text
//!   pick one that is ready, by the seed ──▶ poll it ──┐
//!        ▲  nobody is ready                           │
//!        │    ├─ someone waits for that: wake them ───┤
//!        │    ├─ someone waits for a time: go there ──┤
//!        │    └─ else: deadlock                       │
//!        └────────────────────────────────────────────┘
//! ```
//!
//! Tasks stay on this thread. A spawner finds its executor in a thread local, as tasks need not be `Send`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::chaos::{Chaos, LATEST};
use crate::failure::Reason;
use crate::piece::{Origin, Piece};
use crate::state::{MAIN, Shared, TaskId};
use crate::trace::Step;
use crate::waker::TaskWaker;

pub(crate) struct Executor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: RefCell<BTreeMap<TaskId, Piece>>,
    pub(crate) supervised: RefCell<Vec<Rc<dyn Fn()>>>,
    watchers: RefCell<Vec<Watcher>>,
    /// A restart is under way.
    pub(crate) restarting: Cell<bool>,
}

/// When a watcher is called; see [`World::watch`](crate::World::watch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// A task was polled.
    Step,
    /// Nothing can run until time moves on, and no wake-up is late: whoever waits now was not woken.
    Lull,
}

type Watcher = Box<dyn FnMut(Moment)>;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

impl Executor {
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            shared,
            tasks: RefCell::default(),
            supervised: RefCell::default(),
            watchers: RefCell::default(),
            restarting: Cell::new(false),
        })
    }

    /// The one that runs on this thread.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Calls this after every crash.
    pub(crate) fn supervise(&self, restart: Rc<dyn Fn()>) {
        self.supervised.borrow_mut().push(restart);
    }

    /// Calls this after every step.
    pub(crate) fn watch(&self, watcher: Watcher) {
        self.watchers.borrow_mut().push(watcher);
    }

    fn tell_watchers(&self, moment: Moment) {
        // A watcher may add another.
        let mut watchers = self.watchers.take();
        for watcher in &mut watchers {
            watcher(moment);
        }
        watchers.append(&mut self.watchers.borrow_mut());
        self.watchers.replace(watchers);
    }

    /// Runs `main` to its end, and then whatever can go on without time moving.
    pub(crate) fn run<T>(self: &Rc<Self>, main: impl Future<Output = T>) -> Result<T, Reason> {
        let _entered = Entered::new(self.clone());
        let result = catch_unwind(AssertUnwindSafe(|| self.run_to_the_end(main)));
        self.watchers.take();
        self.supervised.take();
        self.drop_tasks();
        // Wakers hold what holds them.
        drop(self.shared.with(|state| {
            (take(&mut state.timers), take(&mut state.until_idle), take(&mut state.until_jump))
        }));
        result.unwrap_or_else(|panic| Err(Reason::Panicked(panic)))
    }

    fn run_to_the_end<T>(&self, main: impl Future<Output = T>) -> Result<T, Reason> {
        let mut main = Box::pin(main);
        self.shared.with(|state| state.trace.name("main"));
        let waker = TaskWaker::new(self.shared.clone(), MAIN);
        let main_waker = Waker::from(waker.clone());
        main_waker.wake_by_ref();
        let output = loop {
            self.upset();
            let Some(id) = self.pick() else {
                self.wait(None)?;
                continue;
            };
            self.count_step()?;
            if id != MAIN {
                self.poll(id);
                self.tell_watchers(Moment::Step);
                continue;
            }
            waker.begin();
            self.shared.with(|state| state.log(Step::Polled(MAIN)));
            if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&main_waker)) {
                self.shared.with(|state| state.log(Step::Finished(MAIN)));
                break output;
            }
            self.tell_watchers(Moment::Step);
        };
        if self.shared.with(|state| state.is_killed) {
            return Ok(output);
        }
        // What it holds goes before the leftovers are counted: the last handle of a queue, perhaps.
        drop(main);
        self.watchers.take();
        self.supervised.take();
        self.shared.with(|state| state.chaos = Chaos::none());
        let patience = self.shared.with(|state| state.now + LATEST);
        loop {
            while let Some(id) = self.pick() {
                self.count_step()?;
                self.poll(id);
            }
            // Late wake-ups of the faults are still wake-ups.
            if self.tasks.borrow().is_empty() || self.wait(Some(patience)).is_err() {
                break;
            }
        }
        let left = self.descriptions();
        if left.is_empty() || self.shared.with(|state| state.leftovers_allowed) {
            Ok(output)
        } else {
            Err(Reason::Leftovers(left))
        }
    }

    fn count_step(&self) -> Result<(), Reason> {
        let over = self.shared.with(|state| {
            state.steps += 1;
            state.steps > state.step_budget
        });
        if over { Err(Reason::Livelock(self.descriptions())) } else { Ok(()) }
    }

    fn pick(&self) -> Option<TaskId> {
        self.shared.with(|state| {
            let count = state.ready.len();
            (count > 0).then(|| state.random.usize(0..count)).map(|at| state.ready.swap_remove(at))
        })
    }

    fn poll(&self, id: TaskId) {
        let Some(mut task) = self.tasks.borrow_mut().remove(&id) else { return };
        task.waker.begin();
        self.shared.with(|state| state.log(Step::Polled(id)));
        let waker = Waker::from(task.waker.clone());
        let is_over = task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if is_over {
            self.shared.with(|state| state.log(Step::Finished(id)));
        } else if task.origin == Origin::Queue && self.shared.with(|state| state.happens(state.chaos.crashes))
        {
            self.shared.with(|state| state.log(Step::Crashed(id)));
            drop(task);
            self.restart_later();
        } else {
            self.tasks.borrow_mut().insert(id, task);
        }
    }

    /// Nobody is ready: moves time on to what is due next, unless that is after `latest`.
    fn wait(&self, latest: Option<Duration>) -> Result<(), Reason> {
        // After the clock has jumped, somebody may be late, and can go on without time moving.
        let (is_due, is_late) = self.shared.with(|state| {
            let next = state.timers.first_key_value();
            (next.is_some_and(|((at, _), _)| *at <= state.now), state.late > 0)
        });
        if !is_due && !is_late {
            self.tell_watchers(Moment::Lull);
        }
        let (idle, due) = self.shared.with(|state| {
            state.lulls += u64::from(!is_due);
            let idle = if is_due { Vec::new() } else { take(&mut state.until_idle) };
            if !idle.is_empty() {
                return (idle, Some(Vec::new()));
            }
            let next = state.timers.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = next.filter(|at| latest.is_none_or(|latest| *at <= latest)) else {
                return (idle, None);
            };
            state.pass(next.saturating_sub(state.now));
            state.jumps += 1;
            state.log(Step::Jumped);
            let mut due = state.take_due();
            due.append(&mut state.until_jump);
            (idle, Some(due))
        });
        let due = due.ok_or_else(|| Reason::Deadlock(self.descriptions()))?;
        idle.into_iter().chain(due).for_each(Waker::wake);
        Ok(())
    }

    fn descriptions(&self) -> Vec<String> {
        let tasks = self.tasks.borrow();
        let name = |id: TaskId| self.shared.with(|state| state.trace.name_of(id));
        let others = tasks.iter().filter(|(_, task)| task.origin != Origin::Simulator);
        others.map(|(id, task)| format!("{id} {} {}", name(*id), task.future.describe())).collect()
    }

    /// Drops what is left; dropping one may spawn or wake others.
    fn drop_tasks(&self) {
        loop {
            let first = self.tasks.borrow_mut().pop_first();
            if first.is_none() {
                return;
            }
        }
    }
}

/// Makes an executor this thread's while it exists. Simulations may nest.
struct Entered(Option<Rc<Executor>>);

impl Entered {
    fn new(executor: Rc<Executor>) -> Self {
        Self(CURRENT.replace(Some(executor)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
