//! A rate is held: 100,000 packets a second for a minute, by the clock at the far end.

use anyhow::{Context, Result, ensure};
use testkit::lab::Responder;

use super::super::commands::announce;
use super::super::figures::{Board, Goal};
use super::super::measures::findings;
use super::arena::Arena;

const RATE: u32 = 100_000;
/// 2^21 and 2^20 addresses over two transports: 63 seconds.
const NETWORKS: &str = "10.64.0.0/11 10.96.0.0/12";
/// Milliseconds of a window.
const WINDOW_MS: usize = 100;
/// How much more than the rate a window may show. A frame's arrival is noted by the far end's
/// softirq, which runs a millisecond late now and then, so that the frames of 101 ms stand in 100.
const NOTED_LATE: f64 = 1.01;

/// `pace`.
pub(super) fn run(arena: &Arena, board: &mut Board) -> Result<()> {
    let nobody = Responder {
        answering: 0,
        refusing: 0,
        prohibiting: 0,
        forging: 0,
        keeps_times: true,
        ..Responder::default()
    };
    arena.lab.respond(&nobody);
    let mut scan = arena.scan(&format!("--rate {RATE} --retries 0 {NETWORKS}"));
    announce(&scan, 1);
    let seen = arena.watch(&mut scan)?;
    let found = findings(&seen.run.stdout)?;
    let counters = arena.lab.counters();
    ensure!(found.complete, "the scan did not end by itself");
    ensure!(
        counters.frames == found.packets_sent,
        "memsweep counts {} packets, the far end {}",
        found.packets_sent,
        counters.frames
    );
    let arrivals = arena.lab.arrivals();
    let rate = f64::from(RATE);
    let mean = counters.frames as f64 / arrivals.len() as f64 * 1e3;
    let peak = busiest(&arrivals, WINDOW_MS).context("the run was too short")?;
    let window_s = WINDOW_MS as f64 / 1e3;
    let cores = seen.cpu_s / seen.run.wall_s;
    board.figure("pace.mean", mean, "packets/s", Goal::AtLeast(rate * 0.98));
    board.figure(
        "pace.busiest-100ms",
        f64::from(peak) / window_s,
        "packets/s",
        Goal::Below(rate * NOTED_LATE),
    );
    board.figure("pace.cpu", cores, "cores", Goal::Below(0.2));
    Ok(())
}

/// The most that any window of so many milliseconds holds.
fn busiest(arrivals: &[u32], window: usize) -> Option<u32> {
    arrivals
        .windows(window)
        .map(|counts| counts.iter().sum())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_window_is_found() {
        assert_eq!(busiest(&[1, 5, 5, 1, 9, 0], 2), Some(10));
        assert_eq!(busiest(&[1], 2), None);
    }
}
