//! Where runs are kept: their logs, and an index over them in SQLite or PostgreSQL.
//!
//! The log of a run is the truth. It is written while the run goes on, and whatever happens to the
//! index, a new one can be made of the logs. The index answers questions: each run goes into it in
//! one transaction, whenever and as often as one likes.

mod codec;
mod database;
mod error;
mod find;
mod ingest;
mod location;
mod log;
mod migrations;
mod postgres;
mod runs;
mod select;
mod sqlite;
mod store;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use inventory::{Facet, FacetCounts, Observation, Query, Row, StoredRun};
use model::{Endpoint, Verdict};

pub use error::StoreError;
pub use location::Location;
pub use log::{
    LINE_BYTES_MAX, Lines, LogEntry, Logs, RunLog, decompressed, is_compressed, read_lines,
};

/// Observations of a run, each with the line of its record as it was written.
pub type Observations<'a> = &'a mut dyn Iterator<
    Item = Result<(Observation, String), Box<dyn std::error::Error + Send + Sync>>,
>;
/// Whether a run asked an endpoint.
pub type Covers<'a> = &'a dyn Fn(&Endpoint) -> bool;
/// Told of everything that was found; can end the search.
pub type EachFound<'a> = &'a mut dyn FnMut(Found) -> ControlFlow<()>;
/// Told of each record of a run, as it was written; can end the reading.
pub type EachDocument<'a> = &'a mut dyn FnMut(&str) -> ControlFlow<()>;
/// Which observations are asked.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// The last of each source about each endpoint, unless it is gone.
    Current,
    /// The same as it was at a time.
    At(SystemTime),
    /// Those of one run, which is named by its whole id.
    Run(&'a str),
}

/// An observation that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Who saw it.
    pub source: Arc<str>,
    /// In which run.
    pub run: Arc<str>,
    /// When.
    pub last_seen: SystemTime,
    /// When this source saw the endpoint first.
    pub first_seen: SystemTime,
    /// What it was.
    pub verdict: Verdict,
    /// The record as it was written, one line of JSON.
    pub document: String,
}

/// What was known of an endpoint at some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Which endpoint.
    pub endpoint: Endpoint,
    /// Who saw it.
    pub source: Arc<str>,
    /// In which run.
    pub run: Arc<str>,
    /// When.
    pub seen: SystemTime,
    /// When this source saw the endpoint first.
    pub first_seen: SystemTime,
    /// What it was; `None` if it was gone.
    pub verdict: Option<Verdict>,
    /// The record as it was written, one line of JSON; `None` if it was gone.
    pub document: Option<String>,
}

/// What taking in a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Observations that were handed over.
    pub observations: u64,
    /// Endpoints that were there before and are gone.
    pub gone: u64,
}

/// An index over the logs of runs.
///
/// Whatever writes is one transaction: it happens as a whole or not at all, and while another
/// process writes it waits.
pub trait Store {
    /// Takes in a run. One that is known already by its id is replaced.
    ///
    /// Current endpoints of this program's own runs that were last seen before this run, that it
    /// asked as `covers` says, and that it has no observation of, are gone from then on. What a run
    /// knows of them has to be there: to make an index anew, take runs in in the order of time.
    ///
    /// # Errors
    /// If the database or whoever hands over the observations fails; then nothing was changed.
    fn ingest(
        &mut self,
        run: &StoredRun,
        observations: Observations<'_>,
        covers: Covers<'_>,
    ) -> Result<Ingested, StoreError>;

    /// Tells of each observation that is as the query says, in the order of address, port,
    /// transport and source.
    ///
    /// # Errors
    /// If the database fails, or the run of the view is not known.
    fn find(
        &mut self,
        query: &Query,
        view: View<'_>,
        limit: Option<u64>,
        each: EachFound<'_>,
    ) -> Result<(), StoreError>;

    /// How many observations are as the query says.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn count(&mut self, query: &Query, view: View<'_>) -> Result<u64, StoreError>;

    /// How often each value of each facet occurs among the observations that are as the query says.
    ///
    /// # Errors
    /// As [`Store::find`].
    fn facets(
        &mut self,
        query: &Query,
        view: View<'_>,
        facets: &[Facet],
    ) -> Result<Vec<FacetCounts>, StoreError>;

    /// Runs, the latest first.
    ///
    /// # Errors
    /// If the database fails.
    fn runs(&mut self, limit: Option<u64>) -> Result<Vec<StoredRun>, StoreError>;

    /// The run with this id, or whose id is the only one that begins so.
    ///
    /// # Errors
    /// If there is none or more than one, or the database fails.
    fn run(&mut self, prefix: &str) -> Result<StoredRun, StoreError>;

    /// The latest runs of the same targets, the latest first: of those targets that were asked last
    /// among all that were asked so often. Empty if there are none.
    ///
    /// # Errors
    /// If the database fails.
    fn last_runs_of_same_targets(&mut self, count: u64) -> Result<Vec<StoredRun>, StoreError>;

    /// The records of a run, in the order in which they were written.
    ///
    /// # Errors
    /// If the run is not known, or the database fails.
    fn documents_of_run(&mut self, run: &str, each: EachDocument<'_>) -> Result<(), StoreError>;

    /// The records of some endpoints in a run; those it has none of are passed over.
    ///
    /// # Errors
    /// As [`Store::documents_of_run`].
    fn documents_of_endpoints(
        &mut self,
        run: &str,
        endpoints: &[Endpoint],
        each: &mut dyn FnMut(&Endpoint, &str) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// What a comparison needs of a run, in the order of endpoints.
    ///
    /// # Errors
    /// As [`Store::documents_of_run`].
    fn rows_of_run(&mut self, run: &str) -> Result<Vec<Row>, StoreError>;

    /// What a source knows of an endpoint now, that it is gone included.
    ///
    /// # Errors
    /// If the database fails.
    fn current_of(&mut self, endpoint: &Endpoint, source: &str)
    -> Result<Option<Past>, StoreError>;

    /// All that was ever seen of an endpoint, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    fn history(&mut self, endpoint: &Endpoint) -> Result<Vec<Past>, StoreError>;

    /// Removes runs that began before a time, and says which, so that their logs can go too. What is
    /// known now stays: a run with an observation that no later one replaced is kept as a whole.
    ///
    /// # Errors
    /// If the database fails.
    fn prune(&mut self, before: SystemTime) -> Result<Vec<StoredRun>, StoreError>;
}

/// Opens the inventory that is there; makes it if there is none.
///
/// # Errors
/// If it cannot be reached or made, is something else, or was written by a newer memsweep.
pub fn open(location: &Location) -> Result<Box<dyn Store>, StoreError> {
    Ok(match location {
        Location::File(path) => Box::new(store::Index(sqlite::Sqlite::open(path)?)),
        Location::Postgres { url, .. } => Box::new(store::Index(postgres::Postgres::open(url)?)),
    })
}
