//! What changed between two runs, be they kept or in files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use inventory::{Coverage, Difference, Observation, Row, StoredRun, compare};
use model::Endpoint;

use super::coverage::Covered;
use super::imported::judged;
use super::told::{Lines, Told, rule_code};
use super::{FileLines, Inventory, KeepError, LogLines};

/// One of two runs that are compared.
#[derive(Clone, Debug)]
pub enum Side {
    /// A run that is kept.
    Kept(Box<StoredRun>),
    /// The NDJSON file of a run.
    File(PathBuf),
}

/// Two runs, and what changed between them.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The earlier one.
    pub before: StoredRun,
    /// The later one.
    pub after: StoredRun,
    /// What changed.
    pub difference: Difference,
}

/// Stable facts by endpoint.
type FactsByEndpoint = HashMap<Endpoint, BTreeMap<String, String>>;

impl Inventory {
    /// The two runs that are meant: the last two of the same targets if none is named; with one, it
    /// and the one of the same targets before it.
    pub fn sides(&mut self, named: Vec<Side>) -> Result<(Side, Side), KeepError> {
        let mut named = named.into_iter();
        match (named.next(), named.next()) {
            (Some(before), Some(after)) => Ok((before, after)),
            (Some(Side::Kept(after)), None) => {
                let runs = self.store.runs(None)?;
                let before = runs
                    .into_iter()
                    .filter(|run| run.fingerprint == after.fingerprint)
                    .find(|run| run.started < after.started && run.source == after.source);
                let before = before.ok_or_else(|| {
                    KeepError::NoRun(format!(
                        "{}: there is no earlier run of the same targets; name two runs",
                        after.run
                    ))
                })?;
                Ok((Side::Kept(Box::new(before)), Side::Kept(after)))
            }
            (Some(Side::File(path)), None) => Err(KeepError::NoRun(format!(
                "{}: name the run that this file is to be compared with",
                path.display()
            ))),
            (None, _) => {
                let mut runs = self.store.last_runs_of_same_targets(2)?.into_iter();
                match (runs.next(), runs.next()) {
                    (Some(after), Some(before)) => {
                        Ok((Side::Kept(Box::new(before)), Side::Kept(Box::new(after))))
                    }
                    _ => Err(KeepError::NoRun(
                        "there are no two runs of the same targets yet; scan again, or name two \
                         runs"
                            .into(),
                    )),
                }
            }
        }
    }

    /// Compares two runs.
    pub fn compare(&mut self, before: &Side, after: &Side) -> Result<Compared, KeepError> {
        let earlier = self.look(before)?;
        let later = self.look(after)?;
        let coverage = |endpoint: &Endpoint| match (later.covered.is_known(), &endpoint.address) {
            (false, _) => Coverage::Unknown,
            (true, _) if later.covered.holds(endpoint) => Coverage::Asked,
            (true, _) => Coverage::NotAsked,
        };
        let comparison = compare(earlier.rows, later.rows, &coverage);
        let differing: Vec<Endpoint> = comparison
            .differing
            .iter()
            .map(|pair| pair.after.endpoint.clone())
            .collect();
        let facts_before = self.facts(before, &differing)?;
        let facts_after = self.facts(after, &differing)?;
        let difference = comparison
            .detail(&|endpoint| Some((facts_before.get(endpoint)?, facts_after.get(endpoint)?)));
        Ok(Compared {
            before: earlier.run,
            after: later.run,
            difference,
        })
    }

    fn look(&mut self, side: &Side) -> Result<Looked, KeepError> {
        match side {
            Side::Kept(run) => {
                let lines = LogLines {
                    logs: &self.logs,
                    run: &run.run,
                };
                // Without its log, what a run asked is not known, and the rest is.
                let told = Told::read_head(&lines).unwrap_or_default();
                let covered = told.map(|told| Covered::of(&told, run.complete));
                Ok(Looked {
                    rows: self.store.rows_of_run(&run.run)?,
                    covered: covered.unwrap_or_default(),
                    run: (**run).clone(),
                })
            }
            Side::File(path) => {
                let lines = FileLines(path);
                let told = read_file(&lines, path)?;
                let mut rows = Vec::new();
                for record in told.records(&lines)? {
                    rows.push(Row::of(&Observation::of(&record?.0)));
                }
                Ok(Looked {
                    rows,
                    covered: told.covered(),
                    run: told.stored(None),
                })
            }
        }
    }

    /// The stable facts of some endpoints.
    fn facts(&mut self, side: &Side, wanted: &[Endpoint]) -> Result<FactsByEndpoint, KeepError> {
        let mut facts = FactsByEndpoint::new();
        match side {
            Side::Kept(run) => {
                let mut failure = None;
                self.store.documents_of_endpoints(
                    &run.run,
                    wanted,
                    &mut |endpoint, document| match import::read_endpoint(document, &rule_code) {
                        Ok(record) => {
                            let seen = Observation::of(&judged(record));
                            facts.insert(endpoint.clone(), seen.stable);
                            ControlFlow::Continue(())
                        }
                        Err(error) => {
                            failure = Some(error);
                            ControlFlow::Break(())
                        }
                    },
                )?;
                failure.map_or(Ok(facts), |error| Err(error.into()))
            }
            Side::File(path) => {
                let wanted: HashSet<&Endpoint> = wanted.iter().collect();
                let lines = FileLines(path);
                let told = read_file(&lines, path)?;
                for record in told.records(&lines)? {
                    let (record, _) = record?;
                    if wanted.contains(&record.endpoint) {
                        let stable = Observation::of(&record).stable;
                        facts.insert(record.endpoint, stable);
                    }
                }
                Ok(facts)
            }
        }
    }
}

/// A side, as far as a comparison looks at all of it.
struct Looked {
    run: StoredRun,
    rows: Vec<Row>,
    covered: Covered,
}

fn read_file(lines: &dyn Lines, path: &std::path::Path) -> Result<Told, KeepError> {
    let told = Told::read(lines).map_err(|error| error.about(path))?;
    told.ok_or_else(|| KeepError::NoRun(format!("{}: it holds no run of memsweep", path.display())))
}
