//! Who is on a link of IPv6: an echo request to all of its nodes (ff02::1, RFC 4291 section 2.7.1),
//! and who answers it.
//!
//! A network of IPv6 holds more addresses than anybody can ask, but its hosts can be asked together.
//! Two requests are sent ([`ECHOES`]), because one gets lost on a busy wireless network; their hop
//! limit is the system's for multicast, 1, which is all that a link needs (RFC 3493 section 5.2).
//! Hosts answer from an address that fits the one they were asked from, so each range is asked for
//! from an address of its own. An answer counts if it came in on that interface and carries the
//! random bytes of the request; its address counts if the permit covers it.
//!
//! What is sent is made of the permit alone: one type of message, to one address, on one interface.

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6,
    bind, recvmsg, sendto, setsockopt, socket, sockopt,
};
use targets::LinkPermit;

use crate::plan::SocketError;

/// Requests that are sent for one permit.
const ECHOES: u16 = 2;
/// Between two requests.
const ECHO_INTERVAL: Duration = Duration::from_millis(300);
/// How long answers are waited for after the last request; whoever is on the link answers in
/// milliseconds, and only a host that sleeps takes longer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Hosts that are taken from one link.
pub const LINK_HOSTS_MAX: usize = 4_096;
/// Packets that are read, ours or not.
const PACKETS_MAX: usize = 65_536;
/// All nodes of a link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Types of ICMPv6 messages (RFC 4443 section 4).
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// Type, code, checksum, identifier, sequence number; then the data.
const HEADER_BYTES: usize = 8;
const NONCE_BYTES: usize = 16;
const ECHO_BYTES: usize = HEADER_BYTES + NONCE_BYTES;

/// The hosts of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkHosts {
    /// Their addresses that the permit covers.
    pub addresses: BTreeSet<Ipv6Addr>,
    /// Whether there were more than [`LINK_HOSTS_MAX`] of them, or more packets than could be read.
    pub truncated: bool,
}

/// Asks a link which hosts of the permit's range are on it. `source` is our own address that they are
/// asked from, or the interface's link-local one; `nonce` is random. This machine's own addresses on
/// the interface are found without asking. It takes 1.3 seconds.
///
/// Ordinary users may send an echo where `net.ipv4.ping_group_range` has their group (icmp(7)), as on
/// most systems; elsewhere it takes CAP_NET_RAW.
///
/// # Errors
///
/// If this process may not, or if the interface cannot.
pub fn hosts_of_link(
    permit: &LinkPermit,
    source: Option<Ipv6Addr>,
    nonce: [u8; NONCE_BYTES],
) -> Result<LinkHosts, SocketError> {
    let interface = permit.interface();
    let failed = |errno: Errno| SocketError::Link {
        interface: interface.to_string(),
        error: errno.into(),
    };
    let index = if_nametoindex(interface.as_ref()).map_err(failed)?;
    let ear = Ear::open(index, source, nonce).map_err(|errno| match errno {
        Errno::EACCES | Errno::EPERM => SocketError::LinkNotPermitted {
            interface: interface.to_string(),
            program: std::env::current_exe()
                .map_or_else(|_| "memsweep".to_owned(), |path| path.display().to_string()),
        },
        errno => failed(errno),
    })?;
    let mut hosts = LinkHosts::default();
    hosts.addresses.extend(own_addresses(permit));
    let mut packets = 0;
    for sequence in 1..=ECHOES {
        ear.ask(sequence).map_err(failed)?;
        let wait = if sequence < ECHOES {
            ECHO_INTERVAL
        } else {
            PATIENCE
        };
        let until = Instant::now() + wait;
        while !hosts.truncated && ear.wait(until).map_err(failed)? {
            packets += 1;
            if let Some(host) = ear.hear().map_err(failed)?
                && permit.covers(IpAddr::V6(host))
            {
                hosts.addresses.insert(host);
            }
            hosts.truncated = hosts.addresses.len() > LINK_HOSTS_MAX || packets == PACKETS_MAX;
        }
    }
    while hosts.addresses.len() > LINK_HOSTS_MAX {
        hosts.addresses.pop_last();
    }
    Ok(hosts)
}

/// This machine's addresses on the interface that the permit covers.
fn own_addresses(permit: &LinkPermit) -> Vec<Ipv6Addr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter(|interface| *interface.interface_name == **permit.interface())
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in6()?.ip()))
        .filter(|ip| permit.covers(IpAddr::V6(*ip)))
        .collect()
}

/// A socket that sends echo requests on one interface and hears what answers them.
struct Ear {
    socket: OwnedFd,
    interface: u32,
    /// With a raw socket. The kernel numbers the requests of a datagram socket by itself, and gives
    /// it only what answers them.
    identifier: Option<u16>,
    nonce: [u8; NONCE_BYTES],
}

impl Ear {
    fn open(
        interface: u32,
        source: Option<Ipv6Addr>,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Ear, Errno> {
        let open = |kind| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            socket(AddressFamily::Inet6, kind, flags, SockProtocol::IcmpV6)
        };
        let (socket, identifier) = match open(SockType::Datagram) {
            Ok(socket) => (socket, None),
            // Either this group may not, or this kernel has no such sockets.
            Err(_) => (
                open(SockType::Raw)?,
                Some(u16::from_be_bytes([nonce[0], nonce[1]])),
            ),
        };
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        if let Some(source) = source {
            let scope = if source.is_unicast_link_local() {
                interface
            } else {
                0
            };
            let own = SockaddrIn6::from(SocketAddrV6::new(source, 0, 0, scope));
            bind(socket.as_raw_fd(), &own)?;
        }
        Ok(Ear {
            socket,
            interface,
            identifier,
            nonce,
        })
    }

    /// Sends one request to all nodes. The kernel fills in the checksum (RFC 3542 section 3.1).
    fn ask(&self, sequence: u16) -> Result<(), Errno> {
        let mut echo = [0; ECHO_BYTES];
        echo[0] = ECHO_REQUEST;
        echo[4..6].copy_from_slice(&self.identifier.unwrap_or(0).to_be_bytes());
        echo[6..8].copy_from_slice(&sequence.to_be_bytes());
        echo[HEADER_BYTES..].copy_from_slice(&self.nonce);
        let all_nodes = SockaddrIn6::from(SocketAddrV6::new(ALL_NODES, 0, 0, self.interface));
        let flags = MsgFlags::MSG_DONTWAIT;
        sendto(self.socket.as_raw_fd(), &echo, &all_nodes, flags).map(drop)
    }

    /// Whether a packet came before `until`.
    fn wait(&self, until: Instant) -> Result<bool, Errno> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Rounded up, so that the last wait is not a busy one.
            let left = u16::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(u16::MAX);
            let mut waited = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, PollTimeout::from(left)) {
                Ok(count) => return Ok(count > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reads one packet; who sent it, if it answers a request of ours.
    fn hear(&self) -> Result<Option<Ipv6Addr>, Errno> {
        // One byte more, to tell a longer one.
        let mut packet = [0; ECHO_BYTES + 1];
        let mut control = nix::cmsg_space!(libc::in6_pktinfo);
        let mut slices = [IoSliceMut::new(&mut packet)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<SockaddrIn6>(fd, &mut slices, Some(&mut control), flags) {
            Ok(message) => message,
            // Nothing after all, or an error that somebody sent us.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH) => {
                return Ok(None);
            }
            Err(errno) => return Err(errno),
        };
        let came_in = message.cmsgs()?.find_map(|entry| match entry {
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
            _ => None,
        });
        let (sender, bytes) = (message.address, message.bytes);
        let is_answer = came_in == Some(self.interface)
            && packet
                .get(..bytes)
                .is_some_and(|packet| answers(packet, self.identifier, &self.nonce));
        Ok(sender.filter(|_| is_answer).map(|sender| sender.ip()))
    }
}

/// Whether a message answers one of our requests (RFC 4443 section 4.2): what we sent comes back.
fn answers(message: &[u8], identifier: Option<u16>, nonce: &[u8; NONCE_BYTES]) -> bool {
    let Some((header, data)) = message.split_first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let [kind, code, _, _, i0, i1, s0, s1] = *header;
    let is_ours = identifier.is_none_or(|own| u16::from_be_bytes([i0, i1]) == own);
    let sequence = u16::from_be_bytes([s0, s1]);
    kind == ECHO_REPLY && code == 0 && is_ours && (1..=ECHOES).contains(&sequence) && data == nonce
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use targets::{AddressRange, Day, Scope};
    use testkit::Namespace;

    use super::*;

    const NONCE: [u8; NONCE_BYTES] = *b"sixteen bytes 01";

    #[test]
    fn only_what_we_sent_comes_back() {
        let message = |kind: u8, code: u8, identifier: u16, sequence: u16, data: &[u8]| {
            let [i0, i1] = identifier.to_be_bytes();
            let [s0, s1] = sequence.to_be_bytes();
            [&[kind, code, 0, 0, i0, i1, s0, s1][..], data].concat()
        };
        let check = |bytes: &[u8], expect: bool| {
            assert_eq!(answers(bytes, Some(7), &NONCE), expect, "{bytes:?}");
        };
        check(&message(129, 0, 7, 1, &NONCE), true);
        check(&message(129, 0, 7, 2, &NONCE), true);
        check(&message(128, 0, 7, 1, &NONCE), false);
        check(&message(129, 1, 7, 1, &NONCE), false);
        check(&message(129, 0, 8, 1, &NONCE), false);
        check(&message(129, 0, 7, 0, &NONCE), false);
        check(&message(129, 0, 7, 3, &NONCE), false);
        check(&message(129, 0, 7, 1, b"sixteen bytes 02"), false);
        check(&message(129, 0, 7, 1, &NONCE[..15]), false);
        check(&message(129, 0, 7, 1, &[&NONCE[..], &[0]].concat()), false);
        check(&message(129, 0, 7, 1, &NONCE)[..7], false);
        check(&[], false);
        assert!(answers(&message(129, 0, 9, 1, &NONCE), None, &NONCE));
    }

    fn permit(interface: &str, prefix: &str, bits: u8) -> LinkPermit {
        let range = AddressRange::of_prefix(prefix.parse().unwrap(), bits).unwrap();
        let scope = Scope::new(Vec::new(), Day::new(2026, 11, 27).unwrap());
        scope.permit_link(Arc::from(interface), range).unwrap()
    }

    /// A link with us, and with a host that has several addresses.
    fn link() -> (Namespace, Namespace, String, String) {
        let here = Namespace::new();
        let there = here.sibling();
        let (near, far) = here.connect("fd00:1::1/64", &there, "fd00:1::2/64");
        there.run(&format!("ip address add fd00:1:0:2::2/64 dev {far} nodad"));
        for (namespace, interface, address) in
            [(&here, &near, "fe80::a"), (&there, &far, "fe80::b")]
        {
            namespace.run(&format!("ip address flush dev {interface} scope link"));
            namespace.run(&format!(
                "ip address add {address}/64 dev {interface} nodad"
            ));
        }
        (here, there, near, far)
    }

    fn found(here: &Namespace, permit: &LinkPermit, source: Option<&str>) -> Vec<String> {
        let source = source.map(|source| source.parse().unwrap());
        let hosts = here
            .inside(|| hosts_of_link(permit, source, NONCE))
            .unwrap();
        assert!(!hosts.truncated);
        hosts.addresses.iter().map(ToString::to_string).collect()
    }

    /// With a datagram socket where the system lets everybody have one, else with a raw one.
    #[test]
    fn hosts_answer_from_addresses_that_fit_ours() {
        let (here, _there, near, _) = link();
        for groups in ["1 0", "0 2147483647"] {
            let path = "/proc/sys/net/ipv4/ping_group_range";
            here.inside(|| std::fs::write(path, groups)).unwrap();
            find_hosts(&here, &near);
        }
    }

    fn find_hosts(here: &Namespace, near: &str) {
        let link_local = permit(near, "fe80::", 64);
        assert_eq!(found(here, &link_local, None), ["fe80::a", "fe80::b"]);
        let own_network = permit(near, "fd00:1::", 64);
        let source = Some("fd00:1::1");
        assert_eq!(
            found(here, &own_network, source),
            ["fd00:1::1", "fd00:1::2"]
        );
        // What is not covered is not believed, whoever answers.
        let other = permit(near, "fd00:1::8000", 113);
        assert_eq!(found(here, &other, source), [""; 0]);
    }

    #[test]
    fn the_whole_of_it_is_two_echo_requests() {
        let (here, there, near, far) = link();
        there.nft("add table inet test");
        there.nft("add chain inet test input { type filter hook input priority 0 ; }");
        there.nft("add rule inet test input icmpv6 type echo-request ip6 daddr ff02::1 ip6 hoplimit 1 counter drop");
        assert_eq!(
            found(&here, &permit(&near, "fe80::", 64), None),
            ["fe80::a"]
        );
        let rules = there.run("nft list ruleset");
        assert!(rules.contains("counter packets 2 "), "{rules} on {far}");
    }

    #[test]
    fn a_link_that_cannot_be_asked_is_named() {
        let (here, _there, near, _) = link();
        here.run(&format!("ip link set {near} down"));
        for interface in [&near[..], "nowhere0"] {
            let permit = permit(interface, "fe80::", 64);
            let error = here
                .inside(|| hosts_of_link(&permit, None, NONCE))
                .unwrap_err()
                .to_string();
            assert!(error.contains(interface), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
