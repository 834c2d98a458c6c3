//! Times, as people read them.

use std::time::{Duration, UNIX_EPOCH};

use buffer::buffer_core::UnixMillis;

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A duration without what nobody wants to know: milliseconds below ten seconds, else seconds.
pub(crate) fn rounded(time: Duration) -> String {
    let time = if time < Duration::from_secs(10) {
        Duration::from_millis(millis(time))
    } else {
        Duration::from_secs(time.as_secs())
    };
    humantime::format_duration(time).to_string()
}

/// A time of day, to the second; what does not fit is told in milliseconds.
pub(crate) fn time_of_day(time: UnixMillis) -> String {
    let millis = u64::try_from(time.0).ok().filter(|millis| *millis < 253_402_300_800_000);
    match millis {
        Some(millis) => {
            humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
        }
        None => format!("{} ms since 1970", time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_exactly_as_anybody_wants_to_know() {
        assert_eq!(rounded(Duration::from_micros(1_234_567)), "1s 234ms");
        assert_eq!(rounded(Duration::from_millis(61_999)), "1m 1s");
        assert_eq!(rounded(Duration::ZERO), "0s");
    }

    #[test]
    fn times_that_cannot_be_are_told_all_the_same() {
        assert_eq!(time_of_day(UnixMillis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(time_of_day(UnixMillis(-1)), "-1 ms since 1970");
        assert_eq!(time_of_day(UnixMillis(i64::MAX)), format!("{} ms since 1970", i64::MAX));
    }
}
