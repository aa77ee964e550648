//! The XML layout of nmap, held against nmap's own DTD, style sheet and ndiff, and against the two
//! libraries that most programs read it with.

use std::process::Output;

use model::Language::English;
use model::{Answer, StatsTable, Verdict};
use report::{Format, Style};
use serde_json::Value;

use crate::consumers::{self, accepted_by, file, program, python, run, system_python};
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

const DTD: &str = "/usr/share/nmap/nmap.dtd";
const STYLE_SHEET: &str = "/usr/share/nmap/nmap.xsl";

/// What libnmap reads: hosts with their services.
const LIBNMAP: &str = "
import json, sys
from libnmap.parser import NmapParser
report = NmapParser.parse_fromstring(sys.stdin.read())
print(json.dumps({
    'summary': report.summary, 'up': report.hosts_up, 'total': report.hosts_total,
    'hosts': [{
        'address': host.address, 'mac': host.mac, 'vendor': host.vendor, 'names': host.hostnames,
        'status': host.status,
        'services': [{
            'port': one.port, 'protocol': one.protocol, 'state': one.state, 'reason': one.reason,
            'service': one.service, 'tunnel': one.tunnel, 'banner': one.banner,
            'version': one.service_dict.get('version'), 'extra': one.service_dict.get('extrainfo'),
            'cpe': [cpe.cpestring for cpe in one.cpelist],
            'elements': [script['elements'] for script in one.scripts_results],
        } for one in host.services],
    } for host in report.hosts]}))
";

/// What python-nmap reads.
const PYTHON_NMAP: &str = "
import json, sys, nmap
scanner = nmap.PortScanner()
scanner.analyse_nmap_xml_scan(sys.stdin.read())
print(json.dumps({address: {
    'state': scanner[address].state(), 'tcp': scanner[address].get('tcp', {}),
    'udp': scanner[address].get('udp', {}), 'vendor': scanner[address]['vendor'],
    'name': scanner[address].hostname(),
} for address in scanner.all_hosts()}))
";

fn xml(run: &Run) -> String {
    render(Format::Xml, &options(Style::Scan, English, 100), run)
}

fn runs() -> [Run; 5] {
    [
        fixture::everything(),
        fixture::two_servers(),
        fixture::nothing_exposed(),
        fixture::interrupted(),
        consumers::loud_run(),
    ]
}

#[test]
fn xml_of_a_run() {
    check("everything.xml", &xml(&fixture::everything()));
    check("interrupted.xml", &xml(&fixture::interrupted()));
}

#[test]
fn nmaps_own_definition_holds_whatever_servers_say() {
    for run in runs() {
        let lint = program("xmllint", &["--noout", "--nonet", "--dtdvalid", DTD, "-"]);
        accepted_by(lint, xml(&run).as_bytes());
    }
}

#[test]
fn nmaps_style_sheet_makes_a_page_of_it() {
    for run in runs() {
        let sheet = program("xsltproc", &["--nonet", STYLE_SHEET, "-"]);
        let page = accepted_by(sheet, xml(&run).as_bytes());
        assert!(page.contains("<html"));
        // Whatever servers say, no tag of theirs is in the page.
        assert!(!page.contains("owned\u{7}"));
    }
    let sheet = program("xsltproc", &["--nonet", STYLE_SHEET, "-"]);
    let page = accepted_by(sheet, xml(&fixture::two_servers()).as_bytes());
    assert!(page.contains("exposed: MS001 critical, MS031 medium"));
}

#[test]
fn libnmap_of_debian_and_of_pypi_read_the_same() {
    for run in runs() {
        let ours = xml(&run);
        let debian = accepted_by(system_python(LIBNMAP), ours.as_bytes());
        let pypi = accepted_by(python(LIBNMAP), ours.as_bytes());
        assert_eq!(debian, pypi);
    }
    let read = accepted_by(python(LIBNMAP), xml(&fixture::everything()).as_bytes());
    let read: Value = serde_json::from_str(&read).unwrap();
    let host = |address: &str| {
        let hosts = read["hosts"].as_array().unwrap();
        hosts.iter().find(|host| host["address"] == address)
    };
    assert!(host("192.168.2.99").is_none(), "absent hosts are left out");
    let open = host("192.168.2.10").unwrap();
    assert_eq!(open["mac"], "00:1B:21:0A:FF:0A");
    assert_eq!(open["vendor"], "Intel Corporate");
    assert_eq!(open["names"], serde_json::json!(["cache.example"]));
    let tcp = &open["services"][0];
    assert_eq!(tcp["port"], 11211);
    assert_eq!(tcp["state"], "open");
    assert_eq!(tcp["service"], "memcached");
    assert_eq!(tcp["version"], "1.6.18");
    assert_eq!(tcp["extra"], "exposed: MS001 critical, MS031 medium");
    assert_eq!(
        tcp["cpe"],
        serde_json::json!(["cpe:/a:memcached:memcached:1.6.18"])
    );
    assert_eq!(tcp["elements"][0]["verdict"], "exposed");
    assert_eq!(open["services"][1]["protocol"], "udp");
    assert_eq!(
        host("192.168.2.20").unwrap()["services"][0]["tunnel"],
        "ssl"
    );
    let ipv6 = "2001:db8:1234:5678:9abc:def0:1234:5678";
    assert_eq!(host(ipv6).unwrap()["services"][0]["state"], "open");
    let quiet = host("192.168.2.90").unwrap();
    assert_eq!(quiet["services"][0]["reason"], "reset");
    assert_eq!(quiet["services"][1]["state"], "open|filtered");
}

#[test]
fn python_nmap_reads_it() {
    for run in runs() {
        let read = accepted_by(system_python(PYTHON_NMAP), xml(&run).as_bytes());
        let read: Value = serde_json::from_str(&read).unwrap();
        let mut seen: Vec<_> = run.records.iter().collect();
        seen.retain(|record| record.judgement.verdict != Verdict::Absent);
        for record in seen {
            let host = &read[record.endpoint.address.to_string()];
            let port = &host[record.endpoint.transport.as_str()]["11211"];
            assert!(port["state"].is_string(), "{:?}", record.endpoint);
        }
    }
}

#[track_caller]
fn ndiff(name: &str, before: &Run, after: &Run) -> Output {
    let before = file(&format!("{name}-before.xml"), &xml(before));
    let after = file(&format!("{name}-after.xml"), &xml(after));
    let files = [before.to_str().unwrap(), after.to_str().unwrap()];
    let output = run(program("ndiff", &files), b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("Traceback"), "{errors}");
    output
}

/// The same network a day later: every counter and clock has moved.
fn later(mut run: Run) -> Run {
    let day = std::time::Duration::from_secs(86_400);
    run.run.timestamp += day;
    run.summary.timestamp += day;
    run.summary.duration *= 2;
    run.summary.packets_sent += 77;
    for record in &mut run.records {
        record.timestamp += day;
        record.evidence.rtt = record.evidence.rtt.map(|rtt| rtt * 3);
        record.evidence.attempts += 1;
        let Some(dialogue) = &mut record.evidence.dialogue else {
            continue;
        };
        if let Answer::Given(stats) = &mut dialogue.stats {
            let moved = |(name, value): (&str, &str)| match value.parse::<u64>() {
                Ok(number) => (name.to_owned(), number.saturating_add(12).to_string()),
                Err(_) => (name.to_owned(), value.to_owned()),
            };
            *stats = stats.iter().map(moved).collect::<StatsTable>();
        }
        for one in &mut dialogue.amplification {
            one.reply_bytes += 3;
        }
    }
    run
}

#[test]
fn ndiff_is_quiet_about_counters_that_moved() {
    for (name, run) in [
        ("quiet-two", fixture::two_servers as fn() -> Run),
        ("quiet-all", fixture::everything),
        ("quiet-loud", consumers::loud_run),
    ] {
        let output = ndiff(name, &run(), &later(run()));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}

#[test]
fn ndiff_tells_what_changed_and_does_not_crash() {
    let change = |name: &str, change: fn(&mut Run), words: &[&str]| {
        let mut after = later(fixture::two_servers());
        change(&mut after);
        let output = ndiff(name, &fixture::two_servers(), &after);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in words {
            assert!(said.contains(words), "{name}: {words} not in {said}");
        }
    };
    change(
        "verdict",
        |run| {
            run.records[0].judgement.verdict = Verdict::Protected;
            run.records[0].judgement.findings.clear();
        },
        &[
            "-11211/tcp open  memcached Memcached 1.6.18 (exposed: MS001 critical, MS031 medium)",
            "+11211/tcp open  memcached Memcached 1.6.18 (protected)",
        ],
    );
    // The row stays as it was in everything but what was found: where ndiff failed before.
    change(
        "finding",
        |run| drop(run.records[0].judgement.findings.pop()),
        &["+11211/tcp open  memcached Memcached 1.6.18 (exposed: MS001 critical)"],
    );
    change(
        "severity",
        |run| run.records[0].judgement.findings[1].severity = model::Severity::Low,
        &["+11211/tcp open  memcached Memcached 1.6.18 (exposed: MS001 critical, MS031 low)"],
    );
    change(
        "closed",
        |run| run.records[1] = fixture::closed_udp(),
        &["-11211/udp open", "+11211/udp closed"],
    );
    change("gone", |run| drop(run.records.pop()), &["-192.168.2.20"]);
}

#[test]
fn nothing_that_moves_is_in_it() {
    let ours = xml(&fixture::everything());
    // The start of the run and its end are the only times; no counter of a server is there.
    for moving in ["1047600", "4242", "8123", "12345\"", "412"] {
        assert!(!ours.contains(moving), "{moving}");
    }
}

#[test]
fn hosts_that_outgrow_memory_are_written_before_the_end() {
    let mut report = report::writer(Format::Xml, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.run(&fixture::run_record(), &mut out);
    let header = out.len();
    let mut record = fixture::closed();
    for number in 0..100_001_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        record.endpoint.address = model::Address::from_ip(ip.into());
        report.record(&record, &mut out);
        assert_eq!(out.len() == header, number < 99_999, "after {number}");
    }
    report.summary(&fixture::nothing_exposed().summary, &mut out);
    let lint = program("xmllint", &["--noout", "--nonet", "--dtdvalid", DTD, "-"]);
    accepted_by(lint, &out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("<host>").count(), 100_001);
    assert!(text.contains("<hosts up=\"100001\" down=\"0\" total=\"100001\"/>"));
}

#[test]
fn it_is_whole_even_without_a_run_record() {
    let mut report = report::writer(Format::Xml, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.summary(&fixture::interrupted().summary, &mut out);
    let lint = program("xmllint", &["--noout", "--nonet", "--dtdvalid", DTD, "-"]);
    accepted_by(lint, &out);
}

#[test]
fn unix_sockets_have_no_place_in_it() {
    let mut run = fixture::two_servers();
    let path = std::sync::Arc::new("/run/memcached -- <x>.sock".into());
    run.records[2].endpoint =
        model::Endpoint::new(model::Address::Unix(path), 0, model::Transport::Unix);
    let text = xml(&run);
    let lint = program("xmllint", &["--noout", "--nonet", "--dtdvalid", DTD, "-"]);
    accepted_by(lint, text.as_bytes());
    assert!(!text.contains(".sock"));
    assert!(text.contains("<!-- unix sockets, which this format has no words for: 1 -->"));
}
