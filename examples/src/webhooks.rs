//! Delivering webhooks to receivers that misbehave.

pub mod payloads;
pub mod post;
pub mod receivers;
