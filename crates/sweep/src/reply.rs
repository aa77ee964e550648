//! What comes back, and what it proves.
//!
//! A sweep remembers nobody whom it asked. An answer must therefore carry its own proof: whoever
//! sends it has seen our probe, because it repeats what only the secret makes.
//!
//! | answer | its proof | bits |
//! |---|---|---|
//! | SYN-ACK, RST | acknowledges the probe's sequence number, at the probe's source port | 32 + 6 |
//! | datagram | the probe's request id, at the probe's source port | 16 + 6 |
//! | ICMP error, TCP | quotes the probe's sequence number and source port | 32 + 6 |
//! | ICMP error, UDP | quotes the probe's checksum (the request id is summed up in it) and source port | 16 + 6 |
//!
//! A datagram from the right port to the right port with another request id proves nothing (a
//! forger needs 64 tries), but servers exist that answer so: it is told as [`Heard::Unproven`], for
//! somebody who asks again and remembers. The request id that it does carry is told along, because
//! it may be another endpoint's: a machine of several addresses answers from the one it prefers, and
//! with 64 source ports one of 64 pairs of such addresses is asked from the same port.
//!
//! Nothing here fails, panics or allocates, whatever a frame holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Address, Contact, IcmpError, Refusal};
use targets::Permit;

use crate::cookie::{CookieKey, PROTOCOL_TCP, PROTOCOL_UDP, SourcePorts};
use crate::frame::{
    ETHERNET_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_BYTES, IPV6_BYTES, datagram_checksum,
};
use crate::strays::Proof;

/// Bytes of a received frame that are looked at; the rest does not matter.
pub const LOOKED_AT_BYTES: usize = 256;
/// Ports of an address that are tried when a datagram comes from a port that was not asked.
pub const OTHER_PORTS_MAX: usize = 16;

/// VLAN tags in front of a packet that are read over (IEEE 802.1Q, 802.1ad).
const VLAN_TAGS_MAX: usize = 2;
/// Extension headers of IPv6 that are read over.
const EXTENSIONS_MAX: usize = 8;
/// ICMP's number in IPv4 headers.
const PROTOCOL_ICMP: u8 = 1;
/// ICMPv6's number in IPv6 headers.
const PROTOCOL_ICMP6: u8 = 58;
/// Bytes of an ICMP error before the packet that it quotes.
const ICMP_BYTES: usize = 8;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;
/// TCP's flags.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What stands before the IP header of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkLayer {
    /// Ethernet, with up to two VLAN tags.
    Ethernet,
    /// Nothing.
    Bare,
}

/// What an endpoint said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// SYN-ACK: something accepts.
    Accepted,
    /// A datagram with our request id.
    Datagram,
    /// A datagram from where we asked to where we asked from, without our request id. It proves
    /// nothing of this endpoint, and somebody should look. If it has a request id, it may be the
    /// proof of another endpoint, as in [`Checked::Stray`].
    Unproven(Option<Proof>),
    /// RST, or an ICMP error that quotes our probe.
    Contact(Contact),
}

/// What a frame came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// An endpoint of the permit answered.
    Answer {
        /// The number of its pair in the permit.
        index: u64,
        /// Over TCP, or else UDP.
        stream: bool,
        /// What it said.
        heard: Heard,
    },
    /// A datagram that may carry our request id, but from an address that was not asked.
    Stray(Proof),
    /// Addressed to one of our ports, and no proof that it answers us: counted, never believed.
    Rejected,
    /// None of ours.
    Foreign,
}

/// Checks received frames against what was sent.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// Whom the run may ask.
    pub permit: &'a Permit,
    /// The run's secret.
    pub key: &'a CookieKey,
    /// The run's ports.
    pub ports: &'a SourcePorts,
}

impl Verifier<'_> {
    /// Reads a frame, of which at least the first [`LOOKED_AT_BYTES`] are given.
    pub fn check(&self, frame: &[u8], layer: LinkLayer) -> Checked {
        self.read(frame, layer).unwrap_or(Checked::Foreign)
    }

    fn read(&self, frame: &[u8], layer: LinkLayer) -> Option<Checked> {
        let packet = match layer {
            LinkLayer::Ethernet => behind_ethernet(frame)?,
            LinkLayer::Bare => frame,
        };
        let packet = Packet::parse(packet)?;
        match (packet.protocol, packet.source) {
            (PROTOCOL_TCP, source) => self.read_segment(source, packet.carried),
            (PROTOCOL_UDP, source) => self.read_datagram(source, packet.carried),
            (PROTOCOL_ICMP, IpAddr::V4(_)) | (PROTOCOL_ICMP6, IpAddr::V6(_)) => {
                self.read_error(packet.source, packet.carried)
            }
            _ => None,
        }
    }

    fn read_segment(&self, source: IpAddr, segment: &[u8]) -> Option<Checked> {
        let head = segment.first_chunk::<14>()?;
        let (port, own_port) = ports(head);
        if !self.ports.holds(own_port) {
            return None;
        }
        let acknowledged = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let heard = match head[13] & (SYN | RST | ACK) {
            flags if flags == SYN | ACK => Heard::Accepted,
            // RFC 9293 section 3.10.7.1: a RST to a SYN acknowledges it.
            flags if flags == RST | ACK => Heard::Contact(Contact::Refused(Refusal::Reset)),
            _ => return Some(Checked::Rejected),
        };
        let cookie = self.key.cookie(source, port, true);
        let proven =
            self.ports.of(&cookie) == own_port && acknowledged == cookie.sequence.wrapping_add(1);
        Some(self.answer(proven, source, port, true, heard))
    }

    fn read_datagram(&self, source: IpAddr, datagram: &[u8]) -> Option<Checked> {
        let head = datagram.first_chunk::<UDP_BYTES>()?;
        let (port, own_port) = ports(head);
        if !self.ports.holds(own_port) {
            return None;
        }
        // What is behind the stated length is padding of the link.
        let stated = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let payload = datagram.get(UDP_BYTES..stated.min(datagram.len()));
        let Some((frame, _)) = payload.and_then(wire::Frame::parse) else {
            return Some(self.unproven(source, port, own_port, None));
        };
        let is_asked_at = |port: u16| {
            let cookie = self.key.cookie(source, port, false);
            cookie.request_id == frame.request_id && self.ports.of(&cookie) == own_port
        };
        if is_asked_at(port) {
            return Some(self.answer(true, source, port, false, Heard::Datagram));
        }
        // Some servers answer from another port than the asked one.
        let others = self.permit.selection().ports_of(source).iter().copied();
        let asked = others
            .take(OTHER_PORTS_MAX)
            .find(|other| is_asked_at(*other));
        if let Some(asked) = asked {
            return Some(self.answer(true, source, asked, false, Heard::Datagram));
        }
        let proof = self.ports.place_of(own_port).map(|port_place| Proof {
            request_id: frame.request_id,
            port_place,
        });
        Some(
            match (self.unproven(source, port, own_port, proof), proof) {
                // From nobody whom we asked there.
                (Checked::Rejected, Some(proof)) => Checked::Stray(proof),
                (checked, _) => checked,
            },
        )
    }

    /// A datagram without the request id of whom it comes from.
    fn unproven(&self, source: IpAddr, port: u16, own_port: u16, proof: Option<Proof>) -> Checked {
        let cookie = self.key.cookie(source, port, false);
        let is_from_asked = self.ports.of(&cookie) == own_port;
        self.answer(is_from_asked, source, port, false, Heard::Unproven(proof))
    }

    fn read_error(&self, from: IpAddr, error: &[u8]) -> Option<Checked> {
        let (head, quoted) = error.split_first_chunk::<ICMP_BYTES>()?;
        let icmp = IcmpError {
            from: Some(from),
            kind: head[0],
            code: head[1],
        };
        let contact = Contact::of_icmp(icmp, from.is_ipv6())?;
        let probe = Packet::parse(quoted)?;
        let (address, carried) = (probe.destination, probe.carried);
        let quoted_head = carried.first_chunk::<8>()?;
        let (own_port, port) = ports(quoted_head);
        let stream = probe.protocol == PROTOCOL_TCP;
        let is_ours = stream || probe.protocol == PROTOCOL_UDP;
        if !is_ours || !self.ports.holds(own_port) || address.is_ipv6() != from.is_ipv6() {
            return None;
        }
        let cookie = self.key.cookie(address, port, stream);
        let [_, _, _, _, a, b, c, d] = *quoted_head;
        let repeats = if stream {
            u32::from_be_bytes([a, b, c, d]) == cookie.sequence
        } else {
            let request_id = cookie.request_id;
            let sum = datagram_checksum(probe.source, address, own_port, port, request_id);
            u16::from_be_bytes([c, d]) == sum
        };
        let proven = repeats && self.ports.of(&cookie) == own_port;
        Some(self.answer(proven, address, port, stream, Heard::Contact(contact)))
    }

    /// The answer of an endpoint, if it is proven and if the endpoint was to be asked.
    fn answer(
        &self,
        proven: bool,
        address: IpAddr,
        port: u16,
        stream: bool,
        heard: Heard,
    ) -> Checked {
        let index = if proven {
            let selection = self.permit.selection();
            selection.index_of(&Address::Ip(address), port)
        } else {
            None
        };
        match index {
            Some(index) => Checked::Answer {
                index,
                stream,
                heard,
            },
            None => Checked::Rejected,
        }
    }
}

/// The packet behind an Ethernet header, if its type is what the packet is.
fn behind_ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = ETHERNET_BYTES - 2;
    for _ in 0..=VLAN_TAGS_MAX {
        let ethertype = u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]);
        let packet = frame.get(at + 2..)?;
        let version = packet.first()? >> 4;
        match ethertype {
            ETHERTYPE_IPV4 => return (version == 4).then_some(packet),
            ETHERTYPE_IPV6 => return (version == 6).then_some(packet),
            0x8100 | 0x88a8 => at += 4,
            _ => return None,
        }
    }
    None
}

/// Source and destination port, which TCP and UDP begin with.
fn ports<const BYTES: usize>(head: &[u8; BYTES]) -> (u16, u16) {
    const { assert!(BYTES >= 4) }
    (
        u16::from_be_bytes([head[0], head[1]]),
        u16::from_be_bytes([head[2], head[3]]),
    )
}

/// An IP packet that is no fragment.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// What is behind the headers: as much as was captured or quoted, without padding of the link.
    carried: &'a [u8],
}

impl Packet<'_> {
    fn parse(packet: &[u8]) -> Option<Packet<'_>> {
        match packet.first()? >> 4 {
            4 => Packet::parse_ipv4(packet),
            6 => Packet::parse_ipv6(packet),
            _ => None,
        }
    }

    fn parse_ipv4(packet: &[u8]) -> Option<Packet<'_>> {
        let head = packet.first_chunk::<IPV4_BYTES>()?;
        let header_bytes = usize::from(head[0] & 0x0f) * 4;
        let total_bytes = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // "More fragments", or an offset.
        let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
        if header_bytes < IPV4_BYTES || fragment != 0 {
            return None;
        }
        let source: [u8; 4] = *head[12..].first_chunk()?;
        let destination: [u8; 4] = *head[16..].first_chunk()?;
        Some(Packet {
            source: Ipv4Addr::from(source).into(),
            destination: Ipv4Addr::from(destination).into(),
            protocol: head[9],
            carried: packet.get(header_bytes..total_bytes.min(packet.len()))?,
        })
    }

    fn parse_ipv6(packet: &[u8]) -> Option<Packet<'_>> {
        let (head, rest) = packet.split_first_chunk::<IPV6_BYTES>()?;
        let source: [u8; 16] = *head[8..].first_chunk()?;
        let destination: [u8; 16] = *head[24..].first_chunk()?;
        let stated = usize::from(u16::from_be_bytes([head[4], head[5]]));
        let (protocol, carried) = behind_extensions(head[6], &rest[..stated.min(rest.len())])?;
        Some(Packet {
            source: Ipv6Addr::from(source).into(),
            destination: Ipv6Addr::from(destination).into(),
            protocol,
            carried,
        })
    }
}

/// Reads over the extension headers of IPv6 (RFC 8200 section 4).
fn behind_extensions(mut kind: u8, mut rest: &[u8]) -> Option<(u8, &[u8])> {
    for _ in 0..=EXTENSIONS_MAX {
        let bytes = match kind {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => 8 + usize::from(*rest.get(1)?) * 8,
            // A fragment header on a packet that is whole (RFC 6946).
            44 if u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]) & 0xfff9 == 0 => 8,
            44 => return None,
            _ => return Some((kind, rest)),
        };
        kind = *rest.first()?;
        rest = rest.get(bytes..)?;
    }
    None
}
