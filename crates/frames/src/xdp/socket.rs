//! The system calls of an AF_XDP socket, one function each.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use super::rings::Mapping;

/// Bytes of the pieces that the kernel divides the frames' memory into; the least it allows
/// (XDP_UMEM_MIN_CHUNK_SIZE of net/xdp/xsk.h).
pub(super) const CHUNK_BYTES: usize = 2048;

/// Socket option of Linux 6.17 and later: frames that one system call sends at most in copy mode,
/// which is 32 by default (include/uapi/linux/if_xdp.h).
const XDP_MAX_TX_SKB_BUDGET: i32 = 9;

/// The command that asks for the numbers of queues (include/uapi/linux/ethtool.h).
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_channels` of include/uapi/linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct EthtoolChannels {
    command: u32,
    receive_max: u32,
    transmit_max: u32,
    other_max: u32,
    combined_max: u32,
    receive: u32,
    transmit: u32,
    other: u32,
    combined: u32,
}

/// How a socket moves its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The card reads them where they lie.
    ZeroCopy,
    /// The kernel copies each; every driver can do that.
    Copy,
}

/// A new socket.
pub(super) fn open() -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only.
    let descriptor = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(Errno::last());
    }
    // SAFETY: just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Tells the kernel where the frames lie. The kernel keeps the pages for as long as the socket
/// lives, even if the mapping goes first.
pub(super) fn register_memory(socket: &OwnedFd, memory: &Mapping) -> Result<(), Errno> {
    let registration = libc::xdp_umem_reg {
        addr: memory.start().as_ptr() as u64,
        len: memory.bytes() as u64,
        chunk_size: CHUNK_BYTES as u32,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    set_option(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
}

/// Makes a ring of this many entries, a power of two. `option` is one of `XDP_TX_RING`,
/// `XDP_UMEM_FILL_RING`, `XDP_UMEM_COMPLETION_RING`.
pub(super) fn make_ring(socket: &OwnedFd, option: i32, capacity: u32) -> Result<(), Errno> {
    set_option(socket, libc::SOL_XDP, option, &capacity)
}

/// Where the counters of the rings lie in their mappings. `None` before Linux 5.4, whose answer is
/// shorter.
pub(super) fn ring_offsets(socket: &OwnedFd) -> Result<Option<libc::xdp_mmap_offsets>, Errno> {
    // SAFETY: a structure of numbers, for which zeros are a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { mem::zeroed() };
    let mut bytes = size_of_val(&offsets) as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes to `offsets`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_MMAP_OFFSETS,
            (&raw mut offsets).cast(),
            &mut bytes,
        )
    };
    Errno::result(result)?;
    Ok((bytes as usize == size_of_val(&offsets)).then_some(offsets))
}

/// Binds to a queue of an interface.
pub(super) fn bind(socket: &OwnedFd, interface: u32, queue: u32, mode: Mode) -> Result<(), Errno> {
    let mode = match mode {
        Mode::ZeroCopy => libc::XDP_ZEROCOPY,
        Mode::Copy => libc::XDP_COPY,
    };
    bind_to(
        socket,
        interface,
        queue,
        mode | libc::XDP_USE_NEED_WAKEUP,
        0,
    )
}

/// Binds to the queue of a socket that is bound already, and shares its memory and mode.
pub(super) fn bind_beside(
    socket: &OwnedFd,
    interface: u32,
    queue: u32,
    first: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let shared = first.as_raw_fd() as u32;
    bind_to(socket, interface, queue, libc::XDP_SHARED_UMEM, shared)
}

/// More memory for frames under way, and more frames a system call, where the kernel lets us: both
/// only save time.
pub(super) fn widen(socket: &OwnedFd, buffer_bytes: i32, frames: u32) {
    let level = libc::SOL_SOCKET;
    let _ = set_option(socket, level, libc::SO_SNDBUFFORCE, &buffer_bytes);
    let _ = set_option(socket, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &frames);
}

/// Lets the kernel send what is in the ring; in copy mode, it is sent before this returns.
pub(super) fn kick(socket: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: no buffer and no address are passed.
    let result = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            std::ptr::null(),
            0,
            libc::MSG_DONTWAIT,
            std::ptr::null(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Asks about the interfaces of the network that it was opened in.
pub(super) struct Control {
    socket: OwnedFd,
}

impl Control {
    pub(super) fn open() -> Result<Control, Errno> {
        let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
        let socket = nix::sys::socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Control { socket })
    }

    /// How many queues an interface sends by; 1 where its driver does not say.
    pub(super) fn transmit_queues(&self, name: &str) -> u32 {
        let mut channels = EthtoolChannels {
            command: ETHTOOL_GCHANNELS,
            ..EthtoolChannels::default()
        };
        let mut request = request_for(name);
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        match self.call(libc::SIOCETHTOOL as libc::c_ulong, &mut request) {
            Ok(()) => channels.transmit.saturating_add(channels.combined).max(1),
            Err(_) => 1,
        }
    }

    /// Whether an interface is up and its link as well. `None` if there is no such interface.
    pub(super) fn is_running(&self, name: &str) -> Option<bool> {
        let mut request = request_for(name);
        self.call(libc::SIOCGIFFLAGS as libc::c_ulong, &mut request)
            .ok()?;
        // SAFETY: the kernel has just written the flags.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        let both = libc::IFF_UP | libc::IFF_RUNNING;
        Some(flags & both == both)
    }

    fn call(&self, number: libc::c_ulong, request: &mut libc::ifreq) -> Result<(), Errno> {
        let request: *mut libc::ifreq = request;
        // SAFETY: both calls of this module take a whole `ifreq`; what it points to outlives the
        // call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), number as _, request) };
        Errno::result(result).map(drop)
    }
}

fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: numbers and a union of numbers and a pointer, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays zero; the kernel's own names are shorter than that.
    let space = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name[..space].iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request
}

fn bind_to(
    socket: &OwnedFd,
    interface: u32,
    queue: u32,
    flags: u16,
    shared: u32,
) -> Result<(), Errno> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: shared,
    };
    // SAFETY: the address is as long as said.
    let result = unsafe {
        libc::bind(
            socket.as_fd().as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

fn set_option<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<(), Errno> {
    // SAFETY: the value is as long as said, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (value as *const T).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}
