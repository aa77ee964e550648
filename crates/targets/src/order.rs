//! The order of the probes: a keyed shuffle that is computed and never stored.
//!
//! # Why shuffle at all
//!
//! Asked in the order they are written, the hosts of one network would get all their packets in one
//! burst: their router's neighbour table overflows, its rate limit drops what is left, and the scan
//! misses servers. Shuffled, every network gets its share spread over the whole run.
//!
//! # Why compute it
//!
//! A shuffled list of a /8 takes 128 MiB, and a run that broke off would have to store what it has
//! done. Instead, a *permutation* maps the position in the run (0, 1, 2, …) to a pair's number,
//! each number exactly once. It needs no memory but its keys, any position can be computed by
//! itself, and "how far we got" is a single integer.
//!
//! # How
//!
//! 1. Let `bits` be the smallest number of bits that can write `count - 1`, so that the domain
//!    `0..2^bits` is less than twice as large as `0..count`.
//! 2. Cut a number of that many bits into a left half and a right half (the right one is a bit
//!    larger if `bits` is odd). In each *round*, one half is XORed with a scrambled copy of the
//!    other one, alternately left and right. XORing again would undo the round, so a round loses
//!    nothing: it is a bijection of the domain, and so are six of them. That is a Feistel network
//!    with unbalanced halves.
//! 3. The result may be `count` or above. Then it is put through the rounds again until it is not:
//!    *cycle walking*. Following a bijection from a number below `count` always returns below
//!    `count` in the end (at the latest at the number it started from), and no two starts meet on
//!    the way, so the whole is a bijection of `0..count`. As more than half of the domain is below
//!    `count`, two passes are enough on average.
//!
//! The scrambling is the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom
//! Number Generators", OOPSLA 2014). It is not a cipher: whoever sees the packets may be able to
//! work out the order. Nothing depends on it being secret; what matters is that it is spread and
//! repeats.
//!
//! # A worked example
//!
//! Ten pairs, seed 7. `bits` is 4, the domain 0..16, both halves have 2 bits.
//!
//! ```text
//! position      0  1  2  3  4  5  6  7  8  9
//! one pass     15 12  9  8 14  4  3  5 13 11
//! pair          0  2  9  8  1  4  3  5  7  6
//! ```
//!
//! Position 0 lands on 15, which is no pair; another pass takes 15 to 0, so the first pair asked is
//! number 0. Position 8 needs three passes: 13, then 10, then 7. Position 2 lands on 9 at once.
//!
//! # Shards and resuming
//!
//! Shard I of N takes the positions I − 1, I − 1 + N, I − 1 + 2N, …: shards are disjoint, complete,
//! and equally large but for one pair. The *counter* numbers the positions within the shard. A run
//! that stops at counter 1000 is continued by an [`Order`] made with the same count, seed and
//! shard, and counter 1000. The shuffle is therefore a promise to files that are already written:
//! changing it makes old runs impossible to resume, and a test pins its values.

/// Rounds of the Feistel network. Four are the least that look random from both sides (Luby and
/// Rackoff, 1988); two more make up for the small halves of small counts.
pub const ROUNDS: usize = 6;

/// The increment of SplitMix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A keyed bijection of `0..count`.
#[derive(Clone, Debug)]
pub struct Permutation {
    count: u64,
    left_mask: u64,
    right_mask: u64,
    right_bits: u32,
    round_keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..count` that belongs to this seed. Every count is possible; 0 has no
    /// positions.
    pub fn new(count: u64, seed: u64) -> Permutation {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        let left_bits = bits / 2;
        let right_bits = bits - left_bits;
        let mut round_keys = [0; ROUNDS];
        for (round, key) in (1u64..).zip(round_keys.iter_mut()) {
            *key = scramble(seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(round)));
        }
        Permutation {
            count,
            left_mask: (1 << left_bits) - 1,
            right_mask: (1 << right_bits) - 1,
            right_bits,
            round_keys,
        }
    }

    /// The numbers that the shuffle is made of, for a sender that computes it elsewhere.
    pub fn parts(&self) -> PermutationParts {
        PermutationParts {
            count: self.count,
            left_mask: self.left_mask,
            right_mask: self.right_mask,
            right_bits: self.right_bits,
            round_keys: self.round_keys,
        }
    }

    /// How many positions there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number at this position.
    ///
    /// # Panics
    ///
    /// If `position` is not below the count.
    pub fn at(&self, position: u64) -> u64 {
        assert!(
            position < self.count,
            "position {position} of {}",
            self.count
        );
        // Ends: the rounds are a bijection, so the walk comes back to `position` at the latest.
        let mut number = self.rounds(position);
        while number >= self.count {
            number = self.rounds(number);
        }
        number
    }

    /// At which position this number stands: the inverse of [`Permutation::at`]. `None` if the
    /// number is not below the count.
    pub fn position_of(&self, number: u64) -> Option<u64> {
        if number >= self.count {
            return None;
        }
        let mut position = self.rounds_back(number);
        while position >= self.count {
            position = self.rounds_back(position);
        }
        Some(position)
    }

    /// One pass of the Feistel network over the domain.
    fn rounds(&self, number: u64) -> u64 {
        let mut left = number >> self.right_bits;
        let mut right = number & self.right_mask;
        for keys in self.round_keys.chunks_exact(2) {
            left ^= scramble(right ^ keys[0]) & self.left_mask;
            right ^= scramble(left ^ keys[1]) & self.right_mask;
        }
        left << self.right_bits | right
    }

    /// Undoes one pass: the same XORs from the last to the first.
    fn rounds_back(&self, number: u64) -> u64 {
        let mut left = number >> self.right_bits;
        let mut right = number & self.right_mask;
        for keys in self.round_keys.chunks_exact(2).rev() {
            right ^= scramble(left ^ keys[1]) & self.right_mask;
            left ^= scramble(right ^ keys[0]) & self.left_mask;
        }
        left << self.right_bits | right
    }
}

/// What [`Permutation::at`] computes with; the essay of this module says how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermutationParts {
    /// How many positions there are.
    pub count: u64,
    /// Ones where the left half has bits, at the low end.
    pub left_mask: u64,
    /// Ones where the right half has bits.
    pub right_mask: u64,
    /// How many bits the right half has.
    pub right_bits: u32,
    /// The key of each round, the first one first.
    pub round_keys: [u64; ROUNDS],
}

/// The finalizer of SplitMix64: every bit of the input changes about half of the output.
fn scramble(input: u64) -> u64 {
    let mixed = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// One of several parts of a run: part `index` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Which part, `1..=of`.
    pub index: u64,
    /// How many parts there are, at least 1.
    pub of: u64,
}

impl Shard {
    /// The only part of a run that is not divided.
    pub const ALL: Shard = Shard { index: 1, of: 1 };

    /// How many of `pairs` positions belong to this shard.
    pub fn len_of(self, pairs: u64) -> u64 {
        assert!(self.index >= 1, "shards are counted from 1");
        assert!(self.index <= self.of, "shard {} of {}", self.index, self.of);
        pairs.saturating_sub(self.index - 1).div_ceil(self.of)
    }
}

/// The pairs of one shard in the order of the run, from a counter on.
#[derive(Clone, Debug)]
pub struct Order {
    permutation: Permutation,
    shard: Shard,
    len: u64,
    counter: u64,
}

impl Order {
    /// The order of `pairs` pairs; `counter` of this shard's are already done, 0 for a fresh run. A
    /// counter above the shard's length means that everything is done.
    ///
    /// # Panics
    ///
    /// If the shard's index is not in `1..=of`; [`crate::parse_shard`] checks what users type.
    pub fn new(pairs: u64, seed: u64, shard: Shard, counter: u64) -> Order {
        let len = shard.len_of(pairs);
        Order {
            permutation: Permutation::new(pairs, seed),
            shard,
            len,
            counter: counter.min(len),
        }
    }

    /// How many pairs this shard holds in all, done ones included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The shuffle that this order follows.
    pub fn permutation(&self) -> &Permutation {
        &self.permutation
    }

    /// Which part of the run this is: the pair at a counter stands at position
    /// `index - 1 + counter * of` of the shuffle.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Whether this shard holds no pair at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The counter of the pair that comes next: everything before it has been handed out.
    pub fn counter(&self) -> u64 {
        self.counter
    }

    /// The index of the pair at an earlier place of this order, for asking it again; `None` beyond
    /// the shard's length.
    pub fn index_at(&self, counter: u64) -> Option<u64> {
        let position = self.shard.index - 1 + counter.checked_mul(self.shard.of)?;
        (counter < self.len).then(|| self.permutation.at(position))
    }

    /// At which place of this order a pair stands; `None` if it belongs to another shard.
    pub fn counter_of(&self, index: u64) -> Option<u64> {
        let steps = self
            .permutation
            .position_of(index)?
            .checked_sub(self.shard.index - 1)?;
        steps
            .is_multiple_of(self.shard.of)
            .then(|| steps / self.shard.of)
    }

    /// How many pairs are still to come.
    pub fn remaining(&self) -> u64 {
        self.len - self.counter
    }
}

/// Yields the counter of a position within the shard, and the index of the pair to ask there.
impl Iterator for Order {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if self.counter >= self.len {
            return None;
        }
        let counter = self.counter;
        self.counter += 1;
        // Below `pairs`, because the counter is below the shard's length.
        let position = self.shard.index - 1 + counter * self.shard.of;
        Some((counter, self.permutation.at(position)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        usize::try_from(self.remaining()).map_or((usize::MAX, None), |left| (left, Some(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(count: u64, seed: u64) -> Vec<u64> {
        let permutation = Permutation::new(count, seed);
        (0..count)
            .map(|position| permutation.at(position))
            .collect()
    }

    #[test]
    fn the_worked_example_of_the_essay() {
        let permutation = Permutation::new(10, 7);
        let one_pass: Vec<u64> = (0..10)
            .map(|position| permutation.rounds(position))
            .collect();
        assert_eq!(one_pass, [15, 12, 9, 8, 14, 4, 3, 5, 13, 11]);
        assert_eq!(all(10, 7), [0, 2, 9, 8, 1, 4, 3, 5, 7, 6]);
        let passes = [
            permutation.rounds(15),
            permutation.rounds(13),
            permutation.rounds(10),
        ];
        assert_eq!(passes, [0, 10, 7]);
    }

    /// Runs that are already on disk are resumed by these numbers: they may never change.
    #[test]
    fn the_shuffle_is_pinned() {
        let permutation = Permutation::new(1 << 24, 42);
        let start: Vec<u64> = (0..4).map(|position| permutation.at(position)).collect();
        assert_eq!(start, [10_305_242, 5_714_795, 12_422_333, 14_351_887]);
        let permutation = Permutation::new(1_000_003, u64::MAX);
        let end: Vec<u64> = (999_999..1_000_003)
            .map(|position| permutation.at(position))
            .collect();
        assert_eq!(end, [991_139, 614_147, 921_519, 177_106]);
    }

    #[test]
    fn every_small_count_is_a_bijection() {
        for count in 0..=260 {
            for seed in [0, 1, 7, u64::MAX] {
                let mut numbers = all(count, seed);
                numbers.sort_unstable();
                assert_eq!(
                    numbers,
                    (0..count).collect::<Vec<_>>(),
                    "count {count} seed {seed}"
                );
            }
        }
    }

    #[test]
    fn every_pair_knows_its_place() {
        for (count, seed, of) in [(1, 0, 1), (10, 7, 1), (1_000, 3, 3), (4_097, 9, 2)] {
            for index in 1..=of {
                let order = Order::new(count, seed, Shard { index, of }, 0);
                let mut own = 0;
                for pair in 0..count {
                    if let Some(counter) = order.counter_of(pair) {
                        assert_eq!(order.index_at(counter), Some(pair));
                        own += 1;
                    }
                }
                assert_eq!(own, order.len(), "count {count}, shard {index}/{of}");
                assert_eq!(order.counter_of(count), None);
            }
        }
    }

    #[test]
    fn a_whole_network_is_a_bijection() {
        for count in [65_535, 65_536, 65_537, 100_000] {
            let mut seen = vec![false; count as usize];
            for number in all(count, 3) {
                assert!(
                    !std::mem::replace(&mut seen[number as usize], true),
                    "{number} twice"
                );
            }
        }
    }

    #[test]
    fn small_counts_reach_every_order() {
        let orders: std::collections::BTreeSet<Vec<u64>> =
            (0..500).map(|seed| all(4, seed)).collect();
        assert_eq!(orders.len(), 24);
    }

    /// In a random order of n numbers, neighbours differ by n/3 on average, about 2 pairs of
    /// neighbours stay neighbours, and an early part of the run spreads evenly over the networks.
    #[test]
    fn neighbours_do_not_stay_neighbours() {
        for (count, seed) in [(4_096u64, 1u64), (60_000, 2), (65_536, 3), (65_537, 4)] {
            let numbers = all(count, seed);
            let gaps: Vec<u64> = numbers
                .windows(2)
                .map(|pair| pair[0].abs_diff(pair[1]))
                .collect();
            let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
            let share = mean / count as f64;
            assert!((0.32..0.35).contains(&share), "mean gap {share} of {count}");
            let adjacent = gaps.iter().filter(|gap| **gap == 1).count();
            assert!(adjacent <= 12, "{adjacent} neighbours of {count}");
            let mut networks = [0u32; 16];
            for number in &numbers[..count as usize / 4] {
                networks[(number * 16 / count) as usize] += 1;
            }
            let fair = count as f64 / 64.0;
            for (network, asked) in networks.iter().enumerate() {
                let off = (f64::from(*asked) - fair).abs() / fair;
                assert!(
                    off < 0.35,
                    "network {network}: {asked} instead of {fair} of {count}"
                );
            }
        }
    }

    #[test]
    fn every_bit_of_the_seed_counts() {
        let base = all(1_000, 0);
        for bit in 0..64 {
            let other = all(1_000, 1 << bit);
            let same = base.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(same < 10, "bit {bit}: {same} places are the same");
        }
    }

    #[test]
    fn shards_have_their_lengths() {
        let cases = [
            (0, 1, 1, 0),
            (10, 1, 1, 10),
            (10, 1, 3, 4),
            (10, 2, 3, 3),
            (10, 3, 3, 3),
            (2, 3, 3, 0),
            (1 << 40, u64::MAX, u64::MAX, 0),
            (5, 1, u64::MAX, 1),
        ];
        for (pairs, index, of, len) in cases {
            let order = Order::new(pairs, 1, Shard { index, of }, 0);
            assert_eq!(order.len(), len, "{pairs} {index}/{of}");
            assert_eq!(order.count() as u64, len, "{pairs} {index}/{of}");
        }
    }

    #[test]
    fn a_counter_behind_the_end_means_done() {
        let mut order = Order::new(10, 1, Shard::ALL, 99);
        assert_eq!(
            (order.next(), order.counter(), order.remaining()),
            (None, 10, 0)
        );
        assert!(!order.is_empty());
    }

    #[test]
    fn the_largest_counts_work() {
        for count in [1 << 40, (1 << 40) + 1, u64::MAX] {
            let permutation = Permutation::new(count, 5);
            for position in [0, 1, count / 2, count - 1] {
                assert!(permutation.at(position) < count);
            }
        }
    }
}
