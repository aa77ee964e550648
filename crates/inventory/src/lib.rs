//! What was seen over time, as values in memory: observations, runs, the query language, and what
//! changed between two runs.
//!
//! Nothing here opens a database or a file; `store` keeps what is described here and asks the same
//! questions in SQL. Whatever a query means is said once, by [`Query::matches`], and the databases
//! are held against it.

mod difference;
mod facet;
mod fingerprint;
mod fold;
mod imported;
mod moment;
mod observation;
mod query;
mod run;
mod span;
mod timeline;
mod version;

#[cfg(test)]
mod samples;

pub use difference::{
    Change, Comparison, Coverage, Difference, Facts, FieldChange, Pair, Row, compare,
};
pub use facet::{
    FACET_VALUES_MAX, FACETS_MAX, Facet, FacetCounts, FacetError, facet_network, facet_values,
};
pub use fingerprint::digest;
pub use fold::{fold, glob_matches, has_wildcard};
pub use imported::{Imported, Reconciled, STANDINGS_MAX, Standing};
pub use observation::{
    FINDING_PREFIX, FINDINGS_MAX, FindingKey, OWN_SOURCE, Observation, SETTING_PREFIX,
    SETTINGS_MAX, STATISTIC_PREFIX, TAGS_MAX, TEXT_CHARACTERS_MAX, VALUE_CHARACTERS_MAX,
};
pub use query::{
    Bounds, Field, QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX, Query, QueryError, Term,
    address_bytes,
};
pub use run::{RunKind, StoredRun};
pub use span::{SpanError, parse_retention, parse_span};
pub use timeline::{Timeline, TimelinePoint};
pub use version::version_key;
