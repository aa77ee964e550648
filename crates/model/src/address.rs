//! Where a question goes: an address, a port and a transport.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// How bytes reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams with memcached's 8-byte frame.
    Udp,
    /// A unix-domain stream socket.
    Unix,
}

impl Transport {
    /// The word used in every output: `tcp`, `udp` or `unix`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::Unix => "unix",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An address that a probe can be sent to.
///
/// An IPv4-mapped IPv6 address is its IPv4 address, so that no scope rule can be walked around by
/// spelling: build values with [`Address::from_ip`], which takes care of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A link-local IPv6 address with the interface it is valid on (`fe80::1%eth0`).
    Zoned(Ipv6Addr, Arc<str>),
    /// The path of a unix-domain socket.
    Unix(Arc<PathBuf>),
}

/// Turns an IPv4-mapped IPv6 address (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) into IPv4.
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// What kind of network an address belongs to; the scope rule and severities depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// 127.0.0.0/8, ::1 and unix sockets: this machine only.
    Loopback,
    /// 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291).
    LinkLocal,
    /// RFC 1918 networks and unique local addresses fc00::/7 (RFC 4193).
    Private,
    /// Everything else that can be a host, 100.64.0.0/10 and the documentation ranges included.
    Other,
    /// Never a host: 0.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4, ::, ff00::/8.
    NotAHost,
}

impl AddressKind {
    /// Classifies an address by itself, without looking at any scope.
    pub fn of(ip: IpAddr) -> AddressKind {
        match canonical_ip(ip) {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> AddressKind {
        let first = ip.octets()[0];
        if first == 0 || first >= 224 {
            AddressKind::NotAHost
        } else if ip.is_loopback() {
            AddressKind::Loopback
        } else if ip.is_link_local() {
            AddressKind::LinkLocal
        } else if ip.is_private() {
            AddressKind::Private
        } else {
            AddressKind::Other
        }
    }

    fn of_v6(ip: Ipv6Addr) -> AddressKind {
        if ip.is_unspecified() || ip.is_multicast() {
            AddressKind::NotAHost
        } else if ip.is_loopback() {
            AddressKind::Loopback
        } else if ip.is_unicast_link_local() {
            AddressKind::LinkLocal
        } else if ip.is_unique_local() {
            AddressKind::Private
        } else {
            AddressKind::Other
        }
    }

    /// Whether an address of this kind may be scanned without a scope entry.
    pub fn is_free_to_scan(self) -> bool {
        matches!(
            self,
            AddressKind::Loopback | AddressKind::LinkLocal | AddressKind::Private
        )
    }
}

impl Address {
    /// An address from an IP address, in its canonical form.
    pub fn from_ip(ip: IpAddr) -> Address {
        Address::Ip(canonical_ip(ip))
    }

    /// The IP address, if this is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(ip) => Some(*ip),
            Address::Zoned(ip, _) => Some(IpAddr::V6(*ip)),
            Address::Unix(_) => None,
        }
    }

    /// The kind of network; a unix socket counts as loopback.
    pub fn kind(&self) -> AddressKind {
        self.ip().map_or(AddressKind::Loopback, AddressKind::of)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(formatter),
            Address::Zoned(ip, zone) => write!(formatter, "{ip}%{zone}"),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Address, port and transport: the thing that a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// The port; 0 for a unix socket.
    pub port: u16,
    /// How it is spoken to.
    pub transport: Transport,
}

impl Endpoint {
    /// An endpoint on an IP address.
    pub fn new(address: Address, port: u16, transport: Transport) -> Endpoint {
        Endpoint {
            address,
            port,
            transport,
        }
    }

    /// Address and port as users type them: brackets around IPv6, the bare path of a unix socket.
    pub fn host_and_port(&self) -> String {
        match &self.address {
            Address::Ip(ip) => SocketAddr::new(*ip, self.port).to_string(),
            Address::Zoned(ip, zone) => format!("[{ip}%{zone}]:{}", self.port),
            Address::Unix(_) => self.address.to_string(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            // Its address begins with `unix:` already.
            Transport::Unix => formatter.write_str(&self.host_and_port()),
            Transport::Tcp | Transport::Udp => {
                write!(formatter, "{}/{}", self.host_and_port(), self.transport)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_their_rfcs() {
        let cases = [
            ("127.0.0.1", AddressKind::Loopback),
            ("::1", AddressKind::Loopback),
            ("::ffff:127.0.0.1", AddressKind::Loopback),
            ("::ffff:8.8.8.8", AddressKind::Other),
            ("10.255.0.1", AddressKind::Private),
            ("172.31.255.255", AddressKind::Private),
            ("172.32.0.0", AddressKind::Other),
            ("192.168.2.1", AddressKind::Private),
            ("169.254.1.1", AddressKind::LinkLocal),
            ("fe80::1", AddressKind::LinkLocal),
            ("fd00::1", AddressKind::Private),
            ("100.64.0.1", AddressKind::Other),
            ("192.0.2.1", AddressKind::Other),
            ("2001:db8::1", AddressKind::Other),
            ("0.1.2.3", AddressKind::NotAHost),
            ("224.0.0.1", AddressKind::NotAHost),
            ("255.255.255.255", AddressKind::NotAHost),
            ("::", AddressKind::NotAHost),
            ("ff02::1", AddressKind::NotAHost),
        ];
        for (text, kind) in cases {
            assert_eq!(AddressKind::of(text.parse().unwrap()), kind, "{text}");
        }
    }

    #[test]
    fn endpoints_print_as_typed() {
        let zoned = Address::Zoned("fe80::1".parse().unwrap(), "eth0".into());
        assert_eq!(
            Endpoint::new(zoned, 11211, Transport::Tcp).to_string(),
            "[fe80::1%eth0]:11211/tcp"
        );
        let unix = Address::Unix(Arc::new("/run/memcached.sock".into()));
        assert_eq!(
            Endpoint::new(unix, 0, Transport::Unix).to_string(),
            "unix:/run/memcached.sock"
        );
        let mapped = Address::from_ip("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(
            Endpoint::new(mapped, 1, Transport::Udp).to_string(),
            "10.0.0.1:1/udp"
        );
    }
}
