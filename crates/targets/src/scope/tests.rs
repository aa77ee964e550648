//! Tables for the scope: what may be an entry, what is permitted, and the lines that refuse.

use model::Address;

use super::*;
use crate::parse::{Hosts, parse_target};
use crate::selection::SelectionBuilder;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn select(targets: &str) -> Selection {
    let mut builder = SelectionBuilder::new(vec![11211]);
    for text in targets.split_whitespace() {
        let target = parse_target(text).unwrap();
        match target.hosts {
            Hosts::Ranges(ranges) => builder.add_ranges(&ranges, target.port),
            Hosts::Address(address) => builder.add_address(address, target.port, None),
            Hosts::Unix(path) => {
                builder.add_address(Address::Unix(path.into()), None, None);
            }
            other => panic!("{text} is {other:?}"),
        }
    }
    builder.build().unwrap()
}

/// A scope on 2026-06-15 of entries such as `203.0.113.0/24` or `203.0.113.0/24<2026-01-31`.
fn scope(entries: &str) -> Scope {
    let entry = |text: &str| {
        let (network, until) = text
            .split_once('<')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        ScopeEntry {
            network: Network::parse(network).unwrap(),
            owner: "us".into(),
            until: until.map(|day| Day::parse(day).unwrap()),
            source: "scope.toml".into(),
        }
    };
    let entries = entries.split_whitespace().map(entry).collect();
    Scope::new(entries, Day::parse("2026-06-15").unwrap())
}

/// The networks that the permit rests on, or the line that refuses it.
fn judge(entries: &str, targets: &str) -> String {
    match scope(entries).permit(select(targets)) {
        Ok(permit) => {
            let used: Vec<String> = permit
                .entries_used()
                .iter()
                .map(|entry| entry.network.to_string())
                .collect();
            format!("permitted by [{}]", used.join(" "))
        }
        Err(outside) => outside.to_string(),
    }
}

#[test]
fn networks_are_read_and_printed() {
    let cases = [
        ("203.0.113.0/24", Ok("203.0.113.0/24")),
        ("203.0.113.7", Ok("203.0.113.7/32")),
        ("10.0.0.0/8", Ok("10.0.0.0/8")),
        ("2001:db8::/32", Ok("2001:db8::/32")),
        ("2001:DB8::7", Ok("2001:db8::7/128")),
        ("::1", Ok("::1/128")),
        ("::ffff:203.0.113.0/120", Ok("203.0.113.0/24")),
        ("::ffff:203.0.113.7", Ok("203.0.113.7/32")),
        (
            "203.0.113.7/24",
            Err(
                r#""203.0.113.7/24": bits are set behind the prefix; write 203.0.113.0/24 for the network or 203.0.113.7 for the host"#,
            ),
        ),
        (
            "::ffff:203.0.113.7/120",
            Err(
                r#""::ffff:203.0.113.7/120": bits are set behind the prefix; write 203.0.113.0/24 for the network or 203.0.113.7 for the host"#,
            ),
        ),
        (
            "2001:db8::7/64",
            Err(
                r#""2001:db8::7/64": bits are set behind the prefix; write 2001:db8::/64 for the network or 2001:db8::7 for the host"#,
            ),
        ),
        (
            "202.0.0.0/7",
            Err(
                "202.0.0.0/7: a scope entry is /8 or longer; list the networks you administer one by one",
            ),
        ),
        (
            "0.0.0.0/0",
            Err(
                "0.0.0.0/0: a scope entry is /8 or longer; list the networks you administer one by one",
            ),
        ),
        (
            "::ffff:0.0.0.0/96",
            Err(
                "0.0.0.0/0: a scope entry is /8 or longer; list the networks you administer one by one",
            ),
        ),
        (
            "2001:db8::/31",
            Err(
                "2001:db8::/31: a scope entry is /32 or longer; list the networks you administer one by one",
            ),
        ),
        (
            "0.1.0.0/16",
            Err("0.1.0.0/16: touches 0.0.0.0/8, where no host can be"),
        ),
        (
            "224.0.0.0/8",
            Err("224.0.0.0/8: touches 224.0.0.0/4, where no host can be"),
        ),
        (
            "239.1.2.3",
            Err("239.1.2.3/32: touches 224.0.0.0/4, where no host can be"),
        ),
        (
            "255.255.255.255",
            Err("255.255.255.255/32: touches 240.0.0.0/4, where no host can be"),
        ),
        (
            "::/112",
            Err("::/112: touches ::/128, where no host can be"),
        ),
        ("::", Err("::/128: touches ::/128, where no host can be")),
        (
            "ff02::1",
            Err("ff02::1/128: touches ff00::/8, where no host can be"),
        ),
        (
            "203.0.113.0/33",
            Err(r#""203.0.113.0/33": "33" is no prefix length (0-32)"#),
        ),
        (
            "203.0.113.0/",
            Err(r#""203.0.113.0/": "" is no prefix length (0-32)"#),
        ),
        (
            "203.0.113.0/+24",
            Err(r#""203.0.113.0/+24": "+24" is no prefix length (0-32)"#),
        ),
        (
            "203.0.113.300",
            Err(r#""203.0.113.300": 300 is no octet (0-255)"#),
        ),
        (
            "0203.0.113.0/24",
            Err(
                r#""0203.0.113.0/24": 0203 has a leading zero, which some programs read as octal; write 203.0.113.0"#,
            ),
        ),
        (
            "example.org",
            Err(r#""example.org": not an address; write one such as 203.0.113.7 or 2001:db8::7"#),
        ),
        (
            "::ffff:0:0/95",
            Err(
                r#""::ffff:0:0/95": the range holds IPv4-mapped addresses (::ffff:0:0/96) among others; write those as IPv4"#,
            ),
        ),
        (
            "",
            Err(r#""": an IPv4 address has four octets, such as 10.0.0.1"#),
        ),
    ];
    for (text, expect) in cases {
        let network = Network::parse(text).map(|network| network.to_string());
        let network = network.map_err(|error| error.to_string());
        assert_eq!(network.as_deref().map_err(String::as_str), expect, "{text}");
    }
}

#[test]
fn the_tables_say_what_the_kinds_say() {
    let edges = |(address, bits): (IpAddr, u8)| {
        let range = block(address, bits);
        assert_eq!(range.prefix_bits(), Some(bits), "{address}/{bits}");
        [
            Some(range.first),
            Some(range.last),
            successor(range.last),
            crate::range::predecessor(range.first),
        ]
    };
    let free = free_ranges();
    let no_hosts: Vec<AddressRange> = NO_HOSTS
        .into_iter()
        .map(|(ip, bits)| block(ip, bits))
        .collect();
    for address in FREE.into_iter().chain(NO_HOSTS).flat_map(edges).flatten() {
        // `::ffff:…` would be IPv4; none of the edges lies there.
        assert_eq!(canonical_ip(address), address);
        let kind = AddressKind::of(address);
        let listed = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(address));
        assert_eq!(listed(&free), kind.is_free_to_scan(), "{address}");
        assert_eq!(
            listed(&no_hosts),
            kind == AddressKind::NotAHost,
            "{address}"
        );
    }
}

#[test]
fn free_networks_need_no_entry() {
    let free = [
        "10.0.0.0/8",
        "127.0.0.1 ::1",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.2.0/24:11212",
        "fe80::1 fe80::1%eth0 febf::/120",
        "fc00::1 fdff:ffff::/108",
        "unix:/run/memcached.sock",
        "::ffff:10.0.0.1",
    ];
    for targets in free {
        assert_eq!(judge("", targets), "permitted by []", "{targets}");
    }
    // An entry does not count where none is needed.
    assert_eq!(
        judge("10.0.0.0/8 203.0.113.0/24", "10.1.2.3"),
        "permitted by []"
    );
}

#[test]
fn everything_else_needs_one() {
    let refused = |address: &str, network: &str| {
        format!(
            "{address} is outside the scope: add it with `memsweep scope add {network} --owner \"…\"` if you administer it"
        )
    };
    let cases = [
        ("203.0.113.7", "203.0.113.7", "203.0.113.0/24"),
        (
            "10.0.0.1 ::ffff:203.0.113.7",
            "203.0.113.7",
            "203.0.113.0/24",
        ),
        ("[::ffff:8.8.8.8]:11211", "8.8.8.8", "8.8.8.0/24"),
        ("100.64.0.1", "100.64.0.1", "100.64.0.0/24"),
        ("100.64.0.0/10", "100.64.0.0", "100.64.0.0/10"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.0/24"),
        ("198.51.100.0/24", "198.51.100.0", "198.51.100.0/24"),
        ("203.0.112.0/20", "203.0.112.0", "203.0.112.0/20"),
        ("9.255.255.255-10.0.0.1", "9.255.255.255", "9.0.0.0/8"),
        ("172.31.255.0-172.32.0.9", "172.32.0.0", "172.0.0.0/10"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::/64"),
        ("2001:db8::/112", "2001:db8::", "2001:db8::/64"),
        ("::2", "::2", "::2/128"),
        ("::10.0.0.1", "::a00:1", "::a00:1/128"),
        ("64:ff9b::10.0.0.1", "64:ff9b::a00:1", "64:ff9b::/64"),
        ("fec0::1", "fec0::1", "fec0::/64"),
    ];
    for (targets, address, network) in cases {
        assert_eq!(judge("", targets), refused(address, network), "{targets}");
        let proposed = Network::parse(network).unwrap();
        assert!(proposed.contains(ip(address)), "{network} helps {address}");
    }
}

#[test]
fn what_cannot_be_a_host_is_refused_always() {
    let cases = [
        ("0.0.0.0", "0.0.0.0"),
        ("0.1.2.3", "0.1.2.3"),
        ("224.0.0.1", "224.0.0.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("::", "::"),
        ("ff02::1", "ff02::1"),
        ("::ffff:224.0.0.1", "224.0.0.1"),
        ("::ffff:0.0.0.0", "0.0.0.0"),
        ("223.255.255.0-224.0.0.9", "224.0.0.0"),
    ];
    for (targets, address) in cases {
        assert_eq!(
            judge("223.255.255.0/24", targets),
            format!(
                "{address} cannot be a host (it is unspecified, multicast or reserved) and is never scanned"
            ),
            "{targets}"
        );
    }
}

#[test]
fn entries_cover_and_combine() {
    let cases = [
        (
            "203.0.113.0/24",
            "203.0.113.7",
            "permitted by [203.0.113.0/24]",
        ),
        (
            "::ffff:203.0.113.0/120",
            "203.0.113.7",
            "permitted by [203.0.113.0/24]",
        ),
        (
            "203.0.113.0/24",
            "::ffff:203.0.113.7",
            "permitted by [203.0.113.0/24]",
        ),
        (
            "203.0.113.128/25 203.0.113.0/25",
            "203.0.113.0/24",
            "permitted by [203.0.113.128/25 203.0.113.0/25]",
        ),
        (
            "9.0.0.0/8 11.0.0.0/8",
            "9.255.255.0-11.0.0.9",
            "permitted by [9.0.0.0/8 11.0.0.0/8]",
        ),
        (
            "203.0.113.0/24 198.51.100.0/24",
            "203.0.113.7 10.0.0.0/24",
            "permitted by [203.0.113.0/24]",
        ),
        (
            "203.0.113.7<2026-06-15",
            "203.0.113.7",
            "permitted by [203.0.113.7/32]",
        ),
        (
            "203.0.113.0/24<2020-01-01 203.0.113.7",
            "203.0.113.7",
            "permitted by [203.0.113.7/32]",
        ),
        (
            "2001:db8::/48",
            "2001:db8::/112",
            "permitted by [2001:db8::/48]",
        ),
    ];
    for (entries, targets, expect) in cases {
        assert_eq!(judge(entries, targets), expect, "{entries}: {targets}");
    }
}

#[test]
fn a_range_half_in_scope_names_the_first_address_outside() {
    let cases = [
        ("203.0.113.0/25", "203.0.113.0/24", "203.0.113.128"),
        ("203.0.113.128/25", "203.0.113.0/24", "203.0.113.0"),
        (
            "203.0.113.0/25 203.0.113.129 203.0.113.130/31",
            "203.0.113.0/24",
            "203.0.113.128",
        ),
        ("203.0.113.0/24", "203.0.112.0/23", "203.0.112.0"),
        (
            "203.0.113.0/24",
            "203.0.113.0/24 203.0.114.1:5",
            "203.0.114.1",
        ),
        (
            "2001:db8::/65",
            "2001:db8::7fff:ffff:ffff:fff0-2001:db8::8000:0:0:f",
            "2001:db8:0:0:8000::",
        ),
    ];
    for (entries, targets, address) in cases {
        let outside = scope(entries).permit(select(targets)).unwrap_err();
        assert_eq!(outside.address, ip(address), "{entries}: {targets}");
    }
}

#[test]
fn an_expired_entry_is_named_with_its_file() {
    assert_eq!(
        judge(
            "203.0.113.0/24<2026-01-31 203.0.113.0/25<2026-06-14",
            "203.0.113.7"
        ),
        "203.0.113.7 is outside the scope: the entry 203.0.113.0/25 in scope.toml expired on 2026-06-14; change its `until` if you still administer it"
    );
    let expired = scope("203.0.113.0/24<2026-06-14");
    assert_eq!(expired.covering(ip("203.0.113.7")), None);
    assert_eq!(expired.entries().len(), 1);
}

#[test]
fn the_host_name_is_said_with_the_address() {
    let mut builder = SelectionBuilder::new(vec![11211]);
    builder.add_address(
        Address::from_ip(ip("203.0.113.7")),
        None,
        Some("www.example".into()),
    );
    let outside = scope("").permit(builder.build().unwrap()).unwrap_err();
    assert_eq!(
        outside.to_string(),
        "203.0.113.7 (www.example) is outside the scope: add it with `memsweep scope add 203.0.113.0/24 --owner \"…\"` if you administer it"
    );
}

#[test]
fn the_most_specific_entry_covers() {
    let scope = scope("203.0.113.0/24 203.0.113.0/28 203.0.113.0/30<2026-01-01 10.0.0.0/8");
    let cases = [
        ("203.0.113.1", Some("203.0.113.0/28")),
        ("::ffff:203.0.113.1", Some("203.0.113.0/28")),
        ("203.0.113.200", Some("203.0.113.0/24")),
        ("10.0.0.1", Some("10.0.0.0/8")),
        ("192.168.0.1", None),
        ("2001:db8::1", None),
    ];
    for (address, expect) in cases {
        let network = scope
            .covering(ip(address))
            .map(|entry| entry.network.to_string());
        assert_eq!(network.as_deref(), expect, "{address}");
    }
}

#[test]
fn a_permit_admits_what_was_selected_and_nothing_else() {
    let permit = scope("203.0.113.0/24")
        .permit(select(
            "203.0.113.0/24 203.0.113.7 10.0.0.1:5 fe80::1%eth0 unix:/a",
        ))
        .unwrap();
    assert_eq!(permit.pairs(), 256 + 3);
    let cases = [
        ("203.0.113.7", 11211, Some(true)),
        ("::ffff:203.0.113.8", 11211, Some(false)),
        ("203.0.113.7", 11212, None),
        ("203.0.114.7", 11211, None),
        ("10.0.0.1", 5, Some(true)),
        ("10.0.0.1", 11211, None),
        ("10.0.0.2", 5, None),
        ("fe80::1", 11211, None),
    ];
    for (text, port, named) in cases {
        // Deliberately not canonical: the permit has its own spelling.
        let admitted = permit.admit(&Address::Ip(ip(text)), port);
        assert_eq!(
            admitted.as_ref().map(Permitted::is_named),
            named,
            "{text} {port}"
        );
        if let Some(permitted) = admitted {
            assert_eq!(permitted.address(), &Address::from_ip(ip(text)));
            assert_eq!(permitted.port(), port);
        }
    }
    let endpoint = permit.pair(256 + 2).endpoint(model::Transport::Unix);
    assert_eq!(endpoint.to_string(), "unix:/a");
    let zoned = Address::Zoned("fe80::1".parse().unwrap(), "eth0".into());
    assert!(permit.admit(&zoned, 11211).is_some());
    let elsewhere = Address::Zoned("fe80::1".parse().unwrap(), "eth1".into());
    assert_eq!(permit.admit(&elsewhere, 11211), None);
}

/// Whether a link may be asked for its hosts of a range, or the line that refuses it.
fn judge_link(entries: &str, target: &str) -> String {
    let Hosts::Ranges(ranges) = parse_target(target).unwrap().hosts else {
        panic!("{target}");
    };
    match scope(entries).permit_link("eth0".into(), ranges[0]) {
        Ok(permit) => {
            let used = permit.entries_used().iter();
            let by: String = used.map(|entry| format!(" by {}", entry.network)).collect();
            format!("{} on {}{by}", permit.range(), permit.interface())
        }
        Err(outside) => outside.to_string(),
    }
}

#[test]
fn a_link_is_asked_only_if_the_whole_range_is_in_scope() {
    let add = |address: &str, network: &str| {
        format!(
            "{address} is outside the scope: add it with `memsweep scope add {network} --owner \"…\"` \
             if you administer it"
        )
    };
    let cases = [
        ("", "fe80::/64", "fe80::/64 on eth0".to_owned()),
        ("", "fd00:1::/64", "fd00:1::/64 on eth0".to_owned()),
        ("", "2001:db8:1::/64", add("2001:db8:1::", "2001:db8:1::/64")),
        (
            "2001:db8::/32",
            "2001:db8:1::/64",
            "2001:db8:1::/64 on eth0 by 2001:db8::/32".to_owned(),
        ),
        (
            "2001:db8:1::/65",
            "2001:db8:1::/64",
            add("2001:db8:1:0:8000::", "2001:db8:1::/64"),
        ),
        (
            "2001:db8:1::/64<2026-01-31",
            "2001:db8:1::/64",
            "2001:db8:1:: is outside the scope: the entry 2001:db8:1::/64 in scope.toml expired on \
             2026-01-31; change its `until` if you still administer it"
                .to_owned(),
        ),
        (
            "",
            "ff02::/16",
            "ff02:: cannot be a host (it is unspecified, multicast or reserved) and is never scanned"
                .to_owned(),
        ),
    ];
    for (entries, target, expect) in cases {
        assert_eq!(judge_link(entries, target), expect, "{entries:?} {target}");
    }
}

#[test]
fn only_what_was_checked_is_covered() {
    let scope = scope("");
    let range = AddressRange::of_prefix(ip("fd00:1::"), 64).unwrap();
    let permit = scope.permit_link("eth0".into(), range).unwrap();
    for (address, expect) in [
        ("fd00:1::", true),
        ("fd00:1::ffff:ffff:ffff:ffff", true),
        ("fd00:1:0:1::", false),
        ("fe80::1", false),
        ("2001:db8::1", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(permit.covers(ip(address)), expect, "{address}");
    }
}
