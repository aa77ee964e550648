//! How long and how deep to ask.

use std::num::NonZeroU32;
use std::time::Duration;

/// How much is asked of a server that talks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// What a verdict and its findings need.
    #[default]
    Scan,
    /// Everything an outsider can learn without harm: `stats items` over UDP too.
    Full,
    /// Only whether it answers `version`: for networks that accept every connection.
    Sample,
}

/// Limits and depth of one interview.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is asked.
    pub depth: Depth,
    /// Longest time until it is known what speaks there.
    pub triage_max: Duration,
    /// Longest time of the whole interview, triage included.
    pub interview_max: Duration,
    /// How long one answer may take before silence is believed; from the measured round trip.
    pub reply_wait: Duration,
    /// Whether `stats conns` may be asked: over TCP, never over a unix socket.
    pub over_tcp: bool,
    /// Whether packets carry IPv6 headers (for the wire ratio).
    pub ipv6: bool,
    /// The most names of keys that an open server is asked for over a stream, by its user's wish;
    /// `None` = none are asked for.
    pub key_names_max: Option<NonZeroU32>,
    /// Makes random keys and request ids unpredictable.
    pub seed: u64,
}

impl Options {
    /// The shortest time that silence is given.
    pub const REPLY_WAIT_MIN: Duration = Duration::from_millis(500);
    /// The longest; three of these must fit into `triage_max`.
    pub const REPLY_WAIT_MAX: Duration = Duration::from_millis(800);

    /// The usual limits: 3 s for the triage, 10 s in all, waits from the round-trip time.
    pub fn new(depth: Depth, rtt: Option<Duration>, seed: u64) -> Options {
        let reply_wait = rtt
            .map_or(Self::REPLY_WAIT_MIN, |rtt| rtt * 4)
            .clamp(Self::REPLY_WAIT_MIN, Self::REPLY_WAIT_MAX);
        Options {
            depth,
            triage_max: Duration::from_secs(3),
            interview_max: Duration::from_secs(10),
            reply_wait,
            over_tcp: true,
            ipv6: false,
            key_names_max: None,
            seed,
        }
    }
}

/// A small generator (SplitMix64, Steele et al. 2014) for ids and keys of one interview. Its seed
/// comes from the run's secret, so a peer cannot guess what is drawn.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    pub(crate) fn next_u16(&mut self) -> u16 {
        (self.next_u64() >> 48) as u16
    }
}
