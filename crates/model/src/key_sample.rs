//! A few names of a server's keys, as counts: what kinds of data are stored there.
//!
//! Names of keys are personal data. A name goes into a [`KeyTally`] and is forgotten at once; what
//! comes out of it holds kinds, numbers, and patterns that several names share. No whole name and no
//! part of an identifier can be got back from it.

use std::collections::BTreeMap;

use crate::key_name::{KeyKind, key_prefix};

/// Patterns told apart; names of further ones are counted together.
const PATTERNS_MAX: usize = 20;
/// Patterns counted apart while names come. No sample has more names.
const PATTERNS_COUNTED_MAX: usize = 1_024;
/// A pattern is told if so many of the sampled names have it: one name's own would say whose it is.
const PATTERN_NAMES_MIN: u64 = 2;
/// Bytes of a pattern that are told. Programmers write shorter ones.
const PATTERN_BYTES_MAX: usize = 64;
/// What stands for the rest of a name.
const REST: char = '*';

/// How many of the sampled names show this kind of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: KeyKind,
    /// Names that show it.
    pub names: u64,
    /// What they begin with, and `*`: `memc.sess.key.*`. `None` if a single name shows the kind.
    pub pattern: Option<String>,
}

/// How many of the sampled names share a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternCount {
    /// What they begin with, and `*`; foreign text, as the server said it.
    pub pattern: String,
    /// Names that begin so, at least 2.
    pub names: u64,
}

/// What a sample of key names came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySample {
    /// The most names that were wished for.
    pub names_max: u64,
    /// Names that came.
    pub names_seen: u64,
    /// Kinds of data, those of most names first.
    pub kinds: Vec<KindCount>,
    /// Patterns, those of most names first; at most 20.
    pub patterns: Vec<PatternCount>,
    /// Names whose pattern is not told: nobody shares it, or there are too many.
    pub other_names: u64,
}

impl KeySample {
    /// The kinds that let whoever reads them act as somebody else.
    pub fn secrets(&self) -> impl Iterator<Item = &KindCount> {
        self.kinds.iter().filter(|count| count.kind.secret)
    }
}

/// Why no names were asked for, although the user wished it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsampled {
    /// It says no version of memcached; what harms some versions cannot be avoided then.
    UnknownVersion,
    /// It named no class that holds items.
    NoItems,
    /// It contradicts itself, so that its names would prove nothing.
    Contradictory,
    /// It speaks the binary protocol only, which lists no names.
    NotAscii,
    /// Its time was up, or it took no further connection.
    NoTime,
}

impl Unsampled {
    /// All reasons.
    pub const ALL: [Unsampled; 5] = [
        Unsampled::UnknownVersion,
        Unsampled::NoItems,
        Unsampled::Contradictory,
        Unsampled::NotAscii,
        Unsampled::NoTime,
    ];

    /// The word used in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Unsampled::UnknownVersion => "unknown-version",
            Unsampled::NoItems => "no-items",
            Unsampled::Contradictory => "contradictory",
            Unsampled::NotAscii => "not-ascii",
            Unsampled::NoTime => "no-time",
        }
    }
}

/// Counts names as they come, and keeps none.
#[derive(Clone, Debug, Default)]
pub struct KeyTally {
    names: u64,
    /// By the kind's English name; with the first pattern, and whether another name had it too.
    kinds: BTreeMap<&'static str, (KeyKind, u64, String)>,
    patterns: BTreeMap<String, u64>,
}

impl KeyTally {
    /// Counts a name.
    pub fn add(&mut self, name: &[u8]) {
        self.names += 1;
        let pattern = pattern_of(name);
        if let Some(kind) = KeyKind::of(name) {
            let (_, names, _) = self
                .kinds
                .entry(kind.en)
                .or_insert_with(|| (kind, 0, pattern.clone()));
            *names += 1;
        }
        let has_room = self.patterns.len() < PATTERNS_COUNTED_MAX;
        match self.patterns.get_mut(&pattern) {
            Some(names) => *names += 1,
            None if has_room => {
                self.patterns.insert(pattern, 1);
            }
            None => {}
        }
    }

    /// Names counted.
    pub fn names(&self) -> u64 {
        self.names
    }

    /// What may be kept of them, of at most `names_max` that were wished for.
    pub fn finish(self, names_max: u64) -> KeySample {
        let patterns = self.patterns;
        let is_shared = |pattern: &String| {
            let names = patterns.get(pattern).copied().unwrap_or(0);
            names >= PATTERN_NAMES_MIN
        };
        let mut kinds: Vec<KindCount> = self
            .kinds
            .into_values()
            .map(|(kind, names, pattern)| KindCount {
                kind,
                names,
                pattern: Some(pattern).filter(is_shared),
            })
            .collect();
        kinds.sort_by_key(|count| std::cmp::Reverse(count.names));
        let mut shared: Vec<PatternCount> = patterns
            .into_iter()
            .filter(|(pattern, names)| {
                *names >= PATTERN_NAMES_MIN && pattern.len() > REST.len_utf8()
            })
            .map(|(pattern, names)| PatternCount { pattern, names })
            .collect();
        shared.sort_by_key(|count| std::cmp::Reverse(count.names));
        shared.truncate(PATTERNS_MAX);
        let told: u64 = shared.iter().map(|count| count.names).sum();
        KeySample {
            names_max,
            names_seen: self.names,
            kinds,
            patterns: shared,
            other_names: self.names - told,
        }
    }
}

/// The beginning that a name shares with its likes, and `*`. Never the whole name.
fn pattern_of(name: &[u8]) -> String {
    let mut prefix = key_prefix(name);
    while prefix.len() == name.len() && !prefix.is_empty() {
        prefix = key_prefix(&prefix[..prefix.len() - 1]);
    }
    let text = String::from_utf8_lossy(prefix);
    let mut end = text.len().min(PATTERN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut pattern = text[..end].to_owned();
    pattern.push(REST);
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(names: &[&str]) -> KeySample {
        let mut tally = KeyTally::default();
        for name in names {
            tally.add(name.as_bytes());
        }
        tally.finish(50)
    }

    fn pattern(pattern: &str, names: u64) -> PatternCount {
        PatternCount {
            pattern: pattern.to_owned(),
            names,
        }
    }

    #[test]
    fn a_pattern_is_never_the_name() {
        for (name, expected) in [
            ("memc.sess.key.4f9a8b7c6d5e4f3a", "memc.sess.key.*"),
            ("memc.sess.key.", "memc.sess.*"),
            ("john@example.com.memc.sess.key.4f9a8b7c", "*"),
            ("user:john", "user:*"),
            ("user:", "*"),
            ("::::", ":::*"),
            ("alice", "*"),
            ("", "*"),
            ("a b", "a *"),
        ] {
            assert_eq!(pattern_of(name.as_bytes()), expected, "{name}");
        }
        let long = format!("{}x", "word:".repeat(40));
        assert_eq!(
            pattern_of(long.as_bytes()).len(),
            PATTERN_BYTES_MAX + REST.len_utf8()
        );
        let wide = format!("{}:x", "設定".repeat(40));
        assert!(pattern_of(wide.as_bytes()).len() <= PATTERN_BYTES_MAX + REST.len_utf8());
    }

    #[test]
    fn kinds_and_shared_patterns_are_counted() {
        let seen = sample(&[
            "memc.sess.key.4f9a8b7c6d5e4f3a",
            "memc.sess.key.aaaabbbbccccdddd",
            "memc.sess.key.0011223344556677",
            ":1:django.contrib.sessions.cacheq8w7e6r5t4y3u2i1o0p9a8s7d6f5g4h3",
            "menu:top",
            "menu:bottom",
            "alice:photo",
            "42",
            "bob",
        ]);
        assert_eq!((seen.names_max, seen.names_seen), (50, 9));
        let kinds: Vec<_> = seen
            .kinds
            .iter()
            .map(|count| (count.kind.en, count.names, count.pattern.as_deref()))
            .collect();
        let expected = [
            ("PHP sessions", 3, Some("memc.sess.key.*")),
            ("Django sessions", 1, None),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(seen.secrets().count(), 2);
        let expected = [pattern("memc.sess.key.*", 3), pattern("menu:*", 2)];
        assert_eq!(seen.patterns, expected);
        assert_eq!(seen.other_names, 4);
    }

    #[test]
    fn whatever_comes_the_sample_stays_small_and_adds_up() {
        let mut tally = KeyTally::default();
        for number in 0..5_000_u32 {
            // Letters alone, so that each is a word of its own.
            let word: String = (number / 2)
                .to_string()
                .bytes()
                .map(|digit| char::from(b'a' + digit - b'0'))
                .collect();
            tally.add(format!("{word}:{number}").as_bytes());
        }
        assert_eq!(tally.names(), 5_000);
        assert_eq!(tally.patterns.len(), PATTERNS_COUNTED_MAX);
        let seen = tally.finish(1_000);
        assert_eq!(seen.patterns.len(), PATTERNS_MAX);
        let told: u64 = seen.patterns.iter().map(|count| count.names).sum();
        assert_eq!(told + seen.other_names, 5_000);
    }
}
