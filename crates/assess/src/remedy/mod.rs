//! Remedies: from what is configured to the smallest change that closes it. Text in, mended text
//! out; who reads and writes the files is not this room's work.
//!
//! The change goes where the option stands that is at fault: a variable of a sysconfig file, a
//! line of memcached.conf, a port of a compose file; options of a unit of systemd itself are
//! changed by a drop-in. Every remedy is read again as memcached would read it before it is
//! offered: if strangers would still get in, it is not, and the reader is told what to do by hand.

mod compose;
mod files;
mod firewall;
mod plan;
mod systemd;
mod words;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

pub use files::{conf, save_path, variable};
pub use firewall::{FirewallTool, Gate, commands as firewall_commands};
pub use plan::{ByHand, Edit, MendedService, Plan, Restart, plan};

use crate::UpstreamVersion;
use crate::local::{Breadth, Options};

/// The oldest release for which a comma-separated list after `-l` is known to work.
const FIRST_WITH_ADDRESS_LIST: UpstreamVersion = UpstreamVersion::new(1, 4, 15);

/// How the servers are to be reached afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The addresses to listen on; none: loopback only, unless `allow` names somebody.
    pub listen: Vec<IpAddr>,
    /// Who may come from outside, by the firewall. The server keeps listening where it does.
    pub allow: Vec<Network>,
}

/// An address with the length of its prefix, such as `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/24` or a single address; bits behind the prefix are cleared. `None` for
    /// anything else, and for networks that are everybody (`/0`).
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Some(bits_max), |bits| bits.parse().ok())?;
        if prefix_bits == 0 || prefix_bits > bits_max {
            return None;
        }
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX << (32 - u32::from(prefix_bits));
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX << (128 - u32::from(prefix_bits));
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        };
        Some(Network {
            address,
            prefix_bits,
        })
    }

    /// Whether an address lies in it; an IPv4-mapped one is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        Network::parse(&format!("{address}/{}", self.prefix_bits)) == Some(*self)
    }

    /// Whether it is a network of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_bits)
    }
}

/// What is to become of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The value of the one `-l` that is to be there; `None`: the addresses stay.
    pub listen: Option<String>,
    /// Whether `-U 0` is to be there.
    pub udp_off: bool,
    /// A `-p` that has to be added, because the TCP port followed the `-U` that goes.
    pub tcp_port: Option<u16>,
}

/// The change that a command line needs, if it needs one.
///
/// A server that demands a log-in may listen where it does. UDP is switched off wherever others
/// reach it: no log-in protects it, and no client needs it.
pub fn change_of(
    options: &Options,
    version: Option<UpstreamVersion>,
    wishes: &Wishes,
    has_ipv6_loopback: bool,
) -> Option<Change> {
    let is_wide = options.breadth()?.is_wide();
    let udp_off = is_wide && options.udp.port().is_some();
    let moves = if wishes.listen.is_empty() {
        is_wide && wishes.allow.is_empty() && !options.demands_log_in()
    } else {
        let hosts: BTreeSet<String> = options
            .listeners
            .iter()
            .map(|listener| listener.host.clone())
            .collect();
        hosts != wishes.listen.iter().map(IpAddr::to_string).collect()
    };
    if !moves && !udp_off {
        return None;
    }
    let follows_udp = options.last('p').is_none() && options.last('U').is_some();
    Some(Change {
        listen: moves.then(|| listen_value(options, version, wishes, has_ipv6_loopback)),
        udp_off,
        tcp_port: (udp_off && follows_udp).then_some(options.tcp_port),
    })
}

/// The addresses as `-l` takes them; ports that listeners had of their own are kept.
fn listen_value(
    options: &Options,
    version: Option<UpstreamVersion>,
    wishes: &Wishes,
    has_ipv6_loopback: bool,
) -> String {
    let mut addresses = wishes.listen.clone();
    if addresses.is_empty() {
        addresses.push(IpAddr::from([127, 0, 0, 1]));
        if has_ipv6_loopback && version.is_none_or(|version| version >= FIRST_WITH_ADDRESS_LIST) {
            addresses.push(IpAddr::from(std::net::Ipv6Addr::LOCALHOST));
        }
    }
    let mut ports: BTreeSet<Option<u16>> = options
        .listeners
        .iter()
        .map(|listener| listener.port)
        .collect();
    if ports.is_empty() {
        ports.insert(None);
    }
    let mut entries = Vec::new();
    for port in ports {
        entries.extend(addresses.iter().map(|address| match (port, address) {
            (None, address) => address.to_string(),
            (Some(port), IpAddr::V4(v4)) => format!("{v4}:{port}"),
            (Some(port), IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        }));
    }
    entries.join(",")
}

/// Whether a listener is written in a way that must not be rewritten: its tags would be lost.
fn has_tags(options: &Options) -> bool {
    let values = options.given.iter().filter(|given| given.letter == 'l');
    values
        .filter_map(|given| given.value.as_deref())
        .any(|value| {
            ["notls:", "mtls:", "proto[", "tag["]
                .iter()
                .any(|tag| value.contains(tag))
        })
}

/// The addresses in an `-l` that others could ask by name, for clients that have to follow.
fn wide_hosts(options: &Options) -> impl Iterator<Item = &str> {
    let hosts = options
        .listeners
        .iter()
        .map(|listener| listener.host.as_str());
    hosts.filter(|host| Breadth::of(host) == Breadth::OneAddress)
}

/// How the lines of a text end.
fn ending_of(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Word;

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.7/24", Some("10.0.0.0/24")),
            ("10.0.0.7", Some("10.0.0.7/32")),
            ("fd00::7/8", Some("fd00::/8")),
            ("0.0.0.0/0", None),
            ("10.0.0.0/33", None),
            ("cache1", None),
        ] {
            let network = Network::parse(text);
            assert_eq!(
                network.map(|network| network.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
        let network = Network::parse("10.0.0.0/24").unwrap();
        assert!(network.contains("::ffff:10.0.0.9".parse().unwrap()));
        assert!(!network.contains("10.0.1.9".parse().unwrap()));
        assert!(!network.contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn the_smallest_change() {
        let old = Some(UpstreamVersion::new(1, 4, 15));
        let older = Some(UpstreamVersion::new(1, 4, 4));
        let new = Some(UpstreamVersion::new(1, 6, 18));
        let none = Wishes::default();
        let listen = Wishes {
            listen: vec!["10.0.0.5".parse().unwrap()],
            ..none.clone()
        };
        let allow = Wishes {
            allow: vec![Network::parse("10.0.0.0/24").unwrap()],
            ..none.clone()
        };
        let change = |listen: Option<&str>, udp_off, tcp_port| {
            Some(Change {
                listen: listen.map(str::to_owned),
                udp_off,
                tcp_port,
            })
        };
        let both = Some("127.0.0.1,::1");
        let cases = [
            ("", old, &none, change(both, true, None)),
            ("", older, &none, change(Some("127.0.0.1"), true, None)),
            ("", new, &none, change(both, false, None)),
            ("", None, &none, change(both, true, None)),
            ("-l 127.0.0.1", old, &none, None),
            (
                "-l 127.0.0.1 -l 0.0.0.0",
                new,
                &none,
                change(both, false, None),
            ),
            ("-U 9", new, &none, change(both, true, Some(9))),
            (
                "-l 10.0.0.1:7",
                new,
                &none,
                change(Some("127.0.0.1:7,[::1]:7"), false, None),
            ),
            ("-S", new, &none, None),
            ("-S", old, &none, change(None, true, None)),
            ("-s /run/x", old, &none, None),
            ("", new, &listen, change(Some("10.0.0.5"), false, None)),
            ("-l 10.0.0.5", new, &listen, None),
            (
                "-l 127.0.0.1",
                new,
                &listen,
                change(Some("10.0.0.5"), false, None),
            ),
            ("", old, &allow, change(None, true, None)),
            ("", new, &allow, None),
        ];
        for (line, version, wishes, expected) in cases {
            let words: Vec<Word> = format!("memcached {line}")
                .split_whitespace()
                .map(Word::bare)
                .collect();
            let options = Options::parse(&words, version);
            assert_eq!(
                change_of(&options, version, wishes, true),
                expected,
                "{line} {wishes:?}"
            );
        }
    }
}
