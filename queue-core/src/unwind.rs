//! Code of the user's may panic wherever it runs: when it is called, and when it is dropped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::outcome::HandlerPanicked;

/// Runs code of the user's, and catches its panic.
pub(crate) fn catch<T>(code: impl FnOnce() -> T) -> Result<T, HandlerPanicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let error = HandlerPanicked::from_payload(&*panic);
        forget(panic);
        error
    })
}

/// Drops a value of the user's. Its `Drop` may panic, and so may that of the panic's payload.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        forget(panic);
    }
}

/// A payload whose own `Drop` panics is leaked: there is nothing better to do with it.
fn forget(panic: Box<dyn Any + Send>) {
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(worse);
    }
}
