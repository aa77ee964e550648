//! Puts one UDP reply together from its datagrams, whatever the network and the server did.
//!
//! A reply's datagrams may come late, twice, in any order or not at all. The frame states how many
//! there are, but memcached 1.6.0 to 1.6.9 states too few: a reply of 24 datagrams says 23. So the
//! total decides nothing here. Datagrams are joined by their sequence numbers, and the reply is
//! whole when the joined *text* ends as a reply of the text protocol ends. That is tracked while
//! the joined part grows, so each byte is looked at once.
//!
//! A request that is sent again uses a new request id, and hence a new [`Reassembly`]: two replies
//! taken at different moments must not be mixed.

use std::collections::BTreeMap;

use crate::frame::Frame;

/// Datagrams of one reply that are kept. The longest reply seen from a real server to anything
/// that can be asked is 24.
pub const REPLY_DATAGRAMS_MAX: u32 = 64;

/// Payload bytes of one reply that are kept, frames not counted.
pub const REPLY_BYTES_MAX: usize = 96 * 1024;

// Memcached's datagrams carry 1,392 bytes of payload (`UDP_MAX_PAYLOAD_SIZE` less the frame), so
// the number of datagrams is the limit that a real server would meet first.
const _: () = assert!(REPLY_DATAGRAMS_MAX as usize * 1392 <= REPLY_BYTES_MAX);

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It was new, and is kept.
    New,
    /// Its sequence number was there already; the first copy counts.
    Duplicate,
    /// It answers some other request.
    WrongRequestId,
    /// It is too short to have a frame.
    NotAFrame,
    /// It is ours, but the reply is longer than is read; it was counted, not kept.
    OverLimit,
}

/// The reply to one request id, as far as it came.
#[derive(Clone, Debug)]
pub struct Reassembly {
    request_id: u16,
    /// Kept payloads by sequence number: at most `REPLY_DATAGRAMS_MAX`, `REPLY_BYTES_MAX` in all.
    payloads: BTreeMap<u16, Vec<u8>>,
    payload_bytes: usize,
    /// The first sequence number that is missing. All below it are kept; 65,536 if none is.
    first_missing: u32,
    last_line: LastLine,
    stated_total: Option<u16>,
    datagrams: u64,
    bytes: u64,
    duplicates: u64,
    wrong_request_ids: u64,
    not_frames: u64,
    over_limit: u64,
}

impl Reassembly {
    /// An empty reply to `request_id`.
    pub fn new(request_id: u16) -> Reassembly {
        Reassembly {
            request_id,
            payloads: BTreeMap::new(),
            payload_bytes: 0,
            first_missing: 0,
            last_line: LastLine::default(),
            stated_total: None,
            datagrams: 0,
            bytes: 0,
            duplicates: 0,
            wrong_request_ids: 0,
            not_frames: 0,
            over_limit: 0,
        }
    }

    /// Takes a datagram that came to our socket. All are counted, only new ones are kept.
    pub fn handle_datagram(&mut self, datagram: &[u8]) -> Accepted {
        let Some((frame, payload)) = Frame::parse(datagram) else {
            self.not_frames += 1;
            return Accepted::NotAFrame;
        };
        if frame.request_id != self.request_id {
            self.wrong_request_ids += 1;
            return Accepted::WrongRequestId;
        }
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        if self.payloads.contains_key(&frame.sequence) {
            self.duplicates += 1;
            return Accepted::Duplicate;
        }
        let too_many = self.payloads.len() >= REPLY_DATAGRAMS_MAX as usize;
        let too_long = payload.len() > REPLY_BYTES_MAX - self.payload_bytes;
        if too_many || too_long {
            self.over_limit += 1;
            return Accepted::OverLimit;
        }
        if frame.sequence == 0 || self.stated_total.is_none() {
            self.stated_total = Some(frame.total);
        }
        self.payload_bytes += payload.len();
        self.payloads.insert(frame.sequence, payload.to_vec());
        self.join();
        Accepted::New
    }

    /// Whether the reply is whole: no sequence number is missing up to the highest, and the text
    /// ends in `END`, or in one of the lines that are a reply by themselves (`VERSION …`, `ERROR`,
    /// `CLIENT_ERROR …`, `SERVER_ERROR …`). The stated total plays no part.
    pub fn is_complete(&self) -> bool {
        self.last_line.ends_reply && !self.is_missing_below_highest()
    }

    /// Whether a datagram is known to be missing: below the highest sequence number that came, or,
    /// while the reply is not whole, below the stated total. No gap does not mean a whole reply.
    pub fn has_gap(&self) -> bool {
        let stated = self.stated_total.map_or(0, u32::from);
        self.is_missing_below_highest() || (!self.is_complete() && self.first_missing < stated)
    }

    /// The payload from sequence number 0 up to the first that is missing.
    pub fn contiguous(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.payload_bytes);
        for (sequence, payload) in &self.payloads {
            if u32::from(*sequence) >= self.first_missing {
                break;
            }
            joined.extend_from_slice(payload);
        }
        joined
    }

    /// Datagrams that carried our request id, duplicates and those over the limit included.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Bytes of these datagrams, frames included: the UDP payload that one request brought back.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Datagrams whose sequence number had been there already.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Datagrams with a frame that carried another request id.
    pub fn wrong_request_ids(&self) -> u64 {
        self.wrong_request_ids
    }

    /// Datagrams too short to have a frame.
    pub fn not_frames(&self) -> u64 {
        self.not_frames
    }

    /// Datagrams of ours that were counted and not kept.
    pub fn over_limit(&self) -> u64 {
        self.over_limit
    }

    /// The total stated by the datagram with sequence number 0, or by the first that was kept.
    pub fn stated_total(&self) -> Option<u16> {
        self.stated_total
    }

    /// Datagrams kept, each sequence number once.
    pub fn received_distinct(&self) -> u32 {
        // At most REPLY_DATAGRAMS_MAX.
        self.payloads.len() as u32
    }

    /// Moves `first_missing` over what is there now, reading the text on the way.
    fn join(&mut self) {
        while let Some(payload) = u16::try_from(self.first_missing)
            .ok()
            .and_then(|next| self.payloads.get(&next))
        {
            self.last_line.feed(payload);
            self.first_missing += 1;
        }
    }

    fn is_missing_below_highest(&self) -> bool {
        self.payloads
            .last_key_value()
            .is_some_and(|(highest, _)| u32::from(*highest) >= self.first_missing)
    }
}

/// Bytes of a line's beginning that are enough to know it: the longest is `CLIENT_ERROR` and the
/// byte behind it.
const LINE_START_BYTES: usize = 16;

/// Follows the lines of a growing text and knows whether the last one ends a reply.
#[derive(Clone, Debug, Default)]
struct LastLine {
    start: [u8; LINE_START_BYTES],
    /// Length of the unfinished line so far.
    line_bytes: usize,
    /// Whether the text's very last byte ended a line that ends a reply.
    ends_reply: bool,
}

impl LastLine {
    fn feed(&mut self, text: &[u8]) {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            let (line, is_ended) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let from = self.line_bytes.min(LINE_START_BYTES);
            let kept = line.len().min(LINE_START_BYTES - from);
            self.start[from..from + kept].copy_from_slice(&line[..kept]);
            self.line_bytes += line.len();
            self.ends_reply = is_ended && self.line_ends_reply();
            if is_ended {
                self.line_bytes = 0;
            }
        }
    }

    fn line_ends_reply(&self) -> bool {
        let start = &self.start[..self.line_bytes.min(LINE_START_BYTES)];
        // A longer line may have a \r here that is not its end; no such line is one of these words.
        let start = start.strip_suffix(b"\r").unwrap_or(start);
        let first_word_bytes = start
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(start.len());
        match &start[..first_word_bytes] {
            b"END" => start.len() == b"END".len(),
            b"VERSION" | b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR" => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 0x1234;

    fn datagram(sequence: u16, total: u16, payload: &[u8]) -> Vec<u8> {
        let frame = Frame {
            request_id: ID,
            sequence,
            total,
            reserved: 0,
        };
        [&frame.to_bytes()[..], payload].concat()
    }

    /// Feeds payloads under the given sequence numbers; expects completeness, gap, joined text.
    fn check(total: u16, pieces: &[(u16, &str)], complete: bool, gap: bool, joined: &str) {
        let mut reply = Reassembly::new(ID);
        for (sequence, payload) in pieces {
            reply.handle_datagram(&datagram(*sequence, total, payload.as_bytes()));
        }
        assert_eq!(reply.is_complete(), complete, "complete: {pieces:?}");
        assert_eq!(reply.has_gap(), gap, "gap: {pieces:?}");
        assert_eq!(
            String::from_utf8(reply.contiguous()).unwrap(),
            joined,
            "{pieces:?}"
        );
    }

    #[test]
    fn the_text_decides_when_a_reply_is_whole() {
        check(1, &[], false, false, "");
        check(
            1,
            &[(0, "VERSION 1.4.15\r\n")],
            true,
            false,
            "VERSION 1.4.15\r\n",
        );
        check(
            1,
            &[(0, "VERSION 1.4.15\r")],
            false,
            false,
            "VERSION 1.4.15\r",
        );
        check(1, &[(0, "ERROR\r\n")], true, false, "ERROR\r\n");
        check(1, &[(0, "ERROR\n")], true, false, "ERROR\n");
        check(
            1,
            &[(0, "CLIENT_ERROR no\r\n")],
            true,
            false,
            "CLIENT_ERROR no\r\n",
        );
        check(
            1,
            &[(0, "SERVER_ERROR\r\n")],
            true,
            false,
            "SERVER_ERROR\r\n",
        );
        check(1, &[(0, "END\r\n")], true, false, "END\r\n");
        check(1, &[(0, "END of it\r\n")], false, false, "END of it\r\n");
        check(1, &[(0, "ENDING\r\n")], false, false, "ENDING\r\n");
        check(1, &[(0, "STAT a END\r\n")], false, false, "STAT a END\r\n");
        check(
            1,
            &[(0, "STAT version 1\r\n")],
            false,
            false,
            "STAT version 1\r\n",
        );
        check(
            1,
            &[(0, "END\r\nSTAT a 1\r\n")],
            false,
            false,
            "END\r\nSTAT a 1\r\n",
        );
        check(1, &[(0, "")], false, false, "");
        // The first 16 bytes of this line end in \r, the line itself does not.
        check(
            1,
            &[(0, "ERRORERRORERROR\rx\n")],
            false,
            false,
            "ERRORERRORERROR\rx\n",
        );
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        check(
            3,
            &[(0, "STAT a 1\r\nE"), (1, "ND\r"), (2, "\n")],
            true,
            false,
            "STAT a 1\r\nEND\r\n",
        );
        check(
            2,
            &[(0, "STAT a 1\r\nE"), (1, "ND\r")],
            false,
            false,
            "STAT a 1\r\nEND\r",
        );
        check(2, &[(1, "ND\r\n"), (0, "E")], true, false, "END\r\n");
        check(3, &[(0, "END\r\n"), (1, "")], true, false, "END\r\n");
    }

    #[test]
    fn the_stated_total_is_not_believed() {
        // Too small, as 1.6.0 to 1.6.9 say it: neither the end nor a reason to drop what follows.
        check(1, &[(0, "STAT a 1\r\n")], false, false, "STAT a 1\r\n");
        check(
            1,
            &[(0, "STAT a 1\r\n"), (1, "END\r\n")],
            true,
            false,
            "STAT a 1\r\nEND\r\n",
        );
        check(0, &[(0, "END\r\n")], true, false, "END\r\n");
        // Too large: the text has ended all the same.
        check(9, &[(0, "END\r\n")], true, false, "END\r\n");
    }

    #[test]
    fn gaps_are_known_where_they_can_be() {
        check(2, &[(0, "STAT a 1\r\n")], false, true, "STAT a 1\r\n");
        check(2, &[(1, "END\r\n")], false, true, "");
        check(
            3,
            &[(0, "STAT a 1\r\n"), (2, "END\r\n")],
            false,
            true,
            "STAT a 1\r\n",
        );
        check(1, &[(0, "END\r\n"), (2, "END\r\n")], false, true, "END\r\n");
        check(0, &[(65_535, "END\r\n")], false, true, "");
    }

    #[test]
    fn every_datagram_is_counted() {
        let mut reply = Reassembly::new(ID);
        assert_eq!(reply.handle_datagram(b"short"), Accepted::NotAFrame);
        assert_eq!(
            reply.handle_datagram(b"\0\0\0\0\0\x01\0\0END\r\n"),
            Accepted::WrongRequestId
        );
        assert_eq!(reply.stated_total(), None);
        assert_eq!(
            reply.handle_datagram(&datagram(1, 7, b"END\r\n")),
            Accepted::New
        );
        assert_eq!(reply.stated_total(), Some(7));
        assert_eq!(
            reply.handle_datagram(&datagram(1, 8, b"other")),
            Accepted::Duplicate
        );
        assert_eq!(
            reply.handle_datagram(&datagram(0, 2, b"STAT a 1\r\n")),
            Accepted::New
        );
        assert_eq!(
            reply.stated_total(),
            Some(2),
            "sequence 0 has the last word"
        );
        assert!(reply.is_complete());
        assert_eq!(reply.contiguous(), b"STAT a 1\r\nEND\r\n");
        assert_eq!(reply.datagrams(), 3);
        assert_eq!(reply.bytes(), 13 + 13 + 18);
        assert_eq!(reply.received_distinct(), 2);
        assert_eq!(reply.duplicates(), 1);
        assert_eq!(reply.wrong_request_ids(), 1);
        assert_eq!(reply.not_frames(), 1);
        assert_eq!(reply.over_limit(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_counted_is_not() {
        let mut many = Reassembly::new(ID);
        for sequence in 0..1_000 {
            let expected = if sequence < 64 {
                Accepted::New
            } else {
                Accepted::OverLimit
            };
            assert_eq!(
                many.handle_datagram(&datagram(sequence, 1_000, b"x\r\n")),
                expected
            );
        }
        assert_eq!(many.received_distinct(), REPLY_DATAGRAMS_MAX);
        assert_eq!(many.over_limit(), 1_000 - 64);
        assert_eq!(many.datagrams(), 1_000);
        assert_eq!(many.bytes(), 11_000);
        assert!(!many.is_complete() && many.has_gap());

        let mut long = Reassembly::new(ID);
        let payload = vec![b'x'; 60 * 1024];
        assert_eq!(
            long.handle_datagram(&datagram(0, 3, &payload)),
            Accepted::New
        );
        assert_eq!(
            long.handle_datagram(&datagram(1, 3, &payload)),
            Accepted::OverLimit
        );
        assert_eq!(
            long.handle_datagram(&datagram(2, 3, &payload[..36 * 1024])),
            Accepted::New
        );
        assert_eq!(
            long.handle_datagram(&datagram(3, 3, b"x")),
            Accepted::OverLimit
        );
        assert_eq!(long.contiguous().len(), 60 * 1024);
    }
}
