//! The scenarios of the queue, each written once and run on every runtime.
//!
//! A scenario is an `async fn(rt: impl TestRuntime)`. The [`matrix!`] macro makes one test of it per runtime, with the
//! runtime in the test's path: `tokio_multi::outcomes::a_failed_attempt_is_retried`. Scenarios wait for signals
//! ([`Gate`], [`Log`]) and not for time; where time itself is the subject it is milliseconds. Every test has a deadline,
//! and says what its queues were doing when it passes.

#![allow(clippy::missing_errors_doc, reason = "an error of a scenario is a failed test, always")]

#[cfg(any(feature = "sim", feature = "sqlite"))]
pub mod durable;
#[cfg(feature = "sim")]
pub mod fleet;
#[cfg(feature = "sim")]
pub mod invariants;
mod matrix;
#[cfg(feature = "sim")]
pub mod model;
#[cfg(feature = "sim")]
pub mod restarts;
pub mod runtimes;
pub mod scenarios;
mod signals;
pub mod soak;
#[cfg(feature = "sim")]
pub mod unwatched;
mod watchdog;
#[cfg(feature = "sim")]
pub mod workload;

pub use runtimes::TestRuntime;
pub use signals::{Gate, Log};
pub use watchdog::{run, watch};

use queue_core::{BoxError, HandlerResult, IntoOutcome, Job, SendFuture};

/// What scenarios return: any error fails the test.
pub type TestResult = Result<(), BoxError>;

/// A handler that every runtime accepts. Scenarios are generic over the runtime, and only a boxed `Send` future suits all.
pub fn handler<H, F, T>(handler: H) -> impl Fn(Job) -> SendFuture + Send + Sync + 'static
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: IntoOutcome,
{
    move |job| {
        let future = handler(job);
        Box::pin(async move { HandlerResult::Ok(future.await?.into_outcome()) })
    }
}
