//! gzip, in pieces and within limits.

use std::io::{ErrorKind, Write};

use flate2::write::MultiGzDecoder;

use super::sink::Ended;
use crate::ImportError;

/// What a gzip file begins with (RFC 1952 section 2.3.1).
pub(super) const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
/// Bytes unpacked at a time. Deflate makes at most 1,032 bytes out of one, so that no more than
/// some 8 MiB come out of a piece.
const PIECE_BYTES: usize = 8 << 10;
/// More than any export unpacks to; a month of the whole Internet's banners is less.
const UNPACKED_BYTES_MAX: u64 = 1 << 40;
/// How many times its size a file may unpack to. Lists of scanners come to 10 or 20, made-up
/// files of one repeated byte to 1,000.
const RATIO_MAX: u64 = 250;
/// Below this the ratio says nothing.
const RATIO_MATTERS_BYTES: u64 = 16 << 20;

/// Unpacks what is fed.
pub(super) struct Unpacker {
    decoder: MultiGzDecoder<Vec<u8>>,
    packed: u64,
    unpacked: u64,
}

impl Unpacker {
    pub(super) fn new() -> Unpacker {
        Unpacker {
            decoder: MultiGzDecoder::new(Vec::new()),
            packed: 0,
            unpacked: 0,
        }
    }

    /// Gives what the bytes unpack to, in pieces.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        for piece in bytes.chunks(PIECE_BYTES) {
            self.packed += piece.len() as u64;
            let written = self.decoder.write_all(piece);
            written.map_err(|problem| self.damaged(&problem))?;
            self.hand_over(each)?;
        }
        Ok(())
    }

    /// Gives what is left. A file that ends before its own end was cut off.
    pub(super) fn finish(
        mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<Ended, ImportError> {
        let ended = match self.decoder.try_finish() {
            Ok(()) => Ended::Whole,
            Err(problem) if problem.kind() == ErrorKind::UnexpectedEof => Ended::Torn,
            Err(problem) => return Err(self.damaged(&problem)),
        };
        self.hand_over(each)?;
        Ok(ended)
    }

    fn damaged(&self, problem: &std::io::Error) -> ImportError {
        ImportError::NotGzip {
            byte: self.packed,
            problem: problem.to_string(),
        }
    }

    fn hand_over(
        &mut self,
        each: &mut dyn FnMut(&[u8]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let out = self.decoder.get_mut();
        self.unpacked += out.len() as u64;
        if self.unpacked > UNPACKED_BYTES_MAX {
            return Err(ImportError::UnpacksToTooMuch {
                bytes_max: UNPACKED_BYTES_MAX,
            });
        }
        if self.unpacked > RATIO_MATTERS_BYTES && self.unpacked / self.packed > RATIO_MAX {
            return Err(ImportError::Bomb {
                ratio_max: RATIO_MAX,
            });
        }
        each(out)?;
        out.clear();
        Ok(())
    }
}

/// The beginning of what a file unpacks to, as far as these bytes tell.
pub(super) fn beginning(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = MultiGzDecoder::new(Vec::new());
    for piece in bytes.chunks(PIECE_BYTES) {
        if decoder.write_all(piece).is_err() || decoder.get_ref().len() >= super::RECOGNISE_BYTES {
            break;
        }
    }
    let _ = decoder.try_finish();
    std::mem::take(decoder.get_mut())
}
