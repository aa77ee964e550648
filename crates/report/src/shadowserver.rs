//! The columns of Shadowserver's report `scan_memcached`, for who reconciles its mails with what is
//! seen from here: UDP ports that are exposed, one row each.
//!
//! Amplification is Shadowserver's own: bytes of the reply to `stats`, without IP and UDP headers,
//! to the 14 bytes of its request (frame and `stats\n`). Our own request ends with `\r\n`, as the
//! protocol says, and has 15; the other formats give the ratio to that.

use model::{Record, RunRecord, Summary, Transport, Verdict};

use crate::Report;
use crate::csv::write_row;
use crate::words::{unix_time, utc};

/// In Shadowserver's order.
const COLUMNS: [&str; 22] = [
    "timestamp",
    "ip",
    "protocol",
    "port",
    "hostname",
    "tag",
    "version",
    "asn",
    "geo",
    "region",
    "city",
    "naics",
    "sic",
    "pid",
    "pointer_size",
    "uptime",
    "time",
    "curr_connections",
    "total_connections",
    "sector",
    "response_size",
    "amplification",
];
/// The form of its times, in UTC.
const TIME: &str = "%Y-%m-%d %H:%M:%S";
/// The request that its ratio refers to.
const COMMAND: &str = "stats";
/// Bytes of Shadowserver's request: the frame's 8 and `stats\n`.
const REQUEST_BYTES: f64 = 14.0;

/// Writes every row at once.
#[derive(Default)]
pub(crate) struct ShadowserverReport {
    is_begun: bool,
}

impl ShadowserverReport {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.is_begun {
            write_row(COLUMNS.map(str::to_owned).into_iter(), out);
            self.is_begun = true;
        }
    }
}

impl Report for ShadowserverReport {
    fn run(&mut self, _run: &RunRecord, out: &mut Vec<u8>) {
        self.begin(out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(out);
        let is_wanted = record.judgement.verdict == Verdict::Exposed
            && record.endpoint.transport == Transport::Udp;
        if is_wanted {
            write_row(row(record).into_iter(), out);
        }
    }

    fn summary(&mut self, _summary: &Summary, out: &mut Vec<u8>) {
        self.begin(out);
    }
}

fn row(record: &Record) -> [String; 22] {
    let known = &record.enrichment;
    let dialogue = record.evidence.dialogue.as_deref();
    let stats = dialogue.and_then(|dialogue| dialogue.stats.value());
    let stat = |name: &str| {
        let text = stats.and_then(|stats| stats.text(name));
        text.unwrap_or_default().to_owned()
    };
    let version = dialogue.and_then(|dialogue| dialogue.version.value());
    let server_time = stats.and_then(|stats| stats.integer("time"));
    let server_time = server_time.and_then(|time| unix_time(i64::try_from(time).ok()?, TIME));
    let measured = dialogue.and_then(|dialogue| {
        let mut all = dialogue.amplification.iter();
        all.find(|one| one.command == COMMAND)
    });
    let reply_bytes = measured.map(|one| one.reply_bytes);
    let name = record.hostname.as_deref().or(known.reverse_name.as_deref());
    [
        utc(record.timestamp, TIME),
        record.endpoint.address.to_string(),
        record.endpoint.transport.to_string(),
        record.endpoint.port.to_string(),
        name.unwrap_or_default().to_owned(),
        "memcached".to_owned(),
        version.cloned().unwrap_or_else(|| stat("version")),
        known.asn.map(|asn| asn.to_string()).unwrap_or_default(),
        known.country.clone().unwrap_or_default(),
        // Region, city and the codes of industries are not known here.
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        stat("pid"),
        stat("pointer_size"),
        stat("uptime"),
        server_time.unwrap_or_default(),
        stat("curr_connections"),
        stat("total_connections"),
        String::new(),
        reply_bytes
            .map(|bytes| bytes.to_string())
            .unwrap_or_default(),
        reply_bytes
            .map(|bytes| format!("{:.2}", bytes as f64 / REQUEST_BYTES))
            .unwrap_or_default(),
    ]
}
