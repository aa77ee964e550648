//! Memcached itself, as far as a reader can tell: every version from 1.2.8 to 1.6.45, configured
//! as administrators do, and empty-handed towards anyone who asks for a key.

use std::collections::BTreeMap;

use super::binary::{self, Parsed};
use super::frame;
use super::journal::{Journal, is_harmless_line};
use super::rows::VersionNumber;
use super::statistics::{Counters, Statistics};
use super::{Act, DatagramAct, Personality, StreamId, take_line};

/// Versions 1.4.4 and newer close a connection that sends so much without a line end.
const LINE_BYTES_MAX: usize = 2048;
/// Older versions wait; these servers wait no longer than this.
const BUFFER_BYTES_MAX: usize = 1 << 16;
/// The longest key.
const KEY_BYTES_MAX: usize = 250;
/// What Debian's cyrus-sasl offers.
const SASL_MECHANISMS: &[u8] = b"SCRAM-SHA-512 SCRAM-SHA-384 SCRAM-SHA-256 SCRAM-SHA-224 \
SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN ANONYMOUS";
const UNAUTHENTICATED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";
const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const ERROR: &[u8] = b"ERROR\r\n";

/// What a server demands before it serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    #[default]
    Nothing,
    /// SASL over the binary protocol (`-S`).
    Sasl,
    /// A user and password over the ASCII protocol (`-Y`).
    Ascii,
}

/// Which protocols a server speaks over TCP (`-B`). Over UDP it always speaks both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindingProtocol {
    /// Whichever the client begins with.
    #[default]
    Auto,
    /// ASCII only.
    Ascii,
    /// Binary only.
    Binary,
}

/// Whether a server was built with TLS and uses it. The encryption itself is the host's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsBuild {
    /// Built without TLS: `stats settings` has no `ssl_` rows.
    #[default]
    Without,
    /// Built with TLS, not used.
    Off,
    /// Used (`-Z`).
    On,
}

/// The items of one slab class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredItems {
    /// Slab class, from 1.
    pub class: u8,
    /// How many items.
    pub count: u64,
    /// Their size together, in bytes.
    pub bytes: u64,
}

/// How a server was built, started and filled.
#[derive(Clone, Debug)]
pub struct GenuineConfig {
    /// What it calls itself, such as `1.6.18`; its first three numbers decide how it behaves.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it was started, seconds since the Unix epoch.
    pub started_unix_s: u64,
    /// TCP port of its settings.
    pub tcp_port: u16,
    /// UDP port of its settings; 0: off, and no datagram is answered.
    pub udp_port: u16,
    /// Its `-l`; `None`: not given, printed as `NULL`.
    pub inter: Option<String>,
    /// What it demands.
    pub demand: Demand,
    /// Its `-B`.
    pub protocol: BindingProtocol,
    /// Its TLS.
    pub tls: TlsBuild,
    /// Its items, by slab class.
    pub items: Vec<StoredItems>,
    /// Its `-m`, in bytes.
    pub memory_limit_bytes: u64,
    /// Its `-c`.
    pub max_connections: u32,
    /// Its `-t`.
    pub threads: u32,
    /// Whether `flush_all` works (no `-F`).
    pub flush_enabled: bool,
    /// Whether dumps work (no `-X`).
    pub dump_enabled: bool,
    /// Whether `shutdown` works (`-A`).
    pub shutdown_enabled: bool,
    /// Peers of other connections, as `stats conns` prints them: `tcp:10.0.0.5:40312`.
    pub peers: Vec<String>,
}

impl GenuineConfig {
    /// An empty server of this version that was started without options but `-U 0`.
    pub fn new(version: &str) -> GenuineConfig {
        GenuineConfig {
            version: version.to_owned(),
            pid: 1234,
            started_unix_s: 0,
            tcp_port: 11211,
            udp_port: 0,
            inter: None,
            demand: Demand::default(),
            protocol: BindingProtocol::default(),
            tls: TlsBuild::default(),
            items: Vec::new(),
            memory_limit_bytes: 64 << 20,
            max_connections: 1024,
            threads: 4,
            flush_enabled: true,
            dump_enabled: true,
            shutdown_enabled: false,
            peers: Vec::new(),
        }
    }
}

/// A running memcached.
#[derive(Debug)]
pub struct Genuine {
    config: GenuineConfig,
    version: VersionNumber,
    streams: BTreeMap<StreamId, Conversation>,
    counters: Counters,
    journal: Journal,
}

/// The state of one connection.
#[derive(Clone, Debug, Default)]
struct Conversation {
    buffer: Vec<u8>,
    /// Decided by the first byte.
    is_binary: Option<bool>,
}

/// What came of looking at a buffer once.
enum Step {
    NeedMore,
    Reply(Vec<u8>),
    /// Say this, then close.
    Close(Vec<u8>),
}

impl Genuine {
    /// Starts the server.
    pub fn new(config: GenuineConfig) -> Genuine {
        let version = number_of(&config.version);
        Genuine {
            config,
            version,
            streams: BTreeMap::new(),
            counters: Counters::default(),
            journal: Journal::default(),
        }
    }

    /// What the server was asked, for tests.
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    fn statistics(&self, now_us: u64) -> Statistics<'_> {
        Statistics {
            config: &self.config,
            version: self.version,
            counters: &self.counters,
            streams: self.streams.keys().copied().collect(),
            now_unix_s: now_us / 1_000_000,
        }
    }

    fn step(&mut self, conversation: &mut Conversation, now_us: u64) -> Step {
        let Some(first) = conversation.buffer.first() else {
            return Step::NeedMore;
        };
        let is_binary = *conversation.is_binary.get_or_insert(
            match (self.config.demand, self.config.protocol) {
                (Demand::Sasl, _) | (_, BindingProtocol::Binary) => true,
                (Demand::Ascii, _) | (_, BindingProtocol::Ascii) => false,
                _ => *first == binary::REQUEST_MAGIC && self.version >= (1, 4, 0),
            },
        );
        if is_binary {
            return match binary::parse(&conversation.buffer) {
                Parsed::NeedMore => Step::NeedMore,
                Parsed::Invalid => Step::Close(Vec::new()),
                Parsed::Request(request, taken) => {
                    conversation.buffer.drain(..taken);
                    let demands_sasl = self.config.demand == Demand::Sasl;
                    self.answer_binary(&request, demands_sasl, now_us)
                }
            };
        }
        let hangs_up_on_binary = self.config.demand == Demand::Ascii && self.version >= (1, 6, 40);
        if hangs_up_on_binary && *first == binary::REQUEST_MAGIC {
            return Step::Close(Vec::new());
        }
        let Some(line) = take_line(&mut conversation.buffer) else {
            let limit = if self.version >= (1, 4, 4) {
                LINE_BYTES_MAX
            } else {
                BUFFER_BYTES_MAX
            };
            let is_over = conversation.buffer.len() > limit;
            return if is_over {
                Step::Close(Vec::new())
            } else {
                Step::NeedMore
            };
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        if self.config.demand == Demand::Ascii {
            return self.demand_ascii(&line);
        }
        self.answer_line(&line, now_us)
    }

    /// `-Y`: nothing is answered before a `set` with the password, not even `version`. The parser
    /// of 1.6.40 and newer hangs up on what it cannot let in.
    fn demand_ascii(&mut self, line: &str) -> Step {
        self.journal.add(line.to_owned(), is_harmless_line(line));
        if self.version >= (1, 6, 40) && matches!(line, "mn" | "quit") {
            return Step::Close(Vec::new());
        }
        Step::Reply(UNAUTHENTICATED.to_vec())
    }

    fn answer_line(&mut self, line: &str, now_us: u64) -> Step {
        self.journal.add(line.to_owned(), is_harmless_line(line));
        let is_new_parser = self.version >= (1, 6, 40);
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let reply = match words[..] {
            ["version"] => format!("VERSION {}\r\n", self.config.version).into_bytes(),
            ["stats", ref rest @ ..] => self.stats_reply(rest, now_us),
            ["get" | "gets", ref keys @ ..] if !keys.is_empty() => self.miss(keys),
            ["mn"] if self.version >= (1, 6, 0) => b"MN\r\n".to_vec(),
            ["mn"] if self.version >= (1, 5, 19) => b"EN\r\n".to_vec(),
            ["me", _] if self.version >= (1, 5, 19) => b"EN\r\n".to_vec(),
            ["quit"] => return Step::Close(Vec::new()),
            // Since 1.5.5 a web client is hung up on.
            ["GET" | "POST", _, ..] if self.version >= (1, 5, 5) => return Step::Close(Vec::new()),
            ["set" | "add" | "replace" | "append" | "prepend" | "cas", ..] => {
                b"SERVER_ERROR out of memory storing object\r\n".to_vec()
            }
            [] | ["get" | "gets"] if is_new_parser => BAD_FORMAT.to_vec(),
            [word] if word.chars().count() < 2 && is_new_parser => BAD_FORMAT.to_vec(),
            [] | [_, ..] => ERROR.to_vec(),
        };
        Step::Reply(reply)
    }

    fn stats_reply(&self, arguments: &[&str], now_us: u64) -> Vec<u8> {
        let Some(rows) = self.statistics(now_us).rows(&arguments.join(" ")) else {
            return ERROR.to_vec();
        };
        let mut reply = String::new();
        for (name, value) in rows {
            reply.push_str(&format!("STAT {name} {value}\r\n"));
        }
        reply.push_str("END\r\n");
        reply.into_bytes()
    }

    fn miss(&mut self, keys: &[&str]) -> Vec<u8> {
        if keys.iter().any(|key| key.len() > KEY_BYTES_MAX) {
            return BAD_FORMAT.to_vec();
        }
        self.counters.gets += keys.len() as u64;
        b"END\r\n".to_vec()
    }

    fn answer_binary(
        &mut self,
        request: &binary::Request,
        demands_sasl: bool,
        now_us: u64,
    ) -> Step {
        let key = String::from_utf8_lossy(&request.key);
        let text = format!("binary 0x{:02x} {key}", request.opcode);
        self.journal
            .add(text.trim_end().to_owned(), binary::is_harmless(request));
        if demands_sasl && !matches!(request.opcode, binary::VERSION | binary::SASL_LIST) {
            self.counters.auth_errors += 1;
            return Step::Close(request.reply_auth_failure());
        }
        let reply = match request.opcode {
            binary::VERSION => {
                request.reply(binary::STATUS_OK, b"", self.config.version.as_bytes())
            }
            binary::NOOP => request.reply(binary::STATUS_OK, b"", b""),
            binary::SASL_LIST if demands_sasl => {
                request.reply(binary::STATUS_OK, b"", SASL_MECHANISMS)
            }
            binary::STAT => match self.statistics(now_us).rows(&key) {
                Some(rows) => request.reply_rows(&rows),
                None => request.reply(binary::STATUS_NOT_FOUND, b"", b"Not found"),
            },
            binary::GET | binary::GET_WITH_KEY => {
                self.counters.gets += 1;
                request.reply(binary::STATUS_NOT_FOUND, b"", b"Not found")
            }
            binary::GET_QUIETLY | binary::GET_WITH_KEY_QUIETLY => {
                self.counters.gets += 1;
                Vec::new()
            }
            binary::QUIT => return Step::Close(request.reply(binary::STATUS_OK, b"", b"")),
            binary::QUIT_QUIETLY => return Step::Close(Vec::new()),
            _ => request.reply_unknown(),
        };
        Step::Reply(reply)
    }

    /// Whether datagrams are answered, and without credentials: `-Y` never has UDP, and SASL has
    /// guarded it only since 1.5.20 (by refusing to start with both).
    fn speaks_udp(&self) -> bool {
        let is_guarded = match self.config.demand {
            Demand::Nothing => false,
            Demand::Sasl => self.version >= (1, 5, 20),
            Demand::Ascii => true,
        };
        self.config.udp_port != 0 && !is_guarded
    }
}

impl Personality for Genuine {
    fn stream_opened(&mut self, stream: StreamId, _: u64) -> Vec<Act> {
        self.counters.connections += 1;
        self.streams.insert(stream, Conversation::default());
        Vec::new()
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(held) = self.streams.get_mut(&stream) else {
            return acts;
        };
        let mut conversation = std::mem::take(held);
        conversation.buffer.extend_from_slice(bytes);
        self.counters.bytes_read += bytes.len() as u64;
        loop {
            match self.step(&mut conversation, now_us) {
                Step::NeedMore => break,
                Step::Reply(reply) => acts.push(Act::Send(reply)),
                Step::Close(last_words) => {
                    acts.push(Act::Send(last_words));
                    acts.push(Act::Close);
                    conversation.buffer.clear();
                    break;
                }
            }
        }
        acts.retain(|act| !matches!(act, Act::Send(bytes) if bytes.is_empty()));
        self.counters.bytes_written += super::sent(&acts).len() as u64;
        self.streams.insert(stream, conversation);
        acts
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    fn datagram(&mut self, datagram: &[u8], now_us: u64) -> Vec<DatagramAct> {
        if !self.speaks_udp() {
            return Vec::new();
        }
        let Some((frame, payload)) = frame::parse(datagram) else {
            return Vec::new();
        };
        self.counters.bytes_read += datagram.len() as u64;
        if frame.total != 1 {
            // Kills 1.6.0 to 1.6.7 (CVE-2022-48571); all others drop it.
            self.journal
                .add(format!("udp frame with total {}", frame.total), false);
            return Vec::new();
        }
        let id = frame.request_id;
        let total_is_too_small = ((1, 6, 0)..(1, 6, 10)).contains(&self.version);
        let mut acts = Vec::new();
        if payload.first() == Some(&binary::REQUEST_MAGIC) && self.version >= (1, 4, 0) {
            if let Parsed::Request(request, _) = binary::parse(payload)
                && let Step::Reply(reply) = self.answer_binary(&request, false, now_us)
            {
                acts.extend(frame::split(id, &reply, total_is_too_small));
            }
            return acts;
        }
        let mut lines = payload.to_vec();
        // Each command is answered by itself, its datagrams counted from 0 again.
        while let Some(line) = take_line(&mut lines) {
            match self.answer_line(&String::from_utf8_lossy(&line), now_us) {
                Step::Reply(reply) => acts.extend(frame::split(id, &reply, total_is_too_small)),
                // `quit`: since 1.6.0 a bare frame with total 0, before nothing.
                Step::Close(_) if self.version >= (1, 6, 0) => {
                    acts.push(DatagramAct::now(frame::framed(id, 0, 0, b"")));
                }
                Step::Close(_) | Step::NeedMore => {}
            }
        }
        self.counters.bytes_written += acts.iter().map(|act| act.bytes.len() as u64).sum::<u64>();
        acts
    }
}

/// The first three numbers of a version; what is missing or no number counts as 0.
fn number_of(version: &str) -> VersionNumber {
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use testkit::transcripts;

    use super::*;
    use crate::behaviour::sent;

    const NOW_US: u64 = 1_800_000_000_000_000;
    const RECORDED: [&str; 17] = [
        "1.2.8",
        "1.4.0",
        "1.4.4",
        "1.4.10",
        "1.4.13",
        "1.4.15",
        "1.4.33",
        "1.4.34",
        "1.5.0",
        "1.5.5",
        "1.5.6",
        "1.6.0",
        "1.6.9",
        "1.6.18-debian",
        "1.6.21",
        "1.6.38",
        "1.6.45",
    ];

    /// A server like the one that was recorded: UDP on, nine items.
    fn like(name: &str) -> Genuine {
        let mut config = GenuineConfig::new(name.trim_end_matches("-debian"));
        config.started_unix_s = NOW_US / 1_000_000 - 8;
        config.udp_port = 11211;
        config.inter = Some("127.0.0.1".into());
        config.items = vec![StoredItems {
            class: 1,
            count: 4,
            bytes: 293,
        }];
        if name.ends_with("-debian") {
            config.tls = TlsBuild::Off;
        }
        Genuine::new(config)
    }

    fn ask(server: &mut Genuine, request: &[u8]) -> Vec<u8> {
        let stream = server.counters.connections;
        server.stream_opened(stream, NOW_US);
        let reply = sent(&server.stream_bytes(stream, request, NOW_US));
        server.stream_closed(stream);
        reply
    }

    /// The names of the rows of a reply, without the number of a slab class or descriptor.
    fn names(reply: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(reply).into_owned();
        let mut names: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("STAT ")?.split(' ').next())
            .map(|name| {
                let parts = name.split(':').filter(|part| part.parse::<u32>().is_err());
                parts.collect::<Vec<_>>().join(":")
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    #[test]
    fn every_version_prints_the_rows_it_printed_when_recorded() {
        for name in RECORDED {
            let transcript = transcripts::by_name(name);
            for case in [
                "stats",
                "stats-settings",
                "stats-items",
                "stats-slabs",
                "stats-conns",
            ] {
                let request = format!("{}\r\n", case.replace('-', " "));
                let reply = ask(&mut like(name), request.as_bytes());
                assert_eq!(
                    names(&reply),
                    names(transcript.received(case)),
                    "{name} {case}"
                );
            }
        }
    }

    #[test]
    fn every_version_answers_short_questions_as_recorded() {
        let cases = [
            "version",
            "stats-bogus",
            "get-miss",
            "mn",
            "unknown",
            "bin-version",
            "bin-noop",
            "bin-sasl-list",
        ];
        for name in RECORDED {
            for case in cases {
                // 1.2.8 read the binary NOOP as a line, as it contains a line end.
                let transcript = transcripts::by_name(name);
                let request = transcript
                    .exchange("tcp", case)
                    .unwrap()
                    .sent
                    .clone()
                    .unwrap();
                let reply = ask(&mut like(name), &request);
                assert_eq!(reply, transcript.received(case), "{name} {case}");
            }
        }
    }

    #[test]
    fn servers_that_demand_something_answer_as_recorded() {
        let with = |version: &str, demand, protocol| {
            let config = GenuineConfig {
                demand,
                protocol,
                ..GenuineConfig::new(version)
            };
            Genuine::new(config)
        };
        let cases = [
            (
                "auth-1.4.15-S",
                "1.4.15",
                Demand::Sasl,
                BindingProtocol::Auto,
            ),
            (
                "auth-1.6.45-S",
                "1.6.45",
                Demand::Sasl,
                BindingProtocol::Auto,
            ),
            (
                "auth-1.6.45-Y",
                "1.6.45",
                Demand::Ascii,
                BindingProtocol::Auto,
            ),
            (
                "B-ascii-1.6.45",
                "1.6.45",
                Demand::Nothing,
                BindingProtocol::Ascii,
            ),
            (
                "B-binary-1.6.45",
                "1.6.45",
                Demand::Nothing,
                BindingProtocol::Binary,
            ),
            (
                "B-binary-1.4.15",
                "1.4.15",
                Demand::Nothing,
                BindingProtocol::Binary,
            ),
        ];
        for (name, version, demand, protocol) in cases {
            let transcript = transcripts::by_name(name);
            for exchange in transcript
                .exchanges
                .iter()
                .filter(|one| one.transport == "tcp")
            {
                let is_about_values = exchange.case == "metadump"
                    || exchange
                        .received
                        .as_ref()
                        .is_some_and(|reply| reply.len() > 200);
                if !is_about_values {
                    let mut server = with(version, demand, protocol);
                    let reply = ask(&mut server, exchange.sent.as_ref().unwrap());
                    let recorded = exchange.received.as_ref().unwrap();
                    assert_eq!(&reply, recorded, "{name} {}", exchange.case);
                }
            }
        }
    }

    #[test]
    fn udp_replies_are_cut_as_recorded() {
        for name in RECORDED {
            let transcript = transcripts::by_name(name);
            for case in ["version", "stats", "stats-settings", "bin-version"] {
                let Some(exchange) = transcript.exchange("udp", case) else {
                    assert_eq!((name, case), ("1.6.21", "bin-version"), "the only gap");
                    continue;
                };
                let acts = like(name).datagram(exchange.sent.as_ref().unwrap(), NOW_US);
                let recorded = exchange.datagrams.as_ref().unwrap();
                let frames = |datagrams: Vec<&[u8]>| -> Vec<Vec<u8>> {
                    datagrams
                        .iter()
                        .map(|datagram| datagram[..8].to_vec())
                        .collect()
                };
                assert_eq!(
                    frames(acts.iter().map(|act| &act.bytes[..]).collect()),
                    frames(recorded.iter().map(|datagram| &datagram[..]).collect()),
                    "{name} {case}"
                );
            }
        }
    }

    #[test]
    fn frames_that_are_not_alone_are_dropped_and_noted() {
        let mut server = like("1.6.0");
        for total in [0, 2] {
            let datagram = frame::framed([1, 2], 0, total, b"version\r\n");
            assert_eq!(server.datagram(&datagram, NOW_US), []);
        }
        assert_eq!(server.journal().harmful().len(), 2);
        for silent in [
            &b"version\r\n"[..],
            &[0; 7],
            &frame::framed([1, 2], 0, 1, b"version"),
        ] {
            assert_eq!(server.datagram(silent, NOW_US), []);
        }
        // Sequence number and reserved field are not looked at, nor is the line end CR LF needed.
        let mut odd = frame::framed([1, 2], 9, 1, b"stats\n");
        odd[6..8].copy_from_slice(&[255, 255]);
        assert_eq!(server.datagram(&odd, NOW_US).len(), 2);
    }

    #[test]
    fn sasl_did_not_guard_udp_before_1_5_20() {
        for (version, datagrams) in [("1.4.15", 1), ("1.5.19", 1), ("1.5.20", 0)] {
            let mut config = GenuineConfig::new(version);
            config.demand = Demand::Sasl;
            config.udp_port = 11211;
            let question = frame::framed([1, 2], 0, 1, b"version\r\n");
            let acts = Genuine::new(config).datagram(&question, NOW_US);
            assert_eq!(acts.len(), datagrams, "{version}");
        }
    }

    #[test]
    fn two_commands_and_split_commands_are_both_understood() {
        let mut server = like("1.6.18-debian");
        assert_eq!(
            ask(&mut server, b"version\r\nget a\r\n"),
            b"VERSION 1.6.18\r\nEND\r\n"
        );
        server.stream_opened(99, NOW_US);
        assert_eq!(server.stream_bytes(99, b"ver", NOW_US), []);
        assert_eq!(
            sent(&server.stream_bytes(99, b"sion\r\n", NOW_US)),
            b"VERSION 1.6.18\r\n"
        );
    }

    #[test]
    fn counters_rise_and_the_start_time_stays() {
        let mut server = like("1.5.6");
        let value = |reply: &[u8], name: &str| -> u64 {
            let text = String::from_utf8_lossy(reply).into_owned();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
            line.unwrap().parse().unwrap()
        };
        server.stream_opened(50, NOW_US);
        server.stream_opened(51, NOW_US);
        let first = sent(&server.stream_bytes(50, b"stats\r\n", NOW_US));
        let second = sent(&server.stream_bytes(51, b"stats\r\n", NOW_US + 3_000_000));
        server.stream_opened(52, NOW_US);
        let third = sent(&server.stream_bytes(52, b"stats\r\n", NOW_US + 3_000_000));
        assert_eq!(value(&second, "uptime") - value(&first, "uptime"), 3);
        assert_eq!(value(&second, "time") - value(&first, "time"), 3);
        assert_eq!(
            value(&third, "total_connections") - value(&second, "total_connections"),
            1
        );
        assert!(value(&second, "bytes_written") > value(&first, "bytes_written"));
        assert_eq!(value(&first, "pid"), 1234);
    }

    #[test]
    fn harm_is_noted_and_not_done() {
        let mut server = like("1.4.15");
        ask(&mut server, b"flush_all\r\nversion\r\nstats reset\r\n");
        let journal = server.journal();
        assert_eq!(journal.harmful(), ["flush_all", "stats reset"]);
        assert_eq!(journal.heard().len(), 3);
    }
}
