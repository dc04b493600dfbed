//! Retry math: how long to wait after a failed attempt, or whether to give up.
//!
//! Pure functions of (failed attempt, error, random source). Everything saturates: no attempt number and no
//! duration makes it panic or wrap. Who calls it: the worker loop, once per failure.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// When a failed job runs again, and when it is given up.
///
/// A policy answers one question: attempt *n* (counted from 0) has failed, how long until the next one?
/// `max_retries` is the number of attempts after the first, so `fixed(3, …)` runs a job at most four times;
/// then it goes to the dead letters.
///
/// | policy | delay after attempt *n* |
/// |---|---|
/// | `None` | gives up at once |
/// | `Fixed` | `delay` |
/// | `Linear` | `step` × (*n* + 1) |
/// | `Exponential` | `base_delay` × 2ⁿ |
/// | `Custom` | what your function says |
///
/// [`cap`](Self::cap) bounds the delay, [`jitter`](Self::jitter) spreads it. Both wrap any policy and can be
/// chained in either order.
///
/// Default: `None`, because running a job twice is something to ask for: at-least-once is safe only for
/// handlers that are idempotent.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use queue_core::{Jitter, RetryPolicy};
///
/// let policy = RetryPolicy::exponential(10, Duration::from_secs(1))
///     .cap(Duration::from_secs(60))
///     .jitter(Jitter::Full);
///
/// let error = std::io::Error::other("connection refused");
/// let mut random = || 0; // a real generator in production
/// assert!(policy.delay(3, &error, &mut random).unwrap() <= Duration::from_secs(8));
/// assert!(policy.delay(9, &error, &mut random).unwrap() <= Duration::from_secs(60));
/// assert_eq!(policy.delay(10, &error, &mut random), None); // ten retries are used up
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum RetryPolicy {
    /// Never retry: the first failure is final.
    #[default]
    None,
    /// The same delay every time.
    Fixed {
        /// Attempts after the first.
        max_retries: u32,
        /// Delay before each of them.
        delay: Duration,
    },
    /// A delay that grows by the same step every time: `step`, 2 × `step`, 3 × `step`, …
    Linear {
        /// Attempts after the first.
        max_retries: u32,
        /// How much longer each delay is than the one before.
        step: Duration,
    },
    /// A delay that doubles every time: `base_delay`, 2 × `base_delay`, 4 × `base_delay`, …
    Exponential {
        /// Attempts after the first.
        max_retries: u32,
        /// Delay before the first retry.
        base_delay: Duration,
    },
    /// A function of yours.
    Custom(CustomPolicy),
    /// Another policy with its delays bounded; made by [`cap`](Self::cap).
    Capped {
        /// The policy that is bounded.
        inner: Arc<RetryPolicy>,
        /// The longest delay.
        cap: Duration,
    },
    /// Another policy with its delays spread; made by [`jitter`](Self::jitter).
    Jittered {
        /// The policy that is spread.
        inner: Arc<RetryPolicy>,
        /// How it is spread.
        jitter: Jitter,
    },
}

/// How a delay is spread, so that jobs that failed together do not come back together.
///
/// The names and formulas are those of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// Uniform in 0 ..= delay: spreads best, and may retry almost at once.
    Full,
    /// Uniform in delay/2 ..= delay: keeps at least half of the wait.
    Equal,
}

impl RetryPolicy {
    /// Retries `max_retries` times, `delay` apart.
    #[must_use]
    pub fn fixed(max_retries: u32, delay: Duration) -> Self {
        Self::Fixed { max_retries, delay }
    }

    /// Retries `max_retries` times, after `step`, 2 × `step`, 3 × `step`, …
    #[must_use]
    pub fn linear(max_retries: u32, step: Duration) -> Self {
        Self::Linear { max_retries, step }
    }

    /// Retries `max_retries` times, after `base_delay`, 2 × `base_delay`, 4 × `base_delay`, …
    ///
    /// Without a [`cap`](Self::cap) the tenth retry waits 512 times the base, the twentieth six days for a base
    /// of one second.
    #[must_use]
    pub fn exponential(max_retries: u32, base_delay: Duration) -> Self {
        Self::Exponential { max_retries, base_delay }
    }

    /// Asks `policy` with the number of the failed attempt (from 0) and its error; `None` gives the job up.
    ///
    /// The error is what the handler returned, or [`HandlerPanicked`](crate::HandlerPanicked) or
    /// [`AttemptTimedOut`](crate::AttemptTimedOut), so it can be inspected by downcast. A function that panics
    /// gives the job up; the worker lives.
    ///
    /// ```
    /// use std::time::Duration;
    /// use queue_core::{AttemptTimedOut, RetryPolicy};
    ///
    /// // Timeouts are retried at once, three times; everything else is final.
    /// let policy = RetryPolicy::custom(|attempt, error| {
    ///     (attempt < 3 && error.is::<AttemptTimedOut>()).then_some(Duration::ZERO)
    /// });
    /// # let _ = policy;
    /// ```
    pub fn custom<F>(policy: F) -> Self
    where
        F: Fn(u32, &(dyn Error + 'static)) -> Option<Duration> + Send + Sync + 'static,
    {
        Self::Custom(CustomPolicy(Arc::new(policy)))
    }

    /// Bounds every delay to at most `cap`.
    #[must_use]
    pub fn cap(self, cap: Duration) -> Self {
        Self::Capped { inner: Arc::new(self), cap }
    }

    /// Spreads every delay by `jitter`.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Self {
        Self::Jittered { inner: Arc::new(self), jitter }
    }

    /// How long to wait before the next attempt, after attempt number `failed` (from 0) ended with `error`;
    /// `None` means give up.
    ///
    /// `random` gives uniform 64-bit numbers; it is asked once per jitter modifier and not at all without one.
    pub fn delay(
        &self,
        failed: u32,
        error: &(dyn Error + 'static),
        random: &mut dyn FnMut() -> u64,
    ) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Fixed { max_retries, delay } => (failed < *max_retries).then_some(*delay),
            Self::Linear { max_retries, step } => {
                (failed < *max_retries).then(|| step.saturating_mul(failed.saturating_add(1)))
            }
            Self::Exponential { max_retries, base_delay } => {
                (failed < *max_retries).then(|| doubled(*base_delay, failed))
            }
            Self::Custom(CustomPolicy(policy)) => policy(failed, error),
            Self::Capped { inner, cap } => inner.delay(failed, error, random).map(|delay| delay.min(*cap)),
            Self::Jittered { inner, jitter } => {
                inner.delay(failed, error, random).map(|delay| jitter.spread(delay, random()))
            }
        }
    }
}

/// `base` × 2^`times`, saturating.
fn doubled(base: Duration, times: u32) -> Duration {
    // Past 2^95 any base of at least a nanosecond is beyond `Duration::MAX`; below, multiply in steps that fit.
    let mut delay = base;
    let mut left = times.min(95);
    while left > 0 && !delay.is_zero() {
        let step = left.min(31);
        delay = delay.saturating_mul(1 << step);
        left -= step;
    }
    delay
}

impl Jitter {
    fn spread(self, delay: Duration, random: u64) -> Duration {
        match self {
            Self::Full => fraction(delay, random),
            Self::Equal => {
                let half = delay / 2;
                half.saturating_add(fraction(delay.saturating_sub(half), random))
            }
        }
    }
}

/// `delay` × `random` / (2⁶⁴ − 1), rounded down to the nanosecond: 0 for 0, all of it for `u64::MAX`.
fn fraction(delay: Duration, random: u64) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let (random, whole) = (u128::from(random), u128::from(u64::MAX));
    // The product would need 158 bits. Of the delay, 2⁶⁴ − 1 goes into it less than 2³⁰ times, and what is left fits 64.
    let (times, left) = (delay.as_nanos() / whole, delay.as_nanos() % whole);
    let scaled = times * random + left * random / whole;
    let seconds = u64::try_from(scaled / NANOS).unwrap_or(u64::MAX);
    let rest = u32::try_from(scaled % NANOS).unwrap_or(0);
    Duration::new(seconds, rest)
}

/// The function behind [`RetryPolicy::custom`].
#[derive(Clone)]
pub struct CustomPolicy(Arc<CustomFn>);

type CustomFn = dyn Fn(u32, &(dyn Error + 'static)) -> Option<Duration> + Send + Sync;

impl fmt::Debug for CustomPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomPolicy(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn delay(policy: &RetryPolicy, failed: u32, random: u64) -> Option<Duration> {
        policy.delay(failed, &std::io::Error::other("failed"), &mut || random)
    }

    #[test]
    fn the_curves_are_as_documented() {
        let curve = |policy: RetryPolicy| {
            (0..5).map(|n| delay(&policy, n, 0).map(|d| d.as_secs())).collect::<Vec<_>>()
        };
        assert_eq!(curve(RetryPolicy::None), [None; 5]);
        assert_eq!(curve(RetryPolicy::fixed(3, SECOND)), [Some(1), Some(1), Some(1), None, None]);
        assert_eq!(curve(RetryPolicy::linear(4, SECOND)), [Some(1), Some(2), Some(3), Some(4), None]);
        assert_eq!(curve(RetryPolicy::exponential(4, SECOND)), [Some(1), Some(2), Some(4), Some(8), None]);
        assert_eq!(
            curve(RetryPolicy::exponential(5, SECOND).cap(3 * SECOND)),
            [Some(1), Some(2), Some(3), Some(3), Some(3)]
        );
    }

    #[test]
    fn a_custom_policy_sees_the_attempt_and_the_error() {
        let policy = RetryPolicy::custom(|attempt, error| {
            (error.to_string() == "failed").then(|| Duration::from_secs(u64::from(attempt) + 10))
        });
        assert_eq!(delay(&policy, 2, 0), Some(12 * SECOND));
        assert_eq!(policy.delay(2, &std::fmt::Error, &mut || 0), None);
    }

    #[test]
    fn the_ends_of_the_range_saturate() {
        for policy in [
            RetryPolicy::fixed(u32::MAX, Duration::MAX),
            RetryPolicy::linear(u32::MAX, Duration::MAX),
            RetryPolicy::exponential(u32::MAX, Duration::MAX),
            RetryPolicy::exponential(u32::MAX, Duration::from_nanos(1)),
            RetryPolicy::exponential(u32::MAX, Duration::MAX).jitter(Jitter::Equal),
        ] {
            assert_eq!(delay(&policy, u32::MAX, u64::MAX), None, "{policy:?}");
            let last = delay(&policy, u32::MAX - 1, u64::MAX);
            assert_eq!(last, Some(Duration::MAX), "{policy:?}");
        }
        let zero = RetryPolicy::exponential(u32::MAX, Duration::ZERO);
        assert_eq!(delay(&zero, u32::MAX - 1, 0), Some(Duration::ZERO));
    }

    #[test]
    fn fractions_are_exact_at_both_ends() {
        for whole in [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX] {
            assert_eq!(fraction(whole, 0), Duration::ZERO);
            assert_eq!(fraction(whole, u64::MAX), whole);
        }
        assert_eq!(fraction(SECOND, u64::MAX / 2).as_millis(), 499);
        assert_eq!(fraction(Duration::MAX, u64::MAX / 2).as_secs(), u64::MAX / 2);
    }

    /// `a` × `b` of less than 2⁹⁵ and 2⁶⁴: what is above 2⁶⁴, and what is below.
    fn wide(a: u128, b: u128) -> (u128, u128) {
        let (high, low) = ((a >> 64) * b, (a & u128::from(u64::MAX)) * b);
        (high + (low >> 64), low & u128::from(u64::MAX))
    }

    fn any_duration() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (any::<u64>(), 0..1_000_000_000u32).prop_map(|(s, n)| Duration::new(s, n)),
            (0..100_000u64).prop_map(Duration::from_millis),
            Just(Duration::MAX),
            Just(Duration::ZERO),
        ]
    }

    fn any_curve() -> impl Strategy<Value = RetryPolicy> {
        (any_duration(), prop_oneof![Just(u32::MAX), 0..100u32], 0..3).prop_map(|(d, max, kind)| match kind {
            0 => RetryPolicy::fixed(max, d),
            1 => RetryPolicy::linear(max, d),
            _ => RetryPolicy::exponential(max, d),
        })
    }

    fn any_attempt() -> impl Strategy<Value = u32> {
        prop_oneof![0..200u32, any::<u32>(), Just(u32::MAX), Just(u32::MAX - 1)]
    }

    proptest! {
        #[test]
        fn delays_are_monotone_without_jitter(policy in any_curve(), n in any_attempt(), cap in any_duration()) {
            for policy in [policy.clone(), policy.cap(cap)] {
                if let (Some(now), Some(next)) =
                    (delay(&policy, n, 0), delay(&policy, n.saturating_add(1), 0))
                {
                    prop_assert!(now <= next, "{policy:?}: {now:?} then {next:?}");
                }
            }
        }

        #[test]
        fn a_cap_holds_in_either_order(
            policy in any_curve(), n in any_attempt(), cap in any_duration(), random in any::<u64>(),
        ) {
            for jitter in [Jitter::Full, Jitter::Equal] {
                for policy in [policy.clone().cap(cap).jitter(jitter), policy.clone().jitter(jitter).cap(cap)] {
                    prop_assert!(delay(&policy, n, random).is_none_or(|delay| delay <= cap));
                }
            }
        }

        #[test]
        fn jitter_stays_within_its_bounds(policy in any_curve(), n in any_attempt(), random in any::<u64>()) {
            let plain = delay(&policy, n, random);
            let full = delay(&policy.clone().jitter(Jitter::Full), n, random);
            let equal = delay(&policy.jitter(Jitter::Equal), n, random);
            prop_assert_eq!(plain.is_some(), full.is_some());
            prop_assert_eq!(plain.is_some(), equal.is_some());
            if let (Some(plain), Some(full), Some(equal)) = (plain, full, equal) {
                prop_assert!(full <= plain);
                prop_assert!(equal <= plain && equal >= plain / 2, "{equal:?} of {plain:?}");
            }
        }

        #[test]
        fn a_fraction_is_monotone_in_the_random_number(whole in any_duration(), a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(fraction(whole, a.min(b)) <= fraction(whole, a.max(b)));
        }

        #[test]
        fn a_fraction_is_rounded_down_to_the_nanosecond(whole in any_duration(), random in any::<u64>()) {
            // fraction × (2⁶⁴ − 1) ≤ whole × random < (fraction + 1) × (2⁶⁴ − 1), as numbers of two digits.
            let max = u128::from(u64::MAX);
            let scaled = fraction(whole, random).as_nanos();
            let exact = wide(whole.as_nanos(), u128::from(random));
            prop_assert!(wide(scaled, max) <= exact);
            prop_assert!(exact < wide(scaled + 1, max));
        }

        #[test]
        fn no_policy_retries_past_its_limit(policy in any_curve(), n in any_attempt()) {
            let (RetryPolicy::Fixed { max_retries, .. }
            | RetryPolicy::Linear { max_retries, .. }
            | RetryPolicy::Exponential { max_retries, .. }) = &policy else { unreachable!() };
            prop_assert_eq!(delay(&policy, n, 0).is_some(), n < *max_retries);
        }
    }
}
