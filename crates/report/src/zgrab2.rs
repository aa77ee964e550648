//! The shape of zgrab2's memcached module: one JSON object a line, `{ip, domain, data: {memcached:
//! {status, protocol, port, result, timestamp, error}}}`, for pipelines that read that already.
//!
//! zgrab2 asks over TCP only, so only endpoints of TCP are here. Its tables have a fixed set of
//! typed columns, so that only statistics it knows are in `stats`, each of its type; where zgrab2
//! writes 0 for what a server did not say, nothing is written here. `connected_structures` is its
//! spelling.

use model::{
    Contact, Protocol, Record, Refusal, RunRecord, StatsTable, Summary, Transport, Verdict,
};
use serde_json::Value;

use crate::Report;
use crate::escape::escape_json;
use crate::values::{Object, set, set_some};
use crate::words::utc;

/// RFC 3339 without fractions.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Statistics of 32 bits.
const NARROW: [&str; 12] = [
    "pid",
    "uptime",
    "time",
    "pointer_size",
    "max_connections",
    "curr_connections",
    "total_connections",
    "connection_structures",
    "reserved_fds",
    "threads",
    "hash_power_level",
    "slab_global_page_pool",
];
/// Statistics of 64 bits.
const WIDE: [&str; 75] = [
    "curr_items",
    "total_items",
    "bytes",
    "rejected_connections",
    "response_obj_oom",
    "response_obj_count",
    "response_obj_bytes",
    "read_buf_count",
    "read_buf_bytes",
    "read_buf_bytes_free",
    "read_buf_oom",
    "proxy_conn_requests",
    "proxy_conn_errors",
    "proxy_conn_oom",
    "proxy_req_active",
    "proxy_req_await",
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "get_expired",
    "get_flushed",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
    "store_no_memory",
    "auth_cmds",
    "auth_errors",
    "idle_kicks",
    "evictions",
    "reclaimed",
    "bytes_read",
    "bytes_written",
    "limit_maxbytes",
    "listen_disabled_num",
    "time_in_listen_disabled_us",
    "conn_yields",
    "hash_bytes",
    "expired_unfetched",
    "evicted_unfetched",
    "evicted_active",
    "slabs_moved",
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "direct_reclaims",
    "lru_crawler_starts",
    "lru_maintainer_juggles",
    "slab_reassign_rescues",
    "slab_reassign_chunk_rescues",
    "slab_reassign_inline_reclaim",
    "slab_reassign_busy_items",
    "slab_reassign_busy_nomem",
    "slab_reassign_busy_deletes",
    "log_worker_dropped",
    "log_worker_written",
    "log_watcher_skipped",
    "log_watcher_sent",
    "log_watchers",
    "unexpected_napi_ids",
    "round_robin_fallback",
];
/// Statistics that are 0 or 1 at the server, and true or false at zgrab2.
const FLAGS: [&str; 3] = [
    "accepting_conns",
    "hash_is_expanding",
    "slab_reassign_running",
];
/// Seconds with a fraction.
const DECIMALS: [&str; 2] = ["rusage_user", "rusage_system"];

/// Writes every line at once.
#[derive(Default)]
pub(crate) struct Zgrab2Report;

impl Report for Zgrab2Report {
    fn run(&mut self, _run: &RunRecord, _out: &mut Vec<u8>) {}

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        if record.endpoint.transport == Transport::Tcp {
            let line = Value::Object(grab(record)).to_string();
            out.extend_from_slice(escape_json(&line).as_bytes());
            out.push(b'\n');
        }
    }

    fn summary(&mut self, _summary: &Summary, _out: &mut Vec<u8>) {}
}

fn grab(record: &Record) -> Object {
    let mut response = Object::new();
    let status = status(record);
    set(&mut response, "status", status);
    set(&mut response, "protocol", "memcached");
    set(&mut response, "port", record.endpoint.port);
    if speaks(record.judgement.verdict) {
        set(&mut response, "result", result(record));
    }
    set(&mut response, "timestamp", utc(record.timestamp, TIME));
    if status != "success" {
        let reason = record.judgement.reason.en.as_str();
        set(&mut response, "error", reason);
    }
    let mut data = Object::new();
    set(&mut data, "memcached", response);
    let mut grab = Object::new();
    set(&mut grab, "ip", record.endpoint.address.to_string());
    set_some(&mut grab, "domain", record.hostname.as_deref());
    set(&mut grab, "data", data);
    grab
}

/// Whether it is memcached, or pretends to be.
fn speaks(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Exposed | Verdict::Protected | Verdict::Decoy
    )
}

/// One of zgrab2's words.
fn status(record: &Record) -> &'static str {
    match (record.judgement.verdict, &record.evidence.contact) {
        (Verdict::Exposed | Verdict::Decoy, _) => "success",
        (Verdict::Protected, _) => "application-error",
        (Verdict::Other, _) => "protocol-error",
        (_, Contact::Refused(Refusal::Reset | Refusal::PortUnreachable(_))) => "connection-refused",
        (_, Contact::Answered) => "io-timeout",
        (Verdict::Closed, _) => "connection-refused",
        (_, Contact::Silent | Contact::Unreachable(_) | Contact::Prohibited(_)) => {
            "connection-timeout"
        }
        (_, Contact::Refused(_) | Contact::Unfinished | Contact::Failed(_)) => "unknown-error",
    }
}

fn result(record: &Record) -> Object {
    let mut result = Object::new();
    let Some(dialogue) = record.evidence.dialogue.as_deref() else {
        return result;
    };
    let table = dialogue.stats.value();
    let version = dialogue.version.value().map(String::as_str);
    let version = version.or_else(|| table?.text("version"));
    set_some(&mut result, "version", version);
    let libevent = table.and_then(|table| table.text("libevent"));
    set_some(&mut result, "libevent_version", libevent);
    // Which one it was spoken to in; whether it speaks the other too was not asked.
    match dialogue.protocol {
        Protocol::Ascii => set(&mut result, "supports_ascii", true),
        Protocol::Binary => set(&mut result, "supports_binary", true),
        Protocol::Unknown => {}
    }
    set_some(&mut result, "stats", table.map(stats));
    result
}

fn stats(table: &StatsTable) -> Object {
    let mut stats = Object::new();
    for (name, text) in table.iter() {
        let key = match name {
            "connection_structures" => "connected_structures",
            _ => name,
        };
        if stats.contains_key(key) {
            continue;
        }
        if NARROW.contains(&name) {
            set_some(&mut stats, key, text.parse::<u32>().ok());
        } else if WIDE.contains(&name) {
            set_some(&mut stats, key, text.parse::<u64>().ok());
        } else if DECIMALS.contains(&name) {
            let finite = text.parse::<f64>().ok().filter(|value| value.is_finite());
            set_some(&mut stats, key, finite);
        } else if FLAGS.contains(&name) {
            let flag = match text {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            };
            set_some(&mut stats, key, flag);
        }
    }
    stats
}
