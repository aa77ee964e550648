//! The inventory: every run is kept, and can be asked about, compared and told again.
//!
//! The log of a run is written first, while the run goes on ([`Recording`]). The index over the logs
//! is made from them afterwards, so there is one way into it, for a run that has just ended, for
//! one whose process was killed, for an import, and for an index that has to be made anew:
//! [`Inventory::catch_up`] and [`Inventory::rebuild`].

mod coverage;
mod difference;
mod imported;
mod recording;
mod told;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use inventory::{Facet, FacetCounts, OWN_SOURCE, Observation, Query, StoredRun, Term};
use model::{Endpoint, Record, Verdict};
use store::{LogEntry, Logs, Store, StoreError, View};

pub use difference::{Compared, Side};
pub use imported::File;
pub use recording::Recording;

use crate::Event;
use imported::judged;
use told::{LineIterator, Lines, Told, rule_code};

/// Observations that go from reading to writing at once.
const PIECE_OBSERVATIONS: usize = 256;
/// Pieces that wait; whoever reads more waits too.
const PIECES_WAITING_MAX: usize = 16;

/// Why the inventory could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A log or a file is not what it should be.
    #[error("{0}")]
    Read(#[from] import::ImportError),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{}: {source}", path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong in it.
        source: import::ImportError,
    },
    /// There is no such run, or its log is gone.
    #[error("{0}")]
    NoRun(String),
}

impl KeepError {
    /// The same, with the file in which something is wrong.
    fn about(self, path: &Path) -> KeepError {
        match self {
            KeepError::Read(source) => KeepError::Content {
                path: path.to_owned(),
                source,
            },
            other => other,
        }
    }
}

/// An observation that a search found, with its record.
#[derive(Clone, Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// When its source saw the endpoint first.
    pub first_seen: SystemTime,
}

/// What is known of earlier runs.
pub struct Inventory {
    store: Box<dyn Store>,
    logs: Logs,
}

/// What catching up came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// Runs that were taken in.
    pub runs: Vec<String>,
    /// What could not be taken in, and why; a line each.
    pub failures: Vec<String>,
}

impl Inventory {
    /// An inventory over a store and the folder of its logs.
    pub fn new(store: Box<dyn Store>, logs: Logs) -> Inventory {
        Inventory { store, logs }
    }

    /// Takes in every log that the index does not know as it is now and that nobody writes.
    pub fn catch_up(&mut self) -> Result<CaughtUp, KeepError> {
        let mut caught = CaughtUp::default();
        let known: HashMap<Arc<str>, Option<String>> = self
            .store
            .runs(None)?
            .into_iter()
            .map(|run| (run.run, run.log))
            .collect();
        let mut later_known: Vec<String> = Vec::new();
        for log in self.logs_in_order()? {
            let is_known = known
                .get(log.run.as_str())
                .is_some_and(|mark| *mark == Some(log.mark()));
            if is_known && !caught.runs.is_empty() {
                later_known.push(log.run);
            } else if !is_known && !log.is_alive {
                self.take_in_or_say(&log.run, &mut caught);
            }
        }
        // What a run found gone depends on what was known before it, and now more is.
        for run in later_known {
            if let Err(error) = self.take_in(&run) {
                caught.failures.push(format!("{run}: {error}"));
            }
        }
        Ok(caught)
    }

    /// Takes in one run from its log; false if the log holds nothing yet.
    pub fn take_in(&mut self, run: &str) -> Result<bool, KeepError> {
        let log = self.logs.entry(run)?;
        let lines = LogLines {
            logs: &self.logs.clone(),
            run,
        };
        let Some(told) = Told::read(&lines)? else {
            return Ok(false);
        };
        let stored = told.stored(Some(log.mark()));
        let covered = told.covered();
        self.ingest(&told, &lines, &stored, &|endpoint| covered.holds(endpoint))?;
        Ok(true)
    }

    /// Makes the index anew out of all logs, in the order of time.
    pub fn rebuild(&mut self) -> Result<CaughtUp, KeepError> {
        let mut caught = CaughtUp::default();
        for log in self.logs_in_order()? {
            if !log.is_alive {
                self.take_in_or_say(&log.run, &mut caught);
            }
        }
        Ok(caught)
    }

    /// Every log, in the order in which the runs began. An id says the second; which of two runs of one
    /// second was first, their records say.
    fn logs_in_order(&self) -> Result<Vec<LogEntry>, KeepError> {
        let mut logs = self.logs.entries()?;
        let of_one_second = |one: &LogEntry, other: &LogEntry| {
            one.run.split('-').next() == other.run.split('-').next()
        };
        for together in logs.chunk_by_mut(of_one_second) {
            if together.len() > 1 {
                together.sort_by_cached_key(|log| self.began(&log.run));
            }
        }
        Ok(logs)
    }

    fn began(&self, run: &str) -> Option<SystemTime> {
        let first = self.logs.read(run).ok()?.next()?.ok()?;
        Some(import::read_run(first).ok()?.timestamp)
    }

    fn take_in_or_say(&mut self, run: &str, caught: &mut CaughtUp) {
        match self.take_in(run) {
            Ok(true) => caught.runs.push(run.to_owned()),
            Ok(false) => {}
            Err(error) => caught.failures.push(format!("{run}: {error}")),
        }
    }

    fn ingest(
        &mut self,
        told: &Told,
        lines: &(dyn Lines + Sync),
        stored: &StoredRun,
        covers: &dyn Fn(&Endpoint) -> bool,
    ) -> Result<(), KeepError> {
        let (sender, receiver) = sync_channel(PIECES_WAITING_MAX);
        let store = &mut self.store;
        thread::scope(|scope| {
            thread::Builder::new()
                .name("reading".to_owned())
                .spawn_scoped(scope, move || {
                    read_observations(told, lines, stored, &sender)
                })
                .map_err(|source| KeepError::File {
                    path: PathBuf::from("a thread"),
                    source,
                })?;
            let mut observations = receiver.into_iter().flatten();
            store.ingest(stored, &mut observations, covers)?;
            Ok(())
        })
    }

    /// Tells of every observation that is as the query says.
    pub fn find(
        &mut self,
        query: &Query,
        view: View<'_>,
        limit: Option<u64>,
        each: &mut dyn FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), KeepError> {
        let mut failure = None;
        self.store.find(
            query,
            view,
            limit,
            &mut |found| match import::read_endpoint(&found.document, &rule_code) {
                Ok(record) => each(Found {
                    record: Record {
                        // A continuation wrote its own id.
                        run: Arc::clone(&found.run),
                        ..judged(record)
                    },
                    first_seen: found.first_seen,
                }),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// How often each value of each facet occurs.
    pub fn facets(
        &mut self,
        query: &Query,
        view: View<'_>,
        facets: &[Facet],
    ) -> Result<Vec<FacetCounts>, KeepError> {
        Ok(self.store.facets(query, view, facets)?)
    }

    /// Runs, the latest first.
    pub fn runs(&mut self, limit: Option<u64>) -> Result<Vec<StoredRun>, KeepError> {
        Ok(self.store.runs(limit)?)
    }

    /// The run with this id, or the only one whose id begins so.
    pub fn run(&mut self, prefix: &str) -> Result<StoredRun, KeepError> {
        Ok(self.store.run(prefix)?)
    }

    /// The last run of this program's own that is not an import.
    pub fn last_run(&mut self) -> Result<StoredRun, KeepError> {
        let runs = self.store.runs(None)?;
        let own = runs.into_iter().find(|run| *run.source == *OWN_SOURCE);
        own.ok_or_else(|| KeepError::NoRun("there is no run yet; `memsweep scan` makes one".into()))
    }

    /// Tells a run again as it was told when it was made.
    pub fn replay(&self, run: &str, listener: &mut dyn FnMut(Event)) -> Result<(), KeepError> {
        let lines = LogLines {
            logs: &self.logs,
            run,
        };
        replay(&lines, run, listener)
    }

    /// Endpoints of which a source says that something answered there.
    pub fn endpoints_of_source(&mut self, source: &str) -> Result<Vec<Endpoint>, KeepError> {
        let answering = Verdict::ALL.into_iter();
        let answering = answering.filter(|verdict| verdict.is_recorded_by_default());
        let query = Query::And(vec![
            Query::Term(Term::Source(source.to_owned())),
            Query::Or(
                answering
                    .map(|verdict| Query::Term(Term::Verdict(verdict)))
                    .collect(),
            ),
        ]);
        let mut endpoints = Vec::new();
        self.store.find(&query, View::Current, None, &mut |found| {
            endpoints.push(found.endpoint);
            ControlFlow::Continue(())
        })?;
        Ok(endpoints)
    }

    /// Removes runs that began before a time, with their logs; what is known now stays.
    pub fn prune(&mut self, before: SystemTime) -> Result<Vec<StoredRun>, KeepError> {
        let pruned = self.store.prune(before)?;
        for run in &pruned {
            self.logs.remove(&run.run)?;
        }
        Ok(pruned)
    }

    /// The folder of logs.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
}

/// The id of the run that a file begins with; `None` if it begins with none.
pub fn first_run_of(path: &Path) -> Result<Option<String>, KeepError> {
    let head = Told::read_head(&FileLines(path))?;
    Ok(head.map(|run| run.run.to_string()))
}

/// Tells the run of a file again, as one of the inventory's.
pub fn replay_file(path: &Path, listener: &mut dyn FnMut(Event)) -> Result<(), KeepError> {
    let file = FileLines(path);
    replay(&file, &path.display().to_string(), listener).map_err(|error| error.about(path))
}

fn replay(lines: &dyn Lines, name: &str, listener: &mut dyn FnMut(Event)) -> Result<(), KeepError> {
    let told = Told::read(lines)?
        .ok_or_else(|| KeepError::NoRun(format!("{name}: it holds no run of memsweep")))?;
    let mut run = told.last.clone();
    run.run = told.first.run.clone();
    run.timestamp = told.first.timestamp;
    run.counter = told.first.counter;
    run.resumed_from = told.first.resumed_from.clone();
    listener(Event::Run(Box::new(run)));
    for record in told.records(lines)? {
        let mut record = record?.0;
        record.run = Arc::clone(&told.first.run);
        listener(Event::Record(Box::new(record)));
    }
    let mut summary = told.summary_or_what_is_known();
    summary.run = told.first.run.clone();
    listener(Event::Summary(Box::new(summary)));
    Ok(())
}

/// The lines of a run's log.
struct LogLines<'a> {
    logs: &'a Logs,
    run: &'a str,
}

impl Lines for LogLines<'_> {
    fn lines(&self) -> Result<LineIterator<'_>, KeepError> {
        as_bytes(self.logs.read(self.run)?)
    }
}

/// The lines of a user's NDJSON file.
struct FileLines<'a>(&'a Path);

impl Lines for FileLines<'_> {
    fn lines(&self) -> Result<LineIterator<'_>, KeepError> {
        as_bytes(store::read_lines(self.0)?)
    }
}

fn as_bytes(lines: store::Lines) -> Result<LineIterator<'static>, KeepError> {
    Ok(Box::new(lines.map(|line| {
        line.map(String::into_bytes).map_err(KeepError::from)
    })))
}

/// An observation with its line, or why there is none.
type Handed = Result<(Observation, String), Box<dyn std::error::Error + Send + Sync>>;

/// Reads and judges a log, in pieces; ends early if nobody takes them any more.
fn read_observations(
    told: &Told,
    lines: &(dyn Lines + Sync),
    stored: &StoredRun,
    sender: &SyncSender<Vec<Handed>>,
) {
    let mut piece = Vec::with_capacity(PIECE_OBSERVATIONS);
    let records = match told.records(lines) {
        Ok(records) => records,
        Err(error) => {
            let _ = sender.send(vec![Err(Box::new(error))]);
            return;
        }
    };
    for record in records {
        let is_error = record.is_err();
        piece.push(record.map_err(|error| error.into()).map(|(record, line)| {
            let mut seen = Observation::of(&record);
            // A continuation writes its own id; what it saw belongs to the run that it continues.
            seen.run = Arc::clone(&stored.run);
            if record.source.is_none() {
                seen.source = Arc::clone(&stored.source);
            }
            (seen, line)
        }));
        if (piece.len() >= PIECE_OBSERVATIONS || is_error)
            && sender.send(std::mem::take(&mut piece)).is_err()
        {
            return;
        }
    }
    // Whoever takes them has left if this fails.
    let _ = sender.send(piece);
}
