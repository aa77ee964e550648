//! What the program knows: whom it may ask and by which way, the order, the cookie's key, and the
//! bytes that all probes share. Built here from the permit, and never changed afterwards.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use nix::errno::Errno;
use sweep::frame::{self, FRAME_BYTES_MAX, Probe};
use sweep::reach::{Framing, Hop, Stretch, Way};
use targets::{PairBlock, Permit};

use crate::bpf::Map;
use crate::bpf::object::Symbol;
use crate::engine::Ground;

/// Segments at most: the search of bpf/generate.h has 21 steps.
pub(super) const SEGMENTS_MAX: usize = 1 << 21;
/// Every probe over IPv4 and Ethernet has this many bytes.
pub(super) const FRAME_BYTES: usize = 60;
/// SipHash's four constants ("somepseudorandomlygeneratedbytes"; Aumasson and Bernstein, 2012).
const SIP: [u64; 4] = [
    0x736f_6d65_7073_6575,
    0x646f_7261_6e64_6f6d,
    0x6c79_6765_6e65_7261,
    0x7465_6462_7974_6573,
];
/// Where the variable fields of a frame are: checksum of IP, destination, ports.
const VARIABLE: [std::ops::Range<usize>; 2] = [24..26, 30..38];
/// Sequence number and checksum of TCP.
const VARIABLE_OF_STREAM: [std::ops::Range<usize>; 2] = [38..42, 50..52];
/// Checksum of UDP and request id.
const VARIABLE_OF_DATAGRAM: [std::ops::Range<usize>; 2] = [40..42, 42..44];
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
/// Where our own address stands, which is the hop's and not the template's.
const SOURCE: std::ops::Range<usize> = 26..30;

/// Consecutive pairs that are reached alike: `struct segment` of bpf/generate.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) first: u32,
    pub(super) hop: u32,
    pub(super) port: u32,
    pub(super) ports: u32,
}

/// Everything that goes into frozen maps.
pub(super) struct Tables {
    segments: Vec<Segment>,
    ports: Vec<u16>,
    hops: Vec<[u8; 32]>,
    source_ports: [u8; 128],
    own_ports: Box<[u8; 8192]>,
    stream: Template,
    datagram: Template,
}

/// The maps of [`Tables`].
pub(super) struct Filled {
    segments: Map,
    ports: Map,
    hops: Map,
    source_ports: Map,
    own_ports: Map,
}

/// What the frames of one transport share.
struct Template {
    words: [u64; 8],
    /// The sum of the IP header's 16-bit words, without addresses.
    ip_sum: u64,
    /// The same of TCP or UDP, with the rest of the pseudo-header.
    sum: u64,
}

impl Tables {
    /// From the blocks of the permit and the ways to them; or why it cannot be.
    pub(super) fn new(ground: &Ground, permit: &Permit) -> Result<Tables, String> {
        let mut lists = PortLists::default();
        let blocks = permit.selection().blocks();
        let segments = cut(blocks, ground.reach.stretches(), &mut lists)?;
        let hops = ground.reach.hops();
        let used: Vec<bool> = used_hops(&segments, hops.len());
        let mut entries = Vec::with_capacity(hops.len());
        for (hop, is_used) in hops.iter().zip(used) {
            entries.push(if is_used { hop_entry(hop)? } else { [0; 32] });
        }
        let mut source_ports = [0; 128];
        let mut own_ports = Box::new([0; 8192]);
        for (bytes, port) in source_ports.chunks_exact_mut(2).zip(ground.ports.0) {
            bytes.copy_from_slice(&port.to_be_bytes());
            own_ports[usize::from(port / 8)] |= 1 << (port % 8);
        }
        Ok(Tables {
            segments,
            ports: lists.ports,
            hops: entries,
            source_ports,
            own_ports,
            stream: Template::new(ground, true)?,
            datagram: Template::new(ground, false)?,
        })
    }

    /// Puts it into the kernel.
    pub(super) fn fill(&self, name: &str) -> Result<Filled, Errno> {
        let segments: Vec<[u8; 32]> = self
            .segments
            .iter()
            .copied()
            .map(Segment::to_bytes)
            .collect();
        let ports: Vec<[u8; 2]> = self.ports.iter().map(|port| port.to_ne_bytes()).collect();
        Ok(Filled {
            segments: Map::filled(name, &or_one(segments))?,
            ports: Map::filled(name, &or_one(ports))?,
            hops: Map::filled(name, &or_one(self.hops.clone()))?,
            source_ports: Map::filled(name, &[self.source_ports])?,
            own_ports: Map::filled(name, &[*self.own_ports])?,
        })
    }

    /// The numbers of the program.
    pub(super) fn constants(&self, ground: &Ground) -> Vec<(&'static str, Symbol<'static>)> {
        let parts = ground.order.permutation().parts();
        let shard = ground.order.shard();
        let [low, high] = ground.key.0;
        let is_both = ground.stream && ground.datagram;
        let searched = self.segments.len().max(1) as u64 - 1;
        let keys = parts.round_keys;
        let (tcp, udp) = (&self.stream, &self.datagram);
        let numbers = [
            ("PAIRS", parts.count),
            ("LEFT_MASK", parts.left_mask),
            ("RIGHT_MASK", parts.right_mask),
            ("RIGHT_BITS", u64::from(parts.right_bits)),
            ("ROUND_KEY_0", keys[0]),
            ("ROUND_KEY_1", keys[1]),
            ("ROUND_KEY_2", keys[2]),
            ("ROUND_KEY_3", keys[3]),
            ("ROUND_KEY_4", keys[4]),
            ("ROUND_KEY_5", keys[5]),
            ("ORDER_LENGTH", ground.order.len()),
            ("SHARD_FIRST", shard.index - 1),
            ("SHARD_OF", shard.of),
            ("TRANSPORT_SHIFT", u64::from(is_both)),
            ("BOTH", u64::from(is_both)),
            ("ONLY_DATAGRAM", u64::from(!ground.stream)),
            // The highest power of two that is a place.
            (
                "SEGMENT_STEP",
                searched.checked_ilog2().map_or(0, |bits| 1 << bits),
            ),
            ("SIP_0", SIP[0] ^ low),
            ("SIP_1", SIP[1] ^ high),
            ("SIP_2", SIP[2] ^ low),
            ("SIP_3", SIP[3] ^ high),
            ("TCP_IP_SUM", tcp.ip_sum),
            ("TCP_SUM", tcp.sum),
            ("TCP_2", tcp.words[2]),
            ("TCP_5", tcp.words[5]),
            ("TCP_6", tcp.words[6]),
            ("TCP_7", tcp.words[7]),
            ("UDP_IP_SUM", udp.ip_sum),
            ("UDP_SUM", udp.sum),
            ("UDP_2", udp.words[2]),
            ("UDP_4", udp.words[4]),
            ("UDP_5", udp.words[5]),
            ("UDP_6", udp.words[6]),
            ("UDP_7", udp.words[7]),
        ];
        numbers
            .into_iter()
            .map(|(name, number)| (name, Symbol::Constant(number)))
            .collect()
    }
}

impl Filled {
    /// From here on nobody can change them.
    pub(super) fn freeze(&self) -> Result<(), Errno> {
        let maps = [
            &self.segments,
            &self.ports,
            &self.hops,
            &self.source_ports,
            &self.own_ports,
        ];
        maps.into_iter().try_for_each(Map::freeze)
    }

    pub(super) fn symbols(&self) -> [(&'static str, Symbol<'_>); 5] {
        [
            ("segments", Symbol::Map(self.segments.as_fd())),
            ("ports", Symbol::Map(self.ports.as_fd())),
            ("hops", Symbol::Map(self.hops.as_fd())),
            ("source_ports", Symbol::Value(self.source_ports.as_fd())),
            ("own_ports", Symbol::Value(self.own_ports.as_fd())),
        ]
    }
}

impl Segment {
    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[0..8].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.end.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.first.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.hop.to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.port.to_ne_bytes());
        bytes[28..32].copy_from_slice(&self.ports.to_ne_bytes());
        bytes
    }
}

impl Template {
    /// From a frame that the sweep makes, the fields blanked that differ from probe to probe.
    fn new(ground: &Ground, stream: bool) -> Result<Template, String> {
        let probe = Probe {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            stream,
        };
        let any =
            |hop: &&Hop| hop.source.is_ipv4() && matches!(hop.framing, Framing::Ethernet { .. });
        let Some(hop) = ground.reach.hops().iter().find(any) else {
            return Err("no way over IPv4 and Ethernet".to_owned());
        };
        let mut frame = [0; FRAME_BYTES_MAX];
        let length = frame::emit(&probe, hop, &ground.key, &ground.ports, &mut frame);
        if length != FRAME_BYTES {
            return Err(format!("a probe of {length} bytes"));
        }
        let of_transport = if stream {
            &VARIABLE_OF_STREAM[..]
        } else {
            &VARIABLE_OF_DATAGRAM[..]
        };
        for range in VARIABLE.iter().chain(of_transport) {
            frame[range.clone()].fill(0);
        }
        frame[SOURCE].fill(0);
        let transport_at = ETHERNET_BYTES + IP_BYTES;
        let header = &frame[ETHERNET_BYTES..transport_at];
        let length = u16::from_be_bytes([header[2], header[3]]) - IP_BYTES as u16;
        let pseudo_header = [[0, header[9]], length.to_be_bytes()].concat();
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(frame.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Ok(Template {
            words,
            ip_sum: sum(header),
            sum: sum(&frame[transport_at..FRAME_BYTES]) + sum(&pseudo_header),
        })
    }
}

/// Lists of more than one port, each kept once.
#[derive(Default)]
struct PortLists {
    ports: Vec<u16>,
    places: HashMap<Vec<u16>, u32>,
}

impl PortLists {
    fn place(&mut self, list: &[u16]) -> u32 {
        if let Some(place) = self.places.get(list) {
            return *place;
        }
        let place = self.ports.len() as u32;
        self.ports.extend(list);
        self.places.insert(list.to_vec(), place);
        place
    }
}

/// The parts of the blocks that hops reach, ascending. Both come ascending.
fn cut<'a>(
    blocks: impl Iterator<Item = PairBlock<'a>>,
    stretches: &[Stretch],
    lists: &mut PortLists,
) -> Result<Vec<Segment>, String> {
    let mut segments: Vec<Segment> = Vec::new();
    for block in blocks {
        let begin = stretches.partition_point(|stretch| stretch.range.last < block.range.first);
        let under = stretches[begin..]
            .iter()
            .take_while(|stretch| stretch.range.first <= block.range.last);
        for stretch in under {
            let Way::Hop(hop) = stretch.way else { continue };
            let first = stretch.range.first.max(block.range.first);
            let last = stretch.range.last.min(block.range.last);
            let (IpAddr::V4(first), IpAddr::V4(last), IpAddr::V4(block_first)) =
                (first, last, block.range.first)
            else {
                return Err(format!("it asks no IPv6 address such as {first}"));
            };
            let ports = block.ports.len() as u64;
            let steps = |address: Ipv4Addr| u64::from(address.to_bits() - block_first.to_bits());
            let port = match block.ports {
                [only] => u32::from(*only),
                list => lists.place(list),
            };
            segments.push(Segment {
                offset: block.offset + steps(first) * ports,
                end: block.offset + (steps(last) + 1) * ports,
                first: first.to_bits(),
                hop,
                port,
                ports: ports as u32,
            });
            if segments.len() > SEGMENTS_MAX {
                return Err(format!("more than {SEGMENTS_MAX} separate ranges"));
            }
        }
    }
    Ok(segments)
}

fn used_hops(segments: &[Segment], hops: usize) -> Vec<bool> {
    let mut used = vec![false; hops];
    for segment in segments {
        if let Some(used) = used.get_mut(segment.hop as usize) {
            *used = true;
        }
    }
    used
}

/// `struct hop` of bpf/generate.h.
fn hop_entry(hop: &Hop) -> Result<[u8; 32], String> {
    let (
        Framing::Ethernet {
            source,
            destination,
        },
        IpAddr::V4(own),
    ) = (hop.framing, hop.source)
    else {
        return Err("it sends over IPv4 and Ethernet only".to_owned());
    };
    let mut bytes = [0; 32];
    bytes[0..6].copy_from_slice(&destination.0);
    bytes[6..12].copy_from_slice(&source.0);
    // Type IPv4, version 4 with a header of 5 words, no type of service.
    bytes[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0x00]);
    bytes[16..20].copy_from_slice(&own.octets());
    bytes[20..24].copy_from_slice(&(sum(&own.octets()) as u32).to_ne_bytes());
    bytes[24..28].copy_from_slice(&hop.interface.to_ne_bytes());
    Ok(bytes)
}

/// The sum of 16-bit words as this machine reads them: a checksum is the same in either byte order
/// (RFC 1071 section 2).
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<2>().0;
    words
        .iter()
        .map(|word| u64::from(u16::from_le_bytes(*word)))
        .sum()
}

/// A map has one element at least. One of zeros is an empty segment, or a hop of none.
fn or_one<const N: usize>(elements: Vec<[u8; N]>) -> Vec<[u8; N]> {
    if elements.is_empty() {
        vec![[0; N]]
    } else {
        elements
    }
}
