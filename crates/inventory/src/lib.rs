//! What was seen over time, as values in memory: observations, runs, the query language, and what
//! changed between two runs.
//!
//! Nothing here opens a database or a file; `store` keeps what is described here and asks the same
//! questions in SQL. Whatever a query means is said once, by [`Query::matches`], and the databases
//! are held against it.

mod observation;
mod query;
mod run;

pub use observation::{FindingKey, Observation};
pub use query::{Bounds, Query, Term};
pub use run::{RunKind, StoredRun};
