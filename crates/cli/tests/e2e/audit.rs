//! `audit` beside real servers, each in a network, a list of processes and an `/etc/memcached.conf`
//! of its own, and on images of which nothing runs.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::program;

/// Puts the configuration in place, starts the server, waits until it answers (then all of its
/// sockets are open), sets the firewall, and audits. The first process of the namespace is this
/// shell: with it, all ends.
const SCRIPT: &str = r#"
set -e
ip link set lo up
mount --bind "$CONF" /etc/memcached.conf
mount -t tmpfs -o mode=1777 none /mnt
/usr/bin/memcached -u nobody $ARGUMENTS &
python3 -c "$WAIT" "$DOOR"
[ -z "$RULES" ] || nft "$RULES"
set +e
$AS "$PROGRAM" audit -o ndjson
echo "exit $?"
"#;

/// Asks for the version, at a port of loopback or a unix socket, until there is an answer.
const WAIT: &str = r"
import socket, sys, time
door = sys.argv[1]
for attempt in range(1000):
    is_unix = door.startswith('/')
    s = socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET)
    try:
        s.connect(door if is_unix else ('127.0.0.1', int(door)))
        s.sendall(b'version\r\n')
        if s.recv(64).startswith(b'VERSION'):
            sys.exit(0)
    except OSError:
        time.sleep(0.01)
sys.exit('the server does not answer')
";

struct Case {
    /// The command line that runs.
    arguments: &'static str,
    /// The configuration.
    conf: &'static str,
    /// One command of nft, once the server runs.
    rules: &'static str,
    /// What runs memsweep, as another user.
    user: &'static str,
    /// `tcp udp: codes of the server; codes of the configuration; exit code`.
    expected: &'static str,
}

/// Where the server answers.
fn door(arguments: &str) -> &str {
    if arguments.contains("-s ") {
        "/mnt/audit.sock"
    } else if arguments.contains("11299") {
        "11299"
    } else {
        "11211"
    }
}

fn audit(case: &Case) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("memcached.conf");
    std::fs::write(&conf, case.conf).unwrap();
    // Somebody else's program in a folder that somebody else may read.
    let program = folder.path().join("memsweep");
    std::fs::copy(env!("CARGO_BIN_EXE_memsweep"), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let output = command
        .args([
            "--net",
            "--pid",
            "--fork",
            "--mount",
            "--mount-proc",
            "--kill-child",
        ])
        .args(["sh", "-c", SCRIPT])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CONF", &conf)
        .env("PROGRAM", &program)
        .env("RULES", case.rules)
        .env("ARGUMENTS", case.arguments)
        .env("AS", case.user)
        .env("WAIT", WAIT)
        .env("DOOR", door(case.arguments))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (records, exit) = text.split_once("exit ").unwrap_or_else(|| {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    });
    let records = records
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (records.collect(), exit.trim().to_owned())
}

fn codes(record: &Value) -> String {
    let findings = record["findings"].as_array().unwrap().iter();
    let codes: Vec<&str> = findings
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    codes.join(" ")
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["record"] == kind)
        .collect()
}

fn check(case: &Case) -> Vec<Value> {
    let (records, exit) = audit(case);
    let [instance] = of_kind(&records, "instance")[..] else {
        panic!("{}: {records:?}", case.arguments);
    };
    let [service] = of_kind(&records, "configuration")[..] else {
        panic!("{}: {records:?}", case.arguments);
    };
    let word = |key: &str| instance[key].as_str().unwrap();
    let found = format!(
        "{} {}: {}; {}; {exit}",
        word("tcp"),
        word("udp"),
        codes(instance),
        codes(service)
    );
    assert_eq!(
        found, case.expected,
        "{} beside {:?}: {records:#?}",
        case.arguments, case.conf
    );
    records
}

const LOOPBACK: &str = "-l 127.0.0.1\n-U 0\n";
const PLAIN: Case = Case {
    arguments: "",
    conf: LOOPBACK,
    rules: "",
    user: "",
    expected: "",
};

#[test]
fn what_runs_beside_what_is_configured() {
    for (arguments, conf, expected) in [
        ("-l 127.0.0.1 -U 0", LOOPBACK, "inside off: ; ; 0"),
        (
            "-l 0.0.0.0 -U 11211",
            "-l 0.0.0.0\n-U 11211\n",
            "outside outside: MS201 MS202; ; 1",
        ),
        // Mended, and not restarted.
        ("-U 0", LOOPBACK, "outside off: MS201 MS204; ; 1"),
        // Closed, and open from the next start on.
        ("-l 127.0.0.1 -U 0", "-U 0\n", "inside off: MS204; MS203; 1"),
        // Every -l counts, not the last one.
        (
            "-l 0.0.0.0:11299 -l 127.0.0.1",
            "-l 0.0.0.0:11299 -l 127.0.0.1\n",
            "outside off: MS201; ; 1",
        ),
        (
            "-s /mnt/audit.sock",
            "-s /mnt/audit.sock\n",
            "off off: ; ; 0",
        ),
    ] {
        check(&Case {
            arguments,
            conf,
            expected,
            ..PLAIN
        });
    }
}

/// The port of UDP takes TCP along, as our reading of the command line says.
#[test]
fn command_lines_are_read_as_memcached_reads_them() {
    for (arguments, sockets) in [
        (
            "-l 127.0.0.1 -U 11299",
            vec!["127.0.0.1:11299/tcp", "127.0.0.1:11299/udp"],
        ),
        (
            "-l 127.0.0.1 -U 0 --port=11299",
            vec!["127.0.0.1:11299/tcp"],
        ),
        (
            "-l127.0.0.1:11299,127.0.0.2 -vU0",
            vec!["127.0.0.1:11299/tcp", "127.0.0.2:11211/tcp"],
        ),
    ] {
        // The same words in the file amount to the same: nothing is said of a change.
        let conf: &'static str = Box::leak(format!("{arguments}\n").into_boxed_str());
        let (records, _) = audit(&Case {
            arguments,
            conf,
            ..PLAIN
        });
        let [instance] = of_kind(&records, "instance")[..] else {
            panic!("{records:?}")
        };
        assert_eq!(instance["sockets"], Value::from(sockets), "{arguments}");
        assert_eq!(
            (instance["tcp"].as_str(), codes(instance)),
            (Some("inside"), String::new())
        );
    }
}

#[test]
fn the_firewall_counts() {
    let drop = "add table inet f; add chain inet f input { type filter hook input priority 0; policy drop; }";
    let arguments = "-l 0.0.0.0 -U 0";
    let conf = "-l 0.0.0.0\n-U 0\n";
    check(&Case {
        arguments,
        conf,
        rules: drop,
        expected: "firewalled off: MS206; ; 0",
        ..PLAIN
    });
    let only = "add table inet f; add chain inet f input { type filter hook input priority 0; policy accept; }; \
                add rule inet f input tcp dport 11211 ip saddr 10.0.0.0/8 accept; \
                add rule inet f input tcp dport { 22, 11211-11212 } drop";
    check(&Case {
        arguments,
        conf,
        rules: only,
        expected: "firewalled off: MS206; ; 0",
        ..PLAIN
    });
    // As firewalld lays its rules out: only what a zone names gets in.
    for (port, expected) in [
        ("22", "firewalled off: MS206; ; 0"),
        ("11211", "outside off: MS201; ; 1"),
    ] {
        let zones = format!(
            "table inet firewalld {{
                chain before {{
                    type filter hook prerouting priority -140; policy accept;
                    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
                }}
                chain input {{
                    type filter hook input priority 10; policy accept;
                    ct state {{ established, related }} accept
                    iifname \"lo\" accept
                    ct state invalid drop
                    jump zones
                    reject with icmpx admin-prohibited
                }}
                chain zones {{ iifname \"eth0\" goto public; goto public; }}
                chain public {{ jump allow; meta l4proto {{ icmp, ipv6-icmp }} accept; }}
                chain allow {{ tcp dport {port} ct state new accept; }}
            }}"
        );
        let rules = Box::leak(zones.into_boxed_str());
        check(&Case {
            arguments,
            conf,
            rules,
            expected,
            ..PLAIN
        });
    }
    let other = "add table inet f; add chain inet f input { type filter hook input priority 0; policy accept; }; \
                 add rule inet f input udp dport 11211 drop; add rule inet f input iifname \"lo\" drop";
    check(&Case {
        arguments,
        conf,
        rules: other,
        expected: "outside off: MS201; ; 1",
        ..PLAIN
    });
}

#[test]
fn who_may_not_look_is_told_so() {
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let expected = "inside off: ; ; 3";
    let case = Case {
        arguments: "-l 127.0.0.1 -U 0",
        conf: LOOPBACK,
        user,
        expected,
        ..PLAIN
    };
    let records = check(&case);
    let summary = records.last().unwrap();
    assert_eq!(summary["complete"], false);
    let trouble = &summary["troubles"][0];
    assert!(
        trouble["path"].as_str().unwrap().ends_with("/fd"),
        "{trouble}"
    );
    assert_eq!(trouble["what"], "permission denied");
}

#[test]
fn images_and_files_need_nothing_that_runs() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs");
    for (arguments, exit) in [
        (vec!["--root", "red-hat-7"], 1),
        (vec!["--root", "red-hat-7", "--fail-on", "critical"], 0),
        (vec!["--root", "debian-12"], 0),
        (vec!["--root", "debian-open"], 1),
        (vec!["--root", "debian-12", "files/compose.yaml"], 1),
        (vec!["--root", "debian-12", "files/values.yaml"], 0),
        (vec!["--root", "debian-12", "-o", "json", "-o", "text"], 2),
        (vec!["--root", "debian-12", "no-such-file"], 2),
        (vec!["--root", "no-such-folder"], 2),
    ] {
        let output = program(&["audit"])
            .current_dir(fixtures)
            .args(&arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {errors}");
        let lines = errors.lines().count();
        assert_eq!(lines, usize::from(exit == 2), "{arguments:?}: {errors}");
    }
}

#[test]
fn each_form_says_the_same() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/configs");
    let folder = tempfile::tempdir().unwrap();
    let [json, ndjson] = ["json", "ndjson"].map(|form| folder.path().join(form));
    let output = program(&[])
        .current_dir(fixtures)
        .args(["audit", "--root", "drop-in", "--lang", "ja", "-o", "text"])
        .arg(format!("-ojson={}", json.display()))
        .arg(format!("-ondjson={}", ndjson.display()))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let place = "/etc/systemd/system/memcached.service.d/10-network.conf";
    assert!(
        text.contains("外部から到達できる設定") && text.contains(&format!("{place}:2")),
        "{text}"
    );
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let finding = &whole["configurations"][0]["findings"][0];
    assert_eq!(
        (&finding["code"], &finding["line"]),
        (&Value::from("MS203"), &Value::from(2))
    );
    let lines = std::fs::read_to_string(ndjson).unwrap();
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.last().unwrap()["record"], "summary");
    assert_eq!(records[0]["findings"][0]["file"], place);
}
