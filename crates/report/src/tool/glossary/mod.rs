//! What every field of `stats`, `stats settings`, `stats items`, `stats slabs`, `stats sizes` and
//! `stats conns` means, in a sentence: those of memcached 1.6.45, and those that only older
//! versions have.
//!
//! After doc/protocol.txt of memcached and, where that is silent, its source.

mod classes;
mod settings;
mod statistics;

use model::Language;

use crate::words::pick;

/// A field and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Its name, without the class or socket before it.
    pub(super) name: &'static str,
    /// What it stands with on a page.
    pub(super) group: Group,
    /// How its value is read.
    pub(super) unit: Unit,
    /// One sentence.
    en: &'static str,
    ja: &'static str,
}

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// How many; commas help.
    Count,
    /// A number that is a name, or speaks for itself: a process id, a factor.
    Plain,
    /// A text; `NULL` says that it was not set.
    Word,
    /// An address to listen on; `NULL` is all of them.
    Address,
    /// Bytes.
    Bytes,
    /// Bytes, and 0 for no limit.
    BytesLimit,
    /// Seconds.
    Seconds,
    /// Seconds, and 0 for never.
    SecondsOrOff,
    /// Millionths of a second.
    Microseconds,
    /// Seconds since the Unix epoch.
    UnixTime,
    /// Seconds of processor time, with a fraction.
    CpuSeconds,
    /// 0 or 1.
    Flag,
    /// A port, and 0 for none.
    Port,
    /// A power of two, in buckets of the hash table.
    HashPower,
    /// Hundredths.
    Percent,
    /// 32 or 64.
    Bits,
    /// 0, 1 or 2: how eagerly pages are moved.
    Automove,
}

/// What stands together on a page, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Server,
    Listening,
    Access,
    Connections,
    Network,
    Commands,
    Memory,
    Eviction,
    Slabs,
    Hash,
    Log,
    Tls,
    Extstore,
    Proxy,
    /// What this glossary does not know.
    Other,
}

impl Group {
    /// The heading.
    pub(super) fn title(self, language: Language) -> &'static str {
        let (en, ja) = match self {
            Group::Server => ("server", "サーバ"),
            Group::Listening => ("listening", "待ち受け"),
            Group::Access => ("access", "アクセス制御"),
            Group::Connections => ("connections", "接続"),
            Group::Network => ("network and buffers", "通信とバッファ"),
            Group::Commands => ("commands", "コマンド"),
            Group::Memory => ("items and memory", "アイテムとメモリ"),
            Group::Eviction => ("eviction and expiry", "追い出しと期限切れ"),
            Group::Slabs => ("slab pages", "スラブページ"),
            Group::Hash => ("hash table", "ハッシュ表"),
            Group::Log => ("log", "ログ"),
            Group::Tls => ("TLS", "TLS"),
            Group::Extstore => (
                "extstore (flash storage)",
                "extstore（フラッシュストレージ）",
            ),
            Group::Proxy => ("proxy", "プロキシ"),
            Group::Other => ("other", "その他"),
        };
        pick(language, en, ja)
    }
}

/// One sentence on a field: what it counts, or what it decides. `None` for a name that no version
/// of memcached has.
///
/// The name may have the class or socket before it, as in `items:5:evicted` or `3:chunk_size`.
pub fn describe_field(name: &str, language: Language) -> Option<&'static str> {
    field(name).map(|field| pick(language, field.en, field.ja))
}

/// The names of all fields that [`describe_field`] knows, those of a table together. A name that
/// several tables have comes once for each.
pub fn field_names() -> impl Iterator<Item = &'static str> {
    [statistics::FIELDS, settings::FIELDS, classes::FIELDS]
        .into_iter()
        .flatten()
        .map(|field| field.name)
}

/// A field of any table; one that several have is the first that fits its prefix.
pub(super) fn field(name: &str) -> Option<&'static Field> {
    let (bare, of_a_class) = without_number(name);
    let by_class = in_table(classes::FIELDS, bare);
    let by_name =
        || in_table(statistics::FIELDS, bare).or_else(|| in_table(settings::FIELDS, bare));
    if of_a_class {
        by_class.or_else(by_name)
    } else {
        by_name().or(by_class)
    }
}

/// A field of `stats`.
pub(super) fn statistic(name: &str) -> Option<&'static Field> {
    in_table(statistics::FIELDS, name)
}

/// A field of `stats settings`.
pub(super) fn setting(name: &str) -> Option<&'static Field> {
    in_table(settings::FIELDS, name)
        .or_else(|| (name == "evictions").then_some(&settings::EVICTIONS))
}

/// A row of a glossary.
const fn entry(
    name: &'static str,
    group: Group,
    unit: Unit,
    en: &'static str,
    ja: &'static str,
) -> Field {
    Field {
        name,
        group,
        unit,
        en,
        ja,
    }
}

fn in_table(table: &'static [Field], name: &str) -> Option<&'static Field> {
    table.iter().find(|field| field.name == name)
}

/// The name behind `items:5:` or `5:`, and whether there was such a prefix.
fn without_number(name: &str) -> (&str, bool) {
    let rest = name.strip_prefix("items:").unwrap_or(name);
    match rest.split_once(':') {
        Some((number, field)) if number.parse::<u32>().is_ok() => (field, true),
        Some(_) | None => (name, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name that `stats` and its relatives have in the source of memcached 1.2.0 to 1.6.45,
    /// and that no recorded transcript shows.
    const UNRECORDED: &[&str] = &[
        "badcrc_from_extstore",
        "drop_privileges",
        "extstore_bytes_evicted",
        "extstore_bytes_fragmented",
        "extstore_bytes_read",
        "extstore_bytes_used",
        "extstore_bytes_written",
        "extstore_compact_lost",
        "extstore_compact_resc_cold",
        "extstore_compact_resc_old",
        "extstore_compact_rescues",
        "extstore_compact_skipped",
        "extstore_io_queue",
        "extstore_limit_maxbytes",
        "extstore_memory_pressure",
        "extstore_objects_evicted",
        "extstore_objects_read",
        "extstore_objects_used",
        "extstore_objects_written",
        "extstore_page_allocs",
        "extstore_page_evictions",
        "extstore_page_reclaims",
        "extstore_pages_free",
        "extstore_pages_used",
        "get_aborted_extstore",
        "get_extstore",
        "get_oom_extstore",
        "hot_max_age",
        "idle_kicks",
        "miss_from_extstore",
        "number_noexp",
        "number_temp",
        "proxy_await_active",
        "proxy_backend_failed",
        "proxy_backend_marked_bad",
        "proxy_backend_total",
        "proxy_config_cron_fails",
        "proxy_config_cron_runs",
        "proxy_config_reload_fails",
        "proxy_config_reloads",
        "proxy_conn_errors",
        "proxy_conn_oom",
        "proxy_conn_requests",
        "proxy_enabled",
        "proxy_req_active",
        "proxy_request_failed_depth",
        "proxy_uring_enabled",
        "queues_waiting",
        "recache_from_extstore",
        "resps_waiting",
        "sizes_error",
        "sizes_status",
        "ssl_new_sessions",
    ];

    #[test]
    fn names_are_unique_and_sentences_are_sentences() {
        let tables = [statistics::FIELDS, settings::FIELDS, classes::FIELDS];
        let mut names: Vec<&str> = Vec::new();
        for field in tables.into_iter().flatten() {
            assert!(!names.contains(&field.name), "{} twice", field.name);
            names.push(field.name);
            assert!(
                field.en.ends_with('.') && field.ja.ends_with('。'),
                "{}",
                field.name
            );
            assert!(
                field.en.len() > 20 && field.en.len() < 220,
                "{}",
                field.name
            );
            assert_ne!(field.group, Group::Other, "{}", field.name);
        }
        assert!(names.len() > 230, "{}", names.len());
    }

    #[test]
    fn every_field_of_every_version_is_described() {
        for name in UNRECORDED {
            assert!(describe_field(name, Language::English).is_some(), "{name}");
        }
        assert_eq!(
            describe_field("a_field_of_tomorrow", Language::English),
            None
        );
        assert_eq!(describe_field("", Language::English), None);
    }

    #[test]
    fn a_class_before_the_name_does_not_hide_it() {
        let of = |name| describe_field(name, Language::English);
        assert_eq!(of("items:5:evicted"), of("evicted"));
        assert_eq!(of("3:get_hits"), of("get_hits"));
        assert_eq!(of("26:addr"), of("addr"));
        assert_eq!(of("x:get_hits"), None);
    }
}
