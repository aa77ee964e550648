//! Text that is no markup in GitHub's dialect of Markdown.

use crate::escape::escape_for_terminal;

/// Text that is no markup: every character that could begin some is escaped, and quoted words keep
/// their backquotes as code.
pub(crate) fn text(text: &str) -> String {
    let shown = escape_for_terminal(text);
    let pieces: Vec<&str> = shown.split('`').collect();
    // An odd backquote, or one beside another, is a character like any other.
    let inner = pieces.get(1..pieces.len() - 1).unwrap_or_default();
    let is_quoted = !pieces.len().is_multiple_of(2) && inner.iter().all(|piece| !piece.is_empty());
    let mut written = String::with_capacity(shown.len());
    for (index, piece) in pieces.iter().enumerate() {
        match (index, is_quoted) {
            (0, _) => escape(piece, &mut written),
            (_, true) if index % 2 == 1 => written.push_str(&code(piece)),
            (_, true) => escape(piece, &mut written),
            (_, false) => {
                written.push_str("\\`");
                escape(piece, &mut written);
            }
        }
    }
    written
}

/// Backslashes before all ASCII punctuation that has a meaning somewhere in GitHub's dialect
/// (GitHub Flavored Markdown 0.29, section 6.1).
fn escape(text: &str, written: &mut String) {
    for character in text.chars() {
        if matches!(
            character,
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '!' | '|' | '~' | '&' | '$'
        ) {
            written.push('\\');
        }
        written.push(character);
        // What would be made a link by itself is taken apart.
        if written.ends_with("://") {
            written.truncate(written.len() - 3);
            written.push_str("\\://");
        } else if written.len() >= 4 && written.is_char_boundary(written.len() - 4) {
            let end = written.split_at(written.len() - 4).1;
            if end.eq_ignore_ascii_case("www.") {
                written.pop();
                written.push_str("\\.");
            }
        }
    }
}

/// Text as code: nothing in it is markup, but for a bar, which ends a cell of a table even there.
pub(crate) fn code(text: &str) -> String {
    let shown = escape_for_terminal(text)
        .replace('`', "'")
        .replace('|', "\\|");
    match shown.trim() {
        "" => String::new(),
        trimmed => format!("`{trimmed}`"),
    }
}

/// The longest run of backquotes in a line.
pub(super) fn longest_run(line: &str) -> usize {
    let runs = line.split(|character| character != '`').map(str::len);
    runs.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_no_markup() {
        for (said, written) in [
            ("1.6.18", "1.6.18"),
            ("a|b*c_d", "a\\|b\\*c\\_d"),
            ("[x](y) <b>&amp;", "\\[x\\](y) \\<b\\>\\&amp;"),
            ("see http://a.example", "see http\\://a.example"),
            ("see WWW.a.example", "see WWW\\.a.example"),
            ("run `ss -l` now", "run `ss -l` now"),
            ("run `a|b`", "run `a\\|b`"),
            ("an odd ` one", "an odd \\` one"),
            ("```", "\\`\\`\\`"),
            ("a\nb", "a\\\\x0ab"),
        ] {
            assert_eq!(text(said), written, "{said}");
        }
        assert_eq!(code("a`b|c"), "`a'b\\|c`");
        assert_eq!(code(" "), "");
        assert_eq!(longest_run("a``b```c`"), 3);
    }
}
