//! The sweep over UDP: one framed `version` datagram for each target and send.
//!
//! All targets share a few unconnected sockets, so that no target costs a descriptor, and an answer
//! from another port or address is heard too. ICMP errors come through the sockets' error queues
//! with the address that they are about.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use model::{Contact, Dialogue, Evidence, Impression, Transport};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::sockopt::{
    Ipv4RecvErr, Ipv6RecvErr, Ipv6V6Only, RcvBuf, RcvBufForce, SocketError as PendingError,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, getsockopt, recvfrom,
    sendto, setsockopt, socket,
};
use targets::Permitted;
use wire::{DatagramRequest, Frame};

use crate::address::Peer;
use crate::cookie::{Cookie, SWEEP_SOCKETS};
use crate::icmp::{contact_of_errno, contact_of_icmp, take_error};
use crate::neighbourhood::Neighbourhood;
use crate::plan::SocketError;
use crate::probes::Token;
use crate::reactor::{Reactor, Wake, bare};
use crate::talks::WaitingDatagram;

/// Receive buffer asked for, in bytes; the kernel grants what `net.core.rmem_max` allows.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Datagrams and errors read from one socket before others get their turn.
const READS_PER_TURN: usize = 512;
/// Tries of one send between ICMP errors of others.
const SEND_TRIES: u32 = 8;
/// Bytes kept of the answer that an interview begins with: a whole frame of memcached.
const FIRST_REPLY_BYTES_MAX: usize = 1_500;
/// Bytes kept of a datagram that is no answer to ours.
const FOREIGN_BYTES_MAX: usize = 64;

/// What sending one datagram came to.
enum Sent {
    Whole,
    /// Our own system has no room for it now.
    Later,
    /// It can't be sent: no route, a broadcast address, a firewall of ours.
    Failed(Errno),
}

impl Reactor<'_> {
    /// Sends one probe; false if it has to wait.
    pub(crate) fn send_datagram_probe(&mut self, peer: Peer) -> Result<bool, SocketError> {
        self.open_sweep_sockets(peer.is_ipv6())?;
        let Some(probe) = self.datagram_probes.get_mut(&peer) else {
            return Ok(false);
        };
        let send = probe.sends + 1;
        let cookie = self.cookie_key.cookie(&peer, send);
        let datagram = DatagramRequest::Version.encode(cookie.request_id);
        let target = probe.target.clone();
        match self.send_from(&target, peer.is_ipv6(), cookie.socket, &datagram) {
            Sent::Whole => {}
            Sent::Later => {
                self.ready_datagrams.push_front(peer);
                self.pause_sending();
                return Ok(false);
            }
            Sent::Failed(errno) => {
                self.end_datagram_probe(&peer, contact_of_send(errno));
                return Ok(true);
            }
        }
        // Draining the error queue while sending may have ended this very probe.
        let Some(probe) = self.datagram_probes.get_mut(&peer) else {
            return Ok(true);
        };
        probe.sends = send;
        probe.last_sent_at = self.now;
        if send == 1 {
            probe.first_sent_at = self.now;
        }
        self.by_cookie.insert((peer.is_ipv6(), cookie), peer);
        let wait = self.wait_after(&target, send);
        self.timers.set(self.now + wait, Wake::Datagram(peer, send));
        Ok(true)
    }

    fn send_from(&mut self, target: &Permitted, ipv6: bool, socket: u8, datagram: &[u8]) -> Sent {
        let Some(fd) = self.sweep_socket(ipv6, socket) else {
            return Sent::Failed(Errno::EAFNOSUPPORT);
        };
        // A pending ICMP error of an earlier datagram is reported by the next call, whatever that is
        // about; more may come in while the queue is being drained. So an error is believed to be
        // this datagram's own only if no ICMP error can look like it, or if it does not go away.
        let mut last = Errno::EAGAIN;
        for _ in 0..SEND_TRIES {
            match send_datagram(fd, target, datagram) {
                Ok(()) => return Sent::Whole,
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => return Sent::Later,
                Err(errno @ (Errno::EACCES | Errno::EPERM | Errno::EINVAL)) => {
                    return Sent::Failed(errno);
                }
                Err(errno) => {
                    last = errno;
                    self.drain_errors(ipv6, socket);
                }
            }
        }
        match last {
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EAFNOSUPPORT => Sent::Failed(last),
            _ => Sent::Later,
        }
    }

    fn sweep_socket(&self, ipv6: bool, socket: u8) -> Option<i32> {
        let sockets = if ipv6 {
            &self.sweep_sockets.ipv6
        } else {
            &self.sweep_sockets.ipv4
        };
        sockets.get(usize::from(socket)).map(AsRawFd::as_raw_fd)
    }

    fn open_sweep_sockets(&mut self, ipv6: bool) -> Result<(), SocketError> {
        let open = if ipv6 {
            &self.sweep_sockets.ipv6
        } else {
            &self.sweep_sockets.ipv4
        };
        if !open.is_empty() {
            return Ok(());
        }
        let mut sockets = Vec::with_capacity(SWEEP_SOCKETS);
        for number in 0..SWEEP_SOCKETS as u8 {
            let fd = open_datagram_socket(ipv6).map_err(SocketError::system("UDP socket"))?;
            if setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
                let _ = setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER_BYTES);
            }
            self.register(
                &fd,
                EpollFlags::EPOLLIN,
                Token::Sweep {
                    ipv6,
                    socket: number,
                },
            );
            sockets.push(fd);
        }
        if ipv6 {
            self.sweep_sockets.ipv6 = sockets
        } else {
            self.sweep_sockets.ipv4 = sockets
        }
        Ok(())
    }

    pub(crate) fn read_sweep_socket(&mut self, ipv6: bool, socket: u8, flags: EpollFlags) {
        if flags.contains(EpollFlags::EPOLLERR) {
            self.drain_errors(ipv6, socket);
        }
        let Some(fd) = self.sweep_socket(ipv6, socket) else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            match recvfrom::<SockaddrStorage>(fd, &mut buffer) {
                Ok((length, Some(from))) => {
                    if let Some(from) = Peer::of_kernel(&from) {
                        self.handle_answer(from, socket, &buffer[..length]);
                    }
                }
                Ok((_, None)) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // A pending ICMP error: it is in the queue as well.
                Err(_) => self.drain_errors(ipv6, socket),
            }
        }
        self.buffer = buffer;
    }

    fn drain_errors(&mut self, ipv6: bool, socket: u8) {
        let Some(fd) = self.sweep_socket(ipv6, socket) else {
            return;
        };
        let mut scratch = [0; 256];
        for _ in 0..READS_PER_TURN {
            let Some(queued) = take_error(fd, &mut scratch) else {
                break;
            };
            let (Some(peer), Some(icmp)) = (queued.peer, queued.icmp) else {
                continue;
            };
            let Some(contact) = contact_of_icmp(icmp, ipv6) else {
                continue;
            };
            self.tally.packets_received += 1;
            let quoted = &scratch[..queued.quoted_bytes.min(scratch.len())];
            if !self.is_our_probe(&peer, socket, quoted) {
                self.tally.rejected_replies += 1;
                continue;
            }
            self.measure(&peer);
            self.end_datagram_probe(&peer, contact);
        }
        let sockets = if ipv6 {
            &self.sweep_sockets.ipv6
        } else {
            &self.sweep_sockets.ipv4
        };
        if let Some(fd) = sockets.get(usize::from(socket)) {
            // Reading the pending error clears it.
            let _ = getsockopt(fd, PendingError);
        }
    }

    /// Whether an ICMP error quotes a datagram of ours. Some routers quote no payload (RFC 792 asks
    /// for eight bytes behind the IP header only); then there is nothing to compare.
    fn is_our_probe(&self, peer: &Peer, socket: u8, quoted: &[u8]) -> bool {
        let Some((frame, _)) = Frame::parse(quoted) else {
            return true;
        };
        let request_id = frame.request_id;
        let cookie = Cookie { socket, request_id };
        let sends = self.plan.retries + 1;
        self.cookie_key.verify(peer, cookie, sends).is_some()
    }

    /// An ICMP error answers the only send there was; with several it can't be told which.
    fn measure(&mut self, peer: &Peer) {
        if let Some(probe) = self.datagram_probes.get(peer)
            && probe.sends <= 1
        {
            let rtt = self.now.saturating_sub(probe.first_sent_at);
            self.trips.measured(Neighbourhood::of(peer.ip), rtt);
        }
    }

    fn handle_answer(&mut self, from: Peer, socket: u8, datagram: &[u8]) {
        self.tally.packets_received += 1;
        let Some((frame, _)) = Frame::parse(datagram) else {
            self.handle_foreign(from, datagram);
            return;
        };
        let cookie = Cookie {
            socket,
            request_id: frame.request_id,
        };
        let sends = self.plan.retries + 1;
        if let Some(send) = self.cookie_key.verify(&from, cookie, sends) {
            self.handle_own_answer(from, send, datagram);
            return;
        }
        let asked = self.by_cookie.get(&(from.is_ipv6(), cookie)).copied();
        match asked {
            // The id is right and the source is not: several addresses, or a NAT on the way.
            Some(asked) if asked != from && !self.answered.contains(&asked) => {
                self.begin_interview_of(asked, datagram, Some(from));
            }
            _ => self.handle_foreign(from, datagram),
        }
    }

    fn handle_own_answer(&mut self, from: Peer, send: u32, datagram: &[u8]) {
        if self.answered.contains(&from) {
            return;
        }
        let Some(probe) = self.datagram_probes.get(&from) else {
            self.handle_late_answer(from, datagram);
            return;
        };
        let sent_at = if send == probe.sends {
            probe.last_sent_at
        } else {
            probe.first_sent_at
        };
        let rtt = self.now.saturating_sub(sent_at);
        if send == probe.sends || send == 1 {
            self.trips.measured(Neighbourhood::of(from.ip), rtt);
        }
        self.begin_interview_of(from, datagram, None);
    }

    /// The cookie is right, and the endpoint was given up before: it counts until the end.
    fn handle_late_answer(&mut self, from: Peer, datagram: &[u8]) {
        let address = model::Address::from_ip(from.ip);
        let Some(target) = self.permit.admit(&address, from.port) else {
            self.tally.rejected_replies += 1;
            return;
        };
        self.answered.insert(from);
        self.waiting_datagrams.push_back(WaitingDatagram {
            target,
            peer: from,
            counter: None,
            attempts: self.plan.retries + 1,
            rtt: None,
            first_reply: datagram[..datagram.len().min(FIRST_REPLY_BYTES_MAX)].into(),
            answered_from: None,
        });
    }

    fn begin_interview_of(&mut self, asked: Peer, datagram: &[u8], answered_from: Option<Peer>) {
        let Some(probe) = self.remove_datagram_probe(&asked) else {
            return;
        };
        self.answered.insert(asked);
        let rtt = (probe.sends == 1).then(|| self.now.saturating_sub(probe.first_sent_at));
        self.waiting_datagrams.push_back(WaitingDatagram {
            target: probe.target,
            peer: asked,
            counter: probe.counter,
            attempts: probe.sends,
            rtt,
            first_reply: datagram[..datagram.len().min(FIRST_REPLY_BYTES_MAX)].into(),
            answered_from: answered_from.map(|from| from.socket_address()),
        });
    }

    /// A datagram without our id is remembered for its target, and never believed.
    fn handle_foreign(&mut self, from: Peer, datagram: &[u8]) {
        self.tally.rejected_replies += 1;
        if let Some(probe) = self.datagram_probes.get_mut(&from)
            && probe.foreign.is_none()
        {
            let kept = datagram.len().min(FOREIGN_BYTES_MAX);
            probe.foreign = Some(datagram[..kept].into());
        }
    }

    pub(crate) fn datagram_timed_out(&mut self, peer: Peer, send: u32) {
        let Some(probe) = self.datagram_probes.get(&peer) else {
            return;
        };
        if probe.sends != send {
            return;
        }
        if probe.sends <= self.plan.retries {
            self.ready_datagrams.push_back(peer);
            return;
        }
        let (target, first_sent_at) = (probe.target.clone(), probe.first_sent_at);
        match self.contact_of_silence(&target, first_sent_at) {
            Ok(contact) => self.end_datagram_probe(&peer, contact),
            Err(left) => self.timers.set(self.now + left, Wake::Datagram(peer, send)),
        }
    }

    fn remove_datagram_probe(&mut self, peer: &Peer) -> Option<crate::probes::DatagramProbe> {
        let probe = self.datagram_probes.remove(peer)?;
        for send in 1..=probe.sends {
            let key = (peer.is_ipv6(), self.cookie_key.cookie(peer, send));
            if self.by_cookie.get(&key) == Some(peer) {
                self.by_cookie.remove(&key);
            }
        }
        Some(probe)
    }

    fn end_datagram_probe(&mut self, peer: &Peer, contact: Contact) {
        let Some(probe) = self.remove_datagram_probe(peer) else {
            return;
        };
        let attempts = probe.sends.max(1);
        let evidence = match probe.foreign {
            Some(foreign) if contact == Contact::Silent => evidence_of_foreign(&foreign, attempts),
            _ => bare(contact, attempts),
        };
        let late = probe.counter.is_none();
        self.conclude(probe.target, Transport::Udp, probe.counter, evidence, late);
    }
}

/// Sends one datagram to a permitted target. There is no other way to send one in this room.
pub(crate) fn send_datagram(fd: RawFd, target: &Permitted, datagram: &[u8]) -> Result<(), Errno> {
    let peer = Peer::of(target.address(), target.port()).ok_or(Errno::EADDRNOTAVAIL)?;
    sendto(fd, datagram, &peer.kernel(), MsgFlags::MSG_NOSIGNAL).map(|_| ())
}

/// A UDP socket that reports ICMP errors through its queue.
pub(crate) fn open_datagram_socket(ipv6: bool) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let family = if ipv6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let fd = socket(family, SockType::Datagram, flags, None)?;
    let any: std::net::SocketAddr = if ipv6 {
        setsockopt(&fd, Ipv6V6Only, &true)?;
        setsockopt(&fd, Ipv6RecvErr, &true)?;
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        setsockopt(&fd, Ipv4RecvErr, &true)?;
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    };
    bind(fd.as_raw_fd(), &SockaddrStorage::from(any))?;
    Ok(fd)
}

fn contact_of_send(errno: Errno) -> Contact {
    match errno {
        // sendto(2): EACCES means a broadcast address, where no single host can be.
        Errno::EACCES => Contact::Unreachable(None),
        other => contact_of_errno(other),
    }
}

fn evidence_of_foreign(foreign: &[u8], attempts: u32) -> Evidence {
    let shown: String = foreign
        .iter()
        .take(24)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let dialogue = Dialogue {
        impression: Some(Impression::ForeignDatagram(shown)),
        ..Dialogue::default()
    };
    Evidence {
        contact: Contact::Answered,
        attempts,
        rtt: None::<Duration>,
        dialogue: Some(Box::new(dialogue)),
    }
}
