//! Interviews under way: the machines of `interview` on real connections.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use interview::{
    Closing, ConnectionId, DatagramInterview, DatagramOutput, Depth, Options, StreamInterview,
    StreamOutput,
};
use model::{Auth, Dialogue, Ending, TlsFacts, Transport};
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, recvfrom, send};
use rustls::pki_types::ServerName;
use targets::Permitted;

use crate::address::Peer;
use crate::icmp::{contact_of_icmp, take_error};
use crate::neighbourhood::Neighbourhood;
use crate::probes::{Key, Token};
use crate::reactor::{Reactor, Wake, stranger_of, transport_of};
use crate::session::{Received, Session, SessionEnd};
use crate::sweep_datagrams::{open_datagram_socket, send_datagram};
use crate::sweep_streams::{Begun, begin_connect, pending_error, spoken};
use crate::turns::{ACKNOWLEDGED_AFTER, Acknowledgements, Paused, Turn};

/// Reads from one connection before others get their turn.
const READS_PER_TURN: usize = 4;
/// Datagrams read from one peer before others get their turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// What the kernel may send by itself when a question is answered, which may have been the last one.
const ANSWERED_PACKETS: u64 = 2;
/// And when a connection opens.
pub(crate) const OPENED_PACKETS: u64 = 1;
/// What the kernel sends at the end of a connection: it says so, and acknowledges that the peer does.
const CLOSING_PACKETS: u64 = 2;
/// Round trip assumed for a UDP peer whose own could not be measured.
const RTT_UNKNOWN: Duration = Duration::from_millis(200);

/// An open connection that waits for its interview.
pub(crate) struct WaitingStream {
    pub(crate) target: Permitted,
    pub(crate) fd: OwnedFd,
    /// `None` if the endpoint was already judged silent: whatever it says is late.
    pub(crate) counter: Option<u64>,
    pub(crate) attempts: u32,
    pub(crate) rtt: Duration,
    /// Whether the peer has reset the connection already.
    pub(crate) was_reset: bool,
}

/// An answer to a `version` datagram that waits for its interview.
pub(crate) struct WaitingDatagram {
    pub(crate) target: Permitted,
    pub(crate) peer: Peer,
    /// `None` if the endpoint was already judged silent: the answer is late.
    pub(crate) counter: Option<u64>,
    pub(crate) attempts: u32,
    pub(crate) rtt: Option<Duration>,
    pub(crate) first_reply: Box<[u8]>,
    pub(crate) answered_from: Option<SocketAddr>,
}

/// One connection of a stream interview.
struct TalkConnection {
    id: ConnectionId,
    fd: OwnedFd,
    open: bool,
    acknowledgements: Acknowledgements,
    /// Whether sending failed: an error is told only once, and the next read would say "closed".
    reset: bool,
    session: Option<Box<Session>>,
    outgoing: Vec<u8>,
}

/// A stream interview under way.
pub(crate) struct StreamTalk {
    machine: StreamInterview,
    target: Permitted,
    counter: Option<u64>,
    attempts: u32,
    rtt: Duration,
    place: Option<Neighbourhood>,
    sampled: bool,
    connections: Vec<TalkConnection>,
    turn: Turn<StreamOutput>,
    wake_set: Option<Duration>,
}

impl StreamTalk {
    /// Whether it takes packets: a unix socket has none.
    fn is_over_network(&self) -> bool {
        transport_of(&self.target) == Transport::Tcp
    }
}

/// A UDP interview under way, on a socket of its own, so that a flood fills nobody else's buffer.
pub(crate) struct DatagramTalk {
    machine: DatagramInterview,
    waiting: WaitingDatagram,
    fd: OwnedFd,
    turn: Turn<DatagramOutput>,
    wake_set: Option<Duration>,
}

impl Reactor<'_> {
    // ---- beginning ----

    pub(crate) fn begin_waiting_talks(&mut self) {
        // Those that have begun come to their end first.
        if !self.paused.is_empty() {
            return;
        }
        for _ in 0..self.waiting_places.len() {
            if self.stream_talks.len() >= self.shares.stream_talks {
                break;
            }
            let Some(place) = self.waiting_places.pop_front() else {
                break;
            };
            self.begin_waiting_streams_of(place);
        }
        while self.datagram_talks.len() < self.shares.datagram_talks {
            let Some(waiting) = self.waiting_datagrams.pop_front() else {
                return;
            };
            self.begin_datagram_talk(waiting);
        }
    }

    /// Puts a neighbourhood with waiting connections into the queue, where it stands once.
    pub(crate) fn queue_place(&mut self, place: Neighbourhood) {
        if let Some(acceptance) = self.neighbourhoods.get_mut(&place)
            && !acceptance.queued
            && !acceptance.waiting.is_empty()
        {
            acceptance.queued = true;
            self.waiting_places.push_back(place);
        }
    }

    fn begin_waiting_streams_of(&mut self, place: Neighbourhood) {
        if let Some(acceptance) = self.neighbourhoods.get_mut(&place) {
            acceptance.queued = false;
        }
        while self.stream_talks.len() < self.shares.stream_talks {
            let depth = self.depth();
            let Some(acceptance) = self.neighbourhoods.get_mut(&place) else {
                return;
            };
            let everything = acceptance.accepts_everything();
            if !everything && !acceptance.has_room() {
                // Comes back when a triage of this place ends.
                return;
            }
            let Some(waiting) = acceptance.waiting.pop_front() else {
                return;
            };
            self.waiting_streams -= 1;
            let sample = everything && !waiting.target.is_named();
            if sample {
                acceptance.sampled += 1;
            } else {
                acceptance.talking += 1;
            }
            let depth = if sample { Depth::Sample } else { depth };
            self.begin_stream_talk(waiting, Some(place), depth);
        }
        self.queue_place(place);
    }

    pub(crate) fn begin_stream_talk(
        &mut self,
        waiting: WaitingStream,
        place: Option<Neighbourhood>,
        depth: Depth,
    ) {
        let WaitingStream {
            target,
            fd,
            counter,
            attempts,
            rtt,
            was_reset,
        } = waiting;
        let mut options = Options::new(depth, Some(rtt), self.next_seed());
        options.key_names_max = self.key_names_max();
        options.over_tcp = transport_of(&target) == Transport::Tcp;
        let machine = StreamInterview::new(options, self.now);
        let connection = TalkConnection {
            id: ConnectionId(0),
            fd,
            open: true,
            acknowledgements: Acknowledgements::default(),
            reset: was_reset,
            session: None,
            outgoing: Vec::new(),
        };
        let key = self.stream_talks.insert(StreamTalk {
            machine,
            target,
            counter,
            attempts,
            rtt,
            place,
            sampled: depth == Depth::Sample,
            connections: vec![connection],
            turn: Turn::new(),
            wake_set: None,
        });
        if let Some(talk) = self.stream_talks.find(key) {
            let token = Token::Stream(key, 0).pack();
            let _ = self.epoll.add(
                &talk.connections[0].fd,
                EpollEvent::new(EpollFlags::EPOLLIN, token),
            );
        }
        self.drive_stream(key);
    }

    fn begin_datagram_talk(&mut self, waiting: WaitingDatagram) {
        let ipv6 = waiting.peer.is_ipv6();
        let fd = match open_datagram_socket(ipv6) {
            Ok(fd) => fd,
            Err(_) if self.datagram_talks.len() > 0 => {
                // No descriptor now: one comes back when another interview ends.
                self.waiting_datagrams.push_front(waiting);
                self.shares.datagram_talks = self.datagram_talks.len();
                return;
            }
            Err(errno) => {
                let contact = model::Contact::Failed(errno.desc().to_owned());
                let evidence = crate::reactor::bare(contact, waiting.attempts);
                let late = waiting.counter.is_none();
                self.conclude(
                    waiting.target,
                    Transport::Udp,
                    waiting.counter,
                    evidence,
                    late,
                );
                return;
            }
        };
        // Unknown after several sends, or because the answer was late: then the path may be slow.
        let rtt = waiting.rtt.unwrap_or(RTT_UNKNOWN);
        let mut options = Options::new(self.depth(), Some(rtt), self.next_seed());
        options.ipv6 = ipv6;
        let machine = DatagramInterview::new(
            options,
            self.now,
            &waiting.first_reply,
            waiting.answered_from,
        );
        let key = self.datagram_talks.insert(DatagramTalk {
            machine,
            waiting,
            fd,
            turn: Turn::new(),
            wake_set: None,
        });
        if let Some(talk) = self.datagram_talks.find(key) {
            let token = Token::Datagram(key).pack();
            let _ = self
                .epoll
                .add(&talk.fd, EpollEvent::new(EpollFlags::EPOLLIN, token));
        }
        self.drive_datagram(key);
    }

    // ---- streams ----

    pub(crate) fn stream_ready(&mut self, key: Key, connection: u8, flags: EpollFlags) {
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        let id = ConnectionId(connection);
        let Some(place) = talk.connections.iter().position(|one| one.id == id) else {
            return;
        };
        if !talk.connections[place].open {
            self.connection_opened(key, place);
        } else {
            if flags.contains(EpollFlags::EPOLLOUT) {
                self.flush(key, place);
            }
            if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                self.read_connection(key, id);
            }
        }
        self.drive_stream(key);
    }

    fn connection_opened(&mut self, key: Key, place: usize) {
        let now = self.now;
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        let now = talk.turn.time(now);
        let connection = &mut talk.connections[place];
        let id = connection.id;
        if let Some(errno) = pending_error(&connection.fd) {
            talk.connections.swap_remove(place);
            let closing = Closing::ConnectFailed(errno.desc().to_owned());
            talk.machine.handle_closed(id, closing, now);
            return;
        }
        connection.open = true;
        let is_over_network = transport_of(&talk.target) == Transport::Tcp;
        // The kernel acknowledges the SYN-ACK.
        let mut packets = 1;
        match connection.session.as_mut() {
            None => talk.machine.handle_connected(id, None, now),
            Some(session) => {
                let hello = session.take_outgoing();
                connection.outgoing.extend_from_slice(&hello);
                // A connection has had its turn: the hello waits for no other.
                packets += 1;
            }
        }
        if is_over_network {
            self.charge_many(packets);
        }
        self.flush(key, place);
    }

    fn read_connection(&mut self, key: Key, id: ConnectionId) {
        let now = self.now;
        let mut kernels = 0;
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            let Some(talk) = self.stream_talks.find(key) else {
                break;
            };
            let Some(place) = talk.connections.iter().position(|one| one.id == id) else {
                break;
            };
            let connection = &mut talk.connections[place];
            let closing = match recv(connection.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) if connection.reset => Some(Closing::Reset),
                Ok(0) => Some(Closing::Closed),
                Ok(length) => {
                    self.tally.packets_received += 1;
                    let acknowledgements = connection.acknowledgements.of_bytes(length);
                    if talk.is_over_network() {
                        kernels += acknowledgements;
                    }
                    let time = talk.turn.time(now);
                    take_bytes(talk, place, &buffer[..length], time)
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(_) => Some(Closing::Reset),
            };
            if let Some(closing) = closing {
                if talk.is_over_network() && matches!(closing, Closing::Closed) {
                    kernels += CLOSING_PACKETS;
                }
                end_connection(talk, id, closing, talk.turn.time(now));
                break;
            }
        }
        self.buffer = buffer;
        self.charge_many(kernels);
    }

    /// Its turn has come.
    pub(crate) fn resume_stream(&mut self, key: Key) {
        let now = self.now;
        let waiting = self.stream_talks.find(key);
        if let Some((output, pause)) = waiting.and_then(|talk| talk.turn.resume(now)) {
            if pause >= ACKNOWLEDGED_AFTER {
                self.charge();
            }
            self.obey_stream(key, output);
            self.drive_stream(key);
        }
    }

    /// Does what the machine wants until it wants nothing more, or must wait for its turn.
    fn drive_stream(&mut self, key: Key) {
        loop {
            let (now, may_send) = (self.now, self.may_send());
            let Some(talk) = self.stream_talks.find(key) else {
                return;
            };
            if talk.turn.is_paused() {
                break;
            }
            let Some(output) = talk.machine.poll_output() else {
                break;
            };
            let is_packet = talk.is_over_network() && !matches!(output, StreamOutput::Close { .. });
            if is_packet && !may_send {
                talk.turn.pause(output, now);
                self.paused.push_back(Paused::Stream(key));
                break;
            }
            self.obey_stream(key, output);
        }
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        if talk.machine.is_finished() {
            self.end_stream_talk(key);
            return;
        }
        if talk.turn.is_paused() {
            return;
        }
        let wake = talk.machine.wake_at().map(|at| talk.turn.when(at));
        if let Some(at) = wake
            && talk.wake_set.is_none_or(|set| at < set || set <= self.now)
        {
            talk.wake_set = Some(at);
            self.timers.set(at, Wake::StreamTalk(key));
        }
    }

    fn obey_stream(&mut self, key: Key, output: StreamOutput) {
        match output {
            StreamOutput::Connect { connection, tls } => self.open_connection(key, connection, tls),
            StreamOutput::Send { connection, bytes } => {
                let talk = self.stream_talks.find(key);
                if talk.is_some_and(|talk| talk.is_over_network()) {
                    self.charge();
                    self.expect(ANSWERED_PACKETS);
                }
                self.send_on(key, connection, &bytes);
            }
            StreamOutput::Close { connection } => {
                if let Some(talk) = self.stream_talks.find(key) {
                    let (closed, kept) = std::mem::take(&mut talk.connections)
                        .into_iter()
                        .partition(|one| one.id == connection);
                    talk.connections = kept;
                    self.close_connections(closed);
                }
            }
        }
    }

    fn close_connections(&mut self, closed: Vec<TalkConnection>) {
        let open = closed.iter().filter(|one| one.open && !one.reset);
        self.charge_many(open.count() as u64 * CLOSING_PACKETS);
    }

    fn open_connection(&mut self, key: Key, id: ConnectionId, tls: bool) {
        let now = self.now;
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        let target = talk.target.clone();
        let now = talk.turn.time(now);
        let session = match (tls, target.address().ip()) {
            (true, Some(ip)) => match Session::accepting_all(ServerName::from(ip)) {
                Ok(session) => Some(Box::new(session)),
                Err(detail) => {
                    let closing = Closing::TlsFailed {
                        client_certificate_requested: false,
                        detail,
                    };
                    talk.machine.handle_closed(id, closing, now);
                    return;
                }
            },
            _ => None,
        };
        self.charge();
        self.expect(OPENED_PACKETS);
        match begin_connect(&target) {
            Begun::Pending(fd, was_reset) => {
                let flags = EpollFlags::EPOLLOUT;
                let token = Token::Stream(key, id.0).pack();
                let _ = self.epoll.add(&fd, EpollEvent::new(flags, token));
                let connection = TalkConnection {
                    id,
                    fd,
                    open: false,
                    acknowledgements: Acknowledgements::default(),
                    reset: was_reset,
                    session,
                    outgoing: Vec::new(),
                };
                if let Some(talk) = self.stream_talks.find(key) {
                    talk.connections.push(connection);
                }
            }
            Begun::Ended(contact) => {
                let closing = Closing::ConnectFailed(format!("{contact:?}"));
                if let Some(talk) = self.stream_talks.find(key) {
                    talk.machine.handle_closed(id, closing, now);
                }
            }
            Begun::NoDescriptor => {
                let closing = Closing::ConnectFailed("no file descriptor left".to_owned());
                if let Some(talk) = self.stream_talks.find(key) {
                    talk.machine.handle_closed(id, closing, now);
                }
            }
        }
    }

    fn send_on(&mut self, key: Key, id: ConnectionId, bytes: &[u8]) {
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        let Some(place) = talk.connections.iter().position(|one| one.id == id) else {
            return;
        };
        let connection = &mut talk.connections[place];
        connection.acknowledgements.sent();
        match connection.session.as_mut() {
            None => connection.outgoing.extend_from_slice(bytes),
            Some(session) => {
                session.send(bytes);
                let encrypted = session.take_outgoing();
                connection.outgoing.extend_from_slice(&encrypted);
            }
        }
        self.flush(key, place);
    }

    /// Sends what waits, and asks to be told when there is room for the rest.
    fn flush(&mut self, key: Key, place: usize) {
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        let Some(connection) = talk.connections.get_mut(place) else {
            return;
        };
        if !connection.open {
            return;
        }
        while !connection.outgoing.is_empty() {
            match send(
                connection.fd.as_raw_fd(),
                &connection.outgoing,
                MsgFlags::MSG_NOSIGNAL,
            ) {
                Ok(sent) => {
                    connection.outgoing.drain(..sent);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(_) => {
                    connection.reset = true;
                    break;
                }
            }
        }
        let mut flags = EpollFlags::EPOLLIN;
        if !connection.outgoing.is_empty() {
            flags |= EpollFlags::EPOLLOUT;
        }
        let token = Token::Stream(key, connection.id.0).pack();
        let _ = self
            .epoll
            .modify(&connection.fd, &mut EpollEvent::new(flags, token));
    }

    pub(crate) fn stream_talk_woken(&mut self, key: Key) {
        let now = self.now;
        let Some(talk) = self.stream_talks.find(key) else {
            return;
        };
        talk.wake_set = None;
        if talk.turn.is_paused() {
            return;
        }
        let time = talk.turn.time(now);
        if talk.machine.wake_at().is_some_and(|at| time >= at) {
            talk.machine.handle_timeout(time);
        }
        self.drive_stream(key);
    }

    pub(crate) fn stop_stream_talk(&mut self, key: Key) {
        if let Some(talk) = self.stream_talks.find(key) {
            talk.machine.stop();
            self.end_stream_talk(key);
        }
    }

    fn end_stream_talk(&mut self, key: Key) {
        let Some(mut talk) = self.stream_talks.remove(key) else {
            return;
        };
        if talk.is_over_network() {
            self.close_connections(std::mem::take(&mut talk.connections));
        }
        let transport = transport_of(&talk.target);
        let dialogue = talk.machine.into_dialogue();
        let stranger = stranger_of(&dialogue).cloned();
        // Stopped before anything was understood: its pair stays open, to be asked again.
        let counter = talk.counter.filter(|_| !is_undecided(&dialogue));
        let late = talk.counter.is_none();
        let mut evidence = spoken(talk.attempts, talk.rtt, dialogue);
        if let Some(place) = talk.place
            && let Some(acceptance) = self.neighbourhoods.get_mut(&place)
        {
            let mut alike = false;
            if talk.sampled && stranger.is_some() && stranger != acceptance.impression {
                // It is not like the others after all: told as what it is.
                if let Some(dialogue) = evidence.dialogue.as_mut() {
                    dialogue.ending = Ending::Complete;
                }
            }
            if !talk.sampled {
                acceptance.talking -= 1;
                alike = acceptance.talk_ended(stranger.as_ref());
            }
            self.queue_place(place);
            if alike
                && !talk.target.is_named()
                && let Some(counter) = talk.counter
            {
                self.hold(place, talk.target, counter, evidence);
                return;
            }
            self.release_if_decided(place);
        }
        self.conclude(talk.target, transport, counter, evidence, late);
    }

    // ---- datagrams ----

    pub(crate) fn datagram_ready(&mut self, key: Key) {
        let now = self.now;
        let mut buffer = std::mem::take(&mut self.buffer);
        if let Some(talk) = self.datagram_talks.find(key) {
            note_errors(talk);
        }
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(talk) = self.datagram_talks.find(key) else {
                break;
            };
            match recvfrom::<SockaddrStorage>(talk.fd.as_raw_fd(), &mut buffer) {
                Ok((length, _)) => {
                    self.tally.packets_received += 1;
                    let time = talk.turn.time(now);
                    talk.machine.handle_datagram(&buffer[..length], time);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // A pending ICMP error: it is in the queue as well.
                Err(_) => note_errors(talk),
            }
            if talk.machine.is_finished() {
                break;
            }
        }
        self.buffer = buffer;
        self.drive_datagram(key);
    }

    /// Its turn has come.
    pub(crate) fn resume_datagram(&mut self, key: Key) {
        let now = self.now;
        let waiting = self.datagram_talks.find(key);
        if let Some((output, _)) = waiting.and_then(|talk| talk.turn.resume(now)) {
            self.obey_datagram(key, &output);
            self.drive_datagram(key);
        }
    }

    fn obey_datagram(&mut self, key: Key, output: &DatagramOutput) {
        let DatagramOutput::Send(datagram) = output;
        if let Some(talk) = self.datagram_talks.find(key) {
            // A failed send is a lost datagram: the machine asks again or gives up.
            let _ = send_datagram(talk.fd.as_raw_fd(), &talk.waiting.target, datagram);
            self.charge();
        }
    }

    /// As [`Self::drive_stream`].
    fn drive_datagram(&mut self, key: Key) {
        loop {
            let (now, may_send) = (self.now, self.may_send());
            let Some(talk) = self.datagram_talks.find(key) else {
                return;
            };
            if talk.turn.is_paused() {
                break;
            }
            let Some(output) = talk.machine.poll_output() else {
                break;
            };
            if !may_send {
                talk.turn.pause(output, now);
                self.paused.push_back(Paused::Datagram(key));
                break;
            }
            self.obey_datagram(key, &output);
        }
        let Some(talk) = self.datagram_talks.find(key) else {
            return;
        };
        if talk.machine.is_finished() {
            self.end_datagram_talk(key);
            return;
        }
        if talk.turn.is_paused() {
            return;
        }
        if let Some(at) = talk.machine.wake_at().map(|at| talk.turn.when(at))
            && talk.wake_set.is_none_or(|set| at < set || set <= self.now)
        {
            talk.wake_set = Some(at);
            self.timers.set(at, Wake::DatagramTalk(key));
        }
    }

    pub(crate) fn datagram_talk_woken(&mut self, key: Key) {
        let now = self.now;
        let Some(talk) = self.datagram_talks.find(key) else {
            return;
        };
        talk.wake_set = None;
        if talk.turn.is_paused() {
            return;
        }
        let time = talk.turn.time(now);
        if talk.machine.wake_at().is_some_and(|at| time >= at) {
            talk.machine.handle_timeout(time);
        }
        self.drive_datagram(key);
    }

    pub(crate) fn stop_datagram_talk(&mut self, key: Key) {
        if let Some(talk) = self.datagram_talks.find(key) {
            talk.machine.stop();
            self.end_datagram_talk(key);
        }
    }

    fn end_datagram_talk(&mut self, key: Key) {
        let Some(talk) = self.datagram_talks.remove(key) else {
            return;
        };
        let waiting = talk.waiting;
        let late = waiting.counter.is_none();
        let rtt = waiting.rtt.unwrap_or(RTT_UNKNOWN);
        let mut counter = waiting.counter;
        let evidence = if talk.machine.is_unconfirmed() {
            // The late answer of another host, or a forgery: this endpoint has said nothing.
            self.tally.rejected_replies += 1;
            if late {
                return;
            }
            crate::reactor::bare(model::Contact::Silent, waiting.attempts)
        } else {
            let dialogue = talk.machine.into_dialogue();
            counter = counter.filter(|_| !is_undecided(&dialogue));
            let mut evidence = spoken(waiting.attempts, rtt, dialogue);
            evidence.rtt = waiting.rtt;
            evidence
        };
        self.conclude(waiting.target, Transport::Udp, counter, evidence, late);
    }
}

/// Empties the error queue of an interview's socket, which would wake us for ever. Only a refusal by
/// the server itself ends the interview.
fn note_errors(talk: &mut DatagramTalk) {
    let mut scratch = [0; 256];
    let peer = talk.waiting.peer;
    for _ in 0..DATAGRAMS_PER_TURN {
        let Some(queued) = take_error(talk.fd.as_raw_fd(), &mut scratch) else {
            return;
        };
        let contact = queued
            .icmp
            .filter(|_| queued.peer == Some(peer))
            .and_then(|icmp| contact_of_icmp(icmp, peer.is_ipv6()));
        if let Some(model::Contact::Refused(_)) = contact {
            talk.machine.handle_refused();
        }
    }
}

/// Whether the run was stopped before this dialogue showed what it was with.
fn is_undecided(dialogue: &Dialogue) -> bool {
    dialogue.ending == Ending::Stopped
        && dialogue.executed.is_empty()
        && dialogue.auth == Auth::Unknown
        && dialogue.impression.is_none()
}

/// Gives received bytes to the machine, through the TLS session if there is one; returns how the
/// connection ended, if it did.
fn take_bytes(talk: &mut StreamTalk, place: usize, bytes: &[u8], now: Duration) -> Option<Closing> {
    let connection = &mut talk.connections[place];
    let id = connection.id;
    let Some(session) = connection.session.as_mut() else {
        talk.machine.handle_bytes(id, bytes, now);
        return None;
    };
    let Received {
        established,
        plaintext,
        end,
    } = session.receive(bytes);
    let requested = session.client_certificate_requested();
    let answer = session.take_outgoing();
    connection.outgoing.extend_from_slice(&answer);
    // Finished, alerts: small enough for any socket buffer, and lost if the peer is gone.
    if !connection.outgoing.is_empty()
        && let Ok(sent) = send(
            connection.fd.as_raw_fd(),
            &connection.outgoing,
            MsgFlags::MSG_NOSIGNAL,
        )
    {
        connection.outgoing.drain(..sent);
    }
    if let Some(facts) = established {
        talk.machine
            .handle_connected(id, Some::<TlsFacts>(facts), now);
    }
    if !plaintext.is_empty() {
        talk.machine.handle_bytes(id, &plaintext, now);
    }
    end.map(|end| match end {
        SessionEnd::Closed => Closing::Closed,
        SessionEnd::Failed(detail) => Closing::TlsFailed {
            client_certificate_requested: requested,
            detail,
        },
    })
}

fn end_connection(talk: &mut StreamTalk, id: ConnectionId, closing: Closing, now: Duration) {
    let Some(place) = talk.connections.iter().position(|one| one.id == id) else {
        return;
    };
    let connection = talk.connections.swap_remove(place);
    let closing = match (closing, connection.session) {
        // A TLS server that hangs up in the handshake after it asked for a certificate.
        (Closing::Closed | Closing::Reset, Some(session))
            if session.client_certificate_requested() =>
        {
            Closing::TlsFailed {
                client_certificate_requested: true,
                detail: "closed after asking for a client certificate".to_owned(),
            }
        }
        (closing, _) => closing,
    };
    talk.machine.handle_closed(id, closing, now);
}
