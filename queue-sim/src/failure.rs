//! Why a simulation failed, and how to run it again.

use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;

use crate::trace::Trace;

/// A simulation that failed. Prints the reason, the end of its trace, and the line that runs it again.
///
/// ```
/// use queue_sim::Sim;
///
/// let failure = Sim::new(7).traced(|_| std::future::pending::<()>()).unwrap_err();
/// assert_eq!(failure.seed(), 7);
/// assert!(failure.to_string().contains("deadlock"));
/// ```
pub struct Failure {
    pub(crate) seed: u64,
    pub(crate) reason: Reason,
    pub(crate) trace: Trace,
}

pub(crate) enum Reason {
    /// Nobody can run and nobody waits for a time.
    Deadlock(Vec<String>),
    /// The budget of steps is used up.
    Livelock(Vec<String>),
    /// These tasks are still there.
    Leftovers(Vec<String>),
    Panicked(Box<dyn Any + Send>),
}

/// How many steps of the trace are printed with a failure.
const PRINTED: usize = 100;

impl Failure {
    /// The seed that fails.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the simulation did.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What went wrong, without the trace.
    #[must_use]
    pub fn reason(&self) -> String {
        let (what, tasks) = match &self.reason {
            Reason::Panicked(panic) => return message(&**panic).to_owned(),
            Reason::Deadlock(tasks) => {
                ("deadlock: nothing can run and nothing is due; main waits, and", tasks)
            }
            Reason::Livelock(tasks) => ("livelock: the budget of steps is used up by main, or by", tasks),
            Reason::Leftovers(tasks) => {
                ("these outlive the run (is a queue captured by its own handler?)", tasks)
            }
        };
        let mut text = format!("{what}:");
        for task in tasks {
            text.push_str("\n  ");
            text.push_str(task);
        }
        text
    }

    /// Panics with it: with the panic of the simulation, if that is what it was.
    pub(crate) fn raise(self) -> ! {
        let text = self.to_string();
        if let Reason::Panicked(panic) = self.reason {
            eprintln!("{text}");
            resume_unwind(panic)
        }
        panic!("{text}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason())?;
        writeln!(f, "the last of {} steps:\n{}", self.trace.len(), self.trace.tail(PRINTED))?;
        write!(f, "run it again with: Sim::new({})", self.seed)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

fn message(panic: &(dyn Any + Send)) -> &str {
    let string = panic.downcast_ref::<String>().map(String::as_str);
    string.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
