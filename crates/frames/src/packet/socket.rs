//! Packet sockets (packet(7)): opening them, their options, their addresses.

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use crate::FramesError;

/// EtherType of IPv4 and IPv6 (IEEE 802), as the kernel calls them.
pub(super) const PROTOCOL_IPV4: u16 = libc::ETH_P_IP as u16;
pub(super) const PROTOCOL_IPV6: u16 = libc::ETH_P_IPV6 as u16;
/// Every protocol.
pub(crate) const PROTOCOL_ALL: u16 = libc::ETH_P_ALL as u16;

/// A packet socket that hears nothing yet: with protocol 0 it is in no list of the kernel's that
/// received frames go through.
pub(crate) fn open_socket() -> Result<OwnedFd, FramesError> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes plain integers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    match Errno::result(fd) {
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Err(Errno::EPERM | Errno::EACCES) => {
            Err(FramesError::not_permitted("packet", "a packet socket"))
        }
        Err(Errno::EAFNOSUPPORT) => Err(FramesError::Unsuited {
            engine: "packet",
            reason: "this kernel has no packet sockets (CONFIG_PACKET); use --engine socket"
                .to_owned(),
        }),
        Err(errno) => Err(FramesError::system("open a packet socket")(errno)),
    }
}

/// Binds the socket to an interface; with a protocol other than 0 it hears from now on.
pub(crate) fn bind(socket: &OwnedFd, interface: u32, protocol: u16) -> Result<(), Errno> {
    let address = link_address(interface, protocol);
    // SAFETY: the pointer and the length describe `address`, which lives through the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            ADDRESS_BYTES,
        )
    };
    Errno::result(result).map(drop)
}

/// Bytes of [`link_address`].
pub(super) const ADDRESS_BYTES: libc::socklen_t =
    mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// The address of an interface, for frames of this protocol.
pub(super) fn link_address(interface: u32, protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        // An index that the kernel gave as a positive `int`.
        sll_ifindex: interface as libc::c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

/// Sets an option of `level` whose value the kernel reads as plain bytes.
pub(super) fn set_option<T: Copy>(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> Result<(), Errno> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call; the kernel
    // only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const *value).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

/// The error that the socket keeps, such as ENETDOWN; it is cleared by this.
pub(super) fn take_error(socket: &OwnedFd) -> Option<Errno> {
    match nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::SocketError) {
        Ok(0) => None,
        Ok(code) => Some(Errno::from_raw(code)),
        Err(errno) => Some(errno),
    }
}

/// What an error of a socket that is bound to an interface means.
pub(super) fn interface_error(what: &'static str, name: &str, errno: Errno) -> FramesError {
    match errno {
        Errno::ENETDOWN => FramesError::InterfaceDown {
            name: name.to_owned(),
        },
        // ENXIO: the socket was bound to it and it is gone.
        Errno::ENODEV | Errno::ENXIO => FramesError::NoInterface {
            name: name.to_owned(),
        },
        other => FramesError::System {
            what,
            reason: format!("{} (interface {name})", other.desc()),
        },
    }
}
