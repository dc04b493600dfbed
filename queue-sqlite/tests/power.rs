//! What a loss of power leaves, at every sync of a recorded life.
//!
//! This test starts itself again as a child, which does one thing after the other with a queue on a store and says which of
//! its changes were acknowledged. It runs under `ptrace`, as under `strace`, so every write, truncation, sync, rename and
//! removal that SQLite and the store ask the system for is seen, and so is every acknowledgement, in the order in which they
//! happen. They are repeated on a model of a disk that keeps only what was synced; a new name is kept when its folder was.
//!
//! Right after each acknowledgement the power goes, and the disk keeps nothing of what was written since the last sync of
//! its file. Before each sync it goes, too, and of that the disk keeps in turn nothing, all but a part of the last write,
//! and any sectors in any order. What is left is opened with every check there is, and must be the state after some number
//! of the changes:
//!
//! | | no fewer than | no more than |
//! |---|---|---|
//! | [`Durability::Full`] | were acknowledged | were begun |
//! | [`Durability::Normal`] | were acknowledged when the log was last synced | were begun |
//!
//! so nothing that was accepted or settled is missing with `Full`, and with `Normal` what is missing is the end of the
//! history and nothing else. At the end the model must have the same bytes as the real files, so no write was overlooked.
//!
//! Not covered: disks that lie about a sync; writes of less than a sector of 512 bytes that are torn within it; sectors
//! that cannot be read afterwards; other systems than Linux, whose syncs are other calls.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod common;
/// The parts of it.
mod power {
    pub(crate) mod child;
    pub(crate) mod disk;
    pub(crate) mod history;
    pub(crate) mod trace;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use common::Folder;
use power::disk::{Cut, Disk};
use power::history::History;
use power::trace::{self, Step};
use queue_sqlite::{Check, Durability, Store};

/// Where the store is, for the child; nobody else has it set.
const STORE: &str = "QUEUE_POWER_STORE";

/// How durable it is to be, for the child.
const DURABILITY: &str = "QUEUE_POWER_DURABILITY";

#[test]
fn nothing_acknowledged_is_lost_with_full() {
    lose_power("Full", |history, _| history.acknowledged());
}

#[test]
fn only_the_end_is_lost_with_normal() {
    lose_power("Normal", |_, synced| synced);
}

/// What runs in the child.
#[test]
fn child() {
    if let Some(path) = env::var_os(STORE) {
        let durability = if env::var_os(DURABILITY).is_some_and(|it| it == "Full") {
            Durability::Full
        } else {
            Durability::Normal
        };
        trace::let_trace();
        power::child::run(Path::new(&path), durability);
    }
}

/// `least` says how many changes must be there, from what was acknowledged by now and when the log was last synced.
fn lose_power(durability: &str, least: impl Fn(&History, usize) -> usize) {
    let folder = Folder::new();
    // As the store has it.
    let path =
        fs::canonicalize(folder.path().parent().expect("a folder")).expect("it is there").join("jobs.db");
    let mut command = Command::new(env::current_exe().expect("this is a program"));
    command.args(["--exact", "child", "--nocapture"]).env(STORE, &path).env(DURABILITY, durability);
    command.stdout(Stdio::null());
    let mut life = Life { disk: Disk::new(&path), history: History::default(), synced: 0, cuts: 0, syncs: 0 };
    let mut random = fastrand::Rng::with_seed(7);
    trace::watch(&mut command, |step| {
        let cuts: &[Cut] = match &step {
            Step::Syncing(of) if life.disk.has_unsynced(of) => {
                life.syncs += 1;
                [&[Cut::Torn][..], &[Cut::Any], &[Cut::Nothing]][life.syncs % 3]
            }
            Step::Said(said) if said.starts_with("a ") => &[Cut::Nothing],
            _ => &[],
        };
        // What an acknowledgement says must be true once it is said.
        if let Step::Said(said) = &step {
            life.history.read(said);
        }
        for cut in cuts {
            life.cut(*cut, &mut random, &least);
        }
        if let Step::Synced(of) = &step
            && of.to_string_lossy().ends_with("-wal")
        {
            life.synced = life.history.acknowledged();
        }
        life.disk.take(step);
    });
    life.cut(Cut::All, &mut random, &least);
    life.disk.compare(path.parent().expect("a folder"));
    println!("{durability}: {} syncs, {} cuts, {}", life.syncs, life.cuts, life.history);
    assert!(life.history.is_rich() && life.cuts > 100, "too little happened");
}

struct Life {
    disk: Disk,
    history: History,
    /// How many changes had been acknowledged when the log was last synced.
    synced: usize,
    cuts: usize,
    syncs: usize,
}

impl Life {
    /// The power goes: what is left must be good.
    fn cut(&mut self, cut: Cut, random: &mut fastrand::Rng, least: &impl Fn(&History, usize) -> usize) {
        self.cuts += 1;
        let left: BTreeMap<PathBuf, Vec<u8>> = self.disk.after(cut, random);
        let folder = Folder::in_memory();
        let place = folder.path();
        let place = place.parent().expect("a folder");
        for (path, bytes) in &left {
            fs::write(place.join(path.file_name().expect("a name")), bytes).expect("there is room");
        }
        let store = Store::options().check(Check::Full).open(folder.path()).unwrap_or_else(|error| {
            panic!("it does not open after {cut:?} of {}, {}: {error:?}", self.syncs, self.history)
        });
        drop(store);
        let found = power::history::found(&folder);
        let least = least(&self.history, self.synced);
        if let Err(error) = self.history.compare(&found, least) {
            panic!("after {cut:?}, sync {} and {}: {error}", self.syncs, self.history);
        }
    }
}
