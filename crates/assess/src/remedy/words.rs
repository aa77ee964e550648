//! Options of memcached inside a text: which characters they fill, and the smallest cut that
//! narrows them.
//!
//! `-l` adds up (every one is listened on), so exactly one may stay; of the rest of a file nothing
//! is touched, blanks and comments included.

use std::ops::Range;

use super::Change;

/// Short options that take a value, as memcached's own getopt string lists them.
const WITH_VALUE: &str = "apsUmculPfntDRbBIYeoN";

/// One word of a command line, and the bytes it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// What is done to a stretch of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Replace(Range<usize>, String),
    Remove(Range<usize>),
}

impl Cut {
    fn range(&self) -> &Range<usize> {
        match self {
            Cut::Replace(range, _) | Cut::Remove(range) => range,
        }
    }
}

/// An option that decides who gets in.
struct Found {
    letter: char,
    range: Range<usize>,
    /// Other options that share its word, such as the `v` of `-vl`.
    bundled: String,
}

/// Splits a stretch of a text at blanks; quotes around a whole word are taken off.
pub(super) fn tokens(text: &str, within: Range<usize>) -> Vec<Token> {
    let stretch = &text[within.clone()];
    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    let ends = stretch.char_indices().chain([(stretch.len(), ' ')]);
    for (index, character) in ends {
        match (character.is_whitespace(), start) {
            (false, None) => start = Some(index),
            (true, Some(from)) => {
                let word = &stretch[from..index];
                found.push(Token {
                    range: within.start + from..within.start + index,
                    text: word.chars().filter(|c| !matches!(c, '"' | '\'')).collect(),
                });
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The cuts that a change asks for, and the options that have to be added because none of their
/// kind was there. Where another text holds the option that stays, this one only loses its own.
pub(super) fn narrow(tokens: &[Token], change: &Change, adds: bool) -> (Vec<Cut>, Vec<String>) {
    let found = options(tokens);
    let mut cuts = Vec::new();
    let mut additions = Vec::new();
    let wanted = [
        (
            'l',
            change.listen.as_ref().map(|value| format!("-l {value}")),
        ),
        ('U', change.udp_off.then(|| "-U 0".to_owned())),
    ];
    for (letter, option) in wanted {
        let Some(option) = option else { continue };
        let mut is_first = true;
        for one in found.iter().filter(|one| one.letter == letter) {
            let bundled = &one.bundled;
            cuts.push(match (is_first && adds, bundled.is_empty()) {
                (true, true) => Cut::Replace(one.range.clone(), option.clone()),
                (true, false) => Cut::Replace(one.range.clone(), format!("{bundled} {option}")),
                (false, true) => Cut::Remove(one.range.clone()),
                (false, false) => Cut::Replace(one.range.clone(), bundled.clone()),
            });
            is_first = false;
        }
        if is_first && adds {
            additions.push(option);
        }
    }
    if let Some(port) = change.tcp_port.filter(|_| adds)
        && !found.iter().any(|one| one.letter == 'p')
    {
        additions.push(format!("-p {port}"));
    }
    (cuts, additions)
}

/// Whether any of these words is an option of this letter.
pub(super) fn has(tokens: &[Token], letter: char) -> bool {
    options(tokens).iter().any(|one| one.letter == letter)
}

fn options(tokens: &[Token]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        if token.text == "--" {
            break;
        }
        if let Some(long) = token.text.strip_prefix("--") {
            let (name, is_glued) = match long.split_once('=') {
                Some((name, _)) => (name, true),
                None => (long, false),
            };
            let Some(letter) = letter_of_long(name) else {
                continue;
            };
            let end = if is_glued { None } else { tokens.get(index) };
            index += usize::from(end.is_some());
            found.push(Found {
                letter,
                range: token.range.start..end.unwrap_or(token).range.end,
                bundled: String::new(),
            });
        } else if let Some(bundle) = token.text.strip_prefix('-') {
            let Some(at) = bundle.find(|c| WITH_VALUE.contains(c)) else {
                continue;
            };
            let letter = bundle[at..].chars().next().unwrap_or_default();
            let is_glued = at + letter.len_utf8() < bundle.len();
            let end = if is_glued { None } else { tokens.get(index) };
            index += usize::from(end.is_some());
            let before = &bundle[..at];
            let bundled = if before.is_empty() {
                String::new()
            } else {
                format!("-{before}")
            };
            let range = token.range.start..end.unwrap_or(token).range.end;
            found.push(Found {
                letter,
                range,
                bundled,
            });
        }
    }
    found
}

/// Long names may be shortened while they stay unique among memcached's.
fn letter_of_long(name: &str) -> Option<char> {
    let is = |full: &str, shortest: usize| name.len() >= shortest && full.starts_with(name);
    if is("listen", "lis".len()) {
        Some('l')
    } else if is("udp-port", "ud".len()) {
        Some('U')
    } else if is("port", "po".len()) {
        Some('p')
    } else {
        None
    }
}

/// Carries the cuts out. What is removed takes the blanks before it along, or the whole line if
/// nothing else stands on it.
pub(super) fn carry_out(text: &str, mut cuts: Vec<Cut>) -> String {
    cuts.sort_by_key(|cut| cut.range().start);
    let mut result = text.to_owned();
    for cut in cuts.into_iter().rev() {
        match cut {
            Cut::Replace(range, by) => result.replace_range(range, &by),
            Cut::Remove(range) => {
                let range = with_blanks(&result, range);
                result.replace_range(range, "");
            }
        }
    }
    result
}

fn with_blanks(text: &str, range: Range<usize>) -> Range<usize> {
    let is_blank = |c: char| c == ' ' || c == '\t';
    let start = text[..range.start].trim_end_matches(is_blank).len();
    let rest = &text[range.end..];
    let end = text.len() - rest.trim_start_matches(is_blank).len();
    let begins_line = start == 0 || text[..start].ends_with('\n');
    let after = &text[end..];
    let line_end = ["\r\n", "\n"]
        .iter()
        .find(|line_end| after.starts_with(**line_end));
    match (begins_line, line_end) {
        (true, Some(line_end)) => start..end + line_end.len(),
        (true, None) if after.is_empty() && start > 0 => start..end,
        (true, None) => start..end,
        (false, _) if start < range.start => start..range.end,
        (false, _) => range.start..end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lets_strangers_in_is_cut() {
        let both = Change {
            listen: Some("127.0.0.1".to_owned()),
            udp_off: true,
            tcp_port: None,
        };
        let cases = [
            ("", "", "-l 127.0.0.1|-U 0"),
            ("-v", "-v", "-l 127.0.0.1|-U 0"),
            ("-l 0.0.0.0  -v", "-l 127.0.0.1  -v", "-U 0"),
            ("-l0.0.0.0 -U11211 -c 9", "-l 127.0.0.1 -U 0 -c 9", ""),
            ("--listen=0.0.0.0 --udp-port 1", "-l 127.0.0.1 -U 0", ""),
            ("--lis 0.0.0.0 -U 0", "-l 127.0.0.1 -U 0", ""),
            (
                "-l 10.0.0.1 -v -l 0.0.0.0 -m 1",
                "-l 127.0.0.1 -v -m 1",
                "-U 0",
            ),
            ("-vl 0.0.0.0 -vU 9 -k", "-v -l 127.0.0.1 -v -U 0 -k", ""),
            ("-u -l -l 0.0.0.0", "-u -l -l 127.0.0.1", "-U 0"),
            ("-m 64 -- -l x", "-m 64 -- -l x", "-l 127.0.0.1|-U 0"),
            ("-l \"0.0.0.0\"", "-l 127.0.0.1", "-U 0"),
            ("-l", "-l 127.0.0.1", "-U 0"),
        ];
        for (text, expected, added) in cases {
            let (cuts, additions) = narrow(&tokens(text, 0..text.len()), &both, true);
            assert_eq!(carry_out(text, cuts), expected, "{text}");
            assert_eq!(additions.join("|"), added, "{text}");
        }
    }

    #[test]
    fn another_text_holds_the_option_that_stays() {
        let both = Change {
            listen: Some("127.0.0.1".to_owned()),
            udp_off: true,
            tcp_port: Some(9),
        };
        let text = "-v -l 0.0.0.0 -U 9 -m 1";
        let (cuts, additions) = narrow(&tokens(text, 0..text.len()), &both, false);
        assert_eq!(carry_out(text, cuts), "-v -m 1");
        assert!(additions.is_empty());
        let (_, additions) = narrow(&tokens(text, 0..text.len()), &both, true);
        assert_eq!(additions, ["-p 9"]);
    }
}
