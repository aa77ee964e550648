//! Takes in a run.
//!
//! The rows of a run go in as if each were the first and the last that is known of its endpoint;
//! then three statements put right what is not: when endpoints were seen first, and which row is
//! the current one. So it does not matter in which order runs come, and an import of a million
//! endpoints that nobody knew costs hardly more than writing them.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use inventory::{OWN_SOURCE, Observation, StoredRun, fold, version_key};
use model::{Endpoint, Verdict};

use crate::codec::{address_key, clean, endpoint, kind_word, lines, nanoseconds};
use crate::database::{ColumnType, Columns, Database, Dialect, Table, Value, number, rows};
use crate::select::{confidence_bit, line, severity_bit};
use crate::{Covers, Ingested, Observations, StoreError};

/// As many rows make the planner's view of the tables old.
pub(crate) const ANALYSED_FROM: u64 = 1_000;
/// How many kinds and places are remembered at once while rows go in.
const REMEMBERED_MAX: usize = 20_000;
/// How many endpoints are looked at in one go for whether they are gone.
const GONE_AT_ONCE: i64 = 10_000;
/// How many continued runs are followed back.
const RESUMED_MAX: usize = 1_000;

use ColumnType::{Bytes, Integer, Real, Text};

static OBSERVATIONS: Table = Table {
    name: "observations",
    columns: &[
        ("id", Integer),
        ("run", Integer),
        ("kind", Integer),
        ("place", Integer),
        ("source", Text),
        ("address", Bytes),
        ("port", Integer),
        ("transport", Text),
        ("address_text", Text),
        ("seen", Integer),
        ("first_seen", Integer),
        ("current", Integer),
        ("gone", Integer),
        ("hostname", Text),
        ("hostname_folded", Text),
        ("payload_ratio", Real),
        ("digest", Integer),
        ("pid", Integer),
        ("process_start", Integer),
    ],
};

static DOCUMENTS: Table = Table {
    name: "documents",
    columns: &[("observation", Integer), ("text", Text), ("document", Text)],
};

/// Rows of two observations of the same endpoint by the same source.
const SAME_ENDPOINT: &str = "o.address = n.address AND o.port = n.port \
                             AND o.transport = n.transport AND o.source = n.source";

/// Puts a run in the place of what was known of it. Within a transaction.
pub(crate) fn ingest<D: Database>(
    database: &mut D,
    run: &StoredRun,
    observations: Observations<'_>,
    covers: Covers<'_>,
) -> Result<Ingested, StoreError> {
    let id = clean(&run.run);
    let known = number(
        database,
        "SELECT key FROM runs WHERE run = ?1",
        &[Value::text(&*id)],
    )?;
    let key = match known {
        Some(key) => {
            forget(database, key)?;
            key
        }
        None => next(database, "SELECT max(key) FROM runs")?,
    };
    insert_run(database, key, run)?;
    let indexes = database.without_indexes(&OBSERVATIONS)?;
    let mut writer = Writer::new(database, key)?;
    let mut counted = Ingested::default();
    for observation in observations {
        let (observation, document) = observation.map_err(StoreError::Supplier)?;
        writer.write(&observation, nanoseconds(observation.seen), Some(&document))?;
        counted.observations += 1;
    }
    writer.database.flush()?;
    for index in indexes {
        writer.database.execute(&index, &[])?;
    }
    if D::DIALECT == Dialect::Postgres && counted.observations >= ANALYSED_FROM {
        // Its planner would take the table to be as empty as it was.
        writer.database.analyse()?;
    }
    settle(writer.database, key)?;
    if &*run.source == OWN_SOURCE {
        counted.gone = writer.mark_gone(run, covers)?;
    }
    Ok(counted)
}

/// Removes a run and makes what was known before it current again. Within a transaction.
pub(crate) fn forget<D: Database>(database: &mut D, key: i64) -> Result<(), StoreError> {
    let run = [Value::Integer(key)];
    let same = "p.address = n.address AND p.port = n.port AND p.transport = n.transport \
                AND p.source = n.source AND p.run <> n.run";
    for sql in [
        format!(
            "UPDATE observations SET current = 1 WHERE id IN (SELECT (SELECT p.id \
             FROM observations p WHERE {same} ORDER BY p.seen DESC, p.run DESC, p.id DESC LIMIT 1) \
             FROM observations n WHERE n.run = ?1 AND n.current = 1)"
        ),
        // Where the run was the first to see an endpoint, the next one is it now.
        format!(
            "UPDATE observations SET first_seen = d.first FROM (SELECT n.address, n.port, \
             n.transport, n.source, (SELECT min(p.seen) FROM observations p WHERE {same}) AS first \
             FROM observations n WHERE n.run = ?1 AND n.seen = n.first_seen) AS d \
             WHERE observations.address = d.address AND observations.port = d.port \
             AND observations.transport = d.transport AND observations.source = d.source \
             AND d.first IS NOT NULL AND observations.first_seen <> d.first"
        ),
        "DELETE FROM documents WHERE observation IN (SELECT id FROM observations WHERE run = ?1)"
            .to_owned(),
        "DELETE FROM observations WHERE run = ?1".to_owned(),
        "DELETE FROM runs WHERE key = ?1".to_owned(),
    ] {
        database.execute(&sql, &run)?;
    }
    Ok(())
}

/// Puts right what the rows of a run say about first and last.
fn settle<D: Database>(database: &mut D, key: i64) -> Result<(), StoreError> {
    let run = [Value::Integer(key)];
    // All rows of an endpoint agree on when it was seen first, so the current one speaks for all.
    let pairs = format!(
        "FROM observations n JOIN observations o ON {SAME_ENDPOINT} AND o.id <> n.id \
         WHERE n.run = ?1 AND n.current = 1 AND o.current = 1"
    );
    // Endpoints that nobody knew need nothing of what follows.
    if number(database, &format!("SELECT n.id {pairs} LIMIT 1"), &run)?.is_none() {
        return Ok(());
    }
    for sql in [
        format!(
            "UPDATE observations SET first_seen = d.first FROM (SELECT n.address, n.port, \
             n.transport, n.source, min(n.seen) AS first {pairs} AND n.seen < o.first_seen \
             GROUP BY n.address, n.port, n.transport, n.source) AS d \
             WHERE observations.address = d.address AND observations.port = d.port \
             AND observations.transport = d.transport AND observations.source = d.source \
             AND observations.first_seen > d.first"
        ),
        format!(
            "UPDATE observations SET first_seen = d.first FROM (SELECT n.id, \
             min(o.first_seen) AS first {pairs} AND o.first_seen < n.first_seen GROUP BY n.id) \
             AS d WHERE observations.id = d.id"
        ),
        format!(
            "UPDATE observations SET current = 0 WHERE id IN (SELECT CASE \
             WHEN (o.seen, o.run, o.id) < (n.seen, n.run, n.id) THEN o.id ELSE n.id END {pairs})"
        ),
    ] {
        database.execute(&sql, &run)?;
    }
    Ok(())
}

fn next<D: Database>(database: &mut D, maximum: &str) -> Result<i64, StoreError> {
    Ok(number(database, maximum, &[])?.unwrap_or(0) + 1)
}

fn insert_run<D: Database>(database: &mut D, key: i64, run: &StoredRun) -> Result<(), StoreError> {
    let count = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: &str| Value::text(clean(text));
    let optional = |text: Option<&str>| Value::optional_text(text.map(clean));
    let mut values = vec![
        Value::Integer(key),
        text(&run.run),
        Value::text(clean(&fold(&run.run))),
        Value::text(kind_word(run.kind)),
        text(&run.source),
        Value::Integer(nanoseconds(run.started)),
        Value::optional_integer(run.ended.map(nanoseconds)),
        Value::text(lines(&run.targets)),
        text(&run.fingerprint),
        optional(run.resumed_from.as_deref()),
        Value::flag(run.complete),
    ];
    values.extend(
        Verdict::ALL
            .into_iter()
            .map(|verdict| count(run.verdicts.of(verdict))),
    );
    values.extend([
        count(run.alarms),
        count(run.observations),
        optional(run.grade.as_deref()),
        optional(run.vantage.as_deref()),
        optional(run.log.as_deref()),
    ]);
    insert(database, "runs", &values)
}

fn insert<D: Database>(
    database: &mut D,
    table: &str,
    values: &[Value<'_>],
) -> Result<(), StoreError> {
    let places: Vec<String> = (1..=values.len())
        .map(|index| format!("?{index}"))
        .collect();
    let sql = format!("INSERT INTO {table} VALUES ({})", places.join(", "));
    database.execute(&sql, values).map(drop)
}

/// Writes rows of one run.
struct Writer<'database, D> {
    database: &'database mut D,
    run: i64,
    id: i64,
    kinds: Interned,
    places: Interned,
}

impl<'database, D: Database> Writer<'database, D> {
    fn new(database: &'database mut D, run: i64) -> Result<Self, StoreError> {
        let id = next(database, "SELECT max(id) FROM observations")?;
        let kinds = Interned::new(database, "kinds")?;
        let places = Interned::new(database, "places")?;
        Ok(Writer {
            database,
            run,
            id,
            kinds,
            places,
        })
    }

    fn write(
        &mut self,
        observation: &Observation,
        first_seen: i64,
        document: Option<&str>,
    ) -> Result<(), StoreError> {
        let kind = self.kinds.id_of(self.database, kind_columns(observation))?;
        let place = self
            .places
            .id_of(self.database, place_columns(observation))?;
        let hostname = observation.hostname.as_deref().map(clean);
        let place_and_hostname = (place, hostname);
        self.write_row(observation, kind, place_and_hostname, first_seen)?;
        let text = Value::text(clean(&observation.text));
        let document = Value::optional_text(document.map(clean));
        let row = vec![Value::Integer(self.id), text, document];
        self.database.append(&DOCUMENTS, row)?;
        self.id += 1;
        Ok(())
    }

    fn write_row(
        &mut self,
        observation: &Observation,
        kind: i64,
        (place, hostname): (i64, Option<String>),
        first_seen: i64,
    ) -> Result<(), StoreError> {
        let endpoint = &observation.endpoint;
        let ratio = observation.payload_ratio.filter(|ratio| !ratio.is_nan());
        let row = vec![
            Value::Integer(self.id),
            Value::Integer(self.run),
            Value::Integer(kind),
            Value::Integer(place),
            Value::text(source(observation)),
            Value::bytes(address_key(&endpoint.address)),
            Value::Integer(endpoint.port.into()),
            Value::text(endpoint.transport.as_str()),
            Value::text(clean(&endpoint.address.to_string())),
            Value::Integer(nanoseconds(observation.seen)),
            Value::Integer(first_seen),
            Value::flag(true),
            Value::flag(observation.verdict.is_none()),
            Value::optional_text(hostname.clone()),
            Value::optional_text(hostname.map(|hostname| fold(&hostname))),
            ratio.map_or(Value::Null, Value::Real),
            Value::Integer(observation.digest().cast_signed()),
            Value::optional_integer(observation.pid.map(u64::cast_signed)),
            Value::optional_integer(observation.process_start_unix_s),
        ];
        self.database.append(&OBSERVATIONS, row)
    }

    /// Endpoints that were there before this run, that it asked, and that it has no row of, are
    /// gone. Those that a continued run has seen already are not meant.
    fn mark_gone(&mut self, run: &StoredRun, covers: Covers<'_>) -> Result<u64, StoreError> {
        let continued = continued_runs(self.database, run)?;
        let seen = run.ended.unwrap_or(run.started);
        let mut gone = 0;
        let mut after = 0;
        loop {
            let (last, candidates) = self.candidates(run, after)?;
            let Some(last) = last else {
                return Ok(gone);
            };
            after = last;
            for candidate in candidates {
                if continued.contains(&candidate.run) || !covers(&candidate.endpoint) {
                    continue;
                }
                let absent = absent(run, seen, &candidate);
                self.write(&absent, candidate.first_seen, None)?;
                self.database.execute(
                    "UPDATE observations SET current = 0 WHERE id = ?1",
                    &[Value::Integer(candidate.id)],
                )?;
                gone += 1;
            }
            self.database.flush()?;
        }
    }

    fn candidates(
        &mut self,
        run: &StoredRun,
        after: i64,
    ) -> Result<(Option<i64>, Vec<Candidate>), StoreError> {
        let mut candidates = Vec::new();
        let mut last = None;
        let values = [
            Value::Integer(after),
            Value::text(OWN_SOURCE),
            Value::Integer(self.run),
            Value::Integer(nanoseconds(run.started)),
            Value::Integer(GONE_AT_ONCE),
        ];
        self.database.query(
            "SELECT o.id, o.run, o.first_seen, o.address, o.port, o.transport, o.hostname \
             FROM observations o WHERE o.id > ?1 AND o.current = 1 AND o.gone = 0 \
             AND o.source = ?2 AND o.run <> ?3 AND o.seen < ?4 ORDER BY o.id LIMIT ?5",
            &values,
            &mut |row| {
                let mut columns = Columns::of(row);
                let (id, run) = (columns.integer()?, columns.integer()?);
                let first_seen = columns.integer()?;
                let (address, port) = (columns.bytes()?, columns.integer()?);
                last = Some(id);
                candidates.push(Candidate {
                    id,
                    run,
                    first_seen,
                    endpoint: endpoint(&address, port, &columns.text()?)?,
                    hostname: columns.optional_text()?,
                });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok((last, candidates))
    }
}

/// The current row of an endpoint that may be gone.
struct Candidate {
    id: i64,
    run: i64,
    first_seen: i64,
    endpoint: Endpoint,
    hostname: Option<String>,
}

fn absent(run: &StoredRun, seen: std::time::SystemTime, candidate: &Candidate) -> Observation {
    Observation {
        run: Arc::clone(&run.run),
        source: Arc::clone(&run.source),
        seen,
        endpoint: candidate.endpoint.clone(),
        verdict: None,
        alarm: false,
        hostname: candidate.hostname.clone(),
        version: None,
        protocol: None,
        auth: None,
        findings: Vec::new(),
        payload_ratio: None,
        asn: None,
        country: None,
        owner: None,
        tags: Vec::new(),
        text: String::new(),
        stable: std::collections::BTreeMap::new(),
        process_start_unix_s: None,
        pid: None,
    }
}

/// The keys of the runs that a run continues, back to the first.
fn continued_runs<D: Database>(database: &mut D, run: &StoredRun) -> Result<Vec<i64>, StoreError> {
    let mut keys = Vec::new();
    let mut next = run.resumed_from.as_deref().map(clean);
    while let Some(id) = next.take().filter(|_| keys.len() < RESUMED_MAX) {
        let sql = "SELECT key, resumed_from FROM runs WHERE run = ?1";
        let found = rows(database, sql, &[Value::text(id)])?;
        if let Some(row) = found.into_iter().next() {
            let mut columns = Columns::of(row);
            keys.push(columns.integer()?);
            next = columns.optional_text()?;
        }
    }
    Ok(keys)
}

/// A table of which each row has all its columns but the id in common with no other.
struct Interned {
    table: &'static str,
    next: i64,
    ids: HashMap<String, i64>,
}

impl Interned {
    fn new<D: Database>(database: &mut D, table: &'static str) -> Result<Interned, StoreError> {
        Ok(Interned {
            table,
            next: next(database, &format!("SELECT max(id) FROM {table}"))?,
            ids: HashMap::new(),
        })
    }

    fn id_of<D: Database>(
        &mut self,
        database: &mut D,
        columns: Vec<Value<'_>>,
    ) -> Result<i64, StoreError> {
        let identity = identity(&columns);
        if let Some(id) = self.ids.get(&identity) {
            return Ok(*id);
        }
        let matching = match D::DIALECT {
            Dialect::Sqlite => "identity = ?1",
            Dialect::Postgres => "md5(identity) = md5(?1) AND identity = ?1",
        };
        let sql = format!("SELECT id FROM {} WHERE {matching}", self.table);
        let known = number(database, &sql, &[Value::text(&*identity)])?;
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.next;
                let mut values = vec![Value::Integer(id), Value::text(&*identity)];
                values.extend(columns);
                insert(database, self.table, &values)?;
                self.next += 1;
                id
            }
        };
        // What was seen may be made up to have no end of kinds; memory has one.
        if self.ids.len() >= REMEMBERED_MAX {
            self.ids.clear();
        }
        self.ids.insert(identity, id);
        Ok(id)
    }
}

/// All columns in one text that no other columns have: each with its type and, as the texts may
/// hold anything, its length.
fn identity(columns: &[Value<'_>]) -> String {
    let mut identity = String::new();
    for value in columns {
        match value {
            Value::Integer(number) => identity.push_str(&format!("i{number}|")),
            Value::Text(text) => identity.push_str(&format!("t{}:{text}|", text.len())),
            // No table that is kept like this has others.
            Value::Null | Value::Real(_) | Value::Bytes(_) => identity.push_str("-|"),
        }
    }
    identity
}

fn source(observation: &Observation) -> String {
    clean(&fold(&observation.source))
}

fn kind_columns(observation: &Observation) -> Vec<Value<'static>> {
    let folded = |text: Option<&String>| Value::optional_text(text.map(|text| clean(&fold(text))));
    let version = observation.version.as_deref();
    let mut findings = String::new();
    let mut codes = "\n".to_owned();
    let (mut severities, mut confidences) = (0, 0);
    for finding in &observation.findings {
        let code = clean(&finding.code).replace(['\n', ' '], "_");
        let (severity, confidence) = (finding.severity, finding.confidence.as_str());
        findings.push_str(&format!("{code} {severity} {confidence}\n"));
        codes.push_str(&line(&finding.code));
        codes.push('\n');
        severities |= severity_bit(severity);
        confidences |= confidence_bit(finding.confidence);
    }
    vec![
        Value::text(source(observation)),
        Value::Integer(observation.endpoint.port.into()),
        Value::text(observation.endpoint.transport.as_str()),
        Value::optional_text(observation.verdict.map(Verdict::as_str)),
        Value::flag(observation.alarm),
        folded(observation.protocol.as_ref()),
        folded(observation.auth.as_ref()),
        Value::optional_text(version.map(clean)),
        folded(observation.version.as_ref()),
        Value::optional_integer(version.and_then(version_key).map(u64::cast_signed)),
        Value::text(findings),
        Value::text(codes),
        Value::Integer(severities),
        Value::Integer(confidences),
    ]
}

fn place_columns(observation: &Observation) -> Vec<Value<'static>> {
    let owner = observation.owner.as_deref();
    let mut tags = "\n".to_owned();
    for tag in &observation.tags {
        tags.push_str(&line(tag));
        tags.push('\n');
    }
    let country = observation.country.as_deref();
    vec![
        Value::optional_integer(observation.asn.map(i64::from)),
        Value::optional_text(country.map(|country| clean(&fold(country)))),
        Value::optional_text(owner.map(clean)),
        Value::optional_text(owner.map(|owner| clean(&fold(owner)))),
        Value::text(lines(&observation.tags)),
        Value::text(tags),
    ]
}
