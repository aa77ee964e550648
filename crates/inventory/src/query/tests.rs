//! Cases of the language, and its page for users.

use std::time::{Duration, SystemTime};

use super::*;
use crate::{Observation, moment, samples};

/// 2026-11-27 08:00 UTC.
pub(super) fn asked_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_766_400)
}

fn parsed(text: &str) -> Query {
    let query = Query::parse(text, asked_at());
    query.unwrap_or_else(|error| panic!("{}", error.render(text)))
}

/// What is typed, and how it is printed.
#[test]
fn queries_are_printed_in_one_way() {
    for (text, printed) in [
        ("", ""),
        ("   ", ""),
        ("port:11211 transport:udp", "port:11211 transport:udp"),
        ("PORT:11211 AND Transport:UDP", "port:11211 transport:udp"),
        ("verdict:exposed,Protected", "verdict:exposed,protected"),
        (
            "verdict:exposed OR verdict:protected",
            "verdict:exposed,protected",
        ),
        ("port:1 or transport:udp", "port:1 OR transport:udp"),
        ("a (b c)", "a b c"),
        ("a OR (b OR c)", "a OR b OR c"),
        ("(a OR b) c", "(a OR b) c"),
        ("a b OR c d", "a b OR c d"),
        ("-(a b)", "-(a b)"),
        ("-(a)", "-a"),
        ("--a", "--a"),
        ("-port:1,2", "-port:1,2"),
        ("port:1,2 a", "port:1,2 a"),
        ("\"free text\" word", "\"free text\" word"),
        ("\"or\" \"-x\" \"a:b\"", "\"or\" \"-x\" \"a:b\""),
        ("10.0.0.1:11211", "\"10.0.0.1:11211\""),
        (r#""a\"b\\c\d""#, r#""a\"b\c\d""#),
        (r#"a\b"#, r#"a\b"#),
        ("owner:\"NOC One, Two\"", "owner:\"NOC One, Two\""),
        ("owner:NOC\" One\"", "owner:\"NOC One\""),
        ("port:>1024", "port:1025.."),
        ("port:<1024", "port:..1023"),
        ("port:1..1", "port:1"),
        ("version:1.5.6", "version:1.5.6"),
        ("version:1.5", "version:1.5"),
        ("version:1", "version:1.0.0..1"),
        ("version:..1.5.6", "version:..1.5.6"),
        ("version:\"<1.5.6\"", "version:..1.5.5"),
        ("version:<1.5.0", "version:..1.4"),
        ("version:<=1.5", "version:..1.5"),
        ("version:>1.5", "version:1.6.0.."),
        ("version:>=1.5", "version:1.5.0.."),
        ("version:1.4.0..1.5.6", "version:1.4.0..1.5.6"),
        ("version:1.1048575", "version:1.1048575"),
        ("version:0.0.1", "version:0.0.1"),
        ("version:0.0.1..0.0.1", "version:0.0.1..0.0.1"),
        ("version:1.4.14*", "version:1.4.14*"),
        ("version:\"1.4.14 (Ubuntu)\"", "version:\"1.4.14 (Ubuntu)\""),
        ("version:1.4.5_4_gaa7839e", "version:1.4.5_4_gaa7839e"),
        ("severity:>=high", "severity:high.."),
        ("severity:>high", "severity:critical.."),
        ("severity:<medium", "severity:..low"),
        ("severity:low..high", "severity:low..high"),
        ("confidence:LIKELY", "confidence:likely"),
        ("net:10.1.2.3/8", "net:10.0.0.0/8"),
        ("net:10.1.2.3", "net:10.1.2.3"),
        ("net:10.1.2.3/32", "net:10.1.2.3"),
        ("net:::ffff:10.0.0.0/104", "net:10.0.0.0/8"),
        ("net:2001:db8::/32,fd00::1", "net:2001:db8::/32,fd00::1"),
        ("net:10.0.0.1..10.0.0.6", "net:10.0.0.1..10.0.0.6"),
        ("net:10.0.0.0..10.0.0.7", "net:10.0.0.0/29"),
        ("net:0.0.0.0/0", "net:0.0.0.0/0"),
        (
            "net:::/0",
            "net:::..::fffe:ffff:ffff,::1:0:0:0..ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("amplification:>50", "amplification:>50"),
        ("amplification:>=50", "amplification:50.."),
        ("amplification:<0.1", "amplification:<0.1"),
        ("amplification:10..50.5", "amplification:10..50.5"),
        ("asn:as64500,64501", "asn:AS64500,AS64501"),
        ("country:jp", "country:JP"),
        ("alarm:true -alarm:NO", "alarm:yes -alarm:no"),
        ("seen:<7d", "seen:2026-11-20T08:00:00Z.."),
        ("seen:7d", "seen:2026-11-20T08:00:00Z.."),
        ("seen:>1w", "seen:..2026-11-20T08:00:00.0Z"),
        (
            "seen:7d..30d",
            "seen:2026-10-28T08:00:00Z..2026-11-20T08:00:00.0Z",
        ),
        ("first:2026-01-01", "first:2026-01-01"),
        ("first:>2026-01-01", "first:2026-01-02.."),
        ("first:>=2026-01-01", "first:2026-01-01.."),
        ("first:<2026-01-01", "first:..2025-12-31"),
        (
            "first:2026-01-01..2026-01-31",
            "first:2026-01-01..2026-01-31",
        ),
        (
            "seen:2026-01-01T10:00Z",
            "seen:2026-01-01T10:00:00Z..2026-01-01T10:00:59Z",
        ),
    ] {
        let query = parsed(text);
        assert_eq!(query.to_string(), printed, "{text:?}");
        assert_eq!(parsed(printed), query, "{text:?}");
    }
}

/// A wrong query, what the carets cover, and a part of the message.
#[test]
fn errors_point_at_the_place() {
    for (text, place, part) in [
        ("prot:11211", "prot", "did you mean port:11211..11220?"),
        ("banana:1", "banana", "the fields are port, transport"),
        ("fe80::1", "fe80", "quote a text that has a colon"),
        (
            "a port:x",
            "x",
            "\"x\" is not understood here; write port:11211",
        ),
        ("port:65536", "65536", "not understood"),
        ("port:+1", "+1", "not understood"),
        ("port:>65535", ">65535", "nothing can be beyond that"),
        ("port:1,,2", "", "port lacks a value"),
        ("port:", "", "port lacks a value"),
        ("port: 11211", "", "port lacks a value"),
        ("owner:\" \"", "\" \"", "owner lacks a value"),
        ("port:9..1", "9..1", "begins after its end"),
        ("port:..", "..", "both ends are missing"),
        ("verdict:exposd,x", "exposd", "did you mean exposed?"),
        (
            "verdict:exposed,x",
            "x",
            "accepted: exposed, protected, decoy",
        ),
        ("transport:sctp", "sctp", "accepted: tcp, udp, unix"),
        (
            "auth:yes",
            "yes",
            "accepted: none, sasl, ascii, tls-client-certificate, unknown",
        ),
        ("version:>banana", ">banana", "only numbers can be compared"),
        ("version:<0.0.0", "<0.0.0", "nothing can be beyond that"),
        (
            "version:1.2.3.4..2",
            "1.2.3.4..2",
            "only numbers can be compared",
        ),
        ("severity:>=worst", ">=worst", "the words are info, low"),
        (
            "severity:>critical",
            ">critical",
            "nothing can be beyond that",
        ),
        (
            "confidence:sure",
            "sure",
            "accepted: confirmed, likely, possible",
        ),
        ("net:10.0.0.0/33", "10.0.0.0/33", "is no network"),
        ("net:10.0.0", "10.0.0", "is no network"),
        (
            "net:10.0.0.9..10.0.0.1",
            "10.0.0.9..10.0.0.1",
            "begins after its end",
        ),
        ("net:fe80::1%eth0", "fe80::1%eth0", "is no network"),
        ("amplification:>-1", ">-1", "not understood"),
        ("amplification:nan", "nan", "not understood"),
        ("amplification:1e400", "1e400", "not understood"),
        ("amplification:<0", "<0", "nothing can be beyond that"),
        ("asn:64500x", "64500x", "write asn:AS64500"),
        ("asn:4294967296", "4294967296", "write asn:AS64500"),
        ("country:japan", "japan", "ISO 3166-1"),
        ("country:日", "日", "ISO 3166-1"),
        ("alarm:maybe", "maybe", "accepted: yes, no, true, false"),
        ("seen:<7", "<7", "has no unit"),
        ("seen:soon", "soon", "no length of time"),
        (
            "seen:>2026-02-30",
            ">2026-02-30",
            "write a date such as 2026-01-01",
        ),
        ("seen:2026-01-01..7d", "2026-01-01..7d", "both ends alike"),
        ("seen:30d..7d", "30d..7d", "begins after its end"),
        ("seen:..", "..", "both ends are missing"),
        ("\"abc", "\"abc", "a quote is not closed"),
        ("a \"\"", "\"\"", "nothing between the quotes"),
        ("(a", "(", "a parenthesis is not closed"),
        ("a)", ")", "nothing was opened"),
        ("( )", "( )", "nothing between the parentheses"),
        ("a OR", "", "a term is missing at the end"),
        ("a AND", "", "a term is missing at the end"),
        ("OR a", "OR", "one is missing"),
        ("a OR and b", "and", "one is missing"),
        ("(a OR)", ")", "a term is missing before this"),
        ("-", "-", "right before a term"),
        ("a - b", "-", "right before a term"),
        ("NOT a", "NOT", "write a minus"),
        ("port：11211", "port：11211", "full-width"),
    ] {
        let error = Query::parse(text, asked_at()).unwrap_err();
        assert_eq!(
            &text[error.at..error.at + error.length],
            place,
            "{text}: {error}"
        );
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let deep = |depth: usize| "(".repeat(depth) + "a" + &")".repeat(depth);
    let many = |count: usize| vec!["1"; count].join(",");
    for (text, part) in [
        ("x".repeat(QUERY_BYTES_MAX + 1), "too long"),
        ("監".repeat(QUERY_BYTES_MAX), "too long"),
        (deep(QUERY_DEPTH_MAX + 1), "deep"),
        ("-".repeat(QUERY_DEPTH_MAX + 1) + "a", "deep"),
        (
            format!("port:{}", many(QUERY_TERMS_MAX + 1)),
            "more than 256 terms",
        ),
        ("a ".repeat(QUERY_TERMS_MAX + 1), "more than 256 terms"),
    ] {
        let error = Query::parse(&text, asked_at()).unwrap_err();
        assert!(error.message.contains(part), "{error}");
        assert_eq!(error.render(&text).split('\n').count(), 3);
    }
    for text in [
        "x".repeat(QUERY_BYTES_MAX),
        deep(QUERY_DEPTH_MAX),
        "-".repeat(QUERY_DEPTH_MAX) + "a",
        format!("port:{}", many(QUERY_TERMS_MAX)),
    ] {
        assert_eq!(parsed(&parsed(&text).to_string()), parsed(&text));
    }
}

/// Everything that matches the sample, and everything that does not.
#[test]
fn terms_mean_what_they_say() {
    let mut seen = Observation::of(&samples::exposed_udp());
    seen.seen = moment::parse("2026-11-25").unwrap().0;
    let first_seen = moment::parse("2026-01-01T12:00").unwrap().0;
    for text in [
        "",
        "port:11211 port:11210..11212 port:>=11211 port:..11211 port:1,11211",
        "transport:udp -transport:tcp",
        "verdict:exposed -verdict:closed verdict:closed,exposed",
        "version:1.4.15 version:1.4 version:1 version:..1.5.6 version:1.4.0..1.5.6 version:1.4.*",
        "-version:<1.4.15 -version:>1.4.15 version:>1.4.14 version:<=1.4.15 -version:2..",
        "auth:none protocol:ascii",
        "severity:>=high severity:medium severity:<high -severity:critical -severity:low",
        "confidence:confirmed confidence:likely -confidence:possible",
        "code:MS001 code:ms* code:MS00? -code:MS003 -code:MS",
        "net:192.168.0.0/16 net:192.168.2.9 -net:192.168.2.8 net:192.168.2.1..192.168.2.9",
        "net:10.0.0.0/8,192.168.2.0/24 net:0.0.0.0/0 -net:::/0",
        "amplification:>49.9 amplification:50 -amplification:>50 -amplification:<50",
        "host:*.example.org host:CACHE1.example.org host:cache?.example.* -host:example.org",
        "asn:64500 -asn:64501 country:jp -country:us",
        "tag:production tag:BACKUP tag:prod* -tag:test owner:\"noc one\" owner:NOC* -owner:NOC",
        "source:memsweep source:mem* -source:shodan alarm:yes -alarm:no",
        "run:20261127* -run:2025*",
        "seen:<7d -seen:<1d seen:>1d -seen:>7d seen:1d..7d seen:2026-11-25 seen:>2026-11-24",
        "-seen:>2026-11-25 -seen:<2026-11-25 seen:2026-11-01..2026-11-30",
        "first:2026-01-01 first:>2025-12-31 -first:>2026-01-01 first:>90d first:2026-01-01T12:00Z",
        "strangers \"Answers Strangers\" 増幅 誰にでも 192.168.2.9 MS002 -honeypot",
        "honeypot OR strangers",
        "(honeypot OR strangers) (port:1 OR transport:udp) -(port:1 OR transport:tcp)",
        "--port:11211",
        "-(port:11211 transport:tcp)",
    ] {
        for part in
            std::iter::once(text).chain(text.split(' ').filter(|_| !text.contains(['(', '"', 'O'])))
        {
            assert!(parsed(part).matches(&seen, first_seen), "{part}");
            if !part.is_empty() {
                let negated = format!("-({part})");
                assert!(!parsed(&negated).matches(&seen, first_seen), "{negated}");
            }
        }
    }
}

#[test]
fn what_is_unknown_matches_no_term_and_every_negation() {
    let mut record = samples::exposed_udp();
    record.evidence.dialogue = None;
    record.hostname = None;
    record.enrichment = model::Enrichment::default();
    record.judgement.findings.clear();
    let mut seen = Observation::of(&record);
    seen.verdict = None;
    seen.endpoint.address = model::Address::Unix(std::sync::Arc::new("/run/x".into()));
    for text in [
        "verdict:exposed",
        "version:..9",
        "version:*",
        "auth:none",
        "auth:unknown",
        "protocol:ascii",
        "severity:>=info",
        "confidence:possible",
        "code:*",
        "net:0.0.0.0/0",
        "net:::/0",
        "amplification:>=0",
        "host:*",
        "asn:0",
        "country:JP",
        "tag:*",
        "owner:*",
    ] {
        assert!(!parsed(text).matches(&seen, seen.seen), "{text}");
        assert!(
            parsed(&format!("-{text}")).matches(&seen, seen.seen),
            "{text}"
        );
    }
}

#[test]
fn a_foreign_version_is_no_number() {
    let mut seen = Observation::of(&samples::exposed_udp());
    for (version, expected) in [
        ("1.5.6", true),
        ("1.2.8", true),
        ("1.4.5_4_gaa7839e", true),
        ("1.5.7", false),
        ("0.0.1", false),
        ("yrmcds version 1.1.9", false),
    ] {
        seen.version = Some(version.to_owned());
        let matches = parsed("version:..1.5.6").matches(&seen, seen.seen);
        assert_eq!(matches, expected, "{version}");
    }
    seen.version = Some("0.0.1".to_owned());
    assert!(parsed("version:0.0.1").matches(&seen, seen.seen));
}

/// The page that users read.
const PAGE: &str = include_str!("../../../../docs/query.md");

/// The queries of the page's examples.
fn examples_of_the_page() -> Vec<&'static str> {
    let lines = PAGE.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("    memsweep find '"));
    commands
        .filter_map(|rest| rest.strip_suffix('\''))
        .collect()
}

#[test]
fn every_query_of_the_page_is_one() {
    let examples = examples_of_the_page();
    assert_eq!(examples.len(), 10);
    assert_eq!(PAGE.matches("memsweep find '").count(), examples.len());
    let in_tables = PAGE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|quoted| quoted.contains([':', '"']) && *quoted != "\\\"");
    let mut count = 0;
    for text in examples.into_iter().chain(in_tables) {
        assert_eq!(parsed(&parsed(text).to_string()), parsed(text), "{text}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_page_tells_of_every_field_word_and_limit() {
    for field in Field::ALL {
        let name = field.as_str();
        assert!(PAGE.contains(&format!("\n| `{name}` |")), "{name}");
        parsed(field.example());
    }
    let words = model::Verdict::ALL.map(model::Verdict::as_str);
    let severities = Severity::ALL.map(Severity::as_str);
    for word in words.iter().chain(&severities) {
        assert!(PAGE.contains(&format!("`{word}`")), "{word}");
    }
    let limits = PAGE.replace("4,096", "4096");
    for limit in [
        format!("{QUERY_BYTES_MAX} bytes"),
        format!("{QUERY_TERMS_MAX} terms"),
        format!("{QUERY_DEPTH_MAX} levels"),
    ] {
        assert!(limits.contains(&limit), "{limit}");
    }
    let text = "port:11211 vesion:..1.5.6";
    let error = Query::parse(text, asked_at()).unwrap_err();
    let shown = error.render(text).replace('\n', "\n    ");
    assert!(PAGE.contains(&shown), "{shown}");
}
