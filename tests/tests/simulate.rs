//! Many lives of a queue, each under all invariants.
#![cfg(feature = "sim")]

use queue_tests::workload::simulate;
use queue_tests::{fleet, restarts, unwatched};

/// Says which seed fails, and why: `cargo run -p queue-tests --bin simulate -- --from SEED --seeds 1 --trace` prints its trace.
#[test]
fn two_thousand_seeds() {
    for seed in 0..2000 {
        if let Err(failure) = simulate(seed) {
            panic!("seed {seed} fails: {failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_life() {
    for seed in 0..20 {
        let traces = [simulate(seed), simulate(seed)].map(|trace| trace.expect("it holds").to_string());
        assert_eq!(traces[0], traces[1]);
    }
}

/// A workload that does little would prove little.
#[test]
fn everything_happens() {
    let lives: String = (0..100).map(|seed| simulate(seed).expect("it holds").to_string()).collect();
    for what in [
        "Waits(",
        "Asked(",
        "Cancelled(",
        "DeadLetterEvicted(",
        "Died {",
        "HandedBack(",
        "Interrupted(",
        "Requeued(",
        "Retried {",
        "Snoozed {",
        "Succeeded(",
        "NoHandler",
        "it panics",
        "injected panic",
        "injected failure",
        "timed out after",
        "CRASH",
        "RESTART",
        "LATE WAKE",
        "SPURIOUS WAKE",
        "CLOCK AHEAD",
        "WALL CLOCK BACK",
    ] {
        assert!(lives.contains(what), "there is no {what:?}");
    }
}

/// What nobody subscribes to runs in batches.
#[test]
fn two_thousand_unwatched_seeds() {
    for seed in 0..2000 {
        if let Err(failure) = unwatched::simulate(seed) {
            panic!("seed {seed} fails: {failure}");
        }
    }
}

/// Jobs outlive their processes, however those end and whatever the disk does.
#[test]
fn a_thousand_restarted_seeds() {
    for seed in 0..1000 {
        if let Err(failure) = restarts::simulate(seed) {
            panic!("seed {seed} fails: {failure}");
        }
    }
}

/// Machines share a store, and are cut off, die and are shut down.
#[test]
fn a_thousand_fleets() {
    for seed in 0..1000 {
        if let Err(failure) = fleet::simulate(seed) {
            panic!("seed {seed} fails: {failure}");
        }
    }
}
