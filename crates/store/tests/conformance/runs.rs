//! Runs: listed, named, compared, let go.

use inventory::{Query, RunKind, StoredRun};
use model::Transport;
use store::{StoreError, View};

use crate::samples::{at, endpoint, observation, run};
use crate::{Place, ingest, on_both};

on_both!(
    runs_come_back_as_they_were,
    an_id_may_be_shortened,
    the_last_runs_of_the_same_targets,
    what_is_known_now_is_not_pruned,
    what_is_gone_does_not_come_back_by_pruning,
);

fn ids(runs: &[StoredRun]) -> Vec<&str> {
    runs.iter().map(|run| &*run.run).collect()
}

fn runs_come_back_as_they_were(place: &Place) {
    let mut store = place.open();
    let bare = StoredRun {
        kind: RunKind::Verify,
        source: "nmap".into(),
        ended: None,
        targets: Vec::new(),
        resumed_from: Some("b".into()),
        complete: false,
        grade: None,
        vantage: None,
        log: None,
        ..run("c", at(1))
    };
    let kinds = [RunKind::Scan, RunKind::Check, RunKind::Import]
        .into_iter()
        .zip(["d", "e", "f"])
        .map(|(kind, id)| StoredRun {
            kind,
            ..run(id, at(5))
        });
    let mut kept = vec![run("b", at(0)), bare];
    kept.extend(kinds);
    for run in &kept {
        ingest(&mut *store, run, &[], false);
    }
    kept.reverse();
    assert_eq!(store.runs(None).unwrap(), kept);
    assert_eq!(store.runs(Some(2)).unwrap(), kept[..2]);
    // Another connection sees the same.
    assert_eq!(place.open().runs(None).unwrap(), kept);
}

fn an_id_may_be_shortened(place: &Place) {
    let mut store = place.open();
    for id in ["20260101T1", "20260101T2", "20260102", "2026", "%_"] {
        ingest(&mut *store, &run(id, at(0)), &[], false);
    }
    for (prefix, expected) in [
        ("20260101T2", Some("20260101T2")),
        ("20260102", Some("20260102")),
        ("202601023", None),
        ("2026", Some("2026")),
        ("20260101", None),
        ("%", Some("%_")),
        ("_", None),
    ] {
        let found = store.run(prefix);
        assert_eq!(
            found.as_ref().ok().map(|run| &*run.run),
            expected,
            "{prefix}"
        );
        match found {
            Ok(_) => {}
            Err(StoreError::Ambiguous { .. }) => assert_eq!(prefix, "20260101"),
            Err(StoreError::NoSuchRun(_)) => assert_ne!(prefix, "20260101"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn the_last_runs_of_the_same_targets(place: &Place) {
    let mut store = place.open();
    assert_eq!(store.last_runs_of_same_targets(2).unwrap(), []);
    for (id, fingerprint, started, kind) in [
        ("a", "01", 0, RunKind::Scan),
        ("b", "02", 1, RunKind::Scan),
        ("c", "01", 2, RunKind::Scan),
        ("d", "02", 3, RunKind::Check),
        ("e", "03", 4, RunKind::Scan),
        ("f", "01", 5, RunKind::Import),
        ("g", "01", 6, RunKind::Import),
    ] {
        let run = StoredRun {
            fingerprint: fingerprint.to_owned(),
            kind,
            ..run(id, at(started))
        };
        ingest(&mut *store, &run, &[], false);
    }
    for (count, expected) in [(1, &["e"][..]), (2, &["d", "b"]), (3, &[])] {
        let found = store.last_runs_of_same_targets(count).unwrap();
        assert_eq!(ids(&found), expected, "{count}");
    }
}

fn what_is_known_now_is_not_pruned(place: &Place) {
    let mut store = place.open();
    let server = |number| endpoint(number, Transport::Tcp);
    for (id, started, numbers) in [
        ("a", 0, &[1][..]),
        ("b", 100, &[2]),
        ("c", 200, &[1]),
        ("d", 300, &[1]),
    ] {
        let run = run(id, at(started));
        let observations: Vec<_> = numbers
            .iter()
            .map(|number| observation(&run, server(*number), at(started + 1)))
            .collect();
        ingest(&mut *store, &run, &observations, false);
    }
    let before = store.count(&Query::All, View::Current).unwrap();
    assert_eq!(store.prune(at(0)).unwrap(), []);
    // `b` alone knows 10.0.0.2, and `d` is too young.
    assert_eq!(ids(&store.prune(at(250)).unwrap()), ["a", "c"]);
    assert_eq!(ids(&store.runs(None).unwrap()), ["d", "b"]);
    assert_eq!(store.count(&Query::All, View::Current).unwrap(), before);
    let past = store.history(&server(1)).unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(
        past[0].first_seen,
        at(301),
        "nobody knows of an earlier time now"
    );
    assert_eq!(store.prune(at(1_000)).unwrap(), []);
}

fn what_is_gone_does_not_come_back_by_pruning(place: &Place) {
    let mut store = place.open();
    let server = |number| endpoint(number, Transport::Tcp);
    let first = run("a", at(0));
    let seen = [1, 2].map(|number| observation(&first, server(number), at(1)));
    ingest(&mut *store, &first, &seen, true);
    // 10.0.0.1 is gone; 10.0.0.2 was not asked, so that the first run stays.
    let second = run("b", at(100));
    let mut none = std::iter::empty();
    let asked = |endpoint: &model::Endpoint| *endpoint == server(1);
    assert_eq!(store.ingest(&second, &mut none, &asked).unwrap().gone, 1);
    assert_eq!(store.prune(at(1_000)).unwrap(), []);
    assert_eq!(store.count(&Query::All, View::Current).unwrap(), 1);
    // A third run saw the other: now both may go, and nothing is left of what is gone.
    let third = run("c", at(200));
    ingest(
        &mut *store,
        &third,
        &[observation(&third, server(2), at(201))],
        false,
    );
    assert_eq!(ids(&store.prune(at(1_000)).unwrap()), ["a", "b"]);
    assert_eq!(store.history(&server(1)).unwrap(), []);
    assert_eq!(store.count(&Query::All, View::Current).unwrap(), 1);
}
