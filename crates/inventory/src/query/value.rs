//! What stands behind the colon of each field.

use std::net::{IpAddr, Ipv6Addr};
use std::time::SystemTime;

use model::{Confidence, Severity, Transport, Verdict};

use super::field::{Field, nearest};
use super::words::Item;
use super::{Bounds, Query, QueryError, Term, address_bytes};
use crate::moment;
use crate::span::parse_span;
use crate::version::{PART_MAX, key_of, version_key};

/// The highest ratio that can be asked for; no datagram protocol gives more than 65,507 for one.
const RATIO_MAX: f64 = 1e9;
const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Unix];
const CONFIDENCES: [Confidence; 3] = [
    Confidence::Confirmed,
    Confidence::Likely,
    Confidence::Possible,
];
const AUTH_WORDS: [&str; 5] = ["none", "sasl", "ascii", "tls-client-certificate", "unknown"];
const PROTOCOL_WORDS: [&str; 3] = ["ascii", "binary", "tls"];
/// The first and the last IPv6 address that stand for an IPv4 address.
const MAPPED: [u128; 2] = [0xffff_0000_0000, 0xffff_ffff_ffff];

/// One value of a field.
pub(super) fn read(field: Field, value: &Item, now: SystemTime) -> Result<Query, QueryError> {
    let text = value.text.as_str();
    let pattern = || text.to_owned();
    let term = match field {
        Field::Port => Term::Port(port(value)?),
        Field::Transport => {
            let words = TRANSPORTS.map(Transport::as_str);
            Term::Transport(TRANSPORTS[choice(field, value, &words)?])
        }
        Field::Verdict => {
            let words = Verdict::ALL.map(Verdict::as_str);
            Term::Verdict(Verdict::ALL[choice(field, value, &words)?])
        }
        Field::Version => version(value)?,
        Field::Auth => Term::Auth(AUTH_WORDS[choice(field, value, &AUTH_WORDS)?].to_owned()),
        Field::Protocol => {
            Term::Protocol(PROTOCOL_WORDS[choice(field, value, &PROTOCOL_WORDS)?].to_owned())
        }
        Field::Severity => Term::Severity(severity(value)?),
        Field::Confidence => {
            let words = CONFIDENCES.map(Confidence::as_str);
            Term::Confidence(CONFIDENCES[choice(field, value, &words)?])
        }
        Field::Net => return net(value),
        Field::Amplification => Term::Amplification(amplification(value)?),
        Field::Asn => Term::Asn(asn(value)?),
        Field::Country => Term::Country(country(value)?),
        Field::Alarm => {
            let words = ["yes", "no", "true", "false"];
            Term::Alarm(choice(field, value, &words)? % 2 == 0)
        }
        Field::Seen => Term::Seen(moments(field, value, now)?),
        Field::First => Term::First(moments(field, value, now)?),
        Field::Code => Term::Code(pattern()),
        Field::Host => Term::Host(pattern()),
        Field::Tag => Term::Tag(pattern()),
        Field::Owner => Term::Owner(pattern()),
        Field::Source => Term::Source(pattern()),
        Field::Run => Term::Run(pattern()),
    };
    Ok(term.into())
}

/// Which of the accepted words a value is.
fn choice(field: Field, value: &Item, words: &[&str]) -> Result<usize, QueryError> {
    word_of(field, value, &value.text, words)
}

fn word_of(field: Field, value: &Item, text: &str, words: &[&str]) -> Result<usize, QueryError> {
    let found = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let accepted = words.join(", ");
        let hint = match nearest(text, words) {
            Some(word) => format!("did you mean {word}? accepted: {accepted}"),
            None => format!("accepted: {accepted}"),
        };
        let name = field.as_str();
        value
            .place
            .error_with_hint(format!("{:?} is no {name}", shown(text)), hint)
    })
}

/// A value as far as an error quotes it.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A value with its operator taken off.
enum Ends<'a> {
    Exactly(&'a str),
    Between(Option<&'a str>, Option<&'a str>),
    Above(&'a str),
    AtLeast(&'a str),
    Below(&'a str),
    AtMost(&'a str),
}

impl<'a> Ends<'a> {
    /// Operators come first, so that `<=1..2` is a mistake and not a range.
    fn of(text: &'a str) -> Ends<'a> {
        if let Some(rest) = text.strip_prefix(">=") {
            Ends::AtLeast(rest.trim())
        } else if let Some(rest) = text.strip_prefix("<=") {
            Ends::AtMost(rest.trim())
        } else if let Some(rest) = text.strip_prefix('>') {
            Ends::Above(rest.trim())
        } else if let Some(rest) = text.strip_prefix('<') {
            Ends::Below(rest.trim())
        } else if let Some((first, last)) = text.split_once("..") {
            let end = |end: &'a str| Some(end.trim()).filter(|end| !end.is_empty());
            Ends::Between(end(first), end(last))
        } else {
            Ends::Exactly(text.trim())
        }
    }
}

/// How a kind of values is read and counted on.
struct Scale<T> {
    /// The least and the greatest value that a text stands for: `1.5` is all of 1.5.
    read: fn(&str) -> Option<(T, T)>,
    /// The next value, if there is one.
    up: fn(T) -> Option<T>,
    /// The value before, if there is one.
    down: fn(T) -> Option<T>,
    /// What a value looks like.
    hint: &'static str,
}

impl<T: PartialOrd> Scale<T> {
    fn bounds(&self, value: &Item) -> Result<Bounds<T>, QueryError> {
        let read = |text: &str| {
            (self.read)(text).ok_or_else(|| {
                let message = format!("{:?} is not understood here", shown(text));
                value.place.error_with_hint(message, self.hint)
            })
        };
        let beyond = || value.place.error("nothing can be beyond that");
        let (min, max) = match Ends::of(&value.text) {
            Ends::Exactly(text) => {
                let (min, max) = read(text)?;
                (Some(min), Some(max))
            }
            Ends::Between(None, None) => {
                return Err(value
                    .place
                    .error_with_hint("both ends are missing", self.hint));
            }
            Ends::Between(first, last) => {
                let first = first.map(read).transpose()?;
                let last = last.map(read).transpose()?;
                (first.map(|both| both.0), last.map(|both| both.1))
            }
            Ends::AtLeast(text) => (Some(read(text)?.0), None),
            Ends::AtMost(text) => (None, Some(read(text)?.1)),
            Ends::Above(text) => (Some((self.up)(read(text)?.1).ok_or_else(beyond)?), None),
            Ends::Below(text) => (None, Some((self.down)(read(text)?.0).ok_or_else(beyond)?)),
        };
        if let (Some(min), Some(max)) = (&min, &max)
            && min > max
        {
            return Err(value.place.error("this begins after its end"));
        }
        Ok(Bounds { min, max })
    }
}

fn port(value: &Item) -> Result<Bounds<u16>, QueryError> {
    let scale = Scale {
        read: |text| {
            let port = text.parse().ok().filter(|_| is_digits(text))?;
            Some((port, port))
        },
        up: |port: u16| port.checked_add(1),
        down: |port| port.checked_sub(1),
        hint: "write port:11211, port:11211..11220 or port:>1024",
    };
    scale.bounds(value)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn severity(value: &Item) -> Result<Bounds<Severity>, QueryError> {
    let scale = Scale {
        read: |text| {
            let mut all = Severity::ALL.into_iter();
            let found = all.find(|one| one.as_str().eq_ignore_ascii_case(text))?;
            Some((found, found))
        },
        up: |severity| Severity::ALL.into_iter().find(|other| *other > severity),
        down: |severity| {
            Severity::ALL
                .into_iter()
                .rev()
                .find(|other| *other < severity)
        },
        hint: "write severity:high, severity:>=high or severity:low..high; \
               the words are info, low, medium, high, critical",
    };
    scale.bounds(value)
}

/// A measured ratio. It is never below 0, so that `<0` is as wrong as a negative number.
fn amplification(value: &Item) -> Result<Bounds<f64>, QueryError> {
    let scale = Scale {
        read: |text| {
            let plain = text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
            let ratio: f64 = text.parse().ok().filter(|_| plain)?;
            (ratio <= RATIO_MAX).then_some((ratio, ratio))
        },
        up: |ratio: f64| Some(ratio.next_up()),
        down: |ratio| (ratio > 0.0).then(|| ratio.next_down()),
        hint: "write amplification:>50 or amplification:10..50",
    };
    scale.bounds(value)
}

/// A version that can be compared, or else the text of one.
fn version(value: &Item) -> Result<Term, QueryError> {
    let text = value.text.trim();
    if let Ends::Exactly(text) = Ends::of(text)
        && (text.split('.').next() != Some("1") || release(text).is_none())
    {
        return Ok(Term::VersionText(text.to_owned()));
    }
    let scale = Scale {
        read: release,
        up: |key: u64| Some(key + 1).filter(|key| *key < 1 << 60),
        down: |key| key.checked_sub(1),
        hint: "write version:1.5.6, version:..1.5.6, version:1.4.0..1.5.6 or \"version:<1.5.6\"; \
               only numbers can be compared",
    };
    scale.bounds(value).map(Term::Version)
}

/// The keys from the least to the greatest release of one to three numbers: `1.5` is 1.5.0 and
/// everything up to 1.6.0.
fn release(text: &str) -> Option<(u64, u64)> {
    if let Some(key) = version_key(text).filter(|_| text.split('.').all(is_digits)) {
        return Some((key, key));
    }
    let mut least = [0; 3];
    let mut greatest = [PART_MAX; 3];
    for (place, part) in text.split('.').enumerate() {
        let number = part.parse().ok().filter(|_| is_digits(part))?;
        *least.get_mut(place)? = number;
        greatest[place] = number;
    }
    let [major, minor, patch] = least;
    let [top_major, top_minor, top_patch] = greatest;
    Some((
        key_of(major, minor, patch)?,
        key_of(top_major, top_minor, top_patch)?,
    ))
}

/// Networks, addresses and ranges of addresses.
fn net(value: &Item) -> Result<Query, QueryError> {
    let wrong = || {
        let message = format!("{:?} is no network", shown(&value.text));
        let hint =
            "write net:10.0.0.0/8, net:192.168.2.1, net:10.0.0.1..10.0.0.9 or net:2001:db8::/32";
        value.place.error_with_hint(message, hint)
    };
    let number = |text: &str| {
        let ip: IpAddr = text.trim().parse().ok()?;
        Some((u128::from_be_bytes(address_bytes(ip)), ip))
    };
    let text = value.text.trim();
    let (first, last) = if let Some((first, last)) = text.split_once("..") {
        let (first, last) = number(first).zip(number(last)).ok_or_else(wrong)?;
        (first.0, last.0)
    } else if let Some((base, bits)) = text.split_once('/') {
        let (base, ip) = number(base).ok_or_else(wrong)?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits
            .parse()
            .ok()
            .filter(|_| is_digits(bits))
            .ok_or_else(wrong)?;
        let host_bits = u32::checked_sub(width, bits).ok_or_else(wrong)?;
        let hosts = 1_u128
            .checked_shl(host_bits)
            .map_or(u128::MAX, |size| size - 1);
        (base & !hosts, base | hosts)
    } else {
        let (address, _) = number(text).ok_or_else(wrong)?;
        (address, address)
    };
    if first > last {
        return Err(value.place.error("this begins after its end"));
    }
    Ok(range(first, last))
}

/// IPv4 addresses lie among IPv6 ones as we count; a range that reaches over all of them means
/// IPv6 alone, and goes around.
fn range(first: u128, last: u128) -> Query {
    let net = |first: u128, last: u128| Term::Net(first.to_be_bytes(), last.to_be_bytes()).into();
    if first < MAPPED[0] && last > MAPPED[1] {
        Query::Or(vec![net(first, MAPPED[0] - 1), net(MAPPED[1] + 1, last)])
    } else {
        net(first, last)
    }
}

/// An address as it was before it became 16 bytes.
pub(super) fn address(bytes: [u8; 16]) -> IpAddr {
    let number = u128::from_be_bytes(bytes);
    let v6 = Ipv6Addr::from(bytes);
    if (MAPPED[0]..=MAPPED[1]).contains(&number) {
        v6.to_canonical()
    } else {
        IpAddr::V6(v6)
    }
}

fn asn(value: &Item) -> Result<u32, QueryError> {
    let text = value.text.trim();
    let digits = match text.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("as") => &text[2..],
        _ => text,
    };
    digits
        .parse()
        .ok()
        .filter(|_| is_digits(digits))
        .ok_or_else(|| {
            let message = format!("{:?} is no number of an autonomous system", shown(text));
            value
                .place
                .error_with_hint(message, "write asn:AS64500 or asn:64500")
        })
}

fn country(value: &Item) -> Result<String, QueryError> {
    let text = value.text.trim();
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    let message = format!("{:?} is no country", shown(text));
    Err(value.place.error_with_hint(
        message,
        "write the two letters of ISO 3166-1, such as country:JP",
    ))
}

/// A stretch of time, as dates or as ages: `seen:<7d` is younger than seven days.
fn moments(field: Field, value: &Item, now: SystemTime) -> Result<Bounds<SystemTime>, QueryError> {
    let ends = Ends::of(&value.text);
    let texts = match ends {
        Ends::Between(first, last) => [first, last],
        Ends::Exactly(text)
        | Ends::Above(text)
        | Ends::AtLeast(text)
        | Ends::Below(text)
        | Ends::AtMost(text) => [Some(text), None],
    };
    let mut given = texts.into_iter().flatten();
    if given.all(|text| !text.contains('-')) {
        return ages(field, value, &ends, now);
    }
    let scale = Scale {
        read: moment::parse,
        up: |last| moment::after(last, 1),
        down: |first| moment::before(first, 1),
        hint: "write a date such as 2026-01-01, a moment such as 2026-01-01T10:30Z (UTC), \
               or an age such as 7d, and both ends alike",
    };
    scale.bounds(value)
}

/// An age becomes the moment that long ago; the older end is the earlier moment.
fn ages(
    field: Field,
    value: &Item,
    ends: &Ends<'_>,
    now: SystemTime,
) -> Result<Bounds<SystemTime>, QueryError> {
    let name = field.as_str();
    let hint = || format!("write {name}:<7d, {name}:>30d, {name}:7d..30d or {name}:>2026-01-01");
    let ago = |text: &str| {
        let span = parse_span(text)
            .map_err(|error| value.place.error_with_hint(error.to_string(), hint()))?;
        now.checked_sub(span)
            .ok_or_else(|| value.place.error("nothing was that long ago"))
    };
    let (min, max) = match ends {
        Ends::Exactly(text) | Ends::Below(text) | Ends::AtMost(text) => (Some(ago(text)?), None),
        Ends::Above(text) | Ends::AtLeast(text) => (None, Some(ago(text)?)),
        Ends::Between(None, None) => {
            return Err(value.place.error_with_hint("both ends are missing", hint()));
        }
        Ends::Between(youngest, oldest) => {
            (oldest.map(ago).transpose()?, youngest.map(ago).transpose()?)
        }
    };
    if let (Some(min), Some(max)) = (&min, &max)
        && min > max
    {
        return Err(value.place.error("this begins after its end"));
    }
    Ok(Bounds { min, max })
}
