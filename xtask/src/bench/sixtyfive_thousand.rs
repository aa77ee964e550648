//! `sixtyfive-thousand`: a whole /16 over both transports, with 64 real servers spread over it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::Bench;
use super::commands::{announce, measure, measure_and_look};
use super::figures::{Board, Goal, median};
use super::measures::{findings, peak_memory_mib};
use super::servers::Memcached;

const RUNS: usize = 5;
const NETWORK: &str = "127.66.0.0/16";
const NETWORK_ADDRESSES: f64 = 65_536.0;
/// What nmap gets of it.
const PART: &str = "127.66.0.0/22";
const PART_ADDRESSES: f64 = 1_024.0;
const SERVERS: u8 = 64;

/// `sixtyfive-thousand`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let servers = addresses();
    let _server = Memcached::start(bench, &servers)?;
    let expected: BTreeSet<(String, String)> = servers
        .iter()
        .flat_map(|address| ["tcp", "udp"].map(|name| (address.to_string(), name.to_owned())))
        .collect();
    let mut scan = bench.scan(&format!("--rate 200000 {NETWORK}"));
    announce(&scan, RUNS);
    let (mut seconds, mut memory, mut found_min, mut packets) =
        (Vec::new(), Vec::new(), usize::MAX, Vec::new());
    for _ in 0..RUNS {
        let mut peak_mib = 0.0;
        let run = measure_and_look(&mut scan, &mut |id| {
            let status = std::fs::read_to_string(format!("/proc/{id}/status"));
            if let Some(mib) = status.ok().as_deref().and_then(peak_memory_mib) {
                peak_mib = mib;
            }
        })?;
        let found = findings(&run.stdout)?;
        ensure!(found.complete, "the scan did not end by itself");
        let exposed: BTreeSet<(String, String)> = found.exposed.into_iter().collect();
        ensure!(
            exposed.is_subset(&expected),
            "called exposed without being so: {:?}",
            exposed.difference(&expected)
        );
        found_min = found_min.min(exposed.len());
        seconds.push(run.wall_s);
        memory.push(peak_mib);
        packets.push(found.packets_sent as f64);
    }
    let (wall_s, sent) = (median(&seconds), median(&packets));
    let all = expected.len() as f64;
    board.figure("wall", wall_s, "s", Goal::Below(12.0));
    board.figure("peak-memory", median(&memory), "MiB", Goal::Below(100.0));
    // Of the worst run, not the median: a server that is missed once is missed.
    board.figure("exposed", found_min as f64, "endpoints", Goal::Exactly(all));
    board.figure("packets-sent", sent, "packets", Goal::Nothing);
    board.figure("rate", sent / wall_s, "packets/s", Goal::Nothing);
    compare(bench, board, NETWORK_ADDRESSES / wall_s)
}

/// nmap finds open TCP ports only, and is asked about a part only: so addresses a second.
fn compare(bench: &Bench, board: &mut Board, ours: f64) -> Result<()> {
    let mut nmap = bench.nmap(&format!("-n -Pn -sS -p11211 {PART}"));
    announce(&nmap, 1);
    let theirs = PART_ADDRESSES / measure(&mut nmap)?.wall_s;
    board.figure("memsweep-speed", ours, "addresses/s", Goal::Nothing);
    board.figure("nmap-sS-speed", theirs, "addresses/s", Goal::Nothing);
    board.figure("ratio-sS", ours / theirs, "x", Goal::Nothing);
    Ok(())
}

/// One in every fourth /24, each at another place in it.
fn addresses() -> Vec<Ipv4Addr> {
    (0..SERVERS)
        .map(|index| Ipv4Addr::new(127, 66, index * 4 + 1, index.wrapping_mul(37) % 254 + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_have_addresses_of_their_own_all_over_the_network() {
        let addresses = addresses();
        let networks: BTreeSet<u8> = addresses.iter().map(|one| one.octets()[2]).collect();
        assert_eq!(networks.len(), usize::from(SERVERS));
        assert!(networks.first() < Some(&4) && networks.last() > Some(&251));
        let hosts: BTreeSet<u8> = addresses.iter().map(|one| one.octets()[3]).collect();
        assert!(hosts.len() > 60 && !hosts.contains(&0) && !hosts.contains(&255));
    }
}
