//! Peers that say little, say it late, or have no room: what the triage makes of them, and how much
//! of a long reply is kept.

use std::time::Duration;

use model::{Anomaly, Answer, Auth, Dialogue, Ending, Impression, Protocol, TlsFacts};
use sim::behaviour::{Genuine, GenuineConfig};
use sim::{Act, Personality, StreamId};

use super::driver::{Manner, Tls, play};

/// The server's words when it has no room.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

fn near(tls: Tls) -> Manner {
    Manner {
        tls,
        half_trip: Duration::from_millis(5),
        ..Manner::default()
    }
}

fn genuine() -> Genuine {
    Genuine::new(GenuineConfig::new("1.6.18"))
}

fn text(line: &str) -> Option<Impression> {
    Some(Impression::Text(line.to_owned()))
}

/// Says the same to whoever asks for a version, after a while, and nothing else.
struct Banner {
    bytes: &'static [u8],
    after_ms: u64,
}

impl Personality for Banner {
    fn stream_bytes(&mut self, _: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        if bytes != b"version\r\n" {
            return Vec::new();
        }
        let us = self.after_ms * 1_000;
        vec![Act::Wait { us }, Act::Send(self.bytes.to_vec())]
    }
}

#[test]
fn a_banner_without_a_line_end_is_a_stranger_and_half_an_answer_is_none() {
    let bytes = Some(Impression::Bytes("fffd18".to_owned()));
    let cases: [(&[u8], Option<Impression>); 10] = [
        (b"login: ", text("login:")),
        (b"VERSIONS", text("VERSIONS")),
        (b"ERRORS ", text("ERRORS")),
        (b"\xff\xfd\x18", bytes),
        (b"VERSI", None),
        (b"VERSION 1.6", None),
        (b"STAT pid 1", None),
        (b"E", None),
        (b"CLIENT_ERROR", None),
        (b"SERVER_ERROR out of", None),
    ];
    for (bytes, impression) in cases {
        // Within the first wait, and in the last step.
        for (after_ms, stranger_ms) in [(0, 3_000), (1_500, 2_010)] {
            let shown = String::from_utf8_lossy(bytes);
            let played = play(&mut Banner { bytes, after_ms }, &near(Tls::None));
            let (ending, took_ms) = match impression {
                Some(_) => (Ending::Complete, stranger_ms),
                None => (Ending::Deadline, 3_000),
            };
            assert_eq!(played.dialogue.impression, impression, "{shown}");
            assert_eq!(played.dialogue.ending, ending, "{shown}");
            assert_eq!(played.took.as_millis(), took_ms, "{shown}, {after_ms} ms");
        }
    }
}

/// Answers the binary hello with these packets, and nothing else.
struct BinaryHalf {
    packets: Vec<u8>,
    closes: bool,
}

impl Personality for BinaryHalf {
    fn stream_bytes(&mut self, _: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        if bytes.first() != Some(&0x80) {
            return Vec::new();
        }
        let mut acts = vec![Act::Send(self.packets.clone())];
        acts.extend(self.closes.then_some(Act::Close));
        acts
    }
}

fn packet(opcode: u8, status: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x81, opcode, 0, 0, 0, 0, 0, status];
    bytes.extend([0, 0, 0, value.len() as u8]);
    bytes.extend([0; 12]);
    bytes.extend(value);
    bytes
}

#[test]
fn only_a_refused_noop_makes_a_list_of_mechanisms_a_demand() {
    let version = packet(0x0b, 0, b"1.6.18");
    let list = packet(0x20, 0, b"PLAIN CRAM-MD5");
    let refused = packet(0x0a, 0x20, b"Auth failure.");
    let both = || Auth::Sasl(vec!["PLAIN".to_owned(), "CRAM-MD5".to_owned()]);
    let cases = [
        (vec![&version], Auth::Unknown),
        (vec![&version, &list], Auth::Unknown),
        (vec![&version, &list, &refused], both()),
        (vec![&version, &refused], Auth::Sasl(Vec::new())),
    ];
    for (packets, auth) in cases {
        for closes in [false, true] {
            let packets = packets.iter().copied().flatten().copied().collect();
            let mut server = BinaryHalf { packets, closes };
            let expected = Dialogue {
                protocol: Protocol::Binary,
                version: Answer::Given("1.6.18".to_owned()),
                auth: auth.clone(),
                ending: Ending::Complete,
                ..Dialogue::default()
            };
            assert_eq!(play(&mut server, &near(Tls::None)).dialogue, expected);
        }
    }
}

/// A real server that has no room for the first so many connections.
struct Crowded {
    server: Genuine,
    refusals: usize,
    /// Whether it says why each time, or only the first time.
    says_why: bool,
    opened: usize,
}

impl Personality for Crowded {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        self.opened += 1;
        match self.opened {
            opened if opened > self.refusals => self.server.stream_opened(stream, now_us),
            1 => vec![Act::Send(TOO_MANY.to_vec()), Act::Close],
            _ if self.says_why => vec![Act::Send(TOO_MANY.to_vec()), Act::Close],
            _ => vec![Act::Reset],
        }
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        self.server.stream_bytes(stream, bytes, now_us)
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.server.stream_closed(stream);
    }
}

#[test]
fn a_server_at_its_connection_limit_is_asked_again() {
    for says_why in [true, false] {
        for refusals in 1..=4 {
            let mut server = Crowded {
                server: genuine(),
                refusals,
                says_why,
                opened: 0,
            };
            let played = play(&mut server, &near(Tls::None));
            let dialogue = played.dialogue;
            if refusals <= 2 {
                assert!(matches!(dialogue.stats, Answer::Given(_)), "{refusals}");
                assert_eq!(dialogue.ending, Ending::Complete, "{refusals}");
                assert_eq!(dialogue.anomalies, [], "{refusals}");
                continue;
            }
            let expected = Dialogue {
                version: Answer::Refused("ERROR Too many open connections".to_owned()),
                anomalies: vec![Anomaly::Other("at its connection limit".to_owned())],
                ending: Ending::Deadline,
                ..Dialogue::default()
            };
            assert_eq!(dialogue, expected, "{refusals}");
            assert_eq!(server.opened, 3, "{refusals}");
            let took_ms = played.took.as_millis();
            assert!((1_000..1_200).contains(&took_ms), "{took_ms} ms");
        }
    }
}

/// A server that does not know the binary protocol and answers the first question late.
struct Late {
    server: Genuine,
    asked: bool,
}

impl Personality for Late {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        self.server.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        if matches!(bytes.first(), Some(0x80 | 0x16)) {
            return Vec::new();
        }
        let mut acts = self.server.stream_bytes(stream, bytes, now_us);
        if !self.asked {
            self.asked = true;
            acts.insert(0, Act::Wait { us: 700_000 });
        }
        acts
    }
}

#[test]
fn a_late_answer_counts_in_clear_and_inside_tls() {
    for tls in [Tls::None, Tls::Session(TlsFacts::default())] {
        let mut server = Late {
            server: genuine(),
            asked: false,
        };
        let dialogue = play(&mut server, &near(tls.clone())).dialogue;
        assert_eq!(dialogue.version, Answer::Given("1.6.18".into()), "{tls:?}");
        assert!(matches!(dialogue.stats, Answer::Given(_)), "{tls:?}");
        assert_eq!(dialogue.tls.is_some(), matches!(tls, Tls::Session(_)));
        assert_eq!(dialogue.auth, Auth::None, "{tls:?}");
    }
}

#[test]
fn the_impression_inside_tls_is_of_the_connection_that_was_asked_there() {
    // In clear it resets; inside it is mute, whatever becomes of the binary hello.
    for closes in [false, true] {
        let packets = Vec::new();
        let mut server = BinaryHalf { packets, closes };
        let dialogue = play(&mut server, &near(Tls::Session(TlsFacts::default()))).dialogue;
        let expected = Impression::InsideTls(Box::new(Impression::Mute));
        assert_eq!(dialogue.impression, Some(expected), "{closes}");
        assert_eq!(dialogue.ending, Ending::Complete, "{closes}");
    }
}

/// A real server with a reply of its own to one question.
struct Replying {
    server: Genuine,
    question: &'static [u8],
    reply: Vec<u8>,
    /// Bytes of one piece.
    piece: usize,
}

impl Personality for Replying {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        self.server.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        if bytes == self.question {
            let pieces = self.reply.chunks(self.piece);
            return pieces.map(|piece| Act::Send(piece.to_vec())).collect();
        }
        self.server.stream_bytes(stream, bytes, now_us)
    }
}

fn replying(question: &'static [u8], reply: Vec<u8>, piece: usize) -> Dialogue {
    let mut server = Replying {
        server: genuine(),
        question,
        reply,
        piece,
    };
    play(&mut server, &near(Tls::None)).dialogue
}

/// `stats conns` with so many clients, four rows each.
fn connections(clients: u32) -> Vec<u8> {
    let mut reply = String::new();
    for client in 0..clients {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + client);
        let fd = 30 + client;
        reply += &format!("STAT {fd}:addr tcp:{address}:40000\r\n");
        reply += &format!("STAT {fd}:listen_addr tcp:10.9.9.9:11211\r\n");
        reply += &format!("STAT {fd}:state conn_waiting\r\n");
        reply += &format!("STAT {fd}:secs_since_last_cmd 1\r\n");
    }
    (reply + "END\r\n").into_bytes()
}

#[test]
fn connections_are_counted_to_the_last_or_not_called_whole() {
    let question = b"stats conns\r\n";
    let busy = replying(question, connections(20_000), 16_384).connections;
    assert!(
        matches!(&busy, Answer::Given(counted) if counted.tcp_clients == 20_000),
        "{busy:?}"
    );
    // Within the bytes that are read, and beyond the rows.
    let mut endless = b"STAT a\r\n".repeat(400_001);
    endless.extend(b"END\r\n");
    let cut = replying(question, endless, 16_384).connections;
    assert!(matches!(&cut, Answer::Truncated(_)), "{cut:?}");
}

#[test]
fn a_table_with_more_rows_than_are_kept_is_not_called_whole() {
    for (rows, is_whole) in [(4_095, true), (4_097, false)] {
        let mut reply = b"STAT a 1\r\n".repeat(rows);
        reply.extend(b"END\r\n");
        // In one piece, so that its end is read before any limit is looked at.
        let settings = replying(b"stats settings\r\n", reply, usize::MAX).settings;
        assert_eq!(matches!(settings, Answer::Given(_)), is_whole, "{rows}");
    }
}
