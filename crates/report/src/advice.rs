//! What to do: findings gathered by rule, worst first, each with its proof and its cure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::{Confidence, Endpoint, Finding, Language, Record, Severity, Text};

use crate::escape::escape_for_terminal;
use crate::flaws::{self, Flaws};
use crate::labels;
use crate::words::{grouped, pick};

/// Endpoints named under a rule; the rest are counted.
const NAMED_ENDPOINTS_MAX: usize = 5;
/// The same when everything is to be shown.
const NAMED_ENDPOINTS_VERBOSE_MAX: usize = 50;
/// Different cures kept for a rule, and how many of them are told when everything is to be shown.
const KEPT_FIXES_MAX: usize = 16;
const FIXES_VERBOSE_MAX: usize = 8;
/// Accepted risks named; the rest are counted.
const ACCEPTED_MAX: usize = 20;
/// Versions whose flaws are gathered; those of further versions stand by their codes.
const VERSIONS_MAX: usize = 100;
/// Lines of evidence when everything is to be shown.
const EVIDENCE_VERBOSE_MAX: usize = 20;

/// Everything that was found, by rule.
pub(crate) struct Advice {
    /// Whether everything is to be shown.
    verbose: bool,
    named_max: usize,
    rules: BTreeMap<&'static str, Rule>,
    /// What versions suggest, by what is said of it.
    flaws: BTreeMap<String, Rule>,
    accepted: Named<Accepted>,
}

/// Something to do. Every text is in one language and harmless to a terminal.
pub(crate) struct Step {
    /// Its place in the list, from 1 on.
    pub(crate) number: usize,
    /// How bad it is where it is worst.
    pub(crate) severity: Severity,
    /// What it is, with its code.
    pub(crate) title: String,
    /// Where: the first few by name.
    pub(crate) endpoints: String,
    /// What proves it, where it is worst.
    pub(crate) evidence: Vec<String>,
    /// What mends it.
    pub(crate) cure: Cure,
}

/// What mends something.
pub(crate) enum Cure {
    /// The same as for an earlier step, by its number.
    AsFor(usize),
    /// Lines in their order.
    Lines {
        /// Perhaps none.
        lines: Vec<String>,
        /// Whether other endpoints may need another wording.
        differs: bool,
    },
}

impl Cure {
    /// The words for a cure that was told already.
    pub(crate) fn as_for(number: usize, language: Language) -> String {
        match language {
            Language::English => format!("as for {number}"),
            Language::Japanese => format!("{number} と同じ"),
        }
    }

    /// The words for a cure that is worded otherwise elsewhere.
    pub(crate) fn differs(language: Language) -> &'static str {
        pick(
            language,
            "other endpoints may need another wording: `memsweep check ADDRESS` has it",
            "ほかの対象では書き方が異なることがあります。`memsweep check アドレス` で確認できます",
        )
    }
}

/// Something worth knowing. Every text is in one language and harmless to a terminal.
pub(crate) struct Note {
    /// What it is, with its code.
    pub(crate) title: String,
    /// Where: the first few by name.
    pub(crate) endpoints: String,
    /// What proves it, where everything is to be shown.
    pub(crate) evidence: Vec<String>,
}

/// One rule over all endpoints.
struct Rule {
    /// The worst instance; of equals the one with the first address.
    worst: Finding,
    worst_at: Endpoint,
    /// Different cures, with how many endpoints need each.
    fixes: Vec<(Text, u64)>,
    endpoints: Named<Endpoint>,
}

/// An accepted risk at an endpoint: address, and what its administrator said in both languages.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Accepted {
    endpoint: Endpoint,
    en: String,
    ja: String,
}

/// The first few of many, and how many there are.
struct Named<T> {
    first: Vec<T>,
    total: u64,
}

impl<T: Ord> Named<T> {
    fn new() -> Named<T> {
        Named {
            first: Vec::new(),
            total: 0,
        }
    }

    fn add(&mut self, one: T, named_max: usize) {
        self.total += 1;
        let place = self.first.partition_point(|other| *other <= one);
        if place < named_max {
            self.first.insert(place, one);
            self.first.truncate(named_max);
        }
    }

    fn unnamed(&self) -> u64 {
        self.total - self.first.len() as u64
    }
}

impl Advice {
    pub(crate) fn new(verbose: bool) -> Advice {
        let named_max = if verbose {
            NAMED_ENDPOINTS_VERBOSE_MAX
        } else {
            NAMED_ENDPOINTS_MAX
        };
        Advice {
            verbose,
            named_max,
            rules: BTreeMap::new(),
            flaws: BTreeMap::new(),
            accepted: Named::new(),
        }
    }

    pub(crate) fn add(&mut self, record: &Record) {
        for acceptance in &record.acceptances {
            let accepted = Accepted {
                endpoint: record.endpoint.clone(),
                en: labels::accepted(acceptance, Language::English),
                ja: labels::accepted(acceptance, Language::Japanese),
            };
            self.accepted.add(accepted, ACCEPTED_MAX);
        }
        let is_open = |finding: &Finding| {
            !record.acceptances.iter().any(|acceptance| {
                acceptance
                    .rule
                    .as_deref()
                    .is_none_or(|rule| rule == finding.code)
            })
        };
        let (endpoint, named_max) = (&record.endpoint, self.named_max);
        let mut flaws = Flaws::of(record, is_open);
        if let Some(all) = flaws.as_ref().and_then(Flaws::as_one) {
            // The same version may have other flaws elsewhere, where other doors are open.
            let key = format!("{} {:?}", all.title.en, all.evidence);
            if self.flaws.len() < VERSIONS_MAX || self.flaws.contains_key(&key) {
                let rule = self.flaws.entry(key);
                rule.or_insert_with(|| Rule::new(&all, endpoint))
                    .add(&all, endpoint, named_max);
            } else {
                flaws = None;
            }
        }
        for finding in &record.judgement.findings {
            if is_open(finding) && !flaws.as_ref().is_some_and(|flaws| flaws.hold(finding)) {
                let rule = self
                    .rules
                    .entry(finding.code)
                    .or_insert_with(|| Rule::new(finding, endpoint));
                rule.add(finding, endpoint, named_max);
            }
        }
    }

    /// What to do, worst first.
    pub(crate) fn steps(&self, language: Language) -> Vec<Step> {
        let rules = self.sorted();
        let to_do = rules.filter(|rule| rule.worst.severity > Severity::Info);
        let mut steps = Vec::new();
        let mut told: Vec<(usize, &Text)> = Vec::new();
        for (index, rule) in to_do.enumerate() {
            let number = index + 1;
            let evidence = rule.worst.evidence.iter().take(self.evidence_max(rule));
            let mut evidence: Vec<String> = evidence.map(|line| plain(line, language)).collect();
            if let Some(first) = evidence.first_mut()
                && rule.endpoints.total > 1
                && !rule.is_of_version()
            {
                let at = escape_for_terminal(&rule.worst_at.to_string());
                *first = format!("{at}{}{first}", pick(language, ": ", "："));
            }
            let same = told.iter().find(|(_, fix)| **fix == rule.worst.fix);
            let cure = match same {
                Some((number, _)) if !self.verbose => Cure::AsFor(*number),
                Some(_) | None => self.cure(rule, language),
            };
            told.push((number, &rule.worst.fix));
            steps.push(Step {
                number,
                severity: rule.worst.severity,
                title: labels::finding(&rule.worst, language),
                endpoints: rule.endpoints(language),
                evidence,
                cure,
            });
        }
        steps
    }

    /// What is worth knowing and asks for nothing.
    pub(crate) fn notes(&self, language: Language) -> Vec<Note> {
        let rules = self.sorted();
        let to_know = rules.filter(|rule| rule.worst.severity == Severity::Info);
        let evidence_max = if self.verbose {
            EVIDENCE_VERBOSE_MAX
        } else {
            0
        };
        let note = |rule: &Rule| Note {
            title: labels::finding(&rule.worst, language),
            endpoints: rule.endpoints(language),
            evidence: rule
                .worst
                .evidence
                .iter()
                .take(evidence_max)
                .map(|line| plain(line, language))
                .collect(),
        };
        to_know.map(note).collect()
    }

    /// Accepted risks, each with its place and its administrator's words; the last line may count
    /// those that are not named, and has no place.
    pub(crate) fn accepted(&self, language: Language) -> Vec<(Option<String>, String)> {
        let named = self.accepted.first.iter().map(|accepted| {
            let place = escape_for_terminal(&accepted.endpoint.to_string());
            let said = escape_for_terminal(pick(language, &accepted.en, &accepted.ja));
            (Some(place), said)
        });
        let mut lines: Vec<(Option<String>, String)> = named.collect();
        if self.accepted.unnamed() > 0 {
            lines.push((None, and_more(self.accepted.unnamed(), language)));
        }
        lines
    }

    /// All rules, worst first.
    fn sorted(&self) -> impl Iterator<Item = &Rule> {
        let mut rules: Vec<&Rule> = self.rules.values().chain(self.flaws.values()).collect();
        rules.sort_by_key(|rule| Reverse(rule.weight()));
        rules.into_iter()
    }

    /// Lines of evidence that are shown.
    fn evidence_max(&self, rule: &Rule) -> usize {
        match (self.verbose, rule.worst.severity) {
            (true, _) => EVIDENCE_VERBOSE_MAX,
            // Which flaws they are is what one has to know to look them up.
            (false, _) if rule.is_of_version() => 1,
            (false, Severity::High | Severity::Critical) => 1,
            // What weakens a host is believed without its proof, which `check` shows.
            (false, Severity::Info | Severity::Low | Severity::Medium) => 0,
        }
    }

    /// The cure of the worst instance; all of them where everything is to be shown. A cure may hold
    /// several lines, which stay apart.
    fn cure(&self, rule: &Rule, language: Language) -> Cure {
        let mut fixes: Vec<&(Text, u64)> = rule.fixes.iter().collect();
        fixes.sort_by_key(|(fix, count)| (*fix != rule.worst.fix, Reverse(*count), fix.en.clone()));
        let fixes_max = if self.verbose { FIXES_VERBOSE_MAX } else { 1 };
        let shown = fixes.iter().take(fixes_max);
        let lines = shown.flat_map(|(fix, _)| fix.in_language(language).lines());
        Cure::Lines {
            lines: lines.map(escape_for_terminal).collect(),
            differs: fixes.len() > fixes_max && rule.worst.severity >= Severity::High,
        }
    }
}

impl Rule {
    fn new(finding: &Finding, endpoint: &Endpoint) -> Rule {
        Rule {
            worst: finding.clone(),
            worst_at: endpoint.clone(),
            fixes: Vec::new(),
            endpoints: Named::new(),
        }
    }

    /// Whether it stands for all that a version suggests.
    fn is_of_version(&self) -> bool {
        self.worst.code == flaws::CODE
    }

    /// Takes one more instance.
    fn add(&mut self, finding: &Finding, endpoint: &Endpoint, named_max: usize) {
        let weight = |finding: &Finding| (finding.severity, finding.confidence);
        let (new, old) = (weight(finding), weight(&self.worst));
        if new > old || (new == old && *endpoint < self.worst_at) {
            self.worst = finding.clone();
            self.worst_at = endpoint.clone();
        }
        if let Some((_, count)) = self.fixes.iter_mut().find(|(fix, _)| *fix == finding.fix) {
            *count += 1;
        } else if self.fixes.len() < KEPT_FIXES_MAX && !finding.fix.en.is_empty() {
            self.fixes.push((finding.fix.clone(), 1));
        }
        self.endpoints.add(endpoint.clone(), named_max);
    }

    /// Worst first; what is equally bad by how sure it is and how many have it.
    fn weight(&self) -> (Severity, Confidence, u64) {
        (
            self.worst.severity,
            self.worst.confidence,
            self.endpoints.total,
        )
    }

    /// The endpoints that have it: the first few by name.
    fn endpoints(&self, language: Language) -> String {
        let comma = pick(language, ", ", "、");
        let named = self.endpoints.first.iter();
        let named = named.map(|one| escape_for_terminal(&one.to_string()));
        let named = named.collect::<Vec<_>>().join(comma);
        match self.endpoints.unnamed() {
            0 => named,
            rest => format!("{named}{comma}{}", and_more(rest, language)),
        }
    }
}

/// A text in one language, harmless to a terminal.
fn plain(text: &Text, language: Language) -> String {
    escape_for_terminal(text.in_language(language))
}

fn and_more(count: u64, language: Language) -> String {
    match language {
        Language::English => format!("and {} more", grouped(count)),
        Language::Japanese => format!("ほか {} 件", grouped(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_the_same_in_every_order_of_arrival() {
        for arrival in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 5, 2, 4]] {
            let mut named = Named::new();
            for one in arrival {
                named.add(one, 3);
            }
            assert_eq!(named.first, [1, 2, 3]);
            assert_eq!(named.unnamed(), 2);
        }
    }
}
