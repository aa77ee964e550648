//! The packet rate, held in every window of 100 ms.
//!
//! Two rules, and a packet leaves only if both let it:
//!
//! 1. **The window.** The limiter remembers what left in the last 100 ms. Together with what it
//!    allows now, that is never more than a tenth of the rate (rounded up to a whole packet). This
//!    holds for every window, not only for those that begin at a full tenth of a second: packets
//!    that left between two times count as if all of them had left at the later one.
//! 2. **The credit.** It grows with the rate, from one packet on, up to what the rate makes in
//!    50 ms. It spreads packets over the window, is the slow start, and makes rates exact that are
//!    no multiple of ten: 15 packets a second are at most 2 in 100 ms by the first rule and 15 in a
//!    second by this one.
//!
//! A clock that stands still or goes back changes nothing; one that leaps (the machine slept) fills
//! the credit and no more.
//!
//! Whoever sends takes packets out first and says afterwards how many of them left, and when: what is
//! taken is nobody else's meanwhile. So a sweep and its interviews, on threads of their own, share
//! one [`Pace`]. What the kernel sends by itself (it acknowledges, it resets) cannot be taken
//! before; it is told afterwards and makes the next packet wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The window in which the rate is held.
pub const WINDOW: Duration = Duration::from_millis(100);

/// The rate at which a run begins, in packets a second.
const START_PPS: u64 = 10_000;
/// In this time the rate doubles until it is the asked one.
const DOUBLING: Duration = Duration::from_millis(20);
/// Credit grows no further than the rate makes in this time (and at least one packet).
const CREDIT_TIME: Duration = Duration::from_millis(50);
/// Debt grows no further than the rate makes in this time.
const DEBT_TIME: Duration = Duration::from_secs(1);
/// Packets that leave within this time are remembered together, as if all had left at its end.
const GRAIN: Duration = Duration::from_micros(100);
/// Credit is counted in packets times this, so that a nanosecond at 1 packet a second is one unit.
const UNITS: i128 = 1_000_000_000;

/// If all that is free is taken, it is looked again after this time.
const TAKEN_PAUSE: Duration = Duration::from_millis(1);

/// One rate for all who send in a run. Their times are counted from the same beginning.
#[derive(Clone, Debug)]
pub struct Pace {
    limiter: Arc<Mutex<Limiter>>,
}

impl Pace {
    /// As [`Limiter::new`].
    pub fn new(rate_pps: u64, now: Duration) -> Pace {
        Pace {
            limiter: Arc::new(Mutex::new(Limiter::new(rate_pps, now))),
        }
    }

    /// As [`Limiter::take`].
    pub fn take(&self, most: u64, now: Duration) -> u64 {
        self.limiter().take(most, now)
    }

    /// As [`Limiter::settle`].
    pub fn settle(&self, taken: u64, left: u64, from: Duration, until: Duration) {
        self.limiter().settle(taken, left, from, until);
    }

    /// As [`Limiter::ready_at`].
    pub fn ready_at(&self, packets: u64, now: Duration) -> Duration {
        self.limiter().ready_at(packets, now)
    }

    /// As [`Limiter::most`].
    pub fn most(&self) -> u64 {
        self.limiter().most()
    }

    /// As [`Limiter::set_rate`].
    pub fn set_rate(&self, rate_pps: u64, now: Duration) {
        self.limiter().set_rate(rate_pps, now);
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // Nothing that holds the lock leaves a half-made state behind.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what left, and says how much may leave.
#[derive(Clone, Debug)]
pub struct Limiter {
    rate_pps: u64,
    /// The rate was this at [`Limiter::ramp_at`] and doubles from there.
    ramp_pps: u64,
    ramp_at: Duration,
    /// In packets times [`UNITS`], counted up to [`Limiter::now`]; below 0 it is a debt.
    credit: i128,
    now: Duration,
    left: VecDeque<Left>,
    left_sum: u64,
    /// Taken, and not settled yet.
    taken: u64,
}

/// Packets that left together.
#[derive(Clone, Copy, Debug)]
struct Left {
    first: Duration,
    until: Duration,
    packets: u64,
}

impl Limiter {
    /// A limiter for `rate_pps` packets a second, at least 1. It starts slowly: the allowed rate
    /// doubles every 20 ms from 10,000 packets a second on, until it is `rate_pps`.
    pub fn new(rate_pps: u64, now: Duration) -> Limiter {
        let rate_pps = rate_pps.max(1);
        Limiter {
            rate_pps,
            ramp_pps: rate_pps.min(START_PPS),
            ramp_at: now,
            credit: UNITS,
            now,
            left: VecDeque::new(),
            left_sum: 0,
            taken: 0,
        }
    }

    /// Changes the rate from now on. To a higher one it doubles every 20 ms from where it is.
    pub fn set_rate(&mut self, rate_pps: u64, now: Duration) {
        self.advance(now);
        let reached = step_rate(self.ramp_pps, self.steps_until(self.now), self.rate_pps);
        self.rate_pps = rate_pps.max(1);
        self.ramp_pps = self.rate_pps.min(reached.max(START_PPS));
        self.ramp_at = self.now;
        self.credit = self.credit.min(self.credit_max());
    }

    /// How many packets may leave now, so that no window of 100 ms holds more than the rate allows.
    pub fn allowance(&mut self, now: Duration) -> u64 {
        self.advance(now);
        let by_credit = u64::try_from(self.credit / UNITS).unwrap_or(0);
        let by_window = self.window_packets().saturating_sub(self.left_sum);
        by_credit.min(by_window).saturating_sub(self.taken)
    }

    /// Takes up to `most` of the packets that may leave now; [`Limiter::settle`] gives them back.
    pub fn take(&mut self, most: u64, now: Duration) -> u64 {
        let taken = self.allowance(now).min(most);
        self.taken += taken;
        taken
    }

    /// Of `taken` packets, `left` have left, at unknown times between `from` and `until`. More than
    /// were taken is what nobody was asked for.
    pub fn settle(&mut self, taken: u64, left: u64, from: Duration, until: Duration) {
        assert!(taken <= self.taken, "more given back than was taken");
        self.taken -= taken;
        self.spend(left, from, until);
    }

    /// `packets` left at unknown times between `from` and `until`. More than was allowed is a debt.
    pub fn spend(&mut self, packets: u64, from: Duration, until: Duration) {
        if packets == 0 {
            return;
        }
        let debt_max = i128::from(self.rate_pps) * DEBT_TIME.as_nanos() as i128;
        let spent = i128::from(packets) * UNITS;
        self.credit = (self.credit - spent).max(-debt_max);
        let until = until.max(from).max(self.now);
        match self.left.back_mut() {
            Some(last) if until <= last.first + GRAIN => {
                last.until = last.until.max(until);
                last.packets += packets;
            }
            last => {
                // In order, so that the oldest is always in front.
                let until = last.map_or(until, |last| until.max(last.until));
                self.left.push_back(Left {
                    first: until,
                    until,
                    packets,
                });
            }
        }
        self.left_sum += packets;
    }

    /// When [`Limiter::allowance`] will be at least `packets` (capped to what it can ever be), if
    /// nothing more is spent and what is taken leaves. Whoever always waits for as many reaches the rate only if a window
    /// holds them without a rest: wait for what the rate makes in 1, 2, 4, 5, 10, 20, 25 or 50 ms.
    pub fn ready_at(&mut self, packets: u64, now: Duration) -> Duration {
        self.advance(now);
        let packets = packets.min(self.most());
        if packets == 0 {
            return self.now;
        }
        let wanted = packets + self.taken;
        let at = self.credit_at(wanted).max(self.window_free_at(wanted));
        if self.taken > 0 && at <= self.now {
            return self.now + TAKEN_PAUSE;
        }
        at
    }

    /// More than this is never allowed at once.
    pub fn most(&self) -> u64 {
        let by_credit = (self.credit_max() / UNITS) as u64;
        by_credit.min(self.window_packets())
    }

    /// Packets that a window may hold: a tenth of the rate, rounded up.
    fn window_packets(&self) -> u64 {
        let nanos = u128::from(self.rate_pps) * WINDOW.as_nanos();
        nanos.div_ceil(UNITS as u128) as u64
    }

    fn credit_max(&self) -> i128 {
        (i128::from(self.rate_pps) * CREDIT_TIME.as_nanos() as i128).max(UNITS)
    }

    /// Lets time pass: credit grows, and what left long ago is forgotten.
    fn advance(&mut self, now: Duration) {
        if now > self.now {
            let grown = self.grown_between(self.now, now);
            self.credit = (self.credit + grown).min(self.credit_max());
            self.now = now;
        }
        while let Some(oldest) = self.left.front() {
            if oldest.until + WINDOW > self.now {
                break;
            }
            self.left_sum -= oldest.packets;
            self.left.pop_front();
        }
    }

    /// How many times the rate has doubled at this time.
    fn steps_until(&self, time: Duration) -> u32 {
        let steps = time.saturating_sub(self.ramp_at).as_nanos() / DOUBLING.as_nanos();
        steps.min(u128::from(u64::BITS)) as u32
    }

    /// The credit that grows between two times, which are not before the ramp.
    fn grown_between(&self, from: Duration, to: Duration) -> i128 {
        let mut grown = 0;
        let mut at = from;
        while at < to {
            let step = self.steps_until(at);
            let rate = step_rate(self.ramp_pps, step, self.rate_pps);
            let end = if rate == self.rate_pps {
                to
            } else {
                to.min(self.ramp_at + DOUBLING * (step + 1))
            };
            grown += i128::from(rate) * (end - at).as_nanos() as i128;
            at = end;
        }
        grown
    }

    /// When the credit is this many packets.
    fn credit_at(&self, packets: u64) -> Duration {
        let mut missing = i128::from(packets) * UNITS - self.credit;
        let mut at = self.now;
        while missing > 0 {
            let step = self.steps_until(at);
            let rate = step_rate(self.ramp_pps, step, self.rate_pps);
            let step_end = self.ramp_at + DOUBLING * (step + 1);
            let in_step = i128::from(rate) * step_end.saturating_sub(at).as_nanos() as i128;
            if rate == self.rate_pps || missing <= in_step {
                let nanos = (missing + i128::from(rate) - 1) / i128::from(rate);
                return at + Duration::from_nanos(nanos as u64);
            }
            missing -= in_step;
            at = step_end;
        }
        at
    }

    /// When the window has room for this many packets, or for all that it can ever hold.
    fn window_free_at(&self, packets: u64) -> Duration {
        let mut held = self.left_sum;
        let mut at = self.now;
        for left in &self.left {
            if held + packets <= self.window_packets() {
                break;
            }
            held -= left.packets;
            at = left.until + WINDOW;
        }
        at
    }
}

/// The rate after this many doublings.
fn step_rate(from_pps: u64, doublings: u32, most_pps: u64) -> u64 {
    let doubled = u128::from(from_pps) << doublings.min(u64::BITS - 1);
    u64::try_from(doubled).unwrap_or(u64::MAX).min(most_pps)
}
