//! How often each value of a fact occurs among what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Endpoint;

use crate::Observation;

/// Different values that are counted one by one; what comes after them is counted as others.
pub const FACET_VALUES_MAX: usize = 65_536;
/// The most facets of one search.
pub const FACETS_MAX: usize = 16;
/// The length of a network if none is named.
const NETWORK_BITS: u8 = 24;
/// IPv6 networks where the length is one of IPv4: a subnet (RFC 4291 section 2.5.4).
const SUBNET_BITS: u8 = 64;

/// Facets of one fact; `net/24` stands beside them.
const NAMES: [(&str, Facet); 18] = [
    ("version", Facet::Version),
    ("verdict", Facet::Verdict),
    ("port", Facet::Port),
    ("transport", Facet::Transport),
    ("address", Facet::Address),
    ("host", Facet::Host),
    ("country", Facet::Country),
    ("asn", Facet::Asn),
    ("owner", Facet::Owner),
    ("tag", Facet::Tag),
    ("code", Facet::Code),
    ("severity", Facet::Severity),
    ("auth", Facet::Auth),
    ("protocol", Facet::Protocol),
    ("source", Facet::Source),
    ("run", Facet::Run),
    ("alarm", Facet::Alarm),
    ("net", Facet::Net(NETWORK_BITS)),
];

/// A fact whose values are counted. The values are spelled as queries take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facet {
    /// The version that the server gives itself, verbatim.
    Version,
    /// The verdict.
    Verdict,
    /// The port.
    Port,
    /// The transport.
    Transport,
    /// The address by itself.
    Address,
    /// The host's name.
    Host,
    /// The network of so many bits; up to 32 bits it is one of IPv4, and IPv6 addresses are
    /// counted by subnets of 64; above 32 only IPv6 addresses have a value.
    Net(u8),
    /// The country.
    Country,
    /// The autonomous system.
    Asn,
    /// Who administers it.
    Owner,
    /// Each of the administrator's words.
    Tag,
    /// Each rule that fired.
    Code,
    /// The worst severity among the findings.
    Severity,
    /// What the server demands.
    Auth,
    /// How it was spoken to.
    Protocol,
    /// Who saw it.
    Source,
    /// The run.
    Run,
    /// Whether it counts as an alarm.
    Alarm,
}

/// Why facets could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacetError {
    /// No facet of this name.
    #[error("there is no facet {name:?}; the facets are {}", names())]
    Unknown {
        /// What was written.
        name: String,
    },
    /// A network longer than an address.
    #[error("{name:?} is no length of a network; write net/24, or net/48 for IPv6")]
    Bits {
        /// What was written.
        name: String,
    },
    /// More than are counted at once.
    #[error("at most {FACETS_MAX} facets are counted at once")]
    TooMany,
}

fn names() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

impl Facet {
    /// The facet of a name such as `version` or `net/24`.
    pub fn parse(text: &str) -> Result<Facet, FacetError> {
        let lower = text.trim().to_ascii_lowercase();
        let name = || text.chars().take(40).collect();
        if let Some(bits) = lower.strip_prefix("net/") {
            // Digits only: "+8" would be taken for a number too.
            let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
            return match bits.parse() {
                Ok(bits @ 1..=128) if is_number => Ok(Facet::Net(bits)),
                _ => Err(FacetError::Bits { name: name() }),
            };
        }
        let found = NAMES.iter().find(|(name, _)| *name == lower);
        let unknown = || FacetError::Unknown { name: name() };
        found.map(|(_, facet)| *facet).ok_or_else(unknown)
    }

    /// Facets between commas, each once.
    pub fn parse_list(text: &str) -> Result<Vec<Facet>, FacetError> {
        let mut facets = Vec::new();
        for part in text.split(',') {
            let facet = Facet::parse(part)?;
            if facets.contains(&facet) {
                continue;
            }
            if facets.len() == FACETS_MAX {
                return Err(FacetError::TooMany);
            }
            facets.push(facet);
        }
        Ok(facets)
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Facet::Net(bits) = self {
            return write!(formatter, "net/{bits}");
        }
        let found = NAMES.iter().find(|(_, facet)| facet == self);
        formatter.write_str(found.map_or("", |(name, _)| name))
    }
}

/// The values that an observation has for a facet; none if the fact is unknown.
pub fn facet_values(seen: &Observation, facet: Facet) -> Vec<String> {
    let one = |value: Option<String>| value.into_iter().collect();
    match facet {
        Facet::Version => one(seen.version.clone()),
        Facet::Verdict => one(seen.verdict.map(|verdict| verdict.to_string())),
        Facet::Port => vec![seen.endpoint.port.to_string()],
        Facet::Transport => vec![seen.endpoint.transport.to_string()],
        Facet::Address => vec![seen.endpoint.address.to_string()],
        Facet::Host => one(seen.hostname.clone()),
        Facet::Net(bits) => one(facet_network(&seen.endpoint, bits)),
        Facet::Country => one(seen.country.clone()),
        Facet::Asn => one(seen.asn.map(|asn| format!("AS{asn}"))),
        Facet::Owner => one(seen.owner.clone()),
        Facet::Tag => seen.tags.clone(),
        Facet::Code => {
            let codes = seen.findings.iter().map(|finding| finding.code.clone());
            let mut codes: Vec<String> = codes.collect();
            codes.sort();
            codes.dedup();
            codes
        }
        Facet::Severity => one(seen.worst().map(|severity| severity.to_string())),
        Facet::Auth => one(seen.auth.clone()),
        Facet::Protocol => one(seen.protocol.clone()),
        Facet::Source => vec![seen.source.to_string()],
        Facet::Run => vec![seen.run.to_string()],
        Facet::Alarm => vec![(if seen.alarm { "yes" } else { "no" }).to_owned()],
    }
}

/// The network that an address lies in, as [`Facet::Net`] counts it.
pub fn facet_network(endpoint: &Endpoint, bits: u8) -> Option<String> {
    match endpoint.address.ip()? {
        IpAddr::V4(ip) => {
            let host_bits = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(format!(
                "{}/{bits}",
                Ipv4Addr::from_bits(ip.to_bits() & mask)
            ))
        }
        IpAddr::V6(ip) => {
            let bits = if bits <= 32 { SUBNET_BITS } else { bits };
            let host_bits = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(format!(
                "{}/{bits}",
                Ipv6Addr::from_bits(ip.to_bits() & mask)
            ))
        }
    }
}

/// Counts of one facet's values, in bounded memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetCounts {
    facet: Facet,
    counts: BTreeMap<String, u64>,
    others: u64,
    unknown: u64,
}

impl FacetCounts {
    /// Nothing counted yet.
    pub fn new(facet: Facet) -> FacetCounts {
        FacetCounts {
            facet,
            counts: BTreeMap::new(),
            others: 0,
            unknown: 0,
        }
    }

    /// What is counted.
    pub fn facet(&self) -> Facet {
        self.facet
    }

    /// Counts an observation: each of its values, or that it has none.
    pub fn add(&mut self, seen: &Observation) {
        let values = facet_values(seen, self.facet);
        if values.is_empty() {
            self.unknown += 1;
        }
        for value in values {
            self.add_value(value, 1);
        }
    }

    /// Counts a value that was counted elsewhere, such as by a database.
    pub fn add_value(&mut self, value: String, count: u64) {
        if let Some(counted) = self.counts.get_mut(&value) {
            *counted += count;
        } else if self.counts.len() < FACET_VALUES_MAX {
            self.counts.insert(value, count);
        } else {
            self.others += count;
        }
    }

    /// Counts observations that have no value.
    pub fn add_unknown(&mut self, count: u64) {
        self.unknown += count;
    }

    /// The most frequent values, the first of equals by its spelling.
    pub fn top(&self, limit: usize) -> Vec<(&str, u64)> {
        let counts = self.counts.iter();
        let mut values: Vec<(&str, u64)> = counts
            .map(|(value, count)| (value.as_str(), *count))
            .collect();
        // The map is in order of the values, and the sort keeps it among equals.
        values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        values.truncate(limit);
        values
    }

    /// How many different values were counted one by one.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// How often any value occurred that [`FacetCounts::top`] of this limit leaves out.
    pub fn others(&self, limit: usize) -> u64 {
        let all: u64 = self.counts.values().sum();
        let shown: u64 = self.top(limit).iter().map(|(_, count)| count).sum();
        all - shown + self.others
    }

    /// How many observations have no value.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }
}

#[cfg(test)]
mod tests {
    use model::Address;

    use super::*;
    use crate::samples;

    #[test]
    fn each_facet_has_its_values() {
        let seen = Observation::of(&samples::exposed_udp());
        for (text, values) in [
            ("version", &["1.4.15"][..]),
            ("verdict", &["exposed"]),
            ("port", &["11211"]),
            ("transport", &["udp"]),
            ("address", &["192.168.2.9"]),
            ("host", &["cache1.example.org"]),
            ("net", &["192.168.2.0/24"]),
            ("net/16", &["192.168.0.0/16"]),
            ("NET/32", &["192.168.2.9/32"]),
            ("net/48", &[]),
            ("country", &["JP"]),
            ("asn", &["AS64500"]),
            ("owner", &["NOC One"]),
            ("tag", &["backup", "production"]),
            ("code", &["MS001", "MS002"]),
            ("severity", &["high"]),
            ("auth", &["none"]),
            ("protocol", &["ascii"]),
            ("source", &["memsweep"]),
            ("run", &["20261127T000000-1"]),
            (" alarm ", &["yes"]),
        ] {
            let facet = Facet::parse(text).unwrap();
            assert_eq!(facet_values(&seen, facet), values, "{text}");
            assert_eq!(Facet::parse(&facet.to_string()), Ok(facet));
        }
    }

    #[test]
    fn networks_of_ipv6_are_subnets_unless_longer_ones_are_named() {
        let mut seen = Observation::of(&samples::exposed_udp());
        seen.endpoint.address = Address::from_ip("2001:db8:1:2:3::4".parse().unwrap());
        for (text, network) in [
            ("net/24", "2001:db8:1:2::/64"),
            ("net/48", "2001:db8:1::/48"),
            ("net/128", "2001:db8:1:2:3::4/128"),
        ] {
            let facet = Facet::parse(text).unwrap();
            assert_eq!(facet_values(&seen, facet), [network], "{text}");
        }
    }

    #[test]
    fn lists_are_read_and_mistakes_named() {
        let facets = Facet::parse_list("version, net/24,version").unwrap();
        assert_eq!(facets, [Facet::Version, Facet::Net(24)]);
        for (text, part) in [
            ("", "the facets are version"),
            ("versoin", "there is no facet \"versoin\""),
            ("version,,net", "there is no facet \"\""),
            ("net/0", "no length of a network"),
            ("net/129", "no length of a network"),
            ("net/+8", "no length of a network"),
            ("net/24x", "no length of a network"),
        ] {
            let error = Facet::parse_list(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let many: Vec<String> = (1..=17).map(|bits| format!("net/{bits}")).collect();
        assert_eq!(Facet::parse_list(&many.join(",")), Err(FacetError::TooMany));
    }

    #[test]
    fn counts_are_sorted_and_nothing_is_lost() {
        let mut seen = Observation::of(&samples::exposed_udp());
        let mut counts = FacetCounts::new(Facet::Version);
        for version in [Some("b"), Some("a"), None, Some("c"), Some("c")] {
            seen.version = version.map(str::to_owned);
            counts.add(&seen);
        }
        assert_eq!(counts.top(2), [("c", 2), ("a", 1)]);
        assert_eq!(
            (counts.others(2), counts.unknown(), counts.distinct()),
            (1, 1, 3)
        );
        assert_eq!(counts.others(10), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut counts = FacetCounts::new(Facet::Version);
        for number in 0..FACET_VALUES_MAX + 10 {
            counts.add_value(number.to_string(), 2);
        }
        counts.add_value("0".to_owned(), 1);
        assert_eq!(counts.distinct(), FACET_VALUES_MAX);
        assert_eq!(counts.top(1), [("0", 3)]);
        assert_eq!(counts.others(FACET_VALUES_MAX), 20);
    }
}
