//! What can be asked of anybody, which is only what is harmless on every version.

use crate::frame::Frame;
use crate::{Clearance, Risky, opcode};

/// First byte of a binary request (`doc/protocol-binary.txt`).
const BINARY_REQUEST_MAGIC: u8 = 0x80;

/// What every random key begins with, so that an administrator who sees it in a log knows whose
/// it is.
const KEY_PREFIX: &str = "memsweep-";
/// Random characters behind the prefix: 36^21 is a little above 2^108.
const KEY_RANDOM_CHARS: usize = 21;
const KEY_ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A key that nobody has stored. It can only be made from random bits, so that no real key can be
/// asked for and nobody's data is ever read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomKey(String);

impl RandomKey {
    /// The key that these bits stand for: `memsweep-` and 21 characters of `[0-9a-z]`, 30 in all.
    ///
    /// `bits` should come from a good random source; the low 108 of them matter most.
    pub fn from_bits(bits: u128) -> RandomKey {
        let mut key = String::with_capacity(KEY_PREFIX.len() + KEY_RANDOM_CHARS);
        key.push_str(KEY_PREFIX);
        let base = KEY_ALPHABET.len() as u128;
        let mut rest = bits;
        for _ in 0..KEY_RANDOM_CHARS {
            key.push(char::from(KEY_ALPHABET[(rest % base) as usize]));
            rest /= base;
        }
        RandomKey(key)
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The groups of statistics that every version gives without a long lock or a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatsGroup {
    /// `stats`: the general ones.
    General,
    /// `stats settings`.
    Settings,
    /// `stats items`: counters of each slab class.
    Items,
    /// `stats slabs`: memory of each slab class.
    Slabs,
}

impl StatsGroup {
    /// The group's name as an argument of `stats`; empty for the general ones.
    pub fn argument(self) -> &'static str {
        match self {
            StatsGroup::General => "",
            StatsGroup::Settings => "settings",
            StatsGroup::Items => "items",
            StatsGroup::Slabs => "slabs",
        }
    }

    /// The whole command, without its line end.
    pub fn command(self) -> &'static str {
        match self {
            StatsGroup::General => "stats",
            StatsGroup::Settings => "stats settings",
            StatsGroup::Items => "stats items",
            StatsGroup::Slabs => "stats slabs",
        }
    }
}

/// A request of the text protocol over a stream: TCP, TLS or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// `version`.
    Version,
    /// `stats`, with or without a group.
    Stats(StatsGroup),
    /// `get` of a key that nobody has stored; an honest server answers `END`.
    Get(RandomKey),
    /// `mn`, the meta no-op. Versions before 1.5.19 answer `ERROR`.
    MetaNoop,
}

impl Request {
    /// Appends the request to `out`: one line, ended by `\r\n`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Version => out.extend_from_slice(b"version"),
            Request::Stats(group) => out.extend_from_slice(group.command().as_bytes()),
            Request::Get(key) => {
                out.extend_from_slice(b"get ");
                out.extend_from_slice(key.as_str().as_bytes());
            }
            Request::MetaNoop => out.extend_from_slice(b"mn"),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// `stats conns`, which lists a server's open connections.
///
/// It is not a [`Request`] because it is not harmless over every transport: while they list a
/// client of a unix socket, versions before 1.5.17 read beyond their stack (CVE-2019-15026). A
/// server that listens on a unix socket has no TCP port, so a TCP connection is proof enough that
/// the faulty code is not reached. Whoever builds the value says that this is what they have. For a
/// unix socket the version decides, by a [`Clearance`].
///
/// Its reply holds the addresses of clients: count them, do not keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionsRequest(());

impl ConnectionsRequest {
    /// The request, for a connection that is a TCP one. Never send it over a unix socket.
    pub fn over_tcp() -> ConnectionsRequest {
        ConnectionsRequest(())
    }

    /// The request, for the unix socket that the clearance was minted for; `None` if the clearance
    /// is for something else.
    pub fn over_unix(clearance: Clearance) -> Option<ConnectionsRequest> {
        clearance
            .admits(Risky::ConnectionsOverUnix)
            .then_some(ConnectionsRequest(()))
    }

    /// Appends the request to `out`: one line, ended by `\r\n`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"stats conns\r\n");
    }
}

/// A request of the binary protocol (`doc/protocol-binary.txt`) over a stream. There is none for
/// UDP, because binary datagrams put the parser of 1.2.x servers out of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryRequest {
    /// VERSION; answered before authentication.
    Version,
    /// NOOP; refused before authentication.
    Noop,
    /// STAT; one reply a statistic, then one with an empty key.
    Stat(StatsGroup),
    /// SASL LIST MECHANISMS; answered before authentication, "Unknown command" without SASL.
    SaslList,
}

impl BinaryRequest {
    /// Appends the request to `out`: the 24-byte header and, for STAT, the group as its key.
    /// `opaque` comes back in every reply to it.
    pub fn encode(&self, opaque: u32, out: &mut Vec<u8>) {
        let (opcode, key) = match self {
            BinaryRequest::Version => (opcode::VERSION, ""),
            BinaryRequest::Noop => (opcode::NOOP, ""),
            BinaryRequest::Stat(group) => (opcode::STAT, group.argument()),
            BinaryRequest::SaslList => (opcode::SASL_LIST, ""),
        };
        append_binary_request(opcode, key.as_bytes(), &[], opaque, out);
    }
}

/// Appends a packet without extras: the 24-byte header, the key and the value. Private to this room,
/// so that nobody can write a packet by hand.
///
/// # Panics
/// If the key is longer than 65,535 bytes or the body longer than 4 GiB; callers have far smaller
/// limits.
pub(crate) fn append_binary_request(
    opcode: u8,
    key: &[u8],
    value: &[u8],
    opaque: u32,
    out: &mut Vec<u8>,
) {
    let key_bytes = u16::try_from(key.len()).expect("a key below 64 KiB");
    let body_bytes = u32::try_from(key.len() + value.len()).expect("a body below 4 GiB");
    out.extend_from_slice(&[BINARY_REQUEST_MAGIC, opcode]);
    out.extend_from_slice(&key_bytes.to_be_bytes());
    out.extend_from_slice(&[0; 4]); // extras length, data type, virtual bucket
    out.extend_from_slice(&body_bytes.to_be_bytes());
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&[0; 8]); // compare-and-swap value
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// Length of a framed `version` datagram, in bytes.
pub const VERSION_DATAGRAM_BYTES: usize = 17;

/// A request over UDP: one command of the text protocol in one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatagramRequest {
    /// `version`; its reply is hardly longer than itself.
    Version,
    /// `stats`, with or without a group.
    Stats(StatsGroup),
}

impl DatagramRequest {
    /// The command as an administrator would type it, without frame and line end.
    pub fn command(&self) -> &'static str {
        match self {
            DatagramRequest::Version => "version",
            DatagramRequest::Stats(group) => group.command(),
        }
    }

    /// The whole datagram: the frame, the command and `\r\n`.
    ///
    /// The frame's total is always 1 and its sequence 0. A total of anything else kills 1.6.0 to
    /// 1.6.7 (CVE-2022-48571), so it is not for the caller to choose.
    pub fn encode(&self, request_id: u16) -> Vec<u8> {
        let frame = Frame {
            request_id,
            sequence: 0,
            total: 1,
            reserved: 0,
        };
        let mut datagram = frame.to_bytes().to_vec();
        datagram.extend_from_slice(self.command().as_bytes());
        datagram.extend_from_slice(b"\r\n");
        datagram
    }

    /// The bytes of [`DatagramRequest::Version`] without a heap, for senders of millions of them.
    pub const fn version_bytes(request_id: u16) -> [u8; VERSION_DATAGRAM_BYTES] {
        let mut datagram = *b"\0\0\0\0\0\x01\0\0version\r\n";
        let [high, low] = request_id.to_be_bytes();
        datagram[0] = high;
        datagram[1] = low;
        datagram
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GROUPS: [StatsGroup; 4] = [
        StatsGroup::General,
        StatsGroup::Settings,
        StatsGroup::Items,
        StatsGroup::Slabs,
    ];

    /// Walks from each variant to the next. A new variant does not compile here until somebody
    /// has thought about the wall below.
    fn every_request() -> Vec<Request> {
        let mut all = vec![Request::Version];
        loop {
            let next = match all.last().expect("the list is never empty") {
                Request::Version => Request::Stats(StatsGroup::General),
                Request::Stats(StatsGroup::General) => Request::Stats(StatsGroup::Settings),
                Request::Stats(StatsGroup::Settings) => Request::Stats(StatsGroup::Items),
                Request::Stats(StatsGroup::Items) => Request::Stats(StatsGroup::Slabs),
                Request::Stats(StatsGroup::Slabs) => Request::Get(RandomKey::from_bits(7)),
                Request::Get(_) => Request::MetaNoop,
                Request::MetaNoop => return all,
            };
            all.push(next);
        }
    }

    fn every_datagram_request() -> Vec<DatagramRequest> {
        let mut all = vec![DatagramRequest::Version];
        loop {
            let next = match all.last().expect("the list is never empty") {
                DatagramRequest::Version => StatsGroup::General,
                DatagramRequest::Stats(StatsGroup::General) => StatsGroup::Settings,
                DatagramRequest::Stats(StatsGroup::Settings) => StatsGroup::Items,
                DatagramRequest::Stats(StatsGroup::Items) => StatsGroup::Slabs,
                DatagramRequest::Stats(StatsGroup::Slabs) => return all,
            };
            all.push(DatagramRequest::Stats(next));
        }
    }

    fn encoded(request: &Request) -> String {
        let mut out = Vec::new();
        request.encode(&mut out);
        String::from_utf8(out).expect("requests are ASCII")
    }

    #[test]
    fn only_harmless_commands_can_be_written() {
        let mut conns = Vec::new();
        ConnectionsRequest::over_tcp().encode(&mut conns);
        let mut lines: Vec<String> = every_request().iter().map(encoded).collect();
        lines.push(String::from_utf8(conns).expect("requests are ASCII"));
        for line in &lines {
            let body = line.strip_suffix("\r\n").expect("every request is ended");
            assert!(
                !body.contains(['\r', '\n', '\0']),
                "one line only: {line:?}"
            );
        }
        let first_words: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line.split_ascii_whitespace().next())
            .collect();
        assert_eq!(
            first_words,
            BTreeSet::from(["get", "mn", "stats", "version"])
        );
        let arguments: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("stats"))
            .map(str::trim)
            .collect();
        assert_eq!(
            arguments,
            BTreeSet::from(["", "conns", "items", "settings", "slabs"])
        );
    }

    #[test]
    fn both_ways_to_write_version_agree() {
        for request_id in [0, 1, 0x1234, 0xff00, 0xffff] {
            assert_eq!(
                DatagramRequest::version_bytes(request_id).to_vec(),
                DatagramRequest::Version.encode(request_id)
            );
        }
    }

    #[test]
    fn datagrams_are_one_command_with_total_one() {
        let mut commands = BTreeSet::new();
        for request in every_datagram_request() {
            for request_id in [0, 1, 0x1234, u16::MAX] {
                let datagram = request.encode(request_id);
                let (frame, payload) = Frame::parse(&datagram).unwrap();
                let expected = Frame {
                    request_id,
                    sequence: 0,
                    total: 1,
                    reserved: 0,
                };
                assert_eq!(frame, expected);
                assert_eq!(payload, format!("{}\r\n", request.command()).as_bytes());
                assert_eq!(payload.iter().filter(|byte| **byte == b'\n').count(), 1);
            }
            commands.insert(request.command());
        }
        let expected = [
            "version",
            "stats",
            "stats settings",
            "stats items",
            "stats slabs",
        ];
        assert_eq!(commands, BTreeSet::from(expected));
    }

    #[test]
    fn binary_requests_are_four_harmless_opcodes() {
        let requests: Vec<BinaryRequest> = [
            BinaryRequest::Version,
            BinaryRequest::Noop,
            BinaryRequest::SaslList,
        ]
        .into_iter()
        .chain(GROUPS.map(BinaryRequest::Stat))
        .collect();
        let mut opcodes = BTreeSet::new();
        for request in requests {
            // Adding a variant stops compiling here.
            let (opcode, key) = match request {
                BinaryRequest::Version => (0x0b, &b""[..]),
                BinaryRequest::Noop => (0x0a, &b""[..]),
                BinaryRequest::SaslList => (0x20, &b""[..]),
                BinaryRequest::Stat(group) => (0x10, group.argument().as_bytes()),
            };
            let mut out = b"dirty".to_vec();
            request.encode(0xdead_beef, &mut out);
            let mut expected = b"dirty".to_vec();
            expected.extend([0x80, opcode, 0, key.len() as u8, 0, 0, 0, 0]);
            expected.extend([0, 0, 0, key.len() as u8, 0xde, 0xad, 0xbe, 0xef]);
            expected.extend([0; 8]);
            expected.extend(key);
            assert_eq!(out, expected, "{request:?}");
            opcodes.insert(opcode);
        }
        assert_eq!(opcodes, BTreeSet::from([0x0a, 0x0b, 0x10, 0x20]));
    }

    #[test]
    fn keys_are_thirty_plain_characters() {
        let all_bits = [
            0,
            1,
            35,
            36,
            u128::from(u64::MAX),
            u128::MAX,
            0x0123_4567_89ab_cdef,
        ];
        let mut distinct = BTreeSet::new();
        for bits in all_bits {
            let key = RandomKey::from_bits(bits);
            let text = key.as_str();
            assert_eq!(text.len(), 30, "{text}");
            let random = text.strip_prefix("memsweep-").unwrap();
            assert!(
                random
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
            distinct.insert(text.to_owned());
        }
        assert_eq!(distinct.len(), all_bits.len());
        assert_eq!(
            RandomKey::from_bits(0).as_str(),
            "memsweep-000000000000000000000"
        );
        assert_eq!(
            RandomKey::from_bits(36 + 35).as_str(),
            "memsweep-z10000000000000000000"
        );
    }
}
