//! Windows and rounds, step by step and as laws.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Contact, IcmpError, Refusal};
use proptest::prelude::*;

use crate::schedule::{
    Answered, Finished, Freshness, Next, OPEN_WINDOWS_MAX, OpenRange, Outcome, Patience, Schedule,
    ScheduleOptions, Stint,
};

const RESET: Contact = Contact::Refused(Refusal::Reset);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn options(pairs: u64, window_pairs: u64, rounds: u32) -> ScheduleOptions {
    ScheduleOptions {
        pairs,
        counter: 0,
        rounds,
        stream: true,
        datagram: true,
        window_pairs,
        patience: Patience::Adaptive,
    }
}

fn over_tcp(pairs: u64, window_pairs: u64, rounds: u32) -> ScheduleOptions {
    ScheduleOptions {
        datagram: false,
        ..options(pairs, window_pairs, rounds)
    }
}

fn schedule(options: ScheduleOptions) -> Schedule {
    let answered = Answered::new(options.pairs);
    Schedule::new(options, answered)
}

fn stint(from: u64, to: u64, round: u32) -> Stint {
    Stint { from, to, round }
}

/// Takes the stint that must come now, and sends all of it in no time.
#[track_caller]
fn send(schedule: &mut Schedule, expect: Stint, now: Duration) {
    assert_eq!(schedule.next(now), Next::Send(expect));
    schedule.sent(&expect, expect.to, now, now);
}

#[track_caller]
fn first(freshness: Freshness) -> (u32, Option<Duration>) {
    match freshness {
        Freshness::First { attempts, rtt } => (attempts, rtt),
        other => panic!("{other:?}"),
    }
}

fn take(schedule: &mut Schedule) -> Finished {
    schedule.take_finished().expect("a finished window")
}

#[test]
fn bits_stand_where_the_kernel_looks_for_them() {
    let answered = Answered::new(40);
    assert_eq!(answered.words().len(), 2);
    for (counter, stream, word, bit) in [
        (0, true, 0, 0),
        (0, false, 0, 1),
        (31, false, 0, 63),
        (32, true, 1, 0),
        (39, false, 1, 15),
    ] {
        assert!(!answered.is_set(counter, stream));
        let before = answered.words()[word].load(Ordering::Relaxed);
        assert!(answered.set(counter, stream), "for the first time");
        assert!(!answered.set(counter, stream), "again");
        assert!(answered.is_set(counter, stream));
        let after = answered.words()[word].load(Ordering::Relaxed);
        assert_eq!(before ^ after, 1 << bit, "{counter} {stream}");
    }
    assert!(answered.is_set(64, true), "nothing is sent beyond the end");
    assert!(!answered.set(u64::MAX, true));
}

#[test]
fn a_silent_window_gets_its_rounds_and_ends() {
    let mut schedule = schedule(options(100, 1000, 4));
    for (round, at, until) in [
        (0, 5, 805),
        (1, 805, 2405),
        (2, 2405, 4405),
        (3, 4405, 6405),
    ] {
        send(&mut schedule, stint(0, 100, round), ms(at));
        assert_eq!(
            schedule.next(ms(at)),
            Next::Wait(ms(until)),
            "round {round}"
        );
        assert_eq!(schedule.next(ms(until - 1)), Next::Wait(ms(until)));
        assert!(schedule.take_finished().is_none());
    }
    assert_eq!(schedule.next(ms(6405)), Next::Done);
    let over = take(&mut schedule);
    assert_eq!((over.from, over.to, over.attempts()), (0, 100, 4));
    for counter in 0..100 {
        assert_eq!(over.outcome(counter, true), Outcome::Silent);
        assert_eq!(over.outcome(counter, false), Outcome::Silent);
    }
    assert_eq!(schedule.next(ms(7000)), Next::Done);
    assert_eq!(schedule.counter(), 100);
}

#[test]
fn a_stint_may_be_sent_in_parts() {
    let mut schedule = schedule(over_tcp(10, 1000, 1));
    let whole = stint(0, 10, 0);
    assert_eq!(schedule.counter(), 0);
    assert_eq!(schedule.next(ms(0)), Next::Send(whole));
    schedule.sent(&whole, 4, ms(0), ms(1));
    assert_eq!(schedule.counter(), 4);
    assert_eq!(schedule.next(ms(2)), Next::Send(stint(4, 10, 0)));
    assert_eq!(
        schedule.next(ms(3)),
        Next::Send(stint(4, 10, 0)),
        "not sent yet"
    );
    schedule.sent(&stint(4, 10, 0), 4, ms(3), ms(3));
    assert_eq!(schedule.counter(), 4, "nothing was sent");
    send(&mut schedule, stint(4, 10, 0), ms(5));
    assert_eq!(schedule.counter(), 10);
    assert_eq!(schedule.next(ms(5)), Next::Wait(ms(805)));
}

/// How long the last wait is. Before, these round-trip times were measured; the first round of the
/// window is sent at 1000 ms, and something of it is heard at these times.
fn check_wait(rounds: u32, patience: Patience, rtts_ms: &[u64], heard_ms: &[u64], expect_ms: u64) {
    let mut options = over_tcp(200, 100, rounds);
    options.patience = patience;
    let mut schedule = schedule(options);
    // The first window measures and is over at once.
    send(&mut schedule, stint(0, 100, 0), ms(0));
    for (counter, rtt_ms) in (0..).zip(rtts_ms) {
        let heard = schedule.answered(counter, true, None, ms(*rtt_ms));
        assert_eq!(first(heard), (1, Some(ms(*rtt_ms))));
    }
    for counter in 0..100 {
        schedule.hand_on(counter, true);
    }
    let mut now = ms(1000);
    send(&mut schedule, stint(100, 200, 0), now);
    for (counter, heard_ms) in (150..).zip(heard_ms) {
        // An answer that measures nothing.
        let unreachable = Contact::Unreachable(None);
        first(schedule.answered(counter, true, Some(&unreachable), ms(*heard_ms)));
    }
    for round in 1..rounds {
        let Next::Wait(until) = schedule.next(now) else {
            panic!("it waits");
        };
        now = until;
        send(&mut schedule, stint(100, 200, round), now);
    }
    assert_eq!(schedule.next(now), Next::Wait(now + ms(expect_ms)));
}

#[test]
fn the_last_wait_has_a_floor_and_a_ceiling() {
    let adaptive = Patience::Adaptive;
    check_wait(1, adaptive, &[], &[], 800);
    // 1 ms: 1 + 4 * 0.5 is below every floor.
    check_wait(1, adaptive, &[1], &[], 500);
    // 200 + 4 * 100.
    check_wait(1, adaptive, &[200], &[], 600);
    // The second sample is as the first: 200 + 4 * 75.
    check_wait(1, adaptive, &[200, 200], &[], 500);
    check_wait(1, adaptive, &[900], &[], 2000);
    check_wait(2, adaptive, &[200], &[], 1200);
    // 100, 200, 400, 800 ms.
    check_wait(3, adaptive, &[1], &[], 500);
    check_wait(4, adaptive, &[1], &[], 800);
    check_wait(9, adaptive, &[1], &[], 2000);
    // Not before 100 ms without an answer, and no longer than 2 s.
    check_wait(1, adaptive, &[1], &[1000, 1450], 550);
    check_wait(1, adaptive, &[1], &[1399], 500);
    check_wait(1, adaptive, &[1], &[2950], 2000);
    for rounds in [1, 2, 5] {
        check_wait(rounds, Patience::Fixed(ms(70)), &[1], &[1060], 70);
        check_wait(rounds, Patience::Fixed(ms(5000)), &[900], &[], 5000);
    }
}

#[test]
fn only_hosts_measure_the_round_trip() {
    let mut schedule = schedule(over_tcp(100, 100, 1));
    send(&mut schedule, stint(0, 100, 0), ms(0));
    let unreachable = Contact::Unreachable(None);
    let (_, rtt) = first(schedule.answered(0, true, Some(&unreachable), ms(700)));
    assert_eq!(rtt, Some(ms(700)), "it is told");
    assert_eq!(
        schedule.smoothed_rtt(),
        None,
        "a router has waited for the host"
    );
    first(schedule.answered(1, true, Some(&RESET), ms(40)));
    assert_eq!(schedule.smoothed_rtt(), Some(ms(40)));
    first(schedule.answered(2, true, None, ms(120)));
    assert_eq!(schedule.smoothed_rtt(), Some(ms(50)));
}

#[test]
fn waits_between_rounds_double() {
    let mut schedule = schedule(over_tcp(100, 100, 6));
    send(&mut schedule, stint(0, 100, 0), ms(0));
    first(schedule.answered(99, true, None, ms(1)));
    let mut now = ms(1);
    let mut waits = Vec::new();
    for round in 1..6 {
        let Next::Wait(until) = schedule.next(now) else {
            panic!("it waits");
        };
        waits.push(until.as_millis());
        now = until;
        send(&mut schedule, stint(0, 99, round), now);
    }
    // The first is held up by the answer: 100 ms after 1 ms.
    assert_eq!(waits, [101, 301, 701, 1501, 3101]);
}

#[test]
fn windows_interleave_and_older_ones_go_first() {
    let mut schedule = schedule(over_tcp(100 * 20, 100, 2));
    for window in 0..OPEN_WINDOWS_MAX as u64 {
        let expect = stint(window * 100, window * 100 + 100, 0);
        send(&mut schedule, expect, ms(window * 10));
    }
    assert_eq!(
        schedule.next(ms(80)),
        Next::Wait(ms(800)),
        "as many as may be open"
    );
    // The first is due again; then the second, before the first has had its second wait.
    send(&mut schedule, stint(0, 100, 1), ms(800));
    assert_eq!(schedule.next(ms(801)), Next::Wait(ms(810)));
    send(&mut schedule, stint(100, 200, 1), ms(810));
    // Many are due at once: the oldest first.
    send(&mut schedule, stint(200, 300, 1), ms(900));
    send(&mut schedule, stint(300, 400, 1), ms(900));
    // One that is over makes room for another.
    for counter in 300..400 {
        schedule.hand_on(counter, true);
    }
    let over = take(&mut schedule);
    assert_eq!((over.from, over.to), (300, 400));
    for window in 4..8 {
        send(
            &mut schedule,
            stint(window * 100, window * 100 + 100, 1),
            ms(900),
        );
    }
    send(&mut schedule, stint(800, 900, 0), ms(900));
    // In the middle of a first round an older window's second one goes first.
    let mut late = self::schedule(over_tcp(1000, 100, 2));
    send(&mut late, stint(0, 100, 0), ms(0));
    assert_eq!(late.next(ms(0)), Next::Send(stint(100, 200, 0)));
    late.sent(&stint(100, 200, 0), 150, ms(0), ms(800));
    send(&mut late, stint(0, 100, 1), ms(800));
    send(&mut late, stint(150, 200, 0), ms(800));
    assert_eq!(late.counter(), 200);
}

#[test]
fn answers_are_first_late_or_known() {
    let mut schedule = schedule(options(300, 100, 2));
    let mut heard = |counter, stream, at| schedule.answered(counter, stream, None, at);
    assert_eq!(heard(0, true, ms(0)), Freshness::Known, "nothing was sent");
    assert_eq!(heard(300, true, ms(0)), Freshness::Known, "no such pair");
    assert_eq!(heard(u64::MAX, true, ms(0)), Freshness::Known);

    // The send takes 50 ms: each pair's time is known.
    let whole = stint(0, 100, 0);
    assert_eq!(schedule.next(ms(0)), Next::Send(whole));
    schedule.sent(&whole, 50, ms(0), ms(50));
    assert_eq!(
        schedule.answered(50, true, None, ms(50)),
        Freshness::Known,
        "not sent to"
    );
    let (attempts, rtt) = first(schedule.answered(20, true, None, ms(60)));
    assert_eq!((attempts, rtt), (1, Some(ms(40))));
    assert_eq!(schedule.answered(20, true, None, ms(61)), Freshness::Known);
    let (_, rtt) = first(schedule.answered(40, false, None, ms(45)));
    assert_eq!(rtt, Some(ms(5)), "the transports are two endpoints");
    // Answered while its stint is under way, before anybody said that it was sent.
    assert_eq!(schedule.next(ms(70)), Next::Send(stint(50, 100, 0)));
    let (attempts, rtt) = first(schedule.answered(60, true, None, ms(75)));
    assert_eq!((attempts, rtt), (1, Some(ms(5))));
    assert_eq!(schedule.counter(), 61, "and so it was begun");
    schedule.sent(&stint(50, 100, 0), 100, ms(70), ms(80));

    // The second window is sent, then the first one's second round.
    send(&mut schedule, stint(100, 200, 0), ms(100));
    send(&mut schedule, stint(200, 300, 0), ms(100));
    assert_eq!(schedule.next(ms(2000)), Next::Send(stint(0, 100, 1)));
    schedule.sent(&stint(0, 100, 1), 30, ms(2000), ms(2000));
    assert_eq!(
        first(schedule.answered(10, true, None, ms(2001))),
        (2, None)
    );
    let (attempts, rtt) = first(schedule.answered(35, true, None, ms(2001)));
    assert_eq!(
        (attempts, rtt),
        (1, Some(ms(1966))),
        "its second one is to come"
    );
    assert_eq!(schedule.heard_after_sends(), [4, 1]);

    // Everything ends; then it is late, once.
    let mut now = ms(2002);
    while schedule.next(now) != Next::Done {
        if let Next::Send(stint) = schedule.next(now) {
            schedule.sent(&stint, stint.to, now, now);
        }
        now += ms(50);
    }
    assert_eq!(schedule.answered(11, true, None, now), Freshness::Late);
    assert_eq!(schedule.answered(11, true, None, now), Freshness::Known);
    assert_eq!(schedule.answered(10, true, None, now), Freshness::Known);
    let over = take(&mut schedule);
    assert_eq!(over.outcome(11, true), Outcome::Silent, "as it was counted");
    assert_eq!(over.outcome(10, true), Outcome::Elsewhere);
    assert_eq!(
        schedule.answered(12, false, None, now),
        Freshness::Late,
        "taken"
    );
    assert_eq!(schedule.heard_after_sends(), [4, 1]);
}

#[test]
fn what_is_not_asked_is_not_known() {
    let mut options = over_tcp(100, 100, 1);
    options.counter = 40;
    let answered = Answered::new(100);
    for counter in [45, 99] {
        answered.set(counter, true);
    }
    let mut schedule = Schedule::new(options, answered);
    assert_eq!(schedule.counter(), 40);
    send(&mut schedule, stint(40, 99, 0), ms(0));
    assert_eq!(schedule.counter(), 100);
    for (counter, stream) in [(50, false), (45, true), (99, true), (39, true)] {
        let heard = schedule.answered(counter, stream, None, ms(1));
        assert_eq!(heard, Freshness::Known, "{counter} {stream}");
    }
    assert_eq!(schedule.next(ms(800)), Next::Done);
    let over = take(&mut schedule);
    assert_eq!(over.outcome(50, true), Outcome::Silent);
    for (counter, stream) in [(50, false), (45, true), (99, true)] {
        assert_eq!(over.outcome(counter, stream), Outcome::Elsewhere);
    }
}

#[test]
fn a_window_without_silence_ends_at_once() {
    let mut schedule = schedule(options(4, 2, 5));
    send(&mut schedule, stint(0, 2, 0), ms(0));
    send(&mut schedule, stint(2, 4, 0), ms(0));
    for counter in 0..2 {
        first(schedule.answered(counter, true, None, ms(1)));
        assert!(schedule.take_finished().is_none());
        first(schedule.answered(counter, false, Some(&RESET), ms(1)));
    }
    let over = take(&mut schedule);
    assert_eq!((over.from, over.to, over.attempts()), (0, 2, 1));
    assert_eq!(over.outcome(1, false), Outcome::Contact(RESET));
    assert_eq!(over.outcome(1, true), Outcome::Elsewhere);
    // Even while it is being sent to.
    let Next::Wait(until) = schedule.next(ms(1)) else {
        panic!("it waits");
    };
    assert_eq!(schedule.next(until), Next::Send(stint(2, 4, 1)));
    for counter in 2..4 {
        schedule.hand_on(counter, true);
        schedule.hand_on(counter, false);
    }
    schedule.sent(&stint(2, 4, 1), 4, until, until);
    assert_eq!(schedule.next(until), Next::Done);
    assert_eq!(take(&mut schedule).attempts(), 2);
}

#[test]
fn done_windows_are_passed_over() {
    let answered = Answered::new(1 << 20);
    for word in answered.words() {
        word.store(u64::MAX, Ordering::Relaxed);
    }
    answered.words()[30_000].store(!0b1000, Ordering::Relaxed);
    let mut schedule = Schedule::new(options(1 << 20, 1 << 10, 1), answered);
    // Word 30,000 begins with pair 960,000; its bit 3 is the second pair's, over UDP.
    send(&mut schedule, stint(960_001, 960_002, 0), ms(0));
    assert_eq!(
        schedule.open_ranges(false),
        [OpenRange {
            from: 960_001,
            to: 960_002,
            stream: false,
            datagram: true,
        }]
    );
    assert_eq!(schedule.next(ms(0)), Next::Wait(ms(800)));
    assert_eq!(schedule.counter(), 1 << 20);
    let over = take(&mut schedule);
    assert_eq!((over.from, over.to), (0, 1 << 10));
    assert_eq!(over.outcome(17, true), Outcome::Elsewhere);
}

#[test]
fn retries_leave_out_what_has_answered_at_both_ends() {
    let mut schedule = schedule(options(100, 100, 2));
    send(&mut schedule, stint(0, 100, 0), ms(0));
    for counter in (0..20).chain(70..100) {
        first(schedule.answered(counter, true, None, ms(1)));
        if counter != 15 {
            first(schedule.answered(counter, false, None, ms(1)));
        }
    }
    send(&mut schedule, stint(15, 70, 1), ms(800));
}

fn icmp(kind: u8, code: u8) -> IcmpError {
    IcmpError {
        from: None,
        kind,
        code,
    }
}

#[test]
fn contacts_come_back_without_their_sender() {
    let from = Some("10.0.0.1".parse().unwrap());
    let with = |icmp: IcmpError| IcmpError { from, ..icmp };
    let unreachable = |icmp| Contact::Unreachable(Some(icmp));
    let prohibited = |icmp| Contact::Prohibited(Some(icmp));
    let refused = |icmp| Contact::Refused(Refusal::PortUnreachable(icmp));
    let mut cases = vec![
        (RESET, Outcome::Contact(RESET)),
        (
            Contact::Unreachable(None),
            Outcome::Contact(Contact::Unreachable(None)),
        ),
        (Contact::Answered, Outcome::Elsewhere),
        (Contact::Failed("no".into()), Outcome::Elsewhere),
    ];
    for (kind, code, contact) in [
        (3, 3, &refused as &dyn Fn(IcmpError) -> Contact),
        (1, 4, &refused),
        (3, 13, &prohibited),
        (3, 1, &unreachable),
    ] {
        let expect = Outcome::Contact(contact(icmp(kind, code)));
        cases.push((contact(with(icmp(kind, code))), expect));
    }
    // More kinds than are kept word by word: the last ones lose their numbers.
    for code in 0..7 {
        let expect = Outcome::Contact(unreachable(icmp(77, code)));
        cases.push((unreachable(with(icmp(77, code))), expect));
    }
    let last = Outcome::Contact(Contact::Unreachable(None));
    cases.push((unreachable(with(icmp(78, 0))), last));
    let last = Outcome::Contact(Contact::Prohibited(None));
    cases.push((prohibited(with(icmp(78, 0))), last));
    cases.push((refused(with(icmp(78, 0))), Outcome::Contact(RESET)));

    let pairs = cases.len() as u64 + 1;
    let mut schedule = schedule(over_tcp(pairs, 1000, 1));
    send(&mut schedule, stint(0, pairs, 0), ms(0));
    for (counter, (contact, _)) in (0..).zip(&cases) {
        first(schedule.answered(counter, true, Some(contact), ms(1)));
    }
    assert_eq!(schedule.next(ms(5000)), Next::Done);
    let over = take(&mut schedule);
    for (counter, (contact, expect)) in (0..).zip(&cases) {
        assert_eq!(over.outcome(counter, true), *expect, "{contact:?}");
    }
}

#[test]
fn what_is_handed_on_is_counted_elsewhere() {
    let mut schedule = schedule(options(300, 100, 1));
    schedule.hand_on(150, true);
    send(&mut schedule, stint(0, 100, 0), ms(0));
    first(schedule.answered(7, true, Some(&RESET), ms(1)));
    schedule.hand_on(7, true);
    schedule.hand_on(8, false);
    schedule.hand_on(8, false);
    assert_eq!(schedule.answered(8, false, None, ms(1)), Freshness::Known);
    send(&mut schedule, stint(100, 200, 0), ms(1));
    assert_eq!(schedule.answered(150, true, None, ms(1)), Freshness::Known);
    send(&mut schedule, stint(200, 300, 0), ms(1));
    assert_eq!(schedule.next(ms(5000)), Next::Done);
    // Over, and not taken yet.
    schedule.hand_on(199, false);
    let over = take(&mut schedule);
    for (counter, stream, expect) in [
        (7, true, Outcome::Elsewhere),
        (7, false, Outcome::Silent),
        (8, false, Outcome::Elsewhere),
        (8, true, Outcome::Silent),
    ] {
        assert_eq!(over.outcome(counter, stream), expect, "{counter} {stream}");
    }
    let over = take(&mut schedule);
    assert_eq!(over.outcome(150, true), Outcome::Elsewhere);
    assert_eq!(over.outcome(199, false), Outcome::Elsewhere);
    assert_eq!(over.outcome(199, true), Outcome::Silent);
    schedule.hand_on(199, true);
    assert!(
        schedule
            .open_ranges(false)
            .iter()
            .all(|open| open.from >= 200)
    );
}

#[test]
fn open_ranges_are_joined_by_what_is_open() {
    let mut schedule = schedule(options(100, 10, 1));
    send(&mut schedule, stint(0, 10, 0), ms(0));
    assert_eq!(schedule.next(ms(1)), Next::Send(stint(10, 20, 0)));
    schedule.sent(&stint(10, 20, 0), 15, ms(1), ms(1));
    first(schedule.answered(3, true, None, ms(2)));
    schedule.hand_on(5, true);
    schedule.hand_on(5, false);
    first(schedule.answered(6, false, Some(&RESET), ms(2)));
    let open = |from, to, stream, datagram| OpenRange {
        from,
        to,
        stream,
        datagram,
    };
    let expect = [
        open(0, 3, true, true),
        open(3, 4, false, true),
        open(4, 5, true, true),
        open(6, 7, true, false),
        open(7, 15, true, true),
    ];
    assert_eq!(schedule.open_ranges(false), expect);
    // A window that is over stays open until it is taken.
    let Next::Send(rest) = schedule.next(ms(3000)) else {
        panic!("the second window has a rest");
    };
    assert_eq!(rest, stint(15, 20, 0));
    assert_eq!(schedule.open_ranges(false), expect);
    take(&mut schedule);
    assert_eq!(schedule.open_ranges(false), [open(10, 15, true, true)]);
}

#[test]
fn what_is_known_and_untold_can_be_asked_again_or_be_told() {
    let mut schedule = schedule(over_tcp(100, 10, 1));
    send(&mut schedule, stint(0, 10, 0), ms(0));
    assert_eq!(schedule.next(ms(1)), Next::Send(stint(10, 20, 0)));
    schedule.sent(&stint(10, 20, 0), 15, ms(1), ms(1));
    for counter in [3, 12] {
        first(schedule.answered(counter, true, Some(&RESET), ms(2)));
    }
    first(schedule.answered(4, true, None, ms(2)));
    let open = |from, to| OpenRange {
        from,
        to,
        stream: true,
        datagram: false,
    };
    let known = [open(0, 3), open(5, 12), open(13, 15)];
    assert_eq!(schedule.open_ranges(false), known);
    assert_eq!(schedule.open_ranges(true), [open(0, 4), open(5, 15)]);
    let over = schedule.abandon();
    let told: Vec<u64> = over
        .iter()
        .flat_map(|over| (over.from..over.to).map(move |counter| (over, counter)))
        .filter(|(over, counter)| over.outcome(*counter, true) == Outcome::Contact(RESET))
        .map(|(_, counter)| counter)
        .collect();
    assert_eq!(told, [3, 12]);
}

/// Sends are remembered in few batches, however many there are.
#[test]
fn round_trips_are_measured_over_a_long_round() {
    let pairs = 50_000;
    let mut schedule = schedule(over_tcp(pairs, pairs, 1));
    for counter in 0..pairs {
        let at = ms(counter * 5);
        let rest = stint(counter, pairs, 0);
        assert_eq!(schedule.next(at), Next::Send(rest));
        schedule.sent(&rest, counter + 1, at, at + ms(5));
    }
    for counter in (0..pairs).step_by(997) {
        let (_, rtt) = first(schedule.answered(counter, true, None, ms(pairs * 5)));
        let sent_at = ms(pairs * 5) - rtt.unwrap();
        let error = sent_at.abs_diff(ms(counter * 5));
        assert!(error <= ms(1), "{counter}: {error:?}");
    }
    assert!(schedule.smoothed_rtt().is_some());
}

/// How an endpoint of the law below behaves: it answers its n-th probe, or never.
type Truth = BTreeMap<(u64, bool), Option<u32>>;

/// What the law's driver has told of each endpoint.
#[derive(Default)]
struct Told {
    /// Whether RSTs are told of when they come, or when their window is over.
    at_once: bool,
    judged: BTreeMap<(u64, bool), u32>,
    probes: BTreeMap<(u64, bool), u32>,
}

impl Told {
    fn judge(&mut self, counter: u64, stream: bool) {
        *self.judged.entry((counter, stream)).or_default() += 1;
    }

    fn take(&mut self, schedule: &mut Schedule) {
        while let Some(over) = schedule.take_finished() {
            for counter in over.from..over.to {
                for stream in [true, false] {
                    let outcome = over.outcome(counter, stream);
                    let is_told = outcome == Outcome::Elsewhere
                        || (self.at_once && outcome != Outcome::Silent);
                    if !is_told {
                        self.judge(counter, stream);
                    }
                }
            }
        }
    }
}

/// Drives a schedule for at most so many steps; false if it was not done by then.
fn drive(
    schedule: &mut Schedule,
    answered: &Answered,
    truth: &Truth,
    told: &mut Told,
    chance: &mut Chance,
    steps: u32,
) -> bool {
    let mut now = Duration::ZERO;
    let mut pending: Vec<(u64, bool)> = Vec::new();
    for _ in 0..steps {
        match schedule.next(now) {
            Next::Send(stint) => {
                let done_to = stint.from + 1 + chance.below(stint.to - stint.from);
                for counter in stint.from..done_to {
                    for stream in [true, false] {
                        let Some(answers) = truth.get(&(counter, stream)) else {
                            continue;
                        };
                        if answered.is_set(counter, stream) {
                            continue;
                        }
                        let probes = told.probes.entry((counter, stream)).or_default();
                        *probes += 1;
                        if *answers == Some(*probes) {
                            pending.push((counter, stream));
                        }
                    }
                }
                // Some answers come before the end of the send.
                for _ in 0..chance.below(3) {
                    hear(schedule, told, &mut pending, chance, now);
                }
                schedule.sent(&stint, done_to, now, now + ms(1));
                now += ms(1);
            }
            Next::Wait(until) => now = until.min(now + ms(1 + chance.below(40))),
            Next::Done => {
                told.take(schedule);
                return true;
            }
        }
        for _ in 0..chance.below(4) {
            hear(schedule, told, &mut pending, chance, now);
        }
        if chance.below(3) == 0 {
            told.take(schedule);
        }
    }
    false
}

fn hear(
    schedule: &mut Schedule,
    told: &mut Told,
    pending: &mut Vec<(u64, bool)>,
    chance: &mut Chance,
    now: Duration,
) {
    if pending.is_empty() {
        return;
    }
    let (counter, stream) = pending.swap_remove(chance.below(pending.len() as u64) as usize);
    let contact = (chance.below(2) == 0).then_some(RESET);
    match schedule.answered(counter, stream, contact.as_ref(), now) {
        Freshness::First { .. } if contact.is_none() || told.at_once => {
            told.judge(counter, stream);
        }
        Freshness::First { .. } => {}
        Freshness::Late => {}
        Freshness::Known => panic!("{counter} {stream} answers once"),
    }
}

/// SplitMix64: chance that a failing case repeats.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

proptest! {
    /// A run that stops anywhere and is continued with the bits of all that is done asks every pair,
    /// and judges none twice.
    #[test]
    fn a_run_can_stop_anywhere(
        pairs in 1u64..150,
        window_pairs in 1u64..60,
        rounds in 1u32..4,
        (stream, datagram) in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
        answers_of in proptest::collection::vec(proptest::option::of(1u32..5), 300),
        steps in 0u32..200,
        at_once: bool,
        seed: u64,
    ) {
        let mut chance = Chance(seed);
        let truth: Truth = (0..pairs)
            .flat_map(|counter| [(counter, true), (counter, false)])
            .zip(answers_of)
            .filter(|((_, over_tcp), _)| if *over_tcp { stream } else { datagram })
            .collect();
        let mut told = Told {
            at_once,
            ..Told::default()
        };
        let mut options = ScheduleOptions {
            stream,
            datagram,
            ..options(pairs, window_pairs, rounds)
        };
        let answered = Answered::new(pairs);
        let mut schedule = Schedule::new(options.clone(), answered.clone());
        let done = drive(&mut schedule, &answered, &truth, &mut told, &mut chance, steps);

        let counter = schedule.counter();
        let open = schedule.open_ranges(!at_once);
        prop_assert!(open.windows(2).all(|pair| pair[0].to <= pair[1].from));
        let is_open = |place: u64, over_tcp: bool| {
            open.iter().any(|open| {
                let asks = if over_tcp { open.stream } else { open.datagram };
                asks && (open.from..open.to).contains(&place)
            })
        };
        prop_assert!(!done || (counter == pairs && open.is_empty()));
        let begin = open.first().map_or(counter, |open| open.from);
        let answered = Answered::new(pairs);
        for (endpoint, judged) in truth.keys().map(|at| (at, told.judged.get(at).copied())) {
            let (place, over_tcp) = *endpoint;
            let is_judged = judged.is_some();
            prop_assert_eq!(judged.unwrap_or(1), 1);
            let is_left = place >= counter || is_open(place, over_tcp);
            prop_assert!(is_judged != is_left, "{place} {over_tcp} of {counter}");
            if !is_left {
                answered.set(place, over_tcp);
            }
        }

        options.counter = begin;
        told.probes.clear();
        let mut schedule = Schedule::new(options, answered.clone());
        let all_steps = 1_000_000;
        prop_assert!(drive(&mut schedule, &answered, &truth, &mut told, &mut chance, all_steps));
        for endpoint in truth.keys() {
            prop_assert_eq!(told.judged.get(endpoint), Some(&1), "{:?}", endpoint);
            prop_assert!(told.probes.get(endpoint).is_none_or(|probes| *probes <= rounds));
        }
        prop_assert_eq!(schedule.counter(), pairs);
        prop_assert_eq!(schedule.open_ranges(false), []);
    }
}
