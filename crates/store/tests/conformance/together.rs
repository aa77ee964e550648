//! Several processes at once, and places that are no inventory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use inventory::Query;
use model::Transport;
use store::{Location, StoreError, View};

use crate::samples::{at, endpoint, observation, run};
use crate::{Place, ingest, on_both};

on_both!(several_connections_write_at_once);

/// Each opens the inventory itself, the first of them makes it.
fn several_connections_write_at_once(place: &Place) {
    const WRITERS: u32 = 4;
    const RUNS: u32 = 5;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut store = place.open();
                for number in 0..RUNS {
                    let run = run(&format!("{writer}-{number}"), at(u64::from(number)));
                    let seen: Vec<_> = (0..50)
                        .map(|server| {
                            // The first 25 are seen by all, the others by one.
                            let place = if server < 25 {
                                server
                            } else {
                                100 * writer + server
                            };
                            observation(&run, endpoint(place, Transport::Tcp), at(1))
                        })
                        .collect();
                    ingest(&mut *store, &run, &seen, false);
                    store.count(&Query::All, View::Current).unwrap();
                }
            });
        }
    });
    let mut store = place.open();
    let runs = u64::from(WRITERS * RUNS);
    assert_eq!(store.runs(None).unwrap().len() as u64, runs);
    let current = store.count(&Query::All, View::Current).unwrap();
    assert_eq!(current, 25 + 25 * u64::from(WRITERS));
    let of_all = store.history(&endpoint(0, Transport::Tcp)).unwrap();
    assert_eq!(of_all.len() as u64, runs);
}

fn error_of(path: &Path) -> StoreError {
    match store::open(&Location::File(path.to_owned())) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn only_its_owner_reads_an_inventory() {
    let place = Place::sqlite();
    let mut store = place.open();
    ingest(&mut *store, &run("a", at(0)), &[], false);
    let Location::File(path) = &place.location else {
        unreachable!("it is a file");
    };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn what_is_no_inventory_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "buy milk and bread, please").unwrap();
    let error = error_of(&text);
    assert!(
        error.to_string().contains("no inventory of memsweep"),
        "{error}"
    );
    assert_eq!(
        std::fs::read_to_string(&text).unwrap(),
        "buy milk and bread, please"
    );

    let foreign = folder.path().join("foreign.db");
    shell(&foreign, "CREATE TABLE bookmarks (url TEXT)");
    let before = std::fs::read(&foreign).unwrap();
    let error = error_of(&foreign);
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    let damaged = folder.path().join("damaged.db");
    std::fs::write(&damaged, b"SQLite format 3\0 and then nothing of the kind").unwrap();
    let error = error_of(&damaged);
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");

    let error = error_of(&text.join("inventory.db"));
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    let error = error_of(folder.path());
    assert!(error.to_string().contains("Is a directory"), "{error}");
}

#[test]
fn a_newer_inventory_is_refused() {
    let place = Place::sqlite();
    drop(place.open());
    let Location::File(path) = &place.location else {
        unreachable!("it is a file");
    };
    shell(path, "PRAGMA user_version = 99");
    let error = error_of(path);
    assert!(
        matches!(error, StoreError::TooNew { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_newer_database_of_a_server_is_refused_and_a_foreign_one_left_alone() {
    use postgres::{Client, NoTls};
    let place = Place::postgres();
    drop(place.open());
    let Location::Postgres { url, .. } = &place.location else {
        unreachable!("it is a server");
    };
    let mut client = Client::connect(url, NoTls).unwrap();
    client
        .batch_execute("UPDATE memsweep_inventory SET version = 99")
        .unwrap();
    let error = store::open(&place.location).err().unwrap();
    assert!(
        matches!(error, StoreError::TooNew { found: 99, .. }),
        "{error}"
    );
    client
        .batch_execute("DROP TABLE memsweep_inventory")
        .unwrap();
    let error = store::open(&place.location).err().unwrap();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_password_is_in_no_error() {
    for url in [
        // Nobody listens on port 1 of loopback.
        "postgres://noc:s3cret@127.0.0.1:1/inventory?connect_timeout=2",
        "postgres://noc:s3cret@127.0.0.1:1/inventory?sslmode=verify-full",
        "postgres://noc:s3cret@127.0.0.1:1/inventory?sslmode=s3cret",
        "postgres://noc:s3cret@127.0.0.1:port/inventory",
    ] {
        let location = Location::new(url, Path::new("/nonexistent"));
        let error = store::open(&location).err().unwrap();
        for text in [
            error.to_string(),
            format!("{error:?}"),
            location.to_string(),
        ] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}

/// The program that users read their inventory with.
pub(crate) fn shell(path: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3").arg(path).arg(sql).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn views_are_read_with_the_shell() {
    let place = Place::sqlite();
    let mut store = place.open();
    let (first, second) = (run("a", at(0)), run("b", at(100)));
    let server = |number| endpoint(number, Transport::Udp);
    let seen = [1, 2].map(|number| observation(&first, server(number), at(1)));
    ingest(&mut *store, &first, &seen, true);
    ingest(
        &mut *store,
        &second,
        &[observation(&second, server(1), at(101))],
        true,
    );
    let Location::File(path) = &place.location else {
        unreachable!("it is a file");
    };
    // Not closed yet: a shell reads beside a program that writes.
    for (sql, expected) in [
        (
            "SELECT address, port, transport, source, seen, first_seen, verdict, alarm, hostname, \
             version, findings, country, owner, tags, run FROM v_current",
            "10.0.0.1|11211|udp|memsweep|2025-11-24T16:01:41Z|2025-11-24T16:00:01Z|exposed|1|\
             Cache1.example.org|1.5.6|MS001 high confirmed, MS003 low confirmed|JP|NOC One|\
             production|b\n",
        ),
        (
            "SELECT address, run, verdict, current FROM v_history ORDER BY 1, 2",
            "10.0.0.1|a|exposed|0\n10.0.0.1|b|exposed|1\n10.0.0.2|a|exposed|0\n\
             10.0.0.2|b|gone|1\n",
        ),
        (
            "SELECT run, kind, started, ended, complete, exposed, absent FROM v_runs ORDER BY 1",
            "a|scan|2025-11-24T16:00:00Z|2025-11-24T16:00:05Z|1|3|250\n\
             b|scan|2025-11-24T16:01:40Z|2025-11-24T16:01:45Z|1|3|250\n",
        ),
        (
            "SELECT code, severity, confidence, address FROM v_findings ORDER BY 1",
            "MS001|high|confirmed|10.0.0.1\nMS003|low|confirmed|10.0.0.1\n",
        ),
    ] {
        assert_eq!(shell(path, sql), expected, "{sql}");
    }
    drop(store);
}

#[test]
fn the_views_of_a_server_say_the_same() {
    let place = Place::postgres();
    let mut store = place.open();
    let run = run("a", at(0));
    let seen = [observation(&run, endpoint(1, Transport::Udp), at(1))];
    ingest(&mut *store, &run, &seen, true);
    let Location::Postgres { url, .. } = &place.location else {
        unreachable!("it is a server");
    };
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    for (sql, expected) in [
        (
            "SELECT seen || ' ' || findings || ' ' || country FROM v_current",
            &["2025-11-24T16:00:01Z MS001 high confirmed, MS003 low confirmed JP"][..],
        ),
        ("SELECT verdict || run FROM v_history", &["exposeda"]),
        (
            "SELECT run || started || ended FROM v_runs",
            &["a2025-11-24T16:00:00Z2025-11-24T16:00:05Z"],
        ),
        (
            "SELECT code || severity || confidence FROM v_findings ORDER BY 1",
            &["MS001highconfirmed", "MS003lowconfirmed"],
        ),
    ] {
        let rows = client.query(sql, &[]).unwrap();
        let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows, expected, "{sql}");
    }
}

#[test]
fn the_first_run_and_one_that_fails_leave_every_index() {
    let place = Place::sqlite();
    let Location::File(path) = &place.location else {
        unreachable!("it is a file");
    };
    let mut store = place.open();
    let indexes = || {
        shell(
            path,
            "SELECT sql FROM sqlite_schema WHERE type = 'index' ORDER BY name",
        )
    };
    let before = indexes();
    assert!(before.contains("current_kind"), "{before}");
    let run = run("a", at(0));
    let mut broken = std::iter::once(Err("no record".into()));
    assert!(store.ingest(&run, &mut broken, &|_| false).is_err());
    assert_eq!(indexes(), before);
    let seen = [observation(&run, endpoint(1, Transport::Tcp), at(1))];
    ingest(&mut *store, &run, &seen, false);
    assert_eq!(indexes(), before);
}
