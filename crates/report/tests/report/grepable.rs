//! The grepable layout of nmap, held against what nmap 7.93 wrote.

use model::Language::English;
use model::{Verdict, VerdictCounts};
use report::{Format, Style};

use crate::consumers;
use crate::fixture::{self, Run};
use crate::golden::check;
use crate::{options, render};

/// `nmap -n -sT -sV -oG`, and `-sT -sU`, of a server and of closed ports on loopback.
const REAL: &str = "\
# Nmap 7.93 scan initiated Fri Nov 27 07:59:05 2026 as: nmap -n -Pn -sT -sV -p 11211,11212 127.0.0.1
Host: 127.0.0.1 ()\tStatus: Up
Host: 127.0.0.1 ()\tPorts: 11211/open/tcp//memcached//Memcached 1.6.18 (uptime 10 seconds)/, 11212/closed/tcp/////
# Nmap done at Fri Nov 27 07:59:13 2026 -- 1 IP address (1 host up) scanned in 7.77 seconds
";

fn grepable(run: &Run) -> String {
    render(Format::Grepable, &options(Style::Scan, English, 100), run)
}

/// What a script that reads nmap's lines takes from one: the address, the name, and the ports.
#[track_caller]
fn parse(line: &str) -> (String, String, Vec<Vec<String>>) {
    let (host, rest) = line.split_once('\t').unwrap();
    let (address, name) = host
        .strip_prefix("Host: ")
        .unwrap()
        .split_once(' ')
        .unwrap();
    assert!(name.starts_with('(') && name.ends_with(')'), "{line}");
    let ports = match rest.strip_prefix("Ports: ") {
        None => {
            assert_eq!(rest, "Status: Up");
            Vec::new()
        }
        Some(ports) => ports
            .split(", ")
            .map(|port| port.split('/').map(str::to_owned).collect())
            .collect(),
    };
    (address.to_owned(), name.to_owned(), ports)
}

#[track_caller]
fn check_lines(text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, _, ports) = parse(line);
        for port in &ports {
            // Seven subfields, each with a slash behind it.
            assert_eq!(port.len(), 8, "{line}");
            assert!(port[0].parse::<u16>().is_ok(), "{line}");
            assert!(["tcp", "udp"].contains(&port[2].as_str()), "{line}");
            assert_eq!((port[3].as_str(), port[5].as_str()), ("", ""), "{line}");
            assert_eq!(port[7], "", "{line}");
        }
        all.extend(ports);
    }
    all
}

#[test]
fn grepable_of_a_run() {
    check("everything.gnmap", &grepable(&fixture::everything()));
    check("interrupted.gnmap", &grepable(&fixture::interrupted()));
}

#[test]
fn lines_are_laid_out_as_nmap_does() {
    let mut run = fixture::two_servers();
    run.records.truncate(1);
    run.summary.verdicts = VerdictCounts::default();
    run.summary.verdicts.add(Verdict::Exposed);
    let ours = grepable(&run);
    let (ours_lines, real_lines): (Vec<_>, Vec<_>) =
        (ours.lines().collect(), REAL.lines().collect());
    assert_eq!(ours_lines.len(), real_lines.len());
    // What a script looks for in the first line and in the last.
    for lines in [&ours_lines, &real_lines] {
        let first: Vec<&str> = lines[0].split(' ').collect();
        assert_eq!([first[0], first[3], first[4]], ["#", "scan", "initiated"]);
        assert!(lines[0].contains(" as: "));
        let (before, after) = lines[3].split_once(" -- ").unwrap();
        let before: Vec<&str> = before.split(' ').collect();
        assert_eq!([before[0], before[2], before[3]], ["#", "done", "at"]);
        assert!(after.starts_with("1 IP address (1 host up) scanned in "));
    }
    // nmap writes no name where it has none; ours was asked by one.
    let (address, name, _) = parse(ours_lines[1]);
    assert_eq!(format!("{address} {name}"), "192.168.2.10 (cache.example)");
    let real_port = &check_lines(REAL)[0];
    let our_port = &check_lines(&ours)[0];
    assert_eq!(our_port[..6], real_port[..6]);
    assert_eq!(
        our_port[6],
        "Memcached 1.6.18 (exposed: MS001 critical; MS031 medium)"
    );
}

#[test]
fn no_server_makes_up_a_port() {
    let run = consumers::loud_run();
    let ports = check_lines(&grepable(&run));
    assert_eq!(ports.len(), run.records.len());
    let all = check_lines(&grepable(&fixture::everything()));
    // Every record but the one of a host that is absent.
    assert_eq!(all.len(), fixture::everything().records.len() - 1);
}
