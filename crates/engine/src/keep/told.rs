//! What a log tells, read again: the run as a whole, and its records, each endpoint as told last.
//!
//! A log holds a run and, if it was interrupted, its continuations: `run` records follow each other,
//! and what was judged after the last checkpoint was judged once more. So a log is gone through
//! twice: first for the run and for where each endpoint is told of last, then for the records.
//! Lines of endpoints are not parsed in the first pass unless there is a continuation.

use std::collections::HashMap;
use std::sync::Arc;

use import::{ImportError, Line, Progress, read_line};
use inventory::{OWN_SOURCE, RunKind, StoredRun};
use model::{Endpoint, Record, RunRecord, Summary, Text, VerdictCounts};

use super::KeepError;
use super::coverage::Covered;
use super::imported::judged;

/// How the line of an endpoint begins, as `report` writes it.
const ENDPOINT_START: &[u8] = br#"{"record":"endpoint""#;

/// Lines as they are read.
pub(crate) type LineIterator<'a> = Box<dyn Iterator<Item = Result<Vec<u8>, KeepError>> + 'a>;
/// Records as they are read, each with its line.
pub(crate) type RecordIterator<'a> =
    Box<dyn Iterator<Item = Result<(Record, String), KeepError>> + 'a>;

/// A log or a file, whose lines can be read as often as is wanted; a torn last one is left out.
pub(crate) trait Lines {
    /// The lines from the first on.
    fn lines(&self) -> Result<LineIterator<'_>, KeepError>;
}

/// What a log says about its run.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The first `run` record: what was planned.
    pub(crate) first: RunRecord,
    /// The last one, if the run was continued.
    pub(crate) last: RunRecord,
    /// The last word, if the run came to it.
    pub(crate) summary: Option<Summary>,
    progress: Option<Progress>,
    grade: Option<String>,
    records: u64,
    /// Of a run that ended without a word: verdicts and alarms of its records.
    counted: Option<(VerdictCounts, u64)>,
    /// Of a run with continuations: the line on which each endpoint is told of last.
    places: Option<HashMap<Endpoint, u64>>,
}

/// The text of a rule's code that lives as long as the program.
pub(crate) fn rule_code(code: &str) -> Option<&'static str> {
    assess::explain(code).map(|rule| rule.code)
}

impl Told {
    /// The first pass. `None` if nothing was begun: the log ends before its first whole record.
    pub(crate) fn read(lines: &dyn Lines) -> Result<Option<Told>, KeepError> {
        let mut told: Option<Told> = None;
        let mut runs = 0_u64;
        for line in lines.lines()? {
            let line = line?;
            if line.starts_with(ENDPOINT_START) {
                told.iter_mut().for_each(|told| told.records += 1);
                continue;
            }
            let parsed = parse(&line)?;
            runs += u64::from(matches!(parsed, Line::Run(_)));
            match (parsed, &mut told) {
                (Line::Run(run), None) => told = Some(Told::begun(*run)),
                (Line::Run(run), Some(told)) => {
                    told.last = *run;
                    told.summary = None;
                }
                (Line::Progress(progress), Some(told)) => told.progress = Some(progress),
                (Line::Summary(summary), Some(told)) => {
                    told.summary = Some(*summary);
                    told.grade = import::grade_of_summary(&line);
                }
                // An endpoint that other hands wrote, with its keys in another order.
                (Line::Endpoint(_), Some(told)) => told.records += 1,
                (Line::Endpoint(_) | Line::Progress(_) | Line::Summary(_), None)
                | (Line::Finding(_) | Line::Unknown, _) => {}
            }
        }
        if let Some(told) = &mut told
            && runs > 1
        {
            told.places = Some(last_places(lines)?);
        }
        if let Some(told) = &mut told
            && told.summary.is_none()
        {
            let mut counted = (VerdictCounts::default(), 0);
            for record in told.records(lines)? {
                let (record, _) = record?;
                counted.0.add(record.judgement.verdict);
                counted.1 += u64::from(record.alarm);
            }
            told.counted = Some(counted);
        }
        Ok(told)
    }

    /// The first record alone: what was planned.
    pub(crate) fn read_head(lines: &dyn Lines) -> Result<Option<RunRecord>, KeepError> {
        match lines.lines()?.next() {
            Some(line) => match parse(&line?)? {
                Line::Run(run) => Ok(Some(*run)),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    fn begun(run: RunRecord) -> Told {
        Told {
            last: run.clone(),
            first: run,
            summary: None,
            progress: None,
            grade: None,
            records: 0,
            counted: None,
            places: None,
        }
    }

    /// The second pass: every endpoint as told last, with its line.
    pub(crate) fn records<'a>(
        &'a self,
        lines: &'a dyn Lines,
    ) -> Result<RecordIterator<'a>, KeepError> {
        let mut number = 0_u64;
        Ok(Box::new(lines.lines()?.filter_map(move |line| {
            number += 1;
            self.record(line, number).transpose()
        })))
    }

    /// The record of a line, if it is one and the last word about its endpoint.
    fn record(
        &self,
        line: Result<Vec<u8>, KeepError>,
        number: u64,
    ) -> Result<Option<(Record, String)>, KeepError> {
        let line = line?;
        let Line::Endpoint(record) = parse(&line)? else {
            return Ok(None);
        };
        let is_last = match &self.places {
            Some(places) => places.get(&record.endpoint) == Some(&number),
            None => true,
        };
        // What was parsed as JSON is UTF-8.
        Ok(is_last.then(|| {
            (
                judged(*record),
                String::from_utf8_lossy(&line).trim_end().to_owned(),
            )
        }))
    }

    /// Whether everything that was planned was judged.
    pub(crate) fn is_complete(&self) -> bool {
        self.summary
            .as_ref()
            .is_some_and(|summary| summary.complete)
    }

    /// What the run asked, if that can be told.
    pub(crate) fn covered(&self) -> Covered {
        Covered::of(&self.first, self.is_complete())
    }

    /// The run as it is kept.
    pub(crate) fn stored(&self, log: Option<String>) -> StoredRun {
        let (verdicts, alarms) = self.counts();
        StoredRun {
            run: Arc::clone(&self.first.run),
            kind: kind(&self.first.command),
            source: self
                .first
                .source
                .clone()
                .unwrap_or_else(|| OWN_SOURCE.into()),
            started: self.first.timestamp,
            ended: self.summary.as_ref().map(|summary| summary.timestamp),
            targets: self.first.targets.clone(),
            fingerprint: fingerprint(&self.first),
            resumed_from: self.first.resumed_from.as_deref().map(Into::into),
            complete: self.is_complete(),
            verdicts,
            alarms,
            observations: match &self.places {
                Some(places) => places.len() as u64,
                None => self.records,
            },
            grade: self.grade.clone(),
            vantage: vantage(&self.last),
            log,
        }
    }

    /// How many endpoints got each verdict, and how many are alarms: by the last word; without it by
    /// the last checkpoint, or by what was recorded, whichever is more.
    fn counts(&self) -> (VerdictCounts, u64) {
        if let Some(summary) = &self.summary {
            return (summary.verdicts, summary.alarms);
        }
        let checked = self.progress.as_ref();
        let (mut verdicts, mut alarms) =
            checked.map_or_else(Default::default, |at| (at.verdicts, at.alarms));
        if let Some((recorded, recorded_alarms)) = &self.counted {
            for (verdict, count) in recorded.iter() {
                verdicts.add_many(verdict, count.saturating_sub(verdicts.of(verdict)));
            }
            alarms = alarms.max(*recorded_alarms);
        }
        (verdicts, alarms)
    }

    /// The last word of a run that never came to it, for reports: what is known, and that it is not
    /// all.
    pub(crate) fn summary_or_what_is_known(&self) -> Summary {
        if let Some(summary) = &self.summary {
            return summary.clone();
        }
        let (verdicts, alarms) = self.counts();
        let (timestamp, counter) = match &self.progress {
            Some(progress) => (progress.timestamp, progress.counter),
            None => (self.last.timestamp, self.last.counter),
        };
        let duration = timestamp.duration_since(self.first.timestamp);
        Summary {
            run: Arc::clone(&self.last.run),
            timestamp,
            verdicts,
            packets_sent: 0,
            packets_received: 0,
            duration: duration.unwrap_or_default(),
            complete: false,
            counter,
            pending: Vec::new(),
            unasked: 0,
            notes: vec![Text::new(
                "the run ended without a word, as when a process is killed; `memsweep scan \
                 --resume` continues it",
                "プロセスが強制終了されたなどで、スキャンは途中で終わっています。`memsweep scan \
                 --resume` で続けられます",
            )],
            alarms,
            rejected_replies: 0,
        }
    }
}

fn parse(line: &[u8]) -> Result<Line, ImportError> {
    read_line(line, &rule_code)
}

fn last_places(lines: &dyn Lines) -> Result<HashMap<Endpoint, u64>, KeepError> {
    let mut places = HashMap::new();
    let mut number = 0_u64;
    for line in lines.lines()? {
        number += 1;
        if let Line::Endpoint(record) = parse(&line?)? {
            places.insert(record.endpoint, number);
        }
    }
    Ok(places)
}

fn kind(command: &str) -> RunKind {
    match command {
        "check" => RunKind::Check,
        "verify" => RunKind::Verify,
        "import" => RunKind::Import,
        // A command of a later version scanned in one way or another.
        _ => RunKind::Scan,
    }
}

/// Runs of the same targets have the same: addresses, ports, transports and shard.
fn fingerprint(run: &RunRecord) -> String {
    let (part, parts) = run.shard;
    let transports = match (run.tcp, run.udp) {
        (true, true) => "",
        (true, false) => "-tcp",
        (false, _) => "-udp",
    };
    let shard = if parts > 1 {
        format!("-{part}of{parts}")
    } else {
        String::new()
    };
    format!("{:016x}{transports}{shard}", run.fingerprint)
}

fn vantage(run: &RunRecord) -> Option<String> {
    let place = &run.vantage;
    let words = [
        place.source.as_deref(),
        place.interface.as_deref(),
        Some(place.engine.as_str()),
    ];
    let words: Vec<&str> = words
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty())
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}
