//! A server that answers as a recorded one did.

use std::collections::BTreeMap;

use super::binary::{self, Parsed};
use super::{Act, DatagramAct, Personality, StreamId, frame, take_line};

/// A server of the binary protocol gives up after a header's length of something else.
const SILENT_BYTES_MAX: usize = binary::HEADER_BYTES;

/// One recorded exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The name of the request. `empty-…` and `full-…` are only used where nothing else is
    /// recorded; drop the others from the list to prefer them.
    pub case: String,
    /// The request; over UDP the whole datagram.
    pub sent: Option<Vec<u8>>,
    /// The reply on a stream.
    pub received: Option<Vec<u8>>,
    /// The reply over UDP. An exchange is one of UDP exactly if this is given.
    pub datagrams: Option<Vec<Vec<u8>>>,
}

/// What recordings do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Closes the connection after each reply.
    pub closes_after_reply: bool,
    /// Where nothing was received, the connection was closed (and not left open).
    pub closes_instead_of_silence: bool,
}

impl Habits {
    /// The habits of a server by the name of its recording.
    pub fn of(name: &str) -> Habits {
        Habits {
            closes_after_reply: name == "other-honeypots",
            closes_instead_of_silence: matches!(name, "auth-1.6.45-Y" | "other-memcached-njs"),
        }
    }
}

/// A server that answers by its recording.
#[derive(Debug)]
pub struct Replay {
    /// Replies to command lines; several where the server answers each ask differently.
    lines: BTreeMap<String, Vec<Vec<u8>>>,
    /// Replies to binary requests, by opcode.
    binary: BTreeMap<u8, Vec<u8>>,
    /// Replies to command lines over UDP.
    datagram_lines: BTreeMap<String, Vec<Vec<u8>>>,
    datagram_binary: BTreeMap<u8, Vec<Vec<u8>>>,
    /// The reply to what is not recorded; empty: silence.
    unknown: Vec<u8>,
    segments: Segments,
    habits: Habits,
    /// Whether all sub-commands of `stats` get the same kind of reply.
    is_volatile: bool,
    /// How often each line was asked.
    asked: BTreeMap<String, usize>,
    buffers: BTreeMap<StreamId, Vec<u8>>,
}

/// What a server does with a segment that is not exactly one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segments {
    /// Commands are lines, wherever the segments end.
    AreNotSeen,
    /// A segment is a command; of several lines, the last.
    LastLine,
    /// A segment is a command; several lines are an unknown one.
    OneCommand,
}

impl Replay {
    /// A server with these recordings. Those of `tcp` and of `tls` are alike here.
    pub fn new(recordings: Vec<Recorded>, habits: Habits) -> Replay {
        let mut recordings = recordings;
        // Stable: within each kind the order of the recording is kept, and the first one counts.
        recordings
            .sort_by_key(|one| one.case.starts_with("empty-") || one.case.starts_with("full-"));
        let reply_to = |case: &str| {
            let is_it = |one: &&Recorded| one.case == case && one.datagrams.is_none();
            recordings
                .iter()
                .find(is_it)
                .and_then(|one| one.received.clone())
        };
        let version = reply_to("version").unwrap_or_default();
        let miss = reply_to("get-miss").unwrap_or_default();
        let segments = match reply_to("two-cmds") {
            Some(two) if two == [&version[..], &miss[..]].concat() => Segments::AreNotSeen,
            Some(two) if two == miss => Segments::LastLine,
            Some(_) => Segments::OneCommand,
            None => Segments::AreNotSeen,
        };
        let mut replay = Replay {
            lines: BTreeMap::new(),
            binary: BTreeMap::new(),
            datagram_lines: BTreeMap::new(),
            datagram_binary: BTreeMap::new(),
            unknown: reply_to("unknown").unwrap_or_default(),
            segments,
            habits,
            is_volatile: false,
            asked: BTreeMap::new(),
            buffers: BTreeMap::new(),
        };
        recordings.into_iter().for_each(|one| replay.learn(one));
        replay.learn_volatility();
        replay
    }

    fn learn(&mut self, one: Recorded) {
        let Some(sent) = one.sent else { return };
        if let Some(datagrams) = one.datagrams {
            let request = sent.get(frame::FRAME_BYTES..).unwrap_or_default();
            match request {
                [binary::REQUEST_MAGIC, opcode, ..] => {
                    self.datagram_binary.entry(*opcode).or_insert(datagrams);
                }
                _ => {
                    self.datagram_lines
                        .entry(key_of(request))
                        .or_insert(datagrams);
                }
            }
            return;
        }
        let reply = one.received.unwrap_or_default();
        match &sent[..] {
            [binary::REQUEST_MAGIC, opcode, ..] => {
                self.binary.entry(*opcode).or_insert(reply);
            }
            _ if one.case == "two-cmds" => {}
            request => {
                self.lines
                    .entry(key_of(request))
                    .or_insert_with(|| vec![reply]);
            }
        }
    }

    /// Some impostors give the same kind of reply to every sub-command of `stats`, with other
    /// numbers each time. Then what was recorded of one stands in for the next ask of another.
    fn learn_volatility(&mut self) {
        let is_stats = |line: &&String| line.starts_with("stats");
        let names: Vec<String> = self.lines.keys().filter(is_stats).cloned().collect();
        let replies: Vec<Vec<u8>> = names
            .iter()
            .map(|name| self.lines[name][0].clone())
            .collect();
        let Some(first) = replies.first() else { return };
        let first_name = |reply: &[u8]| first_row_name(reply).map(<[u8]>::to_vec);
        let kind = first_name(first);
        if kind.is_none() || replies.iter().any(|reply| first_name(reply) != kind) {
            return;
        }
        self.is_volatile = true;
        for (index, name) in names.into_iter().enumerate() {
            let mut in_turn = replies.clone();
            in_turn.rotate_left(index);
            self.lines.insert(name, in_turn);
        }
    }

    fn answer_line(&mut self, line: &str) -> Vec<Act> {
        let key = key_of(line.as_bytes());
        let fewer_names = self.fewer_names(line);
        let count = self.asked.entry(key.clone()).or_insert(0);
        let reply = match self.lines.get(&key) {
            Some(replies) => {
                let reply = &replies[*count % replies.len()];
                if key == "get" {
                    with_asked_key(reply, line)
                } else {
                    reply.clone()
                }
            }
            // Who has one reply to all sub-commands has it for those that were not recorded, too.
            None if self.is_volatile && key.starts_with("stats ") => self
                .lines
                .get("stats")
                .map_or_else(Vec::new, |all| all[*count % all.len()].clone()),
            None => fewer_names.unwrap_or_else(|| self.unknown.clone()),
        };
        *count += 1;
        self.acts(reply)
    }

    /// `stats cachedump CLASS 0`, which means all, was recorded: a count brings the first of them.
    fn fewer_names(&self, line: &str) -> Option<Vec<u8>> {
        let (class, count) = line
            .trim_end()
            .strip_prefix("stats cachedump ")?
            .split_once(' ')?;
        let recorded = self.lines.get(&format!("stats cachedump {class} 0"));
        let Some(all) = recorded else {
            // Who lists one class lists none of the others, as far as is known.
            let lists = |line: &String| line.starts_with("stats cachedump ");
            return self.lines.keys().any(lists).then(|| b"END\r\n".to_vec());
        };
        let rows: Vec<&[u8]> = all[0].split_inclusive(|byte| *byte == b'\n').collect();
        let (end, names) = rows.split_last()?;
        let mut fewer = names[..names.len().min(count.parse().ok()?)].concat();
        fewer.extend_from_slice(end);
        Some(fewer)
    }

    fn answer_binary(&self, request: &binary::Request) -> Vec<Act> {
        let recorded = self.binary.get(&request.opcode);
        let reply = match recorded {
            // Sub-commands of STAT were never recorded in binary: none is known.
            Some(_) if request.opcode == binary::STAT && !request.key.is_empty() => {
                request.reply(binary::STATUS_NOT_FOUND, b"", b"Not found")
            }
            Some(reply) => with_opaque(reply, request.opaque),
            None => request.reply_unknown(),
        };
        let is_auth_failure = reply.get(6..8) == Some(&binary::STATUS_AUTH_FAILURE.to_be_bytes());
        let mut acts = self.acts(reply);
        if is_auth_failure {
            acts.push(Act::Close);
        }
        acts
    }

    fn acts(&self, reply: Vec<u8>) -> Vec<Act> {
        match (reply.is_empty(), self.habits) {
            (
                true,
                Habits {
                    closes_instead_of_silence: true,
                    ..
                },
            ) => vec![Act::Close],
            (true, _) => Vec::new(),
            (
                false,
                Habits {
                    closes_after_reply: true,
                    ..
                },
            ) => vec![Act::Send(reply), Act::Close],
            (false, _) => vec![Act::Send(reply)],
        }
    }

    /// Speaks only binary: silent to ASCII, until more has come than a header would take.
    fn is_binary_only(&self) -> bool {
        let is_silent = |line: &str| self.lines.get(line).is_some_and(|all| all[0].is_empty());
        let speaks = |opcode: u8| {
            self.binary
                .get(&opcode)
                .is_some_and(|reply| reply.first() == Some(&0x81))
        };
        is_silent("version") && speaks(binary::VERSION)
    }

    fn whole_segment(&mut self, bytes: &[u8]) -> Vec<Act> {
        if bytes.first() == Some(&binary::REQUEST_MAGIC) {
            let unknown = self.unknown.clone();
            return self.acts(unknown);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        match (&lines[..], text.ends_with('\n'), self.segments) {
            ([line], true, _) => self.answer_line(line),
            ([.., last], true, Segments::LastLine) => self.answer_line(last),
            _ => self.acts(self.unknown.clone()),
        }
    }

    fn lines_and_requests(&mut self, buffer: &mut Vec<u8>) -> Vec<Act> {
        let mut acts = Vec::new();
        if buffer.first() != Some(&binary::REQUEST_MAGIC) && self.is_binary_only() {
            if buffer.len() >= SILENT_BYTES_MAX {
                acts.push(Act::Close);
            }
            return acts;
        }
        loop {
            if buffer.first() == Some(&binary::REQUEST_MAGIC) {
                match binary::parse(buffer) {
                    Parsed::Request(request, taken) => {
                        buffer.drain(..taken);
                        acts.extend(self.answer_binary(&request));
                    }
                    Parsed::NeedMore => return acts,
                    Parsed::Invalid => {
                        acts.push(Act::Close);
                        return acts;
                    }
                }
            } else if let Some(line) = take_line(buffer) {
                acts.extend(self.answer_line(&String::from_utf8_lossy(&line)));
            } else {
                return acts;
            }
            if acts.last() == Some(&Act::Close) {
                return acts;
            }
        }
    }
}

impl Personality for Replay {
    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], _: u64) -> Vec<Act> {
        if self.segments != Segments::AreNotSeen {
            return self.whole_segment(bytes);
        }
        let mut buffer = self.buffers.remove(&stream).unwrap_or_default();
        buffer.extend_from_slice(bytes);
        let acts = self.lines_and_requests(&mut buffer);
        self.buffers.insert(stream, buffer);
        acts
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.buffers.remove(&stream);
    }

    fn datagram(&mut self, datagram: &[u8], _: u64) -> Vec<DatagramAct> {
        let speaks_udp = self
            .datagram_lines
            .values()
            .any(|datagrams| !datagrams.is_empty());
        let Some((frame, request)) = frame::parse(datagram) else {
            return Vec::new();
        };
        if !speaks_udp || frame.total != 1 {
            return Vec::new();
        }
        let id = frame.request_id;
        if let [binary::REQUEST_MAGIC, opcode, ..] = request {
            let recorded = self
                .datagram_binary
                .get(opcode)
                .cloned()
                .unwrap_or_default();
            let opaque = request.get(12..16).and_then(|bytes| bytes.try_into().ok());
            let with_ours = |datagram: Vec<u8>| {
                let (head, reply) = datagram.split_at(frame::FRAME_BYTES.min(datagram.len()));
                [head, &with_opaque(reply, opaque.unwrap_or_default())].concat()
            };
            return with_id(id, recorded.into_iter().map(with_ours).collect());
        }
        let mut acts = Vec::new();
        let mut lines = request.to_vec();
        while let Some(line) = take_line(&mut lines) {
            let key = key_of(&line);
            match self.datagram_lines.get(&key) {
                Some(datagrams) => acts.extend(with_id(id, datagrams.clone())),
                // Every memcached says so over UDP; a miss is never recorded there.
                None if key == "get" => acts.extend(frame::split(id, b"END\r\n", false)),
                None => acts.extend(frame::split(id, b"ERROR\r\n", false)),
            }
        }
        acts
    }
}

/// A command line as it is looked up: without its line end, and a `get` without its key.
fn key_of(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).trim_end().to_owned();
    if text.starts_with("get ") {
        "get".into()
    } else {
        text
    }
}

/// The name of the first row of a `stats` reply, if it is one: its second word.
fn first_row_name(reply: &[u8]) -> Option<&[u8]> {
    let mut words = reply.split(|byte| *byte == b' ');
    words.next().filter(|word| word.starts_with(b"STAT"))?;
    words.next()
}

/// A recorded hit, for the key that was asked for.
fn with_asked_key(reply: &[u8], line: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(reply);
    let asked = line.split_ascii_whitespace().nth(1).unwrap_or_default();
    match text
        .strip_prefix("VALUE ")
        .and_then(|rest| rest.split_once(' '))
    {
        Some((_, rest)) => format!("VALUE {asked} {rest}").into_bytes(),
        None => reply.to_vec(),
    }
}

/// A recorded series of binary replies with the opaque field of this request. A reply that is no
/// binary packet stays as it is.
fn with_opaque(replies: &[u8], opaque: [u8; 4]) -> Vec<u8> {
    let mut all = replies.to_vec();
    let mut start = 0;
    while let Some(header) = all.get_mut(start..start + binary::HEADER_BYTES) {
        if header[0] != 0x81 {
            break;
        }
        header[12..16].copy_from_slice(&opaque);
        let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        start += binary::HEADER_BYTES + body as usize;
    }
    all
}

fn with_id(id: [u8; 2], datagrams: Vec<Vec<u8>>) -> Vec<DatagramAct> {
    let stamped = datagrams.into_iter().map(|mut datagram| {
        if let Some(recorded) = datagram.get_mut(..2) {
            recorded.copy_from_slice(&id);
        }
        DatagramAct::now(datagram)
    });
    stamped.collect()
}

#[cfg(test)]
mod tests {
    use testkit::transcripts::{self, Transcript};

    use super::*;
    use crate::behaviour::sent;

    fn replay(transcript: &Transcript) -> Replay {
        let recordings = transcript.exchanges.iter().map(|exchange| Recorded {
            case: exchange.case.clone(),
            sent: exchange.sent.clone(),
            received: exchange.received.clone(),
            datagrams: exchange.datagrams.clone(),
        });
        Replay::new(recordings.collect(), Habits::of(&transcript.name))
    }

    #[test]
    fn every_recorded_request_brings_its_recorded_reply() {
        for transcript in transcripts::all() {
            for exchange in &transcript.exchanges {
                let Some(request) = &exchange.sent else {
                    continue;
                };
                let name = format!(
                    "{} {} {}",
                    transcript.name, exchange.transport, exchange.case
                );
                let mut server = replay(&transcript);
                if let Some(datagrams) = &exchange.datagrams {
                    let is_first_choice =
                        !exchange.case.contains("empty-") && !exchange.case.contains("full-");
                    if is_first_choice {
                        let mut ours = request.clone();
                        ours[..2].copy_from_slice(&[0xab, 0xcd]);
                        let acts = server.datagram(&ours, 0);
                        assert_eq!(acts.len(), datagrams.len(), "{name}");
                        for (act, datagram) in acts.iter().zip(datagrams) {
                            assert_eq!(act.bytes[..2], [0xab, 0xcd], "{name}");
                            assert_eq!(act.bytes[2..], datagram[2..], "{name}");
                        }
                    }
                    continue;
                }
                server.stream_opened(1, 0);
                let acts = server.stream_bytes(1, request, 0);
                let reply = String::from_utf8_lossy(&sent(&acts)).into_owned();
                // Keys are those that were asked for here.
                let recorded = String::from_utf8_lossy(exchange.received.as_ref().unwrap());
                assert_eq!(reply, recorded, "{name}");
            }
        }
    }

    #[test]
    fn segments_are_treated_as_recorded() {
        let cases = [
            ("1.6.45", "VERSION 1.6.45\r\nEND\r\n"),
            ("other-yrmcds", "VERSION yrmcds version 1.1.9\r\nEND\r\n"),
            ("other-nodecached", "END\r\n"),
            ("other-honeypots", "ERROR\r\n"),
        ];
        for (name, expected) in cases {
            let mut server = replay(&transcripts::by_name(name));
            let acts = server.stream_bytes(1, b"version\r\nget some-random-key\r\n", 0);
            assert_eq!(String::from_utf8(sent(&acts)).unwrap(), expected, "{name}");
        }
        let mut whole = replay(&transcripts::by_name("1.6.45"));
        assert_eq!(whole.stream_bytes(1, b"ver", 0), []);
        assert_eq!(
            sent(&whole.stream_bytes(1, b"sion\r\n", 0)),
            b"VERSION 1.6.45\r\n"
        );
    }

    #[test]
    fn honeypots_change_from_ask_to_ask_and_hit_any_key() {
        let mut server = replay(&transcripts::by_name("other-honeypots"));
        let first = sent(&server.stream_bytes(1, b"stats\r\n", 0));
        let second = sent(&server.stream_bytes(2, b"stats\r\n", 0));
        assert_eq!(
            first,
            transcripts::by_name("other-honeypots").received("stats")
        );
        assert_ne!(first, second);
        let never_recorded = sent(&server.stream_bytes(2, b"stats whatever\r\n", 0));
        assert!(never_recorded.starts_with(b"STAT pid "));
        let acts = server.stream_bytes(3, b"get abcdef\r\n", 0);
        assert!(sent(&acts).starts_with(b"VALUE abcdef 0 8\r\n"));
        assert_eq!(acts.last(), Some(&Act::Close));
    }

    #[test]
    fn genuine_servers_do_not_change() {
        let transcript = transcripts::by_name("1.4.15");
        let mut server = replay(&transcript);
        for stream in 0..3 {
            let reply = sent(&server.stream_bytes(stream, b"stats\r\n", 0));
            assert_eq!(reply, transcript.received("stats"));
        }
    }

    #[test]
    fn requests_that_were_not_recorded_are_unknown() {
        let cases: [(&str, &[u8], &[u8]); 3] = [
            ("1.6.45", b"what?\r\n", b"ERROR\r\n"),
            (
                "auth-1.6.45-Y",
                b"what?\r\n",
                b"CLIENT_ERROR unauthenticated\r\n",
            ),
            ("auth-1.6.45-S", b"what?\r\n", b""),
        ];
        for (name, request, reply) in cases {
            let mut server = replay(&transcripts::by_name(name));
            assert_eq!(sent(&server.stream_bytes(1, request, 0)), reply, "{name}");
        }
        let mut sasl = replay(&transcripts::by_name("auth-1.6.45-S"));
        let noop = [&[0x80, 0x0a][..], &[0; 10], &[9, 8, 7, 6], &[0; 8]].concat();
        let acts = sasl.stream_bytes(1, &noop, 0);
        assert_eq!(sent(&acts)[12..16], [9, 8, 7, 6]);
        assert_eq!(acts.last(), Some(&Act::Close));
        assert_eq!(
            sasl.stream_bytes(2, b"version\r\nversion\r\nversion\r\n", 0),
            [Act::Close]
        );
    }
}
