//! The scenarios, by subject.

pub mod abandoned;
pub mod drops;
pub mod field_bugs;
pub mod lifecycle;
pub mod seed;
pub mod shutdown;
mod support;
