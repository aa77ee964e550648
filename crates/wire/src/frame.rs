//! The 8-byte frame in front of every UDP datagram (`doc/protocol.txt`, section "UDP protocol").

/// Length of the frame, in bytes.
pub const FRAME_BYTES: usize = 8;

/// What the frame of a datagram says. Nothing in it is believed yet: memcached 1.6.0 to 1.6.9
/// states totals that are too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The id of the request that this answers, as the requester chose it.
    pub request_id: u16,
    /// Which datagram of the reply this is, counted from 0.
    pub sequence: u16,
    /// How many datagrams the reply has, by the sender's word.
    pub total: u16,
    /// Reserved; correct servers send 0.
    pub reserved: u16,
}

impl Frame {
    /// Splits a datagram into its frame and its payload, which may be empty; `None` if it is too
    /// short to have a frame.
    pub fn parse(datagram: &[u8]) -> Option<(Frame, &[u8])> {
        let (head, payload) = datagram.split_first_chunk::<FRAME_BYTES>()?;
        let [
            id_high,
            id_low,
            seq_high,
            seq_low,
            total_high,
            total_low,
            rest_high,
            rest_low,
        ] = *head;
        let frame = Frame {
            request_id: u16::from_be_bytes([id_high, id_low]),
            sequence: u16::from_be_bytes([seq_high, seq_low]),
            total: u16::from_be_bytes([total_high, total_low]),
            reserved: u16::from_be_bytes([rest_high, rest_low]),
        };
        Some((frame, payload))
    }

    /// The frame as it goes over the network, fields in big-endian order. Private to this room, so
    /// that nobody can write a frame by hand.
    pub(crate) fn to_bytes(self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[0..2].copy_from_slice(&self.request_id.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.total.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.reserved.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expects the four fields in order, and the payload.
    fn check(datagram: &[u8], expect: Option<([u16; 4], &[u8])>) {
        let parsed = Frame::parse(datagram).map(|(frame, payload)| {
            (
                [
                    frame.request_id,
                    frame.sequence,
                    frame.total,
                    frame.reserved,
                ],
                payload,
            )
        });
        assert_eq!(parsed, expect, "{datagram:02x?}");
    }

    #[test]
    fn a_frame_is_eight_bytes_in_network_order() {
        check(
            b"\x12\x34\x00\x01\x00\x02\x00\x00END\r\n",
            Some(([0x1234, 1, 2, 0], b"END\r\n")),
        );
        check(
            b"\xff\xfe\x01\x00\x80\x00\x00\x07",
            Some(([0xfffe, 256, 0x8000, 7], b"")),
        );
        check(b"", None);
        check(b"VERSION", None);
        check(b"\x12\x34\x00\x00\x00\x01\x00", None);
    }

    #[test]
    fn writing_and_reading_agree() {
        let frame = Frame {
            request_id: 0xabcd,
            sequence: 0x0102,
            total: 0x0304,
            reserved: 0x0506,
        };
        assert_eq!(Frame::parse(&frame.to_bytes()), Some((frame, &[][..])));
    }
}
