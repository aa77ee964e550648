//! The one store over both databases: what is one transaction, and what reads one state.

use std::ops::ControlFlow;
use std::time::SystemTime;

use inventory::{Facet, FacetCounts, Query, Row, StoredRun};
use model::Endpoint;

use crate::database::{Database, snapshot, transaction};
use crate::{
    Covers, EachDocument, EachFound, Ingested, Observations, Past, Store, StoreError, View, find,
    ingest, runs,
};

/// A store in a database.
#[derive(Debug)]
pub(crate) struct Index<D>(pub(crate) D);

impl<D: Database> Store for Index<D> {
    fn ingest(
        &mut self,
        run: &StoredRun,
        observations: Observations<'_>,
        covers: Covers<'_>,
    ) -> Result<Ingested, StoreError> {
        let ingested = transaction(&mut self.0, |database| {
            ingest::ingest(database, run, observations, covers)
        })?;
        if ingested.observations >= ingest::ANALYSED_FROM {
            self.0.analyse()?;
        }
        Ok(ingested)
    }

    fn find(
        &mut self,
        query: &Query,
        view: View<'_>,
        limit: Option<u64>,
        each: EachFound<'_>,
    ) -> Result<(), StoreError> {
        snapshot(&mut self.0, |database| {
            find::find(database, query, &view, limit, each)
        })
    }

    fn count(&mut self, query: &Query, view: View<'_>) -> Result<u64, StoreError> {
        snapshot(&mut self.0, |database| find::count(database, query, &view))
    }

    fn facets(
        &mut self,
        query: &Query,
        view: View<'_>,
        facets: &[Facet],
    ) -> Result<Vec<FacetCounts>, StoreError> {
        snapshot(&mut self.0, |database| {
            find::facets(database, query, &view, facets)
        })
    }

    fn runs(&mut self, limit: Option<u64>) -> Result<Vec<StoredRun>, StoreError> {
        runs::runs(&mut self.0, limit)
    }

    fn run(&mut self, prefix: &str) -> Result<StoredRun, StoreError> {
        snapshot(&mut self.0, |database| runs::run(database, prefix))
    }

    fn last_runs_of_same_targets(&mut self, count: u64) -> Result<Vec<StoredRun>, StoreError> {
        runs::last_runs_of_same_targets(&mut self.0, count)
    }

    fn documents_of_run(&mut self, run: &str, each: EachDocument<'_>) -> Result<(), StoreError> {
        snapshot(&mut self.0, |database| {
            find::documents_of_run(database, run, each)
        })
    }

    fn documents_of_endpoints(
        &mut self,
        run: &str,
        endpoints: &[Endpoint],
        each: &mut dyn FnMut(&Endpoint, &str) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        snapshot(&mut self.0, |database| {
            find::documents_of_endpoints(database, run, endpoints, each)
        })
    }

    fn rows_of_run(&mut self, run: &str) -> Result<Vec<Row>, StoreError> {
        snapshot(&mut self.0, |database| find::rows_of_run(database, run))
    }

    fn current_of(
        &mut self,
        endpoint: &Endpoint,
        source: &str,
    ) -> Result<Option<Past>, StoreError> {
        find::current_of(&mut self.0, endpoint, source)
    }

    fn history(&mut self, endpoint: &Endpoint) -> Result<Vec<Past>, StoreError> {
        find::history(&mut self.0, endpoint)
    }

    fn prune(&mut self, before: SystemTime) -> Result<Vec<StoredRun>, StoreError> {
        transaction(&mut self.0, |database| runs::prune(database, before))
    }
}
