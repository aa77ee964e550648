//! Parquet files, read by Arrow and compared with the NDJSON of the same run.

use model::Language::English;
use report::{Format, Style, writer};
use serde_json::Value;

use crate::exchange::{runs, script, written};
use crate::fixture::{self, Run};
use crate::options;

/// Columns and NDJSON of the same run, compared by another program.
fn compared(run: &Run, name: &str) -> Value {
    let columns = written(Format::Parquet, run, name);
    let lines = written(Format::Ndjson, run, &format!("{name}-columns"));
    script("columns.py", &[&columns, &lines])
}

#[test]
fn columns_are_what_ndjson_says() {
    for (run, name) in runs() {
        let read = compared(&run, name);
        assert_eq!(read["rows"], run.records.len(), "{name}");
        for (column, kind) in [
            ("timestamp", "timestamp[ms, tz=UTC]"),
            ("address", "string"),
            ("port", "int32"),
            ("curr_items", "uint64"),
            ("payload_ratio", "double"),
            ("alarm", "bool"),
            ("findings", "list<element: string not null>"),
        ] {
            assert_eq!(read["types"][column], kind, "{column}");
        }
    }
}

#[test]
fn many_rows_are_written_as_they_come() {
    let mut run = fixture::interrupted();
    run.records = (0..10_500).map(|_| fixture::exposed_udp(10, 3)).collect();
    let mut report = writer(Format::Parquet, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    for (number, record) in run.records.iter().enumerate() {
        let before = out.len();
        report.record(record, &mut out);
        assert_eq!(out.len() > before, number == 9_999, "row {number}");
    }
    let read = compared(&run, "many");
    assert_eq!(read["rows"], 10_500);
    assert_eq!(read["groups"], 2);
}

#[test]
fn long_texts_do_not_fill_memory() {
    let mut run = fixture::interrupted();
    run.records = (0..200).map(|_| fixture::hostile()).collect();
    let read = compared(&run, "long");
    assert_eq!(read["groups"], 2);
}
