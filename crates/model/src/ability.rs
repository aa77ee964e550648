//! What this machine allows one engine.

use crate::Text;

/// Whether an engine can work here, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// The word of `--engine`.
    pub engine: &'static str,
    /// What it is and what it is good for.
    pub what: Text,
    /// What is missing; nothing if it can work.
    pub missing: Vec<Text>,
    /// Why the kernel refused when it was tried; `None` if it did not, or if nothing was tried because
    /// something is missing.
    pub refused: Option<Text>,
}

impl Ability {
    /// Whether nothing is missing and nothing was refused.
    pub fn works(&self) -> bool {
        self.missing.is_empty() && self.refused.is_none()
    }
}

/// What `doctor` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Release of the kernel, as it says.
    pub kernel: String,
    /// The engines, the fastest first.
    pub abilities: Vec<Ability>,
    /// Commands that mend what can be mended, to be run once.
    pub mends: Vec<String>,
}
