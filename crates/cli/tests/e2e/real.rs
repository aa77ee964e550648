//! Debian's memcached in every way administrators start it, seen from this machine and from
//! another one.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{MemcachedServer, Namespace, fresh_loopback};

use crate::certificate;
use crate::program::{memsweep, memsweep_in};
use crate::records::{Records, codes, severity, text};

const VERSION: &str = "1.6.18";
/// How long a single server may take until it is named.
const NAMED_WITHIN: Duration = Duration::from_secs(9);

/// What must be known of one endpoint.
#[derive(Clone, Copy)]
enum Expected {
    Exposed(&'static str, &'static [&'static str]),
    Protected {
        auth: &'static str,
        protocol: &'static str,
        version: Option<&'static str>,
    },
    Closed(&'static str),
}
use Expected::{Closed, Exposed, Protected};

const OPEN: Expected = Exposed(
    "ascii",
    &[
        "MS001", "MS005", "MS006", "MS008", "MS012", "MS015", "MS100",
    ],
);
// Beside open TCP, which bears what the version suggests.
const OPEN_UDP: Expected = Exposed(
    "ascii",
    &["MS001", "MS002", "MS005", "MS006", "MS008", "MS016"],
);
const NO_UDP: Expected = Closed("refused: ICMP port unreachable");
const NO_TCP: Expected = Closed("refused: TCP RST");

#[track_caller]
fn check_endpoint(record: &Value, expected: Expected) {
    let verdict = text(record, "verdict");
    match expected {
        Exposed(protocol, expected_codes) => {
            assert_eq!(verdict, "exposed", "{record}");
            assert_eq!(text(record, "version"), VERSION);
            assert_eq!(text(record, "protocol"), protocol);
            assert_eq!(text(record, "auth"), "none");
            assert_eq!(codes(record), expected_codes, "{record}");
            assert!(record["server"]["pid"].as_u64().unwrap() > 0, "{record}");
            assert_eq!(record["server"]["curr_items"], 0);
            assert_eq!(record["server"]["limit_maxbytes"], 64 << 20);
            assert!(record["server"]["uptime_s"].is_u64(), "{record}");
            assert_eq!(record["server"]["version"], Value::Null);
            assert!(record["rtt_us"].is_u64(), "{record}");
        }
        Protected {
            auth,
            protocol,
            version,
        } => {
            assert_eq!(verdict, "protected", "{record}");
            assert_eq!(text(record, "auth"), auth);
            assert_eq!(text(record, "protocol"), protocol);
            assert_eq!(record["version"].as_str(), version);
            assert_eq!(record["executed"], Value::Null);
            assert_eq!(record["server"], Value::Null);
            let of_version: &[&str] = match version {
                Some(_) => &["MS100", "MS123", "MS124"],
                None => &[],
            };
            assert_eq!(codes(record), of_version);
        }
        Closed(reason) => {
            assert_eq!(verdict, "closed", "{record}");
            assert!(text(record, "reason").starts_with(reason), "{record}");
            assert_eq!(codes(record), <[&str; 0]>::default());
        }
    }
}

/// Starts memcached on a loopback address of its own and scans it over both transports: nothing
/// that only this machine can reach is an alarm, and every mode is named in time.
#[track_caller]
fn check_mode(arguments: &[&str], tcp: Expected, udp: Expected) -> Records {
    let address = fresh_loopback().to_string();
    let mut all = vec!["-l", &address];
    all.extend(arguments);
    let _server = MemcachedServer::start(&all);
    check_running(&address, tcp, udp)
}

#[track_caller]
fn check_running(address: &str, tcp: Expected, udp: Expected) -> Records {
    let run = memsweep(&["scan", address, "-o", "ndjson"]);
    let records = run.records_with_code(0);
    assert_eq!(run.stderr, "");
    assert!(run.elapsed < NAMED_WITHIN, "{:?}", run.elapsed);
    check_endpoint(records.endpoint(&format!("{address}:11211/tcp")), tcp);
    check_endpoint(records.endpoint(&format!("{address}:11211/udp")), udp);
    assert_eq!(records.endpoints().len(), 2);
    assert_eq!(records.summary()["complete"], true);
    assert_eq!(records.summary()["alarms"], 0);
    records
}

#[test]
fn plain_with_udp() {
    let records = check_mode(&["-U", "11211"], OPEN, OPEN_UDP);
    let endpoints = records.endpoints();
    for record in &endpoints {
        let settings = &record["settings"];
        assert_eq!(settings["tcpport"], "11211");
        assert_eq!(settings["udpport"], "11211");
        assert_eq!(settings["inter"], record["address"]);
        assert_eq!(settings["auth_enabled_sasl"], "no");
        assert_eq!(settings["auth_enabled_ascii"], "no");
        assert_eq!(record["only_from_here"], true);
        assert_eq!(severity(record, "MS001"), "info");
        let own = ["MS008", "MS001"];
        let first: Vec<&str> = record["findings"].as_array().unwrap()[..2]
            .iter()
            .map(|finding| text(finding, "code"))
            .collect();
        assert_eq!(first, own, "why it is no alarm comes first");
    }
    let udp = endpoints.iter().find(|one| one["transport"] == "udp");
    let amplification = &udp.unwrap()["amplification"];
    assert_eq!(amplification["command"], "stats");
    assert_eq!(amplification["request_bytes"], 15);
    assert_eq!(amplification["datagrams"], 2);
    assert_eq!(amplification["complete"], true);
    let reply_bytes = amplification["reply_bytes"].as_f64().unwrap();
    assert!(reply_bytes > 2_000.0, "{amplification}");
    let ratio = amplification["payload_ratio"].as_f64().unwrap();
    assert!((ratio - reply_bytes / 15.0).abs() < 0.01, "{amplification}");
    assert!(amplification["wire_ratio"].as_f64().unwrap() < ratio);
}

#[test]
fn plain_without_udp() {
    let records = check_mode(&["-U", "0"], OPEN, NO_UDP);
    let tcp = records
        .endpoints()
        .into_iter()
        .find(|one| one["transport"] == "tcp");
    assert_eq!(tcp.unwrap()["settings"]["udpport"], "0");
}

#[test]
fn udp_only() {
    let open = Exposed(
        "ascii",
        &[
            "MS001", "MS002", "MS005", "MS006", "MS008", "MS016", "MS100",
        ],
    );
    check_mode(&["-p", "0", "-U", "11211"], NO_TCP, open);
}

#[test]
fn without_dumps() {
    let open = Exposed(
        "ascii",
        &["MS001", "MS005", "MS008", "MS012", "MS015", "MS100"],
    );
    check_mode(&["-X"], open, NO_UDP);
}

#[test]
fn without_flush_and_with_shutdown() {
    let open = Exposed(
        "ascii",
        &[
            "MS001", "MS006", "MS007", "MS008", "MS012", "MS015", "MS100",
        ],
    );
    check_mode(&["-F", "-A"], open, NO_UDP);
}

#[test]
fn locked_to_one_protocol() {
    check_mode(&["-B", "ascii"], OPEN, NO_UDP);
    let binary = Exposed("binary", &["MS001", "MS005", "MS006", "MS008", "MS100"]);
    check_mode(&["-B", "binary"], binary, NO_UDP);
}

#[test]
fn with_passwords_over_ascii() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth");
    std::fs::write(&file, "someone:secret\n").unwrap();
    let expected = Protected {
        auth: "ascii",
        protocol: "ascii",
        version: None,
    };
    check_mode(&["-Y", file.to_str().unwrap()], expected, NO_UDP);
}

#[test]
fn with_sasl() {
    let folder = tempfile::tempdir().unwrap();
    let address = fresh_loopback().to_string();
    // Debian's build refuses to start without a place for its configuration, which may be empty.
    let place = format!("SASL_CONF_PATH={}", folder.path().display());
    let arguments = [&place, testkit::server::MEMCACHED, "-S", "-l", &address];
    let _server = MemcachedServer::start_command("env", &arguments);
    let expected = Protected {
        auth: "sasl",
        protocol: "binary",
        version: Some(VERSION),
    };
    let records = check_running(&address, expected, NO_UDP);
    let tcp = records.endpoint(&format!("{address}:11211/tcp"));
    // Which mechanisms there are is the machine's business; the one that needs nothing is there.
    let mechanisms = tcp["sasl_mechanisms"].as_array().unwrap();
    assert!(mechanisms.contains(&json!("PLAIN")), "{mechanisms:?}");
}

#[test]
fn with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate::write(folder.path());
    let files = format!(
        "ssl_chain_cert={},ssl_key={}",
        certificate.display(),
        key.display()
    );
    let open = Exposed(
        "tls",
        &[
            "MS001", "MS005", "MS006", "MS008", "MS012", "MS015", "MS100",
        ],
    );
    let records = check_mode(&["-Z", "-o", &files], open, NO_UDP);
    let endpoints = records.endpoints();
    let tcp = endpoints.iter().find(|one| one["transport"] == "tcp");
    let tls = &tcp.unwrap()["tls"];
    assert_eq!(tls["version"], "TLSv1.3");
    assert_eq!(tls["inner"], "ascii");
    assert_eq!(tls["certificate"]["names"], json!(["cache.example"]));

    // In clear over UDP what is encrypted over TCP.
    let open_udp = Exposed(
        "ascii",
        &[
            "MS001", "MS002", "MS005", "MS006", "MS008", "MS010", "MS016",
        ],
    );
    check_mode(&["-Z", "-o", &files, "-U", "11211"], open, open_udp);

    let files = format!(
        "{files},ssl_ca_cert={},ssl_verify_mode=2",
        certificate.display()
    );
    let mutual = Protected {
        auth: "tls-client-certificate",
        protocol: "tls",
        version: None,
    };
    check_mode(&["-Z", "-o", &files], mutual, NO_UDP);
}

#[test]
fn on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memcached.sock");
    let path = path.to_str().unwrap();
    let server = MemcachedServer::start(&["-s", path]);
    let target = format!("unix:{path}");
    let records = memsweep(&["scan", &target, "-o", "ndjson"]).records_with_code(0);
    let record = records.endpoint(&target);
    assert_eq!(text(record, "verdict"), "exposed");
    assert_eq!(text(record, "transport"), "unix");
    assert_eq!(text(record, "version"), VERSION);
    assert_eq!(record["port"], Value::Null);
    assert_eq!(record["settings"]["domain_socket"], path);
    assert!(codes(record).contains(&"MS008"), "{record}");
    assert_eq!(records.summary()["verdicts"]["exposed"], 1);

    drop(server);
    for (file, verdict) in [(path, "closed"), ("/nonexistent/socket", "absent")] {
        let target = format!("unix:{file}");
        let records = memsweep(&["scan", &target, "-o", "ndjson"]).records_with_code(0);
        assert_eq!(text(records.endpoint(&target), "verdict"), verdict);
    }
}

#[test]
fn on_ipv6() {
    let namespace = Namespace::new();
    let _server =
        MemcachedServer::start_in(&namespace, &["-l", "::1", "-p", "11211", "-U", "11211"]);
    for target in ["::1", "[::1]", "[::1]:11211"] {
        let records = memsweep_in(&namespace, &["scan", target, "-o", "ndjson"]);
        let records = records.records_with_code(0);
        check_endpoint(records.endpoint("[::1]:11211/tcp"), OPEN);
        check_endpoint(records.endpoint("[::1]:11211/udp"), OPEN_UDP);
    }
}

#[test]
fn on_another_port() {
    let address = fresh_loopback();
    let (host, both) = (address.to_string(), format!("{address}:11311"));
    let _server = MemcachedServer::start(&["-l", &host, "-p", "11311"]);
    for arguments in [
        &["scan", &both, "-o", "ndjson"][..],
        &["scan", &host, "-p", "11311", "-o", "ndjson"],
        // The target's own port comes before `-p`.
        &["scan", &both, "-p", "1", "-o", "ndjson"],
    ] {
        let records = memsweep(arguments).records_with_code(0);
        check_endpoint(records.endpoint(&format!("{both}/tcp")), OPEN);
        assert_eq!(records.endpoints().len(), 2, "{arguments:?}");
    }
    let arguments = ["scan", &host, "-p", "11211,11310-11312", "-o", "ndjson"];
    let records = memsweep(&arguments).records_with_code(0);
    assert_eq!(records.endpoints().len(), 8);
    assert_eq!(records.summary()["verdicts"]["exposed"], 1);
    assert_eq!(records.summary()["verdicts"]["closed"], 7);
}

#[test]
fn behind_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let (backend, proxy) = (fresh_loopback().to_string(), fresh_loopback().to_string());
    let _server = MemcachedServer::start(&["-l", &backend]);
    let _proxy = start_nutcracker(folder.path(), &proxy, &backend);
    let records = memsweep(&["scan", &proxy, "-o", "ndjson"]).records_with_code(0);
    let tcp = records.endpoint(&format!("{proxy}:11211/tcp"));
    assert_eq!(text(tcp, "verdict"), "exposed");
    assert_eq!(text(tcp, "version"), VERSION);
    assert_eq!(tcp["server"], Value::Null);
    assert!(codes(tcp).contains(&"MS013"), "{tcp}");
    assert!(text(tcp, "reason").contains("proxy (nutcracker)"), "{tcp}");
    check_endpoint(records.endpoint(&format!("{proxy}:11211/udp")), NO_UDP);
}

/// Starts the proxy as [`MemcachedServer`] starts a server: it ends with the test.
fn start_nutcracker(folder: &std::path::Path, address: &str, backend: &str) -> MemcachedServer {
    let [configuration, log, pid] =
        ["nutcracker.yml", "log", "pid"].map(|name| folder.join(name).display().to_string());
    let pool = format!(
        "pool:\n  listen: {address}:11211\n  servers:\n    - {backend}:11211:1\n  \
         timeout: 2000\n"
    );
    std::fs::write(&configuration, pool).unwrap();
    let start = format!(
        "exec nutcracker --conf-file={configuration} --output={log} --pid-file={pid} \
         --stats-addr={address} --stats-port=22222"
    );
    // The words behind the script are not for the proxy: they say where it will answer.
    MemcachedServer::start_command("sh", &["-c", &start, "sh", "-l", address, "-p", "11211"])
}

/// A machine that runs memcached on all its addresses, and one beside it to scan from.
struct Neighbours {
    scanner: Namespace,
    host: Namespace,
}

const HOST: Ipv4Addr = Ipv4Addr::new(10, 91, 0, 2);

impl Neighbours {
    fn new() -> Neighbours {
        let scanner = Namespace::new();
        let host = scanner.sibling();
        scanner.connect("10.91.0.1/24", &host, &format!("{HOST}/24"));
        Neighbours { scanner, host }
    }
}

const BOUND_EVERYWHERE: [&str; 6] = ["-l", "0.0.0.0", "-p", "11211", "-U", "11211"];

#[test]
fn exposed_to_another_machine() {
    let Neighbours { scanner, host } = Neighbours::new();
    let _server = MemcachedServer::start_in(&host, &BOUND_EVERYWHERE);
    let target = HOST.to_string();
    let records = memsweep_in(&scanner, &["scan", &target, "-o", "ndjson"]).records_with_code(1);
    let tcp = records.endpoint("10.91.0.2:11211/tcp");
    let udp = records.endpoint("10.91.0.2:11211/udp");
    assert_eq!(
        codes(tcp),
        [
            "MS001", "MS003", "MS004", "MS005", "MS006", "MS012", "MS015", "MS100"
        ]
    );
    assert_eq!(
        codes(udp),
        ["MS001", "MS002", "MS003", "MS005", "MS006", "MS016"]
    );
    for (record, code, expected) in [
        (tcp, "MS001", "high"),
        (udp, "MS001", "high"),
        (udp, "MS002", "critical"),
        (tcp, "MS003", "medium"),
        (tcp, "MS012", "low"),
    ] {
        assert_eq!(severity(record, code), expected, "{code}");
        assert_eq!(record["alarm"], true);
        assert_eq!(record["only_from_here"], Value::Null);
    }
    assert_eq!(records.summary()["alarms"], 2);
    let vantage = &records.run()["vantage"];
    assert_eq!(vantage["source"], "10.91.0.1");
    assert!(text(vantage, "interface").starts_with("here"), "{vantage}");

    // From the machine itself the same server is as exposed: it is not on loopback only.
    let own = memsweep_in(&host, &["scan", &target, "-o", "ndjson"]).records_with_code(1);
    assert_eq!(own.summary()["alarms"], 2);
    let loopback = memsweep_in(&host, &["scan", "127.0.0.1", "-o", "ndjson"]).records_with_code(1);
    assert!(codes(loopback.endpoint("127.0.0.1:11211/tcp")).contains(&"MS003"));
}

#[test]
fn found_in_a_network_and_in_the_local_one() {
    let Neighbours { scanner, host } = Neighbours::new();
    let _server = MemcachedServer::start_in(&host, &["-l", "10.91.0.2"]);
    for (target, arguments) in [
        ("10.91.0.0-5", &["--tcp"][..]),
        ("10.91.0.0/29", &["--tcp"]),
        ("local", &["--tcp", "--retries", "0"]),
    ] {
        let mut all = vec!["scan", target, "-o", "ndjson"];
        all.extend(arguments);
        let records = memsweep_in(&scanner, &all).records_with_code(1);
        assert_eq!(records.names(), ["10.91.0.2:11211/tcp"], "{target}");
        let counted = records.summary()["verdicts"].as_object().unwrap().values();
        let counted: u64 = counted.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(Some(counted), records.run()["plan"]["pairs"].as_u64());
    }
}

#[test]
fn accepted_risks_and_severities_decide_about_the_exit_code() {
    let Neighbours { scanner, host } = Neighbours::new();
    let _server = MemcachedServer::start_in(&host, &["-l", "10.91.0.2"]);
    let folder = tempfile::tempdir().unwrap();
    let entry = |subject: &str, until: &str| {
        format!("[[accept]]\n{subject}\nreason = \"a lab\"\nuntil = {until}\n")
    };
    let cases = [
        (
            entry("endpoint = \"10.91.0.2:11211/tcp\"", "2999-12-31"),
            "low",
            0,
        ),
        (entry("endpoint = \"10.91.0.0/24\"", "2999-12-31"), "low", 0),
        (
            entry("endpoint = \"10.91.0.2:11211/udp\"", "2999-12-31"),
            "low",
            1,
        ),
        (entry("endpoint = \"10.91.0.3\"", "2999-12-31"), "low", 1),
        (entry("endpoint = \"10.91.0.2\"", "2020-01-01"), "low", 1),
        (entry("rule = \"MS001\"", "2999-12-31"), "low", 1),
        (entry("rule = \"MS001\"", "2999-12-31"), "high", 0),
        (String::new(), "high", 1),
        (String::new(), "critical", 0),
    ];
    for (file, fail_on, code) in cases {
        let path = folder.path().join("accept.toml");
        std::fs::write(&path, &file).unwrap();
        let path = path.to_str().unwrap();
        let run = memsweep_in(
            &scanner,
            &[
                "scan",
                "10.91.0.2",
                "--tcp",
                "--accept",
                path,
                "--fail-on",
                fail_on,
                "-o",
                "ndjson",
            ],
        );
        assert_eq!(run.code, Some(code), "{fail_on} {file}");
        let records = run.records();
        let record = records.endpoint("10.91.0.2:11211/tcp");
        // Accepted or not, it is what it is.
        assert_eq!(text(record, "verdict"), "exposed");
        assert_eq!(record["alarm"], code == 1);
        let has_ended = file.contains("2020");
        assert_eq!(
            run.stderr.contains("2020-01-01, which has passed"),
            has_ended
        );
        if file.contains("10.91.0.0/24") {
            assert_eq!(record["accepted"][0]["reason"], "a lab");
            assert_eq!(record["accepted"][0]["until"], "2999-12-31");
        }
    }
}

#[test]
fn verified_after_the_fix() {
    let Neighbours { scanner, host } = Neighbours::new();
    let server = MemcachedServer::start_in(&host, &BOUND_EVERYWHERE);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.ndjson");
    let path = path.to_str().unwrap();
    let output = format!("ndjson={path}");
    let found = memsweep_in(&scanner, &["scan", "10.91.0.2", "-o", &output]);
    assert_eq!(found.code, Some(1), "{}", found.stderr);

    let verify = |expected: i32| {
        let run = memsweep_in(&scanner, &["verify", path, "-o", "ndjson"]);
        run.records_with_code(expected).verdicts()
    };
    let both = |tcp: &str, udp: &str| {
        [
            ("10.91.0.2:11211/tcp".to_owned(), tcp.to_owned()),
            ("10.91.0.2:11211/udp".to_owned(), udp.to_owned()),
        ]
        .into()
    };
    assert_eq!(verify(1), both("exposed", "exposed"));
    drop(server);
    let half_fixed = MemcachedServer::start_in(&host, &["-l", "0.0.0.0", "-p", "0", "-U", "11211"]);
    assert_eq!(verify(1), both("closed", "exposed"));
    drop(half_fixed);
    assert_eq!(verify(0), both("closed", "closed"));
    let by_target = memsweep_in(&scanner, &["verify", "10.91.0.2", "-o", "ndjson"]);
    assert_eq!(by_target.code, Some(0));
}
