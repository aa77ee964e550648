//! The whole way of an administrator: exposed, audited, mended, restarted, verified; with Debian's
//! memcached started as the distribution's files say, and seen from another machine.
//!
//! The tests play whoever starts the server (systemd, a shell, the container runtime): they read
//! the same files that memsweep mends, by a shell where the distribution uses one.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{MemcachedServer, Namespace};

use crate::program::{Run, Running, memsweep, memsweep_in, program_in};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs");
const HOST: &str = "10.92.0.2";

/// A machine that has a server, and one that looks at it from outside.
fn machines() -> (Namespace, Namespace) {
    let scanner = Namespace::new();
    let host = scanner.sibling();
    scanner.connect("10.92.0.1/24", &host, "10.92.0.2/24");
    (scanner, host)
}

/// A copy of one of the distributions' roots, which may be written.
fn root_of(name: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .args([
            "-r",
            &format!("{FIXTURES}/{name}/."),
            root.path().to_str().unwrap(),
        ])
        .status()
        .unwrap();
    assert!(copied.success());
    root
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap()
}

/// What a shell makes of some words.
fn shell(script: &str) -> Vec<String> {
    let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Red Hat 7: the unit starts memcached 1.4.15 with $OPTIONS, and that release has UDP on unless
/// it is told otherwise.
fn start_red_hat(root: &Path) -> Vec<String> {
    let file = root.join("etc/sysconfig/memcached");
    let mut arguments = shell(&format!(". {}; echo -p $PORT $OPTIONS", file.display()));
    if !arguments.contains(&"-U".to_owned()) {
        arguments.extend(["-U".to_owned(), "11211".to_owned()]);
    }
    arguments
}

/// Debian: the lines of the file that begin with a dash, as the wrapper takes them.
fn start_debian(root: &Path) -> Vec<String> {
    let text = read(root, "etc/memcached.conf");
    let lines = text.lines().map(|line| line.split('#').next().unwrap());
    let lines = lines.filter(|line| {
        ["-l", "-p", "-U"]
            .iter()
            .any(|option| line.starts_with(option))
    });
    lines
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// systemd: of the drop-ins in the order of their names, the last `ExecStart` counts.
fn start_unit(root: &Path) -> Vec<String> {
    let folder = root.join("etc/systemd/system/memcached.service.d");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "conf")
    });
    names.sort();
    let mut command = String::new();
    for path in names {
        let text = fs::read_to_string(path).unwrap().replace("\\\n", " ");
        let start = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("ExecStart="));
        command = start.map_or(command, str::to_owned);
    }
    let words = shell(&format!("LISTEN=0.0.0.0; echo {command}"));
    let options = words.iter().position(|word| word == "-l").unwrap();
    words[options..].to_vec()
}

/// compose: docker publishes each port at the address that is written, else at all of them.
fn start_compose(root: &Path) -> Vec<String> {
    let text = read(root, "compose.yaml");
    let ports = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- \""));
    let mut arguments = vec!["-U".to_owned(), "0".to_owned()];
    for port in ports.map(|port| port.trim_end_matches('"')) {
        let (port, is_udp) = match port.strip_suffix("/udp") {
            Some(port) => (port, true),
            None => (port, false),
        };
        let parts: Vec<&str> = port.split(':').collect();
        let address = if parts.len() == 3 {
            parts[0]
        } else {
            "0.0.0.0"
        };
        if is_udp {
            arguments[1] = parts[0].to_owned();
        } else {
            arguments.extend(["-l".to_owned(), address.to_owned()]);
        }
    }
    arguments
}

fn started(host: &Namespace, arguments: &[String]) -> MemcachedServer {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    MemcachedServer::start_in(host, &arguments)
}

/// Exposed → audit → fix --apply --restart → verify says closed, and a second time nothing changes.
#[track_caller]
fn check(root: &Path, named: &[&str], start: fn(&Path) -> Vec<String>, file: &str, expected: &str) {
    let (scanner, host) = machines();
    let server = started(&host, &start(root));
    let run = root.join("run.ndjson");
    let run = run.to_str().unwrap();
    let scanned = memsweep_in(&scanner, &["scan", HOST, "-o", &format!("ndjson={run}")]);
    assert_eq!(scanned.code, Some(1), "{}", scanned.stderr);
    assert_eq!(grade(&fs::read_to_string(run).unwrap()), "F");

    let at = root.to_str().unwrap();
    let on = |command: &str, more: &[&str]| -> Run {
        let mut arguments = vec![command, "--root", at];
        arguments.extend(more);
        arguments.extend(named);
        memsweep_in(&host, &arguments)
    };
    assert_eq!(on("audit", &[]).code, Some(1));
    let before = fs::read_to_string(root.join(file)).ok();
    let planned = on("fix", &[]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(planned.stdout.contains(expected), "{}", planned.stdout);
    assert_eq!(
        fs::read_to_string(root.join(file)).ok(),
        before,
        "nothing was to be written"
    );

    let restarted = root.join("restarted");
    let restart = format!("touch {}", restarted.display());
    let fixed = on(
        "fix",
        &["--apply", "--restart", "--restart-command", &restart],
    );
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert!(restarted.exists() && read(root, file).contains(expected));
    let names = all_names(root);
    let backups = names
        .iter()
        .filter(|name| name.contains("memsweep-backup"))
        .count();
    assert_eq!(backups, usize::from(before.is_some()), "{names:?}");
    assert_eq!(on("audit", &[]).code, Some(0));

    // Still the old process: nothing is closed before the restart.
    let verify = |code: i32| {
        let verified = memsweep_in(&scanner, &["verify", run, "-o", "ndjson"]);
        verified.records_with_code(code)
    };
    assert!(verify(1).verified().contains(&("tcp", "MS001", "open")));
    drop(server);
    let _server = started(&host, &start(root));
    let records = verify(0);
    let findings = records.verified();
    assert!(findings.len() > 3, "{findings:?}");
    assert!(
        findings.iter().all(|(_, _, state)| *state == "closed"),
        "{findings:?}"
    );
    assert_eq!(
        grade(&memsweep_in(&scanner, &["scan", HOST, "-o", "ndjson"]).stdout),
        "A"
    );

    let again = on("fix", &["--apply"]);
    assert_eq!(again.code, Some(0));
    assert!(
        again.stdout.starts_with("Nothing to change"),
        "{}",
        again.stdout
    );
    assert_eq!(all_names(root), names);
}

/// The grade of a run, by its summary.
fn grade(ndjson: &str) -> String {
    let summary: Value = serde_json::from_str(ndjson.lines().last().unwrap()).unwrap();
    summary["grade"].as_str().unwrap_or("none").to_owned()
}

fn all_names(root: &Path) -> Vec<String> {
    shell(&format!("cd {} && find . | sort", root.display()))
}

#[test]
fn red_hat_7() {
    let root = root_of("red-hat-7");
    let expected = "OPTIONS=\"-l 127.0.0.1,::1 -U 0\"\n";
    check(
        root.path(),
        &[],
        start_red_hat,
        "etc/sysconfig/memcached",
        expected,
    );
}

#[test]
fn debian() {
    let root = root_of("debian-open");
    check(
        root.path(),
        &[],
        start_debian,
        "etc/memcached.conf",
        "-l 127.0.0.1,::1\n",
    );
    assert!(
        read(root.path(), "etc/memcached.conf").starts_with('#'),
        "comments stay"
    );
}

#[test]
fn a_drop_in_of_systemd() {
    let root = root_of("drop-in");
    let file = "etc/systemd/system/memcached.service.d/memsweep.conf";
    check(
        root.path(),
        &[],
        start_unit,
        file,
        "-l 127.0.0.1,::1 -U 0\n",
    );
}

#[test]
fn a_compose_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("compose.yaml");
    let text = "services:\n  cache:\n    image: memcached:1.6 # ours\n    ports:\n      \
                - \"11211:11211\"\n      - \"11211:11211/udp\"\n";
    fs::write(&path, text).unwrap();
    let named = [path.to_str().unwrap()];
    check(
        root.path(),
        &named,
        start_compose,
        "compose.yaml",
        "- \"127.0.0.1:11211:11211\"\n",
    );
    assert!(read(root.path(), "compose.yaml").contains("# ours"));
}

/// Runs `fix` on the running machine itself, with a folder of `/etc` of its own.
fn fix_here(host: &Namespace, etc: &Path, arguments: &[&str]) -> Run {
    let program = program_in(host, &[]);
    let mut command = host.command("unshare");
    command.env_clear();
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let script = format!("mount --bind {} /etc && exec \"$@\"", etc.display());
    command.args([
        "-m",
        "sh",
        "-c",
        &script,
        "sh",
        env!("CARGO_BIN_EXE_memsweep"),
        "fix",
    ]);
    command.args(arguments);
    Running::start(command).finish()
}

#[test]
fn clients_that_are_connected_come_first() {
    let (scanner, host) = machines();
    let etc = tempfile::tempdir().unwrap();
    let conf = etc.path().join("memcached.conf");
    fs::write(&conf, "-l 0.0.0.0\n-p 11211\n").unwrap();
    let _server = MemcachedServer::start_in(&host, &["-l", "0.0.0.0", "-p", "11211"]);
    let client = scanner.inside(|| TcpStream::connect((HOST, 11211)).unwrap());
    let client_name = client.local_addr().unwrap().to_string();

    let refused = fix_here(&host, etc.path(), &["--apply"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains(&client_name), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&conf).unwrap(), "-l 0.0.0.0\n-p 11211\n");
    // The server may stay as it is where the firewall decides: then nothing is written.
    let allowed = fix_here(&host, etc.path(), &["--apply", "--allow", "10.92.0.0/24"]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    let rule = "ip saddr { 10.92.0.0/24 } tcp dport 11211 accept";
    assert!(
        allowed.stdout.contains(rule) && !allowed.stdout.contains("+++"),
        "{}",
        allowed.stdout
    );

    let planned = fix_here(&host, etc.path(), &["--listen", HOST]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(
        planned.stdout.contains("+-l 10.92.0.2\n"),
        "{}",
        planned.stdout
    );
    assert!(
        planned.stdout.contains("A restart loses:\n  process "),
        "{}",
        planned.stdout
    );
    assert!(
        planned.stdout.contains(": 0 items, 0 bytes\n"),
        "{}",
        planned.stdout
    );

    drop(client);
    let fixed = fix_here(&host, etc.path(), &["--apply", "--listen", HOST]);
    assert_eq!(fixed.code, Some(0), "{fixed:?}");
    assert_eq!(
        fs::read_to_string(&conf).unwrap(),
        "-l 10.92.0.2\n-p 11211\n"
    );
    // What runs is still the old server: there is nothing to write, and something to restart.
    let waiting = fix_here(&host, etc.path(), &["--listen", HOST]);
    assert!(!waiting.stdout.contains("+++"), "{}", waiting.stdout);
    let restart = "Restart, for the change to count:";
    assert!(waiting.stdout.contains(restart), "{}", waiting.stdout);
}

#[test]
fn mistakes_are_said_before_anything_is_written() {
    let root = root_of("debian-open");
    let at = root.path().to_str().unwrap();
    for (arguments, words) in [
        (&["--listen", "0.0.0.0"][..], "everywhere"),
        (&["--allow", "0.0.0.0/0"], "10.0.0.0/24"),
        (&["--apply", "--restart"], "--restart-command"),
        (&["--restart"], "--apply"),
        (&["/nowhere/compose.yaml"], "/nowhere/compose.yaml"),
    ] {
        let mut all = vec!["fix", "--root", at];
        all.extend(arguments);
        let run = memsweep(&all);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
    assert!(read(root.path(), "etc/memcached.conf").contains("-l 0.0.0.0"));
}
