//! Tests of the whole room: byte by byte, as laws, and in a made-up network with known truth.

mod frames;
mod pacing;
mod peer;
mod replies;
mod schedules;
mod simulation;

use std::net::IpAddr;

use model::MacAddress;
use targets::{AddressRange, Day, Permit, Scope, SelectionBuilder};

use crate::cookie::{COOKIE_VECTORS_KEY, CookieKey, SOURCE_PORTS, SourcePorts};
use crate::reach::{Framing, Hop};

const KEY: CookieKey = COOKIE_VECTORS_KEY;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn source_ports() -> SourcePorts {
    SourcePorts(std::array::from_fn::<u16, SOURCE_PORTS, _>(|place| {
        40_000 + place as u16
    }))
}

/// A permit for these ranges on these ports.
fn permit(ranges: &[(&str, &str)], ports: &[u16]) -> Permit {
    let mut builder = SelectionBuilder::new(ports.to_vec());
    for (first, last) in ranges {
        let range = AddressRange::new(ip(first), ip(last)).expect("a range");
        builder.add_ranges(&[range], None);
    }
    let selection = builder.build().expect("not empty");
    let today = Day::new(2026, 1, 1).expect("a day");
    Scope::new(vec![], today)
        .permit(selection)
        .expect("private addresses are free to scan")
}

fn ethernet(source: &str) -> Hop {
    Hop {
        interface: 1,
        framing: Framing::Ethernet {
            source: MacAddress([2, 0, 0, 0, 0, 1]),
            destination: MacAddress([2, 0, 0, 0, 0, 2]),
        },
        source: ip(source),
    }
}

fn bare(source: &str) -> Hop {
    Hop {
        framing: Framing::Bare,
        ..ethernet(source)
    }
}
