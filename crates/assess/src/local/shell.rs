//! Words and assignments as a shell reads them, without ever running one.
//!
//! Files such as `/etc/sysconfig/memcached` and `/etc/rc.conf` are read by a shell or by systemd,
//! which agree on the part that matters: `NAME=value`, quotes, escapes, comments, and lines that
//! go on behind a backslash. Expansions are not carried out; a value that has some keeps them as
//! text, and that is said.

use super::place::{Place, Setting};

/// Longer values are cut; no memcached has such options.
const VALUE_CHARACTERS_MAX: usize = 64 * 1024;
/// More assignments than this are not read.
const ASSIGNMENTS_MAX: usize = 10_000;

/// A character and the line it stands on.
pub(super) type Placed = (char, u32);

/// The characters of a text with their lines, counted from `first`.
pub(super) fn placed(text: &str, first: u32) -> Vec<Placed> {
    let mut line = first;
    let mut characters = Vec::with_capacity(text.len());
    for character in text.chars() {
        characters.push((character, line));
        if character == '\n' {
            line = line.saturating_add(1);
        }
    }
    characters
}

/// A word with the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShellWord {
    pub(super) text: String,
    pub(super) line: u32,
    /// Whether any of it was quoted: such a word is not split any further.
    pub(super) is_quoted: bool,
}

/// How a backslash is read outside single quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As a shell: it protects the next character, inside double quotes only `$ ` " \`.
    Shell,
    /// As systemd.syntax(7): C escapes, inside both kinds of quotes too.
    Systemd,
}

/// Splits at blanks, with quotes and escapes taken off. A shell's comment ends the line it is on.
/// A quote that is never closed reaches to the end.
pub(super) fn words(characters: &[Placed], dialect: Dialect) -> Vec<ShellWord> {
    let mut found: Vec<ShellWord> = Vec::new();
    let mut word: Option<ShellWord> = None;
    let mut quote: Option<char> = None;
    let mut index = 0;
    while let Some(&(character, line)) = characters.get(index) {
        index += 1;
        if quote.is_none() && character.is_whitespace() {
            found.extend(word.take());
            continue;
        }
        if dialect == Dialect::Shell && quote.is_none() && word.is_none() && character == '#' {
            while characters.get(index).is_some_and(|(next, _)| *next != '\n') {
                index += 1;
            }
            continue;
        }
        let next = characters.get(index).map(|(next, _)| *next);
        if character == '\\' && next == Some('\n') {
            index += 1;
            continue;
        }
        let current = word.get_or_insert_with(|| ShellWord {
            text: String::new(),
            line,
            is_quoted: false,
        });
        match (character, quote) {
            ('\'' | '"', None) => {
                quote = Some(character);
                current.is_quoted = true;
            }
            (closing, Some(open)) if closing == open => quote = None,
            ('\\', _) if escapes(quote, next, dialect) => {
                index += 1;
                push(current, next);
            }
            _ => push(current, Some(character)),
        }
    }
    found.extend(word);
    found
}

fn push(word: &mut ShellWord, character: Option<char>) {
    if let Some(character) = character
        && word.text.len() < VALUE_CHARACTERS_MAX
    {
        word.text.push(character);
    }
}

fn escapes(quote: Option<char>, next: Option<char>, dialect: Dialect) -> bool {
    let Some(next) = next else { return false };
    match (quote, dialect) {
        (None, _) | (Some(_), Dialect::Systemd) => true,
        (Some('"'), Dialect::Shell) => matches!(next, '$' | '`' | '"' | '\\'),
        (Some(_), Dialect::Shell) => false,
    }
}

/// The words of a value that a variable holds: split at blanks, quotes are characters like any.
pub(super) fn split_value(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

/// Every `NAME=value` of a file, and what in it could not be understood.
pub(super) fn assignments(path: &str, text: &str) -> (Vec<Setting>, Vec<String>) {
    let (mut settings, mut anomalies) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let start = line.trim_start();
        let start = start.strip_prefix("export ").unwrap_or(start);
        let Some(name) = name_of_assignment(start) else {
            continue;
        };
        if settings.len() == ASSIGNMENTS_MAX {
            anomalies.push(format!(
                "line {number}: more than {ASSIGNMENTS_MAX} assignments"
            ));
            break;
        }
        let mut raw = start[name.len() + 1..].to_owned();
        while !is_complete(&raw) && raw.len() < VALUE_CHARACTERS_MAX {
            let Some((_, next)) = lines.next() else {
                anomalies.push(format!("line {number}: the quote is never closed"));
                break;
            };
            raw.push('\n');
            raw.push_str(next);
        }
        let characters = placed(&raw, number);
        let value = match raw.chars().next() {
            // `NAME=` followed by a blank is an empty value.
            Some(first) if !first.is_whitespace() && first != '#' => {
                words(&characters, Dialect::Shell).into_iter().next()
            }
            _ => None,
        };
        let value = value.map(|word| word.text).unwrap_or_default();
        settings.push(Setting {
            name: name.to_owned(),
            value,
            place: Place::new(path, number),
        });
    }
    (settings, anomalies)
}

fn name_of_assignment(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    let mut bytes = name.bytes();
    let first = bytes.next()?;
    let fits = (first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    fits.then_some(name)
}

/// Whether a value ends on this line: every quote is closed, and no backslash stands last.
fn is_complete(raw: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut characters = raw.chars();
    let mut in_word = true;
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('#', None) if !in_word => return true,
            ('\\', None | Some('"')) if characters.next().is_none() => return false,
            ('\'' | '"', None) => quote = Some(character),
            (closing, Some(open)) if closing == open => quote = None,
            _ => {}
        }
        in_word = quote.is_some() || !character.is_whitespace();
    }
    quote.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_a_shell_would() {
        type Assignment = (&'static str, &'static str, u32);
        let cases: [(&str, &[Assignment]); 10] = [
            (
                "OPTIONS=\"-l 127.0.0.1\"\n",
                &[("OPTIONS", "-l 127.0.0.1", 1)],
            ),
            (
                "OPTIONS='-l 127.0.0.1,::1'",
                &[("OPTIONS", "-l 127.0.0.1,::1", 1)],
            ),
            ("# OPTIONS=x\n\nPORT=11211 # why\n", &[("PORT", "11211", 3)]),
            (
                "  export USER=\"mem\"'cached'\n",
                &[("USER", "memcached", 1)],
            ),
            (
                "A=\nB= x\nC=\"\"\n",
                &[("A", "", 1), ("B", "", 2), ("C", "", 3)],
            ),
            (
                "A=\"one \\\n two\"\nB=2\n",
                &[("A", "one  two", 1), ("B", "2", 3)],
            ),
            (
                "A=\"one\ntwo\"\nB=2\n",
                &[("A", "one\ntwo", 1), ("B", "2", 3)],
            ),
            ("A=1\nA=2\n", &[("A", "1", 1), ("A", "2", 2)]),
            ("no assignment\n1A=2\nA-B=2\n", &[]),
            (
                "A=\"x # y\" # z\r\nB=a\\ b\r\n",
                &[("A", "x # y", 1), ("B", "a b", 2)],
            ),
        ];
        for (text, expected) in cases {
            let (settings, anomalies) = assignments("f", text);
            let found: Vec<(&str, &str, u32)> = settings
                .iter()
                .map(|setting| {
                    (
                        setting.name.as_str(),
                        setting.value.as_str(),
                        setting.place.line,
                    )
                })
                .collect();
            assert_eq!(found, expected, "{text:?}");
            assert_eq!(anomalies, Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn what_never_ends_is_said_and_bounded() {
        let (settings, anomalies) = assignments("f", "A=\"x\nB=2\n");
        assert_eq!(settings.len(), 1);
        assert_eq!(anomalies, ["line 1: the quote is never closed"]);
        let huge = format!("A=\"{}", "x\n".repeat(200_000));
        let (settings, _) = assignments("f", &huge);
        assert!(settings[0].value.len() <= VALUE_CHARACTERS_MAX);
        let many = "A=1\n".repeat(ASSIGNMENTS_MAX + 5);
        let (settings, anomalies) = assignments("f", &many);
        assert_eq!((settings.len(), anomalies.len()), (ASSIGNMENTS_MAX, 1));
    }

    #[test]
    fn words_know_their_lines() {
        let text = "memcached -l \\\n  127.0.0.1 '-U 0' \"a\\\"b\"";
        let found = words(&placed(text, 7), Dialect::Systemd);
        let found: Vec<(&str, u32)> = found
            .iter()
            .map(|word| (word.text.as_str(), word.line))
            .collect();
        let expected = [
            ("memcached", 7),
            ("-l", 7),
            ("127.0.0.1", 8),
            ("-U 0", 8),
            ("a\"b", 8),
        ];
        assert_eq!(found, expected);
    }
}
