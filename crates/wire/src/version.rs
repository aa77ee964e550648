//! Which release of memcached a server says it is.

use std::fmt;

/// A release of memcached, such as 1.6.18. Ordered by release.
///
/// It decides what may be asked (see [`Clearance`](crate::Clearance)), so it is read strictly:
/// what memcached itself would not print is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerVersion {
    /// The 1 of 1.6.18.
    pub major: u32,
    /// The 6 of 1.6.18.
    pub minor: u32,
    /// The 18 of 1.6.18.
    pub patch: u32,
}

/// Memcached has only ever been 1.x. Another number is another server's (memcached-njs and memcrsd
/// call themselves 0.0.1), and what is known of memcached's faults does not hold for it.
const MEMCACHED_MAJOR: u32 = 1;

impl ServerVersion {
    /// A release by its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> ServerVersion {
        ServerVersion {
            major,
            minor,
            patch,
        }
    }

    /// Reads what stands behind `VERSION`, or the value of the statistic `version`: `1.6.18`, with
    /// the suffix of a candidate (`1.6.0-rc1`), of a build from git (`1.4.4-14-g9c660c0`,
    /// `1.4.5_4_gaa7839e`) or of a distribution (`1.4.14 (Ubuntu)`).
    ///
    /// `None` for everything else: `yrmcds version 1.1.9`, `nodecached-0.2.0`, `0.0.1`, `1.6`, or
    /// a number beyond 32 bits.
    pub fn parse(text: &str) -> Option<ServerVersion> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = number(rest.strip_prefix('.')?)?;
        let is_memcached = major == MEMCACHED_MAJOR && is_suffix(rest);
        is_memcached.then_some(ServerVersion::new(major, minor, patch))
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The decimal number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// Nothing; or `-` or `_` and a build's name; and perhaps ` (Distribution)` behind it.
fn is_suffix(text: &str) -> bool {
    let (build, distribution) = match text.find(' ') {
        Some(space) => text.split_at(space),
        None => (text, ""),
    };
    let is_build = build.is_empty()
        || build
            .strip_prefix(['-', '_'])
            .is_some_and(|name| !name.is_empty() && name.bytes().all(is_build_byte));
    let is_distribution = distribution.is_empty()
        || distribution
            .strip_prefix(" (")
            .and_then(|rest| rest.strip_suffix(')'))
            .is_some_and(|name| !name.is_empty());
    is_build && is_distribution
}

fn is_build_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(u32, u32, u32)>) {
        let expect = expect.map(|(major, minor, patch)| ServerVersion::new(major, minor, patch));
        assert_eq!(ServerVersion::parse(text), expect, "{text:?}");
    }

    #[test]
    fn memcached_versions_are_read() {
        check("1.6.18", Some((1, 6, 18)));
        check("1.2.0", Some((1, 2, 0)));
        check("1.4.14 (Ubuntu)", Some((1, 4, 14)));
        check("1.4.25-2 (Ubuntu)", Some((1, 4, 25)));
        check("1.6.0-rc1", Some((1, 6, 0)));
        check("1.4.4-14-g9c660c0", Some((1, 4, 4)));
        check("1.4.5_4_gaa7839e", Some((1, 4, 5)));
        check("1.6.18 (日本語)", Some((1, 6, 18)));
    }

    #[test]
    fn other_versions_are_refused() {
        for text in [
            "",
            "1",
            "1.6",
            "1.6.",
            "1.6.x",
            " 1.6.18",
            "1.6.18 ",
            "1.6.18x",
            "1.6.18.1",
            "1.6.18-",
            "1.6.18 ()",
            "1.6.18 Ubuntu",
            "1.6.18-日本語",
            "1.6.18\r",
            "+1.6.18",
            "1.+6.18",
            "1.6.-18",
            "1.6.4294967296",
            "0.0.1",
            "2.0.0",
            "v1.6.18",
            "yrmcds version 1.1.9",
            "nodecached-0.2.0",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        let ordered = [
            "1.2.8",
            "1.4.4",
            "1.4.15",
            "1.5.6",
            "1.6.0-rc1",
            "1.6.9",
            "1.6.45",
        ];
        let versions: Vec<ServerVersion> = ordered
            .iter()
            .map(|text| ServerVersion::parse(text).expect("memcached's own"))
            .collect();
        assert!(versions.is_sorted());
        assert_eq!(versions[2].to_string(), "1.4.15");
    }
}
