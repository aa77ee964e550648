//! Versions as numbers, so that they can be compared and sorted, by a database too.

use model::UpstreamVersion;

/// Bits of each of the three numbers in a key; the key as a whole fits a signed 64-bit column.
const PART_BITS: u32 = 20;
/// The greatest number that fits a part.
pub(crate) const PART_MAX: u32 = (1 << PART_BITS) - 1;

/// The key of the version that a server gives itself: major, minor and patch, 20 bits each, so
/// that keys compare as releases do. `None` for what upstream memcached would not print (see
/// [`UpstreamVersion::parse`]), since other servers' numbers say nothing about memcached's age.
///
/// A candidate (`1.6.0-rc1`), a build from git and a distribution's package have the key of the
/// release they are named after, as for the rules that know in which release a flaw was mended.
pub fn version_key(text: &str) -> Option<u64> {
    let version = UpstreamVersion::parse(text)?;
    key_of(version.major, version.minor, version.patch)
}

/// The key of three numbers, if they fit.
pub(crate) fn key_of(major: u32, minor: u32, patch: u32) -> Option<u64> {
    let fits = major.max(minor).max(patch) <= PART_MAX;
    fits.then_some(
        (u64::from(major) << (2 * PART_BITS)) | (u64::from(minor) << PART_BITS) | u64::from(patch),
    )
}

/// The numbers of a key.
pub(crate) fn parts_of(key: u64) -> [u32; 3] {
    [2, 1, 0].map(|place| (key >> (place * PART_BITS)) as u32 & PART_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_releases_are() {
        let ordered = [
            "1.2.8",
            "1.4.4-14-g9c660c0",
            "1.4.5_4_gaa7839e",
            "1.4.14 (Ubuntu)",
            "1.4.15",
            "1.5.6",
            "1.5.20",
            "1.6.0-rc1",
            "1.6.9",
            "1.6.45",
        ];
        let keys: Vec<u64> = ordered
            .iter()
            .filter_map(|text| version_key(text))
            .collect();
        assert_eq!(keys.len(), ordered.len());
        assert!(keys.is_sorted_by(|one, other| one < other), "{keys:?}");
        assert_eq!(version_key("1.6.0-rc1"), version_key("1.6.0"));
        assert_eq!(version_key("1.5.6"), Some((1 << 40) | (5 << 20) | 6));
    }

    #[test]
    fn what_is_not_upstreams_has_no_key() {
        for text in [
            "yrmcds version 1.1.9",
            "0.0.1",
            "2.0.0",
            "1.6",
            "",
            "1.6.1048576",
        ] {
            assert_eq!(version_key(text), None, "{text:?}");
        }
    }
}
