//! What a server does now: the difference of two `stats`, as rates per second.

use model::{Language, StatsTable};
use serde_json::{Number, Value};

use super::units::{human_bytes, human_bytes_of, percent, rate};
use super::{ToolFormat, ToolOptions, json};
use crate::layout::pad_left;
use crate::text::page::{Ink, Page};
use crate::values::{Object, set, set_some};
use crate::words::{grouped, pick};

/// Counters that only grow while a server runs.
const COUNTERS: [&str; 4] = ["total_connections", "cmd_get", "cmd_set", "bytes_read"];
/// Beyond it a 64-bit fraction holds no whole numbers.
const WHOLE_MAX: f64 = 9e15;
/// Columns of a line, in their order: the name in JSON, both heads, and the columns it fills.
const COLUMNS: [(&str, &str, &str, usize); 10] = [
    ("gets_per_s", "gets/s", "get/秒", 8),
    ("hits_per_s", "hits/s", "ヒット/秒", 9),
    ("hit_ratio", "hit", "ヒット率", 8),
    ("sets_per_s", "sets/s", "set/秒", 8),
    ("evictions_per_s", "evict/s", "追出/秒", 8),
    ("bytes_read_per_s", "in/s", "受信/秒", 9),
    ("bytes_written_per_s", "out/s", "送信/秒", 9),
    ("connections_per_s", "new/s", "新規/秒", 7),
    ("curr_connections", "conns", "接続", 6),
    ("curr_items", "items", "件数", 10),
];

/// Rates per second between two answers. What either answer lacks, or what went backwards, has no
/// rate.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    gets: Option<f64>,
    hits: Option<f64>,
    /// Hits and gets of the time between, for the ratio.
    hits_and_gets: Option<(u64, u64)>,
    sets: Option<f64>,
    evictions: Option<f64>,
    bytes_read: Option<f64>,
    bytes_written: Option<f64>,
    connections: Option<f64>,
    connections_now: Option<u64>,
    items_now: Option<u64>,
    /// Why there are no rates.
    interruption: Option<Interruption>,
}

/// What makes two answers incomparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interruption {
    /// Another process answers now.
    Restarted,
    /// The same process counts from zero again, after `stats reset`.
    CountersReset,
}

impl Interruption {
    fn between(before: &StatsTable, after: &StatsTable) -> Option<Interruption> {
        let both = |name| before.integer(name).zip(after.integer(name));
        let moved_back = |name| both(name).is_some_and(|(before, after)| after < before);
        let other_process = both("pid").is_some_and(|(before, after)| before != after);
        if other_process || moved_back("uptime") {
            Some(Interruption::Restarted)
        } else if COUNTERS.into_iter().any(moved_back) {
            Some(Interruption::CountersReset)
        } else {
            None
        }
    }

    fn word(self, language: Language) -> &'static str {
        match self {
            Interruption::Restarted => pick(language, "restarted", "再起動"),
            Interruption::CountersReset => pick(language, "counters reset", "カウンタのリセット"),
        }
    }
}

impl Rates {
    fn between(before: &StatsTable, after: &StatsTable, seconds: f64) -> Rates {
        let interruption = Interruption::between(before, after);
        let grown = |name| {
            let grown = after.integer(name)?.checked_sub(before.integer(name)?);
            grown.filter(|_| interruption.is_none())
        };
        let per_second = |name| {
            let grown = grown(name)? as f64;
            (seconds.is_finite() && seconds > 0.0).then(|| grown / seconds)
        };
        let hits_and_gets = grown("get_hits")
            .zip(grown("get_misses"))
            .map(|(hits, misses)| (hits, hits.saturating_add(misses)));
        Rates {
            gets: per_second("cmd_get"),
            hits: per_second("get_hits"),
            hits_and_gets,
            sets: per_second("cmd_set"),
            evictions: per_second("evictions"),
            bytes_read: per_second("bytes_read"),
            bytes_written: per_second("bytes_written"),
            connections: per_second("total_connections"),
            connections_now: after.integer("curr_connections"),
            items_now: after.integer("curr_items"),
            interruption,
        }
    }

    /// The cells of a line for people, in the order of the columns.
    fn cells(&self) -> [Option<String>; COLUMNS.len()] {
        let bytes = |per_second: Option<f64>| per_second.map(|bytes| human_bytes_of(bytes, ""));
        [
            self.gets.map(rate),
            self.hits.map(rate),
            self.hits_and_gets
                .and_then(|(hits, gets)| percent(hits, gets)),
            self.sets.map(rate),
            self.evictions.map(rate),
            bytes(self.bytes_read),
            bytes(self.bytes_written),
            self.connections.map(rate),
            self.connections_now.map(grouped),
            self.items_now.map(grouped),
        ]
    }

    /// The figures themselves, in the order of the columns.
    fn figures(&self) -> [Option<f64>; COLUMNS.len()] {
        let ratio = |(hits, gets): (u64, u64)| (gets > 0).then(|| hits as f64 / gets as f64);
        [
            self.gets,
            self.hits,
            self.hits_and_gets.and_then(ratio),
            self.sets,
            self.evictions,
            self.bytes_read,
            self.bytes_written,
            self.connections,
            self.connections_now.map(|number| number as f64),
            self.items_now.map(|number| number as f64),
        ]
    }
}

/// The head of the lines; empty in JSON.
pub fn watch_head(options: &ToolOptions) -> Vec<u8> {
    let heads =
        COLUMNS.map(|(_, en, ja, columns)| pad_left(pick(options.language, en, ja), columns));
    match options.format {
        ToolFormat::Json => Vec::new(),
        ToolFormat::MemcachedTool => {
            let names = COLUMNS.map(|(name, ..)| name);
            format!("#{}\n", names.join(" ")).into_bytes()
        }
        ToolFormat::Table => {
            let text_options = options.text_options();
            let mut out = Vec::new();
            let mut page = Page::new(&mut out, &text_options);
            let head = page.ink(Ink::Faint, &heads.join(" "));
            page.line(&head);
            out
        }
    }
}

/// One line of rates between two answers to `stats`, so many seconds apart. A figure that cannot be
/// had is a `-`; in JSON it has no key.
pub fn watch_line(
    before: &StatsTable,
    after: &StatsTable,
    seconds: f64,
    options: &ToolOptions,
) -> Vec<u8> {
    let rates = Rates::between(before, after, seconds);
    match options.format {
        ToolFormat::Json => json::line(object(&rates, after, seconds)),
        ToolFormat::MemcachedTool => {
            let figures = rates.figures().map(|figure| {
                let number = figure.and_then(decimal);
                number.map_or_else(|| "-".to_owned(), |number| number.to_string())
            });
            format!("{}\n", figures.join(" ")).into_bytes()
        }
        ToolFormat::Table => {
            let mut line = String::new();
            for (cell, (_, _, _, columns)) in rates.cells().into_iter().zip(COLUMNS) {
                line.push_str(&pad_left(cell.as_deref().unwrap_or("-"), columns));
                line.push(' ');
            }
            if let Some(interruption) = rates.interruption {
                line.push(' ');
                line.push_str(interruption.word(options.language));
            }
            format!("{}\n", line.trim_end()).into_bytes()
        }
    }
}

/// The same as a block that a terminal can show in place: one figure a line, with the totals beside
/// the rates. In the other forms it is the line.
pub fn watch(
    before: &StatsTable,
    after: &StatsTable,
    seconds: f64,
    options: &ToolOptions,
) -> Vec<u8> {
    if options.format != ToolFormat::Table {
        return watch_line(before, after, seconds, options);
    }
    let rates = Rates::between(before, after, seconds);
    let language = options.language;
    let text_options = options.text_options();
    let mut out = Vec::new();
    let mut page = Page::new(&mut out, &text_options);
    let bytes = |per_second: f64| human_bytes_of(per_second, " ");
    let total = |name| after.integer(name).map(grouped);
    let total_bytes = |name| after.integer(name).map(human_bytes);
    let share = |(hits, gets)| percent(hits, gets);
    let rows = [
        ("gets", "get", rates.gets.map(rate), total("cmd_get")),
        ("hits", "ヒット", rates.hits.map(rate), total("get_hits")),
        (
            "hit ratio",
            "ヒット率",
            rates.hits_and_gets.and_then(share),
            overall_ratio(after),
        ),
        ("sets", "set", rates.sets.map(rate), total("cmd_set")),
        (
            "evictions",
            "追い出し",
            rates.evictions.map(rate),
            total("evictions"),
        ),
        (
            "received",
            "受信",
            rates.bytes_read.map(bytes),
            total_bytes("bytes_read"),
        ),
        (
            "sent",
            "送信",
            rates.bytes_written.map(bytes),
            total_bytes("bytes_written"),
        ),
        (
            "new connections",
            "新規接続",
            rates.connections.map(rate),
            total("total_connections"),
        ),
        (
            "connections",
            "接続数",
            None,
            rates.connections_now.map(grouped),
        ),
        ("items", "アイテム数", None, rates.items_now.map(grouped)),
        ("memory", "メモリ", None, total_bytes("bytes")),
    ];
    let (now, since) = (
        pick(language, "per second", "毎秒"),
        pick(language, "total", "累計"),
    );
    let head = format!(
        "{}  {}  {}",
        pad_left("", 15),
        pad_left(now, 12),
        pad_left(since, 16)
    );
    let head = page.ink(Ink::Faint, &head);
    page.line(&head);
    for (en, ja, now, since) in rows {
        let name = crate::layout::pad(pick(language, en, ja), 15);
        let now = page.ink(Ink::Bold, &pad_left(&now.unwrap_or_default(), 12));
        page.line(&format!(
            "{name}  {now}  {}",
            pad_left(&since.unwrap_or_default(), 16)
        ));
    }
    if let Some(interruption) = rates.interruption {
        page.paragraph(Ink::Alarm, interruption.word(language));
    }
    out
}

fn overall_ratio(after: &StatsTable) -> Option<String> {
    let hits = after.integer("get_hits")?;
    percent(hits, hits.saturating_add(after.integer("get_misses")?))
}

fn object(rates: &Rates, after: &StatsTable, seconds: f64) -> Object {
    let mut object = Object::new();
    set_some(&mut object, "time", after.integer("time"));
    set_some(&mut object, "seconds", decimal(seconds).map(Value::Number));
    for (figure, (name, ..)) in rates.figures().into_iter().zip(COLUMNS) {
        set_some(
            &mut object,
            name,
            figure.and_then(decimal).map(Value::Number),
        );
    }
    if let Some(interruption) = rates.interruption {
        set(
            &mut object,
            "interruption",
            interruption.word(Language::English),
        );
    }
    object
}

/// A number for programs: whole where it is, otherwise to three digits; `None` of no number.
fn decimal(figure: f64) -> Option<Number> {
    let rounded = (figure * 1000.0).round() / 1000.0;
    if rounded.fract() == 0.0 && (0.0..WHOLE_MAX).contains(&rounded) {
        return Some(Number::from(rounded as u64));
    }
    Number::from_f64(rounded)
}
