//! Earlier runs, read from their NDJSON files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use import::{LINE_BYTES_MAX, NdjsonReader, PastRun};

use crate::exit::Failure;

/// Reads a run line by line, so that a large file costs no more than its endpoints.
pub(crate) fn read_past_run(path: &Path) -> Result<PastRun, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut reader = BufReader::new(file);
    let mut past = NdjsonReader::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than a line may have, so that the reader sees that it is too long.
        let length = (&mut reader)
            .take(LINE_BYTES_MAX as u64 + 2)
            .read_until(b'\n', &mut line)
            .map_err(|error| failed(&error))?;
        if length == 0 {
            break;
        }
        past.feed_line(&line).map_err(|error| failed(&error))?;
    }
    past.finish().map_err(|error| failed(&error))
}
