//! 80 servers in a network of the target's kernel: real memcached over both transports, over TCP
//! alone and over UDP alone, and lookalikes. Of the other addresses the odd ones are filtered and
//! the even ones closed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::super::Bench;
use super::super::impostors::{self, KINDS, Kind};
use super::super::servers::{Doors, Memcached};
use super::arena::Arena;

/// How many there are of each of the four sorts.
const OF_EACH: usize = 20;
const SORTS: usize = 4;

/// What a scan must say of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// This verdict.
    Is(&'static str),
    /// Anything but `exposed`; the same each time.
    Lookalike,
}

/// Over TCP, and over UDP.
type Servers = BTreeMap<Ipv4Addr, [Truth; 2]>;

/// The servers, and the network that they live in.
pub(super) struct Population {
    network: Ipv4Addr,
    addresses: u32,
    servers: Servers,
    _running: Vec<Memcached>,
}

impl Population {
    /// Starts them in the arena's target, 80 spread over a network of 2^(32 - `prefix_bits`)
    /// addresses, which the target's kernel must own.
    pub(super) fn settle(arena: &Arena, network: Ipv4Addr, prefix_bits: u32) -> Result<Population> {
        let addresses = 1_u32 << (32 - prefix_bits);
        let places = places(network, addresses);
        let target = &arena.lab.target;
        let (servers, running) = target.inside(|| start(arena.bench, &places))?;
        let elements: Vec<String> = places.iter().map(Ipv4Addr::to_string).collect();
        let table = network.to_bits();
        for rule in [
            format!("add table inet lab{table}"),
            format!(
                "add set inet lab{table} servers {{ type ipv4_addr; elements = {{ {} }}; }}",
                elements.join(", ")
            ),
            format!("add chain inet lab{table} input {{ type filter hook input priority 0; }}"),
            format!("add rule inet lab{table} input ip daddr @servers accept"),
            format!(
                "add rule inet lab{table} input ip daddr {network}/{prefix_bits} \
                 ip daddr & 0.0.0.1 == 0.0.0.1 drop"
            ),
        ] {
            target.nft(&rule);
        }
        Ok(Population {
            network,
            addresses,
            servers,
            _running: running,
        })
    }

    /// What is true of an endpoint.
    pub(super) fn truth(&self, address: Ipv4Addr, is_udp: bool) -> Truth {
        match self.servers.get(&address) {
            Some(truths) => truths[usize::from(is_udp)],
            None if address.to_bits().is_multiple_of(2) => Truth::Is("closed"),
            None if is_udp => Truth::Is("silent"),
            None => Truth::Is("filtered"),
        }
    }

    /// Every address of the network.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.network.to_bits();
        (first..first + self.addresses).map(Ipv4Addr::from_bits)
    }

    /// How many listen over TCP, or answer over UDP, and how many of these are real.
    pub(super) fn open(&self, is_udp: bool) -> usize {
        let truths = self
            .servers
            .values()
            .map(|truths| truths[usize::from(is_udp)]);
        truths.filter(|truth| *truth != Truth::Is("closed")).count()
    }
}

fn start(bench: &Bench, places: &[Ipv4Addr]) -> Result<(Servers, Vec<Memcached>)> {
    const OPEN: Truth = Truth::Is("exposed");
    const CLOSED: Truth = Truth::Is("closed");
    let mut sorts = places.chunks(OF_EACH);
    let mut next = || sorts.next().context("as many places as servers");
    let mut running = Vec::new();
    let mut servers = BTreeMap::new();
    for (doors, truths) in [
        (Doors::Both, [OPEN, OPEN]),
        (Doors::Tcp, [OPEN, CLOSED]),
        (Doors::Udp, [CLOSED, OPEN]),
    ] {
        let places = next()?;
        running.push(Memcached::start_behind(bench, places, doors, &[])?);
        servers.extend(places.iter().map(|place| (*place, truths)));
    }
    for (place, kind) in next()?.iter().zip(KINDS.into_iter().cycle()) {
        impostors::start(kind, *place)?;
        let truths = match kind {
            Kind::Datagram(_) => [CLOSED, Truth::Lookalike],
            Kind::Stream { .. } | Kind::Hangup => [Truth::Lookalike, CLOSED],
        };
        servers.insert(*place, truths);
    }
    Ok((servers, running))
}

/// Where the servers live: odd and even addresses, from one end of the network to the other, and
/// neither on its first nor on its last ten.
fn places(network: Ipv4Addr, addresses: u32) -> Vec<Ipv4Addr> {
    let count = u32::try_from(OF_EACH * SORTS).unwrap_or(u32::MAX);
    let step = ((addresses - 11) / count) | 1;
    let place = |number: u32| Ipv4Addr::from_bits(network.to_bits() + 1 + number * step);
    (0..count).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_spread_over_the_network() {
        for prefix_bits in [24, 16] {
            let addresses = 1 << (32 - prefix_bits);
            let places = places(Ipv4Addr::new(10, 1, 0, 0), addresses);
            assert_eq!(places.len(), 80);
            let odd = places.iter().filter(|place| place.to_bits() % 2 == 1);
            assert_eq!(odd.count(), 40);
            let last = places[79].to_bits() & (addresses - 1);
            assert!(last > addresses / 2 && last < addresses - 10, "{last}");
        }
    }
}
