//! What one job does otherwise than its kind, as text: a store keeps it without knowing what it means.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Overrides;
use crate::retry::{Jitter, RetryPolicy};

/// The retry policy and timeout of one job, to be kept by a store.
///
/// ```
/// use queue_core::StoredOptions;
///
/// let text = r#"{"retry":{"fixed":{"max_retries":3,"delay":{"secs":60,"nanos":0}}}}"#;
/// assert_eq!(StoredOptions::decode(text)?.encode(), text);
/// # Ok::<(), queue_core::BadOptions>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoredOptions(pub(crate) Box<Overrides>);

impl StoredOptions {
    /// The options as JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        let text = Text { retry: self.0.retry.as_ref().and_then(PolicyText::of), timeout: self.0.timeout };
        serde_json::to_string(&text).expect("neither maps nor numbers that JSON has not")
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`BadOptions`] when this is something else.
    pub fn decode(text: &str) -> Result<Self, BadOptions> {
        let Text { retry, timeout } = serde_json::from_str(text).map_err(BadOptions)?;
        Ok(Self(Box::new(Overrides { queue: None, retry: retry.map(PolicyText::into_policy), timeout })))
    }
}

/// Whether a policy can be written down: a function cannot.
pub(crate) fn is_storable(policy: &RetryPolicy) -> bool {
    PolicyText::of(policy).is_some()
}

/// Not the options of a job.
#[derive(Debug)]
pub struct BadOptions(serde_json::Error);

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are not the options of a job")
    }
}

impl Error for BadOptions {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Text {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<PolicyText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyText {
    None,
    Fixed { max_retries: u32, delay: Duration },
    Linear { max_retries: u32, step: Duration },
    Exponential { max_retries: u32, base_delay: Duration },
    Capped { cap: Duration, policy: Box<PolicyText> },
    FullJitter(Box<PolicyText>),
    EqualJitter(Box<PolicyText>),
}

impl PolicyText {
    fn of(policy: &RetryPolicy) -> Option<Self> {
        let boxed = |inner: &RetryPolicy| Self::of(inner).map(Box::new);
        Some(match policy {
            RetryPolicy::None => Self::None,
            RetryPolicy::Fixed { max_retries, delay } => {
                Self::Fixed { max_retries: *max_retries, delay: *delay }
            }
            RetryPolicy::Linear { max_retries, step } => {
                Self::Linear { max_retries: *max_retries, step: *step }
            }
            RetryPolicy::Exponential { max_retries, base_delay } => {
                Self::Exponential { max_retries: *max_retries, base_delay: *base_delay }
            }
            RetryPolicy::Custom(_) => return None,
            RetryPolicy::Capped { inner, cap } => Self::Capped { cap: *cap, policy: boxed(inner)? },
            RetryPolicy::Jittered { inner, jitter: Jitter::Full } => Self::FullJitter(boxed(inner)?),
            RetryPolicy::Jittered { inner, jitter: Jitter::Equal } => Self::EqualJitter(boxed(inner)?),
        })
    }

    fn into_policy(self) -> RetryPolicy {
        match self {
            Self::None => RetryPolicy::None,
            Self::Fixed { max_retries, delay } => RetryPolicy::Fixed { max_retries, delay },
            Self::Linear { max_retries, step } => RetryPolicy::Linear { max_retries, step },
            Self::Exponential { max_retries, base_delay } => {
                RetryPolicy::Exponential { max_retries, base_delay }
            }
            Self::Capped { cap, policy } => {
                RetryPolicy::Capped { inner: Arc::new(policy.into_policy()), cap }
            }
            Self::FullJitter(policy) => {
                RetryPolicy::Jittered { inner: Arc::new(policy.into_policy()), jitter: Jitter::Full }
            }
            Self::EqualJitter(policy) => {
                RetryPolicy::Jittered { inner: Arc::new(policy.into_policy()), jitter: Jitter::Equal }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn every_policy_but_a_function_comes_back_as_it_was() {
        for policy in [
            RetryPolicy::None,
            RetryPolicy::fixed(3, SECOND),
            RetryPolicy::linear(u32::MAX, Duration::MAX),
            RetryPolicy::exponential(5, SECOND).cap(60 * SECOND).jitter(Jitter::Full),
            RetryPolicy::fixed(2, Duration::from_nanos(1)).jitter(Jitter::Equal).cap(SECOND),
        ] {
            let overrides = Overrides { queue: None, retry: Some(policy.clone()), timeout: Some(SECOND) };
            let text = StoredOptions(Box::new(overrides)).encode();
            let read = StoredOptions::decode(&text).expect("it was just written").0;
            assert_eq!(format!("{:?}", read.retry), format!("{:?}", Some(policy)), "{text}");
            assert_eq!(read.timeout, Some(SECOND));
        }
        assert!(!is_storable(&RetryPolicy::custom(|_, _| None).cap(SECOND)));
    }

    #[test]
    fn what_is_no_options_is_refused() {
        for text in ["", "7", r#"{"retry":"sometimes"}"#, r#"{"timeout":-1}"#] {
            assert!(StoredOptions::decode(text).is_err(), "{text}");
        }
    }
}
