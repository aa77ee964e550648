//! How the targets of a permit are reached: interfaces, routes, neighbours.
//!
//! 1. The targets are cut wherever a route or a rule of this machine begins or ends ([`cells`]).
//! 2. The kernel is asked for the route of one address of each cell ([`kernel`]): the answer is
//!    what its own sockets would do, policy routing and source address included.
//! 3. Gateways, and every target on a link, are asked for their hardware addresses
//!    ([`neighbours`]): whoever does not answer is not there.
//!
//! What frames cannot reach (this machine itself, broadcast addresses, encapsulating routes) is left
//! to ordinary sockets, and never guessed at.

mod cells;
mod kernel;
mod link_socket;
mod neighbours;
mod on_link;
mod questions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use model::MacAddress;
use sweep::reach::{Framing, Hop, Reach, Stretch, Way};
use sweep::reply::LinkLayer;
use targets::{AddressRange, Permit, successor};

use crate::FramesError;
pub use on_link::{OnLink, known_hosts, on_link};

use kernel::{Kernel, KnownNeighbours, Link, LinkKind, Route};
use neighbours::{Neighbourhood, Question};

/// Addresses that are asked for on links at most; at the default rate of 10,000 packets a second, a
/// round of questions takes 13 s then.
pub(crate) const NEIGHBOURS_MAX: u64 = 1 << 17;
/// Routes that the kernel is asked for at most; each takes some 10 µs.
const ROUTE_QUESTIONS_MAX: usize = 1 << 18;
/// Addresses without a route that sockets are still asked for, because the error that the system
/// gives them says more (no route, prohibited). More are absent.
const ROUTELESS_BY_SOCKETS_MAX: u128 = 1 << 16;

/// An interface that probes leave by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Our card's address; `None` where frames have no Ethernet header.
    pub(crate) hardware: Option<MacAddress>,
    pub(crate) layer: LinkLayer,
    pub(crate) mtu_bytes: u32,
}

/// What a survey found.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) reach: Reach,
    /// Every interface that a hop names.
    pub(crate) interfaces: Vec<Interface>,
    /// Gateways and hosts on the link, as they answered.
    pub(crate) neighbours: BTreeMap<IpAddr, MacAddress>,
    /// What the user should know, such as a gateway that does not answer.
    pub(crate) remarks: Vec<String>,
}

/// Asks the kernel for routes, and the links for their neighbours (ARP, NDP), at most `rate_pps`
/// requests a second. Only addresses of the permit are asked for, and the gateways towards them.
///
/// # Errors
///
/// If there is no such interface, if it is down, if none of the targets has a route, if frames
/// cannot be sent from here, or if every target is behind gateways that do not answer.
pub(crate) fn survey(
    permit: &Permit,
    interface: Option<&str>,
    rate_pps: u64,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Survey, FramesError> {
    let ranges: Vec<AddressRange> = permit.selection().ranges().collect();
    let mut kernel = Kernel::open()?;
    let links = kernel.links()?;
    let only = interface.map(|name| usable(&links, name)).transpose()?;
    let mut remarks = Vec::new();
    let routed = routes(&mut kernel, &ranges, only, &mut remarks)?;
    if !ranges.is_empty() && routed.iter().all(|routed| routed.route == Route::Missing) {
        return Err(no_route(&ranges, interface));
    }
    let legs = legs(&routed, &links, &mut remarks);
    let facts = ask(permit, &mut kernel, &links, &legs, rate_pps, is_stopped)?;
    let survey = compile(&legs, &links, &facts, remarks);
    let is_hopeless = facts.neighbourhood.is_complete
        && !facts.silent_gateways.is_empty()
        && legs
            .iter()
            .all(|leg| matches!(leg.kind, LegKind::Gateway { .. } | LegKind::Missing))
        && survey.reach.hops().is_empty();
    match facts.silent_gateways.first() {
        Some((interface, gateway)) if is_hopeless => Err(FramesError::Unsuited {
            engine: "packet",
            reason: format!(
                "{}, and no target is reached otherwise; see `ip route` and `ip neigh`, or use \
                 --engine socket",
                silence(&links, *interface, *gateway)
            ),
        }),
        _ => Ok(survey),
    }
}

/// The interface of this name, if frames can leave by it.
fn usable(links: &BTreeMap<u32, Link>, name: &str) -> Result<u32, FramesError> {
    let name = name.to_owned();
    match links.values().find(|link| link.name == name) {
        None => Err(FramesError::NoInterface { name }),
        Some(link) if !link.is_up => Err(FramesError::InterfaceDown { name }),
        Some(link) => Ok(link.index),
    }
}

fn no_route(ranges: &[AddressRange], interface: Option<&str>) -> FramesError {
    let targets = match ranges {
        [range] => range.to_string(),
        [range, ..] => format!("{range} or any other target"),
        [] => "any target".to_owned(),
    };
    let over = interface.map_or_else(String::new, |name| format!(" over {name}"));
    FramesError::Unsuited {
        engine: "packet",
        reason: format!("there is no route to {targets}{over}; `ip route` and `ip rule` list them"),
    }
}

/// Targets that the kernel would send to alike.
struct Routed {
    range: AddressRange,
    route: Route,
}

fn routes(
    kernel: &mut Kernel,
    ranges: &[AddressRange],
    only: Option<u32>,
    remarks: &mut Vec<String>,
) -> Result<Vec<Routed>, FramesError> {
    let mut prefixes = Vec::new();
    for is_ipv4 in [true, false] {
        let family = |range: &&AddressRange| range.first.is_ipv4() == is_ipv4;
        let of_family: Vec<AddressRange> = ranges.iter().filter(family).copied().collect();
        if of_family.is_empty() {
            continue;
        }
        let ends = |prefix: &AddressRange| [Some(prefix.first), successor(prefix.last)];
        let matters = |prefix: &AddressRange| {
            let mut ends = ends(prefix).into_iter().flatten();
            ends.any(|end| cells::cuts(&of_family, end))
        };
        prefixes.extend(kernel.prefixes(is_ipv4, &matters)?);
    }
    let boundaries = cells::boundaries(ranges, prefixes);
    let mut routed: Vec<Routed> = Vec::new();
    let mut questions = 0;
    let mut unasked = 0;
    let mut known = None;
    for piece in cells::cut(ranges, &boundaries) {
        let route = match known {
            Some((cell, route)) if cell == piece.cell => route,
            _ if questions == ROUTE_QUESTIONS_MAX => {
                unasked += 1;
                Route::Own
            }
            _ => {
                questions += 1;
                kernel.route(piece.range.first, only)?
            }
        };
        known = Some((piece.cell, route));
        match routed.last_mut() {
            Some(before)
                if before.route == route
                    && successor(before.range.last) == Some(piece.range.first) =>
            {
                before.range.last = piece.range.last;
            }
            _ => routed.push(Routed {
                range: piece.range,
                route,
            }),
        }
    }
    if unasked > 0 {
        remarks.push(format!(
            "the routes of this machine cut the targets into more than {ROUTE_QUESTIONS_MAX} \
             pieces; {unasked} of them are asked by ordinary sockets"
        ));
    }
    Ok(routed)
}

/// Targets whose frames are made alike.
struct Leg {
    range: AddressRange,
    kind: LegKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LegKind {
    /// Every address is a neighbour.
    Link { interface: u32, source: IpAddr },
    /// Behind a neighbour.
    Gateway {
        interface: u32,
        gateway: IpAddr,
        source: IpAddr,
    },
    /// On a link without neighbours.
    Bare { interface: u32, source: IpAddr },
    /// By ordinary sockets only.
    Sockets,
    /// No route.
    Missing,
}

/// What the routes mean for frames, and what of it is remarkable.
fn legs(routed: &[Routed], links: &BTreeMap<u32, Link>, remarks: &mut Vec<String>) -> Vec<Leg> {
    let mut on_links: u64 = 0;
    let mut too_many: u128 = 0;
    let mut unfit: BTreeMap<&str, u128> = BTreeMap::new();
    let mut legs = Vec::with_capacity(routed.len());
    for Routed { range, route } in routed {
        let mut kind = kind_of(*route, links, &mut |link| {
            *unfit.entry(link).or_default() += range.addresses();
        });
        if let LegKind::Link { .. } = kind {
            let addresses = u64::try_from(range.addresses()).unwrap_or(u64::MAX);
            let sum = on_links.saturating_add(addresses);
            if sum > NEIGHBOURS_MAX {
                too_many = too_many.saturating_add(range.addresses());
                kind = LegKind::Sockets;
            } else {
                on_links = sum;
            }
        }
        legs.push(Leg {
            range: *range,
            kind,
        });
    }
    for (link, addresses) in unfit {
        remarks.push(format!(
            "frames do not fit interface {link}, which is neither Ethernet with ARP nor a plain \
             tunnel; {addresses} addresses behind it are asked by ordinary sockets"
        ));
    }
    if too_many > 0 {
        remarks.push(format!(
            "more than {NEIGHBOURS_MAX} targets are on links of this machine; {too_many} of them \
             are asked by ordinary sockets"
        ));
    }
    legs
}

fn kind_of<'a>(
    route: Route,
    links: &'a BTreeMap<u32, Link>,
    unfit: &mut dyn FnMut(&'a str),
) -> LegKind {
    let (interface, source) = match route {
        Route::Own => return LegKind::Sockets,
        Route::Missing => return LegKind::Missing,
        Route::Direct { interface, source }
        | Route::Via {
            interface, source, ..
        } => (interface, source),
    };
    let Some(link) = links.get(&interface) else {
        return LegKind::Sockets;
    };
    match (link.kind, route) {
        (LinkKind::Bare, _) => LegKind::Bare { interface, source },
        (LinkKind::Ethernet(_), Route::Via { gateway, .. }) => LegKind::Gateway {
            interface,
            gateway,
            source,
        },
        (LinkKind::Ethernet(_), _) => LegKind::Link { interface, source },
        (LinkKind::Other, _) => {
            if !link.is_loopback {
                unfit(&link.name);
            }
            LegKind::Sockets
        }
    }
}

/// Who is there.
struct Facts {
    /// What the kernel was sure of, and what the links said.
    neighbourhood: Neighbourhood,
    silent_gateways: BTreeSet<(u32, IpAddr)>,
}

/// Asks for every gateway and every target on a link whose card the kernel does not know for sure.
fn ask(
    permit: &Permit,
    kernel: &mut Kernel,
    links: &BTreeMap<u32, Link>,
    legs: &[Leg],
    rate_pps: u64,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Facts, FramesError> {
    let link_locals = kernel.link_locals()?;
    let mut known = KnownNeighbours::new();
    for is_ipv4 in [true, false] {
        known.extend(kernel.neighbours(is_ipv4)?);
    }
    let gateways = gateways(legs);
    let first = gateways.iter().map(|(key, source)| (*key, *source));
    let mut sure = HashMap::new();
    let mut questions = Vec::new();
    for (key, source) in first.chain(hosts(legs)) {
        if let Some(entry) = known.get(&key).filter(|entry| entry.is_sure) {
            sure.insert(key, entry.hardware);
            continue;
        }
        let (interface, target) = key;
        let asker = asker(source, target, link_locals.get(&interface));
        questions.extend(asker.map(|source| Question {
            interface,
            target,
            source,
            is_gateway: gateways.contains_key(&key),
        }));
    }
    let mut neighbourhood = neighbours::ask(permit, &questions, links, rate_pps, is_stopped)?;
    neighbourhood.hardware.extend(sure);
    let mut silent_gateways = BTreeSet::new();
    for key in gateways.keys() {
        if neighbourhood.hardware.contains_key(key) {
            continue;
        }
        // What was right once is what the kernel would send to as well.
        match known.get(key) {
            Some(entry) => {
                neighbourhood.hardware.insert(*key, entry.hardware);
            }
            None => {
                silent_gateways.insert(*key);
            }
        }
    }
    Ok(Facts {
        neighbourhood,
        silent_gateways,
    })
}

/// Every gateway by interface and address, and our own address towards what is behind it.
fn gateways(legs: &[Leg]) -> BTreeMap<(u32, IpAddr), IpAddr> {
    let gateways = legs.iter().filter_map(|leg| match leg.kind {
        LegKind::Gateway {
            interface,
            gateway,
            source,
        } => Some(((interface, gateway), source)),
        _ => None,
    });
    gateways.collect()
}

/// Every target on a link, in the same form.
fn hosts(legs: &[Leg]) -> impl Iterator<Item = ((u32, IpAddr), IpAddr)> {
    legs.iter().flat_map(|leg| {
        let on_link = match leg.kind {
            LegKind::Link { interface, source } => Some((interface, source)),
            _ => None,
        };
        on_link.into_iter().flat_map(|(interface, source)| {
            addresses(leg.range).map(move |target| ((interface, target), source))
        })
    })
}

/// Our address that asks for `target`: where it is of another family (an IPv6 gateway towards IPv4
/// targets), the link-local one.
fn asker(source: IpAddr, target: IpAddr, link_local: Option<&Ipv6Addr>) -> Option<IpAddr> {
    if source.is_ipv4() == target.is_ipv4() {
        return Some(source);
    }
    target
        .is_ipv6()
        .then_some(link_local.copied().map(IpAddr::V6))
        .flatten()
}

fn addresses(range: AddressRange) -> impl Iterator<Item = IpAddr> {
    let following = |ip: &IpAddr| successor(*ip);
    std::iter::successors(Some(range.first), following).take_while(move |ip| *ip <= range.last)
}

/// Hops, each kept once.
#[derive(Default)]
struct Hops {
    hops: Vec<Hop>,
    places: HashMap<Hop, u32>,
}

impl Hops {
    fn way(&mut self, hop: Hop) -> Way {
        let place = *self.places.entry(hop).or_insert_with(|| {
            self.hops.push(hop);
            // There are no more hops than pieces and neighbours, both of which are limited.
            (self.hops.len() - 1) as u32
        });
        Way::Hop(place)
    }
}

fn compile(
    legs: &[Leg],
    links: &BTreeMap<u32, Link>,
    facts: &Facts,
    mut remarks: Vec<String>,
) -> Survey {
    let mut hops = Hops::default();
    let mut stretches: Vec<Stretch> = Vec::with_capacity(legs.len());
    let missing = way_of_missing(legs, &mut remarks);
    let mut behind_silence: BTreeMap<(u32, IpAddr), u128> = BTreeMap::new();
    for Leg { range, kind } in legs {
        let way = match *kind {
            LegKind::Sockets => Way::Sockets,
            LegKind::Missing => missing,
            LegKind::Bare { interface, source } => hops.way(Hop {
                interface,
                framing: Framing::Bare,
                source,
            }),
            LegKind::Gateway {
                interface,
                gateway,
                source,
            } => {
                let hop = ethernet(links, facts, interface, gateway, source);
                if hop.is_none() {
                    *behind_silence.entry((interface, gateway)).or_default() += range.addresses();
                }
                hop.map_or(Way::Sockets, |hop| hops.way(hop))
            }
            LegKind::Link { interface, source } => {
                for target in addresses(*range) {
                    let way = match ethernet(links, facts, interface, target, source) {
                        Some(hop) => hops.way(hop),
                        None if facts.neighbourhood.is_complete => Way::Absent,
                        None => Way::Sockets,
                    };
                    push(&mut stretches, AddressRange::single(target), way);
                }
                continue;
            }
        };
        push(&mut stretches, *range, way);
    }
    for ((interface, gateway), addresses) in behind_silence {
        remarks.push(format!(
            "{}; {addresses} addresses behind it are asked by ordinary sockets",
            silence(links, interface, gateway)
        ));
    }
    let neighbours = facts.neighbourhood.hardware.iter();
    Survey {
        interfaces: interfaces(&hops.hops, links),
        reach: Reach::new(stretches, hops.hops),
        neighbours: neighbours
            .map(|((_, address), hardware)| (*address, *hardware))
            .collect(),
        remarks,
    }
}

/// What becomes of targets without a route.
fn way_of_missing(legs: &[Leg], remarks: &mut Vec<String>) -> Way {
    let missing = legs.iter().filter(|leg| leg.kind == LegKind::Missing);
    let addresses: u128 = missing.map(|leg| leg.range.addresses()).sum();
    if addresses <= ROUTELESS_BY_SOCKETS_MAX {
        return Way::Sockets;
    }
    remarks.push(format!(
        "{addresses} of the targets have no route from here and count as absent"
    ));
    Way::Absent
}

/// The hop to a neighbour, if it is there.
fn ethernet(
    links: &BTreeMap<u32, Link>,
    facts: &Facts,
    interface: u32,
    neighbour: IpAddr,
    source: IpAddr,
) -> Option<Hop> {
    let LinkKind::Ethernet(ours) = links.get(&interface)?.kind else {
        return None;
    };
    let theirs = facts.neighbourhood.hardware.get(&(interface, neighbour))?;
    Some(Hop {
        interface,
        framing: Framing::Ethernet {
            source: ours,
            destination: *theirs,
        },
        source,
    })
}

/// Adds a stretch behind the others, or makes the last one longer.
fn push(stretches: &mut Vec<Stretch>, range: AddressRange, way: Way) {
    match stretches.last_mut() {
        Some(last) if last.way == way && successor(last.range.last) == Some(range.first) => {
            last.range.last = range.last;
        }
        _ => stretches.push(Stretch { range, way }),
    }
}

fn interfaces(hops: &[Hop], links: &BTreeMap<u32, Link>) -> Vec<Interface> {
    let indices: BTreeSet<u32> = hops.iter().map(|hop| hop.interface).collect();
    let named = indices.into_iter().filter_map(|index| links.get(&index));
    named
        .map(|link| {
            let (hardware, layer) = match link.kind {
                LinkKind::Ethernet(hardware) => (Some(hardware), LinkLayer::Ethernet),
                LinkKind::Bare | LinkKind::Other => (None, LinkLayer::Bare),
            };
            Interface {
                index: link.index,
                name: link.name.clone(),
                hardware,
                layer,
                mtu_bytes: link.mtu_bytes,
            }
        })
        .collect()
}

fn silence(links: &BTreeMap<u32, Link>, interface: u32, gateway: IpAddr) -> String {
    let name = links
        .get(&interface)
        .map_or("an unknown interface", |link| &link.name);
    let protocol = if gateway.is_ipv4() { "ARP" } else { "NDP" };
    format!("gateway {gateway} on {name} does not answer {protocol}")
}
