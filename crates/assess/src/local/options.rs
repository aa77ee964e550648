//! Memcached's own command line: which options it takes, and what they amount to.
//!
//! The rules are those of getopt_long(3) as memcached calls it: short options may be bundled
//! (`-vvS`), a value may be glued (`-l127.0.0.1`) or follow, long options take `--name=value` or
//! `--name value` and may be shortened while they stay unique, `--` ends the options, and words
//! that are no option are skipped wherever they stand. For most options the last one wins. `-l`
//! does not: since 1.4.6 every `-l` adds to the list, so that `-l 0.0.0.0 -l 127.0.0.1` listens
//! everywhere.

use std::net::IpAddr;

use super::place::{Place, Word};
use crate::UpstreamVersion;

/// Memcached's port, over both transports.
pub const PORT_DEFAULT: u16 = 11211;
/// The first release whose UDP port is off unless it is asked for (CVE-2018-1000115).
pub const UDP_OFF_SINCE: UpstreamVersion = UpstreamVersion::new(1, 5, 6);

/// Short options that take a value.
const WITH_VALUE: &str = "apsUmculPfntDRbBIYeoN";
/// Short options that take none.
const WITHOUT_VALUE: &str = "AZMkhiVrvdLCSFXW";
/// Long options with the short ones that they stand for.
const LONG: [(&str, char); 36] = [
    ("unix-mask", 'a'),
    ("enable-shutdown", 'A'),
    ("enable-ssl", 'Z'),
    ("port", 'p'),
    ("unix-socket", 's'),
    ("udp-port", 'U'),
    ("memory-limit", 'm'),
    ("disable-evictions", 'M'),
    ("conn-limit", 'c'),
    ("lock-memory", 'k'),
    ("help", 'h'),
    ("license", 'i'),
    ("version", 'V'),
    ("enable-coredumps", 'r'),
    ("verbose", 'v'),
    ("daemon", 'd'),
    ("listen", 'l'),
    ("user", 'u'),
    ("pidfile", 'P'),
    ("slab-growth-factor", 'f'),
    ("slab-min-size", 'n'),
    ("threads", 't'),
    ("enable-largepages", 'L'),
    ("max-reqs-per-event", 'R'),
    ("disable-cas", 'C'),
    ("listen-backlog", 'b'),
    ("protocol", 'B'),
    ("max-item-size", 'I'),
    ("enable-sasl", 'S'),
    ("disable-flush-all", 'F'),
    ("disable-dumping", 'X'),
    ("disable-watch", 'W'),
    ("auth-file", 'Y'),
    ("memory-file", 'e'),
    ("extended", 'o'),
    ("napi-ids", 'N'),
];

/// An option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The short letter, also where the long name was typed.
    pub letter: char,
    /// Its value, if it takes one.
    pub value: Option<String>,
    /// Where its value was written, or the option itself where it takes none.
    pub place: Option<Place>,
}

/// What one entry of `-l` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// An address, a host name, or `*`; as it was written, without brackets, tags and port.
    pub host: String,
    /// A port of its own, for both transports.
    pub port: Option<u16>,
    /// Where it was written.
    pub place: Option<Place>,
}

/// Who can reach an address that a server listens on, as far as the address alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Breadth {
    /// Only this machine: a loopback address.
    ThisMachine,
    /// A host name: nobody looked it up.
    Unknown,
    /// One address that other machines can ask.
    OneAddress,
    /// Every address that this machine has.
    Everywhere,
}

impl Breadth {
    /// The breadth of an address or host name.
    pub fn of(host: &str) -> Breadth {
        if host.is_empty() || host == "*" || host.eq_ignore_ascii_case("INADDR_ANY") {
            return Breadth::Everywhere;
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Breadth::ThisMachine;
        }
        let bare = host.split('%').next().unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => Breadth::of_address(address),
            Err(_) => Breadth::Unknown,
        }
    }

    /// The breadth of an address.
    pub fn of_address(address: IpAddr) -> Breadth {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        if address.is_unspecified() {
            Breadth::Everywhere
        } else if address.is_loopback() {
            Breadth::ThisMachine
        } else {
            Breadth::OneAddress
        }
    }

    /// Whether other machines can ask it, in doubt too.
    pub fn is_wide(self) -> bool {
        self != Breadth::ThisMachine
    }
}

/// Whether UDP is on by these options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Udp {
    /// Switched off, or off by default.
    Off,
    /// On at this port.
    On(u16),
    /// The options do not say, and neither does the version: before 1.5.6 it is on at this port.
    OnBefore156(u16),
}

impl Udp {
    /// The port, where it is on or may be.
    pub fn port(self) -> Option<u16> {
        match self {
            Udp::Off => None,
            Udp::On(port) | Udp::OnBefore156(port) => Some(port),
        }
    }
}

/// What a command line amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Every option, in the order in which it was given.
    pub given: Vec<Given>,
    /// The entries of every `-l`. Empty: all addresses.
    pub listeners: Vec<Listener>,
    /// The TCP port; 0 is off.
    pub tcp_port: u16,
    /// The UDP port.
    pub udp: Udp,
    /// A unix socket in place of the network.
    pub unix_socket: Option<String>,
    /// `-S`: SASL over the binary protocol.
    pub sasl: bool,
    /// `-Y`: the file of users and passwords for ASCII log-ins.
    pub auth_file: Option<String>,
    /// `-Z`: TLS.
    pub tls: bool,
    /// Whether TLS demands a client's certificate (`-o ssl_verify_mode=2` or 3).
    pub tls_client_certificate: bool,
    /// `-v` counted: from 2 on, commands are logged with their keys.
    pub verbosity: u32,
    /// `-u`.
    pub user: Option<String>,
    /// Words that no release of memcached understands.
    pub unknown: Vec<String>,
}

impl Options {
    /// Reads a command line, its program first. Without a version, what depends on it stays open.
    pub fn parse(words: &[Word], version: Option<UpstreamVersion>) -> Options {
        let (given, unknown) = scan(words.get(1..).unwrap_or_default());
        let last = |letter: char| given.iter().rev().find(|option| option.letter == letter);
        let value = |letter: char| last(letter).and_then(|option| option.value.clone());
        let port = |letter: char| last(letter).map(|option| port_of(option.value.as_deref()));
        let (tcp_port, udp) = ports(port('p'), port('U'), version);
        let listeners = given
            .iter()
            .filter(|option| option.letter == 'l')
            .flat_map(listeners_of)
            .collect();
        let verify_mode = given
            .iter()
            .filter(|option| option.letter == 'o')
            .flat_map(|option| option.value.as_deref().unwrap_or_default().split(','))
            .filter_map(|extended| extended.trim().strip_prefix("ssl_verify_mode="))
            .next_back();
        let verbosity = given.iter().filter(|option| option.letter == 'v').count();
        Options {
            listeners,
            tcp_port,
            udp,
            unix_socket: value('s'),
            sasl: last('S').is_some(),
            auth_file: value('Y'),
            tls: last('Z').is_some(),
            tls_client_certificate: matches!(verify_mode, Some("2" | "3")),
            verbosity: u32::try_from(verbosity).unwrap_or(u32::MAX),
            user: value('u'),
            given,
            unknown,
        }
    }

    /// The last option of this letter.
    pub fn last(&self, letter: char) -> Option<&Given> {
        self.given
            .iter()
            .rev()
            .find(|option| option.letter == letter)
    }

    /// Whether clients must log in over TCP, by password or certificate.
    pub fn demands_log_in(&self) -> bool {
        self.sasl || self.auth_file.is_some() || (self.tls && self.tls_client_certificate)
    }

    /// The widest address that it listens on; `None` where it has no network at all.
    pub fn breadth(&self) -> Option<Breadth> {
        if self.unix_socket.is_some() {
            return None;
        }
        let widths = self
            .listeners
            .iter()
            .map(|listener| Breadth::of(&listener.host));
        Some(widths.max().unwrap_or(Breadth::Everywhere))
    }
}

/// Splits words into options, as getopt_long(3) does.
fn scan(words: &[Word]) -> (Vec<Given>, Vec<String>) {
    let (mut given, mut unknown) = (Vec::new(), Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word.text == "--" {
            break;
        }
        if let Some(long) = word.text.strip_prefix("--") {
            long_option(long, word, &mut rest, &mut given, &mut unknown);
        } else if let Some(bundle) = word.text.strip_prefix('-')
            && !bundle.is_empty()
        {
            short_options(bundle, word, &mut rest, &mut given, &mut unknown);
        }
    }
    (given, unknown)
}

fn long_option<'words>(
    long: &str,
    word: &Word,
    rest: &mut impl Iterator<Item = &'words Word>,
    given: &mut Vec<Given>,
    unknown: &mut Vec<String>,
) {
    let (name, glued) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let exact = LONG.iter().find(|(known, _)| *known == name);
    let mut prefixed = LONG.iter().filter(|(known, _)| known.starts_with(name));
    let Some((_, letter)) = exact.or_else(|| {
        let only = prefixed.next();
        prefixed.next().is_none().then_some(only).flatten()
    }) else {
        unknown.push(word.text.clone());
        return;
    };
    let takes_value = WITH_VALUE.contains(*letter);
    let (value, place) = match (takes_value, glued) {
        (false, _) => (None, word.place.clone()),
        (true, Some(value)) => (Some(value), word.place.clone()),
        (true, None) => match rest.next() {
            Some(next) => (Some(next.text.clone()), next.place.clone()),
            None => (None, word.place.clone()),
        },
    };
    given.push(Given {
        letter: *letter,
        value,
        place,
    });
}

fn short_options<'words>(
    bundle: &str,
    word: &Word,
    rest: &mut impl Iterator<Item = &'words Word>,
    given: &mut Vec<Given>,
    unknown: &mut Vec<String>,
) {
    for (index, letter) in bundle.char_indices() {
        if WITH_VALUE.contains(letter) {
            let glued = &bundle[index + letter.len_utf8()..];
            let (value, place) = if glued.is_empty() {
                match rest.next() {
                    Some(next) => (Some(next.text.clone()), next.place.clone()),
                    None => (None, word.place.clone()),
                }
            } else {
                (Some(glued.to_owned()), word.place.clone())
            };
            given.push(Given {
                letter,
                value,
                place,
            });
            return;
        }
        if WITHOUT_VALUE.contains(letter) {
            given.push(Given {
                letter,
                value: None,
                place: word.place.clone(),
            });
        } else {
            unknown.push(format!("-{letter}"));
        }
    }
}

/// What atoi(3) makes of a port: leading digits, anything else is 0.
fn port_of(value: Option<&str>) -> u16 {
    let value = value.unwrap_or_default().trim_start();
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    value[..digits].parse().unwrap_or(0)
}

/// The two ports. One that is named alone takes the other along, unless that one is off.
fn ports(tcp: Option<u16>, udp: Option<u16>, version: Option<UpstreamVersion>) -> (u16, Udp) {
    let on = |port: u16| if port == 0 { Udp::Off } else { Udp::On(port) };
    match (tcp, udp) {
        (Some(tcp), Some(udp)) => (tcp, on(udp)),
        (None, Some(0)) => (PORT_DEFAULT, Udp::Off),
        (None, Some(udp)) => (udp, Udp::On(udp)),
        (tcp, None) => {
            let tcp = tcp.unwrap_or(PORT_DEFAULT);
            let udp = match version {
                Some(version) if version >= UDP_OFF_SINCE => Udp::Off,
                Some(_) => on(tcp),
                None if tcp == 0 => Udp::Off,
                None => Udp::OnBefore156(tcp),
            };
            (tcp, udp)
        }
    }
}

/// The entries of one `-l`: separated by commas or semicolons, each `host`, `host:port`,
/// `[address]:port`, with tags such as `notls:` and `proto[ascii]:` before it.
fn listeners_of(option: &Given) -> Vec<Listener> {
    let value = option.value.as_deref().unwrap_or_default();
    let entries = value.split([',', ';']).map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (host, port) = host_and_port(without_tags(entry));
            Listener {
                host: host.to_owned(),
                port,
                place: option.place.clone(),
            }
        })
        .collect()
}

fn without_tags(mut entry: &str) -> &str {
    loop {
        let shorter = ["notls:", "mtls:"]
            .iter()
            .find_map(|tag| entry.strip_prefix(tag))
            .or_else(|| {
                let bracketed = entry
                    .strip_prefix("proto[")
                    .or(entry.strip_prefix("tag["))?;
                bracketed.split_once("]:").map(|(_, rest)| rest)
            });
        match shorter {
            Some(rest) => entry = rest,
            None => return entry,
        }
    }
}

/// Splits as memcached does: a colon separates a port only if there is just one, or brackets.
fn host_and_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = entry
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.strip_prefix(':').map(|port| port_of(Some(port))));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port_of(Some(port)))),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, version: Option<(u32, u32, u32)>) -> Options {
        let words: Vec<Word> = line.split_whitespace().map(Word::bare).collect();
        Options::parse(
            &words,
            version.map(|(major, minor, patch)| UpstreamVersion::new(major, minor, patch)),
        )
    }

    const OLD: Option<(u32, u32, u32)> = Some((1, 4, 15));
    const NEW: Option<(u32, u32, u32)> = Some((1, 6, 18));

    #[test]
    fn ports_follow_each_other_and_the_version() {
        let cases = [
            ("memcached", OLD, 11211, Udp::On(11211)),
            ("memcached", NEW, 11211, Udp::Off),
            ("memcached", None, 11211, Udp::OnBefore156(11211)),
            ("memcached -p 7", OLD, 7, Udp::On(7)),
            ("memcached -p 7", NEW, 7, Udp::Off),
            ("memcached -p 7", None, 7, Udp::OnBefore156(7)),
            ("memcached -U 0", OLD, 11211, Udp::Off),
            ("memcached -U 9", NEW, 9, Udp::On(9)),
            ("memcached -p 7 -U 9", NEW, 7, Udp::On(9)),
            ("memcached -p 0 -U 9", NEW, 0, Udp::On(9)),
            ("memcached -U 9 -U 0", OLD, 11211, Udp::Off),
            ("memcached -U0 --port=8", None, 8, Udp::Off),
            ("memcached --udp-port 5 -p8", None, 8, Udp::On(5)),
            ("memcached -p 11211x", NEW, 11211, Udp::Off),
            ("memcached -p x", OLD, 0, Udp::Off),
            ("memcached -p 99999", NEW, 0, Udp::Off),
        ];
        for (line, version, tcp, udp) in cases {
            let options = parse(line, version);
            assert_eq!(
                (options.tcp_port, options.udp),
                (tcp, udp),
                "{line} {version:?}"
            );
        }
    }

    #[test]
    fn listeners_add_up() {
        type Entry = (&'static str, Option<u16>);
        let cases: [(&str, &[Entry], Breadth); 12] = [
            ("-v", &[], Breadth::Everywhere),
            ("-l 127.0.0.1", &[("127.0.0.1", None)], Breadth::ThisMachine),
            (
                "-l127.0.0.1,::1",
                &[("127.0.0.1", None), ("::1", None)],
                Breadth::ThisMachine,
            ),
            (
                "-l 0.0.0.0 -l 127.0.0.1",
                &[("0.0.0.0", None), ("127.0.0.1", None)],
                Breadth::Everywhere,
            ),
            (
                "--listen=10.0.0.1:12",
                &[("10.0.0.1", Some(12))],
                Breadth::OneAddress,
            ),
            ("--listen [::]:12", &[("::", Some(12))], Breadth::Everywhere),
            (
                "-l notls:127.0.0.2:9",
                &[("127.0.0.2", Some(9))],
                Breadth::ThisMachine,
            ),
            (
                "-l proto[ascii]:tag[x]:127.0.0.2:9",
                &[("127.0.0.2", Some(9))],
                Breadth::ThisMachine,
            ),
            ("-l localhost", &[("localhost", None)], Breadth::ThisMachine),
            ("-l cache1", &[("cache1", None)], Breadth::Unknown),
            (
                "-l ::ffff:127.0.0.1",
                &[("::ffff:127.0.0.1", None)],
                Breadth::ThisMachine,
            ),
            ("-l *", &[("*", None)], Breadth::Everywhere),
        ];
        for (line, expected, breadth) in cases {
            let options = parse(&format!("memcached {line}"), NEW);
            let found: Vec<(&str, Option<u16>)> = options
                .listeners
                .iter()
                .map(|listener| (listener.host.as_str(), listener.port))
                .collect();
            assert_eq!(found, expected, "{line}");
            assert_eq!(options.breadth(), Some(breadth), "{line}");
        }
        assert_eq!(parse("memcached -s /run/x -l 0.0.0.0", NEW).breadth(), None);
    }

    #[test]
    fn the_rest_of_the_command_line() {
        let options = parse(
            "memcached -dvvS word -Y/etc/users -Z -o modern,ssl_verify_mode=2 -u nobody -? -- -A",
            NEW,
        );
        assert!(options.sasl && options.tls && options.tls_client_certificate);
        assert_eq!(options.auth_file.as_deref(), Some("/etc/users"));
        assert_eq!(
            (options.verbosity, options.user.as_deref()),
            (2, Some("nobody"))
        );
        assert_eq!(options.unknown, ["-?"]);
        assert!(options.last('A').is_none() && options.demands_log_in());
        // Too short to be one option only, and unknown ones.
        assert_eq!(
            parse("memcached --enable --bogus=1", NEW).unknown,
            ["--enable", "--bogus=1"]
        );
        // A value that is missing is none.
        assert_eq!(
            parse("memcached -l", NEW).breadth(),
            Some(Breadth::Everywhere)
        );
    }
}
