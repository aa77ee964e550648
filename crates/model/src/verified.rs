//! What became of a finding of an earlier run.

use crate::{Text, Transport};

/// Whether a finding is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FindingState {
    /// It is not so any more.
    Closed,
    /// It is still so.
    Open,
    /// What was seen now does not tell.
    Unknown,
}

impl FindingState {
    /// The word used in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingState::Closed => "closed",
            FindingState::Open => "open",
            FindingState::Unknown => "unknown",
        }
    }
}

/// A finding of an earlier run, asked about again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedFinding {
    /// The address, as the earlier run wrote it.
    pub address: String,
    /// The port; 0 for a unix socket.
    pub port: u16,
    /// How it was spoken to.
    pub transport: Transport,
    /// The rule's code.
    pub code: String,
    /// The rule's title, as the earlier run wrote it.
    pub title: String,
    /// What became of it.
    pub state: FindingState,
    /// Why, in one sentence.
    pub why: Text,
}
