//! From targets to the set that is asked: names are resolved, `local` is looked up, and links are
//! asked for their hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use engine::links::{self, LinkError, Neighbours};
use model::{Address, Hostname, Text};
use targets::{
    AddressRange, Hosts, IPV6_ADDRESSES_MAX, LinkPermit, OutOfScope, Scope, ScopeEntry, Selection,
    SelectionBuilder, Target,
};

use crate::commands::job::Wanted;
use crate::exit::Failure;

/// Links that one run asks for their hosts: each takes more than a second.
const LINKS_MAX: usize = 16;

/// A link that is asked for its hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkTarget {
    /// The interface's name.
    pub(crate) interface: Arc<str>,
    /// The addresses that are looked for.
    pub(crate) range: AddressRange,
    /// Our own address that they are asked from; `None` = the link-local one.
    source: Option<Ipv6Addr>,
}

/// Targets, as far as they are known without asking a link.
pub(crate) struct Chosen {
    builder: SelectionBuilder,
    /// With the ports that their hosts are asked on.
    links: BTreeMap<LinkTarget, BTreeSet<Option<u16>>>,
}

/// What is asked.
pub(crate) struct Selected {
    pub(crate) selection: Selection,
    pub(crate) links: Vec<LinkTarget>,
    /// The scope entries that let the links be asked.
    pub(crate) entries: Vec<ScopeEntry>,
    /// How many hosts the links had.
    pub(crate) notes: Vec<Text>,
}

/// Resolves names, looks up `local`, finds the links, and joins everything into one set.
pub(crate) fn choose(
    wanted: &Wanted,
    names: &dyn Fn(&Address) -> Option<Hostname>,
) -> Result<Chosen, Failure> {
    let mut chosen = Chosen {
        builder: SelectionBuilder::new(wanted.ports.clone()),
        links: BTreeMap::new(),
    };
    for target in &wanted.targets {
        chosen.add(target, names)?;
    }
    for exclusion in &wanted.exclusions {
        chosen.exclude(exclusion)?;
    }
    if chosen.links.len() > LINKS_MAX {
        return Err(Failure::usage(format!(
            "{} links would be asked for their hosts; a run asks at most {LINKS_MAX}: scan them in \
             parts",
            chosen.links.len()
        )));
    }
    Ok(chosen)
}

impl Chosen {
    fn add(
        &mut self,
        target: &Target,
        names: &dyn Fn(&Address) -> Option<Hostname>,
    ) -> Result<(), Failure> {
        let builder = &mut self.builder;
        match &target.hosts {
            Hosts::Ranges(ranges) => match link_of(&target.typed, ranges)? {
                Some(link) => self.add_link(link, target.port),
                None => builder.add_ranges(ranges, target.port),
            },
            Hosts::Link { range, interface } => {
                check_interface(&target.typed, interface)?;
                let link = LinkTarget {
                    interface: Arc::clone(interface),
                    range: *range,
                    source: None,
                };
                self.add_link(link, target.port);
            }
            Hosts::Address(address) => {
                check_zone(&target.typed, address)?;
                builder.add_address(address.clone(), target.port, names(address));
            }
            Hosts::Unix(path) => {
                builder.add_address(Address::Unix(Arc::new(path.clone())), None, None);
            }
            Hosts::Name(name) => {
                let address = Address::from_ip(resolve(name)?);
                builder.add_address(address, target.port, Some(name.as_str().into()));
            }
            Hosts::Local => builder.add_ranges(&local_networks()?, target.port),
        }
        Ok(())
    }

    fn add_link(&mut self, link: LinkTarget, port: Option<u16>) {
        self.links.entry(link).or_default().insert(port);
    }

    fn exclude(&mut self, exclusion: &Target) -> Result<(), Failure> {
        let builder = &mut self.builder;
        match &exclusion.hosts {
            Hosts::Ranges(ranges) => {
                builder.exclude(ranges);
                // A link of which nothing is left is not asked either.
                self.links
                    .retain(|link, _| !ranges.iter().any(|range| holds(range, &link.range)));
            }
            Hosts::Link { range, interface } => {
                builder.exclude_link(*range, Arc::clone(interface));
                self.links
                    .retain(|link, _| !(link.interface == *interface && holds(range, &link.range)));
            }
            Hosts::Address(address) => builder.exclude_address(address),
            Hosts::Unix(path) => {
                builder.exclude_address(&Address::Unix(Arc::new(path.clone())));
            }
            Hosts::Name(name) => {
                builder.exclude(&[AddressRange::single(resolve(name)?)]);
            }
            Hosts::Local => builder.exclude(&local_networks()?),
        }
        Ok(())
    }

    /// The set, with the hosts of the links, which are asked unless it is `dry`. The scope comes
    /// first: nothing is sent if any target is out of it, or if the rest is not `ready`.
    pub(crate) fn select(
        self,
        scope: &Scope,
        dry: bool,
        ready: &dyn Fn() -> Result<(), Failure>,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<Selected, Failure> {
        let Chosen { mut builder, links } = self;
        if links.is_empty() {
            return Ok(Selected {
                selection: builder.build().map_err(Failure::usage)?,
                links: Vec::new(),
                entries: Vec::new(),
                notes: Vec::new(),
            });
        }
        let known = builder.clone().build_or_empty().map_err(Failure::usage)?;
        scope.check(&known).map_err(Failure::usage)?;
        let (mut permits, mut entries, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (link, ports) in &links {
            let permit = link.permit(scope).map_err(Failure::usage)?;
            entries.extend_from_slice(permit.entries_used());
            permits.push((permit, link.source, ports));
        }
        if !dry {
            ready()?;
        }
        for (permit, source, ports) in permits.iter().filter(|_| !dry) {
            let mut nonce = [0; 16];
            nonce[..8].copy_from_slice(&random().to_ne_bytes());
            nonce[8..].copy_from_slice(&random().to_ne_bytes());
            let found = links::neighbours(permit, *source, nonce)
                .map_err(|error: LinkError| Failure::usage(error))?;
            for address in &found.addresses {
                for port in *ports {
                    builder.add_found(address, *port);
                }
            }
            notes.push(note_of(permit, &found));
        }
        Ok(Selected {
            selection: builder.build_or_empty().map_err(Failure::usage)?,
            links: links.into_keys().collect(),
            entries,
            notes,
        })
    }

    /// The entries by which all of it is in scope, or what is not; no link is asked.
    pub(crate) fn entries(
        self,
        scope: &Scope,
    ) -> Result<Result<Vec<ScopeEntry>, OutOfScope>, Failure> {
        let mut entries = Vec::new();
        for link in self.links.keys() {
            match link.permit(scope) {
                Ok(permit) => entries.extend_from_slice(permit.entries_used()),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        let selection = if self.links.is_empty() {
            self.builder.build()
        } else {
            self.builder.build_or_empty()
        };
        let permit = scope.permit(selection.map_err(Failure::usage)?);
        Ok(permit.map(|permit| {
            entries.extend_from_slice(permit.entries_used());
            entries
        }))
    }
}

impl LinkTarget {
    fn permit(&self, scope: &Scope) -> Result<LinkPermit, OutOfScope> {
        scope.permit_link(Arc::clone(&self.interface), self.range)
    }
}

fn note_of(permit: &LinkPermit, found: &Neighbours) -> Text {
    let (interface, range, hosts) = (permit.interface(), permit.range(), found.addresses.len());
    let (more, more_ja) = if found.truncated {
        (
            " (there are more, which are not asked)",
            "（上限に達したため、残りは対象外）",
        )
    } else {
        ("", "")
    };
    Text::new(
        format!(
            "hosts of {range} on {interface}: {hosts}{more}; one that answers no echo to all nodes is \
             not found"
        ),
        format!(
            "{interface} 上の {range} で {hosts} 台を検出{more_ja}。全ノード宛てエコーに応答しないホストは\
             見つかりません"
        ),
    )
}

/// The link that is asked in the place of a network that is too large to ask every address.
fn link_of(typed: &str, ranges: &[AddressRange]) -> Result<Option<LinkTarget>, Failure> {
    let [range] = ranges else {
        return Ok(None);
    };
    let IpAddr::V6(first) = range.first else {
        return Ok(None);
    };
    if first.is_unicast_link_local() {
        return Err(Failure::usage(format!(
            "{typed:?}: link-local addresses need their interface; write a network and the interface, \
             such as fe80::/64%eth0"
        )));
    }
    if range.addresses() <= u128::from(IPV6_ADDRESSES_MAX) {
        return Ok(None);
    }
    let link = links::on_link(*range).map_err(Failure::usage)?;
    Ok(link.map(|link| LinkTarget {
        interface: link.interface.into(),
        range: *range,
        source: Some(link.source),
    }))
}

fn holds(outer: &AddressRange, inner: &AddressRange) -> bool {
    outer.contains(inner.first) && outer.contains(inner.last)
}

/// A link-local address means another host on every interface, so it names its own.
fn check_zone(typed: &str, address: &Address) -> Result<(), Failure> {
    match address {
        Address::Zoned(_, zone) => check_interface(typed, zone),
        Address::Ip(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Err(Failure::usage(format!(
            "{typed:?}: a link-local address needs its interface; write {ip}%INTERFACE, such as \
             {ip}%eth0"
        ))),
        Address::Ip(_) | Address::Unix(_) => Ok(()),
    }
}

fn check_interface(typed: &str, interface: &str) -> Result<(), Failure> {
    if sockets::has_interface(interface) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{typed:?}: this machine has no interface {interface:?}; `ip link` lists them"
    )))
}

fn resolve(name: &str) -> Result<IpAddr, Failure> {
    sockets::resolve(name)
        .map_err(|error| Failure::usage(format!("{error}; write an address, or check the name")))
}

fn local_networks() -> Result<Vec<AddressRange>, Failure> {
    let networks = sockets::local_networks();
    if networks.is_empty() {
        return Err(Failure::usage(
            "local: this machine is on no private IPv4 network; write a network such as \
             192.168.2.0/24",
        ));
    }
    Ok(networks)
}
