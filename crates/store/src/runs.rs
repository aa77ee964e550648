//! Answers questions about runs, and lets old ones go.

use std::time::SystemTime;

use inventory::StoredRun;
use model::{Verdict, VerdictCounts};

use crate::codec::{clean, kind_of, nanoseconds, texts, time};
use crate::database::{Columns, Database, Row, Value, rows};
use crate::{StoreError, ingest};

const COLUMNS: &str = "run, kind, source, started, ended, targets, fingerprint, resumed_from, \
                       complete, exposed, protected, decoy, other, unfinished, closed, filtered, \
                       silent, absent, alarms, observations, grade, vantage, log";

/// Runs, the latest first.
pub(crate) fn runs<D: Database>(
    database: &mut D,
    limit: Option<u64>,
) -> Result<Vec<StoredRun>, StoreError> {
    let limit = limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let sql = format!("SELECT {COLUMNS} FROM runs ORDER BY started DESC, run DESC LIMIT ?1");
    read(rows(database, &sql, &[Value::Integer(limit)])?)
}

/// The run whose id begins so.
pub(crate) fn run<D: Database>(database: &mut D, prefix: &str) -> Result<StoredRun, StoreError> {
    let cleaned = clean(prefix);
    let exact = format!("SELECT {COLUMNS} FROM runs WHERE run = ?1");
    let exact = read(rows(database, &exact, &[Value::text(&*cleaned)])?)?;
    if let Some(run) = exact.into_iter().next() {
        return Ok(run);
    }
    // Compared as text of that length: nothing in it is a wildcard.
    let sql = format!(
        "SELECT {COLUMNS} FROM runs WHERE substr(run, 1, length(?1)) = ?1 ORDER BY run LIMIT 2"
    );
    let mut found = read(rows(database, &sql, &[Value::text(&*cleaned)])?)?.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Err(StoreError::NoSuchRun(prefix.to_owned())),
        (Some(run), None) => Ok(run),
        (Some(first), Some(second)) => Err(StoreError::Ambiguous {
            prefix: prefix.to_owned(),
            first: first.run.to_string(),
            second: second.run.to_string(),
        }),
    }
}

/// The latest runs that had the same targets as the latest run of this program that has as many,
/// the latest first.
pub(crate) fn last_runs_of_same_targets<D: Database>(
    database: &mut D,
    count: u64,
) -> Result<Vec<StoredRun>, StoreError> {
    let count = Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let sql = format!(
        "SELECT {COLUMNS} FROM runs WHERE source = ?2 AND kind <> 'import' AND fingerprint = \
         (SELECT fingerprint FROM runs WHERE source = ?2 AND kind <> 'import' \
         GROUP BY fingerprint HAVING count(*) >= ?1 ORDER BY max(started) DESC, fingerprint LIMIT 1) \
         ORDER BY started DESC, run DESC LIMIT ?1"
    );
    read(rows(
        database,
        &sql,
        &[count, Value::text(inventory::OWN_SOURCE)],
    )?)
}

/// Removes runs that began before a time, oldest first, and says which. A run stays as a whole if
/// one of its observations is what is known now of an endpoint; and so does the run by which an
/// endpoint is gone, as long as one stays that saw it.
pub(crate) fn prune<D: Database>(
    database: &mut D,
    before: SystemTime,
) -> Result<Vec<StoredRun>, StoreError> {
    let before = Value::Integer(nanoseconds(before));
    let sql = format!(
        "SELECT {COLUMNS}, key FROM runs r WHERE r.started < ?1 AND NOT EXISTS \
         (SELECT 1 FROM observations o WHERE o.run = r.key AND o.current = 1 AND o.gone = 0) \
         ORDER BY r.started, r.run"
    );
    let mut doomed = Vec::new();
    for mut row in rows(database, &sql, &[before])? {
        let key = row.pop().and_then(|key| key.integer()).unwrap_or(0);
        doomed.push((key, read_one(row)?));
    }
    keep_witnesses(database, &mut doomed)?;
    for (key, _) in &doomed {
        ingest::forget(database, *key)?;
    }
    Ok(doomed.into_iter().map(|(_, run)| run).collect())
}

/// Takes from the list the runs by which an endpoint is gone that a run beside the list has seen:
/// without them it would be back.
fn keep_witnesses<D: Database>(
    database: &mut D,
    doomed: &mut Vec<(i64, StoredRun)>,
) -> Result<(), StoreError> {
    loop {
        let mut kept = None;
        for (place, (key, _)) in doomed.iter().enumerate() {
            let seen_by = rows(
                database,
                "SELECT DISTINCT p.run FROM observations n JOIN observations p \
                 ON p.address = n.address AND p.port = n.port AND p.transport = n.transport \
                 AND p.source = n.source AND p.run <> n.run \
                 WHERE n.run = ?1 AND n.current = 1 AND n.gone = 1",
                &[Value::Integer(*key)],
            )?;
            let stays = |row: &Row| {
                let run = row.first().and_then(Value::integer);
                !doomed.iter().any(|(key, _)| Some(*key) == run)
            };
            if seen_by.iter().any(stays) {
                kept = Some(place);
                break;
            }
        }
        let Some(place) = kept else { return Ok(()) };
        doomed.remove(place);
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<StoredRun>, StoreError> {
    rows.into_iter().map(read_one).collect()
}

fn read_one(row: Row) -> Result<StoredRun, StoreError> {
    let mut columns = Columns::of(row);
    let run = columns.text()?.into();
    let kind = kind_of(&columns.text()?)?;
    let source = columns.text()?.into();
    let (started, ended) = (columns.integer()?, columns.optional_integer()?);
    let targets = texts(&columns.text()?);
    let fingerprint = columns.text()?;
    let resumed_from = columns.optional_text()?.map(Into::into);
    let complete = columns.integer()? != 0;
    let mut verdicts = VerdictCounts::default();
    for verdict in Verdict::ALL {
        verdicts.add_many(verdict, columns.integer()?.unsigned_abs());
    }
    Ok(StoredRun {
        run,
        kind,
        source,
        started: time(started),
        ended: ended.map(time),
        targets,
        fingerprint,
        resumed_from,
        complete,
        verdicts,
        alarms: columns.integer()?.unsigned_abs(),
        observations: columns.integer()?.unsigned_abs(),
        grade: columns.optional_text()?,
        vantage: columns.optional_text()?,
        log: columns.optional_text()?,
    })
}
