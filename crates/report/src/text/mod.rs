//! Text for people: a table at one glance, what to do about it, and a sentence to close with.
//!
//! Endpoints are held until the summary, so that alarms stand on top. Beyond a limit the table
//! goes on in the order of arrival; advice and counts stay complete.

mod advice;
pub(crate) mod closing;
mod details;
pub(crate) mod page;
pub(crate) mod row;
pub(crate) mod verified;

use assess::Scores;
use model::{Record, RunRecord, Summary, VerifiedFinding};

use crate::advice::Advice;
use crate::{Report, Style, TextOptions};
use closing::Tally;
use page::Page;
use row::{Columns, Row};

/// Rows held for sorting.
const HELD_ROWS_MAX: usize = 10_000;
/// Up to this many rows, a row may take several lines, so that reasons can be read whole.
const WRAPPED_ROWS_MAX: usize = 12;

/// Holds rows and advice until the summary.
pub(crate) struct TextReport {
    options: TextOptions,
    run: Option<RunRecord>,
    rows: Vec<Row>,
    /// The columns of a table that outgrew the limit and is printed as it comes.
    streaming: Option<Columns>,
    advice: Advice,
    tally: Tally,
    scores: Scores,
    /// Endpoints so far.
    endpoints: u64,
    /// What became of an earlier run's findings.
    verified: Vec<VerifiedFinding>,
}

impl TextReport {
    pub(crate) fn new(options: &TextOptions) -> TextReport {
        TextReport {
            options: TextOptions {
                width_columns: options.width_columns.max(page::WIDTH_COLUMNS_MIN),
                ..options.clone()
            },
            run: None,
            rows: Vec::new(),
            streaming: None,
            advice: Advice::new(options.verbose),
            tally: Tally::default(),
            scores: Scores::default(),
            endpoints: 0,
            verified: Vec::new(),
        }
    }

    /// What was asked; a search has no head.
    fn print_head(&self, page: &mut Page<'_>) {
        if self.options.style != Style::Find {
            closing::print_head(self.run.as_ref(), page);
        }
    }

    /// A blank line, but not the first of the document.
    fn blank(&self, page: &mut Page<'_>) {
        if self.options.style != Style::Find {
            page.blank();
        }
    }

    /// Prints the rows held, alarms first, and says how the columns lie.
    fn print_rows(&mut self, page: &mut Page<'_>) -> Columns {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|left, right| left.order().cmp(&right.order()));
        let several_lines = match self.options.style {
            Style::Check | Style::Verify => true,
            Style::Scan | Style::Demo | Style::Find => {
                rows.len() <= WRAPPED_ROWS_MAX || self.options.verbose
            }
        };
        let columns = Columns::fitting(&rows, &self.options, several_lines);
        if !rows.is_empty() {
            self.blank(page);
            columns.print_head(page);
        }
        for row in &rows {
            columns.print(row, page);
        }
        for details in rows.iter().filter_map(|row| row.details.as_deref()) {
            page.blank();
            page.finished(details);
        }
        columns
    }
}

impl Report for TextReport {
    fn run(&mut self, run: &RunRecord, _out: &mut Vec<u8>) {
        self.run = Some(run.clone());
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.advice.add(record);
        self.tally.add(record);
        self.scores.add(record);
        self.endpoints += 1;
        let row = Row::of(record, &self.options);
        let options = self.options.clone();
        let mut page = Page::new(out, &options);
        if let Some(columns) = &self.streaming {
            columns.print(&row, &mut page);
            return;
        }
        self.rows.push(row);
        if self.rows.len() >= HELD_ROWS_MAX {
            self.print_head(&mut page);
            let columns = self.print_rows(&mut page);
            self.streaming = Some(columns);
        }
    }

    fn verified(&mut self, _summary: &Summary, findings: &[VerifiedFinding], _out: &mut Vec<u8>) {
        self.verified = findings.to_vec();
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        let options = self.options.clone();
        let mut page = Page::new(out, &options);
        if self.streaming.is_none() {
            self.print_head(&mut page);
            self.print_rows(&mut page);
        }
        verified::print(&self.verified, &mut page);
        if self.options.style != Style::Find {
            advice::print(&self.advice, &mut page);
        }
        let found = closing::Found {
            tally: &self.tally,
            scores: &self.scores,
            endpoints: self.endpoints,
        };
        if self.endpoints > 0 || self.options.style != Style::Find {
            page.blank();
        }
        closing::print(summary, self.run.as_ref(), &found, &mut page);
    }
}
