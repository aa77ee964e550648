//! The sweep over TCP: connection attempts, several for one target if the first stays silent.
//!
//! An attempt whose time is up is not closed but kept beside the next one, as long as descriptors
//! last: a late SYN-ACK is as good as an early one. Once none is left, attempts whose time is up make
//! room, the oldest first. As every attempt's time ends, nobody waits for a descriptor for ever.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use model::{Address, Contact, Evidence, Transport};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr, SocketError as PendingError};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, connect,
    getpeername, getsockname, getsockopt, setsockopt, socket,
};
use targets::Permitted;

use crate::address::Peer;
use crate::icmp::{contact_of_errno, contact_of_icmp, take_error};
use crate::limits::ATTEMPTS_MIN;
use crate::neighbourhood::{Neighbourhood, count_refusal};
use crate::probes::{Attempt, Key, StreamProbe, Token};
use crate::reactor::{Reactor, Wake, bare, transport_of};
use crate::talks::{OPENED_PACKETS, WaitingStream};

/// If fewer than one of so many attempts open a connection, what that costs is told afterwards.
const OPENING_SHARE: u64 = 64;
/// When the kernel first repeats a SYN (RFC 6298 section 2.1).
const SYN_REPEATED_AFTER: Duration = Duration::from_secs(1);

/// How a non-blocking connect began.
pub(crate) enum Begun {
    /// Under way (or already open: the first event tells).
    /// And whether the peer has accepted and reset it already: that is told only once.
    Pending(OwnedFd, bool),
    /// Over before it began.
    Ended(Contact),
    /// No descriptor was left.
    NoDescriptor,
}

/// Begins a non-blocking connection to a permitted target.
pub(crate) fn begin_connect(target: &Permitted) -> Begun {
    let (address, port) = (target.address(), target.port());
    let (family, peer) = match address {
        Address::Unix(_) => (AddressFamily::Unix, None),
        Address::Ip(_) | Address::Zoned(..) => match Peer::of(address, port) {
            Some(peer) if peer.is_ipv6() => (AddressFamily::Inet6, Some(peer)),
            Some(peer) => (AddressFamily::Inet, Some(peer)),
            None => return Begun::Ended(Contact::Failed("no such interface".to_owned())),
        },
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = match socket(family, SockType::Stream, flags, None) {
        Ok(fd) => fd,
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            return Begun::NoDescriptor;
        }
        Err(errno) => return Begun::Ended(contact_of_errno(errno)),
    };
    let result = match (&peer, address) {
        (Some(peer), _) => {
            // Without the error queue an ICMP error would be known by its errno alone.
            if peer.is_ipv6() {
                let _ = setsockopt(&fd, Ipv6RecvErr, &true);
            } else {
                let _ = setsockopt(&fd, Ipv4RecvErr, &true);
            }
            connect_to(&fd, &peer.kernel())
        }
        (None, Address::Unix(path)) => match UnixAddr::new(path.as_path()) {
            Ok(address) => connect_to(&fd, &address),
            Err(errno) => Err(errno),
        },
        (None, _) => Err(Errno::EAFNOSUPPORT),
    };
    match result {
        Ok(()) | Err(Errno::EINPROGRESS) => match pending_error(&fd) {
            None => Begun::Pending(fd, false),
            Some(errno) if was_accepted(errno) => Begun::Pending(fd, true),
            Some(errno) => Begun::Ended(contact_of_failure(&fd, errno, peer.as_ref())),
        },
        Err(errno) if peer.is_none() => Begun::Ended(contact_of_unix_errno(errno)),
        Err(errno) => Begun::Ended(contact_of_failure(&fd, errno, peer.as_ref())),
    }
}

fn connect_to(fd: &OwnedFd, address: &dyn SockaddrLike) -> Result<(), Errno> {
    connect(fd.as_raw_fd(), address)
}

/// The error that ended a connect, if one has.
pub(crate) fn pending_error(fd: &OwnedFd) -> Option<Errno> {
    match getsockopt(fd, PendingError) {
        Ok(0) => None,
        Ok(code) => Some(Errno::from_raw(code)),
        Err(errno) => Some(errno),
    }
}

/// Whether an error of a connect comes from after the SYN-ACK: somebody accepted and then reset. A
/// RST in answer to a SYN is ECONNREFUSED (tcp_reset in Linux's net/ipv4/tcp_input.c).
fn was_accepted(errno: Errno) -> bool {
    matches!(errno, Errno::ECONNRESET | Errno::EPIPE)
}

/// What ended a connect: the ICMP error in the queue, or else the errno.
pub(crate) fn contact_of_failure(fd: &OwnedFd, errno: Errno, peer: Option<&Peer>) -> Contact {
    let mut scratch = [0; 256];
    let ipv6 = peer.is_some_and(Peer::is_ipv6);
    take_error(fd.as_raw_fd(), &mut scratch)
        .and_then(|queued| queued.icmp)
        .and_then(|icmp| contact_of_icmp(icmp, ipv6))
        .unwrap_or_else(|| contact_of_errno(errno))
}

fn contact_of_unix_errno(errno: Errno) -> Contact {
    match errno {
        Errno::ECONNREFUSED => Contact::Refused(model::Refusal::NoListener),
        Errno::ENOENT => Contact::Unreachable(None),
        Errno::EACCES | Errno::EPERM => Contact::Prohibited(None),
        other => Contact::Failed(other.desc().to_owned()),
    }
}

/// Whether the kernel chose, as our own port, the very one that was asked, on this machine: then
/// nobody listens there, and TCP's simultaneous open (RFC 9293 section 3.5) met itself.
fn is_connected_to_itself(fd: &OwnedFd) -> bool {
    let own = getsockname::<SockaddrStorage>(fd.as_raw_fd());
    let peer = getpeername::<SockaddrStorage>(fd.as_raw_fd());
    match (own, peer) {
        (Ok(own), Ok(peer)) => {
            Peer::of_kernel(&own).is_some_and(|own| Peer::of_kernel(&peer) == Some(own))
        }
        _ => false,
    }
}

impl Reactor<'_> {
    /// Whether an attempt can be made: a descriptor is free, or could be.
    pub(crate) fn has_descriptor(&mut self) -> bool {
        self.forget_ended_attempts();
        self.attempts.len() < self.shares.attempts || !self.expired_attempts.is_empty()
    }

    /// Leaves the oldest attempt whose time is up at the head of the queue, or the queue empty.
    fn forget_ended_attempts(&mut self) {
        while let Some(oldest) = self.expired_attempts.front()
            && self.attempts.find(*oldest).is_none()
        {
            self.expired_attempts.pop_front();
        }
    }

    /// Makes one connection attempt; false if none could be made now.
    pub(crate) fn send_stream_probe(&mut self, key: Key) -> bool {
        if self.attempts.len() >= self.shares.attempts {
            self.give_up_expired_attempt();
        }
        let Some(probe) = self.stream_probes.find(key) else {
            return false;
        };
        probe.sends += 1;
        let send = probe.sends;
        if send == 1 {
            probe.first_sent_at = self.now;
        }
        let target = probe.target.clone();
        match begin_connect(&target) {
            Begun::Pending(fd, was_reset) => {
                self.expect_opening();
                let attempt = Attempt {
                    fd,
                    probe: key,
                    sent_at: self.now,
                    was_reset,
                };
                let attempt_key = self.attempts.insert(attempt);
                if let Some(probe) = self.stream_probes.find(key) {
                    probe.attempts.push(attempt_key);
                }
                if let Some(attempt) = self.attempts.find(attempt_key) {
                    let token = Token::Attempt(attempt_key).pack();
                    let event = nix::sys::epoll::EpollEvent::new(EpollFlags::EPOLLOUT, token);
                    // Without a registration the time-out ends the attempt.
                    let _ = self.epoll.add(&attempt.fd, event);
                }
                self.timers.set(
                    self.now + SYN_REPEATED_AFTER,
                    Wake::Repeated(attempt_key, SYN_REPEATED_AFTER * 2),
                );
                let wait = self.wait_after(&target, send);
                self.timers.set(self.now + wait, Wake::Stream(key, send));
                true
            }
            Begun::Ended(contact) => {
                self.end_stream_probe(key, contact);
                true
            }
            Begun::NoDescriptor => {
                if let Some(probe) = self.stream_probes.find(key) {
                    probe.sends -= 1;
                }
                self.adapt_to_descriptors(key);
                false
            }
        }
    }

    /// Keeps room for the acknowledgement of a SYN-ACK, unless hardly anybody has sent one so far.
    fn expect_opening(&mut self) {
        self.connections_begun += 1;
        if (self.connections_opened + 1) * OPENING_SHARE >= self.connections_begun {
            self.expect(OPENED_PACKETS);
        }
    }

    /// The kernel repeats an unanswered SYN after 1 s, 2 s more, 4 s more (RFC 6298 section 5.5): a
    /// packet of ours that counts against the rate like any other.
    pub(crate) fn syn_repeated(&mut self, key: Key, next: Duration) {
        if self.attempts.find(key).is_some() {
            self.charge();
            self.timers
                .set(self.now + next, Wake::Repeated(key, next * 2));
        }
    }

    /// The system grants fewer descriptors than it promised: do with those that work.
    fn adapt_to_descriptors(&mut self, key: Key) {
        let held = self.attempts.len();
        if held < ATTEMPTS_MIN && self.stream_talks.len() == 0 && self.datagram_talks.len() == 0 {
            let contact = Contact::Failed("no file descriptor left on this machine".to_owned());
            self.end_stream_probe(key, contact);
            return;
        }
        self.shares.attempts = held.max(ATTEMPTS_MIN);
        self.ready_streams.push_front(key);
        self.pause_sending();
    }

    /// Closes the oldest attempt whose time is up. Its target is asked again, or has been.
    fn give_up_expired_attempt(&mut self) {
        self.forget_ended_attempts();
        let Some(oldest) = self.expired_attempts.pop_front() else {
            return;
        };
        let Some(attempt) = self.attempts.remove(oldest) else {
            return;
        };
        if let Some(probe) = self.stream_probes.find(attempt.probe) {
            probe.attempts.retain(|kept| *kept != oldest);
        }
    }

    /// The kernel has news of an attempt: it is open, or it failed.
    pub(crate) fn attempt_ready(&mut self, key: Key) {
        let Some(attempt) = self.attempts.find(key) else {
            return;
        };
        let probe_key = attempt.probe;
        let rtt = self.now.saturating_sub(attempt.sent_at);
        let error = pending_error(&attempt.fd);
        // Asking for the error takes it away: whoever reads now sees only that nothing more comes.
        let was_reset = attempt.was_reset || error.is_some_and(was_accepted);
        match error.filter(|errno| !was_accepted(*errno)) {
            None => {
                let Some(attempt) = self.attempts.remove(key) else {
                    return;
                };
                let _ = self.epoll.delete(&attempt.fd);
                self.tally.packets_received += 1;
                if is_connected_to_itself(&attempt.fd) {
                    self.end_stream_probe(probe_key, Contact::Refused(model::Refusal::Reset));
                    return;
                }
                let Some(probe) = self.remove_stream_probe(probe_key) else {
                    return;
                };
                self.measured(&probe, rtt);
                self.accepted(probe, attempt.fd, rtt, was_reset);
            }
            Some(errno) => {
                let Some(attempt) = self.attempts.remove(key) else {
                    return;
                };
                let peer = self
                    .stream_probes
                    .find(probe_key)
                    .and_then(|probe| Peer::of(probe.target.address(), probe.target.port()));
                let contact = contact_of_failure(&attempt.fd, errno, peer.as_ref());
                if contact == Contact::Silent {
                    // The kernel gave up; our own timer decides whether to ask again.
                    return;
                }
                if let (Contact::Refused(_), Some(peer)) = (&contact, peer) {
                    self.trips.measured(Neighbourhood::of(peer.ip), rtt);
                }
                self.end_stream_probe(probe_key, contact);
            }
        }
    }

    pub(crate) fn stream_timed_out(&mut self, key: Key, send: u32) {
        let Some(probe) = self.stream_probes.find(key) else {
            return;
        };
        if probe.sends != send {
            return;
        }
        self.expired_attempts.extend(probe.attempts.last());
        if probe.sends <= self.plan.retries {
            self.ready_streams.push_back(key);
            return;
        }
        let (target, first_sent_at) = (probe.target.clone(), probe.first_sent_at);
        match self.contact_of_silence(&target, first_sent_at) {
            Ok(contact) => self.end_stream_probe(key, contact),
            Err(left) => self.timers.set(self.now + left, Wake::Stream(key, send)),
        }
    }

    fn measured(&mut self, probe: &StreamProbe, rtt: std::time::Duration) {
        if let Some(ip) = probe.target.address().ip() {
            self.trips.measured(Neighbourhood::of(ip), rtt);
        }
    }

    /// Takes a probe out, with all its attempts.
    fn remove_stream_probe(&mut self, key: Key) -> Option<StreamProbe> {
        let probe = self.stream_probes.remove(key)?;
        for attempt in &probe.attempts {
            self.attempts.remove(*attempt);
        }
        // The queue would otherwise grow with the run.
        self.forget_ended_attempts();
        Some(probe)
    }

    fn end_stream_probe(&mut self, key: Key, contact: Contact) {
        let Some(probe) = self.remove_stream_probe(key) else {
            return;
        };
        let heard = matches!(
            contact,
            Contact::Refused(_) | Contact::Prohibited(Some(_)) | Contact::Unreachable(Some(_))
        );
        if heard {
            self.tally.packets_received += 1;
        }
        if let (Contact::Refused(_), Some(ip)) = (&contact, probe.target.address().ip()) {
            count_refusal(&mut self.neighbourhoods, ip);
        }
        let transport = transport_of(&probe.target);
        let evidence = bare(contact, probe.sends);
        let late = probe.counter.is_none();
        self.conclude(probe.target, transport, probe.counter, evidence, late);
    }

    /// A connection is open: it waits for its interview, which may begin at once.
    fn accepted(
        &mut self,
        probe: StreamProbe,
        fd: OwnedFd,
        rtt: std::time::Duration,
        was_reset: bool,
    ) {
        if transport_of(&probe.target) == Transport::Tcp {
            // The kernel has acknowledged the SYN-ACK.
            self.charge();
            self.connections_opened += 1;
        }
        let place = probe.target.address().ip().map(Neighbourhood::of);
        let waiting = WaitingStream {
            attempts: probe.sends,
            counter: probe.counter,
            target: probe.target,
            fd,
            rtt,
            was_reset,
        };
        let Some(place) = place else {
            self.begin_stream_talk(waiting, None, self.depth());
            return;
        };
        let acceptance = self.neighbourhoods.entry(place).or_default();
        acceptance.accepted += 1;
        acceptance.waiting.push_back(waiting);
        self.waiting_streams += 1;
        self.queue_place(place);
    }
}

/// Evidence of an endpoint that was spoken to.
pub(crate) fn spoken(
    attempts: u32,
    rtt: std::time::Duration,
    dialogue: model::Dialogue,
) -> Evidence {
    Evidence {
        contact: Contact::Answered,
        attempts,
        rtt: Some(rtt),
        dialogue: Some(Box::new(dialogue)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use interview::Depth;
    use model::{Pending, Transport};
    use sim::live::FullBacklog;
    use targets::{Day, Order, Permit, Scope, SelectionBuilder, Shard};

    use super::*;
    use crate::plan::{Observation, Plan, Progress, Sink, TimeoutPolicy};

    /// Far more than there are descriptors for.
    const TARGETS: u8 = 200;
    const DESCRIPTORS: usize = 32;
    const TIMEOUT: Duration = Duration::from_millis(20);

    #[derive(Default)]
    struct Seen(Vec<Observation>);

    impl Sink for Seen {
        fn observed(&mut self, observation: Observation) {
            self.0.push(observation);
        }

        fn counted(&mut self, _: Transport, _: &Contact, _: u64) {}

        fn progress(&mut self, _: &Progress) {}

        fn checkpoint(&mut self, _: u64, _: &[Pending]) {}

        fn is_stopped(&self) -> bool {
            false
        }
    }

    fn permit(port: u16) -> Permit {
        let mut builder = SelectionBuilder::new(vec![port]);
        for host in 1..=TARGETS {
            let address = Address::from_ip([127, 69, 0, host].into());
            builder.add_address(address, None, None);
        }
        let scope = Scope::new(Vec::new(), Day::new(2026, 1, 1).unwrap());
        scope.permit(builder.build().unwrap()).unwrap()
    }

    /// Each target held its attempt and waited for a descriptor to ask again, for ever. Full use of
    /// the descriptors takes some 0.5 s for four sends; ten times that is for a busy machine.
    #[test]
    fn more_silent_targets_than_descriptors_come_to_an_end() {
        // All of 127/8 is silent on this port.
        let silent = FullBacklog::start(([0, 0, 0, 0], 0).into()).unwrap();
        let permit = permit(silent.address().port());
        for retries in [0, 1, 3] {
            let plan = Plan {
                tcp: true,
                udp: false,
                again: Vec::new(),
                order: Order::new(permit.pairs(), 7, Shard::ALL, 0),
                rate_pps: 100_000,
                retries,
                timeout: TimeoutPolicy::Fixed(TIMEOUT),
                deadline: Some(Duration::from_secs(5)),
                depth: Depth::Scan,
                key_names_max: None,
                secret: 7,
            };
            let mut seen = Seen::default();
            let mut reactor = Reactor::new(&plan, &permit, None, &mut seen).unwrap();
            reactor.shares.attempts = DESCRIPTORS;
            let tally = reactor.run().unwrap();
            assert!(tally.complete, "{retries} retries: {tally:?}");
            assert_eq!(seen.0.len(), usize::from(TARGETS));
            assert_eq!(
                tally.packets_sent,
                u64::from(TARGETS) * u64::from(retries + 1)
            );
            for observation in seen.0 {
                assert_eq!(observation.transport, Transport::Tcp);
                assert_eq!(observation.evidence.contact, Contact::Silent);
                assert_eq!(observation.evidence.attempts, retries + 1);
            }
        }
    }
}
