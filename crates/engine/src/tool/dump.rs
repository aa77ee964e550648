//! A dump of one server's keys and values, as `add` lines that any memcached takes back.
//!
//! memcached-tool asks one `get` a key and waits for each. Here the keys come from the spool of the
//! listing, a hundred go into one `get`, and a few such requests are always under way, so that the
//! server never waits for us. Values pass through in pieces: memory stays the same for one key or
//! a hundred million, and for values of any size.
//!
//! The order of the output is that of the listing, a hundred at a time. A key that was listed and
//! is gone by the time it is read is counted as gone, which is what caches do.
//!
//! Keys with spaces or control bytes can be neither asked for nor added by the text protocol. They
//! are read by the binary protocol, over a connection of its own, and written down as `ms` lines,
//! which name them in base64. Where the server has not both, they are counted and said.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::{Duration, Instant};

use model::KeyRow;
use sockets::{LinkError, ReplySpeed};
use wire::{
    BinaryValueDecoder, KEYS_PER_GET_MAX, META_KEY_BYTES_MAX, ReadValues, ValueDecoder, ValueEvent,
    add_line, is_ascii_key, meta_set_line, takes_meta_set,
};

use crate::tool::keys::{ListOptions, Spool, list_keys};
use crate::tool::session::AsciiLine;
use crate::tool::{KeyTally, Server, Session, ToolError};

/// Requests under way at once. Their replies may be large, but requests are small: the server's
/// receive buffer holds all of them, so neither side can block the other.
const REQUESTS_UNDER_WAY: usize = 4;
/// A larger value is written as it comes, so that memory does not depend on values.
const HELD_BYTES_MAX: u64 = 64 << 10;
/// The binary connection is opened anew after so much rest: servers may hang up on the idle.
const BINARY_REST_MAX: Duration = Duration::from_secs(1);

/// What a dump is to hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct DumpOptions {
    /// At most this many keys; `None` = all.
    pub limit: Option<u64>,
    /// Names only, one a line, as the server encodes them.
    pub keys_only: bool,
}

/// What a dump came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpTally {
    /// Keys that the listing named.
    pub listed: u64,
    /// Keys written with their values.
    pub written: u64,
    /// Keys that were gone when their value was asked.
    pub gone: u64,
    /// Keys with spaces or control bytes that could not be read or written.
    pub unwritable: u64,
    /// Bytes of values written.
    pub value_bytes: u64,
    /// Keys that the server counts and the whole listing does not name: expired, or moved about
    /// while it was made. 0 with a limit.
    pub unlisted: u64,
    /// Why it is not the whole server, in one sentence.
    pub shortfall: Option<String>,
    /// Whether the listing of keys broke off, so that any part may be missing.
    pub is_cut: bool,
}

/// A request under way: the expiry of each key that was asked, for its `add` line.
type UnderWay = BTreeMap<Vec<u8>, i64>;

/// How a value's first line is written: [`add_line`] or [`meta_set_line`].
type FirstLine = fn(&[u8], u32, i64, u64) -> Option<Vec<u8>>;

/// The connection for keys that text cannot name.
enum Binary<'a> {
    NotTried,
    /// With the moment when it was last used.
    Open(Box<Session<'a>>, Instant),
    /// It is not to be had, and why.
    Denied(String),
}

struct Pump<'a, 'b> {
    server: &'a Server,
    /// Opened when the listing is over: servers hang up on who is idle meanwhile.
    session: Option<Session<'a>>,
    decoder: ValueDecoder,
    speed: ReplySpeed,
    under_way: VecDeque<UnderWay>,
    binary: Binary<'a>,
    /// Whether the server has a command that takes keys of any bytes, so that another may have.
    takes_meta_set: bool,
    /// How many keys were left out, by the reason.
    left_out: BTreeMap<String, u64>,
    /// Bytes of the value under way.
    current_bytes: u64,
    /// A value that is not whole yet, with its line, unless it is too large to be held back: torn it
    /// would swallow what a replay sends after it.
    held: Vec<u8>,
    out: &'b mut dyn Write,
    tally: DumpTally,
    progress: &'b mut dyn FnMut(&DumpTally) -> bool,
}

/// Dumps one server into `out`. `spool` holds the listing meanwhile; `tally` says how far it got,
/// also when an error ends it; `progress` sees it now and then, and says false to stop.
///
/// # Errors
///
/// If the keys cannot be listed, or the server breaks off: `tally` then counts what was written
/// whole, and a value that was cut short is marked by a line that no server takes.
pub fn dump(
    server: &Server,
    spool: &mut dyn Spool,
    options: DumpOptions,
    out: &mut dyn Write,
    tally: &mut DumpTally,
    progress: &mut dyn FnMut(&DumpTally) -> bool,
) -> Result<(), ToolError> {
    let mut lister = Session::open(server)?;
    let takes_meta_set = lister
        .parsed_version()
        .is_some_and(|version| takes_meta_set(&version));
    let mut pump = Pump::new(server, takes_meta_set, out, progress);
    let mut plain: Vec<KeyRow> = Vec::with_capacity(KEYS_PER_GET_MAX);
    let mut odd: Vec<KeyRow> = Vec::new();
    let list = ListOptions {
        limit: options.limit,
    };
    let mut take = |key: KeyRow| -> Result<bool, ToolError> {
        pump.tally.listed += 1;
        pump.look_up()?;
        if options.keys_only {
            pump.out.write_all(&encoded(&key.name))?;
            pump.tally.written += 1;
            return Ok(true);
        }
        if is_ascii_key(&key.name) {
            plain.push(key);
            if plain.len() == KEYS_PER_GET_MAX {
                pump.ask(&mut plain)?;
            }
        } else if pump.is_writable(&key.name) {
            odd.push(key);
            if odd.len() == KEYS_PER_GET_MAX {
                pump.copy_by_binary(&mut odd)?;
            }
        }
        Ok(true)
    };
    let listed = list_keys(&mut lister, spool, list, &mut take);
    let result = listed.and_then(|listed| {
        pump.ask(&mut plain)?;
        pump.copy_by_binary(&mut odd)?;
        while !pump.under_way.is_empty() {
            pump.take_reply()?;
        }
        pump.out.flush()?;
        Ok(listed)
    });
    let left_out = std::mem::take(&mut pump.left_out);
    *tally = pump.tally;
    let listed: KeyTally = result?;
    if options.limit.is_none() && !listed.is_cut {
        tally.unlisted = listed.held.unwrap_or(0).saturating_sub(listed.listed);
    }
    tally.is_cut = listed.is_cut;
    tally.shortfall = shortfall(listed.shortfall, &left_out);
    Ok(())
}

fn shortfall(listed: Option<String>, left_out: &BTreeMap<String, u64>) -> Option<String> {
    let left_out = left_out.iter().map(|(why, keys)| {
        format!("keys with spaces or control bytes: {keys}, left out, because {why}")
    });
    let all: Vec<String> = listed.into_iter().chain(left_out).collect();
    Some(all.join("; ")).filter(|all| !all.is_empty())
}

/// A line with the name as a metadump writes it, so that no name can be two lines.
fn encoded(name: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut line = Vec::with_capacity(name.len() + 1);
    for byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            line.push(*byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            line.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        }
    }
    line.push(b'\n');
    line
}

impl<'a, 'b> Pump<'a, 'b> {
    fn new(
        server: &'a Server,
        takes_meta_set: bool,
        out: &'b mut dyn Write,
        progress: &'b mut dyn FnMut(&DumpTally) -> bool,
    ) -> Pump<'a, 'b> {
        Pump {
            server,
            session: None,
            decoder: ValueDecoder::new(),
            speed: ReplySpeed::new(),
            under_way: VecDeque::new(),
            binary: Binary::NotTried,
            takes_meta_set,
            left_out: BTreeMap::new(),
            current_bytes: 0,
            held: Vec::new(),
            out,
            tally: DumpTally::default(),
            progress,
        }
    }

    /// Shows how far it got, and ends if the user wants that.
    fn look_up(&mut self) -> Result<(), ToolError> {
        if (self.progress)(&self.tally) {
            Ok(())
        } else {
            Err(ToolError::Stopped)
        }
    }

    fn line(&mut self) -> Result<&mut AsciiLine, ToolError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.server)?,
        };
        let session: &mut Session<'a> = self.session.insert(session);
        session.ascii_for("get")
    }

    fn leave_out(&mut self, keys: usize, why: String) {
        self.tally.unwritable += keys as u64;
        *self.left_out.entry(why).or_default() += keys as u64;
    }

    /// Whether a file can name this key, which text cannot; it is counted if not.
    fn is_writable(&mut self, name: &[u8]) -> bool {
        let why = if !self.takes_meta_set {
            "only `ms` with names in base64 could add them, which memcached 1.6.10 brought"
                .to_owned()
        } else if meta_set_line(name, 0, 0, 0).is_none() {
            format!("no text command can name one of more than {META_KEY_BYTES_MAX} bytes")
        } else {
            return true;
        };
        self.leave_out(1, why);
        false
    }

    /// Reads these keys by the binary protocol and writes them down; where the server does not
    /// speak it, they are counted.
    fn copy_by_binary(&mut self, batch: &mut Vec<KeyRow>) -> Result<(), ToolError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut asked = asked_of(batch);
        let mut session = match std::mem::replace(&mut self.binary, Binary::NotTried) {
            Binary::Open(session, used) if used.elapsed() < BINARY_REST_MAX => session,
            Binary::Denied(why) => {
                self.leave_out(asked.len(), why.clone());
                self.binary = Binary::Denied(why);
                return Ok(());
            }
            Binary::Open(..) | Binary::NotTried => match Session::open_binary(self.server) {
                Ok(session) => Box::new(session),
                Err(ToolError::Stopped) => return Err(ToolError::Stopped),
                Err(error) => {
                    let why = why_not_binary(&error);
                    self.leave_out(asked.len(), why.clone());
                    self.binary = Binary::Denied(why);
                    return Ok(());
                }
            },
        };
        let link = session
            .binary_link()
            .ok_or(ToolError::NotOverUdp("binary get"))?;
        let names: Vec<&[u8]> = asked.keys().map(Vec::as_slice).collect();
        let sent = link.send(&ReadValues::binary(&names, 0));
        sent.map_err(|why| self.broken_off(why))?;
        let mut decoder = BinaryValueDecoder::new();
        let mut speed = ReplySpeed::new();
        loop {
            let Some(event) = decoder.next_event() else {
                let received = link.receive_long(&mut speed, self.server.timeout);
                decoder.feed(&received.map_err(|why| self.broken_off(why))?);
                continue;
            };
            if self.write_down(event, &mut asked, meta_set_line)? {
                break;
            }
        }
        self.binary = Binary::Open(session, Instant::now());
        self.look_up()
    }

    /// Asks for the values of these keys, and takes replies while too many requests are under way.
    fn ask(&mut self, batch: &mut Vec<KeyRow>) -> Result<(), ToolError> {
        if batch.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= REQUESTS_UNDER_WAY {
            self.take_reply()?;
        }
        let asked = asked_of(batch);
        let names: Vec<&[u8]> = asked.keys().map(Vec::as_slice).collect();
        let Some(request) = ReadValues::ascii(&names) else {
            return Err(ToolError::Denied(
                "a key that cannot be named was asked".to_owned(),
            ));
        };
        let sent = self.line()?.link.send(&request);
        sent.map_err(|why| self.broken_off(why))?;
        self.under_way.push_back(asked);
        Ok(())
    }

    /// Takes the whole reply of the oldest request.
    fn take_reply(&mut self) -> Result<(), ToolError> {
        let Some(mut asked) = self.under_way.pop_front() else {
            return Ok(());
        };
        loop {
            let Some(event) = self.decoder.next_event() else {
                self.receive()?;
                continue;
            };
            if self.write_down(event, &mut asked, add_line)? {
                self.speed = ReplySpeed::new();
                return self.look_up();
            }
        }
    }

    /// Writes down a piece of a reply; true at its end.
    fn write_down(
        &mut self,
        event: ValueEvent,
        asked: &mut UnderWay,
        first_line: FirstLine,
    ) -> Result<bool, ToolError> {
        match event {
            ValueEvent::ValueBegin { key, flags, bytes } => {
                // A key that was not asked, or came before, has no expiry that we know.
                let expires = asked.remove(&key);
                let line = expires.and_then(|expires| first_line(&key, flags, expires, bytes));
                let Some(line) = line else {
                    let said = String::from_utf8_lossy(&key).into_owned();
                    return Err(ToolError::NotAsked(said));
                };
                self.current_bytes = bytes;
                self.held.clear();
                self.put(&line)?;
            }
            ValueEvent::ValueData(data) => self.put(&data)?,
            ValueEvent::ValueEnd => {
                self.put(b"\r\n")?;
                self.out.write_all(&self.held)?;
                self.held.clear();
                self.tally.written += 1;
                self.tally.value_bytes += self.current_bytes;
            }
            ValueEvent::End => {
                self.tally.gone += asked.len() as u64;
                return Ok(true);
            }
            ValueEvent::Refused(said) => {
                return Err(ToolError::Refused {
                    question: "get",
                    said,
                });
            }
        }
        Ok(false)
    }

    /// Writes a part of a value, or holds it until the value is whole.
    fn put(&mut self, part: &[u8]) -> std::io::Result<()> {
        if self.current_bytes > HELD_BYTES_MAX {
            return self.out.write_all(part);
        }
        self.held.extend_from_slice(part);
        Ok(())
    }

    fn receive(&mut self) -> Result<(), ToolError> {
        let mut speed = std::mem::take(&mut self.speed);
        let timeout = self.server.timeout;
        let received = self.line()?.link.receive_long(&mut speed, timeout);
        self.speed = speed;
        let received = received.map_err(|why| self.broken_off(why))?;
        self.decoder.feed(&received);
        Ok(())
    }

    fn broken_off(&self, why: LinkError) -> ToolError {
        match why {
            LinkError::Stopped => ToolError::Stopped,
            why => ToolError::BrokenOff {
                written: self.tally.written,
                why,
            },
        }
    }
}

/// Why keys that only the binary protocol names are left out.
fn why_not_binary(error: &ToolError) -> String {
    let only = "the binary protocol alone can read them, which";
    match error {
        // A server of text says nothing to a packet, or something that is none.
        ToolError::Link(LinkError::Timeout(_) | LinkError::Closed)
        | ToolError::NotMemcached(_)
        | ToolError::Truncated { .. } => format!("{only} this server does not speak"),
        error => format!("{only} is not to be had here: {error}"),
    }
}

/// These keys, each once: a listing can name a key twice, and its value would come twice.
fn asked_of(batch: &mut Vec<KeyRow>) -> UnderWay {
    batch
        .drain(..)
        .map(|key| (key.name, key.expires_unix_s.unwrap_or(0)))
        .collect()
}
