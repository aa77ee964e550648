//! ICMP errors, read from a socket's error queue (ip(7) IP_RECVERR, ipv6(7) IPV6_RECVERR).
//!
//! The queue tells for whom the failed packet was meant and which router or host complained, which
//! an `errno` alone does not. It needs no privilege and no descriptor for each target.

use std::collections::HashSet;
use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use model::{Contact, IcmpError, Refusal};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::address::Peer;

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of linux/errqueue.h.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// One entry of an error queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuedError {
    /// Whom the packet was meant for.
    pub(crate) peer: Option<Peer>,
    /// How much of the packet is quoted; it stands at the beginning of the scratch buffer.
    pub(crate) quoted_bytes: usize,
    pub(crate) icmp: Option<IcmpError>,
}

/// Takes one entry from the queue; `None` when it is empty.
pub(crate) fn take_error(fd: RawFd, scratch: &mut [u8]) -> Option<QueuedError> {
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let mut slices = [IoSliceMut::new(scratch)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags).ok()?;
    let peer = message.address.as_ref().and_then(Peer::of_kernel);
    let mut queued = QueuedError {
        peer,
        quoted_bytes: message.bytes,
        icmp: None,
    };
    for entry in message.cmsgs().ok()? {
        let (error, from) = match entry {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                let from = from.map(|from| IpAddr::from(from.sin_addr.s_addr.to_ne_bytes()));
                (error, from)
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => {
                (error, from.map(|from| IpAddr::from(from.sin6_addr.s6_addr)))
            }
            _ => continue,
        };
        if matches!(error.ee_origin, ORIGIN_ICMP | ORIGIN_ICMP6) {
            let from = from.filter(|from| !from.is_unspecified());
            queued.icmp = Some(IcmpError {
                from,
                kind: error.ee_type,
                code: error.ee_code,
            });
        }
    }
    Some(queued)
}

/// What an ICMP error says about the endpoint.
pub(crate) fn contact_of_icmp(icmp: IcmpError, ipv6: bool) -> Option<Contact> {
    match Contact::of_icmp(icmp, ipv6) {
        // Our own kernel makes this error when no neighbour answers; there was no packet.
        Some(Contact::Unreachable(_)) if icmp.from.is_some_and(is_own_address) => {
            Some(Contact::Unreachable(None))
        }
        contact => contact,
    }
}

/// Whether an address is this machine's own. Looked up once: a run is short beside its changes.
fn is_own_address(ip: IpAddr) -> bool {
    static OWN: OnceLock<HashSet<IpAddr>> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
        interfaces
            .filter_map(|interface| interface.address.as_ref().and_then(Peer::of_kernel))
            .map(|peer| peer.ip)
            .collect()
    });
    own.contains(&ip)
}

/// What an error of our own `connect` or `sendto` says, where no ICMP error explains it.
pub(crate) fn contact_of_errno(errno: Errno) -> Contact {
    match errno {
        Errno::ECONNREFUSED => Contact::Refused(Refusal::Reset),
        Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::ENONET => {
            Contact::Unreachable(None)
        }
        // EACCES: a broadcast address, or this machine's own firewall; EPERM: the latter.
        Errno::EACCES | Errno::EPERM => Contact::Prohibited(None),
        Errno::ETIMEDOUT | Errno::EAGAIN => Contact::Silent,
        other => Contact::Failed(other.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_rfcs() {
        let icmp = |kind, code| IcmpError {
            from: None,
            kind,
            code,
        };
        let named = |contact: Option<Contact>| match contact {
            Some(Contact::Refused(_)) => "refused",
            Some(Contact::Prohibited(_)) => "prohibited",
            Some(Contact::Unreachable(_)) => "unreachable",
            Some(_) => "else",
            None => "nothing",
        };
        for (kind, code, expected) in [
            (3, 3, "refused"),
            (3, 13, "prohibited"),
            (3, 10, "prohibited"),
            (3, 9, "prohibited"),
            (3, 1, "unreachable"),
            (3, 0, "unreachable"),
            (3, 4, "nothing"),
            (11, 0, "nothing"),
        ] {
            assert_eq!(
                named(contact_of_icmp(icmp(kind, code), false)),
                expected,
                "{kind}/{code}"
            );
        }
        for (kind, code, expected) in [
            (1, 4, "refused"),
            (1, 1, "prohibited"),
            (1, 0, "unreachable"),
            (1, 3, "unreachable"),
            (3, 0, "nothing"),
        ] {
            assert_eq!(
                named(contact_of_icmp(icmp(kind, code), true)),
                expected,
                "v6 {kind}/{code}"
            );
        }
    }
}
