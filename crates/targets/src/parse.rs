//! What users type: targets, ports, shards. Every refusal is one line that names the place and the
//! mend.
//!
//! Addresses are read strictly. `10.1`, `0x7f.1` and `010.0.0.1` are addresses to some programs and
//! something else to others, so they are refused with the spelling that everybody reads alike; and
//! whatever ends like a number is never taken for a host name, so no resolver gets to guess either.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use model::Address;
use thiserror::Error;

use crate::order::Shard;
use crate::range::{AddressRange, RangeError, full_prefix_bits, normalize};

/// Ports that one list may name.
pub const PORTS_MAX: usize = 1024;
/// Ranges that one target may fall into: `10.*.*.1` is 65,536 single addresses.
pub const RANGES_PER_TARGET_MAX: usize = 65_536;
/// Targets that one file may hold.
pub const TARGETS_PER_FILE_MAX: usize = 2_000_000;

/// Bytes of a host name (RFC 1035 section 2.3.4: 255 on the wire, 253 as text).
const NAME_BYTES_MAX: usize = 253;
/// Bytes of one label of a host name (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Bytes of an interface's name (Linux: IFNAMSIZ without the final zero).
const ZONE_BYTES_MAX: usize = 15;
/// Bytes of the path of a unix socket (Linux: `sun_path` without the final zero).
const UNIX_PATH_BYTES_MAX: usize = 107;
/// Characters of the typed text that a message repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// One target, as typed and as understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The text, as it was written.
    pub typed: String,
    /// Whom it means.
    pub hosts: Hosts,
    /// Its own port, 1 to 65535; `None` means the ports of the run.
    pub port: Option<u16>,
}

/// The target as it was typed.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.typed)
    }
}

/// Whom a target means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// A network or ranges of addresses; at least one, ascending, not touching.
    Ranges(Vec<AddressRange>),
    /// Link-local addresses of one interface: those of them that are there, which the link knows.
    Link {
        /// The addresses.
        range: AddressRange,
        /// The interface's name.
        interface: Arc<str>,
    },
    /// One address, named by itself.
    Address(Address),
    /// A unix-domain socket.
    Unix(PathBuf),
    /// A host name, which the caller resolves.
    Name(String),
    /// The word `local`: this machine's on-link private networks, which the caller knows.
    Local,
}

/// Why a text is no target, port list or shard; prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct TargetError {
    /// `file:line`, if it was read from a file.
    place: Option<String>,
    typed: String,
    problem: Problem,
}

impl fmt::Display for TargetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        if self.typed.chars().count() > SHOWN_CHARS_MAX {
            let start: String = self.typed.chars().take(SHOWN_CHARS_MAX).collect();
            write!(formatter, "{start:?}…: {}", self.problem)
        } else {
            write!(formatter, "{:?}: {}", self.typed, self.problem)
        }
    }
}

/// What is wrong, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    what: String,
    /// A target to write instead, without its port.
    instead: Option<String>,
}

impl Problem {
    fn new(what: impl Into<String>) -> Problem {
        Problem {
            what: what.into(),
            instead: None,
        }
    }

    fn with_mend(what: impl Into<String>, instead: impl Into<String>) -> Problem {
        Problem {
            what: what.into(),
            instead: Some(instead.into()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was typed is repeated here, and a message is one line whatever was typed; a mend
        // that would have to be escaped is none.
        for character in self.what.chars() {
            match character.is_control() {
                true => write!(formatter, "{}", character.escape_debug())?,
                false => write!(formatter, "{character}")?,
            }
        }
        match &self.instead {
            Some(instead) if !instead.contains(char::is_control) => {
                write!(formatter, "; write {instead}")
            }
            _ => Ok(()),
        }
    }
}

/// Reads one target:
///
/// | written | means |
/// |---|---|
/// | `10.0.0.1`, `2001:db8::1`, `fe80::1%eth0`, `10.0.0.1/32` | an address named by itself |
/// | `::ffff:10.0.0.1` | the IPv4 address 10.0.0.1 |
/// | `192.168.2.0/24`, `2001:db8::/120` | a network; `192.168.2.7/24` means the same network |
/// | `fe80::/64%eth0`, `fe80::%eth0/64` | the hosts that are on the link of an interface |
/// | `192.168.2.1-50`, `10.0.0-3.1,5,9`, `192.168.2.*` | octets: lists, ranges (`-9`, `200-`) |
/// | `10.0.0.1-10.0.0.9` | from one address to another |
/// | `host.example.org` | a host name (RFC 1123) |
/// | `unix:/run/memcached.sock` | a unix socket |
/// | `local` | the networks of this machine |
///
/// All but the socket may be followed by `:port`; IPv6 then stands in brackets.
pub fn parse_target(text: &str) -> Result<Target, TargetError> {
    let understood = |hosts, port| Target {
        typed: text.to_owned(),
        hosts,
        port,
    };
    read_target(text)
        .map(|(hosts, port)| understood(hosts, port))
        .map_err(|problem| refuse(text, problem))
}

/// Reads targets from the text of a file: separated by white space, `#` starts a comment that ends
/// with the line. `source` is what messages call the file.
pub fn parse_target_lines(text: &str, source: &str) -> Result<Vec<Target>, TargetError> {
    let mut targets = Vec::new();
    // Editors on Windows like to begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1usize..).zip(text.lines()) {
        let written = line.split('#').next().unwrap_or_default();
        for word in written.split_whitespace() {
            let at_line = |error: TargetError| TargetError {
                place: Some(format!("{source}:{number}")),
                ..error
            };
            if targets.len() == TARGETS_PER_FILE_MAX {
                let what = format!(
                    "a file holds at most {TARGETS_PER_FILE_MAX} targets; split it, or write ranges"
                );
                return Err(at_line(refuse(word, Problem::new(what))));
            }
            targets.push(parse_target(word).map_err(at_line)?);
        }
    }
    Ok(targets)
}

/// Reads a list of ports and ranges of ports, such as `11211,11212,12000-12003`; the result is
/// ascending, without repetitions, and has 1 to [`PORTS_MAX`] ports.
pub fn parse_ports(text: &str) -> Result<Vec<u16>, TargetError> {
    read_ports(text).map_err(|problem| refuse(text, problem))
}

/// Reads `I/N`: part I of N, `1 <= I <= N`.
pub fn parse_shard(text: &str) -> Result<Shard, TargetError> {
    let read = || {
        let (index, of) = text.split_once('/')?;
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !(is_number(index) && is_number(of)) {
            return None;
        }
        Some(Shard {
            index: index.parse().ok()?,
            of: of.parse().ok()?,
        })
    };
    let shard = read().ok_or_else(|| {
        refuse(
            text,
            Problem::new("not a shard; write I/N, such as 1/4 for the first of four parts"),
        )
    })?;
    if shard.index == 0 || shard.index > shard.of {
        let what = match shard.of {
            0 => "there must be at least one part; write 1/1 for all".to_owned(),
            of => format!("parts are counted from 1 to {of}"),
        };
        return Err(refuse(text, Problem::new(what)));
    }
    Ok(shard)
}

/// Reads an address without range, prefix, zone or port; a message says what is wrong.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let read = if text.contains(':') {
        parse_ipv6(text).map(IpAddr::V6)
    } else if is_numeric(text) {
        parse_ipv4(text).map(IpAddr::V4)
    } else {
        Err(Problem::new(
            "not an address; write one such as 203.0.113.7 or 2001:db8::7",
        ))
    };
    read.map_err(|problem| problem.to_string())
}

fn refuse(typed: &str, problem: Problem) -> TargetError {
    TargetError {
        place: None,
        typed: typed.to_owned(),
        problem,
    }
}

fn read_target(text: &str) -> Result<(Hosts, Option<u16>), Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(
            "a target is missing; write an address, a network or a host name",
        ));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok((read_unix(path)?, None));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let what = "a target is no URL";
        return Err(match host {
            "" => Problem::new(what),
            host => Problem::with_mend(what, host),
        });
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        return read_bracketed(bracketed);
    }
    match text.bytes().filter(|byte| *byte == b':').count() {
        0 => Ok((read_hosts(text)?, None)),
        1 => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if host.is_empty() {
                return Err(Problem::new("the host before the colon is missing"));
            }
            // A wrong host is named first: its mend keeps the port.
            let hosts = read_hosts(host).map_err(|problem| keep_port(problem, port))?;
            Ok((hosts, Some(read_port(port)?)))
        }
        _ => Ok((read_ipv6_hosts(text)?, None)),
    }
}

/// Appends the typed port to the mend, so that a copied mend does not lose it.
fn keep_port(problem: Problem, port: &str) -> Problem {
    let instead = problem.instead.map(|instead| format!("{instead}:{port}"));
    Problem { instead, ..problem }
}

fn read_unix(path: &str) -> Result<Hosts, Problem> {
    if path.is_empty() {
        return Err(Problem::with_mend(
            "the path is missing",
            "unix:/run/memcached.sock",
        ));
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        return Err(Problem::new(format!(
            "the path has {} bytes; a socket's has at most {UNIX_PATH_BYTES_MAX}",
            path.len()
        )));
    }
    if path.contains('\0') {
        return Err(Problem::new("a path cannot hold a zero byte"));
    }
    Ok(Hosts::Unix(PathBuf::from(path)))
}

/// Reads what follows an opening bracket: `::1]`, `::1]:11211`.
fn read_bracketed(text: &str) -> Result<(Hosts, Option<u16>), Problem> {
    let Some((inside, rest)) = text.split_once(']') else {
        return Err(Problem::new(
            "the closing bracket is missing; write [address]:port",
        ));
    };
    if !inside.contains(':') {
        return Err(Problem::with_mend(
            "brackets are for IPv6 addresses",
            format!("{inside}{rest}"),
        ));
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port),
        None if rest.is_empty() => None,
        None if rest.starts_with('/') => {
            let what = "the prefix belongs inside the brackets";
            let (prefix, port) = rest.split_once(':').unwrap_or((rest, ""));
            let colon = if port.is_empty() { "" } else { ":" };
            return Err(Problem::with_mend(
                what,
                format!("[{inside}{prefix}]{colon}{port}"),
            ));
        }
        None => return Err(Problem::new("only :port can follow the bracket")),
    };
    let hosts = read_ipv6_hosts(inside).map_err(|problem| match problem.instead {
        // Keeps the port in the mend; some mends have brackets of their own.
        Some(instead) if !instead.starts_with('[') => Problem {
            instead: Some(format!("[{instead}]{rest}")),
            ..problem
        },
        _ => problem,
    })?;
    Ok((hosts, port.map(read_port).transpose()?))
}

/// Reads a port, 1 to 65535, in digits.
fn read_port(text: &str) -> Result<u16, Problem> {
    if text.is_empty() {
        return Err(Problem::new("the port after the colon is missing"));
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if port != 0 && is_number => Ok(port),
        _ => Err(Problem::new(format!(
            "{} is no port (1-65535)",
            shown(text)
        ))),
    }
}

fn read_ports(text: &str) -> Result<Vec<u16>, Problem> {
    let mut wanted = vec![false; usize::from(u16::MAX) + 1];
    for item in text.split(',') {
        let item = item.trim();
        if item.is_empty() {
            return Err(Problem::new(
                "a port is missing; write ports such as 11211,12000-12003",
            ));
        }
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        if first.is_empty() || last.is_empty() {
            return Err(Problem::new(format!(
                "one end of {item} is missing; write both, as in 1-9"
            )));
        }
        let (first, last) = (read_port(first)?, read_port(last)?);
        if first > last {
            let mend = format!("{last}-{first}");
            return Err(Problem::with_mend(
                format!("the range {item} runs backwards"),
                mend,
            ));
        }
        wanted[usize::from(first)..=usize::from(last)].fill(true);
    }
    let ports: Vec<u16> = (1..=u16::MAX)
        .filter(|port| wanted[usize::from(*port)])
        .collect();
    if ports.len() > PORTS_MAX {
        let what = format!("{} ports; a run takes at most {PORTS_MAX}", ports.len());
        return Err(Problem::new(what));
    }
    Ok(ports)
}

/// Reads a target without port that holds no colon.
fn read_hosts(host: &str) -> Result<Hosts, Problem> {
    if host == "local" {
        return Ok(Hosts::Local);
    }
    if let Some((address, prefix)) = host.split_once('/') {
        return read_ipv4_network(address, prefix);
    }
    if !is_numeric(host) {
        return read_name(host);
    }
    if let Some((first, last)) = host.split_once('-')
        && first.matches('.').count() == 3
        && last.matches('.').count() == 3
    {
        let (first, last) = (parse_ipv4(first)?, parse_ipv4(last)?);
        return read_range(first.into(), last.into());
    }
    read_octets(host)
}

/// Whether a text can only be meant as IPv4 addresses.
fn is_numeric(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_digit() || b".,-*".contains(&byte))
}

fn read_range(first: IpAddr, last: IpAddr) -> Result<Hosts, Problem> {
    match AddressRange::new(first, last) {
        Ok(range) => Ok(Hosts::Ranges(vec![range])),
        Err(problem @ RangeError::Backwards) => Err(Problem::with_mend(
            problem.to_string(),
            format!("{last}-{first}"),
        )),
        Err(problem) => Err(Problem::new(problem.to_string())),
    }
}

fn read_ipv4_network(address: &str, prefix: &str) -> Result<Hosts, Problem> {
    if !is_numeric(address) {
        return Err(match read_name(address) {
            Ok(_) => Problem::new("a prefix goes with an address, not with a host name"),
            Err(problem) => problem,
        });
    }
    if address.contains(['-', ',', '*']) {
        return Err(Problem::new(
            "a prefix and octet ranges do not go together; write networks one by one",
        ));
    }
    let octets: Vec<&str> = address.split('.').collect();
    if octets.len() < 4
        && octets
            .iter()
            .all(|octet| read_octet(octet, address).is_ok())
    {
        let missing = ".0".repeat(4 - octets.len());
        let mend = format!("{address}{missing}/{prefix}");
        return Err(Problem::with_mend("an IPv4 address has four octets", mend));
    }
    let address = parse_ipv4(address)?;
    if let Ok(mask) = prefix.parse::<Ipv4Addr>()
        && mask.to_bits().count_zeros() == mask.to_bits().trailing_zeros()
    {
        let mend = format!("{address}/{}", mask.to_bits().leading_ones());
        return Err(Problem::with_mend(
            "a network is written with the length of its prefix",
            mend,
        ));
    }
    read_network(address.into(), prefix)
}

/// Reads the prefix behind an address; a full one names the address by itself.
fn read_network(address: IpAddr, prefix: &str) -> Result<Hosts, Problem> {
    let bits_max = full_prefix_bits(address);
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let bits = match prefix.parse::<u8>() {
        Ok(bits) if is_number && bits <= bits_max => bits,
        _ => {
            let what = format!("{} is no prefix length (0-{bits_max})", shown(prefix));
            return Err(Problem::new(what));
        }
    };
    if bits == bits_max {
        return Ok(Hosts::Address(Address::from_ip(address)));
    }
    match AddressRange::of_prefix(address, bits) {
        Ok(range) => Ok(Hosts::Ranges(vec![range])),
        Err(problem) => Err(Problem::new(problem.to_string())),
    }
}

/// Reads IPv6 without brackets and port: an address, one with a zone, a network, or a range.
fn read_ipv6_hosts(text: &str) -> Result<Hosts, Problem> {
    if let Some((address, zone)) = text.split_once('%') {
        return read_zoned(address, zone);
    }
    if let Some((address, prefix)) = text.split_once('/') {
        return read_network(parse_ipv6(address)?.into(), prefix);
    }
    if let Some((first, last)) = text.split_once('-') {
        return read_range(parse_ipv6(first)?.into(), parse_ipv6(last)?.into());
    }
    Ok(Hosts::Address(Address::from_ip(parse_ipv6(text)?.into())))
}

/// Reads a link-local address or network with its interface (RFC 4007 section 11). Behind a network,
/// the interface stands before the prefix length there (`fe80::%eth0/64`); many write it behind.
fn read_zoned(address: &str, zone: &str) -> Result<Hosts, Problem> {
    if let Some((zone, port)) = zone.split_once(':') {
        let what = "an address with a port stands in brackets";
        return Err(Problem::with_mend(
            what,
            format!("[{address}%{zone}]:{port}"),
        ));
    }
    let (address, prefix, zone) = match (address.split_once('/'), zone.split_once('/')) {
        (None, None) => (address, None, zone),
        (Some((address, prefix)), None) => (address, Some(prefix), zone),
        (None, Some((zone, prefix))) => (address, Some(prefix), zone),
        (Some(_), Some(_)) => return Err(Problem::new("a network has one prefix length")),
    };
    let ip = parse_ipv6(address)?;
    let hosts = match prefix {
        Some(prefix) => read_network(ip.into(), prefix)?,
        None => Hosts::Address(Address::from_ip(ip.into())),
    };
    let range = match &hosts {
        Hosts::Ranges(ranges) => ranges.first().copied(),
        _ => None,
    };
    let ends = range.map_or([ip.into(); 2], |range| [range.first, range.last]);
    let is_link_local = |end: IpAddr| matches!(end, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if !ends.into_iter().all(is_link_local) {
        let what = "an interface goes with a link-local address (fe80::/10) only";
        let prefix = prefix.map_or(String::new(), |prefix| format!("/{prefix}"));
        return Err(Problem::with_mend(what, format!("{address}{prefix}")));
    }
    let is_plain = |character: char| character.is_ascii_graphic();
    if zone.is_empty() || zone.len() > ZONE_BYTES_MAX || !zone.chars().all(is_plain) {
        let what = format!("{} is no interface name", shown(zone));
        let prefix = prefix.map_or(String::new(), |prefix| format!("/{prefix}"));
        return Err(Problem::with_mend(what, format!("{address}{prefix}%eth0")));
    }
    let interface = Arc::from(zone);
    Ok(match range {
        Some(range) => Hosts::Link { range, interface },
        None => Hosts::Address(Address::Zoned(ip, interface)),
    })
}

fn parse_ipv6(text: &str) -> Result<Ipv6Addr, Problem> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok(ip);
    }
    // `2001:db8::1:11211` is a slip that reads like an address with a port.
    if let Some((address, port)) = text.rsplit_once(':')
        && (address.parse::<Ipv6Addr>().is_ok() || address.parse::<Ipv4Addr>().is_ok())
        && read_port(port).is_ok()
    {
        let mend = format!("[{address}]:{port}");
        return Err(Problem::with_mend(
            "not an IPv6 address, and a port needs brackets",
            mend,
        ));
    }
    Err(Problem::new(
        "not an IPv6 address; with a port, write [address]:port",
    ))
}

/// Reads exactly four plain octets.
fn parse_ipv4(text: &str) -> Result<Ipv4Addr, Problem> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(ip);
    }
    let octets: Vec<&str> = text.split('.').collect();
    if octets.len() != 4 {
        return Err(wrong_octet_count(&octets));
    }
    for octet in octets {
        read_octet(octet, text)?;
    }
    Err(Problem::new(
        "not an IPv4 address; write four octets, such as 10.0.0.1",
    ))
}

/// Reads octets that may be lists and ranges, as nmap does.
fn read_octets(host: &str) -> Result<Hosts, Problem> {
    let parts: Vec<&str> = host.split('.').collect();
    let &[a, b, c, d] = parts.as_slice() else {
        return Err(wrong_octet_count(&parts));
    };
    let sets = [
        read_octet_set(a, 0, host)?,
        read_octet_set(b, 1, host)?,
        read_octet_set(c, 2, host)?,
        read_octet_set(d, 3, host)?,
    ];
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(Hosts::Address(Address::from_ip(ip.into())));
    }
    ranges_of_octets(&sets).map(Hosts::Ranges)
}

/// The runs of values that one octet can have, ascending and not touching.
type OctetSet = Vec<(u8, u8)>;

/// Reads one octet of a range: `7`, `1-50`, `-9`, `200-`, `*`, or several of them with commas.
fn read_octet_set(part: &str, place: usize, host: &str) -> Result<OctetSet, Problem> {
    let mut wanted = [false; 256];
    for item in part.split(',') {
        let (first, last) = match item.split_once('-') {
            _ if item == "*" => (0, 255),
            Some((first, last)) => (
                if first.is_empty() {
                    0
                } else {
                    read_octet(first, host)?
                },
                if last.is_empty() {
                    255
                } else {
                    read_octet(last, host)?
                },
            ),
            None => {
                let octet = read_octet(item, host)?;
                (octet, octet)
            }
        };
        if first > last {
            let mended = format!("{last}-{first}");
            let items: Vec<&str> = part
                .split(',')
                .map(|other| if other == item { &mended } else { other })
                .collect();
            let mended_part = items.join(",");
            let mut parts: Vec<&str> = host.split('.').collect();
            parts[place] = &mended_part;
            return Err(Problem::with_mend(
                "the range runs backwards",
                parts.join("."),
            ));
        }
        wanted[usize::from(first)..=usize::from(last)].fill(true);
    }
    let mut runs: OctetSet = Vec::new();
    for value in (0..=u8::MAX).filter(|value| wanted[usize::from(*value)]) {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(value) => *last = value,
            _ => runs.push((value, value)),
        }
    }
    Ok(runs)
}

/// Reads one octet; `host` is what it is part of, for the mend.
fn read_octet(text: &str, host: &str) -> Result<u8, Problem> {
    if text.is_empty() {
        return Err(Problem::new(
            "an octet is missing; write four, such as 10.0.0.1",
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new(format!("{} is no octet (0-255)", shown(text))));
    }
    if text.len() > 1 && text.starts_with('0') {
        let what = format!(
            "{} has a leading zero, which some programs read as octal",
            shown(text)
        );
        return Err(Problem::with_mend(what, without_leading_zeros(host)));
    }
    text.parse()
        .map_err(|_| Problem::new(format!("{} is no octet (0-255)", shown(text))))
}

/// The same numbers in decimal, between whatever separates them.
fn without_leading_zeros(host: &str) -> String {
    let mut mended = String::with_capacity(host.len());
    for piece in host.split_inclusive(|character: char| !character.is_ascii_digit()) {
        let digits = piece.trim_end_matches(|character: char| !character.is_ascii_digit());
        let separator = &piece[digits.len()..];
        let stripped = digits.trim_start_matches('0');
        mended.push_str(if stripped.is_empty() && !digits.is_empty() {
            "0"
        } else {
            stripped
        });
        mended.push_str(separator);
    }
    mended
}

/// The message about an address that has not four octets, with both things it could mean.
fn wrong_octet_count(octets: &[&str]) -> Problem {
    let what = "an IPv4 address has four octets";
    let values: Option<Vec<u32>> = octets
        .iter()
        .map(|octet| {
            octet
                .parse()
                .ok()
                .filter(|_| octet.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect();
    let mend = match values.as_deref() {
        Some(&[a]) if a <= 255 => format!("{a}.0.0.0/8 for the network"),
        Some(&[number]) => Ipv4Addr::from_bits(number).to_string(),
        Some(&[a, b]) if a.max(b) <= 255 => {
            format!("{a}.0.0.{b} for the host or {a}.{b}.0.0/16 for the network")
        }
        Some(&[a, b, c]) if a.max(b).max(c) <= 255 => {
            format!("{a}.{b}.0.{c} for the host or {a}.{b}.{c}.0/24 for the network")
        }
        _ => return Problem::new(format!("{what}, such as 10.0.0.1")),
    };
    // Two proposals are no target that a port could be appended to.
    if mend.contains(' ') {
        Problem::new(format!("{what}; write {mend}"))
    } else {
        Problem::with_mend(what, mend)
    }
}

/// Multiplies the sets out. Octets that are all 0-255 at the end need no multiplying: they are part
/// of every range.
fn ranges_of_octets(sets: &[OctetSet; 4]) -> Result<Vec<AddressRange>, Problem> {
    let is_full = |set: &OctetSet| set.as_slice() == [(0, 255)];
    // The octet whose runs become ranges; those before it are counted value by value.
    let varying = sets.iter().rposition(|set| !is_full(set)).unwrap_or(0);
    let values = |set: &OctetSet| -> Vec<u8> {
        set.iter()
            .flat_map(|(first, last)| *first..=*last)
            .collect()
    };
    let mut count = sets[varying].len();
    for set in &sets[..varying] {
        count *= values(set).len();
    }
    if count > RANGES_PER_TARGET_MAX {
        return Err(Problem::new(format!(
            "falls into {count} separate ranges; a target takes at most {RANGES_PER_TARGET_MAX}: \
             scan it in parts"
        )));
    }

    let mut starts: Vec<[u8; 4]> = vec![[0; 4]];
    for (place, set) in sets[..varying].iter().enumerate() {
        let values = values(set);
        starts = starts
            .iter()
            .flat_map(|start| {
                values.iter().map(move |value| {
                    let mut start = *start;
                    start[place] = *value;
                    start
                })
            })
            .collect();
    }
    let mut ranges = Vec::with_capacity(count);
    for start in starts {
        for (low, high) in &sets[varying] {
            let (mut first, mut last) = (start, start);
            first[varying] = *low;
            last[varying] = *high;
            last[varying + 1..].fill(255);
            ranges.push(AddressRange {
                first: IpAddr::V4(first.into()),
                last: IpAddr::V4(last.into()),
            });
        }
    }
    normalize(&mut ranges);
    Ok(ranges)
}

/// Checks a host name: letters, digits and hyphens in labels (RFC 1123 section 2.1, RFC 952); a
/// final dot marks it as complete. What ends like a number is an address to some resolvers and no
/// name.
fn read_name(name: &str) -> Result<Hosts, Problem> {
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.len() > NAME_BYTES_MAX {
        return Err(Problem::new(format!(
            "a host name has at most {NAME_BYTES_MAX} characters, this one {}",
            labels.len()
        )));
    }
    for label in labels.split('.') {
        check_label(label)?;
    }
    let last = labels.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new(
            "a host name does not end in a number, and an IPv4 address is written as four decimal \
             octets, such as 127.0.0.1",
        ));
    }
    Ok(Hosts::Name(name.to_owned()))
}

fn check_label(label: &str) -> Result<(), Problem> {
    if label.is_empty() {
        return Err(Problem::new(
            "a part of the host name is empty; write one dot between parts",
        ));
    }
    if !label.is_ascii() {
        let what = "a host name has ASCII letters only; write its xn-- form";
        return Err(Problem::new(what));
    }
    let wrong = |character: &char| !(character.is_ascii_alphanumeric() || *character == '-');
    if let Some(character) = label.chars().find(wrong) {
        return Err(Problem::new(format!(
            "{character:?} cannot be in a host name (letters, digits, hyphens and dots)"
        )));
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(Problem::new(format!(
            "a part of a host name has at most {LABEL_BYTES_MAX} characters, {} has {}",
            shown(label),
            label.len()
        )));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(Problem::new(format!(
            "{} begins or ends with a hyphen, which no part of a host name does",
            shown(label)
        )));
    }
    Ok(())
}

/// A piece of what was typed, fit for a message: plain if it is short and printable, else quoted
/// and shortened.
fn shown(piece: &str) -> String {
    const PIECE_CHARS_MAX: usize = 20;
    if piece.chars().count() > PIECE_CHARS_MAX {
        let start: String = piece.chars().take(PIECE_CHARS_MAX).collect();
        format!("{start:?}…")
    } else if !piece.is_empty() && piece.chars().all(|character| character.is_ascii_graphic()) {
        piece.to_owned()
    } else {
        format!("{piece:?}")
    }
}

#[cfg(test)]
mod tests;
