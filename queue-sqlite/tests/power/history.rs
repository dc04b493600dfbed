//! What was done to the jobs of a store, and whether a store is as it was after some of that.

use std::collections::BTreeMap;
use std::fmt;

use crate::common::Folder;

/// The jobs of a store by their tags.
pub(crate) type State = BTreeMap<u64, Job>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    size: usize,
    is_dead: bool,
    /// How many attempts have failed.
    failed: u32,
}

/// The states that a store went through, one for each change, and how many of the changes were acknowledged.
#[derive(Debug)]
pub(crate) struct History {
    states: Vec<State>,
    acknowledged: usize,
    changes: BTreeMap<String, usize>,
}

impl Default for History {
    fn default() -> Self {
        Self { states: vec![State::new()], acknowledged: 0, changes: BTreeMap::new() }
    }
}

impl History {
    /// `i WHAT TAG SIZE`: a change begins. `a NUMBER`: so many more are acknowledged.
    pub(crate) fn read(&mut self, said: &str) {
        let words: Vec<_> = said.split(' ').collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap_or_else(|_| panic!("{said}"));
        if words[0] == "a" {
            self.acknowledged += usize::try_from(number(1)).expect("a few");
            assert!(self.acknowledged < self.states.len(), "more than there are");
            return;
        }
        assert_eq!(words[0], "i", "{said}");
        let mut state = self.states.last().cloned().unwrap_or_default();
        let tag = number(2);
        match words[1] {
            "push" => {
                let size = usize::try_from(number(3)).expect("it fits");
                state.insert(tag, Job { size, is_dead: false, failed: 0 });
            }
            "done" | "cancel" => drop(state.remove(&tag)),
            what @ ("die" | "retry") => {
                let job = state.get_mut(&tag).expect("it was pushed");
                job.failed += 1;
                job.is_dead = what == "die";
            }
            _ => panic!("{said}"),
        }
        *self.changes.entry(words[1].to_owned()).or_default() += 1;
        self.states.push(state);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Whether every sort of change was there.
    pub(crate) fn is_rich(&self) -> bool {
        self.changes.len() == 5 && self.changes.values().all(|count| *count > 5)
    }

    /// Whether it is the state after so many changes or more.
    pub(crate) fn compare(&self, found: &State, least: usize) -> Result<(), String> {
        if self.states[least..].contains(found) {
            return Ok(());
        }
        let before = self.states[..least].iter().rposition(|state| state == found);
        Err(match before {
            Some(changes) => format!("only {changes} changes are there, of which {least} must be"),
            None => {
                format!("it is no state that ever was: {found:?}, when {:?} is the least", self.states[least])
            }
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} changes acknowledged, {:?}",
            self.acknowledged,
            self.states.len() - 1,
            self.changes
        )
    }
}

/// What a shell finds in the store. Payloads are what their tags say.
pub(crate) fn found(folder: &Folder) -> State {
    let shell = folder.shell();
    let mut query = shell
        .prepare(
            "SELECT state, failures, (SELECT count(*) FROM failures WHERE job = jobs.id),
             coalesce(payload, (SELECT bytes FROM payloads WHERE payloads.id = jobs.id)) FROM jobs",
        )
        .expect("there are such tables");
    let mut rows = query.query([]).expect("rows");
    let mut state = State::new();
    while let Some(row) = rows.next().expect("a row") {
        let (number, failed): (u8, u32) = (row.get_unwrap(0), row.get_unwrap(1));
        assert_eq!(row.get_unwrap::<_, u32>(2), failed, "an error is missing");
        assert_ne!(number, 1, "whatever ran waits again");
        let bytes: Vec<u8> = row.get_unwrap(3);
        let tag = u64::from_le_bytes(*bytes.first_chunk().expect("a tag"));
        assert_eq!(bytes, payload(tag, bytes.len()), "another payload");
        let job = Job { size: bytes.len(), is_dead: number == 2, failed };
        assert_eq!(state.insert(tag, job), None, "it is there twice");
    }
    state
}

/// Bytes that follow from a tag, which comes first.
pub(crate) fn payload(tag: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(tag);
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.resize_with(size, || random.u8(..));
    bytes
}
