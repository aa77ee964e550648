//! Every format, file by file.

use std::time::SystemTime;

use import::{Foreign, Kind, recognise};
use model::{Answer, Enrichment, Question, Verdict};

use crate::{fixture, import_fixture, judgement};

/// 2026-11-22T19:24:11Z.
const BEGAN_UNIX_S: u64 = 1_795_375_451;

/// An observation in a line: endpoint, verdict, version, and the seconds after [`BEGAN_UNIX_S`].
fn line(foreign: &Foreign) -> String {
    let mut line = format!("{} {}", foreign.endpoint, judgement(foreign).verdict);
    if let Some(dialogue) = &foreign.evidence.dialogue {
        if let Some(version) = dialogue.version.value() {
            line.push_str(&format!(" {version}"));
        }
        if let Some(measured) = dialogue.amplification.first() {
            line.push_str(&format!(" {:.2}x", measured.payload_ratio()));
        }
    }
    if let Some(seen) = foreign.seen {
        let since = seen
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        line.push_str(&format!(" +{}", since - BEGAN_UNIX_S));
    }
    line
}

#[track_caller]
fn check(name: &str, kind: Kind, expected: &[&str], passed_over: u64) {
    assert_eq!(recognise(&fixture(name)).unwrap().kind, kind, "{name}");
    let (seen, tally) = import_fixture(name);
    let lines: Vec<String> = seen.iter().map(line).collect();
    assert_eq!(lines, expected, "{name}");
    let counts = (tally.kept, tally.passed_over);
    assert_eq!(counts, (expected.len() as u64, passed_over), "{name}");
    assert!(seen.iter().all(|one| one.source == kind.source()));
}

#[test]
fn nmap() {
    check(
        "nmap.xml",
        Kind::NmapXml,
        &[
            "192.0.2.10:11211/tcp exposed 1.6.18 +9",
            "192.0.2.10:11211/udp silent +9",
            "192.0.2.11:11211/tcp unfinished +10",
            "192.0.2.11:11211/udp closed +10",
            "192.0.2.12:11211/tcp closed +11",
            "192.0.2.12:11211/udp filtered +11",
            "[2001:db8::13]:11211/tcp filtered +12",
            "[2001:db8::13]:22122/tcp unfinished +12",
            "[2001:db8::13]:11211/udp closed +12",
        ],
        2,
    );
    let (seen, _) = import_fixture("nmap.xml");
    let server = &seen[0];
    assert_eq!(server.hostname.as_deref(), Some("cache.example"));
    assert_eq!(
        server.enrichment.reverse_name.as_deref(),
        Some("cache-10.example")
    );
    let dialogue = server.evidence.dialogue.as_ref().unwrap();
    assert_eq!(
        dialogue.executed,
        [Question::Stats, Question::StatsSettings]
    );
    let stats = dialogue.stats.value().unwrap();
    assert_eq!(stats.integer("pid"), Some(4242));
    assert_eq!(stats.integer("uptime"), Some(1_047_600));
    assert_eq!(stats.text("pointer_size"), Some("64"));
    let settings = dialogue.settings.value().unwrap();
    assert_eq!(settings.integer("udpport"), Some(0));
    assert!(matches!(dialogue.stats, Answer::Truncated(_)));
    check(
        "nmap.gnmap",
        Kind::NmapGrepable,
        &[
            "192.0.2.10:11211/tcp exposed 1.6.18",
            "192.0.2.10:11211/udp silent",
            "192.0.2.12:11211/tcp closed",
            "192.0.2.12:11211/udp silent",
        ],
        1,
    );
}

#[test]
fn masscan() {
    check(
        "masscan.list",
        Kind::MasscanList,
        &[
            "192.0.2.20:11211/tcp unfinished +0",
            "192.0.2.20:11211/tcp exposed 1.4.15 +1",
            "192.0.2.21:11211/tcp closed +2",
            "192.0.2.21:11211/udp closed +2",
            "[2001:db8::22]:11211/udp unfinished +3",
            "192.0.2.22:11211/udp exposed 1.5.5 +3",
            "192.0.2.24:11211/tcp other +5",
        ],
        2,
    );
    let (seen, tally) = import_fixture("masscan.list");
    assert!(!tally.is_torn);
    let odd = &seen[5].evidence.dialogue.as_ref().unwrap().anomalies;
    assert_eq!(odd.len(), 1, "{odd:?}");
    check(
        "masscan.json",
        Kind::MasscanJson,
        &[
            "192.0.2.20:11211/tcp unfinished +0",
            "192.0.2.20:11211/tcp exposed 1.4.15 +1",
            "192.0.2.21:11211/udp closed +2",
        ],
        1,
    );
    assert!(import_fixture("masscan.json").1.is_torn);
    let same = [
        "192.0.2.20:11211/tcp unfinished +0",
        "192.0.2.20:11211/tcp exposed 1.4.15 +1",
        "192.0.2.21:11211/udp closed +2",
    ];
    check("masscan.ndjson", Kind::MasscanJson, &same, 1);
    check("masscan.xml", Kind::MasscanXml, &same[..2], 1);
    assert!(import_fixture("masscan.xml").1.is_torn);
    check("masscan.gnmap", Kind::MasscanGrepable, &same[..1], 1);
}

#[test]
fn zmap() {
    check(
        "zmap-tcp.csv",
        Kind::ZmapCsv,
        &[
            "192.0.2.30:11211/tcp unfinished +0",
            "192.0.2.31:11211/tcp closed +1",
        ],
        1,
    );
    check(
        "zmap-udp.csv",
        Kind::ZmapCsv,
        &[
            "192.0.2.33:11211/udp exposed 1.4.15 7.67x +3",
            "192.0.2.34:11211/udp exposed 0.62x +4",
            "192.0.2.35:11211/udp closed +5",
            "192.0.2.38:11211/udp other +7",
        ],
        2,
    );
    check(
        "zmap.json",
        Kind::ZmapJson,
        &[
            "192.0.2.33:11211/udp exposed 1.4.15 7.67x +3",
            "192.0.2.30:11211/tcp unfinished +0",
            "192.0.2.31:11211/tcp closed",
        ],
        1,
    );
}

#[test]
fn zgrab2() {
    check(
        "zgrab.ndjson",
        Kind::Zgrab,
        &[
            "192.0.2.40:11211/tcp exposed 1.6.38 +0",
            "192.0.2.41:11211/tcp closed +1",
            "192.0.2.42:11211/tcp filtered +2",
            "192.0.2.43:22122/tcp unfinished +3",
            "192.0.2.45:11211/tcp unfinished +5",
        ],
        1,
    );
    let (seen, _) = import_fixture("zgrab.ndjson");
    assert_eq!(seen[0].hostname.as_deref(), Some("cache.example"));
    let dialogue = seen[0].evidence.dialogue.as_ref().unwrap();
    assert_eq!(dialogue.executed, [Question::Stats, Question::BinaryStat]);
    let stats = dialogue.stats.value().unwrap();
    assert_eq!(stats.integer("curr_items"), None, "a 0 of it says nothing");
    assert_eq!(stats.integer("connection_structures"), Some(12));
    assert_eq!(stats.integer("accepting_conns"), Some(1));
}

#[test]
fn shodan() {
    check(
        "shodan.ndjson",
        Kind::Shodan,
        &[
            "192.0.2.50:11211/tcp exposed 1.4.25 (Ubuntu) +0",
            "192.0.2.51:11211/udp exposed 1.4.25 (Ubuntu) +1",
            "[2001:db8::52]:11211/tcp protected +2",
            "192.0.2.54:11211/tcp unfinished +4",
            "192.0.2.55:22122/tcp unfinished 1.6.21 +5",
            "192.0.2.56:11211/tcp other +6",
        ],
        1,
    );
    let (seen, _) = import_fixture("shodan.ndjson");
    let known = Enrichment {
        reverse_name: Some("cache-50.example".to_owned()),
        asn: Some(64_496),
        as_name: Some("Example Networks".to_owned()),
        country: Some("JP".to_owned()),
        ..Enrichment::default()
    };
    assert_eq!(seen[0].enrichment, known);
    for server in &seen[..2] {
        let dialogue = server.evidence.dialogue.as_ref().unwrap();
        let Answer::Given(stats) = &dialogue.stats else {
            panic!("{dialogue:?}");
        };
        assert_eq!((stats.len(), stats.integer("bytes")), (9, Some(12_897_483)));
    }
    check(
        "shodan-search.json",
        Kind::Shodan,
        &[
            "192.0.2.50:11211/tcp exposed 1.4.25 (Ubuntu) +0",
            "192.0.2.51:11211/udp exposed 1.4.25 (Ubuntu) +1",
        ],
        0,
    );
}

#[test]
fn censys() {
    check(
        "censys-search.json",
        Kind::Censys,
        &[
            "192.0.2.60:11211/udp exposed +0",
            "192.0.2.60:11211/tcp exposed 1.6.18 +0",
            "192.0.2.61:11211/udp unfinished +5749",
        ],
        1,
    );
    let (seen, _) = import_fixture("censys-search.json");
    let known = &seen[1].enrichment;
    assert_eq!(
        (
            known.asn,
            known.country.as_deref(),
            known.as_name.as_deref()
        ),
        (Some(64_496), Some("JP"), Some("EXAMPLE"))
    );
    assert_eq!(known.reverse_name.as_deref(), Some("cache-60.example"));
    check(
        "censys.ndjson",
        Kind::Censys,
        &[
            "192.0.2.60:11211/udp exposed +0",
            "192.0.2.60:11211/tcp exposed 1.6.18 +0",
            "192.0.2.62:11211/tcp unfinished 1.6.18",
            "[2001:db8::63]:11212/tcp exposed 1.6.18 +2",
        ],
        1,
    );
}

#[test]
fn binaryedge() {
    check(
        "binaryedge.ndjson",
        Kind::BinaryEdge,
        &[
            "192.0.2.70:11211/tcp exposed 1.4.15 +0",
            "192.0.2.71:11211/tcp unfinished +1",
        ],
        1,
    );
}

#[test]
fn shadowserver() {
    check(
        "shadowserver.csv",
        Kind::Shadowserver,
        &[
            "192.0.2.80:11211/udp exposed 1.4.15 81.71x +0",
            "192.0.2.81:11211/udp exposed 1.2.6 31.57x +1",
        ],
        1,
    );
    let (seen, _) = import_fixture("shadowserver.csv");
    let dialogue = seen[1].evidence.dialogue.as_ref().unwrap();
    assert_eq!(
        dialogue.answered_from.unwrap().to_string(),
        "192.0.2.81:50260"
    );
    // A formula is a text like any other.
    assert_eq!(
        seen[1].enrichment.reverse_name.as_deref(),
        Some("=cmd|' /C calc'!A0")
    );
    let stats = seen[0].evidence.dialogue.as_ref().unwrap().stats.value();
    assert_eq!(stats.unwrap().integer("time"), Some(BEGAN_UNIX_S - 1));
}

/// Written by the real programs about three hosts: one open over both transports, one that demands
/// a password and has no UDP, one with nothing.
#[test]
fn what_the_real_programs_write() {
    let version = "1.6.18";
    let check = |name: &str, expected: &[&str], passed_over: u64| {
        let (seen, tally) = import_fixture(&format!("recorded/{name}"));
        let mut lines: Vec<String> = seen
            .iter()
            .map(|foreign| {
                let foreign = Foreign {
                    seen: None,
                    ..foreign.clone()
                };
                line(&foreign)
            })
            .collect();
        lines.sort();
        lines.dedup();
        let expected: Vec<String> = expected
            .iter()
            .map(|line| format!("198.51.100.{line}").replace("VERSION", version))
            .collect();
        assert_eq!(lines, expected, "{name}");
        assert_eq!(tally.passed_over, passed_over, "{name}");
        assert!(!tally.is_torn, "{name}");
    };
    check(
        "nmap.xml",
        &["10:11211/tcp exposed VERSION", "10:11211/udp exposed"],
        0,
    );
    check(
        "nmap.gnmap",
        &["10:11211/tcp exposed VERSION", "10:11211/udp unfinished"],
        0,
    );
    check(
        "nmap-ports.xml",
        &[
            "11:11211/tcp unfinished",
            "11:11211/udp closed",
            "12:11211/tcp closed",
            "12:11211/udp closed",
        ],
        0,
    );
    let opened = [
        "10:11211/tcp unfinished",
        "10:11211/udp exposed VERSION",
        "10:11211/udp unfinished",
        "11:11211/tcp unfinished",
    ];
    check(
        "masscan.list",
        &[
            &opened[..],
            &[
                "11:11211/udp closed",
                "12:11211/tcp closed",
                "12:11211/udp closed",
            ],
        ]
        .concat(),
        0,
    );
    check("masscan.xml", &opened, 0);
    check("masscan.ndjson", &opened, 0);
    check("masscan.json", &opened, 0);
    check(
        "zmap-tcp.csv",
        &[
            "10:11211/tcp unfinished",
            "11:11211/tcp unfinished",
            "12:11211/tcp closed",
        ],
        0,
    );
    // Refusals of zmap do not tell the port.
    check("zmap-udp.csv", &["10:11211/udp exposed VERSION 93.33x"], 2);
    check("zmap-udp.json", &["10:11211/udp exposed VERSION 93.33x"], 2);
}

#[test]
fn of_several_observations_of_an_endpoint_one_says_most() {
    let (seen, _) = import_fixture("recorded/masscan.list");
    let mut of_udp: Vec<&Foreign> = seen
        .iter()
        .filter(|foreign| foreign.endpoint.to_string() == "198.51.100.10:11211/udp")
        .collect();
    assert_eq!(of_udp.len(), 4);
    let first = of_udp.remove(0);
    assert!(judgement(first).verdict == Verdict::Exposed);
    for other in of_udp {
        assert!(first.weight() > other.weight() && other.weight() > 0);
    }
}
