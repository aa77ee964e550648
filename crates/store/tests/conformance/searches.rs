//! Limits, facets and what a search tells.

use std::ops::ControlFlow;

use inventory::{Facet, FacetCounts, Query, Term};
use model::Transport;
use store::{StoreError, View};

use crate::samples::{at, endpoint, observation, run};
use crate::{Place, ingest, on_both};

on_both!(
    a_limit_takes_the_first_addresses,
    a_reader_can_end_the_search,
    facets_count_each_value,
    a_run_that_is_not_known_is_an_error,
);

/// Six servers: two transports each at 10.0.0.0, 10.0.1.0 and 10.0.2.0.
fn six(place: &Place) -> Box<dyn store::Store> {
    let mut store = place.open();
    let run = run("a", at(0));
    let mut observations = Vec::new();
    for number in [2, 0, 1] {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut seen = observation(&run, endpoint(number << 8, transport), at(1));
            if number == 2 {
                seen.version = None;
                seen.findings.truncate(1);
                seen.tags = vec!["b".to_owned(), "a".to_owned()];
                seen.hostname = None;
            }
            observations.push(seen);
        }
    }
    ingest(&mut *store, &run, &observations, true);
    store
}

fn found(store: &mut dyn store::Store, limit: Option<u64>, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut each = |one: store::Found| {
        found.push(one.endpoint.to_string());
        if found.len() == most {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store
        .find(&Query::All, View::Current, limit, &mut each)
        .unwrap();
    found
}

fn a_limit_takes_the_first_addresses(place: &Place) {
    let mut store = six(place);
    let first = [
        "10.0.0.0:11211/tcp",
        "10.0.0.0:11211/udp",
        "10.0.1.0:11211/tcp",
    ];
    assert_eq!(found(&mut *store, Some(3), usize::MAX), first);
    assert_eq!(found(&mut *store, Some(0), usize::MAX), [""; 0]);
    assert_eq!(found(&mut *store, Some(u64::MAX), usize::MAX).len(), 6);
}

fn a_reader_can_end_the_search(place: &Place) {
    let mut store = six(place);
    assert_eq!(found(&mut *store, None, 2).len(), 2);
    assert_eq!(found(&mut *store, None, usize::MAX).len(), 6);
}

fn facets_count_each_value(place: &Place) {
    type Counted = &'static [(Option<&'static str>, u64)];
    let mut store = six(place);
    let cases: [(Facet, Counted); 17] = [
        (Facet::Port, &[(Some("11211"), 6)]),
        (Facet::Transport, &[(Some("tcp"), 3), (Some("udp"), 3)]),
        (Facet::Verdict, &[(Some("exposed"), 6)]),
        (Facet::Version, &[(Some("1.5.6"), 4), (None, 2)]),
        (Facet::Auth, &[(Some("none"), 6)]),
        (Facet::Protocol, &[(Some("ascii"), 6)]),
        (Facet::Source, &[(Some("memsweep"), 6)]),
        (Facet::Code, &[(Some("MS001"), 6), (Some("MS003"), 4)]),
        (Facet::Severity, &[(Some("high"), 6)]),
        (Facet::Asn, &[(Some("AS64500"), 6)]),
        (Facet::Alarm, &[(Some("yes"), 6)]),
        (Facet::Run, &[(Some("a"), 6)]),
        (Facet::Country, &[(Some("JP"), 6)]),
        (Facet::Owner, &[(Some("NOC One"), 6)]),
        (
            Facet::Tag,
            &[(Some("production"), 4), (Some("a"), 2), (Some("b"), 2)],
        ),
        (Facet::Host, &[(Some("Cache1.example.org"), 4), (None, 2)]),
        (
            Facet::Net(23),
            &[(Some("10.0.0.0/23"), 4), (Some("10.0.2.0/23"), 2)],
        ),
    ];
    let facets: Vec<Facet> = cases.iter().map(|(facet, _)| *facet).collect();
    let counted = store.facets(&Query::All, View::Current, &facets).unwrap();
    for ((facet, expected), counted) in cases.iter().zip(counted) {
        assert_eq!(counted, counts(*facet, expected), "{facet:?}");
    }
    let udp = Query::Term(Term::Transport(Transport::Udp));
    for view in [View::Current, View::Run("a"), View::At(at(1))] {
        let counted = store.facets(&udp, view, &[Facet::Transport]).unwrap();
        assert_eq!(counted, [counts(Facet::Transport, &[(Some("udp"), 3)])]);
    }
    let before = store.facets(&udp, View::At(at(0)), &[Facet::Transport]);
    assert_eq!(before.unwrap(), [FacetCounts::new(Facet::Transport)]);
}

fn counts(facet: Facet, values: &[(Option<&str>, u64)]) -> FacetCounts {
    let mut counts = FacetCounts::new(facet);
    for (value, count) in values {
        match value {
            Some(value) => counts.add_value((*value).to_owned(), *count),
            None => counts.add_unknown(*count),
        }
    }
    counts
}

fn a_run_that_is_not_known_is_an_error(place: &Place) {
    let mut store = six(place);
    let error = store.count(&Query::All, View::Run("b")).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRun(_)), "{error}");
    assert!(store.rows_of_run("b").is_err());
}
