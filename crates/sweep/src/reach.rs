//! Over which interface, from which address and to which neighbour a target is reached.

use std::net::IpAddr;

use model::MacAddress;
use targets::{AddressRange, successor};

/// What stands before the IP header on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// An Ethernet header with these addresses.
    Ethernet {
        /// Our card's address on that interface.
        source: MacAddress,
        /// The gateway's address, or the target's if it is on the link.
        destination: MacAddress,
    },
    /// Nothing: tun, WireGuard, PPP.
    Bare,
}

/// The first step towards a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The index of the interface.
    pub interface: u32,
    /// What stands before the IP header.
    pub framing: Framing,
    /// Our own address towards the target: the one that the kernel would choose.
    pub source: IpAddr,
}

/// How an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the hop of this place in [`Reach::hops`].
    Hop(u32),
    /// Not at all: nobody on the link has this address.
    Absent,
    /// By ordinary sockets only: this machine itself, or an interface that frames cannot use.
    Sockets,
}

/// Addresses that are reached alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The addresses.
    pub range: AddressRange,
    /// How.
    pub way: Way,
}

/// How every address of a run is reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    stretches: Vec<Stretch>,
    hops: Vec<Hop>,
    /// The stretches of IPv4 once more, in the form that is quickest to search.
    ipv4: Vec<StretchIpv4>,
}

/// A stretch of IPv4 addresses as numbers.
#[derive(Clone, Copy, Debug)]
struct StretchIpv4 {
    first: u32,
    last: u32,
    way: Way,
}

impl Reach {
    /// From stretches in any order that do not overlap. Touching stretches that are reached alike
    /// are joined.
    ///
    /// # Panics
    ///
    /// If stretches overlap, or name a hop that is not there.
    pub fn new(mut stretches: Vec<Stretch>, hops: Vec<Hop>) -> Reach {
        stretches.sort_unstable_by_key(|stretch| stretch.range);
        for pair in stretches.windows(2) {
            let (range, next) = (pair[0].range, pair[1].range);
            assert!(range.last < next.first, "{range} and {next} overlap");
        }
        for stretch in &stretches {
            if let Way::Hop(place) = stretch.way {
                assert!((place as usize) < hops.len(), "there is no hop {place}");
            }
        }
        stretches.dedup_by(|later, earlier| {
            let joins = later.way == earlier.way
                && successor(earlier.range.last) == Some(later.range.first);
            if joins {
                earlier.range.last = later.range.last;
            }
            joins
        });
        let ipv4 = stretches
            .iter()
            .filter_map(|stretch| match (stretch.range.first, stretch.range.last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => Some(StretchIpv4 {
                    first: first.to_bits(),
                    last: last.to_bits(),
                    way: stretch.way,
                }),
                _ => None,
            })
            .collect();
        Reach {
            stretches,
            hops,
            ipv4,
        }
    }

    /// How an address is reached; [`Way::Sockets`] if no stretch holds it. O(log n).
    #[inline]
    pub fn way(&self, address: IpAddr) -> Way {
        match address {
            IpAddr::V4(v4) => self.way_ipv4(v4.to_bits()),
            IpAddr::V6(_) => self.way_ipv6(address),
        }
    }

    /// The hop of a way, if frames reach it.
    pub fn hop(&self, way: Way) -> Option<&Hop> {
        match way {
            Way::Hop(place) => self.hops.get(place as usize),
            Way::Absent | Way::Sockets => None,
        }
    }

    /// All stretches, ascending (IPv4 before IPv6).
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// All hops.
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    #[inline]
    fn way_ipv4(&self, address: u32) -> Way {
        let place = self.ipv4.partition_point(|stretch| stretch.last < address);
        match self.ipv4.get(place) {
            Some(stretch) if stretch.first <= address => stretch.way,
            _ => Way::Sockets,
        }
    }

    fn way_ipv6(&self, address: IpAddr) -> Way {
        let ipv6 = &self.stretches[self.ipv4.len()..];
        let place = ipv6.partition_point(|stretch| stretch.range.last < address);
        match ipv6.get(place) {
            Some(stretch) if stretch.range.first <= address => stretch.way,
            _ => Way::Sockets,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn hop(interface: u32) -> Hop {
        Hop {
            interface,
            framing: Framing::Bare,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    fn stretch(first: &str, last: &str, way: Way) -> Stretch {
        let range = AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
        Stretch { range, way }
    }

    #[test]
    fn every_address_has_the_way_of_its_stretch() {
        let reach = Reach::new(
            vec![
                stretch("fd00::10", "fd00::20", Way::Hop(1)),
                stretch("10.0.0.128", "10.0.0.255", Way::Hop(0)),
                stretch("10.0.0.0", "10.0.0.127", Way::Hop(0)),
                stretch("10.0.1.0", "10.0.1.0", Way::Absent),
                stretch("10.0.2.0", "10.0.2.9", Way::Sockets),
                stretch("255.255.255.255", "255.255.255.255", Way::Hop(1)),
                stretch("::", "::", Way::Hop(1)),
            ],
            vec![hop(1), hop(2)],
        );
        for (address, expect) in [
            ("9.255.255.255", Way::Sockets),
            ("10.0.0.0", Way::Hop(0)),
            ("10.0.0.127", Way::Hop(0)),
            ("10.0.0.128", Way::Hop(0)),
            ("10.0.0.255", Way::Hop(0)),
            ("10.0.1.0", Way::Absent),
            ("10.0.1.1", Way::Sockets),
            ("10.0.2.5", Way::Sockets),
            ("255.255.255.255", Way::Hop(1)),
            ("::", Way::Hop(1)),
            ("::1", Way::Sockets),
            ("fd00::f", Way::Sockets),
            ("fd00::10", Way::Hop(1)),
            ("fd00::20", Way::Hop(1)),
            ("fd00::21", Way::Sockets),
        ] {
            assert_eq!(reach.way(address.parse().unwrap()), expect, "{address}");
        }
        let first = reach.stretches()[0];
        assert_eq!(
            first,
            stretch("10.0.0.0", "10.0.0.255", Way::Hop(0)),
            "joined"
        );
        assert_eq!(reach.stretches().len(), 6);
        assert_eq!(reach.hop(Way::Hop(1)), Some(&hop(2)));
        assert_eq!(reach.hop(Way::Absent), None);
        assert_eq!(
            Reach::default().way("10.0.0.1".parse().unwrap()),
            Way::Sockets
        );
    }

    #[test]
    fn wrong_stretches_are_refused() {
        let refused = |stretches: Vec<Stretch>| {
            std::panic::catch_unwind(|| Reach::new(stretches, vec![hop(1)])).is_err()
        };
        let whole = stretch("10.0.0.0", "10.0.0.255", Way::Absent);
        assert!(refused(vec![
            whole,
            stretch("10.0.0.255", "10.0.1.0", Way::Absent)
        ]));
        assert!(refused(vec![
            whole,
            stretch("10.0.0.7", "10.0.0.7", Way::Sockets)
        ]));
        assert!(refused(vec![stretch("10.0.0.0", "10.0.0.1", Way::Hop(1))]));
        assert!(!refused(vec![
            whole,
            stretch("10.0.1.0", "10.0.1.0", Way::Hop(0))
        ]));
    }
}
