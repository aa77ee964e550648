//! A rule that fired, with its proof and its cure.

use std::fmt;

use crate::Text;

/// How bad it is. Ordered from harmless to worst, so that `>=` reads as "at or above".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Info,
    /// Gives away little, or only together with something else.
    Low,
    /// Weakens the host.
    Medium,
    /// Gives data away, or makes the host a weapon.
    High,
    /// Both at once, or worse.
    Critical,
}

impl Severity {
    /// The word used in outputs and by `--fail-on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// All, from harmless to worst.
    pub const ALL: [Severity; 5] = [
        Severity::Info,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How sure the finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Confidence {
    /// From the version string alone; a distribution may have patched it.
    Possible,
    /// From what the server says of itself.
    Likely,
    /// From what the server did.
    Confirmed,
}

impl Confidence {
    /// The word used in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Confidence::Possible => "possible",
            Confidence::Likely => "likely",
            Confidence::Confirmed => "confirmed",
        }
    }
}

/// A rule that fired on an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's stable code, such as `MS001`.
    pub code: &'static str,
    /// How bad it is here.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// What it is, in a few words.
    pub title: Text,
    /// What was sent, what came back: one line each.
    pub evidence: Vec<Text>,
    /// What to change, in one sentence or command.
    pub fix: Text,
}
