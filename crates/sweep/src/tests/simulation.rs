//! The whole room against a made-up network whose truth is known, on a virtual clock: probes are
//! made byte by byte, hosts and routers answer or do not, packets are lost, doubled, late and out
//! of order, and strangers send what nobody asked for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;
use std::time::Duration;

use model::{Address, Contact, Refusal};
use targets::{Order, Permit, Shard};

use super::peer::read;
use super::schedules::Chance;
use super::{KEY, ethernet, ip, permit, source_ports};
use crate::frame::{FRAME_BYTES_MAX, Probe, emit};
use crate::pace::Limiter;
use crate::reach::Hop;
use crate::reply::{Checked, Heard, LinkLayer, Verifier};
use crate::schedule::{
    Answered, Freshness, Next, Outcome, Patience, Schedule, ScheduleOptions, Stint,
};

/// What an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Accepts,
    Resets,
    PortUnreachable,
    Prohibited,
    HostUnreachable,
    Mute,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
struct Weather {
    /// Packets lost of a thousand, each way.
    loss: u64,
    /// Packets that arrive twice, of a thousand.
    doubled: u64,
    /// One way takes this many microseconds at least, and twice that at most.
    way_us: u64,
    /// Endpoints of a thousand whose answers take three seconds longer.
    slow: u64,
    /// Forged frames for each hundred probes.
    forged: u64,
}

const FAIR: Weather = Weather {
    loss: 0,
    doubled: 0,
    way_us: 5_000,
    slow: 0,
    forged: 0,
};

/// What came of a run.
struct Run {
    /// What was told of each endpoint, by pair and transport: in time, and late.
    told: BTreeMap<(u64, bool), Truth>,
    late: BTreeMap<(u64, bool), Truth>,
    /// The last round in which each endpoint got a probe, and how many it got.
    probes: BTreeMap<(u64, bool), (u32, u32)>,
    heard_after_sends: Vec<u64>,
    ended_at: Duration,
    rejected: u64,
    answers: u64,
    sent: u64,
}

struct World<'a> {
    permit: &'a Permit,
    order: Order,
    weather: Weather,
    chance: Chance,
    seed: u64,
    /// Frames under way to us, by time and in the order in which they were sent.
    arriving: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    sequence: u64,
    frames: BTreeMap<(u64, bool), Vec<u8>>,
    run: Run,
}

fn truth_of(seed: u64, index: u64, stream: bool) -> Truth {
    let mut chance = Chance(seed ^ index << 1 ^ u64::from(stream));
    match (chance.below(8), stream) {
        (0 | 1, _) => Truth::Accepts,
        (2, true) => Truth::Resets,
        (2, false) => Truth::PortUnreachable,
        (3, _) => Truth::Prohibited,
        (4, _) => Truth::HostUnreachable,
        _ => Truth::Mute,
    }
}

fn router(address: IpAddr) -> IpAddr {
    ip(if address.is_ipv4() {
        "10.9.9.9"
    } else {
        "fd00::fe"
    })
}

impl World<'_> {
    fn lost(&mut self) -> bool {
        self.chance.below(1000) < self.weather.loss
    }

    /// A probe leaves. Every frame of an endpoint is the same, and only permitted ones are sent to.
    fn take_probe(&mut self, frame: &[u8], counter: u64, stream: bool, round: u32, now: Duration) {
        self.run.sent += 1;
        let seen = read(frame, LinkLayer::Ethernet);
        let selection = self.permit.selection();
        let index = selection.index_of(&Address::Ip(seen.address), seen.port);
        let index = index.expect("only permitted pairs are sent to");
        assert_eq!(Some(index), self.order.index_at(counter));
        assert_eq!(seen.stream, stream);
        let endpoint = (index, stream);
        let before = self.frames.insert(endpoint, frame.to_vec());
        assert!(before.is_none_or(|before| before == frame), "another frame");
        let probes = self.run.probes.entry(endpoint).or_insert((round, 0));
        assert!(probes.1 == 0 || probes.0 < round, "twice in a round");
        *probes = (round, probes.1 + 1);

        if self.chance.below(100) < self.weather.forged {
            self.forge(frame, now);
        }
        if self.lost() {
            return;
        }
        let ipv4 = seen.address.is_ipv4();
        let unreachable = if ipv4 { 3 } else { 1 };
        let answer = match (truth_of(self.seed, index, stream), stream) {
            (Truth::Mute, _) => return,
            (Truth::Accepts, true) => seen.syn_ack(),
            (Truth::Accepts, false) => {
                let elsewhere = self.chance.below(10) == 0;
                seen.version_from(if elsewhere { 4444 } else { seen.port })
            }
            (Truth::Resets, _) => seen.reset(),
            (Truth::PortUnreachable, _) => {
                seen.error(seen.address, unreachable, if ipv4 { 3 } else { 4 }, 64)
            }
            (Truth::Prohibited, _) => {
                let code = if ipv4 { 13 } else { 1 };
                seen.error(router(seen.address), unreachable, code, 8)
            }
            (Truth::HostUnreachable, _) => {
                let code = if ipv4 { 1 } else { 3 };
                seen.error(router(seen.address), unreachable, code, 8)
            }
        };
        let is_slow = Chance(self.seed ^ index ^ 0x510).below(1000) < self.weather.slow;
        let extra = Duration::from_secs(if is_slow { 3 } else { 0 });
        self.travel(answer.clone(), now + extra);
        if self.chance.below(1000) < self.weather.doubled {
            self.travel(answer, now + extra);
        }
    }

    /// A frame sets out to us, both ways together.
    fn travel(&mut self, frame: Vec<u8>, now: Duration) {
        if self.lost() {
            return;
        }
        let way_us = 2 * self.weather.way_us + self.chance.below(2 * self.weather.way_us);
        self.sequence += 1;
        let at = now + Duration::from_micros(way_us);
        self.arriving.push(Reverse((at, self.sequence, frame)));
    }

    /// What somebody sends who knows everything but the secret.
    fn forge(&mut self, frame: &[u8], now: Duration) {
        let mut seen = read(frame, LinkLayer::Ethernet);
        seen.sequence ^= 1 << self.chance.below(32);
        seen.request_id ^= 1 << self.chance.below(16);
        let at = seen.packet.len() - if seen.stream { 20 } else { 19 };
        seen.packet[at] ^= 1;
        let forged = [
            seen.syn_ack(),
            seen.reset(),
            seen.version_from(seen.port),
            seen.error(router(seen.address), 3, 3, 8),
        ];
        let chosen = self.chance.below(4) as usize;
        self.sequence += 1;
        self.arriving
            .push(Reverse((now, self.sequence, forged[chosen].clone())));
    }

    /// Everything that has arrived by now is checked and told.
    fn hear(&mut self, schedule: &mut Schedule, now: Duration) {
        let (key, ports) = (KEY, source_ports());
        let verifier = Verifier {
            permit: self.permit,
            key: &key,
            ports: &ports,
        };
        while let Some(Reverse((at, _, _))) = self.arriving.peek()
            && *at <= now
        {
            let Some(Reverse((at, _, frame))) = self.arriving.pop() else {
                return;
            };
            let Checked::Answer {
                index,
                stream,
                heard,
            } = verifier.check(&frame, LinkLayer::Ethernet)
            else {
                self.run.rejected += 1;
                continue;
            };
            self.run.answers += 1;
            let contact = match &heard {
                Heard::Contact(contact) => Some(contact),
                Heard::Accepted | Heard::Datagram => None,
                // Counted with the rejected ones; this world has no server that answers so.
                Heard::Unproven(_) => {
                    self.run.answers -= 1;
                    self.run.rejected += 1;
                    continue;
                }
            };
            let counter = self.order.counter_of(index).expect("all are in the shard");
            let told = match schedule.answered(counter, stream, contact, at) {
                Freshness::First { .. } => &mut self.run.told,
                Freshness::Late => &mut self.run.late,
                Freshness::Known => continue,
            };
            let before = told.insert((index, stream), as_truth(contact));
            assert_eq!(before, None, "first twice");
        }
    }

    fn take_finished(&mut self, schedule: &mut Schedule) {
        while let Some(over) = schedule.take_finished() {
            for counter in over.from..over.to {
                let index = self.order.index_at(counter).expect("in the order");
                for stream in [true, false] {
                    let endpoint = (index, stream);
                    match over.outcome(counter, stream) {
                        Outcome::Silent => {
                            let before = self.run.told.insert(endpoint, Truth::Mute);
                            assert_eq!(before, None, "silent, and heard before");
                            assert_eq!(self.run.probes[&endpoint].1, over.attempts());
                        }
                        Outcome::Contact(contact) => {
                            assert_eq!(self.run.told[&endpoint], as_truth(Some(&contact)));
                        }
                        Outcome::Elsewhere => {
                            assert_eq!(self.run.told[&endpoint], Truth::Accepts);
                        }
                    }
                }
            }
        }
    }

    /// Sends a stint, as far as the rate allows; returns how far it came.
    fn send(&mut self, stint: &Stint, pairs: u64, answered: &Answered, now: Duration) -> u64 {
        let done_to = stint.to.min(stint.from + pairs);
        for counter in stint.from..done_to {
            let index = self.order.index_at(counter).expect("in the order");
            let target = self.permit.pair(index);
            let address = target.address().ip().expect("an IP address");
            let hop: Hop = ethernet(if address.is_ipv4() {
                "10.9.9.1"
            } else {
                "fd00::1"
            });
            for stream in [true, false] {
                if answered.is_set(counter, stream) {
                    continue;
                }
                let probe = Probe {
                    address,
                    port: target.port(),
                    stream,
                };
                let mut buffer = [0xee; FRAME_BYTES_MAX];
                let length = emit(&probe, &hop, &KEY, &source_ports(), &mut buffer);
                self.take_probe(&buffer[..length], counter, stream, stint.round, now);
            }
        }
        done_to
    }
}

fn as_truth(contact: Option<&Contact>) -> Truth {
    match contact {
        None => Truth::Accepts,
        Some(Contact::Refused(Refusal::Reset)) => Truth::Resets,
        Some(Contact::Refused(Refusal::PortUnreachable(_))) => Truth::PortUnreachable,
        Some(Contact::Prohibited(_)) => Truth::Prohibited,
        Some(Contact::Unreachable(_)) => Truth::HostUnreachable,
        Some(other) => panic!("{other:?}"),
    }
}

/// Sweeps the permit once, to the end and until nothing is under way any more.
fn sweep(permit: &Permit, weather: Weather, rounds: u32, seed: u64) -> Run {
    let order = Order::new(permit.pairs(), seed, Shard::ALL, 0);
    let answered = Answered::new(permit.pairs());
    let options = ScheduleOptions {
        pairs: permit.pairs(),
        counter: 0,
        rounds,
        stream: true,
        datagram: true,
        window_pairs: 300,
        patience: Patience::Adaptive,
    };
    let mut schedule = Schedule::new(options, answered.clone());
    let mut limiter = Limiter::new(20_000, Duration::ZERO);
    let mut world = World {
        permit,
        order,
        weather,
        chance: Chance(seed),
        seed,
        arriving: BinaryHeap::new(),
        sequence: 0,
        frames: BTreeMap::new(),
        run: Run {
            told: BTreeMap::new(),
            late: BTreeMap::new(),
            probes: BTreeMap::new(),
            heard_after_sends: Vec::new(),
            ended_at: Duration::ZERO,
            rejected: 0,
            answers: 0,
            sent: 0,
        },
    };
    let mut now = Duration::ZERO;
    loop {
        world.hear(&mut schedule, now);
        world.take_finished(&mut schedule);
        let wake_at = match schedule.next(now) {
            Next::Done => break,
            Next::Wait(until) => until,
            Next::Send(stint) => {
                let pairs = limiter.allowance(now) / 2;
                let before = world.run.sent;
                let done_to = world.send(&stint, pairs, &answered, now);
                let took = Duration::from_micros(300);
                // What is quick enough arrives before anybody says that it was sent.
                world.hear(&mut schedule, now + took);
                now += took;
                limiter.spend(world.run.sent - before, now - took, now);
                schedule.sent(&stint, done_to, now - took, now);
                limiter.ready_at(20, now)
            }
        };
        let arrives_at = world.arriving.peek().map(|Reverse((at, _, _))| *at);
        now = now.max(arrives_at.map_or(wake_at, |at| at.min(wake_at)));
    }
    world.take_finished(&mut schedule);
    world.run.ended_at = now;
    world.hear(&mut schedule, now + Duration::from_secs(10));
    world.run.heard_after_sends = schedule.heard_after_sends().to_vec();
    assert_eq!(schedule.open_ranges(false), []);
    world.run
}

/// Both families, two ports, a hole: 2 * (1016 + 200) pairs.
fn network() -> Permit {
    permit(
        &[
            ("10.0.0.0", "10.0.0.255"),
            ("10.0.1.8", "10.0.3.255"),
            ("fd00::1:0", "fd00::1:c7"),
        ],
        &[11211, 11311],
    )
}

/// What differs from the truth, and how: silence is not known from the truth, so it is counted;
/// anything else that differs is a lie.
fn missed(permit: &Permit, run: &Run, seed: u64) -> u64 {
    let mut missed = 0;
    for index in 0..permit.pairs() {
        for stream in [true, false] {
            let truth = truth_of(seed, index, stream);
            match run.told.get(&(index, stream)) {
                None => panic!("{index} {stream} was never told of"),
                Some(told) if *told == truth => {}
                Some(Truth::Mute) => missed += 1,
                Some(told) => panic!("{index} {stream} is {truth:?}, not {told:?}"),
            }
        }
    }
    missed
}

fn answering(permit: &Permit, seed: u64) -> u64 {
    (0..permit.pairs())
        .flat_map(|index| [true, false].map(|stream| truth_of(seed, index, stream)))
        .filter(|truth| *truth != Truth::Mute)
        .count() as u64
}

#[test]
fn without_loss_one_round_finds_everything() {
    let permit = network();
    assert_eq!(permit.pairs(), 2 * (256 + 760 + 200));
    for seed in 0..2 {
        for rounds in [1, 4] {
            let run = sweep(&permit, FAIR, rounds, seed);
            assert_eq!(missed(&permit, &run, seed), 0, "seed {seed}");
            assert!(run.late.is_empty());
            assert_eq!(run.heard_after_sends[0], answering(&permit, seed));
            assert!(run.heard_after_sends[1..].iter().all(|heard| *heard == 0));
            assert_eq!(run.rejected, 0);
            assert_eq!(run.answers, answering(&permit, seed), "none asked twice");
            let mute = permit.pairs() * 2 - answering(&permit, seed);
            assert_eq!(run.sent, permit.pairs() * 2 + mute * u64::from(rounds - 1));
        }
    }
}

#[test]
fn retries_find_what_was_lost() {
    let permit = network();
    for (loss, rounds, share_max) in [
        // Missed are (1 - (1 - loss)^2)^rounds of those who answer, less for the doubled packets; with
        // room for chance.
        (100, 1, 0.23),
        (100, 2, 0.050),
        (100, 4, 0.004),
        (300, 4, 0.09),
        (300, 10, 0.006),
    ] {
        for seed in 10..12 {
            let weather = Weather {
                loss,
                doubled: 100,
                forged: 5,
                ..FAIR
            };
            let run = sweep(&permit, weather, rounds, seed);
            let share = missed(&permit, &run, seed) as f64 / answering(&permit, seed) as f64;
            assert!(share <= share_max, "seed {seed}: {share} missed at {loss}");
            assert!(run.rejected > 0, "forged frames were there");
            // The loss is told by how many needed more than one send.
            let heard: u64 = run.heard_after_sends.iter().sum();
            let first_share = run.heard_after_sends[0] as f64 / heard as f64;
            let loss = loss as f64 / 1000.0;
            let arrives = (1.0 - loss) * (0.9 * (1.0 - loss) + 0.1 * (1.0 - loss * loss));
            let expect = arrives / (1.0 - (1.0 - arrives).powi(rounds as i32));
            assert!(
                (first_share - expect).abs() < 0.03,
                "{first_share} {expect}"
            );
        }
    }
}

#[test]
fn late_answers_are_told_until_the_end() {
    let permit = network();
    let weather = Weather {
        slow: 200,
        doubled: 300,
        ..FAIR
    };
    for seed in 20..22 {
        let run = sweep(&permit, weather, 2, seed);
        let missed = missed(&permit, &run, seed);
        assert!(missed > 100, "two rounds do not wait for three seconds");
        assert_eq!(
            run.late.len() as u64,
            missed,
            "each of them came in the end"
        );
        for ((index, stream), told) in &run.late {
            assert_eq!(*told, truth_of(seed, *index, *stream));
        }
    }
}

#[test]
fn the_end_comes_when_it_is_quiet() {
    let permit = network();
    // 9.7 thousand probes at 20,000 a second, with a slow start and the waits behind the last one.
    let near = sweep(&permit, FAIR, 1, 30).ended_at;
    assert!(near < Duration::from_millis(1_300), "{near:?}");
    let far = Weather {
        way_us: 300_000,
        ..FAIR
    };
    let run = sweep(&permit, far, 2, 30);
    assert_eq!(missed(&permit, &run, 30), 0, "slow is not silent");
    assert!(run.late.is_empty());
}
