//! Whole sweeps through an engine that is only memory, against a network with known truth.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use model::{IcmpError, Refusal};
use sweep::cookie::{CookieKey, SourcePorts};
use sweep::frame::{FRAME_BYTES_MAX, Probe, emit};
use sweep::reach::{Framing, Hop, Stretch};
use sweep::reply::LinkLayer;
use sweep::schedule::Patience;
use targets::{AddressRange, Day, Scope, SelectionBuilder, Shard};

use super::*;
use crate::{Choice, EngineKind};

const PORT: u16 = 11_211;
const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// An address that is not asked.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);
const KEY: CookieKey = CookieKey([1, 2]);

/// What an address of the made-up network does, by its last bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Accepts TCP, answers UDP.
    Open,
    /// Accepts TCP, is silent over UDP.
    Stream,
    /// Answers UDP, resets TCP.
    Datagram,
    /// Resets TCP, ICMP port unreachable over UDP.
    Closed,
    /// A router says that there is no such host.
    Missing,
    /// Answers UDP, from another address: one that is asked from the same port, if there is one.
    Elsewhere,
    Silent,
}

fn nature(address: Ipv4Addr) -> Nature {
    match address.octets()[3] % 16 {
        0 => Nature::Open,
        1 => Nature::Stream,
        2 => Nature::Datagram,
        3 | 4 => Nature::Closed,
        5 => Nature::Missing,
        7 => Nature::Elsewhere,
        _ => Nature::Silent,
    }
}

/// The network: what was sent into it, and what is on its way back.
#[derive(Default)]
struct Net {
    sent: BTreeMap<(Ipv4Addr, bool), u32>,
    back: VecDeque<Vec<u8>>,
    /// Frames that still get through before the interface goes down.
    frames_left: Option<u64>,
    /// Whether the first probe to every other address is lost.
    loses_first: bool,
    /// How long each stint keeps its transmitter from the next one.
    delay: Duration,
    /// Frames of the longest stint.
    stint_frames_max: u64,
}

impl Net {
    fn take(&mut self, packet: &[u8]) {
        let address = Ipv4Addr::from([packet[16], packet[17], packet[18], packet[19]]);
        let stream = packet[9] == 6;
        let sends = self.sent.entry((address, stream)).or_default();
        *sends += 1;
        if self.loses_first && *sends == 1 && address.octets()[2] % 2 == 0 {
            return;
        }
        let reply = match (nature(address), stream) {
            (Nature::Open | Nature::Stream, true) => Some(segment(packet, 0x12)),
            (Nature::Datagram | Nature::Closed, true) => Some(segment(packet, 0x14)),
            (Nature::Open | Nature::Datagram, false) => Some(version(packet)),
            (Nature::Closed, false) => Some(error(packet, 3)),
            (Nature::Missing, _) => Some(error(packet, 1)),
            (Nature::Elsewhere, false) => {
                let mut reply = version(packet);
                let port = u16::from_be_bytes([packet[20], packet[21]]);
                reply[12..16].copy_from_slice(&preferred(port).octets());
                Some(reply)
            }
            (Nature::Stream, false) | (Nature::Silent | Nature::Elsewhere, _) => None,
        };
        // Everything comes twice, as a chatty network would have it.
        self.back.extend(reply.iter().cloned());
        self.back.extend(reply);
    }
}

fn source_ports() -> SourcePorts {
    SourcePorts(std::array::from_fn(|place| 40_000 + place as u16))
}

/// Who answers UDP and is asked from this port; somebody whom nobody asks, if there is none.
fn preferred(own_port: u16) -> Ipv4Addr {
    (0..0x300)
        .map(address_of)
        .filter(|address| matches!(nature(*address), Nature::Open | Nature::Datagram))
        .find(|address| {
            let cookie = KEY.cookie((*address).into(), PORT, false);
            source_ports().of(&cookie) == own_port
        })
        .unwrap_or(NOBODY)
}

fn header(from: &[u8], to: &[u8], protocol: u8, carried: &[u8]) -> Vec<u8> {
    let length = (20 + carried.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(carried);
    packet
}

fn segment(probe: &[u8], flags: u8) -> Vec<u8> {
    let sequence = u32::from_be_bytes([probe[24], probe[25], probe[26], probe[27]]);
    let mut carried = [&probe[22..24], &probe[20..22], &[0, 0, 0, 9]].concat();
    carried.extend(sequence.wrapping_add(1).to_be_bytes());
    carried.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    header(&probe[16..20], &probe[12..16], 6, &carried)
}

fn version(probe: &[u8]) -> Vec<u8> {
    let mut carried = [&probe[22..24], &probe[20..22], &[0, 32, 0, 0]].concat();
    carried.extend(&probe[28..36]);
    carried.extend(b"VERSION 1.5.5\r\n");
    header(&probe[16..20], &probe[12..16], 17, &carried)
}

fn error(probe: &[u8], code: u8) -> Vec<u8> {
    let mut carried = vec![3, code, 0, 0, 0, 0, 0, 0];
    carried.extend(&probe[..28]);
    header(&[10, 9, 0, 254], &probe[12..16], 1, &carried)
}

/// Sends into memory.
struct ToNet<'a> {
    ground: &'a Ground,
    answered: Answered,
    net: &'static Mutex<Net>,
}

/// What the transmitters of these tests need; leaked, because threads outlive no borrow here.
struct Ground {
    order: Order,
    tcp: bool,
    udp: bool,
    reach: Reach,
    ports: SourcePorts,
}

impl Transmit for ToNet<'static> {
    fn transmit(&mut self, permit: &Permit, stint: &Stint) -> Result<u64, FramesError> {
        let mut frames = 0;
        let mut buffer = [0xaa; FRAME_BYTES_MAX];
        for counter in stint.from..stint.to {
            let pair = permit
                .selection()
                .pair(self.ground.order.index_at(counter).unwrap());
            let address = pair.address.ip().unwrap();
            let Some(hop) = self.ground.reach.hop(self.ground.reach.way(address)) else {
                continue;
            };
            for stream in [true, false] {
                let wanted = if stream {
                    self.ground.tcp
                } else {
                    self.ground.udp
                };
                if !wanted || self.answered.is_set(counter, stream) {
                    continue;
                }
                let mut net = self.net.lock().unwrap();
                if let Some(left) = net.frames_left.as_mut() {
                    if *left == 0 {
                        return Err(FramesError::InterfaceDown { name: "v0".into() });
                    }
                    *left -= 1;
                }
                let probe = Probe {
                    address,
                    port: pair.port,
                    stream,
                };
                let length = emit(&probe, hop, &KEY, &self.ground.ports, &mut buffer);
                net.take(&buffer[..length]);
                frames += 1;
            }
        }
        let mut net = self.net.lock().unwrap();
        net.stint_frames_max = net.stint_frames_max.max(frames);
        let delay = net.delay;
        drop(net);
        std::thread::sleep(delay);
        Ok(frames)
    }
}

struct FromNet(&'static Mutex<Net>);

impl Receive for FromNet {
    fn receive(
        &mut self,
        _wait: Duration,
        take: &mut dyn FnMut(&[u8], LinkLayer),
    ) -> Result<(), FramesError> {
        let back = std::mem::take(&mut self.0.lock().unwrap().back);
        for frame in &back {
            take(frame, LinkLayer::Bare);
        }
        if back.is_empty() {
            thread::yield_now();
        }
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        0
    }
}

/// Everything that was told, by address.
#[derive(Default)]
struct Told {
    asked: BTreeMap<u64, (bool, bool)>,
    /// Whoever is asked although silence was told of them, with the transports.
    late: Vec<(u64, bool, bool)>,
    seen: BTreeMap<(u64, bool), Contact>,
    /// Pairs of which silence was told, in that order.
    silent: Vec<u64>,
    counted: BTreeMap<(bool, String), u64>,
    stop_after_asks: Option<usize>,
    /// Done once, when silence is counted.
    on_silence: Option<Box<dyn FnOnce() + Send>>,
}

impl Sink for Told {
    fn ask(&mut self, index: u64, tcp: bool, udp: bool, late: bool) {
        if late {
            return self.late.push((index, tcp, udp));
        }
        let before = self.asked.insert(index, (tcp, udp));
        assert_eq!(before, None, "pair {index} was handed on twice");
    }

    fn seen(&mut self, index: u64, fate: Fate, _rtt: Option<Duration>) {
        let key = (index, fate.transport == Transport::Tcp);
        if fate.contact == Contact::Silent {
            self.silent.push(index);
        }
        let before = self.seen.insert(key, fate.contact);
        assert_eq!(before, None, "endpoint {key:?} was told of twice");
    }

    fn counted(&mut self, fate: Fate, endpoints: u64) {
        let key = (fate.transport == Transport::Tcp, name_of(&fate.contact));
        *self.counted.entry(key).or_default() += endpoints;
        if fate.contact == Contact::Silent
            && let Some(done) = self.on_silence.take()
        {
            done();
        }
    }

    fn progress(&mut self, _progress: &FrameProgress) {}

    fn checkpoint(&mut self, _counter: u64, _open: &[OpenRange]) {}

    fn backlog(&self) -> usize {
        0
    }

    fn is_stopped(&self) -> bool {
        self.stop_after_asks
            .is_some_and(|asks| self.asked.len() >= asks)
    }
}

fn name_of(contact: &Contact) -> String {
    match contact {
        Contact::Silent => "silent",
        Contact::Refused(Refusal::Reset) => "reset",
        Contact::Refused(Refusal::PortUnreachable(IcmpError { .. })) => "port unreachable",
        Contact::Unreachable(_) => "unreachable",
        _ => "else",
    }
    .to_owned()
}

/// A run over 10.8.0.0/22, whose last /24 is for ordinary sockets, and 10.8.4.0/28, where nobody is.
struct World {
    permit: Permit,
    plan: Plan,
    net: Net,
}

fn world(named: &[&str]) -> World {
    let mut builder = SelectionBuilder::new(vec![PORT]);
    let range = |first: [u8; 4], last: [u8; 4]| {
        AddressRange::new(IpAddr::from(first), IpAddr::from(last)).unwrap()
    };
    builder.add_ranges(&[range([10, 8, 0, 0], [10, 8, 4, 15])], None);
    for address in named {
        let address: IpAddr = address.parse().unwrap();
        builder.add_address(model::Address::from_ip(address), None, None);
    }
    let today = Day::new(2026, 2, 14).unwrap();
    let permit = Scope::new(Vec::new(), today)
        .permit(builder.build().unwrap())
        .unwrap();
    let order = Order::new(permit.pairs(), 7, Shard::ALL, 0);
    let plan = Plan {
        choice: Choice::Only(EngineKind::Packet),
        interface: None,
        threads: 2,
        tcp: true,
        udp: true,
        order,
        again: Vec::new(),
        rate_pps: 10_000_000,
        adaptive: false,
        retries: 1,
        patience: Patience::Fixed(Duration::from_millis(100)),
        deadline: None,
        individually: false,
        key: KEY,
    };
    World {
        permit,
        plan,
        net: Net::default(),
    }
}

fn reach() -> Reach {
    let stretch = |first: [u8; 4], last: [u8; 4], way| Stretch {
        range: AddressRange::new(IpAddr::from(first), IpAddr::from(last)).unwrap(),
        way,
    };
    let hop = Hop {
        interface: 2,
        framing: Framing::Bare,
        source: HERE.into(),
    };
    Reach::new(
        vec![
            stretch([10, 8, 0, 0], [10, 8, 2, 255], Way::Hop(0)),
            stretch([10, 8, 3, 0], [10, 8, 3, 255], Way::Sockets),
            stretch([10, 8, 4, 0], [10, 8, 4, 15], Way::Absent),
        ],
        vec![hop],
    )
}

fn run(world: World, mut told: Told) -> (FrameTally, Told, &'static Mutex<Net>) {
    let World { permit, plan, net } = world;
    let net: &'static Mutex<Net> = Box::leak(Box::new(Mutex::new(net)));
    let ground: &'static Ground = Box::leak(Box::new(Ground {
        order: plan.order.clone(),
        tcp: plan.tcp,
        udp: plan.udp,
        reach: reach(),
        ports: source_ports(),
    }));
    let answered = Answered::new(plan.order.len());
    let transmitters = (0..plan.threads)
        .map(|_| -> Box<dyn Transmit> {
            Box::new(ToNet {
                ground,
                answered: answered.clone(),
                net,
            })
        })
        .collect();
    let carrier = Carrier {
        kind: EngineKind::Packet,
        transmitters,
        receivers: vec![Box::new(FromNet(net))],
        answered,
        quantum: Duration::from_millis(1),
        stint_pairs_max: 300,
    };
    let verifier = Verifier {
        permit: &permit,
        key: &KEY,
        ports: &ground.ports,
    };
    let pace = SharedPace::new(plan.rate_pps);
    let tally = drive(
        &plan,
        pace,
        &permit,
        &ground.reach,
        verifier,
        carrier,
        &mut told,
    );
    (tally, told, net)
}

fn address_of(index: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 8, 0, 0).to_bits() + index as u32)
}

/// How many of the addresses that frames reach are of these natures.
fn reached(natures: &[Nature]) -> u64 {
    (0..0x300)
        .filter(|index| natures.contains(&nature(address_of(*index))))
        .count() as u64
}

fn check_whole(told: &Told) {
    let answering = [
        Nature::Open,
        Nature::Stream,
        Nature::Datagram,
        Nature::Elsewhere,
    ];
    let expected: BTreeSet<u64> = (0..0x400)
        .filter(|index| *index >= 0x300 || answering.contains(&nature(address_of(*index))))
        .collect();
    let asked: BTreeSet<u64> = told.asked.keys().copied().collect();
    assert_eq!(asked, expected);
    let count = |stream, name: &str| {
        let seen = told
            .seen
            .iter()
            .filter(|((_, transport), contact)| *transport == stream && name_of(contact) == name)
            .count() as u64;
        seen + told.counted.get(&(stream, name.to_owned())).unwrap_or(&0)
    };
    let cases = [
        (true, "reset", reached(&[Nature::Closed])),
        (false, "port unreachable", reached(&[Nature::Closed])),
        (true, "unreachable", reached(&[Nature::Missing]) + 16),
        (false, "unreachable", reached(&[Nature::Missing]) + 16),
        (true, "silent", reached(&[Nature::Silent])),
        (false, "silent", reached(&[Nature::Silent])),
        (true, "else", 0),
        (false, "else", 0),
    ];
    for (stream, name, expected) in cases {
        assert_eq!(count(stream, name), expected, "{name}, TCP {stream}");
    }
}

#[test]
fn everybody_is_told_of_once_and_as_what_they_are() {
    for loses_first in [false, true] {
        let mut world = world(&[]);
        world.net.loses_first = loses_first;
        let (tally, told, net) = run(world, Told::default());
        assert!(tally.complete, "{tally:?}");
        assert_eq!(tally.error, None);
        assert!(tally.rejected >= 2 * reached(&[Nature::Elsewhere]));
        assert!(told.seen.is_empty());
        check_whole(&told);
        assert_eq!(told.late, []);
        let net = net.lock().unwrap();
        assert!(net.sent.values().all(|sends| *sends <= 2));
        assert!(net.sent.keys().all(|(address, _)| address.octets()[2] < 3));
        let silent = net.sent.get(&(Ipv4Addr::new(10, 8, 0, 6), true));
        assert_eq!(silent, Some(&2), "silence is asked again, once");
    }
}

#[test]
fn some_answer_from_elsewhere_at_the_port_that_asks_there() {
    let elsewhere = (0..0x300)
        .map(address_of)
        .filter(|address| nature(*address) == Nature::Elsewhere);
    let from: BTreeSet<Ipv4Addr> = elsewhere
        .map(|address| {
            let cookie = KEY.cookie(address.into(), PORT, false);
            preferred(source_ports().of(&cookie))
        })
        .collect();
    // So the sweeps of these tests meet both: proofs from nobody, and from somebody else's address.
    assert!(from.len() > 2 && from.contains(&NOBODY), "{from:?}");
}

#[test]
fn whoever_was_named_is_told_of_by_name() {
    let named = ["10.8.0.3", "10.8.0.6", "10.8.0.2", "10.8.0.0"];
    let (_, mut told, _) = run(world(&named), Told::default());
    let seen: Vec<(u64, bool, String)> = told
        .seen
        .iter()
        .map(|((index, stream), contact)| (*index, *stream, name_of(contact)))
        .collect();
    // 10.8.0.2 resets TCP and answers UDP: whichever comes first, each side is told of once.
    let tcp_of_2 = (2, true, "reset".to_owned());
    let told_early = seen.contains(&tcp_of_2);
    assert_eq!(told.asked[&2], (!told_early, true));
    let others: Vec<_> = seen.into_iter().filter(|one| *one != tcp_of_2).collect();
    assert_eq!(
        others,
        [
            (3, false, "port unreachable".to_owned()),
            (3, true, "reset".to_owned()),
            (6, false, "silent".to_owned()),
            (6, true, "silent".to_owned()),
        ]
    );
    // It is handed on as well, so it is none of the merely closed.
    told.seen.remove(&(2, true));
    check_whole(&told);
}

#[test]
fn where_everybody_is_told_of_nothing_piles_up() {
    let mut world = world(&[]);
    world.plan.individually = true;
    let (tally, told, _) = run(world, Told::default());
    assert!(tally.complete && told.counted.is_empty());
    // Of some only one side is silent; nobody comes back after somebody else was told of.
    let mut silent = told.silent;
    let endpoints = silent.len();
    silent.dedup();
    let turns = silent.len();
    silent.sort_unstable();
    silent.dedup();
    assert!(turns < endpoints, "both sides are silent of some");
    assert_eq!(turns, silent.len(), "sides are told of apart");
    assert!(window_pairs(u64::MAX, true) < window_pairs(u64::MAX, false));
    assert_eq!(window_pairs(1, true), window_pairs(1, false));
}

#[test]
fn a_run_that_is_stopped_goes_on_where_it_was() {
    for asks in [257, 300, 340, 380, 399] {
        let told = Told {
            stop_after_asks: Some(asks),
            ..Told::default()
        };
        let (tally, mut told, _) = run(world(&[]), told);
        assert!(!tally.complete);
        let mut rest = world(&[]);
        rest.plan.order = Order::new(rest.permit.pairs(), 7, Shard::ALL, tally.counter);
        rest.plan.again = tally.open;
        // What is already handed on is not handed on again: the sink would say so.
        told.stop_after_asks = None;
        let (tally, told, _) = run(rest, told);
        assert!(tally.complete);
        check_whole(&told);
    }
}

/// Sweeps a network that swallows everything; when its windows have been told of, proofs come from
/// elsewhere: of these pairs, of which some had been answered before.
fn late_proofs(of: &[u64], answered_before: &[u64], udp: bool) -> (bool, Told) {
    let World {
        permit, mut plan, ..
    } = world(&[]);
    plan.udp = udp;
    plan.retries = 0;
    let (reach, answered) = (reach(), Answered::new(plan.order.len()));
    let (events_out, events) = mpsc::channel();
    let proofs: Vec<Proof> = of
        .iter()
        .map(|index| {
            let cookie = KEY.cookie(address_of(*index).into(), PORT, false);
            Proof {
                request_id: cookie.request_id,
                port_place: cookie.port_place,
            }
        })
        .collect();
    let late = events_out.clone();
    let mut told = Told {
        on_silence: Some(Box::new(move || {
            late.send(Event::Strays(proofs)).unwrap();
        })),
        ..Told::default()
    };
    for index in answered_before {
        answered.set(plan.order.counter_of(*index).unwrap(), false);
    }
    let pace = SharedPace::new(plan.rate_pps);
    let mut conductor = Conductor::new(&plan, pace, &permit, &reach, answered, &mut told);
    let (work_out, work) = mpsc::channel::<Stint>();
    let complete = thread::scope(|scope| {
        scope.spawn(move || {
            for _ in work {
                let sent = Sent {
                    frames: 0,
                    dropped: 0,
                };
                let _ = events_out.send(Event::Sent(Ok(sent)));
            }
        });
        conductor.conduct(&[work_out], &events, &Counts::default())
    });
    (complete, told)
}

#[test]
fn an_answer_from_elsewhere_that_comes_too_late_for_its_window_is_not_lost() {
    let [silent, another, answering] = [7, 9, 8];
    let (complete, mut told) = late_proofs(&[another, answering, silent], &[answering], true);
    assert!(complete);
    told.late.sort_unstable();
    assert_eq!(told.late, [(silent, false, true), (another, false, true)]);
    let (complete, told) = late_proofs(&[silent], &[], false);
    assert!(complete);
    assert_eq!(told.late, [], "nobody was asked over UDP");
}

#[test]
fn a_delay_is_not_made_good_for_by_a_burst() {
    let mut world = world(&[]);
    // 30 frames in a quantum, of which two threads would not send a part each.
    world.plan.rate_pps = 30_000;
    world.net.delay = Duration::from_millis(5);
    let (tally, _, net) = run(world, Told::default());
    assert!(tally.complete, "{tally:?}");
    let net = net.lock().unwrap();
    assert!(
        (20..=30).contains(&net.stint_frames_max),
        "{} frames at once",
        net.stint_frames_max
    );
}

#[test]
fn an_interface_that_goes_down_ends_the_sweep() {
    let mut world = world(&[]);
    world.net.frames_left = Some(700);
    let (tally, _, _) = run(world, Told::default());
    assert!(!tally.complete);
    let down = FramesError::InterfaceDown { name: "v0".into() };
    assert_eq!(tally.error, Some(down));
    assert!(tally.counter < 0x410, "{}", tally.counter);
}

#[test]
fn parts_are_fair_and_leave_nothing_out() {
    for (from, to, parts) in [(0, 1, 4), (5, 300, 2), (0, 1_000, 3), (7, 2_097_159, 4)] {
        let dealt = deal(from, to, parts);
        assert!(dealt.len() <= parts);
        assert_eq!(dealt[0].0, from);
        assert_eq!(dealt[dealt.len() - 1].1, to);
        for pair in dealt.windows(2) {
            assert_eq!(pair[0].1, pair[1].0);
        }
    }
}
