//! Answers questions about observations.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use inventory::{Facet, FacetCounts, Query, Row};
use model::{Endpoint, Verdict};

use crate::codec::{address_key, clean, endpoint, nanoseconds, texts, time};
use crate::database::{Columns, Database, Dialect, Value, number, rows};
use crate::select::{self, Condition, Lead};
use crate::{EachDocument, EachFound, Found, Past, StoreError, View};

/// How many rows are fetched in full at once.
const FETCHED_AT_ONCE: usize = 256;

const FOUND_COLUMNS: &str = "o.id, o.address, o.port, o.transport, o.source, r.run, o.seen, \
                             o.first_seen, k.verdict, d.document";
const FOUND_TABLES: &str = "observations o JOIN runs r ON r.key = o.run \
                            JOIN kinds k ON k.id = o.kind JOIN documents d ON d.observation = o.id";
/// An index is gone by if it leads to no more rows than this: then they are sorted. Otherwise the
/// answer is looked for in its order.
const LED_TO_MAX: i64 = 20_000;
const IN_ORDER: &str = "ORDER BY o.address, o.port, o.transport, o.source, o.seen, o.id";

/// Tells of each observation of the view that is as the query says, in the order of addresses.
pub(crate) fn find<D: Database>(
    database: &mut D,
    query: &Query,
    view: &View<'_>,
    limit: Option<u64>,
    each: EachFound<'_>,
) -> Result<(), StoreError> {
    let parts = select::parts(query);
    let lead = lead(database, &parts, view)?;
    let Condition { sql, mut values } = condition(database, &parts, lead, view)?;
    let order = match lead {
        Some(Lead::Part(_)) => IN_ORDER.replace("BY o.address", "BY +o.address"),
        _ => IN_ORDER.to_owned(),
    };
    let mut sql = format!("SELECT o.id FROM observations o WHERE {sql} {order}");
    if let Some(limit) = limit {
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        sql.push_str(&format!(" LIMIT ?{}", values.len()));
    }
    // The order is made of short rows, and what is long is fetched after it.
    let mut ids = Vec::new();
    database.query(&sql, &values, &mut |row| {
        ids.push(Columns::of(row).integer()?);
        Ok(ControlFlow::Continue(()))
    })?;
    for chunk in ids.chunks(FETCHED_AT_ONCE) {
        for found in fetch(database, chunk)? {
            if each(found).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How many observations of the view are as the query says.
pub(crate) fn count<D: Database>(
    database: &mut D,
    query: &Query,
    view: &View<'_>,
) -> Result<u64, StoreError> {
    let Condition { sql, values } = led_condition(database, query, view)?;
    let sql = format!("SELECT count(*) FROM observations o WHERE {sql}");
    let counted = number(database, &sql, &values)?;
    Ok(counted.map_or(0, i64::unsigned_abs))
}

/// Which index leads to the fewest rows. PostgreSQL finds out by itself.
fn lead<D: Database>(
    database: &mut D,
    parts: &[Query],
    view: &View<'_>,
) -> Result<Option<Lead>, StoreError> {
    if D::DIALECT == Dialect::Postgres || !matches!(view, View::Current) {
        return Ok(None);
    }
    let mut best = (LED_TO_MAX + 1, Lead::Order);
    for (place, part) in parts.iter().enumerate() {
        if !select::has_index(part) {
            continue;
        }
        let one = std::slice::from_ref(part);
        let Condition { sql, values } = select::condition_by(one, None, D::DIALECT, Vec::new());
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM observations o WHERE o.current = 1 AND {sql} \
             LIMIT {})",
            best.0
        );
        let rows = number(database, &sql, &values)?.unwrap_or(0);
        if rows < best.0 {
            best = (rows, Lead::Part(place));
        }
    }
    Ok(Some(best.1))
}

/// A condition for an answer that has no order.
fn led_condition<D: Database>(
    database: &mut D,
    query: &Query,
    view: &View<'_>,
) -> Result<Condition, StoreError> {
    let parts = select::parts(query);
    // Where no index leads to few rows, the planner's choice is as good as any.
    let lead = lead(database, &parts, view)?.filter(|lead| *lead != Lead::Order);
    condition(database, &parts, lead, view)
}

fn condition<D: Database>(
    database: &mut D,
    parts: &[Query],
    lead: Option<Lead>,
    view: &View<'_>,
) -> Result<Condition, StoreError> {
    let (within, values) = match view {
        View::Current => ("o.current = 1 AND o.gone = 0", Vec::new()),
        View::Run(run) => {
            let key = run_key(database, run)?;
            ("o.run = ?1 AND o.gone = 0", vec![Value::Integer(key)])
        }
        View::At(time) => (
            "o.seen <= ?1 AND o.gone = 0 AND NOT EXISTS (SELECT 1 FROM observations n \
             WHERE n.address = o.address AND n.port = o.port AND n.transport = o.transport \
             AND n.source = o.source AND n.seen <= ?1 AND n.seen >= o.seen \
             AND (n.seen, n.run, n.id) > (o.seen, o.run, o.id))",
            vec![Value::Integer(nanoseconds(*time))],
        ),
    };
    let Condition { sql, values } = select::condition_by(parts, lead, D::DIALECT, values);
    // The query comes first, because it is cheaper to ask than what was there in the past.
    let sql = format!("({sql}) AND {within}");
    Ok(Condition { sql, values })
}

/// The key of a run whose whole id is known.
pub(crate) fn run_key<D: Database>(database: &mut D, run: &str) -> Result<i64, StoreError> {
    let sql = "SELECT key FROM runs WHERE run = ?1";
    number(database, sql, &[Value::text(clean(run))])?
        .ok_or_else(|| StoreError::NoSuchRun(run.to_owned()))
}

fn fetch<D: Database>(database: &mut D, ids: &[i64]) -> Result<Vec<Found>, StoreError> {
    // Always the same number of placeholders, so that one prepared statement does for all; the
    // last id stands in for those that are missing.
    let last = ids.last().copied().unwrap_or(0);
    let places: Vec<String> = (1..=FETCHED_AT_ONCE)
        .map(|index| format!("?{index}"))
        .collect();
    let values: Vec<Value<'_>> = (0..FETCHED_AT_ONCE)
        .map(|index| Value::Integer(ids.get(index).copied().unwrap_or(last)))
        .collect();
    let sql = format!(
        "SELECT {FOUND_COLUMNS} FROM {FOUND_TABLES} WHERE o.id IN ({})",
        places.join(", ")
    );
    let mut fetched = HashMap::new();
    database.query(&sql, &values, &mut |row| {
        let (id, past) = past(row)?;
        fetched.insert(id, past);
        Ok(ControlFlow::Continue(()))
    })?;
    let in_order = ids.iter().filter_map(|id| fetched.remove(id));
    Ok(in_order.filter_map(present).collect())
}

fn past(row: crate::database::Row) -> Result<(i64, Past), StoreError> {
    let mut columns = Columns::of(row);
    let id = columns.integer()?;
    let (address, port) = (columns.bytes()?, columns.integer()?);
    let past = Past {
        endpoint: endpoint(&address, port, &columns.text()?)?,
        source: columns.text()?.into(),
        run: columns.text()?.into(),
        seen: time(columns.integer()?),
        first_seen: time(columns.integer()?),
        verdict: verdict(columns.optional_text()?)?,
        document: columns.optional_text()?,
    };
    Ok((id, past))
}

fn present(past: Past) -> Option<Found> {
    Some(Found {
        endpoint: past.endpoint,
        source: past.source,
        run: past.run,
        last_seen: past.seen,
        first_seen: past.first_seen,
        verdict: past.verdict?,
        document: past.document?,
    })
}

fn verdict(word: Option<String>) -> Result<Option<Verdict>, StoreError> {
    let Some(word) = word else { return Ok(None) };
    Verdict::from_word(&word)
        .map(Some)
        .ok_or_else(|| StoreError::Damaged(format!("the verdict {word:?}")))
}

/// Rows of `observations o` and its neighbours, oldest first.
pub(crate) fn past_of<D: Database>(
    database: &mut D,
    endpoint: &Endpoint,
    source: Option<&str>,
) -> Result<Vec<Past>, StoreError> {
    let mut values = vec![
        Value::bytes(address_key(&endpoint.address)),
        Value::Integer(endpoint.port.into()),
        Value::text(endpoint.transport.as_str()),
    ];
    let mut sql = format!(
        "SELECT {FOUND_COLUMNS} FROM {FOUND_TABLES} \
         WHERE o.address = ?1 AND o.port = ?2 AND o.transport = ?3"
    );
    if let Some(source) = source {
        values.push(Value::text(clean(&inventory::fold(source))));
        sql.push_str(" AND o.current = 1 AND o.source = ?4");
    }
    sql.push_str(" ORDER BY o.seen, o.run, o.id");
    let rows = rows(database, &sql, &values)?;
    rows.into_iter().map(|row| Ok(past(row)?.1)).collect()
}

/// The records of a run, in the order in which they were written.
pub(crate) fn documents_of_run<D: Database>(
    database: &mut D,
    run: &str,
    each: EachDocument<'_>,
) -> Result<(), StoreError> {
    let key = run_key(database, run)?;
    database.query(
        "SELECT d.document FROM observations o JOIN documents d ON d.observation = o.id \
         WHERE o.run = ?1 AND o.gone = 0 ORDER BY o.id",
        &[Value::Integer(key)],
        &mut |row| match Columns::of(row).optional_text()? {
            Some(document) => Ok(each(&document)),
            None => Ok(ControlFlow::Continue(())),
        },
    )
}

/// The records of some endpoints in a run.
pub(crate) fn documents_of_endpoints<D: Database>(
    database: &mut D,
    run: &str,
    endpoints: &[Endpoint],
    each: &mut dyn FnMut(&Endpoint, &str) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let key = run_key(database, run)?;
    for endpoint in endpoints {
        let values = [
            Value::bytes(address_key(&endpoint.address)),
            Value::Integer(endpoint.port.into()),
            Value::text(endpoint.transport.as_str()),
            Value::Integer(key),
        ];
        let found = rows(
            database,
            "SELECT d.document FROM observations o JOIN documents d ON d.observation = o.id \
             WHERE o.address = ?1 AND o.port = ?2 AND o.transport = ?3 AND o.run = ?4 \
             AND o.gone = 0 ORDER BY o.id DESC LIMIT 1",
            &values,
        )?;
        for row in found {
            let document = Columns::of(row).optional_text()?;
            if let Some(document) = document
                && each(endpoint, &document).is_break()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The light rows of a run, in the order of addresses.
pub(crate) fn rows_of_run<D: Database>(
    database: &mut D,
    run: &str,
) -> Result<Vec<Row>, StoreError> {
    let key = run_key(database, run)?;
    let verdicts: HashMap<i64, Option<Verdict>> = kinds(database)?
        .into_iter()
        .map(|(id, kind)| Ok((id, verdict(kind.verdict)?)))
        .collect::<Result<_, StoreError>>()?;
    let mut light = Vec::new();
    database.query(
        "SELECT o.address, o.port, o.transport, o.digest, o.kind, o.pid, o.process_start \
         FROM observations o WHERE o.run = ?1 AND o.gone = 0 ORDER BY o.id",
        &[Value::Integer(key)],
        &mut |row| {
            let mut columns = Columns::of(row);
            let (address, port) = (columns.bytes()?, columns.integer()?);
            light.push(Row {
                endpoint: endpoint(&address, port, &columns.text()?)?,
                digest: columns.integer()?.cast_unsigned(),
                verdict: verdicts.get(&columns.integer()?).copied().flatten(),
                pid: columns.optional_integer()?.map(i64::cast_unsigned),
                process_start_unix_s: columns.optional_integer()?,
            });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    light.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
    Ok(light)
}

/// What facets need of a kind.
struct Kind {
    port: i64,
    transport: String,
    source: String,
    verdict: Option<String>,
    version: Option<String>,
    auth: Option<String>,
    protocol: Option<String>,
    findings: String,
    severities: i64,
    alarm: bool,
}

fn kinds<D: Database>(database: &mut D) -> Result<HashMap<i64, Kind>, StoreError> {
    let mut kinds = HashMap::new();
    database.query(
        "SELECT id, port, transport, source, verdict, version, auth, protocol, findings, \
         severities, alarm FROM kinds",
        &[],
        &mut |row| {
            let mut columns = Columns::of(row);
            let id = columns.integer()?;
            let kind = Kind {
                port: columns.integer()?,
                transport: columns.text()?,
                source: columns.text()?,
                verdict: columns.optional_text()?,
                version: columns.optional_text()?,
                auth: columns.optional_text()?,
                protocol: columns.optional_text()?,
                findings: columns.text()?,
                severities: columns.integer()?,
                alarm: columns.integer()? != 0,
            };
            kinds.insert(id, kind);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(kinds)
}

impl Kind {
    /// The values that a facet counts; none if it is not known.
    fn labels(&self, facet: &Facet) -> Vec<String> {
        let one = |value: &Option<String>| value.iter().cloned().collect();
        match facet {
            Facet::Port => vec![self.port.to_string()],
            Facet::Transport => vec![self.transport.clone()],
            Facet::Source => vec![self.source.clone()],
            Facet::Verdict => one(&self.verdict),
            Facet::Version => one(&self.version),
            Facet::Auth => one(&self.auth),
            Facet::Protocol => one(&self.protocol),
            Facet::Severity => model::Severity::ALL
                .into_iter()
                .rev()
                .find(|severity| self.severities & select::severity_bit(*severity) != 0)
                .map(|severity| severity.as_str().to_owned())
                .into_iter()
                .collect(),
            Facet::Code => {
                let lines = self.findings.lines();
                let mut codes: Vec<String> = lines
                    .filter_map(|line| line.split(' ').next())
                    .map(str::to_owned)
                    .collect();
                codes.sort();
                codes.dedup();
                codes
            }
            Facet::Alarm => vec![(if self.alarm { "yes" } else { "no" }).to_owned()],
            Facet::Asn | Facet::Country | Facet::Owner | Facet::Tag => Vec::new(),
            Facet::Host | Facet::Net(_) | Facet::Address | Facet::Run => Vec::new(),
        }
    }
}

/// How often each value occurs in the answer to a query, most frequent first.
pub(crate) fn facets<D: Database>(
    database: &mut D,
    query: &Query,
    view: &View<'_>,
    facets: &[Facet],
) -> Result<Vec<FacetCounts>, StoreError> {
    let condition = led_condition(database, query, view)?;
    facets
        .iter()
        .map(|facet| facet_counts(database, &condition, facet))
        .collect()
}

type Counts = BTreeMap<Option<String>, u64>;

fn facet_counts<D: Database>(
    database: &mut D,
    condition: &Condition,
    facet: &Facet,
) -> Result<FacetCounts, StoreError> {
    let counts = match facet {
        Facet::Asn | Facet::Country | Facet::Owner | Facet::Tag => {
            let places = place_labels(database, facet)?;
            grouped(database, condition, "o.place", |place| {
                labels_of(place, |place| places.get(&place).cloned())
            })?
        }
        Facet::Host => grouped(database, condition, "o.hostname", |host| match host {
            Value::Text(text) => vec![text.into_owned()],
            _ => Vec::new(),
        })?,
        Facet::Address => grouped(
            database,
            condition,
            "o.address_text",
            |address| match address {
                Value::Text(text) => vec![text.into_owned()],
                _ => Vec::new(),
            },
        )?,
        Facet::Run => {
            let runs = run_ids(database)?;
            grouped(database, condition, "o.run", |run| {
                labels_of(run, |run| Some(vec![runs.get(&run)?.clone()]))
            })?
        }
        Facet::Net(bits) => {
            // The kind of address, 16 bytes, and nothing of a zone.
            let group = "substr(o.address, 1, 17)";
            grouped(database, condition, group, |address| match address {
                Value::Bytes(key) => network(&key, *bits).into_iter().collect(),
                _ => Vec::new(),
            })?
        }
        _ => {
            let kinds = kinds(database)?;
            grouped(database, condition, "o.kind", |kind| {
                labels_of(kind, |kind| kinds.get(&kind).map(|kind| kind.labels(facet)))
            })?
        }
    };
    let mut counted = FacetCounts::new(*facet);
    for (value, count) in counts {
        match value {
            Some(value) => counted.add_value(value, count),
            None => counted.add_unknown(count),
        }
    }
    Ok(counted)
}

fn run_ids<D: Database>(database: &mut D) -> Result<HashMap<i64, String>, StoreError> {
    let mut ids = HashMap::new();
    database.query("SELECT key, run FROM runs", &[], &mut |row| {
        let mut columns = Columns::of(row);
        ids.insert(columns.integer()?, columns.text()?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ids)
}

fn labels_of(id: Value<'_>, labels: impl Fn(i64) -> Option<Vec<String>>) -> Vec<String> {
    id.integer().and_then(labels).unwrap_or_default()
}

fn grouped<D: Database>(
    database: &mut D,
    condition: &Condition,
    group: &str,
    labels: impl Fn(Value<'static>) -> Vec<String>,
) -> Result<Counts, StoreError> {
    let sql = format!(
        "SELECT {group}, count(*) FROM observations o WHERE {} GROUP BY {group}",
        condition.sql
    );
    let mut counts = Counts::new();
    database.query(&sql, &condition.values, &mut |row| {
        let mut row = row.into_iter();
        let (value, count) = (row.next(), row.next());
        let count = count.and_then(|count| count.integer()).unwrap_or(0);
        let labels = value.map(&labels).unwrap_or_default();
        let mut add = |label| *counts.entry(label).or_default() += count.unsigned_abs();
        if labels.is_empty() {
            add(None);
        }
        for label in labels {
            add(Some(label));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counts)
}

fn place_labels<D: Database>(
    database: &mut D,
    facet: &Facet,
) -> Result<HashMap<i64, Vec<String>>, StoreError> {
    let column = match facet {
        Facet::Asn => "'AS' || CAST(asn AS TEXT)",
        Facet::Country => "upper(country)",
        Facet::Owner => "owner",
        _ => "tags",
    };
    let mut labels = HashMap::new();
    let sql = format!("SELECT id, {column} FROM places");
    database.query(&sql, &[], &mut |row| {
        let mut columns = Columns::of(row);
        let id = columns.integer()?;
        let text = columns.optional_text()?;
        let one_place = match (facet, text) {
            (_, None) => Vec::new(),
            (Facet::Tag, Some(tags)) => {
                let mut tags = texts(&tags);
                tags.sort();
                tags.dedup();
                tags
            }
            (_, Some(text)) => vec![text],
        };
        labels.insert(id, one_place);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(labels)
}

/// The network of an address, as `10.0.0.0/8`; none of a unix socket.
fn network(key: &[u8], bits: u8) -> Option<String> {
    inventory::facet_network(&endpoint(key, 0, "tcp").ok()?, bits)
}

/// The current rows of an endpoint, of one source.
pub(crate) fn current_of<D: Database>(
    database: &mut D,
    endpoint: &Endpoint,
    source: &str,
) -> Result<Option<Past>, StoreError> {
    Ok(past_of(database, endpoint, Some(source))?.pop())
}

/// Everything that was seen of an endpoint, oldest first.
pub(crate) fn history<D: Database>(
    database: &mut D,
    endpoint: &Endpoint,
) -> Result<Vec<Past>, StoreError> {
    past_of(database, endpoint, None)
}
