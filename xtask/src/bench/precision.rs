//! `precision`: real servers among impostors. Who did not execute our command must not be called
//! exposed, and who did must be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::Result;

use super::Bench;
use super::commands::{announce, measure};
use super::figures::{Board, Goal};
use super::impostors::{self, KINDS};
use super::measures::findings;
use super::servers::Memcached;

const RUNS: usize = 5;
const NETWORK: &str = "127.67.0.0/24";
/// How many there are of each kind of impostor.
const COPIES: usize = 4;
const REAL_SERVERS: u8 = 8;

/// `precision`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let mut places = (1..).map(address);
    let real: Vec<Ipv4Addr> = places.by_ref().take(usize::from(REAL_SERVERS)).collect();
    let _server = Memcached::start(bench, &real)?;
    let count = KINDS.len() * COPIES;
    for (kind, place) in KINDS.into_iter().cycle().zip(places).take(count) {
        impostors::start(kind, place)?;
    }
    eprintln!("    {count} impostors of {} kinds", KINDS.len());

    let real: BTreeSet<String> = real.iter().map(Ipv4Addr::to_string).collect();
    let mut scan = bench.scan(NETWORK);
    announce(&scan, RUNS);
    let (mut found_min, mut slandered) = (usize::MAX, BTreeSet::new());
    for _ in 0..RUNS {
        let found = findings(&measure(&mut scan)?.stdout)?;
        let (right, wrong): (Vec<_>, Vec<_>) = found
            .exposed
            .into_iter()
            .partition(|(address, _)| real.contains(address));
        found_min = found_min.min(right.len());
        slandered.extend(wrong);
    }
    for (address, transport) in &slandered {
        eprintln!("    called exposed without being so: {address} over {transport}");
    }
    let addresses: BTreeSet<&String> = slandered.iter().map(|(address, _)| address).collect();
    let all = f64::from(REAL_SERVERS) * 2.0;
    board.figure("impostors", count as f64, "addresses", Goal::Nothing);
    board.figure(
        "falsely-exposed",
        addresses.len() as f64,
        "addresses",
        Goal::Exactly(0.0),
    );
    board.figure("exposed", found_min as f64, "endpoints", Goal::Exactly(all));
    Ok(())
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 67, 0, host)
}
