//! A made-up network on loopback in which everything is wrong that can be, and which knows the
//! right answers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use model::{Address, Endpoint, Transport, Verdict};

use crate::behaviour::{
    Demand, Genuine, GenuineConfig, Honeypot, Hostile, Misbehaviour, Personality, ProxyLike,
    Random, StoredItems, Stranger, TlsBuild,
};
use crate::live::{FullBacklog, Hosting, LiveServer, SilentUdp, TlsMode};

/// Ports that are tried, the real one first: a server on all addresses may hold it already.
const PORTS: [u16; 5] = [11211, 21211, 31211, 41211, 51211];
/// The network: 127.77.0.0/16.
const NETWORK: [u8; 2] = [127, 77];
/// The broadcast address of loopback, where no host can be: the kernel knows no way there, and
/// nothing is sent.
const ABSENT: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
const DAY_S: u64 = 86_400;

/// The running network. Gone when dropped.
#[derive(Debug)]
pub struct DemoNetwork {
    port: u16,
    hosts: Vec<RunningHost>,
}

#[derive(Debug)]
struct RunningHost {
    name: &'static str,
    address: Ipv4Addr,
    tcp: Option<Verdict>,
    udp: Option<Verdict>,
    presence: Presence,
}

/// What runs on a host.
#[derive(Debug)]
#[expect(dead_code, reason = "the values are held for their existence only")]
enum Presence {
    Server(LiveServer),
    FullBacklog(FullBacklog),
    SilentUdp(SilentUdp),
    Nothing,
}

impl DemoNetwork {
    /// Starts about twenty hosts. The same seed gives the same addresses and numbers.
    ///
    /// # Errors
    /// If none of the ports is free on all of their addresses.
    pub fn start(seed: u64) -> io::Result<DemoNetwork> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_unix_s = now.map_or(0, |duration| duration.as_secs());
        let mut last_error = io::Error::other("no port to try");
        for port in PORTS {
            match DemoNetwork::start_on(port, seed, now_unix_s) {
                Ok(network) => return Ok(network),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last_error = error,
                Err(error) => return Err(error),
            }
        }
        Err(last_error)
    }

    fn start_on(port: u16, seed: u64, now_unix_s: u64) -> io::Result<DemoNetwork> {
        let plans = plans(port, seed, now_unix_s);
        let hosts = plans
            .into_iter()
            .map(|plan| plan.start(port))
            .collect::<Result<_, _>>()?;
        Ok(DemoNetwork { port, hosts })
    }

    /// The port of every host: 11211, unless something on this machine has it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to scan, as a user would type it.
    pub fn targets(&self) -> Vec<String> {
        let with_port = |host: &RunningHost| match self.port {
            11211 => host.address.to_string(),
            port => format!("{}:{port}", host.address),
        };
        self.hosts.iter().map(with_port).collect()
    }

    /// The right answers. Two endpoints of a host may differ; an endpoint that is missing here has
    /// no answer that is the same everywhere.
    pub fn expected(&self) -> Vec<(Endpoint, Verdict)> {
        let mut all = Vec::new();
        for host in &self.hosts {
            let address = Address::from_ip(IpAddr::V4(host.address));
            for (transport, verdict) in [(Transport::Tcp, host.tcp), (Transport::Udp, host.udp)] {
                let endpoint = Endpoint::new(address.clone(), self.port, transport);
                all.extend(verdict.map(|verdict| (endpoint, verdict)));
            }
        }
        all
    }

    /// The made-up names of the hosts.
    pub fn names(&self) -> BTreeMap<IpAddr, String> {
        let name = |host: &RunningHost| (IpAddr::V4(host.address), host.name.to_owned());
        self.hosts.iter().map(name).collect()
    }
}

impl Drop for DemoNetwork {
    fn drop(&mut self) {
        // All at once first; then each host, when it is dropped, waits for its own end only.
        for host in &mut self.hosts {
            if let Presence::Server(server) = &mut host.presence {
                server.stop_soon();
            }
        }
    }
}

/// A host before it runs.
struct Plan {
    name: &'static str,
    address: Ipv4Addr,
    tcp: Option<Verdict>,
    udp: Option<Verdict>,
    what: What,
}

enum What {
    Server(Hosting, Box<dyn Personality>),
    FullBacklog,
    SilentUdp,
    Nothing,
}

impl Plan {
    fn start(self, port: u16) -> io::Result<RunningHost> {
        let address = SocketAddr::from((self.address, port));
        let presence = match self.what {
            What::Server(hosting, personality) => {
                Presence::Server(LiveServer::host(address, hosting, personality)?)
            }
            What::FullBacklog => Presence::FullBacklog(FullBacklog::start(address)?),
            What::SilentUdp => Presence::SilentUdp(SilentUdp::bind(address)?),
            What::Nothing => Presence::Nothing,
        };
        let Plan {
            name,
            address,
            tcp,
            udp,
            ..
        } = self;
        Ok(RunningHost {
            name,
            address,
            tcp,
            udp,
            presence,
        })
    }
}

/// Collects plans and hands out their addresses and numbers.
struct Planner {
    port: u16,
    now_unix_s: u64,
    random: Random,
    plans: Vec<Plan>,
}

fn plans(port: u16, seed: u64, now_unix_s: u64) -> Vec<Plan> {
    let mut planner = Planner {
        port,
        now_unix_s,
        random: Random(seed),
        plans: Vec::new(),
    };
    planner.exposed_hosts();
    planner.protected_hosts();
    planner.deceptive_hosts();
    planner.hosts_without_memcached();
    planner.plans
}

const TCP: Hosting = Hosting {
    tcp: true,
    udp: false,
    tls: None,
    udp_reply: crate::live::UdpReply::FromSamePort,
};
const UDP: Hosting = Hosting {
    tcp: false,
    udp: true,
    ..TCP
};
const BOTH: Hosting = Hosting { udp: true, ..TCP };

impl Planner {
    fn exposed_hosts(&mut self) {
        use Verdict::{Closed, Exposed};
        let mut old = self.config("1.4.15");
        old.items = self.items(&[(1, 120), (5, 4_800), (13, 2_100), (22, 96), (40, 3)]);
        old.memory_limit_bytes = 1 << 30;
        self.genuine("web-cache-1", BOTH, [Exposed, Exposed], old);

        let mut sessions = self.config("1.5.0");
        sessions.items = self.items(&[(4, 31_000), (5, 18_400), (6, 950)]);
        sessions.peers = (0..12)
            .map(|host| format!("tcp:10.20.0.{}:{}", 11 + host, 40_112 + host * 7))
            .collect();
        self.genuine("sessions-1", BOTH, [Exposed, Exposed], sessions);

        let mut tls = self.config("1.6.45");
        tls.tls = TlsBuild::On;
        tls.items = self.items(&[(2, 640), (9, 77)]);
        let hosting = Hosting {
            tls: Some(TlsMode::default()),
            ..BOTH
        };
        self.genuine("shop-cache-tls", hosting, [Exposed, Exposed], tls);

        let mut udp_only = self.config("1.4.33");
        udp_only.tcp_port = 0;
        self.genuine("statistics-feed", UDP, [Closed, Exposed], udp_only);

        let mut miscounting = self.config("1.6.9");
        miscounting.items =
            self.items(&[(1, 12), (3, 4_000), (7, 650), (12, 88), (20, 12), (33, 5)]);
        self.genuine("api-cache-2", BOTH, [Exposed, Exposed], miscounting);

        let mut debian = self.config("1.6.18");
        debian.udp_port = 0;
        debian.tls = TlsBuild::Off;
        debian.inter = Some("0.0.0.0".into());
        debian.items = self.items(&[(3, 210)]);
        self.genuine("app-cache-3", TCP, [Exposed, Closed], debian);

        let proxy = Box::new(ProxyLike::new("1.6.18"));
        self.add(
            "cache-proxy-1",
            [Some(Exposed), Some(Closed)],
            What::Server(TCP, proxy),
        );
    }

    fn protected_hosts(&mut self) {
        use Verdict::{Closed, Exposed, Protected};
        let mut sasl = self.config("1.6.45");
        (sasl.demand, sasl.udp_port) = (Demand::Sasl, 0);
        self.genuine("payments-cache", TCP, [Protected, Closed], sasl);

        let mut ascii = self.config("1.6.45");
        (ascii.demand, ascii.udp_port) = (Demand::Ascii, 0);
        self.genuine("reports-cache", TCP, [Protected, Closed], ascii);

        let mut mutual = self.config("1.6.38");
        (mutual.tls, mutual.udp_port) = (TlsBuild::On, 0);
        let mode = TlsMode {
            require_client_certificate: true,
        };
        let hosting = Hosting {
            tls: Some(mode),
            ..TCP
        };
        self.genuine("vault-cache", hosting, [Protected, Closed], mutual);

        // SASL did not guard UDP before 1.5.20, and UDP was on by default.
        let mut bypassed = self.config("1.4.15");
        bypassed.demand = Demand::Sasl;
        bypassed.items = self.items(&[(4, 900)]);
        self.genuine("legacy-sasl", BOTH, [Protected, Exposed], bypassed);
    }

    fn deceptive_hosts(&mut self) {
        use Verdict::{Closed, Decoy, Other, Unfinished};
        let honeypot = Box::new(Honeypot::new(self.random.below(u64::MAX)));
        self.add(
            "trap-1",
            [Some(Decoy), Some(Closed)],
            What::Server(TCP, honeypot),
        );
        let drip = Box::new(Hostile::new(Misbehaviour::Drip));
        self.add(
            "overloaded-cache",
            [Some(Unfinished), Some(Closed)],
            What::Server(TCP, drip),
        );
        for (name, stranger) in [
            ("intranet-wiki", Stranger::Http),
            ("door-lock", Stranger::Mute),
        ] {
            let what = What::Server(TCP, Box::new(stranger));
            self.add(name, [Some(Other), Some(Closed)], what);
        }
    }

    fn hosts_without_memcached(&mut self) {
        use Verdict::{Absent, Closed, Filtered, Silent};
        self.add("mail-1", [Some(Closed), Some(Closed)], What::Nothing);
        self.add(
            "backup-1",
            [Some(Filtered), Some(Closed)],
            What::FullBacklog,
        );
        self.add(
            "phone-gateway",
            [Some(Closed), Some(Silent)],
            What::SilentUdp,
        );
        // Over UDP the kernel does not say "no route" but "no permission to broadcast".
        self.add("moved-away", [Some(Absent), None], What::Nothing);
        if let Some(plan) = self.plans.last_mut() {
            plan.address = ABSENT;
        }
    }

    /// A server started some weeks ago with UDP on and without `-l`.
    fn config(&mut self, version: &str) -> GenuineConfig {
        let mut config = GenuineConfig::new(version);
        config.pid = 400 + self.random.below(30_000) as u32;
        let age_s = DAY_S + self.random.below(200 * DAY_S);
        config.started_unix_s = self.now_unix_s.saturating_sub(age_s);
        config.tcp_port = self.port;
        config.udp_port = self.port;
        config
    }

    fn items(&mut self, classes: &[(u8, u64)]) -> Vec<StoredItems> {
        let stored = |&(class, count): &(u8, u64)| {
            let size = 60 + u64::from(class) * 24 + self.random.below(40);
            StoredItems {
                class,
                count,
                bytes: count * size,
            }
        };
        classes.iter().map(stored).collect()
    }

    fn genuine(
        &mut self,
        name: &'static str,
        hosting: Hosting,
        [tcp, udp]: [Verdict; 2],
        config: GenuineConfig,
    ) {
        let server = Box::new(Genuine::new(config));
        self.add(name, [Some(tcp), Some(udp)], What::Server(hosting, server));
    }

    fn add(&mut self, name: &'static str, [tcp, udp]: [Option<Verdict>; 2], what: What) {
        let address = self.fresh_address();
        self.plans.push(Plan {
            name,
            address,
            tcp,
            udp,
            what,
        });
    }

    fn fresh_address(&mut self) -> Ipv4Addr {
        let [first, second] = NETWORK;
        // A host of its own in each of the 256 networks; far fewer hosts than networks, so a free
        // one is always found.
        loop {
            let third = self.random.below(256) as u8;
            let fourth = 1 + self.random.below(254) as u8;
            let address = Ipv4Addr::new(first, second, third, fourth);
            if self
                .plans
                .iter()
                .all(|plan| plan.address.octets()[2] != third)
            {
                return address;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{TcpStream, UdpSocket};
    use std::time::{Duration, Instant};

    use super::*;

    /// What the kernel says of an endpoint, before anybody has spoken: what `connect` and the
    /// first datagram bring.
    fn first_contact(endpoint: &Endpoint, expected: Verdict) -> Verdict {
        let address = SocketAddr::new(endpoint.address.ip().unwrap(), endpoint.port);
        // Only those that are expected to stay silent are not waited for.
        let patience = match expected {
            Verdict::Filtered | Verdict::Silent => Duration::from_millis(150),
            _ => Duration::from_secs(10),
        };
        let result = match endpoint.transport {
            Transport::Tcp => TcpStream::connect_timeout(&address, patience).map(drop),
            _ => {
                let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
                client.set_read_timeout(Some(patience)).unwrap();
                client.connect(address).unwrap();
                client.send(b"\0\x01\0\0\0\x01\0\0version\r\n").unwrap();
                client.recv(&mut [0; 1500]).map(drop)
            }
        };
        match result.map_err(|error| error.kind()) {
            Ok(()) => Verdict::Exposed,
            Err(io::ErrorKind::ConnectionRefused) => Verdict::Closed,
            Err(io::ErrorKind::NetworkUnreachable) => Verdict::Absent,
            Err(io::ErrorKind::TimedOut) => Verdict::Filtered,
            Err(io::ErrorKind::WouldBlock) => Verdict::Silent,
            Err(kind) => panic!("{endpoint}: {kind}"),
        }
    }

    #[test]
    fn the_network_holds_every_verdict_and_is_reachable_as_it_says() {
        let network = DemoNetwork::start(u64::from(std::process::id())).unwrap();
        let expected = network.expected();
        let seen: BTreeSet<Verdict> = expected.iter().map(|(_, verdict)| *verdict).collect();
        assert_eq!(seen, BTreeSet::from(Verdict::ALL));
        assert_eq!(network.targets().len(), network.names().len());
        assert_eq!(expected.len(), 2 * network.names().len() - 1);
        for (endpoint, verdict) in expected {
            use Verdict::{Decoy, Exposed, Other, Protected, Unfinished};
            let contact = first_contact(&endpoint, verdict);
            // What answers must be spoken to before more can be said.
            let by_kernel = match verdict {
                Exposed | Protected | Decoy | Other | Unfinished => Exposed,
                verdict => verdict,
            };
            assert_eq!(contact, by_kernel, "{endpoint}");
        }
        let began = Instant::now();
        drop(network);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let addresses = |seed: u64| -> Vec<Ipv4Addr> {
            plans(11211, seed, 1_800_000_000)
                .iter()
                .map(|plan| plan.address)
                .collect()
        };
        assert_eq!(addresses(1), addresses(1));
        assert_ne!(addresses(1), addresses(2));
        let distinct: BTreeSet<Ipv4Addr> = addresses(1).into_iter().collect();
        assert_eq!(distinct.len(), addresses(1).len());
    }

    #[test]
    fn a_taken_port_gives_way_to_the_next() {
        let first = DemoNetwork::start(u64::MAX).unwrap();
        let second = DemoNetwork::start(u64::MAX).unwrap();
        assert_ne!(first.port(), second.port());
        let target = &second.targets()[0];
        assert!(target.ends_with(&format!(":{}", second.port())), "{target}");
    }
}
