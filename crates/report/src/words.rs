//! Numbers, times and ratios as people write them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use model::Language;

/// Seconds of a minute, an hour and a day.
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
/// Bytes of one MiB.
const MIB: f64 = 1_048_576.0;

/// One of two words, by language.
pub(crate) fn pick<'a>(language: Language, en: &'a str, ja: &'a str) -> &'a str {
    match language {
        Language::English => en,
        Language::Japanese => ja,
    }
}

/// A number with a comma at every third digit: `8,123`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun, in the right number: `1 item`, `2 items`; Japanese has one form.
pub(crate) fn counted(language: Language, count: u64, one: &str, many: &str, ja: &str) -> String {
    let number = grouped(count);
    match language {
        Language::English if count == 1 => format!("{number} {one}"),
        Language::English => format!("{number} {many}"),
        Language::Japanese => format!("{number} {ja}"),
    }
}

/// A ratio to a sensible number of digits: `1.4x`, `151x`; `1.4倍`.
pub(crate) fn ratio(language: Language, value: f64) -> String {
    let number = if value < 10.0 {
        format!("{value:.1}")
    } else {
        grouped(value.round() as u64)
    };
    format!("{number}{}", pick(language, "x", "倍"))
}

/// Bytes in MiB with one digit after the point, without the unit.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let value = bytes as f64 / MIB;
    if value >= 1000.0 {
        grouped(value.round() as u64)
    } else {
        format!("{value:.1}")
    }
}

/// A long time by its two largest units: `12 days 3 h`, `4 min 5 s`.
pub(crate) fn long_duration(language: Language, seconds: u64) -> String {
    let units = [
        (
            seconds / DAY_S,
            if seconds / DAY_S == 1 {
                " day"
            } else {
                " days"
            },
            "日",
        ),
        (seconds % DAY_S / HOUR_S, " h", "時間"),
        (seconds % HOUR_S / MINUTE_S, " min", "分"),
        (seconds % MINUTE_S, " s", "秒"),
    ];
    let first = units
        .iter()
        .position(|(count, ..)| *count > 0)
        .unwrap_or(units.len() - 1);
    let parts = units[first..]
        .iter()
        .take(2)
        .enumerate()
        .filter(|(index, (count, ..))| *index == 0 || *count > 0)
        .map(|(_, (count, en, ja))| format!("{}{}", grouped(*count), pick(language, en, ja)));
    parts.collect::<Vec<_>>().join(pick(language, " ", ""))
}

/// How long a run took: tenths of a second below two minutes, then its two largest units.
pub(crate) fn run_duration(language: Language, duration: Duration) -> String {
    if duration < Duration::from_secs(2 * MINUTE_S) {
        format!(
            "{:.1}{}",
            duration.as_secs_f64(),
            pick(language, " s", " 秒")
        )
    } else {
        long_duration(language, duration.as_secs())
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    timestamp(time)
        .strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        .to_string()
}

/// A day: `2026-11-22`.
pub(crate) fn day(time: SystemTime) -> String {
    utc(time, "%Y-%m-%d")
}

/// A moment for people: `2026-11-22 19:24 UTC`.
pub(crate) fn moment(time: SystemTime) -> String {
    timestamp(time).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A moment in UTC, formatted.
pub(crate) fn utc(time: SystemTime, format: &str) -> String {
    timestamp(time).strftime(format).to_string()
}

/// A moment where its zone is known: `2026-11-22 19:24`.
pub(crate) fn minute(time: SystemTime) -> String {
    utc(time, "%Y-%m-%d %H:%M")
}

/// A second for people who look into logs: `2026-11-22 19:24:11 UTC`.
pub(crate) fn second(time: SystemTime) -> String {
    utc(time, "%Y-%m-%d %H:%M:%S UTC")
}

/// A day in UTC: `2026-11-22`.
pub(crate) fn date(time: SystemTime) -> String {
    utc(time, "%Y-%m-%d")
}

/// The date and time of C's `asctime`, which nmap uses, in UTC: `Sun Nov 22 19:24:11 2026`.
pub(crate) fn asctime(time: SystemTime) -> String {
    timestamp(time).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// Seconds since the Unix epoch, formatted; `None` for a time that no calendar has.
pub(crate) fn unix_time(seconds: i64, format: &str) -> Option<String> {
    Some(
        Timestamp::from_second(seconds)
            .ok()?
            .strftime(format)
            .to_string(),
    )
}

/// A time outside jiff's calendar (the years -9999 to 9999) can only come from a broken clock; it
/// reads as the epoch, which nobody takes for a real date.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_name_two_units() {
        for (seconds, en, ja) in [
            (0, "0 s", "0秒"),
            (59, "59 s", "59秒"),
            (60, "1 min", "1分"),
            (3_661, "1 h 1 min", "1時間1分"),
            (86_400, "1 day", "1日"),
            (86_460, "1 day", "1日"),
            (1_047_600, "12 days 3 h", "12日3時間"),
        ] {
            assert_eq!(long_duration(Language::English, seconds), en);
            assert_eq!(long_duration(Language::Japanese, seconds), ja);
        }
        assert_eq!(
            run_duration(Language::English, Duration::from_millis(12_345)),
            "12.3 s"
        );
        assert_eq!(
            run_duration(Language::English, Duration::from_secs(192)),
            "3 min 12 s"
        );
    }

    #[test]
    fn times_are_utc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_375_451_042);
        assert_eq!(rfc3339(time), "2026-11-22T19:24:11.042Z");
        assert_eq!(asctime(time), "Sun Nov 22 19:24:11 2026");
        assert_eq!(moment(time), "2026-11-22 19:24 UTC");
        assert_eq!(second(time), "2026-11-22 19:24:11 UTC");
        assert_eq!(date(time), "2026-11-22");
    }

    #[test]
    fn ratios_keep_the_digits_that_matter() {
        for (value, text) in [
            (0.0, "0.0x"),
            (1.411, "1.4x"),
            (150.87, "151x"),
            (1534.5, "1,535x"),
        ] {
            assert_eq!(ratio(Language::English, value), text);
        }
    }
}
