//! A background job queue that belongs to no async runtime: the job model, the retry math, the memory store, the one
//! worker loop, and the seams ([`Runtime`], [`Timer`], [`Spawner`]) through which an adapter crate supplies a runtime.
//!
//! Applications depend on the adapter of their runtime (`queue-tokio`, `queue-smol`, `queue-compio`), which re-exports
//! all of this. Depend on this crate to write an adapter, or code that runs on any.
//!
//! | to do this | see |
//! |---|---|
//! | build, register, start, shut down | [`Queue`], [`Builder`], [`QueueConfig`] |
//! | push, cancel, pause, look | [`Handle`] |
//! | write a handler | [`Job`], [`Outcome`], [`JobError`] |
//! | decide when to try again | [`RetryPolicy`] |
//! | read dead letters and events | [`DeadJob`], [`Event`] |
//! | bring another runtime | [`Runtime`] |
//!
//! # What is promised
//!
//! An accepted job is run at least once, dead-lettered, cancelled, handed back or still held; it is never lost. A job has
//! one attempt at a time. A handler's error, panic or hang never stops a worker. Within a named queue and a priority, ready
//! jobs start in push order; a delayed job never starts early; never more jobs run than the limit says. Nothing grows
//! without bound by default, and an idle queue does not wake up.

mod cancel;
mod config;
mod current;
mod dead;
mod engine;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod handler;
mod job;
mod journal;
mod outcome;
mod payload;
mod progress;
mod push;
mod push_many;
mod queue;
mod registry;
pub mod remote;
mod retry;
mod runtime;
mod shutdown;
mod slot;
mod store;
mod sync;
mod timekeeper;
mod trace;
mod unwind;
mod verdict;
mod worker;

pub use cancel::Cancelled;
pub use config::QueueConfig;
pub use dead::{AttemptError, DeadJob, DeadReason};
pub use event::{Event, JobInfo, Subscription};
pub use handle::{CancelAnswer, Handle, QueueCounts, RequeueError};
pub use handler::{Accepts, HandlerResult, LocalFuture, LocalMode, Mode, SendFuture, SendMode};
pub use job::{DecodeError, EncodeError, Job, JobId, Name, NewJob, Priority};
pub use journal::{
    BadOptions, Change, Due, Health, JobRecord, Journal, Loading, Record, Recovered, RecoveredDead,
    RecoveredMore, Recovery, Sink, StoreError, StoreFault, StoredOptions, Urgency,
};
pub use outcome::{AttemptTimedOut, BoxError, HandlerPanicked, IntoOutcome, JobError, Outcome};
pub use payload::Payload;
pub use push::{Push, PushError, PushFuture};
pub use push_many::{PushMany, PushManyError};
pub use queue::{Builder, KindBuilder, Queue, UnknownQueue};
pub use retry::{CustomPolicy, Jitter, RetryPolicy};
pub use runtime::{Runtime, Spawner, SpawnsQueue, Timer};
pub use shutdown::{HandedBack, ShutdownReport};
pub use timekeeper::Timekeeper;
pub use worker::Worker;
