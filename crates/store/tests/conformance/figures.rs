//! A large import and searches in it are fast, and memory does not depend on how large it is.
//!
//! `MEMSWEEP_STORE_ROWS=1000000 cargo test --release -p store figures` measures a large one; the
//! figures are in `store-figures-….txt` in cargo's folder for temporary files.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use inventory::{Bounds, Facet, Query, RunKind, StoredRun, Term, version_key};
use model::{Severity, Transport};
use store::{Location, Store, View};

use crate::samples::{at, one_of_many, run};
use crate::{Place, on_both};

const ROWS: u32 = 10_000;
on_both!(a_large_import_is_searched_at_once);

/// How often each search is made.
const ROUNDS: usize = 11;

fn rows() -> u32 {
    std::env::var("MEMSWEEP_STORE_ROWS").map_or(ROWS, |rows| rows.parse().unwrap())
}

fn import(store: &mut dyn Store, id: &str, started: u64, rows: u32) -> Duration {
    let begin = Instant::now();
    let run = StoredRun {
        kind: RunKind::Import,
        source: "shodan".into(),
        ..run(id, at(started))
    };
    let mut observations = (0..rows).map(|number| Ok(one_of_many(&run, number)));
    let ingested = store.ingest(&run, &mut observations, &|_| false).unwrap();
    assert_eq!(ingested.observations, u64::from(rows));
    begin.elapsed()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap().to_owned()
}

fn versions(min: Option<&str>, max: Option<&str>) -> Query {
    Query::Term(Term::Version(Bounds {
        min: min.and_then(version_key),
        max: max.and_then(version_key),
    }))
}

fn searches() -> Vec<(&'static str, Query, Option<u64>)> {
    let port = || {
        Query::Term(Term::Port(Bounds {
            min: Some(11211),
            max: Some(11211),
        }))
    };
    let udp = || Query::Term(Term::Transport(Transport::Udp));
    let three = |third| Query::And(vec![port(), udp(), third]);
    let net = |first: [u8; 4], last: [u8; 4]| {
        let mapped = |address: [u8; 4]| std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
        Query::Term(Term::Net(mapped(first), mapped(last)))
    };
    let text = |text: &str| Query::Term(Term::Text(text.to_owned()));
    let high = Query::Term(Term::Severity(Bounds {
        min: Some(Severity::High),
        max: None,
    }));
    let seen_below = |seconds| {
        Query::Term(Term::First(Bounds {
            min: None,
            max: Some(at(seconds)),
        }))
    };
    vec![
        (
            "port udp version..1.5.6",
            three(versions(None, Some("1.5.6"))),
            None,
        ),
        (
            "port udp version:1.6.9, 100 of them",
            three(versions(Some("1.6.9"), Some("1.6.9"))),
            Some(100),
        ),
        (
            "port udp version:1.6.9, all",
            three(versions(Some("1.6.9"), Some("1.6.9"))),
            None,
        ),
        (
            "port udp severity:>=high, 100 of them",
            three(high),
            Some(100),
        ),
        (
            "port udp net:/24",
            three(net([10, 1, 2, 0], [10, 1, 2, 255])),
            None,
        ),
        (
            "port udp host",
            three(Query::Term(Term::Host("HOST4711.example.org".to_owned()))),
            None,
        ),
        (
            "port udp host:*4711.example.org",
            three(Query::Term(Term::Host("*4711.example.org".to_owned()))),
            None,
        ),
        (
            "port udp amplification:>998",
            three(Query::Term(Term::Amplification(Bounds {
                min: Some(998.5),
                max: None,
            }))),
            None,
        ),
        ("port udp first:", three(seen_below(3)), None),
        (
            "port asn country, 100 of them",
            Query::And(vec![
                port(),
                Query::Term(Term::Asn(64_600)),
                Query::Term(Term::Country("jp".to_owned())),
            ]),
            Some(100),
        ),
        (
            "port version..1.5.6 text",
            Query::And(vec![
                port(),
                versions(None, Some("1.5.6")),
                text("host4711"),
            ]),
            None,
        ),
        ("port udp text", three(text("host4711")), None),
        (
            "nothing: port udp version:1.4.6..1.5.6",
            three(versions(Some("1.4.6"), Some("1.5.6"))),
            None,
        ),
    ]
}

fn a_large_import_is_searched_at_once(place: &Place) {
    let rows = rows();
    let mut figures = String::new();
    let mut store = place.open();
    let first = import(&mut *store, "20260101-a", 0, rows);
    let (name, size) = match &place.location {
        Location::File(path) => (
            "sqlite",
            std::fs::metadata(path).unwrap().len() / 1024 / 1024,
        ),
        Location::Postgres { .. } => ("postgres", 0),
    };
    let file = format!("store-figures-{name}.txt");
    writeln!(
        figures,
        "import of {rows}: {first:.2?}; {}; {size} MiB",
        peak_memory()
    )
    .unwrap();
    let mut slowest = Duration::ZERO;
    for (name, query, limit) in searches() {
        let mut found = 0;
        let time = median(|| {
            found = 0;
            let mut each = |_| {
                found += 1;
                ControlFlow::Continue(())
            };
            store.find(&query, View::Current, limit, &mut each).unwrap();
        });
        let count = median(|| assert!(store.count(&query, View::Current).is_ok()));
        writeln!(
            figures,
            "find {name}: {found} in {time:.2?}; count {count:.2?}"
        )
        .unwrap();
        slowest = slowest.max(time);
    }
    for (name, facet) in [
        ("version", Facet::Version),
        ("country", Facet::Country),
        ("net", Facet::Net(24)),
    ] {
        let query = searches().swap_remove(0).1;
        let few = median(|| drop(store.facets(&query, View::Current, &[facet]).unwrap()));
        let begin = Instant::now();
        store.facets(&Query::All, View::Current, &[facet]).unwrap();
        let all = begin.elapsed();
        writeln!(figures, "facet {name}: of few {few:.2?}, of all {all:.2?}").unwrap();
    }
    let again = import(&mut *store, "20260102-b", 86_400, rows);
    writeln!(
        figures,
        "seen again, {rows}: {again:.2?}; {}",
        peak_memory()
    )
    .unwrap();
    let part = import(&mut *store, "20260103-c", 172_800, rows.min(100_000));
    let begin = Instant::now();
    let light = store.rows_of_run("20260103-c").unwrap().len();
    writeln!(
        figures,
        "100,000 more: {part:.2?}; {light} light rows: {:.2?}",
        begin.elapsed()
    )
    .unwrap();
    let past = searches().swap_remove(0).1;
    let time = median(|| assert!(store.count(&past, View::At(at(90_000))).is_ok()));
    writeln!(figures, "the past: {time:.2?}").unwrap();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    std::fs::write(file, &figures).unwrap();
    assert!(slowest < Duration::from_secs(5), "{figures}");
}
