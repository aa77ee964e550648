//! The source ports of a sweep, held for as long as it lasts.
//!
//! Probes leave as raw frames, so the kernel knows nothing of them, but it sees the answers. Because
//! every port is bound here, no other program gets it; a TCP socket that is bound and neither
//! listens nor connects lets the kernel answer a SYN-ACK with an RST, so nothing half-open stays
//! behind at those who answer; and a UDP socket, from which nothing is ever read, keeps it from
//! sending ICMP port unreachable. Its filter drops every datagram before it takes up memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket, sockopt,
};
use sweep::cookie::{SOURCE_PORTS, SourcePorts};

use crate::FramesError;
use crate::socket_filter::{self, Instruction, give};

/// From here to the end of all ports is where they are looked for first: above the ports that Linux
/// gives to connections by default (ip_local_port_range, ip-sysctl), which are tried afterwards.
const ABOVE_EPHEMERAL: u16 = 61_000;
/// The first port that Linux gives to connections by default.
const EPHEMERAL: u16 = 32_768;
const NOTHING: [Instruction; 1] = [give(0)];

/// Ports that nobody else on this machine gets, with the sockets that hold them.
#[derive(Debug)]
pub(crate) struct ReservedPorts {
    pub(crate) ports: SourcePorts,
    _sockets: Vec<OwnedFd>,
}

/// Binds a TCP and a UDP socket to each of 64 ports, for each family of these addresses.
///
/// # Errors
///
/// If too few ports are free, or this process may not open so many sockets.
pub(crate) fn reserve(sources: &[IpAddr]) -> Result<ReservedPorts, FramesError> {
    let mut families = Vec::new();
    if sources.iter().any(IpAddr::is_ipv6) {
        families.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    if sources.iter().any(IpAddr::is_ipv4) || families.is_empty() {
        families.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    let mut ports = [0; SOURCE_PORTS];
    let mut sockets = Vec::with_capacity(SOURCE_PORTS * 2 * families.len());
    let mut candidates = candidates(std::process::id());
    for port in &mut ports {
        loop {
            let Some(candidate) = candidates.next() else {
                return Err(unsuited(format!(
                    "fewer than {SOURCE_PORTS} ports from {EPHEMERAL} on are free for both TCP and \
                     UDP; see `ss -tuan`"
                )));
            };
            match hold(&families, candidate) {
                Ok(held) => {
                    *port = candidate;
                    sockets.extend(held);
                    break;
                }
                // Taken, or reserved for somebody.
                Err(Errno::EADDRINUSE | Errno::EACCES) => {}
                Err(Errno::EMFILE | Errno::ENFILE) => return Err(too_few_files(families.len())),
                Err(errno) => return Err(FramesError::system("holding source ports")(errno)),
            }
        }
    }
    Ok(ReservedPorts {
        ports: SourcePorts(ports),
        _sockets: sockets,
    })
}

/// Ports in the order in which they are tried. Runs begin at different ones, so that late answers
/// to one seldom meet the next.
fn candidates(process: u32) -> impl Iterator<Item = u16> {
    let above = u32::from(u16::MAX - ABOVE_EPHEMERAL) + 1;
    // Multiplied, so that processes one after the other begin far from each other.
    let start = process.wrapping_mul(SOURCE_PORTS as u32) % above;
    // Less than `above`, so below 65536 in sum.
    let turned = move |step: u32| ABOVE_EPHEMERAL + ((start + step) % above) as u16;
    (0..above)
        .map(turned)
        .chain((EPHEMERAL..ABOVE_EPHEMERAL).rev())
}

/// The sockets that hold one port.
fn hold(families: &[IpAddr], port: u16) -> Result<Vec<OwnedFd>, Errno> {
    let mut held = Vec::with_capacity(families.len() * 2);
    for family in families {
        for kind in [SockType::Stream, SockType::Datagram] {
            held.push(bound(*family, kind, port)?);
        }
    }
    Ok(held)
}

fn bound(wildcard: IpAddr, kind: SockType, port: u16) -> Result<OwnedFd, Errno> {
    let family = match wildcard {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if kind == SockType::Datagram {
        socket_filter::attach(&socket, &NOTHING)?;
    }
    match wildcard {
        IpAddr::V4(_) => bind(
            socket.as_raw_fd(),
            &SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)),
        )?,
        IpAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            let address = std::net::SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
            bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?;
        }
    }
    Ok(socket)
}

fn unsuited(reason: String) -> FramesError {
    FramesError::Unsuited {
        engine: "packet",
        reason,
    }
}

fn too_few_files(families: usize) -> FramesError {
    let needed = SOURCE_PORTS * 2 * families;
    unsuited(format!(
        "too few open files are allowed to hold {needed} sockets; raise the limit (`ulimit -n`)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    const LOOPBACKS: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];

    /// One test at a time: together they would open more files than a process may by default.
    fn alone() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn ports_are_ours_alone() {
        let _turn = alone();
        let reserved = reserve(&LOOPBACKS).expect("64 ports are free");
        let distinct: BTreeSet<u16> = reserved.ports.0.into_iter().collect();
        assert_eq!(distinct.len(), SOURCE_PORTS);
        for port in distinct {
            for ip in LOOPBACKS {
                let taken = TcpListener::bind((ip, port)).map(drop);
                assert_eq!(
                    taken.map_err(|error| error.kind()),
                    Err(ErrorKind::AddrInUse)
                );
                let taken = UdpSocket::bind((ip, port)).map(drop);
                assert_eq!(
                    taken.map_err(|error| error.kind()),
                    Err(ErrorKind::AddrInUse)
                );
            }
        }
        let more = reserve(&LOOPBACKS[..1]).expect("64 more ports are free");
        let mut all: BTreeSet<u16> = reserved.ports.0.into_iter().collect();
        all.extend(more.ports.0);
        assert_eq!(all.len(), 2 * SOURCE_PORTS, "taken ones are passed over");
    }

    #[test]
    fn each_family_has_its_own_sockets() {
        let _turn = alone();
        let count = |sources: &[IpAddr]| reserve(sources).expect("ports")._sockets.len();
        assert_eq!(count(&[]), 2 * SOURCE_PORTS);
        assert_eq!(count(&LOOPBACKS[..1]), 2 * SOURCE_PORTS);
        assert_eq!(count(&LOOPBACKS[1..]), 2 * SOURCE_PORTS);
        assert_eq!(count(&LOOPBACKS), 4 * SOURCE_PORTS);
    }

    #[test]
    fn the_kernel_refuses_streams_and_swallows_datagrams() {
        let _turn = alone();
        let reserved = reserve(&LOOPBACKS).expect("64 ports are free");
        let port = reserved.ports.0[7];
        for ip in LOOPBACKS {
            let address = SocketAddr::new(ip, port);
            let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(drop);
            assert_eq!(
                refused.map_err(|error| error.kind()),
                Err(ErrorKind::ConnectionRefused)
            );
            let socket = UdpSocket::bind((ip, 0)).expect("a port");
            socket.connect(address).expect("a route to loopback");
            // On loopback the error of a datagram is there when the next call is made; nothing
            // piles up however many are sent.
            for _ in 0..2_000 {
                socket.send(&[0; 1_000]).expect("no ICMP error");
            }
        }
        for held in &reserved._sockets {
            let mut waiting = [0; 8];
            let received = nix::sys::socket::recv(
                held.as_raw_fd(),
                &mut waiting,
                nix::sys::socket::MsgFlags::MSG_DONTWAIT,
            );
            // EAGAIN: a datagram socket without datagrams; ENOTCONN: a stream.
            assert!(matches!(received, Err(Errno::EAGAIN | Errno::ENOTCONN)));
        }
    }

    #[test]
    fn every_candidate_comes_once() {
        for process in [0, 1, 4_194_304, u32::MAX] {
            let ports: Vec<u16> = candidates(process).collect();
            let distinct: BTreeSet<u16> = ports.iter().copied().collect();
            assert_eq!(ports.len(), distinct.len());
            assert_eq!(distinct.first(), Some(&EPHEMERAL));
            assert_eq!(distinct.last(), Some(&u16::MAX));
        }
    }
}
