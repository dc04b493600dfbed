//! What must not compile, and what the compiler says about it.
//!
//! The messages are those of the oldest rustc that this workspace supports, and are compared on it alone: another one
//! may word them differently. After raising `rust-version`, look at them again with `TRYBUILD=overwrite`.

use std::process::Command;

/// One test, because all cases are built in one go.
#[test]
fn handlers_that_do_not_fit_their_runtime() {
    let wanted = concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"));
    let rustc = Command::new("rustc").arg("--version").output().expect("who runs this test has rustc");
    let version = String::from_utf8_lossy(&rustc.stdout);
    if !version.starts_with(wanted) {
        eprintln!("skipped: the messages are those of {wanted}, and this is {version}");
        return;
    }
    let cases = trybuild::TestCases::new();
    if cfg!(feature = "tokio") {
        cases.compile_fail("compile-fail/tokio/*.rs");
    }
    if cfg!(feature = "smol") {
        cases.compile_fail("compile-fail/smol/*.rs");
    }
}
