//! What the fuzzer found worth keeping, once more.

use std::fs;
use std::path::Path;

/// Gives every file of a target's corpus to the target's function.
fn replay(target: &str, holds: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut count = 0;
    for file in files {
        let path = file.expect("the corpus can be listed").path();
        println!("{}", path.display());
        holds(&fs::read(&path).expect("a file of the corpus can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn the_corpus_of_the_store_holds() {
    replay("store", super::store);
}

#[test]
fn the_corpus_of_payloads_holds() {
    replay("payload", super::payload);
}

#[test]
fn the_corpus_of_retry_policies_holds() {
    replay("retry", super::retry);
}
