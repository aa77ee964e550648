//! The adaptive rate: as fast as answers come back whole.
//!
//! Nobody tells a scanner that it sends too fast: routers and hosts drop what is too much, and the
//! answers are missing. But whoever is silent is asked again, and those who answer only then are the
//! control sample: their first probe, or its answer, was lost. The share of them among all who
//! answer is the loss of one probe.
//!
//! Every half second that brought enough answers is judged. While no more is lost than the
//! [`LOSS_BORNE`], the rate doubles, until something was lost for the first time; from then on it
//! grows by an eighth. When more is lost, the rate is halved, and nothing is judged for a while:
//! answers to what was sent before are still under way. That is how TCP finds its rate (RFC 5681:
//! slow start, then additive increase, multiplicative decrease), with a share of loss in place of
//! the loss of a segment.

use std::time::Duration;

/// The rate that an adaptive run begins with, in packets a second.
pub const RATE_PPS_FIRST: u64 = 10_000;
/// The rate is never lowered below this.
pub const RATE_PPS_LEAST: u64 = 1_000;
/// The share of probes whose loss is no reason to slow down: networks lose as much at any rate.
pub const LOSS_BORNE: f64 = 0.02;
/// Answers that make a judgement.
pub const ANSWERS_PER_JUDGEMENT: u64 = 50;
/// How often the rate is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long nothing is judged after the rate was lowered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Chooses the rate.
#[derive(Clone, Debug)]
pub struct Governor {
    ceiling_pps: u64,
    rate_pps: u64,
    next_at: Duration,
    /// Endpoints first heard after one send, and after more, when the rate was last judged; `None`
    /// while what was sent at the old rate is waited for.
    judged: Option<(u64, u64)>,
    has_judged: bool,
    has_lost: bool,
}

impl Governor {
    /// A governor that never allows more than `ceiling_pps` packets a second (at least 1).
    pub fn new(ceiling_pps: u64, now: Duration) -> Governor {
        let ceiling_pps = ceiling_pps.max(1);
        Governor {
            ceiling_pps,
            rate_pps: ceiling_pps.min(RATE_PPS_FIRST),
            next_at: now + INTERVAL,
            judged: Some((0, 0)),
            has_judged: false,
            has_lost: false,
        }
    }

    /// The rate in packets a second.
    pub fn rate_pps(&self) -> u64 {
        self.rate_pps
    }

    /// Judges by the endpoints that were first heard after one send, and after more, since the
    /// start; returns the rate if it is another now.
    pub fn judge(&mut self, once: u64, later: u64, now: Duration) -> Option<u64> {
        if now < self.next_at {
            return None;
        }
        self.next_at = now + INTERVAL;
        let Some((judged_once, judged_later)) = self.judged else {
            self.judged = Some((once, later));
            return None;
        };
        let new_once = once.saturating_sub(judged_once);
        let new_later = later.saturating_sub(judged_later);
        let answers = new_once + new_later;
        let before = self.rate_pps;
        if answers < ANSWERS_PER_JUDGEMENT {
            // Too little to judge by. Where nobody ever answered, no answer can be lost; where some
            // did, they may be missing because of us: wait for more.
            if !self.has_judged {
                self.rate_pps = self.raised();
            }
            return (self.rate_pps != before).then_some(self.rate_pps);
        }
        self.has_judged = true;
        self.judged = Some((once, later));
        if new_later as f64 > LOSS_BORNE * answers as f64 {
            self.has_lost = true;
            let least = RATE_PPS_LEAST.min(self.ceiling_pps);
            self.rate_pps = (self.rate_pps / 2).max(least);
            self.next_at = now + PATIENCE;
            self.judged = None;
        } else {
            self.rate_pps = self.raised();
        }
        (self.rate_pps != before).then_some(self.rate_pps)
    }

    fn raised(&self) -> u64 {
        let step = if self.has_lost {
            self.rate_pps / 8
        } else {
            self.rate_pps
        };
        self.rate_pps
            .saturating_add(step.max(1))
            .min(self.ceiling_pps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that loses what is above its capacity: runs for so many seconds, in which every
    /// eighth endpoint answers, and returns the rate at the end of each second.
    fn run(ceiling_pps: u64, capacity_pps: u64, base_loss: f64, seconds: u64) -> Vec<u64> {
        let mut governor = Governor::new(ceiling_pps, Duration::ZERO);
        let (mut once, mut later) = (0.0, 0.0);
        let mut rates = Vec::new();
        for step in 1..=seconds * 10 {
            let rate = governor.rate_pps() as f64;
            let borne = (capacity_pps as f64 / rate).min(1.0) * (1.0 - base_loss);
            let answering = rate / 10.0 / 8.0;
            once += answering * borne;
            // The second send is lost with the same chance.
            later += answering * (1.0 - borne) * borne;
            let now = Duration::from_millis(step * 100);
            governor.judge(once as u64, later as u64, now);
            if step % 10 == 0 {
                rates.push(governor.rate_pps());
            }
        }
        rates
    }

    #[test]
    fn a_network_that_bears_everything_gets_everything_soon() {
        let rates = run(10_000_000, u64::MAX, 0.01, 8);
        assert!(rates.windows(2).all(|pair| pair[0] <= pair[1]), "{rates:?}");
        assert_eq!(rates[5], 10_000_000, "{rates:?}");
    }

    #[test]
    fn a_network_with_a_limit_is_used_and_not_flooded() {
        for capacity in [20_000, 100_000, 1_000_000] {
            let rates = run(10_000_000, capacity, 0.0, 60);
            let settled = &rates[20..];
            let mean = settled.iter().sum::<u64>() as f64 / settled.len() as f64;
            let share = mean / capacity as f64;
            assert!((0.5..1.1).contains(&share), "{capacity}: {share} {rates:?}");
            let most = settled.iter().max().unwrap();
            assert!(
                *most as f64 <= 1.4 * capacity as f64,
                "{capacity}: {rates:?}"
            );
        }
    }

    #[test]
    fn the_bounds_hold() {
        assert_eq!(Governor::new(500, Duration::ZERO).rate_pps(), 500);
        let rates = run(500, 1, 0.5, 60);
        assert!(rates.iter().all(|rate| *rate == 500), "{rates:?}");
        let rates = run(1_000_000, 100, 0.0, 60);
        assert_eq!(rates.last(), Some(&RATE_PPS_LEAST), "{rates:?}");
    }

    #[test]
    fn nothing_changes_between_two_looks() {
        let mut governor = Governor::new(100_000, Duration::ZERO);
        assert_eq!(governor.judge(100, 100, Duration::from_millis(499)), None);
        assert_eq!(
            governor.judge(100, 100, Duration::from_millis(500)),
            Some(5_000)
        );
        // Patience: twice nothing, whatever is lost.
        assert_eq!(governor.judge(200, 900, Duration::from_millis(2_400)), None);
    }
}
