//! The survey against the kernel: links, routes and neighbours made in namespaces.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::libc;
use targets::{Day, Scope, SelectionBuilder};
use testkit::Namespace;

use super::link_socket::LinkSocket;
use super::questions::{ETHERTYPE_ARP, ETHERTYPE_IPV6};
use super::*;
use crate::lab::inside;
use crate::socket_filter::give;

const RATE_PPS: u64 = 10_000;
const US: &str = "02:00:00:00:00:01";
const HOST: &str = "02:00:00:00:00:02";
const OTHER: &str = "02:00:00:00:00:03";

/// A namespace that is plugged into others by Ethernet. Nothing is configured but the interfaces.
fn plug(near: &Namespace, name: &str, hardware: &str, far: &Namespace, others: &str, theirs: &str) {
    let peer = far.process_id();
    near.run(&format!(
        "ip link add {name} address {hardware} type veth \
         peer name {others} address {theirs} netns {peer}"
    ));
    for (namespace, name) in [(near, name), (far, others)] {
        // No link-local addresses that appear by themselves and are checked for a second.
        namespace.run(&format!("ip link set {name} addrgenmode none"));
        namespace.run(&format!("ip link set {name} up"));
    }
}

fn add(namespace: &Namespace, interface: &str, addresses: &str) {
    for address in addresses.split_whitespace() {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        namespace.run(&format!("ip address add {address} dev {interface} {nodad}"));
    }
}

/// The scanner with `eth0` (10.9.0.1/24), and a host with `eth0` on the same link.
fn pair() -> (Namespace, Namespace) {
    let near = Namespace::new();
    let far = near.sibling();
    plug(&near, "eth0", US, &far, "eth0", HOST);
    add(&near, "eth0", "10.9.0.1/24");
    (near, far)
}

fn permit(targets: &str) -> Permit {
    let ranges: Vec<AddressRange> = targets
        .split_whitespace()
        .map(|text| {
            let ip = |text: &str| text.parse().expect("an address");
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            match text.split_once('/') {
                Some((address, bits)) => {
                    AddressRange::of_prefix(ip(address), bits.parse().expect("a length"))
                }
                None => AddressRange::new(ip(first), ip(last)),
            }
            .expect("a range")
        })
        .collect();
    let mut builder = SelectionBuilder::new(vec![11211]);
    builder.add_ranges(&ranges, None);
    let day = Day::new(2026, 1, 1).expect("a day");
    let selection = builder.build().expect("targets");
    let scope = Scope::new(Vec::new(), day);
    scope.permit(selection).expect("private addresses")
}

fn survey_in(
    namespace: &Namespace,
    interface: Option<&str>,
    targets: &str,
) -> Result<Survey, FramesError> {
    let permit = permit(targets);
    inside(namespace, || {
        survey(&permit, interface, RATE_PPS, &|| false)
    })
}

/// A line for each stretch: the addresses, and `absent`, `sockets`, or interface, card and source.
fn show(survey: &Survey) -> Vec<String> {
    let name = |index| {
        let mut interfaces = survey.interfaces.iter();
        let found = interfaces.find(|interface| interface.index == index);
        &found.expect("every hop's interface").name
    };
    let stretches = survey.reach.stretches().iter();
    stretches
        .map(|stretch| {
            let way = match (stretch.way, survey.reach.hop(stretch.way)) {
                (Way::Absent, _) => "absent".to_owned(),
                (Way::Sockets, _) => "sockets".to_owned(),
                (Way::Hop(_), None) => "a hop that is not there".to_owned(),
                (Way::Hop(_), Some(hop)) => {
                    let interface = name(hop.interface);
                    let source = hop.source;
                    match hop.framing {
                        Framing::Bare => format!("{interface} bare {source}"),
                        Framing::Ethernet { destination, .. } => {
                            format!("{interface} {destination} {source}")
                        }
                    }
                }
            };
            format!("{} {way}", stretch.range)
        })
        .collect()
}

fn check(namespace: &Namespace, interface: Option<&str>, targets: &str, expect: &[&str]) {
    let found = survey_in(namespace, interface, targets).expect("a survey");
    assert_eq!(show(&found), expect, "{targets}: {:?}", found.remarks);
}

fn check_error(namespace: &Namespace, interface: Option<&str>, targets: &str, expect: &str) {
    let error = survey_in(namespace, interface, targets).expect_err("no survey");
    assert_eq!(error.to_string(), expect, "{targets}");
}

fn index_of(namespace: &Namespace, name: &str) -> u32 {
    let line = namespace.run(&format!("ip -oneline link show {name}"));
    let index = line.split(':').next().and_then(|text| text.parse().ok());
    index.expect("the interface's number")
}

/// Hears the questions that arrive at a host.
struct Witness {
    socket: LinkSocket,
}

impl Witness {
    fn new(namespace: &Namespace, interface: &str, ethertype: u16) -> Witness {
        let index = index_of(namespace, interface);
        let everything = [give(u32::MAX)];
        let open = || LinkSocket::open(index, ethertype, &everything).expect("a packet socket");
        Witness {
            socket: inside(namespace, open),
        }
    }

    /// How often each address was asked for since the last call. Every frame has arrived that was
    /// sent before: a veth pair hands them over at once.
    fn asked(&self) -> BTreeMap<IpAddr, u32> {
        let mut asked = BTreeMap::new();
        let read = self.socket.drain(&mut |frame| {
            // An ARP request's target stands at its end, a solicitation's behind 8 bytes of ICMPv6.
            let target = match frame.get(12..14) {
                Some([0x08, 0x06]) if frame[21] == 1 => {
                    frame[38..].first_chunk::<4>().copied().map(IpAddr::from)
                }
                Some([0x86, 0xdd]) if frame[20] == 58 && frame[54] == 135 => {
                    frame[62..].first_chunk::<16>().copied().map(IpAddr::from)
                }
                _ => None,
            };
            if let Some(target) = target {
                *asked.entry(target).or_default() += 1;
            }
        });
        read.expect("a socket that works");
        asked
    }
}

fn times(asked: &BTreeMap<IpAddr, u32>) -> String {
    let shown = asked.iter().map(|(ip, times)| format!("{ip}x{times}"));
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn neighbours_answer_or_are_absent() {
    let (near, far) = pair();
    add(
        &far,
        "eth0",
        "10.9.0.2/24 10.9.0.3/24 10.9.0.6/24 10.9.0.9/24",
    );
    let witness = Witness::new(&far, "eth0", ETHERTYPE_ARP);
    let survey = survey_in(&near, None, "10.9.0.0-10.9.0.7 10.9.0.255").expect("a survey");
    assert_eq!(
        show(&survey),
        [
            "10.9.0.0 absent",
            "10.9.0.1 sockets",
            "10.9.0.2/31 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.9.0.4/31 absent",
            "10.9.0.6 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.9.0.7 absent",
            "10.9.0.255 sockets",
        ]
    );
    assert_eq!(
        survey.interfaces[0].hardware,
        Some(MacAddress([2, 0, 0, 0, 0, 1]))
    );
    assert_eq!(survey.interfaces[0].layer, LinkLayer::Ethernet);
    assert_eq!(survey.interfaces[0].mtu_bytes, 1500);
    let answered: Vec<String> = survey.neighbours.keys().map(IpAddr::to_string).collect();
    assert_eq!(answered, ["10.9.0.2", "10.9.0.3", "10.9.0.6"]);
    assert_eq!(
        times(&witness.asked()),
        "10.9.0.0x3 10.9.0.2x1 10.9.0.3x1 10.9.0.4x3 10.9.0.5x3 10.9.0.6x1 10.9.0.7x3",
        "whoever is no target is not asked for, nor is this machine itself"
    );
}

#[test]
fn whoever_answers_is_not_waited_for() {
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24 10.9.0.3/24");
    let begin = Instant::now();
    survey_in(&near, None, "10.9.0.2-10.9.0.3").expect("a survey");
    // One silent address takes a second.
    assert!(begin.elapsed() < Duration::from_millis(900));
}

#[test]
fn at_the_highest_rate_no_answer_is_lost() {
    let (near, far) = pair();
    add(&near, "eth0", "10.64.0.1/16");
    far.run("ip route add local 10.64.128.0/20 dev lo");
    far.run("ip route add 10.64.0.0/24 dev eth0");
    let permit = permit("10.64.128.0/20");
    let found = inside(&near, || survey(&permit, None, u64::MAX, &|| false));
    assert_eq!(
        show(&found.expect("a survey")),
        ["10.64.128.0/20 eth0 02:00:00:00:00:02 10.64.0.1"]
    );
}

#[test]
fn hosts_of_a_switch_have_their_own_cards() {
    let switch = Namespace::new();
    let [near, one, two] = [switch.sibling(), switch.sibling(), switch.sibling()];
    switch.run("ip link add bridge0 type bridge");
    switch.run("ip link set bridge0 up");
    let hosts = [(&near, US, 1), (&one, HOST, 2), (&two, OTHER, 3)];
    for (place, (host, hardware, last)) in hosts.into_iter().enumerate() {
        let port = format!("port{place}");
        plug(
            host,
            "eth0",
            hardware,
            &switch,
            &port,
            &format!("02:00:00:00:01:0{place}"),
        );
        switch.run(&format!("ip link set {port} master bridge0"));
        add(host, "eth0", &format!("10.9.0.{last}/24"));
    }
    check(
        &near,
        None,
        "10.9.0.2-10.9.0.4",
        &[
            "10.9.0.2 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.9.0.3 eth0 02:00:00:00:00:03 10.9.0.1",
            "10.9.0.4 absent",
        ],
    );
}

#[test]
fn routes_and_rules_are_followed() {
    let (near, far) = pair();
    plug(&near, "eth1", "02:00:00:00:00:11", &far, "eth1", OTHER);
    add(&near, "eth1", "10.8.0.1/24 10.8.0.77/32");
    add(&far, "eth0", "10.9.0.2/24");
    add(&far, "eth1", "10.8.0.2/24");
    for line in [
        "ip route add default via 10.9.0.2",
        "ip route add 10.20.0.0/16 via 10.8.0.2",
        "ip route add 10.20.128.0/17 via 10.8.0.2 src 10.8.0.77",
        "ip route add blackhole 10.20.3.0/24",
        "ip route add prohibit 10.20.4.0/24",
        "ip route add unreachable 10.20.5.0/24",
        "ip route add 10.30.0.0/16 table 100 via 10.8.0.2",
        "ip rule add to 10.30.7.0/24 lookup 100",
    ] {
        near.run(line);
    }
    check(
        &near,
        None,
        "10.20.0.0/16 10.30.6.0-10.30.8.255 127.0.0.1",
        &[
            "10.20.0.0-10.20.2.255 eth1 02:00:00:00:00:03 10.8.0.1",
            "10.20.3.0-10.20.5.255 sockets",
            "10.20.6.0-10.20.127.255 eth1 02:00:00:00:00:03 10.8.0.1",
            "10.20.128.0/17 eth1 02:00:00:00:00:03 10.8.0.77",
            "10.30.6.0/24 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.30.7.0/24 eth1 02:00:00:00:00:03 10.8.0.1",
            "10.30.8.0/24 eth0 02:00:00:00:00:02 10.9.0.1",
            "127.0.0.1 sockets",
        ],
    );
    // Over one interface, only its routes count.
    check(
        &near,
        Some("eth1"),
        "10.20.7.0/24 10.30.6.0-10.30.7.255",
        &[
            "10.20.7.0/24 eth1 02:00:00:00:00:03 10.8.0.1",
            "10.30.6.0/24 sockets",
            "10.30.7.0/24 eth1 02:00:00:00:00:03 10.8.0.1",
        ],
    );
    check_error(
        &near,
        Some("eth1"),
        "10.40.0.0/16",
        "packet engine: there is no route to 10.40.0.0/16 over eth1; `ip route` and `ip rule` list \
         them",
    );
}

#[test]
fn many_addresses_without_a_route_are_absent() {
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24");
    near.run("ip route add 10.20.0.0/17 via 10.9.0.2");
    let survey = survey_in(&near, None, "10.20.0.0/15").expect("a survey");
    assert_eq!(
        show(&survey),
        [
            "10.20.0.0/17 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.20.128.0-10.21.255.255 absent",
        ]
    );
    assert_eq!(
        survey.remarks,
        ["98304 of the targets have no route from here and count as absent"]
    );
}

#[test]
fn gateways_of_the_other_family_are_asked_by_ndp() {
    let (near, far) = pair();
    add(&near, "eth0", "fe80::1/64");
    add(&far, "eth0", "fe80::2/64");
    near.run("ip route add 10.20.0.0/16 via inet6 fe80::2 dev eth0");
    check(
        &near,
        None,
        "10.20.0.0/24",
        &["10.20.0.0/24 eth0 02:00:00:00:00:02 10.9.0.1"],
    );
}

#[test]
fn neighbours_of_ipv6_answer_or_are_absent() {
    let (near, far) = pair();
    add(&near, "eth0", "fd00:9::1/64");
    add(
        &far,
        "eth0",
        "fd00:9::2/64 fd00:9::3/64 fd00:9::abcd:1234/64",
    );
    near.run("ip -6 route add fd00:20::/32 via fd00:9::2");
    near.run("ip -6 route add unreachable fd00:20:1::/48");
    let witness = Witness::new(&far, "eth0", ETHERTYPE_IPV6);
    check(
        &near,
        None,
        "fd00:9::-fd00:9::4 fd00:9::abcd:1234 fd00:20::/120 fd00:20:1::7 ::1",
        &[
            "::1 sockets",
            // The anycast address of all routers (RFC 4291 section 2.6.1).
            "fd00:9:: absent",
            "fd00:9::1 sockets",
            "fd00:9::2/127 eth0 02:00:00:00:00:02 fd00:9::1",
            "fd00:9::4 absent",
            "fd00:9::abcd:1234 eth0 02:00:00:00:00:02 fd00:9::1",
            "fd00:20::/120 eth0 02:00:00:00:00:02 fd00:9::1",
            "fd00:20:1::7 sockets",
        ],
    );
    assert_eq!(
        times(&witness.asked()),
        "fd00:9::x3 fd00:9::2x1 fd00:9::3x1 fd00:9::4x3 fd00:9::abcd:1234x1"
    );
}

#[test]
fn interfaces_on_top_of_others_are_links_of_their_own() {
    let (near, far) = pair();
    far.run("ip link add bridge0 address 02:00:00:00:00:07 type bridge");
    far.run("ip link set bridge0 up");
    near.run("ip link add bridge0 address 02:00:00:00:00:06 type bridge");
    near.run("ip link set bridge0 up");
    plug(
        &near,
        "port0",
        "02:00:00:00:01:01",
        &far,
        "port0",
        "02:00:00:00:01:02",
    );
    for (host, last) in [(&near, 1), (&far, 2)] {
        host.run("ip link set port0 master bridge0");
        add(host, "bridge0", &format!("10.7.0.{last}/24"));
    }
    add(&far, "eth0", "10.9.0.2/24");
    check(
        &near,
        None,
        "10.7.0.2-10.7.0.3 10.9.0.2",
        &[
            "10.7.0.2 bridge0 02:00:00:00:00:07 10.7.0.1",
            "10.7.0.3 absent",
            "10.9.0.2 eth0 02:00:00:00:00:02 10.9.0.1",
        ],
    );
    check(
        &near,
        Some("bridge0"),
        "10.7.0.2 10.9.0.2",
        &[
            "10.7.0.2 bridge0 02:00:00:00:00:07 10.7.0.1",
            "10.9.0.2 sockets",
        ],
    );
}

#[test]
fn of_several_paths_one_is_taken() {
    let (near, far) = pair();
    plug(&near, "eth1", "02:00:00:00:00:11", &far, "eth1", OTHER);
    add(&near, "eth1", "10.8.0.1/24");
    add(&far, "eth0", "10.9.0.2/24");
    add(&far, "eth1", "10.8.0.2/24");
    near.run("ip route add 10.20.0.0/16 nexthop via 10.9.0.2 nexthop via 10.8.0.2");
    let survey = survey_in(&near, None, "10.20.7.0/24").expect("a survey");
    let paths = [
        "10.20.7.0/24 eth0 02:00:00:00:00:02 10.9.0.1",
        "10.20.7.0/24 eth1 02:00:00:00:00:03 10.8.0.1",
    ];
    let [taken] = &show(&survey)[..] else {
        panic!("one stretch: {:?}", show(&survey));
    };
    assert!(paths.contains(&taken.as_str()), "{taken}");
}

#[test]
fn tunnels_have_no_neighbours() {
    let near = Namespace::new();
    near.run("ip tuntap add tun0 mode tun");
    near.run("ip link set tun0 up");
    add(&near, "tun0", "10.6.0.1/24");
    near.run("ip route add 10.20.0.0/16 via 10.6.0.2");
    let survey = survey_in(&near, None, "10.6.0.2-10.6.0.9 10.20.0.0/16").expect("a survey");
    assert_eq!(
        show(&survey),
        [
            "10.6.0.2-10.6.0.9 tun0 bare 10.6.0.1",
            "10.20.0.0/16 tun0 bare 10.6.0.1",
        ]
    );
    assert_eq!(survey.interfaces[0].layer, LinkLayer::Bare);
    assert_eq!(survey.interfaces[0].hardware, None);
}

#[test]
fn what_frames_do_not_fit_is_for_sockets() {
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24");
    near.run("ip link set eth0 arp off");
    let survey = survey_in(&near, None, "10.9.0.2").expect("a survey");
    assert_eq!(show(&survey), ["10.9.0.2 sockets"]);
    assert_eq!(
        survey.remarks,
        [
            "frames do not fit interface eth0, which is neither Ethernet with ARP nor a plain tunnel; \
          1 addresses behind it are asked by ordinary sockets"
        ]
    );
}

#[test]
fn a_silent_gateway_is_told_of() {
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24");
    near.run("ip route add default via 10.9.0.254");
    check_error(
        &near,
        None,
        "10.20.0.0/24",
        "packet engine: gateway 10.9.0.254 on eth0 does not answer ARP, and no target is reached \
         otherwise; see `ip route` and `ip neigh`, or use --engine socket",
    );
    let survey = survey_in(&near, None, "10.9.0.2 10.20.0.0/24").expect("a survey");
    assert_eq!(
        show(&survey),
        [
            "10.9.0.2 eth0 02:00:00:00:00:02 10.9.0.1",
            "10.20.0.0/24 sockets"
        ]
    );
    assert_eq!(
        survey.remarks,
        [
            "gateway 10.9.0.254 on eth0 does not answer ARP; 256 addresses behind it are asked by \
          ordinary sockets"
        ]
    );
}

#[test]
fn the_kernel_s_own_neighbours_count() {
    let (near, far) = pair();
    near.run("ip route add default via 10.9.0.254");
    near.run("ip neigh add 10.9.0.254 lladdr 02:00:00:00:00:fe dev eth0 nud stale");
    near.run("ip neigh add 10.9.0.7 lladdr 02:00:00:00:00:07 dev eth0 nud permanent");
    near.run("ip neigh add 10.9.0.8 lladdr 02:00:00:00:00:08 dev eth0 nud stale");
    let witness = Witness::new(&far, "eth0", ETHERTYPE_ARP);
    check(
        &near,
        None,
        "10.9.0.7-10.9.0.8 10.20.0.0/24",
        &[
            "10.9.0.7 eth0 02:00:00:00:00:07 10.9.0.1",
            "10.9.0.8 absent",
            "10.20.0.0/24 eth0 02:00:00:00:00:FE 10.9.0.1",
        ],
    );
    assert_eq!(times(&witness.asked()), "10.9.0.8x3 10.9.0.254x3");
}

#[test]
fn a_huge_link_is_for_sockets() {
    let (near, far) = pair();
    add(&near, "eth0", "10.64.0.1/14");
    let witness = Witness::new(&far, "eth0", ETHERTYPE_ARP);
    let survey = survey_in(&near, None, "10.64.0.1-10.67.255.254").expect("a survey");
    assert_eq!(show(&survey), ["10.64.0.1-10.67.255.254 sockets"]);
    assert_eq!(
        survey.remarks,
        [
            "more than 131072 targets are on links of this machine; 262141 of them are asked by \
          ordinary sockets"
        ]
    );
    assert_eq!(times(&witness.asked()), "");
}

#[test]
fn questions_keep_the_rate() {
    let (near, far) = pair();
    let witness = Witness::new(&far, "eth0", ETHERTYPE_ARP);
    let permit = permit("10.9.0.100-10.9.0.119");
    let begin = Instant::now();
    let found = inside(&near, || survey(&permit, None, 50, &|| false)).expect("a survey");
    // 60 questions at 50 a second, and a second of waits.
    assert!(begin.elapsed() > Duration::from_millis(2_000));
    assert_eq!(show(&found), ["10.9.0.100-10.9.0.119 absent"]);
    assert_eq!(witness.asked().values().sum::<u32>(), 60);
}

#[test]
fn a_run_that_is_stopped_calls_nobody_absent() {
    let (near, far) = pair();
    let witness = Witness::new(&far, "eth0", ETHERTYPE_ARP);
    let permit = permit("10.9.0.0/24");
    let found = inside(&near, || survey(&permit, None, 1, &|| true)).expect("a survey");
    assert_eq!(show(&found), ["10.9.0.0/24 sockets"]);
    assert!(witness.asked().len() <= 1);
}

#[test]
fn interfaces_are_checked() {
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24");
    check_error(
        &near,
        Some("eth9"),
        "10.9.0.2",
        "no interface \"eth9\"; `ip link` lists them",
    );
    near.run("ip link set eth0 down");
    check_error(
        &near,
        Some("eth0"),
        "10.9.0.2",
        "interface eth0 is down; `ip link set eth0 up`",
    );
    check_error(
        &near,
        None,
        "10.9.0.2",
        "packet engine: there is no route to 10.9.0.2; `ip route` and `ip rule` list them",
    );
}

#[test]
fn without_privileges_the_mend_is_told() {
    const NOBODY: u32 = 65_534;
    let (near, far) = pair();
    add(&far, "eth0", "10.9.0.2/24");
    let [on_link, own] = [permit("10.9.0.2"), permit("10.9.0.1 127.0.0.0/24")];
    let (refused, found) = inside(&near, || {
        // SAFETY: setresuid(2) takes no pointers. Called directly it changes this thread only,
        // which ends with this closure.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(result, 0);
        (
            survey(&on_link, None, RATE_PPS, &|| false).expect_err("no privileges"),
            survey(&own, None, RATE_PPS, &|| false).expect("nothing to be asked"),
        )
    });
    assert_eq!(
        refused,
        FramesError::NotPermitted {
            engine: "packet",
            what: "asking for neighbours by ARP and NDP",
            program: crate::error::program(),
        }
    );
    assert_eq!(show(&found), ["10.9.0.1 sockets", "127.0.0.0/24 sockets"]);
}

#[test]
fn nobody_is_asked_for_without_a_permit() {
    let links = BTreeMap::new();
    let question = |target: &str, is_gateway| Question {
        interface: 1,
        target: target.parse().expect("an address"),
        source: target.parse().expect("an address"),
        is_gateway,
    };
    let permit = permit("10.9.0.2-10.9.0.3 10.9.0.5 fd00::1");
    for (target, is_gateway, may_be_asked) in [
        ("10.9.0.2", false, true),
        ("10.9.0.1", false, false),
        ("10.9.0.4", false, false),
        ("10.9.0.6", false, false),
        ("10.9.0.6", true, true),
        ("fd00::1", false, true),
        ("fd00::2", false, false),
    ] {
        let questions = [question(target, is_gateway)];
        let asked = std::panic::catch_unwind(|| {
            // Interface 1 is loopback, and no link is named, so nothing leaves in any case.
            let namespace = Namespace::new();
            let ask = || neighbours::ask(&permit, &questions, &links, 1, &|| true);
            inside(&namespace, ask).map(drop)
        });
        assert_eq!(asked.is_ok(), may_be_asked, "{target}");
    }
}
