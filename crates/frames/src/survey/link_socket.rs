//! A socket for the frames of one protocol on one interface (packet(7)).

use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};

use crate::socket_filter::{self, Instruction};

/// Answers that wait while we are busy: some 5,000, as each takes up 768 bytes.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Bytes of a frame that are looked at.
const FRAME_BYTES_MAX: usize = 256;

/// Whole Ethernet frames go out and come in.
pub(super) struct LinkSocket {
    socket: OwnedFd,
}

impl LinkSocket {
    /// Hears the frames of this EtherType that `filter` lets through.
    pub(super) fn open(
        interface: u32,
        ethertype: u16,
        filter: &[Instruction],
    ) -> Result<LinkSocket, Errno> {
        // Protocol 0: it hears nothing until it is bound, so nothing from other interfaces.
        // SAFETY: socket(2) takes no pointers.
        let raw = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        Errno::result(raw)?;
        // SAFETY: the descriptor was opened just now, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        socket_filter::attach(&socket, filter)?;
        // Only an administrator gets so much; a smaller buffer works as well.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
        }
        bind(&socket, interface, ethertype)?;
        Ok(LinkSocket { socket })
    }

    /// Sends one frame; congestion loses it, as a network would.
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), Errno> {
        match send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Gives every frame that has come to `take`.
    pub(super) fn drain(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        let mut buffer = [0; FRAME_BYTES_MAX];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(bytes) => take(buffer.get(..bytes).unwrap_or_default()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn bind(socket: &OwnedFd, interface: u32, ethertype: u16) -> Result<(), Errno> {
    let index = i32::try_from(interface).map_err(|_| Errno::ENODEV)?;
    // SAFETY: `sockaddr_ll` is made of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    // An address family is a small number.
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = index;
    // SAFETY: the pointer is to the `sockaddr_ll` above, alive and of the size that is told.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}
