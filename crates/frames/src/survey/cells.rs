//! Cutting the addresses of a permit so that every piece is routed alike.
//!
//! Routes, rules and own addresses are prefixes, and each prefix can change the route at two places
//! only: at its first address and behind its last. Between two such boundaries, of all tables
//! together, lies a cell: whichever tables the rules choose for it, all of its addresses match the
//! same prefixes, so one question to the kernel answers for all of them.
//!
//! ```text
//! routes       [----- 10.0.0.0/8 -----------------------------)
//!                      [-- 10.1.0.0/16 --)
//! permit          [======)         [==========)
//! pieces          [=][===)         [====][====)
//! ```

use std::net::{IpAddr, Ipv6Addr};

use targets::{AddressRange, predecessor, successor};

/// Addresses of the permit that lie in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: AddressRange,
    /// Pieces of the same cell are routed alike.
    pub(super) cell: usize,
}

/// Where a route can change inside of `ranges` (ascending, disjoint): ascending, each the first
/// address of a cell.
pub(super) fn boundaries(
    ranges: &[AddressRange],
    prefixes: impl IntoIterator<Item = AddressRange>,
) -> Vec<IpAddr> {
    // The families never share a cell.
    let mut boundaries = vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    for prefix in prefixes {
        let ends = [Some(prefix.first), successor(prefix.last)];
        boundaries.extend(ends.into_iter().flatten().filter(|end| cuts(ranges, *end)));
    }
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// Whether a boundary before `end` separates addresses of `ranges`: inside of a range, or between
/// two of them.
pub(super) fn cuts(ranges: &[AddressRange], end: IpAddr) -> bool {
    let (Some(lowest), Some(highest)) = (ranges.first(), ranges.last()) else {
        return false;
    };
    lowest.first < end && end <= highest.last
}

/// Cuts `ranges` (ascending, disjoint) at the boundaries (ascending).
pub(super) fn cut(ranges: &[AddressRange], boundaries: &[IpAddr]) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut first = range.first;
        let mut cell = boundaries.partition_point(|boundary| *boundary <= first);
        while let Some(boundary) = boundaries.get(cell).filter(|end| **end <= range.last) {
            if let Some(last) = predecessor(*boundary) {
                let range = AddressRange { first, last };
                pieces.push(Piece { range, cell });
            }
            first = *boundary;
            cell += 1;
        }
        let last = range.last;
        let range = AddressRange { first, last };
        pieces.push(Piece { range, cell });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        let ip = |text: &str| text.parse().expect("an address");
        if let Some((first, last)) = text.split_once('-') {
            return AddressRange::new(ip(first), ip(last)).expect("a range");
        }
        let (address, bits) = text.split_once('/').expect("a prefix");
        AddressRange::of_prefix(ip(address), bits.parse().expect("a length")).expect("a prefix")
    }

    fn ranges(text: &str) -> Vec<AddressRange> {
        text.split_whitespace().map(range).collect()
    }

    /// Pieces as text; those in the cell of the piece before have a `+`.
    fn check(permit: &str, prefixes: &str, expect: &str) {
        let permit = ranges(permit);
        let boundaries = boundaries(&permit, ranges(prefixes));
        let mut shown = Vec::new();
        let mut before = None;
        for piece in cut(&permit, &boundaries) {
            let sign = if before == Some(piece.cell) { "+" } else { "" };
            shown.push(format!("{sign}{}", piece.range));
            before = Some(piece.cell);
        }
        assert_eq!(
            shown,
            expect.split_whitespace().collect::<Vec<_>>(),
            "{prefixes}"
        );
    }

    #[test]
    fn pieces_end_where_a_prefix_does() {
        check("10.0.0.0/24", "", "10.0.0.0/24");
        check("10.0.0.0/24", "0.0.0.0/0", "10.0.0.0/24");
        check("10.0.0.0/24", "10.0.0.0/24 10.0.0.0/8", "10.0.0.0/24");
        check("10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/25 10.0.0.128/25");
        // Two prefixes whose ends meet make one boundary.
        check(
            "10.0.0.0/24",
            "10.0.0.0/25 10.0.0.128/25",
            "10.0.0.0/25 10.0.0.128/25",
        );
        check(
            "10.0.0.0/29",
            "10.0.0.1/32 10.0.0.7/32",
            "10.0.0.0 10.0.0.1 10.0.0.2-10.0.0.6 10.0.0.7",
        );
        check(
            "10.0.0.250-10.0.1.5 10.0.3.0/24",
            "10.0.1.0/24",
            "10.0.0.250-10.0.0.255 10.0.1.0-10.0.1.5 10.0.3.0/24",
        );
        // Two ranges without a boundary between them share a cell.
        check(
            "10.0.0.0/30 10.0.0.8/30",
            "10.0.0.0/8 11.0.0.0/8",
            "10.0.0.0/30 +10.0.0.8/30",
        );
    }

    #[test]
    fn both_ends_of_a_family_are_reached() {
        check(
            "0.0.0.0/0",
            "255.255.255.255/32 0.0.0.0/32",
            "0.0.0.0 0.0.0.1-255.255.255.254 255.255.255.255",
        );
        check(
            "fd00::/126",
            "fd00::2/128 fd00::3/128 ffff::/16",
            "fd00::/127 fd00::2 fd00::3",
        );
    }

    #[test]
    fn families_share_no_cell() {
        check("10.0.0.0/30 fd00::/126", "", "10.0.0.0/30 fd00::/126");
        check("::/126", "", "::/126");
    }
}
