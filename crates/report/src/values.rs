//! Records as JSON values: the keys of the NDJSON contract, in its order, always in English.
//!
//! What is unknown has no key: nothing here is ever null, and no 0 or "" stands for "did not
//! answer".

use std::cmp::Reverse;
use std::time::SystemTime;

use assess::{Score, Scores};
use model::{
    Acceptance, Address, Amplification, Answer, Auth, Certificate, Connections, Contact, Dialogue,
    Ending, Endpoint, Enrichment, Evidence, Finding, IcmpError, MetaNoop, Pending, PlanBlock,
    Protocol, Question, Record, Refusal, RunRecord, StatsTable, Summary, TlsFacts, Transport,
    Unsampled, Value as Statistic, Verdict, VerdictCounts, VerifiedFinding,
};
use serde_json::{Map, Number, Value, json};

use crate::words::{rfc3339, unix_time};
use crate::{Checkpoint, labels, sample};

/// The version of this format. A reader may rely on the meaning of every key it knows; new keys
/// come without a new version.
pub(crate) const SCHEMA: u64 = 1;

/// Servers named in the summary, worst first.
const WORST_SERVERS_MAX: usize = 100;

/// A JSON object, its keys in order of insertion.
pub(crate) type Object = Map<String, Value>;

/// The `run` record.
pub(crate) fn run(run: &RunRecord) -> Value {
    let mut object = head("run", &run.run, run.timestamp);
    set(&mut object, "command", run.command.as_str());
    set_some(&mut object, "source", run.source.as_deref());
    set(&mut object, "tool_version", run.tool_version.as_str());
    set(&mut object, "targets", strings(&run.targets));
    set(&mut object, "exclude", strings(&run.exclusions));
    set(&mut object, "ports", json!(run.ports));
    set(&mut object, "tcp", run.tcp);
    set(&mut object, "udp", run.udp);
    set(&mut object, "seed", run.seed);
    set(
        &mut object,
        "shard",
        format!("{}/{}", run.shard.0, run.shard.1),
    );
    set(&mut object, "rate", run.rate_pps);
    set(&mut object, "retries", run.retries);
    set(&mut object, "all", run.all);
    set(&mut object, "engine_wished", run.engine_wished.as_str());
    let fingerprint = format!("{:016x}", run.fingerprint);
    let mut plan = Object::new();
    set(&mut plan, "pairs", run.pairs);
    set(&mut plan, "fingerprint", fingerprint);
    if !run.blocks.is_empty() {
        let blocks = run.blocks.iter().map(plan_block);
        set(&mut plan, "blocks", blocks.collect::<Vec<Value>>());
    }
    set(&mut object, "plan", plan);
    set(&mut object, "counter", run.counter);
    set_some(&mut object, "resumed_from", run.resumed_from.as_deref());
    let mut vantage = Object::new();
    set_some(&mut vantage, "source", run.vantage.source.as_deref());
    set_some(&mut vantage, "interface", run.vantage.interface.as_deref());
    set(&mut vantage, "engine", run.vantage.engine.as_str());
    set(&mut object, "vantage", vantage);
    Value::Object(object)
}

fn plan_block(block: &PlanBlock) -> Value {
    json!({
        "first": block.first.to_string(),
        "last": block.last.to_string(),
        "ports": block.ports,
    })
}

/// The `progress` record.
pub(crate) fn progress(checkpoint: &Checkpoint<'_>) -> Value {
    let mut object = head("progress", checkpoint.run, checkpoint.timestamp);
    set(&mut object, "counter", checkpoint.counter);
    set_pending(&mut object, checkpoint.pending);
    set(&mut object, "verdicts", counts(checkpoint.verdicts));
    set(&mut object, "alarms", checkpoint.alarms);
    Value::Object(object)
}

/// What became of a finding; it belongs to the run that asked again.
pub(crate) fn verified(summary: &Summary, finding: &VerifiedFinding) -> Value {
    let mut object = head("finding", &summary.run, summary.timestamp);
    set(&mut object, "address", finding.address.as_str());
    set(&mut object, "port", finding.port);
    set(&mut object, "transport", finding.transport.as_str());
    set(&mut object, "code", finding.code.as_str());
    set(&mut object, "title", finding.title.as_str());
    set(&mut object, "state", finding.state.as_str());
    set(&mut object, "why", finding.why.en.as_str());
    Value::Object(object)
}

/// The `summary` record.
pub(crate) fn summary(summary: &Summary, scores: &Scores) -> Value {
    let mut object = head("summary", &summary.run, summary.timestamp);
    set(&mut object, "verdicts", counts(&summary.verdicts));
    set(&mut object, "alarms", summary.alarms);
    grades(&mut object, summary, scores);
    set(&mut object, "packets_sent", summary.packets_sent);
    set(&mut object, "packets_received", summary.packets_received);
    set(&mut object, "rejected_replies", summary.rejected_replies);
    let duration_s = (summary.duration.as_secs_f64() * 1000.0).round() / 1000.0;
    set(&mut object, "duration_s", duration_s);
    set(&mut object, "complete", summary.complete);
    set(&mut object, "counter", summary.counter);
    set_pending(&mut object, &summary.pending);
    if summary.unasked > 0 {
        set(&mut object, "unasked", summary.unasked);
    }
    let notes: Vec<Value> = summary
        .notes
        .iter()
        .map(|note| note.en.as_str().into())
        .collect();
    set(&mut object, "notes", notes);
    Value::Object(object)
}

/// The grade of everything that was recorded, and the worst servers. Where nothing is reached, a run
/// that was not finished has no grade.
fn grades(object: &mut Object, summary: &Summary, scores: &Scores) {
    let counts = scores.counts();
    if counts.total() == 0 && !is_settled(summary) {
        return;
    }
    set(object, "grade", scores.grade().as_str());
    set(object, "debt", scores.debt());
    let mut by_grade = Object::new();
    for (grade, count) in counts.iter() {
        set(&mut by_grade, grade.as_str(), count);
    }
    set(object, "grades", by_grade);
    let mut servers: Vec<(&Address, u16, Score)> = scores.servers().collect();
    // The worst first; of equals by address, as they come.
    servers.sort_by_key(|(_, _, score)| Reverse(*score));
    let worst: Vec<Value> = servers
        .into_iter()
        .take(WORST_SERVERS_MAX)
        .map(|(address, port, score)| {
            let mut server = Object::new();
            set(&mut server, "address", address.to_string());
            if address.ip().is_some() {
                set(&mut server, "port", port);
            }
            set_score(&mut server, score);
            server.into()
        })
        .collect();
    set(object, "worst_servers", worst);
}

/// Whether every endpoint was judged, so that "nothing is reached" can be said.
pub(crate) fn is_settled(summary: &Summary) -> bool {
    summary.complete
        && summary.verdicts.total() > 0
        && summary.verdicts.of(Verdict::Unfinished) == 0
}

fn set_score(object: &mut Object, score: Score) {
    set(object, "grade", score.grade().as_str());
    set(object, "debt", score.debt);
}

/// What was begun and not ended, by transport: counters, and stretches of them as `[first,last]`.
/// Nothing is written where nothing is pending.
fn set_pending(object: &mut Object, pending: &[Pending]) {
    let counters = |wanted: fn(&Pending) -> bool| -> Vec<Value> {
        let of_transport = pending.iter().filter(|one| wanted(one));
        of_transport
            .map(|one| match one.count {
                0 | 1 => json!(one.counter),
                count => json!([one.counter, one.counter.saturating_add(count - 1)]),
            })
            .collect()
    };
    if !pending.is_empty() {
        let (stream, datagram) = (counters(|one| one.stream), counters(|one| one.datagram));
        set(object, "pending", json!({ "tcp": stream, "udp": datagram }));
    }
}

/// Which endpoint it is.
pub(crate) fn set_endpoint(object: &mut Object, endpoint: &Endpoint) {
    set(object, "address", endpoint.address.to_string());
    if endpoint.transport != Transport::Unix {
        set(object, "port", endpoint.port);
    }
    set(object, "transport", endpoint.transport.as_str());
}

/// The `endpoint` record.
pub(crate) fn endpoint(record: &Record) -> Value {
    let mut object = head("endpoint", &record.run, record.timestamp);
    set_endpoint(&mut object, &record.endpoint);
    set_some(&mut object, "hostname", record.hostname.as_deref());
    if let Some(hardware) = &record.hardware {
        set(&mut object, "mac", hardware.address.to_string());
        set_some(&mut object, "vendor", hardware.vendor.as_deref());
    }
    set_some(&mut object, "source", record.source.as_deref());
    enrichment(&mut object, &record.enrichment);
    set(&mut object, "verdict", record.judgement.verdict.as_str());
    set(&mut object, "reason", record.judgement.reason.en.as_str());
    set(&mut object, "alarm", record.alarm);
    if let Some(score) = Score::of(record) {
        set_score(&mut object, score);
    }
    if record.judgement.only_from_here {
        set(&mut object, "only_from_here", true);
    }
    if !record.acceptances.is_empty() {
        let accepted: Vec<Value> = record.acceptances.iter().map(acceptance).collect();
        set(&mut object, "accepted", accepted);
    }
    contact(&mut object, &record.evidence);
    if let Some(dialogue) = &record.evidence.dialogue {
        facts(&mut object, dialogue, record.endpoint.transport);
    }
    let findings: Vec<Value> = record.judgement.findings.iter().map(finding).collect();
    set(&mut object, "findings", findings);
    Value::Object(object)
}

/// What the administrator's own files say.
fn enrichment(object: &mut Object, known: &Enrichment) {
    set_some(object, "reverse_name", known.reverse_name.as_deref());
    set_some(object, "asn", known.asn);
    set_some(object, "as_name", known.as_name.as_deref());
    set_some(object, "country", known.country.as_deref());
    set_some(object, "owner", known.owner.as_deref());
    if !known.tags.is_empty() {
        set(object, "tags", strings(&known.tags));
    }
}

/// The keys that every record begins with.
fn head(kind: &str, run: &str, timestamp: SystemTime) -> Object {
    let mut object = Object::new();
    set(&mut object, "record", kind);
    set(&mut object, "schema", SCHEMA);
    set(&mut object, "run", run);
    set(&mut object, "timestamp", rfc3339(timestamp));
    object
}

/// How far the probes came.
fn contact(object: &mut Object, evidence: &Evidence) {
    let (word, icmp) = match &evidence.contact {
        Contact::Answered => ("answered", None),
        Contact::Refused(Refusal::PortUnreachable(icmp)) => ("refused", Some(icmp)),
        Contact::Refused(Refusal::Reset | Refusal::NoListener) => ("refused", None),
        Contact::Prohibited(icmp) => ("prohibited", icmp.as_ref()),
        Contact::Unreachable(icmp) => ("unreachable", icmp.as_ref()),
        Contact::Silent => ("silent", None),
        Contact::Unfinished => ("unfinished", None),
        Contact::Failed(_) => ("failed", None),
    };
    set(object, "contact", word);
    if let Some(icmp) = icmp {
        set(object, "icmp", icmp_error(icmp));
    }
    if let Contact::Failed(words) = &evidence.contact {
        set(object, "failure", words.as_str());
    }
    set(object, "attempts", evidence.attempts);
    if let Some(rtt) = evidence.rtt {
        set(
            object,
            "rtt_us",
            u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
        );
    }
}

fn icmp_error(icmp: &IcmpError) -> Object {
    let mut object = Object::new();
    set(&mut object, "type", icmp.kind);
    set(&mut object, "code", icmp.code);
    set_some(&mut object, "from", icmp.from.map(|from| from.to_string()));
    object
}

/// Everything the server said.
fn facts(object: &mut Object, dialogue: &Dialogue, transport: Transport) {
    set_some(
        object,
        "version",
        dialogue.version.value().map(String::as_str),
    );
    set_some(object, "protocol", protocol(dialogue));
    set(object, "auth", dialogue.auth.as_str());
    if let Auth::Sasl(mechanisms) = &dialogue.auth {
        set(object, "sasl_mechanisms", strings(mechanisms));
    }
    set_some(
        object,
        "answered_from",
        dialogue.answered_from.map(|from| from.to_string()),
    );
    if !dialogue.executed.is_empty() {
        let executed = dialogue
            .executed
            .iter()
            .map(|question| question.as_str().into());
        set(object, "executed", executed.collect::<Vec<Value>>());
    }
    set_some(object, "server", dialogue.stats.value().map(server));
    set_some(object, "settings", dialogue.settings.value().map(settings));
    set_some(object, "items", dialogue.items.value().map(items));
    set_some(
        object,
        "connections",
        dialogue.connections.value().map(connections),
    );
    set_some(
        object,
        "key_sample",
        dialogue.key_sample.value().map(sample::object),
    );
    let skipped = dialogue.unsampled.map(Unsampled::as_str);
    set_some(object, "key_sample_skipped", skipped);
    if let Some(known) = dialogue.meta_noop.value() {
        let word = match known {
            MetaNoop::Mn => "MN",
            MetaNoop::En => "EN",
            MetaNoop::NotKnown => "not known",
        };
        set(object, "meta_noop", word);
    }
    if let Some(facts) = &dialogue.tls {
        set(object, "tls", tls(facts, dialogue.protocol));
    }
    if transport == Transport::Udp {
        amplifications(object, &dialogue.amplification);
    }
    if let Some(impression) = &dialogue.impression {
        let look = labels::look(impression);
        let mut looked_like = Object::new();
        set(&mut looked_like, "kind", look.kind);
        set_some(&mut looked_like, "detail", look.detail);
        if look.inside_tls {
            set(&mut looked_like, "inside_tls", true);
        }
        set(object, "looked_like", looked_like);
    }
    outcomes(object, dialogue);
}

/// As spoken: `tls` when the words went through TLS, whatever they were.
pub(crate) fn protocol(dialogue: &Dialogue) -> Option<&'static str> {
    match (&dialogue.tls, dialogue.protocol) {
        (Some(_), _) => Some("tls"),
        (None, Protocol::Unknown) => None,
        (None, protocol) => Some(protocol.as_str()),
    }
}

/// The rows of `stats`, typed. `version` stands at the top of the record; `uptime` gets its unit.
fn server(table: &StatsTable) -> Object {
    let mut object = Object::new();
    for (name, value) in table.iter() {
        match name {
            "version" => {}
            "uptime" => {
                if object.contains_key("uptime_s") {
                    continue;
                }
                match Statistic::of(value) {
                    Statistic::Integer(seconds) => set(&mut object, "uptime_s", seconds),
                    Statistic::Decimal(seconds) => {
                        set(&mut object, "uptime_s", seconds.floor() as u64);
                    }
                    Statistic::Text(_) => set(&mut object, name, value),
                }
            }
            // Ours to give, so that a server's own row of this name cannot stand in its place.
            "uptime_s" => {}
            _ => set_statistic(&mut object, name, value),
        }
    }
    object
}

/// The rows of `stats settings`, as the server names and says them.
fn settings(table: &StatsTable) -> Object {
    let mut object = Object::new();
    for (name, value) in table.iter() {
        if !object.contains_key(name) {
            set(&mut object, name, value);
        }
    }
    object
}

/// The rows `items:CLASS:NAME` of `stats items`, gathered by class.
pub(crate) fn items(table: &StatsTable) -> Object {
    let mut object = Object::new();
    for (row, value) in table.iter() {
        let Some((class, name)) = row
            .strip_prefix("items:")
            .and_then(|row| row.split_once(':'))
        else {
            continue;
        };
        let entry = object
            .entry(class)
            .or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(entry) = entry {
            set_statistic(entry, name, value);
        }
    }
    object
}

/// Sets a statistic under its own name; the first row of a name counts.
pub(crate) fn set_statistic(object: &mut Object, name: &str, value: &str) {
    if object.contains_key(name) {
        return;
    }
    match Statistic::of(value) {
        Statistic::Integer(integer) => set(object, name, integer),
        Statistic::Decimal(decimal) => {
            set_some(object, name, Number::from_f64(decimal).map(Value::Number));
        }
        Statistic::Text(text) => set(object, name, text),
    }
}

fn connections(connections: &Connections) -> Value {
    json!({
        "listening": connections.listening,
        "tcp_clients": connections.tcp_clients,
        "unix_clients": connections.unix_clients,
        "loopback_peers": connections.loopback_peers,
        "private_peers": connections.private_peers,
        "public_peers": connections.public_peers,
    })
}

fn tls(facts: &TlsFacts, inner: Protocol) -> Object {
    let mut object = Object::new();
    set_nonempty(&mut object, "version", &facts.version);
    set_nonempty(&mut object, "cipher_suite", &facts.cipher_suite);
    if inner != Protocol::Unknown {
        set(&mut object, "inner", inner.as_str());
    }
    set(
        &mut object,
        "client_certificate_requested",
        facts.client_certificate_requested,
    );
    set_some(
        &mut object,
        "certificate",
        facts.certificate.as_ref().map(certificate),
    );
    object
}

fn certificate(certificate: &Certificate) -> Object {
    let mut object = Object::new();
    set_nonempty(&mut object, "subject", &certificate.subject);
    set_nonempty(&mut object, "issuer", &certificate.issuer);
    set(&mut object, "names", strings(&certificate.names));
    let format = "%Y-%m-%dT%H:%M:%SZ";
    set_some(
        &mut object,
        "not_before",
        unix_time(certificate.not_before_unix_s, format),
    );
    set_some(
        &mut object,
        "not_after",
        unix_time(certificate.not_after_unix_s, format),
    );
    set_nonempty(&mut object, "sha256", &certificate.sha256);
    object
}

/// The strongest request, and all of them.
fn amplifications(object: &mut Object, measured: &[Amplification]) {
    set_some(
        object,
        "amplification",
        strongest(measured).map(amplification),
    );
    if !measured.is_empty() {
        let all: Vec<Value> = measured
            .iter()
            .map(|one| amplification(one).into())
            .collect();
        set(object, "amplification_all", all);
    }
}

/// The request that brought back most for what it cost; the first of equals.
pub(crate) fn strongest(measured: &[Amplification]) -> Option<&Amplification> {
    measured.iter().reduce(|best, one| {
        if one.payload_ratio() > best.payload_ratio() {
            one
        } else {
            best
        }
    })
}

fn amplification(measured: &Amplification) -> Object {
    let mut object = Object::new();
    set(&mut object, "command", measured.command.as_str());
    set(&mut object, "request_bytes", measured.request_bytes);
    set(&mut object, "reply_bytes", measured.reply_bytes);
    set(&mut object, "datagrams", measured.datagrams);
    set(&mut object, "payload_ratio", payload_ratio(measured));
    set(&mut object, "wire_ratio", wire_ratio(measured));
    set(&mut object, "complete", measured.complete);
    object
}

/// The payload ratio, to hundredths.
pub(crate) fn payload_ratio(measured: &Amplification) -> f64 {
    hundredths(measured.payload_ratio())
}

/// The wire ratio, to hundredths.
pub(crate) fn wire_ratio(measured: &Amplification) -> f64 {
    hundredths(measured.wire_ratio())
}

fn hundredths(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}

/// What became of the questions that got no whole answer, and what else was odd.
fn outcomes(object: &mut Object, dialogue: &Dialogue) {
    let mut truncated = Vec::new();
    let mut unanswered = Vec::new();
    let mut hung_up = Vec::new();
    let mut refused = Object::new();
    for (question, outcome) in questions(dialogue) {
        match outcome {
            Outcome::Truncated => truncated.push(Value::from(question)),
            Outcome::Silent => unanswered.push(Value::from(question)),
            Outcome::Closed => hung_up.push(Value::from(question)),
            Outcome::Refused(words) => set(&mut refused, question, words),
            Outcome::GivenOrNotAsked => {}
        }
    }
    for (key, list) in [
        ("truncated", truncated),
        ("unanswered", unanswered),
        ("hung_up", hung_up),
    ] {
        if !list.is_empty() {
            set(object, key, list);
        }
    }
    if !refused.is_empty() {
        set(object, "refused", refused);
    }
    if !dialogue.anomalies.is_empty() {
        let sentences = dialogue
            .anomalies
            .iter()
            .map(|one| labels::anomaly(one).en.into());
        set(object, "anomalies", sentences.collect::<Vec<Value>>());
    }
    let ending = match dialogue.ending {
        Ending::Complete => None,
        Ending::Deadline => Some("deadline"),
        Ending::Stopped => Some("stopped"),
        Ending::Sampled => Some("sampled"),
    };
    set_some(object, "ending", ending);
}

/// What became of a question, without what was said.
pub(crate) enum Outcome<'a> {
    /// A whole answer, or no question.
    GivenOrNotAsked,
    /// No answer.
    Silent,
    /// The peer hung up.
    Closed,
    /// A refusal, in the server's words.
    Refused(&'a str),
    /// Half an answer.
    Truncated,
}

/// Every question of a dialogue by its name, with what became of it.
pub(crate) fn questions(dialogue: &Dialogue) -> [(&'static str, Outcome<'_>); 11] {
    [
        (Question::Version.as_str(), outcome(&dialogue.version)),
        (Question::Stats.as_str(), outcome(&dialogue.stats)),
        (
            Question::StatsSettings.as_str(),
            outcome(&dialogue.settings),
        ),
        (Question::StatsItems.as_str(), outcome(&dialogue.items)),
        (
            Question::StatsConns.as_str(),
            outcome(&dialogue.connections),
        ),
        (
            "stats on a second connection",
            outcome(&dialogue.second_stats),
        ),
        ("stats once more", outcome(&dialogue.repeated_stats)),
        (Question::RandomKey.as_str(), outcome(&dialogue.random_key)),
        (
            Question::TwoCommands.as_str(),
            outcome(&dialogue.two_commands),
        ),
        (Question::MetaNoop.as_str(), outcome(&dialogue.meta_noop)),
        (Question::KeySample.as_str(), outcome(&dialogue.key_sample)),
    ]
}

fn outcome<T>(answer: &Answer<T>) -> Outcome<'_> {
    match answer {
        Answer::NotAsked | Answer::Given(_) => Outcome::GivenOrNotAsked,
        Answer::Silent => Outcome::Silent,
        Answer::Closed => Outcome::Closed,
        Answer::Refused(words) => Outcome::Refused(words),
        Answer::Truncated(_) => Outcome::Truncated,
    }
}

fn acceptance(acceptance: &Acceptance) -> Value {
    let mut object = Object::new();
    set_some(&mut object, "rule", acceptance.rule.as_deref());
    set(&mut object, "reason", acceptance.reason.as_str());
    set(&mut object, "until", acceptance.until.as_str());
    Value::Object(object)
}

/// A finding, in English.
pub(crate) fn finding(finding: &Finding) -> Value {
    let evidence: Vec<&str> = finding
        .evidence
        .iter()
        .map(|line| line.en.as_str())
        .collect();
    json!({
        "code": finding.code,
        "severity": finding.severity.as_str(),
        "confidence": finding.confidence.as_str(),
        "title": finding.title.en,
        "evidence": evidence,
        "fix": finding.fix.en,
    })
}

/// The sentences of a record in Japanese, in the order of the English ones.
pub(crate) fn add_japanese_of_endpoint(value: &mut Value, record: &Record) {
    let findings: Vec<Value> = record
        .judgement
        .findings
        .iter()
        .map(|finding| {
            let evidence: Vec<&str> = finding
                .evidence
                .iter()
                .map(|line| line.ja.as_str())
                .collect();
            json!({ "title": finding.title.ja, "evidence": evidence, "fix": finding.fix.ja })
        })
        .collect();
    value["ja"] = json!({ "reason": record.judgement.reason.ja, "findings": findings });
}

/// The notes of a summary in Japanese.
pub(crate) fn add_japanese_of_summary(value: &mut Value, summary: &Summary) {
    let notes: Vec<&str> = summary.notes.iter().map(|note| note.ja.as_str()).collect();
    value["ja"] = json!({ "notes": notes });
}

pub(crate) fn counts(verdicts: &VerdictCounts) -> Object {
    let mut object = Object::new();
    for (verdict, count) in verdicts.iter() {
        set(&mut object, verdict.as_str(), count);
    }
    object
}

pub(crate) fn strings(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| text.as_str().into()).collect())
}

pub(crate) fn set(object: &mut Object, key: &str, value: impl Into<Value>) {
    object.insert(key.to_owned(), value.into());
}

pub(crate) fn set_some(object: &mut Object, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        set(object, key, value);
    }
}

fn set_nonempty(object: &mut Object, key: &str, text: &str) {
    if !text.is_empty() {
        set(object, key, text);
    }
}
