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
use wire::{DatagramRequest, Reassembly};

use crate::session::{Received, Session, SessionEnd};
use crate::sweep_datagrams::{open_datagram_socket, send_datagram};
use crate::sweep_streams::{Begun, begin_connect, contact_of_failure, pending_error};

/// Bytes read from the kernel at once.
const READ_BYTES: usize = 64 * 1024;
/// Sends of a datagram, the first included.
const DATAGRAM_SENDS_MAX: u32 = 3;

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
    /// A reply arrived with a piece missing.
    #[error("a part of the reply was lost on the way (UDP)")]
    Torn,
    /// Our own system refused.
    #[error("{0}")]
    System(String),
}

/// A stream connection to one server.
pub struct Link {
    fd: OwnedFd,
    session: Option<Box<Session>>,
    facts: Option<TlsFacts>,
    inbox: VecDeque<Vec<u8>>,
    ended: Option<LinkError>,
    timeout: Duration,
}

impl Link {
    /// Connects, and shakes hands if the link is to be protected.
    ///
    /// # Errors
    ///
    /// Whatever keeps the link from being usable within `timeout`.
    pub fn open(
        target: &Permitted,
        security: &Security,
        timeout: Duration,
    ) -> Result<Link, LinkError> {
        let until = Instant::now() + timeout;
        let fd = match begin_connect(target) {
            Begun::Pending(fd) => fd,
            Begun::Ended(contact) => return Err(error_of_contact(contact)),
            Begun::NoDescriptor => {
                return Err(LinkError::System("no file descriptor left".to_owned()));
            }
        };
        if !wait(&fd, PollFlags::POLLOUT, until)?.contains(PollFlags::POLLOUT) {
            return Err(LinkError::Timeout(timeout));
        }
        if let Some(errno) = pending_error(&fd) {
            return Err(error_of_contact(contact_of_failure(&fd, errno, None)));
        }
        let mut link = Link {
            fd,
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
            if wait(&self.fd, PollFlags::POLLIN, until)?.is_empty() {
                return Err(LinkError::Timeout(self.timeout));
            }
            self.take_in();
        }
    }

    fn send_raw(&mut self, mut bytes: &[u8], until: Instant) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            match send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let both = PollFlags::POLLIN | PollFlags::POLLOUT;
                    let ready = wait(&self.fd, both, until)?;
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
            if wait(&self.fd, PollFlags::POLLIN, until)?.is_empty() {
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
fn wait(fd: &OwnedFd, flags: PollFlags, until: Instant) -> Result<PollFlags, LinkError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(PollFlags::empty());
        }
        let timeout = PollTimeout::try_from(left.as_millis().min(1 << 30) as i32 + 1)
            .unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(fd.as_fd(), flags)];
        match poll(&mut polled, timeout) {
            Ok(0) => return Ok(PollFlags::empty()),
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
            Err(Errno::EINTR) => {}
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
    ids: RandomState,
    asked: u64,
}

impl DatagramLink {
    /// Opens a socket; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If our own system has no socket left.
    pub fn open(target: &Permitted, timeout: Duration) -> Result<DatagramLink, LinkError> {
        let ipv6 = target.address().ip().is_some_and(|ip| ip.is_ipv6());
        let fd = open_datagram_socket(ipv6)
            .map_err(|errno| LinkError::System(errno.desc().to_owned()))?;
        Ok(DatagramLink {
            fd,
            target: target.clone(),
            timeout,
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
        let share = self.timeout / DATAGRAM_SENDS_MAX;
        let mut heard = false;
        for _ in 0..DATAGRAM_SENDS_MAX {
            self.asked += 1;
            let request_id = self.ids.hash_one(self.asked) as u16;
            let datagram = request.encode(request_id);
            send_datagram(self.fd.as_raw_fd(), &self.target, &datagram)
                .map_err(|errno| LinkError::Unreachable(errno.desc().to_owned()))?;
            let mut reply = Reassembly::new(request_id);
            let until = Instant::now() + share;
            while !reply.is_complete() && reply.over_limit() == 0 {
                if wait(&self.fd, PollFlags::POLLIN, until)?.is_empty() {
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
}
