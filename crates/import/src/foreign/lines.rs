//! Lines out of pieces of a file.

use super::sink::{EachText, Ended};
use crate::ImportError;
use crate::own::BYTE_ORDER_MARK;

/// A line of another tool's text output; its longest are banners of some kilobytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// Cuts what is fed into lines, and keeps no more than the one that is not whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    number: u64,
    begun: Vec<u8>,
}

impl Lines {
    /// Gives every whole line, without its end, with its number from 1.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        each: &mut EachText<'_>,
    ) -> Result<(), ImportError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            self.check_length(line.len())?;
            self.number += 1;
            if self.begun.is_empty() {
                each(self.number, without_marks(self.number, line))?;
            } else {
                self.begun.extend_from_slice(line);
                let line = without_marks(self.number, &self.begun);
                each(self.number, line)?;
                self.begun.clear();
            }
        }
        self.check_length(bytes.len())?;
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives the last line, if it has no end. One that cannot be read was cut off.
    pub(super) fn finish(self, each: &mut EachText<'_>) -> Ended {
        let number = self.number + 1;
        let line = without_marks(number, &self.begun);
        if line.is_empty() || each(number, line).is_ok() {
            Ended::Whole
        } else {
            Ended::Torn
        }
    }

    fn check_length(&self, more: usize) -> Result<(), ImportError> {
        if self.begun.len() + more > LINE_BYTES_MAX {
            return Err(ImportError::LineTooLong {
                line: self.number + 1,
                bytes_max: LINE_BYTES_MAX,
            });
        }
        Ok(())
    }
}

fn without_marks(number: u64, line: &[u8]) -> &[u8] {
    let line = match number {
        1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
        _ => line,
    };
    line.strip_suffix(b"\r").unwrap_or(line)
}
