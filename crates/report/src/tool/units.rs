//! Sizes, spans and shares as tables show them: short, and never rounded up to "all" or down to
//! "none".

use model::Language;

use crate::words::{grouped, pick};

/// Seconds of a minute, an hour and a day.
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
/// Names of the powers of 1024.
const BYTE_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
/// A rate from here on is written in thousands, and from there on in millions.
const THOUSANDS_FROM: f64 = 100_000.0;
const MILLIONS_FROM: f64 = 10_000_000.0;

/// Bytes in the unit that keeps the number below 1000: `96 B`, `5.5 KiB`, `1.4 MiB`.
pub(super) fn human_bytes(bytes: u64) -> String {
    human_bytes_of(bytes as f64, " ")
}

/// The same for a number with a fraction, with this between number and unit.
pub(super) fn human_bytes_of(bytes: f64, gap: &str) -> String {
    if bytes < 1000.0 {
        return format!("{bytes:.0}{gap}B");
    }
    let mut value = bytes / 1024.0;
    let mut unit = 0;
    // Not 1024: 1,000 KiB is wider than 1.0 MiB and says no more.
    while value >= 999.95 && unit + 1 < BYTE_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1}{gap}{}", BYTE_UNITS[unit])
}

/// A span of time by its two largest units, for a cell: `4s`, `3m 1s`, `12d 3h`; `3分1秒`.
pub(super) fn short_duration(language: Language, seconds: u64) -> String {
    let units = [
        (seconds / DAY_S, "d", "日"),
        (seconds % DAY_S / HOUR_S, "h", "時間"),
        (seconds % HOUR_S / MINUTE_S, "m", "分"),
        (seconds % MINUTE_S, "s", "秒"),
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

/// A part of a whole: `93.4%`. `None` of nothing; `100%` and `0%` are said only when they are
/// exact.
pub(super) fn percent(part: u64, whole: u64) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let share = part as f64 * 100.0 / whole as f64;
    Some(if part == 0 {
        "0%".to_owned()
    } else if part == whole {
        "100%".to_owned()
    } else if share < 0.1 {
        "<0.1%".to_owned()
    } else if share > 99.9 && share < 100.0 {
        ">99.9%".to_owned()
    } else {
        format!("{share:.1}%")
    })
}

/// How often a second: `0`, `3.2`, `1,234`, `123k`, `12.3M`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second == 0.0 {
        "0".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else if per_second < THOUSANDS_FROM {
        grouped(per_second.round() as u64)
    } else if per_second < MILLIONS_FROM {
        format!("{}k", grouped((per_second / 1e3).round() as u64))
    } else {
        format!("{:.1}M", per_second / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_keeps_them_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (5_600, "5.5 KiB"),
            (1_023_948, "999.9 KiB"),
            (1_023_949, "1.0 MiB"),
            (268_435_456, "256.0 MiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human_bytes(bytes), text);
        }
    }

    #[test]
    fn spans_name_two_units() {
        for (seconds, en, ja) in [
            (0, "0s", "0秒"),
            (181, "3m 1s", "3分1秒"),
            (3_600, "1h", "1時間"),
            (1_047_600, "12d 3h", "12日3時間"),
        ] {
            assert_eq!(short_duration(Language::English, seconds), en);
            assert_eq!(short_duration(Language::Japanese, seconds), ja);
        }
    }

    #[test]
    fn shares_are_exact_at_both_ends() {
        for (part, whole, text) in [
            (0, 5, Some("0%")),
            (5, 5, Some("100%")),
            (1, 1_000_000, Some("<0.1%")),
            (999_999, 1_000_000, Some(">99.9%")),
            (934, 1000, Some("93.4%")),
            (3, 2, Some("150.0%")),
            (0, 0, None),
        ] {
            assert_eq!(percent(part, whole).as_deref(), text, "{part} of {whole}");
        }
    }

    #[test]
    fn rates_keep_the_digits_that_matter() {
        for (per_second, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (3.24, "3.2"),
            (9.96, "10"),
            (1_234.4, "1,234"),
            (123_456.0, "123k"),
            (12_345_678.0, "12.3M"),
        ] {
            assert_eq!(rate(per_second), text);
        }
    }
}
