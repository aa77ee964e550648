//! Names of keys without what they identify: which part of a name is words that a programmer
//! chose, and where an identifier begins.
//!
//! A key's name often ends in a session id, a user's number or a token; whoever reads it can take
//! the session over. So names are shown up to where such a part may begin. In doubt a part counts
//! as an identifier: `user:john` may be shown, `user:john@example.com`, `user:4f9a8b7c` and
//! whatever follows `session:` may not.

/// Characters of an identifier that are shown at most; and no more than one in eight of it, so
/// that what is hidden cannot be guessed from what is seen.
const SHOWN_CHARS_MAX: usize = 4;
const SHOWN_PART: usize = 8;
/// A run of this many digits is an identifier.
const DIGITS_MIN: usize = 5;
/// So are this many numbers in a row (an IPv4 address), or numbers in a row with this many digits
/// (a telephone number).
const NUMBERS_IN_A_ROW_MIN: usize = 4;
const DIGITS_IN_A_ROW_MIN: usize = 9;
/// A mixture of letters and digits from this length on is an identifier: `v2` and `p99` are not.
const MIXED_BYTES_MIN: usize = 4;
/// Hexadecimal letters alone, from this length on: `facade` is a word, `deadbeef` is not.
const HEX_LETTERS_MIN: usize = 8;
/// No word that a programmer types is longer.
const WORD_BYTES_MAX: usize = 20;
/// From this length on, letters with fewer than one vowel in six are no word.
const VOWELS_FROM_BYTES: usize = 8;
const LETTERS_PER_VOWEL_MAX: usize = 6;
/// Letters of each word of those that are written together, on average.
const LETTERS_PER_HUMP_MIN: usize = 3;
/// So many small letters alone between capitals are no accident.
const LONELY_LETTERS_MIN: usize = 2;
/// A part that stands before an identifier and is shorter belongs to it.
const WORD_BYTES_MIN: usize = 3;
/// Characters of a session's name that Laravel draws.
const LARAVEL_SESSION_BYTES: usize = 40;
/// Words whose tail is an identifier, whatever it looks like.
const WORDS_BEFORE_SECRETS: [&str; 27] = [
    "apikey",
    "auth",
    "cookie",
    "csrf",
    "email",
    "jwt",
    "login",
    "mail",
    "nonce",
    "oauth",
    "otp",
    "passwd",
    "password",
    "pin",
    "reset",
    "sess",
    "sessid",
    "session",
    "sessionid",
    "sessions",
    "sid",
    "secret",
    "token",
    "tokens",
    "verify",
    "xsrf",
    "ticket",
];

/// A kind of data that is recognised by the names of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyKind {
    /// What it is, in English; a name of products needs no translation.
    pub en: &'static str,
    /// The same in Japanese.
    pub ja: &'static str,
    /// Whether whoever reads the key can act as somebody else.
    pub secret: bool,
}

/// A kind, and one of the ways to recognise it. Behind the mark of a secret kind begins an identifier.
#[derive(Clone, Copy, Debug)]
struct Marked {
    kind: KeyKind,
    mark: Mark,
}

/// How a kind is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The name begins with it.
    Start(&'static str),
    /// It stands anywhere in the name, for frameworks that let users put a prefix before it.
    Anywhere(&'static str),
    /// The name ends in `-n` and digits, as memcached-session-manager names the node.
    NodeAtEnd,
    /// The name begins with `laravel` and ends in the forty characters that Laravel draws for a
    /// session; the names of its other keys end in words, or in forty hexadecimal digits.
    LaravelSession,
}

/// The kinds, the more specific of two before the other.
#[rustfmt::skip] // A table: what it is, how it is recognised, whether it is secret.
const KINDS: [Marked; 20] = [
    kind("PHP session locks", "PHP セッションのロック", Mark::Anywhere("memc.sess.key.lock."), true),
    kind("PHP session locks", "PHP セッションのロック", Mark::Anywhere("memc.sess.lock."), true),
    kind("PHP sessions", "PHP セッション", Mark::Anywhere("memc.sess.key."), true),
    kind("PHP sessions", "PHP セッション", Mark::Anywhere("memc.sess."), true),
    kind("Django sessions", "Django セッション", Mark::Anywhere("django.contrib.sessions.cached_db"), true),
    kind("Django sessions", "Django セッション", Mark::Anywhere("django.contrib.sessions.cache"), true),
    kind("Django sessions", "Django セッション", Mark::Anywhere("django.contrib.sessions"), true),
    kind("Django pages", "Django のページ", Mark::Anywhere("views.decorators.cache."), false),
    kind("Rails sessions", "Rails セッション", Mark::Anywhere("_session_id:"), true),
    kind("MediaWiki sessions", "MediaWiki セッション", Mark::Anywhere(":MWSession:"), true),
    kind("Keystone tokens", "Keystone トークン", Mark::Start("tokens/"), true),
    kind("Tomcat sessions", "Tomcat セッション", Mark::Start("bak:"), true),
    kind("Tomcat sessions", "Tomcat セッション", Mark::NodeAtEnd, true),
    kind("Laravel sessions", "Laravel セッション", Mark::LaravelSession, true),
    kind("Laravel", "Laravel", Mark::Start("laravel"), false),
    kind("WordPress", "WordPress", Mark::Start("wp_:"), false),
    kind("WordPress", "WordPress", Mark::Anywhere(":options:"), false),
    kind("Magento", "Magento", Mark::Start("zc:"), false),
    kind("Express sessions", "Express セッション", Mark::Start("sess:"), true),
    kind("sessions", "セッション", Mark::Start("session:"), true),
];

const fn kind(en: &'static str, ja: &'static str, mark: Mark, secret: bool) -> Marked {
    Marked {
        kind: KeyKind { en, ja, secret },
        mark,
    }
}

impl KeyKind {
    /// The kind of data that a key of this name holds, if it is one that is known.
    pub fn of(name: &[u8]) -> Option<KeyKind> {
        marked(name).map(|(marked, _)| marked.kind)
    }

    /// The kind that is called so in English.
    pub fn named(en: &str) -> Option<KeyKind> {
        let mut kinds = KINDS.iter().map(|marked| marked.kind);
        kinds.find(|kind| kind.en == en)
    }
}

/// The kind of a name, and where its mark ends.
fn marked(name: &[u8]) -> Option<(&'static Marked, usize)> {
    KINDS
        .iter()
        .find_map(|marked| Some((marked, mark_end(name, marked.mark)?)))
}

/// A key's name in two parts: what is readable of it, and what may be an identifier, of which
/// [`shown_chars`] may be shown.
pub fn split_key(name: &[u8]) -> (&[u8], &[u8]) {
    name.split_at(identifier_start(name).unwrap_or(name.len()))
}

/// How many of an identifier's characters may be shown: none of a short one.
pub fn shown_chars(identifier_chars: usize) -> usize {
    SHOWN_CHARS_MAX.min(identifier_chars / SHOWN_PART)
}

/// The part of a name that it shares with its likes: up to where an identifier or a closing number
/// begins, otherwise up to its last separator. Empty if there is none.
pub fn key_prefix(name: &[u8]) -> &[u8] {
    let end = identifier_start(name).or_else(|| number_start(name));
    if let Some(end) = end {
        return &name[..end];
    }
    let last = name.iter().rposition(|byte| is_separator(*byte));
    last.map_or(&[], |last| &name[..=last])
}

/// A piece of a name between separators.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    /// Where it begins in the name.
    start: usize,
    bytes: &'a [u8],
}

/// Where the first identifier of a name begins.
fn identifier_start(name: &[u8]) -> Option<usize> {
    let of_kind = marked(name)
        .filter(|(marked, end)| marked.kind.secret && *end < name.len())
        .map(|(_, end)| end);
    let no_text = std::str::from_utf8(name)
        .err()
        .map(|error| segment_start(name, error.valid_up_to()));
    let at_sign = name
        .iter()
        .position(|byte| *byte == b'@')
        .map(|at| segment_start(name, at));
    // The words of a mark may look odd, but what users put before it may name somebody.
    let odd = match of_kind {
        Some(_) => of_kind,
        None => odd_start(name),
    };
    [no_text, at_sign, odd].into_iter().flatten().min()
}

/// Where a piece begins that is no word, by its looks or by the word before it.
fn odd_start(name: &[u8]) -> Option<usize> {
    let pieces = pieces(name);
    let mut numbers: Vec<Piece<'_>> = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| pieces[before]);
        if before.is_some_and(|before| is_before_secret(before.bytes)) {
            return Some(piece.start);
        }
        if let Some(offset) = identifier_offset(piece.bytes) {
            return Some(absorb(name, &pieces[..index], piece.start + offset, offset));
        }
        if piece.bytes.iter().all(u8::is_ascii_digit) {
            numbers.push(*piece);
            let digits: usize = numbers.iter().map(|number| number.bytes.len()).sum();
            if numbers.len() >= NUMBERS_IN_A_ROW_MIN || digits >= DIGITS_IN_A_ROW_MIN {
                return numbers.first().map(|first| first.start);
            }
        } else {
            numbers.clear();
        }
    }
    None
}

/// Moves the start of an identifier back over pieces that are too short or too odd to be words: an
/// identifier in base64 may have `-`, `_`, `+`, `/` and `=` of its own.
fn absorb(name: &[u8], before: &[Piece<'_>], found: usize, offset: usize) -> usize {
    if offset > 0 {
        return found;
    }
    let mut start = found;
    for piece in before.iter().rev() {
        let end = piece.start + piece.bytes.len();
        let is_joined = name[end..start]
            .iter()
            .all(|byte| matches!(byte, b'-' | b'_' | b'+' | b'/' | b'='));
        let is_word =
            piece.bytes.len() >= WORD_BYTES_MIN && piece.bytes.iter().all(u8::is_ascii_lowercase);
        if is_word || !is_joined {
            break;
        }
        start = piece.start;
    }
    start
}

/// Where in a piece an identifier begins; `None` if it is a word, or a word with a small number.
fn identifier_offset(piece: &[u8]) -> Option<usize> {
    let letters = piece
        .iter()
        .take_while(|byte| !byte.is_ascii_digit())
        .count();
    let digits = piece.len() - letters;
    if digits == 0 {
        return (!is_word(piece)).then_some(0);
    }
    let rest_is_a_number = piece[letters..].iter().all(u8::is_ascii_digit);
    match (letters, rest_is_a_number) {
        (0, true) => (digits >= DIGITS_MIN).then_some(0),
        (_, true) if is_word(&piece[..letters]) && letters > 1 => {
            (digits >= DIGITS_MIN).then_some(letters)
        }
        _ => (piece.len() >= MIXED_BYTES_MIN).then_some(0),
    }
}

/// Whether letters could be a word that somebody typed. Text beyond ASCII could.
fn is_word(letters: &[u8]) -> bool {
    if letters.len() > WORD_BYTES_MAX {
        return false;
    }
    if !letters.is_ascii() {
        return true;
    }
    let is_hex = letters.iter().all(u8::is_ascii_hexdigit);
    let is_vowel = |byte: &&u8| b"aeiouyAEIOUY".contains(*byte);
    let vowels = letters.iter().filter(is_vowel).count();
    let has_vowels =
        letters.len() < VOWELS_FROM_BYTES || vowels * LETTERS_PER_VOWEL_MAX >= letters.len();
    !(is_hex && letters.len() >= HEX_LETTERS_MIN) && has_vowels && has_word_case(letters)
}

/// Whether capitals stand as in words that are written together, `getUserById`: few of them, and
/// hardly ever a small letter alone between two.
fn has_word_case(letters: &[u8]) -> bool {
    let humps = letters
        .windows(2)
        .filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
        .count();
    let lonely = letters
        .windows(3)
        .filter(|three| {
            three[0].is_ascii_uppercase()
                && three[1].is_ascii_lowercase()
                && three[2].is_ascii_uppercase()
        })
        .count();
    humps * LETTERS_PER_HUMP_MIN <= letters.len() && lonely < LONELY_LETTERS_MIN
}

fn is_before_secret(piece: &[u8]) -> bool {
    WORDS_BEFORE_SECRETS
        .iter()
        .any(|word| word.as_bytes().eq_ignore_ascii_case(piece))
}

/// Where a number begins that closes the name; one that opens it is a version of the schema.
fn number_start(name: &[u8]) -> Option<usize> {
    let pieces = pieces(name);
    let first_word = pieces
        .iter()
        .position(|piece| !piece.bytes.iter().all(u8::is_ascii_digit))?;
    let number = |piece: &Piece<'_>| {
        let letters = piece
            .bytes
            .iter()
            .take_while(|byte| !byte.is_ascii_digit())
            .count();
        let is_number = letters != 1 && letters < piece.bytes.len();
        is_number.then_some(piece.start + letters)
    };
    pieces[first_word..].iter().find_map(number)
}

/// The pieces of a name between its separators.
fn pieces(name: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for bytes in name.split(|byte| is_separator(*byte)) {
        if !bytes.is_empty() {
            pieces.push(Piece { start, bytes });
        }
        start += bytes.len() + 1;
    }
    pieces
}

/// Whatever is neither letter nor digit; bytes of other scripts are letters.
fn is_separator(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// The start of what stands between `:`, `/`, `|` and spaces around this place.
fn segment_start(name: &[u8], place: usize) -> usize {
    let before = name[..place]
        .iter()
        .rposition(|byte| matches!(byte, b':' | b'/' | b'|' | b' '));
    before.map_or(0, |separator| separator + 1)
}

/// Where the mark of a kind ends in a name; for a mark at the end of the name, where the name's
/// identifier begins.
fn mark_end(name: &[u8], mark: Mark) -> Option<usize> {
    match mark {
        Mark::Start(start) => name.starts_with(start.as_bytes()).then_some(start.len()),
        Mark::Anywhere(text) => name
            .windows(text.len())
            .position(|window| window == text.as_bytes())
            .map(|start| start + text.len()),
        Mark::NodeAtEnd => {
            let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit());
            let end = name.len() - digits.count();
            let is_node = end < name.len() && name[..end].ends_with(b"-n");
            let id = &name[..end.saturating_sub(2)];
            let is_id = id.len() >= 16 && id.iter().all(u8::is_ascii_hexdigit);
            (is_node && is_id).then_some(0)
        }
        Mark::LaravelSession => {
            let start = name.len().checked_sub(LARAVEL_SESSION_BYTES)?;
            let (before, id) = name.split_at(start);
            let is_drawn = id.iter().all(u8::is_ascii_alphanumeric)
                && id.iter().any(u8::is_ascii_uppercase)
                && id.iter().any(u8::is_ascii_lowercase);
            let is_laravel = before.starts_with(b"laravel")
                && before.last().is_some_and(|byte| is_separator(*byte));
            (is_laravel && is_drawn).then_some(start)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_what_keys_have_in_common() {
        for (name, expected) in [
            ("user:12:profile", "user:"),
            ("user:7", "user:"),
            (":1:menu:3", ":1:menu:"),
            ("page_12", "page_"),
            ("key:123456", "key:"),
            ("key123", "key"),
            ("config:siteTitle", "config:"),
            ("alloptions", ""),
            ("v2:menu:top", "v2:menu:"),
            ("session:abc", "session:"),
            ("memc.sess.key.4f9a8b7c6d5e4f3a", "memc.sess.key."),
            ("42", ""),
        ] {
            let found = key_prefix(name.as_bytes());
            assert_eq!(std::str::from_utf8(found).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn kinds_of_data_are_recognised_by_their_names() {
        for (name, kind) in [
            ("memc.sess.key.abc", Some("PHP sessions")),
            ("memc.sess.key.lock.abc", Some("PHP session locks")),
            ("memc.sess.abc", Some("PHP sessions")),
            (":1:django.contrib.sessions.cachek", Some("Django sessions")),
            ("_session_id:2::abc", Some("Rails sessions")),
            ("session:abc", Some("sessions")),
            ("laravel_cache:users", Some("Laravel")),
            ("laravel:users", Some("Laravel")),
            (
                "laravel_cache_:Xq8ZbW3rT6yU1iO9pA5sD7fG2hJ4kL0zC6vB8nM1",
                Some("Laravel sessions"),
            ),
            (
                "laravel_cache_:da39a3ee5e6b4b0d3255bfef95601890afd80709",
                Some("Laravel"),
            ),
            ("wp_:posts:1", Some("WordPress")),
            ("site:options:alloptions", Some("WordPress")),
            ("sess:abc", Some("Express sessions")),
            ("bak:4F9A", Some("Tomcat sessions")),
            ("4F9A8B7C6D5E4F3A-n1", Some("Tomcat sessions")),
            ("wiki:MWSession:abc", Some("MediaWiki sessions")),
            ("tokens/abc", Some("Keystone tokens")),
            ("zc:k:1", Some("Magento")),
            ("user:1", None),
            ("", None),
        ] {
            assert_eq!(
                KeyKind::of(name.as_bytes()).map(|kind| kind.en),
                kind,
                "{name}"
            );
        }
    }
}
