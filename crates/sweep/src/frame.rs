//! The bytes of a probe.
//!
//! ```text
//! Ethernet (14 bytes) or nothing
//! IPv4 (20): no options, identification 0, "don't fragment", time to live 64   or   IPv6 (40)
//! TCP (24): SYN, maximum segment size 1460 (IPv6: 1440), window 64240          or
//! UDP (8) and the 17 bytes of memcached's frame with `version`
//! ```
//!
//! All that differs between two probes of one hop are the addresses, ports, cookie and checksums;
//! so the sums of everything else are constants, and a checksum costs a few additions (RFC 1071).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::{DatagramRequest, VERSION_DATAGRAM_BYTES};

use crate::cookie::{Cookie, CookieKey, PROTOCOL_TCP, PROTOCOL_UDP, SourcePorts};
use crate::reach::{Framing, Hop};

/// Bytes of the longest probe: Ethernet, IPv6, UDP and the 17 bytes of a framed `version`.
pub const FRAME_BYTES_MAX: usize = 80;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_BYTES: usize = 14;
/// Shorter frames are padded on Ethernet (IEEE 802.3 section 3.2.8, without the check sequence).
pub(crate) const ETHERNET_FRAME_BYTES_MIN: usize = 60;
/// Bytes of an IPv4 header without options.
pub(crate) const IPV4_BYTES: usize = 20;
/// Bytes of an IPv6 header.
pub(crate) const IPV6_BYTES: usize = 40;
/// Ethernet's type of IPv4.
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethernet's type of IPv6.
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// Bytes of a TCP header with the one option that we send.
const TCP_BYTES: usize = 24;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;
/// Bytes of a UDP header and what it carries.
const DATAGRAM_BYTES: usize = UDP_BYTES + VERSION_DATAGRAM_BYTES;
/// Time to live, hop limit: what Linux sends.
const HOPS_MAX: u8 = 64;
/// The receive window of the SYN in bytes: what Linux offers on Ethernet.
const WINDOW_BYTES: u16 = 64_240;
/// Maximum segment size over IPv4 on Ethernet.
const SEGMENT_BYTES_IPV4: u16 = 1460;
/// Maximum segment size over IPv6 on Ethernet.
const SEGMENT_BYTES_IPV6: u16 = 1440;
/// Offset 6 (24 bytes) and the SYN flag.
const OFFSET_AND_SYN: u16 = 0x6002;
/// Kind and length of the option "maximum segment size" (RFC 9293 section 3.7.1).
const SEGMENT_OPTION: u16 = 0x0204;
/// "Don't fragment", no offset. With it the identification means nothing (RFC 6864) and is 0.
const DO_NOT_FRAGMENT: u16 = 0x4000;
/// The sum of the 16-bit words of a `version` datagram with request id 0.
const VERSION_SUM: u64 = sum_of(&DatagramRequest::version_bytes(0));

const _: () = assert!(ETHERNET_BYTES + IPV6_BYTES + DATAGRAM_BYTES <= FRAME_BYTES_MAX);

/// Whom a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TCP SYN, or else a UDP `version`.
    pub stream: bool,
}

/// Writes the whole frame of a probe and returns its length: 60 bytes at least on Ethernet (padded
/// with zeros). Every byte up to the length is written, whatever was in the buffer.
///
/// # Panics
///
/// If the hop's source is of another family than the probe's address.
#[inline]
pub fn emit(
    probe: &Probe,
    hop: &Hop,
    key: &CookieKey,
    ports: &SourcePorts,
    buffer: &mut [u8; FRAME_BYTES_MAX],
) -> usize {
    *buffer = [0; FRAME_BYTES_MAX];
    let cookie = key.cookie(probe.address, probe.port, probe.stream);
    let fields = Fields {
        stream: probe.stream,
        source_port: ports.of(&cookie),
        port: probe.port,
        cookie,
    };
    let Framing::Ethernet {
        source,
        destination,
    } = hop.framing
    else {
        return write_packet(probe.address, hop.source, &fields, buffer);
    };
    let ethertype = if probe.address.is_ipv4() {
        ETHERTYPE_IPV4
    } else {
        ETHERTYPE_IPV6
    };
    buffer[0..6].copy_from_slice(&destination.0);
    buffer[6..12].copy_from_slice(&source.0);
    buffer[12..14].copy_from_slice(&ethertype.to_be_bytes());
    let packet = &mut buffer[ETHERNET_BYTES..];
    let length = ETHERNET_BYTES + write_packet(probe.address, hop.source, &fields, packet);
    length.max(ETHERNET_FRAME_BYTES_MIN)
}

/// The UDP checksum of our probe between these addresses, as it stands in the header.
pub(crate) fn datagram_checksum(
    source: IpAddr,
    destination: IpAddr,
    source_port: u16,
    port: u16,
    request_id: u16,
) -> u16 {
    let addresses = address_sum(source) + address_sum(destination);
    checksum_of_datagram(addresses, source_port, port, request_id)
}

/// What the transport headers are made of.
struct Fields {
    stream: bool,
    source_port: u16,
    port: u16,
    cookie: Cookie,
}

/// Writes IP and what it carries into zeros; returns the length.
#[inline]
fn write_packet(address: IpAddr, source: IpAddr, fields: &Fields, packet: &mut [u8]) -> usize {
    match (source, address) {
        (IpAddr::V4(source), IpAddr::V4(address)) => write_ipv4(source, address, fields, packet),
        (IpAddr::V6(source), IpAddr::V6(address)) => write_ipv6(source, address, fields, packet),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("a probe to {address} cannot come from {source}")
        }
    }
}

#[inline]
fn write_ipv4(source: Ipv4Addr, address: Ipv4Addr, fields: &Fields, packet: &mut [u8]) -> usize {
    let (protocol, carried) = protocol_and_length(fields.stream);
    let length = IPV4_BYTES + carried;
    let addresses = ipv4_sum(source) + ipv4_sum(address);
    let hops_and_protocol = u16::from_be_bytes([HOPS_MAX, protocol]);
    let header_sum = 0x4500
        + length as u64
        + u64::from(DO_NOT_FRAGMENT)
        + u64::from(hops_and_protocol)
        + addresses;
    let (header, rest) = packet.split_at_mut(IPV4_BYTES);
    header[0] = 0x45;
    header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    header[6..8].copy_from_slice(&DO_NOT_FRAGMENT.to_be_bytes());
    header[8..10].copy_from_slice(&hops_and_protocol.to_be_bytes());
    header[10..12].copy_from_slice(&checksum(header_sum).to_be_bytes());
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&address.octets());
    write_transport(addresses, SEGMENT_BYTES_IPV4, fields, rest);
    length
}

#[inline]
fn write_ipv6(source: Ipv6Addr, address: Ipv6Addr, fields: &Fields, packet: &mut [u8]) -> usize {
    let (protocol, carried) = protocol_and_length(fields.stream);
    let addresses = ipv6_sum(source) + ipv6_sum(address);
    let (header, rest) = packet.split_at_mut(IPV6_BYTES);
    header[0] = 0x60;
    header[4..6].copy_from_slice(&(carried as u16).to_be_bytes());
    header[6] = protocol;
    header[7] = HOPS_MAX;
    header[8..24].copy_from_slice(&source.octets());
    header[24..40].copy_from_slice(&address.octets());
    write_transport(addresses, SEGMENT_BYTES_IPV6, fields, rest);
    IPV6_BYTES + carried
}

fn protocol_and_length(stream: bool) -> (u8, usize) {
    if stream {
        (PROTOCOL_TCP, TCP_BYTES)
    } else {
        (PROTOCOL_UDP, DATAGRAM_BYTES)
    }
}

#[inline]
fn write_transport(addresses: u64, segment_bytes: u16, fields: &Fields, rest: &mut [u8]) {
    if fields.stream {
        write_syn(addresses, segment_bytes, fields, &mut rest[..TCP_BYTES]);
    } else {
        write_datagram(addresses, fields, &mut rest[..DATAGRAM_BYTES]);
    }
}

#[inline]
fn write_syn(addresses: u64, segment_bytes: u16, fields: &Fields, segment: &mut [u8]) {
    let sequence = fields.cookie.sequence;
    let sum = addresses
        + u64::from(PROTOCOL_TCP)
        + TCP_BYTES as u64
        + u64::from(fields.source_port)
        + u64::from(fields.port)
        + halves(sequence)
        + u64::from(OFFSET_AND_SYN)
        + u64::from(WINDOW_BYTES)
        + u64::from(SEGMENT_OPTION)
        + u64::from(segment_bytes);
    segment[0..2].copy_from_slice(&fields.source_port.to_be_bytes());
    segment[2..4].copy_from_slice(&fields.port.to_be_bytes());
    segment[4..8].copy_from_slice(&sequence.to_be_bytes());
    segment[12..14].copy_from_slice(&OFFSET_AND_SYN.to_be_bytes());
    segment[14..16].copy_from_slice(&WINDOW_BYTES.to_be_bytes());
    segment[16..18].copy_from_slice(&checksum(sum).to_be_bytes());
    segment[20..22].copy_from_slice(&SEGMENT_OPTION.to_be_bytes());
    segment[22..24].copy_from_slice(&segment_bytes.to_be_bytes());
}

#[inline]
fn write_datagram(addresses: u64, fields: &Fields, datagram: &mut [u8]) {
    let request_id = fields.cookie.request_id;
    let sum = checksum_of_datagram(addresses, fields.source_port, fields.port, request_id);
    datagram[0..2].copy_from_slice(&fields.source_port.to_be_bytes());
    datagram[2..4].copy_from_slice(&fields.port.to_be_bytes());
    datagram[4..6].copy_from_slice(&(DATAGRAM_BYTES as u16).to_be_bytes());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram[UDP_BYTES..].copy_from_slice(&DatagramRequest::version_bytes(request_id));
}

#[inline]
fn checksum_of_datagram(addresses: u64, source_port: u16, port: u16, request_id: u16) -> u16 {
    let length = DATAGRAM_BYTES as u64;
    let sum = addresses
        + u64::from(PROTOCOL_UDP)
        + length
        + u64::from(source_port)
        + u64::from(port)
        + length
        + u64::from(request_id)
        + VERSION_SUM;
    match checksum(sum) {
        // RFC 768: 0 would mean that there is no checksum.
        0 => 0xffff,
        sum => sum,
    }
}

/// The complement of a sum of 16-bit words, with the carries added in (RFC 1071).
#[inline]
fn checksum(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

fn address_sum(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => ipv4_sum(v4),
        IpAddr::V6(v6) => ipv6_sum(v6),
    }
}

#[inline]
fn ipv4_sum(address: Ipv4Addr) -> u64 {
    halves(address.to_bits())
}

#[inline]
fn ipv6_sum(address: Ipv6Addr) -> u64 {
    address.segments().iter().copied().map(u64::from).sum()
}

#[inline]
fn halves(word: u32) -> u64 {
    u64::from(word >> 16) + u64::from(word & 0xffff)
}

/// The sum of the 16-bit words of bytes, the last one filled up with zeros.
const fn sum_of(bytes: &[u8]) -> u64 {
    let mut sum = 0;
    let mut place = 0;
    while place < bytes.len() {
        let shift = if place.is_multiple_of(2) { 8 } else { 0 };
        sum += (bytes[place] as u64) << shift;
        place += 1;
    }
    sum
}
