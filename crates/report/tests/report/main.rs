//! The writers as their callers use them: whole runs in, whole documents out.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod ansible;
mod columns;
mod consumers;
mod exchange;
mod fixture;
mod golden;
mod grepable;
mod html;
mod kept;
mod laws;
mod nagios;
mod nmap;
mod pcapng;
mod prometheus;
mod rules;
mod schema;
mod tables;
mod tool;
mod xml;

use fixture::Run;
use model::Language;
use report::{Format, Report, Style, TextOptions, writer};

fn options(style: Style, language: Language, width_columns: usize) -> TextOptions {
    TextOptions {
        width_columns,
        color: false,
        language,
        style,
        verbose: false,
    }
}

fn render(format: Format, options: &TextOptions, run: &Run) -> String {
    String::from_utf8(render_bytes(format, options, run)).unwrap()
}

fn render_bytes(format: Format, options: &TextOptions, run: &Run) -> Vec<u8> {
    bytes_of(writer(format, options), run)
}

fn render_with(report: Box<dyn Report>, run: &Run) -> String {
    String::from_utf8(bytes_of(report, run)).unwrap()
}

fn bytes_of(mut report: Box<dyn Report>, run: &Run) -> Vec<u8> {
    let mut out = Vec::new();
    report.run(&run.run, &mut out);
    for record in &run.records {
        report.record(record, &mut out);
    }
    report.summary(&run.summary, &mut out);
    out
}
