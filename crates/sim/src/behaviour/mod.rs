//! How servers behave, without any socket or clock: bytes and the time come in, acts go out.
//!
//! One value is one server. The connections of a server are told apart by a [`StreamId`], so that
//! each has its own state while they share the server's counters.

mod binary;
mod frame;
mod genuine;
mod hostile;
mod impostor;
mod journal;
mod replay;
mod rows;
mod slow;
mod statistics;
mod stranger;

pub use genuine::{BindingProtocol, Demand, Genuine, GenuineConfig, StoredItems, TlsBuild};
pub use hostile::{Hostile, Misbehaviour};
pub(crate) use impostor::Random;
pub use impostor::{Honeypot, ProxyLike};
pub use journal::{Heard, Journal};
pub use replay::{Habits, Recorded, Replay};
pub use slow::Slow;
pub use stranger::Stranger;

/// A connection to a server; never used twice for one server.
pub type StreamId = u64;

/// A server. `now_us` is microseconds since the Unix epoch, by whatever clock the host keeps; it
/// never goes back.
pub trait Personality: Send {
    /// A connection was accepted (and its TLS handshake, if any, is done).
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        let _ = (stream, now_us);
        Vec::new()
    }

    /// Bytes arrived, as one segment.
    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act>;

    /// The connection is gone, whoever ended it. Always the last call for this stream.
    fn stream_closed(&mut self, stream: StreamId) {
        let _ = stream;
    }

    /// A datagram arrived.
    fn datagram(&mut self, datagram: &[u8], now_us: u64) -> Vec<DatagramAct> {
        let _ = (datagram, now_us);
        Vec::new()
    }
}

/// Something a server does on a connection. Acts of one connection are done in order, after the
/// ones that still wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Do nothing for so long, in microseconds.
    Wait {
        /// Microseconds.
        us: u64,
    },
    /// Send the same bytes again and again.
    Repeat {
        /// What to send.
        bytes: Vec<u8>,
        /// How often.
        times: u32,
        /// Pause after each, in microseconds.
        pause_us: u64,
    },
    /// Close the connection in an orderly way.
    Close,
    /// Reset the connection.
    Reset,
}

/// A datagram that a server sends back to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramAct {
    /// How long after the question, in microseconds.
    pub after_us: u64,
    /// The whole datagram.
    pub bytes: Vec<u8>,
}

impl DatagramAct {
    /// A datagram that is sent at once.
    pub fn now(bytes: Vec<u8>) -> DatagramAct {
        DatagramAct { after_us: 0, bytes }
    }
}

/// Everything that acts send, in one piece; what a client reads if it only waits long enough.
/// Endless repetition counts once.
pub fn sent(acts: &[Act]) -> Vec<u8> {
    let mut all = Vec::new();
    for act in acts {
        match act {
            Act::Send(bytes) | Act::Repeat { bytes, .. } => all.extend_from_slice(bytes),
            Act::Wait { .. } | Act::Close | Act::Reset => {}
        }
    }
    all
}

/// Takes the first line out of a buffer, without its line end (`\n`, or `\r\n`).
fn take_line(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.iter().position(|byte| *byte == b'\n')?;
    let mut line: Vec<u8> = buffer.drain(..=end).collect();
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_either_line_end() {
        let mut buffer = b"version\r\nstats\nrest".to_vec();
        assert_eq!(take_line(&mut buffer), Some(b"version".to_vec()));
        assert_eq!(take_line(&mut buffer), Some(b"stats".to_vec()));
        assert_eq!(take_line(&mut buffer), None);
        assert_eq!(buffer, b"rest");
    }
}
