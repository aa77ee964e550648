//! The block of `check`: everything an outsider learns of one server.

use model::Record;

use super::page::{Ink, Label, Page};
use super::row;
use crate::TextOptions;
use crate::escape::escape_for_terminal;
use crate::facts::{Fact, facts, verdict};
use crate::layout::{pad, pad_left, truncate, width};
use crate::words::pick;

/// Columns of the labels.
const LABEL_COLUMNS: usize = 13;
const LABEL_INDENT: usize = 2;

/// The block, its lines finished; `None` if nothing was said.
pub(super) fn block(record: &Record, options: &TextOptions) -> Option<String> {
    record.evidence.dialogue.as_deref()?;
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, options);
    print_title(record, &mut page);
    let (label, text) = verdict(record, options.language);
    print_line(label, &text, &mut page);
    for fact in facts(record, options.language, options.verbose) {
        match fact {
            Fact::Line(label, text) => print_line(label, &text, &mut page),
            Fact::Amplification(rows) => print_amplification(&rows, &mut page),
        }
    }
    // Everything written was a String before.
    String::from_utf8(out).ok()
}

fn print_title(record: &Record, page: &mut Page<'_>) {
    let name = row::name(record)
        .map(|name| format!("  {name}"))
        .unwrap_or_default();
    let place = escape_for_terminal(&record.endpoint.to_string());
    let title = truncate(&format!("{place}{name}"), page.width() - 6);
    let rest = page.width().min(100).saturating_sub(width(&title) + 4);
    let line = format!("── {} {}", page.ink(Ink::Bold, &title), "─".repeat(rest));
    page.line(&line);
}

fn print_line(label: &str, text: &str, page: &mut Page<'_>) {
    let label = Label {
        indent: LABEL_INDENT,
        text: label,
        columns: LABEL_COLUMNS,
        ink: Ink::Faint,
    };
    page.labelled(&label, Ink::Plain, text);
}

/// A small table: one request a line.
fn print_amplification(rows: &[[String; 6]], page: &mut Page<'_>) {
    let mut widths = [0; 6];
    for cells in rows {
        for (columns, cell) in widths.iter_mut().zip(cells) {
            *columns = (*columns).max(width(cell));
        }
    }
    let label = pad(
        pick(page.language(), "amplification", "増幅"),
        LABEL_COLUMNS,
    );
    let mut label = page.ink(Ink::Faint, &label);
    for cells in rows {
        let numbers = cells.iter().zip(widths).skip(1);
        let numbers: String = numbers
            .map(|(cell, columns)| format!("  {}", pad_left(cell, columns)))
            .collect();
        let text = format!("{}{numbers}", pad(&cells[0], widths[0]));
        let columns = page.width() - (LABEL_INDENT + LABEL_COLUMNS + 2);
        let text = truncate(&text, columns);
        let indent = " ".repeat(LABEL_INDENT);
        page.line(&format!("{indent}{label}  {text}"));
        label = " ".repeat(LABEL_COLUMNS);
    }
}
