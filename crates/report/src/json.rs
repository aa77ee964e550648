//! One JSON object for a whole run: `{"run": …, "endpoints": […], "summary": …}`.
//!
//! It is written piece by piece as the records come, so that memory does not grow with the run;
//! the document is whole once the summary is written.

use assess::Scores;
use model::{Record, RunRecord, Summary, VerifiedFinding};
use serde_json::Value;

use crate::escape::escape_json;
use crate::{Report, values};

/// Writes the document and remembers how far it has come.
#[derive(Default)]
pub(crate) struct JsonReport {
    /// What was written last.
    state: State,
    scores: Scores,
    /// What became of an earlier run's findings.
    verified: Vec<Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Nothing,
    ArrayOpened,
    Endpoint,
}

impl Report for JsonReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        assert!(
            self.state == State::Nothing,
            "a document holds one run, and it comes first"
        );
        out.extend_from_slice(b"{\n  \"run\": ");
        pretty(&values::run(run), 2, out);
        out.extend_from_slice(b",\n  \"endpoints\": [");
        self.state = State::ArrayOpened;
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.scores.add(record);
        self.open_array(out);
        if self.state == State::Endpoint {
            out.push(b',');
        }
        out.extend_from_slice(b"\n    ");
        pretty(&values::endpoint(record), 4, out);
        self.state = State::Endpoint;
    }

    fn verified(&mut self, summary: &Summary, findings: &[VerifiedFinding], _out: &mut Vec<u8>) {
        let values = findings
            .iter()
            .map(|finding| values::verified(summary, finding));
        self.verified = values.collect();
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.open_array(out);
        if self.state == State::Endpoint {
            out.extend_from_slice(b"\n  ");
        }
        out.extend_from_slice(b"],\n");
        if !self.verified.is_empty() {
            out.extend_from_slice(b"  \"findings\": ");
            pretty(&Value::Array(std::mem::take(&mut self.verified)), 2, out);
            out.extend_from_slice(b",\n");
        }
        out.extend_from_slice(b"  \"summary\": ");
        pretty(&values::summary(summary, &self.scores), 2, out);
        out.extend_from_slice(b"\n}\n");
        self.state = State::Nothing;
    }
}

impl JsonReport {
    /// Begins the document without a run record, if none was given.
    fn open_array(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Nothing {
            out.extend_from_slice(b"{\n  \"endpoints\": [");
            self.state = State::ArrayOpened;
        }
    }
}

/// A whole document that is one value.
pub(crate) fn document(value: &Value) -> String {
    let mut text = escape_json(&format!("{value:#}"));
    text.push('\n');
    text
}

/// Writes a value over several lines, all but the first pushed in by this many spaces.
pub(crate) fn pretty(value: &Value, indent: usize, out: &mut Vec<u8>) {
    let text = escape_json(&format!("{value:#}"));
    let break_and_indent = format!("\n{}", " ".repeat(indent));
    out.extend_from_slice(text.replace('\n', &break_and_indent).as_bytes());
}
