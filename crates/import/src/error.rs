//! Why a file could not be read.

/// What is wrong with a file, and where. Reads on after "cannot read FILE: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A line beyond the limit; no record is that long.
    #[error("line {line} is longer than {bytes_max} bytes")]
    LineTooLong {
        /// Its number, from 1.
        line: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// A line that is not JSON, and not the last.
    #[error("line {line} is not JSON: {problem}")]
    NotJson {
        /// Its number, from 1.
        line: u64,
        /// What the JSON parser says.
        problem: String,
    },
    /// A line that is JSON, and not an object.
    #[error("line {line} is not a record of memsweep")]
    NotARecord {
        /// Its number, from 1.
        line: u64,
    },
    /// A record without something that every such record has.
    #[error("line {line} has no `{key}`")]
    MissingKey {
        /// Its number, from 1.
        line: u64,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be what its key says.
    #[error("line {line}: `{key}` is not {expected}")]
    WrongValue {
        /// Its number, from 1.
        line: u64,
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A record of a format that came after this program.
    #[error("line {line} has schema {schema}; this memsweep reads up to {schema_max}")]
    NewerSchema {
        /// Its number, from 1.
        line: u64,
        /// The record's schema.
        schema: u64,
        /// The newest that is known here.
        schema_max: u64,
    },
    /// A second run that is no continuation of the first.
    #[error("line {line} begins a run of another plan; a file holds one run and its continuations")]
    AnotherPlan {
        /// Its number, from 1.
        line: u64,
    },
    /// A record over several lines, or a row or tag, beyond the limit.
    #[error("line {line} begins a record longer than {bytes_max} bytes")]
    RecordTooLong {
        /// The number of its first line, from 1.
        line: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// Something inside of something, too often.
    #[error("line {line} nests deeper than {depth_max} levels")]
    TooDeep {
        /// Its number, from 1.
        line: u64,
        /// The limit.
        depth_max: u32,
    },
    /// A line that is not what every line of such a file is.
    #[error("line {line} is not {expected}")]
    NotSuchALine {
        /// Its number, from 1.
        line: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// What is not XML, or more of XML than is read.
    #[error("line {line} is not XML: {problem}")]
    NotXml {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A table without a column that is needed.
    #[error("its heading has no column `{column}`")]
    NoColumn {
        /// The column.
        column: &'static str,
    },
    /// What should be gzip and is damaged.
    #[error("it cannot be unpacked around byte {byte}: {problem}")]
    NotGzip {
        /// Bytes that were read of it.
        byte: u64,
        /// What the unpacker says.
        problem: String,
    },
    /// A packed file of more than anybody has.
    #[error("it unpacks to more than {bytes_max} bytes")]
    UnpacksToTooMuch {
        /// The limit.
        bytes_max: u64,
    },
    /// A packed file that is made to fill memory or disk.
    #[error("it unpacks to more than {ratio_max} times its size, as no list of scanners does")]
    Bomb {
        /// The limit.
        ratio_max: u64,
    },
    /// What should be a database of networks and is damaged.
    #[error("it is no database of networks: {problem}")]
    NotADatabase {
        /// What the reader says.
        problem: String,
    },
    /// More networks than anybody lists by hand.
    #[error("it lists more than {networks_max} networks")]
    TooManyNetworks {
        /// The limit.
        networks_max: usize,
    },
    /// No `run` record in the whole file.
    #[error("it has no run record; is it the NDJSON output of memsweep?")]
    NoRunRecord,
}

impl ImportError {
    /// The same error, told of a line by its number in the file.
    #[must_use]
    pub fn at_line(mut self, number: u64) -> ImportError {
        match &mut self {
            ImportError::LineTooLong { line, .. }
            | ImportError::NotJson { line, .. }
            | ImportError::NotARecord { line }
            | ImportError::MissingKey { line, .. }
            | ImportError::WrongValue { line, .. }
            | ImportError::NewerSchema { line, .. }
            | ImportError::AnotherPlan { line }
            | ImportError::RecordTooLong { line, .. }
            | ImportError::TooDeep { line, .. }
            | ImportError::NotSuchALine { line, .. }
            | ImportError::NotXml { line, .. } => *line = number,
            ImportError::NoColumn { .. }
            | ImportError::NotGzip { .. }
            | ImportError::UnpacksToTooMuch { .. }
            | ImportError::Bomb { .. }
            | ImportError::NotADatabase { .. }
            | ImportError::TooManyNetworks { .. }
            | ImportError::NoRunRecord => {}
        }
        self
    }
}
