//! Mistakes: each is found before a packet leaves, ends with exit code 2, and is one line that
//! names the place. And the scope, which is how an administrator says whose networks they are.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sim::behaviour::{Genuine, GenuineConfig};
use testkit::{MemcachedServer, Namespace};

use crate::program::{Run, Running, memsweep, memsweep_in, program};
use crate::records::text;
use crate::servers::{BOTH, Tape, Taped, host};

/// Nothing is waited for when a mistake is found. A busy machine takes its time all the same.
const FOUND_WITHIN: Duration = Duration::from_secs(10);

#[track_caller]
fn check_mistake(run: &Run, named: &str) {
    assert_eq!(run.code, Some(2), "{named}: {}{}", run.stdout, run.stderr);
    assert_eq!(run.stdout, "", "{named}");
    let line = run.stderr.strip_suffix('\n').unwrap_or_default();
    assert!(
        line.starts_with("memsweep: ") && !line.contains('\n'),
        "{named}: one line, please: {}",
        run.stderr
    );
    assert!(line.contains(named), "{named}: {line}");
    assert!(!line.contains(char::is_control), "{named}: {line:?}");
    assert!(run.elapsed < FOUND_WITHIN, "{named}: {:?}", run.elapsed);
}

/// Runs mistakes that all name a server which must not hear of them.
fn check_table(cases: &[(&[&str], &str)], folder: &Path) {
    let tape = Tape::default();
    let taped = Taped {
        inner: Genuine::new(GenuineConfig::new("1.6.18")),
        tape: tape.clone(),
    };
    let (address, _server) = host(BOTH, taped);
    let server = address.to_string();
    for (arguments, named) in cases {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|word| if *word == "SERVER" { &server } else { *word })
            .collect();
        let mut command = program(&arguments);
        command.current_dir(folder);
        check_mistake(&Running::start(command).finish(), named);
        assert!(tape.is_empty(), "{named}: something was sent");
    }
}

#[test]
fn targets_that_are_none() {
    let cases: &[(&[&str], &str)] = &[
        (&["scan"], "no target; write"),
        (&["check"], "no target; write"),
        (
            &["scan", "SERVER", "10.0.0.300"],
            "\"10.0.0.300\": 300 is no octet",
        ),
        (&["scan", "SERVER", "10.0.0"], "\"10.0.0\""),
        (&["scan", "SERVER", "10.0.0.0/33"], "33 is no prefix length"),
        (
            &["scan", "SERVER", "192.168.2.50-10"],
            "backwards; write 192.168.2.10-50",
        ),
        (&["scan", "SERVER", "[::1"], "\"[::1\": the closing bracket"),
        (&["scan", "SERVER", "::1:11211:x"], "\"::1:11211:x\""),
        (
            &["scan", "SERVER", "10.0.0.1:0"],
            "\"10.0.0.1:0\": 0 is no port",
        ),
        (&["scan", "SERVER", "10.0.0.1:70000"], "70000 is no port"),
        (
            &["scan", "SERVER", "unix:"],
            "\"unix:\": the path is missing",
        ),
        (
            &["scan", "SERVER", "a\u{1b}[31mb"],
            "cannot be in a host name",
        ),
        (
            &["scan", "SERVER", "--exclude", "10.0.0.300"],
            "\"10.0.0.300\"",
        ),
        (
            &["scan", "SERVER", "--exclude", "SERVER"],
            "nothing is left to scan",
        ),
        (&["scan", "SERVER", "-p", "0"], "0 is no port"),
        (
            &["scan", "SERVER", "-p", "5-3"],
            "runs backwards; write 3-5",
        ),
        (&["scan", "SERVER", "-p", "http"], "\"http\""),
        (&["scan", "SERVER", "-p", "1-65535"], "at most 1024"),
        (
            &["verify", "SERVER", "missing.ndjson"],
            "missing.ndjson: no such file",
        ),
    ];
    check_table(cases, Path::new("/"));
}

#[test]
fn addresses_that_may_not_be_asked() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["scan", "SERVER", "203.0.113.5"],
            "203.0.113.5 is outside the scope: add it with `memsweep scope add 203.0.113.0/24",
        ),
        (
            &["check", "SERVER", "203.0.113.5"],
            "203.0.113.5 is outside the scope",
        ),
        (
            &["verify", "SERVER", "203.0.113.5"],
            "203.0.113.5 is outside the scope",
        ),
        (
            &["scan", "SERVER", "::ffff:203.0.113.5"],
            "203.0.113.5 is outside the scope",
        ),
        (
            &["scan", "SERVER", "100.64.0.1"],
            "100.64.0.1 is outside the scope",
        ),
        (
            &["scan", "SERVER", "2001:db8::1"],
            "2001:db8::1 is outside the scope",
        ),
        (
            &["scan", "SERVER", "172.16.0.0/11"],
            "172.0.0.0 is outside the scope",
        ),
        (
            &["scan", "SERVER", "--dry-run", "203.0.113.5"],
            "203.0.113.5 is outside the scope",
        ),
        (&["scan", "SERVER", "0.0.0.0"], "0.0.0.0 cannot be a host"),
        (
            &["scan", "SERVER", "224.0.0.1"],
            "224.0.0.1 cannot be a host",
        ),
        (
            &["scan", "SERVER", "255.255.255.255"],
            "255.255.255.255 cannot be a host",
        ),
        (&["scan", "SERVER", "::"], ":: cannot be a host"),
        (&["scan", "SERVER", "ff02::1"], "ff02::1 cannot be a host"),
        (&["scan", "0.0.0.0/0"], "at most 268435456"),
        // On no link as a whole, whatever machine this is: links are asked.
        (&["scan", "fc00::/7"], "at most 16777216"),
    ];
    check_table(cases, Path::new("/"));
}

#[test]
fn flags_that_mean_nothing() {
    let cases: &[(&[&str], &str)] = &[
        (&["scan", "SERVER", "--rate", "fast"], "\"fast\" is no rate"),
        (&["scan", "SERVER", "--rate", "0"], "\"0\" is out of range"),
        (
            &["scan", "SERVER", "--timeout", "soon"],
            "\"soon\" is no duration",
        ),
        (
            &["scan", "SERVER", "--timeout", "0"],
            "\"0\" is out of range",
        ),
        (
            &["scan", "SERVER", "--deadline", "never"],
            "\"never\" is no duration",
        ),
        (&["scan", "SERVER", "--seed", "x"], "'x' for '--seed"),
        (
            &["scan", "SERVER", "--seed", "99999999999999999999"],
            "'--seed",
        ),
        (&["scan", "SERVER", "--retries", "11"], "'--retries"),
        (&["scan", "SERVER", "--shard", "0/2"], "\"0/2\""),
        (&["scan", "SERVER", "--shard", "3/2"], "\"3/2\""),
        (&["scan", "SERVER", "--shard", "half"], "\"half\""),
        (
            &["scan", "SERVER", "--fail-on", "awful"],
            "'awful' for '--fail-on",
        ),
        (&["scan", "SERVER", "--lang", "fr"], "'fr' for '--lang"),
        (
            &["scan", "SERVER", "--engine", "warp"],
            "'warp' for '--engine",
        ),
        (
            &["scan", "SERVER", "--resume", "x"],
            "cannot be used with '--resume",
        ),
        (&["scan", "SERVER", "--frobnicate"], "'--frobnicate'"),
        (&["frobnicate", "SERVER"], "'frobnicate'"),
        (&["verify"], "<RUN|FILE|TARGET>"),
        (&["scope", "add", "203.0.113.0/24"], "--owner"),
    ];
    check_table(cases, Path::new("/"));
}

#[test]
fn outputs_that_cannot_be() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["scan", "SERVER", "-o", "yaml"],
            "-o yaml: no format \"yaml\"; write one of",
        ),
        (
            &["scan", "SERVER", "-o", "ndjson="],
            "-o ndjson=: a path is missing",
        ),
        (
            &["scan", "SERVER", "-o", "ndjson", "-o", "json"],
            "-o json: stdout is taken by another output",
        ),
        (
            &[
                "scan",
                "SERVER",
                "-o",
                "ndjson=/dev/null",
                "-o",
                "json=/dev/null",
            ],
            "-o json=/dev/null: /dev/null is taken by another output",
        ),
        (
            &["scan", "SERVER", "-o", "text", "-o", "ndjson=-"],
            "stdout is taken",
        ),
        (
            &["scan", "SERVER", "-o", "ndjson=/nonexistent/run.ndjson"],
            "cannot write /nonexistent/run.ndjson: No such file",
        ),
        (&["scan", "SERVER", "-o", "json=/"], "cannot write /: "),
        (
            &["demo", "-o", "ndjson=/nonexistent/run.ndjson"],
            "cannot write /nonexistent",
        ),
    ];
    check_table(cases, Path::new("/"));
}

#[test]
fn files_that_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("targets", "# hosts\n127.0.0.1\n\n10.0.0.300 # typo\n"),
        (
            "key",
            "[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \"NOC\"\nunitl = 2999-01-01\n",
        ),
        ("broken", "# ours\n[[network\n"),
        (
            "wide",
            "[[network]]\ncidr = \"0.0.0.0/0\"\nowner = \"NOC\"\n",
        ),
        (
            "ended",
            "[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \"NOC\"\nuntil = 2020-01-01\n",
        ),
        (
            "reasonless",
            "[[accept]]\nrule = \"MS001\"\nuntil = 2999-01-01\n",
        ),
        (
            "ruleless",
            "[[accept]]\nrule = \"MS999\"\nreason = \"x\"\nuntil = 2999-01-01\n",
        ),
        ("text", "this is no run\n"),
        ("empty", ""),
        (
            "headless",
            "{\"record\":\"summary\",\"schema\":1,\"counter\":1,\"verdicts\":{},\"complete\":true}\n",
        ),
        ("newer", "{\"record\":\"run\",\"schema\":999}\n"),
    ];
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let cases: &[(&[&str], &str)] = &[
        (&["scan", "-i", "missing"], "missing: No such file"),
        (
            &["scan", "SERVER", "-i", "targets"],
            "targets:4: \"10.0.0.300\"",
        ),
        (&["scan", "SERVER", "-i", "."], ".: Is a directory"),
        (
            &["scan", "SERVER", "--exclude-file", "targets"],
            "targets:4: ",
        ),
        (
            &["scan", "SERVER", "--exclude-file", "missing"],
            "missing: No such file",
        ),
        (
            &["scan", "SERVER", "--scope", "missing"],
            "missing: No such file",
        ),
        (
            &["scan", "SERVER", "--scope", "key"],
            "key:4: unknown field `unitl`",
        ),
        (&["scan", "SERVER", "--scope", "broken"], "broken:2: "),
        (
            &["scan", "SERVER", "--scope", "wide"],
            "wide:1: cidr: 0.0.0.0/0",
        ),
        (
            &["scan", "SERVER", "203.0.113.1", "--scope", "ended"],
            "2020-01-01",
        ),
        (
            &["scan", "SERVER", "--accept", "missing"],
            "missing: No such file",
        ),
        (
            &["scan", "SERVER", "--accept", "reasonless"],
            "reasonless:1: missing field `reason`",
        ),
        (
            &["scan", "SERVER", "--accept", "ruleless"],
            "ruleless:1: there is no rule \"MS999\"",
        ),
        (&["scan", "--resume", "missing"], "missing: no such file"),
        (&["scan", "--resume", "text"], "text: line 1 is not JSON"),
        (&["scan", "--resume", "empty"], "empty: "),
        (&["scan", "--resume", "headless"], "headless: "),
        (&["scan", "--resume", "newer"], "newer: line 1"),
        (&["verify", "text"], "text: line 1 is not JSON"),
        (
            &["scope", "--scope", "key", "list"],
            "key:4: unknown field `unitl`",
        ),
        (
            &[
                "scope",
                "--scope",
                "key",
                "add",
                "198.51.100.0/24",
                "--owner",
                "x",
            ],
            "key:4: ",
        ),
    ];
    check_table(cases, folder.path());
}

#[test]
fn targets_come_from_stdin_too() {
    let mut command = program(&["scan", "-i", "-", "--dry-run"]);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    fs::write(&list, "127.0.0.1\n# nobody\n127.0.0.2:11212\n").unwrap();
    command.stdin(Stdio::from(fs::File::open(&list).unwrap()));
    let run = Running::start(command).finish();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let mut pairs: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("127."))
        .collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["127.0.0.1:11211", "127.0.0.2:11212"]);

    fs::write(&list, "127.0.0.1\n10.0.0.300\n").unwrap();
    let mut command = program(&["scan", "-i", "-"]);
    command.stdin(Stdio::from(fs::File::open(&list).unwrap()));
    check_mistake(&Running::start(command).finish(), "stdin:2: ");
}

/// In a namespace, where no resolver can be reached and nothing is asked of one.
#[test]
fn names_that_lead_nowhere() {
    let nowhere = Namespace::new();
    for name in ["nosuch.invalid", "nosuch.invalid:11211"] {
        let run = memsweep_in(&nowhere, &["scan", "127.0.0.1", name]);
        check_mistake(&run, "nosuch.invalid: ");
    }
    let run = memsweep_in(&nowhere, &["scan", "localhost", "--tcp", "-o", "ndjson"]);
    let records = run.records_with_code(0);
    let record = records.endpoints()[0];
    assert_eq!(text(record, "hostname"), "localhost");
    assert_eq!(text(record, "verdict"), "closed");
}

/// A user with a folder of their own for configuration.
struct User {
    folder: tempfile::TempDir,
}

impl User {
    fn new() -> User {
        User {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn scope_file(&self) -> std::path::PathBuf {
        self.folder.path().join("memsweep/scope.toml")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = program(arguments);
        command.env("XDG_CONFIG_HOME", self.folder.path());
        Running::start(command).finish()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
        run.stdout
    }
}

#[test]
fn the_scope_goes_round() {
    let user = User::new();
    let empty = user.run(&["scope", "list"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""));
    assert!(empty.stderr.contains("no entry yet"), "{}", empty.stderr);

    user.succeeds(&["scope", "add", "203.0.113.0/24", "--owner", "NOC"]);
    let path = user.scope_file();
    let commented = format!("# ours since 2019\n{}", fs::read_to_string(&path).unwrap());
    fs::write(&path, commented.replace("owner", "# ask them first\nowner")).unwrap();
    let until = ["--until", "2999-12-31"];
    user.succeeds(&[
        "scope",
        "add",
        "2001:db8::/32",
        "--owner",
        "Lab",
        until[0],
        until[1],
    ]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# ours since 2019\n"), "{text}");
    assert!(text.contains("# ask them first\n"), "{text}");

    let place = path.display().to_string();
    let list = user.succeeds(&["scope", "list"]);
    assert_eq!(
        list,
        format!("203.0.113.0/24  NOC  ({place})\n2001:db8::/32  Lab until 2999-12-31  ({place})\n")
    );
    let check = user.succeeds(&["scope", "check", "203.0.113.7", "10.0.0.1", "2001:db8::7"]);
    assert_eq!(check.lines().count(), 3, "{check}");
    assert!(check.starts_with("203.0.113.7: may be scanned, by 203.0.113.0/24 (NOC"));
    assert!(
        check.contains("10.0.0.1: may be scanned (private network)\n"),
        "{check}"
    );
    let refused = user.run(&["scope", "check", "203.0.113.7", "198.51.100.1"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stdout.contains("198.51.100.1"),
        "{}",
        refused.stdout
    );

    check_mistake(
        &user.run(&["scope", "add", "203.0.113.0/24", "--owner", "x"]),
        "203.0.113.0/24 is in",
    );
    check_mistake(
        &user.run(&["scope", "add", "10.0.0.0/7", "--owner", "x"]),
        "/8 or longer",
    );
    check_mistake(
        &user.run(&["scope", "add", "203.0.113.0/24", "--owner", " "]),
        "--owner",
    );
    check_mistake(
        &user.run(&["scope", "remove", "198.51.100.0/24"]),
        "is not in",
    );
    let before = fs::read_to_string(&path).unwrap();
    assert_eq!(before, text, "refusals change nothing");

    user.succeeds(&["scope", "remove", "2001:db8::/32"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("# ours since 2019") && text.contains("# ask them first"));
    assert!(!text.contains("2001:db8"), "{text}");
    let list = user.succeeds(&["scope", "list"]);
    assert_eq!(list, format!("203.0.113.0/24  NOC  ({place})\n"));
}

#[test]
fn a_scoped_network_is_scanned_and_the_summary_says_by_which_file() {
    let scanner = Namespace::new();
    let machine = scanner.sibling();
    scanner.connect("203.0.113.1/24", &machine, "203.0.113.5/24");
    let _server = MemcachedServer::start_in(&machine, &["-l", "203.0.113.5"]);
    let refused = memsweep_in(&scanner, &["scan", "203.0.113.5", "-o", "ndjson"]);
    check_mistake(&refused, "203.0.113.5 is outside the scope");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scope.toml");
    fs::write(
        &path,
        "[[network]]\ncidr = \"203.0.113.0/24\"\nowner = \"NOC\"\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let arguments = ["scan", "203.0.113.5", "--tcp", "--scope", path];
    let ndjson = memsweep_in(&scanner, &[&arguments[..], &["-o", "ndjson"]].concat());
    let records = ndjson.records_with_code(1);
    let record = records.endpoint("203.0.113.5:11211/tcp");
    assert_eq!(text(record, "verdict"), "exposed");
    assert_eq!(
        records.notes(),
        [format!("in scope by {path}: 203.0.113.0/24 (NOC)")]
    );
    let words = memsweep_in(&scanner, &arguments);
    assert!(words.stdout.contains("in scope by"), "{}", words.stdout);
}

#[test]
fn a_private_network_needs_no_scope_file_but_a_broken_one_is_told() {
    let user = User::new();
    fs::create_dir_all(user.scope_file().parent().unwrap()).unwrap();
    fs::write(user.scope_file(), "[[network]]\n").unwrap();
    check_mistake(
        &user.run(&["scan", "127.0.0.1", "-p", "1"]),
        "scope.toml:1: missing field `cidr`",
    );
    let unharmed = memsweep(&["scan", "127.0.0.1", "-p", "1", "-o", "ndjson"]);
    assert_eq!(unharmed.code, Some(0));
}
