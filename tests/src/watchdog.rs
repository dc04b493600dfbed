//! A deadline for every test: a hang is a failure that says what was waiting.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use queue_core::{Handle, QueueCounts};

use crate::{TestResult, TestRuntime};

/// Long enough for the slowest scenario on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// Ends the whole process if it still exists at its deadline.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Taken when it is dropped, which is what the thread waits for.
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches over what is called `name`; at the deadline, `describe` says what it waits for.
    pub(crate) fn new(
        name: &'static str,
        deadline: Duration,
        describe: impl Fn() -> String + Send + 'static,
    ) -> Self {
        let (done, is_done) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            if is_done.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                // Not `eprintln`, which the test harness would capture, and lose with the process.
                let _ = writeln!(io::stderr().lock(), "{name} hangs; its queues:\n{}", describe());
                process::exit(1);
            }
        });
        Self { done: Some(done), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.done.take();
        if let Some(thread) = self.thread.take() {
            // Not a panic, which while unwinding from another one would end the process without that one's message.
            let _ = thread.join();
        }
    }
}

thread_local! {
    static WATCHED: RefCell<Arc<Mutex<Vec<Handle>>>> = RefCell::default();
}

/// Shows a queue to the watchdog of this thread's test.
pub fn watch(queue: Handle) {
    WATCHED.with_borrow(|watched| watched.lock().push(queue));
}

/// Runs a scenario on a runtime, with a deadline.
///
/// # Panics
///
/// When the scenario does or returns an error. When it hangs, the whole process ends.
pub fn run<T, F>(name: &'static str, scenario: impl Fn(T) -> F)
where
    T: TestRuntime,
    F: Future<Output = TestResult>,
{
    let watched: Arc<Mutex<Vec<Handle>>> = Arc::default();
    WATCHED.set(watched.clone());
    let watchdog = Watchdog::new(name, DEADLINE, move || {
        let mut text = String::new();
        for queue in &*watched.lock() {
            let counts = queue.counts("default").unwrap_or_else(|_| QueueCounts::default());
            let _ = writeln!(text, "  {queue:?}; default: {counts:?}");
        }
        text
    });
    let result = (0..T::RUNS).try_for_each(|_| T::block_on(&scenario));
    WATCHED.take();
    drop(watchdog);
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}
