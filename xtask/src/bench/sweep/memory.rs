//! How much memory a sweep needs: of a /8, and of 2^28 addresses, the most that a run may cover.
//!
//! A part of the hosts refuses, so that what is kept of answers is touched all over; a deadline
//! ends what would take minutes.

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use testkit::lab::Responder;

use super::super::commands::announce;
use super::super::figures::{Board, Goal};
use super::arena::{Arena, FULL_RATE};

/// A network to be swept.
struct Case {
    name: &'static str,
    network: Ipv4Addr,
    prefix_bits: u32,
    peak_mib_max: f64,
}

const CASES: [Case; 2] = [
    Case {
        name: "8",
        network: Ipv4Addr::new(10, 0, 0, 0),
        prefix_bits: 8,
        peak_mib_max: 64.0,
    },
    Case {
        name: "2-28",
        network: Ipv4Addr::new(16, 0, 0, 0),
        prefix_bits: 4,
        peak_mib_max: 128.0,
    },
];

const ENGINES: [&str; 2] = ["live", "packet"];

/// `memory`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let name = format!("memsweep-bench-{}.toml", since_epoch.as_nanos());
    let scope = std::env::temp_dir().join(name);
    std::fs::write(&scope, scope_of_all()).context("failed to write a scope file")?;
    let mut result = Ok(());
    for case in &CASES {
        for engine in ENGINES {
            let measured = measure(arena, board, case, engine, &scope.to_string_lossy());
            result = result.and(measured);
        }
    }
    // Written by us, and of no use to anybody else.
    let _ = std::fs::remove_file(&scope);
    result
}

fn measure(arena: &Arena, board: &mut Board, case: &Case, engine: &str, scope: &str) -> Result<()> {
    arena.lab.respond(&Responder {
        network: case.network,
        prefix_bits: case.prefix_bits,
        answering: 0,
        refusing: 256,
        prohibiting: 0,
        forging: 0,
        ..Responder::default()
    });
    let mut scan = arena.scan(&format!(
        "--engine {engine} --scope {scope} --rate {FULL_RATE} --retries 0 --deadline 60s {}/{}",
        case.network, case.prefix_bits
    ));
    announce(&scan, 1);
    let seen = arena.watch(&mut scan)?;
    eprintln!(
        "    {} frames in {:.0} s",
        arena.lab.counters().frames,
        seen.run.wall_s
    );
    let name = format!("memory.{}-{engine}", case.name);
    board.figure(&name, seen.peak_mib, "MiB", Goal::Below(case.peak_mib_max));
    Ok(())
}

/// 16.0.0.0/4 as the networks of 8 bits that a scope entry may have.
fn scope_of_all() -> String {
    let entry = |first: u32| format!("[[network]]\ncidr = \"{first}.0.0.0/8\"\nowner = \"lab\"\n");
    (16..32).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_covers_all_that_is_swept() {
        let scope = scope_of_all();
        assert_eq!(scope.matches("[[network]]").count(), 16);
        assert!(scope.contains("\"16.0.0.0/8\"") && scope.contains("\"31.0.0.0/8\""));
    }
}
