//! A machine and a server with nothing between them but a virtual clock.
//!
//! Whatever is played, the driver holds the machine to its contract: it asks for nothing that could
//! harm, opens no more connections than it may, and always knows when it wants to be woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use model::{Dialogue, TlsFacts};
use sim::behaviour::{Habits, Recorded, Replay};
use sim::{Act, Personality};
use testkit::Transcript;

use crate::{Closing, ConnectionId, DatagramInterview, Options, StreamInterview, StreamOutput};
use crate::{DatagramOutput, Depth};

/// More events than any dialogue has.
const EVENTS_MAX: usize = 400_000;
/// Connections that one interview may open, the sweep's own included.
const CONNECTIONS_MAX: usize = 12;
/// The clock of the made-up servers when a play begins.
const EPOCH_US: u64 = 1_800_000_000_000_000;

/// What the server's port does with TLS.
#[derive(Clone, Debug, Default)]
pub(super) enum Tls {
    /// It speaks in clear, and hears a ClientHello as a request.
    #[default]
    None,
    /// It resets what comes in clear, and speaks inside a session.
    Session(TlsFacts),
    /// It demands a certificate, and says so in the handshake.
    DemandsCertificate,
}

/// In which pieces replies arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pieces {
    #[default]
    Whole,
    /// Every byte by itself.
    Bytes,
    /// Cut at random places, each piece a while after the one before.
    Random { seed: u64, pause: Duration },
}

/// What becomes of a server that breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It closes its connections, and whatever is opened afterwards.
    Closes,
    /// It resets them.
    Resets,
    /// It keeps them and says nothing more.
    Stalls,
}

/// How a server is reached, and when it breaks off.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    pub(super) half_trip: Duration,
    pub(super) tls: Tls,
    pub(super) pieces: Pieces,
    /// After so many bytes in all.
    pub(super) cut: Option<(usize, Fate)>,
}

/// A dialogue that was played to its end.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) dialogue: Dialogue,
    /// Until the end.
    pub(super) took: Duration,
    /// Until it was known what speaks there: the first question of the examination, or the end.
    pub(super) known_after: Duration,
    /// Bytes that the server sent.
    pub(super) bytes: usize,
    /// Everything that was sent, in order.
    pub(super) requests: Vec<Vec<u8>>,
}

enum Event {
    Opened(ConnectionId),
    ToServer(ConnectionId, Vec<u8>),
    ServerTurn(ConnectionId),
    ToUs(ConnectionId, Vec<u8>),
    Ended(ConnectionId, Closing),
}

/// Plays a stream interview with the usual limits against a server.
pub(super) fn play(server: &mut dyn Personality, manner: &Manner) -> Played {
    play_with(Options::new(Depth::Scan, None, 7), server, manner)
}

pub(super) fn play_with(options: Options, server: &mut dyn Personality, manner: &Manner) -> Played {
    let mut machine = StreamInterview::new(options, Duration::ZERO);
    let mut play = Play::new(server, manner);
    play.names_max = options.key_names_max;
    play.open(ConnectionId(0));
    for _ in 0..EVENTS_MAX {
        play.drain(&mut machine);
        if machine.is_finished() {
            let dialogue = machine.into_dialogue();
            return Played {
                dialogue,
                took: play.now,
                known_after: play.known_at.unwrap_or(play.now),
                bytes: play.bytes,
                requests: play.requests,
            };
        }
        let wake_at = machine.wake_at().expect("a machine at work knows its time");
        assert!(
            wake_at >= play.now,
            "woken at {wake_at:?}, before {:?}",
            play.now
        );
        match play.queue.first_key_value() {
            Some((&(at, _), _)) if at <= wake_at => {
                let ((at, _), event) = play.queue.pop_first().unwrap();
                play.now = at;
                play.handle(event, &mut machine);
            }
            _ => {
                play.now = wake_at;
                machine.handle_timeout(wake_at);
                let later = machine.wake_at().is_none_or(|next| next > wake_at);
                assert!(later, "wants to be woken again at {wake_at:?}");
            }
        }
    }
    panic!("no end after {EVENTS_MAX} events, at {:?}", play.now);
}

struct Play<'a> {
    server: &'a mut dyn Personality,
    manner: &'a Manner,
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    next: u64,
    opened: usize,
    /// Connections that neither side has ended.
    alive: BTreeSet<ConnectionId>,
    /// What the server will do, behind a pause if the connection is one of `pausing`.
    waiting: BTreeMap<ConnectionId, VecDeque<Act>>,
    pausing: BTreeSet<ConnectionId>,
    /// When the last piece of a connection arrives: nothing overtakes it.
    last_at: BTreeMap<ConnectionId, Duration>,
    bytes: usize,
    draws: u64,
    known_at: Option<Duration>,
    requests: Vec<Vec<u8>>,
    /// Names of keys that may be asked for.
    names_max: Option<NonZeroU32>,
}

impl<'a> Play<'a> {
    fn new(server: &'a mut dyn Personality, manner: &'a Manner) -> Play<'a> {
        let draws = match manner.pieces {
            Pieces::Random { seed, .. } => seed,
            Pieces::Whole | Pieces::Bytes => 0,
        };
        Play {
            server,
            manner,
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            opened: 1,
            alive: BTreeSet::new(),
            waiting: BTreeMap::new(),
            pausing: BTreeSet::new(),
            last_at: BTreeMap::new(),
            bytes: 0,
            draws,
            known_at: None,
            requests: Vec::new(),
            names_max: None,
        }
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.queue.insert((at, self.next), event);
        self.next += 1;
    }

    fn now_us(&self) -> u64 {
        EPOCH_US + self.now.as_micros() as u64
    }

    /// Does what the machine wants, until it wants nothing more.
    fn drain(&mut self, machine: &mut StreamInterview) {
        while let Some(output) = machine.poll_output() {
            match output {
                StreamOutput::Connect { connection, tls } => self.connect(connection, tls),
                StreamOutput::Send { connection, bytes } => {
                    if !is_few_names(&bytes, self.names_max) {
                        assert_harmless(&bytes);
                    }
                    if self.known_at.is_none() && is_examination(&bytes) {
                        self.known_at = Some(self.now);
                    }
                    self.requests.push(bytes.clone());
                    let at = self.now + self.manner.half_trip;
                    self.at(at, Event::ToServer(connection, bytes));
                }
                StreamOutput::Close { connection } => self.forget(connection),
            }
        }
    }

    fn connect(&mut self, connection: ConnectionId, tls: bool) {
        self.opened += 1;
        assert!(
            self.opened <= CONNECTIONS_MAX,
            "opens {} connections",
            self.opened
        );
        self.alive.insert(connection);
        let round_trip = self.manner.half_trip * 2;
        let broken = self.fate();
        let opened_at = self.now + round_trip;
        if !tls {
            return self.at(opened_at, Event::Opened(connection));
        }
        let spoken_at = opened_at + round_trip;
        let failure = |requested, detail: &str| Closing::TlsFailed {
            client_certificate_requested: requested,
            detail: detail.to_owned(),
        };
        match (&self.manner.tls, broken) {
            (_, Some(Fate::Stalls)) => {}
            (_, Some(Fate::Closes)) => {
                self.at(spoken_at, Event::Ended(connection, Closing::Closed))
            }
            (_, Some(Fate::Resets)) => self.at(spoken_at, Event::Ended(connection, Closing::Reset)),
            (Tls::Session(_), None) => self.at(spoken_at, Event::Opened(connection)),
            (Tls::DemandsCertificate, None) => {
                let closing = failure(true, "certificate required");
                self.at(spoken_at, Event::Ended(connection, closing));
            }
            (Tls::None, None) => {
                // The beginning of a ClientHello, as a plain server sees it.
                let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
                let now_us = self.now_us();
                let mut acts = self.server.stream_opened(u64::from(connection.0), now_us);
                acts.extend(
                    self.server
                        .stream_bytes(u64::from(connection.0), hello, now_us),
                );
                let closing = acts.iter().find_map(|act| match act {
                    Act::Send(_) | Act::Repeat { .. } => Some(failure(false, "no TLS record")),
                    Act::Close => Some(Closing::Closed),
                    Act::Reset => Some(Closing::Reset),
                    Act::Wait { .. } => None,
                });
                if let Some(closing) = closing {
                    self.at(spoken_at, Event::Ended(connection, closing));
                }
            }
        }
    }

    fn handle(&mut self, event: Event, machine: &mut StreamInterview) {
        match event {
            Event::Opened(connection) if self.alive.contains(&connection) => {
                let facts = match &self.manner.tls {
                    Tls::Session(facts) => Some(facts.clone()),
                    Tls::None | Tls::DemandsCertificate => None,
                };
                machine.handle_connected(connection, facts, self.now);
                self.open(connection);
            }
            Event::ToServer(connection, bytes) if self.alive.contains(&connection) => {
                self.tell_server(connection, &bytes);
            }
            Event::ServerTurn(connection) if self.alive.contains(&connection) => {
                self.pausing.remove(&connection);
                self.serve(connection);
            }
            Event::ToUs(connection, bytes) if self.alive.contains(&connection) => {
                machine.handle_bytes(connection, &bytes, self.now);
            }
            Event::Ended(connection, closing) if self.alive.contains(&connection) => {
                self.forget(connection);
                machine.handle_closed(connection, closing, self.now);
            }
            _ => {}
        }
    }

    /// A connection is open: the server may speak first.
    fn open(&mut self, connection: ConnectionId) {
        self.alive.insert(connection);
        let clear_on_tls = connection.0 == 0 && !matches!(self.manner.tls, Tls::None);
        if clear_on_tls {
            return;
        }
        let acts = self
            .server
            .stream_opened(u64::from(connection.0), self.now_us());
        self.enqueue(connection, acts);
        if let Some(fate) = self.fate() {
            self.break_off(connection, fate);
        }
    }

    fn tell_server(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let clear_on_tls = connection.0 == 0 && !matches!(self.manner.tls, Tls::None);
        if clear_on_tls {
            let at = self.now + self.manner.half_trip;
            return self.at(at, Event::Ended(connection, Closing::Reset));
        }
        if self.fate().is_some() {
            return;
        }
        let now_us = self.now_us();
        let acts = self
            .server
            .stream_bytes(u64::from(connection.0), bytes, now_us);
        self.enqueue(connection, acts);
    }

    fn enqueue(&mut self, connection: ConnectionId, acts: Vec<Act>) {
        self.waiting.entry(connection).or_default().extend(acts);
        if !self.pausing.contains(&connection) {
            self.serve(connection);
        }
    }

    /// Does the server's acts up to its next pause.
    fn serve(&mut self, connection: ConnectionId) {
        while let Some(act) = self
            .waiting
            .get_mut(&connection)
            .and_then(VecDeque::pop_front)
        {
            if self.fate().is_some() {
                return;
            }
            let pause = match act {
                Act::Send(bytes) => {
                    self.deliver(connection, &bytes);
                    continue;
                }
                Act::Wait { us } => us,
                Act::Repeat {
                    bytes,
                    times,
                    pause_us,
                } => {
                    self.deliver(connection, &bytes);
                    if times > 1 {
                        let again = Act::Repeat {
                            bytes,
                            times: times - 1,
                            pause_us,
                        };
                        self.waiting
                            .entry(connection)
                            .or_default()
                            .push_front(again);
                    }
                    // A link has some speed, or nothing else would ever happen.
                    pause_us.max(100)
                }
                Act::Close => return self.end(connection, Closing::Closed),
                Act::Reset => return self.end(connection, Closing::Reset),
            };
            self.pausing.insert(connection);
            let at = self.now + Duration::from_micros(pause);
            return self.at(at, Event::ServerTurn(connection));
        }
    }

    fn end(&mut self, connection: ConnectionId, closing: Closing) {
        let at = self.arrival(connection);
        self.at(at, Event::Ended(connection, closing));
    }

    fn arrival(&self, connection: ConnectionId) -> Duration {
        let at = self.now + self.manner.half_trip;
        self.last_at
            .get(&connection)
            .map_or(at, |last| at.max(*last))
    }

    /// Sends bytes to us, in pieces and up to the cut.
    fn deliver(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let mut rest = match self.manner.cut {
            Some((after, _)) => &bytes[..bytes.len().min(after.saturating_sub(self.bytes))],
            None => bytes,
        };
        let mut at = self.arrival(connection);
        while !rest.is_empty() {
            let (length, pause) = match self.manner.pieces {
                Pieces::Whole => (rest.len(), Duration::ZERO),
                Pieces::Bytes => (1, Duration::ZERO),
                Pieces::Random { pause, .. } => {
                    (1 + self.draw() as usize % rest.len().min(1_448), pause)
                }
            };
            let (piece, later) = rest.split_at(length);
            at += pause;
            self.bytes += length;
            self.at(at, Event::ToUs(connection, piece.to_vec()));
            rest = later;
        }
        self.last_at.insert(connection, at);
        if let Some(fate) = self.fate() {
            for connection in self.alive.clone() {
                self.break_off(connection, fate);
            }
        }
    }

    fn draw(&mut self) -> u64 {
        self.draws = self
            .draws
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1);
        self.draws >> 33
    }

    /// The server's fate, if it has broken off already.
    fn fate(&self) -> Option<Fate> {
        self.manner
            .cut
            .filter(|(after, _)| self.bytes >= *after)
            .map(|(_, fate)| fate)
    }

    fn break_off(&mut self, connection: ConnectionId, fate: Fate) {
        match fate {
            Fate::Closes => self.end(connection, Closing::Closed),
            Fate::Resets => self.end(connection, Closing::Reset),
            Fate::Stalls => {}
        }
    }

    fn forget(&mut self, connection: ConnectionId) {
        if self.alive.remove(&connection) {
            self.server.stream_closed(u64::from(connection.0));
        }
    }
}

/// Whether this request belongs to the examination, so that it was known by then what speaks.
fn is_examination(bytes: &[u8]) -> bool {
    let asks = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    if bytes.first() == Some(&0x80) {
        bytes.get(1) == Some(&0x10)
    } else {
        asks(b"get ") || asks(b"stats")
    }
}

/// Whether a request asks for no more names of keys than the user wished.
pub(super) fn is_few_names(bytes: &[u8], names_max: Option<NonZeroU32>) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let arguments = text
        .strip_prefix("stats cachedump ")
        .and_then(|rest| rest.strip_suffix("\r\n")?.split_once(' '));
    let numbers = arguments.map(|(class, count)| (class.parse::<u32>(), count.parse::<u32>()));
    let Some((Ok(class), Ok(count))) = numbers else {
        return false;
    };
    // A count of 0 means all.
    (1..200).contains(&class) && count > 0 && names_max.is_some_and(|most| count <= most.get())
}

/// A request on a stream is one of those that change nothing on any version.
pub(super) fn assert_harmless(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    if bytes.first() == Some(&0x80) {
        let mut rest = bytes;
        while !rest.is_empty() {
            assert_eq!(rest[0], 0x80, "{shown:?}");
            assert!(matches!(rest[1], 0x0b | 0x0a | 0x10 | 0x20), "{shown:?}");
            let body = u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            rest = &rest[24 + body..];
        }
        return;
    }
    assert!(shown.ends_with("\r\n"), "{shown:?}");
    for line in shown.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let harmless = match words[..] {
            ["version"] | ["stats"] | ["mn"] => true,
            ["stats", group] => matches!(group, "settings" | "items" | "conns"),
            ["get", key] => key.starts_with("memsweep-"),
            _ => false,
        };
        assert!(harmless, "{line:?}");
    }
}

/// A server that answers as the recorded one did.
pub(super) fn replay(transcript: &Transcript) -> Replay {
    let recordings = transcript.exchanges.iter().map(|exchange| Recorded {
        case: exchange.case.clone(),
        sent: exchange.sent.clone(),
        received: exchange.received.clone(),
        datagrams: exchange.datagrams.clone(),
    });
    Replay::new(recordings.collect(), Habits::of(&transcript.name))
}

/// A dialogue over UDP that was played to its end.
#[derive(Debug)]
pub(super) struct Exchanged {
    pub(super) dialogue: Dialogue,
    pub(super) took: Duration,
    pub(super) requests: Vec<Vec<u8>>,
    pub(super) unconfirmed: bool,
}

/// How long after the request a datagram arrives, and what it is.
pub(super) type Arrival = (Duration, Vec<u8>);

/// Plays a datagram interview. The server is told each request and says which datagrams arrive,
/// and how long after the request. Its first reply to `version` began the interview.
pub(super) fn exchange(
    options: Options,
    server: &mut dyn FnMut(&[u8]) -> Vec<Arrival>,
) -> Exchanged {
    let first = server(b"\x12\x34\0\0\0\x01\0\0version\r\n");
    let (_, first) = first.first().expect("an answer to the sweep's datagram");
    let mut machine = DatagramInterview::new(options, Duration::ZERO, first, None);
    let mut now = Duration::ZERO;
    let mut requests: Vec<Vec<u8>> = Vec::new();
    let mut queue: BTreeMap<(Duration, usize), Vec<u8>> = BTreeMap::new();
    let mut number = 0;
    for _ in 0..EVENTS_MAX {
        while let Some(DatagramOutput::Send(request)) = machine.poll_output() {
            assert_eq!(request[2..8], [0, 0, 0, 1, 0, 0], "one datagram, total 1");
            assert_harmless(&request[8..]);
            for (after, datagram) in server(&request) {
                queue.insert((now + after, number), datagram);
                number += 1;
            }
            requests.push(request);
        }
        if machine.is_finished() {
            return Exchanged {
                unconfirmed: machine.is_unconfirmed(),
                dialogue: machine.into_dialogue(),
                took: now,
                requests,
            };
        }
        let wake_at = machine.wake_at().expect("a machine at work knows its time");
        assert!(wake_at >= now, "woken at {wake_at:?}, before {now:?}");
        match queue.first_key_value() {
            Some((&(at, _), _)) if at <= wake_at => {
                let ((at, _), datagram) = queue.pop_first().unwrap();
                now = at;
                machine.handle_datagram(&datagram, now);
            }
            _ => {
                now = wake_at;
                machine.handle_timeout(now);
                let later = machine.wake_at().is_none_or(|next| next > now);
                assert!(later, "wants to be woken again at {now:?}");
            }
        }
    }
    panic!("no end after {EVENTS_MAX} events, at {now:?}");
}
