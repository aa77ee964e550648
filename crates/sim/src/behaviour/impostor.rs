//! Servers that speak memcached and are something else: honeypots and proxies.

use std::collections::BTreeMap;

use super::genuine::{Genuine, GenuineConfig, StoredItems};
use super::{Act, Personality, StreamId, sent, take_line};

/// A low-interaction honeypot: pid, uptime and threads are new at each ask, every sub-command of
/// `stats` gets the same reply, and every key has a value.
#[derive(Debug)]
pub struct Honeypot {
    random: Random,
    buffers: BTreeMap<StreamId, Vec<u8>>,
}

impl Honeypot {
    /// The same seed gives the same lies in the same order.
    pub fn new(seed: u64) -> Honeypot {
        Honeypot {
            random: Random(seed),
            buffers: BTreeMap::new(),
        }
    }

    fn answer(&mut self, line: &str, now_us: u64) -> Vec<u8> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["version"] => b"VERSION 1.5.6\r\n".to_vec(),
            ["stats", ..] => self.lie(now_us),
            ["get" | "gets", ref keys @ ..] if !keys.is_empty() => {
                let mut reply = String::new();
                for key in keys {
                    let value = 10_000_000 + self.random.below(90_000_000);
                    reply.push_str(&format!("VALUE {key} 0 8\r\n{value}\r\n"));
                }
                format!("{reply}END\r\n").into_bytes()
            }
            _ => b"ERROR\r\n".to_vec(),
        }
    }

    fn lie(&mut self, now_us: u64) -> Vec<u8> {
        let mut config = GenuineConfig::new("1.5.6");
        config.pid = 50 + self.random.below(300) as u32;
        config.threads = 1 + self.random.below(9000) as u32;
        config.started_unix_s = (now_us / 1_000_000).saturating_sub(1000 + self.random.below(1000));
        config.memory_limit_bytes = 32 << 20;
        let count = self.random.below(90_000_000);
        config.items = vec![StoredItems {
            class: 1,
            count,
            bytes: count,
        }];
        let mut liar = Genuine::new(config);
        liar.stream_opened(0, now_us);
        let reply = sent(&liar.stream_bytes(0, b"stats\r\n", now_us));
        // Written by people who print booleans as their own language does.
        let text = String::from_utf8_lossy(&reply).into_owned();
        text.replace("hash_is_expanding 0", "hash_is_expanding False")
            .into_bytes()
    }
}

impl Personality for Honeypot {
    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        let lines = lines_of(self.buffers.entry(stream).or_default(), bytes);
        lines
            .iter()
            .map(|line| Act::Send(self.answer(line, now_us)))
            .collect()
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.buffers.remove(&stream);
    }
}

/// A proxy in front of a genuine server (twemproxy): forwards `version` and `get`, and hangs up on
/// `stats` and on everything it does not know.
#[derive(Debug)]
pub struct ProxyLike {
    version: String,
    buffers: BTreeMap<StreamId, Vec<u8>>,
}

impl ProxyLike {
    /// In front of a server of this version.
    pub fn new(version: &str) -> ProxyLike {
        ProxyLike {
            version: version.to_owned(),
            buffers: BTreeMap::new(),
        }
    }
}

impl Personality for ProxyLike {
    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        let lines = lines_of(self.buffers.entry(stream).or_default(), bytes);
        let mut acts = Vec::new();
        for line in lines {
            let mut words = line.split_ascii_whitespace();
            match (words.next(), words.next()) {
                (Some("version"), None) => {
                    acts.push(Act::Send(
                        format!("VERSION {}\r\n", self.version).into_bytes(),
                    ));
                }
                (Some("get" | "gets"), Some(_)) => acts.push(Act::Send(b"END\r\n".to_vec())),
                _ => {
                    acts.push(Act::Close);
                    return acts;
                }
            }
        }
        // The binary protocol is hung up on at its first byte.
        if self.buffers.get(&stream).and_then(|buffer| buffer.first()) == Some(&0x80) {
            acts.push(Act::Close);
        }
        acts
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.buffers.remove(&stream);
    }
}

/// Appends a segment and takes out all whole lines.
fn lines_of(buffer: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    /// More than that without a line end is forgotten.
    const BUFFER_BYTES_MAX: usize = 1 << 16;
    buffer.extend_from_slice(bytes);
    let mut lines = Vec::new();
    while let Some(line) = take_line(buffer) {
        lines.push(String::from_utf8_lossy(&line).into_owned());
    }
    if buffer.len() > BUFFER_BYTES_MAX {
        buffer.clear();
    }
    lines
}

/// A small generator of numbers that are random enough to lie with (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`, which must not be 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: u64 = 1_800_000_000_000_000;

    fn ask(server: &mut dyn Personality, request: &[u8]) -> (String, bool) {
        server.stream_opened(1, NOW_US);
        let acts = server.stream_bytes(1, request, NOW_US);
        server.stream_closed(1);
        (
            String::from_utf8(sent(&acts)).unwrap(),
            acts.contains(&Act::Close),
        )
    }

    #[test]
    fn a_honeypot_contradicts_itself_in_the_same_way_for_the_same_seed() {
        let pid = |text: &str| text.lines().next().unwrap().to_owned();
        let mut pot = Honeypot::new(7);
        let first = ask(&mut pot, b"stats\r\n").0;
        let second = ask(&mut pot, b"stats settings\r\n").0;
        assert!(first.starts_with("STAT pid ") && second.starts_with("STAT pid "));
        assert_ne!(pid(&first), pid(&second));
        assert_eq!(first, ask(&mut Honeypot::new(7), b"stats\r\n").0);
        let hit = ask(&mut pot, b"get nobody-stored-this\r\n").0;
        assert!(hit.starts_with("VALUE nobody-stored-this 0 8\r\n"), "{hit}");
    }

    #[test]
    fn a_proxy_passes_gets_and_hangs_up_on_stats() {
        let mut proxy = ProxyLike::new("1.6.18");
        assert_eq!(
            ask(&mut proxy, b"version\r\n"),
            ("VERSION 1.6.18\r\n".into(), false)
        );
        assert_eq!(ask(&mut proxy, b"get a\r\n"), ("END\r\n".into(), false));
        for request in [&b"stats\r\n"[..], b"mn\r\n", b"\r\n", b"\x80\x0b\0\0\0\0\0"] {
            assert_eq!(
                ask(&mut proxy, request),
                (String::new(), true),
                "{request:?}"
            );
        }
    }
}
