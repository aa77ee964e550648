//! A MISP event, in the form that MISP exports and imports: an object `ip-port` for each server
//! that strangers can use, and an attribute for each CVE that findings name.
//!
//! The servers are victims to be warned, and nothing here is meant for a blocklist: no attribute
//! has `to_ids`. The event is for the own organisation and marked `tlp:amber`.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use model::{Record, RunRecord, Severity, Summary};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{self, Elements, member, shown};
use crate::values::{Object, set};
use crate::words::{date, rfc3339};
use crate::{Report, values};

/// The template of `ip-port` (<https://github.com/MISP/misp-objects>).
const TEMPLATE: &str = "9f8cea74-16fe-4968-a2b4-026676949ac6";
const TEMPLATE_VERSION: &str = "10";
/// An event's own distribution: this organisation only.
const THIS_ORGANISATION: &str = "0";
/// The distribution of what is in an event: that of the event.
const INHERITED: &str = "5";

/// Writes objects as they come; it remembers which CVEs were named.
#[derive(Default)]
pub(crate) struct MispReport {
    begun: bool,
    objects: Elements,
    flaws: BTreeSet<&'static str>,
    servers: u64,
    worst: Option<Severity>,
}

impl Report for MispReport {
    fn run(&mut self, _run: &RunRecord, out: &mut Vec<u8>) {
        self.begin(out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(out);
        if !exchange::is_open_to_others(record) {
            return;
        }
        self.servers += 1;
        self.worst = self.worst.max(record.judgement.worst());
        let findings = record.judgement.findings.iter();
        self.flaws.extend(findings.filter_map(exchange::cve));
        self.objects.push(&ip_port(record), 6, out);
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.begin(out);
        self.objects.close(4, out);
        let seconds = unix_seconds(summary.timestamp);
        let attributes: Vec<Value> = std::mem::take(&mut self.flaws)
            .into_iter()
            .map(|cve| {
                let uuid = exchange::id(&["misp", &summary.run, cve]);
                let about = About {
                    kind: "vulnerability",
                    category: "External analysis",
                    relation: None,
                    correlates: true,
                };
                attribute(&about, cve, uuid, &seconds)
            })
            .collect();
        member("Attribute", &attributes.into(), 4, out);
        let info = format!(
            "Exposed memcached servers, seen by memsweep: {}",
            self.servers
        );
        let uuid = exchange::id(&["misp", &summary.run]).to_string();
        for (key, value) in [
            ("info", info.as_str()),
            ("uuid", &uuid),
            ("date", &date(summary.timestamp)),
            ("timestamp", &seconds),
            ("threat_level_id", threat_level(self.worst)),
            // 2 is complete.
            ("analysis", if summary.complete { "2" } else { "1" }),
            ("distribution", THIS_ORGANISATION),
        ] {
            member(key, &value.into(), 4, out);
        }
        member("published", &false.into(), 4, out);
        let tags = json!([{ "name": "tlp:amber" }, { "name": "memsweep" }]);
        member("Tag", &tags, 4, out);
        out.extend_from_slice(b"\n  }\n}\n");
        *self = MispReport::default();
    }
}

impl MispReport {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(b"{\n  \"Event\": {\n    \"Object\": [");
        }
    }
}

/// What an attribute is, apart from its value.
struct About {
    kind: &'static str,
    category: &'static str,
    /// Its name in the object's template.
    relation: Option<&'static str>,
    /// Whether MISP may look for the same value elsewhere.
    correlates: bool,
}

fn ip_port(record: &Record) -> Value {
    let seconds = unix_seconds(record.timestamp);
    let name = format!("{} {}", record.run, record.endpoint);
    let network = |relation, kind, correlates| About {
        kind,
        category: "Network activity",
        relation: Some(relation),
        correlates,
    };
    let other = |relation, kind| About {
        kind,
        category: "Other",
        relation: Some(relation),
        correlates: false,
    };
    let ip = record.endpoint.address.ip();
    let known = &record.enrichment;
    let facts = [
        (
            network("ip-dst", "ip-dst", true),
            ip.map(|ip| ip.to_string()),
        ),
        (
            network("dst-port", "port", false),
            Some(record.endpoint.port.to_string()),
        ),
        (
            other("protocol", "text"),
            Some(record.endpoint.transport.to_string()),
        ),
        (
            network("hostname", "hostname", true),
            record
                .hostname
                .as_deref()
                .filter(|name| is_host_name(name))
                .map(str::to_owned),
        ),
        (
            network("AS", "AS", false),
            known.asn.map(|number| format!("AS{number}")),
        ),
        (
            other("country-code", "text"),
            known.country.as_deref().map(shown),
        ),
        (
            other("first-seen", "datetime"),
            Some(rfc3339(record.timestamp)),
        ),
        (other("text", "text"), Some(text(record))),
    ];
    let attributes: Vec<Value> = facts
        .iter()
        .filter_map(|(about, value)| {
            let uuid = exchange::id(&["misp", &name, about.relation?]);
            Some(attribute(about, value.as_deref()?, uuid, &seconds))
        })
        .collect();
    json!({
        "name": "ip-port",
        "meta-category": "network",
        "description": "An IP address (or domain or hostname) and a port seen as a tuple (or as a triple) in a specific time frame.",
        "template_uuid": TEMPLATE,
        "template_version": TEMPLATE_VERSION,
        "uuid": exchange::id(&["misp", &name]).to_string(),
        "timestamp": seconds,
        "distribution": INHERITED,
        "comment": shown(&record.judgement.reason.en),
        "Attribute": attributes,
    })
}

fn attribute(about: &About, value: &str, uuid: Uuid, seconds: &str) -> Value {
    let mut attribute = Object::new();
    set(&mut attribute, "uuid", uuid.to_string());
    set(&mut attribute, "type", about.kind);
    set(&mut attribute, "category", about.category);
    if let Some(relation) = about.relation {
        set(&mut attribute, "object_relation", relation);
    }
    set(&mut attribute, "value", value);
    set(&mut attribute, "to_ids", false);
    set(&mut attribute, "disable_correlation", !about.correlates);
    set(&mut attribute, "timestamp", seconds);
    set(&mut attribute, "distribution", INHERITED);
    attribute.into()
}

/// Version, amplification and findings, in one text.
fn text(record: &Record) -> String {
    let mut lines = Vec::new();
    lines.extend(exchange::version(record).map(|version| format!("memcached {version}")));
    if let Some(dialogue) = &record.evidence.dialogue
        && let Some(strongest) = values::strongest(&dialogue.amplification)
    {
        let ratio = values::payload_ratio(strongest);
        lines.push(format!("UDP payload ratio {ratio}"));
    }
    for finding in &record.judgement.findings {
        lines.push(format!(
            "{} {}: {}",
            finding.code,
            finding.severity,
            shown(&finding.title.en)
        ));
    }
    if lines.is_empty() {
        lines.push(shown(&record.judgement.reason.en));
    }
    lines.join("\n")
}

/// Whether MISP would take it as a host name (RFC 1123 section 2.1).
fn is_host_name(name: &str) -> bool {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-._".contains(one);
    !name.is_empty() && name.len() <= 253 && name.chars().all(is_plain)
}

fn threat_level(worst: Option<Severity>) -> &'static str {
    match worst {
        Some(Severity::Critical | Severity::High) => "1",
        Some(Severity::Medium) => "2",
        Some(Severity::Low) => "3",
        Some(Severity::Info) | None => "4",
    }
}

fn unix_seconds(time: std::time::SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().to_string()
}
