//! DefectDojo's "Generic Findings Import": one JSON object with a list of findings.
//!
//! The importer refuses a file for one key that it does not know, and shows descriptions as
//! Markdown; so what servers say stands in indented blocks, where Markdown means nothing.

use model::{Finding, Record, RunRecord, Severity, Summary, Transport};
use serde_json::{Value, json};

use crate::Report;
use crate::exchange::{self, Elements, shown, shown_lines};
use crate::values::{Object, set, set_some};
use crate::words::rfc3339;

/// The name of the test that the importer makes.
const NAME: &str = "memsweep";
/// Characters that a title may have.
const TITLE_CHARACTERS_MAX: usize = 500;

/// Writes findings as they come.
#[derive(Debug, Default)]
pub(crate) struct DefectDojoReport {
    begun: bool,
    findings: Elements,
}

impl Report for DefectDojoReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.begin(Some(run), out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(None, out);
        for finding in &record.judgement.findings {
            self.findings.push(&value(record, finding), 4, out);
        }
    }

    fn summary(&mut self, _summary: &Summary, out: &mut Vec<u8>) {
        self.begin(None, out);
        self.findings.close(2, out);
        out.extend_from_slice(b"\n}\n");
        self.begun = false;
    }
}

impl DefectDojoReport {
    fn begin(&mut self, run: Option<&RunRecord>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut head = format!("{{\n  \"name\": \"{NAME}\",\n  \"type\": \"{NAME}\",\n");
        if let Some(run) = run {
            let version = Value::from(shown(&run.tool_version));
            let description = Value::from(format!("Run {} of memsweep", run.run));
            head.push_str(&format!(
                "  \"version\": {version},\n  \"description\": {description},\n"
            ));
        }
        head.push_str("  \"dynamic_tool\": true,\n  \"static_tool\": false,\n  \"findings\": [");
        out.extend_from_slice(head.as_bytes());
    }
}

fn value(record: &Record, finding: &Finding) -> Value {
    let rule = assess::explain(finding.code);
    let mut value = Object::new();
    let title = format!("{}: {}", finding.code, shown(&finding.title.en));
    let title: String = title.chars().take(TITLE_CHARACTERS_MAX).collect();
    set(&mut value, "title", title);
    set(&mut value, "severity", severity(finding.severity));
    set(&mut value, "date", rfc3339(record.timestamp));
    set(&mut value, "description", description(record, finding));
    set(
        &mut value,
        "mitigation",
        indented(&shown_lines(&finding.fix.en)),
    );
    set_some(&mut value, "impact", rule.map(|rule| rule.why.en));
    set_some(
        &mut value,
        "references",
        rule.map(|rule| rule.references.en),
    );
    let cwe = rule.and_then(|rule| exchange::weaknesses(rule).first().copied());
    set_some(&mut value, "cwe", cwe);
    set_some(
        &mut value,
        "vulnerability_ids",
        exchange::cve(finding).map(|cve| [cve].to_vec()),
    );
    let cvss = rule.and_then(|rule| rule.flaw).and_then(|flaw| flaw.cvss);
    if let Some(tenths) = cvss
        .filter(|cvss| cvss.generation == 3)
        .and_then(|cvss| cvss.tenths)
    {
        set(&mut value, "cvssv3_score", f64::from(tenths) / 10.0);
    }
    let id = exchange::finding_id(record, finding).to_string();
    set(&mut value, "unique_id_from_tool", id);
    set(&mut value, "vuln_id_from_tool", finding.code);
    set(&mut value, "service", "memcached");
    set(&mut value, "component_name", "memcached");
    set_some(&mut value, "component_version", exchange::version(record));
    set(&mut value, "dynamic_finding", true);
    set(&mut value, "static_finding", false);
    let is_accepted = exchange::acceptance(record, finding).is_some();
    set(&mut value, "active", !is_accepted);
    set(
        &mut value,
        "verified",
        finding.confidence == model::Confidence::Confirmed,
    );
    set(&mut value, "risk_accepted", is_accepted);
    set(&mut value, "fix_available", !finding.fix.en.is_empty());
    set(&mut value, "tags", tags(record));
    if let Some(endpoint) = endpoint(record) {
        set(&mut value, "endpoints", json!([endpoint]));
    }
    value.into()
}

fn description(record: &Record, finding: &Finding) -> String {
    let mut lines = vec![
        record.endpoint.to_string(),
        format!("verdict: {}", record.judgement.verdict),
        format!("reason: {}", shown(&record.judgement.reason.en)),
        format!("confidence: {}", finding.confidence.as_str()),
    ];
    lines.extend(exchange::host_name(record).map(|name| format!("name: {name}")));
    if let Some(accepted) = exchange::acceptance(record, finding) {
        lines.push(format!(
            "accepted until {}: {}",
            shown(&accepted.until),
            shown(&accepted.reason)
        ));
    }
    lines.extend(exchange::evidence(finding));
    let facts = indented(&shown_lines(&lines.join("\n")));
    match assess::explain(finding.code) {
        Some(rule) => format!("{}\n\n{facts}", rule.what.en),
        None => facts,
    }
}

/// A block in which Markdown means nothing.
fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::High => "High",
        Severity::Medium => "Medium",
        Severity::Low => "Low",
        Severity::Info => "Info",
    }
}

fn tags(record: &Record) -> Vec<String> {
    let mut tags = vec![
        "memcached".to_owned(),
        record.endpoint.transport.as_str().to_owned(),
    ];
    tags.extend(record.enrichment.tags.iter().map(|tag| shown(tag)));
    tags
}

/// A unix socket is no endpoint that DefectDojo knows.
fn endpoint(record: &Record) -> Option<Object> {
    let ip = record.endpoint.address.ip()?;
    let mut endpoint = Object::new();
    set(
        &mut endpoint,
        "protocol",
        match record.endpoint.transport {
            Transport::Udp => "udp",
            Transport::Tcp | Transport::Unix => "tcp",
        },
    );
    set(&mut endpoint, "host", ip.to_string());
    set(&mut endpoint, "port", record.endpoint.port);
    Some(endpoint)
}
