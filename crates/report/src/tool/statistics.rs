//! `stats` and `stats settings`: grouped, sorted, with what a value means beside it.

use std::collections::BTreeMap;

use model::{Language, StatsTable};

use super::explain::explain_value;
use super::glossary::{Field, Group, setting, statistic};
use super::grid::{self, Column};
use super::print_nothing;
use super::units::{human_bytes, human_bytes_of, percent, rate};
use crate::escape::escape_for_terminal;
use crate::layout::truncate;
use crate::text::page::{Ink, Page};
use crate::words::{grouped, long_duration, pick};

/// Columns of a value from a server; a longer one is cut in the table, and whole in JSON.
const VALUE_COLUMNS_MAX: usize = 300;
/// A clock that is off by no more than this is right.
const CLOCK_SKEW_S_MAX: u64 = 2;

/// Prints whose answer this is, and of `stats` the sentence that most came for.
pub(super) fn print_title(
    target: &str,
    mode: &str,
    stats: Option<&StatsTable>,
    page: &mut Page<'_>,
) {
    let title = format!("{}  {mode}", escape_for_terminal(target));
    let title = page.ink(Ink::Bold, &title);
    page.line(&title);
    let Some(stats) = stats else {
        return;
    };
    let language = page.language();
    let mut items = Vec::new();
    items.extend(stats.text("version").map(|version| {
        let version = truncate(&escape_for_terminal(version), VALUE_COLUMNS_MAX);
        match language {
            Language::English => format!("version {version}"),
            Language::Japanese => format!("バージョン {version}"),
        }
    }));
    items.extend(stats.integer("uptime").map(|seconds| {
        let span = long_duration(language, seconds);
        match language {
            Language::English => format!("up {span}"),
            Language::Japanese => format!("稼働 {span}"),
        }
    }));
    if mode == "stats" {
        items.extend(memory_used(stats, language));
        items.extend(hit_ratio(stats, language));
    }
    page.items(Ink::Plain, &items);
}

/// `1.4 MiB of 256.0 MiB used (0.6%)`.
pub(super) fn memory_used(stats: &StatsTable, language: Language) -> Option<String> {
    let bytes = stats.integer("bytes")?;
    let used = human_bytes(bytes);
    let Some(limit) = stats.integer("limit_maxbytes") else {
        return Some(match language {
            Language::English => format!("{used} used"),
            Language::Japanese => format!("使用 {used}"),
        });
    };
    let share = percent(bytes, limit).unwrap_or_default();
    let limit = human_bytes(limit);
    Some(match language {
        Language::English => format!("{used} of {limit} used ({share})"),
        Language::Japanese => format!("{limit} 中 {used} を使用（{share}）"),
    })
}

/// `93.4% of 1,234 gets hit`; says so if there were none.
pub(super) fn hit_ratio(stats: &StatsTable, language: Language) -> Option<String> {
    let hits = stats.integer("get_hits")?;
    let gets = hits.saturating_add(stats.integer("get_misses")?);
    Some(match (percent(hits, gets), language) {
        (Some(share), Language::English) => format!("{share} of {} gets hit", grouped(gets)),
        (Some(share), Language::Japanese) => {
            format!("get {} 回のヒット率 {share}", grouped(gets))
        }
        (None, Language::English) => "no gets yet".to_owned(),
        (None, Language::Japanese) => "get はまだなし".to_owned(),
    })
}

/// Prints `stats`.
pub(super) fn print_stats(stats: &StatsTable, now_unix_s: i64, page: &mut Page<'_>) {
    let language = page.language();
    print_groups(stats, statistic, page, |name, value| {
        let context = Context {
            stats,
            now_unix_s,
            language,
        };
        context.beside(name, value)
    });
}

/// Prints `stats settings`.
pub(super) fn print_settings(settings: &StatsTable, page: &mut Page<'_>) {
    let language = page.language();
    print_groups(settings, setting, page, |name, value| {
        explain_value(name, value, language)
    });
}

/// A row that is ready for its group: name, value, and what the value means.
type Row = [String; 3];

fn print_groups(
    table: &StatsTable,
    field_of: fn(&str) -> Option<&'static Field>,
    page: &mut Page<'_>,
    beside: impl Fn(&str, &str) -> String,
) {
    if table.is_empty() {
        page.blank();
        print_nothing(
            "The server's answer has no rows.",
            "サーバの応答に項目がありません。",
            page,
        );
        return;
    }
    let mut groups: BTreeMap<Group, Vec<Row>> = BTreeMap::new();
    for (name, value) in table.iter() {
        let group = field_of(name).map_or(Group::Other, |field| field.group);
        let row = [
            truncate(&escape_for_terminal(name), VALUE_COLUMNS_MAX),
            truncate(&escape_for_terminal(value), VALUE_COLUMNS_MAX),
            beside(name, value),
        ];
        groups.entry(group).or_default().push(row);
    }
    // One width for all groups, so that the eye can run down the page.
    let columns = |cell: usize| {
        let cells = groups.values().flatten().map(|row| row[cell].clone());
        cells.collect::<Vec<String>>()
    };
    let name_columns = common_width(&columns(0));
    let value_columns = common_width(&columns(1));
    for (group, mut rows) in groups {
        rows.sort();
        page.heading(group.title(page.language()));
        let cells = |cell: usize, fill: &dyn Fn(&str) -> String| {
            rows.iter().map(|row| fill(&row[cell])).collect()
        };
        let beside = cells(2, &str::to_owned);
        let names = cells(0, &|name| crate::layout::pad(name, name_columns));
        let values = cells(1, &|value| crate::layout::pad_left(value, value_columns));
        grid::print(
            vec![
                Column::left("", names),
                Column::left("", values),
                Column::left("", beside),
            ],
            2,
            page,
        );
    }
}

/// Columns of the widest cell that is not out of the ordinary.
fn common_width(cells: &[String]) -> usize {
    const ORDINARY_COLUMNS_MAX: usize = 32;
    let widths = cells.iter().map(|cell| crate::layout::width(cell));
    let ordinary = widths.filter(|columns| *columns <= ORDINARY_COLUMNS_MAX);
    ordinary.max().unwrap_or(0)
}

/// What a statistic is to be seen against.
struct Context<'a> {
    stats: &'a StatsTable,
    now_unix_s: i64,
    language: Language,
}

impl Context<'_> {
    /// What a value means, and what share or rate it is.
    fn beside(&self, name: &str, value: &str) -> String {
        let mut parts = Vec::new();
        let explained = explain_value(name, value, self.language);
        if !explained.is_empty() {
            parts.push(explained);
        }
        if let Ok(number) = value.parse() {
            parts.extend(self.share(name, number));
            parts.extend(self.average(name, number));
        }
        if name == "time" {
            parts.extend(self.clock_skew(value));
        }
        parts.join(pick(self.language, ", ", "、"))
    }

    /// Which part of another statistic this is.
    fn share(&self, name: &str, number: u64) -> Option<String> {
        let (wholes, en, ja): (&[&str], _, _) = match name {
            "get_hits" | "get_misses" => (&["get_hits", "get_misses"], "of gets", "get の"),
            "bytes" => (&["limit_maxbytes"], "of the limit", "上限の"),
            "curr_connections" => (&["max_connections"], "of the limit", "上限の"),
            "evicted_unfetched" | "evicted_active" => {
                (&["evictions"], "of evictions", "追い出しの")
            }
            _ => return None,
        };
        let figures = wholes.iter().map(|name| self.stats.integer(name));
        let whole = figures
            .collect::<Option<Vec<u64>>>()?
            .into_iter()
            .fold(0, u64::saturating_add);
        let share = percent(number, whole)?;
        Some(match self.language {
            Language::English => format!("{share} {en}"),
            Language::Japanese => format!("{ja} {share}"),
        })
    }

    /// How often a second since the start.
    fn average(&self, name: &str, number: u64) -> Option<String> {
        let uptime_s = self.stats.integer("uptime").filter(|uptime| *uptime > 0)?;
        let per_second = number as f64 / uptime_s as f64;
        let text = match name {
            _ if number == 0 => return None,
            "bytes_read" | "bytes_written" => human_bytes_of(per_second, " "),
            "cmd_get" | "cmd_set" | "cmd_touch" | "cmd_meta" | "cmd_flush" | "evictions"
            | "total_connections" | "total_items" => rate(per_second),
            _ => return None,
        };
        // A rate that rounds to nothing says nothing.
        (text != "0.0" && text != "0 B").then(|| match self.language {
            Language::English => format!("{text}/s on average"),
            Language::Japanese => format!("平均 {text}/秒"),
        })
    }

    /// Whether the server's clock runs with ours.
    fn clock_skew(&self, value: &str) -> Option<String> {
        let server: i64 = value.parse().ok()?;
        let skew = server.checked_sub(self.now_unix_s)?;
        if skew.unsigned_abs() <= CLOCK_SKEW_S_MAX {
            return None;
        }
        let span = long_duration(self.language, skew.unsigned_abs());
        Some(match (self.language, skew > 0) {
            (Language::English, true) => format!("{span} ahead of this machine"),
            (Language::English, false) => format!("{span} behind this machine"),
            (Language::Japanese, true) => format!("このマシンより{span}進んでいる"),
            (Language::Japanese, false) => format!("このマシンより{span}遅れている"),
        })
    }
}
