//! JSON objects out of pieces of a file: one a line, several in an array, or one over many lines.
//!
//! What stands between them is not looked at closely. masscan of some versions leaves commas out,
//! or writes one too many, and a scan that was broken off leaves its array open.

use super::sink::{EachText, Ended};
use crate::ImportError;
use crate::own::BYTE_ORDER_MARK;

/// The longest object: a page of a search interface, with a hundred hosts and all their services.
pub(super) const OBJECT_BYTES_MAX: usize = 8 << 20;
/// As deep as serde_json goes.
const DEPTH_MAX: u32 = 128;

/// Cuts what is fed into objects, and keeps no more than the one that is not whole.
#[derive(Debug)]
pub(super) struct Objects {
    /// Lines begun.
    line: u64,
    /// The line on which the object begins.
    first_line: u64,
    /// The mark before UTF-8, as far as it has not come yet.
    mark: &'static [u8],
    depth: u32,
    in_text: bool,
    is_escaped: bool,
    begun: Vec<u8>,
}

impl Default for Objects {
    fn default() -> Objects {
        Objects {
            line: 1,
            first_line: 1,
            mark: BYTE_ORDER_MARK,
            depth: 0,
            in_text: false,
            is_escaped: false,
            begun: Vec::new(),
        }
    }
}

impl Objects {
    /// Gives every whole object with the number of the line on which it begins.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut EachText<'_>,
    ) -> Result<(), ImportError> {
        // Where in these bytes the object begins, or goes on.
        let mut start = 0;
        for (place, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' {
                self.line += 1;
            }
            if self.depth == 0 {
                self.between(*byte)?;
                start = place;
                continue;
            }
            if self.ends_with(*byte)? {
                let piece = &bytes[start..=place];
                self.check_length(piece.len())?;
                if self.begun.is_empty() {
                    each(self.first_line, piece)?;
                } else {
                    self.begun.extend_from_slice(piece);
                    each(self.first_line, &self.begun)?;
                    self.begun.clear();
                }
            }
        }
        if self.depth > 0 {
            let piece = &bytes[start..];
            self.check_length(piece.len())?;
            self.begun.extend_from_slice(piece);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Ended {
        match self.depth {
            0 => Ended::Whole,
            _ => Ended::Torn,
        }
    }

    /// A byte outside of any object.
    fn between(&mut self, byte: u8) -> Result<(), ImportError> {
        if let Some((first, rest)) = self.mark.split_first() {
            if *first == byte {
                self.mark = rest;
                return Ok(());
            }
            self.mark = &[];
        }
        match byte {
            b'{' => {
                self.depth = 1;
                self.first_line = self.line;
            }
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']' => {}
            _ => {
                return Err(ImportError::NotJson {
                    line: self.line,
                    problem: "here an object should begin".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Takes a byte of an object; whether it is the last.
    fn ends_with(&mut self, byte: u8) -> Result<bool, ImportError> {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' if self.depth == DEPTH_MAX => {
                return Err(ImportError::TooDeep {
                    line: self.line,
                    depth_max: DEPTH_MAX,
                });
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        Ok(self.depth == 0)
    }

    fn check_length(&self, more: usize) -> Result<(), ImportError> {
        if self.begun.len() + more > OBJECT_BYTES_MAX {
            return Err(ImportError::RecordTooLong {
                line: self.first_line,
                bytes_max: OBJECT_BYTES_MAX,
            });
        }
        Ok(())
    }
}
