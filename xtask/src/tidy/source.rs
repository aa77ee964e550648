//! Rust source with the parts blanked that a search for words must not see: comments, literals,
//! tests. Blanked bytes become spaces and line breaks stay, so positions keep their meaning.
//!
//! This is a scanner for well-formed, formatted files and no compiler: it knows just enough of
//! the language to tell code from what is quoted in it.

/// The text with comments, and the inside of string and character literals, blanked.
pub(super) fn without_comments(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    while let Some(character) = text[blanked.len()..].chars().next() {
        let begin = blanked.len();
        match quoted_bytes(text, begin) {
            0 => blanked.push(character),
            count => blanked.extend(text[begin..begin + count].bytes().map(blank)),
        }
    }
    blanked
}

/// Code from [`without_comments`] with everything blanked that exists only under `cfg(test)`.
pub(super) fn without_tests(code: &str) -> String {
    let mut blanked = String::with_capacity(code.len());
    while let Some(found) = next_test_attribute(&code[blanked.len()..]) {
        let begin = blanked.len() + found;
        let end = item_end(code, begin);
        blanked.push_str(&code[blanked.len()..begin]);
        blanked.extend(code[begin..end].bytes().map(blank));
    }
    blanked.push_str(&code[blanked.len()..]);
    blanked
}

/// Whether all of a file is compiled for tests only.
pub(super) fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
}

/// What stands for a byte of a comment, a literal or a test.
fn blank(byte: u8) -> char {
    if byte == b'\n' { '\n' } else { ' ' }
}

/// Length of the comment or literal that begins here, in bytes; 0 if none does.
fn quoted_bytes(text: &str, begin: usize) -> usize {
    let rest = &text[begin..];
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_bytes(rest);
    }
    if rest.starts_with('"') {
        return string_bytes(rest);
    }
    if rest.starts_with('\'') {
        return character_bytes(rest);
    }
    let follows_word = text[..begin].bytes().next_back().is_some_and(is_word_byte);
    if follows_word {
        0
    } else {
        raw_string_bytes(rest)
    }
}

fn block_comment_bytes(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut depth, mut position) = (0_u32, 0);
    while position < bytes.len() {
        match &bytes[position..bytes.len().min(position + 2)] {
            b"/*" => (depth, position) = (depth + 1, position + 2),
            b"*/" => (depth, position) = (depth - 1, position + 2),
            _ => position += 1,
        }
        if depth == 0 {
            break;
        }
    }
    position
}

fn string_bytes(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut position = 1;
    while position < bytes.len() {
        match bytes[position] {
            b'\\' => position += 2,
            b'"' => return position + 1,
            _ => position += 1,
        }
    }
    bytes.len()
}

/// `'x'` and `'\n'` are literals; `'static` is a lifetime.
fn character_bytes(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest
            .get(3..)
            .and_then(|escaped| escaped.find('\''))
            .map_or(0, |found| found + 4),
        Some(_) => match characters.next() {
            Some((position, '\'')) => position + 1,
            _ => 0,
        },
        None => 0,
    }
}

/// `r"…"`, `r#"…"#` and their byte and C forms.
fn raw_string_bytes(rest: &str) -> usize {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        after.trim_start_matches('#').starts_with('"')
    });
    let Some(prefix) = prefix else { return 0 };
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let inside = prefix.len() + hashes + 1;
    rest[inside..]
        .find(&close)
        .map_or(rest.len(), |found| inside + found + close.len())
}

fn next_test_attribute(code: &str) -> Option<usize> {
    let found = ["#[cfg(test)]", "#[cfg(all(test"]
        .iter()
        .filter_map(|form| code.find(form));
    found.min()
}

/// End of the item that an attribute stands before: its closing brace, or its semicolon.
fn item_end(code: &str, attribute: usize) -> usize {
    let mut depth = 0_u32;
    for (position, byte) in code.bytes().enumerate().skip(attribute) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return position + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return position + 1,
            _ => {}
        }
    }
    code.len()
}

/// Whether a byte can stand inside a name.
pub(super) fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect` is what remains, with runs of spaces read as one.
    fn check(function: fn(&str) -> String, text: &str, expect: &str) {
        let result = function(text);
        assert_eq!(result.len(), text.len(), "positions must not move: {text}");
        assert_eq!(
            result.matches('\n').count(),
            text.matches('\n').count(),
            "{text}"
        );
        let words: Vec<&str> = result.split_whitespace().collect();
        assert_eq!(words.join(" "), expect, "{text}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        let cases = [
            ("a // b\nc", "a c"),
            ("//! d – e\nf", "f"),
            ("a /* b /* c */ d */ e", "a e"),
            ("a \"b \\\" // c\" d", "a d"),
            ("a \"b\nc\" d", "a d"),
            ("a 'x' '\"' '\\'' '\\u{3042}' 'あ' d", "a d"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("a r\"b\\\" c", "a c"),
            ("a r#\"b \" c\"# d", "a d"),
            ("a br##\"b\"# c\"## d", "a d"),
            ("a b\"\\\"\" c", "a b c"),
            ("let var = 1;", "let var = 1;"),
            ("let größe = 'ß'; // ß", "let größe = ;"),
            ("a '\\", "a '\\"),
            ("a \"never closed", "a"),
            ("a /* never closed", "a"),
        ];
        for (text, expect) in cases {
            check(without_comments, text, expect);
        }
    }

    #[test]
    fn tests_are_blanked() {
        let cases = [
            (
                "a();\n#[cfg(test)]\nmod tests { fn b() { c(); } }\nd();",
                "a(); d();",
            ),
            ("#[cfg(test)]\nmod tests;\na();", "a();"),
            ("#[cfg(test)]\nuse a::b;\nc();", "c();"),
            ("#[cfg(all(test, unix))]\nfn a() {}\nb();", "b();"),
            ("#[cfg(unix)]\nfn a() {}", "#[cfg(unix)] fn a() {}"),
            ("#[cfg(test)]\nmod tests { never_closed();", ""),
        ];
        for (text, expect) in cases {
            check(without_tests, text, expect);
        }
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        for path in ["crates/cli/tests/scan.rs", "crates/wire/src/tests.rs"] {
            assert!(is_test_file(path), "{path}");
        }
        for path in ["crates/testkit/src/lib.rs", "crates/wire/src/latest.rs"] {
            assert!(!is_test_file(path), "{path}");
        }
    }
}
