//! The `Retry-After` header: a number of seconds or a date.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// `None` without the header, and also when it says nothing intelligible: then the queue's own
/// backoff decides.
pub(super) fn from_headers(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    #[allow(
        clippy::disallowed_methods,
        reason = "a receiver's date can only be compared with the wall clock"
    )]
    let now = SystemTime::now();
    parse(value, now)
}

fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const DATE_AS_UNIX_TIME: Duration = Duration::from_secs(784_111_777);

    #[test]
    fn seconds() {
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(parse("90", now), Some(Duration::from_secs(90)));
        assert_eq!(parse(" 0 ", now), Some(Duration::ZERO));
    }

    #[test]
    fn a_date_counts_from_now() {
        let now = SystemTime::UNIX_EPOCH + DATE_AS_UNIX_TIME - Duration::from_secs(90);
        assert_eq!(parse(DATE, now), Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_date_that_has_passed_means_now() {
        let now = SystemTime::UNIX_EPOCH + DATE_AS_UNIX_TIME + Duration::from_secs(1);
        assert_eq!(parse(DATE, now), Some(Duration::ZERO));
    }

    #[test]
    fn anything_else_means_nothing() {
        let now = SystemTime::UNIX_EPOCH;
        for value in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(parse(value, now), None, "{value:?}");
        }
        assert_eq!(from_headers(&HeaderMap::new()), None);
    }
}
