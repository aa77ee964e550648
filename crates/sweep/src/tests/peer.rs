//! The other side: reads a probe as a strict receiver would, and makes what hosts and routers
//! answer. Written without the room's own code, so that both sides can't err in the same way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::reply::LinkLayer;

/// What a receiver sees of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) own: IpAddr,
    pub(super) own_port: u16,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) stream: bool,
    pub(super) sequence: u32,
    pub(super) request_id: u16,
    /// The IP packet, without what pads the link.
    pub(super) packet: Vec<u8>,
    layer: LinkLayer,
}

/// Reads a probe; panics at anything that a receiver would drop.
pub(super) fn read(frame: &[u8], layer: LinkLayer) -> Seen {
    let packet = match layer {
        LinkLayer::Ethernet => {
            assert!(frame.len() >= 60, "a runt of {} bytes", frame.len());
            let expect = if frame[14] >> 4 == 4 {
                [8, 0]
            } else {
                [0x86, 0xdd]
            };
            assert_eq!(frame[12..14], expect, "type");
            &frame[14..]
        }
        LinkLayer::Bare => frame,
    };
    let (own, address, protocol, carried, packet) = match packet[0] >> 4 {
        4 => read_ipv4(packet),
        6 => read_ipv6(packet),
        other => panic!("IP version {other}"),
    };
    assert_eq!(sum(&pseudo(own, address, protocol, carried)), 0xffff);
    let stream = protocol == 6;
    let mut seen = Seen {
        own,
        own_port: word(carried, 0),
        address,
        port: word(carried, 2),
        stream,
        sequence: 0,
        request_id: 0,
        packet: packet.to_vec(),
        layer,
    };
    if stream {
        assert_eq!(carried.len(), 24, "one option");
        assert_eq!(carried[12..14], [0x60, 0x02], "offset, SYN");
        assert_eq!(carried[8..12], [0; 4], "acknowledges nothing");
        seen.sequence = u32::from_be_bytes([carried[4], carried[5], carried[6], carried[7]]);
    } else {
        assert_eq!(protocol, 17);
        assert_eq!(usize::from(word(carried, 4)), carried.len());
        assert_ne!(word(carried, 6), 0, "no checksum");
        assert_eq!(carried[10..], *b"\0\0\0\x01\0\0version\r\n");
        seen.request_id = word(carried, 8);
    }
    seen
}

fn read_ipv4(packet: &[u8]) -> (IpAddr, IpAddr, u8, &[u8], &[u8]) {
    assert_eq!(packet[0], 0x45);
    let length = usize::from(word(packet, 2));
    assert!(packet[length..].iter().all(|byte| *byte == 0), "padding");
    assert_eq!(packet[4..8], [0, 0, 0x40, 0], "whole, not to be cut");
    assert_eq!(packet[8], 64);
    assert_eq!(sum(&packet[..20]), 0xffff, "header checksum");
    let at = |begin: usize| {
        let octets: [u8; 4] = packet[begin..begin + 4].try_into().expect("four bytes");
        IpAddr::V4(Ipv4Addr::from(octets))
    };
    let whole = &packet[..length];
    (at(12), at(16), packet[9], &whole[20..], whole)
}

fn read_ipv6(packet: &[u8]) -> (IpAddr, IpAddr, u8, &[u8], &[u8]) {
    assert_eq!(packet[..4], [0x60, 0, 0, 0]);
    let length = 40 + usize::from(word(packet, 4));
    assert_eq!(packet.len(), length, "never shorter than Ethernet wants");
    assert_eq!(packet[7], 64);
    let at = |begin: usize| {
        let octets: [u8; 16] = packet[begin..begin + 16].try_into().expect("sixteen bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let whole = &packet[..length];
    (at(8), at(24), packet[6], &whole[40..], whole)
}

impl Seen {
    /// Something accepts.
    pub(super) fn syn_ack(&self) -> Vec<u8> {
        self.segment(self.sequence.wrapping_add(1), 0x12)
    }

    /// Nobody listens.
    pub(super) fn reset(&self) -> Vec<u8> {
        self.segment(self.sequence.wrapping_add(1), 0x14)
    }

    /// A segment without options back to the prober.
    pub(super) fn segment(&self, acknowledged: u32, flags: u8) -> Vec<u8> {
        let mut segment = Vec::new();
        segment.extend(self.port.to_be_bytes());
        segment.extend(self.own_port.to_be_bytes());
        segment.extend(0x0102_0304u32.to_be_bytes());
        segment.extend(acknowledged.to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.back(self.address, 6, segment, 16)
    }

    /// memcached's answer, from this port.
    pub(super) fn version_from(&self, port: u16) -> Vec<u8> {
        let mut payload = self.request_id.to_be_bytes().to_vec();
        payload.extend(b"\0\0\0\x01\0\0VERSION 1.5.6\r\n");
        self.datagram(port, &payload)
    }

    /// A datagram back to the prober.
    pub(super) fn datagram(&self, port: u16, payload: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        datagram.extend(port.to_be_bytes());
        datagram.extend(self.own_port.to_be_bytes());
        datagram.extend((8 + payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(payload);
        self.back(self.address, 17, datagram, 6)
    }

    /// An ICMP error about the probe, which quotes its header and `quoted` bytes behind that.
    pub(super) fn error(&self, from: IpAddr, kind: u8, code: u8, quoted: usize) -> Vec<u8> {
        let header = if from.is_ipv4() { 20 } else { 40 };
        let mut error = vec![kind, code, 0, 0, 0, 0, 0, 0];
        error.extend(self.packet.iter().take(header + quoted));
        let protocol = if from.is_ipv4() { 1 } else { 58 };
        self.back(from, protocol, error, 2)
    }

    fn back(&self, from: IpAddr, protocol: u8, mut carried: Vec<u8>, sum_at: usize) -> Vec<u8> {
        let covered = match (protocol, from) {
            (1, _) => carried.clone(),
            _ => pseudo(from, self.own, protocol, &carried),
        };
        let checksum = !sum(&covered);
        carried[sum_at..sum_at + 2].copy_from_slice(&checksum.to_be_bytes());
        framed(&packet(from, self.own, protocol, &carried), self.layer)
    }
}

/// An IP packet without options.
pub(super) fn packet(from: IpAddr, to: IpAddr, protocol: u8, carried: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0]);
            packet.extend((20 + carried.len() as u16).to_be_bytes());
            packet.extend([0x12, 0x34, 0, 0, 57, protocol, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let checksum = !sum(&packet);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((carried.len() as u16).to_be_bytes());
            packet.extend([protocol, 57]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        _ => panic!("{from} to {to}"),
    }
    packet.extend(carried);
    packet
}

/// A packet as it comes over the link.
pub(super) fn framed(packet: &[u8], layer: LinkLayer) -> Vec<u8> {
    match layer {
        LinkLayer::Bare => packet.to_vec(),
        LinkLayer::Ethernet => tagged(packet, &[]),
    }
}

/// A packet on Ethernet behind VLAN tags of these types.
pub(super) fn tagged(packet: &[u8], tags: &[u16]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 42]);
    }
    let ipv4 = packet[0] >> 4 == 4;
    frame.extend(if ipv4 { [8, 0] } else { [0x86, 0xdd] });
    frame.extend(packet);
    let length = frame.len().max(60);
    frame.resize(length, 0x5a);
    frame
}

/// What a transport checksum covers (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, carried: &[u8]) -> Vec<u8> {
    let mut covered = Vec::new();
    for address in [from, to] {
        match address {
            IpAddr::V4(v4) => covered.extend(v4.octets()),
            IpAddr::V6(v6) => covered.extend(v6.octets()),
        }
    }
    covered.extend((carried.len() as u32).to_be_bytes());
    covered.extend([0, 0, 0, protocol]);
    covered.extend(carried);
    covered
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The one's complement sum, carry by carry.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u16;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        let (added, carry) = sum.overflowing_add(u16::from_be_bytes([pair[0], low]));
        sum = added + u16::from(carry);
    }
    sum
}
