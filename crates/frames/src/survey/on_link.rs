//! Networks of this machine's own links that are too large to ask address by address: where they
//! are, and which of their hosts the kernel has met.

use std::net::{IpAddr, Ipv6Addr};

use targets::AddressRange;

use super::kernel::{Kernel, Link, LinkKind, Route};
use super::routes;
use crate::FramesError;

/// A link of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnLink {
    /// The interface's name.
    pub interface: String,
    /// Our own address that its hosts of the network would be asked from.
    pub source: Ipv6Addr,
}

/// The link that all of these addresses are on, as the routes of this machine say (its own addresses
/// among them are no exception); `None` if some are behind a gateway, on another link, or nowhere, or
/// if it is a link that has no hosts to be asked together.
///
/// # Errors
///
/// If the kernel does not tell its routes.
pub fn on_link(range: AddressRange) -> Result<Option<OnLink>, FramesError> {
    let mut kernel = Kernel::open()?;
    let links = kernel.links()?;
    let routed = routes(&mut kernel, &[range], None, &mut Vec::new())?;
    let mut link: Option<(&Link, Ipv6Addr)> = None;
    for routed in &routed {
        match routed.route {
            Route::Own => {}
            Route::Direct {
                interface,
                source: IpAddr::V6(source),
            } => match (links.get(&interface), link) {
                (Some(found), None) => link = Some((found, source)),
                (Some(found), Some((known, _))) if known.index == found.index => {}
                _ => return Ok(None),
            },
            Route::Direct { .. } | Route::Via { .. } | Route::Missing => return Ok(None),
        }
    }
    let asked_together = link.filter(|(link, _)| link.kind != LinkKind::Bare && !link.is_loopback);
    Ok(asked_together.map(|(link, source)| OnLink {
        interface: link.name.clone(),
        source,
    }))
}

/// Those of these addresses that the kernel has as neighbours on the link of this interface,
/// ascending.
///
/// # Errors
///
/// If the kernel does not tell its neighbours.
pub fn known_hosts(interface: &str, range: AddressRange) -> Result<Vec<Ipv6Addr>, FramesError> {
    let mut kernel = Kernel::open()?;
    let links = kernel.links()?;
    let index = links
        .values()
        .find(|link| link.name == interface)
        .map(|link| link.index);
    let neighbours = kernel.neighbours(false)?;
    let known = neighbours.keys().filter_map(|(on, ip)| match ip {
        IpAddr::V6(host) if Some(*on) == index && range.contains(*ip) => Some(*host),
        _ => None,
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{Lab, become_nobody, inside};

    /// Two links: two networks on the first, one of them behind a gateway of the other.
    fn lab() -> Lab {
        let lab = Lab::new();
        for line in [
            "sysctl --write net.ipv6.conf.near0.disable_ipv6=0",
            "ip address add fd00:1::1/64 dev near0 nodad",
            "ip address add fd00:1:0:1::1/64 dev near0 nodad",
            "ip route add fd00:2::/64 via fd00:1::9",
            "ip route add fd00:1:0:1:8000::/66 via fd00:1::9",
            "ip neigh add fd00:1::7 lladdr 02:00:00:00:00:07 dev near0",
            "ip neigh add fd00:1:0:1::8 lladdr 02:00:00:00:00:08 dev near0",
        ] {
            lab.near.run(line);
        }
        lab
    }

    #[test]
    fn only_what_is_on_one_link_as_a_whole_is_on_it() {
        let lab = lab();
        let near = |source: &str| {
            Some(OnLink {
                interface: "near0".to_owned(),
                source: source.parse().unwrap(),
            })
        };
        for (ip, bits, expect) in [
            ("fd00:1::", 64, near("fd00:1::1")),
            ("fd00:1::", 80, near("fd00:1::1")),
            ("fd00:1::", 63, None),
            ("fd00:1::", 48, None),
            ("fd00:1:0:1::", 64, None),
            ("fd00:1:0:1::", 65, near("fd00:1:0:1::1")),
            ("fd00:2::", 64, None),
            ("fd00:3::", 64, None),
            ("::1", 128, None),
        ] {
            let range = AddressRange::of_prefix(ip.parse().unwrap(), bits).unwrap();
            let found = inside(&lab.near, || {
                become_nobody();
                on_link(range)
            });
            assert_eq!(found, Ok(expect), "{ip}/{bits}");
        }
    }

    #[test]
    fn neighbours_are_those_of_the_interface_and_the_network() {
        let lab = lab();
        for (interface, ip, expect) in [
            ("near0", "fd00:1::", &["fd00:1::7"][..]),
            ("near0", "fd00:1:0:1::", &["fd00:1:0:1::8"]),
            ("near0", "fe80::", &[]),
            ("lo", "fd00:1::", &[]),
            ("nowhere0", "fd00:1::", &[]),
        ] {
            let range = AddressRange::of_prefix(ip.parse().unwrap(), 64).unwrap();
            let known = inside(&lab.near, || known_hosts(interface, range)).unwrap();
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            assert_eq!(known, expect, "{interface} {ip}");
        }
    }
}
