//! The inventory as its user lives with it: runs are kept, searched, compared, told again, continued
//! after a kill, and held against what others saw.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{MemcachedServer, Namespace, PostgresServer};

use crate::program::{Run, Running, program, program_in};
use crate::records::Records;

/// Moments at which a recording run is killed.
const KILLS: u32 = 50;

/// A folder with an inventory, and a network of its own.
struct Ground {
    folder: tempfile::TempDir,
    network: Namespace,
}

impl Ground {
    fn new() -> Ground {
        Ground {
            folder: tempfile::tempdir().unwrap(),
            network: Namespace::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at_home(&self, mut command: Command) -> Command {
        command
            .env("MEMSWEEP_INVENTORY", self.path("inventory.db"))
            .current_dir(self.folder.path());
        command
    }

    /// A run of the program in the network, with the inventory.
    fn run(&self, arguments: &[&str]) -> Run {
        Running::start(self.at_home(program_in(&self.network, arguments))).finish()
    }

    #[track_caller]
    fn lines(&self, code: i32, arguments: &[&str]) -> Vec<String> {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        run.stdout.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let text = self.lines(code, arguments).join("\n");
        serde_json::from_str(&text).unwrap()
    }

    fn server(&self, address: &str) -> MemcachedServer {
        MemcachedServer::start_in(&self.network, &["-l", address, "-U", "11211"])
    }

    /// Verdicts of a search, by endpoint.
    fn found(&self, query: &[&str]) -> BTreeMap<String, String> {
        let arguments = [&["find", "-o", "ndjson"][..], query].concat();
        let run = self.run(&arguments);
        assert_eq!(run.code, Some(0), "{query:?}: {run:?}");
        Records::parse(&run.stdout).verdicts()
    }

    fn logs(&self) -> Vec<PathBuf> {
        files(&self.path("inventory.db.runs"))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map_or(Vec::new(), |entries| entries.collect());
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

const SCAN: [&str; 4] = ["scan", "127.0.0.0/28", "-q", "--timeout"];

fn scan(ground: &Ground) -> Run {
    ground.run(&[&SCAN[..], &["100ms"]].concat())
}

#[test]
fn runs_are_kept_searched_and_compared() {
    let ground = Ground::new();
    let both = ground.server("127.0.0.2");
    let _tcp_only = MemcachedServer::start_in(&ground.network, &["-l", "127.0.0.5", "-U", "0"]);
    assert_eq!(
        scan(&ground).code,
        Some(0),
        "on loopback nothing is an alarm"
    );
    let all = ground.found(&["port:11211"]);
    let expected = [
        "127.0.0.2:11211/tcp",
        "127.0.0.2:11211/udp",
        "127.0.0.5:11211/tcp",
    ];
    assert_eq!(all.keys().collect::<Vec<_>>(), expected);
    for (query, count) in [
        (&["transport:udp"][..], 1),
        (&["-transport:udp"], 2),
        (&["verdict:exposed", "net:127.0.0.0/30"], 2),
        (&["version:..1.5.6"], 0),
        (&["version:1.6.0..", "amplification:>50"], 1),
        (&["code:MS002", "OR", "net:127.0.0.5"], 2),
        (&["seen:<1h", "source:memsweep"], 3),
        (&["nothing-of-the-kind"], 0),
        (&["--limit", "1"], 1),
    ] {
        assert_eq!(ground.found(query).len(), count, "{query:?}");
    }
    let facets = ground.json(0, &["find", "--facets", "transport,net/24", "-o", "json"]);
    let facets = facets.to_string();
    assert!(
        facets.contains("tcp") && facets.contains("127.0.0.0/24"),
        "{facets}"
    );

    // Nothing changed.
    assert_eq!(scan(&ground).code, Some(0));
    let quiet = ground.run(&["diff"]);
    assert_eq!(quiet.code, Some(0), "{quiet:?}");

    // One is gone, another is new; the restart of the third is seen.
    drop(both);
    let _new = ground.server("127.0.0.9");
    assert_eq!(scan(&ground).code, Some(0));
    let changes = ground.run(&["diff", "-o", "ndjson"]);
    assert_eq!(changes.code, Some(1), "{changes:?}");
    let kinds: Vec<(String, String)> = changes
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["record"] == "change")
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            (
                word("change"),
                format!("{}/{}", word("address"), word("transport")),
            )
        })
        .collect();
    let expected = [
        ("new", "127.0.0.9/tcp"),
        ("new", "127.0.0.9/udp"),
        ("gone", "127.0.0.2/tcp"),
        ("gone", "127.0.0.2/udp"),
    ];
    let expected = expected.map(|(kind, endpoint)| (kind.to_owned(), endpoint.to_owned()));
    assert_eq!(kinds, expected);
    let now = ground.found(&["verdict:exposed"]);
    let expected = [
        "127.0.0.5:11211/tcp",
        "127.0.0.9:11211/tcp",
        "127.0.0.9:11211/udp",
    ];
    assert_eq!(now.keys().collect::<Vec<_>>(), expected);

    // The past is still there.
    let runs = ground.json(0, &["runs", "-o", "json"]);
    let ids: Vec<&str> = runs
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["run"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 3);
    let first = ids[2];
    assert_eq!(ground.found(&["--run", first]).len(), 3);
    assert_eq!(ground.found(&["--run", first, "net:127.0.0.2"]).len(), 2);
    let verified = ground.run(&[
        "verify",
        first,
        "-o",
        "ndjson",
        "--timeout",
        "100ms",
        "--retries",
        "0",
    ]);
    let answers = Records::parse(&verified.stdout);
    assert!(
        answers
            .verified()
            .iter()
            .any(|(_, _, state)| *state == "closed"),
        "{verified:?}"
    );
}

#[test]
fn what_is_known_survives_the_loss_of_the_index() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    assert_eq!(scan(&ground).code, Some(0));
    let before = ground.lines(0, &["find", "-o", "csv"]);
    let logs = ground.logs();
    assert_eq!(logs.len(), 1);
    assert!(
        logs[0].to_string_lossy().ends_with(".ndjson.zst"),
        "{logs:?}"
    );
    for file in files(ground.folder.path()) {
        if file.is_file() {
            fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(ground.lines(0, &["find", "-o", "csv"]), before);
    let took_in = ground.lines(0, &["runs", "rebuild"]);
    assert_eq!(took_in.len(), 1);
    assert_eq!(ground.lines(0, &["find", "-o", "csv"]), before);

    // What is old enough goes, with its log, but for what is known now.
    let kept = ground.run(&["runs", "prune", "--keep", "1h"]);
    assert_eq!(kept.code, Some(0), "{kept:?}");
    assert_eq!(ground.logs().len(), 1);
    let refused = ground.run(&["runs", "prune", "--keep", "soon"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("soon"), "{}", refused.stderr);
}

#[test]
fn a_run_is_told_again_as_a_page_and_in_every_form() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    let live = ground.run(&[&SCAN[..], &["100ms", "-o", "csv"]].concat());
    assert_eq!(live.code, Some(0), "{live:?}");
    let run = ground.run(&["report"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let pages: Vec<PathBuf> = files(ground.folder.path())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|word| word == "html"))
        .collect();
    assert_eq!(pages.len(), 1, "{run:?}");
    let page = fs::read_to_string(&pages[0]).unwrap();
    assert!(page.contains("127.0.0.2:11211/udp") && page.contains("Content-Security-Policy"));
    // Told from the log it is what it was when it was new.
    let again = ground.run(&["report", "-o", "csv"]);
    assert_eq!(again.stdout, live.stdout);
    let japanese = ground.run(&["report", "-o", "markdown", "--lang", "ja"]);
    assert!(japanese.stdout.contains("認証"), "{}", japanese.stdout);
    let frames = ground.run(&["report", "-o", "pcapng=x.pcapng"]);
    assert_eq!(frames.code, Some(2), "{frames:?}");
}

/// Whatever order runs come in: what a later run found gone stays gone.
#[test]
fn a_run_that_was_killed_brings_nothing_back_that_is_gone() {
    let ground = Ground::new();
    let server = ground.server("127.0.0.2");
    let slow = [
        "scan",
        "127.0.0.2",
        "127.0.0.0/24",
        "--rate",
        "100",
        "--engine",
        "socket",
        "-q",
    ];
    let mut running = Running::start(ground.at_home(program_in(&ground.network, &slow)));
    let found = || {
        let logs = ground.logs();
        let log = logs
            .first()
            .map(|log| fs::read_to_string(log).unwrap_or_default());
        log.is_some_and(|log| log.contains("\"verdict\":\"exposed\""))
    };
    running.wait_until(found);
    running.signal(Signal::SIGKILL);
    running.finish();
    drop(server);
    assert_eq!(scan(&ground).code, Some(0));
    assert!(ground.found(&["verdict:exposed"]).is_empty());
    let runs = ground.json(0, &["runs", "-o", "json"]);
    assert_eq!(runs[1]["complete"], false, "{runs}");
    assert!(runs[1]["verdicts"]["exposed"].as_u64() > Some(0), "{runs}");
}

/// The lines of a run as a log that began at this moment has them.
fn moved(text: &str, run: &str, moment: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        record["run"] = run.into();
        record["timestamp"] = moment.into();
        record.to_string() + "\n"
    });
    lines.collect()
}

#[test]
fn of_two_runs_of_one_second_the_later_one_has_the_last_word() {
    let ground = Ground::new();
    let server = ground.server("127.0.0.2");
    let scan = |name: &str| {
        let run = ground.run(&[&SCAN[..], &["100ms", "-o", &format!("ndjson={name}")]].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
        fs::read_to_string(ground.path(name)).unwrap()
    };
    let open = scan("open.ndjson");
    drop(server);
    let closed = scan("closed.ndjson");
    assert!(open.contains("exposed\",") && !closed.contains("\"record\":\"endpoint\""));
    // Their ids are in the other order.
    let ground = Ground::new();
    let folder = ground.path("inventory.db.runs");
    fs::create_dir(&folder).unwrap();
    for (text, run, moment) in [
        (&open, "20260101T000000Z-ffffff", "2026-01-01T00:00:00.100Z"),
        (
            &closed,
            "20260101T000000Z-000001",
            "2026-01-01T00:00:00.200Z",
        ),
    ] {
        fs::write(
            folder.join(format!("{run}.ndjson")),
            moved(text, run, moment),
        )
        .unwrap();
    }
    assert_eq!(ground.found(&["verdict:exposed"]), BTreeMap::new());
    let runs = ground.json(0, &["runs", "-o", "json"]);
    assert_eq!(runs[1]["verdicts"]["exposed"], 2, "{runs}");
}

#[test]
fn no_file_is_written_over_that_is_being_read() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    let output = [&SCAN[..], &["100ms", "-o", "ndjson=run.ndjson"]].concat();
    assert_eq!(ground.run(&output).code, Some(0));
    let before = fs::read(ground.path("run.ndjson")).unwrap();
    let run = ground.run(&["report", "run.ndjson", "-o", "ndjson=run.ndjson"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(fs::read(ground.path("run.ndjson")).unwrap(), before);
    fs::write(ground.path("bad.ndjson"), "no run\n").unwrap();
    fs::write(ground.path("memsweep-bad.html"), "of another day").unwrap();
    let run = ground.run(&["report", "bad.ndjson"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let kept = fs::read_to_string(ground.path("memsweep-bad.html")).unwrap();
    assert_eq!(kept, "of another day");
    // The answer to a search is no run.
    let found = ground.run(&["find", "-o", "ndjson=found.ndjson"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let run = ground.run(&["import", "found.ndjson"]);
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn mistakes_in_questions_are_shown_where_they_are() {
    let ground = Ground::new();
    let run = ground.run(&["find", "port:11211 trnsport:udp"]);
    assert_eq!(run.code, Some(2));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stderr);
    let caret = lines[2].find('^').unwrap();
    assert_eq!(&lines[1][caret..caret + 8], "trnsport", "{}", run.stderr);
    for (arguments, part) in [
        (&["find", "--at", "yesterday"][..], "yesterday"),
        (&["find", "--facets", "colour"], "colour"),
        (&["find", "--run", "20990101"], "20990101"),
        (&["diff"], "no two runs"),
        (&["report"], "no run yet"),
        (&["diff", "/etc/hostname", "/etc/hostname"], "/etc/hostname"),
        (&["import", "/nonexistent.json"], "/nonexistent.json"),
        (&["import", "/etc/hostname"], "no form of results"),
        (
            &["scan", "--resume", "20990101T000000Z"],
            "no run of the inventory",
        ),
        (&["scan", "--from-import", "shodan"], "memsweep import"),
        (&["find", "-o", "pcapng=x"], "frames"),
        (
            &["find", "--inventory", "/proc/nowhere/inventory.db"],
            "/proc/nowhere",
        ),
        (&["find", "--inventory", "none"], "--inventory PATH"),
        (&["find", "--inventory", ""], "it is empty"),
        (
            &["find", "--inventory", "mysql://u:secret@db/x"],
            "\"mysql\" begins no address",
        ),
        (
            &["find", "--inventory", "postgres:/u:secret@db/x"],
            "begins no address",
        ),
    ] {
        let run = ground.run(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(part), "{arguments:?}: {}", run.stderr);
        assert_eq!(
            run.stderr.lines().count(),
            1,
            "{arguments:?}: {}",
            run.stderr
        );
    }
}

#[test]
fn an_inventory_that_refuses_never_stops_a_scan() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    fs::write(
        ground.path("text.db"),
        "this is no database, and it stays as it is",
    )
    .unwrap();
    for place in ["/proc/nowhere/inventory.db", "text.db"] {
        let run = ground.run(&["scan", "127.0.0.2", "--inventory", place, "-o", "ndjson"]);
        let verdicts = Records::parse(&run.stdout).verdicts();
        assert_eq!(verdicts["127.0.0.2:11211/udp"], "exposed");
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stderr.contains(place), "{place}: {}", run.stderr);
    }
    let kept = fs::read_to_string(ground.path("text.db")).unwrap();
    assert_eq!(kept, "this is no database, and it stays as it is");
}

/// A run that is killed at any moment is not lost, and continued it finds what an unbroken one does.
#[test]
fn a_killed_run_is_kept_and_continued_to_the_same_result() {
    let ground = Ground::new();
    let arguments = [
        "scan",
        "127.0.0.0/26",
        "--all",
        "--rate",
        "1500",
        "--timeout",
        "100ms",
        "--retries",
        "0",
        "--engine",
        "socket",
        "-q",
        "-o",
        "ndjson",
    ];
    let _server = ground.server("127.0.0.2");
    let whole = ground.run(&arguments);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let expected = Records::parse(&whole.stdout).verdicts();
    assert_eq!(expected.len(), 128);
    let mut never_begun = 0;
    for number in 0..KILLS {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("inventory.db");
        let command = |arguments: &[&str]| {
            let mut command = program_in(&ground.network, arguments);
            command.env("MEMSWEEP_INVENTORY", &place);
            command
        };
        let begin = Instant::now();
        let running = Running::start(command(&arguments));
        // Moments from before the first packet to after the last one.
        let moment =
            Duration::from_micros(u64::from(number) * 4_000 + u64::from(number * 7919 % 977));
        std::thread::sleep(moment.saturating_sub(begin.elapsed()));
        running.signal(Signal::SIGKILL);
        let killed = running.finish();
        let logs = files(&folder.path().join("inventory.db.runs"));
        let Some(log) = logs.first() else {
            // Nothing had been asked.
            assert!(killed.stdout.is_empty(), "{killed:?}");
            never_begun += 1;
            continue;
        };
        let name = log.file_name().unwrap().to_string_lossy().into_owned();
        let id = name.split('.').next().unwrap().to_owned();
        let runs = Running::start(command(&["runs", "-o", "json"])).finish();
        let runs: Value = serde_json::from_str(&runs.stdout).unwrap();
        if runs.as_array().unwrap().is_empty() {
            // Killed between making the file and its first line: nothing had been asked.
            assert!(killed.stdout.is_empty(), "{killed:?}");
            never_begun += 1;
            continue;
        }
        assert_eq!(runs[0]["run"], id.as_str());
        if runs[0]["complete"] == false {
            let resumed =
                Running::start(command(&["scan", "--resume", &id, "--all", "-q"])).finish();
            assert!(
                matches!(resumed.code, Some(0) | Some(1)),
                "kill {number}: {resumed:?}"
            );
        }
        let found = Running::start(command(&["find", "--run", &id, "-o", "ndjson"])).finish();
        assert_eq!(
            Records::parse(&found.stdout).verdicts(),
            expected,
            "kill {number}"
        );
        let runs = Running::start(command(&["runs", "-o", "json"])).finish();
        let runs: Value = serde_json::from_str(&runs.stdout).unwrap();
        assert_eq!(
            runs.as_array().unwrap().len(),
            1,
            "one run, however often it was continued"
        );
        assert_eq!(runs[0]["complete"], true, "kill {number}");
        assert_eq!(runs[0]["verdicts"]["exposed"], 2, "kill {number}: {runs}");
    }
    assert!(
        never_begun < KILLS / 2,
        "{never_begun} were killed before they began"
    );
}

#[test]
fn what_others_saw_is_judged_kept_and_held_against_what_was_seen_from_here() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    assert_eq!(scan(&ground).code, Some(0));
    let line = |address: &str| {
        format!(
            "{{\"ip_str\":\"{address}\",\"port\":11211,\"transport\":\"tcp\",\
             \"timestamp\":\"2026-11-20T10:00:00.000000\",\"product\":\"Memcached\",\
             \"version\":\"1.4.15\",\"data\":\"STAT pid 1\\r\\nSTAT version 1.4.15\\r\\nEND\\r\\n\",\
             \"_shodan\":{{\"module\":\"memcache\"}}}}\n"
        )
    };
    let export: String = ["127.0.0.2", "127.0.0.3", "127.0.1.1", "198.51.100.7"]
        .map(line)
        .concat();
    fs::write(ground.path("shodan.json"), export).unwrap();
    let said = ground.json(0, &["import", "shodan.json", "-o", "json"]);
    assert_eq!(said[0]["source"], "shodan");
    assert_eq!(said[0]["kept"], 4);
    let reconciled = &said[0]["reconciled"];
    assert_eq!(
        (&reconciled["same"], &reconciled["never_asked"]),
        (&1.into(), &3.into())
    );
    let text = ground.lines(0, &["import", "shodan.json"]).join("\n");
    assert!(text.contains("never asked from here"), "{text}");
    assert_eq!(ground.found(&["source:shodan", "version:1.4.15"]).len(), 4);
    assert_eq!(
        ground
            .found(&["source:shodan", "verdict:exposed", "net:198.51.100.0/24"])
            .len(),
        1
    );
    // Ours and theirs stand beside each other.
    assert_eq!(ground.found(&["source:memsweep"]).len(), 2);

    // Asking what they saw obeys the scope.
    let refused = ground.run(&["scan", "--from-import", "shodan"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("198.51.100.7"),
        "{}",
        refused.stderr
    );
    let asked = ground.run(&[
        "scan",
        "--from-import",
        "shodan",
        "--exclude",
        "198.51.100.7",
        "--tcp",
        "-o",
        "ndjson",
        "--timeout",
        "100ms",
    ]);
    let verdicts = Records::parse(&asked.stdout).verdicts();
    assert_eq!(verdicts["127.0.0.2:11211/tcp"], "exposed");
    assert_eq!(verdicts["127.0.0.3:11211/tcp"], "closed");

    // A file that is not what it should be leaves nothing.
    let before = ground.json(0, &["runs", "-o", "json"]);
    let broken = format!(
        "{}{{\"ip_str\":\"127.0.0.9\",\"port\":\"many\"",
        line("127.0.0.8")
    );
    fs::write(ground.path("broken.json"), broken + "}\n").unwrap();
    let run = ground.run(&["import", "broken.json"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr.contains("broken.json") && run.stderr.contains("line 2"),
        "{}",
        run.stderr
    );
    assert_eq!(ground.json(0, &["runs", "-o", "json"]), before);
    assert!(ground.found(&["net:127.0.0.8"]).is_empty());
}

#[test]
fn a_run_of_another_machine_is_taken_in_once() {
    let (here, there) = (Ground::new(), Ground::new());
    let _server = there.server("127.0.0.2");
    let run = there.run(&[&SCAN[..], &["100ms", "-o", "ndjson=run.ndjson"]].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    let file = there.path("run.ndjson");
    let file = file.to_str().unwrap();
    for expected in ["kept as run", "already"] {
        let text = here.lines(0, &["import", file]).join("\n");
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(here.found(&["verdict:exposed"]).len(), 2);
    // A file and a run of the inventory can be compared.
    let same = here.run(&["diff", file, file]);
    assert_eq!(same.code, Some(0), "{same:?}");
}

#[test]
fn files_of_ones_own_say_whose_an_address_is() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    let list = "network,owner,tags,asn,country\n127.0.0.0/8,\"NOC, Tokyo\",lab;test,64500,jp\n";
    fs::write(ground.path("networks.csv"), list).unwrap();
    let arguments = [
        &SCAN[..],
        &["100ms", "--enrich", "networks.csv", "--resolve"],
    ]
    .concat();
    assert_eq!(ground.run(&arguments).code, Some(0));
    for query in [
        "owner:NOC*",
        "tag:lab",
        "asn:64500",
        "country:JP",
        "-owner:nobody",
    ] {
        assert_eq!(ground.found(&[query]).len(), 2, "{query}");
    }
    let table = ground.run(&["find", "-o", "csv"]);
    assert!(table.stdout.contains("\"NOC, Tokyo\""), "{}", table.stdout);
    let wrong = ground.run(&["scan", "127.0.0.2", "--enrich", "/etc/hostname"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

/// A team shares an inventory on a server; the logs stay on the machine that made them.
#[test]
fn an_inventory_on_postgresql_answers_alike() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    let postgres = PostgresServer::start();
    let place = postgres.fresh_database();
    let run = |arguments: &[&str]| {
        let mut command = program_in(&ground.network, arguments);
        command
            .env("MEMSWEEP_INVENTORY", &place)
            .env("XDG_DATA_HOME", ground.folder.path());
        Running::start(command).finish()
    };
    for _ in 0..2 {
        let scanned = run(&[&SCAN[..], &["100ms"]].concat());
        assert_eq!(scanned.code, Some(0), "{scanned:?}");
        assert_eq!(scanned.stderr, "", "nothing went wrong");
    }
    let found = run(&["find", "transport:udp", "amplification:>50", "-o", "ndjson"]);
    let verdicts = Records::parse(&found.stdout).verdicts();
    assert_eq!(verdicts.len(), 1, "{found:?}");
    let changes = run(&["diff"]);
    assert_eq!(changes.code, Some(0), "{changes:?}");
    let logs = files(&ground.path("memsweep/postgres.runs"));
    assert_eq!(logs.len(), 2, "{logs:?}");
}

/// As a monitoring plugin it has the codes of a plugin.
#[test]
fn a_check_can_be_a_plugin() {
    let ground = Ground::new();
    let _server = ground.server("127.0.0.2");
    for (arguments, code, begin) in [
        (
            &["check", "127.0.0.2", "-o", "nagios"][..],
            0,
            "MEMCACHED OK",
        ),
        (
            &[
                "check",
                "127.0.0.2",
                "-o",
                "nagios",
                "-w",
                "@0:0",
                "-c",
                "5",
            ],
            1,
            "MEMCACHED WARNING",
        ),
        (
            &[
                "check",
                "127.0.0.2",
                "-o",
                "nagios",
                "-w",
                "0",
                "-c",
                "@0:0",
            ],
            2,
            "MEMCACHED CRITICAL",
        ),
        (
            &["check", "198.51.100.1", "-o", "nagios"],
            3,
            "MEMCACHED UNKNOWN",
        ),
    ] {
        let run = ground.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert!(
            run.stdout.starts_with(begin),
            "{arguments:?}: {}",
            run.stdout
        );
    }
    let run = ground.run(&["check", "127.0.0.2", "-w", "1"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    // Without a home there is no inventory, and no harm in that.
    let mut homeless = program(&["check", "127.0.0.1", "--timeout", "50ms", "-q"]);
    homeless.env_remove("HOME").env_remove("MEMSWEEP_INVENTORY");
    assert_eq!(Running::start(homeless).finish().code, Some(0));
}
