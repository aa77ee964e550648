//! Aligned columns that fit a page: what holds nothing is left out, and what does not fit is named
//! below.

use crate::layout::{pad, pad_left, width};
use crate::text::page::{Ink, Page};

/// Columns between two columns.
const GAP_COLUMNS: usize = 2;

/// On which side the cells of a column line up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column: its head and one cell a row, ready for a terminal.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The head.
    pub(super) head: String,
    /// Where the cells line up.
    pub(super) side: Side,
    /// The cells; an empty one is a blank.
    pub(super) cells: Vec<String>,
    /// Which column goes first when the page is narrow: the highest; 0 stays always.
    pub(super) dispensable: u8,
}

impl Column {
    /// A column of numbers.
    pub(super) fn right(head: &str, dispensable: u8, cells: Vec<String>) -> Column {
        Column {
            head: head.to_owned(),
            side: Side::Right,
            cells,
            dispensable,
        }
    }

    /// A column of words that stays always.
    pub(super) fn left(head: &str, cells: Vec<String>) -> Column {
        Column {
            head: head.to_owned(),
            side: Side::Left,
            cells,
            dispensable: 0,
        }
    }

    fn columns(&self) -> usize {
        let cells = self.cells.iter().map(|cell| width(cell));
        cells.max().unwrap_or(0).max(width(&self.head))
    }

    fn is_blank(&self) -> bool {
        self.cells.iter().all(String::is_empty)
    }

    fn fill(&self, text: &str) -> String {
        match self.side {
            Side::Left => pad(text, self.columns()),
            Side::Right => pad_left(text, self.columns()),
        }
    }
}

/// Prints the columns, pushed in by this many spaces, and below them the names of those that the
/// page has no room for.
pub(super) fn print(columns: Vec<Column>, indent: usize, page: &mut Page<'_>) {
    let mut columns: Vec<Column> = columns
        .into_iter()
        .filter(|column| !column.is_blank())
        .collect();
    let left_out = leave_out(&mut columns, page.width().saturating_sub(indent));
    let rows = columns
        .iter()
        .map(|column| column.cells.len())
        .max()
        .unwrap_or(0);
    if rows == 0 {
        return;
    }
    let indent = " ".repeat(indent);
    if columns.iter().any(|column| !column.head.is_empty()) {
        let head = line(&columns, |column| &column.head);
        let head = page.ink(Ink::Faint, head.trim_end());
        page.line(&format!("{indent}{head}"));
    }
    for row in 0..rows {
        let cells = line(&columns, |column| {
            column.cells.get(row).map_or("", String::as_str)
        });
        page.line(&format!("{indent}{cells}"));
    }
    if !left_out.is_empty() {
        let words = page.pick("no room on this page for: ", "幅が足りず省いた列：");
        let note = format!("{words}{}", left_out.join(page.pick(", ", "、")));
        page.paragraph(Ink::Faint, &note);
    }
}

fn line<'a>(columns: &'a [Column], cell: impl Fn(&'a Column) -> &'a str) -> String {
    let cells = columns.iter().map(|column| column.fill(cell(column)));
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP_COLUMNS))
}

/// Takes out columns until the rest fits; says which, in their order.
fn leave_out(columns: &mut Vec<Column>, width_columns: usize) -> Vec<String> {
    let mut left_out: Vec<(usize, String)> = Vec::new();
    let mut numbered: Vec<(usize, Column)> = columns.drain(..).enumerate().collect();
    loop {
        let needed: usize = numbered
            .iter()
            .map(|(_, column)| column.columns() + GAP_COLUMNS)
            .sum();
        let next = numbered
            .iter()
            .enumerate()
            .filter(|(_, (_, column))| column.dispensable > 0)
            .max_by_key(|(_, (_, column))| column.dispensable)
            .map(|(index, _)| index);
        match next {
            Some(index) if needed > width_columns + GAP_COLUMNS => {
                let (number, column) = numbered.remove(index);
                left_out.push((number, column.head));
            }
            Some(_) | None => break,
        }
    }
    columns.extend(numbered.into_iter().map(|(_, column)| column));
    left_out.sort();
    left_out.into_iter().map(|(_, head)| head).collect()
}
