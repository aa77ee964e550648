//! What a store promises, held against SQLite and against a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod figures;
mod law;
mod past;
mod runs;
mod samples;
mod searches;
mod together;

use std::sync::OnceLock;

use store::{Ingested, Location, Store, StoreError};
use testkit::PostgresServer;

use inventory::{Observation, StoredRun};

/// An empty place for an inventory.
pub(crate) struct Place {
    pub(crate) location: Location,
    /// Goes when the test ends.
    _folder: tempfile::TempDir,
    /// How many cases of a law are tried here.
    pub(crate) cases: u32,
}

impl Place {
    pub(crate) fn sqlite() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("inventory.db");
        Place {
            location: Location::File(path),
            _folder: folder,
            cases: 96,
        }
    }

    pub(crate) fn postgres() -> Place {
        /// One for all tests: it ends when this process does.
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        let url = SERVER.get_or_init(PostgresServer::start).fresh_database();
        let folder = tempfile::tempdir().unwrap();
        Place {
            location: Location::new(&url, folder.path()),
            _folder: folder,
            cases: 24,
        }
    }

    pub(crate) fn open(&self) -> Box<dyn Store> {
        store::open(&self.location).unwrap()
    }
}

/// Takes in a run that saw these.
pub(crate) fn ingest(
    store: &mut dyn Store,
    run: &StoredRun,
    observations: &[Observation],
    covers: bool,
) -> Ingested {
    try_ingest(store, run, observations, &|_| covers).unwrap()
}

pub(crate) fn try_ingest(
    store: &mut dyn Store,
    run: &StoredRun,
    observations: &[Observation],
    covers: store::Covers<'_>,
) -> Result<Ingested, StoreError> {
    let mut observations = observations
        .iter()
        .map(|seen| Ok((seen.clone(), samples::document(seen))));
    store.ingest(run, &mut observations, covers)
}

/// Each of these tests on both databases.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test(&crate::Place::sqlite());
            })*
        }
        mod on_postgres {
            $(#[test]
            fn $test() {
                super::$test(&crate::Place::postgres());
            })*
        }
    };
}
pub(crate) use on_both;
