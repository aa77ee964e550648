//! A monitoring plugin's output (Monitoring Plugins Development Guidelines): one line with the
//! status, performance data behind a `|`, and the worst endpoints in lines below.
//!
//! The number that thresholds are held against is that of alarms: exposed endpoints that are
//! neither accepted nor reachable from here only. Exit codes of plugins are not those of memsweep:
//! see [`status`].

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use assess::Scores;
use model::{Endpoint, Record, RunRecord, Severity, Summary, Verdict};

use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::{Report, values};

/// Endpoints named in the first line.
const NAMED_MAX: usize = 5;
/// Endpoints with a line of their own. Nagios reads 8 KiB of output.
const LISTED_MAX: usize = 15;
/// Remarks about the run as a whole.
const NOTES_MAX: usize = 3;
/// Columns of such a line.
const LINE_COLUMNS_MAX: usize = 240;
/// Columns of an endpoint's name.
const NAME_COLUMNS_MAX: usize = 80;

/// What a plugin's exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Within all thresholds.
    Ok,
    /// Beyond the threshold for warnings.
    Warning,
    /// Beyond the threshold for critical.
    Critical,
    /// Not beyond them, as far as was seen; but not everything was.
    Unknown,
}

impl Status {
    /// The exit code of a plugin.
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Ok => 0,
            Status::Warning => 1,
            Status::Critical => 2,
            Status::Unknown => 3,
        }
    }

    /// The word in the first line.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
        }
    }
}

/// A range of the guidelines: `10` alerts outside 0 to 10, `10:` below 10, `~:10` above 10, `10:20`
/// outside 10 to 20, and `@10:20` inside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// `None`: from negative infinity.
    start: Option<f64>,
    /// `None`: to infinity.
    end: Option<f64>,
    alerts_inside: bool,
}

/// What is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Something in it is no number.
    #[error(
        "expected a range such as 10, 10:, ~:10, 10:20 or @10:20, got \"{}\"",
        escape_for_terminal(_0)
    )]
    NotANumber(String),
    /// It ends before it starts.
    #[error("the range \"{}\" ends before it starts", escape_for_terminal(_0))]
    Backwards(String),
}

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Range, RangeError> {
        let number = |part: &str| {
            let number = part.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| RangeError::NotANumber(text.to_owned()))
        };
        let (alerts_inside, limits) = match text.strip_prefix('@') {
            Some(limits) => (true, limits),
            None => (false, text),
        };
        let (start, end) = match limits.split_once(':') {
            None => (Some(0.0), Some(number(limits)?)),
            Some((start, end)) => {
                let start = match start {
                    "~" => None,
                    "" => Some(0.0),
                    start => Some(number(start)?),
                };
                let end = match end {
                    "" => None,
                    end => Some(number(end)?),
                };
                (start, end)
            }
        };
        if matches!((start, end), (Some(start), Some(end)) if start > end) {
            return Err(RangeError::Backwards(text.to_owned()));
        }
        Ok(Range {
            start,
            end,
            alerts_inside,
        })
    }

    /// Whether this value is an alert.
    pub fn alerts(&self, value: f64) -> bool {
        let is_inside = self.start.is_none_or(|start| value >= start)
            && self.end.is_none_or(|end| value <= end);
        is_inside == self.alerts_inside
    }
}

/// As it is written in performance data.
impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.alerts_inside {
            formatter.write_str("@")?;
        }
        match (self.start, self.end) {
            (Some(0.0), Some(end)) => write!(formatter, "{end}"),
            (Some(start), Some(end)) => write!(formatter, "{start}:{end}"),
            (Some(start), None) => write!(formatter, "{start}:"),
            (None, Some(end)) => write!(formatter, "~:{end}"),
            (None, None) => formatter.write_str("~:"),
        }
    }
}

/// How many alarms are too many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Outside of it the status is at least a warning.
    pub warning: Range,
    /// Outside of it the status is critical.
    pub critical: Range,
}

/// No alarm is fine; one is critical.
impl Default for Thresholds {
    fn default() -> Thresholds {
        let none = Range {
            start: Some(0.0),
            end: Some(0.0),
            alerts_inside: false,
        };
        Thresholds {
            warning: none,
            critical: none,
        }
    }
}

/// The status of a run. What was found counts before what was not finished.
pub fn status(summary: &Summary, thresholds: &Thresholds) -> Status {
    let alarms = summary.alarms as f64;
    if thresholds.critical.alerts(alarms) {
        Status::Critical
    } else if thresholds.warning.alerts(alarms) {
        Status::Warning
    } else if values::is_settled(summary) {
        Status::Ok
    } else {
        Status::Unknown
    }
}

/// The one line of a run that could not begin: its exit code is that of [`Status::Unknown`].
pub fn unknown_line(reason: &str) -> String {
    format!(
        "MEMCACHED {} - {}\n",
        Status::Unknown.as_str(),
        defused(reason)
    )
}

/// A writer with thresholds of the user's own.
pub fn writer(thresholds: Thresholds) -> Box<dyn Report> {
    Box::new(NagiosReport {
        thresholds,
        ..NagiosReport::default()
    })
}

/// Holds the worst alarms until the summary.
#[derive(Default)]
pub(crate) struct NagiosReport {
    thresholds: Thresholds,
    /// Lines below the first, worst first.
    alarms: BTreeMap<(Reverse<Option<Severity>>, Endpoint), String>,
    scores: Scores,
    amplification: Option<f64>,
}

impl Report for NagiosReport {
    fn run(&mut self, _run: &RunRecord, _out: &mut Vec<u8>) {}

    fn record(&mut self, record: &Record, _out: &mut Vec<u8>) {
        self.scores.add(record);
        if !record.alarm {
            return;
        }
        let dialogue = record.evidence.dialogue.as_deref();
        let measured = dialogue.map_or(&[][..], |dialogue| &dialogue.amplification);
        if let Some(strongest) = values::strongest(measured) {
            let before = self.amplification.unwrap_or_default();
            self.amplification = Some(before.max(strongest.payload_ratio()));
        }
        let key = (Reverse(record.judgement.worst()), record.endpoint.clone());
        self.alarms.insert(key, alarm_line(record));
        if self.alarms.len() > LISTED_MAX {
            self.alarms.pop_last();
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let status = status(summary, &self.thresholds).as_str();
        let (words, data) = (self.words(summary), self.performance_data(summary));
        line(&format!("MEMCACHED {status} - {words} | {data}"), out);
        for alarm in self.alarms.values() {
            line(alarm, out);
        }
        let listed = self.alarms.len() as u64;
        if summary.alarms > listed && listed > 0 {
            line(&format!("and {} more", summary.alarms - listed), out);
        }
        for note in summary.notes.iter().take(NOTES_MAX) {
            let note = format!("Note: {}", defused(&note.en));
            line(&truncate(&note, LINE_COLUMNS_MAX), out);
        }
    }
}

impl NagiosReport {
    /// What the first line says in words.
    fn words(&self, summary: &Summary) -> String {
        let verdicts = &summary.verdicts;
        let alarms = summary.alarms;
        let mut words = format!("{alarms} of {} endpoints exposed", verdicts.total());
        let names: Vec<String> = self
            .alarms
            .keys()
            .take(NAMED_MAX)
            .map(|(_, endpoint)| name(endpoint))
            .collect();
        if !names.is_empty() {
            words.push_str(&format!(": {}", names.join(", ")));
            let unnamed = alarms.saturating_sub(names.len() as u64);
            if unnamed > 0 {
                words.push_str(&format!(" and {unnamed} more"));
            }
        }
        let tolerated = tolerated(summary);
        if tolerated > 0 {
            words.push_str(&format!(
                "; {tolerated} more accepted or reachable from here only"
            ));
        }
        let unfinished = verdicts.of(Verdict::Unfinished);
        if !summary.complete {
            words.push_str("; the run broke off before every endpoint was judged");
        } else if unfinished > 0 {
            words.push_str(&format!("; {unfinished} unfinished"));
        } else if verdicts.total() == 0 {
            words.push_str("; there was nothing to ask");
        }
        words
    }

    fn performance_data(&self, summary: &Summary) -> String {
        let Thresholds { warning, critical } = &self.thresholds;
        let verdicts = &summary.verdicts;
        let mut data = vec![format!(
            "exposed={};{warning};{critical};0;{}",
            summary.alarms,
            verdicts.total()
        )];
        data.push(format!("tolerated={};;;0", tolerated(summary)));
        for (verdict, count) in verdicts.iter() {
            if verdict != Verdict::Exposed {
                data.push(format!("{verdict}={count};;;0"));
            }
        }
        if let Some(ratio) = self.amplification {
            data.push(format!("amplification={ratio:.2};;;0"));
        }
        data.push(format!("debt={};;;0", self.scores.debt()));
        data.push(format!(
            "duration={:.3}s;;;0",
            summary.duration.as_secs_f64()
        ));
        data.join(" ")
    }
}

/// Endpoints that are exposed and no alarm.
fn tolerated(summary: &Summary) -> u64 {
    let exposed = summary.verdicts.of(Verdict::Exposed);
    exposed.saturating_sub(summary.alarms)
}

/// `10.0.0.5:11211/udp: answered stats over UDP; MS002 high: The host can be used to …`
fn alarm_line(record: &Record) -> String {
    let judgement = &record.judgement;
    let mut text = format!("{}: {}", record.endpoint, judgement.reason.en);
    if let Some(worst) = judgement.findings.first() {
        text.push_str(&format!(
            "; {} {}: {}",
            worst.code, worst.severity, worst.title.en
        ));
    }
    truncate(&defused(&text), LINE_COLUMNS_MAX)
}

fn name(endpoint: &Endpoint) -> String {
    truncate(&defused(&endpoint.to_string()), NAME_COLUMNS_MAX)
}

/// Text without line ends, and without what begins performance data.
fn defused(text: &str) -> String {
    escape_for_terminal(text).replace('|', "\\x7c")
}

fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_guidelines() {
        for (text, alerts, is_quiet) in [
            ("10", &[-1.0, 10.1, 11.0][..], &[0.0, 5.0, 10.0][..]),
            ("0", &[1.0, 2.0], &[0.0]),
            ("10:", &[9.9, 0.0], &[10.0, 1e9]),
            ("~:10", &[10.1], &[-1e9, 10.0]),
            ("10:20", &[9.0, 21.0], &[10.0, 20.0]),
            ("@10:20", &[10.0, 15.0, 20.0], &[9.0, 21.0]),
            ("@0", &[0.0], &[1.0]),
            ("~:", &[], &[-1e9, 0.0, 1e9]),
        ] {
            let range = Range::parse(text).unwrap();
            assert!(alerts.iter().all(|value| range.alerts(*value)), "{text}");
            assert!(!is_quiet.iter().any(|value| range.alerts(*value)), "{text}");
            assert_eq!(range.to_string(), text);
        }
        assert_eq!(Range::parse(":5"), Range::parse("5"));
        assert_eq!(Range::parse("0.5:1.5").unwrap().to_string(), "0.5:1.5");
    }

    #[test]
    fn what_is_no_range_is_said_to_be_none() {
        for text in ["", "@", "x", "1:x", "~", "1:2:3", "nan", "inf", "1,5", "5~"] {
            assert_eq!(
                Range::parse(text),
                Err(RangeError::NotANumber(text.to_owned()))
            );
        }
        let backwards = Range::parse("20:10").unwrap_err();
        assert_eq!(
            backwards.to_string(),
            "the range \"20:10\" ends before it starts"
        );
        let no_number = Range::parse("ten").unwrap_err();
        assert_eq!(
            no_number.to_string(),
            "expected a range such as 10, 10:, ~:10, 10:20 or @10:20, got \"ten\""
        );
    }

    #[test]
    fn a_run_that_cannot_begin_is_unknown_in_one_line() {
        assert_eq!(
            unknown_line("10.0.0.0/8 | is\nout of scope"),
            "MEMCACHED UNKNOWN - 10.0.0.0/8 \\x7c is\\x0aout of scope\n"
        );
    }
}
