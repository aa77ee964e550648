//! What is current, what was, what is gone; whatever the order in which runs come.

use inventory::{OWN_SOURCE, Observation, Query, RunKind, StoredRun};
use model::{Endpoint, Transport, Verdict};
use store::{Past, Store, StoreError, View};

use crate::samples::{at, document, endpoint, observation, run};
use crate::{Place, ingest, on_both, try_ingest};

on_both!(
    the_latest_is_current_in_any_order_of_runs,
    a_run_that_comes_again_replaces_itself,
    what_was_asked_and_is_not_there_is_gone,
    a_resumed_run_takes_nothing_from_the_one_it_continues,
    what_fails_leaves_nothing,
    sources_do_not_touch_each_other,
    records_come_back_as_they_were_written,
);

fn one(number: u32) -> Endpoint {
    endpoint(number, Transport::Tcp)
}

/// What is known of an endpoint: run, when, first, verdict.
fn past(past: &Past) -> (String, u64, u64, Option<Verdict>) {
    let seconds = |time: std::time::SystemTime| time.duration_since(at(0)).unwrap().as_secs();
    (
        past.run.to_string(),
        seconds(past.seen),
        seconds(past.first_seen),
        past.verdict,
    )
}

fn history(store: &mut dyn Store, endpoint: &Endpoint) -> Vec<(String, u64, u64, Option<Verdict>)> {
    store.history(endpoint).unwrap().iter().map(past).collect()
}

fn current(store: &mut dyn Store, view: View<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut each = |one: store::Found| {
        found.push(format!("{} {}", one.endpoint.address, one.run));
        std::ops::ControlFlow::Continue(())
    };
    store.find(&Query::All, view, None, &mut each).unwrap();
    found
}

fn the_latest_is_current_in_any_order_of_runs(place: &Place) {
    let runs = ["a", "b", "c"].map(|id| run(id, at(0)));
    let seen = [10, 20, 30];
    let exposed = Some(Verdict::Exposed);
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let mut store = place.open();
    for (number, order) in orders.into_iter().enumerate() {
        let server = one(u32::try_from(number).unwrap());
        for index in order {
            let run = StoredRun {
                run: format!("{}{number}", runs[index].run).into(),
                ..runs[index].clone()
            };
            ingest(
                &mut *store,
                &run,
                &[observation(&run, server.clone(), at(seen[index]))],
                false,
            );
        }
        let expected = ["a", "b", "c"]
            .iter()
            .zip(seen)
            .map(|(id, seen)| (format!("{id}{number}"), seen, 10, exposed))
            .collect::<Vec<_>>();
        assert_eq!(history(&mut *store, &server), expected, "{order:?}");
        let known = store.current_of(&server, OWN_SOURCE).unwrap().unwrap();
        assert_eq!(&*known.run, format!("c{number}"), "{order:?}");
    }
    let then = current(&mut *store, View::At(at(29)));
    assert!(
        then.len() == 6 && then.iter().all(|one| one.contains(" b")),
        "{then:?}"
    );
    assert_eq!(current(&mut *store, View::At(at(9))), [""; 0]);
}

fn a_run_that_comes_again_replaces_itself(place: &Place) {
    let mut store = place.open();
    let (first, second) = (run("a", at(0)), run("b", at(100)));
    let old = observation(&first, one(1), at(1));
    let new = observation(&second, one(1), at(101));
    for _ in 0..2 {
        ingest(
            &mut *store,
            &first,
            &[old.clone(), observation(&first, one(2), at(2))],
            true,
        );
    }
    for _ in 0..2 {
        let ingested = ingest(&mut *store, &second, std::slice::from_ref(&new), true);
        assert_eq!((ingested.observations, ingested.gone), (1, 1));
    }
    let exposed = Some(Verdict::Exposed);
    let both = [
        ("a".to_owned(), 1, 1, exposed),
        ("b".to_owned(), 101, 1, exposed),
    ];
    assert_eq!(history(&mut *store, &one(1)), both);
    assert_eq!(history(&mut *store, &one(2)).len(), 2);
    // What only the first run knew is forgotten with it, and what it knew first is no longer first.
    ingest(&mut *store, &first, &[], false);
    assert_eq!(
        history(&mut *store, &one(1)),
        [("b".to_owned(), 101, 101, exposed)]
    );
    // The latest run turns out not to have seen it.
    ingest(&mut *store, &first, &[old], false);
    ingest(&mut *store, &second, &[], false);
    assert_eq!(history(&mut *store, &one(1)), both[..1]);
    assert_eq!(current(&mut *store, View::Current), ["10.0.0.1 a"]);
}

fn what_was_asked_and_is_not_there_is_gone(place: &Place) {
    let mut store = place.open();
    let runs = [("a", 0), ("b", 100), ("c", 200)].map(|(id, started)| run(id, at(started)));
    let seen: Vec<Observation> = (1..=3)
        .map(|number| observation(&runs[0], one(number), at(1)))
        .collect();
    ingest(&mut *store, &runs[0], &seen, true);
    // The second run asked 10.0.0.1 and 10.0.0.2, and only the first of them answered.
    let there = observation(&runs[1], one(1), at(101));
    let asked = |endpoint: &Endpoint| *endpoint != one(3);
    let ingested = try_ingest(&mut *store, &runs[1], &[there], &asked).unwrap();
    assert_eq!((ingested.observations, ingested.gone), (1, 1));
    assert_eq!(
        current(&mut *store, View::Current),
        ["10.0.0.1 b", "10.0.0.3 a"]
    );
    assert_eq!(current(&mut *store, View::Run("b")), ["10.0.0.1 b"]);
    assert_eq!(
        current(&mut *store, View::At(at(100))),
        ["10.0.0.1 a", "10.0.0.2 a", "10.0.0.3 a"]
    );
    assert_eq!(
        current(&mut *store, View::At(at(105))),
        ["10.0.0.1 b", "10.0.0.3 a"]
    );
    let gone = store.current_of(&one(2), OWN_SOURCE).unwrap().unwrap();
    assert_eq!(past(&gone), ("b".to_owned(), 105, 1, None));
    assert_eq!(gone.document, None);
    // It is back, and was seen first when it was seen first.
    ingest(
        &mut *store,
        &runs[2],
        &[observation(&runs[2], one(2), at(201))],
        false,
    );
    let back = store.current_of(&one(2), OWN_SOURCE).unwrap().unwrap();
    assert_eq!(
        past(&back),
        ("c".to_owned(), 201, 1, Some(Verdict::Exposed))
    );
    assert_eq!(history(&mut *store, &one(2)).len(), 3);
}

fn a_resumed_run_takes_nothing_from_the_one_it_continues(place: &Place) {
    let mut store = place.open();
    let (old, broken) = (run("a", at(0)), run("b", at(100)));
    let resumed = StoredRun {
        resumed_from: Some("b".into()),
        ..run("c", at(200))
    };
    let seen = [
        observation(&old, one(1), at(1)),
        observation(&old, one(2), at(1)),
    ];
    ingest(&mut *store, &old, &seen, true);
    ingest(
        &mut *store,
        &broken,
        &[observation(&broken, one(1), at(101))],
        false,
    );
    let ingested = ingest(&mut *store, &resumed, &[], true);
    assert_eq!(ingested.gone, 1);
    assert_eq!(current(&mut *store, View::Current), ["10.0.0.1 b"]);
}

fn what_fails_leaves_nothing(place: &Place) {
    let mut store = place.open();
    let run = run("a", at(0));
    let good = (0..3_000).map(|number| {
        let seen = observation(&run, one(number), at(1));
        let document = document(&seen);
        Ok((seen, document))
    });
    let mut observations = good.chain([Err("line 3001 is no record".into())]);
    let result = store.ingest(&run, &mut observations, &|_| true);
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::Supplier(_)), "{error}");
    assert_eq!(error.to_string(), "line 3001 is no record");
    assert_eq!(store.runs(None).unwrap(), []);
    assert_eq!(store.count(&Query::All, View::Current).unwrap(), 0);
    ingest(&mut *store, &run, &[observation(&run, one(1), at(1))], true);
    assert_eq!(store.count(&Query::All, View::Current).unwrap(), 1);
}

fn sources_do_not_touch_each_other(place: &Place) {
    let mut store = place.open();
    let own = run("b", at(100));
    let import = StoredRun {
        kind: RunKind::Import,
        source: "shodan".into(),
        ..run("a", at(0))
    };
    let seen = [
        observation(&import, one(1), at(1)),
        observation(&import, one(2), at(1)),
    ];
    ingest(&mut *store, &import, &seen, true);
    ingest(
        &mut *store,
        &own,
        &[observation(&own, one(1), at(101))],
        true,
    );
    assert_eq!(
        current(&mut *store, View::Current),
        ["10.0.0.1 b", "10.0.0.1 a", "10.0.0.2 a"]
    );
    let known = store.current_of(&one(1), "shodan").unwrap().unwrap();
    assert_eq!((&*known.run, &*known.source), ("a", "shodan"));
    assert_eq!(store.current_of(&one(3), "shodan").unwrap(), None);
}

fn records_come_back_as_they_were_written(place: &Place) {
    let mut store = place.open();
    let run = run("a", at(0));
    let observations: Vec<Observation> = [3, 1, 2]
        .map(|number| {
            let mut seen = observation(&run, one(number), at(1));
            seen.version = Some(format!("1.5.{number}\0\u{1f600}\n\"'; --"));
            seen.hostname = Some("%_\\\n\t".to_owned());
            seen.process_start_unix_s = Some(i64::MIN);
            seen
        })
        .into();
    ingest(&mut *store, &run, &observations, true);
    let mut documents = Vec::new();
    let mut each = |document: &str| {
        documents.push(document.to_owned());
        std::ops::ControlFlow::Continue(())
    };
    store.documents_of_run("a", &mut each).unwrap();
    assert_eq!(
        documents,
        observations.iter().map(document).collect::<Vec<_>>()
    );
    let rows = store.rows_of_run("a").unwrap();
    let mut expected: Vec<inventory::Row> = observations.iter().map(inventory::Row::of).collect();
    expected.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
    assert_eq!(rows, expected);
    let mut documents = Vec::new();
    let mut each = |endpoint: &Endpoint, text: &str| {
        documents.push((endpoint.clone(), text.to_owned()));
        std::ops::ControlFlow::Continue(())
    };
    let wanted = [one(2), one(9), one(3)];
    store
        .documents_of_endpoints("a", &wanted, &mut each)
        .unwrap();
    let expected =
        [&observations[2], &observations[0]].map(|seen| (seen.endpoint.clone(), document(seen)));
    assert_eq!(documents, expected);
}
