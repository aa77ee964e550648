//! One connection of a live server: bytes to the personality, acts to the socket.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConfig, ServerConnection};

use crate::behaviour::{Act, Personality, StreamId};

/// Bytes read before other sockets get their turn.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Acts done before other sockets get their turn.
const ACTS_PER_TURN: usize = 64;
/// A client that asks on while this many acts wait is no longer listened to.
const ACTS_MAX: usize = 1000;
/// First byte of a TLS handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    Gone,
}

/// A connection.
pub(super) struct Stream {
    id: StreamId,
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    first_byte: Option<u8>,
    is_announced: bool,
    acts: VecDeque<Act>,
    /// Bytes that the socket has not taken yet; for TLS they wait inside `tls`.
    outgoing: Vec<u8>,
    wait_until: Option<Instant>,
}

impl Stream {
    pub(super) fn new(
        id: StreamId,
        socket: TcpStream,
        tls: Option<&Arc<ServerConfig>>,
    ) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let tls = tls.map(|config| ServerConnection::new(Arc::clone(config)));
        let mut tls = tls.transpose().map_err(io::Error::other)?.map(Box::new);
        if let Some(tls) = &mut tls {
            // One act at a time is put in, so its size is the bound.
            tls.set_buffer_limit(None);
        }
        Ok(Stream {
            id,
            socket,
            tls,
            first_byte: None,
            is_announced: false,
            acts: VecDeque::new(),
            outgoing: Vec::new(),
            wait_until: None,
        })
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// What to wake up for.
    pub(super) fn watched(&self) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        if self.is_blocked() || (!self.acts.is_empty() && self.wait_until.is_none()) {
            flags |= PollFlags::POLLOUT;
        }
        if !self.is_blocked() && self.acts.len() < ACTS_MAX {
            flags |= PollFlags::POLLIN;
        }
        PollFd::new(self.socket.as_fd(), flags)
    }

    /// When the next act is due, if one waits for its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.wait_until
    }

    /// Whether an act that waited is due.
    pub(super) fn is_due(&self) -> bool {
        self.wait_until.is_some_and(|due| due <= Instant::now())
    }

    /// Reads what has come, if anything may have, and does what can be done.
    pub(super) fn turn(
        &mut self,
        may_read: bool,
        personality: &mut dyn Personality,
        now_us: u64,
    ) -> Fate {
        let result = self.try_turn(may_read, personality, now_us);
        // Errors of a connection (reset, broken pipe) are its end and nobody's fault.
        result.unwrap_or(Fate::Gone)
    }

    fn try_turn(
        &mut self,
        may_read: bool,
        personality: &mut dyn Personality,
        now_us: u64,
    ) -> io::Result<Fate> {
        let mut is_at_end = false;
        if may_read && !self.is_blocked() && self.acts.len() < ACTS_MAX {
            match self.read()? {
                Input::Bytes(bytes) if bytes.is_empty() => {}
                Input::Bytes(bytes) => {
                    self.announce(personality, now_us);
                    self.acts
                        .extend(personality.stream_bytes(self.id, &bytes, now_us));
                }
                Input::End => is_at_end = true,
                Input::NoTls => {
                    return self.reset();
                }
            }
        }
        self.announce(personality, now_us);
        let fate = self.act()?;
        Ok(if is_at_end { Fate::Gone } else { fate })
    }

    /// Tells the personality about the connection, once, when it can be spoken on.
    fn announce(&mut self, personality: &mut dyn Personality, now_us: u64) {
        let is_speakable = self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking());
        if is_speakable && !self.is_announced {
            self.is_announced = true;
            self.acts.extend(personality.stream_opened(self.id, now_us));
        }
    }

    fn read(&mut self) -> io::Result<Input> {
        let mut buffer = [0; READ_BYTES_MAX];
        let Some(tls) = &mut self.tls else {
            return match self.socket.read(&mut buffer) {
                Ok(0) => Ok(Input::End),
                Ok(length) => Ok(Input::Bytes(buffer[..length].to_vec())),
                Err(error) if is_not_now(&error) => Ok(Input::Bytes(Vec::new())),
                Err(error) => Err(error),
            };
        };
        if self.first_byte.is_none() {
            let mut first = [0];
            self.first_byte = match self.socket.peek(&mut first) {
                Ok(1) => Some(first[0]),
                _ => None,
            };
        }
        match tls.read_tls(&mut self.socket) {
            Ok(0) => return Ok(Input::End),
            Ok(_) => {}
            Err(error) if is_not_now(&error) => return Ok(Input::Bytes(Vec::new())),
            Err(error) => return Err(error),
        }
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            // Plain text: memcached resets such a connection without a word.
            Err(_) if self.first_byte != Some(TLS_HANDSHAKE) => return Ok(Input::NoTls),
            Err(_) => {
                // The alert that says why, then the end.
                tls.write_tls(&mut self.socket)?;
                self.socket.shutdown(Shutdown::Write)?;
                return Ok(Input::End);
            }
        };
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        tls.reader().read_exact(&mut plain)?;
        if plain.is_empty() && state.peer_has_closed() {
            return Ok(Input::End);
        }
        Ok(Input::Bytes(plain))
    }

    /// Does acts until one must wait, the socket takes no more, or others deserve a turn.
    fn act(&mut self) -> io::Result<Fate> {
        for _ in 0..ACTS_PER_TURN {
            self.flush()?;
            if self.is_blocked() {
                return Ok(Fate::Open);
            }
            match self.wait_until {
                Some(due) if due > Instant::now() => return Ok(Fate::Open),
                _ => self.wait_until = None,
            }
            match self.acts.pop_front() {
                None => return Ok(Fate::Open),
                Some(Act::Send(bytes)) => self.put(&bytes)?,
                Some(Act::Wait { us }) => self.wait(us),
                Some(Act::Repeat {
                    bytes,
                    times,
                    pause_us,
                }) => {
                    if times > 0 {
                        self.put(&bytes)?;
                        self.acts.push_front(Act::Repeat {
                            bytes,
                            times: times - 1,
                            pause_us,
                        });
                    }
                    if pause_us > 0 {
                        self.acts.push_front(Act::Wait { us: pause_us });
                    }
                }
                Some(Act::Close) => {
                    if let Some(tls) = &mut self.tls {
                        tls.send_close_notify();
                    }
                    self.flush()?;
                    self.socket.shutdown(Shutdown::Write)?;
                    return Ok(Fate::Gone);
                }
                Some(Act::Reset) => return self.reset(),
            }
        }
        Ok(Fate::Open)
    }

    fn wait(&mut self, us: u64) {
        self.wait_until = Some(Instant::now() + Duration::from_micros(us));
    }

    /// A socket that lingers for no time resets its connection when it is closed.
    fn reset(&mut self) -> io::Result<Fate> {
        setsockopt(&self.socket, sockopt::Linger, &libc_linger_of_zero())?;
        Ok(Fate::Gone)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes),
            None => self.outgoing.write_all(bytes),
        }
    }

    /// Gives the socket as much as it takes.
    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if is_not_now(&error) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        }
        while !self.outgoing.is_empty() {
            match self.socket.write(&self.outgoing) {
                Ok(length) => drop(self.outgoing.drain(..length)),
                Err(error) if is_not_now(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether bytes wait for the socket.
    fn is_blocked(&self) -> bool {
        !self.outgoing.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }
}

/// What reading brought.
enum Input {
    /// Bytes of the client; none, if it was not the time.
    Bytes(Vec<u8>),
    /// The client has gone, or the handshake failed.
    End,
    /// Something else than TLS where TLS is spoken.
    NoTls,
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn libc_linger_of_zero() -> nix::libc::linger {
    nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    }
}
