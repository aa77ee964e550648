//! Tables for selections: numbering, ports, names, exclusions, limits.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::parse::{Hosts, parse_target};

fn address(text: &str) -> Address {
    match parse_target(text).unwrap().hosts {
        Hosts::Address(address) => address,
        Hosts::Unix(path) => Address::Unix(Arc::new(path)),
        other => panic!("{text} is {other:?}"),
    }
}

/// A builder with these targets added and, where they begin with `-`, excluded.
fn builder(targets: &str, ports: &[u16]) -> SelectionBuilder {
    let mut builder = SelectionBuilder::new(ports.to_vec());
    for word in targets.split_whitespace() {
        let (text, excludes) = word
            .strip_prefix('-')
            .map_or((word, false), |text| (text, true));
        let target = parse_target(text).unwrap();
        match (target.hosts, excludes) {
            (Hosts::Ranges(ranges), false) => builder.add_ranges(&ranges, target.port),
            (Hosts::Ranges(ranges), true) => builder.exclude(&ranges),
            (Hosts::Address(address), false) => builder.add_address(address, target.port, None),
            (Hosts::Address(address), true) => builder.exclude_address(&address),
            (Hosts::Unix(path), false) => {
                builder.add_address(Address::Unix(Arc::new(path)), target.port, None);
            }
            (Hosts::Unix(path), true) => builder.exclude_address(&Address::Unix(Arc::new(path))),
            (other, _) => panic!("{word} is {other:?}"),
        }
    }
    builder
}

fn select(targets: &str) -> Selection {
    builder(targets, &[11211]).build().unwrap()
}

fn pairs(selection: &Selection) -> String {
    let shown: Vec<String> = (0..selection.pairs())
        .map(|index| selection.pair(index))
        .map(|pair| match &pair.address {
            Address::Unix(_) => pair.address.to_string(),
            _ => format!("{}={}", pair.address, pair.port),
        })
        .collect();
    shown.join(" ")
}

#[test]
fn pairs_are_the_union_of_what_is_named() {
    let cases = [
        ("10.0.0.1", "10.0.0.1=11211"),
        (
            "10.0.0.1 10.0.0.1 10.0.0.0/31",
            "10.0.0.0=11211 10.0.0.1=11211",
        ),
        (
            "10.0.0.2/31 10.0.0.0/31",
            "10.0.0.0=11211 10.0.0.1=11211 10.0.0.2=11211 10.0.0.3=11211",
        ),
        (
            "10.0.0.1:1 10.0.0.1:3 10.0.0.1",
            "10.0.0.1=1 10.0.0.1=3 10.0.0.1=11211",
        ),
        ("10.0.0.1:11211 10.0.0.1", "10.0.0.1=11211"),
        (
            "10.0.0.0/31 10.0.0.1:7",
            "10.0.0.0=11211 10.0.0.1=7 10.0.0.1=11211",
        ),
        (
            "10.0.0.0/30 -10.0.0.1-10.0.0.2",
            "10.0.0.0=11211 10.0.0.3=11211",
        ),
        ("10.0.0.0/31:7 10.0.0.1:8 -10.0.0.1", "10.0.0.0=7"),
        ("-10.0.0.0 10.0.0.0/31", "10.0.0.1=11211"),
        ("::1 127.0.0.1", "127.0.0.1=11211 ::1=11211"),
        (
            "255.255.255.255 0.0.0.0 ::",
            "0.0.0.0=11211 255.255.255.255=11211 ::=11211",
        ),
        ("::ffff:10.0.0.1 10.0.0.1", "10.0.0.1=11211"),
        ("10.0.0.0/31 -::ffff:10.0.0.0/127", ""),
        (
            "fe80::1%b [fe80::1%a]:7 fe80::1",
            "fe80::1=11211 fe80::1%a=7 fe80::1%b=11211",
        ),
        (
            "unix:/b unix:/a fe80::1%a 10.0.0.1",
            "10.0.0.1=11211 fe80::1%a=11211 unix:/a unix:/b",
        ),
        ("fe80::1%a fe80::1%b fe80::2%a -fe80::1", "fe80::2%a=11211"),
        ("fe80::1%a fe80::1%b -fe80::1%a", "fe80::1%b=11211"),
        ("unix:/a unix:/b -unix:/a", "unix:/b"),
    ];
    for (targets, expect) in cases {
        let built = builder(targets, &[11211]).build();
        let shown = built.as_ref().map(pairs).unwrap_or_default();
        assert_eq!(shown, expect, "{targets}");
    }
}

#[test]
fn several_default_ports_go_with_every_address() {
    let selection = builder("10.0.0.0/31 10.0.0.1:5 fe80::1%a unix:/a", &[9, 7, 7, 0])
        .build()
        .unwrap();
    assert_eq!(
        pairs(&selection),
        "10.0.0.0=7 10.0.0.0=9 10.0.0.1=5 10.0.0.1=7 10.0.0.1=9 fe80::1%a=7 fe80::1%a=9 unix:/a"
    );
    assert_eq!(selection.addresses(), 4);
}

#[test]
fn an_address_in_a_range_counts_as_named_for_its_ports() {
    let selection = builder(
        "10.0.0.0/30 10.0.0.1 10.0.0.2:5 10.0.0.3 -10.0.0.3 unix:/a",
        &[7, 9],
    )
    .build()
    .unwrap();
    let cases = [
        ("10.0.0.0", 7, false),
        ("10.0.0.1", 7, true),
        ("10.0.0.1", 9, true),
        ("10.0.0.1", 5, false),
        ("10.0.0.2", 5, true),
        ("10.0.0.2", 7, false),
        ("10.0.0.3", 7, false),
        ("::ffff:10.0.0.1", 7, true),
        ("unix:/a", 0, true),
        ("unix:/b", 0, false),
    ];
    for (text, port, named) in cases {
        assert_eq!(
            selection.is_named(&address(text), port),
            named,
            "{text} {port}"
        );
    }
}

#[test]
fn unusual_spellings_of_an_address_are_one() {
    let mapped = Address::Ip("::ffff:8.8.8.8".parse().unwrap());
    let zoned = Address::Zoned("::ffff:8.8.8.8".parse().unwrap(), "eth0".into());
    for spelling in [mapped, zoned] {
        let mut builder = SelectionBuilder::new(vec![1]);
        builder.add_address(spelling.clone(), None, None);
        let selection = builder.build().unwrap();
        assert_eq!(pairs(&selection), "8.8.8.8=1");
        assert!(selection.contains(&spelling, 1));
        let mut builder = SelectionBuilder::new(vec![1]);
        builder.add_address(address("8.8.8.8"), None, None);
        builder.exclude_address(&spelling);
        assert_eq!(builder.build().unwrap_err(), SelectionError::AllExcluded);
    }
}

#[test]
fn a_range_put_together_by_hand_is_checked_again() {
    let wrong = AddressRange {
        first: "::".parse().unwrap(),
        last: "::2:0:0:0".parse().unwrap(),
    };
    let mut by_adding = builder("10.0.0.1", &[1]);
    by_adding.add_ranges(&[wrong], None);
    assert_eq!(
        by_adding.build().unwrap_err(),
        SelectionError::BadRange(RangeError::HoldsMapped)
    );
    let mapped = AddressRange {
        first: "::ffff:8.8.8.8".parse().unwrap(),
        last: "::ffff:8.8.8.9".parse().unwrap(),
    };
    let mut builder = SelectionBuilder::new(vec![1]);
    builder.add_ranges(&[mapped], None);
    assert_eq!(pairs(&builder.build().unwrap()), "8.8.8.8=1 8.8.8.9=1");
}

#[test]
fn host_names_are_kept_with_what_is_left() {
    let mut builder = builder("10.0.0.0/30 -10.0.0.2", &[1]);
    builder.add_address(address("10.0.0.1"), None, Some("one.example".into()));
    builder.add_address(
        address("::ffff:10.0.0.1"),
        None,
        Some("second.example".into()),
    );
    builder.add_address(address("10.0.0.2"), None, Some("gone.example".into()));
    builder.add_address(address("fe80::1%a"), Some(5), Some("zoned.example".into()));
    let selection = builder.build().unwrap();
    let name = |text: &str| {
        selection
            .hostname(&address(text))
            .map(|name| name.to_string())
    };
    assert_eq!(name("10.0.0.1").as_deref(), Some("one.example"));
    assert_eq!(name("10.0.0.2"), None);
    assert_eq!(name("10.0.0.0"), None);
    assert_eq!(name("fe80::1%a").as_deref(), Some("zoned.example"));
}

#[test]
fn the_limits_are_said_with_count_and_limit() {
    let cases = [
        (
            "",
            "there is no target: name an address, a network or a host, and at least one port",
        ),
        (
            "10.0.0.0/24 10.0.0.1 -10.0.0.0/8",
            "nothing is left to scan: the exclusions cover every target",
        ),
        (
            "0.0.0.0/0",
            "the targets hold 4294967296 IPv4 addresses; a run takes at most 268435456: scan them in parts, or exclude more",
        ),
        (
            "16.0.0.0/4 32.0.0.0",
            "the targets hold 268435457 IPv4 addresses; a run takes at most 268435456: scan them in parts, or exclude more",
        ),
        (
            "2001:db8::/64",
            "the targets hold 18446744073709551616 IPv6 addresses; a run takes at most 16777216: scan them in parts, or exclude more (a larger network can be scanned only on a link of this machine, which knows its hosts)",
        ),
        (
            "8000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2000::/3",
            "the targets hold 212676479325586539664609129644855132160 IPv6 addresses; a run takes at most 16777216: scan them in parts, or exclude more (a larger network can be scanned only on a link of this machine, which knows its hosts)",
        ),
    ];
    for (targets, expect) in cases {
        assert_eq!(
            builder(targets, &[1]).build().unwrap_err().to_string(),
            expect,
            "{targets}"
        );
    }
    assert_eq!(
        select("16.0.0.0/4 2001:db8::/104").addresses(),
        (1 << 28) + (1 << 24)
    );
    assert_eq!(select("16.0.0.0/4 32.0.0.0 -16.0.0.0").addresses(), 1 << 28);
    assert_eq!(
        builder("10.0.0.1", &[]).build().unwrap_err(),
        SelectionError::Empty
    );
    // Without default ports, what names no port is neither asked nor counted.
    let own_port = builder("10.0.0.1:5 10.0.0.0/24", &[]).build().unwrap();
    assert_eq!(
        (pairs(&own_port).as_str(), own_port.addresses()),
        ("10.0.0.1=5", 1)
    );
}

#[test]
fn named_addresses_and_ranges_have_limits() {
    let mut named = SelectionBuilder::new(vec![1]);
    for number in 0..=NAMED_MAX as u32 {
        let ip = std::net::Ipv4Addr::from_bits((10 << 24) + number);
        named.add_address(Address::from_ip(ip.into()), None, None);
    }
    let error = named.clone().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "1000001 addresses are named by themselves; a run takes at most 1000000: write them as ranges, or scan them in parts"
    );
    named.exclude_address(&address("10.0.0.0"));
    assert_eq!(named.build().unwrap().pairs(), NAMED_MAX);

    let every_other = |count: u64| {
        let mut builder = SelectionBuilder::new(vec![1]);
        for number in 0..count as u32 {
            let ip = std::net::Ipv4Addr::from_bits((10 << 24) + 2 * number);
            builder.add_ranges(&[AddressRange::single(ip.into())], None);
        }
        builder.build()
    };
    assert_eq!(every_other(RANGES_MAX).unwrap().pairs(), RANGES_MAX);
    let count = RANGES_MAX + 1;
    let error = SelectionError::TooManyRanges {
        count,
        limit: RANGES_MAX,
    };
    assert_eq!(every_other(count).unwrap_err(), error);
}

#[test]
fn a_large_network_costs_one_block() {
    let selection = select("10.0.0.0/8");
    assert_eq!(selection.pairs(), 1 << 24);
    assert_eq!((selection.blocks.len(), selection.port_lists.len()), (1, 1));
    let pair = selection.pair(0x01_02_03);
    assert_eq!((pair.address, pair.port), (address("10.1.2.3"), 11211));
    assert_eq!(
        selection.index_of(&address("10.255.255.255"), 11211),
        Some((1 << 24) - 1)
    );
    // The same network a million times over is still one block.
    let mut builder = SelectionBuilder::new(vec![11211]);
    let range = AddressRange::of_prefix("10.0.0.0".parse().unwrap(), 8).unwrap();
    for _ in 0..1_000_000 {
        builder.add_ranges(&[range], None);
    }
    assert!(builder.ranges[&None].ranges.len() < MERGE_AT_LEAST);
    assert_eq!(builder.build().unwrap().blocks.len(), 1);
}

#[test]
fn ranges_join_blocks_whose_ports_differ() {
    let selection = select("10.0.0.0/25 10.0.0.128/25:5 10.0.1.7 2001:db8::/127 fe80::1%a unix:/a");
    let ranges: Vec<String> = selection.ranges().map(|range| range.to_string()).collect();
    assert_eq!(ranges, ["10.0.0.0/24", "10.0.1.7", "2001:db8::/127"]);
    assert_eq!(selection.addresses(), 256 + 1 + 2 + 1 + 1);
}

#[test]
fn only_unix_sockets_are_no_network() {
    let cases = [
        ("unix:/a", false),
        ("unix:/a 10.0.0.1", true),
        ("fe80::1%a", true),
        ("::1", true),
    ];
    for (targets, expect) in cases {
        assert_eq!(select(targets).has_network(), expect, "{targets}");
    }
}

#[test]
fn the_fingerprint_is_of_the_set_and_not_of_its_spelling() {
    let same = [
        "10.0.0.0/30 10.0.0.1:5 ::1 unix:/a",
        "unix:/a ::1 10.0.0.1:5 10.0.0.2/31 10.0.0.0 10.0.0.1:11211",
        "10.0.0.0/29 -10.0.0.4/30 [::1]:11211 unix:/a 10.0.0.1:5",
    ];
    let fingerprints: BTreeSet<u64> = same.iter().map(|text| select(text).fingerprint()).collect();
    // Runs that are already on disk hold this number: it may never change.
    assert_eq!(fingerprints, BTreeSet::from([8_725_000_295_434_670_929]));
    let different = [
        "10.0.0.0/30 10.0.0.1:5 ::1",
        "10.0.0.0/30 10.0.0.1:5 ::1 unix:/b",
        "10.0.0.0/30 10.0.0.1:6 ::1 unix:/a",
        "10.0.0.0/30 10.0.0.2:5 ::1 unix:/a",
        "10.0.0.0/30 10.0.0.1:5 ::2 unix:/a",
        "10.0.0.0/31 10.0.0.1:5 ::1 unix:/a",
    ];
    let others: BTreeSet<u64> = different
        .iter()
        .map(|text| select(text).fingerprint())
        .collect();
    assert_eq!(others.len(), different.len());
    assert!(others.is_disjoint(&fingerprints));
}

#[test]
fn paths_of_sockets_are_compared_as_written() {
    let selection = select("unix:/run/a");
    let path = |text: &str| Address::Unix(Arc::new(PathBuf::from(text)));
    assert!(selection.contains(&path("/run/a"), 0));
    assert!(!selection.contains(&path("/run/a"), 11211));
    assert!(!selection.contains(&path("/run/./b"), 0));
}

#[test]
fn named_pairs_are_those_that_are_named() {
    let ip = |text: &str| Address::from_ip(text.parse().unwrap());
    let mut builder = SelectionBuilder::new(vec![11211, 11212]);
    builder.add_ranges(
        &[AddressRange::of_prefix("10.0.0.0".parse().unwrap(), 24).unwrap()],
        None,
    );
    builder.add_address(ip("10.0.0.7"), None, None);
    builder.add_address(ip("10.0.0.7"), Some(11211), None);
    builder.add_address(ip("10.0.0.9"), Some(80), None);
    builder.add_address(Address::Unix(std::sync::Arc::new("/a".into())), None, None);
    let selection = builder.build().unwrap();
    let expected: Vec<u64> = (0..selection.pairs())
        .filter(|index| {
            let pair = selection.pair(*index);
            selection.is_named(&pair.address, pair.port)
        })
        .collect();
    assert_eq!(expected.len(), 4);
    assert_eq!(selection.named_pairs().collect::<Vec<_>>(), expected);
}

#[test]
fn the_ports_of_an_address_are_those_of_its_block() {
    let selection = select("10.0.0.0/24 10.0.0.7:80 [fd00::1]:443 [fe80::1%eth0]:9 unix:/run/a");
    for (ip, expect) in [
        ("10.0.0.0", &[11211][..]),
        ("10.0.0.7", &[80, 11211]),
        ("::ffff:10.0.0.7", &[80, 11211]),
        ("10.0.1.0", &[]),
        ("fd00::1", &[443]),
        ("fe80::1", &[]),
    ] {
        assert_eq!(selection.ports_of(ip.parse().unwrap()), expect, "{ip}");
    }
}

/// What was found on links counts as part of a range, unless it was named as well.
#[test]
fn found_addresses_are_those_of_a_range() {
    let found = |named: &str, excluded: &str, addresses: &[&str]| {
        let mut builder = builder(named, &[11211]);
        for text in addresses {
            builder.add_found(&address(text), None);
        }
        for text in excluded.split_whitespace() {
            match parse_target(text).unwrap().hosts {
                Hosts::Ranges(ranges) => builder.exclude(&ranges),
                Hosts::Link { range, interface } => builder.exclude_link(range, interface),
                Hosts::Address(address) => builder.exclude_address(&address),
                other => panic!("{text} is {other:?}"),
            }
        }
        let selection = builder.build_or_empty().unwrap();
        let named: Vec<String> = selection
            .named_pairs()
            .map(|index| selection.pair(index).address.to_string())
            .collect();
        for index in 0..selection.pairs() {
            let pair = selection.pair(index);
            let is_named = named.contains(&pair.address.to_string());
            assert_eq!(selection.is_named(&pair.address, pair.port), is_named);
        }
        (pairs(&selection), named.join(" "))
    };
    let some = ["fd00::7", "fe80::7%eth0", "fe80::7%eth1", "fe80::8%eth0"];
    let cases = [
        ("", "", &[][..], "", ""),
        (
            "",
            "",
            &some[..],
            "fd00::7=11211 fe80::7%eth0=11211 fe80::7%eth1=11211 fe80::8%eth0=11211",
            "",
        ),
        (
            "fe80::7%eth0 fd00::7",
            "",
            &some[..2],
            "fd00::7=11211 fe80::7%eth0=11211",
            "fd00::7 fe80::7%eth0",
        ),
        ("", "fe80::/10", &some[..], "fd00::7=11211", ""),
        (
            "",
            "fd00::/8 fe80::/64%eth0",
            &some[..],
            "fe80::7%eth1=11211",
            "",
        ),
        (
            "",
            "fd00::7 fe80::7%eth0 fe80::8/125%eth0",
            &some[..],
            "fe80::7%eth1=11211",
            "",
        ),
    ];
    for (named, excluded, addresses, expect, expect_named) in cases {
        let (pairs, is_named) = found(named, excluded, addresses);
        assert_eq!(pairs, expect, "{named:?} - {excluded:?}");
        assert_eq!(is_named, expect_named, "{named:?} - {excluded:?}");
    }
    assert_eq!(
        builder("", &[11211]).build().unwrap_err(),
        SelectionError::Empty
    );
}
