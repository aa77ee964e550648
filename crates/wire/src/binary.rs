//! Reads the binary protocol (`doc/protocol-binary.txt`) a piece at a time.

use std::collections::VecDeque;

/// Length of a packet's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 24;
/// First byte of every reply.
pub(crate) const REPLY_MAGIC: u8 = 0x81;

/// The longest body that is read, in bytes. No reply to anything that can be asked comes near it;
/// a larger one is taken as a sign that the peer does not speak this protocol.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The opcodes that can be asked. A reply may carry any other.
pub mod opcode {
    /// No operation.
    pub const NOOP: u8 = 0x0a;
    /// The server's version, as the reply's value.
    pub const VERSION: u8 = 0x0b;
    /// A key's value, with the key in the reply; no reply if it is not stored.
    pub const GETKQ: u8 = 0x0d;
    /// Statistics.
    pub const STAT: u8 = 0x10;
    /// The names of the SASL mechanisms, as the reply's value.
    pub const SASL_LIST: u8 = 0x20;
    /// Authentication: the mechanism as the key, its first message as the value.
    pub const SASL_AUTH: u8 = 0x21;
}

/// The statuses that decide something. A reply may carry any other.
pub mod status {
    /// The command was executed.
    pub const NO_ERROR: u16 = 0x00;
    /// There is no such key.
    pub const KEY_NOT_FOUND: u16 = 0x01;
    /// Credentials are demanded first.
    pub const AUTH_ERROR: u16 = 0x20;
    /// The server does not know the command.
    pub const UNKNOWN_COMMAND: u16 = 0x81;
}

/// A reply packet, as it came. Extras, data type and compare-and-swap value are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryReply {
    /// The command that this answers; yrmcds writes 0x51 for those it does not know.
    pub opcode: u8,
    /// What came of it; see [`status`].
    pub status: u16,
    /// The number that the request carried.
    pub opaque: u32,
    /// The key: a statistic's name.
    pub key: Vec<u8>,
    /// The value, or a text that explains an error.
    pub value: Vec<u8>,
}

/// What was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinaryEvent {
    /// A whole reply packet.
    Reply(BinaryReply),
    /// What came is not the binary protocol: a packet does not begin with 0x81, or its header is
    /// impossible. Said once; everything after it is ignored.
    NotBinary,
}

/// Turns bytes into events. Any split of the bytes gives the same events.
///
/// It never fails and never reserves memory for a stated length: it holds at most one unfinished
/// packet that came (`BODY_BYTES_MAX` and a header) and the events that were not fetched yet.
#[derive(Clone, Debug, Default)]
pub struct BinaryDecoder {
    /// The unfinished packet. Once it has a whole header, the header is possible.
    packet: Vec<u8>,
    events: VecDeque<BinaryEvent>,
    is_not_binary: bool,
}

impl BinaryDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> BinaryDecoder {
        BinaryDecoder::default()
    }

    /// Takes the bytes that came next. Fetch the events after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_not_binary {
            let missing = self.packet_bytes() - self.packet.len();
            let (taken, left) = rest.split_at(missing.min(rest.len()));
            self.packet.extend_from_slice(taken);
            rest = left;
            self.check_packet();
        }
    }

    /// The next event, if one is whole.
    pub fn next_event(&mut self) -> Option<BinaryEvent> {
        self.events.pop_front()
    }

    /// Bytes of an unfinished packet.
    pub fn pending_bytes(&self) -> usize {
        self.packet.len()
    }

    /// How long the packet has to grow before there is something to do.
    fn packet_bytes(&self) -> usize {
        match Header::parse(&self.packet) {
            Some(header) => HEADER_BYTES + header.body_bytes,
            None => HEADER_BYTES,
        }
    }

    fn check_packet(&mut self) {
        let is_reply = self.packet.first() == Some(&REPLY_MAGIC);
        let header = Header::parse(&self.packet);
        if !is_reply || header.as_ref().is_some_and(|header| !header.is_possible()) {
            self.is_not_binary = true;
            self.packet = Vec::new();
            self.events.push_back(BinaryEvent::NotBinary);
            return;
        }
        let Some(header) = header else { return };
        if let Some(body) = self
            .packet
            .get(HEADER_BYTES..HEADER_BYTES + header.body_bytes)
        {
            let (key, value) = body[header.extras_bytes..].split_at(header.key_bytes);
            self.events.push_back(BinaryEvent::Reply(BinaryReply {
                opcode: header.opcode,
                status: header.status,
                opaque: header.opaque,
                key: key.to_vec(),
                value: value.to_vec(),
            }));
            self.packet.clear();
        }
    }
}

/// What a packet's header says; nothing in it is believed yet.
pub(crate) struct Header {
    pub(crate) opcode: u8,
    pub(crate) key_bytes: usize,
    pub(crate) extras_bytes: usize,
    pub(crate) status: u16,
    /// Extras, key and value together.
    pub(crate) body_bytes: usize,
    opaque: u32,
}

impl Header {
    /// The header of a packet; `None` until it is whole. The magic byte is not looked at.
    pub(crate) fn parse(packet: &[u8]) -> Option<Header> {
        let head = packet.first_chunk::<HEADER_BYTES>()?;
        Some(Header {
            opcode: head[1],
            key_bytes: usize::from(u16::from_be_bytes([head[2], head[3]])),
            extras_bytes: usize::from(head[4]),
            status: u16::from_be_bytes([head[6], head[7]]),
            body_bytes: u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize,
            opaque: u32::from_be_bytes([head[12], head[13], head[14], head[15]]),
        })
    }

    fn is_possible(&self) -> bool {
        self.body_bytes <= BODY_BYTES_MAX && self.extras_bytes + self.key_bytes <= self.body_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(head: [u8; 12], opaque: u32, body: &[u8]) -> Vec<u8> {
        [&head[..], &opaque.to_be_bytes(), &[0; 8], body].concat()
    }

    fn reply(opcode: u8, status: u16, opaque: u32, key: &str, value: &str) -> BinaryEvent {
        let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        BinaryEvent::Reply(BinaryReply {
            opcode,
            status,
            opaque,
            key,
            value,
        })
    }

    /// Expects these events and this many bytes left over.
    fn check(bytes: &[u8], expect: &[BinaryEvent], pending_bytes: usize) {
        let mut decoder = BinaryDecoder::new();
        decoder.feed(bytes);
        let events: Vec<BinaryEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events, expect, "{bytes:02x?}");
        assert_eq!(decoder.pending_bytes(), pending_bytes, "{bytes:02x?}");
    }

    #[test]
    fn packets_become_replies() {
        let version = packet([0x81, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6], 7, b"1.4.15");
        let stat = packet([0x81, 0x10, 0, 3, 0, 0, 0, 0, 0, 0, 0, 8], 8, b"pid18152");
        let last = packet([0x81, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8, b"");
        let refused = packet([0x81, 0x0a, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 4], 9, b"Auth");
        let extras = packet(
            [0x81, 0x00, 0, 1, 4, 0, 0, 0, 0, 0, 0, 6],
            9,
            b"\0\0\0\x01kv",
        );
        let stream = [version.clone(), stat, last, refused, extras].concat();
        let expect = [
            reply(opcode::VERSION, status::NO_ERROR, 7, "", "1.4.15"),
            reply(opcode::STAT, status::NO_ERROR, 8, "pid", "18152"),
            reply(opcode::STAT, status::NO_ERROR, 8, "", ""),
            reply(opcode::NOOP, status::AUTH_ERROR, 9, "", "Auth"),
            reply(0, status::NO_ERROR, 9, "k", "v"),
        ];
        check(&stream, &expect, 0);
        check(&version[..29], &[], 29);
        check(&version[..1], &[], 1);
        check(
            &[&version[..], b"E"].concat(),
            &[expect[0].clone(), BinaryEvent::NotBinary],
            0,
        );
    }

    #[test]
    fn other_bytes_are_not_binary_and_said_so_once() {
        let once = [BinaryEvent::NotBinary];
        check(b"", &[], 0);
        check(b"E", &once, 0);
        check(b"ERROR\r\nERROR\r\n", &once, 0);
        check(
            &packet([0x80, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 7, b""),
            &once,
            0,
        );
        // Key and extras longer than the body.
        check(
            &packet([0x81, 0x10, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2], 7, b"ab"),
            &once,
            0,
        );
        check(
            &packet(
                [0x81, 0x10, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff],
                7,
                b"",
            ),
            &once,
            0,
        );
        // A body of 4 GiB, and one byte above the limit.
        check(
            &packet(
                [0x81, 0x0b, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
                7,
                b"",
            ),
            &once,
            0,
        );
        check(
            &packet([0x81, 0x0b, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1], 7, b""),
            &once,
            0,
        );
    }

    #[test]
    fn a_body_at_the_limit_is_read() {
        let body = vec![b'x'; BODY_BYTES_MAX];
        let whole = packet([0x81, 0x0b, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], 7, &body);
        let text = String::from_utf8(body).unwrap();
        check(
            &whole,
            &[reply(opcode::VERSION, status::NO_ERROR, 7, "", &text)],
            0,
        );
        check(&whole[..whole.len() - 1], &[], whole.len() - 1);
    }
}
