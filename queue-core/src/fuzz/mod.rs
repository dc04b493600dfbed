//! What must hold for arbitrary bytes: one function per fuzz target.
//!
//! Called by the targets in the folder `fuzz` of the repository, which look for bytes that break something, and by
//! `replay`, which gives what they found so far to every run of the tests. What broke something goes to the corpus when it
//! is mended.

mod payload;
#[cfg(test)]
mod replay;
mod retry;
pub(crate) mod still;
mod store;

pub use payload::payload;
pub use retry::retry;
pub use store::store;
