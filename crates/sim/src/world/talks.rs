//! Interviews over the made-up network: the machines of `interview`, and the hosts' side of them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use interview::{
    Closing, ConnectionId, DatagramInterview, DatagramOutput, Options, StreamInterview,
    StreamOutput,
};
use model::{Auth, Contact, Ending, Evidence, Transport};
use targets::Permitted;

use super::socket_address;
use super::sweep::{Event, Run, Socket};
use crate::behaviour::{Act, Random, StreamId};

/// The first timeout of TCP for a segment, and for a SYN (RFC 6298; Linux: 200 ms and 1 s).
const SEGMENT_TIMEOUT: Duration = Duration::from_millis(200);
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// Assumed where it could not be measured.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(200);
/// What a link carries takes at least so long, or an endless reply would never let time pass.
const REPEAT_PAUSE_US_MIN: u64 = 500;
/// The beginning of a TLS ClientHello, as a server in clear sees it.
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/// An interview under way.
pub(super) struct Talk {
    machine: Machine,
    target: Permitted,
    /// `None` if the endpoint was judged silent before.
    counter: Option<u64>,
    attempts: usize,
    round_trip: Option<Duration>,
    wake_set: Option<Duration>,
}

enum Machine {
    Stream(Box<StreamInterview>, Vec<(ConnectionId, StreamId)>),
    Datagram(Box<DatagramInterview>),
}

/// One connection, as both sides see it.
pub(super) struct Stream {
    talk: u64,
    connection: ConnectionId,
    host: SocketAddr,
    kind: Kind,
    /// What the host does next, behind a pause if it is pausing.
    acts: VecDeque<Act>,
    is_pausing: bool,
    /// When the last segment arrives, each way: none overtakes another.
    at_us: Duration,
    at_host: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Both sides speak the same way.
    Understood,
    /// In clear to a port that speaks TLS.
    ClearToTls,
    /// A ClientHello to a port that speaks in clear.
    TlsToClear,
}

impl Run<'_> {
    // ---- beginning ----

    pub(super) fn begin_stream_talk(
        &mut self,
        target: Permitted,
        counter: u64,
        attempts: usize,
        round_trip: Duration,
    ) {
        let mut options = Options::new(self.plan.depth, Some(round_trip), self.talk_seed());
        options.key_names_max = self.plan.key_names_max;
        let machine = StreamInterview::new(options, self.now);
        let machine = Machine::Stream(Box::new(machine), Vec::new());
        let talk = self.add_talk(machine, target, Some(counter), attempts, Some(round_trip));
        self.open_stream(talk, ConnectionId(0), false);
        self.drive(talk);
    }

    pub(super) fn begin_datagram_talk(
        &mut self,
        target: Permitted,
        counter: Option<u64>,
        attempts: usize,
        round_trip: Option<Duration>,
        first_reply: &[u8],
        answered_from: Option<SocketAddr>,
    ) {
        // Unknown if the answer was late: then the path may be slow.
        let assumed = round_trip.unwrap_or(ROUND_TRIP_UNKNOWN);
        let options = Options::new(self.plan.depth, Some(assumed), self.talk_seed());
        let machine = DatagramInterview::new(options, self.now, first_reply, answered_from);
        let machine = Machine::Datagram(Box::new(machine));
        let talk = self.add_talk(machine, target, counter, attempts, round_trip);
        self.drive(talk);
    }

    fn talk_seed(&self) -> u64 {
        Random(self.plan.secret ^ self.talks_begun).below(u64::MAX)
    }

    fn add_talk(
        &mut self,
        machine: Machine,
        target: Permitted,
        counter: Option<u64>,
        attempts: usize,
        round_trip: Option<Duration>,
    ) -> u64 {
        let number = self.talks_begun;
        self.talks_begun += 1;
        let wake_set = None;
        let talk = Talk {
            machine,
            target,
            counter,
            attempts,
            round_trip,
            wake_set,
        };
        self.talks.insert(number, talk);
        number
    }

    // ---- driving ----

    /// Does what a machine wants until it wants nothing more.
    fn drive(&mut self, number: u64) {
        while let Some(talk) = self.talks.get_mut(&number) {
            let target = talk.target.clone();
            match &mut talk.machine {
                Machine::Stream(machine, _) => match machine.poll_output() {
                    Some(StreamOutput::Connect { connection, tls }) => {
                        self.count_sent(&target, Transport::Tcp, false);
                        let host = socket_address(&target);
                        let back = self.world.way(host);
                        let mut later = self.world.reliable_way(host, SYN_TIMEOUT) + back;
                        if tls {
                            later += self.world.reliable_way(host, SEGMENT_TIMEOUT) + back;
                        }
                        self.after(later, Event::ConnectionOpened(number, connection, tls));
                    }
                    Some(StreamOutput::Send { connection, bytes }) => {
                        self.count_sent(&target, Transport::Tcp, false);
                        self.send_segment(number, connection, bytes);
                    }
                    Some(StreamOutput::Close { connection }) => {
                        if let Some(stream) = self.stream_of(number, connection) {
                            self.forget_stream(stream);
                        }
                    }
                    None => break,
                },
                Machine::Datagram(machine) => {
                    let Some(DatagramOutput::Send(datagram)) = machine.poll_output() else {
                        break;
                    };
                    self.count_sent(&target, Transport::Udp, false);
                    self.send_datagram(&target, Socket::Talk(number), datagram);
                }
            }
        }
        let Some(talk) = self.talks.get_mut(&number) else {
            return;
        };
        let wake_at = match &talk.machine {
            Machine::Stream(machine, _) => machine.wake_at(),
            Machine::Datagram(machine) => machine.wake_at(),
        };
        let Some(at) = wake_at else {
            return self.end_talk(number);
        };
        if talk.wake_set.is_none_or(|set| set != at) {
            talk.wake_set = Some(at);
            self.at(at, Event::TalkWake(number));
        }
    }

    pub(super) fn wake_talk(&mut self, number: u64) {
        let now = self.now;
        let Some(talk) = self.talks.get_mut(&number) else {
            return;
        };
        talk.wake_set = None;
        match &mut talk.machine {
            Machine::Stream(machine, _) => machine.handle_timeout(now),
            Machine::Datagram(machine) => machine.handle_timeout(now),
        }
        self.drive(number);
    }

    pub(super) fn tell_talk(&mut self, number: u64, bytes: &[u8]) {
        let now = self.now;
        self.tally.packets_received += 1;
        if let Some(talk) = self.talks.get_mut(&number)
            && let Machine::Datagram(machine) = &mut talk.machine
        {
            machine.handle_datagram(bytes, now);
            self.drive(number);
        }
    }

    pub(super) fn refuse_talk(&mut self, number: u64) {
        if let Some(talk) = self.talks.get_mut(&number)
            && let Machine::Datagram(machine) = &mut talk.machine
        {
            machine.handle_refused();
            self.drive(number);
        }
    }

    pub(super) fn stop_talk(&mut self, number: u64) {
        if let Some(talk) = self.talks.get_mut(&number) {
            match &mut talk.machine {
                Machine::Stream(machine, _) => machine.stop(),
                Machine::Datagram(machine) => machine.stop(),
            }
            self.end_talk(number);
        }
    }

    fn end_talk(&mut self, number: u64) {
        let Some(talk) = self.talks.remove(&number) else {
            return;
        };
        let (transport, dialogue) = match talk.machine {
            Machine::Stream(machine, streams) => {
                for (_, stream) in streams {
                    self.forget_stream(stream);
                }
                (Transport::Tcp, machine.into_dialogue())
            }
            Machine::Datagram(machine) if machine.is_unconfirmed() => {
                self.tally.rejected_replies += 1;
                let attempts = talk.attempts as u32;
                let silence = Evidence::without_dialogue(Contact::Silent, attempts, None);
                if talk.counter.is_some() {
                    self.conclude(talk.target, Transport::Udp, talk.counter, silence, false);
                }
                return;
            }
            Machine::Datagram(machine) => (Transport::Udp, machine.into_dialogue()),
        };
        // Stopped before anything was understood: its pair stays open, to be asked again.
        let is_undecided = dialogue.ending == Ending::Stopped
            && dialogue.executed.is_empty()
            && dialogue.auth == Auth::Unknown
            && dialogue.impression.is_none();
        let counter = talk.counter.filter(|_| !is_undecided);
        let evidence = Evidence {
            contact: Contact::Answered,
            attempts: talk.attempts as u32,
            rtt: talk.round_trip,
            dialogue: Some(Box::new(dialogue)),
        };
        self.conclude(
            talk.target,
            transport,
            counter,
            evidence,
            talk.counter.is_none(),
        );
    }

    // ---- streams, from our side ----

    fn stream_of(&self, talk: u64, connection: ConnectionId) -> Option<StreamId> {
        match &self.talks.get(&talk)?.machine {
            Machine::Stream(_, streams) => streams
                .iter()
                .find(|(id, _)| *id == connection)
                .map(|(_, stream)| *stream),
            Machine::Datagram(_) => None,
        }
    }

    fn send_segment(&mut self, talk: u64, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(number) = self.stream_of(talk, connection) else {
            return;
        };
        let Some(host) = self.streams.get(&number).map(|stream| stream.host) else {
            return;
        };
        let at = self.now + self.world.reliable_way(host, SEGMENT_TIMEOUT);
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.at_host = stream.at_host.max(at);
            let at = stream.at_host;
            self.at(at, Event::SegmentAtHost(number, bytes));
        }
    }

    pub(super) fn connection_opened(&mut self, talk: u64, connection: ConnectionId, tls: bool) {
        if let Some(number) = self.open_stream(talk, connection, tls) {
            let now = self.now;
            let facts = self
                .streams
                .get(&number)
                .and_then(|stream| self.world.hosts.get(&stream.host))
                .and_then(|host| host.tls.clone())
                .filter(|_| tls);
            let refused = facts
                .as_ref()
                .is_some_and(|facts| facts.client_certificate_requested);
            if let Some(Talk {
                machine: Machine::Stream(machine, _),
                ..
            }) = self.talks.get_mut(&talk)
            {
                machine.handle_connected(connection, facts, now);
            }
            if refused {
                // TLS 1.3: the missing certificate is noticed after our side of the handshake.
                self.end_stream(number, Closing::Closed);
            }
        }
        self.drive(talk);
    }

    /// Opens a connection at the host; returns it if both sides understand each other.
    fn open_stream(&mut self, talk: u64, connection: ConnectionId, tls: bool) -> Option<StreamId> {
        let now_us = self.now_us();
        let Talk {
            target,
            machine: Machine::Stream(_, streams),
            ..
        } = self.talks.get_mut(&talk)?
        else {
            return None;
        };
        let host = socket_address(target);
        let server = self.world.hosts.get_mut(&host)?;
        let number = self.world.streams_opened;
        self.world.streams_opened += 1;
        streams.push((connection, number));
        let kind = match (tls, &server.tls) {
            (true, None) => Kind::TlsToClear,
            (false, Some(_)) => Kind::ClearToTls,
            _ => Kind::Understood,
        };
        let mut acts = VecDeque::new();
        if kind != Kind::ClearToTls {
            acts.extend(server.server.stream_opened(number, now_us));
        }
        if kind == Kind::TlsToClear {
            acts.extend(server.server.stream_bytes(number, CLIENT_HELLO, now_us));
        }
        let (at_us, at_host) = (self.now, self.now);
        let stream = Stream {
            talk,
            connection,
            host,
            kind,
            acts,
            is_pausing: false,
            at_us,
            at_host,
        };
        self.streams.insert(number, stream);
        self.take_turn(number);
        (kind != Kind::TlsToClear).then_some(number)
    }

    pub(super) fn hear_segment(&mut self, number: StreamId, bytes: &[u8]) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        if stream.kind == Kind::TlsToClear {
            let client_certificate_requested = false;
            let detail = "received corrupt message".to_owned();
            return self.hear_end(
                number,
                Closing::TlsFailed {
                    client_certificate_requested,
                    detail,
                },
            );
        }
        let (talk, connection, now) = (stream.talk, stream.connection, self.now);
        self.tally.packets_received += 1;
        if let Some(Talk {
            machine: Machine::Stream(machine, _),
            ..
        }) = self.talks.get_mut(&talk)
        {
            machine.handle_bytes(connection, bytes, now);
        }
        self.drive(talk);
    }

    pub(super) fn hear_end(&mut self, number: StreamId, closing: Closing) {
        let Some((talk, connection)) = self
            .streams
            .get(&number)
            .map(|stream| (stream.talk, stream.connection))
        else {
            return;
        };
        self.forget_stream(number);
        let now = self.now;
        if let Some(Talk {
            machine: Machine::Stream(machine, _),
            ..
        }) = self.talks.get_mut(&talk)
        {
            machine.handle_closed(connection, closing, now);
        }
        self.drive(talk);
    }

    fn forget_stream(&mut self, number: StreamId) {
        if let Some(stream) = self.streams.remove(&number)
            && let Some(host) = self.world.hosts.get_mut(&stream.host)
        {
            host.server.stream_closed(number);
        }
    }

    // ---- streams, from the host's side ----

    pub(super) fn tell_host(&mut self, number: StreamId, bytes: &[u8]) {
        let now_us = self.now_us();
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if stream.kind == Kind::ClearToTls {
            return self.end_stream(number, Closing::Reset);
        }
        if let Some(host) = self.world.hosts.get_mut(&stream.host) {
            stream
                .acts
                .extend(host.server.stream_bytes(number, bytes, now_us));
        }
        if !stream.is_pausing {
            self.take_turn(number);
        }
    }

    /// Does the host's acts up to its next pause.
    pub(super) fn take_turn(&mut self, number: StreamId) {
        while let Some(stream) = self.streams.get_mut(&number) {
            stream.is_pausing = false;
            let pause_us = match stream.acts.pop_front() {
                None => return,
                Some(Act::Close) => return self.end_stream(number, Closing::Closed),
                Some(Act::Reset) => return self.end_stream(number, Closing::Reset),
                Some(Act::Wait { us }) => us,
                Some(Act::Send(bytes)) => {
                    self.deliver(number, bytes);
                    continue;
                }
                Some(Act::Repeat {
                    bytes,
                    times,
                    pause_us,
                }) => {
                    if times > 1 {
                        let bytes = bytes.clone();
                        let again = Act::Repeat {
                            bytes,
                            times: times - 1,
                            pause_us,
                        };
                        stream.acts.push_front(again);
                    }
                    stream.is_pausing = true;
                    self.deliver(number, bytes);
                    pause_us.max(REPEAT_PAUSE_US_MIN)
                }
            };
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.is_pausing = true;
            }
            return self.after(Duration::from_micros(pause_us), Event::HostTurn(number));
        }
    }

    fn deliver(&mut self, number: StreamId, bytes: Vec<u8>) {
        if let Some(at) = self.next_arrival(number) {
            self.at(at, Event::SegmentAtUs(number, bytes));
        }
    }

    fn end_stream(&mut self, number: StreamId, closing: Closing) {
        if let Some(at) = self.next_arrival(number) {
            self.at(at, Event::EndAtUs(number, closing));
        }
    }

    /// When what the host sends now arrives, behind everything it sent before.
    fn next_arrival(&mut self, number: StreamId) -> Option<Duration> {
        let host = self.streams.get(&number)?.host;
        let at = self.now + self.world.reliable_way(host, SEGMENT_TIMEOUT);
        let stream = self.streams.get_mut(&number)?;
        stream.at_us = stream.at_us.max(at);
        Some(stream.at_us)
    }
}
