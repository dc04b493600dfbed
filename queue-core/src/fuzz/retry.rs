//! Retry policies of any shape, against their formulas in whole numbers.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::retry::{Jitter, RetryPolicy};

/// Reads the bytes as a policy and attempts, and compares its delays with what the formulas allow.
pub fn retry(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(case) = Case::arbitrary(&mut bytes) else { return };
    let subject = Subject { policy: case.policy(), jitters: case.jitters() };
    let chance: Vec<u64> = (0..subject.jitters).map(|_| bytes.arbitrary().unwrap_or(0)).collect();
    for attempt in case.attempts {
        let [now, next] = [attempt, attempt.saturating_add(1)].map(|attempt| {
            let delays = subject.delays(attempt, &chance);
            assert_eq!(
                delays.map(|[least, .., most]| [least, most]),
                case.bounds(attempt),
                "{subject:?} after {attempt}"
            );
            delays
        });
        if let (Some(now), Some(next)) = (now, next) {
            for (now, next) in now.into_iter().zip(next) {
                assert!(now <= next, "{now:?}, then {next:?}: {subject:?} after {attempt}");
            }
        }
    }
}

#[derive(Debug)]
struct Subject {
    policy: RetryPolicy,
    jitters: usize,
}

impl Subject {
    /// The delays with the least chance, with these chances, with greater ones, and with the greatest.
    fn delays(&self, attempt: u32, chance: &[u64]) -> Option<[Duration; 4]> {
        let least = self.delay(attempt, |_| 0);
        let some = self.delay(attempt, |asked| chance[asked]);
        let more = self.delay(attempt, |asked| chance[asked].saturating_add(1 << 40));
        let most = self.delay(attempt, |_| u64::MAX);
        let delays = [least, some, more, most];
        assert!(delays.is_sorted(), "{delays:?}: {self:?} after {attempt}");
        assert_eq!(least.is_some(), most.is_some(), "giving up is no matter of chance");
        Some([least?, some?, more?, most?])
    }

    fn delay(&self, attempt: u32, random: impl Fn(usize) -> u64) -> Option<Duration> {
        let mut asked = 0;
        let error = std::io::Error::other("failed");
        let delay = self.policy.delay(attempt, &error, &mut || {
            asked += 1;
            random(asked - 1)
        });
        assert_eq!(asked, if delay.is_some() { self.jitters } else { 0 }, "{self:?} after {attempt}");
        delay
    }
}

#[derive(Debug)]
struct Case {
    curve: Curve,
    most_retries: u32,
    base: Duration,
    modifiers: Vec<Modifier>,
    attempts: [u32; 4],
}

#[derive(Clone, Copy, Debug)]
enum Curve {
    Fixed,
    Linear,
    Exponential,
    Custom,
}

#[derive(Clone, Copy, Debug)]
enum Modifier {
    Cap(Duration),
    Full,
    Equal,
}

impl Case {
    fn policy(&self) -> RetryPolicy {
        let Self { most_retries, base, .. } = *self;
        let plain = match self.curve {
            Curve::Fixed => RetryPolicy::fixed(most_retries, base),
            Curve::Linear => RetryPolicy::linear(most_retries, base),
            Curve::Exponential => RetryPolicy::exponential(most_retries, base),
            Curve::Custom => RetryPolicy::custom(move |failed, _| (failed < most_retries).then_some(base)),
        };
        self.modifiers.iter().fold(plain, |policy, modifier| match modifier {
            Modifier::Cap(cap) => policy.cap(*cap),
            Modifier::Full => policy.jitter(Jitter::Full),
            Modifier::Equal => policy.jitter(Jitter::Equal),
        })
    }

    fn jitters(&self) -> usize {
        self.modifiers.iter().filter(|modifier| !matches!(modifier, Modifier::Cap(_))).count()
    }

    /// The least and the most that the documentation allows.
    fn bounds(&self, attempt: u32) -> Option<[Duration; 2]> {
        if attempt >= self.most_retries {
            return None;
        }
        let base = self.base.as_nanos();
        let plain = match self.curve {
            Curve::Fixed | Curve::Custom => base,
            Curve::Linear => base * (u128::from(attempt) + 1),
            // Without overflow as long as the bits that are shifted out are zeros.
            Curve::Exponential if base == 0 => 0,
            Curve::Exponential if attempt > base.leading_zeros() => u128::MAX,
            Curve::Exponential => base.checked_shl(attempt).unwrap_or(u128::MAX),
        };
        let plain = plain.min(Duration::MAX.as_nanos());
        let bounds = self.modifiers.iter().fold([plain; 2], |[least, most], modifier| match modifier {
            Modifier::Cap(cap) => [least.min(cap.as_nanos()), most.min(cap.as_nanos())],
            Modifier::Full => [0, most],
            Modifier::Equal => [least / 2, most],
        });
        Some(bounds.map(Duration::from_nanos_u128))
    }
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let curve = *bytes.choose(&[Curve::Fixed, Curve::Linear, Curve::Exponential, Curve::Custom])?;
        let (most_retries, base) = (number(bytes)?, time(bytes)?);
        let modifiers = (0..bytes.int_in_range(0..=4)?).map(|_| modifier(bytes)).collect::<Result<_>>()?;
        let attempts = [number(bytes)?, number(bytes)?, number(bytes)?, most_retries.saturating_sub(1)];
        Ok(Self { curve, most_retries, base, modifiers, attempts })
    }
}

fn modifier(bytes: &mut Unstructured<'_>) -> Result<Modifier> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => Modifier::Full,
        1 => Modifier::Equal,
        _ => Modifier::Cap(time(bytes)?),
    })
}

/// Small, or any, or among the largest.
fn number(bytes: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 | 1 => bytes.int_in_range(0..=200)?,
        2 => bytes.arbitrary()?,
        _ => u32::MAX - bytes.int_in_range(0..=2)?,
    })
}

/// Short, or any, or at one of the ends.
fn time(bytes: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(match bytes.int_in_range(0..=7)? {
        0 => Duration::ZERO,
        1 => Duration::MAX,
        2 => Duration::MAX.saturating_sub(Duration::from_nanos(bytes.arbitrary::<u16>()?.into())),
        3 => Duration::from_nanos(bytes.arbitrary::<u16>()?.into()),
        4 | 5 => Duration::from_millis(bytes.arbitrary::<u32>()?.into()),
        _ => bytes.arbitrary()?,
    })
}
