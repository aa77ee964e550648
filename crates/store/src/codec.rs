//! How our values are written in columns, and read from them again.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use inventory::{RunKind, address_bytes};
use model::{Address, Endpoint, Transport, canonical_ip};

use crate::StoreError;

/// First byte of a written address; they order addresses as [`Address`] itself does.
const V4: u8 = 4;
const V6: u8 = 6;
const ZONED: u8 = 7;
const UNIX: u8 = 8;

/// An address as bytes that sort as addresses do.
pub(crate) fn address_key(address: &Address) -> Vec<u8> {
    let (kind, bytes, rest): (u8, &[u8], &[u8]) = match address {
        Address::Ip(ip) => match canonical_ip(*ip) {
            ip @ IpAddr::V4(_) => (V4, &address_bytes(ip), &[]),
            ip @ IpAddr::V6(_) => (V6, &address_bytes(ip), &[]),
        },
        Address::Zoned(ip, zone) => (ZONED, &ip.octets(), zone.as_bytes()),
        Address::Unix(path) => (UNIX, &[], path.as_os_str().as_bytes()),
    };
    [&[kind], bytes, rest].concat()
}

/// Ranges of written addresses, both ends included, that hold a network (see `Term::Net`).
pub(crate) fn net_ranges(first: [u8; 16], last: [u8; 16]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let key = |kind: u8, address: &[u8; 16]| [&[kind], &address[..]].concat();
    let mut ranges = vec![(key(V4, &first), key(V4, &last))];
    let is_mapped = |address: [u8; 16]| Ipv6Addr::from(address).to_ipv4_mapped().is_some();
    if !(is_mapped(first) && is_mapped(last)) {
        ranges.push((key(V6, &first), key(V6, &last)));
        // Names of interfaces are UTF-8, which has no byte 0xff.
        let mut end = key(ZONED, &last);
        end.push(0xff);
        ranges.push((key(ZONED, &first), end));
    }
    ranges
}

fn address_of(key: &[u8]) -> Option<Address> {
    let (kind, rest) = key.split_first()?;
    if *kind == UNIX {
        let path = PathBuf::from(OsStr::from_bytes(rest));
        return Some(Address::Unix(Arc::new(path)));
    }
    let (octets, zone) = rest.split_first_chunk::<16>()?;
    let ip = Ipv6Addr::from(*octets);
    match *kind {
        V4 | V6 => Some(Address::from_ip(IpAddr::V6(ip))),
        ZONED => Some(Address::Zoned(ip, std::str::from_utf8(zone).ok()?.into())),
        _ => None,
    }
}

/// An endpoint of its columns.
pub(crate) fn endpoint(key: &[u8], port: i64, transport: &str) -> Result<Endpoint, StoreError> {
    let transport = match transport {
        "tcp" => Some(Transport::Tcp),
        "udp" => Some(Transport::Udp),
        "unix" => Some(Transport::Unix),
        _ => None,
    };
    let parts = (address_of(key), u16::try_from(port).ok(), transport);
    let (Some(address), Some(port), Some(transport)) = parts else {
        return Err(StoreError::Damaged("an endpoint cannot be read".to_owned()));
    };
    Ok(Endpoint::new(address, port, transport))
}

/// Nanoseconds since 1970; what lies beyond the years 1677 to 2262 is moved to their ends.
pub(crate) fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanoseconds| -nanoseconds)
        }
    }
}

/// The time of a column.
pub(crate) fn time(nanoseconds: i64) -> SystemTime {
    let distance = Duration::from_nanos(nanoseconds.unsigned_abs());
    let time = if nanoseconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(UNIX_EPOCH)
}

/// A text without the one character that PostgreSQL cannot keep.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Texts in one: one a line, each with its line feed, so that none and one empty text differ.
pub(crate) fn lines<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let mut joined = String::new();
    for text in texts {
        for character in clean(text).chars() {
            match character {
                '\\' => joined.push_str("\\\\"),
                '\n' => joined.push_str("\\n"),
                other => joined.push(other),
            }
        }
        joined.push('\n');
    }
    joined
}

/// The texts of [`lines`].
pub(crate) fn texts(lines: &str) -> Vec<String> {
    let unescaped = |line: &str| {
        let mut text = String::new();
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some('n') => text.push('\n'),
                    other => text.extend(other),
                },
                other => text.push(other),
            }
        }
        text
    };
    lines.lines().map(unescaped).collect()
}

/// What made a run, as a word.
pub(crate) fn kind_word(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Scan => "scan",
        RunKind::Check => "check",
        RunKind::Verify => "verify",
        RunKind::Import => "import",
    }
}

/// The kind of a word.
pub(crate) fn kind_of(word: &str) -> Result<RunKind, StoreError> {
    [
        RunKind::Scan,
        RunKind::Check,
        RunKind::Verify,
        RunKind::Import,
    ]
    .into_iter()
    .find(|kind| kind_word(*kind) == word)
    .ok_or_else(|| StoreError::Damaged(format!("a run of the kind {word:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_sort_as_they_do_in_memory() {
        let zoned = |zone: &str| Address::Zoned("fe80::1".parse().unwrap(), zone.into());
        let ip = |text: &str| Address::from_ip(text.parse().unwrap());
        let ordered = [
            ip("0.0.0.1"),
            ip("9.255.0.1"),
            ip("10.0.0.1"),
            ip("::1"),
            ip("2001:db8::1"),
            zoned("eth0"),
            zoned("eth1"),
            Address::Unix(Arc::new("/run/a".into())),
            Address::Unix(Arc::new("/run/b".into())),
        ];
        for pair in ordered.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            assert!(address_key(&pair[0]) < address_key(&pair[1]), "{pair:?}");
        }
        for address in ordered {
            let read = endpoint(&address_key(&address), 5, "udp").unwrap();
            assert_eq!(read, Endpoint::new(address, 5, Transport::Udp));
        }
        for damaged in [&b""[..], b"\x04\x01", b"\x09"] {
            assert!(endpoint(damaged, 5, "udp").is_err());
        }
    }

    #[test]
    fn texts_and_times_come_back() {
        for list in [
            &[][..],
            &[""],
            &["a", "b"],
            &["a\nb", "\\n", "\\"],
            &["", ""],
        ] {
            let list: Vec<String> = list.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(texts(&lines(&list)), list);
        }
        for number in [0, 1, -1, 1_764_000_000_123_456_789, i64::MAX, i64::MIN + 1] {
            assert_eq!(nanoseconds(time(number)), number);
        }
    }
}
