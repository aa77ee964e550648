//! Cuts a stream into lines of bounded length, for the decoders of long replies.

use crate::LINE_BYTES_MAX;

/// What a line begins with when it is quoted for people, in characters.
const QUOTED_CHARS_MAX: usize = 256;

/// A line without its line end, which is `\n` or `\r\n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The first [`LINE_BYTES_MAX`] bytes of a longer one, whose rest is dropped. It is said as soon
    /// as it is known, because the end of such a line may never come.
    Overlong(&'a [u8]),
}

/// Holds an unfinished line, at most [`LINE_BYTES_MAX`] of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineReader {
    line: Vec<u8>,
    /// Whether `line` was given out already, and has to make room for the next.
    is_given: bool,
    /// Whether the next bytes are the rest of an overlong line.
    is_dropping: bool,
}

impl LineReader {
    /// Takes bytes up to the end of a line and gives that line; `None` if all bytes were taken and
    /// no line came to its end.
    pub(crate) fn take<'a, 'b: 'a>(&'a mut self, bytes: &mut &'b [u8]) -> Option<Line<'a>> {
        if std::mem::take(&mut self.is_given) {
            self.line.clear();
        }
        if self.is_dropping {
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            *bytes = newline.map_or(&[], |newline| &bytes[newline + 1..]);
            self.is_dropping = newline.is_none();
        }
        let room = LINE_BYTES_MAX - self.line.len();
        // One byte more than there is room for, because a newline takes none.
        let window = &bytes[..bytes.len().min(room + 1)];
        if let Some(newline) = window.iter().position(|byte| *byte == b'\n') {
            let end = &window[..newline];
            *bytes = &bytes[newline + 1..];
            if self.line.is_empty() {
                return Some(Line::Whole(without_return(end)));
            }
            self.line.extend_from_slice(end);
            self.is_given = true;
            return Some(Line::Whole(without_return(&self.line)));
        }
        if window.len() > room {
            self.line.extend_from_slice(&window[..room]);
            *bytes = &bytes[room..];
            (self.is_given, self.is_dropping) = (true, true);
            return Some(Line::Overlong(&self.line));
        }
        self.line.extend_from_slice(window);
        *bytes = &[];
        None
    }

    /// Bytes of a line that is not finished.
    pub(crate) fn pending_bytes(&self) -> usize {
        if self.is_given { 0 } else { self.line.len() }
    }
}

/// The beginning of a line, for people.
pub(crate) fn quoted(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

/// A decimal number without a plus sign, which `parse` alone would take.
pub(crate) fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    if digits.starts_with(b"+") {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of these pieces (overlong ones marked with `~` and their length), and what is pending.
    fn check(pieces: &[&[u8]], expect: &[&str], pending_bytes: usize) {
        let mut reader = LineReader::default();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(line) = reader.take(&mut rest) {
                lines.push(match line {
                    Line::Whole(text) => String::from_utf8_lossy(text).into_owned(),
                    Line::Overlong(text) => format!("~{}", text.len()),
                });
            }
            assert!(rest.is_empty());
        }
        assert_eq!(lines, expect);
        assert_eq!(reader.pending_bytes(), pending_bytes);
    }

    #[test]
    fn lines_end_at_newlines_and_are_bounded() {
        check(&[b""], &[], 0);
        check(&[b"a\r\nb\n\n\r\nc"], &["a", "b", "", ""], 1);
        check(&[b"a", b"b\r", b"\nc\r", b"d\n"], &["ab", "c\rd"], 0);
        check(&[b"a\n", b"b\n"], &["a", "b"], 0);
        let limit = vec![b'x'; LINE_BYTES_MAX];
        check(&[&limit], &[], LINE_BYTES_MAX);
        check(&[&limit, b"\n"], &[&"x".repeat(LINE_BYTES_MAX)], 0);
        check(&[&limit, b"y"], &["~8192"], 0);
        check(&[&limit, b"yz\r\nEND\r\nq"], &["~8192", "END"], 1);
        check(&[&limit, b"y", b"z", b"\n", b"END\n"], &["~8192", "END"], 0);
        check(&[&[b'x'; 3 * LINE_BYTES_MAX], b"\na\n"], &["~8192", "a"], 0);
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(number::<u64>(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number::<i64>(b"-1"), Some(-1));
        for digits in [
            &b""[..],
            b"+1",
            b" 1",
            b"1 ",
            b"x",
            b"\xff",
            b"18446744073709551616",
        ] {
            assert_eq!(number::<u64>(digits), None, "{}", digits.escape_ascii());
        }
    }
}
