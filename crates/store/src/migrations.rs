//! How a database of an earlier version becomes one of this version.
//!
//! A migration that was released is never edited: databases that it made exist. What changes comes
//! as a file of its own, for both databases.

use crate::database::Dialect;

/// The migrations of each database, oldest first; the first makes version 1.
const SQLITE: [&str; 1] = [include_str!(
    "../migrations/sqlite/0001-runs-and-observations.sql"
)];
const POSTGRES: [&str; 1] = [include_str!(
    "../migrations/postgres/0001-runs-and-observations.sql"
)];

/// The version that this program makes and reads.
pub(crate) fn newest() -> i64 {
    SQLITE.len() as i64
}

/// What is to be done to a database of this version: the number of each migration and its SQL.
pub(crate) fn after(dialect: Dialect, version: i64) -> impl Iterator<Item = (i64, &'static str)> {
    let all: &'static [&'static str] = match dialect {
        Dialect::Sqlite => &SQLITE,
        Dialect::Postgres => &POSTGRES,
    };
    (1..)
        .zip(all.iter().copied())
        .filter(move |(number, _)| *number > version)
}
