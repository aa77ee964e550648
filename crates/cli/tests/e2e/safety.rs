//! What goes over the wire: requests that harm no server, in frames that harm none, and answers
//! that are only believed if they are ours.

use serde_json::Value;
use sim::behaviour::{
    BindingProtocol, Demand, Genuine, GenuineConfig, Hostile, Misbehaviour, TlsBuild,
};
use sim::{Hosting, UdpReply};

use crate::program::memsweep;
use crate::records::{codes, text};
use crate::servers::{BOTH, TCP, TLS, host, host_taped};

/// Every way a server can be met: its name, where it is hosted, and how it was started.
fn ways() -> Vec<(&'static str, Hosting, GenuineConfig)> {
    let config = |version: &str| GenuineConfig {
        udp_port: 11211,
        ..GenuineConfig::new(version)
    };
    let tls = GenuineConfig {
        tls: TlsBuild::On,
        ..config("1.6.45")
    };
    let binary = GenuineConfig {
        protocol: BindingProtocol::Binary,
        ..config("1.6.45")
    };
    let demanding = |version: &str, demand: Demand| GenuineConfig {
        demand,
        ..config(version)
    };
    let tls_and_udp = Hosting { udp: true, ..TLS };
    vec![
        ("1.2.8", BOTH, config("1.2.8")),
        ("1.4.15", BOTH, config("1.4.15")),
        // Versions that a wrong frame or a dump kills.
        ("1.6.0", BOTH, config("1.6.0")),
        ("1.6.9", BOTH, config("1.6.9")),
        ("1.6.21", BOTH, config("1.6.21")),
        ("1.6.45", BOTH, config("1.6.45")),
        ("TLS", tls_and_udp, tls),
        ("binary", BOTH, binary),
        ("-S 1.4.15", BOTH, demanding("1.4.15", Demand::Sasl)),
        ("-S 1.6.45", TCP, demanding("1.6.45", Demand::Sasl)),
        ("-Y 1.6.18", TCP, demanding("1.6.18", Demand::Ascii)),
        ("-Y 1.6.45", TCP, demanding("1.6.45", Demand::Ascii)),
    ]
}

#[test]
fn no_server_is_asked_anything_harmful() {
    for command in ["scan", "check", "verify"] {
        let mut servers = Vec::new();
        let mut arguments = vec![command.to_owned(), "-o".to_owned(), "ndjson".to_owned()];
        for (name, hosting, config) in ways() {
            let (address, journal, tape, server) = host_taped(hosting, config);
            arguments.push(address.to_string());
            servers.push((name, hosting, journal, tape, server));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = memsweep(&arguments);
        let verdicts: Vec<String> = run.records().verdicts().into_values().collect();
        assert!(
            verdicts.iter().all(|one| one != "unfinished"),
            "{verdicts:?}"
        );
        for (name, hosting, journal, tape, _server) in servers {
            let what = format!("{command} {name}");
            assert_eq!(journal.harmful(), Vec::<String>::new(), "{what}");
            assert!(!journal.heard().is_empty(), "{what}: nothing was asked");
            assert_eq!(*tape.connections.lock().unwrap() > 0, hosting.tcp);
            let datagrams = tape.datagrams.lock().unwrap().clone();
            assert_eq!(!datagrams.is_empty(), hosting.udp, "{what}");
            for datagram in datagrams {
                // Frame: request id, sequence 0, total 1, reserved 0.
                assert_eq!(datagram[2..8], [0, 0, 0, 1, 0, 0], "{what}: {datagram:?}");
                let request = String::from_utf8(datagram[8..].to_vec()).unwrap();
                let known = ["version\r\n", "stats\r\n", "stats settings\r\n"];
                let deeper = ["stats items\r\n", "stats slabs\r\n"];
                let is_known = known.contains(&request.as_str())
                    || (command == "check" && deeper.contains(&request.as_str()));
                assert!(is_known, "{what}: {request:?}");
            }
        }
    }
}

/// The one kind of request that names anything of the server's: a `get` of a key that nobody can
/// have stored, never the same twice.
#[test]
fn keys_that_are_asked_for_are_random() {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let genuine = Genuine::new(GenuineConfig::new("1.6.18"));
        let journal = genuine.journal();
        let (address, _server) = host(TCP, genuine);
        let run = memsweep(&["check", &address.to_string(), "-o", "ndjson"]);
        run.records_with_code(1);
        let heard = journal.heard();
        let before = keys.len();
        keys.extend(heard.iter().filter_map(|heard| {
            let key = heard.request.strip_prefix("get ")?;
            Some(key.trim_end().to_owned())
        }));
        assert!(keys.len() > before, "{heard:?}");
    }
    for key in &keys {
        assert!(key.len() >= 16 && key.len() <= 250, "{key}");
    }
    assert_ne!(keys.first(), keys.last());
}

#[test]
fn an_answer_with_another_request_id_is_counted_and_never_believed() {
    let (address, _server) = host(BOTH, Hostile::new(Misbehaviour::WrongRequestId));
    let target = address.to_string();
    for command in ["scan", "check"] {
        let run = memsweep(&[command, &target, "--udp", "-o", "ndjson"]);
        let records = run.records_with_code(0);
        let record = records.endpoint(&format!("{target}:11211/udp"));
        assert_eq!(text(record, "verdict"), "other");
        let reason = text(record, "reason");
        assert!(reason.contains("do not carry our request id"), "{reason}");
        assert_eq!(record["version"], Value::Null);
        assert_eq!(record["executed"], Value::Null);
        assert!(records.summary()["rejected_replies"].as_u64().unwrap() > 0);
    }
}

#[test]
fn an_answer_from_another_port_counts_and_is_named() {
    let config = GenuineConfig {
        udp_port: 11211,
        ..GenuineConfig::new("1.5.0")
    };
    let hosting = Hosting {
        udp_reply: UdpReply::FromOtherPort,
        ..BOTH
    };
    let (address, _server) = host(hosting, Genuine::new(config));
    let target = address.to_string();
    let run = memsweep(&["scan", &target, "--udp", "-o", "ndjson"]);
    let records = run.records_with_code(1);
    let record = records.endpoint(&format!("{target}:11211/udp"));
    assert_eq!(text(record, "verdict"), "exposed");
    assert_eq!(text(record, "version"), "1.5.0");
    assert!(codes(record).contains(&"MS014"), "{record}");
    let from = text(record, "answered_from");
    assert!(from.starts_with(&format!("{target}:")), "{from}");
    assert_ne!(from, format!("{target}:11211"));
    let reason = text(record, "reason");
    assert!(
        reason.contains(&format!("the answer came from {from}")),
        "{reason}"
    );
}
