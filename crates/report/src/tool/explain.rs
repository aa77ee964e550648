//! What a value means: spans, sizes and dates in place of bare numbers.

use model::Language;

use super::glossary::{Unit, field};
use super::units::human_bytes;
use crate::words::{grouped, long_duration, pick, unix_time};

/// Numbers below this are read at a glance and need no commas.
const PLAIN_NUMBER_MAX: u64 = 9_999;
/// What memcached prints for "no limit" in 32-bit settings.
const UNLIMITED: u64 = u32::MAX as u64;
/// Microseconds of a second.
const SECOND_US: u64 = 1_000_000;
/// Bits of the hash table's size at most; a larger number is no real one.
const HASH_POWER_MAX: u64 = 63;

/// Says what a statistic's or a setting's value means: a span of time, a size, a date in UTC, or
/// what `0` and `NULL` stand for. Empty if there is nothing to add to the value itself.
///
/// The name may have the class or socket before it, as in `items:5:age`.
pub fn explain_value(name: &str, value: &str, language: Language) -> String {
    let unit = field(name).map_or(Unit::Count, |field| field.unit);
    if let Unit::Word = unit {
        return word(value, language).to_owned();
    }
    if let Unit::Address = unit {
        return address(value, language).to_owned();
    }
    if let Unit::CpuSeconds = unit {
        return cpu_seconds(value, language);
    }
    match value.parse() {
        Ok(number) => explain_number(unit, number, language),
        Err(_) => String::new(),
    }
}

fn explain_number(unit: Unit, number: u64, language: Language) -> String {
    let words = |en: &'static str, ja: &'static str| pick(language, en, ja).to_owned();
    match unit {
        Unit::Bytes if number < 1000 => String::new(),
        Unit::Bytes => human_bytes(number),
        Unit::BytesLimit if number == 0 => words("no limit", "無制限"),
        Unit::BytesLimit => human_bytes(number),
        Unit::Seconds | Unit::SecondsOrOff if number == UNLIMITED => words("no limit", "無制限"),
        Unit::SecondsOrOff if number == 0 => words("off", "無効"),
        Unit::Seconds | Unit::SecondsOrOff if number < 60 => words("seconds", "秒"),
        Unit::Seconds | Unit::SecondsOrOff => long_duration(language, number),
        Unit::Microseconds => microseconds(number, language),
        Unit::UnixTime => date(number),
        Unit::Flag if number == 0 => words("no", "いいえ"),
        Unit::Flag if number == 1 => words("yes", "はい"),
        Unit::Port if number == 0 => words("off", "無効"),
        Unit::HashPower if number == 0 => words("default", "既定値"),
        Unit::HashPower if number <= HASH_POWER_MAX => {
            let buckets = grouped(1 << number);
            match language {
                Language::English => format!("{buckets} buckets"),
                Language::Japanese => format!("{buckets} バケット"),
            }
        }
        Unit::Percent => "%".to_owned(),
        Unit::Bits => words("bit", "ビット"),
        Unit::Automove => match number {
            0 => words("off", "無効"),
            1 => words("on", "有効"),
            2 => words("aggressive", "積極的"),
            _ => String::new(),
        },
        Unit::Count if number > PLAIN_NUMBER_MAX => grouped(number),
        Unit::Count
        | Unit::Flag
        | Unit::Port
        | Unit::HashPower
        | Unit::Plain
        | Unit::Word
        | Unit::Address
        | Unit::CpuSeconds => String::new(),
    }
}

fn microseconds(number: u64, language: Language) -> String {
    if number < SECOND_US {
        return pick(language, "microseconds", "マイクロ秒").to_owned();
    }
    long_duration(language, number / SECOND_US)
}

/// A date, for times that a calendar has.
fn date(number: u64) -> String {
    i64::try_from(number)
        .ok()
        .and_then(|seconds| unix_time(seconds, "%Y-%m-%d %H:%M:%S UTC"))
        .unwrap_or_default()
}

/// Processor time: seconds with a fraction, and old servers write a colon for the point.
fn cpu_seconds(value: &str, language: Language) -> String {
    let whole = value.split(['.', ':']).next().unwrap_or_default();
    match whole.parse() {
        Ok(seconds) if seconds >= 60 => long_duration(language, seconds),
        Ok(_) => pick(language, "seconds", "秒").to_owned(),
        Err(_) => String::new(),
    }
}

/// What C prints for a text that was never set.
fn is_unset(value: &str) -> bool {
    matches!(value, "NULL" | "(null)")
}

fn word(value: &str, language: Language) -> &'static str {
    if is_unset(value) {
        pick(language, "not set", "未設定")
    } else {
        ""
    }
}

fn address(value: &str, language: Language) -> &'static str {
    match value {
        _ if is_unset(value) => pick(language, "every address of the machine", "すべてのアドレス"),
        "0.0.0.0" => pick(language, "every IPv4 address", "すべての IPv4 アドレス"),
        "::" => pick(language, "every address of the machine", "すべてのアドレス"),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_into_words() {
        for (name, value, en, ja) in [
            ("uptime", "1047600", "12 days 3 h", "12日3時間"),
            ("uptime", "8", "seconds", "秒"),
            (
                "time",
                "1795367628",
                "2026-11-22 17:13:48 UTC",
                "2026-11-22 17:13:48 UTC",
            ),
            ("time", "18446744073709551615", "", ""),
            ("bytes", "1512223", "1.4 MiB", "1.4 MiB"),
            ("bytes", "96", "", ""),
            ("limit_maxbytes", "268435456", "256.0 MiB", "256.0 MiB"),
            ("read_buf_mem_limit", "0", "no limit", "無制限"),
            ("rusage_user", "0.008960", "seconds", "秒"),
            ("rusage_user", "3661:000001", "1 h 1 min", "1時間1分"),
            (
                "hash_power_level",
                "16",
                "65,536 buckets",
                "65,536 バケット",
            ),
            ("hash_power_level", "64", "", ""),
            ("accepting_conns", "1", "yes", "はい"),
            ("accepting_conns", "7", "", ""),
            ("udpport", "0", "off", "無効"),
            ("udpport", "11211", "", ""),
            (
                "inter",
                "NULL",
                "every address of the machine",
                "すべてのアドレス",
            ),
            ("inter", "127.0.0.1", "", ""),
            ("domain_socket", "NULL", "not set", "未設定"),
            ("idle_timeout", "0", "off", "無効"),
            ("ext_item_age", "4294967295", "no limit", "無制限"),
            ("items:5:age", "181", "3 min 1 s", "3分1秒"),
            ("5:chunk_size", "1480", "1.4 KiB", "1.4 KiB"),
            ("total_items", "12345", "12,345", "12,345"),
            ("total_items", "9999", "", ""),
            ("pid", "123456", "", ""),
            ("tcpport", "31123", "", ""),
            ("a_field_of_tomorrow", "123456", "123,456", "123,456"),
            ("a_field_of_tomorrow", "\u{1b}[2J", "", ""),
            ("uptime", "-1", "", ""),
        ] {
            assert_eq!(
                explain_value(name, value, Language::English),
                en,
                "{name} {value}"
            );
            assert_eq!(
                explain_value(name, value, Language::Japanese),
                ja,
                "{name} {value}"
            );
        }
    }
}
