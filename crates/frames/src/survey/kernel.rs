//! What the kernel knows: links, addresses, routes, rules and neighbours, by rtnetlink(7).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use model::MacAddress;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recvfrom, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use targets::AddressRange;

use crate::FramesError;

/// One answer of the kernel is never larger than this: it fills at most 32 KiB for a dump, unless a
/// single message (a card with hundreds of virtual functions) needs more.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The kernel answers while it is being asked; this only ends a wait that has no cause.
const ANSWER_SECONDS_MAX: i64 = 5;
/// A dump that changed under our eyes is asked for again, this often at most.
const DUMP_TRIES: u32 = 4;
/// `NLM_F_DUMP_INTR` of linux/netlink.h: what is dumped changed meanwhile.
const DUMP_INTERRUPTED: u16 = 0x10;

/// What a frame on a link looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// Ethernet, with neighbours that are looked for.
    Ethernet(MacAddress),
    /// The IP packet and nothing before it.
    Bare,
    /// Nothing that our frames fit: loopback, InfiniBand, cards without ARP.
    Other,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: LinkKind,
    pub(super) is_up: bool,
    pub(super) is_loopback: bool,
    pub(super) mtu_bytes: u32,
}

/// How the kernel would send to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the neighbour that has the address.
    Direct { interface: u32, source: IpAddr },
    /// To a gateway, perhaps of the other family.
    Via {
        interface: u32,
        gateway: IpAddr,
        source: IpAddr,
    },
    /// In a way that only its own sockets know: to this machine itself, by broadcast, encapsulated.
    Own,
    /// Not at all.
    Missing,
}

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) hardware: MacAddress,
    /// Confirmed a moment ago, or entered by hand; otherwise it was right once.
    pub(super) is_sure: bool,
}

/// Neighbours by interface and address.
pub(super) type KnownNeighbours = BTreeMap<(u32, IpAddr), Known>;

/// An open line to the kernel.
pub(super) struct Kernel {
    socket: OwnedFd,
    sequence: u32,
    answer: Vec<u8>,
}

impl Kernel {
    pub(super) fn open() -> Result<Kernel, FramesError> {
        let failed = FramesError::system("asking the kernel for routes");
        let open = || -> Result<OwnedFd, Errno> {
            let socket = socket(
                nix::sys::socket::AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkRoute,
            )?;
            let wait = TimeVal::new(ANSWER_SECONDS_MAX, 0);
            setsockopt(&socket, sockopt::ReceiveTimeout, &wait)?;
            Ok(socket)
        };
        Ok(Kernel {
            socket: open().map_err(failed)?,
            sequence: 0,
            answer: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// All interfaces by their index.
    pub(super) fn links(&mut self) -> Result<BTreeMap<u32, Link>, FramesError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = self.dump("listing interfaces", request, |message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link_of(&link)),
            _ => None,
        })?;
        Ok(links.into_iter().map(|link| (link.index, link)).collect())
    }

    /// The link-local IPv6 address of each interface that has one.
    pub(super) fn link_locals(&mut self) -> Result<BTreeMap<u32, Ipv6Addr>, FramesError> {
        let mut request = AddressMessage::default();
        request.header.family = AddressFamily::Inet6;
        let request = RouteNetlinkMessage::GetAddress(request);
        let addresses = self.dump("listing addresses", request, |message| match message {
            RouteNetlinkMessage::NewAddress(message) => link_local_of(&message),
            _ => None,
        })?;
        Ok(addresses.into_iter().collect())
    }

    /// The destinations of all routes of all tables (own, connected and broadcast addresses are
    /// among them) and of all rules, as far as `matters` says so.
    pub(super) fn prefixes(
        &mut self,
        is_ipv4: bool,
        matters: &dyn Fn(&AddressRange) -> bool,
    ) -> Result<Vec<AddressRange>, FramesError> {
        let family = family_of(is_ipv4);
        let mut routes = RouteMessage::default();
        routes.header.address_family = family;
        let mut rules = RuleMessage::default();
        rules.header.family = family;
        let keep = |prefix: Option<AddressRange>| prefix.filter(matters);
        let mut prefixes = self.dump(
            "listing routes",
            RouteNetlinkMessage::GetRoute(routes),
            |message| match message {
                RouteNetlinkMessage::NewRoute(route) => keep(destination_of_route(&route)),
                _ => None,
            },
        )?;
        let rules = self.dump(
            "listing routing rules",
            RouteNetlinkMessage::GetRule(rules),
            |message| match message {
                RouteNetlinkMessage::NewRule(rule) => keep(destination_of_rule(&rule)),
                _ => None,
            },
        );
        match rules {
            Ok(rules) => prefixes.extend(rules),
            // A kernel without policy routing has no rules to tell of.
            Err(FramesError::System { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(prefixes)
    }

    /// The neighbours whose hardware addresses the kernel has.
    pub(super) fn neighbours(&mut self, is_ipv4: bool) -> Result<KnownNeighbours, FramesError> {
        let mut request = NeighbourMessage::default();
        request.header.family = family_of(is_ipv4);
        let request = RouteNetlinkMessage::GetNeighbour(request);
        let known = self.dump("listing neighbours", request, |message| match message {
            RouteNetlinkMessage::NewNeighbour(neighbour) => neighbour_of(&neighbour),
            _ => None,
        })?;
        Ok(known.into_iter().collect())
    }

    /// How the kernel would send to `address`, policy routing included; with an interface, by the
    /// routes of that interface only.
    pub(super) fn route(
        &mut self,
        address: IpAddr,
        interface: Option<u32>,
    ) -> Result<Route, FramesError> {
        // Without a route the kernel takes IPv4 hosts for neighbours as soon as an interface is
        // named. Whether there is a route is a question of its own.
        if interface.is_some() && address.is_ipv4() {
            let matched = self.ask_for_route(address, interface, RouteFlags::FibMatch)?;
            if matched.is_none() {
                return Ok(Route::Missing);
            }
        }
        let answer = self.ask_for_route(address, interface, RouteFlags::empty())?;
        Ok(answer.map_or(Route::Missing, |route| route_of(&route)))
    }

    fn ask_for_route(
        &mut self,
        address: IpAddr,
        interface: Option<u32>,
        flags: RouteFlags,
    ) -> Result<Option<RouteMessage>, FramesError> {
        let what = "asking the kernel for a route";
        let mut request = RouteMessage::default();
        request.header.address_family = family_of(address.is_ipv4());
        request.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        request.header.flags = flags;
        let destination = RouteAttribute::Destination(RouteAddress::from(address));
        request.attributes.push(destination);
        request
            .attributes
            .extend(interface.map(RouteAttribute::Oif));
        let request = RouteNetlinkMessage::GetRoute(request);
        self.send(request, 0).map_err(FramesError::system(what))?;
        let mut found = None;
        let outcome = self.receive(&mut |message| {
            if let RouteNetlinkMessage::NewRoute(route) = message {
                found = Some(route);
            }
        });
        match outcome {
            Ok(_) => Ok(found),
            // ip-route(8): no route, `unreachable`, `prohibit`, `blackhole`, `throw`; and IPv6
            // switched off.
            Err(
                Errno::ENETUNREACH
                | Errno::EHOSTUNREACH
                | Errno::EACCES
                | Errno::EINVAL
                | Errno::EAGAIN
                | Errno::EAFNOSUPPORT
                | Errno::EADDRNOTAVAIL,
            ) => Ok(None),
            Err(errno) => Err(FramesError::system(what)(errno)),
        }
    }

    /// Everything that `keep` keeps of a dump.
    fn dump<T>(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
        keep: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, FramesError> {
        let mut kept = Vec::new();
        for _ in 0..DUMP_TRIES {
            kept.clear();
            self.send(request.clone(), NLM_F_DUMP)
                .map_err(FramesError::system(what))?;
            let outcome = self.receive(&mut |message| kept.extend(keep(message)));
            let is_whole = outcome.map_err(FramesError::system(what))?;
            if is_whole {
                break;
            }
        }
        // What changes without end is as true in its last form as in any other.
        Ok(kept)
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads the answer to the last request to its end; whether nothing changed meanwhile.
    fn receive(&mut self, take: &mut dyn FnMut(RouteNetlinkMessage)) -> Result<bool, Errno> {
        let mut is_whole = true;
        loop {
            let received = recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.answer);
            let (bytes, sender) = match received {
                Err(Errno::EINTR) => continue,
                // A receive timeout is not the kernel's word about a route.
                Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                other => other?,
            };
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            let mut rest = self.answer.get(..bytes).unwrap_or_default();
            while let Some((message, behind)) = split_message(rest) {
                rest = behind;
                // What a newer kernel words differently is passed over.
                let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message)
                else {
                    continue;
                };
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                is_whole &= message.header.flags & DUMP_INTERRUPTED == 0;
                let is_part = message.header.flags & netlink_packet_core::NLM_F_MULTIPART != 0;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(is_whole),
                    NetlinkPayload::Error(error) => {
                        return match error.raw_code() {
                            0 => Ok(is_whole),
                            code => Err(Errno::from_raw(-code)),
                        };
                    }
                    NetlinkPayload::InnerMessage(message) => take(message),
                    _ => {}
                }
                if !is_part {
                    return Ok(is_whole);
                }
            }
        }
    }
}

/// The first message of a datagram and what follows it. The length stands in its first four bytes;
/// messages begin at multiples of four (netlink(7)).
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const HEADER_BYTES: usize = 16;
    let length = u32::from_ne_bytes(*bytes.first_chunk::<4>()?) as usize;
    if length < HEADER_BYTES || length > bytes.len() {
        return None;
    }
    let behind = length.next_multiple_of(4).min(bytes.len());
    Some((&bytes[..length], &bytes[behind..]))
}

fn family_of(is_ipv4: bool) -> AddressFamily {
    if is_ipv4 {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn mac_of(bytes: &[u8]) -> Option<MacAddress> {
    let hardware = MacAddress(bytes.try_into().ok()?);
    (hardware.0 != [0; 6]).then_some(hardware)
}

fn link_of(message: &LinkMessage) -> Link {
    let header = &message.header;
    let mut name = String::new();
    let mut hardware = None;
    let mut mtu_bytes = 0;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Address(bytes) => hardware = mac_of(bytes),
            LinkAttribute::Mtu(bytes) => mtu_bytes = *bytes,
            _ => {}
        }
    }
    let has_neighbours = !header.flags.contains(LinkFlags::Noarp);
    let is_loopback = header.flags.contains(LinkFlags::Loopback);
    let kind = match (header.link_layer_type, hardware) {
        _ if is_loopback => LinkKind::Other,
        (LinkLayerType::Ether, Some(hardware)) if has_neighbours => LinkKind::Ethernet(hardware),
        (LinkLayerType::None | LinkLayerType::Ppp | LinkLayerType::Rawip, _) => LinkKind::Bare,
        _ => LinkKind::Other,
    };
    Link {
        index: header.index,
        name,
        kind,
        is_up: header.flags.contains(LinkFlags::Up),
        is_loopback,
        mtu_bytes,
    }
}

fn link_local_of(message: &AddressMessage) -> Option<(u32, Ipv6Addr)> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Address(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
                Some((message.header.index, *ip))
            }
            _ => None,
        })
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

/// The prefix that a route is for; the default routes are for everything, and have no address.
fn destination_of_route(message: &RouteMessage) -> Option<AddressRange> {
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip_of(address),
            _ => None,
        });
    prefix(
        address,
        message.header.address_family,
        message.header.destination_prefix_length,
    )
}

fn destination_of_rule(message: &RuleMessage) -> Option<AddressRange> {
    let address = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RuleAttribute::Destination(ip) => Some(*ip),
            _ => None,
        });
    prefix(address, message.header.family, message.header.dst_len)
}

fn prefix(address: Option<IpAddr>, family: AddressFamily, bits: u8) -> Option<AddressRange> {
    let address = match (address, family) {
        (Some(address), _) => address,
        // A prefix without an address is a default route, which cuts nothing.
        (None, AddressFamily::Inet) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        (None, _) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    // What is no range here (it holds IPv4-mapped addresses among others) cuts no target either.
    AddressRange::of_prefix(address, bits).ok()
}

fn neighbour_of(message: &NeighbourMessage) -> Option<((u32, IpAddr), Known)> {
    let is_sure = match message.header.state {
        NeighbourState::Reachable | NeighbourState::Permanent => true,
        NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => false,
        _ => return None,
    };
    let mut address = None;
    let mut hardware = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::V4(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::V6(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => hardware = mac_of(bytes),
            _ => {}
        }
    }
    let key = (message.header.ifindex, address?);
    let hardware = hardware?;
    Some((key, Known { hardware, is_sure }))
}

fn route_of(message: &RouteMessage) -> Route {
    let mut interface = None;
    let mut gateway = None;
    let mut source = None;
    let mut is_encapsulated = false;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Via(RouteVia::Inet(ip)) => gateway = Some(IpAddr::V4(*ip)),
            RouteAttribute::Via(RouteVia::Inet6(ip)) => gateway = Some(IpAddr::V6(*ip)),
            RouteAttribute::PrefSource(address) => source = ip_of(address),
            RouteAttribute::EncapType(_) | RouteAttribute::Encap(_) => is_encapsulated = true,
            _ => {}
        }
    }
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Unreachable | RouteType::Prohibit | RouteType::BlackHole | RouteType::Throw => {
            return Route::Missing;
        }
        // Local, broadcast, anycast, multicast, translated.
        _ => return Route::Own,
    }
    match (interface, source, gateway) {
        _ if is_encapsulated => Route::Own,
        (Some(interface), Some(source), Some(gateway)) => Route::Via {
            interface,
            gateway,
            source,
        },
        (Some(interface), Some(source), None) => Route::Direct { interface, source },
        // Without an address of our own there is nobody to answer to.
        _ => Route::Own,
    }
}
