//! Values that users type: rates, durations, dates.

use std::time::Duration;

use targets::Day;

/// A SYN or a `version` datagram on Ethernet, with preamble and gap: 64 + 20 bytes, in bits.
const PACKET_BITS: f64 = 672.0;
/// No engine of this program can send more.
const RATE_PPS_MAX: f64 = 100_000_000.0;

/// Packets a second: `10000`, `50k`, `1.5M`, or a bandwidth such as `10Mbit` or `1Gbit`, which
/// counts every packet with 84 bytes on the wire.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    let mend =
        || format!("{text:?} is no rate; write packets a second such as 10000, 50k or 10Mbit");
    let (number, unit) = number_and_unit(text).ok_or_else(mend)?;
    let packets = match unit.as_str() {
        "" | "pps" => number,
        "k" | "kpps" => number * 1e3,
        "m" | "mpps" => number * 1e6,
        "kbit" => number * 1e3 / PACKET_BITS,
        "mbit" => number * 1e6 / PACKET_BITS,
        "gbit" => number * 1e9 / PACKET_BITS,
        _ => return Err(mend()),
    };
    if !(1.0..=RATE_PPS_MAX).contains(&packets) {
        return Err(format!(
            "{text:?} is out of range; a rate is 1 to 100000000 packets a second"
        ));
    }
    Ok(packets as u64)
}

/// A duration: `800ms`, `2s`, `1.5s`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mend = || format!("{text:?} is no duration; write it such as 800ms, 2s, 5m or 1h");
    let (number, unit) = number_and_unit(text).ok_or_else(mend)?;
    let seconds = match unit.as_str() {
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        "d" => number * 86_400.0,
        _ => return Err(mend()),
    };
    if !(0.001..=31_536_000.0).contains(&seconds) {
        return Err(format!(
            "{text:?} is out of range; a duration is 1ms to 365d"
        ));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A number and the word behind it, in lower case.
fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    Some((number.parse().ok()?, unit.to_owned()))
}

/// Today, in UTC, for entries with an end date.
pub(crate) fn today() -> Day {
    let date = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let text = date.to_string();
    Day::parse(&text).unwrap_or_else(|_| unreachable!("jiff prints dates as YYYY-MM-DD: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, expected) in [
            ("10000", Ok(10_000)),
            ("50k", Ok(50_000)),
            ("1.5M", Ok(1_500_000)),
            ("10Mbit", Ok(14_880)),
            ("1gbit", Ok(1_488_095)),
        ] {
            assert_eq!(parse_rate(text), expected, "{text}");
        }
        for text in ["", "fast", "0", "-1", "10 parsecs", "1e400", "999999999999"] {
            let error = parse_rate(text).unwrap_err();
            assert!(!error.contains('\n') && error.starts_with('"'), "{error}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("800ms", 800),
            ("2s", 2_000),
            ("1.5", 1_500),
            ("5m", 300_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "soon", "0", "5 weeks", "-2s", "9999d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
