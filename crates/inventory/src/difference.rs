//! What changed between two runs, or between two moments.
//!
//! It goes in two steps, so that 100,000 endpoints a side take no longer than one look at each.
//! [`compare`] looks at light rows only: an endpoint and the fingerprint of its stable facts. What
//! it finds to differ is then loaded by whoever keeps it, and [`Comparison::detail`] says what
//! changed in it. [`Difference::between`] does both for observations that are at hand.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::{Endpoint, Verdict};

use crate::Observation;
use crate::observation::{FINDING_PREFIX, SETTING_PREFIX, STATISTIC_PREFIX};

/// How far a process's start may seem to move while the process goes on: it is the difference of
/// two clocks that are read in whole seconds.
const START_TOLERANCE_S: u64 = 2;

/// An endpoint in one of two runs, as far as the comparison needs to look at all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The fingerprint of what must stay the same ([`Observation::digest`]).
    pub digest: u64,
    /// The verdict; `None` if it is known to be gone.
    pub verdict: Option<Verdict>,
    /// The process id that the server gave.
    pub pid: Option<u64>,
    /// When the process began, by the server's clock.
    pub process_start_unix_s: Option<i64>,
}

impl Row {
    /// The row of an observation.
    pub fn of(seen: &Observation) -> Row {
        Row {
            endpoint: seen.endpoint.clone(),
            digest: seen.digest(),
            verdict: seen.verdict,
            pid: seen.pid,
            process_start_unix_s: seen.process_start_unix_s,
        }
    }

    /// Whether something is there. `closed` and its like are judgements too, but whether they get
    /// a row of their own depends on how a run was asked, so their coming and going is no change.
    fn is_present(&self) -> bool {
        self.verdict.is_some_and(Verdict::is_recorded_by_default)
    }
}

/// Whether the later run asked an endpoint that it has no row of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It did, and nothing was there.
    Asked,
    /// It did not: nothing is known.
    NotAsked,
    /// Cannot be told, as of an import, or of a run that broke off.
    Unknown,
}

/// Two rows of an endpoint that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The earlier row.
    pub before: Row,
    /// The later row.
    pub after: Row,
}

/// What the rows alone tell. Every list is in the order of the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the later run.
    pub new: Vec<Row>,
    /// Only in the earlier run, and the later one asked.
    pub gone: Vec<Row>,
    /// Only in the earlier run; the later one did not ask.
    pub not_asked: Vec<Row>,
    /// Only in the earlier run; whether the later one asked cannot be told.
    pub unknown: Vec<Row>,
    /// In both, and not the same: of these [`Comparison::detail`] wants the facts.
    pub differing: Vec<Pair>,
    /// How many are in both and the same.
    pub same: u64,
}

/// A fact that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The name of the fact, as in [`Observation::stable`].
    pub name: String,
    /// What it was, if it was known.
    pub before: Option<String>,
    /// What it is, if it is known.
    pub after: Option<String>,
}

/// An endpoint that is in both runs and changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// The verdict that it had.
    pub verdict_before: Option<Verdict>,
    /// The verdict that it has.
    pub verdict_after: Option<Verdict>,
    /// What changed, by name; of findings only those that were there before and still are, with
    /// another severity or confidence.
    pub fields: Vec<FieldChange>,
    /// Findings that came.
    pub gained: Vec<FieldChange>,
    /// Findings that went.
    pub lost: Vec<FieldChange>,
    /// Whether another process answers now: another pid that began at another time.
    pub restarted: bool,
}

/// What changed between two runs. Every list is in the order of the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Only in the later run.
    pub new: Vec<Row>,
    /// Only in the earlier run, and the later one asked.
    pub gone: Vec<Row>,
    /// In both, and changed.
    pub changed: Vec<Change>,
    /// Only in the earlier run; the later one did not ask.
    pub not_asked: Vec<Row>,
    /// Only in the earlier run; whether the later one asked cannot be told.
    pub unknown: Vec<Row>,
    /// How many are in both and the same.
    pub same: u64,
}

/// The facts of one endpoint that must stay the same, before and after.
pub type Facts<'a> = (&'a BTreeMap<String, String>, &'a BTreeMap<String, String>);

/// Compares the rows of two runs, in any order; of an endpoint that has several rows on one side
/// the last counts. `covered` is asked about endpoints that the later run has no row of.
pub fn compare(
    before: impl IntoIterator<Item = Row>,
    after: impl IntoIterator<Item = Row>,
    covered: &dyn Fn(&Endpoint) -> Coverage,
) -> Comparison {
    let mut earlier = in_order(before).into_iter().peekable();
    let mut later = in_order(after).into_iter().peekable();
    let mut result = Comparison::default();
    loop {
        let order = match (earlier.peek(), later.peek()) {
            (Some(before), Some(after)) => before.endpoint.cmp(&after.endpoint),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return result,
        };
        let before = earlier.next_if(|_| order.is_le());
        let after = later.next_if(|_| order.is_ge());
        match (before, after) {
            (Some(before), Some(after)) => result.add_pair(before, after),
            (Some(before), None) if before.is_present() => match covered(&before.endpoint) {
                Coverage::Asked => result.gone.push(before),
                Coverage::NotAsked => result.not_asked.push(before),
                Coverage::Unknown => result.unknown.push(before),
            },
            (None, Some(after)) if after.is_present() => result.new.push(after),
            (Some(_), None) | (None, Some(_)) | (None, None) => {}
        }
    }
}

/// Rows in order of their endpoints, each endpoint once.
fn in_order(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.into_iter().collect();
    rows.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
    // Of equals the first stays; the sort is stable, so the last must be put in its place.
    rows.dedup_by(|later, first| {
        let same = later.endpoint == first.endpoint;
        if same {
            std::mem::swap(later, first);
        }
        same
    });
    rows
}

impl Comparison {
    fn add_pair(&mut self, before: Row, after: Row) {
        match (before.verdict, after.verdict) {
            (None, None) => {}
            (None, Some(_)) if after.is_present() => self.new.push(after),
            (Some(_), None) if before.is_present() => self.gone.push(before),
            (None, Some(_)) | (Some(_), None) => {}
            (Some(_), Some(_)) => {
                if before.digest == after.digest && !is_restarted(&before, &after) {
                    self.same += 1;
                } else {
                    self.differing.push(Pair { before, after });
                }
            }
        }
    }

    /// Says what changed in the rows that differ. `facts` gives the stable facts of an endpoint,
    /// before and after; where it has none, only what the rows tell is told.
    pub fn detail<'a>(self, facts: &dyn Fn(&Endpoint) -> Option<Facts<'a>>) -> Difference {
        let mut difference = Difference {
            new: self.new,
            gone: self.gone,
            not_asked: self.not_asked,
            unknown: self.unknown,
            same: self.same,
            changed: Vec::new(),
        };
        for pair in &self.differing {
            match change(pair, facts(&pair.after.endpoint)) {
                Some(change) => difference.changed.push(change),
                None => difference.same += 1,
            }
        }
        difference
    }
}

impl Difference {
    /// What changed between two sets of observations.
    pub fn between(
        before: &[Observation],
        after: &[Observation],
        covered: &dyn Fn(&Endpoint) -> Coverage,
    ) -> Difference {
        let comparison = compare(
            before.iter().map(Row::of),
            after.iter().map(Row::of),
            covered,
        );
        let earlier = stable_by_endpoint(before);
        let later = stable_by_endpoint(after);
        comparison.detail(&|endpoint| Some((*earlier.get(endpoint)?, *later.get(endpoint)?)))
    }

    /// Whether nothing changed, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}

fn stable_by_endpoint(seen: &[Observation]) -> BTreeMap<&Endpoint, &BTreeMap<String, String>> {
    let rows = seen.iter().map(|one| (&one.endpoint, &one.stable));
    rows.collect()
}

/// Whether another process answers. The pid alone moves where several servers share an address,
/// and the start alone where a clock is set; both together mean a restart.
fn is_restarted(before: &Row, after: &Row) -> bool {
    let (Some(pid_before), Some(pid_after)) = (before.pid, after.pid) else {
        return false;
    };
    let (Some(start_before), Some(start_after)) =
        (before.process_start_unix_s, after.process_start_unix_s)
    else {
        return false;
    };
    pid_before != pid_after && start_before.abs_diff(start_after) > START_TOLERANCE_S
}

/// What changed in a pair; `None` if it turns out that nothing did that is known on both sides.
fn change(pair: &Pair, facts: Option<Facts<'_>>) -> Option<Change> {
    let mut change = Change {
        endpoint: pair.after.endpoint.clone(),
        verdict_before: pair.before.verdict,
        verdict_after: pair.after.verdict,
        fields: Vec::new(),
        gained: Vec::new(),
        lost: Vec::new(),
        restarted: is_restarted(&pair.before, &pair.after),
    };
    let Some((before, after)) = facts else {
        return Some(change);
    };
    for field in changed_fields(before, after) {
        let is_finding = field.name.starts_with(FINDING_PREFIX);
        match (&field.before, &field.after) {
            (None, _) if is_finding => change.gained.push(field),
            (_, None) if is_finding => change.lost.push(field),
            _ => change.fields.push(field),
        }
    }
    let found = change.fields.len() + change.gained.len() + change.lost.len();
    (found > 0 || change.restarted).then_some(change)
}

/// The facts that differ, by name, as far as both sides know them.
fn changed_fields(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<FieldChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    let known = |name: &&String| knows(before, name) && knows(after, name);
    let changed = names.into_iter().filter(differs).filter(known);
    changed
        .map(|name| FieldChange {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// Whether a side knows a fact, be it that it is absent. A listing that was not read, because a
/// datagram was lost or the server asks for a log-in now, says nothing about its rows; and of an
/// endpoint that a deadline cut off, what is missing may be there.
fn knows(side: &BTreeMap<String, String>, name: &str) -> bool {
    if side.contains_key(name) {
        return true;
    }
    if side.get("verdict").map(String::as_str) == Some(Verdict::Unfinished.as_str()) {
        return false;
    }
    let listing = [SETTING_PREFIX, STATISTIC_PREFIX]
        .into_iter()
        .find(|prefix| name.starts_with(prefix));
    listing.is_none_or(|prefix| {
        let from_here = side.range(prefix.to_owned()..);
        let mut rows = from_here.map(|(row, _)| row);
        rows.next().is_some_and(|row| row.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests;
