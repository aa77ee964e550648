//! A server that takes its time.

use super::{Act, DatagramAct, Personality, StreamId};

/// Any server, answering late.
pub struct Slow {
    inner: Box<dyn Personality>,
    delay_us: u64,
}

impl Slow {
    /// The same server, each answer later by so many microseconds.
    pub fn new(inner: Box<dyn Personality>, delay_us: u64) -> Slow {
        Slow { inner, delay_us }
    }

    fn late(&self, mut acts: Vec<Act>) -> Vec<Act> {
        if !acts.is_empty() {
            acts.insert(0, Act::Wait { us: self.delay_us });
        }
        acts
    }
}

impl Personality for Slow {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        let acts = self.inner.stream_opened(stream, now_us);
        self.late(acts)
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        let acts = self.inner.stream_bytes(stream, bytes, now_us);
        self.late(acts)
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.inner.stream_closed(stream);
    }

    fn datagram(&mut self, datagram: &[u8], now_us: u64) -> Vec<DatagramAct> {
        let mut acts = self.inner.datagram(datagram, now_us);
        for act in &mut acts {
            act.after_us += self.delay_us;
        }
        acts
    }
}
