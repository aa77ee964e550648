//! Prometheus' text format 0.0.4, for node_exporter's textfile collector or a Pushgateway: gauges of
//! the run as a whole, and of each endpoint that speaks memcached. docs/formats/monitoring.md tells
//! them; docs/prometheus holds alert rules.
//!
//! All samples of a metric stand together, so that endpoints are held back until the summary. Labels
//! name an endpoint and nothing that changes from run to run, except in `memsweep_endpoint_info`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use assess::Scores;
use model::{Endpoint, Record, RunRecord, Severity, Summary, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::{Report, values};

/// Endpoints with samples of their own; what comes beyond is only counted.
const ENDPOINTS_MAX: usize = 10_000;
/// Columns of a label's value; a longer one is cut.
const LABEL_COLUMNS_MAX: usize = 100;

/// Holds what is known of endpoints until the summary.
#[derive(Default)]
pub(crate) struct PrometheusReport {
    /// Version and engine of the run, and when it began.
    run: Option<(String, String, SystemTime)>,
    endpoints: BTreeMap<Endpoint, Held>,
    endpoints_omitted: u64,
    findings: BTreeMap<(&'static str, Severity), u64>,
    scores: Scores,
}

struct Held {
    is_exposed: bool,
    is_alarm: bool,
    /// Command, and payload ratio, of the strongest request.
    amplification: Option<(String, f64)>,
    findings: BTreeMap<(&'static str, Severity), u64>,
    hostname: Option<String>,
    version: Option<String>,
    auth: &'static str,
}

impl Report for PrometheusReport {
    fn run(&mut self, run: &RunRecord, _out: &mut Vec<u8>) {
        let engine = run.vantage.engine.clone();
        self.run = Some((run.tool_version.clone(), engine, run.timestamp));
    }

    fn record(&mut self, record: &Record, _out: &mut Vec<u8>) {
        self.scores.add(record);
        let verdict = record.judgement.verdict;
        if !matches!(verdict, Verdict::Exposed | Verdict::Protected) {
            return;
        }
        for finding in &record.judgement.findings {
            let key = (finding.code, finding.severity);
            *self.findings.entry(key).or_default() += 1;
        }
        let is_known = self.endpoints.contains_key(&record.endpoint);
        if is_known || self.endpoints.len() < ENDPOINTS_MAX {
            self.endpoints
                .insert(record.endpoint.clone(), Held::of(record));
        } else {
            self.endpoints_omitted += 1;
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.write_run(summary, out);
        self.write_verdicts(summary, out);
        self.write_endpoints(out);
    }
}

impl Held {
    fn of(record: &Record) -> Held {
        let dialogue = record.evidence.dialogue.as_deref();
        let measured = dialogue.map_or(&[][..], |dialogue| &dialogue.amplification);
        let strongest = values::strongest(measured);
        let mut findings = BTreeMap::new();
        for finding in &record.judgement.findings {
            *findings
                .entry((finding.code, finding.severity))
                .or_default() += 1;
        }
        Held {
            is_exposed: record.judgement.verdict == Verdict::Exposed,
            is_alarm: record.alarm,
            amplification: strongest.map(|one| (label(&one.command), one.payload_ratio())),
            findings,
            hostname: record.hostname.as_deref().map(label),
            version: dialogue.and_then(|dialogue| Some(label(dialogue.version.value()?))),
            auth: dialogue.map_or("unknown", |dialogue| dialogue.auth.as_str()),
        }
    }
}

impl PrometheusReport {
    fn write_run(&self, summary: &Summary, out: &mut Vec<u8>) {
        if let Some((version, engine, start)) = &self.run {
            let mut info = Family::new(
                "memsweep_run_info",
                "Which memsweep made the run, and by which engine.",
            );
            info.add(
                &[("version", &label(version)), ("engine", &label(engine))],
                1.0,
            );
            info.write(out);
            gauge(
                "memsweep_run_start_timestamp_seconds",
                "When the run began.",
                unix_s(*start),
                out,
            );
        }
        for (name, help, value) in [
            (
                "memsweep_run_end_timestamp_seconds",
                "When the run ended.",
                unix_s(summary.timestamp),
            ),
            (
                "memsweep_run_duration_seconds",
                "How long the run took.",
                summary.duration.as_secs_f64(),
            ),
            (
                "memsweep_run_complete",
                "Whether every planned endpoint was judged.",
                f64::from(summary.complete),
            ),
            (
                "memsweep_run_packets_sent",
                "Packets and datagrams that the run sent.",
                summary.packets_sent as f64,
            ),
            (
                "memsweep_run_packets_received",
                "Packets and datagrams that the run received.",
                summary.packets_received as f64,
            ),
            (
                "memsweep_run_rejected_replies",
                "UDP answers without our request id; none was believed.",
                summary.rejected_replies as f64,
            ),
            (
                "memsweep_alarms",
                "Exposed endpoints that are neither accepted nor reachable from here only.",
                summary.alarms as f64,
            ),
        ] {
            gauge(name, help, value, out);
        }
    }

    fn write_verdicts(&self, summary: &Summary, out: &mut Vec<u8>) {
        let mut endpoints = Family::new("memsweep_endpoints", "Endpoints by verdict.");
        for (verdict, count) in summary.verdicts.iter() {
            endpoints.add(&[("verdict", verdict.as_str())], count as f64);
        }
        endpoints.write(out);
        let counts = self.scores.counts();
        if counts.total() > 0 || values::is_settled(summary) {
            let mut grade = Family::new("memsweep_grade", "The grade of the network, A to F.");
            grade.add(&[("grade", self.scores.grade().as_str())], 1.0);
            grade.write(out);
            let help = "Points of everything that was found and is reached; 0 is clean.";
            gauge("memsweep_debt", help, self.scores.debt() as f64, out);
            let help = "Servers that are reached, by grade.";
            let mut servers = Family::new("memsweep_servers", help);
            for (grade, count) in counts.iter() {
                servers.add(&[("grade", grade.as_str())], count as f64);
            }
            servers.write(out);
        }
        let mut findings = Family::new("memsweep_findings", "Findings of all endpoints.");
        for ((code, severity), count) in &self.findings {
            let labels = [("code", *code), ("severity", severity.as_str())];
            findings.add(&labels, *count as f64);
        }
        findings.write(out);
    }

    fn write_endpoints(&self, out: &mut Vec<u8>) {
        let help = "Whether memcached commands are executed without credentials.";
        let mut exposed = Family::new("memsweep_endpoint_exposed", help);
        let help = "Whether it is exposed, not accepted, and not reachable from here only.";
        let mut alarm = Family::new("memsweep_endpoint_alarm", help);
        let help = "UDP payload bytes received for each one sent, by the strongest request.";
        let mut ratio = Family::new("memsweep_endpoint_amplification_ratio", help);
        let help = "Findings of an endpoint, by code and severity.";
        let mut findings = Family::new("memsweep_endpoint_findings", help);
        let help = "What an endpoint is called and says of itself.";
        let mut info = Family::new("memsweep_endpoint_info", help);
        for (endpoint, held) in &self.endpoints {
            let address = label(&endpoint.address.to_string());
            let port = endpoint.port.to_string();
            let transport = endpoint.transport.as_str();
            let who = [
                ("address", address.as_str()),
                ("port", port.as_str()),
                ("transport", transport),
            ];
            exposed.add(&who, f64::from(held.is_exposed));
            alarm.add(&who, f64::from(held.is_alarm));
            if let Some((command, value)) = &held.amplification {
                let labels = [&who[..], &[("command", command)]].concat();
                ratio.add(&labels, (value * 100.0).round() / 100.0);
            }
            for ((code, severity), count) in &held.findings {
                let of_finding = [("code", *code), ("severity", severity.as_str())];
                findings.add(&[&who[..], &of_finding].concat(), *count as f64);
            }
            let mut labels = who.to_vec();
            labels.push(("auth", held.auth));
            labels.extend(held.hostname.as_deref().map(|name| ("hostname", name)));
            labels.extend(held.version.as_deref().map(|text| ("version", text)));
            info.add(&labels, 1.0);
        }
        for family in [exposed, alarm, ratio, findings, info] {
            family.write(out);
        }
        let help = "Endpoints that speak memcached and were too many to be told one by one.";
        let omitted = self.endpoints_omitted as f64;
        gauge("memsweep_endpoints_omitted", help, omitted, out);
    }
}

/// A metric with its samples.
struct Family {
    name: &'static str,
    help: &'static str,
    samples: String,
}

impl Family {
    fn new(name: &'static str, help: &'static str) -> Family {
        Family {
            name,
            help,
            samples: String::new(),
        }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape_label(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        self.samples
            .push_str(&format!("{}{labels} {value}\n", self.name));
    }

    /// Nothing for a metric without samples.
    fn write(self, out: &mut Vec<u8>) {
        let Family {
            name,
            help,
            samples,
        } = self;
        if !samples.is_empty() {
            let text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n{samples}");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// A metric with one sample.
fn gauge(name: &'static str, help: &'static str, value: f64, out: &mut Vec<u8>) {
    let mut family = Family::new(name, help);
    family.add(&[], value);
    family.write(out);
}

/// Foreign text, harmless and of bounded length.
fn label(text: &str) -> String {
    truncate(&escape_for_terminal(text), LABEL_COLUMNS_MAX)
}

/// As the format wants it between quotes; line ends are spelled out already.
fn escape_label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Seconds since the epoch; a clock before it reads as the epoch.
fn unix_s(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| since.as_millis());
    milliseconds as f64 / 1000.0
}
