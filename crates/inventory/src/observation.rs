//! One endpoint at one time: the facts that searches and comparisons look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use model::{Confidence, Endpoint, Record, Severity, Verdict};

/// A rule that fired, as far as searches and comparisons care.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingKey {
    /// The rule's code, such as `MS001`.
    pub code: String,
    /// How bad it was.
    pub severity: Severity,
    /// How sure it was.
    pub confidence: Confidence,
}

/// What is known of an endpoint at one time. Absent is `None`, never 0 or an empty text.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The run that it belongs to; an import is a run too.
    pub run: Arc<str>,
    /// Who saw it: `memsweep`, or what was imported (`nmap`, `shodan` …).
    pub source: Arc<str>,
    /// When it was seen, by the one who saw it.
    pub seen: SystemTime,
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The verdict; `None` if a run asked the endpoint's address again and it no longer got a
    /// record: it is gone.
    pub verdict: Option<Verdict>,
    /// Whether it counted as an alarm.
    pub alarm: bool,
    /// The name it was asked by, or that its address resolves to.
    pub hostname: Option<String>,
    /// The version it gave itself, verbatim.
    pub version: Option<String>,
    /// The protocol, as in the record: `ascii`, `binary`, `tls`.
    pub protocol: Option<String>,
    /// What it demands: `none`, `sasl`, `ascii`, `tls-client-certificate`, `unknown`.
    pub auth: Option<String>,
    /// The rules that fired, sorted.
    pub findings: Vec<FindingKey>,
    /// The highest payload ratio that was measured (UDP payload received for each byte sent).
    pub payload_ratio: Option<f64>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Country, two letters in capitals.
    pub country: Option<String>,
    /// Who administers it.
    pub owner: Option<String>,
    /// The administrator's own words.
    pub tags: Vec<String>,
    /// What free text searches in, in lower case: address, names, version, reason, vendor,
    /// codes and titles of findings, owner, tags.
    pub text: String,
    /// What stays the same between two runs unless something was changed: verdict, version,
    /// authentication, settings, findings, certificate … Counters, times and sizes are not here.
    pub stable: BTreeMap<String, String>,
    /// When the server's process began, by its own clock, seconds since the Unix epoch; together
    /// with the pid it tells a restart.
    pub process_start_unix_s: Option<i64>,
    /// The process id that the server gave.
    pub pid: Option<u64>,
}

impl Observation {
    /// The observation that a record amounts to.
    pub fn of(record: &Record) -> Observation {
        let _ = record;
        unreachable!("written with the query language")
    }

    /// The worst severity among the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
