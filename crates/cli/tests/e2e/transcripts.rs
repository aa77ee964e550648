//! Every recorded server, replayed on live sockets and scanned by one run of the real program.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use sim::behaviour::{Habits, Recorded, Replay};
use sim::{Hosting, LiveServer, TlsMode};
use testkit::transcripts::Transcript;
use testkit::{fresh_loopback, transcripts};

use crate::program::memsweep;
use crate::records::{codes, text};

/// What a recorded server is: its verdict over TCP and over UDP, and the version that must be read.
struct Truth {
    name: &'static str,
    tcp: &'static str,
    udp: &'static str,
    version: Option<&'static str>,
}

const fn plain(name: &'static str, version: &'static str) -> Truth {
    Truth {
        name,
        tcp: "exposed",
        udp: "exposed",
        version: Some(version),
    }
}

const fn tcp_only(
    name: &'static str,
    verdict: &'static str,
    version: Option<&'static str>,
) -> Truth {
    Truth {
        name,
        tcp: verdict,
        udp: "closed",
        version,
    }
}

const TRUTH: [Truth; 32] = [
    plain("1.2.8", "1.2.8"),
    plain("1.4.0", "1.4.0"),
    plain("1.4.10", "1.4.10"),
    plain("1.4.13", "1.4.13"),
    // Built with SASL, and started without.
    plain("1.4.15-sasl", "1.4.15"),
    plain("1.4.15", "1.4.15"),
    plain("1.4.33", "1.4.33"),
    plain("1.4.34", "1.4.34"),
    plain("1.4.4", "1.4.4"),
    plain("1.5.0", "1.5.0"),
    plain("1.5.5", "1.5.5"),
    plain("1.5.6", "1.5.6"),
    plain("1.6.0", "1.6.0"),
    plain("1.6.18-debian", "1.6.18"),
    plain("1.6.21", "1.6.21"),
    plain("1.6.38", "1.6.38"),
    plain("1.6.45-sasl-tls", "1.6.45"),
    plain("1.6.45", "1.6.45"),
    plain("1.6.9", "1.6.9"),
    plain("B-ascii-1.6.45", "1.6.45"),
    plain("B-binary-1.4.15", "1.4.15"),
    plain("B-binary-1.6.45", "1.6.45"),
    Truth {
        name: "auth-1.4.15-S-udp",
        tcp: "protected",
        udp: "exposed",
        version: Some("1.4.15"),
    },
    tcp_only("auth-1.4.15-S", "protected", Some("1.4.15")),
    tcp_only("auth-1.6.45-S", "protected", Some("1.6.45")),
    tcp_only("auth-1.6.45-Y", "protected", None),
    // `version` is an error to them; the 1.5.6 of their statistics is one of their lies.
    tcp_only("other-honeypots", "decoy", None),
    tcp_only("other-memcached-njs", "exposed", Some("0.0.1")),
    tcp_only("other-memcrsd", "exposed", Some("0.0.1")),
    tcp_only("other-nodecached", "exposed", Some("nodecached-0.2.0")),
    tcp_only("other-yrmcds", "exposed", Some("yrmcds version 1.1.9")),
    plain("tls-1.6.45-Z", "1.6.45"),
];

/// Where a recorded server is hosted: over the transports that were recorded, and not over those
/// that never answered.
fn start(transcript: &Transcript) -> (Ipv4Addr, LiveServer) {
    let recordings: Vec<Recorded> = transcript
        .exchanges
        .iter()
        .map(|exchange| Recorded {
            case: exchange.case.clone(),
            sent: exchange.sent.clone(),
            received: exchange.received.clone(),
            datagrams: exchange.datagrams.clone(),
        })
        .collect();
    let has = |transport: &str| {
        transcript
            .exchanges
            .iter()
            .any(|exchange| exchange.transport == transport)
    };
    let hosting = Hosting {
        tcp: true,
        udp: has("udp"),
        tls: has("tls").then(TlsMode::default),
        ..Hosting::default()
    };
    let address = fresh_loopback();
    let at = SocketAddr::from((address, 11211));
    let server = Replay::new(recordings, Habits::of(&transcript.name));
    (
        address,
        LiveServer::host(at, hosting, Box::new(server)).unwrap(),
    )
}

#[test]
fn every_recorded_server_is_what_it_was() {
    let servers: BTreeMap<String, (Ipv4Addr, LiveServer)> = transcripts::all()
        .iter()
        .map(|transcript| (transcript.name.clone(), start(transcript)))
        .collect();
    let known: Vec<&str> = servers.keys().map(String::as_str).collect();
    let mut told: Vec<&str> = TRUTH.iter().map(|truth| truth.name).collect();
    told.sort_unstable();
    assert_eq!(told, known);

    let targets: Vec<String> = servers.values().map(|(at, _)| at.to_string()).collect();
    let mut arguments = vec!["scan", "-o", "ndjson"];
    arguments.extend(targets.iter().map(String::as_str));
    // They were recorded on loopback, say so themselves, and are seen from there: no alarm.
    let records = memsweep(&arguments).records_with_code(0);
    assert_eq!(records.summary()["complete"], true);
    assert_eq!(records.endpoints().len(), 2 * TRUTH.len());

    let mut wrong = Vec::new();
    for truth in &TRUTH {
        let address = servers[truth.name].0;
        let endpoint = |transport: &str| records.endpoint(&format!("{address}:11211/{transport}"));
        let (tcp, udp) = (endpoint("tcp"), endpoint("udp"));
        let seen = (text(tcp, "verdict"), text(udp, "verdict"));
        if seen != (truth.tcp, truth.udp) {
            wrong.push(format!("{}: {seen:?}: {tcp} {udp}", truth.name));
        }
        if tcp["version"].as_str() != truth.version {
            wrong.push(format!("{}: version {}", truth.name, tcp["version"]));
        }
        if truth.udp == "exposed" {
            wrong.extend(wrong_udp(truth, udp));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let endpoint = |name: &str, transport: &str| {
        records.endpoint(&format!("{}:11211/{transport}", servers[name].0))
    };
    check_codes(&endpoint);

    let udp = |name: &str| endpoint(name, "udp");
    assert!(codes(udp("auth-1.4.15-S-udp")).contains(&"MS009"));
    assert!(codes(udp("tls-1.6.45-Z")).contains(&"MS010"));
    // Its datagrams of a long reply announce one too few; the last one is kept all the same.
    let miscounting = &udp("1.6.9")["amplification"];
    assert_eq!(miscounting["datagrams"], 2, "{miscounting}");
}

/// Which rules fire on which recorded server, as a table that stands in a file.
///
/// After a wanted change it is written anew with UPDATE_EXPECT=1; read the difference.
#[track_caller]
fn check_codes<'a>(endpoint: &dyn Fn(&str, &str) -> &'a Value) {
    let mut table = String::new();
    for truth in &TRUTH {
        for transport in ["tcp", "udp"] {
            let codes = codes(endpoint(truth.name, transport)).join(" ");
            let row = format!("{:<17} {transport}  {codes}", truth.name);
            table.push_str(row.trim_end());
            table.push('\n');
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/codes-table.txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    for (expected, seen) in expected.lines().zip(table.lines()) {
        assert_eq!(seen, expected);
    }
    assert_eq!(expected.lines().count(), table.lines().count());
}

fn wrong_udp(truth: &Truth, udp: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if udp["version"].as_str() != truth.version {
        wrong.push(format!(
            "{} over UDP: version {}",
            truth.name, udp["version"]
        ));
    }
    let amplification = &udp["amplification"];
    let ratio = amplification["payload_ratio"].as_f64().unwrap_or(0.0);
    if amplification["complete"] != true || ratio < 20.0 {
        wrong.push(format!("{} over UDP: {amplification}", truth.name));
    }
    wrong
}
