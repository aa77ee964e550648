//! The query language: what a user types becomes a [`Query`]. docs/query.md is its page for users.

mod error;
mod field;
mod matching;
mod parse;
mod print;
mod value;
mod words;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use model::{Confidence, Severity, Transport, Verdict};

pub use error::QueryError;
pub use field::Field;
pub use matching::address_bytes;
pub use parse::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

/// Values between two ends, both included; an end that is missing is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The least value.
    pub min: Option<T>,
    /// The greatest value.
    pub max: Option<T>,
}

/// What an observation must be. Matching of names, words and text never depends on case.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Everything.
    All,
    /// One term.
    Term(Term),
    /// The opposite.
    Not(Box<Query>),
    /// All of these, at least two.
    And(Vec<Query>),
    /// One of these at least, of at least two.
    Or(Vec<Query>),
}

/// One condition. An observation that does not know the fact never matches, so that
/// `-version:..1.5.6` finds those that gave no version too.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// `port:11211`, `port:11211..11220`.
    Port(Bounds<u16>),
    /// `transport:udp`.
    Transport(Transport),
    /// `verdict:exposed`.
    Verdict(Verdict),
    /// `version:1.5.6`, `version:..1.5.6`, `version:"<1.5.6"`: compared number by number, as
    /// [`version_key`](crate::version_key)s; only upstream's versions have one.
    Version(Bounds<u64>),
    /// `version:"1.4.5_4_gaa7839e"` or another server's own spelling: all of it, `*` and `?`
    /// allowed, as in every text below.
    VersionText(String),
    /// `auth:none`.
    Auth(String),
    /// `protocol:binary`.
    Protocol(String),
    /// `severity:>=high`: of a finding.
    Severity(Bounds<Severity>),
    /// `confidence:confirmed`: of a finding.
    Confidence(Confidence),
    /// `code:MS003`: of a finding.
    Code(String),
    /// `net:10.0.0.0/8`: first and last address as 16 bytes, IPv4 as IPv4-mapped IPv6.
    Net([u8; 16], [u8; 16]),
    /// `amplification:>50`: payload ratio.
    Amplification(Bounds<f64>),
    /// `host:*.example.org`.
    Host(String),
    /// `asn:64500`.
    Asn(u32),
    /// `country:JP`.
    Country(String),
    /// `tag:production`.
    Tag(String),
    /// `owner:"NOC*"`.
    Owner(String),
    /// `source:shodan`.
    Source(String),
    /// `alarm:yes`.
    Alarm(bool),
    /// `run:20261127T0*`.
    Run(String),
    /// `seen:<7d`: when it was seen last.
    Seen(Bounds<SystemTime>),
    /// `first:>2026-01-01`: when the endpoint was seen first by this source.
    First(Bounds<SystemTime>),
    /// A word or a quoted text anywhere.
    Text(String),
}
