//! What the programs in `src/bin` share with their tests.

pub mod webhooks;
