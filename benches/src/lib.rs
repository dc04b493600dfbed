//! What benches of this crate share: a runtime that does nothing by itself.
//!
//! ```text
//! cargo bench -p queue-benches                 time by part and along the axes (criterion)
//! benches/instructions                         instructions by part, beside the baseline (valgrind)
//! cargo run --release -p queue-compare         beside the rivals
//! ```

mod manual;
mod operation;

pub use manual::Manual;
pub use operation::{OPERATIONS, Operation};
