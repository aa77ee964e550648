//! One row an endpoint, for spreadsheets and databases (RFC 4180, UTF-8). docs/formats/csv.md tells
//! the columns.
//!
//! A cell that a spreadsheet would take for a formula gets an apostrophe before it, and what acts
//! on a terminal is spelled out. What is unknown is an empty cell.

use model::{Record, RunRecord, Summary};
use serde_json::Value;

use crate::escape::escape_for_terminal;
use crate::{Report, values};

/// The name of each column, and where in the record of the NDJSON its value stands (RFC 6901).
const COLUMNS: [(&str, &str); 57] = [
    ("run", "/run"),
    ("timestamp", "/timestamp"),
    ("address", "/address"),
    ("port", "/port"),
    ("transport", "/transport"),
    ("hostname", "/hostname"),
    ("mac", "/mac"),
    ("vendor", "/vendor"),
    ("source", "/source"),
    ("reverse_name", "/reverse_name"),
    ("asn", "/asn"),
    ("as_name", "/as_name"),
    ("country", "/country"),
    ("owner", "/owner"),
    ("tags", "/tags"),
    ("verdict", "/verdict"),
    ("reason", "/reason"),
    ("alarm", "/alarm"),
    ("grade", "/grade"),
    ("debt", "/debt"),
    ("only_from_here", "/only_from_here"),
    ("contact", "/contact"),
    ("failure", "/failure"),
    ("attempts", "/attempts"),
    ("rtt_us", "/rtt_us"),
    ("version", "/version"),
    ("protocol", "/protocol"),
    ("auth", "/auth"),
    ("sasl_mechanisms", "/sasl_mechanisms"),
    ("answered_from", "/answered_from"),
    ("meta_noop", "/meta_noop"),
    ("ending", "/ending"),
    ("looked_like", "/looked_like/kind"),
    ("tls_version", "/tls/version"),
    ("tls_subject", "/tls/certificate/subject"),
    ("tls_not_after", "/tls/certificate/not_after"),
    ("pid", "/server/pid"),
    ("uptime_s", "/server/uptime_s"),
    ("pointer_size", "/server/pointer_size"),
    ("curr_connections", "/server/curr_connections"),
    ("total_connections", "/server/total_connections"),
    ("max_connections", "/server/max_connections"),
    ("curr_items", "/server/curr_items"),
    ("bytes", "/server/bytes"),
    ("limit_maxbytes", "/server/limit_maxbytes"),
    ("threads", "/server/threads"),
    ("tcpport", "/settings/tcpport"),
    ("udpport", "/settings/udpport"),
    ("inter", "/settings/inter"),
    ("amplification_command", "/amplification/command"),
    (
        "amplification_request_bytes",
        "/amplification/request_bytes",
    ),
    ("amplification_reply_bytes", "/amplification/reply_bytes"),
    ("amplification_datagrams", "/amplification/datagrams"),
    (
        "amplification_payload_ratio",
        "/amplification/payload_ratio",
    ),
    ("amplification_wire_ratio", "/amplification/wire_ratio"),
    ("amplification_complete", "/amplification/complete"),
    ("accepted", "/accepted/0/reason"),
];

/// Columns that are put together of the findings.
const OF_FINDINGS: [&str; 4] = ["findings", "worst_severity", "worst_finding", "fix"];

/// Between several values in one cell.
const SEPARATOR: &str = " ";

/// Writes every row at once.
#[derive(Default)]
pub(crate) struct CsvReport {
    is_begun: bool,
}

impl CsvReport {
    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.is_begun {
            let names = COLUMNS.iter().map(|(name, _)| *name).chain(OF_FINDINGS);
            write_row(names.map(str::to_owned), out);
            self.is_begun = true;
        }
    }
}

impl Report for CsvReport {
    fn run(&mut self, _run: &RunRecord, out: &mut Vec<u8>) {
        self.begin(out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.begin(out);
        let object = values::endpoint(record);
        let plain = COLUMNS
            .iter()
            .map(|(_, place)| object.pointer(place).map(plain).unwrap_or_default());
        let findings = &record.judgement.findings;
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
        // Findings come worst first.
        let worst = findings.first();
        let of_findings = [
            codes.join(SEPARATOR),
            worst.map_or_else(String::new, |worst| worst.severity.to_string()),
            worst.map_or_else(String::new, |worst| worst.title.en.clone()),
            worst.map_or_else(String::new, |worst| lines_as_one(&worst.fix.en)),
        ];
        write_row(plain.chain(of_findings), out);
    }

    fn summary(&mut self, _summary: &Summary, out: &mut Vec<u8>) {
        self.begin(out);
    }
}

/// A value without the quotes of JSON; a list with spaces between its values.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(SEPARATOR),
        other => other.to_string(),
    }
}

/// A text of several lines in one cell.
pub(crate) fn lines_as_one(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// A line of cells, ended as RFC 4180 says.
pub(crate) fn write_row(cells: impl Iterator<Item = String>, out: &mut Vec<u8>) {
    for (index, text) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(cell(&text).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Text that is one cell, and no formula.
fn cell(text: &str) -> String {
    let mut shown = escape_for_terminal(text);
    let could_calculate = |first: char| {
        // Spreadsheets take the full-width forms for the same.
        matches!(
            first,
            '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}'
        )
    };
    if text.starts_with(['\t', '\r']) || shown.starts_with(could_calculate) {
        shown.insert(0, '\'');
    }
    if shown.contains([',', '"', '\'', ' ']) {
        format!("\"{}\"", shown.replace('"', "\"\""))
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_calculates_or_ends_early() {
        for (text, written) in [
            ("", ""),
            ("1.6.18", "1.6.18"),
            ("日本語", "日本語"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("\t=1", "\"'\\x09=1\""),
            ("\r=1", "\"'\\x0d=1\""),
            ("a\r\nb", "a\\x0d\\x0ab"),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }
}
