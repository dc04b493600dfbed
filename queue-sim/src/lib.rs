//! The background job queue of [`queue_core`] in a simulator.

pub use queue_core::*;

mod chaos;
mod chaotic;
mod executor;
mod failure;
mod sim;
mod sleep;
mod state;
mod task;
mod trace;
mod waker;
mod world;

pub use chaos::Chaos;
pub use chaotic::Chaotic;
pub use failure::Failure;
pub use sim::Sim;
pub use sleep::Sleep;
pub use task::Task;
pub use trace::Trace;
pub use world::World;

/// A queue in the simulation that runs on this thread. Everything it can do is on [`queue_core::Queue`] and [`Handle`].
pub type Queue = queue_core::Queue<World>;
