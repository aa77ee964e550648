//! The words that every room of memsweep shares: endpoints, evidence, verdicts, findings, units.
//!
//! Nothing here does I/O, and nothing here serialises: stored and printed forms are made at the
//! borders (`report`, `import`), so a word can change its shape without changing a file format.

mod ability;
mod address;
mod amplification;
mod capture;
mod dialogue;
mod enrichment;
mod evidence;
mod finding;
mod hardware;
mod key_name;
mod key_sample;
mod language;
mod record;
mod table;
mod tool;
mod verdict;
mod verified;
mod version;

pub use ability::{Ability, Diagnosis};
pub use address::{Address, AddressKind, Endpoint, Transport, canonical_ip};
pub use amplification::Amplification;
pub use capture::{CaptureLayer, CapturedFrame};
pub use dialogue::{
    Anomaly, Answer, Auth, Certificate, Connections, Dialogue, Ending, Impression, KeyProbe,
    MetaNoop, Protocol, Question, TlsFacts,
};
pub use enrichment::Enrichment;
pub use evidence::{Contact, Evidence, IcmpError, Refusal};
pub use finding::{Confidence, Finding, Severity};
pub use hardware::MacAddress;
pub use key_name::{KeyKind, key_prefix, shown_chars, split_key};
pub use key_sample::{KeySample, KeyTally, KindCount, PatternCount, Unsampled};
pub use language::{Language, Text};
pub use record::{
    Acceptance, Hardware, Hostname, Judgement, PLAN_BLOCKS_MAX, Pending, PlanBlock, Record,
    RunRecord, Summary, Vantage,
};
pub use table::{StatsTable, Value};
pub use tool::KeyRow;
pub use verdict::{Verdict, VerdictCounts};
pub use verified::{FindingState, VerifiedFinding};
pub use version::UpstreamVersion;
