//! Tables of what is typed, what it means, and the exact line that refuses it.

use super::*;

/// What a target means, in one line.
fn meaning(text: &str) -> String {
    let target = match parse_target(text) {
        Ok(target) => target,
        Err(error) => return error.to_string(),
    };
    assert_eq!(target.typed, text);
    let hosts = match target.hosts {
        Hosts::Ranges(ranges) => {
            let shown: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            format!("ranges {}", shown.join(" "))
        }
        Hosts::Link { range, interface } => format!("link {range} on {interface}"),
        Hosts::Address(address) => format!("address {address}"),
        Hosts::Unix(path) => format!("unix {}", path.display()),
        Hosts::Name(name) => format!("name {name}"),
        Hosts::Local => "local".to_owned(),
    };
    target
        .port
        .map_or(hosts.clone(), |port| format!("{hosts} port {port}"))
}

fn check(cases: &[(&str, &str)]) {
    for (text, expect) in cases {
        assert_eq!(meaning(text), *expect, "{text}");
    }
}

#[test]
fn addresses() {
    check(&[
        ("10.0.0.1", "address 10.0.0.1"),
        ("10.0.0.1:11212", "address 10.0.0.1 port 11212"),
        ("10.0.0.1/32", "address 10.0.0.1"),
        ("10.0.0.1/32:65535", "address 10.0.0.1 port 65535"),
        ("0.0.0.0", "address 0.0.0.0"),
        ("::1", "address ::1"),
        ("[::1]", "address ::1"),
        ("[::1]:11211", "address ::1 port 11211"),
        ("2001:DB8:0:0::1", "address 2001:db8::1"),
        ("2001:db8::1/128", "address 2001:db8::1"),
        ("2001:db8::1:1121", "address 2001:db8::1:1121"),
        ("fe80::1%eth0", "address fe80::1%eth0"),
        ("fe80::1%br-lan.7", "address fe80::1%br-lan.7"),
        ("[fe80::1%eth0]:11211", "address fe80::1%eth0 port 11211"),
        ("fe80::1", "address fe80::1"),
        ("::ffff:10.0.0.1", "address 10.0.0.1"),
        ("::ffff:a00:1", "address 10.0.0.1"),
        ("::ffff:10.0.0.1/128", "address 10.0.0.1"),
        ("[::ffff:10.0.0.1]:1", "address 10.0.0.1 port 1"),
    ]);
}

#[test]
fn hosts_of_a_link() {
    let all = "link fe80::/64 on eth0";
    check(&[
        ("fe80::/64%eth0", all),
        ("fe80::%eth0/64", all),
        ("fe80::1234%eth0/64", all),
        ("[fe80::/64%eth0]", all),
        ("fe80::/10%br-lan.7", "link fe80::/10 on br-lan.7"),
        (
            "[fe80::%eth0/64]:11212",
            "link fe80::/64 on eth0 port 11212",
        ),
        ("fe80::7%eth0/128", "address fe80::7%eth0"),
        ("fe80::7/128%eth0", "address fe80::7%eth0"),
    ]);
}

#[test]
fn networks_and_ranges() {
    check(&[
        ("192.168.2.0/24", "ranges 192.168.2.0/24"),
        ("192.168.2.7/24", "ranges 192.168.2.0/24"),
        ("192.168.2.0/24:11212", "ranges 192.168.2.0/24 port 11212"),
        ("10.0.0.0/8", "ranges 10.0.0.0/8"),
        ("0.0.0.0/0", "ranges 0.0.0.0/0"),
        ("10.0.0.0/31", "ranges 10.0.0.0/31"),
        ("2001:db8::/120", "ranges 2001:db8::/120"),
        ("[2001:db8::/120]:11211", "ranges 2001:db8::/120 port 11211"),
        ("2001:db8::7/120", "ranges 2001:db8::/120"),
        ("::ffff:10.1.2.3/104", "ranges 10.0.0.0/8"),
        ("10.0.0.1-10.0.0.9", "ranges 10.0.0.1-10.0.0.9"),
        ("10.0.0.1-10.0.0.9:80", "ranges 10.0.0.1-10.0.0.9 port 80"),
        ("10.0.0.0-10.0.1.255", "ranges 10.0.0.0/23"),
        ("2001:db8::1-2001:db8::9", "ranges 2001:db8::1-2001:db8::9"),
        (
            "[2001:db8::1-2001:db8::9]:9",
            "ranges 2001:db8::1-2001:db8::9 port 9",
        ),
        ("192.168.2.1-50", "ranges 192.168.2.1-192.168.2.50"),
        (
            "192.168.2.1-50:11212",
            "ranges 192.168.2.1-192.168.2.50 port 11212",
        ),
        ("192.168.2.*", "ranges 192.168.2.0/24"),
        ("192.168.2.-", "ranges 192.168.2.0/24"),
        ("192.168.2.-9", "ranges 192.168.2.0-192.168.2.9"),
        ("192.168.2.250-", "ranges 192.168.2.250-192.168.2.255"),
        ("192.168.2.5-5", "ranges 192.168.2.5"),
        (
            "10.0.0-1.1,5,4",
            "ranges 10.0.0.1 10.0.0.4/31 10.0.1.1 10.0.1.4/31",
        ),
        ("10.0.0-3.*", "ranges 10.0.0.0/22"),
        ("10.0.0,2.*", "ranges 10.0.0.0/24 10.0.2.0/24"),
        ("10.*.*.*", "ranges 10.0.0.0/8"),
        ("*.*.*.*", "ranges 0.0.0.0/0"),
        (
            "10.0.0.1-5,3-9,200-",
            "ranges 10.0.0.1-10.0.0.9 10.0.0.200-10.0.0.255",
        ),
        ("10.0.0.255,0", "ranges 10.0.0.0 10.0.0.255"),
    ]);
}

#[test]
fn names_sockets_and_local() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(meaning(&longest), format!("name {longest}"));
    check(&[
        ("host.example.org", "name host.example.org"),
        ("host.example.org:11211", "name host.example.org port 11211"),
        ("host.example.org.", "name host.example.org."),
        ("localhost", "name localhost"),
        ("3com.example", "name 3com.example"),
        ("1.2.3.example", "name 1.2.3.example"),
        ("xn--wgv71a119e.jp", "name xn--wgv71a119e.jp"),
        ("0xcafe.example", "name 0xcafe.example"),
        ("unix", "name unix"),
        ("Local", "name Local"),
        ("local", "local"),
        ("local:11212", "local port 11212"),
        ("unix:/run/memcached.sock", "unix /run/memcached.sock"),
        ("unix:relative:with:colons", "unix relative:with:colons"),
    ]);
}

#[test]
fn wrong_ipv4_is_refused_with_the_mend() {
    check(&[
        ("10.0.0.300", r#""10.0.0.300": 300 is no octet (0-255)"#),
        (
            "10.0.0.99999999999",
            r#""10.0.0.99999999999": 99999999999 is no octet (0-255)"#,
        ),
        ("10.0.0-300.1", r#""10.0.0-300.1": 300 is no octet (0-255)"#),
        ("10.0.0.1*", r#""10.0.0.1*": 1* is no octet (0-255)"#),
        (
            "10.0.0.",
            r#""10.0.0.": an octet is missing; write four, such as 10.0.0.1"#,
        ),
        (
            "10..0.1",
            r#""10..0.1": an octet is missing; write four, such as 10.0.0.1"#,
        ),
        (
            "10.0.0.1,",
            r#""10.0.0.1,": an octet is missing; write four, such as 10.0.0.1"#,
        ),
        (
            "10.1",
            r#""10.1": an IPv4 address has four octets; write 10.0.0.1 for the host or 10.1.0.0/16 for the network"#,
        ),
        (
            "10.1:11211",
            r#""10.1:11211": an IPv4 address has four octets; write 10.0.0.1 for the host or 10.1.0.0/16 for the network"#,
        ),
        (
            "10.1.2",
            r#""10.1.2": an IPv4 address has four octets; write 10.1.0.2 for the host or 10.1.2.0/24 for the network"#,
        ),
        (
            "10",
            r#""10": an IPv4 address has four octets; write 10.0.0.0/8 for the network"#,
        ),
        (
            "3232236033:80",
            r#""3232236033:80": an IPv4 address has four octets; write 192.168.2.1:80"#,
        ),
        (
            "99999999999",
            r#""99999999999": an IPv4 address has four octets, such as 10.0.0.1"#,
        ),
        (
            "1.2.3.4.5",
            r#""1.2.3.4.5": an IPv4 address has four octets, such as 10.0.0.1"#,
        ),
        (
            "10.1-5",
            r#""10.1-5": an IPv4 address has four octets, such as 10.0.0.1"#,
        ),
        (
            "...",
            r#""...": an octet is missing; write four, such as 10.0.0.1"#,
        ),
        (
            "010.0.0.1",
            r#""010.0.0.1": 010 has a leading zero, which some programs read as octal; write 10.0.0.1"#,
        ),
        (
            "10.00.0.01-09:80",
            r#""10.00.0.01-09:80": 00 has a leading zero, which some programs read as octal; write 10.0.0.1-9:80"#,
        ),
        (
            "0x7f.1",
            r#""0x7f.1": a host name does not end in a number, and an IPv4 address is written as four decimal octets, such as 127.0.0.1"#,
        ),
        (
            "0x7f000001",
            r#""0x7f000001": a host name does not end in a number, and an IPv4 address is written as four decimal octets, such as 127.0.0.1"#,
        ),
        (
            "host.1",
            r#""host.1": a host name does not end in a number, and an IPv4 address is written as four decimal octets, such as 127.0.0.1"#,
        ),
        (
            "127.0.0.1a.0X7F",
            r#""127.0.0.1a.0X7F": a host name does not end in a number, and an IPv4 address is written as four decimal octets, such as 127.0.0.1"#,
        ),
    ]);
}

#[test]
fn wrong_ranges_are_refused_with_the_mend() {
    check(&[
        (
            "192.168.2.50-1",
            r#""192.168.2.50-1": the range runs backwards; write 192.168.2.1-50"#,
        ),
        (
            "192.168.2.50-1:11212",
            r#""192.168.2.50-1:11212": the range runs backwards; write 192.168.2.1-50:11212"#,
        ),
        (
            "10.0.0.150-199,50-1",
            r#""10.0.0.150-199,50-1": the range runs backwards; write 10.0.0.150-199,1-50"#,
        ),
        (
            "10.3-0.0.1",
            r#""10.3-0.0.1": the range runs backwards; write 10.0-3.0.1"#,
        ),
        (
            "10.0.0.9-10.0.0.1:80",
            r#""10.0.0.9-10.0.0.1:80": the range runs backwards; write 10.0.0.1-10.0.0.9:80"#,
        ),
        (
            "[2001:db8::9-2001:db8::1]:80",
            r#""[2001:db8::9-2001:db8::1]:80": the range runs backwards; write [2001:db8::1-2001:db8::9]:80"#,
        ),
        (
            "10.0.0.1-10.0.0.300",
            r#""10.0.0.1-10.0.0.300": 300 is no octet (0-255)"#,
        ),
        (
            "::1-::ffff:10.0.0.1",
            r#""::1-::ffff:10.0.0.1": the range holds IPv4-mapped addresses (::ffff:0:0/96) among others; write those as IPv4"#,
        ),
        (
            "*.*.*.1",
            r#""*.*.*.1": falls into 16777216 separate ranges; a target takes at most 65536: scan it in parts"#,
        ),
    ]);
    assert!(parse_target("10.*.*.1").is_ok());
    assert!(parse_target("10,11.*.*.1").is_err());
}

#[test]
fn wrong_networks_are_refused_with_the_mend() {
    check(&[
        (
            "10.0.0.0/33",
            r#""10.0.0.0/33": 33 is no prefix length (0-32)"#,
        ),
        ("10.0.0.0/", r#""10.0.0.0/": "" is no prefix length (0-32)"#),
        (
            "10.0.0.0/+8",
            r#""10.0.0.0/+8": +8 is no prefix length (0-32)"#,
        ),
        (
            "10.0.0.0/-1",
            r#""10.0.0.0/-1": -1 is no prefix length (0-32)"#,
        ),
        (
            "10.0.0.0/8/9",
            r#""10.0.0.0/8/9": 8/9 is no prefix length (0-32)"#,
        ),
        (
            "2001:db8::/129",
            r#""2001:db8::/129": 129 is no prefix length (0-128)"#,
        ),
        // A mend that would carry control characters is left out: the message is one line.
        ("0/ \x7f", r#""0/ \u{7f}": an IPv4 address has four octets"#),
        (
            "10/8",
            r#""10/8": an IPv4 address has four octets; write 10.0.0.0/8"#,
        ),
        (
            "10.1/16:80",
            r#""10.1/16:80": an IPv4 address has four octets; write 10.1.0.0/16:80"#,
        ),
        (
            "10.0.0.0/255.255.255.0",
            r#""10.0.0.0/255.255.255.0": a network is written with the length of its prefix; write 10.0.0.0/24"#,
        ),
        (
            "10.0.0.0/255.0.255.0",
            r#""10.0.0.0/255.0.255.0": 255.0.255.0 is no prefix length (0-32)"#,
        ),
        (
            "/24",
            r#""/24": an IPv4 address has four octets, such as 10.0.0.1"#,
        ),
        (
            "10.0.0-3.0/24",
            r#""10.0.0-3.0/24": a prefix and octet ranges do not go together; write networks one by one"#,
        ),
        (
            "host.example.org/24",
            r#""host.example.org/24": a prefix goes with an address, not with a host name"#,
        ),
        (
            "[2001:db8::]/120:80",
            r#""[2001:db8::]/120:80": the prefix belongs inside the brackets; write [2001:db8::/120]:80"#,
        ),
        (
            "::ffff:10.0.0.0/90",
            r#""::ffff:10.0.0.0/90": the range holds IPv4-mapped addresses (::ffff:0:0/96) among others; write those as IPv4"#,
        ),
        (
            "::/0",
            r#""::/0": the range holds IPv4-mapped addresses (::ffff:0:0/96) among others; write those as IPv4"#,
        ),
    ]);
}

#[test]
fn wrong_ipv6_is_refused_with_the_mend() {
    check(&[
        (
            "::g",
            r#""::g": not an IPv6 address; with a port, write [address]:port"#,
        ),
        (
            ":::",
            r#"":::": not an IPv6 address; with a port, write [address]:port"#,
        ),
        (
            "2001:db8::1:11211",
            r#""2001:db8::1:11211": not an IPv6 address, and a port needs brackets; write [2001:db8::1]:11211"#,
        ),
        (
            "[::1",
            r#""[::1": the closing bracket is missing; write [address]:port"#,
        ),
        (
            "[::1]11211",
            r#""[::1]11211": only :port can follow the bracket"#,
        ),
        ("[::1]:", r#""[::1]:": the port after the colon is missing"#),
        (
            "[10.0.0.1]:11211",
            r#""[10.0.0.1]:11211": brackets are for IPv6 addresses; write 10.0.0.1:11211"#,
        ),
        (
            "2001:db8::1%eth0",
            r#""2001:db8::1%eth0": an interface goes with a link-local address (fe80::/10) only; write 2001:db8::1"#,
        ),
        (
            "[::ffff:8.8.8.8%eth0]:80",
            r#""[::ffff:8.8.8.8%eth0]:80": an interface goes with a link-local address (fe80::/10) only; write [::ffff:8.8.8.8]:80"#,
        ),
        (
            "fe80::1%eth0:11211",
            r#""fe80::1%eth0:11211": an address with a port stands in brackets; write [fe80::1%eth0]:11211"#,
        ),
        (
            "fe80::1%",
            r#""fe80::1%": "" is no interface name; write fe80::1%eth0"#,
        ),
        (
            "fe80::1%an_interface_name",
            r#""fe80::1%an_interface_name": an_interface_name is no interface name; write fe80::1%eth0"#,
        ),
        (
            "fe80::/64%eth0/64",
            r#""fe80::/64%eth0/64": a network has one prefix length"#,
        ),
        (
            "fe80::/64%",
            r#""fe80::/64%": "" is no interface name; write fe80::/64%eth0"#,
        ),
        (
            "fe80::%eth0/129",
            r#""fe80::%eth0/129": 129 is no prefix length (0-128)"#,
        ),
        (
            "fd00:1::%eth0/64",
            r#""fd00:1::%eth0/64": an interface goes with a link-local address (fe80::/10) only; write fd00:1::/64"#,
        ),
        (
            "fe80::/9%eth0",
            r#""fe80::/9%eth0": an interface goes with a link-local address (fe80::/10) only; write fe80::/9"#,
        ),
        (
            "[fd00:1::/64%eth0]:1",
            r#""[fd00:1::/64%eth0]:1": an interface goes with a link-local address (fe80::/10) only; write [fd00:1::/64]:1"#,
        ),
    ]);
}

#[test]
fn wrong_ports_and_names_are_refused_with_the_mend() {
    let long_label = format!("{}.org", "a".repeat(64));
    let long_name = format!("{}org", "abcdefg.".repeat(32));
    check(&[
        ("10.0.0.1:0", r#""10.0.0.1:0": 0 is no port (1-65535)"#),
        (
            "10.0.0.1:65536",
            r#""10.0.0.1:65536": 65536 is no port (1-65535)"#,
        ),
        (
            "10.0.0.1:+80",
            r#""10.0.0.1:+80": +80 is no port (1-65535)"#,
        ),
        (
            "10.0.0.1:http",
            r#""10.0.0.1:http": http is no port (1-65535)"#,
        ),
        (
            "10.0.0.1:",
            r#""10.0.0.1:": the port after the colon is missing"#,
        ),
        (
            ":11211",
            r#"":11211": the host before the colon is missing"#,
        ),
        (
            "10.0.0.1:11211:80",
            r#""10.0.0.1:11211:80": not an IPv6 address; with a port, write [address]:port"#,
        ),
        (
            "",
            r#""": a target is missing; write an address, a network or a host name"#,
        ),
        (
            " \t",
            r#"" \t": a target is missing; write an address, a network or a host name"#,
        ),
        (
            "http://host.example.org:11211/x",
            r#""http://host.example.org:11211/x": a target is no URL; write host.example.org:11211"#,
        ),
        (
            "my_host",
            r#""my_host": '_' cannot be in a host name (letters, digits, hyphens and dots)"#,
        ),
        (
            "-host.org",
            r#""-host.org": -host begins or ends with a hyphen, which no part of a host name does"#,
        ),
        (
            "host-.org",
            r#""host-.org": host- begins or ends with a hyphen, which no part of a host name does"#,
        ),
        (
            "host..org",
            r#""host..org": a part of the host name is empty; write one dot between parts"#,
        ),
        (
            "日本.jp",
            r#""日本.jp": a host name has ASCII letters only; write its xn-- form"#,
        ),
        (
            "a\u{1b}[31m.org",
            r#""a\u{1b}[31m.org": '\u{1b}' cannot be in a host name (letters, digits, hyphens and dots)"#,
        ),
        (
            &long_label,
            r#""aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org": a part of a host name has at most 63 characters, "aaaaaaaaaaaaaaaaaaaa"… has 64"#,
        ),
        (
            &long_name,
            r#""abcdefg.abcdefg.abcdefg.abcdefg.abcdefg.abcdefg.abcdefg.abcdefg.abcdefg.abcdefg."…: a host name has at most 253 characters, this one 259"#,
        ),
        (
            "unix:",
            r#""unix:": the path is missing; write unix:/run/memcached.sock"#,
        ),
        (
            "unix:/a\0b",
            r#""unix:/a\0b": a path cannot hold a zero byte"#,
        ),
    ]);
    let path = format!("unix:/{}", "p".repeat(107));
    assert!(meaning(&path).ends_with("the path has 108 bytes; a socket's has at most 107"));
}

#[test]
fn files_have_comments_and_name_the_line() {
    let text = "\u{feff}# hosts\r\n10.0.0.1 10.0.0.2:80\t# two\r\n\n  host.example.org\n";
    let targets = parse_target_lines(text, "hosts.txt").unwrap();
    let typed: Vec<&str> = targets.iter().map(|target| target.typed.as_str()).collect();
    assert_eq!(typed, ["10.0.0.1", "10.0.0.2:80", "host.example.org"]);
    assert_eq!(parse_target_lines("", "-"), Ok(vec![]));
    assert_eq!(
        parse_target_lines("10.0.0.1\n\n10.0.0.2 10.0.0.300 # x", "hosts.txt")
            .unwrap_err()
            .to_string(),
        r#"hosts.txt:3: "10.0.0.300": 300 is no octet (0-255)"#
    );
}

#[test]
fn ports() {
    let cases = [
        ("11211", Ok("[11211]")),
        ("11212,11211,11211", Ok("[11211, 11212]")),
        ("1-3, 2-4,65535", Ok("[1, 2, 3, 4, 65535]")),
        ("0", Err(r#""0": 0 is no port (1-65535)"#)),
        ("0-5", Err(r#""0-5": 0 is no port (1-65535)"#)),
        ("65536", Err(r#""65536": 65536 is no port (1-65535)"#)),
        (
            "",
            Err(r#""": a port is missing; write ports such as 11211,12000-12003"#),
        ),
        (
            "1,,2",
            Err(r#""1,,2": a port is missing; write ports such as 11211,12000-12003"#),
        ),
        (
            "1-",
            Err(r#""1-": one end of 1- is missing; write both, as in 1-9"#),
        ),
        (
            "-5",
            Err(r#""-5": one end of -5 is missing; write both, as in 1-9"#),
        ),
        (
            "memcache",
            Err(r#""memcache": memcache is no port (1-65535)"#),
        ),
        (
            "9-1",
            Err(r#""9-1": the range 9-1 runs backwards; write 1-9"#),
        ),
        (
            "1-1025",
            Err(r#""1-1025": 1025 ports; a run takes at most 1024"#),
        ),
    ];
    for (text, expect) in cases {
        let ports = parse_ports(text).map(|ports| format!("{ports:?}"));
        let ports = ports.map_err(|error| error.to_string());
        assert_eq!(ports.as_deref().map_err(String::as_str), expect, "{text}");
    }
    assert_eq!(parse_ports("1-1024").unwrap().len(), PORTS_MAX);
}

#[test]
fn shards() {
    let not_a_shard = "not a shard; write I/N, such as 1/4 for the first of four parts";
    let cases = [
        ("1/1", Ok((1, 1))),
        ("3/4", Ok((3, 4))),
        (
            "18446744073709551615/18446744073709551615",
            Ok((u64::MAX, u64::MAX)),
        ),
        ("0/4", Err("parts are counted from 1 to 4")),
        ("5/4", Err("parts are counted from 1 to 4")),
        (
            "0/0",
            Err("there must be at least one part; write 1/1 for all"),
        ),
        ("1", Err(not_a_shard)),
        ("/", Err(not_a_shard)),
        ("+1/4", Err(not_a_shard)),
        ("1/4/4", Err(not_a_shard)),
        ("1/18446744073709551616", Err(not_a_shard)),
    ];
    for (text, expect) in cases {
        let shard = parse_shard(text).map(|shard| (shard.index, shard.of));
        let expect = expect.map_err(|what| format!("{text:?}: {what}"));
        assert_eq!(shard.map_err(|error| error.to_string()), expect, "{text}");
    }
}
