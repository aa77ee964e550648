//! The loop: send what is due, hear what came, wake who waits.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use interview::Depth;
use model::{Contact, Dialogue, Ending, Evidence, Impression, MacAddress, Pending, Transport};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use targets::{Order, Permit, Permitted};

use crate::address::Peer;
use crate::cookie::{Cookie, CookieKey};
use crate::leads::{Lead, Leads, LeadsEnd};
use crate::limits::{self, Shares};
use crate::neighbour_table::{NeighbourTable, UNANSWERED_AFTER};
use crate::neighbourhood::{Neighbourhood, Neighbourhoods};
use crate::pace::Pacer;
use crate::plan::{
    AcceptsEverything, Network, Observation, Plan, Progress, Sink, SocketError, Tally,
    TimeoutPolicy,
};
use crate::probes::{Attempt, DatagramProbe, Key, Slab, StreamProbe, Token};
use crate::round_trip::{LAST_WAIT_MIN, RoundTrips};
use crate::talks::{DatagramTalk, StreamTalk, WaitingDatagram, WaitingStream};
use crate::timers::Timers;
use crate::turns::Paused;

/// Packets that a turn takes out of the rate, so that a sweep beside us may send meanwhile.
const PACKETS_PER_TURN: u64 = 512;
/// Probes sent between two looks at what came. ICMP errors queue up in a socket's receive buffer, so they
/// must be fetched before it is full.
const SENDS_PER_TURN: u64 = 64;
/// Events taken from the kernel at once.
const EVENTS_PER_TURN: usize = 512;
/// Leads taken out before others get their turn.
const LEADS_PER_TURN: usize = 4_096;
/// Longest sleep, so that a stop by the user is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// How often the sink hears of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// How often an interrupted run could be continued from.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
const CHECKPOINT_INTERVAL_LONG: Duration = Duration::from_secs(15);
/// Pending pairs up to which a checkpoint is short.
const PENDING_SHORT: usize = 2_000;
/// How long nothing is sent after our own system had no room for it.
const CONGESTION_PAUSE: Duration = Duration::from_millis(10);
/// Bytes read from a socket at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// The network behind the kernel's ordinary sockets.
#[derive(Debug, Default)]
pub struct SocketNetwork;

impl Network for SocketNetwork {
    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        Reactor::new(plan, permit, None, sink)?.run()
    }
}

impl SocketNetwork {
    /// Asks the pairs that a sweep beside it names, in place of the plan's own order, and hands over
    /// what the sweep tells of the others. Comes back when the sweep has ended and everybody that
    /// it named is judged. Of the plan, `again` is the sweep's to ask.
    ///
    /// # Errors
    ///
    /// As [`Network::sweep`].
    pub fn interview(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        leads: &mut Leads,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        Reactor::new(plan, permit, Some(leads), sink)?.run()
    }
}

/// Why somebody is to be woken.
#[derive(Debug)]
pub(crate) enum Wake {
    /// This send of a connection attempt has had its time.
    Stream(Key, u32),
    /// This send of a datagram has had its time.
    Datagram(Peer, u32),
    /// The kernel has repeated the SYN of this attempt, if it is still open; next after this time.
    Repeated(Key, Duration),
    StreamTalk(Key),
    DatagramTalk(Key),
}

/// The transports over which a pair has not been judged yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    stream: bool,
    datagram: bool,
}

/// A result of a stranger, held back until its neighbourhood is understood.
pub(crate) struct Held {
    target: Permitted,
    counter: u64,
    evidence: Evidence,
}

/// The UDP sockets of the sweep, made when the first target of their family is asked.
#[derive(Default)]
pub(crate) struct SweepSockets {
    pub(crate) ipv4: Vec<OwnedFd>,
    pub(crate) ipv6: Vec<OwnedFd>,
}

pub(crate) struct Reactor<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) permit: &'a Permit,
    /// Who sweeps in our place, if somebody does.
    leads: Option<&'a mut Leads>,
    /// How that ended, once it has and all its leads are taken.
    leads_end: Option<LeadsEnd>,
    /// Whether more leads may wait, and there was room for them.
    leads_wait: bool,
    sink: &'a mut dyn Sink,
    epoch: Instant,
    pub(crate) now: Duration,
    pub(crate) epoll: Epoll,
    pub(crate) shares: Shares,
    pacer: Pacer,
    /// Connections that probes began, and those of them that opened.
    pub(crate) connections_begun: u64,
    pub(crate) connections_opened: u64,
    /// Interviews that want to send and may not yet, the one that waits longest first.
    pub(crate) paused: VecDeque<Paused>,
    /// What had come by this time has been heard.
    polled_at: Duration,
    pub(crate) trips: RoundTrips,
    neighbour_table: NeighbourTable,
    pub(crate) timers: Timers<Wake>,
    order: Order,
    order_ended: bool,
    begun: u64,
    /// Pairs begun and not ended, with the transports that are still open.
    open_pairs: BTreeMap<u64, Open>,
    /// Pairs of an earlier run that are to be asked again, the next one last.
    again: Vec<Pending>,
    checkpoint_at: Duration,
    /// Until then our own system has no room or no descriptor for another send.
    congested_until: Duration,
    pub(crate) ready_streams: VecDeque<Key>,
    pub(crate) ready_datagrams: VecDeque<Peer>,
    pub(crate) stream_probes: Slab<StreamProbe>,
    pub(crate) attempts: Slab<Attempt>,
    /// Attempts whose time is up, in that order: they make room when descriptors are short. Some
    /// have ended since.
    pub(crate) expired_attempts: VecDeque<Key>,
    pub(crate) sweep_sockets: SweepSockets,
    pub(crate) cookie_key: CookieKey,
    pub(crate) datagram_probes: HashMap<Peer, DatagramProbe>,
    pub(crate) by_cookie: HashMap<(bool, Cookie), Peer>,
    /// Who has answered over UDP already: a duplicate is no late answer.
    pub(crate) answered: HashSet<Peer>,
    pub(crate) stream_talks: Slab<StreamTalk>,
    pub(crate) datagram_talks: Slab<DatagramTalk>,
    pub(crate) neighbourhoods: Neighbourhoods<WaitingStream, Held>,
    /// Neighbourhoods with waiting connections.
    pub(crate) waiting_places: VecDeque<Neighbourhood>,
    pub(crate) waiting_streams: usize,
    pub(crate) waiting_datagrams: VecDeque<WaitingDatagram>,
    pub(crate) tally: Tally,
    pub(crate) buffer: Vec<u8>,
    seeds: RandomState,
    seeds_drawn: u64,
    progress_at: Duration,
}

impl<'a> Reactor<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        permit: &'a Permit,
        leads: Option<&'a mut Leads>,
        sink: &'a mut dyn Sink,
    ) -> Result<Reactor<'a>, SocketError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(SocketError::system("epoll_create1"))?;
        let mut again: Vec<Pending> = plan.again.iter().rev().copied().collect();
        if let Some(leads) = &leads {
            again.clear();
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Leads.pack());
            epoll
                .add(leads.wake_fd(), event)
                .map_err(SocketError::system("epoll_ctl"))?;
        }
        let epoch = Instant::now();
        let pacer = leads.as_ref().map_or_else(
            || Pacer::new(plan.rate_pps, Duration::ZERO),
            |leads| leads.pacer(epoch),
        );
        Ok(Reactor {
            plan,
            permit,
            leads,
            leads_end: None,
            leads_wait: false,
            sink,
            epoch,
            now: Duration::ZERO,
            epoll,
            shares: limits::descriptors(),
            pacer,
            connections_begun: 0,
            connections_opened: 0,
            paused: VecDeque::new(),
            polled_at: Duration::ZERO,
            trips: RoundTrips::default(),
            neighbour_table: NeighbourTable::default(),
            timers: Timers::new(),
            order: plan.order.clone(),
            order_ended: false,
            begun: 0,
            open_pairs: BTreeMap::new(),
            again,
            checkpoint_at: CHECKPOINT_INTERVAL,
            congested_until: Duration::ZERO,
            ready_streams: VecDeque::new(),
            ready_datagrams: VecDeque::new(),
            stream_probes: Slab::new(),
            attempts: Slab::new(),
            expired_attempts: VecDeque::new(),
            sweep_sockets: SweepSockets::default(),
            cookie_key: CookieKey::default(),
            datagram_probes: HashMap::new(),
            by_cookie: HashMap::new(),
            answered: HashSet::new(),
            stream_talks: Slab::new(),
            datagram_talks: Slab::new(),
            neighbourhoods: Neighbourhoods::new(),
            waiting_places: VecDeque::new(),
            waiting_streams: 0,
            waiting_datagrams: VecDeque::new(),
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            seeds: RandomState::new(),
            seeds_drawn: 0,
            progress_at: Duration::ZERO,
        })
    }

    pub(crate) fn run(mut self) -> Result<Tally, SocketError> {
        let mut events = [EpollEvent::empty(); EVENTS_PER_TURN];
        self.pacer.begin(PACKETS_PER_TURN, self.now);
        loop {
            self.now = self.epoch.elapsed();
            let late = self
                .plan
                .deadline
                .is_some_and(|deadline| self.now >= deadline);
            if late || self.sink.is_stopped() {
                self.stop();
                break;
            }
            self.resume_paused();
            self.fire_timers();
            self.begin_waiting_talks();
            self.take_leads();
            self.send_due()?;
            self.report_progress();
            if self.is_done() {
                self.tally.complete = true;
                break;
            }
            self.now = self.epoch.elapsed();
            self.pacer.end(self.now);
            let timeout = EpollTimeout::try_from(self.sleep()).unwrap_or(EpollTimeout::ZERO);
            self.polled_at = self.now;
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(errno) => return Err(SocketError::system("epoll_wait")(errno)),
            };
            self.now = self.epoch.elapsed();
            self.pacer.begin(PACKETS_PER_TURN, self.now);
            for event in &events[..count] {
                self.handle_event(Token::unpack(event.data()), event.events());
            }
        }
        self.release_held();
        self.now = self.epoch.elapsed();
        self.end_sweep();
        (self.tally.counter, self.tally.pending) = self.position();
        self.tally.duration = self.epoch.elapsed();
        self.collect_accepting_networks();
        Ok(self.tally)
    }

    fn handle_event(&mut self, token: Token, flags: EpollFlags) {
        match token {
            Token::Sweep { ipv6, socket } => self.read_sweep_socket(ipv6, socket, flags),
            Token::Attempt(key) => self.attempt_ready(key),
            Token::Stream(key, connection) => self.stream_ready(key, connection, flags),
            Token::Datagram(key) => self.datagram_ready(key),
            Token::Leads => {
                if let Some(leads) = self.leads.as_mut() {
                    leads.clear_wake();
                }
            }
        }
    }

    /// Nobody is given up whose answer may have come while this program had to wait for a processor.
    fn fire_timers(&mut self) {
        while let Some(wake) = self.timers.due(self.polled_at) {
            match wake {
                Wake::Stream(key, send) => self.stream_timed_out(key, send),
                Wake::Datagram(peer, send) => self.datagram_timed_out(peer, send),
                Wake::Repeated(key, next) => self.syn_repeated(key, next),
                Wake::StreamTalk(key) => self.stream_talk_woken(key),
                Wake::DatagramTalk(key) => self.datagram_talk_woken(key),
            }
        }
    }

    /// Our own system could not take a send: others get their turn before the next is tried.
    pub(crate) fn pause_sending(&mut self) {
        self.congested_until = self.now + CONGESTION_PAUSE;
    }

    /// Whether a packet may leave now.
    pub(crate) fn may_send(&self) -> bool {
        self.pacer.allows_one()
    }

    /// Counts a packet that leaves, allowed or not: of the kernel's own nobody asks before.
    pub(crate) fn charge(&mut self) {
        self.pacer.spend();
        self.tally.packets_sent += 1;
    }

    /// Keeps room for packets that the kernel may send by itself because of the one that leaves now.
    pub(crate) fn expect(&mut self, packets: u64) {
        self.pacer.expect(packets);
    }

    pub(crate) fn charge_many(&mut self, packets: u64) {
        for _ in 0..packets {
            self.charge();
        }
    }

    /// Sends what the rate allows: first what was silent, then new pairs.
    fn send_due(&mut self) -> Result<(), SocketError> {
        let mut sends_left = SENDS_PER_TURN;
        while sends_left > 0 && self.may_send() && self.now >= self.congested_until {
            let sent = if let Some(peer) = self.ready_datagrams.pop_front() {
                self.send_datagram_probe(peer)?
            } else if let Some(key) = self.ready_streams.pop_front() {
                if !self.has_descriptor() {
                    self.ready_streams.push_front(key);
                    return Ok(());
                }
                self.send_stream_probe(key)
            } else if self.leads.is_none() && self.has_room() && self.begin_pair() {
                continue;
            } else {
                return Ok(());
            };
            if sent {
                self.charge();
                sends_left -= 1;
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.datagram_probes.len() < limits::UDP_IN_FLIGHT_MAX
            && self.stream_probes.len() < self.shares.attempts
            && self.waiting_streams < self.shares.waiting
            && self.waiting_datagrams.len() < limits::WAITING_MAX
    }

    /// Takes the next pair of the order; false when there is none.
    fn begin_pair(&mut self) -> bool {
        if self.order_ended {
            return false;
        }
        let Some((counter, index, wanted)) = self.next_pair() else {
            self.order_ended = true;
            return false;
        };
        self.begun += 1;
        self.begin_probes(index, Some(counter), wanted);
        true
    }

    /// Begins a pair over the wanted transports. Without a counter it has been judged silent before.
    fn begin_probes(&mut self, index: u64, counter: Option<u64>, wanted: Open) {
        let target = self.permit.pair(index);
        let unix = matches!(target.address(), model::Address::Unix(_));
        let stream = wanted.stream && (self.plan.tcp || unix);
        let datagram = wanted.datagram && self.plan.udp && !unix;
        if let Some(counter) = counter
            && (stream || datagram)
        {
            self.open_pair(counter, stream, datagram);
        }
        if stream {
            let probe = StreamProbe {
                target: target.clone(),
                counter,
                sends: 0,
                first_sent_at: self.now,
                attempts: Vec::new(),
            };
            let key = self.stream_probes.insert(probe);
            self.ready_streams.push_back(key);
        }
        if datagram {
            self.begin_datagram_probe(target, counter);
        }
    }

    fn open_pair(&mut self, counter: u64, stream: bool, datagram: bool) {
        let open = self.open_pairs.entry(counter).or_insert(Open {
            stream: false,
            datagram: false,
        });
        open.stream |= stream;
        open.datagram |= datagram;
    }

    /// What an earlier run left open comes first, then the order.
    fn next_pair(&mut self) -> Option<(u64, u64, Open)> {
        while let Some(stretch) = self.again.last_mut() {
            let Pending {
                counter,
                stream,
                datagram,
                ..
            } = *stretch;
            stretch.counter = counter.saturating_add(1);
            stretch.count = stretch.count.saturating_sub(1);
            let index = self.order.index_at(counter);
            // Behind the last pair of the order there are no more.
            if stretch.count == 0 || index.is_none() {
                self.again.pop();
            }
            if let Some(index) = index {
                return Some((counter, index, Open { stream, datagram }));
            }
        }
        let (counter, index) = self.order.next()?;
        let both = Open {
            stream: true,
            datagram: true,
        };
        Some((counter, index, both))
    }

    fn begin_datagram_probe(&mut self, target: Permitted, counter: Option<u64>) {
        let Some(peer) = Peer::of(target.address(), target.port()) else {
            let contact = Contact::Failed("no such interface".to_owned());
            let late = counter.is_none();
            self.conclude(target, Transport::Udp, counter, bare(contact, 0), late);
            return;
        };
        let probe = DatagramProbe {
            target,
            counter,
            sends: 0,
            first_sent_at: self.now,
            last_sent_at: self.now,
            foreign: None,
        };
        self.datagram_probes.insert(peer, probe);
        self.ready_datagrams.push_back(peer);
    }

    fn is_done(&self) -> bool {
        self.order_ended
            && self.stream_probes.len() == 0
            && self.datagram_probes.is_empty()
            && self.stream_talks.len() == 0
            && self.datagram_talks.len() == 0
            && self.waiting_streams == 0
            && self.waiting_datagrams.is_empty()
    }

    fn sleep(&mut self) -> Duration {
        if self.leads_wait {
            return Duration::ZERO;
        }
        let mut sleep = SLEEP_MAX;
        if let Some(at) = self.timers.next_at() {
            sleep = sleep.min(at.saturating_sub(self.now));
        }
        if let Some(deadline) = self.plan.deadline {
            sleep = sleep.min(deadline.saturating_sub(self.now));
        }
        if !self.paused.is_empty() {
            sleep = sleep.min(self.pacer.wait(self.now));
        }
        let wants_to_send = !self.ready_datagrams.is_empty()
            || (!self.ready_streams.is_empty() && self.has_descriptor())
            || (self.leads.is_none() && !self.order_ended && self.has_room());
        if wants_to_send {
            let congested = self.congested_until.saturating_sub(self.now);
            sleep = sleep.min(self.pacer.wait(self.now).max(congested));
        }
        // epoll counts in milliseconds: rounded up, or the loop would spin through the last one.
        if sleep.is_zero() {
            sleep
        } else {
            Duration::from_millis(sleep.as_micros().div_ceil(1_000) as u64)
        }
    }

    /// How long to wait after this send of a probe.
    pub(crate) fn wait_after(&self, target: &Permitted, send: u32) -> Duration {
        let wait = match self.plan.timeout {
            TimeoutPolicy::Fixed(wait) => return wait,
            TimeoutPolicy::Adaptive => target.address().ip().map_or(LAST_WAIT_MIN, |ip| {
                self.trips.timeout(Neighbourhood::of(ip))
            }),
        };
        if send > self.plan.retries {
            wait.max(LAST_WAIT_MIN)
        } else {
            wait
        }
    }

    /// What the silence of an address amounts to, once its last send has had its time: nobody is
    /// there if the kernel could not find it on our own link. `Err`: the kernel still asks, so long.
    pub(crate) fn contact_of_silence(
        &mut self,
        target: &Permitted,
        first_sent_at: Duration,
    ) -> Result<Contact, Duration> {
        let unanswered = target
            .address()
            .ip()
            .is_some_and(|ip| self.neighbour_table.is_unanswered(ip, self.now));
        if !unanswered {
            return Ok(Contact::Silent);
        }
        let waited = self.now.saturating_sub(first_sent_at);
        match (self.plan.timeout, UNANSWERED_AFTER.checked_sub(waited)) {
            (TimeoutPolicy::Adaptive, Some(left)) if !left.is_zero() => Err(left),
            _ => Ok(Contact::Unreachable(None)),
        }
    }

    pub(crate) fn depth(&self) -> Depth {
        self.plan.depth
    }

    pub(crate) fn key_names_max(&self) -> Option<NonZeroU32> {
        self.plan.key_names_max
    }

    /// A seed for one interview. Keyed by the system's random source, so that what one server sees
    /// of its own tells nothing about anybody else's.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.seeds_drawn += 1;
        self.seeds.hash_one((self.plan.secret, self.seeds_drawn))
    }

    /// Hands an endpoint's evidence over. `counter` is `None` where the pair was ended before.
    pub(crate) fn conclude(
        &mut self,
        target: Permitted,
        transport: Transport,
        counter: Option<u64>,
        evidence: Evidence,
        late: bool,
    ) {
        if let Some(counter) = counter {
            self.end_transport(counter, transport);
        }
        let hardware = self.hardware_of(&target, &evidence.contact);
        self.sink.observed(Observation {
            target,
            transport,
            evidence,
            late,
            hardware,
        });
    }

    /// The network card of a host on our own link that is there.
    fn hardware_of(&mut self, target: &Permitted, contact: &Contact) -> Option<MacAddress> {
        match contact {
            Contact::Unreachable(_) | Contact::Unfinished | Contact::Failed(_) => return None,
            Contact::Answered | Contact::Refused(_) | Contact::Prohibited(_) | Contact::Silent => {}
        }
        let ip = target.address().ip()?;
        let met = self.leads.as_ref().and_then(|leads| leads.hardware(ip));
        met.or_else(|| self.neighbour_table.hardware(ip, self.now))
    }

    /// Keeps a stranger's evidence back, so that a middlebox makes one line and not hundreds.
    pub(crate) fn hold(
        &mut self,
        place: Neighbourhood,
        target: Permitted,
        counter: u64,
        evidence: Evidence,
    ) {
        // Its pair stays open until it is released: what is held is in no record yet.
        self.neighbourhoods
            .entry(place)
            .or_default()
            .held
            .push(Held {
                target,
                counter,
                evidence,
            });
        self.release_if_decided(place);
    }

    pub(crate) fn release_if_decided(&mut self, place: Neighbourhood) {
        let Some(acceptance) = self.neighbourhoods.get_mut(&place) else {
            return;
        };
        if !acceptance.is_decided() {
            return;
        }
        let everything = acceptance.accepts_everything();
        for mut held in std::mem::take(&mut acceptance.held) {
            if everything && let Some(dialogue) = held.evidence.dialogue.as_mut() {
                dialogue.ending = Ending::Sampled;
            }
            let counter = Some(held.counter);
            self.conclude(held.target, Transport::Tcp, counter, held.evidence, false);
        }
    }

    fn release_held(&mut self) {
        let places: Vec<Neighbourhood> = self.neighbourhoods.keys().copied().collect();
        for place in places {
            let held = match self.neighbourhoods.get_mut(&place) {
                Some(acceptance) => std::mem::take(&mut acceptance.held),
                None => Vec::new(),
            };
            for held in held {
                let counter = Some(held.counter);
                self.conclude(held.target, Transport::Tcp, counter, held.evidence, false);
            }
        }
    }

    fn end_transport(&mut self, counter: u64, transport: Transport) {
        if let Some(open) = self.open_pairs.get_mut(&counter) {
            match transport {
                Transport::Udp => open.datagram = false,
                Transport::Tcp | Transport::Unix => open.stream = false,
            }
            if !open.stream && !open.datagram {
                self.open_pairs.remove(&counter);
            }
        }
    }

    /// What a run that continues this one would have to ask again, besides what never began.
    fn pending(&self) -> Vec<Pending> {
        let begun = self.open_pairs.iter().map(|(counter, open)| Pending {
            counter: *counter,
            count: 1,
            stream: open.stream,
            datagram: open.datagram,
        });
        begun.chain(self.again.iter().rev().copied()).collect()
    }

    /// From where the run could be continued: up to which pair, and what is open before it.
    fn position(&self) -> (u64, Vec<Pending>) {
        match (&self.leads, &self.leads_end) {
            (None, _) => (self.order.counter(), self.pending()),
            (Some(_), Some(end)) => (end.counter, self.pending_beside(&end.open)),
            (Some(_), None) => (self.order.counter(), self.pending()),
        }
    }

    /// What is open here and what is open in the sweep, ascending.
    fn pending_beside(&self, open: &[Pending]) -> Vec<Pending> {
        let mut pending = self.pending();
        pending.extend(open);
        pending.sort_unstable();
        pending
    }

    // ---- leads ----

    /// Begins the pairs that a sweep names, as long as there is room for them.
    fn take_leads(&mut self) {
        self.leads_wait = false;
        if self.leads_end.is_some() {
            return;
        }
        for _ in 0..LEADS_PER_TURN {
            if !self.has_room() {
                return;
            }
            let Some(leads) = self.leads.as_mut() else {
                return;
            };
            // Asked before: a lead that comes between the two questions is not lost.
            let has_ended = leads.has_ended();
            match leads.take() {
                Some(lead) => self.follow(lead),
                None if has_ended => {
                    self.leads_end = Some(leads.end());
                    self.order_ended = true;
                    return;
                }
                None => return,
            }
        }
        self.leads_wait = true;
    }

    fn follow(&mut self, lead: Lead) {
        match lead {
            Lead::Ask {
                index,
                tcp,
                udp,
                late,
            } => {
                let Some(counter) = self.order.counter_of(index) else {
                    return;
                };
                // A unix socket is asked whatever the transports of the run.
                let unix = matches!(self.permit.pair(index).address(), model::Address::Unix(_));
                let wanted = Open {
                    stream: tcp || (unix && udp),
                    datagram: udp,
                };
                self.begin_probes(index, (!late).then_some(counter), wanted);
            }
            Lead::Seen {
                index,
                transport,
                contact,
                attempts,
                rtt,
            } => {
                let target = self.permit.pair(index);
                let evidence = Evidence::without_dialogue(contact, attempts, rtt);
                self.conclude(target, transport, None, evidence, false);
            }
            Lead::Counted {
                transport,
                contact,
                endpoints,
            } => self.sink.counted(transport, &contact, endpoints),
            Lead::Checkpoint { counter, open } => {
                let pending = self.pending_beside(&open);
                self.sink.checkpoint(counter, &pending);
            }
        }
    }

    /// Ends the sweep, if there is one beside us, and adds up what both did. Pairs that it named and
    /// nobody began stay open.
    fn end_sweep(&mut self) {
        let Some(leads) = self.leads.as_mut() else {
            return;
        };
        let end = match self.leads_end.take() {
            Some(end) => end,
            None => leads.end(),
        };
        while let Some(lead) = self.leads.as_mut().and_then(|leads| leads.take()) {
            match lead {
                Lead::Ask {
                    index,
                    tcp,
                    udp,
                    late: false,
                } => {
                    if let Some(counter) = self.order.counter_of(index) {
                        self.open_pair(counter, tcp, udp);
                    }
                }
                // It has been judged, as silent.
                Lead::Ask { late: true, .. } | Lead::Checkpoint { .. } => {}
                Lead::Seen { .. } | Lead::Counted { .. } => self.follow(lead),
            }
        }
        self.tally.complete &= end.complete;
        self.tally.packets_sent += end.packets_sent;
        self.tally.packets_received += end.packets_received;
        self.tally.rejected_replies += end.rejected_replies;
        self.leads_end = Some(end);
    }

    fn report_progress(&mut self) {
        if self.now < self.progress_at {
            return;
        }
        self.progress_at = self.now + PROGRESS_INTERVAL;
        let sweep = self.leads.as_ref().map(|leads| leads.progress());
        let progress = Progress {
            elapsed: self.now,
            begun: sweep.map_or(self.begun, |sweep| sweep.begun),
            pairs: self.order.len(),
            packets_sent: self.tally.packets_sent + sweep.map_or(0, |sweep| sweep.packets_sent),
            packets_received: self.tally.packets_received
                + sweep.map_or(0, |sweep| sweep.packets_received),
            interviews: (self.stream_talks.len()
                + self.datagram_talks.len()
                + self.waiting_streams
                + self.waiting_datagrams.len()) as u64,
        };
        self.sink.progress(&progress);
        // While something else sweeps, its leads say when.
        let is_ours = self.leads.is_none() || self.leads_end.is_some();
        if is_ours && self.now >= self.checkpoint_at {
            let (counter, pending) = self.position();
            // A long list is written less often, or the file would grow by it alone.
            let pause = if pending.len() > PENDING_SHORT {
                CHECKPOINT_INTERVAL_LONG
            } else {
                CHECKPOINT_INTERVAL
            };
            self.checkpoint_at = self.now + pause;
            self.sink.checkpoint(counter, &pending);
        }
    }

    /// Ends everything under way and keeps what is known of it.
    fn stop(&mut self) {
        // What is unanswered stays in `open_pairs`, so that a resumed run asks it again.
        for key in self.stream_talks.keys() {
            self.stop_stream_talk(key);
        }
        for key in self.datagram_talks.keys() {
            self.stop_datagram_talk(key);
        }
        for place in self.neighbourhoods.keys().copied().collect::<Vec<_>>() {
            let waiting = match self.neighbourhoods.get_mut(&place) {
                Some(acceptance) => std::mem::take(&mut acceptance.waiting),
                None => continue,
            };
            for waiting in waiting {
                self.give_up(waiting.target, Transport::Tcp, waiting.counter.is_none());
            }
        }
        for waiting in std::mem::take(&mut self.waiting_datagrams) {
            self.give_up(waiting.target, Transport::Udp, waiting.counter.is_none());
        }
        for key in self.stream_probes.keys() {
            if let Some(probe) = self.stream_probes.remove(key) {
                let transport = transport_of(&probe.target);
                self.give_up(probe.target, transport, probe.counter.is_none());
            }
        }
        for (_, probe) in std::mem::take(&mut self.datagram_probes) {
            self.give_up(probe.target, Transport::Udp, probe.counter.is_none());
        }
    }

    /// What was late has been judged before, and that stands.
    fn give_up(&mut self, target: Permitted, transport: Transport, late: bool) {
        if late {
            return;
        }
        self.conclude(target, transport, None, bare(Contact::Unfinished, 0), false);
    }

    fn collect_accepting_networks(&mut self) {
        let mut networks: Vec<AcceptsEverything> = self
            .neighbourhoods
            .iter()
            .filter(|(_, acceptance)| acceptance.accepts_everything())
            .map(|(place, acceptance)| AcceptsEverything {
                network: place.range(),
                accepted: acceptance.accepted,
                sampled: acceptance.sampled,
                impression: acceptance.impression.clone().unwrap_or(Impression::Mute),
            })
            .collect();
        networks.sort_by_key(|network| network.network.first);
        self.tally.accepts_everything = networks;
    }

    pub(crate) fn register(&self, fd: &OwnedFd, flags: EpollFlags, token: Token) -> bool {
        self.epoll
            .add(fd, EpollEvent::new(flags, token.pack()))
            .is_ok()
    }
}

/// Evidence of an endpoint that said nothing.
pub(crate) fn bare(contact: Contact, attempts: u32) -> Evidence {
    Evidence::without_dialogue(contact, attempts, None)
}

/// TCP, unless the target is a unix socket.
pub(crate) fn transport_of(target: &Permitted) -> Transport {
    match target.address() {
        model::Address::Unix(_) => Transport::Unix,
        model::Address::Ip(_) | model::Address::Zoned(..) => Transport::Tcp,
    }
}

/// What a dialogue met, if it was nothing that speaks memcached.
pub(crate) fn stranger_of(dialogue: &Dialogue) -> Option<&Impression> {
    let stranger = dialogue.executed.is_empty() && dialogue.auth == model::Auth::Unknown;
    dialogue.impression.as_ref().filter(|_| stranger)
}
