//! The numbers a memcached gives of itself.

use super::StreamId;
use super::genuine::{GenuineConfig, StoredItems, TlsBuild};
use super::rows::{self, Row, VersionNumber};

/// Descriptor of the listening socket in `stats conns`.
const LISTENER_DESCRIPTOR: u64 = 22;
/// UDP sockets, one for each of the default threads.
const UDP_SOCKETS: u64 = 4;
/// Connections that are there without clients: the listeners and the thread's pipes.
const OWN_CONNECTIONS: u64 = 1;
/// Size of a page of slabs.
const PAGE_BYTES: u64 = 1 << 20;

/// What a server counts while it runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: u64,
    pub(super) gets: u64,
    pub(super) auth_errors: u64,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
}

/// A server at one moment.
#[derive(Debug)]
pub(super) struct Statistics<'a> {
    pub(super) config: &'a GenuineConfig,
    pub(super) version: VersionNumber,
    pub(super) counters: &'a Counters,
    pub(super) streams: Vec<StreamId>,
    pub(super) now_unix_s: u64,
}

impl Statistics<'_> {
    /// The rows of `stats` and its relatives; `None` for what this version does not know.
    pub(super) fn rows(&self, argument: &str) -> Option<Vec<(String, String)>> {
        match argument {
            "" => Some(self.stats()),
            "settings" if self.version >= (1, 4, 0) => Some(self.settings()),
            "items" => Some(self.items()),
            "slabs" => Some(self.slabs()),
            "conns" if self.version >= (1, 4, 18) => Some(self.conns()),
            _ => None,
        }
    }

    fn stats(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for row in rows::of_version(rows::STATS, self.version) {
            all.push((row.name.to_owned(), self.stat(row)));
            if row.name == "log_watchers" && self.config.tls == TlsBuild::On {
                all.push(("ssl_handshake_errors".into(), "0".into()));
                all.push(("ssl_proto_errors".into(), "0".into()));
                all.push((
                    "time_since_server_cert_refresh".into(),
                    self.uptime_s().to_string(),
                ));
            }
        }
        all
    }

    fn stat(&self, row: &Row) -> String {
        let config = self.config;
        let curr_items: u64 = config.items.iter().map(|items| items.count).sum();
        let peers = config.peers.len() as u64;
        let udp_sockets = if config.udp_port == 0 { 0 } else { UDP_SOCKETS };
        let number = match row.name {
            "version" => return config.version.clone(),
            "pid" => u64::from(config.pid),
            "uptime" => self.uptime_s(),
            "time" => self.now_unix_s,
            "max_connections" => u64::from(config.max_connections),
            "curr_connections" => OWN_CONNECTIONS + udp_sockets + peers + self.streams.len() as u64,
            "total_connections" => OWN_CONNECTIONS + peers + self.counters.connections,
            "cmd_get" | "get_misses" => self.counters.gets,
            "auth_cmds" | "auth_errors" => self.counters.auth_errors,
            "bytes_read" => self.counters.bytes_read,
            "bytes_written" => self.counters.bytes_written,
            "limit_maxbytes" => config.memory_limit_bytes,
            "threads" => u64::from(config.threads),
            "curr_items" | "total_items" | "cmd_set" | "moves_to_cold" => curr_items,
            "bytes" => config.items.iter().map(|items| items.bytes).sum(),
            _ => return row.idle.to_owned(),
        };
        number.to_string()
    }

    fn uptime_s(&self) -> u64 {
        self.now_unix_s.saturating_sub(self.config.started_unix_s)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for row in rows::of_version(rows::SETTINGS, self.version) {
            if row.name == "num_napi_ids" && self.config.tls != TlsBuild::Without {
                for (name, value) in rows::TLS_SETTINGS {
                    let is_off = self.config.tls == TlsBuild::Off;
                    let value = match *name {
                        "ssl_enabled" if is_off => "no",
                        "ssl_chain_cert" | "ssl_key" if is_off => "(null)",
                        _ => value,
                    };
                    all.push(((*name).to_owned(), value.to_owned()));
                }
            }
            all.push((row.name.to_owned(), self.setting(row)));
        }
        all
    }

    fn setting(&self, row: &Row) -> String {
        use super::genuine::{BindingProtocol, Demand};
        let config = self.config;
        let yes_or_no = |is_on: bool| if is_on { "yes" } else { "no" }.to_owned();
        match row.name {
            "maxbytes" => config.memory_limit_bytes.to_string(),
            "maxconns" => config.max_connections.to_string(),
            "tcpport" => config.tcp_port.to_string(),
            "udpport" => config.udp_port.to_string(),
            "inter" => config.inter.clone().unwrap_or_else(|| "NULL".into()),
            "num_threads" => config.threads.to_string(),
            "flush_enabled" => yes_or_no(config.flush_enabled),
            "dump_enabled" => yes_or_no(config.dump_enabled),
            "shutdown_command" => yes_or_no(config.shutdown_enabled),
            "auth_enabled_sasl" => yes_or_no(config.demand == Demand::Sasl),
            // The value is the path of the file with the passwords.
            "auth_enabled_ascii" if config.demand == Demand::Ascii => "/etc/memcached.auth".into(),
            "binding_protocol" => match (config.demand, config.protocol) {
                (Demand::Sasl, _) | (_, BindingProtocol::Binary) => "binary".into(),
                (Demand::Ascii, _) | (_, BindingProtocol::Ascii) => "ascii".into(),
                (Demand::Nothing, BindingProtocol::Auto) => "auto-negotiate".into(),
            },
            _ => row.idle.to_owned(),
        }
    }

    fn items(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for items in &self.config.items {
            for row in rows::of_version(rows::ITEMS, self.version) {
                let value = match row.name {
                    "number" | "number_cold" | "moves_to_cold" => items.count.to_string(),
                    "mem_requested" => items.bytes.to_string(),
                    "age" => self.uptime_s().to_string(),
                    _ => row.idle.to_owned(),
                };
                all.push((format!("items:{}:{}", items.class, row.name), value));
            }
        }
        all
    }

    fn slabs(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut pages_in_all = 0;
        for items in &self.config.items {
            let slab = Slab::of(items);
            pages_in_all += slab.pages;
            for row in rows::of_version(rows::SLABS, self.version) {
                let number = match row.name {
                    "chunk_size" => slab.chunk_bytes,
                    "chunks_per_page" => slab.chunks_per_page,
                    "total_pages" => slab.pages,
                    "total_chunks" => slab.pages * slab.chunks_per_page,
                    "used_chunks" | "cmd_set" => items.count,
                    "free_chunks" => slab.pages * slab.chunks_per_page - items.count,
                    "mem_requested" => items.bytes,
                    _ => 0,
                };
                all.push((format!("{}:{}", items.class, row.name), number.to_string()));
            }
        }
        all.push(("active_slabs".into(), self.config.items.len().to_string()));
        all.push((
            "total_malloced".into(),
            (pages_in_all * PAGE_BYTES).to_string(),
        ));
        all
    }

    fn conns(&self) -> Vec<(String, String)> {
        let config = self.config;
        let listens_on = config.inter.as_deref().unwrap_or("0.0.0.0");
        let listener = format!("tcp:{listens_on}:{}", config.tcp_port);
        let has_more_rows = self.version >= (1, 6, 0);
        let mut all = Vec::new();
        let mut descriptor = LISTENER_DESCRIPTOR;
        let mut add = |rows: &[(&str, &str)]| {
            for (name, value) in rows {
                all.push((format!("{descriptor}:{name}"), (*value).to_owned()));
            }
            descriptor += 1;
        };
        let idle = ("secs_since_last_cmd", "7");
        add(&[("addr", &listener), ("state", "conn_listening"), idle]);
        if config.udp_port != 0 {
            let address = format!("udp:{listens_on}:{}", config.udp_port);
            for _ in 0..UDP_SOCKETS {
                let rows = [
                    ("UDP", "UDP"),
                    ("addr", &address),
                    ("state", "conn_read"),
                    idle,
                ];
                add(if has_more_rows { &rows } else { &rows[1..] });
            }
        }
        let own = self
            .streams
            .iter()
            .map(|id| (format!("tcp:127.0.0.1:{}", 40_000 + id % 20_000), true));
        let others = config.peers.iter().map(|peer| (peer.clone(), false));
        for (peer, is_asking) in others.chain(own) {
            let state = if is_asking {
                "conn_parse_cmd"
            } else {
                "conn_read"
            };
            let since = if is_asking { "0" } else { "3" };
            let rows = [
                ("listen_addr", &listener[..]),
                ("state", state),
                ("secs_since_last_cmd", since),
            ];
            let address = [("addr", &peer[..])];
            let rest = if has_more_rows { &rows[..] } else { &rows[1..] };
            add(&[&address[..], rest].concat());
        }
        all
    }
}

/// The pages of one slab class.
struct Slab {
    chunk_bytes: u64,
    chunks_per_page: u64,
    pages: u64,
}

impl Slab {
    /// Chunks grow by a quarter from class to class, from 96 bytes, aligned to 8.
    fn of(items: &StoredItems) -> Slab {
        let mut chunk_bytes = 96;
        for _ in 1..items.class.min(41) {
            chunk_bytes = (chunk_bytes * 5 / 4_u64).next_multiple_of(8);
        }
        let chunk_bytes = chunk_bytes.min(PAGE_BYTES);
        let chunks_per_page = PAGE_BYTES / chunk_bytes;
        Slab {
            chunk_bytes,
            chunks_per_page,
            pages: items.count.div_ceil(chunks_per_page).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slab_classes_are_those_of_the_recordings() {
        let cases = [
            (1, 96),
            (2, 120),
            (4, 192),
            (5, 240),
            (13, 1480),
            (22, 11_104),
            (40, 616_944),
        ];
        for (class, bytes) in cases {
            let slab = Slab::of(&StoredItems {
                class,
                count: 1,
                bytes: 50,
            });
            assert_eq!(slab.chunk_bytes, bytes, "class {class}");
        }
    }
}
