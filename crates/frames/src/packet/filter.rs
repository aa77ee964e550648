//! The filter of a receiving socket: a classic BPF program that the kernel runs on every frame of
//! the interface, so that only what may answer a probe is copied.
//!
//! It lets through TCP and UDP to one of our source ports, and ICMP errors; the cookie decides
//! about them later, so it may be generous: fragments and IPv6 extension headers are not followed.
//! The kernel takes the outer VLAN tag off a frame before a packet socket sees it; one more is
//! looked behind. A load beyond the frame's end ends the program with "no" (linux/filter.h).

use nix::libc;
use sweep::cookie::SourcePorts;
use sweep::reply::{LOOKED_AT_BYTES, LinkLayer};

use crate::socket_filter::Instruction;

/// EtherType (IEEE 802) of IPv4, IPv6, and the two of VLAN tags.
const TYPE_IPV4: u32 = 0x0800;
const TYPE_IPV6: u32 = 0x86dd;
const TYPE_VLAN: u32 = 0x8100;
const TYPE_VLAN_SERVICE: u32 = 0x88a8;

/// Protocol numbers (IANA), which IPv6 calls next headers.
const PROTOCOL_ICMP: u32 = 1;
const PROTOCOL_TCP: u32 = 6;
const PROTOCOL_UDP: u32 = 17;
const PROTOCOL_ICMPV6: u32 = 58;
/// IPv6 headers that another header follows: hop-by-hop options, routing, destination options.
const EXTENSIONS: [u32; 3] = [0, 43, 60];

/// ICMP errors that quote a packet (RFC 792): unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u32; 3] = [3, 11, 12];
/// The same of ICMPv6 are numbered from 1 (unreachable) to 4 (parameter problem) (RFC 4443).
const ICMPV6_ERROR_LAST: u32 = 4;

const ETHERNET_BYTES: u32 = 14;
const VLAN_BYTES: u32 = 4;

/// What the program does, one instruction each; the accumulator is A, the index register X.
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE_BEHIND_X: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const LOAD_HALF_BEHIND_X: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
/// X becomes the length of the IPv4 header that begins at the operand.
const LOAD_X_HEADER_BYTES: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_ABOVE: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const JUMP_NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program for an interface whose frames begin like this.
pub(super) fn program(layer: LinkLayer, ports: &SourcePorts) -> Vec<Instruction> {
    let mut program = Assembler::default();
    match layer {
        LinkLayer::Ethernet => {
            let tagged = program.label();
            let [ipv4, ipv6] = [program.label(), program.label()];
            let [tagged_ipv4, tagged_ipv6] = [program.label(), program.label()];
            program.then(LOAD_HALF, ETHERNET_BYTES - 2);
            program.if_then(JUMP_EQUAL, TYPE_IPV4, ipv4);
            program.if_then(JUMP_EQUAL, TYPE_IPV6, ipv6);
            program.if_then(JUMP_EQUAL, TYPE_VLAN, tagged);
            program.if_else(JUMP_EQUAL, TYPE_VLAN_SERVICE, tagged, DROP);
            program.place(tagged);
            program.then(LOAD_HALF, ETHERNET_BYTES + VLAN_BYTES - 2);
            program.if_then(JUMP_EQUAL, TYPE_IPV4, tagged_ipv4);
            program.if_else(JUMP_EQUAL, TYPE_IPV6, tagged_ipv6, DROP);
            for (ipv4, ipv6, begin) in [
                (ipv4, ipv6, ETHERNET_BYTES),
                (tagged_ipv4, tagged_ipv6, ETHERNET_BYTES + VLAN_BYTES),
            ] {
                program.place(ipv4);
                check_ipv4(&mut program, begin);
                program.place(ipv6);
                check_ipv6(&mut program, begin);
            }
        }
        LinkLayer::Bare => {
            let ipv6 = program.label();
            let ipv4 = program.label();
            program.then(LOAD_BYTE, 0);
            program.then(SHIFT_RIGHT, 4);
            program.if_then(JUMP_EQUAL, 4, ipv4);
            program.if_else(JUMP_EQUAL, 6, ipv6, DROP);
            program.place(ipv4);
            check_ipv4(&mut program, 0);
            program.place(ipv6);
            check_ipv6(&mut program, 0);
        }
    }
    program.place(PORTS);
    check_port(&mut program, ports);
    program.place(DROP);
    program.then(RETURN, 0);
    program.place(ACCEPT);
    program.then(RETURN, LOOKED_AT_BYTES as u32);
    program.finish()
}

/// Judges the IPv4 packet that begins here.
fn check_ipv4(program: &mut Assembler, begin: u32) {
    const FRAGMENT_OFFSET_BITS: u32 = 0x1fff;
    let with_ports = program.label();
    program.then(LOAD_HALF, begin + 6);
    program.if_then(JUMP_ANY_BIT, FRAGMENT_OFFSET_BITS, DROP);
    program.then(LOAD_BYTE, begin + 9);
    program.if_then(JUMP_EQUAL, PROTOCOL_TCP, with_ports);
    program.if_then(JUMP_EQUAL, PROTOCOL_UDP, with_ports);
    let icmp = program.label();
    program.if_else(JUMP_EQUAL, PROTOCOL_ICMP, icmp, DROP);
    program.place(icmp);
    program.then(LOAD_X_HEADER_BYTES, begin);
    program.then(LOAD_BYTE_BEHIND_X, begin);
    for kind in ICMP_ERRORS {
        program.if_then(JUMP_EQUAL, kind, ACCEPT);
    }
    program.jump(DROP);
    program.place(with_ports);
    program.then(LOAD_X_HEADER_BYTES, begin);
    program.then(LOAD_HALF_BEHIND_X, begin + 2);
    program.jump(PORTS);
}

/// Judges the IPv6 packet that begins here.
fn check_ipv6(program: &mut Assembler, begin: u32) {
    const HEADER_BYTES: u32 = 40;
    let [with_ports, icmp] = [program.label(), program.label()];
    program.then(LOAD_BYTE, begin + 6);
    program.if_then(JUMP_EQUAL, PROTOCOL_TCP, with_ports);
    program.if_then(JUMP_EQUAL, PROTOCOL_UDP, with_ports);
    program.if_then(JUMP_EQUAL, PROTOCOL_ICMPV6, icmp);
    for extension in EXTENSIONS {
        program.if_then(JUMP_EQUAL, extension, ACCEPT);
    }
    program.jump(DROP);
    program.place(icmp);
    program.then(LOAD_BYTE, begin + HEADER_BYTES);
    program.if_then(JUMP_EQUAL, 0, DROP);
    program.if_else(JUMP_ABOVE, ICMPV6_ERROR_LAST, DROP, ACCEPT);
    program.place(with_ports);
    program.then(LOAD_HALF, begin + HEADER_BYTES + 2);
    program.jump(PORTS);
}

/// Judges the destination port in A: first by the span of our ports, because nearly all traffic of
/// others is outside of it, then port by port unless ours fill the span.
fn check_port(program: &mut Assembler, ports: &SourcePorts) {
    let mut ports = ports.0;
    ports.sort_unstable();
    let [first, .., last] = ports;
    let in_span = program.label();
    program.if_else(JUMP_NOT_BELOW, first.into(), in_span, DROP);
    program.place(in_span);
    program.if_then(JUMP_ABOVE, last.into(), DROP);
    let fill_the_span = ports.windows(2).all(|pair| pair[1] == pair[0] + 1);
    if fill_the_span {
        program.jump(ACCEPT);
    } else {
        for port in ports {
            program.if_then(JUMP_EQUAL, port.into(), ACCEPT);
        }
    }
}

/// A place in the program that may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

/// The places that every program has.
const PORTS: Label = Label(0);
const DROP: Label = Label(1);
const ACCEPT: Label = Label(2);
const FIXED_LABELS: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Line {
    code: u32,
    operand: u32,
    /// Where to go on if the test holds, and if not; `None` = with the next line.
    yes: Option<Label>,
    no: Option<Label>,
}

/// Collects lines, and puts distances in place of labels at the end.
#[derive(Debug)]
struct Assembler {
    lines: Vec<Line>,
    places: Vec<Option<usize>>,
}

impl Default for Assembler {
    fn default() -> Assembler {
        Assembler {
            lines: Vec::new(),
            places: vec![None; FIXED_LABELS],
        }
    }
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label means the next line.
    fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.lines.len());
    }

    fn then(&mut self, code: u32, operand: u32) {
        self.push(code, operand, None, None);
    }

    fn if_then(&mut self, test: u32, operand: u32, yes: Label) {
        self.push(test, operand, Some(yes), None);
    }

    fn if_else(&mut self, test: u32, operand: u32, yes: Label, no: Label) {
        self.push(test, operand, Some(yes), Some(no));
    }

    fn jump(&mut self, to: Label) {
        self.push(JUMP, 0, Some(to), None);
    }

    fn push(&mut self, code: u32, operand: u32, yes: Option<Label>, no: Option<Label>) {
        self.lines.push(Line {
            code,
            operand,
            yes,
            no,
        });
    }

    /// # Panics
    ///
    /// If a label was never placed, or is behind the jump or too far from it: the programs are
    /// fixed but for the ports, and tests make them all.
    fn finish(self) -> Vec<Instruction> {
        let distance = |from: usize, label: Option<Label>| -> usize {
            let to = label.map_or(Some(from + 1), |label| self.places[label.0]);
            let to = to.expect("every label is placed");
            to.checked_sub(from + 1)
                .expect("classic BPF jumps forward only")
        };
        let short = |distance: usize| u8::try_from(distance).expect("within 255 lines");
        let lines = self.lines.iter().enumerate();
        lines
            .map(|(from, line)| {
                let yes = distance(from, line.yes);
                let is_jump = line.code == JUMP;
                Instruction {
                    code: line.code as u16,
                    jt: if is_jump { 0 } else { short(yes) },
                    jf: if is_jump {
                        0
                    } else {
                        short(distance(from, line.no))
                    },
                    k: if is_jump { yes as u32 } else { line.operand },
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

    use super::*;
    use crate::socket_filter::attach;

    /// Our ports: in a row with a step of 1, with others' between them with more.
    fn ports(step: u16) -> SourcePorts {
        SourcePorts(std::array::from_fn(|place| 40_000 + place as u16 * step))
    }

    /// How many bytes the kernel lets through, asked by a datagram between two sockets of ours.
    fn passed_bytes(frame: &[u8], layer: LinkLayer, ports: &SourcePorts) -> usize {
        let (near, far) = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::empty(),
        )
        .unwrap();
        attach(&far, &program(layer, ports)).unwrap();
        send(near.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
        let mut buffer = [0; 2048];
        recv(far.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT).unwrap_or(0)
    }

    /// An IPv4 packet whose header has `words` of 4 bytes.
    fn ipv4(protocol: u8, words: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; usize::from(words) * 4];
        packet[0] = 0x40 | words;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet.extend_from_slice(payload);
        packet
    }

    fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[6] = next_header;
        packet.extend_from_slice(payload);
        packet
    }

    /// A TCP or UDP header of which only the ports matter.
    fn to_port(port: u16) -> Vec<u8> {
        let mut header = vec![0x2b, 0xcb];
        header.extend_from_slice(&port.to_be_bytes());
        header.resize(20, 0);
        header
    }

    /// The packets, and whether they may answer a probe from `ports(2)`.
    fn packets() -> Vec<(&'static str, u16, Vec<u8>, bool)> {
        let ours = to_port(40_126);
        const V4: u16 = 0x0800;
        const V6: u16 = 0x86dd;
        vec![
            ("tcp", V4, ipv4(6, 5, 0x4000, &ours), true),
            ("udp", V4, ipv4(17, 5, 0, &ours), true),
            ("options", V4, ipv4(6, 15, 0, &ours), true),
            ("first port", V4, ipv4(6, 5, 0, &to_port(40_000)), true),
            ("a port between", V4, ipv4(6, 5, 0, &to_port(40_001)), false),
            ("a port below", V4, ipv4(6, 5, 0, &to_port(39_999)), false),
            ("a port above", V4, ipv4(6, 5, 0, &to_port(40_127)), false),
            ("a later fragment", V4, ipv4(6, 5, 0x2001, &ours), false),
            ("another protocol", V4, ipv4(47, 5, 0, &ours), false),
            ("icmp unreachable", V4, ipv4(1, 5, 0, &[3, 3, 0, 0]), true),
            ("icmp time exceeded", V4, ipv4(1, 6, 0, &[11, 0]), true),
            ("icmp echo", V4, ipv4(1, 5, 0, &[0, 0]), false),
            ("cut off", V4, ipv4(6, 5, 0, &ours[..3]), false),
            ("tcp 6", V6, ipv6(6, &ours), true),
            ("udp 6", V6, ipv6(17, &ours), true),
            ("a port between 6", V6, ipv6(17, &to_port(40_001)), false),
            ("icmpv6 unreachable", V6, ipv6(58, &[1, 4]), true),
            ("icmpv6 parameter problem", V6, ipv6(58, &[4, 0]), true),
            ("icmpv6 echo reply", V6, ipv6(58, &[129, 0]), false),
            ("icmpv6 reserved", V6, ipv6(58, &[0, 0]), false),
            ("neighbour solicitation", V6, ipv6(58, &[135, 0]), false),
            ("an extension header", V6, ipv6(60, &ours), true),
            ("no next header", V6, ipv6(59, &ours), false),
            ("arp", 0x0806, vec![0; 28], false),
        ]
    }

    #[test]
    fn only_what_may_answer_passes() {
        for (name, ether_type, packet, expect) in packets() {
            let tag: &[u8] = &[0x81, 0x00, 0x00, 0x05];
            let service_tag: &[u8] = &[0x88, 0xa8, 0x00, 0x05];
            for tag in [&[], tag, service_tag] {
                let mut frame = vec![2; 12];
                frame.extend_from_slice(tag);
                frame.extend_from_slice(&ether_type.to_be_bytes());
                frame.extend_from_slice(&packet);
                let passed = passed_bytes(&frame, LinkLayer::Ethernet, &ports(2));
                assert_eq!(passed > 0, expect, "{name}, tag {tag:?}");
            }
            let passed = passed_bytes(&packet, LinkLayer::Bare, &ports(2));
            assert_eq!(passed > 0, expect, "{name}, bare");
        }
    }

    #[test]
    fn ports_in_a_row_are_a_span() {
        let cases = [
            (39_999, false),
            (40_000, true),
            (40_063, true),
            (40_064, false),
        ];
        for (port, expect) in cases {
            let packet = ipv4(17, 5, 0, &to_port(port));
            let passed = passed_bytes(&packet, LinkLayer::Bare, &ports(1));
            assert_eq!(passed > 0, expect, "{port}");
        }
    }

    #[test]
    fn a_frame_is_cut_to_what_is_looked_at() {
        let mut packet = ipv4(17, 5, 0, &to_port(40_000));
        packet.resize(1_400, 0);
        assert_eq!(
            passed_bytes(&packet, LinkLayer::Bare, &ports(1)),
            LOOKED_AT_BYTES
        );
    }
}
