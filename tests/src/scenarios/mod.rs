//! The scenarios, by subject.
#![expect(clippy::missing_errors_doc, reason = "an error of a scenario is a failed test")]

pub mod abandoned;
mod by_hand;
pub mod capacity;
pub mod delays;
pub mod drops;
pub mod field_bugs;
pub mod lifecycle;
pub mod limits;
pub mod order;
pub mod seed;
pub mod shutdown;
mod support;
