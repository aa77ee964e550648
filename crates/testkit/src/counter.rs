//! How many packets passed in the busiest stretch of time, from a counter that is read again and
//! again while somebody sends.
//!
//! A reading takes time, and who reads may lose the processor in the middle of it: so each has the
//! time before and the time after, and only what surely fell into the stretch is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Between two readings.
const PAUSE: Duration = Duration::from_micros(500);

/// A counter, read again and again.
#[derive(Debug, Default)]
pub struct Counter {
    readings: Vec<Reading>,
}

/// What a counter stood at, at some time between the two.
#[derive(Clone, Copy, Debug)]
struct Reading {
    from: Instant,
    until: Instant,
    count: u64,
}

impl Counter {
    /// Reads a counter as long as `work` lasts, and once more. What could not be read is left out.
    pub fn watch<T>(
        read: impl Fn() -> Option<u64> + Sync,
        work: impl FnOnce() -> T,
    ) -> (T, Counter) {
        let is_over = AtomicBool::new(false);
        let mut counter = Counter::default();
        counter.look(&read);
        thread::scope(|scope| {
            let watching = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    counter.look(&read);
                    thread::sleep(PAUSE);
                }
                counter.look(&read);
                counter
            });
            // Also if the work panics, or nobody would ever come back from here.
            let end = Ends(&is_over);
            let done = work();
            drop(end);
            (done, watching.join().expect("reading does not panic"))
        })
    }

    fn look(&mut self, read: impl Fn() -> Option<u64>) {
        let from = Instant::now();
        let count = read();
        let until = Instant::now();
        let reading = count.map(|count| Reading { from, until, count });
        self.readings.extend(reading);
    }

    /// Counted from the first reading to the last.
    pub fn total(&self) -> u64 {
        match (self.readings.first(), self.readings.last()) {
            (Some(first), Some(last)) => last.count.saturating_sub(first.count),
            _ => 0,
        }
    }

    /// The most that was counted in a stretch of this length, as far as is sure: between two readings
    /// of which the second was over before so much time had passed since the first began.
    pub fn busiest(&self, length: Duration) -> u64 {
        let mut busiest = 0;
        let mut last = 0;
        for first in &self.readings {
            while self
                .readings
                .get(last + 1)
                .is_some_and(|next| next.until <= first.from + length)
            {
                last += 1;
            }
            busiest = busiest.max(self.readings[last].count.saturating_sub(first.count));
        }
        busiest
    }

    /// Counted a second, from the first movement to the last. `None` if it never moved, or only once.
    pub fn per_second(&self) -> Option<f64> {
        let mut moved = self
            .readings
            .windows(2)
            .filter(|pair| pair[0].count < pair[1].count)
            .map(|pair| pair[1]);
        let (first, last) = (moved.next()?, moved.next_back()?);
        let seconds = last.until.duration_since(first.until).as_secs_f64();
        (seconds > 0.0).then(|| (last.count - first.count) as f64 / seconds)
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Readings that each took a millisecond.
    fn counter(counts: &[(u64, u64)]) -> Counter {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let reading = |(ms, count): &(u64, u64)| Reading {
            from: at(*ms),
            until: at(ms + 1),
            count: *count,
        };
        Counter {
            readings: counts.iter().map(reading).collect(),
        }
    }

    #[test]
    fn only_what_surely_fell_into_a_stretch_is_counted() {
        let check = |counts: &[(u64, u64)], expect: u64| {
            let busiest = counter(counts).busiest(Duration::from_millis(100));
            assert_eq!(busiest, expect, "{counts:?}");
        };
        let steady: Vec<(u64, u64)> = (0..=50).map(|step| (step * 10, step * 10)).collect();
        check(&steady, 90);
        let mut burst = steady.clone();
        for (_, count) in &mut burst[30..] {
            *count += 50;
        }
        check(&burst, 140);
        // The second reading was over 101 ms after the first began.
        check(&[(0, 0), (100, 7)], 0);
        check(&[(0, 0), (99, 7)], 7);
        check(&[], 0);
    }

    #[test]
    fn idle_time_before_and_after_does_not_count() {
        let check = |counts: &[(u64, u64)], expect: Option<f64>| {
            assert_eq!(counter(counts).per_second(), expect, "{counts:?}");
        };
        let moving = [(0, 5), (10, 5), (20, 15), (30, 25), (40, 35), (900, 35)];
        check(&moving, Some(1_000.0));
        check(&[(0, 5), (10, 15)], None);
        check(&[(0, 5), (10, 5)], None);
        check(&[], None);
    }

    #[test]
    fn a_counter_is_read_from_before_the_work_until_after_it() {
        let count = AtomicU64::new(3);
        let read = || Some(count.load(Ordering::Relaxed));
        let (said, counter) = Counter::watch(read, || {
            count.fetch_add(4, Ordering::Relaxed);
            "done"
        });
        assert_eq!((said, counter.total()), ("done", 4));
        let ((), counter) = Counter::watch(|| None, || ());
        assert_eq!((counter.total(), counter.per_second()), (0, None));
    }
}
