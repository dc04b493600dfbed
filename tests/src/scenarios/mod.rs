//! The scenarios, by subject.

pub mod seed;
