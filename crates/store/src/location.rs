//! Where an inventory is: a file, or a database of a PostgreSQL server; and where its logs are.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Beginnings of the address of a PostgreSQL server.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where an inventory is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file of SQLite.
    File(PathBuf),
    /// In a database of a PostgreSQL server.
    Postgres {
        /// Its address, credentials included.
        url: String,
        /// The folder of logs, which a server does not have.
        logs: PathBuf,
    },
}

impl Location {
    /// What a user named: the address of a PostgreSQL server, whose logs are then in the folder
    /// that is given, or else a file.
    pub fn new(named: &str, logs: &Path) -> Location {
        if SCHEMES.iter().any(|scheme| named.starts_with(scheme)) {
            Location::Postgres {
                url: named.to_owned(),
                logs: logs.to_owned(),
            }
        } else {
            Location::File(PathBuf::from(named))
        }
    }

    /// The inventory of a user who named none, in the folder for data (`~/.local/share`).
    pub fn in_data_folder(data: &Path) -> Location {
        Location::File(data.join("memsweep").join("inventory.db"))
    }

    /// The folder of logs: of `foo.db` it is `foo.db.runs`.
    pub fn logs(&self) -> PathBuf {
        match self {
            Location::File(path) => {
                let mut name = OsString::from(path);
                name.push(".runs");
                PathBuf::from(name)
            }
            Location::Postgres { logs, .. } => logs.clone(),
        }
    }
}

/// As it may be shown: without a user's name and password.
impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => path.display().fmt(formatter),
            Location::Postgres { url, .. } => formatter.write_str(&crate::postgres::shown(url)),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_and_shown_without_credentials() {
        let cases = [
            ("a/foo.db", "a/foo.db", "a/foo.db.runs"),
            ("postgres.db", "postgres.db", "postgres.db.runs"),
            (
                "postgres://noc:s3cret@db.example.org:5432/inventory?sslmode=require",
                "postgres://db.example.org:5432/inventory",
                "/data/runs",
            ),
            (
                "postgresql://noc@db/inventory?password=s3cret",
                "postgres://db:5432/inventory",
                "/data/runs",
            ),
            (
                "postgres://noc:s3@cr?t@db/inventory",
                "postgres://…",
                "/data/runs",
            ),
            (
                "postgres:///inventory?host=/run",
                "postgres:///run/inventory",
                "/data/runs",
            ),
        ];
        for (named, shown, logs) in cases {
            let location = Location::new(named, Path::new("/data/runs"));
            assert_eq!(location.to_string(), shown);
            assert!(!format!("{location:?}").contains("s3"), "{location:?}");
            assert_eq!(location.logs(), Path::new(logs));
        }
        let default = Location::in_data_folder(Path::new("/data"));
        assert_eq!(default.to_string(), "/data/memsweep/inventory.db");
    }
}
