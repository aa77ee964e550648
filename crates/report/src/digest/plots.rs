//! What the plots of a document show: how often each version occurs, and who amplifies most.

use std::collections::BTreeMap;

use model::{Endpoint, Language, Record, Transport, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::values;
use crate::words::ratio;

/// Bars of versions, the bar of all others not counted.
const VERSIONS_MAX: usize = 12;
/// Bars of amplification.
const AMPLIFIERS_MAX: usize = 15;
/// Different versions that are counted apart.
const COUNTED_VERSIONS_MAX: usize = 4_096;
/// Columns of a version.
const VERSION_COLUMNS_MAX: usize = 40;

/// How many endpoints give themselves which version.
#[derive(Default)]
pub(crate) struct Versions {
    counts: BTreeMap<String, u64>,
    /// Endpoints beyond the limit of different versions.
    beyond: u64,
    /// Memcached servers that do not tell.
    untold: u64,
}

impl Versions {
    pub(super) fn add(&mut self, record: &Record) {
        if !matches!(
            record.judgement.verdict,
            Verdict::Exposed | Verdict::Protected
        ) {
            return;
        }
        let dialogue = record.evidence.dialogue.as_deref();
        let Some(version) = dialogue.and_then(|dialogue| dialogue.version.value()) else {
            self.untold += 1;
            return;
        };
        let version = truncate(&escape_for_terminal(version), VERSION_COLUMNS_MAX);
        if let Some(count) = self.counts.get_mut(&version) {
            *count += 1;
        } else if self.counts.len() < COUNTED_VERSIONS_MAX {
            self.counts.insert(version, 1);
        } else {
            self.beyond += 1;
        }
    }

    /// The most frequent versions with their counts, then all others together, then those that do
    /// not tell. Texts are harmless to a terminal.
    pub(crate) fn bars(&self, language: Language) -> Vec<(String, u64)> {
        let mut counts: Vec<(&String, u64)> = self
            .counts
            .iter()
            .map(|(name, count)| (name, *count))
            .collect();
        counts.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        let others = counts.iter().skip(VERSIONS_MAX).map(|(_, count)| count);
        let others = others.sum::<u64>() + self.beyond;
        let named = counts.into_iter().take(VERSIONS_MAX);
        let mut bars: Vec<(String, u64)> =
            named.map(|(name, count)| (name.clone(), count)).collect();
        let words = match language {
            Language::English => ["other versions", "not told"],
            Language::Japanese => ["その他のバージョン", "不明"],
        };
        let rest = words.into_iter().zip([others, self.untold]);
        bars.extend(
            rest.filter(|(_, count)| *count > 0)
                .map(|(word, count)| (word.to_owned(), count)),
        );
        bars
    }
}

/// An endpoint that amplifies.
struct Amplifier {
    payload_ratio: f64,
    wire_ratio: f64,
    complete: bool,
    command: String,
    endpoint: Endpoint,
}

/// The endpoints that amplify most.
#[derive(Default)]
pub(crate) struct Amplifiers {
    worst: Vec<Amplifier>,
    total: u64,
}

impl Amplifiers {
    pub(super) fn add(&mut self, record: &Record) {
        let dialogue = record.evidence.dialogue.as_deref();
        let measured = dialogue.map_or(&[][..], |dialogue| &dialogue.amplification);
        let is_udp = record.endpoint.transport == Transport::Udp;
        let Some(best) = values::strongest(measured).filter(|_| is_udp) else {
            return;
        };
        // What gives back less than it takes is no weapon.
        if best.payload_ratio() < 1.0 {
            return;
        }
        self.total += 1;
        let one = Amplifier {
            payload_ratio: best.payload_ratio(),
            wire_ratio: best.wire_ratio(),
            complete: best.complete,
            command: truncate(&escape_for_terminal(&best.command), VERSION_COLUMNS_MAX),
            endpoint: record.endpoint.clone(),
        };
        let is_before = |other: &Amplifier| {
            let by_ratio = other.payload_ratio.total_cmp(&one.payload_ratio).reverse();
            by_ratio
                .then_with(|| other.endpoint.cmp(&one.endpoint))
                .is_lt()
        };
        let place = self.worst.partition_point(is_before);
        if place < AMPLIFIERS_MAX {
            self.worst.insert(place, one);
            self.worst.truncate(AMPLIFIERS_MAX);
        }
    }

    /// How many amplify at all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The worst: endpoint, payload ratio, and what was measured in words.
    pub(crate) fn bars(&self, language: Language) -> Vec<(String, f64, String)> {
        let bar = |one: &Amplifier| {
            let (payload, wire) = (
                ratio(language, one.payload_ratio),
                ratio(language, one.wire_ratio),
            );
            let at_least = if one.complete { "" } else { "≥ " };
            let command = &one.command;
            let said = match language {
                Language::English => format!("{at_least}{payload} ({command}; {wire} on the wire)"),
                Language::Japanese => format!("{at_least}{payload}（{command}、回線上 {wire}）"),
            };
            (
                escape_for_terminal(&one.endpoint.to_string()),
                one.payload_ratio,
                said,
            )
        };
        self.worst.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_versions_stand_together() {
        let mut versions = Versions {
            untold: 2,
            beyond: 5,
            ..Versions::default()
        };
        for number in 0..20 {
            versions
                .counts
                .insert(format!("1.6.{number}"), 100 - number);
        }
        let bars = versions.bars(Language::English);
        assert_eq!(bars.len(), VERSIONS_MAX + 2);
        assert_eq!(bars[0], ("1.6.0".to_owned(), 100));
        let others: u64 = (12..20).map(|number| 100 - number).sum();
        assert_eq!(bars[12], ("other versions".to_owned(), others + 5));
        assert_eq!(bars[13], ("not told".to_owned(), 2));
    }
}
