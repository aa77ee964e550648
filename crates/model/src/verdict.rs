//! The nine verdicts an endpoint can get.

use std::fmt;

/// What an endpoint is. Exactly one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Executes memcached commands without credentials.
    Exposed,
    /// Speaks memcached and demands authentication, or TLS that demands a client certificate.
    Protected,
    /// Contradicts itself: a honeypot.
    Decoy,
    /// Accepts or answers, and is not memcached.
    Other,
    /// A deadline or a limit came first.
    Unfinished,
    /// Refused, or switched off by its own settings.
    Closed,
    /// TCP: no answer to the SYN. Either transport: ICMP prohibited.
    Filtered,
    /// UDP: no answer to any probe.
    Silent,
    /// No such host.
    Absent,
}

impl Verdict {
    /// All of them, in the order that summaries use.
    pub const ALL: [Verdict; 9] = [
        Verdict::Exposed,
        Verdict::Protected,
        Verdict::Decoy,
        Verdict::Other,
        Verdict::Unfinished,
        Verdict::Closed,
        Verdict::Filtered,
        Verdict::Silent,
        Verdict::Absent,
    ];

    /// The word used in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Exposed => "exposed",
            Verdict::Protected => "protected",
            Verdict::Decoy => "decoy",
            Verdict::Other => "other",
            Verdict::Unfinished => "unfinished",
            Verdict::Closed => "closed",
            Verdict::Filtered => "filtered",
            Verdict::Silent => "silent",
            Verdict::Absent => "absent",
        }
    }

    /// The verdict of a word, if it is one.
    pub fn from_word(word: &str) -> Option<Verdict> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| verdict.as_str() == word)
    }

    /// Whether an endpoint out of a range gets a record of its own without `--all`.
    pub fn is_recorded_by_default(self) -> bool {
        match self {
            Verdict::Exposed
            | Verdict::Protected
            | Verdict::Decoy
            | Verdict::Other
            | Verdict::Unfinished => true,
            Verdict::Closed | Verdict::Filtered | Verdict::Silent | Verdict::Absent => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// How many endpoints got each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerdictCounts {
    counts: [u64; 9],
}

impl VerdictCounts {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        self.add_many(verdict, 1);
    }

    /// Counts several more.
    pub fn add_many(&mut self, verdict: Verdict, count: u64) {
        self.counts[verdict as usize] += count;
    }

    /// Takes one back, when a late answer changes a verdict that was already counted.
    pub fn take_back(&mut self, verdict: Verdict) {
        let count = &mut self.counts[verdict as usize];
        debug_assert!(*count > 0, "took back a verdict that was never counted");
        *count = count.saturating_sub(1);
    }

    /// Takes several back, at most as many as there are.
    pub fn take_back_many(&mut self, verdict: Verdict, count: u64) {
        let counted = &mut self.counts[verdict as usize];
        *counted = counted.saturating_sub(count);
    }

    /// How many got this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.counts[verdict as usize]
    }

    /// All verdicts with their counts, zero included, in summary order.
    pub fn iter(&self) -> impl Iterator<Item = (Verdict, u64)> + '_ {
        Verdict::ALL
            .into_iter()
            .map(|verdict| (verdict, self.of(verdict)))
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
