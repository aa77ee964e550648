//! The dialogue over UDP, begun by an answer to the sweep's `version` datagram.
//!
//! One command a datagram, one datagram under way at a time, each with a fresh request id that the
//! peer cannot guess: what carries another id is counted and never believed. A reply may be
//! incomplete for ever (UDP), so a request is repeated once with a new id, and the better of the
//! two replies counts. Everything that comes back for an id is counted for the amplification,
//! duplicates and what lies beyond the reading limit included.
//!
//! An answer that came from another address than was asked could, once in many thousand times, be
//! the late answer of another host with the same id. So it is confirmed first: `version` again.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use model::{
    Amplification, Anomaly, Answer, Auth, Dialogue, Ending, Protocol, Question, StatsTable,
};
use wire::{Accepted, AsciiDecoder, AsciiEvent, DatagramRequest, Frame, Reassembly, StatsGroup};

use crate::impression::impression_of;
use crate::options::{Depth, Draws, Options};
use crate::stream::note_numbers;

/// Sends of one question, the first included.
const SENDS_MAX: u32 = 2;
/// How long datagrams of one reply may lie apart. Servers send them back to back.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum DatagramOutput {
    /// Send this datagram to the endpoint that was asked first, never elsewhere.
    Send(Vec<u8>),
}

struct Asking {
    request: DatagramRequest,
    sends: u32,
    reassembly: Reassembly,
    until: Duration,
    /// The reply of an earlier send, if it had something.
    earlier: Option<Reassembly>,
}

/// The dialogue machine for UDP.
pub struct DatagramInterview {
    options: Options,
    draws: Draws,
    started: Duration,
    dialogue: Dialogue,
    plan: VecDeque<DatagramRequest>,
    asking: Option<Asking>,
    outputs: VecDeque<DatagramOutput>,
    wrong_request_ids: u64,
    duplicates: u64,
    finished: bool,
}

impl DatagramInterview {
    /// Begins with the datagram that answered the sweep's `version` request and carried its id.
    /// `answered_from` is where it came from, if not from where the question went.
    pub fn new(
        options: Options,
        now: Duration,
        first_reply: &[u8],
        answered_from: Option<SocketAddr>,
    ) -> DatagramInterview {
        let mut interview = DatagramInterview {
            options,
            draws: Draws::new(options.seed),
            started: now,
            dialogue: Dialogue {
                answered_from,
                ..Dialogue::default()
            },
            plan: VecDeque::new(),
            asking: None,
            outputs: VecDeque::new(),
            wrong_request_ids: 0,
            duplicates: 0,
            finished: false,
        };
        interview.begin(first_reply, now);
        interview
    }

    /// The next thing to do, until `None`. Drain it after every `handle_*` call.
    pub fn poll_output(&mut self) -> Option<DatagramOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] if nothing comes before; `None` when finished.
    pub fn wake_at(&self) -> Option<Duration> {
        let deadline = self.started + self.options.interview_max;
        (!self.finished).then(|| {
            self.asking
                .as_ref()
                .map_or(deadline, |asking| asking.until.min(deadline))
        })
    }

    /// Whether the dialogue is over.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Everything that was learnt.
    pub fn into_dialogue(mut self) -> Dialogue {
        if self.wrong_request_ids > 0 {
            let count = self.wrong_request_ids;
            self.dialogue
                .anomalies
                .push(Anomaly::WrongRequestId { count });
        }
        if self.duplicates > 0 {
            let count = self.duplicates;
            self.dialogue
                .anomalies
                .push(Anomaly::DuplicateDatagrams { count });
        }
        note_numbers(&mut self.dialogue);
        self.dialogue
    }

    /// A datagram came from the peer, or from wherever it answers from.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Duration) {
        let Some(asking) = self.asking.as_mut() else {
            return;
        };
        match asking.reassembly.handle_datagram(datagram) {
            Accepted::New => {
                asking.until = now + IDLE_MAX.min(self.options.reply_wait);
                if asking.reassembly.is_complete() {
                    self.settle(now);
                }
            }
            // A duplicate is counted for the amplification and prolongs nothing.
            Accepted::Duplicate => self.duplicates += 1,
            Accepted::WrongRequestId | Accepted::NotAFrame => self.wrong_request_ids += 1,
            Accepted::OverLimit => {}
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.finished {
            return;
        }
        if now >= self.started + self.options.interview_max {
            self.keep_reply();
            self.finish(Ending::Deadline);
            return;
        }
        let due = self
            .asking
            .as_ref()
            .is_some_and(|asking| now >= asking.until);
        if due {
            self.settle(now);
        }
    }

    /// The kernel reported an ICMP error for our datagram: nobody listens there any more.
    pub fn handle_refused(&mut self) {
        if !self.finished {
            self.plan.clear();
            self.keep_reply();
            self.finish(Ending::Complete);
        }
    }

    /// The whole run is being stopped: keep what is known.
    pub fn stop(&mut self) {
        if !self.finished {
            self.keep_reply();
            self.finish(Ending::Stopped);
        }
    }

    fn begin(&mut self, first_reply: &[u8], now: Duration) {
        let payload = Frame::parse(first_reply).map_or(&[][..], |(_, payload)| payload);
        let mut decoder = AsciiDecoder::new();
        decoder.feed(payload);
        match decoder.next_event() {
            Some(AsciiEvent::Version(version)) if self.dialogue.answered_from.is_none() => {
                self.take_version(version);
                self.dialogue
                    .amplification
                    .push(self.amplification_of_version(first_reply));
            }
            Some(AsciiEvent::Version(_)) => self.plan.push_back(DatagramRequest::Version),
            Some(AsciiEvent::Error | AsciiEvent::ServerError(_) | AsciiEvent::ClientError(_)) => {
                // memcached's words, but no version: `stats` decides.
                self.dialogue.version =
                    Answer::Refused(String::from_utf8_lossy(payload).trim_end().to_owned());
            }
            _ => {
                self.dialogue.version = Answer::Refused(String::new());
                self.dialogue.impression = Some(impression_of(payload, b"version\r\n"));
                self.finish(Ending::Complete);
                return;
            }
        }
        if self.options.depth != Depth::Sample {
            self.plan
                .push_back(DatagramRequest::Stats(StatsGroup::General));
            self.plan
                .push_back(DatagramRequest::Stats(StatsGroup::Settings));
        }
        if self.options.depth == Depth::Full {
            self.plan
                .push_back(DatagramRequest::Stats(StatsGroup::Items));
        }
        self.next_question(now);
    }

    fn amplification_of_version(&self, reply: &[u8]) -> Amplification {
        Amplification {
            command: DatagramRequest::Version.command().to_owned(),
            request_bytes: DatagramRequest::Version.encode(0).len() as u64,
            reply_bytes: reply.len() as u64,
            datagrams: 1,
            complete: true,
            ipv6: self.options.ipv6,
        }
    }

    fn take_version(&mut self, version: String) {
        self.dialogue.version = Answer::Given(version);
        self.executed(Question::Version);
    }

    fn executed(&mut self, question: Question) {
        self.dialogue.protocol = Protocol::Ascii;
        self.dialogue.auth = Auth::None;
        if !self.dialogue.executed.contains(&question) {
            self.dialogue.executed.push(question);
        }
    }

    fn next_question(&mut self, now: Duration) {
        match self.plan.pop_front() {
            Some(request) => self.send(request, 1, None, now),
            None => self.finish(Ending::Complete),
        }
    }

    fn send(
        &mut self,
        request: DatagramRequest,
        sends: u32,
        earlier: Option<Reassembly>,
        now: Duration,
    ) {
        let request_id = self.draws.next_u16();
        self.outputs
            .push_back(DatagramOutput::Send(request.encode(request_id)));
        self.asking = Some(Asking {
            request,
            sends,
            reassembly: Reassembly::new(request_id),
            until: now + self.options.reply_wait,
            earlier,
        });
    }

    /// The reply under way is complete, or nothing more of it comes.
    fn settle(&mut self, now: Duration) {
        let Some(asking) = self.asking.take() else {
            return;
        };
        let Asking {
            request,
            sends,
            reassembly,
            earlier,
            ..
        } = asking;
        if !reassembly.is_complete() && sends < SENDS_MAX && reassembly.over_limit() == 0 {
            let best = better(reassembly, earlier);
            self.send(request, sends + 1, Some(best), now);
            return;
        }
        self.take_reply(request, better(reassembly, earlier));
        let unconfirmed = self.dialogue.answered_from.is_some()
            && self.dialogue.executed.is_empty()
            && matches!(request, DatagramRequest::Version);
        if unconfirmed {
            self.plan.clear();
        }
        self.next_question(now);
    }

    fn keep_reply(&mut self) {
        if let Some(Asking {
            request,
            reassembly,
            earlier,
            ..
        }) = self.asking.take()
        {
            self.take_reply(request, better(reassembly, earlier));
        }
    }

    fn take_reply(&mut self, request: DatagramRequest, reply: Reassembly) {
        if reply.datagrams() > 0 {
            self.dialogue.amplification.push(Amplification {
                command: request.command().to_owned(),
                request_bytes: request.encode(0).len() as u64,
                reply_bytes: reply.bytes(),
                datagrams: reply.datagrams(),
                complete: reply.is_complete(),
                ipv6: self.options.ipv6,
            });
        }
        if let Some(stated) = reply.stated_total()
            && u32::from(stated) < reply.received_distinct()
        {
            let received = reply.received_distinct();
            self.dialogue
                .anomalies
                .push(Anomaly::TotalTooSmall { stated, received });
        }
        if reply.over_limit() > 0 {
            let count = reply.datagrams();
            self.dialogue
                .anomalies
                .push(Anomaly::DatagramLimit { count });
        }
        let mut decoder = AsciiDecoder::new();
        decoder.feed(&reply.contiguous());
        match request {
            DatagramRequest::Version => match decoder.next_event() {
                Some(AsciiEvent::Version(version)) => self.take_version(version),
                _ => self.dialogue.version = Answer::Silent,
            },
            DatagramRequest::Stats(group) => self.take_table(group, &mut decoder),
        }
    }

    fn take_table(&mut self, group: StatsGroup, decoder: &mut AsciiDecoder) {
        let mut table = StatsTable::new();
        let mut ended = false;
        let mut refused = None;
        while let Some(event) = decoder.next_event() {
            match event {
                AsciiEvent::Stat { name, value } => table.push(name, value),
                AsciiEvent::End => ended = true,
                AsciiEvent::Error => refused = Some("ERROR".to_owned()),
                AsciiEvent::ClientError(text) => refused = Some(format!("CLIENT_ERROR {text}")),
                AsciiEvent::ServerError(text) => refused = Some(format!("SERVER_ERROR {text}")),
                _ => {}
            }
        }
        let (question, slot) = match group {
            StatsGroup::Settings => (Question::StatsSettings, &mut self.dialogue.settings),
            StatsGroup::Items => (Question::StatsItems, &mut self.dialogue.items),
            StatsGroup::General | StatsGroup::Slabs => (Question::Stats, &mut self.dialogue.stats),
        };
        let rows = table.len();
        *slot = match refused {
            Some(text) => Answer::Refused(text),
            None if ended => Answer::Given(table),
            None if rows == 0 => Answer::Silent,
            None => Answer::Truncated(table),
        };
        if rows > 0 {
            self.executed(question);
        }
    }

    fn finish(&mut self, ending: Ending) {
        self.dialogue.ending = ending;
        self.plan.clear();
        self.asking = None;
        self.finished = true;
    }
}

/// Of two replies to the same question, the one that says more.
fn better(later: Reassembly, earlier: Option<Reassembly>) -> Reassembly {
    match earlier {
        Some(earlier)
            if !later.is_complete()
                && (earlier.is_complete()
                    || earlier.contiguous().len() > later.contiguous().len()) =>
        {
            earlier
        }
        _ => later,
    }
}
