//! The same /24 by `nmap -sU -sV`, which is what one would type without memsweep.

use std::net::Ipv4Addr;

use anyhow::Result;

use super::super::commands::announce;
use super::super::figures::{Board, Goal, median};
use super::super::measures::findings;
use super::arena::Arena;
use super::population::Population;

const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 100, 7, 0);
const PREFIX_BITS: u32 = 24;

/// `nmap`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    let target = format!("{NETWORK}/{PREFIX_BITS}");
    arena.lab.own(&target);
    let _population = Population::settle(arena, NETWORK, PREFIX_BITS)?;
    let mut scan = arena.scan(&target);
    announce(&scan, arena.rounds());
    let mut walls = Vec::new();
    let mut exposed = Vec::new();
    for _ in 0..arena.rounds() {
        let run = arena.watch(&mut scan)?.run;
        walls.push(run.wall_s);
        exposed.push(findings(&run.stdout)?.of("exposed") as f64);
    }
    let ours = median(&walls);
    board.figure("nmap.memsweep", ours, "s", Goal::Nothing);
    board.figure(
        "nmap.memsweep-exposed",
        median(&exposed),
        "endpoints",
        Goal::Nothing,
    );
    if arena.bench.skip_slow_peers {
        eprintln!("    left out: nmap -sU -sV (some 5 minutes)");
        return Ok(());
    }
    let mut nmap = arena.peer("nmap", &format!("-n -sU -sV -p11211 {target}"));
    announce(&nmap, 1);
    let run = arena.watch(&mut nmap)?.run;
    let (identified, guessed) = identified(&run.stdout);
    board.figure("nmap.wall", run.wall_s, "s", Goal::Nothing);
    board.figure("nmap.identified", identified, "endpoints", Goal::Nothing);
    board.figure("nmap.guessed", guessed, "endpoints", Goal::Nothing);
    board.figure("nmap.ratio", run.wall_s / ours, "x", Goal::AtLeast(100.0));
    Ok(())
}

/// How many open ports nmap calls memcached, and of how many it only guesses so (with a question
/// mark, from the port's number).
fn identified(output: &str) -> (f64, f64) {
    let services = output.lines().filter_map(|line| {
        let mut words = line.strip_prefix("11211/udp")?.split_whitespace();
        words.next().filter(|state| *state == "open")?;
        words.next()
    });
    let (mut identified, mut guessed) = (0.0, 0.0);
    for service in services {
        match service {
            "memcached" => identified += 1.0,
            name if name.ends_with('?') => guessed += 1.0,
            _ => {}
        }
    }
    (identified, guessed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_are_told_from_knowledge() {
        let output = "\
11211/udp open  memcache?
11211/udp open  memcached Memcached 1.4.15 (uptime 7 seconds)
11211/udp open|filtered memcache
11211/udp closed memcache
11211/udp open  unknown
";
        assert_eq!(identified(output), (1.0, 1.0));
    }
}
