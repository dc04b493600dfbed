//! What a simulation did, step by step: the same for the same seed, on every machine.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::state::TaskId;

/// What happened in a simulation, one line per step, with the time since its start. Prints as text.
///
/// The latest 65,536 steps are kept; the digest covers all of them.
///
/// ```
/// use queue_sim::Sim;
///
/// let run = || Sim::new(7).traced(|sim| async move { sim.note("hello") }).unwrap().1;
/// assert_eq!(run(), run());
/// assert!(run().to_string().contains("hello"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    names: Vec<&'static str>,
    steps: VecDeque<(Duration, Step)>,
    omitted: u64,
    digest: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Spawned(TaskId),
    Polled(TaskId),
    Finished(TaskId),
    /// Its future was dropped.
    Crashed(TaskId),
    Restarted,
    /// Polled though nobody woke it.
    Spurious(TaskId),
    /// It was woken, and learns of it this much later.
    Late(TaskId, Duration),
    /// Nothing could run.
    Jumped,
    /// The monotonic clock, without anybody having waited for it.
    Ahead(Duration),
    Wall(&'static str, Duration),
    Fault(&'static str),
    Note(String),
}

const KEPT: usize = 1 << 16;

impl Trace {
    /// A number that differs, with near certainty, if any step ever differed.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many steps there were.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.omitted + self.steps.len() as u64
    }

    /// Whether nothing happened at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last `steps` steps as text.
    #[must_use]
    pub fn tail(&self, steps: usize) -> String {
        let from = self.steps.len().saturating_sub(steps);
        self.steps.range(from..).map(|step| self.line(step)).collect()
    }

    pub(crate) fn push(&mut self, at: Duration, step: Step) {
        self.digest = mix(self.digest, u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        self.digest = step.words().fold(self.digest, mix);
        if self.steps.len() == KEPT {
            self.steps.pop_front();
            self.omitted += 1;
        }
        self.steps.push_back((at, step));
    }

    /// Gives the next task its name.
    pub(crate) fn name(&mut self, name: &'static str) -> TaskId {
        self.names.push(name);
        TaskId::try_from(self.names.len() - 1).unwrap_or(TaskId::MAX)
    }

    pub(crate) fn name_of(&self, task: TaskId) -> &'static str {
        self.names.get(task as usize).copied().unwrap_or("?")
    }

    fn line(&self, (at, step): &(Duration, Step)) -> String {
        let name = |task: &TaskId| format!("{task} {}", self.name_of(*task));
        let what = match step {
            Step::Spawned(task) => format!("spawn {}", name(task)),
            Step::Polled(task) => format!("poll {}", name(task)),
            Step::Finished(task) => format!("end {}", name(task)),
            Step::Crashed(task) => format!("CRASH {}", name(task)),
            Step::Restarted => "RESTART".to_owned(),
            Step::Spurious(task) => format!("SPURIOUS WAKE {}", name(task)),
            Step::Late(task, late) => format!("LATE WAKE {} by {late:?}", name(task)),
            Step::Jumped => "time moves on".to_owned(),
            Step::Ahead(by) => format!("CLOCK AHEAD {by:?}"),
            Step::Wall(way, by) => format!("WALL CLOCK {way} {by:?}"),
            Step::Fault(fault) => format!("FAULT {fault}"),
            Step::Note(note) => note.clone(),
        };
        format!("{:>8}.{:09}  {what}\n", at.as_secs(), at.subsec_nanos())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.omitted > 0 {
            writeln!(f, "({} earlier steps)", self.omitted)?;
        }
        f.write_str(&self.tail(KEPT))
    }
}

impl Step {
    /// Its content, for the digest. Not `Hash`, whose order of bytes is the machine's.
    fn words(&self) -> impl Iterator<Item = u64> {
        let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (tag, number, text) = match self {
            Self::Spawned(task) => (0, u64::from(*task), ""),
            Self::Polled(task) => (1, u64::from(*task), ""),
            Self::Finished(task) => (2, u64::from(*task), ""),
            Self::Crashed(task) => (3, u64::from(*task), ""),
            Self::Restarted => (4, 0, ""),
            Self::Spurious(task) => (5, u64::from(*task), ""),
            Self::Late(task, late) => (6, u64::from(*task) << 40 ^ nanos(late), ""),
            Self::Jumped => (7, 0, ""),
            Self::Ahead(by) => (8, nanos(by), ""),
            Self::Wall(way, by) => (9, nanos(by), *way),
            Self::Fault(fault) => (10, 0, *fault),
            Self::Note(note) => (11, 0, note.as_str()),
        };
        [tag, number].into_iter().chain(text.bytes().map(u64::from))
    }
}

/// FNV-1a, a word at a time, with a rotation so that high bits count.
fn mix(digest: u64, word: u64) -> u64 {
    (digest ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
}
