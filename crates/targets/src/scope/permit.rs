//! The permit to send: what stands between a typed address and a packet.
//!
//! The wall is made of privacy. The fields of [`Permit`] and [`Permitted`] can be set only in this
//! file, and `Permit::mint` can be called only from the module above, which calls it in one place:
//! behind the check of every address. `Permitted` values come only out of a permit. The hands that
//! send take a `Permitted` where they would otherwise take an address, so a probe to an address
//! that was not checked does not compile. A test reads the sources and fails if another way opens.
//!
//! An echo to all nodes of a link has no address of its own that could be checked: it is heard by
//! whoever is there. It takes a [`LinkPermit`], whose addresses were checked as a range.

use std::net::IpAddr;
use std::sync::Arc;

use model::{Address, Endpoint, Transport};

use super::ScopeEntry;
use crate::range::AddressRange;
use crate::selection::{Pair, Selection};

/// A selection whose every address may be scanned. Made by [`crate::Scope::permit`] and by nothing
/// else; not `Clone`, so that one run has one permit.
#[derive(Debug)]
pub struct Permit {
    selection: Selection,
    entries: Vec<ScopeEntry>,
}

impl Permit {
    /// A permit for a selection that the caller has checked.
    pub(super) fn mint(selection: Selection, entries: Vec<ScopeEntry>) -> Permit {
        Permit { selection, entries }
    }

    /// How many (address, port) pairs are permitted.
    pub fn pairs(&self) -> u64 {
        self.selection.pairs()
    }

    /// The pair of a number, permitted.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Permit::pairs`].
    pub fn pair(&self, index: u64) -> Permitted {
        let Pair { address, port } = self.selection.pair(index);
        let named = self.selection.is_named(&address, port);
        Permitted {
            address,
            port,
            named,
        }
    }

    /// The pair of this address and port, if it is one of those permitted.
    pub fn admit(&self, address: &Address, port: u16) -> Option<Permitted> {
        // Going through the index hands out the permit's own spelling of the address.
        let index = self.selection.index_of(address, port)?;
        Some(self.pair(index))
    }

    /// What is permitted.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The scope entries that the permit rests on; none if every address is free to scan.
    pub fn entries_used(&self) -> &[ScopeEntry] {
        &self.entries
    }
}

/// An address and a port that may be sent to: the only thing that sending takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permitted {
    address: Address,
    port: u16,
    named: bool,
}

impl Permitted {
    /// Where.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The port; 0 for a unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the address was named by itself, so that it gets a record whatever comes of it.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The endpoint over this transport.
    pub fn endpoint(&self, transport: Transport) -> Endpoint {
        Endpoint::new(self.address.clone(), self.port, transport)
    }
}

/// Addresses on the link of one interface that may all be scanned, so that the link may be asked
/// which of them are there. Made by [`crate::Scope::permit_link`] and by nothing else.
#[derive(Debug)]
pub struct LinkPermit {
    interface: Arc<str>,
    range: AddressRange,
    entries: Vec<ScopeEntry>,
}

impl LinkPermit {
    /// A permit for a range that the caller has checked.
    pub(super) fn mint(
        interface: Arc<str>,
        range: AddressRange,
        entries: Vec<ScopeEntry>,
    ) -> LinkPermit {
        LinkPermit {
            interface,
            range,
            entries,
        }
    }

    /// The interface's name.
    pub fn interface(&self) -> &Arc<str> {
        &self.interface
    }

    /// The addresses.
    pub fn range(&self) -> AddressRange {
        self.range
    }

    /// The scope entries that the permit rests on; none if every address is free to scan.
    pub fn entries_used(&self) -> &[ScopeEntry] {
        &self.entries
    }

    /// Whether the address is one of those that are looked for.
    pub fn covers(&self, ip: IpAddr) -> bool {
        self.range.contains(ip)
    }
}

#[cfg(test)]
mod tests {
    /// Every source file of the room but this one.
    const OTHER_SOURCES: [(&str, &str); 7] = [
        ("lib.rs", include_str!("../lib.rs")),
        ("parse.rs", include_str!("../parse.rs")),
        ("range.rs", include_str!("../range.rs")),
        ("selection.rs", include_str!("../selection.rs")),
        ("scope.rs", include_str!("../scope.rs")),
        ("scope/day.rs", include_str!("day.rs")),
        ("order.rs", include_str!("../order.rs")),
    ];

    /// The source without its comments and without what follows from the tests on.
    fn code(source: &str) -> String {
        source
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn count(source: &str, pattern: &str) -> usize {
        code(source).matches(pattern).count()
    }

    #[test]
    fn permits_come_from_one_place() {
        let here = include_str!("permit.rs");
        assert_eq!(
            count(here, "Permitted {"),
            4,
            "struct, impl, end of `pair`'s head, literal"
        );
        assert_eq!(count(here, "-> Permitted {"), 1, "`Permit::pair`");
        assert_eq!(count(here, "Option<Permitted>"), 1, "`Permit::admit`");
        assert_eq!(count(here, "-> Permit {"), 1, "`Permit::mint`");
        assert_eq!(count(here, "-> LinkPermit {"), 1, "`LinkPermit::mint`");
        assert_eq!(count(here, "LinkPermit {"), 4, "struct, impl, mint twice");
        assert_eq!(count(here, "pub(super) fn mint"), 2);
        assert_eq!(count(here, "mut"), 0, "nothing changes a permit");
        for (name, source) in OTHER_SOURCES {
            let minted = usize::from(name == "scope.rs");
            assert_eq!(count(source, " Ok(Permit::mint("), minted, "{name}");
            assert_eq!(count(source, " Ok(LinkPermit::mint("), minted, "{name}");
            assert_eq!(count(source, "::mint("), 2 * minted, "{name}");
            assert_eq!(count(source, "<Permit,"), minted, "{name}");
            assert_eq!(count(source, "<LinkPermit,"), minted, "{name}");
            for pattern in [
                "Permitted>",
                "Permitted {",
                "-> Permitted",
                "LinkPermit {",
                "&mut Permit",
                "&mut LinkPermit",
            ] {
                assert_eq!(count(source, pattern), 0, "{name}: {pattern}");
            }
        }
    }
}
