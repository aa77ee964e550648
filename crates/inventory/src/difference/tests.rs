//! Cases and laws of comparisons.

use std::collections::BTreeSet;
use std::time::Duration;

use model::Transport;
use proptest::prelude::*;

use super::*;
use crate::samples;

/// An observation with these facts, of which `verdict` is one.
fn seen(last: u8, facts: &[(&str, &str)]) -> Observation {
    let mut seen = Observation::of(&samples::exposed_udp());
    seen.endpoint = samples::endpoint(last, Transport::Udp);
    let owned = facts
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    seen.stable = owned.collect();
    let verdict = seen.stable.get("verdict").map(String::as_str);
    seen.verdict = verdict.and_then(Verdict::from_word);
    seen
}

fn asked(_: &Endpoint) -> Coverage {
    Coverage::Asked
}

/// Facts of one side; none if it has no row of the endpoint.
type Known = &'static [(&'static str, &'static str)];

/// One word for what became of a single endpoint, and the names of what changed.
fn outcome(before: &[(&str, &str)], after: &[(&str, &str)], coverage: Coverage) -> String {
    let side = |facts: &[(&str, &str)]| match facts {
        [] => Vec::new(),
        facts => vec![seen(1, facts)],
    };
    let difference = Difference::between(&side(before), &side(after), &|_| coverage);
    let mut words = Vec::new();
    for (word, rows) in [
        ("new", &difference.new),
        ("gone", &difference.gone),
        ("not asked", &difference.not_asked),
        ("unknown", &difference.unknown),
    ] {
        words.extend(rows.iter().map(|_| word.to_owned()));
    }
    words.extend((0..difference.same).map(|_| "same".to_owned()));
    for change in &difference.changed {
        words.push("changed".to_owned());
        words.extend(change.fields.iter().map(|field| field.name.clone()));
        words.extend(change.gained.iter().map(|field| format!("+{}", field.name)));
        words.extend(change.lost.iter().map(|field| format!("-{}", field.name)));
    }
    words.join(" ")
}

#[test]
fn each_fate_of_an_endpoint() {
    use Coverage::{Asked, NotAsked, Unknown};
    let exposed: Known = &[("verdict", "exposed"), ("version", "1.4.15")];
    let closed: Known = &[("verdict", "closed")];
    let cases: [(Known, Known, Coverage, &str); 17] = [
        (exposed, exposed, Asked, "same"),
        (&[], exposed, Unknown, "new"),
        (exposed, &[], Asked, "gone"),
        (exposed, &[], NotAsked, "not asked"),
        (exposed, &[], Unknown, "unknown"),
        // Known to be gone: a row without a verdict.
        (exposed, &[("x", "y")], NotAsked, "gone"),
        (&[("x", "y")], exposed, Asked, "new"),
        (&[("x", "y")], &[("x", "z")], Asked, ""),
        // Recorded only because the run was asked to record everything.
        (&[], closed, Asked, ""),
        (closed, &[], Asked, ""),
        (exposed, closed, Asked, "changed verdict version"),
        (closed, exposed, Asked, "changed verdict version"),
        (
            &[("verdict", "exposed"), ("finding:MS001", "high confirmed")],
            &[("verdict", "exposed"), ("finding:MS002", "high confirmed")],
            Asked,
            "changed +finding:MS002 -finding:MS001",
        ),
        (
            &[("verdict", "exposed"), ("finding:MS001", "high confirmed")],
            &[("verdict", "exposed"), ("finding:MS001", "info confirmed")],
            Asked,
            "changed finding:MS001",
        ),
        // A listing that was lost is no change; one row of a listing that was read is.
        (
            &[
                ("verdict", "exposed"),
                ("setting:inter", "x"),
                ("stat:threads", "4"),
            ],
            &[("verdict", "exposed")],
            Asked,
            "same",
        ),
        (
            &[
                ("verdict", "exposed"),
                ("setting:a", "x"),
                ("setting:b", "y"),
            ],
            &[
                ("verdict", "exposed"),
                ("setting:b", "y"),
                ("setting:c", "z"),
            ],
            Asked,
            "changed setting:a setting:c",
        ),
        // What a deadline cut off may be there.
        (
            &[
                ("verdict", "exposed"),
                ("version", "1.4.15"),
                ("finding:MS001", "high likely"),
            ],
            &[("verdict", "unfinished")],
            Asked,
            "changed verdict",
        ),
    ];
    for (before, after, coverage, expected) in cases {
        assert_eq!(
            outcome(before, after, coverage),
            expected,
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn a_restart_is_another_process_that_began_at_another_time() {
    let cases = [
        (Some(1), Some(100), Some(1), Some(100), false),
        (Some(1), Some(100), Some(2), Some(200), true),
        (Some(1), Some(100), Some(2), Some(97), true),
        (Some(1), Some(100), Some(2), Some(102), false),
        (Some(1), Some(100), Some(1), Some(200), false),
        (None, Some(100), Some(2), Some(200), false),
        (Some(1), None, Some(2), Some(200), false),
        (Some(1), Some(i64::MIN), Some(2), Some(i64::MAX), true),
    ];
    for (pid_before, start_before, pid_after, start_after, expected) in cases {
        let mut before = seen(1, &[("verdict", "exposed")]);
        let mut after = before.clone();
        (before.pid, before.process_start_unix_s) = (pid_before, start_before);
        (after.pid, after.process_start_unix_s) = (pid_after, start_after);
        let difference = Difference::between(&[before], &[after], &asked);
        let restarted: Vec<bool> = difference.changed.iter().map(|one| one.restarted).collect();
        let expected = if expected { vec![true] } else { vec![] };
        assert_eq!(restarted, expected, "{pid_before:?} {start_before:?}");
    }
}

#[test]
fn the_last_row_of_an_endpoint_counts() {
    let first = seen(1, &[("verdict", "exposed")]);
    let last = seen(1, &[("verdict", "protected")]);
    let before = [last.clone()];
    let difference = Difference::between(&before, &[first, last], &asked);
    assert_eq!((difference.is_empty(), difference.same), (true, 1));
}

#[test]
fn rows_without_facts_at_hand_still_tell_the_verdicts() {
    let before = Row::of(&seen(1, &[("verdict", "exposed")]));
    let after = Row::of(&seen(1, &[("verdict", "protected")]));
    let difference = compare([before], [after], &asked).detail(&|_| None);
    let change = &difference.changed[0];
    assert_eq!(change.verdict_before, Some(Verdict::Exposed));
    assert_eq!(change.verdict_after, Some(Verdict::Protected));
}

#[test]
fn a_hundred_thousand_endpoints_a_side_need_no_facts_but_of_what_differs() {
    let row = |number: u32| Row {
        endpoint: Endpoint::new(
            model::Address::from_ip(std::net::Ipv4Addr::from(0x0a00_0000 + number).into()),
            11211,
            Transport::Tcp,
        ),
        digest: u64::from(number),
        verdict: Some(Verdict::Exposed),
        pid: None,
        process_start_unix_s: None,
    };
    let before = (0..100_000).rev().map(row);
    let after = (10..100_010).map(row).map(|mut row| {
        row.digest += u64::from(row.digest == 50_000);
        row
    });
    let comparison = compare(before, after, &asked);
    let counts = [
        comparison.new.len(),
        comparison.gone.len(),
        comparison.differing.len(),
    ];
    assert_eq!((counts, comparison.same), ([10, 10, 1], 99_989));
    let asked_for = std::cell::Cell::new(0);
    comparison.detail(&|_| {
        asked_for.set(asked_for.get() + 1);
        None
    });
    assert_eq!(asked_for.get(), 1);
}

/// What a reader of the difference believes the later run to be: facts by endpoint.
fn applied(before: &[Observation], difference: &Difference) -> BTreeMap<Endpoint, Stable> {
    let mut state: BTreeMap<Endpoint, Stable> = before
        .iter()
        .map(|one| (one.endpoint.clone(), one.stable.clone()))
        .collect();
    for row in &difference.gone {
        state.remove(&row.endpoint);
    }
    for change in &difference.changed {
        let facts = state.entry(change.endpoint.clone()).or_default();
        let parts = [&change.fields, &change.gained, &change.lost];
        for field in parts.into_iter().flatten() {
            assert_eq!(facts.get(&field.name), field.before.as_ref());
            match &field.after {
                Some(value) => facts.insert(field.name.clone(), value.clone()),
                None => facts.remove(&field.name),
            };
        }
    }
    state
}

type Stable = BTreeMap<String, String>;

fn any_run() -> impl Strategy<Value = Vec<Observation>> {
    let fact = prop::sample::select(vec![
        ("version", "1.4.15"),
        ("version", "1.6.18"),
        ("finding:MS001", "high confirmed"),
        ("finding:MS001", "info likely"),
        ("finding:MS002", "high likely"),
        ("setting:inter", "0.0.0.0"),
        ("setting:inter", "127.0.0.1"),
        ("setting:udpport", "0"),
    ]);
    let verdict = prop::sample::select(vec!["exposed", "protected", "other"]);
    let facts = (verdict, prop::collection::vec(fact, 0..6));
    let endpoint = (0u8..8, facts, 0u64..2, 0i64..3);
    prop::collection::vec(endpoint, 0..8).prop_map(|endpoints| {
        let mut taken = BTreeSet::new();
        let mut run = Vec::new();
        for (last, (verdict, mut facts), pid, start) in endpoints {
            facts.push(("verdict", verdict));
            if taken.insert(last) {
                let mut one = seen(last, &facts);
                (one.pid, one.process_start_unix_s) = (Some(pid), Some(start * 2));
                run.push(one);
            }
        }
        run
    })
}

fn endpoints(rows: &[Row]) -> Vec<Endpoint> {
    rows.iter().map(|row| row.endpoint.clone()).collect()
}

proptest! {
    #[test]
    fn a_run_does_not_differ_from_itself(run in any_run()) {
        let later: Vec<Observation> = run
            .iter()
            .cloned()
            .map(|mut one| {
                one.seen += Duration::from_secs(60);
                one
            })
            .collect();
        let difference = Difference::between(&run, &later, &asked);
        prop_assert!(difference.is_empty());
        prop_assert_eq!(difference.same, run.len() as u64);
    }

    #[test]
    fn what_is_new_one_way_is_gone_the_other(before in any_run(), after in any_run()) {
        let there = Difference::between(&before, &after, &asked);
        let back = Difference::between(&after, &before, &asked);
        prop_assert_eq!(endpoints(&there.new), endpoints(&back.gone));
        prop_assert_eq!(endpoints(&there.gone), endpoints(&back.new));
        prop_assert_eq!(there.changed.len(), back.changed.len());
        prop_assert_eq!(there.same, back.same);
        let restarts = |difference: &Difference| {
            let changed = difference.changed.iter();
            changed.filter(|change| change.restarted).count()
        };
        prop_assert_eq!(restarts(&there), restarts(&back));
    }

    #[test]
    fn a_run_with_its_difference_is_the_next_run(before in any_run(), after in any_run()) {
        let difference = Difference::between(&before, &after, &asked);
        let mut state = applied(&before, &difference);
        for row in &difference.new {
            prop_assert!(!state.contains_key(&row.endpoint));
        }
        for one in &after {
            let Some(facts) = state.remove(&one.endpoint) else {
                prop_assert!(endpoints(&difference.new).contains(&one.endpoint));
                continue;
            };
            // Listings that one side did not read are left as they were.
            let reads = |facts: &Stable| facts.keys().any(|name| name.starts_with(SETTING_PREFIX));
            let before = before.iter().find(|earlier| earlier.endpoint == one.endpoint).unwrap();
            let both = reads(&before.stable) && reads(&one.stable);
            let comparable = |facts: &Stable| -> Stable {
                let kept = facts.iter().filter(|(name, _)| both || !name.starts_with(SETTING_PREFIX));
                kept.map(|(name, value)| (name.clone(), value.clone())).collect()
            };
            prop_assert_eq!(comparable(&facts), comparable(&one.stable));
        }
        prop_assert!(state.is_empty());
    }
}
