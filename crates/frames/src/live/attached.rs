//! What the kernel tells of an interface: whether it is up, and which XDP program is attached.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::FramesError;
use crate::bpf;

/// How long a card may take to come back after a program was attached.
const RESTART_MAX: Duration = Duration::from_secs(5);
/// How often to look meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of an answer about one interface at most; without statistics of virtual functions it is
/// below 4 KiB.
const ANSWER_BYTES_MAX: usize = 1 << 16;
/// Bytes of `struct nlmsghdr` and of `struct ifinfomsg`.
const MESSAGE_HEADER_BYTES: usize = 16;
const LINK_HEADER_BYTES: usize = 16;
// include/uapi/linux/if_link.h
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;

nix::ioctl_read_bad!(read_flags, libc::SIOCGIFFLAGS, libc::ifreq);

/// The program that somebody attached to this interface, in words; `None` if it cannot be known.
pub(super) fn program_on(interface: u32) -> Option<String> {
    let answer = ask_link(interface).ok()?;
    let attributes = answer.get(MESSAGE_HEADER_BYTES + LINK_HEADER_BYTES..)?;
    let id = attribute(attribute(attributes, IFLA_XDP)?, IFLA_XDP_PROG_ID)?;
    let id = u32::from_ne_bytes(id.try_into().ok()?);
    Some(match bpf::program_name(id) {
        Some(name) => format!("the XDP program {name} (id {id})"),
        None => format!("the XDP program {id}"),
    })
}

/// Waits until the interface carries frames again.
pub(super) fn await_running(name: &str) -> Result<(), FramesError> {
    let begin = Instant::now();
    loop {
        check_up(name)?;
        let flags = flags_of(name)?;
        if flags & libc::IFF_RUNNING != 0 {
            return Ok(());
        }
        if begin.elapsed() > RESTART_MAX {
            return Err(FramesError::InterfaceDown {
                name: name.to_owned(),
            });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// An error if the interface is gone or down.
pub(super) fn check_up(name: &str) -> Result<(), FramesError> {
    if flags_of(name)? & libc::IFF_UP == 0 {
        return Err(FramesError::InterfaceDown {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn flags_of(name: &str) -> Result<libc::c_int, FramesError> {
    let any = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(FramesError::system("opening a socket"))?;
    // SAFETY: all bits zero are a value of this structure of numbers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let last = request.ifr_name.len() - 1;
    for (letter, byte) in request.ifr_name[..last].iter_mut().zip(name.bytes()) {
        *letter = byte as libc::c_char;
    }
    // SAFETY: the request is of the kind that this call reads and fills.
    match unsafe { read_flags(any.as_raw_fd(), &mut request) } {
        // SAFETY: the call has just written this member.
        Ok(_) => Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags })),
        Err(Errno::ENODEV) => Err(FramesError::NoInterface {
            name: name.to_owned(),
        }),
        Err(errno) => Err(FramesError::system("reading an interface's state")(errno)),
    }
}

/// Asks rtnetlink(7) about one interface.
fn ask_link(interface: u32) -> Result<Vec<u8>, Errno> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    let mut request = Vec::new();
    request.extend(((MESSAGE_HEADER_BYTES + LINK_HEADER_BYTES) as u32).to_ne_bytes());
    request.extend(libc::RTM_GETLINK.to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    // Sequence number and port; family, padding and kind of the interface.
    request.extend([0; 12]);
    request.extend(interface.to_ne_bytes());
    // Flags and their mask.
    request.extend([0; 8]);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

/// The value of the first attribute of this kind.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    /// Flags in the upper bits of the kind.
    const KIND_MASK: u16 = 0x3fff;
    loop {
        let (header, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) & KIND_MASK == kind {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_and_damaged_ones_are_not() {
        let list = [5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 43, 0x80, 1, 2, 3, 4];
        assert_eq!(attribute(&list, 1), Some(&[9][..]));
        assert_eq!(attribute(&list, IFLA_XDP), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&list, 7), None);
        for end in 0..list.len() {
            assert_eq!(attribute(&list[..end], IFLA_XDP), None, "{end}");
        }
        assert_eq!(attribute(&[0; 8], 1), None);
    }
}
