//! How long to wait for an answer: RFC 6298, kept apart for each neighbourhood of addresses.
//!
//! One estimate for a whole run would let a fast switch next door decide how long a host behind a
//! satellite is waited for. One for each host would never have a sample. So: one for each /24 of
//! IPv4 and each /64 of IPv6, which share most of their path.

use std::collections::HashMap;
use std::time::Duration;

use crate::neighbourhood::Neighbourhood;

/// Until something was measured.
pub const TIMEOUT_INITIAL: Duration = Duration::from_millis(800);
/// Never less.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Never more.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// The wait after the last send is no shorter than this, so that a busy server has its say.
pub const LAST_WAIT_MIN: Duration = Duration::from_millis(500);
/// Neighbourhoods that are remembered; beyond that the initial timeout serves.
const NEIGHBOURHOODS_MAX: usize = 1 << 16;

/// Smoothed round-trip time and its variation (RFC 6298 section 2).
#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed_us: f64,
    variation_us: f64,
}

impl Estimate {
    fn first(sample_us: f64) -> Estimate {
        Estimate {
            smoothed_us: sample_us,
            variation_us: sample_us / 2.0,
        }
    }

    fn update(&mut self, sample_us: f64) {
        self.variation_us += 0.25 * ((self.smoothed_us - sample_us).abs() - self.variation_us);
        self.smoothed_us += 0.125 * (sample_us - self.smoothed_us);
    }

    fn timeout(&self) -> Duration {
        let timeout_us = self.smoothed_us + 4.0 * self.variation_us;
        Duration::from_micros(timeout_us as u64).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }
}

/// The estimates of a run.
#[derive(Debug, Default)]
pub struct RoundTrips {
    estimates: HashMap<Neighbourhood, Estimate>,
}

impl RoundTrips {
    /// Takes a measured round trip. Only probes that were sent once, or whose answer names its
    /// send, may be measured (Karn's rule, RFC 6298 section 3).
    pub fn measured(&mut self, place: Neighbourhood, sample: Duration) {
        let sample_us = sample.as_micros() as f64;
        if let Some(estimate) = self.estimates.get_mut(&place) {
            estimate.update(sample_us);
        } else if self.estimates.len() < NEIGHBOURHOODS_MAX {
            self.estimates.insert(place, Estimate::first(sample_us));
        }
    }

    /// How long to wait for an answer from there.
    pub fn timeout(&self, place: Neighbourhood) -> Duration {
        self.estimates
            .get(&place)
            .map_or(TIMEOUT_INITIAL, Estimate::timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout_after(samples_ms: &[u64]) -> Duration {
        let place = Neighbourhood::of("10.0.0.1".parse().unwrap());
        let mut trips = RoundTrips::default();
        for sample in samples_ms {
            trips.measured(place, Duration::from_millis(*sample));
        }
        trips.timeout(place)
    }

    #[test]
    fn timeouts_follow_the_rfc_within_floor_and_ceiling() {
        assert_eq!(timeout_after(&[]), TIMEOUT_INITIAL);
        // First sample R: R + 4 · R/2 = 3 R.
        assert_eq!(timeout_after(&[100]), Duration::from_millis(300));
        assert_eq!(timeout_after(&[1]), TIMEOUT_MIN);
        assert_eq!(timeout_after(&[1_500]), TIMEOUT_MAX);
        // A steady path: the variation fades, the timeout approaches the round trip.
        assert!(timeout_after(&[200; 40]) < Duration::from_millis(205));
    }

    #[test]
    fn neighbourhoods_do_not_disturb_each_other() {
        let near = Neighbourhood::of("10.0.0.1".parse().unwrap());
        let far = Neighbourhood::of("10.0.1.1".parse().unwrap());
        let mut trips = RoundTrips::default();
        trips.measured(near, Duration::from_micros(50));
        assert_eq!(trips.timeout(near), TIMEOUT_MIN);
        assert_eq!(trips.timeout(far), TIMEOUT_INITIAL);
    }
}
