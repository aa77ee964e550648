//! Words that Rust files must not contain: marks of unfinished work anywhere, and in a room what
//! only another room may do.
//!
//! The words are put together by `concat!`, so that this file does not accuse itself.

use super::Complaint;
use super::source::{is_test_file, is_word_byte, without_comments, without_tests};

/// Rooms that get all they need as arguments.
const PURE_ROOMS: [&str; 9] = [
    "model",
    "wire",
    "sweep",
    "targets",
    "interview",
    "assess",
    "inventory",
    "import",
    "report",
];

/// Words with a common reason to be banned.
struct Ban {
    words: &'static [&'static str],
    /// The rooms, `xtask` included, that it holds for.
    holds_for: fn(room: &str) -> bool,
    scope: Scope,
    reason: &'static str,
}

/// Which part of a file is searched.
#[derive(Clone, Copy)]
enum Scope {
    /// All of it, comments and literals too.
    Everything,
    /// Code, that of tests too.
    Code,
    /// Code that is compiled into the product.
    ProductCode,
}

const BANS: [Ban; 7] = [
    Ban {
        words: &[
            concat!("to", "do!("),
            concat!("unim", "plemented!("),
            concat!("FIX", "ME"),
            concat!("XX", "X"),
        ],
        holds_for: |_| true,
        scope: Scope::Everything,
        reason: "finish it, or leave it out",
    },
    Ban {
        words: &[concat!("#[ig", "nore"), concat!("should_", "panic")],
        holds_for: |_| true,
        scope: Scope::Everything,
        reason: "a test runs and asserts what happens",
    },
    Ban {
        words: &[
            "::now",
            ".elapsed(",
            "TimeZone::system",
            "RandomState",
            "rand::",
            "getrandom::",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "UnixDatagram",
            "std::fs",
            "fs::",
            "std::env",
            "env::",
            "std::thread",
            "thread::",
            "std::process",
            "process::",
        ],
        holds_for: |room| PURE_ROOMS.contains(&room),
        scope: Scope::ProductCode,
        reason: "a pure room has no clock, chance, socket, file, environment, thread or process; \
                 take the value as an argument",
    },
    Ban {
        words: &["unsafe"],
        holds_for: |room| room != "frames",
        scope: Scope::Code,
        reason: "unsafe code belongs into `frames`",
    },
    Ban {
        words: &[
            "print!",
            "println!",
            "eprint!",
            "eprintln!",
            "dbg!",
            "io::stdout",
            "io::stderr",
        ],
        holds_for: |room| !matches!(room, "cli" | "xtask"),
        scope: Scope::ProductCode,
        reason: "only `cli` (and xtask) prints; return the text",
    },
    Ban {
        words: &["serde_json::to_"],
        holds_for: |room| !matches!(room, "report" | "cli" | "testkit" | "xtask"),
        scope: Scope::ProductCode,
        reason: "JSON is written in `report`",
    },
    Ban {
        words: &["rusqlite::", "postgres::"],
        holds_for: |room| !matches!(room, "store" | "testkit"),
        scope: Scope::ProductCode,
        reason: "databases are spoken to in `store`",
    },
];

/// What a Rust file says that it must not say.
pub(super) fn complaints(path: &str, text: &str) -> Vec<Complaint> {
    let code = without_comments(text);
    let product_code = if is_test_file(path) {
        String::new()
    } else {
        without_tests(&code)
    };
    let mut complaints = Vec::new();
    for ban in BANS.iter().filter(|ban| (ban.holds_for)(room_of(path))) {
        let searched = match ban.scope {
            Scope::Everything => text,
            Scope::Code => &code,
            Scope::ProductCode => &product_code,
        };
        for (index, line) in searched.lines().enumerate() {
            if let Some(word) = ban.words.iter().find(|word| contains_word(line, word)) {
                let message = format!("`{word}`: {}", ban.reason);
                complaints.push(Complaint::at(path, index + 1, message));
            }
        }
    }
    complaints
}

/// `crates/NAME/…` is in room NAME, `xtask/…` in xtask.
fn room_of(path: &str) -> &str {
    let mut parts = path.split('/');
    match parts.next() {
        Some("crates") => parts.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

/// Whether the word stands in the line by itself: `print!` is not in `eprint!`, but a word that
/// ends in `_` is the beginning of any longer one.
fn contains_word(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(begin, _)| {
        let end = begin + word.len();
        let starts_inside = word.bytes().next().is_some_and(is_word_byte)
            && begin > 0
            && is_word_byte(bytes[begin - 1]);
        let ends_inside = word
            .bytes()
            .next_back()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && bytes.get(end).copied().is_some_and(is_word_byte);
        !starts_inside && !ends_inside
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect` holds the line and the word of each complaint.
    fn check(path: &str, text: &str, expect: &[(usize, &str)]) {
        let found: Vec<(usize, String)> = complaints(path, text)
            .into_iter()
            .map(|complaint| {
                let word = complaint
                    .message
                    .split('`')
                    .nth(1)
                    .unwrap_or_default()
                    .to_owned();
                (complaint.line.unwrap_or_default(), word)
            })
            .collect();
        let expect: Vec<(usize, String)> = expect
            .iter()
            .map(|(line, word)| (*line, (*word).to_owned()))
            .collect();
        assert_eq!(found, expect, "{path}: {text}");
    }

    #[test]
    fn unfinished_work_is_found_wherever_it_hides() {
        for ban in &BANS[..2] {
            for word in ban.words {
                let text = format!("//! A.\n// {word}\n");
                check("crates/cli/src/main.rs", &text, &[(2, word)]);
                check("crates/cli/tests/scan.rs", &text, &[(2, word)]);
            }
        }
    }

    #[test]
    fn pure_rooms_call_nothing_outside() {
        let path = "crates/wire/src/lib.rs";
        check(path, "let a = Instant::now();", &[(1, "::now")]);
        check(path, "a.unwrap_or_else(SystemTime::now)", &[(1, "::now")]);
        check(path, "use std::fs::File;", &[(1, "std::fs")]);
        check(
            path,
            "use std::{fs, io};\nlet a = fs::read(b);",
            &[(2, "fs::")],
        );
        check(path, "let a = now.duration_since(begin);", &[]);
        check(path, "// as Instant::now() would\n", &[]);
        check(path, "let a = \"std::fs\";", &[]);
        check(path, "let a = env!(\"CARGO_PKG_VERSION\");", &[]);
        check(
            path,
            "#[cfg(test)]\nmod tests { fn a() { std::env::args(); } }",
            &[],
        );
        check("crates/wire/src/tests.rs", "std::env::args();", &[]);
        check("crates/sockets/src/lib.rs", "let a = Instant::now();", &[]);
    }

    #[test]
    fn each_hand_keeps_to_its_own() {
        check("crates/cli/src/main.rs", "println!();", &[]);
        check(
            "crates/engine/src/lib.rs",
            "a();\nprintln!();",
            &[(2, "println!")],
        );
        check(
            "crates/engine/src/lib.rs",
            "command.stdout(Stdio::null());",
            &[],
        );
        check(
            "crates/engine/src/lib.rs",
            "serde_json::to_vec(&a)",
            &[(1, "serde_json::to_")],
        );
        check("crates/report/src/lib.rs", "serde_json::to_vec(&a)", &[]);
        let database = "use rusqlite::Connection;";
        check("crates/engine/src/lib.rs", database, &[(1, "rusqlite::")]);
        check("crates/store/src/sqlite.rs", database, &[]);
        check(
            "crates/sockets/tests/a.rs",
            "unsafe { a() }",
            &[(1, "unsafe")],
        );
        check("crates/frames/src/lib.rs", "unsafe { a() }", &[]);
        check("crates/sockets/src/lib.rs", "#![forbid(unsafe_code)]", &[]);
    }

    #[test]
    fn words_have_edges() {
        assert!(contains_word("eprint!(a)", "eprint!"));
        assert!(!contains_word("eprint!(a)", "print!"));
        assert!(!contains_word("dfs::walk()", "fs::"));
        assert!(!contains_word("now::now_or_never()", "::now"));
        assert!(contains_word("serde_json::to_string(a)", "serde_json::to_"));
    }
}
