//! A short soak on every kind of runtime: `cargo run --release -p queue-tests --bin soak` goes on for longer.
#![cfg(any(feature = "tokio", feature = "smol", feature = "compio"))]

use queue_tests::TestRuntime;
use queue_tests::soak::{Length, Soak};

macro_rules! soaks {
    ($($feature:literal $name:ident $runtime:ident $threads:literal)*) => {
        $(
            #[cfg(feature = $feature)]
            #[test]
            fn $name() {
                every_job_is_accounted_for::<queue_tests::runtimes::$runtime>($threads);
            }
        )*
    };
}

soaks! {
    "tokio" tokio_multi TokioMulti 0
    "tokio" tokio_current TokioCurrent 0
    "tokio" tokio_local TokioLocal 1
    "smol" smol_global SmolGlobal 0
    "smol" smol_own SmolOwn 0
    "smol" smol_local SmolLocal 1
    "compio" compio Compio 1
}

/// And everything happens, or that would prove little.
fn every_job_is_accounted_for<T: TestRuntime>(threads: usize) {
    let soak = Soak { seed: 0, length: Length::Epochs(6), operations: 400, threads };
    let ended = soak.run::<T>(|_| {}).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(
        ended.tally.missing().is_empty(),
        "these did not happen: {:?} in {}",
        ended.tally.missing(),
        ended.tally
    );
}
