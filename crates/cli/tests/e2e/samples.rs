//! `--sample-keys`: sessions on an open server are found by the names of their keys, and no name is
//! kept; without the flag nothing of it is asked.

use std::fs;

use serde_json::Value;
use sim::behaviour::{GenuineConfig, Journal, StoredItems};

use crate::program::{Run, memsweep};
use crate::records::{codes, severity};
use crate::servers::{TCP, Tape, host_taped};
use crate::tool_ground::{Client, start};

/// Sessions of each kind on the real server.
const SESSIONS: u64 = 8;

/// The ids of sessions, each of another one, as the frameworks draw them.
fn ids(salt: u64, bytes: usize) -> impl Iterator<Item = String> {
    (1..=SESSIONS).map(move |number| {
        let mut state = number.wrapping_mul(salt);
        let mut digit = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b"0123456789abcdef"[(state >> 60) as usize])
        };
        (0..bytes).map(|_| digit()).collect()
    })
}

/// A made-up server that holds items, and what is sent to it.
fn stored(version: &str) -> (String, Journal, Tape, sim::LiveServer) {
    let mut config = GenuineConfig::new(version);
    config.items = vec![
        StoredItems {
            class: 1,
            count: 400,
            bytes: 40_000,
        },
        StoredItems {
            class: 5,
            count: 7,
            bytes: 2_000,
        },
    ];
    let (address, journal, tape, server) = host_taped(TCP, config);
    (address.to_string(), journal, tape, server)
}

/// Everything that was asked about names of keys.
fn listings(tape: &Tape) -> Vec<String> {
    let segments = tape.segments.lock().unwrap();
    let texts = segments
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    texts.filter(|text| text.contains("dump")).collect()
}

#[test]
fn sessions_are_found_and_none_is_named() {
    // All items are listed, not only those that were not used lately.
    let (address, _server) = start(&["-o", "no_lru_maintainer"]);
    let (php, django): (Vec<_>, Vec<_>) = (ids(7, 32).collect(), ids(11, 32).collect());
    let mut client = Client::connect(address);
    let value = b"user_id|i:4711;";
    client.set_many(php.iter().map(|id| format!("memc.sess.key.{id}")), value);
    let django_key = |id| format!(":1:django.contrib.sessions.cache{id}");
    client.set_many(django.iter().map(django_key), value);
    client.set_many(
        ["menu:top", "menu:bottom"].map(str::to_owned).into_iter(),
        value,
    );

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = format!("text={}", path("text").display());
    let nmap = format!("nmap={}", path("nmap").display());
    let target = address.to_string();
    let arguments = [
        "check",
        &target,
        "--tcp",
        "--sample-keys",
        "50",
        "--verbose",
    ];
    let outputs = ["-o", "ndjson", "-o", &text, "-o", &nmap];
    let run = memsweep(&[&arguments[..], &outputs].concat());
    let records = run.records_with_code(0);
    let record = records.endpoint(&format!("{target}:11211/tcp"));
    assert!(codes(record).contains(&"MS018"), "{record}");
    // Only this machine reaches it.
    assert_eq!(severity(record, "MS018"), "info");
    let sample = &record["key_sample"];
    assert_eq!(sample["names_max"], 50);
    assert_eq!(sample["names_seen"], SESSIONS * 2 + 2);
    let kinds: Vec<(&str, u64)> = sample["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| {
            (
                kind["kind"].as_str().unwrap(),
                kind["names"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [("Django sessions", SESSIONS), ("PHP sessions", SESSIONS)];
    assert_eq!(kinds, expected);
    let finding = |code: &str| -> Value {
        let findings = record["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["code"] == code);
        found.unwrap().clone()
    };
    assert_eq!(
        finding("MS018")["evidence"][1],
        "stats cachedump: 8 of 18 sampled names look like PHP sessions (memc.sess.key.*)"
    );
    assert_eq!(finding("MS006")["confidence"], "confirmed");

    let written = |name: &str| fs::read_to_string(path(name)).unwrap();
    let (text, nmap) = (written("text"), written("nmap"));
    assert!(text.contains("18 sampled (at most 50)"), "{text}");
    assert!(
        nmap.contains("Key names: 18 sampled (at most 50)"),
        "{nmap}"
    );
    for output in [&run.stdout, &run.stderr, &text, &nmap] {
        for id in php.iter().chain(&django) {
            assert!(!output.contains(&id[..4]), "{id} in {output}");
        }
        assert!(!output.contains("4711"), "a value in {output}");
        assert!(!output.contains("menu:top"), "{output}");
    }
    // Nothing was read: all that was got is the key that nobody has stored.
    let hits = client.ask("stats\r\n");
    assert!(hits.starts_with("STAT pid"), "{hits}");
    assert_eq!(record["server"]["get_hits"], 0);
}

#[test]
fn names_are_asked_for_only_by_the_flag_and_only_a_few() {
    for version in [
        "1.2.8", "1.4.15", "1.4.32", "1.5.6", "1.6.0", "1.6.21", "1.6.45",
    ] {
        for (flag, expected) in [
            (None, &[][..]),
            (
                Some("20"),
                &["stats cachedump 5 7\r\n", "stats cachedump 1 20\r\n"][..],
            ),
        ] {
            let (target, journal, tape, _server) = stored(version);
            let mut arguments = vec!["scan", &target, "--tcp", "-o", "ndjson"];
            arguments.extend(flag.map_or(vec![], |names| vec!["--sample-keys", names]));
            let records = memsweep(&arguments).records();
            let record = records.endpoint(&format!("{target}:11211/tcp"));
            assert_eq!(record["verdict"], "exposed", "{version}");
            // The made-up server knows no such command: after the first refusal nothing more is asked.
            let asked = listings(&tape);
            assert_eq!(asked, expected[..expected.len().min(1)], "{version}");
            let harmful = journal.harmful();
            assert_eq!(harmful.len(), asked.len(), "{version}: {harmful:?}");
            assert_eq!(record["key_sample"], Value::Null);
            let refused = &record["refused"]["stats cachedump"];
            assert_eq!(refused.as_str(), flag.map(|_| "ERROR"), "{version}");
        }
    }
}

#[test]
fn a_server_of_another_make_is_not_asked_and_that_is_said() {
    let (target, _journal, tape, _server) = stored("yrmcds version 1.1.9");
    let run = memsweep(&[
        "scan",
        &target,
        "--tcp",
        "-o",
        "ndjson",
        "--sample-keys",
        "20",
    ]);
    let records = run.records_with_code(0);
    let record = records.endpoint(&format!("{target}:11211/tcp"));
    assert_eq!(listings(&tape), [""; 0]);
    assert_eq!(record["key_sample_skipped"], "unknown-version");
}

/// A wish is of the person who runs it, never of a file.
#[test]
fn a_resumed_run_samples_only_if_it_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (first, second, expected)) in
        [(true, false, 0), (false, true, 1)].into_iter().enumerate()
    {
        let (target, _journal, tape, _server) = stored("1.6.18");
        let flag = |is_set: bool| {
            if is_set {
                &["--sample-keys", "20"][..]
            } else {
                &[]
            }
        };
        let arguments = [&["scan", &target, "--tcp", "-o", "ndjson"][..], flag(first)].concat();
        let run = memsweep(&arguments);
        let begun = run.stdout.lines().next().unwrap();
        let path = folder.path().join(format!("run{number}"));
        fs::write(&path, format!("{begun}\n")).unwrap();
        let before = listings(&tape).len();
        let resume = ["scan", "--resume", path.to_str().unwrap(), "-o", "ndjson"];
        let resumed = memsweep(&[&resume[..], flag(second)].concat());
        assert_eq!(resumed.code, Some(1), "{}", resumed.stderr);
        assert_eq!(listings(&tape).len() - before, expected);
    }
}

#[test]
fn what_would_be_asked_is_told_before() {
    let dry = |arguments: &[&str]| -> Run {
        memsweep(&[&["check", "127.0.0.1", "--dry-run"], arguments].concat())
    };
    let told = dry(&["--sample-keys", "50"]);
    let line = "`stats cachedump` for at most 50 names of keys";
    assert!(told.stdout.contains(line), "{}", told.stdout);
    assert!(!dry(&[]).stdout.contains("cachedump"));
    let udp = dry(&["--sample-keys", "50", "--udp"]);
    assert!(!udp.stdout.contains("cachedump"), "{}", udp.stdout);
    for number in ["0", "1001", "-1", "many"] {
        assert_eq!(dry(&["--sample-keys", number]).code, Some(2), "{number}");
    }
}
