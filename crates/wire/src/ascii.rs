//! Reads the text protocol (`doc/protocol.txt`) a piece at a time.
//!
//! The decoder does not know what was asked. It cuts the stream into lines, gives each line the
//! meaning that its first word has, and steps over the data of values without keeping it. So it
//! can read an answer that does not fit the question, and whatever else listens on the port.
//!
//! Everything it does depends on the bytes alone and not on how they were cut, the limits
//! included: a line is overlong at its 8,193rd byte, and a row is one too many by its number.

use std::collections::VecDeque;
use std::fmt;

/// The longest line that is read, in bytes, its `\n` not counted. Real ones stay below 1 KiB.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// Rows of one reply (statistics, values, other lines) that become events; further ones up to the
/// reply's end are counted and dropped. `stats conns` of a busy server is the longest.
pub const REPLY_ROWS_MAX: u64 = 8 * 1024;

/// Characters kept of a line that is not understood.
const OTHER_CHARS_MAX: usize = 256;

/// What a line, or a value block, means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsciiEvent {
    /// `VERSION …`: what stands behind the word, verbatim but for invalid UTF-8.
    Version(String),
    /// `STAT name value`; the value may have spaces and may be empty. Also `STATS name value`, as
    /// nodecached writes it.
    Stat {
        /// The statistic's name, never empty.
        name: String,
        /// Its value, as text.
        value: String,
    },
    /// `END`: the end of statistics or values.
    End,
    /// `VALUE key flags length`, said when this line was read. The data is skipped, and neither it
    /// nor the key is kept.
    Value {
        /// The stated length of the data, which may be any number.
        bytes: u64,
    },
    /// `ERROR`, exactly. With a text behind it (`ERROR Too many open connections`) it is
    /// [`AsciiEvent::Other`].
    Error,
    /// `CLIENT_ERROR …`: the text behind the word.
    ClientError(String),
    /// `SERVER_ERROR …`: the text behind the word.
    ServerError(String),
    /// `MN`: how 1.6.0 and newer answer the meta no-op.
    MetaNoop,
    /// `EN`: how 1.5.19 to 1.5.22 answer it.
    MetaEnd,
    /// Any other line, at most 256 characters of it; also the beginning of an overlong one.
    Other(String),
}

impl AsciiEvent {
    /// Whether this is a row of a longer reply, as opposed to the end of one.
    fn is_row(&self) -> bool {
        matches!(
            self,
            AsciiEvent::Stat { .. } | AsciiEvent::Value { .. } | AsciiEvent::Other(_)
        )
    }
}

impl fmt::Display for AsciiEvent {
    /// The line that was read, without the data of a value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsciiEvent::Version(text) => write!(formatter, "VERSION {text}"),
            AsciiEvent::Stat { name, value } => write!(formatter, "STAT {name} {value}"),
            AsciiEvent::End => formatter.write_str("END"),
            AsciiEvent::Value { .. } => formatter.write_str("VALUE"),
            AsciiEvent::Error => formatter.write_str("ERROR"),
            AsciiEvent::ClientError(text) => write!(formatter, "CLIENT_ERROR {text}"),
            AsciiEvent::ServerError(text) => write!(formatter, "SERVER_ERROR {text}"),
            AsciiEvent::MetaNoop => formatter.write_str("MN"),
            AsciiEvent::MetaEnd => formatter.write_str("EN"),
            AsciiEvent::Other(text) => formatter.write_str(text),
        }
    }
}

/// What was odd about the stream, up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsciiAnomalies {
    /// Lines longer than [`LINE_BYTES_MAX`].
    pub overlong_lines: u64,
    /// Rows beyond [`REPLY_ROWS_MAX`] of their reply, which gave no event.
    pub rows_dropped: u64,
    /// Whether NUL or invalid UTF-8 was seen in a line. The data of values and what was dropped of
    /// overlong lines are not looked at.
    pub not_text: bool,
    /// Bytes of a line that is not finished.
    pub pending_bytes: usize,
    /// Bytes of value data that came and were skipped.
    pub value_bytes_skipped: u64,
    /// Bytes of value data that were stated and have not come yet.
    pub value_bytes_missing: u64,
}

/// Turns bytes into events. Any split of the bytes gives the same events.
///
/// It never fails and never reserves memory for a stated length: it holds at most
/// [`LINE_BYTES_MAX`] of an unfinished line, and the events that were not fetched yet.
#[derive(Clone, Debug, Default)]
pub struct AsciiDecoder {
    place: Place,
    /// The unfinished line, at most `LINE_BYTES_MAX` long; empty outside of `Place::Line`.
    line: Vec<u8>,
    events: VecDeque<AsciiEvent>,
    /// Rows since the last event that ended a reply, dropped ones included.
    reply_rows: u64,
    /// Rows of one reply allowed beyond [`REPLY_ROWS_MAX`].
    rows_beyond: u64,
    overlong_lines: u64,
    rows_dropped: u64,
    not_text: bool,
    value_bytes_skipped: u64,
}

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In a line.
    #[default]
    Line,
    /// In the rest of an overlong line, which is dropped.
    OverlongLine,
    /// In the data of a value, with so many bytes to come; at least 1.
    ValueData(u64),
    /// Behind the data of a value, where `\r\n` should stand.
    ValueEnd,
    /// Behind that `\r`.
    ValueEndNewline,
}

impl AsciiDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> AsciiDecoder {
        AsciiDecoder::default()
    }

    /// A decoder for replies that may honestly be longer: `stats conns` has some four rows for every
    /// client.
    pub fn with_rows_max(rows_max: u64) -> AsciiDecoder {
        AsciiDecoder {
            rows_beyond: rows_max.saturating_sub(REPLY_ROWS_MAX),
            ..AsciiDecoder::default()
        }
    }

    /// Takes the bytes that came next. May be called again before the events are fetched; fetch
    /// them after each call to keep memory small.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            rest = match self.place {
                Place::Line => self.feed_line(rest),
                Place::OverlongLine => self.drop_line(rest),
                Place::ValueData(missing) => self.skip_value(rest, missing),
                Place::ValueEnd if *first == b'\r' => {
                    self.place = Place::ValueEndNewline;
                    &rest[1..]
                }
                Place::ValueEnd | Place::ValueEndNewline => {
                    // If no line end stands here the length was a lie, and a line begins at once.
                    self.place = Place::Line;
                    rest.strip_prefix(b"\n").unwrap_or(rest)
                }
            };
        }
    }

    /// The next event, if one is whole.
    pub fn next_event(&mut self) -> Option<AsciiEvent> {
        self.events.pop_front()
    }

    /// What was odd up to now. The unfinished line is looked at too.
    pub fn anomalies(&self) -> AsciiAnomalies {
        AsciiAnomalies {
            overlong_lines: self.overlong_lines,
            rows_dropped: self.rows_dropped,
            not_text: self.not_text || !is_beginning_of_text(&self.line),
            pending_bytes: self.line.len(),
            value_bytes_skipped: self.value_bytes_skipped,
            value_bytes_missing: match self.place {
                Place::ValueData(missing) => missing,
                _ => 0,
            },
        }
    }

    /// Takes bytes up to the end of the line, or to its limit; gives back what follows.
    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = LINE_BYTES_MAX - self.line.len();
        // One byte more than there is room for, because a newline takes none.
        let window = &bytes[..bytes.len().min(room + 1)];
        if let Some(newline) = window.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&window[..newline]);
            self.finish_line();
            &bytes[newline + 1..]
        } else if window.len() > room {
            self.line.extend_from_slice(&window[..room]);
            self.finish_overlong_line();
            &bytes[room..]
        } else {
            self.line.extend_from_slice(window);
            &[]
        }
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        self.not_text |= text.contains(&0) || std::str::from_utf8(text).is_err();
        let event = event_of_line(text);
        if let AsciiEvent::Value { bytes } = event {
            self.place = if bytes == 0 {
                Place::ValueEnd
            } else {
                Place::ValueData(bytes)
            };
        }
        self.push(event);
        // The buffer goes back, emptied, so that a long reply does not allocate for each line.
        self.line = line;
        self.line.clear();
    }

    fn finish_overlong_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.place = Place::OverlongLine;
        self.overlong_lines += 1;
        self.not_text |= !is_beginning_of_text(&line);
        self.push(other(&line));
    }

    fn drop_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(newline) => {
                self.place = Place::Line;
                &bytes[newline + 1..]
            }
            None => &[],
        }
    }

    fn skip_value<'a>(&mut self, bytes: &'a [u8], missing: u64) -> &'a [u8] {
        // Whatever does not fit usize is more than any slice has.
        let wanted = usize::try_from(missing).unwrap_or(usize::MAX);
        let skipped = bytes.len().min(wanted);
        self.value_bytes_skipped = self.value_bytes_skipped.saturating_add(skipped as u64);
        self.place = match missing - skipped as u64 {
            0 => Place::ValueEnd,
            left => Place::ValueData(left),
        };
        &bytes[skipped..]
    }

    fn push(&mut self, event: AsciiEvent) {
        if !event.is_row() {
            self.reply_rows = 0;
        } else if self.reply_rows == REPLY_ROWS_MAX + self.rows_beyond {
            self.rows_dropped += 1;
            return;
        } else {
            self.reply_rows += 1;
        }
        self.events.push_back(event);
    }
}

/// The meaning of a line without its line end.
fn event_of_line(line: &[u8]) -> AsciiEvent {
    let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    let understood = match (word, rest) {
        (b"STAT" | b"STATS", Some(rest)) => stat(rest),
        (b"VALUE", Some(rest)) => value(rest),
        (b"VERSION", Some(rest)) => Some(AsciiEvent::Version(text(rest))),
        (b"END", None) => Some(AsciiEvent::End),
        (b"ERROR", None) => Some(AsciiEvent::Error),
        (b"CLIENT_ERROR", rest) => Some(AsciiEvent::ClientError(text(rest.unwrap_or_default()))),
        (b"SERVER_ERROR", rest) => Some(AsciiEvent::ServerError(text(rest.unwrap_or_default()))),
        (b"MN", None) => Some(AsciiEvent::MetaNoop),
        (b"EN", None) => Some(AsciiEvent::MetaEnd),
        _ => None,
    };
    understood.unwrap_or_else(|| other(line))
}

/// `name value`; the name must not be empty.
fn stat(rest: &[u8]) -> Option<AsciiEvent> {
    let mut fields = rest.splitn(2, |byte| *byte == b' ');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let value = fields.next().unwrap_or_default();
    Some(AsciiEvent::Stat {
        name: text(name),
        value: text(value),
    })
}

/// `key flags length`, and perhaps a compare-and-swap value. Only the length has to make sense:
/// when in doubt it is better to skip data than to keep it.
fn value(rest: &[u8]) -> Option<AsciiEvent> {
    let fields: Vec<&[u8]> = rest.splitn(5, |byte| *byte == b' ').collect();
    let ([_, _, length] | [_, _, length, _]) = fields[..] else {
        return None;
    };
    // `parse` alone would take a plus sign.
    if !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let bytes = std::str::from_utf8(length).ok()?.parse().ok()?;
    Some(AsciiEvent::Value { bytes })
}

fn other(line: &[u8]) -> AsciiEvent {
    AsciiEvent::Other(text(line).chars().take(OTHER_CHARS_MAX).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether these bytes could go on as text: a character cut off at the end is forgiven.
fn is_beginning_of_text(bytes: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::AsciiEvent::{
        ClientError, End, Error, MetaEnd, MetaNoop, Other, ServerError, Value, Version,
    };
    use super::*;

    fn stat(name: &str, value: &str) -> AsciiEvent {
        AsciiEvent::Stat {
            name: name.into(),
            value: value.into(),
        }
    }

    fn decode(bytes: &[u8]) -> (Vec<AsciiEvent>, AsciiAnomalies) {
        let mut decoder = AsciiDecoder::new();
        decoder.feed(bytes);
        let events = std::iter::from_fn(|| decoder.next_event()).collect();
        (events, decoder.anomalies())
    }

    fn check(bytes: &[u8], expect: &[AsciiEvent]) {
        assert_eq!(decode(bytes).0, expect, "{}", bytes.escape_ascii());
    }

    #[test]
    fn lines_mean_what_their_first_word_says() {
        check(b"VERSION 1.6.45\r\n", &[Version("1.6.45".into())]);
        check(
            b"VERSION yrmcds version 1.1.9\r\n",
            &[Version("yrmcds version 1.1.9".into())],
        );
        check(b"VERSION  x \r\n", &[Version(" x ".into())]);
        check(b"VERSION\r\n", &[Other("VERSION".into())]);
        check(b"STAT pid 7\r\nEND\r\n", &[stat("pid", "7"), End]);
        check(b"STATS pid 7\r\nEND\r\n", &[stat("pid", "7"), End]);
        check(b"STAT libevent a b\r\n", &[stat("libevent", "a b")]);
        check(b"STAT inter \r\n", &[stat("inter", "")]);
        check(b"STAT inter\r\n", &[stat("inter", "")]);
        check(b"STAT a  b\r\n", &[stat("a", " b")]);
        check(b"STAT\r\n", &[Other("STAT".into())]);
        check(b"STAT  7\r\n", &[Other("STAT  7".into())]);
        check(b"ERROR\r\n", &[Error]);
        check(
            b"ERROR Too many open connections\r\n",
            &[Other("ERROR Too many open connections".into())],
        );
        check(
            b"CLIENT_ERROR unauthenticated\r\n",
            &[ClientError("unauthenticated".into())],
        );
        check(b"CLIENT_ERROR\r\n", &[ClientError(String::new())]);
        check(
            b"SERVER_ERROR out of memory\r\n",
            &[ServerError("out of memory".into())],
        );
        check(b"MN\r\nEN\r\n", &[MetaNoop, MetaEnd]);
        check(
            b"MN k\r\nEND x\r\nend\r\n",
            &["MN k", "END x", "end"].map(|s| Other(s.into())),
        );
        check(b"\r\n\n", &[Other(String::new()), Other(String::new())]);
        check(
            b"SSH-2.0-OpenSSH_9.2\r\n",
            &[Other("SSH-2.0-OpenSSH_9.2".into())],
        );
    }

    #[test]
    fn events_are_shown_as_the_lines_they_were() {
        for line in [
            "VERSION 1.6.45",
            "STAT libevent a b",
            "END",
            "ERROR",
            "CLIENT_ERROR unauthenticated",
            "SERVER_ERROR out of memory",
            "MN",
            "EN",
            "SSH-2.0-OpenSSH_9.2",
            "",
        ] {
            let events = decode(format!("{line}\r\n").as_bytes()).0;
            assert_eq!(events[0].to_string(), line);
        }
        // Neither the key nor anything of the data.
        assert_eq!(decode(b"VALUE k 0 1\r\n").0[0].to_string(), "VALUE");
    }

    #[test]
    fn a_line_ends_at_its_newline_and_only_there() {
        check(b"END\n", &[End]);
        check(b"END", &[]);
        check(b"END\r", &[]);
        check(b"END\r\r\n", &[Other("END\r".into())]);
        assert_eq!(decode(b"END\r\nSTAT a").1.pending_bytes, 6);
    }

    #[test]
    fn values_are_stepped_over() {
        check(b"VALUE k 0 3\r\nabc\r\nEND\r\n", &[Value { bytes: 3 }, End]);
        check(
            b"VALUE k 0 3 99\r\nabc\r\nEND\r\n",
            &[Value { bytes: 3 }, End],
        );
        check(b"VALUE k 0 0\r\n\r\nEND\r\n", &[Value { bytes: 0 }, End]);
        check(
            b"VALUE k 0 5\r\nEND\r\n\r\nEND\r\n",
            &[Value { bytes: 5 }, End],
        );
        check(b"VALUE k 0 3\r\nabc\nEND\r\n", &[Value { bytes: 3 }, End]);
        // Data longer than stated: what is left over is a line.
        check(
            b"VALUE k 0 1\r\nabc\r\nEND\r\n",
            &[Value { bytes: 1 }, Other("bc".into()), End],
        );
        check(b"VALUE k 0 1\r\na\rEND\r\n", &[Value { bytes: 1 }, End]);
        let (events, anomalies) = decode(b"VALUE k 0 10\r\n\0\xff\0\xff");
        assert_eq!(events, [Value { bytes: 10 }]);
        assert_eq!(
            (anomalies.value_bytes_skipped, anomalies.value_bytes_missing),
            (4, 6)
        );
        assert!(!anomalies.not_text, "the data of values may be anything");
    }

    #[test]
    fn absurd_lengths_cost_nothing() {
        let (events, anomalies) = decode(b"VALUE k 0 18446744073709551615\r\nabc\r\nEND\r\n");
        assert_eq!(events, [Value { bytes: u64::MAX }]);
        assert_eq!(anomalies.value_bytes_skipped, 10);
        assert_eq!(anomalies.value_bytes_missing, u64::MAX - 10);
        for header in [
            "VALUE k 0 18446744073709551616",
            "VALUE k 0 x",
            "VALUE k 0 -1",
            "VALUE k 0 +1",
            "VALUE k 0 ",
            "VALUE k 0",
            "VALUE k",
            "VALUE",
            "VALUE k 0 1 2 3",
        ] {
            check(
                format!("{header}\r\nEND\r\n").as_bytes(),
                &[Other(header.into()), End],
            );
        }
    }

    #[test]
    fn overlong_lines_are_counted_and_dropped() {
        let fits = vec![b'a'; LINE_BYTES_MAX];
        let (events, anomalies) = decode(&[&fits[..], b"\nEND\n"].concat());
        assert_eq!(events, [Other("a".repeat(256)), End]);
        assert_eq!(anomalies.overlong_lines, 0);

        let (events, anomalies) = decode(&[&fits[..], b"\r\nEND\n"].concat());
        assert_eq!(events, [Other("a".repeat(256)), End]);
        assert_eq!(anomalies.overlong_lines, 1);

        let mut stat = b"STAT name ".to_vec();
        stat.resize(100_000, b'b');
        let (events, anomalies) = decode(&[&stat[..], b"\r\nEND\r\n"].concat());
        assert_eq!(
            events,
            [Other(format!("STAT name {}", "b".repeat(246))), End]
        );
        assert_eq!((anomalies.overlong_lines, anomalies.pending_bytes), (1, 0));
        // It is said as soon as it is known, because the end of such a line may never come.
        assert_eq!(decode(&stat).0.len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_noticed() {
        let cases: [(&[u8], bool); 8] = [
            (b"STAT a \xe3\x81\x82\r\n", false),
            (b"STAT a \xff\r\n", true),
            (b"STAT a \0\r\n", true),
            (b"STAT a \xe3\x81", false),
            (b"STAT a \xe3\x81\r\n", true),
            (b"\x81\x0b\0\0", true),
            (b"\xff", true),
            (b"", false),
        ];
        for (bytes, not_text) in cases {
            assert_eq!(
                decode(bytes).1.not_text,
                not_text,
                "{}",
                bytes.escape_ascii()
            );
        }
        // A character cut by the limit is no fault of the peer's.
        let wide = "あ".repeat(LINE_BYTES_MAX);
        assert!(!decode(wide.as_bytes()).1.not_text);
        check(b"STAT a \xff\r\n", &[stat("a", "\u{fffd}")]);
        assert_eq!(
            decode(format!("{wide}\n").as_bytes()).0,
            [Other("あ".repeat(256))]
        );
    }

    #[test]
    fn rows_of_one_reply_are_bounded() {
        let rows_max = REPLY_ROWS_MAX as usize;
        let reply = [&b"STAT a 1\r\n".repeat(rows_max + 3)[..], b"END\r\n"].concat();
        let (events, anomalies) = decode(&reply);
        assert_eq!(events.len(), rows_max + 1);
        assert_eq!(events.last(), Some(&End));
        assert_eq!(anomalies.rows_dropped, 3);
        // The next reply has its own rows.
        let (events, _) = decode(&[&reply[..], b"STAT b 2\r\nEND\r\n"].concat());
        assert_eq!(events[rows_max + 1..], [stat("b", "2"), End]);
    }
}
