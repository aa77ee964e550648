//! A listener on all interfaces that keeps the packets between us and the endpoints of a run, until
//! it is known which of them are proof of a finding.
//!
//! It hears IP packets (packet(7), `SOCK_DGRAM`: the kernel has taken the link's header off, so one
//! filter fits every interface) to or from the run's ports, and ICMP errors that quote one. What the
//! engines send around the kernel's own paths is not heard; the interviews, which repeat the same
//! questions, are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;
use std::{mem, thread};

use model::{CaptureLayer, CapturedFrame, Endpoint, Transport};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::FramesError;
use crate::error;
use crate::socket_filter::{self, Instruction};

/// Bytes of one packet that are kept.
const PACKET_BYTES_MAX: usize = 65_535;
/// What a packet costs besides its bytes: itself in a list, and its share of the table.
const FRAME_COST_BYTES: usize = mem::size_of::<CapturedFrame>() + 64;
/// Bytes kept of one endpoint.
const ENDPOINT_BYTES_MAX: usize = 256 * 1024;
/// Bytes kept in all; beyond that the endpoints heard first are forgotten.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Packets that wait in the kernel while we are busy.
const RECEIVE_BUFFER_BYTES: libc::c_int = 8 * 1024 * 1024;
/// Packets read before others get their turn; as many small ones wait in the kernel at most.
const PACKETS_AT_ONCE_MAX: usize = 16_384;
/// Longest wait, so that the end is noticed; milliseconds.
const WAIT_MS: u16 = 50;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
const IPV6_HEADER_BYTES: usize = 40;
/// Type, code, checksum and the rest of the header before the quoted packet (RFC 792, RFC 4443).
const ICMP_HEADER_BYTES: usize = 8;

type Key = (IpAddr, u16, Transport);

/// A listener that runs until it is dropped.
#[derive(Debug)]
pub struct Tap {
    ear: Arc<Mutex<Ear>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Begins to listen for these ports.
    ///
    /// # Errors
    ///
    /// [`FramesError::NotPermitted`] without `CAP_NET_RAW`.
    pub fn open(ports: &[u16]) -> Result<Tap, FramesError> {
        let socket = listen(ports).map_err(|errno| match errno {
            Errno::EPERM | Errno::EACCES => FramesError::CaptureNotPermitted {
                program: error::program(),
            },
            errno => FramesError::System {
                what: "capturing frames",
                reason: errno.desc().to_owned(),
            },
        })?;
        let socket = Arc::new(socket);
        let ear = Arc::new(Mutex::new(Ear {
            socket: Arc::clone(&socket),
            ports: ports.iter().copied().collect(),
            buffer: vec![0; PACKET_BYTES_MAX],
            names: HashMap::new(),
            kept: Kept::default(),
        }));
        let ended = Arc::new(AtomicBool::new(false));
        let (ear_there, ended_there) = (Arc::clone(&ear), Arc::clone(&ended));
        let thread = thread::spawn(move || listen_until(&ended_there, &socket, &ear_there));
        Ok(Tap {
            ear,
            ended,
            thread: Some(thread),
        })
    }

    /// What passed between us and this endpoint so far, in the order of its arrival; it is
    /// forgotten here.
    pub fn take(&self, endpoint: &Endpoint) -> Vec<CapturedFrame> {
        let Some(ip) = endpoint.address.ip() else {
            return Vec::new();
        };
        let mut ear = locked(&self.ear);
        // A packet waits here before its answer can be read, also if the thread had no turn since.
        ear.hear();
        ear.kept.take((ip, endpoint.port, endpoint.transport))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Packets by endpoint.
#[derive(Debug, Default)]
struct Kept {
    frames: HashMap<Key, Vec<CapturedFrame>>,
    /// Endpoints in the order in which they were first heard; some are forgotten already.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, key: Key, frame: CapturedFrame) {
        let length = cost_of(&frame);
        let frames = self.frames.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Vec::new()
        });
        if bytes_of(frames) + length > ENDPOINT_BYTES_MAX {
            return;
        }
        frames.push(frame);
        self.bytes += length;
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.forget(&oldest);
        }
    }

    fn take(&mut self, key: Key) -> Vec<CapturedFrame> {
        // It may be heard again, and is the newest then. The ones that are asked for are mostly
        // among the oldest, so this looks at few.
        if let Some(place) = self.order.iter().position(|known| *known == key) {
            self.order.remove(place);
        }
        self.forget(&key)
    }

    fn forget(&mut self, key: &Key) -> Vec<CapturedFrame> {
        let frames = self.frames.remove(key).unwrap_or_default();
        self.bytes -= bytes_of(&frames);
        frames
    }
}

fn bytes_of(frames: &[CapturedFrame]) -> usize {
    frames.iter().map(cost_of).sum()
}

fn cost_of(frame: &CapturedFrame) -> usize {
    frame.bytes.len() + FRAME_COST_BYTES
}

/// A panic of the other side leaves whole frames, so the data is as good as before.
fn locked(ear: &Mutex<Ear>) -> MutexGuard<'_, Ear> {
    ear.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen_until(ended: &AtomicBool, socket: &OwnedFd, ear: &Mutex<Ear>) {
    while !ended.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if matches!(poll(&mut waiting, PollTimeout::from(WAIT_MS)), Ok(1..)) {
            locked(ear).hear();
        }
    }
}

/// The socket, and what was read from it.
#[derive(Debug)]
struct Ear {
    socket: Arc<OwnedFd>,
    ports: HashSet<u16>,
    buffer: Vec<u8>,
    /// Of interfaces.
    names: HashMap<i32, Arc<str>>,
    kept: Kept,
}

impl Ear {
    /// Reads what waits.
    fn hear(&mut self) {
        for _ in 0..PACKETS_AT_ONCE_MAX {
            let Some((length, from)) = receive(&self.socket, &mut self.buffer) else {
                return;
            };
            let packet = &self.buffer[..length.min(self.buffer.len())];
            let on_loopback = from.sll_hatype == libc::ARPHRD_LOOPBACK;
            let is_outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
            // Loopback shows every packet twice: as it leaves and as it arrives.
            if on_loopback && !is_outgoing {
                continue;
            }
            let Some((key, to_endpoint)) = endpoint_of(packet, &self.ports) else {
                continue;
            };
            let interface = self
                .names
                .entry(from.sll_ifindex)
                .or_insert_with(|| name_of(from.sll_ifindex));
            let frame = CapturedFrame {
                timestamp: SystemTime::now(),
                interface: Arc::clone(interface),
                layer: CaptureLayer::Bare,
                outbound: to_endpoint,
                bytes: packet.to_vec(),
                length_bytes: u32::try_from(length).unwrap_or(u32::MAX),
            };
            self.kept.add(key, frame);
        }
    }
}

fn name_of(index: i32) -> Arc<str> {
    let name = u32::try_from(index)
        .ok()
        .and_then(|index| nix::net::if_::if_indextoname(index).ok())
        .and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| format!("interface {index}")).into()
}

/// Whose packet this is, and whether it goes to that endpoint.
fn endpoint_of(packet: &[u8], ports: &HashSet<u16>) -> Option<(Key, bool)> {
    let ip = Ip::parse(packet)?;
    match ip.protocol {
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => {
            // Only errors pass the filter: they quote what we sent.
            let quoted = Ip::parse(ip.payload.get(ICMP_HEADER_BYTES..)?)?;
            let (_, port) = quoted.ports()?;
            let key = (quoted.destination, port, quoted.transport()?);
            ports.contains(&port).then_some((key, false))
        }
        _ => {
            let (source, destination) = ip.ports()?;
            let transport = ip.transport()?;
            if ports.contains(&destination) {
                Some(((ip.destination, destination, transport), true))
            } else if ports.contains(&source) {
                Some(((ip.source, source, transport), false))
            } else {
                None
            }
        }
    }
}

/// What is needed of an IP packet.
struct Ip<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &'a [u8],
}

impl<'a> Ip<'a> {
    fn parse(packet: &'a [u8]) -> Option<Ip<'a>> {
        let first = *packet.first()?;
        match first >> 4 {
            4 => {
                let header_bytes = usize::from(first & 0x0f) * 4;
                let address = |at: usize| -> Option<IpAddr> {
                    let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                    Some(Ipv4Addr::from(bytes).into())
                };
                Some(Ip {
                    source: address(12)?,
                    destination: address(16)?,
                    protocol: *packet.get(9)?,
                    payload: packet.get(header_bytes..)?,
                })
            }
            6 => {
                let address = |at: usize| -> Option<IpAddr> {
                    let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                    Some(Ipv6Addr::from(bytes).into())
                };
                Some(Ip {
                    source: address(8)?,
                    destination: address(24)?,
                    protocol: *packet.get(6)?,
                    payload: packet.get(IPV6_HEADER_BYTES..)?,
                })
            }
            _ => None,
        }
    }

    /// Source and destination.
    fn ports(&self) -> Option<(u16, u16)> {
        let bytes: [u8; 4] = self.payload.get(..4)?.try_into().ok()?;
        let [a, b, c, d] = bytes;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    fn transport(&self) -> Option<Transport> {
        match self.protocol {
            PROTOCOL_TCP => Some(Transport::Tcp),
            PROTOCOL_UDP => Some(Transport::Udp),
            _ => None,
        }
    }
}

/// A socket that hears the packets of these ports on every interface.
fn listen(ports: &[u16]) -> Result<OwnedFd, Errno> {
    // Protocol 0: it hears nothing before the filter is there.
    // SAFETY: socket(2) takes no pointers.
    let raw = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    Errno::result(raw)?;
    // SAFETY: the descriptor was opened just now, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    socket_filter::attach(&socket, &program(ports))?;
    enlarge_buffer(&socket);
    // SAFETY: `sockaddr_ll` is made of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: the pointer is to the `sockaddr_ll` above, alive and of the size that is told.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    Errno::result(bound)?;
    Ok(socket)
}

/// Root may have more than the usual limit; a smaller buffer works as well.
fn enlarge_buffer(socket: &OwnedFd) {
    let bytes = RECEIVE_BUFFER_BYTES;
    // SAFETY: the option's value is the integer above, of the size that is told.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}

/// One packet and where it came by; the length may exceed the buffer.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Option<(usize, libc::sockaddr_ll)> {
    // SAFETY: `sockaddr_ll` is made of integers, for which zero is a value.
    let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut from_bytes = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the buffer and the address are alive, writable, and of the sizes that are told.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            (&raw mut from).cast(),
            &raw mut from_bytes,
        )
    };
    usize::try_from(received).ok().map(|length| (length, from))
}

/// TCP and UDP from or to the ports between the lowest and the highest of these, and ICMP errors.
fn program(ports: &[u16]) -> Vec<Instruction> {
    let low = u32::from(ports.iter().copied().min().unwrap_or(0));
    let high = u32::from(ports.iter().copied().max().unwrap_or(0));
    let load_byte = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    let load_half = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    let load_byte_behind = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
    let load_half_behind = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
    let load_header_bytes = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
    let load_index = libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM;
    let shift_right = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let not_below = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    let above = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
    let any_bit = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    let end = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt, jf, k| Instruction {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // Jumps count the instructions that are passed over.
    vec![
        // 0: which IP?
        step(load_byte, 0, 0, 0),
        step(shift_right, 0, 0, 4),
        step(equal, 1, 0, 4),
        step(equal, 9, 25, 6),
        // 4: IPv4; a later fragment has no ports.
        step(load_half, 0, 0, 6),
        step(any_bit, 23, 0, 0x1fff),
        step(load_header_bytes, 0, 0, 0),
        step(load_byte, 0, 0, 9),
        step(equal, 12, 0, u32::from(PROTOCOL_TCP)),
        step(equal, 11, 0, u32::from(PROTOCOL_UDP)),
        step(equal, 0, 18, u32::from(PROTOCOL_ICMP)),
        step(load_byte_behind, 0, 0, 0),
        step(equal, 15, 16, 3),
        // 13: IPv6
        step(load_index, 0, 0, IPV6_HEADER_BYTES as u32),
        step(load_byte, 0, 0, 6),
        step(equal, 5, 0, u32::from(PROTOCOL_TCP)),
        step(equal, 4, 0, u32::from(PROTOCOL_UDP)),
        step(equal, 0, 11, u32::from(PROTOCOL_ICMPV6)),
        step(load_byte_behind, 0, 0, 0),
        step(equal, 8, 9, 1),
        // 20: never reached
        step(end, 0, 0, 0),
        // 21: the source port, or the destination port
        step(load_half_behind, 0, 0, 0),
        step(not_below, 0, 1, low),
        step(above, 0, 4, high),
        step(load_half_behind, 0, 0, 2),
        step(not_below, 0, 3, low),
        step(above, 2, 1, high),
        step(end, 0, 0, 0),
        // 28: kept
        step(end, 0, 0, PACKET_BYTES_MAX as u32),
        // 29: not kept
        step(end, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel does (linux/filter.h), for the instructions it is made of.
    fn keeps(program: &[Instruction], packet: &[u8]) -> bool {
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
        let byte = |at: u32| packet.get(at as usize).map(|byte| u32::from(*byte));
        let half = |at: u32| Some(byte(at)? << 8 | byte(at + 1)?);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            let code = u32::from(code);
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            let loaded = match code {
                0x30 => byte(k),
                0x28 => half(k),
                0x50 => byte(x + k),
                0x48 => half(x + k),
                0xb1 => byte(k).map(|byte| {
                    x = (byte & 0xf) * 4;
                    a
                }),
                0x01 => {
                    x = k;
                    Some(a)
                }
                0x74 => Some(a >> k),
                0x15 => {
                    at += jump(a == k);
                    Some(a)
                }
                0x35 => {
                    at += jump(a >= k);
                    Some(a)
                }
                0x25 => {
                    at += jump(a > k);
                    Some(a)
                }
                0x45 => {
                    at += jump(a & k != 0);
                    Some(a)
                }
                0x06 => return k > 0,
                other => panic!("instruction {other:#x}"),
            };
            match loaded {
                Some(value) => a = value,
                None => return false,
            }
        }
    }

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        packet.extend(payload);
        packet
    }

    fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
        packet.extend([0xfd; 16]);
        packet.extend([0xfe; 16]);
        packet.extend(payload);
        packet
    }

    fn ports(source: u16, destination: u16) -> Vec<u8> {
        let mut payload = source.to_be_bytes().to_vec();
        payload.extend(destination.to_be_bytes());
        payload.extend([0; 16]);
        payload
    }

    #[test]
    fn what_has_passed_can_be_taken_at_once() {
        const PORT: u16 = 11_211;
        let endpoint = Endpoint {
            address: model::Address::from_ip(Ipv4Addr::LOCALHOST.into()),
            port: PORT,
            transport: Transport::Udp,
        };
        testkit::Namespace::new().inside(|| {
            let tap = Tap::open(&[PORT]).expect("root");
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
            for round in 0..100 {
                let sent = socket.send_to(b"version", (Ipv4Addr::LOCALHOST, PORT));
                assert_eq!(sent.expect("to send"), 7);
                let taken = tap.take(&endpoint);
                let outbound = taken.iter().filter(|frame| frame.outbound);
                assert_eq!(outbound.count(), 1, "round {round}");
            }
        });
    }

    #[test]
    fn packets_belong_to_their_endpoints() {
        let here: IpAddr = "10.0.0.1".parse().unwrap();
        let there: IpAddr = "10.0.0.2".parse().unwrap();
        let quote = |kind: u8| {
            let mut error = vec![kind, 3, 0, 0, 0, 0, 0, 0];
            error.extend(ipv4(17, &ports(40_000, 11_211)));
            error
        };
        let mut fragment = ipv4(17, &ports(40_000, 11_211));
        fragment[7] = 9;
        type Case = (&'static str, Vec<u8>, Option<(Key, bool)>);
        let cases: &[Case] = &[
            (
                "question",
                ipv4(6, &ports(40_000, 11_211)),
                Some(((there, 11_211, Transport::Tcp), true)),
            ),
            (
                "answer",
                ipv4(17, &ports(11_213, 40_000)),
                Some(((here, 11_213, Transport::Udp), false)),
            ),
            (
                "IPv6 answer",
                ipv6(6, &ports(11_211, 40_000)),
                Some(((IpAddr::from([0xfd; 16]), 11_211, Transport::Tcp), false)),
            ),
            (
                "ICMP error",
                ipv4(1, &quote(3)),
                Some(((there, 11_211, Transport::Udp), false)),
            ),
            (
                "ICMPv6 error",
                ipv6(58, &quote(1)),
                Some(((there, 11_211, Transport::Udp), false)),
            ),
            ("echo", ipv4(1, &quote(8)), None),
            ("other ports", ipv4(6, &ports(40_000, 80)), None),
            ("between the ports", ipv4(6, &ports(40_000, 11_212)), None),
            ("another protocol", ipv4(47, &ports(11_211, 11_211)), None),
            ("later fragment", fragment, None),
            ("no IP", vec![0x15; 40], None),
            ("cut", ipv4(6, &[0x2b]), None),
            ("empty", Vec::new(), None),
        ];
        let wanted = [11_211, 11_213];
        let program = program(&wanted);
        let wanted: HashSet<u16> = wanted.into_iter().collect();
        for (name, packet, expect) in cases {
            let heard = keeps(&program, packet)
                .then(|| endpoint_of(packet, &wanted))
                .flatten();
            assert_eq!(heard, *expect, "{name}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let frame = |length: usize| CapturedFrame {
            timestamp: SystemTime::UNIX_EPOCH,
            interface: "v0".into(),
            layer: CaptureLayer::Bare,
            outbound: true,
            bytes: vec![0; length],
            length_bytes: 0,
        };
        let key = |host: u32| -> Key { (Ipv4Addr::from(host).into(), 11_211, Transport::Tcp) };
        let mut kept = Kept::default();
        let endpoints = 2 * (KEPT_BYTES_MAX / ENDPOINT_BYTES_MAX) as u32;
        for host in 0..endpoints {
            for _ in 0..5 {
                kept.add(key(host), frame(ENDPOINT_BYTES_MAX / 4));
            }
        }
        assert!(kept.bytes <= KEPT_BYTES_MAX);
        assert!(kept.take(key(0)).is_empty());
        assert_eq!(kept.take(key(endpoints - 1)).len(), 3);
        assert!(kept.take(key(endpoints - 1)).is_empty());
    }
}
