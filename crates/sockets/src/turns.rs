//! Interviews that want to send and may not yet.
//!
//! Probes and interviews take their packets out of one rate. An interview whose turn has not come is
//! paused, and its clock stands still: a server is not called slow because others were asked first,
//! and the time that an interview may take is what it had to itself.

use std::time::Duration;

use crate::probes::Key;
use crate::reactor::Reactor;

/// Who is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    Stream(Key),
    Datagram(Key),
}

/// The clock of an interview, and what it wants to send next.
#[derive(Debug)]
pub(crate) struct Turn<Output> {
    /// What waits for its turn, if anything does, and since when.
    waiting: Option<(Output, Duration)>,
    /// For how long the clock has stood still, the current pause not included.
    paused: Duration,
}

impl<Output> Turn<Output> {
    pub(crate) fn new() -> Turn<Output> {
        Turn {
            waiting: None,
            paused: Duration::ZERO,
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.waiting.is_some()
    }

    /// Stops the clock until [`Turn::resume`] hands this output back.
    pub(crate) fn pause(&mut self, output: Output, now: Duration) {
        self.waiting = Some((output, now));
    }

    /// Lets the clock go on; how long it stood still, too.
    pub(crate) fn resume(&mut self, now: Duration) -> Option<(Output, Duration)> {
        let (output, since) = self.waiting.take()?;
        let pause = now.saturating_sub(since);
        self.paused += pause;
        Some((output, pause))
    }

    /// The time of the interview.
    pub(crate) fn time(&self, now: Duration) -> Duration {
        let until = self.waiting.as_ref().map_or(now, |(_, since)| *since);
        until.saturating_sub(self.paused)
    }

    /// When it will be that time in the interview, if it is not paused until then.
    pub(crate) fn when(&self, time: Duration) -> Duration {
        time + self.paused
    }
}

/// A kernel acknowledges what came no later than this, whether a question follows or not: Linux's
/// TCP_DELACK_MIN.
pub(crate) const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(40);

/// Bytes of a full segment, at the least that is usual.
const SEGMENT_BYTES: usize = 1_400;

/// The packets by which our kernel only acknowledges what a connection brings: the first segment at
/// once, two full ones together, and anything less with the next question (RFC 9293 section
/// 3.8.6.3; tcp_ack_snd_check in Linux's net/ipv4/tcp_input.c).
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements {
    heard: bool,
    /// Bytes that have not been acknowledged.
    owed: usize,
}

impl Acknowledgements {
    /// How many packets these bytes make it send.
    pub(crate) fn of_bytes(&mut self, bytes: usize) -> u64 {
        self.owed += bytes;
        let mut packets = 0;
        if !self.heard {
            self.heard = true;
            packets = 1;
            self.owed = self.owed.saturating_sub(SEGMENT_BYTES);
        }
        while self.owed > SEGMENT_BYTES {
            packets += 1;
            self.owed = self.owed.saturating_sub(2 * SEGMENT_BYTES);
        }
        packets
    }

    /// A question carries the acknowledgement of what came before.
    pub(crate) fn sent(&mut self) {
        self.owed = 0;
    }
}

impl Reactor<'_> {
    /// Lets paused interviews send what the rate allows, before anybody else does.
    pub(crate) fn resume_paused(&mut self) {
        while self.may_send() {
            match self.paused.pop_front() {
                Some(Paused::Stream(key)) => self.resume_stream(key),
                Some(Paused::Datagram(key)) => self.resume_datagram(key),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_acknowledges_by_itself() {
        let mut acknowledgements = Acknowledgements::default();
        let packets: Vec<u64> = [16, 21, 2_213, 700, 900, 5, 14_000]
            .map(|bytes| {
                let packets = acknowledgements.of_bytes(bytes);
                if bytes != 700 {
                    acknowledgements.sent();
                }
                packets
            })
            .to_vec();
        // 700 and 900 bytes are more than a segment together.
        assert_eq!(packets, [1, 0, 1, 0, 1, 0, 5]);
    }

    #[test]
    fn the_clock_of_who_waits_stands_still() {
        let at = Duration::from_millis;
        let mut turn = Turn::new();
        assert_eq!((turn.time(at(100)), turn.when(at(150))), (at(100), at(150)));
        turn.pause('a', at(120));
        assert!(turn.is_paused());
        assert_eq!(turn.time(at(900)), at(120));
        assert_eq!(turn.resume(at(1_120)), Some(('a', at(1_000))));
        assert_eq!(turn.resume(at(1_130)), None, "it was not paused");
        assert_eq!(turn.time(at(1_130)), at(130));
        assert_eq!(turn.when(at(150)), at(1_150));
        turn.pause('b', at(1_140));
        assert_eq!(turn.resume(at(1_240)), Some(('b', at(100))));
        assert_eq!(turn.time(at(1_240)), at(140));
    }
}
