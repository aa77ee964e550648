//! Between memsweep's addresses and the kernel's.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use model::Address;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::SockaddrStorage;

/// Where a datagram came from or goes to, as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// Interface index of a link-local address, else 0.
    pub(crate) scope: u32,
    pub(crate) port: u16,
}

impl Peer {
    /// The peer of an address; `None` for unix sockets and for interfaces that do not exist.
    pub(crate) fn of(address: &Address, port: u16) -> Option<Peer> {
        match address {
            Address::Ip(ip) => Some(Peer {
                ip: *ip,
                scope: 0,
                port,
            }),
            Address::Zoned(ip, zone) => {
                let scope = if_nametoindex(zone.as_ref()).ok()?;
                Some(Peer {
                    ip: IpAddr::V6(*ip),
                    scope,
                    port,
                })
            }
            Address::Unix(_) => None,
        }
    }

    pub(crate) fn of_socket_address(address: SocketAddr) -> Peer {
        match address {
            SocketAddr::V4(v4) => Peer {
                ip: IpAddr::V4(*v4.ip()),
                scope: 0,
                port: v4.port(),
            },
            SocketAddr::V6(v6) => {
                // Only link-local addresses mean something else on every interface.
                let scope = if v6.ip().is_unicast_link_local() {
                    v6.scope_id()
                } else {
                    0
                };
                Peer {
                    ip: IpAddr::V6(*v6.ip()),
                    scope,
                    port: v6.port(),
                }
            }
        }
    }

    pub(crate) fn of_kernel(storage: &SockaddrStorage) -> Option<Peer> {
        if let Some(v4) = storage.as_sockaddr_in() {
            return Some(Peer {
                ip: IpAddr::V4(v4.ip()),
                scope: 0,
                port: v4.port(),
            });
        }
        let v6 = storage.as_sockaddr_in6()?;
        Some(Peer::of_socket_address(SocketAddr::V6((*v6).into())))
    }

    pub(crate) fn socket_address(&self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, self.port),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, self.port, 0, self.scope)),
        }
    }

    pub(crate) fn kernel(&self) -> SockaddrStorage {
        SockaddrStorage::from(self.socket_address())
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.ip.is_ipv6()
    }
}
