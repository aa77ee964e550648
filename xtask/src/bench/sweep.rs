//! `sweep`: the packet engines beside zmap, masscan and nmap, on a cable between two namespaces.
//!
//! What the peers do is measured in the same run, one after the other in every round, and only
//! ratios within a round are held against goals: this machine's own speed changes by half from
//! minute to minute. Packets are counted by the interface at the far end, never by who sends them.

mod arena;
mod memory;
mod nmap;
mod pace;
mod peers;
mod population;
mod rate;
mod recall;
mod servers;

use anyhow::{Context, Result, ensure};

use super::Bench;
use super::figures::Board;
use arena::Arena;

/// Rounds, unless `--rounds` says otherwise.
pub(super) const ROUNDS: usize = 5;

/// One row of figures.
pub(crate) struct Row {
    /// The name that `--only` takes, and the beginning of its figures' names.
    pub(crate) name: &'static str,
    /// What it measures, for the line that announces it.
    about: &'static str,
    action: fn(&Arena, &mut Board) -> Result<()>,
}

/// All rows.
pub(crate) const ROWS: [Row; 6] = [
    Row {
        name: "rate",
        about: "SYNs a second, by engine and threads, beside zmap and masscan",
        action: rate::run,
    },
    Row {
        name: "recall",
        about: "4,194,304 addresses at full rate: who was found, and who was made up",
        action: recall::run,
    },
    Row {
        name: "servers",
        about: "80 real servers and lookalikes in a /24, a /24 on the link and a /16",
        action: servers::run,
    },
    Row {
        name: "pace",
        about: "100,000 packets a second for a minute: what it costs and how even it is",
        action: pace::run,
    },
    Row {
        name: "memory",
        about: "the most memory for a /8 and for 2^28 addresses",
        action: memory::run,
    },
    Row {
        name: "nmap",
        about: "the same /24 by nmap -sU -sV",
        action: nmap::run,
    },
];

/// `sweep`.
pub(super) fn run(bench: &Bench, board: &mut Board) -> Result<()> {
    let root = crate::ground::output(bench.ground.command("id").arg("-u"))?;
    ensure!(
        root.trim() == "0" && !bench.is_user_namespace,
        "the packet engines and the lab's programs in the kernel take root: sudo cargo xtask …"
    );
    peers::check(bench)?;
    let wanted = |row: &&Row| bench.row.as_ref().is_none_or(|name| name == row.name);
    for row in ROWS.iter().filter(wanted) {
        eprintln!("==> sweep {}: {}", row.name, row.about);
        // A lab for each: what one leaves behind (closing connections, neighbours) is gone.
        let arena = Arena::new(bench);
        (row.action)(&arena, board).with_context(|| format!("row `{}` failed", row.name))?;
    }
    Ok(())
}
