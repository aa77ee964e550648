//! `stats sizes`: how many items of which size, smallest first.

use model::StatsTable;

use super::grid::{self, Column};
use super::print_nothing;
use super::units::{human_bytes, percent};
use crate::escape::escape_for_terminal;
use crate::text::page::{Ink, Page};
use crate::words::grouped;

/// The histogram, smallest size first, and the rows that are none of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes<'a> {
    /// Size in bytes, and items of it.
    pub(super) items_by_size: Vec<(u64, u64)>,
    /// Names and values.
    pub(super) words: Vec<(&'a str, &'a str)>,
}

impl<'a> Sizes<'a> {
    /// Sorts the rows.
    pub(super) fn of(table: &'a StatsTable) -> Sizes<'a> {
        let mut sizes = Sizes::default();
        for (name, value) in table.iter() {
            match (name.parse(), value.parse()) {
                (Ok(size_bytes), Ok(items)) => sizes.items_by_size.push((size_bytes, items)),
                _ => sizes.words.push((name, value)),
            }
        }
        sizes.items_by_size.sort_unstable();
        sizes
    }
}

/// Prints the histogram, or why there is none.
pub(super) fn print(table: &StatsTable, page: &mut Page<'_>) {
    let Sizes {
        items_by_size: sizes,
        words,
    } = Sizes::of(table);
    page.blank();
    print_words(&words, page);
    if sizes.is_empty() {
        if words.is_empty() {
            print_nothing(
                "The histogram is empty: no item is stored.",
                "ヒストグラムは空です。アイテムがありません。",
                page,
            );
        }
        return;
    }
    let items: u64 = sum(sizes.iter().map(|(_, items)| *items));
    let bytes: u64 = sum(sizes
        .iter()
        .map(|(size, items)| size.saturating_mul(*items)));
    let mut so_far: u64 = 0;
    let mut up_to_here = Vec::new();
    for (_, count) in &sizes {
        so_far = so_far.saturating_add(*count);
        up_to_here.push(percent(so_far, items).unwrap_or_default());
    }
    let cells = |cell: &dyn Fn(u64, u64) -> String| {
        sizes
            .iter()
            .map(|(size, count)| cell(*size, *count))
            .collect()
    };
    let columns = vec![
        Column::right(
            page.pick("size up to", "サイズ上限"),
            0,
            cells(&|size, _| grouped(size)),
        ),
        Column::right("", 2, cells(&|size, _| human_bytes(size))),
        Column::right(
            page.pick("items", "件数"),
            0,
            cells(&|_, count| grouped(count)),
        ),
        Column::right(
            page.pick("share", "割合"),
            1,
            cells(&|_, count| percent(count, items).unwrap_or_default()),
        ),
        Column::right(page.pick("so far", "累計"), 1, up_to_here),
        Column::right(
            page.pick("memory about", "メモリ概算"),
            1,
            cells(&|size, count| human_bytes(size.saturating_mul(count))),
        ),
    ];
    grid::print(columns, 0, page);
    page.blank();
    let totals = [
        format!("{} {}", grouped(items), page.pick("items", "アイテム")),
        format!("{} {}", page.pick("about", "およそ"), human_bytes(bytes)),
    ];
    page.items(Ink::Bold, &totals);
}

fn print_words(words: &[(&str, &str)], page: &mut Page<'_>) {
    for (name, value) in words {
        page.line(&format!(
            "{}  {}",
            escape_for_terminal(name),
            escape_for_terminal(value)
        ));
    }
    if words.contains(&("sizes_status", "disabled")) {
        print_nothing(
            "This server keeps no histogram of sizes. One that is started with -o track_sizes \
             does (memcached 1.4.27 and newer).",
            "このサーバはサイズのヒストグラムを記録していません。起動時に -o track_sizes を\
             付けると記録されます（memcached 1.4.27 以降）。",
            page,
        );
    }
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
