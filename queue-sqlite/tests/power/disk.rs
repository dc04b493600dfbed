//! A disk that keeps what was synced, and of the rest what it likes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::Step;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// What it keeps of that which was not synced when the power goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Nothing,
    /// All but a part of the last write.
    Torn,
    /// Any sectors, in any order.
    Any,
    All,
}

/// The files of one folder whose names begin with that of the store.
#[derive(Debug)]
pub(crate) struct Disk {
    store: PathBuf,
    files: Vec<File>,
    /// The files by their names, as they were when the folder was last synced.
    kept: BTreeMap<PathBuf, usize>,
    names: BTreeMap<PathBuf, usize>,
}

#[derive(Debug, Default)]
struct File {
    kept: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Disk {
    pub(crate) fn new(store: &Path) -> Self {
        Self { store: store.to_owned(), files: Vec::new(), kept: BTreeMap::new(), names: BTreeMap::new() }
    }

    /// The index of the log is rebuilt from the log, and nothing is ever in the file that is locked.
    fn is_ours(&self, path: &Path) -> bool {
        let name = path.as_os_str().to_string_lossy();
        name.starts_with(&*self.store.to_string_lossy())
            && !name.ends_with("-shm")
            && !name.ends_with("-lock")
    }

    pub(crate) fn has_unsynced(&self, path: &Path) -> bool {
        if Some(path) == self.store.parent() {
            return self.kept != self.names;
        }
        self.names.get(path).is_some_and(|file| !self.files[*file].unsynced.is_empty())
    }

    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Created(path) if self.is_ours(&path) => {
                self.files.push(File::default());
                self.names.insert(path, self.files.len() - 1);
            }
            Step::Renamed(from, to) if self.is_ours(&from) => {
                let file = self.names.remove(&from).expect("it was created");
                self.names.insert(to, file);
            }
            Step::Removed(path) => {
                self.names.remove(&path);
            }
            Step::Wrote { path, at, bytes } => self.change(&path, Change::Write { at, bytes }),
            Step::Length(path, length) => self.change(&path, Change::Length(length)),
            Step::Synced(path) if Some(&*path) == self.store.parent() => self.kept = self.names.clone(),
            Step::Synced(path) => {
                if let Some(file) = self.names.get(&path) {
                    let File { kept, unsynced } = &mut self.files[*file];
                    unsynced.drain(..).for_each(|change| change.apply(kept));
                }
            }
            Step::Created(_) | Step::Renamed(..) | Step::Syncing(_) | Step::Said(_) => {}
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        if self.is_ours(path) {
            let file = *self.names.get(path).unwrap_or_else(|| panic!("{} was not created", path.display()));
            self.files[file].unsynced.push(change);
        }
    }

    /// The files that are there when the power comes back.
    pub(crate) fn after(&self, cut: Cut, random: &mut fastrand::Rng) -> BTreeMap<PathBuf, Vec<u8>> {
        let newest = match cut {
            Cut::Nothing => false,
            Cut::Torn | Cut::All => true,
            Cut::Any => random.bool(),
        };
        let names = if newest { &self.names } else { &self.kept };
        let mut left = BTreeMap::new();
        for (path, file) in names {
            let File { kept, unsynced } = &self.files[*file];
            let mut bytes = kept.clone();
            let last = unsynced.len().saturating_sub(1);
            for (at, change) in unsynced.iter().enumerate() {
                match cut {
                    Cut::Nothing => {}
                    Cut::All => change.clone().apply(&mut bytes),
                    Cut::Torn if at < last => change.clone().apply(&mut bytes),
                    Cut::Torn => {
                        let sectors = change.sectors();
                        let whole = random.usize(0..sectors.len().max(1));
                        sectors.into_iter().take(whole).for_each(|sector| sector.apply(&mut bytes));
                    }
                    Cut::Any => {
                        let kept = change.sectors().into_iter().filter(|_| random.bool());
                        kept.for_each(|sector| sector.apply(&mut bytes));
                    }
                }
            }
            left.insert(path.clone(), bytes);
        }
        left
    }

    /// Whether the real files are what the model says when all is kept.
    pub(crate) fn compare(&self, folder: &Path) {
        let model = self.after(Cut::All, &mut fastrand::Rng::new());
        let mut real = BTreeMap::new();
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("an entry").path();
            if self.is_ours(&path) {
                real.insert(path.clone(), fs::read(path).expect("it can be read"));
            }
        }
        assert!(model.keys().eq(real.keys()), "{:?} are there instead of {:?}", real.keys(), model.keys());
        for (path, bytes) in &model {
            assert!(real[path] == *bytes, "a write to {} was overlooked", path.display());
        }
    }
}

impl Change {
    fn apply(self, file: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[at..end].copy_from_slice(&bytes);
            }
            Self::Length(length) => file.resize(length, 0),
        }
    }

    /// Cut where the disk would.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write { at, bytes } = self else { return vec![self.clone()] };
        let (mut at, mut rest) = (*at, &bytes[..]);
        let mut sectors = Vec::new();
        while !rest.is_empty() {
            let (sector, after) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
            sectors.push(Self::Write { at, bytes: sector.to_vec() });
            (at, rest) = (at + sector.len(), after);
        }
        sectors
    }
}
