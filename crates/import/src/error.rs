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
            | ImportError::AnotherPlan { line } => *line = number,
            ImportError::NoRunRecord => {}
        }
        self
    }
}
