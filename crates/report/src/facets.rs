//! `memsweep find --facets`: how often each value occurs, as bars for people, JSON and CSV.

use inventory::FacetCounts;
use serde_json::{Value, json};

use crate::TextOptions;
use crate::csv::write_row;
use crate::escape::escape_for_terminal;
use crate::json::document;
use crate::layout::{pad, pad_left, truncate, width};
use crate::text::page::{Ink, Page, WIDTH_COLUMNS_MIN};
use crate::words::grouped;

/// Columns of a value, and of the longest bar.
const VALUE_COLUMNS_MAX: usize = 48;
const BAR_COLUMNS_MAX: usize = 40;
/// A bar shorter than this says nothing; without room for it there is none.
const BAR_COLUMNS_MIN: usize = 8;
/// Spaces before a value and between columns.
const GAP: &str = "  ";
/// Eighths of a column.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The most frequent values of each facet with their counts and bars.
pub fn facets_text(facets: &[FacetCounts], values_max: usize, options: &TextOptions) -> String {
    let options = TextOptions {
        width_columns: options.width_columns.max(WIDTH_COLUMNS_MIN),
        ..options.clone()
    };
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, &options);
    for (index, facet) in facets.iter().enumerate() {
        if index > 0 {
            page.blank();
        }
        print_facet(facet, values_max, &mut page);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// A JSON array with an object for each facet: its name, values with their counts, and how often
/// none of these values, or none at all, occurred.
pub fn facets_json(facets: &[FacetCounts], values_max: usize) -> String {
    let facet = |facet: &FacetCounts| {
        let values: Vec<Value> = facet
            .top(values_max)
            .into_iter()
            .map(|(value, count)| json!({ "value": value, "count": count }))
            .collect();
        json!({
            "facet": facet.facet().to_string(),
            "distinct": facet.distinct(),
            "values": values,
            "others": facet.others(values_max),
            "unknown": facet.unknown(),
        })
    };
    let facets: Vec<Value> = facets.iter().map(facet).collect();
    document(&Value::Array(facets))
}

/// A table with a row for each value. What `kind` says: `value`, or for all others together
/// `others`, and for what has no value `unknown`.
pub fn facets_csv(facets: &[FacetCounts], values_max: usize) -> String {
    let mut out = Vec::new();
    let mut row = |cells: [&str; 4]| write_row(cells.into_iter().map(str::to_owned), &mut out);
    row(["facet", "kind", "value", "count"]);
    for facet in facets {
        let name = facet.facet().to_string();
        for (value, count) in facet.top(values_max) {
            row([&name, "value", value, &count.to_string()]);
        }
        for (kind, count) in [
            ("others", facet.others(values_max)),
            ("unknown", facet.unknown()),
        ] {
            if count > 0 {
                row([&name, kind, "", &count.to_string()]);
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

fn print_facet(facet: &FacetCounts, values_max: usize, page: &mut Page<'_>) {
    let name = facet.facet().to_string();
    let heading = page.ink(Ink::Bold, &name);
    page.line(&heading);
    let top = facet.top(values_max);
    let mut rows: Vec<(Ink, String, u64)> = top
        .into_iter()
        .map(|(value, count)| (Ink::Plain, escape_for_terminal(value), count))
        .collect();
    let others = page.pick("(others)", "（その他）").to_owned();
    let unknown = page.pick("(not known)", "（不明）").to_owned();
    for (word, count) in [
        (others, facet.others(values_max)),
        (unknown, facet.unknown()),
    ] {
        if count > 0 {
            rows.push((Ink::Faint, word, count));
        }
    }
    if rows.is_empty() {
        let words = page.pick("nothing was found", "該当するものはありません");
        page.line(&format!("{GAP}{words}"));
        return;
    }
    let widest = |cell: &dyn Fn(&(Ink, String, u64)) -> usize| rows.iter().map(cell).max();
    let count_columns = widest(&|row| width(&grouped(row.2))).unwrap_or_default();
    let value_columns = widest(&|row| width(&row.1)).unwrap_or_default();
    let room = page.width().saturating_sub(2 * GAP.len() + count_columns);
    let value_columns = value_columns.min(VALUE_COLUMNS_MAX).min(room);
    let bar_columns = room
        .saturating_sub(value_columns + GAP.len())
        .min(BAR_COLUMNS_MAX);
    let most = rows
        .iter()
        .map(|(_, _, count)| *count)
        .max()
        .unwrap_or_default();
    for (ink, value, count) in &rows {
        let value = page.ink(*ink, &pad(&truncate(value, value_columns), value_columns));
        let number = pad_left(&grouped(*count), count_columns);
        let bar = if bar_columns >= BAR_COLUMNS_MIN {
            bar(*count, most, bar_columns)
        } else {
            String::new()
        };
        let bar = page.ink(Ink::Faint, &bar);
        page.line(&format!("{GAP}{value}{GAP}{number}{GAP}{bar}"));
    }
}

/// A bar in eighths of a column; what occurs at all has at least one.
fn bar(count: u64, most: u64, columns: usize) -> String {
    if count == 0 || most == 0 {
        return String::new();
    }
    let share = count as f64 / most as f64;
    let eighths = ((share * columns as f64 * 8.0).round() as usize).clamp(1, columns * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_their_share() {
        for (count, most, columns, expected) in [
            (8, 8, 4, "████"),
            (4, 8, 4, "██"),
            (1, 8, 4, "▌"),
            (1, 1_000_000, 4, "▏"),
            (0, 8, 4, ""),
            (0, 0, 4, ""),
            (u64::MAX, u64::MAX, 2, "██"),
        ] {
            assert_eq!(bar(count, most, columns), expected, "{count} of {most}");
        }
    }
}
