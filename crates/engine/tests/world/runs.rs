//! Runs: repeatable, to be interrupted and continued, and patient with what comes late.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use engine::{Event, scan};
use model::{Endpoint, Record, Transport, Verdict};
use sim::world::{Inhabitant, Weather, World};
use sockets::{Network, Plan, Sink, SocketError, Tally, TimeoutPolicy};
use targets::{Order, Permit, Shard};

use crate::{Checkpoint, Ground, RATE_PPS, Told, check_once_each, counted, place_of};

const ROUGH: Weather = Weather {
    loss_permille: 30,
    duplication_permille: 20,
    jitter: Duration::from_millis(15),
    round_trip: Duration::from_millis(40),
    spoofed_pps: 50,
};

/// Records without what differs between two runs of the same world: the time of day.
fn timeless(records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    for record in &mut records {
        record.timestamp = SystemTime::UNIX_EPOCH;
    }
    records
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in [1, 2, 3] {
        let (mut first, mut second) = (Ground::new(seed, ROUGH), Ground::new(seed, ROUGH));
        let (one, other) = (first.scan(), second.scan());
        assert_eq!(
            timeless(&one.records),
            timeless(&other.records),
            "seed {seed}"
        );
        assert_eq!(first.world.sent(), second.world.sent(), "seed {seed}");
        assert_eq!(one.summary.duration, other.summary.duration, "seed {seed}");
    }
    let (one, other) = (Ground::new(4, ROUGH).scan(), Ground::new(5, ROUGH).scan());
    assert_ne!(timeless(&one.records), timeless(&other.records));
}

#[test]
fn shards_are_disjoint_and_complete() {
    let whole = verdicts(&Ground::new(7, Weather::CALM).scan().records);
    let mut parts = BTreeMap::new();
    for index in 1..=3 {
        let mut ground = Ground::new(7, Weather::CALM);
        let shard = Shard { index, of: 3 };
        ground.job.plan.order = Order::new(ground.permit.pairs(), 7, shard, 0);
        let told = ground.scan();
        for (endpoint, verdict) in verdicts(&told.records) {
            assert_eq!(
                parts.insert(endpoint.clone(), verdict),
                None,
                "{endpoint} twice"
            );
        }
    }
    assert_eq!(parts, whole);
}

fn verdicts(records: &[Record]) -> BTreeMap<Endpoint, Verdict> {
    let verdict = |record: &Record| (record.endpoint.clone(), record.judgement.verdict);
    records.iter().map(verdict).collect()
}

/// The job of a run that continues from here.
fn continue_from(ground: &mut Ground, checkpoint: &Checkpoint) {
    let pairs = ground.permit.pairs();
    let order = Order::new(pairs, ground.job.run.seed, Shard::ALL, checkpoint.counter);
    ground.job.plan.order = order;
    ground.job.plan.again = checkpoint.pending.clone();
    ground.job.verdicts_before = checkpoint.verdicts;
    ground.job.alarms_before = checkpoint.alarms;
}

/// Stops after so many records.
fn interrupted(ground: &mut Ground, after_records: usize) -> Told {
    let mut seen = 0;
    let told = ground.scan_until(&mut |event| {
        seen += usize::from(matches!(event, Event::Record(_)));
        seen >= after_records
    });
    assert!(told.outcome.interrupted && !told.outcome.complete && !told.summary.complete);
    told
}

#[test]
fn an_interrupted_run_is_continued_exactly() {
    for seed in 0..12 {
        let mut ground = Ground::new(seed, Weather::CALM);
        let mut records = Vec::new();
        let mut stops = 0;
        for after_records in [20, 60, 120] {
            let told = interrupted(&mut ground, after_records);
            let unfinished = |record: &&Record| record.judgement.verdict == Verdict::Unfinished;
            assert_eq!(
                told.records.iter().filter(unfinished).count(),
                0,
                "nobody was named"
            );
            let checkpoint = Checkpoint {
                counter: told.summary.counter,
                pending: told.summary.pending.clone(),
                verdicts: told.summary.verdicts,
                alarms: told.summary.alarms,
                recorded: told.records.len(),
            };
            stops += usize::from(!checkpoint.pending.is_empty());
            continue_from(&mut ground, &checkpoint);
            records.extend(told.records);
        }
        let last = ground.scan();
        assert!(last.summary.complete && stops == 3, "seed {seed}: {stops}");
        let mut told = last;
        records.append(&mut told.records);
        told.records = records;
        check_once_each(&ground, &told);
        assert_eq!(told.summary.verdicts, counted(&told.records), "seed {seed}");
        let alarms = told.records.iter().filter(|record| record.alarm).count() as u64;
        assert_eq!((told.summary.alarms, told.outcome.alarms), (alarms, alarms));
        assert!(alarms > 0, "seed {seed}");
        for record in &told.records {
            let truth = ground.truth(&record.endpoint);
            let kind = ground.inhabitants.get(&place_of(&record.endpoint));
            let is_true = match record.judgement.verdict {
                verdict if verdict == truth => true,
                // TCP settles it, and may have been asked in another run.
                Verdict::Silent => kind == Some(&Inhabitant::OpenTcpUdpSettled),
                // What gives a decoy away was still to be asked.
                Verdict::Exposed => truth == Verdict::Decoy,
                _ => false,
            };
            assert!(is_true, "not {truth}: {}", ground.describe(record));
        }
        ground.check_sent();
    }
}

/// A machine that loses its power leaves the last checkpoint and the records told before it:
/// together with the run that continues it, no endpoint is left out. Only silence, which is told at
/// the end of a run, may have been counted and not told.
#[test]
fn a_run_that_broke_off_is_continued_from_its_checkpoint() {
    let whole = slow_ground().scan();
    assert!(whole.checkpoints.len() >= 3, "{}", whole.checkpoints.len());
    for checkpoint in &whole.checkpoints {
        let mut ground = slow_ground();
        continue_from(&mut ground, checkpoint);
        let rest = ground.scan();
        assert!(rest.summary.complete);
        let mut told = verdicts(&whole.records[..checkpoint.recorded]);
        told.extend(verdicts(&rest.records));
        for (endpoint, verdict) in verdicts(&whole.records) {
            let is_told = told.get(&endpoint) == Some(&verdict);
            let is_held = verdict == Verdict::Silent || verdict == Verdict::Other;
            // TCP settles it, and was asked before the break.
            let kind = ground.inhabitants.get(&place_of(&endpoint));
            let is_unsettled = kind == Some(&Inhabitant::OpenTcpUdpSettled)
                && told.get(&endpoint) == Some(&Verdict::Silent);
            assert!(
                is_told || is_held || is_unsettled,
                "{endpoint} {verdict}: {checkpoint:?}"
            );
        }
        assert!(rest.summary.verdicts.total() >= whole.summary.verdicts.total());
    }
}

/// A machine whose sockets stop working when the sweep is nearly done.
struct Breaks<'a>(&'a mut World);

impl Network for Breaks<'_> {
    fn sweep(
        &mut self,
        plan: &Plan,
        permit: &Permit,
        sink: &mut dyn Sink,
    ) -> Result<Tally, SocketError> {
        self.0.sweep(plan, permit, sink)?;
        Err(SocketError::System {
            what: "epoll_wait",
            error: std::io::ErrorKind::OutOfMemory.into(),
        })
    }
}

#[test]
fn what_was_found_is_told_when_the_sockets_break() {
    let whole = slow_ground().scan();
    let mut ground = slow_ground();
    let (mut records, mut summary) = (Vec::new(), None);
    let (outcome, error) = scan(
        &ground.job,
        &ground.permit,
        &mut Breaks(&mut ground.world),
        &AtomicBool::new(false),
        &mut |event| match event {
            Event::Record(record) => records.push(*record),
            Event::Summary(told) => summary = Some(*told),
            _ => {}
        },
    );
    assert!(error.is_some() && !outcome.complete && !outcome.interrupted);
    assert_eq!(outcome.alarms, whole.outcome.alarms);
    assert_eq!(verdicts(&records), verdicts(&whole.records));
    let summary = summary.unwrap();
    let last = whole.checkpoints.last().unwrap();
    assert!(!summary.complete);
    assert_eq!(summary.counter, last.counter);
    assert!(
        summary
            .notes
            .iter()
            .any(|note| note.en.contains("epoll_wait"))
    );
}

fn slow_ground() -> Ground {
    let mut ground = Ground::new(9, Weather::CALM);
    ground.job.plan.rate_pps = RATE_PPS / 10;
    ground
}

#[test]
fn a_deadline_ends_the_run_in_time() {
    let mut ground = Ground::new(3, ROUGH);
    let deadline = Duration::from_millis(700);
    ground.job.plan.deadline = Some(deadline);
    let told = ground.scan();
    assert_eq!(told.summary.duration, deadline);
    assert!(!told.summary.complete && !told.outcome.complete && !told.outcome.interrupted);
    assert!(!told.summary.pending.is_empty());
}

/// Round trips beyond every timeout: each UDP endpoint is given up as silent first.
#[test]
fn late_answers_replace_silence() {
    let mut replaced = 0;
    for seed in 0..6 {
        let far = Weather {
            round_trip: Duration::from_millis(900),
            ..Weather::CALM
        };
        let mut ground = Ground::new(seed, far);
        ground.job.plan.timeout = TimeoutPolicy::Fixed(Duration::from_millis(100));
        ground.job.plan.retries = 1;
        // An answer is heard while anything else keeps the run going: it takes a while.
        ground.job.plan.rate_pps = RATE_PPS / 10;
        let told = ground.scan();
        check_once_each(&ground, &told);
        assert_eq!(told.summary.verdicts, counted(&told.records), "seed {seed}");
        for record in &told.records {
            let (truth, verdict) = (ground.truth(&record.endpoint), record.judgement.verdict);
            let is_udp = record.endpoint.transport == Transport::Udp;
            if is_udp && truth == Verdict::Exposed {
                let fair = matches!(verdict, Verdict::Exposed | Verdict::Silent);
                assert!(fair, "{}", ground.describe(record));
                replaced += u64::from(verdict == Verdict::Exposed);
            } else {
                assert_ne!(verdict, Verdict::Exposed, "{}", ground.describe(record));
            }
        }
    }
    assert!(replaced >= 40, "{replaced}");
}

/// The usual list, without `--all`: what answered, and nothing of what did not.
#[test]
fn without_all_only_what_answered_is_recorded() {
    let mut ground = Ground::new(11, Weather::CALM);
    ground.job.all = false;
    let told = ground.scan();
    assert!(
        told.records
            .iter()
            .all(|one| one.judgement.verdict.is_recorded_by_default())
    );
    let answering = told
        .summary
        .verdicts
        .iter()
        .filter(|(verdict, _)| verdict.is_recorded_by_default())
        .map(|(_, count)| count)
        .sum::<u64>();
    assert_eq!(told.records.len() as u64, answering);
    assert_eq!(told.summary.verdicts.total(), ground.permit.pairs() * 2);
}
