//! The scenarios, by subject.
#![expect(clippy::missing_errors_doc, reason = "an error of a scenario is a failed test")]

pub mod abandoned;
pub mod batches;
mod by_hand;
pub mod cancel;
pub mod capacity;
pub mod dead_letters;
pub mod delays;
pub mod drops;
pub mod errors;
pub mod events;
pub mod field_bugs;
pub mod isolation;
pub mod kinds;
pub mod lifecycle;
pub mod limits;
pub mod order;
pub mod outcomes;
pub mod panics;
pub mod payloads;
pub mod retries;
mod script;
pub mod seed;
pub mod shutdown;
mod support;
pub mod timeouts;
