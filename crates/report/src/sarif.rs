//! SARIF 2.1.0 (OASIS), for code scanning dashboards: one result for each finding of an endpoint.
//!
//! Results are written as they come and the rules behind them, because how bad a rule is depends on
//! what it found. The place of a result is the endpoint: `memcached://HOST:PORT`, with a region,
//! because readers drop places without one.

use assess::{Rule, rules};
use model::{Finding, Record, RunRecord, Severity, Summary};
use serde_json::{Value, json};

use crate::Report;
use crate::exchange::{self, Elements, member, shown, shown_lines};
use crate::values::{Object, set, set_some};
use crate::words::rfc3339;

pub(crate) const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The version of how fingerprints are made, as their key says it.
pub(crate) const FINGERPRINT: &str = "memsweepFinding/v1";

/// Writes results at once; it remembers how bad each rule was at worst.
#[derive(Default)]
pub(crate) struct SarifReport {
    begun: bool,
    results: Elements,
    run: Option<RunRecord>,
    known: KnownRules,
}

/// The rules in the order of their index, and their worst finding.
#[derive(Default)]
pub(crate) struct KnownRules(Vec<Known>);

struct Known {
    code: &'static str,
    /// What a finding calls it, for a code that this version has no rule for.
    title: String,
    worst: Option<Severity>,
}

impl Report for SarifReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        self.run = Some(run.clone());
        self.begin(out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(out);
        for finding in &record.judgement.findings {
            let index = self.known.index_of(finding);
            let value = result(record, finding, index);
            self.results.push(&value, 8, out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.begin(out);
        self.results.close(6, out);
        member("tool", &self.tool(), 6, out);
        member("invocations", &json!([self.invocation(summary)]), 6, out);
        let automation = json!({ "id": format!("memsweep/{}", summary.run) });
        member("automationDetails", &automation, 6, out);
        member("columnKind", &"utf16CodeUnits".into(), 6, out);
        member("properties", &self.properties(summary), 6, out);
        out.extend_from_slice(b"\n    }\n  ]\n}\n");
        self.begun = false;
    }
}

impl SarifReport {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.begun {
            return;
        }
        self.begun = true;
        self.known = KnownRules::all();
        let head = format!(
            "{{\n  \"$schema\": \"{SCHEMA}\",\n  \"version\": \"2.1.0\",\n  \"runs\": [\n    {{\n      \
             \"results\": ["
        );
        out.extend_from_slice(head.as_bytes());
    }

    fn tool(&self) -> Value {
        let version = self.run.as_ref().map(|run| run.tool_version.as_str());
        json!({ "driver": self.known.driver(version) })
    }

    fn invocation(&self, summary: &Summary) -> Value {
        let mut invocation = Object::new();
        let begun = self.run.as_ref().map(|run| rfc3339(run.timestamp));
        set_some(&mut invocation, "startTimeUtc", begun);
        set(&mut invocation, "endTimeUtc", rfc3339(summary.timestamp));
        set(&mut invocation, "executionSuccessful", summary.complete);
        let notes: Vec<Value> = summary
            .notes
            .iter()
            .map(
                |note| json!({ "level": "note", "message": { "text": message(&shown(&note.en)) } }),
            )
            .collect();
        set(&mut invocation, "toolExecutionNotifications", notes);
        invocation.into()
    }

    fn properties(&self, summary: &Summary) -> Value {
        let mut properties = Object::new();
        set(&mut properties, "run", &*summary.run);
        if let Some(run) = &self.run {
            let targets: Vec<Value> = run.targets.iter().map(|one| shown(one).into()).collect();
            set(&mut properties, "targets", targets);
        }
        set(&mut properties, "complete", summary.complete);
        let mut verdicts = Object::new();
        for (verdict, count) in summary.verdicts.iter() {
            set(&mut verdicts, verdict.as_str(), count);
        }
        set(&mut properties, "verdicts", verdicts);
        properties.into()
    }
}

impl KnownRules {
    /// All of this version.
    pub(crate) fn all() -> KnownRules {
        let of_rule = |rule: &Rule| Known {
            code: rule.code,
            title: rule.title.en.to_owned(),
            worst: None,
        };
        KnownRules(rules().iter().map(of_rule).collect())
    }

    /// The place of a finding's rule among the rules, with its worst severity brought up to date.
    pub(crate) fn index_of(&mut self, finding: &Finding) -> usize {
        let place = self.0.iter().position(|one| one.code == finding.code);
        let index = place.unwrap_or_else(|| {
            self.0.push(Known {
                code: finding.code,
                title: shown(&finding.title.en),
                worst: None,
            });
            self.0.len() - 1
        });
        let worst = &mut self.0[index].worst;
        *worst = (*worst).max(Some(finding.severity));
        index
    }

    /// The program, of this version, and its rules.
    pub(crate) fn driver(&self, version: Option<&str>) -> Value {
        let mut driver = Object::new();
        set(&mut driver, "name", "memsweep");
        set_some(&mut driver, "version", version);
        set_some(&mut driver, "semanticVersion", version);
        set(&mut driver, "language", "en");
        let rules: Vec<Value> = self.0.iter().map(rule_value).collect();
        set(&mut driver, "rules", rules);
        driver.into()
    }
}

fn result(record: &Record, finding: &Finding, index: usize) -> Value {
    let endpoint = record.endpoint.to_string();
    let mut result = Object::new();
    set(&mut result, "ruleId", finding.code);
    set(&mut result, "ruleIndex", index);
    set(&mut result, "level", level(finding.severity));
    set(
        &mut result,
        "message",
        json!({ "text": told(&endpoint, finding) }),
    );
    let location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": exchange::uri(&record.endpoint) },
            "region": { "startLine": 1 },
        },
        "logicalLocations": [{
            "name": shown(&record.endpoint.host_and_port()),
            "fullyQualifiedName": shown(&endpoint),
            "kind": "resource",
        }],
    });
    set(&mut result, "locations", json!([location]));
    let fingerprint = exchange::finding_id(record, finding).to_string();
    set(
        &mut result,
        "partialFingerprints",
        json!({ FINGERPRINT: fingerprint }),
    );
    if let Some(accepted) = exchange::acceptance(record, finding) {
        let justification = format!("{} (until {})", shown(&accepted.reason), accepted.until);
        let suppression = json!({
            "kind": "external",
            "status": "accepted",
            "justification": justification,
        });
        set(&mut result, "suppressions", json!([suppression]));
    }
    set(
        &mut result,
        "properties",
        result_properties(record, finding),
    );
    result.into()
}

fn result_properties(record: &Record, finding: &Finding) -> Object {
    let mut properties = Object::new();
    set(&mut properties, "severity", finding.severity.as_str());
    set(&mut properties, "confidence", finding.confidence.as_str());
    set(
        &mut properties,
        "verdict",
        record.judgement.verdict.as_str(),
    );
    set(
        &mut properties,
        "transport",
        record.endpoint.transport.as_str(),
    );
    set_some(&mut properties, "hostname", exchange::host_name(record));
    set_some(&mut properties, "version", exchange::version(record));
    let owner = record.enrichment.owner.as_deref().map(shown);
    set_some(&mut properties, "owner", owner);
    set(&mut properties, "timestamp", rfc3339(record.timestamp));
    set(&mut properties, "fix", shown_lines(&finding.fix.en));
    properties
}

/// What a finding says of this thing, as a message.
pub(crate) fn told(name: &str, finding: &Finding) -> String {
    let mut text = format!(
        "{}: {}. {}",
        shown(name),
        shown(&finding.title.en),
        exchange::evidence(finding).join("; ")
    );
    if !text.ends_with('.') {
        text.push('.');
    }
    message(&text)
}

/// A message's plain text, in which `[words](place)` would be a link (section 3.11.6) and braces
/// would stand for arguments (section 3.11.5).
pub(crate) fn message(text: &str) -> String {
    text.replace('{', "{{")
        .replace('}', "}}")
        .replace("](", "] (")
}

pub(crate) fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

fn rule_value(known: &Known) -> Value {
    let mut value = Object::new();
    set(&mut value, "id", known.code);
    let rule = assess::explain(known.code);
    if let Some(rule) = rule {
        set(&mut value, "name", pascal_case(rule.name));
    }
    let title = format!("{}.", known.title);
    set(
        &mut value,
        "shortDescription",
        json!({ "text": message(&title) }),
    );
    let severity = severity_of(known, rule);
    if let Some(rule) = rule {
        let help = format!("{}\n\n{}\n\n{}", rule.why.en, rule.evidence.en, rule.fix.en);
        set(
            &mut value,
            "fullDescription",
            json!({ "text": message(rule.what.en) }),
        );
        set(&mut value, "help", json!({ "text": message(&help) }));
        set_some(
            &mut value,
            "helpUri",
            exchange::links(rule).first().copied(),
        );
    }
    if let Some(severity) = severity.1 {
        set(
            &mut value,
            "defaultConfiguration",
            json!({ "level": level(severity) }),
        );
    }
    let mut tags = vec!["security".to_owned(), "memcached".to_owned()];
    let weaknesses = rule.map(exchange::weaknesses).unwrap_or_default();
    tags.extend(
        weaknesses
            .iter()
            .map(|cwe| format!("external/cwe/cwe-{cwe:03}")),
    );
    let mut properties = json!({ "tags": tags });
    if let Some(score) = severity.0 {
        properties["security-severity"] = format!("{score:.1}").into();
    }
    set(&mut value, "properties", properties);
    value.into()
}

/// How bad a rule is, as a score and as a word: the published score of a flaw, or else what was
/// found at worst. A rule on behaviour that found nothing has neither.
fn severity_of(known: &Known, rule: Option<&Rule>) -> (Option<f64>, Option<Severity>) {
    let cvss = rule.and_then(|rule| rule.flaw).and_then(|flaw| flaw.cvss);
    let published = cvss.and_then(|cvss| Some((f64::from(cvss.tenths?) / 10.0, cvss.severity())));
    match (published, known.worst) {
        (Some((score, severity)), _) => (Some(score), Some(severity)),
        (None, Some(worst)) => (Some(exchange::score(worst)), Some(worst)),
        (None, None) => (None, None),
    }
}

/// `open-without-authentication` as SARIF wants names: `OpenWithoutAuthentication`.
fn pascal_case(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let mut characters = word.chars();
            let first = characters.next().map(|one| one.to_ascii_uppercase());
            first.into_iter().chain(characters)
        })
        .collect()
}
