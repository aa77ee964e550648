//! All keys of a server in one page: how many, how large, whose. It counts while the listing runs
//! and holds a bounded table, whatever the number of keys.

use std::collections::BTreeMap;

use model::{KeyKind, KeyRow, Language, key_prefix};
use serde_json::Value;

use super::grid::{self, Column};
use super::pattern::{key_text, shortened_key};
use super::units::{human_bytes, percent};
use super::{ToolFormat, ToolOptions, json, print_nothing};
use crate::text::page::{Ink, Page};
use crate::values::{Object, set, set_some};
use crate::words::{counted, grouped, long_duration, pick, unix_time};

/// Prefixes counted apart; keys of further ones are counted together.
const PREFIXES_MAX: usize = 4096;
/// Prefixes in the table for people; all are in JSON.
const PREFIXES_SHOWN_MAX: usize = 30;

/// Keys counted together.
#[derive(Clone, Debug, Default)]
struct Tally {
    keys: u64,
    /// Bytes of the keys whose size is known.
    bytes: u64,
}

impl Tally {
    fn add(&mut self, key: &KeyRow) {
        self.keys += 1;
        self.bytes = self.bytes.saturating_add(key.size_bytes.unwrap_or(0));
    }
}

/// Counts keys as they come.
#[derive(Clone, Debug, Default)]
pub struct KeySummary {
    all: Tally,
    sizes_unknown: u64,
    never_expiring: u64,
    expired: u64,
    /// Keys that were never read, of those where it is known.
    unread: u64,
    read: u64,
    oldest_access_unix_s: Option<i64>,
    newest_access_unix_s: Option<i64>,
    now_unix_s: i64,
    /// By name of the kind; with one key of it, shortened, as an example.
    kinds: BTreeMap<&'static str, (KeyKind, Tally, String)>,
    prefixes: BTreeMap<Vec<u8>, Tally>,
    other_prefixes: Tally,
}

impl KeySummary {
    /// Nothing counted yet.
    pub fn new() -> KeySummary {
        KeySummary::default()
    }

    /// Counts a key. `now_unix_s` is the clock that expiry is judged by, in seconds since the Unix
    /// epoch.
    pub fn add(&mut self, key: &KeyRow, now_unix_s: i64) {
        self.now_unix_s = now_unix_s;
        self.all.add(key);
        self.sizes_unknown += u64::from(key.size_bytes.is_none());
        match key.expires_unix_s {
            None => self.never_expiring += 1,
            Some(expires) => self.expired += u64::from(expires <= now_unix_s),
        }
        match key.fetched {
            Some(true) => self.read += 1,
            Some(false) => self.unread += 1,
            None => {}
        }
        if let Some(used) = key.last_access_unix_s {
            let oldest = self.oldest_access_unix_s.map_or(used, |old| old.min(used));
            let newest = self.newest_access_unix_s.map_or(used, |new| new.max(used));
            self.oldest_access_unix_s = Some(oldest);
            self.newest_access_unix_s = Some(newest);
        }
        if let Some(kind) = KeyKind::of(&key.name) {
            let (_, tally, _) = self
                .kinds
                .entry(kind.en)
                .or_insert_with(|| (kind, Tally::default(), shortened_key(&key.name)));
            tally.add(key);
        }
        let prefix = key_prefix(&key.name);
        let has_room = self.prefixes.len() < PREFIXES_MAX;
        if let Some(tally) = self.prefixes.get_mut(prefix) {
            tally.add(key);
        } else if has_room {
            let tally = self.prefixes.entry(prefix.to_vec()).or_default();
            tally.add(key);
        } else {
            self.other_prefixes.add(key);
        }
    }

    /// Keys counted.
    pub fn keys(&self) -> u64 {
        self.all.keys
    }

    /// Prefixes, those of most keys first.
    fn prefixes_by_size(&self) -> Vec<(&[u8], &Tally)> {
        let mut prefixes: Vec<(&[u8], &Tally)> = self
            .prefixes
            .iter()
            .map(|(prefix, tally)| (prefix.as_slice(), tally))
            .collect();
        prefixes.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.keys));
        prefixes
    }

    /// Kinds, those of most keys first.
    fn kinds_by_size(&self) -> Vec<&(KeyKind, Tally, String)> {
        let mut kinds: Vec<&(KeyKind, Tally, String)> = self.kinds.values().collect();
        kinds.sort_by_key(|(_, tally, _)| std::cmp::Reverse(tally.keys));
        kinds
    }
}

/// The summary in the form that is asked for. memcached-tool has no such mode: in its form it is
/// the table.
pub fn summary(summary: &KeySummary, options: &ToolOptions) -> Vec<u8> {
    match options.format {
        ToolFormat::Json => object(summary),
        ToolFormat::Table | ToolFormat::MemcachedTool => {
            let text_options = options.text_options();
            let mut out = Vec::new();
            let mut page = Page::new(&mut out, &text_options);
            print(summary, &mut page);
            out
        }
    }
}

fn print(summary: &KeySummary, page: &mut Page<'_>) {
    if summary.all.keys == 0 {
        print_nothing("No keys.", "キーはありません。", page);
        return;
    }
    let language = page.language();
    page.items(Ink::Bold, &totals(summary, language));
    let facts = facts(summary, language);
    page.items(Ink::Plain, &facts);
    if !summary.kinds.is_empty() {
        page.heading(page.pick(
            "kinds of data, by the names of keys",
            "キー名から分かるデータの種類",
        ));
        print_kinds(summary, page);
    }
    page.heading(page.pick("prefixes", "プレフィックス"));
    print_prefixes(summary, page);
}

fn totals(summary: &KeySummary, language: Language) -> Vec<String> {
    let mut totals = vec![counted(language, summary.all.keys, "key", "keys", "キー")];
    if summary.sizes_unknown < summary.all.keys {
        totals.push(human_bytes(summary.all.bytes));
    }
    totals
}

fn facts(summary: &KeySummary, language: Language) -> Vec<String> {
    let keys = summary.all.keys;
    let mut facts = Vec::new();
    let mut share = |count: u64, en: &str, ja: &str| {
        let share = percent(count, keys).unwrap_or_default();
        facts.push(match language {
            Language::English => format!("{} {en} ({share})", grouped(count)),
            Language::Japanese => format!("{ja} {}（{share}）", grouped(count)),
        });
    };
    share(summary.never_expiring, "never expire", "期限なし");
    share(keys - summary.never_expiring, "expire", "期限あり");
    if summary.expired > 0 {
        share(summary.expired, "expired already", "期限切れ");
    }
    if summary.read + summary.unread > 0 {
        share(summary.unread, "never read", "未読");
    }
    if summary.sizes_unknown > 0 && summary.sizes_unknown < keys {
        share(summary.sizes_unknown, "of unknown size", "サイズ不明");
    }
    facts.extend(oldest(summary, language));
    facts
}

fn oldest(summary: &KeySummary, language: Language) -> Option<String> {
    let used = summary.oldest_access_unix_s?;
    let seconds = u64::try_from(summary.now_unix_s.saturating_sub(used)).unwrap_or(0);
    let span = long_duration(language, seconds);
    Some(match language {
        Language::English => format!("longest unused for {span}"),
        Language::Japanese => format!("最長の未使用期間 {span}"),
    })
}

fn print_kinds(summary: &KeySummary, page: &mut Page<'_>) {
    let language = page.language();
    let kinds = summary.kinds_by_size();
    let name = |kind: &KeyKind| pick(language, kind.en, kind.ja).to_owned();
    let mark = |kind: &KeyKind| if kind.secret { "!" } else { "" }.to_owned();
    let mut columns = vec![
        Column::left("", kinds.iter().map(|(kind, ..)| mark(kind)).collect()),
        Column::left(
            page.pick("kind", "種類"),
            kinds.iter().map(|(kind, ..)| name(kind)).collect(),
        ),
    ];
    let tallies: Vec<&Tally> = kinds.iter().map(|(_, tally, _)| tally).collect();
    columns.extend(tally_columns(&tallies, summary, page));
    columns.push(Column::left(
        page.pick("such as", "例"),
        kinds
            .iter()
            .map(|(_, _, example)| example.clone())
            .collect(),
    ));
    grid::print(columns, 0, page);
    if kinds.iter().any(|(kind, ..)| kind.secret) {
        page.paragraph(
            Ink::Plain,
            page.pick(
                "! whoever can read these keys can take over the sessions of users",
                "! これらのキーを読める者は、利用者のセッションを乗っ取れる",
            ),
        );
    }
}

fn print_prefixes(summary: &KeySummary, page: &mut Page<'_>) {
    let language = page.language();
    let prefixes = summary.prefixes_by_size();
    let (shown, rest) = prefixes.split_at(prefixes.len().min(PREFIXES_SHOWN_MAX));
    let mut others = summary.other_prefixes.clone();
    for (_, tally) in rest {
        others.keys += tally.keys;
        others.bytes = others.bytes.saturating_add(tally.bytes);
    }
    let mut tallies: Vec<&Tally> = shown.iter().map(|(_, tally)| *tally).collect();
    let mut names: Vec<String> = shown
        .iter()
        .map(|(prefix, _)| prefix_text(prefix, language))
        .collect();
    if others.keys > 0 {
        tallies.push(&others);
        names.push(pick(language, "(all others)", "（その他すべて）").to_owned());
    }
    let mut columns = tally_columns(&tallies, summary, page);
    columns.push(Column::left(page.pick("prefix", "プレフィックス"), names));
    grid::print(columns, 0, page);
}

fn prefix_text(prefix: &[u8], language: Language) -> String {
    if prefix.is_empty() {
        pick(language, "(none)", "（なし）").to_owned()
    } else {
        key_text(prefix)
    }
}

fn tally_columns(tallies: &[&Tally], summary: &KeySummary, page: &Page<'_>) -> Vec<Column> {
    let sizes_known = summary.sizes_unknown < summary.all.keys;
    let bytes = |tally: &&Tally| match sizes_known {
        true => human_bytes(tally.bytes),
        false => String::new(),
    };
    let share = |tally: &&Tally| percent(tally.keys, summary.all.keys).unwrap_or_default();
    vec![
        Column::right(
            page.pick("keys", "キー数"),
            0,
            tallies.iter().map(|tally| grouped(tally.keys)).collect(),
        ),
        Column::right(
            page.pick("share", "割合"),
            0,
            tallies.iter().map(share).collect(),
        ),
        Column::right(
            page.pick("bytes", "バイト数"),
            0,
            tallies.iter().map(bytes).collect(),
        ),
    ]
}

fn object(summary: &KeySummary) -> Vec<u8> {
    let mut object = Object::new();
    let sizes_known = summary.sizes_unknown < summary.all.keys;
    let tally = |tally: &Tally| {
        let mut row = Object::new();
        set(&mut row, "keys", tally.keys);
        if sizes_known {
            set(&mut row, "bytes", tally.bytes);
        }
        row
    };
    object.extend(tally(&summary.all));
    set(&mut object, "sizes_unknown", summary.sizes_unknown);
    set(&mut object, "never_expiring", summary.never_expiring);
    set(
        &mut object,
        "expiring",
        summary.all.keys - summary.never_expiring,
    );
    set(&mut object, "expired", summary.expired);
    if summary.read + summary.unread > 0 {
        set(&mut object, "unread", summary.unread);
    }
    let time = |time: Option<i64>| time.and_then(|time| unix_time(time, "%Y-%m-%dT%H:%M:%SZ"));
    set_some(
        &mut object,
        "oldest_access",
        time(summary.oldest_access_unix_s),
    );
    set_some(
        &mut object,
        "newest_access",
        time(summary.newest_access_unix_s),
    );
    let kinds = summary
        .kinds_by_size()
        .into_iter()
        .map(|(kind, count, example)| {
            let mut row = Object::new();
            set(&mut row, "kind", kind.en);
            set(&mut row, "secret", kind.secret);
            row.extend(tally(count));
            set(&mut row, "example_shortened", example.as_str());
            Value::Object(row)
        });
    set(&mut object, "kinds", kinds.collect::<Vec<Value>>());
    let prefixes = summary
        .prefixes_by_size()
        .into_iter()
        .map(|(prefix, count)| {
            let mut row = Object::new();
            set(&mut row, "prefix", key_text(prefix));
            row.extend(tally(count));
            Value::Object(row)
        });
    set(&mut object, "prefixes", prefixes.collect::<Vec<Value>>());
    if summary.other_prefixes.keys > 0 {
        set(
            &mut object,
            "other_prefixes",
            tally(&summary.other_prefixes),
        );
    }
    json::line(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_whatever_the_keys_are_named() {
        let mut summary = KeySummary::new();
        for number in 0..10_000_u32 {
            // Letters alone, so that each is a prefix of its own.
            let word: String = number
                .to_string()
                .bytes()
                .map(|digit| char::from(b'a' + digit - b'0'))
                .collect();
            let key = KeyRow {
                name: format!("{word}:x").into_bytes(),
                size_bytes: Some(u64::MAX),
                ..KeyRow::default()
            };
            summary.add(&key, 0);
        }
        assert_eq!(summary.keys(), 10_000);
        assert_eq!(summary.prefixes.len(), PREFIXES_MAX);
        let apart: u64 = summary.prefixes.values().map(|tally| tally.keys).sum();
        assert_eq!(apart + summary.other_prefixes.keys, 10_000);
    }
}
