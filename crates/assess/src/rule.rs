//! What a rule is: its texts, and the check that finds it in the evidence.

use model::{Confidence, Finding, Language, Severity, Text};

use crate::context::Context;
use crate::flaw::Flaw;

/// A fixed text in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bilingual {
    /// English.
    pub en: &'static str,
    /// Japanese.
    pub ja: &'static str,
}

impl Bilingual {
    /// The text in one of them.
    pub fn in_language(&self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Japanese => self.ja,
        }
    }

    /// An owned copy of both.
    pub fn to_text(self) -> Text {
        Text::new(self.en, self.ja)
    }
}

/// A rule with its stable code. One file in `rules/` holds one rule.
#[derive(Debug)]
pub struct Rule {
    /// The stable code, such as `MS001`. Never reused.
    pub code: &'static str,
    /// A name for people who type, such as `open-without-authentication`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: Bilingual,
    /// What was found, in a paragraph.
    pub what: Bilingual,
    /// Why it matters.
    pub why: Bilingual,
    /// What counts as proof, and how sure that is.
    pub evidence: Bilingual,
    /// How to mend it, with all usual ways to run memcached.
    pub fix: Bilingual,
    /// Where to read on, one reference a line.
    pub references: Bilingual,
    /// The release that brought the rule.
    pub since: &'static str,
    /// The flaw that a rule on versions is about; `None` for rules on behaviour.
    pub flaw: Option<Flaw>,
    /// Looks for it in the evidence.
    pub(crate) check: fn(&Context<'_>) -> Option<Fired>,
    /// Cases that a test judges.
    #[cfg(test)]
    pub(crate) cases: Cases,
}

/// What a check found: all of a finding that depends on the evidence.
pub(crate) struct Fired {
    pub(crate) severity: Severity,
    pub(crate) confidence: Confidence,
    pub(crate) evidence: Vec<Text>,
    pub(crate) fix: Text,
}

/// Evidence on which a rule fires, and evidence as close to it as possible on which it does not.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Cases {
    pub(crate) fires: &'static [fn() -> crate::samples::Sample],
    pub(crate) silent: &'static [fn() -> crate::samples::Sample],
}

impl Rule {
    /// The finding, if the rule fires.
    pub(crate) fn finding(&self, context: &Context<'_>) -> Option<Finding> {
        let fired = (self.check)(context)?;
        Some(Finding {
            code: self.code,
            severity: fired.severity,
            confidence: fired.confidence,
            title: self.title.to_text(),
            evidence: fired.evidence,
            fix: fired.fix,
        })
    }
}
