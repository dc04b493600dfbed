//! How a receiver misbehaves: pure decisions, no sockets and no clock.

use std::time::{Duration, Instant};

use super::http::Response;

/// What a receiver does with the deliveries it gets.
///
/// Every receiver processes a delivery once and remembers its id. When an acknowledgement was
/// lost and the delivery comes again, it is acknowledged without being processed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Acknowledges everything.
    Healthy,
    /// Fails the first attempts of every delivery with 500, then acknowledges.
    Flaky {
        /// How many attempts of each delivery fail.
        failures: u32,
    },
    /// Answers 429 with `Retry-After` to all but the first requests of each window.
    RateLimited {
        /// How many requests each window admits.
        limit: u32,
        /// Counted from the first request after the previous window.
        window: Duration,
    },
    /// Answers 410 for ever.
    Gone,
    /// Processes the first attempt of every delivery but answers too late.
    Slow {
        /// How long the first answer takes. Longer than the client's timeout, or it is no fault.
        delay: Duration,
    },
    /// Refuses connections until [`Receivers::open`](super::Receivers::open), then acknowledges.
    Refused,
    /// Processes the first attempt of every delivery but closes the connection halfway through
    /// its answer.
    Hangup,
    /// Answers 500 for ever.
    Broken,
}

/// What to do about one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Answer(Response),
    AnswerAfter(Duration, Response),
    CutShort(Response),
}

impl Plan {
    /// Whether the receiver accepts the delivery, be its answer heard or not.
    pub(super) fn accepts(&self) -> bool {
        let (Self::Answer(response) | Self::AnswerAfter(_, response) | Self::CutShort(response)) = self;
        response.is_success()
    }
}

impl Behaviour {
    /// `attempt` counts from 1.
    pub(super) fn plan(self, attempt: u32, window: &mut Window, now: Instant) -> Plan {
        match self {
            Self::Flaky { failures } if attempt <= failures => Plan::Answer(Response::ERROR),
            Self::RateLimited { limit, window: length } => match window.admit(limit, length, now) {
                Ok(()) => Plan::Answer(Response::OK),
                Err(wait) => Plan::Answer(Response::too_many(wait)),
            },
            Self::Gone => Plan::Answer(Response::GONE),
            Self::Slow { delay } if attempt == 1 => Plan::AnswerAfter(delay, Response::OK),
            Self::Hangup if attempt == 1 => Plan::CutShort(Response::OK),
            Self::Broken => Plan::Answer(Response::ERROR),
            Self::Healthy | Self::Refused | Self::Flaky { .. } | Self::Slow { .. } | Self::Hangup => {
                Plan::Answer(Response::OK)
            }
        }
    }
}

/// A fixed-window rate limiter.
#[derive(Debug, Default)]
pub(super) struct Window {
    current: Option<(Instant, u32)>,
}

impl Window {
    /// Counts one request in, or says how long until the next window.
    fn admit(&mut self, limit: u32, length: Duration, now: Instant) -> Result<(), Duration> {
        let current = self.current.take().filter(|(start, _)| {
            let age = now.saturating_duration_since(*start);
            age < length
        });
        let (start, admitted) = current.unwrap_or((now, 0));
        if admitted < limit {
            self.current = Some((start, admitted + 1));
            Ok(())
        } else {
            self.current = Some((start, admitted));
            Err(length.saturating_sub(now.saturating_duration_since(start)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_window_admits_its_limit_and_then_says_how_long_to_wait() {
        let mut window = Window::default();
        let start = start();
        assert_eq!(window.admit(2, SECOND, start), Ok(()));
        assert_eq!(window.admit(2, SECOND, start + SECOND / 4), Ok(()));
        assert_eq!(window.admit(2, SECOND, start + SECOND / 2), Err(SECOND / 2), "the third is one too many");
        assert_eq!(window.admit(2, SECOND, start + SECOND), Ok(()));
    }

    #[test]
    fn rate_limits_are_told_in_whole_seconds() {
        let mut window = Window::default();
        let limited = Behaviour::RateLimited { limit: 1, window: SECOND };
        let start = start();
        assert!(limited.plan(1, &mut window, start).accepts());
        assert_eq!(
            limited.plan(2, &mut window, start + SECOND / 2),
            Plan::Answer(Response::too_many(SECOND)),
        );
    }

    #[test]
    fn only_early_attempts_suffer() {
        let mut window = Window::default();
        let delay = SECOND;
        let mut plan = |behaviour: Behaviour, attempt| behaviour.plan(attempt, &mut window, start());
        let flaky = Behaviour::Flaky { failures: 2 };
        assert_eq!(plan(flaky, 2), Plan::Answer(Response::ERROR));
        assert_eq!(plan(flaky, 3), Plan::Answer(Response::OK));
        let slow = Behaviour::Slow { delay };
        assert_eq!(plan(slow, 1), Plan::AnswerAfter(delay, Response::OK));
        assert_eq!(plan(slow, 2), Plan::Answer(Response::OK));
        assert_eq!(
            plan(Behaviour::Hangup, 1),
            Plan::CutShort(Response::OK),
            "accepted, although the client cannot know",
        );
        assert_eq!(plan(Behaviour::Hangup, 2), Plan::Answer(Response::OK));
        assert_eq!(plan(Behaviour::Gone, 9), Plan::Answer(Response::GONE));
        assert_eq!(plan(Behaviour::Broken, 9), Plan::Answer(Response::ERROR));
    }
}
