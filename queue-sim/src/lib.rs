//! The background job queue of [`queue_core`] in a simulator: a runtime with a virtual clock, on which the seed decides
//! what happens in which order, and what fails.
//!
//! Test your handlers and your retry policy in milliseconds:
//!
//! ```
//! use std::time::Duration;
//! use queue_sim::{Drain, Queue, RetryPolicy, Sim};
//!
//! Sim::new(1).run(|sim| async move {
//!     let queue = Queue::builder().retry(RetryPolicy::fixed(24, Duration::from_hours(1))).build();
//!     queue.register("send_email", |_| async { Err::<(), _>("the server is down".into()) });
//!     queue.start();
//!     queue.push("send_email", &"ada@example.com").await.unwrap();
//!
//!     sim.advance(Duration::from_hours(23)).await;
//!     assert_eq!(queue.dead_letter_count(), 0);
//!     queue.drain().await;
//!     assert_eq!(queue.dead_letters()[0].attempts, 25);
//! });
//! ```
//!
//! | to do this | see |
//! |---|---|
//! | run a simulation, or many | [`Sim`] |
//! | let time pass, spawn, inject faults | [`World`] (the `sim` above), [`Chaos`] |
//! | wait until a queue holds nothing | [`Drain`] |
//! | run one handler once | [`perform()`] |
//! | see what was pushed | [`Recorder`], [`assert_pushed!`] |
//! | keep jobs over restarts and crashes | [`Disk`] |
//! | have several queues share a store, over a network | [`Server`] |
//! | find out what happened | [`Trace`], [`Failure`] |
//!
//! # What a simulation is
//!
//! One thread. Of the tasks that are ready the seed picks the next; when none is, the clock jumps to the next deadline,
//! so code takes no time and a sleep of a week takes none of yours. The queue's workers are those of every other runtime.
//! The same seed gives the same [`Trace`], byte for byte, as long as the code in it depends on nothing else: no real
//! clock, no threads, no iteration over a `HashMap`, no addresses.
//!
//! Handlers may hold an `Rc` across an await, as on every runtime whose tasks stay on their thread. They sleep with
//! [`World::sleep`]; what waits for another runtime's timer or I/O waits for ever.

pub use queue_core::*;

mod adapter;
mod chaos;
mod chaotic;
mod disk;
mod drain;
mod executor;
mod failure;
mod faults;
mod perform;
mod piece;
mod recorder;
mod server;
mod sim;
mod sleep;
mod spawn;
mod state;
mod task;
mod trace;
mod waker;
mod world;

pub use chaos::Chaos;
pub use chaotic::Chaotic;
pub use disk::{Disk, DiskStore};
pub use drain::Drain;
pub use executor::Moment;
pub use failure::Failure;
pub use perform::perform;
pub use recorder::Recorder;
pub use server::{Link, Server};
pub use sim::Sim;
pub use sleep::Sleep;
pub use task::Task;
pub use trace::Trace;
pub use world::World;

/// A queue in the simulation that runs on this thread. Everything it can do is on [`queue_core::Queue`] and [`Handle`].
pub type Queue = queue_core::Queue<World>;
