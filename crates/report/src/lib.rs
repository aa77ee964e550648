//! What memsweep says: records of a run, written as text for people, NDJSON and JSON for programs,
//! and the layout of nmap for scripts that already read that. Values in, bytes out.
//!
//! A writer is fed in the order of the run: [`Report::run`] once, [`Report::record`] for every
//! endpoint, [`Report::summary`] once. What is ready goes to `out` at once; the formats that sort
//! or group keep what they need until the summary, up to a limit.
//!
//! What a server says is data in every format: see [`escape_for_terminal`].

mod abuse;
mod advice;
mod ansible;
mod audit;
mod audit_findings;
mod csv;
mod defectdojo;
mod diff;
mod difference;
mod digest;
mod doctor;
mod escape;
mod exchange;
mod facets;
mod facts;
mod fix;
mod flaws;
mod grepable;
mod history;
mod html;
mod imports;
mod json;
mod labels;
mod layout;
mod markdown;
mod misp;
pub mod nagios;
mod ndjson;
mod nmap;
mod nmap_hosts;
mod nmap_port;
mod ocsf;
mod parquet_file;
mod pcapng;
mod prometheus;
mod rules;
mod runs;
mod sample;
mod sarif;
mod shadowserver;
mod stix;
mod text;
pub mod tool;
mod values;
mod words;
mod xml;
mod zgrab2;

use std::time::SystemTime;

use model::{
    CapturedFrame, Language, Pending, Record, RunRecord, Summary, VerdictCounts, VerifiedFinding,
};

pub use audit::{audit_json, audit_lines, audit_ndjson};
pub use audit_findings::{audit_csv, audit_sarif};
pub use diff::unified_diff;
pub use difference::{ComparedRuns, diff_json, diff_markdown, diff_ndjson, diff_text};
pub use doctor::{diagnosis_json, diagnosis_lines};
pub use escape::escape_for_terminal;
pub use facets::{facets_csv, facets_json, facets_text};
pub use fix::{FixReport, fix_json, fix_text};
pub use history::{History, HistoryPoint};
pub use imports::{imports_json, imports_text};
pub use rules::{
    Explanation, grade_json, grade_text, rule_documents, rule_json, rule_text, rules_json,
    rules_text,
};
pub use runs::{runs_json, runs_text};

/// A form of report, by the word that `--output` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table, advice and a closing sentence, for people.
    Text,
    /// One JSON object a line, written as soon as an endpoint is judged.
    Ndjson,
    /// One JSON object for the whole run.
    Json,
    /// The layout of `nmap -oN`.
    Nmap,
    /// The frames behind the findings.
    Pcapng,
    /// The layout of `nmap -oX`.
    Xml,
    /// The layout of `nmap -oG`.
    Grepable,
    /// A table for spreadsheets and databases, one row an endpoint.
    Csv,
    /// The columns of Shadowserver's report `scan_memcached`.
    Shadowserver,
    /// One JSON object a line, in the shape of zgrab2's.
    Zgrab2,
    /// Prometheus' text format.
    Prometheus,
    /// The output of a monitoring plugin.
    Nagios,
    /// An Ansible inventory of the hosts that have something to mend.
    Ansible,
    /// One file for a browser or a printer.
    Html,
    /// The same as a Markdown document.
    Markdown,
    /// SARIF 2.1.0, for code scanning dashboards.
    Sarif,
    /// DefectDojo's "Generic Findings Import".
    DefectDojo,
    /// OCSF events, one a line.
    Ocsf,
    /// A STIX 2.1 bundle.
    Stix,
    /// A MISP event.
    Misp,
    /// Letters to those who administer exposed servers.
    Abuse,
    /// Columns of a Parquet file.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 22] = [
        Format::Text,
        Format::Ndjson,
        Format::Json,
        Format::Nmap,
        Format::Pcapng,
        Format::Xml,
        Format::Grepable,
        Format::Csv,
        Format::Shadowserver,
        Format::Zgrab2,
        Format::Prometheus,
        Format::Nagios,
        Format::Ansible,
        Format::Html,
        Format::Markdown,
        Format::Sarif,
        Format::DefectDojo,
        Format::Ocsf,
        Format::Stix,
        Format::Misp,
        Format::Abuse,
        Format::Parquet,
    ];

    /// The format of a word, if it is one.
    pub fn parse(word: &str) -> Option<Format> {
        Format::ALL
            .into_iter()
            .find(|format| format.as_str() == word)
    }

    /// The word that users type.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Ndjson => "ndjson",
            Format::Json => "json",
            Format::Nmap => "nmap",
            Format::Pcapng => "pcapng",
            Format::Xml => "xml",
            Format::Grepable => "grepable",
            Format::Csv => "csv",
            Format::Shadowserver => "shadowserver",
            Format::Zgrab2 => "zgrab2",
            Format::Prometheus => "prometheus",
            Format::Nagios => "nagios",
            Format::Ansible => "ansible",
            Format::Html => "html",
            Format::Markdown => "markdown",
            Format::Sarif => "sarif",
            Format::DefectDojo => "defectdojo",
            Format::Ocsf => "ocsf",
            Format::Stix => "stix",
            Format::Misp => "misp",
            Format::Abuse => "abuse",
            Format::Parquet => "parquet",
        }
    }

    /// Whether it is nothing that a terminal could show.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Pcapng | Format::Parquet)
    }
}

/// Which command is being reported; it decides what the text dwells on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Style {
    /// Many endpoints, one line each.
    #[default]
    Scan,
    /// Few servers, and everything an outsider learns of each.
    Check,
    /// Whether what was open is closed now.
    Verify,
    /// A made-up network: said so at the top, so that nobody takes it for a real one.
    Demo,
    /// What a search of the inventory found: when each endpoint was last seen, and by whom.
    Find,
}

/// How text for people is to look. The formats for programs ignore all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns a line may fill; less than 40 counts as 40.
    pub width_columns: usize,
    /// Whether to use ANSI styles. Everything is clear without them.
    pub color: bool,
    /// The language of sentences and labels.
    pub language: Language,
    /// The command that is reported.
    pub style: Style,
    /// Whether to show every line of evidence and every setting.
    pub verbose: bool,
}

/// A writer of one format. Methods append to `out` what is ready to be written; the caller writes
/// and empties it as often as it likes.
pub trait Report: Send {
    /// The run begins.
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>);

    /// An endpoint was judged.
    fn record(&mut self, record: &Record, out: &mut Vec<u8>);

    /// The frames that passed between us and the endpoint of this record; comes before
    /// [`Report::record`], and only if frames are captured at all.
    fn capture(&mut self, record: &Record, frames: &[CapturedFrame], out: &mut Vec<u8>) {
        let _ = (record, frames, out);
    }

    /// What became of an earlier run's findings; comes before [`Report::summary`], and only where
    /// there are such findings.
    fn verified(&mut self, summary: &Summary, findings: &[VerifiedFinding], out: &mut Vec<u8>) {
        let _ = (summary, findings, out);
    }

    /// The run is over, complete or not.
    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>);

    /// How far the run has come, for a later `--resume`; most formats have no place for it.
    fn checkpoint(&mut self, checkpoint: &Checkpoint<'_>, out: &mut Vec<u8>) {
        let _ = (checkpoint, out);
    }
}

/// From where an interrupted run can be continued.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// The run's id.
    pub run: &'a str,
    /// When.
    pub timestamp: SystemTime,
    /// Every pair before it is done, but for the pending ones.
    pub counter: u64,
    /// Pairs before the counter that a resumed run has to ask again.
    pub pending: &'a [Pending],
    /// Verdicts so far.
    pub verdicts: &'a VerdictCounts,
    /// Alarms so far.
    pub alarms: u64,
}

/// A new writer of this format.
pub fn writer(format: Format, options: &TextOptions) -> Box<dyn Report> {
    match format {
        Format::Text => Box::new(text::TextReport::new(options)),
        Format::Ndjson => Box::new(ndjson::NdjsonReport::default()),
        Format::Json => Box::new(json::JsonReport::default()),
        Format::Nmap => Box::new(nmap::NmapReport::new(options)),
        Format::Pcapng => Box::new(pcapng::PcapngReport::default()),
        Format::Xml => Box::new(xml::XmlReport::new(options)),
        Format::Grepable => Box::new(grepable::GrepableReport::new(options)),
        Format::Csv => Box::new(csv::CsvReport::default()),
        Format::Shadowserver => Box::new(shadowserver::ShadowserverReport::default()),
        Format::Zgrab2 => Box::new(zgrab2::Zgrab2Report),
        Format::Prometheus => Box::new(prometheus::PrometheusReport::default()),
        Format::Nagios => Box::new(nagios::NagiosReport::default()),
        Format::Ansible => Box::new(ansible::AnsibleReport::default()),
        Format::Html => html_writer(options, &History::default()),
        Format::Markdown => markdown_writer(options, &History::default()),
        Format::Sarif => Box::new(sarif::SarifReport::default()),
        Format::DefectDojo => Box::new(defectdojo::DefectDojoReport::default()),
        Format::Ocsf => Box::new(ocsf::OcsfReport::default()),
        Format::Stix => Box::new(stix::StixReport::default()),
        Format::Misp => Box::new(misp::MispReport::default()),
        Format::Abuse => Box::new(abuse::AbuseReport::new(options)),
        Format::Parquet => Box::new(parquet_file::ParquetReport::new()),
    }
}

/// The writer of an HTML report that shows how exposure went over time.
pub fn html_writer(options: &TextOptions, history: &History) -> Box<dyn Report> {
    Box::new(html::HtmlReport::new(options, history))
}

/// The writer of a Markdown report that shows how exposure went over time.
pub fn markdown_writer(options: &TextOptions, history: &History) -> Box<dyn Report> {
    Box::new(markdown::MarkdownReport::new(options, history))
}

/// The writer of a log of facts that are judged when they are read: NDJSON, and nothing is held back.
pub fn facts_writer() -> Box<dyn Report> {
    Box::new(ndjson::NdjsonReport::without_scores())
}

/// The writer of a run's log, which is kept: NDJSON with every sentence in both languages.
pub fn log_writer() -> Box<dyn Report> {
    Box::new(ndjson::NdjsonReport::in_both_languages())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_own_word() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.as_str()), Some(format));
        }
        assert_eq!(Format::parse("yaml"), None);
    }
}
