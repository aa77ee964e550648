//! The 8-byte frame of memcached over UDP (protocol.txt, "UDP protocol"), from the server's side.

use super::DatagramAct;

/// Length of the frame.
pub(crate) const FRAME_BYTES: usize = 8;
/// The largest datagram a server sends, frame included (memcached.h, UDP_MAX_PAYLOAD_SIZE).
const DATAGRAM_BYTES_MAX: usize = 1400;

/// What the frame of a request says. Sequence number and the reserved field are never looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) request_id: [u8; 2],
    pub(crate) total: u16,
}

/// Splits a datagram into its frame and its payload; `None` if it is too short for a frame.
pub(crate) fn parse(datagram: &[u8]) -> Option<(Frame, &[u8])> {
    let (frame, payload) = datagram.split_first_chunk::<FRAME_BYTES>()?;
    let [id_high, id_low, _, _, total_high, total_low, _, _] = *frame;
    let total = u16::from_be_bytes([total_high, total_low]);
    Some((
        Frame {
            request_id: [id_high, id_low],
            total,
        },
        payload,
    ))
}

/// Frames one reply. Memcached 1.6.0 to 1.6.9 forgets the frames when it computes the total, which
/// then is too small for long replies.
pub(crate) fn split(
    request_id: [u8; 2],
    reply: &[u8],
    total_is_too_small: bool,
) -> Vec<DatagramAct> {
    let payload_max = DATAGRAM_BYTES_MAX - FRAME_BYTES;
    let per_datagram = if total_is_too_small {
        DATAGRAM_BYTES_MAX
    } else {
        payload_max
    };
    let total = u16::try_from(reply.len().div_ceil(per_datagram)).unwrap_or(u16::MAX);
    reply
        .chunks(payload_max)
        .zip(0..=u16::MAX)
        .map(|(chunk, sequence)| DatagramAct::now(framed(request_id, sequence, total, chunk)))
        .collect()
}

/// One datagram.
pub(crate) fn framed(request_id: [u8; 2], sequence: u16, total: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(FRAME_BYTES + payload.len());
    datagram.extend(request_id);
    datagram.extend(sequence.to_be_bytes());
    datagram.extend(total.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_right_but_for_the_versions_that_miscount() {
        // (payload bytes, datagrams, right total, total of 1.6.0 to 1.6.9), as recorded.
        let cases = [
            (16, 1, 1, 1),
            (1392, 1, 1, 1),
            (1393, 2, 2, 1),
            (32_032, 24, 24, 23),
        ];
        for (bytes, datagrams, right, small) in cases {
            for (is_too_small, total) in [(false, right), (true, small)] {
                let acts = split([7, 8], &vec![b'x'; bytes], is_too_small);
                assert_eq!(acts.len(), datagrams, "{bytes}");
                for (index, act) in acts.iter().enumerate() {
                    let sequence = index.to_be_bytes();
                    assert_eq!(act.bytes[..2], [7, 8]);
                    assert_eq!(act.bytes[2..4], sequence[6..]);
                    assert_eq!(act.bytes[4..8], [0, total, 0, 0]);
                    assert!(act.bytes.len() <= DATAGRAM_BYTES_MAX);
                }
            }
        }
    }

    #[test]
    fn frames_are_read() {
        let datagram = [1, 2, 0, 9, 0, 3, 255, 255, b'x'];
        assert_eq!(
            parse(&datagram),
            Some((
                Frame {
                    request_id: [1, 2],
                    total: 3
                },
                &b"x"[..]
            ))
        );
        assert_eq!(parse(&datagram[..7]), None);
    }
}
