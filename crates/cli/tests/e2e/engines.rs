//! The engines: whatever moves the packets, the verdicts are the same; who may not use one is told
//! how to mend it; a run that one engine began is continued by another.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use model::Transport;
use nix::sys::signal::Signal;
use testkit::namespace::Firewall;
use testkit::{MemcachedServer, Namespace};

use crate::program::{
    Run, Running, memsweep, memsweep_as_nobody, memsweep_contained, memsweep_in, program_in,
};
use crate::records::{Records, text};

/// All engines.
const ENGINES: [&str; 4] = ["socket", "packet", "xdp", "live"];
/// Engines that need privileges.
const PRIVILEGED: [&str; 3] = ["packet", "xdp", "live"];

/// A machine to scan from, and one that plays a whole link and a network behind it.
struct Network {
    scanner: Namespace,
    host: Namespace,
    _servers: Vec<MemcachedServer>,
}

/// The host's network card.
const CARD: &str = "02:94:00:0A:00:02";
/// Addresses of the host on the link, besides 10.94.0.2.
const MORE: [&str; 4] = ["10.94.0.3", "10.94.0.4", "10.94.0.5", "10.94.0.6"];

impl Network {
    fn new() -> Network {
        let scanner = Namespace::new();
        let host = scanner.sibling();
        let (_, there) = scanner.connect("10.94.0.1/24", &host, "10.94.0.2/24");
        host.run(&format!("ip link set {there} address {CARD}"));
        // A veth takes the bare frames of live only where NAPI runs.
        host.run(&format!("ethtool -K {there} gro on"));
        for address in MORE {
            host.run(&format!("ip address add {address}/32 dev {there}"));
        }
        // Linux limits the ICMP errors that it sends; here each one counts.
        host.run("sysctl --write net.ipv4.icmp_ratelimit=0");
        host.run("sysctl --write net.ipv4.icmp_msgs_per_sec=1000000");
        host.run("sysctl --write net.ipv4.icmp_msgs_burst=1000000");
        scanner.run("ip route add 10.95.0.0/20 via 10.94.0.2");
        host.run("ip route add local 10.95.0.0/21 dev lo");
        host.run("sysctl --write net.ipv4.ip_forward=1");
        host.run("ip route add blackhole 10.95.8.0/21");
        host.nft("add table inet lab");
        host.nft("add chain inet lab input { type filter hook input priority 0 ; }");
        host.nft("add rule inet lab input ip daddr 10.94.0.4 drop");
        host.nft(
            "add rule inet lab input ip daddr 10.94.0.5 reject with icmp type admin-prohibited",
        );
        let servers = vec![
            MemcachedServer::start_in(&host, &["-l", "10.94.0.2", "-U", "11211"]),
            MemcachedServer::start_in(&host, &["-l", "10.94.0.3", "-U", "0"]),
            MemcachedServer::start_in(&host, &["-l", "10.95.3.4", "-U", "11211"]),
        ];
        Network {
            scanner,
            host,
            _servers: servers,
        }
    }

    #[track_caller]
    fn scan(&self, engine: &str, arguments: &[&str]) -> Records {
        let mut all = vec!["scan", "--engine", engine, "-o", "ndjson"];
        all.extend(arguments);
        memsweep_in(&self.scanner, &all).records_with_code(1)
    }
}

/// How many endpoints got which verdict, by the summary.
fn counts(records: &Records) -> BTreeMap<String, u64> {
    let verdicts = records.summary()["verdicts"].as_object().unwrap();
    let counts = verdicts
        .iter()
        .map(|(word, count)| (word.clone(), count.as_u64().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn every_engine_gives_the_same_verdicts_on_the_link() {
    let network = Network::new();
    let mut slow: Option<BTreeMap<String, String>> = None;
    for engine in ENGINES {
        let records = network.scan(engine, &["10.94.0.0/26", "--all"]);
        let vantage = &records.run()["vantage"];
        assert_eq!(vantage["engine"], engine);
        let verdicts = records.verdicts();
        assert_eq!(verdicts["10.94.0.2:11211/udp"], "exposed", "{engine}");
        assert_eq!(verdicts["10.94.0.3:11211/udp"], "closed", "{engine}");
        assert_eq!(verdicts["10.94.0.4:11211/tcp"], "filtered", "{engine}");
        assert_eq!(verdicts["10.94.0.4:11211/udp"], "silent", "{engine}");
        assert_eq!(verdicts["10.94.0.5:11211/tcp"], "filtered", "{engine}");
        assert_eq!(verdicts["10.94.0.6:11211/tcp"], "closed", "{engine}");
        assert_eq!(verdicts["10.94.0.9:11211/tcp"], "absent", "{engine}");
        assert_eq!(verdicts.len(), 128, "{engine}");
        assert_eq!(
            counts(&records).values().sum::<u64>(),
            128,
            "{engine}: each is counted once"
        );
        for address in ["10.94.0.2", "10.94.0.3", "10.94.0.4", "10.94.0.6"] {
            let record = records.endpoint(&format!("{address}:11211/tcp"));
            assert_eq!(text(record, "mac"), CARD, "{engine}: {address}");
        }
        let absent = records.endpoint("10.94.0.9:11211/tcp");
        assert!(absent.get("mac").is_none(), "{absent}");
        assert_eq!(*slow.get_or_insert(verdicts.clone()), verdicts, "{engine}");
    }
}

#[test]
fn every_engine_gives_the_same_verdicts_behind_a_gateway() {
    let network = Network::new();
    for engine in ENGINES {
        let records = network.scan(
            engine,
            &[
                "10.95.0.0/20",
                "--rate",
                "20k",
                "--timeout",
                "200ms",
                "--retries",
                "1",
            ],
        );
        let verdicts = records.verdicts();
        let expected = ["10.95.3.4:11211/tcp", "10.95.3.4:11211/udp"];
        assert_eq!(verdicts.keys().collect::<Vec<_>>(), expected, "{engine}");
        let counts = counts(&records);
        assert_eq!(counts.values().sum::<u64>(), 2 * 4_096, "{engine}");
        assert_eq!(counts["exposed"], 2, "{engine}");
        // The half of the network that exists refuses; nobody hears of the other half.
        assert_eq!(counts["closed"], 2 * 2_048 - 2, "{engine}: {counts:?}");
    }
}

/// A server on all addresses answers from the one that its machine prefers, not from the asked one.
#[test]
fn who_answers_from_another_address_is_found_by_every_engine() {
    let network = Network::new();
    let _server = MemcachedServer::start_in(
        &network.host,
        &["-l", "0.0.0.0", "-p", "11213", "-U", "11213"],
    );
    network
        .host
        .nft("add rule inet lab input tcp dport 11213 drop");
    for engine in ENGINES {
        let arguments = ["10.94.0.0/26", "-p", "11213", "--retries", "1"];
        let verdicts = network.scan(engine, &arguments).verdicts();
        let found: Vec<&str> = verdicts
            .iter()
            .filter(|(_, verdict)| *verdict == "exposed")
            .map(|(endpoint, _)| endpoint.as_str())
            .collect();
        let expected = [
            "10.94.0.2:11213/udp",
            "10.94.0.3:11213/udp",
            "10.94.0.6:11213/udp",
        ];
        assert_eq!(found, expected, "{engine}");
    }
}

#[test]
fn an_adaptive_run_slows_down_and_misses_nobody() {
    let network = Network::new();
    // A network that bears less than what is allowed.
    network.host.nft(
        "add rule inet lab input tcp dport 11211 limit rate over 12000/second burst 200 packets drop",
    );
    let records = network.scan(
        "packet",
        &["10.95.0.0/21", "--tcp", "--rate", "1M", "--adaptive"],
    );
    let counts = counts(&records);
    assert_eq!(counts["exposed"], 1);
    assert_eq!(counts["closed"], 2_047, "{counts:?}");
    for (arguments, part) in [
        (["--engine", "socket"], "packet engines"),
        (["--retries", "0"], "--retries 0"),
    ] {
        let mut all = vec!["scan", "10.95.0.0/21", "--adaptive"];
        all.extend(arguments);
        let run = memsweep_in(&network.scanner, &all);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

#[test]
fn what_one_engine_began_another_continues() {
    let network = Network::new();
    let folder = tempfile::tempdir().unwrap();
    for (first, second) in [
        ("packet", "socket"),
        ("socket", "packet"),
        ("packet", "packet"),
    ] {
        let path = folder.path().join(format!("{first}-{second}.ndjson"));
        let output = format!("ndjson={}", path.display());
        let begun = program_in(
            &network.scanner,
            &[
                "scan",
                "10.95.0.0/20",
                "--engine",
                first,
                "--rate",
                "4k",
                "--timeout",
                "200ms",
                "--retries",
                "1",
                "-o",
                &output,
            ],
        );
        let mut running = Running::start(begun);
        // Something has been found by now, and most of it has not been asked.
        running.wait_for(&path, |text| {
            text.contains("\"endpoint\"") || text.contains("\"progress\"")
        });
        running.signal(Signal::SIGINT);
        let run = running.finish();
        assert_eq!(run.code, Some(130), "{first}: {}", run.stderr);
        let resume = [
            "scan",
            "--resume",
            path.to_str().unwrap(),
            "--engine",
            second,
            "--rate",
            "20k",
            "--timeout",
            "200ms",
            "-o",
            &output,
        ];
        let resumed = memsweep_in(&network.scanner, &resume);
        assert_eq!(resumed.code, Some(1), "{second}: {}", resumed.stderr);
        let records = Records::parse(&fs::read_to_string(&path).unwrap());
        let counts = counts(&records);
        let what = format!("{first}, then {second}: {counts:?}");
        assert_eq!(counts.values().sum::<u64>(), 2 * 4_096, "{what}");
        assert_eq!(counts["exposed"], 2, "{what}");
        assert_eq!(counts["closed"], 2 * 2_048 - 2, "{what}");
        assert_eq!(records.summary()["complete"], true, "{what}");
    }
}

#[test]
fn who_may_not_use_an_engine_is_told_how_to_mend_it() {
    let network = Network::new();
    for engine in PRIVILEGED {
        let run = memsweep_as_nobody(
            &network.scanner,
            &["scan", "10.94.0.0/26", "--engine", engine],
        );
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        for part in [
            engine,
            "not permitted",
            "sudo setcap cap_net_raw",
            "--engine socket",
        ] {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
    }
    let quick = ["--timeout", "50ms", "--retries", "0", "-o", "ndjson"];
    let arguments = [&["scan", "10.94.0.0/26"][..], &quick].concat();
    let run = memsweep_as_nobody(&network.scanner, &arguments);
    let records = run.records_with_code(1);
    assert_eq!(records.run()["vantage"]["engine"], "socket");
    assert!(records.notes().is_empty(), "the normal case is no news");
    let run = memsweep_as_nobody(&network.scanner, &[&arguments[..], &["-v"]].concat());
    assert!(run.stderr.contains("CAP_NET_RAW"), "{}", run.stderr);
    let run = memsweep_as_nobody(&network.scanner, &["doctor", "-o", "json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(said["engines"][2]["engine"], "packet");
    assert_eq!(said["engines"][2]["works"], false);
    assert_eq!(said["engines"][3]["works"], true);
    assert!(
        said["mend"][0]
            .as_str()
            .unwrap()
            .starts_with("sudo setcap ")
    );
}

#[test]
fn interfaces_and_firewalls_that_are_in_the_way_are_named() {
    let network = Network::new();
    let cases: [(&[&str], &str); 3] = [
        (&["--interface", "nowhere0"], "no interface \"nowhere0\""),
        (
            &["--interface", "nowhere0", "--engine", "packet"],
            "no interface \"nowhere0\"",
        ),
        (
            &["--interface", "here0", "--engine", "socket"],
            "--engine packet",
        ),
    ];
    for (flags, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old.ndjson");
        fs::write(&old, "of another day\n").unwrap();
        let output = format!("ndjson={}", old.display());
        let arguments = [&["scan", "10.94.0.0/26", "-o", &output][..], flags].concat();
        let run = memsweep_in(&network.scanner, &arguments);
        assert_eq!(run.code, Some(2), "{flags:?}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{flags:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{flags:?}: {}", run.stderr);
        let kept = fs::read_to_string(&old).unwrap();
        assert_eq!(kept, "of another day\n", "a mistake costs no old results");
    }
    // A port that a firewall answers for is judged alike by every engine, ICMP and all.
    network
        .host
        .firewall(Transport::Udp, 11213, Firewall::AdminProhibited);
    for engine in ENGINES {
        let run = memsweep_in(
            &network.scanner,
            &[
                "scan",
                "10.94.0.2-40",
                "-p",
                "11213",
                "--engine",
                engine,
                "--all",
                "-o",
                "ndjson",
            ],
        );
        let records = run.records_with_code(0);
        let record = records.endpoint("10.94.0.2:11213/udp");
        assert_eq!(text(record, "verdict"), "filtered", "{engine}: {record}");
        assert_eq!(record["icmp"]["code"], 13, "{engine}: {record}");
        assert_eq!(record["icmp"]["from"], "10.94.0.2", "{engine}: {record}");
    }
}

#[test]
fn the_deadline_counts_while_the_link_is_asked_for_its_hosts() {
    let network = Network::new();
    let begun = Instant::now();
    let arguments = ["--engine", "packet", "--rate", "10", "--deadline", "1s"];
    let mut scan = vec!["scan", "10.94.0.0/24", "-o", "ndjson"];
    scan.extend(arguments);
    memsweep_in(&network.scanner, &scan).records_with_code(3);
    // At this rate a round of ARP alone takes 25 s.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_dry_run_names_the_engine_and_sends_nothing() {
    let network = Network::new();
    let cases: [(&[&str], &str); 5] = [
        (&["10.94.0.0/26"], "engine: packet"),
        (&["10.94.0.0/26", "--rate", "1Gbit"], "engine: live"),
        (&["10.94.0.0/26", "--engine", "xdp"], "engine: xdp"),
        (&["10.94.0.2"], "engine: socket"),
        (&["127.0.0.0/24"], "engine: socket"),
    ];
    for (arguments, expected) in cases {
        let all = [&["scan", "--dry-run"][..], arguments].concat();
        let run = memsweep_in(&network.scanner, &all);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(
            run.stdout.lines().any(|line| line == expected),
            "{arguments:?}: {}",
            run.stdout
        );
    }
    let arp = network.scanner.run("ip neigh show");
    assert_eq!(arp, "", "nobody was looked for");
}

#[test]
fn a_healthy_machine_is_told_so() {
    let run = memsweep(&["doctor", "--lang", "en"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let first_words: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for engine in ["live", "xdp", "packet", "socket"] {
        assert!(first_words.contains(&engine), "{}", run.stdout);
    }
    let run = memsweep(&["doctor", "--lang", "ja"]);
    assert!(run.stdout.contains("通常のソケット"), "{}", run.stdout);
}

/// What `doctor` says of each engine.
fn abilities(run: &Run) -> Vec<(bool, String)> {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let engines = said["engines"].as_array().unwrap().iter();
    engines
        .map(|engine| {
            let refused = engine["refused"].as_str().unwrap_or_default().to_owned();
            (engine["works"].as_bool().unwrap(), refused)
        })
        .collect()
}

#[test]
fn every_engine_is_tried_and_nothing_is_sent() {
    let network = Network::new();
    let counters = || network.scanner.run("cat /proc/net/dev");
    // Until the interface's own IPv6 is settled, the kernel itself sends.
    network
        .scanner
        .run("sysctl --write net.ipv6.conf.all.disable_ipv6=1");
    network
        .host
        .run("sysctl --write net.ipv6.conf.all.disable_ipv6=1");
    let before = counters();
    let run = memsweep_in(&network.scanner, &["doctor", "-o", "json"]);
    assert_eq!(
        abilities(&run),
        vec![(true, String::new()); 4],
        "{}",
        run.stdout
    );
    assert_eq!(counters(), before);
}

/// In a container, root has every capability, and the kernel still refuses.
#[test]
fn who_has_capabilities_that_do_not_count_is_told_what_was_refused() {
    let run = memsweep_contained(&["doctor", "-o", "json"]);
    let engines = abilities(&run);
    let (live_works, refused) = &engines[0];
    assert!(!live_works, "{}", run.stdout);
    assert!(refused.contains("not permitted"), "{refused}");
    assert!(refused.contains("user namespace"), "{refused}");
    assert!(
        engines[2].0,
        "packet sockets of its own network: {}",
        run.stdout
    );
}
