//! Shadowserver's report of accessible memcached servers, as it comes by mail.

use std::net::SocketAddr;

use model::{
    Amplification, Answer, Auth, Dialogue, Endpoint, Enrichment, Protocol, Question, StatsTable,
    Transport,
};

use super::moments;
use super::reply;
use super::rows::{Row, column};
use super::sink::{Known, MEMCACHED_PORT, Sink, address, means_memcached, transport};
use crate::ImportError;

/// What it sends: a frame and `stats` with a bare line end. Its amplification is response_size / 14.
const REQUEST_BYTES: u64 = 14;
/// The payload of memcached's datagrams; how many came is not told, and not less than that.
const DATAGRAM_BYTES_MAX: u64 = 1400;
/// A response; more than a scanner reads.
const RESPONSE_BYTES_MAX: u64 = 1 << 40;

/// Statistics that are columns of their own.
const STATISTICS: [&str; 5] = [
    "pid",
    "pointer_size",
    "uptime",
    "curr_connections",
    "total_connections",
];

/// Where the columns stand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Columns {
    timestamp: Option<usize>,
    ip: Option<usize>,
    protocol: Option<usize>,
    port: Option<usize>,
    hostname: Option<usize>,
    tag: Option<usize>,
    version: Option<usize>,
    asn: Option<usize>,
    country: Option<usize>,
    time: Option<usize>,
    response_size: Option<usize>,
    statistics: [Option<usize>; STATISTICS.len()],
}

impl Columns {
    pub(super) fn of(heading: &[String]) -> Result<Columns, ImportError> {
        let place = |name| column(heading, name);
        let columns = Columns {
            timestamp: place("timestamp"),
            ip: place("ip"),
            protocol: place("protocol"),
            port: place("port"),
            hostname: place("hostname"),
            tag: place("tag"),
            version: place("version"),
            asn: place("asn"),
            country: place("geo"),
            time: place("time"),
            response_size: place("response_size"),
            statistics: STATISTICS.map(place),
        };
        match columns.ip {
            Some(_) => Ok(columns),
            None => Err(ImportError::NoColumn { column: "ip" }),
        }
    }
}

/// A row.
pub(super) fn row(columns: &Columns, row: Row<'_>, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let wrong = |key, expected| ImportError::WrongValue {
        line: row.line,
        key,
        expected,
    };
    let port: Option<u16> = row
        .field(columns.port)
        .map(|port| port.parse().map_err(|_| wrong("port", "a port")))
        .transpose()?;
    let mut tags = row.field(columns.tag).unwrap_or_default().split([';', ',']);
    let is_ours = port == Some(MEMCACHED_PORT) || tags.any(|tag| means_memcached(tag.trim()));
    let word = row.field(columns.protocol).unwrap_or("udp");
    let (Some(ip), Some(port), Some(transport), true) =
        (row.field(columns.ip), port, transport(word), is_ours)
    else {
        sink.pass_over();
        return Ok(());
    };
    let address = address(row.line, "ip", ip)?;
    let mut dialogue = said(columns, row)?;
    // It asks 11211. The port is that of the answer, which may have been translated on its way.
    let mut endpoint = Endpoint::new(address, port, transport);
    if transport == Transport::Udp && port != MEMCACHED_PORT {
        dialogue.answered_from = endpoint.address.ip().map(|ip| SocketAddr::new(ip, port));
        endpoint.port = MEMCACHED_PORT;
    }
    let size = row.field(columns.response_size);
    if let (Transport::Udp, Some(size)) = (transport, size) {
        let reply_bytes = size
            .parse()
            .ok()
            .filter(|size| *size <= RESPONSE_BYTES_MAX)
            .ok_or_else(|| wrong("response_size", "a number of bytes"))?;
        dialogue.amplification.push(Amplification {
            command: Question::Stats.as_str().to_owned(),
            request_bytes: REQUEST_BYTES,
            reply_bytes,
            datagrams: reply_bytes.div_ceil(DATAGRAM_BYTES_MAX).max(1),
            complete: false,
            ipv6: endpoint.address.ip().is_some_and(|ip| ip.is_ipv6()),
        });
    }
    let seen = row
        .field(columns.timestamp)
        .map(|time| moments::parse(time).ok_or_else(|| wrong("timestamp", "a time")))
        .transpose()?;
    let known = Known {
        hostname: None,
        enrichment: Enrichment {
            reverse_name: row.field(columns.hostname).map(str::to_owned),
            asn: row.field(columns.asn).and_then(|asn| asn.parse().ok()),
            country: row.field(columns.country).map(str::to_owned),
            ..Enrichment::default()
        },
    };
    sink.keep_known(seen, endpoint, reply::of_dialogue(dialogue), known);
    Ok(())
}

/// Every row stands for an answer to `stats`.
fn said(columns: &Columns, row: Row<'_>) -> Result<Dialogue, ImportError> {
    let mut rows = StatsTable::new();
    for (name, column) in STATISTICS.iter().zip(columns.statistics) {
        if let Some(value) = row.field(column) {
            rows.push(*name, value);
        }
    }
    // The server's own clock, as a date.
    let time = row.field(columns.time).and_then(moments::parse);
    if let Some(seconds) = time.and_then(moments::unix_seconds) {
        rows.push("time", seconds.to_string());
    }
    let version = row.field(columns.version).map(str::to_owned);
    Ok(Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Stats],
        version: version.map_or(Answer::NotAsked, Answer::Given),
        auth: Auth::None,
        stats: Answer::Truncated(rows),
        ..Dialogue::default()
    })
}
