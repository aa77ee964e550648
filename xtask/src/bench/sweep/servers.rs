//! Verdicts about 80 real servers and lookalikes, with version and amplification, in a /24 behind
//! the gateway, a /24 on the link and a /16; and how long the /16 takes, beside zmap and masscan.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::super::commands::announce;
use super::super::figures::{Board, Goal, median};
use super::arena::Arena;
use super::peers::Heartbeat;
use super::population::{Population, Truth};

/// Packets a second for everybody.
const RATE: u32 = 100_000;
/// Verdicts are looked at this many times as often as times are: a rare mistake is a mistake.
const TIMES_AS_OFTEN: usize = 2;
/// The scanner's own address on the link.
const OWN_ON_LINK: Ipv4Addr = Ipv4Addr::new(10, 100, 8, 250);

/// A network to be judged.
struct Case {
    name: &'static str,
    network: Ipv4Addr,
    prefix_bits: u32,
    is_on_link: bool,
}

const CASES: [Case; 3] = [
    Case {
        name: "24",
        network: Ipv4Addr::new(10, 100, 7, 0),
        prefix_bits: 24,
        is_on_link: false,
    },
    Case {
        name: "24-on-link",
        network: Ipv4Addr::new(10, 100, 8, 0),
        prefix_bits: 24,
        is_on_link: true,
    },
    Case {
        name: "16",
        network: Ipv4Addr::new(10, 101, 0, 0),
        prefix_bits: 16,
        is_on_link: false,
    },
];

type Verdicts = BTreeMap<(Ipv4Addr, bool), String>;

/// `servers`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    for case in &CASES {
        let target = format!("{}/{}", case.network, case.prefix_bits);
        if case.is_on_link {
            arena.lab.own_on_link(&target, OWN_ON_LINK);
        } else {
            arena.lab.own(&target);
        }
        let population = Population::settle(arena, case.network, case.prefix_bits)?;
        judge(arena, board, case, &target, &population)?;
        if case.prefix_bits == 16 {
            race(arena, board, &target, &population)?;
        }
    }
    Ok(())
}

/// Whether all verdicts are right, every time.
fn judge(
    arena: &Arena,
    board: &mut Board,
    case: &Case,
    target: &str,
    population: &Population,
) -> Result<()> {
    // What ordinary sockets say of lookalikes is what the engines must say.
    let mut slow = arena.scan(&format!("--all --engine socket --rate {RATE} {target}"));
    announce(&slow, 1);
    let reference = verdicts(&arena.watch(&mut slow)?.run.stdout)?;
    let mut scan = arena.scan(&format!("--all --rate {RATE} {target}"));
    let rounds = arena.rounds() * TIMES_AS_OFTEN;
    announce(&scan, rounds);
    let (mut wrong_max, mut judged) = (0, 0);
    for _ in 0..rounds {
        let said = verdicts(&arena.watch(&mut scan)?.run.stdout)?;
        let (mut wrong, mut count) = (0, 0);
        for address in population.addresses().filter(|one| is_asked(case, *one)) {
            for is_udp in [false, true] {
                count += 1;
                let key = (address, is_udp);
                let word = said.get(&key).map_or("nothing", String::as_str);
                let is_right = match population.truth(address, is_udp) {
                    Truth::Is(verdict) => word == verdict,
                    Truth::Lookalike => {
                        word != "exposed" && Some(word) == reference.get(&key).map(String::as_str)
                    }
                };
                if !is_right {
                    wrong += 1;
                    if wrong <= 5 {
                        let transport = if is_udp { "udp" } else { "tcp" };
                        let truth = population.truth(address, is_udp);
                        eprintln!("    {address}/{transport}: {word}, but it is {truth:?}");
                    }
                }
            }
        }
        wrong_max = wrong_max.max(wrong);
        judged = count;
    }
    let name = |what: &str| format!("servers.{}-{what}", case.name);
    board.figure(
        &name("judged"),
        f64::from(judged),
        "endpoints",
        Goal::Nothing,
    );
    board.figure(
        &name("wrong"),
        f64::from(wrong_max),
        "endpoints",
        Goal::Exactly(0.0),
    );
    Ok(())
}

/// On the link the first and the last address and the scanner's own are no hosts.
fn is_asked(case: &Case, address: Ipv4Addr) -> bool {
    !case.is_on_link || !(address == OWN_ON_LINK || matches!(address.octets()[3], 0 | 255))
}

/// Every endpoint's verdict. Whoever is exposed must have told its version, and over UDP how much
/// it amplifies.
fn verdicts(ndjson: &str) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    for line in ndjson.lines() {
        let record: Value = serde_json::from_str(line)
            .with_context(|| format!("failed to read the NDJSON line `{line}`"))?;
        if record["record"] != "endpoint" {
            continue;
        }
        let text = |key: &str| record[key].as_str().unwrap_or_default();
        let is_udp = text("transport") == "udp";
        let address = text("address").parse().context("an address")?;
        if text("verdict") == "exposed" {
            ensure!(!text("version").is_empty(), "no version: {line}");
            ensure!(
                !is_udp || record["amplification"].is_object(),
                "no amplification: {line}"
            );
        }
        verdicts.insert((address, is_udp), text("verdict").to_owned());
    }
    Ok(verdicts)
}

/// How long it takes, in turns with zmap (whose two scans make one of ours) and masscan.
fn race(arena: &Arena, board: &mut Board, target: &str, population: &Population) -> Result<()> {
    let _heartbeat = Heartbeat::start(arena)?;
    let zmap = |wait: &str| {
        [
            arena.zmap(&format!("-r {RATE} {wait} -o - {target}")),
            arena.zmap_udp(&format!("-r {RATE} {wait} -o - {target}")),
        ]
    };
    let masscan = format!("-p11211,U:11211 --rate {RATE} --wait 2 -oL - {target}");
    let mut rivals = [
        (
            "memsweep",
            vec![arena.scan(&format!("--rate {RATE} {target}"))],
        ),
        ("zmap", zmap("").into()),
        ("zmap-wait-2", zmap("-c 2").into()),
        ("masscan", vec![arena.masscan(&masscan)]),
    ];
    let mut walls = vec![Vec::new(); rivals.len()];
    for round in 0..arena.rounds() {
        for (place, (name, commands)) in rivals.iter_mut().enumerate() {
            let (mut wall_s, mut lines) = (0.0, 0);
            for command in commands {
                if round == 0 {
                    announce(command, arena.rounds());
                }
                let run = arena.watch(command)?.run;
                wall_s += run.wall_s;
                lines += run.stdout.lines().count();
            }
            eprintln!("    {name}: {wall_s:.2} s, {lines} lines");
            walls[place].push(wall_s);
        }
    }
    eprintln!(
        "    open: {} over TCP, {} over UDP",
        population.open(false),
        population.open(true)
    );
    for (place, (name, _)) in rivals.iter().enumerate() {
        let figure = format!("servers.16-wall-{name}");
        board.figure(&figure, median(&walls[place]), "s", Goal::Nothing);
    }
    for (place, name, goal) in [
        (1, "zmap", Goal::AtLeast(2.0)),
        (2, "zmap-wait-2", Goal::Nothing),
    ] {
        let pairs = walls[place].iter().zip(&walls[0]);
        let ratios: Vec<f64> = pairs.map(|(theirs, ours)| theirs / ours).collect();
        board.figure(
            &format!("servers.16-ratio-{name}"),
            median(&ratios),
            "x",
            goal,
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_and_what_they_need_is_missed() {
        let record =
            |rest: &str| format!("{{\"record\":\"endpoint\",\"address\":\"10.0.0.1\",{rest}}}\n");
        let closed = record("\"transport\":\"tcp\",\"verdict\":\"closed\"");
        let read = verdicts(&closed).unwrap();
        let key = (Ipv4Addr::new(10, 0, 0, 1), false);
        assert_eq!(read.get(&key).map(String::as_str), Some("closed"));
        let exposed = "\"transport\":\"udp\",\"verdict\":\"exposed\"";
        assert!(verdicts(&record(exposed)).is_err());
        let with_version = format!("{exposed},\"version\":\"1.6.18\"");
        assert!(verdicts(&record(&with_version)).is_err());
        let with_both = format!("{with_version},\"amplification\":{{}}");
        assert!(verdicts(&record(&with_both)).is_ok());
    }
}
