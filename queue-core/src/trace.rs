//! `tracing`, once, at the worker: a span around every attempt. Without the feature nothing of it is compiled.

use crate::job::Job;

#[cfg(feature = "tracing")]
pub(crate) struct Span(tracing::Span);

#[cfg(feature = "tracing")]
impl Span {
    pub(crate) fn of(job: Option<&Job>) -> Self {
        let span_of = |job: &Job| {
            tracing::info_span!(
                "job",
                queue = %job.queue_name(),
                kind = %job.name,
                id = job.id.as_u64(),
                attempt = job.attempt,
            )
        };
        Self(job.map_or_else(tracing::Span::none, span_of))
    }

    pub(crate) fn in_scope<T>(&self, body: impl FnOnce() -> T) -> T {
        self.0.in_scope(body)
    }

    pub(crate) fn failed(&self, error: &str) {
        self.0.in_scope(|| tracing::warn!(error, "attempt failed"));
    }
}

#[cfg(not(feature = "tracing"))]
pub(crate) struct Span;

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl Span {
    pub(crate) fn of(_: Option<&Job>) -> Self {
        Self
    }

    pub(crate) fn in_scope<T>(&self, body: impl FnOnce() -> T) -> T {
        body()
    }

    pub(crate) fn failed(&self, _: &str) {}
}
