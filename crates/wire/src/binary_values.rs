//! Reading values over the binary protocol (`doc/protocol-binary.txt`).

use std::collections::VecDeque;

use crate::binary::{HEADER_BYTES, Header, REPLY_MAGIC};
use crate::lines::quoted;
use crate::values::split_at_most;
use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX, ValueEvent, opcode, status};

/// Extras of a value: its flags.
const FLAGS_BYTES: usize = 4;
/// Bytes of an error's text that are kept.
const TEXT_BYTES_MAX: usize = 1024;

/// Replies "not found" of one request that are read. GETKQ asks for none at all, so a server that
/// sends more will not come to an end.
const NOT_FOUND_MAX: u32 = 64 * 1024;

/// Reads replies to [`ReadValues::binary`](crate::ReadValues::binary), one after the other, in
/// constant memory. Any split of the bytes gives the same events, but for how values are cut.
///
/// The NOOP's reply is the [`ValueEvent::End`]. An error status is a [`ValueEvent::Refused`] with
/// the server's words and the status; a server that demands authentication (0x20) closes the
/// connection after it. What is not the binary protocol, or no reply to this request, or a value
/// longer than [`VALUE_BYTES_MAX`], is refused once, and everything after it is ignored.
#[derive(Clone, Debug, Default)]
pub struct BinaryValueDecoder {
    place: Place,
    /// A packet's header, and flags and key of a value: at most 24 + 4 + `KEY_BYTES_MAX` bytes; or
    /// the text of an error, at most `TEXT_BYTES_MAX`.
    buffer: Vec<u8>,
    /// Replies "not found" since the last end.
    not_found: u32,
    events: VecDeque<ValueEvent>,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In a header, or in flags and key, with everything so far in the buffer.
    #[default]
    Head,
    /// In a value, with so many bytes to come; at least 1.
    Value(u64),
    /// In the body of a reply without a value, with so many bytes to come; at least 1.
    Body(u64, Outcome),
    Lost,
}

/// What a reply without a value means.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    End,
    NotFound,
    Error(u16),
}

impl BinaryValueDecoder {
    /// A decoder at the beginning of a reply.
    pub fn new() -> BinaryValueDecoder {
        BinaryValueDecoder::default()
    }

    /// Takes the bytes that came next. Fetch the events after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.place {
                Place::Head => self.feed_head(rest),
                Place::Value(missing) => {
                    let (data, left) = split_at_most(rest, missing);
                    self.events.push_back(ValueEvent::ValueData(data.to_vec()));
                    self.enter_value(missing - data.len() as u64);
                    left
                }
                Place::Body(missing, outcome) => {
                    let (text, left) = split_at_most(rest, missing);
                    let room = TEXT_BYTES_MAX - self.buffer.len();
                    self.buffer.extend_from_slice(&text[..text.len().min(room)]);
                    self.enter_body(missing - text.len() as u64, outcome);
                    left
                }
                Place::Lost => return,
            };
        }
    }

    /// The next event, if one is whole.
    pub fn next_event(&mut self) -> Option<ValueEvent> {
        self.events.pop_front()
    }

    /// Whether the place in the stream is lost, so that nothing more will be understood.
    pub fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    /// Takes bytes up to the end of the header, or of flags and key; gives back what follows.
    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let head_bytes = match Header::parse(&self.buffer) {
            Some(header) => HEADER_BYTES + FLAGS_BYTES + header.key_bytes,
            None => HEADER_BYTES,
        };
        let missing = head_bytes - self.buffer.len();
        let (taken, left) = bytes.split_at(bytes.len().min(missing));
        self.buffer.extend_from_slice(taken);
        if self.buffer.first() != Some(&REPLY_MAGIC) {
            self.lose("what came is not the binary protocol");
        } else if let Some(header) = Header::parse(&self.buffer) {
            self.read_header(&header);
        }
        left
    }

    fn read_header(&mut self, header: &Header) {
        let body_bytes = header.body_bytes as u64;
        if header.extras_bytes + header.key_bytes > header.body_bytes {
            return self.lose("what came is not the binary protocol");
        }
        if body_bytes > VALUE_BYTES_MAX + (FLAGS_BYTES + KEY_BYTES_MAX) as u64 {
            return self.lose("a reply states more than 1 GiB");
        }
        match (header.opcode, header.status) {
            (opcode::GETKQ, status::NO_ERROR) => self.read_value_head(header),
            (opcode::GETKQ, status::KEY_NOT_FOUND) => {
                self.begin_body(body_bytes, Outcome::NotFound);
            }
            (opcode::NOOP, status::NO_ERROR) => self.begin_body(body_bytes, Outcome::End),
            (_, status::NO_ERROR) => self.lose("what came answers another request"),
            (_, status) => self.begin_body(body_bytes, Outcome::Error(status)),
        }
    }

    /// Says that a value begins, once its flags and key are there.
    fn read_value_head(&mut self, header: &Header) {
        let is_key = (1..=KEY_BYTES_MAX).contains(&header.key_bytes);
        if header.extras_bytes != FLAGS_BYTES || !is_key {
            return self.lose("a value has no flags, or no key that memcached could store");
        }
        let head_bytes = FLAGS_BYTES + header.key_bytes;
        let bytes = (header.body_bytes - head_bytes) as u64;
        if bytes > VALUE_BYTES_MAX {
            return self.lose("a reply states more than 1 GiB");
        }
        let Some((flags, key)) = self.buffer[HEADER_BYTES..].split_first_chunk::<FLAGS_BYTES>()
        else {
            return;
        };
        if key.len() < header.key_bytes {
            return;
        }
        self.events.push_back(ValueEvent::ValueBegin {
            key: key.to_vec(),
            flags: u32::from_be_bytes(*flags),
            bytes,
        });
        self.buffer.clear();
        self.enter_value(bytes);
    }

    fn enter_value(&mut self, missing: u64) {
        self.place = match missing {
            0 => {
                self.events.push_back(ValueEvent::ValueEnd);
                Place::Head
            }
            missing => Place::Value(missing),
        };
    }

    fn begin_body(&mut self, body_bytes: u64, outcome: Outcome) {
        self.buffer.clear();
        self.enter_body(body_bytes, outcome);
    }

    fn enter_body(&mut self, missing: u64, outcome: Outcome) {
        if missing > 0 {
            self.place = Place::Body(missing, outcome);
            return;
        }
        self.place = Place::Head;
        match outcome {
            Outcome::End => {
                self.not_found = 0;
                self.events.push_back(ValueEvent::End);
            }
            Outcome::NotFound if self.not_found == NOT_FOUND_MAX => {
                return self.lose("more keys are not found than were asked for");
            }
            Outcome::NotFound => self.not_found += 1,
            Outcome::Error(status) => {
                let words = match &quoted(&self.buffer)[..] {
                    "" => format!("status 0x{status:02x}"),
                    text => format!("{text} (status 0x{status:02x})"),
                };
                self.events.push_back(ValueEvent::Refused(words));
            }
        }
        self.buffer.clear();
    }

    fn lose(&mut self, why: &str) {
        self.place = Place::Lost;
        self.buffer = Vec::new();
        self.events.push_back(ValueEvent::Refused(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::ValueEvent::{End, Refused, ValueBegin, ValueData, ValueEnd};
    use super::*;

    const GETKQ: u8 = 0x0d;

    fn packet(opcode: u8, status: u16, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
        let body = [extras, key, value].concat();
        let mut packet = vec![0x81, opcode];
        packet.extend((key.len() as u16).to_be_bytes());
        packet.extend([extras.len() as u8, 0]);
        packet.extend(status.to_be_bytes());
        packet.extend((body.len() as u32).to_be_bytes());
        packet.extend([0; 12]);
        packet.extend(body);
        packet
    }

    /// The header of a GETKQ hit that states these lengths.
    fn header(key_bytes: u16, extras_bytes: u8, body_bytes: u32) -> Vec<u8> {
        let mut header = vec![0x81, GETKQ];
        header.extend(key_bytes.to_be_bytes());
        header.extend([extras_bytes, 0, 0, 0]);
        header.extend(body_bytes.to_be_bytes());
        header.extend([0; 12]);
        header
    }

    fn check(bytes: &[u8], expect: &[ValueEvent], is_lost: bool) {
        let mut decoder = BinaryValueDecoder::new();
        decoder.feed(bytes);
        let events: Vec<ValueEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events, expect, "{bytes:02x?}");
        assert_eq!(decoder.is_lost(), is_lost, "{bytes:02x?}");
    }

    fn begin(key: &[u8], flags: u32, bytes: u64) -> ValueEvent {
        ValueBegin {
            key: key.to_vec(),
            flags,
            bytes,
        }
    }

    #[test]
    fn values_come_until_the_no_operation() {
        let stream = [
            packet(GETKQ, 0, &[1, 2, 3, 4], b"a b\r\n", b"\x81\x0a"),
            packet(GETKQ, 0, &[0; 4], b"\0", b""),
            packet(GETKQ, 1, b"", b"", b"Not found"),
            packet(0x0a, 0, b"", b"", b""),
            packet(0x0a, 0, b"", b"", b""),
        ]
        .concat();
        let expect = [
            begin(b"a b\r\n", 0x0102_0304, 2),
            ValueData(b"\x81\x0a".to_vec()),
            ValueEnd,
            begin(b"\0", 0, 0),
            ValueEnd,
            End,
            End,
        ];
        check(&stream, &expect, false);
        check(
            &stream[..24 + 4 + 5 + 1],
            &[begin(b"a b\r\n", 0x0102_0304, 2), ValueData(vec![0x81])],
            false,
        );
        check(&stream[..24 + 4 + 4], &[], false);
    }

    #[test]
    fn errors_are_said_in_the_servers_words() {
        let stream = [
            packet(GETKQ, 0x20, b"", b"", b"Auth failure."),
            packet(GETKQ, 0x82, b"", b"", b""),
            packet(0x0a, 0x81, b"", b"", &[b'x'; 70_000]),
            packet(0x0a, 0, b"", b"", b""),
        ]
        .concat();
        let expect = [
            Refused("Auth failure. (status 0x20)".into()),
            Refused("status 0x82".into()),
            Refused(format!("{} (status 0x81)", "x".repeat(256))),
            End,
        ];
        check(&stream, &expect, false);
    }

    #[test]
    fn nonsense_is_refused_once() {
        let not_binary = || [Refused("what came is not the binary protocol".into())];
        let no_value = || {
            [Refused(
                "a value has no flags, or no key that memcached could store".into(),
            )]
        };
        let too_long = || [Refused("a reply states more than 1 GiB".into())];
        check(b"E", &not_binary(), true);
        check(b"END\r\nEND\r\n", &not_binary(), true);
        check(&header(3, 4, 6), &not_binary(), true);
        check(&header(0, 4, 6), &no_value(), true);
        check(&header(251, 4, 300), &no_value(), true);
        check(&header(1, 0, 6), &no_value(), true);
        check(&header(1, 8, 20), &no_value(), true);
        check(&header(1, 4, u32::MAX), &too_long(), true);
        check(&header(1, 4, (1 << 30) + 6), &too_long(), true);
        let other = [Refused("what came answers another request".into())];
        check(&packet(0x0b, 0, b"", b"", b"1.6.18"), &other, true);
    }

    #[test]
    fn keys_that_are_not_found_without_end_are_given_up() {
        let missing = packet(GETKQ, 1, b"", b"", b"");
        let end = packet(0x0a, 0, b"", b"", b"");
        let most = missing.repeat(NOT_FOUND_MAX as usize);
        let twice = [&most[..], &end, &most, &end].concat();
        let too_many = || Refused("more keys are not found than were asked for".into());
        check_quietly(&twice, &[End, End], false);
        check_quietly(&[&most[..], &missing, &end].concat(), &[too_many()], true);
    }

    /// As `check`, for streams that are too long to be shown.
    fn check_quietly(bytes: &[u8], expect: &[ValueEvent], is_lost: bool) {
        let mut decoder = BinaryValueDecoder::new();
        decoder.feed(bytes);
        let events: Vec<ValueEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events, expect);
        assert_eq!(decoder.is_lost(), is_lost);
    }

    #[test]
    fn the_largest_value_reserves_nothing() {
        let head = [header(1, 4, (1 << 30) + 5), vec![0, 0, 0, 0, b'k']].concat();
        check(&head, &[begin(b"k", 0, VALUE_BYTES_MAX)], false);
    }
}
