//! `startup` and `one-server`: how long one wants to wait for an answer at a prompt.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use super::Bench;
use super::commands::{announce, measure};
use super::figures::{Board, Goal, median};
use super::measures::findings;
use super::servers::Memcached;

const STARTUP_RUNS: usize = 20;
const SCAN_RUNS: usize = 7;
/// Where the one server is.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);

/// `startup`.
pub(super) fn startup(bench: &Bench, board: &mut Board) -> Result<()> {
    let mut command = bench.memsweep("--version");
    announce(&command, STARTUP_RUNS);
    let mut milliseconds = Vec::new();
    for _ in 0..STARTUP_RUNS {
        milliseconds.push(measure(&mut command)?.wall_s * 1e3);
    }
    board.figure("wall", median(&milliseconds), "ms", Goal::Nothing);
    Ok(())
}

/// `one-server`.
pub(super) fn one_server(bench: &Bench, board: &mut Board) -> Result<()> {
    let _server = Memcached::start(bench, &[ADDRESS])?;
    let mut scan = bench.scan(&ADDRESS.to_string());
    announce(&scan, SCAN_RUNS);
    let mut seconds = Vec::new();
    for _ in 0..SCAN_RUNS {
        let run = measure(&mut scan)?;
        let found = findings(&run.stdout)?;
        ensure!(
            found.of("exposed") == 2 && found.complete,
            "both endpoints are exposed, but memsweep says {:?}",
            found.verdicts
        );
        seconds.push(run.wall_s);
    }
    let ours = median(&seconds);
    board.figure("memsweep", ours, "s", Goal::Below(1.0));

    let mut script = bench.nmap(&format!(
        "-n -Pn -sS -p11211 --script memcached-info {ADDRESS}"
    ));
    announce(&script, 1);
    let run = measure(&mut script)?;
    // Its verdict is half of ours: TCP alone.
    ensure!(
        run.stdout.contains("memcached-info"),
        "nmap's script said nothing: {}",
        run.stdout
    );
    board.figure("nmap-memcached-info-tcp", run.wall_s, "s", Goal::Nothing);
    board.figure(
        "ratio-memcached-info",
        run.wall_s / ours,
        "x",
        Goal::Nothing,
    );

    if bench.skip_slow_peers {
        eprintln!("    left out: nmap -sU -sV (some 100 s)");
        return Ok(());
    }
    let mut version = bench.nmap(&format!("-n -Pn -sU -sV -p11211 {ADDRESS}"));
    announce(&version, 1);
    let run = measure(&mut version)?;
    eprintln!("    it says: {}", line_of_port(&run.stdout));
    board.figure("nmap-sU-sV", run.wall_s, "s", Goal::Nothing);
    board.figure("ratio-sU-sV", run.wall_s / ours, "x", Goal::Nothing);
    Ok(())
}

/// The line about the port in nmap's normal output.
fn line_of_port(output: &str) -> &str {
    output
        .lines()
        .find(|line| line.starts_with("11211/"))
        .unwrap_or("nothing about the port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_the_port_is_found() {
        let output =
            "Host is up.\n\nPORT      STATE SERVICE\n11211/udp open  memcache?\n1 service\n";
        assert_eq!(line_of_port(output), "11211/udp open  memcache?");
        assert_eq!(line_of_port(""), "nothing about the port");
    }
}
