//! Earlier runs, read from their NDJSON files or from their logs in the inventory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use engine::keep::first_run_of;
use import::{LINE_BYTES_MAX, NdjsonReader, PastRun};
use store::{Location, Logs};

use crate::exit::Failure;

/// Digits of the date that a run's id begins with.
const DATE_DIGITS: usize = 8;

/// An earlier run, and where it lies.
pub(crate) struct Past {
    pub(crate) run: PastRun,
    /// The run of the inventory whose log it is, or is a copy of.
    pub(crate) kept_as: Option<String>,
}

/// Reads a run that was named by the path of a file, or by its id or the beginning of it.
pub(crate) fn read_past(typed: &str, location: Option<&Location>) -> Result<Past, Failure> {
    let path = Path::new(typed);
    if path.is_file() {
        let run = read_past_run(path)?;
        let first = first_run_of(path).map_err(Failure::usage)?;
        let is_kept = |run: &String| {
            location.is_some_and(|location| Logs::new(location.logs()).entry(run).is_ok())
        };
        return Ok(Past {
            run,
            kept_as: first.filter(is_kept),
        });
    }
    let location = location.ok_or_else(|| Failure::usage(format!("{typed}: no such file")))?;
    let logs = Logs::new(location.logs());
    let run = kept_run(typed, &logs)?;
    let mut past = NdjsonReader::new();
    for line in logs.read(&run).map_err(Failure::usage)? {
        let line = line.map_err(Failure::usage)?;
        past.feed_line(line.as_bytes())
            .map_err(|error| Failure::usage(format!("{run}: {error}")))?;
    }
    Ok(Past {
        run: past
            .finish()
            .map_err(|error| Failure::usage(format!("{run}: {error}")))?,
        kept_as: Some(run),
    })
}

/// Whether what was typed can be the id of a run, or its beginning.
pub(crate) fn looks_like_run(typed: &str) -> bool {
    let digits = typed.bytes().take_while(u8::is_ascii_digit).count();
    digits == DATE_DIGITS && typed[digits..].starts_with('T')
}

/// The one kept run whose id begins so.
fn kept_run(typed: &str, logs: &Logs) -> Result<String, Failure> {
    let runs = logs.runs().map_err(Failure::usage)?;
    let mut found = runs.into_iter().filter(|run| run.starts_with(typed));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (Some(one), Some(other)) if one != typed => Err(Failure::usage(format!(
            "{typed}: several runs begin so, {one} and {other} among them"
        ))),
        (Some(run), Some(_)) => Ok(run),
        (None, _) => Err(Failure::usage(format!(
            "{typed}: no such file, and no run of the inventory; `memsweep runs` lists them"
        ))),
    }
}

/// Reads a run line by line, so that a large file costs no more than its endpoints.
fn read_past_run(path: &Path) -> Result<PastRun, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let open = || -> std::io::Result<Box<dyn BufRead>> {
        let mut file = BufReader::new(File::open(path)?);
        let is_compressed = store::is_compressed(file.fill_buf()?);
        Ok(match is_compressed {
            true => Box::new(BufReader::new(store::decompressed(file)?)),
            false => Box::new(file),
        })
    };
    let mut reader = open().map_err(|error| failed(&error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_runs_are_told_from_hosts_and_addresses() {
        for (typed, expected) in [
            ("20261127T081003Z-1a2b3c", true),
            ("20261127T", true),
            ("20261127", false),
            ("10.0.0.1", false),
            ("cache1.example.org", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(looks_like_run(typed), expected, "{typed}");
        }
    }
}
