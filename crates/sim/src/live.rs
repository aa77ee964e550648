//! Personalities on real sockets of this machine: one thread for each server, which sleeps in
//! poll(2) until something happens or a waiting act is due, and ends as soon as its handle is
//! dropped.

mod certificate;
mod filtered;
mod stream;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ServerConfig;

pub use filtered::{FullBacklog, SilentUdp};

use crate::behaviour::{DatagramAct, Personality, StreamId};
use stream::{Fate, Stream};

/// More connections at once are accepted and closed.
const STREAMS_MAX: usize = 64;
/// More datagrams than this do not wait for their time.
const LATER_MAX: usize = 4096;
/// Datagrams read before other sockets get their turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// The largest datagram IPv4 can carry.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// TLS on the TCP port of a server, with a certificate it signed itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsMode {
    /// Whether clients must show a certificate; none will ever be accepted.
    pub require_client_certificate: bool,
}

/// From which port a server answers over UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpReply {
    /// From the port that was asked.
    #[default]
    FromSamePort,
    /// From another port of the same address.
    FromOtherPort,
}

/// On which sockets a server is hosted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hosting {
    /// Whether it listens on TCP.
    pub tcp: bool,
    /// Whether it is bound on UDP.
    pub udp: bool,
    /// TLS on the TCP port.
    pub tls: Option<TlsMode>,
    /// From which port it answers over UDP.
    pub udp_reply: UdpReply,
}

/// A server on real sockets. Stops when dropped, and waits until it has.
#[derive(Debug)]
pub struct LiveServer {
    address: SocketAddr,
    /// The worker ends when it sees the other end of this.
    stop: Option<UnixStream>,
    worker: Option<JoinHandle<()>>,
}

impl LiveServer {
    /// Hosts the server that `make` makes. Port 0 takes any free port: see
    /// [`LiveServer::address`].
    ///
    /// # Errors
    /// If a socket cannot be bound.
    pub fn start(
        address: SocketAddr,
        tcp: bool,
        udp: bool,
        tls: Option<TlsMode>,
        make: Arc<dyn Fn() -> Box<dyn Personality>>,
    ) -> io::Result<LiveServer> {
        let hosting = Hosting {
            tcp,
            udp,
            tls,
            ..Hosting::default()
        };
        LiveServer::host(address, hosting, make())
    }

    /// Hosts a server.
    ///
    /// # Errors
    /// If a socket cannot be bound.
    pub fn host(
        address: SocketAddr,
        hosting: Hosting,
        personality: Box<dyn Personality>,
    ) -> io::Result<LiveServer> {
        let mut address = address;
        let listener = hosting
            .tcp
            .then(|| TcpListener::bind(address))
            .transpose()?;
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
            address = listener.local_addr()?;
        }
        let udp = hosting.udp.then(|| bind_udp(address)).transpose()?;
        if let Some(udp) = &udp {
            address = udp.local_addr()?;
        }
        let other_udp = match (hosting.udp, hosting.udp_reply) {
            (true, UdpReply::FromOtherPort) => Some(bind_udp(SocketAddr::new(address.ip(), 0))?),
            _ => None,
        };
        let tls = hosting
            .tls
            .map(|mode| certificate::server_config(address.ip(), mode));
        let tls = tls.transpose()?;
        let (stop, stopped) = UnixStream::pair()?;
        let worker = Worker {
            personality,
            listener,
            udp,
            other_udp,
            tls,
            stopped,
            streams: Vec::new(),
            next_stream: 1,
            later: Vec::new(),
        };
        let name = format!("made-up {address}");
        let worker = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run())?;
        Ok(LiveServer {
            address,
            stop: Some(stop),
            worker: Some(worker),
        })
    }

    /// Begins to stop without waiting for it, so that many can stop at once.
    pub(crate) fn stop_soon(&mut self) {
        drop(self.stop.take());
    }

    /// Where it can be reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        self.stop_soon();
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has said so itself.
            let _ = worker.join();
        }
    }
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Microseconds since the Unix epoch.
fn now_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |duration| {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    })
}

/// A datagram that waits for its time.
struct Later {
    due: Instant,
    to: SocketAddr,
    bytes: Vec<u8>,
}

struct Worker {
    personality: Box<dyn Personality>,
    listener: Option<TcpListener>,
    udp: Option<UdpSocket>,
    other_udp: Option<UdpSocket>,
    tls: Option<Arc<ServerConfig>>,
    stopped: UnixStream,
    streams: Vec<Stream>,
    next_stream: StreamId,
    later: Vec<Later>,
}

/// What poll(2) found.
struct Ready {
    stopped: bool,
    listener: bool,
    udp: bool,
    /// In the order of the streams.
    streams: Vec<bool>,
}

impl Worker {
    fn run(mut self) {
        loop {
            let ready = match self.wait() {
                Ok(ready) if !ready.stopped => ready,
                // Without poll there is nothing this thread could do; it ends as if stopped.
                Ok(_) | Err(_) => return,
            };
            let readable = ready.streams;
            let mut index = 0;
            for is_ready in readable {
                let is_due = self.streams[index].is_due();
                let fate = if is_ready || is_due {
                    self.streams[index].turn(is_ready, &mut *self.personality, now_us())
                } else {
                    Fate::Open
                };
                match fate {
                    Fate::Open => index += 1,
                    Fate::Gone => {
                        let gone = self.streams.remove(index);
                        self.personality.stream_closed(gone.id());
                    }
                }
            }
            if ready.listener {
                self.accept();
            }
            if ready.udp {
                self.receive();
            }
            self.send_due();
        }
    }

    fn wait(&self) -> nix::Result<Ready> {
        let mut watched = vec![PollFd::new(self.stopped.as_fd(), PollFlags::POLLIN)];
        if let Some(listener) = &self.listener {
            watched.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        if let Some(udp) = &self.udp {
            watched.push(PollFd::new(udp.as_fd(), PollFlags::POLLIN));
        }
        watched.extend(self.streams.iter().map(Stream::watched));
        match poll(&mut watched, self.timeout()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let mut ready = watched
            .iter()
            .map(|one| one.revents().is_some_and(|events| !events.is_empty()));
        let mut next = || ready.next().unwrap_or(false);
        Ok(Ready {
            stopped: next(),
            listener: self.listener.is_some() && next(),
            udp: self.udp.is_some() && next(),
            streams: ready.collect(),
        })
    }

    /// Until the next act is due; for ever, if none waits.
    fn timeout(&self) -> PollTimeout {
        let of_streams = self.streams.iter().filter_map(Stream::due);
        let Some(due) = of_streams
            .chain(self.later.iter().map(|later| later.due))
            .min()
        else {
            return PollTimeout::NONE;
        };
        // Rounded up: rounded down, the last millisecond would be spent in a busy loop.
        let left = due.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else {
            return;
        };
        // Each error (nothing left, or a client that has already gone) ends this turn only.
        while let Ok((socket, _)) = listener.accept() {
            if self.streams.len() >= STREAMS_MAX {
                continue;
            }
            let id = self.next_stream;
            self.next_stream += 1;
            let Ok(mut stream) = Stream::new(id, socket, self.tls.as_ref()) else {
                continue;
            };
            match stream.turn(false, &mut *self.personality, now_us()) {
                Fate::Open => self.streams.push(stream),
                Fate::Gone => self.personality.stream_closed(id),
            }
        }
    }

    fn receive(&mut self) {
        let Some(udp) = &self.udp else { return };
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_PER_TURN {
            let (length, from) = match udp.recv_from(&mut buffer) {
                Ok(received) => received,
                // An ICMP error for an earlier answer; the socket is as good as before.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => return,
            };
            for act in self.personality.datagram(&buffer[..length], now_us()) {
                let DatagramAct { after_us, bytes } = act;
                if after_us == 0 {
                    // A full queue loses datagrams here as it does in any network.
                    let _ = self.other_udp.as_ref().unwrap_or(udp).send_to(&bytes, from);
                } else if self.later.len() < LATER_MAX {
                    let due = Instant::now() + Duration::from_micros(after_us);
                    self.later.push(Later {
                        due,
                        to: from,
                        bytes,
                    });
                }
            }
        }
    }

    fn send_due(&mut self) {
        let Some(udp) = self.other_udp.as_ref().or(self.udp.as_ref()) else {
            return;
        };
        let now = Instant::now();
        self.later.retain(|later| {
            let is_due = later.due <= now;
            if is_due {
                let _ = udp.send_to(&later.bytes, later.to);
            }
            !is_due
        });
    }
}

#[cfg(test)]
mod tests;
