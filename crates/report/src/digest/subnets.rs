//! Networks as maps of their addresses: a /24 of IPv4, a /64 of IPv6.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Record, Verdict};

/// Networks that are kept apart.
const KEPT_MAX: usize = 4_096;
/// Networks that are shown.
const SHOWN_MAX: usize = 64;
/// Addresses of one /64 that are kept apart.
const ADDRESSES_MAX: usize = 256;

/// A network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Network {
    /// The first three octets of a /24.
    V4([u8; 3]),
    /// The upper half of the addresses of a /64.
    V6(u64),
}

/// What a map shows of an address; of several endpoints the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Exposed, and an alarm.
    Alarm,
    /// Exposed, and no alarm.
    Exposed,
    /// Not judged to the end.
    Unfinished,
    /// Demands credentials.
    Protected,
    /// A honeypot.
    Decoy,
    /// Something else.
    Other,
    /// Nobody, or nobody who answers.
    Shut,
}

impl Mark {
    /// All, in the order of a legend.
    pub(crate) const ALL: [Mark; 7] = [
        Mark::Alarm,
        Mark::Exposed,
        Mark::Unfinished,
        Mark::Protected,
        Mark::Decoy,
        Mark::Other,
        Mark::Shut,
    ];

    fn of(record: &Record) -> Mark {
        match record.judgement.verdict {
            Verdict::Exposed if record.alarm => Mark::Alarm,
            Verdict::Exposed => Mark::Exposed,
            Verdict::Unfinished => Mark::Unfinished,
            Verdict::Protected => Mark::Protected,
            Verdict::Decoy => Mark::Decoy,
            Verdict::Other => Mark::Other,
            Verdict::Closed | Verdict::Filtered | Verdict::Silent | Verdict::Absent => Mark::Shut,
        }
    }

    /// The sign that stands for it, so that no colour is needed.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Mark::Alarm => "!",
            Mark::Exposed => "E",
            Mark::Unfinished => "?",
            Mark::Protected => "P",
            Mark::Decoy => "D",
            Mark::Other => "O",
            Mark::Shut => "·",
        }
    }

    /// What it means, English and Japanese.
    pub(crate) fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Mark::Alarm => ("exposed", "exposed（要対処）"),
            Mark::Exposed => ("exposed, no alarm", "exposed（警報なし）"),
            Mark::Unfinished => ("unfinished", "unfinished（未完了）"),
            Mark::Protected => ("protected", "protected（認証あり）"),
            Mark::Decoy => ("decoy", "decoy（おとり）"),
            Mark::Other => ("other", "other（memcached 以外）"),
            Mark::Shut => (
                "closed, filtered, silent or absent",
                "closed・filtered・silent・absent",
            ),
        }
    }
}

/// The marks of a network, by the last octet, or by the lower half of the address.
#[derive(Default)]
pub(crate) struct Cells {
    marks: BTreeMap<u64, Mark>,
    /// Addresses that are not kept.
    left_out: u64,
}

impl Cells {
    /// The marks, in the order of their addresses.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Mark)> {
        self.marks.iter().map(|(place, mark)| (*place, *mark))
    }

    /// How many addresses have this mark.
    pub(crate) fn count(&self, mark: Mark) -> u64 {
        self.marks.values().filter(|one| **one == mark).count() as u64
    }

    /// Addresses that have no mark because there are too many.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Whether anybody answered.
    fn has_answers(&self) -> bool {
        self.marks.values().any(|mark| *mark != Mark::Shut)
    }

    fn add(&mut self, place: u64, mark: Mark) {
        if let Some(known) = self.marks.get_mut(&place) {
            *known = mark.min(*known);
        } else if self.marks.len() < ADDRESSES_MAX {
            self.marks.insert(place, mark);
        } else {
            self.left_out += 1;
        }
    }
}

/// The networks of a run.
#[derive(Default)]
pub(crate) struct Subnets {
    networks: BTreeMap<Network, Cells>,
}

impl Subnets {
    pub(super) fn add(&mut self, record: &Record) {
        let Some(ip) = record.endpoint.address.ip() else {
            return;
        };
        let (network, place) = Network::of(ip);
        if self.networks.len() < KEPT_MAX || self.networks.contains_key(&network) {
            let cells = self.networks.entry(network).or_default();
            cells.add(place, Mark::of(record));
        }
    }

    /// The networks in which anybody answered, in the order of their addresses: of too many, those
    /// with most alarms. Then how many are not shown.
    pub(crate) fn shown(&self) -> (Vec<(Network, &Cells)>, u64) {
        let mut networks: Vec<(Network, &Cells)> = self
            .networks
            .iter()
            .filter(|(_, cells)| cells.has_answers())
            .map(|(network, cells)| (*network, cells))
            .collect();
        networks.sort_by_key(|(network, cells)| {
            let (alarms, exposed) = (cells.count(Mark::Alarm), cells.count(Mark::Exposed));
            (Reverse(alarms), Reverse(exposed), *network)
        });
        let left_out = networks.len().saturating_sub(SHOWN_MAX) as u64;
        networks.truncate(SHOWN_MAX);
        networks.sort_by_key(|(network, _)| *network);
        (networks, left_out)
    }
}

impl Network {
    /// The network of an address, and its place there.
    fn of(ip: IpAddr) -> (Network, u64) {
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                (Network::V4([a, b, c]), u64::from(d))
            }
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                (Network::V6((bits >> 64) as u64), bits as u64)
            }
        }
    }

    /// The address at a place.
    pub(crate) fn address(self, place: u64) -> IpAddr {
        match self {
            Network::V4([a, b, c]) => Ipv4Addr::new(a, b, c, place as u8).into(),
            Network::V6(upper) => {
                Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(place)).into()
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match self {
            Network::V4(_) => 24,
            Network::V6(_) => 64,
        };
        write!(formatter, "{}/{length}", self.address(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_place_and_back() {
        for (ip, network, place) in [
            ("192.168.2.7", "192.168.2.0/24", 7),
            ("10.0.0.255", "10.0.0.0/24", 255),
            ("2001:db8::1", "2001:db8::/64", 1),
            (
                "2001:db8:0:1:ffff:ffff:ffff:ffff",
                "2001:db8:0:1::/64",
                u64::MAX,
            ),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let (found, at) = Network::of(ip);
            assert_eq!((found.to_string().as_str(), at), (network, place));
            assert_eq!(found.address(at), ip);
        }
    }

    #[test]
    fn the_worst_endpoint_marks_an_address_and_too_many_are_counted() {
        let mut cells = Cells::default();
        cells.add(1, Mark::Shut);
        assert!(!cells.has_answers());
        cells.add(1, Mark::Alarm);
        cells.add(1, Mark::Protected);
        assert_eq!(cells.iter().collect::<Vec<_>>(), [(1, Mark::Alarm)]);
        for place in 0..300 {
            cells.add(place, Mark::Other);
        }
        assert_eq!(cells.left_out(), 300 - ADDRESSES_MAX as u64);
        assert_eq!(cells.count(Mark::Alarm), 1);
    }
}
