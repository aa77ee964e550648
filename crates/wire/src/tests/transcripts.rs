//! Replays what real servers sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::listings::{decode_cachedump, decode_metadump};
use super::{decode_ascii, decode_binary};
use crate::{
    Accepted, AsciiAnomalies, AsciiEvent, BinaryEvent, BinaryReply, BinaryRequest, CacheDumpEvent,
    ConnectionsRequest, DatagramRequest, Frame, ListedKey, ListingAnomalies, MetadumpEvent,
    MetadumpRequest, Reassembly, Request, ServerVersion, StatsGroup, opcode, status,
};

/// The numbers that the recorded requests carry.
const OPAQUE: u32 = 0xdead_beef;
const REQUEST_ID: u16 = 0x1234;

/// Number of fields of `stats` in recorded replies, counted without our decoder.
const STATS_FIELDS: [(&str, usize); 19] = [
    ("1.2.8", 25),
    ("1.4.0", 35),
    ("1.4.4", 37),
    ("1.4.10", 48),
    ("1.4.13", 48),
    ("1.4.15", 48),
    ("1.4.15-sasl", 48),
    ("1.4.33", 59),
    ("1.4.34", 59),
    ("1.5.0", 78),
    ("1.5.5", 79),
    ("1.5.6", 79),
    ("1.6.0", 87),
    ("1.6.9", 89),
    ("1.6.18-debian", 92),
    ("1.6.21", 92),
    ("1.6.38", 92),
    ("1.6.45", 93),
    ("1.6.45-sasl-tls", 93),
];

/// One recorded question with its answer.
struct Record {
    server: String,
    case: String,
    is_datagram: bool,
    sent: Option<Vec<u8>>,
    received: Vec<u8>,
    datagrams: Vec<Vec<u8>>,
}

impl Record {
    fn name(&self) -> String {
        format!("{} {}", self.server, self.case)
    }

    fn is_binary(&self) -> bool {
        self.case.starts_with("bin-")
    }

    /// Whether the server is memcached itself, speaking to anybody.
    fn is_plain_memcached(&self) -> bool {
        self.server
            .starts_with(|first: char| first.is_ascii_digit())
    }
}

/// Bytes are recorded as text, one character a byte; `None` where none were recorded.
fn latin1(text: &Value) -> Option<Vec<u8>> {
    let byte = |character| u8::try_from(u32::from(character)).unwrap();
    Some(text.as_str()?.chars().map(byte).collect())
}

fn records() -> Vec<Record> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/transcripts");
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("failed to read {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "ndjson")
        })
        .collect();
    paths.sort();
    assert!(
        paths.len() >= 32,
        "all transcripts are there: {}",
        paths.len()
    );
    let mut records = Vec::new();
    for path in paths {
        let server = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let datagrams = record.get("datagrams").and_then(Value::as_array);
            records.push(Record {
                server: server.clone(),
                case: record["case"].as_str().unwrap().to_owned(),
                is_datagram: record["transport"] == "udp",
                sent: latin1(&record["sent"]),
                received: latin1(&record["received"]).unwrap_or_default(),
                datagrams: datagrams.into_iter().flatten().filter_map(latin1).collect(),
            });
        }
    }
    records
}

/// What we send for a recorded case; `None` for cases that this room cannot say, or says with
/// another key.
fn request_of(record: &Record) -> Option<Vec<u8>> {
    let group = match record
        .case
        .trim_start_matches("empty-")
        .trim_start_matches("full-")
    {
        "stats" => Some(StatsGroup::General),
        "stats-settings" => Some(StatsGroup::Settings),
        "stats-items" | "items" => Some(StatsGroup::Items),
        "stats-slabs" | "slabs" => Some(StatsGroup::Slabs),
        _ => None,
    };
    let is_version = matches!(record.case.as_str(), "version" | "empty-version");
    let mut out = Vec::new();
    if record.is_datagram {
        let request = match group {
            Some(group) => DatagramRequest::Stats(group),
            None if is_version => DatagramRequest::Version,
            None => return None,
        };
        return Some(request.encode(REQUEST_ID));
    }
    match (group, record.case.as_str()) {
        (Some(group), _) => Request::Stats(group).encode(&mut out),
        (None, "version") => Request::Version.encode(&mut out),
        (None, "mn") => Request::MetaNoop.encode(&mut out),
        (None, "stats-conns") => ConnectionsRequest::over_tcp().encode(&mut out),
        (None, "bin-version") => BinaryRequest::Version.encode(OPAQUE, &mut out),
        (None, "bin-noop") => BinaryRequest::Noop.encode(OPAQUE, &mut out),
        (None, "bin-stat") => BinaryRequest::Stat(StatsGroup::General).encode(OPAQUE, &mut out),
        (None, "bin-sasl-list") => BinaryRequest::SaslList.encode(OPAQUE, &mut out),
        (None, "two-cmds") => Request::Version.encode(&mut out),
        _ => return None,
    }
    Some(out)
}

#[test]
fn requests_are_byte_for_byte_what_was_recorded() {
    let mut compared: BTreeMap<String, u32> = BTreeMap::new();
    for record in records() {
        let (Some(sent), Some(request)) = (&record.sent, request_of(&record)) else {
            continue;
        };
        if record.case == "two-cmds" {
            assert!(sent.starts_with(&request), "{}", record.name());
        } else {
            assert_eq!(sent, &request, "{}", record.name());
        }
        *compared.entry(record.case).or_default() += 1;
    }
    let cases: Vec<&str> = compared.keys().map(String::as_str).collect();
    let expected = [
        "bin-noop",
        "bin-sasl-list",
        "bin-stat",
        "bin-version",
        "empty-stats",
        "empty-version",
        "full-items",
        "full-slabs",
        "mn",
        "stats",
        "stats-conns",
        "stats-items",
        "stats-settings",
        "stats-slabs",
        "two-cmds",
        "version",
    ];
    assert_eq!(cases, expected, "every kind of request was compared");
}

/// Lines that begin with a word, counted without our decoder.
fn lines_beginning(bytes: &[u8], word: &[u8]) -> usize {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(word))
        .count()
}

/// A reply to one of our text requests, decoded whole and at every split.
fn check_text_reply(name: &str, case: &str, bytes: &[u8]) -> Vec<AsciiEvent> {
    let (events, anomalies) = decode_ascii([bytes]);
    assert_eq!(anomalies, AsciiAnomalies::default(), "{name}");
    let stats = events
        .iter()
        .filter(|event| matches!(event, AsciiEvent::Stat { .. }))
        .count();
    assert_eq!(stats, lines_beginning(bytes, b"STAT"), "{name}");
    let last = events.last().unwrap_or_else(|| panic!("{name}: no event"));
    match last {
        AsciiEvent::End => assert!(!case.ends_with("version"), "{name}"),
        AsciiEvent::Version(_) => assert!(case.ends_with("version"), "{name}"),
        AsciiEvent::Error => assert_eq!(events.len(), 1, "{name}"),
        other => panic!("{name}: ends with {other:?}"),
    }
    check_cuts(name, bytes, &events);
    events
}

/// Cut once at every place, a short reply gives the same events. Of a long one every 97th cut is
/// tried, which meets each place of a line in turn; it is also taken byte by byte.
fn check_cuts(name: &str, bytes: &[u8], events: &[AsciiEvent]) {
    let step = if bytes.len() < 1_000 { 1 } else { 97 };
    for cut in (0..=bytes.len()).step_by(step) {
        let (before, after) = bytes.split_at(cut);
        assert_eq!(
            decode_ascii([before, after]).0,
            events,
            "{name} cut at {cut}"
        );
    }
    assert_eq!(decode_ascii(bytes.chunks(1)).0, events, "{name}");
}

#[test]
fn every_text_reply_of_memcached_decodes_whole() {
    let mut stats_fields = BTreeMap::new();
    let mut decoded = 0;
    for record in records() {
        if !record.is_plain_memcached() || record.is_binary() || record.is_datagram {
            continue;
        }
        if request_of(&record).is_none() {
            continue;
        }
        let name = record.name();
        let events = match record.case.as_str() {
            "mn" => check_meta_noop(&record),
            case => check_text_reply(&name, case, &record.received),
        };
        if record.case == "version" {
            let number = record.server.split('-').next().unwrap();
            assert_eq!(events, [AsciiEvent::Version(number.into())], "{name}");
        }
        if record.case == "stats" {
            stats_fields.insert(record.server.clone(), events.len() - 1);
        }
        decoded += 1;
    }
    let expected: BTreeMap<String, usize> = STATS_FIELDS
        .iter()
        .map(|(server, fields)| ((*server).to_owned(), *fields))
        .collect();
    assert_eq!(stats_fields, expected);
    assert!(decoded >= 7 * STATS_FIELDS.len(), "{decoded}");
}

/// `mn` dates a server: `MN` from 1.6.0 on, `ERROR` before 1.5.19.
fn check_meta_noop(record: &Record) -> Vec<AsciiEvent> {
    let is_new = record.server.starts_with("1.6.");
    let expected = if is_new {
        AsciiEvent::MetaNoop
    } else {
        AsciiEvent::Error
    };
    let (events, _) = decode_ascii([&record.received[..]]);
    assert_eq!(events, [expected], "{}", record.name());
    events
}

#[test]
fn other_servers_decode_to_what_sets_them_apart() {
    let find = |server: &str, case: &str| {
        let record = records()
            .into_iter()
            .find(|record| record.server == server && record.case == case)
            .unwrap_or_else(|| panic!("{server} {case} was not recorded"));
        decode_ascii([&record.received[..]]).0
    };
    let unauthenticated = AsciiEvent::ClientError("unauthenticated".into());
    assert_eq!(find("auth-1.6.45-Y", "version"), [unauthenticated]);
    assert_eq!(find("auth-1.4.15-S", "version"), []);
    let hit = [AsciiEvent::Value { bytes: 8 }, AsciiEvent::End];
    assert_eq!(find("other-honeypots", "get-miss"), hit);
    assert_eq!(find("1.6.45", "get-miss"), [AsciiEvent::End]);
    let nodecached = find("other-nodecached", "stats");
    assert!(matches!(&nodecached[0], AsciiEvent::Stat { name, .. } if name == "pid"));
    assert_eq!(nodecached.last(), Some(&AsciiEvent::End));
    let yrmcds = AsciiEvent::Version("yrmcds version 1.1.9".into());
    assert_eq!(find("other-yrmcds", "two-cmds"), [yrmcds, AsciiEvent::End]);
}

fn replies(record: &Record) -> Vec<BinaryReply> {
    let (events, pending_bytes) = decode_binary([&record.received[..]]);
    assert_eq!(pending_bytes, 0, "{}", record.name());
    assert_eq!(
        decode_binary(record.received.chunks(1)).0,
        events,
        "{}",
        record.name()
    );
    let reply = |event| match event {
        BinaryEvent::Reply(reply) => reply,
        BinaryEvent::NotBinary => panic!("{}: not binary", record.name()),
    };
    events.into_iter().map(reply).collect()
}

#[test]
fn every_binary_reply_decodes_whole() {
    let mut decoded = 0;
    for record in records() {
        let is_refused = record.received.first() != Some(&0x81);
        if !record.is_binary() || record.is_datagram || is_refused {
            continue;
        }
        let name = record.name();
        let replies = replies(&record);
        assert!(replies.iter().all(|reply| reply.opaque == OPAQUE), "{name}");
        let last = replies.last().unwrap();
        match record.case.as_str() {
            "bin-version" => {
                assert_eq!(
                    (last.opcode, last.status),
                    (opcode::VERSION, status::NO_ERROR)
                );
                let number = record.server.split('-').find(|part| part.starts_with("1."));
                if let Some(number) = number {
                    assert_eq!(last.value, number.as_bytes(), "{name}");
                }
            }
            "bin-noop" if record.server.contains("-S") => {
                assert_eq!(last.status, status::AUTH_ERROR, "{name}");
            }
            "bin-noop" => assert_eq!((last.opcode, last.status), (opcode::NOOP, 0), "{name}"),
            "bin-stat" if record.server.contains("-S") => {
                assert_eq!(last.status, status::AUTH_ERROR, "{name}");
            }
            "bin-stat" if record.server == "other-memcrsd" => assert_eq!(last.value, b"0.0.1"),
            "bin-stat" => {
                assert!(last.key.is_empty() && last.value.is_empty(), "{name}");
                assert!(
                    replies[..replies.len() - 1]
                        .iter()
                        .all(|reply| !reply.key.is_empty())
                );
                assert!(replies.len() > 20, "{name}");
            }
            "bin-sasl-list" if record.server.contains("-S") => {
                assert!(last.value.starts_with(b"SCRAM-SHA-512 "), "{name}");
            }
            "bin-sasl-list" => assert_eq!(last.status, status::UNKNOWN_COMMAND, "{name}"),
            case => panic!("unknown case {case}"),
        }
        decoded += 1;
    }
    assert!(decoded >= 80, "{decoded}");
}

#[test]
fn both_protocols_give_the_same_statistics() {
    let mut by_server: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    for record in records() {
        if record.is_datagram || !record.is_plain_memcached() || record.server == "1.2.8" {
            continue;
        }
        let entry = by_server.entry(record.server.clone()).or_default();
        if record.case == "stats" {
            entry[0] = stat_names(&decode_ascii([&record.received[..]]).0);
        } else if record.case == "bin-stat" {
            let names = replies(&record).into_iter().map(|reply| reply.key);
            entry[1] = names
                .filter(|key| !key.is_empty())
                .map(|key| String::from_utf8(key).unwrap())
                .collect();
        }
    }
    assert_eq!(by_server.len(), STATS_FIELDS.len() - 1);
    for (server, [ascii, binary]) in by_server {
        assert!(!ascii.is_empty(), "{server}");
        assert_eq!(ascii, binary, "{server}");
    }
}

fn stat_names(events: &[AsciiEvent]) -> Vec<String> {
    let name = |event: &AsciiEvent| match event {
        AsciiEvent::Stat { name, .. } => Some(name.clone()),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

/// Orders that a network could make of a reply.
fn shuffles(datagrams: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let backwards = datagrams.iter().rev().cloned().collect();
    let odd_first = datagrams
        .iter()
        .skip(1)
        .step_by(2)
        .chain(datagrams.iter().step_by(2));
    let twice = datagrams.iter().flat_map(|datagram| [datagram, datagram]);
    let mut turned = datagrams.to_vec();
    turned.rotate_left(datagrams.len() / 3);
    // A step of 7 reaches every place unless 7 divides the length; then take the other orders.
    let stepped = (0..datagrams.len()).map(|place| datagrams[place * 7 % datagrams.len()].clone());
    let mut orders = vec![
        backwards,
        odd_first.cloned().collect(),
        twice.cloned().collect(),
        turned,
    ];
    if !datagrams.len().is_multiple_of(7) {
        orders.push(stepped.collect());
    }
    orders
}

#[test]
fn every_datagram_reply_comes_together_in_any_order() {
    let mut joined_replies = 0;
    for record in records() {
        if !record.is_datagram || request_of(&record).is_none() {
            continue;
        }
        let name = record.name();
        let count = record.datagrams.len();
        let payload =
            |datagram: &Vec<u8>| Frame::parse(datagram).expect("recorded whole").1.to_vec();
        let in_order: Vec<u8> = record.datagrams.iter().flat_map(payload).collect();
        check_text_reply(&name, &record.case, &in_order);
        for order in shuffles(&record.datagrams) {
            let mut reply = Reassembly::new(REQUEST_ID);
            for datagram in &order {
                assert_ne!(
                    reply.handle_datagram(datagram),
                    Accepted::OverLimit,
                    "{name}"
                );
            }
            assert!(reply.is_complete() && !reply.has_gap(), "{name}");
            assert_eq!(reply.contiguous(), in_order, "{name}");
            assert_eq!(reply.received_distinct() as usize, count, "{name}");
            assert_eq!(reply.duplicates() as usize, order.len() - count, "{name}");
        }
        check_losses(&name, &record.datagrams, &in_order);
        joined_replies += 1;
    }
    assert!(joined_replies >= 7 * STATS_FIELDS.len(), "{joined_replies}");
}

/// Without any one of its datagrams a reply is never whole.
fn check_losses(name: &str, datagrams: &[Vec<u8>], in_order: &[u8]) {
    for lost in 0..datagrams.len() {
        let mut reply = Reassembly::new(REQUEST_ID);
        for (number, datagram) in datagrams.iter().enumerate() {
            if number != lost {
                reply.handle_datagram(datagram);
            }
        }
        assert!(!reply.is_complete(), "{name} without {lost}");
        assert!(
            in_order.starts_with(&reply.contiguous()),
            "{name} without {lost}"
        );
        assert!(
            reply.contiguous().len() < in_order.len(),
            "{name} without {lost}"
        );
    }
}

#[test]
fn a_total_that_is_too_small_loses_nothing() {
    let record = records()
        .into_iter()
        .find(|record| record.server == "1.6.9" && record.case == "full-items")
        .expect("1.6.9 was recorded with a full cache");
    let mut reply = Reassembly::new(REQUEST_ID);
    for (number, datagram) in record.datagrams.iter().rev().enumerate() {
        assert!(!reply.is_complete(), "after {number} datagrams");
        assert_eq!(reply.handle_datagram(datagram), Accepted::New);
    }
    assert!(reply.is_complete());
    assert_eq!(reply.stated_total(), Some(23));
    assert_eq!(reply.received_distinct(), 24);
    assert_eq!(reply.bytes(), 32_224);
    let (events, _) = decode_ascii([&reply.contiguous()[..]]);
    assert_eq!(events.last(), Some(&AsciiEvent::End));
    assert_eq!(
        stat_names(&events).len(),
        lines_beginning(&reply.contiguous(), b"STAT")
    );
    // All that the total promises has come, and yet the reply is not whole.
    let mut short = Reassembly::new(REQUEST_ID);
    for datagram in &record.datagrams[..23] {
        short.handle_datagram(datagram);
    }
    assert!(!short.is_complete() && !short.has_gap());
}

/// Recorded listings over a stream.
fn recorded_listings(case: &str) -> Vec<Record> {
    let mut records = records();
    records.retain(|record| record.case == case && !record.is_datagram);
    records
}

fn check_listing_cuts<E: PartialEq + std::fmt::Debug>(
    record: &Record,
    decode: impl Fn(Vec<&[u8]>) -> (Vec<E>, ListingAnomalies),
) -> Vec<E> {
    let bytes = &record.received[..];
    let (events, anomalies) = decode(vec![bytes]);
    assert_eq!(anomalies, ListingAnomalies::default(), "{}", record.name());
    for cut in (0..=bytes.len()).step_by(3) {
        let (before, after) = bytes.split_at(cut);
        assert_eq!(decode(vec![before, after]).0, events, "{}", record.name());
    }
    let byte_by_byte = bytes.chunks(1).collect();
    assert_eq!(decode(byte_by_byte).0, events, "{}", record.name());
    events
}

#[test]
fn every_metadump_decodes_whole() {
    let mut listed = 0;
    for record in recorded_listings("metadump-all") {
        let name = record.name();
        let version = ServerVersion::parse(record.server.split('-').next().unwrap()).unwrap();
        let events = check_listing_cuts(&record, |pieces| decode_metadump(pieces));
        let refusal = match version {
            _ if version < ServerVersion::new(1, 4, 31) => Some("ERROR"),
            _ if version < ServerVersion::new(1, 5, 0) => Some("CLIENT_ERROR lru crawler disabled"),
            _ => None,
        };
        if let Some(words) = refusal {
            assert_eq!(events, [MetadumpEvent::Refused(words.into())], "{name}");
            continue;
        }
        let is_started = events.first() == Some(&MetadumpEvent::Started);
        assert_eq!(
            is_started,
            version >= ServerVersion::new(1, 6, 43),
            "{name}"
        );
        let is_ended = events.last() == Some(&MetadumpEvent::End);
        assert_eq!(is_ended, MetadumpRequest::has_end(&version), "{name}");
        let keys: Vec<&ListedKey> = events
            .iter()
            .filter_map(|event| match event {
                MetadumpEvent::Key(key) => Some(key),
                _ => None,
            })
            .collect();
        let others = usize::from(is_started) + usize::from(is_ended);
        assert_eq!(keys.len() + others, events.len(), "{name}");
        assert_eq!(
            keys.len(),
            lines_beginning(&record.received, b"key="),
            "{name}"
        );
        for key in &keys {
            let times = [key.expires, key.last_access].into_iter().flatten();
            assert!(times.into_iter().all(|time| time > 1_795_000_000), "{name}");
            assert!(key.cas.is_some() && key.fetched.is_some(), "{name}");
            let has_size = version > ServerVersion::new(1, 5, 0);
            assert_eq!(key.class.is_some(), has_size, "{name}");
            assert_eq!(key.size_bytes.is_some(), has_size, "{name}");
        }
        let find = |wanted: &[u8]| keys.iter().find(|key| key.name == wanted);
        let session = find(b"session:abc123").unwrap_or_else(|| panic!("{name}: no session"));
        assert!(session.expires > session.last_access, "{name}");
        assert_eq!(find(b"a").map(|key| key.expires), Some(None), "{name}");
        // 1.5.1 to 1.5.6 leave out the last key of each class.
        if version >= ServerVersion::new(1, 6, 0) || version == ServerVersion::new(1, 5, 0) {
            assert!(
                find(b"url%20enc/key?x=1&y=%C3%A9").is_some(),
                "{name}: decoded once"
            );
        }
        listed += 1;
    }
    assert_eq!(listed, 10);
}

#[test]
fn metadumps_of_other_servers_are_refused() {
    let expect = [
        ("B-ascii-1.6.45", Some(MetadumpEvent::Started)),
        ("B-binary-1.4.15", None),
        ("B-binary-1.6.45", None),
        ("auth-1.4.15-S-udp", None),
        ("auth-1.4.15-S", None),
        ("auth-1.6.45-S", None),
        (
            "auth-1.6.45-Y",
            Some(MetadumpEvent::Refused(
                "CLIENT_ERROR unauthenticated".into(),
            )),
        ),
        (
            "other-honeypots",
            Some(MetadumpEvent::Refused("ERROR".into())),
        ),
        ("other-memcached-njs", None),
        ("other-memcrsd", None),
        (
            "other-nodecached",
            Some(MetadumpEvent::Refused("ERROR".into())),
        ),
        ("other-yrmcds", Some(MetadumpEvent::Refused("ERROR".into()))),
        ("tls-1.6.45-Z", Some(MetadumpEvent::Started)),
    ];
    let found: Vec<(String, Option<MetadumpEvent>)> = recorded_listings("metadump")
        .iter()
        .map(|record| {
            let events = check_listing_cuts(record, |pieces| decode_metadump(pieces));
            (record.server.clone(), events.into_iter().next())
        })
        .collect();
    let expect = expect.map(|(server, event)| (server.to_owned(), event));
    assert_eq!(found, expect);
}

#[test]
fn every_cachedump_decodes_whole() {
    let mut listed = 0;
    for record in recorded_listings("stats-cachedump-1") {
        let name = record.name();
        let mut events = check_listing_cuts(&record, |pieces| decode_cachedump(pieces));
        assert_eq!(events.pop(), Some(CacheDumpEvent::End), "{name}");
        let keys: Vec<ListedKey> = events
            .into_iter()
            .map(|event| match event {
                CacheDumpEvent::Key(key) => key,
                other => panic!("{name}: {other:?}"),
            })
            .collect();
        assert_eq!(
            keys.len(),
            lines_beginning(&record.received, b"ITEM"),
            "{name}"
        );
        if record.server == "1.5.0" {
            assert_eq!(keys, [], "all keys are in the part that it does not list");
            continue;
        }
        let size = |wanted: &[u8]| {
            let key = keys.iter().find(|key| key.name == wanted);
            key.and_then(|key| key.size_bytes)
        };
        assert_eq!(size(b"a"), Some(1), "{name}");
        // 1.2.8 has no binary protocol, so no such key.
        let spaced = (record.server != "1.2.8").then_some(6);
        assert_eq!(size(b"bin key"), spaced, "{name}");
        let says_never = keys.iter().any(|key| key.expires.is_none());
        let version = ServerVersion::parse(record.server.split('-').next().unwrap()).unwrap();
        assert_eq!(
            says_never,
            version >= ServerVersion::new(1, 4, 33),
            "{name}"
        );
        listed += 1;
    }
    assert_eq!(listed, STATS_FIELDS.len() - 1);
}
