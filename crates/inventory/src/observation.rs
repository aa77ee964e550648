//! One endpoint at one time: the facts that searches and comparisons look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use model::{
    Answer, Confidence, Dialogue, Endpoint, Impression, Protocol, Record, Severity, StatsTable,
    TlsFacts, Transport, Verdict,
};

use crate::{digest, fold};

/// Who saw what this program's own runs saw.
pub const OWN_SOURCE: &str = "memsweep";
/// Before the name of a row of `stats settings` in [`Observation::stable`].
pub const SETTING_PREFIX: &str = "setting:";
/// Before the name of a row of `stats` that is a setting, too.
pub const STATISTIC_PREFIX: &str = "stat:";
/// Before the code of a rule that fired.
pub const FINDING_PREFIX: &str = "finding:";
/// The most settings that are kept; memcached 1.6 has some 80.
pub const SETTINGS_MAX: usize = 128;
/// The most findings that are kept; there are fewer rules than that.
pub const FINDINGS_MAX: usize = 64;
/// The most tags that are kept.
pub const TAGS_MAX: usize = 64;
/// A name or value longer than this is cut.
pub const VALUE_CHARACTERS_MAX: usize = 256;
/// A text for searching longer than this is cut.
pub const TEXT_CHARACTERS_MAX: usize = 4_096;

/// Rows of `stats` that only a restart or an administrator changes. Versions before 1.4.0 have no
/// `stats settings`, and of others it may have been lost.
const LASTING_STATISTICS: [&str; 5] = [
    "libevent",
    "limit_maxbytes",
    "max_connections",
    "pointer_size",
    "threads",
];
/// Rows of `stats settings` that move without anybody changing a setting: `oldest` is the time of
/// the last `flush_all`.
const MOVING_SETTINGS: [&str; 1] = ["oldest"];

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
    /// codes and titles of findings (of those that are only possible, the CVE), owner, tags.
    pub text: String,
    /// What stays the same between two runs unless something was changed: verdict, version,
    /// authentication, settings, findings, certificate … Counters, times and sizes are not here,
    /// nor is anything that depends on how it was asked, such as the host's name.
    pub stable: BTreeMap<String, String>,
    /// When the server's process began, by its own clock, seconds since the Unix epoch; together
    /// with the pid it tells a restart.
    pub process_start_unix_s: Option<i64>,
    /// The process id that the server gave.
    pub pid: Option<u64>,
}

impl Observation {
    /// The observation that a record amounts to. It is bounded whatever a server said: see the
    /// constants of this module.
    pub fn of(record: &Record) -> Observation {
        let dialogue = record.evidence.dialogue.as_deref();
        let stats = dialogue.and_then(|dialogue| dialogue.stats.value());
        let known = &record.enrichment;
        let hostname = record.hostname.as_deref().or(known.reverse_name.as_deref());
        let mut tags: Vec<String> = known
            .tags
            .iter()
            .take(TAGS_MAX)
            .map(|tag| cut(tag))
            .collect();
        tags.sort();
        tags.dedup();
        Observation {
            run: Arc::clone(&record.run),
            source: record.source.clone().unwrap_or_else(|| OWN_SOURCE.into()),
            seen: record.timestamp,
            endpoint: record.endpoint.clone(),
            verdict: Some(record.judgement.verdict),
            alarm: record.alarm,
            hostname: hostname.map(cut),
            version: dialogue.and_then(version),
            protocol: dialogue.and_then(protocol).map(str::to_owned),
            auth: dialogue.map(|dialogue| dialogue.auth.as_str().to_owned()),
            findings: findings(record),
            payload_ratio: dialogue
                .filter(|_| record.endpoint.transport == Transport::Udp)
                .and_then(payload_ratio),
            asn: known.asn,
            country: known
                .country
                .as_deref()
                .map(|country| cut(country).to_ascii_uppercase()),
            owner: known.owner.as_deref().map(cut),
            tags,
            text: searchable(record),
            stable: stable(record),
            process_start_unix_s: stats.and_then(StatsTable::start_time_unix_s),
            pid: stats.and_then(|stats| stats.integer("pid")),
        }
    }

    /// The worst severity among the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// A fingerprint of [`Observation::stable`]: equal if nothing of it changed.
    pub fn digest(&self) -> u64 {
        digest(&self.stable)
    }
}

/// A text that is no longer than a value may be.
fn cut(text: &str) -> String {
    beginning(text, VALUE_CHARACTERS_MAX).to_owned()
}

/// At most so many characters of a text.
fn beginning(text: &str, characters_max: usize) -> &str {
    // A character has at least one byte, so most texts need not be counted.
    if text.len() <= characters_max {
        return text;
    }
    let end = text.char_indices().nth(characters_max);
    end.map_or(text, |(end, _)| &text[..end])
}

fn version(dialogue: &Dialogue) -> Option<String> {
    dialogue.version.value().map(|version| cut(version))
}

/// As spoken: `tls` when the words went through TLS, whatever they were.
fn protocol(dialogue: &Dialogue) -> Option<&'static str> {
    match (&dialogue.tls, dialogue.protocol) {
        (Some(_), _) => Some("tls"),
        (None, Protocol::Unknown) => None,
        (None, protocol) => Some(protocol.as_str()),
    }
}

fn payload_ratio(dialogue: &Dialogue) -> Option<f64> {
    let ratios = dialogue.amplification.iter().map(|one| one.payload_ratio());
    ratios.max_by(f64::total_cmp)
}

fn findings(record: &Record) -> Vec<FindingKey> {
    let found = record.judgement.findings.iter().take(FINDINGS_MAX);
    let mut keys: Vec<FindingKey> = found
        .map(|finding| FindingKey {
            code: finding.code.to_owned(),
            severity: finding.severity,
            confidence: finding.confidence,
        })
        .collect();
    keys.sort();
    keys
}

/// What stays the same between two runs unless something was changed.
fn stable(record: &Record) -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    let mut set = |prefix: &str, name: &str, value: &str| {
        let name = beginning(name, VALUE_CHARACTERS_MAX - prefix.len());
        // The first row of a name counts, as everywhere.
        rows.entry([prefix, name].concat())
            .or_insert_with(|| cut(value));
    };
    set("", "verdict", record.judgement.verdict.as_str());
    for finding in findings(record).iter().rev() {
        let value = format!("{} {}", finding.severity, finding.confidence.as_str());
        set(FINDING_PREFIX, &finding.code, &value);
    }
    let Some(dialogue) = record.evidence.dialogue.as_deref() else {
        return rows;
    };
    set("", "auth", dialogue.auth.as_str());
    let certificate = dialogue
        .tls
        .as_ref()
        .and_then(|tls| tls.certificate.as_ref());
    let impression = dialogue.impression.as_ref().map(impression);
    for (name, value) in [
        ("version", version(dialogue)),
        ("protocol", protocol(dialogue).map(str::to_owned)),
        ("certificate", certificate.map(|shown| shown.sha256.clone())),
        ("answered_from", answered_from(record, dialogue)),
        ("impression", impression),
    ] {
        if let Some(value) = value {
            set("", name, &value);
        }
    }
    // A listing that broke off would make the rows that were lost look like a change.
    if let Answer::Given(settings) = &dialogue.settings {
        let lasting = settings
            .iter()
            .filter(|(name, _)| !MOVING_SETTINGS.contains(name));
        for (name, value) in lasting.take(SETTINGS_MAX) {
            set(SETTING_PREFIX, name, value);
        }
    }
    if let Answer::Given(stats) = &dialogue.stats {
        for name in LASTING_STATISTICS {
            if let Some(value) = stats.text(name) {
                set(STATISTIC_PREFIX, name, value);
            }
        }
    }
    rows
}

/// Another address or port that answered; of another port only that it was another, because it
/// may differ each time.
fn answered_from(record: &Record, dialogue: &Dialogue) -> Option<String> {
    let from = dialogue.answered_from?;
    let ip = model::canonical_ip(from.ip());
    if record.endpoint.address.ip() == Some(ip) {
        Some("another port".to_owned())
    } else {
        Some(ip.to_string())
    }
}

/// What it looked like, without the words that it said.
fn impression(impression: &Impression) -> String {
    let kind = match impression {
        Impression::Mute => "mute",
        Impression::Reset => "reset",
        Impression::Closed => "closed",
        Impression::Echo => "echo",
        Impression::Http(_) => "http",
        Impression::Ssh(_) => "ssh",
        Impression::Redis(_) => "redis",
        Impression::InsideTls(inner) => return format!("tls {}", self::impression(inner)),
        Impression::TlsFailure(_) => "tls-failure",
        Impression::Text(_) => "text",
        Impression::Bytes(_) => "bytes",
        Impression::ForeignDatagram(_) => "foreign-datagram",
    };
    kind.to_owned()
}

/// The words that it said, if it is no memcached.
fn said(impression: &Impression) -> Option<&str> {
    match impression {
        Impression::Mute | Impression::Reset | Impression::Closed | Impression::Echo => None,
        Impression::Http(words)
        | Impression::Ssh(words)
        | Impression::Redis(words)
        | Impression::TlsFailure(words)
        | Impression::Text(words)
        | Impression::Bytes(words)
        | Impression::ForeignDatagram(words) => Some(words),
        Impression::InsideTls(inner) => said(inner),
    }
}

/// What free text searches in: one fact a line, so that no search finds the end of one with the
/// beginning of the next.
fn searchable(record: &Record) -> String {
    let endpoint = record.endpoint.to_string();
    let known = &record.enrichment;
    let reason = &record.judgement.reason;
    let mut parts: Vec<&str> = vec![&endpoint];
    parts.extend(record.hostname.as_deref());
    parts.extend(known.reverse_name.as_deref());
    parts.extend(known.owner.as_deref());
    parts.extend(known.as_name.as_deref());
    parts.extend(known.tags.iter().take(TAGS_MAX).map(String::as_str));
    if let Some(dialogue) = record.evidence.dialogue.as_deref() {
        parts.extend(dialogue.version.value().map(String::as_str));
        parts.extend(dialogue.impression.as_ref().and_then(said));
        if let Some(TlsFacts {
            certificate: Some(certificate),
            ..
        }) = &dialogue.tls
        {
            parts.extend([certificate.subject.as_str(), &certificate.issuer]);
            parts.extend(certificate.names.iter().map(String::as_str));
        }
    }
    parts.extend(
        record
            .hardware
            .iter()
            .filter_map(|card| card.vendor.as_deref()),
    );
    parts.extend([reason.en.as_str(), &reason.ja]);
    for finding in record.judgement.findings.iter().take(FINDINGS_MAX) {
        parts.push(finding.code);
        // What is possible by the version alone are a dozen CVEs: their ids are enough, and their
        // titles would be most of what a large inventory holds.
        if finding.confidence == Confidence::Possible {
            parts.extend(finding.title.en.split(':').next());
        } else {
            parts.extend([finding.title.en.as_str(), &finding.title.ja]);
        }
    }
    let mut text = String::new();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        text.push_str(&fold(beginning(part, VALUE_CHARACTERS_MAX)));
        text.push('\n');
    }
    let end = beginning(&text, TEXT_CHARACTERS_MAX).len();
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_record_becomes_facts() {
        let seen = Observation::of(&samples::exposed_udp());
        assert_eq!(&*seen.source, OWN_SOURCE);
        assert_eq!(seen.verdict, Some(Verdict::Exposed));
        assert_eq!(seen.version.as_deref(), Some("1.4.15"));
        assert_eq!(seen.protocol.as_deref(), Some("ascii"));
        assert_eq!(seen.auth.as_deref(), Some("none"));
        assert_eq!(seen.payload_ratio, Some(50.0));
        assert_eq!(seen.pid, Some(1234));
        assert_eq!(seen.process_start_unix_s, Some(1_000_000));
        assert_eq!(seen.hostname.as_deref(), Some("cache1.example.org"));
        assert_eq!(seen.country.as_deref(), Some("JP"));
        assert_eq!(seen.tags, ["backup", "production"]);
        assert_eq!(seen.worst(), Some(Severity::High));
        for part in [
            "192.168.2.9:11211/udp",
            "ms002",
            "増幅",
            "noc one",
            "1.4.15",
        ] {
            assert!(seen.text.contains(part), "{part} in {}", seen.text);
        }
        let rows: Vec<(&str, &str)> = seen
            .stable
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                ("auth", "none"),
                ("finding:MS001", "medium likely"),
                ("finding:MS002", "high confirmed"),
                ("protocol", "ascii"),
                ("setting:inter", "0.0.0.0"),
                ("setting:udpport", "11211"),
                ("stat:limit_maxbytes", "67108864"),
                ("verdict", "exposed"),
                ("version", "1.4.15"),
            ]
        );
    }

    #[test]
    fn what_nobody_said_is_none() {
        let mut record = samples::exposed_udp();
        record.evidence.dialogue = None;
        record.hostname = None;
        record.enrichment = model::Enrichment::default();
        record.source = Some("shodan".into());
        let seen = Observation::of(&record);
        assert_eq!(&*seen.source, "shodan");
        assert_eq!(seen.version, None);
        assert_eq!(seen.auth, None);
        assert_eq!(seen.protocol, None);
        assert_eq!(seen.payload_ratio, None);
        assert_eq!((seen.hostname, seen.pid), (None, None));
    }

    #[test]
    fn counters_times_and_the_way_of_asking_change_nothing() {
        let before = samples::exposed_udp();
        let mut after = before.clone();
        after.timestamp += std::time::Duration::from_secs(86_400);
        after.hostname = None;
        after.run = "another".into();
        let dialogue = after.evidence.dialogue.as_mut().unwrap();
        dialogue.stats = Answer::Given(samples::table(&[
            ("pid", "9"),
            ("time", "2000000"),
            ("uptime", "5"),
            ("curr_items", "77"),
            ("limit_maxbytes", "67108864"),
        ]));
        dialogue.amplification[0].reply_bytes = 1;
        dialogue.settings = Answer::Given(samples::table(&[
            ("oldest", "99"),
            ("inter", "0.0.0.0"),
            ("udpport", "11211"),
        ]));
        let (before, after) = (Observation::of(&before), Observation::of(&after));
        assert_eq!(before.stable, after.stable);
        assert_eq!(before.digest(), after.digest());
    }

    #[test]
    fn a_server_that_never_stops_talking_is_bounded() {
        let mut record = samples::exposed_udp();
        let long = "長".repeat(100_000);
        let dialogue = record.evidence.dialogue.as_mut().unwrap();
        dialogue.version = Answer::Given(long.clone());
        let rows = (0..100_000).map(|row| (format!("{row}{long:.300}"), long[..3_000].to_owned()));
        dialogue.settings = Answer::Given(rows.collect());
        let seen = Observation::of(&record);
        assert!(seen.stable.len() <= 200, "{} rows", seen.stable.len());
        for (name, value) in &seen.stable {
            assert!(name.chars().count() <= VALUE_CHARACTERS_MAX);
            assert!(value.chars().count() <= VALUE_CHARACTERS_MAX);
        }
        assert!(seen.text.chars().count() <= TEXT_CHARACTERS_MAX);
        assert_eq!(
            seen.version.map(|text| text.chars().count()),
            Some(VALUE_CHARACTERS_MAX)
        );
    }
}
