//! One JSON object a line: each is whole as soon as it is written.

use assess::Scores;
use model::{Record, RunRecord, Summary, VerifiedFinding};
use serde_json::Value;

use crate::escape::escape_json;
use crate::{Checkpoint, Report, values};

/// Writes every record at once; it holds nothing back but the scores of servers.
#[derive(Default)]
pub(crate) struct NdjsonReport {
    scores: Scores,
    both_languages: bool,
    without_scores: bool,
}

impl NdjsonReport {
    /// For the log of a run, out of which reports in either language are made later: what is said
    /// in English under the documented keys stands once more, in Japanese, under `ja`.
    pub(crate) fn in_both_languages() -> NdjsonReport {
        NdjsonReport {
            both_languages: true,
            ..NdjsonReport::default()
        }
    }

    /// For records without a judgement, of which there may be millions.
    pub(crate) fn without_scores() -> NdjsonReport {
        NdjsonReport {
            without_scores: true,
            ..NdjsonReport::default()
        }
    }
}

impl Report for NdjsonReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        line(&values::run(run), out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        if !self.without_scores {
            self.scores.add(record);
        }
        let mut value = values::endpoint(record);
        if self.both_languages {
            values::add_japanese_of_endpoint(&mut value, record);
        }
        line(&value, out);
    }

    fn verified(&mut self, summary: &Summary, findings: &[VerifiedFinding], out: &mut Vec<u8>) {
        for finding in findings {
            line(&values::verified(summary, finding), out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let mut value = values::summary(summary, &self.scores);
        if self.both_languages {
            values::add_japanese_of_summary(&mut value, summary);
        }
        line(&value, out);
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint<'_>, out: &mut Vec<u8>) {
        line(&values::progress(checkpoint), out);
    }
}

fn line(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(escape_json(&value.to_string()).as_bytes());
    out.push(b'\n');
}
