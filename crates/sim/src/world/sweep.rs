//! One run over the made-up network: what is due is sent, and the clock jumps to what comes next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use interview::ConnectionId;
use model::{Contact, Dialogue, Evidence, IcmpError, Impression, Pending, Refusal, Transport};
use sockets::pace::Pacer;
use sockets::round_trip::{LAST_WAIT_MIN, RoundTrips};
use sockets::{Neighbourhood, Observation, Plan, Progress, Sink, Tally, TimeoutPolicy};
use targets::{Order, Permit, Permitted};
use wire::{DatagramRequest, Frame};

use super::talks::{Stream, Talk};
use super::{Door, EPOCH_US, World, bits_of, socket_address};
use crate::behaviour::{Random, StreamId};

/// How often the sink hears of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How often it hears from where the run could be continued.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// The clock moves on by at least this while something waits to be sent.
const TICK_MIN: Duration = Duration::from_micros(1);

/// Where a datagram of ours was sent from, and where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    Sweep,
    Talk(u64),
}

pub(super) enum Event {
    ProbeTimeout(Key, usize),
    ConnectEnded(Key, usize, Contact),
    DatagramAtHost(SocketAddr, Socket, Vec<u8>),
    DatagramAtUs(SocketAddr, Socket, Vec<u8>),
    IcmpAtUs(SocketAddr, Socket, Contact),
    Spoof,
    ConnectionOpened(u64, ConnectionId, bool),
    SegmentAtHost(StreamId, Vec<u8>),
    HostTurn(StreamId),
    SegmentAtUs(StreamId, Vec<u8>),
    EndAtUs(StreamId, interview::Closing),
    TalkWake(u64),
}

/// A probe in flight: to whom, and how.
pub(super) type Key = (SocketAddr, Transport);

struct Probe {
    target: Permitted,
    counter: u64,
    sent_at: Vec<Duration>,
    foreign: Option<Vec<u8>>,
}

pub(super) struct Run<'a> {
    pub(super) world: &'a mut World,
    pub(super) plan: &'a Plan,
    permit: &'a Permit,
    sink: &'a mut dyn Sink,
    /// Since the start of the run.
    pub(super) now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    pacer: Pacer,
    trips: RoundTrips,
    order: Order,
    order_ended: bool,
    /// Pairs begun and not ended, and over which transports.
    open_pairs: BTreeMap<u64, Pending>,
    /// Pairs of an earlier run that are to be asked first.
    again: VecDeque<Pending>,
    ready: VecDeque<Key>,
    probes: BTreeMap<Key, Probe>,
    by_id: BTreeMap<u16, SocketAddr>,
    answered: BTreeSet<SocketAddr>,
    pub(super) talks: BTreeMap<u64, Talk>,
    pub(super) talks_begun: u64,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) tally: Tally,
    progress_at: Duration,
    checkpoint_at: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        world: &'a mut World,
        plan: &'a Plan,
        permit: &'a Permit,
        sink: &'a mut dyn Sink,
    ) -> Run<'a> {
        Run {
            world,
            plan,
            permit,
            sink,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            queued: 0,
            pacer: Pacer::new(plan.rate_pps, Duration::ZERO),
            trips: RoundTrips::default(),
            order: plan.order.clone(),
            order_ended: false,
            open_pairs: BTreeMap::new(),
            again: plan.again.iter().copied().collect(),
            ready: VecDeque::new(),
            probes: BTreeMap::new(),
            by_id: BTreeMap::new(),
            answered: BTreeSet::new(),
            talks: BTreeMap::new(),
            talks_begun: 0,
            streams: BTreeMap::new(),
            tally: Tally::default(),
            progress_at: Duration::ZERO,
            checkpoint_at: CHECKPOINT_INTERVAL,
        }
    }

    pub(super) fn run(mut self) -> Tally {
        if self.world.weather.spoofed_pps > 0 {
            self.after(Duration::ZERO, Event::Spoof);
        }
        loop {
            let is_late = self
                .plan
                .deadline
                .is_some_and(|deadline| self.now >= deadline);
            if is_late || self.sink.is_stopped() {
                self.stop();
                break;
            }
            self.send_due();
            self.report_progress();
            if self.order_ended && self.probes.is_empty() && self.talks.is_empty() {
                self.tally.complete = true;
                break;
            }
            self.now = self.next_instant();
            while let Some(entry) = self
                .queue
                .first_entry()
                .filter(|first| first.key().0 <= self.now)
            {
                let event = entry.remove();
                self.handle(event);
            }
        }
        self.tally.counter = self.order.counter();
        self.tally.pending = self.pending();
        self.tally.duration = self.now;
        self.tally
    }

    fn next_instant(&mut self) -> Duration {
        let mut next = self.progress_at;
        if let Some(((at, _), _)) = self.queue.first_key_value() {
            next = next.min(*at);
        }
        if !self.ready.is_empty() || !self.order_ended {
            next = next.min(self.now + self.pacer.wait(self.now).max(TICK_MIN));
        }
        next.min(self.plan.deadline.unwrap_or(next)).max(self.now)
    }

    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.queue.insert((at, self.queued), event);
        self.queued += 1;
    }

    pub(super) fn after(&mut self, later: Duration, event: Event) {
        self.at(self.now + later, event);
    }

    /// The hosts' clock.
    pub(super) fn now_us(&self) -> u64 {
        EPOCH_US + (self.world.clock + self.now).as_micros() as u64
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::ProbeTimeout(key, sends) => self.time_out(key, sends),
            Event::ConnectEnded(key, send, contact) => self.connect_ended(key, send, contact),
            Event::DatagramAtHost(host, socket, bytes) => self.ask_host(host, socket, &bytes),
            Event::DatagramAtUs(from, Socket::Sweep, bytes) => self.hear(from, &bytes),
            Event::DatagramAtUs(_, Socket::Talk(talk), bytes) => self.tell_talk(talk, &bytes),
            Event::IcmpAtUs(about, Socket::Sweep, contact) => self.hear_icmp(about, contact),
            Event::IcmpAtUs(_, Socket::Talk(talk), _) => self.refuse_talk(talk),
            Event::Spoof => self.spoof(),
            Event::ConnectionOpened(talk, id, tls) => self.connection_opened(talk, id, tls),
            Event::SegmentAtHost(stream, bytes) => self.tell_host(stream, &bytes),
            Event::HostTurn(stream) => self.take_turn(stream),
            Event::SegmentAtUs(stream, bytes) => self.hear_segment(stream, &bytes),
            Event::EndAtUs(stream, closing) => self.hear_end(stream, closing),
            Event::TalkWake(talk) => self.wake_talk(talk),
        }
    }

    // ---- sending ----

    fn send_due(&mut self) {
        self.pacer.begin(u64::MAX, self.now);
        while self.pacer.allowance() > 0 {
            let Some(key) = self.ready.pop_front() else {
                if self.begin_pair() {
                    continue;
                }
                break;
            };
            if self.send_probe(key) {
                self.pacer.spend();
            }
        }
        self.pacer.end(self.now);
    }

    fn begin_pair(&mut self) -> bool {
        let Some((index, wanted)) = self.next_pair() else {
            self.order_ended = true;
            return false;
        };
        let target = self.permit.pair(index);
        let pair = Pending {
            stream: wanted.stream && self.plan.tcp,
            datagram: wanted.datagram && self.plan.udp,
            ..wanted
        };
        self.open_pairs.insert(pair.counter, pair);
        for (is_wanted, transport) in [
            (pair.datagram, Transport::Udp),
            (pair.stream, Transport::Tcp),
        ] {
            if is_wanted {
                let key = (socket_address(&target), transport);
                let (target, counter) = (target.clone(), pair.counter);
                let probe = Probe {
                    target,
                    counter,
                    sent_at: Vec::new(),
                    foreign: None,
                };
                self.probes.insert(key, probe);
                self.ready.push_back(key);
            }
        }
        true
    }

    /// What an earlier run left open comes first, then the order.
    fn next_pair(&mut self) -> Option<(u64, Pending)> {
        if let Some(stretch) = self.again.front_mut() {
            let one = Pending {
                count: 1,
                ..*stretch
            };
            stretch.counter += 1;
            stretch.count -= 1;
            if stretch.count == 0 {
                self.again.pop_front();
            }
            return Some((self.order.index_at(one.counter)?, one));
        }
        let (counter, index) = self.order.next()?;
        Some((
            index,
            Pending {
                counter,
                count: 1,
                stream: true,
                datagram: true,
            },
        ))
    }

    /// Sends a probe once more; false if it is over.
    fn send_probe(&mut self, key: Key) -> bool {
        let Some(probe) = self.probes.get_mut(&key) else {
            return false;
        };
        probe.sent_at.push(self.now);
        let (target, sends) = (probe.target.clone(), probe.sent_at.len());
        let (host, transport) = key;
        self.count_sent(&target, transport, true);
        match transport {
            Transport::Udp => {
                let id = request_id(self.plan.secret, host, sends);
                self.by_id.insert(id, host);
                self.send_datagram(&target, Socket::Sweep, DatagramRequest::Version.encode(id));
            }
            Transport::Tcp | Transport::Unix => self.send_syn(key, sends),
        }
        let wait = self.wait_after(host, sends);
        self.after(wait, Event::ProbeTimeout(key, sends));
        true
    }

    fn send_syn(&mut self, key: Key, sends: usize) {
        let (host, _) = key;
        let round_trip = self.world.way(host) + self.world.way(host);
        let is_lost = self.world.is_lost() || self.world.is_lost();
        let contact = match self.world.door(host, Transport::Tcp) {
            Door::Open => Contact::Answered,
            Door::Closed => Contact::Refused(Refusal::Reset),
            Door::Prohibited => Contact::Prohibited(Some(icmp(host, 13))),
            Door::Absent => Contact::Unreachable(Some(icmp(host, 1))),
            Door::Filtered => return,
        };
        if !is_lost {
            self.after(round_trip, Event::ConnectEnded(key, sends, contact));
        }
    }

    pub(super) fn count_sent(&mut self, target: &Permitted, transport: Transport, is_probe: bool) {
        self.tally.packets_sent += 1;
        self.world.note_sent(self.now, target, transport, is_probe);
    }

    /// A datagram on its way, which may take several copies of it to the host, or none.
    pub(super) fn send_datagram(&mut self, to: &Permitted, socket: Socket, bytes: Vec<u8>) {
        let host = socket_address(to);
        for way in self.ways_of_datagram(host) {
            self.after(way, Event::DatagramAtHost(host, socket, bytes.clone()));
        }
    }

    fn ways_of_datagram(&mut self, host: SocketAddr) -> Vec<Duration> {
        let twice = self.world.happens(self.world.weather.duplication_permille);
        let copies = 1 + usize::from(twice);
        let arriving = (0..copies).filter(|_| !self.world.is_lost()).count();
        (0..arriving).map(|_| self.world.way(host)).collect()
    }

    /// How long to wait after this send of a probe.
    fn wait_after(&self, host: SocketAddr, sends: usize) -> Duration {
        let wait = match self.plan.timeout {
            TimeoutPolicy::Fixed(wait) => return wait,
            TimeoutPolicy::Adaptive => self.trips.timeout(Neighbourhood::of(host.ip())),
        };
        if sends > self.plan.retries as usize {
            wait.max(LAST_WAIT_MIN)
        } else {
            wait
        }
    }

    // ---- hearing ----

    fn time_out(&mut self, key: Key, sends: usize) {
        match self.probes.get(&key) {
            Some(probe) if probe.sent_at.len() == sends => {
                if sends > self.plan.retries as usize {
                    self.end_probe(key, Contact::Silent);
                } else {
                    self.ready.push_back(key);
                }
            }
            _ => {}
        }
    }

    fn measured(&mut self, host: SocketAddr, sent_at: Duration) {
        let round_trip = self.now.saturating_sub(sent_at);
        self.trips
            .measured(Neighbourhood::of(host.ip()), round_trip);
    }

    fn connect_ended(&mut self, key: Key, sends: usize, contact: Contact) {
        let Some(sent_at) = self.probes.get(&key).map(|probe| probe.sent_at[sends - 1]) else {
            return;
        };
        if matches!(contact, Contact::Answered | Contact::Refused(_)) {
            self.measured(key.0, sent_at);
        }
        if contact != Contact::Answered {
            self.tally.packets_received += 1;
            return self.end_probe(key, contact);
        }
        self.tally.packets_received += 1;
        if let Some(probe) = self.take_probe(key) {
            let round_trip = self.now.saturating_sub(sent_at);
            self.begin_stream_talk(probe.target, probe.counter, probe.sent_at.len(), round_trip);
        }
    }

    fn ask_host(&mut self, at: SocketAddr, socket: Socket, bytes: &[u8]) {
        let contact = match self.world.door(at, Transport::Udp) {
            Door::Open => None,
            Door::Closed => Some(Contact::Refused(Refusal::PortUnreachable(icmp(at, 3)))),
            Door::Prohibited => Some(Contact::Prohibited(Some(icmp(at, 13)))),
            Door::Absent => Some(Contact::Unreachable(Some(icmp(at, 1)))),
            Door::Filtered => return,
        };
        if let Some(contact) = contact {
            let way = self.world.way(at);
            if !self.world.is_lost() {
                self.after(way, Event::IcmpAtUs(at, socket, contact));
            }
            return;
        }
        let now_us = self.now_us();
        let Some(host) = self.world.hosts.get_mut(&at) else {
            return;
        };
        let from = host.answers_from.unwrap_or(at);
        for act in host.server.datagram(bytes, now_us) {
            for way in self.ways_of_datagram(at) {
                let later = Duration::from_micros(act.after_us) + way;
                self.after(later, Event::DatagramAtUs(from, socket, act.bytes.clone()));
            }
        }
    }

    /// A datagram on the sweep's socket: an answer with the right id, or somebody else's.
    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.tally.packets_received += 1;
        let id = Frame::parse(bytes).map(|(frame, _)| frame.request_id);
        let sends = 1..=self.plan.retries as usize + 1;
        let own = sends
            .into_iter()
            .find(|send| id == Some(request_id(self.plan.secret, from, *send)));
        let asked = id.and_then(|id| self.by_id.get(&id)).copied();
        match (own, asked) {
            (Some(send), _) => self.hear_own(from, send, bytes),
            // The id is right and the source is not: several addresses, or a NAT on the way.
            (None, Some(asked)) if asked != from && !self.answered.contains(&asked) => {
                if let Some(probe) = self.take_probe((asked, Transport::Udp)) {
                    self.answered.insert(asked);
                    let attempts = probe.sent_at.len();
                    let counter = Some(probe.counter);
                    self.begin_datagram_talk(
                        probe.target,
                        counter,
                        attempts,
                        None,
                        bytes,
                        Some(from),
                    );
                }
            }
            _ => {
                self.tally.rejected_replies += 1;
                if let Some(probe) = self.probes.get_mut(&(from, Transport::Udp)) {
                    probe
                        .foreign
                        .get_or_insert_with(|| bytes[..bytes.len().min(24)].to_vec());
                }
            }
        }
    }

    fn hear_own(&mut self, from: SocketAddr, send: usize, bytes: &[u8]) {
        if !self.answered.insert(from) {
            return;
        }
        let sent_at = self
            .probes
            .get(&(from, Transport::Udp))
            .and_then(|probe| probe.sent_at.get(send - 1).copied());
        if let Some(sent_at) = sent_at {
            self.measured(from, sent_at);
        }
        let round_trip = sent_at.map(|sent_at| self.now.saturating_sub(sent_at));
        match self.take_probe((from, Transport::Udp)) {
            Some(probe) => {
                let attempts = probe.sent_at.len();
                let counter = Some(probe.counter);
                self.begin_datagram_talk(probe.target, counter, attempts, round_trip, bytes, None);
            }
            // Given up before: it counts until the end.
            None => {
                let address = model::Address::from_ip(from.ip());
                if let Some(target) = self.permit.admit(&address, from.port()) {
                    let attempts = self.plan.retries as usize + 1;
                    self.begin_datagram_talk(target, None, attempts, None, bytes, None);
                }
            }
        }
    }

    fn hear_icmp(&mut self, about: SocketAddr, contact: Contact) {
        self.tally.packets_received += 1;
        let sent_at = self
            .probes
            .get(&(about, Transport::Udp))
            .map(|probe| probe.sent_at.clone());
        if let Some([only]) = sent_at.as_deref() {
            self.measured(about, *only);
        }
        self.end_probe((about, Transport::Udp), contact);
    }

    /// Somebody who sees nothing of ours guesses an id and forges the source.
    fn spoof(&mut self) {
        let index = self.world.random.below(self.permit.pairs());
        let from = socket_address(&self.permit.pair(index));
        let id = self.world.random.below(1 << 16) as u16;
        let talk = self.talks.keys().next().copied();
        let socket = match talk {
            Some(talk) if self.world.happens(500) => Socket::Talk(talk),
            _ => Socket::Sweep,
        };
        let bytes = [&id.to_be_bytes()[..], b"\0\0\0\x01\0\0VERSION 1.6.6\r\n"].concat();
        self.world.spoofed += 1;
        self.after(Duration::ZERO, Event::DatagramAtUs(from, socket, bytes));
        let pause_us = 1_000_000 / self.world.weather.spoofed_pps;
        self.after(Duration::from_micros(pause_us.max(1)), Event::Spoof);
    }

    // ---- ending ----

    fn take_probe(&mut self, key: Key) -> Option<Probe> {
        let probe = self.probes.remove(&key)?;
        if key.1 == Transport::Udp {
            self.by_id.retain(|_, host| *host != key.0);
        }
        Some(probe)
    }

    fn end_probe(&mut self, key: Key, contact: Contact) {
        let Some(probe) = self.take_probe(key) else {
            return;
        };
        let attempts = probe.sent_at.len() as u32;
        let evidence = match probe.foreign {
            Some(foreign) if contact == Contact::Silent => Evidence {
                contact: Contact::Answered,
                attempts,
                rtt: None,
                dialogue: Some(Box::new(Dialogue {
                    impression: Some(Impression::ForeignDatagram(format!("{foreign:02x?}"))),
                    ..Dialogue::default()
                })),
            },
            _ => Evidence::without_dialogue(contact, attempts, None),
        };
        self.conclude(probe.target, key.1, Some(probe.counter), evidence, false);
    }

    /// Hands an endpoint's evidence over. Without a counter its pair stays as it is: ended before,
    /// or to be asked again by a run that continues this one.
    pub(super) fn conclude(
        &mut self,
        target: Permitted,
        transport: Transport,
        counter: Option<u64>,
        evidence: Evidence,
        late: bool,
    ) {
        if let Some(counter) = counter
            && let Some(open) = self.open_pairs.get_mut(&counter)
        {
            match transport {
                Transport::Udp => open.datagram = false,
                Transport::Tcp | Transport::Unix => open.stream = false,
            }
            if !open.stream && !open.datagram {
                self.open_pairs.remove(&counter);
            }
        }
        self.sink.observed(Observation {
            target,
            transport,
            evidence,
            late,
            hardware: None,
        });
    }

    /// What a run that continues this one has to ask, besides what never began.
    fn pending(&self) -> Vec<Pending> {
        self.open_pairs
            .values()
            .chain(&self.again)
            .copied()
            .collect()
    }

    /// Ends everything under way.
    fn stop(&mut self) {
        for talk in self.talks.keys().copied().collect::<Vec<u64>>() {
            self.stop_talk(talk);
        }
        for (key, probe) in std::mem::take(&mut self.probes) {
            let evidence = Evidence::without_dialogue(Contact::Unfinished, 0, None);
            self.conclude(probe.target, key.1, None, evidence, false);
        }
    }

    fn report_progress(&mut self) {
        if self.now < self.progress_at {
            return;
        }
        self.progress_at = self.now + PROGRESS_INTERVAL;
        let progress = Progress {
            elapsed: self.now,
            begun: self.order.counter(),
            pairs: self.order.len(),
            packets_sent: self.tally.packets_sent,
            packets_received: self.tally.packets_received,
            interviews: self.talks.len() as u64,
        };
        self.sink.progress(&progress);
        if self.now >= self.checkpoint_at {
            self.checkpoint_at = self.now + CHECKPOINT_INTERVAL;
            self.sink.checkpoint(self.order.counter(), &self.pending());
        }
    }
}

/// The id of one send to one host; nobody who did not see the datagram can tell it.
fn request_id(secret: u64, host: SocketAddr, send: usize) -> u16 {
    let place = bits_of(host.ip()).rotate_left(20) ^ u64::from(host.port());
    Random(secret ^ place.rotate_left(send as u32 * 7)).below(1 << 16) as u16
}

/// An ICMP destination unreachable of this code (RFC 792, RFC 1812).
fn icmp(from: SocketAddr, code: u8) -> IcmpError {
    IcmpError {
        from: Some(from.ip()),
        kind: 3,
        code,
    }
}
