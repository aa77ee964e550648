//! A run as its user lives with it: interrupted, killed, continued, divided, and read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use model::Transport;
use nix::pty::openpty;
use nix::sys::signal::Signal;
use serde_json::Value;
use sim::behaviour::{Genuine, GenuineConfig};
use sim::{DemoNetwork, FullBacklog, SilentUdp};
use testkit::fresh_loopback;

use crate::program::{Run, Running, memsweep, program};
use crate::records::{Records, text};
use crate::servers::{BOTH, TCP, Tape, Taped, host};

/// Nobody listens on TCPMUX any more, on any address.
const CLOSED_PORT: &str = "1";

/// A /24 of loopback in which everything is closed.
fn closed_network(number: u8) -> String {
    format!("127.99.{number}.0/24")
}

/// Every endpoint of a /24, over both transports.
fn all_endpoints(network: &str) -> BTreeSet<String> {
    let base = network.strip_suffix(".0/24").unwrap();
    let endpoints = (0..=255).flat_map(|last| {
        ["tcp", "udp"].map(|transport| format!("{base}.{last}:{CLOSED_PORT}/{transport}"))
    });
    endpoints.collect()
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn output(&self, file: &str) -> String {
        format!("ndjson={}", self.path(file).display())
    }

    fn records(&self, file: &str) -> Records {
        Records::parse(&fs::read_to_string(self.path(file)).unwrap())
    }
}

fn count_endpoints(text: &str) -> usize {
    text.matches("{\"record\":\"endpoint\"").count()
}

#[test]
fn an_interrupted_run_says_so_and_is_continued_where_it_stopped() {
    let files = Files::new();
    let network = closed_network(1);
    let (first, second) = (files.output("run"), files.output("run"));
    // Both are kept by whoever continues it.
    let slow = [
        "--all",
        "--engine",
        "socket",
        "--rate",
        "200",
        "-p",
        CLOSED_PORT,
    ];
    let arguments = [&["scan", &network, "-o", "text", "-o", &first][..], &slow].concat();
    let mut running = Running::start(program(&arguments));
    running.wait_for(&files.path("run"), |text| count_endpoints(text) >= 60);
    running.signal(Signal::SIGINT);
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(run.stdout.contains("endpoints in"), "{}", run.stdout);
    let stopped = files.records("run");
    let summary = stopped.summary();
    assert_eq!(summary["complete"], false);
    let counter = summary["counter"].as_u64().unwrap();
    assert!((30..256).contains(&counter), "{summary}");
    let before = stopped.names().len();
    assert!(before < 512, "{before}");

    let path = files.path("run");
    let resume = ["scan", "--resume", path.to_str().unwrap(), "-o", &second];
    let resumed = memsweep(&resume);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let both = files.records("run");
    let seen: BTreeSet<String> = both.verdicts().into_keys().collect();
    assert_eq!(seen, all_endpoints(&network));
    let summary = both.summary();
    assert_eq!(summary["complete"], true);
    assert_eq!(summary["verdicts"]["closed"], 512);
    let runs: Vec<&Value> = both.0.iter().filter(|one| one["record"] == "run").collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1]["resumed_from"], runs[0]["run"]);
    for key in ["seed", "all", "engine_wished"] {
        assert_eq!(runs[1][key], runs[0][key], "{key}");
    }
    assert_eq!(runs[0]["engine_wished"], "socket");
    assert_eq!(runs[1]["counter"], counter);
}

#[test]
fn an_interruption_while_everything_is_silent_loses_nothing() {
    let files = Files::new();
    let (filtered, silent) = (fresh_loopback(), fresh_loopback());
    let _filtered = FullBacklog::start((filtered, 11211).into()).unwrap();
    let _silent = SilentUdp::bind((silent, 11211).into()).unwrap();
    let (open, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let targets = [filtered, silent, open].map(|address| address.to_string());
    let output = files.output("run");
    let mut running = Running::start(program(&[
        "scan",
        &targets[0],
        &targets[1],
        &targets[2],
        "--timeout",
        "30s",
        "-o",
        &output,
    ]));
    let found = format!("\"address\":\"{open}\",\"port\":11211,\"transport\":\"tcp\"");
    running.wait_for(&files.path("run"), |text| text.contains(&found));
    running.signal(Signal::SIGINT);
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(run.elapsed < Duration::from_secs(15), "{:?}", run.elapsed);
    let records = files.records("run");
    let verdicts = records.verdicts();
    let expected = [
        (format!("{filtered}:11211/tcp"), "unfinished"),
        (format!("{filtered}:11211/udp"), "closed"),
        (format!("{silent}:11211/tcp"), "closed"),
        (format!("{silent}:11211/udp"), "unfinished"),
        (format!("{open}:11211/tcp"), "exposed"),
        (format!("{open}:11211/udp"), "closed"),
    ];
    let expected: BTreeMap<String, String> = expected
        .into_iter()
        .map(|(name, verdict)| (name, verdict.to_owned()))
        .collect();
    assert_eq!(verdicts, expected);
    assert_eq!(records.summary()["complete"], false);
}

#[test]
fn sigterm_is_as_good_as_control_c() {
    let files = Files::new();
    let network = closed_network(2);
    let output = files.output("run");
    let arguments = [
        "scan",
        &network,
        "--all",
        "--rate",
        "50",
        "-p",
        CLOSED_PORT,
        "-o",
        &output,
    ];
    let mut running = Running::start(program(&arguments));
    running.wait_for(&files.path("run"), |text| count_endpoints(text) >= 2);
    running.signal(Signal::SIGTERM);
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(files.records("run").summary()["complete"], false);
}

#[test]
fn a_killed_run_is_continued_from_its_last_progress_record() {
    let files = Files::new();
    let network = closed_network(3);
    let output = files.output("run");
    let slow = ["--all", "--rate", "120", "-p", CLOSED_PORT];
    let arguments = [&["scan", &network, "-o", &output][..], &slow].concat();
    let mut running = Running::start(program(&arguments));
    running.wait_for(&files.path("run"), |text| {
        text.lines()
            .last()
            .is_some_and(|line| line.contains("\"endpoint\""))
            && text.contains("{\"record\":\"progress\"")
    });
    running.signal(Signal::SIGKILL);
    let run = running.finish();
    assert_eq!(run.signal, Some(Signal::SIGKILL as i32));

    let path = files.path("run");
    // Whatever was half written is cut, or it would spoil the line that follows.
    let torn = fs::read_to_string(&path).unwrap() + "{\"record\":\"endpoint\",\"sch";
    fs::write(&path, &torn).unwrap();
    let progress = torn.lines().rev().find_map(|line| {
        let record = serde_json::from_str::<Value>(line).ok()?;
        (record["record"] == "progress").then_some(record)
    });
    let progress = progress.unwrap();
    let counter = progress["counter"].as_u64().unwrap();
    assert!((1..256).contains(&counter), "{progress}");

    let resume = [
        "scan",
        "--resume",
        path.to_str().unwrap(),
        "-o",
        &output,
        "--all",
    ];
    let resumed = memsweep(&resume);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let both = files.records("run");
    let seen: BTreeSet<String> = both.names().into_iter().collect();
    assert_eq!(seen, all_endpoints(&network));
    let again = both.names().len() - seen.len();
    assert!(again < 512, "it began anew: {again} endpoints twice");
    let second = both.0.iter().rfind(|one| one["record"] == "run").unwrap();
    assert_eq!(second["counter"], counter);
    assert_eq!(both.summary()["complete"], true);
}

#[test]
fn a_finished_run_has_nothing_to_continue() {
    let files = Files::new();
    let output = files.output("run");
    let target = fresh_loopback().to_string();
    let first = memsweep(&["scan", &target, "-p", CLOSED_PORT, "-o", &output]);
    assert_eq!(first.code, Some(0));
    let path = files.path("run");
    let before = fs::read_to_string(&path).unwrap();
    let again = memsweep(&["scan", "--resume", path.to_str().unwrap(), "-o", &output]);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(
        again.stderr.contains("nothing to continue"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn a_deadline_ends_the_run() {
    let network = closed_network(4);
    let arguments = [
        "scan",
        &network,
        "--all",
        "--rate",
        "60",
        "--deadline",
        "1s",
        "-p",
        CLOSED_PORT,
        "-o",
        "ndjson",
    ];
    let run = memsweep(&arguments);
    let records = run.records_with_code(3);
    let summary = records.summary();
    assert_eq!(summary["complete"], false);
    assert!(records.names().len() < 200, "{summary}");
    let duration_s = summary["duration_s"].as_f64().unwrap();
    assert!((1.0..6.0).contains(&duration_s), "{summary}");
    assert!(run.elapsed < Duration::from_secs(8), "{:?}", run.elapsed);
}

#[test]
fn shards_are_disjoint_and_complete() {
    let network = closed_network(5);
    let mut seen = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let run = memsweep(&[
            "scan",
            &network,
            "--all",
            "--seed",
            "7",
            "--shard",
            shard,
            "-p",
            CLOSED_PORT,
            "-o",
            "ndjson",
        ]);
        let records = run.records_with_code(0);
        assert!((166..=174).contains(&records.names().len()), "{shard}");
        seen.extend(records.names());
    }
    assert_eq!(seen.len(), 512);
    let distinct: BTreeSet<String> = seen.into_iter().collect();
    assert_eq!(distinct, all_endpoints(&network));
}

#[test]
fn a_dry_run_sends_nothing_and_tells_the_order() {
    let tape = Tape::default();
    let taped = Taped {
        inner: Genuine::new(GenuineConfig::new("1.6.18")),
        tape: tape.clone(),
    };
    let (address, _server) = host(BOTH, taped);
    let network = format!("{address}/28");
    let plan = |arguments: &[&str]| {
        let run = memsweep(&[&["scan", &network, "--dry-run"][..], arguments].concat());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        run.stdout
    };
    let words = plan(&["--seed", "1"]);
    for told in [
        "would ask 16 address and port pairs, 32 endpoints",
        "seed 1",
        "tcp: one connection attempt",
        "stats settings",
        "udp: one 17-byte `version` datagram",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    let order = |words: &str| -> Vec<String> {
        let lines = words.lines().filter(|line| line.starts_with("127."));
        lines.map(str::to_owned).collect()
    };
    let first = order(&words);
    assert_eq!(first.len(), 16);
    assert!(first.contains(&format!("{address}:11211")), "{first:?}");
    assert_eq!(order(&plan(&["--seed", "1"])), first);
    let other = order(&plan(&["--seed", "2"]));
    assert_ne!(other, first, "another seed, another order");
    assert_eq!(BTreeSet::from_iter(other), BTreeSet::from_iter(first));
    assert!(!plan(&["--tcp"]).contains("udp:"));
    assert!(tape.is_empty(), "something was sent");
}

#[test]
fn the_same_seed_asks_in_the_same_order() {
    let network = closed_network(6);
    let order = |seed: &str| {
        let run = memsweep(&[
            "scan",
            &network,
            "--tcp",
            "--all",
            "--rate",
            "2000",
            "--seed",
            seed,
            "-p",
            CLOSED_PORT,
            "-o",
            "ndjson",
        ]);
        let records = run.records_with_code(0);
        assert_eq!(records.run()["seed"].to_string(), seed);
        records.names()
    };
    // One socket answers before the next is asked, so the records come in the order of asking.
    assert_eq!(order("11"), order("11"));
    assert_ne!(order("11"), order("12"));
}

#[test]
fn the_rate_is_kept() {
    let network = closed_network(7);
    let began = Instant::now();
    let run = memsweep(&[
        "scan",
        &network,
        "--rate",
        "400",
        "-p",
        CLOSED_PORT,
        "-o",
        "ndjson",
    ]);
    // 512 packets at 400 a second, less the first burst of ten milliseconds.
    assert!(
        began.elapsed() > Duration::from_millis(1_200),
        "{:?}",
        began.elapsed()
    );
    let records = run.records_with_code(0);
    assert_eq!(records.summary()["packets_sent"], 512);
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    for format in ["ndjson", "text"] {
        let network = closed_network(8);
        let command = program(&[
            "scan",
            &network,
            "--all",
            "--rate",
            "200",
            "-p",
            CLOSED_PORT,
            "-o",
            format,
        ]);
        let (running, stdout) = Running::start_unread(command);
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        drop(reader);
        let run = running.finish();
        assert_eq!((run.code, run.signal), (Some(0), None), "{format}: {run:?}");
        assert_eq!(run.stderr, "", "{format}");
    }
}

/// Runs the program with its standard output on a terminal.
fn on_a_terminal(environment: &[(&str, &str)], arguments: &[&str]) -> (Run, String) {
    let pty = openpty(None, None).unwrap();
    let mut command = program(arguments);
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    for (name, value) in environment {
        command.env(name, value);
    }
    let slave: OwnedFd = pty.slave;
    command.stdout(Stdio::from(slave)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The command keeps the terminal's other end open as long as it lives.
    drop(command);
    let mut output = Vec::new();
    let mut master = fs::File::from(pty.master);
    let mut buffer = [0; 4096];
    // Linux reports the end of a terminal as an error (EIO).
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        output.extend_from_slice(&buffer[..length]);
    }
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    let run = Run {
        code: child.wait().unwrap().code(),
        signal: None,
        stdout: String::new(),
        stderr,
        elapsed: Duration::ZERO,
        memory_kib_max: 0,
    };
    (run, String::from_utf8(output).unwrap())
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let (address, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let target = address.to_string();
    let scan = ["scan", &target, "--tcp"];
    let has_colour = |environment: &[(&str, &str)], more: &[&str]| {
        let (run, output) = on_a_terminal(environment, &[&scan[..], more].concat());
        assert_eq!(run.code, Some(1), "{output}");
        assert!(output.contains("exposed"), "{output}");
        output.contains('\u{1b}')
    };
    assert!(has_colour(&[], &[]));
    assert!(!has_colour(&[("NO_COLOR", "1")], &[]));
    assert!(!has_colour(&[("TERM", "dumb")], &[]));
    assert!(!has_colour(&[], &["--color", "never"]));
    assert!(has_colour(&[("NO_COLOR", "1")], &["--color", "always"]));
    let piped = memsweep(&scan);
    assert!(!piped.stdout.contains('\u{1b}'));
    let wanted = memsweep(&[&scan[..], &["--color", "always"]].concat());
    assert!(wanted.stdout.contains('\u{1b}'));
}

#[test]
fn words_are_in_the_language_of_the_reader() {
    let (address, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let target = address.to_string();
    let is_japanese = |text: &str| text.contains("認証なし");
    let flag = memsweep(&["scan", &target, "--tcp", "--lang", "ja"]);
    assert!(is_japanese(&flag.stdout), "{}", flag.stdout);
    for (locale, expected) in [("ja_JP.UTF-8", true), ("C", false), ("de_DE.UTF-8", false)] {
        let mut command = program(&["scan", &target, "--tcp"]);
        command.env("LC_ALL", locale);
        let run = Running::start(command).finish();
        assert_eq!(is_japanese(&run.stdout), expected, "{locale}");
    }
    // What programs read is English, whoever runs it.
    let ndjson = memsweep(&["scan", &target, "--tcp", "--lang", "ja", "-o", "ndjson"]);
    assert!(!is_japanese(&ndjson.stdout), "{}", ndjson.stdout);
}

#[test]
fn all_outputs_of_one_run_agree() {
    let files = Files::new();
    let (address, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let target = address.to_string();
    let [ndjson, json, nmap] = ["ndjson", "json", "nmap"]
        .map(|format| format!("{format}={}", files.path(format).display()));
    let run = memsweep(&[
        "scan", &target, "-o", &ndjson, "-o", &json, "-o", &nmap, "-o", "text",
    ]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stdout.contains(&format!("{target}:11211/tcp")),
        "{}",
        run.stdout
    );

    let read = |file: &str| fs::read_to_string(files.path(file)).unwrap();
    let lines = Records::parse(&read("ndjson"));
    let whole: Value = serde_json::from_str(&read("json")).unwrap();
    let record = lines.endpoint(&format!("{target}:11211/tcp"));
    let holds = |value: &Value| value.as_array().is_some_and(|list| list.contains(record));
    let found = whole.as_object().unwrap().values().any(holds);
    assert!(found, "{whole:#}");

    let nmap = read("nmap");
    let is_open = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next(), words.next()) == (Some("11211/tcp"), Some("open"))
    };
    assert!(nmap.lines().any(is_open), "{nmap}");
    assert!(
        nmap.contains(&format!("Nmap scan report for {target}")),
        "{nmap}"
    );
}

#[test]
fn quiet_is_quiet_and_check_says_more_than_scan() {
    let (address, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let target = address.to_string();
    let scan = memsweep(&["scan", &target, "--tcp", "--quiet"]);
    let check = memsweep(&["check", &target, "--tcp"]);
    assert_eq!((scan.code, check.code), (Some(1), Some(1)));
    assert_eq!((scan.stderr.as_str(), check.stderr.as_str()), ("", ""));
    assert!(check.stdout.len() > scan.stdout.len());
}

#[test]
fn the_demonstration_tells_the_truth() {
    // Its network, to know the truth by; it leaves before the program starts its own.
    let truth = DemoNetwork::start(2018).unwrap();
    let expected: BTreeMap<String, String> = truth
        .expected()
        .into_iter()
        .map(|(endpoint, verdict)| {
            let transport = match endpoint.transport {
                Transport::Udp => "udp",
                Transport::Tcp | Transport::Unix => "tcp",
            };
            (
                format!("{} {transport}", endpoint.address),
                verdict.to_string(),
            )
        })
        .collect();
    let names: BTreeSet<String> = truth.names().into_values().collect();
    drop(truth);
    let run = memsweep(&["demo", "-o", "ndjson"]);
    let records = run.records_with_code(0);
    let seen: BTreeMap<String, String> = records
        .endpoints()
        .into_iter()
        .map(|record| {
            let endpoint = format!("{} {}", text(record, "address"), text(record, "transport"));
            (endpoint, text(record, "verdict").to_owned())
        })
        .collect();
    for (endpoint, verdict) in &expected {
        assert_eq!(seen.get(endpoint), Some(verdict), "{endpoint}");
    }
    let hostnames: BTreeSet<String> = records
        .endpoints()
        .into_iter()
        .map(|record| text(record, "hostname").to_owned())
        .collect();
    assert_eq!(hostnames, names);
    assert!(run.elapsed < Duration::from_secs(20), "{:?}", run.elapsed);
}

#[test]
fn a_refused_run_leaves_old_results_alone() {
    let files = Files::new();
    let path = files.path("run");
    fs::write(&path, "an earlier run\n").unwrap();
    let output = files.output("run");
    let run = memsweep(&["scan", "203.0.113.5", "-o", &output]);
    assert_eq!(run.code, Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "an earlier run\n");
    let run = memsweep(&[
        "scan",
        "127.0.0.1",
        "-o",
        &output,
        "-o",
        "ndjson=/nonexistent/x",
    ]);
    assert_eq!(run.code, Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), "an earlier run\n");
}

/// A file that cannot be written hides neither what is exposed nor that the other report is whole.
#[test]
fn an_output_that_fails_is_said_and_the_others_go_on() {
    let (address, _server) = host(TCP, Genuine::new(GenuineConfig::new("1.6.18")));
    let target = address.to_string();
    let scan = ["scan", &target, "--tcp", "--udp", "-o", "ndjson=/dev/full"];
    let run = memsweep(&[&scan[..], &["-o", "ndjson"]].concat());
    assert!(
        run.stderr.contains("memsweep: /dev/full: No space left"),
        "{run:?}"
    );
    let records = run.records_with_code(1);
    assert_eq!(records.summary()["verdicts"]["exposed"], 1);
    let alone = memsweep(&scan);
    assert_eq!(alone.code, Some(3), "{alone:?}");

    let network = closed_network(9);
    let plan = ["scan", &network, "--dry-run"];
    let mut command = program(&plan);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// A reader of stdout that leaves takes no file with it, and a terminal that is closed is an
/// interruption like Ctrl-C.
#[test]
fn a_file_goes_on_without_stdout_until_the_terminal_closes() {
    let files = Files::new();
    let (network, output) = (closed_network(10), files.output("run"));
    let command = program(&[
        "scan",
        &network,
        "--all",
        "--rate",
        "200",
        "-p",
        CLOSED_PORT,
        "-o",
        "ndjson",
        "-o",
        &output,
    ]);
    let (mut running, stdout) = Running::start_unread(command);
    drop(stdout);
    running.wait_for(&files.path("run"), |text| count_endpoints(text) >= 60);
    running.signal(Signal::SIGHUP);
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(files.records("run").summary()["complete"], false);
}
