//! The packet rate of a turn of the loop: taken before, settled after.
//!
//! At the beginning of a turn some packets are taken out of the run's [`Pace`], which a sweep of
//! frames may share. Probes and interviews use them alike. At its end it is told what really left and
//! until when, with the packets that the kernel sent without being asked.
//!
//! On a near network the kernel acknowledges what came back before anybody could be told. Room for
//! that is kept with every packet that may be answered so, for a few milliseconds: who answers
//! later does so as evenly as it was asked, and then it is enough to tell afterwards.

use std::time::Duration;

use sweep::pace::Pace;

/// What one sender takes out of a pace.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// How far the time of the pace is ahead of this sender's.
    ahead: Duration,
    taken: u64,
    /// Packets that left since [`Pacer::begin`].
    left: u64,
    begun: Duration,
    /// Kept for packets of the kernel's, now and in the time before.
    expected: u64,
    expected_before: u64,
    /// When `expected` began to count.
    expected_since: Duration,
}

/// A packet, and the most that is expected because of it; slow rates do not allow so much at once.
const ONE_PACKETS: u64 = 3;
/// How long room is kept for packets of the kernel's, at least.
const EXPECTED: Duration = Duration::from_millis(2);

impl Pacer {
    /// A pacer for `rate_pps` packets a second (at least 1), with one packet to begin with.
    pub fn new(rate_pps: u64, now: Duration) -> Pacer {
        Pacer::beside(Pace::new(rate_pps, now), Duration::ZERO)
    }

    /// A pacer that shares its rate; the time of `pace` is `ahead` of the one given here.
    pub fn beside(pace: Pace, ahead: Duration) -> Pacer {
        Pacer {
            pace,
            ahead,
            taken: 0,
            left: 0,
            begun: Duration::ZERO,
            expected: 0,
            expected_before: 0,
            expected_since: Duration::ZERO,
        }
    }

    /// Takes up to `most` packets that may leave from now on.
    pub fn begin(&mut self, most: u64, now: Duration) {
        self.end(now);
        if now >= self.expected_since + EXPECTED {
            let at = now + self.ahead;
            self.pace.settle(self.expected_before, 0, at, at);
            self.expected_before = self.expected;
            self.expected = 0;
            self.expected_since = now;
        }
        self.begun = now;
        self.taken = self.pace.take(most, now + self.ahead);
    }

    /// How many of them may still leave.
    pub fn allowance(&self) -> u64 {
        self.taken.saturating_sub(self.left)
    }

    /// Whether a packet may leave, with all that the kernel may send because of it.
    pub fn allows_one(&self) -> bool {
        self.allowance() >= ONE_PACKETS.min(self.pace.most())
    }

    /// Keeps room, of what may still leave, for packets that the kernel will send by itself.
    pub fn expect(&mut self, packets: u64) {
        let kept = self.allowance().min(packets);
        self.taken -= kept;
        self.expected += kept;
    }

    /// A packet leaves, allowed or not.
    pub fn spend(&mut self) {
        self.left += 1;
    }

    /// Everything that was spent since [`Pacer::begin`] has left by now; the rest is given back.
    pub fn end(&mut self, now: Duration) {
        let (from, until) = (self.begun + self.ahead, now + self.ahead);
        self.pace.settle(self.taken, self.left, from, until);
        self.taken = 0;
        self.left = 0;
    }

    /// How long until [`Pacer::allows_one`] may be true.
    pub fn wait(&self, now: Duration) -> Duration {
        let now = now + self.ahead;
        self.pace.ready_at(ONE_PACKETS, now).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two senders at one rate, of times that began apart; the first is greedy.
    /// What left when, by the time of the pace.
    fn shared(rate_pps: u64) -> Vec<Duration> {
        let ahead = Duration::from_millis(70);
        let pace = Pace::new(rate_pps, Duration::ZERO);
        let mut greedy = Pacer::beside(pace.clone(), Duration::ZERO);
        let mut modest = Pacer::beside(pace, ahead);
        let mut left = Vec::new();
        for step in 0..20_000_u64 {
            let now = ahead + Duration::from_micros(step * 137 + (step % 7) * 40);
            greedy.begin(u64::MAX, now);
            modest.begin(3, now.saturating_sub(ahead));
            for (sender, most) in [(&mut greedy, u64::MAX), (&mut modest, 2)] {
                for _ in 0..sender.allowance().min(most) {
                    sender.spend();
                    left.push(now);
                }
            }
            greedy.end(now);
            modest.end(now.saturating_sub(ahead));
        }
        left
    }

    #[test]
    fn who_shares_a_rate_does_not_exceed_it_together() {
        for rate_pps in [10, 1_000, 10_000, 200_000] {
            let left = shared(rate_pps);
            for (first, start) in left.iter().enumerate() {
                let end = *start + Duration::from_millis(100);
                let last = left.partition_point(|at| *at < end);
                let held = (last - first) as u64;
                assert!(held <= rate_pps.div_ceil(10), "{held} at {rate_pps}");
            }
            // 2.7 s, of which the first fifth is a slow start.
            assert!(left.len() as u64 >= rate_pps * 24 / 10, "{}", left.len());
        }
    }

    #[test]
    fn what_nobody_was_asked_for_is_waited_for() {
        let at = Duration::from_millis;
        let mut pacer = Pacer::new(1_000, at(0));
        pacer.begin(64, at(50));
        assert_eq!(pacer.allowance(), 50);
        for _ in 0..60 {
            pacer.spend();
        }
        assert_eq!(pacer.allowance(), 0);
        pacer.end(at(50));
        pacer.begin(64, at(60));
        assert_eq!(pacer.allowance(), 0, "ten too many");
        pacer.end(at(60));
        assert_eq!(
            pacer.wait(at(60)),
            at(3),
            "for a packet and what follows it"
        );
        pacer.begin(64, at(70));
        assert_eq!(pacer.allowance(), 10);
    }
}
