//! Lengths of time as people write them: `36h`, `90d`, `12w`, `1y`.

use std::time::Duration;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 60 * MINUTE_S;
const DAY_S: u64 = 24 * HOUR_S;
const WEEK_S: u64 = 7 * DAY_S;
/// A year is taken as 365 days.
const YEAR_S: u64 = 365 * DAY_S;
/// Nothing is kept or sought for longer.
const SPAN_YEARS_MAX: u64 = 100;
/// Runs are not thrown away faster than this.
const RETENTION_MIN: Duration = Duration::from_secs(HOUR_S);

/// Why a length of time could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// No number, or a unit that is none.
    #[error("{text:?} is no length of time; write it such as 36h, 90d, 12w or 1y")]
    Form {
        /// What was written.
        text: String,
    },
    /// A number without a unit.
    #[error("{text:?} has no unit; write hours, days, weeks or years such as 36h, 90d, 12w or 1y")]
    Unit {
        /// What was written.
        text: String,
    },
    /// More than a hundred years.
    #[error("{text:?} is too long; the longest is {SPAN_YEARS_MAX}y")]
    TooLong {
        /// What was written.
        text: String,
    },
    /// Less than is worth keeping.
    #[error("{text:?} is too short to keep runs for; the shortest is 1h, and m means minutes")]
    TooShort {
        /// What was written.
        text: String,
    },
}

/// A whole number and its unit: `s`, `m` or `min`, `h`, `d`, `w`, `y` (365 days).
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let shown = || text.chars().take(40).collect::<String>();
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(SpanError::Form { text: shown() });
    }
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "" => return Err(SpanError::Unit { text: shown() }),
        "s" => 1,
        "m" | "min" => MINUTE_S,
        "h" => HOUR_S,
        "d" => DAY_S,
        "w" => WEEK_S,
        "y" => YEAR_S,
        _ => return Err(SpanError::Form { text: shown() }),
    };
    // A number that does not fit 64 bits is certainly too long.
    let number: Option<u64> = number.parse().ok();
    let total = number.and_then(|number| number.checked_mul(seconds));
    match total {
        Some(total) if total <= SPAN_YEARS_MAX * YEAR_S => Ok(Duration::from_secs(total)),
        _ => Err(SpanError::TooLong { text: shown() }),
    }
}

/// For how long runs are kept: a length of time of at least an hour, so that nobody who meant
/// months with `3m` loses everything.
pub fn parse_retention(text: &str) -> Result<Duration, SpanError> {
    let span = parse_span(text)?;
    if span < RETENTION_MIN {
        let text = text.chars().take(40).collect();
        return Err(SpanError::TooShort { text });
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, hours) in [
            ("90d", Some(2_160)),
            ("12w", Some(2_016)),
            ("1y", Some(8_760)),
            ("36h", Some(36)),
            (" 1D ", Some(24)),
            ("60m", Some(1)),
            ("120min", Some(2)),
            ("3600s", Some(1)),
            ("100y", Some(876_000)),
            ("0d", Some(0)),
            ("101y", None),
            ("99999999999999999999d", None),
            ("18446744073709551615y", None),
            ("", None),
            ("d", None),
            ("90", None),
            ("-1d", None),
            ("1.5d", None),
            ("90 days", None),
            ("3ヶ月", None),
        ] {
            let expected = hours.map(|hours: u64| Duration::from_secs(hours * 3_600));
            assert_eq!(parse_span(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_is_thrown_away_by_mistake() {
        assert_eq!(parse_retention("36h"), Ok(Duration::from_secs(36 * 3_600)));
        for (text, hint) in [
            ("3m", "m means minutes"),
            ("0d", "the shortest is 1h"),
            ("90", "has no unit"),
            ("soon", "no length of time"),
            ("1000y", "the longest is 100y"),
        ] {
            let message = parse_retention(text).unwrap_err().to_string();
            assert!(
                message.contains(hint) && message.contains(text),
                "{message}"
            );
        }
    }
}
