//! The output of a monitoring plugin, taken apart as Nagios does it.

use model::Language::English;
use model::{Severity, Verdict, VerdictCounts};
use report::nagios::{Range, Status, Thresholds, status};
use report::{Format, Report, Style};

use crate::consumers;
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

fn plugin(run: &Run) -> String {
    render(Format::Nagios, &options(Style::Scan, English, 100), run)
}

fn range(text: &str) -> Range {
    Range::parse(text).unwrap()
}

/// The first line's words and its performance data, by label.
#[track_caller]
fn parse(text: &str) -> (String, Vec<(String, Vec<String>)>) {
    let first = text.lines().next().unwrap();
    let (words, data) = first.split_once(" | ").unwrap();
    let datum = |datum: &str| {
        let (label, values) = datum.split_once('=').unwrap();
        assert!(!label.contains('\''), "{label}");
        let values: Vec<String> = values.split(';').map(str::to_owned).collect();
        let number = values[0].trim_end_matches('s');
        assert!(number.parse::<f64>().is_ok(), "{datum}");
        (label.to_owned(), values)
    };
    // What stands behind a `|` further down would be performance data, too.
    assert_eq!(text.matches('|').count(), 1, "{text}");
    (words.to_owned(), data.split(' ').map(datum).collect())
}

#[test]
fn plugin_output_of_a_run() {
    for (run, name) in [
        (fixture::everything(), "everything"),
        (fixture::small(), "small"),
        (fixture::nothing_exposed(), "nothing-exposed"),
        (fixture::interrupted(), "interrupted"),
    ] {
        check(&format!("{name}.nagios"), &plugin(&run));
    }
}

#[test]
fn the_first_line_says_all_that_a_pager_shows() {
    let (words, data) = parse(&plugin(&fixture::small()));
    assert_eq!(
        words,
        "MEMCACHED CRITICAL - 2 of 512 endpoints exposed: 192.168.2.10:11211/tcp, \
         192.168.2.10:11211/udp"
    );
    assert_eq!(data[0].0, "exposed");
    assert_eq!(data[0].1, ["2", "0", "0", "0", "512"]);
    let of = |label: &str| {
        let found = data.iter().find(|(known, _)| known == label);
        found.map(|(_, values)| values[0].clone())
    };
    assert_eq!(of("closed").as_deref(), Some("508"));
    assert_eq!(of("amplification").as_deref(), Some("150.87"));
    assert_eq!(of("duration").as_deref(), Some("12.345s"));
    let (words, _) = parse(&plugin(&fixture::interrupted()));
    assert!(words.starts_with("MEMCACHED UNKNOWN - 0 of 100 endpoints exposed; the run broke off"));
    let (words, _) = parse(&plugin(&fixture::nothing_exposed()));
    assert_eq!(words, "MEMCACHED OK - 0 of 2 endpoints exposed");
}

#[test]
fn servers_neither_end_the_line_nor_make_up_data() {
    for run in [fixture::everything(), consumers::loud_run()] {
        let text = plugin(&run);
        parse(&text);
        assert!(text.len() < 8_192, "Nagios reads no more: {}", text.len());
        assert!(text.lines().count() <= 20);
    }
}

#[test]
fn the_worst_are_told_whatever_the_order() {
    let mut run = consumers::loud_run();
    run.records[150].judgement.findings[0].severity = Severity::High;
    for record in &mut run.records {
        if record.judgement.findings[0].severity != Severity::High {
            record.judgement.findings[0].severity = Severity::Low;
        }
    }
    let worst = run.records[150].endpoint.to_string();
    let forward = plugin(&run);
    run.records.reverse();
    assert_eq!(forward, plugin(&run));
    assert!(
        forward.lines().nth(1).unwrap().starts_with(&worst),
        "{forward}"
    );
    assert!(parse(&forward).0.contains(&format!(": {worst}, ")));
}

#[test]
fn exit_codes_are_those_of_plugins() {
    let summary = |alarms, complete, unfinished| {
        let mut verdicts = VerdictCounts::default();
        verdicts.add_many(Verdict::Closed, 10);
        verdicts.add_many(Verdict::Exposed, alarms);
        verdicts.add_many(Verdict::Unfinished, unfinished);
        model::Summary {
            alarms,
            complete,
            ..fixture::summary(verdicts)
        }
    };
    let strict = Thresholds::default();
    let lenient = Thresholds {
        warning: range("0"),
        critical: range("5"),
    };
    let wanted = Thresholds {
        warning: range("~:"),
        critical: range("1:"),
    };
    for (thresholds, alarms, complete, unfinished, expected) in [
        (strict, 0, true, 0, Status::Ok),
        (strict, 1, true, 0, Status::Critical),
        (strict, 1, false, 3, Status::Critical),
        (strict, 0, false, 0, Status::Unknown),
        (strict, 0, true, 1, Status::Unknown),
        (lenient, 0, true, 0, Status::Ok),
        (lenient, 1, true, 0, Status::Warning),
        (lenient, 5, false, 0, Status::Warning),
        (lenient, 6, true, 0, Status::Critical),
        (wanted, 0, true, 0, Status::Critical),
        (wanted, 1, true, 0, Status::Ok),
    ] {
        let summary = summary(alarms, complete, unfinished);
        assert_eq!(
            status(&summary, &thresholds),
            expected,
            "{alarms} {complete}"
        );
    }
    let nothing = fixture::summary(VerdictCounts::default());
    assert_eq!(status(&nothing, &strict), Status::Unknown);
    let codes = [
        Status::Ok,
        Status::Warning,
        Status::Critical,
        Status::Unknown,
    ];
    assert_eq!(codes.map(Status::exit_code), [0, 1, 2, 3]);
}

#[test]
fn thresholds_of_ones_own_are_in_the_line() {
    let thresholds = Thresholds {
        warning: range("1"),
        critical: range("~:20"),
    };
    let mut report: Box<dyn Report> = report::nagios::writer(thresholds);
    let run = fixture::small();
    let mut out = Vec::new();
    report.run(&run.run, &mut out);
    for record in &run.records {
        report.record(record, &mut out);
    }
    assert!(
        out.is_empty(),
        "the status comes first, so nothing before it"
    );
    report.summary(&run.summary, &mut out);
    let (words, data) = parse(&String::from_utf8(out).unwrap());
    assert!(words.starts_with("MEMCACHED WARNING - 2 of 512"));
    assert_eq!(data[0].1, ["2", "1", "~:20", "0", "512"]);
}
