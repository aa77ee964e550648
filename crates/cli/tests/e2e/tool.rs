//! `memsweep tool`: every mode against everything that Debian's memcached can be, as one table;
//! forms for machines; and watching.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{MemcachedServer, Namespace, fresh_loopback};

use crate::certificate;
use crate::program::{Running, program_in};
use crate::tool_ground::{
    Client, Folder, MODES, PASSWORD, SaslServer, USER, at_once, run_bytes, run_with_input, start,
};

/// How long one look may take, whatever the server is.
const LOOKED_WITHIN: Duration = Duration::from_secs(10);
/// Servers that are looked at side by side.
const AT_ONCE: usize = 6;
const EXPECTED: &str = "tests/e2e/tool-table.txt";
const HEAD: &str = "server                         mode      exit  what\n";

/// One server and how it is spoken to.
struct Way {
    name: &'static str,
    target: String,
    flags: Vec<String>,
    /// Whether it holds the key `user:1`.
    is_filled: bool,
    namespace: Option<Arc<Namespace>>,
}

/// All of them, and what keeps them running.
#[derive(Default)]
struct Ways {
    ways: Vec<Way>,
    servers: Vec<MemcachedServer>,
}

impl Ways {
    fn add(&mut self, name: &'static str, target: String, flags: &[&str], is_filled: bool) {
        self.ways.push(Way {
            name,
            target,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            is_filled,
            namespace: None,
        });
    }

    /// Starts a server that anybody can fill, fills it, and looks at it in this way.
    fn add_open(&mut self, name: &'static str, arguments: &[&str]) -> Ipv4Addr {
        let (address, server) = start(arguments);
        let mut client = Client::connect(address);
        fill(&mut client);
        if !arguments.contains(&"-X") {
            client.metadump();
        }
        self.servers.push(server);
        self.add(name, address.to_string(), &[], true);
        address
    }

    fn add_closed(&mut self, arguments: &[&str]) -> String {
        let (address, server) = start(arguments);
        self.servers.push(server);
        address.to_string()
    }
}

fn fill<Stream: std::io::Read + std::io::Write>(client: &mut Client<Stream>) {
    client.set("user:1", 5, 0, b"hello");
    client.set("page", 0, 0, &[b'x'; 3_000]);
}

fn ways(folder: &Folder, sasl: &SaslServer) -> Ways {
    let mut ways = Ways::default();
    ways.add_open("plain", &[]);
    let address = ways.add_open("-U 11211", &["-U", "11211"]);
    ways.add("-U 11211, --udp", address.to_string(), &["--udp"], true);
    ways.add_open("-X", &["-X"]);
    ways.add_open("-B ascii", &["-B", "ascii"]);
    ways.add_open("-o track_sizes", &["-o", "track_sizes"]);
    let (address, server) = start(&["-o", "no_lru_crawler,no_lru_maintainer"]);
    Client::connect(address).set("user:1", 5, 0, b"hello");
    ways.servers.push(server);
    ways.add("-o no_lru_crawler", address.to_string(), &[], true);
    let binary = ways.add_closed(&["-B", "binary"]);
    ways.add("-B binary", binary, &[], false);

    let users = folder.file("users", &format!("{USER}:{PASSWORD}\n"));
    let right = folder.file("right", &format!("{PASSWORD}\n"));
    let wrong = folder.file("wrong", "not-it\n");
    let right = ["--user", USER, "--password-file", &right];
    let wrong = ["--user", USER, "--password-file", &wrong];
    let ascii = ways.add_closed(&["-Y", &users]);
    let sasl = sasl.address.to_string();
    for (names, target) in [
        (
            [
                "-Y, right password",
                "-Y, wrong password",
                "-Y, no password",
            ],
            ascii,
        ),
        (
            [
                "-S, right password",
                "-S, wrong password",
                "-S, no password",
            ],
            sasl,
        ),
    ] {
        ways.add(names[0], target.clone(), &right, false);
        ways.add(names[1], target.clone(), &wrong, false);
        ways.add(names[2], target, &[], false);
    }
    add_tls(&mut ways, folder);

    let path = folder.path("memcached.sock");
    let server = MemcachedServer::start(&["-s", path.to_str().unwrap()]);
    fill(&mut Client::connect_unix(&path));
    ways.servers.push(server);
    ways.add("unix socket", format!("unix:{}", path.display()), &[], true);

    let namespace = Arc::new(Namespace::new());
    let server = MemcachedServer::start_in(&namespace, &["-l", "::1", "-U", "11211"]);
    ways.servers.push(server);
    for (name, flags) in [("IPv6", &[][..]), ("IPv6, --udp", &["--udp"])] {
        ways.add(name, "[::1]".to_owned(), flags, false);
        ways.ways.last_mut().unwrap().namespace = Some(Arc::clone(&namespace));
    }
    ways.add("nobody", fresh_loopback().to_string(), &[], false);
    ways.add(
        "nobody, --udp",
        fresh_loopback().to_string(),
        &["--udp"],
        false,
    );
    ways
}

fn add_tls(ways: &mut Ways, folder: &Folder) {
    let tls = folder.path("tls");
    std::fs::create_dir(&tls).unwrap();
    let (certificate, key) = certificate::write(&tls);
    let certificate = certificate.to_str().unwrap();
    let files = format!("ssl_chain_cert={certificate},ssl_key={}", key.display());
    let target = ways.add_closed(&["-Z", "-o", &files]);
    let named = [
        "--tls",
        "--ca",
        certificate,
        "--server-name",
        "cache.example",
    ];
    ways.add("-Z, --ca, --server-name", target.clone(), &named, false);
    ways.add("-Z, --ca, other name", target.clone(), &named[..3], false);
    ways.add(
        "-Z, --insecure",
        target.clone(),
        &["--tls", "--insecure"],
        false,
    );
    ways.add("-Z, --tls alone", target.clone(), &["--tls"], false);
    ways.add("-Z, no --tls", target, &[], false);
    let files = format!("{files},ssl_ca_cert={certificate},ssl_verify_mode=2");
    let target = ways.add_closed(&["-Z", "-o", &files]);
    let key = key.display().to_string();
    let own = [&named[..], &["--cert", certificate, "--key", &key]].concat();
    ways.add("-Z, client certificate", target.clone(), &own, false);
    ways.add("-Z, none of those demanded", target, &named, false);
}

fn command(folder: &Folder, way: &Way, mode: &str) -> Command {
    let mut arguments = vec![&way.target[..], mode];
    arguments.extend(way.flags.iter().map(String::as_str));
    match &way.namespace {
        None => folder.tool(&arguments),
        Some(namespace) => {
            let all = [&["tool"], &arguments[..]].concat();
            let mut command = program_in(namespace, &all);
            command.env("XDG_STATE_HOME", folder.path("state"));
            command
        }
    }
}

/// What shows that a mode did what it is for, on a server that holds `user:1`.
fn proof(mode: &str, is_filled: bool) -> &'static str {
    match mode {
        "stats" => "curr_items",
        "settings" => "maxconns",
        "console" => "1.6.18",
        "conns" => "listening",
        _ if !is_filled => "",
        "display" | "items" | "slabs" => "1",
        "keys" => "user:1",
        "dump" => "add user:1 5 0 5\r\nhello\r\n",
        _ => "",
    }
}

/// Looks in this mode, and says what came of it in a line.
fn look(folder: &Folder, way: &Way, mode: &str) -> String {
    let command = command(folder, way, mode);
    let (run, stdout) = run_with_input(folder, command, "version\nstats\nflush_all\nquit\n");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let at = format!("{} {mode}: {}\n{stdout}", way.name, run.stderr);
    assert!(run.elapsed < LOOKED_WITHIN, "{at} {:?}", run.elapsed);
    assert!(run.stderr.lines().count() <= 1, "{at}");
    let code = run.code.unwrap();
    if code == 0 {
        assert!(stdout.contains(proof(mode, way.is_filled)), "{at}");
        assert!(run.stderr.is_empty() || mode == "dump", "{at}");
    } else {
        assert_eq!(run.stderr.lines().count(), 1, "{at}");
        let is_mark = mode == "dump" && stdout.starts_with("# memsweep: incomplete, 0 of 0");
        assert!(stdout.is_empty() || is_mark, "{at}");
    }
    let said = run.stderr.trim_end().replace(&way.target, "TARGET");
    let said = said.replace("TARGET:11211", "TARGET");
    let what = match said.strip_prefix("memsweep: ") {
        Some(said) => said,
        None if stdout.is_empty() => "nothing",
        None => "a table",
    };
    format!("{:<30} {mode:<9} {code:>4}  {what}\n", way.name)
}

/// Compares with the file, or writes it anew if `UPDATE_EXPECT` is set.
#[track_caller]
fn expect_file(relative: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (expected, actual) in expected.lines().zip(actual.lines()) {
        assert_eq!(expected, actual, "in {relative}; UPDATE_EXPECT=1 writes it");
    }
    assert_eq!(expected.lines().count(), actual.lines().count());
}

#[test]
fn every_mode_on_every_server_ends_right_or_with_one_line() {
    let folder = Folder::new();
    let sasl = SaslServer::start();
    let all = ways(&folder, &sasl);
    let blocks = at_once(&all.ways, AT_ONCE, |way| {
        MODES.map(|mode| look(&folder, way, mode)).concat()
    });
    let table = format!("{HEAD}\n{}", blocks.join("\n"));
    expect_file(EXPECTED, &table);
}

#[test]
fn what_machines_read_is_json() {
    let folder = Folder::new();
    let (address, _server) = start(&["-o", "track_sizes"]);
    fill(&mut Client::connect(address));
    let target = address.to_string();
    for mode in MODES {
        let is_table = !matches!(mode, "dump" | "console");
        let (run, stdout) = run_bytes(folder.tool(&[&target, mode, "-o", "json"]));
        assert_eq!(
            run.code,
            Some(if is_table { 0 } else { 2 }),
            "{mode} {}",
            run.stderr
        );
        let text = String::from_utf8(stdout).unwrap();
        assert_eq!(text.is_empty(), !is_table, "{mode}");
        if mode == "keys" {
            let rows: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(rows.len(), 2, "{text}");
        } else if is_table {
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(value.is_object() || value.is_array(), "{mode} {text}");
        }
    }
    let summary = folder.tool(&[&target, "keys", "--summary", "-o", "json"]);
    let (run, stdout) = run_bytes(summary);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_slice::<Value>(&stdout).unwrap();
}

#[test]
fn watching_prints_plain_lines_with_rates_until_it_is_stopped() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    let target = address.to_string();
    let mut client = Client::connect(address);
    client.set("k", 0, 0, b"v");
    for mode in ["stats", "display"] {
        let watch = folder.tool(&[&target, mode, "--watch", "300ms"]);
        let (running, stdout) = Running::start_unread(watch);
        let mut lines = BufReader::new(stdout).lines().map(|line| line.unwrap());
        let head = lines.next().unwrap();
        for word in ["get", "hit", "set", "evict"] {
            assert!(head.to_lowercase().contains(word), "{head}");
        }
        let mut saw_gets = false;
        for _ in 0..2 {
            for _ in 0..30 {
                assert_eq!(client.ask("get nothing\r\n"), "END");
            }
            let line = lines.next().unwrap();
            assert!(!line.contains('\x1b'), "{line}");
            saw_gets |= line.split_whitespace().any(|word| {
                word.parse::<f64>()
                    .is_ok_and(|rate| (20.0..=400.0).contains(&rate))
            });
        }
        assert!(saw_gets, "30 gets in 0.3 s are some 100 a second");
        running.signal(Signal::SIGINT);
        let run = running.finish();
        assert_eq!((run.code, &run.stderr[..]), (Some(130), ""));
    }
}

#[test]
fn an_option_that_does_nothing_in_a_mode_is_refused() {
    let folder = Folder::new();
    let target = fresh_loopback().to_string();
    for arguments in [
        &["stats", "--limit", "5"][..],
        &["stats", "--filter", "*"],
        &["stats", "--full"],
        &["keys", "--keys-only"],
        &["keys", "--watch", "1s"],
        &["stats", "-o", "ndjson"],
        &["stats", "--insecure"],
        &["stats", "--udp", "--tls"],
        &["stats", "--tls", "--cert", "/nonexistent"],
        &["stats", "--user", USER],
        &["stats", "--password", PASSWORD],
        &["stats", "--user", USER, "--password-file", "/nonexistent"],
        &["nonsense"],
    ] {
        let (run, stdout) = run_bytes(folder.tool(&[&[&target[..]], arguments].concat()));
        assert_eq!(run.code, Some(2), "{arguments:?} {}", run.stderr);
        assert!(stdout.is_empty());
        assert!(
            run.stderr.lines().next().unwrap().len() > 20,
            "{}",
            run.stderr
        );
    }
    for target in [
        "10.0.0.0/8",
        "8.8.8.8",
        "unix:/nonexistent --udp",
        "127.0.0.1-3",
        "local",
    ] {
        let words: Vec<&str> = target.split(' ').chain(["stats"]).collect();
        let (run, _) = run_bytes(folder.tool(&words));
        assert_eq!(run.code, Some(2), "{target} {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}
