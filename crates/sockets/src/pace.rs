//! The packet rate, held in every window and not just on average.
//!
//! A token bucket: tokens drip in at the rate and each send takes one. The bucket holds little
//! (10 ms of traffic), so in any window of length *w* at most `rate · w + burst` packets leave.
//! After a pause — a suspended machine, a debugger — the bucket is full, not the debt: masscan's
//! throttle warns of the flood that follows otherwise.

use std::time::Duration;

/// How much of a second the bucket holds.
const BURST_S: f64 = 0.01;

/// A token bucket that is told the time.
#[derive(Clone, Debug)]
pub struct Pacer {
    rate_pps: f64,
    burst: f64,
    tokens: f64,
    updated: Duration,
}

impl Pacer {
    /// A pacer for `rate_pps` packets a second (at least 1), with one token to begin with.
    pub fn new(rate_pps: u64, now: Duration) -> Pacer {
        let rate_pps = rate_pps.max(1) as f64;
        Pacer {
            rate_pps,
            burst: (rate_pps * BURST_S).max(1.0),
            tokens: 1.0,
            updated: now,
        }
    }

    /// How many packets may leave now.
    pub fn allowance(&mut self, now: Duration) -> u64 {
        let passed = now.saturating_sub(self.updated);
        self.updated = self.updated.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate_pps).min(self.burst);
        self.tokens as u64
    }

    /// Takes one token for a packet that leaves.
    pub fn spend(&mut self) {
        self.tokens -= 1.0;
    }

    /// How long until a packet may leave.
    pub fn wait(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing / self.rate_pps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends greedily at the given instants and returns when each packet left.
    fn greedy(rate_pps: u64, instants_us: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut pacer = Pacer::new(rate_pps, Duration::ZERO);
        let mut sent = Vec::new();
        for instant in instants_us {
            for _ in 0..pacer.allowance(Duration::from_micros(instant)) {
                pacer.spend();
                sent.push(instant);
            }
        }
        sent
    }

    #[test]
    fn no_window_ever_exceeds_rate_and_burst() {
        for rate in [1, 10, 1_000, 10_000, 200_000] {
            // Uneven polling, a clock that stands still, and a suspend of an hour.
            let instants = (0..4_000_u64)
                .map(|step| step * 137 + (step % 7) * 400)
                .chain(std::iter::repeat_n(600_000, 50))
                .chain((0..1_000).map(|step| 3_600_000_000 + step * 90));
            let sent = greedy(rate, instants);
            let burst = (rate as f64 * BURST_S).max(1.0);
            for (first, start) in sent.iter().enumerate() {
                let last = sent.partition_point(|at| *at <= start + 100_000);
                let allowed = rate as f64 * 0.1 + burst + 1.0;
                assert!(
                    ((last - first) as f64) <= allowed,
                    "rate {rate}: {}",
                    last - first
                );
            }
        }
    }

    #[test]
    fn the_rate_is_reached() {
        let sent = greedy(
            10_000,
            (0..1_000_u64).map(|millisecond| millisecond * 1_000),
        );
        assert!((9_980..=10_101).contains(&sent.len()), "{}", sent.len());
    }
}
