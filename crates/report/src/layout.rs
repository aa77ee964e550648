//! Columns: how wide text is on a terminal, and how to cut, fill and break it.
//!
//! Everything here works on text that [`crate::escape_for_terminal`] has been through, before any
//! style is laid on it; so no escape sequence can be cut in two.

use unicode_width::UnicodeWidthChar;

/// The mark of text that was cut short.
const ELLIPSIS: char = '…';
/// Characters that must not begin a line (JIS X 4051, the common ones).
const NEVER_FIRST: &str =
    "、。，．・：；！？）」』】〕〉》’”ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々";
/// Characters that must not end a line.
const NEVER_LAST: &str = "（「『【〔〈《‘“";
/// Particles are written in it, counters are not.
const HIRAGANA: std::ops::RangeInclusive<char> = '\u{3041}'..='\u{309f}';

/// Columns that a text fills.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// The text, cut to at most this many columns; what was cut is marked by `…`.
pub(crate) fn truncate(text: &str, columns_max: usize) -> String {
    if width(text) <= columns_max {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut columns = 1; // for the ellipsis
    for character in text.chars() {
        columns += character_width(character);
        if columns > columns_max {
            break;
        }
        kept.push(character);
    }
    if columns_max > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push(ELLIPSIS);
    }
    kept
}

/// The text, filled with spaces up to this many columns.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The text, pushed to the right end of this many columns.
pub(crate) fn pad_left(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{}{text}", " ".repeat(missing))
}

/// Breaks a text into lines of at most this many columns: at spaces, between Japanese characters
/// where typesetting allows it, and within a word only if it is longer than a line. Always at
/// least one line.
pub(crate) fn wrap(text: &str, columns_max: usize) -> Vec<String> {
    let columns_max = columns_max.max(2); // room for one wide character
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut line_columns = 0;
    for (space_before, unit) in units(text) {
        let gap = usize::from(space_before && !line.is_empty());
        let unit_columns = width(&unit);
        if !line.is_empty() && line_columns + gap + unit_columns > columns_max {
            lines.push(std::mem::take(&mut line));
            line_columns = 0;
        } else if gap == 1 {
            line.push(' ');
            line_columns += 1;
        }
        if unit_columns <= columns_max {
            line.push_str(&unit);
            line_columns += unit_columns;
        } else {
            for character in unit.chars() {
                let character_columns = character_width(character);
                if line_columns + character_columns > columns_max {
                    lines.push(std::mem::take(&mut line));
                    line_columns = 0;
                }
                line.push(character);
                line_columns += character_columns;
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Columns of one character. Text here is escaped, so none is a control character.
fn character_width(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// Splits a text into pieces that stay on one line, each with whether a space stood before it.
fn units(text: &str) -> Vec<(bool, String)> {
    let mut units: Vec<(bool, String)> = Vec::new();
    let mut space_before = false;
    let mut previous: Option<char> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ' ' {
            let after_digit = previous.is_some_and(|previous| previous.is_ascii_digit());
            let before_counter = characters
                .peek()
                .is_some_and(|next| character_width(*next) > 1 && !HIRAGANA.contains(next));
            match (
                units.last_mut(),
                characters.next_if(|_| after_digit && before_counter),
            ) {
                // A number and its counter, such as `3 件`, are one word.
                (Some((_, unit)), Some(counter)) => {
                    unit.push(' ');
                    unit.push(counter);
                    previous = Some(counter);
                }
                (_, _) => {
                    space_before = true;
                    previous = None;
                }
            }
            continue;
        }
        let joins = previous.is_some_and(|previous| !may_break(previous, character));
        match units.last_mut() {
            Some((_, unit)) if joins => unit.push(character),
            _ => units.push((space_before, character.to_string())),
        }
        space_before = false;
        previous = Some(character);
    }
    units
}

/// Whether a line may end between two neighbouring characters.
fn may_break(left: char, right: char) -> bool {
    let beside_wide = character_width(left) > 1 || character_width(right) > 1;
    beside_wide && !NEVER_FIRST.contains(right) && !NEVER_LAST.contains(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_keeps_its_columns() {
        for (text, columns, expected) in [
            ("memcached", 9, "memcached"),
            ("memcached", 5, "memc…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a b", 3, "a b"),
            ("ab cd", 4, "ab…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(truncate(text, columns), expected, "{text} in {columns}");
            assert!(width(&truncate(text, columns)) <= columns);
        }
    }

    #[test]
    fn lines_break_where_people_would() {
        for (text, columns, expected) in [
            ("", 10, vec![""]),
            ("bind to loopback", 8, vec!["bind to", "loopback"]),
            ("bind  to", 20, vec!["bind to"]),
            ("0123456789", 4, vec!["0123", "4567", "89"]),
            ("x 0123456789", 4, vec!["x", "0123", "4567", "89"]),
            (
                "認証なし。再起動する",
                8,
                vec!["認証な", "し。再起", "動する"],
            ),
            ("設定（udpport 0）", 10, vec!["設定", "（udpport", "0）"]),
            (
                "exposed 3 件、closed 12 件",
                14,
                vec!["exposed 3 件、", "closed 12 件"],
            ),
            ("exposed 3 件", 11, vec!["exposed", "3 件"]),
            (
                "-l 127.0.0.1 を加える",
                12,
                vec!["-l 127.0.0.1", "を加える"],
            ),
        ] {
            assert_eq!(wrap(text, columns), expected, "{text} in {columns}");
            assert!(
                wrap(text, columns)
                    .iter()
                    .all(|line| width(line) <= columns),
                "{text}"
            );
        }
    }
}
