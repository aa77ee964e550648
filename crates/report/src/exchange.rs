//! What the formats of other programs have in common: ids that are the same in every run, an
//! endpoint as a URI, and texts that are safe to show and not without end.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{Acceptance, Address, Confidence, Endpoint, Finding, Record, Severity, Verdict};
use serde_json::Value;
use uuid::Uuid;

use crate::escape::escape_for_terminal;
use crate::json::pretty;
use crate::layout::truncate;

/// Columns of one text of a server's choosing; a longer one is cut.
const TEXT_COLUMNS_MAX: usize = 2_000;
/// Ids of ours are made below this one (RFC 9562 section 5.5); it was drawn once.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_2c6e_8a0b_4b57_9d36_4c0f_6f7e_11d2);

/// The id of a thing that is named by these words: the same words, the same id.
pub(crate) fn id(words: &[&str]) -> Uuid {
    // No word of ours holds U+001F, and of a server's words none gets here.
    Uuid::new_v5(&NAMESPACE, words.join("\u{1f}").as_bytes())
}

/// The id of a finding: the same as long as the same rule fires on the same endpoint.
pub(crate) fn finding_id(record: &Record, finding: &Finding) -> Uuid {
    id(&["finding", finding.code, &record.endpoint.to_string()])
}

/// A foreign text on one line: whatever acts on a terminal is shown, and what is too long is cut.
pub(crate) fn shown(text: &str) -> String {
    // Escaping a character gives ten columns at most, so nothing that will be kept is lost here.
    let beginning: String = text.chars().take(TEXT_COLUMNS_MAX + 1).collect();
    truncate(&escape_for_terminal(&beginning), TEXT_COLUMNS_MAX)
}

/// The same for a text whose line breaks are ours.
pub(crate) fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// `memcached://192.168.2.10:11211`, or the socket as a `file:` URI.
pub(crate) fn uri(endpoint: &Endpoint) -> String {
    match &endpoint.address {
        Address::Ip(_) => format!("memcached://{}", endpoint.host_and_port()),
        // A URI has no place for a zone in its host any more (RFC 9844).
        Address::Zoned(ip, zone) => format!(
            "memcached://[{ip}]:{}/?zone={}",
            endpoint.port,
            percent_encoded(zone)
        ),
        Address::Unix(path) => format!("file://{}", percent_encoded(&path.to_string_lossy())),
    }
}

/// Everything but what stands for itself in a path (RFC 3986 section 2.3), as `%XX`.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Whether strangers can use the server, so that it is worth telling others about.
pub(crate) fn is_open_to_others(record: &Record) -> bool {
    record.judgement.verdict == Verdict::Exposed
        && !record.judgement.only_from_here
        && record.endpoint.address.ip().is_some()
}

/// The accepted risk that covers a finding, if there is one.
pub(crate) fn acceptance<'a>(record: &'a Record, finding: &Finding) -> Option<&'a Acceptance> {
    let covers = |one: &&Acceptance| one.rule.as_deref().is_none_or(|rule| rule == finding.code);
    record.acceptances.iter().find(covers)
}

/// The version that the server gives itself, safe to show.
pub(crate) fn version(record: &Record) -> Option<String> {
    let dialogue = record.evidence.dialogue.as_ref()?;
    Some(shown(dialogue.version.value()?)).filter(|version| !version.is_empty())
}

/// The name that the administrator or the resolver has for the host, safe to show.
pub(crate) fn host_name(record: &Record) -> Option<String> {
    let name = record.hostname.as_deref();
    name.or(record.enrichment.reverse_name.as_deref())
        .map(shown)
}

/// The evidence of a finding, each line safe to show.
pub(crate) fn evidence(finding: &Finding) -> Vec<String> {
    finding
        .evidence
        .iter()
        .map(|line| shown(&line.en))
        .collect()
}

/// A score from 0 to 10 for a severity: the middle of its stretch of CVSS version 3.
pub(crate) fn score(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 9.5,
        Severity::High => 8.0,
        Severity::Medium => 5.5,
        Severity::Low => 2.0,
        Severity::Info => 0.0,
    }
}

/// A confidence in percent, where a format wants a number.
pub(crate) fn percent(confidence: Confidence) -> u64 {
    match confidence {
        Confidence::Confirmed => 100,
        Confidence::Likely => 75,
        Confidence::Possible => 30,
    }
}

/// A flaw's number from the list of known ones, if the finding is about one.
pub(crate) fn cve(finding: &Finding) -> Option<&'static str> {
    assess::explain(finding.code)?
        .flaw
        .and_then(|flaw| flaw.cve)
}

/// The addresses that a rule's references name.
pub(crate) fn links(rule: &assess::Rule) -> Vec<&'static str> {
    let words = rule.references.en.split_whitespace();
    words.filter(|word| word.starts_with("https://")).collect()
}

/// The numbers of weaknesses (<https://cwe.mitre.org>) that a rule's references name.
pub(crate) fn weaknesses(rule: &assess::Rule) -> Vec<u64> {
    let words = rule.references.en.split_whitespace();
    words
        .filter_map(|word| {
            let digits = word.strip_prefix("CWE-")?;
            digits.trim_end_matches(':').parse().ok()
        })
        .collect()
}

/// Milliseconds since the Unix epoch; a time before it can only come from a broken clock.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The elements of an array inside a larger document, written one by one.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    begun: bool,
}

impl Elements {
    /// Writes one more, pushed in by this many spaces.
    pub(crate) fn push(&mut self, value: &Value, indent: usize, out: &mut Vec<u8>) {
        if self.begun {
            out.push(b',');
        }
        new_line(indent, out);
        pretty(value, indent, out);
        self.begun = true;
    }

    /// Ends the array, whose own line is pushed in by this many spaces.
    pub(crate) fn close(&mut self, indent: usize, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.begun) {
            new_line(indent, out);
        }
        out.push(b']');
    }
}

/// Writes `,` and one more key of an object, on a line of its own.
pub(crate) fn member(key: &str, value: &Value, indent: usize, out: &mut Vec<u8>) {
    out.push(b',');
    new_line(indent, out);
    out.extend_from_slice(format!("\"{key}\": ").as_bytes());
    pretty(value, indent, out);
}

fn new_line(indent: usize, out: &mut Vec<u8>) {
    out.push(b'\n');
    out.resize(out.len() + indent, b' ');
}

#[cfg(test)]
mod tests {
    use model::Transport;

    use super::*;

    #[test]
    fn endpoints_are_uris() {
        let zoned = Address::Zoned(std::net::Ipv6Addr::LOCALHOST, "eth 0".into());
        let unix = Address::Unix(std::sync::Arc::new("/run/a b?#.sock".into()));
        for (address, uri_expected) in [
            (
                Address::from_ip([10, 0, 0, 1].into()),
                "memcached://10.0.0.1:11211",
            ),
            (
                Address::from_ip(std::net::Ipv6Addr::LOCALHOST.into()),
                "memcached://[::1]:11211",
            ),
            (zoned, "memcached://[::1]:11211/?zone=eth%200"),
            (unix, "file:///run/a%20b%3F%23.sock"),
        ] {
            let endpoint = Endpoint::new(address, 11211, Transport::Tcp);
            assert_eq!(uri(&endpoint), uri_expected);
        }
    }

    #[test]
    fn texts_are_cut_and_shown() {
        assert_eq!(shown("1.6.18"), "1.6.18");
        assert_eq!(shown("\u{1b}[2J\n"), "\\x1b[2J\\x0a");
        assert_eq!(
            shown(&"9".repeat(100_000)).chars().count(),
            TEXT_COLUMNS_MAX
        );
        assert_eq!(shown_lines("a\n\u{7}"), "a\n\\x07");
    }

    #[test]
    fn ids_follow_their_words() {
        assert_eq!(id(&["a", "b"]), id(&["a", "b"]));
        assert_ne!(id(&["a", "b"]), id(&["ab"]));
        assert_eq!(id(&["a"]).get_version_num(), 5);
    }

    #[test]
    fn references_are_read() {
        let rule = assess::explain("MS001").unwrap();
        assert_eq!(weaknesses(rule), [306]);
        assert!(!links(rule).is_empty());
    }
}
