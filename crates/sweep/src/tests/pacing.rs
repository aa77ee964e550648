//! The limiter held against a record of everything that left.

use std::time::Duration;

use proptest::prelude::*;

use crate::pace::{Limiter, WINDOW};

/// What left when, at the worst: all of it at the end of its time.
#[derive(Default)]
struct Record {
    left: Vec<(Duration, u64)>,
}

impl Record {
    /// Packets in the window of 100 ms that ends at this time, its beginning not included.
    fn window_ending(&self, end: Duration) -> u64 {
        let recent = self.left.iter().rev();
        recent
            .skip_while(|(at, _)| *at > end)
            .take_while(|(at, _)| *at + WINDOW > end)
            .map(|(_, packets)| packets)
            .sum()
    }

    fn total(&self) -> u64 {
        self.left.iter().map(|(_, packets)| packets).sum()
    }
}

fn window_packets(rate_pps: u64) -> u64 {
    rate_pps.div_ceil(10)
}

/// Polls with these gaps until the time is over, spends all that is allowed, and returns how much
/// left in each second, the first not included. Checks every window on the way.
fn run(rate_pps: u64, gaps: &[Duration], seconds: u64) -> Vec<u64> {
    let mut limiter = Limiter::new(rate_pps, Duration::ZERO);
    let mut record = Record::default();
    let mut by_second = vec![0; seconds as usize];
    let mut now = Duration::ZERO;
    for gap in gaps.iter().cycle() {
        let packets = limiter.allowance(now);
        limiter.spend(packets, now, now);
        record.left.push((now, packets));
        assert!(record.window_ending(now) <= window_packets(rate_pps));
        by_second[now.as_secs() as usize] += packets;
        now += *gap;
        if now >= Duration::from_secs(seconds) {
            break;
        }
    }
    by_second.split_off(1)
}

#[test]
fn the_rate_is_reached_and_never_passed() {
    let uneven: Vec<Duration> = [1, 4, 2, 5, 3, 1, 1, 5, 2]
        .map(Duration::from_millis)
        .to_vec();
    let crooked: Vec<Duration> = [1_037, 2_911, 1_503, 3_207, 1_111]
        .map(Duration::from_micros)
        .to_vec();
    let even = [Duration::from_millis(1)];
    for rate_pps in [
        10,
        15,
        99,
        1_000,
        1_017,
        10_000,
        123_457,
        1_000_000,
        100_000_000,
    ] {
        // A packet's place in the window is free after 100 ms, and taken again at the next poll: at
        // crooked times no limiter can do better without passing the rate in some window.
        for (gaps, least) in [(&uneven[..], 0.97), (&even[..], 0.98), (&crooked[..], 0.97)] {
            for left in run(rate_pps, gaps, 4) {
                // A second may end just before a packet.
                let share = (left + 1) as f64 / rate_pps as f64;
                assert!(share >= least, "{share} of {rate_pps}");
                assert!(
                    left <= window_packets(rate_pps) * 10,
                    "{left} at {rate_pps}"
                );
            }
        }
    }
}

#[test]
fn the_slowest_rates_are_exact() {
    let gaps = [Duration::from_millis(3)];
    assert_eq!(run(1, &gaps, 6), [1, 1, 1, 1, 1]);
    assert_eq!(run(3, &gaps, 4), [3, 3, 3]);
    assert_eq!(run(7, &gaps, 4), [7, 7, 7]);
}

#[test]
fn it_starts_slowly() {
    let mut limiter = Limiter::new(1_000_000, Duration::ZERO);
    let mut by_step = [0; 10];
    for at_us in (0..200_000).step_by(500) {
        let now = Duration::from_micros(at_us);
        let packets = limiter.allowance(now);
        limiter.spend(packets, now, now);
        by_step[at_us as usize / 20_000] += packets;
    }
    for (step, left) in by_step.into_iter().enumerate() {
        // 10,000 a second are 200 in 20 ms.
        let expect = (200 << step).min(20_000);
        let difference = i64::abs_diff(left as i64, expect);
        assert!(
            difference <= expect as u64 / 20,
            "step {step}: {left}, not {expect}"
        );
    }
    // Rates up to 10,000 need no start.
    let mut limiter = Limiter::new(10_000, Duration::ZERO);
    assert_eq!(limiter.allowance(Duration::from_millis(10)), 101);
}

#[test]
fn a_lower_rate_holds_at_once_and_a_higher_one_is_approached() {
    let at = Duration::from_millis;
    let mut limiter = Limiter::new(10_000, at(0));
    for now in (0..1000).map(at) {
        let packets = limiter.allowance(now);
        limiter.spend(packets, now, now);
    }
    limiter.set_rate(1_000, at(1000));
    assert_eq!(
        limiter.allowance(at(1000)),
        0,
        "the window holds more already"
    );
    assert_eq!(limiter.allowance(at(1089)), 0);
    assert!(limiter.allowance(at(1200)) <= 100);
    limiter.set_rate(1_000_000, at(1200));
    // From 10,000 a second on.
    let allowed = limiter.allowance(at(1210));
    assert!((100..=250).contains(&allowed), "{allowed}");
}

#[test]
fn what_left_too_much_is_waited_for() {
    let at = Duration::from_millis;
    let mut limiter = Limiter::new(10_000, at(0));
    limiter.spend(3_000, at(0), at(10));
    assert_eq!(limiter.allowance(at(109)), 0, "in the window");
    // 3,000 packets are made by 300 ms.
    assert_eq!(limiter.allowance(at(250)), 0, "a debt");
    assert!(limiter.allowance(at(310)) > 0);
    assert_eq!(
        limiter.clone().ready_at(0, at(310)),
        at(310),
        "nothing may always leave"
    );
    // A debt is not held for ever.
    limiter.spend(1_000_000, at(310), at(310));
    assert!(limiter.allowance(at(310 + 1_101)) > 0);
}

#[test]
fn after_a_sleep_no_more_leaves_than_in_half_a_window() {
    let mut limiter = Limiter::new(10_000, Duration::ZERO);
    let hours = Duration::from_secs(7 * 3600);
    assert_eq!(limiter.allowance(hours), 500);
    assert_eq!(
        limiter.allowance(Duration::from_secs(1)),
        500,
        "back: nothing changes"
    );
}

#[test]
fn the_unknown_time_of_a_packet_counts_at_its_worst() {
    let at = Duration::from_millis;
    let mut limiter = Limiter::new(10_000, at(0));
    let first = limiter.allowance(at(50));
    assert_eq!(first, 500);
    limiter.spend(first, at(50), at(80));
    let second = limiter.allowance(at(130));
    assert_eq!(second, 500);
    limiter.spend(second, at(130), at(130));
    assert_eq!(limiter.allowance(at(179)), 0);
    assert_eq!(limiter.allowance(at(180)), 500);
}

/// What happens to a limiter.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, or the clock goes back.
    Clock(i64),
    /// A share (of 256) of what is allowed leaves, in this many microseconds.
    Spend(u8, u64),
    /// This much leaves, allowed or not.
    Overspend(u64),
    Ask(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => (0i64..5_000).prop_map(Event::Clock),
        2 => (0i64..200_000).prop_map(Event::Clock),
        1 => (-50_000i64..0).prop_map(Event::Clock),
        1 => Just(Event::Clock(3_600_000_000)),
        10 => (any::<u8>(), 0u64..2_000).prop_map(|(share, took)| Event::Spend(share, took)),
        1 => (0u64..5_000).prop_map(Event::Overspend),
        3 => (0u64..20_000).prop_map(Event::Ask),
    ]
}

proptest! {
    #[test]
    fn no_window_holds_more_than_its_share(
        rate_pps in prop_oneof![1u64..50, 50u64..20_000, 20_000u64..100_000_000],
        events in proptest::collection::vec(any_event(), 1..300),
    ) {
        let mut limiter = Limiter::new(rate_pps, Duration::ZERO);
        let mut record = Record::default();
        let mut clock_us = 0i64;
        let mut latest = Duration::ZERO;
        for event in events {
            let now = Duration::from_micros(clock_us as u64);
            match event {
                Event::Clock(step_us) => clock_us = (clock_us + step_us).max(0),
                Event::Spend(share, took_us) => {
                    let taken = limiter.take(u64::MAX, now);
                    prop_assert_eq!(limiter.allowance(now), 0, "what is taken is nobody else's");
                    let packets = taken * u64::from(share) / 255;
                    latest = latest.max(now);
                    if packets > 0 {
                        // The first could leave at once, with all before it as late as possible.
                        let held = record.window_ending(latest) + packets;
                        prop_assert!(held <= window_packets(rate_pps), "{held} at {rate_pps}");
                    }
                    let until = latest + Duration::from_micros(took_us);
                    limiter.settle(taken, packets, now, until);
                    clock_us += took_us as i64;
                    latest = until;
                    record.left.push((until, packets));
                }
                Event::Overspend(packets) => {
                    latest = latest.max(now);
                    limiter.spend(packets, now, latest);
                    record.left.push((latest, packets));
                }
                Event::Ask(packets) => {
                    let ready_at = limiter.ready_at(packets, now);
                    let most = Limiter::new(rate_pps, Duration::ZERO)
                        .allowance(Duration::from_secs(3600));
                    let expect = packets.min(most);
                    prop_assert!(limiter.clone().allowance(ready_at) >= expect);
                    if ready_at > latest.max(now) {
                        let before = ready_at - Duration::from_nanos(1);
                        prop_assert!(limiter.clone().allowance(before) < expect, "not sooner");
                    }
                    latest = latest.max(now);
                }
            }
        }
    }

    /// Whoever sleeps until [`Limiter::ready_at`] gets the whole rate, if what is waited for divides
    /// a window.
    #[test]
    fn sleeping_as_told_loses_nothing(
        rate_pps in (1u64..10_000).prop_map(|thousands| thousands * 1000),
        chunk_ms in prop::sample::select(&[1u64, 2, 4, 5, 10, 20, 25, 50][..]),
    ) {
        let mut limiter = Limiter::new(rate_pps, Duration::ZERO);
        let mut record = Record::default();
        let mut now = Duration::ZERO;
        let chunk = (rate_pps * chunk_ms / 1000).max(1);
        let seconds = 3;
        while now < Duration::from_secs(seconds) {
            let packets = limiter.allowance(now);
            limiter.spend(packets, now, now);
            record.left.push((now, packets));
            prop_assert!(record.window_ending(now) <= window_packets(rate_pps));
            let ready_at = limiter.ready_at(chunk, now);
            prop_assert!(ready_at > now, "all that was allowed has left");
            now = ready_at;
        }
        let expect = rate_pps * seconds;
        let slow_start = rate_pps / 5;
        let total = record.total();
        prop_assert!(total + slow_start + chunk >= expect, "{total} of {expect}");
        prop_assert!(total <= expect + 1 + chunk, "{total} of {expect}");
    }
}
