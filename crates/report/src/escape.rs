//! Making foreign text harmless: nothing a server says may move the cursor, turn the writing
//! direction, hide, or end a line.

use unicode_width::UnicodeWidthChar;

/// Shows every character that acts on a terminal instead of standing in a column: C0 and C1
/// controls and DEL as `\x1b`; line and paragraph separators, bidirectional overrides, and
/// whatever else takes no column as `\u{202e}`. Other text stays as it is.
pub fn escape_for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_plain(character) {
            shown.push(character);
        } else if (character as u32) < 0x100 {
            shown.push_str(&format!("\\x{:02x}", character as u32));
        } else {
            shown.push_str(&format!("\\u{{{:x}}}", character as u32));
        }
    }
    shown
}

/// Replaces such characters inside finished JSON by `\uXXXX`, which reads back as the same text.
/// JSON has them only within strings, so the whole document can be treated alike; the newlines
/// between tokens of a pretty document stay.
pub(crate) fn escape_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || is_plain(character) {
            shown.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    shown
}

/// Whether a character stands in a column of its own and does nothing else.
fn is_plain(character: char) -> bool {
    // The common case first: reports are mostly ASCII.
    if (' '..='~').contains(&character) {
        return true;
    }
    let acts_without_showing = matches!(character,
        '\u{2028}' | '\u{2029}'              // line and paragraph separator
        | '\u{115f}' | '\u{3164}' | '\u{ffa0}' // fillers that look like nothing
        | '\u{fff9}'..='\u{fffb}'            // interlinear annotation
        | '\u{e0000}'..='\u{e0fff}'          // tags and variation selectors
    );
    !acts_without_showing && !character.is_control() && character.width().is_some_and(|w| w > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(escape_for_terminal(text), shown);
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        check("1.6.18", "1.6.18");
        check("\u{1b}[2J\u{1b}]0;owned\u{7}", "\\x1b[2J\\x1b]0;owned\\x07");
        check("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00");
        check("\u{7f}\u{9b}31m\u{85}", "\\x7f\\x9b31m\\x85");
        check(
            "abc\u{202e}cba\u{2066}\u{2069}",
            "abc\\u{202e}cba\\u{2066}\\u{2069}",
        );
        check("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c");
        check(
            "zero\u{200b}width\u{feff}\u{ad}",
            "zero\\u{200b}width\\u{feff}\\xad",
        );
        check("e\u{301}\u{e0041}", "e\\u{301}\\u{e0041}");
        check("日本語のキャッシュ é ü", "日本語のキャッシュ é ü");
    }

    #[test]
    fn nothing_shown_needs_showing_again() {
        for code in 0..=0x10_ffff {
            let Some(character) = char::from_u32(code) else {
                continue;
            };
            let shown = escape_for_terminal(&character.to_string());
            assert_eq!(escape_for_terminal(&shown), shown, "U+{code:04X}");
            assert!(!shown.chars().any(char::is_control), "U+{code:04X}");
        }
    }

    #[test]
    fn json_reads_back_as_the_same_text() {
        for text in [
            "\u{9b}31m",
            "\u{202e}\u{2028}",
            "\u{e0041}\u{7f}",
            "\"\\\u{1b}\0日本",
        ] {
            let json = escape_json(&serde_json::Value::from(text).to_string());
            assert!(!json.chars().any(char::is_control), "{json}");
            let back: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(back.as_str(), Some(text));
        }
    }
}
