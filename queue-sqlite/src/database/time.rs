//! Times as the file has them: milliseconds of Unix time.

use std::time::{Duration, SystemTime};

use queue_core::Due;

/// The end of time, as a due time. No other one is as late.
const NEVER: i64 = i64::MAX;

/// A millisecond that is not before this: nothing is due early, and no time that was seen lies ahead.
pub(crate) fn not_before(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => capped(since.as_nanos().div_ceil(NANOS)),
        Err(before) => -capped(before.duration().as_nanos() / NANOS),
    }
}

/// The millisecond in which something happened.
pub(crate) fn of(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => capped(since.as_nanos() / NANOS),
        Err(before) => -capped(before.duration().as_nanos().div_ceil(NANOS)),
    }
}

/// The time, or `None` where the system knows none so far away.
pub(crate) fn time(millis: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

pub(crate) fn of_due(due: Due) -> i64 {
    match due {
        Due::At(time) => not_before(time),
        Due::Never => NEVER,
    }
}

pub(crate) fn due(millis: i64) -> Due {
    match millis {
        NEVER => Due::Never,
        millis => time(millis).map_or(Due::Never, Due::At),
    }
}

const NANOS: u128 = 1_000_000;

fn capped(millis: u128) -> i64 {
    i64::try_from(millis).unwrap_or(NEVER).min(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn due_times_round_up_and_the_past_rounds_down() {
        let instant = Duration::from_nanos(1);
        assert_eq!(not_before(EPOCH + instant), 1);
        assert_eq!(of(EPOCH + instant), 0);
        assert_eq!(not_before(EPOCH - instant), 0);
        assert_eq!(of(EPOCH - instant), -1);
        let whole = EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!((not_before(whole), of(whole)), (1_700_000_000_123, 1_700_000_000_123));
    }

    #[test]
    fn times_come_back() {
        for millis in [0, 1, -1, 1_700_000_000_123, -86_400_000] {
            assert_eq!(time(millis).map(of), Some(millis));
        }
        assert_eq!(due(of_due(Due::Never)), Due::Never);
    }

    #[test]
    fn the_far_future_is_not_the_end_of_time() {
        let far =
            EPOCH.checked_add(Duration::from_secs(1 << 62)).expect("there is room in 64 bits of seconds");
        assert_eq!(of_due(Due::At(far)), NEVER - 1);
    }
}
