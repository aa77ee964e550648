//! One connection to one server that its administrator named: blocking, with a deadline on every
//! wait, over TCP, TLS, a unix socket or UDP.
//!
//! The sweep must never wait for anybody; a tool that looks into a single server has nothing else
//! to do. What it must not do is hang: every call here ends within the timeout of the link. While
//! a send waits for room, what the peer says meanwhile is taken in, so that two sides with full
//! buffers cannot wait for each other.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::{Address, Contact, Refusal, TlsFacts};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, recvfrom, send};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use targets::Permitted;
use wire::{DatagramRequest, Reassembly, SizesRequest};

use crate::session::{Received, Session, SessionEnd};
use crate::sweep_datagrams::{open_datagram_socket, send_datagram};
use crate::sweep_streams::{Begun, begin_connect, contact_of_failure, pending_error};

/// Bytes read from the kernel at once.
const READ_BYTES: usize = 64 * 1024;
/// Sends of a datagram, the first included.
pub const DATAGRAM_SENDS_MAX: usize = 3;
/// How soon a wait notices that it is to end, if no signal wakes it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What a long reply has to bring on the average of a timeout, in bytes a second: less than any
/// line or server in use, and enough that a reply of any bounded length has an end.
const REPLY_BYTES_PER_S_MIN: u64 = 4 * 1024;

/// How the bytes of a link are protected.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Not at all.
    #[default]
    Plain,
    /// By TLS.
    Tls(TlsOptions),
}

/// What a TLS link trusts and shows. PEM texts, not paths: reading files is not this room's work.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Certificates to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Our certificate chain and key, for servers that demand one.
    pub identity_pem: Option<(Vec<u8>, Vec<u8>)>,
    /// Accept any certificate. Secrets are never sent over such a link.
    pub insecure: bool,
    /// The name the certificate must carry; the address if `None`.
    pub server_name: Option<String>,
}

/// Why a link could not be opened or used. Each is one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens.
    #[error("refused: nobody listens there")]
    Refused,
    /// No route, no host, or a filter said no.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The handshake or a record failed, or a certificate does not verify.
    #[error("TLS: {0}")]
    Tls(String),
    /// A long reply came in drops.
    #[error("fewer than {REPLY_BYTES_PER_S_MIN} bytes a second came")]
    TooSlow,
    /// The caller wants every wait to end.
    #[error("stopped")]
    Stopped,
    /// A reply arrived with a piece missing.
    #[error("a part of the reply was lost on the way (UDP)")]
    Torn,
    /// Our own system refused.
    #[error("{0}")]
    System(String),
}

/// Whether a long reply gets on. The deadline of a single wait is none for a reply of any length:
/// who sends a byte before each deadline would hold us for ever.
///
/// Only time that was spent waiting counts, so a caller may take its time between the pieces.
#[derive(Clone, Debug, Default)]
pub struct ReplySpeed {
    waited: Duration,
    bytes: u64,
}

impl ReplySpeed {
    /// At the beginning of a reply.
    pub fn new() -> ReplySpeed {
        ReplySpeed::default()
    }

    /// Counts a piece that came; a timeout is measured at a time.
    fn count(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Whether too little came while a whole timeout was waited. A new stretch begins after each.
    fn is_too_slow(&mut self, timeout: Duration) -> bool {
        if self.waited < timeout {
            return false;
        }
        let least = self.waited.as_secs_f64() * REPLY_BYTES_PER_S_MIN as f64;
        let is_too_slow = (self.bytes as f64) < least;
        *self = ReplySpeed::new();
        is_too_slow
    }
}

/// A stream connection to one server.
pub struct Link {
    fd: OwnedFd,
    stopped: Arc<AtomicBool>,
    session: Option<Box<Session>>,
    facts: Option<TlsFacts>,
    inbox: VecDeque<Vec<u8>>,
    ended: Option<LinkError>,
    timeout: Duration,
}

impl Link {
    /// Connects, and shakes hands if the link is to be protected. Once `stopped` is set, every wait
    /// of this link ends with [`LinkError::Stopped`].
    ///
    /// # Errors
    ///
    /// Whatever keeps the link from being usable within `timeout`.
    pub fn open(
        target: &Permitted,
        security: &Security,
        timeout: Duration,
        stopped: &Arc<AtomicBool>,
    ) -> Result<Link, LinkError> {
        let until = Instant::now() + timeout;
        let fd = match begin_connect(target) {
            Begun::Pending(fd, _) => fd,
            Begun::Ended(contact) => return Err(error_of_contact(contact)),
            Begun::NoDescriptor => {
                return Err(LinkError::System("no file descriptor left".to_owned()));
            }
        };
        if !wait(&fd, PollFlags::POLLOUT, until, stopped)?.contains(PollFlags::POLLOUT) {
            return Err(LinkError::Timeout(timeout));
        }
        if let Some(errno) = pending_error(&fd) {
            return Err(error_of_contact(contact_of_failure(&fd, errno, None)));
        }
        let mut link = Link {
            fd,
            stopped: Arc::clone(stopped),
            session: None,
            facts: None,
            inbox: VecDeque::new(),
            ended: None,
            timeout,
        };
        if let Security::Tls(options) = security {
            link.shake_hands(target, options, until)?;
        }
        Ok(link)
    }

    /// What the TLS handshake showed, if there was one.
    pub fn tls_facts(&self) -> Option<&TlsFacts> {
        self.facts.as_ref()
    }

    /// The longest wait for anything.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// If the server has no room for it within the timeout, or is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let outgoing = match self.session.as_mut() {
            None => bytes.to_vec(),
            Some(session) => {
                session.send(bytes);
                session.take_outgoing()
            }
        };
        self.send_raw(&outgoing, Instant::now() + self.timeout)
    }

    /// Waits for the next bytes, at most the timeout of the link.
    ///
    /// # Errors
    ///
    /// [`LinkError::Timeout`] if nothing came, [`LinkError::Closed`] at the end.
    pub fn receive(&mut self) -> Result<Vec<u8>, LinkError> {
        self.receive_until(Instant::now() + self.timeout)
    }

    /// Waits for the next bytes, at most this long.
    ///
    /// # Errors
    ///
    /// As [`Link::receive`].
    pub fn receive_within(&mut self, wait: Duration) -> Result<Vec<u8>, LinkError> {
        self.receive_until(Instant::now() + wait)
    }

    /// Waits for the next bytes up to this moment. After it nothing is given out, so that a reply
    /// without an end has one.
    ///
    /// # Errors
    ///
    /// As [`Link::receive`].
    pub fn receive_until(&mut self, until: Instant) -> Result<Vec<u8>, LinkError> {
        if Instant::now() >= until {
            return Err(LinkError::Timeout(self.timeout));
        }
        loop {
            if let Some(bytes) = self.inbox.pop_front() {
                return Ok(bytes);
            }
            if let Some(ended) = &self.ended {
                return Err(ended.clone());
            }
            if wait(&self.fd, PollFlags::POLLIN, until, &self.stopped)?.is_empty() {
                return Err(LinkError::Timeout(self.timeout));
            }
            self.take_in();
        }
    }

    /// Waits for the next bytes of a long reply, at most this long; `speed` is that of the reply.
    ///
    /// # Errors
    ///
    /// As [`Link::receive`], and [`LinkError::TooSlow`] if what came before came in drops.
    pub fn receive_long(
        &mut self,
        speed: &mut ReplySpeed,
        wait: Duration,
    ) -> Result<Vec<u8>, LinkError> {
        if speed.is_too_slow(self.timeout) {
            return Err(LinkError::TooSlow);
        }
        let began = Instant::now();
        let received = self.receive_within(wait)?;
        speed.count(began.elapsed(), received.len());
        Ok(received)
    }

    fn send_raw(&mut self, mut bytes: &[u8], until: Instant) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            match send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let both = PollFlags::POLLIN | PollFlags::POLLOUT;
                    let ready = wait(&self.fd, both, until, &self.stopped)?;
                    if ready.is_empty() {
                        return Err(LinkError::Timeout(self.timeout));
                    }
                    if ready.contains(PollFlags::POLLIN) {
                        self.take_in();
                        if let Some(ended) = &self.ended {
                            return Err(ended.clone());
                        }
                    }
                }
                Err(_) => return Err(LinkError::Closed),
            }
        }
        Ok(())
    }

    /// Takes what the kernel has into the inbox, decrypted.
    fn take_in(&mut self) {
        let mut buffer = vec![0; READ_BYTES];
        match recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(0) => self.ended = Some(LinkError::Closed),
            Ok(length) => {
                buffer.truncate(length);
                self.accept(buffer);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.ended = Some(LinkError::Closed),
        }
    }

    fn accept(&mut self, bytes: Vec<u8>) {
        let Some(session) = self.session.as_mut() else {
            self.inbox.push_back(bytes);
            return;
        };
        let Received {
            established,
            plaintext,
            end,
        } = session.receive(&bytes);
        let answer = session.take_outgoing();
        if established.is_some() {
            self.facts = established;
        }
        if !answer.is_empty() {
            // Handshake messages and alerts: small, and of no use to a peer that is gone.
            let _ = send(self.fd.as_raw_fd(), &answer, MsgFlags::MSG_NOSIGNAL);
        }
        if !plaintext.is_empty() {
            self.inbox.push_back(plaintext);
        }
        match end {
            None => {}
            Some(SessionEnd::Closed) => self.ended = Some(LinkError::Closed),
            Some(SessionEnd::Failed(detail)) => self.ended = Some(LinkError::Tls(detail)),
        }
    }

    fn shake_hands(
        &mut self,
        target: &Permitted,
        options: &TlsOptions,
        until: Instant,
    ) -> Result<(), LinkError> {
        let name = server_name(target, options)?;
        let mut session = if options.insecure && options.identity_pem.is_none() {
            Session::accepting_all(name)
        } else {
            Session::with_config(client_config(options)?, name)
        }
        .map_err(LinkError::Tls)?;
        let hello = session.take_outgoing();
        self.session = Some(Box::new(session));
        self.send_raw(&hello, until)?;
        while self.facts.is_none() {
            if let Some(ended) = &self.ended {
                return Err(match ended {
                    LinkError::Closed => {
                        LinkError::Tls("the server closed during the handshake".to_owned())
                    }
                    other => other.clone(),
                });
            }
            if wait(&self.fd, PollFlags::POLLIN, until, &self.stopped)?.is_empty() {
                return Err(LinkError::Timeout(self.timeout));
            }
            self.take_in();
        }
        Ok(())
    }
}

fn server_name(target: &Permitted, options: &TlsOptions) -> Result<ServerName<'static>, LinkError> {
    if let Some(name) = &options.server_name {
        return ServerName::try_from(name.clone())
            .map_err(|_| LinkError::Tls(format!("{name:?} is no host name")));
    }
    match target.address() {
        Address::Ip(ip) => Ok(ServerName::from(*ip)),
        Address::Zoned(ip, _) => Ok(ServerName::from(std::net::IpAddr::V6(*ip))),
        Address::Unix(_) => ServerName::try_from("localhost")
            .map_err(|_| LinkError::Tls("no server name".to_owned())),
    }
}

fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, LinkError> {
    let failed = |what: &str| LinkError::Tls(what.to_owned());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::Tls(error.to_string()))?;
    let builder = if options.insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Session::verifier_of_all(provider))
    } else {
        builder.with_root_certificates(roots(options)?)
    };
    let config = match &options.identity_pem {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
                .collect::<Result<_, _>>()
                .map_err(|_| failed("--cert holds no certificate in PEM form"))?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| failed("--key holds no private key in PEM form"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| LinkError::Tls(format!("--cert and --key: {error}")))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(options: &TlsOptions) -> Result<rustls::RootCertStore, LinkError> {
    let mut roots = rustls::RootCertStore::empty();
    match &options.ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate
                    .map_err(|_| LinkError::Tls("--ca holds no certificate in PEM form".into()))?;
                roots
                    .add(certificate)
                    .map_err(|error| LinkError::Tls(format!("--ca: {error}")))?;
            }
            if roots.is_empty() {
                return Err(LinkError::Tls(
                    "--ca holds no certificate in PEM form".to_owned(),
                ));
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    Ok(roots)
}

/// Waits until the descriptor is ready; empty if the time is up, also if it is ready then: a peer
/// that never stops sending must not keep anybody.
fn wait(
    fd: &OwnedFd,
    flags: PollFlags,
    until: Instant,
    stopped: &AtomicBool,
) -> Result<PollFlags, LinkError> {
    loop {
        if stopped.load(Ordering::Relaxed) {
            return Err(LinkError::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(PollFlags::empty());
        }
        let timeout = PollTimeout::try_from(left.min(LOOK_AGAIN).as_millis() as i32 + 1)
            .unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(fd.as_fd(), flags)];
        match poll(&mut polled, timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => {
                let ready = polled[0].revents().unwrap_or(PollFlags::empty());
                // Errors and hang-ups show at the next read or write.
                let ended = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
                return Ok(if ready.intersects(ended) {
                    flags
                } else {
                    ready
                });
            }
            Err(errno) => return Err(LinkError::System(errno.desc().to_owned())),
        }
    }
}

fn error_of_contact(contact: Contact) -> LinkError {
    match contact {
        Contact::Refused(Refusal::Reset | Refusal::PortUnreachable(_) | Refusal::NoListener) => {
            LinkError::Refused
        }
        Contact::Prohibited(_) => LinkError::Unreachable("a firewall prohibits it".to_owned()),
        Contact::Unreachable(_) => LinkError::Unreachable("no such host or socket".to_owned()),
        Contact::Failed(what) => LinkError::System(what),
        Contact::Silent | Contact::Unfinished | Contact::Answered => LinkError::Closed,
    }
}

/// Questions over UDP, framed and put together again.
pub struct DatagramLink {
    fd: OwnedFd,
    target: Permitted,
    timeout: Duration,
    stopped: Arc<AtomicBool>,
    ids: RandomState,
    asked: u64,
}

impl DatagramLink {
    /// Opens a socket; nothing is sent yet. `stopped` ends every wait, as in [`Link::open`].
    ///
    /// # Errors
    ///
    /// If our own system has no socket left.
    pub fn open(
        target: &Permitted,
        timeout: Duration,
        stopped: &Arc<AtomicBool>,
    ) -> Result<DatagramLink, LinkError> {
        let ipv6 = target.address().ip().is_some_and(|ip| ip.is_ipv6());
        let fd = open_datagram_socket(ipv6)
            .map_err(|errno| LinkError::System(errno.desc().to_owned()))?;
        Ok(DatagramLink {
            fd,
            target: target.clone(),
            timeout,
            stopped: Arc::clone(stopped),
            ids: RandomState::new(),
            asked: 0,
        })
    }

    /// Asks once, repeats if nothing whole comes, and returns the text of the reply.
    ///
    /// # Errors
    ///
    /// [`LinkError::Timeout`] without any answer, [`LinkError::Torn`] if a piece stays missing.
    pub fn ask(&mut self, request: DatagramRequest) -> Result<Vec<u8>, LinkError> {
        self.ask_each([request; DATAGRAM_SENDS_MAX], |request, id| {
            request.encode(id)
        })
    }

    /// Asks for `stats sizes` in the same way. Each send uses up one cleared request.
    ///
    /// # Errors
    ///
    /// As [`DatagramLink::ask`].
    pub fn ask_sizes(
        &mut self,
        requests: [SizesRequest; DATAGRAM_SENDS_MAX],
    ) -> Result<Vec<u8>, LinkError> {
        self.ask_each(requests, SizesRequest::encode_datagram)
    }

    fn ask_each<R>(
        &mut self,
        requests: [R; DATAGRAM_SENDS_MAX],
        encode: impl Fn(R, u16) -> Vec<u8>,
    ) -> Result<Vec<u8>, LinkError> {
        let share = self.timeout / DATAGRAM_SENDS_MAX as u32;
        let mut heard = false;
        for request in requests {
            self.asked += 1;
            let request_id = self.ids.hash_one(self.asked) as u16;
            let reply = self.exchange(request_id, &encode(request, request_id), share)?;
            if reply.is_complete() {
                return Ok(reply.contiguous());
            }
            heard |= reply.datagrams() > 0;
        }
        Err(if heard {
            LinkError::Torn
        } else {
            LinkError::Timeout(self.timeout)
        })
    }

    /// Sends one datagram, and takes what answers it until that is whole or the time is up.
    fn exchange(
        &mut self,
        request_id: u16,
        datagram: &[u8],
        share: Duration,
    ) -> Result<Reassembly, LinkError> {
        send_datagram(self.fd.as_raw_fd(), &self.target, datagram)
            .map_err(|errno| LinkError::Unreachable(errno.desc().to_owned()))?;
        let mut reply = Reassembly::new(request_id);
        let until = Instant::now() + share;
        while !reply.is_complete() && reply.over_limit() == 0 {
            if wait(&self.fd, PollFlags::POLLIN, until, &self.stopped)?.is_empty() {
                break;
            }
            let mut buffer = vec![0; READ_BYTES];
            match recvfrom::<SockaddrStorage>(self.fd.as_raw_fd(), &mut buffer) {
                Ok((length, _)) => {
                    reply.handle_datagram(&buffer[..length]);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(Errno::ECONNREFUSED) => return Err(LinkError::Refused),
                Err(errno) => {
                    return Err(LinkError::Unreachable(errno.desc().to_owned()));
                }
            }
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Pieces as (milliseconds waited, bytes); which of them is the first one too many.
    #[track_caller]
    fn check(pieces: &[(u64, usize)], expect: Option<usize>) {
        let mut speed = ReplySpeed::new();
        let too_slow = pieces.iter().position(|(waited_ms, bytes)| {
            let is_too_slow = speed.is_too_slow(TIMEOUT);
            speed.count(Duration::from_millis(*waited_ms), *bytes);
            is_too_slow
        });
        assert_eq!(too_slow, expect, "{pieces:?}");
    }

    #[test]
    fn a_reply_in_drops_is_too_slow_and_a_late_one_is_not() {
        check(&[(1_900, 1), (1_900, 1), (1_900, 1)], Some(2));
        check(&[(100, 60); 40], Some(20));
        // What was fast for hours may not become slow either.
        let stalls = [vec![(1, 65_536); 5_000], vec![(500, 10); 8]].concat();
        check(&stalls, Some(5_006));
        check(&[(1_990, 10), (20, 65_536), (1, 100)], None);
        check(&[(1_000, 4_096); 100], None);
        check(&[(0, 1); 10_000], None);
    }
}
