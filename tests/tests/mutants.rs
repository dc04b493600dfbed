//! The bugs of `tests/mutants` still fit the code, and each is known to be caught. Whether it still is, `tests/mutants/run`
//! says, and takes its time.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fewer would leave out bugs that job queues are known for.
const FEWEST: usize = 24;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")
}

/// Every mutant's name and patch.
fn mutants() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).expect("there is a folder of patches");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let patches = paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch"));
    let mut mutants: Vec<_> = patches
        .map(|path| {
            let name = path.file_stem().expect("a patch has a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a patch is text"))
        })
        .collect();
    mutants.sort();
    mutants
}

#[test]
fn every_mutant_says_which_promise_it_breaks_and_every_promise_has_one() {
    let mut broken = BTreeSet::new();
    for (name, patch) in mutants() {
        let (preface, _) = patch.split_once("\ndiff --git ").expect("a patch has a difference");
        let promise =
            preface.lines().find_map(|line| line.strip_prefix("Breaks promise ")?.strip_suffix('.'));
        let promise: u32 = promise.and_then(|number| number.parse().ok()).unwrap_or_default();
        assert!((1..=10).contains(&promise), "{name} does not say which promise it breaks");
        assert!(preface.len() > 40, "{name} does not say what the bug is");
        broken.insert(promise);
    }
    assert_eq!(broken, (1..=10).collect(), "these promises are broken by some mutant");
}

#[test]
fn the_table_of_promises_names_every_mutant() {
    let text =
        fs::read_to_string(folder().join("../../ARCHITECTURE.md")).expect("there is an ARCHITECTURE.md");
    for (name, patch) in mutants() {
        let promise = patch.split("Breaks promise ").nth(1).and_then(|rest| rest.split('.').next());
        let row = format!("| {}. ", promise.unwrap_or_default());
        let row = text.lines().find(|line| line.starts_with(&row)).unwrap_or_default();
        assert!(row.contains(&format!("`{name}`")), "its promise in ARCHITECTURE.md does not name {name}");
    }
}

#[test]
fn every_mutant_applies() {
    let mutants = mutants();
    assert!(mutants.len() >= FEWEST, "there are {} mutants", mutants.len());
    let root = folder().join("../..").canonicalize().expect("the workspace is there");
    for (name, _) in mutants {
        let mut git = Command::new("git");
        git.args(["apply", "--check"]).arg(folder().join(format!("{name}.patch")));
        // In a part of another checkout it would look at none of the files, and be content.
        git.current_dir(&root).env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(&root));
        match git.output() {
            Ok(output) => {
                let wrong = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{name} does not apply, make it anew: {wrong}");
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: there is no git");
                return;
            }
            Err(error) => panic!("git does not run: {error}"),
        }
    }
}

#[test]
fn every_mutant_is_known_to_be_caught() {
    let results = fs::read_to_string(folder().join("RESULTS.md")).expect("there are results");
    let rows = results.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let (known, caught): (Vec<_>, Vec<_>) = rows.unzip();
    let names: Vec<_> = mutants().into_iter().map(|(name, _)| name).collect();
    assert_eq!(known, names, "the rows of RESULTS.md, and the mutants; `tests/mutants/run NAME` adds one");
    for (name, caught) in known.iter().zip(caught) {
        assert!(!caught.contains("**nothing**"), "nothing catches {name}");
    }
}
