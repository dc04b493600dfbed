//! The contenders of a burst: ours on each runtime, and what people use instead.

pub(crate) mod apalis;
pub(crate) mod channels;
pub(crate) mod ours;
pub(crate) mod spawn;
pub(crate) mod tako;

use tokio::runtime::{Builder, Runtime};

/// tokio as every contender gets it.
pub(crate) fn tokio_on(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_time().build().expect("tokio starts")
}
