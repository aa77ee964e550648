//! Servers that try to hurt whoever asks: to keep it, to fill its memory, to write to its terminal.

use std::collections::BTreeSet;

use super::genuine::{Genuine, GenuineConfig};
use super::{Act, DatagramAct, Personality, StreamId, frame};

/// Datagrams for one request.
const FLOOD_DATAGRAMS: u16 = 2000;
/// Repetitions that no client waits for.
const ENDLESS: u32 = 1 << 20;
/// Time between two bytes of a dripping server.
const DRIP_US: u64 = 300_000;
/// How long a dripping server goes on: five minutes.
const DRIPS: u32 = 1000;

/// A way to be hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// `stats` has rows without end.
    EndlessStats,
    /// `version` has a line without end.
    EndlessLine,
    /// One byte every 300 ms, of a line that does not end.
    Drip,
    /// UDP: answers with another request id.
    WrongRequestId,
    /// UDP: 2,000 datagrams for one request, with our id.
    DatagramFlood,
    /// Statistics beyond 64 bits, below zero, and no numbers at all.
    HugeNumbers,
    /// NUL and bytes that are no UTF-8 in every reply.
    NulAndInvalidUtf8,
    /// Commands to a terminal in every reply.
    TerminalEscapes,
    /// `get` announces a value of 18,446,744,073,709,551,615 bytes.
    ValueBomb,
}

impl Misbehaviour {
    /// All of them.
    pub const ALL: [Misbehaviour; 9] = [
        Misbehaviour::EndlessStats,
        Misbehaviour::EndlessLine,
        Misbehaviour::Drip,
        Misbehaviour::WrongRequestId,
        Misbehaviour::DatagramFlood,
        Misbehaviour::HugeNumbers,
        Misbehaviour::NulAndInvalidUtf8,
        Misbehaviour::TerminalEscapes,
        Misbehaviour::ValueBomb,
    ];
}

/// A memcached 1.6.18 with UDP that misbehaves in one way.
#[derive(Debug)]
pub struct Hostile {
    misbehaviour: Misbehaviour,
    genuine: Genuine,
    /// Connections that are already being kept busy; they need no more.
    busy: BTreeSet<StreamId>,
}

impl Hostile {
    /// A server that misbehaves in this way, and is genuine otherwise.
    pub fn new(misbehaviour: Misbehaviour) -> Hostile {
        let config = GenuineConfig {
            udp_port: 11211,
            ..GenuineConfig::new("1.6.18")
        };
        Hostile {
            misbehaviour,
            genuine: Genuine::new(config),
            busy: BTreeSet::new(),
        }
    }

    /// What keeps a client busy for ever, if this request is what it happens at.
    fn endless(&self, bytes: &[u8]) -> Option<Vec<Act>> {
        let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        let repeat = |bytes: Vec<u8>| Act::Repeat {
            bytes,
            times: ENDLESS,
            pause_us: 0,
        };
        match self.misbehaviour {
            Misbehaviour::EndlessStats if contains(b"stats") => {
                Some(vec![repeat(b"STAT again_and_again 1\r\n".repeat(100))])
            }
            Misbehaviour::EndlessLine => Some(vec![
                Act::Send(b"VERSION ".to_vec()),
                repeat(vec![b'1'; 4096]),
            ]),
            Misbehaviour::Drip => {
                let mut acts = Vec::new();
                for byte in b"VERSION 1.6.18" {
                    acts.extend([Act::Send(vec![*byte]), Act::Wait { us: DRIP_US }]);
                }
                acts.push(Act::Repeat {
                    bytes: b"0".to_vec(),
                    times: DRIPS,
                    pause_us: DRIP_US,
                });
                Some(acts)
            }
            Misbehaviour::ValueBomb if contains(b"get ") => {
                let start = bytes.windows(4).position(|window| window == b"get ")? + 4;
                let key = bytes[start..]
                    .split(u8::is_ascii_whitespace)
                    .next()
                    .unwrap_or_default();
                let head = [b"VALUE ", key, b" 0 18446744073709551615\r\n"].concat();
                Some(vec![Act::Send(head), repeat(vec![b'x'; 4096])])
            }
            _ => None,
        }
    }

    /// The lie that replaces an honest reply in text.
    fn distort(&self, honest: Vec<u8>) -> Vec<u8> {
        let text = String::from_utf8_lossy(&honest).into_owned();
        match self.misbehaviour {
            Misbehaviour::HugeNumbers => text.lines().map(huge).collect::<String>().into_bytes(),
            Misbehaviour::NulAndInvalidUtf8 => insert(&text, b"\0\xff\xfe\xc3("),
            Misbehaviour::TerminalEscapes => insert(
                &text,
                b"\x1b]0;owned\x07\x1b[2J\x1b[31m\xe2\x80\xae<script>alert(1)</script>",
            ),
            _ => honest,
        }
    }
}

impl Personality for Hostile {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        self.genuine.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        if self.busy.contains(&stream) {
            return Vec::new();
        }
        if let Some(acts) = self.endless(bytes) {
            self.busy.insert(stream);
            return acts;
        }
        let acts = self.genuine.stream_bytes(stream, bytes, now_us);
        let distorted = acts.into_iter().map(|act| match act {
            Act::Send(honest) => Act::Send(self.distort(honest)),
            other => other,
        });
        distorted.collect()
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.busy.remove(&stream);
        self.genuine.stream_closed(stream);
    }

    fn datagram(&mut self, datagram: &[u8], now_us: u64) -> Vec<DatagramAct> {
        let honest = self.genuine.datagram(datagram, now_us);
        let (Some((frame, _)), false) = (frame::parse(datagram), honest.is_empty()) else {
            return honest;
        };
        let [high, low] = frame.request_id;
        match self.misbehaviour {
            Misbehaviour::WrongRequestId => {
                let foreign = |mut act: DatagramAct| {
                    act.bytes[..2].copy_from_slice(&[!high, !low]);
                    act
                };
                honest.into_iter().map(foreign).collect()
            }
            Misbehaviour::DatagramFlood => {
                let row = b"STAT flood 1\r\n".repeat(99);
                let flood = (0..FLOOD_DATAGRAMS).map(|sequence| {
                    let total = FLOOD_DATAGRAMS + 1;
                    DatagramAct::now(frame::framed([high, low], sequence, total, &row))
                });
                flood.collect()
            }
            _ => {
                let payload: Vec<u8> = honest
                    .iter()
                    .flat_map(|act| act.bytes[frame::FRAME_BYTES..].to_vec())
                    .collect();
                frame::split([high, low], &self.distort(payload), false)
            }
        }
    }
}

/// A row of statistics with a value that no 64-bit integer holds.
fn huge(line: &str) -> String {
    const VALUES: [&str; 5] = [
        "18446744073709551616",
        "-1",
        "1e400",
        "99999999999999999999999999999999",
        "nan",
    ];
    match line
        .strip_prefix("STAT ")
        .and_then(|row| row.split(' ').next())
    {
        Some(name) => format!("STAT {name} {}\r\n", VALUES[name.len() % VALUES.len()]),
        None => format!("{line}\r\n"),
    }
}

/// Puts these bytes before the end of each line that has a value.
fn insert(text: &str, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for line in text.lines() {
        all.extend_from_slice(line.as_bytes());
        if line.contains(' ') {
            all.extend_from_slice(bytes);
        }
        all.extend_from_slice(b"\r\n");
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::sent;

    fn ask(misbehaviour: Misbehaviour, request: &[u8]) -> Vec<Act> {
        let mut server = Hostile::new(misbehaviour);
        server.stream_opened(1, 0);
        server.stream_bytes(1, request, 0)
    }

    fn ask_udp(misbehaviour: Misbehaviour) -> Vec<DatagramAct> {
        let question = frame::framed([1, 2], 0, 1, b"version\r\n");
        Hostile::new(misbehaviour).datagram(&question, 0)
    }

    #[test]
    fn each_does_its_harm() {
        let cases: [(Misbehaviour, &[u8], &[u8]); 6] = [
            (
                Misbehaviour::EndlessStats,
                b"stats\r\n",
                b"STAT again_and_again",
            ),
            (Misbehaviour::EndlessLine, b"version\r\n", b"VERSION 1111"),
            (
                Misbehaviour::HugeNumbers,
                b"stats\r\n",
                b"STAT pid 99999999999999999999",
            ),
            (
                Misbehaviour::NulAndInvalidUtf8,
                b"version\r\n",
                b"VERSION 1.6.18\0\xff",
            ),
            (
                Misbehaviour::TerminalEscapes,
                b"version\r\n",
                b"VERSION 1.6.18\x1b]0;",
            ),
            (
                Misbehaviour::ValueBomb,
                b"get k\r\n",
                b"VALUE k 0 18446744073709551615\r\n",
            ),
        ];
        for (misbehaviour, request, reply) in cases {
            let heard = sent(&ask(misbehaviour, request));
            let shown = String::from_utf8_lossy(&heard[..reply.len().min(heard.len())]);
            assert!(heard.starts_with(reply), "{misbehaviour:?}: {shown}");
        }
    }

    #[test]
    fn a_drip_is_slow_and_never_ends_its_line() {
        let acts = ask(Misbehaviour::Drip, b"version\r\n");
        assert!(!sent(&acts).contains(&b'\n'));
        assert_eq!(acts[1], Act::Wait { us: 300_000 });
    }

    #[test]
    fn nothing_is_asked_for_twice_of_a_busy_connection() {
        let mut server = Hostile::new(Misbehaviour::Drip);
        server.stream_opened(1, 0);
        assert!(!server.stream_bytes(1, b"version\r\n", 0).is_empty());
        assert_eq!(server.stream_bytes(1, b"version\r\n", 0), []);
    }

    #[test]
    fn datagrams_misbehave_too() {
        let foreign = ask_udp(Misbehaviour::WrongRequestId);
        assert_eq!(foreign[0].bytes[..2], [0xfe, 0xfd]);
        assert_eq!(ask_udp(Misbehaviour::DatagramFlood).len(), 2000);
        let escapes = ask_udp(Misbehaviour::TerminalEscapes);
        assert_eq!(escapes[0].bytes[..2], [1, 2]);
        assert!(escapes[0].bytes.contains(&0x1b));
    }
}
