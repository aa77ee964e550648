//! What is reported is true, in calm and in storm.

use std::time::Duration;

use model::{Evidence, Impression, Transport, Verdict};
use sim::world::{Inhabitant, Weather};

use crate::{Ground, check_once_each, counted};

/// Everything that a bad network does, at once.
const STORM: Weather = Weather {
    loss_permille: 150,
    duplication_permille: 100,
    jitter: Duration::from_millis(60),
    round_trip: Duration::from_millis(80),
    spoofed_pps: 400,
};

#[test]
fn in_calm_every_verdict_is_the_true_one() {
    for seed in 0..40 {
        let mut ground = Ground::new(seed, Weather::CALM);
        let told = ground.scan();
        check_once_each(&ground, &told);
        for record in &told.records {
            let truth = ground.truth(&record.endpoint);
            assert_eq!(
                record.judgement.verdict,
                truth,
                "{}",
                ground.describe(record)
            );
        }
        assert_eq!(told.summary.verdicts, counted(&told.records));
        assert!(told.summary.complete);
        // A dripping server keeps its secret, so that the outcome is not complete.
        assert!(!told.outcome.complete && !told.outcome.interrupted);
        let alarms = told.records.iter().filter(|record| record.alarm).count() as u64;
        assert_eq!((told.outcome.alarms, told.summary.alarms), (alarms, alarms));
        assert!(alarms > 0);
        ground.check_sent();
    }
}

#[test]
fn in_storm_nothing_untrue_is_reported() {
    let (mut spoofed, mut accepting, mut unheard) = (0, 0, 0);
    for seed in 0..40 {
        let mut ground = Ground::new(seed, STORM);
        let told = ground.scan();
        check_once_each(&ground, &told);
        for record in &told.records {
            let truth = ground.truth(&record.endpoint);
            let verdict = record.judgement.verdict;
            let is_tcp = record.endpoint.transport == Transport::Tcp;
            let accepts = is_tcp && !is_unheard(truth);
            let is_fair = match verdict {
                _ if verdict == truth => true,
                // Loss can make silence of anything.
                Verdict::Filtered => is_tcp,
                Verdict::Silent => !is_tcp,
                Verdict::Unfinished => !is_unheard(truth),
                // It accepted, and all its words were lost or came too late.
                Verdict::Other if accepts => true,
                // A forged datagram makes of a silent UDP port one that says something.
                Verdict::Other => is_foreign(&record.evidence),
                // A decoy executes commands, too: what gives it away may be lost.
                Verdict::Exposed => truth == Verdict::Decoy,
                _ => false,
            };
            assert!(is_fair, "not {truth}: {}", ground.describe(record));
            accepting += u64::from(accepts);
            unheard += u64::from(accepts && truth != verdict && verdict == Verdict::Other);
        }
        assert_eq!(told.summary.verdicts, counted(&told.records));
        ground.check_sent();
        spoofed += ground.world.spoofed();
    }
    assert!(spoofed > 10_000, "{spoofed}");
    // Loss of 15 % each way: seldom is nothing heard of what accepts.
    assert!(unheard * 25 <= accepting, "{unheard} of {accepting}");
}

/// Whether nobody is there who could say anything.
fn is_unheard(truth: Verdict) -> bool {
    use Verdict::{Absent, Closed, Filtered, Silent};
    matches!(truth, Closed | Filtered | Silent | Absent)
}

fn impression(evidence: &Evidence) -> Option<&Impression> {
    evidence.dialogue.as_deref()?.impression.as_ref()
}

fn is_foreign(evidence: &Evidence) -> bool {
    matches!(impression(evidence), Some(Impression::ForeignDatagram(_)))
}

/// What is not ours is counted, and the host that sent it is no server of ours.
#[test]
fn answers_with_wrong_ids_are_counted_and_not_believed() {
    let mut ground = Ground::new(3, Weather::CALM);
    let told = ground.scan();
    let wrong = |record: &&model::Record| {
        record.endpoint.transport == Transport::Udp
            && ground.inhabitants.get(&crate::place_of(&record.endpoint))
                == Some(&Inhabitant::WrongId)
    };
    let records: Vec<_> = told.records.iter().filter(wrong).collect();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record.judgement.verdict, Verdict::Other);
        assert!(record.judgement.findings.is_empty());
    }
    assert!(
        told.summary.rejected_replies >= 8,
        "each send of both was answered"
    );
}
