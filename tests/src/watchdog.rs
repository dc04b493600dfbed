//! A deadline for every test: a hang is a failure that says what was waiting.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use queue_core::{Handle, QueueCounts};

use crate::{TestResult, TestRuntime};

/// Long enough for the slowest scenario on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

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
    let (done, is_done) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if is_done.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln`, which the test harness would capture, and lose with the process.
            let mut err = io::stderr().lock();
            let _ = writeln!(err, "{name} hangs; its queues:");
            for queue in &*watched.lock() {
                let counts = queue.counts("default").unwrap_or_else(|_| QueueCounts::default());
                let _ = writeln!(err, "  {queue:?}; default: {counts:?}");
            }
            process::exit(101);
        }
    });
    let result = (0..T::RUNS).try_for_each(|_| T::block_on(&scenario));
    WATCHED.take();
    drop(done);
    watchdog.join().expect("the watchdog does not panic");
    if let Err(error) = result {
        panic!("{name}: {error}");
    }
}
