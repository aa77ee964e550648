//! What holds for every report, whatever a server says: lines fit, nothing acts on a terminal,
//! colour adds nothing, and programs can read what is meant for them.

use model::Language::{English, Japanese};
use model::{Address, Endpoint, Transport, Verdict, VerdictCounts};
use report::{Checkpoint, Format, Style, TextOptions, writer};
use serde_json::Value;
use unicode_width::UnicodeWidthChar;

use crate::fixture::{self, HOSTILE, Run};
use crate::{options, render};

fn runs() -> [Run; 5] {
    [
        fixture::everything(),
        fixture::two_servers(),
        fixture::nothing_exposed(),
        fixture::only_here(),
        fixture::interrupted(),
    ]
}

const STYLES: [Style; 5] = [
    Style::Scan,
    Style::Check,
    Style::Verify,
    Style::Demo,
    Style::Find,
];

#[test]
fn text_fits_its_width_and_acts_on_nothing() {
    for width in [0, 40, 47, 60, 72, 80, 100, 120, 140, 200] {
        for language in [English, Japanese] {
            for style in STYLES {
                for verbose in [false, true] {
                    let options = TextOptions {
                        verbose,
                        ..options(style, language, width)
                    };
                    for run in runs() {
                        check_lines(&render(Format::Text, &options, &run), width.max(40));
                    }
                }
            }
        }
    }
}

#[track_caller]
pub(crate) fn check_lines(text: &str, width: usize) {
    assert!(text.ends_with('\n') && !text.contains("\n\n\n"), "{text}");
    for line in text.split('\n') {
        let columns: usize = line.chars().map(|one| one.width().unwrap_or(0)).sum();
        assert!(columns <= width, "{columns} columns, not {width}: {line}");
        assert_eq!(report::escape_for_terminal(line), line);
        assert_eq!(line.trim_end(), line, "spaces at the end");
    }
}

#[test]
fn colour_adds_styles_and_changes_nothing_else() {
    for style in STYLES {
        for run in runs() {
            let plain = options(style, English, 80);
            let colored = TextOptions {
                color: true,
                ..plain.clone()
            };
            let text = render(Format::Text, &colored, &run);
            assert!(text.contains("\u{1b}["));
            assert_eq!(without_styles(&text), render(Format::Text, &plain, &run));
        }
    }
}

/// Takes out complete SGR sequences; whatever else begins with ESC stays and fails the comparison.
fn without_styles(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let parameters = piece
            .find(|one: char| !one.is_ascii_digit() && one != ';')
            .unwrap();
        assert_eq!(&piece[parameters..=parameters], "m");
        plain.push_str(&piece[parameters + 1..]);
    }
    plain
}

#[test]
fn no_format_lets_a_server_act_on_a_terminal() {
    let for_eyes = |format: &Format| !format.is_binary();
    for format in Format::ALL.into_iter().filter(for_eyes) {
        let text = render(
            format,
            &options(Style::Check, English, 100),
            &fixture::everything(),
        );
        for piece in text.split(own_separators(format)) {
            assert_eq!(report::escape_for_terminal(piece), piece, "{format:?}");
        }
    }
}

/// The control characters that a format itself is made of.
fn own_separators(format: Format) -> &'static [char] {
    match format {
        Format::Csv | Format::Shadowserver => &['\n', '\r'],
        Format::Grepable => &['\n', '\t'],
        _ => &['\n'],
    }
}

#[test]
fn order_of_arrival_changes_no_format_that_sorts() {
    let forward = fixture::everything();
    let mut backward = fixture::everything();
    backward.records.reverse();
    for format in [
        Format::Text,
        Format::Nmap,
        Format::Xml,
        Format::Grepable,
        Format::Prometheus,
        Format::Ansible,
        Format::Html,
        Format::Markdown,
    ] {
        let options = options(Style::Scan, English, 100);
        assert_eq!(
            render(format, &options, &forward),
            render(format, &options, &backward)
        );
    }
}

#[test]
fn ndjson_is_one_object_a_line_and_knows_no_null() {
    for run in runs() {
        let text = render(Format::Ndjson, &options(Style::Scan, Japanese, 100), &run);
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(records.len(), run.records.len() + 2);
        assert_eq!(records[0]["record"], "run");
        assert_eq!(records[records.len() - 1]["record"], "summary");
        for record in &records {
            assert_eq!(record["schema"], 1);
            assert_eq!(record["run"], "01JDA6Z9");
            assert!(record["timestamp"].as_str().unwrap().ends_with('Z'));
            assert!(!holds_null(record), "{record}");
        }
        for (record, source) in records[1..].iter().zip(&run.records) {
            assert_eq!(record["verdict"], source.judgement.verdict.as_str());
            assert_eq!(record["reason"], source.judgement.reason.en);
        }
    }
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(holds_null),
        Value::Object(object) => object.values().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[test]
fn json_holds_what_ndjson_holds() {
    for run in runs() {
        let options = options(Style::Scan, English, 100);
        let lines = render(Format::Ndjson, &options, &run);
        let mut lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let document: Value = serde_json::from_str(&render(Format::Json, &options, &run)).unwrap();
        assert_eq!(Some(&document["summary"]), lines.pop().as_ref());
        assert_eq!(document["run"], lines.remove(0));
        assert_eq!(document["endpoints"], Value::Array(lines));
    }
}

#[test]
fn json_is_whole_even_without_a_run_record() {
    let mut report = writer(Format::Json, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.summary(&fixture::interrupted().summary, &mut out);
    let document: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(document["endpoints"], Value::Array(Vec::new()));
}

/// The NDJSON record of one endpoint.
fn endpoint(record: model::Record) -> Value {
    let mut report = writer(Format::Ndjson, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.record(&record, &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn numbers_have_their_types_and_strings_survive() {
    let tcp = endpoint(fixture::exposed_tcp());
    assert_eq!(tcp["server"]["uptime_s"], 1_047_600);
    assert_eq!(tcp["server"]["rusage_system"], 12.5);
    assert_eq!(tcp["server"].get("version"), None);
    assert_eq!(tcp["version"], "1.6.18");
    assert_eq!(tcp["settings"]["tcpport"], "11211");
    assert_eq!(tcp["items"]["5"]["number"], 123);
    assert_eq!(tcp["rtt_us"], 412);
    assert_eq!(tcp.get("amplification"), None);

    let udp = endpoint(fixture::exposed_udp(10, 151));
    assert_eq!(udp["amplification"]["command"], "stats");
    assert_eq!(udp["amplification"]["payload_ratio"], 150.87);
    assert_eq!(udp["amplification_all"].as_array().unwrap().len(), 3);

    let tls = endpoint(fixture::tls());
    assert_eq!(tls["protocol"], "tls");
    assert_eq!(tls["tls"]["inner"], "ascii");
    assert_eq!(tls["truncated"], serde_json::json!(["stats"]));

    let protected = endpoint(fixture::protected());
    assert_eq!(protected["auth"], "sasl");
    assert_eq!(protected["refused"]["stats"], "Auth failure.");
    assert_eq!(protected["hung_up"], serde_json::json!(["stats settings"]));
    assert_eq!(protected["unanswered"], serde_json::json!(["stats items"]));

    let closed = endpoint(fixture::closed());
    assert_eq!(closed.get("auth"), None);
    assert_eq!(closed.get("version"), None);

    let hostile = endpoint(fixture::hostile());
    assert_eq!(hostile["server"]["pid"], HOSTILE);
    assert_eq!(hostile["server"][HOSTILE], HOSTILE);
    assert_eq!(hostile["server"].get("uptime_s"), None);
    assert_eq!(hostile["server"]["curr_items"], u64::MAX);
    assert_eq!(hostile["items"][HOSTILE]["number"], 3);
    assert_eq!(
        hostile["settings"]["auth_enabled_ascii"]
            .as_str()
            .unwrap()
            .len(),
        100_000
    );
}

#[test]
fn a_checkpoint_is_a_record_of_ndjson_only() {
    let mut verdicts = VerdictCounts::default();
    verdicts.add_many(Verdict::Silent, 3);
    for format in Format::ALL {
        let mut report = writer(format, &options(Style::Scan, English, 100));
        let mut out = Vec::new();
        let checkpoint = Checkpoint {
            run: "01JDA6Z9",
            timestamp: fixture::now(),
            counter: 42,
            pending: &[],
            verdicts: &verdicts,
            alarms: 2,
        };
        report.checkpoint(&checkpoint, &mut out);
        if format == Format::Ndjson {
            let record: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(record["record"], "progress");
            assert_eq!(record["counter"], 42);
            assert_eq!(record["alarms"], 2);
            assert_eq!(record["verdicts"]["silent"], 3);
            assert_eq!(record["verdicts"]["exposed"], 0);
        } else {
            assert!(out.is_empty(), "{format:?}");
        }
    }
}

#[test]
fn a_table_that_outgrows_memory_goes_on_line_by_line() {
    let mut report = writer(Format::Text, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.run(&fixture::run_record(), &mut out);
    for number in 0..10_020_u32 {
        let mut record = fixture::closed();
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        record.endpoint = Endpoint::new(Address::from_ip(ip.into()), 11211, Transport::Tcp);
        report.record(&record, &mut out);
        assert_eq!(out.is_empty(), number < 9_999, "after {number}");
    }
    // A row that the columns were not laid for.
    report.record(&fixture::ipv6(), &mut out);
    report.summary(&fixture::nothing_exposed().summary, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("  closed   10.0."))
            .count(),
        10_020
    );
    assert!(text.contains("! exposed  [2001:db8:1234:5678:9abc:def0:1234:5678]:11211/tcp"));
    check_lines(&text, 100);
}
