//! A queue of wake-ups. Entries are not removed when their reason goes away; whoever is woken looks
//! whether it still wanted to be.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Wake-ups in the order of their time; of equal times, the one set first comes first.
#[derive(Debug)]
pub(crate) struct Timers<Key> {
    heap: BinaryHeap<Reverse<(Duration, u64, KeyBox<Key>)>>,
    next: u64,
}

/// Takes the key out of the comparison.
#[derive(Debug)]
struct KeyBox<Key>(Key);

impl<Key> PartialEq for KeyBox<Key> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<Key> Eq for KeyBox<Key> {}
impl<Key> PartialOrd for KeyBox<Key> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<Key> Ord for KeyBox<Key> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl<Key> Timers<Key> {
    pub(crate) fn new() -> Timers<Key> {
        Timers {
            heap: BinaryHeap::new(),
            next: 0,
        }
    }

    pub(crate) fn set(&mut self, at: Duration, key: Key) {
        self.heap.push(Reverse((at, self.next, KeyBox(key))));
        self.next += 1;
    }

    /// The next wake-up that is due.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Key> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, KeyBox(key)))| key)
    }

    /// When the next wake-up is.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_come_in_order_and_never_early() {
        let mut timers = Timers::new();
        for (at, key) in [(30, 'c'), (10, 'a'), (10, 'b')] {
            timers.set(Duration::from_millis(at), key);
        }
        assert_eq!(timers.due(Duration::from_millis(9)), None);
        assert_eq!(timers.due(Duration::from_millis(10)), Some('a'));
        assert_eq!(timers.due(Duration::from_millis(10)), Some('b'));
        assert_eq!(timers.next_at(), Some(Duration::from_millis(30)));
        assert_eq!(timers.due(Duration::from_millis(29)), None);
    }
}
