//! The program against what it stands for: its frames are those of `sweep`, in the order of
//! `targets`, to nobody else; and of what comes back it hands on what is ours.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use model::{Contact, IcmpError, MacAddress, Refusal};
use sweep::cookie::CookieKey;
use sweep::frame::{FRAME_BYTES_MAX, Probe, emit};
use sweep::reach::{Framing, Hop, Reach, Stretch, Way};
use sweep::reply::{Checked, Heard, LinkLayer, Verifier};
use sweep::schedule::Stint;
use sweep::strays::Proof;
use targets::{AddressRange, Day, Order, Permit, Scope, Selection, SelectionBuilder, Shard};
use testkit::Namespace;

use super::*;
use crate::engine::Receive;
use crate::lab::{self, Lab, Tap, become_nobody, inside, interface, ports, range};

const OWN: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

/// A pair of namespaces whose far end takes live frames.
fn lab() -> Lab {
    let lab = Lab::new();
    // veth takes bare frames only where somebody polls for them: NAPI comes with GRO.
    lab.far.run("ethtool -K far0 gro on");
    lab
}

fn select(build: impl FnOnce(&mut SelectionBuilder)) -> Selection {
    let mut selection = SelectionBuilder::new(vec![11211]);
    build(&mut selection);
    selection.build().expect("a selection")
}

fn permit(selection: Selection) -> Permit {
    let today = Day::new(2026, 11, 22).expect("a day");
    let permit = Scope::new(Vec::new(), today).permit(selection);
    permit.expect("private addresses")
}

/// A permit for a range on the usual port.
fn permit_for(range: AddressRange) -> Permit {
    permit(select(|selection| selection.add_ranges(&[range], None)))
}

/// The first addresses of 10.64.0.0/10.
fn first_addresses(count: u32) -> AddressRange {
    let first = Ipv4Addr::new(10, 64, 0, 0);
    let last = Ipv4Addr::from_bits(first.to_bits() + count - 1);
    range(&first.to_string(), &last.to_string())
}

/// A run over some ways; the order goes over all pairs.
struct Run {
    ground: Ground,
    permit: Permit,
    survey: Survey,
}

impl Run {
    /// Two hops: by either neighbour, over the same interface.
    fn new(permit: Permit, interface: Interface, ways: &[(AddressRange, Way)]) -> Run {
        let hops = [2, 3].map(|card| Hop {
            interface: interface.index,
            framing: Framing::Ethernet {
                source: OWN,
                destination: MacAddress([2, 0, 0, 0, 0, card]),
            },
            source: IpAddr::V4(Ipv4Addr::new(10, 63, 0, 1)),
        });
        let ways = ways.iter();
        let stretches = ways.map(|(range, way)| Stretch {
            range: *range,
            way: *way,
        });
        let reach = Reach::new(stretches.collect(), hops.to_vec());
        Run {
            ground: Ground {
                order: Order::new(permit.pairs(), 7, Shard::ALL, 0),
                stream: true,
                datagram: true,
                reach: reach.clone(),
                key: CookieKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]),
                ports: ports(),
            },
            permit,
            survey: Survey {
                reach,
                interfaces: vec![interface],
                neighbours: [(IpAddr::V4(Ipv4Addr::new(10, 63, 0, 2)), OTHER)].into(),
                remarks: Vec::new(),
            },
        }
    }

    /// The simplest run: so many addresses behind one gateway.
    fn simple(lab: &Lab, addresses: u32) -> Run {
        let network = first_addresses(addresses);
        Run::new(
            permit_for(network),
            lab.interface(),
            &[(network, Way::Hop(0))],
        )
    }

    /// The frame of a probe as this process makes it, if a hop reaches it.
    fn frame(&self, counter: u64, stream: bool) -> Option<Vec<u8>> {
        let index = self.ground.order.index_at(counter).expect("in the order");
        let pair = self.permit.selection().pair(index);
        let address = pair.address.ip().expect("an address");
        let hop = self.ground.reach.hop(self.ground.reach.way(address))?;
        let probe = Probe {
            address,
            port: pair.port,
            stream,
        };
        let mut buffer = [0xaa; FRAME_BYTES_MAX];
        let length = emit(
            &probe,
            hop,
            &self.ground.key,
            &self.ground.ports,
            &mut buffer,
        );
        Some(buffer[..length].to_vec())
    }

    /// The frames of a stint, in order.
    fn frames(&self, from: u64, to: u64) -> Vec<Vec<u8>> {
        let wanted = [self.ground.stream, self.ground.datagram];
        (from..to)
            .flat_map(|counter| [(counter, true), (counter, false)])
            .filter(|(_, stream)| wanted[usize::from(!stream)])
            .filter_map(|(counter, stream)| self.frame(counter, stream))
            .collect()
    }

    fn verifier(&self) -> Verifier<'_> {
        Verifier {
            permit: &self.permit,
            key: &self.ground.key,
            ports: &self.ground.ports,
        }
    }

    fn open(&self, threads: u32) -> Result<Carrier, FramesError> {
        open(&self.ground, &self.permit, &self.survey, threads)
    }
}

fn stint(from: u64, to: u64) -> Stint {
    Stint { from, to, round: 0 }
}

/// A transmitter whose program is attached nowhere, and the bits that it looks at.
fn transmitter(run: &Run) -> (LiveTransmitter, Answered) {
    let apparatus = Apparatus::load(&run.ground, &run.permit).expect("the program is taken");
    let Apparatus {
        program,
        works,
        answered,
        ..
    } = apparatus;
    let processor = transmitter::processors(1).expect("a processor")[0];
    let names = Arc::from(["near0".to_owned()]);
    let both = run.ground.stream && run.ground.datagram;
    let transmitter = LiveTransmitter::new(processor, program, works, names, Arc::default(), both);
    (transmitter.expect("a namespace"), answered)
}

/// Sends some stints and compares what arrives with what is expected, in order.
fn check_sent(lab: &Lab, tap: &Tap, run: &Run, stints: &[(u64, u64)], case: &str) {
    let expected: Vec<Vec<u8>> = stints
        .iter()
        .flat_map(|(from, to)| run.frames(*from, *to))
        .collect();
    let sent: u64 = inside(&lab.near, || {
        let (mut transmitter, _) = transmitter(run);
        let stints = stints.iter().map(|(from, to)| stint(*from, *to));
        let sent = stints.map(|stint| transmitter.transmit(&run.permit, &stint));
        sent.map(|sent| sent.expect("sent")).sum()
    });
    assert_eq!(sent, expected.len() as u64, "{case}");
    let seen = tap.sequence(expected.len());
    for (place, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
        assert_eq!(seen, expected, "{case}: frame {place}");
    }
    assert_eq!(seen.len(), expected.len(), "{case}");
}

#[test]
fn frames_are_those_of_the_sweep_in_its_order() {
    let lab = lab();
    let tap = Tap::open(&lab.far, "far0");
    let mut run = Run::simple(&lab, 4096);
    check_sent(&lab, &tap, &run, &[(0, 4096), (100, 101)], "both");
    for (stream, datagram) in [(true, false), (false, true)] {
        run.ground.stream = stream;
        run.ground.datagram = datagram;
        let case = format!("TCP {stream}, UDP {datagram}");
        check_sent(&lab, &tap, &run, &[(1000, 2000)], &case);
    }
}

#[test]
fn the_order_is_the_same_for_every_count_seed_and_shard() {
    let lab = lab();
    let tap = Tap::open(&lab.far, "far0");
    for count in [1, 2, 3, 5, 10, 255, 256, 257, 1000, 4099] {
        let mut run = Run::simple(&lab, count);
        for (seed, index, of) in [(0, 1, 1), (u64::MAX, 1, 1), (7, 1, 3), (7, 3, 3)] {
            run.ground.order = Order::new(u64::from(count), seed, Shard { index, of }, 0);
            let whole = (0, run.ground.order.len());
            let case = format!("{count} pairs, seed {seed}, shard {index}/{of}");
            check_sent(&lab, &tap, &run, &[whole], &case);
        }
    }
}

#[test]
fn many_millions_of_pairs_on_several_ports_are_found() {
    let lab = lab();
    let tap = Tap::open(&lab.far, "far0");
    let network = range("10.0.0.0", "10.255.255.255");
    let permit = permit(select(|selection| {
        for port in [11211, 11212, 22122] {
            selection.add_ranges(&[network], Some(port));
        }
    }));
    let run = Run::new(permit, lab.interface(), &[(network, Way::Hop(1))]);
    let pairs = run.permit.pairs();
    assert_eq!(pairs, 3 << 24);
    let stints = [
        (0, 500),
        (1_234_567, 1_235_067),
        (pairs / 2, pairs / 2 + 500),
        (pairs - 500, pairs),
    ];
    check_sent(&lab, &tap, &run, &stints, "three ports");
}

#[test]
fn nobody_gets_a_frame_whom_no_hop_reaches_or_who_is_excluded() {
    let lab = lab();
    let tap = Tap::open(&lab.far, "far0");
    let permit = permit(select(|selection| {
        selection.add_ranges(&[range("10.64.0.0", "10.64.3.255")], None);
        selection.add_ranges(&[range("10.64.1.7", "10.64.2.7")], Some(11213));
        selection.add_ranges(&[range("10.99.0.0", "10.99.0.9")], Some(80));
        selection.exclude(&[range("10.64.0.100", "10.64.0.200")]);
        let zoned = "fe80::1".parse().expect("an address");
        selection.add_address(model::Address::Zoned(zoned, "near0".into()), None, None);
    }));
    // The way goes beyond the permit, and is cut where another hop or none begins.
    let ways = [
        (range("10.0.0.0", "10.64.0.49"), Way::Hop(0)),
        (range("10.64.0.50", "10.64.0.50"), Way::Hop(1)),
        (range("10.64.0.51", "10.64.0.60"), Way::Absent),
        (range("10.64.0.61", "10.64.1.255"), Way::Hop(0)),
        (range("10.64.2.3", "10.64.2.5"), Way::Sockets),
        (range("10.64.2.6", "10.64.200.0"), Way::Hop(1)),
    ];
    let mut run = Run::new(permit, lab.interface(), &ways);
    // The last pair is no IP address that frames reach: the order has it, and it is skipped.
    let block_pairs = run.permit.selection().block_pairs();
    assert_eq!(block_pairs + 1, run.permit.pairs());
    let order = run.ground.order.clone();
    let zoned = order.counter_of(block_pairs).expect("in the order");
    let stints = [(0, zoned), (zoned + 1, order.len())];
    check_sent(&lab, &tap, &run, &stints, "without the zoned address");
    let sent = inside(&lab.near, || {
        let (mut transmitter, _) = transmitter(&run);
        transmitter.transmit(&run.permit, &stint(zoned, zoned + 1))
    });
    assert_eq!(sent, Ok(0));
    // Where no segment is left, nothing leaves.
    let nowhere = Reach::new(
        vec![Stretch {
            range: range("10.200.0.0", "10.200.0.255"),
            way: Way::Hop(0),
        }],
        run.ground.reach.hops().to_vec(),
    );
    run.ground.reach = nowhere;
    check_sent(&lab, &tap, &run, &[(0, zoned)], "nowhere");
}

#[test]
fn bits_that_are_set_are_skipped() {
    let lab = lab();
    let tap = Tap::open(&lab.far, "far0");
    let run = Run::simple(&lab, 300);
    let is_open = |counter: u64, stream| (counter * 7 + u64::from(stream)) & 3 != 0;
    let all = (0..300).flat_map(|counter| [(counter, true), (counter, false)]);
    let sent = inside(&lab.near, || {
        let (mut transmitter, answered) = transmitter(&run);
        for (counter, stream) in all
            .clone()
            .filter(|(counter, stream)| !is_open(*counter, *stream))
        {
            answered.set(counter, stream);
        }
        transmitter
            .transmit(&run.permit, &stint(0, 300))
            .expect("sent")
    });
    let expected: Vec<Vec<u8>> = all
        .filter(|(counter, stream)| is_open(*counter, *stream))
        .filter_map(|(counter, stream)| run.frame(counter, stream))
        .collect();
    assert_eq!(sent, expected.len() as u64);
    assert_eq!(tap.sequence(expected.len()), expected);
}

#[test]
fn two_threads_share_the_work() {
    // With a queue for each of them.
    let lab = testkit::Lab::new();
    let tap = Tap::open(&lab.target, testkit::lab::TARGET_INTERFACE);
    let network = first_addresses(2000);
    let run = lab::Run::new(lab0(&lab), &[(network, lab::BY_IPV4)]);
    let sent = lab.scanner.inside(|| {
        let carrier = open(&run.ground, &run.permit, &run.survey, 2);
        lab::send_round(&mut carrier.expect("counters prove it"), &run, 250)
    });
    assert_eq!(sent, 8000);
    let expected = run.frames();
    let mut seen = tap.frames(8000 + u64::from(canary::COUNTED_FRAMES));
    seen.retain(|frame, _| frame[12..14] != canary::ETHERTYPE_ARP.to_be_bytes());
    assert_eq!(seen.len(), expected.len());
    assert!(seen == expected, "the right number, and others");
}

/// The scanner's end of the larger lab.
fn lab0(lab: &testkit::Lab) -> Interface {
    let name = testkit::lab::SCANNER_INTERFACE;
    Interface {
        hardware: Some(OWN),
        ..interface(&lab.scanner, name, LinkLayer::Ethernet)
    }
}

/// What an answer to a probe looks like, from Ethernet on. Checksums are the kernel's business.
fn reply_to(probe: &[u8], transport: &[u8]) -> Vec<u8> {
    let mut frame = [&probe[6..12], &probe[0..6], &probe[12..34], transport].concat();
    frame[26..30].copy_from_slice(&probe[30..34]);
    frame[30..34].copy_from_slice(&probe[26..30]);
    let length = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame.resize(frame.len().max(60), 0);
    frame
}

/// SYN-ACK or RST to a SYN, acknowledging its sequence number and so much.
fn segment_to(probe: &[u8], flags: u8, more: u32) -> Vec<u8> {
    let sequence = u32::from_be_bytes([probe[38], probe[39], probe[40], probe[41]]);
    let mut segment = [&probe[36..38], &probe[34..36], &[9; 4]].concat();
    segment.extend(sequence.wrapping_add(more).to_be_bytes());
    segment.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    reply_to(probe, &segment)
}

/// A datagram from this port with this request id and so many bytes of payload.
fn datagram_to(probe: &[u8], port: &[u8], request_id: [u8; 2], bytes: usize) -> Vec<u8> {
    let mut datagram = [
        port,
        &probe[34..36],
        &[0; 4],
        &request_id,
        &[0, 0, 0, 1, 0, 0],
    ]
    .concat();
    let length = (16 + bytes) as u16;
    datagram[4..6].copy_from_slice(&length.to_be_bytes());
    datagram.resize(16 + bytes, b'V');
    reply_to(probe, &datagram)
}

/// Port unreachable, quoting the probe.
fn error_to(probe: &[u8]) -> Vec<u8> {
    let mut frame = reply_to(probe, &[&[3, 3, 0, 0, 0, 0, 0, 0], &probe[14..58]].concat());
    frame[23] = 1;
    frame
}

/// Everything that the ring has, checked.
fn hear(receiver: &mut dyn Receive, run: &Run, expected: usize) -> Vec<Checked> {
    let mut heard = Vec::new();
    // Ends by itself: a call that brings nothing is the last one.
    loop {
        let before = heard.len();
        let wait = Duration::from_millis(if before < expected { 2000 } else { 0 });
        receiver
            .receive(wait, &mut |frame, layer| {
                assert_eq!(layer, LinkLayer::Ethernet);
                heard.push(run.verifier().check(frame, layer));
            })
            .expect("to hear");
        if heard.len() == before {
            return heard;
        }
    }
}

const SYN_ACK: u8 = 0x12;
const RST_ACK: u8 = 0x14;

/// What becomes of a frame.
#[derive(Clone)]
enum End {
    /// An answer over TCP, or else UDP.
    Answer(bool, Heard),
    Rejected,
    /// It never reaches the ring.
    Unseen,
}

type Case = (&'static str, Vec<u8>, End);

fn segments(syn: &[u8]) -> Vec<Case> {
    let changed = |place: usize, bytes: &[u8]| {
        let mut frame = segment_to(syn, SYN_ACK, 1);
        frame[place..place + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let good = segment_to(syn, SYN_ACK, 1);
    let accepted = End::Answer(true, Heard::Accepted);
    let refused = Heard::Contact(Contact::Refused(Refusal::Reset));
    let reset = segment_to(syn, RST_ACK, 1);
    let wrong_sequence = segment_to(syn, SYN_ACK, 2);
    let other_host = changed(29, &[good[29] ^ 1]);
    let other_port = changed(36, &39_999u16.to_be_bytes());
    vec![
        ("SYN-ACK", good.clone(), accepted),
        ("RST", reset, End::Answer(true, refused)),
        ("wrong sequence", wrong_sequence, End::Rejected),
        ("another host", other_host, End::Rejected),
        ("another port of ours", other_port, End::Unseen),
        ("a fragment", changed(21, &[7]), End::Unseen),
        ("IPv6", changed(12, &[0x86, 0xdd]), End::Unseen),
        ("cut off", good[..40].to_vec(), End::Unseen),
    ]
}

fn datagrams(asked: &[u8]) -> Vec<Case> {
    let answer = || End::Answer(false, Heard::Datagram);
    let (port, id) = (&asked[36..38], [asked[42], asked[43]]);
    let wrong_id = [!id[0], id[1]];
    let own_port = u16::from_be_bytes([asked[34], asked[35]]);
    let proof = ports().place_of(own_port).map(|port_place| Proof {
        request_id: u16::from_be_bytes(wrong_id),
        port_place,
    });
    vec![
        ("datagram", datagram_to(asked, port, id, 8), answer()),
        ("a long one", datagram_to(asked, port, id, 1400), answer()),
        ("another port", datagram_to(asked, &[9, 9], id, 8), answer()),
        (
            "wrong id",
            datagram_to(asked, port, wrong_id, 8),
            End::Answer(false, Heard::Unproven(proof)),
        ),
    ]
}

fn errors(syn: &[u8], asked: &[u8]) -> Vec<Case> {
    let unreachable = |stream| {
        let from = Ipv4Addr::new(syn[30], syn[31], syn[32], syn[33]);
        let icmp = IcmpError {
            from: Some(IpAddr::V4(from)),
            kind: 3,
            code: 3,
        };
        let contact = Contact::Refused(Refusal::PortUnreachable(icmp));
        End::Answer(stream, Heard::Contact(contact))
    };
    let mut other_quote = error_to(syn);
    other_quote[14 + 20 + 8 + 20 + 4] ^= 1;
    vec![
        ("error about TCP", error_to(syn), unreachable(true)),
        ("error about UDP", error_to(asked), unreachable(false)),
        ("error with another quote", other_quote, End::Rejected),
    ]
}

#[test]
fn answers_are_heard_and_forgeries_are_not_believed() {
    let lab = lab();
    let run = Run::simple(&lab, 100);
    let tap = Tap::open(&lab.far, "far0");
    let mut carrier = inside(&lab.near, || run.open(1)).expect("the engine");
    let receiver = carrier.receivers[0].as_mut();
    let syn = run.frame(5, true).expect("a SYN");
    let asked = run.frame(5, false).expect("a datagram");
    let index = run.ground.order.index_at(5).expect("in the order");
    let checked = |end: End| match end {
        End::Answer(stream, heard) => vec![Checked::Answer {
            index,
            stream,
            heard,
        }],
        End::Rejected => vec![Checked::Rejected],
        End::Unseen => Vec::new(),
    };
    let cases = [segments(&syn), datagrams(&asked), errors(&syn, &asked)].concat();
    for (case, frame, end) in cases {
        tap.send(&frame);
        // What comes after it is the proof that it has been looked at.
        tap.send(&segment_to(&syn, SYN_ACK, 1));
        let last = End::Answer(true, Heard::Accepted);
        let expected = [checked(end), checked(last)].concat();
        assert_eq!(hear(receiver, &run, expected.len()), expected, "{case}");
    }
    assert_eq!(receiver.take_lost(), 0);
}

#[test]
fn a_flood_of_forgeries_pushes_out_no_answer_and_what_is_lost_is_counted() {
    /// What a short answer takes in the ring.
    const RECORD_BYTES: usize = 88;
    let lab = lab();
    let run = Run::simple(&lab, 100);
    let tap = Tap::open(&lab.far, "far0");
    let mut carrier = inside(&lab.near, || run.open(1)).expect("the engine");
    let receiver = carrier.receivers[0].as_mut();
    let syn = run.frame(5, true).expect("a SYN");
    let places = RING_BYTES / RECORD_BYTES;
    for _ in 0..places {
        tap.send(&segment_to(&syn, SYN_ACK, 7));
    }
    let answers = 1000;
    for _ in 0..answers {
        tap.send(&segment_to(&syn, SYN_ACK, 1));
    }
    let heard = hear(receiver, &run, places / 2 + answers);
    let rejected = heard.iter().filter(|heard| **heard == Checked::Rejected);
    assert!(rejected.count().abs_diff(places / 2) <= 2);
    let is_answer = |heard: &&Checked| matches!(heard, Checked::Answer { .. });
    assert_eq!(heard.iter().filter(is_answer).count(), answers);
    assert_eq!(receiver.take_lost(), 0);

    let too_many = places + 500;
    for _ in 0..too_many {
        tap.send(&segment_to(&syn, SYN_ACK, 1));
    }
    let heard = hear(receiver, &run, places).len();
    assert_eq!(receiver.take_lost(), (too_many - heard) as u64);
    assert!(heard.abs_diff(places) <= 2, "{heard} of {places}");
    assert_eq!(receiver.take_lost(), 0);
}

/// Whether an XDP program is attached.
fn is_attached(namespace: &Namespace) -> bool {
    namespace.run("ip -details link show near0").contains("xdp")
}

#[test]
fn nothing_stays_behind() {
    let lab = lab();
    let run = Run::simple(&lab, 100);
    let carrier = inside(&lab.near, || run.open(2)).expect("the engine");
    assert!(is_attached(&lab.near));
    drop(carrier);
    assert!(!is_attached(&lab.near));
}

/// Why the engine does not open.
fn refusal(namespace: &Namespace, run: &Run) -> String {
    let opened = inside(namespace, || run.open(1).map(|_| ()));
    opened.expect_err("it does not open").to_string()
}

#[test]
fn a_gateway_that_answers_is_proof_enough() {
    let lab = testkit::Lab::new();
    let lab0 = lab0(&lab);
    let network = first_addresses(100);
    let run = Run::new(permit_for(network), lab0.clone(), &[(network, Way::Hop(0))]);
    let proved = lab.scanner.inside(|| {
        let program = canary::redirecting_program(lab0.index).expect("a program");
        canary::is_answered(&program, &lab0, OWN, &run.survey)
    });
    assert_eq!(proved, Ok(true));
}

#[test]
fn frames_that_vanish_are_noticed() {
    // The far end does not poll: the driver drops live frames.
    let lab = Lab::new();
    let run = Run::simple(&lab, 100);
    let words = refusal(&lab.near, &run);
    assert!(
        words.contains("frames vanish: near0 does not deliver"),
        "{words}"
    );
    assert!(!is_attached(&lab.near));
    let lo = Interface {
        index: LOOPBACK,
        name: "lo".to_owned(),
        hardware: Some(MacAddress([0; 6])),
        layer: LinkLayer::Ethernet,
        mtu_bytes: 65_536,
    };
    let proved = inside(&lab.near, || {
        canary::prove_delivery(&lo, &run.survey, &run.permit)
    });
    let words = proved.expect_err("loopback swallows them").to_string();
    assert!(
        words.contains("frames vanish: lo does not deliver"),
        "{words}"
    );
}

#[test]
fn each_refusal_is_one_line_with_its_mend() {
    let lab = lab();
    let network = first_addresses(100);
    let simple = |change: &dyn Fn(&mut Run)| {
        let mut run = Run::simple(&lab, 100);
        change(&mut run);
        refusal(&lab.near, &run)
    };
    let of_interface =
        |change: &dyn Fn(&mut Interface)| simple(&|run| change(&mut run.survey.interfaces[0]));
    let ipv6 = range("fd00::1", "fd00::2");
    let over_ipv6 = Run::new(
        permit(select(|selection| {
            selection.add_ranges(&[network, ipv6], None)
        })),
        lab.interface(),
        &[(network, Way::Hop(0)), (ipv6, Way::Hop(0))],
    );
    let unprivileged = inside(&lab.near, || {
        let run = Run::simple(&lab, 100);
        become_nobody();
        run.open(1).map(|_| ())
    });
    let occupied = {
        let run = Run::simple(&lab, 100);
        let _first = inside(&lab.near, || run.open(1)).expect("the engine");
        refusal(&lab.near, &run)
    };
    let cases = [
        (
            of_interface(&|interface| interface.layer = LinkLayer::Bare),
            "interface near0 has no Ethernet header; use --engine packet",
        ),
        (
            of_interface(&|interface| interface.index = LOOPBACK),
            "loopback swallows live frames; use --engine packet",
        ),
        (
            refusal(&lab.near, &over_ipv6),
            "it asks no IPv6 address such as fd00::1; use --engine packet",
        ),
        (
            unprivileged.expect_err("nobody may not").to_string(),
            "not permitted; run as root, or once `sudo setcap",
        ),
        (occupied, "the XDP program memsweep_live (id "),
    ];
    for (words, expected) in cases {
        assert!(words.starts_with("live engine: "), "{words}");
        assert!(words.contains(expected), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
    }
}

/// Leaves this thread, and only it, with these capabilities (capabilities(7)) of root's.
fn keep_only(capabilities: &[u32]) {
    /// `_LINUX_CAPABILITY_VERSION_3`, and this thread.
    const HEADER: [u32; 2] = [0x2008_0522, 0];
    let set = capabilities.iter().fold(0u64, |set, bit| set | 1 << bit);
    let halves = [set as u32, (set >> 32) as u32];
    // Effective, permitted and inheritable, the lower halves first.
    let data = halves.map(|half| [half, half, 0]);
    // SAFETY: both are of the layout that this version has, and are only read.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_capset,
            HEADER.as_ptr().cast::<nix::libc::c_void>(),
            data.as_ptr().cast::<nix::libc::c_void>(),
        )
    };
    assert_eq!(result, 0, "{}", Errno::last());
}

#[test]
fn four_capabilities_are_enough() {
    const NET_ADMIN: u32 = 12;
    const NET_RAW: u32 = 13;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;
    let lab = lab();
    let open_with = |capabilities: &[u32]| {
        inside(&lab.near, || {
            let run = Run::simple(&lab, 100);
            keep_only(capabilities);
            run.open(1).map(|_| ())
        })
    };
    assert_eq!(open_with(&[NET_ADMIN, NET_RAW, PERFMON, BPF]), Ok(()));
    let three = open_with(&[NET_ADMIN, NET_RAW, BPF]);
    let words = three.expect_err("the verifier wants more").to_string();
    assert!(words.contains("takes cap_perfmon too"), "{words}");
}

#[test]
fn an_interface_that_goes_down_or_away_ends_the_sending() {
    let lab = lab();
    let run = Run::simple(&lab, 100);
    let mut carrier = inside(&lab.near, || run.open(1)).expect("the engine");
    let mut send = || {
        let transmitter = &mut carrier.transmitters[0];
        inside(&lab.near, || {
            transmitter.transmit(&run.permit, &stint(0, 100))
        })
    };
    assert_eq!(send(), Ok(200));
    let name = "near0".to_owned();
    lab.near.run("ip link set near0 down");
    assert_eq!(
        send(),
        Err(FramesError::InterfaceDown { name: name.clone() })
    );
    lab.near.run("ip link delete near0");
    assert_eq!(send(), Err(FramesError::NoInterface { name }));
}

#[test]
fn nobody_sends_from_another_namespace() {
    let lab = lab();
    let run = Run::simple(&lab, 100);
    let mut carrier = inside(&lab.near, || run.open(1)).expect("the engine");
    let transmitter = &mut carrier.transmitters[0];
    // The far end's namespace has an interface of that number too.
    let sent = inside(&lab.far, || {
        transmitter.transmit(&run.permit, &stint(0, 100))
    });
    let words = sent.expect_err("it is another namespace").to_string();
    assert!(words.contains("another network namespace"), "{words}");
}

#[test]
fn rules_about_memcached_are_noticed_where_packets_leave() {
    let lab = Lab::new();
    let rules = || inside(&lab.near, bypassed_rules);
    assert_eq!(rules(), None);
    lab.near.firewall(
        model::Transport::Udp,
        11211,
        testkit::namespace::Firewall::Drop,
    );
    assert_eq!(rules(), None);
    lab.near
        .nft("add chain inet test output { type filter hook output priority 0 ; }");
    lab.near
        .nft("add rule inet test output udp dport 11000-12000 drop");
    assert_eq!(rules().as_deref(), Some("nft: udp dport 11000-12000 drop"));
    lab.near.nft("delete table inet test");
    assert_eq!(rules(), None);
}

/// Remembers who is to be asked.
#[derive(Default)]
struct Asked {
    indices: std::collections::BTreeSet<u64>,
}

impl crate::Sink for Asked {
    fn ask(&mut self, index: u64, _tcp: bool, _udp: bool, _late: bool) {
        self.indices.insert(index);
    }

    fn seen(&mut self, _index: u64, _fate: crate::Fate, _rtt: Option<Duration>) {}

    fn counted(&mut self, _fate: crate::Fate, _endpoints: u64) {}

    fn progress(&mut self, _progress: &crate::FrameProgress) {}

    fn checkpoint(&mut self, _counter: u64, _open: &[sweep::schedule::OpenRange]) {}

    fn backlog(&self) -> usize {
        0
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

#[test]
fn a_whole_sweep_finds_whoever_answers_and_nobody_else() {
    use testkit::lab::{Fate, Responder};
    let lab = testkit::Lab::new();
    let responder = Responder {
        prefix_bits: 16,
        ..Responder::default()
    };
    lab.respond(&responder);
    let network = range("10.64.0.0", "10.64.255.255");
    let permit = permit_for(network);
    let plan = crate::Plan {
        choice: crate::Choice::Only(EngineKind::Live),
        interface: None,
        threads: 2,
        tcp: true,
        udp: true,
        order: Order::new(permit.pairs(), 7, Shard::ALL, 0),
        again: Vec::new(),
        rate_pps: 1_000_000,
        adaptive: false,
        retries: 2,
        patience: sweep::schedule::Patience::Adaptive,
        deadline: None,
        individually: false,
        key: CookieKey([3, 5]),
    };
    let mut asked = Asked::default();
    let tally = lab.scanner.inside(|| {
        let sweeper = crate::Sweeper::open(plan, &permit, &|| false).expect("the engine");
        sweeper.run(&permit, crate::SharedPace::new(1_000_000), &mut asked)
    });
    let answers = |index: &u64| {
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 64, 0, 0).to_bits() + *index as u32);
        let fate = |transport| responder.fate(address, transport);
        // What answers UDP without our request id is looked at by others.
        fate(model::Transport::Tcp) == Fate::Answers
            || matches!(fate(model::Transport::Udp), Fate::Answers | Fate::Forges)
    };
    let expected: Vec<u64> = (0..permit.pairs()).filter(answers).collect();
    assert!(expected.len() > 1000);
    let found: Vec<u64> = asked.indices.into_iter().collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the right number, and others");
    assert!(tally.complete);
    assert_eq!((tally.error, tally.lost_here), (None, 0));
    assert!(tally.rejected > 100, "{}", tally.rejected);
    assert_eq!(lab.counters().strays, 0);
}
