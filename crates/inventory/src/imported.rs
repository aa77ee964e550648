//! What became of results of others that were taken in, and how they stand to what was seen from here.

use std::sync::Arc;
use std::time::SystemTime;

use model::{Endpoint, Verdict, VerdictCounts};

/// Endpoints that are named where others saw them differently; the rest are counted.
pub const STANDINGS_MAX: usize = 100;

/// What became of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The run that it became.
    pub run: Arc<str>,
    /// Who saw it.
    pub source: String,
    /// Observations that are kept.
    pub kept: u64,
    /// Records about something else, or about no endpoint.
    pub passed_over: u64,
    /// Whether the file ends in the middle of a record.
    pub is_torn: bool,
    /// Verdicts, by the rules that our own observations are judged by.
    pub verdicts: VerdictCounts,
    /// Whether this very run was there already, and was left as it was.
    pub was_known: bool,
    /// What was seen from here, beside what they saw.
    pub reconciled: Reconciled,
}

/// How what others saw stands to what was seen from here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconciled {
    /// Endpoints that others saw open and that are as open from here.
    pub same: u64,
    /// Those that are not open from here, or are gone.
    pub differs: u64,
    /// Those that were never asked from here.
    pub never_asked: u64,
    /// Some of those that differ or were never asked, in order.
    pub named: Vec<Standing>,
}

/// One endpoint, as others saw it and as it was seen from here.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// What it was for them.
    pub theirs: Verdict,
    /// When.
    pub theirs_seen: SystemTime,
    /// What it was from here, and when; the verdict is `None` if it was gone. `None` if it was never
    /// asked.
    pub ours: Option<(Option<Verdict>, SystemTime)>,
}
