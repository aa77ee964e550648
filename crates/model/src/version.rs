//! Version numbers of the memcached project itself.

use std::fmt;

/// A release of upstream memcached, such as 1.6.18. Ordered by release.
///
/// Other servers give themselves versions too; those are not comparable with upstream's, so
/// [`UpstreamVersion::parse`] refuses whatever upstream would not print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamVersion {
    /// The 1 of 1.6.18.
    pub major: u32,
    /// The 6 of 1.6.18.
    pub minor: u32,
    /// The 18 of 1.6.18.
    pub patch: u32,
}

/// Upstream has only ever released 1.x; any other major number belongs to somebody else
/// (memcached-njs and memcrsd call themselves 0.0.1).
const UPSTREAM_MAJOR: u32 = 1;

impl UpstreamVersion {
    /// A release by its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> UpstreamVersion {
        UpstreamVersion {
            major,
            minor,
            patch,
        }
    }

    /// Reads what a server says of itself: `1.6.18`, with the suffix of a build from git
    /// (`1.4.5_4_gaa7839e`, `1.4.4-14-g9c660c0`), of a candidate (`1.6.0-rc1`) or of a
    /// distribution (`1.4.14 (Ubuntu)`).
    ///
    /// `None` for everything else: `yrmcds version 1.1.9`, `nodecached-0.2.0`, `0.0.1`, `1.6`,
    /// or a number beyond 32 bits. Allocates nothing.
    pub fn parse(text: &str) -> Option<UpstreamVersion> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let known = major == UPSTREAM_MAJOR && is_suffix(rest);
        known.then_some(UpstreamVersion {
            major,
            minor,
            patch,
        })
    }
}

impl fmt::Display for UpstreamVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The decimal number at the start of a text, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Nothing, `-build` or `_build`, and then perhaps ` (Distribution)`.
fn is_suffix(text: &str) -> bool {
    let build_bytes = match text.as_bytes().first() {
        Some(b'-' | b'_') => text.bytes().take_while(|byte| is_build_byte(*byte)).count(),
        _ => 0,
    };
    let distribution = &text[build_bytes..];
    let is_distribution = distribution.len() > " ()".len()
        && distribution.starts_with(" (")
        && distribution.ends_with(')');
    build_bytes != 1 && (distribution.is_empty() || is_distribution)
}

fn is_build_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_versions_are_read_and_others_refused() {
        let cases = [
            ("1.6.18", Some((1, 6, 18))),
            ("1.4.14 (Ubuntu)", Some((1, 4, 14))),
            ("1.6.0-rc1", Some((1, 6, 0))),
            ("1.4.4-14-g9c660c0", Some((1, 4, 4))),
            ("1.4.5_4_gaa7839e", Some((1, 4, 5))),
            ("1.4.25-2 (Ubuntu)", Some((1, 4, 25))),
            ("1.2.8", Some((1, 2, 8))),
            ("yrmcds version 1.1.9", None),
            ("nodecached-0.2.0", None),
            ("0.0.1", None),
            ("2.0.0", None),
            ("1.6", None),
            ("1.6.", None),
            ("1.6.x", None),
            ("1.6.18x", None),
            ("1.6.18.1", None),
            ("1.6.18-", None),
            ("1.6.18 ()", None),
            ("1.6.18 Ubuntu", None),
            ("1.5.0 DF", None),
            ("1.6.18 (日本語)", Some((1, 6, 18))),
            ("1.6.18-日本語", None),
            ("1.6.4294967296", None),
            (" 1.6.18", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let expected =
                expected.map(|(major, minor, patch)| UpstreamVersion::new(major, minor, patch));
            assert_eq!(UpstreamVersion::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        let ordered = [
            "1.2.8", "1.4.4", "1.4.15", "1.5.6", "1.5.20", "1.6.0", "1.6.9", "1.6.45",
        ];
        let parsed: Vec<_> = ordered
            .iter()
            .filter_map(|v| UpstreamVersion::parse(v))
            .collect();
        assert_eq!(parsed.len(), ordered.len());
        assert!(parsed.is_sorted());
    }
}
