//! The layout of nmap, held against lines that nmap 7.93 printed.

use model::Language::English;
use report::{Format, Style};

use crate::fixture::{self, Run};
use crate::{options, render};

/// `nmap -n -Pn -sT -sV --script +memcached-info` of a memcached on loopback.
const ONE_SERVER: &str = "\
# Nmap 7.93 scan initiated Sun Nov 22 19:24:17 2026 as: nmap -n -Pn -sV -p11211 127.0.0.1
Nmap scan report for 127.0.0.1
Host is up (0.000065s latency).

PORT      STATE SERVICE   VERSION
11211/tcp open  memcached Memcached
| memcached-info:\u{20}
|   Process ID: 5574
|   Uptime: 15 seconds
|   Server time: 2026-11-22T19:24:23
|   Architecture: 64 bit
|   Used CPU (user): 0.003315
|   Used CPU (system): 0.007114
|   Current connections: 5
|   Total connections: 9
|   Maximum connections: 1024
|   TCP Port: 21999
|   UDP Port: 21999
|_  Authentication: no

# Nmap done at Sun Nov 22 19:24:24 2026 -- 1 IP address (1 host up) scanned in 6.40 seconds
";

/// `nmap -n -sT -sU` of a closed and a silent port.
const CLOSED_AND_SILENT: &str = "\
# Nmap 7.93 scan initiated Sun Nov 22 19:24:24 2026 as: nmap -n -sT -sU -p11211 192.168.2.90
Nmap scan report for 192.168.2.90
Host is up (0.00034s latency).

PORT      STATE         SERVICE
11211/tcp closed        memcache
11211/udp open|filtered memcache

# Nmap done at Sun Nov 22 19:24:25 2026 -- 1 IP address (1 host up) scanned in 1.26 seconds
";

/// What kind of line it is; a reader of nmap's reports tells them apart like this.
fn shape(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => "blank".to_owned(),
        ["#", _, _, "scan", "initiated", date @ .., _] if line.contains(" as: ") => {
            assert!(date.len() >= 7, "{line}");
            "begin".to_owned()
        }
        [
            "#",
            _,
            "done",
            "at",
            _,
            _,
            _,
            time,
            _,
            "--",
            _,
            "IP",
            _,
            _,
            _,
            "up)",
            "scanned",
            "in",
            seconds,
            "seconds",
        ] => {
            assert_eq!(time.split(':').count(), 3, "{line}");
            assert!(seconds.parse::<f64>().is_ok(), "{line}");
            "end".to_owned()
        }
        ["#", ..] => "comment".to_owned(),
        ["Nmap", "scan", "report", "for", _] => "host".to_owned(),
        ["Nmap", "scan", "report", "for", _, ip] if ip.starts_with('(') => "host".to_owned(),
        ["Host", "is", "up", latency, "latency)."] => {
            let seconds = latency.trim_start_matches('(').trim_end_matches('s');
            assert!(seconds.parse::<f64>().is_ok(), "{line}");
            "up".to_owned()
        }
        ["MAC", "Address:", address, vendor, ..] if vendor.starts_with('(') => {
            assert_eq!(address.split(':').count(), 6, "{line}");
            "card".to_owned()
        }
        ["PORT", "STATE", "SERVICE", ..] => "head".to_owned(),
        ["|", script] if script.ends_with(':') && line.ends_with(' ') => format!("script {script}"),
        ["|", ..] if line.starts_with("|   ") => "script line".to_owned(),
        ["|_", ..] if line.starts_with("|_  ") => "script end".to_owned(),
        [port, state, ..] if port.contains('/') => format!("port {port} {state}"),
        _ => panic!("no line of nmap's: {line:?}"),
    }
}

fn shapes(text: &str) -> Vec<String> {
    text.lines().map(shape).collect()
}

fn ours(run: &Run) -> String {
    render(Format::Nmap, &options(Style::Scan, English, 100), run)
}

#[test]
fn a_quiet_host_is_printed_as_nmap_does() {
    let text = ours(&fixture::nothing_exposed());
    assert_eq!(shapes(&text), shapes(CLOSED_AND_SILENT));
    // The body is the same to the letter: columns, spaces, states.
    let body = |text: &str| {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1..lines.len() - 1].to_vec()
    };
    assert_eq!(body(&text), body(CLOSED_AND_SILENT));
}

#[test]
fn a_server_is_printed_as_nmap_does() {
    let mut run = fixture::two_servers();
    run.records.truncate(1);
    let text = ours(&run);
    // Our own findings come in a second script block behind nmap's.
    let lines: Vec<&str> = text.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("| memsweep:"))
        .unwrap();
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("|_"))
        .unwrap();
    let without: Vec<&str> = [&lines[..first], &lines[last + 1..]].concat();
    let mut expected = shapes(ONE_SERVER);
    // One fact more than nmap: how many items there are.
    let at = expected
        .iter()
        .position(|shape| shape == "script end")
        .unwrap();
    expected.insert(at, "script line".to_owned());
    assert_eq!(shapes(&without.join("\n")), expected);
    // The names of the facts are nmap's.
    for line in ONE_SERVER.lines().filter(|line| line.starts_with('|')) {
        let name = line.split(':').next().unwrap();
        assert!(without.iter().any(|ours| ours.starts_with(name)), "{name}");
    }
}

#[test]
fn every_line_of_a_hostile_run_is_one_of_nmaps() {
    let text = ours(&fixture::everything());
    let named = |line: &str| !line.contains("\\x1b") && !line.starts_with("Host is up.");
    for line in text.lines().filter(|line| named(line)) {
        shape(line);
    }
    let open = text.lines().filter(|line| {
        let mut words = line.split_whitespace();
        words
            .next()
            .is_some_and(|port| port.ends_with("/tcp") || port.ends_with("/udp"))
            && words.next() == Some("open")
    });
    // Twelve exposed, one protected, one decoy, one other, one that answered and was not finished.
    assert_eq!(open.count(), 16);
    assert!(
        !text.contains("192.168.2.99"),
        "a host that is absent is left out"
    );
}
