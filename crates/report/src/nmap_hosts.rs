//! The hosts of a run as nmap's layouts for programs list them: sorted by address, their ports
//! below them.
//!
//! Only what stays the same from one run to the next is kept. Counters, clocks and round-trip times
//! would make every comparison of two runs report a change.

use std::collections::BTreeMap;

use model::{Address, Hardware, Record, RunRecord, Severity, Summary, Transport, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::nmap;
use crate::nmap_port::{self, Service};

/// Endpoints held for sorting. Beyond it, what is held is written, and a host may appear twice.
const HELD_MAX: usize = 100_000;
/// Columns of one value of a server's; a longer one is cut.
const VALUE_COLUMNS_MAX: usize = 200;

/// Hosts that are held back, and counts of those that were written.
#[derive(Default)]
pub(crate) struct Hosts {
    held: BTreeMap<Address, Host>,
    held_endpoints: usize,
    planned_addresses: u64,
    seen: u64,
    up: u64,
    endpoints_recorded: u64,
    /// Unix sockets, which have no place in nmap's layouts.
    pub(crate) unix_sockets: u64,
}

/// What is known of a host.
#[derive(Default)]
pub(crate) struct Host {
    /// The name that the administrator typed.
    pub(crate) hostname: Option<String>,
    /// The name that the address resolves to.
    pub(crate) reverse_name: Option<String>,
    /// Its network card.
    pub(crate) hardware: Option<Hardware>,
    /// Whether anything was heard from it.
    pub(crate) is_up: bool,
    /// By transport and number. Empty for a host that is not there.
    pub(crate) ports: BTreeMap<(Transport, u16), Port>,
}

/// What is known of a port.
pub(crate) struct Port {
    pub(crate) state: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) service: Service,
    pub(crate) verdict: Verdict,
    /// Whether memcached was spoken.
    pub(crate) speaks_memcached: bool,
    /// The version that the server gives itself; of bounded length, with nothing that acts.
    pub(crate) version: Option<String>,
    /// The codes of what was found, worst first.
    pub(crate) findings: Vec<(&'static str, Severity)>,
}

impl Hosts {
    /// The run begins.
    pub(crate) fn run(&mut self, run: &RunRecord) {
        self.planned_addresses = nmap::planned_addresses(run);
    }

    /// Takes an endpoint; whether there are now so many that they must be written.
    pub(crate) fn add(&mut self, record: &Record) -> bool {
        self.endpoints_recorded += 1;
        let endpoint = &record.endpoint;
        if endpoint.transport == Transport::Unix {
            self.unix_sockets += 1;
            return false;
        }
        let host = self.held.entry(endpoint.address.clone()).or_default();
        host.is_up |= nmap_port::is_up(record);
        if host.hostname.is_none() {
            host.hostname = record.hostname.as_deref().map(value);
        }
        if host.reverse_name.is_none() {
            host.reverse_name = record.enrichment.reverse_name.as_deref().map(value);
        }
        if host.hardware.is_none() {
            host.hardware = record.hardware.as_ref().map(|card| Hardware {
                address: card.address,
                vendor: card.vendor.as_deref().map(value),
            });
        }
        if let Some(port) = port(record) {
            host.ports.insert((endpoint.transport, endpoint.port), port);
        }
        self.held_endpoints += 1;
        self.held_endpoints >= HELD_MAX
    }

    /// The hosts that are held, by address; from now on they count as written.
    pub(crate) fn take(&mut self) -> BTreeMap<Address, Host> {
        self.held_endpoints = 0;
        let hosts = std::mem::take(&mut self.held);
        self.seen += hosts.len() as u64;
        self.up += hosts.values().filter(|host| host.is_up).count() as u64;
        hosts
    }

    /// How many hosts were heard from.
    pub(crate) fn up(&self) -> u64 {
        self.up
    }

    /// How many addresses the run had.
    pub(crate) fn addresses(&self, summary: &Summary) -> u64 {
        nmap::addresses(
            self.endpoints_recorded >= summary.verdicts.total(),
            self.planned_addresses,
            self.seen,
        )
    }
}

impl Port {
    /// The verdict and what was found, in one line: `exposed: MS001 critical, MS031 medium`.
    /// Nothing for a port that is not open.
    pub(crate) fn judgement(&self) -> Option<String> {
        if self.state != "open" {
            return None;
        }
        let findings: Vec<String> = self
            .findings
            .iter()
            .map(|(code, severity)| format!("{code} {severity}"))
            .collect();
        Some(match findings.is_empty() {
            true => self.verdict.to_string(),
            false => format!("{}: {}", self.verdict, findings.join(", ")),
        })
    }
}

fn port(record: &Record) -> Option<Port> {
    let state = nmap_port::state(record)?;
    let judgement = &record.judgement;
    let speaks_memcached = nmap_port::speaks_memcached(judgement.verdict);
    let dialogue = record.evidence.dialogue.as_deref();
    let version = dialogue.and_then(|dialogue| dialogue.version.value());
    Some(Port {
        state,
        reason: nmap_port::reason(record),
        service: Service::of(record),
        verdict: judgement.verdict,
        speaks_memcached,
        version: version
            .filter(|_| speaks_memcached)
            .map(|version| value(version)),
        findings: judgement
            .findings
            .iter()
            .map(|finding| (finding.code, finding.severity))
            .collect(),
    })
}

/// Foreign text, harmless and of bounded length.
fn value(text: &str) -> String {
    truncate(&escape_for_terminal(text), VALUE_COLUMNS_MAX)
}
