//! The reading end of a BPF ring buffer (Linux's Documentation/bpf/ringbuf.rst).
//!
//! ```text
//! page 0   how far we have read, ours to write
//! page 1   how far programs have written
//! page 2…  the data, twice in a row, so that no record is broken at the end
//! ```
//!
//! Both positions only grow; modulo the size they are places. A record is a length with two flags
//! in its upper bits, four bytes that are the kernel's, and the data, padded to 8 bytes.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use super::{Map, Mapping, page_bytes};

/// The record is still being written.
const BUSY: u32 = 1 << 31;
/// The record is not meant.
const DISCARDED: u32 = 1 << 30;
const HEADER_BYTES: u64 = 8;
/// The longest record that our programs write.
pub(crate) const RECORD_BYTES_MAX: usize = 264;

/// Reads what programs write into a ring.
#[derive(Debug)]
pub(crate) struct RingReader {
    map: Map,
    consumer: Mapping,
    /// The producer's page, and the data twice.
    producer: Mapping,
    data_offset: usize,
    bytes: u64,
}

impl RingReader {
    /// Reads this ring, which was made with this size.
    pub(crate) fn new(map: Map, bytes: usize) -> Result<RingReader, Errno> {
        let page = page_bytes();
        let consumer = Mapping::new(map.as_fd(), 0, page, true)?;
        let producer = Mapping::new(map.as_fd(), page, page + 2 * bytes, false)?;
        Ok(RingReader {
            map,
            consumer,
            producer,
            data_offset: page,
            bytes: bytes as u64,
        })
    }

    /// Gives at most `records_max` records to `take`; returns how many there were.
    pub(crate) fn read(&mut self, records_max: usize, take: &mut dyn FnMut(&[u8])) -> usize {
        let consumed: &AtomicU64 = &self.consumer.words()[0];
        let mut position = consumed.load(Ordering::Relaxed);
        let mut record = [0u8; RECORD_BYTES_MAX];
        let mut count = 0;
        while count < records_max && position < self.producer.words()[0].load(Ordering::Acquire) {
            let words = &self.producer.words()[self.data_offset / 8..];
            let place = (position % self.bytes / 8) as usize;
            // The lower half of the word: live frames are for little-endian machines only.
            let length = words[place].load(Ordering::Acquire) as u32;
            if length & BUSY != 0 {
                break;
            }
            let bytes = (length & !DISCARDED) as usize;
            if length & DISCARDED == 0 {
                for (chunk, word) in record
                    .chunks_exact_mut(8)
                    .zip(&words[place + 1..])
                    .take(bytes.div_ceil(8))
                {
                    chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
                }
                take(&record[..bytes.min(RECORD_BYTES_MAX)]);
                count += 1;
            }
            position += HEADER_BYTES + (bytes as u64).next_multiple_of(8);
            // In steps, so that there is room for what comes meanwhile.
            consumed.store(position, Ordering::SeqCst);
        }
        count
    }
}

impl AsFd for RingReader {
    /// Readable while there are records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}
