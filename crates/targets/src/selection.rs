//! What a run asks: a set of (address, port) pairs that is numbered and never expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Address, Hostname, canonical_ip};
use thiserror::Error;

use crate::range::{
    AddressRange, RangeError, find, normalize, predecessor, steps_above, steps_between, subtract,
    successor,
};

/// IPv4 addresses that a run covers at most.
pub const IPV4_ADDRESSES_MAX: u64 = 1 << 28;
/// IPv6 addresses that a run covers at most.
pub const IPV6_ADDRESSES_MAX: u64 = 1 << 24;
/// Addresses that may be named by themselves in one run, counted once for each port named with
/// them.
pub const NAMED_MAX: u64 = 1_000_000;
/// Ranges that are left after merging, at most; each costs a few dozen bytes.
pub const RANGES_MAX: u64 = 1 << 20;

/// Collected ranges are merged whenever there are this many, and twice as many as last time.
const MERGE_AT_LEAST: usize = 1 << 16;

/// An address and a port; the port of a unix socket is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// Where.
    pub address: Address,
    /// The port; 0 for a unix socket.
    pub port: u16,
}

/// Why the targets make no selection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectionError {
    /// Nothing was added, or no port.
    #[error("there is no target: name an address, a network or a host, and at least one port")]
    Empty,
    /// Everything that was added is excluded.
    #[error("nothing is left to scan: the exclusions cover every target")]
    AllExcluded,
    /// More addresses of a family than a run covers.
    #[error(
        "the targets hold {count} {family} addresses; a run takes at most {limit}: scan them in parts, or exclude more{}",
        hint_of(.family)
    )]
    TooManyAddresses {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// How many, exclusions subtracted.
        count: u128,
        /// How many a run covers.
        limit: u64,
    },
    /// More addresses named by themselves than a run takes.
    #[error(
        "{count} addresses are named by themselves; a run takes at most {limit}: write them as ranges, or scan them in parts"
    )]
    TooManyNamed {
        /// How many, exclusions subtracted.
        count: u64,
        /// How many a run takes.
        limit: u64,
    },
    /// More separate ranges than a run takes.
    #[error(
        "the targets and exclusions make {count} separate ranges; a run takes at most {limit}: scan them in parts"
    )]
    TooManyRanges {
        /// How many, after merging.
        count: u64,
        /// How many a run takes.
        limit: u64,
    },
    /// A range that was not built by [`AddressRange::new`] and is none.
    #[error("a range of the targets is wrong: {0}")]
    BadRange(RangeError),
}

fn hint_of(family: &str) -> &'static str {
    match family {
        "IPv6" => {
            " (a larger network can be scanned only on a link of this machine, which knows its hosts)"
        }
        _ => "",
    }
}

/// The port of a target: its own, or `None` for the ports of the run.
type PortKey = Option<u16>;

/// Collects targets and exclusions, in any order.
#[derive(Clone, Debug)]
pub struct SelectionBuilder {
    default_ports: Vec<u16>,
    ranges: BTreeMap<PortKey, Ranges>,
    named: Vec<(IpAddr, PortKey)>,
    singles: BTreeSet<Pair>,
    /// Zoned addresses that were found on a link.
    found: BTreeSet<Pair>,
    hostnames: BTreeMap<Address, Hostname>,
    excluded: Ranges,
    excluded_singles: BTreeSet<Address>,
    excluded_links: Vec<(AddressRange, Arc<str>)>,
    problem: Option<RangeError>,
}

impl SelectionBuilder {
    /// A builder for a run that asks `default_ports` wherever a target names no port. Port 0 is no
    /// port and is left out.
    pub fn new(mut default_ports: Vec<u16>) -> SelectionBuilder {
        default_ports.retain(|port| *port != 0);
        default_ports.sort_unstable();
        default_ports.dedup();
        SelectionBuilder {
            default_ports,
            ranges: BTreeMap::new(),
            named: Vec::new(),
            singles: BTreeSet::new(),
            found: BTreeSet::new(),
            hostnames: BTreeMap::new(),
            excluded: Ranges::default(),
            excluded_singles: BTreeSet::new(),
            excluded_links: Vec::new(),
            problem: None,
        }
    }

    /// Adds ranges, asked on `port`, or on the default ports if `None`.
    pub fn add_ranges(&mut self, ranges: &[AddressRange], port: Option<u16>) {
        for range in ranges {
            if let Some(range) = self.checked(range) {
                self.ranges.entry(port).or_default().push(range);
            }
        }
    }

    /// Adds an address that was named by itself, or found by resolving `hostname`. If it lies in a
    /// range too, it is asked once and counts as named. A second host name for an address is not
    /// kept. The port of a unix socket is always 0.
    pub fn add_address(&mut self, address: Address, port: Option<u16>, hostname: Option<Hostname>) {
        let address = canonical_address(&address);
        match &address {
            Address::Ip(ip) => self.named.push((*ip, port)),
            Address::Zoned(..) => {
                let pairs = self.pairs_of(&address, port);
                self.singles.extend(pairs);
            }
            Address::Unix(_) => {
                self.singles.insert(Pair {
                    address: address.clone(),
                    port: 0,
                });
            }
        }
        if let Some(hostname) = hostname {
            self.hostnames.entry(address).or_insert(hostname);
        }
    }

    /// Adds an address that was found on a link, where a range of addresses was looked for: it counts
    /// as one of a range.
    pub fn add_found(&mut self, address: &Address, port: Option<u16>) {
        match canonical_address(address) {
            Address::Ip(ip) => self.add_ranges(&[AddressRange::single(ip)], port),
            zoned_or_unix => {
                let pairs = self.pairs_of(&zoned_or_unix, port);
                self.found.extend(pairs);
            }
        }
    }

    fn pairs_of(&self, address: &Address, port: Option<u16>) -> Vec<Pair> {
        let ports = port.map_or_else(|| self.default_ports.clone(), |port| vec![port]);
        let pair = |port| Pair {
            address: address.clone(),
            port,
        };
        ports.into_iter().map(pair).collect()
    }

    /// Takes ranges out, whatever was or will be added, on every port. An address with a zone is
    /// taken out by its address, on every interface.
    pub fn exclude(&mut self, ranges: &[AddressRange]) {
        for range in ranges {
            if let Some(range) = self.checked(range) {
                self.excluded.push(range);
            }
        }
    }

    /// Takes one address out, on every port: of a link-local address with a zone only the one on
    /// that interface, of a unix socket the path as it is written.
    pub fn exclude_address(&mut self, address: &Address) {
        match canonical_address(address) {
            Address::Ip(ip) => self.excluded.push(AddressRange::single(ip)),
            zoned_or_unix => {
                self.excluded_singles.insert(zoned_or_unix);
            }
        }
    }

    /// Takes the addresses of a range out, on every port, as far as they are those of this interface.
    pub fn exclude_link(&mut self, range: AddressRange, interface: Arc<str>) {
        self.excluded_links.push((range, interface));
    }

    /// The set that was collected, if it is not empty and within the limits.
    pub fn build(self) -> Result<Selection, SelectionError> {
        let was_empty = self.is_empty();
        let selection = self.build_or_empty()?;
        match (selection.pairs(), was_empty) {
            (0, true) => Err(SelectionError::Empty),
            (0, false) => Err(SelectionError::AllExcluded),
            _ => Ok(selection),
        }
    }

    /// The same, for a caller who looked for hosts and knows that there may be none.
    pub fn build_or_empty(mut self) -> Result<Selection, SelectionError> {
        if let Some(problem) = self.problem {
            return Err(SelectionError::BadRange(problem));
        }
        let excluded = std::mem::take(&mut self.excluded).into_merged();
        self.drop_excluded(&excluded);
        self.named.sort_unstable();
        self.named.dedup();
        let named_count = (self.named.len() + self.singles.len()) as u64;
        if named_count > NAMED_MAX {
            return Err(SelectionError::TooManyNamed {
                count: named_count,
                limit: NAMED_MAX,
            });
        }

        let layers = self.layers(&excluded)?;
        // What was named as well counts as named.
        let found: Vec<Pair> = self.found.difference(&self.singles).cloned().collect();
        self.singles.extend(found.iter().cloned());
        let addresses = check_counts(&layers)? + distinct_singles(&self.singles);
        let (blocks, port_lists) = Blocks::of_layers(&layers, &self.default_ports).finish();
        let block_pairs = blocks.last().map_or(0, |block| block.end(&port_lists));
        let mut selection = Selection {
            blocks,
            port_lists,
            block_pairs,
            singles: self.singles.into_iter().collect(),
            found,
            named: self.named,
            default_ports: self.default_ports,
            hostnames: BTreeMap::new(),
            addresses,
        };
        self.hostnames
            .retain(|address, _| selection.holds_address(address));
        selection.hostnames = self.hostnames;
        Ok(selection)
    }

    /// Whether nothing has been added that would be asked on any port.
    fn is_empty(&self) -> bool {
        let asks_something = |key: &PortKey| key.is_some() || !self.default_ports.is_empty();
        self.singles.is_empty()
            && self.found.is_empty()
            && !self.named.iter().any(|(_, key)| asks_something(key))
            && !self.ranges.keys().any(asks_something)
    }

    fn drop_excluded(&mut self, excluded: &[AddressRange]) {
        self.named.retain(|(ip, _)| find(excluded, *ip).is_none());
        let (singles, links) = (&self.excluded_singles, &self.excluded_links);
        let is_left = |pair: &Pair| {
            let ip = pair.address.ip();
            let by_range = ip.is_some_and(|ip| find(excluded, ip).is_some());
            let by_link = links.iter().any(|(range, interface)| {
                matches!(&pair.address, Address::Zoned(ip, zone)
                    if zone == interface && range.contains(IpAddr::V6(*ip)))
            });
            !by_range && !by_link && !singles.contains(&pair.address)
        };
        self.singles.retain(is_left);
        self.found.retain(is_left);
    }

    /// For each port key the merged ranges asked there, named addresses included, exclusions
    /// subtracted.
    fn layers(&mut self, excluded: &[AddressRange]) -> Result<Vec<Layer>, SelectionError> {
        let mut collected: BTreeMap<PortKey, Vec<AddressRange>> = std::mem::take(&mut self.ranges)
            .into_iter()
            .map(|(key, ranges)| (key, ranges.into_merged()))
            .collect();
        for (ip, key) in &self.named {
            collected
                .entry(*key)
                .or_default()
                .push(AddressRange::single(*ip));
        }
        let mut layers = Vec::with_capacity(collected.len());
        let mut count = excluded.len() as u64;
        for (key, mut ranges) in collected {
            if key.is_none() && self.default_ports.is_empty() {
                continue;
            }
            normalize(&mut ranges);
            let ranges = subtract(&ranges, excluded);
            count += ranges.len() as u64;
            layers.push(Layer { key, ranges });
            // Named addresses have their own limit, and each adds at most one range.
            let count = count.saturating_sub(self.named.len() as u64);
            if count > RANGES_MAX {
                return Err(SelectionError::TooManyRanges {
                    count,
                    limit: RANGES_MAX,
                });
            }
        }
        Ok(layers)
    }

    /// The range in its canonical form; notes the problem of one that is wrong.
    fn checked(&mut self, range: &AddressRange) -> Option<AddressRange> {
        match AddressRange::new(range.first, range.last) {
            Ok(range) => Some(range),
            Err(problem) => {
                self.problem.get_or_insert(problem);
                None
            }
        }
    }
}

/// A set of (address, port) pairs, numbered from 0 in ascending order of address and port;
/// link-local addresses with a zone and unix sockets come last.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Disjoint and ascending; neighbours that touch have different ports.
    blocks: Vec<Block>,
    /// The distinct lists of ports, each ascending, that blocks refer to.
    port_lists: Vec<Vec<u16>>,
    /// How many pairs the blocks hold.
    block_pairs: u64,
    /// Pairs of zoned addresses and unix sockets, ascending; numbered after the blocks.
    singles: Vec<Pair>,
    /// Those of them that were found and not named, ascending.
    found: Vec<Pair>,
    /// Ascending.
    named: Vec<(IpAddr, PortKey)>,
    /// Ascending.
    default_ports: Vec<u16>,
    hostnames: BTreeMap<Address, Hostname>,
    addresses: u64,
}

impl Selection {
    /// How many pairs there are; at least 1, unless it was built by
    /// [`SelectionBuilder::build_or_empty`].
    pub fn pairs(&self) -> u64 {
        self.block_pairs + self.singles.len() as u64
    }

    /// How the pairs are numbered, in ascending order: what a sender needs that cannot call
    /// [`Selection::pair`], such as a program in the kernel. Zoned addresses and unix sockets come
    /// after the last block and are in none.
    pub fn blocks(&self) -> impl Iterator<Item = PairBlock<'_>> + '_ {
        self.blocks.iter().map(|block| PairBlock {
            range: block.range,
            ports: &self.port_lists[block.ports as usize],
            offset: block.offset,
        })
    }

    /// How many pairs the blocks hold: the numbers of zoned addresses and unix sockets begin here.
    pub fn block_pairs(&self) -> u64 {
        self.block_pairs
    }

    /// How many different addresses there are, unix sockets included.
    pub fn addresses(&self) -> u64 {
        self.addresses
    }

    /// The pair of a number, in O(log n).
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Selection::pairs`].
    pub fn pair(&self, index: u64) -> Pair {
        assert!(index < self.pairs(), "pair {index} of {}", self.pairs());
        if index >= self.block_pairs {
            return self.singles[(index - self.block_pairs) as usize].clone();
        }
        let after = self.blocks.partition_point(|block| block.offset <= index);
        let block = &self.blocks[after - 1];
        let ports = &self.port_lists[block.ports as usize];
        let within = index - block.offset;
        let ip = steps_above(block.range.first, within / ports.len() as u64);
        let port = ports[(within % ports.len() as u64) as usize];
        Pair {
            address: Address::Ip(ip),
            port,
        }
    }

    /// The number of a pair, in O(log n); `None` if it is not in the set.
    pub fn index_of(&self, address: &Address, port: u16) -> Option<u64> {
        let address = canonical_address(address);
        let Address::Ip(ip) = address else {
            let place = self.singles.binary_search(&Pair { address, port }).ok()?;
            return Some(self.block_pairs + place as u64);
        };
        let block = self.block_of(ip)?;
        let ports = &self.port_lists[block.ports as usize];
        let port_place = ports.binary_search(&port).ok()? as u64;
        // A block has at most 2^28 addresses.
        let steps = steps_between(block.range.first, ip) as u64;
        Some(block.offset + steps * ports.len() as u64 + port_place)
    }

    /// The ports that this address is asked on, ascending; none if it is in no block. O(log n).
    pub fn ports_of(&self, ip: IpAddr) -> &[u16] {
        self.block_of(canonical_ip(ip))
            .map_or(&[], |block| &self.port_lists[block.ports as usize])
    }

    /// Whether the pair is in the set.
    pub fn contains(&self, address: &Address, port: u16) -> bool {
        self.index_of(address, port).is_some()
    }

    /// Whether the pair is in the set and its address was named by itself for this port, rather
    /// than only as part of a range.
    pub fn is_named(&self, address: &Address, port: u16) -> bool {
        let address = canonical_address(address);
        if !self.contains(&address, port) {
            return false;
        }
        let Address::Ip(ip) = address else {
            return self.found.binary_search(&Pair { address, port }).is_err();
        };
        let named_with = |key: PortKey| self.named.binary_search(&(ip, key)).is_ok();
        named_with(Some(port))
            || (self.default_ports.binary_search(&port).is_ok() && named_with(None))
    }

    /// The numbers of the pairs whose addresses were named by themselves, each once and ascending
    /// by address, without going through the ranges.
    pub fn named_pairs(&self) -> impl Iterator<Item = u64> + '_ {
        let own_ports = |key: PortKey| match key {
            Some(port) => vec![port],
            None => self.default_ports.clone(),
        };
        self.named
            .chunk_by(|one, other| one.0 == other.0)
            .flat_map(move |same_address| {
                let ports: BTreeSet<u16> = same_address
                    .iter()
                    .flat_map(|(_, key)| own_ports(*key))
                    .collect();
                let address = Address::Ip(same_address[0].0);
                ports
                    .into_iter()
                    .filter_map(move |port| self.index_of(&address, port))
            })
            .chain(
                (self.block_pairs..self.pairs())
                    .filter(|index| self.found.binary_search(&self.pair(*index)).is_err()),
            )
    }

    /// The host name that this address was named by.
    pub fn hostname(&self, address: &Address) -> Option<&Hostname> {
        self.hostnames.get(&canonical_address(address))
    }

    /// The addresses as ascending ranges that neither overlap nor touch, whatever their ports;
    /// without those that have a zone, which are link-local, and without unix sockets.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> + '_ {
        let mut ranges = self.blocks.iter().map(|block| block.range).peekable();
        iter::from_fn(move || {
            let mut range = ranges.next()?;
            while let Some(next) = ranges.next_if(|next| successor(range.last) == Some(next.first))
            {
                range.last = next.last;
            }
            Some(range)
        })
    }

    /// Whether anything is asked over a network: false if there are only unix sockets.
    pub fn has_network(&self) -> bool {
        self.block_pairs > 0
            || self
                .singles
                .iter()
                .any(|pair| !matches!(pair.address, Address::Unix(_)))
    }

    /// A hash of the set: the same for the same pairs, however they were typed, and in every
    /// version of memsweep (FNV-1a, 64 bits). It tells a wrong resume file from the right one; it
    /// does not withstand someone who looks for collisions.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::new();
        for block in &self.blocks {
            hash.ip(block.range.first);
            hash.ip(block.range.last);
            let ports = &self.port_lists[block.ports as usize];
            hash.bytes(&(ports.len() as u64).to_le_bytes());
            for port in ports {
                hash.bytes(&port.to_le_bytes());
            }
        }
        for single in &self.singles {
            let text = single.address.to_string();
            hash.bytes(&(text.len() as u64).to_le_bytes());
            hash.bytes(text.as_bytes());
            hash.bytes(&single.port.to_le_bytes());
        }
        hash.state
    }

    /// The pairs whose addresses are no plain IP addresses.
    pub(crate) fn singles(&self) -> &[Pair] {
        &self.singles
    }

    fn block_of(&self, ip: IpAddr) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.range.first <= ip);
        self.blocks[..after]
            .last()
            .filter(|block| block.range.contains(ip))
    }

    fn holds_address(&self, address: &Address) -> bool {
        match address {
            Address::Ip(ip) => self.block_of(*ip).is_some(),
            Address::Zoned(..) | Address::Unix(_) => {
                let place = self.singles.partition_point(|pair| pair.address < *address);
                self.singles
                    .get(place)
                    .is_some_and(|pair| pair.address == *address)
            }
        }
    }
}

/// A range whose addresses are all asked on the same ports. Its pair number `offset + a * p + q` is
/// address `a` of the range with port `q` of the `p` ports, all counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairBlock<'a> {
    /// The addresses.
    pub range: AddressRange,
    /// The ports, ascending; at least one.
    pub ports: &'a [u16],
    /// The number of its first pair.
    pub offset: u64,
}

/// A range whose addresses are all asked on the same ports.
#[derive(Clone, Debug)]
struct Block {
    range: AddressRange,
    /// Place in the list of port lists.
    ports: u32,
    /// The number of its first pair.
    offset: u64,
}

impl Block {
    /// The number behind its last pair. The limits keep it below 2^45.
    fn end(&self, port_lists: &[Vec<u16>]) -> u64 {
        let ports = port_lists[self.ports as usize].len() as u64;
        self.offset + self.range.addresses() as u64 * ports
    }
}

/// The merged ranges that are asked on one port, or on the default ports.
struct Layer {
    key: PortKey,
    ranges: Vec<AddressRange>,
}

/// One end of a layer's range. In sorted order a range opens before its first address and closes
/// behind its last one, so a range that closes at an address comes after one that opens there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    ip: IpAddr,
    closes: bool,
    key: PortKey,
}

/// Lays the layers over each other: one pass over all edges cuts them into blocks within which the
/// set of ports does not change.
struct Blocks<'a> {
    default_ports: &'a [u16],
    blocks: Vec<Block>,
    port_lists: Vec<Vec<u16>>,
    /// Which port list belongs to a set of open layers.
    lists_of_layers: BTreeMap<Vec<PortKey>, u32>,
    /// Which port list has these ports.
    lists_of_ports: BTreeMap<Vec<u16>, u32>,
    pairs: u64,
}

impl<'a> Blocks<'a> {
    fn of_layers(layers: &[Layer], default_ports: &'a [u16]) -> Blocks<'a> {
        let mut edges: Vec<Edge> = Vec::new();
        for layer in layers {
            for range in &layer.ranges {
                edges.push(Edge {
                    ip: range.first,
                    closes: false,
                    key: layer.key,
                });
                edges.push(Edge {
                    ip: range.last,
                    closes: true,
                    key: layer.key,
                });
            }
        }
        edges.sort_unstable();

        let mut cut = Blocks {
            default_ports,
            blocks: Vec::new(),
            port_lists: Vec::new(),
            lists_of_layers: BTreeMap::new(),
            lists_of_ports: BTreeMap::new(),
            pairs: 0,
        };
        let mut open: BTreeSet<PortKey> = BTreeSet::new();
        // The first address that is in no block yet; means nothing while no layer is open.
        let mut begin = None;
        for edge in edges {
            let last = if edge.closes {
                Some(edge.ip)
            } else {
                predecessor(edge.ip)
            };
            if let (Some(first), Some(last), false) = (begin, last, open.is_empty())
                && first <= last
            {
                cut.push(AddressRange { first, last }, &open);
            }
            if edge.closes {
                open.remove(&edge.key);
                begin = successor(edge.ip);
            } else {
                open.insert(edge.key);
                begin = Some(edge.ip);
            }
        }
        cut
    }

    /// Appends a block, or lengthens the last one if it touches and has the same ports.
    fn push(&mut self, range: AddressRange, open: &BTreeSet<PortKey>) {
        let ports = self.port_list(open);
        let ports_count = self.port_lists[ports as usize].len() as u64;
        if ports_count == 0 {
            return;
        }
        let pairs = range.addresses() as u64 * ports_count;
        match self.blocks.last_mut() {
            Some(block)
                if block.ports == ports && successor(block.range.last) == Some(range.first) =>
            {
                block.range.last = range.last;
            }
            _ => self.blocks.push(Block {
                range,
                ports,
                offset: self.pairs,
            }),
        }
        self.pairs += pairs;
    }

    /// The place of the union of the open layers' ports. Different layers can have the same ports
    /// (11211 named, and 11211 by default), which must be one list for blocks to merge.
    fn port_list(&mut self, open: &BTreeSet<PortKey>) -> u32 {
        let layers: Vec<PortKey> = open.iter().copied().collect();
        if let Some(place) = self.lists_of_layers.get(&layers) {
            return *place;
        }
        let mut ports: Vec<u16> = layers.iter().flatten().copied().collect();
        if open.contains(&None) {
            ports.extend(self.default_ports);
        }
        ports.sort_unstable();
        ports.dedup();
        let place = *self
            .lists_of_ports
            .entry(ports)
            .or_insert_with_key(|ports| {
                self.port_lists.push(ports.clone());
                // There are fewer lists than blocks, and fewer than 2^32 of those.
                (self.port_lists.len() - 1) as u32
            });
        self.lists_of_layers.insert(layers, place);
        place
    }

    fn finish(self) -> (Vec<Block>, Vec<Vec<u16>>) {
        (self.blocks, self.port_lists)
    }
}

/// Ranges that are merged now and then while they are collected, so that writing the same network a
/// million times costs no memory.
#[derive(Clone, Debug, Default)]
struct Ranges {
    ranges: Vec<AddressRange>,
    merged_count: usize,
}

impl Ranges {
    fn push(&mut self, range: AddressRange) {
        self.ranges.push(range);
        if self.ranges.len() >= (2 * self.merged_count).max(MERGE_AT_LEAST) {
            normalize(&mut self.ranges);
            self.merged_count = self.ranges.len();
        }
    }

    fn into_merged(mut self) -> Vec<AddressRange> {
        normalize(&mut self.ranges);
        self.ranges
    }
}

/// The one spelling of an address: IPv4-mapped is IPv4, and a zone stays only where it means
/// something, on a link-local address.
fn canonical_address(address: &Address) -> Address {
    match address {
        Address::Zoned(ip, _) if !ip.is_unicast_link_local() => Address::from_ip(IpAddr::V6(*ip)),
        Address::Ip(ip) => Address::Ip(canonical_ip(*ip)),
        Address::Zoned(..) | Address::Unix(_) => address.clone(),
    }
}

/// How many different addresses the layers hold, if both families are within their limits.
fn check_counts(layers: &[Layer]) -> Result<u64, SelectionError> {
    let mut all: Vec<AddressRange> = layers
        .iter()
        .flat_map(|layer| layer.ranges.iter().copied())
        .collect();
    normalize(&mut all);
    let mut sum = 0;
    for (family, is_ipv4, limit) in [
        ("IPv4", true, IPV4_ADDRESSES_MAX),
        ("IPv6", false, IPV6_ADDRESSES_MAX),
    ] {
        let count = all
            .iter()
            .filter(|range| range.first.is_ipv4() == is_ipv4)
            .fold(0u128, |count, range| {
                count.saturating_add(range.addresses())
            });
        if count > u128::from(limit) {
            return Err(SelectionError::TooManyAddresses {
                family,
                count,
                limit,
            });
        }
        sum += count as u64;
    }
    Ok(sum)
}

fn distinct_singles(singles: &BTreeSet<Pair>) -> u64 {
    // Ascending by address first, so that equal addresses stand together.
    let mut addresses: Vec<&Address> = singles.iter().map(|pair| &pair.address).collect();
    addresses.dedup();
    addresses.len() as u64
}

/// FNV-1a with 64 bits, after the authors' parameters (draft-eastlake-fnv, section 5).
struct Fnv {
    state: u64,
}

impl Fnv {
    fn new() -> Fnv {
        Fnv {
            state: 0xcbf2_9ce4_8422_2325,
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state ^= u64::from(*byte);
            self.state = self.state.wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                self.bytes(&[4]);
                self.bytes(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.bytes(&[6]);
                self.bytes(&v6.octets());
            }
        }
    }
}

#[cfg(test)]
mod tests;
