//! What to do: findings gathered by rule, worst first, each with its proof and its cure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::{Confidence, Endpoint, Finding, Language, Record, Severity, Text};

use super::page::{Ink, Label, Page};
use super::row;
use crate::escape::escape_for_terminal;
use crate::flaws::{self, Flaws};
use crate::labels;
use crate::layout::{pad_left, width};
use crate::words::grouped;

/// Endpoints named under a rule; the rest are counted.
const NAMED_ENDPOINTS_MAX: usize = 5;
/// The same when everything is to be shown.
const NAMED_ENDPOINTS_VERBOSE_MAX: usize = 50;
/// Different cures kept for a rule, and how many of them are printed when everything is to be shown.
const KEPT_FIXES_MAX: usize = 16;
const PRINTED_FIXES_VERBOSE_MAX: usize = 8;
/// Accepted risks named; the rest are counted.
const ACCEPTED_MAX: usize = 20;
/// Versions whose flaws are gathered; those of further versions stand by their codes.
const VERSIONS_MAX: usize = 100;
/// Lines of evidence when everything is to be shown.
const EVIDENCE_VERBOSE_MAX: usize = 20;

/// Everything that was found, by rule.
pub(super) struct Advice {
    named_max: usize,
    rules: BTreeMap<&'static str, Rule>,
    /// What versions suggest, by what is said of it.
    flaws: BTreeMap<String, Rule>,
    accepted: Named<Accepted>,
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
    pub(super) fn new(verbose: bool) -> Advice {
        let named_max = if verbose {
            NAMED_ENDPOINTS_VERBOSE_MAX
        } else {
            NAMED_ENDPOINTS_MAX
        };
        Advice {
            named_max,
            rules: BTreeMap::new(),
            flaws: BTreeMap::new(),
            accepted: Named::new(),
        }
    }

    pub(super) fn add(&mut self, record: &Record) {
        for acceptance in &record.acceptances {
            let accepted = Accepted {
                endpoint: record.endpoint.clone(),
                en: row::accepted(acceptance, Language::English),
                ja: row::accepted(acceptance, Language::Japanese),
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

    pub(super) fn print(&mut self, page: &mut Page<'_>) {
        let mut rules: Vec<&Rule> = self.rules.values().chain(self.flaws.values()).collect();
        rules.sort_by_key(|rule| Reverse(rule.weight()));
        let (to_do, to_know): (Vec<&Rule>, Vec<&Rule>) = rules
            .into_iter()
            .partition(|rule| rule.worst.severity > Severity::Info);
        if !to_do.is_empty() {
            page.heading(page.pick("What to do", "対処すること"));
        }
        let mut printed: Vec<(usize, &Text)> = Vec::new();
        for (index, rule) in to_do.iter().enumerate() {
            page.blank();
            print_rule(rule, index + 1, &printed, page);
            printed.push((index + 1, &rule.worst.fix));
        }
        if !to_know.is_empty() {
            page.heading(page.pick("Worth knowing", "参考情報"));
            for rule in to_know {
                print_note(rule, page);
            }
        }
        self.print_accepted(page);
    }

    fn print_accepted(&self, page: &mut Page<'_>) {
        if self.accepted.first.is_empty() {
            return;
        }
        page.heading(page.pick("Accepted risks", "許容済みのリスク"));
        for accepted in &self.accepted.first {
            let said = escape_for_terminal(page.pick(&accepted.en, &accepted.ja));
            let place = escape_for_terminal(&accepted.endpoint.to_string());
            let text = format!("{place}{}{said}", page.pick(": ", "："));
            page.labelled(&bullet(), Ink::Plain, &text);
        }
        if self.accepted.unnamed() > 0 {
            let rest = and_more(self.accepted.unnamed(), page);
            page.labelled(&bullet(), Ink::Faint, &rest);
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
}

/// `printed` holds the cures that were printed already, by the numbers of their rules.
fn print_rule(rule: &Rule, number: usize, printed: &[(usize, &Text)], page: &mut Page<'_>) {
    let words = [
        page.pick("on", "対象"),
        page.pick("because", "根拠"),
        page.pick("fix", "対処"),
    ];
    let severity = page.say(&labels::severity(rule.worst.severity));
    let columns = words
        .iter()
        .map(|word| width(word))
        .chain(Severity::ALL.map(|severity| width(&page.say(&labels::severity(severity)))))
        .max()
        .unwrap_or_default();
    let number = format!("{} ", pad_left(&format!("{number}."), 3));
    let title = title(rule, page);
    let head = Label {
        indent: 0,
        text: &format!("{number}{severity}"),
        columns: number.len() + columns,
        ink: Ink::of_severity(rule.worst.severity),
    };
    page.labelled(&head, Ink::Bold, &title);
    let [on, because, fix] = words;
    let label = |text| Label {
        indent: number.len(),
        text,
        columns,
        ink: Ink::Faint,
    };
    let endpoints = endpoints(rule, page);
    page.labelled(&label(on), Ink::Plain, &endpoints);
    let evidence_max = evidence_max(rule, page);
    for (index, line) in rule.worst.evidence.iter().take(evidence_max).enumerate() {
        let line = page.say(line);
        let line = if index == 0 && rule.endpoints.total > 1 && !rule.is_of_version() {
            let at = escape_for_terminal(&rule.worst_at.to_string());
            format!("{at}{}{line}", page.pick(": ", "："))
        } else {
            line
        };
        page.labelled(
            &label(if index == 0 { because } else { "" }),
            Ink::Plain,
            &line,
        );
    }
    print_fixes(rule, printed, page, &label, fix);
}

/// Lines of evidence that are printed.
fn evidence_max(rule: &Rule, page: &Page<'_>) -> usize {
    match (page.verbose(), rule.worst.severity) {
        (true, _) => EVIDENCE_VERBOSE_MAX,
        // Which flaws they are is what one has to know to look them up.
        (false, _) if rule.is_of_version() => 1,
        (false, Severity::High | Severity::Critical) => 1,
        // What weakens a host is believed without its proof, which `check` shows.
        (false, Severity::Info | Severity::Low | Severity::Medium) => 0,
    }
}

/// What it is, with its code, and how sure it is where that is in doubt.
fn title(rule: &Rule, page: &Page<'_>) -> String {
    let title = page.say(&rule.worst.title);
    let code = rule.worst.code;
    let confidence = labels::confidence(rule.worst.confidence).map(|words| page.say(&words));
    match (page.language(), confidence) {
        (Language::English, None) => format!("{title} ({code})"),
        (Language::English, Some(confidence)) => format!("{title} ({code}; {confidence})"),
        (Language::Japanese, None) => format!("{title}（{code}）"),
        (Language::Japanese, Some(confidence)) => format!("{title}（{code}、{confidence}）"),
    }
}

/// The cure of the worst instance; all of them where everything is to be shown. A cure may hold
/// several lines, which stay apart.
fn print_fixes<'a>(
    rule: &Rule,
    printed: &[(usize, &Text)],
    page: &mut Page<'_>,
    label: &dyn Fn(&'a str) -> Label<'a>,
    word: &'a str,
) {
    if let Some((number, _)) = printed.iter().find(|(_, fix)| **fix == rule.worst.fix)
        && !page.verbose()
    {
        let words = match page.language() {
            Language::English => format!("as for {number}"),
            Language::Japanese => format!("{number} と同じ"),
        };
        page.labelled(&label(word), Ink::Plain, &words);
        return;
    }
    let mut fixes: Vec<&(Text, u64)> = rule.fixes.iter().collect();
    fixes.sort_by_key(|(fix, count)| (*fix != rule.worst.fix, Reverse(*count), fix.en.clone()));
    let fixes_max = if page.verbose() {
        PRINTED_FIXES_VERBOSE_MAX
    } else {
        1
    };
    let mut next_word = word;
    for (fix, _) in fixes.iter().take(fixes_max) {
        for line in fix.in_language(page.language()).lines() {
            page.labelled(&label(next_word), Ink::Plain, &escape_for_terminal(line));
            next_word = "";
        }
    }
    if fixes.len() > fixes_max && rule.worst.severity >= Severity::High {
        let words = page.pick(
            "other endpoints may need another wording: `memsweep check ADDRESS` has it",
            "ほかの対象では書き方が異なることがあります。`memsweep check アドレス` で確認できます",
        );
        page.labelled(&label(""), Ink::Faint, words);
    }
}

fn print_note(rule: &Rule, page: &mut Page<'_>) {
    let endpoints = endpoints(rule, page);
    let text = format!("{}{}{endpoints}", title(rule, page), page.pick(": ", "："));
    page.labelled(&bullet(), Ink::Plain, &text);
    if page.verbose() {
        let label = Label {
            indent: 5,
            text: "",
            columns: 0,
            ink: Ink::Plain,
        };
        for line in rule.worst.evidence.iter().take(EVIDENCE_VERBOSE_MAX) {
            let line = page.say(line);
            page.labelled(&label, Ink::Faint, &line);
        }
    }
}

/// The endpoints that have it: the first few by name.
fn endpoints(rule: &Rule, page: &Page<'_>) -> String {
    let comma = page.pick(", ", "、");
    let named = rule
        .endpoints
        .first
        .iter()
        .map(|one| escape_for_terminal(&one.to_string()));
    let named = named.collect::<Vec<_>>().join(comma);
    match rule.endpoints.unnamed() {
        0 => named,
        rest => format!("{named}{comma}{}", and_more(rest, page)),
    }
}

fn and_more(count: u64, page: &Page<'_>) -> String {
    match page.language() {
        Language::English => format!("and {} more", grouped(count)),
        Language::Japanese => format!("ほか {} 件", grouped(count)),
    }
}

fn bullet() -> Label<'static> {
    Label {
        indent: 2,
        text: "-",
        columns: 1,
        ink: Ink::Faint,
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
