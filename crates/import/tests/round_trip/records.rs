//! Every line is read to its last word: what was read is written again byte for byte.

use std::cell::RefCell;
use std::time::Duration;

use assess::Host;
use import::{ImportError, Line, read_endpoint, read_line, read_run, read_summary};
use model::{
    Address, Amplification, Answer, Auth, Contact, Dialogue, Endpoint, Enrichment, Evidence,
    Finding, FindingState, Judgement, MetaNoop, Protocol, Question, Record, StatsTable, Text,
    Transport, VerifiedFinding,
};
use proptest::prelude::*;
use report::{Checkpoint, Format, Report, Style, TextOptions, log_writer, writer};
use testkit::{Transcript, transcripts};

use crate::fixture::{self, Run};
use crate::strategies;

fn plain_writer() -> Box<dyn Report> {
    let options = TextOptions {
        width_columns: 100,
        color: false,
        language: model::Language::English,
        style: Style::Scan,
        verbose: false,
    };
    writer(Format::Ndjson, &options)
}

/// Codes of the fixture, of the rules, and of the generated records.
fn rule(code: &str) -> Option<&'static str> {
    let made_up = ["MS020", "MS031", "MS999"];
    let known = assess::explain(code).map(|rule| rule.code);
    known.or_else(|| made_up.into_iter().find(|one| *one == code))
}

fn verified() -> VerifiedFinding {
    VerifiedFinding {
        address: "192.168.2.10".to_owned(),
        port: 11211,
        transport: Transport::Udp,
        code: "MS001".to_owned(),
        title: fixture::HOSTILE.to_owned(),
        state: FindingState::Unknown,
        why: Text::same("nothing answered"),
    }
}

/// A run as its log or its NDJSON tells it.
fn written(run: &Run, mut report: Box<dyn Report>) -> String {
    let mut out = Vec::new();
    report.run(&run.run, &mut out);
    for record in &run.records {
        report.record(record, &mut out);
    }
    report.checkpoint(
        &Checkpoint {
            run: &run.run.run,
            timestamp: fixture::now(),
            counter: 7,
            pending: &run.summary.pending,
            verdicts: &run.summary.verdicts,
            alarms: 3,
        },
        &mut out,
    );
    report.verified(&run.summary, &[verified()], &mut out);
    report.summary(&run.summary, &mut out);
    String::from_utf8(out).unwrap()
}

/// Reads every line, and writes what was read.
fn rewritten(lines: &str, mut report: Box<dyn Report>) -> String {
    let mut out = Vec::new();
    let mut findings = Vec::new();
    for line in lines.lines() {
        match read_line(line, &rule).unwrap() {
            Line::Run(run) => {
                assert_eq!(read_run(line).unwrap(), *run);
                report.run(&run, &mut out);
            }
            Line::Endpoint(record) => {
                assert_eq!(read_endpoint(line, &rule).unwrap(), *record);
                report.record(&record, &mut out);
            }
            Line::Progress(progress) => report.checkpoint(
                &Checkpoint {
                    run: &progress.run,
                    timestamp: progress.timestamp,
                    counter: progress.counter,
                    pending: &progress.pending,
                    verdicts: &progress.verdicts,
                    alarms: progress.alarms,
                },
                &mut out,
            ),
            Line::Finding(finding) => findings.push(*finding),
            Line::Summary(summary) => {
                assert_eq!(read_summary(line).unwrap(), *summary);
                report.verified(&summary, &findings, &mut out);
                report.summary(&summary, &mut out);
            }
            Line::Unknown => panic!("not read: {line}"),
        }
    }
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(run: &Run) {
    let plain = written(run, plain_writer());
    assert_eq!(rewritten(&plain, plain_writer()), plain);
    let log = written(run, log_writer());
    assert_eq!(rewritten(&log, log_writer()), log);
    // The log holds all that the plain form does.
    assert_eq!(rewritten(&log, plain_writer()), plain);
}

#[test]
fn made_up_runs_come_back_byte_for_byte() {
    check(&fixture::everything());
    check(&fixture::interrupted());
    let mut known = fixture::exposed_tcp();
    known.source = Some("shodan".into());
    known.enrichment = Enrichment {
        reverse_name: Some("cache.example".to_owned()),
        asn: Some(64_496),
        as_name: Some(fixture::HOSTILE.to_owned()),
        country: Some("JP".to_owned()),
        owner: Some("Ops".to_owned()),
        tags: vec!["production".to_owned(), String::new()],
    };
    check(&Run {
        records: vec![known],
        ..fixture::everything()
    });
}

/// What a recorded server said, without the machine that would have asked it.
fn dialogue(transcript: &Transcript, transport: Transport) -> Option<Dialogue> {
    let said = |case: &str| -> Option<String> {
        let bytes = match transport {
            Transport::Udp => {
                let datagrams = transcript.exchange("udp", case)?.datagrams.as_ref()?;
                let payloads = datagrams.iter().filter_map(|one| one.get(8..));
                payloads.collect::<Vec<_>>().concat()
            }
            Transport::Tcp | Transport::Unix => {
                let streams = ["tcp", "tls"];
                let exchange = streams
                    .iter()
                    .find_map(|one| transcript.exchange(one, case))?;
                exchange.received.clone()?
            }
        };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let version = said("version")?;
    let table = |case: &str| match said(case) {
        Some(text) if text.starts_with("STAT ") => Answer::Given(rows(&text)),
        Some(text) if text.is_empty() => Answer::Silent,
        Some(text) => Answer::Refused(text),
        None => Answer::NotAsked,
    };
    let version = match version.trim_end().strip_prefix("VERSION ") {
        Some(version) => Answer::Given(version.to_owned()),
        None if version.is_empty() => Answer::Closed,
        None => Answer::Refused(version),
    };
    let is_open = version.value().is_some();
    Some(Dialogue {
        protocol: Protocol::Ascii,
        executed: if is_open {
            vec![Question::Version, Question::Stats]
        } else {
            vec![]
        },
        auth: if is_open { Auth::None } else { Auth::Ascii },
        version,
        stats: table("stats"),
        settings: table("stats-settings"),
        items: table("stats-items"),
        second_stats: Answer::Truncated(StatsTable::new()),
        meta_noop: match said("mn").as_deref() {
            Some("MN\r\n") => Answer::Given(MetaNoop::Mn),
            Some("EN\r\n") => Answer::Given(MetaNoop::En),
            Some(_) => Answer::Given(MetaNoop::NotKnown),
            None => Answer::NotAsked,
        },
        amplification: vec![Amplification {
            command: "stats".to_owned(),
            request_bytes: 15,
            reply_bytes: said("stats").map_or(0, |text| text.len() as u64),
            datagrams: 2,
            complete: true,
            ipv6: false,
        }],
        ..Dialogue::default()
    })
}

fn rows(text: &str) -> StatsTable {
    let row = |line: &str| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn records_of_recorded_servers_come_back_byte_for_byte() {
    let mut records = Vec::new();
    for transcript in transcripts::all() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let Some(dialogue) = dialogue(&transcript, transport) else {
                continue;
            };
            let evidence = Evidence {
                dialogue: Some(Box::new(dialogue)),
                ..Evidence::without_dialogue(Contact::Answered, 1, Some(Duration::from_micros(412)))
            };
            let address = Address::from_ip("192.0.2.1".parse().unwrap());
            let host = Host {
                address: &address,
                port: 11211,
                tcp: (transport == Transport::Tcp).then_some(&evidence),
                udp: (transport == Transport::Udp).then_some(&evidence),
            };
            records.push(Record {
                judgement: assess::judge_at(&host, transport, fixture::now()),
                endpoint: Endpoint::new(address, 11211, transport),
                evidence,
                ..fixture::closed()
            });
        }
    }
    let findings = records.iter().map(|record| record.judgement.findings.len());
    assert!(
        records.len() > 40 && findings.sum::<usize>() > 100,
        "{}",
        records.len()
    );
    check(&Run {
        records,
        ..fixture::everything()
    });
}

proptest! {
    #[test]
    fn any_record_comes_back_byte_for_byte(
        record in strategies::record(),
        run in strategies::run_record(),
        summary in strategies::summary(),
    ) {
        check(&Run { run, records: vec![record], summary });
    }

    #[test]
    fn any_damage_to_a_line_is_read_or_refused(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        line in 0_usize..20,
    ) {
        let log = written(&fixture::small(), log_writer());
        let mut line = log.lines().cycle().nth(line).unwrap().as_bytes().to_vec();
        let place = place.index(line.len());
        line[place] = byte;
        let _ = read_line(&line, &rule);
    }

    #[test]
    fn any_bytes_are_a_line_or_an_error(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_line(&line, &rule);
    }
}

/// One line of the log of an endpoint with two findings.
fn endpoint_line() -> String {
    let run = Run {
        records: vec![fixture::exposed_tcp()],
        ..fixture::everything()
    };
    let log = written(&run, log_writer());
    log.lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_finding_of_an_unknown_rule_is_left_out_and_the_record_kept() {
    let unknown = RefCell::new(Vec::new());
    let rule = |code: &str| {
        if code == "MS031" {
            return Some("MS031");
        }
        unknown.borrow_mut().push(code.to_owned());
        None
    };
    let record = read_endpoint(endpoint_line(), &rule).unwrap();
    let whole = fixture::exposed_tcp().judgement;
    // The Japanese of the one that stays is its own.
    let kept: Vec<Finding> = whole.findings[1..].to_vec();
    assert_eq!(
        record.judgement,
        Judgement {
            findings: kept,
            ..whole
        }
    );
    assert_eq!(*unknown.borrow(), ["MS001"]);
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let line = endpoint_line()
        .replacen('{', r#"{"weather":{"rain":[null]},"#, 1)
        .replace(r#""executed":["#, r#""executed":["poetry","#);
    let record = read_endpoint(&line, &rule).unwrap();
    assert_eq!(record, read_endpoint(endpoint_line(), &rule).unwrap());
    let later = r#"{"record":"weather","schema":1}"#;
    assert_eq!(read_line(later, &rule).unwrap(), Line::Unknown);
    assert_eq!(read_line("\u{feff}\r\n", &rule).unwrap(), Line::Unknown);
}

#[test]
fn without_japanese_the_english_stands_in() {
    let run = fixture::everything();
    let plain = written(&run, plain_writer());
    let mut seen = 0;
    for line in plain.lines() {
        match read_line(line, &rule).unwrap() {
            Line::Endpoint(record) => {
                let reason = record.judgement.reason;
                assert_eq!(reason.en, reason.ja);
                seen += 1;
            }
            Line::Summary(summary) => assert_eq!(summary.notes[0].en, summary.notes[0].ja),
            _ => {}
        }
    }
    assert_eq!(seen, run.records.len());
}

#[test]
fn errors_name_the_key() {
    #[track_caller]
    fn check(from: &str, to: &str, message: &str) {
        let line = endpoint_line();
        assert!(line.contains(from), "{line}");
        let error = read_line(line.replacen(from, to, 1), &rule).unwrap_err();
        assert_eq!(error.at_line(7).to_string(), message);
    }
    let cases = [
        (r#""port":11211"#, r#""port":-1"#, "`port` is not a port"),
        (r#""port":11211"#, r#""port":65536"#, "`port` is not a port"),
        (
            r#""attempts":1"#,
            r#""attempts":"1""#,
            "`attempts` is not an integer of 32 bits",
        ),
        (
            r#""rtt_us":412"#,
            r#""rtt_us":4.5"#,
            "`rtt_us` is not an integer of 64 bits",
        ),
        (
            r#""auth":"none""#,
            r#""auth":"maybe""#,
            "`auth` is not what a server can demand",
        ),
        (
            r#""contact":"answered""#,
            r#""contact":"rumour""#,
            "`contact` is not how far a probe came",
        ),
        (
            r#""server":{"#,
            r#""server":{"a":{},"#,
            "`server` is not an object of statistics",
        ),
        (
            r#""settings":{"#,
            r#""settings":{"a":1,"#,
            "`settings` is not an object of texts",
        ),
        (
            r#""items":{"#,
            r#""items":{"a":1,"#,
            "`items` is not an object of objects of statistics",
        ),
        (
            r#""listening":6"#,
            r#""listening":-6"#,
            "`listening` is not an integer of 64 bits",
        ),
        (
            r#""severity":"critical""#,
            r#""severity":9"#,
            "`severity` is not a severity",
        ),
        (
            r#""alarm":true"#,
            r#""alarm":1"#,
            "`alarm` is not true or false",
        ),
        (
            "192.168.2.10",
            "192.168.2.300",
            "`address` is not an address of this transport",
        ),
        (
            r#""timestamp":"2026-11-22T"#,
            r#""timestamp":"2026-13-22T"#,
            "`timestamp` is not a time in RFC 3339",
        ),
        (
            r#""meta_noop":"MN""#,
            r#""meta_noop":null"#,
            "`meta_noop` is not MN, EN or not known",
        ),
    ];
    for (from, to, message) in cases {
        check(from, to, &format!("line 7: {message}"));
    }
    check(r#""alarm""#, r#""noise""#, "line 7 has no `alarm`");
    check(
        r#""schema":1"#,
        r#""schema":9"#,
        "line 7 has schema 9; this memsweep reads up to 1",
    );
    let error = read_run(endpoint_line()).unwrap_err();
    assert_eq!(error.to_string(), "line 1: `record` is not `run`");
    let long = " ".repeat(import::LINE_BYTES_MAX + 1);
    assert!(matches!(
        read_endpoint(&long, &rule),
        Err(ImportError::LineTooLong { .. })
    ));
    // A depth that no stack could follow.
    let deep = "[".repeat(1_000_000);
    assert!(matches!(
        read_line(&deep, &rule),
        Err(ImportError::NotJson { .. })
    ));
}
