//! What the evidence amounts to: one verdict, one sentence of reason, and the findings.
//!
//! This room never sees a byte. It is handed what was seen of one address and port
//! ([`Host`]: TCP and UDP side by side, because each explains the other) and answers three
//! questions, each with its own function:
//!
//! * [`verdict`]: which of the nine words is it? Called for every endpoint of a sweep, millions of
//!   closed ports among them, so it allocates nothing and reads no more than it must.
//! * [`judge`]: the same word with its reason in both languages and the rules that fired. Called
//!   for the few endpoints that get a record. It begins with `verdict`, so the two cannot differ.
//! * [`explain`]: what a rule is, why it matters, and how to mend it, without any evidence.
//!
//! Three principles decide the hard cases.
//!
//! **Behaviour decides, words only colour.** A server that executes a command without credentials
//! is `exposed`, whatever it calls itself and whatever protocol or TLS lies in between. A version
//! string alone never makes or unmakes a verdict, and findings that rest on it say `possible`.
//!
//! **In doubt, exposed.** Calling a real server a decoy hides an open door; calling a honeypot a
//! server costs somebody a look. So only a contradiction that no honest server can produce makes
//! a `decoy` (see the `decoy` module), and a missing or odd statistic is no contradiction.
//!
//! **The vantage belongs to the finding.** A server that is asked over loopback and does not say
//! that it is bound more widely is open, but only to this machine. It stays `exposed`;
//! [`model::Judgement::only_from_here`] is set, the finding MS008 comes first, and every other
//! finding keeps its evidence and its fix but is capped at `info`: still useful to the one who
//! typed `check localhost`, never an alarm.
//!
//! What is found adds up to a grade from A to F, for a server and for a network (see [`Score`]). A
//! package that is known by name and version turns what is `possible` into what is so, or takes it
//! away (see [`settle`]).
//!
//! A rule is one file in `rules/` with one `const RULE`, listed in [`rules`]. In test builds a
//! rule does not compile without a case that fires and one that stays silent.

mod verdict;

mod binding;
mod decoy;

mod context;
mod judge;
mod reason;

mod fixes;
mod flaw;
mod grade;
mod numbers;
mod package;
mod potential;
mod rule;
mod rules;

pub mod local;
pub mod remedy;

#[cfg(test)]
mod samples;

pub use flaw::{Cvss, Flaw, Gate};
pub use grade::{FORMULA, Grade, GradeCounts, Score, Scores};
pub use judge::{judge, judge_at};
pub use model::UpstreamVersion;
pub use package::{Distribution, Package, VendorFix, settle, vendor_fix};
pub use rule::{Bilingual, Rule};
pub use rules::{explain, rules};
pub use verdict::{Host, settles_later, verdict};
