//! Jobs and endings to try the store with.

use std::time::{Instant, SystemTime};

use super::{Entry, Failure, Settle, When};
use crate::dead::DeadReason;
use crate::job::{JobId, Priority};
use crate::payload::Payload;
use crate::registry::Kind;

#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be read from a clock; it is never read again"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) fn job(id: u64, level: u8, bytes: usize) -> Entry {
    let priority = Priority::new(level).expect("tests use levels that exist");
    Entry::new(JobId::new(id), Kind::from_index(3), priority, Payload::from(vec![b'x'; bytes]))
}

pub(crate) fn bury(error: &str) -> Settle {
    Settle::Bury {
        name: "kind".into(),
        reason: DeadReason::RetriesExhausted,
        failure: Box::new(failure(error)),
    }
}

pub(crate) fn retry(when: When) -> Settle {
    Settle::Retry { when, failure: Box::new(failure("failed")) }
}

pub(crate) fn failure(error: &str) -> Failure {
    Failure { error: error.into(), at: SystemTime::UNIX_EPOCH }
}
