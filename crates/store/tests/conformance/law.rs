//! The law: what a database finds is what the query means, for any observations and any query.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use inventory::{
    Bounds, FindingKey, OWN_SOURCE, Observation, Query, RunKind, StoredRun, Term, address_bytes,
    version_key,
};
use model::{Address, Confidence, Endpoint, Severity, Transport, Verdict};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use store::View;

use crate::samples::{at, document, run};
use crate::{Place, ingest, on_both};

on_both!(what_is_found_is_what_the_query_means);

/// The most seconds after which something was seen.
const SECONDS: u64 = 6;
const VERSIONS: [&str; 7] = [
    "1.4.5_4_gaa7839e",
    "1.5.6",
    "1.5.20",
    "1.6.9",
    "YRMCDS 1.1",
    "100%",
    "1.5.6\\",
];
const WORDS: [&str; 6] = ["production", "Web_1", "webX1", "Kyōto", "a\\b%", "ΟΔΟΣ"];
const PATTERNS: [&str; 12] = [
    "*",
    "?",
    "web_1",
    "WEB?1",
    "*o*",
    "kyōto",
    "ΟΔΟΣ",
    "*\\*",
    "*%",
    "production",
    "p*n",
    "1.5.?*",
];
const CODES: [&str; 3] = ["MS001", "MS002", "MS010"];

fn addresses() -> Vec<Address> {
    let ip = |text: &str| Address::from_ip(text.parse::<IpAddr>().unwrap());
    vec![
        ip("10.0.0.1"),
        ip("10.0.0.2"),
        ip("192.168.2.9"),
        ip("2001:db8::1"),
        Address::Zoned("fe80::1".parse().unwrap(), "eth0".into()),
        Address::Unix(Arc::new(PathBuf::from("/run/memcached.sock"))),
    ]
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let transports = select(vec![Transport::Tcp, Transport::Udp]);
    (
        select(addresses()),
        select(vec![0, 11211, 65535]),
        transports,
    )
        .prop_map(|(address, port, transport)| match address {
            Address::Unix(_) => Endpoint::new(address, 0, Transport::Unix),
            _ => Endpoint::new(address, port, transport),
        })
}

fn findings() -> impl Strategy<Value = Vec<FindingKey>> {
    let finding = (
        select(CODES.to_vec()),
        select(Severity::ALL.to_vec()),
        select(vec![
            Confidence::Possible,
            Confidence::Likely,
            Confidence::Confirmed,
        ]),
    );
    let finding = finding.prop_map(|(code, severity, confidence)| FindingKey {
        code: code.to_owned(),
        severity,
        confidence,
    });
    prop::collection::vec(finding, 0..3).prop_map(|mut findings| {
        findings.sort();
        findings
    })
}

fn words() -> impl Strategy<Value = String> {
    select(WORDS.to_vec()).prop_map(str::to_owned)
}

fn moments() -> impl Strategy<Value = SystemTime> {
    (0..SECONDS).prop_map(at)
}

/// An observation that knows nothing of the run it belongs to.
fn observations() -> impl Strategy<Value = Observation> {
    let server = (
        select(Verdict::ALL.to_vec()),
        any::<bool>(),
        option::of(select(VERSIONS.to_vec())),
        option::of(select(vec!["ascii", "binary", "TLS"])),
        option::of(select(vec!["none", "sasl", "ascii"])),
        findings(),
        option::of(select(vec![0.0, 1.5, 50.0, 51000.0])),
    );
    let place = (
        option::of(words()),
        option::of(64500..64503_u32),
        option::of(select(vec!["JP", "DE"])),
        option::of(words()),
        prop::collection::vec(words(), 0..3),
    );
    (endpoints(), moments(), server, place).prop_map(|(endpoint, seen, server, place)| {
        let (verdict, alarm, version, protocol, auth, findings, payload_ratio) = server;
        let (hostname, asn, country, owner, tags) = place;
        let text = format!("{endpoint}\n{}\n", version.unwrap_or_default());
        Observation {
            run: "".into(),
            source: "".into(),
            seen,
            endpoint,
            verdict: Some(verdict),
            alarm,
            hostname,
            version: version.map(str::to_owned),
            protocol: protocol.map(str::to_owned),
            auth: auth.map(str::to_owned),
            findings,
            payload_ratio,
            asn,
            country: country.map(str::to_owned),
            owner,
            tags,
            text: inventory::fold(&text),
            stable: BTreeMap::new(),
            process_start_unix_s: None,
            pid: None,
        }
    })
}

/// Runs, some of this program and some imported, in no order of time.
fn histories() -> impl Strategy<Value = Vec<(StoredRun, Vec<Observation>)>> {
    let one = (any::<bool>(), prop::collection::vec(observations(), 0..8));
    prop::collection::vec(one, 1..5).prop_map(|runs| {
        let mut history = Vec::new();
        for (number, (is_import, mut observations)) in runs.into_iter().enumerate() {
            let mut run = run(&format!("2026-{number}"), at(0));
            if is_import {
                run.kind = RunKind::Import;
                run.source = "shodan".into();
            }
            for seen in &mut observations {
                seen.run = Arc::clone(&run.run);
                seen.source = Arc::clone(&run.source);
            }
            history.push((run, observations));
        }
        history
    })
}

fn bounds<T: Copy + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Bounds<T>> {
    (
        option::of(select(values.clone())),
        option::of(select(values)),
    )
        .prop_map(|(min, max)| Bounds { min, max })
}

fn terms() -> impl Strategy<Value = Term> {
    let pattern = || {
        let known = [
            &WORDS[..],
            &PATTERNS,
            &VERSIONS,
            &["jp", "Shodan", "NONE", "tls"],
        ]
        .concat();
        select(known).prop_map(str::to_owned)
    };
    let keys: Vec<u64> = VERSIONS
        .iter()
        .filter_map(|text| version_key(text))
        .collect();
    let nets = select(vec![
        ("10.0.0.0", "10.0.0.255"),
        ("10.0.0.2", "10.0.0.2"),
        ("0.0.0.0", "255.255.255.255"),
        ("2001:db8::", "2001:db8::ffff"),
        ("fe80::", "fe80::ffff"),
        ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ]);
    let bytes = |text: &str| address_bytes(text.parse().unwrap());
    let seconds: Vec<SystemTime> = (0..SECONDS).map(at).collect();
    let server = prop_oneof![
        bounds(vec![0, 11211, 65535]).prop_map(Term::Port),
        select(vec![Transport::Tcp, Transport::Udp, Transport::Unix]).prop_map(Term::Transport),
        select(Verdict::ALL.to_vec()).prop_map(Term::Verdict),
        bounds(keys).prop_map(Term::Version),
        pattern().prop_map(Term::VersionText),
        pattern().prop_map(Term::Auth),
        pattern().prop_map(Term::Protocol),
        bounds(Severity::ALL.to_vec()).prop_map(Term::Severity),
        select(vec![Confidence::Possible, Confidence::Confirmed]).prop_map(Term::Confidence),
        select(vec!["ms001", "MS0?0", "*2", "MS00", "*"])
            .prop_map(|code| Term::Code(code.to_owned())),
        bounds(vec![0.0, 1.0, 1.5, 50.0]).prop_map(Term::Amplification),
        any::<bool>().prop_map(Term::Alarm),
    ];
    let place = prop_oneof![
        nets.prop_map(move |(first, last)| Term::Net(bytes(first), bytes(last))),
        pattern().prop_map(Term::Host),
        (64500..64503_u32).prop_map(Term::Asn),
        pattern().prop_map(Term::Country),
        pattern().prop_map(Term::Tag),
        pattern().prop_map(Term::Owner),
        pattern().prop_map(Term::Source),
        select(vec!["2026-?", "2026-1", "*2"]).prop_map(|run| Term::Run(run.to_owned())),
        bounds(seconds.clone()).prop_map(Term::Seen),
        bounds(seconds).prop_map(Term::First),
        select(vec!["10.0", "Sock", "%", "\\", "1.5.6\n", "yrmcds"])
            .prop_map(|text| Term::Text(text.to_owned())),
    ];
    prop_oneof![server, place]
}

fn queries() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        8 => terms().prop_map(Query::Term),
        1 => Just(Query::All),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let several = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|query| Query::Not(Box::new(query))),
            several().prop_map(Query::And),
            several().prop_map(Query::Or),
        ]
    })
}

/// What a view shows, in order: address, port, transport, source, and when one run has several of
/// the same, time.
type Shown = (Endpoint, Arc<str>, SystemTime, Arc<str>, String, SystemTime);

fn expected(
    history: &[(StoredRun, Vec<Observation>)],
    query: &Query,
    view: View<'_>,
) -> Vec<Shown> {
    let all: Vec<(usize, &Observation)> = history
        .iter()
        .flat_map(|(_, observations)| observations)
        .enumerate()
        .collect();
    let same = |one: &Observation, other: &Observation| {
        one.endpoint == other.endpoint && one.source == other.source
    };
    let mut shown: Vec<(usize, Shown)> = Vec::new();
    for (place, seen) in &all {
        let peers = all.iter().filter(|(_, other)| same(seen, other));
        let is_last = |until: Option<SystemTime>| {
            let in_time = |time: SystemTime| until.is_none_or(|until| time <= until);
            in_time(seen.seen)
                && !peers.clone().any(|(other_place, other)| {
                    in_time(other.seen) && (other.seen, other_place) > (seen.seen, place)
                })
        };
        let is_shown = match view {
            View::Current => is_last(None),
            View::At(time) => is_last(Some(time)),
            View::Run(run) => &*seen.run == run,
        };
        let first = peers.clone().map(|(_, other)| other.seen).min();
        let first = first.unwrap_or(seen.seen);
        if is_shown && query.matches(seen, first) {
            shown.push((
                *place,
                (
                    seen.endpoint.clone(),
                    Arc::clone(&seen.source),
                    seen.seen,
                    Arc::clone(&seen.run),
                    document(seen),
                    first,
                ),
            ));
        }
    }
    shown.sort_by_key(|(place, (endpoint, source, seen, ..))| {
        (endpoint.clone(), Arc::clone(source), *seen, *place)
    });
    shown.into_iter().map(|(_, shown)| shown).collect()
}

fn what_is_found_is_what_the_query_means(place: &Place) {
    let mut store = place.open();
    let config = Config {
        cases: place.cases,
        ..Config::default()
    };
    let views = (moments(), 0..4_usize);
    let cases = (histories(), prop::collection::vec(queries(), 12), views);
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut known: Vec<StoredRun> = Vec::new();
    let store = std::cell::RefCell::new((&mut *store, &mut known));
    let result = runner.run(&cases, |(history, queries, (time, number))| {
        let (store, known) = &mut *store.borrow_mut();
        // Begins empty each time: all that an earlier case left is pruned, as it no longer counts
        // once its runs are replaced by empty ones.
        for run in known.drain(..) {
            ingest(*store, &run, &[], false);
        }
        store.prune(at(1_000)).unwrap();
        for (run, observations) in &history {
            ingest(*store, run, observations, false);
            known.push(run.clone());
        }
        let run = &history[number % history.len()].0.run;
        for query in &queries {
            for view in [View::Current, View::At(time), View::Run(run)] {
                let mut found = Vec::new();
                let mut each = |one: store::Found| {
                    found.push((
                        one.endpoint,
                        one.source,
                        one.last_seen,
                        one.run,
                        one.document,
                        one.first_seen,
                    ));
                    ControlFlow::Continue(())
                };
                store.find(query, view, None, &mut each).unwrap();
                let expected = expected(&history, query, view);
                prop_assert_eq!(&found, &expected, "{:?} in {:?}", query, view);
                let count = store.count(query, view).unwrap();
                prop_assert_eq!(count, expected.len() as u64);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(&*run("a", at(0)).source, OWN_SOURCE);
}
