//! A dump of one server's keys and values, as `add` lines that any memcached takes back.
//!
//! memcached-tool asks one `get` a key and waits for each. Here the keys come from the spool of the
//! listing, a hundred go into one `get`, and a few such requests are always under way, so that the
//! server never waits for us. Values pass through in pieces: memory stays the same for one key or
//! a hundred million, and for values of any size.
//!
//! The order of the output is that of the listing, a hundred at a time. A key that was listed and is gone by the time it
//! is read is counted as gone, which is what caches do.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use model::KeyRow;
use sockets::LinkError;
use wire::{KEYS_PER_GET_MAX, ReadValues, ValueDecoder, ValueEvent, add_line};

use crate::tool::keys::{ListOptions, Spool, list_keys};
use crate::tool::session::AsciiLine;
use crate::tool::{KeyTally, Server, Session, ToolError};

/// Requests under way at once. Their replies may be large, but requests are small: the server's
/// receive buffer holds all of them, so neither side can block the other.
const REQUESTS_UNDER_WAY: usize = 4;

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
    /// Keys that the ASCII protocol cannot name (spaces, control bytes).
    pub unwritable: u64,
    /// Bytes of values written.
    pub value_bytes: u64,
    /// Keys that the server counts and the whole listing does not name: expired, or moved about
    /// while it was made. 0 with a limit.
    pub unlisted: u64,
    /// Why it is not the whole server, in one sentence.
    pub shortfall: Option<String>,
}

/// A request under way: the expiry of each key that was asked, for its `add` line.
type UnderWay = BTreeMap<Vec<u8>, i64>;

struct Pump<'a, 'b> {
    server: &'a Server,
    /// Opened when the listing is over: servers hang up on who is idle meanwhile.
    session: Option<Session<'a>>,
    decoder: ValueDecoder,
    under_way: VecDeque<UnderWay>,
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
    let mut pump = Pump {
        server,
        session: None,
        decoder: ValueDecoder::new(),
        under_way: VecDeque::new(),
        out,
        tally: DumpTally::default(),
        progress,
    };
    let mut batch: Vec<KeyRow> = Vec::with_capacity(KEYS_PER_GET_MAX);
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
        if add_line(&key.name, 0, 0, 0).is_none() {
            pump.tally.unwritable += 1;
            return Ok(true);
        }
        batch.push(key);
        if batch.len() == KEYS_PER_GET_MAX {
            pump.ask(&mut batch)?;
        }
        Ok(true)
    };
    let listed = list_keys(&mut lister, spool, list, &mut take);
    let result = listed.and_then(|listed| {
        pump.ask(&mut batch)?;
        while !pump.under_way.is_empty() {
            pump.take_reply()?;
        }
        pump.out.flush()?;
        Ok(listed)
    });
    *tally = pump.tally;
    let listed: KeyTally = result?;
    if options.limit.is_none() {
        tally.unlisted = listed.held.unwrap_or(0).saturating_sub(listed.listed);
    }
    tally.shortfall = shortfall(listed, tally);
    Ok(())
}

fn shortfall(listed: KeyTally, tally: &DumpTally) -> Option<String> {
    let unwritable = (tally.unwritable > 0).then(|| {
        format!(
            "keys with spaces or control bytes: {}, left out, because the text protocol cannot name \
             them",
            tally.unwritable
        )
    });
    match (listed.shortfall, unwritable) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
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

impl<'a> Pump<'a, '_> {
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
        session.ascii().ok_or(ToolError::NotHere {
            question: "get",
            over: "over UDP or the binary protocol",
        })
    }

    /// Asks for the values of these keys, and takes replies while too many requests are under way.
    fn ask(&mut self, batch: &mut Vec<KeyRow>) -> Result<(), ToolError> {
        if batch.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= REQUESTS_UNDER_WAY {
            self.take_reply()?;
        }
        // A listing can name a key twice, and its value would come twice.
        let asked: UnderWay = batch
            .drain(..)
            .map(|key| (key.name, key.expires_unix_s.unwrap_or(0)))
            .collect();
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
        let mut current = 0;
        loop {
            let Some(event) = self.decoder.next_event() else {
                self.receive()?;
                continue;
            };
            match event {
                ValueEvent::ValueBegin { key, flags, bytes } => {
                    // A key that was not asked, or came before, has no expiry that we know.
                    let expires = asked.remove(&key);
                    let line = expires.and_then(|expires| add_line(&key, flags, expires, bytes));
                    let Some(line) = line else {
                        let said = String::from_utf8_lossy(&key).into_owned();
                        return Err(ToolError::NotAsked(said));
                    };
                    self.out.write_all(&line)?;
                    current = bytes;
                }
                ValueEvent::ValueData(data) => self.out.write_all(&data)?,
                ValueEvent::ValueEnd => {
                    self.out.write_all(b"\r\n")?;
                    self.tally.written += 1;
                    self.tally.value_bytes += current;
                    current = 0;
                }
                ValueEvent::End => {
                    self.tally.gone += asked.len() as u64;
                    return self.look_up();
                }
                ValueEvent::Refused(said) => {
                    return Err(ToolError::Refused {
                        question: "get",
                        said,
                    });
                }
            }
        }
    }

    fn receive(&mut self) -> Result<(), ToolError> {
        let received = self.line()?.link.receive();
        match received {
            Ok(bytes) => {
                self.decoder.feed(&bytes);
                Ok(())
            }
            Err(why) => Err(self.broken_off(why)),
        }
    }

    fn broken_off(&self, why: LinkError) -> ToolError {
        ToolError::BrokenOff {
            written: self.tally.written,
            why,
        }
    }
}
