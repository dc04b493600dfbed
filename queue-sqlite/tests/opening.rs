//! What is refused at opening, and that it stays as it was.

mod common;

use std::error::Error;
use std::fs;
use std::path::Path;

use common::*;
use queue_core::{Journal, Sink};
use queue_sqlite::{Check, OpenError, Store};

/// Every file in the folder of this path, but for the lock and the index of the log.
fn contents(path: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let folder = path.parent().expect("it is in a folder");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| {
            !["-lock", "-shm"].iter().any(|end| entry.file_name().to_string_lossy().ends_with(end))
        })
        .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("a file")))
        .collect();
    files.sort();
    files
}

/// That opening fails, and changes nothing.
fn refusal(path: &Path) -> OpenError {
    let before = contents(path);
    let error = Store::open(path).expect_err("it is refused");
    assert!(contents(path) == before, "it has changed, and said {error}");
    error
}

#[test]
fn one_at_a_time() {
    let folder = Folder::new();
    let store = Store::open(folder.path()).expect("it opens");
    let error = Store::open(folder.path()).expect_err("it is refused");
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with(
            "jobs.db is in use; stop the other process, or close the other store, and open it again"
        )
    );
    drop(store.clone());
    Store::open(folder.path()).expect_err("a clone is left");
    drop(store);
    Store::open(folder.path()).expect("it opens again");
}

#[cfg(unix)]
#[test]
fn another_name_is_the_same_store() {
    let folder = Folder::new();
    let store = Store::open(folder.path()).expect("it opens");
    let link = folder.path().with_file_name("link.db");
    std::os::unix::fs::symlink(folder.path(), &link).expect("a link");
    assert!(matches!(Store::open(&link), Err(OpenError::Locked { .. })));
    assert_eq!(store.path(), fs::canonicalize(&link).expect("it leads somewhere"));
}

#[test]
fn a_closed_store_can_be_opened_while_a_clone_is_kept() {
    let folder = Folder::new();
    let store = Store::open(folder.path()).expect("it opens");
    store.begin(Sink::default());
    append(&store, [push(1)]);
    store.close();
    append(&store, [push(2)]);
    store.close();
    assert_eq!(waiting_ids(&folder.look()), [1]);
}

#[test]
fn a_shell_can_look_while_the_queue_runs() {
    let folder = Folder::new();
    folder.write([push(1)]);
    let store = Store::open(folder.path()).expect("it opens");
    assert_eq!(folder.count("jobs"), 1);
    drop(store);
}

#[test]
#[should_panic(expected = "a store is given to one queue")]
fn a_second_queue_is_refused() {
    let folder = Folder::new();
    let store = Store::open(folder.path()).expect("it opens");
    store.begin(Sink::default());
    store.begin(Sink::default());
}

#[test]
fn a_newer_store_is_left_alone() {
    let folder = Folder::new();
    folder.write([push(1)]);
    folder.shell().pragma_update(None, "user_version", 99).expect("a version");
    let error = refusal(&folder.path());
    assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("jobs.db has version 99, and this program knows up to 1; run a newer program")
    );
}

#[test]
fn the_files_of_others_are_left_alone() {
    let folder = Folder::new();
    folder
        .shell()
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE songs (title TEXT)")
        .expect("a table");
    assert!(matches!(refusal(&folder.path()), OpenError::NotAStore { .. }));
    for other in [&b"x"[..], b"SQLite format 3\0", &[b'a'; 5000]] {
        fs::write(folder.path(), other).expect("written");
        let error = refusal(&folder.path());
        assert!(matches!(error, OpenError::NotAStore { .. }), "{error:?}");
        assert!(!folder.path().with_file_name("jobs.db-lock").exists());
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = Folder::new();
    fs::write(folder.path(), "").expect("written");
    folder.write([push(1)]);
    assert_eq!(waiting_ids(&folder.look()), [1]);
}

#[test]
fn what_was_left_of_a_failed_creation_is_no_obstacle() {
    let folder = Folder::new();
    fs::write(folder.path().with_file_name("jobs.db-new"), [b'a'; 5000]).expect("written");
    fs::write(folder.path().with_file_name("jobs.db-new-journal"), [b'a'; 5000]).expect("written");
    folder.write([push(1)]);
    assert_eq!(waiting_ids(&folder.look()), [1]);
}

/// A store of a few hundred pages, of which this many from the end are overwritten.
fn damaged(folder: &Folder, pages: usize) {
    folder.write((1..=10_000).map(push));
    let mut bytes = fs::read(folder.path()).expect("a file");
    let end = bytes.len();
    bytes[end - pages * 4096..].fill(0xAA);
    fs::write(folder.path(), bytes).expect("written");
}

#[test]
fn a_damaged_store_is_left_alone() {
    let folder = Folder::new();
    damaged(&folder, 3);
    let error = refusal(&folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("restore it from a copy"));
    assert!(error.source().is_some());
}

#[test]
fn the_log_of_a_damaged_store_is_left_alone() {
    let folder = Folder::new();
    folder.write([push(1)]);
    let store = Store::open(folder.path()).expect("it opens");
    folder.shell().execute("UPDATE jobs SET kind = 99", []).expect("the schema allows it");
    // As a kill leaves it: what is wrong is in the log.
    let killed = Folder::new();
    for suffix in ["", "-wal"] {
        let file = |folder: &Folder| folder.path().with_file_name(format!("jobs.db{suffix}"));
        fs::copy(file(&folder), file(&killed)).expect("copied");
    }
    drop(store);
    assert!(matches!(refusal(&killed.path()), OpenError::Corrupt { .. }));
}

#[test]
fn values_that_make_no_sense_are_damage() {
    for nonsense in [
        "UPDATE jobs SET kind = 99 WHERE id = 1",
        "UPDATE jobs SET options = 'none' WHERE id = 1",
        "UPDATE jobs SET attempt = -1 WHERE id = 1",
        "UPDATE jobs SET payload = NULL WHERE id = 1",
        "UPDATE jobs SET state = 2, place = 1, reason = 9 WHERE id = 1",
    ] {
        let folder = Folder::new();
        folder.write([push(1)]);
        folder.shell().execute(nonsense, []).expect("the schema allows it");
        let error = refusal(&folder.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{nonsense}: {error:?}");
    }
}

#[test]
fn more_can_be_checked_than_what_is_read() {
    let folder = Folder::new();
    folder.write((1..=100).map(|number| push_bytes(number, 10_000)));
    let mut bytes = fs::read(folder.path()).expect("a file");
    // A page of a tree where one of a payload was.
    let root = bytes[4096 * 2..4096 * 3].to_vec();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].copy_from_slice(&root);
    fs::write(folder.path(), bytes).expect("written");
    assert_eq!(folder.look().jobs.len(), 1, "large payloads are not read at opening");
    for check in [Check::Quick, Check::Full] {
        let error = Store::options().check(check).open(folder.path()).expect_err("it is damaged");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    }
}

#[test]
fn a_sound_store_passes_every_check() {
    let folder = Folder::new();
    folder.write((1..=100).map(|number| push_bytes(number, 10_000)));
    for check in [Check::Read, Check::Quick, Check::Full] {
        assert_eq!(waiting(&folder.write_with(Store::options().check(check), [])).len(), 100);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_read_only_is_said_to_be() {
    // Where not even root may write.
    let error = Store::open("/sys/jobs.db").expect_err("it cannot be created");
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().ends_with("or its folder cannot be written to; see to their permissions"));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_read_only_is_said_to_be() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use nix::unistd::{Uid, setuid};

    if let Some(path) = std::env::var_os("QUEUE_READ_ONLY_STORE") {
        if fs::OpenOptions::new().write(true).open(&path).is_ok() {
            // Nothing is read-only for root, who alone may start a program in a folder of root's own.
            setuid(Uid::from_raw(65534)).expect("root may be anybody");
        }
        let error = refusal(Path::new(&path));
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
        return;
    }
    let folder = Folder::new();
    folder.write([push(1)]);
    let allow =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    let lock = folder.path().with_file_name("jobs.db-lock");
    allow(folder.path().parent().expect("it is in a folder"), 0o777);
    allow(&lock, 0o666);
    allow(&folder.path(), 0o444);
    let mut command = Command::new(std::env::current_exe().expect("this is a program"));
    command
        .args(["--exact", "a_file_that_is_read_only_is_said_to_be"])
        .env("QUEUE_READ_ONLY_STORE", folder.path());
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_missing_folder_is_said_to_be_missing() {
    let folder = Folder::new();
    let error = Store::open(folder.path().join("deeper").join("jobs.db")).expect_err("it is not there");
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    assert!(error.source().is_some());
}

#[test]
fn a_shell_that_writes_is_waited_for_and_then_told_of() {
    let folder = Folder::new();
    folder.write([push(1)]);
    let store = Store::open(folder.path()).expect("it opens");
    let shell = folder.shell();
    shell.execute_batch("BEGIN IMMEDIATE").expect("a shell may write");
    drop(store);
    let error = Store::open(folder.path()).expect_err("somebody writes");
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
}
