//! Inclusive ranges of addresses, and the few set operations that selections and scopes need.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::canonical_ip;
use thiserror::Error;

/// First IPv4-mapped IPv6 address, `::ffff:0.0.0.0` (RFC 4291 section 2.5.5.2).
const MAPPED_FIRST: Ipv6Addr = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
/// Last IPv4-mapped IPv6 address, `::ffff:255.255.255.255`.
const MAPPED_LAST: Ipv6Addr = Ipv4Addr::BROADCAST.to_ipv6_mapped();
/// Prefix length of the block of IPv4-mapped addresses, in bits.
const MAPPED_PREFIX_BITS: u8 = 96;

/// Addresses from `first` to `last`, both included, of one family, `first <= last`.
///
/// Build values with [`AddressRange::new`]. The fields are open for reading; a selection checks
/// what it is given again, so a range put together by hand cannot smuggle anything in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    /// The lowest address.
    pub first: IpAddr,
    /// The highest address.
    pub last: IpAddr,
}

/// Why two addresses, or an address and a prefix length, are no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// One end is IPv4, the other IPv6.
    #[error("one end of the range is IPv4, the other IPv6")]
    MixedFamilies,
    /// The first address is above the last.
    #[error("the range runs backwards")]
    Backwards,
    /// An IPv6 range that holds IPv4-mapped addresses among others.
    #[error(
        "the range holds IPv4-mapped addresses (::ffff:0:0/96) among others; write those as IPv4"
    )]
    HoldsMapped,
    /// A prefix length above 32 (IPv4) or 128 (IPv6).
    #[error("{0} is no prefix length (0-{1})")]
    Prefix(u8, u8),
}

impl AddressRange {
    /// The addresses from `first` to `last`. IPv4-mapped ends become IPv4.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<AddressRange, RangeError> {
        if let (IpAddr::V6(first), IpAddr::V6(last)) = (first, last) {
            let inside = |ip: Ipv6Addr| (MAPPED_FIRST..=MAPPED_LAST).contains(&ip);
            let touches = first <= MAPPED_LAST && last >= MAPPED_FIRST;
            if touches && !(inside(first) && inside(last)) {
                return Err(RangeError::HoldsMapped);
            }
        }
        let (first, last) = (canonical_ip(first), canonical_ip(last));
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::MixedFamilies);
        }
        if first > last {
            return Err(RangeError::Backwards);
        }
        Ok(AddressRange { first, last })
    }

    /// The range of one address.
    pub fn single(ip: IpAddr) -> AddressRange {
        let ip = canonical_ip(ip);
        AddressRange {
            first: ip,
            last: ip,
        }
    }

    /// The network that `ip` lies in, given the length of its prefix in bits: host bits of `ip` do
    /// not matter. For an IPv4-mapped `ip` the length counts IPv6 bits (`::ffff:10.0.0.0/104` is
    /// `10.0.0.0/8`).
    pub fn of_prefix(ip: IpAddr, prefix_bits: u8) -> Result<AddressRange, RangeError> {
        match ip {
            IpAddr::V4(v4) => {
                let host_bits = 32u32
                    .checked_sub(prefix_bits.into())
                    .ok_or(RangeError::Prefix(prefix_bits, 32))?;
                let host_mask = u32::MAX.checked_shr(32 - host_bits).unwrap_or(0);
                let number = v4.to_bits();
                AddressRange::new(
                    IpAddr::V4(Ipv4Addr::from_bits(number & !host_mask)),
                    IpAddr::V4(Ipv4Addr::from_bits(number | host_mask)),
                )
            }
            IpAddr::V6(v6) => {
                let host_bits = 128u32
                    .checked_sub(prefix_bits.into())
                    .ok_or(RangeError::Prefix(prefix_bits, 128))?;
                let host_mask = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
                let number = v6.to_bits();
                AddressRange::new(
                    IpAddr::V6(Ipv6Addr::from_bits(number & !host_mask)),
                    IpAddr::V6(Ipv6Addr::from_bits(number | host_mask)),
                )
            }
        }
    }

    /// How many addresses; `u128::MAX` for the whole of IPv6, which has one more.
    pub fn addresses(&self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    /// Whether the address lies in the range; an IPv4-mapped one counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = canonical_ip(ip);
        self.first <= ip && ip <= self.last && ip.is_ipv4() == self.first.is_ipv4()
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &AddressRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// The prefix length if the range is exactly one network.
    pub fn prefix_bits(&self) -> Option<u8> {
        let bits = common_prefix_bits(self.first, self.last);
        AddressRange::of_prefix(self.first, bits)
            .is_ok_and(|network| network == *self)
            .then_some(bits)
    }
}

/// A bare address, a network in CIDR form, or `first-last`: whichever is shortest and exact.
impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_bits() {
            _ if self.first == self.last => self.first.fmt(formatter),
            Some(bits) => write!(formatter, "{}/{bits}", self.first),
            None => write!(formatter, "{}-{}", self.first, self.last),
        }
    }
}

/// How many leading bits two addresses of one family share.
pub(crate) fn common_prefix_bits(first: IpAddr, last: IpAddr) -> u8 {
    let differing = number(first) ^ number(last);
    let unused_bits = if first.is_ipv4() { 96 } else { 0 };
    // At most 128 − 0: fits.
    (differing.leading_zeros() - unused_bits) as u8
}

/// The prefix length that covers one address of this family, in bits.
pub(crate) fn full_prefix_bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Shortens a prefix length that was written for an IPv6 spelling of an IPv4 network; `None` if it
/// reaches above the mapped block.
pub(crate) fn mapped_prefix_bits(prefix_bits: u8) -> Option<u8> {
    prefix_bits.checked_sub(MAPPED_PREFIX_BITS)
}

/// The address as an integer; only comparable within its family.
fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// How many steps `ip` lies above `first`.
///
/// # Panics
///
/// If `ip` lies below `first`; both are of one family.
pub fn steps_between(first: IpAddr, ip: IpAddr) -> u128 {
    number(ip) - number(first)
}

/// The address `steps` above `first`; the caller knows that it exists.
pub(crate) fn steps_above(first: IpAddr, steps: u64) -> IpAddr {
    match first {
        // The caller's steps stay within a range of the family, so the cut cannot lose bits.
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() + steps as u32)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() + u128::from(steps))),
    }
}

/// The next address of the family, if there is one.
pub fn successor(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_add(1)
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// The previous address of the family, if there is one.
pub fn predecessor(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(v4) => v4
            .to_bits()
            .checked_sub(1)
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(v6) => v6
            .to_bits()
            .checked_sub(1)
            .map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// Sorts the ranges and merges those that overlap or touch. The operations below want such lists.
pub(crate) fn normalize(ranges: &mut Vec<AddressRange>) {
    ranges.sort_unstable();
    // `dedup_by` hands over the later element first, and drops it when told that it was merged.
    ranges.dedup_by(|later, earlier| {
        let joins = later.first <= earlier.last || successor(earlier.last) == Some(later.first);
        if joins {
            earlier.last = earlier.last.max(later.last);
        }
        joins
    });
}

/// What is in `from` and not in `remove`, both normalized; the result is normalized.
pub(crate) fn subtract(from: &[AddressRange], remove: &[AddressRange]) -> Vec<AddressRange> {
    let mut kept = Vec::with_capacity(from.len());
    let mut holes = remove;
    for range in from {
        let passed = holes
            .iter()
            .take_while(|hole| hole.last < range.first)
            .count();
        holes = &holes[passed..];
        // The lowest address that no hole has been held against yet; `None` behind the very last
        // address of the family.
        let mut rest = Some(range.first);
        for hole in holes.iter().take_while(|hole| hole.first <= range.last) {
            if let (Some(first), Some(last)) = (rest, predecessor(hole.first))
                && first <= last
            {
                kept.push(AddressRange { first, last });
            }
            rest = successor(hole.last);
        }
        if let Some(first) = rest
            && first <= range.last
        {
            kept.push(AddressRange {
                first,
                last: range.last,
            });
        }
    }
    kept
}

/// The range of a normalized list that an address lies in.
pub(crate) fn find(ranges: &[AddressRange], ip: IpAddr) -> Option<&AddressRange> {
    let above = ranges.partition_point(|range| range.first <= ip);
    ranges[..above].last().filter(|range| range.contains(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ends_are_checked() {
        let cases = [
            ("10.0.0.1", "10.0.0.9", Ok("10.0.0.1-10.0.0.9")),
            ("10.0.0.0", "10.0.0.255", Ok("10.0.0.0/24")),
            ("10.0.0.7", "10.0.0.7", Ok("10.0.0.7")),
            ("0.0.0.0", "255.255.255.255", Ok("0.0.0.0/0")),
            ("::ffff:10.0.0.0", "::ffff:10.0.0.255", Ok("10.0.0.0/24")),
            ("10.0.0.0", "::ffff:10.0.0.255", Ok("10.0.0.0/24")),
            ("2001:db8::", "2001:db8::ff", Ok("2001:db8::/120")),
            ("10.0.0.9", "10.0.0.1", Err(RangeError::Backwards)),
            ("10.0.0.9", "2001:db8::", Err(RangeError::MixedFamilies)),
            (
                "::fffe:ffff:ffff",
                "::ffff:10.0.0.1",
                Err(RangeError::HoldsMapped),
            ),
            ("::ffff:10.0.0.1", "::1:0:0:0", Err(RangeError::HoldsMapped)),
            ("::", "ffff::", Err(RangeError::HoldsMapped)),
        ];
        for (first, last, expect) in cases {
            let range = AddressRange::new(ip(first), ip(last)).map(|range| range.to_string());
            assert_eq!(range, expect.map(str::to_owned), "{first} {last}");
        }
    }

    #[test]
    fn prefixes_cut_host_bits() {
        let cases = [
            ("192.168.2.7", 24, Ok("192.168.2.0/24")),
            ("192.168.2.7", 32, Ok("192.168.2.7")),
            ("192.168.2.7", 0, Ok("0.0.0.0/0")),
            ("192.168.2.7", 33, Err(RangeError::Prefix(33, 32))),
            ("2001:db8::7", 120, Ok("2001:db8::/120")),
            ("2001:db8::7", 128, Ok("2001:db8::7")),
            ("2001:db8::7", 129, Err(RangeError::Prefix(129, 128))),
            ("::ffff:10.1.2.3", 104, Ok("10.0.0.0/8")),
            ("::ffff:10.1.2.3", 95, Err(RangeError::HoldsMapped)),
            ("::", 0, Err(RangeError::HoldsMapped)),
        ];
        for (address, bits, expect) in cases {
            let range = AddressRange::of_prefix(ip(address), bits).map(|range| range.to_string());
            assert_eq!(range, expect.map(str::to_owned), "{address}/{bits}");
        }
    }

    #[test]
    fn sets_reach_both_ends_of_a_family() {
        let all = [AddressRange::new(ip("0.0.0.0"), ip("255.255.255.255")).unwrap()];
        let ends = [
            AddressRange::single(ip("0.0.0.0")),
            AddressRange::single(all[0].last),
        ];
        let inner = subtract(&all, &ends);
        assert_eq!(inner[0].to_string(), "0.0.0.1-255.255.255.254");
        assert_eq!(inner.len(), 1);
        assert_eq!(all[0].addresses(), 1 << 32);
        assert!(subtract(&all, &all).is_empty());
        assert_eq!(find(&all, ip("::1")), None);
    }

    #[test]
    fn families_are_never_merged() {
        let mut ranges = vec![
            AddressRange::single(ip("::")),
            AddressRange::single(ip("255.255.255.255")),
            AddressRange::single(ip("255.255.255.254")),
        ];
        normalize(&mut ranges);
        let shown: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["255.255.255.254/31", "::"]);
    }
}
