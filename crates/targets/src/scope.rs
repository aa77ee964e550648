//! Which networks this user administers, and the check that every selection must pass.
//!
//! Loopback, link-local, RFC 1918 and unique local addresses are free. Everything else that can be
//! a host, shared address space (100.64.0.0/10) and the documentation ranges included, needs an
//! entry that somebody wrote down with an owner. What can never be a host is refused even with one.

mod day;
mod permit;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use model::{AddressKind, Hostname, canonical_ip};
use thiserror::Error;

pub use day::Day;
pub use permit::{LinkPermit, Permit, Permitted};

use crate::parse::parse_ip;
use crate::range::{
    AddressRange, RangeError, common_prefix_bits, find, full_prefix_bits, mapped_prefix_bits,
    normalize, subtract, successor,
};
use crate::selection::Selection;

/// The shortest prefix of an entry for IPv4, in bits.
const IPV4_PREFIX_BITS_MIN: u8 = 8;
/// The shortest prefix of an entry for IPv6, in bits: what a provider usually holds.
const IPV6_PREFIX_BITS_MIN: u8 = 32;
/// The prefix that a message proposes for one IPv4 address, in bits.
const IPV4_PREFIX_BITS_PROPOSED: u8 = 24;
/// The prefix that a message proposes for one IPv6 address, in bits.
const IPV6_PREFIX_BITS_PROPOSED: u8 = 64;

/// The networks whose addresses are free to scan; the same as [`AddressKind::is_free_to_scan`], in
/// the form that ranges are compared with.
const FREE: [(IpAddr, u8); 8] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// The networks in which no host can be; the same as [`AddressKind::NotAHost`].
const NO_HOSTS: [(IpAddr, u8); 5] = [
    (IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::new(240, 0, 0, 0)), 4),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Why a text is no scope entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// Neither an address nor a network.
    #[error("{typed:?}: {problem}")]
    NoNetwork {
        /// What was written.
        typed: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Bits are set behind the prefix.
    #[error(
        "{typed:?}: bits are set behind the prefix; write {network} for the network or {address} for the host"
    )]
    HostBits {
        /// What was written.
        typed: String,
        /// The network that it lies in.
        network: String,
        /// The address as it stands.
        address: IpAddr,
    },
    /// A prefix that is too short to be one administrator's.
    #[error(
        "{network}: a scope entry is /{prefix_bits_min} or longer; list the networks you administer one by one"
    )]
    TooWide {
        /// The network.
        network: String,
        /// The shortest prefix of this family.
        prefix_bits_min: u8,
    },
    /// A network in which no host can be.
    #[error("{network}: touches {reserved}, where no host can be")]
    NoHosts {
        /// The network.
        network: String,
        /// The reserved network that it touches.
        reserved: String,
    },
    /// No date of the calendar.
    #[error("{0:?} is no date; write YYYY-MM-DD, such as 2030-12-31")]
    NoDay(String),
}

/// A network in CIDR form that may stand in a scope entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    range: AddressRange,
    prefix_bits: u8,
}

impl Network {
    /// Reads `203.0.113.0/24`, `2001:db8::/48` or a single address. An IPv4-mapped spelling is the
    /// IPv4 network.
    pub fn parse(text: &str) -> Result<Network, ScopeError> {
        let no_network = |problem: String| ScopeError::NoNetwork {
            typed: text.to_owned(),
            problem,
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let ip = parse_ip(address).map_err(no_network)?;
        let Some(prefix) = prefix else {
            return Network::new(ip, full_prefix_bits(ip));
        };
        let prefix_bits_max = full_prefix_bits(ip);
        let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix_bits = prefix
            .parse::<u8>()
            .ok()
            .filter(|bits| is_number && *bits <= prefix_bits_max)
            .ok_or_else(|| {
                no_network(format!(
                    "{prefix:?} is no prefix length (0-{prefix_bits_max})"
                ))
            })?;
        let range = AddressRange::of_prefix(ip, prefix_bits)
            .map_err(|problem: RangeError| no_network(problem.to_string()))?;
        let canonical = canonical_ip(ip);
        if range.first != canonical {
            return Err(ScopeError::HostBits {
                typed: text.to_owned(),
                network: range.to_string(),
                address: canonical,
            });
        }
        Network::new(ip, prefix_bits)
    }

    /// The network that `ip` lies in, given its prefix length in bits (counted in IPv6 bits if `ip`
    /// is IPv4-mapped), if it may be a scope entry.
    pub fn new(ip: IpAddr, prefix_bits: u8) -> Result<Network, ScopeError> {
        let range =
            AddressRange::of_prefix(ip, prefix_bits).map_err(|problem| ScopeError::NoNetwork {
                typed: format!("{ip}/{prefix_bits}"),
                problem: problem.to_string(),
            })?;
        let was_mapped = ip.is_ipv6() && range.first.is_ipv4();
        let prefix_bits = if was_mapped {
            mapped_prefix_bits(prefix_bits).unwrap_or(0)
        } else {
            prefix_bits
        };
        let network = Network { range, prefix_bits };
        let prefix_bits_min = if range.first.is_ipv4() {
            IPV4_PREFIX_BITS_MIN
        } else {
            IPV6_PREFIX_BITS_MIN
        };
        if prefix_bits < prefix_bits_min {
            return Err(ScopeError::TooWide {
                network: network.to_string(),
                prefix_bits_min,
            });
        }
        for (reserved_ip, reserved_bits) in NO_HOSTS {
            if block(reserved_ip, reserved_bits).overlaps(&range) {
                return Err(ScopeError::NoHosts {
                    network: network.to_string(),
                    reserved: format!("{reserved_ip}/{reserved_bits}"),
                });
            }
        }
        Ok(network)
    }

    /// Its lowest address.
    pub fn first(&self) -> IpAddr {
        self.range.first
    }

    /// The length of its prefix in bits.
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    /// Its addresses.
    pub fn range(&self) -> AddressRange {
        self.range
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.range.contains(ip)
    }
}

impl FromStr for Network {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Network, ScopeError> {
        Network::parse(text)
    }
}

/// CIDR form, the prefix of a single address included.
impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.range.first, self.prefix_bits)
    }
}

/// One network that somebody answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeEntry {
    /// The network.
    pub network: Network,
    /// Who answers for it, as written down.
    pub owner: String,
    /// The last day on which the entry counts; `None` if it does not expire.
    pub until: Option<Day>,
    /// The file that it was read from, for messages.
    pub source: String,
}

/// The entries that were read, and what day it is.
#[derive(Clone, Debug)]
pub struct Scope {
    entries: Vec<ScopeEntry>,
    today: Day,
    /// What may be scanned: the free networks and those of the entries that have not expired.
    /// Merged and ascending, so that entries combine to cover a range.
    allowed: Vec<AddressRange>,
}

impl Scope {
    /// The scope made of these entries on this day. An entry whose last day is before `today` does
    /// not count; it is remembered for the message.
    pub fn new(entries: Vec<ScopeEntry>, today: Day) -> Scope {
        let mut allowed = free_ranges();
        allowed.extend(
            entries
                .iter()
                .filter(|entry| counts(entry, today))
                .map(|entry| entry.network.range),
        );
        normalize(&mut allowed);
        // Neither list reaches into the networks without hosts; taking them out again keeps that
        // true even if one of them is edited.
        let mut no_hosts: Vec<AddressRange> = NO_HOSTS
            .into_iter()
            .map(|(ip, bits)| block(ip, bits))
            .collect();
        normalize(&mut no_hosts);
        let allowed = subtract(&allowed, &no_hosts);
        Scope {
            entries,
            today,
            allowed,
        }
    }

    /// All entries, expired ones included, as they were given.
    pub fn entries(&self) -> &[ScopeEntry] {
        &self.entries
    }

    /// The entry that covers an address today, the most specific if there are several; an address
    /// that is free to scan may have none.
    pub fn covering(&self, address: IpAddr) -> Option<&ScopeEntry> {
        self.entries
            .iter()
            .filter(|entry| counts(entry, self.today) && entry.network.contains(address))
            .max_by_key(|entry| entry.network.prefix_bits)
    }

    /// Lets a selection pass if every one of its addresses may be scanned; otherwise names the
    /// first that may not. The only way to a [`Permit`].
    pub fn permit(&self, selection: Selection) -> Result<Permit, OutOfScope> {
        self.check(&selection)?;
        let ranges: Vec<AddressRange> = selection.ranges().collect();
        let entries = self.entries_used(&ranges);
        Ok(Permit::mint(selection, entries))
    }

    /// Whether a selection would pass, for a caller that has something to do first.
    pub fn check(&self, selection: &Selection) -> Result<(), OutOfScope> {
        let hostname = |address| {
            let address = model::Address::from_ip(address);
            selection.hostname(&address).cloned()
        };
        for range in selection.ranges() {
            if let Some(address) = self.first_outside(&range) {
                return Err(self.out_of_scope(address, &range, hostname(address)));
            }
        }
        for pair in selection.singles() {
            // A selection keeps a zone only on link-local addresses, which are free; the check is
            // here so that this does not rest on another file.
            if let Some(ip) = pair.address.ip()
                && let Some(address) = self.first_outside(&AddressRange::single(ip))
            {
                let range = AddressRange::single(ip);
                return Err(self.out_of_scope(address, &range, hostname(address)));
            }
        }
        Ok(())
    }

    /// Lets the link of an interface be asked for its hosts of `range`, if every address of the
    /// range may be scanned, whoever is there; otherwise names the first that may not. The only way
    /// to a [`LinkPermit`].
    ///
    /// # Panics
    ///
    /// If the range is one of IPv4, whose links are asked for every address by itself.
    pub fn permit_link(
        &self,
        interface: Arc<str>,
        range: AddressRange,
    ) -> Result<LinkPermit, OutOfScope> {
        assert!(range.first.is_ipv6(), "a link is asked for IPv6 hosts");
        match self.first_outside(&range) {
            Some(address) => Err(self.out_of_scope(address, &range, None)),
            None => {
                let entries = self.entries_used(&[range]);
                Ok(LinkPermit::mint(interface, range, entries))
            }
        }
    }

    /// The lowest address of the range that may not be scanned.
    fn first_outside(&self, range: &AddressRange) -> Option<IpAddr> {
        let Some(allowed) = find(&self.allowed, range.first) else {
            return Some(range.first);
        };
        if allowed.last >= range.last {
            return None;
        }
        // The list is merged, so whatever follows directly is not allowed.
        successor(allowed.last)
    }

    /// The entries without which these ranges would not have passed, or would have with others.
    fn entries_used(&self, ranges: &[AddressRange]) -> Vec<ScopeEntry> {
        let mut free = free_ranges();
        normalize(&mut free);
        let in_need = subtract(ranges, &free);
        let is_used = |entry: &&ScopeEntry| {
            let network = entry.network.range;
            let after = in_need.partition_point(|range| range.first <= network.last);
            counts(entry, self.today)
                && in_need[..after]
                    .last()
                    .is_some_and(|range| range.last >= network.first)
        };
        self.entries.iter().filter(is_used).cloned().collect()
    }

    fn out_of_scope(
        &self,
        address: IpAddr,
        range: &AddressRange,
        hostname: Option<Hostname>,
    ) -> OutOfScope {
        let expired = self
            .entries
            .iter()
            .filter(|entry| entry.network.contains(address))
            .filter_map(|entry| entry.until.map(|until| (until, entry)))
            .max_by_key(|(until, _)| *until);
        let reason = if AddressKind::of(address) == AddressKind::NotAHost {
            OutOfScopeReason::NotAHost
        } else if let Some((until, entry)) = expired {
            OutOfScopeReason::Expired {
                network: entry.network,
                until,
                source: entry.source.clone(),
            }
        } else {
            OutOfScopeReason::NoEntry {
                proposal: proposal(address, range),
            }
        };
        OutOfScope {
            address,
            hostname,
            reason,
        }
    }
}

/// The address that keeps a selection from being scanned, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct OutOfScope {
    /// The first address that is out of scope.
    pub address: IpAddr,
    /// The host name that it was named by.
    pub hostname: Option<Hostname>,
    /// Why.
    pub reason: OutOfScopeReason,
}

/// Why an address is out of scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfScopeReason {
    /// Nothing can live there, and no entry can change it.
    NotAHost,
    /// No entry covers it.
    NoEntry {
        /// What an entry could be written for, if an entry can cover the address at all.
        proposal: Option<Network>,
    },
    /// The entry that covered it has expired.
    Expired {
        /// The entry's network.
        network: Network,
        /// Its last day.
        until: Day,
        /// The file that it was read from.
        source: String,
    },
}

/// One line that names the address and the mend.
impl fmt::Display for OutOfScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.address)?;
        if let Some(hostname) = &self.hostname {
            write!(formatter, " ({hostname})")?;
        }
        match &self.reason {
            OutOfScopeReason::NotAHost => write!(
                formatter,
                " cannot be a host (it is unspecified, multicast or reserved) and is never scanned"
            ),
            OutOfScopeReason::NoEntry {
                proposal: Some(network),
            } => write!(
                formatter,
                " is outside the scope: add it with `memsweep scope add {network} --owner \"…\"` if you administer it"
            ),
            OutOfScopeReason::NoEntry { proposal: None } => {
                write!(formatter, " is outside the scope")
            }
            OutOfScopeReason::Expired {
                network,
                until,
                source,
            } => write!(
                formatter,
                " is outside the scope: the entry {network} in {source} expired on {until}; change its `until` if you still administer it"
            ),
        }
    }
}

/// Whether an entry has not expired.
fn counts(entry: &ScopeEntry, today: Day) -> bool {
    entry.until.is_none_or(|until| until >= today)
}

fn free_ranges() -> Vec<AddressRange> {
    FREE.into_iter().map(|(ip, bits)| block(ip, bits)).collect()
}

/// A network of the tables above, whose prefixes are right; one that was not would shrink to an
/// address, and the tests of the tables would say so.
fn block(ip: IpAddr, prefix_bits: u8) -> AddressRange {
    AddressRange::of_prefix(ip, prefix_bits).unwrap_or(AddressRange::single(ip))
}

/// What to write down so that `address` gets into the scope: its usual network, or the one that the
/// selected range fills if that is larger.
fn proposal(address: IpAddr, range: &AddressRange) -> Option<Network> {
    let (usual_bits, bits_min) = if address.is_ipv4() {
        (IPV4_PREFIX_BITS_PROPOSED, IPV4_PREFIX_BITS_MIN)
    } else {
        (IPV6_PREFIX_BITS_PROPOSED, IPV6_PREFIX_BITS_MIN)
    };
    let bits = common_prefix_bits(range.first, range.last).clamp(bits_min, usual_bits);
    // The usual network of `::5` holds `::`, which no entry may.
    Network::new(address, bits)
        .or_else(|_| Network::new(address, full_prefix_bits(address)))
        .ok()
}

#[cfg(test)]
mod tests;
