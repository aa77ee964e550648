//! Peers that do anything at any moment: the machines end in time, stay small, and never ask for
//! what could harm.

use std::num::NonZeroU32;
use std::time::Duration;

use model::{Answer, Auth, Dialogue, Impression, StatsTable, TlsFacts};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sim::Personality;
use sim::behaviour::{Hostile, Misbehaviour};

use super::driver::{Fate, Manner, assert_harmless, is_few_names, play};
use crate::{
    Closing, ConnectionId, DatagramInterview, DatagramOutput, Depth, Options, StreamInterview,
    StreamOutput,
};

/// Connections that one interview may open, the sweep's own included.
const CONNECTIONS_MAX: u8 = 12;
/// Rows of one table, and one for a refusal.
const ROWS_MAX: usize = 4_096 + 1;
/// Rows that the datagrams kept of one reply can hold.
const DATAGRAM_ROWS_MAX: usize = 96 * 1024 / 7;
/// Bytes of names and values in all tables together.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// More wake-ups than any dialogue has.
const WAKES_MAX: usize = 100;

/// What a peer, or the network, does next.
#[derive(Clone, Debug)]
enum Deed {
    Say(u8, Vec<u8>),
    Accept(u8, bool),
    Close(u8),
    Reset(u8),
    FailConnect(u8),
    FailTls(u8, bool),
    Pass(u64),
}

/// Bytes that lead deep into a dialogue, and bytes that lead nowhere.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let packet = |opcode: u8, status: u8, key: &[u8], value: &[u8]| {
        let body = (key.len() + value.len()) as u8;
        let mut bytes = vec![
            0x81,
            opcode,
            0,
            key.len() as u8,
            0,
            0,
            0,
            status,
            0,
            0,
            0,
            body,
        ];
        bytes.extend([0; 12]);
        bytes.extend([key, value].concat());
        bytes
    };
    let sensible = vec![
        b"VERSION 1.6.18\r\n".to_vec(),
        b"VERSION ".to_vec(),
        b"END\r\n".to_vec(),
        b"STAT pid 1\r\nSTAT time 2\r\nSTAT uptime 1\r\n".to_vec(),
        b"STAT pid 2\r\nEND\r\n".to_vec(),
        b"STAT again 1\r\n".repeat(5_000),
        b"26:addr tcp:10.0.0.1:1\r\nSTAT 26:state conn_read\r\n".to_vec(),
        b"ERROR\r\n".to_vec(),
        b"CLIENT_ERROR unauthenticated\r\n".to_vec(),
        b"SERVER_ERROR out of memory\r\n".to_vec(),
        b"VALUE k 0 5\r\nabcde\r\nEND\r\n".to_vec(),
        b"VALUE k 0 18446744073709551615\r\n".to_vec(),
        b"MN\r\n".to_vec(),
        b"EN\r\n".to_vec(),
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        b"\x15\x03\x03\0\x02\x02\x28".to_vec(),
        vec![b'x'; 20_000],
        packet(0x0b, 0, b"", b"1.6.18"),
        packet(0x20, 0, b"", b"PLAIN"),
        packet(0x0a, 0, b"", b""),
        packet(0x0a, 0x20, b"", b"Auth failure."),
        packet(0x10, 0, b"pid", b"1"),
        packet(0x10, 0, b"", b""),
    ];
    prop_oneof![
        4 => proptest::sample::select(sensible),
        1 => vec(any::<u8>(), 0..64),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    // Also connections that do not exist (yet), and such as are over.
    let id = || 0..CONNECTIONS_MAX + 2;
    let deed = prop_oneof![
        8 => (id(), words()).prop_map(|(id, bytes)| Deed::Say(id, bytes)),
        4 => (id(), any::<bool>()).prop_map(|(id, tls)| Deed::Accept(id, tls)),
        1 => id().prop_map(Deed::Close),
        1 => id().prop_map(Deed::Reset),
        1 => id().prop_map(Deed::FailConnect),
        1 => (id(), any::<bool>()).prop_map(|(id, asked)| Deed::FailTls(id, asked)),
        2 => (0_u64..900).prop_map(Deed::Pass),
    ];
    vec(deed, 0..80)
}

struct Hostilities {
    machine: StreamInterview,
    options: Options,
    now: Duration,
    connections: u8,
    wakes: usize,
}

impl Hostilities {
    fn new(options: Options) -> Hostilities {
        let machine = StreamInterview::new(options, Duration::ZERO);
        Hostilities {
            machine,
            options,
            now: Duration::ZERO,
            connections: 1,
            wakes: 0,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                StreamOutput::Send { bytes, .. } => {
                    if !is_few_names(&bytes, self.options.key_names_max) {
                        assert_harmless(&bytes);
                    }
                }
                StreamOutput::Connect { connection, .. } => {
                    self.connections += 1;
                    assert_eq!(connection, ConnectionId(self.connections - 1));
                    assert!(self.connections <= CONNECTIONS_MAX);
                }
                StreamOutput::Close { .. } => {}
            }
        }
        assert_eq!(self.machine.wake_at().is_none(), self.machine.is_finished());
    }

    fn suffer(&mut self, deed: Deed) {
        let now = self.now;
        match deed {
            Deed::Say(id, bytes) => self.machine.handle_bytes(ConnectionId(id), &bytes, now),
            Deed::Accept(id, tls) => {
                let facts = tls.then(TlsFacts::default);
                self.machine.handle_connected(ConnectionId(id), facts, now);
            }
            Deed::Close(id) => self
                .machine
                .handle_closed(ConnectionId(id), Closing::Closed, now),
            Deed::Reset(id) => self
                .machine
                .handle_closed(ConnectionId(id), Closing::Reset, now),
            Deed::FailConnect(id) => {
                let closing = Closing::ConnectFailed("refused".into());
                self.machine.handle_closed(ConnectionId(id), closing, now);
            }
            Deed::FailTls(id, client_certificate_requested) => {
                let detail = "alert".into();
                let closing = Closing::TlsFailed {
                    client_certificate_requested,
                    detail,
                };
                self.machine.handle_closed(ConnectionId(id), closing, now);
            }
            Deed::Pass(milliseconds) => self.pass(now + Duration::from_millis(milliseconds)),
        }
        self.drain();
    }

    /// Time passes, and the machine is woken as it wishes.
    fn pass(&mut self, until: Duration) {
        while let Some(at) = self.machine.wake_at().filter(|at| *at <= until) {
            // What arrived may have used up the time already.
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            self.drain();
            let later = self.machine.wake_at().is_none_or(|next| next > self.now);
            assert!(later, "wants to be woken again at {:?}", self.now);
            self.wakes += 1;
            assert!(self.wakes <= WAKES_MAX, "{} wake-ups", self.wakes);
        }
        self.now = self.now.max(until);
    }

    fn end(mut self) -> Dialogue {
        self.pass(self.options.interview_max);
        assert!(self.machine.is_finished(), "not finished at {:?}", self.now);
        self.drain();
        self.machine.into_dialogue()
    }
}

/// A dialogue is small, whatever was heard.
fn check_small(dialogue: &Dialogue, rows_max: usize) {
    let tables = [
        &dialogue.stats,
        &dialogue.second_stats,
        &dialogue.repeated_stats,
        &dialogue.settings,
        &dialogue.items,
    ];
    let mut text_bytes = 0;
    for table in tables.into_iter().filter_map(Answer::value) {
        assert!(table.len() <= rows_max, "{} rows", table.len());
        let bytes = |table: &StatsTable| -> usize {
            table
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum()
        };
        text_bytes += bytes(table);
    }
    assert!(text_bytes <= TEXT_BYTES_MAX, "{text_bytes} bytes");
    assert!(dialogue.anomalies.len() <= 40, "{:?}", dialogue.anomalies);
    assert!(dialogue.executed.len() <= 9, "{:?}", dialogue.executed);
}

/// The same cases on every machine and every day.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x6d65_6d73_7765_6570),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_peer_breaks_a_stream_interview(deeds in deeds(), over_tcp in any::<bool>(), depth in 0..3_usize, names in 0..3_u32) {
        let depth = [Depth::Scan, Depth::Full, Depth::Sample][depth];
        let options = Options { over_tcp, key_names_max: NonZeroU32::new(names), ..Options::new(depth, None, 5) };
        let mut hostilities = Hostilities::new(options);
        hostilities.drain();
        for deed in deeds {
            hostilities.suffer(deed);
        }
        check_small(&hostilities.end(), ROWS_MAX);
    }

    /// As a peer can: it speaks only on connections that are open, and in the order of time.
    #[test]
    fn no_peer_gets_more_than_it_was_asked(replies in vec((words(), 0_u64..300, 0..8_u8), 0..60)) {
        let mut peer = Scripted { replies, spoken: 0 };
        let played = play(&mut peer, &Manner { half_trip: Duration::from_millis(3), ..Manner::default() });
        prop_assert!(played.took <= Duration::from_secs(10));
        check_small(&played.dialogue, ROWS_MAX);
    }

    #[test]
    fn no_peer_breaks_a_datagram_interview(
        first in vec(any::<u8>(), 0..40),
        honest_first in any::<bool>(),
        deeds in vec((0..4_u8, any::<u16>(), any::<u16>(), words(), 0_u64..700), 0..120),
    ) {
        let options = Options::new(Depth::Full, None, 5);
        let version = b"\0\x01\0\0\0\x01\0\0VERSION 1.6.18\r\n";
        let first = if honest_first { &version[..] } else { &first[..] };
        let mut machine = DatagramInterview::new(options, Duration::ZERO, first, None);
        let (mut now, mut id, mut sent, mut received) = (Duration::ZERO, [0; 2], 0, 0_u64);
        for (kind, sequence, total, payload, pause) in deeds {
            while let Some(DatagramOutput::Send(request)) = machine.poll_output() {
                assert_harmless(&request[8..]);
                id = [request[0], request[1]];
                sent += 1;
            }
            let sequence = if kind < 3 { sequence % 8 } else { sequence };
            let head = [id, sequence.to_be_bytes(), total.to_be_bytes(), [0; 2]].concat();
            let datagram = [head, payload].concat();
            received += datagram.len() as u64;
            match kind {
                0 => machine.handle_datagram(&datagram[..datagram.len().min(1_400)], now),
                1 => machine.handle_datagram(&datagram[1..], now),
                _ => machine.handle_datagram(&datagram, now),
            }
            let until = now + Duration::from_millis(pause);
            while let Some(at) = machine.wake_at().filter(|at| *at <= until) {
                now = now.max(at);
                machine.handle_timeout(now);
                prop_assert!(machine.wake_at().is_none_or(|next| next > now));
            }
            now = now.max(until);
        }
        for _ in 0..WAKES_MAX {
            let Some(at) = machine.wake_at() else { break };
            prop_assert!(at <= options.interview_max);
            machine.handle_timeout(now.max(at));
        }
        prop_assert!(machine.is_finished());
        prop_assert!(sent <= 8, "{} requests", sent);
        let dialogue = machine.into_dialogue();
        let counted: u64 = dialogue.amplification.iter().map(|one| one.reply_bytes).sum();
        prop_assert!(counted <= received + first.len() as u64);
        check_small(&dialogue, DATAGRAM_ROWS_MAX);
    }
}

/// Says the next thing of its script whenever it is spoken to.
struct Scripted {
    replies: Vec<(Vec<u8>, u64, u8)>,
    spoken: usize,
}

impl Personality for Scripted {
    fn stream_bytes(&mut self, _: u64, _: &[u8], _: u64) -> Vec<sim::Act> {
        let Some((bytes, pause_ms, fate)) = self.replies.get(self.spoken) else {
            return Vec::new();
        };
        self.spoken += 1;
        let mut acts = vec![
            sim::Act::Wait {
                us: pause_ms * 1_000,
            },
            sim::Act::Send(bytes.clone()),
        ];
        match fate {
            0 => acts.push(sim::Act::Close),
            1 => acts.push(sim::Act::Reset),
            _ => {}
        }
        acts
    }
}

#[test]
fn no_misbehaviour_keeps_an_interview() {
    for misbehaviour in Misbehaviour::ALL {
        for cut in [None, Some((50, Fate::Stalls)), Some((50, Fate::Resets))] {
            let mut server = Hostile::new(misbehaviour);
            let manner = Manner {
                cut,
                half_trip: Duration::from_millis(1),
                ..Manner::default()
            };
            let played = play(&mut server, &manner);
            assert!(played.took <= Duration::from_secs(10), "{misbehaviour:?}");
            assert!(
                played.bytes <= 7 * 1024 * 1024,
                "{misbehaviour:?}: {}",
                played.bytes
            );
            check_small(&played.dialogue, ROWS_MAX);
        }
    }
}

/// Says a version to whoever connects, and nothing else: nothing shows that it executes anything.
struct Greeter;

impl Personality for Greeter {
    fn stream_opened(&mut self, _: u64, _: u64) -> Vec<sim::Act> {
        vec![sim::Act::Send(b"VERSION 1.6.18\r\n".to_vec())]
    }

    fn stream_bytes(&mut self, _: u64, _: &[u8], _: u64) -> Vec<sim::Act> {
        Vec::new()
    }
}

#[test]
fn a_greeting_is_no_answer() {
    for half_trip_ms in [0, 3, 90] {
        let manner = Manner {
            half_trip: Duration::from_millis(half_trip_ms),
            ..Manner::default()
        };
        let dialogue = play(&mut Greeter, &manner).dialogue;
        assert_eq!(dialogue.executed, [], "{half_trip_ms} ms");
        assert_eq!(dialogue.auth, Auth::Unknown, "{half_trip_ms} ms");
        let looks = Impression::Text("VERSION 1.6.18".to_owned());
        assert_eq!(dialogue.impression, Some(looks), "{half_trip_ms} ms");
    }
}

#[test]
fn being_stopped_keeps_what_is_known() {
    let mut machine = StreamInterview::new(Options::new(Depth::Scan, None, 1), Duration::ZERO);
    machine.handle_bytes(ConnectionId(0), b"VERSION 1.4.15\r\n", Duration::ZERO);
    machine.handle_bytes(
        ConnectionId(0),
        b"VERSION 1.4.15\r\nEND\r\nSTAT pid 7\r\n",
        Duration::ZERO,
    );
    machine.stop();
    assert!(machine.is_finished() && machine.wake_at().is_none());
    let dialogue = machine.into_dialogue();
    assert_eq!(dialogue.ending, model::Ending::Stopped);
    assert_eq!(dialogue.version, Answer::Given("1.4.15".into()));
    assert!(matches!(&dialogue.stats, Answer::Truncated(rows) if rows.integer("pid") == Some(7)));
    assert_eq!(dialogue.settings, Answer::NotAsked);
}
