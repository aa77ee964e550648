//! Listing keys, by the way that is safe on the server's version.
//!
//! `lru_crawler metadump` names every key, but crashes 1.4.31–1.4.33 and 1.6.19–1.6.25, and before
//! 1.6.44 a client that reads slowly overflows the server. So it is asked only where a clearance is
//! granted, and its reply is drained at full speed into a spool before a single line is looked at.
//! Everywhere else `stats cachedump` lists some keys of every slab class; what it leaves out is
//! counted and said.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use model::KeyRow;
use sockets::{LinkError, ReplySpeed};
use wire::{
    CACHEDUMP_CLASS_MAX, CACHEDUMP_KEYS_MAX, CacheDumpDecoder, CacheDumpRequest, ListedKey,
    MetadumpDecoder, MetadumpEvent, MetadumpRequest, Request, Risky,
};

use crate::tool::session::Table;
use crate::tool::{Session, ToolError};

/// How often, and with which pauses, a busy crawler is asked again.
const BUSY_TRIES: u32 = 8;
const BUSY_PAUSE: Duration = Duration::from_millis(150);
/// How often, and with which pauses, a list that misses keys is asked for again.
const SETTLE_TRIES: u32 = 4;
const SETTLE_PAUSE: Duration = Duration::from_millis(500);
/// The quiet after which a listing that has no end of its own is taken to be over.
const QUIET: Duration = Duration::from_millis(300);
/// Bytes of the spool looked at at once.
const SPOOL_READ_BYTES: usize = 256 * 1024;
/// Keys held in memory where no metadump is to be had: a few MiB, and as many as 65 full classes
/// list.
const BY_CLASS_KEYS_MAX: usize = 65_000;
/// Classes are asked one after the other; together they may take so many timeouts. A server has 63
/// at most, and answers for each at once.
const BY_CLASS_TIMEOUTS: u32 = 16;
/// A listing that is larger than this is a server that never ends it: a hundred million keys.
const SPOOL_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Which keys are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions {
    /// At most this many; `None` = all.
    pub limit: Option<u64>,
}

/// What a listing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTally {
    /// Keys handed over.
    pub listed: u64,
    /// Keys that the server holds, as far as it told.
    pub held: Option<u64>,
    /// Why not all of them could be listed, in one sentence.
    pub shortfall: Option<String>,
    /// Whether the listing broke off: it may name any part of the keys.
    pub is_cut: bool,
}

/// A file that is written once and read once.
pub trait Spool: Read + Write + Seek {}
impl<T: Read + Write + Seek> Spool for T {}

/// Lists keys, handing each to `take` until that says false. A listing that breaks off, or comes in
/// drops, ends with the keys that came, and says so.
///
/// # Errors
///
/// If the server refuses every way, or breaks off before the first key.
pub fn list_keys(
    session: &mut Session<'_>,
    spool: &mut dyn Spool,
    options: ListOptions,
    take: &mut dyn FnMut(KeyRow) -> Result<bool, ToolError>,
) -> Result<KeyTally, ToolError> {
    session.ascii_for("a listing of keys")?;
    match metadump_settled(session, spool, options) {
        Ok((spooled, held)) => {
            let tally = read_spool(spool, &spooled, options, take)?;
            // A limit may be reached by what came.
            let is_enough = options.limit.is_some_and(|limit| tally.listed >= limit);
            let cut = spooled.cut.filter(|_| !is_enough);
            Ok(KeyTally {
                held,
                is_cut: cut.is_some(),
                shortfall: cut
                    .map(|why| format!("the listing broke off after {} keys: {why}", spooled.keys)),
                ..tally
            })
        }
        Err(ToolError::Denied(why)) => list_by_class(session, options, Some(why), take),
        Err(ToolError::Refused { said, .. }) if is_unknown_or_disabled(&said) => {
            let why = format!("the server says {said:?} to a metadump");
            list_by_class(session, options, Some(why), take)
        }
        Err(error) => Err(error),
    }
}

/// Old servers do not know the crawler, others run without it; `-X` refuses every listing.
fn is_unknown_or_disabled(said: &str) -> bool {
    said == "ERROR" || said.contains("crawler disabled")
}

/// What a metadump put into the spool.
#[derive(Clone, Debug, Default)]
struct Spooled {
    bytes: u64,
    keys: u64,
    /// Why it ended before its end, if it did.
    cut: Option<String>,
}

/// A key that the server moves from one queue to another while the list is made can be passed over,
/// as happens just after many were stored. So a list that is shorter than what the server counts is
/// asked for again, as long as it grows. Keys that expired are counted too and never listed.
/// Returns what the last list came to, and what the server counted if it could still be asked.
fn metadump_settled(
    session: &mut Session<'_>,
    spool: &mut dyn Spool,
    options: ListOptions,
) -> Result<(Spooled, Option<u64>), ToolError> {
    let mut keys_before = 0;
    let mut tries = 0;
    loop {
        let spooled = metadump_patiently(session, spool)?;
        if spooled.cut.is_some() {
            return Ok((spooled, None));
        }
        let held = items_held(session)?;
        tries += 1;
        let is_enough = options.limit.is_some_and(|limit| spooled.keys >= limit);
        let is_settled = spooled.keys >= held || (tries > 1 && spooled.keys <= keys_before);
        if is_enough || is_settled || tries == SETTLE_TRIES {
            return Ok((spooled, Some(held)));
        }
        keys_before = spooled.keys;
        std::thread::sleep(SETTLE_PAUSE);
    }
}

fn items_held(session: &mut Session<'_>) -> Result<u64, ToolError> {
    let stats = session.table(Table::Stats)?;
    let items = stats.iter().find(|(name, _)| *name == "curr_items");
    Ok(items.and_then(|(_, value)| value.parse().ok()).unwrap_or(0))
}

/// Asks again while the server's own crawler is at work, as it often is just after a start.
fn metadump_patiently(
    session: &mut Session<'_>,
    spool: &mut dyn Spool,
) -> Result<Spooled, ToolError> {
    let mut tries = 0;
    loop {
        spool.seek(SeekFrom::Start(0))?;
        tries += 1;
        match metadump_into(session, spool) {
            Err(ToolError::Refused { said, .. })
                if said.starts_with("BUSY") && tries < BUSY_TRIES =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// Drains the whole reply of a metadump at full speed.
fn metadump_into(session: &mut Session<'_>, spool: &mut dyn Spool) -> Result<Spooled, ToolError> {
    let clearance = session.clearance(Risky::Metadump)?;
    let request = MetadumpRequest::new(clearance)
        .ok_or_else(|| ToolError::Denied("a metadump needs a clearance".to_owned()))?;
    let question = "lru_crawler metadump";
    let has_end = session
        .parsed_version()
        .is_some_and(|version| MetadumpRequest::has_end(&version));
    let line = session.ascii_for(question)?;
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    line.link.send(&bytes)?;
    let mut ending = Ending::default();
    let mut speed = ReplySpeed::new();
    let mut spooled = Spooled::default();
    let mut probed = has_end;
    loop {
        let wait = if probed { line.link.timeout() } else { QUIET };
        let received = match line.link.receive_long(&mut speed, wait) {
            Ok(received) => received,
            Err(LinkError::Timeout(_)) if !probed => {
                // Before 1.5.4 nothing ends the listing: what answers behind it does.
                let mut version = Vec::new();
                Request::Version.encode(&mut version);
                line.link.send(&version)?;
                probed = true;
                continue;
            }
            Err(why) if why == LinkError::Stopped || ending.keys == 0 => {
                return Err(ToolError::truncated(question, ending.lines, why));
            }
            Err(why) => {
                spooled.keys = ending.keys;
                spooled.cut = Some(why.to_string());
                return Ok(spooled);
            }
        };
        spooled.bytes += received.len() as u64;
        if spooled.bytes > SPOOL_BYTES_MAX {
            let rows = ending.lines;
            return Err(ToolError::Endless { question, rows });
        }
        spool.write_all(&received)?;
        match ending.feed(&received) {
            Some(Last::End) => {
                spooled.keys = ending.keys;
                return Ok(spooled);
            }
            Some(Last::Refusal(said)) if ending.keys > 0 => {
                spooled.keys = ending.keys;
                spooled.cut = Some(format!("the server says {said:?}"));
                return Ok(spooled);
            }
            Some(Last::Refusal(said)) => return Err(ToolError::Refused { question, said }),
            None => {}
        }
    }
}

/// The last line of a metadump.
enum Last {
    End,
    Refusal(String),
}

/// Looks only for the end: decoding here would slow the reading down.
#[derive(Default)]
struct Ending {
    /// The beginning of the line under way.
    start: Vec<u8>,
    lines: usize,
    keys: u64,
}

impl Ending {
    /// Enough to tell every last line from a key's.
    const START_BYTES_MAX: usize = 96;

    fn feed(&mut self, mut bytes: &[u8]) -> Option<Last> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.lines += 1;
            let line = std::mem::take(&mut self.start);
            if line.starts_with(b"key=") {
                self.keys += 1;
                continue;
            }
            if line.trim_ascii() == b"OK" {
                continue;
            }
            if line.trim_ascii() == b"END" || line.starts_with(b"VERSION ") {
                return Some(Last::End);
            }
            return Some(Last::Refusal(
                String::from_utf8_lossy(line.trim_ascii()).into_owned(),
            ));
        }
        self.keep(bytes);
        None
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = Self::START_BYTES_MAX.saturating_sub(self.start.len());
        self.start
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn read_spool(
    spool: &mut dyn Spool,
    spooled: &Spooled,
    options: ListOptions,
    take: &mut dyn FnMut(KeyRow) -> Result<bool, ToolError>,
) -> Result<KeyTally, ToolError> {
    spool.seek(SeekFrom::Start(0))?;
    // Behind it may stand the rest of an earlier, longer try.
    let mut spool = spool.take(spooled.bytes);
    let mut decoder = MetadumpDecoder::new();
    let mut buffer = vec![0; SPOOL_READ_BYTES];
    let mut tally = KeyTally::default();
    loop {
        let length = spool.read(&mut buffer)?;
        if length == 0 {
            return Ok(tally);
        }
        decoder.feed(&buffer[..length]);
        while let Some(event) = decoder.next_event() {
            let key = match event {
                MetadumpEvent::Key(key) => key,
                MetadumpEvent::End => return Ok(tally),
                _ => continue,
            };
            if options.limit.is_some_and(|limit| tally.listed >= limit) {
                return Ok(tally);
            }
            tally.listed += 1;
            if !take(row_of(key))? {
                return Ok(tally);
            }
        }
    }
}

/// `stats cachedump`, class by class, with small counts.
fn list_by_class(
    session: &mut Session<'_>,
    options: ListOptions,
    why: Option<String>,
    take: &mut dyn FnMut(KeyRow) -> Result<bool, ToolError>,
) -> Result<KeyTally, ToolError> {
    let items = session.table(Table::Items)?;
    let mut tally = KeyTally {
        held: Some(0),
        ..KeyTally::default()
    };
    let classes: BTreeMap<u32, u64> = items
        .iter()
        .filter_map(|(name, value)| {
            let class = name.strip_prefix("items:")?.strip_suffix(":number")?;
            Some((class.parse().ok()?, value.parse().ok()?))
        })
        .filter(|(class, _)| (1..=CACHEDUMP_CLASS_MAX).contains(class))
        .collect();
    let held = classes
        .values()
        .fold(0_u64, |held, number| held.saturating_add(*number));
    tally.held = Some(held);
    // All of them first: a listing that breaks off in the middle must not look whole.
    let mut rows = Vec::new();
    let until = Instant::now() + session.timeout() * BY_CLASS_TIMEOUTS;
    for (class, number) in classes {
        if Instant::now() > until {
            let why = LinkError::Timeout(session.timeout() * BY_CLASS_TIMEOUTS);
            return Err(ToolError::truncated("stats cachedump", rows.len(), why));
        }
        let wanted = number.min(u64::from(CACHEDUMP_KEYS_MAX));
        let Ok(count) = u32::try_from(wanted.max(1)) else {
            continue;
        };
        for key in cachedump(session, class, count)? {
            if rows.len() < BY_CLASS_KEYS_MAX {
                let mut row = row_of(key);
                row.class = Some(class);
                rows.push(row);
            }
        }
    }
    for row in rows {
        if options.limit.is_some_and(|limit| tally.listed >= limit) {
            return Ok(tally);
        }
        tally.listed += 1;
        if !take(row)? {
            return Ok(tally);
        }
    }
    if tally.listed < held {
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        tally.shortfall = Some(format!(
            "{} of {held} keys could be listed{why}; `stats cachedump` names some of each class",
            tally.listed
        ));
    }
    Ok(tally)
}

fn cachedump(
    session: &mut Session<'_>,
    class: u32,
    count: u32,
) -> Result<Vec<ListedKey>, ToolError> {
    let question = "stats cachedump";
    let clearance = session.clearance(Risky::CacheDump)?;
    let request = CacheDumpRequest::new(clearance, class, count)
        .ok_or_else(|| ToolError::Denied("a cachedump needs a clearance".to_owned()))?;
    let line = session.ascii_for(question)?;
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    line.link.send(&bytes)?;
    let mut decoder = CacheDumpDecoder::new();
    let mut speed = ReplySpeed::new();
    let mut keys = Vec::new();
    loop {
        while let Some(event) = decoder.next_event() {
            match event {
                wire::CacheDumpEvent::Key(_) if keys.len() >= count as usize => {
                    let rows = keys.len();
                    return Err(ToolError::Endless { question, rows });
                }
                wire::CacheDumpEvent::Key(key) => keys.push(key),
                wire::CacheDumpEvent::End => return Ok(keys),
                wire::CacheDumpEvent::Refused(said) => {
                    return Err(ToolError::Refused { question, said });
                }
            }
        }
        let wait = line.link.timeout();
        match line.link.receive_long(&mut speed, wait) {
            Ok(received) => decoder.feed(&received),
            Err(why) => return Err(ToolError::truncated(question, keys.len(), why)),
        }
    }
}

fn row_of(key: ListedKey) -> KeyRow {
    KeyRow {
        name: key.name,
        expires_unix_s: key.expires,
        last_access_unix_s: key.last_access,
        cas: key.cas,
        fetched: key.fetched,
        class: key.class,
        size_bytes: key.size_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_whatever_the_split() {
        let reply = b"OK\r\nkey=a exp=-1 la=1 cas=1 fetch=no cls=1 size=6\nkey=END exp=0 \nEND\r\n";
        for split in 0..reply.len() {
            let mut ending = Ending::default();
            let first = ending.feed(&reply[..split]);
            assert!(first.is_none(), "{split}");
            assert!(
                matches!(ending.feed(&reply[split..]), Some(Last::End)),
                "{split}"
            );
        }
    }

    #[test]
    fn refusals_are_told() {
        for said in [
            "ERROR metadump not allowed",
            "CLIENT_ERROR lru crawler disabled",
            "BUSY x",
        ] {
            let mut ending = Ending::default();
            match ending.feed(format!("{said}\r\n").as_bytes()) {
                Some(Last::Refusal(heard)) => assert_eq!(heard, said),
                _ => panic!("{said} was not told"),
            }
        }
    }
}
