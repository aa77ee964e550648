//! What the kernel and firewalls say in a server's place: each answer has its verdict, and the
//! reason names it.

use std::collections::BTreeSet;

use model::Transport;
use testkit::namespace::Firewall;
use testkit::{MemcachedServer, Namespace};

use crate::program::memsweep_in;
use crate::records::{Records, text};

/// A machine to scan from, and one to scan.
struct Network {
    scanner: Namespace,
    host: Namespace,
}

impl Network {
    fn new() -> Network {
        let scanner = Namespace::new();
        let host = scanner.sibling();
        scanner.connect("10.92.0.1/24", &host, "10.92.0.2/24");
        // Linux sends a peer one ICMP error a second, after the first few; here each one counts.
        host.run("sysctl --write net.ipv4.icmp_ratelimit=0");
        Network { scanner, host }
    }

    #[track_caller]
    fn scan(&self, arguments: &[&str], code: i32) -> Records {
        let mut all = vec!["scan", "-o", "ndjson", "--all"];
        all.extend(arguments);
        let run = memsweep_in(&self.scanner, &all);
        assert_eq!(run.code, Some(code), "{}\n{}", run.stdout, run.stderr);
        run.records()
    }
}

/// An endpoint of 10.92.0.2 by port and transport, its verdict, and what its reason says.
type Case = (u16, &'static str, &'static str, &'static str);

#[track_caller]
fn check(records: &Records, address: &str, cases: &[Case]) {
    for (port, transport, verdict, reason) in cases {
        let record = records.endpoint(&format!("{address}:{port}/{transport}"));
        assert_eq!(text(record, "verdict"), *verdict, "{record}");
        assert!(
            text(record, "reason").contains(reason),
            "{reason}: {record}"
        );
    }
}

#[test]
fn a_firewall_speaks_for_its_host() {
    let network = Network::new();
    let rules = [
        (1, Firewall::Drop),
        (2, Firewall::AdminProhibited),
        (3, Firewall::PortUnreachable),
        (4, Firewall::HostUnreachable),
    ];
    for (port, firewall) in rules {
        network.host.firewall(Transport::Tcp, port, firewall);
        network.host.firewall(Transport::Udp, port, firewall);
    }
    network.host.firewall(Transport::Tcp, 5, Firewall::TcpReset);
    let records = network.scan(&["10.92.0.2", "-p", "1-5,11211"], 0);
    let icmp = "ICMP type 3 code 13 from 10.92.0.2";
    let unreachable = "no such host: ICMP type 3 code 1 (unreachable) from 10.92.0.2";
    let cases = [
        (
            1,
            "tcp",
            "filtered",
            "no answer to 4 connection attempts: filtered",
        ),
        (
            1,
            "udp",
            "silent",
            "no answer to 4 probes: filtered, lost, or off",
        ),
        (2, "tcp", "filtered", icmp),
        (2, "udp", "filtered", icmp),
        (
            3,
            "tcp",
            "closed",
            "refused: ICMP port unreachable from 10.92.0.2",
        ),
        (
            3,
            "udp",
            "closed",
            "refused: ICMP port unreachable from 10.92.0.2",
        ),
        (4, "tcp", "absent", unreachable),
        (4, "udp", "absent", unreachable),
        (5, "tcp", "closed", "refused: TCP RST"),
        (
            5,
            "udp",
            "closed",
            "refused: ICMP port unreachable from 10.92.0.2",
        ),
        (11211, "tcp", "closed", "refused: TCP RST"),
        (
            11211,
            "udp",
            "closed",
            "refused: ICMP port unreachable from 10.92.0.2",
        ),
    ];
    check(&records, "10.92.0.2", &cases);
    assert_eq!(records.endpoints().len(), cases.len());
    let prohibited = records.endpoint("10.92.0.2:2/udp");
    assert_eq!(prohibited["contact"], "prohibited");
    assert_eq!(prohibited["icmp"]["type"], 3);
    assert_eq!(prohibited["icmp"]["code"], 13);
    assert_eq!(prohibited["icmp"]["from"], "10.92.0.2");
    // Once it is known, nothing is asked again.
    assert_eq!(prohibited["attempts"], 1);
    assert_eq!(records.endpoint("10.92.0.2:1/tcp")["attempts"], 4);
}

#[test]
fn ipv6_has_its_own_icmp() {
    let scanner = Namespace::new();
    let host = scanner.sibling();
    scanner.connect("fd92::1/64", &host, "fd92::2/64");
    host.nft("add table inet test");
    host.nft("add chain inet test input { type filter hook input priority 0 ; }");
    for transport in ["tcp", "udp"] {
        host.nft(&format!(
            "add rule inet test input {transport} dport 2 reject with icmpv6 type admin-prohibited"
        ));
    }
    let run = memsweep_in(
        &scanner,
        &["scan", "fd92::2", "-p", "2,11211", "-o", "ndjson", "--all"],
    );
    let records = run.records_with_code(0);
    let cases = [
        (2, "tcp", "filtered", "ICMP type 1 code 1 from fd92::2"),
        (2, "udp", "filtered", "ICMP type 1 code 1 from fd92::2"),
        (11211, "tcp", "closed", "refused: TCP RST"),
        (
            11211,
            "udp",
            "closed",
            "refused: ICMP port unreachable from fd92::2",
        ),
    ];
    check(&records, "[fd92::2]", &cases);
}

#[test]
fn nobody_is_there() {
    let network = Network::new();
    // No neighbour, no route, and a route to nowhere.
    network
        .scanner
        .run("ip route add 10.93.0.0/24 via 10.92.0.77");
    let targets = ["10.92.0.99", "10.200.0.1", "10.93.0.1"];
    // The kernel asks for a neighbour three times, a second apart.
    let mut arguments = vec!["--timeout", "1s"];
    arguments.extend(targets);
    let records = network.scan(&arguments, 0);
    let verdicts: BTreeSet<String> = records.verdicts().into_values().collect();
    assert_eq!(
        verdicts,
        BTreeSet::from(["absent".to_owned()]),
        "{records:?}"
    );
    for record in records.endpoints() {
        let reason = text(record, "reason");
        assert!(reason.starts_with("no such host: "), "{record}");
    }
}

#[test]
fn a_named_address_gets_its_record_and_a_network_only_what_answered() {
    let network = Network::new();
    let run = memsweep_in(&network.scanner, &["scan", "10.92.0.2", "-o", "ndjson"]);
    assert_eq!(run.records_with_code(0).endpoints().len(), 2);
    let run = memsweep_in(&network.scanner, &["scan", "10.92.0.2/31", "-o", "ndjson"]);
    let records = run.records_with_code(0);
    assert_eq!(records.names(), [""; 0]);
    assert_eq!(records.summary()["verdicts"]["closed"], 2);
    assert_eq!(records.summary()["verdicts"]["absent"], 2);
}

/// Linux reports only some of the neighbours that it did not find; the rest are known all the same,
/// and none of them is taken for one behind a filter.
#[test]
fn an_empty_network_is_absent() {
    let network = Network::new();
    network.host.firewall(Transport::Tcp, 2, Firewall::Drop);
    network.host.firewall(Transport::Udp, 2, Firewall::Drop);
    let run = memsweep_in(
        &network.scanner,
        &["scan", "local", "-p", "2", "-o", "ndjson"],
    );
    let records = run.records_with_code(0);
    let verdicts = &records.summary()["verdicts"];
    // The scanner itself is closed, the host is silent, and nobody else is there.
    for (verdict, count) in [
        ("closed", 2),
        ("filtered", 1),
        ("silent", 1),
        ("absent", 508),
    ] {
        assert_eq!(verdicts[verdict], count, "{verdict}: {verdicts}");
    }
}

#[test]
fn our_own_firewall_is_named() {
    let network = Network::new();
    network.scanner.nft("add table inet test");
    network
        .scanner
        .nft("add chain inet test output { type filter hook output priority 0 ; }");
    network
        .scanner
        .nft("add rule inet test output meta l4proto { tcp, udp } th dport 11211 drop");
    let records = network.scan(&["10.92.0.2"], 0);
    let own = "forbidden by this machine's own firewall";
    check(
        &records,
        "10.92.0.2",
        &[
            (11211, "udp", "filtered", own),
            // The kernel tells of a dropped datagram, and of a dropped SYN it does not.
            (11211, "tcp", "filtered", ""),
        ],
    );
}

#[test]
fn a_silent_udp_port_is_explained_by_the_settings_read_over_tcp() {
    let network = Network::new();
    for port in [11211, 11212, 11213] {
        network.host.firewall(Transport::Udp, port, Firewall::Drop);
    }
    let _off = MemcachedServer::start_in(&network.host, &["-l", "10.92.0.2", "-p", "11211"]);
    let _on = MemcachedServer::start_in(
        &network.host,
        &["-l", "10.92.0.2", "-p", "11212", "-U", "11212"],
    );
    let records = network.scan(&["10.92.0.2", "-p", "11211-11213"], 1);
    let cases = [
        (11211, "tcp", "exposed", ""),
        (
            11211,
            "udp",
            "closed",
            "switched off by its own settings (udpport 0, read over TCP)",
        ),
        (11212, "tcp", "exposed", ""),
        (
            11212,
            "udp",
            "silent",
            "although its settings (read over TCP) say udpport 11212: filtered or lost",
        ),
        (11213, "tcp", "closed", "refused: TCP RST"),
        (
            11213,
            "udp",
            "silent",
            "`stats settings` over TCP or `ss -lun` on the host settles it",
        ),
    ];
    check(&records, "10.92.0.2", &cases);
}
