//! Links of IPv6: their hosts are asked who they are, and then like any others; nobody else is.

use std::fs;

use testkit::{MemcachedServer, Namespace};

use crate::program::{Run, memsweep_as_nobody, memsweep_in};
use crate::records::Records;

/// A machine to scan from and three hosts on one link: two in fd00:1::/64, one in 2001:db8:1::/64, of
/// which all but `quiet` run memcached. Whatever the scanner sends is counted.
struct Network {
    scanner: Namespace,
    /// The scanner's interface.
    card: String,
    served: Namespace,
    quiet: Namespace,
    public: Namespace,
    _link: Namespace,
    _servers: Vec<MemcachedServer>,
}

impl Network {
    fn new() -> Network {
        let scanner = Namespace::new();
        let link = scanner.sibling();
        link.run("ip link add bridge0 type bridge mcast_snooping 0");
        // The link itself is nobody.
        link.run("sysctl --write net.ipv6.conf.bridge0.disable_ipv6=1");
        link.run("ip link set bridge0 up");
        let [served, quiet, public] = [(); 3].map(|()| scanner.sibling());
        let card = join(&scanner, &link, "fd00:1::1/64", "fe80::1");
        scanner.run(&format!("ip address add 2001:db8:1::1/64 dev {card} nodad"));
        join(&served, &link, "fd00:1::a/64", "fe80::a");
        join(&quiet, &link, "fd00:1::b/64", "fe80::b");
        join(&public, &link, "2001:db8:1::c/64", "fe80::1:0:0:c");
        for namespace in [&scanner, &served, &quiet, &public] {
            namespace.nft("add table inet lab");
            for (chain, hook) in [("out", "output"), ("in", "input")] {
                namespace.nft(&format!(
                    "add chain inet lab {chain} {{ type filter hook {hook} priority 0 ; }}"
                ));
                namespace.nft(&format!(
                    "add rule inet lab {chain} icmpv6 type echo-request counter"
                ));
                namespace.nft(&format!("add rule inet lab {chain} th dport 11211 counter"));
            }
        }
        let all = ["-l", "::", "-U", "11211"];
        let servers = [&served, &public].map(|host| MemcachedServer::start_in(host, &all));
        Network {
            scanner,
            card,
            served,
            quiet,
            public,
            _link: link,
            _servers: servers.into(),
        }
    }

    fn scan(&self, arguments: &[&str]) -> Run {
        let quick = ["--timeout", "300ms", "--retries", "1", "-o", "ndjson"];
        memsweep_in(&self.scanner, &[&["scan"], arguments, &quick].concat())
    }

    /// How many echo requests, and how many packets to the port of memcached, the scanner sent.
    fn sent(&self) -> [u64; 2] {
        counters(&self.scanner, "out")
    }
}

/// Joins a namespace to a link, with a global and a link-local address; the name of its interface.
fn join(host: &Namespace, link: &Namespace, global: &str, link_local: &str) -> String {
    let (near, far) = host.connect(global, link, "fd00:ff::1/128");
    link.run(&format!("ip address flush dev {far}"));
    link.run(&format!("ip link set {far} master bridge0"));
    host.run(&format!("ip address flush dev {near} scope link"));
    host.run(&format!("ip address add {link_local}/64 dev {near} nodad"));
    near
}

fn counters(namespace: &Namespace, chain: &str) -> [u64; 2] {
    let rules = namespace.run(&format!("nft list chain inet lab {chain}"));
    let mut counts = rules.lines().filter_map(|line| {
        let (_, rest) = line.split_once("counter packets ")?;
        rest.split_whitespace().next()?.parse().ok()
    });
    [(); 2].map(|()| counts.next().unwrap())
}

/// The endpoints with a record, and what was typed, as the run has it.
#[track_caller]
fn check(records: &Records, typed: &str, expect: &[&str]) {
    assert_eq!(records.run()["targets"], serde_json::json!([typed]));
    let verdicts = records.verdicts();
    let names: Vec<&str> = verdicts.keys().map(String::as_str).collect();
    assert_eq!(names, expect, "{typed}");
    assert!(verdicts.values().all(|verdict| verdict == "exposed"));
    assert_eq!(records.summary()["complete"], true);
}

#[test]
fn hosts_of_a_link_are_found_whichever_way_it_is_written() {
    let network = Network::new();
    let card = &network.card;
    for typed in [format!("fe80::/64%{card}"), format!("fe80::%{card}/64")] {
        let records = network.scan(&[&typed]).records_with_code(1);
        let expect = ["fe80::1:0:0:c", "fe80::a"].map(|host| {
            ["tcp", "udp"].map(|transport| format!("[{host}%{card}]:11211/{transport}"))
        });
        let expect = expect.concat();
        let expect: Vec<&str> = expect.iter().map(String::as_str).collect();
        check(&records, &typed, &expect);
        let note = format!("hosts of fe80::/64 on {card}: 4;");
        let notes = records.notes();
        assert!(notes[0].starts_with(&note), "{notes:?}");
    }
    let records = network.scan(&["fd00:1::/64"]).records_with_code(1);
    let expect = ["[fd00:1::a]:11211/tcp", "[fd00:1::a]:11211/udp"];
    check(&records, "fd00:1::/64", &expect);
    // The others of a range are counted, and recorded where that is asked for.
    assert_eq!(records.summary()["verdicts"]["closed"], 4);
    let all = network.scan(&["fd00:1::/64", "--all"]).records_with_code(1);
    assert_eq!(all.verdicts()["[fd00:1::b]:11211/tcp"], "closed");
    assert_eq!(all.verdicts()["[fd00:1::1]:11211/tcp"], "closed");
    assert_eq!(network.sent()[0], 4 * 2, "two echo requests a run");
}

#[test]
fn asking_a_link_is_a_part_of_the_run() {
    let network = Network::new();
    let duration_s = |records: &Records| records.summary()["duration_s"].as_f64().unwrap();
    let records = network.scan(&["fd00:1::/64"]).records_with_code(1);
    // Its hosts have more than a second to answer.
    assert!(duration_s(&records) > 1.0, "{}", records.summary());
    let heard = counters(&network.served, "in")[1];
    let late = network.scan(&["fd00:1::/64", "--deadline", "500ms"]);
    let records = late.records_with_code(3);
    assert_eq!(records.summary()["complete"], false);
    assert_eq!(counters(&network.served, "in")[1], heard);
}

#[test]
fn a_link_is_not_asked_if_the_run_cannot_begin() {
    let network = Network::new();
    for wrong in [
        ["-o", "csv=/nonexistent/folder/table"],
        ["--interface", "eth77"],
        ["--enrich", "/nonexistent/networks.csv"],
        ["--inventory", "mysql://somewhere"],
    ] {
        let run = network.scan(&[&["fd00:1::/64"], &wrong[..]].concat());
        assert_eq!(run.code, Some(2), "{wrong:?}: {}", run.stderr);
    }
    assert_eq!(network.sent(), [0, 0]);
}

#[test]
fn who_is_not_in_the_prefix_or_excluded_is_not_asked() {
    let network = Network::new();
    let card = &network.card;
    let narrow = format!("fe80::/96%{card}");
    let records = network.scan(&[&narrow]).records_with_code(1);
    let expect = ["tcp", "udp"].map(|transport| format!("[fe80::a%{card}]:11211/{transport}"));
    check(&records, &narrow, &[&expect[0], &expect[1]]);
    assert_eq!(counters(&network.public, "in")[1], 0);
    assert_ne!(counters(&network.quiet, "in")[1], 0);

    let wide = format!("fe80::/64%{card}");
    let before = counters(&network.served, "in")[1];
    let exclusion = format!("fe80::8/125%{card}");
    let records = network
        .scan(&[&wide, "--exclude", &exclusion])
        .records_with_code(1);
    assert_eq!(records.names().len(), 2, "{:?}", records.names());
    assert_eq!(counters(&network.served, "in")[1], before);

    // Nobody is there: nothing is wrong.
    let nobody = format!("fe80::dead:0:0/112%{card}");
    let records = network.scan(&[&nobody]).records_with_code(0);
    check(&records, &nobody, &[]);
    // Nothing is left to ask for: no echo either.
    let before = network.sent();
    let run = network.scan(&[&wide, "--exclude", "fe80::/10"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(network.sent(), before);
}

#[test]
fn a_host_that_answers_no_echo_is_found_if_the_kernel_has_met_it() {
    let network = Network::new();
    let typed = format!("fe80::/96%{}", network.card);
    let found = |code| {
        network
            .scan(&[&typed])
            .records_with_code(code)
            .names()
            .len()
    };
    assert_eq!(found(1), 2);
    network
        .served
        .nft("insert rule inet lab in icmpv6 type echo-request drop");
    assert_eq!(found(1), 2, "the first run made them neighbours");
    network
        .scanner
        .run(&format!("ip -6 neigh flush dev {}", network.card));
    assert_eq!(found(0), 0);
}

#[test]
fn a_run_is_continued_as_long_as_the_link_has_the_same_hosts() {
    let network = Network::new();
    let typed = format!("fe80::/64%{}", network.card);
    let whole = network.scan(&[&typed]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ndjson");
    let path = path.to_str().unwrap();
    // It broke off right after its beginning.
    let begun = whole.stdout.lines().next().unwrap();
    fs::write(path, format!("{begun}\n")).unwrap();
    let records = network.scan(&["--resume", path]).records_with_code(1);
    assert_eq!(records.verdicts(), whole.records().verdicts());

    let silent = "insert rule inet lab in icmpv6 type echo-request drop";
    network.quiet.nft(silent);
    let forget = format!("ip -6 neigh flush dev {}", network.card);
    network.scanner.run(&forget);
    let run = network.scan(&["--resume", path]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("another set now"), "{}", run.stderr);
}

#[test]
fn the_scope_comes_before_the_first_packet() {
    let network = Network::new();
    let folder = tempfile::tempdir().unwrap();
    let scope = folder.path().join("scope.toml");
    let scope_of = |cidr: &str| {
        let text = format!("[[network]]\ncidr = \"{cidr}\"\nowner = \"NOC\"\n");
        fs::write(&scope, text).unwrap();
    };
    let scope_flag = ["--scope", scope.to_str().unwrap()];
    let public = "2001:db8:1::/64";
    let wide = format!("fe80::/64%{}", network.card);
    scope_of("2001:db8:1::/65");
    for (targets, expect) in [
        (&[public][..], "2001:db8:1:0:8000:: is outside the scope"),
        (&[&wide, "8.8.8.8"], "8.8.8.8 is outside the scope"),
        (&[&wide, public], "is outside the scope"),
        (&["fd00:2::/64"], "a larger network can be scanned only on"),
        (&["fd00:1::/63"], "a larger network can be scanned only on"),
        (&["fe80::/64"], "such as fe80::/64%eth0"),
        (&["fe80::/64%nowhere0"], "no interface \"nowhere0\""),
    ] {
        let run = network.scan(&[targets, &scope_flag].concat());
        assert_eq!(run.code, Some(2), "{targets:?}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(expect), "{targets:?}: {}", run.stderr);
        assert_eq!(network.sent(), [0, 0], "{targets:?}");
    }
    scope_of("2001:db8:1::/48");
    let dry = [&[public, &wide, "--dry-run"][..], &scope_flag].concat();
    let run = network.scan(&dry);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for part in [
        "would be asked for its hosts of 2001:db8:1::/64",
        "would be asked for its hosts of fe80::/64",
        "2001:db8:1::/48 (NOC)",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert_eq!(network.sent(), [0, 0]);
    let records = network
        .scan(&[&[public][..], &scope_flag].concat())
        .records_with_code(1);
    let expect = ["[2001:db8:1::c]:11211/tcp", "[2001:db8:1::c]:11211/udp"];
    check(&records, public, &expect);
    let notes = records.notes();
    assert!(notes[0].contains("2001:db8:1::/48 (NOC)"), "{notes:?}");
}

#[test]
fn whoever_may_send_an_echo_needs_no_root() {
    let network = Network::new();
    let typed = format!("fe80::/64%{}", network.card);
    let arguments = ["scan", &typed, "--timeout", "300ms", "-o", "ndjson"];
    let allow = |groups: &str| {
        let path = "/proc/sys/net/ipv4/ping_group_range";
        network.scanner.inside(|| fs::write(path, groups)).unwrap();
    };
    allow("1 0");
    let run = memsweep_as_nobody(&network.scanner, &arguments);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for part in [&network.card, "not permitted", "sudo setcap cap_net_raw+ep"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    allow("0 2147483647");
    let run = memsweep_as_nobody(&network.scanner, &arguments);
    assert_eq!(run.records_with_code(1).names().len(), 4);
}
