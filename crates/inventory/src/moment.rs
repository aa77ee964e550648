//! Dates and times of day in UTC, as RFC 3339 writes them, to and from moments.
//!
//! A moment is counted in nanoseconds since the Unix epoch. The calendar is the Gregorian one,
//! also before it was introduced; a year is reckoned from March on, so that the leap day is its
//! last one.

use std::time::{Duration, SystemTime};

const NANOSECONDS: i128 = 1_000_000_000;
const DAY_S: i64 = 86_400;
/// Days from the first of March of the year 0 to the Unix epoch.
const DAYS_TO_EPOCH: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats itself.
const DAYS_OF_ERA: i64 = 146_097;

/// The first and the last moment that a text names: `2026-01-01` is a whole day,
/// `2026-01-01T10:30` a minute, `2026-01-01T10:30:05Z` a second, and with a fraction it is one
/// moment. All of them are UTC.
pub(crate) fn parse(text: &str) -> Option<(SystemTime, SystemTime)> {
    let (date, time) = match text.find(['T', 't']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = i64::from(number(parts.next()?, 4)?);
    let month = number(parts.next()?, 2)?;
    let day = number(parts.next()?, 2)?;
    let valid = parts.next().is_none()
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day);
    if !valid {
        return None;
    }
    let start_s = days_from_civil(year, i64::from(month), i64::from(day)) * DAY_S;
    let Some(time) = time else {
        return interval(start_s, 0, i128::from(DAY_S) * NANOSECONDS);
    };
    let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    let (clock, fraction) = match time.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (time, None),
    };
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = parts
        .next()
        .map(|second| number(second, 2).filter(|second| *second < 60));
    if parts.next().is_some() {
        return None;
    }
    let of_day_s = i64::from(hour * 3_600 + minute * 60);
    match (second, fraction) {
        (None, None) => interval(start_s + of_day_s, 0, 60 * NANOSECONDS),
        (Some(second), None) => interval(start_s + of_day_s + i64::from(second?), 0, NANOSECONDS),
        (Some(second), Some(fraction)) => {
            let nanoseconds = nanoseconds(fraction)?;
            interval(start_s + of_day_s + i64::from(second?), nanoseconds, 1)
        }
        (None, Some(_)) => None,
    }
}

/// A moment as the shortest text whose first moment it is.
pub(crate) fn print_first(moment: SystemTime) -> String {
    let (second, nanoseconds) = split(moment);
    let (year, month, day) = civil_from_days(second.div_euclid(DAY_S));
    let date = format!("{year:04}-{month:02}-{day:02}");
    let of_day = second.rem_euclid(DAY_S);
    if of_day == 0 && nanoseconds == 0 {
        return date;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    if nanoseconds == 0 {
        format!("{date}T{clock}Z")
    } else {
        let fraction = format!("{nanoseconds:09}");
        format!("{date}T{clock}.{}Z", fraction.trim_end_matches('0'))
    }
}

/// A moment as the shortest text whose last moment it is.
pub(crate) fn print_last(moment: SystemTime) -> String {
    let (second, nanoseconds) = split(moment);
    if i128::from(nanoseconds) != NANOSECONDS - 1 {
        let text = print_first(moment);
        return match text.strip_suffix('Z') {
            None => format!("{text}T00:00:00.0Z"),
            Some(whole) if nanoseconds == 0 => format!("{whole}.0Z"),
            Some(_) => text,
        };
    }
    let unit_s = if (second + 1).rem_euclid(DAY_S) == 0 {
        DAY_S
    } else {
        1
    };
    match before(moment, i128::from(unit_s) * NANOSECONDS - 1) {
        Some(first) if unit_s == 1 && split(first).0.rem_euclid(DAY_S) == 0 => {
            // A bare date would be the whole day.
            format!("{}T00:00:00Z", print_first(first))
        }
        Some(first) => print_first(first),
        None => print_first(moment),
    }
}

/// The moment this many nanoseconds later, if there is one.
pub(crate) fn after(moment: SystemTime, nanoseconds: i128) -> Option<SystemTime> {
    let (second, fraction) = split(moment);
    moment_of(i128::from(second) * NANOSECONDS + i128::from(fraction) + nanoseconds)
}

/// The moment this many nanoseconds earlier, if there is one.
pub(crate) fn before(moment: SystemTime, nanoseconds: i128) -> Option<SystemTime> {
    after(moment, -nanoseconds)
}

fn interval(second: i64, nanoseconds: u32, length: i128) -> Option<(SystemTime, SystemTime)> {
    let first = i128::from(second) * NANOSECONDS + i128::from(nanoseconds);
    Some((moment_of(first)?, moment_of(first + length - 1)?))
}

fn moment_of(nanoseconds: i128) -> Option<SystemTime> {
    let distance = nanoseconds.unsigned_abs();
    let seconds = u64::try_from(distance / NANOSECONDS.unsigned_abs()).ok()?;
    let fraction = u32::try_from(distance % NANOSECONDS.unsigned_abs()).ok()?;
    let distance = Duration::new(seconds, fraction);
    if nanoseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// Whole seconds since the epoch, rounded down, and the nanoseconds above them.
fn split(moment: SystemTime) -> (i64, u32) {
    let nanoseconds = match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(error) => -(error.duration().as_nanos() as i128),
    };
    (
        nanoseconds.div_euclid(NANOSECONDS) as i64,
        nanoseconds.rem_euclid(NANOSECONDS) as u32,
    )
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.parse().ok()).flatten()
}

/// One to nine digits behind the point.
fn nanoseconds(fraction: &str) -> Option<u32> {
    let digits = u32::try_from(fraction.len()).ok()?;
    let scale = 10_u32.checked_pow(9_u32.checked_sub(digits)?)?;
    number(fraction, fraction.len()).map(|number| number * scale)
}

fn days_of_month(year: i64, month: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the Unix epoch.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_EPOCH
}

/// Year, month and day of a day since the Unix epoch.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let era = days.div_euclid(DAYS_OF_ERA);
    let of_era = days.rem_euclid(DAYS_OF_ERA);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn since_epoch_s(moment: SystemTime) -> i64 {
        split(moment).0
    }

    #[test]
    fn moments_are_where_date_1_puts_them() {
        // Seconds as `date -u -d … +%s` gives them.
        for (text, first_s, last_s) in [
            ("1970-01-01", 0, 86_399),
            ("2026-01-01", 1_767_225_600, 1_767_311_999),
            ("2024-02-29", 1_709_164_800, 1_709_251_199),
            ("2000-03-01", 951_868_800, 951_955_199),
            ("1969-12-31", -86_400, -1),
            ("2026-11-27T08:05", 1_795_766_700, 1_795_766_759),
            ("2026-11-27T08:05:09Z", 1_795_766_709, 1_795_766_709),
            ("2026-11-27t08:05:09.25z", 1_795_766_709, 1_795_766_709),
            ("9999-12-31", 253_402_214_400, 253_402_300_799),
            ("0000-01-01", -62_167_219_200, -62_167_132_801),
        ] {
            let (first, last) = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (since_epoch_s(first), since_epoch_s(last)),
                (first_s, last_s),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-1-1",
            "26-01-01",
            "2026-01-01T",
            "2026-01-01T24:00",
            "2026-01-01T10:60",
            "2026-01-01T10:00:60",
            "2026-01-01T10",
            "2026-01-01T10:00.5",
            "2026-01-01T10:00:00.1234567891Z",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00+09:00",
            "2026-01-01-01",
            "２０２６-01-01",
            "+026-01-01",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn texts_are_short() {
        let (first, last) = parse("2026-01-01").unwrap();
        assert_eq!(print_first(first), "2026-01-01");
        assert_eq!(print_last(last), "2026-01-01");
        assert_eq!(print_last(first), "2026-01-01T00:00:00.0Z");
        let (first, last) = parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(print_first(first), "2026-01-01");
        assert_eq!(print_last(last), "2026-01-01T00:00:00Z");
        let (first, last) = parse("2026-11-27T08:05:09.250Z").unwrap();
        assert_eq!(print_first(first), "2026-11-27T08:05:09.25Z");
        assert_eq!(print_last(last), "2026-11-27T08:05:09.25Z");
    }

    proptest! {
        #[test]
        fn printed_moments_are_read_as_they_were(
            second in -62_167_219_200_i64..253_402_300_800,
            nanoseconds in prop_oneof![Just(0_u32), Just(999_999_999), 0..1_000_000_000_u32],
            whole_day in any::<bool>(),
        ) {
            let second = if whole_day { second.div_euclid(DAY_S) * DAY_S } else { second };
            for second in [second, second - i64::from(whole_day && second > -62_167_219_200)] {
                let count = i128::from(second) * NANOSECONDS + i128::from(nanoseconds);
                let moment = moment_of(count).unwrap();
                prop_assert_eq!(parse(&print_first(moment)).map(|both| both.0), Some(moment));
                prop_assert_eq!(parse(&print_last(moment)).map(|both| both.1), Some(moment));
            }
        }
    }
}
