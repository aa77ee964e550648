//! Where what was read goes, counted.

use std::net::IpAddr;
use std::time::SystemTime;

use model::{Address, Auth, Contact, Endpoint, Enrichment, Evidence, Hostname, Transport};

use crate::ImportError;
use crate::endpoint::ip_or_zoned;

/// The port that memcached listens on unless told otherwise.
pub(super) const MEMCACHED_PORT: u16 = 11211;

/// What another tool saw of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The tool: `nmap`, `masscan`, `zmap`, `zgrab2`, `shodan`, `censys`, `binaryedge` or
    /// `shadowserver`.
    pub source: &'static str,
    /// When it saw it, as far as it says.
    pub seen: Option<SystemTime>,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The name it was asked by.
    pub hostname: Option<Hostname>,
    /// What it saw, in our words, so that it can be judged like what we saw.
    ///
    /// A port of which a tool only says that it is open has [`model::Contact::Answered`] and no
    /// dialogue: nobody asked whether memcached is behind it, so that it is judged `unfinished`, and
    /// not `other`, which would say that somebody looked.
    pub evidence: Evidence,
    /// What the tool says about the address.
    pub enrichment: Enrichment,
}

impl Foreign {
    /// How much it says about an endpoint: more than another observation of it in the same file with
    /// a smaller number. masscan tells of a banner, and later once more that the port is open. 0 if
    /// nothing answered.
    pub fn weight(&self) -> u8 {
        weight(&self.evidence)
    }
}

/// How much was found out, from nothing to what the server itself did.
fn weight(evidence: &Evidence) -> u8 {
    match (&evidence.contact, &evidence.dialogue) {
        (_, Some(dialogue)) if !dialogue.executed.is_empty() => 4,
        (_, Some(dialogue)) if dialogue.auth != Auth::Unknown => 3,
        (_, Some(_)) => 2,
        (Contact::Answered, None) => 1,
        (_, None) => 0,
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Observations that were given to the caller. An endpoint can be among them more than once,
    /// as when masscan tells of a port and later of its banner.
    pub kept: u64,
    /// Records about something else than memcached, or about no endpoint.
    pub passed_over: u64,
    /// Whether the file ends in the middle of a record, as that of a scan that was broken off.
    pub is_torn: bool,
    /// Bytes of the file, unpacked.
    pub bytes: u64,
}

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Whole,
    Torn,
}

/// Takes the text of a record, with the number of the line on which it begins.
pub(super) type EachText<'e> = dyn FnMut(u64, &[u8]) -> Result<(), ImportError> + 'e;

/// Takes what was read.
pub(super) struct Sink<'a> {
    pub(super) source: &'static str,
    pub(super) tally: &'a mut Tally,
    pub(super) each: &'a mut dyn FnMut(Foreign),
}

impl Sink<'_> {
    pub(super) fn keep(
        &mut self,
        seen: Option<SystemTime>,
        endpoint: Endpoint,
        evidence: Evidence,
    ) {
        self.keep_known(seen, endpoint, evidence, Known::default());
    }

    pub(super) fn keep_known(
        &mut self,
        seen: Option<SystemTime>,
        endpoint: Endpoint,
        evidence: Evidence,
        known: Known,
    ) {
        self.tally.kept += 1;
        (self.each)(Foreign {
            source: self.source,
            seen,
            endpoint,
            hostname: known.hostname,
            evidence,
            enrichment: known.enrichment,
        });
    }

    pub(super) fn pass_over(&mut self) {
        self.tally.passed_over += 1;
    }
}

/// What a tool knows about the host besides its port.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) hostname: Option<Hostname>,
    pub(super) enrichment: Enrichment,
}

/// An address as tools write it.
pub(super) fn address(line: u64, key: &'static str, text: &str) -> Result<Address, ImportError> {
    // The common case first, without looking for a zone.
    if let Ok(IpAddr::V4(ip)) = text.parse::<IpAddr>() {
        return Ok(Address::Ip(IpAddr::V4(ip)));
    }
    ip_or_zoned(text).ok_or(ImportError::WrongValue {
        line,
        key,
        expected: "an IP address",
    })
}

/// A transport, as tools write it; `None` for those that memcached does not know.
pub(super) fn transport(word: &str) -> Option<Transport> {
    if word.eq_ignore_ascii_case("tcp") {
        Some(Transport::Tcp)
    } else if word.eq_ignore_ascii_case("udp") {
        Some(Transport::Udp)
    } else {
        None
    }
}

/// Whether the name of a service, product or module means memcached.
pub(super) fn means_memcached(name: &str) -> bool {
    name.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("memcache"))
}
