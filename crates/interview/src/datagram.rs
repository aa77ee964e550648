//! The dialogue over UDP, begun by an answer to the sweep's `version` datagram.
//!
//! One command a datagram, one datagram under way at a time, each with a fresh request id that the
//! peer cannot guess: what carries another id is counted and never believed. A reply may be
//! incomplete for ever (UDP), so a request is repeated once with a new id, and the better of the
//! two replies counts. Everything that comes back for an id is counted for the amplification,
//! duplicates and what lies beyond the reading limit included.
//!
//! The answer that began it could, once in many thousand times, be a forgery that guessed the id, or
//! the late answer of another host. So it counts only if anything is answered in the dialogue itself,
//! which has fresh ids and a socket of its own; if nothing else is, `version` is asked again. An
//! answer that came from another address than was asked is confirmed before anything else.

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

/// One send of a request, and what came for it.
struct Sent {
    request_id: u16,
    reply: Reassembly,
}

struct Asking {
    request: DatagramRequest,
    sends: u32,
    latest: Sent,
    /// The send before: on a slow path its reply comes after the request was repeated.
    earlier: Option<Sent>,
    until: Duration,
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
    /// Ids of sends that are over, with the place of their measurement if they have one: what still
    /// comes for them is ours.
    past: Vec<(u16, Option<usize>)>,
    /// Whether the dialogue itself has been answered.
    confirmed: bool,
    version_asked: bool,
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
            past: Vec::new(),
            confirmed: false,
            version_asked: false,
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

    /// Whether nobody stands by the answer that it began with: whatever the endpoint was asked then,
    /// nothing came. So the answer was none, and the endpoint has been silent.
    pub fn is_unconfirmed(&self) -> bool {
        self.finished
            && !self.confirmed
            && self.dialogue.impression.is_none()
            && self.dialogue.ending == Ending::Complete
            && self.options.depth != Depth::Sample
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
        let mut accepted = asking.latest.reply.handle_datagram(datagram);
        if accepted == Accepted::WrongRequestId
            && let Some(earlier) = asking.earlier.as_mut()
        {
            accepted = earlier.reply.handle_datagram(datagram);
        }
        match accepted {
            Accepted::New => {
                asking.until = now + IDLE_MAX.min(self.options.reply_wait);
                if asking.is_answered() {
                    self.settle(now);
                }
            }
            // A duplicate is counted for the amplification and prolongs nothing.
            Accepted::Duplicate => self.duplicates += 1,
            Accepted::WrongRequestId if self.count_belated(datagram) => {}
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
            None if self.confirmed || self.version_asked || self.options.depth == Depth::Sample => {
                self.finish(Ending::Complete);
            }
            None => self.send(DatagramRequest::Version, 1, None, now),
        }
    }

    fn send(&mut self, request: DatagramRequest, sends: u32, earlier: Option<Sent>, now: Duration) {
        let request_id = self.draws.next_u16();
        self.version_asked |= matches!(request, DatagramRequest::Version);
        self.outputs
            .push_back(DatagramOutput::Send(request.encode(request_id)));
        self.asking = Some(Asking {
            request,
            sends,
            latest: Sent {
                request_id,
                reply: Reassembly::new(request_id),
            },
            earlier,
            until: now + self.options.reply_wait,
        });
    }

    /// The reply under way is complete, or nothing more of it comes.
    fn settle(&mut self, now: Duration) {
        let Some(asking) = self.asking.take() else {
            return;
        };
        let answered = asking.is_answered();
        let Asking {
            request,
            sends,
            latest,
            earlier,
            ..
        } = asking;
        if !answered && sends < SENDS_MAX && latest.reply.over_limit() == 0 {
            let kept = self.keep_better(latest, earlier);
            self.send(request, sends + 1, Some(kept), now);
            return;
        }
        let kept = self.keep_better(latest, earlier);
        self.take_reply(request, kept);
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
            latest,
            earlier,
            ..
        }) = self.asking.take()
        {
            let kept = self.keep_better(latest, earlier);
            self.take_reply(request, kept);
        }
    }

    /// Of two sends of the same question, the one whose reply says more.
    fn keep_better(&mut self, latest: Sent, earlier: Option<Sent>) -> Sent {
        let Some(earlier) = earlier else {
            return latest;
        };
        let earlier_is_better = !latest.reply.is_complete()
            && (earlier.reply.is_complete()
                || earlier.reply.contiguous().len() > latest.reply.contiguous().len());
        let (kept, other) = if earlier_is_better {
            (earlier, latest)
        } else {
            (latest, earlier)
        };
        self.past.push((other.request_id, None));
        kept
    }

    /// Whether a datagram belongs to a send that is over; if its reply was measured, it is counted.
    fn count_belated(&mut self, datagram: &[u8]) -> bool {
        let Some((frame, _)) = Frame::parse(datagram) else {
            return false;
        };
        let Some((_, place)) = self.past.iter().find(|(id, _)| *id == frame.request_id) else {
            return false;
        };
        if let Some(measured) = place.and_then(|place| self.dialogue.amplification.get_mut(place)) {
            measured.datagrams += 1;
            measured.reply_bytes += datagram.len() as u64;
            // What comes after the end of a reply that is whole can only repeat it.
            self.duplicates += u64::from(measured.complete);
        }
        true
    }

    fn take_reply(&mut self, request: DatagramRequest, sent: Sent) {
        let Sent { request_id, reply } = sent;
        self.confirmed |= reply.datagrams() > 0;
        let place = (reply.datagrams() > 0).then_some(self.dialogue.amplification.len());
        self.past.push((request_id, place));
        if place.is_some() {
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
                _ if self.dialogue.version.was_asked() => {}
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

impl Asking {
    /// Whether one of the sends has its whole reply.
    fn is_answered(&self) -> bool {
        let earlier = self.earlier.as_ref();
        self.latest.reply.is_complete() || earlier.is_some_and(|sent| sent.reply.is_complete())
    }
}
