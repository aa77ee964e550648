//! Every server of 4,194,304 addresses is found at full rate, over both transports, and nobody who
//! is none.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use testkit::Transport;
use testkit::lab::{Fate, Responder};

use super::super::commands::announce;
use super::super::figures::{Board, Goal, median};
use super::super::measures::findings;
use super::arena::{Arena, FULL_RATE};

const NETWORK: &str = "10.64.0.0/10";

/// `recall`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    let (mut walls, mut missed, mut made_up) = (Vec::new(), 0, 0);
    let mut servers = 0;
    for round in 0..arena.rounds() {
        // New hosts every time: what is right once by luck is not right again.
        let responder = Responder {
            seed: 1 + round as u64,
            ..Responder::default()
        };
        arena.lab.respond(&responder);
        let truth = truth(&responder);
        servers = truth.len();
        let mut scan = arena.scan(&format!("--engine live --rate {FULL_RATE} {NETWORK}"));
        if round == 0 {
            announce(&scan, arena.rounds());
        }
        let seen = arena.watch(&mut scan)?;
        let counters = arena.lab.counters();
        let found = findings(&seen.run.stdout)?;
        ensure!(found.complete, "the scan did not end by itself");
        ensure!(counters.strays == 0, "{} strays", counters.strays);
        ensure!(counters.unsent == 0, "the lab failed: {counters:?}");
        let exposed: HashSet<(String, String)> = found.exposed.into_iter().collect();
        missed += truth.difference(&exposed).count();
        made_up += exposed.difference(&truth).count();
        eprintln!(
            "    {} of {servers} found in {:.1} s; {} frames at the far end",
            truth.intersection(&exposed).count(),
            seen.run.wall_s,
            counters.frames
        );
        walls.push(seen.run.wall_s);
    }
    board.figure("recall.servers", servers as f64, "endpoints", Goal::Nothing);
    // Of all rounds together: what is missed once is missed.
    board.figure(
        "recall.missed",
        missed as f64,
        "endpoints",
        Goal::Exactly(0.0),
    );
    board.figure(
        "recall.made-up",
        made_up as f64,
        "endpoints",
        Goal::Exactly(0.0),
    );
    board.figure("recall.wall", median(&walls), "s", Goal::Nothing);
    Ok(())
}

/// Who answers, as a scan writes it.
fn truth(responder: &Responder) -> HashSet<(String, String)> {
    let of = |transport: Transport| {
        let hosts = responder.hosts(
            responder.network,
            responder.prefix_bits,
            transport,
            Fate::Answers,
        );
        hosts.map(move |host: Ipv4Addr| (host.to_string(), transport.to_string()))
    };
    of(Transport::Tcp).chain(of(Transport::Udp)).collect()
}
