//! Slab classes: at a glance, and with every field that the server gives.

use model::{Language, StatsTable};

use super::classes::{Class, Classes};
use super::explain::explain_value;
use super::grid::{self, Column};
use super::print_nothing;
use super::statistics::{hit_ratio, memory_used};
use super::units::{human_bytes, percent, short_duration};
use crate::escape::escape_for_terminal;
use crate::layout::width;
use crate::text::page::{Ink, Page};
use crate::words::{counted, grouped};

/// Columns that a field's name is filled up to, before the classes beside it.
const GAP_COLUMNS: usize = 2;

/// Prints one row a class, and the totals.
pub(super) fn print(
    items: &StatsTable,
    slabs: &StatsTable,
    stats: Option<&StatsTable>,
    page: &mut Page<'_>,
) {
    let classes = Classes::of(Some(items), Some(slabs));
    let used: Vec<(u32, &Class<'_>)> = classes
        .by_number
        .iter()
        .filter(|(_, class)| class.is_used())
        .map(|(number, class)| (*number, class))
        .collect();
    page.blank();
    if used.is_empty() {
        print_nothing(
            "No slab class holds anything: the cache is empty.",
            "どのスラブクラスも空です。キャッシュには何も入っていません。",
            page,
        );
    } else {
        let hits = classes.sum(|class| class.slab_integer("get_hits"));
        grid::print(overview(&used, hits, page), 0, page);
    }
    let totals = totals(&classes, stats, page.language());
    if !totals.is_empty() {
        page.blank();
        page.items(Ink::Bold, &totals);
    }
}

/// The columns of the overview. What a narrow page loses first is what other columns imply.
fn overview(classes: &[(u32, &Class<'_>)], hits: Option<u64>, page: &Page<'_>) -> Vec<Column> {
    let language = page.language();
    let column = |en: &str, ja: &str, dispensable, cell: &dyn Fn(&Class<'_>) -> Option<String>| {
        let cells = classes
            .iter()
            .map(|(_, class)| cell(class).unwrap_or_default());
        Column::right(page.pick(en, ja), dispensable, cells.collect())
    };
    let span = |seconds| short_duration(language, seconds);
    let numbers = classes.iter().map(|(number, _)| number.to_string());
    vec![
        Column::right(page.pick("class", "クラス"), 0, numbers.collect()),
        column("item size", "アイテム長", 0, &|class| {
            class.slab_integer("chunk_size").map(human_bytes)
        }),
        column("items", "件数", 0, &|class| {
            class.item_integer("number").map(grouped)
        }),
        column("age", "経過", 3, &|class| {
            class.item_integer("age").map(span)
        }),
        column("pages", "ページ", 6, &|class| {
            class.slab_integer("total_pages").map(grouped)
        }),
        column("memory", "メモリ", 0, &|class| {
            class.memory_bytes().map(human_bytes)
        }),
        column("full", "使用率", 1, &|class| {
            percent(
                class.slab_integer("used_chunks")?,
                class.slab_integer("total_chunks")?,
            )
        }),
        column("evicted", "追い出し", 0, &|class| {
            class.item_integer("evicted").map(grouped)
        }),
        column("evict age", "未使用期間", 4, &|class| {
            // Zero evictions have no age, whatever the field says.
            let evicted = class.item_integer("evicted")?;
            let seconds = class.item_integer("evicted_time")?;
            (evicted > 0).then(|| span(seconds))
        }),
        column("no memory", "メモリ不足", 2, &|class| {
            let refused = class.item_integer("outofmemory")?;
            (refused > 0).then(|| grouped(refused))
        }),
        column("hits", "ヒット", 5, &|class| {
            percent(class.slab_integer("get_hits")?, hits?)
        }),
        column("waste", "無駄", 1, &|class| {
            waste(class.used_bytes()?, class.requested_bytes()?)
        }),
    ]
}

/// The share of the chunks in use that their items do not need.
fn waste(used_bytes: u64, requested_bytes: u64) -> Option<String> {
    // An item of several chunks is counted in the class of its head, its tail elsewhere.
    percent(used_bytes.checked_sub(requested_bytes)?, used_bytes)
}

/// What the whole server holds; from `stats` where it was asked, otherwise from the classes.
fn totals(classes: &Classes<'_>, stats: Option<&StatsTable>, language: Language) -> Vec<String> {
    let say = |count: Option<u64>, one: &str, many: &str, ja: &str| {
        count.map(|count| counted(language, count, one, many, ja))
    };
    let of_stats = |name: &str| stats.and_then(|stats| stats.integer(name));
    let of_classes = |name: &'static str| classes.sum(|class| class.item_integer(name));
    let malloced = classes
        .alone
        .iter()
        .find(|(name, _)| *name == "total_malloced")
        .and_then(|(_, value)| value.parse::<u64>().ok());
    let mut totals = Vec::new();
    totals.extend(say(
        of_stats("curr_items").or_else(|| of_classes("number")),
        "item",
        "items",
        "アイテム",
    ));
    totals.extend(stats.and_then(|stats| memory_used(stats, language)));
    totals.extend(malloced.map(|bytes| match language {
        Language::English => format!("{} in pages", human_bytes(bytes)),
        Language::Japanese => format!("ページ割り当て {}", human_bytes(bytes)),
    }));
    totals.extend(total_waste(classes, language));
    totals.extend(stats.and_then(|stats| hit_ratio(stats, language)));
    totals.extend(say(
        of_stats("evictions").or_else(|| of_classes("evicted")),
        "eviction",
        "evictions",
        "件の追い出し",
    ));
    totals.extend(say(
        of_stats("reclaimed").or_else(|| of_classes("reclaimed")),
        "reclaimed",
        "reclaimed",
        "件の再利用",
    ));
    totals
}

fn total_waste(classes: &Classes<'_>, language: Language) -> Option<String> {
    let used = classes.sum(Class::used_bytes)?;
    let requested = classes.sum(Class::requested_bytes)?;
    let wasted = used.checked_sub(requested)?;
    let share = percent(wasted, used)?;
    Some(match language {
        Language::English => format!("{} wasted by rounding ({share})", human_bytes(wasted)),
        Language::Japanese => format!("端数による無駄 {}（{share}）", human_bytes(wasted)),
    })
}

/// Prints every field of every class: fields down the side, as many classes beside each other as
/// the page holds.
pub(super) fn print_fields(
    items: Option<&StatsTable>,
    slabs: Option<&StatsTable>,
    page: &mut Page<'_>,
) {
    let classes = Classes::of(items, slabs);
    let columns: Vec<ClassColumn<'_>> = classes
        .by_number
        .iter()
        .map(|(number, class)| ClassColumn {
            head: number.to_string(),
            rows: if items.is_some() {
                &class.items
            } else {
                &class.slabs
            },
        })
        .collect();
    if columns.is_empty() && classes.alone.is_empty() {
        page.blank();
        print_nothing(
            "The server names no slab class: the cache is empty.",
            "スラブクラスは報告されていません。キャッシュは空です。",
            page,
        );
    }
    let mut fields: Vec<&str> = Vec::new();
    for (field, _) in columns.iter().flat_map(|column| column.rows.iter()) {
        if !fields.contains(field) {
            fields.push(field);
        }
    }
    for chunk in fitting(&columns, &fields, page) {
        page.blank();
        grid::print(block(chunk, &fields, page), 0, page);
    }
    print_alone(&classes.alone, page);
}

/// One class of a block.
struct ClassColumn<'a> {
    head: String,
    rows: &'a [(&'a str, &'a str)],
}

impl ClassColumn<'_> {
    fn cell(&self, field: &str) -> String {
        let value = self.rows.iter().find(|(row, _)| *row == field);
        value.map_or_else(String::new, |(_, value)| match value.parse() {
            Ok(number) => grouped(number),
            Err(_) => escape_for_terminal(value),
        })
    }

    fn columns(&self, fields: &[&str]) -> usize {
        let cells = fields.iter().map(|field| width(&self.cell(field)));
        cells.max().unwrap_or(0).max(width(&self.head)) + GAP_COLUMNS
    }
}

/// The classes in groups that fit the page; at least one a group.
fn fitting<'a, 'b>(
    columns: &'a [ClassColumn<'b>],
    fields: &[&str],
    page: &Page<'_>,
) -> Vec<&'a [ClassColumn<'b>]> {
    let names = fields
        .iter()
        .map(|field| width(&escape_for_terminal(field)));
    let room = page.width().saturating_sub(names.max().unwrap_or(0));
    let mut groups = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for (index, column) in columns.iter().enumerate() {
        let needed = column.columns(fields);
        if index > start && filled + needed > room {
            groups.push(&columns[start..index]);
            (start, filled) = (index, 0);
        }
        filled += needed;
    }
    if start < columns.len() {
        groups.push(&columns[start..]);
    }
    groups
}

fn block(classes: &[ClassColumn<'_>], fields: &[&str], page: &Page<'_>) -> Vec<Column> {
    let names = fields.iter().map(|field| escape_for_terminal(field));
    let mut columns = vec![Column::left(page.pick("class", "クラス"), names.collect())];
    columns.extend(classes.iter().map(|class| {
        let cells = fields.iter().map(|field| class.cell(field));
        Column::right(&class.head, 0, cells.collect())
    }));
    columns
}

fn print_alone(rows: &[(&str, &str)], page: &mut Page<'_>) {
    if rows.is_empty() {
        return;
    }
    let language = page.language();
    page.blank();
    let cells = |cell: &dyn Fn(&str, &str) -> String| {
        rows.iter().map(|(name, value)| cell(name, value)).collect()
    };
    grid::print(
        vec![
            Column::left("", cells(&|name, _| escape_for_terminal(name))),
            Column::right("", 0, cells(&|_, value| escape_for_terminal(value))),
            Column::left(
                "",
                cells(&|name, value| explain_value(name, value, language)),
            ),
        ],
        0,
        page,
    );
}
