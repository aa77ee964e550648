//! Servers that drip, and users who have waited enough: `keys` and `dump` end either way, and say
//! how far they got.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sim::LiveServer;
use sim::behaviour::{Act, DatagramAct, Personality, StreamId};

use crate::program::{Run, Running};
use crate::servers::{TCP, Tape, Taped, host};
use crate::tool_ground::{Folder, run_bytes};

/// Between two bytes; shorter than any deadline.
const DRIP_US: u64 = 100_000;
const DRIPS: u32 = 100_000;
/// A default deadline, and some time for a machine that is busy.
const ENDED_WITHIN: Duration = Duration::from_secs(15);
/// How soon a signal is obeyed.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);
const KEYS: &str = "key=one exp=-1 la=1 cas=1 fetch=no cls=1 size=64\n\
                    key=two%20words exp=-1 la=1 cas=2 fetch=no cls=1 size=64\n\
                    key=three exp=-1 la=1 cas=3 fetch=no cls=1 size=64\n";

/// Where a server begins to drip.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Listing,
    Value,
    CacheDump,
}

/// A memcached 1.6.18 with three keys, which never comes to the end of one of its replies.
struct Dripping(Place);

fn drips(beginning: &str) -> Vec<Act> {
    let drip = Act::Repeat {
        bytes: b"k".to_vec(),
        times: DRIPS,
        pause_us: DRIP_US,
    };
    vec![Act::Send(beginning.into()), drip]
}

impl Personality for Dripping {
    fn stream_opened(&mut self, _: StreamId, _: u64) -> Vec<Act> {
        Vec::new()
    }

    fn stream_bytes(&mut self, _: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (&words[..], self.0) {
            (["lru_crawler", ..], Place::Listing) => drips(KEYS),
            (["lru_crawler", ..], Place::CacheDump) => {
                vec![Act::Send(b"CLIENT_ERROR lru crawler disabled\r\n".to_vec())]
            }
            (["lru_crawler", ..], Place::Value) => {
                vec![Act::Send(format!("{KEYS}END\r\n").into())]
            }
            (["stats", "cachedump", ..], _) => drips("ITEM one [3 b; 0 s]\r\n"),
            (["stats", "items"], _) => {
                vec![Act::Send(b"STAT items:1:number 3\r\nEND\r\n".to_vec())]
            }
            (["stats"], _) => vec![Act::Send(b"STAT curr_items 3\r\nEND\r\n".to_vec())],
            (["get", ..], Place::Value) => drips("VALUE one 0 1000000\r\n"),
            (["get", ..], _) => vec![Act::Send(
                b"VALUE one 0 1\r\n1\r\nVALUE three 0 1\r\n3\r\nEND\r\n".to_vec(),
            )],
            _ => vec![Act::Send(b"VERSION 1.6.18\r\n".to_vec())],
        }
    }

    fn stream_closed(&mut self, _: StreamId) {}

    fn datagram(&mut self, _: &[u8], _: u64) -> Vec<DatagramAct> {
        Vec::new()
    }
}

fn dripping(place: Place) -> (Ipv4Addr, LiveServer, Tape) {
    let tape = Tape::default();
    let taped = Taped {
        inner: Dripping(place),
        tape: tape.clone(),
    };
    let (address, server) = host(TCP, taped);
    (address, server, tape)
}

fn tool(folder: &Folder, address: Ipv4Addr, words: &[&str]) -> (Run, String) {
    let target = address.to_string();
    let (run, stdout) = run_bytes(folder.tool(&[&[&target[..]], words].concat()));
    assert!(run.elapsed < ENDED_WITHIN, "{words:?} {:?}", run.elapsed);
    (run, String::from_utf8(stdout).unwrap())
}

#[test]
fn a_listing_in_drops_ends_with_what_came() {
    let folder = Folder::new();
    let (address, _server, _) = dripping(Place::Listing);
    let why = "the listing broke off after 3 keys: fewer than 4096 bytes a second came";
    let (run, stdout) = tool(&folder, address, &["keys", "--full"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert_eq!(run.stderr, format!("memsweep: {why}\n"));
    let names: Vec<&str> = stdout
        .lines()
        .skip(1)
        .map(|line| line[50..].trim())
        .collect();
    assert_eq!(names, ["one", "two words", "three"], "{stdout}");

    let (run, stdout) = tool(&folder, address, &["dump", "--quiet"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains(why), "{}", run.stderr);
    let expected = "add one 0 0 1\r\n1\r\nadd three 0 0 1\r\n3\r\n# memsweep: incomplete, 2 of 3 \
                    listed keys were written; the list of keys broke off\r\n";
    assert_eq!(stdout, expected);
    assert!(
        folder.journal().trim_end().ends_with(" incomplete"),
        "{}",
        folder.journal()
    );
    // What is wanted had come.
    let (run, _) = tool(&folder, address, &["keys", "--limit", "2"]);
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""));
}

#[test]
fn a_value_or_a_class_in_drops_is_not_waited_for() {
    let folder = Folder::new();
    let (address, _server, _) = dripping(Place::Value);
    let (run, stdout) = tool(&folder, address, &["dump"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(
        run.stderr.contains("broke off after 0 keys"),
        "{}",
        run.stderr
    );
    assert!(stdout.starts_with("add one 0 0 1000000\r\nkkk"), "{stdout}");
    let mark = "\r\n# memsweep: incomplete, 0 of 3 listed keys were written\r\n";
    assert!(stdout.ends_with(mark), "{stdout}");

    let (address, _server, _) = dripping(Place::CacheDump);
    let (run, stdout) = tool(&folder, address, &["keys"]);
    assert_eq!((run.code, &stdout[..]), (Some(3), ""), "{}", run.stderr);
    assert!(run.stderr.contains("stats cachedump"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}

/// Starts a look with a deadline that no test waits for, and stops it as Ctrl-C does once the server
/// has heard this word.
fn interrupted(folder: &Folder, place: Place, words: &[&str], heard: &[u8]) -> (Run, String) {
    let (address, _server, tape) = dripping(place);
    let target = address.to_string();
    let command = folder.tool(&[&[&target[..]], words, &["--timeout", "60s"]].concat());
    let mut running = Running::start(command);
    let has_heard = || {
        let segments = tape.segments.lock().unwrap();
        segments.iter().any(|segment| segment.starts_with(heard))
    };
    running.wait_until(has_heard);
    let signalled = Instant::now();
    running.signal(Signal::SIGINT);
    let run = running.finish();
    assert!(signalled.elapsed() < STOPPED_WITHIN, "{words:?}");
    let stdout = run.stdout.clone();
    (run, stdout)
}

#[test]
fn a_signal_ends_what_waits_and_the_file_says_how_far_it_got() {
    let folder = Folder::new();
    for words in [&["keys"][..], &["keys", "--summary"]] {
        let (run, stdout) = interrupted(&folder, Place::Listing, words, b"lru_crawler");
        assert_eq!((run.code, &stdout[..]), (Some(130), ""), "{}", run.stderr);
        assert_eq!(run.stderr, "memsweep: stopped before the first key\n");
    }
    let (run, stdout) = interrupted(&folder, Place::Listing, &["dump"], b"lru_crawler");
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    let mark = "# memsweep: incomplete, 0 of 0 listed keys were written\r\n";
    assert_eq!(stdout, mark);
    assert_eq!(run.stderr, "memsweep: stopped after 0 keys\n");

    let (run, stdout) = interrupted(&folder, Place::Value, &["dump"], b"get ");
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    let mark = "\r\n# memsweep: incomplete, 0 of 3 listed keys were written\r\n";
    assert!(stdout.ends_with(mark), "{stdout}");
    let journal = folder.journal();
    assert_eq!(journal.matches(" incomplete\n").count(), 2, "{journal}");

    let (run, stdout) = interrupted(&folder, Place::CacheDump, &["keys"], b"stats cachedump");
    assert_eq!((run.code, &stdout[..]), (Some(130), ""), "{}", run.stderr);
}
