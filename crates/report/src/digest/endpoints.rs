//! The endpoints of a document: the worst with everything that is known, others in one line each,
//! the rest counted.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use assess::Score;
use model::{Endpoint, Finding, Language, Record, Severity, StatsTable, Verdict};

use crate::escape::escape_for_terminal;
use crate::facts::{Fact, facts};
use crate::flaws::Flaws;
use crate::labels;
use crate::layout::truncate;
use crate::text::row;
use crate::{Style, TextOptions};

/// Endpoints told with everything that is known of them.
const DETAILED_MAX: usize = 1_000;
/// Endpoints told in one line.
const LISTED_MAX: usize = 20_000;
/// Columns of a text in a line.
const MATTER_COLUMNS_MAX: usize = 300;
/// Columns of names and versions.
const NAME_COLUMNS_MAX: usize = 80;
/// Settings told of an endpoint; real servers have fewer than a hundred.
const SETTINGS_MAX: usize = 128;
/// Columns of a setting's name, and of its value.
const SETTING_COLUMNS_MAX: usize = 100;
/// Lines of proof told of a finding, and columns of each.
const EVIDENCE_LINES_MAX: usize = 20;
const EVIDENCE_COLUMNS_MAX: usize = 600;

/// Alarms first, then by verdict, then what costs most, then by address.
type Order = (bool, Verdict, Reverse<u32>, Endpoint);

/// An endpoint in one line. Every text is in one language and harmless to a terminal.
#[derive(Clone)]
pub(crate) struct Brief {
    pub(crate) alarm: bool,
    pub(crate) verdict: Verdict,
    pub(crate) place: String,
    /// The name it was asked by; empty if none.
    pub(crate) name: String,
    /// The version it gives itself; empty if none.
    pub(crate) version: String,
    /// What matters about it.
    pub(crate) matter: String,
    /// When it was seen.
    pub(crate) seen: SystemTime,
    /// Who saw it, if not this program.
    pub(crate) source: Option<Arc<str>>,
}

/// An endpoint with everything that is known. Texts as in [`Brief`].
pub(crate) struct Detail {
    pub(crate) brief: Brief,
    /// Why it got its verdict, in a sentence.
    pub(crate) reason: String,
    pub(crate) facts: Vec<Fact>,
    pub(crate) findings: Vec<Proof>,
    /// Name and value, as the server said them.
    pub(crate) settings: Vec<(String, String)>,
    /// Settings that are not told.
    pub(crate) settings_left: usize,
}

/// A finding with its proof and its cure.
pub(crate) struct Proof {
    pub(crate) severity: Severity,
    /// What it is, with its code.
    pub(crate) title: String,
    pub(crate) evidence: Vec<String>,
    /// Lines of the cure, in their order.
    pub(crate) fix: Vec<String>,
}

/// The endpoints of a document.
#[derive(Default)]
pub(crate) struct Endpoints {
    detailed: BTreeMap<Order, Detail>,
    listed: BTreeMap<Order, Brief>,
    left_out: u64,
}

impl Endpoints {
    pub(super) fn add(&mut self, record: &Record, options: &TextOptions) {
        let debt = Score::of(record).unwrap_or_default().debt;
        let order = (
            !record.alarm,
            record.judgement.verdict,
            Reverse(debt),
            record.endpoint.clone(),
        );
        let is_told = record.evidence.dialogue.is_some() || !record.judgement.findings.is_empty();
        if !is_told || !has_room(&self.detailed, &order, DETAILED_MAX) {
            self.list(order, || Brief::of(record, options));
            return;
        }
        self.detailed.insert(order, Detail::of(record, options));
        if self.detailed.len() > DETAILED_MAX
            && let Some((order, detail)) = self.detailed.pop_last()
        {
            self.list(order, || detail.brief);
        }
    }

    fn list(&mut self, order: Order, brief: impl FnOnce() -> Brief) {
        if !has_room(&self.listed, &order, LISTED_MAX) {
            self.left_out += 1;
            return;
        }
        self.listed.insert(order, brief());
        if self.listed.len() > LISTED_MAX {
            self.listed.pop_last();
            self.left_out += 1;
        }
    }

    /// Everything told with details, worst first.
    pub(crate) fn detailed(&self) -> impl Iterator<Item = &Detail> {
        self.detailed.values()
    }

    /// Everything that has a line, worst first, with its place among the details if it is there.
    pub(crate) fn lines(&self) -> Vec<(&Brief, Option<usize>)> {
        let detailed = self.detailed.iter().enumerate();
        let detailed = detailed.map(|(index, (order, one))| (order, &one.brief, Some(index)));
        let listed = self.listed.iter().map(|(order, one)| (order, one, None));
        let mut lines: Vec<(&Order, &Brief, Option<usize>)> = detailed.chain(listed).collect();
        lines.sort_by_key(|(order, ..)| *order);
        lines
            .into_iter()
            .map(|(_, brief, index)| (brief, index))
            .collect()
    }

    pub(crate) fn detailed_count(&self) -> u64 {
        self.detailed.len() as u64
    }

    pub(crate) fn listed_count(&self) -> u64 {
        self.listed.len() as u64
    }

    /// Endpoints that have no line.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(crate) fn total(&self) -> u64 {
        self.detailed_count() + self.listed_count() + self.left_out
    }
}

/// Whether a further one would stay among the first so many.
fn has_room<T>(held: &BTreeMap<Order, T>, order: &Order, count_max: usize) -> bool {
    held.len() < count_max || held.last_key_value().is_some_and(|(last, _)| order < last)
}

impl Brief {
    fn of(record: &Record, options: &TextOptions) -> Brief {
        let dialogue = record.evidence.dialogue.as_deref();
        let version = dialogue.and_then(|dialogue| dialogue.version.value());
        let plain = |text: &str, columns| truncate(&escape_for_terminal(text), columns);
        // Where endpoints have blocks of their own, a line may be short.
        let options = TextOptions {
            style: match options.style {
                Style::Check => Style::Scan,
                style => style,
            },
            verbose: false,
            ..options.clone()
        };
        Brief {
            alarm: record.alarm,
            verdict: record.judgement.verdict,
            place: plain(&record.endpoint.to_string(), NAME_COLUMNS_MAX),
            name: truncate(&row::name(record).unwrap_or_default(), NAME_COLUMNS_MAX),
            version: version
                .map(|version| plain(version, NAME_COLUMNS_MAX))
                .unwrap_or_default(),
            matter: plain(&row::matter(record, &options), MATTER_COLUMNS_MAX),
            seen: record.timestamp,
            source: record.source.clone(),
        }
    }
}

impl Detail {
    fn of(record: &Record, options: &TextOptions) -> Detail {
        let language = options.language;
        let settings = record
            .evidence
            .dialogue
            .as_deref()
            .and_then(|dialogue| dialogue.settings.value());
        let reason = escape_for_terminal(record.judgement.reason.in_language(language));
        Detail {
            brief: Brief::of(record, options),
            reason: truncate(&reason, EVIDENCE_COLUMNS_MAX),
            facts: facts(record, language, false),
            findings: proofs(record, language),
            settings: settings
                .into_iter()
                .flat_map(StatsTable::iter)
                .take(SETTINGS_MAX)
                .map(|(name, value)| (setting(name), setting(value)))
                .collect(),
            settings_left: settings.map_or(0, |table| table.len().saturating_sub(SETTINGS_MAX)),
        }
    }
}

fn setting(text: &str) -> String {
    truncate(&escape_for_terminal(text), SETTING_COLUMNS_MAX)
}

/// The findings, worst first; what a version suggests is gathered into one.
fn proofs(record: &Record, language: Language) -> Vec<Proof> {
    let of_version = Flaws::of(record, |_| true);
    let gathered = of_version.as_ref().and_then(Flaws::as_one);
    let is_alone = |finding: &&Finding| {
        let of_version = of_version.as_ref();
        of_version.is_none_or(|flaws| !flaws.hold(finding))
    };
    let alone = record.judgement.findings.iter().filter(is_alone);
    let line = |text: &str| truncate(&escape_for_terminal(text), EVIDENCE_COLUMNS_MAX);
    let mut findings: Vec<&Finding> = alone.chain(&gathered).collect();
    findings.sort_by_key(|finding| Reverse((finding.severity, finding.confidence)));
    findings
        .into_iter()
        .map(|finding| Proof {
            severity: finding.severity,
            title: labels::finding(finding, language),
            evidence: finding
                .evidence
                .iter()
                .take(EVIDENCE_LINES_MAX)
                .map(|text| line(text.in_language(language)))
                .collect(),
            fix: finding
                .fix
                .in_language(language)
                .lines()
                .map(escape_for_terminal)
                .collect(),
        })
        .collect()
}
