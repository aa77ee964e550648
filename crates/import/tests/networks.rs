//! Whose an address is, by the user's own files.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use import::Networks;
use model::Enrichment;
use proptest::prelude::*;
use testkit::consumers;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/imports")
}

fn networks(files: &[&str]) -> Networks {
    let mut networks = Networks::new();
    for name in files {
        networks
            .add(std::fs::read(folder().join(name)).unwrap())
            .unwrap();
    }
    networks
}

/// What is known of an address, in a line: owner, tags, system, its name, country.
fn known(networks: &Networks, ip: &str) -> String {
    let mut known = Enrichment::default();
    networks.enrich(ip.parse().unwrap(), &mut known);
    let asn = known.asn.map(|asn| asn.to_string());
    let parts = [
        known.owner,
        (!known.tags.is_empty()).then(|| known.tags.join("+")),
        asn,
        known.as_name,
        known.country,
    ];
    parts
        .map(|part| part.unwrap_or_else(|| "-".to_owned()))
        .join(" | ")
}

#[track_caller]
fn check(files: &[&str], cases: &[(&str, &str)]) {
    let networks = networks(files);
    for (ip, expected) in cases {
        assert_eq!(known(&networks, ip), *expected, "{ip}");
    }
}

const UNKNOWN: &str = "- | - | - | - | -";

#[test]
fn the_longest_prefix_that_says_something_counts() {
    check(
        &["networks.csv"],
        &[
            (
                "192.0.2.1",
                "Everybody | documentation | 64500 | Listed Networks | -",
            ),
            (
                "192.0.2.65",
                "Cache team, Tokyo | production+cache | 64500 | Listed Networks | -",
            ),
            (
                "::ffff:192.0.2.70",
                "A single host | production+cache | 64500 | Listed Networks | -",
            ),
            ("2001:db8::1", "Ops | - | - | - | JP"),
            ("198.51.100.1", UNKNOWN),
        ],
    );
}

#[test]
fn databases_tell_country_and_system() {
    check(
        &["country.mmdb", "asn.mmdb"],
        &[
            ("192.0.2.1", "- | - | 64496 | Example Networks | JP"),
            ("192.0.2.200", "- | - | - | - | JP"),
            ("198.51.100.7", "- | - | - | - | DE"),
            ("2001:db8::1", "- | - | 64497 | Beispielnetze | FR"),
            ("203.0.113.1", UNKNOWN),
            ("::1", UNKNOWN),
        ],
    );
}

#[test]
fn a_list_beats_a_database_and_a_file_beats_what_was_there() {
    let files = ["country.mmdb", "networks.csv", "asn.mmdb"];
    check(
        &files,
        &[
            (
                "192.0.2.1",
                "Everybody | documentation | 64500 | Listed Networks | JP",
            ),
            ("2001:db8::1", "Ops | - | 64497 | Beispielnetze | JP"),
        ],
    );
    let mut claimed = Enrichment {
        reverse_name: Some("a.example".to_owned()),
        asn: Some(1),
        country: Some("XX".to_owned()),
        tags: vec!["cloud".to_owned()],
        ..Enrichment::default()
    };
    networks(&files).enrich("198.51.100.7".parse().unwrap(), &mut claimed);
    assert_eq!(claimed.country.as_deref(), Some("DE"));
    // What the files do not say stays.
    assert_eq!((claimed.asn, claimed.tags.len()), (Some(1), 1));
    assert_eq!(claimed.reverse_name.as_deref(), Some("a.example"));
    assert!(Networks::new().is_empty() && !networks(&files).is_empty());
}

#[test]
fn the_databases_are_what_their_program_makes() {
    let made = tempfile::tempdir().unwrap();
    let script = made.path().join("make_mmdb.py");
    std::fs::copy(folder().join("make_mmdb.py"), &script).unwrap();
    let status = consumers::python("python3").arg(&script).status().unwrap();
    assert!(status.success());
    for name in ["country.mmdb", "asn.mmdb"] {
        let mut fresh = Networks::new();
        fresh
            .add(std::fs::read(made.path().join(name)).unwrap())
            .unwrap();
        for ip in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
            assert_eq!(known(&fresh, ip), known(&networks(&[name]), ip), "{name}");
        }
    }
}

#[track_caller]
fn check_error(list: impl AsRef<[u8]>, message: &str) {
    let error = Networks::new().add(list.as_ref().to_vec()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn errors_name_the_line_and_the_column() {
    check_error("", "its heading has no column `network`");
    check_error("owner\nOps\n", "its heading has no column `network`");
    check_error(
        "network,owner\n10.0.0.0/8,Ops\n10.0.0.0/33,Ops\n",
        "line 3: `network` is not an address or a network",
    );
    check_error(
        "network,asn\n10.0.0.0/8,ASX\n",
        "line 2: `asn` is not the number of an autonomous system",
    );
    check_error(
        "network,country\n10.0.0.0/8,Japan\n",
        "line 2: `country` is not two letters",
    );
    check_error(
        b"network,owner\n10.0.0.0/8,\x93\x8c\x8b\x9e\n",
        "line 2 is not UTF-8",
    );
    check_error(
        b"\xab\xcd\xefMaxMind.com\xff",
        &Networks::new()
            .add_database(b"\xab\xcd\xefMaxMind.com\xff".to_vec())
            .unwrap_err()
            .to_string(),
    );
    let mut networks = Networks::new();
    networks.add(b"network\n".to_vec()).unwrap();
    networks
        .add(b"\xef\xbb\xbfnetwork,owner\r\n10.0.0.1,=1+1".to_vec())
        .unwrap();
    assert_eq!(known(&networks, "10.0.0.1"), "=1+1 | - | - | - | -");
}

proptest! {
    #[test]
    fn no_list_makes_it_panic(
        list in "(network|asn|tags|,|\n|10.0.0.0/8|::/0|[0-9:./,\"]{1,9}){0,40}",
        ip in any::<IpAddr>(),
    ) {
        let mut networks = Networks::new();
        let _ = networks.add(list.into_bytes());
        networks.enrich(ip, &mut Enrichment::default());
    }

    #[test]
    fn no_damage_to_a_database_makes_it_panic(
        name in prop::sample::select(vec!["country.mmdb", "asn.mmdb"]),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        ips in proptest::collection::vec(any::<IpAddr>(), 4),
    ) {
        let mut bytes = std::fs::read(folder().join(name)).unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut networks = Networks::new();
        if networks.add_database(bytes).is_ok() {
            for ip in ips.into_iter().chain(["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]) {
                networks.enrich(ip, &mut Enrichment::default());
            }
        }
    }
}
