//! Our own records, one line each, read to the last word: the inverse of what `report` writes.
//!
//! What is written of a record and read again is written the same, byte for byte. What the written
//! form leaves out of a dialogue (second answers, the key that was asked for) is absent afterwards.
//! Unknown keys, unknown kinds of records and unknown words in lists are passed over; a value of
//! the wrong type is an error that names its key. Where a line has no Japanese (only the log of a
//! run has it, under `ja`), the English sentence stands in for it.

use std::sync::Arc;
use std::time::SystemTime;

use model::{Pending, Record, RunRecord, Summary, VerdictCounts, VerifiedFinding};
use serde_json::Value;

use crate::fields::Fields;
use crate::{ImportError, LINE_BYTES_MAX, endpoint, run};

/// The newest version of the format that is known here.
const SCHEMA_MAX: u64 = 1;
/// What some editors put before UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A record, of whatever kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A run begins.
    Run(Box<RunRecord>),
    /// An endpoint was judged.
    Endpoint(Box<Record>),
    /// How far a run has come.
    Progress(Progress),
    /// A run is over.
    Summary(Box<Summary>),
    /// What became of an earlier finding.
    Finding(Box<VerifiedFinding>),
    /// A kind of record that a later version added, or an empty line.
    Unknown,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The run's id.
    pub run: Arc<str>,
    /// When.
    pub timestamp: SystemTime,
    /// Every pair before it is done, but for the pending ones.
    pub counter: u64,
    /// Pairs before the counter that were begun and not ended.
    pub pending: Vec<Pending>,
    /// Verdicts so far.
    pub verdicts: VerdictCounts,
    /// Alarms so far.
    pub alarms: u64,
}

/// The word of `record`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Run,
    Endpoint,
    Progress,
    Summary,
    Finding,
    Unknown,
}

/// Gives the program's own text for the code of a rule, as findings want it; `None` for a code that
/// it does not know. A finding with such a code is left out of its record, because nobody here
/// could explain it, and the rest of the record is kept. Every code is asked for, so whoever wants
/// to count those that were left out counts them here.
pub type RuleCode<'a> = dyn Fn(&str) -> Option<&'static str> + 'a;

/// Reads a line of any kind. Errors speak of line 1; see [`ImportError::at_line`].
pub fn read_line(line: impl AsRef<[u8]>, rule: &RuleCode<'_>) -> Result<Line, ImportError> {
    let line = line.as_ref();
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    if line.trim_ascii().is_empty() {
        return Ok(Line::Unknown);
    }
    with_fields(line, |fields| {
        Ok(match kind(fields)? {
            Kind::Run => Line::Run(Box::new(run::run_record(fields)?)),
            Kind::Endpoint => Line::Endpoint(Box::new(endpoint::record(fields, rule)?)),
            Kind::Progress => Line::Progress(run::progress(fields)?),
            Kind::Summary => Line::Summary(Box::new(run::summary(fields)?)),
            Kind::Finding => Line::Finding(Box::new(endpoint::verified_finding(fields)?)),
            Kind::Unknown => Line::Unknown,
        })
    })
}

/// Reads an `endpoint` record.
pub fn read_endpoint(line: impl AsRef<[u8]>, rule: &RuleCode<'_>) -> Result<Record, ImportError> {
    with_fields(line.as_ref(), |fields| {
        expect_kind(fields, Kind::Endpoint, "`endpoint`")?;
        endpoint::record(fields, rule)
    })
}

/// Reads a `run` record.
pub fn read_run(line: impl AsRef<[u8]>) -> Result<RunRecord, ImportError> {
    with_fields(line.as_ref(), |fields| {
        expect_kind(fields, Kind::Run, "`run`")?;
        run::run_record(fields)
    })
}

/// Reads a `summary` record.
pub fn read_summary(line: impl AsRef<[u8]>) -> Result<Summary, ImportError> {
    with_fields(line.as_ref(), |fields| {
        expect_kind(fields, Kind::Summary, "`summary`")?;
        run::summary(fields)
    })
}

/// What kind of record it is, once its schema is known to be one that can be read.
pub(crate) fn kind(fields: Fields<'_>) -> Result<Kind, ImportError> {
    let word = fields.str("record")?;
    let schema = fields.integer("schema")?;
    if schema > SCHEMA_MAX {
        return Err(ImportError::NewerSchema {
            line: fields.line(),
            schema,
            schema_max: SCHEMA_MAX,
        });
    }
    Ok(match word {
        "run" => Kind::Run,
        "endpoint" => Kind::Endpoint,
        "progress" => Kind::Progress,
        "summary" => Kind::Summary,
        "finding" => Kind::Finding,
        _ => Kind::Unknown,
    })
}

fn expect_kind(fields: Fields<'_>, expected: Kind, word: &'static str) -> Result<(), ImportError> {
    if kind(fields)? == expected {
        Ok(())
    } else {
        Err(fields.wrong("record", word))
    }
}

/// The grade that a `summary` record gives; `None` if it gives none.
pub fn grade_of_summary(line: impl AsRef<[u8]>) -> Option<String> {
    with_fields(line.as_ref(), |fields| fields.optional_text("grade"))
        .ok()
        .flatten()
}

fn with_fields<T>(
    line: &[u8],
    read: impl FnOnce(Fields<'_>) -> Result<T, ImportError>,
) -> Result<T, ImportError> {
    let bytes_max = LINE_BYTES_MAX;
    if line.len() > bytes_max {
        return Err(ImportError::LineTooLong { line: 1, bytes_max });
    }
    let value: Value = serde_json::from_slice(line).map_err(|problem| ImportError::NotJson {
        line: 1,
        problem: problem.to_string(),
    })?;
    let object = value
        .as_object()
        .ok_or(ImportError::NotARecord { line: 1 })?;
    read(Fields::new(1, object))
}
