//! What a query means: whether an observation is as it says.

use std::net::IpAddr;
use std::time::SystemTime;

use super::{Bounds, Query, Term};
use crate::{Observation, fold, glob_matches, version_key};

impl<T: PartialOrd> Bounds<T> {
    /// Whether a value lies between the ends.
    pub fn contains(&self, value: &T) -> bool {
        self.min.as_ref().is_none_or(|min| value >= min)
            && self.max.as_ref().is_none_or(|max| value <= max)
    }
}

impl Query {
    /// Whether an observation is as the query says; `first_seen` is when its source saw the
    /// endpoint for the first time. This is the one definition of what a query means.
    pub fn matches(&self, seen: &Observation, first_seen: SystemTime) -> bool {
        match self {
            Query::All => true,
            Query::Term(term) => term.matches(seen, first_seen),
            Query::Not(query) => !query.matches(seen, first_seen),
            Query::And(queries) => queries.iter().all(|query| query.matches(seen, first_seen)),
            Query::Or(queries) => queries.iter().any(|query| query.matches(seen, first_seen)),
        }
    }
}

impl Term {
    /// Whether an observation meets this one condition.
    pub fn matches(&self, seen: &Observation, first_seen: SystemTime) -> bool {
        let endpoint = &seen.endpoint;
        match self {
            Term::Port(bounds) => bounds.contains(&endpoint.port),
            Term::Transport(transport) => endpoint.transport == *transport,
            Term::Verdict(verdict) => seen.verdict == Some(*verdict),
            Term::Version(bounds) => {
                let key = seen.version.as_deref().and_then(version_key);
                key.is_some_and(|key| bounds.contains(&key))
            }
            Term::VersionText(pattern) => is_like(pattern, seen.version.as_deref()),
            Term::Auth(word) => is_like(word, seen.auth.as_deref()),
            Term::Protocol(word) => is_like(word, seen.protocol.as_deref()),
            Term::Severity(bounds) => {
                let mut findings = seen.findings.iter();
                findings.any(|finding| bounds.contains(&finding.severity))
            }
            Term::Confidence(confidence) => {
                let mut findings = seen.findings.iter();
                findings.any(|finding| finding.confidence == *confidence)
            }
            Term::Code(pattern) => {
                let mut findings = seen.findings.iter();
                findings.any(|finding| glob_matches(pattern, &finding.code))
            }
            Term::Net(first, last) => {
                let address = endpoint.address.ip().map(address_bytes);
                address.is_some_and(|address| (*first..=*last).contains(&address))
            }
            Term::Amplification(bounds) => seen
                .payload_ratio
                .is_some_and(|ratio| bounds.contains(&ratio)),
            Term::Host(pattern) => is_like(pattern, seen.hostname.as_deref()),
            Term::Asn(asn) => seen.asn == Some(*asn),
            Term::Country(country) => is_like(country, seen.country.as_deref()),
            Term::Tag(pattern) => seen.tags.iter().any(|tag| glob_matches(pattern, tag)),
            Term::Owner(pattern) => is_like(pattern, seen.owner.as_deref()),
            Term::Source(pattern) => glob_matches(pattern, &seen.source),
            Term::Alarm(alarm) => seen.alarm == *alarm,
            Term::Run(pattern) => glob_matches(pattern, &seen.run),
            Term::Seen(bounds) => bounds.contains(&seen.seen),
            Term::First(bounds) => bounds.contains(&first_seen),
            Term::Text(text) => seen.text.contains(&fold(text)),
        }
    }
}

/// Whether a fact that may be unknown is as a pattern says.
fn is_like(pattern: &str, fact: Option<&str>) -> bool {
    fact.is_some_and(|fact| glob_matches(pattern, fact))
}

/// An address as 16 bytes, by which networks are compared: IPv4 as IPv4-mapped IPv6
/// (RFC 4291 section 2.5.5.2).
pub fn address_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
