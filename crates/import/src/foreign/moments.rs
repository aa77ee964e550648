//! The dates of every tool. Where no zone is written, all of them mean UTC.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Seconds from here on are milliseconds: the year 5138.
const SECONDS_MAX: u64 = 100_000_000_000;

/// Seconds since the Unix epoch, perhaps with a fraction; milliseconds; or a date with its time.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return unix(text);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.into());
    }
    let civil = text.strip_suffix("UTC").unwrap_or(text).trim_end();
    let civil: DateTime = civil.parse().ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().into())
}

fn unix(text: &str) -> Option<SystemTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: u64 = seconds.parse().ok()?;
    if seconds >= SECONDS_MAX {
        return plausible(Duration::from_millis(seconds));
    }
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    plausible(Duration::new(seconds, digits.parse().ok()?))
}

/// A time that a calendar has.
fn plausible(since_epoch: Duration) -> Option<SystemTime> {
    let since_epoch = SignedDuration::try_from(since_epoch).ok()?;
    let timestamp = Timestamp::from_duration(since_epoch).ok()?;
    Some(timestamp.into())
}

/// The same moment in whole seconds since the Unix epoch.
pub(super) fn unix_seconds(moment: SystemTime) -> Option<u64> {
    let since_epoch = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since_epoch.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_moment() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_375_451);
        for text in [
            "1795375451",
            "1795375451.000000",
            "1795375451000",
            "2026-11-22T19:24:11Z",
            "2026-11-22T19:24:11.000+0000",
            "2026-11-22T21:24:11+02:00",
            "2026-11-22T19:24:11.000000",
            "2026-11-22 19:24:11",
            "2026-11-22 19:24:11 UTC",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            ".",
            "-1",
            "yesterday",
            "2026-13-01 00:00:00",
            "99999999999999999999",
            "18446744073709551615",
            "1.2.3",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
