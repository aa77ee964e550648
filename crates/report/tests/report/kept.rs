//! What is said of an inventory: its runs, what changed between two of them, and how often each
//! value occurs.

use std::time::Duration;

use inventory::{
    Coverage, Difference, Facet, FacetCounts, OWN_SOURCE, Observation, RunKind, StoredRun,
};
use model::Language::{English, Japanese};
use model::{Answer, Confidence, Record, Severity, StatsTable, Verdict, VerdictCounts};
use report::{
    ComparedRuns, History, Style, TextOptions, diff_json, diff_markdown, diff_ndjson, diff_text,
    facets_csv, facets_json, facets_text, runs_json, runs_text,
};
use serde_json::Value;
use unicode_width::UnicodeWidthChar;

use crate::fixture::{self, HOSTILE};
use crate::golden::check;
use crate::options;

fn run(id: &str, day: u64) -> StoredRun {
    let mut verdicts = VerdictCounts::default();
    verdicts.add_many(Verdict::Exposed, 12);
    verdicts.add_many(Verdict::Silent, 481);
    let began = fixture::now() - Duration::from_secs(86_400 * day);
    StoredRun {
        run: id.into(),
        kind: RunKind::Scan,
        source: OWN_SOURCE.into(),
        started: began,
        ended: Some(began + Duration::from_secs(12)),
        targets: vec!["192.168.2.0/24".to_owned(), "cache.example".to_owned()],
        fingerprint: "fedcba9876543210".to_owned(),
        resumed_from: None,
        complete: true,
        verdicts,
        alarms: 10,
        observations: 12,
        grade: Some("F".to_owned()),
        vantage: Some("192.168.2.5 eth0 socket".to_owned()),
        log: Some("20261122T192411-1.ndjson.gz".to_owned()),
    }
}

fn runs() -> Vec<StoredRun> {
    let broken = StoredRun {
        ended: None,
        complete: false,
        grade: None,
        targets: (0..20)
            .map(|number| format!("10.0.{number}.0/24"))
            .collect(),
        ..run("20261120T192411-1", 2)
    };
    let import = StoredRun {
        kind: RunKind::Import,
        source: "shodan".into(),
        targets: vec![format!("{HOSTILE}.json.gz")],
        vantage: None,
        log: None,
        ..run("20261121T192411-2", 1)
    };
    vec![run("20261122T192411-1", 0), import, broken]
}

/// Every line fits and does nothing but stand there.
#[track_caller]
fn check_lines(text: &str, width: usize) {
    assert!(text.ends_with('\n') && !text.contains("\n\n\n"), "{text}");
    for line in text.split('\n') {
        let columns: usize = line.chars().map(|one| one.width().unwrap_or(0)).sum();
        assert!(columns <= width, "{columns} columns, not {width}: {line}");
        assert_eq!(report::escape_for_terminal(line), line);
        assert_eq!(line.trim_end(), line, "spaces at the end");
    }
}

const WIDTHS: [usize; 6] = [0, 40, 60, 80, 100, 140];

fn everywhere() -> impl Iterator<Item = TextOptions> {
    WIDTHS
        .into_iter()
        .flat_map(|width| [English, Japanese].map(|language| options(Style::Scan, language, width)))
}

#[test]
fn runs_stand_in_a_table_or_in_blocks() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        for width in [60, 120] {
            let text = runs_text(&runs(), &options(Style::Scan, language, width));
            check(&format!("runs-{code}-{width}.txt"), &text);
        }
    }
    for options in everywhere() {
        let width = options.width_columns.max(40);
        check_lines(&runs_text(&runs(), &options), width);
        check_lines(&runs_text(&runs()[..1], &options), width);
        check_lines(&runs_text(&[], &options), width);
    }
}

#[test]
fn runs_that_broke_off_are_no_point_in_time() {
    let history = History::of(&runs());
    let exposed: Vec<u64> = history.points.iter().map(|point| point.exposed).collect();
    assert_eq!(exposed, [12, 12]);
    assert_eq!(history.points[0].grade.as_deref(), Some("F"));
}

#[test]
fn runs_are_an_array_of_what_is_known() {
    let text = runs_json(&runs());
    assert!(!text.contains("null") && !text.contains('\u{1b}'));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 3);
    assert_eq!(value[0]["kind"], "scan");
    assert_eq!(value[0]["started"], "2026-11-22T19:24:11.042Z");
    assert_eq!(value[0]["verdicts"]["exposed"], 12);
    assert_eq!(value[1]["targets"][0], format!("{HOSTILE}.json.gz"));
    assert_eq!(value[2].get("ended"), None);
    assert_eq!(value[2]["complete"], false);
    assert_eq!(runs_json(&[]), "[]\n");
}

/// A server that was mended, one that was restarted under a hostile version, one that came, one
/// that went, one that was not asked again, and one of which nothing can be told.
fn difference() -> Difference {
    let before = [
        fixture::exposed_tcp(),
        fixture::tls(),
        fixture::exposed_udp(12, 120),
        fixture::exposed_udp(13, 90),
        fixture::exposed_udp(14, 80),
        fixture::protected(),
    ];
    let after = [mended(), restarted(), fixture::protected(), fixture::ipv6()];
    let observed =
        |records: &[Record]| -> Vec<Observation> { records.iter().map(Observation::of).collect() };
    Difference::between(
        &observed(&before),
        &observed(&after),
        &|endpoint| match endpoint.address.to_string().as_str() {
            "192.168.2.13" => Coverage::NotAsked,
            "192.168.2.14" => Coverage::Unknown,
            _ => Coverage::Asked,
        },
    )
}

fn mended() -> Record {
    let mut record = fixture::exposed_tcp();
    record.judgement.verdict = Verdict::Protected;
    let findings = &mut record.judgement.findings;
    findings.retain(|finding| finding.code != "MS001");
    findings[0].severity = Severity::Low;
    findings[0].confidence = Confidence::Confirmed;
    let dialogue = record.evidence.dialogue.as_deref_mut().unwrap();
    let settings: StatsTable = dialogue
        .settings
        .value()
        .unwrap()
        .iter()
        .map(|(name, value)| match name {
            "udpport" => (name.to_owned(), "0".to_owned()),
            _ => (name.to_owned(), value.to_owned()),
        })
        .collect();
    dialogue.settings = Answer::Given(settings);
    record
}

fn restarted() -> Record {
    let mut record = fixture::tls();
    let dialogue = record.evidence.dialogue.as_deref_mut().unwrap();
    dialogue.version = Answer::Given(HOSTILE.to_owned());
    let moved = |(name, value): (&str, &str)| match name {
        "pid" => (name.to_owned(), "5000".to_owned()),
        "uptime" => (name.to_owned(), "60".to_owned()),
        _ => (name.to_owned(), value.to_owned()),
    };
    let stats = dialogue.stats.value().unwrap().iter().map(moved).collect();
    dialogue.stats = Answer::Truncated(stats);
    record
        .judgement
        .findings
        .push(fixture::reflector_finding(9));
    record
}

#[test]
fn what_changed_is_told_to_people() {
    let (before, after) = (run("20261121T192411-1", 1), run("20261122T192411-1", 0));
    let runs = ComparedRuns {
        before: &before,
        after: &after,
    };
    let difference = difference();
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let text = diff_text(&runs, &difference, &options(Style::Scan, language, 100));
        check(&format!("diff-{code}-100.txt"), &text);
        let text = diff_markdown(&runs, &difference, language);
        check(&format!("diff-{code}.md"), &text);
    }
    for mut options in everywhere() {
        let width = options.width_columns.max(40);
        for verbose in [false, true] {
            options.verbose = verbose;
            check_lines(&diff_text(&runs, &difference, &options), width);
            let nothing = Difference::default();
            check_lines(&diff_text(&runs, &nothing, &options), width);
        }
        let nothing = Difference {
            same: 1,
            ..Difference::default()
        };
        let text = diff_text(&runs, &nothing, &options);
        assert!(
            text.contains("Nothing changed; 1 endpoint is") || text.contains("変化はありません")
        );
    }
}

#[test]
fn what_changed_is_told_to_programs() {
    let (before, after) = (run("20261121T192411-1", 1), run("20261122T192411-1", 0));
    let runs = ComparedRuns {
        before: &before,
        after: &after,
    };
    let text = diff_json(&runs, &difference());
    check("diff.json", &text);
    assert!(!text.contains("null"));
    let whole: Value = serde_json::from_str(&text).unwrap();
    let lines = diff_ndjson(&runs, &difference());
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["record"], "comparison");
    assert_eq!(lines[0]["before"], whole["before"]);
    let summary = &lines[lines.len() - 1];
    assert_eq!(summary["record"], "summary");
    assert_eq!(summary["same"], whole["same"]);
    for kind in ["new", "gone", "changed", "not_asked", "unknown"] {
        let listed = whole[kind].as_array().unwrap();
        assert_eq!(summary[kind], listed.len());
        assert!(!listed.is_empty(), "{kind}");
        let mut told = lines.iter().filter(|line| line["change"] == kind);
        for one in listed {
            let told = told.next().unwrap();
            for (key, value) in one.as_object().unwrap() {
                assert_eq!(&told[key], value, "{key} of {kind}");
            }
        }
        assert_eq!(told.next(), None);
    }
}

fn facets() -> Vec<FacetCounts> {
    let records = fixture::everything().records;
    let seen: Vec<Observation> = records.iter().map(Observation::of).collect();
    let facets = Facet::parse_list("version,net/24,verdict,country").unwrap();
    let counted = facets.into_iter().map(|facet| {
        let mut counts = FacetCounts::new(facet);
        seen.iter().for_each(|seen| counts.add(seen));
        counts
    });
    counted.collect()
}

#[test]
fn values_are_counted_for_people() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let text = facets_text(&facets(), 4, &options(Style::Find, language, 80));
        check(&format!("facets-{code}-80.txt"), &text);
    }
    let nothing = [FacetCounts::new(Facet::Version)];
    for options in everywhere() {
        let width = options.width_columns.max(40);
        check_lines(&facets_text(&facets(), 4, &options), width);
        check_lines(&facets_text(&nothing, 4, &options), width);
    }
}

#[test]
fn values_are_counted_for_programs() {
    let value: Value = serde_json::from_str(&facets_json(&facets(), 2)).unwrap();
    assert_eq!(value[0]["facet"], "version");
    assert_eq!(value[0]["values"].as_array().unwrap().len(), 2);
    assert_eq!(value[0]["values"][0]["value"], "1.6.18");
    let counts: Vec<u64> = ["others", "unknown"]
        .map(|key| value[2][key].as_u64().unwrap())
        .to_vec();
    let listed = value[2]["values"].as_array().unwrap().iter();
    let listed: u64 = listed.map(|one| one["count"].as_u64().unwrap()).sum();
    let records = fixture::everything().records.len() as u64;
    assert_eq!(listed + counts.iter().sum::<u64>(), records);
    check("facets.csv", &facets_csv(&facets(), 3));
}
