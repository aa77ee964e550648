//! From the words that a server said to another tool to evidence.
//!
//! Whether a datagram carried the tool's own request id is known to the tool alone; its word for it
//! is taken, which is why the source stays with what was seen.

use model::{
    Amplification, Anomaly, Answer, Auth, Contact, Dialogue, Ending, Endpoint, Evidence, IcmpError,
    Impression, Protocol, Question, Refusal, StatsTable, Transport,
};

/// More rows than any table of a server has.
const ROWS_MAX: usize = 4096;
/// Characters kept of a line that is not memcached's.
const IMPRESSION_CHARACTERS_MAX: usize = 120;
/// The frame before each datagram of memcached (protocol.txt, "UDP protocol").
pub(super) const FRAME_BYTES: u64 = 8;

/// A port of which a tool says only that it is open: nobody asked what is behind it.
pub(super) fn open() -> Evidence {
    of_contact(Contact::Answered)
}

/// How far a probe came, and nothing more.
pub(super) fn of_contact(contact: Contact) -> Evidence {
    Evidence::without_dialogue(contact, 1, None)
}

/// What `closed` means: a RST, or ICMP port unreachable.
pub(super) fn closed(endpoint: &Endpoint) -> Evidence {
    of_contact(Contact::Refused(match endpoint.transport {
        Transport::Tcp | Transport::Unix => Refusal::Reset,
        Transport::Udp => {
            let is_ipv6 = endpoint.address.ip().is_some_and(|ip| ip.is_ipv6());
            let (kind, code) = if is_ipv6 { (1, 4) } else { (3, 3) };
            Refusal::PortUnreachable(IcmpError {
                from: None,
                kind,
                code,
            })
        }
    }))
}

/// A conversation.
pub(super) fn of_dialogue(dialogue: Dialogue) -> Evidence {
    Evidence {
        dialogue: Some(Box::new(dialogue)),
        ..open()
    }
}

/// A server that answered `stats` with these rows, perhaps among others, and without credentials.
/// Without any row nothing was found out.
pub(super) fn of_statistics(rows: StatsTable, version: Option<String>) -> Dialogue {
    let version = version.or_else(|| rows.text("version").map(str::to_owned));
    if rows.is_empty() {
        return of_version(version);
    }
    Dialogue {
        protocol: Protocol::Ascii,
        executed: vec![Question::Stats],
        version: version.map_or(Answer::NotAsked, Answer::Given),
        auth: Auth::None,
        // What tools keep is a selection.
        stats: Answer::Truncated(rows),
        ..Dialogue::default()
    }
}

/// A server of which only the version is told. The binary VERSION is answered before any
/// authentication, so that it proves no more than that something is there.
pub(super) fn of_version(version: Option<String>) -> Dialogue {
    Dialogue {
        version: version.map_or(Answer::NotAsked, Answer::Given),
        ending: Ending::Stopped,
        ..Dialogue::default()
    }
}

/// Evidence of a reply in memcached's own words, or of another's.
pub(super) fn of_words(words: &str) -> Evidence {
    if words.trim().is_empty() {
        return open();
    }
    let mut reply = Reply::default();
    for line in words.split('\n') {
        reply.line(line);
    }
    of_dialogue(reply.dialogue(words))
}

/// What was understood of a reply so far.
#[derive(Default)]
struct Reply {
    version: Option<String>,
    demands_password: bool,
    /// Rows since the last END.
    rows: StatsTable,
    rows_left_out: bool,
    tables: Vec<(StatsTable, Whole)>,
    has_empty_list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

impl Reply {
    fn line(&mut self, line: &str) {
        // A frame ends with two zero bytes, and may stand before any line: datagrams end anywhere.
        let line = line.rsplit('\0').next().unwrap_or(line);
        let line = line.trim_end();
        if let Some(row) = line.strip_prefix("STAT ") {
            let (name, value) = row.split_once(' ').unwrap_or((row, ""));
            if self.rows.len() < ROWS_MAX {
                self.rows.push(name, value);
            } else {
                self.rows_left_out = true;
            }
        } else if line == "END" {
            self.has_empty_list |= self.rows.is_empty() && self.tables.is_empty();
            self.end_table(Whole::Yes);
        } else if let Some(version) = line.strip_prefix("VERSION ") {
            self.version = Some(version.to_owned());
        } else if line == "CLIENT_ERROR unauthenticated" {
            self.demands_password = true;
        }
    }

    fn end_table(&mut self, whole: Whole) {
        let rows = std::mem::take(&mut self.rows);
        let whole = if std::mem::take(&mut self.rows_left_out) {
            Whole::No
        } else {
            whole
        };
        if !rows.is_empty() && self.tables.len() < 4 {
            self.tables.push((rows, whole));
        }
    }

    fn dialogue(mut self, words: &str) -> Dialogue {
        self.end_table(Whole::No);
        let mut dialogue = Dialogue::default();
        if let Some(version) = self.version {
            dialogue.executed.push(Question::Version);
            dialogue.version = Answer::Given(version);
        }
        for (rows, whole) in self.tables {
            place_table(&mut dialogue, rows, whole);
        }
        if dialogue.executed.is_empty() && self.has_empty_list {
            // Of everything that scanners send, only `stats items` of an empty server is answered so.
            dialogue.executed.push(Question::StatsItems);
            dialogue.items = Answer::Given(StatsTable::new());
        }
        if !dialogue.executed.is_empty() {
            dialogue.protocol = Protocol::Ascii;
            dialogue.auth = Auth::None;
        } else if self.demands_password {
            dialogue.protocol = Protocol::Ascii;
            dialogue.auth = Auth::Ascii;
        } else {
            look(&mut dialogue, words);
        }
        dialogue
    }
}

/// Puts a table where it belongs, which its names tell.
fn place_table(dialogue: &mut Dialogue, rows: StatsTable, whole: Whole) {
    let (question, place) = if rows.iter().any(|(name, _)| name.starts_with("items:")) {
        (Question::StatsItems, &mut dialogue.items)
    } else if rows.text("maxconns").is_some() || rows.text("tcpport").is_some() {
        (Question::StatsSettings, &mut dialogue.settings)
    } else {
        if let (Answer::NotAsked, Some(version)) = (&dialogue.version, rows.text("version")) {
            dialogue.version = Answer::Given(version.to_owned());
        }
        (Question::Stats, &mut dialogue.stats)
    };
    if !dialogue.executed.contains(&question) {
        dialogue.executed.push(question);
        *place = match whole {
            Whole::Yes => Answer::Given(rows),
            Whole::No => Answer::Truncated(rows),
        };
    }
}

/// What it looked like, if it was not memcached's.
fn look(dialogue: &mut Dialogue, words: &str) {
    let line = words.trim_start().lines().next().unwrap_or_default();
    let shown: String = line.chars().take(IMPRESSION_CHARACTERS_MAX).collect();
    let redis = ["-ERR", "-DENIED", "-NOAUTH"];
    dialogue.impression = if line == "ERROR" || line.starts_with("CLIENT_ERROR") {
        // memcached says so too, of what it does not know: nothing was found out.
        dialogue.ending = Ending::Stopped;
        None
    } else if line.starts_with("HTTP/") {
        Some(Impression::Http(shown))
    } else if line.starts_with("SSH-") {
        Some(Impression::Ssh(shown))
    } else if redis.iter().any(|start| line.starts_with(start)) {
        Some(Impression::Redis(shown))
    } else {
        Some(Impression::Text(shown))
    };
}

/// Evidence of one reply datagram, frame and all.
pub(super) fn of_datagram(datagram: &[u8], ipv6: bool) -> Evidence {
    let words = String::from_utf8_lossy(datagram);
    let mut evidence = of_words(&words);
    let Some(dialogue) = &mut evidence.dialogue else {
        return evidence;
    };
    let usual = [
        Question::Stats,
        Question::StatsSettings,
        Question::StatsItems,
        Question::Version,
    ];
    let asked = usual
        .into_iter()
        .find(|one| dialogue.executed.contains(one));
    if let Some(question) = asked {
        let is_whole = words.ends_with("END\r\n") || words.starts_with("VERSION ");
        // The request is not told. That command, with its frame and line end, brings such a reply.
        let request_bytes = FRAME_BYTES + question.as_str().len() as u64 + 2;
        dialogue.amplification.push(Amplification {
            command: question.as_str().to_owned(),
            request_bytes,
            reply_bytes: datagram.len() as u64,
            datagrams: 1,
            complete: is_whole,
            ipv6,
        });
    }
    evidence
}

/// Notes that something was odd, in the tool's words.
pub(super) fn note(evidence: &mut Evidence, words: &str) {
    if let Some(dialogue) = &mut evidence.dialogue {
        dialogue.anomalies.push(Anomaly::Other(words.to_owned()));
    }
}
