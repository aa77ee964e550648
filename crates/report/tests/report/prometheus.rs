//! Prometheus' text format, held against promtool, and the alert rules against the metrics.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::Language::English;
use model::{Address, Transport};
use report::{Format, Style};

use crate::consumers::{self, accepted_by, program};
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

fn metrics(run: &Run) -> String {
    render(Format::Prometheus, &options(Style::Scan, English, 100), run)
}

fn rules_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/prometheus")
}

#[test]
fn metrics_of_a_run() {
    check("everything.prom", &metrics(&fixture::everything()));
    check("interrupted.prom", &metrics(&fixture::interrupted()));
}

#[test]
fn promtool_has_nothing_to_say_whatever_servers_say() {
    for run in [
        fixture::everything(),
        fixture::two_servers(),
        fixture::nothing_exposed(),
        fixture::only_here(),
        fixture::interrupted(),
        consumers::loud_run(),
    ] {
        let text = metrics(&run);
        let said = accepted_by(program("promtool", &["check", "metrics"]), text.as_bytes());
        assert_eq!(said, "");
        let series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0)
            .collect();
        let distinct: BTreeSet<&str> = series.iter().copied().collect();
        assert_eq!(series.len(), distinct.len(), "a series stands there twice");
    }
}

#[test]
fn the_alert_rules_do_what_their_tests_say() {
    for arguments in [
        ["check", "rules", "memsweep.rules.yml"],
        ["test", "rules", "memsweep.test.yml"],
    ] {
        let mut command = program("promtool", &arguments);
        command.current_dir(rules_folder());
        accepted_by(command, b"");
    }
}

#[test]
fn the_alert_rules_ask_for_metrics_that_exist() {
    let rules = std::fs::read_to_string(rules_folder().join("memsweep.rules.yml")).unwrap();
    let text = metrics(&fixture::everything());
    let mut asked = 0;
    for line in rules.lines().filter(|line| line.contains("expr:")) {
        let words = line.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
        for name in words.filter(|word| word.starts_with("memsweep_")) {
            asked += 1;
            assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
        }
    }
    assert!(asked >= 5, "{asked}");
}

#[test]
fn an_endpoint_has_its_samples() {
    let text = metrics(&fixture::everything());
    let who = "address=\"192.168.2.10\",port=\"11211\",transport=\"udp\"";
    for line in [
        format!("memsweep_endpoint_exposed{{{who}}} 1"),
        format!("memsweep_endpoint_alarm{{{who}}} 1"),
        format!("memsweep_endpoint_amplification_ratio{{{who},command=\"stats\"}} 150.87"),
        format!("memsweep_endpoint_findings{{{who},code=\"MS002\",severity=\"high\"}} 1"),
        // Accepted, and reachable from here only: exposed, and no alarm.
        "memsweep_endpoint_alarm{address=\"192.168.2.30\",port=\"11211\",transport=\"tcp\"} 0"
            .to_owned(),
        "memsweep_endpoint_alarm{address=\"127.0.0.1\",port=\"11211\",transport=\"tcp\"} 0"
            .to_owned(),
        "memsweep_endpoint_exposed{address=\"192.168.2.11\",port=\"11211\",transport=\"tcp\"} 0"
            .to_owned(),
        "memsweep_endpoints{verdict=\"silent\"} 481".to_owned(),
        "memsweep_run_complete 1".to_owned(),
        "memsweep_run_duration_seconds 12.345".to_owned(),
        "memsweep_grade{grade=\"F\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}");
    }
    // A run that broke off before it found anything has no grade.
    assert!(!metrics(&fixture::interrupted()).contains("memsweep_grade"));
}

#[test]
fn too_many_endpoints_are_counted_and_not_told() {
    let mut run = fixture::two_servers();
    let server = run.records[0].clone();
    run.records = (0..10_005_u32)
        .map(|number| {
            let mut record = server.clone();
            let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            record.endpoint =
                model::Endpoint::new(Address::from_ip(ip.into()), 11211, Transport::Tcp);
            record
        })
        .collect();
    let text = metrics(&run);
    let told = text
        .lines()
        .filter(|line| line.starts_with("memsweep_endpoint_exposed{"));
    assert_eq!(told.count(), 10_000);
    assert!(text.contains("\nmemsweep_endpoints_omitted 5\n"));
    assert!(text.contains("\nmemsweep_findings{code=\"MS001\",severity=\"critical\"} 10005\n"));
}
