//! Servers that try to hurt whoever asks, all in one run with a real one among them.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use sim::behaviour::{Genuine, GenuineConfig, Hostile, Misbehaviour, Slow, Stranger};
use sim::{FullBacklog, LiveServer, SilentUdp};
use testkit::{MemcachedServer, fresh_loopback};

use crate::program::{Run, memsweep};
use crate::records::{Records, text};
use crate::servers::{BOTH, TCP, host};

/// Nothing that a peer does may cost more.
const MEMORY_KIB_MAX: u64 = 64 * 1024;
/// An interview ends after 10 s at most; the rest is what a busy machine takes.
const RUN_MAX: Duration = Duration::from_secs(20);

const STRANGERS: [Stranger; 7] = [
    Stranger::Http,
    Stranger::Ssh,
    Stranger::Redis,
    Stranger::Mute,
    Stranger::ResetAtOnce,
    Stranger::CloseAtOnce,
    Stranger::Echo,
];

/// Verdicts over TCP and UDP. `exposed` only where a command of ours was executed as the protocol
/// says.
fn expected_of_misbehaviour(misbehaviour: Misbehaviour) -> (&'static str, &'static str) {
    match misbehaviour {
        Misbehaviour::EndlessStats => ("exposed", "exposed"),
        Misbehaviour::EndlessLine => ("other", "exposed"),
        Misbehaviour::Drip => ("unfinished", "exposed"),
        Misbehaviour::WrongRequestId => ("exposed", "other"),
        // It answers `version` with statistics: that is no execution of what was asked.
        Misbehaviour::DatagramFlood => ("exposed", "other"),
        Misbehaviour::HugeNumbers => ("exposed", "exposed"),
        Misbehaviour::NulAndInvalidUtf8 => ("exposed", "exposed"),
        Misbehaviour::TerminalEscapes => ("exposed", "exposed"),
        // A value that never ends is no hit yet: in doubt, exposed.
        Misbehaviour::ValueBomb => ("exposed", "exposed"),
    }
}

fn expected_of_stranger(stranger: Stranger) -> (&'static str, &'static str, &'static str) {
    match stranger {
        Stranger::Http => ("other", "silent", "a web server (HTTP/1.1 400 Bad Request)"),
        Stranger::Ssh => ("other", "silent", "an SSH server (SSH-2.0-OpenSSH_9.2p1"),
        Stranger::Redis => ("other", "silent", "Redis or a relative"),
        Stranger::Mute => ("other", "silent", "it accepts and never sends a byte"),
        Stranger::ResetAtOnce => ("other", "silent", "it accepts and resets without a byte"),
        Stranger::CloseAtOnce => ("other", "silent", "it accepts and closes without a byte"),
        Stranger::Echo => ("other", "other", "it sends our own bytes back"),
    }
}

struct Crowd {
    members: Vec<(String, Ipv4Addr, LiveServer)>,
    expected: Vec<(String, &'static str)>,
}

impl Crowd {
    fn gather() -> Crowd {
        let mut crowd = Crowd {
            members: Vec::new(),
            expected: Vec::new(),
        };
        for misbehaviour in Misbehaviour::ALL {
            let (tcp, udp) = expected_of_misbehaviour(misbehaviour);
            let (address, server) = host(BOTH, Hostile::new(misbehaviour));
            crowd.add(format!("{misbehaviour:?}"), address, server, tcp, udp);
        }
        for stranger in STRANGERS {
            let (tcp, udp, _) = expected_of_stranger(stranger);
            let (address, server) = host(BOTH, stranger);
            crowd.add(format!("{stranger:?}"), address, server, tcp, udp);
        }
        crowd
    }

    fn add(
        &mut self,
        name: String,
        address: Ipv4Addr,
        server: LiveServer,
        tcp: &'static str,
        udp: &'static str,
    ) {
        self.members.push((name, address, server));
        for (transport, verdict) in [("tcp", tcp), ("udp", udp)] {
            self.expected
                .push((format!("{address}:11211/{transport}"), verdict));
        }
    }

    fn name_of(&self, endpoint: &str) -> &str {
        self.members
            .iter()
            .find(|(_, address, _)| endpoint.starts_with(&format!("{address}:")))
            .map_or("?", |(name, ..)| name)
    }

    fn scan(&self, arguments: &[&str]) -> Run {
        let addresses: Vec<String> = self
            .members
            .iter()
            .map(|(_, at, _)| at.to_string())
            .collect();
        let mut all: Vec<&str> = arguments.to_vec();
        all.extend(addresses.iter().map(String::as_str));
        memsweep(&all)
    }
}

#[track_caller]
fn check_verdicts(crowd: &Crowd, records: &Records) {
    let wrong: Vec<String> = crowd
        .expected
        .iter()
        .filter_map(|(endpoint, expected)| {
            let record = records.endpoint(endpoint);
            let name = crowd.name_of(endpoint);
            (text(record, "verdict") != *expected).then(|| format!("{name} {expected}: {record}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Bytes that a terminal would act upon. Line ends are all that is left of the control characters;
/// what reorders text (bidirectional overrides) is among them.
fn is_dangerous(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn all_of_them_end_in_a_verdict_and_none_costs_memory_or_writes_to_the_terminal() {
    let crowd = Crowd::gather();
    let real = fresh_loopback().to_string();
    let _real = MemcachedServer::start(&["-l", &real, "-p", "11211", "-U", "11211"]);
    let folder = tempfile::tempdir().unwrap();
    let files = ["text", "nmap", "json"].map(|format| {
        let path = folder.path().join(format).display().to_string();
        format!("{format}={path}")
    });
    let run = crowd.scan(&[
        "scan",
        &real,
        "--verbose",
        "-o",
        "ndjson",
        "-o",
        &files[0],
        "-o",
        &files[1],
        "-o",
        &files[2],
    ]);
    let records = run.records_with_code(1);
    check_verdicts(&crowd, &records);
    for transport in ["tcp", "udp"] {
        let record = records.endpoint(&format!("{real}:11211/{transport}"));
        assert_eq!(text(record, "verdict"), "exposed");
        assert_eq!(text(record, "version"), "1.6.18");
        assert_eq!(record["server"]["curr_items"], 0);
    }
    assert!(run.elapsed < RUN_MAX, "{:?}", run.elapsed);
    assert!(
        (1..MEMORY_KIB_MAX).contains(&run.memory_kib_max),
        "{} KiB",
        run.memory_kib_max
    );
    for file in ["text", "nmap", "json"] {
        let written = fs::read_to_string(folder.path().join(file)).unwrap();
        let found: Vec<char> = written.chars().filter(|one| is_dangerous(*one)).collect();
        assert!(found.is_empty(), "{file}: {found:?}");
        assert!(written.contains("exposed") || file == "nmap", "{file}");
    }
    let found: Vec<char> = run
        .stdout
        .chars()
        .filter(|one| is_dangerous(*one))
        .collect();
    assert!(found.is_empty(), "ndjson: {found:?}");
    // Nobody but those who executed something counts as exposed.
    for record in records.endpoints() {
        let executed = record["executed"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        assert!(executed || text(record, "verdict") != "exposed", "{record}");
    }
    assert!(records.summary()["rejected_replies"].as_u64().unwrap() > 0);
}

#[test]
fn strangers_are_called_what_they_look_like() {
    let mut names = Vec::new();
    let mut servers = Vec::new();
    for stranger in STRANGERS {
        let (address, server) = host(TCP, stranger);
        names.push(address.to_string());
        servers.push(server);
    }
    let mut arguments = vec!["scan", "--tcp", "-o", "ndjson"];
    arguments.extend(names.iter().map(String::as_str));
    let run = memsweep(&arguments);
    let records = run.records_with_code(0);
    for (stranger, address) in STRANGERS.into_iter().zip(&names) {
        let record = records.endpoint(&format!("{address}:11211/tcp"));
        let (verdict, _, reason) = expected_of_stranger(stranger);
        assert_eq!(text(record, "verdict"), verdict, "{stranger:?} {record}");
        assert!(
            text(record, "reason").contains(reason),
            "{stranger:?} {record}"
        );
    }
    // Triage takes 3 s at most, on a machine that has nothing else to do.
    assert!(run.elapsed < Duration::from_secs(9), "{:?}", run.elapsed);
}

#[test]
fn what_never_answers_is_filtered_or_silent() {
    let (tcp, udp) = (fresh_loopback(), fresh_loopback());
    let _tcp = FullBacklog::start((tcp, 11211).into()).unwrap();
    let _udp = SilentUdp::bind((udp, 11211).into()).unwrap();
    let run = memsweep(&["scan", &tcp.to_string(), &udp.to_string(), "-o", "ndjson"]);
    let records = run.records_with_code(0);
    for (endpoint, expected) in [
        (format!("{tcp}:11211/tcp"), "filtered"),
        (format!("{tcp}:11211/udp"), "closed"),
        (format!("{udp}:11211/tcp"), "closed"),
        (format!("{udp}:11211/udp"), "silent"),
    ] {
        assert_eq!(text(records.endpoint(&endpoint), "verdict"), expected);
    }
}

/// A server that takes longer than its probe is waited for is found all the same, while the run
/// goes on.
#[test]
fn late_answers_count() {
    let config = GenuineConfig {
        udp_port: 11211,
        ..GenuineConfig::new("1.6.18")
    };
    let slow = Slow::new(Box::new(Genuine::new(config)), 900_000);
    let (address, _server) = host(BOTH, slow);
    let silent = fresh_loopback();
    let _silent = SilentUdp::bind((silent, 11211).into()).unwrap();
    let target = address.to_string();
    let silent = silent.to_string();
    // One probe of 300 ms gives the late one up; the silent neighbour, asked in turn, keeps the
    // run alive.
    let run = memsweep(&[
        "scan",
        &target,
        &silent,
        "--udp",
        "--timeout",
        "250ms",
        "--retries",
        "0",
        "--rate",
        "1",
        "--seed",
        "1",
        "-o",
        "ndjson",
    ]);
    let records = run.records();
    let verdicts = records.verdicts();
    assert_eq!(verdicts[&format!("{silent}:11211/udp")], "silent");
    assert_eq!(
        verdicts[&format!("{target}:11211/udp")],
        "exposed",
        "{run:?}"
    );
}
