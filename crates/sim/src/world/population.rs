//! Who lives in a made-up network: every kind of host that the verdicts tell apart, with its truth.

use std::net::{IpAddr, SocketAddr};

use model::{TlsFacts, Verdict};

use super::{Door, Host, World};
use crate::behaviour::{
    BindingProtocol, Demand, Genuine, GenuineConfig, Honeypot, Hostile, Misbehaviour, Personality,
    ProxyLike, Random, StoredItems, Stranger,
};

/// A kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inhabitant {
    /// 1.4.15, open over both transports.
    Open1415,
    /// 1.6.9, open over both, whose long UDP replies state too few datagrams.
    Open169,
    /// 1.6.18 without UDP, whose port says so.
    OpenTcp,
    /// 1.6.18 without UDP, behind a filter that swallows it: only the settings tell.
    OpenTcpUdpSettled,
    /// 1.4.33 with UDP, which a filter swallows.
    OpenTcpUdpFiltered,
    /// UDP only.
    OpenUdp,
    /// UDP only, and it answers from another address.
    OpenUdpElsewhere,
    /// SASL over TCP, which UDP walks around.
    SaslBypassed,
    /// SASL.
    Sasl,
    /// An ASCII password, and UDP swallowed.
    AsciiPassword,
    /// TLS without authentication.
    Tls,
    /// TLS that demands a certificate.
    TlsClientCertificate,
    /// Binary protocol only.
    Binary,
    /// A honeypot.
    Honeypot,
    /// A proxy.
    Proxy,
    /// Something else that accepts; which, is up to chance.
    Stranger,
    /// Sends everything back, over both transports.
    Echo,
    /// Genuine over TCP; its datagrams carry a wrong id.
    WrongId,
    /// Genuine over TCP; its datagrams are a flood.
    Flood,
    /// Rows of statistics without end, over TCP.
    EndlessStats,
    /// One byte now and then, and never a line.
    Drip,
    /// Everything is swallowed.
    Filtered,
    /// Everything is prohibited.
    Prohibited,
    /// No such host.
    Absent,
}

impl Inhabitant {
    /// All of them.
    pub const ALL: [Inhabitant; 24] = [
        Inhabitant::Open1415,
        Inhabitant::Open169,
        Inhabitant::OpenTcp,
        Inhabitant::OpenTcpUdpSettled,
        Inhabitant::OpenTcpUdpFiltered,
        Inhabitant::OpenUdp,
        Inhabitant::OpenUdpElsewhere,
        Inhabitant::SaslBypassed,
        Inhabitant::Sasl,
        Inhabitant::AsciiPassword,
        Inhabitant::Tls,
        Inhabitant::TlsClientCertificate,
        Inhabitant::Binary,
        Inhabitant::Honeypot,
        Inhabitant::Proxy,
        Inhabitant::Stranger,
        Inhabitant::Echo,
        Inhabitant::WrongId,
        Inhabitant::Flood,
        Inhabitant::EndlessStats,
        Inhabitant::Drip,
        Inhabitant::Filtered,
        Inhabitant::Prohibited,
        Inhabitant::Absent,
    ];

    /// Such a host. The same seed gives the same one.
    pub fn host(self, seed: u64) -> Host {
        use Verdict::{
            Absent, Closed, Decoy, Exposed, Filtered, Other, Protected, Silent, Unfinished,
        };
        use {
            Door::Absent as NoHost, Door::Closed as Shut, Door::Filtered as Swallowed, Door::Open,
        };
        let mut random = Random(seed);
        let strangers = [
            Stranger::Http,
            Stranger::Ssh,
            Stranger::Redis,
            Stranger::Mute,
            Stranger::ResetAtOnce,
            Stranger::CloseAtOnce,
        ];
        let stranger = strangers[random.below(strangers.len() as u64) as usize];
        let hostile = |misbehaviour| Box::new(Hostile::new(misbehaviour));
        let with_udp = |version| genuine(version, seed, |config| config.udp_port = 11211);
        let (server, tcp, udp, truth): (Box<dyn Personality>, _, _, _) = match self {
            Inhabitant::Open1415 => (with_udp("1.4.15"), Open, Open, [Exposed, Exposed]),
            Inhabitant::Open169 => (with_udp("1.6.9"), Open, Open, [Exposed, Exposed]),
            Inhabitant::OpenTcp => (
                genuine("1.6.18", seed, |_| {}),
                Open,
                Shut,
                [Exposed, Closed],
            ),
            Inhabitant::OpenTcpUdpSettled => (
                genuine("1.6.18", seed, |_| {}),
                Open,
                Swallowed,
                [Exposed, Closed],
            ),
            Inhabitant::OpenTcpUdpFiltered => {
                (with_udp("1.4.33"), Open, Swallowed, [Exposed, Silent])
            }
            Inhabitant::OpenUdp | Inhabitant::OpenUdpElsewhere => {
                (with_udp("1.4.33"), Shut, Open, [Closed, Exposed])
            }
            Inhabitant::SaslBypassed => {
                let server = genuine("1.4.15", seed, |config| {
                    (config.demand, config.udp_port) = (Demand::Sasl, 11211);
                });
                (server, Open, Open, [Protected, Exposed])
            }
            Inhabitant::Sasl => {
                let server = genuine("1.6.45", seed, |config| config.demand = Demand::Sasl);
                (server, Open, Shut, [Protected, Closed])
            }
            Inhabitant::AsciiPassword => {
                let server = genuine("1.6.45", seed, |config| config.demand = Demand::Ascii);
                (server, Open, Swallowed, [Protected, Silent])
            }
            Inhabitant::Tls => (
                genuine("1.6.45", seed, |_| {}),
                Open,
                Shut,
                [Exposed, Closed],
            ),
            Inhabitant::TlsClientCertificate => (
                genuine("1.6.45", seed, |_| {}),
                Open,
                Shut,
                [Protected, Closed],
            ),
            Inhabitant::Binary => {
                let binary = BindingProtocol::Binary;
                let server = genuine("1.6.45", seed, |config| config.protocol = binary);
                (server, Open, Shut, [Exposed, Closed])
            }
            Inhabitant::Honeypot => (Box::new(Honeypot::new(seed)), Open, Shut, [Decoy, Closed]),
            Inhabitant::Proxy => (
                Box::new(ProxyLike::new("1.6.18")),
                Open,
                Shut,
                [Exposed, Closed],
            ),
            Inhabitant::Stranger => (Box::new(stranger), Open, Shut, [Other, Closed]),
            Inhabitant::Echo => (Box::new(Stranger::Echo), Open, Open, [Other, Other]),
            Inhabitant::WrongId => (
                hostile(Misbehaviour::WrongRequestId),
                Open,
                Open,
                [Exposed, Other],
            ),
            Inhabitant::Flood => (
                hostile(Misbehaviour::DatagramFlood),
                Open,
                Open,
                [Exposed, Other],
            ),
            Inhabitant::EndlessStats => (
                hostile(Misbehaviour::EndlessStats),
                Open,
                Open,
                [Exposed, Exposed],
            ),
            Inhabitant::Drip => (
                hostile(Misbehaviour::Drip),
                Open,
                Shut,
                [Unfinished, Closed],
            ),
            Inhabitant::Filtered => (Box::new(stranger), Swallowed, Swallowed, [Filtered, Silent]),
            Inhabitant::Prohibited => (
                Box::new(stranger),
                Door::Prohibited,
                Door::Prohibited,
                [Filtered, Filtered],
            ),
            Inhabitant::Absent => (Box::new(stranger), NoHost, NoHost, [Absent, Absent]),
        };
        let tls = match self {
            Inhabitant::Tls => Some(false),
            Inhabitant::TlsClientCertificate => Some(true),
            _ => None,
        };
        let tls = tls.map(|client_certificate_requested| TlsFacts {
            version: "TLSv1.3".into(),
            cipher_suite: "TLS13_AES_256_GCM_SHA384".into(),
            certificate: None,
            client_certificate_requested,
        });
        Host {
            tcp,
            udp,
            tls,
            answers_from: None,
            server,
            truth,
        }
    }
}

/// Puts `count` hosts of all kinds in turn on addresses drawn from these, on port 11211; the other
/// addresses stay closed. Returns who lives where.
pub fn populate(
    world: &mut World,
    seed: u64,
    addresses: &[IpAddr],
    count: usize,
) -> Vec<(SocketAddr, Inhabitant)> {
    let mut random = Random(seed);
    let mut free: Vec<IpAddr> = addresses.to_vec();
    let mut inhabitants = Vec::new();
    for index in 0..count.min(free.len()) {
        let ip = free.swap_remove(random.below(free.len() as u64) as usize);
        let kind = Inhabitant::ALL[index % Inhabitant::ALL.len()];
        let at = SocketAddr::new(ip, 11211);
        let mut host = kind.host(random.below(u64::MAX));
        if kind == Inhabitant::OpenUdpElsewhere {
            // Another address of the same machine.
            host.answers_from = Some(SocketAddr::from((
                [10, 255, 255, (index % 250) as u8],
                11211,
            )));
        }
        world.add(at, host);
        inhabitants.push((at, kind));
    }
    inhabitants
}

fn genuine(
    version: &str,
    seed: u64,
    change: impl FnOnce(&mut GenuineConfig),
) -> Box<dyn Personality> {
    let mut random = Random(seed);
    let mut config = GenuineConfig::new(version);
    config.pid = 100 + random.below(30_000) as u32;
    config.started_unix_s = 1_790_000_000 + random.below(9_000_000);
    config.items = (1..=1 + random.below(30) as u8)
        .map(|class| StoredItems {
            class,
            count: 1 + random.below(900),
            bytes: 96 * 1024,
        })
        .collect();
    change(&mut config);
    Box::new(Genuine::new(config))
}
