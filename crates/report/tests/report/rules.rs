//! Rules and grades as people read them, and the documents made from them.

use std::path::PathBuf;

use assess::{Host, judge, rules};
use model::Language::{English, Japanese};
use model::{
    Address, Amplification, Answer, Auth, Contact, Dialogue, Evidence, KeyProbe, Protocol,
    Question, Record, StatsTable, Transport,
};
use report::{Explanation, Format, Style};
use unicode_width::UnicodeWidthStr;

use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

/// The folder of the documents.
fn docs() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))
}

/// `cargo xtask rules` runs this test with UPDATE_EXPECT=1.
#[test]
fn documents_are_what_the_rules_make_of_them() {
    let documents = report::rule_documents();
    assert_eq!(documents.len(), Explanation::all().len() + 2);
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (path, text) in &documents {
        let file = docs().join(path);
        if update {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == *text,
            "docs/{path} is stale: run `cargo xtask rules`"
        );
    }
    for entry in std::fs::read_dir(docs().join("rules")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("rules/{name}");
        assert!(
            documents.iter().any(|(known, _)| *known == path),
            "docs/{path} belongs to no rule"
        );
    }
}

#[test]
fn explanations() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Check, language, 80);
        let mut text = report::rule_text(&explain("MS001"), &options);
        text.push_str("\n\n");
        text.push_str(&report::rule_text(&explain("ms107"), &options));
        check(&format!("explain-{code}-80.txt"), &text);
        check(
            &format!("explain-all-{code}-80.txt"),
            &report::rules_text(&options),
        );
        check(
            &format!("explain-grade-{code}-80.txt"),
            &report::grade_text(&options),
        );
    }
}

#[test]
fn explanations_fit_their_width_and_leave_nothing_out() {
    for width in [40, 80, 140] {
        for language in [English, Japanese] {
            let options = options(Style::Check, language, width);
            for rule in rules() {
                let text = report::rule_text(&explain(rule.code), &options);
                assert!(
                    text.lines().all(|line| line.width() <= width),
                    "{}: {text}",
                    rule.code
                );
                let squeezed: String = text.split_whitespace().collect();
                for part in [rule.what, rule.why, rule.evidence, rule.fix] {
                    let part = part.in_language(language);
                    let part: String = part.split_whitespace().collect();
                    assert!(squeezed.contains(&part), "{}: {part}", rule.code);
                }
            }
        }
    }
}

#[test]
fn programs_get_both_languages() {
    let all: serde_json::Value = serde_json::from_str(&report::rules_json()).unwrap();
    let codes: Vec<&str> = all.as_array().unwrap().iter().map(code).collect();
    let rules = Explanation::all();
    let expected: Vec<&str> = rules.iter().map(|rule| rule.code).collect();
    assert_eq!(codes, expected);
    assert!(codes.is_sorted());
    let one: serde_json::Value =
        serde_json::from_str(&report::rule_json(&explain("MS110"))).unwrap();
    assert_eq!(one["flaw"]["cve"], "CVE-2016-8704");
    assert_eq!(one["flaw"]["cvss"]["base"], 9.8);
    assert_eq!(one["flaw"]["fixed"], "1.4.33");
    for language in ["en", "ja"] {
        for part in ["title", "what", "why", "evidence", "fix"] {
            assert!(one[language][part].is_string(), "{language} {part}");
        }
        assert!(one[language]["references"].is_array());
    }
    let grade: serde_json::Value = serde_json::from_str(&report::grade_json()).unwrap();
    assert_eq!(grade["grades"][5]["grade"], "F");
    assert_eq!(grade["grades"][5]["debt_min"], 100);
}

fn explain(word: &str) -> Explanation {
    Explanation::find(word).unwrap()
}

fn code(rule: &serde_json::Value) -> &str {
    rule["code"].as_str().unwrap()
}

/// An old server as it was installed, judged by the rules themselves.
#[test]
fn text_of_an_old_server() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        let text = render(Format::Text, &options, &old_servers());
        check(&format!("old-servers-{code}-100.txt"), &text);
        let text = render(Format::Nmap, &options, &old_servers());
        check(&format!("old-servers-{code}.nmap"), &text);
    }
    let options = options(Style::Scan, English, 100);
    let ndjson = render(Format::Ndjson, &options, &old_servers());
    let summary: serde_json::Value = serde_json::from_str(ndjson.lines().last().unwrap()).unwrap();
    assert_eq!(summary["grade"], "F");
    assert_eq!(summary["grades"]["F"], 2);
    assert_eq!(summary["worst_servers"][0]["address"], "192.168.2.10");
    let debts: u64 = ndjson
        .lines()
        .filter_map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            (record["record"] == "endpoint").then(|| record["debt"].as_u64().unwrap())
        })
        .sum();
    assert_eq!(summary["debt"], debts);
}

/// Versions are what servers say: however many there are, the page stays one that can be read.
#[test]
fn many_versions_are_gathered_up_to_a_limit() {
    let records: Vec<Record> = (0..150)
        .map(|patch| judged("192.168.2.10", Transport::Tcp, &format!("1.3.{patch}")))
        .collect();
    let run = Run {
        records,
        ..fixture::two_servers()
    };
    let text = render(Format::Text, &options(Style::Scan, English, 100), &run);
    assert_eq!(text.matches("known CVEs possible for 1.3.").count(), 100);
    assert_eq!(text.matches("(MS104; possible").count(), 1);
}

#[test]
fn accepted_flaws_are_not_among_those_to_mend() {
    let mut record = judged("192.168.2.10", Transport::Tcp, "1.4.15");
    record.acceptances = vec![model::Acceptance {
        rule: Some("MS110".into()),
        reason: "the binary protocol is filtered".into(),
        until: "2027-01-01".into(),
    }];
    let run = Run {
        records: vec![record],
        ..fixture::two_servers()
    };
    let text = render(Format::Text, &options(Style::Scan, English, 100), &run);
    assert!(text.contains("4 known CVEs possible for 1.4.15"), "{text}");
    assert!(!text.contains("CVE-2016-8704"), "{text}");
}

fn old_servers() -> Run {
    let records = vec![
        judged("192.168.2.10", Transport::Tcp, "1.4.15"),
        judged("192.168.2.10", Transport::Udp, "1.4.15"),
        judged("192.168.2.11", Transport::Tcp, "1.6.18"),
    ];
    Run {
        records,
        ..fixture::two_servers()
    }
}

fn judged(ip: &str, transport: Transport, version: &str) -> Record {
    let address = Address::from_ip(ip.parse().unwrap());
    let tcp = answered(dialogue(version));
    let udp = answered(Dialogue {
        amplification: vec![Amplification {
            command: "stats".into(),
            request_bytes: 15,
            reply_bytes: 1_031,
            datagrams: 1,
            complete: true,
            ipv6: false,
        }],
        settings: Answer::NotAsked,
        ..dialogue(version)
    });
    let host = Host {
        address: &address,
        port: 11211,
        tcp: Some(&tcp),
        udp: Some(&udp),
    };
    let judgement = judge(&host, transport);
    let template = fixture::two_servers().records.remove(0);
    let evidence = match transport {
        Transport::Udp => udp.clone(),
        Transport::Tcp | Transport::Unix => tcp.clone(),
    };
    Record {
        endpoint: model::Endpoint::new(address.clone(), 11211, transport),
        hostname: None,
        evidence,
        judgement,
        ..template
    }
}

fn dialogue(version: &str) -> Dialogue {
    let mut settings = StatsTable::new();
    for (name, value) in [
        ("tcpport", "11211"),
        ("udpport", "11211"),
        ("inter", "NULL"),
        ("verbosity", "0"),
        ("item_size_max", "1048576"),
        ("binding_protocol", "auto-negotiate"),
    ] {
        settings.push(name, value);
    }
    let mut stats = StatsTable::new();
    stats.push("curr_items", "8123");
    Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Version, Question::Stats],
        version: Answer::Given(version.into()),
        auth: Auth::None,
        stats: Answer::Given(stats),
        settings: Answer::Given(settings),
        random_key: Answer::Given(KeyProbe::Miss),
        ..Dialogue::default()
    }
}

fn answered(dialogue: Dialogue) -> Evidence {
    Evidence {
        dialogue: Some(Box::new(dialogue)),
        ..Evidence::without_dialogue(Contact::Answered, 1, None)
    }
}
