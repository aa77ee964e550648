//! Listings of keys and sizes: the requests that need a [`Clearance`], and readers of the keys.
//!
//! A metadump lists every key of a server, in any number; a cachedump some of one slab class. Both
//! decoders hand out key after key and keep none, so a listing of millions costs no more memory
//! than one of ten, as long as the events are fetched after each piece.
//!
//! Whoever sends a metadump has to read on at full speed until its end: before 1.6.44 a client that
//! stops reading makes the server write beyond its buffer. It has to be the only request that is
//! under way on its connection, or 1.6.0 and newer answer
//! `ERROR cannot pipeline other commands before metadump`.
//!
//! Versions before 1.5.4 end a metadump without a word ([`MetadumpRequest::has_end`]): after the last
//! key, or at once if there is none, they are silent. To know the end, wait until nothing has come
//! for a while, and ask [`Request::Version`](crate::Request::Version) on the same connection. It is
//! answered as soon as the listing is done, and not before ([`MetadumpEvent::Version`]). Asked
//! earlier it may be left lying in the server's buffer.

use std::collections::VecDeque;

use crate::lines::{Line, LineReader, number, quoted};
use crate::request::append_binary_request;
use crate::{Clearance, Frame, Risky, ServerVersion, opcode};

/// The most keys that one cachedump may ask for.
///
/// A server writes the whole reply while it holds a lock: before 1.4.23 that of the whole cache,
/// since then that of the slab class. A thousand of the longest keys take 1.6.18 about 0.2 ms, so nobody
/// notices. A count of 0 would mean "up to 2 MB", some 40,000 short keys, and is never sent. To ask
/// again brings no further keys: a cachedump always begins at the same end.
pub const CACHEDUMP_KEYS_MAX: u32 = 1_000;

/// The highest slab class that a cachedump may ask for. Versions differ in how many there are (63
/// since 1.4.23, 199 or 254 before), but each takes these numbers, and answers `CLIENT_ERROR` if
/// there is no such class; 1.2.x and 1.4.0 and 1.4.1 read beyond their table at 255.
pub const CACHEDUMP_CLASS_MAX: u32 = 199;

/// `lru_crawler metadump all`: every key with its metadata.
#[derive(Debug)]
pub struct MetadumpRequest(());

impl MetadumpRequest {
    /// The request; `None` if the clearance is for something else.
    pub fn new(clearance: Clearance) -> Option<MetadumpRequest> {
        clearance.admits(Risky::Metadump).then_some(Self(()))
    }

    /// Appends the request to `out`: one line, ended by `\r\n`.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"lru_crawler metadump all\r\n");
    }

    /// Whether a server of this version says when its listing ends; 1.5.4 and newer do.
    pub fn has_end(version: &ServerVersion) -> bool {
        *version >= ServerVersion::new(1, 5, 4)
    }
}

/// `stats cachedump CLASS COUNT`: up to `COUNT` keys of one slab class.
///
/// Since 1.5.0 it lists only the part of the class that was not used lately (the COLD LRU), and
/// since 1.4.34 it can be switched off (`-X`).
#[derive(Debug)]
pub struct CacheDumpRequest {
    class: u32,
    count: u32,
}

impl CacheDumpRequest {
    /// The request; `None` if the clearance is for something else, `class` is not in
    /// 1..=[`CACHEDUMP_CLASS_MAX`] or `count` not in 1..=[`CACHEDUMP_KEYS_MAX`].
    pub fn new(clearance: Clearance, class: u32, count: u32) -> Option<CacheDumpRequest> {
        let is_possible = clearance.admits(Risky::CacheDump)
            && (1..=CACHEDUMP_CLASS_MAX).contains(&class)
            && (1..=CACHEDUMP_KEYS_MAX).contains(&count);
        is_possible.then_some(Self { class, count })
    }

    /// Appends the request to `out`: one line, ended by `\r\n`.
    pub fn encode(self, out: &mut Vec<u8>) {
        let line = format!("stats cachedump {} {}\r\n", self.class, self.count);
        out.extend_from_slice(line.as_bytes());
    }
}

/// `stats sizes`: how many items there are of each size. The answer is ordinary statistics; from
/// 1.4.27 on they are a single `sizes_status disabled` unless the server keeps count.
#[derive(Debug)]
pub struct SizesRequest(());

impl SizesRequest {
    /// The request; `None` if the clearance is for something else.
    pub fn new(clearance: Clearance) -> Option<SizesRequest> {
        clearance.admits(Risky::Sizes).then_some(Self(()))
    }

    /// Appends the request to `out`: one line, ended by `\r\n`.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"stats sizes\r\n");
    }

    /// Appends the request to `out` as a packet of the binary protocol: STAT with the key `sizes`.
    /// `opaque` comes back in every reply to it.
    pub fn encode_binary(self, opaque: u32, out: &mut Vec<u8>) {
        append_binary_request(opcode::STAT, b"sizes", &[], opaque, out);
    }

    /// The request as a whole datagram. The frame's total is 1 and its sequence 0, as in
    /// [`DatagramRequest::encode`](crate::DatagramRequest::encode).
    pub fn encode_datagram(self, request_id: u16) -> Vec<u8> {
        let frame = Frame {
            request_id,
            sequence: 0,
            total: 1,
            reserved: 0,
        };
        let mut datagram = frame.to_bytes().to_vec();
        self.encode(&mut datagram);
        datagram
    }
}

/// What a listing says of a key. `None` where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedKey {
    /// The key's name. Any bytes are possible: it was decoded once if the listing encodes names.
    pub name: Vec<u8>,
    /// When the key expires, in seconds since the Unix epoch; `None` if never.
    ///
    /// A cachedump of versions before 1.4.33 says the time of the server's start, or the second
    /// before it, for "never"; it is passed on as it is, because only who knows that time can tell.
    /// Before 1.2.5 it is the time of the last use.
    pub expires: Option<i64>,
    /// When it was last used, in seconds since the Unix epoch.
    pub last_access: Option<i64>,
    /// Its compare-and-swap number.
    pub cas: Option<u64>,
    /// Whether it was read since it was stored.
    pub fetched: Option<bool>,
    /// Its slab class.
    pub class: Option<u32>,
    /// Its size in bytes: in a metadump of the whole item, in a cachedump of the value alone.
    pub size_bytes: Option<u64>,
}

/// What was odd about a listing, up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingAnomalies {
    /// Lines longer than [`LINE_BYTES_MAX`](crate::LINE_BYTES_MAX), which gave no key.
    pub overlong_lines: u64,
    /// Lines among the keys that are none; they gave no event.
    pub odd_lines: u64,
    /// Bytes of a line that is not finished.
    pub pending_bytes: usize,
}

/// A piece of the reply to a [`MetadumpRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadumpEvent {
    /// `OK`: the server begins to list. Said by 1.6.43 and newer alone.
    Started,
    /// A key.
    Key(ListedKey),
    /// The end: all keys were listed. An empty cache may have `NOTSTARTED` in its place. Versions
    /// before 1.5.4 do not say it.
    End,
    /// `VERSION …`: what stands behind the word. If `version` was asked behind the listing, the
    /// listing has ended; if not, this server is no memcached.
    Version(String),
    /// The reply ends, or never began, with this line: `ERROR metadump not allowed`,
    /// `CLIENT_ERROR lru crawler disabled`, `BUSY currently processing crawler request`, or anything
    /// that is no listing; at most 256 characters of it. Keys that came before are true.
    ///
    /// `BUSY` passes: a server looks through its cache now and then on its own account, always so
    /// just after its start, and does one such thing at a time. Ask again a little later.
    Refused(String),
}

/// A piece of the reply to a [`CacheDumpRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheDumpEvent {
    /// A key; its class is not said.
    Key(ListedKey),
    /// The end.
    End,
    /// The reply ends, or never began, with this line: `CLIENT_ERROR stats cachedump not allowed`,
    /// or anything that is no listing; at most 256 characters of it.
    Refused(String),
}

/// Reads metadumps, one after the other. Any split of the bytes gives the same events.
///
/// It never fails; it holds at most an unfinished line and the events that were not fetched yet.
#[derive(Clone, Debug)]
pub struct MetadumpDecoder {
    listing: Listing<MetadumpEvent>,
}

impl MetadumpDecoder {
    /// A decoder at the beginning of a reply.
    pub fn new() -> MetadumpDecoder {
        MetadumpDecoder {
            listing: Listing::new(metadump_event, MetadumpEvent::Refused, |event| {
                matches!(event, MetadumpEvent::Started | MetadumpEvent::Key(_))
            }),
        }
    }

    /// Takes the bytes that came next. Fetch the events after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.listing.feed(bytes);
    }

    /// The next event, if one is whole.
    pub fn next_event(&mut self) -> Option<MetadumpEvent> {
        self.listing.events.pop_front()
    }

    /// What was odd up to now.
    pub fn anomalies(&self) -> ListingAnomalies {
        self.listing.anomalies()
    }
}

impl Default for MetadumpDecoder {
    fn default() -> MetadumpDecoder {
        MetadumpDecoder::new()
    }
}

/// Reads cachedumps, one after the other. Any split of the bytes gives the same events.
///
/// It never fails; it holds at most an unfinished line and the events that were not fetched yet.
#[derive(Clone, Debug)]
pub struct CacheDumpDecoder {
    listing: Listing<CacheDumpEvent>,
}

impl CacheDumpDecoder {
    /// A decoder at the beginning of a reply.
    pub fn new() -> CacheDumpDecoder {
        CacheDumpDecoder {
            listing: Listing::new(cachedump_event, CacheDumpEvent::Refused, |event| {
                matches!(event, CacheDumpEvent::Key(_))
            }),
        }
    }

    /// Takes the bytes that came next. Fetch the events after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.listing.feed(bytes);
    }

    /// The next event, if one is whole.
    pub fn next_event(&mut self) -> Option<CacheDumpEvent> {
        self.listing.events.pop_front()
    }

    /// What was odd up to now.
    pub fn anomalies(&self) -> ListingAnomalies {
        self.listing.anomalies()
    }
}

impl Default for CacheDumpDecoder {
    fn default() -> CacheDumpDecoder {
        CacheDumpDecoder::new()
    }
}

/// What is alike in both kinds of listings, with events `E`.
#[derive(Clone, Debug)]
struct Listing<E> {
    /// The meaning of a line.
    meaning: fn(&[u8]) -> Option<E>,
    /// The event for a line that is the whole reply, and no listing.
    refused: fn(String) -> E,
    /// Whether the reply goes on after an event.
    goes_on: fn(&E) -> bool,
    lines: LineReader,
    events: VecDeque<E>,
    /// Whether the present reply has begun as a listing. Before that, a line without a meaning is
    /// the reply itself; later it is something odd among the rows.
    has_begun: bool,
    overlong_lines: u64,
    odd_lines: u64,
}

impl<E> Listing<E> {
    fn new(
        meaning: fn(&[u8]) -> Option<E>,
        refused: fn(String) -> E,
        goes_on: fn(&E) -> bool,
    ) -> Listing<E> {
        Listing {
            meaning,
            refused,
            goes_on,
            lines: LineReader::default(),
            events: VecDeque::new(),
            has_begun: false,
            overlong_lines: 0,
            odd_lines: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(line) = self.lines.take(&mut rest) {
            let (text, understood) = match line {
                Line::Whole(text) => (text, (self.meaning)(text)),
                Line::Overlong(text) => (text, None),
            };
            self.overlong_lines += u64::from(matches!(line, Line::Overlong(_)));
            let event = match understood {
                Some(event) => event,
                None if self.has_begun => {
                    self.odd_lines += u64::from(matches!(line, Line::Whole(_)));
                    continue;
                }
                None => (self.refused)(quoted(text)),
            };
            self.has_begun = (self.goes_on)(&event);
            self.events.push_back(event);
        }
    }

    fn anomalies(&self) -> ListingAnomalies {
        ListingAnomalies {
            overlong_lines: self.overlong_lines,
            odd_lines: self.odd_lines,
            pending_bytes: self.lines.pending_bytes(),
        }
    }
}

/// Whether a line ends a reply because the server will not or cannot list.
fn is_refusal(line: &[u8]) -> bool {
    let word = line.split(|byte| *byte == b' ').next();
    let words: [&[u8]; 5] = [
        b"ERROR",
        b"CLIENT_ERROR",
        b"SERVER_ERROR",
        b"BUSY",
        b"BADCLASS",
    ];
    word.is_some_and(|word| words.contains(&word))
}

fn metadump_event(line: &[u8]) -> Option<MetadumpEvent> {
    match line {
        b"OK" => Some(MetadumpEvent::Started),
        b"END" | b"NOTSTARTED no items to crawl" => Some(MetadumpEvent::End),
        [b'V', b'E', b'R', b'S', b'I', b'O', b'N', b' ', text @ ..] => {
            Some(MetadumpEvent::Version(quoted(text)))
        }
        _ if is_refusal(line) => Some(MetadumpEvent::Refused(quoted(line))),
        _ => metadump_key(line).map(MetadumpEvent::Key),
    }
}

fn cachedump_event(line: &[u8]) -> Option<CacheDumpEvent> {
    match line {
        b"END" => Some(CacheDumpEvent::End),
        _ if is_refusal(line) => Some(CacheDumpEvent::Refused(quoted(line))),
        _ => cachedump_key(line).map(CacheDumpEvent::Key),
    }
}

/// `key=NAME exp=-1 la=… cas=… fetch=no cls=1 size=61 flags=0`: which fields there are, and whether
/// a space follows the last, depends on the version. Unknown fields are passed over.
fn metadump_key(line: &[u8]) -> Option<ListedKey> {
    let mut fields = line.split(|byte| *byte == b' ');
    let name = fields.next()?.strip_prefix(b"key=")?;
    let mut key = ListedKey {
        name: percent_decoded(name),
        ..ListedKey::default()
    };
    for field in fields {
        let mut halves = field.splitn(2, |byte| *byte == b'=');
        let (word, value) = (halves.next()?, halves.next().unwrap_or_default());
        match word {
            b"exp" => key.expires = expiry(value),
            b"la" => key.last_access = number(value),
            b"cas" => key.cas = number(value),
            b"fetch" => key.fetched = yes_or_no(value),
            b"cls" => key.class = number(value),
            b"size" => key.size_bytes = number(value),
            _ => {}
        }
    }
    Some(key)
}

/// `ITEM NAME [N b; T s]`: the value has N bytes and the key expires at T. The name is as it was
/// stored, so it may have spaces and brackets; it is the row's end that has to fit.
fn cachedump_key(line: &[u8]) -> Option<ListedKey> {
    let rest = line.strip_prefix(b"ITEM ")?.strip_suffix(b" s]")?;
    let bracket = rest.windows(2).rposition(|pair| pair == b" [")?;
    let (name, numbers) = (&rest[..bracket], &rest[bracket + 2..]);
    let separator = numbers.windows(4).position(|four| four == b" b; ")?;
    let (bytes, time) = (&numbers[..separator], &numbers[separator + 4..]);
    // Both are there in every version; anything else is a piece of a name with line ends.
    number::<i64>(bytes).and(number::<i64>(time))?;
    Some(ListedKey {
        name: name.to_vec(),
        expires: expiry(time),
        size_bytes: number(bytes),
        ..ListedKey::default()
    })
}

/// A time of expiry; 0 and -1 mean never.
fn expiry(digits: &[u8]) -> Option<i64> {
    number(digits).filter(|time| *time > 0)
}

fn yes_or_no(word: &[u8]) -> Option<bool> {
    match word {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// Decodes `%41` to `A`, once: a metadump encodes every name, also one that looks encoded already.
/// A percent sign without two hexadecimal digits stays what it is.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            decoded.push(high << 4 | low);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadump(bytes: &[u8]) -> Vec<MetadumpEvent> {
        let mut decoder = MetadumpDecoder::new();
        decoder.feed(bytes);
        std::iter::from_fn(|| decoder.next_event()).collect()
    }

    fn cachedump(bytes: &[u8]) -> Vec<CacheDumpEvent> {
        let mut decoder = CacheDumpDecoder::new();
        decoder.feed(bytes);
        std::iter::from_fn(|| decoder.next_event()).collect()
    }

    fn named(name: &[u8]) -> ListedKey {
        ListedKey {
            name: name.to_vec(),
            ..ListedKey::default()
        }
    }

    #[test]
    fn a_metadump_row_becomes_a_key() {
        let row = |line: &str| match &metadump(format!("{line}\n").as_bytes())[..] {
            [MetadumpEvent::Key(key)] => key.clone(),
            other => panic!("{line}: {other:?}"),
        };
        let whole = ListedKey {
            name: b"a".to_vec(),
            expires: None,
            last_access: Some(1795367624),
            cas: Some(2),
            fetched: Some(false),
            class: Some(1),
            size_bytes: Some(61),
        };
        let newest = "key=a exp=-1 la=1795367624 cas=2 fetch=no cls=1 size=61 flags=0 ";
        assert_eq!(row(newest), whole);
        assert_eq!(row(newest.trim_end()), whole);
        let extstore = "key=a exp=0 la=1795367624 cas=2 fetch=no cls=1 size=61 flags=0 ext_page=3 \
                        ext_offset=7 ";
        assert_eq!(row(extstore), whole);
        let oldest = ListedKey {
            expires: Some(1795371134),
            fetched: Some(true),
            class: None,
            size_bytes: None,
            ..whole
        };
        assert_eq!(
            row("key=a exp=1795371134 la=1795367624 cas=2 fetch=yes"),
            oldest
        );
        // What does not parse is not known.
        assert_eq!(
            row("key=a exp=x la=+1 cas=-1 fetch=maybe cls=x size= "),
            named(b"a")
        );
        assert_eq!(row("key=a"), named(b"a"));
        assert_eq!(row("key="), named(b""));
    }

    #[test]
    fn names_are_decoded_exactly_once() {
        let check = |encoded: &str, expect: &[u8]| {
            assert_eq!(percent_decoded(encoded.as_bytes()), expect, "{encoded}");
        };
        check("session%3Aabc", b"session:abc");
        check("url%2520enc", b"url%20enc");
        check("%E3%81%82%00%ff%FF", b"\xe3\x81\x82\0\xff\xff");
        check("100%", b"100%");
        check("%4", b"%4");
        check("%zz%+1%%41", b"%zz%+1%A");
        check("a+b", b"a+b");
        check("", b"");
    }

    #[test]
    fn a_metadump_begins_and_ends_as_the_version_does() {
        use MetadumpEvent::{End, Key, Refused, Started, Version};
        let key = || Key(named(b"a"));
        let check = |bytes: &str, expect: &[MetadumpEvent]| {
            assert_eq!(metadump(bytes.as_bytes()), expect, "{bytes:?}");
        };
        check("END\r\n", &[End]);
        check("OK\r\nkey=a\nEND\r\n", &[Started, key(), End]);
        check("key=a\nEND\r\n", &[key(), End]);
        check("NOTSTARTED no items to crawl\r\n", &[End]);
        for line in [
            "ERROR",
            "ERROR metadump not allowed",
            "ERROR cannot pipeline other commands before metadump",
            "CLIENT_ERROR lru crawler disabled",
            "CLIENT_ERROR unauthenticated",
            "BUSY currently processing crawler request",
            "BADCLASS invalid class id",
            "VERSION",
            "220 mail ESMTP",
            "",
        ] {
            let refused = Refused(line.into());
            check(&format!("{line}\r\n"), &[refused]);
        }
        // A server that gives up in the middle.
        let locked = "ERROR locked try again later";
        check(
            &format!("OK\r\nkey=a\n{locked}\r\n"),
            &[Started, key(), Refused(locked.into())],
        );
        // Before 1.5.4 the answer to the next question is the end.
        let version = || Version("1.5.0".into());
        check("key=a\nVERSION 1.5.0\r\n", &[key(), version()]);
        check("VERSION 1.5.0\r\n", &[version()]);
        // A cut is no end.
        check("OK\r\nkey=a\nkey=b", &[Started, key()]);
        check("key=a\nEND", &[key()]);
    }

    #[test]
    fn odd_lines_are_counted_and_stop_nothing() {
        let mut decoder = MetadumpDecoder::new();
        decoder.feed(b"key=a\nnonsense\n\nEND x\nkey=b\n");
        decoder.feed(&[b'x'; 20_000]);
        decoder.feed(b"\nkey=c\nEND\r\nhalf");
        let mut events: Vec<MetadumpEvent> = std::iter::from_fn(|| decoder.next_event()).collect();
        assert_eq!(events.pop(), Some(MetadumpEvent::End));
        let keys = [b"a", b"b", b"c"].map(|name| MetadumpEvent::Key(named(name)));
        assert_eq!(events, keys);
        let expect = ListingAnomalies {
            overlong_lines: 1,
            odd_lines: 3,
            pending_bytes: 4,
        };
        assert_eq!(decoder.anomalies(), expect);
        // In place of a listing it is an answer, and quoted in part.
        let long = metadump(&[b'x'; 20_000]);
        assert_eq!(long, [MetadumpEvent::Refused("x".repeat(256))]);
    }

    #[test]
    fn a_cachedump_row_becomes_a_key_whatever_its_name() {
        use CacheDumpEvent::{End, Key, Refused};
        let key = |name: &str, size_bytes, expires| {
            Key(ListedKey {
                expires,
                size_bytes,
                ..named(name.as_bytes())
            })
        };
        let check = |bytes: &str, expect: &[CacheDumpEvent]| {
            assert_eq!(cachedump(bytes.as_bytes()), expect, "{bytes:?}");
        };
        check(
            "ITEM bin key [6 b; 0 s]\r\nITEM k1 [5 b; 1795367135 s]\r\nEND\r\n",
            &[
                key("bin key", Some(6), None),
                key("k1", Some(5), Some(1795367135)),
                End,
            ],
        );
        check(
            "ITEM a [1 b; 2 s] [3 b; 4 s]\r\n",
            &[key("a [1 b; 2 s]", Some(3), Some(4))],
        );
        check("ITEM  [0 b; 0 s]\r\n", &[key("", Some(0), None)]);
        // 1.2.x prints a length that went below zero.
        check("ITEM k [-2 b; 0 s]\r\n", &[key("k", None, None)]);
        check("END\r\nEND\r\n", &[End, End]);
        for line in [
            "ERROR",
            "CLIENT_ERROR stats cachedump not allowed",
            "CLIENT_ERROR Illegal slab id",
            "SERVER_ERROR out of memory",
            "STAT foo bar",
            "ITEM k",
            "ITEM k [1 b; 2 s",
            "ITEM k [x b; 2 s]",
            "ITEM k [1 b; s]",
            "ITEM k[1 b; 2 s]",
            "OK",
        ] {
            check(&format!("{line}\r\n"), &[Refused(line.into())]);
        }
        check(
            "ITEM a [1 b; 0 s]\r\nITEM k [\r\nb [2 b; 0 s]\r\nEND\r\n",
            &[key("a", Some(1), None), End],
        );
    }
}
