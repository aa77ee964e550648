//! What can go wrong in keeping runs.

use std::io;
use std::path::{Path, PathBuf};

/// Why runs could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder refused.
    #[error("failed to {action} {}: {source}", path.display())]
    File {
        /// What was tried, such as `create`.
        action: &'static str,
        /// Of which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no inventory of memsweep: it is not an SQLite database", path.display())]
    NotADatabase {
        /// Which file.
        path: PathBuf,
    },
    /// It is a database of another program.
    #[error("{place} is a database of another program, not an inventory of memsweep")]
    Foreign {
        /// Which one.
        place: String,
    },
    /// It was written by a newer memsweep.
    #[error(
        "{place} was written by a newer memsweep: its version is {found}, this one knows up to \
         {known}"
    )]
    TooNew {
        /// Which one.
        place: String,
        /// Its version.
        found: i64,
        /// The newest that we know.
        known: i64,
    },
    /// SQLite complains.
    #[error("the inventory failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL complains, or cannot be reached. Never holds the password.
    #[error("the PostgreSQL server failed: {0}")]
    Postgres(String),
    /// The PostgreSQL server does not let us in, or is not there.
    #[error("failed to connect to {place}: {reason}")]
    Unreachable {
        /// Where, without credentials.
        place: String,
        /// Why not.
        reason: String,
    },
    /// The address of a PostgreSQL server cannot be read.
    #[error("failed to read the address of a PostgreSQL server: {0}")]
    Url(String),
    /// Whoever handed over the observations failed; nothing was kept of them.
    #[error("{0}")]
    Supplier(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No run has that id.
    #[error("no run begins with {0:?}")]
    NoSuchRun(String),
    /// Several runs have ids that begin so.
    #[error("several runs begin with {prefix:?}: {first} and {second} are two of them")]
    Ambiguous {
        /// What was asked.
        prefix: String,
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// The database holds what we never wrote.
    #[error("the inventory is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// A mapper of the errors of a file.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::File {
            action,
            path,
            source,
        }
    }
}
