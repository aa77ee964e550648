//! Rows of CSV out of pieces of a file, into buffers of a fixed size.
//!
//! A field is data, whatever it begins with: nothing here knows formulas.

use csv_core::{ReadRecordResult, Reader};

use super::sink::Ended;
use crate::ImportError;
use crate::own::BYTE_ORDER_MARK;

/// The longest row, without its separators.
const ROW_BYTES_MAX: usize = 1 << 20;
/// More columns than any tool writes.
const COLUMNS_MAX: usize = 512;

/// Cuts what is fed into rows, and keeps no more than the one that is not whole.
pub(crate) struct Rows {
    reader: Reader,
    /// The first bytes, until it is clear whether they are a mark.
    beginning: Option<Vec<u8>>,
    text: Vec<u8>,
    text_bytes: usize,
    ends: Vec<usize>,
    columns: usize,
    /// The line on which the row begins.
    line: u64,
    heading: Option<Vec<String>>,
}

/// Takes a row, with the heading.
pub(crate) type EachRow<'e> = dyn FnMut(&[String], Row<'_>) -> Result<(), ImportError> + 'e;

/// One row, with the columns of its heading.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) line: u64,
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Row<'a> {
    /// A field, without blanks around it; `None` if it is empty, or not there.
    pub(crate) fn field(&self, column: Option<usize>) -> Option<&'a str> {
        let column = column?;
        let end = *self.ends.get(column)?;
        let start = match column {
            0 => 0,
            _ => *self.ends.get(column - 1)?,
        };
        let field = std::str::from_utf8(self.text.get(start..end)?).ok()?.trim();
        (!field.is_empty()).then_some(field)
    }

    /// Whether all of it is text.
    pub(crate) fn is_utf8(&self) -> bool {
        std::str::from_utf8(self.text).is_ok()
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Rows {
    pub(crate) fn new() -> Rows {
        Rows {
            reader: Reader::new(),
            beginning: Some(Vec::new()),
            text: vec![0; 4096],
            text_bytes: 0,
            ends: vec![0; COLUMNS_MAX],
            columns: 0,
            line: 1,
            heading: None,
        }
    }

    /// Gives the heading with every row below it.
    pub(crate) fn feed(&mut self, bytes: &[u8], each: &mut EachRow<'_>) -> Result<(), ImportError> {
        let Some(mut beginning) = self.beginning.take() else {
            return self.read(bytes, each);
        };
        beginning.extend_from_slice(bytes);
        if beginning.len() < BYTE_ORDER_MARK.len() {
            self.beginning = Some(beginning);
            return Ok(());
        }
        self.read_beginning(&beginning, each)
    }

    /// Gives the last row, if it has no end. One that lacks columns was cut off.
    pub(in crate::foreign) fn finish(
        mut self,
        each: &mut EachRow<'_>,
    ) -> Result<Ended, ImportError> {
        if let Some(beginning) = self.beginning.take() {
            self.read_beginning(&beginning, each)?;
        }
        let is_whole = self.text_bytes == 0 && self.columns == 0;
        let columns = self.heading.as_ref().map(Vec::len);
        let mut torn = Ended::Whole;
        let mut last = |heading: &[String], row: Row<'_>| {
            if columns.is_some_and(|columns| row.len() < columns) || each(heading, row).is_err() {
                torn = Ended::Torn;
            }
            Ok(())
        };
        // No more bytes is what the reader knows the end by.
        self.read(&[], &mut last)?;
        Ok(if is_whole { Ended::Whole } else { torn })
    }

    /// The same where nothing may be missing: what is wrong with the last row is an error like any
    /// other. Gives the heading; none of an empty file.
    pub(crate) fn finish_strictly(
        mut self,
        each: &mut EachRow<'_>,
    ) -> Result<Vec<String>, ImportError> {
        if let Some(beginning) = self.beginning.take() {
            self.read_beginning(&beginning, each)?;
        }
        self.read(&[], each)?;
        Ok(self.heading.unwrap_or_default())
    }

    fn read_beginning(
        &mut self,
        beginning: &[u8],
        each: &mut EachRow<'_>,
    ) -> Result<(), ImportError> {
        let bytes = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
        match bytes {
            // Nothing would read as the end.
            [] => Ok(()),
            bytes => self.read(bytes, each),
        }
    }

    fn read(&mut self, mut bytes: &[u8], each: &mut EachRow<'_>) -> Result<(), ImportError> {
        let is_end = bytes.is_empty();
        loop {
            let (result, read, written, ends) = self.reader.read_record(
                bytes,
                &mut self.text[self.text_bytes..],
                &mut self.ends[self.columns..],
            );
            bytes = &bytes[read..];
            self.text_bytes += written;
            self.columns += ends;
            match result {
                ReadRecordResult::InputEmpty if is_end => {}
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Ok(()),
                ReadRecordResult::OutputFull => self.grow()?,
                ReadRecordResult::OutputEndsFull => {
                    return Err(ImportError::NotSuchALine {
                        line: self.line,
                        expected: "a row of at most 512 columns",
                    });
                }
                ReadRecordResult::Record => {
                    self.row(each)?;
                    if bytes.is_empty() && !is_end {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn grow(&mut self) -> Result<(), ImportError> {
        if self.text.len() >= ROW_BYTES_MAX {
            return Err(ImportError::RecordTooLong {
                line: self.line,
                bytes_max: ROW_BYTES_MAX,
            });
        }
        self.text.resize(self.text.len() * 2, 0);
        Ok(())
    }

    fn row(&mut self, each: &mut EachRow<'_>) -> Result<(), ImportError> {
        let row = Row {
            line: self.line,
            text: &self.text[..self.text_bytes],
            ends: &self.ends[..self.columns],
        };
        self.line = self.reader.line();
        (self.text_bytes, self.columns) = (0, 0);
        match &self.heading {
            Some(heading) => each(heading, row),
            None => {
                let names = (0..row.len()).map(|column| row.field(Some(column)));
                let names = names.map(|name| name.unwrap_or_default().to_owned());
                self.heading = Some(names.collect());
                Ok(())
            }
        }
    }
}

/// The place of a column.
pub(crate) fn column(heading: &[String], name: &str) -> Option<usize> {
    heading
        .iter()
        .position(|column| column.eq_ignore_ascii_case(name))
}
