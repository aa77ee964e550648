//! OCSF 1.6 (<https://schema.ocsf.io/1.6.0>), one event a line, for data lakes and SIEMs.
//!
//! A finding is a `compliance_finding`, because what memsweep finds is a setting that should not
//! be; one that stands on a flaw with a CVE is a `vulnerability_finding`. The run itself is a
//! `scan_activity`, at its beginning and at its end.

use std::time::SystemTime;

use model::{Confidence, Finding, Record, RunRecord, Severity, Summary, Transport};
use serde_json::{Value, json};

use crate::escape::escape_json;
use crate::exchange::{self, shown, shown_lines, unix_ms};
use crate::values::{Object, set, set_some};
use crate::{Report, values};

const VERSION: &str = "1.6.0";
/// Longest text of an address there.
const IP_CHARACTERS_MAX: usize = 40;

/// A class of events: its name and number, and those of its category.
struct Class {
    name: &'static str,
    uid: u64,
    category: &'static str,
    category_uid: u64,
}

const COMPLIANCE_FINDING: Class = Class {
    name: "Compliance Finding",
    uid: 2003,
    category: "Findings",
    category_uid: 2,
};
const VULNERABILITY_FINDING: Class = Class {
    name: "Vulnerability Finding",
    uid: 2002,
    category: "Findings",
    category_uid: 2,
};
const SCAN_ACTIVITY: Class = Class {
    name: "Scan Activity",
    uid: 6007,
    category: "Application Activity",
    category_uid: 6,
};

/// Writes every event at once.
#[derive(Debug, Default)]
pub(crate) struct OcsfReport {
    tool_version: Option<String>,
    begun: Option<SystemTime>,
    findings: u64,
}

impl Report for OcsfReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.tool_version = Some(shown(&run.tool_version));
        self.begun = Some(run.timestamp);
        let started = (1, "Started");
        let mut event = self.head(&SCAN_ACTIVITY, started, run.timestamp);
        set_severity(&mut event, Severity::Info);
        set(&mut event, "scan", scan(&run.run));
        set(&mut event, "start_time", unix_ms(run.timestamp));
        let targets: Vec<String> = run.targets.iter().map(|one| shown(one)).collect();
        set(
            &mut event,
            "unmapped",
            json!({ "targets": targets, "pairs": run.pairs }),
        );
        line(event, out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        for finding in &record.judgement.findings {
            self.findings += 1;
            let event = match exchange::cve(finding) {
                Some(cve) => self.vulnerability(record, finding, cve),
                None => self.compliance(record, finding),
            };
            line(event, out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let outcome = if summary.complete {
            (2, "Completed")
        } else {
            (3, "Cancelled")
        };
        let mut event = self.head(&SCAN_ACTIVITY, outcome, summary.timestamp);
        set_severity(&mut event, Severity::Info);
        set(&mut event, "scan", scan(&summary.run));
        set_some(&mut event, "start_time", self.begun.map(unix_ms));
        set(&mut event, "end_time", unix_ms(summary.timestamp));
        let duration = u64::try_from(summary.duration.as_millis()).unwrap_or(u64::MAX);
        set(&mut event, "duration", duration);
        set(&mut event, "num_detections", self.findings);
        set(&mut event, "num_network_items", summary.verdicts.total());
        set(
            &mut event,
            "status_id",
            if summary.complete { 1 } else { 2 },
        );
        let mut verdicts = Object::new();
        for (verdict, count) in summary.verdicts.iter() {
            set(&mut verdicts, verdict.as_str(), count);
        }
        set(&mut event, "unmapped", json!({ "verdicts": verdicts }));
        line(event, out);
    }
}

impl OcsfReport {
    /// What every event begins with.
    fn head(&self, class: &Class, activity: (u64, &str), time: SystemTime) -> Object {
        let mut event = Object::new();
        set(&mut event, "class_uid", class.uid);
        set(&mut event, "class_name", class.name);
        set(&mut event, "category_uid", class.category_uid);
        set(&mut event, "category_name", class.category);
        set(&mut event, "activity_id", activity.0);
        set(&mut event, "activity_name", activity.1);
        set(&mut event, "type_uid", class.uid * 100 + activity.0);
        set(
            &mut event,
            "type_name",
            format!("{}: {}", class.name, activity.1),
        );
        set(&mut event, "time", unix_ms(time));
        let mut product = Object::new();
        set(&mut product, "name", "memsweep");
        set(&mut product, "vendor_name", "memsweep");
        set_some(&mut product, "version", self.tool_version.as_deref());
        set(
            &mut event,
            "metadata",
            json!({ "version": VERSION, "product": product }),
        );
        event
    }

    /// What both kinds of findings have.
    fn finding(&self, class: &Class, record: &Record, finding: &Finding) -> Object {
        let created = (1, "Create");
        let mut event = self.head(class, created, record.timestamp);
        event["metadata"]["uid"] = exchange::id(&[
            "event",
            &record.run,
            &exchange::finding_id(record, finding).to_string(),
        ])
        .to_string()
        .into();
        set_severity(&mut event, finding.severity);
        set(
            &mut event,
            "confidence_id",
            confidence_id(finding.confidence),
        );
        set(&mut event, "confidence", confidence(finding.confidence));
        set(
            &mut event,
            "confidence_score",
            exchange::percent(finding.confidence),
        );
        // 1 is new, 3 is suppressed.
        let accepted = exchange::acceptance(record, finding);
        set(
            &mut event,
            "status_id",
            if accepted.is_some() { 3 } else { 1 },
        );
        if let Some(accepted) = accepted {
            set(&mut event, "comment", shown(&accepted.reason));
        }
        let title = shown(&finding.title.en);
        set(
            &mut event,
            "message",
            format!("{}: {title}", shown(&record.endpoint.to_string())),
        );
        let mut info = Object::new();
        let id = exchange::finding_id(record, finding).to_string();
        set(&mut info, "uid", id);
        set(&mut info, "title", title);
        let rule = assess::explain(finding.code);
        set_some(&mut info, "desc", rule.map(|rule| rule.what.en));
        set(&mut info, "created_time", unix_ms(record.timestamp));
        set(&mut info, "types", json!([finding.code]));
        let analytic =
            json!({ "name": finding.code, "uid": finding.code, "type_id": 1, "type": "Rule" });
        set(&mut info, "analytic", analytic);
        set(&mut event, "finding_info", info);
        set(&mut event, "device", device(record));
        set(&mut event, "resources", json!([resource(record)]));
        event
    }

    fn compliance(&self, record: &Record, finding: &Finding) -> Object {
        let mut event = self.finding(&COMPLIANCE_FINDING, record, finding);
        let rule = assess::explain(finding.code);
        let weaknesses = rule.map(exchange::weaknesses).unwrap_or_default();
        let requirements: Vec<String> = weaknesses.iter().map(|cwe| format!("CWE-{cwe}")).collect();
        let mut compliance = Object::new();
        set(&mut compliance, "control", finding.code);
        set_some(&mut compliance, "desc", rule.map(|rule| rule.why.en));
        set(&mut compliance, "standards", json!(["memsweep rules"]));
        if !requirements.is_empty() {
            set(&mut compliance, "requirements", requirements);
        }
        // 2 is a warning, 3 is a failure.
        let failed = finding.severity > Severity::Info;
        set(&mut compliance, "status_id", if failed { 3 } else { 2 });
        set(
            &mut compliance,
            "status",
            if failed { "Fail" } else { "Warning" },
        );
        set(&mut event, "compliance", compliance);
        set(&mut event, "remediation", remediation(finding));
        let data = evidence(record, finding);
        set(&mut event, "evidences", json!([{ "data": data }]));
        event
    }

    fn vulnerability(&self, record: &Record, finding: &Finding, cve: &str) -> Object {
        let mut event = self.finding(&VULNERABILITY_FINDING, record, finding);
        let rule = assess::explain(finding.code);
        let flaw = rule.and_then(|rule| rule.flaw);
        let mut number = Object::new();
        set(&mut number, "uid", cve);
        let cvss = flaw.and_then(|flaw| flaw.cvss);
        if let Some((generation, tenths)) =
            cvss.and_then(|cvss| Some((cvss.generation, cvss.tenths?)))
        {
            let score = json!({ "base_score": f64::from(tenths) / 10.0,
                "version": format!("{generation}.0") });
            set(&mut number, "cvss", json!([score]));
        }
        let mut vulnerability = Object::new();
        set(&mut vulnerability, "cve", number);
        set(&mut vulnerability, "title", shown(&finding.title.en));
        set_some(&mut vulnerability, "desc", rule.map(|rule| rule.what.en));
        set(&mut vulnerability, "severity", severity(finding.severity).1);
        set(&mut vulnerability, "is_fix_available", true);
        set(&mut vulnerability, "remediation", remediation(finding));
        set_some(&mut vulnerability, "references", rule.map(exchange::links));
        if let Some((version, fixed)) = exchange::version(record).zip(flaw.map(|flaw| flaw.fixed)) {
            let package = json!({ "name": "memcached", "version": version,
                "fixed_in_version": fixed.to_string() });
            set(&mut vulnerability, "affected_packages", json!([package]));
        }
        set(&mut event, "vulnerabilities", json!([vulnerability]));
        // This class has no place for evidence.
        set(&mut event, "unmapped", evidence(record, finding));
        event
    }
}

fn scan(run: &str) -> Value {
    // 99 is a type of its own; `type` says which.
    json!({ "uid": run, "name": "memsweep", "type_id": 99, "type": "Exposure" })
}

fn device(record: &Record) -> Object {
    let mut device = Object::new();
    // 1 is a server.
    set(&mut device, "type_id", 1);
    set(&mut device, "type", "Server");
    let name = exchange::host_name(record);
    let ip = record.endpoint.address.ip().map(|ip| ip.to_string());
    let ip = ip.filter(|ip| ip.len() <= IP_CHARACTERS_MAX);
    if ip.is_none() {
        set(
            &mut device,
            "name",
            shown(&record.endpoint.address.to_string()),
        );
    }
    set_some(&mut device, "ip", ip);
    set_some(&mut device, "hostname", name);
    let card = record.hardware.as_ref();
    set_some(
        &mut device,
        "mac",
        card.map(|card| card.address.to_string()),
    );
    let owner = record.enrichment.owner.as_deref();
    set_some(
        &mut device,
        "owner",
        owner.map(|owner| json!({ "name": shown(owner) })),
    );
    device
}

fn resource(record: &Record) -> Object {
    let mut resource = Object::new();
    set(&mut resource, "uid", exchange::uri(&record.endpoint));
    set(&mut resource, "name", shown(&record.endpoint.to_string()));
    set(&mut resource, "type", "memcached");
    set_some(&mut resource, "version", exchange::version(record));
    let mut data = Object::new();
    if record.endpoint.transport != Transport::Unix {
        set(&mut data, "port", record.endpoint.port);
    }
    set(&mut data, "transport", record.endpoint.transport.as_str());
    let dialogue = record.evidence.dialogue.as_ref();
    if let Some(dialogue) = dialogue {
        set(&mut data, "auth", dialogue.auth.as_str());
        let strongest = values::strongest(&dialogue.amplification);
        set_some(
            &mut data,
            "payload_ratio",
            strongest.map(values::payload_ratio),
        );
    }
    set(&mut resource, "data", data);
    let tags: Vec<String> = record
        .enrichment
        .tags
        .iter()
        .map(|tag| shown(tag))
        .collect();
    if !tags.is_empty() {
        set(&mut resource, "labels", tags);
    }
    resource
}

fn evidence(record: &Record, finding: &Finding) -> Value {
    json!({
        "verdict": record.judgement.verdict.as_str(),
        "reason": shown(&record.judgement.reason.en),
        "lines": exchange::evidence(finding),
    })
}

fn remediation(finding: &Finding) -> Value {
    let mut remediation = Object::new();
    set(&mut remediation, "desc", shown_lines(&finding.fix.en));
    let rule = assess::explain(finding.code);
    let links = rule.map(exchange::links).unwrap_or_default();
    if !links.is_empty() {
        set(&mut remediation, "references", links);
    }
    remediation.into()
}

fn set_severity(event: &mut Object, of: Severity) {
    let (id, word) = severity(of);
    set(event, "severity_id", id);
    set(event, "severity", word);
}

fn severity(severity: Severity) -> (u64, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn confidence_id(confidence: Confidence) -> u64 {
    match confidence {
        Confidence::Possible => 1,
        Confidence::Likely => 2,
        Confidence::Confirmed => 3,
    }
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Possible => "Low",
        Confidence::Likely => "Medium",
        Confidence::Confirmed => "High",
    }
}

fn line(event: Object, out: &mut Vec<u8>) {
    out.extend_from_slice(escape_json(&Value::Object(event).to_string()).as_bytes());
    out.push(b'\n');
}
