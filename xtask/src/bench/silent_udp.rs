//! `silent-udp`: ports that say nothing cost time only. How much?

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::Bench;
use super::commands::{announce, measure};
use super::figures::{Board, Goal, median};
use super::measures::findings;
use super::servers::{PORT, SilentUdp};

const RUNS: usize = 5;
const RANGE: &str = "127.65.1.1-254";
const COUNT: u8 = 254;

/// `silent-udp`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let addresses: Vec<Ipv4Addr> = (1..=COUNT)
        .map(|host| Ipv4Addr::new(127, 65, 1, host))
        .collect();
    let _silent = SilentUdp::bind(&addresses, PORT)?;
    let udp = scan(bench, &format!("--udp {RANGE}"))?;
    board.figure("memsweep-udp", udp, "s", Goal::Below(4.0));
    let both = scan(bench, RANGE)?;
    board.figure("memsweep-both", both, "s", Goal::Below(4.0));

    if bench.skip_slow_peers {
        eprintln!("    left out: nmap -sU (some 40 s)");
        return Ok(());
    }
    let mut nmap = bench.nmap(&format!("-n -Pn -sU -p11211 {RANGE}"));
    announce(&nmap, 1);
    let run = measure(&mut nmap)?;
    let silent = run.stdout.matches("open|filtered").count();
    ensure!(
        silent == usize::from(COUNT),
        "nmap found {silent} silent ports"
    );
    board.figure("nmap-sU", run.wall_s, "s", Goal::Nothing);
    board.figure("ratio", run.wall_s / udp, "x", Goal::Nothing);
    Ok(())
}

/// Median wall time in seconds.
fn scan(bench: &Bench, arguments: &str) -> Result<f64> {
    let mut command = bench.scan(arguments);
    announce(&command, RUNS);
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let run = measure(&mut command)?;
        let found = findings(&run.stdout)?;
        ensure!(
            found.of("silent") == u64::from(COUNT) && found.complete,
            "{COUNT} ports are silent, but memsweep says {:?}",
            found.verdicts
        );
        seconds.push(run.wall_s);
    }
    Ok(median(&seconds))
}
