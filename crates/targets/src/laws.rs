//! Laws of the room, held against naive models on generated cases.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Address, AddressKind};
use proptest::prelude::*;

use crate::range::{find, normalize, subtract};
use crate::*;

/// A small universe: 24 addresses around the border of a free network, 16 around `::1`, the last 8
/// of IPv4. Close together, so that ranges overlap, touch and split each other.
fn universe() -> Vec<IpAddr> {
    let free = Ipv4Addr::new(9, 255, 255, 244).to_bits();
    let last = Ipv4Addr::new(255, 255, 255, 248).to_bits();
    let mut all: Vec<IpAddr> = (0..24)
        .map(|step| Ipv4Addr::from_bits(free + step).into())
        .collect();
    all.extend((0..8).map(|step| IpAddr::from(Ipv4Addr::from_bits(last + step))));
    all.extend((0..16).map(|step| IpAddr::from(Ipv6Addr::from_bits(step))));
    all
}

/// A range within one of the universe's three stretches.
fn any_range() -> impl Strategy<Value = AddressRange> {
    prop_oneof![
        (0usize..24, 0usize..24),
        (24usize..32, 24usize..32),
        (32usize..48, 32usize..48)
    ]
    .prop_map(|(a, b)| {
        let all = universe();
        AddressRange::new(all[a.min(b)], all[a.max(b)]).unwrap()
    })
}

fn any_ranges() -> impl Strategy<Value = Vec<AddressRange>> {
    proptest::collection::vec(any_range(), 0..6)
}

fn any_port() -> impl Strategy<Value = Option<u16>> {
    proptest::option::of(1u16..5)
}

/// What a user might type together.
#[derive(Clone, Debug)]
struct Typed {
    ports: Vec<u16>,
    ranges: Vec<(AddressRange, Option<u16>)>,
    named: Vec<(usize, Option<u16>)>,
    excluded: Vec<AddressRange>,
}

fn any_typed() -> impl Strategy<Value = Typed> {
    (
        proptest::collection::vec(1u16..5, 0..4),
        proptest::collection::vec((any_range(), any_port()), 0..6),
        proptest::collection::vec((0usize..48, any_port()), 0..6),
        any_ranges(),
    )
        .prop_map(|(ports, ranges, named, excluded)| Typed {
            ports,
            ranges,
            named,
            excluded,
        })
}

fn build(typed: &Typed) -> Result<Selection, SelectionError> {
    let mut builder = SelectionBuilder::new(typed.ports.clone());
    for (range, port) in &typed.ranges {
        builder.add_ranges(&[*range], *port);
    }
    for (place, port) in &typed.named {
        builder.add_address(Address::Ip(universe()[*place]), *port, None);
    }
    builder.exclude(&typed.excluded);
    builder.build()
}

/// The pairs, and those of them that are named, as plain sets.
type NaivePairs = BTreeSet<(IpAddr, u16)>;

fn naive(typed: &Typed) -> (NaivePairs, NaivePairs) {
    let excluded = |ip: IpAddr| typed.excluded.iter().any(|range| range.contains(ip));
    let ports = |port: Option<u16>| port.map_or_else(|| typed.ports.clone(), |port| vec![port]);
    let mut all = NaivePairs::new();
    let mut named = NaivePairs::new();
    for ip in universe().into_iter().filter(|ip| !excluded(*ip)) {
        for (range, port) in &typed.ranges {
            if range.contains(ip) {
                all.extend(ports(*port).into_iter().map(|port| (ip, port)));
            }
        }
        for (place, port) in &typed.named {
            if universe()[*place] == ip {
                named.extend(ports(*port).into_iter().map(|port| (ip, port)));
            }
        }
    }
    all.extend(&named);
    (all, named)
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let network = (0usize..48, 0u8..5);
    let entry = (network, proptest::option::of(1u8..=28)).prop_filter_map(
        "a network that no entry may have",
        |((place, host_bits), until)| {
            let ip = universe()[place];
            let full = if ip.is_ipv4() { 32 } else { 128 };
            Some(ScopeEntry {
                network: Network::new(ip, full - host_bits).ok()?,
                owner: String::new(),
                until: until.map(|day| Day::new(2026, 2, day).unwrap()),
                source: String::new(),
            })
        },
    );
    proptest::collection::vec(entry, 0..6)
        .prop_map(|entries| Scope::new(entries, Day::new(2026, 2, 14).unwrap()))
}

fn is_allowed(scope: &Scope, ip: IpAddr) -> bool {
    AddressKind::of(ip).is_free_to_scan()
        || (AddressKind::of(ip) != AddressKind::NotAHost && scope.covering(ip).is_some())
}

proptest! {
    #[test]
    fn ranges_print_as_they_are_read(first in any::<u32>(), steps in 0u32..100_000, v6: bool) {
        let last = first.saturating_add(steps);
        let ip = |number: u32| -> IpAddr {
            if v6 {
                Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(number)).into()
            } else {
                Ipv4Addr::from_bits(number).into()
            }
        };
        let range = AddressRange::new(ip(first), ip(last)).unwrap();
        let target = parse_target(&range.to_string()).unwrap();
        match target.hosts {
            Hosts::Ranges(ranges) => prop_assert_eq!(ranges, vec![range]),
            Hosts::Address(address) => {
                prop_assert_eq!(address.ip(), Some(range.first));
                prop_assert_eq!(range.addresses(), 1);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn networks_print_as_they_are_read(bits in any::<u32>(), prefix_bits in 8u8..=32) {
        if let Ok(network) = Network::new(Ipv4Addr::from_bits(bits).into(), prefix_bits) {
            prop_assert_eq!(Network::parse(&network.to_string()), Ok(network));
        }
    }

    #[test]
    fn octets_mean_what_they_say(
        octets in proptest::collection::vec(proptest::collection::vec((0u8..6, 0u8..6), 1..3), 4),
        probe in proptest::array::uniform4(0u8..7),
    ) {
        let ordered = |(a, b): &(u8, u8)| (*a.min(b), *a.max(b));
        let written: Vec<String> = octets
            .iter()
            .map(|items| {
                let items: Vec<String> = items
                    .iter()
                    .map(ordered)
                    .map(|(low, high)| format!("{low}-{high}"))
                    .collect();
                items.join(",")
            })
            .collect();
        let Hosts::Ranges(ranges) = parse_target(&written.join(".")).unwrap().hosts else {
            return Err(TestCaseError::fail("no ranges"));
        };
        let expect = octets.iter().zip(probe).all(|(items, value)| {
            items.iter().map(ordered).any(|(low, high)| (low..=high).contains(&value))
        });
        prop_assert_eq!(find(&ranges, Ipv4Addr::from(probe).into()).is_some(), expect);
    }

    #[test]
    fn whatever_is_typed_is_answered_in_one_line(
        text in prop_oneof![".*", "[0-9.:/,\\[\\] \\x7f\\x1b\n-]{1,12}", "[0-9a-fx.:*,/%\\[\\]-]{0,40}", "[0-9.,-]{1,20}(/[0-9]{0,3})?(:[0-9]{0,6})?"]
    ) {
        let is_one_line = |error: TargetError| -> Result<(), TestCaseError> {
            let line = error.to_string();
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            prop_assert!(line.chars().count() < 1_200, "{}", line);
            Ok(())
        };
        match parse_target(&text) {
            Ok(target) => {
                prop_assert_eq!(&target.typed, &text);
                prop_assert_ne!(target.port, Some(0));
                if let Hosts::Ranges(ranges) = &target.hosts {
                    let mut normal = ranges.clone();
                    normalize(&mut normal);
                    prop_assert_eq!(&normal, ranges);
                    prop_assert!(!ranges.is_empty() && ranges.len() <= RANGES_PER_TARGET_MAX);
                    let is_digits = |ip: &IpAddr| ip.is_ipv4() || ip.to_canonical().is_ipv6();
                    prop_assert!(ranges.iter().all(|range| is_digits(&range.first)));
                }
            }
            Err(error) => is_one_line(error)?,
        }
        let refusals = [
            parse_ports(&text).err(),
            parse_shard(&text).err(),
            parse_target_lines(&text, "-").err(),
        ];
        for error in refusals.into_iter().flatten() {
            is_one_line(error)?;
        }
        // Neither may these fail in another way than by an error.
        let _ = (Network::parse(&text), Day::parse(&text));
    }

    #[test]
    fn subtraction_is_subtraction(from in any_ranges(), remove in any_ranges()) {
        let (mut from, mut remove) = (from, remove);
        let within = |ranges: &[AddressRange], ip| ranges.iter().any(|range| range.contains(ip));
        let expect: Vec<bool> = universe()
            .into_iter()
            .map(|ip| within(&from, ip) && !within(&remove, ip))
            .collect();
        normalize(&mut from);
        normalize(&mut remove);
        let rest = subtract(&from, &remove);
        let found: Vec<bool> = universe().into_iter().map(|ip| find(&rest, ip).is_some()).collect();
        prop_assert_eq!(found, expect);
        let mut normal = rest.clone();
        normalize(&mut normal);
        prop_assert_eq!(normal, rest);
    }

    #[test]
    fn a_selection_is_the_naive_set(typed in any_typed()) {
        let (all, named) = naive(&typed);
        let selection = match build(&typed) {
            Ok(selection) => selection,
            Err(SelectionError::Empty | SelectionError::AllExcluded) => {
                prop_assert!(all.is_empty());
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let pairs: Vec<(IpAddr, u16)> = (0..selection.pairs())
            .map(|index| selection.pair(index))
            .map(|pair| (pair.address.ip().unwrap(), pair.port))
            .collect();
        prop_assert_eq!(&pairs, &all.iter().copied().collect::<Vec<_>>());
        let addresses: BTreeSet<IpAddr> = all.iter().map(|(ip, _)| *ip).collect();
        prop_assert_eq!(selection.addresses(), addresses.len() as u64);
        for ip in universe() {
            for port in 0..6 {
                let address = Address::Ip(ip);
                let place = all.iter().position(|pair| *pair == (ip, port)).map(|place| place as u64);
                prop_assert_eq!(selection.index_of(&address, port), place);
                prop_assert_eq!(selection.is_named(&address, port), named.contains(&(ip, port)));
            }
            let in_ranges = selection.ranges().filter(|range| range.contains(ip)).count();
            prop_assert_eq!(in_ranges, usize::from(addresses.contains(&ip)));
        }
    }

    #[test]
    fn the_order_of_typing_does_not_matter(typed in any_typed(), turn in 0usize..6) {
        let mut turned = typed.clone();
        turned.ranges.rotate_left(turn.min(typed.ranges.len()));
        turned.named.reverse();
        turned.excluded.reverse();
        turned.ports.reverse();
        let fingerprint = |typed| build(typed).map(|selection| selection.fingerprint());
        prop_assert_eq!(fingerprint(&typed), fingerprint(&turned));
    }

    #[test]
    fn fingerprints_differ_where_sets_differ(one in any_typed(), other in any_typed()) {
        if let (Ok(a), Ok(b)) = (build(&one), build(&other)) {
            prop_assert_eq!(a.fingerprint() == b.fingerprint(), naive(&one).0 == naive(&other).0);
        }
    }

    #[test]
    fn a_permit_never_yields_anything_outside(typed in any_typed(), scope in any_scope()) {
        let Ok(selection) = build(&typed) else {
            return Ok(());
        };
        let (all, _) = naive(&typed);
        let first_outside = all.iter().map(|(ip, _)| *ip).find(|ip| !is_allowed(&scope, *ip));
        match scope.permit(selection) {
            Ok(permit) => {
                prop_assert_eq!(first_outside, None);
                for index in 0..permit.pairs() {
                    let permitted = permit.pair(index);
                    let ip = permitted.address().ip().unwrap();
                    prop_assert!(is_allowed(&scope, ip));
                    prop_assert!(all.contains(&(ip, permitted.port())));
                }
                for ip in universe() {
                    for port in 0..6 {
                        let admitted = permit.admit(&Address::Ip(ip), port).is_some();
                        prop_assert_eq!(admitted, all.contains(&(ip, port)));
                    }
                }
            }
            Err(outside) => prop_assert_eq!(Some(outside.address), first_outside),
        }
    }

    #[test]
    fn a_large_permutation_repeats_nothing(count in 1u64..=1 << 40, seed: u64, start: u64) {
        let permutation = Permutation::new(count, seed);
        let sample = count.min(500);
        let start = start % (count - sample + 1);
        let numbers: BTreeSet<u64> =
            (start..start + sample).map(|position| permutation.at(position)).collect();
        prop_assert_eq!(numbers.len() as u64, sample);
        prop_assert!(numbers.iter().all(|number| *number < count));
    }

    #[test]
    fn shards_are_disjoint_and_complete(pairs in 0u64..300, seed: u64, of in 1u64..12) {
        let mut seen = vec![0; pairs as usize];
        let mut lengths = BTreeSet::new();
        for index in 1..=of {
            let order = Order::new(pairs, seed, Shard { index, of }, 0);
            lengths.insert(order.len());
            prop_assert_eq!(order.clone().count() as u64, order.len());
            for (expect, (counter, pair)) in (0..).zip(order) {
                prop_assert_eq!(counter, expect);
                seen[pair as usize] += 1;
            }
        }
        prop_assert!(seen.iter().all(|times| *times == 1));
        prop_assert!(lengths.len() <= 2);
    }

    #[test]
    fn a_resumed_run_is_the_same_tail(
        pairs in 0u64..300, seed: u64, of in 1u64..5, index in 1u64..5, done in 0usize..320,
    ) {
        let shard = Shard { index: index.min(of), of };
        let whole: Vec<(u64, u64)> = Order::new(pairs, seed, shard, 0).collect();
        let mut first = Order::new(pairs, seed, shard, 0);
        let head: Vec<(u64, u64)> = first.by_ref().take(done).collect();
        let resumed = Order::new(pairs, seed, shard, first.counter());
        prop_assert_eq!(resumed.remaining() as usize, whole.len() - head.len());
        let joined: Vec<(u64, u64)> = head.into_iter().chain(resumed).collect();
        prop_assert_eq!(joined, whole);
    }
}

/// All of a /8 is held and shuffled without being written out; only its edges need looking at.
#[test]
fn a_large_network_is_walked_without_being_expanded() {
    let mut builder = SelectionBuilder::new(vec![11211]);
    let Hosts::Ranges(ranges) = parse_target("10.0.0.0/8").unwrap().hosts else {
        panic!("10.0.0.0/8 is a range");
    };
    builder.add_ranges(&ranges, None);
    let permit = Scope::new(vec![], Day::new(2026, 1, 1).unwrap()).permit(builder.build().unwrap());
    let permit = permit.unwrap();
    assert_eq!(permit.pairs(), 1 << 24);
    let order = Order::new(permit.pairs(), 1, Shard::ALL, (1 << 24) - 100_000);
    let asked: BTreeSet<Address> = order
        .map(|(_, index)| permit.pair(index).address().clone())
        .collect();
    assert_eq!(asked.len(), 100_000);
    assert!(std::mem::size_of::<Permitted>() <= 48, "cheap to copy");
}
