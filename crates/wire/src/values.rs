//! Reading values. Only a dump does that, and only because the user asked for one of one server.
//!
//! The other decoder of the text protocol steps over values without keeping them, on purpose. This
//! one hands them out piece by piece as they come, so that a value of 1 GiB needs no more memory
//! than one of ten bytes.

use std::collections::VecDeque;

use crate::lines::{Line, LineReader, number, quoted};
use crate::request::append_binary_request;
use crate::{ServerVersion, opcode};

/// The longest key that memcached stores, in bytes.
pub const KEY_BYTES_MAX: usize = 250;

/// The most keys that one `get` may name. It makes the line shorter than 24 KiB with the longest
/// keys too, which every version reads: behind `get ` a line may be longer than the 1 or 2 KiB that
/// other commands get.
pub const KEYS_PER_GET_MAX: usize = 96;

/// The longest value that is read, in bytes. Memcached can be told to store up to 1 GiB (`-I`).
pub const VALUE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The longest key that a meta set can name, in bytes: in base64 it may not be longer than any other
/// key, and four characters stand for each three bytes.
pub const META_KEY_BYTES_MAX: usize = KEY_BYTES_MAX / 4 * 3;

const GET_LINE_BYTES_MAX: usize = "get".len() + KEYS_PER_GET_MAX * (1 + KEY_BYTES_MAX) + 2;
const _: () = assert!(GET_LINE_BYTES_MAX < 24 * 1024);

/// Asks for the values of keys that a listing named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadValues;

impl ReadValues {
    /// `get KEY KEY …`, ended by `\r\n`; read the reply with a [`ValueDecoder`]. `get` and not
    /// `gets`, because versions before 1.2.4 do not know that.
    ///
    /// `None` if a key cannot be written (see [`is_ascii_key`]), if there are none, or more than
    /// [`KEYS_PER_GET_MAX`].
    pub fn ascii(keys: &[&[u8]]) -> Option<Vec<u8>> {
        let is_possible = (1..=KEYS_PER_GET_MAX).contains(&keys.len())
            && keys.iter().all(|key| is_ascii_key(key));
        if !is_possible {
            return None;
        }
        let mut line = b"get".to_vec();
        for key in keys {
            line.push(b' ');
            line.extend_from_slice(key);
        }
        line.extend_from_slice(b"\r\n");
        Some(line)
    }

    /// A GETKQ packet for each key, whatever its bytes, and a NOOP that ends the reply; read it with
    /// a [`BinaryValueDecoder`](crate::BinaryValueDecoder). Keys that are not stored give nothing.
    ///
    /// The packets are numbered from `opaque_first` on (wrapping), the NOOP last. A key that no
    /// server can store, because it is empty or longer than [`KEY_BYTES_MAX`], is left out, and so
    /// is not found: servers close the connection of who asks for one.
    pub fn binary(keys: &[&[u8]], opaque_first: u32) -> Vec<u8> {
        let mut packets = Vec::new();
        let mut opaque = opaque_first;
        for key in keys {
            if (1..=KEY_BYTES_MAX).contains(&key.len()) {
                append_binary_request(opcode::GETKQ, key, &[], opaque, &mut packets);
            }
            opaque = opaque.wrapping_add(1);
        }
        append_binary_request(opcode::NOOP, &[], &[], opaque, &mut packets);
        packets
    }
}

/// Whether the text protocol can name this key: 1 to [`KEY_BYTES_MAX`] bytes without spaces and
/// control characters (`doc/protocol.txt`, section "Keys"). Other keys can be stored with the binary
/// protocol, and only be read with it.
pub fn is_ascii_key(key: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len())
        && !key
            .iter()
            .any(|byte| *byte == b' ' || byte.is_ascii_control())
}

/// The first line of a command that stores this key in another server, as `memcached-tool dump`
/// prints it: `add KEY FLAGS EXPTIME BYTES`, ended by `\r\n`. The value and `\r\n` belong behind it.
///
/// It is text for a file, and no request: nothing in this program sends it.
///
/// `expires_unix_s` in seconds since the Unix epoch, 0 or below for never. `None` if the text
/// protocol cannot name the key (see [`is_ascii_key`]).
pub fn add_line(key: &[u8], flags: u32, expires_unix_s: i64, bytes: u64) -> Option<Vec<u8>> {
    if !is_ascii_key(key) {
        return None;
    }
    let numbers = format!(" {flags} {} {bytes}\r\n", expires_unix_s.max(0));
    Some([b"add ", key, numbers.as_bytes()].concat())
}

/// The first line of a command that stores a key of any bytes in another server:
/// `ms BASE64KEY BYTES b F<flags> T<exptime> ME`, ended by `\r\n`. The value and `\r\n` belong behind
/// it. `ME` makes it an `add`; the server answers `HD` where that says `STORED`.
///
/// It is text for a file, and no request: nothing in this program sends it.
///
/// `expires_unix_s` as in [`add_line`]. `None` if the key is empty or longer than
/// [`META_KEY_BYTES_MAX`].
pub fn meta_set_line(key: &[u8], flags: u32, expires_unix_s: i64, bytes: u64) -> Option<Vec<u8>> {
    if !(1..=META_KEY_BYTES_MAX).contains(&key.len()) {
        return None;
    }
    let name = base64(key);
    let expires = expires_unix_s.max(0);
    Some(format!("ms {name} {bytes} b F{flags} T{expires} ME\r\n").into_bytes())
}

/// Whether servers of this version take a [`meta_set_line`]: 1.6.10 brought keys in base64.
pub fn takes_meta_set(version: &ServerVersion) -> bool {
    *version >= ServerVersion::new(1, 6, 10)
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..4 {
            if place <= group.len() {
                text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// A piece of a reply that holds values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueEvent {
    /// A value begins.
    ValueBegin {
        /// Its key.
        key: Vec<u8>,
        /// The number that the client stored with it.
        flags: u32,
        /// How long it will be, at most [`VALUE_BYTES_MAX`].
        bytes: u64,
    },
    /// The next bytes of the value, never none. How a value is cut into them means nothing.
    ValueData(Vec<u8>),
    /// The value is whole. Without this it is not: the rest never came.
    ValueEnd,
    /// The reply ends: keys that were asked and gave no value are not stored (any more).
    End,
    /// Something was not given, in the server's words, at most 256 characters of them; or what came
    /// cannot be read. A value that had begun is not whole.
    Refused(String),
}

/// Reads replies to [`ReadValues::ascii`], one after the other, in constant memory. Any split of
/// the bytes gives the same events, but for how values are cut.
///
/// A line of error ends a reply. Anything else that is neither a value nor an end means that the
/// place in the stream is lost; then one [`ValueEvent::Refused`] is said and nothing after it,
/// because to look for the next line would be to read lines out of other people's data.
#[derive(Clone, Debug, Default)]
pub struct ValueDecoder {
    lines: LineReader,
    place: Place,
    events: VecDeque<ValueEvent>,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Line,
    /// In the data of a value, with so many bytes to come; at least 1.
    Data(u64),
    /// Behind the data, where `\r\n` stands; and behind that `\r`.
    DataEnd,
    DataEndNewline,
    Lost,
}

impl ValueDecoder {
    /// A decoder at the beginning of a reply.
    pub fn new() -> ValueDecoder {
        ValueDecoder::default()
    }

    /// Takes the bytes that came next. Fetch the events after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            match self.place {
                Place::Line => self.feed_line(&mut rest),
                Place::Data(missing) => {
                    let (data, left) = split_at_most(rest, missing);
                    self.events.push_back(ValueEvent::ValueData(data.to_vec()));
                    self.place = place_in_data(missing - data.len() as u64);
                    rest = left;
                }
                Place::DataEnd if *first == b'\r' => {
                    self.place = Place::DataEndNewline;
                    rest = &rest[1..];
                }
                Place::DataEndNewline if *first == b'\n' => {
                    self.place = Place::Line;
                    self.events.push_back(ValueEvent::ValueEnd);
                    rest = &rest[1..];
                }
                Place::DataEnd | Place::DataEndNewline => {
                    self.lose("no line end stands behind a value".into());
                }
                Place::Lost => return,
            }
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

    /// Takes bytes up to the end of a line.
    fn feed_line(&mut self, rest: &mut &[u8]) {
        let (text, meaning) = match self.lines.take(rest) {
            None => return,
            Some(Line::Whole(text)) => (text, event_of_line(text)),
            Some(Line::Overlong(text)) => (text, None),
        };
        let Some(event) = meaning else {
            let text = quoted(text);
            return self.lose(text);
        };
        if let ValueEvent::ValueBegin { bytes, .. } = event {
            self.place = place_in_data(bytes);
        }
        self.events.push_back(event);
    }

    fn lose(&mut self, why: String) {
        self.place = Place::Lost;
        self.events.push_back(ValueEvent::Refused(why));
    }
}

/// At most so many bytes, and the rest.
pub(crate) fn split_at_most(bytes: &[u8], count: u64) -> (&[u8], &[u8]) {
    // Whatever does not fit usize is more than any slice has.
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    bytes.split_at(bytes.len().min(count))
}

fn place_in_data(missing: u64) -> Place {
    match missing {
        0 => Place::DataEnd,
        missing => Place::Data(missing),
    }
}

/// The meaning of a line that is part of a reply to `get`.
fn event_of_line(line: &[u8]) -> Option<ValueEvent> {
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    match (word, rest) {
        (b"VALUE", Some(rest)) => value_begin(rest),
        (b"END", None) => Some(ValueEvent::End),
        (b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR", _) => {
            Some(ValueEvent::Refused(quoted(line)))
        }
        _ => None,
    }
}

/// `key flags length`, and perhaps a compare-and-swap value.
fn value_begin(rest: &[u8]) -> Option<ValueEvent> {
    let fields: Vec<&[u8]> = rest.splitn(5, |byte| *byte == b' ').collect();
    let ([key, flags, bytes] | [key, flags, bytes, _]) = fields[..] else {
        return None;
    };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return None;
    }
    Some(ValueEvent::ValueBegin {
        key: key.to_vec(),
        flags: number(flags)?,
        bytes: number(bytes).filter(|bytes| *bytes <= VALUE_BYTES_MAX)?,
    })
}

#[cfg(test)]
mod tests {
    use super::ValueEvent::{End, Refused, ValueBegin, ValueData, ValueEnd};
    use super::*;

    fn begin(key: &str, flags: u32, bytes: u64) -> ValueEvent {
        ValueBegin {
            key: key.into(),
            flags,
            bytes,
        }
    }

    /// A whole value of text.
    fn value(key: &str, flags: u32, data: &str) -> Vec<ValueEvent> {
        let mut events = vec![begin(key, flags, data.len() as u64)];
        events.extend((!data.is_empty()).then(|| ValueData(data.into())));
        events.push(ValueEnd);
        events
    }

    fn check(bytes: &[u8], expect: &[ValueEvent], is_lost: bool) {
        let mut decoder = ValueDecoder::new();
        decoder.feed(bytes);
        let events: Vec<ValueEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events, expect, "{}", bytes.escape_ascii());
        assert_eq!(decoder.is_lost(), is_lost, "{}", bytes.escape_ascii());
    }

    #[test]
    fn values_are_read_with_any_content() {
        check(b"END\r\n", &[End], false);
        let two = [value("k", 5, "abc"), value("l", 0, ""), vec![End]].concat();
        check(
            b"VALUE k 5 3\r\nabc\r\nVALUE l 0 0 99\r\n\r\nEND\r\n",
            &two,
            false,
        );
        let sly = "END\r\nVALUE x 0 1\r\n";
        let expect = [value("k", u32::MAX, sly), vec![End]].concat();
        let reply = format!("VALUE k 4294967295 {}\r\n{sly}\r\nEND\r\n", sly.len());
        check(reply.as_bytes(), &expect, false);
    }

    #[test]
    fn a_cut_value_has_no_end() {
        check(
            b"VALUE k 0 3\r\nab",
            &[begin("k", 0, 3), ValueData(b"ab".into())],
            false,
        );
        for end in ["", "\r"] {
            let reply = format!("VALUE k 0 3\r\nabc{end}");
            let expect = [begin("k", 0, 3), ValueData(b"abc".into())];
            check(reply.as_bytes(), &expect, false);
        }
        check(b"VALUE k 0 3", &[], false);
    }

    #[test]
    fn errors_end_a_reply_and_nonsense_all_of_them() {
        for line in [
            "ERROR",
            "CLIENT_ERROR unauthenticated",
            "SERVER_ERROR out of memory writing get response",
        ] {
            let expect = [Refused(line.into()), End];
            check(format!("{line}\r\nEND\r\n").as_bytes(), &expect, false);
        }
        let too_long = format!("VALUE {} 0 1", "k".repeat(251));
        for line in [
            "",
            "VALUE",
            "VALUE k 0",
            "VALUE  0 1",
            "VALUE k 0 1 2 3",
            "VALUE k 0 x",
            "VALUE k 0 -1",
            "VALUE k 0 +1",
            "VALUE k 0 1073741825",
            "VALUE k 0 18446744073709551616",
            "VALUE k 4294967296 1",
            "END x",
            "STORED",
            "SSH-2.0-OpenSSH_9.2",
            &too_long[..],
        ] {
            let expect: String = line.chars().take(256).collect();
            check(
                format!("{line}\r\na\r\nEND\r\n").as_bytes(),
                &[Refused(expect)],
                true,
            );
        }
        check(&[b'x'; 20_000], &[Refused("x".repeat(256))], true);
    }

    #[test]
    fn a_length_that_lies_is_noticed() {
        let refused = || Refused("no line end stands behind a value".into());
        for data in ["abc\r\n", "a\nEND\r\n", "a\rEND\r\n"] {
            let reply = format!("VALUE k 0 1\r\n{data}END\r\n");
            let expect = [begin("k", 0, 1), ValueData(b"a".into()), refused()];
            check(reply.as_bytes(), &expect, true);
        }
    }

    #[test]
    fn the_largest_value_reserves_nothing() {
        check(
            b"VALUE k 0 1073741824\r\n",
            &[begin("k", 0, VALUE_BYTES_MAX)],
            false,
        );
    }

    #[test]
    fn a_get_names_only_what_the_text_protocol_can_name() {
        let get = |keys: &[&str]| {
            let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
            ReadValues::ascii(&keys).map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(get(&["a"]).as_deref(), Some("get a\r\n"));
        assert_eq!(get(&["a", "あ"]).as_deref(), Some("get a あ\r\n"));
        assert_eq!(get(&[]), None);
        for key in [
            "",
            "a b",
            " ",
            "a\r\nflush_all",
            "a\n",
            "a\t",
            "a\0",
            "a\u{7f}",
        ] {
            assert_eq!(get(&["a", key]), None, "{key:?}");
            assert_eq!(add_line(key.as_bytes(), 0, 0, 0), None, "{key:?}");
        }
        let longest = "k".repeat(KEY_BYTES_MAX);
        let line = get(&vec![&longest[..]; KEYS_PER_GET_MAX]).unwrap();
        assert_eq!(line.len(), GET_LINE_BYTES_MAX);
        assert_eq!(get(&vec!["k"; KEYS_PER_GET_MAX + 1]), None);
        assert_eq!(get(&[&format!("{longest}k")]), None);
    }

    #[test]
    fn binary_packets_name_any_key() {
        let header = |opcode: u8, key_bytes: u8, opaque: u8| {
            let mut header = vec![0x80, opcode, 0, key_bytes, 0, 0, 0, 0, 0, 0, 0, key_bytes];
            header.extend([0, 0, 0, opaque]);
            header.extend([0; 8]);
            header
        };
        let long = vec![b'k'; KEY_BYTES_MAX + 1];
        let expect = [
            header(0x0d, 5, 7),
            b"a b\r\n".to_vec(),
            header(0x0d, 1, 10),
            b"\0".to_vec(),
            header(0x0a, 0, 11),
        ];
        let packets = ReadValues::binary(&[b"a b\r\n", b"", &long, b"\0"], 7);
        assert_eq!(packets, expect.concat());
        let wrapped = ReadValues::binary(&[b"k"], u32::MAX);
        assert_eq!(wrapped[12..16], [0xff; 4]);
        assert_eq!(wrapped[25 + 12..25 + 16], [0; 4]);
    }

    #[test]
    fn add_lines_are_those_of_memcached_tool() {
        let check = |line: Option<Vec<u8>>, expect: &str| {
            assert_eq!(line.as_deref(), Some(expect.as_bytes()));
        };
        check(add_line(b"user:1", 5, 0, 11), "add user:1 5 0 11\r\n");
        check(
            add_line(b"bin", 1, 1_795_369_962, 4),
            "add bin 1 1795369962 4\r\n",
        );
        check(add_line(b"never", 0, -1, 0), "add never 0 0 0\r\n");
        let (flags, bytes) = (u32::MAX, u64::MAX);
        check(
            add_line(b"k", flags, i64::MAX, bytes),
            &format!("add k {flags} {} {bytes}\r\n", i64::MAX),
        );
    }

    #[test]
    fn meta_sets_name_any_key_that_is_short_enough() {
        let line = |key: &[u8]| meta_set_line(key, 7, 0, 2);
        let text = |key: &[u8]| String::from_utf8(line(key).unwrap()).unwrap();
        // The groups of RFC 4648, section 10.
        for (key, name) in [
            (&b"f"[..], "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"two words", "dHdvIHdvcmRz"),
            (b"\0\r\n\xff\xfe", "AA0K//4="),
        ] {
            assert_eq!(text(key), format!("ms {name} 2 b F7 T0 ME\r\n"));
        }
        let expiring = meta_set_line(b" ", u32::MAX, 1_795_369_962, 0).unwrap();
        assert_eq!(expiring, b"ms IA== 0 b F4294967295 T1795369962 ME\r\n");
        assert_eq!(meta_set_line(b" ", 0, -1, 0), meta_set_line(b" ", 0, 0, 0));
        let longest = text(&[b' '; META_KEY_BYTES_MAX]);
        let name = longest.split(' ').nth(1).unwrap();
        assert!((KEY_BYTES_MAX - 3..=KEY_BYTES_MAX).contains(&name.len()));
        assert_eq!(line(&[b' '; META_KEY_BYTES_MAX + 1]), None);
        assert_eq!(line(b""), None);
    }

    #[test]
    fn base64_names_came_with_1_6_10() {
        for (version, expect) in [
            ("1.6.9", false),
            ("1.6.10", true),
            ("1.6.45", true),
            ("1.5.22", false),
            ("1.4.15", false),
        ] {
            let version = ServerVersion::parse(version).unwrap();
            assert_eq!(takes_meta_set(&version), expect, "{version}");
        }
    }
}
