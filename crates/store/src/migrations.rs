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

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a with 64 bits (draft-eastlake-fnv): enough to notice an edit.
    fn hash(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    #[test]
    fn migrations_that_were_released_are_never_edited() {
        const KNOWN: [(u64, u64); 1] = [(16_163_251_511_253_639_570, 17_431_760_101_859_977_121)];
        assert_eq!(SQLITE.len(), POSTGRES.len());
        let found: Vec<(u64, u64)> = SQLITE
            .iter()
            .zip(POSTGRES)
            .map(|(sqlite, postgres)| (hash(sqlite), hash(postgres)))
            .collect();
        assert_eq!(found, KNOWN, "write a new migration instead");
    }

    #[test]
    fn only_what_is_missing_is_done() {
        let numbers = |version| -> Vec<i64> {
            after(Dialect::Sqlite, version)
                .map(|(number, _)| number)
                .collect()
        };
        assert_eq!(numbers(0), (1..=newest()).collect::<Vec<_>>());
        assert_eq!(numbers(newest()), [0; 0]);
    }
}
