//! Ports that never answer, without a firewall and without root.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen,
    setsockopt, socket, sockopt,
};

/// How long a connection to a full listener is tried before it counts as dropped. On loopback an
/// answer takes some microseconds.
const DROPPED_AFTER: Duration = Duration::from_millis(60);
/// Connections that a listener with backlog 0 can possibly hold.
const FILLERS_MAX: usize = 8;

/// A TCP listener that nobody accepts from and whose queue is full: Linux drops further SYNs, as a
/// filter would.
#[derive(Debug)]
pub struct FullBacklog {
    address: SocketAddr,
    // Held for their existence only.
    _listener: OwnedFd,
    _fillers: Vec<TcpStream>,
}

impl FullBacklog {
    /// Listens and fills the queue by connections of its own.
    ///
    /// # Errors
    /// If the address cannot be bound, or the queue does not fill.
    pub fn start(address: SocketAddr) -> io::Result<FullBacklog> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let listener = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&listener, sockopt::ReuseAddr, &true)?;
        bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
        listen(&listener, Backlog::new(0)?)?;
        let bound: SockaddrStorage = getsockname(listener.as_raw_fd())?;
        let port = bound
            .as_sockaddr_in()
            .map(|v4| v4.port())
            .or_else(|| bound.as_sockaddr_in6().map(|v6| v6.port()))
            .ok_or_else(|| io::Error::other("the kernel gave no port"))?;
        let address = SocketAddr::new(address.ip(), port);
        let mut fillers = Vec::new();
        while fillers.len() < FILLERS_MAX {
            match TcpStream::connect_timeout(&address, DROPPED_AFTER) {
                Ok(filler) => fillers.push(filler),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(FullBacklog {
                        address,
                        _listener: listener,
                        _fillers: fillers,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the queue of the listener does not fill"))
    }

    /// Where it does not answer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A UDP port that somebody has bound and nobody answers from.
#[derive(Debug)]
pub struct SilentUdp {
    socket: UdpSocket,
}

impl SilentUdp {
    /// Binds the port.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn bind(address: SocketAddr) -> io::Result<SilentUdp> {
        Ok(SilentUdp {
            socket: UdpSocket::bind(address)?,
        })
    }

    /// Where it does not answer.
    ///
    /// # Errors
    /// Never in practice: the socket is bound.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
