//! Room in the rate for what our own kernel sends: a reset for each SYN-ACK.
//!
//! On a near network it has left before anybody could be told. So room is kept for as many resets as
//! the share of those that accepted so far lets expect, all of them at first, for a few
//! milliseconds. Who answers later does so as evenly as it was asked: then it is enough to count.

use std::time::Duration;

use sweep::pace::Pace;

/// How long room is kept, at least.
const KEPT: Duration = Duration::from_millis(2);

/// Resets that are expected.
#[derive(Debug)]
pub(super) struct Resets {
    /// Whether there are SYNs at all.
    tcp: bool,
    /// Those that accepted.
    pub(super) accepted: u64,
    /// SYNs, about.
    asked: u64,
    /// Packets taken out of the pace for resets, now and in the time before.
    kept: u64,
    kept_before: u64,
    kept_since: Duration,
}

impl Resets {
    pub(super) fn new(tcp: bool) -> Resets {
        Resets {
            tcp,
            accepted: 0,
            asked: 0,
            kept: 0,
            kept_before: 0,
            kept_since: Duration::ZERO,
        }
    }

    /// How many resets so many pairs let expect.
    pub(super) fn of_pairs(&self, pairs: u64) -> u64 {
        if !self.tcp {
            return 0;
        }
        let resets = u128::from(pairs) * u128::from(self.accepted + 1);
        let resets = resets.div_ceil(u128::from(self.asked + 1));
        u64::try_from(resets).unwrap_or(u64::MAX).min(pairs)
    }

    /// Divides what was taken for at most so many pairs, of so many transports, into pairs to be sent to
    /// now and room that is kept. Returns the pairs, at least one, and what was taken for them.
    pub(super) fn keep(&mut self, taken: u64, transports: u64, most: u64) -> (u64, u64) {
        let mut pairs = (taken / transports).clamp(1, most.max(1));
        while pairs > 1 && pairs * transports + self.of_pairs(pairs) > taken {
            let over = pairs * transports + self.of_pairs(pairs) - taken;
            pairs = pairs.saturating_sub(over.div_ceil(transports + 1)).max(1);
        }
        let of_pairs = taken.min(pairs * transports);
        self.kept += taken - of_pairs;
        self.asked += pairs;
        (pairs, of_pairs)
    }

    /// Gives back the room that was kept long enough.
    pub(super) fn forget(&mut self, pace: &Pace, now: Duration) {
        if now >= self.kept_since + KEPT {
            pace.settle(self.kept_before, 0, now, now);
            self.kept_before = std::mem::take(&mut self.kept);
            self.kept_since = now;
        }
    }

    /// When some of the room that is kept is given back, if at this rate it takes longer to come by as
    /// much.
    pub(super) fn returns_at(&self, rate_pps: u64) -> Option<Duration> {
        let kept = self.kept + self.kept_before;
        let earned = Duration::from_secs(kept).checked_div(u32::try_from(rate_pps).ok()?)?;
        (kept > 0 && earned > KEPT).then_some(self.kept_since + KEPT)
    }

    /// Gives back all of it.
    pub(super) fn give_back(&mut self, pace: &Pace, now: Duration) {
        let kept = std::mem::take(&mut self.kept) + std::mem::take(&mut self.kept_before);
        pace.settle(kept, 0, now, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_expected_as_have_accepted() {
        let mut resets = Resets::new(true);
        assert_eq!(resets.of_pairs(10), 10, "nothing is known");
        assert_eq!(resets.keep(30, 2, 100), (10, 20));
        assert_eq!(resets.kept, 10);
        // Nobody accepted.
        assert_eq!(resets.of_pairs(110), 10);
        assert_eq!(resets.keep(30, 2, 100), (14, 28));
        assert_eq!(resets.keep(1, 2, 100), (1, 1), "a pair leaves together");
        assert_eq!(resets.keep(100, 2, 3), (3, 6));
        resets.accepted = 1_000;
        assert_eq!(resets.of_pairs(10), 10);
        assert_eq!(Resets::new(false).of_pairs(10), 0);
    }

    #[test]
    fn room_is_kept_for_a_while_and_given_back() {
        let at = Duration::from_millis;
        let pace = Pace::new(1_000, at(0));
        let mut resets = Resets::new(true);
        let taken = pace.take(30, at(50));
        let (_, of_pairs) = resets.keep(taken, 2, 100);
        pace.settle(of_pairs, of_pairs, at(50), at(50));
        assert_eq!(
            pace.take(100, at(50)),
            20,
            "50, less 20 that left and 10 that are kept"
        );
        for (now, kept) in [(at(50), 10), (at(51), 10), (at(52), 0)] {
            resets.forget(&pace, now);
            assert_eq!(resets.kept + resets.kept_before, kept, "{now:?}");
            let returns_at = |rate_pps| resets.returns_at(rate_pps);
            let waited_for = (kept > 0).then(|| resets.kept_since + KEPT);
            assert_eq!(returns_at(1_000), waited_for, "{now:?}");
            assert_eq!(returns_at(100_000), None, "they are worth 0.1 ms");
        }
        resets.give_back(&pace, at(60));
        pace.settle(20, 0, at(60), at(60));
    }
}
