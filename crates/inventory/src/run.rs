//! A run that is kept: of this program, or an import of what others saw.

use std::sync::Arc;
use std::time::SystemTime;

use model::VerdictCounts;

/// What made a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// `scan`.
    Scan,
    /// `check`.
    Check,
    /// `verify`.
    Verify,
    /// `import`.
    Import,
}

/// A run, without its observations.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// The run's id; sorts by time.
    pub run: Arc<str>,
    /// What made it.
    pub kind: RunKind,
    /// Who saw: `memsweep`, or what was imported.
    pub source: Arc<str>,
    /// When it began.
    pub started: SystemTime,
    /// When it ended; `None` if it broke off without a word, as when its process was killed.
    pub ended: Option<SystemTime>,
    /// Targets as typed; of an import, the name of the file.
    pub targets: Vec<String>,
    /// A fingerprint of the set of targets, in hex: runs of the same targets have the same.
    pub fingerprint: String,
    /// The run that this one continues.
    pub resumed_from: Option<Arc<str>>,
    /// Whether everything that was planned was judged.
    pub complete: bool,
    /// How many endpoints got each verdict, recorded or not.
    pub verdicts: VerdictCounts,
    /// How many counted as alarms.
    pub alarms: u64,
    /// Endpoints with an observation of their own.
    pub observations: u64,
    /// The grade of everything recorded, A to F.
    pub grade: Option<String>,
    /// Where it was asked from: source address, interface and engine, as far as known.
    pub vantage: Option<String>,
    /// Name of the run's log in the folder of logs.
    pub log: Option<String>,
}
