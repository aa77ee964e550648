//! Parquet: the records of a run as columns, for DuckDB, pandas and Spark.
//!
//! A column is a place in the NDJSON record, so that names and meanings are the same; what has no
//! key there, or another type, is null here. Rows are gathered until a row group is full and then
//! written, so memory does not grow with the run. A file is readable only once its end is written:
//! a run that is killed leaves none, and NDJSON is the form that does.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Record, RunRecord, Summary};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use crate::exchange::unix_ms;
use crate::{Report, values};

/// Rows of a row group.
const ROWS_MAX: usize = 10_000;
/// Bytes of text that a row group holds; the row that reaches them is its last.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A column: its name, what it holds, and where that stands in the NDJSON record.
struct Column {
    name: &'static str,
    kind: Kind,
    /// A JSON pointer (RFC 6901).
    place: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A list of texts, which is empty where the key is missing.
    Texts,
    Port,
    Unsigned,
    Decimal,
    Flag,
    /// When it was judged.
    Time,
    /// The codes of the findings, worst first.
    Codes,
    /// The severity of the worst finding.
    Worst,
}

const fn column(name: &'static str, kind: Kind, place: &'static str) -> Column {
    Column { name, kind, place }
}

static COLUMNS: [Column; 45] = [
    column("run", Kind::Text, "/run"),
    column("timestamp", Kind::Time, ""),
    column("address", Kind::Text, "/address"),
    column("port", Kind::Port, "/port"),
    column("transport", Kind::Text, "/transport"),
    column("hostname", Kind::Text, "/hostname"),
    column("mac", Kind::Text, "/mac"),
    column("vendor", Kind::Text, "/vendor"),
    column("source", Kind::Text, "/source"),
    column("reverse_name", Kind::Text, "/reverse_name"),
    column("asn", Kind::Unsigned, "/asn"),
    column("as_name", Kind::Text, "/as_name"),
    column("country", Kind::Text, "/country"),
    column("owner", Kind::Text, "/owner"),
    column("tags", Kind::Texts, "/tags"),
    column("verdict", Kind::Text, "/verdict"),
    column("reason", Kind::Text, "/reason"),
    column("alarm", Kind::Flag, "/alarm"),
    column("only_from_here", Kind::Flag, "/only_from_here"),
    column("grade", Kind::Text, "/grade"),
    column("debt", Kind::Unsigned, "/debt"),
    column("contact", Kind::Text, "/contact"),
    column("attempts", Kind::Unsigned, "/attempts"),
    column("rtt_us", Kind::Unsigned, "/rtt_us"),
    column("version", Kind::Text, "/version"),
    column("protocol", Kind::Text, "/protocol"),
    column("auth", Kind::Text, "/auth"),
    column("answered_from", Kind::Text, "/answered_from"),
    column("pid", Kind::Unsigned, "/server/pid"),
    column("uptime_s", Kind::Unsigned, "/server/uptime_s"),
    column("pointer_size", Kind::Unsigned, "/server/pointer_size"),
    column("threads", Kind::Unsigned, "/server/threads"),
    column("curr_items", Kind::Unsigned, "/server/curr_items"),
    column("bytes", Kind::Unsigned, "/server/bytes"),
    column("limit_maxbytes", Kind::Unsigned, "/server/limit_maxbytes"),
    column(
        "curr_connections",
        Kind::Unsigned,
        "/server/curr_connections",
    ),
    column("command", Kind::Text, "/amplification/command"),
    column(
        "request_bytes",
        Kind::Unsigned,
        "/amplification/request_bytes",
    ),
    column("reply_bytes", Kind::Unsigned, "/amplification/reply_bytes"),
    column("datagrams", Kind::Unsigned, "/amplification/datagrams"),
    column(
        "payload_ratio",
        Kind::Decimal,
        "/amplification/payload_ratio",
    ),
    column("wire_ratio", Kind::Decimal, "/amplification/wire_ratio"),
    column("reply_complete", Kind::Flag, "/amplification/complete"),
    column("findings", Kind::Codes, "/findings"),
    column("worst_severity", Kind::Worst, ""),
];

/// Writes row groups as they fill.
pub(crate) struct ParquetReport {
    /// `None` once the end is written.
    writer: Option<SerializedFileWriter<Sink>>,
    sink: Sink,
    held: Vec<Cells>,
    rows: usize,
    text_bytes: usize,
}

/// The cells of a column that wait for their row group.
#[derive(Default)]
struct Cells {
    texts: Vec<ByteArray>,
    integers: Vec<i64>,
    decimals: Vec<f64>,
    flags: Vec<bool>,
    /// For each cell, or each element of a list, whether it is there.
    definitions: Vec<i16>,
    /// For each element of a list, whether it goes on with the list of the one before.
    repetitions: Vec<i16>,
}

/// Memory that the writer of the file and the report both have.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn held(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what has been written.
    fn drain(&self, out: &mut Vec<u8>) {
        out.append(&mut self.held());
    }
}

impl ParquetReport {
    pub(crate) fn new() -> ParquetReport {
        let sink = Sink::default();
        let writer = own(open(sink.clone()));
        ParquetReport {
            writer: Some(writer),
            sink,
            held: empty(),
            rows: 0,
            text_bytes: 0,
        }
    }

    fn write_held(&mut self) {
        let held = std::mem::replace(&mut self.held, empty());
        self.text_bytes = 0;
        if std::mem::take(&mut self.rows) > 0
            && let Some(writer) = &mut self.writer
        {
            own(write_group(writer, &held));
        }
    }
}

impl Report for ParquetReport {
    fn run(&mut self, _run: &RunRecord, out: &mut Vec<u8>) {
        self.sink.drain(out);
    }

    fn record(&mut self, record: &Record, out: &mut Vec<u8>) {
        let value = values::endpoint(record);
        for (column, cells) in COLUMNS.iter().zip(&mut self.held) {
            self.text_bytes += cells.push(column, record, &value);
        }
        self.rows += 1;
        if self.rows >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX {
            self.write_held();
        }
        self.sink.drain(out);
    }

    fn summary(&mut self, _summary: &Summary, out: &mut Vec<u8>) {
        self.write_held();
        if let Some(writer) = self.writer.take() {
            own(writer.close());
        }
        self.sink.drain(out);
    }
}

impl Cells {
    /// Takes the cell of one row; gives back how many bytes of text it holds.
    fn push(&mut self, column: &Column, record: &Record, value: &Value) -> usize {
        let place = value.pointer(column.place);
        match column.kind {
            Kind::Text => self.push_text(place.and_then(Value::as_str)),
            Kind::Worst => {
                let worst = record.judgement.worst();
                self.push_text(worst.map(|worst| worst.as_str()))
            }
            Kind::Texts => {
                let list = place.and_then(Value::as_array);
                let texts = list.into_iter().flatten().filter_map(Value::as_str);
                self.push_list(texts)
            }
            Kind::Codes => {
                let findings = record.judgement.findings.iter();
                self.push_list(findings.map(|finding| finding.code))
            }
            Kind::Time => self.push_integer(Some(unix_ms(record.timestamp))),
            Kind::Port => self.push_integer(place.and_then(Value::as_i64)),
            Kind::Unsigned => {
                // The bits of an unsigned number, as the column's type says.
                let number = place.and_then(Value::as_u64);
                self.push_integer(number.map(u64::cast_signed))
            }
            Kind::Decimal => {
                let decimal = place.and_then(Value::as_f64);
                self.decimals.extend(decimal);
                self.define(decimal.is_some())
            }
            Kind::Flag => {
                let flag = place.and_then(Value::as_bool);
                self.flags.extend(flag);
                self.define(flag.is_some())
            }
        }
    }

    fn define(&mut self, is_there: bool) -> usize {
        self.definitions.push(i16::from(is_there));
        0
    }

    fn push_integer(&mut self, integer: Option<i64>) -> usize {
        self.integers.extend(integer);
        self.define(integer.is_some())
    }

    fn push_text(&mut self, text: Option<&str>) -> usize {
        self.texts.extend(text.map(ByteArray::from));
        self.define(text.is_some());
        text.map_or(0, str::len)
    }

    fn push_list<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> usize {
        let mut bytes = 0;
        let mut goes_on = false;
        for text in texts {
            bytes += self.push_text(Some(text));
            self.repetitions.push(i16::from(goes_on));
            goes_on = true;
        }
        if !goes_on {
            self.define(false);
            self.repetitions.push(0);
        }
        bytes
    }
}

fn empty() -> Vec<Cells> {
    COLUMNS.iter().map(|_| Cells::default()).collect()
}

/// The schema, in the words of the format.
fn schema() -> String {
    let mut schema = "message record {\n".to_owned();
    for Column { name, kind, .. } in &COLUMNS {
        let line = match kind {
            Kind::Text | Kind::Worst => format!("optional binary {name} (STRING);"),
            Kind::Texts | Kind::Codes => format!(
                "required group {name} (LIST) {{ repeated group list {{ \
                 required binary element (STRING); }} }}"
            ),
            Kind::Time => format!("optional int64 {name} (TIMESTAMP(MILLIS,true));"),
            Kind::Port => format!("optional int32 {name};"),
            Kind::Unsigned => format!("optional int64 {name} (INTEGER(64,false));"),
            Kind::Decimal => format!("optional double {name};"),
            Kind::Flag => format!("optional boolean {name};"),
        };
        schema.push_str(&format!("  {line}\n"));
    }
    schema.push('}');
    schema
}

fn open(sink: Sink) -> Result<SerializedFileWriter<Sink>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_created_by("memsweep".to_owned())
        .build();
    let schema = parse_message_type(&schema())?;
    SerializedFileWriter::new(sink, Arc::new(schema), Arc::new(properties))
}

fn write_group(
    writer: &mut SerializedFileWriter<Sink>,
    held: &[Cells],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for (column, cells) in COLUMNS.iter().zip(held) {
        match column.kind {
            Kind::Text | Kind::Texts | Kind::Codes | Kind::Worst => {
                write_column::<ByteArrayType>(&mut group, &cells.texts, cells)?;
            }
            Kind::Port => {
                let ports = cells.integers.iter().map(|port| *port as i32);
                let ports: Vec<i32> = ports.collect();
                write_column::<Int32Type>(&mut group, &ports, cells)?;
            }
            Kind::Time | Kind::Unsigned => {
                write_column::<Int64Type>(&mut group, &cells.integers, cells)?;
            }
            Kind::Decimal => write_column::<DoubleType>(&mut group, &cells.decimals, cells)?,
            Kind::Flag => write_column::<BoolType>(&mut group, &cells.flags, cells)?,
        }
    }
    group.close()?;
    Ok(())
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    values: &[T::T],
    cells: &Cells,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("no column is left".to_owned()));
    };
    let repetitions = Some(cells.repetitions.as_slice()).filter(|levels| !levels.is_empty());
    column
        .typed::<T>()
        .write_batch(values, Some(&cells.definitions), repetitions)?;
    column.close()
}

/// What the writer refuses can only be a mistake of ours: memory takes every byte, and columns and
/// schema are made of the same table.
fn own<T>(result: Result<T, ParquetError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => unreachable!("the columns do not fit their own schema: {error}"),
    }
}
