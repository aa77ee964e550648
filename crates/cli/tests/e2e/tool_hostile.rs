//! Servers that lie, dawdle or never end, looked at with `tool`: every mode ends in time, with a
//! whole table or with one line.

use std::net::Ipv4Addr;
use std::time::Duration;

use sim::LiveServer;
use sim::behaviour::{Hostile, Misbehaviour, Stranger};

use crate::servers::{BOTH, host};
use crate::tool_ground::{Folder, MODES, at_once, run_with_input};

/// A table of 400,000 rows takes a busy machine some seconds; who waits for its end waits for ever.
const ENDED_WITHIN: Duration = Duration::from_secs(15);
/// Looks that go on side by side.
const AT_ONCE: usize = 4;
/// A table without end is given up after so many rows as cost this.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

const STRANGERS: [Stranger; 7] = [
    Stranger::Http,
    Stranger::Ssh,
    Stranger::Redis,
    Stranger::Mute,
    Stranger::ResetAtOnce,
    Stranger::CloseAtOnce,
    Stranger::Echo,
];

/// Bytes that a terminal would act upon.
fn is_dangerous(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check(folder: &Folder, name: &str, address: Ipv4Addr, mode: &str, flags: &[&str]) {
    let target = address.to_string();
    let command = folder.tool(&[&[&target[..], mode], flags].concat());
    let (run, stdout) = run_with_input(folder, command, "version\nstats\ndisplay\n");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let at = format!(
        "{name} {mode} {flags:?}: {:?} {}\n{stdout:.2000}",
        run.code, run.stderr
    );
    assert!(run.elapsed < ENDED_WITHIN, "{at} {:?}", run.elapsed);
    assert!(
        run.memory_kib_max < MEMORY_KIB_MAX,
        "{at} {}",
        run.memory_kib_max
    );
    assert!(run.stderr.lines().count() <= 1, "{at}");
    assert!(!run.stderr.chars().any(is_dangerous), "{at}");
    assert!(run.stderr.chars().count() < 1_000, "{at}");
    let is_mark = mode == "dump" && stdout.starts_with("# memsweep: incomplete, 0 of 0");
    // A dump's mark has the line end of what it stands among.
    assert!(!stdout.chars().any(is_dangerous) || is_mark, "{at}");
    match run.code {
        Some(0) => assert!(run.stderr.is_empty() || mode == "dump", "{at}"),
        Some(2 | 3) => {
            assert_eq!(run.stderr.lines().count(), 1, "{at}");
            // At the prompt what went before was whole.
            assert!(stdout.is_empty() || is_mark || mode == "console", "{at}");
        }
        _ => panic!("{at}"),
    }
}

/// Looks at each server in every mode, over both transports.
fn check_all(servers: &[(String, Ipv4Addr, LiveServer)]) {
    let folder = Folder::new();
    let mut looks: Vec<(&str, Ipv4Addr, &str, &[&str])> = Vec::new();
    for (name, address, _server) in servers {
        looks.extend(MODES.map(|mode| (&name[..], *address, mode, &[][..])));
        for mode in ["display", "stats", "keys", "console"] {
            looks.push((name, *address, mode, &["--udp"]));
        }
        looks.push((name, *address, "stats", &["--tls", "--insecure"]));
        looks.push((name, *address, "stats", &["-o", "json"]));
    }
    at_once(&looks, AT_ONCE, |(name, address, mode, flags)| {
        check(&folder, name, *address, mode, flags);
    });
}

#[test]
fn a_hostile_server_gets_nobody_to_wait_or_to_believe_half_a_table() {
    let servers = Misbehaviour::ALL.map(|misbehaviour| {
        let (address, server) = host(BOTH, Hostile::new(misbehaviour));
        (format!("{misbehaviour:?}"), address, server)
    });
    check_all(&servers);
}

#[test]
fn a_stranger_is_told_from_memcached_in_one_line() {
    let servers = STRANGERS.map(|stranger| {
        let (address, server) = host(BOTH, stranger);
        (format!("{stranger:?}"), address, server)
    });
    check_all(&servers);
}
