//! A made-up network on a virtual clock: hosts whose truth is known, and weather between them and
//! us.
//!
//! [`World`] implements [`sockets::Network`], so whatever runs over the kernel's sockets runs here
//! as well, in no time, and the same seed gives the same run to the last packet. The sweep keeps the
//! plan's promises (order, rate, retries, timeouts, deadline) and drives the very same interviews.
//!
//! What is left out: descriptors and their limits, unix sockets, TLS itself (a handshake is two
//! round trips and its outcome), and the sampling of networks that accept everything. TCP is a
//! reliable stream in which a lost segment is a late one.
//!
//! Nothing is sent but to a [`targets::Permitted`], here as everywhere; and everything that is sent
//! is written down, so that a test can hold rate and permit against it.

mod population;
mod sweep;
mod talks;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::{TlsFacts, Transport, Verdict};
use sockets::{Network, Plan, Sink, SocketError, Tally};
use targets::{Permit, Permitted};

use crate::behaviour::{Personality, Random};

pub use population::{Inhabitant, populate};

/// The clock of the hosts when the world begins.
const EPOCH_US: u64 = 1_800_000_000_000_000;

/// What becomes of a packet that reaches a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// The server of the host takes it.
    Open,
    /// Nobody listens: a RST, or ICMP port unreachable.
    #[default]
    Closed,
    /// A filter swallows it.
    Filtered,
    /// A filter says so: ICMP communication administratively prohibited.
    Prohibited,
    /// There is no such host, and the router says so.
    Absent,
}

/// One address and port, with its server.
pub struct Host {
    /// What happens to TCP.
    pub tcp: Door,
    /// What happens to UDP.
    pub udp: Door,
    /// The outcome of a TLS handshake; `None`: it speaks in clear.
    pub tls: Option<TlsFacts>,
    /// Where its datagrams come from, if not from where they were asked.
    pub answers_from: Option<SocketAddr>,
    /// Who lives there.
    pub server: Box<dyn Personality>,
    /// The right verdicts, over TCP and over UDP.
    pub truth: [Verdict; 2],
}

/// What the network does to packets.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Of a thousand packets, so many are lost, each way.
    pub loss_permille: u64,
    /// Of a thousand datagrams, so many arrive twice.
    pub duplication_permille: u64,
    /// Each packet is later by up to so much, by chance: packets overtake each other.
    pub jitter: Duration,
    /// Round trip to a usual host; those of single hosts lie between half of it and one and a half.
    pub round_trip: Duration,
    /// Datagrams a second that come unasked, with random ids and sources that were asked.
    pub spoofed_pps: u64,
}

impl Weather {
    /// Nothing is lost, doubled or overtaken; 20 ms round trip.
    pub const CALM: Weather = Weather {
        loss_permille: 0,
        duplication_permille: 0,
        jitter: Duration::ZERO,
        round_trip: Duration::from_millis(20),
        spoofed_pps: 0,
    };
}

/// Something that left this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When, since the world began.
    pub at: Duration,
    /// To whom.
    pub to: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Whether it is one of the sweep's probes, which the rate is about.
    pub is_probe: bool,
}

/// The network.
pub struct World {
    hosts: BTreeMap<SocketAddr, Host>,
    weather: Weather,
    random: Random,
    /// How long it has existed; runs follow each other.
    clock: Duration,
    streams_opened: u64,
    sent: Vec<Sent>,
    spoofed: u64,
}

impl World {
    /// A network without hosts: every port is closed.
    pub fn new(seed: u64, weather: Weather) -> World {
        World {
            hosts: BTreeMap::new(),
            weather,
            random: Random(seed),
            clock: Duration::ZERO,
            streams_opened: 0,
            sent: Vec::new(),
            spoofed: 0,
        }
    }

    /// Puts a host at this address and port.
    pub fn add(&mut self, at: SocketAddr, host: Host) {
        self.hosts.insert(at, host);
    }

    /// The right verdict of an endpoint.
    pub fn truth(&self, at: SocketAddr, transport: Transport) -> Verdict {
        let both = self
            .hosts
            .get(&at)
            .map_or([Verdict::Closed; 2], |host| host.truth);
        both[usize::from(transport == Transport::Udp)]
    }

    /// Everything that was sent to the network, in order.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// How many spoofed datagrams were delivered.
    pub fn spoofed(&self) -> u64 {
        self.spoofed
    }

    fn door(&self, at: SocketAddr, transport: Transport) -> Door {
        let doors = self
            .hosts
            .get(&at)
            .map_or([Door::Closed; 2], |host| [host.tcp, host.udp]);
        doors[usize::from(transport == Transport::Udp)]
    }

    fn happens(&mut self, permille: u64) -> bool {
        permille > 0 && self.random.below(1_000) < permille
    }

    fn is_lost(&mut self) -> bool {
        self.happens(self.weather.loss_permille)
    }

    /// One way to this host, for this packet.
    fn way(&mut self, host: SocketAddr) -> Duration {
        // Between half and one and a half of the usual, and always the same for one address.
        let share = 500 + Random(bits_of(host.ip())).below(1_001) as u32;
        let jitter_us = self.weather.jitter.as_micros() as u64;
        let late_us = if jitter_us == 0 {
            0
        } else {
            self.random.below(jitter_us)
        };
        self.weather.round_trip * share / 2_000 + Duration::from_micros(late_us)
    }

    /// One way of a segment of TCP, which is sent again until it arrives.
    fn reliable_way(&mut self, host: SocketAddr, first_timeout: Duration) -> Duration {
        let mut late = self.way(host);
        let mut timeout = first_timeout;
        // Six losses in a row take TCP a minute or so: longer than anybody here waits.
        for _ in 0..6 {
            if !self.is_lost() {
                break;
            }
            late += timeout;
            timeout *= 2;
        }
        late
    }

    fn note_sent(
        &mut self,
        now: Duration,
        target: &Permitted,
        transport: Transport,
        is_probe: bool,
    ) {
        let to = socket_address(target);
        let at = self.clock + now;
        self.sent.push(Sent {
            at,
            to,
            transport,
            is_probe,
        });
    }
}

impl Network for World {
    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        let tally = sweep::Run::new(self, plan, permit, sink).run();
        self.clock += tally.duration;
        Ok(tally)
    }
}

/// Where a permitted target is. Unix sockets do not exist in this world, and are at `0.0.0.0`.
fn socket_address(target: &Permitted) -> SocketAddr {
    let nowhere = IpAddr::from([0, 0, 0, 0]);
    SocketAddr::new(target.address().ip().unwrap_or(nowhere), target.port())
}

fn bits_of(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64 ^ u128::from(ip) as u64,
    }
}
