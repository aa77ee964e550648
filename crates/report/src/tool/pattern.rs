//! Names of keys as they are shown: the readable part, and of what may be an identifier no more than
//! its first characters. What is an identifier is decided in `model`, for everybody alike.

use model::{shown_chars, split_key};

use crate::escape::escape_for_terminal;

/// A key's name for display: what is readable of it, and `…` with a length in place of what may be
/// an identifier, as in `memc.sess.key.4f9a…(32)`. At most 4 characters of an identifier are shown,
/// and none of a short one. Harmless to a terminal.
pub fn shortened_key(name: &[u8]) -> String {
    let (readable, identifier) = split_key(name);
    let mut text = key_text(readable);
    if identifier.is_empty() {
        return text;
    }
    match std::str::from_utf8(identifier) {
        Ok(identifier) => {
            let chars = identifier.chars().count();
            let head: String = identifier.chars().take(shown_chars(chars)).collect();
            text.push_str(&escape_for_terminal(&head));
            text.push_str(&format!("…({chars})"));
        }
        Err(_) => text.push_str(&format!("…({})", identifier.len())),
    }
    text
}

/// A key's whole name, harmless to a terminal; bytes that are no UTF-8 as `\xff`.
pub(super) fn key_text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&escape_for_terminal(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an identifier.
    const SHOWN_CHARS_MAX: usize = 4;

    #[test]
    fn identifiers_are_not_shown() {
        for (name, shown) in [
            (
                "memc.sess.key.4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
                "memc.sess.key.4f9a…(32)",
            ),
            (
                "memc.sess.key.lock.4f9a8b7c6d5e4f3a",
                "memc.sess.key.lock.4f…(16)",
            ),
            (
                ":1:django.contrib.sessions.cacheq8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3",
                ":1:django.contrib.sessions.cacheq8w7…(32)",
            ),
            ("session:abc123", "session:…(6)"),
            ("sess:kXv_9-aB", "sess:k…(8)"),
            (
                "app:_session_id:2::9f86d081884c7d65",
                "app:_session_id:2:…(19)",
            ),
            ("4F9A8B7C6D5E4F3A2B1C0D9E8F7A6B5C-n1", "4F9A…(35)"),
            ("tokens/abcdef", "tokens/…(6)"),
            ("user:123", "user:123"),
            ("user:1234567", "user:…(7)"),
            ("user:12:profile", "user:12:profile"),
            ("user:john@example.com", "user:jo…(16)"),
            ("login:bob", "login:…(3)"),
            ("550e8400-e29b-41d4-a716-446655440000", "550e…(36)"),
            (
                "cart:550e8400-e29b-41d4-a716-446655440000:lines",
                "cart:550e…(42)",
            ),
            ("ip:203.0.113.77", "ip:2…(12)"),
            ("tel:090-1234-5678", "tel:0…(13)"),
            ("item:deadbeefcafe", "item:d…(12)"),
            ("item:qwrtpsdfghjk", "item:q…(12)"),
            ("x:QmFzZTY0", "x:Q…(8)"),
            ("x:ab-9aZ_q1w2e3r4t5", "x:ab…(17)"),
            ("thumb:abcdefghijklmnopqrstuvwxyz", "thumb:abc…(26)"),
            ("key123456", "key…(6)"),
            ("key1234", "key1234"),
            ("wp_:options:alloptions", "wp_:options:alloptions"),
            ("config:siteTitle", "config:siteTitle"),
            ("getUserById", "getUserById"),
            ("v2:menu.p99", "v2:menu.p99"),
            ("設定:一覧", "設定:一覧"),
            ("a b\u{1b}[2J", "a b\\x1b[2J"),
            ("", ""),
        ] {
            assert_eq!(shortened_key(name.as_bytes()), shown, "{name}");
        }
        assert_eq!(shortened_key(b"bin:\xff\xfe\x00"), "bin:…(3)");
        assert_eq!(key_text(b"bin:\xff\n"), "bin:\\xff\\x0a");
    }

    #[test]
    fn never_more_than_four_characters_of_an_identifier() {
        // Every cut of an identifier in four alphabets, behind every separator.
        for identifier in [
            "4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c",
            "91827364509182736450918273645091",
            "v7k3q2m9t4b8n1c6x5z0l3j7h2g4f8d1",
            "Zm9vYmFyQmF6MTIzNDU2Nzg5MGFiY2Rl",
        ] {
            for length in 6..=identifier.len() {
                for separator in [":", "/", ".", "_", "-", "|"] {
                    let id = &identifier[..length];
                    let name = format!("cache{separator}{id}");
                    let shown = shortened_key(name.as_bytes());
                    let tail = shown.strip_prefix(&format!("cache{separator}")).unwrap();
                    let (head, count) = tail.split_once('…').unwrap();
                    assert!(
                        head.len() <= SHOWN_CHARS_MAX && id.starts_with(head),
                        "{shown}"
                    );
                    assert_eq!(count, format!("({length})"), "{shown}");
                }
            }
        }
    }
}
