//! The dialogue over TCP, TLS or a unix socket.
//!
//! **Triage** asks in three steps what is there, cheapest first, and each only if the one before
//! brought nothing:
//!
//! 1. ASCII `version` on the connection that the sweep opened. A plain server answers; one with
//!    `-Y` says `CLIENT_ERROR unauthenticated`; `-S` and `-B binary` stay silent with the
//!    connection open; `-Z` resets it.
//! 2. Binary VERSION, SASL LIST MECHS and NOOP in one segment on a second connection. VERSION and
//!    SASL LIST are answered before authentication, NOOP only after it, so that the NOOP decides
//!    between `-S` and `-B binary`.
//! 3. A TLS ClientHello on a third. If the handshake succeeds, steps 1 and 2 are repeated inside.
//!
//! The connection that was asked `version` stays open until the triage ends: a slow server may still
//! answer there. A memcached at its connection limit says so and hangs up; it is asked again twice,
//! a moment later each time.
//!
//! **Examination** of an open server: two commands in one segment (a `version` and a `get` of a
//! random key: three checks of genuineness in one round trip), `stats`, `stats settings`,
//! `stats items`, `stats conns`, `mn`; and `stats` once more on a connection of its own, opened at
//! the same time. A server that closes after every reply gets a new connection for each question.
//!
//! **Sampling**, where the user wishes for names of keys: after everything else, over a connection of
//! its own, `stats cachedump` for a few of them (see the `sample` module). It has its own deadline, and
//! however it ends, the dialogue before it is complete.

use std::collections::VecDeque;
use std::time::Duration;

use model::{
    Anomaly, Answer, Auth, Dialogue, Ending, Impression, KeyProbe, MetaNoop, Protocol, Question,
    StatsTable, TlsFacts, Unsampled,
};
use wire::{
    AsciiDecoder, AsciiEvent, BinaryDecoder, BinaryEvent, BinaryReply, BinaryRequest,
    ConnectionsRequest, RandomKey, Request, StatsGroup, opcode, status,
};

use crate::counting::ConnectionCounter;
use crate::impression::{impression_of, is_tls_record};
use crate::options::{Depth, Draws, Options};
use crate::sample::{Cut, Sampler, Step, contradict};

/// Connections one interview may open, the sweep's own included.
const CONNECTIONS_MAX: u8 = 12;
/// Rows kept of one statistics reply; the largest real one has about 2,000 (`stats items`).
const TABLE_ROWS_MAX: usize = 4_096;
/// Bytes read of one reply; the largest real one is about 50 kB.
const REPLY_BYTES_MAX: u64 = 128 * 1024;
/// Bytes read of `stats conns`, of which only numbers are kept.
const CONNS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Bytes read in one interview, whatever they are.
const INTERVIEW_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// First bytes kept to say what a stranger looked like.
const FIRST_BYTES_MAX: usize = 512;
/// Lines that fit no question before the peer is believed not to speak memcached.
const STRANGE_LINES_MAX: u32 = 16;
/// Questions in a row that a peer may answer by closing before it is left alone.
const CLOSINGS_MAX: u32 = 2;
/// How long opening another connection may take: TCP sends a lost SYN again after 1 s (RFC 6298).
const CONNECT_WAIT: Duration = Duration::from_millis(1_400);
/// Longest time for names of keys, however much of the interview is left.
const SAMPLE_MAX: Duration = Duration::from_secs(3);
/// Rows read of one reply: those of `stats conns` with 100,000 connections, four rows each.
const REPLY_ROWS_MAX: u64 = 400_000;
/// How a memcached at its connection limit (`-c`) greets who connects, before it hangs up
/// (`memcached.c`, with `maxconns_fast`).
const AT_LIMIT: &str = "ERROR Too many open connections";
/// How long to leave such a server alone before it is asked again.
const AT_LIMIT_PAUSE: Duration = Duration::from_millis(500);
/// How often it is asked again.
const AT_LIMIT_RETRIES: u32 = 2;
/// Words that an answer to `version` or `stats` begins with (doc/protocol.txt).
const REPLY_WORDS: [&[u8]; 6] = [
    b"VERSION",
    b"STAT",
    b"END",
    b"ERROR",
    b"CLIENT_ERROR",
    b"SERVER_ERROR",
];
/// First byte of a binary reply.
const RESPONSE_MAGIC: u8 = 0x81;
/// Opaque value of our binary requests; servers echo it.
const OPAQUE: u32 = 0x6d65_6d73;

/// One connection of an interview. The sweep's own is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u8);

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamOutput {
    /// Open another connection to the same endpoint, and speak TLS on it if asked.
    Connect {
        /// The number to report it by.
        connection: ConnectionId,
        /// Whether a TLS handshake follows.
        tls: bool,
    },
    /// Send these bytes.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// What; always made by `wire`.
        bytes: Vec<u8>,
    },
    /// Close this connection.
    Close {
        /// Which one.
        connection: ConnectionId,
    },
}

/// How a connection ended, or why it never began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The peer closed it in order.
    Closed,
    /// The peer reset it.
    Reset,
    /// It could not be opened.
    ConnectFailed(String),
    /// The TLS handshake failed, in these words.
    TlsFailed {
        /// Whether the server had asked for a certificate of ours.
        client_certificate_requested: bool,
        /// The alert or error.
        detail: String,
    },
}

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Triage step 1 on this connection.
    AsciiVersion(ConnectionId),
    /// It is at its connection limit: a pause before step 1 is tried again.
    AtLimit,
    /// Step 1 brought an error line: does it know `stats`?
    AsciiStats(ConnectionId),
    /// Triage step 2 on this connection.
    BinaryHello(ConnectionId),
    /// Triage step 3 on this connection.
    TlsHandshake(ConnectionId),
    /// Asking an open server.
    Examining,
    /// All it ever said was a version: does it say that unasked, on this connection?
    Listening(ConnectionId),
    /// Asking for names of keys, on this connection.
    Sampling(ConnectionId),
    /// Nothing more.
    Finished,
}

struct Channel {
    id: ConnectionId,
    open: bool,
    /// Whether the driver was told to close it.
    done: bool,
    is_binary: bool,
    ascii: AsciiDecoder,
    binary: BinaryDecoder,
    sent: Vec<u8>,
    first_bytes: Vec<u8>,
    bytes_received: u64,
}

/// The reply that is being collected.
struct Collecting {
    question: Question,
    connection: ConnectionId,
    table: StatsTable,
    counter: ConnectionCounter,
    replies: u32,
    key: Option<KeyProbe>,
    value_seen: bool,
    bytes_at_start: u64,
    /// Rows that the connection's decoder had dropped when the question was put.
    rows_dropped_at_start: u64,
    /// Whether rows came that the table has no room for.
    rows_left_out: bool,
    strange_lines: u32,
    until: Duration,
}

/// The dialogue machine for stream transports.
pub struct StreamInterview {
    options: Options,
    started: Duration,
    stage: Stage,
    stage_until: Duration,
    channels: Vec<Channel>,
    outputs: VecDeque<StreamOutput>,
    dialogue: Dialogue,
    random_key: RandomKey,
    /// Whether everything further goes through TLS.
    inside_tls: bool,
    plan: VecDeque<Question>,
    collecting: Option<Collecting>,
    /// The connection that `second_stats` is asked on, and its collection.
    second: Option<Collecting>,
    second_done: bool,
    /// The connection that gave `stats`; the repetition must use the same one.
    stats_connection: Option<ConnectionId>,
    closings_in_a_row: u32,
    bytes_total: u64,
    /// The connection that was asked `version` last: in clear, then inside TLS.
    version_connection: Option<ConnectionId>,
    /// How that connection ended in the triage, for the impression.
    last_closing: Option<Closing>,
    /// What binary SASL LIST brought: a list, and no demand until NOOP is refused.
    mechanisms: Option<Vec<String>>,
    /// How often it was left alone because it was at its connection limit.
    at_limit_pauses: u32,
    tls_failure: Option<String>,
    binary_spoken: bool,
    sampler: Option<Sampler>,
    sample_until: Duration,
}

impl StreamInterview {
    /// Begins on connection 0, which the sweep has opened already. With `tls`, connection 0 is a
    /// finished TLS session.
    pub fn new(options: Options, now: Duration) -> StreamInterview {
        let mut draws = Draws::new(options.seed);
        let random_key = RandomKey::from_bits(draws.next_u128());
        let first = ConnectionId(0);
        let mut interview = StreamInterview {
            options,
            started: now,
            stage: Stage::AsciiVersion(first),
            stage_until: now + options.reply_wait,
            channels: vec![Channel::new(first)],
            outputs: VecDeque::new(),
            dialogue: Dialogue::default(),
            random_key,
            inside_tls: false,
            plan: VecDeque::new(),
            collecting: None,
            second: None,
            second_done: false,
            stats_connection: None,
            closings_in_a_row: 0,
            bytes_total: 0,
            version_connection: None,
            last_closing: None,
            mechanisms: None,
            at_limit_pauses: 0,
            tls_failure: None,
            binary_spoken: false,
            sampler: None,
            sample_until: now,
        };
        interview.channels[0].open = true;
        interview.ask_version(first);
        interview
    }

    /// The next thing to do, until `None`. Drain it after every `handle_*` call.
    pub fn poll_output(&mut self) -> Option<StreamOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] if nothing comes before; `None` when finished.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.stage == Stage::Finished {
            return None;
        }
        let mut at = self.deadline();
        if self.stage == Stage::Examining {
            for collecting in [&self.collecting, &self.second].into_iter().flatten() {
                at = at.min(collecting.until);
            }
        } else {
            at = at.min(self.stage_until);
        }
        Some(at)
    }

    /// Whether the dialogue is over; outputs may remain to be drained (closings).
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Finished
    }

    /// Everything that was learnt.
    pub fn into_dialogue(mut self) -> Dialogue {
        self.note_anomalies();
        self.dialogue
    }

    /// A connection that was asked for is open; with `tls`, its handshake is done.
    pub fn handle_connected(
        &mut self,
        connection: ConnectionId,
        tls: Option<TlsFacts>,
        now: Duration,
    ) {
        if self.is_finished() {
            return;
        }
        let Some(channel) = self.channel(connection) else {
            return;
        };
        channel.open = true;
        let asked = !channel.sent.is_empty();
        if let Some(facts) = tls
            && self.dialogue.tls.is_none()
        {
            self.dialogue.tls = Some(facts);
        }
        match self.stage {
            Stage::TlsHandshake(expected) if expected == connection => {
                self.inside_tls = true;
                // How it ended in clear says nothing about what is inside.
                self.last_closing = None;
                self.stage = Stage::AsciiVersion(connection);
                self.stage_until = now + self.options.reply_wait;
                self.ask_version(connection);
            }
            Stage::AsciiVersion(expected) if expected == connection && !asked => {
                self.stage_until = now + self.options.reply_wait;
                self.ask_version(connection);
            }
            Stage::BinaryHello(expected) if expected == connection => {
                self.stage_until = now + self.options.reply_wait;
                self.ask_binary(connection);
            }
            Stage::AsciiStats(expected) if expected == connection => {
                self.send_request(connection, &Request::Stats(StatsGroup::General));
            }
            Stage::Examining => self.resume_on(connection),
            Stage::Listening(expected) if expected == connection => {
                self.stage_until = now + self.options.reply_wait;
            }
            Stage::Sampling(expected) if expected == connection => {
                let first = self.sampler.as_mut().and_then(Sampler::next_request);
                let step = first.map_or(Step::Done, Step::Ask);
                self.go_on_sampling(connection, step, now);
            }
            _ => {}
        }
    }

    /// Bytes came on a connection (decrypted, if it is TLS).
    pub fn handle_bytes(&mut self, connection: ConnectionId, bytes: &[u8], now: Duration) {
        if self.is_finished() {
            return;
        }
        self.bytes_total += bytes.len() as u64;
        if let Stage::Sampling(current) = self.stage {
            // Every other connection is closed. Nothing but the sampler sees a name.
            if let Some(sampler) = self.sampler.as_mut().filter(|_| current == connection) {
                let step = sampler.take(bytes);
                self.go_on_sampling(connection, step, now);
            }
            return;
        }
        let Some(channel) = self.channel(connection) else {
            return;
        };
        channel.receive(bytes);
        if self.bytes_total > INTERVIEW_BYTES_MAX {
            let bytes = self.bytes_total;
            self.dialogue.anomalies.push(Anomaly::ReplyLimit { bytes });
            self.abandon_collections();
            self.finish(Ending::Complete);
            return;
        }
        if self.stage == Stage::Listening(connection) {
            self.conclude_greeter(connection);
            return;
        }
        self.drain(connection, now);
    }

    /// A connection ended, or could not be opened.
    pub fn handle_closed(&mut self, connection: ConnectionId, closing: Closing, now: Duration) {
        if self.is_finished() {
            return;
        }
        let Some(channel) = self.channel(connection) else {
            return;
        };
        channel.open = false;
        let silent = channel.bytes_received == 0;
        let asked_version = channel.sent.starts_with(b"version");
        match self.stage {
            Stage::AsciiStats(current) if current == connection => {
                self.note_closing(connection, closing);
                if asked_version {
                    // It may be one that closes after every reply.
                    self.ask_stats_anew(now);
                } else {
                    self.conclude_refuser();
                }
            }
            Stage::AsciiVersion(current) if current == connection => {
                self.note_closing(connection, closing);
                if silent && self.at_limit_pauses > 0 {
                    // A reset can overtake the words that say why.
                    self.pause_at_limit(now);
                } else if silent && self.inside_tls && self.dialogue.version.was_asked() {
                    // A TLS 1.3 server refuses a missing certificate only after the handshake.
                    self.closed_inside_tls();
                } else if silent {
                    self.begin_tls(now);
                } else {
                    self.conclude_stranger(connection);
                }
            }
            Stage::BinaryHello(current) if current == connection => {
                self.handle_closed_binary(connection, now);
            }
            Stage::TlsHandshake(current) if current == connection => {
                self.handle_tls_failure(closing);
            }
            Stage::BinaryHello(_) | Stage::TlsHandshake(_)
                if self.version_connection == Some(connection) =>
            {
                self.note_closing(connection, closing);
                if self.dialogue.version.value().is_none() && self.sounds_strange(connection) {
                    self.conclude_stranger(connection);
                }
            }
            Stage::Examining => self.handle_closed_while_examining(connection, closing, now),
            Stage::Listening(current) if current == connection => self.finish(Ending::Complete),
            Stage::Sampling(current) if current == connection => {
                self.conclude_sampling(Some(Cut::Closed));
            }
            _ => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.is_finished() {
            return;
        }
        if now >= self.deadline() {
            self.end_at_deadline();
            return;
        }
        if self.stage == Stage::Examining {
            self.time_out_collections(now);
            return;
        }
        if now < self.stage_until {
            return;
        }
        match self.stage {
            Stage::AsciiVersion(connection) => self.time_out_version(connection, now),
            Stage::AtLimit => self.ask_version_anew(now),
            Stage::AsciiStats(_) => self.conclude_refuser(),
            Stage::BinaryHello(connection) => {
                if self.dialogue.version.value().is_some() {
                    // It told its version and nothing else: binary, and what it demands is unknown.
                    self.finish(Ending::Complete);
                } else if self
                    .channel(connection)
                    .is_some_and(|channel| channel.bytes_received > 0)
                {
                    self.stage_until = self.deadline();
                } else if self.inside_tls {
                    self.conclude_stranger(connection);
                } else {
                    self.begin_tls(now);
                }
            }
            Stage::TlsHandshake(_) if self.has_begun_to_answer() => {
                self.stage_until = self.deadline();
            }
            Stage::TlsHandshake(_) => self.conclude_unheard(),
            // It stayed silent: the version was an answer.
            Stage::Listening(_) => self.finish(Ending::Complete),
            Stage::Sampling(_) => self.conclude_sampling(Some(Cut::Silent)),
            Stage::Examining | Stage::Finished => {}
        }
    }

    /// The whole run is being stopped: keep what is known.
    pub fn stop(&mut self) {
        if !self.is_finished() {
            self.abandon_collections();
            self.finish(Ending::Stopped);
        }
    }

    // ---- triage ----

    fn deadline(&self) -> Duration {
        let limit = match self.stage {
            Stage::Examining | Stage::Listening(_) | Stage::Sampling(_) => {
                self.options.interview_max
            }
            _ => self.options.triage_max,
        };
        self.started + limit
    }

    /// The time is up, for the triage or for the whole interview.
    fn end_at_deadline(&mut self) {
        match self.stage {
            // It told its version and nothing else: binary, and what it demands is unknown.
            Stage::BinaryHello(_) if self.dialogue.version.value().is_some() => {
                self.finish(Ending::Complete);
            }
            Stage::AtLimit => self.conclude_at_limit(),
            // Who is silent up to the last step is mute, also where the last wait was cut short.
            Stage::TlsHandshake(_) if !self.has_begun_to_answer() => self.conclude_unheard(),
            // Everything else had been asked.
            Stage::Sampling(_) => self.conclude_sampling(Some(Cut::Silent)),
            Stage::Examining | Stage::Listening(_) => {
                self.abandon_collections();
                self.finish(Ending::Deadline);
            }
            _ => match self.stranger() {
                Some(connection) => self.conclude_stranger(connection),
                None => self.finish(Ending::Deadline),
            },
        }
    }

    /// No step of the triage brought a line; a banner without a line end still says who speaks.
    fn conclude_unheard(&mut self) {
        match self.stranger() {
            Some(connection) => self.conclude_stranger(connection),
            None => {
                self.dialogue.impression.get_or_insert(Impression::Mute);
                self.finish(Ending::Complete);
            }
        }
    }

    /// A connection on which something was said that is no beginning of an answer.
    fn stranger(&self) -> Option<ConnectionId> {
        self.channels
            .iter()
            .map(|channel| channel.id)
            .find(|connection| self.sounds_strange(*connection))
    }

    /// Whether the bytes of this connection are neither memcached's nor TLS, as far as they go.
    fn sounds_strange(&self, connection: ConnectionId) -> bool {
        self.channels.iter().any(|channel| {
            channel.id == connection
                && !channel.first_bytes.is_empty()
                && !channel.has_begun_to_answer()
                && !is_tls_record(&channel.first_bytes)
        })
    }

    /// Whether an answer has begun on a connection that is still open.
    fn has_begun_to_answer(&self) -> bool {
        self.channels
            .iter()
            .any(|channel| channel.open && channel.has_begun_to_answer())
    }

    /// The impression comes from the connection that was asked in words which every server reads.
    fn note_closing(&mut self, connection: ConnectionId, closing: Closing) {
        if self.version_connection == Some(connection) {
            self.last_closing = Some(closing);
        }
    }

    /// The connection of triage step 2 ended.
    fn handle_closed_binary(&mut self, connection: ConnectionId, now: Duration) {
        let silent = self
            .channel(connection)
            .is_none_or(|channel| channel.bytes_received == 0);
        if self.dialogue.version.value().is_some() || self.mechanisms.is_some() {
            self.dialogue.impression = None;
            self.finish(Ending::Complete);
        } else if self.inside_tls && silent {
            self.closed_inside_tls();
        } else if self.inside_tls {
            self.conclude_stranger(connection);
        } else {
            self.begin_tls(now);
        }
    }

    /// It is a memcached without room for us: asked again after a pause, a few times.
    fn pause_at_limit(&mut self, now: Duration) {
        self.close_all();
        if self.at_limit_pauses >= AT_LIMIT_RETRIES {
            self.conclude_at_limit();
            return;
        }
        self.at_limit_pauses += 1;
        if self.options.depth == Depth::Sample {
            self.options.depth = Depth::Scan;
        }
        self.stage = Stage::AtLimit;
        self.stage_until = now + AT_LIMIT_PAUSE;
    }

    fn ask_version_anew(&mut self, now: Duration) {
        match self.connect(self.inside_tls) {
            // Asked when the connection is open.
            Some(next) => {
                self.stage = Stage::AsciiVersion(next);
                self.stage_until = now + CONNECT_WAIT;
            }
            None => self.conclude_at_limit(),
        }
    }

    /// Nothing was learnt but that it had no room, which says nothing about another hour.
    fn conclude_at_limit(&mut self) {
        self.dialogue.version = Answer::Refused(AT_LIMIT.to_owned());
        self.dialogue.impression = None;
        self.dialogue
            .anomalies
            .push(Anomaly::Other("at its connection limit".to_owned()));
        self.finish(Ending::Deadline);
    }

    /// Asks on a connection of its own whether `stats` is known.
    fn ask_stats_anew(&mut self, now: Duration) {
        match self.connect(self.inside_tls) {
            Some(next) => {
                self.stage = Stage::AsciiStats(next);
                self.stage_until = now + self.options.reply_wait * 2;
            }
            None => self.conclude_refuser(),
        }
    }

    /// It refused `version` in memcached's words, and nothing more came of it.
    fn conclude_refuser(&mut self) {
        let refuser = self
            .channels
            .iter()
            .rev()
            .find(|channel| channel.sent.starts_with(b"version"))
            .map_or(ConnectionId(0), |channel| channel.id);
        self.conclude_stranger(refuser);
    }

    fn ask_version(&mut self, connection: ConnectionId) {
        self.dialogue.version = Answer::Silent;
        self.version_connection = Some(connection);
        self.send_request(connection, &Request::Version);
    }

    fn ask_binary(&mut self, connection: ConnectionId) {
        let mut bytes = Vec::with_capacity(72);
        BinaryRequest::Version.encode(OPAQUE, &mut bytes);
        BinaryRequest::SaslList.encode(OPAQUE, &mut bytes);
        BinaryRequest::Noop.encode(OPAQUE, &mut bytes);
        self.send(connection, bytes);
    }

    fn time_out_version(&mut self, connection: ConnectionId, now: Duration) {
        if self.options.depth == Depth::Sample {
            self.conclude_unheard();
            return;
        }
        let opened = self.channel(connection).is_some_and(|channel| channel.open);
        if !opened && self.at_limit_pauses > 0 {
            self.pause_at_limit(now);
            return;
        }
        if self
            .channel(connection)
            .is_some_and(|channel| channel.bytes_received > 0)
        {
            // It has begun to say something: it may take the whole triage to end its line.
            self.stage_until = self.deadline();
            return;
        }
        // The connection stays open, since the answer may just be late.
        let tls = self.inside_tls;
        match self.connect(tls) {
            Some(next) => {
                if let Some(channel) = self.channel(next) {
                    channel.is_binary = true;
                }
                self.stage = Stage::BinaryHello(next);
                self.stage_until = now + CONNECT_WAIT;
            }
            None => self.conclude_stranger(connection),
        }
    }

    fn begin_tls(&mut self, now: Duration) {
        if self.options.depth == Depth::Sample {
            self.dialogue.impression = Some(self.impression_of_closing());
            self.finish(Ending::Sampled);
            return;
        }
        if !self.options.over_tcp || self.inside_tls {
            self.dialogue.impression = Some(self.impression_of_closing());
            self.finish(Ending::Complete);
            return;
        }
        match self.connect(true) {
            Some(next) => {
                self.stage = Stage::TlsHandshake(next);
                // A handshake takes two round trips and some arithmetic on the other side. Who hung
                // up on plain text is likely to answer it, and is given time for a lost packet.
                let wait = self.options.reply_wait * 2;
                let hung_up = self.last_closing.is_some();
                self.stage_until = now
                    + if hung_up {
                        wait.max(CONNECT_WAIT)
                    } else {
                        wait
                    };
            }
            None => self.finish(Ending::Complete),
        }
    }

    fn handle_tls_failure(&mut self, closing: Closing) {
        match closing {
            Closing::TlsFailed {
                client_certificate_requested: true,
                detail,
            } => {
                let facts = self.dialogue.tls.get_or_insert_with(TlsFacts::default);
                facts.client_certificate_requested = true;
                self.dialogue.auth = Auth::TlsClientCertificate;
                self.tls_failure = Some(detail);
            }
            Closing::TlsFailed { detail, .. } => {
                self.dialogue.impression = Some(Impression::TlsFailure(detail));
            }
            Closing::Closed | Closing::Reset | Closing::ConnectFailed(_) => {
                self.dialogue.impression = match &self.last_closing {
                    Some(Closing::Closed) => Some(Impression::Closed),
                    Some(_) => Some(Impression::Reset),
                    None => None,
                };
                self.conclude_unheard();
                return;
            }
        }
        self.finish(Ending::Complete);
    }

    /// The session closed before it answered anything inside.
    fn closed_inside_tls(&mut self) {
        let requested = self
            .dialogue
            .tls
            .as_ref()
            .is_some_and(|facts| facts.client_certificate_requested);
        if requested {
            self.dialogue.auth = Auth::TlsClientCertificate;
            self.dialogue.version = Answer::Closed;
        } else {
            let inner = self.impression_of_closing();
            self.dialogue.impression = Some(Impression::InsideTls(Box::new(inner)));
        }
        self.finish(Ending::Complete);
    }

    fn impression_of_closing(&self) -> Impression {
        match &self.last_closing {
            Some(Closing::Closed) => Impression::Closed,
            Some(Closing::Reset | Closing::ConnectFailed(_)) => Impression::Reset,
            Some(Closing::TlsFailed { detail, .. }) => Impression::TlsFailure(detail.clone()),
            None => Impression::Mute,
        }
    }

    /// What speaks here is not memcached, as far as it was heard.
    fn conclude_stranger(&mut self, connection: ConnectionId) {
        let is_at_limit = self
            .channel(connection)
            .is_some_and(|channel| channel.first_bytes.starts_with(AT_LIMIT.as_bytes()));
        if is_at_limit {
            self.conclude_at_limit();
            return;
        }
        let inside_tls = self.inside_tls;
        let closing = self.impression_of_closing();
        let impression = match self.channel(connection) {
            Some(channel) if !channel.first_bytes.is_empty() => {
                impression_of(&channel.first_bytes, &channel.sent)
            }
            _ => closing,
        };
        let impression = match impression {
            impression if inside_tls => Impression::InsideTls(Box::new(impression)),
            impression => impression,
        };
        if matches!(self.dialogue.version, Answer::Silent) {
            self.dialogue.version = Answer::Refused(String::new());
        }
        self.dialogue.impression = Some(impression);
        self.finish(Ending::Complete);
    }

    // ---- what comes in ----

    fn drain(&mut self, connection: ConnectionId, now: Duration) {
        // Bounded: every event consumes bytes that were fed.
        while !self.is_finished() {
            let Some(channel) = self.channel(connection) else {
                return;
            };
            if channel.is_binary {
                match channel.binary.next_event() {
                    Some(BinaryEvent::Reply(reply)) => self.on_binary(connection, reply, now),
                    Some(BinaryEvent::NotBinary) => self.on_not_binary(connection, now),
                    None => break,
                }
            } else {
                match channel.ascii.next_event() {
                    Some(event) => self.on_ascii(connection, event, now),
                    None => break,
                }
            }
        }
        self.check_limits(connection, now);
        self.check_unreadable(connection, now);
    }

    fn on_ascii(&mut self, connection: ConnectionId, event: AsciiEvent, now: Duration) {
        match self.stage {
            Stage::AsciiVersion(current) if current == connection => {
                self.on_version_reply(connection, event, now);
            }
            Stage::AsciiStats(current) if current == connection => {
                self.on_first_stats(connection, event, now);
            }
            // A late answer while the next step is under way.
            Stage::BinaryHello(_) | Stage::TlsHandshake(_)
                if self.version_connection == Some(connection) =>
            {
                self.on_version_reply(connection, event, now);
            }
            Stage::Examining => self.on_reply(connection, event, now),
            _ => {}
        }
    }

    fn on_version_reply(&mut self, connection: ConnectionId, event: AsciiEvent, now: Duration) {
        match event {
            AsciiEvent::Version(version) => {
                self.dialogue.version = Answer::Given(version);
                self.dialogue.executed.push(Question::Version);
                self.begin_examination(connection, now);
            }
            AsciiEvent::ClientError(text) if text == "unauthenticated" => {
                self.dialogue.protocol = Protocol::Ascii;
                self.dialogue.auth = Auth::Ascii;
                self.dialogue.version = Answer::Refused(format!("CLIENT_ERROR {text}"));
                self.finish(Ending::Complete);
            }
            AsciiEvent::Error | AsciiEvent::ClientError(_) | AsciiEvent::ServerError(_) => {
                // The words are memcached's, the version is not told: ask something else.
                self.dialogue.version = Answer::Refused(event.to_string());
                if self.options.depth == Depth::Sample {
                    self.options.depth = Depth::Scan;
                }
                self.stage = Stage::AsciiStats(connection);
                self.stage_until = now + self.options.reply_wait * 2;
                self.send_request(connection, &Request::Stats(StatsGroup::General));
            }
            AsciiEvent::Other(text) if text == AT_LIMIT => self.pause_at_limit(now),
            AsciiEvent::Stat { .. }
            | AsciiEvent::End
            | AsciiEvent::Value { .. }
            | AsciiEvent::MetaNoop
            | AsciiEvent::MetaEnd
            | AsciiEvent::Other(_) => self.conclude_stranger(connection),
        }
    }

    /// `version` was refused; a statistics table would still be memcached.
    fn on_first_stats(&mut self, connection: ConnectionId, event: AsciiEvent, now: Duration) {
        match event {
            AsciiEvent::Stat { .. } => {
                self.plan_examination(connection, now);
                // The table under way is the first answer of the examination.
                self.plan.retain(|question| *question != Question::Stats);
                self.collecting = Some(self.collection(Question::Stats, connection, now));
                self.stats_connection = Some(connection);
                self.on_reply(connection, event, now);
            }
            _ => self.conclude_stranger(connection),
        }
    }

    fn on_binary(&mut self, connection: ConnectionId, reply: BinaryReply, now: Duration) {
        match self.stage {
            Stage::BinaryHello(current) if current == connection => {
                self.on_binary_hello(connection, reply, now);
            }
            Stage::Examining => self.on_binary_stat(connection, reply, now),
            _ => {}
        }
    }

    fn on_binary_hello(&mut self, connection: ConnectionId, reply: BinaryReply, now: Duration) {
        match (reply.opcode, reply.status) {
            (opcode::VERSION, status::NO_ERROR) => {
                self.dialogue.protocol = Protocol::Binary;
                let version = String::from_utf8_lossy(&reply.value).into_owned();
                self.dialogue.version = Answer::Given(version);
                // It speaks binary: there is nothing else to try, and the rest may just be late.
                self.stage_until = self.deadline();
            }
            (opcode::NOOP, status::NO_ERROR) => {
                self.dialogue.protocol = Protocol::Binary;
                self.dialogue.executed.push(Question::BinaryNoop);
                self.binary_spoken = true;
                self.begin_examination(connection, now);
            }
            (opcode::NOOP, status::AUTH_ERROR) => {
                self.dialogue.protocol = Protocol::Binary;
                self.dialogue.auth = Auth::Sasl(self.mechanisms.take().unwrap_or_default());
                self.finish(Ending::Complete);
            }
            (opcode::SASL_LIST, status::NO_ERROR) => {
                let mechanisms = String::from_utf8_lossy(&reply.value);
                self.mechanisms = Some(mechanisms.split_whitespace().map(str::to_owned).collect());
            }
            _ => {}
        }
    }

    fn on_not_binary(&mut self, connection: ConnectionId, now: Duration) {
        match self.stage {
            Stage::BinaryHello(current) if current == connection => {
                self.conclude_stranger(connection);
            }
            Stage::Examining => {
                self.dialogue.anomalies.push(Anomaly::Other(
                    "bytes that are no binary packet after binary replies".to_owned(),
                ));
                self.handle_closed_while_examining(connection, Closing::Closed, now);
            }
            _ => {}
        }
    }

    /// Bytes that can never become a line of memcached need no further waiting.
    fn check_unreadable(&mut self, connection: ConnectionId, now: Duration) {
        if self.stage != Stage::AsciiVersion(connection) {
            return;
        }
        let Some(channel) = self.channel(connection) else {
            return;
        };
        if !is_tls_record(&channel.first_bytes) {
            return;
        }
        // A TLS server that answers plain text with an alert.
        self.close(connection);
        self.last_closing = Some(Closing::Closed);
        self.begin_tls(now);
    }

    // ---- examination ----

    fn begin_examination(&mut self, connection: ConnectionId, now: Duration) {
        self.plan_examination(connection, now);
        self.next_question(Some(connection), now);
    }

    /// Decides on the questions, and opens the connection for the second `stats`.
    fn plan_examination(&mut self, connection: ConnectionId, now: Duration) {
        if self.dialogue.protocol == Protocol::Unknown {
            self.dialogue.protocol = Protocol::Ascii;
        }
        self.dialogue.auth = Auth::None;
        self.dialogue.impression = None;
        if let Stage::BinaryHello(other) | Stage::TlsHandshake(other) = self.stage
            && other != connection
        {
            self.close(other);
        }
        self.stage = Stage::Examining;
        if self.options.depth == Depth::Sample {
            self.options.depth = Depth::Scan;
        }
        self.plan = if self.dialogue.protocol == Protocol::Binary {
            [
                Question::Stats,
                Question::StatsSettings,
                Question::StatsItems,
            ]
            .into()
        } else {
            [
                Question::TwoCommands,
                Question::Stats,
                Question::StatsSettings,
                Question::StatsItems,
                Question::StatsConns,
                Question::MetaNoop,
            ]
            .into()
        };
        if !self.options.over_tcp {
            self.plan
                .retain(|question| *question != Question::StatsConns);
        }
        if let Some(other) = self.connect(self.inside_tls) {
            self.second = Some(self.collection(Question::Stats, other, now));
        } else {
            self.second_done = true;
        }
    }

    fn collection(
        &self,
        question: Question,
        connection: ConnectionId,
        now: Duration,
    ) -> Collecting {
        let channel = self
            .channels
            .iter()
            .find(|channel| channel.id == connection);
        Collecting {
            question,
            connection,
            table: StatsTable::new(),
            counter: ConnectionCounter::default(),
            replies: 0,
            key: None,
            value_seen: false,
            bytes_at_start: channel.map_or(0, |channel| channel.bytes_received),
            rows_dropped_at_start: channel.map_or(0, Channel::rows_dropped),
            rows_left_out: false,
            strange_lines: 0,
            until: now + self.options.reply_wait * 2,
        }
    }

    /// Puts the next question on this connection, or on a new one if it is gone.
    fn next_question(&mut self, connection: Option<ConnectionId>, now: Duration) {
        debug_assert!(self.collecting.is_none(), "one question at a time");
        if self.closings_in_a_row >= CLOSINGS_MAX {
            self.plan.clear();
        }
        let Some(question) = self.plan.pop_front() else {
            self.finish_if_done(now);
            return;
        };
        let open = connection.filter(|id| {
            self.channels
                .iter()
                .any(|channel| channel.id == *id && channel.open)
        });
        match open {
            Some(connection) => {
                self.collecting = Some(self.collection(question, connection, now));
                self.ask(question, connection);
            }
            None => match self.connect(self.inside_tls) {
                // Asked when the connection is open (`resume_on`).
                Some(connection) => {
                    self.collecting = Some(self.collection(question, connection, now));
                }
                None => {
                    self.plan.clear();
                    self.finish_if_done(now);
                }
            },
        }
    }

    fn resume_on(&mut self, connection: ConnectionId) {
        if self
            .second
            .as_ref()
            .is_some_and(|second| second.connection == connection)
        {
            self.ask(Question::Stats, connection);
        } else if let Some(question) = self
            .collecting
            .as_ref()
            .filter(|collecting| collecting.connection == connection)
            .map(|collecting| collecting.question)
        {
            self.ask(question, connection);
        }
    }

    fn ask(&mut self, question: Question, connection: ConnectionId) {
        if question == Question::Stats && self.collecting_is(connection) {
            self.stats_connection.get_or_insert(connection);
        }
        if self.dialogue.protocol == Protocol::Binary {
            let group = match question {
                Question::StatsSettings => StatsGroup::Settings,
                Question::StatsItems => StatsGroup::Items,
                _ => StatsGroup::General,
            };
            let mut bytes = Vec::new();
            BinaryRequest::Stat(group).encode(OPAQUE, &mut bytes);
            self.send(connection, bytes);
            return;
        }
        let mut bytes = Vec::new();
        match question {
            Question::TwoCommands => {
                Request::Version.encode(&mut bytes);
                Request::Get(self.random_key.clone()).encode(&mut bytes);
            }
            Question::RandomKey => Request::Get(self.random_key.clone()).encode(&mut bytes),
            Question::Stats => Request::Stats(StatsGroup::General).encode(&mut bytes),
            Question::StatsSettings => Request::Stats(StatsGroup::Settings).encode(&mut bytes),
            Question::StatsItems => Request::Stats(StatsGroup::Items).encode(&mut bytes),
            Question::StatsConns => ConnectionsRequest::over_tcp().encode(&mut bytes),
            Question::MetaNoop => Request::MetaNoop.encode(&mut bytes),
            // The first three are asked in the triage, and names of keys by the sampler.
            Question::Version
            | Question::BinaryNoop
            | Question::BinaryStat
            | Question::KeySample => {
                Request::Version.encode(&mut bytes);
            }
        }
        self.send(connection, bytes);
    }

    fn collecting_is(&self, connection: ConnectionId) -> bool {
        self.collecting
            .as_ref()
            .is_some_and(|collecting| collecting.connection == connection)
    }

    fn on_reply(&mut self, connection: ConnectionId, event: AsciiEvent, now: Duration) {
        if self
            .second
            .as_ref()
            .is_some_and(|second| second.connection == connection)
        {
            self.on_second_reply(event, now);
            return;
        }
        let wait = self.options.reply_wait;
        let Some(collecting) = self
            .collecting
            .as_mut()
            .filter(|c| c.connection == connection)
        else {
            // Bytes that nothing asked for; counted when the dialogue is closed.
            self.count_unasked();
            return;
        };
        collecting.until = now + wait * 2;
        match collecting.question {
            Question::TwoCommands => {
                collecting.take_two_commands(&event);
                if collecting.replies < 2 {
                    collecting.until = now + wait;
                    return;
                }
            }
            Question::RandomKey => {
                if matches!(event, AsciiEvent::Value { .. }) {
                    collecting.value_seen = true;
                    return;
                }
                if event == AsciiEvent::End {
                    collecting.key = Some(collecting.key_probe());
                }
            }
            Question::MetaNoop => {
                self.dialogue.meta_noop = match event {
                    AsciiEvent::MetaNoop => Answer::Given(MetaNoop::Mn),
                    AsciiEvent::MetaEnd => Answer::Given(MetaNoop::En),
                    AsciiEvent::Error
                    | AsciiEvent::ClientError(_)
                    | AsciiEvent::ServerError(_)
                    | AsciiEvent::Other(_) => Answer::Given(MetaNoop::NotKnown),
                    // Answers some other question: says nothing about this one.
                    stray => Answer::Refused(stray.to_string()),
                };
            }
            _ => {
                let done = collecting.take_table_row(event);
                if !done {
                    return;
                }
            }
        }
        self.complete(now);
    }

    /// The question under way is answered in full, or refused.
    fn complete(&mut self, now: Duration) {
        let Some(collecting) = self.collecting.take() else {
            return;
        };
        let connection = collecting.connection;
        self.closings_in_a_row = 0;
        let whole = !self.has_lost_rows(&collecting);
        self.record(collecting, whole);
        self.next_question(Some(connection), now);
    }

    /// Whether rows of this reply went past the limits of the decoder or of the table.
    fn has_lost_rows(&self, collecting: &Collecting) -> bool {
        let dropped = self
            .channels
            .iter()
            .find(|channel| channel.id == collecting.connection)
            .map_or(0, Channel::rows_dropped);
        collecting.rows_left_out || dropped > collecting.rows_dropped_at_start
    }

    /// Keeps what a question brought; `whole` says whether its reply came to its end.
    fn record(&mut self, collecting: Collecting, whole: bool) {
        let refused = collecting.table.text(REFUSED).map(str::to_owned);
        match collecting.question {
            Question::TwoCommands => {
                self.dialogue.two_commands = match (collecting.replies, whole) {
                    (0, _) => Answer::Silent,
                    (replies, true) => Answer::Given(replies),
                    (replies, false) => Answer::Truncated(replies),
                };
                self.record_key(collecting.key);
                if collecting.key.is_none() {
                    self.plan.push_front(Question::RandomKey);
                }
            }
            Question::RandomKey => {
                self.record_key(collecting.key);
                if collecting.key.is_none() {
                    self.dialogue.random_key = if whole {
                        Answer::Refused("no END".to_owned())
                    } else {
                        Answer::Silent
                    };
                }
            }
            Question::MetaNoop => {
                if !whole {
                    self.dialogue.meta_noop = Answer::Silent;
                }
            }
            Question::StatsConns => {
                self.dialogue.connections = match (refused, whole) {
                    (Some(text), _) => Answer::Refused(text),
                    (None, true) => Answer::Given(collecting.counter.finish()),
                    (None, false) if collecting.replies == 0 => Answer::Silent,
                    (None, false) => Answer::Truncated(collecting.counter.finish()),
                };
            }
            question => {
                let rows = collecting.replies;
                let answer = match (refused, whole) {
                    (Some(text), _) => Answer::Refused(text),
                    (None, true) => Answer::Given(collecting.table),
                    (None, false) if rows == 0 => Answer::Silent,
                    (None, false) => Answer::Truncated(collecting.table),
                };
                if rows > 0
                    && !self
                        .dialogue
                        .executed
                        .contains(&self.executed_name(question))
                {
                    let name = self.executed_name(question);
                    self.dialogue.executed.push(name);
                }
                match question {
                    Question::StatsSettings => self.dialogue.settings = answer,
                    Question::StatsItems => self.dialogue.items = answer,
                    _ if self.dialogue.stats.was_asked() => self.dialogue.repeated_stats = answer,
                    _ => self.dialogue.stats = answer,
                }
            }
        }
    }

    fn executed_name(&self, question: Question) -> Question {
        match self.dialogue.protocol {
            Protocol::Binary => Question::BinaryStat,
            Protocol::Ascii | Protocol::Unknown => question,
        }
    }

    fn record_key(&mut self, key: Option<KeyProbe>) {
        let Some(key) = key else { return };
        self.dialogue.random_key = Answer::Given(key);
        self.dialogue.executed.push(Question::RandomKey);
    }

    fn on_second_reply(&mut self, event: AsciiEvent, now: Duration) {
        let wait = self.options.reply_wait;
        let Some(second) = self.second.as_mut() else {
            return;
        };
        second.until = now + wait * 2;
        if second.take_table_row(event) {
            self.complete_second(true, now);
        }
    }

    fn complete_second(&mut self, whole: bool, now: Duration) {
        let Some(second) = self.second.take() else {
            return;
        };
        let whole = whole && !self.has_lost_rows(&second);
        let refused = second.table.text(REFUSED).map(str::to_owned);
        self.dialogue.second_stats = match (refused, whole) {
            (Some(text), _) => Answer::Refused(text),
            (None, true) => Answer::Given(second.table),
            (None, false) if second.replies == 0 => Answer::Silent,
            (None, false) => Answer::Truncated(second.table),
        };
        self.second_done = true;
        self.close(second.connection);
        if self.collecting.is_none() && self.plan.is_empty() {
            self.finish_if_done(now);
        }
    }

    fn on_binary_stat(&mut self, connection: ConnectionId, reply: BinaryReply, now: Duration) {
        if reply.opcode != opcode::STAT {
            return;
        }
        let is_second = self
            .second
            .as_ref()
            .is_some_and(|second| second.connection == connection);
        let wait = self.options.reply_wait;
        let collecting = if is_second {
            self.second.as_mut()
        } else {
            self.collecting
                .as_mut()
                .filter(|collecting| collecting.connection == connection)
        };
        let Some(collecting) = collecting else { return };
        collecting.until = now + wait * 2;
        let last = collecting.take_binary_row(&reply);
        if !last {
            return;
        }
        if reply.status == status::NO_ERROR && !is_second {
            // Status 0 is the protocol's word that the command was executed, rows or not.
            let question = Question::BinaryStat;
            if !self.dialogue.executed.contains(&question) {
                self.dialogue.executed.push(question);
            }
        }
        if is_second {
            self.complete_second(true, now);
        } else {
            self.complete(now);
        }
    }

    fn handle_closed_while_examining(
        &mut self,
        connection: ConnectionId,
        closing: Closing,
        now: Duration,
    ) {
        if let Some(channel) = self.channel(connection) {
            channel.open = false;
        }
        if self
            .second
            .as_ref()
            .is_some_and(|second| second.connection == connection)
        {
            let empty = self
                .second
                .as_ref()
                .is_some_and(|second| second.replies == 0);
            self.complete_second(false, now);
            if empty {
                self.dialogue.second_stats = Answer::Closed;
            }
            return;
        }
        if !self.collecting_is(connection) {
            return;
        }
        let Some(collecting) = self.collecting.take() else {
            return;
        };
        let question = collecting.question;
        let answered = collecting.replies > 0 || collecting.value_seen;
        let failed_to_connect = matches!(closing, Closing::ConnectFailed(_));
        self.record(collecting, false);
        if !answered {
            self.closings_in_a_row += 1;
            self.mark_closed(question);
        } else if question == Question::TwoCommands {
            self.closings_in_a_row = 0;
        }
        if failed_to_connect {
            self.plan.clear();
        }
        self.next_question(None, now);
    }

    fn mark_closed(&mut self, question: Question) {
        match question {
            Question::TwoCommands => self.dialogue.two_commands = Answer::Closed,
            Question::RandomKey => self.dialogue.random_key = Answer::Closed,
            Question::MetaNoop => self.dialogue.meta_noop = Answer::Closed,
            Question::StatsConns => self.dialogue.connections = Answer::Closed,
            Question::StatsSettings => self.dialogue.settings = Answer::Closed,
            Question::StatsItems => self.dialogue.items = Answer::Closed,
            Question::Stats if self.dialogue.stats.value().is_some() => {
                self.dialogue.repeated_stats = Answer::Closed;
            }
            _ => self.dialogue.stats = Answer::Closed,
        }
    }

    fn time_out_collections(&mut self, now: Duration) {
        if self
            .second
            .as_ref()
            .is_some_and(|second| now >= second.until)
        {
            self.complete_second(false, now);
        }
        if self.is_finished() {
            return;
        }
        let late = self
            .collecting
            .as_ref()
            .is_some_and(|collecting| now >= collecting.until);
        if !late {
            return;
        }
        let Some(collecting) = self.collecting.take() else {
            return;
        };
        let connection = collecting.connection;
        let answered = collecting.question == Question::TwoCommands && collecting.replies > 0;
        self.record(collecting, false);
        // What comes later on this connection could be taken for another answer.
        self.close(connection);
        if !answered {
            self.closings_in_a_row += 1;
        }
        self.next_question(None, now);
    }

    /// Reading ends where no real reply goes.
    fn check_limits(&mut self, connection: ConnectionId, now: Duration) {
        if self.is_finished() {
            return;
        }
        let Some(received) = self
            .channel(connection)
            .map(|channel| channel.bytes_received)
        else {
            return;
        };
        let over = |collecting: &Option<Collecting>| {
            collecting.as_ref().is_some_and(|collecting| {
                let limit = match collecting.question {
                    Question::StatsConns => CONNS_BYTES_MAX,
                    _ => REPLY_BYTES_MAX,
                };
                collecting.connection == connection
                    && (received - collecting.bytes_at_start > limit
                        || collecting.table.len() >= TABLE_ROWS_MAX)
            })
        };
        if over(&self.second) {
            self.complete_second(false, now);
        }
        if over(&self.collecting) {
            self.dialogue
                .anomalies
                .push(Anomaly::ReplyLimit { bytes: received });
            if let Some(collecting) = self.collecting.take() {
                self.record(collecting, false);
            }
            self.close(connection);
            // Who floods one answer floods them all.
            self.plan.clear();
            self.finish_if_done(now);
        } else if self.stage != Stage::Examining && received > REPLY_BYTES_MAX {
            self.dialogue
                .anomalies
                .push(Anomaly::ReplyLimit { bytes: received });
            self.conclude_stranger(connection);
        }
    }

    /// After the plan: repeat `stats` if the two answers contradict each other, then end.
    fn finish_if_done(&mut self, now: Duration) {
        if self.stage != Stage::Examining || self.collecting.is_some() || !self.plan.is_empty() {
            return;
        }
        if !self.second_done {
            return;
        }
        if self.dialogue.repeated_stats == Answer::NotAsked && self.answers_contradict() {
            let first = self.stats_connection;
            let open = self
                .channels
                .iter()
                .any(|channel| Some(channel.id) == first && channel.open);
            match first {
                Some(connection) if open => {
                    self.plan.push_back(Question::Stats);
                    self.next_question(Some(connection), now);
                    return;
                }
                _ => self.dialogue.repeated_stats = Answer::Closed,
            }
        }
        if !self.begin_sampling(now) {
            self.listen_or_finish(now);
        }
    }

    // ---- names of keys ----

    /// Opens the connection for names of keys; false if none are asked for.
    fn begin_sampling(&mut self, now: Duration) -> bool {
        let Some(names_max) = self.options.key_names_max else {
            return false;
        };
        let channel = match (self.inside_tls, self.options.over_tcp) {
            (true, _) => wire::Channel::Tls,
            (false, true) => wire::Channel::Tcp,
            (false, false) => wire::Channel::Unix,
        };
        let sampler = match Sampler::plan(&self.dialogue, names_max, channel) {
            Ok(sampler) => sampler,
            Err(why) => {
                self.dialogue.unsampled = Some(why);
                return false;
            }
        };
        self.close_all();
        let Some(connection) = self.connect(self.inside_tls) else {
            return false;
        };
        self.sampler = Some(sampler);
        self.stage = Stage::Sampling(connection);
        self.sample_until = now + SAMPLE_MAX;
        self.stage_until = now + CONNECT_WAIT;
        true
    }

    fn go_on_sampling(&mut self, connection: ConnectionId, step: Step, now: Duration) {
        // What drips ends with the sample's own time.
        self.stage_until = self.sample_until.min(now + self.options.reply_wait * 2);
        match step {
            Step::Wait => {}
            Step::Ask(request) => self.send(connection, request),
            Step::Done => self.conclude_sampling(None),
            Step::Overrun => self.conclude_sampling(Some(Cut::Overrun)),
        }
    }

    fn conclude_sampling(&mut self, cut: Option<Cut>) {
        self.keep_sample(cut);
        self.finish(Ending::Complete);
    }

    fn keep_sample(&mut self, cut: Option<Cut>) {
        let Some(sampler) = self.sampler.take() else {
            return;
        };
        if sampler.was_executed() {
            self.dialogue.executed.push(Question::KeySample);
        }
        self.dialogue.key_sample = sampler.into_answer(cut);
    }

    /// A version alone may be a greeting that this server sends to everybody, asked or not. It
    /// counts as an answer only if a connection on which nothing is asked stays silent.
    fn listen_or_finish(&mut self, now: Duration) {
        let only_version = self.dialogue.executed == [Question::Version];
        let listening = if only_version {
            self.connect(self.inside_tls)
        } else {
            None
        };
        match listening {
            Some(connection) => {
                self.stage = Stage::Listening(connection);
                self.stage_until = now + self.options.reply_wait;
            }
            None => self.finish(Ending::Complete),
        }
    }

    /// It speaks without being asked, so nothing shows that it executes anything.
    fn conclude_greeter(&mut self, connection: ConnectionId) {
        let said = self
            .channel(connection)
            .map(|channel| channel.first_bytes.clone())
            .unwrap_or_default();
        let impression = impression_of(&said, b"");
        self.dialogue.executed.clear();
        self.dialogue.protocol = Protocol::Unknown;
        self.dialogue.auth = Auth::Unknown;
        self.dialogue.version = Answer::Refused("said before it was asked".to_owned());
        self.dialogue.impression = Some(if self.inside_tls {
            Impression::InsideTls(Box::new(impression))
        } else {
            impression
        });
        self.finish(Ending::Complete);
    }

    fn answers_contradict(&self) -> bool {
        let (Some(first), Some(second)) = (
            self.dialogue.stats.value(),
            self.dialogue.second_stats.value(),
        ) else {
            return false;
        };
        contradict(first, second)
    }

    /// Keeps what was collected when there is no time left.
    fn abandon_collections(&mut self) {
        if let Some(collecting) = self.collecting.take() {
            self.record(collecting, false);
        }
        if let Some(second) = self.second.take()
            && second.replies > 0
        {
            self.dialogue.second_stats = Answer::Truncated(second.table);
        }
        self.keep_sample(Some(Cut::Silent));
        self.plan.clear();
    }

    fn finish(&mut self, ending: Ending) {
        let is_wished = self.options.key_names_max.is_some() && !self.dialogue.executed.is_empty();
        if is_wished && !self.dialogue.key_sample.was_asked() {
            self.dialogue.unsampled.get_or_insert(Unsampled::NoTime);
        }
        self.dialogue.ending = match ending {
            Ending::Complete if self.options.depth == Depth::Sample => Ending::Sampled,
            ending => ending,
        };
        self.stage = Stage::Finished;
        if !matches!(
            self.dialogue.auth,
            Auth::None | Auth::Ascii | Auth::TlsClientCertificate
        ) && self.dialogue.protocol != Protocol::Binary
        {
            self.dialogue.auth = Auth::Unknown;
        }
        self.close_all();
    }

    // ---- connections ----

    fn close_all(&mut self) {
        let open: Vec<ConnectionId> = self
            .channels
            .iter()
            .filter(|channel| !channel.done)
            .map(|channel| channel.id)
            .collect();
        for connection in open {
            self.close(connection);
        }
    }

    fn channel(&mut self, connection: ConnectionId) -> Option<&mut Channel> {
        self.channels
            .iter_mut()
            .find(|channel| channel.id == connection)
    }

    fn connect(&mut self, tls: bool) -> Option<ConnectionId> {
        let number = u8::try_from(self.channels.len())
            .ok()
            .filter(|n| *n < CONNECTIONS_MAX)?;
        let connection = ConnectionId(number);
        let mut channel = Channel::new(connection);
        channel.is_binary = self.binary_spoken;
        self.channels.push(channel);
        self.outputs
            .push_back(StreamOutput::Connect { connection, tls });
        Some(connection)
    }

    fn close(&mut self, connection: ConnectionId) {
        let Some(channel) = self.channel(connection) else {
            return;
        };
        if !channel.done {
            channel.done = true;
            channel.open = false;
            self.outputs.push_back(StreamOutput::Close { connection });
        }
    }

    fn send_request(&mut self, connection: ConnectionId, request: &Request) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.send(connection, bytes);
    }

    fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        if let Some(channel) = self.channel(connection) {
            if channel.sent.len() < FIRST_BYTES_MAX {
                channel.sent.extend_from_slice(&bytes);
            }
            self.outputs
                .push_back(StreamOutput::Send { connection, bytes });
        }
    }

    fn count_unasked(&mut self) {
        for anomaly in &mut self.dialogue.anomalies {
            if let Anomaly::UnaskedBytes { bytes } = anomaly {
                *bytes += 1;
                return;
            }
        }
        self.dialogue
            .anomalies
            .push(Anomaly::UnaskedBytes { bytes: 1 });
    }

    /// Turns what the decoders noticed into anomalies.
    fn note_anomalies(&mut self) {
        let mut overlong = false;
        let mut not_text = false;
        for channel in &self.channels {
            let seen = channel.ascii.anomalies();
            overlong |= seen.overlong_lines > 0;
            not_text |= seen.not_text;
        }
        if overlong {
            self.dialogue.anomalies.push(Anomaly::OverlongLine);
        }
        if not_text && !self.dialogue.executed.is_empty() {
            self.dialogue.anomalies.push(Anomaly::NotText);
        }
        if let Some(detail) = self.tls_failure.take() {
            self.dialogue
                .anomalies
                .push(Anomaly::Other(format!("TLS: {detail}")));
        }
        note_numbers(&mut self.dialogue);
    }
}

/// Statistics that every implementation states as integers; anything else is an anomaly.
const INTEGER_STATISTICS: [&str; 8] = [
    "pid",
    "time",
    "curr_items",
    "bytes",
    "limit_maxbytes",
    "curr_connections",
    "total_connections",
    "threads",
];

/// Notes numbers that are none, or that 64 bits cannot hold.
pub(crate) fn note_numbers(dialogue: &mut Dialogue) {
    let Some(stats) = dialogue.stats.value() else {
        return;
    };
    let odd: Vec<Anomaly> = INTEGER_STATISTICS
        .iter()
        .filter(|name| stats.text(name).is_some() && stats.integer(name).is_none())
        .map(|name| Anomaly::NotANumber {
            name: (*name).to_owned(),
        })
        .collect();
    dialogue.anomalies.extend(odd);
}

/// Row name under which a refusal is remembered while a table is collected. No server can send it,
/// because names from the wire hold no space.
const REFUSED: &str = "refused by the peer";

impl Collecting {
    fn key_probe(&self) -> KeyProbe {
        if self.value_seen {
            KeyProbe::Hit
        } else {
            KeyProbe::Miss
        }
    }

    fn take_two_commands(&mut self, event: &AsciiEvent) {
        match event {
            AsciiEvent::Value { .. } => self.value_seen = true,
            AsciiEvent::End => {
                self.key = Some(self.key_probe());
                self.replies += 1;
            }
            _ => self.replies += 1,
        }
    }

    /// Takes a line of a statistics reply; true when it was the last.
    fn take_table_row(&mut self, event: AsciiEvent) -> bool {
        match event {
            AsciiEvent::Stat { name, value } => {
                self.replies += 1;
                if self.question == Question::StatsConns {
                    self.counter.add_row(&name, &value);
                } else if self.table.len() < TABLE_ROWS_MAX {
                    self.table.push(name, value);
                } else {
                    self.rows_left_out = true;
                }
                false
            }
            AsciiEvent::End => true,
            AsciiEvent::Error | AsciiEvent::ClientError(_) | AsciiEvent::ServerError(_) => {
                self.table.push(REFUSED, event.to_string());
                true
            }
            other => {
                self.strange_lines += 1;
                if self.strange_lines > STRANGE_LINES_MAX {
                    self.table.push(REFUSED, other.to_string());
                    return true;
                }
                false
            }
        }
    }

    /// Takes a STAT packet; true when it was the last (an empty key ends the list).
    fn take_binary_row(&mut self, reply: &BinaryReply) -> bool {
        if reply.status != status::NO_ERROR {
            let text = String::from_utf8_lossy(&reply.value).into_owned();
            self.table.push(REFUSED, text);
            return true;
        }
        if reply.key.is_empty() {
            return true;
        }
        self.replies += 1;
        if self.table.len() < TABLE_ROWS_MAX {
            self.table.push(
                String::from_utf8_lossy(&reply.key).into_owned(),
                String::from_utf8_lossy(&reply.value).into_owned(),
            );
        } else {
            self.rows_left_out = true;
        }
        false
    }
}

impl Channel {
    fn new(id: ConnectionId) -> Channel {
        Channel {
            id,
            open: false,
            done: false,
            is_binary: false,
            ascii: AsciiDecoder::with_rows_max(REPLY_ROWS_MAX),
            binary: BinaryDecoder::new(),
            sent: Vec::new(),
            first_bytes: Vec::new(),
            bytes_received: 0,
        }
    }

    fn rows_dropped(&self) -> u64 {
        self.ascii.anomalies().rows_dropped
    }

    /// Whether what came is memcached's as far as it goes, so that the rest may just be late.
    fn has_begun_to_answer(&self) -> bool {
        if self.is_binary {
            return self.first_bytes.first() == Some(&RESPONSE_MAGIC);
        }
        let mut words = self
            .first_bytes
            .split(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
        let word = words.next().unwrap_or_default();
        let is_whole = words.next().is_some();
        !word.is_empty()
            && REPLY_WORDS.iter().any(|reply| {
                if is_whole {
                    word == *reply
                } else {
                    reply.starts_with(word)
                }
            })
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.bytes_received += bytes.len() as u64;
        let room = FIRST_BYTES_MAX.saturating_sub(self.first_bytes.len());
        self.first_bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.is_binary {
            self.binary.feed(bytes)
        } else {
            self.ascii.feed(bytes)
        }
    }
}
